/* When all end together: takers are filled like vessels of different widths with the items that are
 * left, from the one that is free first; the level is the end. Whoever is above the level gets nothing.
 *
 * Nothing known: a taker begins with a small trial, and no chunk is more than GROWTH times the largest
 * that was measured, so that a device a thousand times slower than the others cannot keep the end of the
 * branch: what it has then is done again by who is free.
 *
 * Invariants: items are undone, given, returned or before `next`; each item gets one result. */
#include "core/chunk.h"

#include <string.h>

#include "base/assert.h"

enum {
    TRIAL_PARTS =
        16384, /* a slot of four beside a device 1,000 times as fast as all of them is done with one part
                  in a quarter of the time of the branch */
    TRIAL_MIN =
        64, /* items below which nobody is tried: a trial would be a large part of the work */
    GROWTH = 16,
    MIN_FIXED =
        16, /* times the fixed cost is the least that is worth halving: 3 % for it at most */
    REST_FIXED = 2, /* times its fixed cost, in which its way there and back is */
    REST_PART = 4,
};
#define REST_NS UINT64_C (1000000)
#define OPEN_LEAST_NS UINT64_C (10000000) /* in which others are asked and answer */

__extension__ typedef unsigned __int128 wide;

/* ---- speeds -----------------------------------------------------------------------------------
 */

static uint64_t narrow (wide value)
{
    return value > UINT64_MAX ? UINT64_MAX : (uint64_t)value;
}

static uint64_t items_ns (uint64_t n, uint64_t item_cost)
{
    return narrow (((wide)n * item_cost) >> PXI_COST_SHIFT);
}

uint64_t pxi_speed_cost (uint64_t n, uint64_t ns)
{
    uint64_t cost = narrow (((wide)ns << PXI_COST_SHIFT) / n);
    return cost ? cost : 1;
}

static uint64_t plus (uint64_t a, uint64_t b)
{
    return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

uint64_t pxi_speed_ns (const pxi_speed *speed, uint64_t n)
{
    if (!speed->item_cost)
        return UINT64_MAX;
    return plus (speed->fixed_ns, items_ns (n, speed->item_cost));
}

/* Of two sizes that are far apart both parts can be told. A larger chunk that took no longer says that
 * next to all of it is fixed. */
static void fit (pxi_speed *speed, uint64_t n, uint64_t took_ns)
{
    uint64_t more_ns = took_ns > speed->least_ns ? took_ns - speed->least_ns : 0;
    uint64_t floor = pxi_speed_cost (n, took_ns) / (4 * GROWTH);
    speed->item_cost = pxi_speed_cost (n - speed->least_n, more_ns);
    if (speed->item_cost < floor)
        speed->item_cost = floor;
    uint64_t items = items_ns (speed->least_n, speed->item_cost);
    speed->fixed_ns = speed->least_ns > items ? speed->least_ns - items : 0;
}

/* Each that is far from the smallest tells both parts: one that was disturbed is soon forgotten. */
static void fit_again (pxi_speed *speed, uint64_t n, uint64_t took_ns)
{
    bool is_first = speed->most_n / 4 < speed->least_n;
    const pxi_speed before = *speed;
    fit (speed, n, took_ns);
    if (is_first)
        return;
    speed->item_cost = pxi_mean (before.item_cost, speed->item_cost);
    speed->fixed_ns = pxi_mean (before.fixed_ns, speed->fixed_ns);
}

/* Others correct the part that has most of the time; a small one says nothing of an item, beside a large one. */
static void correct (pxi_speed *speed, uint64_t n, uint64_t took_ns)
{
    uint64_t items = items_ns (n, speed->item_cost);
    if (items < speed->fixed_ns || n < speed->most_n / 4) {
        uint64_t fixed = took_ns > items ? took_ns - items : 0;
        speed->fixed_ns = pxi_mean (speed->fixed_ns, fixed);
    } else if (took_ns > speed->fixed_ns) {
        uint64_t cost = pxi_speed_cost (n, took_ns - speed->fixed_ns);
        speed->item_cost = pxi_mean (speed->item_cost, cost);
    }
    speed->item_cost = speed->item_cost ? speed->item_cost : 1;
}

void pxi_speed_learn (pxi_speed *speed, uint64_t n, uint64_t took_ns)
{
    PXI_ASSERT (n > 0);
    bool is_first = !speed->least_n;
    if (is_first && !speed->item_cost)
        speed->item_cost = pxi_speed_cost (n, took_ns);
    else if (!is_first && n / 4 >= speed->least_n)
        fit_again (speed, n, took_ns);
    else
        correct (speed, n, took_ns);
    if (is_first || n < speed->least_n || (n == speed->least_n && took_ns < speed->least_ns)) {
        speed->least_n = n;
        speed->least_ns = took_ns;
    }
    speed->most_n = n > speed->most_n ? n : speed->most_n;
}

/* ---- making -----------------------------------------------------------------------------------
 */

void pxi_plan_init (pxi_plan *plan, uint64_t begin, uint64_t end, uint64_t granule)
{
    PXI_ASSERT (begin <= end);
    memset (plan, 0, sizeof *plan);
    plan->next = begin;
    plan->end = end;
    plan->granule = granule ? granule : 1;
    plan->n_undone = end - begin;
}

uint32_t pxi_plan_add (pxi_plan *plan, uint32_t kind, const pxi_speed *speed, uint64_t now_ns)
{
    if (plan->n_takers == PXI_TAKERS_MAX)
        return PXI_TAKERS_MAX;
    uint32_t taker = plan->n_takers++;
    pxi_plan_replace (plan, taker, kind, speed, now_ns);
    return taker;
}

void pxi_plan_replace (pxi_plan *plan, uint32_t index, uint32_t kind, const pxi_speed *speed,
                       uint64_t now_ns)
{
    PXI_ASSERT (index < plan->n_takers);
    pxi_taker *taker = &plan->takers[index];
    *taker = (pxi_taker){.here = true, .kind = kind, .busy_until_ns = now_ns, .done_ns = now_ns};
    if (speed)
        taker->speed = *speed;
}

/* ---- who ends when ----------------------------------------------------------------------------
 */

static uint64_t begins_ns (const pxi_taker *taker, uint64_t now_ns)
{
    uint64_t at_ns = taker->busy_until_ns > now_ns ? taker->busy_until_ns : now_ns;
    return plus (at_ns, taker->speed.fixed_ns);
}

/* It comes back for more as soon as it was told, or not at all. */
static bool takes_part (const pxi_taker *taker, uint64_t now_ns)
{
    if (!taker->here || !taker->speed.item_cost)
        return false;
    uint64_t rest_ns =
        plus (REST_NS, plus (REST_FIXED * taker->speed.fixed_ns, taker->took_ns / REST_PART));
    return !taker->rests || now_ns - taker->done_ns <= rest_ns;
}

/* Those that are known, by when they can begin; ties by index. */
static uint32_t sort_takers (const pxi_plan *plan, uint64_t now_ns, uint32_t *order)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < plan->n_takers; i++) {
        const pxi_taker *taker = &plan->takers[i];
        if (!takes_part (taker, now_ns))
            continue;
        uint32_t at = n++;
        for (; at && begins_ns (&plan->takers[order[at - 1]], now_ns) > begins_ns (taker, now_ns);
             at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    return n;
}

/* The end when `n_items` are done by all that are known; UINT64_MAX where nobody is. Rates are summed as
 * items in 2^32 ns. */
static uint64_t level_ns (const pxi_plan *plan, uint64_t n_items, uint64_t now_ns)
{
    uint32_t order[PXI_TAKERS_MAX];
    uint32_t n = sort_takers (plan, now_ns, order);
    wide rate = 0, left = (wide)n_items << 32;
    uint64_t at_ns = now_ns;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t begin_ns = begins_ns (&plan->takers[order[i]], now_ns);
        wide until = rate * (begin_ns - at_ns);
        if (i && until >= left)
            break;
        left -= until;
        at_ns = begin_ns;
        rate += (UINT64_C (1) << (32 + PXI_COST_SHIFT)) / plan->takers[order[i]].speed.item_cost;
    }
    return rate ? plus (at_ns, narrow ((left + rate - 1) / rate)) : UINT64_MAX;
}

/* ---- sizes ------------------------------------------------------------------------------------
 */

uint64_t pxi_plan_left (const pxi_plan *plan)
{
    uint64_t n = plan->end - plan->next;
    for (uint32_t i = 0; i < plan->n_returned; i++)
        n += plan->returned[i].end - plan->returned[i].begin;
    return n;
}

static bool may_be_left_to (const pxi_taker *taker)
{
    return taker->here && !taker->rests && taker->speed.item_cost;
}

static bool any_is_known (const pxi_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_takers; i++) {
        if (may_be_left_to (&plan->takers[i]))
            return true;
    }
    return false;
}

/* Of a taker of which nothing is known. 0 = there is too little to try it on. */
static uint64_t trial_size (const pxi_plan *plan, uint64_t n_left)
{
    uint64_t n = n_left / TRIAL_PARTS;
    if (n_left / plan->granule < TRIAL_MIN && any_is_known (plan))
        return 0;
    return n > plan->granule ? n / plan->granule * plan->granule : plan->granule;
}

/* As much as takes as long as the range has been open, but not less than is worth it. */
static uint64_t most_now (const pxi_plan *plan, const pxi_speed *speed, uint64_t now_ns)
{
    uint64_t ns = now_ns - plan->begun_ns;
    uint64_t worth_ns =
        speed->fixed_ns > UINT64_MAX / MIN_FIXED ? UINT64_MAX : speed->fixed_ns * MIN_FIXED;
    ns = ns > OPEN_LEAST_NS ? ns : OPEN_LEAST_NS;
    ns = ns > worth_ns ? ns : worth_ns;
    return narrow (((wide)ns << PXI_COST_SHIFT) / speed->item_cost);
}

static uint64_t known_size (const pxi_plan *plan, const pxi_taker *taker, uint64_t n_left,
                            uint64_t now_ns)
{
    const pxi_speed *speed = &taker->speed;
    uint64_t end_ns = level_ns (plan, n_left, now_ns), begin_ns = begins_ns (taker, now_ns);
    if (end_ns <= begin_ns)
        return 0;
    uint64_t share = narrow ((((wide)end_ns - begin_ns) << PXI_COST_SHIFT) / speed->item_cost);
    uint64_t half = share / 2;
    bool halve = items_ns (half, speed->item_cost) / MIN_FIXED >= speed->fixed_ns;
    uint64_t n = halve && half ? half : share;
    uint64_t most = speed->most_n > UINT64_MAX / GROWTH ? UINT64_MAX : speed->most_n * GROWTH;
    n = most && n > most ? most : n;
    uint64_t most_of_it = most_now (plan, speed, now_ns);
    return n > most_of_it ? most_of_it : n;
}

/* Whether nobody who is known has one granule done sooner: so there is always one who takes the last. */
static bool is_first_with (const pxi_plan *plan, const pxi_taker *taker, uint64_t n,
                           uint64_t now_ns)
{
    uint64_t own_ns = plus (begins_ns (taker, now_ns), items_ns (n, taker->speed.item_cost));
    for (uint32_t i = 0; i < plan->n_takers; i++) {
        const pxi_taker *other = &plan->takers[i];
        if (may_be_left_to (other) &&
            plus (begins_ns (other, now_ns), items_ns (n, other->speed.item_cost)) < own_ns)
            return false;
    }
    return true;
}

/* In whole granules, the nearest number. */
static uint64_t granules (const pxi_plan *plan, const pxi_taker *taker, uint64_t n, uint64_t n_left,
                          uint64_t now_ns)
{
    uint64_t rest = n % plan->granule, whole = n - rest;
    if (rest > plan->granule / 2)
        whole += plan->granule;
    uint64_t least = n_left < plan->granule ? n_left : plan->granule;
    return whole || !is_first_with (plan, taker, least, now_ns) ? whole : least;
}

/* One of the kind that was measured speaks for all. */
static void adopt (pxi_plan *plan, pxi_taker *taker)
{
    for (uint32_t i = 0; i < plan->n_takers && !taker->speed.item_cost; i++) {
        if (plan->takers[i].here && plan->takers[i].kind == taker->kind)
            taker->speed = plan->takers[i].speed;
    }
}

/* ---- giving -----------------------------------------------------------------------------------
 */

static uint32_t n_given_to (const pxi_plan *plan, uint32_t taker)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < PXI_CHUNKS_MAX; i++)
        n += plan->given[i].here && plan->given[i].taker == taker;
    return n;
}

static uint64_t told_ns (const pxi_taker *taker, const pxi_chunk *chunk)
{
    return taker->told.item_cost ? pxi_speed_ns (&taker->told, chunk->end - chunk->begin) : 0;
}

static void give (pxi_plan *plan, uint32_t index, uint64_t now_ns, pxi_chunk *chunk)
{
    pxi_taker *taker = &plan->takers[index];
    uint32_t id = 0;
    while (plan->given[id].here)
        id++;
    uint64_t begin_ns = taker->busy_until_ns > now_ns ? taker->busy_until_ns : now_ns;
    uint64_t until_ns = plus (begin_ns, pxi_speed_ns (&taker->speed, chunk->end - chunk->begin));
    plan->given[id] = (pxi_chunk_given){.here = true,
                                        .taker = index,
                                        .twin = PXI_CHUNKS_MAX,
                                        .begin = chunk->begin,
                                        .end = chunk->end,
                                        .given_ns = now_ns,
                                        .until_ns = until_ns,
                                        .begin_ns = now_ns + taker->queue_ns,
                                        .told_ns = told_ns (taker, chunk)};
    taker->busy_until_ns = until_ns;
    chunk->id = id;
}

/* From what was returned, first; one piece is one chunk at most. */
static void cut (pxi_plan *plan, uint64_t n, pxi_chunk *chunk)
{
    if (plan->n_returned) {
        uint64_t *begin = &plan->returned[plan->n_returned - 1].begin;
        uint64_t end = plan->returned[plan->n_returned - 1].end;
        n = n < end - *begin ? n : end - *begin;
        *chunk = (pxi_chunk){.begin = *begin, .end = *begin + n};
        *begin += n;
        plan->n_returned -= *begin == end;
        return;
    }
    n = n < plan->end - plan->next ? n : plan->end - plan->next;
    *chunk = (pxi_chunk){.begin = plan->next, .end = plan->next + n};
    plan->next += n;
}

/* What will be there last, where this taker would have it sooner. Of a taker of which nothing is known
 * the evidence is that it has had more time than this one needs; so too when it is over its estimate. */
static uint32_t find_late (const pxi_plan *plan, const pxi_taker *taker, uint64_t now_ns)
{
    uint32_t latest = PXI_CHUNKS_MAX;
    uint64_t latest_ns = 0;
    for (uint32_t i = 0; i < PXI_CHUNKS_MAX; i++) {
        const pxi_chunk_given *given = &plan->given[i];
        if (!given->here || given->begin == given->end || given->twin != PXI_CHUNKS_MAX ||
            &plan->takers[given->taker] == taker)
            continue;
        uint64_t need_ns = pxi_speed_ns (&taker->speed, given->end - given->begin);
        uint64_t had_ns = now_ns - given->given_ns;
        bool unknown = given->until_ns == UINT64_MAX || given->until_ns <= now_ns;
        uint64_t until_ns = unknown ? plus (now_ns, had_ns) : given->until_ns;
        if (plus (now_ns, need_ns) < until_ns && until_ns > latest_ns) {
            latest = i;
            latest_ns = until_ns;
        }
    }
    return latest;
}

static bool give_again (pxi_plan *plan, uint32_t index, uint64_t now_ns, pxi_chunk *chunk)
{
    pxi_taker *taker = &plan->takers[index];
    if (!taker->speed.item_cost || n_given_to (plan, index))
        return false;
    uint32_t late = find_late (plan, taker, now_ns);
    if (late == PXI_CHUNKS_MAX)
        return false;
    *chunk = (pxi_chunk){.begin = plan->given[late].begin, .end = plan->given[late].end};
    give (plan, index, now_ns, chunk);
    chunk->again = true;
    plan->given[late].twin = chunk->id;
    plan->given[chunk->id].twin = late;
    return true;
}

bool pxi_plan_next (pxi_plan *plan, uint32_t index, uint64_t now_ns, pxi_chunk *chunk)
{
    PXI_ASSERT (index < plan->n_takers);
    pxi_taker *taker = &plan->takers[index];
    uint32_t n_given = n_given_to (plan, index);
    if (!taker->here || n_given >= 2)
        return false;
    taker->rests = false;
    if (!plan->begun) {
        plan->begun = true;
        plan->begun_ns = now_ns;
    }
    adopt (plan, taker);
    bool is_known = taker->speed.item_cost != 0;
    if (n_given && !is_known)
        return false; /* one trial at a time */
    uint64_t n_left = pxi_plan_left (plan);
    if (!n_left)
        return give_again (plan, index, now_ns, chunk);
    uint64_t n =
        is_known ? granules (plan, taker, known_size (plan, taker, n_left, now_ns), n_left, now_ns)
                 : trial_size (plan, n_left);
    if (taker->most && n > taker->most)
        n = taker->most / plan->granule * plan->granule;
    if (!n)
        return false;
    cut (plan, n, chunk);
    give (plan, index, now_ns, chunk);
    return true;
}

/* ---- ends -------------------------------------------------------------------------------------
 */

static void let_go (pxi_plan *plan, uint32_t id)
{
    plan->given[id].here = false;
    if (plan->given[id].twin != PXI_CHUNKS_MAX)
        plan->given[plan->given[id].twin].twin = PXI_CHUNKS_MAX;
}

static void put_back (pxi_plan *plan, uint32_t id)
{
    const pxi_chunk_given *given = &plan->given[id];
    PXI_ASSERT (plan->n_returned < 2 * PXI_CHUNKS_MAX);
    if (given->twin == PXI_CHUNKS_MAX && given->begin < given->end) {
        plan->returned[plan->n_returned].begin = given->begin;
        plan->returned[plan->n_returned++].end = given->end;
    }
    let_go (plan, id);
}

/* A chunk whose twin was first stays until its taker has told its end, with no items to its name. */
static bool take_result (pxi_plan *plan, uint32_t id)
{
    pxi_chunk_given *given = &plan->given[id];
    uint64_t n = given->end - given->begin;
    uint32_t twin = given->twin;
    let_go (plan, id);
    plan->n_undone -= n;
    if (twin != PXI_CHUNKS_MAX)
        plan->given[twin].end = plan->given[twin].begin;
    return n > 0;
}

/* Of the time that it was away, without that in which others were before it, as far as was known: taken for its own
 * it made small chunks look dear and large ones cheap. Not less than is told of it. */
static uint64_t own_ns (const pxi_chunk_given *given, uint64_t now_ns, uint64_t away_ns)
{
    uint64_t ns = now_ns > given->begin_ns ? now_ns - given->begin_ns : 0;
    ns = ns > given->told_ns ? ns : given->told_ns;
    return given->told_ns && ns < away_ns ? ns : away_ns;
}

bool pxi_plan_done (pxi_plan *plan, uint32_t id, uint64_t now_ns, bool succeeded, bool measured)
{
    PXI_ASSERT (id < PXI_CHUNKS_MAX);
    PXI_ASSERT (plan->given[id].here);
    pxi_chunk_given *given = &plan->given[id];
    pxi_taker *taker = &plan->takers[given->taker];
    uint64_t began_ns = given->given_ns > taker->done_ns ? given->given_ns : taker->done_ns;
    uint64_t n = given->end - given->begin;
    if (succeeded && measured && n)
        pxi_speed_learn (&taker->speed, n, own_ns (given, now_ns, now_ns - began_ns));
    taker->done_ns = now_ns;
    taker->took_ns = now_ns - began_ns;
    uint32_t index = given->taker;
    bool counts = succeeded && take_result (plan, id);
    if (!succeeded)
        put_back (plan, id);
    taker->busy_until_ns = now_ns;
    for (uint32_t i = 0; i < PXI_CHUNKS_MAX; i++) {
        if (plan->given[i].here && plan->given[i].taker == index)
            taker->busy_until_ns = plus (
                now_ns, pxi_speed_ns (&taker->speed, plan->given[i].end - plan->given[i].begin));
    }
    return counts;
}

bool pxi_plan_return (pxi_plan *plan, uint64_t begin, uint64_t end)
{
    PXI_ASSERT (begin < end);
    if (plan->n_returned >= PXI_CHUNKS_MAX)
        return false;
    plan->returned[plan->n_returned].begin = begin;
    plan->returned[plan->n_returned++].end = end;
    plan->n_undone += end - begin;
    return true;
}

void pxi_plan_rests (pxi_plan *plan, uint32_t taker)
{
    PXI_ASSERT (taker < plan->n_takers);
    plan->takers[taker].rests = true;
}

void pxi_plan_leave (pxi_plan *plan, uint32_t taker)
{
    PXI_ASSERT (taker < plan->n_takers);
    plan->takers[taker].here = false;
}

void pxi_plan_remove (pxi_plan *plan, uint32_t taker)
{
    PXI_ASSERT (taker < plan->n_takers);
    plan->takers[taker].here = false;
    for (uint32_t i = 0; i < PXI_CHUNKS_MAX; i++) {
        if (plan->given[i].here && plan->given[i].taker == taker)
            put_back (plan, i);
    }
}
