/* What the files of peer-bench share: what was asked for, the peers of a run, and the report. */
#ifndef TOOLS_BENCH_BENCH_H
#define TOOLS_BENCH_BENCH_H

#include <jansson.h>
#include <peerexec/peerexec.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/local.h"
#include "common/options.h"
#include "common/series.h"
#include "common/words.h"

enum { EXIT_DONE = 0, EXIT_SHORT = 1, EXIT_USAGE = 2, EXIT_NOBODY = 5 };
enum { REPEATS_MAX = 101, TABLES_MAX = 8, FIGURES_MAX = 256, LABELS_MAX = 16, MODULES_MAX = 2 };
#define SECOND UINT64_C (1000000000)

typedef struct settings { /* 0 or NULL: the command's own default */
    list_option join;
    const char *key, *json, *plot, *sizes, *workers, *faults, *tree, *devices, *what;
    uint64_t local, repeats, slots, calls, fib, tasks, task_ms, size, parts, seconds, stepped;
    double timeout_s;
    bool executors, quiet, net, once, curve;
} settings_t;

/* ---- report.c: figures, as text, JSON and plots ----------------------------------------------- */

typedef struct figure {
    char line[48];
    double x; /* or the number of its label */
    uint32_t n;
    double *values, median, low, high;
    char to[2][48]; /* the lines that it is compared with; "" = none */
    double ratios[2];
} figure_t;

typedef struct table {
    const char *name, *title; /* name: of the plot's file */
    const char *x, *unit;
    bool log_x, log_y;
    const char *labels[LABELS_MAX + 1]; /* in place of numbers; none = numbers */
    uint32_t n_labels, n;
    figure_t figures[FIGURES_MAX];
} table_t;

typedef struct bench bench_t;

/* Begins a table like this one, which has no figures yet. */
table_t *report_table (bench_t *bench, const table_t *like);
/* One figure, of n repeats (at least one). `to` may be NULL: what it is compared with. */
const figure_t *report_add (table_t *table, const char *line, double x, const double *values,
                            uint32_t n, const figure_t *to);
/* Compares the figure that was added last with another one as well. */
void report_compare (table_t *table, const figure_t *to);
/* The same where the axis has words: string literals. */
const figure_t *report_label (table_t *table, const char *line, const char *label,
                              const double *values, uint32_t n, const figure_t *to);
/* Prints and writes what was asked for. Returns the program's exit code. */
int report_end (bench_t *bench);

/* ---- machine.c -------------------------------------------------------------------------------- */

json_t *machine_json (void);
void machine_print (FILE *to);

/* ---- main.c ----------------------------------------------------------------------------------- */

typedef enum company {
    COMPANY_ANY,
    COMPANY_LOCAL,
    COMPANY_NONE
} company_t; /* peers that it takes */

typedef struct command {
    const char *name, *purpose;
    const char *figures; /* what each means: for --help */
    const char *words;   /* what may follow the options; NULL = nothing */
    const option_entry *entries;
    uint32_t n_entries, repeats, local; /* the last two by default */
    company_t company;
    int (*run) (bench_t *bench);
} command_t;

struct bench {
    const command_t *command;
    settings_t settings;
    char **words; /* NULL-ended */
    table_t *tables[TABLES_MAX];
    uint32_t n_tables;
};

#define ENTRY(name, kind, field, argument, text, low, high)                                        \
    {                                                                                              \
        name, kind, offsetof (settings_t, field), argument, text, low, high                        \
    }

extern const command_t command_call, command_rate, command_spawn, command_uts, command_queens,
    command_mandelbrot, command_stencil, command_sort, command_shared, command_tail,
    command_startup, command_memory, command_devices, command_ranges;

/* ---- startup.c: this program again, in a process of its own ------------------------------------- */

/* What it writes to standard output is its answer. False: it has none. */
bool once_run (const bench_t *bench, const char *const *arguments, void *answer, size_t size);

/* ---- peers.c: whom a run has, and what it makes them do --------------------------------------- */

typedef struct peers_plan {
    const char *module; /* that of the examples, by file name; NULL = only our own tasks */
    uint32_t n_others;  /* peers to start on loopback */
    uint32_t slots;     /* of this process's peer; 0 = the processors */
    bool join;          /* what --join says, in place of n_others */
    bool redo_only_lost;
    const char *key;     /* file: they are started with it, and talk by TCP; NULL = none */
    const char *devices; /* of each peer, as --devices; NULL = that of this process's only */
} peers_plan_t;

typedef struct peers {
    const bench_t *bench;
    struct local_cluster local;
    char paths[MODULES_MAX][PATH_MAX];
    const char *modules[MODULES_MAX + 1];
    px_peer *peer;
} peers_t;

typedef struct result {
    double s, cpu_s;      /* from submitting to the outcome; this process, all threads */
    uint64_t n_elsewhere; /* subtasks that other peers ran */
    void *bytes;
    size_t size;
} result_t;

/* Returns when all know all. One at a time, where n_others is not 0: local_end () says why. False: said
 * on standard error; close it all the same. */
bool peers_open (const bench_t *bench, const peers_plan_t *plan, peers_t *peers);
void peers_close (peers_t *peers);
/* Only the others; peers_open () does it as well. `peers` is zeroed but for its bench. */
bool peers_start_others (peers_t *peers, const peers_plan_t *plan);
/* Whether the peers of a cluster have the modules of this one's: what is missing, and where, is said on standard
 * error. False: nobody has them. */
bool modules_are_there (const peers_t *peers);
/* Wait until each of them knows all others, by its own word. */
bool peers_know (const bench_t *bench, const struct local_cluster *cluster);
/* The path of a module or program of this build or installation. False: said on standard error. */
bool peers_find (const char *name, char path[PATH_MAX]);
/* A root task. False: said on standard error, and `result` holds nothing. */
bool run_root (peers_t *peers, const char *task, const void *input, size_t size, result_t *result);
/* The same for one whose result has a fixed size. */
bool run_fixed (peers_t *peers, const char *task, const void *input, size_t size, void *output,
                size_t output_size, result_t *result);
px_job *submit (peers_t *peers, const char *task, const void *input, size_t size);
bool finish (peers_t *peers, px_job **job, result_t *result); /* all of it but the times */
void result_fini (result_t *result);

bool complain (const bench_t *bench, const char *what, const char *why); /* false */

#endif
