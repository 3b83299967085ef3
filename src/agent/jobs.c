/* Jobs and their runs at this peer, for the core's actions: which executor an action concerns is
 * found by run, by job, or by the id of a subtask or branch, whose high bits name the execution
 * that handed it out. What concerns an execution that is gone is dropped: it was told to the core
 * when it went.
 *
 * Invariants: an execution has a job until CLOSE_JOB or its death, and again when the job comes back
 * while it rests; a run is in `runs` from RUN until FINISHED was told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/state.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/prng.h"
#include "wire/chain.h"

#define STOP_NS (2 * PXI_SECOND) /* for a stopped run to end, before its process is ended */
#define PROGRESS_NS (100 * PXI_MS)
enum { AWAY_MAX = 4096 }; /* attempts looked at for the progress of the roots */

/* ---- jobs -------------------------------------------------------------------------------------
 */

static uint64_t hash_of (pxi_job_id id)
{
    return pxi_mix64 (id.origin ^ pxi_mix64 (id.number));
}

pxi_agent_job *pxi_jobs_find (pxi_agent *agent, pxi_job_id id)
{
    pxi_agent_job *job = pxi_map_pointer (&agent->jobs, hash_of (id));
    while (job && !pxi_same_job (job->id, id))
        job = job->same_hash;
    return job;
}

static pxi_agent_job *job_ensure (pxi_agent *agent, pxi_job_id id)
{
    pxi_agent_job *job = pxi_jobs_find (agent, id);
    if (job)
        return job;
    job = calloc (1, sizeof *job);
    if (!job)
        return NULL;
    job->id = id;
    job->opened_ns = pxi_clock_ns ();
    job->same_hash = pxi_map_pointer (&agent->jobs, hash_of (id));
    if (!pxi_map_put_pointer (&agent->jobs, hash_of (id), job)) {
        free (job);
        return NULL;
    }
    pxi_list_init (&job->in_agent);
    pxi_list_add_last (&agent->all_jobs, &job->in_agent);
    agent->n_jobs++;
    return job;
}

static void unmap (pxi_agent *agent, pxi_agent_job *job)
{
    pxi_agent_job *first = pxi_map_remove_pointer (&agent->jobs, hash_of (job->id));
    pxi_agent_job **link = &first;
    while (*link != job)
        link = &(*link)->same_hash;
    *link = job->same_hash;
    if (first)
        pxi_map_put_pointer (&agent->jobs, hash_of (job->id), first);
}

static void root_let_go (pxi_agent *agent, pxi_agent_job *job)
{
    pxi_root *root = job->root;
    if (!root)
        return;
    job->root = NULL;
    agent->n_roots--;
    pxi_agent_alarm_off (agent, &job->timeout);
    pthread_mutex_lock (&root->lock);
    root->agent = NULL;
    pthread_mutex_unlock (&root->lock);
    pxi_root_release (root);
    pthread_mutex_lock (&agent->lock);
    agent->n_submitted--;
    pthread_mutex_unlock (&agent->lock);
}

static void job_free (pxi_agent *agent, pxi_agent_job *job)
{
    pxi_tracing_end (agent, job);
    root_let_go (agent, job);
    unmap (agent, job);
    pxi_list_remove (&job->in_agent);
    agent->n_jobs--;
    pxi_bytes_release (job->spec);
    free (job);
}

void pxi_jobs_close (pxi_agent *agent, const pxi_action *action)
{
    pxi_agent_job *job = pxi_jobs_find (agent, action->job);
    if (!job)
        return;
    if (job->execution)
        pxi_execution_rest (job->execution);
    job_free (agent, job);
}

/* ---- roots ------------------------------------------------------------------------------------
 */

static void finish_root (pxi_agent *agent, pxi_root *root, pxi_outcome *outcome,
                         const char *message)
{
    pxi_root_finish (root, outcome, agent->name, message);
}

static void root_fails (pxi_agent *agent, pxi_root *root, px_err code, const char *message)
{
    pxi_outcome outcome = {.code = code};
    finish_root (agent, root, &outcome, message);
}

static void submit_to_core (pxi_agent *agent, const pxi_root *root)
{
    pxi_blob blob = {pxi_bytes_acquire (root->spec), pxi_bytes_acquire (root->input), PX_OK};
    pxi_event event = {.kind = PXI_EV_SUBMIT};
    event.attempt = (pxi_attempt){.key = {0, 1},
                                  .job = root->id,
                                  .module = root->module->key,
                                  .task = root->task,
                                  .size_bytes = (uint32_t)pxi_bytes_size (root->input)};
    event.attempt.blob = pxi_blobs_put (&agent->blobs, blob);
    pxi_agent_step (agent, &event);
}

/* Takes the reference. */
void pxi_jobs_submit (pxi_agent *agent, pxi_root *root)
{
    pxi_agent_job *job = job_ensure (agent, root->id);
    if (!job) {
        root_fails (agent, root, PX_ENOMEM, NULL);
        pxi_root_release (root);
        pthread_mutex_lock (&agent->lock);
        agent->n_submitted--;
        pthread_mutex_unlock (&agent->lock);
        return;
    }
    job->root = root;
    job->module = root->module;
    job->spec = pxi_bytes_acquire (root->spec);
    pxi_tracing_begin (agent, job);
    if (agent->n_roots++ == 0)
        pxi_agent_alarm (agent, &agent->progress, PXI_ALARM_PROGRESS, agent,
                         pxi_clock_ns () + PROGRESS_NS);
    if (root->timeout_ns)
        pxi_agent_alarm (agent, &job->timeout, PXI_ALARM_TIMEOUT, job,
                         px_deadline_ns (root->timeout_ns));
    submit_to_core (agent, root);
}

/* Who waits for it hears at once; what still runs for it here and elsewhere is stopped, and the job
 * stays until that has ended. */
void pxi_jobs_cancel (pxi_agent *agent, pxi_root *root, px_err code, const char *message)
{
    pxi_job_id id = root->id;
    root_fails (agent, root, code, message);
    if (!pxi_jobs_find (agent, id))
        return;
    pxi_event event = {.kind = PXI_EV_JOB_CANCEL, .job = id};
    pxi_agent_step (agent, &event);
}

void pxi_jobs_cancel_all (pxi_agent *agent)
{
    for (bool found = true; found;) {
        found = false;
        PXI_LIST_EACH (link, &agent->all_jobs)
        {
            pxi_agent_job *job = PXI_LIST_ENTRY (link, pxi_agent_job, in_agent);
            if (!job->root)
                continue;
            pxi_root *root = pxi_root_acquire (job->root);
            root_let_go (agent, job);
            pxi_jobs_cancel (agent, root, PX_ECANCELLED, "its peer was closed");
            pxi_root_release (root);
            found = true; /* the list may have changed */
            break;
        }
    }
}

static void timed_out (pxi_agent *agent, pxi_agent_job *job)
{
    char message[64];
    snprintf (message, sizeof message, "not finished after %.3g s",
              (double)job->root->timeout_ns / 1e9);
    pxi_log (&agent->log, PX_LOG_NOTICE, "job", "%s: %s", job->root->full_name, message);
    pxi_jobs_cancel (agent, job->root, PX_ETIMEOUT, message);
}

static void count_away (pxi_agent *agent, pxi_job_id id, const pxi_away_look *looks, uint32_t n,
                        px_job_progress *progress)
{
    uint64_t peers[PXI_SHARES_MAX];
    uint32_t n_peers = 0;
    progress->attempts_away = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!pxi_same_job (looks[i].job, id) || looks[i].peer == agent->id)
            continue;
        progress->attempts_away++;
        uint32_t at = 0;
        while (at < n_peers && peers[at] != looks[i].peer)
            at++;
        if (at == n_peers && n_peers < PXI_SHARES_MAX)
            peers[n_peers++] = looks[i].peer;
    }
    progress->peers_working = n_peers;
}

void pxi_jobs_tell_progress (pxi_agent *agent)
{
    pxi_away_look *looks = agent->n_roots ? malloc (AWAY_MAX * sizeof *looks) : NULL;
    if (!looks)
        return;
    uint32_t n = pxi_core_away (agent->core, looks, AWAY_MAX);
    n = n < AWAY_MAX ? n : AWAY_MAX;
    PXI_LIST_EACH (link, &agent->all_jobs)
    {
        pxi_agent_job *job = PXI_LIST_ENTRY (link, pxi_agent_job, in_agent);
        if (!job->root)
            continue;
        pthread_mutex_lock (&job->root->lock);
        count_away (agent, job->id, looks, n, &job->root->progress);
        job->root->progress.redone = job->redone;
        pthread_mutex_unlock (&job->root->lock);
    }
    free (looks);
    pxi_agent_alarm (agent, &agent->progress, PXI_ALARM_PROGRESS, agent,
                     pxi_clock_ns () + PROGRESS_NS);
}

static void complete_root (pxi_agent *agent, const pxi_action *action)
{
    pxi_blob blob = pxi_blobs_take (&agent->blobs, action->blob);
    pxi_outcome outcome = {
        .code = action->blob ? blob.code : action->err, .value = blob.first, .chain = blob.second};
    pxi_agent_job *job = pxi_jobs_find (agent, action->job);
    if (!job || !job->root) {
        pxi_bytes_release (blob.first);
        pxi_bytes_release (blob.second);
        return;
    }
    finish_root (agent, job->root, &outcome, NULL);
    root_let_go (agent, job);
}

/* ---- runs -------------------------------------------------------------------------------------
 */

/* It never began: the core hears of it after this step. First that nothing was taken up for it, so
 * that its slot is free again. */
static void cannot_run (pxi_agent *agent, const pxi_action *action, const pxi_module *module,
                        pxi_result result, px_err code, const char *why)
{
    pxi_log (&agent->log, PX_LOG_WARNING, "job", "%s", why);
    pxi_agent_job *job = pxi_jobs_find (agent, action->job);
    if (job && job->execution)
        job->execution->runs_before++;
    else if (job)
        pxi_agent_later (
            agent,
            &(pxi_event){.kind = PXI_EV_ACTIVE, .job = action->job, .runs = job->n_runs_begun});
    pxi_event event = {.kind = PXI_EV_FINISHED, .run = action->run, .result = result};
    pxi_bytes *chain = pxi_notices_failure (agent, module, action->attempt.task,
                                            action->attempt.key.attempt, code, why);
    if (chain)
        event.blob = pxi_blobs_put (&agent->blobs, (pxi_blob){NULL, chain, code});
    pxi_agent_later (agent, &event);
}

pxi_agent_run *pxi_jobs_run_new (pxi_agent *agent, const pxi_module *module,
                                 const pxi_action *action)
{
    pxi_agent_run *run = calloc (1, sizeof *run);
    if (!run || !pxi_map_put_pointer (&agent->runs, action->run, run)) {
        free (run);
        return NULL;
    }
    run->id = action->run;
    run->module = module;
    run->attempt = action->attempt;
    run->root = action->root;
    run->master = action->peer;
    run->begun_ns = pxi_clock_ns ();
    pxi_list_init (&run->in_execution);
    pxi_tracing_run_begins (agent, run);
    return run;
}

static void begin_run (pxi_agent *agent, pxi_execution *execution, const pxi_action *action)
{
    pxi_blob blob = pxi_blobs_get (&agent->blobs, action->attempt.blob);
    pxi_bytes *input = pxi_blob_aligned (blob.second);
    pxi_agent_run *run =
        input || !blob.second ? pxi_jobs_run_new (agent, execution->module, action) : NULL;
    if (!run) {
        pxi_bytes_release (input);
        cannot_run (agent, action, execution->module,
                    action->root ? PXI_RESULT_FAILED : PXI_RESULT_LOST, PX_ENOMEM,
                    px_err_text (PX_ENOMEM));
        return;
    }
    run->execution = execution;
    pxi_list_add_last (&execution->runs, &run->in_execution);
    pxi_blob shared = pxi_blobs_get (&agent->blobs, action->attempt.shared_blob);
    execution->n_runs++;
    pxi_command command = {.kind = PXI_CMD_RUN,
                           .run = run->id,
                           .task = action->attempt.task,
                           .attempt = action->attempt.key.attempt,
                           .flag = agent->runs_follow,
                           .input = input,
                           .shared = pxi_bytes_acquire (shared.second),
                           .shared_id = action->attempt.shared_blob};
    pxi_execution_submit (execution, &command);
}

static void learn_spec (pxi_agent *agent, pxi_agent_job *job, const pxi_action *action,
                        const pxi_module *module)
{
    if (job->spec)
        return;
    pxi_blob blob = pxi_blobs_get (&agent->blobs, action->attempt.blob);
    job->spec = pxi_bytes_acquire (blob.first);
    job->module = module;
    pxi_tracing_begin (agent, job);
}

static pxi_execution *execution_for (pxi_agent *agent, pxi_agent_job *job, const pxi_action *action,
                                     const pxi_module *module, char *why)
{
    learn_spec (agent, job, action, module);
    if (job->execution || !job->spec || agent->ending)
        return job->execution;
    pxi_execution *resting = pxi_execution_resume (agent, job);
    return resting ? resting : pxi_execution_new (agent, job, why);
}

static void crashed_before (pxi_agent *agent, const pxi_action *action, const pxi_module *module)
{
    char why[PX_WHY_SIZE];
    snprintf (why, sizeof why,
              "not started again: task %s.%s of module %s has crashed it %d times on peer %s",
              module->name, module->task_names[action->culprit], module->name, PXI_CRASHES_MAX,
              agent->name);
    cannot_run (agent, action, module, PXI_RESULT_CRASHED, PX_ECRASH, why);
}

/* No thread of an executor takes it up, so it is none of the runs that executors count. */
static void run_on_device (pxi_agent *agent, const pxi_action *action, const pxi_module *module,
                           pxi_agent_job *job)
{
    if (job)
        learn_spec (agent, job, action, module);
    if (job && pxi_device_runs_begin (agent, module, action))
        return;
    const pxi_attempt *attempt = &action->attempt;
    pxi_event event = {.kind = PXI_EV_FINISHED,
                       .run = action->run,
                       .device = attempt->device,
                       .result = PXI_RESULT_LOST,
                       .device_failed = true};
    pxi_bytes *chain = pxi_notices_failure (agent, module, attempt->task, attempt->key.attempt,
                                            PX_ELOST, "there is no such device any more");
    if (chain)
        event.blob = pxi_blobs_put (&agent->blobs, (pxi_blob){NULL, chain, PX_ELOST});
    pxi_agent_later (agent, &event);
}

void pxi_jobs_run (pxi_agent *agent, const pxi_action *action)
{
    char why[PX_WHY_SIZE] = "out of memory";
    const pxi_attempt *attempt = &action->attempt;
    const pxi_module *module = pxi_registry_find_key (agent->registry, attempt->module);
    pxi_agent_job *job = job_ensure (agent, action->job);
    bool fits = module && attempt->task < module->n_tasks &&
                (!job || !job->module || job->module == module);
    if (attempt->device && fits) {
        run_on_device (agent, action, module, job);
        return;
    }
    if (job)
        job->n_runs_begun++;
    if (!fits) {
        snprintf (why, sizeof why, "asked to run task %u of module %016llx, which is not here",
                  attempt->task, (unsigned long long)attempt->module);
        cannot_run (agent, action, NULL, PXI_RESULT_CANNOT, PX_ENOMODULE, why);
        return;
    }
    if (action->flag) {
        crashed_before (agent, action, module);
        return;
    }
    pxi_execution *execution = job ? execution_for (agent, job, action, module, why) : NULL;
    if (execution)
        begin_run (agent, execution, action);
    else
        cannot_run (agent, action, module, action->root ? PXI_RESULT_FAILED : PXI_RESULT_CANNOT,
                    PX_ESYSTEM, why);
}

void pxi_jobs_stop (pxi_agent *agent, const pxi_action *action)
{
    pxi_agent_run *run = pxi_map_pointer (&agent->runs, action->run);
    if (!run || run->stopped)
        return;
    run->stopped = true;
    if (run->device) {
        pxi_device_runs_stop (run);
        return;
    }
    if (run->execution->worker)
        pxi_agent_alarm (agent, &run->stop, PXI_ALARM_STOP, run, pxi_clock_ns () + STOP_NS);
    pxi_command command = {.kind = PXI_CMD_STOP, .run = run->id};
    pxi_execution_submit (run->execution, &command);
}

/* A task that does not hear is ended with its process, if nothing else runs there. */
static void stop_overdue (pxi_agent *agent, pxi_agent_run *run)
{
    pxi_execution *execution = run->execution;
    PXI_LIST_EACH (link, &execution->runs)
    {
        if (PXI_LIST_ENTRY (link, pxi_agent_run, in_execution)->stopped)
            continue;
        pxi_agent_alarm (agent, &run->stop, PXI_ALARM_STOP, run, pxi_clock_ns () + STOP_NS);
        return;
    }
    pxi_log (&agent->log, PX_LOG_NOTICE, "executor",
             "process %d ended: a cancelled task of module %s did not stop",
             (int)execution->worker->process->pid, execution->module->name);
    if (!execution->worker->dead)
        pxi_process_kill (execution->worker->process);
}

void pxi_jobs_alarm (pxi_agent *agent, pxi_alarm *alarm)
{
    if (alarm->kind == PXI_ALARM_STOP)
        stop_overdue (agent, alarm->owner);
    else
        timed_out (agent, alarm->owner);
}

/* ---- subtasks and branches --------------------------------------------------------------------
 */

static pxi_execution *execution_of (pxi_agent *agent, uint64_t id)
{
    return pxi_map_pointer (&agent->executions, id >> PXI_ID_BITS);
}

void pxi_jobs_take (pxi_agent *agent, const pxi_action *action)
{
    pxi_agent_job *job = pxi_jobs_find (agent, action->job);
    pxi_agent_take *take = job && job->execution ? malloc (sizeof *take) : NULL;
    if (!take) { /* its executor is not there: nothing waits in it */
        pxi_event event = {.kind = PXI_EV_TAKEN, .job = action->job, .token = action->token};
        pxi_agent_later (agent, &event);
        return;
    }
    take->token = action->token;
    take->count = action->count;
    pxi_list_init (&take->in_execution);
    pxi_list_add_last (&job->execution->takes, &take->in_execution);
    pxi_command command = {.kind = PXI_CMD_TAKE,
                           .token = action->token,
                           .count = action->count,
                           .task = action->task,
                           .peer = action->peer,
                           .device = action->device,
                           .fixed_ns = action->fixed_ns,
                           .item_cost = action->item_cost,
                           .queue_ns = action->queue_ns,
                           .memory_bytes = action->memory_bytes};
    pxi_execution_submit (job->execution, &command);
}

void pxi_jobs_give_back (pxi_agent *agent, const pxi_action *action)
{
    pxi_execution *execution = execution_of (agent, action->subtask);
    pxi_tracing_settle (agent, action->subtask, action->attempts);
    pxi_blob blob = pxi_blobs_take (&agent->blobs, action->blob);
    pxi_bytes_release (blob.first);
    if (!execution) {
        pxi_bytes_release (blob.second);
        return;
    }
    pxi_command command = {.kind = PXI_CMD_GIVE_BACK,
                           .subtask = action->subtask,
                           .attempts = action->attempts,
                           .crashes = action->crashes,
                           .outcome = {blob.code, NULL, blob.second}};
    pxi_execution_submit (execution, &command);
}

/* Where there is no executor there is no range to take chunks of. */
void pxi_jobs_range (pxi_agent *agent, const pxi_action *action)
{
    const pxi_agent_job *job = pxi_jobs_find (agent, action->job);
    pxi_command command = {.kind = PXI_CMD_RANGE, .task = action->task, .count = action->count};
    if (job && job->execution)
        pxi_execution_submit (job->execution, &command);
}

void pxi_jobs_cap (pxi_agent *agent, const pxi_action *action)
{
    pxi_execution *execution = execution_of (agent, action->branch);
    if (!execution)
        return;
    pxi_command command = {.kind = PXI_CMD_CAP,
                           .branch = action->branch,
                           .flag = action->flag,
                           .count = action->count};
    pxi_execution_submit (execution, &command);
}

static void complete_subtask (pxi_agent *agent, const pxi_action *action)
{
    pxi_execution *execution = execution_of (agent, action->subtask);
    pxi_blob blob = pxi_blobs_take (&agent->blobs, action->blob);
    pxi_tracing_settle (agent, action->subtask, action->attempts);
    if (!execution) {
        pxi_bytes_release (blob.first);
        pxi_bytes_release (blob.second);
        return;
    }
    if (execution->job && action->attempts > 1)
        execution->job->redone += action->attempts - 1;
    px_err code = action->blob ? (px_err)blob.code : (px_err)action->err;
    pxi_command command = {.kind = PXI_CMD_COMPLETE, .subtask = action->subtask};
    command.outcome = (pxi_outcome){code, blob.first, blob.second};
    command.peer = action->peer;
    command.run_ns = action->run_ns;
    command.device = action->device;
    strncpy (command.peer_name, pxi_mail_name (agent, action->peer), sizeof command.peer_name - 1);
    if (!action->blob)
        command.outcome.chain = pxi_notices_failure (agent, execution->module, UINT32_MAX,
                                                     action->attempts, code, px_err_text (code));
    pxi_execution_submit (execution, &command);
}

void pxi_jobs_complete (pxi_agent *agent, const pxi_action *action)
{
    if (action->root)
        complete_root (agent, action);
    else
        complete_subtask (agent, action);
}

void pxi_jobs_slots (pxi_agent *agent, const pxi_action *action)
{
    pxi_agent_job *job = job_ensure (agent, action->job);
    if (!job)
        return;
    job->slots = action->count;
    job->slots_told = true;
    pxi_command command = {.kind = PXI_CMD_SLOTS, .count = action->count};
    if (job->execution)
        pxi_execution_submit (job->execution, &command);
}

/* ---- the end ----------------------------------------------------------------------------------
 */

void pxi_jobs_close_all (pxi_agent *agent)
{
    agent->ending = true;
    PXI_LIST_EACH (link, &agent->all_executions)
    {
        pxi_execution *execution = PXI_LIST_ENTRY (link, pxi_execution, in_agent);
        if (execution->job || execution->resting)
            pxi_execution_close (execution);
    }
}

void pxi_jobs_fini (pxi_agent *agent)
{
    for (pxi_list *link; (link = pxi_list_first (&agent->all_jobs));) {
        pxi_agent_job *job = PXI_LIST_ENTRY (link, pxi_agent_job, in_agent);
        PXI_ASSERT (job->execution == NULL);
        job_free (agent, job);
    }
    for (pxi_list *link; (link = pxi_list_first (&agent->later));) {
        pxi_list_remove (link);
        free (PXI_LIST_ENTRY (link, pxi_later, in_agent));
    }
}
