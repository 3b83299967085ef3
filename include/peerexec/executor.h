/* Executor processes: what the program px_exec is made of. Applications do not need this header:
 * they name the program in px_peer_options, and the peer starts it for the modules that it loads.
 *
 * The modules that an executor loads use this library, so the library that they find must be the
 * one that runs their tasks: that is why px_exec asks it to serve, instead of having a copy. */
#ifndef PEEREXEC_EXECUTOR_H
#define PEEREXEC_EXECUTOR_H

#include <peerexec/peer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* File descriptors that its peer gives an executor process, beside standard output and error. */
enum { PX_EXECUTOR_FD_PIPE = 3, PX_EXECUTOR_FD_PAGE = 4 };

/* Shared with the peer and outliving the process: the process's crash handler says here whose fault
 * it was. */
typedef struct px_executor_page {
    uint32_t claimed; /* set atomically by the first of several threads that crash at once */
    uint32_t known;   /* the rest is filled */
    uint32_t task;
    uint32_t reserved;
    uint64_t run;
} px_executor_page;

/** Load the module at `path`, whose digest begins with `key`, and run tasks for the peer at
 *  PX_EXECUTOR_FD_PIPE until it is gone. Tasks may still be running when this returns: end the
 *  process at once. `thread_begin` and `thread_end` (may be NULL) are called on each thread that
 *  runs tasks, for its alternate signal stack.
 *  Errors:    PX_ESYSTEM, PX_ENOMEM before it began. PX_OK also when the peer was told that the
 *             module cannot be loaded.
 *  Threads:   the program's main, once
 *  Since:     0.1 */
PX_API px_err px_executor_serve (const char *path, uint64_t key, void (*thread_begin) (void),
                                 void (*thread_end) (void));

/** What the calling thread executes now, for px_executor_page. 0 = no task. Async-signal-safe.
 *  Threads:   any
 *  Since:     0.1 */
PX_API int px_executor_current (uint64_t *run, uint32_t *task);

#ifdef __cplusplus
}
#endif
#endif
