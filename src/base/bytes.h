/* Counted, immutable-after-making byte buffers: payloads travel by reference between threads.
 * Data is aligned to 16. A foreign buffer (a received frame) is wrapped, not copied. */
#ifndef PXI_BASE_BYTES_H
#define PXI_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>

typedef struct pxi_bytes pxi_bytes;

typedef void pxi_bytes_free_fn (void *owner);

/* Room for `size` bytes, not initialised; NULL when out of memory. One reference, the caller's. */
pxi_bytes *pxi_bytes_new (size_t size);
/* A copy of `size` bytes. */
pxi_bytes *pxi_bytes_copy (const void *data, size_t size);
/* Wrap foreign data: `free_fn (owner)` is called when the last reference goes, on that thread. */
pxi_bytes *pxi_bytes_wrap (void *data, size_t size, pxi_bytes_free_fn *free_fn, void *owner);
pxi_bytes *pxi_bytes_acquire (pxi_bytes *bytes);
/* NULL is fine. */
void pxi_bytes_release (pxi_bytes *bytes);
void *pxi_bytes_data (const pxi_bytes *bytes);  /* NULL for NULL */
size_t pxi_bytes_size (const pxi_bytes *bytes); /* 0 for NULL */

/* Of several, as the frames of a message are: a reference of each goes; their bytes in all. */
void pxi_bytes_release_all (pxi_bytes *const *all, uint32_t n);
uint64_t pxi_bytes_size_all (pxi_bytes *const *all, uint32_t n);

#endif
