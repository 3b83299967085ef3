/* Ranges on virtual peers with devices: how near to the ideal the real core and the real cutting come, and
 * that faults break nothing. */
#include <criterion/criterion.h>
#include <string.h>

#include "sim/swarm.h"

enum { PEERS_MAX = 4, SEEDS = 80 };

struct rig {
    pxi_world_config config;
    pxi_world_peer peers[PEERS_MAX];
    pxi_world_job job;
};

/* A range at the first of so many peers of 4 slots, without a fault. */
static void rig_init (struct rig *rig, uint64_t seed, uint32_t n_peers, uint64_t n_items,
                      uint64_t item_ns)
{
    *rig = (struct rig){.config = pxi_world_config_default ()};
    for (uint32_t i = 0; i < n_peers; i++)
        rig->peers[i] = (pxi_world_peer){.slots = 4, .speed_permille = 1000};
    rig->job = (pxi_world_job){.at_ns = 3 * PXI_SECOND,
                               .tree = {.kind = PXI_TREE_RANGE,
                                        .seed = seed,
                                        .n_items = n_items,
                                        .item_ns = item_ns,
                                        .size_min = 64,
                                        .size_max = 64}};
    rig->config.seed = seed;
    rig->config.n_peers = n_peers;
    rig->config.peers = rig->peers;
    rig->config.n_jobs = 1;
    rig->config.jobs = &rig->job;
}

static pxi_world_device device_of (uint64_t item_ps, uint32_t processor)
{
    return (pxi_world_device){.slots = 3,
                              .processor = processor,
                              .fixed_ns = 50000,
                              .compile_ns = 20 * PXI_MS,
                              .item_ps = item_ps,
                              .way_ps = item_ps / 10};
}

/* Until the last of its jobs has ended, from its own begin. */
static double play_s (const struct rig *rig)
{
    pxi_world_report report;
    pxi_world *world = pxi_world_new (&rig->config);
    cr_assert_not_null (world);
    pxi_world_play (world, NULL, &report);
    cr_assert_eq (report.verdict, PXI_VERDICT_FINE, "%s", report.why);
    cr_assert_eq (report.n_jobs_done, rig->config.n_jobs);
    pxi_world_free (&world);
    uint64_t most_ns = 0;
    for (uint32_t i = 0; i < rig->config.n_jobs; i++)
        most_ns = report.jobs_ns[i] > most_ns ? report.jobs_ns[i] : most_ns;
    return (double)most_ns / (double)PXI_SECOND;
}

enum { ITEM_NS = 4000 };

/* A device at peer `where` that is `ratio` times as fast as four slots, and a range that takes all together so
 * long. */
static void with_device (struct rig *rig, uint32_t where, double ratio, double ideal_s)
{
    double slots = where ? 8 : 4, items_s = (slots + 4 * ratio) / ITEM_NS * 1e9;
    rig_init (rig, 1 + (uint64_t)ratio, 1 + where, (uint64_t)(items_s * ideal_s), ITEM_NS);
    rig->peers[where].n_devices = 1;
    rig->peers[where].devices[0] = device_of ((uint64_t)(1000.0 * ITEM_NS / 4 / ratio), 1);
}

/* Nothing is known of anybody when it begins, and its kernel is compiled first. */
Test (devices, a_range_ends_within_5_percent_of_the_ideal)
{
    static const double ratios[] = {1, 2, 5, 10, 30, 100, 300, 1000};
    for (uint32_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
        for (uint32_t where = 0; where < 2; where++) {
            struct rig rig;
            with_device (&rig, where, ratios[i], 20);
            double took = play_s (&rig) / 20;
            cr_expect_leq (took, 1.05, "ratio %g, at w%u: %.3f of the ideal", ratios[i], where + 1,
                           took);
        }
    }
}

/* Two peers with a device each, one at half the speed of the other, beside which slots count little. */
Test (devices, of_different_speeds_share_a_range_by_them)
{
    struct rig rig;
    double item_s = 4e-9, rate = 1 / item_s + 0.5 / item_s + 8 / (ITEM_NS * 1e-9);
    rig_init (&rig, 3, 2, (uint64_t)(20 * rate), ITEM_NS);
    for (uint32_t i = 0; i < 2; i++) {
        rig.peers[i].n_devices = 1;
        rig.peers[i].devices[0] = device_of (4000 * (1 + i), 1);
    }
    double took = play_s (&rig) / 20;
    cr_assert_leq (took, 1.10, "%.3f of the ideal", took);
}

/* A device of any speed, at the same processor or another, here or there, and ranges from milliseconds to
 * seconds: with it no range takes longer than without, but for a moment until the first chunk of it, which has
 * a kernel compiled before it, is found late. */
Test (devices, no_range_takes_longer_with_one_than_without)
{
    static const double ratios[] = {0.001, 0.01, 0.1, 0.3, 1, 3, 30, 1000};
    static const uint64_t all_items[] = {10, 500, 20000, 1000000, 10000000};
    enum { RATIOS = 8, SIZES = 5 };
    for (uint32_t i = 0; i < RATIOS * SIZES * 4; i++) {
        struct rig rig;
        uint32_t where = i % 2, processor = i / 2 % 2;
        double ratio = ratios[i / 4 % RATIOS];
        rig_init (&rig, i, 2, all_items[i / 4 / RATIOS], ITEM_NS);
        double without_s = play_s (&rig);
        rig.peers[where].n_devices = 1;
        rig.peers[where].devices[0] =
            device_of ((uint64_t)(1000.0 * ITEM_NS / 4 / ratio), processor);
        double with_s = play_s (&rig);
        cr_expect_leq (with_s, 1.03 * without_s + 0.012,
                       "%llu items, ratio %g, at w%u, processor %u: %.6f s, %.6f without",
                       (unsigned long long)rig.job.tree.n_items, ratio, where + 1, processor,
                       with_s, without_s);
    }
}

/* Two to four jobs, each at a peer of its own, that begin within a second; one peer has a device of some speed. What
 * each of them knows of its queue is what it is told. */
Test (devices, that_several_jobs_share_delay_none)
{
    static const double ratios[] = {0.3, 1, 3, 10, 100};
    enum { WORLDS = 300, JOBS_MAX = 4 };
    for (uint32_t i = 0; i < WORLDS; i++) {
        struct rig rig;
        pxi_world_job jobs[JOBS_MAX];
        pxi_prng prng;
        pxi_prng_init (&prng, i + 1);
        rig_init (&rig, i, PEERS_MAX, 0, ITEM_NS);
        rig.config.jobs = jobs;
        rig.config.n_jobs = 2 + i % 3;
        for (uint32_t k = 0; k < rig.config.n_jobs; k++) {
            jobs[k] = rig.job;
            jobs[k].peer = k;
            jobs[k].at_ns += pxi_prng_below (&prng, PXI_SECOND);
            jobs[k].tree.n_items = UINT64_C (100000) << pxi_prng_below (&prng, 8);
        }
        double without_s = play_s (&rig), ratio = ratios[pxi_prng_below (&prng, 5)];
        uint32_t where = (uint32_t)pxi_prng_below (&prng, PEERS_MAX);
        rig.peers[where].n_devices = 1;
        rig.peers[where].devices[0] = device_of ((uint64_t)(1000.0 * ITEM_NS / 4 / ratio),
                                                 (uint32_t)pxi_prng_below (&prng, 2));
        double with_s = play_s (&rig);
        cr_expect_leq (with_s, 1.05 * without_s + 0.02,
                       "world %u, %u jobs, ratio %g, at w%u: %.3f s, %.3f without", i,
                       (uint32_t)rig.config.n_jobs, ratio, where + 1, with_s, without_s);
    }
}

/* ---- faults ----------------------------------------------------------------------------------- */

/* What happened in a world, by the lines of its trace. */
struct seen {
    uint64_t here, there, undone, wrong, redone;
};

static void look (void *context, uint64_t now_ns, const char *who, const char *line)
{
    (void)now_ns;
    (void)who;
    struct seen *seen = context;
    seen->here += strstr (line, " -> device ") != NULL;
    seen->there += strncmp (line, "device ", 7) == 0 && strstr (line, " sent");
    seen->undone += strstr (line, " did not do ") != NULL;
    seen->wrong += strstr (line, " -> quarantined") != NULL;
    seen->redone += strstr (line, "-> redone here") != NULL;
}

/* Every index is done once (the answer says so, and the executors' books), what is held of a device is conserved,
 * and nothing is left. */
Test (devices, faults_break_nothing)
{
    struct seen seen = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        pxi_swarm swarm;
        pxi_world_report report;
        pxi_swarm_draw (&swarm, PXI_SWARM_DEVICES_FROM + seed);
        swarm.config.damage_ppm = 0; /* here are no bytes to damage */
        swarm.config.sink = look;
        swarm.config.sink_context = &seen;
        pxi_world *world = pxi_world_new (&swarm.config);
        cr_assert_not_null (world);
        pxi_world_play (world, NULL, &report);
        cr_expect_eq (report.verdict, PXI_VERDICT_FINE, "seed %llu: %s", (unsigned long long)seed,
                      report.why);
        pxi_world_free (&world);
        pxi_swarm_fini (&swarm);
    }
    cr_assert (seen.here > 5 * SEEDS && seen.there > SEEDS && seen.undone > SEEDS / 10 &&
                   seen.wrong > SEEDS / 20 && seen.redone > 0,
               "%llu chunks on devices here, %llu there, %llu not done, %llu wrong, %llu redone",
               (unsigned long long)seen.here, (unsigned long long)seen.there,
               (unsigned long long)seen.undone, (unsigned long long)seen.wrong,
               (unsigned long long)seen.redone);
}
