/* px_main: one program that is its own job and its own cluster. A program's main, in all but its
 * place: it handles signals while it serves, prints what is wrong with its options, and starts
 * copies of the program itself. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerexec/job.h>

#include "core/limits.h"

extern char **environ;

enum { JOINS_MAX = 16, LOCAL_MAX = 64, EXIT_OPEN = 1, EXIT_USAGE = 2 };
#define DRAIN_NS (5 * PXI_SECOND)
#define START_NS (10 * PXI_SECOND) /* for the local copies to join */

typedef struct main_settings {
    bool serve, with_parent;
    unsigned long slots, local;
    const char *listen, *name, *key, *devices;
    const char *join[JOINS_MAX + 1];
    int n_joins;
    char **rest; /* the program's own arguments, its name first */
    int n_rest;
} main_settings;

static bool complain (const char *text, const char *what)
{
    fprintf (stderr, "%s: %s\n", what, text);
    return false;
}

static bool take_number (const char *text, unsigned long max, unsigned long *number)
{
    char *end;
    errno = 0;
    *number = strtoul (text, &end, 10);
    return !errno && *text >= '0' && *text <= '9' && !*end && *number <= max;
}

/* An option with a value. False: complained. */
static bool take_option (main_settings *to, const char *option, const char *value)
{
    if (!value)
        return complain ("a value must follow", option);
    if (strcmp (option, "--px-listen") == 0) {
        to->listen = value;
    } else if (strcmp (option, "--px-name") == 0) {
        to->name = value;
    } else if (strcmp (option, "--px-key") == 0) {
        to->key = value;
    } else if (strcmp (option, "--px-devices") == 0) {
        to->devices = value;
    } else if (strcmp (option, "--px-slots") == 0) {
        return take_number (value, PXI_SLOTS_MAX, &to->slots) ||
               complain ("want a number of slots, at most 1024", option);
    } else if (strcmp (option, "--px-local") == 0) {
        return take_number (value, LOCAL_MAX, &to->local) ||
               complain ("want a number of peers, at most 64", option);
    } else if (strcmp (option, "--px-join") == 0) {
        if (to->n_joins == JOINS_MAX)
            return complain ("given more than 16 times", option);
        to->join[to->n_joins++] = value;
    } else {
        return complain ("no such option", option);
    }
    return true;
}

static bool take_arguments (main_settings *to, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (i == 0 || strncmp (argv[i], "--px-", 5) != 0) {
            to->rest[to->n_rest++] = argv[i];
        } else if (strcmp (argv[i], "--px-serve") == 0) {
            to->serve = true;
        } else if (strcmp (argv[i], "--px-with-parent") == 0) {
            to->with_parent = true; /* of copies: they do not outlive who started them */
        } else {
            if (!take_option (to, argv[i], argv[i + 1])) /* argv ends with NULL */
                return false;
            i++;
        }
    }
    if (to->serve && to->local)
        return complain ("does not go with --px-serve", "--px-local");
    return true;
}

/* Where px_device may be, from the directory of the program: of one installation, of one build tree; or it is
 * that of the library's own installation. */
static void find_device_helper (char path[PATH_MAX])
{
    static const char *const places[] = {"px_device", "../libexec/peerexec/px_device",
                                         "../tools/px_device"};
    char self[PATH_MAX];
    ssize_t length = readlink ("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    const char *slash = strrchr (self, '/');
    int directory = slash ? (int)(slash - self) : 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (snprintf (path, PATH_MAX, "%.*s/%s", directory, self, places[i]) < PATH_MAX &&
            access (path, X_OK) == 0)
            return;
    }
    snprintf (path, PATH_MAX, "%s/px_device", PX_LIBEXEC_DIRECTORY);
}

static px_peer *open_peer (const main_settings *from, const px_module_def *module)
{
    char why[PX_WHY_SIZE], device_helper[PATH_MAX];
    px_peer *peer = NULL;
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    options.name = from->name;
    options.listen = from->listen;
    options.key = from->key;
    options.join = from->n_joins ? from->join : NULL;
    options.slots = (uint32_t)from->slots;
    options.module = module;
    options.devices = from->devices;
    find_device_helper (device_helper);
    options.device_helper = device_helper;
    if (px_peer_open (&options, &peer, why) != PX_OK)
        fprintf (stderr, "%s: %s\n", from->rest[0], why);
    return peer;
}

/* ---- serving ----------------------------------------------------------------------------------
 */

/* The first signal drains, a second one ends at once. Signals are read from a descriptor, so no
 * handler runs and none is left behind; they are blocked before the peer's threads start. */
static int serve (const main_settings *from, const px_module_def *module)
{
    sigset_t signals, before;
    if (from->with_parent)
        prctl (PR_SET_PDEATHSIG, SIGKILL);
    sigemptyset (&signals);
    sigaddset (&signals, SIGTERM);
    sigaddset (&signals, SIGINT);
    pthread_sigmask (SIG_BLOCK, &signals, &before);
    int fd = signalfd (-1, &signals, SFD_CLOEXEC);
    px_peer *peer = fd >= 0 ? open_peer (from, module) : NULL;
    if (!peer)
        return EXIT_OPEN;
    struct signalfd_siginfo signal;
    while (read (fd, &signal, sizeof signal) < 0 && errno == EINTR)
        continue;
    pthread_sigmask (SIG_SETMASK, &before, NULL); /* a second one: the default, which ends us */
    close (fd);
    px_peer_close (&peer, px_deadline_ns (DRAIN_NS));
    return 0;
}

/* ---- local copies -----------------------------------------------------------------------------
 */

static bool start_copy (const main_settings *from, const char *join, pid_t *pid)
{
    const char *program = from->rest[0];
    char slots_text[24];
    snprintf (slots_text, sizeof slots_text, "%lu", from->slots);
    const char *arguments[] = {
        program,   "--px-serve", "--px-with-parent", "--px-join",
        join,      "--px-slots", slots_text,         from->key ? "--px-key" : NULL,
        from->key, NULL};
    int result = posix_spawn (pid, "/proc/self/exe", NULL, NULL, (char *const *)arguments, environ);
    if (result)
        fprintf (stderr, "%s: cannot start a copy: %s\n", program, strerror (result));
    return result == 0;
}

/* Wait for a copy to end; one that has not by the deadline is killed. */
static void end_copy (pid_t pid, uint64_t deadline_ns)
{
    struct pollfd ended = {.fd = pidfd_open (pid, 0), .events = POLLIN};
    uint64_t now_ns = px_now_ns ();
    int left_ms = deadline_ns > now_ns ? (int)((deadline_ns - now_ns) / PXI_MS) + 1 : 0;
    if (ended.fd < 0 || poll (&ended, 1, left_ms) != 1)
        kill (pid, SIGKILL);
    waitpid (pid, NULL, 0);
    if (ended.fd >= 0)
        close (ended.fd);
}

/* A copy may have been stopped, and would hear of SIGTERM only when it goes on. */
static void end_copies (const pid_t *pids, unsigned long n)
{
    uint64_t deadline_ns = px_deadline_ns (DRAIN_NS);
    for (unsigned long i = 0; i < n; i++) {
        kill (pids[i], SIGTERM);
        kill (pids[i], SIGCONT);
    }
    for (unsigned long i = 0; i < n; i++)
        end_copy (pids[i], deadline_ns);
}

static int run_job (const main_settings *from, const px_module_def *module, px_main_fn *run)
{
    pid_t pids[LOCAL_MAX];
    unsigned long n = 0;
    px_peer *peer = open_peer (from, module);
    if (!peer)
        return EXIT_OPEN;
    while (n < from->local && start_copy (from, px_peer_address (peer), &pids[n]))
        n++;
    bool ready = n == from->local;
    if (ready && n && px_peer_wait (peer, (uint32_t)n, px_deadline_ns (START_NS)) != PX_OK) {
        fprintf (stderr, "%s: the local peers did not start\n", from->rest[0]);
        ready = false;
    }
    int code = ready ? run (peer, from->n_rest, from->rest) : EXIT_OPEN;
    px_peer_close (&peer, px_deadline_ns (DRAIN_NS));
    end_copies (pids, n);
    return code;
}

int px_main (int argc, char **argv, const px_module_def *module, px_main_fn *run)
{
    main_settings settings = {0};
    settings.rest = calloc ((size_t)argc + 1, sizeof *settings.rest);
    if (!settings.rest)
        return EXIT_OPEN;
    int code = EXIT_USAGE;
    if (take_arguments (&settings, argc, argv))
        code = settings.serve ? serve (&settings, module) : run_job (&settings, module, run);
    free (settings.rest);
    return code;
}
