#include "figure.h"

#include <math.h>
#include <stdlib.h>

/* Curves: lines times values that are drawn. */
enum { CURVES_MAX = 2 * LINES_MAX, FIGURES_MAX = 2 };

const series_t *figure_cell (const figure_t *figure, uint32_t line, uint32_t point, uint32_t value)
{
    return &figure->cells[(line * figure->n_points + point) * figure->n_values + value];
}

void figure_points (figure_t *figure, const char *option, const char *given, const char *usual,
                    double low, double high)
{
    char wanted[64];
    snprintf (wanted, sizeof wanted, "a number from %g to %g", low, high);
    figure->n_points =
        numbers_of (option, given ? given : usual, wanted, low, high, figure->points, POINTS_MAX);
}

/* ---- running ---------------------------------------------------------------------------------- */

static void run_seed (const figure_t *figure, uint32_t line, uint64_t seed, double *values)
{
    if (figure->run_line) {
        progress (figure->settings->quiet, "%s: seed %llu ", figure->lines[line],
                  (unsigned long long)seed);
        figure->run_line (figure, line, seed, values);
        return;
    }
    for (uint32_t i = 0; i < figure->n_points; i++) {
        progress (figure->settings->quiet, "%s at %g: seed %llu ", figure->lines[line],
                  figure->points[i], (unsigned long long)seed);
        figure->run_point (figure, line, i, seed, &values[i * figure->n_values]);
    }
}

/* Of what is a number: a seed in which nothing was to be measured does not count. */
static series_t over_seeds (const double *all, size_t stride, uint32_t n_seeds)
{
    double *values = malloc (n_seeds * sizeof *values);
    uint32_t n = 0;
    if (!values)
        out_of_memory ();
    for (uint32_t i = 0; i < n_seeds; i++) {
        if (isfinite (all[i * stride]))
            values[n++] = all[i * stride];
    }
    series_t series = series_of (values, n);
    free (values);
    return series;
}

static void print_line (const figure_t *figure, uint32_t line)
{
    for (uint32_t i = 0; i < figure->n_points; i++) {
        printf ("%-18s %10g", figure->lines[line], figure->points[i]);
        for (uint32_t k = 0; k < figure->n_values; k++)
            printf (" %22.5g", figure_cell (figure, line, i, k)->mean);
        putchar ('\n');
    }
    fflush (stdout);
}

static void print_head (const figure_t *figure)
{
    printf ("%s\n%-18s %10s", figure->title, "", figure->x_is_second ? "" : "x");
    for (uint32_t k = 0; k < figure->n_values; k++)
        printf (" %22s", figure->values[k]);
    putchar ('\n');
}

void figure_run (figure_t *figure)
{
    size_t n = (size_t)figure->n_points * figure->n_values;
    figure->n_seeds = figure->settings->seeds ? (uint32_t)figure->settings->seeds : figure->n_seeds;
    uint64_t first = figure->settings->seed ? figure->settings->seed : 1;
    double *all = calloc (n * figure->n_seeds, sizeof *all);
    figure->cells = calloc (n * figure->n_lines, sizeof *figure->cells);
    if (!all || !figure->cells)
        out_of_memory ();
    print_head (figure);
    for (uint32_t line = 0; line < figure->n_lines; line++) {
        for (uint32_t i = 0; i < figure->n_seeds; i++)
            run_seed (figure, line, first + i, &all[i * n]);
        for (size_t i = 0; i < n; i++)
            figure->cells[line * n + i] = over_seeds (&all[i], n, figure->n_seeds);
        progress (figure->settings->quiet, "%s", "");
        print_line (figure, line);
    }
    free (all);
}

/* ---- output ----------------------------------------------------------------------------------- */

static json_t *row_json (const figure_t *figure, uint32_t line, uint32_t point)
{
    json_t *row = json_pack ("{s:s, s:f}", "line", figure->lines[line], "x", figure->points[point]);
    for (uint32_t k = 0; k < figure->n_values; k++) {
        const series_t *cell = figure_cell (figure, line, point, k);
        if (cell->n)
            json_object_set_new (row, figure->values[k],
                                 json_pack ("{s:f, s:f}", "mean", cell->mean, "sd", cell->sd));
    }
    return row;
}

static json_t *figure_json (const figure_t *figure)
{
    const settings_t *settings = figure->settings;
    json_t *json =
        json_pack ("{s:s, s:s, s:s, s:s, s:i, s:I, s:f}", "figure", figure->command, "title",
                   figure->title, "x", figure->x, "y", figure->y, "seeds", (int)figure->n_seeds,
                   "first_seed", (json_int_t)(settings->seed ? settings->seed : 1), "round_trip_ms",
                   (double)settings->rtt_us / 1000);
    json_t *rows = json_array ();
    for (uint32_t line = 0; line < figure->n_lines; line++) {
        for (uint32_t point = 0; point < figure->n_points; point++)
            json_array_append_new (rows, row_json (figure, line, point));
    }
    json_object_set_new (json, "rows", rows);
    for (uint32_t i = 0; i < figure->n_marks; i++) {
        if (!i)
            json_object_set_new (json, "marks", json_object ());
        json_object_set_new (json_object_get (json, "marks"), figure->marks[i].text,
                             json_real (figure->marks[i].x));
    }
    if (figure->below)
        json_object_set_new (json, "below", figure_json (figure->below));
    return json;
}

static double mean_or_none (const figure_t *figure, uint32_t line, uint32_t point, uint32_t value)
{
    const series_t *cell = figure_cell (figure, line, point, value);
    return cell->n ? cell->mean : NAN;
}

typedef struct drawing {
    chart_t chart;
    double ys[CURVES_MAX * POINTS_MAX], xs[CURVES_MAX * POINTS_MAX];
    char names[CURVES_MAX][96];
    const char *lines[CURVES_MAX];
} drawing_t;

static void add_curve (drawing_t *drawing, const figure_t *figure, uint32_t line, uint32_t value,
                       bool alone)
{
    uint32_t n = drawing->chart.n_lines++, n_points = figure->n_points;
    const char *of_line = figure->lines[line], *of_value = alone ? "" : figure->values[value];
    bool both = !alone && figure->n_lines > 1;
    snprintf (drawing->names[n], sizeof drawing->names[n], "%s%s%s", alone || both ? of_line : "",
              both ? ": " : "", of_value);
    drawing->lines[n] = drawing->names[n];
    for (uint32_t i = 0; i < n_points; i++) {
        drawing->ys[n * n_points + i] = mean_or_none (figure, line, i, value);
        drawing->xs[n * n_points + i] =
            figure->x_is_second ? mean_or_none (figure, line, i, 1) : figure->points[i];
    }
}

/* Every line of the first value, and then of the others that are drawn. */
static void draw (drawing_t *drawing, const figure_t *figure)
{
    uint32_t n_left = figure->n_drawn ? figure->n_drawn : 1, n_drawn = n_left + !!figure->y2;
    drawing->chart = (chart_t){.title = figure->title,
                               .x = figure->x,
                               .y = figure->y,
                               .y2 = figure->y2,
                               .n_second = figure->y2 ? figure->n_lines : 0,
                               .log_x = figure->log_x,
                               .log_y = figure->log_y,
                               .n_points = figure->n_points,
                               .lines = drawing->lines,
                               .own_xs = true,
                               .xs = drawing->xs,
                               .ys = drawing->ys,
                               .marks = figure->marks,
                               .n_marks = figure->n_marks};
    for (uint32_t value = 0; value < n_drawn; value++) {
        for (uint32_t line = 0; line < figure->n_lines; line++)
            add_curve (drawing, figure, line, value, n_drawn == 1);
    }
}

static bool plot (const figure_t *first)
{
    static drawing_t drawings[FIGURES_MAX];
    uint32_t n = 0;
    for (const figure_t *figure = first; figure && n < FIGURES_MAX; figure = figure->below) {
        draw (&drawings[n], figure);
        if (n)
            drawings[n - 1].chart.below = &drawings[n].chart;
        n++;
    }
    return plot_svg (first->settings->plot, &drawings[0].chart);
}

int figure_end (figure_t *figure, json_t *more)
{
    bool fine = true;
    if (figure->settings->json) {
        json_t *json = figure_json (figure);
        if (more)
            json_object_update (json, more);
        fine = json_write (figure->settings->json, json);
    }
    if (figure->settings->plot)
        fine = plot (figure) && fine;
    json_decref (more);
    for (; figure; figure = figure->below)
        free (figure->cells);
    return fine ? EXIT_FINE : EXIT_SHORT;
}
