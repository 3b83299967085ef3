/* Figures of figures. */
#ifndef TOOLS_COMMON_SERIES_H
#define TOOLS_COMMON_SERIES_H

#include <stdint.h>

typedef struct series {
    uint32_t n;
    double mean, sd, error; /* error: of the mean; 0 for fewer than two */
} series_t;

series_t series_of (const double *values, uint32_t n);
/* `values` gets sorted. */
double percentile (double *values, uint32_t n, double share);

#endif
