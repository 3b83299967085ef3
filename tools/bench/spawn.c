/* spawn: what a local subtask costs, beside a serial twin.
 *
 * Nanoseconds are those of the whole run over the number of subtasks, so they hold the work of fib itself,
 * which is what the serial twin shows: its functions are not inlined, and its time is divided by the same
 * number. Peers listen nowhere and join nobody: all that runs, runs here. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "bench/tasks.h"

__attribute__ ((noinline)) static uint64_t serial_fib (uint64_t n)
{
    __asm__ volatile(""); /* a call that the compiler must not fold into its caller */
    return n < 2 ? n : serial_fib (n - 1) + serial_fib (n - 2);
}

/* Of fib (n): calls with n of 2 or more, each of which spawns one subtask. */
static uint64_t n_subtasks (uint64_t n)
{
    uint64_t less = 0, spawned = 0; /* for n - 1 and n */
    for (uint64_t i = 2; i <= n; i++) {
        uint64_t next = spawned + less + 1;
        less = spawned;
        spawned = next;
    }
    return spawned;
}

enum { FIB_USUAL = 30 };

/* A task, on a peer of so many slots. */
typedef struct measure {
    const char *task, *line;
    double x;
    uint32_t slots;
    uint64_t input, expected, n; /* n: subtasks, of which one has its share of the time */
    bool grows;                  /* of the table of growth */
} measure_t;

typedef struct spawn_run {
    bench_t *bench;
    table_t *time, *cpu, *growth;
    const figure_t *serial, *serial_cpu;
} spawn_run_t;

static bool once (peers_t *peers, const measure_t *what, double *ns, double *cpu_ns)
{
    uint64_t value = 0;
    result_t result;
    if (!run_fixed (peers, what->task, &what->input, sizeof what->input, &value, sizeof value,
                    &result))
        return false;
    *ns = result.s * 1e9 / (double)what->n;
    *cpu_ns = result.cpu_s * 1e9 / (double)what->n;
    return value == what->expected || complain (peers->bench, what->task, "its answer is wrong");
}

static bool repeat (spawn_run_t *run, const measure_t *what, double *ns, double *cpu_ns)
{
    const settings_t *settings = &run->bench->settings;
    const peers_plan_t plan = {.slots = what->slots};
    peers_t peers;
    bool fine = peers_open (run->bench, &plan, &peers) && once (&peers, what, ns, cpu_ns);
    for (uint32_t i = 0; i < settings->repeats && fine; i++) {
        progress (settings->quiet, "spawn: %s: %u of %u ", what->line, i + 1,
                  (uint32_t)settings->repeats);
        fine = once (&peers, what, &ns[i], &cpu_ns[i]);
    }
    peers_close (&peers);
    return fine;
}

static bool measure (spawn_run_t *run, const measure_t *what)
{
    double ns[REPEATS_MAX], cpu_ns[REPEATS_MAX];
    uint32_t n = (uint32_t)run->bench->settings.repeats;
    if (!repeat (run, what, ns, cpu_ns))
        return false;
    report_add (what->grows ? run->growth : run->time, what->line, what->x, ns, n,
                what->grows ? NULL : run->serial);
    if (!what->grows)
        report_add (run->cpu, what->line, what->x, cpu_ns, n, run->serial_cpu);
    return true;
}

static void measure_serial (spawn_run_t *run, uint64_t fib)
{
    double ns[REPEATS_MAX], cpu_ns[REPEATS_MAX], n = (double)n_subtasks (fib);
    uint32_t repeats = (uint32_t)run->bench->settings.repeats;
    for (uint32_t i = 0; i < repeats; i++) {
        uint64_t began_ns = px_now_ns ();
        clock_t began = clock ();
        serial_fib (fib);
        ns[i] = (double)(px_now_ns () - began_ns) / n;
        cpu_ns[i] = (double)(clock () - began) * (1e9 / CLOCKS_PER_SEC) / n;
    }
    run->serial = report_add (run->time, "serial", 1, ns, repeats, NULL);
    run->serial_cpu = report_add (run->cpu, "serial", 1, cpu_ns, repeats, NULL);
}

static bool measure_fib (spawn_run_t *run, const char *task, const char *line, uint64_t fib)
{
    uint64_t slots = run->bench->settings.slots;
    measure_t what = {task, line, 1, 1, fib, serial_fib (fib), n_subtasks (fib), false};
    bool fine = measure (run, &what);
    if (slots > 1) {
        what.x = (double)slots;
        what.slots = (uint32_t)slots;
        fine = fine && measure (run, &what);
    }
    return fine;
}

static bool measure_growth (spawn_run_t *run, const char *task, const char *line)
{
    static const uint64_t counts[] = {10, 1000, 100000};
    bool fine = true;
    for (uint32_t i = 0; i < sizeof counts / sizeof *counts && fine; i++)
        fine = measure (run, &(measure_t){task, line, (double)counts[i], 1, counts[i],
                                          GROWTH_SUBTASKS, GROWTH_SUBTASKS, true});
    return fine;
}

static void begin_tables (spawn_run_t *run)
{
    table_t table = {.name = "spawn",
                     .title = "One spawned and joined subtask: fib with a task for every call",
                     .x = "slots",
                     .unit = "ns"};
    run->time = report_table (run->bench, &table);
    table.name = "spawn-cpu";
    table.title = "The same on processors, all threads together";
    run->cpu = report_table (run->bench, &table);
    table.name = "spawn-growth";
    table.title = "One subtask when many wait, or many branches are open";
    table.x = "at once";
    table.log_x = true;
    run->growth = report_table (run->bench, &table);
}

static int spawn_main (bench_t *bench)
{
    spawn_run_t run = {.bench = bench};
    settings_t *settings = &bench->settings;
    long processors = sysconf (_SC_NPROCESSORS_ONLN);
    uint64_t fib = settings->fib ? settings->fib : FIB_USUAL;
    if (!settings->slots)
        settings->slots = processors > 0 ? (uint64_t)processors : 1;
    begin_tables (&run);
    measure_serial (&run, fib);
    bool fine =
        measure (&run, &(measure_t){"bench.leaves", "a loop of px_spawn, px_sync", 1, 1,
                                    GROWTH_SUBTASKS, GROWTH_SUBTASKS, GROWTH_SUBTASKS, false}) &&
        measure_fib (&run, "bench.fib", "fib, px_spawn", fib) &&
        measure_fib (&run, "bench.by_branch", "fib, a branch per call", fib) &&
        measure_growth (&run, "bench.waiting", "subtasks in one branch") &&
        measure_growth (&run, "bench.open_branches", "branches open, one subtask each");
    return fine ? report_end (bench) : EXIT_SHORT;
}

static const option_entry spawn_entries[] = {
    ENTRY ("fib", OPTION_NUMBER, fib, "N", "of which the Fibonacci number is computed (30)", 2, 45),
};

const command_t command_spawn = {
    .name = "spawn",
    .purpose = "spawn and join of a local subtask, beside a serial twin",
    .figures =
        "Figures, in nanoseconds for each subtask (the time of the run over their number):\n"
        "  serial                   fib as plain calls that are not inlined\n"
        "  a loop ...               px_spawn () and px_sync () of a subtask without work\n"
        "  fib, px_spawn            one of fib's two calls spawned, at every level\n"
        "  fib, a branch per call   the same by px_branch_open, _add, _join, _result, _close\n"
        "  ... on processors        the processor time of this process in place of the clock's\n"
        "  subtasks in one branch   when so many wait in it at once\n"
        "  branches open            when so many are open at once\n",
    .entries = spawn_entries,
    .n_entries = sizeof spawn_entries / sizeof *spawn_entries,
    .repeats = 5,
    .company = COMPANY_NONE,
    .run = spawn_main,
};
