/* The protocol: one deterministic state machine per peer. No I/O, no clock, no threads.
 *
 *     pxi_core *core = pxi_core_new (&config);
 *     for (;;) {
 *         event.now_ns = now;
 *         pxi_core_step (core, &event, &actions);
 *         ... carry out actions.items[0..n) ...
 *         ... PXI_EV_FLUSH as soon as nothing more is at hand, if pxi_core_gathers (core) ...
 *         ... wait for input, at most until pxi_core_wake_ns (core), then PXI_EV_TICK ...
 *     }
 *
 * Process what has arrived before a tick: a peer that was paused must read its mail before it
 * judges others by the clock. */
#ifndef PXI_CORE_CORE_H
#define PXI_CORE_CORE_H

#include "core/action.h"
#include "core/event.h"

typedef struct pxi_core pxi_core;

typedef struct pxi_core_config {
    pxi_peer_record self; /* slots, modules, name, address; flags 0 */
    uint64_t seed;
    uint64_t now_ns;
    uint64_t detect_ns; /* silence after which a relation ends; default 2.5 s */
    uint64_t gossip_ns; /* mean interval of view exchange; default 1 s */
    uint64_t
        quantum_ns; /* of slot sharing between jobs when there are more than slots; default 50 ms */
    uint32_t view_max;     /* <= PXI_VIEW_MAX */
    uint32_t attempts_max; /* <= PXI_ATTEMPTS_MAX */
    uint32_t redo_percent; /* budget of speculation: extra attempts per running ones; default 10 */
    uint64_t shared_size_max; /* of a shared input that this peer fetches, in bytes */
    bool isolated;            /* task code runs in processes of its own here: a subtask that crashed
                              elsewhere may be tried here */
    bool speculation, inlining, reservations, volunteers, backoff,
        adaptation; /* default true; off for comparison */
} pxi_core_config;

/* All defaults; the caller fills self, seed, now_ns. */
pxi_core_config pxi_core_config_default (void);

/* NULL when out of memory or the configuration is not valid. */
pxi_core *pxi_core_new (const pxi_core_config *config);
void pxi_core_free (pxi_core **core_p);

void pxi_core_step (pxi_core *core, const pxi_event *event, pxi_actions *actions);

/* It steps soon: a driver of many has its memory fetched meanwhile. Changes nothing. */
void pxi_core_fetch (const pxi_core *core);

/* When the next PXI_EV_TICK is due; UINT64_MAX = never. */
uint64_t pxi_core_wake_ns (const pxi_core *core);
/* Results wait for more of them: PXI_EV_FLUSH is due as soon as the driver has nothing more at hand. */
bool pxi_core_gathers (const pxi_core *core);

/* It waits for a shared input of this name: what else comes need not be looked at. */
bool pxi_core_awaits (const pxi_core *core, const pxi_shared_name *name);

/* A run of this job has crashed here: its attempts are wanted with digests. */
bool pxi_core_remembers (const pxi_core *core, pxi_job_id job);

/* Counters: the same X-list as px_stats has, filled as far as the core knows them. */
struct px_stats;
void pxi_core_stats (const pxi_core *core, struct px_stats *stats);

/* ---- for checkers, tests and peer-top: read only -------------------------------------------- */

typedef struct pxi_peer_look {
    pxi_peer_record record;
    uint64_t heard_ns_ago;
    uint64_t rtt_ns;
    uint64_t bytes_per_s;       /* of the link to it; 0 = not known */
    uint64_t slowness_permille; /* run times there, of those here; 0 = not known */
    bool slowness_sure;         /* they agree, and are not as far apart as is ever believed */
    bool unresponsive, leaving;
    bool left;           /* said that it leaves, and is gone: of no account */
    bool master, worker; /* relations now */
} pxi_peer_look;

uint32_t pxi_core_peers (const pxi_core *core, uint64_t now_ns, pxi_peer_look *looks, uint32_t max);

typedef struct pxi_run_look {
    uint64_t run;
    uint64_t master; /* 0 = local root or redo */
    pxi_key key;
    pxi_job_id job;
    uint64_t started_ns;
    bool waits;      /* for its shared input: no executor has it */
    uint32_t device; /* 0 = in a slot */
} pxi_run_look;

uint32_t pxi_core_runs (const pxi_core *core, pxi_run_look *looks, uint32_t max);

typedef struct pxi_away_look { /* one attempt of ours elsewhere (or a redo here: peer = self) */
    pxi_key key;
    uint64_t branch, peer, run;
    pxi_job_id job;
    uint64_t sent_ns;
} pxi_away_look;

uint32_t pxi_core_away (const pxi_core *core, pxi_away_look *looks, uint32_t max);

/* What was expected of a task, and what came of it: of all that ended here or was sent away. */
typedef struct pxi_cost_look {
    uint64_t module;
    uint32_t task;
    uint64_t n;                                  /* told */
    uint64_t expected_ns, real_ns;               /* sums: run time, */
    uint64_t expected_bytes, real_bytes;         /* size of results */
    uint64_t quality_permille;                   /* median of real over expected run time */
    uint64_t n_known, low_ns, usual_ns, high_ns; /* of the size met last: how long it takes here */
} pxi_cost_look;

uint32_t pxi_core_costs (const pxi_core *core, pxi_cost_look *looks, uint32_t max);

/* Sizes that must return to zero when nothing is going on. */
typedef struct pxi_core_sizes {
    uint32_t runs, subtasks, attempts, branches, leases, reservations, probes, jobs, takes;
    uint32_t slots_used, slots_leased, roots, timers;
    uint32_t runs_waiting; /* of runs: for their shared input */
    uint32_t shared;       /* shared inputs that are here or on their way */
    uint32_t device_runs;  /* of runs: on this peer's devices */
    uint32_t device_slots_held, device_slots_leased,
        device_slots_taking; /* held: by leases, takes and device_runs */
    uint64_t memory_bytes;
    uint64_t n_speculative; /* attempts beside a straggler, so far: a count, no size */
} pxi_core_sizes;

void pxi_core_sizes_read (const pxi_core *core, pxi_core_sizes *sizes);

/* One sentence: why work that waits here does not move (or "nothing waits"). For liveness reports
 * and for people: peer-top and peer-run print it. */
void pxi_core_why (const pxi_core *core, uint64_t now_ns, char *text, uint32_t text_size);

/* Trace records: every decision as one line "fact -> action". `sink` is called inside a step with
 * text that lives for the call; off when NULL. The text has no addresses, no clock readings. */
typedef void pxi_trace_sink (void *context, uint64_t now_ns, const char *line);
void pxi_core_trace (pxi_core *core, pxi_trace_sink *sink, void *context);

#endif
