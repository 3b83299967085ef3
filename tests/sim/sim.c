/* The simulator itself: its executor, its network, its workload, and above all that its checks go red. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leak.h"
#include "sim/load.h"
#include "sim/shrink.h"
#include "sim/swarm.h"
#include "sim/virtual.h"

/* ---- workload --------------------------------------------------------------------------------- */

static pxi_tree small_tree (void)
{
    return (pxi_tree){.seed = 7,
                      .depth_max = 3,
                      .fan_min = 2,
                      .fan_max = 3,
                      .rounds_max = 2,
                      .leaf = {PXI_LAW_CONSTANT, 10 * PXI_MS},
                      .size_min = 16,
                      .size_max = 16};
}

/* The answer by plain recursion: a second opinion on the traversal. */
static uint64_t recurse (const pxi_tree *tree, const pxi_node *node, pxi_result *result,
                         uint64_t *n)
{
    pxi_shape shape;
    pxi_workload_shape (tree, node, &shape);
    uint64_t hash = pxi_workload_begin (node);
    uint32_t n_children = shape.n_rounds * shape.n_children;
    for (uint32_t i = 0; i < (shape.first_only ? 1 : n_children); i++) {
        pxi_result child_result;
        pxi_node child = pxi_workload_child (tree, node, &shape, i);
        uint64_t child_hash = recurse (tree, &child, &child_result, n);
        hash = pxi_workload_fold (hash, child_hash, child_result);
    }
    *result = shape.fails ? PXI_RESULT_FAILED : PXI_RESULT_OK;
    ++*n;
    return hash;
}

Test (workload, two_ways_to_the_serial_answer_agree)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        pxi_tree tree = small_tree ();
        tree.seed = seed;
        tree.first_ppm = seed % 3 ? 0 : 300000;
        tree.fail_ppm = seed % 2 ? 0 : 300000;
        pxi_serial serial;
        pxi_result result;
        uint64_t n = 0;
        pxi_node root = pxi_workload_root (&tree);
        cr_assert (pxi_workload_serial (&tree, 100000, 0, &serial));
        cr_assert_eq (recurse (&tree, &root, &result, &n), serial.hash);
        cr_assert_eq (result, serial.result);
        cr_assert_eq (n, serial.n_nodes);
        cr_assert (serial.n_all >= serial.n_nodes);
    }
}

Test (workload, lost_doubled_or_swapped_results_change_the_hash)
{
    pxi_node node = {.state = 1};
    uint64_t own = pxi_workload_begin (&node);
    uint64_t a = pxi_workload_fold (own, 10, PXI_RESULT_OK),
             ab = pxi_workload_fold (a, 11, PXI_RESULT_OK);
    uint64_t b = pxi_workload_fold (own, 11, PXI_RESULT_OK),
             ba = pxi_workload_fold (b, 10, PXI_RESULT_OK);
    cr_assert_neq (ab, ba);
    cr_assert_neq (ab, a);
    cr_assert_neq (ab, pxi_workload_fold (ab, 11, PXI_RESULT_OK));
    cr_assert_neq (a, pxi_workload_fold (own, 10, PXI_RESULT_FAILED));
}

Test (workload, divisible_work_is_cut_without_loss)
{
    pxi_tree tree = {
        .kind = PXI_TREE_SPLIT, .seed = 3, .fan_max = 5, .work_ns = 1000000007, .leaf_ns = 12345};
    pxi_serial serial;
    cr_assert (pxi_workload_serial (&tree, 10000000, 0, &serial));
    cr_assert_eq (serial.work_ns, tree.work_ns);
}

Test (workload, a_tree_over_the_limit_is_refused)
{
    pxi_tree tree = small_tree ();
    pxi_serial serial;
    cr_assert (pxi_workload_serial (&tree, 100000, 0, &serial));
    cr_assert_not (pxi_workload_serial (&tree, serial.n_all - 1, 0, &serial));
}

/* ---- time ------------------------------------------------------------------------------------- */

enum { ALARMS = 100, ALARM_ROUNDS = 20000 };

/* From the same instant to minutes later: what is near, soon and far to the queue. */
static uint64_t some_time_ns (pxi_prng *prng)
{
    static const uint64_t spans_ns[] = {1, 1000, PXI_MS, PXI_SECOND, 300 * PXI_SECOND};
    return pxi_prng_below (prng, spans_ns[pxi_prng_below (prng, 5)]);
}

static pxi_alarm *earliest (pxi_alarm *alarms)
{
    pxi_alarm *first = NULL;
    for (pxi_alarm *alarm = alarms; alarm < alarms + ALARMS; alarm++) {
        bool before = first && (alarm->node.deadline < first->node.deadline ||
                                (alarm->node.deadline == first->node.deadline &&
                                 alarm->node.sequence < first->node.sequence));
        if (pxi_alarm_is_set (alarm) && (!first || before))
            first = alarm;
    }
    return first;
}

Test (alarm, they_come_in_the_order_of_time_and_of_setting_however_far_off_they_are)
{
    pxi_alarm alarms[ALARMS] = {0};
    pxi_time time;
    pxi_prng prng;
    pxi_prng_init (&prng, 1);
    cr_assert (pxi_time_init (&time));
    for (uint32_t round = 0; round < ALARM_ROUNDS; round++) {
        pxi_alarm *any = &alarms[pxi_prng_below (&prng, ALARMS)];
        if (pxi_prng_chance (&prng, 100000))
            pxi_alarm_clear (&time, any);
        else
            pxi_alarm_set (&time, any, PXI_ALARM_WAKE, &time, time.now_ns + some_time_ns (&prng));
        if (pxi_prng_chance (&prng, 500000))
            continue;
        pxi_alarm *first = earliest (alarms);
        uint64_t until_ns = time.now_ns + some_time_ns (&prng);
        bool due = first && pxi_alarm_at_ns (first) <= until_ns;
        cr_assert_eq (pxi_alarm_first (&time, until_ns), due ? first : NULL, "round %u", round);
        if (due)
            pxi_alarm_clear (&time, first);
        time.now_ns = due ? pxi_alarm_at_ns (first) : until_ns;
    }
    for (pxi_alarm *first; (first = earliest (alarms));) {
        cr_assert_eq (pxi_alarm_first (&time, UINT64_MAX), first);
        pxi_alarm_clear (&time, first);
    }
    cr_assert_null (pxi_alarm_first (&time, UINT64_MAX));
    pxi_time_fini (&time);
    TEST_NO_LEAKS ();
}

/* ---- network ---------------------------------------------------------------------------------- */

Test (network, without_reordering_a_link_keeps_its_order)
{
    pxi_network_config config = {
        .min_ns = 1000, .extra = {PXI_LAW_EXPONENTIAL, PXI_MS}, .duplicate_ppm = 200000};
    pxi_network network;
    pxi_network_init (&network, &config, 2, 1);
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        pxi_route route = pxi_network_route (&network, 0, 1, i, 100);
        for (uint32_t copy = 0; copy < route.n; copy++) {
            cr_assert (route.at_ns[copy] >= last_ns);
            last_ns = route.at_ns[copy];
        }
    }
    pxi_network_fini (&network);
    TEST_NO_LEAKS ();
}

Test (network, loss_and_duplication_come_as_often_as_asked)
{
    pxi_network_config config = {.min_ns = 1, .loss_ppm = 100000, .duplicate_ppm = 50000};
    pxi_network network;
    pxi_network_init (&network, &config, 2, 1);
    for (uint32_t i = 0; i < 100000; i++)
        pxi_network_route (&network, 0, 1, i, 100);
    cr_assert (network.n_lost > 9500);
    cr_assert (network.n_lost < 10500);
    cr_assert (network.n_duplicated > 4200);
    cr_assert (network.n_duplicated < 4800);
    pxi_network_fini (&network);
}

Test (network, a_partition_cuts_the_directions_that_it_names)
{
    const struct {
        bool cut_out, cut_in;
    } ways[] = {{true, true}, {true, false}, {false, true}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        pxi_network_config config = {.min_ns = 1};
        const uint8_t side[] = {1, 0, 0};
        pxi_network network;
        pxi_network_init (&network, &config, 3, 1);
        uint32_t cut = pxi_network_cut (&network, side, ways[i].cut_out, ways[i].cut_in);
        cr_assert_eq (pxi_network_route (&network, 0, 1, 0, 100).kind == PXI_ROUTE_CUT,
                      ways[i].cut_out);
        cr_assert_eq (pxi_network_route (&network, 1, 0, 0, 100).kind == PXI_ROUTE_CUT,
                      ways[i].cut_in);
        cr_assert_eq (pxi_network_route (&network, 1, 2, 0, 100).kind, PXI_ROUTE_SENT);
        pxi_network_heal (&network, cut);
        cr_assert_eq (pxi_network_route (&network, 0, 1, 0, 100).kind, PXI_ROUTE_SENT);
        pxi_network_fini (&network);
    }
    TEST_NO_LEAKS ();
}

Test (network, a_link_carries_what_its_rate_allows_and_refuses_what_its_queue_does_not_hold)
{
    pxi_network_config config = {.min_ns = 1000, .bytes_per_s = 1000000, .queue_bytes = 5000};
    pxi_network network;
    pxi_network_init (&network, &config, 3, 1);
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < 6; i++) { /* a millisecond each; the sixth would wait behind 5,000 */
        pxi_route route = pxi_network_route (&network, 0, 1, 0, 1000);
        cr_assert_eq (route.kind, i < 5 ? PXI_ROUTE_SENT : PXI_ROUTE_FULL, "%u", i);
        cr_assert (i == 5 || route.at_ns[0] >= last_ns + PXI_MS);
        last_ns = route.at_ns[0];
    }
    cr_assert_eq (pxi_network_route (&network, 0, 2, 0, 1000).kind, PXI_ROUTE_SENT);
    cr_assert_eq (pxi_network_route (&network, 0, 1, 2 * PXI_MS, 1000).kind, PXI_ROUTE_SENT);
    /* Alone it is taken whatever its size. */
    cr_assert_eq (pxi_network_route (&network, 2, 1, 0, 1000000).kind, PXI_ROUTE_SENT);
    pxi_network_fini (&network);
    TEST_NO_LEAKS ();
}

Test (network, a_slow_link_is_slow_in_the_direction_that_it_names)
{
    pxi_network_config config = {.min_ns = 1000};
    pxi_network network;
    pxi_network_init (&network, &config, 2, 1);
    pxi_network_slow (&network, 0, true, false, 10);
    cr_assert_eq (pxi_network_route (&network, 0, 1, 0, 100).at_ns[0], 10000);
    cr_assert_eq (pxi_network_route (&network, 1, 0, 0, 100).at_ns[0], 1000);
    pxi_network_slow (&network, 0, true, true, 1);
    /* What was sent before still comes before. */
    cr_assert_eq (pxi_network_route (&network, 0, 1, 0, 100).at_ns[0], 10000);
    pxi_network_fini (&network);
    TEST_NO_LEAKS ();
}

/* ---- shrinking -------------------------------------------------------------------------------- */

typedef struct needs {
    uint32_t n, units[3], n_tests;
} needs_t;

static bool has_all (void *context, const uint8_t *keep)
{
    needs_t *needs = context;
    bool all = true;
    needs->n_tests++;
    for (uint32_t i = 0; i < needs->n; i++)
        all = all && keep[needs->units[i]];
    return all;
}

Test (shrink, what_a_failure_needs_is_left_and_nothing_else)
{
    needs_t cases[] = {{0, {0}, 0}, {1, {0}, 0}, {1, {49}, 0}, {2, {3, 40}, 0}, {3, {1, 2, 49}, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t keep[50];
        uint32_t left = 0;
        memset (keep, 1, sizeof keep);
        uint32_t n_tests = pxi_shrink (keep, sizeof keep, 1000, has_all, &cases[i]);
        for (size_t unit = 0; unit < sizeof keep; unit++)
            left += keep[unit];
        cr_assert_eq (left, cases[i].n);
        cr_assert (has_all (&cases[i], keep));
        cr_assert_eq (n_tests + 1, cases[i].n_tests);
        cr_assert (n_tests < 100, "%u", n_tests);
    }
}

Test (shrink, what_is_left_out_of_a_world_leaves_the_rest_as_it_is)
{
    pxi_swarm swarm;
    pxi_swarm_draw (&swarm, 7);
    uint8_t keep[256];
    char text[256];
    const char *wrong_at;
    pxi_fault third = swarm.faults[2];
    cr_assert (pxi_swarm_n_units (&swarm) < sizeof keep);
    cr_assert_not (pxi_swarm_keep_parse (&swarm, "1,9999", keep, &wrong_at));
    cr_assert_str_eq (wrong_at, "9999");
    cr_assert (pxi_swarm_keep_parse (&swarm, "3,clocks", keep, &wrong_at));
    pxi_swarm_keep_print (&swarm, keep, text, sizeof text);
    cr_assert_str_eq (text, "3,clocks");
    pxi_swarm_keep (&swarm, keep);
    cr_assert_eq (swarm.config.n_faults, 1);
    cr_assert_eq (memcmp (&swarm.faults[0], &third, sizeof third), 0);
    cr_assert_eq (swarm.config.network.loss_ppm, 0);
    pxi_swarm_fini (&swarm);
    TEST_NO_LEAKS ();
}

/* ---- the virtual executor --------------------------------------------------------------------- */

enum { NOTICES_MAX = 256, BLOBS_MAX = 64, BURSTS_MAX = 64 };

static struct bench {
    pxi_event notices[NOTICES_MAX];
    uint32_t n_notices, n_broken, n_bursts;
    pxi_payload blobs[BLOBS_MAX];
    uint64_t n_blobs, now_ns, next_id;
    pxi_burst *bursts[BURSTS_MAX];
    pxi_tree tree;
    pxi_virtual_port port;
} bench;

static void bench_notice (void *context, const pxi_event *event)
{
    (void)context;
    bench.notices[bench.n_notices++ % NOTICES_MAX] = *event;
}

static void bench_burst (void *context, pxi_burst *burst)
{
    (void)context;
    bench.bursts[bench.n_bursts++] = burst;
}

static void bench_burst_drop (void *context, pxi_burst *burst)
{
    (void)context;
    for (uint32_t i = 0; i < bench.n_bursts; i++) {
        if (bench.bursts[i] == burst)
            bench.bursts[i] = bench.bursts[--bench.n_bursts];
    }
}

static void bench_burst_cancel (void *context, pxi_burst *burst)
{
    (void)context; /* tasks of the bench never look: a burst ends when its test ends it */
    (void)burst;
}

static uint64_t bench_blob_new (void *context, const pxi_payload *payload)
{
    (void)context;
    bench.blobs[++bench.n_blobs % BLOBS_MAX] = *payload;
    return bench.n_blobs;
}

static const pxi_payload *bench_blob (void *context, uint64_t blob)
{
    (void)context;
    return &bench.blobs[blob % BLOBS_MAX];
}

static uint64_t bench_now_ns (void *context)
{
    (void)context;
    return bench.now_ns;
}

static bool bench_crashes (void *context, pxi_virtual *executor, uint64_t state)
{
    (void)context;
    (void)executor;
    (void)state;
    return false;
}

static void bench_broken (void *context, const char *format, ...)
{
    (void)context;
    (void)format;
    bench.n_broken++;
}

static pxi_virtual *bench_new (uint32_t n_subtasks, uint32_t slots)
{
    memset (&bench, 0, sizeof bench);
    bench.next_id = 1;
    bench.tree = (pxi_tree){.seed = 1,
                            .depth_max = 1,
                            .fan_min = n_subtasks,
                            .fan_max = n_subtasks,
                            .leaf = {PXI_LAW_CONSTANT, PXI_MS}};
    bench.port = (pxi_virtual_port){
        &bench,         bench_notice, bench_burst,  bench_burst_drop, bench_burst_cancel,
        bench_blob_new, bench_blob,   bench_now_ns, bench_crashes,    bench_broken};
    pxi_virtual_config config = {
        .tree = &bench.tree, .slots = slots, .next_id = &bench.next_id, .port = &bench.port};
    return pxi_virtual_new (&config);
}

static void bench_start (pxi_virtual *executor, uint32_t slots)
{
    pxi_payload root = {.node = pxi_workload_root (&bench.tree)};
    pxi_virtual_run (executor, 1, bench_blob_new (NULL, &root), 0);
    pxi_virtual_slots (executor, slots);
}

static void bench_end_burst (pxi_virtual *executor)
{
    pxi_burst *burst = bench.bursts[0];
    bench.bursts[0] = bench.bursts[--bench.n_bursts];
    bench.now_ns += PXI_MS;
    pxi_virtual_burst_end (executor, burst);
}

static const pxi_event *told (pxi_event_kind kind)
{
    for (uint32_t i = bench.n_notices; i-- > 0;) {
        if (bench.notices[i].kind == kind)
            return &bench.notices[i];
    }
    return NULL;
}

static uint32_t times_told (pxi_event_kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < bench.n_notices; i++)
        n += bench.notices[i].kind == kind;
    return n;
}

Test (virtual, alone_it_gives_the_serial_answer_within_its_slots)
{
    pxi_serial serial;
    pxi_virtual_look look;
    pxi_virtual *executor = bench_new (10, 3);
    bench_start (executor, 2);
    while (bench.n_bursts) {
        pxi_virtual_read (executor, &look);
        cr_assert (look.executing <= 2);
        bench_end_burst (executor);
    }
    const pxi_event *end = told (PXI_EV_FINISHED);
    cr_assert_not_null (end);
    pxi_workload_serial (&bench.tree, 100, 0, &serial);
    cr_assert_eq (bench_blob (NULL, end->blob)->hash, serial.hash);
    cr_assert_eq (times_told (PXI_EV_FINISHED), 1);
    cr_assert_eq (bench.n_broken, 0);
    pxi_virtual_free (&executor);
    TEST_NO_LEAKS ();
}

Test (virtual, hands_over_the_oldest_and_never_what_a_cap_or_zero_forbids)
{
    pxi_virtual *executor = bench_new (6, 1);
    bench_start (executor, 1);
    cr_assert_eq (told (PXI_EV_SURPLUS)->count, 5); /* the newest runs here */
    pxi_virtual_take (executor, &(pxi_action){.token = 9, .count = 2});
    const pxi_event *taken = told (PXI_EV_TAKEN);
    cr_assert_eq (taken->token, 9);
    cr_assert_eq (taken->n_taken, 2);
    cr_assert_eq (taken->taken[0].subtask + 1, taken->taken[1].subtask);
    uint64_t branch = taken->taken[0].branch, first = taken->taken[0].subtask;
    pxi_virtual_cap (executor, branch, true);
    pxi_virtual_take (executor, &(pxi_action){.token = 10, .count = 2});
    cr_assert_eq (told (PXI_EV_TAKEN)->n_taken, 0);
    pxi_virtual_cap (executor, branch, false);
    pxi_virtual_give_back (executor, first, 4, 1);
    pxi_virtual_take (executor, &(pxi_action){.token = 11, .count = 1});
    cr_assert_eq (told (PXI_EV_TAKEN)->taken[0].subtask, first); /* the oldest again */
    cr_assert_eq (told (PXI_EV_TAKEN)->taken[0].attempts, 4);
    cr_assert_eq (bench.n_broken, 0);
    for (uint32_t i = 0; i < bench.n_notices; i++)
        free ((void *)bench.notices[i].taken);
    pxi_virtual_free (&executor);
    TEST_NO_LEAKS ();
}

Test (virtual, an_outcome_that_comes_twice_or_for_nothing_is_a_broken_contract)
{
    pxi_payload outcome = {.hash = 1};
    pxi_virtual *executor = bench_new (4, 1);
    bench_start (executor, 1);
    pxi_virtual_take (executor, &(pxi_action){.token = 1, .count = 1});
    uint64_t subtask = told (PXI_EV_TAKEN)->taken[0].subtask;
    free ((void *)told (PXI_EV_TAKEN)->taken);
    pxi_virtual_complete (executor, &(pxi_action){.subtask = subtask, .result = PXI_RESULT_OK},
                          &outcome);
    cr_assert_eq (bench.n_broken, 0);
    pxi_virtual_complete (executor, &(pxi_action){.subtask = subtask, .result = PXI_RESULT_OK},
                          &outcome);
    cr_assert_eq (bench.n_broken, 1);
    pxi_virtual_give_back (executor, subtask, 1, 0);
    cr_assert_eq (bench.n_broken, 2);
    pxi_virtual_complete (executor, &(pxi_action){.subtask = 12345, .result = PXI_RESULT_OK},
                          &outcome);
    cr_assert_eq (bench.n_broken, 3);
    pxi_virtual_slots (executor, 2);
    cr_assert_eq (bench.n_broken, 4);
    pxi_virtual_free (&executor);
}

Test (virtual, a_stopped_run_ends_at_its_next_boundary_and_says_so_once)
{
    pxi_virtual *executor = bench_new (4, 1);
    bench_start (executor, 1);
    pxi_virtual_take (executor, &(pxi_action){.token = 1, .count = 1});
    free ((void *)told (PXI_EV_TAKEN)->taken);
    pxi_virtual_stop (executor, 1);
    cr_assert_eq (times_told (PXI_EV_BRANCH_CLOSED), 1);
    cr_assert_eq (times_told (PXI_EV_FINISHED), 0);
    bench_end_burst (executor);
    cr_assert_eq (times_told (PXI_EV_FINISHED), 1);
    cr_assert (bench_blob (NULL, told (PXI_EV_FINISHED)->blob)->cancelled);
    cr_assert_eq (bench.n_bursts, 0);
    pxi_virtual_free (&executor);
    TEST_NO_LEAKS ();
}

Test (virtual, a_process_that_dies_ends_every_run_and_works_again)
{
    pxi_virtual *executor = bench_new (4, 2);
    bench_start (executor, 2);
    pxi_virtual_die (executor, 1);
    cr_assert_eq (told (PXI_EV_FINISHED)->result, PXI_RESULT_CRASHED);
    cr_assert_eq (bench.n_bursts, 0);
    bench_start (executor, 2);
    while (bench.n_bursts)
        bench_end_burst (executor);
    cr_assert_eq (told (PXI_EV_FINISHED)->result, PXI_RESULT_OK);
    pxi_virtual_free (&executor);
    TEST_NO_LEAKS ();
}

/* ---- the checks ------------------------------------------------------------------------------- */

static pxi_world_config four_peers (pxi_world_job *job)
{
    pxi_world_config config = pxi_world_config_default ();
    *job = (pxi_world_job){.at_ns = PXI_SECOND, .tree = small_tree ()};
    config.jobs = job;
    config.n_jobs = 1;
    return config;
}

Test (check, a_calm_world_is_fine)
{
    pxi_world_job job;
    pxi_world_config config = four_peers (&job);
    pxi_world_report report;
    pxi_world *world = pxi_world_new (&config);
    pxi_world_play (world, NULL, &report);
    cr_assert_eq (report.verdict, PXI_VERDICT_FINE, "%s", report.why);
    cr_assert_eq (report.n_jobs_done, 1);
    pxi_world_free (&world);
    cr_assert_null (world);
    TEST_NO_LEAKS ();
}

Test (check, one_falsified_result_is_seen_at_the_root)
{
    pxi_world_job job;
    pxi_world_config config = four_peers (&job);
    config.wrong = PXI_WRONG_RESULT;
    pxi_world_report report;
    pxi_world *world = pxi_world_new (&config);
    pxi_world_play (world, NULL, &report);
    cr_assert_eq (report.verdict, PXI_VERDICT_BROKEN);
    cr_assert_not_null (strstr (report.why, "answer: job j1 gives"), "%s", report.why);
    cr_assert_not_null (strstr (report.why, "w1"));
    pxi_world_free (&world);
    TEST_NO_LEAKS ();
}

static const pxi_message *lose_results (void *context, const pxi_message *message,
                                        uint32_t n_payloads, uint64_t damage)
{
    static pxi_message nothing;
    static pxi_returned unknown[PXI_RESULTS_MAX];
    (void)context;
    (void)n_payloads;
    (void)damage;
    if (message->kind != PXI_RESULT)
        return message;
    nothing = *message;
    for (uint32_t i = 0; i < message->n_results; i++) {
        unknown[i] = message->results[i];
        unknown[i].key.attempt += 1000; /* of an attempt that nobody knows */
    }
    nothing.results = unknown;
    return &nothing;
}

Test (check, results_of_unknown_attempts_are_dropped_and_the_work_is_redone)
{
    pxi_world_job job;
    pxi_world_config config = four_peers (&job);
    config.carry = lose_results;
    config.core.speculation = false;
    job.tree = (pxi_tree){.seed = 1,
                          .depth_max = 1,
                          .fan_min = 40,
                          .fan_max = 40,
                          .leaf = {PXI_LAW_CONSTANT, 20 * PXI_MS}};
    pxi_world_report report;
    pxi_world *world = pxi_world_new (&config);
    pxi_world_play (world, NULL, &report);
    cr_assert (report.stats.attempts_lost > 0);
    cr_assert_eq (report.stats.results_received, 0);
    cr_assert_eq (report.verdict, PXI_VERDICT_FINE, "%s", report.why);
    pxi_world_free (&world);
    TEST_NO_LEAKS ();
}

Test (check, a_world_that_cannot_finish_is_stuck_and_says_who_waits_for_what)
{
    pxi_world_job job;
    pxi_world_config config = four_peers (&job);
    config.wrong = PXI_WRONG_HANG;
    pxi_world_report report;
    pxi_world *world = pxi_world_new (&config);
    pxi_world_play (world, NULL, &report);
    cr_assert_eq (report.verdict, PXI_VERDICT_STUCK, "%s", report.why);
    cr_assert_not_null (strstr (report.why, "1 of 1 jobs not over"), "%s", report.why);
    cr_assert_not_null (strstr (report.why, "w1: "), "%s", report.why);
    cr_assert_not_null (strstr (report.why, "j1: "), "%s", report.why);
    pxi_world_free (&world);
    TEST_NO_LEAKS ();
}

static const pxi_message *miss_lease (void *context, const pxi_message *message,
                                      uint32_t n_payloads, uint64_t damage)
{
    static pxi_message short_lease;
    (void)context;
    (void)n_payloads;
    (void)damage;
    if (message->kind != PXI_DISPATCH)
        return message;
    short_lease = *message;
    short_lease.lease += 1; /* under a lease that does not exist */
    return &short_lease;
}

Test (check, what_is_sent_under_no_lease_is_done_where_a_slot_is_free)
{
    pxi_world_job job;
    pxi_world_config config = four_peers (&job);
    config.carry = miss_lease;
    config.core.inlining = false;
    pxi_world_report report;
    pxi_world *world = pxi_world_new (&config);
    pxi_world_play (world, NULL, &report);
    cr_assert_eq (report.verdict, PXI_VERDICT_FINE, "%s", report.why);
    cr_assert_gt (report.stats.results_received, 0);
    pxi_world_free (&world);
    TEST_NO_LEAKS ();
}

/* ---- figures that must hold ------------------------------------------------------------------- */

static pxi_tree divisible (uint64_t seed, uint64_t work_ns, uint64_t leaf_ns)
{
    return (pxi_tree){.kind = PXI_TREE_SPLIT,
                      .seed = seed,
                      .fan_max = 2,
                      .work_ns = work_ns,
                      .leaf_ns = leaf_ns,
                      .size_min = 64,
                      .size_max = 64};
}

static pxi_world_report played (pxi_world_config *config)
{
    pxi_world_report report;
    pxi_world *world = pxi_world_new (config);
    pxi_world_play (world, NULL, &report);
    cr_assert_eq (report.verdict, PXI_VERDICT_FINE, "%s", report.why);
    pxi_world_free (&world);
    return report;
}

/* ---- many peers under load -------------------------------------------------------------------- */

enum { LOAD_KNOWN = 40 };

static const pxi_load some_load = {.seed = 1,
                                   .n_peers = 200,
                                   .slots = 2,
                                   .percent = 60,
                                   .number = PXI_NUMBER_MAX,
                                   .mean_ns = 2 * PXI_SECOND,
                                   .from_ns = PXI_SECOND,
                                   .for_ns = 60 * PXI_SECOND};

Test (load, is_as_much_work_as_asked_of_many_sizes_and_comes_all_the_time)
{
    uint64_t work_ns = 0, n_loops = 0, n_trees = 0, smallest = UINT64_MAX, largest = 0;
    pxi_load load = some_load;
    load.for_ns = 3600 * PXI_SECOND;
    uint32_t n;
    pxi_world_job *jobs = pxi_load_draw (&load, &n);
    cr_assert_not_null (jobs);
    uint64_t last_ns = load.from_ns;
    for (uint32_t i = 0; i < n; i++) {
        pxi_serial serial;
        cr_assert (pxi_workload_serial (&jobs[i].tree, 1000000, 0, &serial));
        cr_assert (jobs[i].at_ns >= last_ns);
        cr_assert (jobs[i].at_ns < last_ns + load.for_ns / 100, "a gap after job %u", i);
        cr_assert (jobs[i].peer < load.n_peers);
        last_ns = jobs[i].at_ns;
        work_ns += serial.work_ns;
        n_loops += serial.depth == 1;
        n_trees += serial.depth > 1;
        smallest = serial.work_ns < smallest ? serial.work_ns : smallest;
        largest = serial.work_ns > largest ? serial.work_ns : largest;
    }
    free (jobs);
    uint64_t asked_ns = (uint64_t)load.n_peers * load.slots * load.for_ns / 100 * load.percent;
    cr_assert (work_ns * 10 > asked_ns * 9 && work_ns * 10 < asked_ns * 11, "%llu of %llu s",
               (unsigned long long)(work_ns / PXI_SECOND),
               (unsigned long long)(asked_ns / PXI_SECOND));
    cr_assert (n_loops && n_trees);
    cr_assert (largest > 1000 * smallest);
    TEST_NO_LEAKS ();
}

/* Nothing is lost or doubled here, so each count has its counterpart. */
static void counts_agree (const pxi_world_report *report)
{
    const px_stats *stats = &report->stats;
    const uint64_t *n = report->n_messages;
    uint64_t n_all = 0;
    for (uint32_t kind = PXI_HELLO; kind <= PXI_MESSAGE_LAST; kind++)
        n_all += n[kind];
    cr_assert_eq (n_all, stats->messages_sent);
    cr_assert_eq (report->n_lost + report->n_duplicated + report->n_damaged, 0);
    /* At its start each is told whom it knows, by messages that nobody sent. */
    uint64_t n_told = some_load.n_peers * ((LOAD_KNOWN + PXI_RECORDS_MAX - 1) / PXI_RECORDS_MAX);
    cr_assert (stats->messages_received <= n_all + n_told);
    cr_assert (stats->messages_received + 100 >= n_all + n_told, "more than are on their way");
    cr_assert (report->n_events > stats->messages_received + report->n_tasks);
    cr_assert_eq (n[PXI_PROBE], stats->probes_sent);
    cr_assert_eq (stats->probes_lost + stats->probes_cannot + stats->attempts_lost, 0);
    cr_assert_eq (stats->probes_sent, stats->probes_free + stats->probes_busy);
    uint64_t n_results = stats->results_received + stats->results_late; /* some go together */
    cr_assert (n[PXI_RESULT] <= n_results && n_results <= PXI_RESULTS_MAX * n[PXI_RESULT]);
    cr_assert (stats->subtasks_sent >= n_results);
    cr_assert (report->n_tasks_run >= report->n_tasks);
    cr_assert (stats->results_received > report->n_tasks / 10, "nearly nothing left its peer");
}

Test (load, of_200_peers_for_a_minute_every_answer_is_right_and_the_counts_agree)
{
    pxi_world_peer peers[200];
    pxi_world_config config = pxi_world_config_default ();
    for (uint32_t i = 0; i < some_load.n_peers; i++)
        peers[i] = (pxi_world_peer){.slots = some_load.slots, .speed_permille = 1000};
    pxi_world_job *jobs = pxi_load_draw (&some_load, &config.n_jobs);
    config.peers = peers;
    config.n_peers = some_load.n_peers;
    config.jobs = jobs;
    config.known = LOAD_KNOWN;
    config.core.view_max = 64;
    config.sweep_ns = PXI_SECOND;
    config.calm_ns = some_load.from_ns + some_load.for_ns;
    pxi_world_report report = played (&config); /* each answer is compared with the serial one */
    cr_assert_eq (report.n_jobs_done, config.n_jobs);
    cr_assert_eq (report.n_jobs_ended, 0);
    counts_agree (&report);
    cr_assert (report.memory_bytes / some_load.n_peers < 64 * 1024, "%llu bytes per peer",
               (unsigned long long)(report.memory_bytes / some_load.n_peers));
    free (jobs);
    TEST_NO_LEAKS ();
}

Test (figures, two_jobs_at_once_share_the_slots)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        pxi_world_config config = pxi_world_config_default ();
        pxi_world_job jobs[2] = {{.peer = 0,
                                  .at_ns = PXI_SECOND,
                                  .tree = divisible (seed, 32 * PXI_SECOND, 20 * PXI_MS)},
                                 {.peer = 1,
                                  .at_ns = PXI_SECOND,
                                  .tree = divisible (seed + 9, 32 * PXI_SECOND, 20 * PXI_MS)}};
        config.seed = seed;
        config.jobs = jobs;
        config.n_jobs = 2;
        pxi_world_report report = played (&config);
        /* The one that is done first had at least half; the other has then had its share of that time,
           and the rest for itself: 40 % at least means it is done within 1.2 of the first. */
        uint64_t first_ns = report.jobs_ns[0], last_ns = report.jobs_ns[1];
        if (first_ns > last_ns) {
            first_ns = report.jobs_ns[1];
            last_ns = report.jobs_ns[0];
        }
        cr_assert (last_ns * 10 <= first_ns * 12, "seed %llu: %llu and %llu ms",
                   (unsigned long long)seed, (unsigned long long)(first_ns / PXI_MS),
                   (unsigned long long)(last_ns / PXI_MS));
    }
}

Test (figures, a_short_job_beside_a_long_one_takes_less_than_two_and_a_half_times_its_time)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        pxi_world_config config = pxi_world_config_default ();
        pxi_world_job jobs[2] = {{.peer = 1,
                                  .at_ns = 3 * PXI_SECOND,
                                  .tree = divisible (seed, 8 * PXI_SECOND, 20 * PXI_MS)},
                                 {.peer = 0,
                                  .at_ns = PXI_SECOND,
                                  .tree = divisible (seed + 9, 64 * PXI_SECOND, 20 * PXI_MS)}};
        config.seed = seed;
        config.jobs = jobs;
        config.n_jobs = 1;
        uint64_t alone_ns = played (&config).jobs_ns[0];
        config.n_jobs = 2;
        uint64_t beside_ns = played (&config).jobs_ns[0];
        cr_assert (beside_ns * 10 < alone_ns * 25, "seed %llu: alone %llu ms, beside %llu ms",
                   (unsigned long long)seed, (unsigned long long)(alone_ns / PXI_MS),
                   (unsigned long long)(beside_ns / PXI_MS));
    }
}

Test (figures, a_tree_of_small_tasks_keeps_64_peers_busy_and_does_nothing_twice)
{
    pxi_world_peer peers[64];
    pxi_world_config config = pxi_world_config_default ();
    pxi_world_job job = {.at_ns = PXI_SECOND, .tree = divisible (1, 256 * PXI_SECOND, 10 * PXI_MS)};
    for (uint32_t i = 0; i < 64; i++)
        peers[i] = (pxi_world_peer){.slots = 1, .speed_permille = 1000};
    config.peers = peers;
    config.n_peers = config.known = 64;
    config.jobs = &job;
    config.n_jobs = 1;
    config.unchecked = true;
    pxi_world_report report = played (&config);
    uint64_t ideal_ns = 256 * PXI_SECOND / 64;
    cr_assert (report.makespan_ns * 93 <= ideal_ns * 100, "%llu ms, ideal %llu ms",
               (unsigned long long)(report.makespan_ns / PXI_MS),
               (unsigned long long)(ideal_ns / PXI_MS));
    cr_assert (report.stats.extra_ns * 50 < report.work_ns);
}

/* Work that is told: without a fault all of it is done once; what a killed peer had is done again. */
/* One of three workers stands still while it has parts of a tree, each of them some levels of it. All others are idle
 * soon; they say so to each other, and who waits asks after the silent one at once. Its parts are done again within a
 * second, not after the 2.5 s in which a silent peer is given up. */
Test (figures, a_tree_does_not_wait_for_a_frozen_worker_to_be_given_up)
{
    for (uint32_t seed = 1; seed <= 60; seed++) {
        pxi_world_job job;
        pxi_world_config config = four_peers (&job);
        pxi_world_peer peers[4];
        for (uint32_t i = 0; i < 4; i++)
            peers[i] = (pxi_world_peer){.slots = 1, .speed_permille = 1000};
        config.peers = peers;
        config.seed = seed;
        config.calm_ns = 100 * PXI_SECOND;
        job.at_ns = 3 * PXI_SECOND;
        job.tree = divisible (seed, PXI_SECOND, PXI_MS);
        const pxi_fault frozen = {PXI_FAULT_PAUSE,
                                  job.at_ns + 50 * PXI_MS + seed * PXI_MS,
                                  80 * PXI_SECOND,
                                  1 + seed % 3,
                                  0,
                                  0};
        config.faults = &frozen;
        config.n_faults = 1;
        pxi_world_report report = played (&config);
        cr_expect_lt (report.jobs_ns[0], 1500 * PXI_MS, "seed %u: %.3f s", seed,
                      (double)report.jobs_ns[0] / 1e9);
    }
}

/* One of the workers is there, answers, and takes a hundred times as long for everything from some time on. */
static double with_slow_worker_s (uint64_t seed, uint32_t n_peers, pxi_tree tree)
{
    pxi_world_job job;
    pxi_world_config config = four_peers (&job);
    pxi_world_peer peers[16];
    for (uint32_t i = 0; i < n_peers; i++)
        peers[i] = (pxi_world_peer){.slots = 4, .speed_permille = 1000};
    config.peers = peers;
    config.n_peers = n_peers;
    config.seed = seed;
    config.calm_ns = 200 * PXI_SECOND;
    job.at_ns = 3 * PXI_SECOND;
    job.tree = tree;
    const pxi_fault slow = {PXI_FAULT_SLOW,
                            job.at_ns + 50 * PXI_MS + seed * 20 * PXI_MS,
                            150 * PXI_SECOND,
                            (uint32_t)(1 + seed % (n_peers - 1)),
                            100,
                            0};
    config.faults = &slow;
    config.n_faults = 1;
    return (double)played (&config).jobs_ns[0] / (double)PXI_SECOND;
}

static pxi_tree loops (uint64_t seed, uint32_t depth, uint32_t fan, pxi_law leaf)
{
    return (pxi_tree){.kind = PXI_TREE_RANDOM,
                      .seed = seed,
                      .depth_max = depth,
                      .fan_min = fan,
                      .fan_max = fan,
                      .leaf = leaf,
                      .size_min = 64,
                      .size_max = 64};
}

/* Left to it, they took 8 s in the mean, and up to 23. */
Test (figures, a_loop_in_a_loop_does_not_wait_for_a_worker_that_hardly_computes)
{
    double sum_s = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        pxi_law leaf = {PXI_LAW_EXPONENTIAL, 80 * PXI_MS};
        double took_s = with_slow_worker_s (seed, 4, loops (seed, 2, 10, leaf));
        cr_expect_lt (took_s, 10, "seed %llu: %.3f s", (unsigned long long)seed, took_s);
        sum_s += took_s;
    }
    cr_expect_lt (sum_s / 20, 4, "in the mean %.3f s", sum_s / 20);
}

/* Several of its subtasks are late when all else is done: that one of them was done elsewhere first speaks for all.
 * With a budget for each of them, up to 11 s; without the slow one 1.4. */
Test (figures, nor_does_a_loop_whose_subtasks_differ_widely)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        pxi_law leaf = {PXI_LAW_PARETO, 160 * PXI_MS};
        double took_s = with_slow_worker_s (seed, 16, loops (seed, 1, 200, leaf));
        cr_expect_lt (took_s, 4, "seed %llu: %.3f s", (unsigned long long)seed, took_s);
    }
}

/* Each slot has one, two or four of them, of half a second each: none stands idle while another has one more. */
Test (figures, a_loop_of_as_many_subtasks_as_slots_fills_them)
{
    static const uint32_t all_peers[] = {2, 3, 5, 8, 16};
    for (uint32_t i = 0; i < 5 * 4 * 3 * 3; i++) {
        uint32_t n_peers = all_peers[i % 5], slots = 1u << i / 5 % 4, each = 1u << i / 20 % 3;
        pxi_world_job job;
        pxi_world_config config = four_peers (&job);
        pxi_world_peer peers[16];
        for (uint32_t k = 0; k < n_peers; k++)
            peers[k] = (pxi_world_peer){.slots = slots, .speed_permille = 1000};
        config.peers = peers;
        config.n_peers = n_peers;
        config.seed = i + 1;
        job.at_ns = 3 * PXI_SECOND;
        job.tree =
            loops (i, 1, n_peers * slots * each, (pxi_law){PXI_LAW_CONSTANT, PXI_SECOND / 2});
        job.tree.numbers[0] = 1024;
        job.tree.n_numbers = 1;
        double took = (double)played (&config).jobs_ns[0] / (double)(PXI_SECOND / 2) / each;
        cr_expect_lt (took, 1.05, "%u for each of %u slots of %u peers: %.3f of the ideal", each,
                      slots, n_peers, took);
    }
}

Test (figures, work_done_and_work_in_vain_are_told_apart)
{
    pxi_world_job job;
    pxi_world_config config = four_peers (&job);
    job.tree = divisible (3, 8 * PXI_SECOND, 100 * PXI_MS);
    config.tells_work = true;
    pxi_world_report report = played (&config);
    cr_assert_eq (report.done_ns, report.work_ns);
    cr_assert_eq (report.vain_ns, 0);
    pxi_fault kill = {.kind = PXI_FAULT_CRASH, .at_ns = 1500 * PXI_MS, .peer = 2};
    config.faults = &kill;
    config.n_faults = 1;
    config.calm_ns = 20 * PXI_SECOND;
    report = played (&config);
    cr_assert_eq (report.done_ns, report.work_ns);
    cr_assert_gt (report.vain_ns, 0);
}

/* Eight tasks of 3 s are under way when their job is cancelled, half a second after it began. */
Test (figures, a_cancelled_task_that_looks_ends_when_it_looks)
{
    uint64_t vain_ns[2];
    for (uint32_t looks = 0; looks < 2; looks++) {
        pxi_fault cancel = {.kind = PXI_FAULT_CANCEL, .at_ns = 1500 * PXI_MS};
        pxi_world_job job;
        pxi_world_config config = four_peers (&job);
        job.tree.depth_max = 1;
        job.tree.rounds_max = 1;
        job.tree.fan_min = job.tree.fan_max = 40;
        job.tree.leaf.mean_ns = 3 * PXI_SECOND;
        config.faults = &cancel;
        config.n_faults = 1;
        config.calm_ns = 10 * PXI_SECOND;
        config.tells_work = true;
        config.look_ns = looks ? 10 * PXI_MS : 0;
        vain_ns[looks] = played (&config).vain_ns;
    }
    cr_assert_eq (vain_ns[0], 8 * 3 * PXI_SECOND);
    cr_assert (vain_ns[1] > 3 * PXI_SECOND && vain_ns[1] < 5 * PXI_SECOND, "%llu ms",
               (unsigned long long)(vain_ns[1] / PXI_MS));
}

/* ---- swarm ------------------------------------------------------------------------------------ */

Test (swarm, a_seed_draws_one_world_and_another_seed_another)
{
    char first[512], again[512], other[512];
    pxi_swarm swarm;
    pxi_swarm_draw (&swarm, 17);
    pxi_swarm_print (&swarm, first, sizeof first);
    pxi_swarm_fini (&swarm);
    pxi_swarm_draw (&swarm, 17);
    pxi_swarm_print (&swarm, again, sizeof again);
    pxi_swarm_fini (&swarm);
    pxi_swarm_draw (&swarm, 18);
    pxi_swarm_print (&swarm, other, sizeof other);
    pxi_swarm_fini (&swarm);
    cr_assert_str_eq (first, again);
    cr_assert_str_neq (first, other);
    TEST_NO_LEAKS ();
}

Test (swarm, leaving_one_kind_of_fault_out_changes_no_other)
{
    const uint8_t spared[4] = {1};
    pxi_fault_rates rates = {.until_ns = PXI_SECOND,
                             .pause_max_ns = PXI_SECOND,
                             .down_min_ns = PXI_MS,
                             .down_max_ns = PXI_SECOND};
    rates.n[PXI_FAULT_PAUSE] = 3;
    uint32_t n_alone, n_both;
    pxi_fault *alone = pxi_faults_draw (&rates, 4, 1, spared, 5, &n_alone);
    rates.n[PXI_FAULT_CRASH] = 3;
    pxi_fault *both = pxi_faults_draw (&rates, 4, 1, spared, 5, &n_both);
    cr_assert_eq (n_alone, 3);
    cr_assert_eq (n_both, 6);
    uint32_t found = 0;
    for (uint32_t i = 0; i < n_both; i++) {
        if (both[i].kind == PXI_FAULT_PAUSE)
            found += !memcmp (&both[i], &alone[found], sizeof alone[0]);
        else
            cr_assert_neq (both[i].peer, 0); /* spared */
    }
    cr_assert_eq (found, 3);
    free (alone);
    free (both);
}

/* ---- after faults ----------------------------------------------------------------------------- */

static pxi_world_report after (const pxi_fault *fault, uint64_t calm_ns)
{
    pxi_world_job job;
    pxi_world_config config = four_peers (&job);
    config.faults = fault;
    config.n_faults = 1;
    config.calm_ns = calm_ns;
    config.join_first = true;
    job.at_ns = calm_ns - PXI_SECOND;
    return played (&config);
}

Test (after, a_peer_that_was_cut_off_for_long_is_found_again)
{
    const pxi_fault halves = {PXI_FAULT_PARTITION, 2 * PXI_SECOND, 80 * PXI_SECOND, 2, 0, 0};
    const pxi_fault alone = {PXI_FAULT_ISOLATE, 2 * PXI_SECOND, 80 * PXI_SECOND, 2, 0, 0};
    const pxi_fault paused = {PXI_FAULT_PAUSE, 2 * PXI_SECOND, 80 * PXI_SECOND, 2, 0, 0};
    after (&halves, 100 * PXI_SECOND);
    after (&alone, 100 * PXI_SECOND);
    after (&paused, 100 * PXI_SECOND);
}

/* ---- odd peers -------------------------------------------------------------------------------- */

static pxi_world_report with_odd (pxi_world_peer odd)
{
    pxi_world_job job;
    pxi_world_config config = four_peers (&job);
    pxi_world_peer peers[4];
    for (uint32_t i = 0; i < 4; i++)
        peers[i] = i ? odd : (pxi_world_peer){.slots = 2, .speed_permille = 1000};
    config.peers = peers;
    config.calm_ns = 20 * PXI_SECOND;
    job.tree = divisible (3, 16 * PXI_SECOND, 20 * PXI_MS);
    return played (&config);
}

Test (odd, clocks_that_run_fast_or_slow_change_no_answer)
{
    pxi_world_report fast =
        with_odd ((pxi_world_peer){.slots = 2, .speed_permille = 1000, .clock_ppm = 500});
    pxi_world_report slow =
        with_odd ((pxi_world_peer){.slots = 2, .speed_permille = 1000, .clock_ppm = -500});
    cr_assert (fast.stats.results_received > 0);
    cr_assert (slow.stats.results_received > 0);
    cr_assert_eq (fast.stats.attempts_lost + slow.stats.attempts_lost, 0);
}

/* That the answer is right, and that nobody breaks a promise, is checked in every world. */
Test (odd, liars_gain_nothing_but_what_they_were_given)
{
    pxi_world_report reports[PXI_LIARS];
    for (pxi_liar liar = PXI_LIAR_NONE; liar < PXI_LIARS; liar++)
        reports[liar] =
            with_odd ((pxi_world_peer){.slots = 2, .speed_permille = 1000, .liar = liar});
    cr_assert_eq (reports[PXI_LIAR_NONE].stats.attempts_lost, 0);
    cr_assert (reports[PXI_LIAR_FREE].stats.attempts_lost > 0);
    cr_assert (reports[PXI_LIAR_MUTE].stats.attempts_lost > 0);
    cr_assert (reports[PXI_LIAR_REPLAY].stats.results_late > 0);
    cr_assert (reports[PXI_LIAR_FORGE].stats.results_late > 0);
}
