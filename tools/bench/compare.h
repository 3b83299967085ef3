/* A program against its serial twin, on one peer, on several, on a cluster.
 *
 * A round runs the twin and every set-up once, each with peers that are fresh, so that a slow minute of the
 * host falls on all of them. */
#ifndef TOOLS_BENCH_COMPARE_H
#define TOOLS_BENCH_COMPARE_H

#include "bench.h"

enum { SET_UPS_MAX = 8 };

typedef struct set_up {
    const char *line;
    const char *words; /* beyond those of the run; NULL = none */
    peers_plan_t plan;
    double x;
    double s[REPEATS_MAX], speedup[REPEATS_MAX];
} set_up_t;

typedef struct compare compare_t;

/* The first member of what a program keeps. */
struct compare {
    bench_t *bench;
    const char *title, *module; /* module: NULL = only our own tasks */
    const char *per_node;       /* words that make a task of every node; NULL = there are none */
    /* Once: its seconds. False: said on standard error, as when the answer is wrong. */
    bool (*serial) (compare_t *compare, double *s);
    bool (*parallel) (compare_t *compare, peers_t *peers, const char *words, double *s);
    /* filled in by compare_run () */
    double serial_s[REPEATS_MAX];
    set_up_t set_ups[SET_UPS_MAX];
    uint32_t n_set_ups;
};

/* What the tables mean, for --help. */
#define COMPARE_FIGURES                                                                            \
    "Figures: seconds from submitting the job to its answer, peers being there, and how many\n"    \
    "times as fast as the serial program that is (each repeat against the serial run before\n"     \
    "it). Answers are compared with the serial one.\n"                                             \
    "  serial              the same source without peerexec, in this process\n"                    \
    "  one peer            1 slot, and as many as --slots\n"                                       \
    "  peers of one slot   this process and one or --local others, on loopback\n"                  \
    "  the cluster         this process and those of --join; its x: peers, not slots\n"

/* All repeats, and the report. Returns the program's exit code. */
int compare_run (compare_t *compare);

#endif
