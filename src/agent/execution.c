/* Executors of jobs: made when a job's first run comes, in this process, or in one of its own where
 * the peer has a program for that and the module lies in a file that it can load. When another
 * peer's job has nothing left here its executor rests a while: threads and stacks are there when the
 * job's next subtask comes. */
#include <stdlib.h>
#include <string.h>

#include "agent/spec.h"
#include "agent/state.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"

enum { RESTING_MAX = 4 };
#define REST_NS (50 * PXI_MS) /* a master that sends one subtask after the other comes back */

static void fill_config (const pxi_execution *execution, const pxi_spec *spec,
                         pxi_executor_config *config)
{
    const pxi_agent *agent = execution->agent;
    const pxi_module *module = execution->module;
    *config = (pxi_executor_config){
        .peer_name = agent->name,
        .peer_id = agent->id,
        .module_name = module->name,
        .task_names = module->task_names,
        .task_functions = module->task_functions,
        .costs = module->cost_of,
        .n_tasks = module->n_tasks,
        .id_base = execution->number << PXI_ID_BITS,
        .slots = agent->config.slots,
        .stack_size = agent->config.stack_size,
        .input_size_max = agent->config.input_size_max,
        .result_size_max = agent->config.result_size_max,
        .branch_number = spec->branch_number != PX_NUMBER_DEFAULT ? spec->branch_number
                                                                  : agent->config.branch_number,
        .points = spec->points,
        .numbers = spec->numbers,
        .n_points = spec->n_points,
        .fixed_numbers = spec->fixed_numbers,
        .default_rises = spec->default_rises,
        .trace = spec->trace,
        .devices = agent->devices != NULL,
        .notify = pxi_agent_notify,
        .notify_context = (void *)execution,
    };
}

static px_err open_process (pxi_execution *execution, const pxi_executor_config *config,
                            pxi_bytes *spec, char *why)
{
    pxi_worker *worker = pxi_workers_get (execution->agent, execution->module, why);
    if (!worker)
        return PX_ESYSTEM;
    px_err err = pxi_process_open (worker->process, config, spec);
    if (err != PX_OK) {
        pxi_workers_put (execution->agent, worker);
        return pxi_fail (err, why, "%s", px_err_text (err));
    }
    worker->execution = execution;
    execution->worker = worker;
    execution->executor = &worker->process->executor;
    return PX_OK;
}

static px_err open_pool (pxi_execution *execution, const pxi_executor_config *config, char *why)
{
    px_err err = (px_err)pxi_pool_new (config, &execution->executor);
    if (err != PX_OK)
        pxi_fail (err, why, "cannot start threads for the job: %s", px_err_text (err));
    return err;
}

static px_err open_executor (pxi_execution *execution, pxi_bytes *bytes, char *why)
{
    pxi_spec *spec = malloc (sizeof *spec);
    if (!spec)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    /* Checked when it arrived, or made here. */
    bool valid = pxi_spec_decode (pxi_bytes_data (bytes), pxi_bytes_size (bytes), spec);
    PXI_ASSERT (valid);
    pxi_executor_config config;
    fill_config (execution, spec, &config);
    bool apart = execution->agent->config.executor && execution->module->image;
    px_err err =
        apart ? open_process (execution, &config, bytes, why) : open_pool (execution, &config, why);
    free (spec);
    return err;
}

/* Not told yet: the core is about to, and one that was in use may go on meanwhile. */
static void tell_slots (pxi_execution *execution)
{
    const pxi_agent_job *job = execution->job;
    pxi_command slots = {.kind = PXI_CMD_SLOTS};
    slots.count = job->slots_told ? job->slots : execution->agent->config.slots;
    pxi_execution_submit (execution, &slots);
}

pxi_execution *pxi_execution_new (pxi_agent *agent, pxi_agent_job *job, char *why)
{
    pxi_execution *execution = calloc (1, sizeof *execution);
    if (!execution ||
        !pxi_map_put_pointer (&agent->executions, agent->last_execution + 1, execution)) {
        free (execution);
        pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
        return NULL;
    }
    execution->agent = agent;
    execution->number = ++agent->last_execution;
    execution->job = job;
    execution->job_id = job->id;
    execution->module = job->module;
    execution->runs_before = job->n_runs_begun - 1; /* the one that it is made for is counted */
    pxi_list_init (&execution->runs);
    pxi_list_init (&execution->takes);
    pxi_list_init (&execution->branches);
    pxi_list_init (&execution->in_agent);
    pxi_list_add_last (&agent->all_executions, &execution->in_agent);
    if (open_executor (execution, job->spec, why) != PX_OK) {
        pxi_execution_free (execution);
        return NULL;
    }
    job->execution = execution;
    if (job->slots_told)
        tell_slots (execution);
    return execution;
}

/* ---- resting ----------------------------------------------------------------------------------
 */

static void rest_ends (pxi_execution *execution)
{
    execution->agent->n_resting -= execution->resting;
    execution->resting = false;
    pxi_agent_alarm_off (execution->agent, &execution->rest);
}

void pxi_execution_close (pxi_execution *execution)
{
    rest_ends (execution);
    if (execution->job)
        execution->job->execution = NULL;
    execution->job = NULL;
    pxi_command command = {.kind = PXI_CMD_CLOSE};
    pxi_execution_submit (execution, &command);
}

/* A root's job does not come back, and what still ends here is not to be taken for the next run. */
static bool may_rest (const pxi_execution *execution)
{
    const pxi_agent *agent = execution->agent;
    return execution->job_id.origin != agent->id && !agent->draining && !agent->ending &&
           agent->n_resting < RESTING_MAX && pxi_list_is_empty (&execution->runs) &&
           pxi_list_is_empty (&execution->takes) && pxi_list_is_empty (&execution->branches);
}

void pxi_execution_rest (pxi_execution *execution)
{
    pxi_agent *agent = execution->agent;
    if (!may_rest (execution)) {
        pxi_execution_close (execution);
        return;
    }
    execution->job->execution = NULL;
    execution->job = NULL;
    execution->resting = true;
    agent->n_resting++;
    pxi_agent_alarm (agent, &execution->rest, PXI_ALARM_REST, execution, pxi_clock_ns () + REST_NS);
}

/* One whose process has died rests until that is told: a run given to it would be taken for the cause. */
static bool is_for (const pxi_execution *execution, const pxi_agent_job *job)
{
    bool dead = execution->worker && execution->worker->dead;
    return !dead && execution->module == job->module && pxi_same_job (execution->job_id, job->id);
}

pxi_execution *pxi_execution_resume (pxi_agent *agent, pxi_agent_job *job)
{
    PXI_LIST_EACH (link, &agent->all_executions)
    {
        pxi_execution *execution = PXI_LIST_ENTRY (link, pxi_execution, in_agent);
        if (!execution->resting || !is_for (execution, job))
            continue;
        rest_ends (execution);
        execution->job = job;
        job->execution = execution;
        /* The run that it resumes for is counted already, and not yet given to it. */
        execution->runs_before = job->n_runs_begun - 1 - execution->n_runs;
        tell_slots (execution);
        return execution;
    }
    return NULL;
}

void pxi_execution_submit (pxi_execution *execution, pxi_command *command)
{
    execution->executor->ops->submit (execution->executor, command);
}

void pxi_execution_free (pxi_execution *execution)
{
    pxi_agent *agent = execution->agent;
    PXI_ASSERT (pxi_list_is_empty (&execution->runs));
    PXI_ASSERT (pxi_list_is_empty (&execution->takes));
    PXI_ASSERT (pxi_list_is_empty (&execution->branches));
    rest_ends (execution);
    if (execution->job)
        execution->job->execution = NULL;
    if (execution->executor)
        execution->executor->ops->destroy (&execution->executor);
    if (execution->worker) {
        execution->worker->execution = NULL;
        pxi_workers_put (agent, execution->worker);
    }
    pxi_list_remove (&execution->in_agent);
    pxi_map_remove (&agent->executions, execution->number, NULL);
    free (execution);
}
