/* The portfolio as tasks: a parallel map over the desks, each of which maps over its instruments.
 * The sums are taken in index order, so they round as the serial ones do. An invalid instrument
 * fails its task; the failure comes out of the job with every level above it (--fail). */
#include "pricing/kernel.h"

#include <peerexec/peerexec.h>
#include <stdlib.h>

PX_MODULE ("pricing", "1.0")

typedef struct desk_input {
    pricing_options options;
    uint64_t desk;
} desk_input;

static px_err price_one (px_task *task, const void *input, size_t input_size)
{
    char why[EXAMPLE_WHY_SIZE];
    double price;
    if (input_size != sizeof (pricing_instrument))
        return px_task_fail (task, "%zu bytes are no instrument", input_size);
    if (pricing_price (input, &price, why) < 0)
        return px_task_fail (task, "%s", why);
    return px_task_return (task, &price, sizeof price);
}
PX_TASK (price_one)

static void add_in_order (void *total, const void *price, size_t price_size)
{
    if (price_size == sizeof (double))
        *(double *)total += *(const double *)price;
}

static px_err price_desk (px_task *task, const void *input, size_t input_size)
{
    const desk_input *work = input;
    if (input_size != sizeof *work)
        return px_task_fail (task, "%zu bytes are no desk", input_size);
    size_t n = work->options.instruments;
    pricing_instrument *instruments = calloc (n, sizeof *instruments);
    if (instruments == NULL)
        return PX_ENOMEM;
    for (size_t i = 0; i < n; i++)
        pricing_make (&work->options, work->desk * n + i + 1, &instruments[i]);
    double value = 0;
    px_err err = px_map_reduce (task, "pricing.instruments", price_one, instruments,
                                sizeof *instruments, n, add_in_order, &value, 1);
    free (instruments);
    return err != PX_OK ? err : px_task_return (task, &value, sizeof value);
}
PX_TASK (price_desk)

static px_err price_desks (px_task *task, const pricing_options *options, desk_input *desks,
                           double *values)
{
    for (uint64_t i = 0; i < options->desks; i++)
        desks[i] = (desk_input){.options = *options, .desk = i};
    px_err err = px_map (task, "pricing.desks", price_desk, desks, sizeof *desks, options->desks,
                         values, sizeof *values);
    if (err != PX_OK)
        return err;
    example_answer answer = {0};
    pricing_print (options, values, &answer);
    err = px_task_return (task, answer.bytes, answer.size);
    example_answer_fini (&answer);
    return err;
}

/* The root task: options as text in, the answer as text out. */
static px_err portfolio (px_task *task, const void *input, size_t input_size)
{
    pricing_options options;
    char why[EXAMPLE_WHY_SIZE];
    if (example_parse (&example, input, input_size, &options, why) < 0)
        return px_task_fail (task, "%s", why);
    desk_input *desks = calloc (options.desks, sizeof *desks);
    double *values = calloc (options.desks, sizeof *values);
    px_err err = desks && values ? price_desks (task, &options, desks, values) : PX_ENOMEM;
    free (desks);
    free (values);
    return err;
}
PX_TASK (portfolio)
