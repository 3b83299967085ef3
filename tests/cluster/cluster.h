/* Peers for a test: opened on ports of the kernel's choosing, closed at its end. What the library
 * says is kept, and shown when a test fails. */
#ifndef TESTS_CLUSTER_CLUSTER_H
#define TESTS_CLUSTER_CLUSTER_H

#include <peerexec/peerexec.h>

#include "work.h"

#define SECONDS(n) ((uint64_t)(n)*UINT64_C (1000000000))
#define MILLISECONDS(n) ((uint64_t)(n)*UINT64_C (1000000))

enum { CLUSTER_MAX = 8 };

typedef struct test_cluster {
    px_peer *peers[CLUSTER_MAX];
    int n;
} test_cluster;

/* How peers are opened: with the module compiled in, or with executor processes. */
typedef enum cluster_kind { IN_PROCESS, APART, NO_MODULE } cluster_kind;

/* Defaults of a test's peer; adjust and hand to cluster_open (). */
px_peer_options cluster_options (cluster_kind kind);
/* Add a peer that joins the first one, and wait until they know each other. */
px_peer *cluster_add (test_cluster *cluster, const px_peer_options *options);
/* `n` peers of one slot each, all known to each other. */
void cluster_begin (test_cluster *cluster, int n, cluster_kind kind);
/* Close the last peer first; then nothing that the peers had started is left. */
void cluster_end (test_cluster *cluster);

/* Counter of a peer. */
px_stats cluster_stats (px_peer *peer);
/* Sum of a counter over the peers, by its place in px_stats. */
#define CLUSTER_SUM(cluster, counter) cluster_sum ((cluster), offsetof (px_stats, counter))
uint64_t cluster_sum (const test_cluster *cluster, size_t offset);

/* Until `condition` holds, at most 20 s: then the test fails. */
#define CLUSTER_UNTIL(condition)                                                                   \
    do {                                                                                           \
        uint64_t until_ns = px_deadline_ns (SECONDS (20));                                         \
        while (!(condition)) {                                                                     \
            cr_assert (px_now_ns () < until_ns, "in 20 s not: %s", #condition);                    \
            cluster_pause ();                                                                      \
        }                                                                                          \
    } while (0)
void cluster_pause (void);

/* Submit, wait at most 60 s, and hand over the job with its outcome. */
px_job *cluster_run (px_peer *peer, const char *task, const void *input, size_t input_size,
                     px_outcome *outcome);
/* The same for a result of 8 bytes; the job is freed. */
uint64_t cluster_number (px_peer *peer, const char *task, const void *input, size_t input_size);
/* Nodes of a tree of work.tree. */
uint64_t cluster_tree_size (uint32_t depth, uint32_t fan);
/* Processes whose parent this one is: their number. */
int cluster_children (void);
/* The same, and SIGKILL for each. */
int cluster_kill_children (void);

#endif
