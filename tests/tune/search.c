/* tune/search: what a caller may rely on. How good its choices are: landscapes.c. */
#include <criterion/criterion.h>
#include <math.h>

#include "tune/search.h"

static const pxi_tune_config one = {.seed = 1, .n_points = 1, .points = {{0, 32, 64, 8}}};

/* Best at 8: twice as fast as the standard. */
static double time_of (uint32_t value)
{
    return 2 + fabs (log2 (1.0 + value) - log2 (9));
}

static pxi_tune_sample sample_of (const pxi_tune_setting *setting, double cut_s)
{
    double took = time_of (setting->values[0]);
    bool cut = cut_s > 0 && took > cut_s;
    return (pxi_tune_sample){.makespan_s = cut ? cut_s : took, .cut = cut};
}

static uint32_t run (pxi_tune *tune, pxi_tune_setting *settings)
{
    uint32_t n = 0;
    double cut_s;
    while (pxi_tune_ask (tune, &settings[n], &cut_s)) {
        pxi_tune_sample sample = sample_of (&settings[n++], cut_s);
        pxi_tune_tell (tune, &sample);
    }
    return n;
}

Test (search, begins_with_the_standard_and_is_the_same_again)
{
    pxi_tune_setting first[PXI_TUNE_RUNS_PER_POINT + 1], second[PXI_TUNE_RUNS_PER_POINT + 1];
    pxi_tune *tune = pxi_tune_new (&one), *again = pxi_tune_new (&one);
    uint32_t n = run (tune, first);
    cr_assert_leq (n, PXI_TUNE_RUNS_PER_POINT);
    cr_assert_eq (first[0].values[0], 32, "the standard, 64, is more than there are workers");
    cr_assert_eq (run (again, second), n);
    for (uint32_t i = 0; i < n; i++)
        cr_assert (pxi_tune_same (tune, &first[i], &second[i]));
    pxi_tune_free (&tune);
    pxi_tune_free (&again);
    cr_assert_null (tune);
}

Test (search, finds_the_best_and_says_by_how_much)
{
    pxi_tune_setting settings[PXI_TUNE_RUNS_PER_POINT + 1];
    pxi_tune_result result;
    pxi_tune_belief belief;
    pxi_tune *tune = pxi_tune_new (&one);
    run (tune, settings);
    pxi_tune_read (tune, &result);
    pxi_tune_believe (tune, &result.setting, &belief);
    cr_assert_eq (result.verdict, PXI_TUNE_BETTER);
    cr_assert_eq (result.setting.values[0], 8);
    double gain = 1 - time_of (8) / time_of (32);
    cr_assert (result.gain_low < gain && gain < result.gain_high);
    cr_assert (belief.low_s < time_of (8) && time_of (8) < belief.high_s);
    cr_assert_geq (belief.n_runs, 2, "compared with the standard at the end");
    cr_assert (result.matters[0]);
    pxi_tune_free (&tune);
}

Test (search, asks_again_for_what_was_spoiled)
{
    pxi_tune_setting asked, again;
    pxi_tune_result result;
    double cut_s;
    pxi_tune *tune = pxi_tune_new (&one);
    cr_assert (pxi_tune_ask (tune, &asked, &cut_s));
    cr_assert_eq (cut_s, 0);
    pxi_tune_spoil (tune);
    cr_assert (pxi_tune_ask (tune, &again, &cut_s));
    cr_assert (pxi_tune_same (tune, &asked, &again));
    for (int i = 1; i < PXI_TUNE_SPOILED_MAX; i++) {
        cr_assert (pxi_tune_ask (tune, &again, &cut_s));
        pxi_tune_spoil (tune);
    }
    cr_assert (!pxi_tune_ask (tune, &again, &cut_s), "nothing comes of it: over");
    pxi_tune_read (tune, &result);
    cr_assert_eq (result.n_runs, 0);
    cr_assert_eq (result.n_spoiled, PXI_TUNE_SPOILED_MAX);
    cr_assert_eq (result.setting.values[0], 32);
    pxi_tune_free (&tune);
}

Test (search, keeps_the_best_so_far_when_it_is_ended)
{
    pxi_tune_setting setting;
    pxi_tune_result result;
    double cut_s;
    pxi_tune *tune = pxi_tune_new (&one);
    do {
        cr_assert (pxi_tune_ask (tune, &setting, &cut_s));
        pxi_tune_sample sample = sample_of (&setting, cut_s);
        pxi_tune_tell (tune, &sample);
    } while (setting.values[0] != 8);
    pxi_tune_end (tune);
    cr_assert (!pxi_tune_ask (tune, &setting, &cut_s));
    pxi_tune_read (tune, &result);
    cr_assert_eq (result.best.values[0], 8);
    pxi_tune_free (&tune);
}

Test (search, takes_the_cheaper_one_where_cost_counts)
{
    pxi_tune_config config = one;
    pxi_tune_setting setting;
    pxi_tune_result result;
    double cut_s;
    config.objective = PXI_TUNE_COST;
    config.extra_max = 0.05;
    pxi_tune *tune = pxi_tune_new (&config);
    while (pxi_tune_ask (tune, &setting, &cut_s)) {
        pxi_tune_sample sample = sample_of (&setting, cut_s);
        sample.extra_share = setting.values[0] > 4 ? 0.5 : 0.01;
        pxi_tune_tell (tune, &sample);
    }
    pxi_tune_read (tune, &result);
    cr_assert_eq (result.verdict, PXI_TUNE_BETTER);
    cr_assert_leq (result.setting.values[0], 4);
    cr_assert_geq (result.setting.values[0], 3);
    pxi_tune_free (&tune);
}

Test (search, leaves_points_without_effect_alone_and_keeps_to_the_budget)
{
    pxi_tune_config config = {.seed = 3, .n_points = 3};
    pxi_tune_setting setting;
    pxi_tune_result result;
    double cut_s;
    for (uint32_t i = 0; i < 3; i++)
        config.points[i] = one.points[0];
    pxi_tune *tune = pxi_tune_new (&config);
    while (pxi_tune_ask (tune, &setting, &cut_s)) {
        pxi_tune_setting second = {{setting.values[1]}};
        pxi_tune_sample sample = sample_of (&second, cut_s);
        pxi_tune_tell (tune, &sample);
    }
    pxi_tune_read (tune, &result);
    cr_assert (!result.matters[0] && result.matters[1] && !result.matters[2]);
    cr_assert_eq (result.setting.values[0], 32);
    cr_assert_eq (result.setting.values[1], 8);
    cr_assert_eq (result.setting.values[2], 32);
    cr_assert_leq (result.n_runs, 3 * PXI_TUNE_RUNS_PER_POINT);
    pxi_tune_free (&tune);
}

Test (search, stops_at_the_runs_that_it_may_have)
{
    for (uint32_t n = 1; n <= 6; n++) {
        pxi_tune_setting settings[8];
        pxi_tune_config config = one;
        config.runs_max = n;
        pxi_tune *tune = pxi_tune_new (&config);
        cr_assert_eq (run (tune, settings), n);
        pxi_tune_free (&tune);
    }
}
