/* memory: what a peer and its subtasks take, and what an idle peer does. */
#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "bench/tasks.h"

enum { SECONDS_USUAL = 3, WAITERS = 1000, SUBTASKS = 100000, INDICES = 10000000, LOOK_MS = 5 };
#define WAIT_NS (SECOND / 2) /* that each waiter waits: enough for all of them to have begun */

typedef struct memory_run {
    bench_t *bench;
    double alone_kib[REPEATS_MAX], known_kib[REPEATS_MAX], waiter_kib[REPEATS_MAX];
    double subtask_kib[REPEATS_MAX], away_kib[REPEATS_MAX], range_kib[REPEATS_MAX];
    double cpu_percent[REPEATS_MAX];
} memory_run_t;

/* ---- of a process ----------------------------------------------------------------------------- */

static double rss_bytes (pid_t pid)
{
    char path[64];
    unsigned long total = 0, resident = 0;
    snprintf (path, sizeof path, "/proc/%ld/statm", (long)pid);
    FILE *file = fopen (path, "r");
    if (file && fscanf (file, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    if (file)
        fclose (file);
    return (double)resident * (double)sysconf (_SC_PAGESIZE);
}

/* Of all its threads, to the nanosecond. */
static double ran_s (pid_t pid)
{
    clockid_t clock;
    struct timespec ran = {0};
    if (clock_getcpuclockid (pid, &clock) == 0)
        clock_gettime (clock, &ran);
    return (double)ran.tv_sec + (double)ran.tv_nsec * 1e-9;
}

/* ---- peerd ------------------------------------------------------------------------------------ */

/* One that knows n_others, at rest for a while. */
static bool look_at_peerd (memory_run_t *run, uint32_t n_others, double *rss, double *cpu_percent)
{
    const settings_t *settings = &run->bench->settings;
    uint64_t seconds = settings->seconds ? settings->seconds : SECONDS_USUAL;
    const peers_plan_t plan = {.n_others = n_others + 1};
    peers_t peers = {.bench = run->bench};
    bool fine = peers_start_others (&peers, &plan) && peers_know (run->bench, &peers.local);
    if (fine) {
        pid_t pid = peers.local.peers[0].pid;
        uint64_t began_ns = px_now_ns ();
        double began_s = ran_s (pid);
        poll (NULL, 0, (int)seconds * 1000); /* what it does at rest is what is measured */
        *cpu_percent = 100e9 * (ran_s (pid) - began_s) / (double)(px_now_ns () - began_ns);
        *rss = rss_bytes (pid);
    }
    peers_close (&peers);
    return fine;
}

static bool measure_peerd (memory_run_t *run, uint32_t repeat)
{
    uint32_t n = (uint32_t)run->bench->settings.local;
    double alone, among, ignored;
    if (!look_at_peerd (run, 0, &alone, &run->cpu_percent[repeat]) ||
        !look_at_peerd (run, n, &among, &ignored))
        return false;
    run->alone_kib[repeat] = alone / 1024;
    run->known_kib[repeat] = (among - alone) / 1024 / n;
    return true;
}

/* ---- tasks: in a process of their own each time, so that nothing is left of what was before ---- */

static double largest_while (px_job *job)
{
    px_outcome outcome;
    double largest = 0;
    do {
        double now = rss_bytes (getpid ());
        largest = now > largest ? now : largest;
    } while (px_job_wait (job, px_deadline_ns (LOOK_MS * UINT64_C (1000000)), &outcome) != PX_OK);
    return largest;
}

/* What a job takes at most, beyond a peer that has run a small one. */
static bool grown_by (const bench_t *bench, uint32_t n_others, const char *task, const void *few,
                      const void *many, size_t size, double *bytes)
{
    const peers_plan_t plan = {.slots = 1, .n_others = n_others};
    peers_t peers;
    result_t result = {0};
    bool fine = peers_open (bench, &plan, &peers) && run_root (&peers, task, few, size, &result);
    result_fini (&result);
    malloc_trim (0);
    double before = rss_bytes (getpid ());
    px_job *job = fine ? submit (&peers, task, many, size) : NULL;
    if (job)
        *bytes = largest_while (job) - before;
    fine = job && finish (&peers, &job, &result);
    result_fini (&result);
    peers_close (&peers);
    return fine;
}

static bool waiters_take (const bench_t *bench, double *bytes)
{
    const waiters_input few = {2, 1}, many = {WAITERS, WAIT_NS};
    return grown_by (bench, 0, "bench.waiters", &few, &many, sizeof many, bytes);
}

static bool subtasks_take (const bench_t *bench, double *bytes)
{
    const uint64_t few = 2, many = SUBTASKS;
    return grown_by (bench, 0, "bench.waiting", &few, &many, sizeof many, bytes);
}

static bool away_take (const bench_t *bench, double *bytes)
{
    const waiters_input few = {2, 1}, many = {WAITERS, WAIT_NS};
    return grown_by (bench, 1, "bench.away", &few, &many, sizeof many, bytes);
}

static bool range_takes (const bench_t *bench, double *bytes)
{
    const uint64_t few = 2, many = INDICES;
    return grown_by (bench, 0, "bench.indices", &few, &many, sizeof many, bytes);
}

static bool in_child (const bench_t *bench, bool (*measure) (const bench_t *, double *),
                      double *bytes)
{
    int ends[2];
    if (pipe (ends) != 0)
        return complain (bench, "pipe", strerror (errno));
    pid_t pid = fork ();
    if (pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        bool fine = measure (bench, bytes) && write (ends[1], bytes, sizeof *bytes) > 0;
        _exit (fine ? EXIT_DONE : EXIT_SHORT);
    }
    close (ends[1]);
    bool fine = pid > 0 && read (ends[0], bytes, sizeof *bytes) == sizeof *bytes;
    close (ends[0]);
    if (pid > 0)
        waitpid (pid, NULL, 0);
    return fine || complain (bench, "a process of its own", "it did not measure");
}

static bool measure_tasks (memory_run_t *run, uint32_t repeat)
{
    double waiters, subtasks, away, range;
    if (!in_child (run->bench, waiters_take, &waiters) ||
        !in_child (run->bench, subtasks_take, &subtasks) ||
        !in_child (run->bench, away_take, &away) || !in_child (run->bench, range_takes, &range))
        return false;
    run->away_kib[repeat] = away / 1024 / WAITERS;
    run->range_kib[repeat] = range / 1024;
    run->waiter_kib[repeat] = waiters / 1024 / WAITERS;
    run->subtask_kib[repeat] = subtasks / 1024 / SUBTASKS;
    return true;
}

/* ---- the run ---------------------------------------------------------------------------------- */

static void report_memory (memory_run_t *run)
{
    uint32_t n = (uint32_t)run->bench->settings.repeats;
    table_t *table = report_table (run->bench, &(table_t){.name = "memory",
                                                          .title = "Resident memory",
                                                          .x = "of each",
                                                          .unit = "KiB",
                                                          .log_y = true});
    report_label (table, "peerexec", "idle peer", run->alone_kib, n, NULL);
    report_label (table, "peerexec", "known peer", run->known_kib, n, NULL);
    report_label (table, "peerexec", "waiting task", run->waiter_kib, n, NULL);
    report_label (table, "peerexec", "waiting subtask", run->subtask_kib, n, NULL);
    report_label (table, "peerexec", "subtask away", run->away_kib, n, NULL);
    report_label (table, "peerexec", "branch of 10 million", run->range_kib, n, NULL);
    table = report_table (run->bench, &(table_t){.name = "memory-idle",
                                                 .title = "An idle peer's share of one processor",
                                                 .x = "of each",
                                                 .unit = "%"});
    report_label (table, "peerexec", "idle peer", run->cpu_percent, n, NULL);
}

static int memory_main (bench_t *bench)
{
    static memory_run_t run;
    const settings_t *settings = &bench->settings;
    bool fine = true;
    run.bench = bench;
    for (uint32_t i = 0; i < settings->repeats && fine; i++) {
        progress (settings->quiet, "memory: %u of %u ", i + 1, (uint32_t)settings->repeats);
        fine = measure_peerd (&run, i) && measure_tasks (&run, i);
    }
    if (!fine)
        return EXIT_SHORT;
    report_memory (&run);
    return report_end (bench);
}

static const option_entry memory_entries[] = {
    ENTRY ("seconds", OPTION_NUMBER, seconds, "N", "that the peer is watched at rest (3)", 1, 3600),
};

const command_t command_memory = {
    .name = "memory",
    .purpose = "what a peer, a task, a subtask, a known peer take; what an idle peer does",
    .figures =
        "Figures:\n"
        "  idle peer         resident memory of a peerd alone, with the module loaded, and the\n"
        "                    share of one processor that it takes at rest\n"
        "  known peer        what its memory grows by for each of --local others that it knows,\n"
        "                    with the links to them\n"
        "  waiting task      of 1,000 that have begun and wait at once: its stack as far as it "
        "was\n"
        "                    touched, and all that is kept of it\n"
        "  waiting subtask   of 100,000 without input in one branch that have not begun\n"
        "  subtask away      of 1,000 at another peer at once: what the one who sent them keeps\n"
        "  branch of 10 million  at most, of a px_for () with a subtask for each of so many\n"
        "                    indices: not more than for those under way\n",
    .entries = memory_entries,
    .n_entries = sizeof memory_entries / sizeof *memory_entries,
    .repeats = 3,
    .local = 8,
    .company = COMPANY_LOCAL,
    .run = memory_main,
};
