/* Counted byte buffers. One allocation holds the count and, unless it is foreign, the data.
 * Any thread may acquire and release; the count is the only word that changes after making. */
#include "base/bytes.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { ALIGNMENT = 16 };

struct pxi_bytes {
    atomic_uint references;
    size_t size;
    void *data;
    pxi_bytes_free_fn *free_fn; /* NULL: the data lies behind this header */
    void *owner;
} __attribute__ ((aligned (ALIGNMENT)));

_Static_assert(sizeof (pxi_bytes) % ALIGNMENT == 0, "what follows the header is aligned");
_Static_assert(_Alignof(max_align_t) >= ALIGNMENT, "malloc () aligns as promised");

pxi_bytes *pxi_bytes_new (size_t size)
{
    if (size > SIZE_MAX - sizeof (pxi_bytes))
        return NULL;
    pxi_bytes *bytes = malloc (sizeof *bytes + size);
    if (!bytes)
        return NULL;
    atomic_init (&bytes->references, 1);
    bytes->size = size;
    bytes->data = bytes + 1;
    bytes->free_fn = NULL;
    bytes->owner = NULL;
    return bytes;
}

pxi_bytes *pxi_bytes_copy (const void *data, size_t size)
{
    pxi_bytes *bytes = pxi_bytes_new (size);
    if (bytes && size)
        memcpy (bytes->data, data, size);
    return bytes;
}

pxi_bytes *pxi_bytes_wrap (void *data, size_t size, pxi_bytes_free_fn *free_fn, void *owner)
{
    PXI_ASSERT (free_fn != NULL);
    pxi_bytes *bytes = pxi_bytes_new (0);
    if (!bytes)
        return NULL;
    bytes->size = size;
    bytes->data = data;
    bytes->free_fn = free_fn;
    bytes->owner = owner;
    return bytes;
}

pxi_bytes *pxi_bytes_acquire (pxi_bytes *bytes)
{
    if (bytes) {
        /* Relaxed: whoever acquires holds a reference already, which orders all that matters. */
        unsigned before = atomic_fetch_add_explicit (&bytes->references, 1, memory_order_relaxed);
        PXI_ASSERT (before > 0);
        PXI_ASSERT (before < UINT32_MAX / 2);
    }
    return bytes;
}

void pxi_bytes_release (pxi_bytes *bytes)
{
    if (!bytes)
        return;
    /* Release: this holder's reads come before the free. Acquire: the freeing thread sees them
     * done. */
    unsigned before = atomic_fetch_sub_explicit (&bytes->references, 1, memory_order_acq_rel);
    PXI_ASSERT (before > 0);
    if (before > 1)
        return;
    if (bytes->free_fn)
        bytes->free_fn (bytes->owner);
    free (bytes);
}

void *pxi_bytes_data (const pxi_bytes *bytes)
{
    return bytes ? bytes->data : NULL;
}

size_t pxi_bytes_size (const pxi_bytes *bytes)
{
    return bytes ? bytes->size : 0;
}

void pxi_bytes_release_all (pxi_bytes *const *all, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        pxi_bytes_release (all[i]);
}

uint64_t pxi_bytes_size_all (pxi_bytes *const *all, uint32_t n)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < n; i++)
        size += pxi_bytes_size (all[i]);
    return size;
}
