/* Data-parallel branches, in C: over real peers, whose tasks say how many results are wrong. */
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cluster.h"
#include "leak.h"

TestSuite (ranges, .timeout = 120);

static void expect_none_wrong (px_peer *peer, const char *task, uint64_t begin, uint64_t n)
{
    uint64_t range[2] = {begin, n};
    cr_assert_eq (cluster_number (peer, task, range, sizeof range), 0, "%s [%llu, + %llu)", task,
                  (unsigned long long)begin, (unsigned long long)n);
}

Test (ranges, of_all_sizes_give_each_index_its_result)
{
    test_cluster cluster;
    cluster_begin (&cluster, 1, IN_PROCESS);
    static const uint64_t sizes[] = {0,   1,   2,   3,   63,   64,   65,
                                     511, 512, 513, 999, 1000, 1001, 100003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        expect_none_wrong (cluster.peers[0], "work.range_blend", 0, sizes[i]);
        expect_none_wrong (cluster.peers[0], "work.range_blend", 17 * i, sizes[i]);
        expect_none_wrong (cluster.peers[0], "work.range_sums", i, sizes[i]);
    }
    cluster_end (&cluster);
    TEST_NO_LEAKS ();
}

Test (ranges, are_the_same_on_several_peers)
{
    test_cluster cluster;
    cluster_begin (&cluster, 3, IN_PROCESS);
    for (int i = 0; i < 5; i++) {
        expect_none_wrong (cluster.peers[0], "work.range_blend", 5, 200000);
        expect_none_wrong (cluster.peers[0], "work.range_sums", 5, 2000000);
    }
    cluster_end (&cluster);
}

Test (ranges, run_in_executors)
{
    test_cluster cluster;
    cluster_begin (&cluster, 2, APART);
    expect_none_wrong (cluster.peers[0], "work.range_blend", 5, 200000);
    expect_none_wrong (cluster.peers[0], "work.range_sums", 0, 2000000);
    cluster_end (&cluster);
}

Test (ranges, tell_which_chunk_failed_and_why)
{
    test_cluster cluster;
    px_outcome outcome;
    char text[4000];
    cluster_begin (&cluster, 1, IN_PROCESS);
    px_job *job = cluster_run (cluster.peers[0], "work.range_fails", NULL, 0, &outcome);
    cr_assert_eq (outcome.code, PX_EFAILED);
    px_outcome_print (&outcome, text, sizeof text);
    cr_assert_not_null (strstr (text, "work.picky"), "%s", text);
    cr_assert_not_null (strstr (text, "index 500 is not to my taste ["), "%s", text);
    cr_assert_not_null (strstr (text, "tests/cluster/ranges.c:"), "%s", text);
    px_job_free (&job);
    cluster_end (&cluster);
}

Test (ranges, refuse_what_does_not_fit)
{
    test_cluster cluster;
    cluster_begin (&cluster, 1, IN_PROCESS);
    cr_assert_eq (cluster_number (cluster.peers[0], "work.range_wrong", NULL, 0), 0);
    cluster_end (&cluster);
}
