#include <math.h>
#include <stdlib.h>

#include "core/limits.h"
#include "figure.h"

enum { KNOWN_MAX = 64, VIEW_LARGE = 128, SMALL = 256, INPUT_BYTES = 64 };
enum { DRAWS = 5 }; /* who is known is drawn: of a small cluster nearly all */
#define TIMES UINT64_C (0x74696d6573)
#define PICKS UINT64_C (0x7069636b73)
#define NODES_MAX UINT64_C (100000000)
#define PATIENCE_NS (3600 * PXI_SECOND) /* of virtual time: later it is stuck */

void cluster_init (cluster_t *cluster, const settings_t *settings, uint32_t n_peers,
                   uint32_t n_jobs, uint64_t seed)
{
    *cluster = (cluster_t){.config = pxi_world_config_default ()};
    cluster->peers = calloc (n_peers, sizeof *cluster->peers);
    cluster->jobs = calloc (n_jobs + 1, sizeof *cluster->jobs);
    if (!cluster->peers || !cluster->jobs)
        out_of_memory ();
    for (uint32_t i = 0; i < n_peers; i++)
        cluster->peers[i] = (pxi_world_peer){.slots = 1, .speed_permille = 1000};
    for (uint32_t i = 0; i < n_jobs; i++)
        cluster->jobs[i] = (pxi_world_job){.peer = (uint32_t)((uint64_t)i * n_peers / n_jobs),
                                           .at_ns = CLUSTER_JOINED_NS};
    pxi_world_config *config = &cluster->config;
    config->seed = seed;
    config->n_peers = n_peers;
    config->peers = cluster->peers;
    config->n_jobs = n_jobs;
    config->jobs = cluster->jobs;
    config->nodes_max = NODES_MAX;
    config->network.min_ns = settings->rtt_us * 500;
    config->core.view_max = n_peers > SMALL ? VIEW_LARGE : config->core.view_max;
    config->core.view_max = settings->view ? (uint32_t)settings->view : config->core.view_max;
    config->known = n_peers > SMALL ? KNOWN_MAX : DRAWS * (n_peers - 1);
    config->unchecked = !settings->checked;
}

void cluster_slots (cluster_t *cluster, uint32_t n_slots)
{
    for (uint32_t i = 0; i < cluster->config.n_peers; i++)
        cluster->peers[i].slots = n_slots;
}

void cluster_start (cluster_t *cluster)
{
    for (uint32_t i = 0; i < cluster->config.n_jobs; i++)
        cluster->jobs[i].tree.seed = pxi_mix64 (cluster->config.seed + i);
    cluster->world = pxi_world_new (&cluster->config);
    if (!cluster->world)
        out_of_memory ();
}

void cluster_fini (cluster_t *cluster)
{
    pxi_world_free (&cluster->world);
    for (uint32_t i = 0; i < cluster->config.n_jobs; i++)
        free ((void *)cluster->jobs[i].tree.times_ns);
    free (cluster->peers);
    free (cluster->jobs);
}

static _Noreturn void broken (const cluster_t *cluster, const char *what, const char *why)
{
    fprintf (stderr, "peer-figures: seed %llu: %s: %s\n", (unsigned long long)cluster->config.seed,
             what, why);
    exit (EXIT_SHORT);
}

void cluster_until (cluster_t *cluster, uint64_t ns)
{
    if (pxi_world_run_until (cluster->world, ns))
        return;
    pxi_world_report report;
    pxi_world_read (cluster->world, &report);
    broken (cluster, "an invariant broke", report.why);
}

void cluster_finish (cluster_t *cluster, pxi_world_report *report)
{
    bool fine = pxi_world_run_jobs (cluster->world, PATIENCE_NS);
    pxi_world_read (cluster->world, report);
    if (!fine)
        broken (cluster, "an invariant broke", report->why);
    if (report->n_jobs_done < cluster->config.n_jobs)
        broken (cluster, "stuck", "not every job was done after an hour");
}

pxi_tree cluster_split (uint64_t work_ns, uint64_t leaf_ns)
{
    return (pxi_tree){.kind = PXI_TREE_SPLIT,
                      .fan_min = 2,
                      .fan_max = 2,
                      .work_ns = work_ns,
                      .leaf_ns = leaf_ns,
                      .size_min = INPUT_BYTES,
                      .size_max = INPUT_BYTES};
}

void cluster_loop (cluster_t *cluster, uint32_t job, uint32_t n_tasks, pxi_stream_law law,
                   uint64_t mean_ns)
{
    uint64_t *times_ns = calloc (n_tasks, sizeof *times_ns);
    pxi_prng prng;
    if (!times_ns)
        out_of_memory ();
    pxi_prng_init (&prng, pxi_mix64 (cluster->config.seed + TIMES + job));
    for (uint32_t i = 0; i < n_tasks; i++)
        times_ns[i] = (uint64_t)pxi_stream_draw (law, &prng, (double)mean_ns);
    cluster->jobs[job].tree = (pxi_tree){.kind = PXI_TREE_LIST,
                                         .fan_min = n_tasks,
                                         .fan_max = n_tasks,
                                         .times_ns = times_ns,
                                         .size_min = INPUT_BYTES,
                                         .size_max = INPUT_BYTES};
}

double cluster_ideal_ns (const pxi_world_report *report)
{
    double parallel_ns = (double)report->work_ns * 1000 / (double)report->slots_speed_permille;
    return fmax (parallel_ns, (double)report->critical_ns);
}

/* Partial Fisher-Yates. */
void pick_peers (uint32_t n_peers, uint32_t n, uint64_t seed, uint32_t *picked)
{
    uint32_t *all = calloc (n_peers, sizeof *all);
    pxi_prng prng;
    if (!all)
        out_of_memory ();
    pxi_prng_init (&prng, pxi_mix64 (seed + PICKS));
    for (uint32_t i = 0; i < n_peers; i++)
        all[i] = i + 1;
    for (uint32_t i = 0; i < n && i + 1 < n_peers; i++) {
        uint32_t at = i + (uint32_t)pxi_prng_below (&prng, n_peers - 1 - i);
        picked[i] = all[at];
        all[at] = all[i];
    }
    free (all);
}
