/* Executor processes: what takes one down is an error of the attempt, and of nothing else. */
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster.h"
#include "leak.h"

TestSuite (executors, .timeout = 120);

static void expect_crash (px_peer *peer, const char *task, const void *input, size_t input_size,
                          px_err code, const char *how)
{
    px_outcome outcome;
    char expected[200], text[2000];
    px_job *job = cluster_run (peer, task, input, input_size, &outcome);
    px_outcome_print (&outcome, text, sizeof text);
    snprintf (expected, sizeof expected, "%s of module work on peer ", how);
    cr_assert (outcome.code == code || outcome.code == PX_ECRASH, "%s: %s", task, text);
    cr_assert_not_null (strstr (text, expected), "%s: %s", task, text);
    px_job_free (&job);
}

Test (executors, turn_a_crash_of_a_root_into_its_outcome)
{
    const struct {
        const char *task, *how;
    } cases[] = {
        {"work.segv", "signal 11 in task work.segv"},
        {"work.die", "signal 6 in task work.die"},
        {"work.overflow", "signal 11 in task work.overflow"},
        {"work.leave", "exit code 3 in task work.leave"},
    };
    test_cluster cluster;
    cluster_begin (&cluster, 1, APART);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t before = cluster_stats (cluster.peers[0]).attempts_crashed;
        expect_crash (cluster.peers[0], cases[i].task, NULL, 0, PX_ECRASH, cases[i].how);
        uint64_t crashed = cluster_stats (cluster.peers[0]).attempts_crashed - before;
        cr_assert_leq (crashed, 3, "%llu attempts", (unsigned long long)crashed);
    }
    work_tree tree = {4, 4, 0};
    cr_assert_eq (cluster_number (cluster.peers[0], "work.tree", &tree, sizeof tree),
                  cluster_tree_size (4, 4), "the peer goes on");
    cluster_end (&cluster);
    TEST_NO_LEAKS ();
}

Test (executors, try_a_crashing_subtask_at_most_three_times)
{
    const struct {
        uint32_t kind;
        const char *how;
    } cases[] = {
        {WORK_SEGV, "signal 11 in task work.segv"},
        {WORK_OVERFLOW, "signal 11 in task work.overflow"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_cluster cluster;
        work_many many = {cases[i].kind, 1, 16, 0};
        cluster_begin (&cluster, 3, APART);
        /* The subtask's, or the root's, if the root's process was taken down each time. */
        expect_crash (cluster.peers[0], "work.many", &many, sizeof many, PX_EFAILED, cases[i].how);
        cr_assert_leq (CLUSTER_SUM (&cluster, attempts_crashed), 3 + 3 * 3);
        cluster_end (&cluster);
    }
}

static void count_deaths (void *context, px_log_level level, const char *scope, const char *text)
{
    (void)level;
    if (strcmp (scope, "executor") == 0 && strstr (text, " ended by signal"))
        __atomic_fetch_add ((unsigned *)context, 1, __ATOMIC_RELAXED);
}

/* Each crash takes subtasks along whose masters count the crashes of others. */
Test (executors, end_a_job_that_crashes_deep_in_its_tree)
{
    enum { PEERS = 3, DEPTH = 4, FAN = 2, TRAP = 15 };
    unsigned deaths = 0;
    char text[4000];
    px_outcome outcome;
    test_cluster cluster = {0};
    px_peer_options options = cluster_options (APART);
    options.log = count_deaths;
    options.log_context = &deaths;
    options.log_level = PX_LOG_WARNING;
    for (int i = 0; i < PEERS; i++)
        cluster_add (&cluster, &options);
    work_trap what = {{DEPTH, FAN, MILLISECONDS (20)}, 0, TRAP};
    px_job *job = cluster_run (cluster.peers[0], "work.trapped", &what, sizeof what, &outcome);
    px_outcome_print (&outcome, text, sizeof text);
    cr_assert_neq (outcome.code, PX_OK);
    cr_assert_not_null (strstr (text, "task work.trapped of module work"), "%s", text);
    px_job_free (&job);
    cluster_end (&cluster);
    /* Each subtree with the trap in it thrice at each peer, and the root's own runs. */
    cr_assert_leq (deaths, PEERS * (DEPTH + 1) * 3 + 10, "%u processes died", deaths);
    TEST_NO_LEAKS ();
}

/* One program crashes again and again; another one, on the same peers, does not notice. */
Test (executors, keep_programs_apart)
{
    test_cluster cluster;
    px_job *job = NULL;
    px_outcome outcome;
    cluster_begin (&cluster, 2, APART);
    work_tree tree = {6, 4, MILLISECONDS (1) / 4};
    cr_assert_eq (px_job_submit (cluster.peers[1], "work.tree", &tree, sizeof tree, NULL, &job),
                  PX_OK);
    for (int i = 0; i < 3; i++)
        expect_crash (cluster.peers[0], "work.die", NULL, 0, PX_ECRASH,
                      "signal 6 in task work.die");
    cr_assert_eq (px_job_wait (job, px_deadline_ns (SECONDS (60)), &outcome), PX_OK);
    cr_assert_eq (outcome.code, PX_OK, "%s", px_err_name (outcome.code));
    uint64_t count = 0;
    memcpy (&count, outcome.bytes, sizeof count);
    cr_assert_eq (count, cluster_tree_size (6, 4));
    px_job_free (&job);
    cluster_end (&cluster);
}

Test (executors, that_do_not_stop_are_ended)
{
    test_cluster cluster;
    px_job *job = NULL;
    px_outcome outcome;
    cluster_begin (&cluster, 2, APART);
    work_many many = {WORK_DEAF, 2, 16, 0};
    cr_assert_eq (px_job_submit (cluster.peers[0], "work.many", &many, sizeof many, NULL, &job),
                  PX_OK);
    CLUSTER_UNTIL (CLUSTER_SUM (&cluster, slots_used) >= 2);
    px_job_cancel (job);
    cr_assert_eq (px_job_wait (job, px_deadline_ns (SECONDS (20)), &outcome), PX_OK);
    cr_assert_eq (outcome.code, PX_ECANCELLED);
    px_job_free (&job);
    CLUSTER_UNTIL (CLUSTER_SUM (&cluster, jobs) == 0);
    CLUSTER_UNTIL (CLUSTER_SUM (&cluster, slots_used) == 0);
    cluster_end (&cluster);
}

Test (executors, are_used_again_by_the_next_job)
{
    test_cluster cluster;
    cluster_begin (&cluster, 1, APART);
    work_tree tree = {2, 2, 0};
    /* A job may come before the process of the last one has put its things away: then it gets
       another one. */
    int before;
    CLUSTER_UNTIL ((before = cluster_children (),
                    cluster_number (cluster.peers[0], "work.tree", &tree, sizeof tree),
                    before > 0 && cluster_children () == before));
    cluster_end (&cluster);
}

/* ---- what is no task's fault ------------------------------------------------------------------ */

static void expect_no_executor (px_peer *peer, const char *says)
{
    px_outcome outcome;
    char text[2000];
    px_job *job = cluster_run (peer, "work.echo", "x", 1, &outcome);
    px_outcome_print (&outcome, text, sizeof text);
    cr_assert_neq (outcome.code, PX_OK);
    cr_assert_neq (outcome.code, PX_ECRASH, "%s", text);
    cr_assert_not_null (strstr (text, says), "%s", text);
    px_job_free (&job);
}

Test (executors, that_are_none_are_told)
{
    test_cluster cluster = {0};
    px_peer_options options = cluster_options (APART);
    options.log = NULL;
    options.executor = "/bin/true";
    cluster_add (&cluster, &options);
    expect_no_executor (cluster.peers[0], "the executor ended by exit code 0 before it was ready");
    cluster_end (&cluster);
    TEST_NO_LEAKS ();
}

Test (executors, that_speak_nonsense_are_ended)
{
    char path[] = "/tmp/peerexec-executor-XXXXXX";
    int fd = mkstemp (path);
    static const char script[] = "#!/bin/sh\n"
                                 "head -c 100000 /dev/urandom >&3\n"
                                 "exec sleep 1000\n";
    cr_assert_eq (write (fd, script, sizeof script - 1), (ssize_t)sizeof script - 1);
    cr_assert_eq (fchmod (fd, 0700), 0);
    close (fd);
    test_cluster cluster = {0};
    px_peer_options options = cluster_options (APART);
    options.log = NULL;
    options.executor = path;
    cluster_add (&cluster, &options);
    expect_no_executor (cluster.peers[0], "the executor ended by signal 9 before it was ready");
    cluster_end (&cluster);
    unlink (path);
    TEST_NO_LEAKS ();
}

static void copy_file (const char *from, const char *to)
{
    char block[65536];
    FILE *in = fopen (from, "r"), *out = fopen (to, "w");
    cr_assert (in && out);
    for (size_t n; (n = fread (block, 1, sizeof block, in)) > 0;)
        cr_assert_eq (fwrite (block, 1, n, out), n);
    fclose (in);
    fclose (out);
}

Test (executors, do_not_load_another_file_than_the_peer_did)
{
    char folder[] = "/tmp/peerexec-module-XXXXXX", path[100], other[100];
    cr_assert_not_null (mkdtemp (folder));
    snprintf (path, sizeof path, "%s/work.so", folder);
    snprintf (other, sizeof other, "%s/other.so", folder);
    copy_file (TEST_MODULE, path);
    copy_file (TEST_MODULE, other);
    FILE *file = fopen (other, "a");
    fputs ("changed", file);
    fclose (file);
    const char *const modules[] = {path, NULL};
    test_cluster cluster = {0};
    px_peer_options options = cluster_options (APART);
    options.log = NULL;
    options.modules = modules;
    cluster_add (&cluster, &options);
    cr_assert_eq (rename (other, path), 0);
    expect_no_executor (cluster.peers[0], "file has changed since its peer was started");
    cluster_end (&cluster);
    remove (path);
    remove (folder);
    TEST_NO_LEAKS ();
}

/* Killed from outside, all of them, while they work: the tree is counted all the same. */
Test (executors, may_be_killed_by_anybody)
{
    test_cluster cluster;
    px_job *job = NULL;
    px_outcome outcome;
    uint64_t count = 0;
    cluster_begin (&cluster, 2, APART);
    work_tree tree = {6, 4, MILLISECONDS (1) / 4};
    cr_assert_eq (px_job_submit (cluster.peers[0], "work.tree", &tree, sizeof tree, NULL, &job),
                  PX_OK);
    CLUSTER_UNTIL (cluster_stats (cluster.peers[1]).attempts_here > 0);
    cr_assert_geq (cluster_kill_children (), 2);
    cr_assert_eq (px_job_wait (job, px_deadline_ns (SECONDS (60)), &outcome), PX_OK);
    cr_assert_eq (outcome.code, PX_OK);
    memcpy (&count, outcome.bytes, sizeof count);
    cr_assert_eq (count, cluster_tree_size (6, 4));
    px_job_free (&job);
    cluster_end (&cluster);
}

/* The next process is given what the one before it had. */
Test (executors, that_were_killed_leave_the_shared_input_to_others)
{
    test_cluster cluster;
    px_job *job = NULL;
    px_outcome outcome;
    uint64_t sum = 0, bytes = 0;
    work_sums what = {60, 1 << 20, 0, MILLISECONDS (5)};
    cluster_begin (&cluster, 3, APART);
    for (uint64_t i = 0; i < what.size; i++)
        bytes += work_shared_byte (i);
    cr_assert_eq (px_job_submit (cluster.peers[0], "work.sums", &what, sizeof what, NULL, &job),
                  PX_OK);
    CLUSTER_UNTIL (CLUSTER_SUM (&cluster, shared_received) > 0);
    cr_assert_geq (cluster_kill_children (), 2);
    cr_assert_eq (px_job_wait (job, px_deadline_ns (SECONDS (60)), &outcome), PX_OK);
    cr_assert_eq (outcome.code, PX_OK);
    memcpy (&sum, outcome.bytes, sizeof sum);
    cr_assert_eq (sum, bytes * (what.chunks * (what.chunks + 1) / 2));
    px_job_free (&job);
    cluster_end (&cluster);
}

/* While they rest for the job that has just ended, or are kept for the next one. */
Test (executors, may_be_killed_between_jobs)
{
    test_cluster cluster;
    work_tree tree = {3, 4, MILLISECONDS (1)};
    cluster_begin (&cluster, 2, APART);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq (cluster_number (cluster.peers[i % 2], "work.tree", &tree, sizeof tree),
                      cluster_tree_size (3, 4));
        cluster_kill_children ();
    }
    cluster_end (&cluster);
}
