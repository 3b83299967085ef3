/* peerd: the peer of a host. Opens a peer from the command line and a configuration file, and stays
 * until it is told to leave.
 *
 * Signals come by signalfd, so nothing runs in a handler: the first SIGTERM or SIGINT drains in a
 * thread of its own, a second one ends at once. An address to join that does not answer is no
 * reason to end: the first peer of a cluster may start last. */
#include <czmq.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <peerexec/peer.h>

#include "common/beacon.h"
#include "common/config.h"
#include "common/executor.h"
#include "common/options.h"

enum { EXIT_RUN = 1, EXIT_USAGE = 2, DETECT_MIN_MS = 60, DETECT_MAX_MS = 600000 };

struct settings {
    const char *listen, *hosts, *name, *config, *ready_file, *log_level, *busy_file, *key, *new_key,
        *devices;
    list_option join, modules;
    uint64_t slots, detect_ms, stack_kib, drain_ms, beacon;
    double load_max;
    bool no_speculation, in_process, tcp_only;
};

#define AT(member) offsetof (struct settings, member)
static const option_entry ENTRIES[] = {
    {"listen", OPTION_TEXT, AT (listen), "ADDRESS",
     "where others reach this peer; default tcp://127.0.0.1:*\n(loopback, a port of the kernel's "
     "choice)",
     0, 0},
    {"join", OPTION_LIST, AT (join), "ADDRESS",
     "any peer of the cluster; may be given several times", 0, 0},
    {"hosts", OPTION_TEXT, AT (hosts), "FILE", "addresses to join, one per line, # comments", 0, 0},
    {"beacon", OPTION_NUMBER, AT (beacon), "PORT",
     "find peers on the LAN of --listen by UDP beacons on PORT", 1, 65535},
    KEY_ENTRY (AT (key)),
    {"new-key", OPTION_TEXT, AT (new_key), "FILE", "make a key file for a new cluster, and end", 0,
     0},
    {"module", OPTION_LIST, AT (modules), "FILE",
     "shared object with tasks; may be given several times", 0, 0},
    {"slots", OPTION_NUMBER, AT (slots), "N", "tasks at once; default: the processors", 1, 1024},
    DEVICES_ENTRY (AT (devices), "all"),
    {"name", OPTION_TEXT, AT (name), "NAME", "of this peer, unique in the cluster", 0, 0},
    {"config", OPTION_TEXT, AT (config), "FILE",
     "settings in ZPL: lines 'key = value' with these options' names;\nflags win over the file", 0,
     0},
    {"ready-file", OPTION_TEXT, AT (ready_file), "FILE",
     "written, with the address, when this peer can be reached", 0, 0},
    {"load-max", OPTION_REAL, AT (load_max), "LOAD",
     "say busy while others' work makes the load average higher", 0, 1e6},
    {"busy-file", OPTION_TEXT, AT (busy_file), "FILE", "say busy while this file exists", 0, 0},
    {"detect-ms", OPTION_NUMBER, AT (detect_ms), "MS",
     "give a silent peer up after this; default 2500", DETECT_MIN_MS, DETECT_MAX_MS},
    {"stack-kib", OPTION_NUMBER, AT (stack_kib), "KIB", "stack of a task; default 256", 16,
     1048576},
    {"drain-ms", OPTION_NUMBER, AT (drain_ms), "MS",
     "on SIGTERM, finish work for this long; default 30000", 0, 86400000},
    {"no-speculation", OPTION_FLAG, AT (no_speculation), NULL,
     "redo only what is lost, not what is late", 0, 0},
    {"in-process", OPTION_FLAG, AT (in_process), NULL,
     "run tasks in this process: quicker, but one that crashes\nends this peer", 0, 0},
    {"tcp-only", OPTION_FLAG, AT (tcp_only), NULL,
     "TCP to peers of this host, too: slower, and encrypted with --key", 0, 0},
    {"log-level", OPTION_TEXT, AT (log_level), "LEVEL",
     "error, warning, notice (default), info or debug", 0, 0},
};

static const option_table TABLE = {
    .program = "peerd",
    .usage = "[OPTION]...",
    .purpose = "The peer of a host: runs tasks for any peer of its cluster.",
    .entries = ENTRIES,
    .n_entries = sizeof ENTRIES / sizeof *ENTRIES,
    .epilogue =
        "SIGTERM or SIGINT: leave (hand back what has not started, finish the rest, at most\n"
        "--drain-ms); a second one ends at once.\n"
        "Exit codes: 0 left as told; 1 could not run (port in use, name taken, bad module);\n"
        "2 bad option or configuration.\n",
};

/* ---- log --------------------------------------------------------------------------------------
 */

static void log_line (void *context, px_log_level level, const char *scope, const char *text)
{
    static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
    (void)context;
    struct timespec now;
    struct tm calendar;
    clock_gettime (CLOCK_REALTIME, &now);
    localtime_r (&now.tv_sec, &calendar);
    fprintf (stderr, "%02d:%02d:%02d.%03ld %s %s: %s\n", calendar.tm_hour, calendar.tm_min,
             calendar.tm_sec, now.tv_nsec / 1000000, names[level], scope, text);
}

static bool parse_level (const char *text, px_log_level *level)
{
    static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp (text, names[i])) {
            *level = (px_log_level)i;
            return true;
        }
    }
    fprintf (stderr, "peerd: --log-level: '%s' is none of error, warning, notice, info, debug\n",
             text);
    return false;
}

/* ---- settings ---------------------------------------------------------------------------------
 */

static int read_settings (int argc, char **argv, struct settings *to)
{
    struct settings flags = {0};
    int first;
    options_end end = options_parse (&TABLE, argc, argv, false, &flags, &first);
    if (end != OPTIONS_RUN)
        return end == OPTIONS_SHOWN ? 0 : EXIT_USAGE;
    if (first < argc) {
        fprintf (stderr, "peerd: %s: unexpected argument\npeerd: see 'peerd --help'\n",
                 argv[first]);
        return EXIT_USAGE;
    }
    if (flags.config && !config_read (&TABLE, flags.config, to))
        return EXIT_USAGE;
    /* Once more over what the file said: flags win, lists of flags replace lists of the file. */
    if (flags.join.n)
        to->join.n = 0;
    if (flags.modules.n)
        to->modules.n = 0;
    options_parse (&TABLE, argc, argv, false, to, &first);
    if (to->hosts && !hosts_read (&TABLE, to->hosts, &to->join))
        return EXIT_USAGE;
    return -1;
}

static bool fill_options (const struct settings *from, const char *executor,
                          const char *device_helper, px_peer_options *options)
{
    options->name = from->name;
    options->listen = from->listen;
    options->join = from->join.n ? from->join.items : NULL;
    options->slots = (uint32_t)from->slots;
    options->modules = from->modules.n ? from->modules.items : NULL;
    options->executor = from->in_process ? NULL : executor;
    options->devices = from->devices;
    options->device_helper = device_helper;
    options->log = log_line;
    options->detect_ns = from->detect_ms * 1000000;
    options->stack_size = from->stack_kib * 1024;
    options->load_max = from->load_max;
    options->busy_file = from->busy_file;
    options->key = from->key;
    options->tcp_only = from->tcp_only;
    options->speculation = !from->no_speculation;
    return !from->log_level || parse_level (from->log_level, &options->log_level);
}

static void raise_descriptor_limit (void)
{
    struct rlimit limit;
    if (getrlimit (RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit (RLIMIT_NOFILE, &limit);
    }
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static px_peer *open_peer (px_peer_options *options)
{
    char why[PX_WHY_SIZE] = "";
    px_peer *peer = NULL;
    px_err err = px_peer_open (options, &peer, why);
    if (err == PX_ENOPEER) {
        const char *const *join = options->join;
        log_line (NULL, PX_LOG_WARNING, "peerd", why);
        log_line (NULL, PX_LOG_WARNING, "peerd", "goes on alone, and keeps asking");
        options->join = NULL;
        err = px_peer_open (options, &peer, why);
        for (; err == PX_OK && *join; join++)
            px_peer_join (peer, *join);
    }
    if (err == PX_OK)
        return peer;
    fprintf (stderr, "peerd: %s\n", *why ? why : px_err_text (err));
    return NULL;
}

/* Not 0: an exit code. */
static int start_beacon (px_peer *peer, int port, struct beacon **beacon)
{
    const char *address = px_peer_address (peer);
    if (beacon_can_say (address)) {
        *beacon = beacon_start (peer, port);
        return 0;
    }
    fprintf (stderr,
             "peerd: --beacon: nobody else can reach %s: say with --listen tcp://ADDRESS:PORT by "
             "which address of this host others do\n",
             address);
    return EXIT_USAGE;
}

/* Written beside and renamed: whoever sees the file sees the whole of it. */
static bool write_ready_file (const char *path, const char *address)
{
    char beside[4096];
    if (snprintf (beside, sizeof beside, "%s.%ld", path, (long)getpid ()) >= (int)sizeof beside) {
        fprintf (stderr, "peerd: --ready-file: the name is too long\n");
        return false;
    }
    FILE *file = fopen (beside, "w");
    bool written = file && fprintf (file, "%s\n", address) > 0;
    written = file && fclose (file) == 0 && written;
    if (written && rename (beside, path) == 0)
        return true;
    fprintf (stderr, "peerd: --ready-file: %s: %s\n", path, strerror (errno));
    unlink (beside);
    return false;
}

/* ---- running ----------------------------------------------------------------------------------
 */

struct leaving {
    px_peer *peer;
    uint64_t deadline_ns;
    int done; /* eventfd */
};

static void *leave (void *argument)
{
    struct leaving *leaving = argument;
    px_peer_close (&leaving->peer, leaving->deadline_ns);
    uint64_t one = 1;
    ssize_t written = write (leaving->done, &one, sizeof one);
    (void)written;
    return NULL;
}

static void wait_readable (int a, int b, bool *a_ready)
{
    struct pollfd fds[] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    while (poll (fds, 2, -1) < 0 && errno == EINTR)
        ;
    *a_ready = fds[0].revents != 0;
}

static void say_where (const px_peer *peer, px_log_level level)
{
    char text[256];
    snprintf (text, sizeof text, "%s at %s", px_peer_name (peer), px_peer_address (peer));
    if (level >= PX_LOG_NOTICE)
        log_line (NULL, PX_LOG_NOTICE, "peerd", text);
}

/* Until the first signal; then leave, unless a second one comes. */
static int serve (px_peer *peer, int signals, uint64_t drain_ms, struct beacon *beacon,
                  px_log_level level)
{
    struct signalfd_siginfo info;
    bool signalled, done_first;
    pthread_t thread;
    struct leaving leaving = {.peer = peer, .done = eventfd (0, EFD_CLOEXEC)};
    wait_readable (signals, -1, &signalled);
    if (read (signals, &info, sizeof info) < 0)
        return EXIT_RUN;
    beacon_stop (&beacon);
    if (level >= PX_LOG_NOTICE)
        log_line (NULL, PX_LOG_NOTICE, "peerd", "leaves; a second signal ends at once");
    leaving.deadline_ns = px_deadline_ns (drain_ms * 1000000);
    if (leaving.done < 0 || pthread_create (&thread, NULL, leave, &leaving) != 0)
        return EXIT_RUN;
    wait_readable (leaving.done, signals, &done_first);
    if (!done_first)
        _exit (EXIT_RUN); /* executors end with this process */
    pthread_join (thread, NULL);
    close (leaving.done);
    return 0;
}

static int block_signals (void)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGINT);
    sigprocmask (SIG_BLOCK, &set, NULL);
    return signalfd (-1, &set, SFD_CLOEXEC);
}

static int make_key (const char *path)
{
    char why[PX_WHY_SIZE] = "";
    px_err err = px_key_make (path, why);
    if (err == PX_OK)
        return 0;
    fprintf (stderr, "peerd: --new-key: %s\n", *why ? why : px_err_text (err));
    return EXIT_RUN;
}

int main (int argc, char **argv)
{
    struct settings settings = {.drain_ms = 30000, .devices = "all"};
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    char executor[PATH_MAX], device_helper[PATH_MAX];
    zsys_handler_set (NULL); /* CZMQ must not take our signals */
    int code = read_settings (argc, argv, &settings);
    if (code >= 0)
        return code;
    if (settings.new_key)
        return make_key (settings.new_key);
    if (!executor_find (executor)) {
        fprintf (stderr, "peerd: %s: not there: is the installation complete?\n", executor);
        return EXIT_RUN;
    }
    device_helper_find (device_helper); /* where it is not: the peer says so, and goes on without */
    if (!fill_options (&settings, executor, device_helper, &options))
        return EXIT_USAGE;
    raise_descriptor_limit ();
    int signals = block_signals ();
    px_peer *peer = open_peer (&options);
    if (!peer)
        return EXIT_RUN;
    struct beacon *beacon = NULL;
    code = settings.beacon ? start_beacon (peer, (int)settings.beacon, &beacon) : 0;
    if (code != 0) {
        px_peer_close (&peer, 0);
        return code;
    }
    code = EXIT_RUN;
    if (!settings.ready_file || write_ready_file (settings.ready_file, px_peer_address (peer))) {
        say_where (peer, options.log_level);
        code = serve (peer, signals, settings.drain_ms, beacon, options.log_level);
    } else {
        beacon_stop (&beacon);
        px_peer_close (&peer, 0);
    }
    if (settings.ready_file)
        unlink (settings.ready_file);
    close (signals);
    return code;
}
