/* Each application has a share of the work; from the mean number of its tasks and their mean time follows how
 * often a job of it comes. A loop of m tasks in the mean has 1 to 2 m - 1 of them; a tree of L levels with 2 to
 * 4 subtasks each has 3^L that take time. Times are lognormal with sigma 1, as in clusters whose traces are
 * public: the longest twentieth is over five times the median. */
#include "sim/load.h"

#include <stdlib.h>

#include "base/assert.h"

enum { FAN_MIN = 2, FAN_MAX = 4, INPUT_MIN = 64, INPUT_MAX = 4096 };
enum { WAVES = 3, SWELL_PERCENT = 140, EBB_PERCENT = 60 }; /* halves of a wave, of the mean */
enum { JOBS_MAX = INT32_MAX };
#define ARRIVALS UINT64_C (0x6c6f6164)

typedef struct application {
    uint32_t work_percent; /* of all work */
    uint32_t levels;       /* 1 = a loop */
    uint32_t tasks_mean;
    uint32_t time_percent; /* mean time of a task, of the load's */
} application;

static const application applications[] = {
    {10, 1, 10, 12},   /* somebody waits for the answer */
    {40, 1, 200, 100}, /* a sweep over parameters */
    {30, 4, 81, 50},   /* a search */
    {20, 1, 16, 400},  /* a night's batch */
};
enum { N_APPLICATIONS = sizeof applications / sizeof *applications };

/* Jobs of it that come in a nanosecond, in the mean. */
static double rate_of (const pxi_load *load, const application *one)
{
    double slots_used = (double)load->n_peers * load->slots * load->percent / 100;
    double job_ns = (double)load->mean_ns * one->time_percent / 100 * one->tasks_mean;
    return slots_used * one->work_percent / 100 / job_ns;
}

static const application *draw_application (const pxi_load *load, pxi_prng *prng, double rate)
{
    double drawn = pxi_prng_double (prng) * rate;
    uint32_t i = 0;
    while (i + 1 < N_APPLICATIONS && drawn >= rate_of (load, &applications[i]))
        drawn -= rate_of (load, &applications[i++]);
    return &applications[i];
}

static pxi_world_job job_at (const pxi_load *load, const application *one, pxi_prng *prng,
                             uint64_t at_ns)
{
    pxi_tree tree = {.kind = PXI_TREE_RANDOM,
                     .seed = pxi_prng_next (prng),
                     .depth_max = one->levels,
                     .fan_min = FAN_MIN,
                     .fan_max = FAN_MAX,
                     .rounds_max = 1,
                     .leaf = {PXI_LAW_LOGNORMAL, load->mean_ns * one->time_percent / 100},
                     .numbers = {load->number},
                     .n_numbers = 1,
                     .size_min = INPUT_MIN,
                     .size_max = INPUT_MAX};
    if (one->levels == 1)
        tree.fan_min = tree.fan_max = (uint32_t)pxi_prng_between (prng, 1, 2 * one->tasks_mean - 1);
    uint32_t peer = (uint32_t)pxi_prng_below (prng, load->n_peers);
    return (pxi_world_job){.peer = peer, .at_ns = at_ns, .tree = tree};
}

/* Swells in the first half of each wave. */
static double swell (const pxi_load *load, double at_ns)
{
    uint64_t half = (uint64_t)(at_ns * 2 * WAVES / (double)load->for_ns);
    return (double)(half % 2 ? EBB_PERCENT : SWELL_PERCENT) / 100;
}

static uint32_t room_for (double expected)
{
    double room = expected * 1.1 + 1024; /* some deviations more than come */
    return room < JOBS_MAX ? (uint32_t)room : 0;
}

pxi_world_job *pxi_load_draw (const pxi_load *load, uint32_t *n_jobs)
{
    PXI_ASSERT (load->percent > 0);
    PXI_ASSERT (load->mean_ns > 0);
    double rate = 0;
    for (uint32_t i = 0; i < N_APPLICATIONS; i++)
        rate += rate_of (load, &applications[i]);
    uint32_t room = room_for ((double)load->for_ns * rate), n = 0;
    pxi_world_job *jobs = room ? calloc (room, sizeof *jobs) : NULL;
    pxi_prng prng;
    pxi_prng_init (&prng, pxi_mix64 (load->seed ^ ARRIVALS));
    double at_ns = 0;
    while (jobs && n < room) {
        at_ns += pxi_prng_exponential (&prng, 1 / (rate * swell (load, at_ns)));
        if (at_ns >= (double)load->for_ns)
            break;
        const application *one = draw_application (load, &prng, rate);
        jobs[n++] = job_at (load, one, &prng, load->from_ns + (uint64_t)at_ns);
    }
    *n_jobs = n;
    return jobs;
}
