/* The newcomer's first run (quickstart.sh builds and starts it): four peerd on loopback, the UTS
 * tree T1 from this process, one peer frozen and another killed while they hold work; then the
 * counts beside the published ones. Exit 0 only if every count is exact and both faults fell on
 * work under way.
 *
 * T1 is grown with UTS's own granularity -g (each child's hash is computed GRANULARITY times: the
 * same tree, more work per node), so that there is time for two faults on a fast machine. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerexec/peerexec.h>

#include "agent/status.h"
#include "common/executor.h"

enum { PEERS = 4, ADDRESS_SIZE = 64, GRANULARITY = 16, SHARES = 16 };
#define SECOND UINT64_C (1000000000)
#define START_NS (10 * SECOND)
#define JOB_NS (60 * SECOND)
#define ASK_NS (SECOND / 2)

static const uint64_t PUBLISHED[] = {4130071, 3305118, 10};
static const char *const COUNTS[] = {"nodes", "leaves", "depth"};

struct host {
    char name[8], ready[PATH_MAX], address[ADDRESS_SIZE];
    pid_t pid;
    const char *fault; /* what was done to it; NULL = nothing */
};

struct quickstart {
    char directory[PATH_MAX]; /* for ready files; gone at the end */
    struct host hosts[PEERS];
    px_peer *peer;
    px_job *job;
    uint64_t began_ns;
};

static void step (const char *what)
{
    printf ("  %s\n", what);
    fflush (stdout);
}

/* ---- four peerd -------------------------------------------------------------------------------
 */

static bool start_peerd (struct quickstart *run, const char *module, uint32_t number)
{
    struct host *host = &run->hosts[number];
    char program[PATH_MAX];
    if (!sibling_find ("peerd", program)) {
        fprintf (stderr, "quickstart: %s: not built\n", program);
        return false;
    }
    snprintf (host->name, sizeof host->name, "w%u", number + 1);
    if (snprintf (host->ready, sizeof host->ready, "%s/%s", run->directory, host->name) >= PATH_MAX)
        return false;
    const char *join = number ? run->hosts[0].address : NULL;
    const char *arguments[] = {
        program,     "--name",   host->name, "--slots",     "1",     "--ready-file",
        host->ready, "--module", module,     "--log-level", "error", join ? "--join" : NULL,
        join,        NULL};
    pid_t parent = getpid ();
    host->pid = fork ();
    if (host->pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        int null = open ("/dev/null", O_WRONLY);
        if (getppid () != parent || dup2 (null, STDERR_FILENO) < 0)
            _exit (127);
        execv (program, (char *const *)arguments);
        _exit (127);
    }
    return host->pid > 0;
}

static bool read_ready (struct host *host)
{
    FILE *file = fopen (host->ready, "r");
    if (!file)
        return false;
    bool read = fgets (host->address, sizeof host->address, file) != NULL;
    fclose (file);
    host->address[strcspn (host->address, "\n")] = 0;
    return read;
}

/* A rename in the directory says that somebody is ready. */
static bool wait_ready (struct host *host, int watch)
{
    uint64_t deadline_ns = px_deadline_ns (START_NS);
    while (!read_ready (host)) {
        char events[4096];
        struct pollfd fd = {.fd = watch, .events = POLLIN};
        uint64_t now_ns = px_now_ns ();
        if (now_ns >= deadline_ns || waitpid (host->pid, NULL, WNOHANG) == host->pid)
            return false;
        if (poll (&fd, 1, 100) > 0 && read (watch, events, sizeof events) < 0)
            return false;
    }
    return true;
}

static bool start_all (struct quickstart *run, const char *module)
{
    int watch = inotify_init1 (IN_CLOEXEC);
    if (watch < 0 || inotify_add_watch (watch, run->directory, IN_MOVED_TO) < 0)
        return false;
    bool started = true;
    for (uint32_t i = 0; started && i < PEERS; i++) {
        started = start_peerd (run, module, i) && wait_ready (&run->hosts[i], watch);
        if (started)
            printf ("  peerd %s at %s\n", run->hosts[i].name, run->hosts[i].address);
    }
    close (watch);
    if (!started)
        fprintf (stderr, "quickstart: a peerd does not start\n");
    return started;
}

static void end_all (struct quickstart *run)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        if (run->hosts[i].pid > 0)
            kill (run->hosts[i].pid, run->hosts[i].fault ? SIGKILL : SIGTERM);
    }
    for (uint32_t i = 0; i < PEERS; i++) {
        if (run->hosts[i].pid > 0)
            waitpid (run->hosts[i].pid, NULL, 0);
        unlink (run->hosts[i].ready);
    }
    /* Executors of the peers that died came to us: they end by themselves, having lost their peer.
     */
    while (wait (NULL) > 0)
        ;
    rmdir (run->directory);
}

/* ---- the job ----------------------------------------------------------------------------------
 */

static bool open_and_submit (struct quickstart *run, const char *module)
{
    char why[PX_WHY_SIZE] = "", text[128];
    const char *modules[] = {module, NULL}, *join[] = {run->hosts[0].address, NULL};
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    options.name = "app";
    options.join = join;
    options.modules = modules;
    options.slots = 1;
    px_err err = px_peer_open (&options, &run->peer, why);
    if (err == PX_OK)
        err = px_peer_wait (run->peer, PEERS, px_deadline_ns (START_NS));
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
static size_t attempts_at (const struct host *host)
{
    char *json = NULL;
    if (pxi_status_ask (host->address, ASK_NS, &json, NULL) != PX_OK)
        return 0;
    json_t *status = json_loads (json, 0, NULL);
    size_t n = json_array_size (json_object_get (status, "runs"));
    json_decref (status);
    free (json);
    return n;
}

/* To the first peer that has work in its hands; NULL = the job was over before. */
static const struct host *fault (struct quickstart *run, int signal, const char *name)
{
    while (!job_is_over (run)) {
        for (uint32_t i = 0; i < PEERS; i++) {
            struct host *host = &run->hosts[i];
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
        if (!strcmp (run->hosts[i].name, name))
            return run->hosts[i].fault;
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

static bool play (struct quickstart *run, const char *module)
{
    printf ("\nfour peers on loopback\n");
    if (!start_all (run, module))
        return false;
    printf ("\nUTS tree T1 (-g %d) from this process, one slot of its own\n", GRANULARITY);
    if (!open_and_submit (run, module))
        return false;
    go_on (run, SECOND / 4);
    const struct host *frozen = fault (run, SIGSTOP, "frozen");
    go_on (run, SECOND / 10);
    const struct host *killed = fault (run, SIGKILL, "killed");
    bool exact = finish (run);
    if (!frozen || !killed)
        fprintf (stderr,
                 "quickstart: the job was over before both faults: not the run we wanted\n");
    return exact && frozen && killed;
}

int main (int argc, char **argv)
{
    struct quickstart run = {0};
    if (argc != 3) {
        fprintf (stderr, "usage: quickstart MODULE.so DIRECTORY (see quickstart.sh)\n");
        return 2;
    }
    prctl (PR_SET_CHILD_SUBREAPER, 1);
    snprintf (run.directory, sizeof run.directory, "%s/quickstart-XXXXXX", argv[2]);
    if (!mkdtemp (run.directory)) {
        fprintf (stderr, "quickstart: %s: %s\n", run.directory, strerror (errno));
        return 1;
    }
    bool good = play (&run, argv[1]);
    px_job_free (&run.job);
    px_peer_close (&run.peer, 0);
    end_all (&run);
    step (good ? "\nall counts exact, both faults fell on work under way"
               : "\nNOT as it should be");
    return good ? 0 : 1;
}
