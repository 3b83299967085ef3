/* Invariants: a chunk is given in the plan while it is AWAY; n_away of a taker is the number of those; every index
 * of the range is untaken in the plan, in one chunk that is AWAY or DONE, or in one that waits. */
#include "core/cut.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/prng.h"

void pxi_cut_init (pxi_cut *cut, uint64_t begin, uint64_t end, uint64_t granule)
{
    memset (cut, 0, sizeof *cut);
    pxi_plan_init (&cut->plan, begin, end, granule);
}

void pxi_cut_fini (pxi_cut *cut)
{
    free (cut->chunks);
    cut->chunks = NULL;
    cut->n_chunks = cut->capacity = 0;
}

/* ---- takers -----------------------------------------------------------------------------------
 */

static bool same (const pxi_who *a, const pxi_who *b)
{
    return a->peer == b->peer && a->device == b->device;
}

static bool is_wrong (const pxi_cut *cut, const pxi_who *who)
{
    for (uint32_t i = 0; i < cut->plan.n_takers; i++) {
        if (cut->takers[i].wrong && same (&cut->takers[i].who, who))
            return true;
    }
    return false;
}

/* One that is here and may have one more; PXI_TAKERS_MAX = none. */
static uint32_t find (const pxi_cut *cut, const pxi_who *who)
{
    for (uint32_t i = 0; i < cut->plan.n_takers; i++) {
        if (same (&cut->takers[i].who, who) && (who->device || !cut->takers[i].n_away))
            return i;
    }
    return PXI_TAKERS_MAX;
}

/* Of those that have nothing: who ended longest ago, and one that was wrong only where there is no other. */
static uint32_t find_idle (const pxi_cut *cut)
{
    uint32_t best = PXI_TAKERS_MAX;
    for (uint32_t i = 0; i < cut->plan.n_takers; i++) {
        if (cut->takers[i].n_away)
            continue;
        bool first = best == PXI_TAKERS_MAX;
        bool better =
            !first && (cut->takers[best].wrong != cut->takers[i].wrong
                           ? cut->takers[best].wrong
                           : cut->plan.takers[i].done_ns < cut->plan.takers[best].done_ns);
        if (first || better)
            best = i;
    }
    return best;
}

static uint32_t add (pxi_cut *cut, const pxi_who *who, const pxi_speed *speed, uint64_t now_ns)
{
    uint32_t kind = (uint32_t)(pxi_mix64 (who->peer) + who->device);
    uint32_t taker = pxi_plan_add (&cut->plan, kind, speed, now_ns);
    if (taker == PXI_TAKERS_MAX) {
        taker = find_idle (cut);
        if (taker == PXI_TAKERS_MAX)
            return taker;
        pxi_plan_replace (&cut->plan, taker, kind, speed, now_ns);
    }
    cut->takers[taker].who = *who;
    cut->takers[taker].wrong = false;
    return taker;
}

static uint32_t find_or_add (pxi_cut *cut, const pxi_who_look *look, uint64_t now_ns)
{
    uint32_t taker = find (cut, &look->who);
    if (taker == PXI_TAKERS_MAX)
        taker = add (cut, &look->who, &look->speed, now_ns);
    if (taker == PXI_TAKERS_MAX)
        return taker;
    pxi_taker *in_plan = &cut->plan.takers[taker];
    in_plan->most = look->most;
    in_plan->queue_ns = look->queue_ns;
    in_plan->told = look->speed;
    if (in_plan->busy_until_ns < now_ns + look->queue_ns)
        in_plan->busy_until_ns = now_ns + look->queue_ns;
    if (!in_plan->speed.item_cost)
        in_plan->speed = look->speed;
    return taker;
}

/* ---- chunks -----------------------------------------------------------------------------------
 */

static bool make_room (pxi_cut *cut)
{
    if (cut->n_chunks < cut->capacity)
        return true;
    uint32_t capacity = cut->capacity ? 2 * cut->capacity : 64;
    pxi_cut_chunk *chunks = realloc (cut->chunks, capacity * sizeof *chunks);
    if (!chunks)
        return false;
    cut->chunks = chunks;
    cut->capacity = capacity;
    return true;
}

static void return_one (pxi_cut *cut, pxi_cut_chunk *chunk)
{
    cut->n_waiting -= chunk->waits;
    chunk->waits = !pxi_plan_return (&cut->plan, chunk->begin, chunk->end);
    cut->n_waiting += chunk->waits;
    chunk->state = PXI_CUT_BACK;
}

static void return_waiting (pxi_cut *cut)
{
    for (uint32_t i = 0; i < cut->n_chunks && cut->n_waiting; i++) {
        if (cut->chunks[i].waits)
            return_one (cut, &cut->chunks[i]);
    }
}

static void rest (pxi_cut *cut, uint32_t taker)
{
    if (!cut->takers[taker].n_away)
        pxi_plan_rests (&cut->plan, taker);
}

bool pxi_cut_next (pxi_cut *cut, const pxi_who_look *look, uint64_t now_ns, uint32_t *chunk)
{
    return_waiting (cut);
    if (!pxi_plan_left (&cut->plan) || is_wrong (cut, &look->who) || !make_room (cut))
        return false;
    uint32_t taker = find_or_add (cut, look, now_ns);
    pxi_chunk given;
    if (taker == PXI_TAKERS_MAX)
        return false;
    if (!pxi_plan_next (&cut->plan, taker, now_ns, &given)) {
        rest (cut, taker);
        return false;
    }
    uint64_t until_ns = cut->plan.given[given.id].until_ns;
    cut->takers[taker].n_away++;
    *chunk = cut->n_chunks++;
    cut->chunks[*chunk] =
        (pxi_cut_chunk){.begin = given.begin,
                        .end = given.end,
                        .who = look->who,
                        .expect_ns = until_ns == UINT64_MAX ? 0 : until_ns - now_ns,
                        .id = given.id,
                        .taker = taker};
    return true;
}

/* The plan takes it for done; what is to be done again is returned to it then. */
static pxi_cut_chunk *end_of (pxi_cut *cut, uint32_t index, uint64_t now_ns, bool measured)
{
    PXI_ASSERT (index < cut->n_chunks);
    pxi_cut_chunk *chunk = &cut->chunks[index];
    PXI_ASSERT (chunk->state == PXI_CUT_AWAY);
    pxi_plan_done (&cut->plan, chunk->id, now_ns, true, measured);
    cut->takers[chunk->taker].n_away--;
    rest (cut, chunk->taker);
    return chunk;
}

bool pxi_cut_done (pxi_cut *cut, uint32_t index, const pxi_who *who, uint64_t now_ns, bool measured)
{
    PXI_ASSERT (index < cut->n_chunks);
    bool himself = same (&cut->chunks[index].who, who), wrong = is_wrong (cut, who);
    pxi_cut_chunk *chunk = end_of (cut, index, now_ns, measured && himself && !wrong);
    if (wrong) {
        return_one (cut, chunk);
        return false;
    }
    chunk->state = PXI_CUT_DONE;
    chunk->who = *who;
    return true;
}

void pxi_cut_back (pxi_cut *cut, uint32_t index, uint64_t now_ns)
{
    return_one (cut, end_of (cut, index, now_ns, false));
}

uint32_t pxi_cut_wrong (pxi_cut *cut, const pxi_who *who, uint64_t now_ns)
{
    uint32_t taker = find (cut, who), n = 0;
    if (taker == PXI_TAKERS_MAX)
        taker = add (cut, who, NULL, now_ns);
    if (taker != PXI_TAKERS_MAX) {
        cut->takers[taker].wrong = true;
        pxi_plan_leave (&cut->plan, taker);
    }
    for (uint32_t i = 0; i < cut->n_chunks; i++) {
        pxi_cut_chunk *chunk = &cut->chunks[i];
        if (chunk->state != PXI_CUT_DONE || !same (&chunk->who, who))
            continue;
        return_one (cut, chunk);
        n++;
    }
    return n;
}

uint64_t pxi_cut_left (const pxi_cut *cut)
{
    uint64_t n = pxi_plan_left (&cut->plan);
    for (uint32_t i = 0; i < cut->n_chunks && cut->n_waiting; i++)
        n += cut->chunks[i].waits ? cut->chunks[i].end - cut->chunks[i].begin : 0;
    return n;
}

bool pxi_cut_is_done (const pxi_cut *cut)
{
    return !cut->n_waiting && pxi_plan_is_done (&cut->plan);
}
