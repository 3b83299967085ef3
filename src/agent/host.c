/* What the host's owner wants: a file that exists means "not now"; so does a load average from
 * others' work over a stated limit. Looked at once a second, and only where asked for.
 *
 * The load that this peer makes itself, tasks and all, must not make it say busy: its own use of
 * processors is averaged in the way in which the kernel averages the load (exponentially, over a
 * minute), and subtracted. */
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "agent/state.h"
#include "base/clock.h"

#define LOOK_NS PXI_SECOND
#define LOAD_SECONDS 60.0

static uint64_t nanoseconds (struct timeval time)
{
    return (uint64_t)time.tv_sec * PXI_SECOND + (uint64_t)time.tv_usec * 1000;
}

/* Of this process, of its executors that live, and of those that have ended. */
static uint64_t cpu_ns (const pxi_agent *agent)
{
    uint64_t sum_ns = 0;
    static const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    for (size_t i = 0; i < sizeof whose / sizeof *whose; i++) {
        struct rusage usage;
        if (getrusage (whose[i], &usage) == 0)
            sum_ns += nanoseconds (usage.ru_utime) + nanoseconds (usage.ru_stime);
    }
    PXI_LIST_EACH (link, &agent->all_workers)
    {
        const pxi_worker *worker = PXI_LIST_ENTRY (link, pxi_worker, in_agent);
        clockid_t clock;
        struct timespec used;
        if (!worker->dead && clock_getcpuclockid (worker->process->pid, &clock) == 0 &&
            clock_gettime (clock, &used) == 0)
            sum_ns += (uint64_t)used.tv_sec * PXI_SECOND + (uint64_t)used.tv_nsec;
    }
    return sum_ns;
}

static void average_own_load (pxi_agent *agent)
{
    uint64_t now_ns = pxi_clock_ns (), used_ns = cpu_ns (agent);
    double seconds = (double)(now_ns - agent->load_ns) / 1e9;
    /* Between the end of an executor and its burial its time may count twice, or not yet. */
    double load = used_ns > agent->cpu_ns && seconds > 0
                      ? (double)(used_ns - agent->cpu_ns) / 1e9 / seconds
                      : 0;
    double keep = exp (-seconds / LOAD_SECONDS);
    agent->load_own = agent->load_own * keep + load * (1 - keep);
    agent->load_ns = now_ns;
    agent->cpu_ns = used_ns;
}

static bool others_load_the_host (pxi_agent *agent)
{
    double load;
    if (agent->config.load_max <= 0)
        return false;
    average_own_load (agent);
    return getloadavg (&load, 1) == 1 && load - agent->load_own > agent->config.load_max;
}

static bool owner_says_no (const pxi_agent *agent)
{
    return agent->config.busy_file && access (agent->config.busy_file, F_OK) == 0;
}

void pxi_host_look (pxi_agent *agent)
{
    bool file = owner_says_no (agent), load = others_load_the_host (agent);
    pxi_agent_alarm (agent, &agent->host, PXI_ALARM_HOST, agent, pxi_clock_ns () + LOOK_NS);
    if ((file || load) == agent->host_busy)
        return;
    agent->host_busy = file || load;
    pxi_log (&agent->log, PX_LOG_NOTICE, "host", "%s",
             file   ? "its owner says: not now"
             : load ? "others' work loads this host: not now"
                    : "free again");
    pxi_event event = {.kind = PXI_EV_HOST_BUSY, .flag = agent->host_busy};
    pxi_agent_step (agent, &event);
}

void pxi_host_begin (pxi_agent *agent)
{
    agent->load_ns = pxi_clock_ns ();
    agent->cpu_ns = cpu_ns (agent);
    if (agent->config.busy_file || agent->config.load_max > 0)
        pxi_agent_alarm (agent, &agent->host, PXI_ALARM_HOST, agent, agent->load_ns);
}
