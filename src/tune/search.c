/* First a look: the standard, the ends of the range, a guess. Of several points each alone, and all together, so that
 * points without effect are left at their standard. Then the run with the largest expected gain of the best that will
 * be believed afterwards (knowledge gradient for correlated beliefs: Frazier, Powell, Dayanik, INFORMS J. Computing
 * 21(4), 2009): it weighs places that nobody has tried against repeats of those that look good, which is what noise
 * asks for. Golden section was rejected: the curves have teeth near the number of workers. The last runs compare
 * the best with the standard in turns, so that a drift of the machine meets both; what is not better beyond the
 * noise is not used.
 *
 * A run that takes several times the best may be cut: its exact time is of no interest, and runs without any remote
 * worker would take most of the whole search. */
#include "tune/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/prng.h"

enum {
    ACTIVE_MAX = 4,  /* points that are searched; of more the most effective */
    VALUES_MAX = 48, /* tried of one point */
    ALL_UP_TO = 8,   /* smaller values are all tried, larger ones in half octaves */
    COARSE_MAX = 14, /* values of a point in products of two points; with more than two: */
    COARSE_OF_MANY_MAX = 6,
    CANDIDATES_MAX = 512,
    PLAN_MAX = 4 * PXI_TUNE_POINTS_MAX + 6,
    CHECK_RUNS = 4, /* of the final check, at least; where it looks clear before: */
    CHECK_RUNS_CLEAR = 2,
    QUIET_MAX = 2, /* questions in a row that promise little: then the search ends */
    PHI_STEPS = 6,
    FEW_VALUES = 6, /* of the only point: all are tried */
};

#define CUT_TIMES 3.0
#define CUT_BEYOND                                                                                 \
    0.6 /* how much longer it would have taken, as a logarithm; and how unsure that is */
#define LITTLE 0.0015      /* expected gain of a run that is not worth it */
#define CONFIDENT_SD 1.282 /* one-sided 90 % */
#define CLEAR_SD 4.0
#define ODD                                                                                        \
    0.25 /* slower than another run of the same setting by so much, as a logarithm: something was in the way */
#define INTERVAL_SD 1.96
#define GAP_OCTAVES 1.5 /* between values tried: nothing is said to be known of what is between */
#define MATTERS_SD 2.5
#define COST_PENALTY 10.0

typedef struct run_record {
    pxi_tune_setting setting;
    bool cut;
} run_record;

struct pxi_tune {
    pxi_tune_config config;
    pxi_prng prng;
    pxi_tune_stage stage;
    pxi_tune_setting standard, best, pending;
    bool asked;
    pxi_tune_setting plan[PLAN_MAX];
    uint32_t n_plan, next_plan, search_max, n_quiet, n_checks;
    uint32_t n_spoiled, n_spoiled_in_a_row;
    uint32_t values[PXI_TUNE_POINTS_MAX][VALUES_MAX], n_values[PXI_TUNE_POINTS_MAX];
    bool active[PXI_TUNE_POINTS_MAX], matters[PXI_TUNE_POINTS_MAX];
    uint32_t n_runs;
    run_record *runs;
    pxi_place *places;
    double *scores, *vague; /* logarithms; and variances of those that were cut, or are odd */
    double best_makespan_s;
    pxi_surface surface;
    pxi_tune_setting *candidates;
    pxi_place *candidate_places;
    uint32_t n_candidates;
    double *columns, *covariance, *means;
};

/* ---- settings --------------------------------------------------------------------------------- */

bool pxi_tune_same (const pxi_tune *tune, const pxi_tune_setting *a, const pxi_tune_setting *b)
{
    return !memcmp (a->values, b->values, tune->config.n_points * sizeof *a->values);
}

static pxi_place place_of (const pxi_tune *tune, const pxi_tune_setting *setting)
{
    pxi_place place = {{0}};
    for (uint32_t i = 0; i < tune->config.n_points; i++)
        place.at[i] = log2 (1.0 + setting->values[i]);
    return place;
}

static uint32_t clamp (const pxi_tune_point *point, uint32_t value)
{
    value = value < point->low ? point->low : value;
    return value > point->high ? point->high : value;
}

static void add_value (pxi_tune *tune, uint32_t point, uint32_t value)
{
    uint32_t *values = tune->values[point], n = tune->n_values[point], at = n;
    value = clamp (&tune->config.points[point], value);
    while (at > 0 && values[at - 1] >= value)
        at--;
    if (n == VALUES_MAX || (at < n && values[at] == value))
        return;
    memmove (values + at + 1, values + at, (n - at) * sizeof *values);
    values[at] = value;
    tune->n_values[point]++;
}

static void fill_values (pxi_tune *tune, uint32_t point)
{
    const pxi_tune_point *given = &tune->config.points[point];
    for (uint32_t value = 0; value <= ALL_UP_TO; value++)
        add_value (tune, point, value);
    for (double value = ALL_UP_TO; value < given->high; value *= sqrt (2))
        add_value (tune, point, (uint32_t)lround (value));
    add_value (tune, point, given->high);
    add_value (tune, point, given->standard);
    add_value (tune, point, given->guess);
}

/* ---- the first look --------------------------------------------------------------------------- */

static void plan_run (pxi_tune *tune, const pxi_tune_setting *setting)
{
    for (uint32_t i = 0; i < tune->n_plan; i++) {
        if (pxi_tune_same (tune, &tune->plan[i], setting))
            return;
    }
    tune->plan[tune->n_plan++] = *setting;
}

/* `which` = n_points: all of them. */
static void plan_values (pxi_tune *tune, uint32_t which)
{
    pxi_tune_setting low = tune->standard, guess = low, high = low;
    for (uint32_t i = 0; i < tune->config.n_points; i++) {
        const pxi_tune_point *point = &tune->config.points[i];
        if (which != i && which != tune->config.n_points)
            continue;
        low.values[i] = point->low;
        guess.values[i] = clamp (point, point->guess);
        high.values[i] = point->high;
    }
    plan_run (tune, &guess);
    plan_run (tune, &high);
    plan_run (tune, &low);
}

static void plan_all (pxi_tune *tune)
{
    for (uint32_t i = 0; i < tune->n_values[0]; i++)
        plan_run (tune, &(pxi_tune_setting){{tune->values[0][i]}});
}

/* The standard comes first, since the others are cut by it; then in no order, so that a drift of the machine
 * does not look like an effect. */
static void plan_first_look (pxi_tune *tune)
{
    uint32_t n_points = tune->config.n_points;
    plan_run (tune, &tune->standard);
    plan_values (tune, n_points);
    for (uint32_t i = 0; n_points > 1 && i < n_points; i++)
        plan_values (tune, i);
    if (n_points == 1 && tune->n_values[0] <= FEW_VALUES)
        plan_all (tune);
    for (uint32_t i = tune->n_plan; i > 2; i--) {
        uint32_t other = 1 + (uint32_t)pxi_prng_below (&tune->prng, i - 1);
        pxi_tune_setting swapped = tune->plan[i - 1];
        tune->plan[i - 1] = tune->plan[other];
        tune->plan[other] = swapped;
    }
    tune->plan[tune->n_plan++] =
        tune->standard; /* once more: what a difference is, the noise says */
}

/* ---- life ------------------------------------------------------------------------------------- */

static bool allocate (pxi_tune *tune)
{
    uint32_t n_max = tune->config.runs_max;
    tune->runs = calloc (n_max, sizeof *tune->runs);
    tune->places = calloc (n_max, sizeof *tune->places);
    tune->scores = calloc (n_max, sizeof *tune->scores);
    tune->vague = calloc (n_max, sizeof *tune->vague);
    tune->candidates = calloc (CANDIDATES_MAX, sizeof *tune->candidates);
    tune->candidate_places = calloc (CANDIDATES_MAX, sizeof *tune->candidate_places);
    tune->columns = calloc ((size_t)CANDIDATES_MAX * n_max, sizeof *tune->columns);
    tune->covariance = calloc ((size_t)CANDIDATES_MAX * CANDIDATES_MAX, sizeof *tune->covariance);
    tune->means = calloc (CANDIDATES_MAX, sizeof *tune->means);
    return tune->runs && tune->places && tune->scores && tune->vague && tune->candidates &&
           tune->candidate_places && tune->columns && tune->covariance && tune->means &&
           pxi_surface_init (&tune->surface, tune->config.n_points, n_max);
}

pxi_tune *pxi_tune_new (const pxi_tune_config *config)
{
    PXI_ASSERT (config->n_points >= 1 && config->n_points <= PXI_TUNE_POINTS_MAX);
    pxi_tune *tune = calloc (1, sizeof *tune);
    if (!tune)
        return NULL;
    tune->config = *config;
    if (!tune->config.runs_max)
        tune->config.runs_max = PXI_TUNE_RUNS_PER_POINT * config->n_points;
    pxi_prng_init (&tune->prng, config->seed);
    if (!allocate (tune)) {
        pxi_tune_free (&tune);
        return NULL;
    }
    for (uint32_t i = 0; i < config->n_points; i++) {
        tune->standard.values[i] = clamp (&config->points[i], config->points[i].standard);
        tune->active[i] = true;
        fill_values (tune, i);
    }
    tune->best = tune->standard;
    plan_first_look (tune);
    return tune;
}

void pxi_tune_free (pxi_tune **tune_p)
{
    pxi_tune *tune = *tune_p;
    *tune_p = NULL;
    if (!tune)
        return;
    pxi_surface_fini (&tune->surface);
    free (tune->runs);
    free (tune->places);
    free (tune->scores);
    free (tune->vague);
    free (tune->candidates);
    free (tune->candidate_places);
    free (tune->columns);
    free (tune->covariance);
    free (tune->means);
    free (tune);
}

/* ---- what is believed ------------------------------------------------------------------------- */

/* Noise only ever adds time, now and then a lot of it. Such a run is no better known than by that much. */
static void doubt_odd_runs (pxi_tune *tune)
{
    for (uint32_t i = 0; i < tune->n_runs; i++) {
        double fastest = tune->scores[i];
        for (uint32_t j = 0; j < tune->n_runs; j++) {
            if (!tune->runs[j].cut &&
                pxi_tune_same (tune, &tune->runs[i].setting, &tune->runs[j].setting))
                fastest = fmin (fastest, tune->scores[j]);
        }
        double odd = tune->scores[i] - fastest;
        if (!tune->runs[i].cut)
            tune->vague[i] = odd > ODD ? odd * odd : 0;
    }
}

static void learn (pxi_tune *tune)
{
    doubt_odd_runs (tune);
    if (tune->n_runs)
        pxi_surface_learn (&tune->surface, tune->places, tune->scores, tune->vague, tune->n_runs);
}

/* Of `setting` over the standard, as a logarithm. Of a short list, so the room for it is on the stack. */
static void compare (const pxi_tune *tune, const pxi_tune_setting *setting, double *mean,
                     double *sd)
{
    const pxi_place places[2] = {place_of (tune, setting), place_of (tune, &tune->standard)};
    double covariance[4];
    pxi_surface_covariance (&tune->surface, places, 2, tune->columns, covariance);
    double variance = covariance[0] + covariance[3] - 2 * covariance[1];
    *mean = pxi_surface_mean (&tune->surface, &places[0]) -
            pxi_surface_mean (&tune->surface, &places[1]);
    *sd = sqrt (fmax (variance, 0));
}

/* Of those that were run, and not cut. */
static void find_best (pxi_tune *tune)
{
    double lowest = pxi_surface_mean (&tune->surface, &tune->places[0]);
    tune->best = tune->standard; /* the first one run */
    for (uint32_t i = 1; i < tune->n_runs; i++) {
        double mean = pxi_surface_mean (&tune->surface, &tune->places[i]);
        if (mean < lowest && !tune->runs[i].cut) {
            lowest = mean;
            tune->best = tune->runs[i].setting;
        }
    }
}

static bool is_better (const pxi_tune *tune, double by_sd)
{
    double mean, sd;
    compare (tune, &tune->best, &mean, &sd);
    return mean + by_sd * sd < 0;
}

static uint32_t check_runs (const pxi_tune *tune)
{
    return is_better (tune, CLEAR_SD) ? CHECK_RUNS_CLEAR : CHECK_RUNS;
}

/* ---- which points matter ---------------------------------------------------------------------- */

/* How far the standard is from settings that differ from it in this point alone. */
static double effect_of (const pxi_tune *tune, uint32_t point)
{
    double effect = 0;
    for (uint32_t i = 1; i < tune->n_runs; i++) {
        pxi_tune_setting without = tune->runs[i].setting;
        without.values[point] = tune->standard.values[point];
        if (pxi_tune_same (tune, &without, &tune->standard))
            effect = fmax (effect, fabs (tune->scores[i] - tune->scores[0]));
    }
    return effect;
}

static double largest_effect (const pxi_tune *tune)
{
    double effect = 0;
    for (uint32_t i = 1; i < tune->n_runs; i++)
        effect = fmax (effect, fabs (tune->scores[i] - tune->scores[0]));
    return effect;
}

/* Points without an effect of their own are left alone, unless the whole has one that no point explains. */
static void screen (pxi_tune *tune)
{
    double effects[PXI_TUNE_POINTS_MAX];
    double limit = MATTERS_SD * pxi_surface_noise (&tune->surface);
    uint32_t n_points = tune->config.n_points, n_matter = 0, n_active = 0;
    for (uint32_t i = 0; i < n_points; i++) {
        effects[i] = effect_of (tune, i);
        tune->matters[i] = effects[i] > limit;
        n_matter += tune->matters[i];
    }
    bool joint = n_matter == 0 && largest_effect (tune) > limit;
    for (uint32_t i = 0; i < n_points; i++) {
        uint32_t stronger = 0;
        for (uint32_t j = 0; j < n_points; j++)
            stronger += effects[j] > effects[i] || (j < i && effects[j] == effects[i]);
        tune->matters[i] = tune->matters[i] || joint;
        tune->active[i] = tune->matters[i] && stronger < ACTIVE_MAX;
        n_active += tune->active[i];
    }
    uint32_t most = tune->n_runs + PXI_TUNE_RUNS_PER_POINT * n_active;
    tune->search_max = n_active == 0             ? tune->n_runs
                       : most < tune->search_max ? most
                                                 : tune->search_max;
}

/* ---- candidates ------------------------------------------------------------------------------- */

static void add_candidate (pxi_tune *tune, const pxi_tune_setting *setting)
{
    if (tune->n_candidates == CANDIDATES_MAX)
        return;
    tune->candidate_places[tune->n_candidates] = place_of (tune, setting);
    tune->candidates[tune->n_candidates++] = *setting;
}

static void add_line (pxi_tune *tune, uint32_t point)
{
    pxi_tune_setting setting = tune->best;
    for (uint32_t i = 0; i < tune->n_values[point]; i++) {
        setting.values[point] = tune->values[point][i];
        add_candidate (tune, &setting);
    }
}

static uint32_t coarse (const pxi_tune *tune, uint32_t point, uint32_t n, uint32_t at)
{
    uint32_t last = tune->n_values[point] - 1;
    return tune->values[point][n > 1 ? (at * last + (n - 1) / 2) / (n - 1) : last];
}

/* What two points do together shows only where both are moved. */
static void add_product (pxi_tune *tune, uint32_t first, uint32_t second, uint32_t n_max)
{
    uint32_t n_first = tune->n_values[first] < n_max ? tune->n_values[first] : n_max;
    uint32_t n_second = tune->n_values[second] < n_max ? tune->n_values[second] : n_max;
    pxi_tune_setting setting = tune->best;
    for (uint32_t i = 0; i < n_first; i++) {
        setting.values[first] = coarse (tune, first, n_first, i);
        for (uint32_t j = 0; j < n_second; j++) {
            setting.values[second] = coarse (tune, second, n_second, j);
            add_candidate (tune, &setting);
        }
    }
}

static void fill_candidates (pxi_tune *tune)
{
    uint32_t n_active = 0, n_points = tune->config.n_points;
    tune->n_candidates = 0;
    for (uint32_t i = 0; i < n_points; i++) {
        n_active += tune->active[i];
        if (tune->active[i])
            add_line (tune, i);
    }
    for (uint32_t i = 0; i < n_points; i++) {
        for (uint32_t j = i + 1; j < n_points; j++) {
            if (tune->active[i] && tune->active[j])
                add_product (tune, i, j, n_active > 2 ? COARSE_OF_MANY_MAX : COARSE_MAX);
        }
    }
}

/* ---- the next run ----------------------------------------------------------------------------- */

/* The lowest mean that will be believed once `candidate` was run: expected over what it may say. */
static double expected_lowest (const pxi_tune *tune, uint32_t candidate)
{
    double noise = pxi_surface_noise (&tune->surface), sum = 0, weights = 0;
    const double *row = tune->covariance + (size_t)candidate * tune->n_candidates;
    double sd = sqrt (fmax (row[candidate], 0) + noise * noise);
    for (int step = -PHI_STEPS; step <= PHI_STEPS; step++) {
        double z = 0.5 * step, weight = exp (-0.5 * z * z), lowest = INFINITY;
        for (uint32_t i = 0; i < tune->n_candidates; i++)
            lowest = fmin (lowest, tune->means[i] + row[i] / sd * z);
        sum += weight * lowest;
        weights += weight;
    }
    return sum / weights;
}

/* Returns what the run is expected to gain. */
static double find_next (pxi_tune *tune, pxi_tune_setting *next)
{
    double lowest_now = INFINITY, lowest = INFINITY;
    fill_candidates (tune);
    pxi_surface_covariance (&tune->surface, tune->candidate_places, tune->n_candidates,
                            tune->columns, tune->covariance);
    for (uint32_t i = 0; i < tune->n_candidates; i++) {
        tune->means[i] = pxi_surface_mean (&tune->surface, &tune->candidate_places[i]);
        lowest_now = fmin (lowest_now, tune->means[i]);
    }
    for (uint32_t i = 0; i < tune->n_candidates; i++) {
        double expected = expected_lowest (tune, i);
        if (expected < lowest) {
            lowest = expected;
            *next = tune->candidates[i];
        }
    }
    return lowest_now - lowest;
}

static void begin_search (pxi_tune *tune)
{
    tune->stage = PXI_TUNE_SEARCH;
    tune->search_max = tune->config.runs_max;
    if (tune->config.n_points > 1)
        screen (tune);
}

/* Distance from the nearest run whose other points are as in `setting`. */
static double distance_of (const pxi_tune *tune, const pxi_tune_setting *setting, uint32_t point)
{
    double distance = INFINITY, at = log2 (1.0 + setting->values[point]);
    for (uint32_t i = 0; i < tune->n_runs; i++) {
        pxi_tune_setting moved = tune->runs[i].setting;
        moved.values[point] = setting->values[point];
        if (pxi_tune_same (tune, &moved, setting))
            distance = fmin (distance, fabs (tune->places[i].at[point] - at));
    }
    return distance;
}

/* A model that is sure of what it has never seen is not to be believed that. True: there is a wide gap on a line
 * through the best, and *next is in the middle of the widest. */
static bool find_gap (const pxi_tune *tune, pxi_tune_setting *next)
{
    double widest = GAP_OCTAVES / 2;
    for (uint32_t point = 0; point < tune->config.n_points; point++) {
        pxi_tune_setting setting = tune->best;
        for (uint32_t i = 0; tune->active[point] && i < tune->n_values[point]; i++) {
            setting.values[point] = tune->values[point][i];
            double distance = distance_of (tune, &setting, point);
            if (distance > widest) {
                widest = distance;
                *next = setting;
            }
        }
    }
    return widest > GAP_OCTAVES / 2;
}

static bool ask_search (pxi_tune *tune)
{
    if (tune->n_runs + check_runs (tune) < tune->search_max) {
        bool quiet = find_next (tune, &tune->pending) < LITTLE;
        tune->n_quiet = quiet ? tune->n_quiet + 1 : 0;
        if (tune->n_quiet < QUIET_MAX || find_gap (tune, &tune->pending))
            return true;
    }
    tune->stage =
        pxi_tune_same (tune, &tune->best, &tune->standard) ? PXI_TUNE_OVER : PXI_TUNE_CHECK;
    return false;
}

/* In turns, each pair in the other order. One pair at least, however clear it looks. */
static bool ask_check (pxi_tune *tune)
{
    bool enough = tune->n_checks >= check_runs (tune) && tune->n_checks % 2 == 0 &&
                  is_better (tune, CONFIDENT_SD);
    if (enough || tune->n_runs == tune->config.runs_max) {
        tune->stage = PXI_TUNE_OVER;
        return false;
    }
    bool second = tune->n_checks % 4 == 1 || tune->n_checks % 4 == 2;
    tune->pending = second ? tune->best : tune->standard;
    return true;
}

static bool ask_next (pxi_tune *tune)
{
    if (tune->n_runs == tune->config.runs_max)
        tune->stage = PXI_TUNE_OVER;
    if (tune->stage == PXI_TUNE_LOOK && tune->next_plan < tune->n_plan) {
        tune->pending = tune->plan[tune->next_plan++];
        return true;
    }
    if (tune->stage == PXI_TUNE_LOOK)
        begin_search (tune);
    if (tune->stage == PXI_TUNE_SEARCH && ask_search (tune))
        return true;
    return tune->stage == PXI_TUNE_CHECK && ask_check (tune);
}

bool pxi_tune_ask (pxi_tune *tune, pxi_tune_setting *setting, double *cut_s)
{
    if (!tune->asked && !ask_next (tune))
        return false;
    tune->asked = true;
    *setting = tune->pending;
    *cut_s = tune->n_runs ? CUT_TIMES * tune->best_makespan_s : 0;
    return true;
}

/* ---- answers ---------------------------------------------------------------------------------- */

static double score_of (const pxi_tune *tune, const pxi_tune_sample *sample)
{
    double score = log (sample->makespan_s);
    if (tune->config.objective == PXI_TUNE_COST)
        score += COST_PENALTY * fmax (0, sample->extra_share - tune->config.extra_max);
    return score;
}

void pxi_tune_tell (pxi_tune *tune, const pxi_tune_sample *sample)
{
    PXI_ASSERT (tune->asked);
    PXI_ASSERT (sample->makespan_s > 0);
    uint32_t at = tune->n_runs++;
    double score = score_of (tune, sample);
    tune->asked = false;
    tune->n_spoiled_in_a_row = 0;
    tune->runs[at] = (run_record){tune->pending, sample->cut};
    tune->places[at] = place_of (tune, &tune->pending);
    tune->scores[at] = score + (sample->cut ? CUT_BEYOND : 0);
    tune->vague[at] = sample->cut ? CUT_BEYOND * CUT_BEYOND : 0;
    if (at == 0 || (!sample->cut && sample->makespan_s < tune->best_makespan_s))
        tune->best_makespan_s = sample->makespan_s;
    tune->n_checks += tune->stage == PXI_TUNE_CHECK;
    learn (tune);
    if (tune->stage != PXI_TUNE_CHECK)
        find_best (tune);
}

void pxi_tune_spoil (pxi_tune *tune)
{
    PXI_ASSERT (tune->asked);
    tune->n_spoiled++;
    if (++tune->n_spoiled_in_a_row >= PXI_TUNE_SPOILED_MAX)
        pxi_tune_end (tune);
}

void pxi_tune_end (pxi_tune *tune)
{
    tune->asked = false;
    tune->stage = PXI_TUNE_OVER;
}

/* ---- results ---------------------------------------------------------------------------------- */

pxi_tune_stage pxi_tune_stage_of (const pxi_tune *tune)
{
    return tune->stage;
}

uint32_t pxi_tune_runs_max (const pxi_tune *tune)
{
    return tune->config.runs_max;
}

void pxi_tune_read (const pxi_tune *tune, pxi_tune_result *result)
{
    double mean, sd;
    *result = (pxi_tune_result){.setting = tune->standard,
                                .best = tune->best,
                                .n_runs = tune->n_runs,
                                .n_spoiled = tune->n_spoiled};
    memcpy (result->matters, tune->matters, sizeof result->matters);
    if (!tune->n_runs)
        return;
    result->noise = pxi_surface_noise (&tune->surface);
    if (tune->config.n_points == 1)
        result->matters[0] = largest_effect (tune) > MATTERS_SD * result->noise;
    if (pxi_tune_same (tune, &tune->best, &tune->standard))
        return;
    compare (tune, &tune->best, &mean, &sd);
    result->gain = 1 - exp (mean);
    result->gain_low = 1 - exp (mean + INTERVAL_SD * sd);
    result->gain_high = 1 - exp (mean - INTERVAL_SD * sd);
    result->verdict = is_better (tune, CONFIDENT_SD) ? PXI_TUNE_BETTER : PXI_TUNE_NOISE;
    if (result->verdict == PXI_TUNE_BETTER)
        result->setting = tune->best;
}

void pxi_tune_believe (const pxi_tune *tune, const pxi_tune_setting *setting,
                       pxi_tune_belief *belief)
{
    const pxi_place place = place_of (tune, setting);
    double variance;
    *belief = (pxi_tune_belief){0};
    if (!tune->n_runs)
        return;
    double mean = pxi_surface_mean (&tune->surface, &place);
    pxi_surface_covariance (&tune->surface, &place, 1, tune->columns, &variance);
    double sd = sqrt (fmax (variance, 0));
    belief->score_s = exp (mean);
    belief->low_s = exp (mean - INTERVAL_SD * sd);
    belief->high_s = exp (mean + INTERVAL_SD * sd);
    for (uint32_t i = 0; i < tune->n_runs; i++) {
        bool same = pxi_tune_same (tune, &tune->runs[i].setting, setting);
        belief->n_runs += same;
        belief->n_cut += same && tune->runs[i].cut;
    }
}
