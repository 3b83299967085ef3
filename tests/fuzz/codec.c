/* Whatever arrives as an envelope: no crash, nothing out of range accepted, and what is accepted is
 * the same after another trip over the wire. First byte of an input: the number of payload frames.
 * Built with PXT_CANARY, one harmless message counts as a fault, a byte away from a
 * sample: proof that the fuzzer gets as far as the last checks of the decoder. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/peer.h>

#include "fuzz.h"
#include "wire/codec.h"
#include "wire_samples.h"

static void check (const pxi_message *message, uint32_t n_payloads)
{
    pxi_decoded again;
    const char *fault = wire_message_fault (message);
    FUZZ_ASSERT (!fault, fault);
    pxi_bytes *bytes = pxi_codec_encode (message);
    FUZZ_ASSERT (bytes, "not encoded");
    px_err err =
        pxi_codec_decode (pxi_bytes_data (bytes), pxi_bytes_size (bytes), n_payloads, &again, NULL);
    FUZZ_ASSERT (err == PX_OK, "not decoded again");
    FUZZ_ASSERT (wire_message_same (message, &again.message), "another message");
    pxi_codec_fini (&again);
    pxi_bytes_release (bytes);
#ifdef PXT_CANARY
    FUZZ_ASSERT (message->kind != PXI_CANNOT || message->err == PX_ENOMODULE, "the canary");
#endif
}

/* A refusal answers another version, and nothing answers a refusal. */
static void refuse (const uint8_t *data, size_t size, px_err err)
{
    uint16_t version;
    if (pxi_codec_peek_refusal (data, size, &version))
        FUZZ_ASSERT (err == PX_EMALFORMED || err == PX_ETOOBIG, "a refusal that is answered");
    if (err == PX_EVERSION)
        pxi_bytes_release (pxi_codec_encode_refusal (data, size));
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    pxi_decoded decoded;
    pxi_status_message status;
    char why[PX_WHY_SIZE] = "";
    if (size < 1)
        return 0;
    pxi_codec_peek_status (data + 1, size - 1, &status);
    px_err err = pxi_codec_decode (data + 1, size - 1, data[0], &decoded, why);
    refuse (data + 1, size - 1, err);
    FUZZ_ASSERT ((err == PX_OK) == (why[0] == 0), "a refusal without a reason");
    if (err != PX_OK)
        return 0;
    check (&decoded.message, data[0]);
    pxi_codec_fini (&decoded);
    return 0;
}

size_t fuzz_sample (uint32_t seed, uint8_t *data, size_t size_max)
{
    pxi_message message;
    uint32_t n_payloads;
    wire_sample (seed % wire_sample_count (), &message, &n_payloads);
    pxi_bytes *bytes = pxi_codec_encode (&message);
    size_t size = bytes ? pxi_bytes_size (bytes) + 1 : 0;
    if (size <= size_max && size > 0) {
        data[0] = (uint8_t)n_payloads;
        memcpy (data + 1, pxi_bytes_data (bytes), size - 1);
    }
    pxi_bytes_release (bytes);
    return size <= size_max ? size : 0;
}
