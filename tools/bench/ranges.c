/* ranges: data-parallel branches through whole peers with an OpenCL device, beside a plain OpenCL program that does
 * the same, and beside what a peer does that may not choose. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "bench/held.h"
#include "bench/plain.h"
#include "bench/tasks.h"

enum { ITERATE_USUAL = 128, BLEND_USUAL = 16384, WARM_UPS = 3, WARM_UPS_MAX = 10, N_KINDS = 2 };
enum { LINE_PLAIN, LINE_C, LINE_DEVICE, LINE_CHOSEN, N_LINES };
enum { SPLIT_FREE, SPLIT_HELD, SPLIT_BEST, SPLIT_BOTH, N_SPLITS };

static const char *const line_names[N_LINES] = {"plain OpenCL", "all C", "all OpenCL",
                                                "as the peer chooses"};
static const char *const split_names[N_SPLITS] = {"one device", "one device, held",
                                                  "the ideal split", "both, the second held"};
static const char *const kind_names[N_KINDS] = {"compute-bound", "memory-bound"};
static const char *const part_names[] = {"compute", "memory", "split"};
enum { N_PARTS = sizeof part_names / sizeof *part_names };

typedef struct ranges_run {
    bench_t *bench;
    uint32_t device;
    const char *devices; /* the same as a list */
    plain_sizes_t sizes;
    bool parts[N_PARTS]; /* asked for */
    double rates[N_KINDS][N_LINES][REPEATS_MAX], seconds[N_SPLITS][REPEATS_MAX];
} ranges_run_t;

/* ---- one range -------------------------------------------------------------------------------- */

static uint64_t size_of (const ranges_run_t *run, plain_kind kind)
{
    return kind == PLAIN_ITERATE ? run->sizes.n_iterate : run->sizes.n_blend;
}

static bool run_range (const ranges_run_t *run, peers_t *peers, const range_input *input, double *s)
{
    range_output output;
    result_t result;
    if (!run_fixed (peers, "bench.range", input, sizeof *input, &output, sizeof output, &result))
        return false;
    *s = (double)output.duration_ns * 1e-9;
    return output.right ||
           complain (run->bench, kind_names[input->kind], "it computed something else than C");
}

/* Until kernels are there, and what there is to know of their speed. */
static bool warm_up (const ranges_run_t *run, peers_t *peers, const range_input *input)
{
    bool fine = true;
    double ignored;
    for (int i = 0; i < WARM_UPS && fine; i++)
        fine = run_range (run, peers, input, &ignored);
    return fine;
}

/* ---- one peer, beside the plain program ------------------------------------------------------- */

typedef struct pair {
    peers_t with, without; /* a device */
} pair_t;

static range_input line_input (const ranges_run_t *run, plain_kind kind, int line)
{
    return (range_input){
        .kind = kind, .n = size_of (run, kind), .slow_c = line == LINE_DEVICE, .at_home = 1};
}

static peers_t *line_peers (pair_t *pair, int line)
{
    return line == LINE_C ? &pair->without : &pair->with;
}

static bool open_pair (const ranges_run_t *run, pair_t *pair)
{
    const peers_plan_t without = {.devices = "none"}, with = {.devices = run->devices};
    bool fine = peers_open (run->bench, &without, &pair->without) &&
                peers_open (run->bench, &with, &pair->with);
    for (uint32_t kind = 0; kind < N_KINDS && fine; kind++) {
        for (int line = LINE_C; line < N_LINES && fine; line++) {
            range_input input = line_input (run, (plain_kind)kind, line);
            fine = !run->parts[kind] || warm_up (run, line_peers (pair, line), &input);
        }
    }
    return fine;
}

static bool measure_plain (ranges_run_t *run, uint32_t repeat)
{
    device_figures_t figures;
    if (!plain_alone (run->bench, run->device, &run->sizes, &figures))
        return complain (run->bench, "the plain program", "it has no figures");
    run->rates[PLAIN_ITERATE][LINE_PLAIN][repeat] = figures.compute * 1e-6;
    run->rates[PLAIN_BLEND][LINE_PLAIN][repeat] = figures.memory * 1e-6;
    return true;
}

static bool measure_kind (ranges_run_t *run, pair_t *pair, plain_kind kind, uint32_t repeat)
{
    bool fine = true;
    for (int line = LINE_C; line < N_LINES && fine; line++) {
        double s;
        range_input input = line_input (run, kind, line);
        progress (run->bench->settings.quiet, "ranges: %u of %u, %s, %s ", repeat + 1,
                  (uint32_t)run->bench->settings.repeats, kind_names[kind], line_names[line]);
        fine = run_range (run, line_peers (pair, line), &input, &s);
        run->rates[kind][line][repeat] = fine ? (double)input.n / s * 1e-6 : 0;
    }
    return fine;
}

static bool measure_choices (ranges_run_t *run)
{
    pair_t pair = {0};
    bool fine = open_pair (run, &pair);
    for (uint32_t i = 0; i < run->bench->settings.repeats && fine; i++) {
        fine = measure_plain (run, i);
        for (uint32_t kind = 0; kind < N_KINDS && fine; kind++)
            fine = !run->parts[kind] || measure_kind (run, &pair, (plain_kind)kind, i);
    }
    peers_close (&pair.with);
    peers_close (&pair.without);
    return fine;
}

/* ---- two peers, the device of one held to half of its time ------------------------------------ */

static bool run_held (const ranges_run_t *run, peers_t *peers, pid_t of, const range_input *input,
                      double *s)
{
    held_t held;
    if (!held_begin (&held, held_helper_of (of)))
        return complain (run->bench, "px_device", "the device has no helper that can be held");
    bool fine = run_range (run, peers, input, s);
    held_end (&held);
    return fine;
}

/* Whose C is so slow that it is the devices' alone: what is held is a device. */
static range_input split_input (const ranges_run_t *run)
{
    return (range_input){.kind = PLAIN_ITERATE, .n = run->sizes.n_iterate, .slow_c = 1};
}

static bool measure_split (ranges_run_t *run, peers_t *peers, uint32_t repeat)
{
    const range_input both = split_input (run);
    range_input alone = both;
    double s[N_SPLITS];
    alone.at_home = 1;
    progress (run->bench->settings.quiet, "ranges: %u of %u, two peers ", repeat + 1,
              (uint32_t)run->bench->settings.repeats);
    bool fine = run_range (run, peers, &alone, &s[SPLIT_FREE]) &&
                run_held (run, peers, getpid (), &alone, &s[SPLIT_HELD]) &&
                run_held (run, peers, peers->local.peers[0].pid, &both, &s[SPLIT_BOTH]);
    s[SPLIT_BEST] = fine ? 1 / (1 / s[SPLIT_FREE] + 1 / s[SPLIT_HELD]) : 0;
    for (int i = 0; i < N_SPLITS && fine; i++)
        run->seconds[i][repeat] = s[i];
    return fine;
}

/* A helper starts with its device's first chunk. */
static bool warm_up_both (const ranges_run_t *run, peers_t *peers)
{
    const range_input both = split_input (run);
    bool fine = warm_up (run, peers, &both);
    for (int i = 0; i < WARM_UPS_MAX && fine; i++) {
        if (held_helper_of (getpid ()) && held_helper_of (peers->local.peers[0].pid))
            return true;
        fine = warm_up (run, peers, &both);
    }
    return fine && complain (run->bench, "two peers", "one of them never has its device compute");
}

static bool measure_splits (ranges_run_t *run)
{
    const peers_plan_t plan = {.n_others = 1, .slots = 1, .devices = run->devices};
    peers_t peers;
    bool fine = peers_open (run->bench, &plan, &peers) && warm_up_both (run, &peers);
    for (uint32_t i = 0; i < run->bench->settings.repeats && fine; i++)
        fine = measure_split (run, &peers, i);
    peers_close (&peers);
    return fine;
}

/* ---- the run ---------------------------------------------------------------------------------- */

static void report_kind (ranges_run_t *run, plain_kind kind, table_t *table)
{
    const figure_t *figures[N_LINES];
    uint32_t n = (uint32_t)run->bench->settings.repeats;
    for (int line = 0; line < N_LINES; line++)
        figures[line] = report_label (table, line_names[line], kind_names[kind],
                                      run->rates[kind][line], n, line ? figures[0] : NULL);
    bool c = figures[LINE_C]->median > figures[LINE_DEVICE]->median;
    report_compare (table, figures[c ? LINE_C : LINE_DEVICE]);
}

static void report_split (ranges_run_t *run, table_t *table)
{
    const figure_t *best = NULL;
    uint32_t n = (uint32_t)run->bench->settings.repeats;
    for (int i = 0; i < N_SPLITS; i++) {
        const figure_t *figure = report_label (table, split_names[i], kind_names[PLAIN_ITERATE],
                                               run->seconds[i], n, best);
        best = i == SPLIT_BEST ? figure : best;
    }
}

static void report (ranges_run_t *run)
{
    static const table_t rates = {.name = "ranges",
                                  .title = "A range through one peer that has a device",
                                  .x = "range",
                                  .unit = "million items/s"};
    static const table_t splits = {.name = "ranges-split",
                                   .title = "A range on the devices of two peers, one of them held "
                                            "to half of its time",
                                   .x = "range",
                                   .unit = "s"};
    table_t *table = run->parts[0] || run->parts[1] ? report_table (run->bench, &rates) : NULL;
    for (uint32_t kind = 0; kind < N_KINDS; kind++) {
        if (run->parts[kind])
            report_kind (run, (plain_kind)kind, table);
    }
    if (run->parts[N_KINDS])
        report_split (run, report_table (run->bench, &splits));
}

static void want (void *context, const char *name)
{
    ranges_run_t *run = context;
    uint32_t i = 0;
    while (i < N_PARTS && strcmp (part_names[i], name) != 0)
        i++;
    if (i < N_PARTS)
        run->parts[i] = true;
    else
        wrong ("--what", name, "one of compute, memory, split");
}

static int ranges_main (bench_t *bench)
{
    static ranges_run_t run;
    const settings_t *settings = &bench->settings;
    run.bench = bench;
    run.devices = settings->devices ? settings->devices : "0";
    if (!*run.devices || run.devices[strspn (run.devices, "0123456789")])
        return complain (bench, "--devices", "it wants one, by its number"), EXIT_USAGE;
    run.device = (uint32_t)strtoul (run.devices, NULL, 10);
    run.sizes =
        (plain_sizes_t){.n_iterate = (settings->stepped ? settings->stepped : ITERATE_USUAL) * 1024,
                        .n_blend = (settings->size ? settings->size : BLEND_USUAL) * 1024};
    each_word (&run, settings->what ? settings->what : "compute,memory,split", want);
    if ((run.parts[0] || run.parts[1]) && !measure_choices (&run))
        return EXIT_SHORT;
    if (run.parts[N_KINDS] && !measure_splits (&run))
        return EXIT_SHORT;
    report (&run);
    return report_end (bench);
}

static const option_entry ranges_entries[] = {
    ENTRY ("what", OPTION_TEXT, what, "LIST", "of compute, memory, split (all)", 0, 0),
    ENTRY ("size", OPTION_NUMBER, size, "N",
           "thousands (1,024) of items of the memory-bound range (16384)", 16, 1 << 20),
    ENTRY ("stepped", OPTION_NUMBER, stepped, "N", "and of the compute-bound one (128)", 1,
           1 << 20),
};

const command_t command_ranges = {
    .name = "ranges",
    .purpose = "data-parallel branches through peers with an OpenCL device",
    .figures =
        "The device is that of --devices, one number as 'peer-bench devices' counts (0).\n"
        "Figures: items per second, from inputs in a program's memory to results there:\n"
        "  plain OpenCL         a program without peers, in a process of its own\n"
        "  all C                one peer that has no device\n"
        "  all OpenCL           one peer that has; C is so slow that it never chooses it\n"
        "  as the peer chooses  one peer that has; compared with the better of those two as well\n"
        "for a range bound by computing (2,000 steps of x * x + c) and one bound by memory\n"
        "(a * x + y), kernels being compiled and speeds known. And seconds for the first one:\n"
        "  one device           one peer of one slot; and the same while its helper is stopped "
        "for\n"
        "                       2 ms of every 4\n"
        "  the ideal split      by who knew both speeds, and whose messages took no time "
        "(computed)\n"
        "  both                 two such peers, the helper of the second one being stopped so\n",
    .entries = ranges_entries,
    .n_entries = sizeof ranges_entries / sizeof *ranges_entries,
    .repeats = 5,
    .company = COMPANY_NONE,
    .run = ranges_main,
};
