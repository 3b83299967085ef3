/* A virtual cluster: peers that run the core which ships, on a network, a clock and executors that are
 * made up. Everything follows from the configuration and its seed; the same one gives the same trace,
 * byte for byte. One thread.
 *
 * A world runs until an invariant breaks (sim/check) or it is told to stop. pxi_world_play () is the
 * whole story: faults until calm_ns, then everything is healed and the jobs must finish within a bound,
 * then nothing may be left over. */
#ifndef PXI_SIM_WORLD_H
#define PXI_SIM_WORLD_H

#include <peerexec/peer.h>

#include "core/core.h"
#include "sim/faults.h"
#include "sim/network.h"
#include "sim/workload.h"

#define PXI_SIM_MODULE UINT64_C (0x73696d756c617465) /* the module of every virtual task */

/* How a peer lies (sim/liar). */
typedef enum pxi_liar {
    PXI_LIAR_NONE,
    PXI_LIAR_FREE,   /* is never busy: promises what it does not have */
    PXI_LIAR_MUTE,   /* takes work and never gives a result */
    PXI_LIAR_WRONG,  /* falsifies results */
    PXI_LIAR_REPLAY, /* says again what it has said before */
    PXI_LIAR_FORGE,  /* invents results of attempts that others have */
    PXI_LIARS
} pxi_liar;

/* A device of a peer. Times are of C's items at speed 1: nothing slows a device down. */
typedef struct pxi_world_device {
    uint32_t slots, processor;     /* as in pxi_device_look */
    uint64_t fixed_ns, compile_ns; /* of each chunk; of the first one besides */
    uint64_t item_ps, way_ps;      /* 10^-12 s: an item computed; on its way there and back */
    uint32_t fails_ppm;            /* chunks that it does not do, until all is calm */
    bool bans;                     /* and will never do then */
    bool wrong;                    /* computes what C does not */
} pxi_world_device;

enum { PXI_WORLD_DEVICES_MAX = 2 };

typedef struct pxi_world_peer {
    uint32_t slots;
    uint32_t speed_permille; /* 1000 = a task takes its time */
    bool no_module;          /* answers CANNOT */
    bool absent;             /* until a fault of kind START or MASS_JOIN */
    bool left_behind;        /* gone for good when all is calm */
    pxi_liar liar;           /* until all is calm */
    int32_t clock_ppm;       /* its clock runs so much too fast */
    uint32_t n_devices;
    pxi_world_device devices[PXI_WORLD_DEVICES_MAX];
} pxi_world_peer;

typedef struct pxi_world_job {
    uint32_t peer; /* of the root */
    uint64_t at_ns;
    pxi_tree tree;
    uint32_t
        crash_times; /* so often one of its tasks takes its executor with it; UINT32_MAX = always */
    uint64_t crash_pick; /* which task: its number in serial order */
} pxi_world_job;

/* What an executor does wrong once, so that the checks are seen to go red. */
typedef enum pxi_wrong {
    PXI_WRONG_NOTHING,
    PXI_WRONG_RESULT, /* is falsified */
    PXI_WRONG_HANG,   /* a task never ends */
} pxi_wrong;

/* Every line, as it happens: of peers ("w1"), of the network and of faults ("net", "fault"). */
typedef void pxi_world_sink (void *context, uint64_t now_ns, const char *who, const char *line);

/* What a message becomes on its way (a test or a tool has the wire's codec do it: sim stands beside wire).
 * `damage` 0: none; otherwise a seed of it. What is returned lives until the next call; NULL = it does not
 * survive, which breaks the world where nothing was damaged. */
typedef const pxi_message *pxi_world_carry (void *context, const pxi_message *message,
                                            uint32_t n_payloads, uint64_t damage);

/* How far it is, now and then. */
typedef struct pxi_world_progress {
    uint64_t now_ns, n_events;
    uint32_t n_jobs_over;
} pxi_world_progress;

typedef void pxi_world_on_progress (void *context, const pxi_world_progress *progress);

typedef struct pxi_world_config {
    uint64_t seed;
    uint32_t n_peers, n_jobs, n_faults;
    const pxi_world_peer *peers; /* arrays are the caller's, and stay while the world lives */
    const pxi_world_job *jobs;
    const pxi_fault *faults; /* sorted by time */
    bool join_first; /* everybody has the first peer's address, besides that of one who is up */
    pxi_network_config network;
    pxi_core_config core; /* self, seed and now_ns are filled in for each peer */
    uint64_t notice_ns;   /* an executor's notices reach the core late by up to this; 0 = at once */
    uint64_t calm_ns;     /* faults stop: everything is healed */
    uint64_t nodes_max;   /* of one tree */
    uint32_t known;       /* peers that each knows before it joins: a cluster that has been up */
    uint64_t sweep_ns;    /* interval of the checks that look at all peers; 0 = 100 ms */
    bool short_of_memory; /* a test lets allocations of the cores fail */
    bool unchecked;       /* of one's own figures only: leaves the checks out */
    pxi_wrong wrong;      /* for the test of the checks */
    /* How long a stretch of work takes this time, at speed 1: the noise of machines, which a second attempt
       does not repeat. NULL = as long as the tree says. */
    uint64_t (*takes_ns) (void *context, uint64_t length_ns);
    void *takes_context;
    uint64_t look_ns;       /* a cancelled task looks after so long at most, and ends; 0 = never */
    bool tells_work;        /* done_ns and vain_ns of the report: keeps in mind all that was done */
    bool network_lines;     /* trace every message too */
    pxi_world_carry *carry; /* NULL = as it is */
    uint32_t damage_ppm;    /* messages damaged on their way; needs carry */
    uint32_t
        held_max; /* messages kept for a peer that stands still, more are lost; 0 = any number */
    void *carry_context;
    pxi_world_sink *sink; /* NULL = no trace, and trace_hash is 0 */
    void *sink_context;
    pxi_world_on_progress *progress; /* NULL = nobody wants to know */
    void *progress_context;
} pxi_world_config;

/* Calm, on 4 peers of 2 slots without a job; the caller fills what it wants. */
pxi_world_config pxi_world_config_default (void);

typedef struct pxi_world pxi_world;

typedef enum pxi_verdict {
    PXI_VERDICT_FINE,
    PXI_VERDICT_BROKEN, /* an invariant */
    PXI_VERDICT_STUCK,  /* not done in time after all faults stopped */
} pxi_verdict;

enum { PXI_WORLD_WHY_SIZE = 4096, PXI_WORLD_JOBS_TOLD = 8 };

typedef struct pxi_world_report {
    pxi_verdict verdict;
    char why[PXI_WORLD_WHY_SIZE]; /* time, peer, invariant; or why each peer waits */
    uint64_t trace_hash;
    uint64_t now_ns, makespan_ns, work_ns, critical_ns;
    uint64_t n_tasks, n_tasks_run; /* of the serial run; executed, repeats included */
    uint64_t done_ns, vain_ns; /* where it is told: time that tasks took the first time they were
                                  done; and all other time of tasks: again, cancelled, lost */
    uint64_t slots_speed_permille;      /* sum over peers of slots x speed */
    uint32_t n_jobs_done, n_jobs_ended; /* ended: cancelled, or their root's peer crashed */
    uint32_t n_crashes;
    uint64_t n_events, n_messages[PXI_MESSAGE_LAST + 1], n_lost, n_duplicated, n_damaged;
    bool
        corrupted; /* a damaged message was taken for a whole one: nothing was checked from then on */
    uint64_t
        jobs_ns[PXI_WORLD_JOBS_TOLD]; /* from submission to end, of the first ones; 0 = not over */
    uint64_t calm_took_ns,
        patience_ns;       /* from the calm to the last job's end; and what was allowed */
    uint64_t memory_bytes; /* of all cores, now */
    px_stats stats;        /* sums over all peers and their former selves */
} pxi_world_report;

/* NULL: out of memory, or a tree is larger than nodes_max. */
pxi_world *pxi_world_new (const pxi_world_config *config);
void pxi_world_free (pxi_world **world_p);

/* False: something broke; pxi_world_read () says what. */
bool pxi_world_run_until (pxi_world *world, uint64_t ns);
bool pxi_world_run_jobs (pxi_world *world, uint64_t until_ns); /* or until every job is over */
bool pxi_world_jobs_over (const pxi_world *world);
/* From submission to end; 0 = not over. */
uint64_t pxi_world_job_ns (const pxi_world *world, uint32_t job);
void pxi_world_fault (pxi_world *world, const pxi_fault *fault); /* now */
void pxi_world_calm (pxi_world *world);                          /* now: heal everything */
/* To look at only; NULL = it is down. Its id is `peer` + 1. */
const pxi_core *pxi_world_core (const pxi_world *world, uint32_t peer);
/* How long the jobs may take once all is calm. */
uint64_t pxi_world_patience_ns (const pxi_world *world);
/* After a pause for everything to lapse: nothing may be left. */
bool pxi_world_settle (pxi_world *world);
void pxi_world_read (const pxi_world *world, pxi_world_report *report);
/* Messages about work, of those about who is still at it, and about who is there. */
uint64_t pxi_world_n_work (const pxi_world_report *report);
uint64_t pxi_world_n_handshakes (const pxi_world_report *report);
uint64_t pxi_world_n_members (const pxi_world_report *report);

/* All of it. Returns when it is over, broken, or `stop` (may be NULL) was set. */
void pxi_world_play (pxi_world *world, const volatile int *stop, pxi_world_report *report);

#endif
