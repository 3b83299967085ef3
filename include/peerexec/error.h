/* Results of calls, and outcomes of tasks.
 *
 * A failed call is not a failed task. A call returns a px_err; a task's outcome is a px_outcome, which
 * carries bytes or a chain of failures from the task that failed up to the root. */
#ifndef PEEREXEC_ERROR_H
#define PEEREXEC_ERROR_H

#include <stddef.h>
#include <stdint.h>

#include <peerexec/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Name, stable value, text. Values are part of the wire protocol: never reused, never renumbered. */
#define PX_ERRORS(X)                                                                               \
    X (PX_OK, 0, "no error")                                                                       \
    X (PX_EINVAL, 1, "an argument is not valid")                                                   \
    X (PX_ENOMEM, 2, "out of memory")                                                              \
    X (PX_EFULL, 3, "a stated limit is reached")                                                   \
    X (PX_ESTALE, 4, "the handle is of something already closed")                                  \
    X (PX_ETIMEOUT, 5, "the deadline passed")                                                      \
    X (PX_ECANCELLED, 6, "the job was cancelled")                                                  \
    X (PX_EFAILED, 7, "the task failed")                                                           \
    X (PX_ECRASH, 8, "the task crashed its process")                                               \
    X (PX_ELOST, 9, "the peer was lost")                                                           \
    X (PX_ENOMODULE, 10, "no such module")                                                         \
    X (PX_ENOTASK, 11, "no such task in the module")                                               \
    X (PX_ENOBODY, 12, "no peer in reach can run this task")                                       \
    X (PX_ETOOBIG, 13, "larger than the stated limit")                                             \
    X (PX_EABI, 14, "the module was built for another version of peerexec")                        \
    X (PX_EADDRESS, 15, "the address is not valid")                                                \
    X (PX_EINUSE, 16, "the address is in use")                                                     \
    X (PX_ESELF, 17, "the address is this peer's own")                                             \
    X (PX_ENOPEER, 18, "no answer: not a peer, or not admitted")                                   \
    X (PX_EDUPLICATE, 19, "the name is taken")                                                     \
    X (PX_EVERSION, 20, "the other side speaks another version of the protocol")                   \
    X (PX_EMALFORMED, 21, "the message is malformed")                                              \
    X (PX_ESTATE, 22, "not possible in this state")                                                \
    X (PX_ESYSTEM, 23, "the operating system refused")                                             \
    X (PX_EEND, 24, "nothing more to come")                                                        \
    X (PX_EAGAIN, 25, "not ready yet")                                                             \
    X (PX_ECONFIG, 26, "the configuration is not valid")

typedef enum px_err {
#define PX_ERRORS_ENUM(name, value, text) name = value,
    PX_ERRORS (PX_ERRORS_ENUM)
#undef PX_ERRORS_ENUM
} px_err;

/** Text of an error, in English, without a full stop.
 *  Ownership: static
 *  Threads:   any
 *  Since:     0.1 */
PX_API const char *px_err_text (px_err err);

/** Name of an error, e.g. "PX_EINVAL"; "PX_E?" for an unknown value.
 *  Ownership: static
 *  Threads:   any
 *  Since:     0.1 */
PX_API const char *px_err_name (px_err err);

/* One failure of a chain. Flat and in pre-order: entry 0 is the root's; an entry at level n + 1 that
 * follows one of level n is one of its causes. Several causes at one level are several failed subtasks
 * of one branch. */
typedef struct px_failure {
    px_err code;          /* PX_EFAILED, PX_ECRASH, PX_ETIMEOUT, PX_ELOST, PX_ECANCELLED, ... */
    uint32_t level;       /* 0 = the task whose outcome this is */
    uint32_t attempt;     /* counted from 1; 0 = ran in place, as a plain call */
    uint32_t line;        /* source line where the task raised it; 0 = not known */
    uint64_t index;       /* which subtask of its branch */
    const char *task;     /* "module.task" */
    const char *peer;     /* name of the peer that ran it */
    const char *file;     /* source file; "" = not known */
    const char *message;  /* never NULL */
} px_failure;

/* Outcome of a task: bytes when code is PX_OK, otherwise failures. A job that succeeds may have failures too: what
 * had to be done in another way, such as a kernel that did not compile. */
typedef struct px_outcome {
    px_err code;
    const void *bytes;
    size_t bytes_size;
    const px_failure *failures;
    size_t n_failures;
    size_t n_failures_dropped; /* over PX_FAILURES_MAX: counted, not kept */
} px_outcome;

/** Write a chain of failures as indented lines, one per failure, into `text`.
 *  Always ends with a NUL when text_size > 0; cut where it does not fit.
 *  Units:     returns the bytes that the whole text needs, without the NUL
 *  Threads:   any
 *  Since:     0.1 */
PX_API size_t px_outcome_print (const px_outcome *outcome, char *text, size_t text_size);

#ifdef __cplusplus
}
#endif
#endif
