/* Laws that are exact in double arithmetic draw without the C library's functions; Pareto and lognormal
 * use them: figures may differ in a last bit between C libraries there, and no test compares those. */
#include "sim/rivals/stream.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/prng.h"

#define ARRIVALS UINT64_C (0x6172726976616c73)
#define HOMES UINT64_C (0x686f6d6573)
#define GOLDEN UINT64_C (0x9e3779b97f4a7c15)
#define PARETO_INDEX 1.5
#define TWO_PI 6.283185307179586

static const char *const law_names[PXI_STREAM_LAWS] = {
    "exp-jobs", "exponential", "shifted", "pareto", "lognormal", "uniform", "constant"};

const char *pxi_stream_law_name (pxi_stream_law law)
{
    PXI_ASSERT (law < PXI_STREAM_LAWS);
    return law_names[law];
}

bool pxi_stream_law_by_name (const char *name, pxi_stream_law *law)
{
    for (uint32_t i = 0; i < PXI_STREAM_LAWS; i++) {
        if (strcmp (name, law_names[i]) != 0)
            continue;
        *law = (pxi_stream_law)i;
        return true;
    }
    return false;
}

bool pxi_stream_init (pxi_stream *stream, const pxi_stream_config *config)
{
    PXI_ASSERT (config->load > 0);
    PXI_ASSERT (config->n_peers > 0 && config->slots > 0);
    *stream = (pxi_stream){.config = *config};
    stream->at_ns = calloc (config->n_jobs ? config->n_jobs : 1, sizeof *stream->at_ns);
    if (!stream->at_ns)
        return false;
    double slots_used = config->load * config->n_peers * config->slots;
    double between_ns = (double)config->mean_ns * config->n_tasks / slots_used, at_ns = 0;
    pxi_prng prng;
    pxi_prng_init (&prng, pxi_mix64 (config->seed ^ ARRIVALS));
    for (uint32_t i = 0; i < config->n_jobs; i++) {
        at_ns += pxi_prng_exponential (&prng, between_ns);
        stream->at_ns[i] = (uint64_t)at_ns;
    }
    return true;
}

void pxi_stream_fini (pxi_stream *stream)
{
    free (stream->at_ns);
    stream->at_ns = NULL;
}

static double normal (pxi_prng *prng) /* Box and Muller, 1958 */
{
    double radius = sqrt (-2 * log (1 - pxi_prng_double (prng)));
    return radius * cos (TWO_PI * pxi_prng_double (prng));
}

double pxi_stream_draw (pxi_stream_law law, pxi_prng *prng, double mean)
{
    switch (law) {
    case PXI_STREAM_JOBS:
    case PXI_STREAM_EXPONENTIAL:
        return pxi_prng_exponential (prng, mean);
    case PXI_STREAM_SHIFTED:
        return mean / 2 + pxi_prng_exponential (prng, mean / 2);
    case PXI_STREAM_PARETO:
        return mean * (1 - 1 / PARETO_INDEX) * pow (1 - pxi_prng_double (prng), -1 / PARETO_INDEX);
    case PXI_STREAM_LOGNORMAL:
        return mean * exp (normal (prng) - 0.5);
    case PXI_STREAM_UNIFORM:
        return mean * (0.5 + pxi_prng_double (prng));
    case PXI_STREAM_CONSTANT:
    case PXI_STREAM_LAWS:
        break;
    }
    return mean;
}

uint64_t pxi_stream_run_ns (const pxi_stream *stream, uint32_t job, uint32_t task)
{
    const pxi_stream_config *config = &stream->config;
    uint32_t drawn = config->law == PXI_STREAM_JOBS ? 0 : task;
    pxi_prng prng;
    pxi_prng_init (&prng, pxi_mix64 (config->seed + GOLDEN * (job + 1)) + drawn);
    return (uint64_t)pxi_stream_draw (config->law, &prng, (double)config->mean_ns);
}

uint64_t pxi_stream_longest_ns (const pxi_stream *stream, uint32_t job)
{
    uint64_t longest_ns = 0;
    uint32_t n = stream->config.law == PXI_STREAM_JOBS ? 1 : stream->config.n_tasks;
    for (uint32_t task = 0; task < n; task++) {
        uint64_t run_ns = pxi_stream_run_ns (stream, job, task);
        longest_ns = run_ns > longest_ns ? run_ns : longest_ns;
    }
    return longest_ns;
}

uint32_t pxi_stream_home (const pxi_stream *stream, uint32_t job)
{
    pxi_prng prng;
    pxi_prng_init (&prng, pxi_mix64 ((stream->config.seed ^ HOMES) + GOLDEN * (job + 1)));
    return (uint32_t)pxi_prng_below (&prng, stream->config.n_peers);
}
