/* The core with memory that runs out now and then: included ahead of its sources. What fails are the objects
 * and the arrays of messages. The list of actions and the heap of timers are asserted to grow: see
 * core/core.c for why. */
#ifndef PX_TESTS_MEMORY_H
#define PX_TESTS_MEMORY_H

#include <stdlib.h>

void *memory_calloc (size_t n, size_t size);
void *memory_malloc (size_t size);

#define calloc memory_calloc
#define malloc memory_malloc

#endif
