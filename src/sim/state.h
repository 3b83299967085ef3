/* What a world holds, and what its files call in each other. */
#ifndef PXI_SIM_STATE_H
#define PXI_SIM_STATE_H

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "sim/virtual.h"
#include "sim/world.h"

typedef struct pxi_sim_peer pxi_sim_peer;
typedef struct pxi_sim_job pxi_sim_job;

typedef struct pxi_sim_executor {
    pxi_list in_peer;
    pxi_sim_peer *peer;
    pxi_sim_job *job;
    pxi_virtual *virtual;
    pxi_virtual_port port;
    uint32_t heard_active; /* check: threads executing, as the core was told last */
    uint64_t root;         /* check: the run of the job's root; 0 = it is elsewhere */
} pxi_sim_executor;

/* A lease that the checker saw being offered. */
typedef struct pxi_sim_lease {
    pxi_list in_peer;
    uint64_t lease, until_ns;
    uint64_t master;
    uint32_t n_slots, device;
} pxi_sim_lease;

/* Promises remembered of a peer, of which it keeps PXI_RESERVATIONS_MAX: more only make the check unsure. */
enum { SIM_RESERVED_MAX = PXI_RESERVATIONS_MAX + 56, SIM_KEPT_MAX = 16 };

/* A reservation that the checker saw being promised. */
typedef struct pxi_sim_reserved {
    uint64_t master, probe, until_ns; /* 0 = none */
    pxi_job_id job;
} pxi_sim_reserved;

struct pxi_sim_peer {
    pxi_world *world;
    uint32_t index, speed_permille;
    uint64_t id, incarnation;
    char name[PXI_NAME_SIZE];
    bool up, leaving, doomed, drained;
    uint32_t n_roots; /* jobs of it that run */
    pxi_core *core;
    pxi_prng prng;
    pxi_alarm wake, resume, notice_alarm;
    pxi_list held; /* parcels that came during a pause */
    uint32_t n_held;
    pxi_list notices; /* for the core, in order */
    bool flush_queued;
    uint64_t last_notice_ns;
    pxi_list executors;
    pxi_list chunks;            /* on its devices (sim/device) */
    uint64_t warm, quarantined; /* a bit for each device */
    uint64_t device_free_ns[PXI_WORLD_DEVICES_MAX];
    pxi_map blobs; /* -> pxi_payload */
    uint64_t next_blob, next_id;
    uint64_t resumed_own_ns;             /* check: its own time when it last resumed */
    uint64_t paused_until_ns, frozen_ns; /* 0 = not paused; sum of all pauses */
    pxi_list leases;                     /* check */
    pxi_sim_reserved *reserved; /* check: SIM_RESERVED_MAX of them, from the first promise on */
    bool reserved_unsure;
    pxi_map came;     /* check: digest of a shared input that came -> its blob */
    pxi_map crashed;  /* check: what crashed an executor here -> how often, as the core has heard */
    pxi_map unwanted; /* check: run -> own time when it was first seen to be unwanted */
    pxi_map nowhere;  /* check: attempt -> own time when it was first seen to be at no worker */
    uint64_t n_runs, n_runs_seen; /* started; and when it was last swept */
    pxi_map idle_there; /* check: peer -> own time since when it is idle while our subtasks wait */
    bool idle, waits;   /* check: at the last sweep */
    px_stats former;    /* of former selves */
    struct pxi_parcel *kept[SIM_KEPT_MAX]; /* by a liar that replays */
};

typedef enum pxi_sim_job_state {
    PXI_JOB_WAITING,
    PXI_JOB_RUNS,
    PXI_JOB_DONE,
    PXI_JOB_ENDED
} pxi_sim_job_state;

struct pxi_sim_job {
    uint32_t index;
    const pxi_world_job *config;
    pxi_job_id id;
    pxi_serial serial;
    pxi_sim_job_state state;
    bool cancelled;
    uint32_t crashes_left;
    uint64_t done_ns;
    pxi_alarm alarm;
};

typedef struct pxi_parcel { /* a message on its way, with its payloads */
    pxi_alarm alarm;
    pxi_list in_held;
    uint32_t from, to;
    size_t size; /* of this piece of memory */
    pxi_message message;
    uint32_t n_payloads;
    pxi_payload *payloads; /* of attempts, or of results */
    pxi_attempt *attempts;
    pxi_returned *results; /* blob 1: it has a payload */
} pxi_parcel;

/* Attempts of the peer that steps, before and after: scratch of sim/custody. */
typedef struct pxi_custody {
    pxi_away_look *before, *after;
    pxi_run_look *runs;
    uint32_t n_before, n_runs;
    bool looked, new_self;
} pxi_custody;

struct pxi_world {
    pxi_world_config config;
    pxi_time time;
    pxi_network network;
    pxi_prng prng; /* what is not the network's, a fault's or the workload's */
    pxi_sim_peer *peers;
    pxi_sim_job *jobs;
    pxi_alarm fault_alarm, sweep_alarm;
    uint32_t next_fault;
    uint64_t last_arrival_ns; /* of what was sent before all was calm */
    uint64_t slowest_ns;      /* the longest way of a message so far */
    uint64_t calm_since_ns, calm_took_ns, patience_ns;
    pxi_prng damage_prng;
    uint64_t n_damaged;
    bool corrupted, falsified; /* see the report; a liar changed a result */
    uint32_t n_jobs_over;
    bool calm, gone_wrong;
    pxi_verdict verdict;
    char why[PXI_WORLD_WHY_SIZE];
    uint64_t trace_hash;
    uint64_t n_events, n_messages[PXI_MESSAGE_LAST + 1];
    uint64_t n_tasks_run, done_ns, vain_ns;
    uint32_t n_crashes;
    pxi_map done;              /* work that was done, where it is told */
    pxi_map wanted, held;      /* check: scratch of a sweep */
    pxi_away_look *away_looks; /* check: scratch, as are these */
    pxi_run_look *run_looks;
    pxi_peer_look *peer_looks;
    pxi_custody custody;
};

/* ---- world.c ---------------------------------------------------------------------------------- */

void pxi_world_say (pxi_world *world, const char *who, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
/* Whether anybody listens: spares the formatting. */
bool pxi_world_hears (const pxi_world *world);
pxi_sim_job *pxi_world_job_find (pxi_world *world, pxi_job_id id);
void pxi_world_job_over (pxi_world *world, pxi_sim_job *job, pxi_sim_job_state state);

/* ---- mail.c ----------------------------------------------------------------------------------- */

void pxi_world_send (pxi_world *world, pxi_sim_peer *from, const pxi_action *action);
/* NULL: it does not survive its way. */
pxi_parcel *pxi_mail_wrap (pxi_sim_peer *from, const pxi_sim_peer *to, const pxi_message *message);
pxi_parcel *pxi_mail_copy (const pxi_parcel *parcel);
void pxi_mail_post (pxi_world *world, pxi_parcel *parcel); /* takes it; NULL is fine */

/* ---- liar.c ----------------------------------------------------------------------------------- */

void pxi_liar_send (pxi_sim_peer *from, pxi_sim_peer *to, const pxi_message *message);
void pxi_liar_forget (pxi_sim_peer *peer);

/* ---- peer.c ----------------------------------------------------------------------------------- */

void pxi_sim_peer_init (pxi_world *world, pxi_sim_peer *peer, uint32_t index);
void pxi_sim_peer_start (pxi_sim_peer *peer); /* a new incarnation, which joins somebody */
void pxi_sim_peer_stop (pxi_sim_peer *peer);  /* all is lost */
void pxi_sim_peer_event (pxi_sim_peer *peer, const pxi_event *event);
void pxi_sim_peer_deliver (pxi_sim_peer *peer, pxi_parcel *parcel); /* takes the parcel */
void pxi_sim_peer_tick (pxi_sim_peer *peer);
void pxi_sim_peer_notices_due (pxi_sim_peer *peer);
void pxi_sim_peer_pause (pxi_sim_peer *peer, uint64_t until_ns);
void pxi_sim_peer_resume (pxi_sim_peer *peer);
void pxi_sim_peer_burst (pxi_sim_peer *peer, pxi_burst *burst); /* its alarm fired */
void pxi_sim_peer_die (pxi_sim_peer *peer);                     /* its executors do */
pxi_sim_executor *pxi_sim_peer_executor (const pxi_sim_peer *peer, pxi_job_id job);
/* Time that has passed for it: the clock less its pauses. */
uint64_t pxi_sim_peer_own_ns (const pxi_sim_peer *peer);
/* What its clock says. */
uint64_t pxi_sim_peer_now_ns (const pxi_sim_peer *peer);
void pxi_sim_peer_unreachable (pxi_sim_peer *peer, const pxi_sim_peer *other); /* a full queue */
pxi_address pxi_sim_peer_address (uint32_t index);
uint64_t pxi_sim_peer_blob (pxi_sim_peer *peer, const pxi_payload *payload);
/* To its core, after what was told before. */
void pxi_sim_peer_tell (pxi_sim_peer *peer, const pxi_event *event);

/* ---- device.c --------------------------------------------------------------------------------- */

struct pxi_sim_chunk;

void pxi_sim_device_tell (pxi_sim_peer *peer); /* its core, of all of them */
void pxi_sim_device_run (pxi_sim_peer *peer, const pxi_action *action, const pxi_node *node);
bool pxi_sim_device_stop (pxi_sim_peer *peer, uint64_t run);  /* false: no such run */
void pxi_sim_device_chunk_ends (struct pxi_sim_chunk *chunk); /* its alarm fired */
uint32_t pxi_sim_device_n_runs (const pxi_sim_peer *peer);
void pxi_sim_device_forget (pxi_sim_peer *peer);

/* ---- check.c ---------------------------------------------------------------------------------- */

/* The first one counts; the world stops. `peer` may be NULL. */
void pxi_check_broken (pxi_world *world, const pxi_sim_peer *peer, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

typedef struct pxi_check_before { /* what a step is compared with */
    pxi_core_sizes sizes;
    bool stale, gathers;
} pxi_check_before;

bool pxi_check_init (pxi_world *world);
void pxi_check_fini (pxi_world *world);
void pxi_check_before_step (pxi_sim_peer *peer, const pxi_event *event, pxi_check_before *before);
void pxi_check_after_step (pxi_sim_peer *peer, const pxi_event *event,
                           const pxi_check_before *before, const pxi_actions *actions);
/* After a step's actions were carried out and every notice was heard. */
void pxi_check_turn (pxi_sim_peer *peer);
void pxi_check_root (pxi_world *world, pxi_sim_job *job, const pxi_action *action,
                     const pxi_payload *payload);
void pxi_check_quiet (pxi_world *world);
void pxi_check_stuck (pxi_world *world);
void pxi_check_forget (pxi_sim_peer *peer); /* its former self's state */

/* ---- sweep.c ---------------------------------------------------------------------------------- */

void pxi_sweep_init (pxi_sim_peer *peer);
void pxi_sweep_forget (pxi_sim_peer *peer); /* its former self's state */
void pxi_sweep_all (pxi_world *world);
/* All has been calm for a while: whoever is up has found the others again. */
void pxi_sweep_views (pxi_world *world);

/* ---- custody.c -------------------------------------------------------------------------------- */

bool pxi_custody_init (pxi_custody *custody);
void pxi_custody_fini (pxi_custody *custody);
void pxi_custody_before_step (pxi_sim_peer *peer, const pxi_event *event);
void pxi_custody_after_step (pxi_sim_peer *peer, const pxi_event *event,
                             const pxi_actions *actions);
/* Between steps: nothing runs for nobody. */
void pxi_custody_sweep (pxi_sim_peer *peer, const pxi_run_look *runs, uint32_t n_runs);

#endif
