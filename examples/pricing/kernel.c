#include "pricing/kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A number on [0, 1) for one field of one instrument (SplitMix64 at an index). */
static double draw (uint64_t seed, uint64_t number, uint64_t field)
{
    uint64_t z = seed + (number * 8 + field + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

void pricing_make (const pricing_options *options, uint64_t number, pricing_instrument *instrument)
{
    uint64_t seed = options->seed;
    *instrument = (pricing_instrument){
        .number = number,
        .is_put = draw (seed, number, 0) < 0.5,
        .spot = 50 + 100 * draw (seed, number, 1),
        .strike = 50 + 100 * draw (seed, number, 2),
        .rate = 0.05 * draw (seed, number, 3),
        .volatility = 0.1 + 0.4 * draw (seed, number, 4),
        .years = 0.1 + 4.9 * draw (seed, number, 5),
        .amount = floor (1 + 99 * draw (seed, number, 6)),
    };
    if (number == options->fail)
        instrument->volatility = -instrument->volatility;
}

static double normal (double x)
{
    return 0.5 * erfc (-x * M_SQRT1_2);
}

int pricing_price (const pricing_instrument *i, double *price, char why[EXAMPLE_WHY_SIZE])
{
    if (!(i->volatility > 0)) {
        snprintf (why, EXAMPLE_WHY_SIZE, "instrument %llu: volatility %.4f is not positive",
                  (unsigned long long)i->number, i->volatility);
        return -1;
    }
    double spread = i->volatility * sqrt (i->years);
    double drift = (i->rate + i->volatility * i->volatility / 2) * i->years;
    double d1 = (log (i->spot / i->strike) + drift) / spread;
    double d2 = d1 - spread;
    double strike_now = i->strike * exp (-i->rate * i->years);
    if (i->is_put)
        *price = strike_now * normal (-d2) - i->spot * normal (-d1);
    else
        *price = i->spot * normal (d1) - strike_now * normal (d2);
    *price *= i->amount;
    return 0;
}

void pricing_print (const pricing_options *options, const double *desks, example_answer *answer)
{
    double total = 0;
    for (uint64_t i = 0; i < options->desks; i++) {
        example_print (answer, "desk %llu: %.6f\n", (unsigned long long)i + 1, desks[i]);
        total += desks[i];
    }
    example_print (answer, "portfolio of %llu instruments: %.6f\n",
                   (unsigned long long)(options->desks * options->instruments), total);
}

static int price_desk (const pricing_options *options, uint64_t desk, double *value, char *why)
{
    *value = 0;
    for (uint64_t i = 1; i <= options->instruments; i++) {
        pricing_instrument instrument;
        double price;
        pricing_make (options, desk * options->instruments + i, &instrument);
        if (pricing_price (&instrument, &price, why) < 0)
            return -1;
        *value += price;
    }
    return 0;
}

static int serial (const void *options, example_answer *answer, char *why)
{
    const pricing_options *portfolio = options;
    double *desks = calloc (portfolio->desks, sizeof *desks);
    if (desks == NULL) {
        snprintf (why, EXAMPLE_WHY_SIZE, "out of memory");
        return -1;
    }
    int failed = 0;
    for (uint64_t desk = 0; desk < portfolio->desks && !failed; desk++)
        failed = price_desk (portfolio, desk, &desks[desk], why);
    if (!failed)
        pricing_print (portfolio, desks, answer);
    free (desks);
    return failed;
}

static const pricing_options DEFAULTS = {
    .desks = 8, .instruments = 250, .seed = 1, .fail = 0, .how = PRICING_MAPS};

#define FIELD(name) offsetof (pricing_options, name)
static const example_option OPTIONS[] = {
    {"--desks", EXAMPLE_UNSIGNED, FIELD (desks), 1, 1000, NULL, "of the portfolio"},
    {"--instruments", EXAMPLE_UNSIGNED, FIELD (instruments), 1, 100000, NULL, "of each desk"},
    {"--seed", EXAMPLE_UNSIGNED, FIELD (seed), 0, 9e18, NULL, "of the made-up instruments"},
    {"--fail", EXAMPLE_UNSIGNED, FIELD (fail), 0, 1e8, NULL,
     "make this instrument invalid; 0 = none"},
    {"--how", EXAMPLE_CHOICE, FIELD (how), 0, 0, "maps|range",
     "maps in maps, or one range of all instruments, which OpenCL devices take too"},
};

/* A device's logarithm may be another one in its last bits. */
static int same (const example_answer *answer, const example_answer *serial)
{
    return example_same_numbers (answer, serial, 1e-9);
}

static int validate (const void *options, char *why)
{
    const pricing_options *portfolio = options;
    if (portfolio->fail <= portfolio->desks * portfolio->instruments)
        return 0;
    snprintf (why, EXAMPLE_WHY_SIZE, "--fail is %llu, there are only %llu instruments",
              (unsigned long long)portfolio->fail,
              (unsigned long long)(portfolio->desks * portfolio->instruments));
    return -1;
}

const example_program example = {
    .name = "pricing",
    .root = "pricing.portfolio",
    .purpose = "Price a portfolio of options; --fail shows the chain of an error.",
    .options = OPTIONS,
    .n_options = sizeof OPTIONS / sizeof OPTIONS[0],
    .defaults = &DEFAULTS,
    .options_size = sizeof (pricing_options),
    .validate = validate,
    .serial = serial,
    .same = same,
};
