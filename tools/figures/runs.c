/* One policy on one stream: which one, and what came of it. The stream's seed is the run's; what a policy
 * draws for itself comes from another one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "core/limits.h"
#include "figures.h"

#define SPARROW_FROM_NS (500 * PXI_MS)
#define WARM_NS PXI_SECOND
#define TAIL_MEANS 20 /* the load goes on for so many task times after the last measured job */
#define OWN_DRAWS UINT64_C (0x6f776e)

static const policy_t all[] = {
    {"central", "one queue that knows every slot", false, PXI_RIVAL_CENTRAL, 1, NULL},
    {"random", "each task to a random queue", false, PXI_RIVAL_RANDOM, 1, NULL},
    {"pairs", "each task to the shorter of two random queues", false, PXI_RIVAL_PAIRS, 2, NULL},
    {"batch", "a job's n tasks to the n shortest of 2 n queues", false, PXI_RIVAL_BATCH, 2, NULL},
    {"late", "late binding, 2 reservations per task, never cancelled", false, PXI_RIVAL_LATE, 2,
     NULL},
    {"late2", "the same, cancelled", false, PXI_RIVAL_CANCEL, 2, NULL},
    {"late3", "the same, 3 per task", false, PXI_RIVAL_CANCEL, 3, NULL},
    {"ask", "one random peer after the other, without memory", false, PXI_RIVAL_ASK, 1, NULL},
    {"steal", "work stealing, half of what is there", false, PXI_RIVAL_STEAL_HALF, 1, NULL},
    {"steal1", "work stealing, one task", false, PXI_RIVAL_STEAL_ONE, 1, NULL},
    {"ours", "the core of this project", true, 0, 0, ""},
    {"ours-reservations", "ours without reservations", true, 0, 0, "reservations"},
    {"ours-inlining", "ours without small tasks in probes", true, 0, 0, "inlining"},
    {"ours-volunteers", "ours without volunteers", true, 0, 0, "volunteers"},
    {"ours-backoff", "ours without back-off", true, 0, 0, "backoff"},
    {"ours-speculation", "ours without speculation", true, 0, 0, "speculation"},
};

const policy_t *policy_find (const char *name)
{
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!strcmp (name, all[i].name))
            return &all[i];
    }
    return NULL;
}

void policies_print (void)
{
    puts ("\nPolicies:");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        printf ("  %-18s %s\n", all[i].name, all[i].text);
}

/* ---- one run ---------------------------------------------------------------------------------- */

static void make_stream (pxi_stream *stream, const plan_t *plan, uint32_t n_jobs, double load,
                         uint64_t seed)
{
    pxi_stream_config config = plan->stream;
    config.seed = seed;
    config.load = load;
    config.n_jobs = n_jobs;
    if (!pxi_stream_init (stream, &config))
        out_of_memory ();
}

static void fill_delays (outcome_t *outcome, const uint64_t *delays_ns, uint32_t n)
{
    double *ms = malloc ((n ? n : 1) * sizeof *ms);
    if (!ms)
        out_of_memory ();
    uint32_t n_measured = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (delays_ns[i] != PXI_RIVAL_UNMEASURED)
            ms[n_measured++] = (double)delays_ns[i] / 1e6;
    }
    outcome->n_jobs = n_measured;
    outcome->mean_ms = series_of (ms, n_measured).mean;
    outcome->p50_ms = percentile (ms, n_measured, 0.5);
    outcome->p95_ms = percentile (ms, n_measured, 0.95);
    outcome->p99_ms = percentile (ms, n_measured, 0.99);
    free (ms);
}

static void run_rival (const pxi_rival_config *config, uint64_t *delays_ns, outcome_t *outcome)
{
    pxi_rival_report report;
    if (!pxi_rival_run (config, delays_ns, &report))
        out_of_memory ();
    double n_tasks = (double)report.n_started;
    outcome->load = report.load;
    outcome->messages = (double)report.n_messages / n_tasks;
    outcome->probes = (double)report.n_probes / n_tasks;
    outcome->refused = report.n_probes ? (double)report.n_refused / (double)report.n_probes : 0;
    outcome->events = (double)report.n_events;
}

static void switch_off (pxi_core_config *core, const char *feature)
{
    const struct {
        const char *name;
        bool *on;
    } features[] = {{"reservations", &core->reservations},
                    {"inlining", &core->inlining},
                    {"volunteers", &core->volunteers},
                    {"backoff", &core->backoff},
                    {"speculation", &core->speculation}};
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if (!strcmp (feature, features[i].name))
            *features[i].on = false;
    }
}

static void write_line (void *context, uint64_t now_ns, const char *who, const char *line)
{
    fprintf (context, "%12.6f %-6s %s\n", (double)now_ns / 1e9, who, line);
}

static void run_ours (const plan_t *plan, const policy_t *policy, const pxi_stream *stream,
                      uint64_t seed, uint32_t n_measured, uint64_t *delays_ns, outcome_t *outcome)
{
    pxi_flat_config config = {.stream = stream,
                              .hop_ns = plan->hop_ns,
                              .seed = seed,
                              .from_ns = WARM_NS,
                              .n_measured = n_measured,
                              .view = plan->view,
                              .core = pxi_core_config_default (),
                              .checked = plan->settings->checked,
                              .sink = plan->trace ? write_line : NULL,
                              .sink_context = plan->trace};
    pxi_flat_report report;
    switch_off (&config.core, policy->without);
    if (!pxi_flat_run (&config, delays_ns, &report) || report.n_stuck) {
        fprintf (stderr, "peer-figures: %s, load %g, seed %llu: %u jobs never ended: %s\n",
                 policy->name, stream->config.load, (unsigned long long)seed, report.n_stuck,
                 report.world.why);
        exit (EXIT_SHORT);
    }
    const px_stats *stats = &report.world.stats;
    double n_tasks = (double)report.n_tasks, n_probes = (double)stats->probes_sent;
    double work_ns = (double)stats->work_ns + (double)stats->extra_ns;
    outcome->load = stream->config.load;
    outcome->messages = (double)report.n_work / n_tasks;
    outcome->members = (double)report.n_members / n_tasks;
    outcome->probes = n_probes / n_tasks;
    outcome->refused = n_probes > 0 ? (double)stats->probes_busy / n_probes : 0;
    outcome->extra = work_ns > 0 ? (double)stats->extra_ns / work_ns : 0;
    outcome->events = (double)report.world.n_events;
}

static uint64_t *delays_new (uint32_t n)
{
    uint64_t *delays_ns = calloc (n ? n : 1, sizeof *delays_ns);
    if (!delays_ns)
        out_of_memory ();
    return delays_ns;
}

void run_as_sparrow (const plan_t *plan, const policy_t *policy, double load, uint64_t seed,
                     outcome_t *outcome)
{
    pxi_stream stream;
    *outcome = (outcome_t){0};
    make_stream (&stream, plan, 2 * plan->n_jobs, load, seed);
    uint64_t *delays_ns = delays_new (2 * plan->n_jobs);
    pxi_rival_config config = {.stream = &stream,
                               .kind = policy->kind,
                               .ratio = policy->ratio,
                               .hop_ns = plan->hop_ns,
                               .seed = pxi_mix64 (seed + OWN_DRAWS),
                               .from_ns = SPARROW_FROM_NS,
                               .placed_max = plan->n_jobs};
    run_rival (&config, delays_ns, outcome);
    fill_delays (outcome, delays_ns, 2 * plan->n_jobs);
    free (delays_ns);
    pxi_stream_fini (&stream);
}

static uint32_t jobs_in (const plan_t *plan, double load, double ns)
{
    double work_ns = (double)plan->stream.mean_ns * plan->stream.n_tasks;
    return (uint32_t)(ns * load * plan->stream.n_peers * plan->stream.slots / work_ns) + 1;
}

void run_policy (const plan_t *plan, const policy_t *policy, double load, uint64_t seed,
                 outcome_t *outcome)
{
    pxi_stream stream;
    *outcome = (outcome_t){0};
    uint32_t n_measured = jobs_in (plan, load, (double)WARM_NS) + plan->n_jobs;
    uint32_t n = n_measured + jobs_in (plan, load, TAIL_MEANS * (double)plan->stream.mean_ns);
    make_stream (&stream, plan, n, load, seed);
    uint64_t *delays_ns = delays_new (n);
    uint64_t own_seed = pxi_mix64 (seed + OWN_DRAWS);
    pxi_rival_config config = {.stream = &stream,
                               .kind = policy->kind,
                               .ratio = policy->ratio,
                               .hop_ns = plan->hop_ns,
                               .seed = own_seed,
                               .results_hop = true,
                               .from_ns = WARM_NS,
                               .n_measured = n_measured};
    if (policy->ours)
        run_ours (plan, policy, &stream, own_seed, n_measured, delays_ns, outcome);
    else
        run_rival (&config, delays_ns, outcome);
    fill_delays (outcome, delays_ns, n);
    free (delays_ns);
    pxi_stream_fini (&stream);
}
