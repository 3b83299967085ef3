/* peer-tune: runs a program again and again, with other branch numbers, and keeps what is best on this cluster.
 *
 * A first run finds the branch points: those that offer subtasks to other peers. Then src/tune decides what to run.
 * One peer submits all runs, so nothing is started anew between them. Signals are waited for in a thread of their
 * own: the first one ends the search and keeps what is known. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/digest.h"
#include "common/executor.h"
#include "common/local.h"
#include "common/profiles.h"
#include "tune.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOBODY = 5, EXIT_CANCELLED = 130 };
enum { SCOUTS_MAX = 4, GRAIN_FACTOR = 16, GUESS_FACTOR = 4 };

#define AT(member) offsetof (settings_t, member)
static const option_entry ENTRIES[] = {
    {"join", OPTION_LIST, AT (join), "ADDRESS",
     "any peer of the cluster; may be given several times", 0, 0},
    {"local", OPTION_NUMBER, AT (local), "N", "start N peers on loopback to tune on", 1, LOCAL_MAX},
    {"profile", OPTION_TEXT, AT (profile), "PATH",
     "file to write (and to start from), or a directory; "
     "default:\n$XDG_DATA_HOME/peerexec/profiles",
     0, 0},
    {"budget", OPTION_TEXT, AT (budget), "RUNS|TIME",
     "so many runs, or so long (90s, 10m, 2h); default: at most\n12 runs for each branch point", 0,
     0},
    {"objective", OPTION_TEXT, AT (objective), "WHAT",
     "makespan (default), or cost: makespan while extra work stays\nbelow --extra", 0, 0},
    {"extra", OPTION_REAL, AT (extra_percent), "PERCENT",
     "of the work, for --objective cost; default 5", 0.01, 1000},
    {"slots", OPTION_NUMBER, AT (slots), "N", "of this process's own peer; default: the processors",
     1, 1024},
    {"name", OPTION_TEXT, AT (name), "NAME", "of this process's own peer", 0, 0},
    KEY_ENTRY (AT (key)),
    {"seed", OPTION_NUMBER, AT (seed), "N", "of the search; default 1", 0, 1e15},
    {"plot", OPTION_TEXT, AT (plot), "DIR",
     "draw makespan against branch number, an SVG for each point", 0, 0},
    {"json", OPTION_TEXT, AT (json), "FILE",
     "write all runs and the result as JSON; - = standard output", 0, 0},
    {"grain", OPTION_FLAG, AT (grain), NULL,
     "vary how much one subtask does, too: what the program asks for\nwith px_tunable (), or "
     "px_for () for it",
     0, 0},
    {"quiet", OPTION_FLAG, AT (quiet), NULL, "no progress, no table", 0, 0},
};

static const option_table TABLE = {
    .program = "peer-tune",
    .usage = "[OPTION]... MODULE.so TASK [ARG|-]",
    .purpose =
        "Find the branch numbers with which a task is done soonest on a cluster, and keep them\n"
        "in a profile, from which peer-run and programs take them.",
    .entries = ENTRIES,
    .n_entries = sizeof ENTRIES / sizeof *ENTRIES,
    .epilogue = "TASK is 'name' or 'module.name'; its result is not printed.\n"
                "Ctrl-C ends the search and keeps the best so far; a second one ends at once.\n"
                "Exit codes: 0 done; 1 the task failed; 2 wrong options, module, task or profile;\n"
                "5 no peer answered, or there is nobody else; 130 interrupted.\n",
};

static int fail (int code, const char *what, const char *why)
{
    fprintf (stderr, "peer-tune: %s: %s\n", what, why);
    return code;
}

static int complain (const char *what, const char *why)
{
    return fail (EXIT_USAGE, what, why);
}

/* ---- settings --------------------------------------------------------------------------------- */

typedef struct budget {
    uint32_t runs;   /* 0 = as many as are usual */
    uint64_t end_ns; /* PX_FOREVER = as long as it takes */
} budget_t;

static bool read_budget (const char *text, budget_t *budget)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}};
    char *end;
    *budget = (budget_t){0, PX_FOREVER};
    if (!text)
        return true;
    double value = strtod (text, &end);
    if (end == text || !isfinite (value) || value <= 0)
        return false;
    if (!*end && value == floor (value) && value >= 2 && value <= RUNS_MAX) {
        budget->runs = (uint32_t)value;
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!strcmp (end, units[i].unit) && value * units[i].seconds <= 1e6) {
            budget->end_ns = px_deadline_ns ((uint64_t)(value * units[i].seconds * (double)SECOND));
            return true;
        }
    }
    return false;
}

static int check_settings (const settings_t *settings, int n_arguments, budget_t *budget)
{
    if (n_arguments < 2 || n_arguments > 3)
        return complain ("want", "MODULE.so TASK [ARG|-]; see 'peer-tune --help'");
    if (settings->join.n && settings->local)
        return complain ("--join", "does not go with --local");
    if (!settings->join.n && !settings->local)
        return complain ("--join or --local", "say on which peers");
    if (settings->objective && strcmp (settings->objective, "makespan") &&
        strcmp (settings->objective, "cost"))
        return complain ("--objective", "want makespan or cost");
    if (!read_budget (settings->budget, budget))
        return complain ("--budget",
                         "want a number of runs from 2 to 1024, or a time such as 90s, 10m, 2h");
    return EXIT_DONE;
}

/* ---- what is said meanwhile ------------------------------------------------------------------- */

static void say_setting (const story_t *story, const pxi_tune_setting *setting, char *text,
                         size_t size)
{
    size_t at = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < story->n_points && at < size; i++)
        at += (size_t)snprintf (text + at, size - at, "%s%s=%" PRIu32, i ? " " : "",
                                story->points[i].point, setting->values[i]);
}

static void say_progress (const story_t *story, const pxi_tune_setting *setting)
{
    static const char *const stages[] = {"looks", "searches", "checks", "is done"};
    char now[512], best[512] = "";
    pxi_tune_result result;
    pxi_tune_belief belief;
    if (story->settings->quiet)
        return;
    pxi_tune_read (story->tune, &result);
    pxi_tune_believe (story->tune, &result.best, &belief);
    say_setting (story, setting, now, sizeof now);
    say_setting (story, &result.best, best, sizeof best);
    bool terminal = isatty (STDERR_FILENO);
    fprintf (stderr, "%srun %" PRIu32 " of at most %" PRIu32 " (%s): %s",
             terminal ? "\r\033[K" : "", result.n_runs + 1, pxi_tune_runs_max (story->tune),
             stages[pxi_tune_stage_of (story->tune)], now);
    if (result.n_runs)
        fprintf (stderr, "; best so far %s %.4f s", best, belief.score_s);
    fputs (terminal ? "" : "\n", stderr);
    fflush (stderr);
}

static void say_spoiled (const story_t *story, const char *why)
{
    if (!story->settings->quiet)
        fprintf (stderr, "%speer-tune: this run does not count: %s\n",
                 isatty (STDERR_FILENO) ? "\r\033[K" : "", why);
}

/* ---- the program's branch points -------------------------------------------------------------- */

/* The run that finds them also loads what has to be loaded, so its time is not used. */
static int scout (story_t *story, bed_t *bed, trial_t *trial)
{
    for (int i = 0; i < SCOUTS_MAX; i++) {
        bed_run (bed, NULL, 0, 0, true, trial);
        if (trial->code != PX_OK && !trial->stopped) {
            if (!trial->work_ns && trial->code != PX_EFAILED)
                complain (bed->task, px_err_text (trial->code));
            return trial->code == PX_ENOTASK || trial->code == PX_ENOMODULE ||
                           trial->code == PX_EINVAL
                       ? EXIT_USAGE
                   : trial->code == PX_ENOBODY ? EXIT_NOBODY
                                               : EXIT_FAILED;
        }
        if (!trial->spoiled || trial->stopped)
            return trial->stopped ? EXIT_CANCELLED : EXIT_DONE;
        say_spoiled (story, trial->why);
        story->n_spoiled++;
        bed_settle (bed);
    }
    return fail (EXIT_FAILED, bed->task,
                 "the cluster changes all the time: nothing can be measured");
}

/* The best number of workers where one worker more saves W / b^2 and costs about a round trip: sqrt (W / o). */
static uint32_t guess_of (const bed_t *bed, const trial_t *trial, uint32_t high)
{
    double overhead_ns = fmax ((double)bed_rtt_ns (bed), 50000);
    double guess = sqrt ((double)trial->work_ns / overhead_ns);
    return guess < high ? (uint32_t)guess : high / 2;
}

static const pxi_profile_point *number_of (const pxi_profile *profile, const char *point)
{
    for (uint32_t i = 0; profile && i < profile->n_points; i++) {
        if (!strcmp (profile->points[i].name, point))
            return &profile->points[i];
    }
    return NULL;
}

/* Within a factor of 16 of what the program does by itself: tasks of a chunk more than that are too few, or so many
 * that what is between them counts. */
static pxi_tune_point range_of_grain (uint32_t standard, const pxi_profile_point *known)
{
    uint32_t low = standard > GRAIN_FACTOR ? standard / GRAIN_FACTOR : 1;
    uint32_t high =
        standard < PX_TUNABLE_MAX / GRAIN_FACTOR ? standard * GRAIN_FACTOR : PX_TUNABLE_MAX;
    return (pxi_tune_point){low, high, standard, known ? known->number : standard / GUESS_FACTOR};
}

/* Those that the program does not fix by itself. `before`: the profile to start from, or NULL. */
static void take_points (story_t *story, const bed_t *bed, const trial_t *trial,
                         const pxi_profile *before)
{
    uint32_t high = bed_workers (bed);
    for (size_t i = 0; i < trial->n_points && story->n_points < PXI_TUNE_POINTS_MAX; i++) {
        const px_job_point *point = &trial->points[i];
        const pxi_profile_point *known = number_of (before, point->point);
        uint32_t number = (uint32_t)point->number;
        if (point->fixed || (point->tunable && !story->settings->grain))
            continue;
        story->points[story->n_points] = *point;
        story->config.points[story->n_points++] =
            point->tunable
                ? range_of_grain (number, known)
                : (pxi_tune_point){.high = high,
                                   .standard = number < high ? number : high,
                                   .guess = known ? known->number : guess_of (bed, trial, high)};
    }
    story->config.n_points = story->n_points;
}

static int nothing_to_tune (const bed_t *bed, const trial_t *trial)
{
    bool has_branches = false, has_grain = false;
    for (size_t i = 0; i < trial->n_points; i++) {
        has_grain |= trial->points[i].tunable != 0;
        has_branches |= !trial->points[i].tunable;
    }
    fprintf (stderr, "peer-tune: %s: %s%s\n", bed->task,
             has_branches
                 ? "the program itself fixes the number of every branch point that it uses"
                 : "no branch point offers anything to other peers: this peer alone is enough",
             has_grain ? "; its grain can be varied with --grain" : "");
    return EXIT_DONE;
}

/* ---- profiles --------------------------------------------------------------------------------- */

static void say_profile (void *context, px_log_level level, const char *text)
{
    const story_t *story = context;
    if (level <= PX_LOG_NOTICE || !story->settings->quiet)
        fprintf (stderr, "peer-tune: %s%s\n", level == PX_LOG_INFO ? "starts from " : "", text);
}

/* A name that tells program and cluster, so that each pair has one file. */
static bool name_profile (story_t *story, const char *directory)
{
    char text[PX_WHY_SIZE], hex[PXI_DIGEST_HEX_SIZE];
    pxi_digest digest;
    pxi_fingerprint_text (&story->profile.cluster, text, sizeof text);
    pxi_digest_bytes (text, strlen (text), &digest);
    pxi_digest_hex (&digest, hex);
    return snprintf (story->profile_path, sizeof story->profile_path, "%s/%s-%.8s.zpl", directory,
                     story->bed->task, hex) < PATH_MAX;
}

/* How fast the others are is known only after some runs. */
static void take_cluster (story_t *story, bed_t *bed)
{
    px_stats stats = {.size = sizeof stats};
    bed_look (bed);
    px_peer_stats (bed->peer, &stats);
    pxi_fingerprint_make ((uint32_t)stats.slots, bed->before, bed->n_before,
                          &story->profile.cluster);
}

/* Where the profile goes, and what is there already. */
static int open_profile (story_t *story, bed_t *bed, pxi_profile *before, bool *found)
{
    char directory[PATH_MAX], why[PX_WHY_SIZE] = "";
    struct stat status;
    const char *given = story->settings->profile;
    take_cluster (story, bed);
    if (!given && !profiles_directory (directory))
        return complain ("--profile", "neither XDG_DATA_HOME nor HOME is set: say where");
    if (given)
        snprintf (directory, sizeof directory, "%s", given);
    bool is_file = given && !(stat (given, &status) == 0 && S_ISDIR (status.st_mode));
    if (is_file)
        snprintf (story->profile_path, sizeof story->profile_path, "%s", given);
    else if (!profiles_make (directory) || !name_profile (story, directory))
        return complain (directory, strerror (errno));
    const pxi_profile_wanted wanted = {story->profile.module, bed->task, story->profile.digest,
                                       story->profile.cluster};
    px_err err = pxi_profile_find (directory, &wanted, say_profile, story, before, found, why);
    return err == PX_OK ? EXIT_DONE : complain ("profile", why);
}

static void fill_profile (story_t *story, const bed_t *bed)
{
    pxi_profile *profile = &story->profile;
    pxi_tune_result result;
    pxi_tune_belief belief;
    time_t now = time (NULL);
    struct tm parts;
    pxi_tune_read (story->tune, &result);
    pxi_tune_believe (story->tune, &result.setting, &belief);
    strftime (profile->date, sizeof profile->date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r (&now, &parts));
    snprintf (profile->argument, sizeof profile->argument, "%.200s", bed->argument);
    profile->makespan_s = belief.score_s;
    profile->runs = result.n_runs;
    if (result.verdict == PXI_TUNE_BETTER) {
        profile->gain = 100 * result.gain;
        profile->gain_low = 100 * result.gain_low;
        profile->gain_high = 100 * result.gain_high;
    }
    profile->n_points = story->n_points;
    for (uint32_t i = 0; i < story->n_points; i++) {
        pxi_profile_point *point = &profile->points[i];
        uint32_t standard = (uint32_t)story->points[i].number;
        bool kept = result.setting.values[i] == story->config.points[i].standard;
        snprintf (point->name, sizeof point->name, "%s", story->points[i].point);
        point->grain = story->points[i].tunable != 0;
        point->standard = standard;
        point->number = kept ? standard : result.setting.values[i];
    }
}

/* What was interrupted before anything was found leaves an older profile alone. */
static int write_profile (story_t *story, const bed_t *bed)
{
    char why[PX_WHY_SIZE] = "";
    pxi_tune_result result;
    pxi_tune_read (story->tune, &result);
    fill_profile (story, bed);
    if (!result.n_runs || (story->interrupted && result.verdict != PXI_TUNE_BETTER))
        return EXIT_DONE;
    if (pxi_profile_write (story->profile_path, &story->profile, why) != PX_OK)
        return complain ("profile", why);
    story->written = true;
    return EXIT_DONE;
}

/* ---- the search ------------------------------------------------------------------------------- */

static void try_setting (story_t *story, bed_t *bed, const pxi_tune_setting *setting, double cut_s)
{
    static trial_t trial;
    px_point_number numbers[PXI_TUNE_POINTS_MAX];
    for (uint32_t i = 0; i < story->n_points; i++)
        numbers[i] = (px_point_number){story->points[i].point, (int32_t)setting->values[i]};
    bed_run (bed, numbers, story->n_points, cut_s, false, &trial);
    if (trial.stopped)
        return;
    if (trial.spoiled) {
        say_spoiled (story, trial.why);
        story->n_spoiled++;
        pxi_tune_spoil (story->tune);
        bed_settle (bed);
        return;
    }
    if (story->n_tried < RUNS_MAX)
        story->tried[story->n_tried++] =
            (tried_t){*setting, trial.makespan_s, trial.extra_share, trial.messages, trial.cut};
    pxi_tune_tell (story->tune, &(pxi_tune_sample){trial.cut ? cut_s : trial.makespan_s,
                                                   trial.extra_share, trial.cut});
}

static void search (story_t *story, bed_t *bed, const budget_t *budget)
{
    pxi_tune_setting setting;
    double cut_s;
    while (!atomic_load (&bed->watch->stopped) && px_now_ns () < budget->end_ns &&
           pxi_tune_ask (story->tune, &setting, &cut_s)) {
        say_progress (story, &setting);
        try_setting (story, bed, &setting, cut_s);
    }
    pxi_tune_end (story->tune);
    story->interrupted = atomic_load (&bed->watch->stopped);
    if (!story->settings->quiet && isatty (STDERR_FILENO))
        fputs ("\r\033[K", stderr);
}

static int finish (story_t *story, bed_t *bed)
{
    const settings_t *settings = story->settings;
    take_cluster (story, bed);
    int code = write_profile (story, bed);
    if (!settings->quiet)
        report_print (story);
    if (settings->json && !report_json (story, settings->json))
        code = EXIT_USAGE;
    if (settings->plot && !report_plot (story, settings->plot))
        code = EXIT_USAGE;
    return code == EXIT_DONE && story->interrupted ? EXIT_CANCELLED : code;
}

static int tune (story_t *story, bed_t *bed, const budget_t *budget)
{
    static trial_t first;
    static pxi_profile before;
    bool found = false;
    int code = open_profile (story, bed, &before, &found);
    if (code == EXIT_DONE)
        code = scout (story, bed, &first);
    if (code != EXIT_DONE)
        return code;
    take_points (story, bed, &first, found ? &before : NULL);
    if (!story->n_points)
        return nothing_to_tune (bed, &first);
    uint32_t usual = PXI_TUNE_RUNS_PER_POINT * story->n_points;
    story->config.runs_max =
        (budget->runs ? budget->runs : usual) - 1; /* the first one was one, too */
    story->tune = pxi_tune_new (&story->config);
    if (!story->tune)
        return fail (EXIT_FAILED, "memory", "there is not enough");
    search (story, bed, budget);
    code = finish (story, bed);
    pxi_tune_free (&story->tune);
    return code;
}

/* ---- the peer --------------------------------------------------------------------------------- */

static int set_program (story_t *story, bed_t *bed, char **arguments, int n_arguments)
{
    pxi_digest digest;
    bed->module = arguments[0];
    if (!program_task (arguments[0], arguments[1], bed->task))
        return complain (arguments[0], "not there, or no module");
    if (!program_input (n_arguments > 2 ? arguments[2] : NULL, &bed->input))
        return complain ("standard input", strerror (errno));
    bed->argument = n_arguments > 2 ? arguments[2] : "";
    if (pxi_digest_file (arguments[0], &digest) != PX_OK)
        return complain (arguments[0], strerror (errno));
    pxi_digest_hex (&digest, story->profile.digest);
    size_t length = strcspn (bed->task, ".");
    snprintf (story->profile.module, sizeof story->profile.module, "%.*s", (int)length, bed->task);
    snprintf (story->profile.task, sizeof story->profile.task, "%.63s", bed->task);
    return EXIT_DONE;
}

static int open_peer (const settings_t *settings, const struct local_cluster *local, bed_t *bed)
{
    char why[PX_WHY_SIZE] = "", executor[PATH_MAX];
    const char *modules[] = {bed->module, NULL};
    const char *local_join[] = {local->peers[0].address, NULL};
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    if (!executor_find (executor))
        return complain (executor, "not there: is the installation complete?");
    options.name = settings->name;
    options.key = settings->key;
    options.join = local->n ? local_join : settings->join.items;
    options.slots = (uint32_t)settings->slots;
    options.modules = modules;
    options.executor = executor;
    px_err err = px_peer_open (&options, &bed->peer, why);
    if (err != PX_OK)
        fprintf (stderr, "peer-tune: %s\n", *why ? why : px_err_text (err));
    return err == PX_OK                              ? EXIT_DONE
           : err == PX_ENOPEER || err == PX_EVERSION ? EXIT_NOBODY
                                                     : EXIT_USAGE;
}

static int run_on (const settings_t *settings, const struct local_cluster *local, story_t *story,
                   bed_t *bed, const budget_t *budget)
{
    int code = open_peer (settings, local, bed);
    if (code != EXIT_DONE)
        return code;
    if (!watch_begin (bed->watch)) {
        px_peer_close (&bed->peer, 0);
        return complain ("signals", strerror (errno));
    }
    bed_settle (bed);
    if (bed_workers (bed))
        code = tune (story, bed, budget);
    else
        code = fail (EXIT_NOBODY, "--join", "nobody else is there: there is nothing to tune");
    watch_end (bed->watch);
    px_peer_close (&bed->peer, 0);
    return code;
}

int main (int argc, char **argv)
{
    static settings_t settings = {.extra_percent = 5, .seed = 1};
    static struct local_cluster local;
    static watch_t watch;
    static story_t story;
    static bed_t bed;
    budget_t budget;
    int first;
    options_end end = options_parse (&TABLE, argc, argv, true, &settings, &first);
    if (end != OPTIONS_RUN)
        return end == OPTIONS_SHOWN ? EXIT_DONE : EXIT_USAGE;
    int code = check_settings (&settings, argc - first, &budget);
    if (code != EXIT_DONE)
        return code;
    watch_block (&watch, "peer-tune: ends the search; once more ends at once");
    bed.watch = &watch;
    story.settings = &settings;
    story.bed = &bed;
    story.config = (pxi_tune_config){
        .seed = settings.seed,
        .objective = settings.objective && !strcmp (settings.objective, "cost") ? PXI_TUNE_COST
                                                                                : PXI_TUNE_MAKESPAN,
        .extra_max = settings.extra_percent / 100};
    code = set_program (&story, &bed, argv + first, argc - first);
    const char *modules[] = {argv[first], NULL};
    const struct local_plan plan = {
        .n = (uint32_t)settings.local, .modules = modules, .key = settings.key};
    if (code == EXIT_DONE && settings.local && !local_start (&local, &plan))
        code = EXIT_FAILED;
    if (code == EXIT_DONE)
        code = run_on (&settings, &local, &story, &bed, &budget);
    local_end (&local);
    free (bed.input.bytes);
    return code;
}
