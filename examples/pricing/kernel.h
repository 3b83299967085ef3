/* Value of a portfolio: desks that hold European options, priced by the formula of Black and
 * Scholes. The instruments are made up from a seed; one may be made invalid, to see what an error
 * looks like. */
#ifndef PX_EXAMPLES_PRICING_KERNEL_H
#define PX_EXAMPLES_PRICING_KERNEL_H

#include "common/example.h"

typedef struct pricing_options {
    uint64_t desks;
    uint64_t instruments; /* of each desk */
    uint64_t seed;
    uint64_t
        fail; /* number of the invalid instrument, counted from 1 through all desks; 0 = none */
    uint64_t how;
} pricing_options;

enum { PRICING_MAPS, PRICING_RANGE };

typedef struct pricing_instrument {
    uint64_t number; /* from 1 */
    uint64_t is_put;
    double spot, strike, rate, volatility, years;
    double amount;
} pricing_instrument;

void pricing_make (const pricing_options *options, uint64_t number, pricing_instrument *instrument);

/* Price of one. Returns 0, or -1 with a sentence in `why` when the instrument is not valid. */
int pricing_price (const pricing_instrument *instrument, double *price, char why[EXAMPLE_WHY_SIZE]);

void pricing_print (const pricing_options *options, const double *desks, example_answer *answer);

#endif
