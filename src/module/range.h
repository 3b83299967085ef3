/* Definitions of data-parallel tasks, as their authors write them. Any thread. */
#ifndef PXI_MODULE_RANGE_H
#define PXI_MODULE_RANGE_H

#include <stdbool.h>

#include <peerexec/device.h>

/* False, and a sentence in `why` (PX_WHY_SIZE, or NULL). */
bool pxi_range_def_is_valid (const px_range_def *def, char *why);

#endif
