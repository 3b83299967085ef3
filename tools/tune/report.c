/* What was tried and why the chosen numbers win: for people, as JSON, as charts. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/plot.h"
#include "tune.h"

measured_t story_measured (const story_t *story, const pxi_tune_setting *setting)
{
    measured_t measured = {0};
    for (uint32_t i = 0; i < story->n_tried; i++) {
        if (!pxi_tune_same (story->tune, &story->tried[i].setting, setting))
            continue;
        measured.n++;
        measured.extra_percent += 100 * story->tried[i].extra_share;
        measured.messages += (double)story->tried[i].messages;
    }
    if (measured.n) {
        measured.extra_percent /= measured.n;
        measured.messages /= measured.n;
    }
    return measured;
}

/* Settings that differ from the chosen one or from the default in this point alone, smallest value first, each once.
 * Returns how many. */
static uint32_t line_of (const story_t *story, uint32_t point, pxi_tune_setting *line)
{
    pxi_tune_result result;
    uint32_t n = 0;
    pxi_tune_read (story->tune, &result);
    for (uint32_t i = 0; i < story->n_tried; i++) {
        const pxi_tune_setting *setting = &story->tried[i].setting;
        pxi_tune_setting best = result.best;
        best.values[point] = setting->values[point];
        uint32_t at = 0;
        while (at < n && line[at].values[point] < setting->values[point])
            at++;
        bool known = at < n && line[at].values[point] == setting->values[point];
        if (known || !pxi_tune_same (story->tune, &best, setting))
            continue;
        memmove (line + at + 1, line + at, (n++ - at) * sizeof *line);
        line[at] = *setting;
    }
    return n;
}

static void print_point (const story_t *story, uint32_t point)
{
    static pxi_tune_setting line[RUNS_MAX + 1];
    pxi_tune_result result;
    uint32_t n = line_of (story, point, line);
    pxi_tune_read (story->tune, &result);
    fprintf (stderr, "\n%s%s\n  %8s %5s  %10s  %23s  %10s  %9s\n", story->points[point].point,
             result.matters[point] ? "" : " (no effect beyond the noise)",
             story->points[point].tunable ? "grain" : "number", "runs", "time s", "95 % interval",
             "extra work", "messages");
    for (uint32_t i = 0; i < n; i++) {
        pxi_tune_belief belief;
        measured_t measured = story_measured (story, &line[i]);
        uint32_t value = line[i].values[point];
        pxi_tune_believe (story->tune, &line[i], &belief);
        fprintf (stderr,
                 "%c %8" PRIu32 " %5" PRIu32 " %s%10.4f  %10.4f - %10.4f  %8.1f %%  %9.0f%s\n",
                 value == result.setting.values[point] ? '>' : ' ', value, measured.n,
                 belief.n_cut ? ">" : " ", belief.score_s, belief.low_s, belief.high_s,
                 measured.extra_percent, measured.messages,
                 value == story->config.points[point].standard ? "  default" : "");
    }
}

static void print_setting (const story_t *story, const pxi_tune_setting *setting)
{
    for (uint32_t i = 0; i < story->n_points; i++)
        fprintf (stderr, "%s%s = %" PRIu32, i ? ", " : "", story->points[i].point,
                 setting->values[i]);
}

static void print_why (const story_t *story, const pxi_tune_result *result)
{
    pxi_tune_setting standard;
    pxi_tune_belief now, before;
    for (uint32_t i = 0; i < story->n_points; i++)
        standard.values[i] = story->config.points[i].standard;
    pxi_tune_believe (story->tune, &result->best, &now);
    pxi_tune_believe (story->tune, &standard, &before);
    measured_t measured = story_measured (story, &result->best),
               was = story_measured (story, &standard);
    print_setting (story, &result->best);
    if (result->verdict == PXI_TUNE_BETTER)
        fprintf (
            stderr,
            " wins: %.4f s against %.4f s by default, %.1f %% less (95 %% sure: %.1f to %.1f %%),\n"
            "with %.1f %% extra work against %.1f %% and %.0f messages against %.0f.\n",
            now.score_s, before.score_s, 100 * result->gain, 100 * result->gain_low,
            100 * result->gain_high, measured.extra_percent, was.extra_percent, measured.messages,
            was.messages);
    else if (result->verdict == PXI_TUNE_NOISE)
        fprintf (stderr,
                 " looks best, by %.1f %% (95 %% sure: %.1f to %.1f %%): not beyond the noise of "
                 "%.1f %% per run,\n"
                 "so the default stays.\n",
                 100 * result->gain, 100 * result->gain_low, 100 * result->gain_high,
                 100 * result->noise);
    else
        fprintf (
            stderr,
            ": the default stays, nothing that was tried looks better (noise of a run: %.1f %%).\n",
            100 * result->noise);
}

void report_print (const story_t *story)
{
    char cluster[PX_WHY_SIZE];
    pxi_tune_result result;
    pxi_tune_read (story->tune, &result);
    pxi_fingerprint_text (&story->profile.cluster, cluster, sizeof cluster);
    fprintf (stderr, "%s %s: %s; %" PRIu32 " runs, %" PRIu32 " spoiled%s\n", story->bed->task,
             story->bed->argument, cluster, result.n_runs, story->n_spoiled,
             story->interrupted ? ", interrupted" : "");
    for (uint32_t i = 0; i < story->n_points; i++)
        print_point (story, i);
    fputc ('\n', stderr);
    print_why (story, &result);
    if (story->written)
        fprintf (stderr, "profile: %s\n", story->profile_path);
}

/* ---- JSON ------------------------------------------------------------------------------------- */

static json_t *json_setting (const story_t *story, const pxi_tune_setting *setting)
{
    json_t *object = json_object ();
    for (uint32_t i = 0; i < story->n_points; i++)
        json_object_set_new (object, story->points[i].point,
                             json_integer ((json_int_t)setting->values[i]));
    return object;
}

static json_t *json_runs (const story_t *story)
{
    json_t *array = json_array ();
    for (uint32_t i = 0; i < story->n_tried; i++) {
        const tried_t *tried = &story->tried[i];
        json_array_append_new (array, json_pack ("{s:o, s:f, s:b, s:f, s:I}", "numbers",
                                                 json_setting (story, &tried->setting),
                                                 "makespan_s", tried->makespan_s, "cut", tried->cut,
                                                 "extra_percent", 100 * tried->extra_share,
                                                 "messages", (json_int_t)tried->messages));
    }
    return array;
}

static json_t *json_values (const story_t *story, uint32_t point)
{
    static pxi_tune_setting line[RUNS_MAX + 1];
    uint32_t n = line_of (story, point, line);
    json_t *array = json_array ();
    for (uint32_t i = 0; i < n; i++) {
        pxi_tune_belief belief;
        measured_t measured = story_measured (story, &line[i]);
        pxi_tune_believe (story->tune, &line[i], &belief);
        json_array_append_new (
            array, json_pack ("{s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "number",
                              (json_int_t)line[i].values[point], "runs", (json_int_t)measured.n,
                              "cut", (json_int_t)belief.n_cut, "time_s", belief.score_s, "low_s",
                              belief.low_s, "high_s", belief.high_s, "extra_percent",
                              measured.extra_percent, "messages", measured.messages));
    }
    return array;
}

static json_t *json_points (const story_t *story, const pxi_tune_result *result)
{
    json_t *array = json_array ();
    for (uint32_t i = 0; i < story->n_points; i++)
        json_array_append_new (
            array, json_pack ("{s:s, s:b, s:I, s:I, s:I, s:b, s:o}", "name", story->points[i].point,
                              "grain", story->points[i].tunable, "number",
                              (json_int_t)result->setting.values[i], "default",
                              (json_int_t)story->config.points[i].standard, "high",
                              (json_int_t)story->config.points[i].high, "matters",
                              result->matters[i], "values", json_values (story, i)));
    return array;
}

bool report_json (const story_t *story, const char *path)
{
    static const char *const verdicts[] = {"default", "not beyond the noise", "better"};
    char cluster[PX_WHY_SIZE];
    pxi_tune_result result;
    pxi_tune_read (story->tune, &result);
    pxi_fingerprint_text (&story->profile.cluster, cluster, sizeof cluster);
    json_t *root = json_pack (
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:f, s:f, s:f, s:f, s:I, s:I, s:s, s:o, s:o, s:o}", "task",
        story->bed->task, "argument", story->bed->argument, "digest", story->profile.digest,
        "cluster", cluster, "verdict", verdicts[result.verdict], "interrupted", story->interrupted,
        "gain_percent", 100 * result.gain, "gain_low_percent", 100 * result.gain_low,
        "gain_high_percent", 100 * result.gain_high, "noise_percent", 100 * result.noise, "n_runs",
        (json_int_t)result.n_runs, "n_spoiled", (json_int_t)story->n_spoiled, "profile",
        story->written ? story->profile_path : "", "numbers", json_setting (story, &result.setting),
        "points", json_points (story, &result), "runs", json_runs (story));
    return json_write (path, root);
}

/* ---- charts ----------------------------------------------------------------------------------- */

static bool plot_point (const story_t *story, uint32_t point, const char *directory)
{
    static pxi_tune_setting line[RUNS_MAX + 1];
    static double xs[RUNS_MAX], ys[3 * RUNS_MAX];
    static const char *const lines[] = {"makespan", "95 % low", "95 % high"};
    char path[PATH_MAX], title[PX_POINT_SIZE_MAX + 32];
    pxi_tune_result result;
    uint32_t n = line_of (story, point, line);
    pxi_tune_read (story->tune, &result);
    for (uint32_t i = 0; i < n; i++) {
        pxi_tune_belief belief;
        pxi_tune_believe (story->tune, &line[i], &belief);
        xs[i] = 1.0 + line[i].values[point];
        ys[i] = belief.score_s;
        ys[n + i] = belief.low_s;
        ys[2 * n + i] = belief.high_s;
    }
    const mark_t marks[] = {{1.0 + result.setting.values[point], "chosen"},
                            {1.0 + story->config.points[point].standard, "default"}};
    snprintf (title, sizeof title, "Makespan by %s: %s",
              story->points[point].tunable ? "grain" : "branch number", story->points[point].point);
    const chart_t chart = {.title = title,
                           .x = story->points[point].tunable ? "1 + grain" : "1 + branch number",
                           .y = "seconds",
                           .log_x = true,
                           .n_lines = 3,
                           .n_points = n,
                           .lines = lines,
                           .xs = xs,
                           .ys = ys,
                           .marks = marks,
                           .n_marks = marks[0].x == marks[1].x ? 1 : 2};
    return snprintf (path, sizeof path, "%s/%s.svg", directory, story->points[point].point) <
               PATH_MAX &&
           plot_svg (path, &chart);
}

bool report_plot (const story_t *story, const char *directory)
{
    bool drawn = mkdir (directory, 0755) == 0 || errno == EEXIST;
    if (!drawn)
        fprintf (stderr, "peer-tune: --plot: %s: %s\n", directory, strerror (errno));
    for (uint32_t i = 0; drawn && i < story->n_points; i++)
        drawn = plot_point (story, i, directory);
    return drawn;
}
