/* Subtasks that are away, and their attempts: the master's side.
 *
 * A subtask is here from the moment an executor hands it over until it has its outcome or goes
 * back. It may have several attempts under way; the first result wins, the others are cancelled,
 * and what comes later is dropped. A lost attempt loses nothing: the subtask goes back to where any
 * thread, any peer may take it. One that crashed its process is not run where it could take others
 * with it: it waits for another peer, and after PXI_CRASHES_MAX crashes that is its outcome.
 *
 * Invariants: branch->held is the number of attempts at other peers of its subtasks, and never made more
 * than branch->number, the one in force (core/adapt.h); an attempt is at one peer (in peer->away) or
 * here (a redo run). */
#include "core/state.h"

enum { RETURNED_DOUBLINGS = 8 }; /* to a quarter of a second */
#define MEMORY_PAUSE_NS (10 * PXI_MS)
#define RETURNED_PAUSE_NS PXI_MS
#define RETRY_PATIENCE_NS (5 * PXI_SECOND) /* to find another peer for what crashed */

bool pxi_branch_room (const pxi_core *core)
{
    return core->n_attempts + core->n_runs < core->config.attempts_max;
}

bool pxi_branch_full (const pxi_branch *branch)
{
    return branch->held >= branch->number && !PXI_MUTANT (NUMBER_IGNORED);
}

void pxi_branch_cap (pxi_core *core, pxi_branch *branch)
{
    bool full = pxi_branch_full (branch), was_full = branch->capped;
    if (full == was_full && branch->told == branch->number)
        return;
    branch->capped = full;
    branch->told = branch->number;
    pxi_action *cap = pxi_core_act (core, PXI_DO_CAP);
    cap->job = branch->job->id;
    cap->branch = branch->id;
    cap->flag = full;
    cap->count = branch->number;
    if (full || !was_full)
        return;
    branch->job->surplus += branch->job->surplus == 0; /* what was held back may be taken now */
    core->seek_pending = true;
}

static pxi_branch *branch_ensure (pxi_core *core, pxi_job *job, const pxi_taken *taken)
{
    pxi_branch *branch = pxi_map_pointer (&core->branches, taken->branch);
    if (branch)
        return branch;
    branch = pxi_core_alloc (core, sizeof *branch);
    if (!branch)
        return NULL;
    branch->id = taken->branch;
    branch->job = job;
    branch->given = taken->number < PXI_NUMBER_MAX ? taken->number : PXI_NUMBER_MAX;
    branch->number = branch->told = branch->given;
    branch->most = taken->most > branch->given ? taken->most : branch->given;
    branch->point = taken->point;
    pxi_list_init (&branch->subtasks);
    if (!pxi_map_put_pointer (&core->branches, branch->id, branch)) {
        pxi_core_release (core, branch, sizeof *branch);
        return NULL;
    }
    pxi_list_add_last (&job->branches, &branch->in_job);
    core->n_branches++;
    pxi_adapt_begin (core, branch);
    return branch;
}

/* Nothing of it is away, so nothing limits it: the next subtask that comes brings it anew. */
static void branch_free_if_empty (pxi_core *core, pxi_branch *branch)
{
    if (!pxi_list_is_empty (&branch->subtasks))
        return;
    PXI_ASSERT (branch->held == 0);
    pxi_branch_cap (core, branch);
    pxi_list_remove (&branch->in_job);
    pxi_map_remove (&core->branches, branch->id, NULL);
    core->n_branches--;
    pxi_core_release (core, branch, sizeof *branch);
}

/* The executor has it again, with what is known of it. */
static pxi_action *hand_back (pxi_core *core, pxi_job *job, pxi_key key, uint64_t branch,
                              uint32_t crashes)
{
    pxi_action *action = pxi_core_act (core, PXI_DO_GIVE_BACK);
    action->job = job->id;
    action->subtask = key.subtask;
    action->branch = branch;
    action->attempts = key.attempt;
    action->crashes = crashes;
    job->surplus++;
    core->seek_pending = true;
    return action;
}

static pxi_subtask *subtask_new (pxi_core *core, pxi_job *job, const pxi_taken *taken)
{
    pxi_branch *branch = branch_ensure (core, job, taken);
    if (!branch)
        return NULL;
    pxi_subtask *subtask = pxi_core_alloc (core, sizeof *subtask);
    if (!subtask || !pxi_map_put_pointer (&core->subtasks, taken->subtask, subtask)) {
        pxi_core_release (core, subtask, sizeof *subtask);
        branch_free_if_empty (core, branch);
        return NULL;
    }
    subtask->branch = branch;
    if (!taken->attempt.shared.size_bytes)
        return subtask;
    subtask->shared = pxi_shared_own (core, &taken->attempt);
    if (subtask->shared)
        return subtask;
    pxi_map_remove (&core->subtasks, taken->subtask, NULL);
    pxi_core_release (core, subtask, sizeof *subtask);
    branch_free_if_empty (core, branch);
    return NULL;
}

/* NULL: out of memory; the executor has it again. */
pxi_subtask *pxi_branch_subtask (pxi_core *core, pxi_job *job, const pxi_taken *taken)
{
    pxi_key key = {taken->subtask, taken->attempts};
    pxi_subtask *subtask = subtask_new (core, job, taken);
    if (!subtask) {
        job->short_until_ns = core->now_ns + MEMORY_PAUSE_NS; /* else it would come at once */
        hand_back (core, job, key, taken->branch, taken->crashes);
        pxi_core_forget (core, taken->attempt.blob);
        pxi_core_forget (core, taken->attempt.shared_blob);
        return NULL;
    }
    subtask->id = taken->subtask;
    subtask->job = job;
    subtask->spec = taken->attempt;
    subtask->spec.shared_blob = subtask->shared ? subtask->shared->blob : 0;
    subtask->spec.key = key;
    subtask->crashes = taken->crashes;
    subtask->declared = taken->declared;
    subtask->limit_ns = taken->limit_ns < UINT64_MAX / 4 ? taken->limit_ns : 0;
    subtask->expect_ns = taken->expect_ns;
    pxi_list_init (&subtask->attempts);
    pxi_list_init (&subtask->in_retry);
    pxi_list_add_last (&subtask->branch->subtasks, &subtask->in_branch);
    pxi_list_add_last (&job->subtasks, &subtask->in_job);
    core->n_subtasks++;
    return subtask;
}

static void subtask_free (pxi_core *core, pxi_subtask *subtask)
{
    PXI_ASSERT (pxi_list_is_empty (&subtask->attempts));
    pxi_branch *branch = subtask->branch;
    pxi_job *job = subtask->job;
    pxi_list_remove (&subtask->in_branch);
    pxi_list_remove (&subtask->in_job);
    pxi_list_remove (&subtask->in_retry);
    pxi_map_remove (&core->subtasks, subtask->id, NULL);
    pxi_core_forget (core, subtask->crash_blob);
    pxi_core_forget (core, subtask->spec.blob);
    if (subtask->shared)
        pxi_shared_leave (core, subtask->shared);
    core->n_subtasks--;
    pxi_core_release (core, subtask, sizeof *subtask);
    branch_free_if_empty (core, branch);
    core->close_pending |= job->n_runs == 0;
}

/* ---- attempts ---------------------------------------------------------------------------------
 */

/* What is begun beside them says that they are late, and what else goes where they are would be, too. */
static void overtake (pxi_subtask *subtask)
{
    PXI_LIST_EACH (link, &subtask->attempts)
    {
        pxi_attempt_state *attempt = PXI_LIST_ENTRY (link, pxi_attempt_state, in_subtask);
        if (!attempt->peer || attempt->device || attempt->overtaken)
            continue;
        attempt->overtaken = true;
        attempt->peer->n_overtaken++;
    }
}

pxi_attempt_state *pxi_branch_attempt (pxi_core *core, pxi_subtask *subtask, pxi_peer *peer,
                                       bool speculative)
{
    PXI_ASSERT (!peer || !pxi_branch_full (subtask->branch));
    pxi_attempt_state *attempt =
        pxi_branch_room (core) ? pxi_core_alloc (core, sizeof *attempt) : NULL;
    if (!attempt)
        return NULL;
    attempt->subtask = subtask;
    attempt->number = ++subtask->spec.key.attempt;
    attempt->peer = peer;
    attempt->sent_ns = attempt->progressed_ns = core->now_ns;
    attempt->speculative = speculative;
    if (speculative)
        overtake (subtask);
    pxi_list_init (&attempt->at_peer);
    pxi_list_add_last (&subtask->attempts, &attempt->in_subtask);
    subtask->n_attempts++;
    subtask->job->n_attempts++;
    subtask->job->n_extra += speculative;
    subtask->job->extra_started += speculative;
    core->n_attempts++;
    core->stats.attempts_redone += speculative;
    core->stats.attempts_speculative += speculative;
    pxi_straggler_watch (core, subtask->job);
    if (peer) {
        core->stats.subtasks_sent++;
        pxi_estimate_sent (core, attempt);
        subtask->branch->held++;
        pxi_adapt_held (subtask->branch);
        pxi_branch_cap (core, subtask->branch);
        pxi_list_add_last (&peer->away, &attempt->at_peer);
        peer->n_away++;
        pxi_handshake_begin (core, peer);
    }
    if (speculative)
        pxi_adapt_broken (core, subtask->branch);
    return attempt;
}

void pxi_branch_attempt_free (pxi_core *core, pxi_attempt_state *attempt)
{
    pxi_subtask *subtask = attempt->subtask;
    pxi_list_remove (&attempt->in_subtask);
    subtask->n_attempts--;
    subtask->job->n_attempts--;
    subtask->job->n_extra -= attempt->speculative;
    core->share_pending |= !pxi_branch_room (core); /* there is some for others again */
    core->n_attempts--;
    if (attempt->peer && attempt->device)
        pxi_device_count_there (attempt->peer, -1);
    if (attempt->peer) {
        pxi_list_remove (&attempt->at_peer);
        attempt->peer->n_away--;
        attempt->peer->n_overtaken -= attempt->overtaken;
        subtask->branch->held--;
        pxi_branch_cap (core, subtask->branch);
    }
    pxi_core_release (core, attempt, sizeof *attempt);
}

pxi_attempt_state *pxi_branch_find (pxi_core *core, const pxi_peer *peer, pxi_key key)
{
    pxi_subtask *subtask = pxi_map_pointer (&core->subtasks, key.subtask);
    if (!subtask)
        return NULL;
    PXI_LIST_EACH (link, &subtask->attempts)
    {
        pxi_attempt_state *attempt = PXI_LIST_ENTRY (link, pxi_attempt_state, in_subtask);
        if ((attempt->number == key.attempt || PXI_MUTANT (RESULT_OF_FORMER_ATTEMPT)) &&
            (attempt->peer == peer || PXI_MUTANT (RESULT_OF_WRONG_PEER)))
            return attempt;
    }
    return NULL;
}

static void cancel_at_peer (pxi_core *core, pxi_attempt_state *attempt)
{
    pxi_key *key = PXI_MUTANT (CANCEL_NOT_SENT) ? NULL : pxi_core_scratch (core, sizeof *key);
    if (!key)
        return; /* the next handshake does not list it: the worker abandons it then */
    *key = (pxi_key){attempt->subtask->id, attempt->number};
    pxi_message *message = pxi_core_send (core, attempt->peer, PXI_CANCEL);
    message->keys = key;
    message->n_keys = 1;
}

/* Time that nobody uses, as far as it is known here: since it was sent, until its peer was last
 * heard. */
static void count_extra (pxi_core *core, const pxi_attempt_state *attempt)
{
    uint64_t until_ns = attempt->peer ? attempt->peer->heard_ns : core->now_ns;
    uint64_t spent_ns = until_ns > attempt->sent_ns ? until_ns - attempt->sent_ns : 0;
    core->stats.extra_ns += spent_ns;
    attempt->subtask->job->extra_ns += spent_ns;
}

static void attempt_cancel (pxi_core *core, pxi_attempt_state *attempt)
{
    if (attempt->peer) {
        cancel_at_peer (core, attempt);
    } else {
        pxi_run *run = pxi_map_pointer (&core->runs, attempt->local);
        if (run) {
            run->redo = NULL;
            pxi_worker_stop (core, run);
        }
    }
    pxi_branch_attempt_free (core, attempt);
}

static void cancel_all_attempts (pxi_core *core, pxi_subtask *subtask, bool extra)
{
    for (pxi_list *link; (link = pxi_list_first (&subtask->attempts));) {
        pxi_attempt_state *attempt = PXI_LIST_ENTRY (link, pxi_attempt_state, in_subtask);
        if (extra)
            count_extra (core, attempt);
        attempt_cancel (core, attempt);
    }
}

/* ---- outcomes ---------------------------------------------------------------------------------
 */

/* why: which device of whose did not do it; device 0 = none. */
static void give_back (pxi_core *core, pxi_subtask *subtask, const pxi_returned *why, uint64_t peer)
{
    PXI_ASSERT (pxi_list_is_empty (&subtask->attempts));
    if (subtask->spec.n_items)
        subtask->job->range.n_items += subtask->spec.n_items;
    pxi_action *action =
        hand_back (core, subtask->job, subtask->spec.key, subtask->branch->id, subtask->crashes);
    action->blob = why->blob;
    action->size_bytes = why->size_bytes;
    action->device = why->device;
    action->peer = peer;
    subtask_free (core, subtask); /* acts: the action may lie elsewhere now */
}

void pxi_branch_give_back (pxi_core *core, pxi_subtask *subtask)
{
    give_back (core, subtask, &(pxi_returned){0}, 0);
}

static void complete (pxi_core *core, pxi_subtask *subtask, const pxi_returned *returned,
                      const pxi_peer *peer)
{
    bool again = PXI_MUTANT (RESULT_TWICE) && subtask->n_attempts > 0;
    if (!again)
        cancel_all_attempts (core, subtask, true);
    pxi_action *action = pxi_core_act (core, PXI_DO_COMPLETE);
    action->job = subtask->job->id;
    action->subtask = subtask->id;
    action->branch = subtask->branch->id;
    action->result = returned->result;
    action->run_ns = returned->run_ns;
    action->blob = returned->blob;
    action->size_bytes = returned->size_bytes;
    action->device = returned->device;
    action->first = returned->first;
    action->attempts = subtask->spec.key.attempt;
    action->peer = peer ? peer->record.id : core->self.id;
    action->err = returned->result == PXI_RESULT_OK        ? PX_OK
                  : returned->result == PXI_RESULT_CRASHED ? PX_ECRASH
                  : subtask->over_limit                    ? PX_ETIMEOUT
                                                           : PX_EFAILED;
    if (!again)
        subtask_free (core, subtask);
}

static void wait_for_another (pxi_core *core, pxi_subtask *subtask)
{
    PXI_ASSERT (pxi_list_is_empty (&subtask->attempts));
    PXI_ASSERT (!pxi_list_holds (&subtask->in_retry));
    core->stats.attempts_redone++;
    subtask->state = SUBTASK_RETRY;
    pxi_list_add_last (&subtask->job->retry, &subtask->in_retry);
    pxi_straggler_watch (core, subtask->job);
    core->seek_pending = true;
}

/* It crashed its process at `where`: another peer is tried, as often as PXI_CRASHES_MAX allows. */
static void crashed (pxi_core *core, pxi_subtask *subtask, const pxi_peer *where, uint64_t blob,
                     uint32_t size_bytes)
{
    core->stats.attempts_crashed++;
    subtask->crashes++;
    if (subtask->crashes >= PXI_CRASHES_MAX && !PXI_MUTANT (CRASHES_FOREVER)) {
        SAY (core, "s%llu crashed %u times -> that is its outcome", (unsigned long long)subtask->id,
             subtask->crashes);
        const pxi_returned outcome = {
            .result = PXI_RESULT_CRASHED, .size_bytes = size_bytes, .blob = blob};
        complete (core, subtask, &outcome, where);
        return;
    }
    pxi_core_forget (core, subtask->crash_blob);
    subtask->crash_blob = blob;
    subtask->crash_size = size_bytes;
    subtask->crashed_at = where ? where->record.id : core->self.id;
    if (!pxi_list_is_empty (&subtask->attempts))
        return;
    SAY (core, "s%llu crashed at %s -> waits for another peer", (unsigned long long)subtask->id,
         pxi_core_name (where));
    subtask->retry_until_ns = core->now_ns + RETRY_PATIENCE_NS;
    wait_for_another (core, subtask);
}

/* What crashed at a peer must not come to one that nobody chose: any thread here would take it. */
void pxi_branch_put_back (pxi_core *core, pxi_subtask *subtask)
{
    if (subtask->crashed_at)
        wait_for_another (core, subtask);
    else
        pxi_branch_give_back (core, subtask);
}

/* Where it can be tried here as well, only one that answers and at which it has not crashed is waited for. */
static bool may_another (pxi_core *core, const pxi_subtask *subtask)
{
    if (!core->config.isolated)
        return core->n_responsive;
    const pxi_peer *crashed_at = pxi_view_find (core, subtask->crashed_at);
    return core->n_responsive > (crashed_at && pxi_view_responsive (crashed_at));
}

void pxi_branch_check_retry (pxi_core *core, pxi_job *job)
{
    PXI_LIST_EACH_SAFE (link, &job->retry)
    {
        pxi_subtask *subtask = PXI_LIST_ENTRY (link, pxi_subtask, in_retry);
        if (core->now_ns < subtask->retry_until_ns && may_another (core, subtask))
            continue;
        pxi_list_remove (&subtask->in_retry);
        if (core->config.isolated && !pxi_crashers_find (core, &subtask->spec)) {
            pxi_branch_give_back (core, subtask);
            continue;
        }
        SAY (core, "s%llu crashed and nobody else can try -> that is its outcome",
             (unsigned long long)subtask->id);
        const pxi_returned outcome = {.result = PXI_RESULT_CRASHED,
                                      .size_bytes = subtask->crash_size,
                                      .blob = subtask->crash_blob};
        subtask->crash_blob = 0;
        complete (core, subtask, &outcome, pxi_view_find (core, subtask->crashed_at));
    }
}

/* Who says that it is free and hands back what it is given in time would be sent it again at once, for ever. What
 * comes back together is one pause. */
static void pause_for (pxi_core *core, pxi_peer *peer)
{
    if (core->now_ns < peer->returned_until_ns)
        return;
    peer->returned_until_ns = core->now_ns + (RETURNED_PAUSE_NS << peer->n_returned);
    peer->n_returned += peer->n_returned < RETURNED_DOUBLINGS;
}

/* It never started: nothing was lost but a message or two. */
static void not_started (pxi_core *core, pxi_attempt_state *attempt)
{
    pxi_subtask *subtask = attempt->subtask;
    SAY (core, "%s did not start s%llu.%u -> takeable again", pxi_core_name (attempt->peer),
         (unsigned long long)subtask->id, attempt->number);
    bool broken = attempt->peer && !attempt->device && !attempt->late;
    if (attempt->peer && attempt->device)
        pxi_device_refused_there (core, attempt->peer, &subtask->spec);
    else if (broken)
        pause_for (core, attempt->peer);
    pxi_branch_attempt_free (core, attempt);
    if (broken)
        pxi_adapt_broken (core, subtask->branch);
    if (pxi_list_is_empty (&subtask->attempts))
        pxi_branch_give_back (core, subtask);
}

void pxi_branch_lost (pxi_core *core, pxi_attempt_state *attempt)
{
    pxi_subtask *subtask = attempt->subtask;
    core->stats.attempts_lost++;
    count_extra (core, attempt);
    pxi_branch_attempt_free (core, attempt);
    pxi_adapt_broken (core, subtask->branch);
    if (!pxi_list_is_empty (&subtask->attempts))
        return;
    SAY (core, "s%llu has no attempt left -> takeable again", (unsigned long long)subtask->id);
    core->stats.attempts_redone++;
    pxi_branch_give_back (core, subtask);
}

void pxi_branch_undone (pxi_core *core, pxi_attempt_state *attempt, uint64_t blob,
                        uint32_t size_bytes)
{
    pxi_subtask *subtask = attempt->subtask;
    pxi_peer *where = attempt->peer;
    uint32_t device = attempt->device;
    uint64_t peer = where ? where->record.id : core->self.id;
    SAY (core, "device %u of %s did not do s%llu.%u -> takeable again", device,
         pxi_core_name (where), (unsigned long long)subtask->id, attempt->number);
    pxi_device_moved (core, subtask->job);
    if (where)
        pxi_device_refused_there (core, where, &subtask->spec);
    count_extra (core, attempt);
    pxi_branch_attempt_free (core, attempt);
    if (!pxi_list_is_empty (&subtask->attempts)) {
        pxi_core_forget (core, blob);
        return;
    }
    const pxi_returned why = {.blob = blob, .size_bytes = size_bytes, .device = device};
    give_back (core, subtask, &why, peer);
}

/* What else is late where it was not first needs no budget (straggler.c), until something comes from there in time. */
static void beat_others (const pxi_subtask *subtask, const pxi_attempt_state *winner)
{
    if (winner->peer)
        winner->peer->beaten &= winner->overtaken;
    PXI_LIST_EACH (link, &subtask->attempts)
    {
        const pxi_attempt_state *attempt = PXI_LIST_ENTRY (link, pxi_attempt_state, in_subtask);
        if (attempt->overtaken && attempt != winner)
            attempt->peer->beaten = true;
    }
}

static void won (pxi_core *core, pxi_attempt_state *attempt, const pxi_returned *returned)
{
    pxi_subtask *subtask = attempt->subtask;
    pxi_job *job = subtask->job;
    pxi_peer *where = attempt->peer;
    uint64_t run_ns = returned->run_ns;
    pxi_returned outcome = *returned;
    outcome.device = attempt->device;
    if (where)
        where->n_returned = 0;
    if (where && pxi_view_full_of_ours (where))
        job->home_until_ns = 0; /* it was refused for what it had */
    core->stats.work_ns += run_ns;
    core->stats.results_received += where != NULL;
    job->work_ns += run_ns;
    job->extra_won += attempt->speculative;
    if (subtask->spec.n_items) {
        pxi_straggler_chunk (job, subtask->spec.n_items, run_ns);
        pxi_device_moved (core, job);
    } else {
        pxi_straggler_sample (job, subtask->spec.task, run_ns);
        pxi_estimate_result (core, attempt, run_ns, returned->size_bytes);
    }
    SAY (core, "s%llu.%u done at %s -> delivered", (unsigned long long)subtask->id, attempt->number,
         pxi_core_name (where));
    beat_others (subtask, attempt);
    bool pays = where && subtask->n_attempts == 1 && pxi_adapt_pays (core, attempt, run_ns);
    pxi_branch_attempt_free (core, attempt);
    if (pays)
        pxi_adapt_paid (core, subtask->branch);
    complete (core, subtask, &outcome, where);
}

void pxi_branch_result (pxi_core *core, pxi_attempt_state *attempt, const pxi_returned *returned)
{
    pxi_subtask *subtask = attempt->subtask;
    pxi_peer *where = attempt->peer;
    switch (returned->result) {
    case PXI_RESULT_OK:
    case PXI_RESULT_FAILED:
        won (core, attempt, returned);
        return;
    case PXI_RESULT_CRASHED:
        count_extra (core, attempt);
        pxi_branch_attempt_free (core, attempt);
        crashed (core, subtask, where, returned->blob, returned->size_bytes);
        return;
    case PXI_RESULT_CANNOT:
        if (where) {
            where->cannot_module = subtask->spec.module;
            where->cannot_until_ns = core->now_ns + 30 * PXI_SECOND;
        }
        break;
    case PXI_RESULT_LOST:
        pxi_core_forget (core, returned->blob);
        pxi_branch_lost (core, attempt);
        return;
    case PXI_RESULT_RETURNED:
        if (!attempt->device || !returned->device)
            break;
        pxi_branch_undone (core, attempt, returned->blob, returned->size_bytes);
        return;
    }
    pxi_core_forget (core, returned->blob);
    not_started (core, attempt);
}

/* Its worker ends it at its limit, if the task looks whether it is cancelled. Twice the limit, since what waits for a
 * slot there is counted. */
bool pxi_branch_limit (pxi_core *core, pxi_attempt_state *attempt, uint64_t run_ns)
{
    pxi_subtask *subtask = attempt->subtask;
    if (!subtask->limit_ns || run_ns / 2 < subtask->limit_ns + core->handshake_ns)
        return false;
    SAY (core, "s%llu.%u at %s over its time limit -> given up", (unsigned long long)subtask->id,
         attempt->number, pxi_core_name (attempt->peer));
    const pxi_returned over = {.result = PXI_RESULT_FAILED, .run_ns = run_ns};
    subtask->over_limit = true;
    complete (core, subtask, &over, attempt->peer);
    return true;
}

/* ---- messages ---------------------------------------------------------------------------------
 */

/* The job that it was for; NULL: nobody waits for it any more. */
static pxi_job *take_result (pxi_core *core, const pxi_peer *from, const pxi_returned *returned)
{
    pxi_attempt_state *attempt = pxi_branch_find (core, from, returned->key);
    if (!attempt) {
        core->stats.results_late++;
        core->stats.extra_ns += returned->run_ns;
        SAY (core, "late result of s%llu.%u from %s -> dropped",
             (unsigned long long)returned->key.subtask, returned->key.attempt,
             pxi_core_name (from));
        pxi_core_forget (core, returned->blob);
        return NULL;
    }
    pxi_job *job = attempt->subtask->job;
    pxi_branch_result (core, attempt, returned);
    return job;
}

void pxi_branch_message (pxi_core *core, pxi_peer *from, const pxi_message *message)
{
    pxi_job *job = NULL;
    for (uint32_t i = 0; i < message->n_results; i++) {
        pxi_job *one = take_result (core, from, &message->results[i]);
        job = one ? one : job;
    }
    if (job && message->n_slots)
        pxi_place_free_at (core, job, from);
    else if (job)
        pxi_place_ahead (core, job, from);
}

/* ---- endings ----------------------------------------------------------------------------------
 */

static void subtask_cancel (pxi_core *core, pxi_subtask *subtask)
{
    cancel_all_attempts (core, subtask, false);
    subtask_free (core, subtask);
}

/* Subtasks go one by one, and the last takes the branch with it: so the branch is looked up each
 * time. */
void pxi_branch_closed (pxi_core *core, uint64_t id)
{
    pxi_branch *branch = pxi_map_pointer (&core->branches, id);
    if (branch)
        SAY (core, "branch b%llu closed -> what is away is cancelled", (unsigned long long)id);
    while ((branch = pxi_map_pointer (&core->branches, id)))
        subtask_cancel (
            core, PXI_LIST_ENTRY (pxi_list_first (&branch->subtasks), pxi_subtask, in_branch));
}

void pxi_branch_end_job (pxi_core *core, pxi_job *job)
{
    for (pxi_list *link; (link = pxi_list_first (&job->branches));)
        pxi_branch_closed (core, PXI_LIST_ENTRY (link, pxi_branch, in_job)->id);
}
