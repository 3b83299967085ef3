/* What a remote call costs: subtasks without work, that must run at another peer.
 *
 * The root keeps its peer's only slot while it asks for the outcome, so a subtask can only leave. That it did
 * leave is told by the job's shares: one that ran at home is an error of the measurement, not a fast call. */
#include <peerexec/peerexec.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/tasks.h"

enum { PAUSE_NS = 1000000 };

/* Without work: the input is the result. */
static px_err echo (px_task *task, const void *input, size_t input_size)
{
    return px_task_return (task, input, input_size);
}
PX_TASK (echo)

/* Until that subtask has its outcome, the slot held: with pauses, or spinning. */
static px_err await (px_task *task, px_branch branch, uint64_t index, long pause_ns,
                     px_outcome *outcome)
{
    px_err err;
    while ((err = px_branch_result (branch, index, outcome)) == PX_EAGAIN) {
        if (px_task_cancelled (task))
            return PX_ECANCELLED;
        if (pause_ns)
            nanosleep (&(struct timespec){.tv_nsec = pause_ns}, NULL);
        else
            sched_yield ();
    }
    return err;
}

static px_err call_once (px_task *task, const void *input, size_t size, uint64_t *duration_ns)
{
    px_branch branch;
    px_outcome outcome = {0};
    uint64_t begin_ns = px_now_ns ();
    px_err err = px_branch_open (task, "bench.calls", NULL, &branch);
    if (err != PX_OK)
        return err;
    err = px_branch_add (branch, echo, input, size);
    if (err == PX_OK)
        err = await (task, branch, 0, 0, &outcome);
    *duration_ns = px_now_ns () - begin_ns;
    if (err == PX_OK && (outcome.code != PX_OK || outcome.bytes_size != size))
        err = px_task_fail (task, "%zu bytes came back of %zu", outcome.bytes_size, size);
    px_branch_close (branch);
    return err;
}

static px_err calls (px_task *task, const void *input, size_t input_size)
{
    const calls_input *plan = input;
    void *durations = NULL;
    char *bytes = calloc (1, plan->size + 1);
    px_err err = bytes ? px_task_result (task, plan->n * sizeof (uint64_t), &durations) : PX_ENOMEM;
    for (uint64_t i = 0; i < plan->n && err == PX_OK; i++)
        err = call_once (task, bytes, plan->size, (uint64_t *)durations + i);
    free (bytes);
    return err;
}
PX_TASK (calls)

/* As many under way as peerexec sends; the slot is held asleep, so that the processors are the others'. */
static px_err all_outcomes (px_task *task, px_branch branch, uint64_t n)
{
    px_outcome outcome;
    px_err err = PX_OK;
    for (uint64_t i = 0; i < n && err == PX_OK; i++)
        err = await (task, branch, i, PAUSE_NS, &outcome);
    return err;
}

static px_err many (px_task *task, const void *input, size_t input_size)
{
    const calls_input *plan = input;
    char *bytes = calloc (1, plan->size + 1);
    px_branch branch;
    uint64_t begin_ns = px_now_ns ();
    px_err err = bytes ? px_branch_open (task, "bench.many", NULL, &branch) : PX_ENOMEM;
    if (err == PX_OK) {
        for (uint64_t i = 0; i < plan->n && err == PX_OK; i++)
            err = px_branch_add (branch, echo, bytes, plan->size);
        if (err == PX_OK)
            err = all_outcomes (task, branch, plan->n);
        px_branch_close (branch);
    }
    uint64_t duration_ns = px_now_ns () - begin_ns;
    free (bytes);
    return err != PX_OK ? err : px_task_return (task, &duration_ns, sizeof duration_ns);
}
PX_TASK (many)
