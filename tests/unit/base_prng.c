/* base/prng: published values, and moments of each distribution at fixed seeds. */
#include <criterion/criterion.h>
#include <stdint.h>

#include "base/prng.h"

Test (prng, follows_the_published_generators)
{
    /* xoshiro256** from the state 1, 2, 3, 4: the values of the authors' C code. */
    static const uint64_t expected[] = {11520, 0, 1509978240, UINT64_C (1215971899390074240)};
    pxi_prng prng = {{1, 2, 3, 4}};
    for (int i = 0; i < 4; i++)
        cr_assert_eq (pxi_prng_next (&prng), expected[i]);
    /* splitmix64 from 0: its first output. */
    pxi_prng_init (&prng, 0);
    cr_assert_eq (prng.state[0], UINT64_C (0xe220a8397b1dcdaf));
}

Test (prng, one_seed_is_one_sequence_and_two_seeds_are_two)
{
    pxi_prng a, b, c, child;
    pxi_prng_init (&a, 42);
    pxi_prng_init (&b, 42);
    pxi_prng_init (&c, 43);
    int n_same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t next = pxi_prng_next (&a);
        cr_assert_eq (next, pxi_prng_next (&b));
        n_same += next == pxi_prng_next (&c);
    }
    cr_assert_eq (n_same, 0);
    pxi_prng_split (&a, &child);
    cr_assert_neq (pxi_prng_next (&a), pxi_prng_next (&child));
}

Test (prng, bounded_draws_are_uniform)
{
    static const uint64_t bounds[] = {1, 2, 3, 7, 10, 97};
    pxi_prng prng;
    pxi_prng_init (&prng, 1);
    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
        uint64_t counts[97] = {0}, n = bounds[b], n_draws = 100000;
        for (uint64_t i = 0; i < n_draws; i++)
            counts[pxi_prng_below (&prng, n)]++;
        double expected = (double)n_draws / (double)n, chi2 = 0;
        for (uint64_t i = 0; i < n; i++)
            chi2 += ((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
        /* Mean n - 1, variance 2 (n - 1): five sigma and a little for the smallest n. */
        double excess = chi2 - (double)(n - 1);
        cr_assert (excess < 10 || excess * excess < 50 * (double)(n - 1), "n %d: %f", (int)n, chi2);
    }
}

Test (prng, bounds_that_do_not_divide_the_range_are_not_biased)
{
    /* For 3 * 2^62 a plain multiplication or remainder would hit one third twice as often. */
    pxi_prng prng;
    pxi_prng_init (&prng, 2);
    uint64_t n = UINT64_C (3) << 62, counts[3] = {0};
    for (int i = 0; i < 30000; i++) {
        uint64_t draw = pxi_prng_below (&prng, n);
        cr_assert_lt (draw, n);
        counts[draw >> 62]++;
    }
    for (int i = 0; i < 3; i++)
        cr_assert (counts[i] > 9500 && counts[i] < 10500, "%d", (int)counts[i]);
}

Test (prng, both_ends_of_a_range_are_drawn)
{
    pxi_prng prng;
    pxi_prng_init (&prng, 3);
    int n_low = 0, n_high = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t draw = pxi_prng_between (&prng, 5, 8);
        cr_assert (draw >= 5 && draw <= 8);
        n_low += draw == 5;
        n_high += draw == 8;
    }
    cr_assert (n_low > 0 && n_high > 0);
    cr_assert_eq (pxi_prng_between (&prng, 9, 9), 9);
    pxi_prng_between (&prng, 0, UINT64_MAX);
}

Test (prng, doubles_have_the_right_mean_and_never_reach_one)
{
    pxi_prng prng;
    pxi_prng_init (&prng, 4);
    double sum = 0;
    for (int i = 0; i < 100000; i++) {
        double draw = pxi_prng_double (&prng);
        cr_assert (draw >= 0 && draw < 1);
        sum += draw;
    }
    cr_assert (sum > 49500 && sum < 50500, "%f", sum);
}

Test (prng, exponential_draws_have_mean_variance_and_tail)
{
    pxi_prng prng;
    pxi_prng_init (&prng, 5);
    double sum = 0, squares = 0, mean = 250;
    int n_tail = 0, n_draws = 200000;
    for (int i = 0; i < n_draws; i++) {
        double draw = pxi_prng_exponential (&prng, mean);
        cr_assert (draw >= 0);
        sum += draw / mean;
        squares += draw / mean * (draw / mean);
        n_tail += draw > 3 * mean;
    }
    cr_assert (sum / n_draws > 0.99 && sum / n_draws < 1.01, "%f", sum / n_draws);
    cr_assert (squares / n_draws > 1.95 && squares / n_draws < 2.05, "%f", squares / n_draws);
    /* exp (-3) = 0.0498 */
    cr_assert (n_tail > 0.048 * n_draws && n_tail < 0.0516 * n_draws, "%d", n_tail);
    cr_assert (pxi_prng_exponential (&prng, 0) == 0);
}

Test (prng, a_chance_is_in_parts_per_million)
{
    pxi_prng prng;
    pxi_prng_init (&prng, 6);
    int n_true = 0;
    for (int i = 0; i < 100000; i++) {
        cr_assert_not (pxi_prng_chance (&prng, 0));
        cr_assert (pxi_prng_chance (&prng, 1000000));
        n_true += pxi_prng_chance (&prng, 250000);
    }
    cr_assert (n_true > 24500 && n_true < 25500, "%d", n_true);
}
