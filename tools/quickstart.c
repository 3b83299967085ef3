/* The newcomer's first run (quickstart.sh builds and starts it): four peerd on loopback, the UTS
 * tree T1 from this process, one peer frozen and another killed while they hold work; then the
 * counts beside the published ones. Exit 0 only if every count is exact and both faults fell on
 * work under way.
 *
 * T1 is grown with UTS's own granularity -g (each child's hash is computed GRANULARITY times: the
 * same tree, more work per node), so that there is time for two faults on a fast machine. */
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/peerexec.h>

#include "agent/status.h"
#include "common/local.h"

enum { PEERS = 4, GRANULARITY = 16, SHARES = 16 };
#define SECOND UINT64_C (1000000000)
#define JOIN_NS (10 * SECOND)
#define JOB_NS (60 * SECOND)
#define ASK_NS (SECOND / 2)

static const uint64_t PUBLISHED[] = {4130071, 3305118, 10};
static const char *const COUNTS[] = {"nodes", "leaves", "depth"};

struct quickstart {
    struct local_cluster cluster;
    px_peer *peer;
    px_job *job;
    uint64_t began_ns;
};

/* ---- the job ----------------------------------------------------------------------------------
 */

static bool open_and_submit (struct quickstart *run, const char *module)
{
    char why[PX_WHY_SIZE] = "", text[128];
    const char *modules[] = {module, NULL}, *join[] = {run->cluster.peers[0].address, NULL};
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    options.name = "app";
    options.join = join;
    options.modules = modules;
    options.slots = 1;
    px_err err = px_peer_open (&options, &run->peer, why);
    if (err == PX_OK)
        err = px_peer_wait (run->peer, PEERS, px_deadline_ns (JOIN_NS));
    snprintf (text, sizeof text, "-t 1 -a 3 -d 10 -b 4 -r 19 -g %d --chunk 512", GRANULARITY);
    run->began_ns = px_now_ns ();
    px_job_options job_options = PX_JOB_OPTIONS_INIT;
    job_options.timeout_ns = JOB_NS;
    if (err == PX_OK)
        err = px_job_submit (run->peer, "uts.tree", text, strlen (text), &job_options, &run->job);
    if (err != PX_OK)
        fprintf (stderr, "quickstart: %s\n", *why ? why : px_err_text (err));
    return err == PX_OK;
}

static bool job_is_over (const struct quickstart *run)
{
    px_outcome outcome;
    return px_job_wait (run->job, 0, &outcome) == PX_OK;
}

static void print_progress (const struct quickstart *run)
{
    px_job_progress progress = {.size = sizeof progress};
    if (px_job_progress_read (run->job, &progress) != PX_OK)
        return;
    printf ("  %.2f s: %" PRIu64 " of %" PRIu64 " known subtasks done, %" PRIu64
            " peers working for us, %" PRIu64 " redone\n",
            (double)(px_now_ns () - run->began_ns) / (double)SECOND, progress.subtasks_done,
            progress.subtasks_known, progress.peers_working, progress.redone);
    fflush (stdout);
}

/* ---- faults -----------------------------------------------------------------------------------
 */

/* Attempts in its hands now, by its own word. */
static size_t attempts_at (const struct local_peer *host)
{
    char *json = NULL;
    if (pxi_status_ask (host->address, NULL, ASK_NS, &json, NULL) != PX_OK)
        return 0;
    json_t *status = json_loads (json, 0, NULL);
    size_t n = json_array_size (json_object_get (status, "runs"));
    json_decref (status);
    free (json);
    return n;
}

/* To the first peer that has work in its hands; NULL = the job was over before. */
static const struct local_peer *fault (struct quickstart *run, int signal, const char *name)
{
    while (!job_is_over (run)) {
        for (uint32_t i = 0; i < PEERS; i++) {
            struct local_peer *host = &run->cluster.peers[i];
            size_t n = host->fault ? 0 : attempts_at (host);
            if (!n || kill (host->pid, signal) != 0)
                continue;
            host->fault = name;
            if (job_is_over (run))
                return NULL;
            printf ("  %.2f s: %s %s, %zu attempts in its hands\n",
                    (double)(px_now_ns () - run->began_ns) / (double)SECOND, host->name, name, n);
            return host;
        }
    }
    return NULL;
}

/* Wait for a stretch of the run, telling how far it is. */
static void go_on (struct quickstart *run, uint64_t duration_ns)
{
    px_outcome outcome;
    px_job_wait (run->job, px_deadline_ns (duration_ns), &outcome);
    print_progress (run);
}

/* ---- what came out ----------------------------------------------------------------------------
 */

static bool check_counts (const px_outcome *outcome)
{
    char text[256] = "";
    bool exact = outcome->bytes_size < sizeof text;
    if (exact)
        memcpy (text, outcome->bytes, outcome->bytes_size);
    printf ("\n            counted    published\n");
    const char *line = text;
    for (size_t i = 0; i < 3; i++) {
        char name[16] = "";
        uint64_t count = 0;
        bool read = line && sscanf (line, "%15s %" SCNu64, name, &count) == 2;
        bool same = read && !strcmp (name, COUNTS[i]) && count == PUBLISHED[i];
        printf ("  %-7s %10" PRIu64 "   %10" PRIu64 "   %s\n", COUNTS[i], count, PUBLISHED[i],
                same ? "exact" : "WRONG");
        exact = exact && same;
        line = line ? strchr (line, '\n') : NULL;
        line = line ? line + 1 : NULL;
    }
    return exact;
}

static const char *fault_of (const struct quickstart *run, const char *name)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        if (!strcmp (run->cluster.peers[i].name, name))
            return run->cluster.peers[i].fault;
    }
    return NULL;
}

static void print_shares (const struct quickstart *run)
{
    px_job_share shares[SHARES];
    size_t n = px_job_shares (run->job, shares, SHARES);
    printf ("\nwhere the subtasks ran (those whose result was used)\n");
    for (size_t i = 0; i < n && i < SHARES; i++) {
        const char *fault = fault_of (run, shares[i].peer_name);
        printf ("  %-8s %8" PRIu64 " subtasks %8.2f s of slot time%s%s\n", shares[i].peer_name,
                shares[i].subtasks, (double)shares[i].work_ns / (double)SECOND,
                fault ? ", then " : "", fault ? fault : "");
    }
}

static void print_stats (const struct quickstart *run, uint64_t ended_ns)
{
    px_stats stats = {.size = sizeof stats};
    if (px_peer_stats (run->peer, &stats) != PX_OK)
        return;
    uint64_t work_ns = stats.work_ns ? stats.work_ns : 1;
    printf ("\nprobes %" PRIu64 ": free %" PRIu64 ", busy %" PRIu64 ", no answer %" PRIu64
            "; offers by idle peers count as none\n",
            stats.probes_sent, stats.probes_free, stats.probes_busy, stats.probes_lost);
    printf ("attempts sent %" PRIu64 ", lost %" PRIu64 ", redone %" PRIu64 " (%" PRIu64
            " beside a straggler), late results dropped %" PRIu64 "\n",
            stats.subtasks_sent, stats.attempts_lost, stats.attempts_redone,
            stats.attempts_speculative, stats.results_late);
    printf ("extra work %.1f %% (of lost attempts: until their peer was last heard)\n",
            100.0 * (double)stats.extra_ns / (double)work_ns);
    printf ("wall time %.2f s\n", (double)(ended_ns - run->began_ns) / (double)SECOND);
}

static bool finish (struct quickstart *run)
{
    px_outcome outcome;
    while (px_job_wait (run->job, px_deadline_ns (SECOND), &outcome) != PX_OK)
        print_progress (run);
    uint64_t ended_ns = px_now_ns ();
    if (outcome.code != PX_OK) {
        char text[8192];
        px_outcome_print (&outcome, text, sizeof text);
        fprintf (stderr, "quickstart: the job failed: %s\n%s", px_err_text (outcome.code), text);
        return false;
    }
    bool exact = check_counts (&outcome);
    print_shares (run);
    print_stats (run, ended_ns);
    return exact;
}

static bool play (struct quickstart *run, const char *module, const char *directory)
{
    const char *modules[] = {module, NULL};
    const struct local_plan plan = {.n = PEERS, .modules = modules, .directory = directory};
    printf ("\nfour peers on loopback\n");
    if (!local_start (&run->cluster, &plan))
        return false;
    for (uint32_t i = 0; i < PEERS; i++)
        printf ("  peerd %s at %s\n", run->cluster.peers[i].name, run->cluster.peers[i].address);
    printf ("\nUTS tree T1 (-g %d) from this process, one slot of its own\n", GRANULARITY);
    if (!open_and_submit (run, module))
        return false;
    go_on (run, SECOND / 4);
    const struct local_peer *frozen = fault (run, SIGSTOP, "frozen");
    go_on (run, SECOND / 10);
    const struct local_peer *killed = fault (run, SIGKILL, "killed");
    bool exact = finish (run);
    if (!frozen || !killed)
        fprintf (stderr,
                 "quickstart: the job was over before both faults: not the run we wanted\n");
    return exact && frozen && killed;
}

int main (int argc, char **argv)
{
    static struct quickstart run;
    if (argc != 3) {
        fprintf (stderr, "usage: quickstart MODULE.so DIRECTORY (see quickstart.sh)\n");
        return 2;
    }
    bool good = play (&run, argv[1], argv[2]);
    px_job_free (&run.job);
    px_peer_close (&run.peer, 0);
    local_end (&run.cluster);
    printf ("\n%s\n",
            good ? "all counts exact, both faults fell on work under way" : "NOT as it should be");
    return good ? 0 : 1;
}
