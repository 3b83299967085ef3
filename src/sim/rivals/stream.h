/* What a cluster is asked to do over time, drawn once and shown to every scheduler alike: flat jobs of n
 * tasks that arrive as a Poisson process, and how long each task runs.
 *
 * Arrivals, run times and homes come from generators of their own, so that nothing a scheduler draws can
 * change them: what two schedulers do with a stream may be compared job by job. A run time follows from
 * (seed, job, task) alone, so no table of them is kept, and a stream is the same at any load but for the
 * scale of its arrivals. Read-only once made. */
#ifndef PXI_SIM_RIVALS_STREAM_H
#define PXI_SIM_RIVALS_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/prng.h"

typedef enum pxi_stream_law {
    PXI_STREAM_JOBS,        /* exponential; one draw for all tasks of a job */
    PXI_STREAM_EXPONENTIAL, /* of each task, as are those that follow */
    PXI_STREAM_SHIFTED,     /* half of it constant, half exponential */
    PXI_STREAM_PARETO,      /* tail index 1.5 */
    PXI_STREAM_LOGNORMAL,   /* sigma 1 */
    PXI_STREAM_UNIFORM,     /* half to one and a half means */
    PXI_STREAM_CONSTANT,
    PXI_STREAM_LAWS
} pxi_stream_law;

const char *pxi_stream_law_name (pxi_stream_law law);
bool pxi_stream_law_by_name (const char *name, pxi_stream_law *law);

typedef struct pxi_stream_config {
    uint64_t seed;
    uint32_t n_jobs, n_tasks; /* n_tasks: of each job */
    pxi_stream_law law;
    uint64_t mean_ns;
    uint32_t n_peers, slots;
    double load; /* of all slots; > 0 */
} pxi_stream_config;

typedef struct pxi_stream {
    pxi_stream_config config;
    uint64_t *at_ns; /* one per job, rising; owned */
} pxi_stream;

/* False: out of memory. */
bool pxi_stream_init (pxi_stream *stream, const pxi_stream_config *config);
void pxi_stream_fini (pxi_stream *stream);

/* One draw of a law. */
double pxi_stream_draw (pxi_stream_law law, pxi_prng *prng, double mean);

uint64_t pxi_stream_run_ns (const pxi_stream *stream, uint32_t job, uint32_t task);
uint64_t pxi_stream_longest_ns (const pxi_stream *stream, uint32_t job);
/* The peer that the job is submitted at, for schedulers that know such a thing. */
uint32_t pxi_stream_home (const pxi_stream *stream, uint32_t job);

#endif
