/* peer-sim: what a cluster that you don't have would do.
 *
 * Runs worlds of src/sim: one that the options describe, or (--swarm) ones that their seeds draw,
 * and prints their figures. The core in it is the one that peerd runs, so the figures are its own.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/carrier.h"
#include "common/tree.h"
#include "sim/load.h"
#include "sim/shrink.h"
#include "sim/swarm.h"
#include "tune/simulated.h"

enum { EXIT_FINE = 0, EXIT_BROKEN = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };
enum { SHRINK_RUNS_MAX = 1000, KEEP_SIZE = 4096 };
enum { PEERS_MAX = 1 << 20, KNOWN_MAX = 64, SMALL_WORLD = 256, LARGE_WORLD = 1 << 15 };
enum { VIEW_LARGE = 128, VIEW_LARGEST = 64 }; /* what they take of memory is mostly this */
#define PROGRESS_NS (200 * PXI_MS)

static volatile int interrupted;

typedef struct options {
    uint64_t seed, last_seed;
    uint32_t peers, slots, jobs, number, loss_ppm, duplicate_ppm, reorder_ppm;
    uint64_t rtt_us;
    uint32_t load_percent; /* 0 = `jobs` at once */
    uint64_t for_s, mean_ms, view;
    uint32_t tune; /* levels; 0 = do not */
    pxi_tree tree;
    uint32_t faults[PXI_FAULT_KINDS];
    const char *trace, *keep;
    pxi_wrong wrong;
    bool shrink;
    bool swarm, json, verbose, unchecked, messages;
    bool no_speculation, no_inlining, no_reservations, no_volunteers, no_backoff, no_adaptation;
} options_t;

static void usage (FILE *to)
{
    fputs (
        "usage: peer-sim [OPTION]...\n"
        "Run virtual clusters and print what they did.\n"
        "\n"
        "  --peers N           peers (4)\n"
        "  --slots N           slots of each (2)\n"
        "  --jobs N            jobs at once, from different peers (1)\n"
        "  --tree SPEC         what a job computes (split:work=8s,leaf=10ms,parts=2)\n" TREE_HELP
        "  --load P            instead: jobs of four applications that arrive at random, and\n"
        "                      use P % of all slots: loops and trees, lognormal times\n"
        "  --for-s N           for so long (3600)\n"
        "  --mean-ms N         mean time of a task in the largest of them (5000)\n"
        "  --view N            peers that one knows at most (1024; of more than 256 peers 128, of\n"
        "                      more than 32,768 peers 64)\n"
        "  --number B          branch number of every branch (65535)\n"
        "  --tune LEVELS       find the branch number of each of the first so many levels of the "
        "tree\n"
        "                      (1 to 4), as peer-tune does; --number is the default (64)\n"
        "  --rtt-us N          round trip between any two peers (1000)\n"
        "  --loss-ppm N        messages lost, of a million (0)\n"
        "  --duplicate-ppm N   messages that come twice (0)\n"
        "  --reorder-ppm N     messages that may overtake others (0)\n"
        "  --faults LIST       none, all, or e.g. crash=2,pause,partition (none)\n"
        "                        ",
        to);
    for (uint32_t kind = 0; kind < PXI_FAULT_KINDS; kind++)
        fprintf (to, "%s%s", kind ? " " : "", pxi_fault_name ((pxi_fault_kind)kind));
    fputs (
        "\n"
        "  --without LIST      of speculation, inlining, reservations, volunteers, backoff,\n"
        "                      adaptation\n"
        "  --seed S            what everything is drawn from (1)\n"
        "  --seeds A..B        one world after the other\n"
        "  --swarm             the seed draws the world too: size, tree, limits, faults\n"
        "  --keep LIST         of what --swarm draws, only these: faults by number (as --verbose "
        "lists\n"
        "                      them) and loss, duplicates, ...; none = nothing\n"
        "  --shrink            of a world that fails, find what it needs to fail, and the command "
        "for it\n"
        "  --wrong WHAT        one executor does something wrong once, to see the checks go red: "
        "result,\n"
        "                      hang\n"
        "  --unchecked         without the invariants, for the speed of large worlds\n"
        "  --trace FILE        every decision of every peer, one line each; - = standard output\n"
        "  --messages          every message too\n"
        "  --json              figures as JSON, one object per world\n"
        "  --verbose           also a line per world, and all counters\n"
        "  --help, --version\n"
        "\n"
        "Exit: 0 every world was fine; 1 an invariant broke, or a world got stuck; 2 usage;\n"
        "130 interrupted.\n",
        to);
}

static _Noreturn void wrong (const char *option, const char *value, const char *wanted)
{
    fprintf (stderr, "peer-sim: %s: \"%s\" is not %s\n", option, value, wanted);
    exit (EXIT_USAGE);
}

/* ---- options ----------------------------------------------------------------------------------
 */

static uint64_t number_of (const char *option, const char *text, uint64_t low, uint64_t high)
{
    char *end, wanted[64];
    uint64_t value;
    snprintf (wanted, sizeof wanted, "a number from %llu to %llu", (unsigned long long)low,
              (unsigned long long)high);
    if (!tree_number (text, &end, &value) || *end || value < low || value > high)
        wrong (option, text, wanted);
    return value;
}

static pxi_wrong wrong_of (const char *text)
{
    if (!strcmp (text, "result"))
        return PXI_WRONG_RESULT;
    if (!strcmp (text, "hang"))
        return PXI_WRONG_HANG;
    wrong ("--wrong", text, "result or hang");
}

static void parse_tree (pxi_tree *tree, const char *text)
{
    char why[TREE_WHY_SIZE];
    if (tree_parse (text, tree, why))
        return;
    fprintf (stderr, "peer-sim: --tree: %s\n", why);
    exit (EXIT_USAGE);
}

static void parse_faults (options_t *options, const char *text)
{
    char copy[256];
    memset (options->faults, 0, sizeof options->faults);
    if (!strcmp (text, "none"))
        return;
    uint32_t usual = options->peers / 8 ? options->peers / 8 : 1;
    if (!strcmp (text, "all")) {
        for (uint32_t kind = 0; kind < PXI_FAULT_KINDS; kind++)
            options->faults[kind] = kind == PXI_FAULT_CANCEL || kind == PXI_FAULT_START ? 0 : usual;
        return;
    }
    if (strlen (text) >= sizeof copy)
        wrong ("--faults", text, "short enough");
    strcpy (copy, text);
    for (char *rest = copy, *name; (name = strsep (&rest, ","));) {
        pxi_fault_kind kind;
        char *count = strchr (name, '=');
        if (count)
            *count++ = 0;
        if (!pxi_fault_by_name (name, &kind))
            wrong ("--faults", name, "a fault: see --help");
        options->faults[kind] = count ? (uint32_t)number_of ("--faults", count, 0, 1000000) : usual;
    }
}

static void parse_without (options_t *options, const char *text)
{
    const struct {
        const char *name;
        bool *off;
    } features[] = {
        {"speculation", &options->no_speculation},   {"inlining", &options->no_inlining},
        {"reservations", &options->no_reservations}, {"volunteers", &options->no_volunteers},
        {"backoff", &options->no_backoff},           {"adaptation", &options->no_adaptation}};
    char copy[256];
    if (strlen (text) >= sizeof copy)
        wrong ("--without", text, "short enough");
    strcpy (copy, text);
    for (char *rest = copy, *name; (name = strsep (&rest, ","));) {
        size_t i = 0;
        while (i < sizeof features / sizeof *features && strcmp (name, features[i].name) != 0)
            i++;
        if (i == sizeof features / sizeof *features)
            wrong ("--without", name, "a feature: see --help");
        *features[i].off = true;
    }
}

static void parse_seeds (options_t *options, const char *text)
{
    char *end;
    if (!tree_number (text, &end, &options->seed) || strncmp (end, "..", 2) != 0 ||
        !tree_number (end + 2, &end, &options->last_seed) || *end ||
        options->last_seed < options->seed)
        wrong ("--seeds", text, "A..B with A not over B");
}

enum {
    OPT_PEERS = 256,
    OPT_SLOTS,
    OPT_JOBS,
    OPT_TREE,
    OPT_LOAD,
    OPT_FOR,
    OPT_MEAN,
    OPT_VIEW,
    OPT_NUMBER,
    OPT_TUNE,
    OPT_RTT,
    OPT_LOSS,
    OPT_DUPLICATE,
    OPT_REORDER,
    OPT_FAULTS,
    OPT_WITHOUT,
    OPT_SEED,
    OPT_SEEDS,
    OPT_SWARM,
    OPT_KEEP,
    OPT_SHRINK,
    OPT_WRONG,
    OPT_UNCHECKED,
    OPT_TRACE,
    OPT_MESSAGES,
    OPT_JSON,
    OPT_VERBOSE,
    OPT_HELP,
    OPT_VERSION,
};

static const struct option long_options[] = {
    {"peers", 1, NULL, OPT_PEERS},
    {"slots", 1, NULL, OPT_SLOTS},
    {"jobs", 1, NULL, OPT_JOBS},
    {"tree", 1, NULL, OPT_TREE},
    {"load", 1, NULL, OPT_LOAD},
    {"for-s", 1, NULL, OPT_FOR},
    {"mean-ms", 1, NULL, OPT_MEAN},
    {"view", 1, NULL, OPT_VIEW},
    {"number", 1, NULL, OPT_NUMBER},
    {"tune", 1, NULL, OPT_TUNE},
    {"rtt-us", 1, NULL, OPT_RTT},
    {"loss-ppm", 1, NULL, OPT_LOSS},
    {"duplicate-ppm", 1, NULL, OPT_DUPLICATE},
    {"reorder-ppm", 1, NULL, OPT_REORDER},
    {"faults", 1, NULL, OPT_FAULTS},
    {"without", 1, NULL, OPT_WITHOUT},
    {"seed", 1, NULL, OPT_SEED},
    {"seeds", 1, NULL, OPT_SEEDS},
    {"swarm", 0, NULL, OPT_SWARM},
    {"keep", 1, NULL, OPT_KEEP},
    {"shrink", 0, NULL, OPT_SHRINK},
    {"wrong", 1, NULL, OPT_WRONG},
    {"unchecked", 0, NULL, OPT_UNCHECKED},
    {"trace", 1, NULL, OPT_TRACE},
    {"messages", 0, NULL, OPT_MESSAGES},
    {"json", 0, NULL, OPT_JSON},
    {"verbose", 0, NULL, OPT_VERBOSE},
    {"help", 0, NULL, OPT_HELP},
    {"version", 0, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static void set_option (options_t *options, int option, const char *value)
{
    switch (option) {
    case OPT_PEERS:
        options->peers = (uint32_t)number_of ("--peers", value, 1, PEERS_MAX);
        break;
    case OPT_SLOTS:
        options->slots = (uint32_t)number_of ("--slots", value, 1, PXI_SLOTS_MAX);
        break;
    case OPT_JOBS:
        options->jobs = (uint32_t)number_of ("--jobs", value, 1, PXI_JOBS_MAX);
        break;
    case OPT_TREE:
        parse_tree (&options->tree, value);
        break;
    case OPT_LOAD:
        options->load_percent = (uint32_t)number_of ("--load", value, 1, 1000);
        break;
    case OPT_FOR:
        options->for_s = number_of ("--for-s", value, 1, 1000000);
        break;
    case OPT_MEAN:
        options->mean_ms = number_of ("--mean-ms", value, 1, 1000000);
        break;
    case OPT_VIEW:
        options->view = number_of ("--view", value, PXI_RECORDS_MAX, PXI_VIEW_MAX);
        break;
    case OPT_NUMBER:
        options->number = (uint32_t)number_of ("--number", value, 0, PXI_NUMBER_MAX);
        break;
    case OPT_TUNE:
        options->tune = (uint32_t)number_of ("--tune", value, 1, PXI_TREE_NUMBERS_MAX);
        break;
    case OPT_RTT:
        options->rtt_us = number_of ("--rtt-us", value, 0, 60000000);
        break;
    case OPT_LOSS:
        options->loss_ppm = (uint32_t)number_of ("--loss-ppm", value, 0, 1000000);
        break;
    case OPT_DUPLICATE:
        options->duplicate_ppm = (uint32_t)number_of ("--duplicate-ppm", value, 0, 1000000);
        break;
    case OPT_REORDER:
        options->reorder_ppm = (uint32_t)number_of ("--reorder-ppm", value, 0, 1000000);
        break;
    case OPT_SEED:
        options->seed = options->last_seed = number_of ("--seed", value, 0, UINT64_MAX);
        break;
    case OPT_SEEDS:
        parse_seeds (options, value);
        break;
    case OPT_WITHOUT:
        parse_without (options, value);
        break;
    case OPT_SWARM:
        options->swarm = true;
        break;
    case OPT_KEEP:
        options->keep = value;
        break;
    case OPT_SHRINK:
        options->shrink = true;
        break;
    case OPT_WRONG:
        options->wrong = wrong_of (value);
        break;
    case OPT_UNCHECKED:
        options->unchecked = true;
        break;
    case OPT_TRACE:
        options->trace = value;
        break;
    case OPT_MESSAGES:
        options->messages = true;
        break;
    case OPT_JSON:
        options->json = true;
        break;
    case OPT_VERBOSE:
        options->verbose = true;
        break;
    default:
        usage (stderr);
        exit (EXIT_USAGE);
    }
}

static void parse_options (options_t *options, int argc, char **argv)
{
    const char *faults = "none";
    for (int option; (option = getopt_long (argc, argv, "", long_options, NULL)) != -1;) {
        if (option == OPT_HELP) {
            usage (stdout);
            exit (EXIT_FINE);
        } else if (option == OPT_VERSION) {
            puts ("peer-sim " PX_VERSION_TEXT);
            exit (EXIT_FINE);
        } else if (option == OPT_FAULTS) {
            faults = optarg;
        } else {
            set_option (options, option, optarg);
        }
    }
    if (optind < argc)
        wrong ("argument", argv[optind], "expected");
    parse_faults (options, faults);
    if ((options->keep || options->shrink) && !options->swarm)
        wrong (options->keep ? "--keep" : "--shrink", "", "for other worlds than those of --swarm");
}

/* ---- the world that the options describe ------------------------------------------------------
 */

typedef struct described {
    pxi_world_config config;
    pxi_world_peer *peers;
    pxi_world_job *jobs;
    pxi_fault *faults;
} described_t;

static void *array (size_t n, size_t size)
{
    void *memory = calloc (n, size);
    if (!memory) {
        fputs ("peer-sim: out of memory\n", stderr);
        exit (EXIT_BROKEN);
    }
    return memory;
}

static uint32_t describe_load (described_t *world, const options_t *options, uint64_t seed)
{
    uint32_t n_jobs;
    pxi_load load = {.seed = seed,
                     .n_peers = options->peers,
                     .slots = options->slots,
                     .percent = options->load_percent,
                     .number = options->number,
                     .mean_ns = options->mean_ms * PXI_MS,
                     .from_ns = PXI_SECOND,
                     .for_ns = options->for_s * PXI_SECOND};
    world->jobs = pxi_load_draw (&load, &n_jobs);
    if (!world->jobs) {
        fputs ("peer-sim: --load: out of memory, or more jobs than 2,147,483,647\n", stderr);
        exit (EXIT_USAGE);
    }
    return n_jobs;
}

static uint32_t describe_jobs (described_t *world, const options_t *options, uint64_t seed)
{
    if (options->load_percent)
        return describe_load (world, options, seed);
    world->jobs = array (options->jobs, sizeof *world->jobs);
    for (uint32_t i = 0; i < options->jobs; i++) {
        pxi_world_job *job = &world->jobs[i];
        *job =
            (pxi_world_job){.peer = i % options->peers, .at_ns = PXI_SECOND, .tree = options->tree};
        job->tree.seed = pxi_mix64 (seed + i);
        job->tree.numbers[0] = options->number;
        job->tree.n_numbers = 1;
    }
    return options->jobs;
}

/* Faults come while about twice the ideal time passes. */
static uint64_t faults_until_ns (const options_t *options, const pxi_world_job *jobs)
{
    pxi_serial serial = {0};
    if (options->load_percent)
        return (1 + options->for_s) * PXI_SECOND;
    pxi_workload_serial (&jobs[0].tree, UINT64_C (100000000), 0, &serial);
    uint64_t ideal_ns =
        serial.work_ns * options->jobs / ((uint64_t)options->peers * options->slots);
    return PXI_SECOND + 2 * (ideal_ns > serial.critical_ns ? ideal_ns : serial.critical_ns);
}

static void describe (described_t *world, const options_t *options, uint64_t seed)
{
    *world = (described_t){.config = pxi_world_config_default ()};
    pxi_world_config *config = &world->config;
    config->seed = seed;
    world->peers = array (options->peers, sizeof *world->peers);
    for (uint32_t i = 0; i < options->peers; i++)
        world->peers[i] = (pxi_world_peer){.slots = options->slots, .speed_permille = 1000};
    config->peers = world->peers;
    config->n_peers = options->peers;
    config->n_jobs = describe_jobs (world, options, seed);
    config->jobs = world->jobs;
    config->nodes_max = UINT64_C (100000000);
    config->network = (pxi_network_config){.min_ns = options->rtt_us * 500,
                                           .loss_ppm = options->loss_ppm,
                                           .duplicate_ppm = options->duplicate_ppm,
                                           .reorder_ppm = options->reorder_ppm};
    if (options->peers > SMALL_WORLD) {
        config->core.view_max = options->peers > LARGE_WORLD ? VIEW_LARGEST : VIEW_LARGE;
        config->sweep_ns = PXI_SECOND;
    }
    if (options->view)
        config->core.view_max = (uint32_t)options->view;
    config->core.speculation = !options->no_speculation;
    config->core.inlining = !options->no_inlining;
    config->core.reservations = !options->no_reservations;
    config->core.volunteers = !options->no_volunteers;
    config->core.backoff = !options->no_backoff;
    config->core.adaptation = !options->no_adaptation;
    uint32_t known = config->core.view_max < KNOWN_MAX ? config->core.view_max : KNOWN_MAX;
    config->known = options->peers - 1 < known ? options->peers - 1 : known;
    pxi_fault_rates rates = {.until_ns = faults_until_ns (options, world->jobs),
                             .pause_max_ns = 8 * PXI_SECOND,
                             .down_min_ns = 10 * PXI_MS,
                             .down_max_ns = 10 * PXI_SECOND};
    memcpy (rates.n, options->faults, sizeof rates.n);
    uint8_t *spared = array (options->peers, 1);
    for (uint32_t i = 0; i < config->n_jobs && !options->load_percent; i++)
        spared[world->jobs[i].peer] = 1;
    world->faults = pxi_faults_draw (&rates, options->peers, config->n_jobs, spared,
                                     pxi_mix64 (seed + 3), &config->n_faults);
    config->faults = world->faults;
    config->calm_ns = rates.until_ns;
    free (spared);
}

/* ---- figures ----------------------------------------------------------------------------------
 */

typedef struct figures {
    double makespan_s, ideal_s, efficiency, messages_per_task, events_per_s, bytes_per_peer;
    double wall_s, cpu_s;
    uint64_t peak_bytes;            /* of this process, so far, as is cpu_s */
    uint64_t n_messages, n_control; /* control: all but the membership's */
} figures_t;

static double seconds_of (struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static figures_t figures_of (const pxi_world_report *report, const pxi_world_config *config,
                             double wall_s)
{
    figures_t figures = {.makespan_s = (double)report->makespan_ns / 1e9, .wall_s = wall_s};
    for (uint32_t kind = PXI_HELLO; kind <= PXI_MESSAGE_LAST; kind++) {
        figures.n_messages += report->n_messages[kind];
        figures.n_control += kind > PXI_REFUSED ? report->n_messages[kind] : 0;
    }
    double speed = (double)report->slots_speed_permille / 1000;
    double parallel_s = (double)report->work_ns / 1e9 / (speed > 0 ? speed : 1);
    double chain_s = (double)report->critical_ns / 1e9;
    figures.ideal_s = parallel_s > chain_s ? parallel_s : chain_s;
    bool all_over = report->n_jobs_done + report->n_jobs_ended == config->n_jobs;
    figures.efficiency =
        all_over && figures.makespan_s > 0 ? figures.ideal_s / figures.makespan_s : 0;
    figures.messages_per_task =
        report->n_tasks ? (double)figures.n_control / (double)report->n_tasks : 0;
    figures.events_per_s = wall_s > 0 ? (double)report->n_events / wall_s : 0;
    figures.bytes_per_peer = (double)report->memory_bytes / config->n_peers;
    struct rusage usage;
    getrusage (RUSAGE_SELF, &usage);
    figures.peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
    figures.cpu_s = seconds_of (usage.ru_utime) + seconds_of (usage.ru_stime);
    return figures;
}

static double extra_percent (const px_stats *stats)
{
    double all = (double)stats->work_ns + (double)stats->extra_ns;
    return all > 0 ? 100 * (double)stats->extra_ns / all : 0;
}

static void print_text (const pxi_world_report *report, const figures_t *figures, bool verbose)
{
    const px_stats *stats = &report->stats;
    printf ("makespan %.3f s, ideal %.3f s, efficiency %.3f; %llu tasks, %u jobs done, %u ended\n",
            figures->makespan_s, figures->ideal_s, figures->efficiency,
            (unsigned long long)report->n_tasks, report->n_jobs_done, report->n_jobs_ended);
    printf ("%llu messages, %.2f per task beside the membership's; %llu lost, %llu twice\n",
            (unsigned long long)figures->n_messages, figures->messages_per_task,
            (unsigned long long)report->n_lost, (unsigned long long)report->n_duplicated);
    printf (
        "probes %llu: free %llu, busy %llu, lost %llu; sent %llu, redone %llu, speculative %llu, "
        "extra work %.2f %%\n",
        (unsigned long long)stats->probes_sent, (unsigned long long)stats->probes_free,
        (unsigned long long)stats->probes_busy, (unsigned long long)stats->probes_lost,
        (unsigned long long)stats->subtasks_sent, (unsigned long long)stats->attempts_redone,
        (unsigned long long)stats->attempts_speculative, extra_percent (stats));
    printf ("%llu events in %.1f s of virtual time, %.0f per second; %.0f bytes per peer; "
            "%u crashes\n",
            (unsigned long long)report->n_events, (double)report->now_ns / 1e9,
            figures->events_per_s, figures->bytes_per_peer, report->n_crashes);
    printf ("%.1f s of wall time, %.1f of a processor; %.0f MiB of memory\n", figures->wall_s,
            figures->cpu_s, (double)figures->peak_bytes / (1 << 20));
    if (!verbose)
        return;
#define LINE(name, text)                                                                           \
    if (stats->name)                                                                               \
        printf ("  %-22s %12llu  %s\n", #name, (unsigned long long)stats->name, text);
    PX_STATS (LINE)
#undef LINE
    for (uint32_t kind = PXI_HELLO; kind <= PXI_MESSAGE_LAST; kind++)
        printf ("  %-22s %12llu\n", pxi_message_name ((pxi_message_kind)kind),
                (unsigned long long)report->n_messages[kind]);
}

static void print_json (uint64_t seed, const pxi_world_report *report, const figures_t *figures)
{
    static const char *const verdicts[] = {"fine", "broken", "stuck"};
    printf ("{\"seed\":%llu,\"verdict\":\"%s\",\"makespan_s\":%.6f,\"ideal_s\":%.6f,"
            "\"efficiency\":%.4f,\"tasks\":%llu,\"jobs_done\":%u,\"jobs_ended\":%u,"
            "\"messages\":%llu,\"messages_per_task\":%.4f,\"virtual_s\":%.6f,\"events\":%llu,"
            "\"events_per_s\":%.0f,"
            "\"wall_s\":%.3f,\"cpu_s\":%.3f,\"peak_bytes\":%llu,\"bytes_per_peer\":%.0f,\"extra_"
            "percent\":%.3f,"
            "\"crashes\":%u,\"calm_took_s\":%.6f,"
            "\"patience_s\":%.6f,\"damaged\":%llu,\"corrupted\":%s,\"trace_hash\":\"%016llx\"",
            (unsigned long long)seed, verdicts[report->verdict], figures->makespan_s,
            figures->ideal_s, figures->efficiency, (unsigned long long)report->n_tasks,
            report->n_jobs_done, report->n_jobs_ended, (unsigned long long)figures->n_messages,
            figures->messages_per_task, (double)report->now_ns / 1e9,
            (unsigned long long)report->n_events, figures->events_per_s, figures->wall_s,
            figures->cpu_s, (unsigned long long)figures->peak_bytes, figures->bytes_per_peer,
            extra_percent (&report->stats), report->n_crashes, (double)report->calm_took_ns / 1e9,
            (double)report->patience_ns / 1e9, (unsigned long long)report->n_damaged,
            report->corrupted ? "true" : "false", (unsigned long long)report->trace_hash);
#define FIELD(name, text) printf (",\"%s\":%llu", #name, (unsigned long long)report->stats.name);
    PX_STATS (FIELD)
#undef FIELD
    puts ("}");
}

/* ---- running ----------------------------------------------------------------------------------
 */

static void write_line (void *context, uint64_t now_ns, const char *who, const char *line)
{
    fprintf (context, "%12.6f %-6s %s\n", (double)now_ns / 1e9, who, line);
}

static FILE *open_trace (const char *path)
{
    FILE *trace = !strcmp (path, "-") ? stdout : fopen (path, "w");
    if (!trace) {
        fprintf (stderr, "peer-sim: %s: %s\n", path, strerror (errno));
        exit (EXIT_USAGE);
    }
    return trace;
}

static void print_reason (uint64_t seed, const pxi_world_report *report)
{
    fprintf (stderr, "seed %llu: %s: %s\n", (unsigned long long)seed,
             report->verdict == PXI_VERDICT_STUCK ? "stuck" : "broken", report->why);
}

static void print_replay (const options_t *options, uint64_t seed, const char *keep, char **argv)
{
    if (options->swarm) {
        fprintf (stderr, "replay: peer-sim --swarm --seed %llu%s%s%s --trace -\n",
                 (unsigned long long)seed, keep ? " --keep " : "", keep ? keep : "",
                 options->wrong == PXI_WRONG_RESULT ? " --wrong result"
                 : options->wrong                   ? " --wrong hang"
                                                    : "");
        return;
    }
    fputs ("replay:", stderr);
    for (char **word = argv; *word; word++)
        fprintf (stderr, " %s", *word);
    fprintf (stderr, " --seed %llu --trace -\n", (unsigned long long)seed);
}

typedef struct shown { /* the progress line of one world */
    uint64_t from_ns, shown_ns, events_then;
    uint32_t n_jobs;
} shown_t;

/* "\r" and not a new line: it is one line, on a terminal. */
static void show_world (void *context, const pxi_world_progress *progress)
{
    shown_t *shown = context;
    uint64_t now_ns = pxi_clock_ns ();
    uint64_t since_ns = shown->shown_ns ? shown->shown_ns : shown->from_ns;
    if (shown->shown_ns && now_ns - since_ns < PROGRESS_NS)
        return;
    double passed_s = (double)(now_ns - since_ns) / 1e9;
    double events_per_s = (double)(progress->n_events - shown->events_then) / passed_s;
    shown->shown_ns = now_ns;
    shown->events_then = progress->n_events;
    fprintf (stderr, "\r%.1f s: %llu events, %.0f per second, %u of %u jobs over, %.0f s passed ",
             (double)progress->now_ns / 1e9, (unsigned long long)progress->n_events, events_per_s,
             progress->n_jobs_over, shown->n_jobs, (double)(now_ns - shown->from_ns) / 1e9);
}

static void run (const options_t *options, pxi_world_config config, FILE *trace,
                 pxi_world_report *report)
{
    carrier_t carrier = {0};
    config.sink = trace ? write_line : NULL;
    config.sink_context = trace;
    config.network_lines = options->messages;
    config.unchecked = options->unchecked;
    config.wrong = options->wrong;
    if (config.damage_ppm) {
        config.carry = carrier_carry;
        config.carry_context = &carrier;
    }
    uint64_t now_ns = pxi_clock_ns ();
    shown_t shown = {.from_ns = now_ns, .n_jobs = config.n_jobs};
    bool show = options->seed == options->last_seed && !options->shrink && isatty (STDERR_FILENO);
    config.progress = show ? show_world : NULL;
    config.progress_context = &shown;
    pxi_world *world = pxi_world_new (&config);
    if (!world) {
        fputs ("peer-sim: out of memory, or the tree is larger than 100 million tasks\n", stderr);
        exit (EXIT_USAGE);
    }
    pxi_world_play (world, &interrupted, report);
    if (shown.shown_ns)
        fputs ("\r\033[K", stderr);
    pxi_world_free (&world);
    carrier_fini (&carrier);
}

/* ---- shrinking -------------------------------------------------------------------------------- */

typedef struct suspect {
    const options_t *options;
    uint64_t seed;
    const char *kept; /* by --keep; NULL = all */
    pxi_verdict verdict;
    char invariant[32];
    pxi_world_report report;
} suspect_t;

/* The word that names it: "at 1.5 s, w3: slots: ..." -> "slots". */
static void invariant_of (const pxi_world_report *report, char *name, size_t size)
{
    const char *at = strstr (report->why, ": ");
    snprintf (name, size, "%.*s", at ? (int)strcspn (at + 2, ":\n") : 0, at ? at + 2 : "");
}

/* Ends the program where the text is wrong. */
static void keep_of (const pxi_swarm *swarm, const char *text, uint8_t *keep)
{
    const char *wrong_at;
    memset (keep, 1, pxi_swarm_n_units (swarm));
    if (!text || pxi_swarm_keep_parse (swarm, text, keep, &wrong_at))
        return;
    free (keep);
    wrong ("--keep", wrong_at, "a fault of this world by number, or a part of it: see --verbose");
}

static bool still_fails (void *context, const uint8_t *keep)
{
    suspect_t *suspect = context;
    char invariant[sizeof suspect->invariant];
    pxi_swarm swarm;
    pxi_swarm_draw (&swarm, suspect->seed);
    pxi_swarm_keep (&swarm, keep);
    run (suspect->options, swarm.config, NULL, &suspect->report);
    pxi_swarm_fini (&swarm);
    invariant_of (&suspect->report, invariant, sizeof invariant);
    return !interrupted && suspect->report.verdict == suspect->verdict &&
           (suspect->verdict == PXI_VERDICT_STUCK || !strcmp (invariant, suspect->invariant));
}

static void shrink (const options_t *options, uint64_t seed, const pxi_world_report *report,
                    char **argv)
{
    suspect_t *suspect = array (1, sizeof *suspect);
    *suspect = (suspect_t){.options = options, .seed = seed, .verdict = report->verdict};
    invariant_of (report, suspect->invariant, sizeof suspect->invariant);
    pxi_swarm swarm;
    pxi_swarm_draw (&swarm, seed);
    uint32_t n = pxi_swarm_n_units (&swarm), n_left = 0, n_before = 0;
    uint8_t *keep = array (n, 1);
    keep_of (&swarm, options->keep, keep);
    for (uint32_t i = 0; i < n; i++)
        n_before += keep[i];
    uint32_t n_runs = pxi_shrink (keep, n, SHRINK_RUNS_MAX, still_fails, suspect);
    for (uint32_t i = 0; i < n; i++)
        n_left += keep[i];
    char *text = array (1, KEEP_SIZE);
    pxi_swarm_keep_print (&swarm, keep, text, KEEP_SIZE);
    fprintf (stderr, "shrunk from %u faults and parts to %u, in %u runs\n", n_before, n_left,
             n_runs);
    if (still_fails (suspect, keep))
        print_reason (seed, &suspect->report);
    print_replay (options, seed, text, argv);
    pxi_swarm_fini (&swarm);
    free (text);
    free (keep);
    free (suspect);
}

/* ---- one world -------------------------------------------------------------------------------- */

static void print_drawn (uint64_t seed, const pxi_swarm *swarm)
{
    char line[256];
    pxi_swarm_print (swarm, line, sizeof line);
    printf ("seed %llu: %s\n", (unsigned long long)seed, line);
    for (uint32_t i = 0; i < swarm->config.n_faults; i++) {
        const pxi_fault *fault = &swarm->faults[i];
        printf ("  %3u at %9.6f s %-10s %s%u for %llu ms\n", i + 1, (double)fault->at_ns / 1e9,
                pxi_fault_name (fault->kind), fault->kind == PXI_FAULT_CANCEL ? "j" : "w",
                fault->peer + 1, (unsigned long long)(fault->duration_ns / PXI_MS));
    }
}

static void draw (const options_t *options, uint64_t seed, pxi_swarm *swarm)
{
    pxi_swarm_draw (swarm, seed);
    if (options->verbose && !options->json)
        print_drawn (seed, swarm);
    uint8_t *keep = array (pxi_swarm_n_units (swarm), 1);
    keep_of (swarm, options->keep, keep);
    pxi_swarm_keep (swarm, keep);
    free (keep);
}

/* True: fine. */
static bool play (const options_t *options, uint64_t seed, FILE *trace, char **argv)
{
    pxi_swarm swarm = {0};
    described_t described = {0};
    if (options->swarm)
        draw (options, seed, &swarm);
    else
        describe (&described, options, seed);
    const pxi_world_config *config = options->swarm ? &swarm.config : &described.config;
    uint64_t from_ns = pxi_clock_ns ();
    pxi_world_report report;
    run (options, *config, trace, &report);
    figures_t figures = figures_of (&report, config, (double)(pxi_clock_ns () - from_ns) / 1e9);
    bool fine = report.verdict == PXI_VERDICT_FINE;
    if (options->json)
        print_json (seed, &report, &figures);
    else if (options->seed == options->last_seed || options->verbose)
        print_text (&report, &figures, options->verbose);
    if (!fine)
        print_reason (seed, &report);
    if (!fine && options->swarm && options->shrink)
        shrink (options, seed, &report, argv);
    else if (!fine)
        print_replay (options, seed, options->keep, argv);
    pxi_swarm_fini (&swarm);
    free (described.peers);
    free (described.jobs);
    free (described.faults);
    return fine;
}

/* ---- tuning ----------------------------------------------------------------------------------- */

static bool run_tuned (void *context, const uint32_t *numbers, uint64_t seed,
                       pxi_world_report *report)
{
    const options_t *options = context;
    described_t described = {0};
    describe (&described, options, seed);
    for (uint32_t i = 0; i < described.config.n_jobs; i++) {
        pxi_tree *tree = &described.jobs[i].tree;
        memcpy (tree->numbers, numbers, options->tune * sizeof *numbers);
        tree->n_numbers = options->tune;
        tree->numbers_by_level = true;
    }
    run (options, described.config, NULL, report);
    if (report->verdict != PXI_VERDICT_FINE)
        print_reason (seed, report);
    free (described.peers);
    free (described.jobs);
    free (described.faults);
    return report->verdict == PXI_VERDICT_FINE && !interrupted;
}

static int tune (options_t *options)
{
    enum { STANDARD = 64 }; /* of who says nothing: px_peer_options */
    uint64_t workers = (uint64_t)(options->peers - 1) * options->slots;
    uint32_t high = workers < PXI_NUMBER_MAX ? (uint32_t)workers : PXI_NUMBER_MAX;
    uint32_t number = options->number < PXI_NUMBER_MAX ? options->number : STANDARD;
    const simulated_t simulated = {.n_points = options->tune,
                                   .high = high,
                                   .standard = number < high ? number : high,
                                   .seed = options->seed,
                                   .json = options->json,
                                   .run = run_tuned,
                                   .context = options};
    if (options->swarm || options->load_percent)
        wrong ("--tune", options->swarm ? "--swarm" : "--load", "for it: it tunes one tree");
    bool fine = simulated_tune (&simulated);
    return interrupted ? EXIT_INTERRUPTED : fine ? EXIT_FINE : EXIT_BROKEN;
}

static void on_interrupt (int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static void show_progress (const options_t *options, uint64_t done, uint64_t failed)
{
    if (options->seed == options->last_seed || !isatty (STDERR_FILENO))
        return;
    fprintf (stderr, "\r%llu of %llu worlds, %llu failed ", (unsigned long long)done,
             (unsigned long long)(options->last_seed - options->seed + 1),
             (unsigned long long)failed);
}

int main (int argc, char **argv)
{
    options_t options = {
        .seed = 1,
        .last_seed = 1,
        .peers = 4,
        .slots = 2,
        .jobs = 1,
        .number = PXI_NUMBER_MAX,
        .rtt_us = 1000,
        .for_s = 3600,
        .mean_ms = 5000,
        .tree = tree_default (),
    };
    parse_options (&options, argc, argv);
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction (SIGINT, &action, NULL);
    if (options.tune)
        return tune (&options);
    FILE *trace = options.trace ? open_trace (options.trace) : NULL;
    uint64_t n_done = 0, n_failed = 0;
    for (uint64_t seed = options.seed; seed <= options.last_seed && !interrupted; seed++) {
        n_failed += !play (&options, seed, trace, argv);
        show_progress (&options, ++n_done, n_failed);
        if (seed == UINT64_MAX)
            break;
    }
    if (options.seed != options.last_seed && !options.json)
        printf ("%s%llu worlds, %llu failed\n", isatty (STDERR_FILENO) ? "\n" : "",
                (unsigned long long)n_done, (unsigned long long)n_failed);
    if (trace && trace != stdout)
        fclose (trace);
    if (interrupted)
        return EXIT_INTERRUPTED;
    return n_failed ? EXIT_BROKEN : EXIT_FINE;
}
