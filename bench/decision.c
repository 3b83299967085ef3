/* What a step of the core costs, by how many peers are known.
 *
 *     decision [--subtasks N] [--json]
 *
 * One core, that of a peer which ships, in a made-up cluster of 100, 1,000 and 10,000 peers: its branch always
 * has subtasks that wait, half of those that it asks are free, half keep a reservation and offer a slot soon,
 * and strangers ask it in turn. So a step is a question placed, an answer, a lease used, a result, gossip. The
 * clock is virtual, so that nothing but steps takes time; it is read around each, which adds about 50 ns. */
#include <getopt.h>
#include <peerexec/peer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/prng.h"
#include "core/core.h"

enum { QUEUE_MAX = 1 << 12, WAITING = 8, ROUND_TRIP_MS = 1, EXIT_USAGE = 2 };
#define MODULE UINT64_C (0x6465636973696f6e)

typedef struct queued { /* an event on its way to the core */
    uint64_t at_ns;
    pxi_event event;
    pxi_message message;
    pxi_returned returned; /* of a RESULT */
} queued_t;

typedef struct rig {
    pxi_core *core;
    pxi_prng prng;
    queued_t queue[QUEUE_MAX]; /* a ring: all take the same time, so they come in order */
    uint32_t first, n_queued, n_cluster, n_waiting;
    uint64_t now_ns, next_id, n_steps, n_done, step_ns;
    pxi_job_id job;
} rig_t;

typedef struct measured {
    uint32_t n_cluster;
    uint64_t n_known;
    double ns_a_step, ns_a_subtask, steps_a_subtask;
} measured_t;

/* ---- the cluster ------------------------------------------------------------------------------- */

static pxi_peer_record record_of (uint32_t index)
{
    pxi_peer_record record = {.id = index + 1,
                              .incarnation = 1,
                              .address = {.kind = 4, .port = 7000, .ip = {10}},
                              .slots = 2,
                              .n_modules = 1,
                              .modules = {MODULE}};
    record.address.ip[1] = (uint8_t)(index >> 16);
    record.address.ip[2] = (uint8_t)(index >> 8);
    record.address.ip[3] = (uint8_t)index;
    snprintf (record.name, sizeof record.name, "w%u", index + 1);
    return record;
}

static uint32_t somebody (rig_t *rig)
{
    return 1 + (uint32_t)pxi_prng_below (&rig->prng, rig->n_cluster - 1);
}

static queued_t *later (rig_t *rig, pxi_event_kind kind)
{
    PXI_ASSERT (rig->n_queued < QUEUE_MAX);
    queued_t *queued = &rig->queue[(rig->first + rig->n_queued++) % QUEUE_MAX];
    *queued = (queued_t){.at_ns = rig->now_ns + ROUND_TRIP_MS * PXI_MS,
                         .event = {.kind = kind, .job = rig->job, .module = MODULE}};
    return queued;
}

static pxi_message *from_peer (rig_t *rig, uint64_t id, pxi_message_kind kind)
{
    pxi_message *message = &later (rig, PXI_EV_MESSAGE)->message;
    message->kind = kind;
    message->from = id;
    message->from_incarnation = message->to = message->to_incarnation = 1;
    return message;
}

static void result_of (rig_t *rig, uint64_t from, pxi_key key)
{
    pxi_message *result = from_peer (rig, from, PXI_RESULT);
    queued_t *queued = PXI_LIST_ENTRY (result, queued_t, message);
    queued->returned = (pxi_returned){.key = key, .run_ns = ROUND_TRIP_MS * PXI_MS};
    result->results = &queued->returned;
    result->n_results = 1;
}

static void offer (rig_t *rig, const pxi_message *probe, bool accepted, uint64_t lease)
{
    pxi_message *message = from_peer (rig, probe->to, PXI_OFFER);
    message->probe = probe->probe;
    message->job = probe->job;
    message->accepted = accepted;
    message->lease = lease;
    message->n_slots = lease != 0;
    message->duration_ns = 50 * PXI_MS;
}

static void answer_probe (rig_t *rig, const pxi_message *probe)
{
    if (pxi_prng_chance (&rig->prng, 500000)) {
        offer (rig, probe, probe->has_inline, probe->has_inline ? 0 : ++rig->next_id);
        if (probe->has_inline)
            result_of (rig, probe->to, probe->attempts[0].key);
        return;
    }
    pxi_message *busy = from_peer (rig, probe->to, PXI_BUSY);
    busy->probe = probe->probe;
    busy->reserve = probe->reserve;
    busy->duration_ns = ROUND_TRIP_MS * PXI_MS;
    if (probe->reserve)
        offer (rig, probe, false, ++rig->next_id);
}

static void stranger_asks (rig_t *rig)
{
    pxi_message *probe = from_peer (rig, somebody (rig) + 1, PXI_PROBE);
    probe->probe = ++rig->next_id;
    probe->job = (pxi_job_id){probe->from, 1};
    probe->module = MODULE;
    probe->n_slots = 1;
}

static void answer (rig_t *rig, const pxi_message *message)
{
    switch (message->kind) {
    case PXI_PROBE:
        answer_probe (rig, message);
        break;
    case PXI_DISPATCH:
        for (uint32_t i = 0; i < message->n_attempts; i++)
            result_of (rig, message->to, message->attempts[i].key);
        break;
    case PXI_GOSSIP:
        from_peer (rig, message->to, PXI_GOSSIP_REPLY);
        from_peer (rig, somebody (rig) + 1, PXI_GOSSIP);
        break;
    default:
        break;
    }
}

/* ---- the executor ------------------------------------------------------------------------------ */

static void carry_out (rig_t *rig, const pxi_action *action)
{
    switch (action->kind) {
    case PXI_DO_SEND:
        answer (rig, &action->message);
        break;
    case PXI_DO_TAKE: {
        queued_t *taken = later (rig, PXI_EV_TAKEN);
        taken->event.token = action->token;
        taken->event.n_taken = action->count < rig->n_waiting ? action->count : rig->n_waiting;
        rig->n_waiting -= taken->event.n_taken;
        taken->event.count = rig->n_waiting;
        break;
    }
    case PXI_DO_COMPLETE:
        rig->n_done++;
        if (rig->n_done % WAITING == 0)
            stranger_asks (rig);
        rig->n_waiting++;
        later (rig, PXI_EV_SURPLUS)->event.count = rig->n_waiting;
        break;
    case PXI_DO_GIVE_BACK:
        rig->n_waiting++;
        break;
    default:
        break;
    }
}

static void step (rig_t *rig, const pxi_event *event)
{
    pxi_actions actions;
    pxi_event now = *event;
    now.now_ns = rig->now_ns;
    uint64_t from_ns = pxi_clock_ns ();
    pxi_core_step (rig->core, &now, &actions);
    rig->step_ns += pxi_clock_ns () - from_ns;
    rig->n_steps++;
    for (uint32_t i = 0; i < actions.n; i++)
        carry_out (rig, &actions.items[i]);
}

/* What an event points to is made when it comes. */
static void deliver (rig_t *rig, queued_t *queued)
{
    pxi_taken taken[PXI_DISPATCH_MAX];
    pxi_peer_record records[PXI_RECORDS_MAX];
    pxi_event *event = &queued->event;
    for (uint32_t i = 0; i < event->n_taken; i++) {
        uint64_t id = ++rig->next_id;
        taken[i] = (pxi_taken){.subtask = id, .branch = 1, .number = PXI_NUMBER_MAX};
        taken[i].attempt = (pxi_attempt){
            .key = {.subtask = id}, .job = rig->job, .module = MODULE, .size_bytes = 64};
    }
    event->taken = event->n_taken ? taken : NULL;
    if (event->kind == PXI_EV_MESSAGE) {
        pxi_message *message = &queued->message;
        bool gossip = message->kind == PXI_GOSSIP || message->kind == PXI_GOSSIP_REPLY;
        message->n_records = gossip ? PXI_RECORDS_MAX : 0;
        for (uint32_t i = 0; i < message->n_records; i++)
            records[i] = record_of (i ? somebody (rig) : (uint32_t)message->from - 1);
        message->records = records;
        event->message = message;
    }
    step (rig, event);
}

static void run_until (rig_t *rig, uint64_t n_done)
{
    while (rig->n_done < n_done) {
        uint64_t wake_ns = pxi_core_wake_ns (rig->core);
        queued_t queued = rig->queue[rig->first];
        if (rig->n_queued && queued.at_ns <= wake_ns) {
            rig->first = (rig->first + 1) % QUEUE_MAX;
            rig->n_queued--;
            rig->now_ns = queued.at_ns;
            deliver (rig, &queued);
        } else {
            PXI_ASSERT (wake_ns != UINT64_MAX);
            rig->now_ns = wake_ns > rig->now_ns ? wake_ns : rig->now_ns;
            step (rig, &(pxi_event){.kind = PXI_EV_TICK});
        }
    }
}

/* ---- measuring --------------------------------------------------------------------------------- */

static void begin (rig_t *rig, uint32_t n_cluster)
{
    pxi_core_config config = pxi_core_config_default ();
    config.self = record_of (0);
    config.self.slots = 1;
    config.seed = 1;
    *rig = (rig_t){.core = pxi_core_new (&config), .n_cluster = n_cluster, .job = {1, 1}};
    PXI_ASSERT (rig->core);
    pxi_prng_init (&rig->prng, 2);
    for (uint32_t i = 0; i < n_cluster; i++) {
        from_peer (rig, somebody (rig) + 1, PXI_GOSSIP_REPLY);
        deliver (rig, &rig->queue[rig->first]);
        rig->n_queued = 0;
    }
    pxi_event submit = {.kind = PXI_EV_SUBMIT, .job = rig->job};
    submit.attempt = (pxi_attempt){.job = rig->job, .module = MODULE, .blob = 1};
    step (rig, &submit);
    step (rig, &(pxi_event){.kind = PXI_EV_ACTIVE, .job = rig->job, .count = 1, .runs = 1});
    rig->n_waiting = WAITING;
    later (rig, PXI_EV_SURPLUS)->event.count = WAITING;
}

static measured_t measure (uint32_t n_cluster, uint64_t n_subtasks)
{
    rig_t *rig = malloc (sizeof *rig);
    PXI_ASSERT (rig);
    begin (rig, n_cluster);
    run_until (rig, n_subtasks / 10); /* warm */
    uint64_t done = rig->n_done;
    rig->step_ns = rig->n_steps = 0;
    run_until (rig, done + n_subtasks);
    px_stats stats;
    pxi_core_stats (rig->core, &stats);
    double n = (double)(rig->n_done - done), ns = (double)rig->step_ns;
    measured_t measured = {n_cluster, stats.peers_known, ns / (double)rig->n_steps, ns / n,
                           (double)rig->n_steps / n};
    pxi_core_free (&rig->core);
    free (rig);
    return measured;
}

static void print (const measured_t *measured, bool json)
{
    const char *format =
        json ? "{\"cluster\":%u,\"known\":%llu,\"ns_per_step\":%.0f,\"ns_per_subtask\":%.0f,"
               "\"steps_per_subtask\":%.2f}\n"
             : "%6u peers, %4llu known: %5.0f ns a step, %6.0f ns a subtask placed and done "
               "(%.2f steps)\n";
    printf (format, measured->n_cluster, (unsigned long long)measured->n_known, measured->ns_a_step,
            measured->ns_a_subtask, measured->steps_a_subtask);
}

int main (int argc, char **argv)
{
    static const struct option long_options[] = {
        {"subtasks", 1, NULL, 's'}, {"json", 0, NULL, 'j'}, {NULL, 0, NULL, 0}};
    uint64_t n_subtasks = 200000;
    bool json = false;
    for (int option; (option = getopt_long (argc, argv, "", long_options, NULL)) != -1;) {
        char *end = NULL;
        json |= option == 'j';
        if (option == 's')
            n_subtasks = strtoull (optarg, &end, 10);
        if (option == '?' || (end && *end) || n_subtasks < 100) {
            fputs ("usage: decision [--subtasks N] [--json]     N: 100 or more (200000)\n", stderr);
            return EXIT_USAGE;
        }
    }
    static const uint32_t clusters[] = {100, 1000, 10000};
    for (uint32_t i = 0; i < sizeof clusters / sizeof *clusters; i++) {
        measured_t measured = measure (clusters[i], n_subtasks);
        print (&measured, json);
    }
    return 0;
}
