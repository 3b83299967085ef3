/* Which of many things a failure needs: delta debugging (Zeller and Hildebrandt 2002). */
#ifndef PXI_SIM_SHRINK_H
#define PXI_SIM_SHRINK_H

#include <stdbool.h>
#include <stdint.h>

/* Does it still fail with those whose keep[i] is set? */
typedef bool pxi_shrink_test (void *context, const uint8_t *keep);

/* Clears what is not needed from keep[0..n), at first all that is set there. At the end leaving out any single
 * one makes it pass, unless runs_max tests were not enough. Returns how many were made. */
uint32_t pxi_shrink (uint8_t *keep, uint32_t n, uint32_t runs_max, pxi_shrink_test *fails,
                     void *context);

#endif
