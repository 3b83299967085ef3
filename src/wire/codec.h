/* Core messages <-> the bytes of an envelope (frame 0). Payloads are frames 1..: PROBE and DISPATCH have
 * two per attempt (the job's specification, see agent/spec.h, empty where it is that of the attempt
 * before, and the input; the latter is never copied), RESULT two per result (value, chain; either may be
 * empty), SHARED one where it was there.
 * Everything that arrives is checked here: sizes before anything is allocated, then version, kind,
 * counts, ranges. */
#ifndef PXI_WIRE_CODEC_H
#define PXI_WIRE_CODEC_H

#include <peerexec/error.h>

#include "base/bytes.h"
#include "core/message.h"
#include "wire/version.h"

enum {
    PXI_ENVELOPE_SIZE_MAX =
        65536, /* a full handshake is below; see the static assertion in codec.c */
};

/* NULL when out of memory. */
pxi_bytes *pxi_codec_encode (const pxi_message *message);

/* A decoded message and the memory that its arrays lie in. */
typedef struct pxi_decoded {
    pxi_message message;
    void *memory;
} pxi_decoded;

/* PX_EVERSION, PX_ETOOBIG, PX_EMALFORMED (`why`, PX_WHY_SIZE bytes, may be NULL, says which field),
 * PX_ENOMEM. `n_payloads` = frames after the first: must be what the kind needs. */
px_err pxi_codec_decode (const void *data, size_t size, uint32_t n_payloads, pxi_decoded *decoded,
                         char *why);
void pxi_codec_fini (pxi_decoded *decoded);

/* Of an envelope that was refused with PX_EVERSION: the answer to it. NULL: out of memory. */
pxi_bytes *pxi_codec_encode_refusal (const void *data, size_t size);
/* True: a refusal of a message of this version. *version is what its sender speaks. */
bool pxi_codec_peek_refusal (const void *data, size_t size, uint16_t *version);

/* Is it one of PX_ERRORS? Values stand on the wire. */
bool pxi_codec_err_known (uint32_t err);

/* What agents say to each other beside the protocol (peer-top's questions; records of a traced job, see
 * wire/trace.h): kind >= 64; the body is frame 1. */
enum { PXI_STATUS_ASK = 64, PXI_STATUS = 65, PXI_TRACE = 66 };
pxi_bytes *pxi_codec_encode_status (uint32_t kind, uint64_t from, uint64_t sequence);
typedef struct pxi_status_message {
    uint32_t kind;
    uint64_t from, sequence;
} pxi_status_message;
/* PX_OK = it is one (its body is frame 1); PX_EAGAIN = a protocol message; else as pxi_codec_decode (). */
px_err pxi_codec_peek_status (const void *data, size_t size, pxi_status_message *status);

#endif
