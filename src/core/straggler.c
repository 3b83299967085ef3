/* Stragglers: which attempt is later than its branch can explain, and whether doing it again pays.
 *
 * Three things are needed (rule 6): evidence (most of the job is done, at least SAMPLES_MIN run times of
 * the same task are known, and the age is over the larger of their 95th percentile and a multiple of
 * their median, plus the round trip; or its worker answers no question, handshake.c; or it does not get
 * on, is_stuck); a free resource (a slot here with nothing takeable, or an offer in hand: never a
 * reservation, so a saturated cluster duplicates nothing); and budget (redo_percent of the attempts under
 * way, at least one; and of the work done 1/20, or half for the first; where a worker is silent or stuck,
 * or was beaten before, a slot here that is free). What has subtasks of its own is no straggler while
 * they get done. While a good part of what a worker has is being done again nothing else goes there
 * (pxi_view_held_up): it would be late as well. When fewer than a quarter of the extra attempts win, the
 * multiple doubles: then these tasks are not late but large. (LATE: Zaharia et al. 2008; budget as in
 * SCIENCE.md 3.) */
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

enum {
    SAMPLES_KEPT = 32,
    SAMPLES_MIN = 5,
    MULTIPLE = 2,
    BUDGET_PART = 20,
    FIRST_PART = 2,
    DONE_PART = 3,        /* for each attempt under way so many are done */
    ALIKE = 4,            /* 95th percentile over median, up to which tasks are of one size */
    CLOSE = 2,            /* the same, of those that say what the next one takes */
    JUDGED_MIN = 8,       /* extra attempts before their rate of winning counts */
    STUCK_HANDSHAKES = 3, /* without progress: what is below may just be long */
    OVERDUE_LOOKS = 256,  /* attempts looked at each time that a slot here has nothing to do */
    HURRY_MAX = 16, /* attempts of a job that is about to end: more of them keep everybody busy */
};
/* Between two looks: the first, or half the shortest time of a task, up to these. */
#define WATCH_NS (50 * PXI_MS)
#define NOISE_NS (50 * PXI_MS / 1000) /* run times below are alike, whatever they are */
#define WATCH_HURRY_NS (100 * PXI_MS) /* while somebody is asked out of turn */
#define WATCH_MAX_NS (400 * PXI_MS)
#define ANY_TASK UINT32_MAX
#define CHUNK_WATCH_NS (5 * PXI_MS) /* a device's first chunk has a kernel compiled before it */
#define CHUNK_AGE_MIN_NS (5 * PXI_MS)
#define AGE_MIN_NS (20 * PXI_MS) /* below, a new attempt costs more than it can win */

void pxi_straggler_sample (pxi_job *job, uint32_t task, uint64_t run_ns)
{
    uint32_t at = job->n_samples++ % SAMPLES_KEPT;
    job->samples[at].run_ns = run_ns;
    job->samples[at].task = task;
}

void pxi_straggler_chunk (pxi_job *job, uint64_t n_items, uint64_t run_ns)
{
    uint64_t cost = pxi_speed_cost (n_items, run_ns);
    job->range.most_cost = cost > job->range.most_cost ? cost : job->range.most_cost;
}

static int by_size (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint32_t n_kept (const pxi_job *job)
{
    return job->n_samples < SAMPLES_KEPT ? job->n_samples : SAMPLES_KEPT;
}

/* ANY_TASK: of all of them. */
static uint32_t samples_of (const pxi_job *job, uint32_t task, uint64_t sorted[SAMPLES_KEPT])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_kept (job); i++) {
        if (job->samples[i].task == task || task == ANY_TASK)
            sorted[n++] = job->samples[i].run_ns;
    }
    /* cppcheck-suppress uninitvar ; the first n are set */
    qsort (sorted, n, sizeof *sorted, by_size);
    return n;
}

uint64_t pxi_straggler_median_ns (const pxi_job *job, uint32_t task)
{
    uint64_t sorted[SAMPLES_KEPT];
    uint32_t n = samples_of (job, task, sorted);
    return n ? sorted[n / 2] : 0;
}

static uint64_t alike_ns_of (const pxi_job *job)
{
    uint64_t sorted[SAMPLES_KEPT];
    uint32_t n = samples_of (job, ANY_TASK, sorted);
    if (n < SAMPLES_MIN)
        return 0;
    uint64_t median_ns = sorted[n / 2] ? sorted[n / 2] : 1;
    uint64_t alike_ns = ALIKE * median_ns > NOISE_NS ? ALIKE * median_ns : NOISE_NS;
    return sorted[n * 3 / 4] <= alike_ns ? median_ns : 0; /* a few may have been interrupted */
}

/* Asked several times for each message, it changes with samples only. */
uint64_t pxi_straggler_alike_ns (pxi_job *job)
{
    if (job->alike_at != job->n_samples)
        job->alike_ns = alike_ns_of (job);
    job->alike_at = job->n_samples;
    return job->alike_ns;
}

/* Of the job's own samples, where they are close to each other: else sizes or peers differ, and what is known of
 * the task by size says more. */
static pxi_cost_span close_of (const pxi_job *job, uint32_t task)
{
    uint64_t sorted[SAMPLES_KEPT];
    uint32_t n = samples_of (job, task, sorted);
    if (n < SAMPLES_MIN)
        return (pxi_cost_span){0};
    uint64_t least_ns = sorted[n / 20], most_ns = sorted[(n * 95 + 99) / 100 - 1];
    if (most_ns > CLOSE * least_ns)
        return (pxi_cost_span){0};
    return (pxi_cost_span){n, least_ns, sorted[n / 2], most_ns + most_ns / n};
}

pxi_cost_span pxi_straggler_close (pxi_job *job, uint32_t task)
{
    if (job->close_at != job->n_samples || job->close_task != task)
        job->close = close_of (job, task);
    job->close_at = job->n_samples;
    job->close_task = task;
    return job->close;
}

static uint64_t multiple (const pxi_job *job)
{
    bool they_lose = job->extra_started >= JUDGED_MIN && 4 * job->extra_won < job->extra_started;
    return they_lose ? 2 * MULTIPLE : MULTIPLE;
}

/* What is asked of every subtask of a job in turn, and is the same for all of one task. */
typedef struct verdict {
    bool known;
    uint32_t task;
    uint64_t late_ns;
} verdict;

/* Age over which an attempt of `task` is late; UINT64_MAX = no evidence. Where sizes differ widely it may be
 * a tree, and while nobody has reported whether it is, that is none. */
static uint64_t late_after_ns (const pxi_job *job, uint32_t task)
{
    uint64_t sorted[SAMPLES_KEPT];
    uint32_t n = samples_of (job, task, sorted);
    if (n < SAMPLES_MIN)
        return UINT64_MAX;
    uint64_t median_ns = sorted[n / 2], p95_ns = sorted[(n * 95 + 99) / 100 - 1];
    if (!job->heard_of && p95_ns > ALIKE * median_ns)
        return UINT64_MAX;
    uint64_t late_ns = multiple (job) * median_ns;
    late_ns = late_ns > p95_ns ? late_ns : p95_ns;
    return late_ns > AGE_MIN_NS ? late_ns : AGE_MIN_NS;
}

static uint64_t late_ns_of (const pxi_job *job, uint32_t task, verdict *last)
{
    if (!last->known || last->task != task)
        *last = (verdict){true, task, late_after_ns (job, task)};
    return last->late_ns;
}

/* By the slowest of its range so far; UINT64_MAX = there was none. */
static uint64_t slowest_ns (const pxi_subtask *subtask)
{
    const pxi_speed slowest = {.item_cost = subtask->job->range.most_cost};
    return pxi_speed_ns (&slowest, subtask->spec.n_items);
}

/* A chunk is judged by what was expected when it was cut; one of a taker of whom nothing was known then, by the
 * slowest so far. */
static uint64_t chunk_late_ns (const pxi_job *job, const pxi_subtask *subtask)
{
    uint64_t expect_ns = subtask->expect_ns ? subtask->expect_ns : slowest_ns (subtask);
    if (expect_ns > UINT64_MAX / (2 * MULTIPLE))
        return UINT64_MAX;
    uint64_t late_ns = multiple (job) * expect_ns;
    return late_ns > CHUNK_AGE_MIN_NS ? late_ns : CHUNK_AGE_MIN_NS;
}

/* The first, of a subtask that has any. */
static const pxi_attempt_state *first_of (const pxi_subtask *subtask)
{
    return PXI_LIST_ENTRY (subtask->attempts.next, pxi_attempt_state, in_subtask);
}

/* The one attempt of a subtask that is away and not redone; NULL = it is something else. */
static const pxi_attempt_state *only_of (const pxi_subtask *subtask)
{
    return subtask->n_attempts == 1 && subtask->state == SUBTASK_AWAY ? first_of (subtask) : NULL;
}

/* What is lost if a new attempt wins: all that the first has done so far. On a device, whose time is no
 * slot's, what the new one does at most. */
static uint64_t lost_ns (const pxi_core *core, const pxi_subtask *subtask)
{
    const pxi_attempt_state *first = first_of (subtask);
    uint64_t age_ns = core->now_ns - first->sent_ns;
    uint64_t again_ns = first->device ? slowest_ns (subtask) : UINT64_MAX;
    return age_ns < again_ns ? age_ns : again_ns;
}

static uint64_t at_stake_now_ns (const pxi_core *core, const pxi_job *job)
{
    uint64_t sum_ns = 0;
    PXI_LIST_EACH (link, &job->subtasks)
    {
        const pxi_subtask *subtask = PXI_LIST_ENTRY (link, pxi_subtask, in_job);
        if (subtask->n_attempts > 1)
            sum_ns += lost_ns (core, subtask);
    }
    return sum_ns;
}

static bool slots_in_budget (const pxi_core *core, const pxi_job *job)
{
    uint32_t at_once = job->n_attempts * core->config.redo_percent / 100;
    return job->n_extra < (at_once ? at_once : 1) || PXI_MUTANT (BUDGET_IGNORED);
}

/* What was wasted and what is at stake stays within a twentieth of the work done; within a half for the first, so
 * that small jobs have one. */
static bool work_in_budget (const pxi_job *job, uint64_t at_stake_ns)
{
    uint64_t extra_ns = job->extra_ns + at_stake_ns;
    uint32_t part = job->extra_started ? BUDGET_PART : FIRST_PART;
    return extra_ns <= job->work_ns / part || PXI_MUTANT (BUDGET_IGNORED);
}

/* An attempt that has subtasks of its own is as large as they are: while they get done it is at work,
 * however old it is. Flat ones report no progress, and are judged by their age alone: a frozen worker
 * reports nothing at all. */
static bool gets_on (const pxi_core *core, const pxi_attempt_state *attempt)
{
    return attempt->subtask->job->nests &&
           core->now_ns - attempt->progressed_ns < STUCK_HANDSHAKES * core->handshake_ns;
}

/* Before, those that are done are the short ones, and most of the others look late beside them. */
static bool mostly_done (const pxi_job *job)
{
    return job->n_samples >= (uint64_t)DONE_PART * job->n_attempts;
}

static bool silent (const pxi_subtask *subtask)
{
    const pxi_peer *peer = first_of (subtask)->peer;
    return peer && pxi_handshake_silent (peer);
}

static uint64_t longest_ns (const pxi_job *job)
{
    uint64_t longest_ns = 0;
    for (uint32_t i = 0; i < n_kept (job); i++)
        longest_ns = job->samples[i].run_ns > longest_ns ? job->samples[i].run_ns : longest_ns;
    return longest_ns;
}

/* Of what it has below it nothing has ended for longer than anything in this job has taken, and than it got on
 * before: its worker answers, but it hardly computes. Run times of its like may not be known, nor would they say
 * anything: it is as large as what is below it. */
static bool is_stuck (const pxi_core *core, const pxi_subtask *subtask)
{
    const pxi_job *job = subtask->job;
    const pxi_attempt_state *only = only_of (subtask);
    if (!only || !only->peer || !job->nests || !job->n_samples)
        return false;
    uint64_t still_ns = core->now_ns - only->progressed_ns;
    return still_ns > STUCK_HANDSHAKES * core->handshake_ns &&
           still_ns > multiple (job) * longest_ns (job) &&
           still_ns > only->progressed_ns - only->sent_ns;
}

static bool is_late (const pxi_core *core, const pxi_subtask *subtask, const pxi_peer *target,
                     verdict *last)
{
    const pxi_attempt_state *only = only_of (subtask);
    bool is_chunk = only && subtask->spec.n_items;
    if (!only || (!only->peer && !only->device) || (only->peer == target && !only->device))
        return false;
    if (target && pxi_branch_full (subtask->branch))
        return false;
    if (silent (subtask) || is_stuck (core, subtask))
        return true;
    if (!is_chunk && (core->now_ns - only->sent_ns <= AGE_MIN_NS || !mostly_done (subtask->job)))
        return false;
    uint64_t limit_ns = is_chunk ? chunk_late_ns (subtask->job, subtask)
                                 : late_ns_of (subtask->job, subtask->spec.task, last);
    uint64_t trip_ns = only->peer ? only->peer->rtt_ns : 0;
    return limit_ns != UINT64_MAX && !gets_on (core, only) &&
           core->now_ns - only->sent_ns > limit_ns + 2 * trip_ns;
}

/* A slot here that has nothing to do would have its result before the peer, as far as is known of it. */
static bool is_overdue (const pxi_core *core, const pxi_subtask *subtask, uint64_t *first_ns)
{
    bool one = subtask->n_attempts == 1 && subtask->state != SUBTASK_RETRY; /* it may still ride */
    const pxi_attempt_state *only = one ? first_of (subtask) : NULL;
    if (!only || !only->peer || multiple (subtask->job) > MULTIPLE)
        return false;
    uint64_t redo_ns = pxi_estimate_redo_ns (core, only);
    *first_ns = redo_ns < *first_ns ? redo_ns : *first_ns;
    return redo_ns <= core->now_ns;
}

/* The oldest first: it is what everybody waits for. */
pxi_subtask *pxi_straggler_pick (pxi_core *core, pxi_job *job, const pxi_peer *peer)
{
    bool in_budget = slots_in_budget (core, job);
    bool may = in_budget || (!peer && job->n_extra < core->self.slots);
    if (!core->config.speculation || !may)
        return NULL;
    verdict last = {0};
    uint64_t at_stake_ns = UINT64_MAX; /* summed up for the first that is late */
    PXI_LIST_EACH (link, &job->subtasks)
    {
        pxi_subtask *subtask = PXI_LIST_ENTRY (link, pxi_subtask, in_job);
        if (subtask->crashes && !peer && !core->config.isolated)
            continue;
        if (!is_late (core, subtask, peer, &last))
            continue;
        if (at_stake_ns == UINT64_MAX)
            at_stake_ns = at_stake_now_ns (core, job);
        const pxi_peer *where = first_of (subtask)->peer;
        if (silent (subtask) || is_stuck (core, subtask) || (where && where->beaten))
            return subtask;
        /* Doing a chunk again that is over what was expected of it costs less than it has cost already. */
        bool pays =
            subtask->spec.n_items || work_in_budget (job, at_stake_ns + lost_ns (core, subtask));
        if (in_budget && pays)
            return subtask;
    }
    return NULL;
}

/* The one that has been away for longest; NULL = none, and *first_ns is when one may be. */
static pxi_subtask *overdue (pxi_core *core, pxi_job *job, uint64_t *first_ns)
{
    *first_ns = UINT64_MAX;
    uint32_t looks = OVERDUE_LOOKS;
    bool in_budget = slots_in_budget (core, job) || job->n_extra < core->self.slots;
    if (!core->config.speculation || !in_budget)
        return NULL;
    PXI_LIST_EACH (link, &job->subtasks)
    {
        pxi_subtask *subtask = PXI_LIST_ENTRY (link, pxi_subtask, in_job);
        if (!looks--)
            break;
        bool may = !subtask->crashes || core->config.isolated;
        if (may && is_overdue (core, subtask, first_ns))
            return subtask;
    }
    return NULL;
}

/* ---- redo here --------------------------------------------------------------------------------
 */

static void redo_here (pxi_core *core, pxi_job *job, pxi_subtask *subtask)
{
    if (pxi_crashers_find (core, &subtask->spec))
        return;
    const char *why = silent (subtask) ? "at a silent worker" : "late";
    pxi_attempt_state *attempt = pxi_branch_attempt (core, subtask, NULL, true);
    if (!attempt)
        return;
    pxi_run *run = pxi_worker_run (core, job, NULL, &subtask->spec);
    if (!run) {
        pxi_branch_attempt_free (core, attempt);
        return;
    }
    run->redo = attempt;
    attempt->local = run->id;
    SAY (core, "s%llu %s and a slot free here -> redone here", (unsigned long long)subtask->id,
         why);
}

static void watch (pxi_core *core, pxi_job *job, uint64_t pause_ns)
{
    bool wanted = core->config.speculation || !pxi_list_is_empty (&job->retry);
    if (wanted && !pxi_timer_is_set (&job->straggler))
        pxi_timer_set (core, &job->straggler, PXI_TIMER_STRAGGLER, job, core->now_ns + pause_ns);
}

void pxi_straggler_watch (pxi_core *core, pxi_job *job)
{
    watch (core, job, job->range.moves ? CHUNK_WATCH_NS : WATCH_NS);
}

/* Nothing is late before twice the usual time, so long tasks need not be looked at as often as short
 * ones. */
static uint64_t pause_ns (const pxi_job *job, bool hurried)
{
    uint64_t most_ns = hurried ? WATCH_HURRY_NS : WATCH_MAX_NS, shortest_ns = UINT64_MAX;
    uint32_t n = n_kept (job);
    for (uint32_t i = 0; i < n; i++) {
        if (job->samples[i].run_ns < shortest_ns)
            shortest_ns = job->samples[i].run_ns;
    }
    if (!n || shortest_ns / 2 < WATCH_NS)
        return job->range.moves ? CHUNK_WATCH_NS : WATCH_NS;
    return shortest_ns / 2 < most_ns ? shortest_ns / 2 : most_ns;
}

/* Towards its end a job waits for a few attempts only: whose workers live is worth knowing at once. */
static bool hurry (pxi_core *core, const pxi_job *job)
{
    if (!core->config.speculation || job->n_attempts > HURRY_MAX)
        return false;
    PXI_LIST_EACH (link, &job->subtasks)
    {
        const pxi_subtask *subtask = PXI_LIST_ENTRY (link, pxi_subtask, in_job);
        const pxi_attempt_state *only = only_of (subtask);
        if (only && only->peer)
            pxi_handshake_hurry (core, only->peer);
    }
    return true;
}

static bool is_idle (const pxi_core *core, const pxi_job *job)
{
    return (!job->surplus || job->dry) && !job->wanted && pxi_share_free (core) > 0;
}

void pxi_straggler_idle (pxi_core *core, pxi_job *job)
{
    uint64_t first_ns;
    if (!job->n_attempts || !is_idle (core, job))
        return;
    pxi_subtask *late = overdue (core, job, &first_ns);
    if (late)
        redo_here (core, job, late);
    else if (first_ns != UINT64_MAX &&
             (!pxi_timer_is_set (&job->straggler) || first_ns < job->straggler.node.deadline))
        pxi_timer_set (core, &job->straggler, PXI_TIMER_STRAGGLER, job, first_ns);
}

void pxi_straggler_timer (pxi_core *core, pxi_job *job)
{
    pxi_branch_check_retry (core, job);
    bool idle_here = is_idle (core, job);
    bool hurried = idle_here && hurry (core, job);
    pxi_subtask *late = idle_here ? pxi_straggler_pick (core, job, NULL) : NULL;
    if (late)
        redo_here (core, job, late);
    if (!pxi_list_is_empty (&job->subtasks))
        watch (core, job, pause_ns (job, hurried));
    if (!late)
        pxi_straggler_idle (core, job);
}
