/* Whatever arrives as records of a trace: as tests/fuzz/codec.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire_samples.h"

static void check (const pxi_trace_batch *batch)
{
    static pxi_trace_batch again;
    const char *fault = wire_trace_fault (batch);
    FUZZ_ASSERT (!fault, fault);
    pxi_bytes *bytes = pxi_trace_encode (batch);
    FUZZ_ASSERT (bytes, "not encoded");
    px_err err = pxi_trace_decode (pxi_bytes_data (bytes), pxi_bytes_size (bytes), &again);
    FUZZ_ASSERT (err == PX_OK, "not decoded again");
    FUZZ_ASSERT (again.n == batch->n && again.n_left_out == batch->n_left_out, "another batch");
    pxi_bytes_release (bytes);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static pxi_trace_batch batch;
    if (pxi_trace_decode (data, size, &batch) == PX_OK)
        check (&batch);
    return 0;
}

size_t fuzz_sample (uint32_t seed, uint8_t *data, size_t size_max)
{
    static pxi_trace_batch batch;
    wire_trace_sample (&batch);
    batch.n = seed % (batch.n + 1);
    pxi_bytes *bytes = pxi_trace_encode (&batch);
    size_t size = pxi_bytes_size (bytes);
    if (size <= size_max && size > 0)
        memcpy (data, pxi_bytes_data (bytes), size);
    pxi_bytes_release (bytes);
    return size <= size_max ? size : 0;
}
