/* A pairing heap (Fredman, Sedgewick, Sleator, Tarjan, 1986): a tree in which no node comes before
 * its parent; adding and moving are O(1), removing is O(log n) amortised. An array of pointers
 * would be faster by a little, but it has to grow, and its failure would be every timer's.
 * Invariants: a node's siblings are linked both ways; the root has none. */
#include "base/heap.h"

#include "base/assert.h"

static bool is_before (const pxi_heap_node *a, const pxi_heap_node *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->sequence < b->sequence;
}

/* Make one tree of two: the later root becomes the first child of the other. Neither has siblings.
 */
static pxi_heap_node *join (pxi_heap_node *a, pxi_heap_node *b)
{
    pxi_heap_node *parent = is_before (b, a) ? b : a;
    pxi_heap_node *child = parent == a ? b : a;
    child->next = parent->child;
    if (child->next)
        child->next->previous = child;
    child->previous = parent;
    parent->child = child;
    return parent;
}

/* Make one tree of a row of siblings: in pairs from left to right, then those from right to left.
 * Both passes are what the bound rests on. NULL for an empty row. */
static pxi_heap_node *join_all (pxi_heap_node *first)
{
    pxi_heap_node *pairs = NULL;
    while (first) {
        pxi_heap_node *a = first, *b = a->next;
        first = b ? b->next : NULL;
        a->next = NULL;
        if (b) {
            b->next = NULL;
            a = join (a, b);
        }
        a->next = pairs;
        pairs = a;
    }
    pxi_heap_node *tree = NULL;
    while (pairs) {
        pxi_heap_node *next = pairs->next;
        pairs->next = NULL;
        tree = tree ? join (tree, pairs) : pairs;
        pairs = next;
    }
    return tree;
}

static void set_root (pxi_heap *heap, pxi_heap_node *root)
{
    heap->root = root;
    if (root)
        root->previous = root;
}

void pxi_heap_init (pxi_heap *heap, uint32_t n_max)
{
    PXI_ASSERT (n_max > 0);
    *heap = (pxi_heap){.n_max = n_max};
}

void pxi_heap_fini (pxi_heap *heap)
{
    heap->root = NULL;
    heap->n_nodes = 0;
}

bool pxi_heap_add (pxi_heap *heap, pxi_heap_node *node, uint64_t deadline, uint64_t sequence)
{
    PXI_ASSERT (!pxi_heap_holds (node));
    if (heap->n_nodes == heap->n_max)
        return false;
    *node = (pxi_heap_node){.deadline = deadline, .sequence = sequence};
    set_root (heap, heap->root ? join (heap->root, node) : node);
    heap->n_nodes++;
    return true;
}

/* Take a node that is not the root out of its row, with all below it. */
static void cut (pxi_heap_node *node)
{
    if (node->previous->child == node)
        node->previous->child = node->next;
    else
        node->previous->next = node->next;
    if (node->next)
        node->next->previous = node->previous;
}

void pxi_heap_remove (pxi_heap *heap, pxi_heap_node *node)
{
    if (!pxi_heap_holds (node))
        return;
    PXI_ASSERT (heap->n_nodes > 0);
    pxi_heap_node *below = join_all (node->child);
    if (node == heap->root) {
        set_root (heap, below);
    } else {
        cut (node);
        if (below)
            set_root (heap, join (heap->root, below));
    }
    node->child = node->next = node->previous = NULL;
    heap->n_nodes--;
}

void pxi_heap_move (pxi_heap *heap, pxi_heap_node *node, uint64_t deadline, uint64_t sequence)
{
    PXI_ASSERT (pxi_heap_holds (node));
    pxi_heap_remove (heap, node);
    bool added = pxi_heap_add (heap, node, deadline, sequence);
    PXI_ASSERT (added);
}

pxi_heap_node *pxi_heap_first (const pxi_heap *heap)
{
    return heap->root;
}

uint64_t pxi_heap_deadline (const pxi_heap *heap)
{
    return heap->root ? heap->root->deadline : UINT64_MAX;
}
