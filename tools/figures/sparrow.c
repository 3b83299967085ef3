/* The licence for every other figure: Sparrow's own set-up, run here, beside what its own simulator says.
 *
 * Its published simulator (radlab/sparrow, simulation/), run unmodified, gave the figures below: mean over
 * jobs of the time beyond the job's longest task; at its own size with one seed, at a tenth of it with
 * several. Ours are means over seeds. Both means have noise: they may differ by `BAND` of its standard
 * deviations (theirs where there are several seeds, else ours), and by the rounding of what is written here.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "figures.h"

#define BAND 3

typedef struct reference {
    uint32_t size; /* peers, and as many jobs */
    const char *policy;
    double load, ms, step_ms; /* step: of the last digit here */
    uint32_t n_seeds;
    double sd_ms; /* of one seed; 0 = not known */
} reference_t;

static const reference_t references[] = {
    {10000, "central", .8, 0.5, .1, 1, 0},     {10000, "central", .9, 0.5, .1, 1, 0},
    {10000, "central", .95, 2.7, .1, 1, 0},    {10000, "random", .8, 461, 1, 1, 0},
    {10000, "random", .9, 602, 1, 1, 0},       {10000, "random", .95, 672, 1, 1, 0},
    {10000, "pairs", .8, 105, 1, 1, 0},        {10000, "pairs", .9, 153, 1, 1, 0},
    {10000, "pairs", .95, 184, 1, 1, 0},       {10000, "batch", .8, 49, 1, 1, 0},
    {10000, "batch", .9, 113, 1, 1, 0},        {10000, "batch", .95, 146, 1, 1, 0},
    {10000, "late", .8, 5.9, .1, 1, 0},        {10000, "late", .9, 25.9, .1, 1, 0},
    {10000, "late", .95, 47.9, .1, 1, 0},      {10000, "late2", .8, 4.2, .1, 5, 1.0},
    {10000, "late2", .9, 22.2, .1, 1, 0},      {10000, "late2", .95, 41.4, .1, 1, 0},
    {1000, "late", .9, 39.68, .01, 20, 15.1},  {1000, "late2", .8, 12.49, .01, 20, 4.9},
    {1000, "late2", .9, 33.71, .01, 48, 17.5}, {1000, "late2", .95, 60.22, .01, 20, 23.4},
};

enum { SEEDS_MIN = 5 }; /* fewer do not tell their noise */

/* They hold for two sizes only. */
static bool is_sparrows (const plan_t *plan)
{
    return plan->stream.slots == 4 && plan->stream.n_tasks == 100 &&
           plan->n_jobs == plan->stream.n_peers && plan->stream.law == PXI_STREAM_JOBS &&
           plan->hop_ns == 500000 && plan->n_seeds >= SEEDS_MIN;
}

static const reference_t *reference_of (const plan_t *plan, const policy_t *policy, double load)
{
    for (size_t i = 0; is_sparrows (plan) && i < sizeof references / sizeof *references; i++) {
        const reference_t *one = &references[i];
        if (one->size == plan->n_jobs && one->load == load && !strcmp (one->policy, policy->name))
            return one;
    }
    return NULL;
}

static double band_ms (const reference_t *reference, const series_t *ours)
{
    double sd = reference->sd_ms > 0 ? reference->sd_ms : ours->sd;
    double variance = ours->sd * ours->sd / ours->n + sd * sd / reference->n_seeds;
    return BAND * sqrt (variance) + reference->step_ms / 2;
}

struct row {
    const policy_t *policy;
    double load;
    series_t delay, messages;
    const reference_t *reference; /* NULL: none for this */
    double band_ms;
    bool inside;
};

static void make_row (const plan_t *plan, const policy_t *policy, double load, struct row *row)
{
    double *delays = calloc (plan->n_seeds, sizeof *delays);
    double *messages = calloc (plan->n_seeds, sizeof *messages);
    if (!delays || !messages)
        out_of_memory ();
    for (uint32_t i = 0; i < plan->n_seeds; i++) {
        outcome_t outcome;
        progress (plan->settings->quiet, "%s at %g: seed %u of %u ", policy->name, load, i + 1,
                  plan->n_seeds);
        run_as_sparrow (plan, policy, load, plan->first_seed + i, &outcome);
        delays[i] = outcome.mean_ms;
        messages[i] = outcome.messages;
    }
    progress (plan->settings->quiet, "%s", "");
    *row = (struct row){.policy = policy, .load = load};
    row->delay = series_of (delays, plan->n_seeds);
    row->messages = series_of (messages, plan->n_seeds);
    row->reference = reference_of (plan, policy, load);
    if (row->reference) {
        row->band_ms = band_ms (row->reference, &row->delay);
        row->inside = fabs (row->delay.mean - row->reference->ms) <= row->band_ms;
    }
    free (delays);
    free (messages);
}

static void print_row (const struct row *row)
{
    printf ("%-10s %5g %9.2f %8.2f %9.2f", row->policy->name, row->load, row->delay.mean,
            row->delay.sd, row->messages.mean);
    if (row->reference)
        printf (" %9.1f %8.1f  %s", row->reference->ms, row->band_ms,
                row->inside ? "inside" : "OUTSIDE");
    putchar ('\n');
    fflush (stdout);
}

static json_t *row_json (const struct row *row)
{
    json_t *json = json_pack ("{s:s, s:f, s:f, s:f, s:f}", "policy", row->policy->name, "load",
                              row->load, "delay_ms", row->delay.mean, "sd_ms", row->delay.sd,
                              "messages_per_task", row->messages.mean);
    if (row->reference)
        json_object_update_new (json,
                                json_pack ("{s:f, s:f, s:b}", "sparrow_ms", row->reference->ms,
                                           "band_ms", row->band_ms, "inside", row->inside));
    return json;
}

static bool plot (const plan_t *plan, const struct row *rows)
{
    double ys[POLICIES_MAX * LOADS_MAX];
    const char *names[POLICIES_MAX];
    for (uint32_t i = 0; i < plan->n_policies; i++) {
        names[i] = plan->policies[i]->name;
        for (uint32_t j = 0; j < plan->n_loads; j++)
            ys[i * plan->n_loads + j] = rows[i * plan->n_loads + j].delay.mean;
    }
    chart_t chart = {.title = "Sparrow's set-up: delay beyond the longest task",
                     .x = "load",
                     .y = "ms, mean",
                     .log_y = true,
                     .n_lines = plan->n_policies,
                     .n_points = plan->n_loads,
                     .lines = names,
                     .xs = plan->loads,
                     .ys = ys};
    return plot_svg (plan->settings->plot, &chart);
}

int command_sparrow (const settings_t *settings)
{
    static const defaults_t usual = {.loads = "0.8,0.9,0.95",
                                     .policies = "central,random,pairs,batch,late,late2",
                                     .seeds = 20,
                                     .jobs = 10000,
                                     .peers = 10000,
                                     .slots = 4,
                                     .tasks = 100};
    static struct row rows[POLICIES_MAX * LOADS_MAX];
    plan_t plan;
    uint32_t n = 0, n_compared = 0, n_outside = 0;
    plan_make (&plan, settings, "sparrow", &usual);
    for (uint32_t i = 0; i < plan.n_policies; i++) {
        if (!plan.policies[i]->ours)
            continue;
        fprintf (stderr,
                 "peer-figures: --policies: \"%s\" is none of Sparrow's set-up: see delay\n",
                 plan.policies[i]->name);
        return EXIT_USAGE;
    }
    json_t *json = plan_json (&plan), *list = json_array ();
    printf ("%-10s %5s %9s %8s %9s %9s %8s\n", "policy", "load", "delay ms", "sd", "messages",
            "Sparrow's", "band +-");
    for (uint32_t i = 0; i < plan.n_policies; i++) {
        for (uint32_t j = 0; j < plan.n_loads; j++, n++) {
            make_row (&plan, plan.policies[i], plan.loads[j], &rows[n]);
            print_row (&rows[n]);
            json_array_append_new (list, row_json (&rows[n]));
            n_compared += rows[n].reference != NULL;
            n_outside += rows[n].reference && !rows[n].inside;
        }
    }
    if (n_compared)
        printf ("%u of %u figures are inside the band of the noise of both (%d sd)\n",
                n_compared - n_outside, n_compared, BAND);
    else
        puts ("nothing to compare with: Sparrow's figures are of its own sizes and loads, and it "
              "takes "
              "5 seeds");
    json_object_set_new (json, "rows", list);
    json_object_set_new (json, "outside", json_integer (n_outside));
    bool fine = !settings->json || json_write (settings->json, json_incref (json));
    json_decref (json);
    if (settings->plot)
        fine = plot (&plan, rows) && fine;
    return fine && !n_outside ? EXIT_FINE : EXIT_SHORT;
}
