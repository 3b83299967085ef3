/* A range and those who take chunks of it by peer and device, as an executor and the simulator have them. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/prng.h"
#include "core/cut.h"

enum { ALL_MAX = 200, AWAY_MAX = 400, ITEMS_MAX = 20000, SEEDS = 600 };

struct away {
    uint32_t chunk;
    pxi_who who;
    uint64_t end_ns;
};

struct world {
    pxi_cut cut;
    pxi_prng prng;
    uint64_t n_items, now_ns;
    uint32_t n, n_away;
    struct away away[AWAY_MAX];
    uint64_t item_ns[ALL_MAX];
};

static pxi_who who_of (uint32_t i)
{
    return (pxi_who){100 + i / 3, i % 3}; /* the slots of a peer and two devices */
}

static bool ask (struct world *world, uint32_t i, uint64_t told)
{
    pxi_who_look look = {.who = who_of (i), .speed = {.item_cost = told << PXI_COST_SHIFT}};
    uint32_t chunk;
    if (world->n_away == AWAY_MAX || !pxi_cut_next (&world->cut, &look, world->now_ns, &chunk))
        return false;
    const pxi_cut_chunk *cut = &world->cut.chunks[chunk];
    cr_assert_lt (cut->begin, cut->end);
    cr_assert_leq (cut->end, world->n_items);
    uint64_t takes_ns = 1 + (cut->end - cut->begin) * world->item_ns[i];
    world->away[world->n_away++] = (struct away){chunk, look.who, world->now_ns + takes_ns};
    return true;
}

static struct away take_first (struct world *world)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < world->n_away; i++) {
        if (world->away[i].end_ns < world->away[first].end_ns)
            first = i;
    }
    struct away away = world->away[first];
    world->away[first] = world->away[--world->n_away];
    return away;
}

static void expect_each_item_once (const struct world *world)
{
    static uint8_t done[ITEMS_MAX];
    memset (done, 0, sizeof done);
    for (uint32_t i = 0; i < world->cut.n_chunks; i++) {
        const pxi_cut_chunk *chunk = &world->cut.chunks[i];
        cr_assert_neq (chunk->state, PXI_CUT_AWAY);
        for (uint64_t at = chunk->begin; chunk->state == PXI_CUT_DONE && at < chunk->end; at++)
            done[at]++;
    }
    for (uint64_t at = 0; at < world->n_items; at++)
        cr_assert_eq (done[at], 1, "item %llu is done %d times", (unsigned long long)at, done[at]);
}

static void world_init (struct world *world, uint64_t seed)
{
    memset (world, 0, sizeof *world);
    pxi_prng_init (&world->prng, seed);
    world->n_items = pxi_prng_below (&world->prng, ITEMS_MAX);
    world->n = 1 + (uint32_t)pxi_prng_below (&world->prng, ALL_MAX);
    pxi_cut_init (&world->cut, 0, world->n_items, 1 + pxi_prng_below (&world->prng, 9));
    for (uint32_t i = 0; i < world->n; i++)
        world->item_ns[i] = 1 + pxi_prng_below (&world->prng, 1000);
}

/* One chunk ends: done by who took it, by another, or not; now and then somebody is wrong. */
static void step (struct world *world, bool heal)
{
    struct away away = take_first (world);
    world->now_ns = away.end_ns > world->now_ns ? away.end_ns : world->now_ns;
    pxi_who by = pxi_prng_below (&world->prng, 10) ? away.who : (pxi_who){7, 0};
    if (!heal && pxi_prng_below (&world->prng, 4) == 0)
        pxi_cut_back (&world->cut, away.chunk, world->now_ns);
    else if (!pxi_cut_done (&world->cut, away.chunk, &by, world->now_ns, true))
        cr_assert_eq (world->cut.chunks[away.chunk].state, PXI_CUT_BACK);
    bool stays = away.who.peer == who_of (0).peer && !away.who.device;
    if (!heal && !stays && pxi_prng_below (&world->prng, 40) == 0)
        pxi_cut_wrong (&world->cut, &away.who, world->now_ns);
}

/* Takers that come, fail, are wrong and never ask again; one slot is always there. Each item is done once, and the
 * slot that is there gets something whenever nobody else has anything. */
Test (cut, every_item_is_done_once)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        static struct world world;
        world_init (&world, seed);
        for (uint32_t round = 0; !pxi_cut_is_done (&world.cut); round++) {
            cr_assert_lt (round, 400000, "seed %llu", (unsigned long long)seed);
            bool heal = round > 3000;
            for (int i = 0; i < 3 && !heal; i++)
                ask (&world, (uint32_t)pxi_prng_below (&world.prng, world.n),
                     pxi_prng_below (&world.prng, 3) * 100);
            bool got = ask (&world, 0, 0);
            cr_assert (got || world.n_away, "seed %llu: %llu are left, nobody has anything",
                       (unsigned long long)seed, (unsigned long long)pxi_cut_left (&world.cut));
            step (&world, heal);
        }
        while (world.n_away)
            step (&world, true);
        cr_assert_eq (pxi_cut_left (&world.cut), 0);
        expect_each_item_once (&world);
        pxi_cut_fini (&world.cut);
    }
}

static uint32_t next (pxi_cut *cut, uint64_t peer, uint32_t device, uint64_t item_ns,
                      uint64_t now_ns)
{
    pxi_who_look look = {.who = {peer, device}, .speed = {.item_cost = item_ns << PXI_COST_SHIFT}};
    uint32_t chunk;
    return pxi_cut_next (cut, &look, now_ns, &chunk) ? chunk : UINT32_MAX;
}

Test (cut, a_device_has_two_chunks_and_each_slot_of_a_peer_one)
{
    pxi_cut cut;
    pxi_cut_init (&cut, 0, 1000000, 1);
    for (int i = 0; i < 10; i++)
        cr_assert_neq (next (&cut, 1, 0, 100, 0), UINT32_MAX);
    cr_assert_eq (cut.plan.n_takers, 10);
    cr_assert_neq (next (&cut, 1, 1, 100, 0), UINT32_MAX);
    cr_assert_neq (next (&cut, 1, 1, 100, 0), UINT32_MAX);
    cr_assert_eq (next (&cut, 1, 1, 100, 0), UINT32_MAX);
    cr_assert_eq (cut.plan.n_takers, 11);
    pxi_cut_fini (&cut);
}

Test (cut, of_an_unknown_one_a_trial_is_under_way_at_a_time)
{
    pxi_cut cut;
    pxi_cut_init (&cut, 0, 1000000, 1);
    uint32_t trial = next (&cut, 1, 1, 0, 0);
    cr_assert_eq (cut.chunks[trial].expect_ns, 0);
    cr_assert_eq (next (&cut, 1, 1, 0, 10), UINT32_MAX);
    cr_assert (pxi_cut_done (&cut, trial, &(pxi_who){1, 1}, 50000, true));
    uint32_t more = next (&cut, 1, 1, 0, 50000);
    cr_assert_gt (cut.chunks[more].expect_ns, 0);
    cr_assert_neq (next (&cut, 1, 1, 0, 50000), UINT32_MAX);
    pxi_cut_fini (&cut);
}

Test (cut, what_a_wrong_one_did_is_done_again_by_others)
{
    pxi_cut cut;
    const pxi_who wrong = {1, 1}, slot = {1, 0};
    pxi_cut_init (&cut, 0, 1000, 1);
    uint32_t first = next (&cut, 1, 1, 10, 0), second = next (&cut, 1, 1, 10, 0);
    cr_assert (pxi_cut_done (&cut, first, &wrong, 10000, true));
    cr_assert_eq (pxi_cut_wrong (&cut, &wrong, 10000), 1);
    cr_assert_eq (cut.chunks[first].state, PXI_CUT_BACK);
    cr_assert_eq (next (&cut, 1, 1, 10, 10000), UINT32_MAX);
    cr_assert_not (pxi_cut_done (&cut, second, &wrong, 20000, true));
    uint64_t now_ns = 20000;
    while (!pxi_cut_is_done (&cut)) {
        uint32_t chunk = next (&cut, 1, 0, 0, now_ns);
        now_ns += 1000;
        cr_assert (pxi_cut_done (&cut, chunk, &slot, now_ns, true));
    }
    cr_assert_eq (pxi_cut_left (&cut), 0);
    pxi_cut_fini (&cut);
}

/* What was cut for a wrong one and done elsewhere meanwhile is as good as any. */
Test (cut, what_another_did_in_its_place_counts)
{
    pxi_cut cut;
    pxi_cut_init (&cut, 0, 10, 1);
    uint32_t chunk = next (&cut, 1, 1, 10, 0);
    pxi_cut_wrong (&cut, &(pxi_who){1, 1}, 10);
    cr_assert (pxi_cut_done (&cut, chunk, &(pxi_who){2, 0}, 1000, true));
    pxi_cut_fini (&cut);
}

/* A device that is a thousand times faster and away for a moment: a slot leaves it the rest, and has it all the
 * same when the device does not come back. */
Test (cut, nobody_is_waited_for_who_has_nothing)
{
    pxi_cut cut;
    pxi_cut_init (&cut, 0, 1000000, 1);
    cut.plan.begun = true; /* long ago */
    uint64_t now_ns = UINT64_C (1) << 50;
    uint32_t chunk = next (&cut, 1, 1, 10, now_ns);
    now_ns += 5000000;
    cr_assert (pxi_cut_done (&cut, chunk, &(pxi_who){1, 1}, now_ns, true));
    chunk = next (&cut, 1, 0, 10000, now_ns);
    cr_assert_neq (chunk, UINT32_MAX);
    cr_assert_lt (cut.chunks[chunk].end - cut.chunks[chunk].begin, 1000);
    now_ns += 100000000;
    cr_assert (pxi_cut_done (&cut, chunk, &(pxi_who){1, 0}, now_ns, true));
    uint64_t left = pxi_cut_left (&cut), growth = 16;
    uint64_t before = cut.chunks[chunk].end - cut.chunks[chunk].begin;
    chunk = next (&cut, 1, 0, 10000, now_ns);
    uint64_t n = cut.chunks[chunk].end - cut.chunks[chunk].begin;
    cr_assert (n >= left / 3 || n >= growth * before, "%llu", (unsigned long long)n);
    pxi_cut_fini (&cut);
}

Test (cut, what_does_not_fit_a_device_is_not_given_to_it)
{
    pxi_cut cut;
    pxi_cut_init (&cut, 0, 1000000, 10);
    pxi_who_look look = {.who = {1, 1}, .speed = {.item_cost = 1 << PXI_COST_SHIFT}, .most = 1005};
    uint32_t chunk;
    cr_assert (pxi_cut_next (&cut, &look, 0, &chunk));
    cr_assert_eq (cut.chunks[chunk].end - cut.chunks[chunk].begin, 1000);
    look.most = 9;
    cr_assert_not (pxi_cut_next (&cut, &look, 0, &chunk));
    pxi_cut_fini (&cut);
}

/* A device of 1,000 ns an index, on which another job has chunks of a quarter of a second each time: a small one of
 * ours is away for as long as a large one, and says nothing of either. */
Test (cut, the_time_in_which_others_are_before_it_is_not_its_own)
{
    enum { QUEUE_NS = 250000000 };
    pxi_cut cut;
    uint64_t now_ns = 0, n = 0;
    const pxi_who_look look = {
        .who = {1, 1}, .speed = {.item_cost = 1000 << PXI_COST_SHIFT}, .queue_ns = QUEUE_NS};
    pxi_cut_init (&cut, 0, 100000000, 1);
    for (int i = 0; i < 8; i++) {
        uint32_t index;
        cr_assert (pxi_cut_next (&cut, &look, now_ns, &index));
        n = cut.chunks[index].end - cut.chunks[index].begin;
        cr_assert_geq (cut.chunks[index].expect_ns, QUEUE_NS, "it is not late before");
        now_ns += QUEUE_NS + n * 1000;
        pxi_cut_done (&cut, index, &look.who, now_ns, true);
    }
    uint64_t cost_ns = cut.plan.takers[0].speed.item_cost >> PXI_COST_SHIFT;
    cr_assert (cost_ns >= 900 && cost_ns <= 1100, "%llu", (unsigned long long)cost_ns);
    cr_assert_lt (cut.plan.takers[0].speed.fixed_ns, QUEUE_NS / 10);
    pxi_cut_fini (&cut);
}

/* More than there is room for: who has nothing makes room, and knows nothing when he comes back. */
Test (cut, of_more_takers_than_can_be_the_idle_make_room)
{
    pxi_cut cut;
    pxi_cut_init (&cut, 0, 100000000, 1);
    for (uint64_t peer = 1; peer <= 3 * PXI_TAKERS_MAX; peer++) {
        uint32_t chunk = next (&cut, peer, 1, 100, peer);
        cr_assert_neq (chunk, UINT32_MAX);
        cr_assert (pxi_cut_done (&cut, chunk, &(pxi_who){peer, 1}, peer, true));
    }
    for (uint32_t i = 0; i < PXI_TAKERS_MAX; i++)
        cr_assert_neq (next (&cut, 1000, 0, 100, 1000), UINT32_MAX);
    cr_assert_eq (next (&cut, 1000, 0, 100, 1000), UINT32_MAX);
    pxi_cut_fini (&cut);
}
