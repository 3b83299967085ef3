/* The measurement: a process for each peer, on loopback, and one that tells them what to do.
 *
 * Processes are forked before any thread exists. Each hears its orders on a socket pair that keeps letters
 * whole; the fault's victim is asked for its counters at the moment before it is killed or stopped. Nobody
 * outlives the run: a member dies with its parent, and is ended by its pid. */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agent/status.h"
#include "core/limits.h"
#include "reality/reality.h"

enum { ANSWER_MS = 30000, JOB_MS = 600000 };
#define TOGETHER_NS (10 * PXI_SECOND) /* until all know all */

typedef enum letter_kind {
    LETTER_OPEN,   /* to a member: join `text` ("" = be the first); back: its address */
    LETTER_GATHER, /* wait until all know all */
    LETTER_RUN,    /* the job; back: SUBMITTED, then RUN with what it took */
    LETTER_SUBMITTED,
    LETTER_STATS,
    LETTER_FAILED, /* back: `text` says why */
} letter_kind;

typedef struct letter {
    letter_kind kind;
    char text[REALITY_WHY_SIZE];
    uint64_t makespan_ns, hash;
    px_stats stats;
} letter_t;

/* ---- a member --------------------------------------------------------------------------------- */

typedef struct member {
    const reality_plan *plan;
    uint32_t index;
    int fd;
    uint64_t epoch_ns;
    char name[8];
    FILE *trace;
    px_peer *peer;
} member_t;

static void log_line (void *context, px_log_level level, const char *scope, const char *text)
{
    const member_t *member = context;
    if (level == PX_LOG_DEBUG && !strcmp (scope, "core"))
        reality_trace_line (member->trace, px_now_ns () - member->epoch_ns, member->name, text);
}

static bool answer (const member_t *member, letter_t *letter, letter_kind kind)
{
    letter->kind = kind;
    return send (member->fd, letter, sizeof *letter, MSG_NOSIGNAL) == sizeof *letter;
}

static px_err open_peer (member_t *member, letter_t *letter)
{
    const reality_plan *plan = member->plan;
    const char *join[] = {letter->text, NULL};
    char why[PX_WHY_SIZE] = "";
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    options.name = member->name;
    options.join = *letter->text ? join : NULL;
    options.slots = plan->slots;
    options.module = &px_module_v1;
    options.detect_ns = plan->detect_ns;
    options.seed = pxi_mix64 (plan->seed + member->index);
    if (member->trace) {
        options.log = log_line;
        options.log_context = member;
        options.log_level = PX_LOG_DEBUG;
    }
    px_err err = px_peer_open (&options, &member->peer, why);
    snprintf (letter->text, sizeof letter->text, "%s",
              err == PX_OK ? px_peer_address (member->peer) : why);
    return err;
}

static px_err run_job (member_t *member, letter_t *letter)
{
    const reality_plan *plan = member->plan;
    const reality_input input = {plan->tree, pxi_workload_root (&plan->tree)};
    px_job *job = NULL;
    px_outcome outcome = {0};
    answer (member, letter, LETTER_SUBMITTED);
    uint64_t from_ns = px_now_ns ();
    px_err err = px_job_submit (member->peer, REALITY_TASK, &input, sizeof input, NULL, &job);
    if (err == PX_OK)
        err = px_job_wait (job, PX_FOREVER, &outcome);
    letter->makespan_ns = px_now_ns () - from_ns;
    if (err == PX_OK)
        err = outcome.code;
    if (err == PX_OK && outcome.bytes_size == sizeof letter->hash)
        memcpy (&letter->hash, outcome.bytes, sizeof letter->hash);
    if (err != PX_OK)
        px_outcome_print (&outcome, letter->text, sizeof letter->text);
    px_job_free (&job);
    return err;
}

static px_err obey (member_t *member, letter_t *letter)
{
    switch (letter->kind) {
    case LETTER_OPEN:
        return open_peer (member, letter);
    case LETTER_GATHER:
        snprintf (letter->text, sizeof letter->text, "the peers do not find each other");
        return px_peer_wait (member->peer, member->plan->n_peers - 1, px_deadline_ns (TOGETHER_NS));
    case LETTER_RUN:
        return run_job (member, letter);
    default:
        letter->stats.size = sizeof letter->stats;
        return px_peer_stats (member->peer, &letter->stats);
    }
}

/* Until it is killed, or nobody is left to obey. */
static _Noreturn void serve (member_t *member)
{
    letter_t letter;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    prctl (PR_SET_TIMERSLACK, 1); /* sleeps of the pool's threads, which inherit it, end in time */
    snprintf (member->name, sizeof member->name, "w%u", member->index + 1);
    if (member->plan->trace)
        member->trace = fopen (member->plan->trace, "a");
    while (recv (member->fd, &letter, sizeof letter, 0) == sizeof letter) {
        letter_kind asked = letter.kind;
        px_err err = obey (member, &letter);
        if (!answer (member, &letter, err == PX_OK ? asked : LETTER_FAILED))
            break;
    }
    _exit (0);
}

/* ---- all of them ------------------------------------------------------------------------------ */

typedef struct cluster {
    const reality_plan *plan;
    char *why;
    uint32_t n; /* started */
    pid_t pids[REALITY_PEERS_MAX];
    int fds[REALITY_PEERS_MAX];
    bool gone[REALITY_PEERS_MAX]; /* by the fault */
} cluster_t;

static bool fail (cluster_t *cluster, const char *what)
{
    snprintf (cluster->why, REALITY_WHY_SIZE, "%s", what);
    return false;
}

static bool start_one (cluster_t *cluster, uint64_t epoch_ns)
{
    int pair[2];
    if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return fail (cluster, strerror (errno));
    pid_t pid = fork ();
    if (!pid) {
        member_t member = {cluster->plan, cluster->n, pair[1], epoch_ns, "", NULL, NULL};
        close (pair[0]);
        for (uint32_t i = 0; i < cluster->n; i++)
            close (cluster->fds[i]);
        serve (&member);
    }
    close (pair[1]);
    cluster->fds[cluster->n] = pair[0];
    cluster->pids[cluster->n] = pid;
    cluster->n += pid > 0;
    return pid > 0 || fail (cluster, strerror (errno));
}

static bool tell (cluster_t *cluster, uint32_t member, letter_kind kind, const char *text)
{
    letter_t letter = {.kind = kind};
    snprintf (letter.text, sizeof letter.text, "%s", text);
    if (send (cluster->fds[member], &letter, sizeof letter, MSG_NOSIGNAL) == sizeof letter)
        return true;
    return fail (cluster, "a peer has ended");
}

static bool hear (cluster_t *cluster, uint32_t member, letter_kind kind, int wait_ms,
                  letter_t *letter)
{
    struct pollfd watched = {.fd = cluster->fds[member], .events = POLLIN};
    if (poll (&watched, 1, wait_ms) <= 0)
        return fail (cluster, "a peer does not answer");
    if (recv (watched.fd, letter, sizeof *letter, 0) != sizeof *letter)
        return fail (cluster, "a peer has ended");
    return letter->kind == kind || fail (cluster, letter->text);
}

static bool ask (cluster_t *cluster, uint32_t member, letter_kind kind, const char *text,
                 letter_t *letter)
{
    return tell (cluster, member, kind, text) && hear (cluster, member, kind, ANSWER_MS, letter);
}

/* All open, all know all, and a second has passed, as in the virtual cluster. */
static bool gather (cluster_t *cluster, char *address)
{
    letter_t letter;
    if (!ask (cluster, REALITY_ROOT, LETTER_OPEN, "", &letter))
        return false;
    strcpy (address, letter.text);
    for (uint32_t i = 1; i < cluster->n; i++) {
        if (!ask (cluster, i, LETTER_OPEN, address, &letter))
            return false;
    }
    for (uint32_t i = 0; i < cluster->n; i++) {
        if (!ask (cluster, i, LETTER_GATHER, "", &letter))
            return false;
    }
    nanosleep (&(struct timespec){.tv_sec = 1}, NULL);
    return true;
}

static int by_value (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The median of what the root's peer knows. */
static bool read_rtt (cluster_t *cluster, const char *address, uint64_t *rtt_ns)
{
    uint64_t rtts_us[REALITY_PEERS_MAX] = {0};
    char *text;
    if (pxi_status_ask (address, NULL, ANSWER_MS * PXI_MS, &text, cluster->why) != PX_OK)
        return false;
    json_t *status = json_loads (text, 0, NULL), *peer;
    size_t i, n = 0;
    json_array_foreach (json_object_get (status, "peers"), i, peer)
    {
        json_int_t rtt_us = json_integer_value (json_object_get (peer, "rtt_us"));
        if (rtt_us > 0 && n < REALITY_PEERS_MAX)
            rtts_us[n++] = (uint64_t)rtt_us;
    }
    json_decref (status);
    free (text);
    qsort (rtts_us, n, sizeof *rtts_us, by_value);
    *rtt_ns = n ? rtts_us[n / 2] * 1000 : 0;
    return true;
}

static bool sum_up (cluster_t *cluster, uint32_t member, reality_outcome *outcome)
{
    letter_t letter;
    if (!ask (cluster, member, LETTER_STATS, "", &letter))
        return false;
    reality_add_stats (&outcome->stats, &letter.stats);
    return true;
}

static bool let_go_wrong (cluster_t *cluster, uint64_t submitted_ns, reality_outcome *outcome)
{
    const pxi_fault *fault = &cluster->plan->fault;
    struct pollfd root = {.fd = cluster->fds[REALITY_ROOT], .events = POLLIN};
    uint64_t at_ns = submitted_ns + fault->at_ns, now_ns = px_now_ns ();
    int wait_ms = at_ns > now_ns ? (int)((at_ns - now_ns) / PXI_MS) : 0;
    if (poll (&root, 1, wait_ms) != 0)
        return fail (cluster, "the job was over before the fault");
    if (!sum_up (cluster, fault->peer, outcome))
        return false;
    cluster->gone[fault->peer] = true;
    kill (cluster->pids[fault->peer], fault->kind == PXI_FAULT_CRASH ? SIGKILL : SIGSTOP);
    return true;
}

static bool run (cluster_t *cluster, reality_outcome *outcome)
{
    char address[REALITY_WHY_SIZE];
    letter_t letter;
    if (!gather (cluster, address) || !read_rtt (cluster, address, &outcome->rtt_ns) ||
        !tell (cluster, REALITY_ROOT, LETTER_RUN, "") ||
        !hear (cluster, REALITY_ROOT, LETTER_SUBMITTED, ANSWER_MS, &letter))
        return false;
    if (cluster->plan->faulty && !let_go_wrong (cluster, px_now_ns (), outcome))
        return false;
    if (!hear (cluster, REALITY_ROOT, LETTER_RUN, JOB_MS, &letter))
        return false;
    outcome->makespan_ns = letter.makespan_ns;
    outcome->hash = letter.hash;
    for (uint32_t i = 0; i < cluster->n; i++) {
        if (!cluster->gone[i] && !sum_up (cluster, i, outcome))
            return false;
    }
    return outcome->hash == cluster->plan->serial.hash || fail (cluster, "the answer is wrong");
}

bool reality_measure (const reality_plan *plan, reality_outcome *outcome,
                      char why[REALITY_WHY_SIZE])
{
    cluster_t cluster = {.plan = plan, .why = why};
    uint64_t epoch_ns = px_now_ns ();
    *outcome = (reality_outcome){0};
    FILE *trace = plan->trace ? fopen (plan->trace, "w") : NULL; /* members append */
    if (trace)
        fclose (trace);
    bool fine = true;
    while (fine && cluster.n < plan->n_peers)
        fine = start_one (&cluster, epoch_ns);
    fine = fine && run (&cluster, outcome);
    for (uint32_t i = 0; i < cluster.n; i++) {
        kill (cluster.pids[i], SIGKILL);
        waitpid (cluster.pids[i], NULL, 0);
        close (cluster.fds[i]);
    }
    return fine;
}
