/* Executing a task, its result, and its failure with everything that led to it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "exec/state.h"

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

void pxi_failures_move (pxi_failures *to, pxi_failures *from)
{
    pxi_failures_fini (to);
    *to = *from;
    memset (from, 0, sizeof *from);
}

/* ---- execution --------------------------------------------------------------------------------
 */

static void describe_failure (px_task *task, px_err code)
{
    pxi_item *item = task->item;
    const pxi_executor_config *config = &task->pool->config;
    char name[2 * PX_NAME_SIZE_MAX + 2];
    snprintf (name, sizeof name, "%s.%s", config->module_name, config->task_names[item->task]);
    px_failure own = {
        .code = code,
        .attempt = item->branch ? item->attempts : item->run->attempt,
        .line = (uint32_t)task->line,
        .index = item->index,
        .task = name,
        .peer = config->peer_name,
        .file = task->file,
        .message = task->message    ? task->message
                   : task->causes.n ? "a subtask failed"
                                    : px_err_text (code),
    };
    pxi_failures_fini (&item->failures);
    pxi_failures_add (&item->failures, &own, 0);
    pxi_failures_append (&item->failures, &task->causes, 1);
}

static void drop_result (pxi_item *item)
{
    pxi_bytes_release (item->result);
    item->result = NULL;
    item->result_size = 0;
}

static void conclude (px_task *task, px_err code)
{
    pxi_item *item = task->item;
    item->code = code;
    if (code != PX_OK) {
        drop_result (item);
        describe_failure (task, code);
    }
    pxi_failures_fini (&task->causes);
    free (task->message);
}

/* On the current stack, whoever's it is. */
void pxi_task_execute (pxi_pool *pool, pxi_fiber *fiber, pxi_item *item)
{
    px_task task = {.pool = pool, .fiber = fiber, .item = item, .below = fiber->task};
    fiber->task = &task;
    px_err code = PX_ECANCELLED;
    if (!pxi_task_is_cancelled (&task)) {
        code = item->function (&task, item->input, item->input_size);
        pxi_thread_self ()->n_done++;
    }
    while (task.branches)
        pxi_branch_finish (&task, task.branches);
    if (pxi_task_is_cancelled (&task))
        code = PX_ECANCELLED;
    conclude (&task, code);
    fiber->task = task.below;
}

/* Ancestors wait for this task, so they are there to be asked. */
bool pxi_task_is_cancelled (const px_task *task)
{
    if (atomic_load_explicit (&task->item->run->stopped, memory_order_relaxed))
        return true;
    const pxi_open_branch *branch = task->item->branch;
    for (uint32_t level = 0; branch && level < ANCESTORS_ASKED; level++) {
        if (atomic_load_explicit (&branch->cancelled, memory_order_relaxed))
            return true;
        branch = branch->task->item->branch;
    }
    return false;
}

/* ---- the public calls -------------------------------------------------------------------------
 */

px_err px_task_result (px_task *task, size_t size, void **bytes)
{
    pxi_item *item = task->item;
    if (size > task->pool->config.result_size_max) {
        px_task_fail_at (task, "", 0, "a result of %zu bytes is over this peer's limit of %zu",
                         size, task->pool->config.result_size_max);
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
    char *message = malloc (PXI_TEXT_MAX);
    if (message) {
        va_list arguments;
        va_start (arguments, format);
        vsnprintf (message, PXI_TEXT_MAX, format, arguments);
        va_end (arguments);
    }
    free (task->message);
    task->message = message;
    task->file = file;
    task->line = line;
    return PX_EFAILED;
}

int px_task_cancelled (const px_task *task)
{
    return pxi_task_is_cancelled (task);
}

const char *px_task_peer_name (const px_task *task)
{
    return task->pool->config.peer_name;
}

uint64_t px_task_peer_id (const px_task *task)
{
    return task->pool->config.peer_id;
}

px_err px_task_sleep (px_task *task, uint64_t duration_ns)
{
    if (pxi_task_is_cancelled (task))
        return PX_ECANCELLED;
    uint64_t now_ns = pxi_clock_ns ();
    pxi_pool_sleep (task, duration_ns < UINT64_MAX - now_ns ? now_ns + duration_ns : UINT64_MAX);
    return pxi_task_is_cancelled (task) ? PX_ECANCELLED : PX_OK;
}
