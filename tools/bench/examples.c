/* uts, queens, mandelbrot: whole programs, from the sources of examples/. The serial twin is the module's own
 * code, and its answer the published one where there is one. */
#include <dlfcn.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/compare.h"
#include "common/example.h"

typedef struct program_run {
    compare_t compare;
    bench_t *bench;
    const example_program *program;
    char module[32], text[EXAMPLE_ARGUMENTS_MAX], title[EXAMPLE_ARGUMENTS_MAX + 64];
    void *options;
    example_answer answer; /* the serial one */
    uint64_t published;    /* nodes; 0 = not known */
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

/* ---- running it ------------------------------------------------------------------------------- */

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

static bool run_serial (compare_t *compare, double *s)
{
    program_run_t *run = (program_run_t *)compare;
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

static bool run_parallel (compare_t *compare, peers_t *peers, const char *words, double *s)
{
    program_run_t *run = (program_run_t *)compare;
    char text[EXAMPLE_ARGUMENTS_MAX + 32];
    result_t result;
    snprintf (text, sizeof text, "%s%s", run->text, words);
    if (!run_root (peers, run->program->root, text, strlen (text), &result))
        return false;
    *s = result.s;
    bool right = is_right (run, &result);
    result_fini (&result);
    return right;
}

/* ---- the commands ----------------------------------------------------------------------------- */

static int measure_program (program_run_t *run, const char *usual, const char *per_node)
{
    if (!take_words (run, usual) || !load (run))
        return EXIT_USAGE;
    snprintf (run->title, sizeof run->title, "%s %s", run->program->name, run->text);
    run->compare = (compare_t){.bench = run->bench,
                               .title = run->title,
                               .module = run->module,
                               .per_node = per_node,
                               .serial = run_serial,
                               .parallel = run_parallel};
    int code = compare_run (&run->compare);
    example_answer_fini (&run->answer);
    free (run->options);
    return code;
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

static const option_entry uts_entries[] = {
    ENTRY ("tree", OPTION_TEXT, tree, "NAME",
           "a sample tree of the benchmark: T1 (the usual one), T2, T3,\nT4, T5, T1L, T3L, T1XL", 0,
           0),
};

const command_t command_uts = {
    .name = "uts",
    .purpose = "Unbalanced Tree Search, against its serial twin",
    .figures = COMPARE_FIGURES
    "  a task per node     no cut-off: a task for every node that has children\n"
    "After -- (or from the first short option on): any options of the paper (-t -a -b -d -r -q -m "
    "-f -g) and of examples/uts.\n",
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
    .figures = COMPARE_FIGURES "After --: options of examples/queens (--size 13).\n",
    .words = "[QUEENS OPTION]...",
    .repeats = 5,
    .local = 3,
    .run = queens_main,
};

const command_t command_mandelbrot = {
    .name = "mandelbrot",
    .purpose = "a picture by parallel rows, against the serial twin",
    .figures = COMPARE_FIGURES "After --: options of examples/mandelbrot.\n",
    .words = "[MANDELBROT OPTION]...",
    .repeats = 5,
    .local = 3,
    .run = mandelbrot_main,
};
