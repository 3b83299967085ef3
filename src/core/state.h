/* What one core holds, and what its files call in each other. Everything hangs off struct pxi_core;
 * everything is found by id; every list is in order of creation, so that no decision depends on an
 * address or a hash. One thread, the driver's. */
#ifndef PXI_CORE_STATE_H
#define PXI_CORE_STATE_H

#include <peerexec/error.h>
#include <peerexec/peer.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "core/adapt.h"
#include "core/core.h"
#include "core/cost.h"
#include "core/rank.h"

/* Protections that tests/mutants takes away one at a time, to see that the worlds notice. */
#ifndef PXI_MUTANT
#define PXI_MUTANT(name) 0
#endif

/* ---- timers: one heap; each lies in what it wakes (core/timer.c) ----------------------------- */

typedef enum pxi_timer_kind {
    PXI_TIMER_GOSSIP,      /* owner: core */
    PXI_TIMER_JOIN,        /* core */
    PXI_TIMER_QUANTUM,     /* core */
    PXI_TIMER_VOLUNTEER,   /* core */
    PXI_TIMER_SENT,        /* core: results kept for sending again */
    PXI_TIMER_RESERVATION, /* core: the oldest reservation lapses */
    PXI_TIMER_RELATION,    /* peer: handshake and silence */
    PXI_TIMER_SEEK,        /* job: back-off is over */
    PXI_TIMER_STRAGGLER,   /* job */
    PXI_TIMER_PROBE,       /* probe: no answer */
    PXI_TIMER_LEASE,       /* lease lapses */
    PXI_TIMER_FETCH,       /* shared: it has not come */
    PXI_TIMER_KEPT,        /* core: the oldest shared input that nobody needs lapses */
    PXI_TIMER_DEVICE,      /* core: a device, here or elsewhere, may be asked again */
} pxi_timer_kind;

typedef struct pxi_timer {
    pxi_heap_node node;
    pxi_timer_kind kind;
    void *owner;
} pxi_timer;

/* ---- objects ----------------------------------------------------------------------------------
 */

/* What is known of another peer's devices, from when it was first asked for one (core/device.c). */
typedef struct pxi_device_peer {
    uint32_t n_questions; /* under way: it is kept known by them */
    uint32_t n_chunks;    /* of ours there now, */
    uint32_t room;        /* and how many it had when it was busy; 0 = not known */
    uint64_t wrong;       /* a bit for each: what it computes is not believed */
    uint32_t n_refused;
    struct {
        uint64_t key, until_ns;
    } refused[8];        /* tasks that it is not asked about before */
    pxi_job_id vain_job; /* it found nothing to take of this job, */
    uint64_t vain_moves; /* when so many chunks of it had ended */
} pxi_device_peer;

typedef struct pxi_peer {
    /* First, what is looked at of many to choose one. */
    bool in_view, unresponsive, leaving;
    bool gone;          /* evicted, kept so that hearsay does not bring it back */
    uint32_t missed;    /* gossip rounds without an answer */
    uint64_t heard_ns;  /* last message from it; 0 = only hearsay */
    uint64_t asked_ns;  /* last gossip to it */
    uint64_t viewed_ns; /* when it came into the view */
    uint64_t busy_until_ns;
    pxi_peer_record record;
    uint64_t lost_ns;            /* when it became unresponsive, or gone */
    uint64_t rtt_ns, rtt_var_ns; /* RFC 6298; 0 = not measured */
    uint64_t cannot_until_ns;    /* for the module in cannot_module */
    uint64_t cannot_module;
    uint64_t
        returned_until_ns; /* it has handed back what it said it was free for: not asked before */
    uint32_t n_returned;   /* such pauses in a row */
    /* relations: attempts there, theirs here, questions, leases and reservations of theirs */
    uint32_t n_lapsed;  /* leases for it that it let lapse, less those that it answered */
    uint64_t lapsed_ns; /* when the last of those was given */
    uint32_t n_away, n_runs, n_probes, n_leases, n_reservations;
    uint32_t n_overtaken; /* of those away */
    bool beaten;   /* one of those was done elsewhere first, and nothing there in time since */
    uint32_t pins; /* held by a step in progress */
    uint64_t mastered_ns;  /* last handshake of it as a master, or first run for it */
    uint64_t relation_ns;  /* when the present relation began */
    uint64_t sequence;     /* of the last handshake sent to it */
    uint32_t n_unanswered; /* handshakes since its last answer to one */
    uint32_t n_hurried;    /* handshakes out of turn since it was heard, */
    uint64_t hurried_ns;   /* and the last of them */
    pxi_list in_core;
    pxi_list away, runs; /* attempt.at_peer, run.at_master */
    pxi_cost_link link;  /* what is known of the way there, and of its speed */
    pxi_timer timer;
    pxi_device_peer *devices; /* NULL: never asked for one */
} pxi_peer;

/* What an estimate is made of. */
typedef struct pxi_estimate_key {
    bool known;
    uint32_t task, size_bytes;
    pxi_cost_declared declared;
} pxi_estimate_key;

typedef struct pxi_job {
    pxi_job_id id;
    uint64_t module;
    struct pxi_job *same_hash; /* chain of the map */
    pxi_list in_core;
    /* serving side (core/worker.c) */
    uint32_t n_runs, active, wanted, allowed;
    uint32_t n_waiting; /* of n_runs: for their shared input */
    uint64_t runs_sent, runs_echoed;
    uint64_t had_ns;           /* slot time here */
    uint64_t run_ns, ended_ns; /* when the last run came, and when one ended last */
    uint32_t claims;           /* reservations of this job in our ring */
    uint64_t root;             /* run of the root, when it is ours; 0 = none */
    /* asking side (core/place.c) */
    uint32_t surplus; /* takeable subtasks, as last told */
    bool dry;         /* it has told since that nothing waits: of use to who looks for stragglers */
    uint32_t n_seeking; /* questions under way: takes and probes */
    uint32_t n_taking;  /* of these the ones that wait for a subtask, */
    uint32_t n_asked;   /* and for how many */
    uint32_t n_riding;  /* and the ones that carry one */
    uint32_t n_hedged;  /* asked beside these, in case they find busy peers */
    uint32_t n_reserved;
    uint32_t n_busy; /* busy answers of peers that were asked for a reservation */
    bool refused;    /* somebody was busy, since all were placed last */
    struct {
        uint64_t peer, probe, until_ns;
    } reserved[PXI_RESERVE_MAX];
    uint32_t backoff;        /* rounds that found nobody */
    uint64_t short_until_ns; /* out of memory: nothing is taken before */
    uint64_t backoff_until_ns;
    pxi_timer seek, straggler;
    bool large; /* its inputs do not fit a probe: late binding */
    /* core/estimate.c */
    uint64_t waits_ns;      /* since when subtasks of it wait here; 0 = none did */
    uint64_t ran_ns;        /* when one was last seen to end here */
    uint64_t home_until_ns; /* nothing of it leaves before */
    pxi_estimate_key usual; /* the last one that was handed over: what waits is like it */
    pxi_list subtasks, branches;
    pxi_list retry; /* subtasks that crashed: only for others (or isolated executors) */
    /* history of run times, all tasks of the job (core/straggler.c) */
    uint32_t n_samples, alike_at; /* in all; when alike_ns was looked at */
    uint64_t alike_ns;
    pxi_cost_span close;
    uint32_t close_at, close_task; /* when it was looked at, and of which */
    struct {
        uint64_t run_ns;
        uint32_t task;
    } samples[32];
    bool heard_of;     /* an attempt of it away has been reported on */
    bool nests;        /* attempts of it have reported subtasks of their own */
    uint64_t moved;    /* progress heard of attempts away: what waits for them moves with them */
    pxi_adapt *adapts; /* of its branch points; NULL: none has changed */
    uint32_t n_attempts, n_extra;      /* under way: all, speculative */
    uint32_t extra_started, extra_won; /* in all */
    uint64_t work_ns, extra_ns;
    /* the oldest range of it here that devices could do (core/device.c) */
    struct {
        uint32_t task;
        uint64_t n_items; /* not cut yet, as last told; 0 = there is none */
        bool choose;      /* who is for it is to be chosen anew */
        bool told;        /* whether slots take part, */
        uint64_t told_ns; /* and when */
        pxi_rank_use told_use;
        uint8_t use[1 + PXI_DEVICES_MAX]; /* pxi_rank_use: slots, devices */
        uint32_t vain;                    /* a bit for each device that found nothing to take */
        uint32_t n_asked;                 /* questions for devices elsewhere */
        uint64_t moves;                   /* chunks that have ended */
        uint64_t most_cost;               /* of an item, of the slowest so far */
    } range;
} pxi_job;

/* A shared input that is here, or on its way. */
typedef struct pxi_shared {
    pxi_shared_name name;
    uint64_t blob;    /* 0 = not here */
    bool came;        /* from another peer, or was on its way: kept when nobody needs it */
    uint32_t n_users; /* subtasks of ours and runs */
    pxi_list waiting; /* runs, in order of arrival */
    uint64_t asked;   /* peer; 0 = nobody is */
    uint32_t n_asked; /* in vain so far, and now */
    uint64_t until_ns;
    pxi_timer timer;
    pxi_list in_core, in_kept;
} pxi_shared;

typedef struct pxi_branch {
    uint64_t id;
    pxi_job *job;
    pxi_list in_job;
    pxi_list subtasks;
    uint64_t point;  /* 0 = its number stays */
    uint32_t given;  /* branch number that was set, */
    uint32_t most;   /* the most that it may come to, */
    uint32_t number; /* the one in force, */
    uint32_t told;   /* and the one that the driver knows */
    uint32_t held;   /* attempts at other peers now */
    bool capped;
} pxi_branch;

typedef enum subtask_state {
    SUBTASK_PLACING, /* its first attempt rides in a probe that is not answered */
    SUBTASK_AWAY,    /* at least one attempt is in hand somewhere */
    SUBTASK_RETRY,   /* crashed; waits for another peer */
} subtask_state;

typedef struct pxi_subtask {
    uint64_t id;
    pxi_branch *branch;
    pxi_job *job;
    pxi_list in_branch, in_job, in_retry;
    subtask_state state;
    pxi_attempt spec; /* key.attempt = last number used */
    uint32_t crashes;
    uint64_t crashed_at; /* peer */
    uint64_t crash_blob;
    uint32_t crash_size;
    uint64_t retry_until_ns;
    uint64_t expect_ns; /* of a chunk: as pxi_taken */
    pxi_shared *shared; /* NULL: none */
    pxi_cost_declared declared;
    uint64_t limit_ns; /* how long it may run; 0 = any time */
    bool over_limit;
    pxi_list attempts;
    uint32_t n_attempts;
} pxi_subtask;

/* One attempt of ours: at a peer, or (local != 0) a redo here. */
typedef struct pxi_attempt_state {
    pxi_subtask *subtask;
    pxi_list in_subtask, at_peer;
    uint32_t number;
    pxi_peer *peer; /* NULL: here */
    uint64_t local; /* run id of a redo here */
    uint64_t sent_ns;
    /* What was expected when it was sent (core/estimate.c); 0 = nothing. */
    uint64_t expected_ns, expected_bytes; /* run time there, size of the result */
    uint64_t moves_ns;                    /* on its way there and back */
    uint32_t n_before;                    /* of ours at its peer */
    uint64_t handshake; /* sequence of the first handshake that listed it; 0 = none yet */
    uint32_t missing;   /* acks that should have had it and did not */
    bool speculative;
    bool fetched;           /* its worker has asked for its shared input */
    bool confirmed;         /* its worker has said that it has it */
    bool overtaken;         /* it was late, another was begun beside it */
    bool late;              /* sent when its lease may have been over on arrival */
    uint64_t progress;      /* subtasks done below it, as last heard */
    uint64_t progressed_ns; /* when that was last more than before; at first when it was sent */
    uint32_t device;        /* of its worker, or of this peer; 0 = a slot */
} pxi_attempt_state;

/* A question under way. */
typedef struct pxi_probe {
    uint64_t id;
    pxi_job_id job;
    pxi_peer *peer;
    pxi_key inlined[PXI_BATCH_MAX]; /* the attempts that ride in it */
    uint32_t n_inlined;
    uint64_t sent_ns;
    bool reserve;        /* asks for a reservation where all is busy */
    bool ahead;          /* a batch, to one who has another: busy says nothing new */
    uint64_t device_key; /* for a device, for this task; 0 = for slots */
    pxi_timer timer;
    pxi_list in_core;
} pxi_probe;

/* What a TAKE is for. */
typedef struct pxi_take {
    uint64_t token;
    pxi_job_id job;
    uint64_t lease; /* to dispatch under this lease; 0 = to probe inline */
    pxi_peer *peer; /* pinned by n_probes; NULL: a device of this peer */
    uint64_t incarnation;
    uint32_t n_slots;
    uint32_t device;     /* 0 = for slots */
    uint64_t device_key; /* the task that a device of this peer is held for */
    bool ahead;          /* for pxi_place_ahead () */
    uint64_t until_ns;   /* a dispatch that is sent before comes while the lease lasts */
    pxi_list in_core;
} pxi_take;

/* A lease that we gave. */
typedef struct pxi_lease {
    uint64_t id, given_ns;
    pxi_peer *master;
    uint32_t n_slots;
    uint32_t device;     /* whose slots these are; 0 = the peer's */
    uint64_t device_key; /* the task that they are for */
    pxi_timer timer;
    pxi_list in_core;
} pxi_lease;

/* A reservation kept for a master. */
typedef struct pxi_reservation {
    uint64_t peer, probe, module, until_ns;
    uint64_t had_ns; /* slot time its job begins with */
    pxi_job_id job;
} pxi_reservation;

/* What is remembered of a job that was here and may come back. */
typedef struct pxi_former {
    pxi_job_id id;
    uint64_t had_ns;
    bool nests;
} pxi_former;

/* An execution here: for a master, a root, or a redo of one of our own subtasks. */
typedef struct pxi_run {
    uint64_t id;
    pxi_job *job;
    pxi_peer *master;        /* NULL: ours */
    pxi_attempt_state *redo; /* a redo of ours */
    pxi_attempt spec;
    pxi_list at_master, in_core;
    uint64_t started_ns, progress;
    uint32_t crashes; /* of a root */
    bool stopped;
    bool owns_input; /* a redo's input is its subtask's */
    bool waits;      /* for its shared input: the driver does not know it yet */
    pxi_shared *shared;
    pxi_list in_shared;
} pxi_run;

/* A run that has crashed its executor here (core/crashers.c). */
typedef struct pxi_crasher {
    pxi_job_id job;
    pxi_shared_name shared;
    uint64_t digest;
    uint32_t task, culprit, count;
} pxi_crasher;

/* A result that was sent, kept a while in case it was lost. */
typedef struct pxi_sent_result {
    pxi_list in_core;
    uint64_t peer, peer_incarnation;
    pxi_returned returned;
    uint64_t sent_ns, until_ns;
} pxi_sent_result;

/* A device of this peer. */
typedef struct pxi_device {
    pxi_device_look look;
    uint64_t
        held[PXI_DEVICE_SLOTS_MAX]; /* the task of each lease, take and run that has a slot of it */
    uint32_t n_held, n_failed;      /* n_failed: in a row */
    uint64_t held_ns;               /* when it was held last */
    uint64_t ended_ns;              /* when something on it ended last */
    uint64_t busy_until_ns;         /* with what runs on it, as estimated */
    uint64_t failed_until_ns;       /* not tried before */
} pxi_device;

/* What there is to know of them: from the first that the driver tells of. */
typedef struct pxi_devices {
    uint32_t n, n_bans;
    pxi_device all[PXI_DEVICES_MAX];
    struct {
        uint64_t key;
        uint32_t device;
    } bans[64]; /* tasks that will never run on a device; the oldest is forgotten */
    pxi_rank rank;
} pxi_devices;

enum {
    PXI_SHARE_ONE = 1024,  /* of shares of something */
    FORMER_MAX = 16,       /* jobs that were here and whose slot time is remembered */
    JOINS_MAX = 64,        /* addresses being joined at once */
    SENT_MAX = 4096,       /* results kept for sending again */
    SENT_SIZE_MAX = 65536, /* bytes of one that is kept: a larger one is rather computed again */
};

/* An address that is being joined, and the number of its HELLO. */
typedef struct pxi_pending_join {
    pxi_address address;
    uint64_t sequence;
} pxi_pending_join;

/* What nearly every step looks at comes first: a simulator steps so many cores in turn that none of it is
 * in a cache (pxi_core_fetch). */
struct pxi_core {
    uint64_t now_ns, started_ns, resumed_ns;
    uint64_t handshake_ns; /* interval */
    pxi_heap timers;
    uint64_t timer_sequence, next_id;

    pxi_action *actions; /* of this step */
    uint32_t n_actions, actions_capacity;
    void **scratch; /* arrays of this step's messages */
    uint32_t n_scratch, scratch_capacity;
    pxi_trace_sink *trace;
    void *trace_context;

    /* Done once at the end of a step, however often a step asks for it. */
    bool seek_pending, share_pending, close_pending;
    bool host_busy, draining, drained;
    bool was_full, had_root, quantum_due;
    uint32_t n_vain_looks;
    uint32_t n_ring;
    uint32_t slots_leased;
    uint64_t charged_ns;   /* slot time of jobs is counted up to here */
    uint64_t had_floor_ns; /* least that a job which wants slots has had; never falls */
    uint64_t full_ns;
    int32_t busy_share;       /* of the peers asked lately, of PXI_SHARE_ONE */
    int32_t full_share;       /* of the time that all slots here were taken, of PXI_SHARE_ONE */
    uint32_t volunteer_tries; /* left, until there is new evidence of work */
    uint32_t n_jobs, n_runs, n_subtasks, n_attempts, n_branches, n_probes, n_leases, n_takes,
        n_sent, n_returning, n_waiting, n_shared, n_kept;
    uint64_t kept_bytes;
    uint64_t volunteer_to; /* peer that is known to have surplus; 0 = none */
    uint64_t memory_bytes;

    pxi_prng prng;
    pxi_map peers; /* by id */
    pxi_peer **view;
    uint32_t n_view, n_responsive, told_responsive, n_gone;
    uint32_t n_joins, join_rounds, n_gossips;
    pxi_list all_jobs, all_peers, all_runs, all_probes, all_takes, leases, sent;
    pxi_list all_shared, kept; /* kept: that nobody needs now, the oldest first */
    pxi_timer gossip, quantum, volunteer, reservation_timer, join, sent_timer, kept_timer;
    px_stats stats;

    pxi_map jobs, subtasks, branches, runs, probes, leases_by_id, takes;
    pxi_map shared;      /* by a hash of the name */
    pxi_map sent_by_key; /* a hash of master and key: of two alike the later one */
    pxi_core_config config;
    pxi_peer_record self;
    pxi_pending_join joins[JOINS_MAX];
    pxi_peer *returning_to;   /* pinned: whose results are gathered; NULL = nobody's */
    uint32_t returning_slots; /* that the message will say are free soon */
    pxi_returned returning[PXI_RESULTS_MAX];
    uint64_t join_sequence;
    pxi_reservation ring[PXI_RESERVATIONS_MAX];
    pxi_former former[FORMER_MAX];
    uint32_t n_former;
    pxi_cost_task **costs; /* PXI_COSTS_MAX of them; NULL: no task was met */
    uint32_t n_costs;
    uint64_t cost_uses;
    pxi_crasher *crashers; /* NULL: nothing has crashed here */
    uint32_t n_crashers;
    pxi_devices *devices; /* NULL: none yet */
    pxi_timer device_timer;
};

/* ---- core.c -----------------------------------------------------------------------------------
 */

uint64_t pxi_core_new_id (pxi_core *core);
void *pxi_core_alloc (pxi_core *core,
                      size_t size); /* zeroed; aborts never: NULL when out of memory */
void pxi_core_release (pxi_core *core, void *memory, size_t size);
pxi_action *pxi_core_act (pxi_core *core, pxi_action_kind kind);
/* An array that lives until the next step. */
void *pxi_core_scratch (pxi_core *core, size_t size);
/* A SEND action to a known peer; the caller fills the message's fields. */
pxi_message *pxi_core_send (pxi_core *core, const pxi_peer *to, pxi_message_kind kind);
void pxi_core_forget (pxi_core *core, uint64_t blob);
void pxi_core_say (pxi_core *core, const char *format, ...) PX_PRINTF (2, 3);
#define SAY(core, ...)                                                                             \
    do {                                                                                           \
        if ((core)->trace)                                                                         \
            pxi_core_say ((core), __VA_ARGS__);                                                    \
    } while (0)
/* Short name of a peer for the trace. */
const char *pxi_core_name (const pxi_peer *peer);
void pxi_core_check_drained (pxi_core *core);

/* ---- timer.c ----------------------------------------------------------------------------------
 */

void pxi_timer_set (pxi_core *core, pxi_timer *timer, pxi_timer_kind kind, void *owner,
                    uint64_t at_ns);
void pxi_timer_clear (pxi_core *core, pxi_timer *timer);
bool pxi_timer_is_set (const pxi_timer *timer);
pxi_timer *pxi_timer_due (pxi_core *core); /* takes it out; NULL = none */

/* ---- view.c -----------------------------------------------------------------------------------
 */

void pxi_view_init (pxi_core *core);
void pxi_view_join (pxi_core *core, const pxi_address *address);
/* Who sent this? Creates the peer when new; NULL = stale or refused, and counted. */
pxi_peer *pxi_view_sender (pxi_core *core, const pxi_message *message);
pxi_peer *pxi_view_find (pxi_core *core, uint64_t id);
void pxi_view_message (pxi_core *core, pxi_peer *from, const pxi_message *message);
void pxi_view_timer (pxi_core *core, pxi_timer_kind kind);
void pxi_view_heard (pxi_core *core, pxi_peer *peer);
void pxi_view_rtt (pxi_core *core, pxi_peer *peer, uint64_t sample_ns);
/* What a round trip to it takes at most, but rarely (RFC 6298); 0 = not measured. */
static inline uint64_t pxi_view_trip_ns (const pxi_peer *peer)
{
    return peer->rtt_ns + 4 * peer->rtt_var_ns;
}
uint64_t pxi_view_patience_ns (const pxi_core *core, const pxi_peer *peer);
void pxi_view_unresponsive (pxi_core *core, pxi_peer *peer);
void pxi_view_leave (pxi_core *core);
/* Counted in core->n_responsive. */
bool pxi_view_responsive (const pxi_peer *peer);
/* What is there of this peer's is late: something new would be, too. */
bool pxi_view_held_up (const pxi_peer *peer);
/* With what is ours: it has said so by taking it, and asking it again would say no more. */
bool pxi_view_full_of_ours (const pxi_peer *peer);
/* A random peer but `avoid` that may work for `job` (NULL: any responsive one); NULL = none. */
pxi_peer *pxi_view_pick (pxi_core *core, const pxi_job *job, uint64_t avoid);
/* Free the entry when nothing refers to it any more. */
void pxi_view_unref (pxi_core *core, pxi_peer *peer);
/* It may be given work of this module now: it has the module, and has not handed back what it was free for. */
bool pxi_view_fits (const pxi_core *core, const pxi_peer *peer, uint64_t module);

/* ---- handshake.c ------------------------------------------------------------------------------
 */

void pxi_handshake_begin (pxi_core *core, pxi_peer *peer); /* a relation may have begun */
void pxi_handshake_timer (pxi_core *core, pxi_peer *peer);
void pxi_handshake_message (pxi_core *core, pxi_peer *from, const pxi_message *message);
/* Asks a silent worker out of turn; the caller has nothing to do but wait for it. */
void pxi_handshake_hurry (pxi_core *core, pxi_peer *peer);
/* It has answered none of several such questions: its attempts are late, whatever their size. */
bool pxi_handshake_silent (const pxi_peer *peer);
/* Give up all between us and this peer, both ways. */
void pxi_handshake_lost (pxi_core *core, pxi_peer *peer, const char *why);

/* ---- place.c: asking --------------------------------------------------------------------------
 */

void pxi_place_seek_all (pxi_core *core); /* at the end of a step */
void pxi_place_taken (pxi_core *core, const pxi_event *event);
void pxi_place_message (pxi_core *core, pxi_peer *from, const pxi_message *message);
void pxi_place_probe_lost (pxi_core *core, pxi_probe *probe);
void pxi_place_end (pxi_core *core, pxi_job *job); /* nothing of the job is wanted here any more */
/* It has just ended an attempt of the job, and has a slot free: asked before others. */
void pxi_place_free_at (pxi_core *core, pxi_job *job, pxi_peer *peer);
/* It has had something of the job. */
void pxi_place_ahead (pxi_core *core, pxi_job *job, pxi_peer *peer);
void pxi_place_forget_peer (pxi_core *core, pxi_peer *peer);
/* A question that is not answered yet. NULL: out of memory. */
pxi_probe *pxi_place_question (pxi_core *core, const pxi_job *job, pxi_peer *peer);
void pxi_place_question_free (pxi_core *core, pxi_probe *probe);
/* A TAKE, for a peer's slots or a device (peer NULL: of this one). NULL: out of memory. */
pxi_take *pxi_place_take (pxi_core *core, pxi_job *job, const pxi_take *what, pxi_action **action);
void pxi_place_decline (pxi_core *core, const pxi_peer *to, pxi_job_id job, uint64_t lease,
                        uint64_t probe);
/* Whoever it was for is the one that was asked about, and is there. */
bool pxi_place_still_there (const pxi_take *take);

/* ---- branch.c: subtasks away and their attempts -----------------------------------------------
 */

pxi_subtask *pxi_branch_subtask (pxi_core *core, pxi_job *job, const pxi_taken *taken);
pxi_attempt_state *pxi_branch_attempt (pxi_core *core, pxi_subtask *subtask, pxi_peer *peer,
                                       bool speculative);
void pxi_branch_attempt_free (pxi_core *core, pxi_attempt_state *attempt);
pxi_attempt_state *pxi_branch_find (pxi_core *core, const pxi_peer *peer, pxi_key key);
void pxi_branch_give_back (pxi_core *core, pxi_subtask *subtask);
void pxi_branch_put_back (pxi_core *core,
                          pxi_subtask *subtask); /* the same, unless it crashed somewhere */
/* An attempt ended without an outcome. */
void pxi_branch_lost (pxi_core *core, pxi_attempt_state *attempt);
/* An attempt ended with one (its worker's, or a redo's here). */
void pxi_branch_result (pxi_core *core, pxi_attempt_state *attempt, const pxi_returned *returned);
/* Its device did not do it, or had no room: the executor has it again, with `blob`, which tells why (0: nothing). */
void pxi_branch_undone (pxi_core *core, pxi_attempt_state *attempt, uint64_t blob,
                        uint32_t size_bytes);
/* It has run there for so long: given up when that is over its limit. True: it was. */
bool pxi_branch_limit (pxi_core *core, pxi_attempt_state *attempt, uint64_t run_ns);
void pxi_branch_message (pxi_core *core, pxi_peer *from, const pxi_message *message);
void pxi_branch_closed (pxi_core *core, uint64_t branch);
void pxi_branch_end_job (pxi_core *core, pxi_job *job);
bool pxi_branch_room (const pxi_core *core); /* for one attempt more, given or taken */
bool pxi_branch_full (const pxi_branch *branch);
/* Give up what crashed elsewhere and that nobody else can try. */
void pxi_branch_check_retry (pxi_core *core, pxi_job *job);

/* Tells the driver whether it may hand over more of it. */
void pxi_branch_cap (pxi_core *core, pxi_branch *branch);

/* ---- adapt.c: the number in force -------------------------------------------------------------
 */

void pxi_adapt_begin (pxi_core *core, pxi_branch *branch);
void pxi_adapt_held (const pxi_branch *branch); /* more than before is away */
/* An attempt of it was lost, handed back, or is so late that there is another. */
void pxi_adapt_broken (pxi_core *core, const pxi_branch *branch);
/* Does the result of this attempt, all that may be away being so, say that more would pay? */
bool pxi_adapt_pays (const pxi_core *core, const pxi_attempt_state *attempt, uint64_t run_ns);
void pxi_adapt_paid (pxi_core *core, const pxi_branch *branch);

/* ---- straggler.c ------------------------------------------------------------------------------
 */

void pxi_straggler_sample (pxi_job *job, uint32_t task, uint64_t run_ns);
/* The same of a chunk: chunks differ in size. */
void pxi_straggler_chunk (pxi_job *job, uint64_t n_items, uint64_t run_ns);
void pxi_straggler_watch (pxi_core *core, pxi_job *job);
/* A slot here may have nothing to do. */
void pxi_straggler_idle (pxi_core *core, pxi_job *job);
void pxi_straggler_timer (pxi_core *core, pxi_job *job);
/* A subtask of the job worth another attempt at `peer` (NULL: here) now; NULL = none. */
pxi_subtask *pxi_straggler_pick (pxi_core *core, pxi_job *job, const pxi_peer *peer);
uint64_t pxi_straggler_median_ns (const pxi_job *job, uint32_t task); /* 0 = not known */
/* Median run time of the job's last subtasks; 0 = too few are known, or their sizes differ widely. */
uint64_t pxi_straggler_alike_ns (pxi_job *job);
/* What the next one of this task takes, by the job's last ones; n 0 = they say nothing. */
pxi_cost_span pxi_straggler_close (pxi_job *job, uint32_t task);

/* ---- estimate.c: what is expected, and what came of it ----------------------------------------
 */

/* How many like the last one that was handed over, or like this subtask (not NULL), may go to this peer now, of
 * `n_waiting` here: 0 = they are done sooner here, 1 = to learn, UINT32_MAX = any. */
uint32_t pxi_estimate_leaves (const pxi_core *core, pxi_job *job, const pxi_peer *peer,
                              const pxi_subtask *subtask, uint32_t n_waiting);
/* How many like the last one go together to this peer that take `run_ns` each: as many as take no longer than
 * `fit_ns`, there or on their way, and no more than are on it while nobody takes it for silent. */
uint32_t pxi_estimate_batch (const pxi_core *core, const pxi_job *job, const pxi_peer *peer,
                             uint64_t run_ns, uint64_t fit_ns);
/* None does now: they are not asked for before long. */
void pxi_estimate_stay (pxi_core *core, pxi_job *job, const pxi_peer *peer);
/* When a slot here that has nothing to do should do again what is away; UINT64_MAX = never. */
uint64_t pxi_estimate_redo_ns (const pxi_core *core, const pxi_attempt_state *attempt);
/* A task of ours ended here. */
void pxi_estimate_ran (pxi_core *core, const pxi_event *event);
/* An attempt is about to go to its peer. */
void pxi_estimate_sent (pxi_core *core, pxi_attempt_state *attempt);
/* The result of one that was at a peer, or was redone here, is the outcome. */
void pxi_estimate_result (pxi_core *core, const pxi_attempt_state *attempt, uint64_t run_ns,
                          uint64_t result_bytes);
pxi_estimate_key pxi_estimate_key_of (const pxi_subtask *subtask);
void pxi_estimate_forget (pxi_core *core);

/* ---- worker.c: serving ------------------------------------------------------------------------
 */

pxi_job *pxi_worker_job (pxi_core *core, pxi_job_id id,
                         uint64_t module); /* finds or makes; NULL = full */
pxi_job *pxi_worker_find_job (pxi_core *core, pxi_job_id id);
pxi_run *pxi_worker_run (pxi_core *core, pxi_job *job, pxi_peer *master, const pxi_attempt *spec);
void pxi_worker_submit (pxi_core *core, const pxi_event *event);
void pxi_worker_finished (pxi_core *core, const pxi_event *event);
void pxi_worker_progress (pxi_core *core, const pxi_event *event);
void pxi_worker_stop (pxi_core *core, pxi_run *run);
void pxi_worker_begin (pxi_core *core, pxi_run *run); /* all that it needs is here */
void pxi_worker_lose (pxi_core *core, pxi_run *run);  /* something of it does not come */
void pxi_worker_message (pxi_core *core, pxi_peer *from, const pxi_message *message);
void pxi_worker_close_jobs (pxi_core *core); /* at the end of a step */
void pxi_worker_cancel_job (pxi_core *core, pxi_job_id id);
/* `tries`: how often at least, for what is known now. */
void pxi_worker_volunteer_soon (pxi_core *core, uint32_t tries);
void pxi_worker_timer (pxi_core *core, pxi_timer_kind kind);
void pxi_worker_abandon (pxi_core *core, pxi_peer *master); /* stop all its runs here */
void pxi_worker_forget_peer (pxi_core *core, pxi_peer *peer);
void pxi_worker_hand_back (pxi_core *core);
/* Results that were gathered are sent. */
void pxi_worker_flush (pxi_core *core);
bool pxi_worker_resend (pxi_core *core, pxi_peer *master, pxi_key key);
bool pxi_worker_can (const pxi_core *core, uint64_t module);
void pxi_worker_busy (pxi_core *core, const pxi_peer *to, const pxi_message *probe, bool reserved,
                      uint64_t retry_ns);
void pxi_worker_cannot (pxi_core *core, const pxi_peer *to, const pxi_message *probe, uint32_t err,
                        uint64_t pause_ns);

/* ---- crashers.c -------------------------------------------------------------------------------
 */

/* It has crashed its executor here, by way of the task `culprit`. */
void pxi_crashers_note (pxi_core *core, const pxi_attempt *spec, uint32_t culprit);
/* It has done so too often to be started again; NULL: it has not. */
const pxi_crasher *pxi_crashers_find (const pxi_core *core, const pxi_attempt *spec);

/* ---- shared.c: inputs that all subtasks of a branch have --------------------------------------
 */

/* Of a subtask that was handed over, with its bytes, whose handle is taken. NULL: out of memory. */
pxi_shared *pxi_shared_own (pxi_core *core, const pxi_attempt *spec);
/* Of a run, which waits where it is not here. False: out of memory. */
bool pxi_shared_need (pxi_core *core, pxi_run *run);
void pxi_shared_leave (pxi_core *core, pxi_shared *shared);
bool pxi_shared_fits (const pxi_core *core, const pxi_message *message); /* those of its attempts */
void pxi_shared_message (pxi_core *core, pxi_peer *from, const pxi_message *message);
void pxi_shared_timer (pxi_core *core, pxi_timer *timer);
void pxi_shared_forget_peer (pxi_core *core, const pxi_peer *peer);

/* ---- device.c: devices, here and elsewhere ----------------------------------------------------
 */

void pxi_device_all (pxi_core *core, const pxi_event *event);
void pxi_device_wrong (pxi_core *core, const pxi_event *event);
void pxi_device_declined (pxi_core *core, const pxi_peer *from, uint32_t device);
void pxi_device_timer (pxi_core *core);
/* What waits of the job changed, or a chunk of it has ended. */
void pxi_device_surplus (pxi_core *core, pxi_job *job, uint32_t task, uint64_t n_items);
void pxi_device_moved (pxi_core *core, pxi_job *job);
void pxi_device_slot_did (pxi_core *core, pxi_job *job, uint32_t task, uint64_t n_items,
                          uint64_t run_ns);
void pxi_device_seek (pxi_core *core, pxi_job *job);
void pxi_device_taken (pxi_core *core, pxi_job *job, const pxi_take *take, const pxi_event *event);
void pxi_device_answered (pxi_core *core, pxi_peer *from, pxi_probe *probe,
                          const pxi_message *message);
/* A chunk is there, or is not any more. */
void pxi_device_count_there (pxi_peer *peer, int32_t change);
/* It had a chunk, and did not do it. */
void pxi_device_refused_there (pxi_core *core, pxi_peer *peer, const pxi_attempt *spec);
void pxi_device_asked (pxi_core *core, pxi_peer *from, const pxi_message *probe);
/* A slot of it for something of this task: false = there is none. */
bool pxi_device_hold (pxi_core *core, uint32_t device, uint64_t key);
void pxi_device_release (pxi_core *core, uint32_t device, uint64_t key);
uint64_t pxi_device_key (uint64_t module, uint32_t task);
void pxi_device_begins (pxi_core *core, const pxi_run *run);
void pxi_device_finished (pxi_core *core, const pxi_run *run, const pxi_event *event);
/* One of the processor that the slots are on has something of this job. */
bool pxi_device_is_in_the_way (const pxi_core *core, pxi_job_id job);
void pxi_device_free_peer (pxi_core *core, pxi_peer *peer);

/* ---- share.c: slots among jobs ----------------------------------------------------------------
 */

void pxi_share (pxi_core *core); /* jobs, leases, reservations; at the end of a step */
void pxi_share_active (pxi_core *core, const pxi_event *event);
uint32_t pxi_share_free (const pxi_core *core);
/* Slots that nobody waits for, with that of a run of the job that ends now. */
bool pxi_share_ahead (pxi_core *core, const pxi_message *probe);
uint32_t pxi_share_free_soon (const pxi_core *core, const pxi_job *job);
/* Slots with no thread in them and no lease on them. */
uint32_t pxi_share_unheld (const pxi_core *core);
/* What is kept of a job while it is not here: it ends; it comes back. */
void pxi_share_keep (pxi_core *core, const pxi_job *job);
void pxi_share_remember (pxi_core *core, pxi_job *job);
/* Slot time that one which is not here begins with: what is remembered of it, or a newcomer's. */
uint64_t pxi_share_had_before_ns (pxi_core *core, pxi_job_id id);

/* ---- lease.c ----------------------------------------------------------------------------------
 */

pxi_lease *pxi_lease_give (pxi_core *core, pxi_peer *master, uint32_t n_slots);
/* Of slots that are held of a device for a task. */
pxi_lease *pxi_lease_give_device (pxi_core *core, pxi_peer *master, uint32_t device, uint64_t key,
                                  uint32_t n_slots);
void pxi_lease_offer (pxi_core *core, const pxi_lease *lease, uint64_t probe, pxi_job_id job);
pxi_lease *pxi_lease_find (pxi_core *core, const pxi_peer *master, uint64_t id);
/* Any of slots; NULL = it has none. */
pxi_lease *pxi_lease_other (const pxi_core *core, const pxi_peer *master);
void pxi_lease_end (pxi_core *core, pxi_lease *lease);
void pxi_lease_unanswered (pxi_core *core, pxi_lease *lease); /* the same, its master was silent */
/* Nothing was heard of it since it was given a lease that lapsed: another would be given in vain. */
bool pxi_lease_in_vain (const pxi_peer *master);
bool pxi_lease_reserve (pxi_core *core, pxi_peer *master, const pxi_message *probe);
void pxi_lease_unreserve (pxi_core *core, uint32_t at);
void pxi_lease_lapse (pxi_core *core); /* reservations whose time is over */
uint64_t pxi_lease_ttl_ns (const pxi_core *core, const pxi_peer *master);

#endif
