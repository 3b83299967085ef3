/* Who crashed the executors of this peer.
 *
 * Tasks are pure: what crashed will crash again. How often a subtask may crash is counted by its master, but
 * each crash takes the other runs of that process along, and what is redone of those asks for their subtasks
 * anew, with nothing counted against them. A few subtrees that take each other's masters along would go on for
 * ever. So each peer counts as well, whoever asks: job, task and the digests of its inputs say what it is. What
 * has crashed PXI_CRASHES_MAX times here is not started again, and crashed for whoever asks.
 *
 * Only a run that was named by its own crash counts. Where nobody was named the process may have been killed
 * from outside, and whoever was in it may be innocent.
 *
 * Invariants: at most PXI_CRASHERS_MAX, the one that crashed last at the end; nothing is allocated and nothing
 * looked up before the first crash. */
#include <string.h>

#include "core/state.h"

static bool is_of (const pxi_crasher *crasher, const pxi_attempt *spec)
{
    return crasher->digest == spec->digest && crasher->task == spec->task &&
           pxi_same_job (crasher->job, spec->job) &&
           pxi_same_shared (&crasher->shared, &spec->shared);
}

static pxi_crasher *find (const pxi_core *core, const pxi_attempt *spec)
{
    for (uint32_t i = 0; i < core->n_crashers && spec->digest; i++) {
        if (is_of (&core->crashers[i], spec))
            return &core->crashers[i];
    }
    return NULL;
}

/* The others move up. */
static void take_out (pxi_core *core, const pxi_crasher *crasher)
{
    uint32_t n_behind = --core->n_crashers - (uint32_t)(crasher - core->crashers);
    pxi_crasher *at = &core->crashers[core->n_crashers - n_behind];
    memmove (at, at + 1, n_behind * sizeof *at);
}

void pxi_crashers_note (pxi_core *core, const pxi_attempt *spec, uint32_t culprit)
{
    if (!core->crashers)
        core->crashers = pxi_core_alloc (core, PXI_CRASHERS_MAX * sizeof *core->crashers);
    if (!core->crashers || !spec->digest)
        return;
    pxi_crasher one = {
        .job = spec->job, .task = spec->task, .digest = spec->digest, .shared = spec->shared};
    const pxi_crasher *known = find (core, spec);
    if (known)
        one = *known;
    if (known || core->n_crashers == PXI_CRASHERS_MAX)
        take_out (core, known ? known : core->crashers);
    one.count++;
    one.culprit = culprit;
    core->crashers[core->n_crashers++] = one;
}

bool pxi_core_remembers (const pxi_core *core, pxi_job_id job)
{
    for (uint32_t i = 0; i < core->n_crashers; i++) {
        if (pxi_same_job (core->crashers[i].job, job))
            return true;
    }
    return false;
}

const pxi_crasher *pxi_crashers_find (const pxi_core *core, const pxi_attempt *spec)
{
    const pxi_crasher *crasher = find (core, spec);
    bool too_often = crasher && crasher->count >= PXI_CRASHES_MAX;
    return too_often && !PXI_MUTANT (CRASHERS_FORGOTTEN) ? crasher : NULL;
}
