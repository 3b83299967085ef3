/* Codec, chains and outboxes with each allocation failing in turn: refused as out of memory, and
 * nothing is kept. */
#include <criterion/criterion.h>
#include <string.h>

#include <peerexec/peer.h>

#include "failing.h"
#include "fuzz/wire_samples.h"
#include "net/outbox.h"
#include "wire/codec.h"

/* PX_ENOMEM exactly when a failure was met. */
static px_err there_and_back (const pxi_message *message, uint32_t n_payloads)
{
    pxi_decoded decoded;
    char why[PX_WHY_SIZE] = "";
    pxi_bytes *bytes = pxi_codec_encode (message);
    if (!bytes)
        return PX_ENOMEM;
    px_err err = pxi_codec_decode (pxi_bytes_data (bytes), pxi_bytes_size (bytes), n_payloads,
                                   &decoded, why);
    if (err == PX_OK)
        cr_assert (wire_message_same (message, &decoded.message));
    else
        cr_assert_str_eq (why, "out of memory");
    pxi_codec_fini (&decoded);
    pxi_bytes_release (bytes);
    return err;
}

Test (wire, a_message_is_refused_or_whole)
{
    for (uint32_t i = 0; i < wire_sample_count (); i++) {
        bool met = true;
        for (size_t n = 1; met; n++) {
            pxi_message message;
            uint32_t n_payloads;
            wire_sample (i, &message, &n_payloads);
            failing_set (n);
            px_err err = there_and_back (&message, n_payloads);
            met = failing_was_met ();
            failing_set (0);
            cr_assert_eq (err, met ? PX_ENOMEM : PX_OK, "sample %u, allocation %zu", i, n);
            cr_assert_eq (failing_n_blocks (), 0);
        }
    }
}

static px_err chain_there_and_back (const pxi_chain *chain)
{
    pxi_chain back;
    pxi_bytes *bytes = pxi_chain_encode (chain);
    if (!bytes)
        return PX_ENOMEM;
    px_err err = pxi_chain_decode (bytes, &back);
    if (err == PX_OK)
        cr_assert (wire_chain_same (chain, &back));
    pxi_chain_fini (&back);
    pxi_bytes_release (bytes);
    return err;
}

Test (wire, a_chain_is_refused_or_whole)
{
    bool met = true;
    for (size_t n = 1; met; n++) {
        pxi_chain chain;
        wire_chain_sample (&chain);
        failing_set (n);
        px_err err = chain_there_and_back (&chain);
        met = failing_was_met ();
        failing_set (0);
        cr_assert_eq (err, met ? PX_ENOMEM : PX_OK, "allocation %zu", n);
        cr_assert_eq (failing_n_blocks (), 0);
    }
}

static px_err trace_there_and_back (const pxi_trace_batch *batch)
{
    static pxi_trace_batch back;
    pxi_bytes *bytes = pxi_trace_encode (batch);
    if (!bytes)
        return PX_ENOMEM;
    px_err err = pxi_trace_decode (pxi_bytes_data (bytes), pxi_bytes_size (bytes), &back);
    cr_assert (err != PX_OK || back.n == batch->n);
    pxi_bytes_release (bytes);
    return err;
}

/* Full, so that it needs more than the arena has at first. */
Test (wire, records_of_a_trace_are_refused_or_whole)
{
    static pxi_trace_batch batch;
    bool met = true;
    wire_trace_sample (&batch);
    for (; batch.n < PXI_TRACE_BATCH_MAX; batch.n++)
        batch.records[batch.n] = batch.records[0];
    for (size_t n = 1; met; n++) {
        failing_set (n);
        px_err err = trace_there_and_back (&batch);
        met = failing_was_met ();
        failing_set (0);
        cr_assert_eq (err, met ? PX_ENOMEM : PX_OK, "allocation %zu", n);
        cr_assert_eq (failing_n_blocks (), 0);
    }
}

Test (wire, an_outbox_refuses_and_leaves_the_frames_to_the_caller)
{
    pxi_outbox outbox;
    pxi_outbox_init (&outbox);
    pxi_bytes *frame = pxi_bytes_new (10);
    failing_set (1);
    cr_assert_not (pxi_outbox_add (&outbox, &frame, 1, 0));
    cr_assert (pxi_outbox_add (&outbox, &frame, 1, 0));
    pxi_outbox_fini (&outbox);
}
