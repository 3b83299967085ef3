/* What the virtual cluster works on: trees whose every node hashes what its children gave it.
 *
 * A tree is a specification and a seed; a node is a few words, from which its shape (children, times,
 * branch number) follows by drawing. A node's result is a hash of its input and of its children's
 * results in order: a lost, doubled or swapped branch changes the root. pxi_workload_serial () gives the
 * answer without any cluster, by a traversal of its own. */
#ifndef PXI_SIM_WORKLOAD_H
#define PXI_SIM_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/prng.h"
#include "core/cost.h"
#include "core/message.h"

typedef enum pxi_law_kind {
    PXI_LAW_CONSTANT,
    PXI_LAW_UNIFORM, /* [0, 2 mean] */
    PXI_LAW_EXPONENTIAL,
    PXI_LAW_PARETO,    /* tail index 2: infinite variance, and exact with a square root */
    PXI_LAW_LOGNORMAL, /* sigma 1; by the C library's functions, so no pinned world draws it */
} pxi_law_kind;

/* Of times. Draws are cut at 64 means, so that a world's length has a bound. */
typedef struct pxi_law {
    pxi_law_kind kind;
    uint64_t mean_ns;
} pxi_law;

uint64_t pxi_law_draw (const pxi_law *law, pxi_prng *prng);

typedef enum pxi_tree_kind {
    PXI_TREE_RANDOM, /* depth, fan-out and times drawn; fan 1 = a chain, depth 1 = a flat loop */
    PXI_TREE_SPLIT,  /* divisible work, cut at random into `fan_max` parts down to leaf_ns */
    PXI_TREE_LIST,   /* a loop over fan_max leaves whose times are given */
    PXI_TREE_RANGE,  /* one data-parallel branch of n_items, cut into chunks when they are taken */
} pxi_tree_kind;

enum { PXI_TREE_NUMBERS_MAX = 4 };

typedef struct pxi_tree {
    pxi_tree_kind kind;
    uint64_t seed;
    uint32_t depth_max, fan_min, fan_max;
    uint32_t leaf_ppm;         /* RANDOM: an interior node that is a leaf early */
    uint32_t rounds_max;       /* branches one after the other in one task */
    uint32_t first_ppm;        /* tasks that want only their first subtask and cancel the others */
    uint32_t fail_ppm;         /* tasks whose result is a failure */
    pxi_law leaf, inner;       /* run time; inner mean 0 = interior nodes take no time */
    uint64_t work_ns, leaf_ns; /* SPLIT */
    const uint64_t *times_ns;  /* LIST: fan_max of them, the caller's */
    uint64_t n_items, item_ns; /* RANGE: and what one takes in C */
    uint32_t numbers[PXI_TREE_NUMBERS_MAX], n_numbers; /* branch numbers, drawn per task */
    uint32_t number_most;  /* that a number in force may rise to; 0 = as it is */
    bool numbers_by_level; /* instead: the root's is the first, its children's the next, ... */
    uint32_t size_min, size_max;       /* of an input */
    uint32_t result_size;              /* of a result, when not 16 */
    const pxi_cost_declared *declared; /* what tasks say of their inputs, in turn; n 0 = nothing */
    uint32_t n_declared;
    uint32_t shared_ppm;      /* tasks whose subtasks have a shared input, */
    uint32_t shared_kinds;    /* one of so many, */
    uint32_t shared_size_max; /* of up to so many bytes */
} pxi_tree;

typedef struct pxi_node {
    uint64_t state;
    uint64_t work_ns; /* SPLIT, LIST */
    uint32_t depth;
    pxi_shared_name shared;  /* its branch's, which it must be given */
    uint64_t begin, n_items; /* of a chunk; 0 = it is none */
} pxi_node;

typedef struct pxi_shape {
    uint32_t n_rounds, n_children; /* branches, and subtasks of each; 0 rounds = a leaf */
    uint32_t number, size_bytes;
    uint64_t before_ns, after_ns; /* run time before the first branch and after the last */
    bool first_only, fails;
    pxi_shared_name shared; /* of its branches */
} pxi_shape;

pxi_node pxi_workload_root (const pxi_tree *tree);
void pxi_workload_shape (const pxi_tree *tree, const pxi_node *node, pxi_shape *shape);
/* Child `index` in [0, n_rounds * n_children). */
pxi_node pxi_workload_child (const pxi_tree *tree, const pxi_node *node, const pxi_shape *shape,
                             uint32_t index);
/* The part [begin, end) of a RANGE. The hashes of parts add up to that of the whole. */
pxi_node pxi_workload_chunk (const pxi_node *node, const pxi_tree *tree, uint64_t begin,
                             uint64_t end);
/* No stretch of a task's run time is longer: those that a cancelled branch never visits included. */
uint64_t pxi_workload_longest_ns (const pxi_tree *tree);
/* A node's hash: start with its own, fold each child's outcome in order. */
uint64_t pxi_workload_begin (const pxi_node *node);
uint64_t pxi_workload_fold (uint64_t hash, uint64_t child_hash, pxi_result child_result);

typedef struct pxi_serial {
    uint64_t hash;
    pxi_result result;
    uint64_t n_nodes, work_ns,
        critical_ns; /* critical: the longest chain of times that must follow */
    uint64_t n_all,
        all_ns; /* with what a task that wants only its first subtask may start in vain */
    uint32_t depth;
    uint64_t pick_state; /* of the node that `pick` names */
} pxi_serial;

/* False: more than nodes_max. `pick`: number of a node, in order of visiting, whose state is wanted. */
bool pxi_workload_serial (const pxi_tree *tree, uint64_t nodes_max, uint64_t pick,
                          pxi_serial *serial);

#endif
