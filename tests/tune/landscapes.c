/* The search on programs whose best branch numbers are known: formulas with noise, each drawn by seed. A seed is
 * fine when the noiseless time of what was chosen is at most 5 % above the best, within the budget of runs.
 *
 *     landscapes [FIRST..LAST] [NAME]       writes TAP: a landscape is fine when 95 % of its seeds are
 *                                           (of fewer than 500, 90 %) */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "tune/search.h"

enum { STANDARD = 64 };
#define NEAR 1.05
#define SHARE 0.95
#define SHARE_OF_FEW 0.9 /* fewer than this many seeds cannot tell 95 % from 94: */
#define FEW 500
#define SPOILED_PPM 30000
#define ODD_PPM 30000 /* runs in whose way something was: up to four times as long */

/* What a seed draws of a landscape. */
typedef struct ground {
    uint32_t n_points, high, odd_ppm;
    double a, b, noise;
} ground_t;

typedef struct landscape {
    const char *name;
    void (*draw) (ground_t *ground, pxi_prng *prng);
    double (*time) (const ground_t *ground, const uint32_t *values);
} landscape_t;

static double between (pxi_prng *prng, double low, double high)
{
    return low + (high - low) * pxi_prng_double (prng);
}

static void draw_common (ground_t *ground, pxi_prng *prng)
{
    *ground = (ground_t){.n_points = 1};
    ground->high = (uint32_t)lround (exp2 (between (prng, 2, 10)));
    ground->noise = between (prng, 0.005, 0.04);
    ground->a = between (prng, 0, 1);
    ground->b = between (prng, 0, 1);
}

static void draw_noisy (ground_t *ground, pxi_prng *prng)
{
    draw_common (ground, prng);
    ground->noise = between (prng, 0.04, 0.06);
}

static void draw_odd (ground_t *ground, pxi_prng *prng)
{
    draw_common (ground, prng);
    ground->odd_ppm = ODD_PPM;
}

static void draw_two (ground_t *ground, pxi_prng *prng)
{
    draw_common (ground, prng);
    ground->n_points = 2;
}

static double flat (const ground_t *ground, const uint32_t *values)
{
    return 3;
}

/* Data-heavy: every subtask that leaves costs more than it saves. */
static double at_zero (const ground_t *ground, const uint32_t *values)
{
    return 1 + (0.15 + ground->a) * log2 (1 + values[0]) / 4;
}

/* Work shared, a cost for each worker: best where both are equal. */
static double middle (const ground_t *ground, const uint32_t *values)
{
    double best = 2 + ground->a * ground->high / 2, b = values[0] + 1.0;
    return b / best + best / b + 2 * ground->b;
}

static double steep (const ground_t *ground, const uint32_t *values)
{
    double best = 2 + ground->a * ground->high / 2, b = values[0] + 1.0;
    return b / best + best / b;
}

static double at_high (const ground_t *ground, const uint32_t *values)
{
    return 1 / (1.0 + values[0]) + 0.5 * ground->a / ground->high;
}

/* A loop of equal subtasks: it ends with the last wave. */
static double teeth (const ground_t *ground, const uint32_t *values)
{
    double n_subtasks = 2 * ground->high + ground->a * 8 * ground->high, workers = 1.0 + values[0];
    return ceil (n_subtasks / workers) * 0.01 + 0.01 * (0.2 + ground->b) * workers;
}

/* Good without any, and better with many; bad between. */
static double two_optima (const ground_t *ground, const uint32_t *values)
{
    double x = log2 (1.0 + values[0]) / log2 (1.0 + ground->high);
    double first = 1 + 8 * x * x,
           second = 0.75 + 0.15 * ground->b +
                    8 * (x - 0.6 - 0.4 * ground->a) * (x - 0.6 - 0.4 * ground->a);
    return fmin (first, second);
}

/* An outer and an inner loop: what counts is their product. */
static double product (const ground_t *ground, const uint32_t *values)
{
    double best = 2 + ground->a * ground->high, b = (1.0 + values[0]) * (1.0 + values[1]);
    return b / best + best / b + 1 + 0.05 * log2 (1.0 + values[1]);
}

/* Both must be right at once; each alone gains little. */
static double pair (const ground_t *ground, const uint32_t *values)
{
    double x = log2 (1.0 + values[0]) / log2 (1.0 + ground->high) - ground->a;
    double y = log2 (1.0 + values[1]) / log2 (1.0 + ground->high) - ground->b;
    return 1 + 2 * x * x + 2 * y * y + 1.5 * x * y;
}

/* The second one does nothing. */
static double one_of_two (const ground_t *ground, const uint32_t *values)
{
    return middle (ground, values);
}

static const landscape_t landscapes[] = {
    {"flat", draw_common, flat},
    {"best at 0", draw_common, at_zero},
    {"best in the middle", draw_common, middle},
    {"best at N", draw_common, at_high},
    {"with teeth", draw_common, teeth},
    {"two optima", draw_common, two_optima},
    {"strong noise, best in the middle", draw_noisy, steep},
    {"strong noise, best at 0", draw_noisy, at_zero},
    {"strong noise, flat", draw_noisy, flat},
    {"odd runs, best in the middle", draw_odd, middle},
    {"two points, their product counts", draw_two, product},
    {"two points, each with the other", draw_two, pair},
    {"two points, one without effect", draw_two, one_of_two},
};
enum { N_LANDSCAPES = sizeof landscapes / sizeof *landscapes };

static double best_of (const landscape_t *landscape, const ground_t *ground)
{
    double best = INFINITY;
    for (uint32_t i = 0; i <= ground->high; i++) {
        for (uint32_t j = 0; j <= (ground->n_points > 1 ? ground->high : 0); j++)
            best = fmin (best, landscape->time (ground, (uint32_t[]){i, j}));
    }
    return best;
}

/* Box and Muller. */
static double normal (pxi_prng *prng)
{
    double radius = sqrt (-2 * log (1 - pxi_prng_double (prng)));
    return radius * cos (2 * 3.14159265358979 * pxi_prng_double (prng));
}

static double measured (const ground_t *ground, double time, pxi_prng *prng)
{
    double odd = pxi_prng_chance (prng, ground->odd_ppm) ? between (prng, 1.5, 4) : 1;
    return odd * time * exp (ground->noise * normal (prng));
}

typedef struct outcome {
    double over;  /* time chosen over the best */
    double spent; /* time of all runs over the best */
    uint32_t n_runs;
} outcome_t;

static outcome_t search (const landscape_t *landscape, uint64_t seed)
{
    ground_t ground;
    pxi_prng prng;
    pxi_tune_setting setting;
    pxi_tune_result result;
    outcome_t outcome = {0};
    double cut_s;
    pxi_prng_init (&prng, pxi_mix64 (seed + 1));
    landscape->draw (&ground, &prng);
    pxi_tune_config config = {.seed = seed, .n_points = ground.n_points};
    for (uint32_t i = 0; i < ground.n_points; i++)
        config.points[i] = (pxi_tune_point){0, ground.high, STANDARD, ground.high / 4};
    pxi_tune *tune = pxi_tune_new (&config);
    if (!tune)
        exit (2);
    while (pxi_tune_ask (tune, &setting, &cut_s)) {
        double took = measured (&ground, landscape->time (&ground, setting.values), &prng);
        bool cut = cut_s > 0 && took > cut_s;
        outcome.spent += cut ? cut_s : took;
        if (pxi_prng_chance (&prng, SPOILED_PPM))
            pxi_tune_spoil (tune);
        else
            pxi_tune_tell (tune, &(pxi_tune_sample){.makespan_s = cut ? cut_s : took, .cut = cut});
    }
    pxi_tune_read (tune, &result);
    double best = best_of (landscape, &ground);
    outcome.over = landscape->time (&ground, result.setting.values) / best;
    outcome.spent /= best;
    outcome.n_runs = result.n_runs;
    pxi_tune_free (&tune);
    return outcome;
}

static bool try_landscape (uint32_t number, uint64_t first, uint64_t last)
{
    const landscape_t *landscape = &landscapes[number];
    double n = (double)(last - first + 1), n_fine = 0, runs = 0, spent = 0, over = 0;
    uint32_t n_runs_max = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        outcome_t outcome = search (landscape, seed);
        n_fine += outcome.over <= NEAR;
        runs += outcome.n_runs;
        spent += outcome.spent;
        over += outcome.over - 1;
        n_runs_max = outcome.n_runs > n_runs_max ? outcome.n_runs : n_runs_max;
    }
    bool fine = n_fine >= (n < FEW ? SHARE_OF_FEW : SHARE) * n;
    printf ("%s %u - %s: %.1f %% of %.0f seeds within 5 %%; mean %.2f %% above the best; %.1f runs "
            "(at most %u), "
            "%.0f times the best\n",
            fine ? "ok" : "not ok", number + 1, landscape->name, 100 * n_fine / n, n,
            100 * over / n, runs / n, n_runs_max, spent / n);
    fflush (stdout);
    return fine;
}

int main (int argc, char **argv)
{
    unsigned long long first = 1, last = 40;
    if (argc > 1 && (sscanf (argv[1], "%llu..%llu", &first, &last) != 2 || last < first)) {
        fprintf (stderr, "landscapes: %s: want FIRST..LAST\n", argv[1]);
        return 2;
    }
    bool fine = true;
    printf ("1..%d\n", argc > 2 ? 1 : N_LANDSCAPES);
    for (uint32_t i = 0; i < N_LANDSCAPES; i++) {
        if (argc < 3 || !strcmp (argv[2], landscapes[i].name))
            fine = try_landscape (i, first, last) && fine;
    }
    return fine ? 0 : 1;
}
