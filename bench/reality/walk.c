/* The task: walks the tree of src/sim/workload with the virtual executors' own functions, and sleeps where
 * they let time pass. The slot is held meanwhile, as work would, so that more peers than processors work at
 * the same time. */
#include <errno.h>
#include <time.h>

#include "core/limits.h"
#include "reality/reality.h"

PX_MODULE ("reality", "1.0")

static void hold (uint64_t duration_ns)
{
    uint64_t until_ns = px_now_ns () + duration_ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / PXI_SECOND),
                             .tv_nsec = (long)(until_ns % PXI_SECOND)};
    while (duration_ns && clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
}

static px_err walk (px_task *task, const void *input, size_t input_size);

static px_err fold_children (px_branch branch, uint32_t n, uint64_t *hash)
{
    for (uint32_t i = 0; i < n; i++) {
        px_outcome outcome;
        px_err err = px_branch_result (branch, i, &outcome);
        if (err != PX_OK)
            return err;
        if (outcome.bytes_size != sizeof *hash)
            return PX_EFAILED;
        *hash = pxi_workload_fold (*hash, *(const uint64_t *)outcome.bytes, PXI_RESULT_OK);
    }
    return PX_OK;
}

static px_err walk_round (px_task *task, const reality_input *work, const pxi_shape *shape,
                          uint32_t round, uint64_t *hash)
{
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.number = (int32_t)shape->number;
    px_branch branch;
    px_err err = px_branch_open (task, "reality.children", &options, &branch);
    if (err != PX_OK)
        return err;
    for (uint32_t i = 0; i < shape->n_children && err == PX_OK; i++) {
        uint32_t index = round * shape->n_children + i;
        reality_input child = {work->tree,
                               pxi_workload_child (&work->tree, &work->node, shape, index)};
        err = px_branch_add (branch, walk, &child, sizeof child);
    }
    if (err == PX_OK)
        err = px_branch_join (branch);
    if (err == PX_OK)
        err = fold_children (branch, shape->n_children, hash);
    px_branch_close (branch);
    return err;
}

static px_err walk (px_task *task, const void *input, size_t input_size)
{
    const reality_input *work = input;
    if (input_size != sizeof *work)
        return px_task_fail (task, "%zu bytes are no node", input_size);
    pxi_shape shape;
    pxi_workload_shape (&work->tree, &work->node, &shape);
    uint64_t hash = pxi_workload_begin (&work->node);
    px_err err = PX_OK;
    hold (shape.before_ns);
    for (uint32_t round = 0; round < shape.n_rounds && err == PX_OK; round++)
        err = walk_round (task, work, &shape, round, &hash);
    hold (shape.after_ns);
    return err != PX_OK ? err : px_task_return (task, &hash, sizeof hash);
}
PX_TASK (walk)
