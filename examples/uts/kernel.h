/* Unbalanced Tree Search (Olivier et al., LCPC 2006): trees whose shape is known only by growing
 * them. Node n's i-th child is SHA-1 (state of n, i), so any subtree can be grown anywhere, and the
 * number of nodes of a tree is a check of every one of them. Bit-compatible with the UTS
 * benchmark 1.1 and 2.1 with its BRG SHA-1 generator. No peerexec here: the serial twin is this
 * file. */
#ifndef PX_EXAMPLES_UTS_KERNEL_H
#define PX_EXAMPLES_UTS_KERNEL_H

#include "common/example.h"

enum { UTS_BINOMIAL, UTS_GEOMETRIC, UTS_HYBRID, UTS_BALANCED };
enum { UTS_LINEAR, UTS_EXPONENTIAL, UTS_CYCLIC, UTS_FIXED };

#define UTS_CHILDREN_MAX 100 /* the paper's limit; only a binomial root may have more */

/* Names of the fields are the paper's options. */
typedef struct uts_options {
    uint64_t t; /* type of tree */
    uint64_t a; /* shape of a geometric tree */
    double b;   /* branching of the root, b_0 */
    uint64_t d; /* depth limit of geometric trees, gen_mx */
    uint64_t r; /* seed of the root */
    double q;   /* probability of a binomial inner node */
    uint64_t m; /* its number of children */
    double f;   /* share of the depth at which a hybrid tree turns binomial */
    uint64_t g; /* granularity: times that each child is computed */
    uint64_t chunk;
    uint64_t pieces;
} uts_options;

/* What growing a node needs of them: it goes with every task, so it is small. */
typedef struct uts_tree {
    double b, q, f;
    double log_b; /* of the distribution where the branching is b */
    uint32_t d, m, g, r;
    uint32_t t, a;
} uts_tree;

/* An inner node of which the children from `first` on have not been made. */
typedef struct uts_node {
    uint32_t state[5];
    uint32_t depth;
    uint32_t n_children;
    uint32_t first;
} uts_node;

typedef struct uts_count {
    uint64_t nodes, leaves, depth;
} uts_count;

/* Inner nodes still to be expanded, the shallowest at the bottom. Its room is malloc'ed. */
typedef struct uts_stack {
    uts_node *nodes;
    size_t n, room;
} uts_stack;

uts_tree uts_tree_of (const uts_options *options);

/* The root. */
void uts_root (const uts_tree *tree, uts_node *root);

/* Make and count a node's children; those that have children themselves go to `inner`, which has room for
 * all. Returns how many. */
uint32_t uts_expand (const uts_tree *tree, const uts_node *parent, uts_node *inner,
                     uts_count *count);

/* Count one node. */
void uts_count_node (const uts_node *node, uts_count *count);
void uts_count_add (uts_count *total, const uts_count *part);

/* Expand nodes of the stack, deepest first, until it is empty or at least `nodes_max` children have
 * been counted. The nodes on the stack have been counted already. Returns -1 when out of memory. */
int uts_walk (const uts_tree *tree, uts_stack *stack, uint64_t nodes_max, uts_count *count);
int uts_push (uts_stack *stack, const uts_node *node);

/* The answer's text. */
void uts_print (const uts_count *count, example_answer *answer);

#endif
