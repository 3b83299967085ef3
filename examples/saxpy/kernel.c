#include "saxpy/kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { X_PERIOD = 1000, Y_PERIOD = 777 };

void saxpy_make (uint64_t size, float *x, float *y)
{
    for (uint64_t i = 0; i < size; i++) {
        x[i] = (float)(i % X_PERIOD);
        y[i] = (float)(i % Y_PERIOD);
    }
}

void saxpy_blend (float a, const float *x, const float *y, float *z, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        z[i] = a * x[i] + y[i];
}

void saxpy_add (const float *z, uint64_t n, saxpy_totals *totals)
{
    for (uint64_t i = 0; i < n; i++) {
        totals->sum += z[i];
        totals->largest = z[i] > totals->largest ? z[i] : totals->largest;
    }
}

saxpy_totals saxpy_none (void)
{
    return (saxpy_totals){.sum = 0, .largest = -INFINITY};
}

void saxpy_print (const saxpy_options *options, const saxpy_totals *totals, example_answer *answer)
{
    example_print (answer, "size %llu\nsum %.6f\nlargest %.6f\n", (unsigned long long)options->size,
                   totals->sum, (double)totals->largest);
}

static int serial (const void *options, example_answer *answer, char *why)
{
    const saxpy_options *vectors = options;
    float *x = calloc (vectors->size, 3 * sizeof *x);
    if (x == NULL) {
        snprintf (why, EXAMPLE_WHY_SIZE, "out of memory");
        return -1;
    }
    float *y = x + vectors->size, *z = y + vectors->size;
    saxpy_totals totals = saxpy_none ();
    saxpy_make (vectors->size, x, y);
    saxpy_blend ((float)vectors->a, x, y, z, vectors->size);
    saxpy_add (z, vectors->size, &totals);
    saxpy_print (vectors, &totals, answer);
    free (x);
    return 0;
}

/* Sums are rounded in another order. */
static int same (const example_answer *answer, const example_answer *serial_answer)
{
    return example_same_numbers (answer, serial_answer, 1e-6);
}

static const saxpy_options DEFAULTS = {.size = 16777216, .a = 2};

#define FIELD(name) offsetof (saxpy_options, name)
static const example_option OPTIONS[] = {
    {"--size", EXAMPLE_UNSIGNED, FIELD (size), 1, 268435456, NULL, "elements of each vector"},
    {"-a", EXAMPLE_REAL, FIELD (a), -1e6, 1e6, NULL, "what x is multiplied with"},
};

const example_program example = {
    .name = "saxpy",
    .root = "saxpy.vectors",
    .purpose =
        "z = a x + y, its sum and its largest element: ranges that move more than they compute.",
    .options = OPTIONS,
    .n_options = sizeof OPTIONS / sizeof OPTIONS[0],
    .defaults = &DEFAULTS,
    .options_size = sizeof (saxpy_options),
    .serial = serial,
    .same = same,
};
