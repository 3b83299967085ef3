/* The schedulers that experts know, simulated: who runs which task of a stream of flat jobs, and when.
 *
 * Peers have slots and a queue; a message takes one hop; nothing fails. A run is given by its
 * configuration: the same one gives the same run. One thread; no globals.
 *
 * After Ousterhout, Wendell, Zaharia, Stoica, "Sparrow: Distributed, Low Latency Scheduling" (2013) and
 * the simulator published with it (random, two choices per task, batch sampling, late binding with and
 * without cancelling, the central queue); work stealing after Blumofe and Leiserson, by one or by half,
 * with a back-off of full jitter. */
#ifndef PXI_SIM_RIVALS_RIVALS_H
#define PXI_SIM_RIVALS_RIVALS_H

#include "sim/rivals/stream.h"

typedef enum pxi_rival_kind {
    PXI_RIVAL_CENTRAL, /* one queue that knows every slot: an oracle, one hop away */
    PXI_RIVAL_RANDOM,  /* each task to a random peer's queue */
    PXI_RIVAL_PAIRS,   /* each task to the shorter of two random queues */
    PXI_RIVAL_BATCH,   /* a job's n tasks to the n shortest of `ratio` n random queues */
    PXI_RIVAL_LATE,    /* `ratio` n reservations; a task is bound when a slot asks for it */
    PXI_RIVAL_CANCEL,  /* the same, and what is left is cancelled after the last task */
    PXI_RIVAL_ASK,     /* each task to a random peer; one that is full sends it back, to another */
    PXI_RIVAL_STEAL_ONE,  /* jobs wait at home; idle peers ask random ones for the oldest task */
    PXI_RIVAL_STEAL_HALF, /* or for half of them */
    PXI_RIVAL_KINDS
} pxi_rival_kind;

typedef void pxi_rival_started (void *context, uint64_t now_ns, uint32_t peer, uint32_t job,
                                uint32_t task);

typedef struct pxi_rival_config {
    const pxi_stream *stream; /* its peers and slots are the cluster's */
    pxi_rival_kind kind;
    double ratio; /* probes per task, of BATCH, LATE and CANCEL; >= 1 */
    uint64_t hop_ns;
    uint64_t seed;    /* of what the scheduler draws */
    bool results_hop; /* a task is over when its result is at home, not where it ran */
    /* Measured are the jobs that arrive after from_ns: the first n_measured of the stream; or, as Sparrow's
     * simulator does it, whichever are placed when placed_max are (then n_measured does not count). */
    uint64_t from_ns;
    uint32_t n_measured, placed_max;
    pxi_rival_started *started; /* for tests; may be NULL */
    void *context;
} pxi_rival_config;

#define PXI_RIVAL_UNMEASURED UINT64_MAX

typedef struct pxi_rival_report {
    uint32_t n_jobs; /* measured */
    double load;     /* of these */
    /* Of the whole run: */
    uint64_t n_started, n_messages, n_probes, n_refused; /* refused: asked, and was full */
    uint64_t now_ns, n_events;
    uint64_t used_ns; /* slot time that tasks took */
    uint32_t n_queued, n_held,
        n_under; /* left over: tasks or reservations that wait; slots kept for an
                                           answer; slots in use */
} pxi_rival_report;

/* `delays_ns`, one per job of the stream: from arrival to end, less its longest task. False: out of
 * memory. */
bool pxi_rival_run (const pxi_rival_config *config, uint64_t *delays_ns, pxi_rival_report *report);

#endif
