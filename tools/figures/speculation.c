/* What doing a late subtask again gains, and what it costs, by the law of run times.
 *
 * A loop whose tasks all start at once on a cluster with slots to spare. Either the times are the machines'
 * (a second attempt draws anew), or the tasks' own (it takes as long again). Points: how many extra attempts
 * are allowed at once. Work in vain is all that threads spent on attempts that lost, by the simulator's own
 * account; the core's budget for it is a twentieth of the work. */
#include <stdlib.h>

#include "core/limits.h"
#include "figure.h"

#define MEAN_NS (100 * PXI_MS)
#define LOOK_NS (10 * PXI_MS) /* how often a task looks whether it is cancelled */
enum { PEERS = 256, SLOTS = 2, TASKS = 400, BUDGET_PERCENT = 5 };

static const struct {
    const char *name;
    pxi_stream_law law;
    bool of_task;
} kinds[] = {
    {"exponential", PXI_STREAM_EXPONENTIAL, false},
    {"shifted", PXI_STREAM_SHIFTED, false},
    {"pareto", PXI_STREAM_PARETO, false},
    {"lognormal", PXI_STREAM_LOGNORMAL, false},
    {"uniform", PXI_STREAM_UNIFORM, false},
    {"lognormal, task's", PXI_STREAM_LOGNORMAL, true},
    {"pareto, task's", PXI_STREAM_PARETO, true},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

struct noise {
    pxi_stream_law law;
    pxi_prng prng;
};

static uint64_t takes_ns (void *context, uint64_t length_ns)
{
    struct noise *noise = context;
    return (uint64_t)pxi_stream_draw (noise->law, &noise->prng, (double)length_ns);
}

static void run (const figure_t *figure, uint32_t kind, uint32_t percent, uint64_t seed,
                 pxi_world_report *report)
{
    const settings_t *settings = figure->settings;
    struct noise noise = {.law = kinds[kind].law};
    uint32_t n_tasks = or_default (settings->tasks, TASKS);
    cluster_t cluster;
    cluster_init (&cluster, settings, figure->n_peers, 1, seed);
    cluster_slots (&cluster, or_default (settings->slots, SLOTS));
    cluster_loop (&cluster, 0, n_tasks, kinds[kind].of_task ? noise.law : PXI_STREAM_CONSTANT,
                  MEAN_NS);
    pxi_prng_init (&noise.prng, pxi_mix64 (seed));
    cluster.config.takes_ns = kinds[kind].of_task ? NULL : takes_ns;
    cluster.config.takes_context = &noise;
    cluster.config.look_ns = LOOK_NS;
    cluster.config.tells_work = true;
    cluster.config.core.speculation = percent > 0;
    cluster.config.core.redo_percent = percent;
    cluster_start (&cluster);
    cluster_finish (&cluster, report);
    cluster_fini (&cluster);
}

/* All points beside the same run without. */
static void run_line (const figure_t *figure, uint32_t line, uint64_t seed, double *values)
{
    pxi_world_report with, without;
    run (figure, line, 0, seed, &without);
    for (uint32_t i = 0; i < figure->n_points; i++, values += figure->n_values) {
        run (figure, line, (uint32_t)figure->points[i], seed, &with);
        values[0] = (double)without.makespan_ns / (double)with.makespan_ns;
        values[1] = 100 * (double)with.vain_ns / (double)with.done_ns;
        values[2] = (double)with.makespan_ns / 1e6;
        values[3] = (double)without.makespan_ns / 1e6;
        values[4] = (double)with.stats.attempts_speculative;
        values[5] = 100 * (values[1] > BUDGET_PERCENT);
    }
}

static uint32_t count_over (const figure_t *figure)
{
    uint32_t n = 0;
    for (uint32_t line = 0; line < figure->n_lines; line++) {
        for (uint32_t point = 0; point < figure->n_points; point++)
            n += figure_cell (figure, line, point, 5)->mean > 0;
    }
    return n;
}

int command_speculation (const settings_t *settings)
{
    figure_t figure = {.settings = settings,
                       .command = "speculation",
                       .title = "Doing late subtasks again: 2 to 100 % extra attempts at once",
                       .x = "work in vain, % of the work",
                       .y = "gain: makespan without over makespan with",
                       .x_is_second = true,
                       .n_lines = N_KINDS,
                       .values = {"gain", "vain_percent", "with_ms", "without_ms", "started",
                                  "runs_over_budget_percent"},
                       .n_values = 6,
                       .n_seeds = 10,
                       .n_peers = peers_of (settings, PEERS),
                       .run_line = run_line};
    for (uint32_t i = 0; i < N_KINDS; i++)
        figure.lines[i] = kinds[i].name;
    figure_points (&figure, "--points", settings->points, "2,5,10,20,100", 1, 100);
    figure_run (&figure);
    uint32_t n_over = count_over (&figure);
    printf ("in vain over %d %% of the work, in some run: at %u of %u points\n", BUDGET_PERCENT,
            n_over, figure.n_lines * figure.n_points);
    int end = figure_end (&figure, json_pack ("{s:i, s:i}", "budget_percent", BUDGET_PERCENT,
                                              "points_over_budget", (int)n_over));
    return settings->demand && n_over ? EXIT_SHORT : end;
}
