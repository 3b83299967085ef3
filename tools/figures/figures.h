/* What the files of peer-figures share. */
#ifndef TOOLS_FIGURES_FIGURES_H
#define TOOLS_FIGURES_FIGURES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/plot.h"
#include "common/series.h"
#include "common/words.h"
#include "sim/flat.h"
#include "sim/rivals/rivals.h"

enum { EXIT_FINE = 0, EXIT_SHORT = 1, EXIT_USAGE = 2 };
enum { LOADS_MAX = 32, POLICIES_MAX = 32 };

typedef struct settings { /* 0 or NULL: the command's own default */
    const char *json, *plot, *loads, *policies, *law, *against, *trace, *peers, *points;
    uint64_t seed, seeds, jobs, slots, tasks, rtt_us, view;
    bool demand, checked, quiet;
} settings_t;

typedef struct policy policy_t;

/* Parsed, with the command's defaults. */
typedef struct plan {
    const settings_t *settings;
    const char *command;
    double loads[LOADS_MAX];
    const policy_t *policies[POLICIES_MAX];
    uint32_t n_loads, n_policies;
    pxi_stream_config stream; /* seed, load and number of jobs are set for each run */
    uint32_t n_jobs, n_seeds, view;
    uint64_t first_seed, hop_ns;
    FILE *trace; /* NULL = none */
} plan_t;

int command_sparrow (const settings_t *settings);
int command_delay (const settings_t *settings);
int command_messages (const settings_t *settings);
int command_probes (const settings_t *settings);
int command_tree (const settings_t *settings);
int command_grain (const settings_t *settings);
int command_number (const settings_t *settings);
int command_speculation (const settings_t *settings);
int command_slow (const settings_t *settings);
int command_loss (const settings_t *settings);
int command_detection (const settings_t *settings);
int command_views (const settings_t *settings);
int command_control (const settings_t *settings);

/* ---- plan.c: what is asked for; ends the program with a message when that makes no sense ------ */

typedef struct defaults {
    const char *loads, *policies;
    uint32_t seeds, jobs, peers, slots, tasks;
} defaults_t;

void plan_make (plan_t *plan, const settings_t *settings, const char *command,
                const defaults_t *defaults);
json_t *plan_json (const plan_t *plan);
uint32_t or_default (uint64_t given, uint32_t usual); /* given 0: nothing was */
/* --peers of a command with one size of cluster. */
uint32_t peers_of (const settings_t *settings, uint32_t usual);

/* ---- runs.c: one policy on one stream --------------------------------------------------------- */

struct policy {
    const char *name, *text;
    bool ours;
    pxi_rival_kind kind;
    double ratio;
    const char *without; /* ours: the feature that is off */
};

const policy_t *policy_find (const char *name);
void policies_print (void);

typedef struct outcome { /* of one run */
    uint32_t n_jobs;
    double load; /* as it came out */
    double mean_ms, p50_ms, p95_ms, p99_ms;
    double messages, members; /* per task; members: about who is there */
    double probes, refused;   /* per task; share of the probes */
    double extra;             /* share of the work that was done in vain */
    double events;
} outcome_t;

/* As Sparrow's simulator measures: see pxi_rival_config. */
void run_as_sparrow (const plan_t *plan, const policy_t *policy, double load, uint64_t seed,
                     outcome_t *outcome);
void run_policy (const plan_t *plan, const policy_t *policy, double load, uint64_t seed,
                 outcome_t *outcome);

#endif
