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

/* At most ITEM_INPUT_INLINE bytes, without a call. */
static inline void copy_inline (uint8_t *to, const uint8_t *from, size_t size)
{
    typedef struct chunk {
        uint64_t words[2];
    } chunk;
    if (LIKELY (size == sizeof (uint64_t))) {
        memcpy (to, from, sizeof (uint64_t));
        return;
    }
    size_t at = 0;
    for (; at + sizeof (chunk) <= size; at += sizeof (chunk))
        memcpy (to + at, from + at, sizeof (chunk));
    for (; at + sizeof (uint32_t) <= size; at += sizeof (uint32_t))
        memcpy (to + at, from + at, sizeof (uint32_t));
    for (; at < size; at++)
        to[at] = from[at];
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
    item->typed = typed;
    if (err == PX_OK && !pxi_deque_push (&thread->deque, item))
        err = PX_ENOMEM;
    if (err != PX_OK) {
        pxi_item_free (thread, item);
        return err;
    }
    link_spawned (task, item, subtask);
    thread->n_known++;
    pxi_pool_pushed (fiber->pool, thread);
    return PX_OK;
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
    copy_inline (item->inline_input, input, typed->input_size);
    link_spawned (task, item, subtask);
    thread->n_known++;
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

/* Called in place, but it failed or left something behind. */
COLD static px_err end_called (px_task *called, px_err code, void *result)
{
    px_task *task = called->below;
    pxi_task_end (called, code);
    task->fiber->task = task;
    return collect (task, called->item, result);
}

/* On this stack. The item is the task's alone, and only what px_spawn () sets has been touched. */
static inline px_err call_here (px_task *task, pxi_item *item, void *result)
{
    pxi_fiber *fiber = task->fiber;
    px_task called = {.fiber = fiber,
                      .item = item,
                      .below = task,
                      .checked = atomic_load_explicit (&task->checked, memory_order_relaxed)};
    fiber->task = &called;
    px_err code = item->typed->typed (&called, pxi_item_input (item), result);
    pxi_thread *thread = fiber->thread; /* not always the one before */
    thread->n_done++;
    if (UNLIKELY (code != PX_OK || called.spawned || called.busy))
        return end_called (&called, code, result);
    fiber->task = task;
    task->spawned = item->older;
    if (UNLIKELY (item->typed->input_size > ITEM_INPUT_INLINE)) {
        pxi_item_free (thread, item);
        return PX_OK;
    }
    item->next = thread->items;
    thread->items = item;
    return PX_OK;
}

COLD static px_err not_the_newest (const px_task *task, const px_subtask *subtask)
{
    for (const pxi_item *item = task->spawned; item; item = item->older) {
        if (item == subtask->item)
            return PX_ESTATE;
    }
    return PX_ESTALE;
}

/* Others have it, or must have it: this stack is full, or the slot is to be given up. */
COLD static px_err sync_elsewhere (px_task *task, px_subtask *subtask, void *result)
{
    pxi_item *item = subtask->item;
    subtask->item = NULL;
    wait_for (task, item);
    return collect (task, item, result);
}

/* Others were about to have it; pxi_deque_pop_item () had begun. */
COLD static px_err sync_public (px_task *task, px_subtask *subtask, void *result, int64_t bottom)
{
    if (!pxi_deque_take_back (&task->fiber->thread->deque, bottom))
        return sync_elsewhere (task, subtask, result);
    pxi_item *item = subtask->item;
    subtask->item = NULL;
    return call_here (task, item, result);
}

/* Something of the run was cancelled: perhaps this. */
COLD static px_err sync_asking (px_task *task, px_subtask *subtask, void *result)
{
    if (!pxi_task_is_cancelled (task))
        return px_sync (task, subtask, result);
    pxi_item *item = subtask->item;
    subtask->item = NULL;
    atomic_store (&item->cancelled, true);
    return sync_elsewhere (task, &(px_subtask){item}, result);
}

px_err px_sync (px_task *task, px_subtask *subtask, void *result)
{
    pxi_fiber *fiber = task->fiber;
    pxi_item *item = subtask->item;
    if (UNLIKELY (!item || item != task->spawned))
        return not_the_newest (task, subtask);
    if (UNLIKELY (pxi_task_looks_cancelled (task)))
        return sync_asking (task, subtask, result);
    pxi_deque *deque = &fiber->thread->deque;
    int64_t bottom = pxi_deque_newest (deque);
    if (UNLIKELY (deque->array[bottom & deque->mask] != item || pxi_pool_over (fiber->pool) ||
                  !pxi_fiber_has_room (fiber, __builtin_frame_address (0))))
        return sync_elsewhere (task, subtask, result);
    if (UNLIKELY (!pxi_deque_pop_at (deque, bottom)))
        return sync_public (task, subtask, result, bottom);
    subtask->item = NULL;
    return call_here (task, item, result);
}

/* ---- what a task leaves behind ----------------------------------------------------------------
 */

void pxi_spawn_finish (px_task *task)
{
    for (pxi_item *item = task->spawned; item; item = item->older)
        atomic_store (&item->cancelled, true);
    pxi_run_cancelled (task->fiber->run);
    pxi_pool_close_away (task);
    while (task->spawned) {
        pxi_item *item = task->spawned;
        if (!pxi_deque_pop_item (&task->fiber->thread->deque, item))
            wait_for (task, item);
        task->spawned = item->older;
        pxi_item_free (task->fiber->thread, item);
    }
}
