/* Opening, running and waiting for the cluster tests. */
#include "cluster.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say (void *context, px_log_level level, const char *scope, const char *text)
{
    (void)context;
    if (getenv ("PX_TEST_LOG") || level == PX_LOG_ERROR)
        fprintf (stderr, "# %.3f %s: %s\n", (double)px_now_ns () / 1e9, scope, text);
}

px_peer_options cluster_options (cluster_kind kind)
{
    static const char *const modules[] = {TEST_MODULE, NULL};
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    options.slots = 1;
    options.log = say;
    options.log_level = getenv ("PX_TEST_LOG") ? PX_LOG_DEBUG : PX_LOG_WARNING;
    if (kind == IN_PROCESS)
        options.module = &px_module_v1;
    if (kind == APART) {
        options.modules = modules;
        options.executor = TEST_EXECUTOR;
    }
    return options;
}

px_peer *cluster_add (test_cluster *cluster, const px_peer_options *given)
{
    char why[PX_WHY_SIZE];
    px_peer_options options = *given;
    const char *join[] = {cluster->n ? px_peer_address (cluster->peers[0]) : NULL, NULL};
    if (cluster->n)
        options.join = join;
    px_peer **peer = &cluster->peers[cluster->n];
    cr_assert_lt (cluster->n, CLUSTER_MAX);
    px_err err = px_peer_open (&options, peer, why);
    cr_assert_eq (err, PX_OK, "%s: %s", px_err_name (err), why);
    cluster->n++;
    for (int i = 0; i < cluster->n; i++)
        cr_assert_eq (px_peer_wait (cluster->peers[i], (uint32_t)cluster->n - 1,
                                    px_deadline_ns (SECONDS (20))),
                      PX_OK, "peer %d does not get to know the others", i);
    return *peer;
}

void cluster_begin (test_cluster *cluster, int n, cluster_kind kind)
{
    memset (cluster, 0, sizeof *cluster);
    px_peer_options options = cluster_options (kind);
    for (int i = 0; i < n; i++)
        cluster_add (cluster, &options);
}

void cluster_end (test_cluster *cluster)
{
    while (cluster->n)
        px_peer_close (&cluster->peers[--cluster->n], px_deadline_ns (SECONDS (5)));
    cr_assert_eq (cluster_children (), 0, "executors are left");
}

px_stats cluster_stats (px_peer *peer)
{
    px_stats stats = {.size = sizeof stats};
    cr_assert_eq (px_peer_stats (peer, &stats), PX_OK);
    return stats;
}

uint64_t cluster_sum (const test_cluster *cluster, size_t offset)
{
    uint64_t sum = 0;
    for (int i = 0; i < cluster->n; i++) {
        px_stats stats = cluster_stats (cluster->peers[i]);
        uint64_t value;
        memcpy (&value, (const char *)&stats + offset, sizeof value);
        sum += value;
    }
    return sum;
}

void cluster_pause (void)
{
    poll (NULL, 0, 1);
}

px_job *cluster_run (px_peer *peer, const char *task, const void *input, size_t input_size,
                     px_outcome *outcome)
{
    px_job *job = NULL;
    px_err err = px_job_submit (peer, task, input, input_size, NULL, &job);
    cr_assert_eq (err, PX_OK, "%s", px_err_name (err));
    err = px_job_wait (job, px_deadline_ns (SECONDS (60)), outcome);
    cr_assert_eq (err, PX_OK, "%s is not finished after 60 s", task);
    return job;
}

uint64_t cluster_number (px_peer *peer, const char *task, const void *input, size_t input_size)
{
    px_outcome outcome;
    uint64_t number = 0;
    px_job *job = cluster_run (peer, task, input, input_size, &outcome);
    char text[2000];
    px_outcome_print (&outcome, text, sizeof text);
    cr_assert_eq (outcome.code, PX_OK, "%s", text);
    cr_assert_eq (outcome.bytes_size, sizeof number);
    memcpy (&number, outcome.bytes, sizeof number);
    px_job_free (&job);
    return number;
}

uint64_t cluster_tree_size (uint32_t depth, uint32_t fan)
{
    return depth ? 1 + fan * cluster_tree_size (depth - 1, fan) : 1;
}

static int parent_of (const char *pid)
{
    char path[300], line[300] = "";
    int parent = 0;
    snprintf (path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen (path, "re");
    if (!file)
        return 0;
    const char *after = fgets (line, sizeof line, file) ? strrchr (line, ')') : NULL;
    if (after)
        sscanf (after, ") %*c %d", &parent);
    fclose (file);
    return parent;
}

static int each_child (int signal)
{
    int n = 0;
    DIR *all = opendir ("/proc");
    cr_assert_not_null (all);
    for (const struct dirent *entry; (entry = readdir (all));) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
            parent_of (entry->d_name) != (int)getpid ())
            continue;
        n++;
        if (signal)
            kill (atoi (entry->d_name), signal);
    }
    closedir (all);
    return n;
}

int cluster_children (void)
{
    return each_child (0);
}

int cluster_kill_children (void)
{
    return each_child (SIGKILL);
}
