/* The invariants, from outside: what every step must leave true, whatever the core thinks.
 *
 * After each step only the peer that stepped can have changed, so that looking at this one is a full
 * check; it costs by the size of that peer. What relates peers is looked for at a stated interval, by
 * sim/sweep. The first thing that breaks ends the world.
 *
 *   answer      the root's result is the serial one
 *   once        an outcome comes for a subtask that is away, once (sim/virtual tells)
 *   conserved   what the executors handed over is what the core has in hand
 *   number      never more workers of a branch than its branch number
 *   attempts    at most two of a subtask at once, none twice at one peer; extra ones within the budget
 *   slots       threads that may execute and leases are within the slots, but for one of each root;
 *               nobody else is allowed more while others, as far as the core has heard, still hold it
 *   lease       never more starts than it is for; under a lapsed one, than its master has another for, or than slots
 *               are free
 *   reserved    no offer comes of a reservation that has lapsed
 *   remembered  what has crashed here PXI_CRASHES_MAX times is not started again; what has not, is
 *   former      what concerns a former self changes nothing
 *   devices     what is held of them is leased, taken for or run on, and never more than they have
 *   fetched     nobody asks for a shared input that is here; while nothing is disturbed it comes once
 *   bounded     timers and memory
 *   quiet       nothing is left when all is over
 *
 * and those of sim/custody and sim/sweep. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/error.h>

#include "sim/state.h"

enum {
    AWAY_MAX = 4096, /* looked at: a peer with more attempts away is not checked for numbers */
    RUNS_MAX = 4096,
    ATTEMPTS_AT_ONCE = 2,
    REASONS_MAX = 24,
    CAME_MAX = 1 << 16,
};
/* Of one core: what it has at rest, results kept for sending again, and what an object may cost. */
#define MEMORY_REST_BYTES (UINT64_C (64) << 10)
#define MEMORY_SENT_BYTES (UINT64_C (4096) * 160)
#define MEMORY_PEER_BYTES UINT64_C (1024)
#define MEMORY_OBJECT_BYTES UINT64_C (512)
#define MEMORY_JOB_BYTES UINT64_C (2048)
#define MEMORY_DEVICES_BYTES (UINT64_C (160) << 10) /* what a task takes on each, for 256 of them */
#define RESERVED_FOR_NS (2000 * PXI_MS)

void pxi_check_broken (pxi_world *world, const pxi_sim_peer *peer, const char *format, ...)
{
    if (world->verdict != PXI_VERDICT_FINE || world->corrupted)
        return;
    char text[512];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    world->verdict = PXI_VERDICT_BROKEN;
    snprintf (world->why, sizeof world->why, "at %.6f s, %s: %s",
              (double)world->time.now_ns / (double)PXI_SECOND, peer ? peer->name : "world", text);
    pxi_world_say (world, "check", "%s", world->why);
}

/* ---- answer ----------------------------------------------------------------------------------- */

void pxi_check_root (pxi_world *world, pxi_sim_job *job, const pxi_action *action,
                     const pxi_payload *payload)
{
    const pxi_sim_peer *peer = &world->peers[job->config->peer];
    if (job->state != PXI_JOB_RUNS) {
        pxi_check_broken (world, peer, "answer: job j%u ends twice", job->index + 1);
        return;
    }
    bool has_answer = payload && !payload->cancelled && action->result <= PXI_RESULT_FAILED;
    if (!has_answer) {
        /* A peer that is full cannot start a root, nor start it again. */
        bool full = world->config.core.attempts_max < PXI_ATTEMPTS_MAX &&
                    (action->err == PX_EFULL || job->config->crash_times);
        full = full || world->config.short_of_memory;
        bool may =
            job->cancelled || peer->leaving || full || job->config->crash_times >= PXI_CRASHES_MAX;
        if (!may)
            pxi_check_broken (world, peer, "answer: job j%u ends without one (result %d, err %u)",
                              job->index + 1, action->result, action->err);
        pxi_world_job_over (world, job, PXI_JOB_ENDED);
        return;
    }
    bool same = payload->hash == job->serial.hash && action->result == job->serial.result;
    if (!same && job->config->crash_times < PXI_CRASHES_MAX && !world->falsified)
        pxi_check_broken (world, peer,
                          "answer: job j%u gives %016llx (%d), serial gives %016llx (%d)",
                          job->index + 1, (unsigned long long)payload->hash, action->result,
                          (unsigned long long)job->serial.hash, job->serial.result);
    pxi_world_job_over (world, job, PXI_JOB_DONE);
}

/* ---- steps ------------------------------------------------------------------------------------ */

static bool knows_newer (const pxi_sim_peer *peer, const pxi_message *message)
{
    pxi_peer_look *looks = peer->world->peer_looks;
    bool newer = false;
    uint32_t n = pxi_core_peers (peer->core, pxi_sim_peer_now_ns (peer), looks, PXI_VIEW_MAX);
    for (uint32_t i = 0; i < n; i++)
        newer |= looks[i].record.id == message->from &&
                 looks[i].record.incarnation > message->from_incarnation;
    return newer;
}

/* Of or for a former self, as far as this peer can know. */
static bool is_stale (const pxi_sim_peer *peer, const pxi_message *message)
{
    if (message->to == peer->id && message->to_incarnation != peer->incarnation)
        return true;
    uint64_t from = message->from - 1;
    if (from >= peer->world->config.n_peers)
        return false;
    bool outlived = peer->world->peers[from].incarnation > message->from_incarnation;
    return outlived && knows_newer (peer, message);
}

static void see_leases_lapse (pxi_sim_peer *peer)
{
    PXI_LIST_EACH_SAFE (link, &peer->leases)
    {
        pxi_sim_lease *lease = PXI_LIST_ENTRY (link, pxi_sim_lease, in_peer);
        if (lease->until_ns > pxi_sim_peer_now_ns (peer))
            continue;
        pxi_list_remove (&lease->in_peer);
        free (lease);
    }
}

static uint64_t crashed_key (pxi_job_id job, uint64_t digest)
{
    return pxi_mix64 (job.number ^ pxi_mix64 (job.origin)) ^ digest;
}

/* Before the step that hears it: what it decides is decided with this crash. */
static void hear_crash (pxi_sim_peer *peer, const pxi_event *event)
{
    pxi_run_look *looks = peer->world->run_looks;
    uint32_t n = event->digest ? pxi_core_runs (peer->core, looks, RUNS_MAX) : 0;
    for (uint32_t i = 0; i < n && i < RUNS_MAX; i++) {
        if (looks[i].run != event->run)
            continue;
        uint64_t key = crashed_key (looks[i].job, event->digest), before = 0;
        pxi_map_get (&peer->crashed, key, &before);
        pxi_map_put (&peer->crashed, key, before + 1);
    }
}

void pxi_check_before_step (pxi_sim_peer *peer, const pxi_event *event, pxi_check_before *before)
{
    pxi_core_sizes_read (peer->core, &before->sizes);
    before->stale = event->kind == PXI_EV_MESSAGE && is_stale (peer, event->message);
    before->gathers = pxi_core_gathers (peer->core);
    see_leases_lapse (peer);
    hear_crash (peer, event);
    pxi_custody_before_step (peer, event);
}

static uint32_t count_actions (const pxi_actions *actions, pxi_action_kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < actions->n; i++)
        n += actions->items[i].kind == kind;
    return n;
}

/* Results that were gathered are sent in whatever step comes next, and kept from then on. */
static void check_former (pxi_sim_peer *peer, const pxi_event *event,
                          const pxi_check_before *before_step, const pxi_actions *actions)
{
    const pxi_core_sizes *before = &before_step->sizes;
    pxi_core_sizes after;
    pxi_core_sizes_read (peer->core, &after);
    bool same = after.runs == before->runs && after.subtasks == before->subtasks &&
                after.attempts == before->attempts && after.branches == before->branches &&
                after.leases == before->leases && after.reservations == before->reservations &&
                after.probes == before->probes && after.jobs == before->jobs &&
                after.takes == before->takes &&
                (after.timers == before->timers || before_step->gathers) &&
                after.runs_waiting == before->runs_waiting && after.shared == before->shared;
    for (uint32_t i = 0; i < actions->n; i++) {
        pxi_action_kind kind = actions->items[i].kind;
        same = same && (kind == PXI_DO_SEND || kind == PXI_DO_FORGET);
    }
    if (!same)
        pxi_check_broken (peer->world, peer, "former: %s from w%llu changes something",
                          pxi_message_name (event->message->kind),
                          (unsigned long long)event->message->from);
}

/* One for each job of a master, by its latest probe: an earlier one may have gone unseen. */
static bool is_of (const pxi_sim_reserved *reserved, const pxi_message *probe)
{
    return reserved->master == probe->from && reserved->job.number == probe->job.number &&
           reserved->job.origin == probe->job.origin;
}

static void see_reserved (pxi_sim_peer *peer, const pxi_message *probe)
{
    uint64_t now_ns = pxi_sim_peer_now_ns (peer);
    if (!peer->reserved)
        peer->reserved = calloc (SIM_RESERVED_MAX, sizeof *peer->reserved);
    PXI_ASSERT (peer->reserved);
    pxi_sim_reserved *place = &peer->reserved[0];
    for (uint32_t i = 0; i < SIM_RESERVED_MAX && !is_of (place, probe); i++) {
        pxi_sim_reserved *one = &peer->reserved[i];
        if (is_of (one, probe) || one->until_ns < place->until_ns)
            place = one;
    }
    peer->reserved_unsure |= !is_of (place, probe) && place->until_ns > now_ns;
    *place = (pxi_sim_reserved){probe->from, probe->probe, now_ns + RESERVED_FOR_NS, probe->job};
}

/* An offer for a probe that this step did not bring comes of a reservation. */
static void check_reserved (pxi_sim_peer *peer, const pxi_event *event, const pxi_message *offer)
{
    if (event->kind == PXI_EV_MESSAGE && event->message->kind == PXI_PROBE &&
        event->message->probe == offer->probe && event->message->from == offer->to)
        return;
    for (uint32_t i = 0; peer->reserved && i < SIM_RESERVED_MAX; i++) {
        pxi_sim_reserved *one = &peer->reserved[i];
        if (one->master != offer->to || one->probe != offer->probe ||
            one->until_ns < pxi_sim_peer_now_ns (peer))
            continue;
        one->until_ns = 0;
        return;
    }
    if (peer->reserved_unsure)
        return;
    pxi_check_broken (peer->world, peer, "reserved: an offer to w%llu for p%llu, long lapsed",
                      (unsigned long long)offer->to, (unsigned long long)offer->probe);
}

static void see_answers (pxi_sim_peer *peer, const pxi_event *event, const pxi_actions *actions)
{
    for (uint32_t i = 0; i < actions->n; i++) {
        const pxi_message *message = &actions->items[i].message;
        if (actions->items[i].kind != PXI_DO_SEND)
            continue;
        if (message->kind == PXI_BUSY && message->reserve)
            see_reserved (peer, event->message);
        else if (message->kind == PXI_OFFER && message->probe)
            check_reserved (peer, event, message);
    }
}

static void see_offers (pxi_sim_peer *peer, const pxi_actions *actions)
{
    for (uint32_t i = 0; i < actions->n; i++) {
        const pxi_message *message = &actions->items[i].message;
        if (actions->items[i].kind != PXI_DO_SEND || message->kind != PXI_OFFER || !message->lease)
            continue;
        pxi_sim_lease *lease = malloc (sizeof *lease);
        PXI_ASSERT (lease);
        lease->lease = message->lease;
        lease->n_slots = message->n_slots;
        lease->master = message->to;
        lease->device = message->device;
        lease->until_ns = pxi_sim_peer_now_ns (peer) + message->duration_ns;
        pxi_list_add_last (&peer->leases, &lease->in_peer);
    }
}

/* Of this master's: under this id, or (id 0) the largest of slots: which of them it takes is the worker's. 0 slots:
 * there is none, it has lapsed, or was used before. */
static uint32_t lease_used (pxi_sim_peer *peer, uint64_t master, uint64_t id)
{
    pxi_sim_lease *used = NULL;
    PXI_LIST_EACH (link, &peer->leases)
    {
        pxi_sim_lease *lease = PXI_LIST_ENTRY (link, pxi_sim_lease, in_peer);
        if (lease->master != master || (id ? lease->lease != id : lease->device != 0))
            continue;
        used = used && used->n_slots >= lease->n_slots ? used : lease;
    }
    uint32_t n_slots = used ? used->n_slots : 0;
    if (used)
        pxi_list_remove (&used->in_peer);
    free (used);
    return n_slots;
}

/* At most: leases may lapse in the step itself. */
static uint32_t free_before (const pxi_sim_peer *peer, const pxi_check_before *before)
{
    uint32_t slots = peer->world->config.peers[peer->index].slots;
    return before->sizes.slots_used < slots ? slots - before->sizes.slots_used : 0;
}

static void check_lease (pxi_sim_peer *peer, const pxi_message *message,
                         const pxi_check_before *before, const pxi_actions *actions)
{
    uint32_t n_runs = count_actions (actions, PXI_DO_RUN);
    uint32_t n_slots = lease_used (peer, message->from, message->lease);
    if (!n_slots) {
        uint32_t n_free = free_before (peer, before);
        n_slots = lease_used (peer, message->from, 0);
        n_slots = n_slots > n_free ? n_slots : n_free;
    }
    if (n_runs > n_slots * PXI_BATCH_MAX)
        pxi_check_broken (peer->world, peer, "lease: %u runs start under a lease for %u", n_runs,
                          n_slots);
}

static bool sends_attempts (const pxi_actions *actions)
{
    for (uint32_t i = 0; i < actions->n; i++) {
        if (actions->items[i].kind == PXI_DO_SEND && actions->items[i].message.n_attempts)
            return true;
    }
    return false;
}

static int by_branch (const void *a, const void *b)
{
    const pxi_away_look *x = a, *y = b;
    if (x->branch != y->branch)
        return x->branch > y->branch ? 1 : -1;
    if (x->peer != y->peer)
        return x->peer > y->peer ? 1 : -1;
    return (x->key.subtask > y->key.subtask) - (x->key.subtask < y->key.subtask);
}

static int by_job_and_subtask (const void *a, const void *b)
{
    const pxi_away_look *first = a, *second = b;
    if (first->job.origin != second->job.origin)
        return first->job.origin < second->job.origin ? -1 : 1;
    if (first->job.number != second->job.number)
        return first->job.number < second->job.number ? -1 : 1;
    return (first->key.subtask > second->key.subtask) - (first->key.subtask < second->key.subtask);
}

static void check_number (pxi_sim_peer *peer, pxi_away_look *looks, uint32_t n)
{
    qsort (looks, n, sizeof *looks, by_branch);
    for (uint32_t from = 0, to; from < n; from = to) {
        uint32_t n_workers = 0, number = PXI_NUMBER_MAX;
        for (to = from; to < n && looks[to].branch == looks[from].branch; to++) {
            bool seen = to > from && looks[to].peer == looks[to - 1].peer;
            n_workers += !seen && looks[to].peer != peer->id;
        }
        pxi_sim_executor *executor = pxi_sim_peer_executor (peer, looks[from].job);
        if (executor)
            pxi_virtual_number (executor->virtual, looks[from].branch, &number);
        if (n_workers > number)
            pxi_check_broken (peer->world, peer, "number: %u workers for branch b%llu, whose is %u",
                              n_workers, (unsigned long long)looks[from].branch, number);
    }
}

/* The attempts of one job: *begun = one beside another has just been started. */
static uint32_t extra_ones (pxi_sim_peer *peer, const pxi_away_look *looks, uint32_t n, bool *begun)
{
    uint64_t now_ns = pxi_sim_peer_now_ns (peer);
    uint32_t n_extra = 0;
    *begun = false;
    for (uint32_t from = 0, to; from < n; from = to) {
        bool new = false;
        for (to = from; to < n && looks[to].key.subtask == looks[from].key.subtask; to++)
            new |= looks[to].sent_ns == now_ns;
        n_extra += to - from - 1;
        *begun |= new &&to - from > 1;
        if (to - from > ATTEMPTS_AT_ONCE)
            pxi_check_broken (peer->world, peer, "attempts: %u of s%llu at once", to - from,
                              (unsigned long long)looks[from].key.subtask);
    }
    return n_extra;
}

/* The budget is each job's own, and at least one, or as many as slots that have nothing else to do. */
static void check_attempts (pxi_sim_peer *peer, pxi_away_look *looks, uint32_t n, bool more_extra)
{
    qsort (looks, n, sizeof *looks, by_job_and_subtask);
    for (uint32_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && pxi_same_job (looks[to].job, looks[from].job); to++) {
        }
        bool begun;
        uint32_t n_extra = extra_ones (peer, looks + from, to - from, &begun);
        uint32_t budget = (to - from) * peer->world->config.core.redo_percent / 100 + 1;
        uint32_t slots = peer->world->config.peers[peer->index].slots;
        budget = budget > slots ? budget : slots;
        if (more_extra && begun && n_extra > budget)
            pxi_check_broken (peer->world, peer, "attempts: %u extra ones beside %u", n_extra,
                              to - from);
    }
}

static void check_away (pxi_sim_peer *peer, bool more_extra)
{
    pxi_away_look *looks = peer->world->away_looks;
    uint32_t n = pxi_core_away (peer->core, looks, AWAY_MAX);
    if (n <= AWAY_MAX) {
        check_number (peer, looks, n);
        check_attempts (peer, looks, n, more_extra);
    }
}

/* What a job holds and may use after these actions. */
static void slots_after (const pxi_actions *actions, pxi_job_id job, uint32_t *held,
                         uint32_t *allowed)
{
    for (uint32_t i = 0; i < actions->n; i++) {
        const pxi_action *action = &actions->items[i];
        if (action->job.number != job.number || action->job.origin != job.origin)
            continue;
        if (action->kind == PXI_DO_SLOTS)
            *allowed = action->count;
        else if (action->kind == PXI_DO_CLOSE_JOB)
            *held = *allowed = 0;
    }
}

/* A thread over its job's allowance holds its slot to the next boundary. That a job grows into its
 * allowance while the core takes it away is no fault (the core hears of it later): only a raise is. */
static void check_raise (pxi_sim_peer *peer, const pxi_actions *actions)
{
    pxi_core_sizes sizes;
    uint32_t slots = peer->world->config.peers[peer->index].slots, n_held = 0;
    bool raise = false;
    PXI_LIST_EACH (link, &peer->executors)
    {
        pxi_sim_executor *executor = PXI_LIST_ENTRY (link, pxi_sim_executor, in_peer);
        pxi_virtual_look look;
        pxi_virtual_read (executor->virtual, &look);
        uint32_t allowed = look.allowed, held = executor->heard_active;
        slots_after (actions, executor->job->id, &held, &allowed);
        bool root_alone = executor->job->config->peer == peer->index && allowed == 1;
        raise = raise || (allowed > look.allowed && allowed > held && !root_alone);
        n_held += allowed > held ? allowed : held;
    }
    if (!raise)
        return;
    pxi_core_sizes_read (peer->core, &sizes);
    if (n_held + sizes.slots_leased > slots + sizes.roots)
        pxi_check_broken (peer->world, peer,
                          "slots: a job is allowed more while %u are held and %u leased of %u",
                          n_held, sizes.slots_leased, slots);
}

static void hear_active (pxi_sim_peer *peer, const pxi_event *event)
{
    pxi_sim_executor *executor =
        event->kind == PXI_EV_ACTIVE ? pxi_sim_peer_executor (peer, event->job) : NULL;
    if (executor)
        executor->heard_active = event->count;
}

static int by_key (const void *a, const void *b)
{
    const pxi_run_look *x = a, *y = b;
    if (x->master != y->master)
        return x->master > y->master ? 1 : -1;
    if (x->key.subtask != y->key.subtask)
        return x->key.subtask > y->key.subtask ? 1 : -1;
    return (x->key.attempt > y->key.attempt) - (x->key.attempt < y->key.attempt);
}

/* A message that comes twice starts nothing twice. */
static void check_runs (pxi_sim_peer *peer)
{
    pxi_run_look *looks = peer->world->run_looks;
    uint32_t n = pxi_core_runs (peer->core, looks, RUNS_MAX);
    if (n > RUNS_MAX)
        return;
    qsort (looks, n, sizeof *looks, by_key);
    for (uint32_t i = 1; i < n; i++) {
        if (looks[i].master && !by_key (&looks[i - 1], &looks[i]))
            pxi_check_broken (peer->world, peer, "attempts: s%llu.%u of w%llu runs twice here",
                              (unsigned long long)looks[i].key.subtask, looks[i].key.attempt,
                              (unsigned long long)looks[i].master);
    }
}

/* What is asked for twice may come twice: where an answer may be slower than the asker's patience, or lost. */
static bool is_undisturbed (const pxi_world *world)
{
    return !world->config.calm_ns && !world->config.short_of_memory &&
           4 * world->slowest_ns < world->config.core.detect_ns / 5;
}

static bool forgets (const pxi_actions *actions, uint64_t blob)
{
    for (uint32_t i = 0; i < actions->n; i++) {
        if (actions->items[i].kind == PXI_DO_FORGET && actions->items[i].blob == blob)
            return true;
    }
    return false;
}

static void see_shared_come (pxi_sim_peer *peer, const pxi_event *event, const pxi_actions *actions)
{
    const pxi_message *message = event->message;
    uint64_t digest = message->shared.digest[0];
    bool again = pxi_map_get (&peer->came, digest, NULL);
    if (again && is_undisturbed (peer->world))
        pxi_check_broken (peer->world, peer, "fetched: a shared input comes twice");
    if (!again && !forgets (actions, message->blob))
        pxi_map_put (&peer->came, digest, message->blob);
}

static void check_fetched (pxi_sim_peer *peer, const pxi_event *event, const pxi_actions *actions)
{
    if (event->kind == PXI_EV_MESSAGE && event->message->kind == PXI_SHARED && event->message->blob)
        see_shared_come (peer, event, actions);
    for (uint32_t i = 0; i < actions->n; i++) {
        const pxi_action *action = &actions->items[i];
        const pxi_payload *payload =
            action->kind == PXI_DO_FORGET ? pxi_map_pointer (&peer->blobs, action->blob) : NULL;
        uint64_t blob = 0;
        if (payload && payload->shared.size_bytes &&
            pxi_map_get (&peer->came, payload->shared.digest[0], &blob) && blob == action->blob)
            pxi_map_remove (&peer->came, payload->shared.digest[0], NULL);
        if (action->kind == PXI_DO_SEND && action->message.kind == PXI_FETCH &&
            pxi_map_get (&peer->came, action->message.shared.digest[0], NULL))
            pxi_check_broken (peer->world, peer, "fetched: asks w%llu for what is here",
                              (unsigned long long)action->message.to);
    }
}

/* ---- remembered ------------------------------------------------------------------------------- */

static void check_remembered (pxi_sim_peer *peer, const pxi_actions *actions)
{
    bool unsure =
        pxi_map_size (&peer->crashed) > PXI_CRASHERS_MAX || peer->world->config.short_of_memory;
    for (uint32_t i = 0; i < actions->n; i++) {
        const pxi_action *run = &actions->items[i];
        uint64_t times = 0;
        if (run->kind != PXI_DO_RUN || run->root)
            continue;
        pxi_map_get (&peer->crashed, crashed_key (run->job, run->attempt.digest), &times);
        if (run->flag != (times >= PXI_CRASHES_MAX) && (run->flag || !unsure))
            pxi_check_broken (
                peer->world, peer, "remembered: s%llu.%u, which has crashed here %llu times, %s",
                (unsigned long long)run->attempt.key.subtask, run->attempt.key.attempt,
                (unsigned long long)times, run->flag ? "is not started" : "is started");
    }
}

/* ---- what a step left -------------------------------------------------------------------------- */

void pxi_check_after_step (pxi_sim_peer *peer, const pxi_event *event,
                           const pxi_check_before *before, const pxi_actions *actions)
{
    pxi_core_sizes after;
    if (before->stale)
        check_former (peer, event, before, actions);
    if (event->kind == PXI_EV_MESSAGE && event->message->kind == PXI_DISPATCH && !before->stale)
        check_lease (peer, event->message, before, actions);
    if (count_actions (actions, PXI_DO_RUN))
        check_runs (peer);
    pxi_custody_after_step (peer, event, actions);
    check_fetched (peer, event, actions);
    check_remembered (peer, actions);
    see_answers (peer, event, actions);
    see_offers (peer, actions);
    hear_active (peer, event);
    if (count_actions (actions, PXI_DO_SLOTS))
        check_raise (peer, actions);
    pxi_core_sizes_read (peer->core, &after);
    bool more_extra = after.n_speculative > before->sizes.n_speculative;
    if (more_extra || sends_attempts (actions))
        check_away (peer, more_extra);
}

/* ---- turns ------------------------------------------------------------------------------------ */

static void check_slots (pxi_sim_peer *peer, const pxi_core_sizes *sizes, uint32_t n_allowed)
{
    uint32_t slots = peer->world->config.peers[peer->index].slots;
    if (n_allowed + sizes->slots_leased > slots + sizes->roots)
        pxi_check_broken (peer->world, peer,
                          "slots: %u threads may execute and %u are leased of %u", n_allowed,
                          sizes->slots_leased, slots);
}

static void check_bounds (pxi_sim_peer *peer, const pxi_core_sizes *sizes)
{
    const pxi_core_config *config = &peer->world->config.core;
    uint32_t n_peers = peer->world->config.n_peers;
    uint32_t timers_max =
        n_peers + 2 * sizes->jobs + sizes->probes + sizes->leases + sizes->shared + 10;
    if (sizes->timers > timers_max)
        pxi_check_broken (peer->world, peer, "bounded: %u timers, %u explained", sizes->timers,
                          timers_max);
    if (sizes->attempts > config->attempts_max)
        pxi_check_broken (peer->world, peer, "bounded: %u attempts of %u", sizes->attempts,
                          config->attempts_max);
    uint64_t objects = (uint64_t)sizes->runs + sizes->subtasks + sizes->attempts + sizes->branches +
                       sizes->leases + sizes->probes + sizes->takes + sizes->shared;
    uint64_t memory_bytes = MEMORY_REST_BYTES + MEMORY_SENT_BYTES + n_peers * MEMORY_PEER_BYTES +
                            config->view_max * sizeof (void *) + objects * MEMORY_OBJECT_BYTES +
                            sizes->jobs * MEMORY_JOB_BYTES;
    if (peer->world->config.peers[peer->index].n_devices)
        memory_bytes += MEMORY_DEVICES_BYTES;
    if (sizes->memory_bytes > memory_bytes)
        pxi_check_broken (peer->world, peer, "bounded: %llu bytes, %llu explained",
                          (unsigned long long)sizes->memory_bytes,
                          (unsigned long long)memory_bytes);
}

static void check_devices (pxi_sim_peer *peer, const pxi_core_sizes *sizes)
{
    const pxi_world_peer *config = &peer->world->config.peers[peer->index];
    uint32_t n_slots = 0, n_runs = pxi_sim_device_n_runs (peer);
    for (uint32_t i = 0; i < config->n_devices; i++)
        n_slots += config->devices[i].slots;
    if (sizes->device_slots_held > n_slots || n_runs > n_slots)
        pxi_check_broken (peer->world, peer, "devices: %u slots are held and %u used of %u",
                          sizes->device_slots_held, n_runs, n_slots);
    if (sizes->device_slots_held !=
        sizes->device_slots_leased + sizes->device_slots_taking + sizes->device_runs)
        pxi_check_broken (peer->world, peer,
                          "devices: %u slots are held, %u leased, %u taken for, %u run on",
                          sizes->device_slots_held, sizes->device_slots_leased,
                          sizes->device_slots_taking, sizes->device_runs);
    if (n_runs != sizes->device_runs)
        pxi_check_broken (peer->world, peer, "devices: %u chunks on them, %u in the core's hands",
                          n_runs, sizes->device_runs);
}

void pxi_check_turn (pxi_sim_peer *peer)
{
    pxi_core_sizes sizes;
    uint32_t n_allowed = 0, n_away = 0, n_runs = 0;
    pxi_core_sizes_read (peer->core, &sizes);
    PXI_LIST_EACH (link, &peer->executors)
    {
        pxi_virtual_look look;
        pxi_virtual_read (PXI_LIST_ENTRY (link, pxi_sim_executor, in_peer)->virtual, &look);
        n_allowed += look.allowed;
        n_away += look.away;
        n_runs += look.runs;
    }
    if (!peer->world->config.notice_ns) /* else the core's word is late by that */
        check_slots (peer, &sizes, n_allowed);
    check_bounds (peer, &sizes);
    if (n_away != sizes.subtasks)
        pxi_check_broken (peer->world, peer, "conserved: %u subtasks away, %u in the core's hands",
                          n_away, sizes.subtasks);
    check_devices (peer, &sizes);
    n_runs += sizes.device_runs;
    if (n_runs + sizes.runs_waiting != sizes.runs)
        pxi_check_broken (peer->world, peer,
                          "conserved: %u runs, %u in the core's hands, of which %u wait", n_runs,
                          sizes.runs, sizes.runs_waiting);
}

/* ---- life ------------------------------------------------------------------------------------- */

bool pxi_check_init (pxi_world *world)
{
    world->away_looks = malloc (AWAY_MAX * sizeof *world->away_looks);
    world->run_looks = malloc (RUNS_MAX * sizeof *world->run_looks);
    world->peer_looks = malloc (PXI_VIEW_MAX * sizeof *world->peer_looks);
    return world->away_looks && world->run_looks && world->peer_looks &&
           pxi_custody_init (&world->custody);
}

void pxi_check_fini (pxi_world *world)
{
    free (world->away_looks);
    free (world->run_looks);
    free (world->peer_looks);
    pxi_custody_fini (&world->custody);
}

/* ---- the end ---------------------------------------------------------------------------------- */

static void check_peer_quiet (pxi_world *world, const pxi_sim_peer *peer)
{
    pxi_core_sizes sizes;
    pxi_core_sizes_read (peer->core, &sizes);
    const struct {
        const char *what;
        uint64_t n;
    } left[] = {
        {"runs", sizes.runs},
        {"subtasks", sizes.subtasks},
        {"attempts", sizes.attempts},
        {"branches", sizes.branches},
        {"leases", sizes.leases},
        {"reservations", sizes.reservations},
        {"probes", sizes.probes},
        {"jobs", sizes.jobs},
        {"takes", sizes.takes},
        {"shared inputs", sizes.shared},
        {"slots of devices", sizes.device_slots_held},
        {"slots used", sizes.slots_used},
        {"slots leased", sizes.slots_leased},
        {"executors", !pxi_list_is_empty (&peer->executors)},
        {"blobs", pxi_map_size (&peer->blobs)},
    };
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        if (left[i].n)
            pxi_check_broken (world, peer, "quiet: %llu %s left when all is over",
                              (unsigned long long)left[i].n, left[i].what);
    }
}

void pxi_check_quiet (pxi_world *world)
{
    for (uint32_t i = 0; i < world->config.n_peers; i++) {
        if (world->peers[i].up)
            check_peer_quiet (world, &world->peers[i]);
    }
}

typedef struct pxi_reasons {
    pxi_world *world;
    size_t at;
} pxi_reasons;

static void add_reason (pxi_reasons *reasons, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
static void add_reason (pxi_reasons *reasons, const char *format, ...)
{
    size_t room = PXI_WORLD_WHY_SIZE - reasons->at;
    va_list arguments;
    va_start (arguments, format);
    int n = vsnprintf (reasons->world->why + reasons->at, room, format, arguments);
    va_end (arguments);
    if (n > 0)
        reasons->at += (size_t)n < room ? (size_t)n : room - 1;
}

static void add_subtask (void *context, uint64_t subtask, uint64_t branch)
{
    add_reason (context, " s%llu of b%llu", (unsigned long long)subtask,
                (unsigned long long)branch);
}

static void add_peer (pxi_reasons *reasons, const pxi_sim_peer *peer)
{
    char why[256];
    pxi_core_why (peer->core, pxi_sim_peer_now_ns (peer), why, sizeof why);
    add_reason (reasons, "\n  %s: %s", peer->name, why);
    PXI_LIST_EACH (link, &peer->executors)
    {
        pxi_sim_executor *executor = PXI_LIST_ENTRY (link, pxi_sim_executor, in_peer);
        pxi_virtual_look look;
        pxi_virtual_read (executor->virtual, &look);
        add_reason (reasons, "; j%u: %u runs, %u of %u threads, %u waiting, %u away:",
                    executor->job->index + 1, look.runs, look.executing, look.allowed, look.waiting,
                    look.away);
        pxi_virtual_each_away (executor->virtual, 5, add_subtask, reasons);
    }
}

void pxi_check_stuck (pxi_world *world)
{
    pxi_reasons reasons = {world, 0};
    if (world->corrupted)
        return;
    world->verdict = PXI_VERDICT_STUCK;
    add_reason (&reasons, "at %.3f s, %u of %u jobs not over though all was calm for %.3f s",
                (double)world->time.now_ns / (double)PXI_SECOND,
                world->config.n_jobs - world->n_jobs_over, world->config.n_jobs,
                (double)pxi_world_patience_ns (world) / (double)PXI_SECOND);
    uint32_t n = 0;
    for (uint32_t i = 0; i < world->config.n_peers && n < REASONS_MAX; i++) {
        const pxi_sim_peer *peer = &world->peers[i];
        if (!peer->up || pxi_list_is_empty (&peer->executors))
            continue;
        add_peer (&reasons, peer);
        n++;
    }
    pxi_world_say (world, "check", "%s", world->why);
}

void pxi_check_forget (pxi_sim_peer *peer)
{
    for (pxi_list *link; (link = pxi_list_first (&peer->leases));) {
        pxi_list_remove (link);
        free (PXI_LIST_ENTRY (link, pxi_sim_lease, in_peer));
    }
    pxi_sweep_forget (peer);
    pxi_map_fini (&peer->came);
    pxi_map_init (&peer->came, CAME_MAX, 1);
    pxi_map_fini (&peer->crashed);
    pxi_map_init (&peer->crashed, CAME_MAX, 1);
    free (peer->reserved);
    peer->reserved = NULL;
    peer->reserved_unsure = false;
}
