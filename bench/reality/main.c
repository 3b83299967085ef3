/* reality: one tree on real peers of this host, or on virtual ones; a JSON object per run on standard
 * output. bench/reality.py runs both and compares. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/options.h"
#include "common/tree.h"
#include "core/limits.h"
#include "reality/reality.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, NODES_MAX = 1000000 };
#define FROZEN_NS (3600 * PXI_SECOND)

struct settings {
    uint64_t peers, slots, seed, worlds, victim, at_ms, detect_ms, rtt_us, notice_us;
    const char *tree, *fault, *trace;
};

#define AT(member) offsetof (struct settings, member)
static const option_entry ENTRIES[] = {
    {"peers", OPTION_NUMBER, AT (peers), "N", "peers (4); the first one has the root", 2,
     REALITY_PEERS_MAX},
    {"slots", OPTION_NUMBER, AT (slots), "N", "slots of each (1)", 1, 64},
    {"tree", OPTION_TEXT, AT (tree), "SPEC",
     "what the job computes (split:work=8s,leaf=10ms,parts=2):\nas peer-sim --tree", 0, 0},
    {"seed", OPTION_NUMBER, AT (seed), "S", "of the tree, and of every peer's choices (1)", 0,
     1 << 30},
    {"fault", OPTION_TEXT, AT (fault), "WHAT", "none, killed or frozen (none)", 0, 0},
    {"victim", OPTION_NUMBER, AT (victim), "N", "the peer that it befalls (2)", 2,
     REALITY_PEERS_MAX},
    {"at-ms", OPTION_NUMBER, AT (at_ms), "MS", "after the job's submission (500)", 0, 1000000},
    {"detect-ms", OPTION_NUMBER, AT (detect_ms), "MS", "a silent peer is given up (2500)", 60,
     600000},
    {"worlds", OPTION_NUMBER, AT (worlds), "N",
     "run on virtual peers, in N worlds of different seeds;\notherwise on real ones", 1, 1000},
    {"rtt-us", OPTION_NUMBER, AT (rtt_us), "US", "virtual: round trip between peers (200)", 0,
     1000000},
    {"notice-us", OPTION_NUMBER, AT (notice_us), "US",
     "virtual: an executor's notice is late by up to this (100)", 0, 1000000},
    {"trace", OPTION_TEXT, AT (trace), "FILE", "every decision of every peer, as peer-sim --trace",
     0, 0},
};

static const option_table TABLE = {
    .program = "reality",
    .usage = "[OPTION]...",
    .purpose =
        "Run one tree of src/sim/workload on real peers, whose tasks sleep, or on virtual ones.",
    .entries = ENTRIES,
    .n_entries = sizeof ENTRIES / sizeof *ENTRIES,
    .epilogue = "Exit codes: 0 done, and the answer was right; 1 it was not; 2 wrong options.\n",
};

static bool complain (const char *option, const char *why)
{
    fprintf (stderr, "reality: %s%s\n", option, why);
    return false;
}

static bool set_fault (const struct settings *settings, reality_plan *plan)
{
    const char *name = settings->fault ? settings->fault : "none";
    if (strcmp (name, "none") != 0 && strcmp (name, "killed") != 0 && strcmp (name, "frozen") != 0)
        return complain ("--fault: none, killed or frozen, not ", name);
    if (settings->victim > plan->n_peers)
        return complain ("--victim: ", "there are fewer peers");
    plan->faulty = strcmp (name, "none") != 0;
    plan->fault =
        (pxi_fault){.at_ns = settings->at_ms * PXI_MS, .peer = (uint32_t)settings->victim - 1};
    plan->fault.kind = PXI_FAULT_CRASH;
    if (!strcmp (name, "frozen")) {
        plan->fault.kind = PXI_FAULT_PAUSE;
        plan->fault.duration_ns = FROZEN_NS;
    }
    return true;
}

static bool make_plan (const struct settings *settings, reality_plan *plan)
{
    char why[TREE_WHY_SIZE];
    *plan = (reality_plan){
        .n_peers = (uint32_t)settings->peers,
        .slots = (uint32_t)settings->slots,
        .seed = settings->seed,
        .tree = tree_default (),
        .detect_ns = settings->detect_ms * PXI_MS,
        .way_ns = settings->rtt_us * 500,
        .notice_ns = settings->notice_us * 1000,
        .trace = settings->trace,
    };
    if (settings->tree && !tree_parse (settings->tree, &plan->tree, why))
        return complain ("--tree: ", why);
    plan->tree.seed = pxi_mix64 (plan->seed);
    plan->tree.size_min = plan->tree.size_max = sizeof (reality_input);
    if (!pxi_workload_serial (&plan->tree, NODES_MAX, 0, &plan->serial))
        return complain ("--tree: ", "more than a million tasks");
    return set_fault (settings, plan);
}

void reality_add_stats (px_stats *sum, const px_stats *more)
{
#define ADD(name, text) sum->name += more->name;
    PX_STATS (ADD)
#undef ADD
}

void reality_trace_line (FILE *to, uint64_t ns, const char *who, const char *line)
{
    fprintf (to, "%12.6f %-6s %s\n", (double)ns / 1e9, who, line);
    fflush (to); /* several processes write to it, a line at a time */
}

static void print (const reality_plan *plan, const char *what, const reality_outcome *outcome)
{
    const pxi_serial *serial = &plan->serial;
    printf ("{\"what\":\"%s\",\"seed\":%" PRIu64 ",\"tasks\":%" PRIu64 ",\"work_s\":%.6f,"
            "\"critical_s\":%.6f,\"hash\":\"%016" PRIx64 "\",\"rtt_us\":%.1f,"
            "\"makespan_s\":%.6f",
            what, plan->seed, serial->n_nodes, (double)serial->work_ns / 1e9,
            (double)serial->critical_ns / 1e9, outcome->hash, (double)outcome->rtt_ns / 1e3,
            (double)outcome->makespan_ns / 1e9);
#define FIELD(name, text) printf (",\"%s\":%" PRIu64, #name, outcome->stats.name);
    PX_STATS (FIELD)
#undef FIELD
    puts ("}");
    fflush (stdout);
}

static bool run (const reality_plan *plan, uint64_t n_worlds)
{
    char why[REALITY_WHY_SIZE] = "";
    reality_outcome outcome;
    for (uint64_t i = 0; i < (n_worlds ? n_worlds : 1); i++) {
        bool done = n_worlds ? reality_predict (plan, pxi_mix64 (plan->seed) + i, &outcome, why)
                             : reality_measure (plan, &outcome, why);
        if (!done)
            return complain ("", why);
        print (plan, n_worlds ? "predicted" : "measured", &outcome);
    }
    return true;
}

int main (int argc, char **argv)
{
    struct settings settings = {.peers = 4,
                                .slots = 1,
                                .seed = 1,
                                .victim = 2,
                                .at_ms = 500,
                                .detect_ms = 2500,
                                .rtt_us = 200,
                                .notice_us = 100};
    reality_plan plan;
    int first;
    options_end end = options_parse (&TABLE, argc, argv, false, &settings, &first);
    if (end != OPTIONS_RUN)
        return end == OPTIONS_SHOWN ? EXIT_DONE : EXIT_USAGE;
    if (first < argc)
        complain ("unexpected argument ", argv[first]);
    if (first < argc || !make_plan (&settings, &plan))
        return EXIT_USAGE;
    return run (&plan, settings.worlds) ? EXIT_DONE : EXIT_FAILED;
}
