/* Every sample message, cut at every length and with every bit flipped (of long ones: the first and
 * last bytes, and a seeded choice between), and seeded random damage: no crash, and nothing out of
 * range is accepted. A plain program: exit status 0 = passed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/peer.h>

#include "base/prng.h"
#include "wire/codec.h"
#include "wire_samples.h"

static uint64_t n_tried, n_accepted, n_faults;

static void fault (const char *what, uint32_t sample, size_t at)
{
    fprintf (stderr, "sample %u, at %zu: %s\n", sample, at, what);
    n_faults++;
}

static void try_message (const uint8_t *data, size_t size, uint32_t n_payloads, uint32_t sample,
                         size_t at)
{
    pxi_decoded decoded;
    char why[PX_WHY_SIZE] = "";
    uint8_t *exact = malloc (size ? size : 1); /* so that ASan sees one byte too far */
    if (!exact)
        abort ();
    memcpy (exact, data, size);
    n_tried++;
    px_err err = pxi_codec_decode (exact, size, n_payloads, &decoded, why);
    free (exact);
    if (err == PX_OK) {
        n_accepted++;
        const char *wrong = wire_message_fault (&decoded.message);
        if (wrong)
            fault (wrong, sample, at);
        pxi_codec_fini (&decoded);
    } else if (why[0] == 0) {
        fault ("refused without a reason", sample, at);
    }
}

static void try_chain (const uint8_t *data, size_t size, uint32_t sample, size_t at)
{
    pxi_chain chain;
    pxi_bytes *bytes = pxi_bytes_copy (data, size);
    n_tried++;
    if (pxi_chain_decode (bytes, &chain) == PX_OK) {
        n_accepted++;
        const char *wrong = wire_chain_fault (&chain);
        if (wrong)
            fault (wrong, sample, at);
        pxi_chain_fini (&chain);
    }
    pxi_bytes_release (bytes);
}

static void try_trace (const uint8_t *data, size_t size, uint32_t sample, size_t at)
{
    static pxi_trace_batch batch;
    n_tried++;
    if (pxi_trace_decode (data, size, &batch) != PX_OK)
        return;
    n_accepted++;
    const char *wrong = wire_trace_fault (&batch);
    if (wrong)
        fault (wrong, sample, at);
}

/* Samples that are no messages. */
#define CHAIN UINT32_MAX
#define TRACE (UINT32_MAX - 1)

static void try_one (const uint8_t *data, size_t size, uint32_t n_payloads, uint32_t sample,
                     size_t at)
{
    if (sample == CHAIN)
        try_chain (data, size, sample, at);
    else if (sample == TRACE)
        try_trace (data, size, sample, at);
    else
        try_message (data, size, n_payloads, sample, at);
}

/* All of a short one; both ends and some between of a long one. */
static bool is_chosen (pxi_prng *prng, size_t at, size_t size)
{
    enum { END = 400, ONE_IN = 50 };
    return at < END || at + END >= size || pxi_prng_below (prng, ONE_IN) == 0;
}

static void damage (pxi_prng *prng, uint8_t *data, size_t size)
{
    uint64_t n = 1 + pxi_prng_below (prng, 8);
    for (uint64_t i = 0; i < n; i++)
        data[pxi_prng_below (prng, size)] = (uint8_t)pxi_prng_next (prng);
}

static void mutate (pxi_prng *prng, const pxi_bytes *bytes, uint32_t n_payloads, uint32_t sample)
{
    static uint8_t data[PXI_CHAIN_SIZE_MAX];
    size_t size = pxi_bytes_size (bytes);
    memcpy (data, pxi_bytes_data (bytes), size);
    for (size_t at = 0; at < size; at++) {
        if (!is_chosen (prng, at, size))
            continue;
        try_one (data, at, n_payloads, sample, at);
        for (int bit = 0; bit < 8; bit++) {
            data[at] ^= (uint8_t)(1 << bit);
            try_one (data, size, n_payloads, sample, at);
            data[at] ^= (uint8_t)(1 << bit);
        }
    }
    for (size_t i = 0; i < 500; i++) {
        damage (prng, data, size);
        try_one (data, size, n_payloads, sample, i);
        memcpy (data, pxi_bytes_data (bytes), size);
    }
}

int main (void)
{
    pxi_prng prng;
    pxi_prng_init (&prng, 20240601);
    for (uint32_t i = 0; i < wire_sample_count (); i++) {
        pxi_message message;
        uint32_t n_payloads;
        wire_sample (i, &message, &n_payloads);
        pxi_bytes *bytes = pxi_codec_encode (&message);
        mutate (&prng, bytes, n_payloads, i);
        pxi_bytes_release (bytes);
    }
    pxi_chain chain;
    wire_chain_sample (&chain);
    pxi_bytes *bytes = pxi_chain_encode (&chain);
    mutate (&prng, bytes, 0, CHAIN);
    pxi_bytes_release (bytes);
    static pxi_trace_batch batch;
    wire_trace_sample (&batch);
    bytes = pxi_trace_encode (&batch);
    mutate (&prng, bytes, 0, TRACE);
    pxi_bytes_release (bytes);
    printf ("%llu tried, %llu accepted, %llu faults\n", (unsigned long long)n_tried,
            (unsigned long long)n_accepted, (unsigned long long)n_faults);
    /* Both must happen, or the test tests nothing. */
    return n_faults == 0 && n_accepted > 0 && n_accepted < n_tried ? 0 : 1;
}
