/* One message at a time: encoded, damaged where it is asked for, and decoded as if it had arrived. */
#include "common/carrier.h"

#include <stdlib.h>
#include <string.h>

#include "base/prng.h"

enum { FLIPS_MAX = 8 };

void carrier_fini (carrier_t *carrier)
{
    if (carrier->used)
        pxi_codec_fini (&carrier->decoded);
    carrier->used = false;
}

/* Returns the size that is left. */
static size_t damage_bytes (uint8_t *bytes, size_t size, uint64_t seed)
{
    pxi_prng prng;
    pxi_prng_init (&prng, seed);
    if (!size || pxi_prng_below (&prng, 2) == 0)
        return size ? pxi_prng_below (&prng, size) : 0;
    for (uint64_t n = pxi_prng_between (&prng, 1, FLIPS_MAX); n > 0; n--)
        bytes[pxi_prng_below (&prng, size)] ^= (uint8_t)(1u << pxi_prng_below (&prng, 8));
    return size;
}

/* In a block of its own size, so that a sanitizer sees what is read past its end. */
static px_err decode_damaged (carrier_t *carrier, const pxi_bytes *whole, uint32_t n_frames,
                              uint64_t damage)
{
    size_t size = pxi_bytes_size (whole);
    uint8_t *bytes = malloc (size ? size : 1);
    if (!bytes)
        return PX_ENOMEM;
    memcpy (bytes, pxi_bytes_data (whole), size);
    size = damage_bytes (bytes, size, damage);
    uint8_t *left = realloc (bytes, size ? size : 1);
    px_err err =
        left ? pxi_codec_decode (left, size, n_frames, &carrier->decoded, carrier->why) : PX_ENOMEM;
    free (left ? left : bytes);
    return err;
}

const pxi_message *carrier_carry (void *context, const pxi_message *message, uint32_t n_payloads,
                                  uint64_t damage)
{
    carrier_t *carrier = context;
    carrier_fini (carrier);
    pxi_bytes *bytes = pxi_codec_encode (message);
    if (!bytes)
        return NULL;
    uint32_t n_frames = message->kind == PXI_SHARED ? n_payloads : 2 * n_payloads;
    px_err err = damage ? decode_damaged (carrier, bytes, n_frames, damage)
                        : pxi_codec_decode (pxi_bytes_data (bytes), pxi_bytes_size (bytes),
                                            n_frames, &carrier->decoded, carrier->why);
    pxi_bytes_release (bytes);
    carrier->used = !err;
    carrier->n_refused += err != PX_OK;
    return err ? NULL : &carrier->decoded.message;
}
