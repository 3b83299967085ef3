/* What tasks cost and whether sending one away pays, by figures alone. */
#include <criterion/criterion.h>

#include "core/cost.h"
#include "core/limits.h"

enum { MIB = 1 << 20 };

static const pxi_cost_declared nothing = {0};

static pxi_cost_task after (uint64_t run_ns, uint64_t result_bytes, uint32_t n)
{
    pxi_cost_task task = {0};
    for (uint32_t i = 0; i < n; i++)
        pxi_cost_learn (&task, 100, nothing, run_ns, result_bytes);
    return task;
}

Test (core_cost, nothing_is_expected_of_a_task_that_never_ran)
{
    pxi_cost_task task = {0};
    cr_expect_eq (pxi_cost_run (&task, 100, nothing).n, 0);
    cr_expect_eq (pxi_cost_result_bytes (&task, 100, nothing), 0);
    cr_expect_eq (pxi_cost_quality (&task), 0);
}

Test (core_cost, few_samples_make_a_span_wide_and_more_make_it_narrow)
{
    uint64_t width = UINT64_MAX;
    for (uint32_t n = 1; n < 40; n *= 3) {
        pxi_cost_task task = after (10 * PXI_MS, 1000, n);
        pxi_cost_span span = pxi_cost_run (&task, 100, nothing);
        cr_expect_eq (span.mean, 10 * PXI_MS);
        cr_expect_leq (span.low, span.mean);
        cr_expect_geq (span.high, span.mean);
        cr_expect_lt (span.high - span.low, width, "%u samples", n);
        width = span.high - span.low;
    }
    cr_expect_lt (width, 2 * PXI_MS);
}

Test (core_cost, times_that_differ_make_a_span_wide)
{
    pxi_cost_task task = {0};
    for (uint32_t i = 0; i < 100; i++)
        pxi_cost_learn (&task, 100, nothing, i % 2 ? PXI_MS : 9 * PXI_MS, 0);
    pxi_cost_span span = pxi_cost_run (&task, 100, nothing);
    cr_expect_lt (span.low, PXI_MS);
    cr_expect_gt (span.high, 9 * PXI_MS);
}

Test (core_cost, a_size_never_met_is_as_its_neighbour_and_wider)
{
    pxi_cost_task task = {0};
    for (uint32_t i = 0; i < 50; i++)
        pxi_cost_learn (&task, 1000, nothing, PXI_MS, 0);
    pxi_cost_span same = pxi_cost_run (&task, 1000, nothing);
    pxi_cost_span larger = pxi_cost_run (&task, 64000, nothing);
    pxi_cost_span smaller = pxi_cost_run (&task, 10, nothing);
    cr_expect_eq (larger.n, 1, "no reason to keep one home");
    cr_expect_geq (larger.high, 60 * same.mean);
    cr_expect_geq (larger.low, same.low);
    cr_expect_leq (smaller.low, same.mean / 60);
    cr_expect_leq (smaller.high, same.high);
}

Test (core_cost, what_is_declared_in_any_unit_is_scaled_by_what_was_measured)
{
    pxi_cost_task task = {0};
    for (uint32_t i = 1; i <= 60; i++) /* 3,000 ns of a unit, sizes alike */
        pxi_cost_learn (&task, 100, (pxi_cost_declared){.work = i % 7 + 1}, (i % 7 + 1) * 3000, 0);
    pxi_cost_span span = pxi_cost_run (&task, 100, (pxi_cost_declared){.work = 1000});
    cr_expect (span.mean > 2900000 && span.mean < 3100000, "%llu", (unsigned long long)span.mean);
}

Test (core_cost, nonsense_that_is_declared_is_not_believed_once_measured)
{
    static const uint64_t nonsense[] = {1, 100, 1000000, UINT64_MAX};
    pxi_cost_task task = {0};
    for (uint32_t i = 0; i < 80; i++)
        pxi_cost_learn (&task, 100, (pxi_cost_declared){nonsense[i % 4], nonsense[(i + 1) % 4]},
                        PXI_MS, 500);
    for (uint32_t i = 0; i < 4; i++) {
        pxi_cost_declared declared = {nonsense[i], nonsense[i]};
        pxi_cost_span span = pxi_cost_run (&task, 100, declared);
        cr_expect (span.mean > PXI_MS / 2 && span.mean < 2 * PXI_MS, "%llu",
                   (unsigned long long)span.mean);
        cr_expect_eq (pxi_cost_result_bytes (&task, 100, declared), 500);
    }
}

Test (core_cost, a_declaration_alone_is_wide_enough_to_be_wrong_by_a_hundred)
{
    pxi_cost_task task = {0};
    pxi_cost_span span = pxi_cost_run (&task, 100, (pxi_cost_declared){.work = PXI_SECOND});
    cr_expect_eq (span.n, 0, "nothing is kept home for it");
    cr_expect_lt (span.low, PXI_SECOND / 100);
    cr_expect_gt (span.high, 100 * PXI_SECOND);
}

Test (core_cost, quality_is_the_median_of_what_it_was_over_what_was_expected)
{
    pxi_cost_task task = {0};
    for (uint32_t i = 0; i < 9; i++)
        pxi_cost_tell (&task, PXI_MS, i < 4 ? 100 * PXI_MS : 2 * PXI_MS, 10, 20);
    cr_expect_eq (pxi_cost_quality (&task), 2 * PXI_COST_ONE);
    cr_expect_eq (task.n_told, 9);
    cr_expect_eq (task.expected_ns, 9 * PXI_MS);
    cr_expect_eq (task.real_bytes, 180);
    pxi_cost_tell (&task, 0, UINT64_MAX, UINT64_MAX, UINT64_MAX);
    cr_expect_gt (pxi_cost_quality (&task), 0);
}

/* ---- links ------------------------------------------------------------------------------------
 */

Test (core_cost, bandwidth_is_told_from_bytes_and_time_and_not_from_small_ones)
{
    pxi_cost_link link = {0};
    pxi_cost_link_moved (&link, PXI_SECOND, 100, PXI_MS, true);
    cr_expect_eq (pxi_cost_link_rate (&link, PXI_SECOND), 0);
    pxi_cost_link_moved (&link, PXI_SECOND, MIB, PXI_SECOND, true);
    cr_expect_eq (pxi_cost_link_rate (&link, PXI_SECOND), MIB);
    pxi_cost_link_moved (&link, PXI_SECOND, MIB, 4 * PXI_SECOND, false);
    cr_expect_eq (pxi_cost_link_rate (&link, PXI_SECOND), MIB, "it shared the link with others");
    pxi_cost_link_moved (&link, PXI_SECOND, MIB, 4 * PXI_SECOND, true);
    cr_expect_lt (pxi_cost_link_rate (&link, PXI_SECOND), MIB);
    pxi_cost_link_moved (&link, PXI_SECOND, MIB, 0, true);
    cr_expect_gt (pxi_cost_link_rate (&link, PXI_SECOND), MIB);
}

Test (core_cost, what_was_measured_long_ago_is_asked_anew)
{
    pxi_cost_link link = {0};
    pxi_cost_link_moved (&link, 0, MIB, PXI_SECOND, true);
    cr_expect_eq (pxi_cost_link_rate (&link, 9 * PXI_SECOND), MIB);
    cr_expect_eq (pxi_cost_link_rate (&link, 30 * PXI_SECOND), 8 * MIB);
    cr_expect_leq (pxi_cost_link_rate (&link, UINT64_MAX), UINT64_C (100000000000));
    pxi_cost_link_forget (&link);
    cr_expect_eq (pxi_cost_link_rate (&link, 0), 0);
}

Test (core_cost, a_clock_that_goes_back_changes_nothing)
{
    pxi_cost_link link = {0};
    pxi_cost_link_moved (&link, 50 * PXI_SECOND, MIB, PXI_SECOND, true);
    cr_expect_eq (pxi_cost_link_rate (&link, PXI_SECOND), MIB);
}

Test (core_cost, how_fast_a_peer_is_is_told_from_the_same_task_here_and_there)
{
    pxi_cost_link link = {0};
    cr_expect_eq (pxi_cost_there_ns (&link, PXI_MS), PXI_MS);
    for (uint32_t i = 0; i < 20; i++)
        pxi_cost_link_ran (&link, PXI_MS, 4 * PXI_MS);
    cr_expect_eq (pxi_cost_there_ns (&link, 10 * PXI_MS), 40 * PXI_MS);
    cr_expect_eq (pxi_cost_here_ns (&link, 40 * PXI_MS), 10 * PXI_MS);
    for (uint32_t i = 0; i < 20; i++) {
        pxi_cost_link_ran (&link, 0, UINT64_MAX);
        pxi_cost_link_ran (&link, UINT64_MAX, 0);
    }
    cr_expect_leq (pxi_cost_there_ns (&link, UINT64_MAX), UINT64_C (1) << 50);
    cr_expect_gt (pxi_cost_here_ns (&link, PXI_MS), 0);
}

/* ---- the question -----------------------------------------------------------------------------
 */

struct case_of {
    const char *what;
    uint64_t trip_ns, rate, in_bytes, run_ns;
    uint32_t n_waiting, n_slots, n_away, slowness;
    bool leaves;
};

static const struct case_of cases[] = {
    {"much work, good link", PXI_MS / 10, 0, 100, 100 * PXI_MS, 10, 1, 0, 1, true},
    {"much work, far away", 100 * PXI_MS, 0, 100, 100 * PXI_MS, 10, 1, 0, 1, true},
    {"the last one, far away", 100 * PXI_MS, 0, 100, 50 * PXI_MS, 1, 1, 0, 1, false},
    {"tiny, many, near", PXI_MS / 10, 0, 100, 10000, 1000, 1, 0, 1, true},
    {"tiny, some, far away", 100 * PXI_MS, 0, 100, 10000, 1000, 1, 0, 1, false},
    {"tiny, many, far away", 100 * PXI_MS, 0, 100, 10000, 100000, 1, 0, 1, true},
    {"data over a slow link", PXI_MS / 10, MIB, MIB, 10 * PXI_MS, 20, 1, 0, 1, false},
    {"data over a slow link, and much work", PXI_MS, MIB, MIB, PXI_SECOND, 20, 1, 0, 1, true},
    {"data over a fast link", PXI_MS / 10, 1000000000, MIB, 10 * PXI_MS, 20, 1, 0, 1, true},
    {"many slots here", PXI_MS, MIB, MIB, 200 * PXI_MS, 20, 16, 0, 1, false},
    {"slow, and little waits", PXI_MS, 0, 100, 100 * PXI_MS, 2, 1, 0, 8, false},
    {"slow, and much waits", PXI_MS, 0, 100, 100 * PXI_MS, 20, 1, 0, 8, true},
    {"its slots are full of ours", PXI_MS, 0, 100, 100 * PXI_MS, 3, 1, 10, 1, false},
    {"data, nothing known of the link, one is there", PXI_MS, 0, MIB, 10 * PXI_MS, 99, 1, 1, 1,
     false},
    {"data, nothing known of the link, none is there", PXI_MS, 0, MIB, 10 * PXI_MS, 99, 1, 0, 1,
     true},
    {"data, nothing known of the link, but much work", PXI_MS, 0, MIB, PXI_SECOND, 99, 1, 1, 1,
     true},
};

Test (core_cost, a_subtask_leaves_if_its_result_is_back_before_a_slot_here_would_have_it)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct case_of *one = &cases[i];
        pxi_cost_task task = after (one->run_ns, 10, 100);
        pxi_cost_link link = {.bytes_per_s = one->rate};
        for (uint32_t k = 0; k < 100; k++)
            pxi_cost_link_ran (&link, PXI_MS, one->slowness * PXI_MS);
        pxi_cost_question question = {.trip_ns = one->trip_ns,
                                      .in_bytes = one->in_bytes,
                                      .run = pxi_cost_run (&task, 100, nothing),
                                      .n_waiting = one->n_waiting,
                                      .n_slots = one->n_slots,
                                      .n_away = one->n_away,
                                      .slots_there = 1};
        cr_expect_eq (pxi_cost_ask (&link, &question).leaves, one->leaves, "%s", one->what);
    }
}

Test (core_cost, without_a_measured_time_or_where_a_task_nests_nothing_is_kept_home)
{
    pxi_cost_link link = {0};
    pxi_cost_question question = {.trip_ns = PXI_SECOND, .n_waiting = 1, .n_slots = 1};
    cr_expect (pxi_cost_ask (&link, &question).leaves);
    pxi_cost_task task = after (1000, 10, 100);
    question.run = pxi_cost_run (&task, 100, nothing);
    cr_expect_not (pxi_cost_ask (&link, &question).leaves);
    question.nests = true;
    cr_expect (pxi_cost_ask (&link, &question).leaves);
    question.nests = false;
    question.seen_ns = PXI_SECOND;
    cr_expect (pxi_cost_ask (&link, &question).leaves, "something else holds the slots here");
}

Test (core_cost, what_is_out_for_too_long_tells_that_the_link_is_slow)
{
    pxi_cost_task task = after (100 * PXI_MS, 10, 100);
    pxi_cost_link link = {.bytes_per_s = 100 * MIB};
    pxi_cost_question question = {.trip_ns = PXI_MS,
                                  .in_bytes = MIB,
                                  .run = pxi_cost_run (&task, 100, nothing),
                                  .n_waiting = 20,
                                  .n_slots = 1,
                                  .slots_there = 4,
                                  .out_bytes_moved = MIB,
                                  .out_for_ns = 110 * PXI_MS};
    cr_expect (pxi_cost_ask (&link, &question).leaves);
    question.out_for_ns = 10 * PXI_SECOND;
    cr_expect_not (pxi_cost_ask (&link, &question).leaves);
}

Test (core_cost, what_is_on_its_way_to_a_peer_keeps_the_next_waiting)
{
    pxi_cost_task task = after (100 * PXI_MS, 10, 100);
    pxi_cost_link link = {.bytes_per_s = 10 * MIB};
    pxi_cost_question question = {.in_bytes = MIB,
                                  .run = pxi_cost_run (&task, 100, nothing),
                                  .n_waiting = 10,
                                  .n_slots = 1,
                                  .slots_there = 64};
    uint32_t n = 0;
    for (; n < 64 && pxi_cost_ask (&link, &question).leaves; n++)
        pxi_cost_link_send (&link, 0, MIB);
    cr_expect (n > 5 && n < 15, "%u", n);
}

Test (core_cost, no_value_overflows)
{
    static const uint64_t values[] = {0, 1, 1 << 20, UINT64_C (1) << 50, UINT64_MAX};
    pxi_cost_task task = {0};
    pxi_cost_link link = {0};
    for (uint32_t i = 0; i < 625; i++) {
        uint64_t a = values[i % 5], b = values[i / 5 % 5], c = values[i / 25 % 5],
                 d = values[i / 125];
        pxi_cost_learn (&task, a, (pxi_cost_declared){b, c}, d, a);
        pxi_cost_link_moved (&link, a, b, c, i % 2);
        pxi_cost_link_ran (&link, a, d);
        pxi_cost_link_send (&link, b, c);
        pxi_cost_question question = {.now_ns = a,
                                      .trip_ns = b,
                                      .in_bytes = c,
                                      .out_bytes = d,
                                      .run = pxi_cost_run (&task, a, (pxi_cost_declared){b, c}),
                                      .n_waiting = (uint32_t)c,
                                      .n_away = (uint32_t)d,
                                      .out_for_ns = a,
                                      .out_bytes_moved = b};
        pxi_cost_answer answer = pxi_cost_ask (&link, &question);
        cr_expect_leq (answer.moves_ns, answer.there_ns);
    }
}
