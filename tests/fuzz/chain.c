/* Whatever arrives as a chain of failures: as tests/fuzz/codec.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire_samples.h"

static void check (const pxi_chain *chain)
{
    pxi_chain again;
    const char *fault = wire_chain_fault (chain);
    FUZZ_ASSERT (!fault, fault);
    pxi_bytes *bytes = pxi_chain_encode (chain);
    FUZZ_ASSERT (bytes, "not encoded");
    FUZZ_ASSERT (pxi_chain_decode (bytes, &again) == PX_OK, "not decoded again");
    /* Shares of one peer are summed on the way: the second trip is the one that changes nothing. */
    pxi_bytes *twice = pxi_chain_encode (&again);
    FUZZ_ASSERT (twice, "not encoded");
    FUZZ_ASSERT (
        pxi_bytes_size (twice) == pxi_bytes_size (bytes) &&
            memcmp (pxi_bytes_data (twice), pxi_bytes_data (bytes), pxi_bytes_size (bytes)) == 0,
        "another chain");
    pxi_chain_fini (&again);
    pxi_bytes_release (twice);
    pxi_bytes_release (bytes);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    pxi_chain chain;
    pxi_bytes *bytes = pxi_bytes_copy (data, size);
    if (bytes && pxi_chain_decode (bytes, &chain) == PX_OK) {
        pxi_bytes_release (bytes); /* what was decoded does not depend on it */
        check (&chain);
        pxi_chain_fini (&chain);
        return 0;
    }
    pxi_bytes_release (bytes);
    return 0;
}

size_t fuzz_sample (uint32_t seed, uint8_t *data, size_t size_max)
{
    pxi_chain chain;
    wire_chain_sample (&chain);
    chain.n_failures = seed % (chain.n_failures + 1);
    chain.n_points = seed / 16 % (chain.n_points + 1);
    chain.n_shares = seed / 4 % (chain.n_shares + 1);
    pxi_bytes *bytes = pxi_chain_encode (&chain);
    size_t size = pxi_bytes_size (bytes);
    if (size <= size_max && size > 0)
        memcpy (data, pxi_bytes_data (bytes), size);
    pxi_bytes_release (bytes);
    return size <= size_max ? size : 0;
}
