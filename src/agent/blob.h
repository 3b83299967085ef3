/* Payloads by handle: the core names them, the agent holds them. An input is a pair (specification
 * of the job, input bytes), a result a pair (value, chain) with its code, a shared input `second` alone.
 * One thread, the loop's. */
#ifndef PXI_AGENT_BLOB_H
#define PXI_AGENT_BLOB_H

#include "base/bytes.h"
#include "core/message.h"

typedef struct pxi_blob {
    pxi_bytes *first;  /* specification, or value */
    pxi_bytes *second; /* input, or chain */
    uint32_t code;     /* px_err of a result */
} pxi_blob;

/* A handle is a place and how often it has been used before: one that is gone is never another's. */
typedef struct pxi_blobs {
    struct pxi_blob_place *places;
    uint32_t n_places, n_used;
    uint32_t free; /* first free place, from 1; 0 = none */
} pxi_blobs;

void pxi_blobs_init (pxi_blobs *blobs);
/* Releases what is left: the core that named it is gone. */
void pxi_blobs_fini (pxi_blobs *blobs);

/* Takes both references in every case. 0 = out of memory, or over the limit: they are released. */
uint64_t pxi_blobs_put (pxi_blobs *blobs, pxi_blob blob);
/* The table's own references; all zero for handle 0 and unknown ones. */
pxi_blob pxi_blobs_get (const pxi_blobs *blobs, uint64_t handle);
/* As get, but the references are the caller's and the handle is gone. */
pxi_blob pxi_blobs_take (pxi_blobs *blobs, uint64_t handle);
void pxi_blobs_forget (pxi_blobs *blobs, uint64_t handle);
uint32_t pxi_blobs_count (const pxi_blobs *blobs);

/* A received frame lies where the transport put it; tasks are promised an alignment of 16. NULL: out of
 * memory, or of NULL. */
pxi_bytes *pxi_blob_aligned (pxi_bytes *bytes);

/* What these bytes are called everywhere. Reads all of them: about a millisecond each. */
pxi_shared_name pxi_blob_shared_name (const pxi_bytes *bytes);
/* In a word, never 0. */
uint64_t pxi_blob_digest (const pxi_bytes *bytes);

#endif
