/* A world from one number: sizes, speeds, trees, limits and faults are drawn, and of the faults a random
 * subset with random rates (swarm testing: Groce et al. 2012), so that some worlds are hit hard by one
 * kind and others by many. The same seed draws the same world. */
#ifndef PXI_SIM_SWARM_H
#define PXI_SIM_SWARM_H

#include "sim/world.h"

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
/* One line about the world that was drawn. */
void pxi_swarm_print (const pxi_swarm *swarm, char *text, size_t text_size);

#endif
