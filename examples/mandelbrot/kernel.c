/* Only additions, multiplications and square roots, which IEEE 754 rounds in one way, and the build
 * forbids contraction: the picture is the same bytes on every host. */
#include "mandelbrot/kernel.h"

#include <math.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>

/* Steps until |z| > 2. */
static uint64_t steps (double re, double im, uint64_t steps_max)
{
    double x = 0, y = 0;
    uint64_t n = 0;
    while (n < steps_max && x * x + y * y <= 4) {
        double next = x * x - y * y + re;
        y = 2 * x * y + im;
        x = next;
        n++;
    }
    return n;
}

static unsigned char grey (const mandelbrot_view *view, uint64_t column, uint64_t row)
{
    double re = view->left + view->step * ((double)column + 0.5);
    double im = view->top - view->step * ((double)row + 0.5);
    uint64_t n = steps (re, im, view->iterations);
    double share = sqrt (sqrt ((double)n / (double)view->iterations));
    return n == view->iterations ? 0 : (unsigned char)(255 * share);
}

mandelbrot_view mandelbrot_look (const mandelbrot_options *options)
{
    double step = options->span / (double)options->width;
    return (mandelbrot_view){.left = options->x - options->span / 2,
                             .top = options->y + step * (double)options->height / 2,
                             .step = step,
                             .width = options->width,
                             .iterations = options->iterations};
}

void mandelbrot_points (const mandelbrot_view *view, uint64_t begin, uint64_t n,
                        unsigned char *greys)
{
    for (uint64_t i = 0; i < n; i++)
        greys[i] = grey (view, (begin + i) % view->width, (begin + i) / view->width);
}

void mandelbrot_row (const mandelbrot_options *options, uint64_t row, unsigned char *greys)
{
    mandelbrot_view view = mandelbrot_look (options);
    mandelbrot_points (&view, row * view.width, view.width, greys);
}

static void png_append (png_structp png, png_bytep bytes, png_size_t size)
{
    example_append (png_get_io_ptr (png), bytes, size);
}

static void png_flush_nothing (png_structp png)
{
    (void)png;
}

/* libpng leaves by longjmp on error: nothing of ours is live across it but `file`. */
static int encode_png (const mandelbrot_options *options, unsigned char *greys,
                       example_answer *file)
{
    png_structp png = png_create_write_struct (PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct (png) : NULL;
    if (info == NULL || setjmp (png_jmpbuf (png))) {
        png_destroy_write_struct (&png, &info);
        return -1;
    }
    png_set_write_fn (png, file, png_append, png_flush_nothing);
    png_set_IHDR (png, info, (png_uint_32)options->width, (png_uint_32)options->height, 8,
                  PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                  PNG_FILTER_TYPE_DEFAULT);
    png_write_info (png, info);
    for (uint64_t row = 0; row < options->height; row++)
        png_write_row (png, greys + row * options->width);
    png_write_end (png, info);
    png_destroy_write_struct (&png, &info);
    return 0;
}

int mandelbrot_encode (const mandelbrot_options *options, unsigned char *greys,
                       example_answer *file, char why[EXAMPLE_WHY_SIZE])
{
    if (options->format == MANDELBROT_PNG) {
        if (encode_png (options, greys, file) == 0)
            return 0;
        snprintf (why, EXAMPLE_WHY_SIZE, "libpng could not encode the picture");
        return -1;
    }
    example_print (file, "P5\n%llu %llu\n255\n", (unsigned long long)options->width,
                   (unsigned long long)options->height);
    example_append (file, greys, options->width * options->height);
    return 0;
}

static int serial (const void *options, example_answer *answer, char *why)
{
    const mandelbrot_options *picture = options;
    unsigned char *greys = malloc (picture->width * picture->height);
    if (greys == NULL) {
        snprintf (why, EXAMPLE_WHY_SIZE, "out of memory");
        return -1;
    }
    for (uint64_t row = 0; row < picture->height; row++)
        mandelbrot_row (picture, row, greys + row * picture->width);
    int failed = mandelbrot_encode (picture, greys, answer, why);
    free (greys);
    return failed;
}

static const mandelbrot_options DEFAULTS = {.width = 800,
                                            .height = 600,
                                            .x = -0.65,
                                            .y = 0,
                                            .span = 3.2,
                                            .iterations = 1000,
                                            .rows = 4,
                                            .format = MANDELBROT_PGM,
                                            .how = MANDELBROT_ROWS};

#define FIELD(name) offsetof (mandelbrot_options, name)
static const example_option OPTIONS[] = {
    {"--width", EXAMPLE_UNSIGNED, FIELD (width), 1, 8192, NULL, "of the picture, in points"},
    {"--height", EXAMPLE_UNSIGNED, FIELD (height), 1, 8192, NULL, "of the picture, in points"},
    {"--x", EXAMPLE_REAL, FIELD (x), -4, 4, NULL, "centre, real part"},
    {"--y", EXAMPLE_REAL, FIELD (y), -4, 4, NULL, "centre, imaginary part"},
    {"--span", EXAMPLE_REAL, FIELD (span), 1e-15, 16, NULL, "width of the picture on the plane"},
    {"--iterations", EXAMPLE_UNSIGNED, FIELD (iterations), 1, 1e9, NULL, "steps of a point"},
    {"--rows", EXAMPLE_UNSIGNED, FIELD (rows), 1, 8192, NULL, "rows of one subtask"},
    {"--format", EXAMPLE_CHOICE, FIELD (format), 0, 0, "pgm|png", "of the file"},
    {"--how", EXAMPLE_CHOICE, FIELD (how), 0, 0, "rows|range",
     "a loop over the rows, or a range of points, which OpenCL devices take too"},
};

const example_program example = {
    .name = "mandelbrot",
    .root = "mandelbrot.image",
    .purpose = "Draw the Mandelbrot set into a file (see --output).",
    .options = OPTIONS,
    .n_options = sizeof OPTIONS / sizeof OPTIONS[0],
    .defaults = &DEFAULTS,
    .options_size = sizeof (mandelbrot_options),
    .serial = serial,
};
