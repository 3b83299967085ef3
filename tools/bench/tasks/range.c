/* Ranges as the plain OpenCL program computes them (bench/plain.h), as data-parallel tasks: bound by computing
 * or by memory, from inputs in the root's memory to results there.
 *
 * Each is there twice. The second one's C works so long for each item that nobody who measures it has it do
 * more than a trial: what is measured then is a peer that computes the range on its device alone. */
#include <peerexec/peerexec.h>
#include <stdlib.h>
#include <string.h>

#include "bench/plain.h"
#include "bench/tasks.h"

enum { SLOW = 20 }; /* times as long */

static void iterate_many (const px_chunk *chunk)
{
    const float *x = chunk->args[0];
    float *z = chunk->args[1];
    for (uint64_t i = 0; i < chunk->n; i++)
        z[i] = plain_step (x[i]);
}

static void blend_many (const px_chunk *chunk)
{
    const float *x = chunk->args[0], *y = chunk->args[1], *a = chunk->args[3];
    float *z = chunk->args[2];
    for (uint64_t i = 0; i < chunk->n; i++)
        z[i] = *a * x[i] + y[i];
}

static px_err iterate_c (px_task *task, const px_chunk *chunk)
{
    (void)task;
    iterate_many (chunk);
    return PX_OK;
}

static px_err blend_c (px_task *task, const px_chunk *chunk)
{
    (void)task;
    blend_many (chunk);
    return PX_OK;
}

static px_err iterate_slowly_c (px_task *task, const px_chunk *chunk)
{
    for (int i = 0; i < SLOW && !px_task_cancelled (task); i++)
        iterate_many (chunk);
    return PX_OK;
}

static px_err blend_slowly_c (px_task *task, const px_chunk *chunk)
{
    for (int i = 0; i < SLOW && !px_task_cancelled (task); i++)
        blend_many (chunk);
    return PX_OK;
}

static const px_arg iterate_args[] = {
    PX_IN (float), {PX_ARG_OUT, sizeof (float), 1, PX_NUMBER_FLOAT, 1e-4, 0, NULL}};
static const px_arg blend_args[] = {PX_IN (float), PX_IN (float), PX_OUT_FLOAT (1e-6),
                                    PX_VALUE (float)};
PX_RANGE_TASK (iterate, iterate_c, iterate_args, plain_source, "iterate", 1)
PX_RANGE_TASK (blend, blend_c, blend_args, plain_source, "blend", 1)
PX_RANGE_TASK (iterate_slowly, iterate_slowly_c, iterate_args, plain_source, "iterate", 1)
PX_RANGE_TASK (blend_slowly, blend_slowly_c, blend_args, plain_source, "blend", 1)

static px_err compute (px_task *task, const range_input *what, const float *x, const float *y,
                       float *z)
{
    const float a = PLAIN_A;
    uint64_t n = what->n;
    px_bind in_x = PX_BIND_IN (x, n * sizeof *x), in_y = PX_BIND_IN (y, n * sizeof *y);
    px_bind out = PX_BIND_OUT (z, n * sizeof *z), in_a = PX_BIND_IN (&a, sizeof a);
    const px_bind iterated[] = {in_x, out}, blended[] = {in_x, in_y, out, in_a};
    px_range_options options = PX_RANGE_OPTIONS_INIT;
    options.number = what->at_home ? 0 : PX_NUMBER_DEFAULT;
    if (what->kind == PLAIN_ITERATE)
        return px_range_branch (task, "bench.range",
                                what->slow_c ? PX_RANGE (iterate_slowly) : PX_RANGE (iterate), 0, n,
                                iterated, 2, &options);
    return px_range_branch (task, "bench.range",
                            what->slow_c ? PX_RANGE (blend_slowly) : PX_RANGE (blend), 0, n,
                            blended, 4, &options);
}

/* Result's memory has been touched before the time is taken, as a program's own that has run before. */
static px_err range (px_task *task, const void *input, size_t input_size)
{
    const range_input *what = input;
    if (input_size != sizeof *what)
        return px_task_fail (task, "%zu bytes are no range", input_size);
    uint64_t n = what->n;
    float *x = calloc (n, 3 * sizeof *x);
    if (!x)
        return PX_ENOMEM;
    float *y = x + n, *z = y + n;
    plain_fill (x, y, n);
    memset (z, 0xff, n * sizeof *z); /* no numbers */
    uint64_t began_ns = px_now_ns ();
    px_err err = compute (task, what, x, y, z);
    range_output output = {.duration_ns = px_now_ns () - began_ns};
    output.right = err == PX_OK && plain_is_right ((plain_kind)what->kind, x, y, z, n);
    free (x);
    return err != PX_OK ? err : px_task_return (task, &output, sizeof output);
}
PX_TASK (range)
