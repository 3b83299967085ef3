/* Plots are drawn by gnuplot, from a script with the data inside, so that nothing else is left behind. */
#include "common/plot.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum { POINT_TICS_MAX = 12 };

static void quoted (FILE *to, const char *text)
{
    fputc ('\'', to);
    for (; *text; text++)
        fputs (*text == '\'' ? "''" : (char[]){*text, 0}, to);
    fputc ('\'', to);
}

static double x_at (const chart_t *chart, uint32_t line, uint32_t point)
{
    return chart->xs[chart->own_xs ? line * chart->n_points + point : point];
}

static bool is_shown (const chart_t *chart, uint32_t line, uint32_t point)
{
    double x = x_at (chart, line, point), y = chart->ys[line * chart->n_points + point];
    return isfinite (x) && isfinite (y) && (y > 0 || !chart->log_y);
}

static bool has_points (const chart_t *chart, uint32_t line)
{
    for (uint32_t i = 0; i < chart->n_points; i++) {
        if (is_shown (chart, line, i))
            return true;
    }
    return false;
}

static void write_data (FILE *to, const chart_t *chart, uint32_t number)
{
    for (uint32_t line = 0; line < chart->n_lines; line++) {
        fprintf (to, "$line%u_%u << END\n", number, line);
        for (uint32_t i = 0; i < chart->n_points; i++) {
            if (is_shown (chart, line, i))
                fprintf (to, "%.6g %.6g\n", x_at (chart, line, i),
                         chart->ys[line * chart->n_points + i]);
        }
        fputs ("END\n", to);
    }
}

static void write_second_axis (FILE *to, const char *label)
{
    fputs ("set ytics nomirror\nset y2tics\nset y2range [0:*]\nset y2label ", to);
    quoted (to, label);
    fputc ('\n', to);
}

/* Words in place of numbers, the first and the last away from the frame. */
static void write_tics (FILE *to, const char *const *tics)
{
    uint32_t n = 0;
    fputs ("set xtics (", to);
    for (; tics[n]; n++) {
        fputs (n ? ", " : "", to);
        quoted (to, tics[n]);
        fprintf (to, " %u", n);
    }
    fprintf (to, ")\nset xrange [-0.5:%u.5]\n", n - 1);
}

/* No wider than what is shown. Of few points those of the first line are named: decades alone say little. */
static void write_log_x (FILE *to, const chart_t *chart)
{
    double low = INFINITY, high = 0;
    for (uint32_t line = 0; line < chart->n_lines; line++) {
        for (uint32_t i = 0; i < chart->n_points; i++) {
            low = is_shown (chart, line, i) ? fmin (low, x_at (chart, line, i)) : low;
            high = is_shown (chart, line, i) ? fmax (high, x_at (chart, line, i)) : high;
        }
    }
    fputs ("set logscale x\n", to);
    if (high > 0)
        fprintf (to, "set xrange [%.6g:%.6g]\n", low / 1.1, high * 1.1);
    const char *before = "set xtics (";
    for (uint32_t i = 0; i < chart->n_points && chart->n_points <= POINT_TICS_MAX; i++) {
        double x = x_at (chart, 0, i);
        if (isfinite (x))
            fprintf (to, "%s'%.3g' %.6g", before, x, x);
        before = isfinite (x) ? ", " : before;
    }
    fputs (*before == ',' ? ")\n" : "", to);
}

static void write_axes (FILE *to, const chart_t *chart)
{
    fputs ("unset logscale\nunset y2tics\nunset y2label\nset autoscale xfix\nset xtics autofreq\n"
           "set ytics mirror\nset title ",
           to);
    quoted (to, chart->title);
    fputs ("\nset xlabel ", to);
    quoted (to, chart->x);
    fputs ("\nset ylabel ", to);
    quoted (to, chart->y);
    fputs (chart->log_y ? "\nset logscale y\n" : "\n", to);
    if (chart->log_x)
        write_log_x (to, chart);
    if (chart->tics)
        write_tics (to, chart->tics);
    if (chart->y2)
        write_second_axis (to, chart->y2);
}

static void write_marks (FILE *to, const chart_t *chart)
{
    fputs ("unset arrow\nunset label\n", to);
    for (uint32_t i = 0; i < chart->n_marks; i++) {
        double x = chart->marks[i].x;
        fprintf (to, "set arrow from first %.6g, graph 0 to first %.6g, graph 1 nohead dt 3\n", x,
                 x);
        fprintf (to, "set label at first %.6g, graph 0.97 offset 0.4,0 ", x);
        quoted (to, chart->marks[i].text);
        fputc ('\n', to);
    }
}

static void write_chart (FILE *to, const chart_t *chart, uint32_t number)
{
    write_axes (to, chart);
    write_marks (to, chart);
    for (uint32_t line = 0; line < chart->n_lines; line++) {
        bool second = line + chart->n_second >= chart->n_lines;
        fputs (line ? ", " : "plot ", to);
        if (has_points (chart, line))
            fprintf (to, "$line%u_%u using 1:2 %s", number, line, second ? "axes x1y2 " : "");
        else
            fputs ("NaN ", to); /* only its name is shown */
        fprintf (to, "with linespoints%s title ", second ? " dashtype 2" : "");
        quoted (to, chart->lines[line]);
    }
    fputc ('\n', to);
}

static void write_script (FILE *to, const char *path, const chart_t *first)
{
    uint32_t n = 0;
    for (const chart_t *chart = first; chart; chart = chart->below)
        write_data (to, chart, n++); /* none can be given between the parts of one drawing */
    fprintf (to, "set terminal svg size 900,%u noenhanced background '#ffffff'\nset output ",
             80 + 480 * n);
    quoted (to, path);
    fputs ("\nset key outside right\nset grid\n", to);
    if (n > 1)
        fprintf (to, "set multiplot layout %u,1\n", n);
    n = 0;
    for (const chart_t *chart = first; chart; chart = chart->below)
        write_chart (to, chart, n++);
}

bool plot_svg (const char *path, const chart_t *chart)
{
    signal (SIGPIPE, SIG_IGN); /* one that is not there reads nothing: its exit status tells */
    FILE *gnuplot = popen ("command -v gnuplot >/dev/null || exit 127; exec gnuplot -", "w");
    if (!gnuplot) {
        fprintf (stderr, "%s: gnuplot: %s\n", program_invocation_short_name, strerror (errno));
        return false;
    }
    write_script (gnuplot, path, chart);
    int status = pclose (gnuplot);
    if (WIFEXITED (status) && WEXITSTATUS (status) == 127)
        fprintf (stderr,
                 "%s: --plot needs gnuplot, which is not installed (Debian: apt-get install "
                 "gnuplot-nox)\n",
                 program_invocation_short_name);
    else if (status)
        fprintf (stderr, "%s: gnuplot could not draw %s\n", program_invocation_short_name, path);
    return status == 0;
}

bool json_write (const char *path, json_t *value)
{
    FILE *file = !strcmp (path, "-") ? stdout : fopen (path, "w");
    bool fine = file && json_dumpf (value, file, JSON_INDENT (1) | JSON_REAL_PRECISION (6)) == 0 &&
                fputc ('\n', file) != EOF;
    if (file && file != stdout)
        fine = fclose (file) == 0 && fine;
    if (!fine)
        fprintf (stderr, "%s: %s: %s\n", program_invocation_short_name, path, strerror (errno));
    json_decref (value);
    return fine;
}
