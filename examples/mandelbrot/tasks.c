/* The Mandelbrot set as tasks: a parallel for over the rows, each subtask's rows put where they belong
 * as they come; or a range of points, in C and for OpenCL devices. Both give the same bytes: the kernel
 * forbids contraction, too, and what it uses is rounded in one way. */
#include "mandelbrot/kernel.h"

#include <peerexec/peerexec.h>
#include <stdlib.h>
#include <string.h>

PX_MODULE ("mandelbrot", "1.0")

static px_err rows (px_task *task, const void *input, size_t input_size)
{
    const px_range *range = input;
    size_t options_size;
    const mandelbrot_options *options = px_task_shared (task, &options_size);
    if (input_size != sizeof *range || options_size != sizeof *options)
        return px_task_fail (task, "%zu bytes are no rows of a picture", input_size);
    size_t width = options->width;
    void *greys = NULL;
    px_err err = px_task_result (task, (range->end - range->begin) * width, &greys);
    if (err != PX_OK)
        return err;
    for (uint64_t row = range->begin; row < range->end; row++)
        mandelbrot_row (options, row, (unsigned char *)greys + (row - range->begin) * width);
    return PX_OK;
}
PX_TASK (rows)

typedef struct picture {
    const mandelbrot_options *options;
    unsigned char *greys;
} picture;

static px_err put (void *context, uint64_t index, const px_outcome *outcome)
{
    picture *p = context;
    uint64_t begin = index * p->options->rows;
    uint64_t n_rows = p->options->height - begin;
    if (n_rows > p->options->rows)
        n_rows = p->options->rows;
    if (outcome->code != PX_OK || outcome->bytes_size != n_rows * p->options->width)
        return PX_EFAILED;
    memcpy (p->greys + begin * p->options->width, outcome->bytes, outcome->bytes_size);
    return PX_OK;
}

static px_err draw_rows (px_task *task, picture *p)
{
    const mandelbrot_options *options = p->options;
    return px_for (task, "mandelbrot.rows", 0, options->height, options->rows, rows, options,
                   sizeof *options, put, p);
}

static px_err points_c (px_task *task, const px_chunk *chunk)
{
    (void)task;
    mandelbrot_view view = {.left = *(const double *)chunk->args[1],
                            .top = *(const double *)chunk->args[2],
                            .step = *(const double *)chunk->args[3],
                            .width = *(const uint64_t *)chunk->args[4],
                            .iterations = *(const uint64_t *)chunk->args[5]};
    mandelbrot_points (&view, chunk->begin, chunk->n, chunk->args[0]);
    return PX_OK;
}

static const px_arg points_args[] = {
    PX_OUT (unsigned char), PX_VALUE (double),   PX_VALUE (double), PX_VALUE (double),
    PX_VALUE (uint64_t),    PX_VALUE (uint64_t), PX_BEGIN};

enum { POINTS_LINE = __LINE__ + 2 }; /* of the source: compilers of devices name it */
static const char points_cl[] =
    "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"
    "#pragma OPENCL FP_CONTRACT OFF\n"
    "kernel void points (global uchar *greys, double left, double top, double step, ulong width,\n"
    "                    ulong iterations, ulong begin)\n"
    "{\n"
    "    ulong point = begin + get_global_id (0), n = 0;\n"
    "    double re = left + step * ((double)(point % width) + 0.5);\n"
    "    double im = top - step * ((double)(point / width) + 0.5);\n"
    "    double x = 0, y = 0;\n"
    "    while (n < iterations && x * x + y * y <= 4) {\n"
    "        double next = x * x - y * y + re;\n"
    "        y = 2 * x * y + im;\n"
    "        x = next;\n"
    "        n++;\n"
    "    }\n"
    "    double share = sqrt (sqrt ((double)n / (double)iterations));\n"
    "    greys[get_global_id (0)] = n == iterations ? 0 : (uchar)(255 * share);\n"
    "}\n";
PX_RANGE_TASK_AT (points, points_c, points_args, points_cl, "points", "", 1, __FILE__, POINTS_LINE)

static px_err draw_range (px_task *task, picture *p)
{
    mandelbrot_view view = mandelbrot_look (p->options);
    uint64_t n = view.width * p->options->height;
    px_bind binds[] = {PX_BIND_OUT (p->greys, n),
                       PX_BIND_IN (&view.left, sizeof view.left),
                       PX_BIND_IN (&view.top, sizeof view.top),
                       PX_BIND_IN (&view.step, sizeof view.step),
                       PX_BIND_IN (&view.width, sizeof view.width),
                       PX_BIND_IN (&view.iterations, sizeof view.iterations),
                       PX_BIND_NONE};
    return px_range_branch (task, "mandelbrot.points", PX_RANGE (points), 0, n, binds,
                            sizeof binds / sizeof *binds, NULL);
}

static px_err draw (px_task *task, const mandelbrot_options *options, picture *p)
{
    char why[EXAMPLE_WHY_SIZE];
    px_err err = options->how == MANDELBROT_RANGE ? draw_range (task, p) : draw_rows (task, p);
    if (err != PX_OK)
        return err;
    example_answer file = {0};
    if (mandelbrot_encode (options, p->greys, &file, why) < 0)
        err = px_task_fail (task, "%s", why);
    else
        err = px_task_return (task, file.bytes, file.size);
    example_answer_fini (&file);
    return err;
}

/* The root task: options as text in, a picture's file out. */
static px_err image (px_task *task, const void *input, size_t input_size)
{
    mandelbrot_options options;
    char why[EXAMPLE_WHY_SIZE];
    if (example_parse (&example, input, input_size, &options, why) < 0)
        return px_task_fail (task, "%s", why);
    picture p = {.options = &options, .greys = malloc (options.width * options.height)};
    px_err err = p.greys ? draw (task, &options, &p) : PX_ENOMEM;
    free (p.greys);
    return err;
}
PX_TASK (image)
