/* Records of a traced job's attempts, on their way up the tree in batches (see agent/tracing.c). */
#ifndef PXI_WIRE_TRACE_H
#define PXI_WIRE_TRACE_H

#include <peerexec/error.h>

#include "base/bytes.h"
#include "core/message.h"

enum {
    PXI_TRACE_BATCH_MAX = 256,    /* records of one message: some 25 KB */
    PXI_TRACE_SIZE_MAX = 1 << 16, /* bytes of one message */
};

/* How an attempt ended: as pxi_result, or not wanted any more. Values are on the wire. */
enum { PXI_TRACED_CANCELLED = 6, PXI_TRACED_END_MAX = 6 };

/* One attempt that has ended, as one of its two peers saw it. */
typedef struct pxi_traced {
    uint64_t master, worker;
    pxi_key key; /* the master's */
    uint64_t begin_ns, end_ns;
    uint32_t task;
    uint8_t end;
    bool sent; /* the master's side: from sending it until its result came, or was given up */
    char worker_name[PXI_NAME_SIZE];
} pxi_traced;

/* Of the master's side: the worker has, or should have, a record of it too. */
static inline bool pxi_traced_ran (const pxi_traced *record)
{
    return record->end != PXI_RESULT_RETURNED && record->end != PXI_RESULT_CANNOT;
}

typedef struct pxi_trace_batch {
    pxi_job_id job;
    uint64_t n_left_out; /* records that found no room below */
    uint32_t n;
    pxi_traced records[PXI_TRACE_BATCH_MAX];
} pxi_trace_batch;

/* NULL when out of memory. */
pxi_bytes *pxi_trace_encode (const pxi_trace_batch *batch);
/* PX_EMALFORMED, PX_ETOOBIG, PX_ENOMEM: *batch is undefined then. */
px_err pxi_trace_decode (const void *data, size_t size, pxi_trace_batch *batch);

#endif
