#include "common/local.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerexec/peer.h>

#include "common/executor.h"

#define START_NS UINT64_C (10000000000)
#define END_NS UINT64_C (5000000000) /* for leaving politely; then SIGKILL */

struct arguments {
    const char *items[19 + 2 * LOCAL_MODULES_MAX];
    uint32_t n;
};

static void add (struct arguments *to, const char *option, const char *value)
{
    to->items[to->n++] = option;
    if (value)
        to->items[to->n++] = value;
    to->items[to->n] = NULL;
}

static bool spawn (struct local_cluster *cluster, const struct local_plan *plan, uint32_t at)
{
    const char *directory = cluster->directory;
    struct local_peer *peer = &cluster->peers[at];
    struct arguments arguments = {0};
    char program[PATH_MAX], slots[16];
    if (!sibling_find ("peerd", program)) {
        fprintf (stderr, "%s: not there: is the installation complete?\n", program);
        return false;
    }
    snprintf (peer->name, sizeof peer->name, "w%u", at + 1);
    char ready[sizeof peer->ready]; /* apart: source and destination are one structure */
    int length = snprintf (ready, sizeof ready, "%s/w%u", directory, at + 1);
    if (length >= PATH_MAX)
        return false;
    memcpy (peer->ready, ready, (size_t)length + 1);
    snprintf (slots, sizeof slots, "%u", plan->slots ? plan->slots : 1);
    add (&arguments, program, NULL);
    add (&arguments, "--name", peer->name);
    add (&arguments, "--slots", slots);
    add (&arguments, "--ready-file", peer->ready);
    add (&arguments, "--log-level", "error");
    add (&arguments, "--devices", plan->devices ? plan->devices : "none");
    for (uint32_t i = 0; plan->modules[i]; i++)
        add (&arguments, "--module", plan->modules[i]);
    if (plan->in_process)
        add (&arguments, "--in-process", NULL);
    if (plan->key)
        add (&arguments, "--key", plan->key);
    if (plan->tcp_only)
        add (&arguments, "--tcp-only", NULL);
    if (at)
        add (&arguments, "--join", cluster->peers[0].address);
    pid_t parent = getpid ();
    peer->pid = fork ();
    if (peer->pid == 0) {
        sigset_t none;
        sigemptyset (&none);
        sigprocmask (SIG_SETMASK, &none, NULL);
        setpgid (0, 0); /* Ctrl-C at the terminal is the tool's to handle */
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        int null = open ("/dev/null", O_RDWR);
        if (getppid () != parent || dup2 (null, STDIN_FILENO) < 0 || dup2 (null, STDOUT_FILENO) < 0)
            _exit (127);
        execv (program, (char *const *)arguments.items);
        _exit (127);
    }
    if (peer->pid > 0)
        return true;
    peer->pid = 0;
    fprintf (stderr, "cannot start %s: %s\n", program, strerror (errno));
    return false;
}

static bool read_ready (struct local_peer *peer)
{
    FILE *file = fopen (peer->ready, "r");
    if (!file)
        return false;
    bool read = fgets (peer->address, sizeof peer->address, file) != NULL;
    fclose (file);
    peer->address[strcspn (peer->address, "\n")] = 0;
    return read;
}

/* A rename in the directory says that somebody is ready; the time-out is for one that dies. */
static bool wait_ready (struct local_peer *peer, int watch)
{
    uint64_t deadline_ns = px_deadline_ns (START_NS);
    while (!read_ready (peer)) {
        char events[4096];
        struct pollfd fd = {.fd = watch, .events = POLLIN};
        if (waitpid (peer->pid, NULL, WNOHANG) == peer->pid) {
            peer->pid = 0;
            fprintf (stderr, "%s ended before it was ready\n", peer->name);
            return false;
        }
        if (px_now_ns () >= deadline_ns) {
            fprintf (stderr, "%s is not ready after 10 s\n", peer->name);
            return false;
        }
        if (poll (&fd, 1, 100) > 0 && read (watch, events, sizeof events) < 0)
            return false;
    }
    return true;
}

static const char *scratch_directory (void)
{
    const char *directory = getenv ("TMPDIR");
    return directory && *directory ? directory : "/tmp";
}

/* They have been read, or never will be. */
static void remove_files (struct local_cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->n; i++) {
        if (*cluster->peers[i].ready)
            unlink (cluster->peers[i].ready);
    }
    if (*cluster->directory)
        rmdir (cluster->directory);
    *cluster->directory = 0;
}

static bool start_all (struct local_cluster *cluster, const struct local_plan *plan)
{
    int watch = inotify_init1 (IN_CLOEXEC);
    bool started = watch >= 0 && inotify_add_watch (watch, cluster->directory, IN_MOVED_TO) >= 0;
    started = started && spawn (cluster, plan, 0) && wait_ready (&cluster->peers[0], watch);
    for (uint32_t i = 1; started && i < plan->n; i++)
        started = spawn (cluster, plan, i);
    for (uint32_t i = 1; started && i < plan->n; i++)
        started = wait_ready (&cluster->peers[i], watch);
    if (watch >= 0)
        close (watch);
    return started;
}

/* Signals that end this process wait until there is no file that it would leave. */
bool local_start (struct local_cluster *cluster, const struct local_plan *plan)
{
    const char *directory = plan->directory ? plan->directory : scratch_directory ();
    sigset_t ending, before;
    sigemptyset (&ending);
    sigaddset (&ending, SIGINT);
    sigaddset (&ending, SIGTERM);
    sigprocmask (SIG_BLOCK, &ending, &before);
    cluster->n = plan->n;
    prctl (PR_SET_CHILD_SUBREAPER, 1);
    snprintf (cluster->directory, PATH_MAX, "%s/peerexec-XXXXXX", directory);
    bool started = mkdtemp (cluster->directory) != NULL;
    if (!started) {
        fprintf (stderr, "%s: %s\n", directory, strerror (errno));
        cluster->directory[0] = 0;
    }
    started = started && start_all (cluster, plan);
    if (started)
        remove_files (cluster);
    sigprocmask (SIG_SETMASK, &before, NULL);
    return started;
}

static void wait_end (struct local_peer *peer, uint64_t deadline_ns)
{
    while (waitpid (peer->pid, NULL, WNOHANG) == 0) {
        if (px_now_ns () >= deadline_ns)
            kill (peer->pid, SIGKILL);
        poll (NULL, 0, 5); /* there is no event for "a child of mine ended" without a handler */
    }
    peer->pid = 0;
}

void local_end (struct local_cluster *cluster)
{
    uint64_t deadline_ns = px_deadline_ns (END_NS);
    for (uint32_t i = 0; i < cluster->n; i++) {
        if (cluster->peers[i].pid)
            kill (cluster->peers[i].pid, cluster->peers[i].fault ? SIGKILL : SIGTERM);
    }
    for (uint32_t i = 0; i < cluster->n; i++) {
        if (cluster->peers[i].pid)
            wait_end (&cluster->peers[i], deadline_ns);
    }
    /* Executors of peers that died came to us: they end by themselves, having lost their peer. */
    while (cluster->n && wait (NULL) > 0)
        ;
    remove_files (cluster);
    cluster->n = 0;
}
