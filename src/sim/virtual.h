/* A virtual executor: what exec/port.h promises, in virtual time.
 *
 * It runs one job's tasks at one peer: threads that execute bursts of a task's time, join by running
 * their own subtasks newest first, wait without holding a slot, and hand the oldest subtasks over when
 * asked. It checks what it is told: an outcome for a subtask that is not away, one that comes twice, a
 * run that ends twice are broken contracts, told through `broken`. No threads, no clock. */
#ifndef PXI_SIM_VIRTUAL_H
#define PXI_SIM_VIRTUAL_H

#include "core/action.h"
#include "core/event.h"
#include "sim/alarm.h"
#include "sim/workload.h"

/* What a blob stands for: the input of a task (node), an outcome (hash, result), or a shared input (shared). */
typedef struct pxi_payload {
    pxi_node node;
    pxi_shared_name shared;
    uint64_t hash;
    pxi_result result;
    uint32_t size_bytes;
    bool cancelled; /* what a stopped run leaves: must never become anybody's outcome */
} pxi_payload;

typedef struct pxi_virtual pxi_virtual;

/* A thread's stretch of execution. The world keeps its alarm and ends it with pxi_virtual_burst_end (). */
typedef struct pxi_burst {
    pxi_alarm alarm;
    pxi_virtual *executor;
    uint64_t frozen_ns; /* for the world: how long its peer had stood still when it was last set */
    uint64_t from_ns;   /* for the world: its peer's own time when it began */
    uint64_t length_ns; /* of work, at speed 1 */
    uint64_t work;      /* which work of the job: the same one whenever it is done again */
    bool cancelled;     /* nobody wants it any more */
} pxi_burst;

/* What a virtual executor needs of its peer. */
typedef struct pxi_virtual_port {
    void *context;
    /* To the core, in order. An array in event->taken is the receiver's to free (). */
    void (*notice) (void *context, const pxi_event *event);
    void (*burst) (void *context, pxi_burst *burst);
    void (*burst_drop) (void *context, pxi_burst *burst);   /* its alarm must not fire any more */
    void (*burst_cancel) (void *context, pxi_burst *burst); /* it may end earlier */
    uint64_t (*blob_new) (void *context, const pxi_payload *payload);
    const pxi_payload *(*blob) (void *context, uint64_t blob); /* NULL = no such blob */
    uint64_t (*now_ns) (void *context);
    /* The task at `state` is about to run: true = it takes the executor with it. */
    bool (*crashes) (void *context, pxi_virtual *executor, uint64_t state);
    void (*broken) (void *context, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
} pxi_virtual_port;

typedef struct pxi_virtual_config {
    pxi_job_id job;
    const pxi_tree *tree;
    uint64_t module;
    uint64_t peer;
    bool devices;      /* of the peer: its slots wait for the word whether they take chunks */
    uint32_t slots;    /* threads at most */
    uint64_t *next_id; /* of subtasks and branches; the peer's */
    const pxi_virtual_port *port;
} pxi_virtual_config;

pxi_virtual *pxi_virtual_new (const pxi_virtual_config *config);
/* Tells nothing to anybody: its peer is gone, or the job is closed. */
void pxi_virtual_free (pxi_virtual **executor_p);

/* Commands, as in exec/port.h. */
void pxi_virtual_run (pxi_virtual *executor, uint64_t run, uint64_t blob, uint64_t shared_blob);
/* One that is not to be started: it crashed here too often. */
void pxi_virtual_refuse (pxi_virtual *executor, uint64_t run);
void pxi_virtual_stop (pxi_virtual *executor, uint64_t run);
void pxi_virtual_take (pxi_virtual *executor, const pxi_action *take);
void pxi_virtual_give_back (pxi_virtual *executor, uint64_t subtask, uint32_t attempts,
                            uint32_t crashes);
/* A pxi_rank_use: whether slots take chunks of ranges. */
void pxi_virtual_range (pxi_virtual *executor, uint32_t use);
void pxi_virtual_cap (pxi_virtual *executor, uint64_t branch, bool on);
/* `payload` NULL: only `result` is known. */
void pxi_virtual_complete (pxi_virtual *executor, const pxi_action *complete,
                           const pxi_payload *payload);
void pxi_virtual_slots (pxi_virtual *executor, uint32_t count);

/* What stands for the digest of an input's bytes. */
uint64_t pxi_virtual_digest (const pxi_node *node);

void pxi_virtual_burst_end (pxi_virtual *executor, pxi_burst *burst);
/* The process dies. `culprit`: the run that did it (0 = none): CRASHED, the others LOST. It may be used
 * again afterwards, as a new process. */
void pxi_virtual_die (pxi_virtual *executor, uint64_t culprit);
/* The core has heard every notice so far: what comes for a closed branch from now on is wrong. */
void pxi_virtual_heard (pxi_virtual *executor);

/* ---- for checkers ----------------------------------------------------------------------------- */

void *pxi_virtual_context (const pxi_virtual *executor); /* of its port */

typedef struct pxi_virtual_look {
    uint32_t executing, allowed;
    uint32_t runs, away, waiting, branches; /* away: handed over, no outcome yet */
    uint32_t takeable;                      /* of those that wait */
    uint64_t tasks_done;
} pxi_virtual_look;

void pxi_virtual_read (const pxi_virtual *executor, pxi_virtual_look *look);
/* False: no such run, or it was told to stop. */
bool pxi_virtual_runs (const pxi_virtual *executor, uint64_t run);
/* The most that the number may be of a branch of which something is away; false: no such branch. */
bool pxi_virtual_number (const pxi_virtual *executor, uint64_t branch, uint32_t *number);
/* A subtask that is away and undelivered: its id. Calls `each` for at most `max` of them. */
void pxi_virtual_each_away (const pxi_virtual *executor, uint32_t max,
                            void (*each) (void *context, uint64_t subtask, uint64_t branch),
                            void *context);

#endif
