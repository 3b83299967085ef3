/* Everything is small and dense: a few dozen runs, a few hundred places. Hyperparameters come from short tables by
 * coordinate ascent on the evidence: no step size, no start to choose, the same answer everywhere. */
#include "tune/surface.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { PASSES = 3, N_SCALES = 5, N_NOISES = 7, N_LENGTHS = 6, N_TOGETHER = 3 };

static const double scales[N_SCALES] = {0.05, 0.15, 0.4, 1, 2.5};
static const double noises[N_NOISES] = {0.004, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3};
static const double lengths[N_LENGTHS] = {0.5, 1, 2,
                                          4,   8, 30}; /* octaves; the last: does not matter */
static const double together[N_TOGETHER] = {0.02, 0.3, 0.9};

/* A value has a little of its own, which its neighbours do not share: the saw teeth where subtasks just fill,
 * or just do not fill, the workers. */
#define OWN_VARIANCE (0.02 * 0.02)
#define LEVEL_VARIANCE 1.0 /* of the constant that everything stands on */

static double matern (double distance, double length)
{
    double r = sqrt (5) * fabs (distance) / length;
    return (1 + r + r * r / 3) * exp (-r);
}

/* One coordinate more than there are points, where there are several: numbers of nested branch points multiply,
 * so their logarithms add. */
static uint32_t n_lengths (const pxi_surface *surface)
{
    return surface->n_points + (surface->n_points > 1);
}

static double covariance_of (const pxi_surface *surface, const pxi_place *a, const pxi_place *b)
{
    const pxi_surface_model *model = &surface->model;
    double sum = 0, product = 1, whole = 0, scale = scales[model->scale];
    double share = together[model->together];
    bool same = true;
    for (uint32_t i = 0; i < surface->n_points; i++) {
        double one = matern (a->at[i] - b->at[i], lengths[model->lengths[i]]);
        sum += one;
        product *= one;
        whole += a->at[i] - b->at[i];
        same = same && a->at[i] == b->at[i];
    }
    if (surface->n_points > 1)
        sum += matern (whole, lengths[model->lengths[surface->n_points]]);
    double smooth = (1 - share) * sum / n_lengths (surface) + share * product;
    return LEVEL_VARIANCE + scale * scale * smooth + (same ? OWN_VARIANCE : 0);
}

bool pxi_surface_init (pxi_surface *surface, uint32_t n_points, uint32_t n_max)
{
    PXI_ASSERT (n_points >= 1 && n_points <= PXI_TUNE_POINTS_MAX);
    *surface = (pxi_surface){.n_points = n_points, .n_max = n_max};
    surface->factor = calloc ((size_t)n_max * n_max, sizeof *surface->factor);
    surface->weights = calloc (n_max, sizeof *surface->weights);
    surface->work = calloc (n_max, sizeof *surface->work);
    if (surface->factor && surface->weights && surface->work)
        return true;
    pxi_surface_fini (surface);
    return false;
}

void pxi_surface_fini (pxi_surface *surface)
{
    free (surface->factor);
    free (surface->weights);
    free (surface->work);
    *surface = (pxi_surface){0};
}

/* ---- linear algebra --------------------------------------------------------------------------- */

static void fill (pxi_surface *surface)
{
    double noise = noises[surface->model.noise];
    for (uint32_t i = 0; i < surface->n; i++) {
        for (uint32_t j = 0; j <= i; j++)
            surface->factor[i * surface->n + j] =
                covariance_of (surface, &surface->places[i], &surface->places[j]) +
                (i == j ? noise * noise + surface->vague[i] : 0);
    }
}

/* In place, lower triangle. The noise on the diagonal keeps the pivots positive. */
static void decompose (double *matrix, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        for (uint32_t k = 0; k < j; k++)
            matrix[j * n + j] -= matrix[j * n + k] * matrix[j * n + k];
        matrix[j * n + j] = sqrt (fmax (matrix[j * n + j], 1e-12));
        for (uint32_t i = j + 1; i < n; i++) {
            for (uint32_t k = 0; k < j; k++)
                matrix[i * n + j] -= matrix[i * n + k] * matrix[j * n + k];
            matrix[i * n + j] /= matrix[j * n + j];
        }
    }
}

static void solve_lower (const double *factor, uint32_t n, double *column)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < i; k++)
            column[i] -= factor[i * n + k] * column[k];
        column[i] /= factor[i * n + i];
    }
}

static void solve_upper (const double *factor, uint32_t n, double *column)
{
    for (uint32_t i = n; i-- > 0;) {
        for (uint32_t k = i + 1; k < n; k++)
            column[i] -= factor[k * n + i] * column[k];
        column[i] /= factor[i * n + i];
    }
}

/* ---- learning --------------------------------------------------------------------------------- */

/* Before any run: programs' times vary by a few per cent, and numbers matter by tens of per cent, over a few
 * octaves. In units of log likelihood. */
static double opinion (const pxi_surface *surface)
{
    const pxi_surface_model *model = &surface->model;
    double noise = log (noises[model->noise] / 0.025) / 0.8,
           scale = log (scales[model->scale] / 0.4) / 1.2;
    double sum = noise * noise + scale * scale + 0.5 * model->together;
    for (uint32_t i = 0; i < n_lengths (surface); i++) {
        double length = log (lengths[model->lengths[i]] / 2.5) / 1.2;
        sum += length * length;
    }
    return -0.5 * sum;
}

static double evidence (pxi_surface *surface, const double *values)
{
    double log_likelihood = opinion (surface);
    fill (surface);
    decompose (surface->factor, surface->n);
    for (uint32_t i = 0; i < surface->n; i++)
        surface->work[i] = values[i] - surface->mean;
    solve_lower (surface->factor, surface->n, surface->work);
    for (uint32_t i = 0; i < surface->n; i++)
        log_likelihood -=
            0.5 * surface->work[i] * surface->work[i] + log (surface->factor[i * surface->n + i]);
    return log_likelihood;
}

static void improve (pxi_surface *surface, const double *values, uint8_t *number, uint8_t n_choices)
{
    double best = -INFINITY;
    uint8_t chosen = 0;
    for (*number = 0; *number < n_choices; ++*number) {
        double now = evidence (surface, values);
        if (now > best) {
            best = now;
            chosen = *number;
        }
    }
    *number = chosen;
}

void pxi_surface_learn (pxi_surface *surface, const pxi_place *places, const double *values,
                        const double *vague, uint32_t n)
{
    PXI_ASSERT (n >= 1 && n <= surface->n_max);
    surface->places = places;
    surface->vague = vague;
    surface->n = n;
    surface->mean = 0;
    for (uint32_t i = 0; i < n; i++)
        surface->mean += values[i] / n;
    surface->model = (pxi_surface_model){.scale = 2, .noise = 2, .together = 1};
    memset (surface->model.lengths, 2, sizeof surface->model.lengths);
    for (int pass = 0; pass < PASSES; pass++) {
        improve (surface, values, &surface->model.scale, N_SCALES);
        for (uint32_t i = 0; i < n_lengths (surface); i++)
            improve (surface, values, &surface->model.lengths[i], N_LENGTHS);
        if (surface->n_points > 1)
            improve (surface, values, &surface->model.together, N_TOGETHER);
        improve (surface, values, &surface->model.noise, N_NOISES);
    }
    evidence (surface, values);
    memcpy (surface->weights, surface->work, n * sizeof *surface->weights);
    solve_upper (surface->factor, n, surface->weights);
}

/* ---- asking ----------------------------------------------------------------------------------- */

double pxi_surface_mean (const pxi_surface *surface, const pxi_place *place)
{
    double mean = surface->mean;
    for (uint32_t i = 0; i < surface->n; i++)
        mean += surface->weights[i] * covariance_of (surface, &surface->places[i], place);
    return mean;
}

void pxi_surface_covariance (const pxi_surface *surface, const pxi_place *places, uint32_t n_places,
                             double *columns, double *covariance)
{
    uint32_t n = surface->n;
    for (uint32_t a = 0; a < n_places; a++) {
        double *column = columns + (size_t)a * n;
        for (uint32_t i = 0; i < n; i++)
            column[i] = covariance_of (surface, &surface->places[i], &places[a]);
        solve_lower (surface->factor, n, column);
        for (uint32_t b = 0; b <= a; b++) {
            double known = 0;
            for (uint32_t i = 0; i < n; i++)
                known += column[i] * columns[(size_t)b * n + i];
            double left = covariance_of (surface, &places[a], &places[b]) - known;
            covariance[a * n_places + b] = covariance[b * n_places + a] = left;
        }
    }
}

double pxi_surface_noise (const pxi_surface *surface)
{
    return noises[surface->model.noise];
}
