/* Traced jobs: which attempts have ended, where and when; from every peer up the tree to the one that
 * keeps the root. A flag in the job's specification says that it is traced, and travels with each
 * attempt; nothing here is touched for other jobs.
 *
 * Each attempt that was sent has two records: the worker's (it ran from, until) and the master's (sent,
 * answered or given up). Each peer notes its own when they end, and hands on what it holds with each
 * run that ends: to that run's master, before the result, by the same link. So a result brings
 * everything below it that was known then. At most PENDING_MAX records wait at a peer and job;
 * more are counted. Records at a peer that is lost are lost with it; the root's peer sees which
 * attempts it heard of from one side only. Times stay readings of each peer's own clock until the
 * trace is written (agent/timeline.c). */
#include <stdlib.h>
#include <string.h>

#include "agent/spec.h"
#include "agent/state.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/prng.h"
#include "wire/codec.h"
#include "wire/trace.h"

enum {
    PENDING_MAX = 1024, /* records that wait at one peer for one job: 96 KiB */
    OPEN_MAX = 65536,   /* attempts away whose sending is remembered, all jobs together */
};

/* An attempt of this peer's, sent and not answered. */
typedef struct tracing_sent {
    pxi_tracing *tracing;
    pxi_traced record;
    uint64_t probe; /* it rode in this one; 0 = the worker has it, or had */
    pxi_list in_job;
} tracing_sent;

struct pxi_tracing {
    pxi_job_id job;
    pxi_root *root;      /* of this peer; NULL: of another, and the records go up */
    uint64_t master;     /* who sent the run that ended or began last; 0 = none yet */
    pxi_traced *pending; /* NULL before the first */
    uint32_t n_pending;
    uint64_t n_left_out;
    pxi_list sent;
};

/* ---- beginning --------------------------------------------------------------------------------
 */

void pxi_tracing_begin (pxi_agent *agent, pxi_agent_job *job)
{
    if (job->tracing || !pxi_spec_is_traced (job->spec))
        return;
    job->tracing = calloc (1, sizeof *job->tracing);
    if (!job->tracing)
        return; /* it runs untraced */
    job->tracing->job = job->id;
    job->tracing->root = job->root ? pxi_root_acquire (job->root) : NULL;
    if (job->root)
        pxi_root_trace_begin (job->root, agent->name);
    pxi_list_init (&job->tracing->sent);
    agent->n_tracing++;
}

/* ---- passing on -------------------------------------------------------------------------------
 */

/* `address` as for the result that follows, so that it takes the same way and comes before it. */
static bool send_batch (pxi_agent *agent, const pxi_address *address, uint64_t master,
                        const pxi_trace_batch *batch)
{
    const pxi_seen *seen = pxi_mail_seen (agent, master);
    pxi_bytes *frames[2] = {pxi_codec_encode_status (PXI_TRACE, agent->id, 0),
                            pxi_trace_encode (batch)};
    if (seen && frames[0] && frames[1])
        return pxi_zmq_send (agent->transport, address, seen->link, frames, 2) == PX_OK;
    pxi_bytes_release (frames[0]);
    pxi_bytes_release (frames[1]);
    return false;
}

static void pass_on (pxi_agent *agent, pxi_tracing *tracing, const pxi_address *address)
{
    bool anything = tracing->n_pending || tracing->n_left_out;
    pxi_trace_batch *batch = tracing->master && anything ? malloc (sizeof *batch) : NULL;
    if (!batch)
        return;
    uint64_t n_left_out = tracing->n_left_out;
    tracing->n_left_out = 0;
    for (uint32_t at = 0; at < tracing->n_pending || n_left_out; n_left_out = 0) {
        uint32_t left = tracing->n_pending - at;
        batch->job = tracing->job;
        batch->n_left_out = n_left_out;
        batch->n = left < PXI_TRACE_BATCH_MAX ? left : PXI_TRACE_BATCH_MAX;
        memcpy (batch->records, tracing->pending + at, batch->n * sizeof *batch->records);
        at += batch->n;
        if (!send_batch (agent, address, tracing->master, batch))
            tracing->n_left_out += batch->n + n_left_out;
    }
    tracing->n_pending = 0;
    free (batch);
}

static void add (pxi_agent *agent, pxi_tracing *tracing, const pxi_traced *record)
{
    if (tracing->root) {
        pxi_root_trace_add (tracing->root, record);
        return;
    }
    if (!tracing->pending)
        tracing->pending = malloc (PENDING_MAX * sizeof *tracing->pending);
    if (tracing->n_pending == PENDING_MAX)
        pass_on (agent, tracing, NULL);
    if (!tracing->pending || tracing->n_pending == PENDING_MAX)
        tracing->n_left_out++;
    else
        tracing->pending[tracing->n_pending++] = *record;
}

static void add_left_out (pxi_tracing *tracing, uint64_t n)
{
    if (tracing->root)
        pxi_root_trace_left_out (tracing->root, n);
    else
        tracing->n_left_out += n;
}

/* ---- attempts sent ----------------------------------------------------------------------------
 */

static uint64_t hash_of (pxi_key key)
{
    return pxi_mix64 (key.subtask ^ pxi_mix64 (key.attempt));
}

/* NULL: not sent, not of a traced job, or answered already. */
static tracing_sent *find_sent (pxi_agent *agent, pxi_key key)
{
    tracing_sent *sent = pxi_map_pointer (&agent->traced_sent, hash_of (key));
    bool same =
        sent && sent->record.key.subtask == key.subtask && sent->record.key.attempt == key.attempt;
    return same ? sent : NULL;
}

static void sent_free (pxi_agent *agent, tracing_sent *sent)
{
    pxi_list_remove (&sent->in_job);
    pxi_map_remove (&agent->traced_sent, hash_of (sent->record.key), NULL);
    free (sent);
}

static void sent_ended (pxi_agent *agent, tracing_sent *sent, uint32_t end)
{
    sent->record.end = (uint8_t)end;
    sent->record.end_ns = pxi_clock_ns ();
    add (agent, sent->tracing, &sent->record);
    sent_free (agent, sent);
}

/* The same attempt may be sent twice: who was asked first said busy, or nothing. */
static void note_sent (pxi_agent *agent, pxi_tracing *tracing, const pxi_message *message,
                       const pxi_attempt *attempt)
{
    uint64_t worker = message->to;
    tracing_sent *sent = find_sent (agent, attempt->key);
    if (!sent) {
        sent = calloc (1, sizeof *sent);
        if (!sent || pxi_map_pointer (&agent->traced_sent, hash_of (attempt->key)) ||
            !pxi_map_put_pointer (&agent->traced_sent, hash_of (attempt->key), sent)) {
            free (sent);
            add_left_out (tracing, 1);
            return;
        }
        sent->tracing = tracing;
        pxi_list_init (&sent->in_job);
        pxi_list_add_last (&tracing->sent, &sent->in_job);
    } else if (sent->record.worker == worker) {
        return;
    }
    sent->probe = message->probe;
    sent->record = (pxi_traced){.master = agent->id,
                                .worker = worker,
                                .key = attempt->key,
                                .begin_ns = pxi_clock_ns (),
                                .task = attempt->task,
                                .sent = true};
    memcpy (sent->record.worker_name, pxi_mail_name (agent, worker),
            strlen (pxi_mail_name (agent, worker)) + 1);
}

/* What nobody took up was no attempt. */
static void given_up (pxi_agent *agent, tracing_sent *sent, uint32_t end)
{
    if (sent->probe)
        sent_free (agent, sent);
    else
        sent_ended (agent, sent, end);
}

static void key_given_up (pxi_agent *agent, pxi_key key, uint32_t end)
{
    tracing_sent *sent = find_sent (agent, key);
    if (sent)
        given_up (agent, sent, end);
}

/* What is held for jobs of this master goes before the result. */
static void precede_result (pxi_agent *agent, const pxi_action *action)
{
    PXI_LIST_EACH (link, &agent->all_jobs)
    {
        pxi_tracing *tracing = PXI_LIST_ENTRY (link, pxi_agent_job, in_agent)->tracing;
        if (tracing && !tracing->root && tracing->master == action->message.to)
            pass_on (agent, tracing, &action->address);
    }
}

void pxi_tracing_sends (pxi_agent *agent, const pxi_action *action)
{
    const pxi_message *message = &action->message;
    if (!agent->n_tracing)
        return;
    if (message->kind == PXI_RESULT)
        precede_result (agent, action);
    for (uint32_t i = 0; i < message->n_attempts; i++) {
        pxi_agent_job *job = pxi_jobs_find (agent, message->attempts[i].job);
        if (job && job->tracing)
            note_sent (agent, job->tracing, message, &message->attempts[i]);
    }
    for (uint32_t i = 0; message->kind == PXI_CANCEL && i < message->n_keys; i++)
        key_given_up (agent, message->keys[i], PXI_TRACED_CANCELLED);
}

/* The youngest probes are answered first. */
static void taken_up (pxi_agent *agent, const pxi_message *message)
{
    const pxi_agent_job *job = pxi_jobs_find (agent, message->job);
    if (!job || !job->tracing)
        return;
    pxi_list *head = &job->tracing->sent;
    for (pxi_list *link = head->previous; link != head; link = link->previous) {
        tracing_sent *sent = PXI_LIST_ENTRY (link, tracing_sent, in_job);
        if (sent->probe != message->probe || sent->record.worker != message->from)
            continue;
        sent->probe = 0;
        return;
    }
}

void pxi_tracing_hears (pxi_agent *agent, const pxi_message *message)
{
    if (!agent->n_tracing)
        return;
    if (message->kind == PXI_OFFER && message->probe && message->accepted)
        taken_up (agent, message);
    for (uint32_t i = 0; i < message->n_results; i++) {
        tracing_sent *sent = find_sent (agent, message->results[i].key);
        if (sent && sent->record.worker == message->from)
            sent_ended (agent, sent, (uint32_t)message->results[i].result);
    }
}

void pxi_tracing_settle (pxi_agent *agent, uint64_t subtask, uint32_t n_attempts)
{
    if (!agent->n_tracing)
        return;
    /* One more: the number of a probe that nobody took is not used up. */
    for (uint32_t number = 1; number <= n_attempts + 1; number++)
        key_given_up (agent, (pxi_key){subtask, number}, PXI_RESULT_LOST);
}

/* ---- runs -------------------------------------------------------------------------------------
 */

void pxi_tracing_run_begins (pxi_agent *agent, const pxi_agent_run *run)
{
    pxi_agent_job *job = agent->n_tracing ? pxi_jobs_find (agent, run->attempt.job) : NULL;
    if (job && job->tracing && run->master)
        job->tracing->master = run->master;
}

void pxi_tracing_run_ended (pxi_agent *agent, const pxi_agent_run *run, pxi_result result)
{
    pxi_agent_job *job = agent->n_tracing ? pxi_jobs_find (agent, run->attempt.job) : NULL;
    if (!job || !job->tracing)
        return;
    pxi_traced record = {.master = run->master ? run->master : agent->id,
                         .worker = agent->id,
                         .key = run->attempt.key,
                         .begin_ns = run->begun_ns,
                         .end_ns = pxi_clock_ns (),
                         .task = run->attempt.task,
                         .end = (uint8_t)(run->stopped ? PXI_TRACED_CANCELLED : result)};
    memcpy (record.worker_name, agent->name, sizeof record.worker_name);
    add (agent, job->tracing, &record);
    if (!run->master)
        return;
    job->tracing->master = run->master;
    if (run->stopped && !job->tracing->root) /* no result follows */
        pass_on (agent, job->tracing, NULL);
}

/* ---- records of others ------------------------------------------------------------------------
 */

static pxi_root *find_late (pxi_agent *agent, pxi_job_id id)
{
    for (uint32_t i = 0; i < PXI_TRACED_LATE_MAX; i++) {
        pxi_root *root = agent->traced_late[i];
        if (root && root->id.origin == id.origin && root->id.number == id.number)
            return root;
    }
    return NULL;
}

static void take_late (pxi_root *root, const pxi_trace_batch *batch)
{
    for (uint32_t i = 0; i < batch->n; i++)
        pxi_root_trace_add (root, &batch->records[i]);
    pxi_root_trace_left_out (root, batch->n_left_out);
}

static void take_batch (pxi_agent *agent, pxi_tracing *tracing, const pxi_trace_batch *batch)
{
    for (uint32_t i = 0; i < batch->n; i++)
        add (agent, tracing, &batch->records[i]);
    add_left_out (tracing, batch->n_left_out);
    if (tracing->n_pending >= PXI_TRACE_BATCH_MAX)
        pass_on (agent, tracing, NULL);
}

bool pxi_tracing_receives (pxi_agent *agent, const pxi_bytes *body)
{
    pxi_trace_batch *batch = malloc (sizeof *batch);
    px_err err =
        batch ? pxi_trace_decode (pxi_bytes_data (body), pxi_bytes_size (body), batch) : PX_ENOMEM;
    if (err == PX_OK) {
        pxi_agent_job *job = pxi_jobs_find (agent, batch->job);
        pxi_root *late = find_late (agent, batch->job);
        if (job && job->tracing)
            take_batch (agent, job->tracing, batch);
        else if (late)
            take_late (late, batch);
    }
    free (batch);
    return err == PX_OK || err == PX_ENOMEM;
}

/* ---- the end ----------------------------------------------------------------------------------
 */

/* What was cancelled last is told when the job is over here: some last roots are kept for that. */
static void keep_late (pxi_agent *agent, pxi_root *root)
{
    pxi_root **place = &agent->traced_late[agent->n_traced_late++ % PXI_TRACED_LATE_MAX];
    pxi_root_release (*place);
    *place = root;
}

void pxi_tracing_end (pxi_agent *agent, pxi_agent_job *job)
{
    pxi_tracing *tracing = job->tracing;
    if (!tracing)
        return;
    for (pxi_list *link; (link = pxi_list_first (&tracing->sent));)
        given_up (agent, PXI_LIST_ENTRY (link, tracing_sent, in_job), PXI_TRACED_CANCELLED);
    if (tracing->root)
        keep_late (agent, tracing->root);
    else
        pass_on (agent, tracing, NULL);
    agent->n_tracing--;
    job->tracing = NULL;
    free (tracing->pending);
    free (tracing);
}

void pxi_tracing_init (pxi_agent *agent)
{
    pxi_map_init (&agent->traced_sent, OPEN_MAX, agent->config.seed);
}

void pxi_tracing_fini (pxi_agent *agent)
{
    PXI_ASSERT (agent->n_tracing == 0);
    for (uint32_t i = 0; i < PXI_TRACED_LATE_MAX; i++)
        pxi_root_release (agent->traced_late[i]);
    pxi_map_fini (&agent->traced_sent);
}
