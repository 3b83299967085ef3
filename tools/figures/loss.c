/* What a cluster gets done, second by second, while it loses 30 % of its peers, has them back, falls in two
 * halves, and is healed. Some trees that never let it run dry, begun at peers that are spared: a program dies
 * with the peer that it began at, and that would be a figure of programs.
 *
 * What was done once counts as done when it was done; where its result is lost with a peer, doing it again
 * counts as in vain. */
#include <stdlib.h>

#include "core/limits.h"
#include "figure.h"

#define LEAF_NS (50 * PXI_MS)
enum { PEERS = 64, SLOTS = 4, JOBS = 8, STEP_MS = 500, STEPS = 88, KILLED_PERCENT = 30 };

/* In seconds. */
static const mark_t marks[] = {
    {8, "30 % killed"}, {18, "back"}, {26, "cut in two"}, {36, "healed"}};
enum { KILL, BACK, CUT, HEAL, N_MARKS };

static bool is_home (const cluster_t *cluster, uint32_t peer)
{
    for (uint32_t i = 0; i < cluster->config.n_jobs; i++) {
        if (cluster->jobs[i].peer == peer)
            return true;
    }
    return false;
}

static uint64_t lasts_ns (uint32_t from, uint32_t to)
{
    return (uint64_t)(marks[to].x - marks[from].x) * PXI_SECOND;
}

static void kill_some (cluster_t *cluster)
{
    uint32_t n_peers = cluster->config.n_peers, n_left = n_peers * KILLED_PERCENT / 100;
    uint32_t *order = calloc (n_peers, sizeof *order);
    if (!order)
        out_of_memory ();
    pick_peers (n_peers, n_peers - 1, cluster->config.seed, order);
    for (uint32_t i = 0; i + 1 < n_peers && n_left; i++) {
        pxi_fault kill = {
            .kind = PXI_FAULT_CRASH, .peer = order[i], .duration_ns = lasts_ns (KILL, BACK)};
        if (is_home (cluster, order[i]))
            continue;
        pxi_world_fault (cluster->world, &kill);
        n_left--;
    }
    free (order);
}

static void cut (cluster_t *cluster)
{
    pxi_fault cut = {.kind = PXI_FAULT_PARTITION, .duration_ns = lasts_ns (CUT, HEAL)};
    pxi_world_fault (cluster->world, &cut);
}

static double up_percent (const cluster_t *cluster)
{
    uint32_t n_up = 0;
    for (uint32_t i = 0; i < cluster->config.n_peers; i++)
        n_up += pxi_world_core (cluster->world, i) != NULL;
    return 100.0 * n_up / cluster->config.n_peers;
}

static void run_line (const figure_t *figure, uint32_t line, uint64_t seed, double *values)
{
    (void)line;
    uint32_t n_peers = figure->n_peers;
    uint32_t n_jobs = n_peers / 4 < JOBS ? n_peers / 4 + 1 : JOBS;
    uint32_t n_slots = or_default (figure->settings->slots, SLOTS);
    cluster_t cluster;
    pxi_world_report before = {0}, report;
    cluster_init (&cluster, figure->settings, n_peers, n_jobs, seed);
    cluster_slots (&cluster, n_slots);
    for (uint32_t i = 0; i < n_jobs; i++)
        cluster.jobs[i].tree = cluster_split (
            (uint64_t)n_peers * n_slots * STEPS * STEP_MS * PXI_MS / n_jobs, LEAF_NS);
    cluster.config.tells_work = true;
    cluster_start (&cluster);
    for (uint32_t i = 0; i < figure->n_points; i++) {
        double *here = &values[i * figure->n_values];
        cluster_until (&cluster, (uint64_t)(i + 1) * STEP_MS * PXI_MS);
        pxi_world_read (cluster.world, &report);
        double slots_ns = (double)n_peers * n_slots * STEP_MS * PXI_MS;
        here[0] = 100 * (double)(report.done_ns - before.done_ns) / slots_ns;
        here[1] = 100 * (double)(report.vain_ns - before.vain_ns) / slots_ns;
        here[2] = up_percent (&cluster);
        before = report;
        if (figure->points[i] == marks[KILL].x)
            kill_some (&cluster);
        if (figure->points[i] == marks[CUT].x)
            cut (&cluster);
    }
    cluster_finish (&cluster, &report); /* every answer is there, and none is another */
    cluster_fini (&cluster);
}

int command_loss (const settings_t *settings)
{
    figure_t figure = {.settings = settings,
                       .command = "loss",
                       .title = "Work done through the loss of peers and a partition",
                       .x = "seconds",
                       .y = "% of all slots",
                       .lines = {"cluster"},
                       .n_lines = 1,
                       .values = {"done", "in_vain", "peers_up"},
                       .n_values = 3,
                       .n_drawn = 3,
                       .marks = marks,
                       .n_marks = N_MARKS,
                       .n_points = STEPS,
                       .n_seeds = 3,
                       .n_peers = peers_of (settings, PEERS),
                       .run_line = run_line};
    for (uint32_t i = 0; i < STEPS; i++)
        figure.points[i] = (i + 1) * STEP_MS / 1000.0;
    figure_run (&figure);
    return figure_end (&figure, NULL);
}
