/* A 4-ary implicit heap: half the depth of a binary one, and the four children of a node share a
 * cache line of pointers. A node knows its place, so that it can be removed in O(log n).
 * Invariants: nodes[i]->place == i + 1; no node is before its parent. */
#include "base/heap.h"

#include <stdlib.h>

#include "base/assert.h"

enum { CHILDREN = 4, ROOM_MIN = 16 };

static bool is_before (const pxi_heap_node *a, const pxi_heap_node *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->sequence < b->sequence;
}

static void put (pxi_heap *heap, uint32_t index, pxi_heap_node *node)
{
    heap->nodes[index] = node;
    node->place = index + 1;
}

static void sift_up (pxi_heap *heap, uint32_t index, pxi_heap_node *node)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / CHILDREN;
        if (!is_before (node, heap->nodes[parent]))
            break;
        put (heap, index, heap->nodes[parent]);
        index = parent;
    }
    put (heap, index, node);
}

static uint32_t first_child (const pxi_heap *heap, uint64_t begin)
{
    uint64_t end = begin + CHILDREN;
    if (end > heap->n_nodes)
        end = heap->n_nodes;
    uint64_t best = begin;
    for (uint64_t i = begin + 1; i < end; i++)
        if (is_before (heap->nodes[i], heap->nodes[best]))
            best = i;
    return (uint32_t)best;
}

static void sift_down (pxi_heap *heap, uint32_t index, pxi_heap_node *node)
{
    for (;;) {
        uint64_t begin = (uint64_t)index * CHILDREN + 1; /* 64 bits: the product may pass 2^32 */
        if (begin >= heap->n_nodes)
            break;
        uint32_t child = first_child (heap, begin);
        if (!is_before (heap->nodes[child], node))
            break;
        put (heap, index, heap->nodes[child]);
        index = child;
    }
    put (heap, index, node);
}

/* Put a node where its key belongs, given a free place. */
static void settle (pxi_heap *heap, uint32_t index, pxi_heap_node *node)
{
    if (index > 0 && is_before (node, heap->nodes[(index - 1) / CHILDREN]))
        sift_up (heap, index, node);
    else
        sift_down (heap, index, node);
}

void pxi_heap_init (pxi_heap *heap, uint32_t n_max)
{
    PXI_ASSERT (n_max > 0);
    *heap = (pxi_heap){.n_max = n_max};
}

void pxi_heap_fini (pxi_heap *heap)
{
    free (heap->nodes);
    heap->nodes = NULL;
    heap->n_nodes = heap->n_room = 0;
}

bool pxi_heap_reserve (pxi_heap *heap, uint32_t n)
{
    if (n > heap->n_max)
        return false;
    if (n <= heap->n_room)
        return true;
    pxi_heap_node **nodes = realloc (heap->nodes, (size_t)n * sizeof *nodes);
    if (!nodes)
        return false;
    heap->nodes = nodes;
    heap->n_room = n;
    return true;
}

static bool grow (pxi_heap *heap)
{
    uint32_t room = heap->n_room < ROOM_MIN ? ROOM_MIN : heap->n_room;
    if (heap->n_room)
        room = heap->n_max - room < room ? heap->n_max : room * 2;
    return pxi_heap_reserve (heap, room < heap->n_max ? room : heap->n_max);
}

bool pxi_heap_add (pxi_heap *heap, pxi_heap_node *node, uint64_t deadline, uint64_t sequence)
{
    PXI_ASSERT (node->place == 0);
    if (heap->n_nodes == heap->n_max)
        return false;
    if (heap->n_nodes == heap->n_room && !grow (heap))
        return false;
    node->deadline = deadline;
    node->sequence = sequence;
    sift_up (heap, heap->n_nodes++, node);
    return true;
}

void pxi_heap_remove (pxi_heap *heap, pxi_heap_node *node)
{
    if (node->place == 0)
        return;
    uint32_t index = node->place - 1;
    PXI_ASSERT (index < heap->n_nodes);
    PXI_ASSERT (heap->nodes[index] == node);
    node->place = 0;
    pxi_heap_node *last = heap->nodes[--heap->n_nodes];
    if (last != node)
        settle (heap, index, last);
}

void pxi_heap_move (pxi_heap *heap, pxi_heap_node *node, uint64_t deadline, uint64_t sequence)
{
    PXI_ASSERT (node->place > 0);
    PXI_ASSERT (node->place <= heap->n_nodes);
    node->deadline = deadline;
    node->sequence = sequence;
    settle (heap, node->place - 1, node);
}

pxi_heap_node *pxi_heap_first (const pxi_heap *heap)
{
    return heap->n_nodes ? heap->nodes[0] : NULL;
}

uint64_t pxi_heap_deadline (const pxi_heap *heap)
{
    return heap->n_nodes ? heap->nodes[0]->deadline : UINT64_MAX;
}
