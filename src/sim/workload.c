/* Shapes are drawn from a generator that a node's own state seeds: every peer that gets the node sees
 * the same subtree, and no one keeps it. */
#include "sim/workload.h"

#include <math.h>
#include <stdlib.h>

#include "base/assert.h"
#include "sim/rivals/stream.h"

#define CUT_MEANS 64
#define GOLDEN UINT64_C (0x9e3779b97f4a7c15)
#define SHARED_SALT UINT64_C (0x736861726564)

uint64_t pxi_law_draw (const pxi_law *law, pxi_prng *prng)
{
    uint64_t drawn_ns = law->mean_ns;
    if (!law->mean_ns)
        return 0;
    switch (law->kind) {
    case PXI_LAW_CONSTANT:
        break;
    case PXI_LAW_UNIFORM:
        drawn_ns = pxi_prng_between (prng, 0, 2 * law->mean_ns);
        break;
    case PXI_LAW_EXPONENTIAL:
        drawn_ns = (uint64_t)pxi_prng_exponential (prng, (double)law->mean_ns);
        break;
    case PXI_LAW_PARETO:
        drawn_ns = (uint64_t)((double)law->mean_ns / 2 / sqrt (1 - pxi_prng_double (prng)));
        break;
    case PXI_LAW_LOGNORMAL:
        drawn_ns = (uint64_t)pxi_stream_draw (PXI_STREAM_LOGNORMAL, prng, (double)law->mean_ns);
        break;
    }
    return drawn_ns < CUT_MEANS * law->mean_ns ? drawn_ns : CUT_MEANS * law->mean_ns;
}

static uint64_t law_max_ns (const pxi_law *law)
{
    static const uint32_t means[] = {1, 2, CUT_MEANS, CUT_MEANS, CUT_MEANS};
    return means[law->kind] * law->mean_ns;
}

static uint64_t longest_given_ns (const pxi_tree *tree)
{
    uint64_t longest_ns = 0;
    for (uint32_t i = 0; i < tree->fan_max; i++)
        longest_ns = tree->times_ns[i] > longest_ns ? tree->times_ns[i] : longest_ns;
    return longest_ns;
}

uint64_t pxi_workload_longest_ns (const pxi_tree *tree)
{
    if (tree->kind == PXI_TREE_LIST)
        return longest_given_ns (tree);
    if (tree->kind == PXI_TREE_RANGE)
        return tree->n_items * tree->item_ns;
    uint64_t uncut_ns = tree->fan_max < 2 ? tree->work_ns : tree->leaf_ns;
    uint64_t leaf_ns = tree->kind == PXI_TREE_SPLIT ? uncut_ns : law_max_ns (&tree->leaf);
    uint64_t inner_ns = law_max_ns (&tree->inner);
    return leaf_ns > inner_ns ? leaf_ns : inner_ns;
}

pxi_node pxi_workload_root (const pxi_tree *tree)
{
    return (pxi_node){
        .state = pxi_mix64 (tree->seed + GOLDEN),
        .work_ns = tree->kind == PXI_TREE_SPLIT ? tree->work_ns : 0,
    };
}

static bool is_leaf (const pxi_tree *tree, const pxi_node *node, pxi_prng *prng)
{
    bool cut_short = pxi_prng_chance (prng, tree->leaf_ppm);
    if (tree->kind == PXI_TREE_SPLIT)
        return node->work_ns <= tree->leaf_ns || tree->fan_max < 2;
    if (tree->kind == PXI_TREE_LIST || tree->kind == PXI_TREE_RANGE)
        return node->depth > 0;
    return node->depth >= tree->depth_max || (cut_short && node->depth > 0);
}

/* Drawn apart from the rest. Equal in all trees of the same sizes: jobs meet with equal bytes. */
static pxi_shared_name shared_of (const pxi_tree *tree, const pxi_node *node)
{
    pxi_prng prng;
    pxi_prng_init (&prng, pxi_mix64 (node->state ^ SHARED_SALT));
    if (!tree->shared_size_max || !pxi_prng_chance (&prng, tree->shared_ppm))
        return (pxi_shared_name){0};
    uint64_t kind = 1 + pxi_prng_below (&prng, tree->shared_kinds);
    uint64_t digest = pxi_mix64 (kind * GOLDEN + tree->shared_size_max);
    pxi_prng_init (&prng, digest);
    return (pxi_shared_name){{digest, pxi_prng_next (&prng)},
                             (uint32_t)pxi_prng_between (&prng, 1, tree->shared_size_max)};
}

static uint32_t number_of (const pxi_tree *tree, const pxi_node *node, pxi_prng *prng)
{
    uint32_t n = tree->n_numbers;
    if (n && tree->numbers_by_level)
        return tree->numbers[node->depth < n ? node->depth : n - 1];
    return n ? tree->numbers[pxi_prng_below (prng, n)] : PXI_NUMBER_MAX;
}

void pxi_workload_shape (const pxi_tree *tree, const pxi_node *node, pxi_shape *shape)
{
    pxi_prng prng;
    pxi_prng_init (&prng, node->state);
    bool leaf = is_leaf (tree, node, &prng);
    *shape = (pxi_shape){
        .number = number_of (tree, node, &prng),
        .size_bytes = (uint32_t)pxi_prng_between (&prng, tree->size_min, tree->size_max),
        .fails = pxi_prng_chance (&prng, tree->fail_ppm) && node->depth > 0,
        .first_only = pxi_prng_chance (&prng, tree->first_ppm) && !leaf,
    };
    uint64_t drawn_ns = pxi_law_draw (leaf ? &tree->leaf : &tree->inner, &prng);
    if (leaf) {
        shape->before_ns = tree->kind == PXI_TREE_RANDOM ? drawn_ns : node->work_ns;
        return;
    }
    shape->before_ns = drawn_ns / 2;
    shape->after_ns = drawn_ns - shape->before_ns;
    shape->shared = shared_of (tree, node);
    if (tree->kind != PXI_TREE_RANDOM) {
        shape->n_rounds = 1;
        shape->n_children = tree->kind == PXI_TREE_RANGE ? 0 : tree->fan_max;
        return;
    }
    uint64_t rounds_max = tree->rounds_max && !shape->first_only ? tree->rounds_max : 1;
    shape->n_rounds = (uint32_t)pxi_prng_between (&prng, 1, rounds_max);
    shape->n_children = (uint32_t)pxi_prng_between (&prng, tree->fan_min, tree->fan_max);
}

static uint64_t child_state (const pxi_node *node, uint32_t index)
{
    return pxi_mix64 (node->state ^ (GOLDEN * (index + 1)));
}

/* part / sum of the work; sum < 2^31, so that nothing overflows. */
static uint64_t share_ns (uint64_t work_ns, uint64_t part, uint64_t sum)
{
    PXI_ASSERT (sum > 0);
    PXI_ASSERT (sum > 0);
    return work_ns / sum * part + work_ns % sum * part / sum;
}

/* Cut at random: child i gets its share by weights in [1, 1024], the last what is left. */
static uint64_t child_work_ns (const pxi_node *node, uint32_t n_children, uint32_t index)
{
    uint64_t sum = 0, before = 0, own = 0;
    for (uint32_t i = 0; i < n_children; i++) {
        uint64_t weight = 1 + (child_state (node, i) & 1023);
        before += i < index ? weight : 0;
        own = i == index ? weight : own;
        sum += weight;
    }
    return share_ns (node->work_ns, before + own, sum) - share_ns (node->work_ns, before, sum);
}

pxi_node pxi_workload_child (const pxi_tree *tree, const pxi_node *node, const pxi_shape *shape,
                             uint32_t index)
{
    PXI_ASSERT (index < shape->n_rounds * shape->n_children);
    pxi_node child = {
        .state = child_state (node, index), .depth = node->depth + 1, .shared = shape->shared};
    if (tree->kind == PXI_TREE_SPLIT)
        child.work_ns = child_work_ns (node, shape->n_children, index);
    else if (tree->kind == PXI_TREE_LIST)
        child.work_ns = tree->times_ns[index];
    return child;
}

pxi_node pxi_workload_chunk (const pxi_node *node, const pxi_tree *tree, uint64_t begin,
                             uint64_t end)
{
    PXI_ASSERT (begin < end);
    return (pxi_node){.state = node->state,
                      .depth = node->depth + 1,
                      .work_ns = (end - begin) * tree->item_ns,
                      .begin = begin,
                      .n_items = end - begin};
}

/* A polynomial in `end`, of the tree's own: differences of it add up, and any part that is missing or there
 * twice shows. */
static uint64_t sum_to (uint64_t state, uint64_t end)
{
    uint64_t a = pxi_mix64 (state), b = pxi_mix64 (a), c = pxi_mix64 (b);
    return end * (a + end * (b + end * c));
}

uint64_t pxi_workload_begin (const pxi_node *node)
{
    if (node->n_items)
        return sum_to (node->state, node->begin + node->n_items) -
               sum_to (node->state, node->begin);
    return pxi_mix64 (node->state ^ node->depth);
}

uint64_t pxi_workload_fold (uint64_t hash, uint64_t child_hash, pxi_result child_result)
{
    return pxi_mix64 (hash * 3 + child_hash) ^ (uint64_t)child_result;
}

/* ---- the serial answer ------------------------------------------------------------------------ */

struct level { /* of the traversal: one node whose children are being visited */
    pxi_node node;
    pxi_shape shape;
    uint32_t next;
    bool wanted; /* its outcome counts */
    uint64_t hash, critical_ns, longest_child_ns;
};

struct walk {
    const pxi_tree *tree;
    pxi_serial *serial;
    uint64_t pick;
    struct level *levels;
    uint32_t n_levels, capacity;
};

static bool enter (struct walk *walk, const pxi_node *node, bool wanted)
{
    if (walk->n_levels == walk->capacity) {
        uint32_t larger_n = walk->capacity ? 2 * walk->capacity : 64;
        struct level *larger = realloc (walk->levels, larger_n * sizeof *larger);
        if (!larger)
            return false;
        walk->levels = larger;
        walk->capacity = larger_n;
    }
    struct level *level = &walk->levels[walk->n_levels++];
    *level = (struct level){.node = *node, .wanted = wanted, .hash = pxi_workload_begin (node)};
    pxi_workload_shape (walk->tree, node, &level->shape);
    pxi_serial *serial = walk->serial;
    uint64_t own_ns = level->shape.before_ns + level->shape.after_ns;
    serial->n_all++;
    serial->all_ns += own_ns;
    if (!wanted)
        return true;
    if (serial->n_nodes++ == walk->pick)
        serial->pick_state = node->state;
    serial->work_ns += own_ns;
    serial->depth = node->depth > serial->depth ? node->depth : serial->depth;
    return true;
}

static uint32_t n_wanted (const pxi_shape *shape)
{
    return shape->first_only ? 1 : shape->n_rounds * shape->n_children;
}

static void fold_child (struct level *level, uint64_t hash, pxi_result result, uint64_t critical_ns)
{
    level->hash = pxi_workload_fold (level->hash, hash, result);
    if (critical_ns > level->longest_child_ns)
        level->longest_child_ns = critical_ns;
    if (level->next % level->shape.n_children == 0 || level->next == n_wanted (&level->shape)) {
        level->critical_ns += level->longest_child_ns; /* a round is as long as its longest */
        level->longest_child_ns = 0;
    }
}

static void range_serial (const pxi_tree *tree, pxi_serial *serial)
{
    pxi_node root = pxi_workload_root (tree);
    uint64_t all_ns = tree->n_items * tree->item_ns;
    pxi_node all = pxi_workload_chunk (&root, tree, 0, tree->n_items);
    *serial = (pxi_serial){.hash = pxi_workload_begin (&root) + pxi_workload_begin (&all),
                           .n_nodes = 1,
                           .n_all = 1,
                           .work_ns = all_ns,
                           .all_ns = all_ns,
                           .critical_ns = tree->item_ns,
                           .depth = 1,
                           .pick_state = root.state};
}

bool pxi_workload_serial (const pxi_tree *tree, uint64_t nodes_max, uint64_t pick,
                          pxi_serial *serial)
{
    *serial = (pxi_serial){0};
    if (tree->kind == PXI_TREE_RANGE) {
        range_serial (tree, serial);
        return true;
    }
    struct walk walk = {.tree = tree, .serial = serial, .pick = pick};
    pxi_node node = pxi_workload_root (tree);
    bool fine = enter (&walk, &node, true);
    while (fine && walk.n_levels) {
        struct level *level = &walk.levels[walk.n_levels - 1];
        if (level->next < level->shape.n_rounds * level->shape.n_children) {
            node = pxi_workload_child (tree, &level->node, &level->shape, level->next);
            bool wanted = level->wanted && level->next < n_wanted (&level->shape);
            level->next++;
            fine = serial->n_all < nodes_max && enter (&walk, &node, wanted);
            continue;
        }
        struct level done = *level;
        done.critical_ns += done.shape.before_ns + done.shape.after_ns;
        pxi_result result = done.shape.fails ? PXI_RESULT_FAILED : PXI_RESULT_OK;
        walk.n_levels--;
        if (walk.n_levels && done.wanted)
            fold_child (&walk.levels[walk.n_levels - 1], done.hash, result, done.critical_ns);
        if (walk.n_levels)
            continue;
        serial->hash = done.hash;
        serial->result = result;
        serial->critical_ns = done.critical_ns;
    }
    free (walk.levels);
    return fine;
}
