/* An intrusive min-heap of timers, ordered by (deadline, sequence): equal deadlines come out in the
 * order of their sequence numbers, never in the order of addresses. Nodes lie in their owners; the
 * heap keeps an array of pointers to them that grows up to a stated maximum. One thread. */
#ifndef PXI_BASE_HEAP_H
#define PXI_BASE_HEAP_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pxi_heap_node {
    uint64_t deadline;
    uint64_t sequence;
    uint32_t place; /* index + 1 in the heap; 0 = in none */
} pxi_heap_node;

typedef struct pxi_heap {
    pxi_heap_node **nodes;
    uint32_t n_nodes, n_room, n_max;
} pxi_heap;

/* Allocates nothing: the first pxi_heap_add () does. n_max > 0. */
void pxi_heap_init (pxi_heap *heap, uint32_t n_max);
/* Nodes still inside are forgotten, not touched. */
void pxi_heap_fini (pxi_heap *heap);
/* Room for n nodes from the start, so that adding up to that many cannot fail. False: out of
 * memory. */
bool pxi_heap_reserve (pxi_heap *heap, uint32_t n);

/* False when n_max nodes are inside, or out of memory. The node must be in no heap: zeroed once
 * when its owner is made. */
bool pxi_heap_add (pxi_heap *heap, pxi_heap_node *node, uint64_t deadline, uint64_t sequence);
/* Does nothing for a node that is in no heap. */
void pxi_heap_remove (pxi_heap *heap, pxi_heap_node *node);
/* Move a node that is inside to another deadline; cannot fail. */
void pxi_heap_move (pxi_heap *heap, pxi_heap_node *node, uint64_t deadline, uint64_t sequence);

/* The earliest; NULL when empty. */
pxi_heap_node *pxi_heap_first (const pxi_heap *heap);
/* Its deadline; UINT64_MAX when empty. */
uint64_t pxi_heap_deadline (const pxi_heap *heap);

static inline bool pxi_heap_holds (const pxi_heap_node *node)
{
    return node->place != 0;
}

#endif
