/* peer-figures: the schedulers that experts know, and ours, on the same jobs.
 *
 * Each command computes one figure from simulations, prints it, and on demand writes it as JSON and as a
 * plot. Nothing that it prints is stored anywhere but what another simulator said (sparrow.c). */
#include <stdio.h>
#include <string.h>

#include "common/options.h"
#include "core/limits.h"
#include "figures.h"

#define ENTRY(name, kind, field, argument, text, low, high)                                        \
    {                                                                                              \
        name, kind, offsetof (settings_t, field), argument, text, low, high                        \
    }

static const option_entry entries[] = {
    ENTRY ("policies", OPTION_TEXT, policies, "LIST", "which ones, of those below", 0, 0),
    ENTRY ("loads", OPTION_TEXT, loads, "LIST", "e.g. 0.5,0.9: share of all slots in use", 0, 0),
    ENTRY ("seeds", OPTION_NUMBER, seeds, "N", "runs of each figure", 1, 100000),
    ENTRY ("seed", OPTION_NUMBER, seed, "S", "of the first run (1)", 1, 1e15),
    ENTRY ("jobs", OPTION_NUMBER, jobs, "N", "measured in each run", 1, 10000000),
    ENTRY ("tasks", OPTION_NUMBER, tasks, "N", "of each job", 1, 100000),
    ENTRY ("peers", OPTION_TEXT, peers, "N", "of the cluster; tree, control: a LIST of sizes", 0,
           0),
    ENTRY ("points", OPTION_TEXT, points, "LIST", "along the axis of one that is not against peers",
           0, 0),
    ENTRY ("slots", OPTION_NUMBER, slots, "N", "of each peer", 1, PXI_SLOTS_MAX),
    ENTRY ("rtt-us", OPTION_NUMBER, rtt_us, "N", "round trip between any two peers (1000)", 2,
           60000000),
    ENTRY ("law", OPTION_TEXT, law, "LAW",
           "of run times, mean 100 ms: exp-jobs (one draw per job), exponential,\n"
           "shifted, pareto, lognormal, uniform, constant (exp-jobs)",
           0, 0),
    ENTRY ("view", OPTION_NUMBER, view, "N", "peers that each of ours knows at most (512)", 2,
           PXI_VIEW_MAX),
    ENTRY ("against", OPTION_TEXT, against, "POLICY", "that ours is compared with (late2)", 0, 0),
    ENTRY ("demand", OPTION_FLAG, demand, NULL, "exit 1 when ours is worse than that", 0, 0),
    ENTRY ("checked", OPTION_FLAG, checked, NULL, "ours with the simulator's invariants: slower", 0,
           0),
    ENTRY ("trace", OPTION_TEXT, trace, "FILE", "every decision of ours, in all runs: large", 0, 0),
    ENTRY ("json", OPTION_TEXT, json, "FILE", "write the figure as JSON; - = standard output", 0,
           0),
    ENTRY ("plot", OPTION_TEXT, plot, "FILE", "draw it as SVG (needs gnuplot)", 0, 0),
    ENTRY ("quiet", OPTION_FLAG, quiet, NULL, "no progress", 0, 0),
};

static const struct {
    const char *name;
    int (*run) (const settings_t *settings);
} commands[] = {
    {"sparrow", command_sparrow}, {"delay", command_delay}, {"messages", command_messages},
    {"probes", command_probes},   {"tree", command_tree},   {"grain", command_grain},
};

static const option_table table = {
    .program = "peer-figures",
    .usage = "COMMAND [OPTION]...",
    .purpose = "Simulate the schedulers that experts know, and the core of this project, on the\n"
               "same jobs.",
    .entries = entries,
    .n_entries = sizeof entries / sizeof *entries,
    .epilogue =
        "Commands:\n"
        "  sparrow    Sparrow's own set-up, beside the figures of its own simulator\n"
        "  delay      time beyond a job's longest task, against load\n"
        "  messages   messages per task, against load\n"
        "  probes     random peers asked until one is free, against theory\n"
        "  tree       efficiency and messages of one tree, against peers\n"
        "  grain      the same on 256 peers, against leaf over round trip (--points: leaf in ms)\n"
        "\n"
        "Exit: 0; 1 a figure is outside its band (sparrow: three standard deviations of the\n"
        "difference of the means; probes: 0.02 of the share of full peers; delay, messages: with\n"
        "--demand), or a file could not be written; 2 usage.\n",
};

int main (int argc, char **argv)
{
    settings_t settings = {.rtt_us = 1000};
    int first;
    options_end end = options_parse (&table, argc, argv, false, &settings, &first);
    if (end == OPTIONS_SHOWN && argc > 1 && !strcmp (argv[1], "--help"))
        policies_print ();
    if (end != OPTIONS_RUN)
        return end == OPTIONS_SHOWN ? EXIT_FINE : EXIT_USAGE;
    for (size_t i = 0; first + 1 == argc && i < sizeof commands / sizeof *commands; i++) {
        if (!strcmp (argv[first], commands[i].name))
            return commands[i].run (&settings);
    }
    fprintf (stderr, "peer-figures: %s: one command must be given, of those that --help lists\n",
             first < argc ? argv[first] : "no command");
    return EXIT_USAGE;
}
