/* xoshiro256** by Blackman and Vigna ("Scrambled Linear Pseudorandom Number Generators", 2018),
 * seeded by splitmix64 as they advise. Bounded draws: Lemire, "Fast Random Integer Generation in an
 * Interval" (2019). Exponential draws: von Neumann's comparison method (1951): it needs no
 * logarithm, whose last bit differs between C libraries and would end replay by seed across hosts.
 */
#include "base/prng.h"

#include "base/assert.h"

#define SPLITMIX_STEP UINT64_C (0x9e3779b97f4a7c15)

static uint64_t rotate_left (uint64_t value, int by)
{
    return (value << by) | (value >> (64 - by));
}

uint64_t pxi_mix64 (uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C (0x94d049bb133111eb);
    return value ^ (value >> 31);
}

void pxi_prng_init (pxi_prng *prng, uint64_t seed)
{
    /* Four different inputs of a bijection: at most one of the words is zero. */
    for (int i = 0; i < 4; i++)
        prng->state[i] = pxi_mix64 (seed += SPLITMIX_STEP);
}

void pxi_prng_split (pxi_prng *prng, pxi_prng *child)
{
    PXI_ASSERT (prng != child);
    pxi_prng_init (child, pxi_prng_next (prng));
}

uint64_t pxi_prng_next (pxi_prng *prng)
{
    uint64_t *state = prng->state;
    uint64_t result = rotate_left (state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate_left (state[3], 45);
    return result;
}

uint64_t pxi_prng_below (pxi_prng *prng, uint64_t n)
{
    PXI_ASSERT (n > 0);
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)pxi_prng_next (prng) * n;
    if ((uint64_t)product < n) {
        /* Of the 2^64 low words, 2^64 mod n would favour some results: draw those again. */
        uint64_t unfair = -n % n;
        while ((uint64_t)product < unfair)
            product = (wide)pxi_prng_next (prng) * n;
    }
    return (uint64_t)(product >> 64);
}

uint64_t pxi_prng_between (pxi_prng *prng, uint64_t low, uint64_t high)
{
    PXI_ASSERT (low <= high);
    if (high - low == UINT64_MAX)
        return pxi_prng_next (prng);
    return low + pxi_prng_below (prng, high - low + 1);
}

double pxi_prng_double (pxi_prng *prng)
{
    return (double)(pxi_prng_next (prng) >> 11) * 0x1p-53;
}

double pxi_prng_exponential (pxi_prng *prng, double mean)
{
    PXI_ASSERT (mean >= 0);
    /* Draw a falling run x > u2 > u3 ...; its length n is odd with probability exp (-x). An odd one
     * accepts x as the fraction, an even one adds 1 to the whole part and starts again. */
    for (double whole = 0;; whole += 1) {
        double first = pxi_prng_double (prng);
        double last = first;
        bool odd = true;
        for (double next = pxi_prng_double (prng); next < last; next = pxi_prng_double (prng)) {
            last = next;
            odd = !odd;
        }
        if (odd)
            return mean * (whole + first);
    }
}

bool pxi_prng_chance (pxi_prng *prng, uint32_t ppm)
{
    return pxi_prng_below (prng, 1000000) < ppm;
}
