/* Who holds what: an attempt changes hands only by the rules, whatever a message says.
 *
 *   cancelled   what a master lets go of (its subtask has an outcome, its branch was closed) it cancels in
 *               the same step; only what ended, or the peer that it was at, needs no word
 *   result      what comes for an attempt that is not at its sender changes nothing
 *   said        once a worker has said what became of an attempt, it does not run there
 *   restarted   with the first word of a peer's new self, all that was shared with the former one ends
 *   stopped     what runs without a master is a root, a redo, or was told to stop
 *
 * Looks are taken only around the events that can change them. */
#include <stdlib.h>

#include "sim/state.h"

enum { LOOKS_MAX = 4096 }; /* a peer with more away is not looked at */

bool pxi_custody_init (pxi_custody *custody)
{
    *custody = (pxi_custody){
        .before = malloc (LOOKS_MAX * sizeof *custody->before),
        .after = malloc (LOOKS_MAX * sizeof *custody->after),
        .runs = malloc (LOOKS_MAX * sizeof *custody->runs),
    };
    return custody->before && custody->after && custody->runs;
}

void pxi_custody_fini (pxi_custody *custody)
{
    free (custody->before);
    free (custody->after);
    free (custody->runs);
    *custody = (pxi_custody){0};
}

static bool is_result (const pxi_event *event)
{
    return event->kind == PXI_EV_MESSAGE && event->message->kind == PXI_RESULT;
}

static bool may_let_go (const pxi_event *event)
{
    return is_result (event) || event->kind == PXI_EV_BRANCH_CLOSED ||
           event->kind == PXI_EV_FINISHED;
}

/* The first word of a new self that this peer hears. */
static bool is_new_self (const pxi_sim_peer *peer, const pxi_message *message)
{
    pxi_peer_look *looks = peer->world->peer_looks;
    if (message->from_incarnation < 2 || message->from == peer->id || message->to != peer->id ||
        message->to_incarnation != peer->incarnation)
        return false;
    uint32_t n = pxi_core_peers (peer->core, pxi_sim_peer_now_ns (peer), looks, PXI_VIEW_MAX);
    for (uint32_t i = 0; i < n && i < PXI_VIEW_MAX; i++) {
        if (looks[i].record.id == message->from)
            return looks[i].record.incarnation < message->from_incarnation;
    }
    return false;
}

void pxi_custody_before_step (pxi_sim_peer *peer, const pxi_event *event)
{
    pxi_custody *custody = &peer->world->custody;
    custody->new_self = event->kind == PXI_EV_MESSAGE && is_new_self (peer, event->message);
    custody->looked = false;
    if (!may_let_go (event) && !custody->new_self)
        return;
    custody->n_before = pxi_core_away (peer->core, custody->before, LOOKS_MAX);
    custody->looked = custody->n_before <= LOOKS_MAX;
    custody->n_runs = custody->new_self ? pxi_core_runs (peer->core, custody->runs, LOOKS_MAX) : 0;
}

static bool same_key (pxi_key a, pxi_key b)
{
    return a.subtask == b.subtask && a.attempt == b.attempt;
}

static bool holds (const pxi_away_look *looks, uint32_t n, uint64_t peer, pxi_key key)
{
    for (uint32_t i = 0; i < n; i++) {
        if (looks[i].peer == peer && same_key (looks[i].key, key))
            return true;
    }
    return false;
}

static bool is_cancelled (const pxi_actions *actions, uint64_t peer, pxi_key key)
{
    for (uint32_t i = 0; i < actions->n; i++) {
        const pxi_message *message = &actions->items[i].message;
        if (actions->items[i].kind != PXI_DO_SEND || message->kind != PXI_CANCEL ||
            message->to != peer)
            continue;
        for (uint32_t k = 0; k < message->n_keys; k++) {
            if (same_key (message->keys[k], key))
                return true;
        }
    }
    return false;
}

static void check_cancelled (pxi_sim_peer *peer, const pxi_event *event, const pxi_actions *actions)
{
    pxi_custody *custody = &peer->world->custody;
    uint64_t from = is_result (event) ? event->message->from : 0;
    uint32_t n_after = pxi_core_away (peer->core, custody->after, LOOKS_MAX);
    if (n_after > LOOKS_MAX)
        return;
    for (uint32_t i = 0; i < custody->n_before; i++) {
        const pxi_away_look *look = &custody->before[i];
        if (look->peer == peer->id || look->peer == from ||
            holds (custody->after, n_after, look->peer, look->key) ||
            is_cancelled (actions, look->peer, look->key))
            continue;
        pxi_check_broken (peer->world, peer,
                          "cancelled: s%llu.%u at w%llu is let go without a word",
                          (unsigned long long)look->key.subtask, look->key.attempt,
                          (unsigned long long)look->peer);
    }
}

/* One of its results is of an attempt that its sender holds of this subtask. */
static bool held_one_of (const pxi_custody *custody, const pxi_message *message, uint64_t subtask)
{
    for (uint32_t i = 0; i < message->n_results; i++) {
        pxi_key key = message->results[i].key;
        if (key.subtask == subtask &&
            holds (custody->before, custody->n_before, message->from, key))
            return true;
    }
    return false;
}

static void check_result (pxi_sim_peer *peer, const pxi_message *message,
                          const pxi_returned *returned, const pxi_actions *actions)
{
    pxi_custody *custody = &peer->world->custody;
    uint64_t from = message->from;
    if (holds (custody->before, custody->n_before, from, returned->key)) {
        /* Only an invented one has no payload: this time it was the liar's own attempt. */
        peer->world->falsified |= returned->result == PXI_RESULT_OK && !returned->blob;
        return;
    }
    if (held_one_of (custody, message, returned->key.subtask))
        return;
    for (uint32_t i = 0; i < actions->n; i++) {
        const pxi_action *action = &actions->items[i];
        bool outcome =
            (action->kind == PXI_DO_COMPLETE && !action->root) || action->kind == PXI_DO_GIVE_BACK;
        if (outcome && action->subtask == returned->key.subtask)
            pxi_check_broken (peer->world, peer, "result: of s%llu.%u, which w%llu does not have",
                              (unsigned long long)returned->key.subtask, returned->key.attempt,
                              (unsigned long long)from);
    }
}

static bool is_stopped (const pxi_actions *actions, uint64_t run)
{
    for (uint32_t i = 0; i < actions->n; i++) {
        if (actions->items[i].kind == PXI_DO_STOP && actions->items[i].run == run)
            return true;
    }
    return false;
}

static bool is_there (pxi_sim_peer *peer, uint64_t run)
{
    pxi_run_look *looks = peer->world->run_looks;
    uint32_t n = pxi_core_runs (peer->core, looks, LOOKS_MAX);
    for (uint32_t i = 0; i < n && i < LOOKS_MAX; i++) {
        if (looks[i].run == run)
            return true;
    }
    return false;
}

static void check_restarted (pxi_sim_peer *peer, uint64_t from, const pxi_actions *actions)
{
    pxi_custody *custody = &peer->world->custody;
    uint32_t n_after = pxi_core_away (peer->core, custody->after, LOOKS_MAX);
    for (uint32_t i = 0; i < custody->n_before && n_after <= LOOKS_MAX; i++) {
        const pxi_away_look *look = &custody->before[i];
        if (look->peer == from && holds (custody->after, n_after, from, look->key))
            pxi_check_broken (peer->world, peer, "restarted: s%llu.%u stays with a former w%llu",
                              (unsigned long long)look->key.subtask, look->key.attempt,
                              (unsigned long long)from);
    }
    for (uint32_t i = 0; i < custody->n_runs && i < LOOKS_MAX; i++) {
        const pxi_run_look *look = &custody->runs[i];
        bool ended = look->waits ? !is_there (peer, look->run) : is_stopped (actions, look->run);
        if (look->master == from && !ended)
            pxi_check_broken (peer->world, peer, "restarted: s%llu.%u runs on for a former w%llu",
                              (unsigned long long)look->key.subtask, look->key.attempt,
                              (unsigned long long)from);
    }
}

static void check_said (pxi_sim_peer *peer, uint64_t to, const pxi_returned *said)
{
    pxi_run_look *looks = peer->world->custody.runs;
    uint32_t n = pxi_core_runs (peer->core, looks, LOOKS_MAX);
    for (uint32_t i = 0; i < n && i < LOOKS_MAX; i++) {
        if (looks[i].master == to && same_key (looks[i].key, said->key))
            pxi_check_broken (peer->world, peer,
                              "said: s%llu.%u of w%llu runs here after its result (%d)",
                              (unsigned long long)said->key.subtask, said->key.attempt,
                              (unsigned long long)to, said->result);
    }
}

static void check_results (pxi_sim_peer *peer, const pxi_message *message,
                           const pxi_actions *actions)
{
    for (uint32_t i = 0; i < message->n_results; i++)
        check_result (peer, message, &message->results[i], actions);
}

static void check_all_said (pxi_sim_peer *peer, const pxi_message *message)
{
    for (uint32_t i = 0; i < message->n_results; i++)
        check_said (peer, message->to, &message->results[i]);
}

void pxi_custody_after_step (pxi_sim_peer *peer, const pxi_event *event, const pxi_actions *actions)
{
    const pxi_custody *custody = &peer->world->custody;
    if (custody->looked && custody->new_self)
        check_restarted (peer, event->message->from, actions);
    if (custody->looked && may_let_go (event)) {
        if (!peer->world->config
                 .short_of_memory) /* a CANCEL needs some; the next handshake tells */
            check_cancelled (peer, event, actions);
        if (is_result (event) &&
            !custody->new_self) /* else its former self's are lost in this step */
            check_results (peer, event->message, actions);
    }
    for (uint32_t i = 0; i < actions->n; i++) {
        const pxi_action *action = &actions->items[i];
        if (action->kind == PXI_DO_SEND && action->message.kind == PXI_RESULT)
            check_all_said (peer, &action->message);
    }
}

/* ---- stopped ---------------------------------------------------------------------------------- */

static bool is_redo (const pxi_away_look *looks, uint32_t n, uint64_t run)
{
    for (uint32_t i = 0; i < n; i++) {
        if (looks[i].run == run)
            return true;
    }
    return false;
}

void pxi_custody_sweep (pxi_sim_peer *peer, const pxi_run_look *runs, uint32_t n_runs)
{
    pxi_custody *custody = &peer->world->custody;
    uint32_t n_away = pxi_core_away (peer->core, custody->after, LOOKS_MAX);
    if (n_away > LOOKS_MAX)
        return;
    for (uint32_t i = 0; i < n_runs; i++) {
        const pxi_run_look *look = &runs[i];
        pxi_sim_executor *executor = pxi_sim_peer_executor (peer, look->job);
        if (look->master || !executor || executor->root == look->run ||
            is_redo (custody->after, n_away, look->run))
            continue;
        if (pxi_virtual_runs (executor->virtual, look->run))
            pxi_check_broken (peer->world, peer,
                              "stopped: run %llu of s%llu.%u is nobody's, and goes on",
                              (unsigned long long)look->run, (unsigned long long)look->key.subtask,
                              look->key.attempt);
    }
}
