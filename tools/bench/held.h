/* A process that is held to half of its time: stopped and continued in turns, a few hundred times a second, by
 * a thread of its own. */
#ifndef TOOLS_BENCH_HELD_H
#define TOOLS_BENCH_HELD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct held {
    pthread_t thread;
    int pidfd;
    atomic_bool over;
} held_t;

/* The helper of that peer's device; 0 = it has none. Of several, one. */
pid_t held_helper_of (pid_t peer);
/* False: there is no such process, or no thread. `held` stays where it is until it is released. */
bool held_begin (held_t *held, pid_t pid);
/* From now on it has all its time. */
void held_end (held_t *held);

#endif
