/* Every run is a world of its own seed, so times vary as they do on real hosts. */
#include "tune/simulated.h"

#include <inttypes.h>
#include <stdio.h>

#include "tune/search.h"

static void print_numbers (const simulated_t *simulated, const uint32_t *values)
{
    for (uint32_t i = 0; i < simulated->n_points; i++)
        printf ("%s%" PRIu32, i ? "," : "", values[i]);
}

static void print_run (const simulated_t *simulated, const pxi_tune_setting *setting,
                       double makespan_s, const pxi_tune_sample *sample, uint64_t n_messages)
{
    if (simulated->json)
        return;
    printf ("numbers ");
    print_numbers (simulated, setting->values);
    printf ("  makespan %.4f s  extra work %.1f %%  messages %" PRIu64 "\n", makespan_s,
            100 * sample->extra_share, n_messages);
    fflush (stdout);
}

static void print_result (const simulated_t *simulated, const pxi_tune *tune)
{
    static const char *const verdicts[] = {"default", "not beyond the noise", "better"};
    pxi_tune_result result;
    pxi_tune_read (tune, &result);
    printf (simulated->json ? "{\"numbers\":[" : "chosen ");
    print_numbers (simulated, result.setting.values);
    printf (simulated->json ? "],\"best\":[" : " (best tried ");
    print_numbers (simulated, result.best.values);
    printf (simulated->json
                ? "],\"verdict\":\"%s\",\"gain_percent\":%.2f,\"gain_low_percent\":%.2f,"
                  "\"gain_high_percent\":%.2f,\"noise_percent\":%.2f,\"runs\":%" PRIu32 "}\n"
                : "): %s; gain %.1f %% (95 %% sure: %.1f to %.1f), noise %.1f %%, %" PRIu32
                  " runs\n",
            verdicts[result.verdict], 100 * result.gain, 100 * result.gain_low,
            100 * result.gain_high, 100 * result.noise, result.n_runs);
}

static bool run_once (const simulated_t *simulated, pxi_tune *tune, const pxi_tune_setting *setting,
                      double cut_s, uint64_t seed)
{
    static pxi_world_report report;
    if (!simulated->run (simulated->context, setting->values, seed, &report))
        return false;
    double makespan_s = (double)report.makespan_ns / 1e9, work_ns = (double)report.stats.work_ns;
    bool cut = cut_s > 0 && makespan_s > cut_s;
    const pxi_tune_sample sample = {.makespan_s = cut ? cut_s : makespan_s,
                                    .extra_share =
                                        work_ns > 0 ? (double)report.stats.extra_ns / work_ns : 0,
                                    .cut = cut};
    print_run (simulated, setting, makespan_s, &sample, pxi_world_n_work (&report));
    pxi_tune_tell (tune, &sample);
    return true;
}

bool simulated_tune (const simulated_t *simulated)
{
    pxi_tune_config config = {.seed = simulated->seed, .n_points = simulated->n_points};
    pxi_tune_setting setting;
    double cut_s;
    bool fine = true;
    for (uint32_t i = 0; i < config.n_points; i++)
        config.points[i] =
            (pxi_tune_point){0, simulated->high, simulated->standard, simulated->high / 4};
    pxi_tune *tune = pxi_tune_new (&config);
    if (!tune)
        return false;
    for (uint64_t seed = simulated->seed; fine && pxi_tune_ask (tune, &setting, &cut_s); seed++)
        fine = run_once (simulated, tune, &setting, cut_s, seed);
    if (fine)
        print_result (simulated, tune);
    pxi_tune_free (&tune);
    return fine;
}
