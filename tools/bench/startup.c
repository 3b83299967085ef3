/* startup: from nothing to the first remote result, and to a cluster in which all know all. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "bench/tasks.h"

enum { STARTED, JOINED, ANSWERED, N_MOMENTS }; /* of a process, on the host's clock */

typedef struct startup_run {
    bench_t *bench;
    double ms[N_MOMENTS][REPEATS_MAX], together_ms[REPEATS_MAX];
} startup_run_t;

/* ---- the process that starts: peer-bench startup --once --join ADDRESS ------------------------ */

static int once_main (bench_t *bench)
{
    uint64_t moments[N_MOMENTS] = {[STARTED] = px_now_ns ()}, duration_ns;
    const calls_input input = {1, 64};
    const peers_plan_t plan = {.slots = 1, .join = true};
    peers_t peers;
    result_t result;
    bool fine = peers_open (bench, &plan, &peers);
    moments[JOINED] = px_now_ns ();
    fine = fine && run_fixed (&peers, "bench.calls", &input, sizeof input, &duration_ns,
                              sizeof duration_ns, &result);
    moments[ANSWERED] = px_now_ns ();
    fine = fine && write (STDOUT_FILENO, moments, sizeof moments) == sizeof moments;
    peers_close (&peers);
    return fine ? EXIT_DONE : EXIT_SHORT;
}

bool once_run (const bench_t *bench, const char *const *arguments, void *answer, size_t size)
{
    int ends[2];
    if (pipe (ends) != 0)
        return complain (bench, "pipe", strerror (errno));
    pid_t pid = fork ();
    if (pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        dup2 (ends[1], STDOUT_FILENO);
        close (ends[0]);
        close (ends[1]);
        execv ("/proc/self/exe", (char *const *)arguments);
        _exit (127);
    }
    close (ends[1]);
    bool fine = pid > 0 && read (ends[0], answer, size) == (ssize_t)size;
    close (ends[0]);
    if (pid > 0)
        waitpid (pid, NULL, 0);
    return fine;
}

/* Starts one and reads its moments, made relative to now. */
static bool start_once (startup_run_t *run, const char *address, double ms[N_MOMENTS])
{
    const char *arguments[] = {"peer-bench", "startup", "--once", "--join", address, NULL, NULL};
    uint64_t moments[N_MOMENTS], began_ns = px_now_ns ();
    arguments[5] = run->bench->settings.executors ? "--executors" : NULL;
    if (!once_run (run->bench, arguments, moments, sizeof moments))
        return complain (run->bench, "a process of its own", "it had no remote result");
    for (uint32_t i = 0; i < N_MOMENTS; i++)
        ms[i] = (double)(moments[i] - began_ns) * 1e-6;
    return true;
}

/* ---- one repeat -------------------------------------------------------------------------------- */

static bool measure_once (startup_run_t *run, uint32_t repeat)
{
    const settings_t *settings = &run->bench->settings;
    double ms[N_MOMENTS];
    peers_t peers = {.bench = run->bench};
    const peers_plan_t plan = {.n_others = (uint32_t)settings->local};
    uint64_t began_ns = px_now_ns ();
    bool fine = settings->join.n ||
                (peers_start_others (&peers, &plan) && peers_know (run->bench, &peers.local));
    run->together_ms[repeat] = (double)(px_now_ns () - began_ns) * 1e-6;
    const char *address = settings->join.n ? settings->join.items[0] : peers.local.peers[0].address;
    fine = fine && start_once (run, address, ms);
    for (uint32_t i = 0; i < N_MOMENTS && fine; i++)
        run->ms[i][repeat] = ms[i];
    peers_close (&peers);
    return fine;
}

/* ---- the run ---------------------------------------------------------------------------------- */

static void report_startup (startup_run_t *run)
{
    static const char *const names[] = {"main begins", "peer has joined", "first remote result"};
    const settings_t *settings = &run->bench->settings;
    uint32_t n = (uint32_t)settings->repeats;
    table_t table = {.name = "startup",
                     .title = "A process that joins a running cluster, from before its start",
                     .x = "moment",
                     .unit = "ms"};
    table_t *moments = report_table (run->bench, &table);
    for (uint32_t i = 0; i < N_MOMENTS; i++)
        report_label (moments, "one process", names[i], run->ms[i], n, NULL);
    double open_ms[REPEATS_MAX];
    for (uint32_t i = 0; i < n; i++)
        open_ms[i] = run->ms[ANSWERED][i] - run->ms[STARTED][i];
    report_label (moments, "from opening its peer", names[ANSWERED], open_ms, n, NULL);
    if (!settings->local)
        return;
    table = (table_t){.name = "startup-together",
                      .title = "From starting the first of N peerd until all know all",
                      .x = "peers",
                      .unit = "ms"};
    report_add (report_table (run->bench, &table), "peerd", (double)settings->local,
                run->together_ms, n, NULL);
}

static int startup_main (bench_t *bench)
{
    static startup_run_t run;
    const settings_t *settings = &bench->settings;
    bool fine = true;
    run.bench = bench;
    if (settings->once && !settings->join.n)
        return complain (bench, "--once", "it goes with --join only"), EXIT_USAGE;
    if (settings->once)
        return once_main (bench);
    for (uint32_t i = 0; i < settings->repeats && fine; i++) {
        progress (settings->quiet, "startup: %u of %u ", i + 1, (uint32_t)settings->repeats);
        fine = measure_once (&run, i);
    }
    if (!fine)
        return EXIT_SHORT;
    report_startup (&run);
    return report_end (bench);
}

static const option_entry startup_entries[] = {
    ENTRY ("once", OPTION_FLAG, once, NULL,
           "be the process that starts: writes its moments in binary\n(this is how it measures)", 0,
           0),
};

const command_t command_startup = {
    .name = "startup",
    .purpose = "until the first remote result; until N peers know each other",
    .figures = "Figures, in milliseconds:\n"
               "  one process             from before it was started until its main begins, its\n"
               "                          peer has joined, and it has the result of a remote call\n"
               "  from opening its peer   the last of these, from its main on\n"
               "  peerd                   from starting the first of --local peers until each of\n"
               "                          them knows all others, by their own word\n",
    .entries = startup_entries,
    .n_entries = sizeof startup_entries / sizeof *startup_entries,
    .repeats = 5,
    .local = 4,
    .run = startup_main,
};
