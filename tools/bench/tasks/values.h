/* Values to sort, and how they are sorted where they lie. Plain C: the serial twin is this as well. */
#ifndef TOOLS_BENCH_TASKS_VALUES_H
#define TOOLS_BENCH_TASKS_VALUES_H

#include <stdint.h>

void values_fill (uint64_t *values, uint64_t n);
void values_sort (uint64_t *values, uint64_t n);
/* Of their order. */
uint64_t values_hash (const uint64_t *values, uint64_t n);

#endif
