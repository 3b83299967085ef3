/* How much of the makespan a few slow peers cost: a loop and a tree, with speculation and without. */
#include <math.h>
#include <stdlib.h>

#include "core/limits.h"
#include "figure.h"

#define WORK_NS PXI_SECOND /* per peer */
#define LEAF_NS (10 * PXI_MS)
#define MEAN_NS (100 * PXI_MS)
#define LOOK_NS (10 * PXI_MS)
enum { PEERS = 100, PER_PEER = 10, SLOWER = 5 };

static const struct {
    const char *name;
    bool tree, speculates;
} kinds[] = {{"loop", false, true},
             {"loop, without speculation", false, false},
             {"tree", true, true},
             {"tree, without speculation", true, false}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* Never the peer of the root: its program is as slow as it is. */
static void slow_down (cluster_t *cluster, double percent)
{
    uint32_t n_peers = cluster->config.n_peers;
    uint32_t n = (uint32_t)lround (n_peers * percent / 100);
    n = n < n_peers ? n : n_peers - 1;
    uint32_t *picked = calloc (n + 1, sizeof *picked);
    if (!picked)
        out_of_memory ();
    pick_peers (n_peers, n, cluster->config.seed, picked);
    for (uint32_t i = 0; i < n; i++)
        cluster->peers[picked[i]].speed_permille = 1000 / SLOWER;
    free (picked);
}

static void run_point (const figure_t *figure, uint32_t line, uint32_t point, uint64_t seed,
                       double *values)
{
    const settings_t *settings = figure->settings;
    uint32_t n_peers = figure->n_peers;
    cluster_t cluster;
    pxi_world_report report;
    cluster_init (&cluster, settings, n_peers, 1, seed);
    if (kinds[line].tree)
        cluster.jobs[0].tree = cluster_split (n_peers * WORK_NS, LEAF_NS);
    else
        cluster_loop (&cluster, 0, or_default (settings->tasks, n_peers * PER_PEER),
                      PXI_STREAM_UNIFORM, MEAN_NS);
    slow_down (&cluster, figure->points[point]);
    cluster.config.look_ns = LOOK_NS;
    cluster.config.tells_work = true;
    cluster.config.core.speculation = kinds[line].speculates;
    cluster_start (&cluster);
    cluster_finish (&cluster, &report);
    values[0] = (double)report.makespan_ns / cluster_ideal_ns (&report);
    values[1] = (double)report.makespan_ns / 1e9;
    values[2] = 100 * (double)report.vain_ns / (double)report.done_ns;
    cluster_fini (&cluster);
}

int command_slow (const settings_t *settings)
{
    figure_t figure = {.settings = settings,
                       .command = "slow",
                       .title = "Makespan with peers that are 5 times slower than the others",
                       .x = "slow peers, %",
                       .y = "makespan over ideal",
                       .n_lines = N_KINDS,
                       .values = {"makespan_over_ideal", "makespan_s", "vain_percent"},
                       .n_values = 3,
                       .n_seeds = 10,
                       .n_peers = peers_of (settings, PEERS),
                       .run_point = run_point};
    for (uint32_t i = 0; i < N_KINDS; i++)
        figure.lines[i] = kinds[i].name;
    figure_points (&figure, "--points", settings->points, "0,1,5,10", 0, 90);
    figure_run (&figure);
    return figure_end (&figure, NULL);
}
