/* peer-sim --tune: the search of peer-tune against a virtual cluster. */
#ifndef TOOLS_TUNE_SIMULATED_H
#define TOOLS_TUNE_SIMULATED_H

#include "sim/world.h"

typedef struct simulated {
    uint32_t n_points; /* levels of the tree, each a branch point: 1 to PXI_TREE_NUMBERS_MAX */
    uint32_t high, standard;
    uint64_t seed; /* of the search; worlds take the ones after it */
    bool json;
    /* One world with these numbers, by level. False: it was interrupted, or did not end well. */
    bool (*run) (void *context, const uint32_t *numbers, uint64_t seed, pxi_world_report *report);
    void *context;
} simulated_t;

/* Prints what was tried and chosen. False: as `run`. */
bool simulated_tune (const simulated_t *simulated);

#endif
