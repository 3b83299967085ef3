/* Executing a task, its result, and its failure with everything that led to it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "exec/state.h"

enum { TIMED_EVERY_MAX = 65536 };
#define TIMED_NS (10 * PXI_MS)

/* ---- chains of failures -----------------------------------------------------------------------
 */

static char *copy_text (const char *text)
{
    return strdup (text ? text : "");
}

static void failure_free (px_failure *failure)
{
    free ((char *)failure->task);
    free ((char *)failure->peer);
    free ((char *)failure->file);
    free ((char *)failure->message);
}

static bool failures_room (pxi_failures *list)
{
    if (list->n < list->room)
        return true;
    size_t room = list->room ? 2 * list->room : 4;
    px_failure *items = realloc (list->items, room * sizeof *items);
    if (!items)
        return false;
    list->items = items;
    list->room = room;
    return true;
}

/* Over the limit, or out of memory: counted, not kept. */
px_err pxi_failures_add (pxi_failures *list, const px_failure *failure, uint32_t level)
{
    if (list->n == PXI_FAILURES_MAX || !failures_room (list)) {
        list->n_dropped++;
        return PX_EFULL;
    }
    px_failure copy = *failure;
    copy.level = level;
    copy.task = copy_text (failure->task);
    copy.peer = copy_text (failure->peer);
    copy.file = copy_text (failure->file);
    copy.message = copy_text (failure->message);
    if (!copy.task || !copy.peer || !copy.file || !copy.message) {
        failure_free (&copy);
        list->n_dropped++;
        return PX_ENOMEM;
    }
    list->items[list->n++] = copy;
    return PX_OK;
}

void pxi_failures_append (pxi_failures *list, const pxi_failures *more, uint32_t levels)
{
    for (size_t i = 0; i < more->n; i++)
        pxi_failures_add (list, &more->items[i], more->items[i].level + levels);
    list->n_dropped += more->n_dropped;
}

void pxi_failures_fini (pxi_failures *list)
{
    for (size_t i = 0; i < list->n; i++)
        failure_free (&list->items[i]);
    free (list->items);
    memset (list, 0, sizeof *list);
}

/* ---- execution --------------------------------------------------------------------------------
 */

/* NULL: out of memory, the failure goes without. */
static pxi_trouble *trouble_of (px_task *task)
{
    pxi_task_make_busy (task);
    if (!task->trouble)
        task->trouble = calloc (1, sizeof *task->trouble);
    return task->trouble;
}

static void trouble_free (pxi_trouble *trouble)
{
    pxi_failures_fini (&trouble->causes);
    free (trouble->message);
    free (trouble);
}

static const char *message_of (const pxi_trouble *trouble, px_err code)
{
    if (trouble->message)
        return trouble->message;
    return trouble->causes.n ? "a subtask failed" : px_err_text (code);
}

/* Among those of its branch; of what was spawned, among those waiting with it. */
static uint64_t index_of (const pxi_item *item)
{
    uint64_t index = item->typed ? 0 : item->index;
    for (const pxi_item *older = item->typed ? pxi_item_older (item) : NULL; older;
         older = pxi_item_older (older))
        index++;
    return index;
}

static void describe_failure (px_task *task, px_err code)
{
    static const pxi_trouble none = {0};
    const pxi_trouble *trouble =
        (task->item->busy & BUSY_SET) && task->trouble ? task->trouble : &none;
    pxi_item *item = task->item;
    const pxi_pool *pool = task->fiber->pool;
    const pxi_executor_config *config = &pool->config;
    char name[2 * PX_NAME_SIZE_MAX + 2];
    snprintf (name, sizeof name, "%s.%s", config->module_name,
              config->task_names[pxi_pool_task_of (pool, item)]);
    px_failure own = {
        .code = code,
        .attempt = item->owner ? item->attempts : item->run->attempt,
        .line = (uint32_t)trouble->line,
        .index = index_of (item),
        .task = name,
        .peer = config->peer_name,
        .file = trouble->file,
        .message = message_of (trouble, code),
    };
    pxi_failures_fini (&item->failures);
    pxi_failures_add (&item->failures, &own, 0);
    pxi_failures_append (&item->failures, &trouble->causes, 1);
}

/* One level deeper when the task ends. */
void pxi_task_keep_causes (px_task *task, const pxi_item *item)
{
    if (trouble_of (task))
        pxi_failures_append (&task->trouble->causes, &item->failures, 0);
}

static void drop_result (pxi_item *item)
{
    pxi_bytes_release (item->result);
    item->result = NULL;
    item->result_size = 0;
}

/* After its code: what it left behind, and its outcome. */
void pxi_task_end (px_task *task, px_err code)
{
    pxi_item *item = task->item;
    if (pxi_task_spawned (task))
        pxi_spawn_finish (task);
    while ((item->busy & BUSY_SET) && task->branches)
        pxi_branch_finish (task, task->branches);
    if (pxi_task_is_cancelled (task))
        code = PX_ECANCELLED;
    item->code = code;
    if (code != PX_OK) {
        drop_result (item);
        describe_failure (task, code);
    }
    if ((item->busy & BUSY_SET) && task->trouble)
        trouble_free (task->trouble);
    item->busy = 0;
}

static px_err call_typed (px_task *task, pxi_item *item)
{
    void *room = item->inline_result;
    item->result_size = item->typed->result_size;
    if (item->result_size > ITEM_RESULT_INLINE) {
        item->result = pxi_bytes_new (item->result_size);
        room = pxi_bytes_data (item->result);
    }
    return room ? item->typed->typed (task, pxi_item_input (item), room) : PX_ENOMEM;
}

/* Those in place are counted by their number until the next look, as known and done: those of branches
 * were known when they were added. */
static void count (pxi_fiber *fiber, const pxi_item *item, bool in_place, bool ran)
{
    pxi_thread *thread = fiber->thread;
    if (!in_place) {
        thread->n_done += ran;
        thread->n_known += ran && item->typed;
        return;
    }
    thread->n_done -= !ran;
    thread->n_known -= !ran || !item->typed;
    if (pxi_thread_should_look (thread))
        pxi_pool_look (fiber);
}

static const px_cost_def *cost_of (const pxi_pool *pool, const pxi_item *item)
{
    return pool->declares ? pool->config.costs[pxi_pool_task_of (pool, item)] : NULL;
}

/* What is no number, or none that can be, says nothing. */
static uint64_t whole (px_cost_fn *function, const pxi_item *item, double scale)
{
    double value = function ? scale * function (pxi_item_input (item), item->input_size) : 0;
    return value > 0 && value < 0x1p62 ? (uint64_t)value : value >= 0x1p62 ? UINT64_C (1) << 62 : 0;
}

pxi_cost_declared pxi_task_declared (const pxi_pool *pool, const pxi_item *item)
{
    const px_cost_def *cost = cost_of (pool, item);
    if (!cost)
        return (pxi_cost_declared){0};
    uint64_t bytes = whole (cost->result_bytes, item, 1);
    return (pxi_cost_declared){whole (cost->work, item, 1e9), bytes ? bytes + 1 : 0};
}

uint64_t pxi_task_limit_ns (const pxi_pool *pool, const pxi_item *item)
{
    const px_cost_def *cost = cost_of (pool, item);
    return cost ? whole (cost->limit_s, item, 1e9) : 0;
}

/* Its time begins. Without memory it has no limit here. */
static void begin_limit (px_task *task)
{
    uint64_t limit_ns = pxi_task_limit_ns (task->fiber->pool, task->item);
    pxi_trouble *trouble = limit_ns ? trouble_of (task) : NULL;
    if (!trouble)
        return;
    trouble->limit_ns = limit_ns;
    trouble->until_ns = pxi_clock_ns () + limit_ns;
}

static uint64_t limit_until_ns (const px_task *task)
{
    const pxi_trouble *trouble = (task->item->busy & BUSY_SET) ? task->trouble : NULL;
    return trouble && trouble->until_ns ? trouble->until_ns : UINT64_MAX;
}

static bool is_over_limit (const px_task *task)
{
    uint64_t until_ns = limit_until_ns (task);
    return until_ns != UINT64_MAX && pxi_clock_ns () >= until_ns;
}

static px_err fail_over_limit (px_task *task)
{
    px_task_fail_at (task, "", 0, "over its time limit of %.3g s",
                     (double)task->trouble->limit_ns / 1e9);
    return PX_ETIMEOUT;
}

/* One of so many is timed that it is about one in TIMED_NS: the clock costs more than many a subtask. */
static bool is_timed (pxi_thread *thread, const pxi_item *item)
{
    if (__builtin_expect (--thread->n_until_timed > 0, 1))
        return false;
    thread->n_until_timed = thread->timed_every;
    return item->owner != NULL && !pxi_item_is_chunk (item); /* chunks are told by their range */
}

/* What waited says nothing of its time, but that it had subtasks. */
static void timed (pxi_fiber *fiber, const pxi_item *item, uint64_t began_ns, bool waited,
                   bool nests)
{
    pxi_thread *thread = fiber->thread;
    uint64_t ended_ns = pxi_clock_ns (), took_ns = ended_ns - began_ns + 1;
    uint64_t every = TIMED_NS / took_ns;
    if (!waited && !nests)
        thread->timed_every = every < 1                 ? 1
                              : every > TIMED_EVERY_MAX ? TIMED_EVERY_MAX
                                                        : (uint32_t)every;
    if (nests || !waited)
        pxi_pool_tell_duration (fiber->pool, item, began_ns, ended_ns, nests);
}

/* On the current stack, whoever's it is. */
void pxi_task_execute (pxi_fiber *fiber, pxi_item *item)
{
    px_task *below = fiber->task;
    px_task task = {.fiber = fiber, .item = item, .top = below ? below->top : fiber->row};
    fiber->task = &task;
    px_err code = PX_ECANCELLED;
    bool runs = !pxi_task_is_cancelled (&task);
    const pxi_thread *thread = fiber->thread;
    uint32_t n_left = fiber->n_left, n_until_look = thread->n_until_look;
    uint64_t began_ns = is_timed (fiber->thread, item) ? pxi_clock_ns () : 0;
    if (__builtin_expect (fiber->pool->declares, 0))
        begin_limit (&task);
    if (runs)
        code = item->typed ? call_typed (&task, item)
                           : item->function (&task, item->input, item->input_size);
    if (__builtin_expect (is_over_limit (&task), 0))
        code = fail_over_limit (&task);
    bool nests = (item->busy & BUSY_BRANCHED) || pxi_task_spawned (&task) ||
                 (fiber->thread == thread && thread->n_until_look != n_until_look);
    pxi_task_end (&task, code);
    if (__builtin_expect (began_ns && code == PX_OK && item->code == PX_OK, 0))
        timed (fiber, item, began_ns, fiber->n_left != n_left, nests);
    fiber->task = below;
    count (fiber, item, below != NULL, runs);
}

bool pxi_item_set_input (pxi_item *item, const void *input, size_t size)
{
    item->input_size = size;
    if (size <= ITEM_INPUT_INLINE) {
        if (size)
            memcpy (item->inline_input, input, size);
        item->input = item->inline_input;
        return true;
    }
    item->input_bytes = pxi_bytes_copy (input, size);
    item->input = pxi_bytes_data (item->input_bytes);
    return item->input_bytes != NULL;
}

/* ---- cancelling -------------------------------------------------------------------------------
 */

static bool flag_of (const pxi_item *item)
{
    if (item->typed)
        return atomic_load_explicit (&item->cancelled, memory_order_relaxed);
    return item->branch && atomic_load_explicit (&item->branch->cancelled, memory_order_relaxed);
}

/* Something of the run was cancelled since the task last looked. */
bool pxi_task_ask_ancestors (const px_task *task)
{
    const pxi_pool_run *run = task->fiber->run;
    uint64_t cancels = atomic_load (&run->cancels);
    if (atomic_load (&run->stopped))
        return true;
    for (const px_task *at = task; at; at = at->item->owner) {
        if (atomic_load_explicit (&at->item->checked, memory_order_relaxed) == cancels)
            break;
        if (flag_of (at->item))
            return true;
    }
    atomic_store_explicit (&task->item->checked, cancels, memory_order_relaxed);
    task->item->busy |= BUSY_LOOKED;
    return false;
}

/* ---- the public calls -------------------------------------------------------------------------
 */

px_err px_task_result (px_task *task, size_t size, void **bytes)
{
    pxi_item *item = task->item;
    size_t size_max = task->fiber->pool->config.result_size_max;
    if (item->typed)
        return PX_ESTATE; /* its result has a place already */
    if (size > size_max) {
        px_task_fail_at (task, "", 0, "a result of %zu bytes is over this peer's limit of %zu",
                         size, size_max);
        return PX_ETOOBIG;
    }
    pxi_bytes *room = NULL;
    if (size > ITEM_RESULT_INLINE && !(room = pxi_bytes_new (size)))
        return PX_ENOMEM;
    drop_result (item);
    item->result = room;
    item->result_size = size;
    *bytes = room ? pxi_bytes_data (room) : item->inline_result;
    return PX_OK;
}

px_err px_task_return (px_task *task, const void *bytes, size_t size)
{
    void *room;
    if (!bytes && size)
        return PX_EINVAL;
    px_err err = px_task_result (task, size, &room);
    if (err == PX_OK && size)
        memcpy (room, bytes, size);
    return err;
}

px_err px_task_fail_at (px_task *task, const char *file, int line, const char *format, ...)
{
    pxi_trouble *trouble = trouble_of (task);
    if (!trouble)
        return PX_EFAILED;
    char *message = malloc (PXI_TEXT_MAX);
    if (message) {
        va_list arguments;
        va_start (arguments, format);
        vsnprintf (message, PXI_TEXT_MAX, format, arguments);
        va_end (arguments);
    }
    free (trouble->message);
    trouble->message = message;
    trouble->file = file;
    trouble->line = line;
    return PX_EFAILED;
}

int px_task_cancelled (const px_task *task)
{
    return pxi_task_is_cancelled (task) || is_over_limit (task);
}

pxi_bytes *pxi_task_shared_bytes (const px_task *task)
{
    const pxi_item *item = task->item;
    if (!item->owner)
        return item->run->shared;
    return item->typed ? NULL : item->branch->shared;
}

const void *px_task_shared (px_task *task, size_t *size)
{
    const pxi_bytes *shared = pxi_task_shared_bytes (task);
    if (size)
        *size = pxi_bytes_size (shared);
    return pxi_bytes_data (shared);
}

const char *px_task_peer_name (const px_task *task)
{
    return task->fiber->pool->config.peer_name;
}

uint64_t px_task_peer_id (const px_task *task)
{
    return task->fiber->pool->config.peer_id;
}

px_err px_task_sleep (px_task *task, uint64_t duration_ns)
{
    if (pxi_task_is_cancelled (task))
        return PX_ECANCELLED;
    uint64_t now_ns = pxi_clock_ns ();
    uint64_t until_ns = duration_ns < UINT64_MAX - now_ns ? now_ns + duration_ns : UINT64_MAX;
    uint64_t limit_ns = limit_until_ns (task);
    pxi_pool_sleep (task, until_ns < limit_ns ? until_ns : limit_ns);
    return pxi_task_is_cancelled (task) ? PX_ECANCELLED : PX_OK;
}
