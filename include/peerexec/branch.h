/* Branches: a loop (or fork) of a task whose rounds may run anywhere.
 *
 *     px_branch branch;
 *     px_branch_open (task, "tree.children", NULL, &branch);
 *     for (i = 0; i < n; i++) px_branch_add (branch, child, &input[i], sizeof input[i]);
 *     if ((err = px_branch_join (branch)) == PX_OK)
 *         for (i = 0; i < n; i++) px_branch_result (branch, i, &outcome);
 *     px_branch_close (branch);
 *
 * A branch belongs to the task that opened it: all calls are that task's. A task that returns with a
 * branch still open cancels what the branch has not finished. */
#ifndef PEEREXEC_BRANCH_H
#define PEEREXEC_BRANCH_H

#include <peerexec/task.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Generation-checked: using a closed one is PX_ESTALE. */
typedef struct px_branch {
    uint64_t id;
} px_branch;

#define PX_NUMBER_DEFAULT (-1)

/** Called once for each subtask as its outcome comes, in the opening task, inside px_branch_add () or
 *  px_branch_join (); never two at once for one branch. The outcome is gone when it returns.
 *  Anything but PX_OK cancels the rest of the branch and is what px_branch_join () returns. */
typedef px_err px_reaction_fn (void *context, uint64_t index, const px_outcome *outcome);

typedef struct px_branch_options {
    size_t size;            /* of this struct: PX_BRANCH_OPTIONS_INIT sets it */
    int32_t number;         /* branch number: remote workers at once; 0 = stay on this peer;
                               PX_NUMBER_DEFAULT = the job's or peer's setting for the branch point */
    px_reaction_fn *react;  /* NULL = keep results for px_branch_result () or px_branch_next () */
    void *react_context;
    uint32_t subtasks_max;  /* started or waiting at once; px_branch_add () waits over it.
                               0 = no bound without a reaction, 4,096 with one */
    const void *shared;     /* bytes that all subtasks are given, see px_task_shared (): copied once when
                               the branch opens, and sent once to each peer that works for it */
    size_t shared_size;     /* 0 = none; input_size_max at most */
} px_branch_options;

#define PX_BRANCH_OPTIONS_INIT                                                                          \
    {sizeof (px_branch_options), PX_NUMBER_DEFAULT, NULL, NULL, 0, NULL, 0}

/** Open a branch at a branch point.
 *  Ownership: point is copied by reference: a string literal, or one that outlives the job
 *  Errors:    PX_EINVAL; PX_ETOOBIG shared bytes over input_size_max; PX_ENOMEM; PX_ECANCELLED
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_branch_open (px_task *task, const char *point, const px_branch_options *options,
                              px_branch *branch);

/** Add one subtask: `function` must be a registered task of the same module.
 *  Blocks (giving the slot away) only where subtasks_max is reached.
 *  Ownership: input is copied
 *  Errors:    PX_ENOTASK not registered with PX_TASK; PX_ETOOBIG over input_size_max; PX_ESTALE;
 *             PX_ENOMEM; PX_ECANCELLED; a reaction's error. On error nothing has been added.
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_branch_add (px_branch branch, px_task_fn *function, const void *input,
                             size_t input_size);

/** Wait until every subtask has its outcome. More may be added afterwards.
 *  Errors:    PX_EFAILED at least one subtask failed: its chain joins the task's own, should the task
 *             return this error; PX_ECANCELLED; PX_ESTALE; a reaction's error
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_branch_join (px_branch branch);

/** Outcome of subtask `index` (in the order of adding, from 0), after px_branch_join ().
 *  Ownership: the branch's, until px_branch_close ()
 *  Errors:    PX_EINVAL no such subtask; PX_EAGAIN not finished; PX_ESTATE taken already, or given to
 *             the reaction; PX_ESTALE
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_branch_result (px_branch branch, uint64_t index, px_outcome *outcome);

/** Wait for the next outcome, in the order in which they come; each is given exactly once.
 *  Ownership: the branch's, until the next call for the same branch
 *  Errors:    PX_EEND every subtask added so far was given; PX_ESTATE the branch has a reaction;
 *             PX_ECANCELLED; PX_ESTALE
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_branch_next (px_branch branch, uint64_t *index, px_outcome *outcome);

/** Cancel what has not finished: subtasks without an outcome get PX_ECANCELLED.
 *  Errors:    PX_ESTALE
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_branch_cancel (px_branch branch);

/** Close: cancels what has not finished, frees the results. Never blocks.
 *  Errors:    PX_ESTALE
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_branch_close (px_branch branch);

/** The shared bytes of the branch that the calling task is a subtask of; NULL = it has none.
 *  The same bytes for all subtasks, aligned to 16, never copied for one: not to be written to. Handing
 *  them on as the shared bytes of a branch of one's own copies nothing either.
 *  Units:     *size (may be NULL) in bytes; 0 with NULL
 *  Ownership: the branch's, until the task returns
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API const void *px_task_shared (px_task *task, size_t *size);

/* ---- conveniences ---------------------------------------------------------------------------- */

/** Run `function` over [begin, end) in chunks of at most `grain` indices.
 *  Each subtask's input is a px_range; px_task_shared () gives it the shared bytes. `react` sees each
 *  chunk's outcome (index = number of the chunk, in order of begin). NULL react = outcomes are only checked.
 *  Units:     grain in indices; 0 = about 64 chunks, or what peer-tune found for "POINT.grain"
 *  Ownership: shared bytes are copied once
 *  Errors:    as px_branch_open () and px_branch_join (), PX_EINVAL
 *  Threads:   the task's own
 *  Since:     0.1 */
typedef struct px_range {
    uint64_t begin, end;
} px_range;
PX_API px_err px_for (px_task *task, const char *point, uint64_t begin, uint64_t end, uint64_t grain,
                      px_task_fn *function, const void *shared, size_t shared_size,
                      px_reaction_fn *react, void *react_context);

/** Map: one subtask per item of an array, results of fixed size into `results` in order.
 *  Errors:    as px_branch_join (); PX_EFAILED also when a result has another size
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_map (px_task *task, const char *point, px_task_fn *function, const void *items,
                      size_t item_size, size_t n_items, void *results, size_t result_size);

/** Map and reduce: fold each result into *total by `reduce`, in index order when `ordered`.
 *  Errors:    as px_branch_join ()
 *  Threads:   the task's own
 *  Since:     0.1 */
typedef void px_reduce_fn (void *total, const void *result, size_t result_size);
PX_API px_err px_map_reduce (px_task *task, const char *point, px_task_fn *function,
                             const void *items, size_t item_size, size_t n_items,
                             px_reduce_fn *reduce, void *total, int ordered);

#ifdef __cplusplus
}
#endif
#endif
