/* Data-parallel tasks for tests: each root runs one over a range and says how many results are wrong. */
#include <stdlib.h>
#include <string.h>

#include <peerexec/peerexec.h>

enum { TABLE = 64, PER_INDEX = 3 };

/* ---- slices, a shared input, a value, the place of the chunk ------------------------------------ */

static px_err blend_c (px_task *task, const px_chunk *chunk)
{
    const float *x = chunk->args[0], *table = chunk->args[2], *a = chunk->args[3];
    const uint64_t *begin = chunk->args[4], *count = chunk->args[5];
    float *y = chunk->args[1];
    if (*begin != chunk->begin || *count != chunk->n || chunk->sizes[2] != TABLE * sizeof (float))
        return px_task_fail (task, "the chunk is not what its arguments say");
    for (uint64_t i = 0; i < chunk->n; i++) {
        y[i] = 0;
        for (uint64_t k = 0; k < PER_INDEX; k++)
            y[i] += *a * x[i * PER_INDEX + k] + table[(*begin + i) % TABLE];
    }
    return PX_OK;
}
static const px_arg blend_args[] = {
    {PX_ARG_IN, sizeof (float), PER_INDEX, PX_NUMBER_BYTES, 0, 0, NULL},
    PX_OUT_FLOAT (1e-5),
    PX_SHARED (float),
    PX_VALUE (float),
    PX_BEGIN,
    PX_COUNT,
};
PX_RANGE_TASK (blend, blend_c, blend_args, NULL, NULL, 1)

static px_err blend_all (px_task *task, uint64_t begin, uint64_t n, float *x, float *y)
{
    float table[TABLE], a = 0.5f;
    for (uint64_t i = 0; i < TABLE; i++)
        table[i] = (float)i;
    for (uint64_t i = 0; i < n * PER_INDEX; i++)
        x[i] = (float)(i % 1000);
    px_bind binds[] = {PX_BIND_IN (x, n * PER_INDEX * sizeof *x),
                       PX_BIND_OUT (y, n * sizeof *y),
                       PX_BIND_IN (table, sizeof table),
                       PX_BIND_IN (&a, sizeof a),
                       PX_BIND_NONE,
                       PX_BIND_NONE};
    return px_range_branch (task, "range.blend", PX_RANGE (blend), begin, begin + n, binds, 6,
                            NULL);
}

static uint64_t count_wrong (uint64_t begin, uint64_t n, const float *x, const float *y)
{
    uint64_t n_wrong = 0;
    for (uint64_t i = 0; i < n; i++) {
        float right = 0;
        for (uint64_t k = 0; k < PER_INDEX; k++)
            right += 0.5f * x[i * PER_INDEX + k] + (float)((begin + i) % TABLE);
        n_wrong += right != y[i];
    }
    return n_wrong;
}

/* Input: begin, n. Result: how many are wrong. */
static px_err range_blend (px_task *task, const void *input, size_t input_size)
{
    uint64_t range[2];
    if (input_size != sizeof range)
        return PX_EINVAL;
    memcpy (range, input, sizeof range);
    float *x = calloc (range[1] * PER_INDEX + 1, sizeof *x), *y = calloc (range[1] + 1, sizeof *y);
    px_err err = x && y ? blend_all (task, range[0], range[1], x, y) : PX_ENOMEM;
    uint64_t n_wrong = err == PX_OK ? count_wrong (range[0], range[1], x, y) : 0;
    free (x);
    free (y);
    return err != PX_OK ? err : px_task_return (task, &n_wrong, sizeof n_wrong);
}
PX_TASK (range_blend)

/* ---- reductions --------------------------------------------------------------------------------- */

static void add (void *total, const void *part, size_t size)
{
    double sum, more;
    memcpy (&sum, total, size);
    memcpy (&more, part, size);
    sum += more;
    memcpy (total, &sum, size);
}

static void least (void *total, const void *part, size_t size)
{
    double a, b;
    memcpy (&a, total, size);
    memcpy (&b, part, size);
    if (b < a)
        memcpy (total, &b, size);
}

static px_err folds_c (px_task *task, const px_chunk *chunk)
{
    double *sum = chunk->args[0], *smallest = chunk->args[1];
    *sum = 0;
    *smallest = (double)chunk->begin;
    for (uint64_t i = chunk->begin; i < chunk->end; i++)
        *sum += (double)i;
    return PX_OK;
}
static const px_arg folds_args[] = {PX_REDUCED_DOUBLE (add, 1e-12), PX_REDUCED_DOUBLE (least, 0)};
PX_RANGE_TASK (folds, folds_c, folds_args, NULL, NULL, 1000)

/* Input: begin, n. Result: the sum of the indices and 10, less what it should be, and less the least of 7
 * and the indices: all are whole numbers. */
static px_err range_sums (px_task *task, const void *input, size_t input_size)
{
    uint64_t range[2];
    if (input_size != sizeof range)
        return PX_EINVAL;
    memcpy (range, input, sizeof range);
    double sum = 10, smallest = 7;
    px_bind binds[] = {PX_BIND_OUT (&sum, sizeof sum), PX_BIND_OUT (&smallest, sizeof smallest)};
    px_err err = px_range_branch (task, "range.folds", PX_RANGE (folds), range[0],
                                  range[0] + range[1], binds, 2, NULL);
    uint64_t right = 10 + range[1] * range[0] + (range[1] ? range[1] * (range[1] - 1) / 2 : 0);
    uint64_t wrong = (uint64_t)sum - right +
                     (uint64_t)(smallest != (range[1] && range[0] < 7 ? (double)range[0] : 7));
    return err != PX_OK ? err : px_task_return (task, &wrong, sizeof wrong);
}
PX_TASK (range_sums)

/* ---- what goes wrong ---------------------------------------------------------------------------- */

static px_err picky_c (px_task *task, const px_chunk *chunk)
{
    if (chunk->begin <= 500 && 500 < chunk->end)
        return px_task_fail (task, "index 500 is not to my taste");
    return PX_OK;
}
static const px_arg picky_args[] = {PX_OUT (char)};
PX_RANGE_TASK (picky, picky_c, picky_args, NULL, NULL, 1)

static px_err range_fails (px_task *task, const void *input, size_t input_size)
{
    char out[1000];
    px_bind binds[] = {PX_BIND_OUT (out, sizeof out)};
    return px_range_branch (task, "range.picky", PX_RANGE (picky), 0, sizeof out, binds, 1, NULL);
}
PX_TASK (range_fails)

/* Binds that do not fit. Result: how many of them were not refused. */
static px_err range_wrong (px_task *task, const void *input, size_t input_size)
{
    static float x[30], y[10], table[TABLE], a;
    const px_bind right[] = {PX_BIND_IN (x, sizeof x),
                             PX_BIND_OUT (y, sizeof y),
                             PX_BIND_IN (table, sizeof table),
                             PX_BIND_IN (&a, sizeof a),
                             PX_BIND_NONE,
                             PX_BIND_NONE};
    const px_bind wrong[] = {PX_BIND_IN (x, sizeof x - 4), PX_BIND_OUT (NULL, sizeof y),
                             PX_BIND_IN (table, 3), PX_BIND_IN (&a, 8)};
    uint64_t n_taken = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        px_bind binds[6];
        memcpy (binds, right, sizeof binds);
        binds[i] = wrong[i];
        n_taken += px_range_branch (task, "range.wrong", PX_RANGE (blend), 0, 10, binds, 6, NULL) !=
                   PX_EINVAL;
    }
    n_taken +=
        px_range_branch (task, "range.wrong", PX_RANGE (blend), 0, 10, right, 5, NULL) != PX_EINVAL;
    n_taken +=
        px_range_branch (task, "range.wrong", PX_RANGE (blend), 1, 0, right, 6, NULL) != PX_EINVAL;
    px_range_def def = *PX_RANGE (blend);
    def.n_args = 0;
    n_taken += px_range_branch (task, "range.wrong", &def, 0, 10, right, 0, NULL) != PX_EINVAL;
    return px_task_return (task, &n_taken, sizeof n_taken);
}
PX_TASK (range_wrong)
