/* The Mandelbrot set as a grey picture. Points inside take `iterations` steps, points outside few,
 * so rows differ in cost by a factor of hundreds. No peerexec here. */
#ifndef PX_EXAMPLES_MANDELBROT_KERNEL_H
#define PX_EXAMPLES_MANDELBROT_KERNEL_H

#include "common/example.h"

enum { MANDELBROT_PGM, MANDELBROT_PNG };

typedef struct mandelbrot_options {
    uint64_t width, height;
    double x, y; /* centre */
    double span; /* width of the picture on the plane */
    uint64_t iterations;
    uint64_t rows; /* rows of one subtask */
    uint64_t format;
} mandelbrot_options;

/* Compute the grey values of one row. */
void mandelbrot_row (const mandelbrot_options *options, uint64_t row, unsigned char *greys);

/* Make a file of the picture: width x height grey values. Returns 0, or -1 with a sentence in
 * `why`. */
int mandelbrot_encode (const mandelbrot_options *options, unsigned char *greys,
                       example_answer *file, char why[EXAMPLE_WHY_SIZE]);

#endif
