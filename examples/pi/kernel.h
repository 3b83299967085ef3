/* Pi by throwing points at a square. Point i is a function of the seed and i (a counter-based
 * generator), so any range of points can be thrown anywhere, and the count is exact and always the
 * same. */
#ifndef PX_EXAMPLES_PI_KERNEL_H
#define PX_EXAMPLES_PI_KERNEL_H

#include "common/example.h"

typedef struct pi_options {
    uint64_t samples;
    uint64_t seed;
    uint64_t grain; /* points of one subtask; 0 = about 64 subtasks */
} pi_options;

/* How many of the points begin .. end - 1 lie inside the quarter circle. */
uint64_t pi_inside (uint64_t seed, uint64_t begin, uint64_t end);

void pi_print (const pi_options *options, uint64_t inside, example_answer *answer);

#endif
