/* Serving: jobs that are here, runs for masters, volunteering. Slots are shared in core/share.c.
 *
 * Invariants: n_runs of a job is the number of its runs; a job is freed when it has no run, no
 * subtask away and no take under way; a stopped run has no master any more. */
#include <string.h>

#include "core/state.h"

enum {
    VOLUNTEER_TRIES = 40, /* without success, until there is new evidence of work */
    VOLUNTEER_STEPS = 4,  /* 1 ms << 4 = 16 ms (SCIENCE.md 1.3) */
    VOLUNTEER_SLOTS = 4,
};
#define CANNOT_NS (30 * PXI_SECOND)
#define HOST_BUSY_RETRY_NS PXI_SECOND
#define SENT_FOR_NS(core) (4 * (core)->handshake_ns) /* a lost result is asked for within two */

/* ---- jobs -------------------------------------------------------------------------------------
 */

static uint64_t job_hash (pxi_job_id id)
{
    return pxi_mix64 (id.origin ^ pxi_mix64 (id.number));
}

static bool job_is (const pxi_job *job, pxi_job_id id)
{
    return pxi_same_job (job->id, id);
}

pxi_job *pxi_worker_find_job (pxi_core *core, pxi_job_id id)
{
    pxi_job *job = pxi_map_pointer (&core->jobs, job_hash (id));
    while (job && !job_is (job, id))
        job = job->same_hash;
    return job;
}

static uint32_t claims_of (const pxi_core *core, pxi_job_id id)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < core->n_ring; i++)
        n += pxi_same_job (core->ring[i].job, id);
    return n;
}

static pxi_job *job_new (pxi_core *core, pxi_job_id id, uint64_t module)
{
    if (core->n_jobs == PXI_JOBS_MAX)
        return NULL;
    pxi_job *job = pxi_core_alloc (core, sizeof *job);
    if (!job)
        return NULL;
    job->id = id;
    job->module = module;
    job->allowed = UINT32_MAX; /* not told yet */
    job->claims = claims_of (core, id);
    pxi_share_remember (core, job);
    job->same_hash = pxi_map_pointer (&core->jobs, job_hash (id));
    pxi_list_init (&job->subtasks);
    pxi_list_init (&job->branches);
    pxi_list_init (&job->retry);
    if (!pxi_map_put_pointer (&core->jobs, job_hash (id), job)) {
        pxi_core_release (core, job, sizeof *job);
        return NULL;
    }
    pxi_list_add_last (&core->all_jobs, &job->in_core);
    core->n_jobs++;
    return job;
}

pxi_job *pxi_worker_job (pxi_core *core, pxi_job_id id, uint64_t module)
{
    pxi_job *job = pxi_worker_find_job (core, id);
    return job ? job : job_new (core, id, module);
}

static void job_unmap (pxi_core *core, pxi_job *job)
{
    pxi_job *first = pxi_map_remove_pointer (&core->jobs, job_hash (job->id));
    pxi_job **link = &first;
    while (*link != job)
        link = &(*link)->same_hash;
    *link = job->same_hash;
    if (first)
        pxi_map_put_pointer (&core->jobs, job_hash (first->id), first);
}

static void job_close (pxi_core *core, pxi_job *job)
{
    pxi_branch_end_job (core, job);
    pxi_place_end (core, job);
    pxi_timer_clear (core, &job->seek);
    pxi_timer_clear (core, &job->straggler);
    pxi_share_keep (core, job);
    job_unmap (core, job);
    pxi_list_remove (&job->in_core);
    core->n_jobs--;
    core->share_pending = true;
    pxi_core_act (core, PXI_DO_CLOSE_JOB)->job = job->id;
    pxi_core_release (core, job->adapts, PXI_ADAPTS_MAX * sizeof *job->adapts);
    pxi_core_release (core, job, sizeof *job);
}

void pxi_worker_close_jobs (pxi_core *core)
{
    core->close_pending = false;
    PXI_LIST_EACH_SAFE (link, &core->all_jobs)
    {
        pxi_job *job = PXI_LIST_ENTRY (link, pxi_job, in_core);
        if (!job->n_runs)
            job_close (core, job);
    }
}

bool pxi_worker_can (const pxi_core *core, uint64_t module)
{
    for (uint32_t i = 0; i < core->self.n_modules; i++) {
        if (core->self.modules[i] == module)
            return true;
    }
    /* More modules than the record holds: the driver answers with PXI_RESULT_CANNOT when it has
     * none. */
    return (core->self.flags & PXI_PEER_MORE_MODULES) != 0;
}

/* ---- runs -------------------------------------------------------------------------------------
 */

static pxi_run *run_new (pxi_core *core, pxi_job *job, pxi_peer *master, const pxi_attempt *spec)
{
    pxi_run *run = pxi_core_alloc (core, sizeof *run);
    if (!run)
        return NULL;
    run->id = pxi_core_new_id (core);
    run->job = job;
    run->master = master;
    run->spec = *spec;
    run->started_ns = core->now_ns;
    run->owns_input = master || run->id == job->root;
    pxi_list_init (&run->at_master);
    pxi_list_init (&run->in_shared);
    if (!pxi_map_put_pointer (&core->runs, run->id, run)) {
        pxi_core_release (core, run, sizeof *run);
        return NULL;
    }
    bool held = !spec->device ||
                pxi_device_hold (core, spec->device, pxi_device_key (spec->module, spec->task));
    if (!held || !pxi_shared_need (core, run)) {
        if (held && spec->device)
            pxi_device_release (core, spec->device, pxi_device_key (spec->module, spec->task));
        pxi_map_remove (&core->runs, run->id, NULL);
        pxi_core_release (core, run, sizeof *run);
        return NULL;
    }
    if (spec->device)
        pxi_device_begins (core, run);
    pxi_list_add_last (&core->all_runs, &run->in_core);
    core->n_runs++;
    job->n_runs++;
    job->runs_sent += !run->spec.device; /* no thread takes it up */
    job->run_ns = core->now_ns;
    if (master) {
        if (!master->n_runs)
            master->mastered_ns = core->now_ns;
        pxi_list_add_last (&master->runs, &run->at_master);
        master->n_runs++;
        pxi_handshake_begin (core, master);
    }
    core->share_pending = true;
    if (!run->waits)
        pxi_worker_begin (core, run);
    return run;
}

void pxi_worker_begin (pxi_core *core, pxi_run *run)
{
    pxi_job *job = run->job;
    pxi_action *action = pxi_core_act (core, PXI_DO_RUN);
    action->run = run->id;
    action->job = job->id;
    action->attempt = run->spec;
    action->attempt.shared_blob = run->shared ? run->shared->blob : 0;
    action->peer = run->master ? run->master->record.id : 0;
    action->root = run->id == job->root;
    bool in_slot = !action->root && !run->spec.device;
    const pxi_crasher *crasher = in_slot ? pxi_crashers_find (core, &run->spec) : NULL;
    if (!crasher)
        return;
    action->flag = true;
    action->culprit = crasher->culprit;
    SAY (core, "s%llu.%u has crashed here %u times -> not started again",
         (unsigned long long)run->spec.key.subtask, run->spec.key.attempt, crasher->count);
}

pxi_run *pxi_worker_run (pxi_core *core, pxi_job *job, pxi_peer *master, const pxi_attempt *spec)
{
    return pxi_branch_room (core) ? run_new (core, job, master, spec) : NULL;
}

static void run_detach (pxi_run *run)
{
    if (!run->master)
        return;
    pxi_list_remove (&run->at_master);
    run->master->n_runs--;
    run->master = NULL;
}

static void run_free (pxi_core *core, pxi_run *run)
{
    run_detach (run);
    pxi_list_remove (&run->in_core);
    pxi_map_remove (&core->runs, run->id, NULL);
    core->n_runs--;
    run->job->n_runs--;
    run->job->ended_ns = core->now_ns;
    core->close_pending |= run->job->n_runs == 0;
    core->share_pending = true;
    if (run->shared)
        pxi_shared_leave (core, run->shared);
    if (run->spec.device)
        pxi_device_release (core, run->spec.device,
                            pxi_device_key (run->spec.module, run->spec.task));
    pxi_core_release (core, run, sizeof *run);
}

/* One that waits was never told to the driver, and never will be. */
static void run_drop (pxi_core *core, pxi_run *run)
{
    PXI_ASSERT (run->waits);
    run->job->runs_sent -= !run->spec.device;
    core->n_waiting--;
    run->job->n_waiting--;
    pxi_list_remove (&run->in_shared);
    pxi_core_forget (core, run->spec.blob);
    run_free (core, run);
}

void pxi_worker_stop (pxi_core *core, pxi_run *run)
{
    if (run->stopped)
        return;
    core->stats.attempts_abandoned += run->master != NULL;
    if (run->waits) {
        run_drop (core, run);
        return;
    }
    run_detach (run);
    run->stopped = true;
    if (PXI_MUTANT (STOP_NOT_TOLD))
        return;
    pxi_action *action = pxi_core_act (core, PXI_DO_STOP);
    action->run = run->id;
    action->job = run->job->id;
}

void pxi_worker_submit (pxi_core *core, const pxi_event *event)
{
    pxi_action *failed = NULL;
    pxi_job *job =
        core->draining ? NULL : pxi_worker_job (core, event->attempt.job, event->attempt.module);
    if (job) {
        job->root = core->next_id; /* the run's, so that its action says root */
        pxi_run *root = pxi_worker_run (core, job, NULL, &event->attempt);
        if (root) {
            PXI_ASSERT (root->id == job->root);
            SAY (core, "root submitted -> runs here");
            return;
        }
        core->close_pending = true;
    }
    pxi_core_forget (core, event->attempt.blob);
    failed = pxi_core_act (core, PXI_DO_COMPLETE);
    failed->root = true;
    failed->job = event->attempt.job;
    failed->result = PXI_RESULT_LOST;
    failed->err = core->draining ? PX_ESTATE : PX_EFULL;
}

/* ---- results that may be sent again -----------------------------------------------------------
 */

static uint64_t sent_hash (uint64_t peer, uint64_t incarnation, pxi_key key)
{
    uint64_t sender = pxi_mix64 (peer ^ pxi_mix64 (incarnation));
    return pxi_mix64 (sender ^ pxi_mix64 (key.subtask ^ pxi_mix64 (key.attempt)));
}

static uint64_t sent_hash_of (const pxi_sent_result *sent)
{
    return sent_hash (sent->peer, sent->peer_incarnation, sent->returned.key);
}

static void sent_drop (pxi_core *core, pxi_sent_result *sent)
{
    uint64_t hash = sent_hash_of (sent);
    if (pxi_map_pointer (&core->sent_by_key, hash) == sent)
        pxi_map_remove (&core->sent_by_key, hash, NULL);
    pxi_list_remove (&sent->in_core);
    core->n_sent--;
    pxi_core_forget (core, sent->returned.blob);
    pxi_core_release (core, sent, sizeof *sent);
}

static void sent_lapse (pxi_core *core)
{
    for (pxi_list *link; (link = pxi_list_first (&core->sent));) {
        pxi_sent_result *sent = PXI_LIST_ENTRY (link, pxi_sent_result, in_core);
        if (sent->until_ns > core->now_ns) {
            pxi_timer_set (core, &core->sent_timer, PXI_TIMER_SENT, core, sent->until_ns);
            return;
        }
        sent_drop (core, sent);
    }
}

static void sent_keep (pxi_core *core, const pxi_peer *master, const pxi_returned *returned)
{
    pxi_sent_result *sent = core->n_sent < SENT_MAX && returned->size_bytes <= SENT_SIZE_MAX
                                ? pxi_core_alloc (core, sizeof *sent)
                                : NULL;
    if (!sent) {
        pxi_core_forget (core, returned->blob);
        return;
    }
    *sent = (pxi_sent_result){.peer = master->record.id,
                              .peer_incarnation = master->record.incarnation,
                              .returned = *returned,
                              .sent_ns = core->now_ns,
                              .until_ns = core->now_ns + SENT_FOR_NS (core)};
    /* Out of memory: it is not found again, as if it had not been kept. */
    pxi_map_put_pointer (&core->sent_by_key, sent_hash_of (sent), sent);
    pxi_list_add_last (&core->sent, &sent->in_core);
    core->n_sent++;
    if (!pxi_timer_is_set (&core->sent_timer))
        pxi_timer_set (core, &core->sent_timer, PXI_TIMER_SENT, core, sent->until_ns);
}

/* Without memory they are lost on their way: the master will ask. */
static void send_results (pxi_core *core, const pxi_peer *master, const pxi_returned *results,
                          uint32_t n_results, uint32_t n_slots)
{
    pxi_returned *copy = pxi_core_scratch (core, n_results * sizeof *copy);
    if (!copy)
        return;
    memcpy (copy, results, n_results * sizeof *copy);
    pxi_message *message = pxi_core_send (core, master, PXI_RESULT);
    message->results = copy;
    message->n_results = n_results;
    message->n_slots = n_slots;
}

static pxi_sent_result *sent_find (pxi_core *core, const pxi_peer *master, pxi_key key)
{
    uint64_t hash = sent_hash (master->record.id, master->record.incarnation, key);
    pxi_sent_result *sent = pxi_map_pointer (&core->sent_by_key, hash);
    bool same = sent && sent->returned.key.subtask == key.subtask &&
                sent->returned.key.attempt == key.attempt && sent->peer == master->record.id &&
                sent->peer_incarnation == master->record.incarnation;
    return same ? sent : NULL;
}

/* Nobody gives it what it waits for: its master may try elsewhere. */
void pxi_worker_lose (pxi_core *core, pxi_run *run)
{
    SAY (core, "s%llu.%u has no shared input -> lost for %s",
         (unsigned long long)run->spec.key.subtask, run->spec.key.attempt,
         pxi_core_name (run->master));
    const pxi_returned lost = {.key = run->spec.key, .result = PXI_RESULT_LOST};
    send_results (core, run->master, &lost, 1, 0);
    run_drop (core, run);
}

/* The master lists an attempt that ended here: its result was lost, or is on its way. */
bool pxi_worker_resend (pxi_core *core, pxi_peer *master, pxi_key key)
{
    pxi_sent_result *sent = sent_find (core, master, key);
    if (!sent)
        return false;
    if (core->now_ns - sent->sent_ns <= pxi_view_trip_ns (master))
        return true;
    SAY (core, "%s still waits for s%llu.%u -> result sent again", pxi_core_name (master),
         (unsigned long long)key.subtask, key.attempt);
    sent->sent_ns = core->now_ns;
    send_results (core, master, &sent->returned, 1, 0);
    return true;
}

/* ---- a run ends -------------------------------------------------------------------------------
 */

/* What was gathered goes to its master. He cannot have restarted meanwhile: every message finds it sent. */
void pxi_worker_flush (pxi_core *core)
{
    pxi_peer *master = core->returning_to;
    uint32_t n = core->n_returning;
    if (!n)
        return;
    core->n_returning = 0;
    core->returning_to = NULL;
    send_results (core, master, core->returning, n, core->returning_slots);
    for (uint32_t i = 0; i < n; i++)
        sent_keep (core, master, &core->returning[i]);
    master->pins--;
    pxi_view_unref (core, master);
}

/* Results that come fast go in one message; the driver says when none is at hand. */
static void gather (pxi_core *core, pxi_peer *master, const pxi_returned *returned)
{
    if (core->returning_to != master)
        pxi_worker_flush (core);
    if (!core->n_returning) {
        core->returning_to = master;
        master->pins++;
    }
    core->returning[core->n_returning++] = *returned;
}

/* A chunk that its device did not do has not been started, as far as anybody else is concerned. */
static pxi_returned returned_of (const pxi_run *run, const pxi_event *event)
{
    bool undone = run->spec.device && event->device_failed;
    return (pxi_returned){.key = run->spec.key,
                          .result = undone ? PXI_RESULT_RETURNED : event->result,
                          .size_bytes = event->size_bytes,
                          .run_ns = event->run_ns,
                          .blob = event->blob,
                          .device = run->spec.device,
                          .first = event->first};
}

static void finished_for_master (pxi_core *core, pxi_run *run, const pxi_event *event)
{
    SAY (core, "s%llu.%u ended -> result to %s", (unsigned long long)run->spec.key.subtask,
         run->spec.key.attempt, pxi_core_name (run->master));
    const pxi_returned returned = returned_of (run, event);
    gather (core, run->master, &returned);
    core->returning_slots = pxi_share_free_soon (core, run->job);
    if (core->n_returning == PXI_RESULTS_MAX || event->size_bytes > PXI_INLINE_SIZE_MAX)
        pxi_worker_flush (core);
}

/* A root that crashed its executor is tried again here, as often as any subtask would be; one that
 * a subtask took with it more often, but not for ever. */
static bool root_again (pxi_core *core, pxi_run *root, const pxi_event *event)
{
    uint32_t crashes = root->crashes + (event->result == PXI_RESULT_CRASHED);
    bool failed = event->result == PXI_RESULT_CRASHED || event->result == PXI_RESULT_LOST;
    if (!failed || root->stopped || crashes >= PXI_CRASHES_MAX ||
        root->spec.key.attempt >= PXI_ROOT_RUNS_MAX)
        return false;
    pxi_job *job = root->job;
    pxi_branch_end_job (core, job);
    uint64_t before = job->root;
    job->root = core->next_id;
    root->spec.key.attempt++;
    pxi_run *again = run_new (core, job, NULL, &root->spec); /* in the place of this one */
    if (!again) {
        job->root = before;
        return false;
    }
    SAY (core, "root crashed -> run again");
    root->owns_input = false;
    again->crashes = crashes;
    core->stats.attempts_crashed += event->result == PXI_RESULT_CRASHED;
    core->stats.attempts_redone++;
    return true;
}

static void finished_root (pxi_core *core, pxi_run *root, const pxi_event *event)
{
    if (root_again (core, root, event)) {
        pxi_core_forget (core, event->blob);
        return;
    }
    pxi_job *job = root->job;
    job->root = 0;
    core->stats.work_ns += event->run_ns;
    pxi_action *action = pxi_core_act (core, PXI_DO_COMPLETE);
    action->root = true;
    action->job = job->id;
    action->result = event->result;
    action->blob = event->blob;
    action->size_bytes = event->size_bytes;
    action->attempts = root->spec.key.attempt;
    action->peer = core->self.id;
    action->err = event->result == PXI_RESULT_OK        ? PX_OK
                  : event->result == PXI_RESULT_CRASHED ? PX_ECRASH
                  : event->result == PXI_RESULT_LOST    ? PX_ELOST
                                                        : PX_EFAILED;
    SAY (core, "root ended -> job done");
}

void pxi_worker_finished (pxi_core *core, const pxi_event *event)
{
    pxi_run *run = pxi_map_pointer (&core->runs, event->run);
    if (!run) {
        pxi_core_forget (core, event->blob);
        return;
    }
    pxi_job *job = run->job;
    pxi_attempt_state *redo = run->redo;
    if (event->digest) {
        run->spec.digest = event->digest;
        pxi_crashers_note (core, &run->spec, event->task);
    }
    if (run->spec.device)
        pxi_device_finished (core, run, event);
    else if (run->spec.n_items && !run->stopped && event->result == PXI_RESULT_OK)
        pxi_device_slot_did (core, job, run->spec.task, run->spec.n_items, event->run_ns);
    if (run->id == job->root) {
        finished_root (core, run, event);
    } else if (run->stopped) {
        core->stats.extra_ns += event->run_ns;
        pxi_core_forget (core, event->blob);
    } else if (redo) {
        const pxi_returned returned = returned_of (run, event);
        pxi_branch_result (core, redo, &returned);
    } else if (run->master) {
        finished_for_master (core, run, event);
    } else {
        pxi_core_forget (core, event->blob);
    }
    if (run->owns_input)
        pxi_core_forget (core, run->spec.blob);
    bool tree = job->nests;
    run_free (core, run);
    /* A loop's master is told by the result itself. */
    pxi_worker_volunteer_soon (core, tree ? VOLUNTEER_TRIES : 0);
}

void pxi_worker_progress (pxi_core *core, const pxi_event *event)
{
    pxi_run *run = pxi_map_pointer (&core->runs, event->run);
    if (!run)
        return;
    run->progress = event->progress;
    if (run->master && event->progress) /* its like elsewhere will have subtasks too */
        run->job->nests = run->job->heard_of = true;
}

void pxi_worker_cancel_job (pxi_core *core, pxi_job_id id)
{
    pxi_job *job = pxi_worker_find_job (core, id);
    pxi_run *root = job && job->root ? pxi_map_pointer (&core->runs, job->root) : NULL;
    if (!root)
        return;
    SAY (core, "job cancelled -> root stopped");
    pxi_worker_stop (core, root);
}

/* ---- messages ---------------------------------------------------------------------------------
 */

void pxi_worker_busy (pxi_core *core, const pxi_peer *to, const pxi_message *probe, bool reserved,
                      uint64_t retry_ns)
{
    pxi_message *message = pxi_core_send (core, to, PXI_BUSY);
    message->probe = probe->probe;
    message->reserve = reserved;
    message->duration_ns = retry_ns;
    SAY (core, "probe from %s, no slot free -> busy%s", pxi_core_name (to),
         reserved ? ", reserved" : "");
}

void pxi_worker_cannot (pxi_core *core, const pxi_peer *to, const pxi_message *probe, uint32_t err,
                        uint64_t pause_ns)
{
    pxi_message *message = pxi_core_send (core, to, PXI_CANNOT);
    message->probe = probe->probe;
    message->err = err;
    message->duration_ns = pause_ns;
    SAY (core, "probe from %s -> cannot: %s", pxi_core_name (to), px_err_text ((px_err)err));
}

static void drop_payloads (pxi_core *core, const pxi_message *message)
{
    for (uint32_t i = 0; i < message->n_attempts; i++)
        pxi_core_forget (core, message->attempts[i].blob);
}

static bool in_hand (const pxi_peer *master, pxi_key key)
{
    PXI_LIST_EACH (link, &master->runs)
    {
        const pxi_run *run = PXI_LIST_ENTRY (link, pxi_run, at_master);
        if (run->spec.key.subtask == key.subtask && run->spec.key.attempt == key.attempt)
            return true;
    }
    return false;
}

static bool start (pxi_core *core, pxi_peer *master, const pxi_attempt *spec)
{
    pxi_job *job = pxi_worker_job (core, spec->job, spec->module);
    bool started = job && pxi_worker_run (core, job, master, spec);
    core->close_pending |= job && !job->n_runs; /* no room: nobody may come to use it */
    return started;
}

static void answer_free (pxi_core *core, pxi_peer *from, const pxi_message *probe, bool accepted)
{
    uint32_t free_slots = core->n_ring ? 0 : pxi_share_free (core);
    uint32_t useful = probe->n_slots > accepted ? probe->n_slots - accepted : 0;
    uint32_t n_slots = useful < free_slots ? useful : free_slots;
    pxi_lease *lease = n_slots ? pxi_lease_give (core, from, n_slots) : NULL;
    pxi_message *message = pxi_core_send (core, from, PXI_OFFER);
    message->probe = probe->probe;
    message->job = probe->job;
    message->accepted = accepted;
    message->lease = lease ? lease->id : 0;
    message->n_slots = lease ? lease->n_slots : 0;
    message->duration_ns = pxi_lease_ttl_ns (core, from);
    SAY (core, "probe from %s, slots free -> %s, %u leased", pxi_core_name (from),
         accepted ? "its subtask runs" : "free", message->n_slots);
}

static void hand_back (pxi_core *core, const pxi_peer *master, const pxi_attempt *spec,
                       pxi_result result)
{
    SAY (core, "s%llu.%u cannot start -> handed back to %s", (unsigned long long)spec->key.subtask,
         spec->key.attempt, pxi_core_name (master));
    send_results (core, master, &(pxi_returned){.key = spec->key, .result = result}, 1, 0);
    pxi_core_forget (core, spec->blob);
}

static bool has_come (pxi_core *core, const pxi_peer *from, pxi_key key)
{
    return in_hand (from, key) || sent_find (core, from, key);
}

/* Of subtasks that come together the first has the slot, the others wait for it; what there is no room for goes back
 * as what cannot start. One that is here already is not started beside itself: of the first nothing may be known any
 * more when the probe comes again. */
static bool start_all (pxi_core *core, pxi_peer *from, const pxi_message *probe)
{
    if (!probe->has_inline || !start (core, from, &probe->attempts[0]))
        return false;
    for (uint32_t i = 1; i < probe->n_attempts && !PXI_MUTANT (BATCH_BY_ITS_FIRST); i++) {
        const pxi_attempt *spec = &probe->attempts[i];
        if (has_come (core, from, spec->key))
            pxi_core_forget (core, spec->blob);
        else if (!start (core, from, spec))
            hand_back (core, from, spec, PXI_RESULT_RETURNED);
    }
    return true;
}

static bool came_before (pxi_core *core, const pxi_peer *from, const pxi_message *probe)
{
    return probe->has_inline && !PXI_MUTANT (PROBE_TWICE) &&
           has_come (core, from, probe->attempts[0].key);
}

static void on_probe (pxi_core *core, pxi_peer *from, const pxi_message *message)
{
    core->stats.probes_received++;
    if (came_before (core, from, message)) {
        drop_payloads (core, message);
        return;
    }
    bool accepted = false;
    if (core->draining) {
        pxi_worker_cannot (core, from, message, PX_ESTATE, CANNOT_NS);
    } else if (!pxi_worker_can (core, message->module)) {
        pxi_worker_cannot (core, from, message, PX_ENOMODULE, CANNOT_NS);
    } else if (!pxi_shared_fits (core, message)) {
        pxi_worker_cannot (core, from, message, PX_ETOOBIG, CANNOT_NS);
    } else if (message->for_device) {
        pxi_device_asked (core, from, message);
    } else if (core->host_busy) {
        pxi_worker_busy (core, from, message, false, HOST_BUSY_RETRY_NS);
    } else if (pxi_device_is_in_the_way (core, message->job)) {
        pxi_worker_busy (core, from, message, false, core->config.quantum_ns);
    } else if (!pxi_share_free (core) && !pxi_share_ahead (core, message)) {
        bool reserved = message->reserve && pxi_lease_reserve (core, from, message);
        pxi_worker_busy (core, from, message, reserved, core->config.quantum_ns);
    } else {
        accepted = start_all (core, from, message);
        answer_free (core, from, message, accepted);
    }
    core->share_pending = true;
    if (!accepted)
        drop_payloads (core, message);
}

/* Its slots may be somebody else's by now. But the bytes are here, and over a slow link took longer than any lease is
 * kept: what another lease of the same master holds is as good, else what is free. */
static uint32_t slots_without_lease (pxi_core *core, const pxi_peer *master)
{
    pxi_lease *other = pxi_lease_other (core, master);
    if (other) {
        uint32_t n_slots = other->n_slots;
        pxi_lease_end (core, other);
        return n_slots;
    }
    return core->n_ring || core->draining || core->host_busy ? 0 : pxi_share_free (core);
}

/* What comes beyond its slots waits for them: its master knows it to be short. */
static void on_dispatch (pxi_core *core, pxi_peer *from, const pxi_message *message)
{
    pxi_lease *lease = pxi_lease_find (core, from, message->lease);
    uint32_t n_slots = lease ? lease->n_slots : slots_without_lease (core, from);
    uint32_t device = lease ? lease->device : 0;
    uint32_t n_most = device ? n_slots : n_slots * PXI_BATCH_MAX;
    if (lease)
        pxi_lease_end (core, lease);
    for (uint32_t i = 0; i < message->n_attempts; i++) {
        const pxi_attempt *spec = &message->attempts[i];
        if (!PXI_MUTANT (DISPATCH_TWICE) && has_come (core, from, spec->key))
            pxi_core_forget (core, spec->blob); /* the dispatch came twice */
        else if (!pxi_worker_can (core, spec->module) ||
                 spec->shared.size_bytes > core->config.shared_size_max)
            hand_back (core, from, spec, PXI_RESULT_CANNOT);
        else if ((i >= n_most && !PXI_MUTANT (LEASE_LAPSED)) || spec->device != device ||
                 !start (core, from, spec))
            hand_back (core, from, spec, PXI_RESULT_RETURNED);
    }
    core->share_pending = true;
}

static void on_decline (pxi_core *core, pxi_peer *from, const pxi_message *message)
{
    pxi_lease *lease = message->lease ? pxi_lease_find (core, from, message->lease) : NULL;
    if (lease)
        pxi_lease_end (core, lease);
    if (message->device)
        pxi_device_declined (core, from, message->device);
    for (uint32_t i = 0; i < core->n_ring && message->probe; i++) {
        if (core->ring[i].peer == from->record.id && core->ring[i].probe == message->probe) {
            pxi_lease_unreserve (core, i);
            break;
        }
    }
    core->share_pending = true;
    pxi_worker_volunteer_soon (core, 0);
}

static void on_cancel (pxi_core *core, pxi_peer *from, const pxi_message *message)
{
    for (uint32_t k = 0; k < message->n_keys; k++) {
        PXI_LIST_EACH_SAFE (link, &from->runs)
        {
            pxi_run *run = PXI_LIST_ENTRY (link, pxi_run, at_master);
            if (run->spec.key.subtask == message->keys[k].subtask &&
                run->spec.key.attempt == message->keys[k].attempt) {
                SAY (core, "%s cancels s%llu.%u -> stopped", pxi_core_name (from),
                     (unsigned long long)run->spec.key.subtask, run->spec.key.attempt);
                pxi_worker_stop (core, run);
            }
        }
    }
}

void pxi_worker_message (pxi_core *core, pxi_peer *from, const pxi_message *message)
{
    switch (message->kind) {
    case PXI_PROBE:
        on_probe (core, from, message);
        break;
    case PXI_DISPATCH:
        on_dispatch (core, from, message);
        break;
    case PXI_DECLINE:
        on_decline (core, from, message);
        break;
    case PXI_CANCEL:
        on_cancel (core, from, message);
        break;
    default:
        drop_payloads (core, message);
        break;
    }
}

/* ---- a master is lost, this peer leaves -------------------------------------------------------
 */

void pxi_worker_abandon (pxi_core *core, pxi_peer *master)
{
    for (pxi_list *link; !PXI_MUTANT (NEVER_ABANDONS) && (link = pxi_list_first (&master->runs));)
        pxi_worker_stop (core, PXI_LIST_ENTRY (link, pxi_run, at_master));
}

void pxi_worker_forget_peer (pxi_core *core, pxi_peer *peer)
{
    pxi_worker_abandon (core, peer);
    for (uint32_t i = core->n_ring; i-- > 0;) {
        if (core->ring[i].peer == peer->record.id)
            pxi_lease_unreserve (core, i);
    }
    PXI_LIST_EACH_SAFE (link, &core->leases)
    {
        pxi_lease *lease = PXI_LIST_ENTRY (link, pxi_lease, in_core);
        if (lease->master == peer)
            pxi_lease_end (core, lease);
    }
    pxi_shared_forget_peer (core, peer);
    core->share_pending = true;
}

void pxi_worker_hand_back (pxi_core *core)
{
    PXI_LIST_EACH_SAFE (link, &core->all_runs)
    {
        pxi_run *run = PXI_LIST_ENTRY (link, pxi_run, in_core);
        const pxi_returned returned = {.key = run->spec.key, .result = PXI_RESULT_RETURNED};
        if (run->master)
            send_results (core, run->master, &returned, 1, 0);
        pxi_worker_stop (core, run);
    }
}

/* ---- volunteering -----------------------------------------------------------------------------
 */

static bool idle (const pxi_core *core)
{
    return core->config.volunteers && !core->draining && !core->host_busy && !core->n_ring &&
           core->self.n_modules && core->n_responsive && pxi_share_free (core);
}

void pxi_worker_volunteer_soon (pxi_core *core, uint32_t tries)
{
    if (tries > core->volunteer_tries)
        core->volunteer_tries = tries;
    if (!core->volunteer_tries || pxi_timer_is_set (&core->volunteer) || !idle (core))
        return;
    uint32_t failed = VOLUNTEER_TRIES - core->volunteer_tries;
    uint32_t step = failed < VOLUNTEER_STEPS ? failed : VOLUNTEER_STEPS;
    uint64_t pause_ns = pxi_prng_below (&core->prng, PXI_MS << step);
    pxi_timer_set (core, &core->volunteer, PXI_TIMER_VOLUNTEER, core, core->now_ns + 1 + pause_ns);
}

static pxi_peer *volunteer_target (pxi_core *core)
{
    pxi_peer *known = core->volunteer_to ? pxi_view_find (core, core->volunteer_to) : NULL;
    core->volunteer_to = 0;
    if (known && !known->unresponsive && !known->leaving && !known->n_leases &&
        !pxi_lease_in_vain (known))
        return known;
    return pxi_view_pick (core, NULL, 0);
}

static void volunteer (pxi_core *core)
{
    pxi_peer *target = idle (core) ? volunteer_target (core) : NULL;
    if (!target)
        return;
    uint32_t n_slots = pxi_share_free (core);
    pxi_lease *lease =
        pxi_lease_give (core, target, n_slots < VOLUNTEER_SLOTS ? n_slots : VOLUNTEER_SLOTS);
    if (!lease)
        return;
    SAY (core, "idle -> %s offered %u slots unasked", pxi_core_name (target), lease->n_slots);
    core->stats.volunteered++;
    core->volunteer_tries--;
    pxi_lease_offer (core, lease, 0, (pxi_job_id){0, 0});
    core->share_pending = true;
    pxi_worker_volunteer_soon (core, 0);
}

void pxi_worker_timer (pxi_core *core, pxi_timer_kind kind)
{
    switch (kind) {
    case PXI_TIMER_QUANTUM:
        core->share_pending = core->quantum_due = true;
        break;
    case PXI_TIMER_VOLUNTEER:
        volunteer (core);
        break;
    case PXI_TIMER_SENT:
        sent_lapse (core);
        break;
    default:
        pxi_lease_lapse (core);
        core->share_pending = true;
        break;
    }
}
