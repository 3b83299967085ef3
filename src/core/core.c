/* The dispatcher: one event in, a list of actions out.
 *
 * Decides nothing itself but whether a message is for this peer and this incarnation. Also the
 * arena of a step: actions and the arrays of their messages live until the next step. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/state.h"

enum {
    ACTIONS_MAX = 1 << 20,
    TIMERS_MAX = 1 << 20,  /* one each: peers, 2 jobs, probes, leases: far below */
    FIRST_ITEMS = 4,       /* of an array that grows: most steps ask for no more */
    LINE_SIZE = 64,        /* of the processor's caches: a guess, only speed depends on it */
    ENTRIES_MAX = 1 << 18, /* of any map: attempts_max with room for relations */
};

const char *pxi_message_name (pxi_message_kind kind)
{
    switch (kind) {
#define NAME(name, value)                                                                          \
    case PXI_##name:                                                                               \
        return #name;
        PXI_MESSAGES (NAME)
#undef NAME
    }
    return "?";
}

pxi_core_config pxi_core_config_default (void)
{
    return (pxi_core_config){
        .detect_ns = 2500 * PXI_MS,
        .gossip_ns = PXI_SECOND,
        .quantum_ns = 50 * PXI_MS,
        .view_max = PXI_VIEW_MAX,
        .attempts_max = PXI_ATTEMPTS_MAX,
        .shared_size_max = PXI_SHARED_SIZE_MAX,
        .redo_percent = 10,
        .speculation = true,
        .adaptation = true,
        .inlining = true,
        .reservations = true,
        .volunteers = true,
        .backoff = true,
    };
}

static bool config_valid (const pxi_core_config *config)
{
    return config->self.id != 0 && config->self.incarnation != 0 && config->self.slots >= 1 &&
           config->self.slots <= PXI_SLOTS_MAX && config->self.n_modules <= PXI_PEER_MODULES_MAX &&
           config->view_max >= 1 && config->view_max <= PXI_VIEW_MAX && config->attempts_max >= 1 &&
           config->attempts_max <= PXI_ATTEMPTS_MAX && config->detect_ns >= 6 * PXI_MS &&
           config->gossip_ns >= PXI_MS && config->quantum_ns >= PXI_MS;
}

static pxi_core *core_fail (pxi_core *core)
{
    pxi_core_free (&core);
    return NULL;
}

pxi_core *pxi_core_new (const pxi_core_config *config)
{
    if (!config_valid (config))
        return NULL;
    pxi_core *core = calloc (1, sizeof *core);
    if (!core)
        return NULL;
    core->config = *config;
    core->self = config->self;
    core->now_ns = core->started_ns = core->resumed_ns = config->now_ns;
    /* Six beats to the limit: five may be lost, and the verdict still comes within detect_ns. */
    core->handshake_ns = config->detect_ns / 6;
    core->next_id = 1;
    core->memory_bytes = sizeof *core;
    pxi_prng_init (&core->prng, config->seed);
    pxi_heap_init (&core->timers, TIMERS_MAX);
    pxi_map *maps[] = {&core->peers, &core->jobs,         &core->subtasks, &core->branches,
                       &core->runs,  &core->leases_by_id, &core->takes};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        pxi_map_init (maps[i], ENTRIES_MAX, config->seed);
    pxi_map_init (&core->probes, ENTRIES_MAX, config->seed);
    pxi_map_init (&core->shared, ENTRIES_MAX, config->seed);
    pxi_map_init (&core->sent_by_key, SENT_MAX, config->seed);
    pxi_list *lists[] = {&core->all_peers,  &core->all_jobs,   &core->all_runs,
                         &core->all_probes, &core->all_takes,  &core->leases,
                         &core->sent,       &core->all_shared, &core->kept};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        pxi_list_init (lists[i]);
    core->view = pxi_core_alloc (core, config->view_max * sizeof *core->view);
    if (!core->view)
        return core_fail (core);
    pxi_view_init (core);
    return core;
}

static void scratch_clear (pxi_core *core)
{
    for (uint32_t i = 0; i < core->n_scratch; i++)
        free (core->scratch[i]);
    core->n_scratch = 0;
}

#define FREE_ALL(list, type, member)                                                               \
    for (pxi_list * freed; (freed = pxi_list_first (list));) {                                     \
        pxi_list_remove (freed);                                                                   \
        free (PXI_LIST_ENTRY (freed, type, member));                                               \
    }

static void job_clear (pxi_job *job)
{
    free (job->adapts);
    PXI_LIST_EACH (link, &job->subtasks)
    {
        pxi_subtask *subtask = PXI_LIST_ENTRY (link, pxi_subtask, in_job);
        FREE_ALL (&subtask->attempts, pxi_attempt_state, in_subtask)
    }
    FREE_ALL (&job->subtasks, pxi_subtask, in_job)
    FREE_ALL (&job->branches, pxi_branch, in_job)
}

void pxi_core_free (pxi_core **core_p)
{
    PXI_ASSERT (core_p);
    pxi_core *core = *core_p;
    if (!core)
        return;
    *core_p = NULL;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        job_clear (PXI_LIST_ENTRY (link, pxi_job, in_core));
    }
    FREE_ALL (&core->all_jobs, pxi_job, in_core)
    FREE_ALL (&core->all_runs, pxi_run, in_core)
    FREE_ALL (&core->all_probes, pxi_probe, in_core)
    FREE_ALL (&core->all_takes, pxi_take, in_core)
    FREE_ALL (&core->leases, pxi_lease, in_core)
    FREE_ALL (&core->sent, pxi_sent_result, in_core)
    FREE_ALL (&core->all_shared, pxi_shared, in_core)
    PXI_LIST_EACH (link, &core->all_peers)
    {
        free (PXI_LIST_ENTRY (link, pxi_peer, in_core)->devices);
    }
    FREE_ALL (&core->all_peers, pxi_peer, in_core)
    pxi_map *maps[] = {&core->peers,       &core->jobs,   &core->subtasks,     &core->branches,
                       &core->runs,        &core->probes, &core->leases_by_id, &core->takes,
                       &core->sent_by_key, &core->shared};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        pxi_map_fini (maps[i]);
    pxi_heap_fini (&core->timers);
    scratch_clear (core);
    free (core->scratch);
    free (core->actions);
    free (core->view);
    pxi_estimate_forget (core);
    free (core->crashers);
    free (core->devices);
    free (core);
}

/* ---- arena and actions ------------------------------------------------------------------------
 */

uint64_t pxi_core_new_id (pxi_core *core)
{
    return core->next_id++;
}

void *pxi_core_alloc (pxi_core *core, size_t size)
{
    void *memory = calloc (1, size);
    if (memory)
        core->memory_bytes += size;
    return memory;
}

void pxi_core_release (pxi_core *core, void *memory, size_t size)
{
    if (!memory)
        return;
    PXI_ASSERT (core->memory_bytes >= size);
    core->memory_bytes -= size;
    free (memory);
}

static bool grow (void **array, uint32_t *capacity, size_t item_size)
{
    uint32_t wanted = *capacity ? *capacity * 2 : FIRST_ITEMS;
    void *larger = realloc (*array, wanted * item_size);
    if (!larger)
        return false;
    *array = larger;
    *capacity = wanted;
    return true;
}

void *pxi_core_scratch (pxi_core *core, size_t size)
{
    if (core->n_scratch == core->scratch_capacity) {
        void *array = core->scratch;
        if (!grow (&array, &core->scratch_capacity, sizeof *core->scratch))
            return NULL;
        core->scratch = array;
    }
    void *memory = malloc (size ? size : 1);
    if (memory)
        core->scratch[core->n_scratch++] = memory;
    return memory;
}

/* Losing an action would break the contract with the driver, and a few hundred bytes are all that
 * is asked for: out of memory here ends the process. */
pxi_action *pxi_core_act (pxi_core *core, pxi_action_kind kind)
{
    PXI_ASSERT (core->n_actions < ACTIONS_MAX);
    if (core->n_actions == core->actions_capacity) {
        void *array = core->actions;
        bool grown = grow (&array, &core->actions_capacity, sizeof *core->actions);
        PXI_ASSERT (grown);
        core->actions = array;
    }
    pxi_action *action = &core->actions[core->n_actions++];
    memset (action, 0, sizeof *action);
    action->kind = kind;
    return action;
}

pxi_message *pxi_core_send (pxi_core *core, const pxi_peer *to, pxi_message_kind kind)
{
    pxi_action *action = pxi_core_act (core, PXI_DO_SEND);
    action->address = to->record.address;
    pxi_message *message = &action->message;
    message->kind = kind;
    message->from = core->self.id;
    message->from_incarnation = core->self.incarnation;
    message->to = to->record.id;
    message->to_incarnation = to->record.incarnation;
    core->stats.messages_sent++;
    core->stats.messages_work += kind > PXI_REFUSED;
    return message;
}

void pxi_core_forget (pxi_core *core, uint64_t blob)
{
    if (blob)
        pxi_core_act (core, PXI_DO_FORGET)->blob = blob;
}

/* ---- trace ------------------------------------------------------------------------------------
 */

void pxi_core_say (pxi_core *core, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (line, sizeof line, format, arguments);
    va_end (arguments);
    core->trace (core->trace_context, core->now_ns, line);
}

const char *pxi_core_name (const pxi_peer *peer)
{
    return !peer ? "here" : peer->record.name[0] ? peer->record.name : "?";
}

void pxi_core_trace (pxi_core *core, pxi_trace_sink *sink, void *context)
{
    core->trace = sink;
    core->trace_context = context;
}

/* ---- dispatch ---------------------------------------------------------------------------------
 */

static void dispatch_message (pxi_core *core, const pxi_message *message)
{
    pxi_peer *from = pxi_view_sender (core, message);
    if (!from) {
        pxi_core_forget (core, message->blob);
        for (uint32_t i = 0; i < message->n_results; i++)
            pxi_core_forget (core, message->results[i].blob);
        for (uint32_t i = 0; i < message->n_attempts; i++)
            pxi_core_forget (core, message->attempts[i].blob);
        return;
    }
    from->pins++;
    pxi_view_heard (core, from);
    switch (message->kind) {
    case PXI_HELLO:
    case PXI_WELCOME:
    case PXI_GOSSIP:
    case PXI_GOSSIP_REPLY:
    case PXI_LEAVE:
    case PXI_REFUSED:
        pxi_view_message (core, from, message);
        break;
    case PXI_OFFER:
    case PXI_BUSY:
    case PXI_CANNOT:
        pxi_place_message (core, from, message);
        break;
    case PXI_PROBE:
    case PXI_DISPATCH:
    case PXI_DECLINE:
    case PXI_CANCEL:
        pxi_worker_message (core, from, message);
        break;
    case PXI_RESULT:
        pxi_branch_message (core, from, message);
        break;
    case PXI_HANDSHAKE:
    case PXI_HANDSHAKE_ACK:
        pxi_handshake_message (core, from, message);
        break;
    case PXI_FETCH:
    case PXI_SHARED:
        pxi_shared_message (core, from, message);
        break;
    }
    from->pins--;
    pxi_view_unref (core, from);
}

static void dispatch_timer (pxi_core *core, pxi_timer *timer)
{
    switch (timer->kind) {
    case PXI_TIMER_GOSSIP:
    case PXI_TIMER_JOIN:
        pxi_view_timer (core, timer->kind);
        break;
    case PXI_TIMER_QUANTUM:
    case PXI_TIMER_VOLUNTEER:
    case PXI_TIMER_SENT:
    case PXI_TIMER_RESERVATION:
        pxi_worker_timer (core, timer->kind);
        break;
    case PXI_TIMER_RELATION:
        pxi_handshake_timer (core, timer->owner);
        break;
    case PXI_TIMER_SEEK:
        core->seek_pending = true;
        break;
    case PXI_TIMER_STRAGGLER:
        pxi_straggler_timer (core, timer->owner);
        break;
    case PXI_TIMER_PROBE:
        pxi_place_probe_lost (core, timer->owner);
        break;
    case PXI_TIMER_LEASE:
        SAY (core, "lease lapsed -> slots free");
        pxi_lease_unanswered (core, timer->owner);
        core->share_pending = true;
        break;
    case PXI_TIMER_FETCH:
    case PXI_TIMER_KEPT:
        pxi_shared_timer (core, timer);
        break;
    case PXI_TIMER_DEVICE:
        pxi_device_timer (core);
        break;
    }
}

/* A tick that comes late by more than a handshake says that this peer stood still, not the others:
 * their silence counts from now (Lifeguard's local health, in its simplest form). */
static void notice_pause (pxi_core *core, uint64_t now_ns)
{
    uint64_t wake_ns = pxi_core_wake_ns (core);
    if (core->resumed_ns > wake_ns)
        return; /* noticed with the first of what had come meanwhile */
    if (wake_ns != UINT64_MAX && now_ns > wake_ns && now_ns - wake_ns > core->handshake_ns) {
        SAY (core, "stood still -> silence of others counts from now");
        core->resumed_ns = now_ns;
    }
}

/* Of its executor something changed. */
static void idle_for (pxi_core *core, pxi_job_id id)
{
    pxi_job *job = pxi_worker_find_job (core, id);
    if (job)
        pxi_straggler_idle (core, job);
}

static void dispatch (pxi_core *core, const pxi_event *event)
{
    switch (event->kind) {
    case PXI_EV_TICK:
        for (pxi_timer *timer; (timer = pxi_timer_due (core));)
            dispatch_timer (core, timer);
        break;
    case PXI_EV_MESSAGE:
        dispatch_message (core, event->message);
        break;
    case PXI_EV_UNREACHABLE:
        break; /* only silence counts: a full queue or a reconnecting link is not a verdict */
    case PXI_EV_JOIN:
        pxi_view_join (core, &event->address);
        break;
    case PXI_EV_HOST_BUSY:
        core->host_busy = event->flag;
        SAY (core, "host busy %d", event->flag);
        core->share_pending = true;
        break;
    case PXI_EV_DRAIN:
        pxi_view_leave (core);
        if (event->flag)
            pxi_worker_hand_back (core);
        break;
    case PXI_EV_MODULE:
        if (core->self.n_modules < PXI_PEER_MODULES_MAX)
            core->self.modules[core->self.n_modules++] = event->module;
        else
            core->self.flags |= PXI_PEER_MORE_MODULES;
        break;
    case PXI_EV_SUBMIT:
        pxi_worker_submit (core, event);
        break;
    case PXI_EV_SURPLUS: {
        pxi_job *job = pxi_worker_find_job (core, event->job);
        if (!job)
            break;
        if (event->count && !job->surplus)
            job->waits_ns = core->now_ns;
        job->surplus = event->count;
        job->dry = false;
        pxi_device_surplus (core, job, event->task, event->n_items);
        if (event->count && !job->root) /* what was sent here has subtasks, and so will its like */
            job->nests = job->heard_of = true;
        core->seek_pending |= event->count > 0;
        break;
    }
    case PXI_EV_TAKEN:
        pxi_place_taken (core, event);
        break;
    case PXI_EV_ACTIVE:
        pxi_share_active (core, event);
        idle_for (core, event->job);
        break;
    case PXI_EV_FINISHED:
        pxi_worker_finished (core, event);
        break;
    case PXI_EV_BRANCH_CLOSED:
        pxi_branch_closed (core, event->branch);
        break;
    case PXI_EV_PROGRESS:
        pxi_worker_progress (core, event);
        break;
    case PXI_EV_JOB_CANCEL:
        pxi_worker_cancel_job (core, event->job);
        break;
    case PXI_EV_FLUSH:
        break;
    case PXI_EV_DEVICES:
        pxi_device_all (core, event);
        break;
    case PXI_EV_DEVICE_WRONG:
        pxi_device_wrong (core, event);
        break;
    case PXI_EV_DURATION: {
        pxi_job *job = pxi_worker_find_job (core, event->job);
        if (job && event->n_items)
            pxi_device_slot_did (core, job, event->task, event->n_items, event->run_ns);
        else if (job && event->run_ns)
            pxi_straggler_sample (job, event->task, event->run_ns);
        if (!event->n_items) /* chunks are what devices and slots make of them (rank.c) */
            pxi_estimate_ran (core, event);
        break;
    }
    }
}

static void tell_view (pxi_core *core)
{
    if (core->n_responsive != core->told_responsive) {
        core->told_responsive = core->n_responsive;
        pxi_core_act (core, PXI_DO_VIEW)->count = core->n_responsive;
        core->seek_pending = true;
    }
}

/* What several parts of a step may ask for is done once, last. */
static void finish_step (pxi_core *core)
{
    tell_view (core);
    if (core->close_pending)
        pxi_worker_close_jobs (core);
    if (core->share_pending)
        pxi_share (core);
    if (core->seek_pending)
        pxi_place_seek_all (core);
    pxi_core_check_drained (core);
}

/* Of an executor: results that came with it may wait for more of them. Whatever else happens finds them sent. */
static bool is_news (const pxi_event *event)
{
    return event->kind == PXI_EV_FINISHED || event->kind == PXI_EV_ACTIVE ||
           event->kind == PXI_EV_PROGRESS || event->kind == PXI_EV_DURATION;
}

void pxi_core_step (pxi_core *core, const pxi_event *event, pxi_actions *actions)
{
    PXI_ASSERT (core && event && actions);
    core->n_actions = 0;
    scratch_clear (core);
    uint64_t now_ns = event->now_ns > core->now_ns ? event->now_ns : core->now_ns;
    notice_pause (core, now_ns);
    core->now_ns = now_ns;
    if (!is_news (event))
        pxi_worker_flush (core);
    dispatch (core, event);
    finish_step (core);
    *actions = (pxi_actions){core->actions, core->n_actions};
}

void pxi_core_fetch (const pxi_core *core)
{
    const char *memory = (const char *)core;
    for (size_t at = 0; at < offsetof (pxi_core, jobs); at += LINE_SIZE)
        __builtin_prefetch (memory + at);
}

bool pxi_core_gathers (const pxi_core *core)
{
    return core->n_returning > 0;
}

uint64_t pxi_core_wake_ns (const pxi_core *core)
{
    const pxi_heap_node *first = pxi_heap_first (&core->timers);
    return first ? first->deadline : UINT64_MAX;
}

void pxi_core_check_drained (pxi_core *core)
{
    if (!core->draining || core->drained || core->n_runs || core->n_attempts || core->n_subtasks ||
        core->n_returning)
        return;
    core->drained = true;
    SAY (core, "nothing left -> drained");
    pxi_core_act (core, PXI_DO_DRAINED);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* One that has said that it leaves is not missed, and no longer counted when it is silent. */
static bool has_left (const pxi_peer *peer)
{
    return peer->leaving && peer->unresponsive && !peer->n_runs && !peer->n_away;
}

static void count_peers (const pxi_core *core, px_stats *stats)
{
    for (uint32_t i = 0; i < core->n_view; i++) {
        const pxi_peer *peer = core->view[i];
        stats->peers_known += !has_left (peer);
        stats->peers_unresponsive += peer->unresponsive && !has_left (peer);
    }
}

void pxi_core_stats (const pxi_core *core, px_stats *stats)
{
    *stats = core->stats;
    stats->size = sizeof *stats;
    count_peers (core, stats);
    stats->slots = core->self.slots;
    stats->leases = core->slots_leased;
    stats->attempts_away = core->n_attempts;
    stats->jobs = core->n_jobs;
    PXI_LIST_EACH (node, &core->all_jobs)
    {
        const pxi_job *job = PXI_LIST_ENTRY (node, pxi_job, in_core);
        stats->slots_used += job->active;
        stats->waiting += job->surplus;
    }
    PXI_LIST_EACH (node, &core->all_runs)
    {
        stats->attempts_here += PXI_LIST_ENTRY (node, pxi_run, in_core)->master != NULL;
    }
}

uint32_t pxi_core_peers (const pxi_core *core, uint64_t now_ns, pxi_peer_look *looks, uint32_t max)
{
    for (uint32_t i = 0; i < core->n_view && i < max; i++) {
        const pxi_peer *peer = core->view[i];
        looks[i] = (pxi_peer_look){
            .record = peer->record,
            .heard_ns_ago = peer->heard_ns ? now_ns - peer->heard_ns : UINT64_MAX,
            .rtt_ns = peer->rtt_ns,
            .bytes_per_s = pxi_cost_link_rate (&peer->link, now_ns),
            .slowness_permille = peer->link.speed.mean * 1000 / PXI_COST_ONE,
            .slowness_sure = pxi_cost_speed_sure (&peer->link),
            .unresponsive = peer->unresponsive,
            .leaving = peer->leaving,
            .left = has_left (peer),
            .master = peer->n_runs > 0,
            .worker = peer->n_away > 0,
        };
    }
    return core->n_view;
}

uint32_t pxi_core_runs (const pxi_core *core, pxi_run_look *looks, uint32_t max)
{
    uint32_t n = 0;
    PXI_LIST_EACH (node, &core->all_runs)
    {
        const pxi_run *run = PXI_LIST_ENTRY (node, pxi_run, in_core);
        if (n < max)
            looks[n] = (pxi_run_look){run->id,         run->master ? run->master->record.id : 0,
                                      run->spec.key,   run->job->id,
                                      run->started_ns, run->waits,
                                      run->spec.device};
        n++;
    }
    return n;
}

static uint32_t look_at_attempts (const pxi_core *core, const pxi_subtask *subtask,
                                  pxi_away_look *looks, uint32_t max, uint32_t n)
{
    PXI_LIST_EACH (node, &subtask->attempts)
    {
        const pxi_attempt_state *attempt = PXI_LIST_ENTRY (node, pxi_attempt_state, in_subtask);
        if (n < max)
            looks[n] = (pxi_away_look){
                .key = {subtask->id, attempt->number},
                .branch = subtask->branch->id,
                .peer = attempt->peer ? attempt->peer->record.id : core->self.id,
                .run = attempt->local,
                .job = subtask->job->id,
                .sent_ns = attempt->sent_ns,
            };
        n++;
    }
    return n;
}

uint32_t pxi_core_away (const pxi_core *core, pxi_away_look *looks, uint32_t max)
{
    uint32_t n = 0;
    PXI_LIST_EACH (job_node, &core->all_jobs)
    {
        const pxi_job *job = PXI_LIST_ENTRY (job_node, pxi_job, in_core);
        PXI_LIST_EACH (node, &job->subtasks)
        {
            n = look_at_attempts (core, PXI_LIST_ENTRY (node, pxi_subtask, in_job), looks, max, n);
        }
    }
    return n;
}

static uint32_t count_device_runs (const pxi_core *core)
{
    uint32_t n = 0;
    PXI_LIST_EACH (node, &core->all_runs)
    {
        n += PXI_LIST_ENTRY (node, pxi_run, in_core)->spec.device != 0;
    }
    return n;
}

/* By what holds them, and by what is held. */
static void read_device_slots (const pxi_core *core, pxi_core_sizes *sizes)
{
    PXI_LIST_EACH (node, &core->leases)
    {
        const pxi_lease *lease = PXI_LIST_ENTRY (node, pxi_lease, in_core);
        sizes->device_slots_leased += lease->device ? lease->n_slots : 0;
    }
    PXI_LIST_EACH (node, &core->all_takes)
    {
        const pxi_take *take = PXI_LIST_ENTRY (node, pxi_take, in_core);
        sizes->device_slots_taking += take->device && !take->peer;
    }
    for (uint32_t i = 0; core->devices && i < core->devices->n; i++)
        sizes->device_slots_held += core->devices->all[i].n_held;
}

void pxi_core_sizes_read (const pxi_core *core, pxi_core_sizes *sizes)
{
    *sizes = (pxi_core_sizes){
        .runs = core->n_runs,
        .subtasks = core->n_subtasks,
        .attempts = core->n_attempts,
        .branches = core->n_branches,
        .leases = core->n_leases,
        .reservations = core->n_ring,
        .probes = core->n_probes,
        .jobs = core->n_jobs,
        .takes = core->n_takes,
        .runs_waiting = core->n_waiting,
        .shared = core->n_shared,
        .slots_leased = core->slots_leased,
        .device_runs = count_device_runs (core),
        .timers = core->timers.n_nodes,
        .memory_bytes = core->memory_bytes,
        .n_speculative = core->stats.attempts_speculative,
    };
    read_device_slots (core, sizes);
    PXI_LIST_EACH (node, &core->all_jobs)
    {
        const pxi_job *job = PXI_LIST_ENTRY (node, pxi_job, in_core);
        sizes->slots_used += job->active;
        sizes->roots += job->root != 0;
    }
}

static const char *why_job (const pxi_core *core, const pxi_job *job)
{
    if (job->n_seeking)
        return "a probe is under way";
    if (job->n_reserved)
        return "every peer asked was busy; reservations wait there";
    if (core->now_ns < job->backoff_until_ns)
        return "every peer asked was busy; waiting to ask again";
    if (!core->n_view)
        return "no other peer is known";
    if (!core->n_responsive)
        return "no known peer answers";
    return "no responsive peer has the module";
}

void pxi_core_why (const pxi_core *core, uint64_t now_ns, char *text, uint32_t text_size)
{
    snprintf (text, text_size, "nothing waits");
    PXI_LIST_EACH (node, &core->all_jobs)
    {
        const pxi_job *job = PXI_LIST_ENTRY (node, pxi_job, in_core);
        if (job->surplus) {
            snprintf (text, text_size, "%u subtasks wait: %s", job->surplus, why_job (core, job));
            return;
        }
        if (!pxi_list_is_empty (&job->subtasks)) {
            const pxi_subtask *subtask =
                PXI_LIST_ENTRY (pxi_list_first (&job->subtasks), pxi_subtask, in_job);
            const pxi_attempt_state *first =
                pxi_list_is_empty (&subtask->attempts)
                    ? NULL
                    : PXI_LIST_ENTRY (pxi_list_first (&subtask->attempts), pxi_attempt_state,
                                      in_subtask);
            snprintf (text, text_size,
                      "waits for %u attempts at other peers, the oldest at %s for %u ms",
                      job->n_attempts, first ? pxi_core_name (first->peer) : "nobody yet",
                      first ? (uint32_t)((now_ns - first->sent_ns) / PXI_MS) : 0);
            return;
        }
        if (job->n_runs && !job->active)
            snprintf (text, text_size, "%u attempts wait for a slot (%u allowed of %u)",
                      job->n_runs, job->allowed, core->self.slots);
    }
}
