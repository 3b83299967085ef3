/* The Mandelbrot set as a grey picture. Points inside take `iterations` steps, points outside few,
 * so rows differ in cost by a factor of hundreds. No peerexec here. */
#ifndef PX_EXAMPLES_MANDELBROT_KERNEL_H
#define PX_EXAMPLES_MANDELBROT_KERNEL_H

#include "common/example.h"

enum { MANDELBROT_PGM, MANDELBROT_PNG };
enum { MANDELBROT_ROWS, MANDELBROT_RANGE };

typedef struct mandelbrot_options {
    uint64_t width, height;
    double x, y; /* centre */
    double span; /* width of the picture on the plane */
    uint64_t iterations;
    uint64_t rows; /* rows of one subtask */
    uint64_t format;
    uint64_t how;
} mandelbrot_options;

/* Where the points of a picture are. */
typedef struct mandelbrot_view {
    double left, top, step;
    uint64_t width, iterations;
} mandelbrot_view;

mandelbrot_view mandelbrot_look (const mandelbrot_options *options);
/* Compute the grey values of n points, counted row by row, from the one of number `begin` on. */
void mandelbrot_points (const mandelbrot_view *view, uint64_t begin, uint64_t n,
                        unsigned char *greys);
/* The same for one row. */
void mandelbrot_row (const mandelbrot_options *options, uint64_t row, unsigned char *greys);

/* Make a file of the picture: width x height grey values. Returns 0, or -1 with a sentence in
 * `why`. */
int mandelbrot_encode (const mandelbrot_options *options, unsigned char *greys,
                       example_answer *file, char why[EXAMPLE_WHY_SIZE]);

#endif
