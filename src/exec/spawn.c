/* Subtasks that are spawned and synced in the order of a stack.
 *
 * They wait in the same deques as those of branches, and are taken, given back, completed and cancelled
 * as those are. What they do without is a branch: the task holds them in its fiber's row (state.h), and
 * waits for each by its own word, item->done. In the common way px_sync () finds the subtask where it was
 * put, the last in the thread's own deque, and calls it with the caller's room for the result. What this
 * costs is waiting for words that have just been stored, so there are few of them: six in px_spawn (),
 * and none of a called task is set before it is needed. */
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

static inline void link_spawned (px_task *task, const px_typed_task *typed, pxi_item *item,
                                 px_subtask *subtask)
{
    item->typed = typed;
    item->owner = task;
    task->top = item->after;
    subtask->item = item;
}

/* At the end of the row, with a large input, with a deque that has to grow. */
COLD static px_err spawn_slowly (px_task *task, const px_typed_task *typed, const void *input,
                                 px_subtask *subtask)
{
    pxi_fiber *fiber = task->fiber;
    pxi_thread *thread = fiber->thread;
    pxi_item *item = task->top;
    if (!item->after && !pxi_fiber_lengthen (fiber, item))
        return PX_ENOMEM;
    px_err err = set_large_input (task, item, input, typed->input_size);
    if (err == PX_OK && pxi_deque_is_full (&thread->deque) && !pxi_deque_make_room (&thread->deque))
        err = PX_ENOMEM;
    if (err != PX_OK) {
        pxi_item_clean (item);
        return err;
    }
    link_spawned (task, typed, item, subtask);
    if (typed->input_size > ITEM_INPUT_INLINE)
        subtask->item = (char *)item + NOT_INLINE;
    pxi_deque_push_unchecked (&thread->deque, item);
    pxi_pool_pushed (fiber->pool, thread);
    return PX_OK;
}

static inline void copy_word (uint8_t *to, const uint8_t *from)
{
    uint64_t word;
    memcpy (&word, from, sizeof word);
    memcpy (to, &word, sizeof word);
}

/* By words, at most ITEM_INPUT_INLINE bytes: no call, and no load that is wider than the caller's stores,
 * which have just been made. */
static inline void copy_inline (uint8_t *to, const uint8_t *from, size_t size)
{
    for (; size >= 4 * sizeof (uint64_t); size -= 4 * sizeof (uint64_t)) {
        copy_word (to, from);
        copy_word (to + 8, from + 8);
        copy_word (to + 16, from + 16);
        copy_word (to + 24, from + 24);
        __asm__ volatile("" : "+r"(to), "+r"(from)); /* a loop, not vectors */
        to += 4 * sizeof (uint64_t);
        from += 4 * sizeof (uint64_t);
    }
    for (; size >= sizeof (uint64_t); size -= sizeof (uint64_t)) {
        copy_word (to, from);
        __asm__ volatile("" : "+r"(to), "+r"(from));
        to += sizeof (uint64_t);
        from += sizeof (uint64_t);
    }
    for (; size > 0; size--) {
        *to++ = *from++;
        __asm__ volatile("" : "+r"(to), "+r"(from));
    }
}

COLD static px_err alerted (pxi_pool *pool, pxi_thread *thread)
{
    pxi_pool_alerted (pool, thread);
    return PX_OK;
}

__attribute__ ((always_inline)) static inline px_err spawn (px_task *task,
                                                            const px_typed_task *typed,
                                                            const void *input, size_t size,
                                                            px_subtask *subtask)
{
    pxi_thread *thread = task->fiber->thread;
    pxi_item *item = task->top;
    if (UNLIKELY (!item->after || pxi_deque_is_full (&thread->deque)))
        return spawn_slowly (task, typed, input, subtask);
    if (size == sizeof (uint64_t))
        memcpy (item->inline_input, input, sizeof (uint64_t));
    else
        copy_inline (item->inline_input, input, size);
    link_spawned (task, typed, item, subtask);
    pxi_deque_push_unchecked (&thread->deque, item);
    if (UNLIKELY (pxi_thread_is_alert (thread)))
        return alerted (task->fiber->pool, thread);
    return PX_OK;
}

/* Of any size, for which px_spawn () has no registers to save. */
__attribute__ ((noinline)) static px_err spawn_any (px_task *task, const px_typed_task *typed,
                                                    const void *input, px_subtask *subtask)
{
    if (UNLIKELY (typed->input_size > task->fiber->inline_max))
        return spawn_slowly (task, typed, input, subtask);
    return spawn (task, typed, input, typed->input_size, subtask);
}

px_err px_spawn (px_task *task, const px_typed_task *typed, const void *input, px_subtask *subtask)
{
    if (typed->input_size != task->fiber->usual)
        return spawn_any (task, typed, input, subtask);
    return spawn (task, typed, input, sizeof (uint64_t), subtask);
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

static void end_item (px_task *task, pxi_item *item)
{
    pxi_item_clean (item);
    task->top = item;
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
    end_item (task, item);
    if (atomic_load_explicit (&task->item->away, memory_order_relaxed) && !pxi_task_spawned (task))
        pxi_pool_close_away (task);
    return err;
}

/* Called in place, but it failed or left something behind. Its result is where it belongs. */
COLD static px_err end_called (px_task *called, px_err code)
{
    pxi_fiber *fiber = called->fiber;
    pxi_item *item = called->item;
    pxi_task_end (called, code);
    fiber->task = item->owner;
    return collect (item->owner, item, NULL);
}

COLD static px_err looked (pxi_fiber *fiber)
{
    pxi_pool_look (fiber);
    return PX_OK;
}

/* On this stack. The thread may be another one afterwards. */
__attribute__ ((always_inline)) static inline px_err
call (px_task *called, pxi_fiber *fiber, pxi_item *item, const void *input, void *result)
{
    called->fiber = fiber;
    called->item = item;
    called->top = item->after;
    fiber->task = called;
    px_err code = item->typed->typed (called, input, result);
    if (UNLIKELY (code != PX_OK || called->top != item->after || item->busy))
        return end_called (called, code);
    px_task *task = item->owner;
    /* Only what px_spawn () sets has been touched: the item is as clean as it came. */
    fiber->task = task;
    task->top = item;
    if (pxi_thread_should_look (fiber->thread))
        return looked (fiber);
    return code; /* PX_OK, and at hand */
}

COLD static px_err call_slowly (px_task *task, pxi_item *item, void *result)
{
    px_task called;
    px_err err = call (&called, task->fiber, item, pxi_item_input (item), result);
    pxi_item_clean (item); /* of a large input */
    return err;
}

/* Others have it, or must have it: this stack is full, or the slot is to be given up. */
static px_err sync_elsewhere (px_task *task, pxi_item *item, void *result)
{
    wait_for (task, item);
    return collect (task, item, result);
}

/* Not popped yet. */
static px_err sync_slowly (px_task *task, pxi_item *item, void *result)
{
    pxi_fiber *fiber = task->fiber;
    if (pxi_task_is_cancelled (task))
        atomic_store (&item->cancelled, true);
    else if (!pxi_pool_over (fiber->pool) && pxi_fiber_has_room (fiber, &item) &&
             pxi_deque_pop_item (&fiber->thread->deque, item))
        return call_slowly (task, item, result);
    return sync_elsewhere (task, item, result);
}

static bool names (const px_subtask *subtask, const pxi_item *item)
{
    return subtask->item == item || subtask->item == (const char *)item + NOT_INLINE;
}

/* What is not common, and what is wrong. */
COLD static px_err sync_other (px_task *task, px_subtask *subtask, void *result)
{
    pxi_item *newest = pxi_task_spawned (task);
    if (newest && names (subtask, newest)) {
        subtask->item = NULL;
        return sync_slowly (task, newest, result);
    }
    for (const pxi_item *item = newest; item; item = pxi_item_older (item)) {
        if (names (subtask, item))
            return PX_ESTATE;
    }
    return PX_ESTALE;
}

/* Others were about to have it: pxi_deque_pop_at () had begun. */
COLD static px_err sync_public (px_task *task, px_subtask *subtask, void *result, int64_t bottom)
{
    pxi_item *item = subtask->item;
    if (!pxi_deque_take_back (&task->fiber->thread->deque, bottom))
        return sync_other (task, subtask, result);
    subtask->item = NULL;
    return call_slowly (task, item, result);
}

/* A handle of no subtask is none of those in the deque. */
px_err px_sync (px_task *task, px_subtask *subtask, void *result)
{
    pxi_fiber *fiber = task->fiber;
    pxi_item *item = subtask->item;
    px_task called;
    pxi_deque *deque = &fiber->thread->deque;
    int64_t bottom = pxi_deque_newest (deque);
    if (UNLIKELY (task->top->before != item || deque->array[bottom] != item ||
                  pxi_deque_has_note (deque, ALERTS_OF_JOIN) ||
                  !pxi_fiber_has_room (fiber, &called)))
        return sync_other (task, subtask, result);
    if (UNLIKELY (!pxi_deque_pop_at (deque, bottom)))
        return sync_public (task, subtask, result, bottom);
    subtask->item = NULL;
    return call (&called, fiber, item, item->inline_input, result);
}

/* ---- what a task leaves behind ----------------------------------------------------------------
 */

void pxi_spawn_finish (px_task *task)
{
    for (pxi_item *item = pxi_task_spawned (task); item; item = pxi_item_older (item))
        atomic_store (&item->cancelled, true);
    pxi_pool_cancelled (task->fiber->pool, task->fiber->run);
    pxi_pool_close_away (task);
    for (pxi_item *item; (item = pxi_task_spawned (task));) {
        if (!pxi_deque_pop_item (&task->fiber->thread->deque, item))
            wait_for (task, item);
        end_item (task, item);
    }
}
