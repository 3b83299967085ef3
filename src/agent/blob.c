/* Each handle is given back exactly once: by FORGET, or by being taken for a COMPLETE. */
#include "agent/blob.h"

#include <stdlib.h>

#include "base/digest.h"
#include "core/limits.h"

enum {
    /* An input and a result for each attempt, results kept for sending again, and crash reports. */
    BLOBS_MAX = 4 * PXI_ATTEMPTS_MAX,
};

typedef struct held_blob {
    pxi_blob blob;
    uint64_t handle;
    pxi_list in_table;
} held_blob;

void pxi_blobs_init (pxi_blobs *blobs, uint64_t seed)
{
    pxi_map_init (&blobs->by_handle, BLOBS_MAX, seed);
    pxi_list_init (&blobs->all);
    blobs->last = 0;
}

static void release (pxi_blob *blob)
{
    pxi_bytes_release (blob->first);
    pxi_bytes_release (blob->second);
}

void pxi_blobs_fini (pxi_blobs *blobs)
{
    for (pxi_list *link; (link = pxi_list_first (&blobs->all));)
        pxi_blobs_forget (blobs, PXI_LIST_ENTRY (link, held_blob, in_table)->handle);
    pxi_map_fini (&blobs->by_handle);
}

uint64_t pxi_blobs_put (pxi_blobs *blobs, pxi_blob blob)
{
    held_blob *held = malloc (sizeof *held);
    if (!held || !pxi_map_put_pointer (&blobs->by_handle, blobs->last + 1, held)) {
        free (held);
        release (&blob);
        return 0;
    }
    held->blob = blob;
    held->handle = ++blobs->last;
    pxi_list_add_last (&blobs->all, &held->in_table);
    return held->handle;
}

pxi_blob pxi_blobs_get (const pxi_blobs *blobs, uint64_t handle)
{
    const held_blob *held = pxi_map_pointer (&blobs->by_handle, handle);
    return held ? held->blob : (pxi_blob){0};
}

pxi_blob pxi_blobs_take (pxi_blobs *blobs, uint64_t handle)
{
    held_blob *held = pxi_map_remove_pointer (&blobs->by_handle, handle);
    if (!held)
        return (pxi_blob){0};
    pxi_blob blob = held->blob;
    pxi_list_remove (&held->in_table);
    free (held);
    return blob;
}

void pxi_blobs_forget (pxi_blobs *blobs, uint64_t handle)
{
    pxi_blob blob = pxi_blobs_take (blobs, handle);
    release (&blob);
}

uint32_t pxi_blobs_count (const pxi_blobs *blobs)
{
    return pxi_map_size (&blobs->by_handle);
}

pxi_bytes *pxi_blob_aligned (pxi_bytes *bytes)
{
    if ((uintptr_t)pxi_bytes_data (bytes) % 16 == 0)
        return pxi_bytes_acquire (bytes);
    return pxi_bytes_copy (pxi_bytes_data (bytes), pxi_bytes_size (bytes));
}

static uint64_t big_endian (const uint8_t *bytes)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < 8; i++)
        value = value << 8 | bytes[i];
    return value;
}

pxi_shared_name pxi_blob_shared_name (const pxi_bytes *bytes)
{
    pxi_digest digest;
    pxi_digest_bytes (pxi_bytes_data (bytes), pxi_bytes_size (bytes), &digest);
    return (pxi_shared_name){{big_endian (digest.bytes), big_endian (digest.bytes + 8)},
                             (uint32_t)pxi_bytes_size (bytes)};
}
