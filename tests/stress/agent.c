/* Peers in one process under the hands of many application threads: jobs that finish, jobs that are
 * cancelled, jobs freed while they run, counters read all the time, a peer that comes and goes.
 * Every answer is checked. Under ThreadSanitizer this is the test of the agent's borders. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cluster/work.h"

#include <peerexec/peerexec.h>

enum { PEERS = 3, USERS = 4, ROUNDS = 25 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf (stderr, "%s:%d: not: %s\n", __FILE__, __LINE__, #condition);                  \
            exit (1);                                                                              \
        }                                                                                          \
    } while (0)

static px_peer *peers[PEERS];
static atomic_bool done;

static px_peer *open_peer (const char *join_address)
{
    const char *join[] = {join_address, NULL};
    char why[PX_WHY_SIZE];
    px_peer *peer = NULL;
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    options.module = &px_module_v1;
    options.slots = 2;
    options.join = join_address ? join : NULL;
    if (px_peer_open (&options, &peer, why) != PX_OK) {
        fprintf (stderr, "%s\n", why);
        exit (1);
    }
    return peer;
}

static void finish_one (px_peer *peer, bool traced)
{
    px_job_options options = PX_JOB_OPTIONS_INIT;
    options.trace = traced;
    work_tree tree = {4, 4, 1000};
    px_outcome outcome;
    px_job *job = NULL;
    uint64_t count = 0;
    CHECK (px_job_submit (peer, "work.tree", &tree, sizeof tree, &options, &job) == PX_OK);
    CHECK (px_job_wait (job, PX_FOREVER, &outcome) == PX_OK);
    CHECK (outcome.code == PX_OK);
    memcpy (&count, outcome.bytes, sizeof count);
    CHECK (count == 341);
    px_job_share shares[8];
    CHECK (px_job_shares (job, shares, 8) >= 1);
    CHECK (px_job_trace (job, "/dev/null") == (traced ? PX_OK : PX_ESTATE));
    px_job_free (&job);
}

static void cancel_one (px_peer *peer, unsigned round)
{
    work_many many = {WORK_HOLD, 4, 16, 0};
    px_outcome outcome;
    px_job *job = NULL;
    px_job_progress progress = {.size = sizeof progress};
    px_job_options options = PX_JOB_OPTIONS_INIT;
    options.trace = round % 4 == 0; /* it ends before its records have come */
    options.timeout_ns = round % 3 ? 0 : UINT64_C (2000000);
    CHECK (px_job_submit (peer, "work.many", &many, sizeof many, &options, &job) == PX_OK);
    CHECK (px_job_progress_read (job, &progress) == PX_OK);
    if (round % 3) {
        if (round % 2)
            px_job_cancel (job);
        px_job_free (&job); /* cancels, where that has not been done */
        return;
    }
    CHECK (px_job_wait (job, PX_FOREVER, &outcome) == PX_OK);
    CHECK (outcome.code == PX_ETIMEOUT);
    px_job_free (&job);
}

static void *use (void *argument)
{
    px_peer *peer = argument;
    for (unsigned round = 0; round < ROUNDS; round++) {
        finish_one (peer, round % 2);
        cancel_one (peer, round);
    }
    return NULL;
}

static void *look (void *argument)
{
    (void)argument;
    while (!atomic_load (&done)) {
        for (int i = 0; i < PEERS; i++) {
            px_stats stats = {.size = sizeof stats};
            CHECK (px_peer_stats (peers[i], &stats) == PX_OK);
            CHECK (stats.slots == 2);
        }
    }
    return NULL;
}

static void *come_and_go (void *argument)
{
    (void)argument;
    while (!atomic_load (&done)) {
        px_peer *peer = open_peer (px_peer_address (peers[0]));
        finish_one (peer, true);
        px_peer_close (&peer, px_deadline_ns (UINT64_C (1000000000)));
        CHECK (peer == NULL);
    }
    return NULL;
}

int main (void)
{
    pthread_t users[USERS], looker, guest;
    for (int i = 0; i < PEERS; i++)
        peers[i] = open_peer (i ? px_peer_address (peers[0]) : NULL);
    pthread_create (&looker, NULL, look, NULL);
    pthread_create (&guest, NULL, come_and_go, NULL);
    for (int i = 0; i < USERS; i++)
        pthread_create (&users[i], NULL, use, peers[i % PEERS]);
    for (int i = 0; i < USERS; i++)
        pthread_join (users[i], NULL);
    atomic_store (&done, true);
    pthread_join (looker, NULL);
    pthread_join (guest, NULL);
    for (int i = PEERS; i-- > 0;)
        px_peer_close (&peers[i], px_deadline_ns (UINT64_C (2000000000)));
    printf ("%d jobs finished and as many given up by %d threads on %d peers\n", USERS * ROUNDS,
            USERS, PEERS);
    return 0;
}
