#include "bench/held.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

enum { TURN_NS = 2000000 };

/* ---- the helper ------------------------------------------------------------------------------- */

/* The name is cut to 15 bytes, and in brackets. */
static bool is_helper_of (long pid, pid_t peer)
{
    char path[64];
    int parent = 0;
    char name[17] = "";
    snprintf (path, sizeof path, "/proc/%ld/stat", pid);
    FILE *file = fopen (path, "r");
    if (file && fscanf (file, "%*d (%16[^)]) %*c %d", name, &parent) != 2)
        parent = 0;
    if (file)
        fclose (file);
    return parent == peer && strcmp (name, "px_device") == 0;
}

pid_t held_helper_of (pid_t peer)
{
    const struct dirent *entry;
    pid_t found = 0;
    DIR *directory = opendir ("/proc");
    while (directory && !found && (entry = readdir (directory))) {
        long pid = strtol (entry->d_name, NULL, 10);
        if (pid > 0 && is_helper_of (pid, peer))
            found = (pid_t)pid;
    }
    if (directory)
        closedir (directory);
    return found;
}

/* ---- holding it ------------------------------------------------------------------------------- */

static void rest_until (struct timespec *turn)
{
    turn->tv_nsec += TURN_NS;
    turn->tv_sec += turn->tv_nsec / 1000000000;
    turn->tv_nsec %= 1000000000;
    while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, turn, NULL) != 0)
        continue;
}

static void *hold (void *context)
{
    held_t *held = context;
    struct timespec turn;
    clock_gettime (CLOCK_MONOTONIC, &turn);
    for (bool stopped = false; !atomic_load (&held->over); stopped = !stopped) {
        pidfd_send_signal (held->pidfd, stopped ? SIGCONT : SIGSTOP, NULL, 0);
        rest_until (&turn);
    }
    pidfd_send_signal (held->pidfd, SIGCONT, NULL, 0);
    return NULL;
}

bool held_begin (held_t *held, pid_t pid)
{
    atomic_init (&held->over, false);
    held->pidfd = pid > 0 ? pidfd_open (pid, 0) : -1;
    if (held->pidfd < 0)
        return false;
    if (pthread_create (&held->thread, NULL, hold, held) == 0)
        return true;
    close (held->pidfd);
    return false;
}

void held_end (held_t *held)
{
    atomic_store (&held->over, true);
    pthread_join (held->thread, NULL);
    close (held->pidfd);
}
