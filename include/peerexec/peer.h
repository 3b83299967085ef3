/* Peers: a process with an agent. All are equal: an application that opens one can be probed and works
 * for others; with nobody to join everything still runs, locally. */
#ifndef PEEREXEC_PEER_H
#define PEEREXEC_PEER_H

#include <peerexec/branch.h>
#include <peerexec/module.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct px_peer px_peer;

#define PX_FOREVER UINT64_MAX
#define PX_NAME_SIZE_MAX 31 /* of a peer, a module, a task: bytes without the NUL */

typedef enum px_log_level {
    PX_LOG_ERROR = 0,
    PX_LOG_WARNING = 1,
    PX_LOG_NOTICE = 2,
    PX_LOG_INFO = 3,
    PX_LOG_DEBUG = 4
} px_log_level;

/** Receives the library's log lines; called from its threads, one at a time.
 *  `scope` is the module that speaks, e.g. "view"; `text` ends without a newline. */
typedef void px_log_fn (void *context, px_log_level level, const char *scope, const char *text);

typedef struct px_peer_options {
    size_t size;              /* of this struct: PX_PEER_OPTIONS_INIT sets it */
    const char *name;         /* NULL = made from host name and process id */
    const char *listen;       /* "tcp://127.0.0.1:*" (kernel's choice) by default; "" = do not listen:
                                 this peer asks others but cannot be joined or probed */
    const char *const *join;  /* addresses of any peers of the cluster, NULL-ended; NULL = none */
    uint32_t slots;           /* tasks at once; 0 = the processors this process may use */
    const char *const *modules;    /* shared objects to load, NULL-ended; NULL = none */
    const px_module_def *module;   /* the application's own: &px_module_v1; NULL = none */
    const char *executor;     /* program that runs task code in processes of its own (px_exec of this
                                 installation); NULL = tasks run in this process */
    px_log_fn *log;           /* NULL = silent */
    void *log_context;
    px_log_level log_level;
    uint64_t detect_ns;       /* a silent peer is given up after this; 0 = 2.5 s */
    uint64_t join_timeout_ns; /* px_peer_open () waits this long for a first answer; 0 = 3 s */
    size_t stack_size;        /* bytes of a task's own stack; 0 = 256 KiB */
    size_t input_size_max;    /* bytes; 0 = 64 MiB */
    size_t result_size_max;   /* bytes; 0 = 64 MiB */
    double load_max;          /* host's load average from others' work over which this peer says busy;
                                 0 = not looked at */
    const char *busy_file;    /* while this file exists the peer says busy; NULL = none */
    uint64_t seed;            /* of the random choices; 0 = from the system */
    int32_t branch_number;    /* default for every branch point; PX_NUMBER_DEFAULT = 64, and more
                                 while a job finds more (px_job_options.fixed_numbers) */
    int speculation;          /* 1 = redo stragglers (default), 0 = only what is lost */
    const char *key;          /* file of the cluster's key, see px_key_make (); NULL = none: nothing is
                                 encrypted, and who has a key is not talked to */
    int tcp_only;             /* 1 = TCP to peers of this host as well, which is slower */
    const char *devices;      /* OpenCL devices that take data-parallel tasks (device.h): "all"; those of
                                 a list, as "0,geforce": indices, as px_device lists them, or parts of
                                 names; NULL or "none" = none */
    const char *device_helper; /* program that opens them, each in a process of its own (px_device of this
                                 installation); needed with devices */
} px_peer_options;

#define PX_PEER_OPTIONS_INIT                                                                       \
    {sizeof (px_peer_options), NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, PX_LOG_NOTICE,   \
     0, 0, 0, 0, 0, 0.0, NULL, 0, PX_NUMBER_DEFAULT, 1, NULL, 0, \
     NULL, NULL}

/** Open a peer: start its agent, listen, join.
 *  Returns when it listens and, with addresses to join, when one has answered.
 *  With a list of devices it looks for them first, which takes seconds with some drivers; "all" are looked
 *  for while the peer works, and where there are none a line of the log says why.
 *  `why` (may be NULL) receives a sentence for people on error.
 *  Ownership: options are copied; *peer is the caller's until px_peer_close ()
 *  Errors:    PX_EINVAL, PX_EADDRESS, PX_EINUSE, PX_ESELF, PX_ENOPEER (none of the addresses answered),
 *             PX_EVERSION (they speak another version), PX_EDUPLICATE, PX_ENOMODULE, PX_EABI,
 *             PX_ECONFIG (the key file), PX_ESYSTEM, PX_ENOMEM
 *  Threads:   any
 *  Since:     0.1 */
#define PX_WHY_SIZE 512
PX_API px_err px_peer_open (const px_peer_options *options, px_peer **peer, char why[PX_WHY_SIZE]);

/** Make the key of a new cluster: a file that only its owner can read. Every peer gets a copy
 *  (px_peer_options.key); who has it is in, and what they say over TCP is encrypted (CURVE).
 *  It is a ZeroMQ CURVE certificate with both halves, as CZMQ's zcert writes it.
 *  `why` (may be NULL) receives a sentence for people on error.
 *  Errors:    PX_EINVAL, PX_ESYSTEM (it is there already, cannot be written, libzmq has no CURVE)
 *  Threads:   any
 *  Since:     0.1 */
PX_API px_err px_key_make (const char *path, char why[PX_WHY_SIZE]);

/** Leave the cluster and close: hands back what has not started, finishes the rest until the deadline,
 *  then ends. Jobs still running here are cancelled. A task in this process that does not look
 *  whether it is cancelled is waited for: nothing can end it.
 *  Units:     deadline_ns absolute, px_now_ns (); 0 = at once
 *  Ownership: *peer is taken and nulled; NULL is fine
 *  Threads:   any but a task's
 *  Since:     0.1 */
PX_API void px_peer_close (px_peer **peer, uint64_t deadline_ns);

/** Address at which others can join this peer, e.g. "tcp://127.0.0.1:40123"; "" when it does not listen.
 *  Ownership: the peer's
 *  Threads:   any
 *  Since:     0.1 */
PX_API const char *px_peer_address (const px_peer *peer);

/** Name of this peer.
 *  Ownership: the peer's
 *  Threads:   any
 *  Since:     0.1 */
PX_API const char *px_peer_name (const px_peer *peer);

/** Wait until this peer knows at least `n_peers` others.
 *  Units:     deadline_ns absolute, px_now_ns ()
 *  Errors:    PX_ETIMEOUT
 *  Threads:   any
 *  Since:     0.1 */
PX_API px_err px_peer_wait (px_peer *peer, uint32_t n_peers, uint64_t deadline_ns);

/** Join further peers by address.
 *  Errors:    PX_EADDRESS
 *  Threads:   any
 *  Since:     0.1 */
PX_API px_err px_peer_join (px_peer *peer, const char *address);

/* Counters since the peer opened. New ones are added at the end; `size` says how many are filled. */
#define PX_STATS(X)                                                                                \
    X (peers_known, "peers in the view")                                                           \
    X (peers_unresponsive, "of those, silent past the limit")                                      \
    X (slots, "tasks this peer runs at once")                                                      \
    X (slots_used, "slots in use now")                                                             \
    X (leases, "slots promised to a master now")                                                   \
    X (attempts_here, "attempts for other peers in hand now")                                      \
    X (attempts_away, "attempts of ours at other peers now")                                       \
    X (subtasks_run, "subtasks and roots executed here")                                           \
    X (subtasks_sent, "attempts sent to other peers")                                              \
    X (results_received, "first results received from other peers")                                \
    X (results_late, "results dropped because another came first")                                 \
    X (probes_sent, "probes sent")                                                                 \
    X (probes_free, "answered free")                                                               \
    X (probes_busy, "answered busy")                                                               \
    X (probes_cannot, "answered cannot")                                                           \
    X (probes_lost, "not answered in time")                                                        \
    X (probes_received, "probes received")                                                         \
    X (volunteered, "offers made to peers that had not asked")                                     \
    X (reservations_made, "busy answers that left a reservation here")                             \
    X (attempts_lost, "attempts given up because their peer was silent or said so")                \
    X (attempts_crashed, "attempts that crashed their process")                                    \
    X (attempts_redone, "attempts started again: lost, crashed, or late")               \
    X (attempts_speculative, "attempts started beside a straggler")                                \
    X (attempts_abandoned, "attempts for a silent or cancelling master, given up here")            \
    X (work_ns, "time spent by attempts whose result was used")                                    \
    X (extra_ns, "time spent by attempts whose result was not used")                               \
    X (messages_sent, "messages sent")                                                             \
    X (messages_received, "messages received")                                                     \
    X (messages_refused, "malformed, oversized, of another version")                               \
    X (messages_stale, "of or for another incarnation")                                            \
    X (bytes_sent, "bytes sent")                                                                   \
    X (bytes_received, "bytes received")                                                           \
    X (jobs, "jobs known here now")                                                                \
    X (waiting, "subtasks that wait here for a slot or a peer")                                    \
    X (messages_work, "messages sent about work: all but the membership's")                       \
    X (shared_sent, "shared inputs sent")                                                          \
    X (shared_received, "shared inputs fetched")

typedef struct px_stats {
    size_t size; /* set by the caller: sizeof (px_stats) */
#define PX_STATS_FIELD(name, text) uint64_t name;
    PX_STATS (PX_STATS_FIELD)
#undef PX_STATS_FIELD
} px_stats;

/** Read the counters.
 *  Errors:    PX_EINVAL
 *  Threads:   any
 *  Since:     0.1 */
PX_API px_err px_peer_stats (px_peer *peer, px_stats *stats);

/* Another peer, as this one knows it. */
typedef struct px_peer_other {
    uint64_t id, incarnation; /* incarnation: another one after each start of the same id */
    char name[PX_NAME_SIZE_MAX + 1];
    uint32_t slots;
    int unresponsive; /* 1 = silent past the limit, or leaving */
    int same_host;    /* 1 = its address is one of this host's */
    uint64_t rtt_ns;  /* smoothed round trip; 0 = not measured yet */
    int devices;      /* 1 = it has devices (OpenCL) beside its slots */
    uint32_t speed_percent; /* of its slots, as seen in tasks that ran here and there: 100 = as fast as
                               ours; 0 = not known, or times of the tasks vary too widely to tell */
} px_peer_other;

/** The peers known here now (all of a cluster of up to 1,024): fills up to `n_max`.
 *  Units:     returns how many there are; 0 also when out of memory
 *  Threads:   any but a task's
 *  Since:     0.1 */
PX_API size_t px_peer_others (px_peer *peer, px_peer_other *others, size_t n_max);

/** The clock of all deadlines: monotonic.
 *  Units:     nanoseconds
 *  Threads:   any
 *  Since:     0.1 */
PX_API uint64_t px_now_ns (void);

/** `duration_ns` from now, for a deadline; PX_FOREVER stays PX_FOREVER.
 *  Threads:   any
 *  Since:     0.1 */
PX_API uint64_t px_deadline_ns (uint64_t duration_ns);

#ifdef __cplusplus
}
#endif
#endif
