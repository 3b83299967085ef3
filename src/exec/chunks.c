/* Chunks of ranges: which goes to whom, and what their ends change. Nothing is cut before somebody wants it: a
 * thread of this pool that finds nothing else, or a TAKE for another peer or for a device. How large it is, is the
 * plan's to say (core/cut.h), for who takes it.
 *
 * Who is refused is told of the next event (an end, a chunk that comes back, another use of the slots): threads by
 * pool->range_events, which they compare with when they were refused; devices and other peers by SURPLUS.
 *
 * A chunk in a slot of this pool is done in place and cannot be taken from who has it, so it is short; one that
 * leaves is a subtask like any other.
 *
 * With the lock, where nothing else is said. */
#include <string.h>

#include "base/clock.h"
#include "core/rank.h"
#include "exec/state.h"

enum {
    NOTES_MAX = 16,   /* of a run: who has more of them has one that tells it all */
    WAITING_MAX = 64, /* chunks of one range that are told: more are not asked for at once */
    AWAY_PART = 64,   /* of a range: the first chunk of a peer of which nothing is known */
    GROWTH = 16,      /* as far as a plan lets chunks grow at once */
    INPUT_ROUNDING = 16,
};
/* Of a chunk in a slot: so often the owner looks at what came, and a slot can be given up. */
#define HERE_NS (20 * PXI_MS)
/* Some indices may take a thousand times longer than others: so a chunk is a part of the range at most, but not
 * less than what takes so long. */
#define HERE_LEAST_NS 100000
#define AWAY_LEAST_NS (5 * PXI_MS)
#define HERE_FIXED_NS 2000   /* of a chunk in a slot: cutting it and telling its end */
#define AWAY_FIXED_NS 200000 /* of one elsewhere, before it is measured: its way there and back */
#define DURATIONS_NS (10 * PXI_MS)

/* ---- who may have some ------------------------------------------------------------------------
 */

static bool is_open (const pxi_range *range)
{
    const pxi_open_branch *branch = range->branch;
    return !range->closed && !atomic_load (&branch->cancelled) &&
           !atomic_load (&branch->task->fiber->run->stopped);
}

static bool goes_to_devices (const pxi_pool *pool, const pxi_range *range)
{
    return pool->config.devices && range->def->source;
}

static bool slots_may (const pxi_pool *pool, const pxi_range *range)
{
    return is_open (range) &&
           (!goes_to_devices (pool, range) || pool->range_uses[range->task] != PXI_RANK_NO);
}

/* Devices of this peer are no remote workers: the branch number is not theirs. */
static bool take_may (const pxi_pool *pool, const pxi_range *range, const pxi_command *take)
{
    const pxi_open_branch *branch = range->branch;
    bool own = take->device && take->peer == pool->config.peer_id;
    if (!is_open (range) || (!own && (branch->number <= 0 || atomic_load (&branch->capped))))
        return false;
    return !take->device || (range->def->source && range->task == take->task);
}

bool pxi_chunk_may_leave (const pxi_pool *pool, const pxi_item *item, const pxi_command *take)
{
    return take_may (pool, item->branch->range, take);
}

bool pxi_chunks_for_slots (const pxi_pool *pool)
{
    PXI_LIST_EACH (link, &pool->ranges)
    {
        const pxi_range *range = PXI_LIST_ENTRY (link, pxi_range, in_pool);
        if (slots_may (pool, range) && pxi_cut_left (&range->cut))
            return true;
    }
    return false;
}

uint32_t pxi_chunks_waiting (const pxi_pool *pool)
{
    uint64_t n = 0;
    PXI_LIST_EACH (link, &pool->ranges)
    {
        const pxi_range *range = PXI_LIST_ENTRY (link, pxi_range, in_pool);
        const pxi_open_branch *branch = range->branch;
        if (!is_open (range) || (!range->def->source && branch->number <= 0) ||
            atomic_load (&branch->capped))
            continue;
        uint64_t granule = range->cut.plan.granule;
        uint64_t chunks = (pxi_cut_left (&range->cut) + granule - 1) / granule;
        n += chunks < WAITING_MAX ? chunks : WAITING_MAX;
    }
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

void pxi_chunks_tell (const pxi_pool *pool, pxi_notice *surplus)
{
    PXI_LIST_EACH (link, &pool->ranges)
    {
        const pxi_range *range = PXI_LIST_ENTRY (link, pxi_range, in_pool);
        if (!is_open (range) || !range->def->source || !pxi_cut_left (&range->cut))
            continue;
        surplus->task = range->task;
        surplus->n_items = pxi_cut_left (&range->cut);
        return;
    }
}

/* ---- events -----------------------------------------------------------------------------------
 */

static void wake_for (pxi_pool *pool, const pxi_range *range)
{
    atomic_fetch_add (&pool->range_events, 1);
    if (slots_may (pool, range) && pxi_cut_left (&range->cut))
        pxi_pool_wake (pool);
}

/* Something may have become takeable. */
static void happened (pxi_pool *pool, pxi_range *range)
{
    wake_for (pool, range);
    bool again = range->refused && is_open (range) && pxi_cut_left (&range->cut);
    if (again) {
        range->refused = false;
        pxi_pool_tell_ranges (pool);
    } else {
        pxi_pool_tell_surplus (pool);
    }
}

static void poke (pxi_pool *pool, pxi_range *range)
{
    if (range->poked)
        return;
    range->poked = true;
    pxi_fiber *fiber = range->branch->task->fiber;
    if (pxi_pool_push_done (&range->branch->done, &range->poke) & WAITING)
        pxi_pool_make_ready (pool, fiber);
}

/* Its owner may wait for chunks that nobody will cut any more. */
void pxi_ranges_poke (pxi_pool *pool, const pxi_pool_run *run)
{
    PXI_LIST_EACH (link, &pool->ranges)
    {
        pxi_range *range = PXI_LIST_ENTRY (link, pxi_range, in_pool);
        if (range->branch->task->fiber->run == run)
            poke (pool, range);
    }
}

void pxi_range_use (pxi_pool *pool, uint32_t task, uint32_t use)
{
    if (task >= pool->config.n_tasks || use > PXI_RANK_YES)
        return;
    pool->range_uses[task] = (uint8_t)use;
    PXI_LIST_EACH (link, &pool->ranges)
    {
        const pxi_range *range = PXI_LIST_ENTRY (link, pxi_range, in_pool);
        if (range->task == task)
            wake_for (pool, range);
    }
}

void pxi_range_begin (pxi_pool *pool, pxi_range *range)
{
    pthread_mutex_lock (&pool->lock);
    pxi_list_add_last (&pool->ranges, &range->in_pool);
    atomic_fetch_add (&pool->range_events, 1);
    if (range->def->source && pxi_cut_left (&range->cut))
        pxi_pool_tell_ranges (pool);
    else
        pxi_pool_tell_surplus (pool);
    pthread_mutex_unlock (&pool->lock);
}

void pxi_range_end (pxi_pool *pool, pxi_range *range)
{
    pthread_mutex_lock (&pool->lock);
    pxi_list_remove (&range->in_pool);
    if (range->def->source)
        pxi_pool_tell_ranges (pool);
    pthread_mutex_unlock (&pool->lock);
}

/* ---- cutting ----------------------------------------------------------------------------------
 */

static uint64_t items_in (const pxi_speed *speed, uint64_t ns)
{
    return speed->item_cost ? (ns << PXI_COST_SHIFT) / speed->item_cost : 0;
}

/* As measured of the slots here; item_cost 0 = not yet. */
static pxi_speed speed_here (const pxi_pool *pool, const pxi_range *range)
{
    const pxi_cut *cut = &range->cut;
    for (uint32_t i = 0; i < cut->plan.n_takers; i++) {
        const pxi_who *who = &cut->takers[i].who;
        if (who->peer == pool->config.peer_id && !who->device &&
            cut->plan.takers[i].speed.item_cost)
            return cut->plan.takers[i].speed;
    }
    return (pxi_speed){0};
}

static uint64_t at_least (uint64_t n, uint64_t least)
{
    return n > least ? n : least;
}

static uint64_t at_most (uint64_t n, uint64_t most)
{
    return n < most ? n : most;
}

static pxi_who_look look_here (const pxi_pool *pool, const pxi_range *range)
{
    pxi_who_look look = {.who = {pool->config.peer_id, 0}, .speed = {.fixed_ns = HERE_FIXED_NS}};
    pxi_speed speed = speed_here (pool, range);
    if (!speed.item_cost)
        return look;
    look.most = items_in (&speed, HERE_NS);
    look.most = at_most (look.most, at_least (range->part, items_in (&speed, HERE_LEAST_NS)));
    look.most = at_least (at_least (look.most, range->most_here), range->cut.plan.granule);
    return look;
}

/* Slots elsewhere are as fast as those here, until they are measured; but that is not much to build on. */
static pxi_speed guess (const pxi_pool *pool, const pxi_range *range)
{
    pxi_speed speed = speed_here (pool, range);
    uint64_t first = pxi_cut_left (&range->cut) / AWAY_PART;
    first = at_least (first, range->cut.plan.granule);
    if (!speed.item_cost)
        return speed;
    return (pxi_speed){.fixed_ns = AWAY_FIXED_NS,
                       .item_cost = speed.item_cost,
                       .most_n = (first + GROWTH - 1) / GROWTH};
}

static uint64_t fit (uint64_t most, uint64_t bytes, uint64_t common, uint64_t each)
{
    uint64_t n = bytes <= common ? 0 : each ? (bytes - common) / each : UINT64_MAX;
    return n < most ? n : most;
}

/* Indices that a chunk may have so that its bytes pass, and lie beside another's on a device. */
static uint64_t most_for (const pxi_pool *pool, const pxi_range *range, const pxi_command *take)
{
    uint64_t items = range->def->items_elements;
    uint64_t heads = INPUT_ROUNDING * (PX_ARGS_MAX + 2), reduced = heads + range->reduced_bytes;
    uint64_t result = range->result_bytes;
    if (take->device) /* one for each work item, the last of which may be a part of one */
        result += (range->reduced_bytes + items - 1) / items;
    uint64_t most = fit (UINT64_MAX, pool->config.input_size_max, heads, range->input_bytes);
    most = fit (most, pool->config.result_size_max, reduced, result);
    if (take->memory_bytes)
        most = fit (most, take->memory_bytes, range->common_bytes + 2 * (heads + reduced),
                    2 * (range->input_bytes + result));
    return most;
}

static void begin_item (pxi_range *range, pxi_item *item, uint32_t index, px_task_fn *function,
                        uint64_t now_ns)
{
    const pxi_cut_chunk *chunk = &range->cut.chunks[index];
    const uint64_t ends[] = {chunk->begin, chunk->end, now_ns};
    item->typed = NULL;
    item->owner = range->branch->task;
    item->index = index;
    item->branch = range->branch;
    item->function = function;
    item->task = range->task;
    pxi_item_set_input (item, ends, sizeof ends);
    range->n_cut++;
}

/* One wakes the next, as long as there is something: few are woken for a range that is soon done. */
static void wake_another (pxi_pool *pool, pxi_range *range)
{
    if (range->n_woken == pool->config.slots || !slots_may (pool, range) ||
        !pxi_cut_left (&range->cut))
        return;
    range->n_woken++;
    pxi_pool_wake (pool);
}

static pxi_item *cut_here (pxi_thread *thread, pxi_range *range)
{
    pxi_pool *pool = thread->pool;
    uint64_t now_ns = pxi_clock_ns ();
    uint32_t index;
    pxi_who_look look = look_here (pool, range);
    pxi_item *item = slots_may (pool, range) ? pxi_item_new (thread) : NULL;
    if (!item)
        return NULL;
    if (!pxi_cut_next (&range->cut, &look, now_ns, &index)) {
        pxi_item_free (thread, item);
        return NULL;
    }
    if (goes_to_devices (pool, range) && pool->range_uses[range->task] == PXI_RANK_TRIAL)
        pool->range_uses[range->task] = PXI_RANK_NO; /* one, and then it is told how it went */
    wake_another (pool, range);
    begin_item (range, item, index, range->here, now_ns);
    if (!pxi_cut_left (&range->cut))
        pxi_pool_tell_none (pool);
    thread->n_known++;
    return item;
}

pxi_item *pxi_chunk_here (pxi_thread *thread, pxi_range *only, bool *stuck)
{
    pxi_pool *pool = thread->pool;
    if (!only && thread->refused_at == atomic_load (&pool->range_events))
        return NULL;
    pxi_item *item = NULL;
    pthread_mutex_lock (&pool->lock);
    if (only) {
        item = cut_here (thread, only);
        *stuck = !item && slots_may (pool, only) && pxi_cut_left (&only->cut) &&
                 only->n_cut == only->branch->n_done;
    } else {
        for (pxi_list *link = pool->ranges.next; link != &pool->ranges && !item; link = link->next)
            item = cut_here (thread, PXI_LIST_ENTRY (link, pxi_range, in_pool));
        if (!item)
            thread->refused_at = atomic_load (&pool->range_events);
    }
    pthread_mutex_unlock (&pool->lock);
    return item;
}

static uint64_t most_away (const pxi_range *range, const pxi_speed *speed)
{
    uint64_t part = at_least (2 * range->part, items_in (speed, AWAY_LEAST_NS));
    return at_least (part, range->cut.plan.granule);
}

static pxi_item *cut_away (pxi_pool *pool, pxi_range *range, const pxi_command *take)
{
    uint64_t now_ns = pxi_clock_ns ();
    uint32_t index;
    pxi_who_look look = {.who = {take->peer, take->device},
                         .speed = {.fixed_ns = take->fixed_ns, .item_cost = take->item_cost},
                         .queue_ns = take->queue_ns,
                         .most = most_for (pool, range, take)};
    if (!take->device && !take->item_cost)
        look.speed = guess (pool, range);
    if (!take->device && look.speed.item_cost)
        look.most = at_most (look.most, most_away (range, &look.speed));
    pxi_item *item = look.most ? pxi_item_make () : NULL;
    if (item && pxi_cut_next (&range->cut, &look, now_ns, &index)) {
        begin_item (range, item, index, range->def->function, now_ns);
        return item;
    }
    if (item)
        pxi_item_free (NULL, item);
    return NULL;
}

/* What does not fit the memory of a device is not left to devices: slots do what nobody else may. */
static void refuse (pxi_pool *pool, pxi_range *range, const pxi_command *take)
{
    range->refused = true;
    if (most_for (pool, range, take) < range->cut.plan.granule && !slots_may (pool, range))
        pxi_range_use (pool, range->task, PXI_RANK_YES);
}

pxi_item *pxi_chunks_take (pxi_pool *pool, const pxi_command *take, uint32_t count)
{
    pxi_item *first = NULL, **last = &first;
    PXI_LIST_EACH (link, &pool->ranges)
    {
        pxi_range *range = PXI_LIST_ENTRY (link, pxi_range, in_pool);
        pxi_item *item = NULL;
        if (!take_may (pool, range, take))
            continue;
        while (count && (item = cut_away (pool, range, take))) {
            count--;
            *last = item;
            last = &item->next;
        }
        if (count && take->device)
            refuse (pool, range, take);
    }
    *last = NULL;
    return first;
}

/* Without the lock. Without memory the input stays where it is: such a chunk is not handed over. */
void pxi_chunks_fill (pxi_item *chunks)
{
    for (pxi_item *item = chunks; item; item = item->next) {
        uint64_t ends[2];
        const pxi_range *range = item->branch->range;
        memcpy (ends, item->inline_input, sizeof ends);
        item->input_bytes = range->input (range, ends[0], ends[1]);
        item->input = pxi_bytes_data (item->input_bytes);
        item->input_size = pxi_bytes_size (item->input_bytes);
    }
}

/* ---- ends -------------------------------------------------------------------------------------
 */

static bool is_measured (const pxi_cut *cut, uint32_t index)
{
    const pxi_cut_chunk *chunk = &cut->chunks[index];
    if (!chunk->who.device || chunk->expect_ns)
        return true;
    for (uint32_t i = 0; i < index; i++) {
        const pxi_cut_chunk *other = &cut->chunks[i];
        if (other->who.peer == chunk->who.peer && other->who.device == chunk->who.device)
            return true;
    }
    return false; /* in the time of its first one a device may have compiled */
}

/* No chunk will come any more: what is away is called back by the owner, who is told by this one. */
static void give_up (pxi_range *range, pxi_item *item, uint64_t now_ns)
{
    pxi_cut_back (&range->cut, (uint32_t)item->index, now_ns);
    range->closed = true;
}

void pxi_chunk_ended (pxi_pool *pool, pxi_item *item, const pxi_who *who)
{
    pxi_range *range = item->branch->range;
    uint32_t index = (uint32_t)item->index;
    uint64_t now_ns = pxi_clock_ns ();
    if (item->code == PX_OK)
        pxi_cut_done (&range->cut, index, who, now_ns, is_measured (&range->cut, index));
    else
        give_up (range, item, now_ns);
    happened (pool, range);
}

void pxi_chunk_back (pxi_pool *pool, pxi_item *item)
{
    pxi_range *range = item->branch->range;
    item->back = true;
    item->code = PX_OK;
    atomic_fetch_sub (&range->branch->task->fiber->run->n_known, 1);
    pxi_cut_back (&range->cut, (uint32_t)item->index, pxi_clock_ns ());
    range->refused |= range->def->source != NULL; /* who takes it now is to be chosen anew */
    happened (pool, range);
}

/* What devices are compared with. Of a trial it is told in any case. */
static void tell_duration (pxi_pool *pool, const pxi_range *range, const pxi_item *item)
{
    uint64_t ends[3], now_ns = pxi_clock_ns ();
    bool trial = pool->range_uses[range->task] == PXI_RANK_NO;
    if (!trial && now_ns - pool->told_chunk_ns < DURATIONS_NS)
        return;
    pool->told_chunk_ns = now_ns;
    memcpy (ends, item->inline_input, sizeof ends);
    pxi_notice notice = {.kind = PXI_NOTE_DURATION,
                         .task = range->task,
                         .run_ns = now_ns - ends[2],
                         .n_items = ends[1] - ends[0]};
    pxi_pool_notify (pool, &notice);
}

/* Without the lock. */
void pxi_chunk_ended_here (pxi_pool *pool, pxi_item *item)
{
    pxi_range *range = item->branch->range;
    const pxi_who who = {pool->config.peer_id, 0};
    pthread_mutex_lock (&pool->lock);
    if (item->code == PX_OK && goes_to_devices (pool, range)) {
        tell_duration (pool, range, item);
        range->refused |= pool->range_uses[range->task] == PXI_RANK_NO;
    }
    pxi_chunk_ended (pool, item, &who);
    pthread_mutex_unlock (&pool->lock);
}

void pxi_chunk_read (pxi_pool *pool, const pxi_range *range, uint64_t index, pxi_cut_chunk *chunk)
{
    pthread_mutex_lock (&pool->lock);
    *chunk = range->cut.chunks[index];
    pthread_mutex_unlock (&pool->lock);
}

void pxi_range_wrong (pxi_pool *pool, pxi_range *range, const pxi_who *who, const px_failure *note)
{
    pxi_notice notice = {.kind = PXI_NOTE_DEVICE_WRONG,
                         .peer = who->peer,
                         .device = who->device,
                         .task = range->task};
    pthread_mutex_lock (&pool->lock);
    pxi_cut_wrong (&range->cut, who, pxi_clock_ns ());
    pxi_run_note (range->branch->task->fiber->run, note);
    pxi_pool_notify (pool, &notice);
    happened (pool, range);
    pthread_mutex_unlock (&pool->lock);
}

/* ---- notes ------------------------------------------------------------------------------------
 */

void pxi_run_note (pxi_pool_run *run, const px_failure *note)
{
    for (size_t i = 0; i < run->notes.n; i++) {
        const px_failure *other = &run->notes.items[i];
        if (other->code == note->code && !strcmp (other->message, note->message) &&
            !strcmp (other->peer, note->peer) && !strcmp (other->task, note->task))
            return;
    }
    if (run->notes.n < NOTES_MAX)
        pxi_failures_add (&run->notes, note, note->level);
}
