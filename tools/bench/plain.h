/* What a device gives to one program alone: OpenCL in one process, no peer and no helper. And the same
 * figures through a helper; both work on the same kernels and data. */
#ifndef TOOLS_BENCH_PLAIN_H
#define TOOLS_BENCH_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

enum { PLAIN_STEPS = 2000 };

/* iterate: x = x * x + c, PLAIN_STEPS times, for each item; blend: z = a * x + y. */
extern const char plain_source[];

typedef struct device_figures {
    double launch_us;        /* one item, nothing to copy but its result */
    double to_gbs, from_gbs; /* from and to memory of the program */
    double compute,
        memory; /* items per second, from inputs in the program's memory to results there */
} device_figures_t;

/* The right results. */
float plain_step (float c);
float plain_blend (float x, float y);

/* n items of blend; a 64th part of iterate. In a process of its own, for the drivers' sake. False: why is on
 * standard error. */
bool plain_measure (uint32_t device, uint64_t n, device_figures_t *figures);

#endif
