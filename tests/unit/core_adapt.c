/* The arithmetic of the number in force. */
#include <criterion/criterion.h>

#include "base/prng.h"
#include "core/adapt.h"

Test (adapt, a_half_of_the_workers_that_goes_takes_it_to_what_is_left)
{
    pxi_adapt adapt = {.number = 64, .peak = 64};
    for (uint32_t held = 31; held >= 16; held--)
        pxi_adapt_down (&adapt, held);
    cr_assert_geq (adapt.number, 17);
    cr_assert_leq (adapt.number, 32);
}

Test (adapt, it_does_not_fall_below_what_was_away_since_it_fell_last)
{
    pxi_adapt adapt = {.number = 64, .peak = 64};
    pxi_adapt_down (&adapt, 3);
    cr_assert_eq (adapt.number, 64, "all of them were away");
    adapt.peak = 50;
    pxi_adapt_down (&adapt, 3);
    cr_assert_eq (adapt.number, 50);
    pxi_adapt_down (&adapt, 3);
    cr_assert_eq (adapt.number, 25);
}

Test (adapt, it_rises_by_one_up_to_the_most)
{
    pxi_adapt adapt = {.number = 3, .peak = 3};
    pxi_adapt_up (&adapt, 5);
    cr_assert_eq (adapt.number, 4);
    pxi_adapt_up (&adapt, 5);
    pxi_adapt_up (&adapt, 5);
    cr_assert_eq (adapt.number, 5);
    pxi_adapt_up (&adapt, 2);
    cr_assert_eq (adapt.number, 5, "another branch's most is no reason to fall");
}

Test (adapt, whatever_happens_it_stays_within_its_bounds)
{
    pxi_prng prng;
    pxi_prng_init (&prng, 5);
    for (uint32_t most = 1; most <= 70; most += 3) {
        pxi_adapt adapt = {.number = most, .peak = most};
        for (int i = 0; i < 1000; i++) {
            uint32_t held = (uint32_t)pxi_prng_below (&prng, adapt.number + 1);
            if (pxi_prng_chance (&prng, 500000))
                pxi_adapt_down (&adapt, held);
            else
                pxi_adapt_up (&adapt, most);
            adapt.peak = adapt.peak > held ? adapt.peak : held;
            cr_assert (adapt.number >= 1 && adapt.number <= most);
        }
    }
}
