/* Placing: finding somebody for the subtasks that wait here.
 *
 * Random probing with memory (SCIENCE.md 0 and 3). A probe carries the oldest small subtask; a free
 * peer starts it at once and may lease further slots; a busy one drops it and keeps a reservation,
 * and the subtask goes back to where anyone may take it: nothing is bound to this peer because a
 * probe failed. With its share of reservations a subtask asks no more until one comes due or
 * lapses. Without one the pause grows at random (full jitter). An offer, however it came about,
 * takes the oldest at that moment. A peer that sends a result and says that it is free is asked
 * first.
 *
 * How much is asked at once depends on what waits. The subtasks of a loop ask all at once: each rides
 * in a question of its own, a few questions without one go beside them, and what is refused asks
 * ASK_EACH more, then waits for what others keep for it. The subtasks of a tree grow subtasks of
 * their own where they run, so that few questions feed many peers: one at a time, RESERVE_EACH
 * reservations in all.
 *
 * One question at a time per peer; takes count as questions (n_probes pins their peer). */
#include "core/state.h"

enum {
    PARALLEL_MAX = 4,    /* questions of a tree while nobody has said busy: fills a free cluster */
    RESERVE_EACH = 3,    /* reservations of a tree */
    ASK_EACH = 2,        /* questions of a subtask of a loop, after the one it rode in */
    HEDGE_PART = 5,      /* one question more for that many subtasks that ride, */
    HEDGE_PART_FREE = 2, /* or for that many where few are full: an offer too few costs a round */
    HALF_FULL = PXI_SHARE_ONE / 2,
    FEW_FULL = PXI_SHARE_ONE / 6, /* of the time */
    BUSY_SHARE_HIGH = 256, /* from here on a second question is rather asked without the subtask */
    BACKOFF_STEPS = 10,
    PICKS = 3,       /* peers drawn for which it would have to pay */
    BATCH_TRIPS = 4, /* what a batch takes: the trip that brings the next is a fifth of the time */
};
#define BACKOFF_MIN_NS (1 * PXI_MS)
#define BACKOFF_MAX_NS (250 * PXI_MS)
#define RESERVED_NS (2000 * PXI_MS) /* as long as the worker keeps it */
#define CANNOT_MIN_NS PXI_SECOND

/* ---- reservations that others keep for us -----------------------------------------------------
 */

static void reserved_remove (pxi_job *job, uint32_t at)
{
    job->reserved[at] = job->reserved[--job->n_reserved];
}

static void reserved_add (pxi_core *core, pxi_job *job, uint64_t peer, uint64_t probe)
{
    if (job->n_reserved == PXI_RESERVE_MAX)
        return;
    uint32_t at = job->n_reserved++;
    job->reserved[at].peer = peer;
    job->reserved[at].probe = probe;
    job->reserved[at].until_ns = core->now_ns + RESERVED_NS;
}

static void reserved_drop_lapsed (const pxi_core *core, pxi_job *job)
{
    for (uint32_t i = job->n_reserved; i-- > 0;) {
        if (job->reserved[i].until_ns > core->now_ns)
            continue;
        reserved_remove (job, i);
        job->n_busy -= job->n_busy > 0; /* another may be asked in its place */
    }
}

void pxi_place_forget_peer (pxi_core *core, pxi_peer *peer)
{
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        pxi_job *job = PXI_LIST_ENTRY (link, pxi_job, in_core);
        for (uint32_t i = job->n_reserved; i-- > 0;) {
            if (job->reserved[i].peer == peer->record.id)
                reserved_remove (job, i);
        }
    }
}

static uint64_t reserved_until_ns (const pxi_job *job)
{
    uint64_t first_ns = UINT64_MAX;
    for (uint32_t i = 0; i < job->n_reserved; i++) {
        if (job->reserved[i].until_ns < first_ns)
            first_ns = job->reserved[i].until_ns;
    }
    return first_ns;
}

void pxi_place_decline (pxi_core *core, const pxi_peer *to, pxi_job_id job, uint64_t lease,
                        uint64_t probe)
{
    pxi_message *message = pxi_core_send (core, to, PXI_DECLINE);
    message->job = job;
    message->lease = lease;
    message->probe = probe;
}

void pxi_place_end (pxi_core *core, pxi_job *job)
{
    while (job->n_reserved) {
        const pxi_peer *peer = pxi_view_find (core, job->reserved[0].peer);
        if (peer)
            pxi_place_decline (core, peer, job->id, 0, job->reserved[0].probe);
        reserved_remove (job, 0);
    }
}

/* ---- pauses -----------------------------------------------------------------------------------
 */

/* Full jitter: of the known variants the one with the fewest calls at the same completion
 * (SCIENCE.md). */
static void back_off (pxi_core *core, pxi_job *job, const pxi_peer *peer)
{
    if (!core->config.backoff)
        return;
    uint64_t base_ns = 2 * peer->rtt_ns > BACKOFF_MIN_NS ? 2 * peer->rtt_ns : BACKOFF_MIN_NS;
    uint64_t span_ns = base_ns << job->backoff;
    span_ns = span_ns < BACKOFF_MAX_NS ? span_ns : BACKOFF_MAX_NS;
    job->backoff += job->backoff < BACKOFF_STEPS;
    job->backoff_until_ns = core->now_ns + 1 + pxi_prng_below (&core->prng, span_ns);
}

static uint32_t at_most (uint64_t n, uint32_t most)
{
    return n < most ? (uint32_t)n : most;
}

/* Subtasks that wait here or ride in a question. */
static uint64_t unplaced (const pxi_job *job)
{
    return (uint64_t)job->surplus + job->n_riding;
}

/* Enough have said busy that waiting for one of them is better than asking on. */
static bool asked_enough (const pxi_job *job)
{
    if (job->nests)
        return job->n_reserved >= RESERVE_EACH;
    return job->n_reserved == PXI_RESERVE_MAX ||
           ((job->n_reserved || job->n_seeking) &&
            job->n_busy + job->n_seeking - job->n_riding >= ASK_EACH * unplaced (job));
}

/* Where most are busy a subtask stays takeable while others are asked: an offer may come first. */
static bool rides (const pxi_core *core, const pxi_job *job)
{
    return core->config.inlining && !job->large &&
           (job->nests || !job->refused || core->busy_share < BUSY_SHARE_HIGH);
}

static bool has_work (const pxi_job *job)
{
    return job->surplus || !pxi_list_is_empty (&job->retry);
}

/* Come back when what holds us back is over. */
static void wake_later (pxi_core *core, pxi_job *job)
{
    uint64_t at_ns = 0;
    if (job->short_until_ns > core->now_ns)
        at_ns = job->short_until_ns;
    else if (job->backoff_until_ns > core->now_ns)
        at_ns = job->backoff_until_ns;
    else if (job->home_until_ns > core->now_ns)
        at_ns = job->home_until_ns;
    else if (asked_enough (job))
        at_ns = reserved_until_ns (job);
    else if (!job->n_seeking && core->n_responsive)
        at_ns = core->now_ns + BACKOFF_MAX_NS; /* none is fit now: marks of "cannot" lapse */
    if (at_ns > core->now_ns && has_work (job))
        pxi_timer_set (core, &job->seek, PXI_TIMER_SEEK, job, at_ns);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

static bool may_ask (pxi_core *core, pxi_job *job)
{
    if (!has_work (job) || core->now_ns < job->short_until_ns ||
        core->now_ns < job->backoff_until_ns || core->now_ns < job->home_until_ns ||
        !pxi_branch_room (core))
        return false;
    if (asked_enough (job))
        return false;
    uint32_t waiting = job->surplus ? job->surplus : 1; /* or one that crashed */
    if (!job->nests)
        return job->n_seeking < PXI_PROBES_MAX &&
               (!rides (core, job) || job->n_seeking - job->n_riding < waiting);
    return job->n_seeking < at_most (waiting, job->backoff || job->n_reserved ? 1 : PARALLEL_MAX);
}

static void question_begin (pxi_job *job, pxi_peer *peer)
{
    job->n_seeking++;
    peer->n_probes++;
}

static void question_end (pxi_core *core, pxi_job_id id, pxi_peer *peer)
{
    pxi_job *job = pxi_worker_find_job (core, id);
    if (job)
        job->n_seeking -= job->n_seeking > 0;
    peer->n_probes--;
}

pxi_take *pxi_place_take (pxi_core *core, pxi_job *job, const pxi_take *what, pxi_action **action)
{
    pxi_take *take = pxi_core_alloc (core, sizeof *take);
    uint64_t token = pxi_core_new_id (core);
    if (!take || !pxi_map_put_pointer (&core->takes, token, take)) {
        pxi_core_release (core, take, sizeof *take);
        return NULL;
    }
    *take = *what;
    take->token = token;
    take->job = job->id;
    take->incarnation = what->peer ? what->peer->record.incarnation : 0;
    core->n_takes++;
    pxi_list_init (&take->in_core);
    pxi_list_add_last (&core->all_takes, &take->in_core);
    *action = pxi_core_act (core, PXI_DO_TAKE);
    (*action)->job = job->id;
    (*action)->token = token;
    (*action)->count = take->n_slots;
    (*action)->peer = what->peer ? what->peer->record.id : core->self.id;
    (*action)->device = take->device;
    return take;
}

static pxi_take *take_begin (pxi_core *core, pxi_job *job, pxi_peer *peer, uint64_t lease_id,
                             uint32_t n_slots)
{
    pxi_action *action;
    const pxi_take what = {.lease = lease_id, .peer = peer, .n_slots = n_slots};
    pxi_take *take = pxi_place_take (core, job, &what, &action);
    if (!take)
        return NULL;
    job->n_taking++;
    job->n_asked += n_slots;
    question_begin (job, peer);
    return take;
}

/* Where most peers have a slot free the next one asked has: what the first ones keep for us would only
 * have to be given back. */
static bool may_reserve (const pxi_core *core, const pxi_job *job, const pxi_peer *peer)
{
    bool likely_free = !job->nests && core->now_ns >= peer->busy_until_ns &&
                       core->busy_share < HALF_FULL && core->full_share < HALF_FULL;
    uint32_t most = job->nests ? RESERVE_EACH : PXI_RESERVE_MAX;
    return core->config.reservations && !likely_free && job->n_reserved < most;
}

/* Its own for each question, and an equal part of what more waits than can be asked for. */
static uint32_t slots_wanted (const pxi_core *core, const pxi_job *job)
{
    uint32_t questions = at_most (core->n_responsive, PXI_PROBES_MAX);
    uint32_t waiting = job->surplus ? job->surplus : 1;
    return at_most (job->nests ? waiting : 1 + waiting / (questions + 1), PXI_DISPATCH_MAX);
}

pxi_probe *pxi_place_question (pxi_core *core, const pxi_job *job, pxi_peer *peer)
{
    pxi_probe *probe = pxi_core_alloc (core, sizeof *probe);
    uint64_t id = pxi_core_new_id (core);
    if (!probe || !pxi_map_put_pointer (&core->probes, id, probe)) {
        pxi_core_release (core, probe, sizeof *probe);
        return NULL;
    }
    probe->id = id;
    probe->job = job->id;
    probe->peer = peer;
    probe->sent_ns = core->now_ns;
    core->n_probes++;
    pxi_list_add_last (&core->all_probes, &probe->in_core);
    core->stats.probes_sent++;
    pxi_timer_set (core, &probe->timer, PXI_TIMER_PROBE, probe,
                   core->now_ns + pxi_view_patience_ns (core, peer));
    return probe;
}

/* n_inlined 0: only the question. */
static void send_probe (pxi_core *core, pxi_job *job, pxi_peer *peer,
                        pxi_attempt_state *const *inlined, uint32_t n_inlined, bool ahead)
{
    pxi_probe *probe = pxi_place_question (core, job, peer);
    if (!probe)
        return; /* an attempt that was to ride in it is found missing by the handshake */
    question_begin (job, peer);
    pxi_message *message = pxi_core_send (core, peer, PXI_PROBE);
    message->probe = probe->id;
    message->job = job->id;
    message->module = job->module;
    message->n_slots = slots_wanted (core, job);
    probe->ahead = ahead;
    message->reserve = probe->reserve = !ahead && may_reserve (core, job, peer);
    pxi_attempt *specs = n_inlined ? pxi_core_scratch (core, n_inlined * sizeof *specs) : NULL;
    if (specs) {
        job->n_riding++;
        for (uint32_t i = 0; i < n_inlined; i++) {
            specs[i] = inlined[i]->subtask->spec;
            probe->inlined[i] = specs[i].key;
        }
        probe->n_inlined = n_inlined;
        message->has_inline = true;
        message->attempts = specs;
        message->n_attempts = n_inlined;
        message->duration_ns = job->nests ? 0 : pxi_straggler_alike_ns (job);
    }
    SAY (core, "surplus -> probe p%llu to %s%s", (unsigned long long)probe->id,
         pxi_core_name (peer),
         !specs          ? ""
         : n_inlined > 1 ? " with subtasks"
                         : " with a subtask");
}

static void probe_inline (pxi_core *core, pxi_job *job, pxi_peer *peer,
                          pxi_subtask *const *subtasks, uint32_t n_subtasks, bool ahead)
{
    pxi_attempt_state *attempts[PXI_BATCH_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_subtasks; i++) {
        /* Each of them is a worker. */
        bool room = !pxi_branch_full (subtasks[i]->branch) || PXI_MUTANT (BATCH_UNCOUNTED);
        attempts[n] = room ? pxi_branch_attempt (core, subtasks[i], peer, false) : NULL;
        if (!attempts[n]) {
            pxi_branch_put_back (core, subtasks[i]);
            continue;
        }
        subtasks[i]->state = SUBTASK_PLACING;
        n++;
    }
    if (n)
        send_probe (core, job, peer, attempts, n, ahead);
}

static bool fits_probe (const pxi_core *core, const pxi_subtask *subtask)
{
    return core->config.inlining && subtask->spec.size_bytes <= PXI_INLINE_SIZE_MAX;
}

/* What crashed elsewhere, for a peer that is not the one it crashed at; NULL = none. */
static pxi_subtask *retry_for (const pxi_job *job, const pxi_peer *peer)
{
    PXI_LIST_EACH (link, &job->retry)
    {
        pxi_subtask *subtask = PXI_LIST_ENTRY (link, pxi_subtask, in_retry);
        if (subtask->crashed_at != peer->record.id && !pxi_branch_full (subtask->branch))
            return subtask;
    }
    return NULL;
}

/* Where the first of those crashed: no use asking there when nothing else waits. */
static uint64_t crashed_at (const pxi_job *job)
{
    const pxi_list *first = pxi_list_first (&job->retry);
    return first ? PXI_LIST_ENTRY (first, pxi_subtask, in_retry)->crashed_at : 0;
}

/* What one branch alone may still send; a TAKE for more would come back short, and the executor would look for
 * the rest in vain. */
static uint32_t room_of (const pxi_job *job)
{
    const pxi_list *first = pxi_list_first (&job->branches);
    if (!first || first->next != &job->branches)
        return UINT32_MAX;
    const pxi_branch *branch = PXI_LIST_ENTRY (first, pxi_branch, in_job);
    uint32_t held = branch->held + job->n_asked;
    return held < branch->number ? branch->number - held : 1;
}

/* How many subtasks of a loop go together: as many as take no longer than BATCH_TRIPS round trips, where they are
 * known to be alike, and no more than leave something for the others. */
static uint32_t batch_for (const pxi_core *core, pxi_job *job, const pxi_peer *peer)
{
    uint64_t run_ns = job->nests ? 0 : pxi_straggler_alike_ns (job);
    if (!run_ns)
        return 1;
    uint64_t fit = pxi_estimate_batch (core, job, peer, run_ns, BATCH_TRIPS * peer->rtt_ns);
    uint64_t share = job->surplus / (2 * (core->n_responsive + 1));
    uint32_t batch = 1 + at_most (fit < share ? fit : share, PXI_BATCH_MAX - 1);
    return at_most (room_of (job), batch);
}

static void ask (pxi_core *core, pxi_job *job, pxi_peer *peer)
{
    pxi_subtask *again = retry_for (job, peer);
    if (again && fits_probe (core, again)) {
        pxi_list_remove (&again->in_retry);
        probe_inline (core, job, peer, &again, 1, false);
    } else if (again || !rides (core, job)) {
        send_probe (core, job, peer, NULL, 0, false);
    } else {
        take_begin (core, job, peer, 0, batch_for (core, job, peer));
    }
}

/* Beside subtasks that ride: as many questions without one as will be refused elsewhere, as far as
 * one peer can tell, and a few for its error. Their offers come in time for the subtasks that found
 * busy peers. Where most are busy it is of no use: there reservations find slots. */
static void hedge (pxi_core *core, pxi_job *job)
{
    if (!job->n_riding)
        job->n_hedged = 0;
    if (job->nests || job->n_taking || job->refused || core->full_share > HALF_FULL ||
        !pxi_branch_room (core))
        return;
    uint32_t full = (uint32_t)core->full_share;
    uint32_t part = full < FEW_FULL ? HEDGE_PART_FREE : HEDGE_PART;
    uint32_t wanted = job->n_riding * full / (PXI_SHARE_ONE - full) + job->n_riding / part;
    for (; job->n_hedged < wanted && job->n_seeking < PXI_PROBES_MAX; job->n_hedged++) {
        pxi_peer *peer = pxi_view_pick (core, job, 0);
        if (!peer)
            return;
        send_probe (core, job, peer, NULL, 0, false);
    }
}

/* Random still: the estimate refuses one, it never names one. NULL: there is none, or it pays for none. */
static pxi_peer *pick_for (pxi_core *core, pxi_job *job)
{
    pxi_peer *peer = NULL;
    for (uint32_t i = 0; i < PICKS; i++) {
        peer = pxi_view_pick (core, job, job->surplus ? 0 : crashed_at (job));
        if (!peer || !job->surplus || pxi_estimate_leaves (core, job, peer, NULL, job->surplus))
            return peer;
    }
    if (!job->n_seeking) /* else those are not among the refused that are being asked */
        pxi_estimate_stay (core, job, peer);
    return NULL;
}

static void seek (pxi_core *core, pxi_job *job)
{
    pxi_branch_check_retry (core, job);
    reserved_drop_lapsed (core, job);
    while (may_ask (core, job)) {
        pxi_peer *peer = pick_for (core, job);
        if (!peer || (!job->surplus && !retry_for (job, peer)))
            break;
        ask (core, job, peer);
    }
    wake_later (core, job);
}

static bool may_ask_of (pxi_core *core, pxi_job *job, const pxi_peer *peer)
{
    return job->surplus && core->now_ns >= job->short_until_ns && !peer->n_probes &&
           !peer->unresponsive && !peer->leaving && pxi_view_fits (core, peer, job->module) &&
           pxi_branch_room (core) && pxi_estimate_leaves (core, job, peer, NULL, job->surplus);
}

void pxi_place_free_at (pxi_core *core, pxi_job *job, pxi_peer *peer)
{
    if (may_ask_of (core, job, peer))
        ask (core, job, peer);
}

/* Where subtasks are short, the next batch is under way while one is being done. Who has said busy is not
 * asked before its time: nothing else would slow that down. */
void pxi_place_ahead (pxi_core *core, pxi_job *job, pxi_peer *peer)
{
    uint32_t slots = peer->record.slots ? peer->record.slots : 1;
    uint32_t batch = batch_for (core, job, peer);
    bool early = batch > 1 && peer->n_away <= slots * PXI_BATCH_MAX &&
                 core->now_ns >= peer->busy_until_ns && rides (core, job) &&
                 may_ask_of (core, job, peer);
    pxi_take *take = early ? take_begin (core, job, peer, 0, batch) : NULL;
    if (take)
        take->ahead = true;
}

/* A loop: what others keep for it would be offered in vain. */
static void all_placed (pxi_core *core, pxi_job *job)
{
    pxi_place_end (core, job);
    job->refused = false;
    job->n_busy = 0;
}

void pxi_place_seek_all (pxi_core *core)
{
    core->seek_pending = false;
    PXI_LIST_EACH_SAFE (link, &core->all_jobs)
    {
        pxi_job *job = PXI_LIST_ENTRY (link, pxi_job, in_core);
        if (has_work (job))
            seek (core, job);
        if (job->range.n_items)
            pxi_device_seek (core, job);
        if (job->n_seeking)
            hedge (core, job);
        else if (!has_work (job) && !job->nests)
            all_placed (core, job);
    }
    /* Giving back asks for another look: the next step's. */
}

/* ---- dispatch under a lease -------------------------------------------------------------------
 */

bool pxi_place_still_there (const pxi_take *take)
{
    return take->peer->record.incarnation == take->incarnation && !take->peer->unresponsive &&
           !take->peer->leaving;
}

static void add_to_dispatch (pxi_core *core, pxi_message *dispatch, pxi_attempt *specs,
                             pxi_subtask *subtask, const pxi_take *take, bool speculative)
{
    pxi_peer *peer = take->peer;
    pxi_attempt_state *attempt = pxi_branch_attempt (core, subtask, peer, speculative);
    if (!attempt)
        return;
    attempt->late = core->now_ns >= take->until_ns;
    pxi_list_remove (&subtask->in_retry);
    subtask->state = SUBTASK_AWAY;
    specs[dispatch->n_attempts++] = subtask->spec;
    SAY (core, "%s free -> s%llu.%u sent%s", pxi_core_name (peer), (unsigned long long)subtask->id,
         attempt->number, speculative ? " beside a straggler" : "");
}

/* `n_waiting` are here, this one among them. */
static bool leaves (pxi_core *core, pxi_job *job, const pxi_peer *peer, const pxi_subtask *subtask,
                    uint32_t n_waiting)
{
    if (pxi_estimate_leaves (core, job, peer, subtask, n_waiting))
        return true;
    job->usual = pxi_estimate_key_of (subtask);
    pxi_estimate_stay (core, job, peer);
    return false;
}

/* Who has just said free, and has more slots than we have used, is asked again though enough others keep a reservation:
 * as many subtasks as there are slots would wait for these, while its slots stand idle. */
static void ask_on (pxi_core *core, pxi_job *job, pxi_peer *peer)
{
    if (!job->nests && asked_enough (job) && peer->n_away < peer->record.slots)
        pxi_place_free_at (core, job, peer);
}

static void dispatch_taken (pxi_core *core, pxi_job *job, const pxi_take *take,
                            const pxi_event *event)
{
    pxi_attempt *specs = pxi_core_scratch (core, PXI_DISPATCH_MAX * sizeof *specs);
    pxi_message dispatch = {0};
    bool there = specs && pxi_place_still_there (take);
    pxi_subtask *again = there ? retry_for (job, take->peer) : NULL;
    if (again)
        add_to_dispatch (core, &dispatch, specs, again, take, false);
    for (uint32_t i = 0; i < event->n_taken; i++) {
        pxi_subtask *subtask = pxi_branch_subtask (core, job, &event->taken[i]);
        if (!subtask)
            continue;
        bool room = there && dispatch.n_attempts < take->n_slots;
        if (room && !pxi_branch_full (subtask->branch) &&
            leaves (core, job, take->peer, subtask, event->count + event->n_taken - i))
            add_to_dispatch (core, &dispatch, specs, subtask, take, false);
        if (pxi_list_is_empty (&subtask->attempts))
            pxi_branch_give_back (core, subtask);
    }
    pxi_subtask *late =
        there && !dispatch.n_attempts ? pxi_straggler_pick (core, job, take->peer) : NULL;
    if (late)
        add_to_dispatch (core, &dispatch, specs, late, take, true);
    if (!there)
        return;
    if (!dispatch.n_attempts) {
        SAY (core, "%s free, nothing left to take -> declined", pxi_core_name (take->peer));
        pxi_place_decline (core, take->peer, job->id, take->lease, 0);
        return;
    }
    pxi_message *message = pxi_core_send (core, take->peer, PXI_DISPATCH);
    message->lease = take->lease;
    message->attempts = specs;
    message->n_attempts = dispatch.n_attempts;
    ask_on (core, job, take->peer);
}

/* False: it was too large for a probe, or has gone back. */
static bool may_ride (pxi_core *core, pxi_job *job, const pxi_take *take, pxi_subtask *subtask,
                      uint32_t n_waiting)
{
    bool fits = fits_probe (core, subtask);
    if (pxi_place_still_there (take) && !pxi_branch_full (subtask->branch) && fits &&
        leaves (core, job, take->peer, subtask, n_waiting))
        return true;
    job->large |= !fits;
    pxi_branch_give_back (core, subtask);
    return false;
}

static void probe_taken (pxi_core *core, pxi_job *job, const pxi_take *take, const pxi_event *event)
{
    pxi_subtask *riding[PXI_BATCH_MAX];
    uint32_t n = 0;
    bool was_large = job->large;
    for (uint32_t i = 0; i < event->n_taken; i++) {
        pxi_subtask *subtask = pxi_branch_subtask (core, job, &event->taken[i]);
        if (subtask && may_ride (core, job, take, subtask, event->count + event->n_taken - i))
            riding[n++] = subtask;
    }
    if (n)
        probe_inline (core, job, take->peer, riding, n, take->ahead);
    else if (job->large && !was_large && pxi_place_still_there (take))
        send_probe (core, job, take->peer, NULL, 0, false);
}

/* The job ended while its executor was handing over. */
static void drop_taken (pxi_core *core, const pxi_event *event)
{
    for (uint32_t i = 0; i < event->n_taken; i++) {
        pxi_core_forget (core, event->taken[i].attempt.blob);
        pxi_core_forget (core, event->taken[i].attempt.shared_blob);
    }
}

void pxi_place_taken (pxi_core *core, const pxi_event *event)
{
    pxi_take *take = pxi_map_remove_pointer (&core->takes, event->token);
    if (!take) {
        drop_taken (core, event);
        return;
    }
    core->n_takes--;
    pxi_list_remove (&take->in_core);
    pxi_peer *peer = take->peer;
    pxi_job *job = pxi_worker_find_job (core, take->job);
    if (take->device)
        pxi_device_taken (core, job, take, event);
    else
        question_end (core, take->job, peer);
    if (!job) {
        drop_taken (core, event);
    } else if (!take->device) {
        job->n_taking -= job->n_taking > 0;
        job->n_asked -= job->n_asked < take->n_slots ? job->n_asked : take->n_slots;
        if (event->n_taken < take->n_slots)
            job->surplus = 0;
        else if (event->count)
            job->surplus = event->count;
        else
            job->surplus -= job->surplus > event->n_taken ? event->n_taken : 0;
        if (take->lease)
            dispatch_taken (core, job, take, event);
        else
            probe_taken (core, job, take, event);
        core->seek_pending = true;
    }
    pxi_core_release (core, take, sizeof *take);
    if (peer)
        pxi_view_unref (core, peer);
}

/* ---- answers ----------------------------------------------------------------------------------
 */

/* The job of ours with the fewest attempts away that this peer can work for. */
static pxi_job *job_for (pxi_core *core, const pxi_peer *peer)
{
    pxi_job *best = NULL;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        pxi_job *job = PXI_LIST_ENTRY (link, pxi_job, in_core);
        if (!has_work (job) || !pxi_view_fits (core, peer, job->module))
            continue;
        if (!best || job->n_attempts < best->n_attempts)
            best = job;
    }
    return best;
}

/* Unasked, and nothing waits: perhaps a straggler can use it. */
static pxi_job *job_with_straggler (pxi_core *core, const pxi_peer *peer)
{
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        pxi_job *job = PXI_LIST_ENTRY (link, pxi_job, in_core);
        if (pxi_view_fits (core, peer, job->module) && pxi_straggler_pick (core, job, peer))
            return job;
    }
    return NULL;
}

static void use_lease (pxi_core *core, pxi_job *job, pxi_peer *from, const pxi_message *offer)
{
    if (!job || !has_work (job))
        job = job_for (core, from);
    if (!job)
        job = job_with_straggler (core, from);
    /* An executor that does not answer must not let takes pile up: every offer would be one more. */
    if (!job || from->leaving || core->n_takes >= PXI_LEASES_MAX ||
        core->now_ns < from->returned_until_ns || pxi_view_held_up (from)) {
        SAY (core, "%s free, nothing to do -> declined", pxi_core_name (from));
        pxi_place_decline (core, from, offer->job, offer->lease, 0);
        return;
    }
    uint64_t n = (uint64_t)offer->n_slots * batch_for (core, job, from);
    uint32_t pays = job->surplus ? pxi_estimate_leaves (core, job, from, NULL, job->surplus) : 1;
    uint32_t most = pxi_estimate_batch (core, job, from, 0, offer->duration_ns);
    n = n < pays ? n : pays ? pays : 1;
    n = n < most ? n : most ? most : 1;
    pxi_take *take = take_begin (core, job, from, offer->lease, at_most (n, PXI_DISPATCH_MAX));
    uint64_t trip_ns = pxi_view_trip_ns (from);
    if (take && offer->duration_ns > trip_ns)
        take->until_ns = core->now_ns + offer->duration_ns - trip_ns;
}

/* A moving average over about the last 32 answers. */
static void heard_busy (pxi_core *core, bool busy)
{
    int32_t now = busy ? PXI_SHARE_ONE : 0;
    core->busy_share += (now - core->busy_share) / 32;
}

static void inline_refused (pxi_core *core, const pxi_probe *probe)
{
    for (uint32_t i = 0; i < probe->n_inlined; i++) {
        pxi_attempt_state *attempt = pxi_branch_find (core, probe->peer, probe->inlined[i]);
        if (!attempt)
            continue;
        pxi_subtask *subtask = attempt->subtask;
        pxi_branch_attempt_free (core, attempt);
        if (pxi_list_is_empty (&subtask->attempts))
            pxi_branch_put_back (core, subtask);
    }
}

static void inline_accepted (pxi_core *core, const pxi_probe *probe)
{
    for (uint32_t i = 0; i < probe->n_inlined; i++) {
        pxi_attempt_state *attempt = pxi_branch_find (core, probe->peer, probe->inlined[i]);
        if (!attempt)
            continue;
        attempt->confirmed = true;
        attempt->subtask->state = SUBTASK_AWAY;
        SAY (core, "%s free -> s%llu.%u runs there", pxi_core_name (probe->peer),
             (unsigned long long)attempt->subtask->id, attempt->number);
    }
}

/* What may have begun there although no answer came is told to stop. */
static void inline_lost (pxi_core *core, const pxi_probe *probe)
{
    pxi_key *keys = pxi_core_scratch (core, PXI_BATCH_MAX * sizeof *keys);
    uint32_t n_keys = 0;
    for (uint32_t i = 0; i < probe->n_inlined; i++) {
        pxi_attempt_state *attempt = pxi_branch_find (core, probe->peer, probe->inlined[i]);
        if (!attempt || attempt->confirmed)
            continue;
        if (keys)
            keys[n_keys++] = probe->inlined[i];
        pxi_branch_lost (core, attempt);
    }
    if (!n_keys)
        return;
    pxi_message *cancel = pxi_core_send (core, probe->peer, PXI_CANCEL);
    cancel->keys = keys;
    cancel->n_keys = n_keys;
}

void pxi_place_question_free (pxi_core *core, pxi_probe *probe)
{
    pxi_timer_clear (core, &probe->timer);
    pxi_map_remove (&core->probes, probe->id, NULL);
    core->n_probes--;
    pxi_list_remove (&probe->in_core);
    pxi_core_release (core, probe, sizeof *probe);
}

static void probe_free (pxi_core *core, pxi_probe *probe)
{
    pxi_job *job = pxi_worker_find_job (core, probe->job);
    if (job && probe->n_inlined)
        job->n_riding -= job->n_riding > 0;
    question_end (core, probe->job, probe->peer);
    pxi_place_question_free (core, probe);
}

static void on_offer (pxi_core *core, pxi_peer *from, pxi_probe *probe, const pxi_message *message)
{
    pxi_job *job = pxi_worker_find_job (core, probe ? probe->job : message->job);
    if (job) {
        job->backoff = 0;
        job->backoff_until_ns = 0;
        if (probe)
            job->home_until_ns = 0; /* only those were refused that were not being asked */
        if (probe && core->busy_share < BUSY_SHARE_HIGH)
            job->n_busy = 0; /* else what was asked has been asked for all of them */
        for (uint32_t i = job->n_reserved; i-- > 0;) {
            if (job->reserved[i].peer == from->record.id)
                reserved_remove (job, i);
        }
    }
    from->busy_until_ns = 0;
    if (probe) {
        core->stats.probes_free++;
        heard_busy (core, false);
        if (message->accepted)
            inline_accepted (core, probe);
        else
            inline_refused (core, probe);
        probe_free (core, probe);
    }
    if (message->lease)
        use_lease (core, job, from, message);
    else if (job && message->accepted)
        pxi_place_ahead (core, job, from);
    core->seek_pending = true;
}

static void on_busy (pxi_core *core, pxi_peer *from, pxi_probe *probe, const pxi_message *message)
{
    from->busy_until_ns = core->now_ns + message->duration_ns;
    if (!probe)
        return;
    core->stats.probes_busy++;
    if (!probe->ahead)
        heard_busy (core, true);
    SAY (core, "%s busy%s -> subtask takeable again", pxi_core_name (from),
         message->reserve ? ", keeps a reservation" : "");
    inline_refused (core, probe);
    pxi_job *job = pxi_worker_find_job (core, probe->job);
    if (job && !probe->ahead) {
        job->refused = true;
        job->n_busy += probe->reserve;
    }
    if (job && message->reserve)
        reserved_add (core, job, from->record.id, probe->id);
    else if (job && (probe->reserve || !core->config.reservations))
        back_off (core, job, from);
    probe_free (core, probe);
    core->seek_pending = true;
}

static void on_cannot (pxi_core *core, pxi_peer *from, pxi_probe *probe, const pxi_message *message)
{
    SAY (core, "%s cannot -> not asked again soon", pxi_core_name (from));
    pxi_job *job = probe ? pxi_worker_find_job (core, probe->job) : NULL;
    if (job) {
        from->cannot_module = job->module;
        from->cannot_until_ns =
            core->now_ns +
            (message->duration_ns > CANNOT_MIN_NS ? message->duration_ns : CANNOT_MIN_NS);
    }
    if (!probe)
        return;
    core->stats.probes_cannot++;
    inline_refused (core, probe);
    probe_free (core, probe);
    core->seek_pending = true;
}

void pxi_place_message (pxi_core *core, pxi_peer *from, const pxi_message *message)
{
    pxi_probe *probe = message->probe ? pxi_map_pointer (&core->probes, message->probe) : NULL;
    if (probe && probe->peer != from)
        probe = NULL;
    if (probe)
        pxi_view_rtt (core, from, core->now_ns - probe->sent_ns);
    if (message->device || (probe && probe->device_key))
        pxi_device_answered (core, from, probe, message);
    else if (message->kind == PXI_OFFER)
        on_offer (core, from, probe, message);
    else if (message->kind == PXI_BUSY)
        on_busy (core, from, probe, message);
    else
        on_cannot (core, from, probe, message);
}

/* No answer. If nothing else came either, the peer gets no new work until it speaks again. */
void pxi_place_probe_lost (pxi_core *core, pxi_probe *probe)
{
    pxi_peer *peer = probe->peer;
    core->stats.probes_lost++;
    SAY (core, "no answer to p%llu from %s -> placed elsewhere", (unsigned long long)probe->id,
         pxi_core_name (peer));
    if (peer->heard_ns <= probe->sent_ns && core->resumed_ns <= probe->sent_ns)
        pxi_view_unresponsive (core, peer);
    if (probe->device_key) {
        pxi_device_answered (core, peer, probe, NULL);
    } else {
        inline_lost (core, probe);
        probe_free (core, probe);
    }
    core->seek_pending = true;
    pxi_view_unref (core, peer);
}
