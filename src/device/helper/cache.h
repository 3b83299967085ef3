/* Binaries of kernels, kept between runs and shared by all helpers of a user: one file for each, named
 * by the digest of all that it was made of. A file is whole or not there (written beside, then
 * renamed); one that was damaged is as good as none. */
#ifndef PXI_DEVICE_HELPER_CACHE_H
#define PXI_DEVICE_HELPER_CACHE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/digest.h"

/* NULL: not there, or damaged. */
pxi_bytes *pxi_cache_load (const char *directory, const pxi_digest *digest);
/* What cannot be stored is built again the next time. */
void pxi_cache_store (const char *directory, const pxi_digest *digest, const void *data,
                      size_t size);

/* One process at a time makes what belongs to a digest; the others wait here, and find it. The lock
 * goes with the process that has it. Returns a descriptor, -1 = the directory allows no lock. */
int pxi_cache_lock (const char *directory, const pxi_digest *digest);
void pxi_cache_unlock (int lock);

/* Whether something that leaves no file of its own has been done before by anyone: `what` is a word. */
bool pxi_cache_is_marked (const char *directory, const pxi_digest *digest, const char *what);
void pxi_cache_mark (const char *directory, const pxi_digest *digest, const char *what);

#endif
