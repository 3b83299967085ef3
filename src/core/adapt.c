/* The number in force: how many remote workers one branch of a branch point may hold, as things go.
 *
 * It begins with the number that was set, which is also the most, but where nobody has set one. It falls when an
 * attempt is lost, is handed back after it was accepted, or is so late that it is done again: to a half, but not below
 * what one branch has really had away since it fell last. So a half of the workers that go away takes it to what is
 * left; and while things break again and again, not everything that comes back is given away at once. It rises by one
 * with each result that paid while all that is allowed was away: that doubles it in about the time of a subtask,
 * since losses are rare and there is no limit near which to creep (unlike TCP's: Jacobson, SIGCOMM 1988; Chiu and Jain,
 * Computer Networks and ISDN Systems 17, 1989).
 *
 * "Busy" says nothing here: in a loaded cluster a branch waits in reservations anyway, and a number that had fallen
 * would be too small at the moment when others leave.
 *
 * A job remembers it per branch point, from the first change on: trees open a branch per node. */
#include "core/state.h"

enum { TRIPS = 8 }; /* of which a batch may take four, and the results' way back one */

void pxi_adapt_down (pxi_adapt *adapt, uint32_t held)
{
    PXI_ASSERT (adapt->number > 0);
    uint32_t half = adapt->number > 1 ? adapt->number / 2 : 1;
    uint32_t least = adapt->peak > half ? adapt->peak : half;
    adapt->number = least < adapt->number ? least : adapt->number;
    adapt->peak = held;
}

void pxi_adapt_up (pxi_adapt *adapt, uint32_t most)
{
    PXI_ASSERT (adapt->number > 0);
    adapt->number += adapt->number < most;
}

/* ---- what is remembered -----------------------------------------------------------------------
 */

/* NULL: nothing has changed the number of this point. */
static pxi_adapt *find (const pxi_job *job, uint64_t point)
{
    for (uint32_t i = 0; point && job->adapts && i < PXI_ADAPTS_MAX; i++) {
        if (job->adapts[i].point == point)
            return &job->adapts[i];
    }
    return NULL;
}

/* NULL: it does not adapt, nothing of it may leave (what is late on this peer's own device is done again all the
 * same), or there is no room for one more. */
static pxi_adapt *ensure (pxi_core *core, const pxi_branch *branch)
{
    pxi_job *job = branch->job;
    pxi_adapt *adapt = find (job, branch->point);
    if (adapt || !branch->point || !branch->given || !core->config.adaptation)
        return adapt;
    if (!job->adapts)
        job->adapts = pxi_core_alloc (core, PXI_ADAPTS_MAX * sizeof *job->adapts);
    for (uint32_t i = 0; job->adapts && i < PXI_ADAPTS_MAX; i++) {
        if (job->adapts[i].point)
            continue;
        job->adapts[i] = (pxi_adapt){branch->point, branch->given, branch->given};
        return &job->adapts[i];
    }
    return NULL;
}

static void take_number (pxi_core *core, pxi_branch *branch, const pxi_adapt *adapt)
{
    branch->number = adapt->number < branch->most ? adapt->number : branch->most;
    pxi_branch_cap (core, branch);
}

/* All branches of the point that have something away. */
static void take_numbers (pxi_core *core, const pxi_branch *branch, const pxi_adapt *adapt)
{
    SAY (core, "b%llu: %u at once from now on", (unsigned long long)branch->id, adapt->number);
    PXI_LIST_EACH (link, &branch->job->branches)
    {
        pxi_branch *other = PXI_LIST_ENTRY (link, pxi_branch, in_job);
        if (other->point == adapt->point)
            take_number (core, other, adapt);
    }
}

/* ---- what happens -----------------------------------------------------------------------------
 */

void pxi_adapt_begin (pxi_core *core, pxi_branch *branch)
{
    const pxi_adapt *adapt = find (branch->job, branch->point);
    if (adapt)
        take_number (core, branch, adapt);
}

void pxi_adapt_held (const pxi_branch *branch)
{
    pxi_adapt *adapt = find (branch->job, branch->point);
    if (adapt && adapt->peak < branch->held)
        adapt->peak = branch->held;
}

static uint32_t most_held (const pxi_branch *branch)
{
    uint32_t held = 0;
    PXI_LIST_EACH (link, &branch->job->branches)
    {
        const pxi_branch *other = PXI_LIST_ENTRY (link, pxi_branch, in_job);
        if (other->point == branch->point && other->held > held)
            held = other->held;
    }
    return held;
}

void pxi_adapt_broken (pxi_core *core, const pxi_branch *branch)
{
    pxi_adapt *adapt = ensure (core, branch);
    uint32_t before = adapt ? adapt->number : 0;
    if (!adapt)
        return;
    pxi_adapt_down (adapt, most_held (branch));
    if (adapt->number < before)
        take_numbers (core, branch, adapt);
}

/* A half of the time that it was away it was worked on, not counting the way. */
bool pxi_adapt_pays (const pxi_core *core, const pxi_attempt_state *attempt, uint64_t run_ns)
{
    uint64_t away_ns = core->now_ns - attempt->sent_ns;
    return pxi_branch_full (attempt->subtask->branch) &&
           away_ns <= 2 * run_ns + TRIPS * attempt->peer->rtt_ns;
}

void pxi_adapt_paid (pxi_core *core, const pxi_branch *branch)
{
    pxi_adapt *adapt = branch->number < branch->most ? ensure (core, branch) : NULL;
    if (!adapt)
        return;
    pxi_adapt_up (adapt, branch->most);
    take_numbers (core, branch, adapt);
}
