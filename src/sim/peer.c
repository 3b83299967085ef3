/* A virtual peer: one core, one virtual executor per job, the blobs that their ids stand for.
 *
 * The same loop as the real agent's: an event goes into the core, its actions are carried out in order,
 * the executors' notices go in next, and so on until nothing is left at this instant. A paused peer takes
 * no step: its mail is kept and read first when it resumes, then its deadlines (core.h asks for that
 * order); its threads' bursts end later by as long as it stood still. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/state.h"

enum { BLOBS_MAX = 1 << 22 };

struct queued { /* a notice on its way to the core */
    pxi_list in_peer;
    pxi_event event;
    uint64_t at_ns;
};

pxi_address pxi_sim_peer_address (uint32_t index)
{
    pxi_address address = {.kind = 4, .port = 7000, .ip = {10}};
    address.ip[1] = (uint8_t)(index >> 16);
    address.ip[2] = (uint8_t)(index >> 8);
    address.ip[3] = (uint8_t)index;
    return address;
}

uint64_t pxi_sim_peer_own_ns (const pxi_sim_peer *peer)
{
    uint64_t now_ns = peer->world->time.now_ns;
    uint64_t to_come_ns = peer->paused_until_ns > now_ns ? peer->paused_until_ns - now_ns : 0;
    return now_ns - (peer->frozen_ns - to_come_ns);
}

/* A clock that runs at a rate of its own: t + t x ppm / 1,000,000. */
static uint64_t local_ns (const pxi_sim_peer *peer, uint64_t world_ns)
{
    int64_t ppm = peer->world->config.peers[peer->index].clock_ppm;
    return world_ns + (uint64_t)((int64_t)(world_ns / 1000) * ppm / 1000);
}

/* The first instant at which its clock says so. */
static uint64_t world_ns (const pxi_sim_peer *peer, uint64_t wanted_ns)
{
    int64_t ppm = peer->world->config.peers[peer->index].clock_ppm;
    if (!ppm)
        return wanted_ns;
    uint64_t rate = (uint64_t)(1000000 + ppm);
    uint64_t at_ns = wanted_ns / rate * 1000000 + wanted_ns % rate * 1000000 / rate;
    while (at_ns && local_ns (peer, at_ns - 1) >= wanted_ns)
        at_ns--;
    while (local_ns (peer, at_ns) < wanted_ns)
        at_ns++;
    return at_ns;
}

uint64_t pxi_sim_peer_now_ns (const pxi_sim_peer *peer)
{
    return local_ns (peer, peer->world->time.now_ns);
}

/* ---- the port of its executors ---------------------------------------------------------------- */

uint64_t pxi_sim_peer_blob (pxi_sim_peer *peer, const pxi_payload *payload)
{
    pxi_payload *copy = malloc (sizeof *copy);
    PXI_ASSERT (copy);
    *copy = *payload;
    bool put = pxi_map_put_pointer (&peer->blobs, ++peer->next_blob, copy);
    PXI_ASSERT (put);
    return peer->next_blob;
}

static void blob_forget (pxi_sim_peer *peer, uint64_t blob)
{
    pxi_payload *payload = pxi_map_remove_pointer (&peer->blobs, blob);
    if (!payload)
        pxi_check_broken (peer->world, peer, "blob %llu forgotten, and not there",
                          (unsigned long long)blob);
    free (payload);
}

static bool goes_wrong (pxi_world *world, pxi_wrong how)
{
    if (world->config.wrong != how || world->gone_wrong)
        return false;
    world->gone_wrong = true;
    return true;
}

static uint64_t port_blob_new (void *context, const pxi_payload *payload)
{
    pxi_sim_executor *executor = context;
    pxi_world *world = executor->peer->world;
    pxi_payload made = *payload;
    if (made.hash && !made.cancelled && goes_wrong (world, PXI_WRONG_RESULT))
        made.hash ^= 1;
    return pxi_sim_peer_blob (executor->peer, &made);
}

static const pxi_payload *port_blob (void *context, uint64_t blob)
{
    pxi_sim_executor *executor = context;
    return pxi_map_pointer (&executor->peer->blobs, blob);
}

static uint64_t port_now_ns (void *context)
{
    pxi_sim_executor *executor = context;
    return executor->peer->world->time.now_ns;
}

void pxi_sim_peer_tell (pxi_sim_peer *peer, const pxi_event *event)
{
    pxi_world *world = peer->world;
    struct queued *queued = malloc (sizeof *queued);
    PXI_ASSERT (queued);
    queued->event = *event;
    queued->at_ns = world->time.now_ns;
    if (world->config.notice_ns)
        queued->at_ns += pxi_prng_below (&world->prng, world->config.notice_ns + 1);
    if (queued->at_ns < peer->last_notice_ns)
        queued->at_ns = peer->last_notice_ns; /* one socket, one order */
    peer->last_notice_ns = queued->at_ns;
    pxi_list_add_last (&peer->notices, &queued->in_peer);
}

static void port_notice (void *context, const pxi_event *event)
{
    pxi_sim_peer_tell (((pxi_sim_executor *)context)->peer, event);
}

/* After what is at hand, and sometimes a while later: its agent is busy then. */
static void queue_flush (pxi_sim_peer *peer)
{
    if (peer->flush_queued || !pxi_core_gathers (peer->core))
        return;
    peer->flush_queued = true;
    pxi_sim_peer_tell (peer, &(pxi_event){.kind = PXI_EV_FLUSH});
}

/* Of work that is told: what is done for the first time, and what is done in vain, of any attempt. */
static void count_work (pxi_sim_peer *peer, const pxi_burst *burst, bool done)
{
    pxi_world *world = peer->world;
    if (!world->config.tells_work)
        return;
    uint64_t spent_ns = pxi_sim_peer_own_ns (peer) - burst->from_ns;
    bool first = done && !burst->cancelled && !pxi_map_get (&world->done, burst->work, NULL);
    if (first)
        pxi_map_put (&world->done, burst->work, 1);
    *(first ? &world->done_ns : &world->vain_ns) += spent_ns;
}

static void set_burst (pxi_sim_peer *peer, pxi_burst *burst, uint64_t at_ns)
{
    burst->frozen_ns = peer->frozen_ns;
    pxi_alarm_set (&peer->world->time, &burst->alarm, PXI_ALARM_BURST, burst, at_ns);
}

static void port_burst (void *context, pxi_burst *burst)
{
    pxi_sim_executor *executor = context;
    pxi_sim_peer *peer = executor->peer;
    const pxi_world_config *config = &peer->world->config;
    uint64_t length_ns = burst->length_ns;
    if (config->takes_ns && length_ns)
        length_ns = config->takes_ns (config->takes_context, length_ns);
    length_ns = length_ns * 1000 / peer->speed_permille;
    if (goes_wrong (peer->world, PXI_WRONG_HANG))
        length_ns = UINT64_MAX / 2;
    burst->from_ns = pxi_sim_peer_own_ns (peer);
    set_burst (peer, burst, peer->world->time.now_ns + (length_ns ? length_ns : 1));
}

static void port_burst_drop (void *context, pxi_burst *burst)
{
    pxi_sim_executor *executor = context;
    count_work (executor->peer, burst, false);
    pxi_alarm_clear (&executor->peer->world->time, &burst->alarm);
}

static void port_burst_cancel (void *context, pxi_burst *burst)
{
    pxi_sim_executor *executor = context;
    const pxi_world *world = executor->peer->world;
    uint64_t looks_ns = world->time.now_ns + world->config.look_ns;
    if (world->config.look_ns && pxi_alarm_at_ns (&burst->alarm) > looks_ns)
        set_burst (executor->peer, burst, looks_ns);
}

static bool port_crashes (void *context, pxi_virtual *virtual, uint64_t state)
{
    (void)virtual;
    pxi_sim_executor *executor = context;
    pxi_sim_job *job = executor->job;
    executor->peer->world->n_tasks_run++;
    if (!job->crashes_left || state != job->serial.pick_state)
        return false;
    job->crashes_left -= job->crashes_left != UINT32_MAX;
    pxi_world_say (executor->peer->world, executor->peer->name, "(a task crashes its executor)");
    return true;
}

static void port_broken (void *context, const char *format, ...)
{
    pxi_sim_executor *executor = context;
    char text[256];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    pxi_check_broken (executor->peer->world, executor->peer, "executor: %s", text);
}

/* ---- executors -------------------------------------------------------------------------------- */

pxi_sim_executor *pxi_sim_peer_executor (const pxi_sim_peer *peer, pxi_job_id job)
{
    PXI_LIST_EACH (link, &peer->executors)
    {
        pxi_sim_executor *executor = PXI_LIST_ENTRY (link, pxi_sim_executor, in_peer);
        if (executor->job->id.number == job.number && executor->job->id.origin == job.origin)
            return executor;
    }
    return NULL;
}

static pxi_sim_executor *executor_new (pxi_sim_peer *peer, pxi_sim_job *job)
{
    pxi_sim_executor *executor = calloc (1, sizeof *executor);
    PXI_ASSERT (executor);
    executor->peer = peer;
    executor->job = job;
    executor->port = (pxi_virtual_port){
        .context = executor,
        .notice = port_notice,
        .burst = port_burst,
        .burst_drop = port_burst_drop,
        .burst_cancel = port_burst_cancel,
        .blob_new = port_blob_new,
        .blob = port_blob,
        .now_ns = port_now_ns,
        .crashes = port_crashes,
        .broken = port_broken,
    };
    pxi_virtual_config config = {
        .job = job->id,
        .tree = &job->config->tree,
        .module = PXI_SIM_MODULE,
        .slots = peer->world->config.peers[peer->index].slots,
        .peer = peer->id,
        .devices = peer->world->config.peers[peer->index].n_devices > 0,
        .next_id = &peer->next_id,
        .port = &executor->port,
    };
    executor->virtual = pxi_virtual_new (&config);
    PXI_ASSERT (executor->virtual);
    pxi_list_add_last (&peer->executors, &executor->in_peer);
    return executor;
}

static void executor_free (pxi_sim_executor *executor)
{
    pxi_list_remove (&executor->in_peer);
    pxi_virtual_free (&executor->virtual);
    free (executor);
}

void pxi_sim_peer_die (pxi_sim_peer *peer)
{
    PXI_LIST_EACH (link, &peer->executors)
    {
        pxi_virtual_die (PXI_LIST_ENTRY (link, pxi_sim_executor, in_peer)->virtual, 0);
    }
    pxi_sim_peer_notices_due (peer);
}

/* ---- actions ---------------------------------------------------------------------------------- */

/* The agent's word about a full outbox: after what the executors have said so far. */
void pxi_sim_peer_unreachable (pxi_sim_peer *peer, const pxi_sim_peer *other)
{
    struct queued *queued = calloc (1, sizeof *queued);
    PXI_ASSERT (queued);
    queued->event = (pxi_event){.kind = PXI_EV_UNREACHABLE, .peer = other->id};
    queued->at_ns = peer->last_notice_ns;
    pxi_list_add_last (&peer->notices, &queued->in_peer);
}

static void take_from_nobody (pxi_sim_peer *peer, const pxi_action *action)
{
    struct queued *queued = calloc (1, sizeof *queued);
    PXI_ASSERT (queued);
    queued->event = (pxi_event){.kind = PXI_EV_TAKEN, .job = action->job, .token = action->token};
    queued->at_ns = peer->last_notice_ns;
    pxi_list_add_last (&peer->notices, &queued->in_peer);
}

static void run_on_device (pxi_sim_peer *peer, const pxi_action *action)
{
    const pxi_payload *input = pxi_map_pointer (&peer->blobs, action->attempt.blob);
    uint32_t n = peer->world->config.peers[peer->index].n_devices;
    bool fits = input && input->node.n_items == action->attempt.n_items &&
                action->attempt.device <= n && action->attempt.n_items;
    if (fits)
        pxi_sim_device_run (peer, action, &input->node);
    else
        pxi_check_broken (peer->world, peer, "run %llu on device %u: no chunk, or no such device",
                          (unsigned long long)action->run, action->attempt.device);
}

static void do_run (pxi_sim_peer *peer, const pxi_action *action)
{
    pxi_sim_job *job = pxi_world_job_find (peer->world, action->job);
    if (!job) {
        pxi_check_broken (peer->world, peer, "run of a job that does not exist");
        return;
    }
    peer->n_runs++;
    if (action->attempt.device) {
        run_on_device (peer, action);
        return;
    }
    pxi_sim_executor *executor = pxi_sim_peer_executor (peer, action->job);
    if (!executor)
        executor = executor_new (peer, job);
    if (action->root)
        executor->root = action->run;
    if (action->flag)
        pxi_virtual_refuse (executor->virtual, action->run);
    else
        pxi_virtual_run (executor->virtual, action->run, action->attempt.blob,
                         action->attempt.shared_blob);
}

static void complete_root (pxi_sim_peer *peer, const pxi_action *action)
{
    pxi_sim_job *job = pxi_world_job_find (peer->world, action->job);
    const pxi_payload *payload = pxi_map_pointer (&peer->blobs, action->blob);
    if (job)
        pxi_check_root (peer->world, job, action, payload);
    if (action->blob)
        blob_forget (peer, action->blob);
}

static void do_complete (pxi_sim_peer *peer, pxi_virtual *virtual, const pxi_action *action)
{
    const pxi_payload *payload = action->blob ? pxi_map_pointer (&peer->blobs, action->blob) : NULL;
    if (action->blob && !payload)
        pxi_check_broken (peer->world, peer, "outcome of s%llu: its blob is not there",
                          (unsigned long long)action->subtask);
    pxi_virtual_complete (virtual, action, payload);
    if (payload)
        blob_forget (peer, action->blob);
}

static void close_job (pxi_sim_peer *peer, pxi_sim_executor *executor)
{
    pxi_virtual_look look;
    pxi_virtual_read (executor->virtual, &look);
    if (look.runs || look.away)
        pxi_check_broken (peer->world, peer, "job closed with %u runs and %u subtasks away",
                          look.runs, look.away);
    executor_free (executor);
}

static void for_executor (pxi_sim_peer *peer, const pxi_action *action)
{
    pxi_sim_executor *executor = pxi_sim_peer_executor (peer, action->job);
    if (!executor) {
        if (action->kind == PXI_DO_TAKE)
            take_from_nobody (peer, action);
        else if (action->kind != PXI_DO_SLOTS && action->kind != PXI_DO_CLOSE_JOB)
            pxi_check_broken (peer->world, peer, "action %d for a job without an executor",
                              action->kind);
        return;
    }
    pxi_virtual *virtual = executor->virtual;
    switch (action->kind) {
    case PXI_DO_STOP:
        pxi_virtual_stop (virtual, action->run);
        break;
    case PXI_DO_TAKE:
        pxi_virtual_take (virtual, action);
        break;
    case PXI_DO_RANGE:
        pxi_virtual_range (virtual, action->count);
        break;
    case PXI_DO_GIVE_BACK:
        pxi_virtual_give_back (virtual, action->subtask, action->attempts, action->crashes);
        if (action->blob)
            blob_forget (peer, action->blob);
        break;
    case PXI_DO_CAP:
        pxi_virtual_cap (virtual, action->branch, action->flag);
        break;
    case PXI_DO_COMPLETE:
        do_complete (peer, virtual, action);
        break;
    case PXI_DO_SLOTS:
        pxi_virtual_slots (virtual, action->count);
        break;
    default:
        close_job (peer, executor);
        break;
    }
}

static void carry_out (pxi_sim_peer *peer, const pxi_action *action)
{
    switch (action->kind) {
    case PXI_DO_SEND:
        pxi_world_send (peer->world, peer, action);
        break;
    case PXI_DO_RUN:
        do_run (peer, action);
        break;
    case PXI_DO_COMPLETE:
        if (action->root)
            complete_root (peer, action);
        else
            for_executor (peer, action);
        break;
    case PXI_DO_STOP:
        if (!pxi_sim_device_stop (peer, action->run))
            for_executor (peer, action);
        break;
    case PXI_DO_QUARANTINE:
        peer->quarantined |= UINT64_C (1) << action->device;
        break;
    case PXI_DO_RANGE:
    case PXI_DO_TAKE:
    case PXI_DO_GIVE_BACK:
    case PXI_DO_CAP:
    case PXI_DO_SLOTS:
    case PXI_DO_CLOSE_JOB:
        for_executor (peer, action);
        break;
    case PXI_DO_FORGET:
        blob_forget (peer, action->blob);
        break;
    case PXI_DO_REFUSED:
        pxi_check_broken (peer->world, peer, "refused by the cluster");
        break;
    case PXI_DO_DRAINED:
        peer->drained = true;
        break;
    case PXI_DO_JOINED:
    case PXI_DO_VIEW:
        break;
    }
}

/* ---- steps ------------------------------------------------------------------------------------ */

static void step (pxi_sim_peer *peer, const pxi_event *event)
{
    pxi_world *world = peer->world;
    pxi_actions actions;
    pxi_check_before before;
    pxi_event now = *event;
    now.now_ns = pxi_sim_peer_now_ns (peer);
    world->n_events++;
    if (!world->config.unchecked)
        pxi_check_before_step (peer, &now, &before);
    pxi_core_step (peer->core, &now, &actions);
    if (!world->config.unchecked)
        pxi_check_after_step (peer, &now, &before, &actions);
    for (uint32_t i = 0; i < actions.n; i++)
        carry_out (peer, &actions.items[i]);
}

/* A peer that crashes or leaves in its own step goes when the step is over. */
static void go_if_over (pxi_sim_peer *peer)
{
    if (peer->drained || peer->doomed)
        pxi_sim_peer_stop (peer);
}

static void set_wake (pxi_sim_peer *peer)
{
    pxi_time *time = &peer->world->time;
    uint64_t wake_ns = pxi_core_wake_ns (peer->core);
    if (wake_ns == UINT64_MAX) {
        pxi_alarm_clear (time, &peer->wake);
        return;
    }
    wake_ns = world_ns (peer, wake_ns);
    if (!pxi_alarm_is_set (&peer->wake) || pxi_alarm_at_ns (&peer->wake) != wake_ns)
        pxi_alarm_set (time, &peer->wake, PXI_ALARM_WAKE, peer, wake_ns);
}

void pxi_sim_peer_notices_due (pxi_sim_peer *peer)
{
    pxi_world *world = peer->world;
    while (world->verdict == PXI_VERDICT_FINE && !peer->paused_until_ns) {
        pxi_list *first = pxi_list_first (&peer->notices);
        if (!first)
            break;
        struct queued *queued = PXI_LIST_ENTRY (first, struct queued, in_peer);
        if (queued->at_ns > world->time.now_ns) {
            pxi_alarm_set (&world->time, &peer->notice_alarm, PXI_ALARM_NOTICE, peer,
                           queued->at_ns);
            break;
        }
        pxi_list_remove (&queued->in_peer);
        peer->flush_queued &= queued->event.kind != PXI_EV_FLUSH;
        step (peer, &queued->event);
        free ((void *)queued->event.taken);
        free (queued);
        queue_flush (peer);
    }
    if (pxi_list_is_empty (&peer->notices)) {
        PXI_LIST_EACH (link, &peer->executors)
        {
            pxi_virtual_heard (PXI_LIST_ENTRY (link, pxi_sim_executor, in_peer)->virtual);
        }
        if (!world->config.unchecked && world->verdict == PXI_VERDICT_FINE)
            pxi_check_turn (peer);
    }
    set_wake (peer);
    go_if_over (peer);
}

void pxi_sim_peer_event (pxi_sim_peer *peer, const pxi_event *event)
{
    PXI_ASSERT (peer->up);
    step (peer, event);
    pxi_sim_peer_notices_due (peer);
}

void pxi_sim_peer_tick (pxi_sim_peer *peer)
{
    if (!peer->up || peer->paused_until_ns)
        return; /* resuming looks at the deadlines */
    pxi_event tick = {.kind = PXI_EV_TICK};
    pxi_sim_peer_event (peer, &tick);
}

/* What the agent finds out by the digest. */
static bool is_refused (const pxi_parcel *parcel)
{
    const pxi_message *message = &parcel->message;
    if (message->kind != PXI_SHARED || !message->accepted)
        return false;
    return !parcel->n_payloads || !pxi_same_shared (&message->shared, &parcel->payloads->shared);
}

/* Its payloads are this peer's. */
static void unpack (pxi_sim_peer *peer, pxi_parcel *parcel)
{
    pxi_message *message = &parcel->message;
    for (uint32_t i = 0; i < message->n_attempts; i++) {
        parcel->attempts[i].blob = pxi_sim_peer_blob (peer, &parcel->payloads[i]);
        parcel->attempts[i].digest = pxi_virtual_digest (&parcel->payloads[i].node);
    }
    for (uint32_t i = 0; i < message->n_results; i++) {
        pxi_returned *returned = &parcel->results[i];
        returned->blob = returned->blob ? pxi_sim_peer_blob (peer, &parcel->payloads[i]) : 0;
    }
    if (message->kind == PXI_SHARED && parcel->n_payloads)
        message->blob = pxi_sim_peer_blob (peer, parcel->payloads);
}

void pxi_sim_peer_deliver (pxi_sim_peer *peer, pxi_parcel *parcel)
{
    uint32_t held_max = peer->world->calm ? 0 : peer->world->config.held_max;
    if (peer->up && peer->paused_until_ns && (!held_max || peer->n_held < held_max)) {
        pxi_list_add_last (&peer->held, &parcel->in_held);
        peer->n_held++;
        return;
    }
    if (peer->paused_until_ns) { /* its queue is full */
        free (parcel);
        return;
    }
    if (peer->up && !is_refused (parcel)) {
        unpack (peer, parcel);
        pxi_event event = {.kind = PXI_EV_MESSAGE, .message = &parcel->message};
        pxi_sim_peer_event (peer, &event);
    }
    free (parcel);
}

void pxi_sim_peer_burst (pxi_sim_peer *peer, pxi_burst *burst)
{
    if (burst->frozen_ns != peer->frozen_ns) { /* it stood still meanwhile */
        uint64_t late_ns = peer->frozen_ns - burst->frozen_ns;
        set_burst (peer, burst, pxi_alarm_at_ns (&burst->alarm) + late_ns);
        return;
    }
    count_work (peer, burst, true);
    pxi_virtual_burst_end (burst->executor, burst);
    pxi_sim_peer_notices_due (peer);
}

/* ---- pauses ----------------------------------------------------------------------------------- */

void pxi_sim_peer_pause (pxi_sim_peer *peer, uint64_t until_ns)
{
    uint64_t from_ns = peer->paused_until_ns ? peer->paused_until_ns : peer->world->time.now_ns;
    if (!peer->up || until_ns <= from_ns)
        return;
    peer->frozen_ns += until_ns - from_ns;
    peer->paused_until_ns = until_ns;
    pxi_alarm_set (&peer->world->time, &peer->resume, PXI_ALARM_RESUME, peer, until_ns);
}

void pxi_sim_peer_resume (pxi_sim_peer *peer)
{
    pxi_world_say (peer->world, "fault", "%s resumes", peer->name);
    peer->paused_until_ns = 0;
    peer->resumed_own_ns = pxi_sim_peer_own_ns (peer);
    for (pxi_list *link; peer->up && (link = pxi_list_first (&peer->held));) {
        pxi_parcel *parcel = PXI_LIST_ENTRY (link, pxi_parcel, in_held);
        pxi_list_remove (&parcel->in_held);
        peer->n_held--;
        pxi_sim_peer_deliver (peer, parcel);
    }
    if (peer->up)
        pxi_sim_peer_notices_due (peer);
}

/* ---- life ------------------------------------------------------------------------------------- */

static void trace_line (void *context, uint64_t now_ns, const char *line)
{
    (void)now_ns;
    pxi_sim_peer *peer = context;
    pxi_world_say (peer->world, peer->name, "%s", line);
}

void pxi_sim_peer_init (pxi_world *world, pxi_sim_peer *peer, uint32_t index)
{
    peer->world = world;
    peer->index = index;
    peer->id = index + 1;
    peer->speed_permille = world->config.peers[index].speed_permille;
    snprintf (peer->name, sizeof peer->name, "w%u", index + 1);
    pxi_prng_init (&peer->prng, pxi_mix64 (world->config.seed + 31 * (peer->id + 1)));
    pxi_list_init (&peer->held);
    pxi_list_init (&peer->notices);
    pxi_list_init (&peer->executors);
    pxi_list_init (&peer->chunks);
    pxi_list_init (&peer->leases);
    pxi_map_init (&peer->blobs, BLOBS_MAX, 1);
    pxi_map_init (&peer->came, BLOBS_MAX, 1);
    pxi_map_init (&peer->crashed, BLOBS_MAX, 1);
    pxi_sweep_init (peer);
}

static pxi_peer_record record_of (const pxi_sim_peer *peer)
{
    pxi_peer_record record = {
        .id = peer->id,
        .incarnation = peer->incarnation ? peer->incarnation : 1,
        .address = pxi_sim_peer_address (peer->index),
        .slots = (uint16_t)peer->world->config.peers[peer->index].slots,
    };
    memcpy (record.name, peer->name, sizeof record.name);
    if (!peer->world->config.peers[peer->index].no_module) {
        record.n_modules = 1;
        record.modules[0] = PXI_SIM_MODULE;
    }
    return record;
}

/* At the very beginning those count too whose turn to start has not come. */
static bool is_there (const pxi_world *world, uint32_t index)
{
    return world->peers[index].up || (!world->time.now_ns && !world->config.peers[index].absent);
}

/* A cluster that has been up for a while: what gossip would have told it by now. */
static void tell_known (pxi_sim_peer *peer)
{
    pxi_world *world = peer->world;
    pxi_peer_record records[PXI_RECORDS_MAX];
    for (uint32_t told = 0; told < world->config.known;) {
        uint32_t n = 0;
        while (n < PXI_RECORDS_MAX && told++ < world->config.known) {
            uint32_t index = (uint32_t)pxi_prng_below (&world->prng, world->config.n_peers);
            if (index != peer->index && is_there (world, index))
                records[n++] = record_of (&world->peers[index]);
        }
        if (!n)
            continue;
        pxi_message reply = {.kind = PXI_GOSSIP_REPLY,
                             .from = records[0].id,
                             .from_incarnation = records[0].incarnation,
                             .to = peer->id,
                             .to_incarnation = peer->incarnation,
                             .n_records = n,
                             .records = records};
        pxi_event event = {.kind = PXI_EV_MESSAGE, .message = &reply};
        pxi_sim_peer_event (peer, &event);
    }
}

static void join (pxi_sim_peer *peer, uint32_t other)
{
    pxi_event join = {.kind = PXI_EV_JOIN, .address = pxi_sim_peer_address (other)};
    pxi_sim_peer_event (peer, &join);
}

static void join_somebody (pxi_sim_peer *peer)
{
    pxi_world *world = peer->world;
    if (world->config.join_first && peer->index)
        join (peer, 0);
    for (uint32_t draw = 0; draw < 64; draw++) {
        uint32_t other = (uint32_t)pxi_prng_below (&world->prng, world->config.n_peers);
        if (other == peer->index || !world->peers[other].up || world->peers[other].leaving)
            continue;
        join (peer, other);
        return;
    }
}

void pxi_sim_peer_start (pxi_sim_peer *peer)
{
    pxi_world *world = peer->world;
    PXI_ASSERT (!peer->up);
    peer->incarnation++;
    pxi_core_config config = world->config.core;
    config.self = record_of (peer);
    config.seed = pxi_prng_next (&peer->prng);
    config.now_ns = pxi_sim_peer_now_ns (peer);
    peer->core = pxi_core_new (&config);
    PXI_ASSERT (peer->core);
    if (pxi_world_hears (world))
        pxi_core_trace (peer->core, trace_line, peer);
    peer->up = true;
    peer->leaving = peer->drained = peer->doomed = false;
    peer->next_id = 1;
    peer->n_held = 0;
    peer->flush_queued = false;
    peer->last_notice_ns = world->time.now_ns;
    pxi_sim_device_tell (peer);
    join_somebody (peer);
    if (world->config.known)
        tell_known (peer);
    if (peer->up)
        pxi_sim_peer_notices_due (peer);
}

static void drop_queues (pxi_sim_peer *peer)
{
    for (pxi_list *link; (link = pxi_list_first (&peer->held));) {
        pxi_list_remove (link);
        free (PXI_LIST_ENTRY (link, pxi_parcel, in_held));
    }
    for (pxi_list *link; (link = pxi_list_first (&peer->notices));) {
        struct queued *queued = PXI_LIST_ENTRY (link, struct queued, in_peer);
        pxi_list_remove (link);
        free ((void *)queued->event.taken);
        free (queued);
    }
}

static void drop_blobs (pxi_sim_peer *peer)
{
    for (uint64_t blob = 1; pxi_map_size (&peer->blobs) && blob <= peer->next_blob; blob++)
        free (pxi_map_remove_pointer (&peer->blobs, blob));
}

static void add_stats (px_stats *sum, const px_stats *stats)
{
#define ADD(name, text) sum->name += stats->name;
    PX_STATS (ADD)
#undef ADD
}

static void end_its_jobs (pxi_sim_peer *peer)
{
    pxi_world *world = peer->world;
    for (uint32_t i = 0; i < world->config.n_jobs && peer->n_roots; i++) {
        pxi_sim_job *job = &world->jobs[i];
        bool here = job->config->peer == peer->index && job->state == PXI_JOB_RUNS;
        if (here)
            pxi_world_job_over (world, job, PXI_JOB_ENDED);
    }
}

void pxi_sim_peer_stop (pxi_sim_peer *peer)
{
    pxi_world *world = peer->world;
    if (!peer->up)
        return;
    px_stats stats = {0};
    pxi_core_stats (peer->core, &stats);
    stats.peers_known = stats.peers_unresponsive = stats.slots = 0; /* states, not counts */
    stats.slots_used = stats.leases = stats.attempts_here = stats.attempts_away = 0;
    stats.jobs = stats.waiting = 0;
    add_stats (&peer->former, &stats);
    peer->up = false;
    if (peer->paused_until_ns > world->time.now_ns)
        peer->frozen_ns -= peer->paused_until_ns - world->time.now_ns;
    peer->paused_until_ns = 0;
    pxi_alarm *alarms[] = {&peer->wake, &peer->resume, &peer->notice_alarm};
    for (size_t i = 0; i < sizeof alarms / sizeof *alarms; i++)
        pxi_alarm_clear (&world->time, alarms[i]);
    while (!pxi_list_is_empty (&peer->executors))
        executor_free (PXI_LIST_ENTRY (peer->executors.next, pxi_sim_executor, in_peer));
    pxi_sim_device_forget (peer);
    drop_queues (peer);
    drop_blobs (peer);
    pxi_check_forget (peer);
    pxi_core_free (&peer->core);
    end_its_jobs (peer);
}
