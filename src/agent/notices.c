/* What executors say, as events of the core. Here the promises of the port become those of the
 * core: TAKEN exactly once per TAKE and FINISHED exactly once per RUN, also when the process that
 * should have said it is dead, and nothing for what the core did not ask.
 *
 * An executor process runs task code and may say anything: ids and tokens are looked up, not
 * believed. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/state.h"
#include "base/assert.h"
#include "base/clock.h"

void pxi_notices_release (pxi_notice *notice)
{
    if (notice->inputs)
        pxi_bytes_release_all (notice->inputs, notice->n_taken);
    if (notice->shared)
        pxi_bytes_release_all (notice->shared, notice->n_taken);
    free (notice->inputs);
    free (notice->shared);
    free (notice->taken);
    pxi_bytes_release (notice->outcome.value);
    pxi_bytes_release (notice->outcome.chain);
    notice->inputs = notice->shared = NULL;
    notice->taken = NULL;
    notice->outcome = (pxi_outcome){0};
}

pxi_bytes *pxi_notices_failure (pxi_agent *agent, const pxi_module *module, uint32_t task,
                                uint32_t attempt, px_err code, const char *message)
{
    char name[PXI_FULL_NAME_SIZE] = "?";
    if (module)
        snprintf (name, sizeof name, "%s.%s", module->name,
                  task < module->n_tasks ? module->task_names[task] : "?");
    px_failure failure = {.code = code,
                          .attempt = attempt,
                          .task = name,
                          .peer = agent->name,
                          .file = "",
                          .message = message};
    const pxi_chain chain = {.failures = &failure, .n_failures = 1};
    return pxi_chain_encode (&chain);
}

/* ---- runs -------------------------------------------------------------------------------------
 */

void pxi_notices_finish_run (pxi_agent *agent, pxi_agent_run *run, pxi_result result,
                             uint64_t run_ns, pxi_outcome *outcome)
{
    pxi_tracing_run_ended (agent, run, result);
    pxi_agent_alarm_off (agent, &run->stop);
    pxi_list_remove (&run->in_execution);
    pxi_map_remove (&agent->runs, run->id, NULL);
    pxi_event event = {.kind = PXI_EV_FINISHED,
                       .run = run->id,
                       .result = result,
                       .run_ns = run_ns,
                       .digest = run->digest,
                       .task = run->culprit,
                       .device = run->attempt.device,
                       .device_failed = run->device_failed,
                       .device_banned = run->device_banned,
                       .first = run->first,
                       .size_bytes = (uint32_t)pxi_bytes_size (outcome->value)};
    event.blob =
        pxi_blobs_put (&agent->blobs, (pxi_blob){outcome->value, outcome->chain, outcome->code});
    if (!event.blob) {
        event.result = PXI_RESULT_LOST;
        event.size_bytes = 0;
    }
    free (run);
    pxi_agent_step (agent, &event);
}

/* The account of a run says how many subtasks ran at this peer, itself among them. */
static void count_subtasks (pxi_agent *agent, const pxi_notice *notice)
{
    pxi_chain chain;
    const pxi_bytes *bytes = notice->outcome.chain;
    if (!bytes && notice->result == PXI_RESULT_OK)
        agent->subtasks_run++;
    if (!bytes || pxi_chain_decode (bytes, &chain) != PX_OK)
        return;
    for (size_t i = 0; i < chain.n_shares; i++) {
        if (chain.shares[i].peer_id == agent->id)
            agent->subtasks_run += chain.shares[i].subtasks;
    }
    pxi_chain_fini (&chain);
}

/* What a root did alone, for who asks where its job ran. */
static pxi_bytes *account_of_one (const pxi_agent *agent, uint64_t run_ns)
{
    px_job_share one = {.peer_id = agent->id, .subtasks = 1, .work_ns = run_ns};
    static_assert (sizeof one.peer_name >= sizeof agent->name, "a name fits");
    memcpy (one.peer_name, agent->name, sizeof agent->name);
    return pxi_chain_encode (&(pxi_chain){.shares = &one, .n_shares = 1});
}

static void on_finished (pxi_agent *agent, const pxi_execution *execution, pxi_notice *notice)
{
    pxi_agent_run *run = pxi_map_pointer (&agent->runs, notice->run);
    if (!run || run->execution != execution)
        return;
    count_subtasks (agent, notice);
    pxi_outcome outcome = notice->outcome;
    if (run->root && !outcome.chain)
        outcome.chain = account_of_one (agent, notice->run_ns);
    if ((notice->result == PXI_RESULT_OK) != (outcome.code == PX_OK))
        outcome.code = notice->result == PXI_RESULT_OK ? PX_OK : PX_EFAILED;
    notice->outcome = (pxi_outcome){0};
    pxi_notices_finish_run (agent, run, notice->result, notice->run_ns, &outcome);
}

static void on_progress (pxi_agent *agent, const pxi_execution *execution, const pxi_notice *notice)
{
    const pxi_agent_run *run = pxi_map_pointer (&agent->runs, notice->run);
    if (!run || run->execution != execution)
        return;
    pxi_agent_job *job = execution->job;
    /* Its threads count what they open each for itself for a while. */
    uint64_t known = notice->known > notice->done ? notice->known : notice->done;
    if (run->root && job && job->root) {
        pthread_mutex_lock (&job->root->lock);
        job->root->progress.subtasks_done = notice->done;
        job->root->progress.subtasks_known = known;
        pthread_mutex_unlock (&job->root->lock);
    }
    pxi_event event = {.kind = PXI_EV_PROGRESS, .run = notice->run, .progress = notice->done};
    pxi_agent_step (agent, &event);
}

/* ---- subtasks handed over ---------------------------------------------------------------------
 */

static pxi_agent_take *find_take (const pxi_execution *execution, uint64_t token)
{
    PXI_LIST_EACH (link, &execution->takes)
    {
        pxi_agent_take *take = PXI_LIST_ENTRY (link, pxi_agent_take, in_execution);
        if (take->token == token)
            return take;
    }
    return NULL;
}

static bool is_of (const pxi_execution *execution, uint64_t id)
{
    return id >> PXI_ID_BITS == execution->number;
}

/* So that it can be closed when its process has died. NULL: out of memory. */
static pxi_agent_branch *note_branch (pxi_agent *agent, pxi_execution *execution, uint64_t id)
{
    pxi_agent_branch *branch = pxi_map_pointer (&agent->branches, id);
    if (branch)
        return branch;
    branch = calloc (1, sizeof *branch);
    if (!branch || !pxi_map_put_pointer (&agent->branches, id, branch)) {
        free (branch);
        return NULL;
    }
    branch->id = id;
    pxi_list_init (&branch->in_execution);
    pxi_list_add_last (&execution->branches, &branch->in_execution);
    return branch;
}

/* It is read once for each branch of which something leaves. */
static void note_shared (pxi_agent *agent, pxi_agent_branch *branch, pxi_bytes *shared)
{
    if (branch->shared || !shared || pxi_bytes_size (shared) > agent->config.input_size_max)
        return;
    branch->shared = pxi_bytes_acquire (shared);
    branch->shared_name = pxi_blob_shared_name (shared);
}

/* False: its branch has a shared input, and it is not here. */
static bool give_shared (pxi_agent *agent, const pxi_agent_branch *branch, pxi_attempt *attempt)
{
    bool has_one = attempt->shared.size_bytes != 0;
    attempt->shared = (pxi_shared_name){0};
    attempt->shared_blob = 0;
    if (!has_one)
        return true;
    if (!branch->shared)
        return false;
    attempt->shared = branch->shared_name;
    attempt->shared_blob =
        pxi_blobs_put (&agent->blobs, (pxi_blob){.second = pxi_bytes_acquire (branch->shared)});
    return attempt->shared_blob != 0;
}

static bool forget_branch (pxi_agent *agent, uint64_t id)
{
    pxi_agent_branch *branch = pxi_map_remove_pointer (&agent->branches, id);
    if (!branch)
        return false;
    pxi_list_remove (&branch->in_execution);
    pxi_bytes_release (branch->shared);
    free (branch);
    return true;
}

/* Fill in what the executor leaves to us. False: it is not handed over. */
static bool complete_taken (pxi_agent *agent, pxi_execution *execution, pxi_taken *taken,
                            pxi_bytes *input, pxi_bytes *shared)
{
    pxi_agent_job *job = execution->job;
    bool valid = job && is_of (execution, taken->subtask) && is_of (execution, taken->branch) &&
                 taken->attempt.task < execution->module->n_tasks;
    pxi_agent_branch *branch = valid ? note_branch (agent, execution, taken->branch) : NULL;
    if (branch)
        note_shared (agent, branch, shared);
    if (!branch || !give_shared (agent, branch, &taken->attempt)) {
        pxi_bytes_release (input);
        return false;
    }
    taken->attempt.key.subtask = taken->subtask;
    taken->attempt.job = execution->job_id;
    taken->attempt.module = execution->module->key;
    taken->attempt.device = 0; /* not the executor's to say */
    taken->attempt.size_bytes = (uint32_t)pxi_bytes_size (input);
    taken->attempt.digest = pxi_agent_digest (agent, execution->job_id, input);
    taken->attempt.blob =
        pxi_blobs_put (&agent->blobs, (pxi_blob){pxi_bytes_acquire (job->spec), input, PX_OK});
    if (!taken->attempt.blob)
        pxi_blobs_forget (&agent->blobs, taken->attempt.shared_blob);
    return taken->attempt.blob != 0;
}

static void give_back (pxi_execution *execution, const pxi_taken *taken)
{
    pxi_command command = {.kind = PXI_CMD_GIVE_BACK,
                           .subtask = taken->subtask,
                           .attempts = taken->attempts,
                           .crashes = taken->crashes};
    pxi_execution_submit (execution, &command);
}

static void on_taken (pxi_agent *agent, pxi_execution *execution, pxi_notice *notice)
{
    pxi_agent_take *take = find_take (execution, notice->token);
    if (!take || notice->n_taken > take->count)
        return;
    pxi_list_remove (&take->in_execution);
    free (take);
    uint32_t n = 0;
    for (uint32_t i = 0; i < notice->n_taken; i++) {
        pxi_taken *taken = &notice->taken[i];
        pxi_bytes *input = notice->inputs[taken->attempt.blob];
        notice->inputs[taken->attempt.blob] = NULL;
        pxi_bytes *shared = notice->shared ? notice->shared[i] : NULL;
        if (complete_taken (agent, execution, taken, input, shared))
            notice->taken[n++] = *taken;
        else if (is_of (execution, taken->subtask))
            give_back (execution, taken);
    }
    pxi_event event = {.kind = PXI_EV_TAKEN,
                       .job = execution->job_id,
                       .token = notice->token,
                       .taken = notice->taken,
                       .count = notice->count,
                       .n_taken = n};
    pxi_agent_step (agent, &event);
}

static void taken_nothing (pxi_agent *agent, pxi_execution *execution)
{
    for (pxi_list *link; (link = pxi_list_first (&execution->takes));) {
        pxi_agent_take *take = PXI_LIST_ENTRY (link, pxi_agent_take, in_execution);
        pxi_event event = {.kind = PXI_EV_TAKEN, .job = execution->job_id, .token = take->token};
        pxi_list_remove (link);
        free (take);
        pxi_agent_step (agent, &event);
    }
}

static void on_branch_closed (pxi_agent *agent, uint64_t id)
{
    pxi_event event = {.kind = PXI_EV_BRANCH_CLOSED, .branch = id};
    if (forget_branch (agent, id))
        pxi_agent_step (agent, &event);
}

/* ---- small news -------------------------------------------------------------------------------
 */

/* What a device could do: a task that it has a kernel of. */
static bool is_for_devices (const pxi_execution *execution, uint32_t task)
{
    const pxi_module *module = execution->module;
    return task < module->n_tasks && module->range_of[task] && module->range_of[task]->source;
}

static void on_surplus (pxi_agent *agent, const pxi_execution *execution, const pxi_notice *notice)
{
    if (!execution->job)
        return;
    execution->job->surplus = notice->count;
    pxi_event event = {.kind = PXI_EV_SURPLUS,
                       .job = execution->job_id,
                       .module = execution->module->key,
                       .count = notice->count};
    if (is_for_devices (execution, notice->task)) {
        event.task = notice->task;
        event.n_items = notice->n_items;
    }
    pxi_agent_step (agent, &event);
}

static void on_active (pxi_agent *agent, const pxi_execution *execution, const pxi_notice *notice)
{
    pxi_agent_job *job = execution->job;
    if (!job)
        return;
    job->active = notice->count;
    job->wanted = notice->wanted;
    pxi_event event = {.kind = PXI_EV_ACTIVE,
                       .job = execution->job_id,
                       .count = notice->count,
                       .wanted = notice->wanted,
                       .flag = notice->done != 0,
                       .runs = execution->runs_before + notice->runs};
    pxi_agent_step (agent, &event);
}

static void on_duration (pxi_agent *agent, const pxi_execution *execution, const pxi_notice *notice)
{
    if (!execution->job)
        return;
    pxi_event event = {.kind = PXI_EV_DURATION,
                       .job = execution->job_id,
                       .module = execution->module->key,
                       .task = notice->task,
                       .flag = notice->count != 0,
                       .size_bytes = (uint32_t)notice->done,
                       .result_bytes = (uint32_t)notice->known,
                       .declared = {notice->token, notice->branch},
                       .run_ns = notice->run_ns,
                       .n_items = notice->n_items};
    pxi_agent_step (agent, &event);
}

static void on_device_wrong (pxi_agent *agent, const pxi_execution *execution,
                             const pxi_notice *notice)
{
    if (!is_for_devices (execution, notice->task) || !notice->device)
        return;
    pxi_event event = {.kind = PXI_EV_DEVICE_WRONG,
                       .job = execution->job_id,
                       .module = execution->module->key,
                       .task = notice->task,
                       .peer = notice->peer,
                       .device = notice->device};
    pxi_log (&agent->log, PX_LOG_WARNING, "device",
             "%s.%s: device %u of peer %s computed what C does not", execution->module->name,
             execution->module->task_names[notice->task], notice->device,
             notice->peer == agent->id ? agent->name : pxi_mail_name (agent, notice->peer));
    pxi_agent_step (agent, &event);
}

/* ---- endings ----------------------------------------------------------------------------------
 */

static void close_branches (pxi_agent *agent, pxi_execution *execution)
{
    for (pxi_list *link; (link = pxi_list_first (&execution->branches));)
        on_branch_closed (agent, PXI_LIST_ENTRY (link, pxi_agent_branch, in_execution)->id);
}

/* Whose fault: the run that the crash handler named. Where it named none (killed from outside, or
 * by _exit ()), each that was running may have done it, and a task that does it every time must not
 * be tried for ever: all count as crashed, but nothing is remembered of them. Nobody is to blame where we
 * ended the process ourselves. */
static pxi_result verdict (const pxi_execution *execution, const pxi_agent_run *run,
                           const pxi_notice *notice)
{
    if (run->stopped || execution->worker->process->killed)
        return PXI_RESULT_LOST;
    if (execution->worker->process->refused[0])
        return run->root ? PXI_RESULT_FAILED : PXI_RESULT_CANNOT;
    return !notice->run || notice->run == run->id ? PXI_RESULT_CRASHED : PXI_RESULT_LOST;
}

/* The core is told what it was, so that it does not come again. */
static void name_culprit (pxi_agent *agent, pxi_agent_run *run, const pxi_notice *notice)
{
    run->digest = pxi_blob_digest (pxi_blobs_get (&agent->blobs, run->attempt.blob).second);
    run->culprit = notice->task;
}

static void end_run (pxi_agent *agent, const pxi_execution *execution, pxi_agent_run *run,
                     const pxi_notice *notice)
{
    char message[PX_WHY_SIZE];
    const char *refused = execution->worker->process->refused;
    pxi_result result = verdict (execution, run, notice);
    px_err code = refused[0]                     ? execution->worker->process->refused_err
                  : result == PXI_RESULT_CRASHED ? PX_ECRASH
                                                 : PX_ELOST;
    snprintf (message, sizeof message, "%s on peer %s", refused[0] ? refused : notice->text,
              agent->name);
    if (result == PXI_RESULT_CRASHED && notice->run == run->id)
        name_culprit (agent, run, notice);
    pxi_outcome outcome = {.code = code};
    outcome.chain = pxi_notices_failure (agent, execution->module, run->attempt.task,
                                         run->attempt.key.attempt, code, message);
    pxi_notices_finish_run (agent, run, result, pxi_clock_ns () - run->begun_ns, &outcome);
}

/* Let go of the job first: telling the core that a root has crashed starts it again at once, in a
 * new execution. */
static void detach (pxi_agent *agent, pxi_execution *execution)
{
    pxi_agent_job *job = execution->job;
    if (!job)
        return;
    execution->job = NULL;
    job->execution = NULL;
    job->active = job->wanted = job->surplus = 0;
    pxi_event surplus = {.kind = PXI_EV_SURPLUS, .job = job->id};
    pxi_event active = {.kind = PXI_EV_ACTIVE, .job = job->id, .runs = job->n_runs_begun};
    pxi_agent_step (agent, &surplus);
    pxi_agent_step (agent, &active);
}

static void on_died (pxi_agent *agent, pxi_execution *execution, const pxi_notice *notice)
{
    if (!execution->worker->process->killed)
        pxi_log (&agent->log, PX_LOG_WARNING, "executor", "process %d ended by %s",
                 (int)execution->worker->process->pid, notice->text);
    detach (agent, execution);
    close_branches (agent, execution);
    taken_nothing (agent, execution);
    for (pxi_list *link; (link = pxi_list_first (&execution->runs));)
        end_run (agent, execution, PXI_LIST_ENTRY (link, pxi_agent_run, in_execution), notice);
    pxi_execution_free (execution);
}

/* A pool says FINISHED for each run and answers each TAKE before this; a process says what it
 * likes. */
static void on_closed (pxi_agent *agent, pxi_execution *execution)
{
    detach (agent, execution);
    close_branches (agent, execution);
    taken_nothing (agent, execution);
    for (pxi_list *link; (link = pxi_list_first (&execution->runs));) {
        pxi_outcome outcome = {.code = PX_ELOST};
        pxi_notices_finish_run (agent, PXI_LIST_ENTRY (link, pxi_agent_run, in_execution),
                                PXI_RESULT_LOST, 0, &outcome);
    }
    pxi_execution_free (execution);
}

void pxi_notices_take (pxi_agent *agent, uint64_t number, pxi_notice *notice)
{
    pxi_execution *execution = pxi_map_pointer (&agent->executions, number);
    if (!execution) { /* it was closed, and its process died after that */
        pxi_notices_release (notice);
        return;
    }
    switch (notice->kind) {
    case PXI_NOTE_SURPLUS:
        on_surplus (agent, execution, notice);
        break;
    case PXI_NOTE_TAKEN:
        on_taken (agent, execution, notice);
        break;
    case PXI_NOTE_ACTIVE:
        on_active (agent, execution, notice);
        break;
    case PXI_NOTE_FINISHED:
        on_finished (agent, execution, notice);
        break;
    case PXI_NOTE_BRANCH_CLOSED:
        if (is_of (execution, notice->branch))
            on_branch_closed (agent, notice->branch);
        break;
    case PXI_NOTE_PROGRESS:
        on_progress (agent, execution, notice);
        break;
    case PXI_NOTE_DURATION:
        on_duration (agent, execution, notice);
        break;
    case PXI_NOTE_DEVICE_WRONG:
        on_device_wrong (agent, execution, notice);
        break;
    case PXI_NOTE_CLOSED:
        on_closed (agent, execution);
        break;
    case PXI_NOTE_DIED:
        on_died (agent, execution, notice);
        break;
    }
    pxi_notices_release (notice);
}
