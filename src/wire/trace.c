/* Batches of trace records to bytes and back. What arrives is hostile: sizes first, unpacking in a
 * capped arena, then every count and range. Times are as their peer's clock says and mean nothing
 * here; an end before its beginning cannot be stated. */
#include "wire/trace.h"

#include <assert.h>
#include <string.h>

#include "base/assert.h"
#include "wire/arena.h"
#include "wire/peerexec.pb-c.h"
#include "wire/text.h"

enum {
    RECORD_SIZE_MAX = 3 * 9 + 3 * 6 + 2 * 11 + 2 + 2 + PXI_NAME_SIZE + 3, /* with its tags */
    UNPACK_MAX = 4 * PXI_TRACE_SIZE_MAX,
};
#define CLOCK_MAX_NS (UINT64_C (1) << 62) /* 146 years: differences of readings fit 64 bits */
static_assert (PXI_TRACE_BATCH_MAX * RECORD_SIZE_MAX + 64 <= PXI_TRACE_SIZE_MAX,
               "a full batch fits a message");
static_assert (PXI_TRACE_BATCH_MAX * (sizeof (Pxi__Wire__Traced) + 2 * sizeof (void *)) +
                       PXI_TRACE_SIZE_MAX + 4096 <=
                   UNPACK_MAX,
               "a full batch unpacks");

/* ---- encode ---------------------------------------------------------------------------------- */

#define SET(out, field, value)                                                                     \
    do {                                                                                           \
        (out)->field = (value);                                                                    \
        (out)->has_##field = (out)->field != 0;                                                    \
    } while (0)

static void set_record (const pxi_traced *record, Pxi__Wire__Traced *out)
{
    pxi__wire__traced__init (out);
    SET (out, master, record->master);
    SET (out, worker, record->worker);
    SET (out, subtask, record->key.subtask);
    SET (out, attempt, record->key.attempt);
    SET (out, task, record->task);
    SET (out, begin_ns, record->begin_ns);
    SET (out, duration_ns,
         record->end_ns > record->begin_ns ? record->end_ns - record->begin_ns : 0);
    SET (out, end, record->end);
    SET (out, sent, record->sent);
    out->worker_name.len = strnlen (record->worker_name, PXI_NAME_SIZE - 1);
    out->worker_name.data = (uint8_t *)record->worker_name;
    out->has_worker_name = out->worker_name.len != 0;
}

static bool set_records (pxi_arena *arena, const pxi_trace_batch *batch, Pxi__Wire__Trace *out)
{
    Pxi__Wire__Traced *records = pxi_arena_alloc (arena, batch->n * sizeof *records);
    out->records = pxi_arena_alloc (arena, batch->n * sizeof *out->records);
    if (!records || !out->records)
        return false;
    for (uint32_t i = 0; i < batch->n; i++) {
        set_record (&batch->records[i], &records[i]);
        out->records[i] = &records[i];
    }
    out->n_records = batch->n;
    return true;
}

pxi_bytes *pxi_trace_encode (const pxi_trace_batch *batch)
{
    PXI_ASSERT (batch->n <= PXI_TRACE_BATCH_MAX);
    pxi_arena arena;
    pxi_bytes *bytes = NULL;
    Pxi__Wire__Trace out = PXI__WIRE__TRACE__INIT;
    SET (&out, job_origin, batch->job.origin);
    SET (&out, job_number, batch->job.number);
    SET (&out, n_left_out, batch->n_left_out);
    pxi_arena_init (&arena, UNPACK_MAX);
    if (set_records (&arena, batch, &out)) {
        bytes = pxi_bytes_new (pxi__wire__trace__get_packed_size (&out));
        if (bytes)
            pxi__wire__trace__pack (&out, pxi_bytes_data (bytes));
    }
    pxi_arena_fini (&arena);
    return bytes;
}

/* ---- decode ---------------------------------------------------------------------------------- */

static bool is_sound (const Pxi__Wire__Traced *in)
{
    return in->master && in->worker && in->end <= PXI_TRACED_END_MAX &&
           in->begin_ns < CLOCK_MAX_NS && in->duration_ns < CLOCK_MAX_NS &&
           in->worker_name.len < PXI_NAME_SIZE;
}

static void take_record (const Pxi__Wire__Traced *in, pxi_traced *record)
{
    *record = (pxi_traced){
        .master = in->master,
        .worker = in->worker,
        .key = {in->subtask, in->attempt},
        .begin_ns = in->begin_ns,
        .end_ns = in->begin_ns + in->duration_ns,
        .task = in->task,
        .end = (uint8_t)in->end,
        .sent = in->sent,
    };
    pxi_text_clean (record->worker_name, PXI_NAME_SIZE - 1, in->worker_name.data,
                    in->worker_name.len);
}

static px_err take (const Pxi__Wire__Trace *in, pxi_trace_batch *batch)
{
    if (in->n_records > PXI_TRACE_BATCH_MAX || in->n_left_out >= CLOCK_MAX_NS)
        return PX_EMALFORMED;
    batch->job = (pxi_job_id){in->job_origin, in->job_number};
    batch->n_left_out = in->n_left_out;
    batch->n = (uint32_t)in->n_records;
    for (uint32_t i = 0; i < batch->n; i++) {
        if (!is_sound (in->records[i]))
            return PX_EMALFORMED;
        take_record (in->records[i], &batch->records[i]);
    }
    return PX_OK;
}

px_err pxi_trace_decode (const void *data, size_t size, pxi_trace_batch *batch)
{
    if (size > PXI_TRACE_SIZE_MAX)
        return PX_ETOOBIG;
    pxi_arena arena;
    pxi_arena_init (&arena, UNPACK_MAX);
    const Pxi__Wire__Trace *in = pxi__wire__trace__unpack (&arena.allocator, size, data);
    px_err err = arena.out_of_memory ? PX_ENOMEM : in ? take (in, batch) : PX_EMALFORMED;
    pxi_arena_fini (&arena);
    return err;
}
