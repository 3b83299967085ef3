/* A thread waits for the signals: a handler could neither print nor cancel. */
#include "common/watch.h"

#include <stdio.h>
#include <unistd.h>

enum { EXIT_CANCELLED = 130 };

static void *wait_for_signals (void *argument)
{
    watch_t *watch = argument;
    for (;;) {
        int number;
        if (sigwait (&watch->set, &number) != 0 || atomic_load (&watch->over))
            return NULL;
        if (atomic_exchange (&watch->stopped, true))
            _exit (EXIT_CANCELLED); /* what this process started ends with it */
        fprintf (stderr, "\n%s\n", watch->says);
        pthread_mutex_lock (&watch->lock);
        if (watch->job)
            px_job_cancel (watch->job);
        pthread_mutex_unlock (&watch->lock);
    }
}

void watch_block (watch_t *watch, const char *says)
{
    watch->says = says;
    sigemptyset (&watch->set);
    sigaddset (&watch->set, SIGINT);
    sigaddset (&watch->set, SIGTERM);
    pthread_sigmask (SIG_BLOCK, &watch->set, NULL);
}

bool watch_begin (watch_t *watch)
{
    pthread_mutex_init (&watch->lock, NULL);
    return pthread_create (&watch->thread, NULL, wait_for_signals, watch) == 0;
}

void watch_job (watch_t *watch, px_job *job)
{
    pthread_mutex_lock (&watch->lock);
    watch->job = job;
    if (job && atomic_load (&watch->stopped))
        px_job_cancel (job);
    pthread_mutex_unlock (&watch->lock);
}

void watch_end (watch_t *watch)
{
    atomic_store (&watch->over, true);
    pthread_kill (watch->thread, SIGTERM);
    pthread_join (watch->thread, NULL);
}
