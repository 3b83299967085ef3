/* An autoregressive wave over a square: each point follows from its neighbours above, to the left, and between
 * the two, and from noise of its own. Divided into parts, a part waits for the parts beside it. Plain C: the
 * serial twin is this as well. */
#ifndef TOOLS_BENCH_TASKS_WAVE_H
#define TOOLS_BENCH_TASKS_WAVE_H

#include <stdint.h>

typedef struct wave_part {
    uint64_t row, column, height, width;
} wave_part;

/* Points of one part. `above` holds width + 1 values, beginning with the one between above and left; `left` holds
 * height values. On return they are the part's own last row (above[0]: what was the last of `left`) and its own
 * last column. */
void wave_step (const wave_part *part, uint64_t *above, uint64_t *left);

/* Of a piece of the last row and one of the last column, after those before them (0 = none): what every point
 * goes into. */
uint64_t wave_hash (uint64_t hash, const uint64_t *row, const uint64_t *column, uint64_t size);

#endif
