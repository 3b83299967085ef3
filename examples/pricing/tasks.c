/* The portfolio as tasks: a parallel map over the desks, each of which maps over its instruments; or
 * one range over the instruments of all desks, in C and for OpenCL devices. The sums are taken in index
 * order, so they round as the serial ones do. An invalid instrument fails its task; the failure comes
 * out of the job with every level above it (--fail). A kernel cannot fail for one index: there it is
 * priced as no number, and the root tells why. */
#include "pricing/kernel.h"

#include <math.h>
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

static px_err price_maps (px_task *task, const pricing_options *options, double *values)
{
    desk_input *desks = calloc (options->desks, sizeof *desks);
    if (desks == NULL)
        return PX_ENOMEM;
    for (uint64_t i = 0; i < options->desks; i++)
        desks[i] = (desk_input){.options = *options, .desk = i};
    px_err err = px_map (task, "pricing.desks", price_desk, desks, sizeof *desks, options->desks,
                         values, sizeof *values);
    free (desks);
    return err;
}

/* ---- as a range: index i is instrument i + 1 --------------------------------------------------- */

static px_err prices_c (px_task *task, const px_chunk *chunk)
{
    (void)task;
    double *prices = chunk->args[0];
    const pricing_options options = {.seed = *(const uint64_t *)chunk->args[1],
                                     .fail = *(const uint64_t *)chunk->args[2]};
    for (uint64_t i = 0; i < chunk->n; i++) {
        pricing_instrument instrument;
        char why[EXAMPLE_WHY_SIZE];
        pricing_make (&options, chunk->begin + i + 1, &instrument);
        if (pricing_price (&instrument, &prices[i], why) < 0)
            prices[i] = NAN;
    }
    return PX_OK;
}

/* Differences of large numbers: cents of a price of nothing are not compared by their ratio. */
static const px_arg prices_args[] = {
    {PX_ARG_OUT, sizeof (double), 1, PX_NUMBER_DOUBLE, 1e-8, 1e-9, NULL},
    PX_VALUE (uint64_t),
    PX_VALUE (uint64_t),
    PX_BEGIN,
};

enum { PRICES_LINE = __LINE__ + 2 }; /* of the source: compilers of devices name it */
static const char prices_cl[] =
    "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"
    "double draw (ulong seed, ulong number, ulong field)\n"
    "{\n"
    "    ulong z = seed + (number * 8 + field + 1) * 0x9e3779b97f4a7c15UL;\n"
    "    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9UL;\n"
    "    z = (z ^ (z >> 27)) * 0x94d049bb133111ebUL;\n"
    "    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;\n"
    "}\n"
    "double normal (double x)\n"
    "{\n"
    "    return 0.5 * erfc (-x * M_SQRT1_2);\n"
    "}\n"
    "kernel void prices (global double *prices, ulong seed, ulong fail, ulong begin)\n"
    "{\n"
    "    ulong number = begin + get_global_id (0) + 1;\n"
    "    double sign = draw (seed, number, 0) < 0.5 ? -1 : 1;\n"
    "    double spot = 50 + 100 * draw (seed, number, 1);\n"
    "    double strike = 50 + 100 * draw (seed, number, 2);\n"
    "    double rate = 0.05 * draw (seed, number, 3);\n"
    "    double volatility = 0.1 + 0.4 * draw (seed, number, 4);\n"
    "    double years = 0.1 + 4.9 * draw (seed, number, 5);\n"
    "    double amount = floor (1 + 99 * draw (seed, number, 6));\n"
    "    double spread = volatility * sqrt (years);\n"
    "    double drift = (rate + volatility * volatility / 2) * years;\n"
    "    double d1 = (log (spot / strike) + drift) / spread, d2 = d1 - spread;\n"
    "    double worth = spot * normal (sign * d1);\n"
    "    worth -= strike * exp (-rate * years) * normal (sign * d2);\n"
    "    prices[get_global_id (0)] = number == fail ? NAN : sign * worth * amount;\n"
    "}\n";
PX_RANGE_TASK_AT (prices, prices_c, prices_args, prices_cl, "prices", "", 1, __FILE__, PRICES_LINE)

static px_err tell_why (px_task *task, const pricing_options *options, uint64_t number)
{
    pricing_instrument instrument;
    char why[EXAMPLE_WHY_SIZE] = "";
    double price;
    pricing_make (options, number, &instrument);
    if (pricing_price (&instrument, &price, why) < 0)
        return px_task_fail (task, "%s", why);
    return px_task_fail (task, "instrument %llu has no price", (unsigned long long)number);
}

static px_err sum_desks (px_task *task, const pricing_options *options, const double *prices,
                         double *values)
{
    for (uint64_t i = 0; i < options->desks * options->instruments; i++) {
        if (isnan (prices[i]))
            return tell_why (task, options, i + 1);
        values[i / options->instruments] += prices[i];
    }
    return PX_OK;
}

static px_err price_range (px_task *task, const pricing_options *options, double *values)
{
    uint64_t n = options->desks * options->instruments;
    double *prices = calloc (n, sizeof *prices);
    if (prices == NULL)
        return PX_ENOMEM;
    px_bind binds[] = {PX_BIND_OUT (prices, n * sizeof *prices),
                       PX_BIND_IN (&options->seed, sizeof options->seed),
                       PX_BIND_IN (&options->fail, sizeof options->fail), PX_BIND_NONE};
    px_err err = px_range_branch (task, "pricing.prices", PX_RANGE (prices), 0, n, binds,
                                  sizeof binds / sizeof *binds, NULL);
    if (err == PX_OK)
        err = sum_desks (task, options, prices, values);
    free (prices);
    return err;
}

/* ---- the root task: options as text in, the answer as text out -------------------------------- */

static px_err portfolio (px_task *task, const void *input, size_t input_size)
{
    pricing_options options;
    char why[EXAMPLE_WHY_SIZE];
    if (example_parse (&example, input, input_size, &options, why) < 0)
        return px_task_fail (task, "%s", why);
    double *values = calloc (options.desks, sizeof *values);
    if (values == NULL)
        return PX_ENOMEM;
    px_err err = options.how == PRICING_RANGE ? price_range (task, &options, values)
                                              : price_maps (task, &options, values);
    example_answer answer = {0};
    if (err == PX_OK) {
        pricing_print (&options, values, &answer);
        err = px_task_return (task, answer.bytes, answer.size);
    }
    example_answer_fini (&answer);
    free (values);
    return err;
}
PX_TASK (portfolio)
