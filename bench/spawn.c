/* What a local subtask costs: spawn and join, through the public calls, beside a serial twin.
 *
 *     spawn [--fib N] [--repeats N] [--slots N] [--json]
 *
 * fib has a task for every call and no cutoff; a task is spawned for one of its two calls, the other is
 * made in place. Nanoseconds are those of the whole run over the number of subtasks, so they hold the
 * work of fib itself, which is what the serial twin shows: its functions are not inlined, and its time is
 * divided by the same number. `growth` is one subtask's share when that many wait in one branch, and when
 * that many branches are open at once.
 *
 * The time of the process on its processors, all threads together, is beside it: what others do on the host
 * hardly shows there. Peers listen nowhere and join nobody: all that runs, runs here. */
#include <peerexec/peerexec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

PX_MODULE ("spawn", "1.0")

enum { REPEATS_MAX = 101, GROWTH_SUBTASKS = 1000000 };

typedef struct measured {
    double median_ns, min_ns, max_ns, cpu_ns; /* the last: the median of the times on processors */
} measured;

typedef struct sample {
    double ns, cpu_ns;
} sample;

/* ---- the serial twin ---------------------------------------------------------------------------
 */

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

/* ---- fib by branches ---------------------------------------------------------------------------
 */

static px_err by_branch (px_task *task, const void *input, size_t input_size);

static px_err branch_fib (px_task *task, uint64_t n, uint64_t *result)
{
    uint64_t less = n - 1, rest;
    px_branch branch;
    px_outcome outcome;
    *result = n;
    if (n < 2)
        return PX_OK;
    px_err err = px_branch_open (task, "spawn.fib", NULL, &branch);
    if (err != PX_OK)
        return err;
    err = px_branch_add (branch, by_branch, &less, sizeof less);
    if (err == PX_OK)
        err = branch_fib (task, n - 2, &rest);
    if (err == PX_OK)
        err = px_branch_join (branch);
    if (err == PX_OK)
        err = px_branch_result (branch, 0, &outcome);
    if (err == PX_OK)
        *result = rest + *(const uint64_t *)outcome.bytes;
    px_branch_close (branch);
    return err;
}

static px_err by_branch (px_task *task, const void *input, size_t input_size)
{
    uint64_t result;
    if (input_size != sizeof result)
        return px_task_fail (task, "%zu bytes are no number", input_size);
    px_err err = branch_fib (task, *(const uint64_t *)input, &result);
    return err != PX_OK ? err : px_task_return (task, &result, sizeof result);
}
PX_TASK (by_branch)

/* ---- fib by spawning ---------------------------------------------------------------------------
 */

PX_TYPED_TASK (fib, uint64_t, uint64_t)

static px_err fib (px_task *task, const uint64_t *n, uint64_t *result)
{
    uint64_t less = *n - 1, rest = *n - 2, more;
    px_subtask subtask;
    *result = *n;
    if (*n < 2)
        return PX_OK;
    px_err err = px_spawn (task, &fib_task, &less, &subtask);
    if (err == PX_OK)
        err = fib (task, &rest, result);
    if (err == PX_OK)
        err = px_sync (task, &subtask, &more);
    if (err == PX_OK)
        *result += more;
    return err;
}

/* Without fib's own work: a loop. Input: how often. Result: as many. */
PX_TYPED_TASK (leaf, uint64_t, uint64_t)
PX_TYPED_TASK (leaves, uint64_t, uint64_t)

static px_err leaf (px_task *task, const uint64_t *n, uint64_t *result)
{
    *result = *n + 1;
    return PX_OK;
}

static px_err leaves (px_task *task, const uint64_t *n, uint64_t *result)
{
    px_subtask subtask;
    px_err err = PX_OK;
    *result = 0;
    while (*result < *n && err == PX_OK) {
        err = px_spawn (task, &leaf_task, result, &subtask);
        if (err == PX_OK)
            err = px_sync (task, &subtask, result);
    }
    return err;
}

/* ---- growth ------------------------------------------------------------------------------------
 */

static px_err empty (px_task *task, const void *input, size_t input_size)
{
    return PX_OK;
}
PX_TASK (empty)

/* Input: how many subtasks wait at once. Result: how many were run. */
static px_err waiting (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = *(const uint64_t *)input, done = 0;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.number = 0;
    for (; done < GROWTH_SUBTASKS; done += n) {
        px_branch branch;
        px_err err = px_branch_open (task, "spawn.waiting", &options, &branch);
        for (uint64_t i = 0; i < n && err == PX_OK; i++)
            err = px_branch_add (branch, empty, NULL, 0);
        if (err == PX_OK)
            err = px_branch_join (branch);
        px_branch_close (branch);
        if (err != PX_OK)
            return err;
    }
    return px_task_return (task, &done, sizeof done);
}
PX_TASK (waiting)

static px_err join_all (px_branch *branches, uint64_t n)
{
    px_err err = PX_OK;
    while (n-- > 0 && err == PX_OK) {
        err = px_branch_join (branches[n]);
        px_branch_close (branches[n]);
    }
    return err;
}

/* Input: how many branches are open at once, one subtask in each. Result: how many were run. */
static px_err open_branches (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = *(const uint64_t *)input, done = 0;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.number = 0;
    px_branch *branches = calloc (n, sizeof *branches);
    px_err err = branches ? PX_OK : PX_ENOMEM;
    for (; done < GROWTH_SUBTASKS && err == PX_OK; done += n) {
        for (uint64_t i = 0; i < n && err == PX_OK; i++) {
            err = px_branch_open (task, "spawn.open", &options, &branches[i]);
            if (err == PX_OK)
                err = px_branch_add (branches[i], empty, NULL, 0);
        }
        if (err == PX_OK)
            err = join_all (branches, n);
    }
    free (branches);
    return err != PX_OK ? err : px_task_return (task, &done, sizeof done);
}
PX_TASK (open_branches)

/* ---- measuring ---------------------------------------------------------------------------------
 */

static double cpu_now_ns (void)
{
    struct timespec now;
    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static sample begin (void)
{
    return (sample){(double)px_now_ns (), cpu_now_ns ()};
}

static sample end (sample began, double n)
{
    return (sample){((double)px_now_ns () - began.ns) / n, (cpu_now_ns () - began.cpu_ns) / n};
}

static int by_time (const void *a, const void *b)
{
    double x = ((const sample *)a)->ns, y = ((const sample *)b)->ns;
    return (x > y) - (x < y);
}

static int by_cpu (const void *a, const void *b)
{
    double x = ((const sample *)a)->cpu_ns, y = ((const sample *)b)->cpu_ns;
    return (x > y) - (x < y);
}

static measured summary (sample *samples, unsigned n)
{
    measured all;
    qsort (samples, n, sizeof *samples, by_cpu);
    all.cpu_ns = samples[n / 2].cpu_ns;
    qsort (samples, n, sizeof *samples, by_time);
    all.median_ns = samples[n / 2].ns;
    all.min_ns = samples[0].ns;
    all.max_ns = samples[n - 1].ns;
    return all;
}

/* One run of a root task, measured in shares of `n`; false after telling why. */
static int run_once (px_peer *peer, const char *task, uint64_t input, uint64_t expected, uint64_t n,
                     sample *taken)
{
    px_job *job = NULL;
    px_outcome outcome = {0};
    uint64_t result = 0;
    sample began = begin ();
    px_err err = px_job_submit (peer, task, &input, sizeof input, NULL, &job);
    if (err == PX_OK)
        err = px_job_wait (job, PX_FOREVER, &outcome);
    *taken = end (began, (double)n);
    if (err == PX_OK)
        err = outcome.code;
    if (err == PX_OK && outcome.bytes_size == sizeof result)
        memcpy (&result, outcome.bytes, sizeof result);
    int right = err == PX_OK && result == expected;
    if (!right)
        fprintf (stderr, "spawn: %s: %s, result %llu\n", task, px_err_text (err),
                 (unsigned long long)result);
    px_job_free (&job);
    return right;
}

typedef struct settings {
    uint64_t fib;
    unsigned repeats, slots;
    int json;
} settings;

/* A task on a peer with that many slots; false after telling why. */
static int measure (const settings *wanted, unsigned slots, const char *task, uint64_t input,
                    uint64_t expected, uint64_t n, measured *figures)
{
    sample samples[REPEATS_MAX];
    char why[PX_WHY_SIZE];
    px_peer *peer = NULL;
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    options.module = &px_module_v1;
    options.slots = slots;
    options.listen = "";
    if (px_peer_open (&options, &peer, why) != PX_OK) {
        fprintf (stderr, "spawn: %s\n", why);
        return 0;
    }
    int right = run_once (peer, task, input, expected, n, &samples[0]); /* not counted */
    for (unsigned i = 0; i < wanted->repeats && right; i++)
        right = run_once (peer, task, input, expected, n, &samples[i]);
    px_peer_close (&peer, 0);
    if (right)
        *figures = summary (samples, wanted->repeats);
    return right;
}

static measured measure_serial (const settings *wanted, uint64_t expected)
{
    sample samples[REPEATS_MAX];
    for (unsigned i = 0; i < wanted->repeats; i++) {
        sample began = begin ();
        if (serial_fib (wanted->fib) != expected)
            abort ();
        samples[i] = end (began, (double)n_subtasks (wanted->fib));
    }
    return summary (samples, wanted->repeats);
}

static void print (const settings *wanted, const char *what, unsigned slots, measured figures,
                   double serial_ns)
{
    printf (wanted->json ? "{\"what\": \"%s\", \"slots\": %u, \"median_ns\": %.2f, "
                           "\"min_ns\": %.2f, \"max_ns\": %.2f, \"cpu_ns\": %.2f"
                         : "%-26s %2u slots  %8.2f ns [%.2f .. %.2f]  %8.2f ns on processors",
            what, slots, figures.median_ns, figures.min_ns, figures.max_ns, figures.cpu_ns);
    if (serial_ns > 0)
        printf (wanted->json ? ", \"speedup\": %.3f" : "  %.3f x serial",
                serial_ns / figures.median_ns);
    puts (wanted->json ? "}" : "");
}

static int measure_fib (const settings *wanted, const char *task, unsigned slots, uint64_t expected,
                        double serial_ns)
{
    measured figures;
    if (!measure (wanted, slots, task, wanted->fib, expected, n_subtasks (wanted->fib), &figures))
        return 0;
    print (wanted, task, slots, figures, serial_ns);
    return 1;
}

static int measure_growth (const settings *wanted, const char *task)
{
    static const uint64_t counts[] = {10, 1000, 100000};
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        measured figures;
        char what[64];
        snprintf (what, sizeof what, "%s %llu", task, (unsigned long long)counts[i]);
        if (!measure (wanted, 1, task, counts[i], GROWTH_SUBTASKS, GROWTH_SUBTASKS, &figures))
            return 0;
        print (wanted, what, 1, figures, 0);
    }
    return 1;
}

static int measure_all (const settings *wanted)
{
    static const char *const growths[] = {"spawn.waiting", "spawn.open_branches"};
    static const char *const fibs[] = {"spawn.fib", "spawn.by_branch"};
    uint64_t expected = serial_fib (wanted->fib);
    measured serial = measure_serial (wanted, expected);
    print (wanted, "serial", 1, serial, serial.median_ns);
    measured loop;
    int right = measure (wanted, 1, "spawn.leaves", GROWTH_SUBTASKS, GROWTH_SUBTASKS,
                         GROWTH_SUBTASKS, &loop);
    if (right)
        print (wanted, "spawn.leaves", 1, loop, 0);
    for (size_t i = 0; i < sizeof fibs / sizeof fibs[0] && right; i++) {
        right = measure_fib (wanted, fibs[i], 1, expected, serial.median_ns);
        if (right && wanted->slots > 1)
            right = measure_fib (wanted, fibs[i], wanted->slots, expected, serial.median_ns);
    }
    for (size_t i = 0; i < sizeof growths / sizeof growths[0] && right; i++)
        right = measure_growth (wanted, growths[i]);
    return right;
}

static int number (const char *text, uint64_t maximum, uint64_t *value)
{
    char *end;
    *value = text ? strtoull (text, &end, 10) : 0;
    return text && end != text && !*end && *value >= 1 && *value <= maximum;
}

static int parse (int argc, char **argv, settings *wanted)
{
    for (int i = 1; i < argc; i++) {
        uint64_t value = 0;
        if (strcmp (argv[i], "--json") == 0) {
            wanted->json = 1;
            continue;
        }
        const char *text = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp (argv[i], "--fib") == 0 && number (text, 45, &value) && value > 1)
            wanted->fib = value;
        else if (strcmp (argv[i], "--repeats") == 0 && number (text, REPEATS_MAX, &value))
            wanted->repeats = (unsigned)value;
        else if (strcmp (argv[i], "--slots") == 0 && number (text, 1024, &value))
            wanted->slots = (unsigned)value;
        else
            return 0;
        i++;
    }
    return 1;
}

int main (int argc, char **argv)
{
    long processors = sysconf (_SC_NPROCESSORS_ONLN);
    settings wanted = {.fib = 30, .repeats = 5, .slots = processors > 0 ? (unsigned)processors : 1};
    if (!parse (argc, argv, &wanted)) {
        fprintf (stderr, "usage: spawn [--fib 2..45] [--repeats 1..%d] [--slots N] [--json]\n",
                 REPEATS_MAX);
        return 2;
    }
    return measure_all (&wanted) ? 0 : 1;
}
