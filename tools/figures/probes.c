/* How many random peers a task asks until one is free, against theory: 1/(1-q) with q the chance that all s
 * slots of a peer are in use. Mean field: the number in use at a peer is Poisson cut at s, with the offered
 * load that makes its mean s times the load (so q is Erlang's loss formula there, and the load itself for
 * one slot). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "figures.h"

#define BAND 0.02 /* of q: a finite cluster, a finite run */

static const uint32_t slot_counts[] = {1, 4, 8, 16};
enum { N_SLOT_COUNTS = sizeof slot_counts / sizeof *slot_counts };

static double erlang_loss (double offered, uint32_t slots)
{
    double loss = 1;
    for (uint32_t s = 1; s <= slots; s++)
        loss = offered * loss / (s + offered * loss);
    return loss;
}

/* The offered load whose carried load is slots * load, by halving. */
static double full_share (uint32_t slots, double load)
{
    double low = 0, high = slots / (1 - load) + slots;
    for (uint32_t i = 0; i < 100; i++) {
        double offered = (low + high) / 2;
        double carried = offered * (1 - erlang_loss (offered, slots));
        if (carried < slots * load)
            low = offered;
        else
            high = offered;
    }
    return erlang_loss (low, slots);
}

struct row {
    uint32_t slots;
    double load, q, measured_q, probes;
    bool inside;
};

static void make_row (const plan_t *plan, const policy_t *policy, uint32_t slots, double load,
                      struct row *row)
{
    plan_t here = *plan;
    here.stream.slots = slots;
    here.stream.n_peers = plan->stream.n_peers * plan->stream.slots / slots;
    here.stream.n_peers = here.stream.n_peers ? here.stream.n_peers : 1;
    *row = (struct row){.slots = slots, .load = load, .q = full_share (slots, load)};
    for (uint32_t i = 0; i < plan->n_seeds; i++) {
        outcome_t outcome;
        progress (plan->settings->quiet, "%u slots at %g: seed %u of %u ", slots, load, i + 1,
                  plan->n_seeds);
        run_policy (&here, policy, load, plan->first_seed + i, &outcome);
        row->measured_q += outcome.refused / plan->n_seeds;
        row->probes += outcome.probes / plan->n_seeds;
    }
    progress (plan->settings->quiet, "%s", "");
    row->inside = fabs (row->measured_q - row->q) <= BAND;
}

static bool plot (const plan_t *plan, const struct row *rows, uint32_t n_counts)
{
    double ys[2 * N_SLOT_COUNTS * LOADS_MAX];
    char names[2 * N_SLOT_COUNTS][32];
    const char *lines[2 * N_SLOT_COUNTS];
    for (uint32_t i = 0; i < n_counts; i++) {
        snprintf (names[2 * i], sizeof names[0], "%u slots", rows[i * plan->n_loads].slots);
        snprintf (names[2 * i + 1], sizeof names[0], "1/(1-q), %u", rows[i * plan->n_loads].slots);
        for (uint32_t j = 0; j < plan->n_loads; j++) {
            const struct row *row = &rows[i * plan->n_loads + j];
            ys[2 * i * plan->n_loads + j] = row->probes;
            ys[(2 * i + 1) * plan->n_loads + j] = 1 / (1 - row->q);
        }
    }
    for (uint32_t i = 0; i < 2 * n_counts; i++)
        lines[i] = names[i];
    chart_t chart = {.title = "Random peers asked until one is free",
                     .x = "load",
                     .y = "probes",
                     .log_y = true,
                     .n_lines = 2 * n_counts,
                     .n_points = plan->n_loads,
                     .lines = lines,
                     .xs = plan->loads,
                     .ys = ys};
    return plot_svg (plan->settings->plot, &chart);
}

int command_probes (const settings_t *settings)
{
    static const defaults_t usual = {.loads = "0.5,0.7,0.8,0.9,0.95",
                                     .policies = "ask",
                                     .seeds = 1,
                                     .jobs = 200000,
                                     .peers = 1000,
                                     .slots = 4,
                                     .tasks = 1};
    static struct row rows[N_SLOT_COUNTS * LOADS_MAX];
    plan_t plan;
    plan_make (&plan, settings, "probes", &usual);
    const uint32_t only = (uint32_t)settings->slots;
    uint32_t n_counts = only ? 1 : N_SLOT_COUNTS, n = 0, n_outside = 0;
    json_t *json = plan_json (&plan), *list = json_array ();
    printf ("%5s %5s %8s %8s %8s %8s\n", "slots", "load", "q", "measured", "1/(1-q)", "probes");
    for (uint32_t i = 0; i < n_counts; i++) {
        for (uint32_t j = 0; j < plan.n_loads; j++, n++) {
            struct row *row = &rows[n];
            make_row (&plan, plan.policies[0], only ? only : slot_counts[i], plan.loads[j], row);
            n_outside += !row->inside;
            printf ("%5u %5g %8.3f %8.3f %8.2f %8.2f%s\n", row->slots, row->load, row->q,
                    row->measured_q, 1 / (1 - row->q), row->probes, row->inside ? "" : "  OUTSIDE");
            json_array_append_new (list, json_pack ("{s:i, s:f, s:f, s:f, s:f, s:f, s:b}", "slots",
                                                    (int)row->slots, "load", row->load, "q", row->q,
                                                    "measured_q", row->measured_q,
                                                    "expected_probes", 1 / (1 - row->q), "probes",
                                                    row->probes, "inside", row->inside));
        }
    }
    printf ("%u of %u within %g of theory\n", n - n_outside, n, BAND);
    json_object_set_new (json, "rows", list);
    bool fine = !settings->json || json_write (settings->json, json_incref (json));
    json_decref (json);
    if (settings->plot)
        fine = plot (&plan, rows, n_counts) && fine;
    return fine && !n_outside ? EXIT_FINE : EXIT_SHORT;
}
