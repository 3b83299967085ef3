/* Each handle is given back exactly once: by FORGET, or by being taken for a COMPLETE. */
#include "agent/blob.h"

#include <stdlib.h>

#include "base/digest.h"
#include "core/limits.h"

enum {
    /* An input and a result for each attempt, results kept for sending again, and crash reports. */
    BLOBS_MAX = 4 * PXI_ATTEMPTS_MAX,
    BLOBS_FIRST = 64,
};

typedef struct pxi_blob_place {
    pxi_blob blob;
    uint32_t times; /* that it was taken into use or came free: odd while it is in use */
    uint32_t next;  /* free one, from 1 */
} pxi_blob_place;

void pxi_blobs_init (pxi_blobs *blobs)
{
    *blobs = (pxi_blobs){0};
}

static void release (pxi_blob *blob)
{
    pxi_bytes_release (blob->first);
    pxi_bytes_release (blob->second);
}

void pxi_blobs_fini (pxi_blobs *blobs)
{
    for (uint32_t i = 0; i < blobs->n_places; i++) {
        if (blobs->places[i].times % 2)
            release (&blobs->places[i].blob);
    }
    free (blobs->places);
    pxi_blobs_init (blobs);
}

static bool grow (pxi_blobs *blobs)
{
    uint32_t n = blobs->n_places ? 2 * blobs->n_places : BLOBS_FIRST;
    n = n < BLOBS_MAX ? n : BLOBS_MAX;
    pxi_blob_place *places =
        n > blobs->n_places ? realloc (blobs->places, n * sizeof *places) : NULL;
    if (!places)
        return false;
    for (uint32_t i = n; i-- > blobs->n_places;) {
        places[i] = (pxi_blob_place){.next = blobs->free};
        blobs->free = i + 1;
    }
    blobs->places = places;
    blobs->n_places = n;
    return true;
}

uint64_t pxi_blobs_put (pxi_blobs *blobs, pxi_blob blob)
{
    if (!blobs->free && !grow (blobs)) {
        release (&blob);
        return 0;
    }
    uint32_t number = blobs->free;
    pxi_blob_place *place = &blobs->places[number - 1];
    blobs->free = place->next;
    blobs->n_used++;
    place->blob = blob;
    place->times++;
    return (uint64_t)place->times << 32 | number;
}

/* NULL: it is gone, or never was. */
static pxi_blob_place *find (const pxi_blobs *blobs, uint64_t handle)
{
    uint32_t number = (uint32_t)handle;
    if (!number || number > blobs->n_places)
        return NULL;
    pxi_blob_place *place = &blobs->places[number - 1];
    return place->times == handle >> 32 && place->times % 2 ? place : NULL;
}

pxi_blob pxi_blobs_get (const pxi_blobs *blobs, uint64_t handle)
{
    const pxi_blob_place *place = find (blobs, handle);
    return place ? place->blob : (pxi_blob){0};
}

pxi_blob pxi_blobs_take (pxi_blobs *blobs, uint64_t handle)
{
    pxi_blob_place *place = find (blobs, handle);
    if (!place)
        return (pxi_blob){0};
    place->times++;
    place->next = blobs->free;
    blobs->free = (uint32_t)handle;
    blobs->n_used--;
    return place->blob;
}

void pxi_blobs_forget (pxi_blobs *blobs, uint64_t handle)
{
    pxi_blob blob = pxi_blobs_take (blobs, handle);
    release (&blob);
}

uint32_t pxi_blobs_count (const pxi_blobs *blobs)
{
    return blobs->n_used;
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

uint64_t pxi_blob_digest (const pxi_bytes *bytes)
{
    uint64_t digest = pxi_blob_shared_name (bytes).digest[0];
    return digest ? digest : 1;
}
