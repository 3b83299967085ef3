/* The Mandelbrot set as tasks: a parallel for over the rows; each subtask's rows are put where they
 * belong as they come. */
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

static px_err draw (px_task *task, const mandelbrot_options *options, picture *p)
{
    char why[EXAMPLE_WHY_SIZE];
    px_err err = px_for (task, "mandelbrot.rows", 0, options->height, options->rows, rows, options,
                         sizeof *options, put, p);
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
