/* Charts as SVG, and results as JSON files, for the tools that measure or simulate. */
#ifndef TOOLS_COMMON_PLOT_H
#define TOOLS_COMMON_PLOT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct mark { /* a vertical line, with its name at the top */
    double x;
    const char *text;
} mark_t;

typedef struct chart chart_t;

struct chart {
    const char *title, *x, *y;
    bool log_x, log_y;
    const char *y2;    /* axis on the right; NULL = none */
    uint32_t n_second; /* lines that belong to it: the last ones */
    uint32_t n_lines, n_points;
    const char *const *lines; /* names */
    const double *xs;         /* n_points; or n_lines x n_points */
    bool own_xs;              /* each line has its own */
    const double *ys;         /* n_lines x n_points; not a number = left out */
    const char *const *tics;  /* words at 0, 1, ... of the axis below, NULL-ended; NULL = numbers */
    const mark_t *marks;
    uint32_t n_marks;
    const chart_t *below; /* in the same drawing; NULL = none */
};

/* False, and a message: gnuplot is not there, or failed. */
bool plot_svg (const char *path, const chart_t *chart);
bool json_write (const char *path, json_t *value); /* takes the value */

#endif
