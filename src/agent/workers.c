/* Executor processes: found or started for a job, kept warm a while after it, watched until they
 * have died and been waited for. Each lies in all_workers from its start until its burial, which
 * comes at the end of a pass, since events of the same pass may still name it.
 *
 * A process that hosts a job is known to that job's execution; its death is told there as a notice,
 * through the inbox, so that nothing that it had said before comes after. */
#include <stdlib.h>

#include "agent/state.h"
#include "base/assert.h"
#include "base/clock.h"

enum { NOTICES_MAX = 128 /* of one process in one pass */ };
#define WARM_NS (10 * PXI_SECOND) /* the next job of a session of somebody's comes within it */
#define END_NS (1 * PXI_SECOND)   /* to read the end of its pipe and go */

static uint64_t part_size_max (const pxi_agent *agent)
{
    const pxi_agent_config *config = &agent->config;
    uint64_t larger = config->input_size_max > config->result_size_max ? config->input_size_max
                                                                       : config->result_size_max;
    return larger > PXI_CHAIN_SIZE_MAX ? larger : PXI_CHAIN_SIZE_MAX;
}

/* ---- starting ---------------------------------------------------------------------------------
 */

static bool watch (pxi_agent *agent, int fd, int operation, uint32_t events, pxi_watch *watch)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl (agent->epoll_fd, operation, fd, &event) == 0;
}

static pxi_worker *start (pxi_agent *agent, const pxi_module *module, char *why)
{
    pxi_worker *worker = calloc (1, sizeof *worker);
    if (!worker)
        return NULL;
    if (pxi_process_start (agent->config.executor, module, part_size_max (agent), &worker->process,
                           why) != PX_OK) {
        free (worker);
        return NULL;
    }
    worker->pipe = (pxi_watch){.kind = PXI_WATCH_PIPE, .worker = worker};
    worker->death = (pxi_watch){.kind = PXI_WATCH_DEATH, .worker = worker};
    pxi_list_init (&worker->in_agent);
    pxi_list_add_last (&agent->all_workers, &worker->in_agent);
    if (!watch (agent, pxi_process_fd (worker->process), EPOLL_CTL_ADD, EPOLLIN, &worker->pipe) ||
        !watch (agent, worker->process->pidfd, EPOLL_CTL_ADD, EPOLLIN, &worker->death))
        pxi_process_kill (worker->process); /* its death is found by asking, in every pass */
    pxi_log (&agent->log, PX_LOG_DEBUG, "executor", "process %d started for module %s",
             (int)worker->process->pid, module->name);
    return worker;
}

static pxi_worker *find_warm (pxi_agent *agent, const pxi_module *module)
{
    PXI_LIST_EACH (link, &agent->all_workers)
    {
        pxi_worker *worker = PXI_LIST_ENTRY (link, pxi_worker, in_agent);
        if (!worker->dead && !worker->execution && worker->process->module == module &&
            worker->process->state == PXI_PROCESS_IDLE)
            return worker;
    }
    return NULL;
}

pxi_worker *pxi_workers_get (pxi_agent *agent, const pxi_module *module, char *why)
{
    pxi_worker *worker = find_warm (agent, module);
    if (!worker)
        return start (agent, module, why);
    pxi_agent_alarm_off (agent, &worker->warm);
    return worker;
}

/* ---- ending -----------------------------------------------------------------------------------
 */

static void end (pxi_agent *agent, pxi_worker *worker)
{
    pxi_process_end (worker->process);
    pxi_agent_alarm (agent, &worker->warm, PXI_ALARM_WARM, worker, pxi_clock_ns () + END_NS);
}

void pxi_workers_put (pxi_agent *agent, pxi_worker *worker)
{
    PXI_ASSERT (worker->execution == NULL);
    if (worker->dead)
        return;
    if (agent->ending || worker->process->state != PXI_PROCESS_IDLE)
        end (agent, worker);
    else
        pxi_agent_alarm (agent, &worker->warm, PXI_ALARM_WARM, worker, pxi_clock_ns () + WARM_NS);
}

/* Idle for long, or told to end and still there. */
void pxi_workers_alarm (pxi_agent *agent, pxi_worker *worker)
{
    if (worker->dead)
        return;
    if (worker->process->state == PXI_PROCESS_IDLE)
        end (agent, worker);
    else
        pxi_process_kill (worker->process);
}

void pxi_workers_end_all (pxi_agent *agent)
{
    PXI_LIST_EACH (link, &agent->all_workers)
    {
        pxi_worker *worker = PXI_LIST_ENTRY (link, pxi_worker, in_agent);
        if (!worker->dead)
            end (agent, worker);
    }
}

static void bury (pxi_agent *agent, pxi_worker *worker)
{
    pxi_agent_alarm_off (agent, &worker->warm);
    pxi_list_remove (&worker->in_agent);
    pxi_process_free (&worker->process);
    free (worker);
}

/* ---- events -----------------------------------------------------------------------------------
 */

static void reap (pxi_agent *agent, pxi_worker *worker)
{
    if (worker->dead || !pxi_process_reap (worker->process))
        return;
    worker->dead = true;
    worker->more = false;
    epoll_ctl (agent->epoll_fd, EPOLL_CTL_DEL, worker->process->pidfd, NULL);
    epoll_ctl (agent->epoll_fd, EPOLL_CTL_DEL, pxi_process_fd (worker->process), NULL);
    agent->activity++;
    if (worker->process->refused[0])
        pxi_log (&agent->log, PX_LOG_ERROR, "executor", "%s", worker->process->refused);
}

void pxi_workers_event (pxi_agent *agent, const pxi_watch *watch)
{
    pxi_worker *worker = watch->worker;
    if (worker->dead)
        return;
    if (watch->kind == PXI_WATCH_DEATH)
        reap (agent, worker);
    else
        worker->more = pxi_process_step (worker->process, NOTICES_MAX);
}

static void poll_for_writing (pxi_agent *agent, pxi_worker *worker)
{
    bool wanted = worker->process->writable_wanted;
    if (wanted == worker->polled_for_writing)
        return;
    worker->polled_for_writing = wanted;
    watch (agent, pxi_process_fd (worker->process), EPOLL_CTL_MOD,
           wanted ? EPOLLIN | EPOLLOUT : EPOLLIN, &worker->pipe);
}

void pxi_workers_flush (pxi_agent *agent)
{
    PXI_LIST_EACH (link, &agent->all_workers)
    {
        pxi_worker *worker = PXI_LIST_ENTRY (link, pxi_worker, in_agent);
        if (worker->dead)
            continue;
        pxi_process_flush (worker->process);
        poll_for_writing (agent, worker);
    }
}

bool pxi_workers_pass (pxi_agent *agent)
{
    bool more = false;
    PXI_LIST_EACH_SAFE (link, &agent->all_workers)
    {
        pxi_worker *worker = PXI_LIST_ENTRY (link, pxi_worker, in_agent);
        if (worker->dead) {
            if (!worker->execution)
                bury (agent, worker);
            continue;
        }
        if (worker->more)
            worker->more = pxi_process_step (worker->process, NOTICES_MAX);
        more |= worker->more;
    }
    if (agent->ending && pxi_list_is_empty (&agent->all_workers) &&
        pxi_list_is_empty (&agent->all_executions) && !agent->emptied) {
        pthread_mutex_lock (&agent->lock);
        agent->emptied = true;
        pthread_cond_broadcast (&agent->changed);
        pthread_mutex_unlock (&agent->lock);
    }
    return more;
}
