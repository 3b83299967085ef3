/* devices: what an OpenCL device gives through its helper, beside what it gives to one program alone. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "bench/plain.h"
#include "common/executor.h"
#include "device/client.h"

enum { LAUNCHES = 100, COMPUTE_PART = 64, CHUNKS = 8, N_KINDS = 5, LINE_SIZE = 48 };

typedef struct devices_run {
    bench_t *bench;
    char program[PATH_MAX];
    uint64_t n;
    pxi_device_finder finder;
    pxi_device_client *client;
    const char *failed; /* why; NULL = not */
    char why[256];
    void *slots[PXI_DEVICE_SLOTS];
    float *x, *y, *z;
    double values[PXI_HOST_DEVICES_MAX][2][N_KINDS][REPEATS_MAX]; /* through the helper; alone */
} devices_run_t;

/* ---- one chunk --------------------------------------------------------------------------------- */

static size_t up (size_t size)
{
    return (size + PXI_DEVICE_ALIGNMENT - 1) / PXI_DEVICE_ALIGNMENT * PXI_DEVICE_ALIGNMENT;
}

/* n_in inputs of `n_copied` floats, one output of n_out; items `at`... of the data. */
typedef struct chunk_plan {
    const char *kernel;
    uint64_t at, n_items, n_copied, n_out;
    uint32_t n_in;
    bool value; /* a = 2 follows */
} chunk_plan_t;

/* The first output byte of the slot. */
static size_t out_offset (const chunk_plan_t *plan)
{
    return plan->n_in * up (plan->n_copied * sizeof (float));
}

static bool fail (devices_run_t *run, const char *why)
{
    run->failed = run->failed ? run->failed : why;
    return false;
}

static bool begin (devices_run_t *run, const chunk_plan_t *plan, uint32_t number)
{
    const pxi_device_program_spec spec = {.source = plain_source, .kernel = plan->kernel};
    const float a = PLAIN_A, *data[] = {run->x, run->y};
    size_t in_size = plan->n_copied * sizeof (float), step = up (in_size);
    pxi_device_run_spec chunk = {.n_items = plan->n_items, .limit_ns = 600 * SECOND};
    uint32_t slot;
    void *bytes;
    chunk.context = number;
    if (pxi_device_program (run->client, &spec, &chunk.program) != PX_OK ||
        pxi_device_slot (run->client, plan->n_in * step + up (plan->n_out * sizeof (float)), &slot,
                         &bytes) != PX_OK)
        return fail (run, pxi_device_reason (run->client));
    for (uint32_t i = 0; i < plan->n_in; i++) {
        memcpy ((char *)bytes + i * step, data[i] + plan->at, in_size);
        chunk.args[chunk.n_args++] =
            (pxi_device_arg){.kind = PXI_DEVICE_ARG_IN, .offset = i * step, .size = in_size};
    }
    chunk.args[chunk.n_args++] = (pxi_device_arg){.kind = PXI_DEVICE_ARG_OUT,
                                                  .offset = plan->n_in * step,
                                                  .size = plan->n_out * sizeof (float)};
    if (plan->value) {
        chunk.args[chunk.n_args] =
            (pxi_device_arg){.kind = PXI_DEVICE_ARG_VALUE, .value_size = sizeof a};
        memcpy (chunk.args[chunk.n_args++].value, &a, sizeof a);
    }
    if (pxi_device_run (run->client, slot, &chunk, px_now_ns ()) != PX_OK)
        return fail (run, "the chunk is malformed");
    run->slots[slot] = bytes;
    return true;
}

/* Waits for a chunk; its outputs go to the program's memory. */
static bool end (devices_run_t *run, const chunk_plan_t *plans)
{
    pxi_device_completion completion;
    while (!pxi_device_next (run->client, &completion)) {
        struct pollfd fd = {.fd = pxi_device_fd (run->client), .events = POLLIN};
        poll (&fd, 1, 1000);
        pxi_device_step (run->client, px_now_ns ());
    }
    if (completion.err != PX_OK) {
        snprintf (run->why, sizeof run->why, "%.255s", completion.text);
        pxi_device_slot_release (run->client, completion.slot);
        return fail (run, run->why);
    }
    const chunk_plan_t *plan = &plans[completion.context];
    memcpy (run->z + plan->at, (const char *)run->slots[completion.slot] + out_offset (plan),
            plan->n_out * sizeof (float));
    pxi_device_slot_release (run->client, completion.slot);
    return true;
}

/* As many under way as there are slots. Seconds. */
static double run_chunks (devices_run_t *run, const chunk_plan_t *plans, uint32_t n)
{
    double began_s = (double)px_now_ns () * 1e-9;
    uint32_t begun = 0, ended = 0;
    while (ended < n && !run->failed) {
        while (begun < n && begun - ended < PXI_DEVICE_SLOTS && begin (run, &plans[begun], begun))
            begun++;
        if (!run->failed && end (run, plans))
            ended++;
    }
    return (double)px_now_ns () * 1e-9 - began_s;
}

/* ---- figures through the helper ---------------------------------------------------------------- */

static double measure_launch (devices_run_t *run)
{
    const chunk_plan_t plan = {"touch", 0, 1, 1, 1, 1, false};
    double s = 0;
    run_chunks (run, &plan, 1); /* compiles */
    for (int i = 0; i < LAUNCHES; i++)
        s += run_chunks (run, &plan, 1);
    return s / LAUNCHES * 1e6;
}

/* A launch of one item is in it. */
static double measure_copy (devices_run_t *run, bool out)
{
    const chunk_plan_t plan = {"touch", 0, 1, out ? 1 : run->n, out ? run->n : 1, 1, false};
    run_chunks (run, &plan, 1);
    return (double)run->n * sizeof (float) * 1e-9 / run_chunks (run, &plan, 1);
}

static double measure_rate (devices_run_t *run, const char *kernel, uint64_t n, uint32_t n_in)
{
    chunk_plan_t plans[CHUNKS];
    for (uint64_t i = 0; i < CHUNKS; i++) {
        uint64_t at = n / CHUNKS * i, size = i + 1 < CHUNKS ? n / CHUNKS : n - at;
        plans[i] = (chunk_plan_t){kernel, at, size, size, size, n_in, n_in == 2};
    }
    run_chunks (run, plans, CHUNKS);
    return (double)n / run_chunks (run, plans, CHUNKS);
}

static bool answers_are_right (devices_run_t *run, plain_kind kind, uint64_t n)
{
    return (!run->failed && plain_is_right (kind, run->x, run->y, run->z, n)) ||
           fail (run, "it computed something else than C");
}

static bool measure_helper (devices_run_t *run, device_figures_t *figures)
{
    uint64_t n_step = run->n / COMPUTE_PART;
    figures->launch_us = measure_launch (run);
    figures->to_gbs = measure_copy (run, false);
    figures->from_gbs = measure_copy (run, true);
    figures->compute = measure_rate (run, "iterate", n_step, 1);
    if (!answers_are_right (run, PLAIN_ITERATE, n_step))
        return false;
    figures->memory = measure_rate (run, "blend", run->n, 2);
    return answers_are_right (run, PLAIN_BLEND, run->n);
}

/* ---- the program alone ------------------------------------------------------------------------- */

static int once_main (bench_t *bench)
{
    device_figures_t figures = {0};
    char **words = bench->words;
    if (!words[0] || !words[1] || !words[2])
        return complain (bench, "--once", "it wants a device and two numbers of items"), EXIT_USAGE;
    plain_sizes_t sizes = {.n_blend = strtoull (words[1], NULL, 10),
                           .n_iterate = strtoull (words[2], NULL, 10)};
    bool fine = plain_measure ((uint32_t)strtoul (words[0], NULL, 10), &sizes, &figures) &&
                write (STDOUT_FILENO, &figures, sizeof figures) == sizeof figures;
    fflush (NULL);
    _exit (fine ? EXIT_DONE : EXIT_SHORT); /* threads of drivers are not waited for */
}

bool plain_alone (const struct bench *bench, uint32_t device, const plain_sizes_t *sizes,
                  device_figures_t *figures)
{
    char words[3][24];
    const char *arguments[] = {"peer-bench", "devices", "--once", "--",
                               words[0],     words[1],  words[2], NULL};
    snprintf (words[0], sizeof words[0], "%u", device);
    snprintf (words[1], sizeof words[1], "%llu", (unsigned long long)sizes->n_blend);
    snprintf (words[2], sizeof words[2], "%llu", (unsigned long long)sizes->n_iterate);
    return once_run (bench, arguments, figures, sizeof *figures);
}

static bool measure_plain (devices_run_t *run, uint32_t device, device_figures_t *figures)
{
    const plain_sizes_t sizes = {.n_blend = run->n, .n_iterate = run->n / COMPUTE_PART};
    return plain_alone (run->bench, device, &sizes, figures) ||
           fail (run, "the program alone has no figures");
}

/* ---- the run ---------------------------------------------------------------------------------- */

static void keep (devices_run_t *run, uint32_t device, uint32_t way, uint32_t repeat,
                  const device_figures_t *figures)
{
    const double values[N_KINDS] = {figures->launch_us, figures->to_gbs, figures->from_gbs,
                                    figures->compute * 1e-6, figures->memory * 1e-6};
    for (uint32_t kind = 0; kind < N_KINDS; kind++)
        run->values[device][way][kind][repeat] = values[kind];
}

static bool measure (devices_run_t *run, uint32_t device)
{
    pxi_device_client_config config = pxi_device_client_config_default ();
    const settings_t *settings = &run->bench->settings;
    config.program.program = run->program;
    config.device = device;
    run->client = pxi_device_client_new (&config);
    if (!run->client)
        return fail (run, "out of memory");
    pxi_device_step (run->client, px_now_ns ());
    for (uint32_t i = 0; i < settings->repeats && !run->failed; i++) {
        device_figures_t figures = {0};
        progress (settings->quiet, "device %u: %u of %u ", device, i + 1,
                  (uint32_t)settings->repeats);
        if (measure_helper (run, &figures))
            keep (run, device, 0, i, &figures);
        if (!run->failed && measure_plain (run, device, &figures))
            keep (run, device, 1, i, &figures);
    }
    if (run->failed)
        complain (run->bench, run->finder.devices[device].name, run->failed);
    pxi_device_client_free (&run->client);
    return !run->failed;
}

static void report_kind (devices_run_t *run, uint32_t kind, table_t *table, const char *label)
{
    uint32_t n = (uint32_t)run->bench->settings.repeats;
    for (uint32_t i = 0; i < run->finder.n_devices; i++) {
        char alone[LINE_SIZE], helper[LINE_SIZE];
        snprintf (alone, sizeof alone, "%u alone", i);
        snprintf (helper, sizeof helper, "%u by its helper", i);
        const figure_t *limit =
            report_label (table, alone, label, run->values[i][1][kind], n, NULL);
        report_label (table, helper, label, run->values[i][0][kind], n, limit);
    }
}

static void report (devices_run_t *run)
{
    static char title[512];
    table_t table = {.name = "devices-launch", .title = title, .x = "chunk", .unit = "us"};
    size_t used = (size_t)snprintf (title, sizeof title, "Time of a launch;");
    for (uint32_t i = 0; i < run->finder.n_devices && used < sizeof title; i++)
        used += (size_t)snprintf (title + used, sizeof title - used, " %u: %s (%s)", i,
                                  run->finder.devices[i].name, run->finder.devices[i].platform);
    report_kind (run, 0, report_table (run->bench, &table), "one item");
    table = (table_t){.name = "devices-copy",
                      .title = "Copies between a program's memory and the device",
                      .x = "way",
                      .unit = "GB/s"};
    table_t *copies = report_table (run->bench, &table);
    report_kind (run, 1, copies, "to it");
    report_kind (run, 2, copies, "from it");
    table = (table_t){.name = "devices-rate",
                      .title = "Ranges, from inputs in a program's memory to results there",
                      .x = "kernel",
                      .unit = "million items/s"};
    table_t *rates = report_table (run->bench, &table);
    report_kind (run, 3, rates, "compute-bound");
    report_kind (run, 4, rates, "memory-bound");
}

static bool find_devices (devices_run_t *run)
{
    const pxi_device_program_config config = {.program = run->program};
    pxi_device_finder_start (&run->finder, &config, px_now_ns (), 60 * SECOND);
    while (!run->finder.done) {
        struct pollfd fd = {.fd = run->finder.process.fd, .events = POLLIN};
        poll (&fd, 1, 1000);
        pxi_device_finder_step (&run->finder, px_now_ns ());
    }
    return run->finder.n_devices || complain (run->bench, "nothing to measure", run->finder.reason);
}

static bool make_data (devices_run_t *run)
{
    run->x = calloc (run->n, sizeof *run->x);
    run->y = calloc (run->n, sizeof *run->y);
    run->z = calloc (run->n, sizeof *run->z);
    if (!run->x || !run->y || !run->z)
        return complain (run->bench, "data", "out of memory");
    plain_fill (run->x, run->y, run->n);
    return true;
}

static int devices_main (bench_t *bench)
{
    static devices_run_t run;
    run.bench = bench;
    if (bench->settings.once)
        return once_main (bench);
    if (*bench->words)
        return complain (bench, *bench->words, "unexpected argument"), EXIT_USAGE;
    run.n = (bench->settings.size ? bench->settings.size : 8192) * 1024;
    if (!device_helper_find (run.program))
        return complain (bench, run.program, "no such program"), EXIT_SHORT;
    if (!find_devices (&run) || !make_data (&run))
        return EXIT_SHORT;
    bool fine = true;
    for (uint32_t i = 0; i < run.finder.n_devices && fine; i++)
        fine = measure (&run, i);
    free (run.x);
    free (run.y);
    free (run.z);
    if (!fine)
        return EXIT_SHORT;
    report (&run);
    return report_end (bench);
}

static const option_entry devices_entries[] = {
    ENTRY ("size", OPTION_NUMBER, size, "N",
           "thousands (1,024) of items of a range, 4 bytes each (8192);\nof the compute-bound one "
           "a 64th",
           16, 1 << 20),
    ENTRY ("once", OPTION_FLAG, once, NULL,
           "be the program alone: writes its figures in binary\n(this is how it measures)", 0, 0),
};

const command_t command_devices = {
    .name = "devices",
    .purpose = "OpenCL devices through their helpers, beside one program alone",
    .figures =
        "Figures, for each device of this host:\n"
        "  one item       microseconds from a chunk of one item until its result is there\n"
        "  to it, from it GB/s between the program's memory and the device, by its helper with a\n"
        "                 launch\n"
        "  compute-bound, memory-bound\n"
        "                 items per second, copies of inputs and results included: 2,000\n"
        "                 steps of x * x + c; a * x + y\n"
        "each of a plain OpenCL program in a process of its own (alone), and of chunks that\n"
        "a peer's helper computes.\n",
    .words = "[DEVICE ITEMS STEPPED]",
    .entries = devices_entries,
    .n_entries = sizeof devices_entries / sizeof *devices_entries,
    .repeats = 5,
    .company = COMPANY_NONE,
    .run = devices_main,
};
