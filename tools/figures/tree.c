/* One divide-and-conquer tree, from one peer on: how much of the cluster it keeps busy, and at what price in
 * messages. Work grows with the cluster (one second per peer), so that only what does not scale shows. */
#include "core/limits.h"
#include "figure.h"

#define WORK_NS PXI_SECOND /* per peer */
#define LEAF_NS (10 * PXI_MS)
enum { GRAIN_PEERS = 256 };

/* Efficiency, messages per leaf, makespan, makespan's ideal. A tree that is cut in two has one task fewer
 * inside than leaves. */
static void run (const settings_t *settings, uint32_t n_peers, uint64_t leaf_ns, uint64_t seed,
                 double *values)
{
    cluster_t cluster;
    pxi_world_report report;
    cluster_init (&cluster, settings, n_peers, 1, seed);
    cluster.jobs[0].tree = cluster_split (n_peers * WORK_NS, leaf_ns);
    cluster_start (&cluster);
    cluster_finish (&cluster, &report);
    double ideal_ns = cluster_ideal_ns (&report);
    values[0] = ideal_ns / (double)report.makespan_ns;
    values[1] = (double)pxi_world_n_work (&report) / ((double)(report.n_tasks + 1) / 2);
    values[2] = (double)report.makespan_ns / 1e9;
    values[3] = ideal_ns / 1e9;
    cluster_fini (&cluster);
}

static void against_peers (const figure_t *figure, uint32_t line, uint32_t point, uint64_t seed,
                           double *values)
{
    (void)line;
    run (figure->settings, (uint32_t)figure->points[point], LEAF_NS, seed, values);
}

/* Points are leaves over round trips. */
static void against_grain (const figure_t *figure, uint32_t line, uint32_t point, uint64_t seed,
                           double *values)
{
    (void)line;
    double leaf_us = figure->points[point] * (double)figure->settings->rtt_us;
    run (figure->settings, figure->n_peers, (uint64_t)(leaf_us * 1000), seed, values);
}

/* What both figures of one tree have in common. */
static figure_t one_tree (const settings_t *settings)
{
    return (figure_t){.settings = settings,
                      .y = "efficiency: ideal over makespan",
                      .y2 = "messages per leaf",
                      .log_x = true,
                      .lines = {"split"},
                      .n_lines = 1,
                      .values = {"efficiency", "messages_per_leaf", "makespan_s", "ideal_s"},
                      .n_values = 4};
}

int command_tree (const settings_t *settings)
{
    figure_t figure = one_tree (settings);
    figure.command = "tree";
    figure.title = "One tree: 1 s of work per peer, leaves of at most 10 ms";
    figure.x = "peers";
    figure.n_seeds = 3;
    figure.run_point = against_peers;
    figure_points (&figure, "--peers", settings->peers, "1,4,16,64,256,1024,4096", 1, 1e6);
    figure_run (&figure);
    return figure_end (&figure, NULL);
}

int command_grain (const settings_t *settings)
{
    figure_t figure = one_tree (settings);
    figure.command = "grain";
    figure.title = "One tree: 1 s of work per peer, by the size of its leaves";
    figure.x = "largest leaf over round trip";
    figure.n_seeds = 5;
    figure.n_peers = peers_of (settings, GRAIN_PEERS);
    figure.run_point = against_grain;
    figure_points (&figure, "--points", settings->points, "1,2,5,10,20,50,100", 0.01, 1e6);
    for (uint32_t i = 0; i < figure.n_points; i++)
        figure.points[i] *= 1000.0 / (double)settings->rtt_us; /* given in ms */
    figure_run (&figure);
    return figure_end (&figure, NULL);
}
