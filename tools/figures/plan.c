#include <errno.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "figures.h"

#define MEAN_NS (100 * PXI_MS)
#define LOAD_MAX 0.995
enum { VIEW = 512 };

uint32_t peers_of (const settings_t *settings, uint32_t usual)
{
    double peers = usual;
    if (settings->peers)
        numbers_of ("--peers", settings->peers, "a number from 2 to 1000000, and only one", 2, 1e6,
                    &peers, 1);
    return (uint32_t)peers;
}

static void set_policy (void *context, const char *name)
{
    plan_t *plan = context;
    const policy_t *policy = policy_find (name);
    if (!policy)
        wrong ("--policies", name, "a policy: see --help");
    if (plan->n_policies == POLICIES_MAX)
        wrong ("--policies", name, "one of the first 32");
    plan->policies[plan->n_policies++] = policy;
}

static void open_trace (plan_t *plan, const char *path)
{
    plan->trace = fopen (path, "w");
    if (plan->trace)
        return;
    fprintf (stderr, "peer-figures: %s: %s\n", path, strerror (errno));
    exit (EXIT_SHORT);
}

uint32_t or_default (uint64_t value, uint32_t usual)
{
    return value ? (uint32_t)value : usual;
}

void plan_make (plan_t *plan, const settings_t *settings, const char *command,
                const defaults_t *defaults)
{
    *plan = (plan_t){.settings = settings, .command = command};
    plan->n_loads =
        numbers_of ("--loads", settings->loads ? settings->loads : defaults->loads,
                    "a load over 0 and up to 0.995", DBL_MIN, LOAD_MAX, plan->loads, LOADS_MAX);
    each_word (plan, settings->policies ? settings->policies : defaults->policies, set_policy);
    plan->stream.n_tasks = or_default (settings->tasks, defaults->tasks);
    plan->stream.n_peers = peers_of (settings, defaults->peers);
    plan->stream.slots = or_default (settings->slots, defaults->slots);
    plan->stream.mean_ns = MEAN_NS;
    plan->stream.law = PXI_STREAM_JOBS;
    if (settings->law && !pxi_stream_law_by_name (settings->law, &plan->stream.law))
        wrong ("--law", settings->law, "a law: see --help");
    plan->n_jobs = or_default (settings->jobs, defaults->jobs);
    plan->n_seeds = or_default (settings->seeds, defaults->seeds);
    plan->first_seed = settings->seed ? settings->seed : 1;
    plan->hop_ns = settings->rtt_us * 500;
    plan->view = or_default (settings->view, VIEW);
    if (settings->trace)
        open_trace (plan, settings->trace);
}

json_t *plan_json (const plan_t *plan)
{
    return json_pack (
        "{s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:s, s:f, s:f}", "figure", plan->command, "peers",
        (int)plan->stream.n_peers, "slots", (int)plan->stream.slots, "tasks_per_job",
        (int)plan->stream.n_tasks, "jobs", (int)plan->n_jobs, "seeds", (int)plan->n_seeds,
        "first_seed", (json_int_t)plan->first_seed, "law", pxi_stream_law_name (plan->stream.law),
        "mean_ms", (double)plan->stream.mean_ns / 1e6, "round_trip_ms", (double)plan->hop_ns / 5e5);
}
