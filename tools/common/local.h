/* A few peerd on loopback for one run of a tool: started, waited for, ended; nothing is left of them. */
#ifndef TOOLS_COMMON_LOCAL_H
#define TOOLS_COMMON_LOCAL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { LOCAL_MAX = 64, LOCAL_MODULES_MAX = 4, LOCAL_ADDRESS_SIZE = 80 };

struct local_peer {
    char name[16], ready[PATH_MAX + 16], address[LOCAL_ADDRESS_SIZE];
    pid_t pid; /* 0 = not started */
    const char
        *fault; /* what the tool did to it; NULL = nothing. One with a fault is killed at the end */
};

struct local_cluster {
    char directory[PATH_MAX]; /* for ready files; gone when all are ready */
    uint32_t n;
    struct local_peer peers[LOCAL_MAX];
};

struct local_plan {
    uint32_t n;
    const char *const *modules; /* NULL-ended, at most LOCAL_MODULES_MAX */
    uint32_t slots;             /* of each; 0 = 1 */
    bool in_process;            /* tasks run in the peers' own processes */
    const char *key;            /* file; NULL = none */
    bool tcp_only;              /* TCP, though they are on one host */
    const char *devices;        /* of each: "all", or a list; NULL = none */
    const char *directory;      /* where to make one; NULL = $TMPDIR, or /tmp */
};

/* Start `n` peerd (from beside the running program), named w1, w2, ...; returns when all can be reached.
 * All but the first join it, at the same time. Children of children that die come to this process
 * (subreaper). False: said on standard error; local_end () cleans up. */
bool local_start (struct local_cluster *cluster, const struct local_plan *plan);
/* End them, and wait for them. Harmless where nothing was started. What else this
 * process has started must have ended: whatever is its child now is waited for. */
void local_end (struct local_cluster *cluster);

#endif
