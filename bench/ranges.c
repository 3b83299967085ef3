/* What a data-parallel branch in C costs beside the plain loop: one that moves memory, one that computes, and a
 * short one of the first kind, on 1 slot and on 2, in this process.
 *
 *     ranges [--repeat N]
 *
 * The loop and the branch take turns, N times each; the medians are told, and how much faster the branch is. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/peerexec.h>

PX_MODULE ("ranges", PX_VERSION_TEXT)

enum { STEPS = 60, REPEAT = 9, REPEAT_MAX = 1000, EXIT_USAGE = 2 };

typedef void loop_fn (const float *x, float *y, float a, uint64_t n);

__attribute__ ((noinline)) static void move (const float *x, float *y, float a, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        y[i] = a * x[i] + 1;
}

__attribute__ ((noinline)) static void compute (const float *x, float *y, float a, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        float z = x[i];
        for (int step = 0; step < STEPS; step++)
            z = z * z * 0.25f + a;
        y[i] = z;
    }
}

static px_err moves_c (px_task *task, const px_chunk *chunk)
{
    (void)task;
    move (chunk->args[0], chunk->args[1], *(const float *)chunk->args[2], chunk->n);
    return PX_OK;
}

static px_err computes_c (px_task *task, const px_chunk *chunk)
{
    (void)task;
    compute (chunk->args[0], chunk->args[1], *(const float *)chunk->args[2], chunk->n);
    return PX_OK;
}

static const px_arg loop_args[] = {PX_IN (float), PX_OUT_FLOAT (1e-6), PX_VALUE (float)};
PX_RANGE_TASK (moves, moves_c, loop_args, NULL, NULL, 1)
PX_RANGE_TASK (computes, computes_c, loop_args, NULL, NULL, 1)

/* ---- one comparison --------------------------------------------------------------------------- */

typedef struct loop {
    const char *name;
    loop_fn *plain;
    const px_range_def *range;
    uint64_t n;
} loop_t;

static const loop_t loops[] = {
    {"memory, 4,000,000", move, PX_RANGE (moves), 4000000},
    {"compute, 1,000,000", compute, PX_RANGE (computes), 1000000},
    {"memory, 20,000", move, PX_RANGE (moves), 20000},
};

typedef struct asked {
    uint32_t loop, repeat;
} asked_t;

typedef struct measured {
    double plain_ns, range_ns;
} measured_t;

static int by_size (const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static double median (double *values, uint32_t n)
{
    qsort (values, n, sizeof *values, by_size);
    return values[n / 2];
}

static px_err take_turns (px_task *task, const loop_t *loop, uint32_t repeat, float *x, float *y,
                          measured_t *measured)
{
    static double plain[REPEAT_MAX], range[REPEAT_MAX];
    float a = 0.3f;
    px_bind binds[] = {PX_BIND_IN (x, loop->n * sizeof *x), PX_BIND_OUT (y, loop->n * sizeof *y),
                       PX_BIND_IN (&a, sizeof a)};
    for (uint64_t i = 0; i < loop->n; i++) {
        x[i] = (float)(i % 100) / 100;
        y[i] = 0;
    }
    for (uint32_t i = 0; i < repeat; i++) {
        uint64_t began_ns = px_now_ns ();
        loop->plain (x, y, a, loop->n);
        uint64_t between_ns = px_now_ns ();
        px_err err = px_range_branch (task, "ranges.all", loop->range, 0, loop->n, binds, 3, NULL);
        if (err != PX_OK)
            return err;
        plain[i] = (double)(between_ns - began_ns);
        range[i] = (double)(px_now_ns () - between_ns);
    }
    *measured = (measured_t){median (plain, repeat), median (range, repeat)};
    return PX_OK;
}

static px_err measure (px_task *task, const void *input, size_t input_size)
{
    asked_t asked;
    measured_t measured;
    if (input_size != sizeof asked)
        return PX_EINVAL;
    memcpy (&asked, input, sizeof asked);
    const loop_t *loop = &loops[asked.loop];
    float *x = malloc (loop->n * sizeof *x), *y = malloc (loop->n * sizeof *y);
    px_err err = x && y ? take_turns (task, loop, asked.repeat, x, y, &measured) : PX_ENOMEM;
    free (x);
    free (y);
    return err != PX_OK ? err : px_task_return (task, &measured, sizeof measured);
}
PX_TASK (measure)

/* ---- the program ------------------------------------------------------------------------------ */

static int fail (const char *what, px_err err)
{
    fprintf (stderr, "ranges: %s: %s\n", what, px_err_text (err));
    return EXIT_FAILURE;
}

static int run_loop (px_peer *peer, uint32_t slots, asked_t asked)
{
    px_job *job;
    px_outcome outcome;
    measured_t measured;
    px_err err = px_job_submit (peer, "ranges.measure", &asked, sizeof asked, NULL, &job);
    if (err != PX_OK)
        return fail ("submit", err);
    err = px_job_wait (job, PX_FOREVER, &outcome);
    if (err == PX_OK && outcome.code == PX_OK)
        memcpy (&measured, outcome.bytes, sizeof measured);
    else
        err = err != PX_OK ? err : outcome.code;
    px_job_free (&job);
    if (err != PX_OK)
        return fail (loops[asked.loop].name, err);
    printf ("%-20s %6u %14.1f %14.1f %8.2f\n", loops[asked.loop].name, slots,
            measured.plain_ns / 1000, measured.range_ns / 1000,
            measured.plain_ns / measured.range_ns);
    return 0;
}

static int run_all (uint32_t slots, uint32_t repeat)
{
    px_peer *peer;
    char why[PX_WHY_SIZE];
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    options.module = &px_module_v1;
    options.listen = "";
    options.slots = slots;
    if (px_peer_open (&options, &peer, why) != PX_OK) {
        fprintf (stderr, "ranges: %s\n", why);
        return EXIT_FAILURE;
    }
    int code = 0;
    for (uint32_t i = 0; i < sizeof loops / sizeof *loops && !code; i++)
        code = run_loop (peer, slots, (asked_t){i, repeat});
    px_peer_close (&peer, 0);
    return code;
}

int main (int argc, char **argv)
{
    static const struct option options[] = {{"repeat", required_argument, NULL, 'r'}, {0}};
    long repeat = REPEAT;
    for (int option; (option = getopt_long (argc, argv, "", options, NULL)) != -1;) {
        repeat = option == 'r' ? strtol (optarg, NULL, 10) : 0;
        if (repeat < 1 || repeat > REPEAT_MAX) {
            fprintf (stderr, "Usage: ranges [--repeat N]   (N from 1 to %d)\n", REPEAT_MAX);
            return EXIT_USAGE;
        }
    }
    printf ("%-20s %6s %14s %14s %8s\n", "range", "slots", "loop us", "branch us", "faster");
    int code = run_all (1, (uint32_t)repeat);
    return code ? code : run_all (2, (uint32_t)repeat);
}
