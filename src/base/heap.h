/* An intrusive min-heap of timers, ordered by (deadline, sequence): equal deadlines come out in the
 * order of their sequence numbers, never in the order of addresses. Nodes lie in their owners, the
 * heap allocates nothing: setting a timer cannot fail for lack of memory. One thread. */
#ifndef PXI_BASE_HEAP_H
#define PXI_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pxi_heap_node {
    uint64_t deadline;
    uint64_t sequence;
    struct pxi_heap_node *child;    /* the first of those that come after this one */
    struct pxi_heap_node *next;     /* sibling */
    struct pxi_heap_node *previous; /* sibling; of a first child, its parent; of the root, itself;
                                       NULL = in no heap */
} pxi_heap_node;

typedef struct pxi_heap {
    pxi_heap_node *root;
    uint32_t n_nodes, n_max;
} pxi_heap;

/* n_max > 0: how many nodes may be inside. */
void pxi_heap_init (pxi_heap *heap, uint32_t n_max);
/* Nodes still inside are forgotten, not touched. */
void pxi_heap_fini (pxi_heap *heap);

/* False when n_max nodes are inside: the only way to fail. The node must be in no heap: zeroed once
 * when its owner is made. */
bool pxi_heap_add (pxi_heap *heap, pxi_heap_node *node, uint64_t deadline, uint64_t sequence);
/* Does nothing for a node that is in no heap. */
void pxi_heap_remove (pxi_heap *heap, pxi_heap_node *node);
/* Move a node that is inside to another deadline. */
void pxi_heap_move (pxi_heap *heap, pxi_heap_node *node, uint64_t deadline, uint64_t sequence);

/* The earliest; NULL when empty. */
pxi_heap_node *pxi_heap_first (const pxi_heap *heap);
/* Its deadline; UINT64_MAX when empty. */
uint64_t pxi_heap_deadline (const pxi_heap *heap);

static inline bool pxi_heap_holds (const pxi_heap_node *node)
{
    return node->previous != NULL;
}

#endif
