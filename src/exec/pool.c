/* The pool: threads, what they run next, and the agent's commands.
 *
 * A thread runs the scheduler on its own stack; each pass resumes one fiber and then does what that
 * fiber asked for (wait, yield, sleep, end): only from here, when the fiber's stack is left, may
 * others resume it. Order of work: fibers that are ready, the own deque, what was given back, new
 * runs, stealing.
 *
 * Threads execute only while they hold one of the `allowed` slots (active <= allowed, but for a
 * moment after the allowance fell: then the next boundary gives one up). Without work a thread
 * spins briefly, asking those who have some, then helps itself, then gives its slot up and sleeps.
 * Whoever pushes looks at one word; the sleeper makes up for that with a barrier in all threads
 * (barrier.h) between announcing itself and its last look.
 *
 * Slow paths share pool->lock. Notices go up with the lock held, so that they are in order. */
#include <sched.h>
#include <stdio.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/prng.h"
#include "exec/state.h"

enum {
    SPINS = 40,            /* looks for work before a thread sleeps */
    SPINS_ASKING = 4,      /* of these, how many leave it to the owner to share */
    LOOK_EVERY_MAX = 4096, /* subtasks in place between looks at the clock */
    ROW_KEPT = 64,         /* items, of a fiber that has ended */
    TAKE_LOOKS_MAX = 256,  /* entries that one TAKE may move out of its way */
};
#define PROGRESS_NS UINT64_C (100000000)
#define DURATIONS_NS UINT64_C (10000000) /* at most so often, as the port says */
#define LOOK_NS UINT64_C (10000000)      /* about so often a thread looks at the clock */

static _Thread_local pxi_thread *self;

/* Never inlined: a fiber may go on in another thread, and the address must not be remembered. */
__attribute__ ((noinline)) pxi_thread *pxi_thread_self (void)
{
    __asm__ volatile("");
    return self;
}

bool pxi_pool_current (uint64_t *run, uint32_t *task)
{
    const pxi_thread *thread = self;
    const px_task *current = thread && thread->current ? thread->current->task : NULL;
    if (!current)
        return false;
    *run = pxi_item_run (current->item)->id;
    *task = pxi_pool_task_of (thread->pool, current->item);
    return true;
}

/* ---- items ------------------------------------------------------------------------------------
 */

pxi_item *pxi_item_make (void)
{
    pxi_item *item = malloc (sizeof *item);
    if (!item)
        return NULL;
    memset (item, 0, sizeof *item);
    pxi_list_init (&item->in_exported);
    return item;
}

/* As pxi_item_new () promises it. */
void pxi_item_clean (pxi_item *item)
{
    pxi_bytes_release (item->input_bytes);
    pxi_bytes_release (item->result);
    if (item->failures.items)
        pxi_failures_fini (&item->failures);
    item->input_bytes = item->result = NULL;
    item->result_size = 0;
    item->failures.n_dropped = 0;
    item->branch = NULL;
    atomic_store_explicit (&item->checked, 0, memory_order_relaxed);
    item->attempts = item->crashes = 0;
    item->subtask = 0;
    item->finished = item->given = false;
    atomic_store_explicit (&item->cancelled, false, memory_order_relaxed);
    atomic_store_explicit (&item->done, 0, memory_order_relaxed);
}

void pxi_item_free (pxi_thread *thread, pxi_item *item)
{
    pxi_item_clean (item);
    if (!thread) {
        free (item);
        return;
    }
    item->next = thread->items;
    thread->items = item;
}

/* Keep that many. */
static void trim_items (pxi_thread *thread, uint32_t n)
{
    pxi_item **link = &thread->items;
    while (*link && n--)
        link = &(*link)->next;
    pxi_item *item = *link;
    *link = NULL;
    while (item) {
        pxi_item *next = item->next;
        free (item);
        item = next;
    }
}

/* ---- rows -------------------------------------------------------------------------------------
 */

bool pxi_fiber_lengthen (pxi_fiber *fiber, pxi_item *last)
{
    pxi_item *item = pxi_item_new (fiber->thread);
    if (!item)
        return false;
    item->before = last;
    item->after = NULL;
    last->after = item;
    fiber->n_row++;
    return true;
}

static bool begin_row (pxi_fiber *fiber)
{
    pxi_item *item = pxi_item_make ();
    fiber->row = item;
    fiber->n_row = item != NULL;
    return item != NULL;
}

/* When nothing in it is in use. */
static void shorten_row (pxi_fiber *fiber, pxi_thread *thread)
{
    pxi_item *last = fiber->row;
    for (uint32_t i = 1; i < ROW_KEPT; i++)
        last = last->after;
    for (pxi_item *item = last->after; item; item = item->after) {
        item->next = thread->items;
        thread->items = item;
    }
    last->after = NULL;
    fiber->n_row = ROW_KEPT;
}

static void free_row (pxi_item *item)
{
    while (item) {
        pxi_item *after = item->after;
        free (item);
        item = after;
    }
}

/* Also from a crash handler: it only looks. */
int64_t pxi_pool_task_index (const pxi_pool *pool, px_task_fn *function)
{
    for (uint32_t i = 0; i < pool->config.n_tasks; i++) {
        if ((px_task_fn *)(uintptr_t)pool->config.task_functions[i] == function)
            return i;
    }
    return -1;
}

/* Of a spawned one it is looked for only when somebody asks. */
uint32_t pxi_pool_task_of (const pxi_pool *pool, const pxi_item *item)
{
    int64_t index = item->typed ? pxi_pool_task_index (pool, item->typed->function) : item->task;
    return index >= 0 ? (uint32_t)index : 0;
}

/* What the job says for a branch point or a tunable; PX_NUMBER_DEFAULT: nothing. */
static int32_t set_number (const pxi_pool *pool, const char *name)
{
    for (uint32_t i = 0; i < pool->config.n_points; i++) {
        if (!strcmp (pool->config.points[i], name))
            return pool->config.numbers[i];
    }
    return PX_NUMBER_DEFAULT;
}

int32_t pxi_pool_number (const pxi_pool *pool, const char *point, bool *rises)
{
    int32_t set = set_number (pool, point);
    if (rises)
        *rises = set < 0 && pool->config.default_rises;
    return set < 0 ? pool->config.branch_number : set;
}

static void reset_branch (pxi_open_branch *branch)
{
    pxi_item **items = branch->items;
    size_t room = branch->items_room;
    *branch = (pxi_open_branch){
        .generation = branch->generation, .all = branch->all, .items = items, .items_room = room};
    pxi_list_init (&branch->exported);
    pxi_list_init (&branch->in_away);
}

static pxi_open_branch *make_branch (pxi_pool *pool)
{
    pxi_open_branch *branch = calloc (1, sizeof *branch);
    if (!branch)
        return NULL;
    branch->all = atomic_load_explicit (&pool->all_branches, memory_order_relaxed);
    while (!atomic_compare_exchange_weak (&pool->all_branches, &branch->all, branch))
        ;
    return branch;
}

pxi_open_branch *pxi_pool_branch (pxi_pool *pool, pxi_thread *thread)
{
    pxi_open_branch *branch = thread->branches;
    if (branch) {
        thread->branches = branch->next;
    } else if (!(branch = make_branch (pool))) {
        return NULL;
    }
    reset_branch (branch);
    return branch;
}

/* Branches are never freed while the pool lives, so a thread keeps all that end on it. */
void pxi_pool_branch_free (pxi_thread *thread, pxi_open_branch *branch)
{
    if (branch->items_room > BRANCH_ITEMS_KEPT) {
        free (branch->items);
        branch->items = NULL;
        branch->items_room = 0;
    }
    pxi_bytes_release (branch->shared);
    branch->shared = NULL;
    branch->next = thread->branches;
    thread->branches = branch;
}

/* ---- alerts -----------------------------------------------------------------------------------
 */

/* With the lock, but for setting ALERT_CANCELLED. The pool's own word comes first: a thread that starts
 * is counted before it takes over what is there. */
static void set_alert (pxi_pool *pool, uint32_t alert, bool on)
{
    if (on)
        atomic_fetch_or (&pool->alerts, alert);
    else
        atomic_fetch_and (&pool->alerts, ~alert);
    uint32_t n = atomic_load (&pool->n_threads);
    for (uint32_t i = 0; i < n; i++)
        pxi_deque_note (&pool->threads[i].deque, alert, on);
}

/* With the lock. */
static void change_alert (pxi_pool *pool, uint32_t alert, bool on)
{
    if (!(atomic_load (&pool->alerts) & alert) == on)
        set_alert (pool, alert, on);
}

/* ---- notices (with the lock) ------------------------------------------------------------------
 */

void pxi_pool_notify (pxi_pool *pool, pxi_notice *notice)
{
    pool->config.notify (pool->config.notify_context, notice);
}

static uint32_t waiting_in_deques (const pxi_pool *pool)
{
    uint64_t n = atomic_load (&pool->n_side);
    uint32_t n_threads = atomic_load (&pool->n_threads);
    for (uint32_t i = 0; i < n_threads; i++)
        n += (uint64_t)pxi_deque_size (&pool->threads[i].deque);
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* That others could have. */
static uint32_t takeable (const pxi_pool *pool)
{
    uint32_t n = waiting_in_deques (pool), chunks = pxi_chunks_waiting (pool);
    return n < UINT32_MAX - chunks ? n + chunks : UINT32_MAX;
}

/* Something was told to wait, and does not. Of ranges more is told than that: chunks.c does. */
static bool is_none_told (pxi_pool *pool)
{
    if (atomic_load (&pool->alerts) & ALERT_SURPLUS || !pxi_list_is_empty (&pool->ranges) ||
        takeable (pool))
        return false;
    change_alert (pool, ALERT_SURPLUS, true);
    return true;
}

static void tell_active (pxi_pool *pool)
{
    if (pool->told_active == pool->active && pool->told_wanted == pool->wanted &&
        pool->told_started == pool->n_started)
        return;
    pool->told_active = pool->active;
    pool->told_wanted = pool->wanted;
    pool->told_started = pool->n_started;
    pxi_notice notice = {.kind = PXI_NOTE_ACTIVE,
                         .count = pool->active,
                         .wanted = pool->wanted,
                         .done = is_none_told (pool),
                         .runs = pool->n_started};
    pxi_pool_notify (pool, &notice);
}

void pxi_pool_tell_surplus (pxi_pool *pool)
{
    if (atomic_load (&pool->alerts) & ALERT_SURPLUS && takeable (pool))
        pxi_pool_tell_ranges (pool);
}

/* Who was told that something waits would wait for it, too. */
void pxi_pool_tell_none (pxi_pool *pool)
{
    if (!(atomic_load (&pool->alerts) & ALERT_SURPLUS) && !takeable (pool))
        pxi_pool_tell_ranges (pool);
}

void pxi_pool_tell_ranges (pxi_pool *pool)
{
    pxi_notice notice = {.kind = PXI_NOTE_SURPLUS, .count = takeable (pool)};
    change_alert (pool, ALERT_SURPLUS, !notice.count);
    pxi_chunks_tell (pool, &notice);
    pxi_pool_notify (pool, &notice);
}

/* ---- waking (with the lock) -------------------------------------------------------------------
 */

static void set_wakeable (pxi_pool *pool)
{
    bool sleeper =
        pool->n_sleeping > pool->n_waking || atomic_load (&pool->n_threads) < pool->config.slots;
    bool useful = pool->active + pool->n_waking + pool->n_starting < pool->allowed || !pool->wanted;
    change_alert (pool, ALERT_WAKEABLE, sleeper && useful && !pool->closing);
}

static void *thread_main (void *argument);

static void start_thread (pxi_pool *pool)
{
    uint32_t n = atomic_load (&pool->n_threads);
    pxi_thread *thread = &pool->threads[n];
    if (n == pool->config.slots || !pxi_deque_init (&thread->deque, pool->fences))
        return;
    thread->pool = pool;
    thread->number = n;
    thread->look_every = thread->n_until_look = thread->counted_from = 1;
    thread->n_until_timed = thread->timed_every = 1;
    thread->chance = 0x9e3779b97f4a7c15u * (n + 1);
    atomic_store (&pool->n_threads, n + 1);
    pxi_deque_note (&thread->deque, atomic_load (&pool->alerts), true);
    pool->n_starting++;
    if (pthread_create (&thread->thread, NULL, thread_main, thread) != 0) {
        atomic_store (&pool->n_threads, n);
        pool->n_starting--;
        pxi_deque_fini (&thread->deque);
    }
}

/* There is work: another thread, if one may execute; else say that one is wanted. */
void pxi_pool_wake (pxi_pool *pool)
{
    if (pool->active + pool->n_waking + pool->n_starting < pool->allowed) {
        if (pool->n_sleeping > pool->n_waking) {
            pool->n_waking++;
            pthread_cond_signal (&pool->wake);
        } else {
            start_thread (pool);
        }
    } else if (pool->active + pool->n_waking + pool->n_starting < pool->config.slots &&
               !pool->wanted) {
        pool->wanted = pool->config.slots - pool->active;
        tell_active (pool);
    }
    set_wakeable (pool);
}

void pxi_pool_alerted (pxi_pool *pool, pxi_thread *thread)
{
    uint32_t alerts = atomic_load_explicit (&pool->alerts, memory_order_relaxed);
    if (pxi_deque_has_note (&thread->deque, PXI_DEQUE_ASKED) || (alerts & ALERT_WAKEABLE))
        pxi_deque_offer (&thread->deque);
    if (!(alerts & ALERTS_OF_PUSH))
        return;
    pthread_mutex_lock (&pool->lock);
    if (alerts & ALERT_WAKEABLE)
        pxi_pool_wake (pool);
    if (alerts & ALERT_SURPLUS)
        pxi_pool_tell_surplus (pool);
    pthread_mutex_unlock (&pool->lock);
}

void pxi_pool_make_ready (pxi_pool *pool, pxi_fiber *fiber)
{
    fiber->next = NULL;
    if (pool->ready_last)
        pool->ready_last->next = fiber;
    else
        pool->ready_first = fiber;
    pool->ready_last = fiber;
    atomic_fetch_add (&pool->n_ready, 1);
    pxi_pool_wake (pool);
}

/* ---- ends of subtasks -------------------------------------------------------------------------
 */

uintptr_t pxi_pool_push_done (_Atomic uintptr_t *done, pxi_item *item)
{
    uintptr_t old = atomic_load_explicit (done, memory_order_relaxed);
    do
        item->next = (pxi_item *)(old & ~WAITING);
    while (!atomic_compare_exchange_weak_explicit (done, &old, (uintptr_t)item,
                                                   memory_order_acq_rel, memory_order_relaxed));
    return old;
}

/* From any thread. The item and its branch may be gone the moment it is known to be done, so the fiber
 * is read before: it is the owner's for as long as that lives. */
void pxi_pool_complete (pxi_item *item)
{
    pxi_fiber *fiber = item->owner->fiber;
    pxi_pool *pool = fiber->pool;
    uintptr_t old = item->typed
                        ? atomic_exchange_explicit (&item->done, SPAWNED_DONE, memory_order_acq_rel)
                        : pxi_pool_push_done (&item->branch->done, item);
    if (!(old & WAITING))
        return;
    pthread_mutex_lock (&pool->lock);
    pxi_pool_make_ready (pool, fiber);
    pthread_mutex_unlock (&pool->lock);
}

static void complete_all (pxi_item *items)
{
    while (items) {
        pxi_item *next = items->next;
        pxi_pool_complete (items);
        items = next;
    }
}

static void run_free (pxi_pool_run *run)
{
    pxi_bytes_release (run->shared);
    free (run->shares);
    free (run->points);
    pxi_failures_fini (&run->notes);
    free (run);
}

static void add_own_share (pxi_pool *pool, const pxi_pool_run *run, px_job_share *shares, size_t *n)
{
    px_job_share own = {.peer_id = pool->config.peer_id,
                        .subtasks = atomic_load (&run->n_done),
                        .work_ns = atomic_load (&run->slot_ns)};
    strncpy (own.peer_name, pool->config.peer_name, sizeof own.peer_name - 1);
    pxi_shares_add (shares, n, &own, 1);
}

/* NULL where the outcome speaks for itself (port.h). Notes come behind what failed. */
static pxi_bytes *encode_chain (pxi_pool *pool, pxi_pool_run *run, pxi_failures *failures)
{
    bool alone = !run->n_shares && !run->n_points && atomic_load (&run->n_done) == 1;
    if (alone && !failures->n && !failures->n_dropped && !run->notes.n)
        return NULL;
    pxi_failures_append (failures, &run->notes, 0);
    px_job_share *shares = malloc (PXI_SHARES_MAX * sizeof *shares);
    if (!shares)
        return NULL;
    size_t n = run->n_shares;
    if (n)
        memcpy (shares, run->shares, n * sizeof *shares);
    add_own_share (pool, run, shares, &n);
    pxi_chain chain = {.failures = failures->items,
                       .n_failures = failures->n,
                       .n_failures_dropped = failures->n_dropped,
                       .shares = shares,
                       .n_shares = n,
                       .points = run->points,
                       .n_points = run->n_points};
    pxi_bytes *bytes = pxi_chain_encode (&chain);
    free (shares);
    return bytes;
}

static pxi_bytes *result_bytes (const pxi_item *item)
{
    if (item->code != PX_OK || !item->result_size)
        return NULL;
    return item->result ? pxi_bytes_acquire (item->result)
                        : pxi_bytes_copy (item->inline_result, item->result_size);
}

static void maybe_closed (pxi_pool *pool)
{
    if (!pool->close_asked || pool->closed_told || !pxi_list_is_empty (&pool->runs))
        return;
    pool->closing = true;
    pthread_cond_broadcast (&pool->wake);
    if (pool->active || pool->n_sleeping || pool->n_starting)
        return;
    pool->closed_told = true;
    pxi_notice notice = {.kind = PXI_NOTE_CLOSED};
    pxi_pool_notify (pool, &notice);
}

/* A run that was stopped, or whose pool closed under it, has not failed: whoever still wants it does it
 * again elsewhere. */
static pxi_result result_of (const pxi_item *item)
{
    if (item->code == PX_OK)
        return PXI_RESULT_OK;
    return atomic_load (&item->run->stopped) ? PXI_RESULT_LOST : PXI_RESULT_FAILED;
}

static void count_cancel (pxi_pool *pool, pxi_pool_run *run)
{
    atomic_fetch_add (&run->cancels, 1);
    set_alert (pool, ALERT_CANCELLED, true);
}

void pxi_pool_cancelled (pxi_pool *pool, pxi_pool_run *run)
{
    count_cancel (pool, run);
    if (!atomic_load (&pool->range_events))
        return; /* there was never a range */
    pthread_mutex_lock (&pool->lock);
    pxi_ranges_poke (pool, run);
    pthread_mutex_unlock (&pool->lock);
}

/* With the lock, when a run is over: are there others of which something was cancelled? A count that rises
 * meanwhile sets the alert after this clears it. */
static void look_for_cancelled (pxi_pool *pool)
{
    bool any = false;
    set_alert (pool, ALERT_CANCELLED, false);
    PXI_LIST_EACH (link, &pool->runs)
    any |= atomic_load (&PXI_LIST_ENTRY (link, pxi_pool_run, in_pool)->cancels) > 0;
    if (any)
        set_alert (pool, ALERT_CANCELLED, true);
}

static void run_finished (pxi_pool *pool, pxi_item *item)
{
    pxi_pool_run *run = item->run;
    pthread_mutex_lock (&pool->lock);
    pxi_notice notice = {.kind = PXI_NOTE_FINISHED,
                         .run = run->id,
                         .run_ns = atomic_load (&run->slot_ns),
                         .result = result_of (item),
                         .more = pool->expects || atomic_load (&pool->n_queued) > 0};
    notice.outcome.code = item->code;
    notice.outcome.value = result_bytes (item);
    notice.outcome.chain = encode_chain (pool, run, &item->failures);
    pxi_list_remove (&run->in_pool);
    if (atomic_load (&run->cancels))
        look_for_cancelled (pool);
    pxi_pool_notify (pool, &notice);
    maybe_closed (pool);
    pthread_mutex_unlock (&pool->lock);
    pxi_item_free (pxi_thread_self (), item);
    run_free (run);
}

/* ---- fibers -----------------------------------------------------------------------------------
 */

static void fiber_main (void *argument)
{
    pxi_context_entered ();
    pxi_fiber *fiber = argument;
    for (;;) {
        pxi_task_execute (fiber, fiber->item);
        pxi_thread *thread = fiber->thread;
        thread->after = AFTER_END;
        /* The fiber may be given another item: then it goes on here, on the same stack. */
        pxi_context_switch (&fiber->context, &thread->context, false);
    }
}

static pxi_fiber *kept_fiber (pxi_thread *thread)
{
    pxi_pool *pool = thread->pool;
    pxi_fiber *fiber = thread->fiber;
    thread->fiber = NULL;
    if (fiber)
        return fiber;
    pthread_mutex_lock (&pool->lock);
    fiber = pool->fibers;
    if (fiber) {
        pool->fibers = fiber->next;
        pool->n_fibers--;
    }
    pthread_mutex_unlock (&pool->lock);
    return fiber;
}

static pxi_fiber *fiber_make (pxi_pool *pool)
{
    pxi_fiber *fiber = calloc (1, sizeof *fiber);
    pxi_stack *stack = fiber && begin_row (fiber) ? pxi_stack_new (pool->config.stack_size) : NULL;
    if (!stack) {
        free (fiber ? fiber->row : NULL);
        free (fiber);
        return NULL;
    }
    size_t input_max = pool->config.input_size_max;
    fiber->stack = stack;
    fiber->pool = pool;
    fiber->low = stack->low + stack->size / 2;
    fiber->inline_max = input_max < ITEM_INPUT_INLINE ? input_max : ITEM_INPUT_INLINE;
    fiber->usual = input_max < sizeof (uint64_t) ? UINT32_MAX : sizeof (uint64_t);
    pxi_context_make (&fiber->context, stack, fiber_main, fiber);
    return fiber;
}

static pxi_fiber *fiber_new (pxi_thread *thread, pxi_item *item)
{
    pxi_fiber *fiber = kept_fiber (thread);
    if (!fiber && !(fiber = fiber_make (thread->pool)))
        return NULL;
    fiber->item = item;
    fiber->run = pxi_item_run (item);
    return fiber;
}

static void fiber_destroy (pxi_fiber *fiber)
{
    pxi_context_fini (&fiber->context);
    pxi_stack_free (fiber->stack);
    free_row (fiber->row);
    free (fiber);
}

static void fiber_release (pxi_thread *thread, pxi_fiber *fiber)
{
    pxi_pool *pool = thread->pool;
    if (fiber->n_row > ROW_KEPT)
        shorten_row (fiber, thread);
    if (!thread->fiber) {
        thread->fiber = fiber;
        return;
    }
    pthread_mutex_lock (&pool->lock);
    bool keep = pool->n_fibers < FIBERS_CACHED;
    if (keep) {
        fiber->next = pool->fibers;
        pool->fibers = fiber;
        pool->n_fibers++;
    }
    pthread_mutex_unlock (&pool->lock);
    if (!keep)
        fiber_destroy (fiber);
}

static void leave (px_task *task, pxi_after after)
{
    pxi_thread *thread = task->fiber->thread;
    thread->after = after;
    task->fiber->n_left++;
    pxi_context_switch (&task->fiber->context, &thread->context, false);
}

void pxi_pool_yield (px_task *task)
{
    leave (task, AFTER_YIELD);
}

void pxi_pool_wait (px_task *task, _Atomic uintptr_t *word)
{
    task->fiber->thread->after_word = word;
    leave (task, AFTER_WAIT);
}

void pxi_pool_sleep (px_task *task, uint64_t until_ns)
{
    task->fiber->thread->after_ns = until_ns;
    leave (task, AFTER_SLEEP);
}

/* ---- what a fiber asked for when it left ------------------------------------------------------
 */

static void park_on (pxi_pool *pool, pxi_fiber *fiber, _Atomic uintptr_t *word)
{
    uintptr_t none = 0;
    if (atomic_compare_exchange_strong (word, &none, WAITING))
        return;
    pthread_mutex_lock (&pool->lock);
    pxi_pool_make_ready (pool, fiber); /* something ended meanwhile */
    pthread_mutex_unlock (&pool->lock);
}

static void update_next_sleep (pxi_pool *pool)
{
    atomic_store (&pool->next_sleep_ns, pxi_heap_deadline (&pool->sleepers));
}

static void park_asleep (pxi_pool *pool, pxi_fiber *fiber, uint64_t until_ns)
{
    pthread_mutex_lock (&pool->lock);
    bool stopped = atomic_load (&fiber->run->stopped);
    if (stopped ||
        !pxi_heap_add (&pool->sleepers, &fiber->sleep, until_ns, ++pool->sleep_sequence)) {
        pxi_pool_make_ready (pool, fiber);
    } else {
        update_next_sleep (pool);
        pthread_cond_broadcast (&pool->wake); /* those who sleep must know the earlier deadline */
    }
    pthread_mutex_unlock (&pool->lock);
}

static void wake_sleepers (pxi_pool *pool, uint64_t now_ns)
{
    for (pxi_heap_node *node;
         (node = pxi_heap_first (&pool->sleepers)) && node->deadline <= now_ns;) {
        pxi_heap_remove (&pool->sleepers, node);
        pxi_pool_make_ready (pool, PXI_LIST_ENTRY (node, pxi_fiber, sleep));
    }
    update_next_sleep (pool);
}

static void tell_progress (pxi_pool *pool, pxi_pool_run *run, uint64_t now_ns)
{
    uint64_t told_ns = atomic_load_explicit (&run->told_ns, memory_order_relaxed);
    if (now_ns - told_ns < PROGRESS_NS ||
        !atomic_compare_exchange_strong (&run->told_ns, &told_ns, now_ns))
        return;
    pxi_notice notice = {.kind = PXI_NOTE_PROGRESS,
                         .run = run->id,
                         .done = atomic_load (&run->n_done) + atomic_load (&run->n_remote),
                         .known = atomic_load (&run->n_known)};
    pthread_mutex_lock (&pool->lock);
    pxi_pool_notify (pool, &notice);
    pthread_mutex_unlock (&pool->lock);
}

/* Before the fiber can be seen by others: its run may end with it. */
static void account (pxi_thread *thread, pxi_pool_run *run, uint64_t now_ns)
{
    atomic_fetch_add_explicit (&run->slot_ns, now_ns - thread->began_ns, memory_order_relaxed);
    thread->began_ns = now_ns;
    uint32_t n_called = thread->counted_from - thread->n_until_look;
    uint64_t n_known = thread->n_known + n_called, n_done = thread->n_done + n_called;
    if (n_known)
        atomic_fetch_add_explicit (&run->n_known, n_known, memory_order_relaxed);
    if (n_done)
        atomic_fetch_add_explicit (&run->n_done, n_done, memory_order_relaxed);
    thread->n_known = thread->n_done = 0;
    thread->counted_from = thread->n_until_look;
    tell_progress (thread->pool, run, now_ns);
}

/* As often as LOOK_NS says, whatever a subtask takes: by counting, since the clock costs more than many a
 * subtask. */
void pxi_pool_look (pxi_fiber *fiber)
{
    pxi_thread *thread = fiber->thread;
    uint64_t now_ns = pxi_clock_ns (), passed_ns = now_ns - thread->began_ns;
    if (passed_ns < LOOK_NS / 2 && thread->look_every < LOOK_EVERY_MAX)
        thread->look_every *= 2;
    else if (passed_ns > LOOK_NS && thread->look_every > 1)
        thread->look_every /= 2;
    account (thread, fiber->run, now_ns);
    thread->n_until_look = thread->counted_from = thread->look_every;
}

void pxi_pool_tell_duration (pxi_pool *pool, const pxi_item *item, uint64_t began_ns,
                             uint64_t ended_ns, bool nests)
{
    uint64_t told_ns = atomic_load_explicit (&pool->told_duration_ns, memory_order_relaxed);
    if (ended_ns - told_ns < DURATIONS_NS ||
        !atomic_compare_exchange_strong (&pool->told_duration_ns, &told_ns, ended_ns))
        return;
    pxi_notice notice = {.kind = PXI_NOTE_DURATION,
                         .task = pxi_pool_task_of (pool, item),
                         .run_ns = ended_ns - began_ns,
                         .token = pxi_task_declared (pool, item).work,
                         .branch = pxi_task_declared (pool, item).result_bytes,
                         .done = item->input_size,
                         .known = item->result_size,
                         .count = nests};
    pthread_mutex_lock (&pool->lock);
    pxi_pool_notify (pool, &notice);
    pthread_mutex_unlock (&pool->lock);
}

static void end_item (pxi_pool *pool, pxi_item *item)
{
    if (!item->owner) {
        run_finished (pool, item);
        return;
    }
    if (pxi_item_is_chunk (item))
        pxi_chunk_ended_here (pool, item);
    pxi_pool_complete (item);
}

void pxi_pool_tell_nests (pxi_pool *pool, const pxi_item *item)
{
    pxi_notice notice = {
        .kind = PXI_NOTE_DURATION, .task = pxi_pool_task_of (pool, item), .count = 1};
    _Atomic bool *told = &pool->nests[notice.task];
    if (atomic_load_explicit (told, memory_order_relaxed) || atomic_exchange (told, true))
        return;
    pthread_mutex_lock (&pool->lock);
    pxi_pool_notify (pool, &notice);
    pthread_mutex_unlock (&pool->lock);
}

static void ended (pxi_thread *thread, pxi_fiber *fiber)
{
    pxi_item *item = fiber->item;
    fiber->item = NULL;
    fiber_release (thread, fiber);
    end_item (thread->pool, item);
}

static void resume (pxi_thread *thread, pxi_fiber *fiber)
{
    pxi_pool *pool = thread->pool;
    thread->began_ns = pxi_clock_ns ();
    thread->current = fiber;
    fiber->thread = thread;
    thread->after = AFTER_NOTHING;
    pxi_context_switch (&thread->context, &fiber->context, false);
    thread->current = NULL;
    account (thread, fiber->run, pxi_clock_ns ());
    switch (thread->after) {
    case AFTER_WAIT:
        park_on (pool, fiber, thread->after_word);
        break;
    case AFTER_YIELD:
        pthread_mutex_lock (&pool->lock);
        pxi_pool_make_ready (pool, fiber);
        pthread_mutex_unlock (&pool->lock);
        break;
    case AFTER_SLEEP:
        park_asleep (pool, fiber, thread->after_ns);
        break;
    case AFTER_END:
        ended (thread, fiber);
        break;
    case AFTER_NOTHING:
        PXI_ASSERT (!"a fiber left without saying why");
    }
}

/* ---- finding work -----------------------------------------------------------------------------
 */

static pxi_item *list_pop (pxi_item **first, pxi_item **last)
{
    pxi_item *item = *first;
    if (!item)
        return NULL;
    *first = item->next;
    if (!*first)
        *last = NULL;
    item->next = NULL;
    return item;
}

static void list_append (pxi_item **first, pxi_item **last, pxi_item *item)
{
    item->next = NULL;
    if (*last)
        (*last)->next = item;
    else
        *first = item;
    *last = item;
}

static pxi_fiber *pop_ready (pxi_pool *pool)
{
    if (!atomic_load (&pool->n_ready))
        return NULL;
    pthread_mutex_lock (&pool->lock);
    pxi_fiber *fiber = pool->ready_first;
    if (fiber) {
        pool->ready_first = fiber->next;
        if (!pool->ready_first)
            pool->ready_last = NULL;
        atomic_fetch_sub (&pool->n_ready, 1);
    }
    pthread_mutex_unlock (&pool->lock);
    return fiber;
}

static pxi_item *pop_side_or_queued (pxi_pool *pool)
{
    if (!atomic_load (&pool->n_side) && !atomic_load (&pool->n_queued))
        return NULL;
    pthread_mutex_lock (&pool->lock);
    pxi_item *item = list_pop (&pool->side_first, &pool->side_last);
    if (item) {
        atomic_fetch_sub (&pool->n_side, 1);
    } else if ((item = list_pop (&pool->queued_first, &pool->queued_last))) {
        atomic_fetch_sub (&pool->n_queued, 1);
        pool->n_started++;
        tell_active (pool);
    }
    pthread_mutex_unlock (&pool->lock);
    return item;
}

static uint64_t chance (pxi_thread *thread)
{
    thread->chance ^= thread->chance << 13;
    thread->chance ^= thread->chance >> 7;
    thread->chance ^= thread->chance << 17;
    return thread->chance;
}

/* First of what is public; later, `force`, of what others keep for themselves too. */
static pxi_item *steal (pxi_thread *thread, bool force)
{
    pxi_pool *pool = thread->pool;
    uint32_t n = atomic_load (&pool->n_threads);
    uint32_t from = (uint32_t)(chance (thread) % n);
    for (uint32_t i = 0; i < n; i++) {
        pxi_thread *victim = &pool->threads[(from + i) % n];
        bool lost;
        pxi_item *item = victim != thread ? pxi_deque_steal (&victim->deque, force, &lost) : NULL;
        if (item)
            return item;
    }
    return NULL;
}

static pxi_item *find_item (pxi_thread *thread, bool force)
{
    pxi_item *item = pxi_deque_pop (&thread->deque);
    if (!item)
        item = pop_side_or_queued (thread->pool);
    if (!item)
        item = steal (thread, force);
    return item ? item : pxi_chunk_here (thread, NULL, NULL);
}

/* No stack to be had: the subtask fails, the rest goes on. */
static void fail_without_stack (pxi_pool *pool, pxi_item *item)
{
    item->code = PX_ENOMEM;
    px_failure failure = {.code = PX_ENOMEM,
                          .index = item->index,
                          .task = pool->config.task_names[pxi_pool_task_of (pool, item)],
                          .peer = pool->config.peer_name,
                          .message = "no memory for the task's stack"};
    pxi_failures_add (&item->failures, &failure, 0);
    end_item (pool, item);
}

static bool execute_one (pxi_thread *thread, bool force)
{
    pxi_pool *pool = thread->pool;
    pxi_fiber *fiber = pop_ready (pool);
    if (!fiber) {
        pxi_item *item = find_item (thread, force);
        if (!item)
            return false;
        fiber = fiber_new (thread, item);
        if (!fiber) {
            fail_without_stack (pool, item);
            return true;
        }
    }
    resume (thread, fiber);
    return true;
}

/* ---- slots and sleep --------------------------------------------------------------------------
 */

static void set_over (pxi_pool *pool)
{
    change_alert (pool, ALERT_OVER, pool->active > pool->allowed);
}

static bool anything_ready (const pxi_pool *pool)
{
    return atomic_load (&pool->n_ready) || atomic_load (&pool->n_queued) ||
           waiting_in_deques (pool);
}

static bool anything_to_do (const pxi_pool *pool)
{
    return anything_ready (pool) || pxi_chunks_for_slots (pool);
}

static void sleep_a_while (pxi_pool *pool)
{
    uint64_t until_ns = atomic_load (&pool->next_sleep_ns);
    if (until_ns == UINT64_MAX) {
        pthread_cond_wait (&pool->wake, &pool->lock);
        return;
    }
    struct timespec until = pxi_clock_timespec (until_ns);
    pthread_cond_timedwait (&pool->wake, &pool->lock, &until);
}

/* Where no range had a chunk for it, a thread does not ask before something has happened. */
static bool can_execute (pxi_pool *pool, const pxi_thread *thread)
{
    wake_sleepers (pool, pxi_clock_ns ());
    if (pool->active >= pool->allowed)
        return false;
    bool ask = thread->refused_at != atomic_load (&pool->range_events);
    return ask ? anything_to_do (pool) : anything_ready (pool);
}

/* More threads would find something, if they were allowed to. */
static bool is_short (const pxi_pool *pool)
{
    if (pool->wanted || pool->active >= pool->config.slots)
        return false;
    return anything_ready (pool) || (pool->active >= pool->allowed && pxi_chunks_for_slots (pool));
}

/* Until there is work and a slot for it, or the pool closes. With the lock; takes the slot. */
static bool wait_for_work (pxi_pool *pool, const pxi_thread *thread)
{
    pool->n_sleeping++;
    for (;;) {
        set_wakeable (pool);
        pxi_barrier_heavy (); /* what is pushed from here on is pushed with the alert seen */
        if (pool->closing || can_execute (pool, thread))
            break;
        if (is_short (pool)) {
            pool->wanted = pool->config.slots - pool->active;
            tell_active (pool);
        }
        sleep_a_while (pool);
        if (pool->n_waking)
            pool->n_waking--;
    }
    pool->n_sleeping--;
    if (pool->n_waking > pool->n_sleeping)
        pool->n_waking = pool->n_sleeping; /* it was this one that was meant */
    if (!pool->closing) {
        pool->active++;
        pool->wanted = 0;
        set_over (pool);
        tell_active (pool);
    }
    set_wakeable (pool);
    return !pool->closing;
}

static void give_slot_up (pxi_pool *pool)
{
    pool->active--;
    pool->wanted = pool->active < pool->allowed || !anything_to_do (pool)
                       ? 0
                       : pool->config.slots - pool->active;
    set_over (pool);
    tell_active (pool);
    pxi_pool_tell_surplus (pool);
}

static bool due (const pxi_pool *pool)
{
    uint64_t next_ns = atomic_load_explicit (&pool->next_sleep_ns, memory_order_relaxed);
    return next_ns != UINT64_MAX && next_ns <= pxi_clock_ns ();
}

static void work (pxi_thread *thread)
{
    pxi_pool *pool = thread->pool;
    for (uint32_t spins = 0; spins < SPINS && !pxi_pool_over (pool);) {
        if (due (pool)) {
            pthread_mutex_lock (&pool->lock);
            wake_sleepers (pool, pxi_clock_ns ());
            pthread_mutex_unlock (&pool->lock);
        }
        if (execute_one (thread, spins >= SPINS_ASKING)) {
            spins = 0;
            continue;
        }
        spins++;
        sched_yield ();
    }
}

static void free_kept (pxi_thread *thread)
{
    trim_items (thread, 0);
    if (thread->fiber)
        fiber_destroy (thread->fiber);
    thread->fiber = NULL;
}

static void *thread_main (void *argument)
{
    pxi_thread *thread = argument;
    pxi_pool *pool = thread->pool;
    self = thread;
    pxi_context_thread (&thread->context);
    if (pool->config.thread_begin)
        pool->config.thread_begin (pool->config.thread_context);
    pthread_mutex_lock (&pool->lock);
    pool->n_starting--;
    while (wait_for_work (pool, thread)) {
        pthread_mutex_unlock (&pool->lock);
        work (thread);
        trim_items (thread, ITEMS_CACHED);
        pthread_mutex_lock (&pool->lock);
        give_slot_up (pool);
    }
    maybe_closed (pool);
    pthread_mutex_unlock (&pool->lock);
    if (pool->config.thread_end)
        pool->config.thread_end (pool->config.thread_context);
    free_kept (thread);
    return NULL;
}

/* ---- account of branch points (with the lock) -------------------------------------------------
 */

static void merge_points (pxi_pool_run *run, const px_job_point *points, size_t n)
{
    if (n && !run->points)
        run->points = malloc (PXI_POINTS_MAX * sizeof *run->points);
    if (run->points)
        pxi_points_add (run->points, &run->n_points, points, n);
}

/* ---- handing over (with the lock) -------------------------------------------------------------
 */

/* The branch point of what a task spawns is the subtask's full name. */
static void name_of_spawned (const pxi_pool *pool, const pxi_item *item,
                             char name[PX_POINT_SIZE_MAX + 1])
{
    snprintf (name, PX_POINT_SIZE_MAX + 1, "%s.%s", pool->config.module_name, item->typed->name);
}

static int32_t number_of_spawned (const pxi_pool *pool, const pxi_item *item, bool *rises)
{
    char point[PX_POINT_SIZE_MAX + 1];
    if (pxi_pool_task_index (pool, item->typed->function) < 0)
        return 0; /* not registered: nobody else would know it */
    name_of_spawned (pool, item, point);
    return pxi_pool_number (pool, point, rises);
}

/* Empty: a name that is too long to be given a number. */
static void name_of_point (const pxi_pool *pool, const pxi_item *item,
                           const pxi_open_branch *branch, char name[PX_POINT_SIZE_MAX + 1])
{
    name[0] = 0;
    if (!branch->point)
        name_of_spawned (pool, item, name);
    else if (strlen (branch->point) <= PX_POINT_SIZE_MAX)
        strcpy (name, branch->point);
}

/* By which the core knows branches of one point: their numbers adapt together. */
static uint64_t id_of_point (const pxi_pool *pool, const pxi_item *item,
                             const pxi_open_branch *branch)
{
    char name[PX_POINT_SIZE_MAX + 1];
    uint64_t id = 0;
    name_of_point (pool, item, branch, name);
    for (const char *at = name; *at && !pool->config.fixed_numbers; at++)
        id = pxi_mix64 (id ^ (unsigned char)*at);
    return id;
}

/* Into the run's account of branch points. Of one without a name nothing is told. */
static void count_point (const pxi_pool *pool, const pxi_item *item, const pxi_open_branch *branch,
                         px_job_point counts)
{
    pxi_pool_run *run = pxi_item_run (item);
    name_of_point (pool, item, branch, counts.point);
    counts.number = branch->number;
    counts.fixed = branch->fixed;
    if (counts.point[0])
        merge_points (run, &counts, 1);
}

/* Once for each name, with the run that asks first. */
static void tell_tunable (pxi_pool *pool, pxi_pool_run *run, const char *name, uint64_t value)
{
    uint64_t id = pxi_mix64 (1);
    for (const char *at = name; *at; at++)
        id = pxi_mix64 (id ^ (unsigned char)*at);
    for (int i = 0; i < PXI_TUNABLES_MAX; i++) {
        uint64_t told = 0;
        if (atomic_compare_exchange_strong (&pool->tunables[i], &told, id)) {
            px_job_point point = {.number = (int32_t)value, .tunable = 1};
            snprintf (point.point, sizeof point.point, "%s", name);
            pthread_mutex_lock (&pool->lock);
            merge_points (run, &point, 1);
            pthread_mutex_unlock (&pool->lock);
            return;
        }
        if (told == id)
            return;
    }
}

uint64_t px_tunable (px_task *task, const char *name, uint64_t standard)
{
    pxi_pool *pool = task->fiber->pool;
    size_t size = name ? strlen (name) : 0;
    if (!size || size > PX_POINT_SIZE_MAX || !standard || standard > PX_TUNABLE_MAX)
        return standard;
    int32_t set = set_number (pool, name);
    uint64_t value = set > 0 ? (uint64_t)set : standard;
    tell_tunable (pool, pxi_item_run (task->item), name, value);
    return value;
}

static bool branch_allows (const pxi_open_branch *branch)
{
    return branch->number > 0 && !atomic_load (&branch->capped) &&
           !atomic_load (&branch->cancelled);
}

static bool may_leave (const pxi_pool *pool, const pxi_item *item)
{
    if (atomic_load (&pxi_item_run (item)->stopped) || atomic_load (&item->cancelled))
        return false;
    if (!item->typed)
        return branch_allows (item->branch);
    const pxi_open_branch *away = atomic_load (&item->owner->item->away);
    return away ? branch_allows (away) : number_of_spawned (pool, item, NULL) > 0;
}

/* What a task spawned has a branch only from here on. */
static pxi_open_branch *branch_of (pxi_pool *pool, const pxi_item *item)
{
    if (!item->typed)
        return item->branch;
    px_task *owner = item->owner;
    pxi_open_branch *branch = atomic_load (&owner->item->away);
    if (branch)
        return branch;
    branch = pool->free_branches;
    if (branch)
        pool->free_branches = branch->next;
    else if (!(branch = make_branch (pool)))
        return NULL;
    reset_branch (branch);
    branch->task = owner;
    branch->number = number_of_spawned (pool, item, &branch->rises);
    atomic_store (&owner->item->away, branch);
    return branch;
}

/* It gets an id, and a place among those that commands may name. */
static bool name_branch (pxi_pool *pool, pxi_open_branch *branch, pxi_pool_run *run)
{
    if (atomic_load (&branch->id))
        return true;
    uint64_t id = pool->config.id_base + ++pool->next_id;
    if (!pxi_map_put_pointer (&pool->away, id, branch))
        return false;
    atomic_store (&branch->id, id);
    pxi_list_add_last (&run->away, &branch->in_away);
    return true;
}

static pxi_bytes *input_of (pxi_item *item)
{
    if (!item->input_bytes)
        item->input_bytes =
            pxi_bytes_copy (pxi_item_input (item), item->input_size); /* it stays in place too */
    return pxi_bytes_acquire (item->input_bytes);
}

/* The bytes once for each branch: whoever takes keeps them until it is told that the branch is closed. */
static void hand_over_shared (pxi_open_branch *branch, pxi_taken *taken, pxi_bytes **shared)
{
    taken->attempt.shared.size_bytes = (uint32_t)pxi_bytes_size (branch->shared);
    *shared = branch->shared_told ? NULL : pxi_bytes_acquire (branch->shared);
    branch->shared_told = true;
}

static bool hand_over (pxi_pool *pool, pxi_item *item, pxi_notice *notice)
{
    if (item->typed)
        item->input_size = item->typed->input_size;
    pxi_open_branch *branch = branch_of (pool, item);
    bool is_new = branch && !atomic_load (&branch->id);
    pxi_bytes *input =
        branch && name_branch (pool, branch, pxi_item_run (item)) ? input_of (item) : NULL;
    if (!input)
        return false;
    if (!item->subtask)
        item->subtask = pool->config.id_base + ++pool->next_id;
    if (!pxi_map_put_pointer (&pool->exported, item->subtask, item)) {
        pxi_bytes_release (input);
        return false;
    }
    pxi_list_add_last (&branch->exported, &item->in_exported);
    count_point (pool, item, branch, (px_job_point){.branches = is_new, .offered = 1});
    pxi_taken *taken = &notice->taken[notice->n_taken];
    *taken = (pxi_taken){.subtask = item->subtask,
                         .branch = atomic_load (&branch->id),
                         .point = id_of_point (pool, item, branch),
                         .number = (uint32_t)branch->number,
                         .most = branch->rises ? PXI_NUMBER_RISEN_MAX : 0,
                         .attempts = item->attempts,
                         .crashes = item->crashes};
    taken->attempt.key.subtask = item->subtask;
    taken->attempt.task = pxi_pool_task_of (pool, item);
    taken->declared = pxi_task_declared (pool, item);
    taken->limit_ns = pxi_task_limit_ns (pool, item);
    taken->attempt.size_bytes = (uint32_t)item->input_size;
    taken->attempt.blob = notice->n_taken;
    if (branch->range)
        taken->attempt.n_items = branch->range->cut.chunks[item->index].end -
                                 branch->range->cut.chunks[item->index].begin;
    hand_over_shared (branch, taken, &notice->shared[notice->n_taken]);
    notice->inputs[notice->n_taken++] = input;
    return true;
}

static void side_append (pxi_pool *pool, pxi_item *item)
{
    list_append (&pool->side_first, &pool->side_last, item);
    atomic_fetch_add (&pool->n_side, 1);
}

/* What was given back or set aside is the oldest. */
static void take_side (pxi_pool *pool, pxi_notice *notice, uint32_t count)
{
    uint32_t looks = atomic_load (&pool->n_side);
    looks = looks < TAKE_LOOKS_MAX ? looks : TAKE_LOOKS_MAX;
    while (looks-- && notice->n_taken < count) {
        pxi_item *item = list_pop (&pool->side_first, &pool->side_last);
        atomic_fetch_sub (&pool->n_side, 1);
        if (!may_leave (pool, item) || !hand_over (pool, item, notice))
            side_append (pool, item);
    }
}

/* The oldest of each thread in turn; those that must stay are set aside for local threads. */
static void take_deques (pxi_pool *pool, pxi_notice *notice, uint32_t count)
{
    uint32_t n = atomic_load (&pool->n_threads), looks = 0;
    bool found = true;
    while (found && notice->n_taken < count && looks < TAKE_LOOKS_MAX) {
        found = false;
        for (uint32_t i = 0; i < n && notice->n_taken < count; i++) {
            bool lost;
            pxi_item *item = pxi_deque_steal (&pool->threads[i].deque, true, &lost);
            found |= item || lost;
            looks++;
            if (item && (!may_leave (pool, item) || !hand_over (pool, item, notice)))
                side_append (pool, item);
        }
    }
}

/* Cut for it before; notice NULL: no memory. What is not handed over is `left`, linked. */
static void take_chunks (pxi_pool *pool, const pxi_command *command, pxi_item *chunks,
                         pxi_notice *notice, pxi_item **left)
{
    while (chunks) {
        pxi_item *item = chunks;
        chunks = item->next;
        atomic_fetch_add (&pxi_item_run (item)->n_known, 1);
        if (notice && item->input_bytes && pxi_chunk_may_leave (pool, item, command) &&
            hand_over (pool, item, notice))
            continue;
        pxi_chunk_back (pool, item);
        item->next = *left;
        *left = item;
    }
}

/* Whoever asks for more than there is has been told that there is none, and is told of what comes; a device is told
 * by its range. */
static void tell_again (pxi_pool *pool)
{
    set_alert (pool, ALERT_SURPLUS, true);
    pxi_barrier_heavy ();
    bool pushed_meanwhile = false;
    for (uint32_t i = 0; i < atomic_load (&pool->n_threads); i++)
        pushed_meanwhile |= pxi_deque_size (&pool->threads[i].deque) > 0;
    if (pushed_meanwhile)
        pxi_pool_tell_surplus (pool);
}

/* Chunks that were cut for it, and what there is in the deques. Returns those of them that stay. */
static pxi_item *take (pxi_pool *pool, const pxi_command *command, pxi_item *chunks)
{
    pxi_item *left = NULL;
    uint32_t count = command->count;
    pxi_notice notice = {.kind = PXI_NOTE_TAKEN, .token = command->token};
    notice.taken = calloc (count ? count : 1, sizeof *notice.taken);
    notice.inputs = calloc (count ? count : 1, sizeof (pxi_bytes *));
    notice.shared = calloc (count ? count : 1, sizeof (pxi_bytes *));
    bool has_room = notice.taken && notice.inputs && notice.shared;
    take_chunks (pool, command, chunks, has_room ? &notice : NULL, &left);
    if (has_room && !command->device) {
        take_side (pool, &notice, count);
        take_deques (pool, &notice, count);
    }
    bool fewer = notice.n_taken < count;
    notice.count = fewer && !command->device ? 0 : takeable (pool);
    pxi_pool_notify (pool, &notice);
    if (fewer && !command->device)
        tell_again (pool);
    return left;
}

/* Inputs of chunks are copied without the lock: their owner waits for them. */
static void take_and_tell (pxi_pool *pool, const pxi_command *command)
{
    pxi_item *chunks = NULL;
    if (atomic_load (&pool->range_events)) {
        pthread_mutex_lock (&pool->lock);
        uint32_t others = command->device ? 0 : waiting_in_deques (pool);
        if (others < command->count)
            chunks = pxi_chunks_take (pool, command, command->count - others);
        pthread_mutex_unlock (&pool->lock);
        pxi_chunks_fill (chunks);
    }
    pthread_mutex_lock (&pool->lock);
    pxi_item *left = take (pool, command, chunks);
    pthread_mutex_unlock (&pool->lock);
    complete_all (left);
}

/* Why it was not done: people see it at the end, though the job may succeed. */
static void note_why (pxi_item *item, const pxi_bytes *bytes)
{
    pxi_chain chain;
    if (pxi_bytes_size (bytes) == 0 || pxi_chain_decode (bytes, &chain) != PX_OK)
        return;
    for (size_t i = 0; i < chain.n_failures; i++)
        pxi_run_note (pxi_item_run (item), &chain.failures[i]);
    pxi_chain_fini (&chain);
}

/* Returns a chunk: its range has it again, and its owner the item. */
static pxi_item *give_back (pxi_pool *pool, const pxi_command *command)
{
    pxi_item *item = pxi_map_remove_pointer (&pool->exported, command->subtask);
    if (!item)
        return NULL;
    pxi_list_remove (&item->in_exported);
    note_why (item, command->outcome.chain);
    if (pxi_item_is_chunk (item)) {
        pxi_chunk_back (pool, item);
        item->next = NULL;
        return item;
    }
    item->attempts = command->attempts;
    item->crashes = command->crashes;
    item->next = pool->side_first;
    pool->side_first = item;
    if (!pool->side_last)
        pool->side_last = item;
    atomic_fetch_add (&pool->n_side, 1);
    pxi_pool_wake (pool);
    pxi_pool_tell_surplus (pool);
    return NULL;
}

/* ---- outcomes from elsewhere ------------------------------------------------------------------
 */

static void add_shares (pxi_pool_run *run, const px_job_share *shares, size_t n)
{
    if (!n)
        return;
    if (!run->shares)
        run->shares = malloc (PXI_SHARES_MAX * sizeof *run->shares);
    if (run->shares)
        pxi_shares_add (run->shares, &run->n_shares, shares, n);
}

static void add_plain_share (pxi_pool_run *run, const pxi_command *command)
{
    px_job_share one = {.peer_id = command->peer, .subtasks = 1, .work_ns = command->run_ns};
    static_assert (sizeof one.peer_name >= sizeof command->peer_name, "a name fits");
    memcpy (one.peer_name, command->peer_name, sizeof command->peer_name);
    add_shares (run, &one, 1);
}

static void take_failures (pxi_pool *pool, pxi_item *item, const pxi_chain *chain, px_err code)
{
    pxi_failures remote = {
        .items = chain->failures, .n = chain->n_failures, .n_dropped = chain->n_failures_dropped};
    pxi_failures_append (&item->failures, &remote, 0);
    if (!item->failures.n) {
        px_failure plain = {.code = code,
                            .task = pool->config.task_names[pxi_pool_task_of (pool, item)],
                            .message = px_err_text (code)};
        pxi_failures_add (&item->failures, &plain, 0);
    }
    if (item->failures.n) {
        item->failures.items[0].index = item->index;
        item->failures.items[0].attempt = item->attempts;
    }
}

static void take_value (pxi_pool *pool, pxi_item *item, pxi_command *command)
{
    size_t size = pxi_bytes_size (command->outcome.value);
    if (item->typed && size != item->typed->result_size) {
        static const pxi_chain none = {0};
        item->code =
            PX_EMALFORMED; /* not from the same code: never trusted into the caller's room */
        take_failures (pool, item, &none, item->code);
        return;
    }
    item->result_size = size;
    item->result = command->outcome.value;
    command->outcome.value = NULL;
}

/* An account counts the attempt itself, too. */
static uint64_t n_accounted (const pxi_chain *chain)
{
    uint64_t n = 0;
    for (size_t i = 0; i < chain->n_shares; i++)
        n += chain->shares[i].subtasks;
    return n ? n : 1;
}

static void set_outcome (pxi_pool *pool, pxi_item *item, pxi_command *command)
{
    pxi_chain chain = {0};
    pxi_pool_run *run = pxi_item_run (item);
    item->code = (px_err)command->outcome.code;
    item->attempts = command->attempts ? command->attempts : item->attempts;
    if (pxi_bytes_size (command->outcome.chain) == 0 && item->code == PX_OK)
        add_plain_share (run, command);
    else if (pxi_chain_decode (command->outcome.chain, &chain) == PX_OK)
        add_shares (run, chain.shares, chain.n_shares);
    merge_points (run, chain.points, chain.n_points);
    uint64_t n = n_accounted (&chain);
    atomic_fetch_add (&run->n_known,
                      n - (item->typed == NULL)); /* known first: done is never more */
    atomic_fetch_add (&run->n_remote, n);
    if (item->code != PX_OK)
        take_failures (pool, item, &chain, item->code);
    else
        take_value (pool, item, command);
    for (size_t i = 0; item->code == PX_OK && i < chain.n_failures; i++)
        pxi_run_note (run, &chain.failures[i]);
    pxi_chain_fini (&chain);
}

static pxi_item *complete (pxi_pool *pool, pxi_command *command)
{
    pxi_item *item = pxi_map_remove_pointer (&pool->exported, command->subtask);
    if (!item)
        return NULL;
    pxi_list_remove (&item->in_exported);
    set_outcome (pool, item, command);
    count_point (pool, item, branch_of (pool, item), (px_job_point){.elsewhere = 1});
    const pxi_who who = {command->peer, command->device};
    if (pxi_item_is_chunk (item))
        pxi_chunk_ended (pool, item, &who);
    return item;
}

static pxi_item *withdraw_locked (pxi_pool *pool, pxi_open_branch *branch)
{
    static const pxi_who nobody = {0};
    pxi_item *withdrawn = NULL;
    uint64_t id = atomic_load (&branch->id);
    if (!id)
        return NULL;
    for (pxi_list *link; (link = pxi_list_first (&branch->exported));) {
        pxi_item *item = PXI_LIST_ENTRY (link, pxi_item, in_exported);
        pxi_list_remove (link);
        pxi_map_remove (&pool->exported, item->subtask, NULL);
        item->code = PX_ECANCELLED;
        if (pxi_item_is_chunk (item))
            pxi_chunk_ended (pool, item, &nobody);
        item->next = withdrawn;
        withdrawn = item;
    }
    pxi_notice notice = {.kind = PXI_NOTE_BRANCH_CLOSED, .branch = id};
    pxi_map_remove (&pool->away, id, NULL);
    pxi_list_remove (&branch->in_away);
    atomic_store (&branch->id, 0);
    pxi_pool_notify (pool, &notice);
    return withdrawn;
}

void pxi_pool_withdraw (pxi_pool *pool, pxi_open_branch *branch)
{
    pthread_mutex_lock (&pool->lock);
    pxi_item *withdrawn = withdraw_locked (pool, branch);
    pthread_mutex_unlock (&pool->lock);
    complete_all (withdrawn);
}

void pxi_pool_close_away (px_task *task)
{
    pxi_pool *pool = task->fiber->pool;
    pthread_mutex_lock (&pool->lock);
    pxi_open_branch *branch = atomic_load (&task->item->away);
    pxi_item *withdrawn = branch ? withdraw_locked (pool, branch) : NULL;
    if (branch) {
        atomic_store (&task->item->away, NULL);
        branch->next = pool->free_branches;
        pool->free_branches = branch;
    }
    pthread_mutex_unlock (&pool->lock);
    complete_all (withdrawn);
}

/* ---- other commands ---------------------------------------------------------------------------
 */

static pxi_pool_run *find_run (pxi_pool *pool, uint64_t id)
{
    PXI_LIST_EACH (link, &pool->runs)
    {
        pxi_pool_run *run = PXI_LIST_ENTRY (link, pxi_pool_run, in_pool);
        if (run->id == id)
            return run;
    }
    return NULL;
}

static void wake_stopped_sleepers (pxi_pool *pool)
{
    pxi_heap kept;
    pxi_heap_init (&kept, SLEEPERS_MAX);
    for (pxi_heap_node *node; (node = pxi_heap_first (&pool->sleepers));) {
        pxi_heap_remove (&pool->sleepers, node);
        pxi_fiber *fiber = PXI_LIST_ENTRY (node, pxi_fiber, sleep);
        if (atomic_load (&fiber->run->stopped)) {
            pxi_pool_make_ready (pool, fiber);
        } else {
            bool added = pxi_heap_add (&kept, node, node->deadline, node->sequence);
            PXI_ASSERT (added);
        }
    }
    pool->sleepers = kept;
    update_next_sleep (pool);
}

/* Its subtasks elsewhere are withdrawn; those here find out at their next call; those not started
 * are dropped when a thread comes upon them. */
static pxi_item *stop (pxi_pool *pool, pxi_pool_run *run)
{
    pxi_item *withdrawn = NULL;
    atomic_store (&run->stopped, true);
    count_cancel (pool, run);
    pxi_ranges_poke (pool, run);
    wake_stopped_sleepers (pool);
    for (pxi_list *link; (link = pxi_list_first (&run->away));) {
        pxi_open_branch *branch = PXI_LIST_ENTRY (link, pxi_open_branch, in_away);
        for (pxi_item *item = withdraw_locked (pool, branch); item;) {
            pxi_item *next = item->next;
            item->next = withdrawn;
            withdrawn = item;
            item = next;
        }
    }
    return withdrawn;
}

static pxi_item *stop_all (pxi_pool *pool)
{
    pxi_item *withdrawn = NULL;
    PXI_LIST_EACH (link, &pool->runs)
    {
        pxi_item *some = stop (pool, PXI_LIST_ENTRY (link, pxi_pool_run, in_pool));
        while (some) {
            pxi_item *next = some->next;
            some->next = withdrawn;
            withdrawn = some;
            some = next;
        }
    }
    return withdrawn;
}

static void finish_unstarted (pxi_pool *pool, const pxi_command *command, px_err code)
{
    pxi_notice notice = {.kind = PXI_NOTE_FINISHED, .run = command->run, .result = PXI_RESULT_LOST};
    notice.outcome.code = code;
    pxi_pool_notify (pool, &notice);
}

static void run (pxi_pool *pool, pxi_command *command)
{
    pxi_pool_run *run = aligned_alloc (64, sizeof *run);
    pxi_item *item = run ? pxi_item_make () : NULL;
    if (!item || command->task >= pool->config.n_tasks) {
        free (run);
        free (item);
        pool->n_started++;
        pool->expects = command->flag;
        finish_unstarted (pool, command, item ? PX_ENOTASK : PX_ENOMEM);
        tell_active (pool);
        return;
    }
    memset (run, 0, sizeof *run);
    pxi_list_init (&run->away);
    run->id = command->run;
    run->attempt = command->attempt;
    run->told_ns = pxi_clock_ns ();
    /* The job may have been gone since subtasks were last said to wait: who was told has forgotten it. */
    if (pxi_list_is_empty (&pool->runs))
        set_alert (pool, ALERT_SURPLUS, true);
    pxi_list_add_last (&pool->runs, &run->in_pool);
    item->run = run;
    item->task = command->task;
    item->function = (px_task_fn *)(uintptr_t)pool->config.task_functions[command->task];
    item->input_bytes = command->input;
    item->input = pxi_bytes_data (command->input);
    item->input_size = pxi_bytes_size (command->input);
    run->shared = command->shared;
    command->input = command->shared = NULL;
    list_append (&pool->queued_first, &pool->queued_last, item);
    atomic_fetch_add (&pool->n_queued, 1);
    pool->expects = command->flag;
    pxi_pool_wake (pool);
}

/* `number`: the one in force. It is told with what came of the run, if it has moved. */
static void set_cap (pxi_pool *pool, uint64_t id, bool capped, int32_t number)
{
    pxi_open_branch *branch = pxi_map_pointer (&pool->away, id);
    if (!branch)
        return;
    pxi_list *first = pxi_list_first (&branch->exported);
    bool moved = number && number != (branch->in_force ? branch->in_force : branch->number);
    if (moved && first)
        count_point (pool, PXI_LIST_ENTRY (first, pxi_item, in_exported), branch,
                     (px_job_point){.least = number, .most = number, .last = number});
    branch->in_force = number;
    bool was_capped = atomic_exchange (&branch->capped, capped);
    if (!capped && was_capped)
        pxi_pool_tell_surplus (pool);
}

static void set_slots (pxi_pool *pool, uint32_t allowed)
{
    uint32_t more = allowed > pool->allowed ? allowed - pool->allowed : 0;
    pool->allowed = allowed;
    pool->wanted = 0;
    set_over (pool);
    for (uint32_t i = 0; i < more && anything_to_do (pool); i++)
        pxi_pool_wake (pool);
    set_wakeable (pool);
}

static void submit (pxi_executor *executor, pxi_command *command)
{
    pxi_pool *pool = (pxi_pool *)executor;
    pxi_item *ended_items = NULL;
    if (command->kind == PXI_CMD_TAKE) {
        take_and_tell (pool, command);
        return;
    }
    pthread_mutex_lock (&pool->lock);
    switch (command->kind) {
    case PXI_CMD_RUN:
        run (pool, command);
        break;
    case PXI_CMD_STOP: {
        pxi_pool_run *stopped = find_run (pool, command->run);
        if (stopped)
            ended_items = stop (pool, stopped);
        break;
    }
    case PXI_CMD_TAKE:
        break; /* above: not all of it is done with the lock */
    case PXI_CMD_GIVE_BACK:
        ended_items = give_back (pool, command);
        break;
    case PXI_CMD_RANGE:
        pxi_range_use (pool, command->task, command->count);
        break;
    case PXI_CMD_CAP:
        set_cap (pool, command->branch, command->flag, (int32_t)command->count);
        break;
    case PXI_CMD_COMPLETE:
        ended_items = complete (pool, command);
        if (ended_items)
            ended_items->next = NULL;
        break;
    case PXI_CMD_SLOTS:
        set_slots (pool, command->count);
        break;
    case PXI_CMD_CLOSE:
        ended_items = stop_all (pool);
        /* Whatever still runs must come to its end: it may use any slot for that. */
        set_slots (pool, pool->config.slots);
        pool->close_asked = true;
        maybe_closed (pool);
        break;
    }
    pthread_mutex_unlock (&pool->lock);
    complete_all (ended_items);
    pxi_bytes_release (command->input);
    pxi_bytes_release (command->shared);
    pxi_bytes_release (command->outcome.value);
    pxi_bytes_release (command->outcome.chain);
}

/* ---- new and destroy --------------------------------------------------------------------------
 */

static void free_fibers (pxi_fiber *fiber)
{
    while (fiber) {
        pxi_fiber *next = fiber->next;
        fiber_destroy (fiber);
        fiber = next;
    }
}

static void free_branches (pxi_open_branch *branch)
{
    while (branch) {
        pxi_open_branch *next = branch->all;
        free (branch->items);
        free (branch);
        branch = next;
    }
}

static void pool_free (pxi_pool *pool)
{
    free_fibers (pool->fibers);
    free_branches (atomic_load (&pool->all_branches));
    pxi_heap_fini (&pool->sleepers);
    pxi_map_fini (&pool->exported);
    pxi_map_fini (&pool->away);
    pthread_cond_destroy (&pool->wake);
    pthread_mutex_destroy (&pool->lock);
    free (pool->threads);
    free (pool->range_uses);
    free (pool->nests);
    free (pool->strings);
    free (pool);
}

static void destroy (pxi_executor **executor_p)
{
    pxi_pool *pool = (pxi_pool *)*executor_p;
    *executor_p = NULL;
    uint32_t n = atomic_load (&pool->n_threads);
    for (uint32_t i = 0; i < n; i++) {
        pthread_join (pool->threads[i].thread, NULL);
        pxi_deque_fini (&pool->threads[i].deque);
    }
    pool_free (pool);
}

static char *put_text (char **at, const char *text)
{
    size_t size = strlen (text) + 1;
    char *copy = memcpy (*at, text, size);
    *at += size;
    return copy;
}

/* All that the configuration points to, in one block: pointers first, then numbers, then text. */
static bool copy_config (pxi_pool *pool, const pxi_executor_config *config)
{
    size_t pointers = 3 * (size_t)config->n_tasks + config->n_points;
    size_t size = pointers * sizeof (void *) + config->n_points * sizeof (int32_t);
    size += strlen (config->peer_name) + strlen (config->module_name) + 2;
    for (uint32_t i = 0; i < config->n_tasks; i++)
        size += strlen (config->task_names[i]) + 1;
    for (uint32_t i = 0; i < config->n_points; i++)
        size += strlen (config->points[i]) + 1;
    pool->strings = malloc (size);
    if (!pool->strings)
        return false;
    const void **functions = (const void **)(void *)pool->strings;
    const char **names = (const char **)(functions + config->n_tasks);
    const px_cost_def **costs = (const px_cost_def **)(void *)(names + config->n_tasks);
    const char **points = (const char **)(void *)(costs + config->n_tasks);
    int32_t *numbers = (int32_t *)(void *)(points + config->n_points);
    char *text = (char *)(numbers + config->n_points);
    pool->config = *config;
    pool->config.peer_name = put_text (&text, config->peer_name);
    pool->config.module_name = put_text (&text, config->module_name);
    for (uint32_t i = 0; i < config->n_tasks; i++) {
        functions[i] = config->task_functions[i];
        costs[i] = config->costs ? config->costs[i] : NULL;
        pool->declares |= costs[i] != NULL;
        names[i] = put_text (&text, config->task_names[i]);
    }
    for (uint32_t i = 0; i < config->n_points; i++) {
        points[i] = put_text (&text, config->points[i]);
        numbers[i] = config->numbers[i];
    }
    pool->config.task_functions = functions;
    pool->config.task_names = names;
    pool->config.costs = costs;
    pool->config.points = points;
    pool->config.numbers = numbers;
    return true;
}

static void init_wake (pxi_pool *pool)
{
    pthread_condattr_t attributes;
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&pool->wake, &attributes);
    pthread_condattr_destroy (&attributes);
    pthread_mutex_init (&pool->lock, NULL);
}

int pxi_pool_new (const pxi_executor_config *config, pxi_executor **executor)
{
    static const pxi_executor_ops ops = {submit, destroy};
    if (!config->slots || !config->task_functions || !config->notify)
        return PX_EINVAL;
    pxi_pool *pool = aligned_alloc (64, (sizeof *pool + 63) / 64 * 64);
    if (!pool)
        return PX_ENOMEM;
    memset (pool, 0, sizeof *pool);
    pool->base.ops = &ops;
    init_wake (pool);
    pxi_heap_init (&pool->sleepers, SLEEPERS_MAX);
    pxi_map_init (&pool->exported, EXPORTED_MAX, config->id_base);
    pxi_map_init (&pool->away, EXPORTED_MAX, config->id_base);
    pxi_list_init (&pool->runs);
    pxi_list_init (&pool->ranges);
    atomic_store (&pool->next_sleep_ns, UINT64_MAX);
    atomic_store (&pool->alerts, ALERT_SURPLUS);
    pool->fences = !pxi_barrier_register ();
    size_t threads_size = config->slots * sizeof *pool->threads;
    pool->threads = aligned_alloc (64, (threads_size + 63) / 64 * 64);
    pool->range_uses = calloc (config->n_tasks + 1, 1);
    pool->nests = calloc (config->n_tasks + 1, sizeof *pool->nests);
    if (!pool->threads || !pool->range_uses || !pool->nests || !copy_config (pool, config)) {
        pool_free (pool);
        return PX_ENOMEM;
    }
    memset (pool->threads, 0, threads_size);
    pthread_mutex_lock (&pool->lock);
    set_over (pool);
    set_wakeable (pool);
    pthread_mutex_unlock (&pool->lock);
    *executor = &pool->base;
    return PX_OK;
}
