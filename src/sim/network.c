/* A link is an ordered pair of peers. Without reordering it delivers in order, as the streams of the
 * real transport do: an arrival is never earlier than the one before it on the same link. */
#include "sim/network.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { LINKS_MAX = 1 << 24 };

void pxi_network_init (pxi_network *network, const pxi_network_config *config, uint32_t n_peers,
                       uint64_t seed)
{
    *network = (pxi_network){.config = *config, .n_peers = n_peers};
    pxi_prng_init (&network->prng, seed);
    pxi_map_init (&network->last_at, LINKS_MAX, seed);
    pxi_map_init (&network->free_at, LINKS_MAX, seed);
    network->slow_out = malloc (2 * (size_t)n_peers * sizeof *network->slow_out);
    PXI_ASSERT (network->slow_out);
    network->slow_in = network->slow_out + n_peers;
    for (uint32_t i = 0; i < 2 * n_peers; i++)
        network->slow_out[i] = 1;
    bool constant = !config->extra.mean_ns || config->extra.kind == PXI_LAW_CONSTANT;
    network->uneven = !constant || config->spike_ppm || config->reorder_ppm || config->bytes_per_s;
}

void pxi_network_fini (pxi_network *network)
{
    pxi_network_calm (network);
    pxi_map_fini (&network->last_at);
    pxi_map_fini (&network->free_at);
    free (network->slow_out);
    network->slow_out = network->slow_in = NULL;
}

static uint64_t link_of (uint32_t from, uint32_t to)
{
    return (uint64_t)from << 32 | to;
}

static bool is_cut (const pxi_network *network, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < PXI_PARTITIONS_MAX; i++) {
        const pxi_partition *partition = &network->partitions[i];
        if (!partition->active || partition->side[from] == partition->side[to])
            continue;
        if (partition->side[from] ? partition->cut_out : partition->cut_in)
            return true;
    }
    return false;
}

static uint64_t delay_ns (pxi_network *network, uint32_t from, uint32_t to, uint64_t now_ns)
{
    const pxi_network_config *config = &network->config;
    uint64_t drawn_ns = config->min_ns + pxi_law_draw (&config->extra, &network->prng);
    if (pxi_prng_chance (&network->prng, config->spike_ppm)) {
        network->n_late++;
        drawn_ns += pxi_prng_below (&network->prng, config->spike_ns + 1);
    }
    if (network->spike_until_ns > now_ns)
        drawn_ns *= network->spike_factor;
    return drawn_ns * network->slow_out[from] * network->slow_in[to];
}

static uint64_t in_order (pxi_network *network, uint32_t from, uint32_t to, uint64_t at_ns)
{
    if (!network->uneven || pxi_prng_chance (&network->prng, network->config.reorder_ppm))
        return at_ns;
    uint64_t link = link_of (from, to), last_ns = 0;
    pxi_map_get (&network->last_at, link, &last_ns);
    at_ns = at_ns > last_ns ? at_ns : last_ns;
    pxi_map_put (&network->last_at, link, at_ns);
    return at_ns;
}

/* When a message has left, behind what waits for the same link; UINT64_MAX = the queue is full. One that
 * is alone is taken whatever its size. */
static uint64_t leaves_ns (pxi_network *network, uint32_t from, uint32_t to, uint64_t now_ns,
                           uint64_t size_bytes)
{
    const pxi_network_config *config = &network->config;
    if (!config->bytes_per_s)
        return now_ns;
    uint64_t link = link_of (from, to), free_ns = now_ns;
    pxi_map_get (&network->free_at, link, &free_ns);
    free_ns = free_ns > now_ns ? free_ns : now_ns;
    uint64_t waiting_bytes = (free_ns - now_ns) / 1000 * config->bytes_per_s / 1000000;
    if (waiting_bytes && config->queue_bytes && waiting_bytes + size_bytes > config->queue_bytes)
        return UINT64_MAX;
    free_ns += size_bytes * 1000000 / config->bytes_per_s * 1000 + 1;
    pxi_map_put (&network->free_at, link, free_ns);
    return free_ns;
}

pxi_route pxi_network_route (pxi_network *network, uint32_t from, uint32_t to, uint64_t now_ns,
                             uint64_t size_bytes)
{
    const pxi_network_config *config = &network->config;
    pxi_route route = {.kind = PXI_ROUTE_SENT};
    network->n_sent++;
    if (is_cut (network, from, to)) {
        network->n_cut++;
        route.kind = PXI_ROUTE_CUT;
        return route;
    }
    if (pxi_prng_chance (&network->prng, config->loss_ppm)) {
        network->n_lost++;
        route.kind = PXI_ROUTE_LOST;
        return route;
    }
    uint64_t left_ns = leaves_ns (network, from, to, now_ns, size_bytes);
    if (left_ns == UINT64_MAX) {
        network->n_full++;
        route.kind = PXI_ROUTE_FULL;
        return route;
    }
    route.at_ns[route.n++] =
        in_order (network, from, to, left_ns + delay_ns (network, from, to, now_ns));
    if (pxi_prng_chance (&network->prng, config->duplicate_ppm)) {
        network->n_duplicated++;
        route.at_ns[route.n++] =
            in_order (network, from, to, left_ns + delay_ns (network, from, to, now_ns));
    }
    return route;
}

void pxi_network_slow (pxi_network *network, uint32_t peer, bool out, bool in, uint32_t factor)
{
    PXI_ASSERT (peer < network->n_peers);
    network->uneven = true;
    if (out)
        network->slow_out[peer] = factor;
    if (in)
        network->slow_in[peer] = factor;
}

void pxi_network_spike (pxi_network *network, uint32_t factor, uint64_t until_ns)
{
    network->uneven = true;
    network->spike_factor = factor;
    network->spike_until_ns = until_ns;
}

uint32_t pxi_network_cut (pxi_network *network, const uint8_t *side, bool cut_out, bool cut_in)
{
    for (uint32_t i = 0; i < PXI_PARTITIONS_MAX; i++) {
        pxi_partition *partition = &network->partitions[i];
        if (partition->active)
            continue;
        *partition = (pxi_partition){true, cut_out, cut_in, malloc (network->n_peers)};
        PXI_ASSERT (partition->side);
        memcpy (partition->side, side, network->n_peers);
        return i;
    }
    return PXI_PARTITIONS_MAX;
}

void pxi_network_heal (pxi_network *network, uint32_t partition)
{
    if (partition >= PXI_PARTITIONS_MAX)
        return;
    free (network->partitions[partition].side);
    network->partitions[partition] = (pxi_partition){0};
}

void pxi_network_calm (pxi_network *network)
{
    for (uint32_t i = 0; i < PXI_PARTITIONS_MAX; i++)
        pxi_network_heal (network, i);
    network->config.loss_ppm = network->config.duplicate_ppm = 0;
    network->config.reorder_ppm = network->config.spike_ppm = 0;
    network->config.queue_bytes = 0;
    network->spike_until_ns = 0;
    for (uint32_t i = 0; i < 2 * network->n_peers; i++)
        network->slow_out[i] = 1;
}
