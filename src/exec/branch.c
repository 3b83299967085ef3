/* Branches, from their task's side: adding, joining, taking outcomes one by one, cancelling.
 *
 * Outcomes reach the owner on two ways: a subtask that it popped itself and called ends in place;
 * all others come over branch->done. Either way pxi_branch_settle () sees each exactly once, on the owner's
 * stack. */
#include <stdlib.h>
#include <string.h>

#include "exec/state.h"

enum {
    SUBTASKS_WITH_REACTION = 4096,
    ID_SHIFT = 48,
};

/* ---- handles ----------------------------------------------------------------------------------
 */

static px_branch handle_of (const pxi_open_branch *branch)
{
    return (px_branch){(uint64_t)(uintptr_t)branch | (uint64_t)branch->generation << ID_SHIFT};
}

/* NULL: closed. Branches are never freed while their pool lives, so the look is safe. */
pxi_open_branch *pxi_branch_look_up (px_branch handle)
{
    pxi_open_branch *branch =
        (pxi_open_branch *)(uintptr_t)(handle.id & ((UINT64_C (1) << ID_SHIFT) - 1));
    if (!branch || branch->generation != handle.id >> ID_SHIFT || branch->closed)
        return NULL;
    return branch;
}

/* ---- open -------------------------------------------------------------------------------------
 */

static bool options_valid (const px_branch_options *options)
{
    return options->size == sizeof *options && options->number >= PX_NUMBER_DEFAULT &&
           (options->shared || !options->shared_size);
}

static px_err check_size (px_task *task, const char *what, size_t size)
{
    size_t size_max = task->fiber->pool->config.input_size_max;
    if (size <= size_max)
        return PX_OK;
    px_task_fail_at (task, "", 0, "%s of %zu bytes is over this peer's limit of %zu", what, size,
                     size_max);
    return PX_ETOOBIG;
}

/* What the task has been given itself is handed on as it is. */
static px_err take_shared (px_task *task, const px_branch_options *options, pxi_bytes **shared)
{
    pxi_bytes *own = pxi_task_shared_bytes (task);
    *shared = NULL;
    if (!options->shared_size)
        return PX_OK;
    px_err err = check_size (task, "a shared input", options->shared_size);
    if (err != PX_OK)
        return err;
    bool handed_on =
        options->shared == pxi_bytes_data (own) && options->shared_size == pxi_bytes_size (own);
    *shared = handed_on ? pxi_bytes_acquire (own)
                        : pxi_bytes_copy (options->shared, options->shared_size);
    return *shared ? PX_OK : PX_ENOMEM;
}

px_err px_branch_open (px_task *task, const char *point, const px_branch_options *options,
                       px_branch *branch)
{
    static const px_branch_options defaults = PX_BRANCH_OPTIONS_INIT;
    options = options ? options : &defaults;
    if (!task || !point || !branch || !options_valid (options))
        return PX_EINVAL;
    if (pxi_task_is_cancelled (task))
        return PX_ECANCELLED;
    pxi_bytes *shared;
    px_err err = take_shared (task, options, &shared);
    if (err != PX_OK)
        return err;
    pxi_pool *pool = task->fiber->pool;
    pxi_open_branch *open = pxi_pool_branch (pool, task->fiber->thread);
    if (!open) {
        pxi_bytes_release (shared);
        return PX_ENOMEM;
    }
    if (task->item->owner)
        pxi_pool_tell_nests (pool, task->item);
    open->task = task;
    open->shared = shared;
    open->point = point;
    open->fixed = options->number >= 0;
    open->number = open->fixed ? options->number : pxi_pool_number (pool, point, &open->rises);
    open->react = options->react;
    open->react_context = options->react_context;
    open->subtasks_max = options->subtasks_max;
    if (!open->subtasks_max && options->react)
        open->subtasks_max = SUBTASKS_WITH_REACTION;
    pxi_task_make_busy (task);
    task->item->busy |= BUSY_BRANCHED;
    open->next = task->branches;
    task->branches = open;
    *branch = handle_of (open);
    return PX_OK;
}

/* ---- outcomes ---------------------------------------------------------------------------------
 */

static void free_item (const pxi_open_branch *branch, pxi_item *item)
{
    pxi_item_free (branch->task->fiber->thread, item);
}

static void outcome_of (const pxi_item *item, px_outcome *outcome)
{
    *outcome = (px_outcome){.code = item->code};
    if (item->code == PX_OK) {
        outcome->bytes = item->result ? pxi_bytes_data (item->result) : item->inline_result;
        outcome->bytes_size = item->result_size;
    } else {
        outcome->failures = item->failures.items;
        outcome->n_failures = item->failures.n;
        outcome->n_failures_dropped = item->failures.n_dropped;
    }
}

static void keep_causes (pxi_open_branch *branch, const pxi_item *item)
{
    branch->n_failed++;
    bool unwanted = atomic_load (&branch->cancelled) || branch->range;
    if (!unwanted || item->code != PX_ECANCELLED)
        pxi_task_keep_causes (branch->task, item);
}

static void cancel (pxi_open_branch *branch)
{
    atomic_store (&branch->cancelled, true);
    pxi_pool_cancelled (branch->task->fiber->pool, branch->task->fiber->run);
}

static void react (pxi_open_branch *branch, pxi_item *item)
{
    px_outcome outcome;
    bool wanted = branch->err == PX_OK && !branch->closed && !atomic_load (&branch->cancelled);
    outcome_of (item, &outcome);
    if (wanted) {
        branch->in_reaction = true;
        branch->err = branch->react (branch->react_context, item->index, &outcome);
        branch->in_reaction = false;
        if (branch->err != PX_OK)
            cancel (branch);
    }
    free_item (branch, item);
}

static void settle_chunk (pxi_open_branch *branch, pxi_item *item)
{
    px_err err = pxi_range_take (branch->range, item);
    if (branch->err == PX_OK)
        branch->err = err;
    item->back = false;
    free_item (branch, item);
}

void pxi_branch_settle (pxi_open_branch *branch, pxi_item *item)
{
    branch->n_done++;
    item->finished = true;
    item->next = NULL;
    if (item->code != PX_OK)
        keep_causes (branch, item);
    if (branch->range) {
        settle_chunk (branch, item);
        return;
    }
    if (branch->react) {
        react (branch, item);
        return;
    }
    if (branch->closed) {
        free_item (branch, item);
        return;
    }
    if (branch->ready_last)
        branch->ready_last->next = item;
    else
        branch->ready_first = item;
    branch->ready_last = item;
}

static void unpoke (const pxi_open_branch *branch)
{
    pxi_pool *pool = branch->task->fiber->pool;
    pthread_mutex_lock (&pool->lock);
    branch->range->poked = false;
    pthread_mutex_unlock (&pool->lock);
}

/* What others have ended, oldest first. */
void pxi_branch_drain (pxi_open_branch *branch)
{
    uintptr_t list = atomic_load_explicit (&branch->done, memory_order_relaxed);
    if (!list || branch->in_reaction)
        return;
    pxi_item *item = (pxi_item *)atomic_exchange_explicit (&branch->done, 0, memory_order_acquire);
    pxi_item *ordered = NULL;
    while (item) {
        pxi_item *next = item->next;
        item->next = ordered;
        ordered = item;
        item = next;
    }
    while (ordered) {
        pxi_item *next = ordered->next;
        if (branch->range && ordered == &branch->range->poke)
            unpoke (branch);
        else
            pxi_branch_settle (branch, ordered);
        ordered = next;
    }
}

/* ---- progress: do one subtask here, or wait ---------------------------------------------------
 */

static bool run_newest_here (pxi_open_branch *branch)
{
    pxi_fiber *fiber = branch->task->fiber;
    pxi_deque *deque = &fiber->thread->deque;
    pxi_item *item =
        pxi_fiber_has_room (fiber, __builtin_frame_address (0)) ? pxi_deque_pop (deque) : NULL;
    if (!item)
        return false;
    if (item->branch != branch) {
        pxi_deque_push (deque, item); /* its place has just become free */
        return false;
    }
    pxi_task_is_cancelled (branch->task); /* so that the subtask need not ask beyond it */
    pxi_task_execute (fiber, item);
    pxi_branch_settle (branch, item);
    return true;
}

/* Until fewer than `open_max` subtasks are without outcome, or one outcome can be given. */
static void advance (pxi_open_branch *branch, uint64_t open_max, bool one_will_do)
{
    px_task *task = branch->task;
    for (;;) {
        pxi_branch_drain (branch);
        if (branch->n_added - branch->n_done <= open_max || (one_will_do && branch->ready_first))
            return;
        if (pxi_pool_over (task->fiber->pool))
            pxi_pool_yield (task);
        else if (!run_newest_here (branch))
            pxi_pool_wait (task, &branch->done);
    }
}

/* ---- ranges -----------------------------------------------------------------------------------
 */

/* False: all is done and settled, or nobody wants it and nothing is under way. */
static bool range_goes_on (pxi_open_branch *branch)
{
    pxi_range *range = branch->range;
    pxi_pool *pool = branch->task->fiber->pool;
    bool given_up = pxi_task_is_cancelled (branch->task) || branch->err != PX_OK ||
                    atomic_load (&branch->cancelled);
    pthread_mutex_lock (&pool->lock);
    range->closed |= given_up;
    given_up = range->closed;
    bool settled = range->n_cut == branch->n_done;
    bool over = settled && (given_up || pxi_cut_is_done (&range->cut));
    pthread_mutex_unlock (&pool->lock);
    if (given_up && !settled)
        pxi_pool_withdraw (pool, branch);
    return !over;
}

/* In place, where the stack has room for it; otherwise by a thread, maybe this one. False: nothing for it. */
static bool run_chunk_here (pxi_open_branch *branch)
{
    pxi_fiber *fiber = branch->task->fiber;
    bool stuck = false;
    pxi_item *item = pxi_fiber_has_room (fiber, __builtin_frame_address (0))
                         ? pxi_chunk_here (fiber->thread, branch->range, &stuck)
                         : NULL;
    if (stuck)
        branch->err = PX_ENOMEM;
    if (!item)
        return stuck;
    pxi_task_execute (fiber, item);
    pxi_chunk_ended_here (fiber->pool, item);
    pxi_branch_settle (branch, item);
    return true;
}

px_err pxi_branch_run_range (pxi_open_branch *branch, pxi_range *range)
{
    px_task *task = branch->task;
    pxi_pool *pool = task->fiber->pool;
    branch->range = range;
    pxi_range_begin (pool, range);
    for (;;) {
        pxi_branch_drain (branch);
        if (!range_goes_on (branch))
            break;
        if (pxi_pool_over (pool))
            pxi_pool_yield (task);
        else if (!run_chunk_here (branch))
            pxi_pool_wait (task, &branch->done);
    }
    pxi_range_end (pool, range);
    pxi_branch_drain (branch); /* a poke may have come */
    branch->range = NULL;
    branch->n_added = branch->n_done;
    px_err joined = px_branch_join (handle_of (branch));
    px_branch_close (handle_of (branch));
    return joined;
}

/* ---- add --------------------------------------------------------------------------------------
 */

static bool items_room (pxi_open_branch *branch)
{
    if (branch->react || branch->n_added < branch->items_room)
        return true;
    size_t room = branch->items_room ? 2 * branch->items_room : 16;
    pxi_item **items = realloc (branch->items, room * sizeof *items);
    if (!items)
        return false;
    branch->items = items;
    branch->items_room = room;
    return true;
}

static px_err can_add (pxi_open_branch *branch, const void *input, size_t size)
{
    if (!input && size)
        return PX_EINVAL;
    if (pxi_task_is_cancelled (branch->task) || atomic_load (&branch->cancelled))
        return branch->err != PX_OK ? branch->err : PX_ECANCELLED;
    return check_size (branch->task, "an input", size);
}

/* Most branches have one kind of subtask: its index is looked up once. */
static bool know_function (pxi_open_branch *branch, px_task_fn *function)
{
    if (branch->function == function)
        return true;
    int64_t index = pxi_pool_task_index (branch->task->fiber->pool, function);
    if (index < 0)
        return false;
    branch->function = function;
    branch->function_index = (uint32_t)index;
    return true;
}

static px_err push (pxi_open_branch *branch, const void *input, size_t input_size)
{
    pxi_fiber *fiber = branch->task->fiber;
    pxi_thread *thread = fiber->thread;
    pxi_item *item = items_room (branch) ? pxi_item_new (thread) : NULL;
    if (!item)
        return PX_ENOMEM;
    item->typed = NULL;
    item->owner = branch->task;
    item->index = branch->n_added;
    item->branch = branch;
    item->function = branch->function;
    item->task = branch->function_index;
    if (!pxi_item_set_input (item, input, input_size) || !pxi_deque_push (&thread->deque, item)) {
        pxi_item_free (thread, item);
        return PX_ENOMEM;
    }
    if (!branch->react)
        branch->items[branch->n_added] = item;
    branch->n_added++;
    thread->n_known++;
    pxi_pool_pushed (fiber->pool, thread);
    return PX_OK;
}

px_err px_branch_add (px_branch handle, px_task_fn *function, const void *input, size_t input_size)
{
    pxi_open_branch *branch = pxi_branch_look_up (handle);
    if (!branch)
        return PX_ESTALE;
    px_err err = can_add (branch, input, input_size);
    if (err != PX_OK)
        return err;
    if (!know_function (branch, function))
        return PX_ENOTASK;
    if (branch->subtasks_max && branch->n_added - branch->n_done >= branch->subtasks_max &&
        !branch->in_reaction)
        advance (branch, branch->subtasks_max - 1, false);
    return branch->err != PX_OK ? branch->err : push (branch, input, input_size);
}

/* ---- join and results -------------------------------------------------------------------------
 */

px_err px_branch_join (px_branch handle)
{
    pxi_open_branch *branch = pxi_branch_look_up (handle);
    if (!branch)
        return PX_ESTALE;
    if (branch->in_reaction)
        return PX_ESTATE;
    advance (branch, 0, false);
    if (branch->err != PX_OK)
        return branch->err;
    if (pxi_task_is_cancelled (branch->task) || atomic_load (&branch->cancelled))
        return PX_ECANCELLED;
    return branch->n_failed ? PX_EFAILED : PX_OK;
}

px_err px_branch_result (px_branch handle, uint64_t index, px_outcome *outcome)
{
    pxi_open_branch *branch = pxi_branch_look_up (handle);
    if (!branch)
        return PX_ESTALE;
    if (branch->react)
        return PX_ESTATE;
    if (index >= branch->n_added || !outcome)
        return PX_EINVAL;
    const pxi_item *item = branch->items[index];
    if (!item || item->given)
        return PX_ESTATE;
    if (!item->finished)
        pxi_branch_drain (
            branch); /* so that a task which asks again and again without joining sees it */
    if (!item->finished)
        return PX_EAGAIN;
    outcome_of (item, outcome);
    return PX_OK;
}

static void drop_given (pxi_open_branch *branch)
{
    pxi_item *item = branch->given;
    if (!item)
        return;
    branch->items[item->index] = NULL;
    free_item (branch, item);
    branch->given = NULL;
}

px_err px_branch_next (px_branch handle, uint64_t *index, px_outcome *outcome)
{
    pxi_open_branch *branch = pxi_branch_look_up (handle);
    if (!branch)
        return PX_ESTALE;
    if (branch->react)
        return PX_ESTATE;
    if (!outcome)
        return PX_EINVAL;
    drop_given (branch);
    if (pxi_task_is_cancelled (branch->task))
        return PX_ECANCELLED;
    advance (branch, 0, true);
    pxi_item *item = branch->ready_first;
    if (!item)
        return PX_EEND;
    branch->ready_first = item->next;
    if (!branch->ready_first)
        branch->ready_last = NULL;
    item->given = true;
    branch->given = item;
    if (index)
        *index = item->index;
    outcome_of (item, outcome);
    return PX_OK;
}

/* ---- cancel and close -------------------------------------------------------------------------
 */

px_err px_branch_cancel (px_branch handle)
{
    pxi_open_branch *branch = pxi_branch_look_up (handle);
    if (!branch)
        return PX_ESTALE;
    cancel (branch);
    pxi_pool_withdraw (branch->task->fiber->pool, branch);
    return PX_OK;
}

static void free_results (pxi_open_branch *branch)
{
    drop_given (branch);
    while (branch->ready_first) {
        pxi_item *item = branch->ready_first;
        branch->ready_first = item->next;
        free_item (branch, item);
    }
    branch->ready_last = NULL;
}

static void unlink_branch (px_task *task, pxi_open_branch *branch)
{
    pxi_open_branch **link = &task->branches;
    while (*link != branch)
        link = &(*link)->next;
    *link = branch->next;
}

/* With everything settled: nobody else knows the branch, but where something was handed over. */
static void release (px_task *task, pxi_open_branch *branch)
{
    if (atomic_load_explicit (&branch->id, memory_order_relaxed))
        pxi_pool_withdraw (task->fiber->pool, branch);
    unlink_branch (task, branch);
    pxi_pool_branch_free (task->fiber->thread, branch);
}

static void mark_closed (pxi_open_branch *branch)
{
    pxi_branch_drain (branch);
    free_results (branch);
    branch->closed = true;
    branch->generation++;
}

static void give_up (pxi_open_branch *branch)
{
    cancel (branch);
    pxi_pool_withdraw (branch->task->fiber->pool, branch);
}

/* The handle is dead at once. What still runs somewhere keeps the branch until the task ends:
 * closing never blocks, returning from a task may. */
px_err px_branch_close (px_branch handle)
{
    pxi_open_branch *branch = pxi_branch_look_up (handle);
    if (!branch)
        return PX_ESTALE;
    if (branch->in_reaction)
        return PX_ESTATE;
    mark_closed (branch);
    if (branch->n_added != branch->n_done)
        give_up (branch);
    else
        release (branch->task, branch);
    return PX_OK;
}

void pxi_branch_finish (px_task *task, pxi_open_branch *branch)
{
    if (!branch->closed)
        mark_closed (branch);
    if (branch->n_added != branch->n_done)
        give_up (branch);
    advance (branch, 0, false);
    release (task, branch);
}
