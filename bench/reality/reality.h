/* One tree, twice: predicted by src/sim, measured on real peers of this program. */
#ifndef BENCH_REALITY_H
#define BENCH_REALITY_H

#include <peerexec/peerexec.h>
#include <stdio.h>

#include "sim/faults.h"
#include "sim/workload.h"

enum {
    REALITY_PEERS_MAX = 64,
    REALITY_WHY_SIZE = 512,
    REALITY_ROOT = 0 /* index of the root's peer */
};

typedef struct reality_plan {
    uint32_t n_peers, slots;
    uint64_t seed;
    pxi_tree tree;
    pxi_serial serial; /* the answer */
    bool faulty;
    pxi_fault fault; /* at_ns counts from the job's submission */
    uint64_t detect_ns;
    uint64_t way_ns, notice_ns; /* of the virtual network and executors */
    const char *trace;          /* file that gets every decision; NULL = none */
} reality_plan;

/* Messages are those about work, of peers while they live and run. */
typedef struct reality_outcome {
    uint64_t makespan_ns, hash, rtt_ns;
    px_stats stats; /* sums over all peers */
} reality_outcome;

/* What a peer's task gets. The tree goes with the node, so that a task is a function of its input alone. */
typedef struct reality_input {
    pxi_tree tree;
    pxi_node node;
} reality_input;

#define REALITY_TASK "reality.walk"

/* The world with this seed. False: `why`. */
bool reality_predict (const reality_plan *plan, uint64_t world_seed, reality_outcome *outcome,
                      char why[REALITY_WHY_SIZE]);
/* A process for each peer; all have ended when it returns. Called while there is one thread. */
bool reality_measure (const reality_plan *plan, reality_outcome *outcome,
                      char why[REALITY_WHY_SIZE]);

void reality_add_stats (px_stats *sum, const px_stats *more);
void reality_trace_line (FILE *to, uint64_t ns, const char *who, const char *line);

#endif
