/* Tasks that only are there. */
#include <time.h>

#include <peerexec/peerexec.h>

#include "bench/tasks.h"

static px_err wait_here (px_task *task, const void *input, size_t input_size)
{
    return px_task_sleep (task, *(const uint64_t *)input);
}
PX_TASK (wait_here)

/* So many tasks that have begun and wait, their slots given away, all at once. */
static px_err waiters (px_task *task, const void *input, size_t input_size)
{
    const waiters_input *plan = input;
    px_branch branch;
    px_err err = px_branch_open (task, "bench.waiters", NULL, &branch);
    if (err != PX_OK)
        return err;
    for (uint64_t i = 0; i < plan->n && err == PX_OK; i++)
        err = px_branch_add (branch, wait_here, &plan->duration_ns, sizeof plan->duration_ns);
    if (err == PX_OK)
        err = px_branch_join (branch);
    px_branch_close (branch);
    return err != PX_OK ? err : px_task_return (task, &plan->n, sizeof plan->n);
}
PX_TASK (waiters)

/* The same at other peers, this one's slot held: they are away until they have waited. */
static px_err away (px_task *task, const void *input, size_t input_size)
{
    const waiters_input *plan = input;
    px_branch branch;
    px_outcome outcome;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.number = (int32_t)plan->n;
    px_err err = px_branch_open (task, "bench.away", &options, &branch);
    if (err != PX_OK)
        return err;
    for (uint64_t i = 0; i < plan->n && err == PX_OK; i++)
        err = px_branch_add (branch, wait_here, &plan->duration_ns, sizeof plan->duration_ns);
    for (uint64_t i = 0; i < plan->n && err == PX_OK;) {
        err = px_branch_result (branch, i, &outcome);
        if (err == PX_EAGAIN) {
            nanosleep (&(struct timespec){.tv_nsec = 1000000}, NULL);
            err = px_task_cancelled (task) ? PX_ECANCELLED : PX_OK;
        } else {
            i++;
        }
    }
    px_branch_close (branch);
    return err != PX_OK ? err : px_task_return (task, &plan->n, sizeof plan->n);
}
PX_TASK (away)

static px_err one_index (px_task *task, const void *input, size_t input_size)
{
    return PX_OK;
}
PX_TASK (one_index)

/* Input: how many indices, a subtask each. Result: as many. */
static px_err indices (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = *(const uint64_t *)input;
    px_err err = px_for (task, "bench.indices", 0, n, 1, one_index, NULL, 0, NULL, NULL);
    return err != PX_OK ? err : px_task_return (task, &n, sizeof n);
}
PX_TASK (indices)
