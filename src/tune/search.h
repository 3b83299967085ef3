/* The search for good branch numbers: which setting to run next, when to stop, what to believe.
 *
 * It asks for runs, one at a time, and is told how each went. No clock, no I/O: a program that runs modules
 * (tools/tune), a simulator and a test drive it alike. The same seed and the same answers give the same questions.
 * One thread. */
#ifndef PXI_TUNE_SEARCH_H
#define PXI_TUNE_SEARCH_H

#include "tune/surface.h"

enum {
    PXI_TUNE_RUNS_PER_POINT = 12, /* all runs of it included: search, repeats and the final check */
    PXI_TUNE_VALUE_MAX = 65535,
    PXI_TUNE_SPOILED_MAX =
        4, /* runs given up one after the other for one setting: then it is over */
};

/* What can be varied: a branch number, from 0 to the workers that there are; or a grain, from 1. */
typedef struct pxi_tune_point {
    uint32_t low, high;
    uint32_t standard; /* what is in force without tuning; more than high is as good as high */
    uint32_t guess;    /* a value that theory suggests; as low where there is none */
} pxi_tune_point;

typedef enum pxi_tune_objective {
    PXI_TUNE_MAKESPAN,
    PXI_TUNE_COST, /* makespan, while extra work stays below extra_max */
} pxi_tune_objective;

typedef struct pxi_tune_config {
    uint64_t seed;
    uint32_t n_points; /* at least 1 */
    pxi_tune_point points[PXI_TUNE_POINTS_MAX];
    uint32_t runs_max; /* 0 = PXI_TUNE_RUNS_PER_POINT for each point */
    pxi_tune_objective objective;
    double extra_max; /* of the work; for PXI_TUNE_COST */
} pxi_tune_config;

typedef struct pxi_tune_setting {
    uint32_t values[PXI_TUNE_POINTS_MAX];
} pxi_tune_setting;

typedef struct pxi_tune_sample {
    double makespan_s;  /* more than 0 */
    double extra_share; /* work whose result was not used, over work whose result was */
    bool cut;           /* it was ended after cut_s: it takes at least makespan_s */
} pxi_tune_sample;

typedef enum pxi_tune_stage {
    PXI_TUNE_LOOK,   /* the standard, the ends, a guess; of several points: which ones matter */
    PXI_TUNE_SEARCH, /* where a run tells most */
    PXI_TUNE_CHECK,  /* the best against the standard, in turns */
    PXI_TUNE_OVER,
} pxi_tune_stage;

typedef enum pxi_tune_verdict {
    PXI_TUNE_STANDARD, /* nothing tried looks better than the standard */
    PXI_TUNE_NOISE,    /* something does, but not beyond the noise: the standard stays */
    PXI_TUNE_BETTER,
} pxi_tune_verdict;

typedef struct pxi_tune_result {
    pxi_tune_verdict verdict;
    pxi_tune_setting setting; /* to be used: the standard unless BETTER */
    pxi_tune_setting best;    /* that looks best */
    double gain, gain_low,
        gain_high; /* of `best`: share of the standard's score saved; 95 % interval */
    double noise;  /* of one run, as a share */
    bool matters[PXI_TUNE_POINTS_MAX]; /* points whose value was seen to change the score */
    uint32_t n_runs, n_spoiled;
} pxi_tune_result;

/* What is believed of one setting. */
typedef struct pxi_tune_belief {
    double score_s, low_s, high_s; /* 95 % interval of the score, without the noise of a run */
    uint32_t n_runs, n_cut;
} pxi_tune_belief;

typedef struct pxi_tune pxi_tune;

/* NULL: out of memory. */
pxi_tune *pxi_tune_new (const pxi_tune_config *config);
void pxi_tune_free (pxi_tune **tune_p);

/* The next run. *cut_s > 0: it may be ended after so long, being no candidate by then. False: over.
 * Asked again without an answer, it says the same. */
bool pxi_tune_ask (pxi_tune *tune, pxi_tune_setting *setting, double *cut_s);
void pxi_tune_tell (pxi_tune *tune, const pxi_tune_sample *sample);
/* That run is not to be believed (a peer joined, left or froze; it failed): it is asked for again. */
void pxi_tune_spoil (pxi_tune *tune);
/* No further runs: what is known decides. */
void pxi_tune_end (pxi_tune *tune);

pxi_tune_stage pxi_tune_stage_of (const pxi_tune *tune);
uint32_t pxi_tune_runs_max (const pxi_tune *tune);
/* At any time; before the first sample everything is standard. */
void pxi_tune_read (const pxi_tune *tune, pxi_tune_result *result);
/* Of a setting that was run at least once. */
void pxi_tune_believe (const pxi_tune *tune, const pxi_tune_setting *setting,
                       pxi_tune_belief *belief);
bool pxi_tune_same (const pxi_tune *tune, const pxi_tune_setting *a, const pxi_tune_setting *b);

#endif
