#include "bench/tasks/wave.h"

/* The finalizer of splitmix64, as noise. */
static uint64_t noise (uint64_t row, uint64_t column)
{
    uint64_t z = (row << 32 | column) * UINT64_C (0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
    return z ^ z >> 27;
}

void wave_step (const wave_part *part, uint64_t *above, uint64_t *left)
{
    for (uint64_t i = 0; i < part->height; i++) {
        uint64_t between = above[0], before = left[i];
        above[0] = before;
        for (uint64_t j = 0; j < part->width; j++) {
            uint64_t point = 3 * above[j + 1] + 5 * before + 7 * between +
                             noise (part->row + i, part->column + j);
            between = above[j + 1];
            above[j + 1] = before = point;
        }
        left[i] = before;
    }
}

uint64_t wave_hash (uint64_t hash, const uint64_t *row, const uint64_t *column, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        hash = (hash ^ row[i]) * UINT64_C (0x100000001b3) + column[i];
    return hash;
}
