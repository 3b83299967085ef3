/* Delay and messages against load: the same runs, seen from two sides. All policies get the same stream,
 * seed by seed, so their differences are paired. The delay is what the submitter sees: it counts the way
 * of the last result home, for every policy. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"

#define DELAY_LOAD_MAX 0.95   /* where ours has to be no slower ... */
#define MESSAGES_LOAD_MAX 0.7 /* ... and to send less */

typedef struct cell {
    series_t delay, p50, p95, p99, messages, members, probes, refused, extra, difference;
} cell_t;

typedef struct sweep {
    plan_t plan;
    const char *command;
    bool messages;       /* the figure in question; else delay */
    uint32_t against;    /* index of a policy; n_policies = none */
    outcome_t *outcomes; /* policies x loads x seeds */
    cell_t cells[POLICIES_MAX * LOADS_MAX];
    uint32_t n_worse;
    bool judged;
} sweep_t;

static outcome_t *outcome_at (const sweep_t *sweep, uint32_t policy, uint32_t load, uint32_t seed)
{
    const plan_t *plan = &sweep->plan;
    return &sweep->outcomes[(policy * plan->n_loads + load) * plan->n_seeds + seed];
}

static cell_t *cell_at (sweep_t *sweep, uint32_t policy, uint32_t load)
{
    return &sweep->cells[policy * sweep->plan.n_loads + load];
}

/* ---- running ---------------------------------------------------------------------------------- */

static series_t over_seeds (const sweep_t *sweep, uint32_t policy, uint32_t load, size_t offset)
{
    uint32_t n = sweep->plan.n_seeds;
    double *values = malloc (n * sizeof *values);
    if (!values)
        out_of_memory ();
    for (uint32_t i = 0; i < n; i++)
        memcpy (&values[i], (const char *)outcome_at (sweep, policy, load, i) + offset,
                sizeof *values);
    series_t series = series_of (values, n);
    free (values);
    return series;
}

static double shown (const sweep_t *sweep, const outcome_t *outcome)
{
    return sweep->messages ? outcome->messages : outcome->mean_ms;
}

static series_t differences (const sweep_t *sweep, uint32_t policy, uint32_t load)
{
    uint32_t n = sweep->plan.n_seeds;
    double *values = malloc (n * sizeof *values);
    if (!values)
        out_of_memory ();
    for (uint32_t i = 0; i < n; i++)
        values[i] = shown (sweep, outcome_at (sweep, policy, load, i)) -
                    shown (sweep, outcome_at (sweep, sweep->against, load, i));
    series_t series = series_of (values, n);
    free (values);
    return series;
}

static void fill_cell (sweep_t *sweep, uint32_t policy, uint32_t load)
{
    cell_t *cell = cell_at (sweep, policy, load);
#define OVER(field) over_seeds (sweep, policy, load, offsetof (outcome_t, field))
    cell->delay = OVER (mean_ms);
    cell->p50 = OVER (p50_ms);
    cell->p95 = OVER (p95_ms);
    cell->p99 = OVER (p99_ms);
    cell->messages = OVER (messages);
    cell->members = OVER (members);
    cell->probes = OVER (probes);
    cell->refused = OVER (refused);
    cell->extra = OVER (extra);
#undef OVER
}

static void print_head (const sweep_t *sweep)
{
    printf ("%-18s %5s %9s %7s %9s %9s %9s %9s %8s %7s\n", "policy", "load", "delay ms", "sd",
            "p50", "p95", "p99", "messages", "members", "extra %");
    (void)sweep;
}

static void print_cell (const sweep_t *sweep, uint32_t policy, uint32_t load, const cell_t *cell)
{
    printf ("%-18s %5g %9.2f %7.2f %9.2f %9.2f %9.2f %9.2f %8.2f %7.2f\n",
            sweep->plan.policies[policy]->name, sweep->plan.loads[load], cell->delay.mean,
            cell->delay.sd, cell->p50.mean, cell->p95.mean, cell->p99.mean, cell->messages.mean,
            cell->members.mean, 100 * cell->extra.mean);
    fflush (stdout);
}

static void run_all (sweep_t *sweep)
{
    const plan_t *plan = &sweep->plan;
    for (uint32_t load = 0; load < plan->n_loads; load++) {
        for (uint32_t policy = 0; policy < plan->n_policies; policy++) {
            for (uint32_t seed = 0; seed < plan->n_seeds; seed++) {
                progress (plan->settings->quiet, "%s at %g: seed %u of %u ",
                          plan->policies[policy]->name, plan->loads[load], seed + 1, plan->n_seeds);
                run_policy (plan, plan->policies[policy], plan->loads[load],
                            plan->first_seed + seed, outcome_at (sweep, policy, load, seed));
            }
            progress (plan->settings->quiet, "%s", "");
            fill_cell (sweep, policy, load);
            print_cell (sweep, policy, load, cell_at (sweep, policy, load));
        }
    }
}

/* ---- ours against the other ------------------------------------------------------------------- */

static uint32_t index_of (const plan_t *plan, const char *name)
{
    uint32_t i = 0;
    while (i < plan->n_policies && strcmp (plan->policies[i]->name, name) != 0)
        i++;
    return i;
}

/* Worse: by more than twice the error of the paired mean, where there is one. */
static void judge (sweep_t *sweep)
{
    const plan_t *plan = &sweep->plan;
    uint32_t ours = index_of (plan, "ours");
    double load_max = sweep->messages ? MESSAGES_LOAD_MAX : DELAY_LOAD_MAX;
    if (sweep->against == plan->n_policies || ours == plan->n_policies || ours == sweep->against)
        return;
    sweep->judged = true;
    printf ("\nours less %s, %s, paired by seed:\n", plan->policies[sweep->against]->name,
            sweep->messages ? "messages per task" : "delay in ms");
    for (uint32_t load = 0; load < plan->n_loads; load++) {
        cell_t *cell = cell_at (sweep, ours, load);
        cell->difference = differences (sweep, ours, load);
        bool counts = plan->loads[load] <= load_max;
        bool worse = cell->difference.mean > 2 * cell->difference.error;
        sweep->n_worse += counts && worse;
        printf ("  %5g %+9.2f +- %.2f  %s\n", plan->loads[load], cell->difference.mean,
                2 * cell->difference.error,
                !worse   ? "no worse"
                : counts ? "WORSE"
                         : "worse (beyond the load that counts)");
    }
    printf ("%s up to load %g: %s\n", sweep->messages ? "fewer messages" : "never slower", load_max,
            sweep->n_worse ? "no" : "yes");
}

/* ---- output ----------------------------------------------------------------------------------- */

static json_t *cell_json (const sweep_t *sweep, uint32_t policy, uint32_t load, const cell_t *cell)
{
    json_t *json =
        json_pack ("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "policy",
                   sweep->plan.policies[policy]->name, "load", sweep->plan.loads[load], "delay_ms",
                   cell->delay.mean, "delay_sd_ms", cell->delay.sd, "p50_ms", cell->p50.mean,
                   "p95_ms", cell->p95.mean, "p99_ms", cell->p99.mean, "messages_per_task",
                   cell->messages.mean, "messages_sd", cell->messages.sd, "membership_per_task",
                   cell->members.mean, "probes_per_task", cell->probes.mean, "refused_share",
                   cell->refused.mean, "extra_share", cell->extra.mean);
    if (sweep->judged && !strcmp (sweep->plan.policies[policy]->name, "ours"))
        json_object_update_new (json, json_pack ("{s:f, s:f}", "difference", cell->difference.mean,
                                                 "difference_error", cell->difference.error));
    return json;
}

static bool write_json (sweep_t *sweep)
{
    json_t *json = plan_json (&sweep->plan), *list = json_array ();
    for (uint32_t policy = 0; policy < sweep->plan.n_policies; policy++) {
        for (uint32_t load = 0; load < sweep->plan.n_loads; load++)
            json_array_append_new (list,
                                   cell_json (sweep, policy, load, cell_at (sweep, policy, load)));
    }
    json_object_set_new (json, "rows", list);
    if (sweep->judged)
        json_object_update_new (json, json_pack ("{s:s, s:i}", "against",
                                                 sweep->plan.policies[sweep->against]->name,
                                                 "worse_at_loads", (int)sweep->n_worse));
    return json_write (sweep->plan.settings->json, json);
}

static bool plot (sweep_t *sweep)
{
    const plan_t *plan = &sweep->plan;
    double ys[POLICIES_MAX * LOADS_MAX];
    const char *names[POLICIES_MAX];
    for (uint32_t i = 0; i < plan->n_policies; i++) {
        names[i] = plan->policies[i]->name;
        for (uint32_t j = 0; j < plan->n_loads; j++) {
            const cell_t *cell = cell_at (sweep, i, j);
            ys[i * plan->n_loads + j] = sweep->messages ? cell->messages.mean : cell->delay.mean;
        }
    }
    chart_t chart = {.title = sweep->messages ? "Messages per task, results included"
                                              : "Delay beyond the longest task",
                     .x = "load",
                     .y = sweep->messages ? "messages" : "ms, mean",
                     .log_y = true,
                     .n_lines = plan->n_policies,
                     .n_points = plan->n_loads,
                     .lines = names,
                     .xs = plan->loads,
                     .ys = ys};
    return plot_svg (plan->settings->plot, &chart);
}

static int run (const settings_t *settings, const char *command)
{
    static const defaults_t usual = {.loads = "0.1,0.3,0.5,0.7,0.8,0.9,0.95,0.98",
                                     .policies =
                                         "central,random,pairs,batch,late2,late3,ask,steal,ours",
                                     .seeds = 3,
                                     .jobs = 2000,
                                     .peers = 1000,
                                     .slots = 4,
                                     .tasks = 100};
    static sweep_t sweep;
    sweep = (sweep_t){.command = command, .messages = !strcmp (command, "messages")};
    plan_make (&sweep.plan, settings, command, &usual);
    const plan_t *plan = &sweep.plan;
    sweep.against = index_of (plan, settings->against ? settings->against : "late2");
    if (settings->against && sweep.against == plan->n_policies) {
        fprintf (stderr, "peer-figures: --against: \"%s\" is not among the policies that run\n",
                 settings->against);
        return EXIT_USAGE;
    }
    sweep.outcomes =
        calloc ((size_t)plan->n_policies * plan->n_loads * plan->n_seeds, sizeof *sweep.outcomes);
    if (!sweep.outcomes)
        out_of_memory ();
    print_head (&sweep);
    run_all (&sweep);
    judge (&sweep);
    bool fine = !settings->json || write_json (&sweep);
    if (settings->plot)
        fine = plot (&sweep) && fine;
    free (sweep.outcomes);
    bool short_of = settings->demand && (!sweep.judged || sweep.n_worse);
    return fine && !short_of ? EXIT_FINE : EXIT_SHORT;
}

int command_delay (const settings_t *settings)
{
    return run (settings, "delay");
}

int command_messages (const settings_t *settings)
{
    return run (settings, "messages");
}
