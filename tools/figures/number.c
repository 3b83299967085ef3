/* What a branch number costs and saves. It caps the workers of a branch: a loop is one branch, so it is as
 * slow as its number says; a tree has many branches, and each needs few workers. */
#include "core/limits.h"
#include "figure.h"

#define WORK_NS PXI_SECOND /* per peer */
#define LEAF_NS (10 * PXI_MS)
#define MEAN_NS (100 * PXI_MS)
enum { PEERS = 64, PER_PEER = 10, CHOSEN = 64 /* of who says nothing: px_peer_options */ };

static const struct {
    const char *name;
    uint32_t fan; /* 0: a loop */
} shapes[] = {{"loop", 0}, {"tree by 8", 8}, {"tree by 2", 2}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static void run_point (const figure_t *figure, uint32_t line, uint32_t point, uint64_t seed,
                       double *values)
{
    const settings_t *settings = figure->settings;
    uint32_t n_peers = figure->n_peers, fan = shapes[line].fan;
    uint32_t n_tasks = or_default (settings->tasks, n_peers * PER_PEER);
    cluster_t cluster;
    pxi_world_report report;
    cluster_init (&cluster, settings, n_peers, 1, seed);
    pxi_tree *tree = &cluster.jobs[0].tree;
    if (fan)
        *tree = cluster_split (n_peers * WORK_NS, LEAF_NS);
    else
        cluster_loop (&cluster, 0, n_tasks, PXI_STREAM_UNIFORM, MEAN_NS);
    if (fan)
        tree->fan_min = tree->fan_max = fan;
    tree->numbers[0] = (uint32_t)figure->points[point];
    tree->n_numbers = 1;
    cluster_start (&cluster);
    cluster_finish (&cluster, &report);
    values[0] = (double)report.makespan_ns / cluster_ideal_ns (&report);
    values[1] = (double)report.makespan_ns / 1e9;
    values[2] = (double)pxi_world_n_work (&report) / (double)report.n_tasks;
    cluster_fini (&cluster);
}

int command_number (const settings_t *settings)
{
    static const mark_t chosen = {CHOSEN, "default"};
    figure_t figure = {.settings = settings,
                       .command = "number",
                       .title = "Makespan by branch number",
                       .x = "branch number",
                       .y = "makespan over ideal",
                       .log_x = true,
                       .log_y = true,
                       .n_lines = N_SHAPES,
                       .values = {"makespan_over_ideal", "makespan_s", "messages_per_task"},
                       .n_values = 3,
                       .n_seeds = 5,
                       .n_peers = peers_of (settings, PEERS),
                       .marks = &chosen,
                       .n_marks = 1,
                       .run_point = run_point};
    for (uint32_t i = 0; i < N_SHAPES; i++)
        figure.lines[i] = shapes[i].name;
    figure_points (&figure, "--points", settings->points, "1,2,4,8,16,32,63,128", 1,
                   PXI_NUMBER_MAX);
    figure_run (&figure);
    return figure_end (&figure, NULL);
}
