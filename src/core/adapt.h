/* The number in force of a branch point, at one master for one job: the arithmetic (core/adapt.c has the reasons). */
#ifndef PXI_CORE_ADAPT_H
#define PXI_CORE_ADAPT_H

#include <stdint.h>

enum {
    PXI_ADAPTS_MAX = 16
}; /* branch points of a job at one peer; those of others stay as they are */

typedef struct pxi_adapt {
    uint64_t point;
    uint32_t number; /* in force, at least 1 */
    uint32_t peak;   /* the most that a branch has had away since the number fell last */
} pxi_adapt;

/* Something that was away has broken. `held`: the most that a branch still has away. */
void pxi_adapt_down (pxi_adapt *adapt, uint32_t held);
/* All that may be away was, and it paid. */
void pxi_adapt_up (pxi_adapt *adapt, uint32_t most);

#endif
