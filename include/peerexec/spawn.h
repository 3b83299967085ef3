/* Fork and join at the cost of a call: typed tasks, spawned and synced in the order of a stack.
 *
 *     PX_TYPED_TASK (fib, uint64_t, uint64_t)
 *
 *     static px_err fib (px_task *task, const uint64_t *n, uint64_t *result)
 *     {
 *         uint64_t first = *n - 1, second = *n - 2, more;
 *         px_subtask subtask;
 *         if (*n < 2) return *result = *n, PX_OK;
 *         px_err err = px_spawn (task, &fib_task, &first, &subtask);
 *         if (err == PX_OK) err = fib (task, &second, result);
 *         if (err == PX_OK) err = px_sync (task, &subtask, &more);
 *         if (err == PX_OK) *result += more;
 *         return err;
 *     }
 *
 * What is spawned waits where any thread of the peer and, through the agent, any other peer may take it;
 * what nobody took is a plain call in px_sync (). It is a subtask like those of a branch: it may run
 * twice, elsewhere, be cancelled, and fail with its chain. Where the number of subtasks is not small, or
 * outcomes are wanted as they come, open a branch (branch.h).
 *
 * Input and result are values of fixed size without pointers, copied as they are (module.h: only a peer
 * with the same file runs them). The branch point, for branch numbers, is the task's full name. */
#ifndef PEEREXEC_SPAWN_H
#define PEEREXEC_SPAWN_H

#include <peerexec/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A typed task's code, on values at their natural addresses; `result` is complete when it returns PX_OK.
 *  It does not call px_task_return () or px_task_result (): those are PX_ESTATE where it was spawned. */
typedef px_err px_typed_fn (px_task *task, const void *input, void *result);

/* What px_spawn () has to know. PX_TYPED_TASK makes one, named NAME_task. */
typedef struct px_typed_task {
    px_typed_fn *typed;
    px_task_fn *function; /* the same as a task like any other: for px_branch_add (), and as a root */
    const char *name;
    uint32_t input_size, result_size;
} px_typed_task;

/** A subtask that was spawned and not yet synced. */
typedef struct px_subtask {
    void *item; /* NULL = synced */
} px_subtask;

/** Register the static function `name`, to be defined below, as a typed task:
 *      px_err name (px_task *task, const input_type *input, result_type *result) */
#define PX_TYPED_TASK(name_, input_type, result_type)                                              \
    static px_err name_ (px_task *task, const input_type *input, result_type *result);             \
    static px_err px_typed_##name_ (px_task *task, const void *input, void *result)                \
    {                                                                                              \
        return name_ (task, (const input_type *)input, (result_type *)result);                     \
    }                                                                                              \
    static px_err px_whole_##name_ (px_task *task, const void *input, size_t input_size)           \
    {                                                                                              \
        result_type result;                                                                        \
        if (input_size != sizeof (input_type))                                                     \
            return px_task_fail (task, "an input of %zu bytes, not %zu", input_size,               \
                                 sizeof (input_type));                                             \
        px_err err = name_ (task, (const input_type *)input, &result);                             \
        return err != PX_OK ? err : px_task_return (task, &result, sizeof result);                 \
    }                                                                                              \
    __attribute__ ((unused)) static const px_typed_task name_##_task = {                           \
        px_typed_##name_, px_whole_##name_, #name_, (uint32_t)sizeof (input_type),                 \
        (uint32_t)sizeof (result_type)};                                                           \
    static const px_task_def px_task_def_##name_ = {#name_, px_whole_##name_};                     \
    __attribute__ ((used, section ("px_task_defs"))) static const px_task_def *const               \
        px_task_entry_##name_ = &px_task_def_##name_;

/** Spawn a subtask: it may run anywhere, from now on. Never blocks. Inputs of up to 128 bytes and
 *  results of up to 64 need no memory beyond what the thread keeps.
 *  Ownership: input is copied
 *  Errors:    PX_ETOOBIG input or result over the peer's limit; PX_ENOMEM. On error nothing has been
 *             spawned.
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_spawn (px_task *task, const px_typed_task *typed, const void *input,
                        px_subtask *subtask);

/** Wait for a subtask, the one spawned last and not yet synced: runs it here, where nobody has taken it.
 *  A task that ends with subtasks not synced cancels them.
 *  Ownership: *subtask is taken and nulled; *result is the caller's, undefined unless PX_OK
 *  Errors:    PX_EFAILED the subtask failed: its chain joins the task's own, should the task return an
 *             error; PX_ECANCELLED; PX_ESTATE later ones are not synced (a function called in between
 *             returned an error without syncing what it had spawned: return it); PX_ESTALE synced
 *             already, or another task's. After PX_ESTATE and PX_ESTALE nothing has changed.
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_sync (px_task *task, px_subtask *subtask, void *result);

#ifdef __cplusplus
}
#endif
#endif
