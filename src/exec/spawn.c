/* Subtasks that are spawned and synced in the order of a stack.
 *
 * They wait in the same deques as those of branches, and are taken, given back, completed and cancelled
 * as those are. What they do without is a branch: the task holds them in a list, newest first, and waits
 * for each by its own word, item->done. In the common way px_sync () finds the subtask where it was
 * put, the last in the thread's own deque, and calls it with the caller's room for the result. */
#include <string.h>

#include "exec/state.h"

#define LIKELY(condition) __builtin_expect (!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect (!!(condition), 0)

/* The ways that are not the common one stay out of its registers. */
#define COLD __attribute__ ((noinline, cold))

/* In a handle: px_sync () then finds that it is not the common way without looking for that. */
enum { NOT_INLINE = 1 };

/* ---- spawn ------------------------------------------------------------------------------------
 */

COLD static px_err set_large_input (px_task *task, pxi_item *item, const void *input, size_t size)
{
    size_t size_max = task->fiber->pool->config.input_size_max;
    if (size > size_max) {
        px_task_fail_at (task, "", 0, "an input of %zu bytes is over this peer's limit of %zu",
                         size, size_max);
        return PX_ETOOBIG;
    }
    return pxi_item_set_input (item, input, size) ? PX_OK : PX_ENOMEM;
}

static inline void link_spawned (px_task *task, pxi_item *item, px_subtask *subtask)
{
    item->older = task->spawned;
    item->owner = task;
    task->spawned = item;
    subtask->item = item;
}

/* Without an item at hand, with a large input, with a deque that has to grow. */
COLD static px_err spawn_slowly (px_task *task, const px_typed_task *typed, const void *input,
                                 px_subtask *subtask)
{
    pxi_fiber *fiber = task->fiber;
    pxi_thread *thread = fiber->thread;
    pxi_item *item = pxi_item_new (thread);
    if (!item)
        return PX_ENOMEM;
    px_err err = set_large_input (task, item, input, typed->input_size);
    if (err == PX_OK && pxi_deque_is_full (&thread->deque) && !pxi_deque_make_room (&thread->deque))
        err = PX_ENOMEM;
    if (err != PX_OK) {
        pxi_item_free (thread, item);
        return err;
    }
    item->typed = typed;
    link_spawned (task, item, subtask);
    if (typed->input_size > ITEM_INPUT_INLINE)
        subtask->item = (char *)item + NOT_INLINE;
    pxi_deque_push_unchecked (&thread->deque, item);
    pxi_pool_pushed (fiber->pool, thread);
    return PX_OK;
}

/* By words, at most ITEM_INPUT_INLINE bytes: no call, and no load that is wider than the caller's stores,
 * which have just been made. */
static inline void copy_inline (uint8_t *to, const uint8_t *from, size_t size)
{
    for (; size >= sizeof (uint64_t); size -= sizeof (uint64_t)) {
        uint64_t word;
        memcpy (&word, from, sizeof word);
        memcpy (to, &word, sizeof word);
        __asm__ volatile("" : "+r"(to), "+r"(from)); /* a loop, not vectors */
        to += sizeof word;
        from += sizeof word;
    }
    for (; size > 0; size--)
        *to++ = *from++;
}

COLD static px_err alerted (pxi_pool *pool, pxi_thread *thread)
{
    pxi_pool_alerted (pool, thread);
    return PX_OK;
}

px_err px_spawn (px_task *task, const px_typed_task *typed, const void *input, px_subtask *subtask)
{
    const pxi_fiber *fiber = task->fiber;
    pxi_thread *thread = fiber->thread;
    pxi_item *item = thread->items;
    if (UNLIKELY (!item || typed->input_size > fiber->inline_max ||
                  pxi_deque_is_full (&thread->deque)))
        return spawn_slowly (task, typed, input, subtask);
    thread->items = item->next;
    item->typed = typed;
    if (typed->input_size == sizeof (uint64_t))
        memcpy (item->inline_input, input, sizeof (uint64_t));
    else
        copy_inline (item->inline_input, input, typed->input_size);
    link_spawned (task, item, subtask);
    pxi_deque_push_unchecked (&thread->deque, item);
    if (UNLIKELY (pxi_pool_is_alert (fiber->pool, thread)))
        return alerted (fiber->pool, thread);
    return PX_OK;
}

/* ---- sync -------------------------------------------------------------------------------------
 */

static void wait_for (px_task *task, pxi_item *item)
{
    while (atomic_load_explicit (&item->done, memory_order_acquire) != SPAWNED_DONE) {
        if (pxi_pool_over (task->fiber->pool))
            pxi_pool_yield (task);
        else
            pxi_pool_wait (task, &item->done);
    }
}

/* A subtask that was not a plain call without trouble: its result, or its failure, and its end. */
static px_err collect (px_task *task, pxi_item *item, void *result)
{
    px_err err = item->code;
    size_t size = item->typed->result_size;
    if (err == PX_OK && item->result_size && result)
        memcpy (result, item->result ? pxi_bytes_data (item->result) : item->inline_result, size);
    if (err != PX_OK) {
        bool cancelled = pxi_task_is_cancelled (task);
        err = cancelled ? PX_ECANCELLED : PX_EFAILED;
        if (!cancelled)
            pxi_task_keep_causes (task, item);
    }
    task->spawned = item->older;
    pxi_item_free (task->fiber->thread, item);
    if (!task->spawned && atomic_load_explicit (&task->away, memory_order_relaxed))
        pxi_pool_close_away (task);
    return err;
}

/* Called in place, but it failed or left something behind. Its result is where it belongs. */
COLD static px_err end_called (px_task *called, px_err code)
{
    px_task *task = called->below;
    pxi_task_end (called, code);
    task->fiber->task = task;
    return collect (task, called->item, NULL);
}

/* On this stack. False: `err` says how it ended, and the item is gone; otherwise it ended well, left
 * nothing behind, and the item is the caller's. */
static inline bool call_here (px_task *task, pxi_fiber *fiber, pxi_item *item, const void *input,
                              void *result, px_task *called, px_err *err)
{
    *called = (px_task){.fiber = fiber, .item = item, .below = task};
    fiber->task = called;
    px_err code = item->typed->typed (called, input, result);
    fiber->thread->n_called++;
    if (UNLIKELY (code != PX_OK || called->spawned || called->busy)) {
        *err = end_called (called, code);
        return false;
    }
    fiber->task = task;
    task->spawned = item->older;
    return true;
}

COLD static px_err looked (pxi_fiber *fiber)
{
    pxi_pool_look (fiber);
    return PX_OK;
}

COLD static px_err call_slowly (px_task *task, pxi_item *item, void *result)
{
    px_task called;
    px_err err = PX_OK;
    if (call_here (task, task->fiber, item, pxi_item_input (item), result, &called, &err))
        pxi_item_free (task->fiber->thread, item);
    return err;
}

/* Others have it, or must have it: this stack is full, or the slot is to be given up. */
COLD static px_err sync_elsewhere (px_task *task, px_subtask *subtask, void *result)
{
    subtask->item = NULL;
    wait_for (task, task->spawned);
    return collect (task, task->spawned, result);
}

/* Others were about to have it: pxi_deque_pop_at () had begun. */
COLD static px_err sync_public (px_task *task, px_subtask *subtask, void *result, int64_t bottom)
{
    if (!pxi_deque_take_back (&task->fiber->thread->deque, bottom))
        return sync_elsewhere (task, subtask, result);
    subtask->item = NULL;
    return call_slowly (task, task->spawned, result);
}

/* A slot to be given up, something of some run cancelled, a large input. */
COLD static px_err sync_slowly (px_task *task, px_subtask *subtask, void *result)
{
    pxi_fiber *fiber = task->fiber;
    pxi_item *item = task->spawned;
    if (pxi_task_is_cancelled (task))
        atomic_store (&item->cancelled, true);
    else if (!pxi_pool_over (fiber->pool) && pxi_fiber_has_room (fiber, &item) &&
             pxi_deque_pop_item (&fiber->thread->deque, item)) {
        subtask->item = NULL;
        return call_slowly (task, item, result);
    }
    return sync_elsewhere (task, subtask, result);
}

static bool names (const px_subtask *subtask, const pxi_item *item)
{
    return subtask->item == item || subtask->item == (const char *)item + NOT_INLINE;
}

COLD static px_err sync_other (px_task *task, px_subtask *subtask, void *result)
{
    if (task->spawned && names (subtask, task->spawned))
        return sync_slowly (task, subtask, result);
    for (const pxi_item *item = task->spawned; item; item = item->older) {
        if (names (subtask, item))
            return PX_ESTATE;
    }
    return PX_ESTALE;
}

px_err px_sync (px_task *task, px_subtask *subtask, void *result)
{
    pxi_fiber *fiber = task->fiber;
    pxi_item *item = subtask->item;
    px_task called;
    if (UNLIKELY (!item || item != task->spawned))
        return sync_other (task, subtask, result);
    if (UNLIKELY (pxi_pool_alerts (fiber->pool, ALERTS_OF_JOIN)))
        return sync_slowly (task, subtask, result);
    pxi_deque *deque = &fiber->thread->deque;
    int64_t bottom = pxi_deque_newest (deque);
    if (UNLIKELY (deque->array[bottom & deque->mask] != item ||
                  !pxi_fiber_has_room (fiber, &called)))
        return sync_elsewhere (task, subtask, result);
    if (UNLIKELY (!pxi_deque_pop_at (deque, bottom)))
        return sync_public (task, subtask, result, bottom);
    subtask->item = NULL;
    px_err err;
    if (UNLIKELY (!call_here (task, fiber, item, item->inline_input, result, &called, &err)))
        return err;
    /* Only what px_spawn () sets has been touched: it is as clean as it came. */
    pxi_thread *thread = fiber->thread; /* not always the one before */
    item->next = thread->items;
    thread->items = item;
    if (UNLIKELY (pxi_thread_should_look (thread)))
        return looked (fiber);
    return PX_OK;
}

/* ---- what a task leaves behind ----------------------------------------------------------------
 */

void pxi_spawn_finish (px_task *task)
{
    for (pxi_item *item = task->spawned; item; item = item->older)
        atomic_store (&item->cancelled, true);
    pxi_pool_cancelled (task->fiber->pool, task->fiber->run);
    pxi_pool_close_away (task);
    while (task->spawned) {
        pxi_item *item = task->spawned;
        if (!pxi_deque_pop_item (&task->fiber->thread->deque, item))
            wait_for (task, item);
        task->spawned = item->older;
        pxi_item_free (task->fiber->thread, item);
    }
}
