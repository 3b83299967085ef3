/* How a range is cut, on takers that a test makes up: each has a true speed that the plan has to find out. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/prng.h"
#include "core/rank.h"

#define MS UINT64_C (1000000)

enum { SEEDS = 1200, ALL_MAX = 32, NOISE_PPM = 20000 };

struct truth {
    uint32_t kind;
    double fixed_ns, item_ns;
    uint32_t depth; /* chunks that it has at once: 2 = the next one waits while one computes */
    bool known;     /* to the plan, before it begins */
    uint64_t fails_at_ns; /* it is gone from then on; 0 = never */
};

struct task {
    uint32_t id;
    uint64_t end_ns;
};

struct world {
    pxi_plan plan;
    pxi_prng prng;
    uint32_t n;
    struct truth truths[ALL_MAX];
    uint32_t n_tasks[ALL_MAX];
    struct task tasks[ALL_MAX][2];
    uint64_t free_ns[ALL_MAX];
    uint64_t n_items, n_given, n_done; /* n_given with what was done again */
    uint32_t n_chunks;
    uint8_t *results; /* per item: how many */
};

static double noisy (struct world *world, double ns)
{
    double spread = NOISE_PPM / 1e6;
    return ns * (1 - spread + 2 * spread * pxi_prng_double (&world->prng));
}

static void give_all (struct world *world, uint64_t now_ns)
{
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = 0; i < world->n; i++) {
            pxi_chunk chunk;
            const struct truth *truth = &world->truths[i];
            if (world->n_tasks[i] >= truth->depth ||
                (truth->fails_at_ns && now_ns >= truth->fails_at_ns) ||
                !pxi_plan_next (&world->plan, i, now_ns, &chunk))
                continue;
            uint64_t n = chunk.end - chunk.begin;
            cr_assert_gt (n, 0);
            cr_assert_leq (chunk.end, world->n_items);
            uint64_t begin_ns = world->free_ns[i] > now_ns ? world->free_ns[i] : now_ns;
            double takes_ns = noisy (world, truth->fixed_ns + truth->item_ns * (double)n);
            world->free_ns[i] = begin_ns + (uint64_t)takes_ns + 1;
            world->tasks[i][world->n_tasks[i]++] = (struct task){chunk.id, world->free_ns[i]};
            world->n_given += n;
            world->n_chunks++;
            more = true;
        }
    }
}

static void end_first (struct world *world, uint32_t i, uint64_t now_ns)
{
    struct task task = world->tasks[i][0];
    uint64_t begin = world->plan.given[task.id].begin, end = world->plan.given[task.id].end;
    world->tasks[i][0] = world->tasks[i][1];
    world->n_tasks[i]--;
    if (pxi_plan_done (&world->plan, task.id, now_ns, true, true)) {
        world->n_done += end - begin;
        for (uint64_t n = begin; world->results && n < end; n++)
            world->results[n]++;
    }
}

static void leave (struct world *world, uint32_t i)
{
    pxi_plan_remove (&world->plan, i);
    world->n_tasks[i] = 0;
    world->truths[i].fails_at_ns = 1; /* it is asked for nothing any more */
}

/* Who is next, to end a chunk or to leave. */
static uint64_t next_event (struct world *world, uint32_t *who, bool *leaves)
{
    uint64_t first_ns = UINT64_MAX;
    for (uint32_t i = 0; i < world->n; i++) {
        uint64_t fails_ns = world->truths[i].fails_at_ns;
        if (world->n_tasks[i] && world->tasks[i][0].end_ns < first_ns) {
            first_ns = world->tasks[i][0].end_ns;
            *who = i;
            *leaves = false;
        }
        if (fails_ns > 1 && fails_ns < first_ns) {
            first_ns = fails_ns;
            *who = i;
            *leaves = true;
        }
    }
    return first_ns;
}

/* Until every item has its result: when. */
static uint64_t run (struct world *world)
{
    uint64_t now_ns = 0;
    for (give_all (world, 0); !pxi_plan_is_done (&world->plan); give_all (world, now_ns)) {
        uint32_t who = 0;
        bool leaves = false;
        now_ns = next_event (world, &who, &leaves);
        cr_assert_neq (now_ns, UINT64_MAX, "nobody has anything, and %llu items have no result",
                       (unsigned long long)world->plan.n_undone);
        if (leaves)
            leave (world, who);
        else
            end_first (world, who, now_ns);
    }
    cr_assert_eq (world->n_done, world->n_items);
    return now_ns;
}

static void world_init (struct world *world, uint64_t seed, uint64_t n_items, uint64_t granule)
{
    memset (world, 0, sizeof *world);
    pxi_prng_init (&world->prng, seed);
    pxi_plan_init (&world->plan, 0, n_items, granule);
    world->n_items = n_items;
}

static void add (struct world *world, struct truth truth)
{
    pxi_speed speed = {.fixed_ns = (uint64_t)truth.fixed_ns,
                       .item_cost = (uint64_t)(truth.item_ns * (1 << PXI_COST_SHIFT)) + 1};
    world->truths[world->n++] = truth;
    pxi_plan_add (&world->plan, truth.kind, truth.known ? &speed : NULL, 0);
}

/* The end if everyone knew everything, each with one chunk: the level of the vessels. */
static double ideal_ns (const struct truth *truths, uint32_t n, double n_items)
{
    double low = 0, high = 1e18;
    for (int i = 0; i < 200; i++) {
        double middle = (low + high) / 2, done = 0;
        for (uint32_t t = 0; t < n; t++) {
            if (middle > truths[t].fixed_ns)
                done += (middle - truths[t].fixed_ns) / truths[t].item_ns;
        }
        if (done < n_items)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* ---- speeds ------------------------------------------------------------------------------------- */

Test (chunk, a_speed_is_learned_from_two_sizes)
{
    for (uint64_t fixed_ns = 0; fixed_ns <= 1000000; fixed_ns = fixed_ns * 10 + 1) {
        for (uint64_t item_ns = 1; item_ns <= 100000; item_ns *= 10) {
            pxi_speed speed = {0};
            pxi_speed_learn (&speed, 10, fixed_ns + 10 * item_ns);
            pxi_speed_learn (&speed, 100, fixed_ns + 100 * item_ns);
            for (uint64_t n = 200; n < 10000000; n *= 2)
                pxi_speed_learn (&speed, n, fixed_ns + n * item_ns);
            uint64_t n = 1000000, right_ns = fixed_ns + n * item_ns;
            uint64_t found_ns = pxi_speed_ns (&speed, n);
            uint64_t off_ns = found_ns > right_ns ? found_ns - right_ns : right_ns - found_ns;
            cr_assert_leq (off_ns, right_ns / 50, "%llu + n x %llu: %llu, not %llu",
                           (unsigned long long)fixed_ns, (unsigned long long)item_ns,
                           (unsigned long long)found_ns, (unsigned long long)right_ns);
        }
    }
}

Test (chunk, a_speed_takes_any_measure)
{
    static const uint64_t extremes[] = {0, 1, 2, 1000, UINT32_MAX, UINT64_MAX / 2, UINT64_MAX};
    enum { N = sizeof extremes / sizeof *extremes };
    for (int a = 1; a < N; a++) {
        for (int b = 0; b < N; b++) {
            for (int c = 1; c < N; c++) {
                pxi_speed speed = {0};
                pxi_speed_learn (&speed, extremes[a], extremes[b]);
                pxi_speed_learn (&speed, extremes[c], extremes[N - 1 - b]);
                pxi_speed_learn (&speed, extremes[a], extremes[b]);
                cr_assert_gt (speed.item_cost, 0);
                cr_assert_leq (pxi_speed_ns (&speed, 1), pxi_speed_ns (&speed, UINT64_MAX));
            }
        }
    }
}

/* ---- plans -------------------------------------------------------------------------------------- */

Test (chunk, one_taker_does_all)
{
    for (uint64_t n = 0; n < 300; n++) {
        struct world world;
        world_init (&world, n, n, 1 + n % 7);
        add (&world, (struct truth){0, 1000, 500, 1 + (uint32_t)(n % 2), n % 3 == 0, 0});
        run (&world);
    }
}

static struct truth any_truth (pxi_prng *prng, uint32_t kind)
{
    struct truth truth = {.kind = kind, .depth = 1 + (uint32_t)pxi_prng_below (prng, 2)};
    truth.fixed_ns = (double)pxi_prng_below (prng, 1000000);
    truth.item_ns =
        (double)(1 + pxi_prng_below (prng, 100)) * (double)(1 + pxi_prng_below (prng, 100));
    truth.known = pxi_prng_below (prng, 2);
    return truth;
}

/* Whatever the takers are, and though all but one leave: each item gets exactly one result. */
Test (chunk, every_item_gets_one_result)
{
    static uint8_t results[20000];
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct world world;
        pxi_prng prng;
        pxi_prng_init (&prng, seed);
        world_init (&world, seed, pxi_prng_below (&prng, sizeof results),
                    1 + pxi_prng_below (&prng, 300));
        memset (results, 0, sizeof results);
        world.results = results;
        uint32_t n = 1 + (uint32_t)pxi_prng_below (&prng, ALL_MAX);
        for (uint32_t i = 0; i < n; i++) {
            struct truth truth = any_truth (&prng, (uint32_t)pxi_prng_below (&prng, 4));
            if (i && pxi_prng_below (&prng, 2))
                truth.fails_at_ns = 2 + pxi_prng_below (&prng, 10 * MS);
            add (&world, truth);
        }
        run (&world);
        for (uint64_t i = 0; i < world.n_items; i++)
            cr_assert_eq (results[i], 1, "seed %llu: item %llu has %d results",
                          (unsigned long long)seed, (unsigned long long)i, results[i]);
    }
}

Test (chunk, chunks_begin_large_and_shrink)
{
    struct world world;
    world_init (&world, 1, 1000000, 1);
    add (&world, (struct truth){0, 10000, 100, 1, true, 0});
    add (&world, (struct truth){1, 10000, 10, 1, true, 0});
    world.plan.begun = true; /* long ago */
    uint64_t now_ns = 1000000000, largest = 0, last = UINT64_MAX;
    for (int i = 0; i < 3; i++) {
        pxi_chunk chunk;
        cr_assert (pxi_plan_next (&world.plan, 1, now_ns, &chunk));
        uint64_t n = chunk.end - chunk.begin;
        cr_assert_lt (n, last);
        largest = n > largest ? n : largest;
        last = n;
        uint64_t took_ns = 10000 + 10 * n;
        pxi_plan_done (&world.plan, chunk.id, now_ns + took_ns, true, false);
    }
    cr_assert_gt (largest, 400000);
}

/* 4 us an item, measured on a host that stands still now and then. */
Test (chunk, a_disturbed_measure_is_soon_forgotten)
{
    pxi_speed speed = {0};
    pxi_speed_learn (&speed, 16, 2000000);
    pxi_speed_learn (&speed, 256, 1500000);
    cr_assert_lt (pxi_speed_ns (&speed, 65536), 65536 * 4000 / 4); /* far too good */
    for (int i = 0; i < 5; i++)
        pxi_speed_learn (&speed, 4096, 4096 * 4000 + 100000);
    uint64_t before_ns = pxi_speed_ns (&speed, 65536);
    cr_assert (before_ns > 65536 * 4000 * 0.8 && before_ns < 65536 * 4000 * 1.2, "%llu",
               (unsigned long long)before_ns);
    pxi_speed_learn (&speed, 20, 5000000); /* stood still: of an item it says nothing */
    uint64_t after_ns = pxi_speed_ns (&speed, 65536);
    cr_assert (after_ns < before_ns + 5000000, "%llu", (unsigned long long)after_ns);
}

/* Whoever else comes later finds something left. */
Test (chunk, no_chunk_takes_longer_than_the_range_has_been_open)
{
    struct world world;
    world_init (&world, 1, 1000000000, 1);
    add (&world, (struct truth){0, 0, 10, 1, true, 0});
    uint64_t now_ns = 5, n = 0;
    for (int i = 0; i < 10; i++) {
        pxi_chunk chunk;
        cr_assert (pxi_plan_next (&world.plan, 0, now_ns, &chunk));
        uint64_t most_ns = now_ns - 5 > 10000000 ? now_ns - 5 : 10000000;
        cr_assert_geq (chunk.end - chunk.begin, n);
        n = chunk.end - chunk.begin;
        cr_assert_leq (10 * n, most_ns);
        now_ns += 10 * n;
        pxi_plan_done (&world.plan, chunk.id, now_ns, true, true);
    }
    cr_assert_gt (n, 10000000);
}

/* One device beside some slots, `ratio` times as fast as all of them (or as slow). */
static void mixed (struct world *world, pxi_prng *prng, double ratio, bool known)
{
    uint32_t n_slots = 1 + (uint32_t)pxi_prng_below (prng, 8);
    double item_ns = (double)pxi_prng_between (prng, 200, 5000);
    for (uint32_t i = 0; i < n_slots; i++)
        add (world, (struct truth){0, 5000, item_ns, 1, known, 0});
    double fixed_ns = (double)pxi_prng_between (prng, 10000, 200000); /* launch and transfer */
    add (world, (struct truth){1, fixed_ns, item_ns / n_slots / ratio, 2, known, 0});
}

static const double ratios[] = {0.001, 0.01, 0.1, 0.3, 1, 2, 5, 10, 30, 100, 300, 1000};
enum { RATIOS = sizeof ratios / sizeof *ratios };

/* Ranges of which the ideal takes as long as so many launches, at least. */
static void expect_ideal (bool known, double launches, double most)
{
    double worst = 0, sum = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        pxi_prng prng;
        pxi_prng_init (&prng, seed);
        struct world world, sizes;
        double ratio = ratios[seed % RATIOS];
        world_init (&sizes, seed, 0, 1);
        pxi_prng same = prng;
        mixed (&sizes, &same, ratio, known);
        double n_items = 1e6, least_ns = launches * sizes.truths[sizes.n - 1].fixed_ns;
        while (ideal_ns (sizes.truths, sizes.n, n_items) < least_ns)
            n_items *= 2;
        world_init (&world, seed, (uint64_t)n_items, 1);
        mixed (&world, &prng, ratio, known);
        double took = (double)run (&world) / ideal_ns (world.truths, world.n, n_items);
        cr_assert_leq (took, most, "seed %llu: ratio %g: %g of ideal, %u chunks",
                       (unsigned long long)seed, ratio, took, world.n_chunks);
        worst = took > worst ? took : worst;
        sum += took;
    }
    cr_log_info ("mean %.4f, worst %.4f of ideal", sum / SEEDS, worst);
}

Test (chunk, known_speeds_end_within_5_percent_of_ideal)
{
    expect_ideal (true, 200, 1.05);
}

Test (chunk, unknown_speeds_are_found_out_on_the_way)
{
    expect_ideal (false, 1000, 1.05);
}

/* A device of any speed and any launch cost, known or not, and ranges of any size. What a slot's own noise
 * and its last chunk amount to is the same with and without. */
Test (chunk, a_device_never_makes_it_slower)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        pxi_prng prng;
        pxi_prng_init (&prng, seed);
        uint32_t n_slots = 1 + (uint32_t)pxi_prng_below (&prng, 8);
        double item_ns = (double)pxi_prng_between (&prng, 200, 50000);
        uint64_t n_items = (uint64_t)1 << pxi_prng_between (&prng, 2, 22);
        double ratio = ratios[pxi_prng_below (&prng, RATIOS)];
        double fixed_ns = (double)((uint64_t)1000 << pxi_prng_below (&prng, 16));
        bool known = pxi_prng_below (&prng, 2);
        uint64_t took_ns[2];
        for (int with = 0; with < 2; with++) {
            struct world world;
            world_init (&world, seed, n_items, 1);
            for (uint32_t i = 0; i < n_slots; i++)
                add (&world, (struct truth){0, 5000, item_ns, 1, true, 0});
            if (with)
                add (&world, (struct truth){1, fixed_ns, item_ns / n_slots / ratio, 2, known, 0});
            took_ns[with] = run (&world);
        }
        double slack_ns = 2 * (5000 + item_ns) + 0.03 * (double)took_ns[0];
        cr_assert_leq (
            (double)took_ns[1], (double)took_ns[0] + slack_ns,
            "seed %llu: %llu items, %u slots, ratio %g, launch %g, known %d: %llu, %llu without",
            (unsigned long long)seed, (unsigned long long)n_items, n_slots, ratio, fixed_ns, known,
            (unsigned long long)took_ns[1], (unsigned long long)took_ns[0]);
    }
}

/* ---- ranks -------------------------------------------------------------------------------------- */

enum { TASK = 5, SLOTS = 0, SAME_CPU = 1, GPU = 2, N_CHOICES = 3 };

static void choose (pxi_rank *rank, uint64_t n, pxi_rank_use *uses)
{
    pxi_rank_choice choices[N_CHOICES] = {{.device = SLOTS, .count = 4, .processor = 0},
                                          {.device = SAME_CPU, .count = 1, .processor = 0},
                                          {.device = GPU, .count = 1, .processor = 1}};
    pxi_rank_choose (rank, TASK, n, choices, N_CHOICES);
    for (uint32_t i = 0; i < N_CHOICES; i++)
        uses[i] = choices[i].use;
}

static void learn (pxi_rank *rank, uint64_t device, double fixed_ns, double item_ns)
{
    for (uint64_t n = 64; n <= 1 << 20; n *= 4)
        pxi_rank_learn (rank, TASK, device, n, (uint64_t)(fixed_ns + item_ns * (double)n));
}

static void expect_uses (pxi_rank *rank, uint64_t n, pxi_rank_use slots, pxi_rank_use same_cpu,
                         pxi_rank_use gpu)
{
    pxi_rank_use uses[N_CHOICES];
    choose (rank, n, uses);
    cr_assert_eq (uses[SLOTS], slots, "%llu items: %d", (unsigned long long)n, uses[SLOTS]);
    cr_assert_eq (uses[SAME_CPU], same_cpu, "%llu items: %d", (unsigned long long)n,
                  uses[SAME_CPU]);
    cr_assert_eq (uses[GPU], gpu, "%llu items: %d", (unsigned long long)n, uses[GPU]);
}

Test (rank, what_is_not_known_is_tried_unless_there_is_little)
{
    static pxi_rank rank;
    pxi_rank_init (&rank);
    expect_uses (&rank, 10, PXI_RANK_YES, PXI_RANK_NO, PXI_RANK_NO);
    expect_uses (&rank, 100000, PXI_RANK_YES, PXI_RANK_TRIAL, PXI_RANK_TRIAL);
    learn (&rank, SLOTS, 0, 100);
    expect_uses (&rank, 100000, PXI_RANK_YES, PXI_RANK_TRIAL, PXI_RANK_TRIAL);
}

Test (rank, what_copies_more_than_it_computes_stays_with_the_slots)
{
    static pxi_rank rank;
    pxi_rank_init (&rank);
    learn (&rank, SLOTS, 100, 4); /* four of them: 1 ns an item */
    learn (&rank, SAME_CPU, 30000, 2);
    learn (&rank, GPU, 50000, 5); /* by the bus */
    expect_uses (&rank, 1000000, PXI_RANK_YES, PXI_RANK_NO, PXI_RANK_NO);
}

Test (rank, what_computes_goes_to_the_device_where_there_is_enough_of_it)
{
    static pxi_rank rank;
    pxi_rank_init (&rank);
    learn (&rank, SLOTS, 100, 400);
    learn (&rank, SAME_CPU, 30000, 50);
    learn (&rank, GPU, 100000, 1);
    expect_uses (&rank, 100, PXI_RANK_YES, PXI_RANK_NO, PXI_RANK_NO);
    expect_uses (&rank, 2000, PXI_RANK_NO, PXI_RANK_YES, PXI_RANK_YES);
    expect_uses (&rank, 1000000, PXI_RANK_NO, PXI_RANK_NO, PXI_RANK_YES);
}

/* A size at which a device is bad by itself, as where a cache ends, is known for what it is. */
Test (rank, sizes_are_known_each_by_themselves)
{
    static pxi_rank rank;
    pxi_rank_init (&rank);
    learn (&rank, SLOTS, 0, 40);
    learn (&rank, SAME_CPU, 0, 5);
    for (int i = 0; i < 20; i++)
        pxi_rank_learn (&rank, TASK, SAME_CPU, 5000, 5000 * 30);
    cr_assert_geq (pxi_rank_ns (&rank, TASK, SAME_CPU, 5000), 5000 * 29);
    cr_assert_leq (pxi_rank_ns (&rank, TASK, SAME_CPU, 1 << 20), 15 << 20);
}

Test (rank, what_was_worse_is_tried_again_after_a_while)
{
    static pxi_rank rank;
    pxi_rank_init (&rank);
    learn (&rank, SLOTS, 100, 4);
    learn (&rank, SAME_CPU, 30000, 2);
    learn (&rank, GPU, 50000, 5);
    for (int i = 0; i < PXI_RANK_RETRY; i++)
        expect_uses (&rank, 1000000, PXI_RANK_YES, PXI_RANK_NO, PXI_RANK_NO);
    expect_uses (&rank, 1000000, PXI_RANK_YES, PXI_RANK_TRIAL, PXI_RANK_TRIAL);
    pxi_rank_learn (&rank, TASK, GPU, 1 << 19, UINT64_C (5) << 19);
    expect_uses (&rank, 1000000, PXI_RANK_YES, PXI_RANK_TRIAL, PXI_RANK_NO);
}

Test (rank, what_was_used_longest_ago_is_forgotten)
{
    static pxi_rank rank;
    pxi_rank_init (&rank);
    for (uint64_t task = 1; task <= PXI_RANKS_MAX + 1; task++) {
        pxi_rank_learn (&rank, task, 0, 100, 1000);
        pxi_rank_learn (&rank, 1, 0, 100, 1000);
    }
    cr_assert_neq (pxi_rank_ns (&rank, 1, 0, 100), UINT64_MAX);
    cr_assert_eq (pxi_rank_ns (&rank, 2, 0, 100), UINT64_MAX);
    cr_assert_eq (pxi_rank_ns (&rank, PXI_RANKS_MAX + 1, 0, 100), 1000);
    cr_assert_null (pxi_rank_speed (&rank, 2, 0));
}
