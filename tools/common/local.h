/* A few peerd on loopback for one run of a tool: started, waited for, ended; nothing is left of them. */
#ifndef TOOLS_COMMON_LOCAL_H
#define TOOLS_COMMON_LOCAL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { LOCAL_MAX = 64, LOCAL_ADDRESS_SIZE = 80 };

struct local_peer {
    char name[16], ready[PATH_MAX + 16], address[LOCAL_ADDRESS_SIZE];
    pid_t pid; /* 0 = not started */
    const char
        *fault; /* what the tool did to it; NULL = nothing. One with a fault is killed at the end */
};

struct local_cluster {
    char directory[PATH_MAX]; /* for ready files; gone at the end */
    uint32_t n;
    struct local_peer peers[LOCAL_MAX];
};

/* Start `n` peerd (from beside the running program), each with one slot and `module`, named w1, w2, ...;
 * returns when all can be reached. Children of children that die come to this process (subreaper).
 * `directory`: where to make a directory. False: said on standard error; local_end () cleans up. */
bool local_start (struct local_cluster *cluster, uint32_t n, const char *module,
                  const char *directory);
/* End them, wait for them, remove what they left. Harmless where nothing was started. */
void local_end (struct local_cluster *cluster);

#endif
