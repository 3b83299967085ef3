/* SAXPY as a range with two sliced inputs and a sliced output, then a range with two reduced outputs.
 * Both are bound by memory: where the device is not itself the processor, its copies cost more than the
 * work, which is found out after a chunk or two; the rest is done in C.
 *
 * A work item of the reduction has many indices, since each leaves a partial result behind; the last one
 * of a chunk may have fewer, so its kernel takes their count. */
#include "saxpy/kernel.h"

#include <peerexec/peerexec.h>
#include <stdlib.h>

PX_MODULE ("saxpy", "1.0")

/* ---- z = a x + y ------------------------------------------------------------------------------ */

static px_err blend_c (px_task *task, const px_chunk *chunk)
{
    (void)task;
    saxpy_blend (*(const float *)chunk->args[3], chunk->args[0], chunk->args[1], chunk->args[2],
                 chunk->n);
    return PX_OK;
}

static const px_arg blend_args[] = {PX_IN (float), PX_IN (float), PX_OUT_FLOAT (1e-6),
                                    PX_VALUE (float)};

enum { BLEND_LINE = __LINE__ + 2 }; /* of the source: compilers of devices name it */
static const char blend_cl[] =
    "#pragma OPENCL FP_CONTRACT OFF\n"
    "kernel void blend (global const float *x, global const float *y, global float *z, float a)\n"
    "{\n"
    "    size_t i = get_global_id (0);\n"
    "    z[i] = a * x[i] + y[i];\n"
    "}\n";
PX_RANGE_TASK_AT (blend, blend_c, blend_args, blend_cl, "blend", "", 1, __FILE__, BLEND_LINE)

/* ---- the sum of z, and the largest of it ------------------------------------------------------ */

enum { ITEM = 4096 }; /* indices of one work item */

static px_err totals_c (px_task *task, const px_chunk *chunk)
{
    (void)task;
    saxpy_totals totals = saxpy_none ();
    saxpy_add (chunk->args[0], chunk->n, &totals);
    *(double *)chunk->args[1] = totals.sum;
    *(float *)chunk->args[2] = totals.largest;
    return PX_OK;
}

static void add (void *total, const void *part, size_t size)
{
    (void)size;
    *(double *)total += *(const double *)part;
}

static void take_larger (void *total, const void *part, size_t size)
{
    (void)size;
    if (*(const float *)part > *(float *)total)
        *(float *)total = *(const float *)part;
}

static const px_arg totals_args[] = {PX_IN (float), PX_REDUCED_DOUBLE (add, 1e-9),
                                     PX_REDUCED_FLOAT (take_larger, 0), PX_COUNT};

enum { TOTALS_LINE = __LINE__ + 2 };
static const char totals_cl[] =
    "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"
    "kernel void totals (global const float *z, global double *sums, global float *largest,\n"
    "                    ulong count)\n"
    "{\n"
    "    ulong begin = get_global_id (0) * 4096, end = min (begin + 4096, count);\n"
    "    double sum = 0;\n"
    "    float most = -INFINITY;\n"
    "    for (ulong i = begin; i < end; i++) {\n"
    "        sum += z[i];\n"
    "        most = fmax (most, z[i]);\n"
    "    }\n"
    "    sums[get_global_id (0)] = sum;\n"
    "    largest[get_global_id (0)] = most;\n"
    "}\n";
PX_RANGE_TASK_AT (totals, totals_c, totals_args, totals_cl, "totals", "", ITEM, __FILE__,
                  TOTALS_LINE)

/* ---- the root task: options as text in, the answer as text out -------------------------------- */

static px_err compute (px_task *task, const saxpy_options *options, float *x, saxpy_totals *totals)
{
    uint64_t n = options->size;
    size_t bytes = n * sizeof *x;
    float a = (float)options->a, *y = x + n, *z = y + n;
    saxpy_make (n, x, y);
    px_bind blended[] = {PX_BIND_IN (x, bytes), PX_BIND_IN (y, bytes), PX_BIND_OUT (z, bytes),
                         PX_BIND_IN (&a, sizeof a)};
    px_err err = px_range_branch (task, "saxpy.blend", PX_RANGE (blend), 0, n, blended,
                                  sizeof blended / sizeof *blended, NULL);
    if (err != PX_OK)
        return err;
    px_bind totalled[] = {PX_BIND_IN (z, bytes), PX_BIND_OUT (&totals->sum, sizeof totals->sum),
                          PX_BIND_OUT (&totals->largest, sizeof totals->largest), PX_BIND_NONE};
    return px_range_branch (task, "saxpy.totals", PX_RANGE (totals), 0, n, totalled,
                            sizeof totalled / sizeof *totalled, NULL);
}

static px_err vectors (px_task *task, const void *input, size_t input_size)
{
    saxpy_options options;
    char why[EXAMPLE_WHY_SIZE];
    if (example_parse (&example, input, input_size, &options, why) < 0)
        return px_task_fail (task, "%s", why);
    saxpy_totals totals = saxpy_none ();
    float *x = calloc (options.size, 3 * sizeof *x);
    px_err err = x ? compute (task, &options, x, &totals) : PX_ENOMEM;
    free (x);
    if (err != PX_OK)
        return err;
    example_answer answer = {0};
    saxpy_print (&options, &totals, &answer);
    err = px_task_return (task, answer.bytes, answer.size);
    example_answer_fini (&answer);
    return err;
}
PX_TASK (vectors)
