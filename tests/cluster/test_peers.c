/* Peers and jobs, with real threads and sockets: what an application sees. */
#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cluster.h"
#include "leak.h"

TestSuite (peers, .timeout = 120);

/* ---- opening ----------------------------------------------------------------------------------
 */

Test (peers, one_alone_opens_works_and_closes)
{
    test_cluster cluster;
    work_tree tree = {5, 4, 0};
    cluster_begin (&cluster, 1, IN_PROCESS);
    px_peer *peer = cluster.peers[0];
    cr_assert_eq (strncmp (px_peer_address (peer), "tcp://127.0.0.1:", 16), 0);
    cr_assert (px_peer_name (peer)[0]);
    cr_assert_eq (cluster_number (peer, "work.tree", &tree, sizeof tree), cluster_tree_size (5, 4));
    cr_assert_eq (px_peer_wait (peer, 1, px_deadline_ns (0)), PX_ETIMEOUT);
    cr_assert_eq (cluster_stats (peer).subtasks_sent, 0);
    cluster_end (&cluster);
    TEST_NO_LEAKS ();
}

Test (peers, one_that_does_not_listen_works_alone)
{
    px_peer *peer = NULL;
    work_tree tree = {3, 3, 0};
    px_peer_options options = cluster_options (IN_PROCESS);
    options.listen = "";
    cr_assert_eq (px_peer_open (&options, &peer, NULL), PX_OK);
    cr_assert_str_eq (px_peer_address (peer), "");
    cr_assert_eq (cluster_number (peer, "work.tree", &tree, sizeof tree), cluster_tree_size (3, 3));
    px_peer_close (&peer, 0);
    cr_assert_null (peer);
    px_peer_close (&peer, 0);
    TEST_NO_LEAKS ();
}

Test (peers, that_do_not_listen_use_others)
{
    test_cluster cluster;
    cluster_begin (&cluster, 2, IN_PROCESS);
    const char *join[] = {px_peer_address (cluster.peers[0]), NULL};
    px_peer_options options = cluster_options (IN_PROCESS);
    options.listen = "";
    options.join = join;
    px_peer *peer = NULL;
    char why[PX_WHY_SIZE];
    cr_assert_eq (px_peer_open (&options, &peer, why), PX_OK, "%s", why);
    cr_assert_eq (px_peer_wait (peer, 2, px_deadline_ns (SECONDS (20))), PX_OK);
    work_tree tree = {5, 4, MILLISECONDS (1)};
    cr_assert_eq (cluster_number (peer, "work.tree", &tree, sizeof tree), cluster_tree_size (5, 4));
    cr_assert_gt (cluster_stats (peer).results_received, 0);
    px_peer_close (&peer, px_deadline_ns (SECONDS (5)));
    cluster_end (&cluster);
}

typedef struct wrong {
    px_err err;
    const char *says; /* part of the sentence */
    void (*spoil) (px_peer_options *);
} wrong;

static void long_name (px_peer_options *o)
{
    o->name = "a-name-of-more-than-thirty-one-bytes";
}
static void odd_name (px_peer_options *o)
{
    o->name = "a name";
}
static void no_address (px_peer_options *o)
{
    o->listen = "tcp://nonsense";
}
static void no_slots (px_peer_options *o)
{
    o->slots = 5000;
}
static void small_stack (px_peer_options *o)
{
    o->stack_size = 100;
}
static void no_executor (px_peer_options *o)
{
    o->executor = "/nowhere/px_exec";
}
static void no_module (px_peer_options *o)
{
    static const char *const modules[] = {"/nowhere/module.so", NULL};
    o->modules = modules;
}
static void twice (px_peer_options *o)
{
    static const char *const modules[] = {TEST_MODULE, NULL};
    o->modules = modules;
    o->module = &px_module_v1;
}
static void bad_join (px_peer_options *o)
{
    static const char *const join[] = {"tcp://127.0.0.1:port", NULL};
    o->join = join;
}
static void bad_number (px_peer_options *o)
{
    o->branch_number = -7;
}
static void bad_load (px_peer_options *o)
{
    o->load_max = -1;
}
static void no_size (px_peer_options *o)
{
    o->size = 0;
}
static void impatient (px_peer_options *o)
{
    o->detect_ns = 1;
}
static void huge (px_peer_options *o)
{
    o->result_size_max = (size_t)8 << 30;
}

Test (peers, that_cannot_open_say_why)
{
    const wrong cases[] = {
        {PX_EINVAL, "the name 'a-name-of", long_name},
        {PX_EINVAL, "the name 'a name'", odd_name},
        {PX_EADDRESS, "tcp://nonsense", no_address},
        {PX_EINVAL, "slots is 5000, not in 1..1024", no_slots},
        {PX_EINVAL, "stack_size is 100", small_stack},
        {PX_EINVAL, "/nowhere/px_exec cannot be started", no_executor},
        {PX_ENOMODULE, "/nowhere/module.so", no_module},
        {PX_EDUPLICATE, "two modules are named 'work'", twice},
        {PX_EADDRESS, "tcp://127.0.0.1:port", bad_join},
        {PX_EINVAL, "branch_number is -7", bad_number},
        {PX_EINVAL, "load_max is -1", bad_load},
        {PX_EINVAL, "PX_PEER_OPTIONS_INIT", no_size},
        {PX_EINVAL, "detect_ns is 1", impatient},
        {PX_EINVAL, "result_size_max is 8589934592", huge},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[PX_WHY_SIZE] = "";
        px_peer *peer = NULL;
        px_peer_options options = cluster_options (NO_MODULE);
        cases[i].spoil (&options);
        px_err err = px_peer_open (&options, &peer, why);
        cr_assert_eq (err, cases[i].err, "case %zu: %s: %s", i, px_err_name (err), why);
        cr_assert_not_null (strstr (why, cases[i].says), "case %zu says: %s", i, why);
        cr_assert_null (peer);
    }
    TEST_NO_LEAKS ();
}

Test (peers, say_that_a_port_is_in_use)
{
    test_cluster cluster;
    char why[PX_WHY_SIZE];
    px_peer *peer = NULL;
    cluster_begin (&cluster, 1, NO_MODULE);
    px_peer_options options = cluster_options (NO_MODULE);
    options.listen = px_peer_address (cluster.peers[0]);
    cr_assert_eq (px_peer_open (&options, &peer, why), PX_EINUSE);
    cr_assert_not_null (strstr (why, options.listen), "%s", why);
    cluster_end (&cluster);
}

/* A port that is nobody's, and one that swallows what it gets. */
Test (peers, say_that_nobody_answers)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq (bind (fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq (getsockname (fd, (struct sockaddr *)&address, &size), 0);
    for (int listening = 0; listening < 2; listening++) {
        char text[64], why[PX_WHY_SIZE], expected[300];
        px_peer *peer = NULL;
        px_peer_options options = cluster_options (NO_MODULE);
        const char *join[] = {text, NULL};
        if (listening)
            cr_assert_eq (listen (fd, 4), 0);
        snprintf (text, sizeof text, "tcp://127.0.0.1:%u", ntohs (address.sin_port));
        snprintf (
            expected, sizeof expected,
            "%s: no answer in 0.3 s: not a peer, or not admitted; check that a peer runs there, "
            "without a key: one with a key needs --key here, too",
            text);
        options.join = join;
        options.join_timeout_ns = MILLISECONDS (300);
        cr_assert_eq (px_peer_open (&options, &peer, why), PX_ENOPEER);
        cr_assert_str_eq (why, expected);
    }
    close (fd);
    TEST_NO_LEAKS ();
}

Test (peers, say_that_an_address_is_their_own)
{
    char text[64], why[PX_WHY_SIZE];
    px_peer *peer = NULL;
    px_peer_options options = cluster_options (NO_MODULE);
    /* A port that was free a moment ago. */
    cr_assert_eq (px_peer_open (&options, &peer, why), PX_OK);
    snprintf (text, sizeof text, "%s", px_peer_address (peer));
    px_peer_close (&peer, 0);
    const char *join[] = {text, NULL};
    options.listen = text;
    options.join = join;
    cr_assert_eq (px_peer_open (&options, &peer, why), PX_ESELF, "%s", why);
    cr_assert_not_null (strstr (why, "own address"), "%s", why);
}

Test (peers, say_that_a_name_is_taken)
{
    test_cluster cluster = {0};
    char why[PX_WHY_SIZE];
    px_peer *peer = NULL;
    px_peer_options options = cluster_options (NO_MODULE);
    options.name = "first";
    cluster_add (&cluster, &options);
    options.name = "second";
    cluster_add (&cluster, &options);
    for (int i = 0; i < 2; i++) { /* the name of who is asked, and of another */
        const char *join[] = {px_peer_address (cluster.peers[0]), NULL};
        options.name = i ? "second" : "first";
        options.join = join;
        px_err err = px_peer_open (&options, &peer, why);
        cr_assert_eq (err, PX_EDUPLICATE, "%s is taken, yet: %s %s", options.name,
                      px_err_name (err), why);
        cr_assert_not_null (strstr (why, options.name), "%s", why);
    }
    cluster_end (&cluster);
}

/* ---- jobs -------------------------------------------------------------------------------------
 */

Test (peers, refuse_jobs_that_cannot_be)
{
    test_cluster cluster;
    cluster_begin (&cluster, 1, IN_PROCESS);
    px_peer *peer = cluster.peers[0];
    px_job *job = NULL;
    px_job_options bad = PX_JOB_OPTIONS_INIT, many = PX_JOB_OPTIONS_INIT;
    px_point_number number = {"work.tree", -5};
    bad.size = 0;
    many.numbers = &number;
    many.n_numbers = 1;
    const struct {
        const char *task;
        const void *input;
        size_t size;
        const px_job_options *options;
        px_err err;
    } cases[] = {
        {"none.echo", "", 0, NULL, PX_ENOMODULE},
        {"work.none", "", 0, NULL, PX_ENOTASK},
        {"work", "", 0, NULL, PX_EINVAL},
        {"work.echo", NULL, 4, NULL, PX_EINVAL},
        {"work.echo", "", 0, &bad, PX_EINVAL},
        {"work.echo", "", 0, &many, PX_EINVAL},
        {"work.echo", "", (size_t)65 << 20, NULL, PX_ETOOBIG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert_eq (px_job_submit (peer, cases[i].task, cases[i].input, cases[i].size,
                                     cases[i].options, &job),
                      cases[i].err, "case %zu", i);
    cr_assert_null (job);
    cluster_end (&cluster);
}

enum { TEXT_SIZE = 4000 };

/* On a cluster of its own; with what people read of the outcome. */
static px_job *run_many (test_cluster *cluster, cluster_kind kind, uint32_t what, uint32_t n,
                         px_outcome *outcome, char *text)
{
    cluster_begin (cluster, 2, kind);
    const work_many many = {what, n, 16, 0};
    px_job *job = cluster_run (cluster->peers[0], "work.many", &many, sizeof many, outcome);
    px_outcome_print (outcome, text, TEXT_SIZE);
    return job;
}

Test (peers, tell_a_failure_with_its_chain)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    for (int kind = 0; kind < 2; kind++) {
        test_cluster cluster;
        px_outcome outcome;
        char text[TEXT_SIZE];
        px_job *job = run_many (&cluster, kinds[kind], WORK_FAIL, 3, &outcome, text);
        cr_assert_eq (outcome.code, PX_EFAILED);
        cr_assert_eq (outcome.n_failures, 4, "%s", text);
        cr_assert_str_eq (outcome.failures[0].task, "work.many");
        for (int i = 1; i <= 3; i++) {
            cr_assert_str_eq (outcome.failures[i].task, "work.fail");
            cr_assert_eq (outcome.failures[i].level, 1, "%s", text);
            cr_assert_not_null (strstr (outcome.failures[i].file, "work.c"));
            cr_assert_gt (outcome.failures[i].line, 0);
        }
        cr_assert_not_null (strstr (text, "as it was asked"), "%s", text);
        px_job_free (&job);
        cluster_end (&cluster);
    }
}

Test (peers, end_a_job_at_its_time)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    for (int kind = 0; kind < 2; kind++) {
        test_cluster cluster;
        px_outcome outcome;
        px_job *job = NULL;
        px_job_options options = PX_JOB_OPTIONS_INIT;
        options.timeout_ns = MILLISECONDS (100);
        cluster_begin (&cluster, 2, kinds[kind]);
        work_many many = {WORK_WAIT, 4, 16, 0};
        cr_assert_eq (
            px_job_submit (cluster.peers[0], "work.many", &many, sizeof many, &options, &job),
            PX_OK);
        cr_assert_eq (px_job_wait (job, 0, &outcome), PX_ETIMEOUT, "polled");
        cr_assert_eq (px_job_wait (job, px_deadline_ns (SECONDS (20)), &outcome), PX_OK);
        cr_assert_eq (outcome.code, PX_ETIMEOUT);
        cr_assert_str_eq (outcome.failures[0].message, "not finished after 0.1 s");
        px_job_free (&job);
        CLUSTER_UNTIL (CLUSTER_SUM (&cluster, jobs) == 0);
        CLUSTER_UNTIL (CLUSTER_SUM (&cluster, slots_used) == 0);
        cluster_end (&cluster);
    }
}

Test (peers, end_a_subtask_at_its_time)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    for (int kind = 0; kind < 2; kind++) {
        test_cluster cluster;
        px_outcome outcome;
        char text[TEXT_SIZE];
        px_job *job = run_many (&cluster, kinds[kind], WORK_LATE, 4, &outcome, text);
        cr_assert_eq (outcome.n_failures, 5, "%s", text);
        for (int i = 1; i <= 4; i++) {
            cr_assert_eq (outcome.failures[i].code, PX_ETIMEOUT, "%s", text);
            cr_assert_str_eq (outcome.failures[i].task, "work.late");
            cr_assert_str_eq (outcome.failures[i].message, "over its time limit of 0.1 s");
        }
        px_job_free (&job);
        cluster_end (&cluster);
    }
}

Test (peers, cancel_a_job_everywhere)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    for (int kind = 0; kind < 2; kind++) {
        test_cluster cluster;
        px_outcome outcome;
        px_job *job = NULL;
        cluster_begin (&cluster, 3, kinds[kind]);
        work_many many = {WORK_HOLD, 6, 16, 0};
        cr_assert_eq (px_job_submit (cluster.peers[0], "work.many", &many, sizeof many, NULL, &job),
                      PX_OK);
        CLUSTER_UNTIL (CLUSTER_SUM (&cluster, attempts_here) >= 2);
        px_job_cancel (job);
        cr_assert_eq (px_job_wait (job, px_deadline_ns (SECONDS (20)), &outcome), PX_OK);
        cr_assert_eq (outcome.code, PX_ECANCELLED);
        px_job_cancel (job); /* once more does nothing */
        CLUSTER_UNTIL (CLUSTER_SUM (&cluster, attempts_here) == 0);
        CLUSTER_UNTIL (CLUSTER_SUM (&cluster, attempts_away) == 0);
        CLUSTER_UNTIL (CLUSTER_SUM (&cluster, jobs) == 0);
        CLUSTER_UNTIL (CLUSTER_SUM (&cluster, slots_used) == 0);
        px_job_free (&job);
        cluster_end (&cluster);
    }
}

Test (peers, close_under_a_running_job)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    for (int kind = 0; kind < 2; kind++) {
        test_cluster cluster;
        px_outcome outcome;
        px_job *job = NULL;
        cluster_begin (&cluster, 2, kinds[kind]);
        work_many many = {WORK_HOLD, 3, 16, 0};
        cr_assert_eq (px_job_submit (cluster.peers[0], "work.many", &many, sizeof many, NULL, &job),
                      PX_OK);
        CLUSTER_UNTIL (CLUSTER_SUM (&cluster, attempts_here) >= 1);
        cluster_end (&cluster);
        cr_assert_eq (px_job_wait (job, 0, &outcome), PX_OK);
        cr_assert_eq (outcome.code, PX_ECANCELLED);
        px_job_cancel (job); /* of a peer that is gone */
        px_job_free (&job);
        TEST_NO_LEAKS ();
    }
}

/* ---- several peers ----------------------------------------------------------------------------
 */

static void run_tree (int n_peers, cluster_kind kind)
{
    test_cluster cluster;
    px_outcome outcome;
    uint64_t count = 0;
    work_tree tree = {6, 4, MILLISECONDS (1) / 10};
    cluster_begin (&cluster, n_peers, kind);
    px_job *job = cluster_run (cluster.peers[0], "work.tree", &tree, sizeof tree, &outcome);
    cr_assert_eq (outcome.code, PX_OK);
    memcpy (&count, outcome.bytes, sizeof count);
    cr_assert_eq (count, cluster_tree_size (6, 4));
    px_job_share shares[16];
    size_t n_shares = px_job_shares (job, shares, 16);
    uint64_t subtasks = 0;
    for (size_t i = 0; i < n_shares; i++)
        subtasks += shares[i].subtasks;
    cr_assert_eq (subtasks, count, "the shares of %zu peers add up to %llu of %llu", n_shares,
                  (unsigned long long)subtasks, (unsigned long long)count);
    if (n_peers > 1)
        cr_assert_gt (n_shares, 1, "only one of %d peers worked", n_peers);
    px_job_point points[4];
    size_t n_points = px_job_points (job, points, 4);
    cr_assert_eq (n_points, n_peers > 1 ? 1u : n_points);
    for (size_t i = 0; i < n_points; i++) {
        cr_assert_str_eq (points[i].point, "work.tree");
        cr_assert (points[i].number == 64 && !points[i].fixed);
        cr_assert (points[i].offered >= points[i].branches && points[i].branches > 0);
        cr_assert (points[i].offered >= points[i].elsewhere);
    }
    px_job_free (&job);
    cluster_end (&cluster);
}

Test (peers, grow_a_tree_together)
{
    for (int n = 1; n <= 4; n *= 2)
        run_tree (n, IN_PROCESS);
    TEST_NO_LEAKS ();
}

Test (peers, grow_a_tree_in_processes_of_their_own)
{
    for (int n = 1; n <= 4; n *= 2)
        run_tree (n, APART);
    TEST_NO_LEAKS ();
}

Test (peers, keep_a_branch_of_number_0_at_home)
{
    test_cluster cluster;
    cluster_begin (&cluster, 3, IN_PROCESS);
    struct {
        work_many many;
        uint64_t duration_ns;
    } input = {{WORK_NAP, 40, 0, 0}, MILLISECONDS (2)};
    cluster_number (cluster.peers[0], "work.many", &input, sizeof input);
    px_stats stats = cluster_stats (cluster.peers[0]);
    cr_assert_eq (stats.subtasks_sent, 0);
    cr_assert_eq (stats.probes_sent, 0);
    cluster_end (&cluster);
}

/* In force, in this order: the call's number, the job's for the branch point, the submitter's default;
 * the last two also where a subtask opens the branch at another peer. */
Test (peers, obey_the_branch_numbers_of_the_job)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    const px_point_number none = {"work.many", 0}, other = {"work.tree", 0};
    const struct {
        int32_t call;
        const px_point_number *job;
        int32_t peer;
        bool leaves;
    } cases[] = {
        {PX_NUMBER_DEFAULT, &none, PX_NUMBER_DEFAULT, false},
        {PX_NUMBER_DEFAULT, &other, PX_NUMBER_DEFAULT, true},
        {16, &none, 0, true},
        {PX_NUMBER_DEFAULT, NULL, 0, false},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        test_cluster cluster = {0};
        px_outcome outcome;
        px_job *job = NULL;
        px_peer_options peer_options = cluster_options (kinds[i % 2]);
        cluster_add (&cluster, &peer_options); /* whose own default is not asked */
        peer_options.branch_number = cases[i / 2].peer;
        cluster_add (&cluster, &peer_options);
        px_job_options options = PX_JOB_OPTIONS_INIT;
        options.numbers = cases[i / 2].job;
        options.n_numbers = cases[i / 2].job != NULL;
        struct {
            work_many many;
            uint64_t duration_ns;
        } input = {{WORK_NAP, 30, cases[i / 2].call, 0}, MILLISECONDS (5)};
        cr_assert_eq (
            px_job_submit (cluster.peers[1], "work.many", &input, sizeof input, &options, &job),
            PX_OK);
        cr_assert_eq (px_job_wait (job, px_deadline_ns (SECONDS (20)), &outcome), PX_OK);
        cr_assert_eq (outcome.code, PX_OK);
        px_stats stats = cluster_stats (cluster.peers[1]);
        cr_assert_eq (stats.results_received > 0, cases[i / 2].leaves, "case %zu", i);
        cr_assert (cases[i / 2].leaves || stats.probes_sent == 0, "case %zu", i);
        px_job_free (&job);
        cluster_end (&cluster);
    }
}

Test (peers, send_and_receive_large_payloads)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    enum { SIZE = 8 << 20, COUNT = 6 };
    for (int kind = 0; kind < 2; kind++) {
        test_cluster cluster;
        cluster_begin (&cluster, 2, kinds[kind]);
        /* In: the root's input holds that of each. Out: as much from each. */
        work_many many = {WORK_BYTES, COUNT, 16, 0};
        uint64_t size = SIZE;
        char *input = calloc (1, SIZE);
        memcpy (input, &many, sizeof many);
        memcpy (input + sizeof many, &size, sizeof size);
        /* On a loaded host the peer itself may be done before another has answered: again. */
        uint64_t sum = 0;
        CLUSTER_UNTIL ((sum = cluster_number (cluster.peers[0], "work.many", input, SIZE),
                        sum != (uint64_t)SIZE * COUNT ||
                            cluster_stats (cluster.peers[0]).results_received > 0));
        cr_assert_eq (sum, (uint64_t)SIZE * COUNT);
        free (input);
        cluster_end (&cluster);
    }
    TEST_NO_LEAKS ();
}

static uint64_t sums_of (const work_sums *what)
{
    uint64_t bytes = 0, chunks = 0;
    for (uint64_t i = 0; i < what->size; i++)
        bytes += work_shared_byte (i);
    for (uint64_t i = 1; i <= what->chunks; i++)
        chunks += what->levels ? 3 : i; /* a pair: its first and its second */
    return bytes * chunks;
}

/* Patient peers: on a busy host nobody asks twice. */
static void begin_patient (test_cluster *cluster, int n, cluster_kind kind)
{
    memset (cluster, 0, sizeof *cluster);
    px_peer_options options = cluster_options (kind);
    options.detect_ns = SECONDS (30);
    for (int i = 0; i < n; i++)
        cluster_add (cluster, &options);
}

static void expect_once_each (const test_cluster *cluster, const work_sums *what)
{
    uint64_t n_sent = CLUSTER_SUM (cluster, shared_sent);
    for (int i = 0; i < cluster->n; i++)
        cr_expect_leq (cluster_stats (cluster->peers[i]).shared_received, 1, "peer %d", i);
    cr_expect_eq (CLUSTER_SUM (cluster, shared_received), n_sent);
    cr_expect_lt (n_sent, (uint64_t)cluster->n);
    cr_expect_leq (CLUSTER_SUM (cluster, bytes_sent), n_sent * what->size + what->size / 2);
}

Test (peers, are_sent_a_shared_input_once_each)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    for (int kind = 0; kind < 2; kind++) {
        test_cluster cluster;
        work_sums what = {64, (4 << 20) + 5, 0, MILLISECONDS (2)};
        begin_patient (&cluster, 4, kinds[kind]);
        uint64_t sum = 0;
        CLUSTER_UNTIL (
            (sum = cluster_number (cluster.peers[0], "work.sums", &what, sizeof what),
             sum != sums_of (&what) || cluster_stats (cluster.peers[0]).shared_sent > 0));
        cr_assert_eq (sum, sums_of (&what));
        expect_once_each (&cluster, &what);
        cluster_end (&cluster);
    }
    TEST_NO_LEAKS ();
}

/* A worker's own branches hand on what it was given: to any peer, the first master among them. */
Test (peers, hand_on_a_shared_input)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    for (int kind = 0; kind < 2; kind++) {
        test_cluster cluster;
        work_sums what = {24, 1 << 20, 1, MILLISECONDS (5)};
        begin_patient (&cluster, 3, kinds[kind]);
        cr_expect_eq (cluster_number (cluster.peers[0], "work.sums", &what, sizeof what),
                      sums_of (&what));
        cr_expect_leq (cluster_stats (cluster.peers[1]).shared_received, 1);
        cr_expect_leq (cluster_stats (cluster.peers[2]).shared_received, 1);
        cluster_end (&cluster);
    }
    TEST_NO_LEAKS ();
}

Test (peers, refuse_results_over_the_limit)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    for (int kind = 0; kind < 2; kind++) {
        test_cluster cluster = {0};
        px_outcome outcome;
        px_peer_options options = cluster_options (kinds[kind]);
        options.result_size_max = 1000;
        cluster_add (&cluster, &options);
        uint64_t size = 1001;
        px_job *job = cluster_run (cluster.peers[0], "work.bytes", &size, sizeof size, &outcome);
        cr_assert_eq (outcome.code, PX_ETOOBIG, "%s", px_err_name (outcome.code));
        px_job_free (&job);
        size = 1000;
        job = cluster_run (cluster.peers[0], "work.bytes", &size, sizeof size, &outcome);
        cr_assert_eq (outcome.bytes_size, 1000);
        px_job_free (&job);
        cluster_end (&cluster);
    }
}

Test (peers, do_without_one_that_lacks_the_module)
{
    test_cluster cluster = {0};
    px_peer_options options = cluster_options (IN_PROCESS), other = cluster_options (NO_MODULE);
    cluster_add (&cluster, &options);
    cluster_add (&cluster, &other);
    work_tree tree = {5, 4, MILLISECONDS (1) / 10};
    cr_assert_eq (cluster_number (cluster.peers[0], "work.tree", &tree, sizeof tree),
                  cluster_tree_size (5, 4));
    px_stats stats = cluster_stats (cluster.peers[0]);
    cr_assert_eq (stats.results_received, 0);
    cr_assert_leq (stats.probes_sent, 3, "asked %llu times who cannot",
                   (unsigned long long)stats.probes_sent);
    cluster_end (&cluster);
}

typedef struct side {
    px_peer *peer;
    px_job *job;
} side;

Test (peers, work_for_two_applications_at_once)
{
    test_cluster cluster;
    cluster_begin (&cluster, 4, IN_PROCESS);
    side sides[2] = {{cluster.peers[0], NULL}, {cluster.peers[1], NULL}};
    work_tree tree = {6, 4, MILLISECONDS (1) / 10};
    for (int i = 0; i < 2; i++)
        cr_assert_eq (
            px_job_submit (sides[i].peer, "work.tree", &tree, sizeof tree, NULL, &sides[i].job),
            PX_OK);
    for (int i = 0; i < 2; i++) {
        px_outcome outcome;
        uint64_t count = 0;
        cr_assert_eq (px_job_wait (sides[i].job, px_deadline_ns (SECONDS (60)), &outcome), PX_OK);
        cr_assert_eq (outcome.code, PX_OK);
        memcpy (&count, outcome.bytes, sizeof count);
        cr_assert_eq (count, cluster_tree_size (6, 4));
        px_job_free (&sides[i].job);
    }
    cluster_end (&cluster);
}

Test (peers, hand_back_their_work_when_they_leave)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    for (int kind = 0; kind < 2; kind++) {
        test_cluster cluster;
        px_outcome outcome;
        px_job *job = NULL;
        uint64_t count = 0;
        cluster_begin (&cluster, 3, kinds[kind]);
        work_tree tree = {6, 4, MILLISECONDS (1) / 4};
        cr_assert_eq (px_job_submit (cluster.peers[0], "work.tree", &tree, sizeof tree, NULL, &job),
                      PX_OK);
        CLUSTER_UNTIL (cluster_stats (cluster.peers[2]).attempts_here > 0);
        px_peer_close (&cluster.peers[2], 0);
        cluster.n = 2;
        cr_assert_eq (px_job_wait (job, px_deadline_ns (SECONDS (60)), &outcome), PX_OK);
        cr_assert_eq (outcome.code, PX_OK);
        memcpy (&count, outcome.bytes, sizeof count);
        cr_assert_eq (count, cluster_tree_size (6, 4));
        px_job_free (&job);
        cluster_end (&cluster);
    }
}

Test (peers, that_come_later_get_work_of_a_running_job)
{
    static const cluster_kind kinds[] = {IN_PROCESS, APART};
    for (int kind = 0; kind < 2; kind++) {
        test_cluster cluster;
        px_outcome outcome;
        px_job *job = NULL;
        px_peer_options options = cluster_options (kinds[kind]);
        cluster_begin (&cluster, 1, kinds[kind]);
        work_many many = {WORK_HOLD, 2, 16, 0};
        cr_assert_eq (px_job_submit (cluster.peers[0], "work.many", &many, sizeof many, NULL, &job),
                      PX_OK);
        CLUSTER_UNTIL (cluster_stats (cluster.peers[0]).slots_used == 1);
        cluster_add (&cluster, &options);
        CLUSTER_UNTIL (cluster_stats (cluster.peers[1]).attempts_here == 1);
        px_job_cancel (job);
        cr_assert_eq (px_job_wait (job, px_deadline_ns (SECONDS (20)), &outcome), PX_OK);
        px_job_free (&job);
        cluster_end (&cluster);
    }
}

Test (peers, say_busy_while_their_owner_wants_it)
{
    char path[] = "/tmp/peerexec-busy-XXXXXX";
    int fd = mkstemp (path);
    cr_assert_geq (fd, 0);
    close (fd);
    test_cluster cluster = {0};
    px_peer_options options = cluster_options (IN_PROCESS), owned = options;
    owned.busy_file = path;
    cluster_add (&cluster, &options);
    cluster_add (&cluster, &owned);
    struct {
        work_many many;
        uint64_t duration_ns;
    } input = {{WORK_NAP, 40, 16, 0}, MILLISECONDS (2)};
    cluster_number (cluster.peers[0], "work.many", &input, sizeof input);
    cr_assert_eq (cluster_stats (cluster.peers[0]).results_received, 0, "its owner said not now");
    unlink (path);
    CLUSTER_UNTIL ((cluster_number (cluster.peers[0], "work.many", &input, sizeof input),
                    cluster_stats (cluster.peers[0]).results_received > 0));
    cluster_end (&cluster);
}

/* ---- progress ---------------------------------------------------------------------------------
 */

Test (peers, tell_a_progress_that_only_grows)
{
    test_cluster cluster;
    px_outcome outcome;
    px_job *job = NULL;
    px_job_progress last = {0}, now = {.size = sizeof now};
    work_tree tree = {6, 4, MILLISECONDS (1) / 4};
    cluster_begin (&cluster, 3, IN_PROCESS);
    cr_assert_eq (px_job_submit (cluster.peers[0], "work.tree", &tree, sizeof tree, NULL, &job),
                  PX_OK);
    uint32_t n_steps = 0;
    while (px_job_wait (job, px_deadline_ns (MILLISECONDS (5)), &outcome) != PX_OK) {
        cr_assert_eq (px_job_progress_read (job, &now), PX_OK);
        cr_assert_leq (now.subtasks_done, now.subtasks_known);
        cr_assert_geq (now.subtasks_done, last.subtasks_done);
        cr_assert_geq (now.subtasks_known, last.subtasks_known);
        n_steps += now.subtasks_done > last.subtasks_done;
        last = now;
    }
    px_job_share shares[CLUSTER_MAX];
    uint64_t subtasks = 0;
    size_t n = px_job_shares (job, shares, CLUSTER_MAX);
    for (size_t i = 0; i < n && i < CLUSTER_MAX; i++)
        subtasks += shares[i].subtasks;
    cr_assert_eq (px_job_progress_read (job, &now), PX_OK);
    cr_assert_gt (n_steps, 1, "it moves");
    cr_assert_leq (last.subtasks_done, subtasks, "nothing is counted twice");
    cr_assert (now.subtasks_done == subtasks && now.subtasks_known == subtasks,
               "done %llu known %llu shares %llu last %llu", (unsigned long long)now.subtasks_done,
               (unsigned long long)now.subtasks_known, (unsigned long long)subtasks,
               (unsigned long long)last.subtasks_done);
    px_job_free (&job);
    cluster_end (&cluster);
}

/* ---- trace ------------------------------------------------------------------------------------
 */

Test (peers, write_a_trace_of_attempts_here_and_away)
{
    char path[] = "/tmp/peerexec-trace-XXXXXX", text[60000] = "";
    close (mkstemp (path));
    test_cluster cluster;
    px_outcome outcome;
    px_job *job = NULL;
    px_job_options options = PX_JOB_OPTIONS_INIT;
    options.trace = 1;
    cluster_begin (&cluster, 2, IN_PROCESS);
    struct {
        work_many many;
        uint64_t duration_ns;
    } input = {{WORK_NAP, 40, 16, 0}, MILLISECONDS (5)};
    cr_assert_eq (
        px_job_submit (cluster.peers[0], "work.many", &input, sizeof input, &options, &job), PX_OK);
    cr_assert_eq (px_job_wait (job, px_deadline_ns (SECONDS (20)), &outcome), PX_OK);
    cr_assert_eq (px_job_trace (job, "/nowhere/trace"), PX_ESYSTEM);
    cr_assert_eq (px_job_trace (job, path), PX_OK);
    FILE *file = fopen (path, "r");
    cr_assert_gt (fread (text, 1, sizeof text - 1, file), 0);
    fclose (file);
    unlink (path);
    cr_assert_not_null (strstr (text, px_peer_name (cluster.peers[0])), "%s", text);
    cr_assert_not_null (strstr (text, px_peer_name (cluster.peers[1])), "%s", text);
    cr_assert_not_null (strstr (text, ".nap\""), "%s", text);
    px_job_free (&job);
    job = cluster_run (cluster.peers[0], "work.many", &input, sizeof input, &outcome);
    cr_assert_eq (px_job_trace (job, path), PX_ESTATE, "not asked for");
    px_job_free (&job);
    cluster_end (&cluster);
}
