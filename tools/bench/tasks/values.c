#include "bench/tasks/values.h"

#include <stdlib.h>

/* xorshift64: the same values everywhere, in no order. */
void values_fill (uint64_t *values, uint64_t n)
{
    uint64_t x = UINT64_C (88172645463325252);
    for (uint64_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        values[i] = x;
    }
}

static int by_value (const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

void values_sort (uint64_t *values, uint64_t n)
{
    qsort (values, n, sizeof *values, by_value);
}

uint64_t values_hash (const uint64_t *values, uint64_t n)
{
    uint64_t hash = n;
    for (uint64_t i = 0; i < n; i++)
        hash = (hash ^ values[i]) * UINT64_C (0x100000001b3);
    return hash;
}
