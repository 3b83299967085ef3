/* Ctrl-C and SIGTERM: the first one cancels the job that runs, the second one ends the program. */
#ifndef TOOLS_COMMON_WATCH_H
#define TOOLS_COMMON_WATCH_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <peerexec/job.h>

typedef struct watch {
    const char *says; /* the line of the first one */
    sigset_t set;
    pthread_mutex_t lock;
    px_job *job; /* that runs now; under lock */
    _Atomic bool stopped, over;
    pthread_t thread;
} watch_t;

/* Before the program's first thread: all inherit that the signals are the watch's. */
void watch_block (watch_t *watch, const char *says);
/* False: no thread can be had. */
bool watch_begin (watch_t *watch);
/* The job that runs from now on; NULL = none. Cancelled at once where a signal has come already. */
void watch_job (watch_t *watch, px_job *job);
void watch_end (watch_t *watch);

#endif
