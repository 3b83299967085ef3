/* peer-figures: the schedulers that experts know, and ours, on the same jobs; and ours in large clusters and
 * through faults.
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
    ENTRY ("view", OPTION_NUMBER, view, "N",
           "peers that each of ours knows at most (delay, messages, probes: 512)", 2, PXI_VIEW_MAX),
    ENTRY ("against", OPTION_TEXT, against, "POLICY", "that ours is compared with (late2)", 0, 0),
    ENTRY ("demand", OPTION_FLAG, demand, NULL,
           "exit 1 when ours is worse than that, or over its budget", 0, 0),
    ENTRY ("checked", OPTION_FLAG, checked, NULL, "ours with the simulator's invariants: slower", 0,
           0),
    ENTRY ("trace", OPTION_TEXT, trace, "FILE", "every decision of ours, in all runs: large", 0, 0),
    ENTRY ("json", OPTION_TEXT, json, "FILE", "write the figure as JSON; - = standard output", 0,
           0),
    ENTRY ("plot", OPTION_TEXT, plot, "FILE", "draw it as SVG (needs gnuplot)", 0, 0),
    ENTRY ("quiet", OPTION_FLAG, quiet, NULL, "no progress", 0, 0),
};

/* What each takes besides the options of all. */
#define FOR_ALL "seeds seed rtt-us json plot quiet"
#define STREAM "policies loads jobs tasks peers slots law"
#define OURS "view checked"

static const struct {
    const char *name;
    int (*run) (const settings_t *settings);
    const char *takes, *text;
} commands[] = {
    {"sparrow", command_sparrow, STREAM,
     "Sparrow's own set-up, beside the figures of its own simulator"},
    {"delay", command_delay, STREAM " against demand trace " OURS,
     "time beyond a job's longest task, against load"},
    {"messages", command_messages, STREAM " against demand trace " OURS,
     "messages per task, against load"},
    {"probes", command_probes, STREAM " trace " OURS,
     "random peers asked until one is free, against theory"},
    {"tree", command_tree, "peers " OURS, "efficiency and messages of one tree, against peers"},
    {"grain", command_grain, "peers points " OURS,
     "the same on 256 peers, against leaf over round trip (points: leaf in ms)"},
    {"number", command_number, "peers tasks points " OURS,
     "makespan against branch number (points)"},
    {"speculation", command_speculation, "peers slots tasks points demand " OURS,
     "what doing late subtasks again gains and costs, by law of run times\n"
     "(points: extra attempts allowed, in % of those under way)"},
    {"slow", command_slow, "peers tasks points " OURS,
     "makespan with slow peers (points: % of the peers)"},
    {"loss", command_loss, "peers slots " OURS,
     "work done, over time: 30 % of the peers killed, back, a partition, healed"},
    {"detection", command_detection, "peers points " OURS,
     "how soon a dead peer is found against how often a living one is taken\n"
     "for dead (points: limit of silence in s)"},
    {"views", command_views, "peers points view checked",
     "who is known by how many; and dead links after half of the peers were\n"
     "killed (points: seconds after)"},
    {"control", command_control, "peers " OURS,
     "messages about who is there and alive, per peer and second, against peers"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static const option_table table = {
    .program = "peer-figures",
    .usage = "COMMAND [OPTION]...",
    .purpose =
        "Simulate the schedulers that experts know and the core of this project on the same\n"
        "jobs, and what the core does in large clusters and through faults.",
    .entries = entries,
    .n_entries = sizeof entries / sizeof *entries,
    .epilogue =
        "Exit: 0; 1 a figure is outside its band (sparrow: three standard deviations of the\n"
        "difference of the means; probes: 0.02 of the share of full peers; control: 1.25\n"
        "between the largest and the smallest; with --demand also delay, messages and\n"
        "speculation), or a file could not be written; 2 usage.\n",
};

static void print_indented (const char *text)
{
    for (; *text; text++) {
        putchar (*text);
        if (*text == '\n')
            printf ("%15s", "");
    }
    putchar ('\n');
}

static void print_commands (void)
{
    puts ("\nCommands, and the options that each takes besides " FOR_ALL ":");
    for (size_t i = 0; i < N_COMMANDS; i++) {
        printf ("  %-12s ", commands[i].name);
        print_indented (commands[i].text);
        printf ("%15s--> %s\n", "", commands[i].takes);
    }
}

static bool has_word (const char *words, const char *word)
{
    size_t size = strlen (word);
    for (const char *at = words; (at = strstr (at, word)); at += size) {
        bool begins = at == words || at[-1] == ' ', ends = !at[size] || at[size] == ' ';
        if (begins && ends)
            return true;
    }
    return false;
}

static size_t size_of (option_kind kind)
{
    return kind == OPTION_FLAG ? sizeof (bool) : sizeof (uint64_t);
}

/* Says so when one was given that the command would not look at. */
static bool takes_all (const char *command, const char *takes, const settings_t *settings,
                       const settings_t *usual)
{
    for (size_t i = 0; i < table.n_entries; i++) {
        const option_entry *entry = &entries[i];
        bool same = !memcmp ((const char *)settings + entry->offset,
                             (const char *)usual + entry->offset, size_of (entry->kind));
        if (same || has_word (FOR_ALL, entry->name) || has_word (takes, entry->name))
            continue;
        fprintf (stderr, "peer-figures: --%s: %s does not take it; it takes %s %s\n", entry->name,
                 command, FOR_ALL, takes);
        return false;
    }
    return true;
}

int main (int argc, char **argv)
{
    const settings_t usual = {.rtt_us = 1000};
    settings_t settings = usual;
    int first;
    options_end end = options_parse (&table, argc, argv, false, &settings, &first);
    if (end == OPTIONS_SHOWN && argc > 1 && !strcmp (argv[1], "--help")) {
        print_commands ();
        policies_print ();
    }
    if (end != OPTIONS_RUN)
        return end == OPTIONS_SHOWN ? EXIT_FINE : EXIT_USAGE;
    for (size_t i = 0; first + 1 == argc && i < N_COMMANDS; i++) {
        if (strcmp (argv[first], commands[i].name) != 0)
            continue;
        bool fits = takes_all (commands[i].name, commands[i].takes, &settings, &usual);
        return fits ? commands[i].run (&settings) : EXIT_USAGE;
    }
    fprintf (stderr, "peer-figures: %s: one command must be given, of those that --help lists\n",
             first < argc ? argv[first] : "no command");
    return EXIT_USAGE;
}
