/* What is believed of a program's time as a function of its branch numbers, from a few noisy runs: a Gaussian
 * process (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapters 2 and 5).
 *
 * A setting is a point: one coordinate per branch point, log2 (1 + value), in octaves. The value is the logarithm
 * of the score, so noise and gains are ratios. Numbers of the model (scale, noise, a length per coordinate, how
 * much coordinates act together) are those most likely given the runs and a mild opinion beforehand. */
#ifndef PXI_TUNE_SURFACE_H
#define PXI_TUNE_SURFACE_H

#include <stdbool.h>
#include <stdint.h>

enum { PXI_TUNE_POINTS_MAX = 16 };

typedef struct pxi_place {
    double at[PXI_TUNE_POINTS_MAX];
} pxi_place;

/* Indices into the surface's tables of what each number of the model may be. */
typedef struct pxi_surface_model {
    uint8_t scale, noise, together;
    uint8_t lengths[PXI_TUNE_POINTS_MAX + 1]; /* the last: of the sum of all coordinates */
} pxi_surface_model;

typedef struct pxi_surface {
    uint32_t n_points, n, n_max;
    const pxi_place *places; /* of the runs: the caller's */
    const double *vague;     /* variances of the runs besides the noise: the caller's */
    pxi_surface_model model;
    double mean;
    double *factor, *weights,
        *work; /* Cholesky factor of the runs' covariance; its inverse times values */
} pxi_surface;

/* False: out of memory. */
bool pxi_surface_init (pxi_surface *surface, uint32_t n_points, uint32_t n_max);
void pxi_surface_fini (pxi_surface *surface);

/* Learn n runs, 1 <= n <= n_max. `places` and `vague` stay while the surface is asked. */
void pxi_surface_learn (pxi_surface *surface, const pxi_place *places, const double *values,
                        const double *vague, uint32_t n);

double pxi_surface_mean (const pxi_surface *surface, const pxi_place *place);
/* Of what is not noise, given the runs: fills n_places x n_places covariances. `columns` has room for
 * n x n_places. */
void pxi_surface_covariance (const pxi_surface *surface, const pxi_place *places, uint32_t n_places,
                             double *columns, double *covariance);
/* Standard deviation of one run's noise. */
double pxi_surface_noise (const pxi_surface *surface);

#endif
