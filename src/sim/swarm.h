/* A world from one number: sizes, speeds, trees, limits and faults are drawn, and of the faults a random
 * subset with random rates (swarm testing: Groce et al. 2012), so that some worlds are hit hard by one
 * kind and others by many. The same seed draws the same world. */
#ifndef PXI_SIM_SWARM_H
#define PXI_SIM_SWARM_H

#include "sim/world.h"

/* What of a drawn world can be left out by name; single faults are left out by number, from 1. */
#define PXI_SWARM_PARTS(X)                                                                         \
    X (LOSS, "loss")                                                                               \
    X (DUPLICATES, "duplicates")                                                                   \
    X (REORDER, "reorder")                                                                         \
    X (SPIKES, "spikes")                                                                           \
    X (DAMAGE, "damage")                                                                           \
    X (QUEUES, "queues") /* bounded links, and mail for those that stand still */                  \
    X (CLOCKS, "clocks")                                                                           \
    X (LIARS, "liars")                                                                             \
    X (LEFT_BEHIND, "left-behind")                                                                 \
    X (NOTICES, "notices") /* of executors, late */                                                \
    X (CRASHING_TASKS, "crashing-tasks")                                                           \
    X (SHARED, "shared")                                                                           \
    X (DEVICES, "devices")

typedef enum pxi_swarm_part {
#define PXI_SWARM_PARTS_ENUM(name, text) PXI_SWARM_##name,
    PXI_SWARM_PARTS (PXI_SWARM_PARTS_ENUM)
#undef PXI_SWARM_PARTS_ENUM
        PXI_SWARM_N_PARTS
} pxi_swarm_part;

/* From this seed on the worlds are of ranges, on peers with devices. */
#define PXI_SWARM_DEVICES_FROM UINT64_C (1000000000000)

enum { PXI_SWARM_PEERS_MAX = 12, PXI_SWARM_JOBS_MAX = 4 };

typedef struct pxi_swarm {
    pxi_world_config config; /* its arrays are the ones below */
    pxi_world_peer peers[PXI_SWARM_PEERS_MAX];
    pxi_world_job jobs[PXI_SWARM_JOBS_MAX];
    pxi_fault *faults;
    uint64_t work_ns; /* per slot */
} pxi_swarm;

void pxi_swarm_draw (pxi_swarm *swarm, uint64_t seed);
void pxi_swarm_fini (pxi_swarm *swarm);
/* Faults, then parts: how many things can be left out. */
uint32_t pxi_swarm_n_units (const pxi_swarm *swarm);
/* Leaves out those with keep[i] 0. To be called once, on what was drawn. */
void pxi_swarm_keep (pxi_swarm *swarm, const uint8_t *keep);
/* "3,7,loss" or "none" to keep[] and back. False: no such fault or part, *wrong_at in the text. */
bool pxi_swarm_keep_parse (const pxi_swarm *swarm, const char *text, uint8_t *keep,
                           const char **wrong_at);
void pxi_swarm_keep_print (const pxi_swarm *swarm, const uint8_t *keep, char *text,
                           size_t text_size);
/* One line about the world that was drawn. */
void pxi_swarm_print (const pxi_swarm *swarm, char *text, size_t text_size);

#endif
