/* What a local subtask costs: spawn and join, through the public calls.
 *
 * fib has a task for every call and no cutoff; a task is spawned for one of its two calls, the other is made
 * in place. Its serial twin is the tool's. */
#include <peerexec/peerexec.h>
#include <stdlib.h>

#include "bench/tasks.h"

/* ---- fib by branches ---------------------------------------------------------------------------
 */

static px_err by_branch (px_task *task, const void *input, size_t input_size);

static px_err branch_fib (px_task *task, uint64_t n, uint64_t *result)
{
    uint64_t less = n - 1, rest;
    px_branch branch;
    px_outcome outcome;
    *result = n;
    if (n < 2)
        return PX_OK;
    px_err err = px_branch_open (task, "bench.fib", NULL, &branch);
    if (err != PX_OK)
        return err;
    err = px_branch_add (branch, by_branch, &less, sizeof less);
    if (err == PX_OK)
        err = branch_fib (task, n - 2, &rest);
    if (err == PX_OK)
        err = px_branch_join (branch);
    if (err == PX_OK)
        err = px_branch_result (branch, 0, &outcome);
    if (err == PX_OK)
        *result = rest + *(const uint64_t *)outcome.bytes;
    px_branch_close (branch);
    return err;
}

static px_err by_branch (px_task *task, const void *input, size_t input_size)
{
    uint64_t result;
    if (input_size != sizeof result)
        return px_task_fail (task, "%zu bytes are no number", input_size);
    px_err err = branch_fib (task, *(const uint64_t *)input, &result);
    return err != PX_OK ? err : px_task_return (task, &result, sizeof result);
}
PX_TASK (by_branch)

/* ---- fib by spawning ---------------------------------------------------------------------------
 */

PX_TYPED_TASK (fib, uint64_t, uint64_t)

static px_err spawn_fib (px_task *task, uint64_t n, uint64_t *result)
{
    uint64_t less = n - 1, rest, more;
    px_subtask subtask;
    *result = n;
    if (n < 2)
        return PX_OK;
    px_err err = px_spawn (task, &fib_task, &less, &subtask);
    if (err == PX_OK)
        err = spawn_fib (task, n - 2, &rest);
    if (err == PX_OK)
        err = px_sync (task, &subtask, &more);
    if (err == PX_OK)
        *result = rest + more;
    return err;
}

static px_err fib (px_task *task, const uint64_t *n, uint64_t *result)
{
    return spawn_fib (task, *n, result);
}

/* Without fib's own work: a loop. Input: how often. Result: as many. */
PX_TYPED_TASK (leaf, uint64_t, uint64_t)
PX_TYPED_TASK (leaves, uint64_t, uint64_t)

static px_err leaf (px_task *task, const uint64_t *n, uint64_t *result)
{
    *result = *n + 1;
    return PX_OK;
}

static px_err leaves (px_task *task, const uint64_t *n, uint64_t *result)
{
    px_subtask subtask;
    px_err err = PX_OK;
    *result = 0;
    while (*result < *n && err == PX_OK) {
        err = px_spawn (task, &leaf_task, result, &subtask);
        if (err == PX_OK)
            err = px_sync (task, &subtask, result);
    }
    return err;
}

/* ---- growth ------------------------------------------------------------------------------------
 */

static px_err empty (px_task *task, const void *input, size_t input_size)
{
    return PX_OK;
}
PX_TASK (empty)

/* Input: how many subtasks wait at once. Result: how many were run. */
static px_err waiting (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = *(const uint64_t *)input, done = 0;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.number = 0;
    for (; done < GROWTH_SUBTASKS; done += n) {
        px_branch branch;
        px_err err = px_branch_open (task, "bench.waiting", &options, &branch);
        for (uint64_t i = 0; i < n && err == PX_OK; i++)
            err = px_branch_add (branch, empty, NULL, 0);
        if (err == PX_OK)
            err = px_branch_join (branch);
        px_branch_close (branch);
        if (err != PX_OK)
            return err;
    }
    return px_task_return (task, &done, sizeof done);
}
PX_TASK (waiting)

static px_err join_all (px_branch *branches, uint64_t n)
{
    px_err err = PX_OK;
    while (n-- > 0 && err == PX_OK) {
        err = px_branch_join (branches[n]);
        px_branch_close (branches[n]);
    }
    return err;
}

/* Input: how many branches are open at once, one subtask in each. Result: how many were run. */
static px_err open_branches (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = *(const uint64_t *)input, done = 0;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.number = 0;
    px_branch *branches = calloc (n, sizeof *branches);
    px_err err = branches ? PX_OK : PX_ENOMEM;
    for (; done < GROWTH_SUBTASKS && err == PX_OK; done += n) {
        for (uint64_t i = 0; i < n && err == PX_OK; i++) {
            err = px_branch_open (task, "bench.open", &options, &branches[i]);
            if (err == PX_OK)
                err = px_branch_add (branches[i], empty, NULL, 0);
        }
        if (err == PX_OK)
            err = join_all (branches, n);
    }
    free (branches);
    return err != PX_OK ? err : px_task_return (task, &done, sizeof done);
}
PX_TASK (open_branches)
