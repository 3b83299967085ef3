/* shared: a loop over bytes that all its subtasks read, sent once to each peer, beside the same with the bytes in
 * each input. */
#include "bench.h"
#include "bench/tasks.h"

enum { TASKS_USUAL = 64, TASK_MS_USUAL = 20, SIZE_USUAL = 4, LINES = 2 };
#define MIB UINT64_C (1048576)

static const char *const lines[LINES] = {"in each input", "shared"};

typedef struct shared_run {
    bench_t *bench;
    shared_input loop;
    table_t *times, *bytes;
} shared_run_t;

/* Sent by this peer, as a multiple of the shared bytes for each worker. */
static bool read_sent (const shared_run_t *run, const peers_t *peers, uint32_t n_workers,
                       double *sent)
{
    px_stats stats = {.size = sizeof stats};
    if (px_peer_stats (peers->peer, &stats) != PX_OK)
        return complain (run->bench, "counters", "they cannot be read");
    *sent = (double)stats.bytes_sent / (double)run->loop.size / n_workers;
    return true;
}

/* Fresh peers each time: what was sent before is kept a while. */
static bool run_fresh (const shared_run_t *run, bool in_each, uint32_t n_workers, double *s,
                       double *sent)
{
    const peers_plan_t plan = {.n_others = n_workers, .slots = 1};
    shared_input loop = run->loop;
    uint64_t n_right = 0;
    result_t result;
    peers_t peers;
    loop.in_each = in_each;
    bool fine =
        peers_open (run->bench, &plan, &peers) &&
        run_fixed (&peers, "bench.shared", &loop, sizeof loop, &n_right, sizeof n_right, &result) &&
        read_sent (run, &peers, n_workers, sent);
    peers_close (&peers);
    if (fine && n_right != loop.n)
        return complain (run->bench, "answer", "a subtask read other bytes");
    *s = fine ? result.s : 0;
    return fine;
}

static bool measure (const shared_run_t *run, uint32_t n_workers)
{
    const settings_t *settings = &run->bench->settings;
    uint32_t n = (uint32_t)settings->repeats;
    double s[LINES][REPEATS_MAX], sent[LINES][REPEATS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t line = 0; line < LINES; line++) {
            progress (settings->quiet, "shared: %u workers, %s: %u of %u ", n_workers, lines[line],
                      i + 1, n);
            if (!run_fresh (run, line == 0, n_workers, &s[line][i], &sent[line][i]))
                return false;
        }
    }
    const figure_t *in_each = report_add (run->times, lines[0], n_workers, s[0], n, NULL);
    report_add (run->times, lines[1], n_workers, s[1], n, in_each);
    in_each = report_add (run->bytes, lines[0], n_workers, sent[0], n, NULL);
    report_add (run->bytes, lines[1], n_workers, sent[1], n, in_each);
    return true;
}

static int shared_main (bench_t *bench)
{
    const settings_t *settings = &bench->settings;
    shared_run_t run = {.bench = bench};
    run.loop = (shared_input){
        .n = settings->tasks ? settings->tasks : TASKS_USUAL,
        .size = (settings->size ? settings->size : SIZE_USUAL) * MIB,
        .duration_ns = (settings->task_ms ? settings->task_ms : TASK_MS_USUAL) * UINT64_C (1000000),
    };
    run.times = report_table (bench, &(table_t){.name = "shared",
                                                .title = "A loop over bytes that all subtasks read",
                                                .x = "workers",
                                                .unit = "s"});
    run.bytes = report_table (bench, &(table_t){.name = "shared-bytes",
                                                .title = "What its peer sends, in all",
                                                .x = "workers",
                                                .unit = "times those bytes for each worker"});
    uint32_t n_workers = (uint32_t)settings->local, half = n_workers / 2;
    bool fine = (!half || measure (&run, half)) && measure (&run, n_workers);
    return fine ? report_end (bench) : EXIT_SHORT;
}

static const option_entry shared_entries[] = {
    ENTRY ("size", OPTION_NUMBER, size, "MIB", "that all subtasks read (4)", 1, 60),
    ENTRY ("tasks", OPTION_NUMBER, tasks, "N", "of the loop (64)", 1, 100000),
    ENTRY ("task-ms", OPTION_NUMBER, task_ms, "MS", "that each takes besides reading (20)", 1,
           60000),
};

const command_t command_shared = {
    .name = "shared",
    .purpose = "a loop over bytes that all its subtasks read, sent once to each peer",
    .figures =
        "Figures, for half of --local other peers and for all of them:\n"
        "  shared           the branch has the bytes: they are sent once to each worker\n"
        "  in each input    each subtask has them: they are sent with each that leaves\n"
        "in seconds from submitting the job to its answer, and in bytes sent by its peer, as a\n"
        "multiple of the bytes for each worker: 1 = once.\n"
        "Peers: this process and the others, of one slot each, started for every run; a task\n"
        "reads all the bytes, and then holds its slot asleep.\n",
    .entries = shared_entries,
    .n_entries = sizeof shared_entries / sizeof *shared_entries,
    .repeats = 3,
    .local = 4,
    .company = COMPANY_LOCAL,
    .run = shared_main,
};
