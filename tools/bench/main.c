/* peer-bench: what peerexec costs and gains, here or on a cluster of the user's.
 *
 * Each command measures one thing, some of them beside what it is measured against in the same run and in
 * turns with it, so that a slow minute of the host falls on both. Answers are checked; a wrong one ends the
 * run. Figures are medians of repeats with their range. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const option_entry common[] = {
    ENTRY ("local", OPTION_NUMBER, local, "N", "start N peers on loopback for the run", 1,
           LOCAL_MAX),
    ENTRY ("join", OPTION_LIST, join, "ADDRESS",
           "use the cluster of this peer instead; its peers need\n"
           "--module with the module that --modules prints",
           0, 0),
    KEY_ENTRY (offsetof (settings_t, key)),
    ENTRY ("repeats", OPTION_NUMBER, repeats, "N", "measurements that each figure is made of", 1,
           REPEATS_MAX),
    ENTRY ("slots", OPTION_NUMBER, slots, "N",
           "of this process's peer where it is to use all (the\nprocessors)", 1, 1024),
    ENTRY ("executors", OPTION_FLAG, executors, NULL,
           "tasks run in processes of their own, as at a peerd, which\n"
           "outlives a task that crashes; otherwise in the peer's",
           0, 0),
    DEVICES_ENTRY (offsetof (settings_t, devices), "none\n(of this process's peer)"),
    ENTRY ("timeout", OPTION_REAL, timeout_s, "SECONDS", "for one job (300)", 0.01, 1e6),
    ENTRY ("json", OPTION_TEXT, json, "FILE", "write all figures; - = standard output, and no text",
           0, 0),
    ENTRY ("plot", OPTION_TEXT, plot, "DIR", "draw an SVG file per table there (needs gnuplot)", 0,
           0),
    ENTRY ("quiet", OPTION_FLAG, quiet, NULL, "no progress", 0, 0),
};

enum { N_COMMON = sizeof common / sizeof *common, ENTRIES_MAX = N_COMMON + 8 };

static const command_t *const commands[] = {
    &command_call,       &command_rate,    &command_spawn,   &command_uts,    &command_queens,
    &command_mandelbrot, &command_stencil, &command_sort,    &command_shared, &command_tail,
    &command_startup,    &command_memory,  &command_devices, &command_ranges,
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_help (void)
{
    printf ("Usage: peer-bench COMMAND [OPTION]...\n"
            "Measure what peerexec costs and gains, on this host or on a cluster.\n\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf ("  %-12s %s\n", commands[i]->name, commands[i]->purpose);
    printf ("\n  --modules    print the modules that peers of a cluster must have for --join\n"
            "  --version    print the version\n"
            "  --help       print this; 'peer-bench COMMAND --help': its options, and what each\n"
            "               figure means\n\n"
            "Exit codes: 0 measured; 1 a job failed, an answer was wrong, or a file could not be\n"
            "written; 2 wrong options; 5 no peer answered.\n");
}

static int print_modules (void)
{
    static const char *const names[] = {"bench.so", "uts.so", "queens.so", "mandelbrot.so"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[PATH_MAX];
        if (!peers_find (names[i], path))
            return EXIT_SHORT;
        puts (path);
    }
    return EXIT_DONE;
}

bool complain (const bench_t *bench, const char *what, const char *why)
{
    fprintf (stderr, "peer-bench %s: %s: %s\n", bench->command->name, what, why);
    return false;
}

static bool check (bench_t *bench)
{
    settings_t *settings = &bench->settings;
    if (settings->local && settings->join.n)
        return complain (bench, "--local", "does not go with --join");
    if (settings->key && !settings->join.n)
        return complain (bench, "--key",
                         "it goes with --join only; --curve measures what it costs here");
    if (settings->curve && settings->join.n)
        return complain (bench, "--curve",
                         "does not go with --join: a cluster with a key wants --key");
    if (bench->command->company != COMPANY_ANY && settings->join.n)
        return complain (bench, "--join", "what this measures needs peers of its own");
    if (bench->command->company == COMPANY_NONE && settings->local)
        return complain (bench, "--local", "what this measures needs no other peers");
    if (*bench->words && !bench->command->words)
        return complain (bench, *bench->words, "unexpected argument");
    if (!settings->repeats)
        settings->repeats = bench->command->repeats;
    if (!settings->local && !settings->join.n)
        settings->local = bench->command->local;
    return true;
}

/* Where a program's own options begin: at its first short one, if not at "--". We have none. */
static int n_ours (const command_t *command, int argc, char **argv)
{
    for (int i = 1; i < argc && command->words && strcmp (argv[i], "--") != 0; i++) {
        if (argv[i][0] == '-' && argv[i][1] && argv[i][1] != '-')
            return i;
    }
    return argc;
}

static int run (const command_t *command, int argc, char **argv)
{
    bench_t bench = {.command = command, .settings = {.timeout_s = 300}};
    option_entry entries[ENTRIES_MAX];
    char program[64], usage[64];
    int first;
    memcpy (entries, common, sizeof common);
    for (uint32_t i = 0; i < command->n_entries; i++)
        entries[N_COMMON + i] = command->entries[i];
    snprintf (program, sizeof program, "peer-bench %s", command->name);
    snprintf (usage, sizeof usage, "[OPTION]...%s%s", command->words ? " -- " : "",
              command->words ? command->words : "");
    const option_table table = {.program = program,
                                .usage = usage,
                                .purpose = command->purpose,
                                .entries = entries,
                                .n_entries = N_COMMON + command->n_entries,
                                .epilogue = command->figures};
    options_end end =
        options_parse (&table, n_ours (command, argc, argv), argv, false, &bench.settings, &first);
    if (end != OPTIONS_RUN)
        return end == OPTIONS_SHOWN ? EXIT_DONE : EXIT_USAGE;
    bench.words = argv + first;
    return check (&bench) ? command->run (&bench) : EXIT_USAGE;
}

int main (int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (!strcmp (name, commands[i]->name))
            return run (commands[i], argc - 1, argv + 1);
    }
    if (!strcmp (name, "--modules"))
        return print_modules ();
    if (!strcmp (name, "--version")) {
        printf ("peer-bench %s\n", PX_VERSION_TEXT);
        return EXIT_DONE;
    }
    if (!strcmp (name, "--help")) {
        print_help ();
        return EXIT_DONE;
    }
    fprintf (stderr, "peer-bench: %s: a command must come first, one of those that --help lists\n",
             *name ? name : "no command");
    return EXIT_USAGE;
}
