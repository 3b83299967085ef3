/* The trees of UTS. The arithmetic is the benchmark's own, operation by operation: a different
 * rounding would grow a different tree. What is ours is only the order (leaves are counted where
 * they are made and never stored) and the remembered logarithms. */
#include "uts/kernel.h"

#include <math.h>
#include <nettle/sha1.h>
#include <stdlib.h>
#include <string.h>

#define PI_OF_THE_PAPER 3.141592653589793
#define DEPTHS_REMEMBERED 128

/* log (1 - p) of each depth's geometric distribution; 0 = not computed yet, which no depth has. */
typedef struct logarithms {
    double of_depth[DEPTHS_REMEMBERED];
} logarithms;

static void put32 (uint8_t *bytes, uint32_t word)
{
    word = __builtin_bswap32 (word);
    memcpy (bytes, &word, sizeof word);
}

/* SHA-1 of 20 bytes of state and 4 of number: one block, padded once. */
static void hash (const uint32_t state[5], uint32_t number, uint32_t out[5])
{
    static const uint32_t start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t block[64] = {[24] = 0x80, [63] = 24 * 8};
    for (int i = 0; i < 5; i++)
        put32 (block + 4 * i, state[i]);
    put32 (block + 20, number);
    uint32_t work[5];
    memcpy (work, start, sizeof work);
    nettle_sha1_compress (work, block);
    memcpy (out, work, sizeof work);
}

/* The seed takes the place of the state's last word, and is all that is hashed: 20 bytes. */
static void hash_seed (uint32_t seed, uint32_t out[5])
{
    uint8_t bytes[20] = {0};
    uint8_t digest[SHA1_DIGEST_SIZE];
    struct sha1_ctx context;
    put32 (bytes + 16, seed);
    sha1_init (&context);
    sha1_update (&context, sizeof bytes, bytes);
    sha1_digest (&context, sizeof digest, digest);
    for (int i = 0; i < 5; i++) {
        memcpy (&out[i], digest + 4 * i, 4);
        out[i] = __builtin_bswap32 (out[i]);
    }
}

/* The node's random value on [0, 1). */
static double probability (const uts_node *node)
{
    return (double)(node->state[4] & 0x7fffffff) / 2147483648.0;
}

static double branching (const uts_tree *tree, uint32_t depth)
{
    double d = (double)depth, limit = (double)tree->d;
    if (depth == 0)
        return tree->b;
    switch (tree->a) {
    case UTS_EXPONENTIAL:
        return tree->b * pow (d, -log (tree->b) / log (limit));
    case UTS_CYCLIC:
        return d > 5 * limit ? 0 : pow (tree->b, sin (2.0 * PI_OF_THE_PAPER * d / limit));
    case UTS_FIXED:
        return depth < tree->d ? tree->b : 0;
    default:
        return tree->b * (1.0 - d / limit);
    }
}

static double log_of_branching (double b)
{
    double p = 1.0 / (1.0 + b);
    return log (1.0 - p);
}

uts_tree uts_tree_of (const uts_options *options)
{
    return (uts_tree){.b = options->b,
                      .q = options->q,
                      .f = options->f,
                      .log_b = log_of_branching (options->b),
                      .d = (uint32_t)options->d,
                      .m = (uint32_t)options->m,
                      .g = (uint32_t)options->g,
                      .r = (uint32_t)options->r,
                      .t = (uint32_t)options->t,
                      .a = (uint32_t)options->a};
}

static uint32_t children_geometric (const uts_tree *tree, const uts_node *node, double *remembered)
{
    if (*remembered == 0) {
        double b = branching (tree, node->depth);
        *remembered = b == tree->b ? tree->log_b : log_of_branching (b);
    }
    double n = floor (log (1.0 - probability (node)) / *remembered);
    if (!(n > 0))
        return 0;
    return n > UTS_CHILDREN_MAX ? UTS_CHILDREN_MAX : (uint32_t)n;
}

static uint32_t children_binomial (const uts_tree *tree, const uts_node *node)
{
    return probability (node) < tree->q ? tree->m : 0;
}

static uint32_t children (const uts_tree *tree, const uts_node *node, double *remembered)
{
    switch (tree->t) {
    case UTS_BINOMIAL:
        return node->depth == 0 ? (uint32_t)floor (tree->b) : children_binomial (tree, node);
    case UTS_GEOMETRIC:
        return children_geometric (tree, node, remembered);
    case UTS_HYBRID:
        return (double)node->depth < tree->f * (double)tree->d
                   ? children_geometric (tree, node, remembered)
                   : children_binomial (tree, node);
    default:
        return node->depth < tree->d ? (uint32_t)tree->b : 0;
    }
}

static inline void child_make (const uts_tree *tree, const uts_node *parent, uint32_t index,
                               double *remembered, uts_node *child)
{
    for (uint32_t i = 0; i < tree->g; i++)
        hash (parent->state, index, child->state);
    child->depth = parent->depth + 1;
    child->n_children = children (tree, child, remembered);
    child->first = 0;
}

void uts_root (const uts_tree *tree, uts_node *root)
{
    double nothing = 0;
    hash_seed (tree->r, root->state);
    root->depth = 0;
    root->n_children = children (tree, root, &nothing);
    root->first = 0;
}

void uts_count_node (const uts_node *node, uts_count *count)
{
    count->nodes++;
    count->leaves += node->n_children == 0;
    if (node->depth > count->depth)
        count->depth = node->depth;
}

void uts_count_add (uts_count *total, const uts_count *part)
{
    total->nodes += part->nodes;
    total->leaves += part->leaves;
    if (part->depth > total->depth)
        total->depth = part->depth;
}

/* `remembered` is 0, or what was worked out for a sibling or cousin before. */
static inline uint32_t expand (const uts_tree *tree, const uts_node *parent, double *remembered,
                               uts_node *inner, uts_count *count)
{
    uint32_t n_inner = 0;
    for (uint32_t i = parent->first; i < parent->n_children; i++) {
        child_make (tree, parent, i, remembered, &inner[n_inner]);
        uts_count_node (&inner[n_inner], count);
        n_inner += inner[n_inner].n_children > 0;
    }
    return n_inner;
}

uint32_t uts_expand (const uts_tree *tree, const uts_node *parent, uts_node *inner,
                     uts_count *count)
{
    double remembered = 0;
    return expand (tree, parent, &remembered, inner, count);
}

/* Room for `n` more nodes. */
static int reserve (uts_stack *stack, size_t n)
{
    if (stack->n + n <= stack->room)
        return 0;
    size_t room = 2 * (stack->n + n) + 64;
    uts_node *grown = realloc (stack->nodes, room * sizeof *grown);
    if (grown == NULL)
        return -1;
    stack->nodes = grown;
    stack->room = room;
    return 0;
}

int uts_push (uts_stack *stack, const uts_node *node)
{
    if (reserve (stack, 1) < 0)
        return -1;
    stack->nodes[stack->n++] = *node;
    return 0;
}

static double *log_of (logarithms *known, uint32_t depth, double *unknown)
{
    return depth < DEPTHS_REMEMBERED ? &known->of_depth[depth] : unknown;
}

int uts_walk (const uts_tree *tree, uts_stack *stack, uint64_t nodes_max, uts_count *count)
{
    logarithms known = {0};
    uint64_t end = count->nodes + nodes_max;
    while (stack->n > 0 && count->nodes < end) {
        uts_node parent = stack->nodes[--stack->n];
        double unknown = 0, *remembered = log_of (&known, parent.depth + 1, &unknown);
        if (reserve (stack, parent.n_children) < 0)
            return -1;
        stack->n += expand (tree, &parent, remembered, &stack->nodes[stack->n], count);
    }
    return 0;
}

void uts_print (const uts_count *count, example_answer *answer)
{
    example_print (answer, "nodes %llu\nleaves %llu\ndepth %llu\n",
                   (unsigned long long)count->nodes, (unsigned long long)count->leaves,
                   (unsigned long long)count->depth);
}

static int serial (const void *options, example_answer *answer, char *why)
{
    uts_tree tree = uts_tree_of (options);
    uts_stack stack = {0};
    uts_count count = {0};
    uts_node root;
    uts_root (&tree, &root);
    uts_count_node (&root, &count);
    int failed = root.n_children > 0 && uts_push (&stack, &root) < 0;
    failed = failed || uts_walk (&tree, &stack, UINT64_MAX - 1, &count) < 0;
    free (stack.nodes);
    if (failed) {
        strcpy (why, "out of memory");
        return -1;
    }
    uts_print (&count, answer);
    return 0;
}

static int validate (const void *options, char *why)
{
    const uts_options *tree = options;
    if (tree->t == UTS_GEOMETRIC && tree->a == UTS_EXPONENTIAL && (tree->d < 2 || tree->b <= 1)) {
        strcpy (why, "-a 1 needs -d of at least 2 and -b over 1");
        return -1;
    }
    if ((tree->t == UTS_BINOMIAL || tree->t == UTS_HYBRID) && tree->q * (double)tree->m >= 1) {
        strcpy (why, "-q times -m must be under 1: such a tree has no end");
        return -1;
    }
    return 0;
}

/* Defaults are tree T1 of the paper. Chunk and pieces: see tasks.c; bench/README.md has the
 * figures. */
static const uts_options DEFAULTS = {.t = UTS_GEOMETRIC,
                                     .a = UTS_FIXED,
                                     .b = 4,
                                     .d = 10,
                                     .r = 19,
                                     .q = 15.0 / 64.0,
                                     .m = 4,
                                     .f = 0.5,
                                     .g = 1,
                                     .chunk = 4096,
                                     .pieces = 16};

#define FIELD(name) offsetof (uts_options, name)
static const example_option OPTIONS[] = {
    {"-t", EXAMPLE_UNSIGNED, FIELD (t), 0, 3, NULL,
     "tree: 0 binomial, 1 geometric, 2 hybrid, 3 balanced"},
    {"-a", EXAMPLE_UNSIGNED, FIELD (a), 0, 3, NULL,
     "geometric: 0 linear, 1 exponential decrease, 2 cyclic, 3 fixed"},
    {"-b", EXAMPLE_REAL, FIELD (b), 0, 1e6, NULL, "branching of the root"},
    {"-d", EXAMPLE_UNSIGNED, FIELD (d), 1, 1e6, NULL, "geometric: depth"},
    {"-r", EXAMPLE_UNSIGNED, FIELD (r), 0, 2147483647.0, NULL, "seed of the root"},
    {"-q", EXAMPLE_REAL, FIELD (q), 0, 1, NULL, "binomial: probability of an inner node"},
    {"-m", EXAMPLE_UNSIGNED, FIELD (m), 0, UTS_CHILDREN_MAX, NULL, "binomial: its children"},
    {"-f", EXAMPLE_REAL, FIELD (f), 0, 1, NULL, "hybrid: share of -d that is geometric"},
    {"-g", EXAMPLE_UNSIGNED, FIELD (g), 1, 1e9, NULL, "times each child is computed"},
    {"--chunk", EXAMPLE_UNSIGNED, FIELD (chunk), 1, 1e12, NULL,
     "nodes a task walks before it opens a branch; 1 = a task per node with children"},
    {"--pieces", EXAMPLE_UNSIGNED, FIELD (pieces), 1, 4096, NULL, "subtasks of such a branch"},
};

const example_program example = {
    .name = "uts",
    .root = "uts.tree",
    .purpose =
        "Count the nodes of an unbalanced tree (UTS). Without options: tree T1 of the paper.",
    .options = OPTIONS,
    .n_options = sizeof OPTIONS / sizeof OPTIONS[0],
    .defaults = &DEFAULTS,
    .options_size = sizeof (uts_options),
    .validate = validate,
    .serial = serial,
};
