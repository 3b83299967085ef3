#include "bench/compare.h"

#include <unistd.h>

/* ---- set-ups ---------------------------------------------------------------------------------- */

static set_up_t *add_set_up (compare_t *compare, const char *line, uint32_t slots,
                             uint32_t n_others)
{
    set_up_t *set_up = &compare->set_ups[compare->n_set_ups++];
    *set_up = (set_up_t){.line = line,
                         .plan = {.module = compare->module, .slots = slots, .n_others = n_others},
                         .x = slots + n_others};
    return set_up;
}

static void plan_set_ups (compare_t *compare)
{
    const settings_t *settings = &compare->bench->settings;
    long processors = sysconf (_SC_NPROCESSORS_ONLN);
    uint32_t all = settings->slots ? (uint32_t)settings->slots : (uint32_t)processors;
    uint32_t n_others = (uint32_t)settings->local;
    add_set_up (compare, "one peer", 1, 0);
    if (all > 1)
        add_set_up (compare, "one peer", all, 0);
    if (n_others > 1)
        add_set_up (compare, "peers of one slot", 1, 1);
    if (n_others)
        add_set_up (compare, "peers of one slot", 1, n_others);
    if (settings->join.n)
        add_set_up (compare, "the cluster", 0, 0)->plan.join = true;
    if (compare->per_node)
        add_set_up (compare, "a task per node", 1, 0)->words = compare->per_node;
    if (compare->per_node && all > 1)
        add_set_up (compare, "a task per node", all, 0)->words = compare->per_node;
}

/* ---- rounds ----------------------------------------------------------------------------------- */

static bool run_set_up (compare_t *compare, set_up_t *set_up, uint32_t repeat)
{
    peers_t peers;
    double *s = &set_up->s[repeat];
    bool fine = peers_open (compare->bench, &set_up->plan, &peers) &&
                compare->parallel (compare, &peers, set_up->words ? set_up->words : "", s);
    px_stats stats = {.size = sizeof stats};
    if (fine && set_up->plan.join && px_peer_stats (peers.peer, &stats) == PX_OK)
        set_up->x = (double)stats.peers_known + 1;
    set_up->speedup[repeat] = compare->serial_s[repeat] / *s;
    peers_close (&peers);
    return fine;
}

static bool run_round (compare_t *compare, uint32_t repeat)
{
    const settings_t *settings = &compare->bench->settings;
    bool fine = compare->serial (compare, &compare->serial_s[repeat]);
    for (uint32_t i = 0; i < compare->n_set_ups && fine; i++) {
        progress (settings->quiet, "%s: %u of %u, %s, %.0f ", compare->bench->command->name,
                  repeat + 1, (uint32_t)settings->repeats, compare->set_ups[i].line,
                  compare->set_ups[i].x);
        fine = run_set_up (compare, &compare->set_ups[i], repeat);
    }
    return fine;
}

static int report (compare_t *compare)
{
    bench_t *bench = compare->bench;
    uint32_t n = (uint32_t)bench->settings.repeats;
    char name[48];
    snprintf (name, sizeof name, "%s-speedup", bench->command->name);
    table_t table = {
        .name = bench->command->name, .title = compare->title, .x = "slots", .unit = "s"};
    table_t *times = report_table (bench, &table);
    table.name = name;
    table.unit = "times as fast as serial";
    table_t *speedups = report_table (bench, &table);
    const figure_t *serial = report_add (times, "serial", 1, compare->serial_s, n, NULL);
    for (uint32_t i = 0; i < compare->n_set_ups; i++) {
        const set_up_t *set_up = &compare->set_ups[i];
        report_add (times, set_up->line, set_up->x, set_up->s, n, serial);
        report_add (speedups, set_up->line, set_up->x, set_up->speedup, n, NULL);
    }
    return report_end (bench);
}

int compare_run (compare_t *compare)
{
    plan_set_ups (compare);
    for (uint32_t i = 0; i < compare->bench->settings.repeats; i++) {
        if (!run_round (compare, i))
            return EXIT_SHORT;
    }
    return report (compare);
}
