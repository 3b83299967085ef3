/* Whether what leaves should leave: virtual peers behind links of any delay and width, of any speed, with tasks
 * that compute much, move much, or do next to nothing. What is asserted is virtual time and counts. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "leak.h"
#include "sim/world.h"

enum { PEERS = 4, KIB = 1024, MIB = 1 << 20 };
#define JOINED_NS (2 * PXI_SECOND)

struct task {
    const char *name;
    uint64_t run_ns;
    uint32_t n, size, result_size;
    const pxi_cost_declared *declared;
    uint32_t n_declared;
};

struct run {
    uint64_t job_ns;
    uint64_t n_sent, n_back;
};

struct setting {
    uint64_t trip_ns, bytes_per_s;
    uint32_t slots;
    uint32_t speed_permille[PEERS];
};

static struct run play (const struct task *task, const struct setting *setting, uint32_t number)
{
    pxi_world_peer peers[PEERS] = {0};
    for (uint32_t i = 0; i < PEERS; i++) {
        uint32_t speed = setting->speed_permille[i];
        peers[i] =
            (pxi_world_peer){.slots = setting->slots, .speed_permille = speed ? speed : 1000};
    }
    pxi_world_job job = {.at_ns = JOINED_NS,
                         .tree = {.kind = PXI_TREE_RANDOM,
                                  .seed = 1,
                                  .depth_max = 1,
                                  .fan_min = task->n,
                                  .fan_max = task->n,
                                  .leaf = {PXI_LAW_CONSTANT, task->run_ns},
                                  .size_min = task->size,
                                  .size_max = task->size,
                                  .result_size = task->result_size,
                                  .declared = task->declared,
                                  .n_declared = task->n_declared,
                                  .numbers = {number},
                                  .n_numbers = number != PXI_NUMBER_MAX}};
    pxi_world_config config = pxi_world_config_default ();
    config.seed = 7;
    config.n_peers = PEERS;
    config.peers = peers;
    config.n_jobs = 1;
    config.jobs = &job;
    config.network =
        (pxi_network_config){.min_ns = setting->trip_ns / 2, .bytes_per_s = setting->bytes_per_s};
    config.calm_ns = 1000 * PXI_SECOND;
    pxi_world *world = pxi_world_new (&config);
    cr_assert_not_null (world);
    cr_assert (pxi_world_run_jobs (world, 1000 * PXI_SECOND));
    pxi_world_report report;
    pxi_world_read (world, &report);
    struct run run = {pxi_world_job_ns (world, 0), report.stats.subtasks_sent,
                      report.stats.results_received};
    cr_assert_neq (run.job_ns, 0);
    pxi_world_free (&world);
    TEST_NO_LEAKS ();
    return run;
}

/* If all went to the other peers: the slower of their slots and of their links, and one more on its way. */
static uint64_t all_away_ns (const struct task *task, const struct setting *setting)
{
    uint64_t bytes = task->size > task->result_size ? task->size : task->result_size;
    uint64_t share = (task->n + PEERS - 2) / (PEERS - 1);
    uint64_t moves_ns = bytes * PXI_SECOND / setting->bytes_per_s;
    uint64_t runs_ns = share * task->run_ns / setting->slots, all_ns = share * moves_ns;
    return setting->trip_ns + task->run_ns + moves_ns + (runs_ns > all_ns ? runs_ns : all_ns);
}

static void try_out (const struct task *task, const struct setting *setting)
{
    struct run here = play (task, setting, 0), free = play (task, setting, PXI_NUMBER_MAX);
    uint64_t away_ns = all_away_ns (task, setting);
    char what[128];
    snprintf (
        what, sizeof what,
        "%s, trip %.1f ms, %.0f MB/s, %u slots: here %.1f, away %.1f, now %.1f ms, %llu done there",
        task->name, (double)setting->trip_ns / 1e6, (double)setting->bytes_per_s / 1e6,
        setting->slots, (double)here.job_ns / 1e6, (double)away_ns / 1e6, (double)free.job_ns / 1e6,
        (unsigned long long)free.n_back);
    cr_expect_eq (here.n_sent, 0);
    cr_expect_leq (free.job_ns * 100, here.job_ns * 105, "%s", what);
    if (2 * away_ns < here.job_ns)
        cr_expect_leq (free.job_ns * 100, here.job_ns * 75, "it should go: %s", what);
    if (away_ns > 2 * here.job_ns)
        cr_expect_leq (free.n_back, task->n / 3, "it should stay: %s", what);
}

static const uint64_t trips_ns[] = {PXI_MS / 10, 10 * PXI_MS, 100 * PXI_MS};
static const uint64_t rates[] = {1000000, 10000000, 100000000, 1000000000};

static void try_all (const struct task *task)
{
    for (uint32_t i = 0; i < 24; i++)
        try_out (task, &(struct setting){.trip_ns = trips_ns[i % 3],
                                         .bytes_per_s = rates[i / 3 % 4],
                                         .slots = i < 12 ? 1 : 4});
}

Test (links, what_computes_much_goes_wherever_it_is_back_in_time)
{
    try_all (&(struct task){"computes", 100 * PXI_MS, 120, 100, 100, NULL, 0});
}

Test (links, what_moves_much_goes_only_where_the_link_is_wide)
{
    try_all (&(struct task){"moves", 10 * PXI_MS, 200, MIB, 1000, NULL, 0});
}

Test (links, what_brings_much_back_goes_only_where_the_link_is_wide)
{
    try_all (&(struct task){"brings", 10 * PXI_MS, 200, 100, MIB, NULL, 0});
}

Test (links, what_does_next_to_nothing_goes_only_where_it_is_near)
{
    try_all (&(struct task){"tiny", PXI_MS / 5, 1000, 100, 16, NULL, 0});
}

/* Wrong by a hundred either way, nothing, and more than there is. */
static const pxi_cost_declared nonsense[] = {
    {1000000000, 1}, {100000, MIB}, {10000000000, UINT64_MAX}, {1, 3}, {UINT64_MAX, 0}, {0, 0}};

Test (links, nonsense_that_is_declared_changes_nothing)
{
    try_all (&(struct task){"computes", 100 * PXI_MS, 120, 100, 100, nonsense, 6});
    try_all (&(struct task){"moves", 10 * PXI_MS, 200, MIB, 1000, nonsense, 6});
    try_all (&(struct task){"tiny", PXI_MS / 5, 1000, 100, 16, nonsense, 6});
}

/* Of what is possible with these speeds, to within 15 %. */
static void try_speeds (const struct task *task, struct setting setting)
{
    uint64_t speed_permille = 0;
    for (uint32_t i = 0; i < PEERS; i++)
        speed_permille += setting.speed_permille[i];
    uint64_t ideal_ns = task->n * task->run_ns * 1000 / speed_permille / setting.slots;
    struct run run = play (task, &setting, PXI_NUMBER_MAX);
    cr_expect_leq (run.job_ns * 100, ideal_ns * 115, "%s, %u slots: %.1f ms of %.1f", task->name,
                   setting.slots, (double)run.job_ns / 1e6, (double)ideal_ns / 1e6);
}

Test (links, peers_of_other_speed_are_used_for_what_they_are)
{
    static const struct task task = {"computes", 100 * PXI_MS, 240, 100, 100, NULL, 0};
    for (uint32_t slots = 1; slots <= 4; slots *= 2) {
        try_speeds (&task,
                    (struct setting){PXI_MS / 10, 100000000, slots, {1000, 1000, 1000, 250}});
        try_speeds (&task, (struct setting){PXI_MS / 10, 100000000, slots, {1000, 250, 250, 250}});
        try_speeds (&task,
                    (struct setting){PXI_MS / 10, 100000000, slots, {250, 1000, 1000, 1000}});
    }
}
