/* Data-parallel tasks with a kernel, for tests: each root runs one over as many indices as its input says, in
 * text, and says how many results are wrong. What C computes is right; of the kernels one is a twin, and the
 * others are what kernels should not be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/peerexec.h>

enum { TABLE = 64, PER_INDEX = 2 };

static uint64_t number_of (const void *input, size_t input_size)
{
    char text[24] = "";
    if (input_size < sizeof text)
        memcpy (text, input, input_size);
    return strtoull (text, NULL, 10);
}

static px_err say (px_task *task, uint64_t n_wrong, uint64_t n)
{
    char text[64];
    int size = snprintf (text, sizeof text, "%llu of %llu wrong\n", (unsigned long long)n_wrong,
                         (unsigned long long)n);
    return px_task_return (task, text, (size_t)size);
}

/* ---- all kinds of arguments -------------------------------------------------------------------- */

#define ROUNDS 400

static uint32_t mix (uint32_t x, uint32_t a)
{
    for (uint32_t i = 0; i < ROUNDS; i++)
        x = (x ^ x >> 15) * 0x2c1b3c6du + a;
    return x;
}

static void add (void *total, const void *part, size_t size)
{
    uint64_t sum, more;
    memcpy (&sum, total, size);
    memcpy (&more, part, size);
    sum += more;
    memcpy (total, &sum, size);
}

static uint32_t twin (uint64_t index, uint32_t x0, uint32_t x1, uint32_t a, const uint32_t *table)
{
    return mix (x0 + x1, a) + table[index % TABLE];
}

static px_err mixed_c (px_task *task, const px_chunk *chunk)
{
    const uint32_t *x = chunk->args[0], *table = chunk->args[2], *a = chunk->args[3];
    uint32_t *y = chunk->args[1];
    uint64_t *sum = chunk->args[6];
    *sum = 0;
    for (uint64_t i = 0; i < chunk->n; i++) {
        y[i] = twin (chunk->begin + i, x[PER_INDEX * i], x[PER_INDEX * i + 1], *a, table);
        *sum += y[i];
    }
    return px_task_cancelled (task) ? PX_ECANCELLED : PX_OK;
}

static const px_arg mixed_args[] = {
    {PX_ARG_IN, sizeof (uint32_t), PER_INDEX, PX_NUMBER_BYTES, 0, 0, NULL},
    PX_OUT (uint32_t),
    PX_SHARED (uint32_t),
    PX_VALUE (uint32_t),
    PX_BEGIN,
    PX_COUNT,
    {PX_ARG_REDUCED, sizeof (uint64_t), 1, PX_NUMBER_BYTES, 0, 0, add},
};

/* Three indices a work item, so the last one of a chunk may have fewer. */
#define MIXED(result, index)                                                                       \
    "kernel void mixed (global const uint *x, global uint *y, global const uint *table, uint a,\n" \
    "                   ulong begin, ulong count, global ulong *sum)\n"                            \
    "{\n"                                                                                          \
    "    ulong s = 0;\n"                                                                           \
    "    for (ulong i = 3 * get_global_id (0); i < 3 * get_global_id (0) + 3 && i < count; i++) "  \
    "{\n"                                                                                          \
    "        uint v = x[2 * i] + x[2 * i + 1];\n"                                                  \
    "        for (uint k = 0; k < 400; k++)\n"                                                     \
    "            v = (v ^ v >> 15) * 0x2c1b3c6du + a;\n"                                           \
    "        y[" index "] = v + table[(begin + i) % 64]" result ";\n"                              \
    "        s += y[i];\n"                                                                         \
    "    }\n"                                                                                      \
    "    sum[get_global_id (0)] = s;\n"                                                            \
    "}\n"
static const char mixed_cl[] = MIXED ("", "i");
PX_RANGE_TASK (mixed, mixed_c, mixed_args, mixed_cl, "mixed", 3)

static const char liar_cl[] = MIXED (" + (i % 7 == 0)", "i");
PX_RANGE_TASK (liar, mixed_c, mixed_args, liar_cl, "mixed", 3)

static const char broken_cl[] = MIXED (" + undeclared", "i");
PX_RANGE_TASK_AT (broken, mixed_c, mixed_args, broken_cl, "mixed", "", 3, "tests/cluster/broken.cl",
                  101)

static const char outside_cl[] = MIXED ("", "i + (ulong) (size_t) y * 4096");
PX_RANGE_TASK (outside, mixed_c, mixed_args, outside_cl, "mixed", 3)

/* The compiler must not see that it has no end. */
static const char endless_cl[] =
    MIXED (" + (a == 7 ? x[0] : 0); while (((volatile global uint *) x)[0] "
           "< 0xffffffffu) a++; y[i] += a - a",
           "i");
PX_RANGE_TASK (endless, mixed_c, mixed_args, endless_cl, "mixed", 3)

static uint64_t count_wrong (uint64_t begin, uint64_t n, const uint32_t *x, const uint32_t *y,
                             const uint32_t *table, uint32_t a, uint64_t sum)
{
    uint64_t n_wrong = 0;
    for (uint64_t i = 0; i < n; i++) {
        n_wrong += y[i] != twin (begin + i, x[PER_INDEX * i], x[PER_INDEX * i + 1], a, table);
        sum -= y[i];
    }
    return n_wrong + (sum != 0);
}

static px_err run (px_task *task, const px_range_def *def, uint64_t n)
{
    const uint64_t begin = 1000;
    uint32_t table[TABLE], a = 12345;
    uint64_t sum = 0;
    uint32_t *x = calloc (n * PER_INDEX + 1, sizeof *x), *y = calloc (n + 1, sizeof *y);
    for (uint32_t i = 0; i < TABLE; i++)
        table[i] = 77 * i;
    for (uint64_t i = 0; x && i < n * PER_INDEX; i++)
        x[i] = (uint32_t)(i * 2654435761u);
    px_bind binds[] = {PX_BIND_IN (x, n * PER_INDEX * sizeof *x),
                       PX_BIND_OUT (y, n * sizeof *y),
                       PX_BIND_IN (table, sizeof table),
                       PX_BIND_IN (&a, sizeof a),
                       PX_BIND_NONE,
                       PX_BIND_NONE,
                       PX_BIND_OUT (&sum, sizeof sum)};
    px_err err =
        x && y ? px_range_branch (task, "kernels.range", def, begin, begin + n, binds, 7, NULL)
               : PX_ENOMEM;
    uint64_t n_wrong = err == PX_OK ? count_wrong (begin, n, x, y, table, a, sum) : 0;
    free (x);
    free (y);
    return err == PX_OK ? say (task, n_wrong, n) : err;
}

#define ROOT(name)                                                                                 \
    static px_err all_##name (px_task *task, const void *input, size_t input_size)                 \
    {                                                                                              \
        return run (task, PX_RANGE (name), number_of (input, input_size));                         \
    }                                                                                              \
    PX_TASK (all_##name)

ROOT (mixed)
ROOT (liar)
ROOT (broken)
ROOT (outside)
ROOT (endless)

/* ---- a shared input as large as the input says --------------------------------------------------- */

static px_err sampled_c (px_task *task, const px_chunk *chunk)
{
    const uint32_t *shared = chunk->args[0];
    uint32_t *y = chunk->args[1];
    uint64_t n = chunk->sizes[0] / sizeof *shared;
    for (uint64_t i = 0; i < chunk->n; i++)
        y[i] = mix (shared[(chunk->begin + i) * 7919 % n], 1);
    return PX_OK;
}
static const px_arg sampled_args[] = {PX_SHARED (uint32_t), PX_OUT (uint32_t), PX_BEGIN,
                                      PX_VALUE (uint64_t)};
static const char sampled_cl[] =
    "kernel void sampled (global const uint *shared, global uint *y, ulong begin, ulong n)\n"
    "{\n"
    "    uint v = shared[(begin + get_global_id (0)) * 7919 % n];\n"
    "    for (uint k = 0; k < 400; k++)\n"
    "        v = (v ^ v >> 15) * 0x2c1b3c6du + 1;\n"
    "    y[get_global_id (0)] = v;\n"
    "}\n";
PX_RANGE_TASK (sampled, sampled_c, sampled_args, sampled_cl, "sampled", 1)

static px_err all_sampled (px_task *task, const void *input, size_t input_size)
{
    const uint64_t n = 200000, n_shared = number_of (input, input_size);
    uint64_t n_wrong = 0;
    uint32_t *shared = calloc (n_shared + 1, sizeof *shared), *y = calloc (n, sizeof *y);
    for (uint64_t i = 0; shared && i < n_shared; i++)
        shared[i] = (uint32_t)(i * 2654435761u);
    px_bind binds[] = {PX_BIND_IN (shared, n_shared * sizeof *shared),
                       PX_BIND_OUT (y, n * sizeof *y), PX_BIND_NONE,
                       PX_BIND_IN (&n_shared, sizeof n_shared)};
    px_err err = shared && y ? px_range_branch (task, "kernels.sampled", PX_RANGE (sampled), 0, n,
                                                binds, 4, NULL)
                             : PX_ENOMEM;
    for (uint64_t i = 0; err == PX_OK && i < n; i++)
        n_wrong += y[i] != mix (shared[i * 7919 % n_shared], 1);
    free (shared);
    free (y);
    return err == PX_OK ? say (task, n_wrong, n) : err;
}
PX_TASK (all_sampled)

PX_MODULE ("kernels", "1.0")
