/* What one agent holds, and what its files call in each other. All of it is the loop thread's, but
 * for the inbox, which any thread may post to, and what stands under `lock`. */
#ifndef PXI_AGENT_STATE_H
#define PXI_AGENT_STATE_H

#include <sys/epoll.h>

#include "agent/agent.h"
#include "agent/blob.h"
#include "agent/inbox.h"
#include "agent/process.h"
#include "base/heap.h"
#include "base/log.h"
#include "core/core.h"
#include "net/transport.h"

enum {
    PXI_SEEN_MAX = 4 * PXI_VIEW_MAX, /* peers whose link and name are remembered */
    PXI_JOINS_MAX =
        64, /* addresses to join whose refusals are told: as many as px_peer_open () takes */
    PXI_TRACED_LATE_MAX = 4,
    PXI_ID_BITS = 40, /* of subtask and branch ids: the rest says which execution handed them out */
};

/* ---- timers -----------------------------------------------------------------------------------
 */

typedef enum pxi_alarm_kind {
    PXI_ALARM_HOST,     /* agent: look whether the host is busy */
    PXI_ALARM_PROGRESS, /* agent: tell the roots how far they are */
    PXI_ALARM_TIMEOUT,  /* job: its time is over */
    PXI_ALARM_STOP,     /* run: was stopped and has not ended */
    PXI_ALARM_WARM,     /* worker: has been idle long enough */
    PXI_ALARM_REST,     /* execution: its job has not come back */
} pxi_alarm_kind;

typedef struct pxi_alarm {
    pxi_heap_node node;
    pxi_alarm_kind kind;
    void *owner;
} pxi_alarm;

/* ---- what is under way ------------------------------------------------------------------------
 */

struct pxi_agent_job;
struct pxi_worker;
typedef struct pxi_tracing pxi_tracing; /* tracing.c */

/* One executor of one job, and what the core is owed from it. */
typedef struct pxi_execution {
    struct pxi_agent *agent;
    uint64_t number; /* its ids are number << PXI_ID_BITS + 1, + 2, ... */
    pxi_job_id job_id;
    const pxi_module *module;
    struct pxi_agent_job *job; /* NULL: resting or closing, the core has nothing of it any more */
    bool resting;
    pxi_alarm rest;
    pxi_executor *executor;
    struct pxi_worker *worker; /* NULL: in this process */
    uint64_t runs_before;      /* runs of the job that earlier executions were given, */
    uint64_t n_runs;           /* and that this one was; both count on while it rests */
    pxi_list runs, takes, branches;
    pxi_list in_agent;
} pxi_execution;

typedef struct pxi_agent_run {
    uint64_t id;
    const pxi_module *module;
    pxi_execution *execution;        /* NULL: it runs on a device */
    struct pxi_agent_device *device; /* and this is it */
    void *slot_data;                 /* there, once it has a slot */
    pxi_attempt attempt;
    uint64_t master; /* 0 = a root or redo of this peer */
    uint64_t begun_ns;
    uint64_t digest;  /* of its input, when it has crashed its process; and the task */
    uint32_t culprit; /* in it that did so */
    bool root, stopped;
    bool device_failed, device_banned, first; /* of one on a device: see PXI_EV_FINISHED */
    pxi_alarm stop;
    pxi_list in_execution; /* or in a list of its device */
} pxi_agent_run;

/* Subtasks that the core has asked an execution for. */
typedef struct pxi_agent_take {
    uint64_t token;
    uint32_t count;
    pxi_list in_execution;
} pxi_agent_take;

/* A branch of which something was handed over: the core hears when it is closed. */
typedef struct pxi_agent_branch {
    uint64_t id;
    pxi_bytes *shared; /* its shared input; NULL = none, or it has not come yet */
    pxi_shared_name shared_name;
    pxi_list in_execution;
} pxi_agent_branch;

typedef struct pxi_agent_job {
    pxi_job_id id;
    struct pxi_agent_job *same_hash;
    pxi_list in_agent;
    const pxi_module *module;
    pxi_bytes *spec;
    pxi_execution *execution; /* NULL: none yet, or the last one died */
    uint64_t opened_ns;
    uint64_t n_runs_begun;
    uint32_t slots; /* as the core said last */
    bool slots_told;
    uint32_t active, wanted, surplus; /* as the executor said last */
    pxi_root *root;                   /* NULL: of another peer, or done */
    pxi_alarm timeout;
    uint64_t redone;
    pxi_tracing *tracing; /* NULL: not traced */
} pxi_agent_job;

/* An address that this peer was told to join. */
typedef struct pxi_join {
    pxi_address address;
    uint16_t version; /* of the protocol, which it has refused ours for; 0 = has not */
} pxi_join;

/* What an epoll event is about. */
typedef enum pxi_watch_kind {
    PXI_WATCH_INBOX,
    PXI_WATCH_TRANSPORT,
    PXI_WATCH_PIPE,
    PXI_WATCH_DEATH,
    PXI_WATCH_DEVICE,
} pxi_watch_kind;

typedef struct pxi_watch {
    pxi_watch_kind kind;
    struct pxi_worker *worker;
    struct pxi_agent_device *device; /* NULL, of a DEVICE: the search for them */
} pxi_watch;

/* An executor process of this agent. */
typedef struct pxi_worker {
    pxi_process *process;
    pxi_execution *execution; /* NULL: idle or ending */
    bool dead;                /* reaped */
    bool more;                /* notices were left unread */
    bool polled_for_writing;
    pxi_watch pipe, death;
    pxi_alarm warm;
    pxi_list in_agent;
} pxi_worker;

/* A peer that has sent something. */
typedef struct pxi_seen {
    uint64_t id;
    uint64_t incarnation; /* of the process behind link */
    pxi_link link;
    bool answers; /* as the view said last: for the log */
    char name[PXI_NAME_SIZE];
    pxi_list in_agent;
} pxi_seen;

/* An event that arose while actions were carried out: the core's next. */
typedef struct pxi_later {
    pxi_event event;
    pxi_list in_agent;
} pxi_later;

/* ---- letters ----------------------------------------------------------------------------------
 */

typedef void pxi_call_fn (struct pxi_agent *agent, void *argument);

typedef struct pxi_mail {
    pxi_letter letter;
    pxi_call_fn *call; /* NULL: a notice */
    void *argument;
    bool *done; /* of who waits; under lock. NULL: nobody, the mail is freed */
    uint64_t execution;
    pxi_notice notice;
} pxi_mail;

/* ---- the agent --------------------------------------------------------------------------------
 */

struct pxi_agent {
    pxi_agent_config config; /* strings are the agent's own */
    char name[PXI_NAME_SIZE];
    char endpoint[64]; /* at which others can join; "" = none */
    uint64_t id, incarnation, started_ns;
    pxi_log_sink log;
    pxi_registry *registry;
    pxi_core *core;
    pxi_transport *transport;
    pxi_inbox inbox;
    pxi_blobs blobs;
    pxi_bytes *empty; /* the frame of nothing */
    int epoll_fd;
    pxi_watch inbox_watch, transport_watch;
    pthread_t thread;
    bool stepping, stop;
    bool runs_follow; /* the action that is being carried out is not the last RUN in a row */

    pxi_heap alarms;
    uint64_t alarm_sequence;
    pxi_alarm host, progress;
    pxi_list later;

    pxi_map jobs, executions, runs, branches, seen;
    struct pxi_devices *devices;                /* devices.h; NULL = none are wanted */
    pxi_map traced_sent;                        /* of traced jobs: attempts away */
    pxi_root *traced_late[PXI_TRACED_LATE_MAX]; /* traced and over: what comes late is added */
    uint32_t n_tracing, n_traced_late;
    pxi_list all_jobs, all_executions, all_workers, all_seen, graves;
    uint32_t n_jobs, n_roots, n_resting;
    uint64_t last_execution, last_job;

    uint64_t activity; /* counts what came in: a pass without any may sleep */
    bool host_busy, draining, ending;
    double load_own; /* of this process and its executors, averaged as the host's load is */
    uint64_t cpu_ns, load_ns;

    uint64_t n_refused, n_refused_told, refused_told_ns;
    uint64_t subtasks_run;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under lock. */
    uint32_t n_peers, n_joined, n_self;
    pxi_join joins[PXI_JOINS_MAX];
    uint32_t n_joins;
    bool duplicate, drained, closing, emptied;
    uint32_t n_submitted; /* charged by px_job_submit (), until the root is done */
};

/* ---- loop.c -----------------------------------------------------------------------------------
 */

/* The thread: runs until agent->stop. */
void *pxi_agent_loop (void *agent);
/* One event for the core, and then what it decides, and what arises from that. */
void pxi_agent_step (pxi_agent *agent, pxi_event *event);
/* From within an action: the event comes after all actions of this step. */
void pxi_agent_later (pxi_agent *agent, const pxi_event *event);
void pxi_agent_alarm (pxi_agent *agent, pxi_alarm *alarm, pxi_alarm_kind kind, void *owner,
                      uint64_t at_ns);
void pxi_agent_alarm_off (pxi_agent *agent, pxi_alarm *alarm);
/* A pool's or process's way in: context is the execution. */
void pxi_agent_notify (void *context, pxi_notice *notice);
/* Have the loop call this, and wait until it has. */
void pxi_agent_call (pxi_agent *agent, pxi_call_fn *call, void *argument);
/* The same without waiting. */
bool pxi_agent_post (pxi_agent *agent, pxi_call_fn *call, void *argument);
/* open.c; on the loop's own thread: into a px_stats. */
void pxi_agent_read_stats (pxi_agent *agent, void *stats);

/* Of an input, where the core wants it: 0 while nothing of the job has crashed here. */
static inline uint64_t pxi_agent_digest (const pxi_agent *agent, pxi_job_id job,
                                         const pxi_bytes *input)
{
    return pxi_core_remembers (agent->core, job) ? pxi_blob_digest (input) : 0;
}

/* ---- apply.c ----------------------------------------------------------------------------------
 */

void pxi_apply_all (pxi_agent *agent, const pxi_actions *actions);
/* px_err of a result's chain: that of its first failure. */
uint32_t pxi_apply_code (pxi_result result, const pxi_bytes *chain);

/* ---- mail.c: messages of peers ----------------------------------------------------------------
 */

void pxi_mail_received (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames);
void pxi_mail_unreachable (void *context, const pxi_address *address, pxi_link link);
void pxi_mail_notice (void *context, int level, const char *text);
void pxi_mail_send (pxi_agent *agent, const pxi_action *action);
pxi_seen *pxi_mail_seen (pxi_agent *agent, uint64_t id);   /* NULL = never heard of */
const char *pxi_mail_name (pxi_agent *agent, uint64_t id); /* "?" = not known */
void pxi_mail_view_changed (pxi_agent *agent, uint32_t n_peers);
/* Where others reach this peer (kind 0: nowhere), and its text in agent->endpoint. */
px_err pxi_mail_own_address (pxi_agent *agent, pxi_address *address, char *why);
/* The core's decisions go to the log, where it wants them. */
void pxi_mail_trace (pxi_agent *agent);
void pxi_mail_fini (pxi_agent *agent);

/* ---- jobs.c: jobs, runs, executions -----------------------------------------------------------
 */

void pxi_jobs_submit (pxi_agent *agent, pxi_root *root);
void pxi_jobs_cancel (pxi_agent *agent, pxi_root *root, px_err code, const char *message);
void pxi_jobs_cancel_all (pxi_agent *agent);
void pxi_jobs_run (pxi_agent *agent, const pxi_action *action);
void pxi_jobs_stop (pxi_agent *agent, const pxi_action *action);
void pxi_jobs_take (pxi_agent *agent, const pxi_action *action);
void pxi_jobs_give_back (pxi_agent *agent, const pxi_action *action);
void pxi_jobs_range (pxi_agent *agent, const pxi_action *action);
void pxi_jobs_cap (pxi_agent *agent, const pxi_action *action);
void pxi_jobs_complete (pxi_agent *agent, const pxi_action *action);
void pxi_jobs_slots (pxi_agent *agent, const pxi_action *action);
void pxi_jobs_close (pxi_agent *agent, const pxi_action *action);
void pxi_jobs_alarm (pxi_agent *agent, pxi_alarm *alarm);
void pxi_jobs_tell_progress (pxi_agent *agent);
/* Close every execution: the end. */
void pxi_jobs_close_all (pxi_agent *agent);
void pxi_jobs_fini (pxi_agent *agent);
pxi_agent_job *pxi_jobs_find (pxi_agent *agent, pxi_job_id id);
/* NULL: out of memory. It stands in no list. */
pxi_agent_run *pxi_jobs_run_new (pxi_agent *agent, const pxi_module *module,
                                 const pxi_action *action);

/* ---- tracing.c: records of traced jobs ---------------------------------------------------------
 */

void pxi_tracing_init (pxi_agent *agent);
void pxi_tracing_fini (pxi_agent *agent);
/* The job's specification is known now. */
void pxi_tracing_begin (pxi_agent *agent, pxi_agent_job *job);
void pxi_tracing_end (pxi_agent *agent, pxi_agent_job *job);
void pxi_tracing_sends (pxi_agent *agent, const pxi_action *action);
void pxi_tracing_hears (pxi_agent *agent, const pxi_message *message);
/* The subtask is done or takeable again, after n_attempts: those still open are lost. */
void pxi_tracing_settle (pxi_agent *agent, uint64_t subtask, uint32_t n_attempts);
void pxi_tracing_run_begins (pxi_agent *agent, const pxi_agent_run *run);
/* Before its result is sent. */
void pxi_tracing_run_ended (pxi_agent *agent, const pxi_agent_run *run, pxi_result result);
/* Records of another peer. False: malformed. */
bool pxi_tracing_receives (pxi_agent *agent, const pxi_bytes *body);

/* ---- notices.c: what executors say ------------------------------------------------------------
 */

void pxi_notices_take (pxi_agent *agent, uint64_t execution, pxi_notice *notice);
/* The core is told that a run has ended, which it has; and the run is freed. */
void pxi_notices_finish_run (pxi_agent *agent, pxi_agent_run *run, pxi_result result,
                             uint64_t run_ns, pxi_outcome *outcome);
/* A failure of the agent's own making as a chain; NULL when out of memory. */
pxi_bytes *pxi_notices_failure (pxi_agent *agent, const pxi_module *module, uint32_t task,
                                uint32_t attempt, px_err code, const char *message);
void pxi_notices_release (pxi_notice *notice);

/* ---- workers.c: executor processes ------------------------------------------------------------
 */

/* A process for a job of this module: a warm one, or a new one. NULL with `why`. */
pxi_worker *pxi_workers_get (pxi_agent *agent, const pxi_module *module, char *why);
/* Its job is over: keep it warm, or let it go. */
void pxi_workers_put (pxi_agent *agent, pxi_worker *worker);
void pxi_workers_event (pxi_agent *agent, const pxi_watch *watch);
/* In every pass: what is left unread is read, the dead are buried. */
bool pxi_workers_pass (pxi_agent *agent);
/* Before the loop sleeps: what was submitted goes to the processes. */
void pxi_workers_flush (pxi_agent *agent);
void pxi_workers_alarm (pxi_agent *agent, pxi_worker *worker);
void pxi_workers_end_all (pxi_agent *agent);

/* ---- execution.c: starting and ending executors -----------------------------------------------
 */

/* NULL with `why`: no executor can be had. */
pxi_execution *pxi_execution_new (pxi_agent *agent, pxi_agent_job *job, char *why);
void pxi_execution_submit (pxi_execution *execution, pxi_command *command);
/* Its job has nothing left here: it is kept a while, or closed at once. */
void pxi_execution_rest (pxi_execution *execution);
/* The one that rests for this job, in use again; NULL = none. */
pxi_execution *pxi_execution_resume (pxi_agent *agent, pxi_agent_job *job);
void pxi_execution_close (pxi_execution *execution);
/* Its executor has said its last word. */
void pxi_execution_free (pxi_execution *execution);

/* ---- devices.c, device_runs.c: OpenCL devices of this peer ------------------------------------------
 */

/* Before there is a thread. Waits for the answer of a search where particular ones are wanted: PX_EINVAL
 * there is no such; PX_ENOMEM. */
px_err pxi_devices_open (pxi_agent *agent, char *why);
void pxi_devices_event (const pxi_watch *watch);
void pxi_devices_pass (pxi_agent *agent);
uint64_t pxi_devices_wake_ns (const pxi_agent *agent);
/* NULL: there is none of this number, or none any more. */
struct pxi_agent_device *pxi_devices_find (const pxi_agent *agent, uint32_t number);
void pxi_devices_quarantine (pxi_agent *agent, const pxi_action *action);
/* The core is told that nothing runs on them any more, and the search ends. */
void pxi_devices_close (pxi_agent *agent);
void pxi_devices_free (pxi_agent *agent);
/* A chunk for one of them: from within an action, as pxi_jobs_run (). False: out of memory. */
bool pxi_device_runs_begin (pxi_agent *agent, const pxi_module *module, const pxi_action *action);
/* It is no longer wanted; what computes it is not interrupted. */
void pxi_device_runs_stop (pxi_agent_run *run);

/* ---- host.c, report.c -------------------------------------------------------------------------
 */

void pxi_host_begin (pxi_agent *agent);
void pxi_host_look (pxi_agent *agent);
/* The body of an answer to a status question; NULL when out of memory. */
pxi_bytes *pxi_report_make (pxi_agent *agent);

#endif
