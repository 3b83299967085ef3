#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "bench.h"
#include "common/plot.h"

table_t *report_table (bench_t *bench, const table_t *like)
{
    table_t *table = malloc (sizeof *table);
    if (!table || bench->n_tables == TABLES_MAX)
        out_of_memory ();
    *table = *like;
    bench->tables[bench->n_tables++] = table;
    return table;
}

const figure_t *report_add (table_t *table, const char *line, double x, const double *values,
                            uint32_t n, const figure_t *to)
{
    figure_t *figure = &table->figures[table->n];
    double *sorted = malloc (n * sizeof *sorted);
    if (!sorted || table->n == FIGURES_MAX)
        out_of_memory ();
    *figure = (figure_t){.x = x, .n = n, .values = malloc (n * sizeof *values)};
    if (!figure->values)
        out_of_memory ();
    memcpy (figure->values, values, n * sizeof *values);
    memcpy (sorted, values, n * sizeof *values);
    figure->median = percentile (sorted, n, 0.5);
    figure->low = sorted[0];
    figure->high = sorted[n - 1];
    free (sorted);
    snprintf (figure->line, sizeof figure->line, "%s", line);
    table->n++;
    if (to)
        report_compare (table, to);
    return figure;
}

void report_compare (table_t *table, const figure_t *to)
{
    figure_t *figure = &table->figures[table->n - 1];
    int i = *figure->to[0] ? 1 : 0;
    snprintf (figure->to[i], sizeof figure->to[i], "%s", to->line);
    figure->ratios[i] = figure->median / to->median;
}

const figure_t *report_label (table_t *table, const char *line, const char *label,
                              const double *values, uint32_t n, const figure_t *to)
{
    uint32_t i = 0;
    while (i < table->n_labels && strcmp (table->labels[i], label) != 0)
        i++;
    if (i == LABELS_MAX)
        out_of_memory ();
    if (i == table->n_labels)
        table->labels[table->n_labels++] = label;
    return report_add (table, line, i, values, n, to);
}

/* ---- text ------------------------------------------------------------------------------------- */

static void print_figure (const table_t *table, const figure_t *figure)
{
    if (table->n_labels)
        printf ("  %-30s %20s", figure->line, table->labels[(uint32_t)figure->x]);
    else
        printf ("  %-30s %20.15g", figure->line, figure->x);
    printf (" %12.5g %12.5g %12.5g", figure->median, figure->low, figure->high);
    for (int i = 0; i < 2 && *figure->to[i]; i++)
        printf ("%s %.3f x %s", i ? "," : " ", figure->ratios[i], figure->to[i]);
    putchar ('\n');
}

static void print_table (const table_t *table)
{
    printf ("\n%s\n  %-30s %20s %12s %12s %12s\n", table->title, table->unit, table->x, "median",
            "minimum", "maximum");
    for (uint32_t i = 0; i < table->n; i++)
        print_figure (table, &table->figures[i]);
}

/* ---- JSON ------------------------------------------------------------------------------------- */

static json_t *figure_json (const table_t *table, const figure_t *figure)
{
    json_t *values = json_array ();
    for (uint32_t i = 0; i < figure->n; i++)
        json_array_append_new (values, json_real (figure->values[i]));
    json_t *json = json_pack ("{s:s, s:o, s:f, s:f, s:f, s:o}", "line", figure->line, "x",
                              table->n_labels ? json_string (table->labels[(uint32_t)figure->x])
                                              : json_real (figure->x),
                              "median", figure->median, "minimum", figure->low, "maximum",
                              figure->high, "values", values);
    static const char *const members[] = {"compared", "compared_too"};
    for (int i = 0; i < 2 && *figure->to[i]; i++)
        json_object_set_new (
            json, members[i],
            json_pack ("{s:s, s:f}", "with", figure->to[i], "ratio", figure->ratios[i]));
    return json;
}

static json_t *table_json (const table_t *table)
{
    json_t *figures = json_array ();
    for (uint32_t i = 0; i < table->n; i++)
        json_array_append_new (figures, figure_json (table, &table->figures[i]));
    return json_pack ("{s:s, s:s, s:s, s:s, s:o}", "table", table->name, "title", table->title, "x",
                      table->x, "unit", table->unit, "figures", figures);
}

static json_t *report_json (const bench_t *bench)
{
    char now[32];
    time_t seconds = time (NULL);
    struct tm calendar;
    strftime (now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", gmtime_r (&seconds, &calendar));
    json_t *tables = json_array ();
    for (uint32_t i = 0; i < bench->n_tables; i++)
        json_array_append_new (tables, table_json (bench->tables[i]));
    return json_pack ("{s:s, s:s, s:o, s:I, s:I, s:b, s:b, s:o}", "command", bench->command->name,
                      "ended", now, "machine", machine_json (), "repeats",
                      (json_int_t)bench->settings.repeats, "local",
                      (json_int_t)bench->settings.local, "joined", bench->settings.join.n > 0,
                      "executors", bench->settings.executors, "tables", tables);
}

/* ---- plots ------------------------------------------------------------------------------------ */

typedef struct drawing {
    const char *lines[FIGURES_MAX];
    double xs[FIGURES_MAX], ys[FIGURES_MAX * FIGURES_MAX];
    uint32_t n_lines, n_points;
} drawing_t;

static uint32_t line_of (drawing_t *drawing, const char *name)
{
    uint32_t i = 0;
    while (i < drawing->n_lines && strcmp (drawing->lines[i], name) != 0)
        i++;
    if (i == drawing->n_lines)
        drawing->lines[drawing->n_lines++] = name;
    return i;
}

static uint32_t point_of (drawing_t *drawing, double x)
{
    uint32_t i = 0;
    while (i < drawing->n_points && drawing->xs[i] != x)
        i++;
    if (i == drawing->n_points)
        drawing->xs[drawing->n_points++] = x;
    return i;
}

static void fill (drawing_t *drawing, const table_t *table)
{
    drawing->n_lines = drawing->n_points = 0;
    for (uint32_t i = 0; i < table->n; i++) {
        line_of (drawing, table->figures[i].line);
        point_of (drawing, table->figures[i].x);
    }
    for (uint32_t i = 0; i < drawing->n_lines * drawing->n_points; i++)
        drawing->ys[i] = NAN;
    for (uint32_t i = 0; i < table->n; i++) {
        const figure_t *figure = &table->figures[i];
        drawing->ys[line_of (drawing, figure->line) * drawing->n_points +
                    point_of (drawing, figure->x)] = figure->median;
    }
}

static bool draw (const bench_t *bench, const table_t *table)
{
    static drawing_t drawing;
    char path[PATH_MAX];
    fill (&drawing, table);
    if (snprintf (path, sizeof path, "%s/%s.svg", bench->settings.plot, table->name) >= PATH_MAX)
        return complain (bench, "--plot", "the name is too long");
    const chart_t chart = {.title = table->title,
                           .x = table->x,
                           .y = table->unit,
                           .log_x = table->log_x,
                           .log_y = table->log_y,
                           .n_lines = drawing.n_lines,
                           .n_points = drawing.n_points,
                           .lines = drawing.lines,
                           .xs = drawing.xs,
                           .ys = drawing.ys,
                           .tics = table->n_labels ? table->labels : NULL};
    return plot_svg (path, &chart);
}

static bool draw_all (const bench_t *bench)
{
    bool fine = true;
    if (mkdir (bench->settings.plot, 0777) < 0 && errno != EEXIST)
        return complain (bench, bench->settings.plot, strerror (errno));
    for (uint32_t i = 0; i < bench->n_tables && fine; i++)
        fine = draw (bench, bench->tables[i]);
    return fine;
}

/* ---- end -------------------------------------------------------------------------------------- */

static void table_free (table_t *table)
{
    for (uint32_t i = 0; i < table->n; i++)
        free (table->figures[i].values);
    free (table);
}

int report_end (bench_t *bench)
{
    const settings_t *settings = &bench->settings;
    bool fine = true;
    progress (settings->quiet, "%s", "");
    if (!settings->json || strcmp (settings->json, "-") != 0) {
        machine_print (stdout);
        for (uint32_t i = 0; i < bench->n_tables; i++)
            print_table (bench->tables[i]);
    }
    if (settings->json)
        fine = json_write (settings->json, report_json (bench));
    if (settings->plot)
        fine = draw_all (bench) && fine;
    for (uint32_t i = 0; i < bench->n_tables; i++)
        table_free (bench->tables[i]);
    return fine ? EXIT_DONE : EXIT_SHORT;
}
