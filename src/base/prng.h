/* A seeded generator: the only source of chance in the core, so that a seed replays a world.
 * The same seed gives the same sequence on every host: integers and exact double arithmetic only.
 * A seed from the host comes from pxi_system_seed () (base/clock.h), never from here. */
#ifndef PXI_BASE_PRNG_H
#define PXI_BASE_PRNG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pxi_prng {
    uint64_t state[4];
} pxi_prng;

void pxi_prng_init (pxi_prng *prng, uint64_t seed);
/* A generator whose sequence is independent of the rest of `prng`'s. */
void pxi_prng_split (pxi_prng *prng, pxi_prng *child);

uint64_t pxi_prng_next (pxi_prng *prng);
/* Uniform in [0, n), without bias. n > 0. */
uint64_t pxi_prng_below (pxi_prng *prng, uint64_t n);
/* Uniform in [low, high], both included. */
uint64_t pxi_prng_between (pxi_prng *prng, uint64_t low, uint64_t high);
/* Uniform in [0, 1), a multiple of 2^-53. */
double pxi_prng_double (pxi_prng *prng);
/* Exponential with this mean; at least 0. */
double pxi_prng_exponential (pxi_prng *prng, double mean);
/* True in `ppm` of a million draws. */
bool pxi_prng_chance (pxi_prng *prng, uint32_t ppm);

/* A mixing of 64 bits (splitmix64's): a bijection, for hashes and for deriving seeds. */
uint64_t pxi_mix64 (uint64_t value);

#endif
