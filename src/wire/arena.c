/* Policy: every byte asked for is counted against the cap, freed or not: protobuf-c frees little
 * while it unpacks, and a sender must not be able to buy time with frees. */
#include "wire/arena.h"

#include <stdlib.h>

struct pxi_arena_chunk {
    pxi_arena_chunk *next;
    _Alignas(16) char data[];
};

static void *allocator_alloc (void *data, size_t size)
{
    return pxi_arena_alloc (data, size);
}

static void allocator_free (void *data, void *pointer)
{
    (void)data; /* goes with the arena */
    (void)pointer;
}

void pxi_arena_init (pxi_arena *arena, size_t size_bytes_max)
{
    arena->allocator = (ProtobufCAllocator){allocator_alloc, allocator_free, arena};
    arena->size_bytes = 0;
    arena->size_bytes_max = size_bytes_max;
    arena->next = arena->first;
    arena->end = arena->first + sizeof arena->first;
    arena->chunks = NULL;
    arena->over_cap = false;
    arena->out_of_memory = false;
}

void pxi_arena_fini (pxi_arena *arena)
{
    while (arena->chunks) {
        pxi_arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free (chunk);
    }
}

static bool add_chunk (pxi_arena *arena, size_t size)
{
    size_t room = size > PXI_ARENA_CHUNK_SIZE ? size : PXI_ARENA_CHUNK_SIZE;
    pxi_arena_chunk *chunk = malloc (sizeof *chunk + room);
    if (!chunk)
        return false;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->next = chunk->data;
    arena->end = chunk->data + room;
    return true;
}

void *pxi_arena_alloc (pxi_arena *arena, size_t size)
{
    if (size > arena->size_bytes_max - arena->size_bytes) {
        arena->over_cap = true;
        return NULL;
    }
    size_t rounded = (size + 15) & ~(size_t)15;
    if (rounded > (size_t)(arena->end - arena->next) && !add_chunk (arena, rounded)) {
        arena->out_of_memory = true;
        return NULL;
    }
    void *memory = arena->next;
    arena->next += rounded;
    arena->size_bytes += rounded;
    if (arena->size_bytes > arena->size_bytes_max)
        arena->size_bytes = arena->size_bytes_max;
    return memory;
}
