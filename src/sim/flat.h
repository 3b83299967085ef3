/* The core that ships, on a stream of flat jobs: what the rivals of sim/rivals do, done by virtual peers.
 *
 * Each job is a loop of n tasks whose times the stream gives, submitted at the stream's home for it. The
 * same stream shown to a rival and to this is compared job by job. */
#ifndef PXI_SIM_FLAT_H
#define PXI_SIM_FLAT_H

#include "sim/rivals/stream.h"
#include "sim/world.h"

typedef struct pxi_flat_config {
    const pxi_stream *stream; /* its peers and slots are the cluster's */
    uint64_t hop_ns, seed;
    uint64_t from_ns; /* measured: jobs that arrive after it, among the first n_measured */
    uint32_t n_measured;
    uint32_t view;        /* peers that each one knows at most, and is told of at the beginning */
    pxi_core_config core; /* whose features may be off */
    bool checked;         /* with the invariants of the simulator, at their price */
    pxi_world_sink *sink; /* NULL = no trace */
    void *sink_context;
} pxi_flat_config;

#define PXI_FLAT_UNMEASURED UINT64_MAX

typedef struct pxi_flat_report {
    uint32_t n_jobs;    /* measured and over */
    uint32_t n_stuck;   /* measured and not over when the world ended: something is wrong */
    uint64_t n_tasks;   /* started, of all jobs, again ones included */
    uint64_t n_work;    /* messages about work */
    uint64_t n_members; /* and about who is there */
    pxi_world_report world;
} pxi_flat_report;

/* `delays_ns`, one per job of the stream: from arrival to end, less its longest task. False: out of memory,
 * or the world broke: report->world says how. */
bool pxi_flat_run (const pxi_flat_config *config, uint64_t *delays_ns, pxi_flat_report *report);

#endif
