/* Tasks that only are there. */
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
