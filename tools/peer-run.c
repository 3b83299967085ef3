/* peer-run: run one root task on a cluster, or on a few peers that it starts on loopback for the run.
 *
 * Task code runs in executor processes, here as at every peerd, so a task that crashes is an error of the
 * job and not the end of this program. Signals are waited for in a thread of their own: the first one
 * cancels the job everywhere, a second one ends at once. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peerexec/peerexec.h>

#include "common/executor.h"
#include "common/local.h"
#include "common/options.h"
#include "common/profiles.h"
#include "common/program.h"
#include "common/watch.h"

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_CRASHED = 3,
    EXIT_TIMEOUT = 4,
    EXIT_NOBODY = 5,
    EXIT_CANCELLED = 130,
    SHARES_MAX = 1024,
    POINTS_MAX = 64,
};
#define SECOND UINT64_C (1000000000)
#define PROGRESS_NS (SECOND / 5)
#define SETTLED_NS (SECOND / 5)

struct settings {
    list_option join, numbers;
    uint64_t local, slots;
    double timeout_s;
    const char *json, *trace, *name, *key, *profile, *devices;
    bool quiet, no_profile, fixed_numbers;
};

#define AT(member) offsetof (struct settings, member)
static const option_entry ENTRIES[] = {
    {"join", OPTION_LIST, AT (join), "ADDRESS",
     "any peer of the cluster; may be given several times", 0, 0},
    KEY_ENTRY (AT (key)),
    {"local", OPTION_NUMBER, AT (local), "N", "start N peers on loopback for this run", 1,
     LOCAL_MAX},
    {"branch-number", OPTION_LIST, AT (numbers), "POINT=N",
     "at most N remote workers at once for one branch of POINT; or N\nfor a tunable of this name; "
     "may be given for several",
     0, 0},
    {"profile", OPTION_TEXT, AT (profile), "PATH",
     "take branch numbers from what peer-tune found: a file, or a\ndirectory; default: "
     "$XDG_DATA_HOME/peerexec/profiles",
     0, 0},
    {"no-profile", OPTION_FLAG, AT (no_profile), NULL, "the default branch numbers", 0, 0},
    {"fixed-numbers", OPTION_FLAG, AT (fixed_numbers), NULL,
     "branch numbers do not adapt while it runs", 0, 0},
    {"slots", OPTION_NUMBER, AT (slots), "N", "of this process's own peer; default: the processors",
     1, 1024},
    DEVICES_ENTRY (AT (devices), "none\n(of this process's own peer)"),
    {"name", OPTION_TEXT, AT (name), "NAME", "of this process's own peer", 0, 0},
    {"timeout", OPTION_REAL, AT (timeout_s), "SECONDS", "cancel the job after this", 0.001, 1e9},
    {"json", OPTION_TEXT, AT (json), "FILE", "write a summary as JSON; - = standard error", 0, 0},
    {"trace", OPTION_TEXT, AT (trace), "FILE",
     "write all peers' attempts as Chrome trace events (opens in\nPerfetto)", 0, 0},
    {"quiet", OPTION_FLAG, AT (quiet), NULL, "no progress, no summary", 0, 0},
};

static const option_table TABLE = {
    .program = "peer-run",
    .usage = "[OPTION]... MODULE.so TASK [ARG|-]",
    .purpose = "Run a root task; ARG (or standard input, with -) is its input, its result goes to\n"
               "standard output, a summary to standard error.",
    .entries = ENTRIES,
    .n_entries = sizeof ENTRIES / sizeof *ENTRIES,
    .epilogue =
        "TASK is 'name' or 'module.name'. Without --join and --local it runs in this process's\n"
        "own executors.\n"
        "Ctrl-C cancels the job everywhere; a second one ends at once.\n"
        "Exit codes: 0 done; 1 the task failed (its chain is printed); 2 wrong options, module\n"
        "or task; 3 a task crashed; 4 timeout; 5 no peer answered, or none can run the task;\n"
        "130 cancelled.\n",
};

static int complain (const char *what, const char *why)
{
    fprintf (stderr, "peer-run: %s: %s\n", what, why);
    return EXIT_USAGE;
}

/* ---- arguments -------------------------------------------------------------------------------- */

static bool read_numbers (const list_option *from, px_point_number *numbers)
{
    for (uint32_t i = 0; i < from->n; i++) {
        char *point = strdup (from->items[i]); /* lives as long as the program */
        char *equals = point ? strrchr (point, '=') : NULL;
        char *end = NULL;
        long number = equals ? strtol (equals + 1, &end, 10) : -1;
        if (!equals || equals == point || end == equals + 1 || *end || number < 0 ||
            number > PX_TUNABLE_MAX) {
            complain (from->items[i], "want --branch-number POINT=N, N not below 0");
            free (point);
            return false;
        }
        *equals = 0;
        numbers[i] = (px_point_number){point, (int32_t)number};
    }
    return true;
}

/* ---- progress and summary --------------------------------------------------------------------- */

static void print_progress (px_job *job)
{
    px_job_progress progress = {.size = sizeof progress};
    if (px_job_progress_read (job, &progress) != PX_OK)
        return;
    fprintf (stderr,
             "\r%" PRIu64 "/%" PRIu64 " subtasks done, %" PRIu64 " peers working, %" PRIu64
             " redone \033[K",
             progress.subtasks_done, progress.subtasks_known, progress.peers_working,
             progress.redone);
}

static px_outcome wait_for_job (px_job *job, bool progress)
{
    px_outcome outcome;
    while (px_job_wait (job, px_deadline_ns (PROGRESS_NS), &outcome) != PX_OK) {
        if (progress)
            print_progress (job);
    }
    if (progress)
        fprintf (stderr, "\r\033[K");
    return outcome;
}

struct summary {
    const char *task;
    double wall_s;
    px_outcome outcome;
    px_stats stats;
    px_job_share shares[SHARES_MAX];
    size_t n_shares;
    px_job_point points[POINTS_MAX];
    size_t n_points;
};

static double extra_percent (const px_stats *stats)
{
    return stats->work_ns ? 100.0 * (double)stats->extra_ns / (double)stats->work_ns : 0;
}

static void print_point (const px_job_point *point)
{
    if (point->tunable) {
        fprintf (stderr, "  %-20s tunable, %" PRId32 "\n", point->point, point->number);
        return;
    }
    fprintf (stderr,
             "  %-20s branch number %" PRId32 ": %" PRIu64 " branches offered %" PRIu64
             " subtasks, %" PRIu64 " were done elsewhere\n",
             point->point, point->number, point->branches, point->offered, point->elsewhere);
    if (point->least != point->number || point->most != point->number)
        fprintf (stderr,
                 "  %-20s number in force: start %" PRId32 ", least %" PRId32 ", most %" PRId32
                 ", last %" PRId32 "\n",
                 "", point->number, point->least, point->most, point->last);
}

static void print_summary (const struct summary *summary)
{
    const px_stats *stats = &summary->stats;
    fprintf (stderr, "%s: %s in %.3f s\n", summary->task, px_err_text (summary->outcome.code),
             summary->wall_s);
    for (size_t i = 0; i < summary->n_shares; i++)
        fprintf (stderr, "  %-20s %10" PRIu64 " subtasks %10.3f s of slot time\n",
                 summary->shares[i].peer_name, summary->shares[i].subtasks,
                 (double)summary->shares[i].work_ns / (double)SECOND);
    for (size_t i = 0; i < summary->n_points; i++)
        print_point (&summary->points[i]);
    fprintf (
        stderr,
        "  probes %" PRIu64 " (free %" PRIu64 ", busy %" PRIu64 ", cannot %" PRIu64
        ", lost %" PRIu64 "), attempts sent %" PRIu64 ", redone %" PRIu64 ", extra work %.1f %%\n",
        stats->probes_sent, stats->probes_free, stats->probes_busy, stats->probes_cannot,
        stats->probes_lost, stats->subtasks_sent, stats->attempts_redone, extra_percent (stats));
}

static json_t *json_stats (const px_stats *stats)
{
    json_t *object = json_object ();
#define PUT(name, text) json_object_set_new (object, #name, json_integer ((json_int_t)stats->name));
    PX_STATS (PUT)
#undef PUT
    return object;
}

static json_t *json_shares (const struct summary *summary)
{
    json_t *array = json_array ();
    for (size_t i = 0; i < summary->n_shares; i++) {
        const px_job_share *share = &summary->shares[i];
        json_array_append_new (array, json_pack ("{s:s, s:I, s:f}", "peer", share->peer_name,
                                                 "subtasks", (json_int_t)share->subtasks, "work_s",
                                                 (double)share->work_ns / (double)SECOND));
    }
    return array;
}

static json_t *json_points (const struct summary *summary)
{
    json_t *array = json_array ();
    for (size_t i = 0; i < summary->n_points; i++) {
        const px_job_point *point = &summary->points[i];
        json_array_append_new (
            array,
            json_pack ("{s:s, s:b, s:i, s:i, s:i, s:i, s:I, s:I, s:I}", "name", point->point,
                       "tunable", point->tunable, "number", (int)point->number, "least",
                       (int)point->least, "most", (int)point->most, "last", (int)point->last,
                       "branches", (json_int_t)point->branches, "offered",
                       (json_int_t)point->offered, "elsewhere", (json_int_t)point->elsewhere));
    }
    return array;
}

static bool write_json (const struct summary *summary, const char *path)
{
    json_t *root =
        json_pack ("{s:s, s:s, s:f, s:f, s:o, s:o, s:o}", "task", summary->task, "code",
                   px_err_name (summary->outcome.code), "wall_s", summary->wall_s, "extra_percent",
                   extra_percent (&summary->stats), "shares", json_shares (summary), "points",
                   json_points (summary), "stats", json_stats (&summary->stats));
    bool to_stderr = !strcmp (path, "-");
    FILE *file = to_stderr ? stderr : fopen (path, "w");
    bool written = root && file && json_dumpf (root, file, JSON_INDENT (2)) == 0;
    written = written && fputc ('\n', file) != EOF;
    if (file && !to_stderr)
        written = fclose (file) == 0 && written;
    json_decref (root);
    if (!written)
        complain (path, "the summary could not be written");
    return written;
}

static int exit_code (px_err code, bool cancelled)
{
    if (code == PX_ECANCELLED && cancelled)
        return EXIT_CANCELLED;
    switch (code) {
    case PX_OK:
        return EXIT_DONE;
    case PX_ECRASH:
        return EXIT_CRASHED;
    case PX_ETIMEOUT:
        return EXIT_TIMEOUT;
    case PX_ENOBODY:
        return EXIT_NOBODY;
    default:
        return EXIT_FAILED;
    }
}

/* What it was done in spite of is told as well. */
static void print_failures (const px_outcome *outcome)
{
    char text[65536];
    px_outcome_print (outcome, text, sizeof text);
    fprintf (stderr, "peer-run: %s\n%s\n",
             outcome->code == PX_OK ? "done in another way" : px_err_text (outcome->code), text);
}

static bool print_result (const px_outcome *outcome, bool quiet)
{
    if (outcome->code != PX_OK || (outcome->n_failures && !quiet))
        print_failures (outcome);
    if (outcome->code != PX_OK)
        return true;
    bool written = fwrite (outcome->bytes, 1, outcome->bytes_size, stdout) == outcome->bytes_size;
    return fflush (stdout) == 0 && written;
}

/* ---- the run ---------------------------------------------------------------------------------- */

static int report (const struct settings *settings, struct summary *summary, px_peer *peer,
                   px_job *job, bool cancelled)
{
    summary->stats.size = sizeof summary->stats;
    px_peer_stats (peer, &summary->stats);
    summary->n_shares = px_job_shares (job, summary->shares, SHARES_MAX);
    if (summary->n_shares > SHARES_MAX)
        summary->n_shares = SHARES_MAX;
    summary->n_points = px_job_points (job, summary->points, POINTS_MAX);
    if (summary->n_points > POINTS_MAX)
        summary->n_points = POINTS_MAX;
    int code = exit_code (summary->outcome.code, cancelled);
    if (!print_result (&summary->outcome, settings->quiet))
        code = complain ("standard output", strerror (errno));
    if (!settings->quiet)
        print_summary (summary);
    if (settings->json && !write_json (summary, settings->json))
        code = EXIT_USAGE;
    px_err traced = settings->trace ? px_job_trace (job, settings->trace) : PX_OK;
    if (traced != PX_OK)
        code = complain (settings->trace, px_err_text (traced));
    return code;
}

/* Of the library's lines those about profiles: what is ignored, has changed, or is wrong. */
static void print_line (void *context, px_log_level level, const char *scope, const char *text)
{
    const struct settings *settings = context;
    if (!strcmp (scope, "profile") && (level == PX_LOG_ERROR || !settings->quiet))
        fprintf (stderr, "peer-run: profile: %s\n", text);
}

/* By how many peers there are it is known which profile fits: a joiner hears of them one after the other. */
static void wait_for_view (px_peer *peer)
{
    px_stats stats = {.size = sizeof stats};
    while (px_peer_stats (peer, &stats) == PX_OK && stats.peers_known &&
           px_peer_wait (peer, (uint32_t)stats.peers_known + 1, px_deadline_ns (SETTLED_NS)) ==
               PX_OK)
        ;
}

/* NULL: none. Without one given, the directory that peer-tune writes to, once it is there. */
static const char *profile_of (const struct settings *settings, char directory[PATH_MAX])
{
    if (settings->no_profile || settings->profile)
        return settings->no_profile ? NULL : settings->profile;
    return profiles_directory (directory) && access (directory, F_OK) == 0 ? directory : NULL;
}

static int run_job (const struct settings *settings, px_peer *peer, const char *task,
                    const struct input *input, watch_t *watch)
{
    static struct summary summary;
    static px_point_number numbers[LIST_MAX]; /* their names live as long as the program */
    px_job_options options = PX_JOB_OPTIONS_INIT;
    char directory[PATH_MAX];
    px_job *job = NULL;
    if (!read_numbers (&settings->numbers, numbers))
        return EXIT_USAGE;
    options.fixed_numbers = settings->fixed_numbers;
    options.numbers = numbers;
    options.n_numbers = settings->numbers.n;
    options.timeout_ns = (uint64_t)(settings->timeout_s * (double)SECOND);
    options.trace = settings->trace != NULL;
    options.profile = profile_of (settings, directory);
    if (options.profile && settings->join.n)
        wait_for_view (peer);
    uint64_t began_ns = px_now_ns ();
    px_err err = px_job_submit (peer, task, input->bytes, input->size, &options, &job);
    if (err != PX_OK)
        return complain (task, px_err_text (err));
    int code = EXIT_FAILED;
    if (watch_begin (watch)) {
        watch_job (watch, job);
        summary.task = task;
        summary.outcome = wait_for_job (job, !settings->quiet && isatty (STDERR_FILENO));
        summary.wall_s = (double)(px_now_ns () - began_ns) / (double)SECOND;
        watch_end (watch);
        code = report (settings, &summary, peer, job, atomic_load (&watch->stopped));
    }
    px_job_free (&job);
    return code;
}

static int open_failed (px_err err, const char *why)
{
    fprintf (stderr, "peer-run: %s\n", *why ? why : px_err_text (err));
    return err == PX_ENOPEER || err == PX_EVERSION ? EXIT_NOBODY : EXIT_USAGE;
}

static int run_on (const struct settings *settings, struct local_cluster *local, char **arguments,
                   const struct input *input, watch_t *watch)
{
    char why[PX_WHY_SIZE] = "", task[PROGRAM_NAME_SIZE];
    char executor[PATH_MAX], device_helper[PATH_MAX];
    const char *modules[] = {arguments[0], NULL};
    const char *local_join[] = {local->peers[0].address, NULL};
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    px_peer *peer = NULL;
    if (!executor_find (executor))
        return complain (executor, "not there: is the installation complete?");
    options.name = settings->name;
    options.key = settings->key;
    options.join = local->n ? local_join : settings->join.n ? settings->join.items : NULL;
    options.slots = (uint32_t)settings->slots;
    options.modules = modules;
    options.executor = executor;
    device_helper_find (device_helper);
    options.devices = settings->devices;
    options.device_helper = device_helper;
    options.log = print_line;
    options.log_context = (void *)settings;
    px_err err = px_peer_open (&options, &peer, why);
    if (err != PX_OK)
        return open_failed (err, why);
    int code = EXIT_NOBODY;
    if (!program_task (arguments[0], arguments[1], task))
        code = complain (arguments[0], "its name cannot be read: write TASK as module.name");
    else if (px_peer_wait (peer, local->n, px_deadline_ns (10 * SECOND)) == PX_OK)
        code = run_job (settings, peer, task, input, watch);
    else
        complain ("--local", "the peers do not find each other");
    px_peer_close (&peer, 0);
    return code;
}

int main (int argc, char **argv)
{
    static struct settings settings;
    static struct local_cluster local;
    static watch_t watch;
    struct input input = {0};
    int first;
    options_end end = options_parse (&TABLE, argc, argv, true, &settings, &first);
    if (end != OPTIONS_RUN)
        return end == OPTIONS_SHOWN ? EXIT_DONE : EXIT_USAGE;
    if (argc - first < 2 || argc - first > 3)
        return complain ("arguments", "want MODULE.so TASK [ARG|-]; see 'peer-run --help'");
    if (settings.local && settings.join.n)
        return complain ("--local", "does not go with --join");
    if (!program_input (argv[first + 2], &input))
        return complain ("standard input", strerror (errno));
    watch_block (&watch, "peer-run: cancels everywhere; once more ends at once");
    const char *modules[] = {argv[first], NULL};
    const struct local_plan plan = {
        .n = (uint32_t)settings.local, .modules = modules, .key = settings.key};
    int code = EXIT_NOBODY;
    if (!settings.local || local_start (&local, &plan))
        code = run_on (&settings, &local, argv + first, &input, &watch);
    local_end (&local);
    free (input.bytes);
    return code;
}
