/* What a device gives to one program alone: OpenCL in one process, no peer and no helper. And the same
 * figures through a helper; both work on the same kernels and data. */
#ifndef TOOLS_BENCH_PLAIN_H
#define TOOLS_BENCH_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

enum { PLAIN_STEPS = 2000 };
#define PLAIN_A 2.0f

/* iterate: z = z * z + x, PLAIN_STEPS times, for each item; blend: z = a * x + y. */
extern const char plain_source[];

typedef enum plain_kind { PLAIN_ITERATE, PLAIN_BLEND } plain_kind;

typedef struct device_figures {
    double launch_us;        /* one item, nothing to copy but its result */
    double to_gbs, from_gbs; /* from and to memory of the program */
    double compute,
        memory; /* items per second, from inputs in the program's memory to results there */
} device_figures_t;

void plain_fill (float *x, float *y, uint64_t n);
/* The right results. */
float plain_step (float c);
float plain_blend (float a, float x, float y);
/* Whether those are here, by a sample, and a number everywhere. */
bool plain_is_right (plain_kind kind, const float *x, const float *y, const float *z, uint64_t n);

typedef struct plain_sizes {
    uint64_t n_iterate, n_blend; /* items of each range; the copies' have n_blend */
} plain_sizes_t;

/* In a process of its own, for the drivers' sake. False: why is on standard error. */
bool plain_measure (uint32_t device, const plain_sizes_t *sizes, device_figures_t *figures);
/* That process: peer-bench devices --once -- DEVICE ITEMS STEPPED. False: it has no figures. */
struct bench;
bool plain_alone (const struct bench *bench, uint32_t device, const plain_sizes_t *sizes,
                  device_figures_t *figures);

#endif
