/* The part of an outcome that is not the result's bytes: the chain of failures, and the accounts of
 * which peers did how much for it and which branch points offered subtasks to others.
 * Encoded as a protobuf message of its own (non-recursive). */
#ifndef PXI_WIRE_CHAIN_H
#define PXI_WIRE_CHAIN_H

#include <peerexec/error.h>
#include <peerexec/job.h>

#include "base/bytes.h"

enum {
    PXI_FAILURES_MAX = 64,     /* kept of one outcome: what a person reads; the rest is counted */
    PXI_SHARES_MAX = 256,      /* peers listed in one outcome; the rest is added to the last */
    PXI_POINTS_MAX = 64,       /* branch points listed in one outcome; others are left out */
    PXI_TEXT_MAX = 1024,       /* bytes of one message */
    PXI_LEVEL_MAX = 65535,     /* deeper failures say this one: a printer indents by it */
    PXI_CHAIN_SIZE_MAX = 262144,
};

typedef struct pxi_chain {
    px_failure *failures; /* flat, pre-order; levels relative to the outcome */
    size_t n_failures, n_failures_dropped;
    px_job_share *shares;
    size_t n_shares;
    px_job_point *points;
    size_t n_points;
    void *memory; /* everything above lies in it */
} pxi_chain;

/* NULL when out of memory. Over the limits: cut and counted, never an error. */
pxi_bytes *pxi_chain_encode (const pxi_chain *chain);
/* PX_EMALFORMED, PX_ENOMEM. NULL bytes = an empty chain. */
px_err pxi_chain_decode (const pxi_bytes *bytes, pxi_chain *chain);
void pxi_chain_fini (pxi_chain *chain);

/* Add `more` to an account: same peer_id is summed. `shares` has room for PXI_SHARES_MAX. */
void pxi_shares_add (px_job_share *shares, size_t *n_shares, const px_job_share *more, size_t n_more);
/* The same for branch points, by name. `points` has room for PXI_POINTS_MAX. */
void pxi_points_add (px_job_point *points, size_t *n_points, const px_job_point *more, size_t n_more);

#endif
