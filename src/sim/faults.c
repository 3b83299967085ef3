/* Durations are drawn evenly over their orders of magnitude: what finds errors is a pause just over a
 * limit, wherever that is. */
#include "sim/faults.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/limits.h"

const char *pxi_fault_name (pxi_fault_kind kind)
{
    static const char *const names[] = {
#define NAME(name, text) [PXI_FAULT_##name] = text,
        PXI_FAULTS (NAME)
#undef NAME
    };
    return names[kind];
}

bool pxi_fault_by_name (const char *name, pxi_fault_kind *kind)
{
    for (uint32_t i = 0; i < PXI_FAULT_KINDS; i++) {
        if (!strcmp (name, pxi_fault_name ((pxi_fault_kind)i))) {
            *kind = (pxi_fault_kind)i;
            return true;
        }
    }
    return false;
}

/* Between low and high, each doubling as likely as the next. */
static uint64_t spread_ns (pxi_prng *prng, uint64_t low_ns, uint64_t high_ns)
{
    uint32_t n_doublings = 0;
    while (n_doublings < 40 && low_ns << (n_doublings + 1) <= high_ns)
        n_doublings++;
    uint64_t from_ns = low_ns << pxi_prng_between (prng, 0, n_doublings);
    uint64_t drawn_ns = pxi_prng_between (prng, from_ns, 2 * from_ns - 1);
    return drawn_ns < high_ns ? drawn_ns : high_ns;
}

static uint32_t victim (pxi_prng *prng, uint32_t n_peers, const uint8_t *spared)
{
    for (uint32_t draw = 0; draw < 64; draw++) {
        uint32_t peer = (uint32_t)pxi_prng_below (prng, n_peers);
        if (!spared[peer])
            return peer;
    }
    return UINT32_MAX;
}

static bool is_deadly (pxi_fault_kind kind)
{
    return kind == PXI_FAULT_CRASH || kind == PXI_FAULT_DRAIN || kind == PXI_FAULT_DIE;
}

static bool draw_one (const pxi_fault_rates *rates, pxi_fault_kind kind, uint32_t n_peers,
                      uint32_t n_jobs, const uint8_t *spared, pxi_prng *prng, pxi_fault *fault)
{
    *fault = (pxi_fault){.kind = kind, .at_ns = pxi_prng_below (prng, rates->until_ns + 1)};
    fault->way = (uint32_t)pxi_prng_below (prng, 3);
    fault->factor = (uint32_t)pxi_prng_between (prng, 2, 20);
    if (kind == PXI_FAULT_CANCEL) {
        fault->peer = (uint32_t)pxi_prng_below (prng, n_jobs);
        return true;
    }
    fault->peer = is_deadly (kind) ? victim (prng, n_peers, spared)
                                   : (uint32_t)pxi_prng_below (prng, n_peers);
    uint64_t max_ns = kind == PXI_FAULT_CRASH || kind == PXI_FAULT_DRAIN ? rates->down_max_ns
                                                                         : rates->pause_max_ns;
    uint64_t min_ns = kind == PXI_FAULT_CRASH ? rates->down_min_ns : 10 * PXI_MS;
    fault->duration_ns = spread_ns (prng, min_ns, max_ns);
    if (kind == PXI_FAULT_CRASH && pxi_prng_chance (prng, 300000))
        fault->duration_ns = 0;
    return fault->peer != UINT32_MAX;
}

static int by_time (const void *a, const void *b)
{
    const pxi_fault *x = a, *y = b;
    if (x->at_ns != y->at_ns)
        return x->at_ns > y->at_ns ? 1 : -1;
    if (x->kind != y->kind)
        return x->kind > y->kind ? 1 : -1;
    return (x->peer > y->peer) - (x->peer < y->peer);
}

pxi_fault *pxi_faults_draw (const pxi_fault_rates *rates, uint32_t n_peers, uint32_t n_jobs,
                            const uint8_t *spared, uint64_t seed, uint32_t *n_faults)
{
    uint32_t n_max = 1, n = 0;
    for (uint32_t kind = 0; kind < PXI_FAULT_KINDS; kind++)
        n_max += rates->n[kind];
    pxi_fault *faults = calloc (n_max, sizeof *faults);
    PXI_ASSERT (faults);
    for (uint32_t kind = 0; kind < PXI_FAULT_KINDS; kind++) {
        pxi_prng prng; /* one per kind: leaving one out changes no other */
        pxi_prng_init (&prng, pxi_mix64 (seed + kind));
        for (uint32_t i = 0; i < rates->n[kind]; i++)
            n += draw_one (rates, (pxi_fault_kind)kind, n_peers, n_jobs, spared, &prng, &faults[n]);
    }
    qsort (faults, n, sizeof *faults, by_time);
    *n_faults = n;
    return faults;
}
