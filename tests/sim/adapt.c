/* The number in force: that it costs nothing where nothing happens, follows what is lost, and rises where nobody has
 * set one. The same worlds with adaptation and without, in virtual time. */
#include <criterion/criterion.h>
#include <string.h>

#include "leak.h"
#include "sim/world.h"

enum { PEERS = 32, PEERS_MANY = 64, SEEDS = 3, OTHERS = 3 };
#define TASK_NS (50 * PXI_MS)

typedef enum trouble {
    NONE,
    HALF_LOST,      /* crash, and do not come back */
    OTHER_PROGRAMS, /* three of them come, and end */
    SLOW_LINKS,     /* to a half */
    STANDING_STILL, /* a half, three times, for longer than it takes to be given up */
} trouble;

typedef struct story {
    trouble trouble;
    bool tree;
    uint32_t n_peers, number, most;
} story;

typedef struct sums {
    double s, messages, lost;
} sums;

static pxi_tree loop (uint32_t n, uint32_t number)
{
    return (pxi_tree){.kind = PXI_TREE_RANDOM,
                      .depth_max = 1,
                      .fan_min = n,
                      .fan_max = n,
                      .rounds_max = 1,
                      .leaf = {PXI_LAW_UNIFORM, TASK_NS},
                      .size_min = 64,
                      .size_max = 64,
                      .numbers = {number},
                      .n_numbers = 1};
}

static pxi_tree split (uint64_t work_ns, uint32_t number)
{
    return (pxi_tree){.kind = PXI_TREE_SPLIT,
                      .fan_min = 2,
                      .fan_max = 8,
                      .rounds_max = 1,
                      .work_ns = work_ns,
                      .leaf_ns = TASK_NS / 5,
                      .size_min = 64,
                      .size_max = 64,
                      .numbers = {number},
                      .n_numbers = 1};
}

static uint32_t add_faults (const story *of, pxi_fault *faults)
{
    uint32_t n = 0;
    for (uint32_t round = 0; round < (of->trouble == STANDING_STILL ? 3 : 1); round++) {
        for (uint32_t i = of->n_peers / 2; i < of->n_peers; i++) {
            pxi_fault fault = {.at_ns = (2 + 3 * round) * PXI_SECOND + i, .peer = i};
            fault.kind = of->trouble == HALF_LOST    ? PXI_FAULT_CRASH
                         : of->trouble == SLOW_LINKS ? PXI_FAULT_SLOW_LINK
                                                     : PXI_FAULT_PAUSE;
            fault.factor = 400;
            fault.duration_ns = of->trouble == HALF_LOST    ? 0
                                : of->trouble == SLOW_LINKS ? 100 * PXI_SECOND
                                                            : 2700 * PXI_MS;
            if (of->trouble >= HALF_LOST && of->trouble != OTHER_PROGRAMS)
                faults[n++] = fault;
        }
    }
    return n;
}

static void play (const story *of, bool adaptation, uint64_t seed, sums *to)
{
    static pxi_world_peer peers[PEERS_MANY];
    static pxi_fault faults[3 * PEERS];
    static pxi_world_report report;
    pxi_world_job jobs[1 + OTHERS] = {{.at_ns = PXI_SECOND}};
    pxi_world_config config = pxi_world_config_default ();
    for (uint32_t i = 0; i < of->n_peers; i++)
        peers[i] = (pxi_world_peer){.slots = 1, .speed_permille = 1000};
    jobs[0].tree = of->tree ? split (of->n_peers * 3 * PXI_SECOND, of->number)
                            : loop (of->n_peers * 100, of->number);
    jobs[0].tree.seed = seed;
    jobs[0].tree.number_most = of->most;
    for (uint32_t i = 1; i <= OTHERS; i++)
        jobs[i] = (pxi_world_job){3 + i, (1 + i) * PXI_SECOND, loop (of->n_peers * 8, 64), 0, 0};
    config.seed = seed;
    config.peers = peers;
    config.n_peers = of->n_peers;
    config.known = of->n_peers - 1;
    config.jobs = jobs;
    config.n_jobs = of->trouble == OTHER_PROGRAMS ? 1 + OTHERS : 1;
    config.faults = faults;
    config.n_faults = add_faults (of, faults);
    config.network = (pxi_network_config){.min_ns = PXI_MS / 2};
    config.core.adaptation = adaptation;
    config.sweep_ns = PXI_SECOND;
    config.calm_ns = 1000 * PXI_SECOND;
    config.nodes_max = 1000000;
    pxi_world *world = pxi_world_new (&config);
    cr_assert (world && pxi_world_run_jobs (world, 1000 * PXI_SECOND));
    pxi_world_read (world, &report);
    cr_assert_eq (report.verdict, PXI_VERDICT_FINE, "%s", report.why);
    to->s += (double)pxi_world_job_ns (world, 0) / 1e9;
    to->messages += (double)pxi_world_n_work (&report);
    to->lost += (double)report.stats.attempts_lost;
    pxi_world_free (&world);
}

/* [0] without adaptation, [1] with it. */
static void compare (const story *of, sums sum[2])
{
    memset (sum, 0, 2 * sizeof *sum);
    for (uint64_t seed = 1; seed <= (of->n_peers > PEERS ? 1 : SEEDS); seed++) {
        play (of, false, seed, &sum[0]);
        play (of, true, seed, &sum[1]);
    }
}

Test (adapt, costs_nothing_where_nothing_happens)
{
    const story stories[] = {{NONE, false, PEERS, 64, 0},
                             {NONE, false, PEERS, 16, 0},
                             {NONE, true, PEERS, 64, 1024},
                             {OTHER_PROGRAMS, false, PEERS, 64, 0},
                             {OTHER_PROGRAMS, true, PEERS, 64, 0}};
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
        sums sum[2];
        compare (&stories[i], sum);
        cr_expect_leq (sum[1].s, 1.02 * sum[0].s, "story %zu: %g s, %g s", i, sum[1].s, sum[0].s);
        cr_expect_leq (sum[1].messages, 1.02 * sum[0].messages, "story %zu", i);
    }
    TEST_NO_LEAKS ();
}

Test (adapt, costs_little_where_workers_are_lost_or_far)
{
    const story stories[] = {{HALF_LOST, false, PEERS, 64, 0},
                             {HALF_LOST, true, PEERS, 64, 0},
                             {SLOW_LINKS, false, PEERS, 64, 0},
                             {STANDING_STILL, false, PEERS, 16, 0}};
    for (size_t i = 0; i < sizeof stories / sizeof *stories; i++) {
        sums sum[2];
        compare (&stories[i], sum);
        double most = stories[i].tree ? 1.1 : 1.02;
        cr_expect_leq (sum[1].s, most * sum[0].s, "story %zu: %g s, %g s", i, sum[1].s, sum[0].s);
    }
    TEST_NO_LEAKS ();
}

Test (adapt, gives_less_away_while_workers_stop_again_and_again)
{
    sums sum[2];
    compare (&(story){STANDING_STILL, false, PEERS, 64, 0}, sum);
    cr_expect_leq (sum[1].lost, 0.85 * sum[0].lost, "%g, %g", sum[1].lost, sum[0].lost);
    cr_expect_leq (sum[1].s, 1.02 * sum[0].s, "%g, %g", sum[1].s, sum[0].s);
    TEST_NO_LEAKS ();
}

Test (adapt, a_number_that_nobody_has_set_rises_to_what_is_there)
{
    sums sum[2];
    compare (&(story){NONE, false, PEERS_MANY, 20, 1024}, sum);
    cr_expect_leq (sum[1].s, 0.5 * sum[0].s, "%g, %g", sum[1].s, sum[0].s);
    compare (&(story){NONE, false, PEERS_MANY, 20, 0}, sum);
    cr_expect_eq (sum[1].s, sum[0].s, "one that was set does not");
    TEST_NO_LEAKS ();
}
