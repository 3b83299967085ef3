/* tail: a loop while something happens to one of its peers half way, beside what could be reached at best. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "bench/tasks.h"

enum { TASKS_USUAL = 64, TASK_MS_USUAL = 50, FACTOR = 10, FAULTS = 4, STEPS = 20 };

typedef enum fault_kind { FAULT_NONE, FAULT_SLOWED, FAULT_FROZEN, FAULT_KILLED } fault_kind;

static const char *const fault_names[FAULTS] = {"none", "slowed", "frozen", "killed"};

typedef struct tail_run {
    bench_t *bench;
    uint64_t n_tasks, task_ns, half_ns; /* when the fault comes */
    uint32_t n_peers;                   /* with this process's own */
    table_t *times, *extra;
} tail_run_t;

/* ---- at best ---------------------------------------------------------------------------------- */

/* Tasks that are done after so long, by all. */
static uint64_t done_after (const tail_run_t *run, fault_kind fault, uint64_t ns)
{
    uint64_t healthy = ns / run->task_ns * (run->n_peers - 1);
    if (fault == FAULT_NONE || ns <= run->half_ns)
        return healthy + ns / run->task_ns;
    uint64_t worked_ns = run->half_ns;
    if (fault == FAULT_SLOWED)
        worked_ns += (ns - run->half_ns) / FACTOR;
    return healthy + worked_ns / run->task_ns;
}

/* By who knows beforehand what will happen, and whose messages take no time. */
static double at_best_s (const tail_run_t *run, fault_kind fault)
{
    uint64_t ns = 0;
    while (done_after (run, fault, ns) < run->n_tasks)
        ns += run->task_ns / STEPS;
    return (double)ns * 1e-9;
}

/* ---- one run ---------------------------------------------------------------------------------- */

static bool strike (tail_run_t *run, struct local_peer *victim, fault_kind fault, px_job *job)
{
    px_outcome outcome;
    if (fault == FAULT_NONE)
        return true;
    if (px_job_wait (job, px_deadline_ns (run->half_ns), &outcome) == PX_OK)
        return complain (run->bench, "fault", "the loop was over before it");
    if (fault == FAULT_SLOWED)
        return true; /* the tasks know */
    victim->fault = fault_names[fault];
    return kill (victim->pid, fault == FAULT_KILLED ? SIGKILL : SIGSTOP) == 0;
}

static bool wait_for_all (tail_run_t *run, peers_t *peers, px_job *job, uint64_t began_ns,
                          double *s)
{
    px_outcome outcome;
    result_t result;
    uint64_t n_done = 0;
    px_job_wait (job, PX_FOREVER, &outcome);
    *s = (double)(px_now_ns () - began_ns) * 1e-9;
    if (!finish (peers, &job, &result))
        return false;
    if (result.size == sizeof n_done)
        memcpy (&n_done, result.bytes, sizeof n_done);
    result_fini (&result);
    return n_done == run->n_tasks || complain (run->bench, "answer", "not every task was done");
}

static bool run_loop (tail_run_t *run, peers_t *peers, fault_kind fault, uint32_t repeat, double *s,
                      double *extra_percent)
{
    struct local_peer *victim = &peers->local.peers[repeat % peers->local.n];
    naps_input loop = {.n = run->n_tasks, .nap = {.duration_ns = run->task_ns}};
    uint64_t began_ns = px_now_ns ();
    if (fault == FAULT_SLOWED) {
        loop.nap.factor = FACTOR;
        loop.nap.slow_from_ns = began_ns + run->half_ns;
        snprintf (loop.nap.slow_peer, sizeof loop.nap.slow_peer, "%s", victim->name);
    }
    px_job *job = submit (peers, "bench.naps", &loop, sizeof loop);
    bool struck = job && strike (run, victim, fault, job);
    if (!struck || !wait_for_all (run, peers, job, began_ns, s)) {
        if (job && !struck)
            px_job_free (&job);
        return false;
    }
    px_stats stats = {.size = sizeof stats};
    if (px_peer_stats (peers->peer, &stats) != PX_OK || !stats.work_ns)
        return complain (run->bench, "counters", "they cannot be read");
    *extra_percent = 100.0 * (double)stats.extra_ns / (double)stats.work_ns;
    return true;
}

static bool run_fresh (tail_run_t *run, fault_kind fault, bool speculation, uint32_t repeat,
                       double *s, double *extra_percent)
{
    const peers_plan_t plan = {
        .n_others = run->n_peers - 1, .slots = 1, .redo_only_lost = !speculation};
    peers_t peers;
    bool fine = peers_open (run->bench, &plan, &peers) &&
                run_loop (run, &peers, fault, repeat, s, extra_percent);
    peers_close (&peers);
    return fine;
}

static bool measure_fault (tail_run_t *run, fault_kind fault)
{
    static const char *const lines[] = {"no speculation", "speculation"};
    const settings_t *settings = &run->bench->settings;
    uint32_t n = (uint32_t)settings->repeats;
    double s[2][REPEATS_MAX], extra[2][REPEATS_MAX], best_s = at_best_s (run, fault);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t on = 0; on < 2; on++) {
            progress (settings->quiet, "tail: %s, %s: %u of %u ", fault_names[fault], lines[on],
                      i + 1, n);
            if (!run_fresh (run, fault, on, i, &s[on][i], &extra[on][i]))
                return false;
        }
    }
    const figure_t *best =
        report_label (run->times, "at best", fault_names[fault], &best_s, 1, NULL);
    for (uint32_t on = 0; on < 2; on++) {
        report_label (run->times, lines[on], fault_names[fault], s[on], n, best);
        report_label (run->extra, lines[on], fault_names[fault], extra[on], n, NULL);
    }
    return true;
}

/* ---- what was asked for ----------------------------------------------------------------------- */

typedef struct wanted {
    fault_kind faults[FAULTS];
    uint32_t n;
} wanted_t;

static void want (void *context, const char *name)
{
    wanted_t *wanted = context;
    uint32_t i = 0;
    while (i < FAULTS && strcmp (fault_names[i], name) != 0)
        i++;
    if (i == FAULTS || wanted->n == FAULTS)
        wrong ("--faults", name, "one of none, slowed, frozen, killed, each once");
    wanted->faults[wanted->n++] = (fault_kind)i;
}

static int tail_main (bench_t *bench)
{
    const settings_t *settings = &bench->settings;
    wanted_t wanted = {0};
    each_word (&wanted, settings->faults ? settings->faults : "none,slowed,frozen,killed", want);
    tail_run_t run = {.bench = bench,
                      .n_tasks = settings->tasks ? settings->tasks : TASKS_USUAL,
                      .n_peers = (uint32_t)settings->local + 1};
    run.task_ns = (settings->task_ms ? settings->task_ms : TASK_MS_USUAL) * UINT64_C (1000000);
    run.half_ns = (uint64_t)(at_best_s (&run, FAULT_NONE) * 0.5e9);
    run.times = report_table (bench, &(table_t){.name = "tail",
                                                .title = "A loop, one of its peers at fault from "
                                                         "half of its best time on",
                                                .x = "fault",
                                                .unit = "s"});
    run.extra = report_table (bench, &(table_t){.name = "tail-extra",
                                                .title = "Work whose result was not used",
                                                .x = "fault",
                                                .unit = "% of the work that was"});
    bool fine = true;
    for (uint32_t i = 0; i < wanted.n && fine; i++)
        fine = measure_fault (&run, wanted.faults[i]);
    return fine ? report_end (bench) : EXIT_SHORT;
}

static const option_entry tail_entries[] = {
    ENTRY ("faults", OPTION_TEXT, faults, "LIST", "of none, slowed, frozen, killed (all)", 0, 0),
    ENTRY ("tasks", OPTION_NUMBER, tasks, "N", "of the loop (64)", 1, 100000),
    ENTRY ("task-ms", OPTION_NUMBER, task_ms, "MS", "that each takes (50)", 1, 60000),
};

const command_t command_tail = {
    .name = "tail",
    .purpose = "a loop while one of its peers is slowed, frozen or killed",
    .figures =
        "Figures, in seconds from submitting the job to its answer:\n"
        "  at best          by who knew beforehand, and whose messages took no time (computed)\n"
        "  speculation      with late subtasks done again beside where they are, as usual\n"
        "  no speculation   what is lost is done again, what is late is not\n"
        "Peers: this process and --local others, of one slot each; tasks hold their slot asleep.\n"
        "The fault befalls each other peer in turn: slowed = its tasks go on at a tenth of their\n"
        "speed, frozen = SIGSTOP, killed = SIGKILL.\n",
    .entries = tail_entries,
    .n_entries = sizeof tail_entries / sizeof *tail_entries,
    .repeats = 3,
    .local = 3,
    .company = COMPANY_LOCAL,
    .run = tail_main,
};
