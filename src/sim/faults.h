/* What goes wrong, and when: a script of events, written by hand or drawn from a seed before the world
 * begins. Drawn ones are numbered, so that a failing seed can be replayed without some of them. */
#ifndef PXI_SIM_FAULTS_H
#define PXI_SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/prng.h"

#define PXI_FAULTS(X)                                                                              \
    X (CRASH, "crash") /* of a peer: all is lost; back after duration_ns, 0 = never */             \
    X (PAUSE, "pause") /* of a peer: stands still for duration_ns, then acts on old state */       \
    X (PARTITION,                                                                                  \
       "partition")        /* `peer` seeds the side that is cut off; way: 0 both, 1 out, 2 in */   \
    X (ISOLATE, "isolate") /* one peer is cut off; way as above */                                 \
    X (SLOW, "slow")       /* a peer's tasks take `factor` times as long */                        \
    X (DIE, "die")         /* the executors of a peer die */                                       \
    X (DRAIN, "drain")     /* a peer leaves; way 1: hands everything back at once */               \
    X (HOST_BUSY, "host-busy") /* a peer's owner says "not now" */                                 \
    X (CANCEL, "cancel")       /* job `peer` is cancelled */                                       \
    X (SPIKE, "spike")         /* the whole network is slower by `factor` */                       \
    X (START, "start")         /* a peer that was not there joins */                               \
    X (SLOW_LINK, "slow-link") /* a peer's messages take `factor` times as long; way as above */   \
    X (MASS_JOIN, "mass-join") /* all that are not there join at once */

typedef enum pxi_fault_kind {
#define PXI_FAULTS_ENUM(name, text) PXI_FAULT_##name,
    PXI_FAULTS (PXI_FAULTS_ENUM)
#undef PXI_FAULTS_ENUM
        PXI_FAULT_KINDS
} pxi_fault_kind;

typedef struct pxi_fault {
    pxi_fault_kind kind;
    uint64_t at_ns, duration_ns;
    uint32_t peer, factor, way;
} pxi_fault;

const char *pxi_fault_name (pxi_fault_kind kind);
/* False: no such name. */
bool pxi_fault_by_name (const char *name, pxi_fault_kind *kind);

typedef struct pxi_fault_rates {
    uint32_t n[PXI_FAULT_KINDS]; /* events of each kind in the world's life */
    uint64_t until_ns;           /* they begin before */
    uint64_t pause_max_ns, down_min_ns, down_max_ns;
} pxi_fault_rates;

/* Sorted by time; the caller frees. `spared[peer]`: not crashed, drained, nor are its executors killed. */
pxi_fault *pxi_faults_draw (const pxi_fault_rates *rates, uint32_t n_peers, uint32_t n_jobs,
                            const uint8_t *spared, uint64_t seed, uint32_t *n_faults);

#endif
