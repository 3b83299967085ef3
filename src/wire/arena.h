/* A capped bump allocator for protobuf-c: what one message may cost to unpack is bounded before it
 * is unpacked. Freed as a whole. One thread. */
#ifndef PXI_WIRE_ARENA_H
#define PXI_WIRE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

enum {
    PXI_ARENA_FIRST_SIZE =
        8192, /* inside the arena, so on the stack: most messages need no malloc */
    PXI_ARENA_CHUNK_SIZE = 32768,
};

typedef struct pxi_arena_chunk pxi_arena_chunk;

typedef struct pxi_arena {
    ProtobufCAllocator allocator;
    size_t size_bytes, size_bytes_max; /* handed out; the cap */
    char *next, *end;                  /* of the chunk in use */
    pxi_arena_chunk *chunks;           /* beyond the first */
    bool over_cap, out_of_memory;      /* why an allocation failed */
    _Alignas(16) char first[PXI_ARENA_FIRST_SIZE];
} pxi_arena;

void pxi_arena_init (pxi_arena *arena, size_t size_bytes_max);
void pxi_arena_fini (pxi_arena *arena);
/* Aligned to 16. NULL over the cap or out of memory: the flags say which. */
void *pxi_arena_alloc (pxi_arena *arena, size_t size);

#endif
