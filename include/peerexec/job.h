/* Jobs: a root task, submitted to this process's peer. */
#ifndef PEEREXEC_JOB_H
#define PEEREXEC_JOB_H

#include <peerexec/peer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct px_job px_job;

typedef struct px_point_number {
    const char *point; /* branch point, e.g. "uts.children" */
    int32_t number;
} px_point_number;

typedef struct px_job_options {
    size_t size;                    /* of this struct: PX_JOB_OPTIONS_INIT sets it */
    const px_point_number *numbers; /* branch numbers by branch point, and tunables by name
                                       (px_tunable ()); NULL = none */
    size_t n_numbers;
    uint64_t timeout_ns;            /* the job is cancelled after this, with PX_ETIMEOUT; 0 = none */
    int trace;                      /* 1 = collect attempts for px_job_trace () */
    const char *profile;            /* of peer-tune: a file, or a directory of which the one that fits
                                       program and cluster is taken; says in the log what it ignores,
                                       and what has changed since. NULL = none; `numbers` come first */
    int fixed_numbers;              /* 1 = branch numbers stay as they are set. 0 = the number in force
                                       falls while workers are lost and rises again; where nobody has
                                       set one it may also rise over the default */
} px_job_options;

#define PX_JOB_OPTIONS_INIT {sizeof (px_job_options), NULL, 0, 0, 0, NULL, 0}

/** Submit a root task, by its full name "module.task". Does not block, but to read a profile.
 *  Ownership: input and options are copied; *job is the caller's until px_job_free ()
 *  Errors:    PX_ENOMODULE, PX_ENOTASK, PX_ETOOBIG, PX_EFULL, PX_ENOMEM, PX_ESTATE (peer is closing),
 *             PX_ECONFIG, PX_ESYSTEM the profile: the log says file, line and why
 *  Threads:   any
 *  Since:     0.1 */
PX_API px_err px_job_submit (px_peer *peer, const char *task, const void *input, size_t input_size,
                             const px_job_options *options, px_job **job);

/** Wait for the outcome.
 *  Units:     deadline_ns absolute, px_now_ns (); 0 = poll; PX_FOREVER
 *  Ownership: the outcome is the job's, until px_job_free ()
 *  Errors:    PX_ETIMEOUT not finished by then. PX_OK says that there is an outcome: look at its code.
 *  Threads:   any but a task's
 *  Since:     0.1 */
PX_API px_err px_job_wait (px_job *job, uint64_t deadline_ns, px_outcome *outcome);

/** Cancel: reaches every peer that works for the job. The outcome becomes PX_ECANCELLED.
 *  Threads:   any
 *  Since:     0.1 */
PX_API void px_job_cancel (px_job *job);

/* Where a job stands. What other peers found below their subtasks is counted when the results come,
 * as known and done at once: so both only grow, and known is what is known here. */
typedef struct px_job_progress {
    size_t size;              /* set by the caller */
    uint64_t subtasks_known;  /* opened so far, here and below what is done */
    uint64_t subtasks_done;
    uint64_t attempts_away;   /* of this peer's branches, at other peers now */
    uint64_t peers_working;   /* peers that hold such an attempt now */
    uint64_t redone;          /* attempts started again, for whatever reason */
} px_job_progress;

/** Read the progress.
 *  Threads:   any
 *  Since:     0.1 */
PX_API px_err px_job_progress_read (px_job *job, px_job_progress *progress);

/* What one peer did for a job, as told with the results that were used. */
typedef struct px_job_share {
    uint64_t peer_id;
    char peer_name[PX_NAME_SIZE_MAX + 1];
    uint64_t subtasks; /* executed there */
    uint64_t work_ns;  /* slot time */
} px_job_share;

/** Where the job's subtasks ran: fills up to `n_max` shares, most work first.
 *  Units:     returns how many there are
 *  Threads:   any
 *  Since:     0.1 */
PX_API size_t px_job_shares (px_job *job, px_job_share *shares, size_t n_max);

#define PX_POINT_SIZE_MAX 63 /* of a branch point that can be given a number: bytes without the NUL */

/* A branch point that offered subtasks to other peers, at whichever peer: those whose number matters. */
typedef struct px_job_point {
    char point[PX_POINT_SIZE_MAX + 1];
    int32_t number;     /* branch number at the start; where it differs, the largest */
    int fixed;          /* 1 = the program gives it at the call: no setting changes it */
    uint64_t branches;  /* that offered something */
    uint64_t offered;   /* subtasks, counted each time */
    uint64_t elsewhere; /* subtasks whose outcome came from another peer */
    int32_t least, most, last; /* that the number in force was, at any peer; last: as told last */
    int tunable;        /* 1 = no branch point: a number that the program asks for, px_tunable () */
} px_job_point;

/** Which branch points a finished job used beyond a peer: fills up to `n_max`, most offered first.
 *  Units:     returns how many there are
 *  Threads:   any
 *  Since:     0.1 */
PX_API size_t px_job_points (px_job *job, px_job_point *points, size_t n_max);

/** Write the attempts of all peers for the job as Chrome trace events (JSON; opens in Perfetto): a
 *  process per peer, lanes of runs and of attempts sent, an arrow from each sending to its run.
 *  The records come with the results; a peer that was lost takes its own with it, and up to 65,536
 *  are kept: the file says how many were left out, and of how many attempts only one side is known.
 *  Other hosts' times are placed by their masters' (between sending and result): good to half of
 *  the shortest round trip. Waits for what was cancelled last, at most two seconds.
 *  Errors:    PX_ESTATE not asked for in the options; PX_ESYSTEM; PX_ENOMEM
 *  Threads:   any but a task's
 *  Since:     0.1 */
PX_API px_err px_job_trace (px_job *job, const char *path);

/** Free a job; one that still runs is cancelled first.
 *  Ownership: *job is taken and nulled; NULL is fine
 *  Threads:   any but a task's
 *  Since:     0.1 */
PX_API void px_job_free (px_job **job);

/** Make one program both: the job, or a peer of its own program.
 *
 *      int main (int argc, char **argv) { return px_main (argc, argv, &px_module_v1, run); }
 *
 *  `PROGRAM --px-serve [--px-listen EP] [--px-join EP]... [--px-slots N] [--px-name NAME] [--px-key FILE]
 *  [--px-devices LIST]` serves until SIGTERM or SIGINT. Otherwise opens a peer with the same --px- options
 *  (and --px-local N: start N serving copies of this program for the run, without devices), and calls `run` with
 *  the remaining arguments.
 *  Units:     returns the exit code of `run`; 2 on bad options; 1 when the peer cannot open
 *  Threads:   the program's main; installs handlers for SIGTERM and SIGINT while serving
 *  Since:     0.1 */
typedef int px_main_fn (px_peer *peer, int argc, char **argv);
PX_API int px_main (int argc, char **argv, const px_module_def *module, px_main_fn *run);

#ifdef __cplusplus
}
#endif
#endif
