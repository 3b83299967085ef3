/* Handshakes: one exchange per pair of peers and interval, whatever the number of attempts between
 * them.
 *
 * The master lists what it believes the worker has; the worker answers with what it has. One
 * exchange shows death both ways, any other message counts too, and an attempt that the worker no
 * longer has is known at once. Silence past detect_ns ends the relation on the side that hears
 * nothing: the master redoes, the worker abandons (rule 4). Six intervals make detect_ns, so five
 * losses are survived.
 *
 * A master that has nothing left to do but wait does not wait for the interval: it asks out of turn
 * who is silent, and takes no answer to several such questions for lateness (straggler.c), never for
 * death: a suspicion costs a second attempt on a slot that nobody needs, a false death much more. */
#include <string.h>

#include "core/state.h"

enum {
    UNANSWERED_LOST =
        12, /* handshakes in a row: twice the limit of silence, so that loss alone is none */
    MISSING_LOST = 2,   /* acks without an attempt that both orders of arrival can explain once */
    HURRIED_SILENT = 4, /* questions out of turn: the first is three pauses old then */
};

#define HURRY_NS (100 * PXI_MS) /* between questions out of turn, or two round trips */

static bool is_master (const pxi_peer *peer)
{
    return peer->n_away > 0;
}

static bool is_worker (const pxi_peer *peer)
{
    return peer->n_runs > 0;
}

void pxi_handshake_begin (pxi_core *core, pxi_peer *peer)
{
    if (pxi_timer_is_set (&peer->timer))
        return;
    peer->relation_ns = core->now_ns;
    pxi_timer_set (core, &peer->timer, PXI_TIMER_RELATION, peer, core->now_ns + core->handshake_ns);
}

static void send_handshake (pxi_core *core, pxi_peer *peer)
{
    uint32_t n_most = peer->n_away < PXI_KEYS_MAX ? peer->n_away : PXI_KEYS_MAX;
    pxi_key *keys = pxi_core_scratch (core, n_most * sizeof *keys);
    if (!keys)
        return;
    pxi_message *message = pxi_core_send (core, peer, PXI_HANDSHAKE);
    message->sequence = ++peer->sequence;
    PXI_LIST_EACH (link, &peer->away)
    {
        pxi_attempt_state *attempt = PXI_LIST_ENTRY (link, pxi_attempt_state, at_peer);
        if (message->n_keys == n_most)
            break;
        if (!attempt->handshake)
            attempt->handshake = peer->sequence;
        keys[message->n_keys++] = (pxi_key){attempt->subtask->id, attempt->number};
    }
    message->keys = keys;
}

static uint64_t latest (uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void lose_away (pxi_core *core, pxi_peer *peer)
{
    for (pxi_list *link; (link = pxi_list_first (&peer->away));)
        pxi_branch_lost (core, PXI_LIST_ENTRY (link, pxi_attempt_state, at_peer));
}

void pxi_handshake_lost (pxi_core *core, pxi_peer *peer, const char *why)
{
    peer->pins++;
    if (is_master (peer) || is_worker (peer))
        SAY (core, "%s %s -> %u attempts there lost, %u for it abandoned", pxi_core_name (peer),
             why, peer->n_away, peer->n_runs);
    lose_away (core, peer);
    pxi_place_forget_peer (core, peer);
    pxi_worker_forget_peer (core, peer);
    peer->pins--;
}

/* The verdict falls one interval early, so that silence is acted on within detect_ns. */
void pxi_handshake_timer (pxi_core *core, pxi_peer *peer)
{
    if (!is_master (peer) && !is_worker (peer)) {
        pxi_view_unref (core, peer);
        return;
    }
    uint64_t since_ns = latest (latest (peer->heard_ns, peer->relation_ns), core->resumed_ns);
    if (core->now_ns - since_ns >= core->config.detect_ns - core->handshake_ns) {
        pxi_view_unresponsive (core, peer);
        pxi_handshake_lost (core, peer, "silent past the limit");
        pxi_view_unref (core, peer);
        return;
    }
    uint64_t mastered_ns = latest (peer->mastered_ns, core->resumed_ns);
    if (is_worker (peer) &&
        core->now_ns - mastered_ns >= core->config.detect_ns - core->handshake_ns) {
        /* Alive, but no longer our master: its CANCEL was lost, and it has nothing else here. */
        SAY (core, "no handshake from %s -> %u attempts abandoned", pxi_core_name (peer),
             peer->n_runs);
        pxi_worker_abandon (core, peer);
    }
    if (!is_master (peer))
        peer->n_unanswered = 0;
    if (peer->n_unanswered >= UNANSWERED_LOST) {
        /* It is heard, and does not hear us: what it was given may never have come, and it abandons the rest. */
        SAY (core, "%s answers no handshake -> %u attempts there lost", pxi_core_name (peer),
             peer->n_away);
        peer->n_unanswered = 0;
        lose_away (core, peer);
    }
    if (is_master (peer)) {
        peer->n_unanswered++;
        send_handshake (core, peer);
    }
    pxi_timer_set (core, &peer->timer, PXI_TIMER_RELATION, peer, core->now_ns + core->handshake_ns);
}

/* ---- out of turn ------------------------------------------------------------------------------
 */

void pxi_handshake_hurry (pxi_core *core, pxi_peer *peer)
{
    uint64_t pause_ns = latest (HURRY_NS, 2 * peer->rtt_ns);
    if (peer->heard_ns >= peer->hurried_ns)
        peer->n_hurried = 0;
    uint64_t since_ns = latest (latest (peer->heard_ns, peer->hurried_ns), core->resumed_ns);
    since_ns = latest (since_ns, peer->relation_ns);
    if (peer->n_hurried < HURRIED_SILENT && core->now_ns - since_ns >= pause_ns) {
        peer->n_hurried++;
        peer->hurried_ns = core->now_ns;
        send_handshake (core, peer);
    }
}

bool pxi_handshake_silent (const pxi_peer *peer)
{
    return peer->n_hurried == HURRIED_SILENT && peer->heard_ns < peer->hurried_ns;
}

/* ---- worker's side ----------------------------------------------------------------------------
 */

static bool listed (const pxi_message *message, pxi_key key)
{
    for (uint32_t i = 0; i < message->n_keys; i++) {
        if (message->keys[i].subtask == key.subtask && message->keys[i].attempt == key.attempt)
            return true;
    }
    return false;
}

/* What the master does not list it has given up: a CANCEL or an answer of ours was lost. Not at
 * once: the list may be older than the attempt. */
static void abandon_unlisted (pxi_core *core, pxi_peer *master, const pxi_message *message)
{
    if (message->n_keys == PXI_KEYS_MAX)
        return;
    PXI_LIST_EACH_SAFE (link, &master->runs)
    {
        pxi_run *run = PXI_LIST_ENTRY (link, pxi_run, at_master);
        bool settled = core->now_ns - run->started_ns > core->handshake_ns;
        if (settled && !run->stopped && !listed (message, run->spec.key) &&
            !PXI_MUTANT (UNLISTED_RUNS_ON)) {
            SAY (core, "%s no longer wants s%llu.%u -> abandoned", pxi_core_name (master),
                 (unsigned long long)run->spec.key.subtask, run->spec.key.attempt);
            pxi_worker_stop (core, run);
        }
    }
}

static void on_handshake (pxi_core *core, pxi_peer *master, const pxi_message *message)
{
    master->mastered_ns = core->now_ns;
    abandon_unlisted (core, master, message);
    uint32_t n = 0, n_most = master->n_runs + message->n_keys;
    n_most = n_most < PXI_KEYS_MAX ? n_most : PXI_KEYS_MAX;
    pxi_report *reports = pxi_core_scratch (core, n_most * sizeof *reports);
    if (!reports)
        return;
    PXI_LIST_EACH (link, &master->runs)
    {
        const pxi_run *run = PXI_LIST_ENTRY (link, pxi_run, at_master);
        if (n < n_most && !run->stopped)
            reports[n++] = (pxi_report){run->spec.key, core->now_ns - run->started_ns,
                                        run->progress + run->job->moved};
    }
    for (uint32_t i = 0; i < message->n_keys && n < n_most; i++) {
        if (pxi_worker_resend (core, master, message->keys[i]))
            reports[n++] = (pxi_report){message->keys[i], 0, 0};
    }
    pxi_message *ack = pxi_core_send (core, master, PXI_HANDSHAKE_ACK);
    ack->sequence = message->sequence;
    ack->reports = reports;
    ack->n_reports = n;
}

/* ---- master's side ----------------------------------------------------------------------------
 */

static const pxi_report *report_of (const pxi_message *message, const pxi_attempt_state *attempt)
{
    for (uint32_t i = 0; i < message->n_reports; i++) {
        const pxi_key *key = &message->reports[i].key;
        if (key->subtask == attempt->subtask->id && key->attempt == attempt->number)
            return &message->reports[i];
    }
    return NULL;
}

/* The worker took an attempt and its answer was lost: what counts is that it has it. */
static void confirm (pxi_core *core, pxi_attempt_state *attempt, const pxi_report *report)
{
    attempt->missing = 0;
    attempt->confirmed = true;
    attempt->subtask->job->heard_of = true;
    if (report->progress > attempt->progress) {
        attempt->subtask->job->moved += report->progress - attempt->progress;
        attempt->progress = report->progress;
        attempt->progressed_ns = core->now_ns;
        attempt->subtask->job->nests = true;
    }
}

static void on_ack (pxi_core *core, pxi_peer *worker, const pxi_message *message)
{
    worker->n_unanswered = 0;
    PXI_LIST_EACH_SAFE (link, &worker->away)
    {
        pxi_attempt_state *attempt = PXI_LIST_ENTRY (link, pxi_attempt_state, at_peer);
        if (!attempt->handshake || attempt->handshake > message->sequence)
            continue;
        const pxi_report *report = report_of (message, attempt);
        if (report) {
            confirm (core, attempt, report);
            pxi_branch_limit (core, attempt, report->run_ns);
            continue;
        }
        if (++attempt->missing < MISSING_LOST || PXI_MUTANT (MISSING_IGNORED))
            continue;
        SAY (core, "%s does not have s%llu.%u -> lost", pxi_core_name (worker),
             (unsigned long long)attempt->subtask->id, attempt->number);
        pxi_branch_lost (core, attempt);
    }
}

void pxi_handshake_message (pxi_core *core, pxi_peer *from, const pxi_message *message)
{
    if (message->kind == PXI_HANDSHAKE)
        on_handshake (core, from, message);
    else
        on_ack (core, from, message);
}
