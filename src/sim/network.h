/* The virtual network: whether, when and how often a message arrives.
 *
 * Decides from its own generator, so that switching a fault of another kind on or off leaves its draws
 * alone. Messages themselves are the world's; here is only arithmetic. */
#ifndef PXI_SIM_NETWORK_H
#define PXI_SIM_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "base/prng.h"
#include "sim/workload.h"

typedef struct pxi_network_config {
    uint64_t min_ns; /* one way, always */
    pxi_law extra;   /* added to it */
    uint32_t loss_ppm, duplicate_ppm;
    uint32_t
        reorder_ppm;    /* messages that may overtake and be overtaken; the others keep the order of
                             their link, as on a stream */
    uint32_t spike_ppm; /* messages that are late by up to spike_ns */
    uint64_t spike_ns;
    /* A link carries so much, and holds so much that waits for it; 0 = any amount. More is refused, as the
       agent's bounded outbox does. */
    uint64_t bytes_per_s, queue_bytes;
} pxi_network_config;

enum { PXI_PARTITIONS_MAX = 8 };

/* Peers with `side` set against those without. Both directions, or one only. */
typedef struct pxi_partition {
    bool active, cut_out, cut_in; /* out: from the side to the rest */
    uint8_t *side;                /* one per peer */
} pxi_partition;

typedef struct pxi_network {
    pxi_network_config config;
    pxi_prng prng;
    uint32_t n_peers;
    pxi_partition partitions[PXI_PARTITIONS_MAX];
    uint32_t *slow_out, *slow_in; /* per peer: its messages take so many times as long */
    uint32_t spike_factor;        /* everybody's do until then */
    uint64_t spike_until_ns;
    bool uneven;     /* delays may differ: the order of a link has to be kept */
    pxi_map last_at; /* link -> when its latest arrives; unused while the delay is constant */
    pxi_map free_at; /* link -> when what waits for it has gone; unused without a rate */
    uint64_t n_sent, n_lost, n_cut, n_full, n_duplicated, n_late;
} pxi_network;

void pxi_network_init (pxi_network *network, const pxi_network_config *config, uint32_t n_peers,
                       uint64_t seed);
void pxi_network_fini (pxi_network *network);

typedef enum pxi_route_kind {
    PXI_ROUTE_SENT,
    PXI_ROUTE_LOST,
    PXI_ROUTE_CUT,
    PXI_ROUTE_FULL, /* its sender knows */
} pxi_route_kind;

typedef struct pxi_route {
    pxi_route_kind kind;
    uint32_t n;        /* copies */
    uint64_t at_ns[2]; /* of their arrivals */
} pxi_route;

pxi_route pxi_network_route (pxi_network *network, uint32_t from, uint32_t to, uint64_t now_ns,
                             uint64_t size_bytes);
/* From now on messages from (out) or to (in) this peer take `factor` times as long; 1 = as usual. */
void pxi_network_slow (pxi_network *network, uint32_t peer, bool out, bool in, uint32_t factor);
void pxi_network_spike (pxi_network *network, uint32_t factor, uint64_t until_ns);

/* Cut off `side` (n_peers bytes, copied). Returns its number; PXI_PARTITIONS_MAX = too many. */
uint32_t pxi_network_cut (pxi_network *network, const uint8_t *side, bool cut_out, bool cut_in);
void pxi_network_heal (pxi_network *network, uint32_t partition);
/* Every fault off; the delays stay. */
void pxi_network_calm (pxi_network *network);

#endif
