/* The simulated rivals: that they lose and double nothing, that they queue as they say, and that they agree
 * with what queueing theory knows in closed form. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "leak.h"
#include "sim/flat.h"
#include "sim/rivals/divisible.h"
#include "sim/rivals/rivals.h"

#define MEAN_NS (100 * PXI_MS)

static pxi_stream stream_of (uint32_t n_jobs, uint32_t n_tasks, pxi_stream_law law,
                             uint32_t n_peers, uint32_t slots, double load)
{
    pxi_stream stream;
    pxi_stream_config config = {.seed = 11,
                                .n_jobs = n_jobs,
                                .n_tasks = n_tasks,
                                .law = law,
                                .mean_ns = MEAN_NS,
                                .n_peers = n_peers,
                                .slots = slots,
                                .load = load};
    cr_assert (pxi_stream_init (&stream, &config));
    return stream;
}

/* ---- streams ---------------------------------------------------------------------------------- */

Test (stream, arrives_at_its_load_and_runs_its_mean)
{
    for (uint32_t law = 0; law < PXI_STREAM_LAWS; law++) {
        pxi_stream stream = stream_of (20000, 10, (pxi_stream_law)law, 50, 4, 0.8);
        double sum_ns = 0, wanted_ns = (double)MEAN_NS * 10 / (0.8 * 200);
        for (uint32_t job = 0; job < 20000; job++) {
            uint64_t longest_ns = pxi_stream_longest_ns (&stream, job);
            for (uint32_t task = 0; task < 10; task++) {
                uint64_t run_ns = pxi_stream_run_ns (&stream, job, task);
                cr_assert (run_ns <= longest_ns);
                sum_ns += (double)run_ns;
            }
        }
        /* The mean of a law without variance comes late. */
        double band = law == PXI_STREAM_PARETO ? 0.2 : 0.03;
        cr_assert_float_eq (sum_ns / 200000 / (double)MEAN_NS, 1, band, "%s: %g",
                            pxi_stream_law_name ((pxi_stream_law)law), sum_ns / 200000);
        cr_assert_float_eq ((double)stream.at_ns[19999] / 20000 / wanted_ns, 1, 0.03);
        pxi_stream_fini (&stream);
    }
}

Test (stream, run_times_and_arrivals_do_not_know_each_other)
{
    pxi_stream one = stream_of (100, 10, PXI_STREAM_EXPONENTIAL, 50, 4, 0.4);
    pxi_stream two = stream_of (100, 10, PXI_STREAM_EXPONENTIAL, 50, 4, 0.8);
    pxi_stream other = stream_of (100, 10, PXI_STREAM_UNIFORM, 50, 4, 0.4);
    for (uint32_t job = 0; job < 100; job++) {
        cr_assert_eq (pxi_stream_run_ns (&one, job, 3), pxi_stream_run_ns (&two, job, 3));
        cr_assert_eq (pxi_stream_home (&one, job), pxi_stream_home (&two, job));
        cr_assert_float_eq ((double)one.at_ns[job], 2 * (double)two.at_ns[job], 3);
        cr_assert_eq (one.at_ns[job], other.at_ns[job]);
        cr_assert (job == 0 || one.at_ns[job] >= one.at_ns[job - 1]);
    }
    cr_assert_neq (pxi_stream_run_ns (&one, 5, 3), pxi_stream_run_ns (&one, 5, 4));
    pxi_stream_fini (&one);
    pxi_stream_fini (&two);
    pxi_stream_fini (&other);
}

/* ---- every policy ----------------------------------------------------------------------------- */

enum { PEERS = 40, SLOTS = 3, JOBS = 200, TASKS = 12 };

struct watch {
    const pxi_stream *stream;
    uint8_t started[JOBS][TASKS];
    uint64_t busy_until_ns[PEERS][SLOTS];
    uint32_t last_job[PEERS];
    bool in_order;
};

static void watch_start (void *context, uint64_t now_ns, uint32_t peer, uint32_t job, uint32_t task)
{
    struct watch *watch = context;
    uint32_t slot = 0;
    watch->started[job][task]++;
    while (slot < SLOTS && watch->busy_until_ns[peer][slot] > now_ns)
        slot++;
    cr_assert (slot < SLOTS, "peer %u runs more than it has slots", peer);
    watch->busy_until_ns[peer][slot] = now_ns + pxi_stream_run_ns (watch->stream, job, task);
    watch->in_order = watch->in_order && job >= watch->last_job[peer];
    watch->last_job[peer] = job;
    cr_assert (now_ns >= watch->stream->at_ns[job]);
}

static pxi_rival_report watch_run (struct watch *watch, const pxi_stream *stream,
                                   pxi_rival_kind kind, uint64_t *delays_ns)
{
    pxi_rival_report report;
    memset (watch, 0, sizeof *watch);
    watch->stream = stream;
    watch->in_order = true;
    pxi_rival_config config = {.stream = stream,
                               .kind = kind,
                               .ratio = 2,
                               .hop_ns = PXI_MS / 2,
                               .seed = 5,
                               .n_measured = JOBS,
                               .started = watch_start,
                               .context = watch};
    cr_assert (pxi_rival_run (&config, delays_ns, &report));
    return report;
}

Test (rivals, start_every_task_once_in_a_slot_of_its_own)
{
    static struct watch watch;
    uint64_t delays_ns[JOBS], again_ns[JOBS];
    pxi_stream stream = stream_of (JOBS, TASKS, PXI_STREAM_EXPONENTIAL, PEERS, SLOTS, 0.9);
    for (uint32_t kind = 0; kind < PXI_RIVAL_KINDS; kind++) {
        pxi_rival_report report = watch_run (&watch, &stream, (pxi_rival_kind)kind, delays_ns);
        cr_assert_eq (report.n_started, JOBS * TASKS, "policy %u", kind);
        cr_assert_eq (report.n_jobs, JOBS);
        for (uint32_t i = 0; i < JOBS * TASKS; i++)
            cr_assert_eq (watch.started[i / TASKS][i % TASKS], 1);
        for (uint32_t job = 0; job < JOBS; job++)
            cr_assert_neq (delays_ns[job], PXI_RIVAL_UNMEASURED);
        watch_run (&watch, &stream, (pxi_rival_kind)kind, again_ns);
        cr_assert_arr_eq (delays_ns, again_ns, sizeof delays_ns, "the same seed, the same run");
    }
    pxi_stream_fini (&stream);
    TEST_NO_LEAKS ();
}

Test (rivals, queues_are_first_in_first_out)
{
    static struct watch watch;
    uint64_t delays_ns[JOBS];
    pxi_stream stream = stream_of (JOBS, TASKS, PXI_STREAM_EXPONENTIAL, PEERS, SLOTS, 0.9);
    watch_run (&watch, &stream, PXI_RIVAL_RANDOM, delays_ns);
    cr_assert (watch.in_order);
    watch_run (&watch, &stream, PXI_RIVAL_STEAL_HALF, delays_ns);
    cr_assert_not (watch.in_order, "the newest first at home: the check can fail");
    pxi_stream_fini (&stream);
}

/* ---- closed forms ----------------------------------------------------------------------------- */

/* Mean time from arrival to end beyond the task's own, in mean task times; the hop is nothing. */
static double mean_wait (pxi_rival_kind kind, uint32_t n_jobs, uint32_t n_peers, uint32_t slots,
                         double load)
{
    pxi_stream stream = stream_of (n_jobs, 1, PXI_STREAM_EXPONENTIAL, n_peers, slots, load);
    uint64_t *delays_ns = calloc (n_jobs, sizeof *delays_ns);
    pxi_rival_config config = {.stream = &stream,
                               .kind = kind,
                               .ratio = 2,
                               .hop_ns = 1,
                               .seed = 3,
                               .from_ns = 10 * PXI_SECOND,
                               .n_measured = n_jobs};
    pxi_rival_report report;
    double sum_ns = 0;
    cr_assert (delays_ns && pxi_rival_run (&config, delays_ns, &report));
    for (uint32_t i = 0; i < n_jobs; i++)
        sum_ns += delays_ns[i] == PXI_RIVAL_UNMEASURED ? 0 : (double)delays_ns[i];
    pxi_stream_fini (&stream);
    free (delays_ns);
    return sum_ns / report.n_jobs / (double)MEAN_NS;
}

Test (rivals, random_with_one_slot_is_as_many_queues_of_kind_m_m_1)
{
    for (double load = 0.3; load < 0.8; load += 0.2)
        cr_assert_float_eq (
            mean_wait (PXI_RIVAL_RANDOM, 300000, 100, 1, load) / (load / (1 - load)), 1, 0.04);
}

static double erlang_wait (uint32_t c, double load) /* in mean task times */
{
    double loss = 1, offered = load * c;
    for (uint32_t s = 1; s <= c; s++)
        loss = offered * loss / (s + offered * loss);
    double waits = loss / (1 - load * (1 - loss));
    return waits / (c * (1 - load));
}

Test (rivals, the_central_queue_is_m_m_c)
{
    for (uint32_t c = 2; c <= 16; c *= 2)
        cr_assert_float_eq (mean_wait (PXI_RIVAL_CENTRAL, 300000, c, 1, 0.8) / erlang_wait (c, 0.8),
                            1, 0.05);
    cr_assert_float_eq (mean_wait (PXI_RIVAL_CENTRAL, 300000, 2, 4, 0.8) / erlang_wait (8, 0.8), 1,
                        0.05);
}

/* Mitzenmacher's limit for many peers: the sum over i of load^(2^i - 2). */
Test (rivals, the_shorter_of_two_queues_is_as_short_as_known)
{
    double load = 0.9, expected = 0;
    for (uint32_t i = 1; i < 12; i++)
        expected += pow (load, pow (2, i) - 2);
    cr_assert_float_eq (1 + mean_wait (PXI_RIVAL_PAIRS, 400000, 1000, 1, load), expected, 0.08);
}

Test (rivals, late_binding_costs_the_messages_that_it_must)
{
    pxi_rival_report report;
    uint64_t delays_ns[JOBS];
    pxi_stream stream = stream_of (JOBS, TASKS, PXI_STREAM_JOBS, PEERS, SLOTS, 0.2);
    pxi_rival_config config = {.stream = &stream,
                               .kind = PXI_RIVAL_LATE,
                               .ratio = 2,
                               .hop_ns = PXI_MS / 2,
                               .seed = 3,
                               .n_measured = JOBS};
    cr_assert (pxi_rival_run (&config, delays_ns, &report));
    /* Two probes, two questions, two answers and a result for each task; the last job's may be out. */
    double per_task = (double)report.n_messages / (double)report.n_started;
    cr_assert_float_eq (per_task, 7, 0.05, "%g", per_task);
    pxi_stream_fini (&stream);
}

Test (rivals, a_slot_stands_idle_for_a_round_trip_in_late_binding)
{
    uint64_t delay_ns;
    pxi_rival_report report;
    pxi_stream stream = stream_of (1, 2, PXI_STREAM_CONSTANT, 2, 1, 0.5);
    pxi_rival_config config = {.stream = &stream,
                               .kind = PXI_RIVAL_CANCEL,
                               .ratio = 1,
                               .hop_ns = PXI_MS,
                               .seed = 1,
                               .n_measured = 1};
    cr_assert (pxi_rival_run (&config, &delay_ns, &report));
    cr_assert_eq (delay_ns, 3 * PXI_MS, "%llu",
                  (unsigned long long)delay_ns); /* probe, question, task */
    config.results_hop = true;
    cr_assert (pxi_rival_run (&config, &delay_ns, &report));
    cr_assert_eq (delay_ns, 4 * PXI_MS);
    pxi_stream_fini (&stream);
}

/* Overhead = c * hop * log2 (W / (2 hop)), c from about 3 (32 processors) to 4.3 (1024). */
Test (rivals, stealing_divisible_work_costs_what_its_law_says)
{
    for (uint32_t p = 32; p <= 1024; p *= 32) {
        for (uint64_t hop = 10; hop <= 100; hop *= 10) {
            double sum = 0;
            for (uint64_t seed = 1; seed <= 20; seed++) {
                pxi_divisible_config config = {
                    .seed = seed, .work_ns = 10000000, .hop_ns = hop, .n_processors = p};
                pxi_divisible_report report;
                cr_assert (pxi_divisible_run (&config, &report));
                cr_assert_eq (report.done_ns, config.work_ns);
                sum += (double)report.makespan_ns - 1e7 / p;
            }
            double c = sum / 20 / ((double)hop * log2 (1e7 / (2 * (double)hop)));
            cr_assert_float_eq (c, p == 32 ? 3.0 : 4.15, 0.3, "%u processors, hop %llu: c = %g", p,
                                (unsigned long long)hop, c);
        }
    }
}

/* ---- ours on a stream ------------------------------------------------------------------------- */

Test (flat, every_job_of_a_stream_ends_and_the_invariants_hold)
{
    enum { N = 60 };
    uint64_t delays_ns[N];
    pxi_flat_report report;
    pxi_stream stream = stream_of (N, 8, PXI_STREAM_EXPONENTIAL, 12, 2, 0.6);
    pxi_flat_config config = {.stream = &stream,
                              .hop_ns = PXI_MS / 2,
                              .seed = 9,
                              .n_measured = N,
                              .view = 10,
                              .core = pxi_core_config_default (),
                              .checked = true};
    cr_assert (pxi_flat_run (&config, delays_ns, &report), "%s", report.world.why);
    cr_assert_eq (report.n_jobs, N);
    cr_assert_eq (report.n_stuck, 0);
    cr_assert (report.n_tasks >= N * 8);
    cr_assert (report.n_work > 0);
    pxi_stream_fini (&stream);
    TEST_NO_LEAKS ();
}
