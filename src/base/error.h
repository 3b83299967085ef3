/* Errors on their way to people. */
#ifndef PXI_BASE_ERROR_H
#define PXI_BASE_ERROR_H

#include <peerexec/error.h>

/* Write a sentence into `why` (PX_WHY_SIZE bytes, or NULL for nobody to read it); returns `err`. */
px_err pxi_fail (px_err err, char *why, const char *format, ...) PX_PRINTF (3, 4);

#endif
