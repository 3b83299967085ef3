/* call and rate: remote calls without work, beside libzmq alone in turns with them. */
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "bench.h"
#include "bench/raw.h"
#include "bench/tasks.h"

enum {
    SIZES_MAX = 16,
    WORKERS_MAX = 8,
    CALLS_USUAL = 1000,
    CALLS_FEW = 5,
    RATE_USUAL = 20000,
    RATE_SIZE = 64,
    WINDOW = 64,
    WARM = 50
};
#define SIZE_LARGEST ((double)(64 << 20))
#define BYTES_EACH (UINT64_C (128) << 20) /* of one repeat of one size, about */

static const char SIZES[] = "1,64,1024,16384,262144,4194304,16777216,67108864";
static const char CURVE_SIZES[] = "64,1048576"; /* where all sizes are not asked for */
static const char SIZE_WANTED[] = "a size from 1 to 67108864 bytes";

/* As numbers_of (), but whole. */
static uint32_t whole_numbers (const char *option, const char *text, const char *wanted,
                               double high, double *numbers, uint32_t max)
{
    uint32_t n = numbers_of (option, text, wanted, 1, high, numbers, max);
    for (uint32_t i = 0; i < n; i++) {
        if (numbers[i] != (double)(uint64_t)numbers[i])
            wrong (option, text, wanted);
    }
    return n;
}

/* ---- call: one at a time ---------------------------------------------------------------------- */

enum { P50, P90, P99, WORST, N_SHARES };
static const double shares[] = {0.5, 0.9, 0.99, 1};
static const char *const share_names[] = {"p50", "p90", "p99", "max"};

typedef struct way { /* by which a call travels */
    const char *name;
    double us[N_SHARES][REPEATS_MAX];
} way_t;

enum { OURS, RAW, NET, N_WAYS };
_Static_assert((int)SIZES_MAX *(int)N_WAYS *(int)N_SHARES <= (int)FIGURES_MAX, "a table holds all");

typedef struct call_run {
    bench_t *bench;
    const raw_key_t *key; /* NULL = without CURVE */
    bool with_net;
    peers_t peers;
    raw_server_t server, net_server;
    raw_client_t client;
    way_t ways[N_WAYS];
    double sizes[SIZES_MAX];
    uint32_t n_sizes;
    table_t *table, *bandwidth;
} call_run_t;

static uint64_t calls_of (const call_run_t *run, uint64_t size)
{
    uint64_t calls = run->bench->settings.calls ? run->bench->settings.calls : CALLS_USUAL;
    uint64_t affordable = BYTES_EACH / (2 * size) + CALLS_FEW;
    return calls < affordable ? calls : affordable;
}

static bool our_calls (call_run_t *run, uint64_t size, uint64_t n, uint64_t *durations)
{
    const calls_input input = {n, size};
    result_t result;
    if (!run_fixed (&run->peers, "bench.calls", &input, sizeof input, durations,
                    n * sizeof *durations, &result))
        return false;
    if (result.n_elsewhere >= n)
        return true;
    return complain (run->bench, "call", "calls did not run at another peer");
}

static void take (way_t *way, uint32_t repeat, const uint64_t *durations, uint64_t n)
{
    double *us = malloc (n * sizeof *us);
    if (!us)
        out_of_memory ();
    for (uint64_t i = 0; i < n; i++)
        us[i] = (double)durations[i] * 1e-3;
    for (uint32_t i = 0; i < N_SHARES; i++)
        way->us[i][repeat] = percentile (us, (uint32_t)n, shares[i]);
    free (us);
}

/* One repeat of each way. */
static bool call_round (call_run_t *run, uint64_t size, uint32_t repeat, uint64_t *durations)
{
    uint64_t n = calls_of (run, size);
    if (!our_calls (run, size, n, durations))
        return false;
    take (&run->ways[OURS], repeat, durations, n);
    raw_calls (&run->client, size, n, durations);
    take (&run->ways[RAW], repeat, durations, n);
    if (run->with_net) {
        net_calls (&run->net_server, size, n, durations);
        take (&run->ways[NET], repeat, durations, n);
    }
    return true;
}

static void report_size (call_run_t *run, double size)
{
    uint32_t n = (uint32_t)run->bench->settings.repeats;
    const figure_t *raw[N_SHARES], *raw_speed = NULL;
    static const uint32_t order[] = {RAW, OURS, NET};
    char name[48];
    for (uint32_t i = 0; i < (run->with_net ? N_WAYS : 2); i++) {
        way_t *way = &run->ways[order[i]];
        double mib_per_s[REPEATS_MAX];
        for (uint32_t share = 0; share < N_SHARES; share++) {
            snprintf (name, sizeof name, "%s %s", way->name, share_names[share]);
            const figure_t *figure =
                report_add (run->table, name, size, way->us[share], n, i ? raw[share] : NULL);
            raw[share] = i ? raw[share] : figure;
        }
        for (uint32_t k = 0; k < n; k++)
            mib_per_s[k] = 2 * size / (1 << 20) / (way->us[P50][k] * 1e-6);
        const figure_t *speed =
            report_add (run->bandwidth, way->name, size, mib_per_s, n, i ? raw_speed : NULL);
        raw_speed = i ? raw_speed : speed;
    }
}

static bool measure_size (call_run_t *run, double size)
{
    const settings_t *settings = &run->bench->settings;
    uint64_t *durations = malloc ((calls_of (run, 1) + WARM) * sizeof *durations);
    if (!durations)
        out_of_memory ();
    uint64_t n_warm = calls_of (run, (uint64_t)size) < WARM ? 1 : WARM;
    bool fine = our_calls (run, (uint64_t)size, n_warm, durations);
    raw_calls (&run->client, (uint64_t)size, n_warm, durations);
    for (uint32_t i = 0; i < settings->repeats && fine; i++) {
        progress (settings->quiet, "call: %.0f bytes%s: %u of %u ", size,
                  run->key ? ", encrypted" : "", i + 1, (uint32_t)settings->repeats);
        fine = call_round (run, (uint64_t)size, i, durations);
    }
    free (durations);
    if (fine)
        report_size (run, size);
    return fine;
}

static bool call_open (call_run_t *run)
{
    const settings_t *settings = &run->bench->settings;
    const peers_plan_t plan = {.n_others = (uint32_t)settings->local,
                               .slots = 1,
                               .join = settings->join.n > 0,
                               .key = run->key && !settings->join.n ? run->key->path : NULL};
    run->server.key = run->key;
    return raw_server_start (&run->server, raw_echo) &&
           (!run->with_net || raw_server_start (&run->net_server, net_echo)) &&
           peers_open (run->bench, &plan, &run->peers) &&
           (raw_open (&run->client, &run->server, (size_t)SIZE_LARGEST) ||
            complain (run->bench, "libzmq", "its other end cannot be reached"));
}

static void call_close (call_run_t *run)
{
    raw_close (&run->client);
    raw_server_stop (&run->server);
    raw_server_stop (&run->net_server);
    peers_close (&run->peers);
}

static const table_t call_table = {
    .name = "call",
    .title = "Round trip of a call without work, input and result of that size, one at a time",
    .x = "bytes",
    .unit = "us",
    .log_x = true,
    .log_y = true};
static const table_t bandwidth_table = {.name = "call-bandwidth",
                                        .title = "Bytes there and back in the median round trip",
                                        .x = "bytes",
                                        .unit = "MiB/s",
                                        .log_x = true,
                                        .log_y = true};
static const table_t curve_table = {
    .name = "call-curve",
    .title = "The round trip over TCP, encrypted (CURVE), both peerexec and libzmq",
    .x = "bytes",
    .unit = "us",
    .log_x = true,
    .log_y = true};
static const table_t curve_bandwidth_table = {
    .name = "call-curve-bandwidth",
    .title = "Bytes there and back in the median round trip, encrypted",
    .x = "bytes",
    .unit = "MiB/s",
    .log_x = true,
    .log_y = true};

/* With a key: all over TCP with CURVE. */
static bool measure_calls (bench_t *bench, const raw_key_t *key, const char *usual_sizes)
{
    static call_run_t run;
    const settings_t *settings = &bench->settings;
    run = (call_run_t){.bench = bench, .key = key, .with_net = settings->net && !key};
    run.ways[OURS].name = "peerexec";
    run.ways[RAW].name = "libzmq";
    run.ways[NET].name = "src/net";
    run.n_sizes = whole_numbers ("--sizes", settings->sizes ? settings->sizes : usual_sizes,
                                 SIZE_WANTED, SIZE_LARGEST, run.sizes, SIZES_MAX);
    run.table = report_table (bench, key ? &curve_table : &call_table);
    run.bandwidth = report_table (bench, key ? &curve_bandwidth_table : &bandwidth_table);
    bool fine = call_open (&run);
    for (uint32_t i = 0; i < run.n_sizes && fine; i++)
        fine = measure_size (&run, run.sizes[i]);
    call_close (&run);
    return fine;
}

static int call_main (bench_t *bench)
{
    const settings_t *settings = &bench->settings;
    bool only_curve = settings->curve || settings->key;
    bool curve = only_curve || (!settings->join.n && zmq_has ("curve"));
    raw_key_t key;
    bool fine = !curve || raw_key_make (&key);
    if (fine && !only_curve)
        fine = measure_calls (bench, NULL, SIZES);
    if (fine && curve)
        fine = measure_calls (bench, &key, only_curve ? SIZES : CURVE_SIZES);
    return fine ? report_end (bench) : EXIT_SHORT;
}

#define CURVE_ENTRY                                                                                \
    ENTRY ("curve", OPTION_FLAG, curve, NULL,                                                      \
           "all of it encrypted: peerexec over TCP with a key, libzmq\nwith CURVE", 0, 0)

static const option_entry call_entries[] = {
    ENTRY ("sizes", OPTION_TEXT, sizes, "LIST",
           "bytes of input and result (1,64,1024,16384,262144,4194304,\n16777216,67108864)", 0, 0),
    ENTRY ("calls", OPTION_NUMBER, calls, "N",
           "calls of each repeat (1000); of large ones fewer, as 128 MiB\nallow", 1, 100000),
    CURVE_ENTRY,
    ENTRY ("through-net", OPTION_FLAG, net, NULL,
           "also through src/net alone: what the transport adds", 0, 0),
};

const command_t command_call = {
    .name = "call",
    .purpose = "round trip of a remote call without work, beside libzmq's",
    .figures =
        "Figures:\n"
        "  peerexec p50, p90, p99, max   from px_branch_add () to the outcome, one call at a "
        "time,\n"
        "                                at a peer of this process with one slot, which it holds\n"
        "  libzmq p50, p90, p99, max     DEALER to ROUTER in another process and back, the same\n"
        "                                bytes, loopback TCP, in turns with ours\n"
        "  src/net ...                   the same through our transport alone (--through-net)\n"
        "  MiB/s                         bytes both ways over the p50\n"
        "Each repeat has its own percentiles; median, minimum and maximum are over the repeats.\n"
        "The same over TCP with CURVE comes behind (64 and 1048576 bytes, or --sizes); with "
        "--curve\n"
        "or --key it is all there is. Without a key peers of one host do not use TCP.\n",
    .entries = call_entries,
    .n_entries = sizeof call_entries / sizeof *call_entries,
    .repeats = 5,
    .local = 1,
    .run = call_main,
};

/* ---- rate: many under way --------------------------------------------------------------------- */

typedef struct rate { /* with so many workers */
    double workers, per_second[REPEATS_MAX], messages[REPEATS_MAX];
} rate_t;

typedef struct rate_run {
    bench_t *bench;
    raw_key_t key;
    const char *key_path; /* NULL = no CURVE */
    raw_server_t echo, sink;
    raw_client_t echo_client, sink_client;
    double raw[REPEATS_MAX], one_way[REPEATS_MAX];
    rate_t ours[WORKERS_MAX];
    uint32_t n_workers;
    uint64_t n_calls, size;
} rate_run_t;

/* One run of so many calls; *messages: that this process sent about work. */
static bool many_calls (rate_run_t *run, peers_t *peers, uint64_t n, double *s, double *messages)
{
    const calls_input input = {n, run->size};
    px_stats before = {.size = sizeof before}, after = {.size = sizeof after};
    uint64_t ns;
    result_t result;
    px_peer_stats (peers->peer, &before);
    if (!run_fixed (peers, "bench.many", &input, sizeof input, &ns, sizeof ns, &result))
        return false;
    px_peer_stats (peers->peer, &after);
    *s = (double)ns * 1e-9;
    *messages = (double)(after.messages_work - before.messages_work);
    return result.n_elsewhere >= n ||
           complain (run->bench, "rate", "calls did not run at other peers");
}

static bool our_rate (rate_run_t *run, rate_t *rate, uint32_t repeat)
{
    peers_t peers;
    double s = 1, messages = 0;
    const peers_plan_t plan = {.n_others = (uint32_t)rate->workers,
                               .slots = 1,
                               .join = run->bench->settings.join.n > 0,
                               .key = run->key_path};
    bool fine = peers_open (run->bench, &plan, &peers) &&
                many_calls (run, &peers, run->n_calls / 10 + 1, &s, &messages) &&
                many_calls (run, &peers, run->n_calls, &s, &messages);
    peers_close (&peers);
    rate->per_second[repeat] = (double)run->n_calls / s;
    rate->messages[repeat] = messages / (double)run->n_calls;
    return fine;
}

/* libzmq's other ends are started for each round: a cluster's end waits for all children. */
static bool raw_rates (rate_run_t *run, uint32_t repeat)
{
    const settings_t *settings = &run->bench->settings;
    run->echo.key = run->sink.key = settings->curve || settings->key ? &run->key : NULL;
    bool fine = raw_server_start (&run->echo, raw_echo) &&
                raw_server_start (&run->sink, raw_sink) &&
                raw_open (&run->echo_client, &run->echo, run->size) &&
                raw_open (&run->sink_client, &run->sink, run->size);
    if (fine) {
        raw_many (&run->echo_client, run->size, run->n_calls / 10 + 1, WINDOW);
        run->raw[repeat] = raw_many (&run->echo_client, run->size, run->n_calls, WINDOW);
        raw_one_way (&run->sink_client, run->size, run->n_calls / 10 + 1);
        run->one_way[repeat] = raw_one_way (&run->sink_client, run->size, run->n_calls);
    }
    raw_close (&run->echo_client);
    raw_close (&run->sink_client);
    raw_server_stop (&run->echo);
    raw_server_stop (&run->sink);
    return fine;
}

static bool rate_round (rate_run_t *run, uint32_t repeat)
{
    const settings_t *settings = &run->bench->settings;
    bool fine = raw_rates (run, repeat);
    for (uint32_t i = 0; i < run->n_workers && fine; i++) {
        progress (settings->quiet, "rate: %u of %u, %.0f workers ", repeat + 1,
                  (uint32_t)settings->repeats, run->ours[i].workers);
        fine = our_rate (run, &run->ours[i], repeat);
    }
    return fine;
}

static void report_rates (rate_run_t *run)
{
    uint32_t n = (uint32_t)run->bench->settings.repeats;
    table_t *table = report_table (
        run->bench, &(table_t){.name = "rate",
                               .title = run->bench->settings.curve
                                            ? "Remote calls without work, many under way, "
                                              "encrypted (CURVE), both peerexec and libzmq"
                                            : "Remote calls without work, many under way",
                               .x = "workers",
                               .unit = "per second"});
    double first = run->ours[0].workers;
    const figure_t *raw = report_add (table, "libzmq, 64 under way", first, run->raw, n, NULL);
    const figure_t *one_way = report_add (table, "libzmq, one way", first, run->one_way, n, NULL);
    for (uint32_t i = 0; i < run->n_workers; i++) {
        report_add (table, "peerexec", run->ours[i].workers, run->ours[i].per_second, n, raw);
        report_compare (table, one_way);
    }
    table = report_table (run->bench, &(table_t){.name = "rate-messages",
                                                 .title = "What the asking process sends for each",
                                                 .x = "workers",
                                                 .unit = "messages"});
    for (uint32_t i = 0; i < run->n_workers; i++)
        report_add (table, "peerexec", run->ours[i].workers, run->ours[i].messages, n, NULL);
}

static int rate_main (bench_t *bench)
{
    static rate_run_t run;
    const settings_t *settings = &bench->settings;
    char one[24];
    double workers[WORKERS_MAX];
    if (settings->workers && settings->join.n)
        return complain (bench, "--workers", "does not go with --join"), EXIT_USAGE;
    snprintf (one, sizeof one, "%u", (uint32_t)settings->local);
    run.bench = bench;
    run.n_calls = settings->calls ? settings->calls : RATE_USUAL;
    run.size = settings->size ? settings->size : RATE_SIZE;
    const char *usual = settings->local ? one : settings->join.n ? "1" : "1,2,4";
    run.n_workers =
        whole_numbers ("--workers", settings->workers ? settings->workers : usual,
                       "a number of peers from 1 to 64", LOCAL_MAX, workers, WORKERS_MAX);
    for (uint32_t i = 0; i < run.n_workers; i++)
        run.ours[i].workers = workers[i];
    bool fine = !(settings->curve || settings->key) || raw_key_make (&run.key);
    run.key_path = settings->curve ? run.key.path : NULL;
    for (uint32_t i = 0; i < settings->repeats && fine; i++)
        fine = rate_round (&run, i);
    if (!fine)
        return EXIT_SHORT;
    report_rates (&run);
    return report_end (bench);
}

static const option_entry rate_entries[] = {
    ENTRY ("workers", OPTION_TEXT, workers, "LIST", "peers that are started, in turns (1,2,4)", 0,
           0),
    ENTRY ("calls", OPTION_NUMBER, calls, "N", "calls of each repeat (20000)", 1, 1000000),
    ENTRY ("size", OPTION_NUMBER, size, "BYTES", "of input and result (64)", 1, 65536),
    CURVE_ENTRY,
};

const command_t command_rate = {
    .name = "rate",
    .purpose = "remote calls without work per second, beside libzmq's messages",
    .figures =
        "Figures:\n"
        "  libzmq, 64 under way   requests and replies per second, DEALER to ROUTER in another\n"
        "                         process, 64 not yet answered\n"
        "  libzmq, one way        messages per second, until the last has arrived\n"
        "  peerexec               subtasks per second of one branch that holds all of them, at as\n"
        "                         many peers of one slot; this process's only slot is held, "
        "asleep\n"
        "  messages               about work, that this process sent for each of them\n"
        "With --join: at the cluster's peers, shown as one worker.\n",
    .entries = rate_entries,
    .n_entries = sizeof rate_entries / sizeof *rate_entries,
    .repeats = 5,
    .local = 0,
    .run = rate_main,
};
