/* A loop of tasks that all take the same time, asleep with the slot held, as work would: so that a few
 * processors show what many peers do. */
#include <peerexec/peerexec.h>
#include <string.h>
#include <time.h>

#include "bench/tasks.h"

#define STEP_NS UINT64_C (5000000) /* between looks whether the result is still wanted */

static uint64_t ends_ns (const nap_input *nap, uint64_t begin_ns, const char *peer_name)
{
    uint64_t done_ns = nap->slow_from_ns > begin_ns ? nap->slow_from_ns - begin_ns : 0;
    if (!nap->factor || strcmp (peer_name, nap->slow_peer) != 0 || done_ns >= nap->duration_ns)
        return begin_ns + nap->duration_ns;
    return begin_ns + done_ns + (nap->duration_ns - done_ns) * nap->factor;
}

static px_err nap (px_task *task, const void *input, size_t input_size)
{
    uint64_t now_ns = px_now_ns ();
    uint64_t end_ns = ends_ns (input, now_ns, px_task_peer_name (task));
    while (now_ns < end_ns && !px_task_cancelled (task)) {
        uint64_t left_ns = end_ns - now_ns;
        struct timespec rest = {.tv_nsec = (long)(left_ns < STEP_NS ? left_ns : STEP_NS)};
        nanosleep (&rest, NULL);
        now_ns = px_now_ns ();
    }
    return PX_OK;
}
PX_TASK (nap)

static px_err count (void *total, uint64_t index, const px_outcome *outcome)
{
    *(uint64_t *)total += outcome->code == PX_OK;
    return PX_OK;
}

/* Result: how many were done. */
static px_err naps (px_task *task, const void *input, size_t input_size)
{
    const naps_input *loop = input;
    uint64_t n_done = 0;
    px_branch branch;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.react = count;
    options.react_context = &n_done;
    px_err err = px_branch_open (task, "bench.naps", &options, &branch);
    if (err != PX_OK)
        return err;
    for (uint64_t i = 0; i < loop->n && err == PX_OK; i++)
        err = px_branch_add (branch, nap, &loop->nap, sizeof loop->nap);
    if (err == PX_OK)
        err = px_branch_join (branch);
    px_branch_close (branch);
    return err != PX_OK ? err : px_task_return (task, &n_done, sizeof n_done);
}
PX_TASK (naps)
