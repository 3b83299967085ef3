/* z = a x + y over long vectors, and the sum and the largest of z: three numbers are moved for each that
 * is computed, so nothing is gained by sending them anywhere. No peerexec here. */
#ifndef PX_EXAMPLES_SAXPY_KERNEL_H
#define PX_EXAMPLES_SAXPY_KERNEL_H

#include "common/example.h"

typedef struct saxpy_options {
    uint64_t size;
    double a;
} saxpy_options;

typedef struct saxpy_totals {
    double sum;
    float largest;
} saxpy_totals;

/* The vectors: whole numbers, so that a sum of them is known beforehand. */
void saxpy_make (uint64_t size, float *x, float *y);

void saxpy_blend (float a, const float *x, const float *y, float *z, uint64_t n);
/* Adds n elements to what is there. */
void saxpy_add (const float *z, uint64_t n, saxpy_totals *totals);
/* Of nothing. */
saxpy_totals saxpy_none (void);

void saxpy_print (const saxpy_options *options, const saxpy_totals *totals, example_answer *answer);

#endif
