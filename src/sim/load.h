/* What a cluster in use looks like: several applications whose jobs arrive at random peers, as a Poisson
 * process that swells and ebbs; loops and trees, tasks of many lengths. Follows from the configuration
 * alone. */
#ifndef PXI_SIM_LOAD_H
#define PXI_SIM_LOAD_H

#include "sim/world.h"

typedef struct pxi_load {
    uint64_t seed;
    uint32_t n_peers, slots; /* slots: of each */
    uint32_t percent;        /* of all slots, in the mean; > 0 */
    uint32_t number;         /* branch number */
    uint64_t mean_ns;        /* of a task's time in the largest application; > 0 */
    uint64_t from_ns, for_ns;
} pxi_load;

/* Sorted by time; the caller's to free (). NULL: out of memory, or more than 2^31 of them. */
pxi_world_job *pxi_load_draw (const pxi_load *load, uint32_t *n_jobs);

#endif
