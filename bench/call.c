/* What a remote call costs: one subtask without work, that must run at another peer, from
 * px_branch_add () until its outcome is there. And what a local one costs, for comparison.
 *
 *     call [--px-local 1] --px-slots 1 [--calls N] [--json]
 *
 * The root keeps its peer's only slot while it asks for the outcome, so the subtask can only leave.
 * The answer is nanoseconds per call, in the order of the calls; percentiles are taken here. Every
 * call also tells which peer ran it: one that ran here is an error of the measurement, not a fast
 * call. */
#include <peerexec/peerexec.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 100000
#define SPAWNS 1000000

PX_MODULE ("call", "1.0")

static px_err noop (px_task *task, const void *input, size_t input_size)
{
    uint64_t id = px_task_peer_id (task);
    return px_task_return (task, &id, sizeof id);
}
PX_TASK (noop)

static px_err empty (px_task *task, const void *input, size_t input_size)
{
    return PX_OK;
}
PX_TASK (empty)

/* Wait with the slot held. */
static px_err spin (px_task *task, px_branch branch, px_outcome *outcome)
{
    px_err err;
    while ((err = px_branch_result (branch, 0, outcome)) == PX_EAGAIN) {
        if (px_task_cancelled (task))
            return PX_ECANCELLED;
        sched_yield ();
    }
    return err;
}

static px_err call_once (px_task *task, uint64_t *duration_ns)
{
    char input[64] = {0};
    px_branch branch;
    px_outcome outcome = {0};
    uint64_t begin_ns = px_now_ns ();
    px_err err = px_branch_open (task, "call.remote", NULL, &branch);
    if (err != PX_OK)
        return err;
    err = px_branch_add (branch, noop, input, sizeof input);
    if (err == PX_OK)
        err = spin (task, branch, &outcome);
    *duration_ns = px_now_ns () - begin_ns;
    uint64_t id = 0;
    if (err == PX_OK && outcome.code == PX_OK && outcome.bytes_size == sizeof id)
        memcpy (&id, outcome.bytes, sizeof id);
    px_branch_close (branch);
    if (err == PX_OK && (id == 0 || id == px_task_peer_id (task)))
        return px_task_fail (task, "the call did not run at another peer");
    return err;
}

/* Input: number of calls. Result: that many durations. */
static px_err remote (px_task *task, const void *input, size_t input_size)
{
    uint64_t n_calls;
    void *durations = NULL;
    if (input_size != sizeof n_calls)
        return px_task_fail (task, "%zu bytes are no number of calls", input_size);
    memcpy (&n_calls, input, sizeof n_calls);
    px_err err = px_task_result (task, n_calls * sizeof (uint64_t), &durations);
    for (uint64_t i = 0; i < n_calls && err == PX_OK; i++)
        err = call_once (task, (uint64_t *)durations + i);
    return err;
}
PX_TASK (remote)

/* Spawn and join subtasks in one branch that stays here. Result: nanoseconds. */
static px_err local (px_task *task, const void *input, size_t input_size)
{
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.number = 0;
    uint64_t begin_ns = px_now_ns ();
    for (uint64_t done = 0; done < SPAWNS; done += 100) {
        px_branch branch;
        px_err err = px_branch_open (task, "call.local", &options, &branch);
        if (err != PX_OK)
            return err;
        for (int i = 0; i < 100 && err == PX_OK; i++)
            err = px_branch_add (branch, empty, NULL, 0);
        if (err == PX_OK)
            err = px_branch_join (branch);
        px_branch_close (branch);
        if (err != PX_OK)
            return err;
    }
    uint64_t duration_ns = px_now_ns () - begin_ns;
    return px_task_return (task, &duration_ns, sizeof duration_ns);
}
PX_TASK (local)

static int by_value (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Run a root task; its result goes to `result`. Returns its size, or 0 after telling why. */
static size_t run_root (px_peer *peer, const char *name, const void *input, size_t input_size,
                        void *result, size_t result_size)
{
    px_job *job = NULL;
    px_outcome outcome = {0};
    px_err err = px_job_submit (peer, name, input, input_size, NULL, &job);
    if (err == PX_OK)
        err = px_job_wait (job, PX_FOREVER, &outcome);
    if (err == PX_OK)
        err = outcome.code;
    size_t size = 0;
    if (err == PX_OK && outcome.bytes_size <= result_size) {
        memcpy (result, outcome.bytes, outcome.bytes_size);
        size = outcome.bytes_size;
    } else {
        char text[4096] = "";
        px_outcome_print (&outcome, text, sizeof text);
        fprintf (stderr, "call: %s: %s\n%s", name, px_err_text (err), text);
    }
    px_job_free (&job);
    return size;
}

static int measure_remote (px_peer *peer, uint64_t n_calls, uint64_t *durations, int json)
{
    uint64_t n_warm = 100;
    if (px_peer_wait (peer, 1, px_deadline_ns (5000000000u)) != PX_OK) {
        fprintf (stderr, "call: no other peer (try --px-local 1)\n");
        return 1;
    }
    if (run_root (peer, "call.remote", &n_warm, sizeof n_warm, durations, 8 * CALLS_MAX) == 0 ||
        run_root (peer, "call.remote", &n_calls, sizeof n_calls, durations, 8 * CALLS_MAX) == 0)
        return 1;
    qsort (durations, n_calls, sizeof *durations, by_value);
    double p50_us = (double)durations[n_calls / 2] * 1e-3;
    double p99_us = (double)durations[n_calls * 99 / 100] * 1e-3;
    printf (json ? "{\"calls\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n"
                 : "remote call without work: %llu calls, p50 %.1f us, p99 %.1f us\n",
            (unsigned long long)n_calls, p50_us, p99_us);
    return 0;
}

static int measure_local (px_peer *peer, int json)
{
    uint64_t duration_ns;
    if (run_root (peer, "call.local", NULL, 0, &duration_ns, sizeof duration_ns) == 0)
        return 1;
    printf (json ? "{\"spawns\": %d, \"ns\": %.1f}\n"
                 : "local subtask without work, spawn and join: %d subtasks, %.1f ns each\n",
            SPAWNS, (double)duration_ns / SPAWNS);
    return 0;
}

static int run (px_peer *peer, int argc, char **argv)
{
    uint64_t n_calls = 5000;
    int json = 0, here = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp (argv[i], "--json") == 0)
            json = 1;
        else if (strcmp (argv[i], "--local") == 0)
            here = 1;
        else if (strcmp (argv[i], "--calls") == 0 && i + 1 < argc)
            n_calls = strtoull (argv[++i], NULL, 10);
        else
            n_calls = 0;
    }
    if (n_calls < 1 || n_calls > CALLS_MAX) {
        fprintf (stderr,
                 "usage: call --px-slots 1 [--px-local 1] [--calls N | --local] [--json]\n");
        return 2;
    }
    if (here)
        return measure_local (peer, json);
    uint64_t *durations = calloc (CALLS_MAX, sizeof *durations);
    int code = durations ? measure_remote (peer, n_calls, durations, json) : 1;
    free (durations);
    return code;
}

int main (int argc, char **argv)
{
    return px_main (argc, argv, &px_module_v1, run);
}
