/* The wire's codec for virtual messages: sim stands beside wire and knows only a hook for it. */
#ifndef PX_TOOLS_CARRIER_H
#define PX_TOOLS_CARRIER_H

#include "sim/world.h"
#include "wire/codec.h"

typedef struct carrier {
    pxi_decoded decoded;
    bool used;
    char why[PX_WHY_SIZE]; /* of the last that was refused */
    uint64_t n_refused;
} carrier_t;

/* A pxi_world_carry; `context` is a carrier_t, zeroed at first. Damage is a truncation, or some bits that
 * flip, in the envelope. */
const pxi_message *carrier_carry (void *context, const pxi_message *message, uint32_t n_payloads,
                                  uint64_t damage);
void carrier_fini (carrier_t *carrier);

#endif
