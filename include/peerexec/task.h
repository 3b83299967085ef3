/* Tasks: pure functions from bytes to bytes, or to an error.
 *
 *     static px_err square (px_task *task, const void *input, size_t input_size) {
 *         double x;
 *         if (input_size != sizeof x) return px_task_fail (task, "want 8 bytes, got %zu", input_size);
 *         memcpy (&x, input, sizeof x);
 *         x *= x;
 *         return px_task_return (task, &x, sizeof x);
 *     }
 *     PX_TASK (square)
 *
 * A task may run twice, anywhere, at the same time: it must not have effects that can be seen. */
#ifndef PEEREXEC_TASK_H
#define PEEREXEC_TASK_H

#include <peerexec/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct px_task px_task;

/** A task's function. Input bytes are aligned to 16 and live until it returns.
 *  Return px_task_return (...), px_task_fail (...), the error of a px_ call, or PX_OK (empty result). */
typedef px_err px_task_fn (px_task *task, const void *input, size_t input_size);

/** Set the task's result; the last call counts.
 *  Ownership: bytes are copied
 *  Errors:    PX_ETOOBIG  over the peer's result_size_max
 *             PX_ENOMEM
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_task_return (px_task *task, const void *bytes, size_t size);

/** Room for a result of `size` bytes, to be written in place before the task returns PX_OK.
 *  Ownership: the task's until it returns
 *  Errors:    as px_task_return ()
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_task_result (px_task *task, size_t size, void **bytes);

/** Fail with a message; file and line are taken by the macro. Returns PX_EFAILED.
 *  Threads:   the task's own
 *  Since:     0.1 */
#define px_task_fail(task, ...) px_task_fail_at ((task), __FILE__, __LINE__, __VA_ARGS__)

/** What px_task_fail () calls.
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_task_fail_at (px_task *task, const char *file, int line, const char *format, ...)
    PX_PRINTF (4, 5);

/** True when the result is no longer wanted: return early, with any value.
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API int px_task_cancelled (const px_task *task);

/** Name of the peer that executes the task (for debugging: results must not depend on it).
 *  Ownership: the task's
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API const char *px_task_peer_name (const px_task *task);

/** Id of the peer that executes the task (for debugging).
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API uint64_t px_task_peer_id (const px_task *task);

#define PX_TUNABLE_MAX (1 << 30)

/** A number of the program's own that `peer-tune --grain` may vary, e.g. how much one subtask does: what the
 *  job or its profile says for `name`, else `standard`. The result of the job must not depend on it.
 *  Ask where a loop opens, not inside of it. px_for () asks for "POINT.grain" where it is given no grain.
 *  Units:     standard from 1 to PX_TUNABLE_MAX, as are the answers; others are not varied.
 *             name: 1 to PX_POINT_SIZE_MAX bytes, not that of a branch point
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API uint64_t px_tunable (px_task *task, const char *name, uint64_t standard);

/** Sleep, giving the slot to other tasks meanwhile (simulations of work, examples, tests).
 *  Units:     nanoseconds
 *  Errors:    PX_ECANCELLED
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_task_sleep (px_task *task, uint64_t duration_ns);

#ifdef __cplusplus
}
#endif
#endif
