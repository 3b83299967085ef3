/* uts, queens, mandelbrot: whole programs, from the sources of examples/, beside their serial twins.
 *
 * A round runs every set-up once, each with peers that are fresh, so that a slow minute of the host falls on
 * all of them. Times are from submitting the job to its answer, peers being there. Every answer is compared
 * with the serial one, and that with the published one where there is one. */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "common/example.h"

enum { SET_UPS_MAX = 8 };

typedef struct set_up {
    const char *line;
    const char *words; /* beyond those of the run; NULL = none */
    peers_plan_t plan;
    double x;
    double s[REPEATS_MAX], speedup[REPEATS_MAX];
} set_up_t;

typedef struct program_run {
    bench_t *bench;
    const example_program *program;
    char module[32], text[EXAMPLE_ARGUMENTS_MAX];
    void *options;
    example_answer answer; /* the serial one */
    uint64_t published;    /* nodes; 0 = not known */
    double serial_s[REPEATS_MAX];
    set_up_t set_ups[SET_UPS_MAX];
    uint32_t n_set_ups;
} program_run_t;

/* ---- what to run ------------------------------------------------------------------------------ */

typedef struct tree {
    const char *name, *words;
    uint64_t nodes; /* published */
} tree_t;

static const tree_t trees[] = {
    {"T1", "-t 1 -a 3 -d 10 -b 4 -r 19", 4130071},
    {"T2", "-t 1 -a 2 -d 16 -b 6 -r 502", 4117769},
    {"T3", "-t 0 -b 2000 -q 0.124875 -m 8 -r 42", 4112897},
    {"T4", "-t 2 -a 0 -d 16 -b 6 -r 1 -q 0.234375 -m 4", 4132453},
    {"T5", "-t 1 -a 0 -d 20 -b 4 -r 34", 4147582},
    {"T1L", "-t 1 -a 3 -d 13 -b 4 -r 29", 102181082},
    {"T3L", "-t 0 -b 2000 -q 0.200014 -m 5 -r 7", 111345631},
    {"T1XL", "-t 1 -a 3 -d 15 -b 4 -r 29", 1635119272},
};

static const tree_t *tree_find (const char *name)
{
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++) {
        if (!strcmp (trees[i].name, name))
            return &trees[i];
    }
    return NULL;
}

static bool add_words (program_run_t *run, const char *words)
{
    size_t used = strlen (run->text);
    int n = snprintf (run->text + used, sizeof run->text - used, "%s ", words);
    return (n > 0 && (size_t)n < sizeof run->text - used) ||
           complain (run->bench, "arguments", "they are too long");
}

/* The last word about an option counts, so that defaults come first. */
static bool take_words (program_run_t *run, const char *usual)
{
    const bench_t *bench = run->bench;
    const char *name = bench->settings.tree;
    bool fine = true;
    if (name && !tree_find (name))
        return complain (bench, "--tree", "no such tree: see --help");
    if (name)
        usual = tree_find (name)->words;
    if (name && !*bench->words)
        run->published = tree_find (name)->nodes;
    if (name || !*bench->words)
        fine = add_words (run, usual);
    for (uint32_t i = 0; bench->words[i] && fine; i++)
        fine = add_words (run, bench->words[i]);
    return fine;
}

/* The program is the module's own: the code that peers run as well. */
static bool load (program_run_t *run)
{
    char path[PATH_MAX], why[EXAMPLE_WHY_SIZE];
    snprintf (run->module, sizeof run->module, "%s.so", run->bench->command->name);
    if (!peers_find (run->module, path))
        return false;
    void *handle = dlopen (path, RTLD_NOW | RTLD_LOCAL);
    run->program = handle ? dlsym (handle, "example") : NULL;
    if (!run->program)
        return complain (run->bench, path, handle ? "no example" : dlerror ());
    run->options = malloc (run->program->options_size);
    if (!run->options)
        out_of_memory ();
    return example_parse (run->program, run->text, strlen (run->text), run->options, why) == 0 ||
           complain (run->bench, "arguments", why);
}

/* ---- one round -------------------------------------------------------------------------------- */

/* UTS's answer begins with the count. */
static bool is_published (const program_run_t *run)
{
    uint64_t nodes = 0;
    char text[64] = "";
    memcpy (text, run->answer.bytes,
            run->answer.size < sizeof text ? run->answer.size : sizeof text - 1);
    return (sscanf (text, "nodes %" SCNu64, &nodes) == 1 && nodes == run->published) ||
           complain (run->bench, "serial", "not the published number of nodes");
}

static bool run_serial (program_run_t *run, double *s)
{
    char why[EXAMPLE_WHY_SIZE] = "";
    example_answer_fini (&run->answer);
    run->answer = (example_answer){0};
    uint64_t began_ns = px_now_ns ();
    if (run->program->serial (run->options, &run->answer, why) < 0)
        return complain (run->bench, "the serial program", why);
    *s = (double)(px_now_ns () - began_ns) * 1e-9;
    return !run->published || is_published (run);
}

static bool is_right (const program_run_t *run, const result_t *result)
{
    const example_answer answer = {result->bytes, result->size, result->size};
    bool same = run->program->same ? run->program->same (&answer, &run->answer)
                                   : result->size == run->answer.size &&
                                         !memcmp (result->bytes, run->answer.bytes, result->size);
    return same || complain (run->bench, "answer", "it is not the serial one");
}

static bool run_set_up (program_run_t *run, set_up_t *set_up, uint32_t repeat)
{
    char text[EXAMPLE_ARGUMENTS_MAX + 32];
    peers_t peers;
    result_t result = {0};
    snprintf (text, sizeof text, "%s%s", run->text, set_up->words ? set_up->words : "");
    bool fine = peers_open (run->bench, &set_up->plan, &peers) &&
                run_root (&peers, run->program->root, text, strlen (text), &result) &&
                is_right (run, &result);
    px_stats stats = {.size = sizeof stats};
    if (fine && set_up->plan.join && px_peer_stats (peers.peer, &stats) == PX_OK)
        set_up->x = (double)stats.peers_known + 1;
    set_up->s[repeat] = result.s;
    set_up->speedup[repeat] = run->serial_s[repeat] / result.s;
    result_fini (&result);
    peers_close (&peers);
    return fine;
}

static bool run_round (program_run_t *run, uint32_t repeat)
{
    const settings_t *settings = &run->bench->settings;
    bool fine = run_serial (run, &run->serial_s[repeat]);
    for (uint32_t i = 0; i < run->n_set_ups && fine; i++) {
        progress (settings->quiet, "%s: %u of %u, %s, %.0f ", run->program->name, repeat + 1,
                  (uint32_t)settings->repeats, run->set_ups[i].line, run->set_ups[i].x);
        fine = run_set_up (run, &run->set_ups[i], repeat);
    }
    return fine;
}

/* ---- the run ---------------------------------------------------------------------------------- */

static void add_set_up (program_run_t *run, const char *line, const char *words, uint32_t slots,
                        uint32_t n_others)
{
    run->set_ups[run->n_set_ups++] =
        (set_up_t){.line = line,
                   .words = words,
                   .plan = {.module = run->module, .slots = slots, .n_others = n_others},
                   .x = slots + n_others};
}

static void plan_set_ups (program_run_t *run, const char *per_node)
{
    const settings_t *settings = &run->bench->settings;
    long processors = sysconf (_SC_NPROCESSORS_ONLN);
    uint32_t all = settings->slots ? (uint32_t)settings->slots : (uint32_t)processors;
    uint32_t n_others = (uint32_t)settings->local;
    add_set_up (run, "one peer", NULL, 1, 0);
    if (all > 1)
        add_set_up (run, "one peer", NULL, all, 0);
    if (n_others > 1)
        add_set_up (run, "peers of one slot", NULL, 1, 1);
    if (n_others)
        add_set_up (run, "peers of one slot", NULL, 1, n_others);
    if (settings->join.n) {
        add_set_up (run, "the cluster", NULL, 0, 0);
        run->set_ups[run->n_set_ups - 1].plan.join = true;
    }
    if (per_node)
        add_set_up (run, "a task per node", per_node, 1, 0);
    if (per_node && all > 1)
        add_set_up (run, "a task per node", per_node, all, 0);
}

static void report_program (program_run_t *run)
{
    uint32_t n = (uint32_t)run->bench->settings.repeats;
    static char names[2][48], title[EXAMPLE_ARGUMENTS_MAX + 64];
    snprintf (names[0], sizeof names[0], "%s", run->program->name);
    snprintf (names[1], sizeof names[1], "%s-speedup", run->program->name);
    snprintf (title, sizeof title, "%s %s", run->program->name, run->text);
    table_t table = {.name = names[0], .title = title, .x = "slots", .unit = "s"};
    table_t *times = report_table (run->bench, &table);
    table.name = names[1];
    table.unit = "times as fast as serial";
    table_t *speedups = report_table (run->bench, &table);
    const figure_t *serial = report_add (times, "serial", 1, run->serial_s, n, NULL);
    for (uint32_t i = 0; i < run->n_set_ups; i++) {
        report_add (times, run->set_ups[i].line, run->set_ups[i].x, run->set_ups[i].s, n, serial);
        report_add (speedups, run->set_ups[i].line, run->set_ups[i].x, run->set_ups[i].speedup, n,
                    NULL);
    }
}

static int measure_program (program_run_t *run, const char *usual, const char *per_node)
{
    if (!take_words (run, usual) || !load (run))
        return EXIT_USAGE;
    plan_set_ups (run, per_node);
    bool fine = true;
    for (uint32_t i = 0; i < run->bench->settings.repeats && fine; i++)
        fine = run_round (run, i);
    if (fine)
        report_program (run);
    example_answer_fini (&run->answer);
    free (run->options);
    return fine ? report_end (run->bench) : EXIT_SHORT;
}

static int uts_main (bench_t *bench)
{
    static program_run_t run;
    run.bench = bench;
    if (!bench->settings.tree && !*bench->words)
        bench->settings.tree = "T1";
    return measure_program (&run, "", "--chunk 1");
}

static int queens_main (bench_t *bench)
{
    static program_run_t run;
    run.bench = bench;
    return measure_program (&run, "--size 13", NULL);
}

static int mandelbrot_main (bench_t *bench)
{
    static program_run_t run;
    run.bench = bench;
    return measure_program (&run, "", NULL);
}

#define FIGURES                                                                                    \
    "Figures: seconds from submitting the job to its answer, peers being there, and how many\n"    \
    "times as fast as the serial program that was (each repeat against the serial run before "     \
    "it).\n"                                                                                       \
    "  serial              the same source without peerexec, in this process\n"                    \
    "  one peer            1 slot, and as many as --slots\n"                                       \
    "  peers of one slot   this process and one or --local others, on loopback\n"                  \
    "  the cluster         this process and those of --join; its x: peers, not slots\n"

static const option_entry uts_entries[] = {
    ENTRY ("tree", OPTION_TEXT, tree, "NAME",
           "a sample tree of the benchmark: T1 (the usual one), T2, T3,\nT4, T5, T1L, T3L, T1XL", 0,
           0),
};

const command_t command_uts = {
    .name = "uts",
    .purpose = "Unbalanced Tree Search, against its serial twin",
    .figures = FIGURES
    "  a task per node     no cut-off: a task for every node that has children\n"
    "After --: any options of the paper (-t -a -b -d -r -q -m -f -g) and of examples/uts.\n",
    .words = "[UTS OPTION]...",
    .entries = uts_entries,
    .n_entries = sizeof uts_entries / sizeof *uts_entries,
    .repeats = 5,
    .local = 3,
    .run = uts_main,
};

const command_t command_queens = {
    .name = "queens",
    .purpose = "N queens, against the serial twin",
    .figures = FIGURES "After --: options of examples/queens (--size 13).\n",
    .words = "[QUEENS OPTION]...",
    .repeats = 5,
    .local = 3,
    .run = queens_main,
};

const command_t command_mandelbrot = {
    .name = "mandelbrot",
    .purpose = "a picture by parallel rows, against the serial twin",
    .figures = FIGURES "After --: options of examples/mandelbrot.\n",
    .words = "[MANDELBROT OPTION]...",
    .repeats = 5,
    .local = 3,
    .run = mandelbrot_main,
};
