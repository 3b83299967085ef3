#include "common/series.h"

#include <math.h>
#include <stdlib.h>

series_t series_of (const double *values, uint32_t n)
{
    series_t series = {.n = n};
    double squares = 0;
    for (uint32_t i = 0; i < n; i++)
        series.mean += values[i] / n;
    for (uint32_t i = 0; i < n; i++)
        squares += (values[i] - series.mean) * (values[i] - series.mean);
    if (n > 1) {
        series.sd = sqrt (squares / (n - 1));
        series.error = series.sd / sqrt (n);
    }
    return series;
}

static int by_value (const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double percentile (double *values, uint32_t n, double share)
{
    if (!n)
        return NAN;
    qsort (values, n, sizeof *values, by_value);
    double place = share * (n - 1);
    uint32_t below = (uint32_t)place;
    uint32_t above = below + 1 < n ? below + 1 : below;
    return values[below] + (place - below) * (values[above] - values[below]);
}
