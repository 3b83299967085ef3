/* What a driver (agent or sim) tells the core. Every event comes with `now_ns`, monotonic. */
#ifndef PXI_CORE_EVENT_H
#define PXI_CORE_EVENT_H

#include "core/cost.h"
#include "core/message.h"

typedef enum pxi_event_kind {
    PXI_EV_TICK,        /* a deadline of pxi_core_wake_ns () is due (harmless when none is) */
    PXI_EV_MESSAGE,     /* message arrived: message (already checked by the codec; the bytes of a
                           SHARED have the digest that it names) */
    PXI_EV_UNREACHABLE, /* the transport could not send to peer: a hint, not a verdict */
    PXI_EV_JOIN,        /* join whoever is at address */
    PXI_EV_HOST_BUSY,   /* flag: the owner of the host says "not now" (switch file, load) */
    PXI_EV_DRAIN,  /* leave: refuse new work, say LEAVE, finish; PXI_DO_DRAINED when done. flag: do
                      not finish, hand everything back now */
    PXI_EV_MODULE, /* module (digest key) can be run here now */

    /* The executor's side. A job "opens" at a peer with its first attempt or root there. */
    PXI_EV_SUBMIT, /* a root task: attempt.job, module, task, blob, size. job.origin is this peer */
    PXI_EV_SURPLUS, /* job, count: subtasks waiting in its deques; 0 = none left. task, n_items: of the
                       oldest range that a device could take chunks of, the indices not cut yet */
    PXI_EV_TAKEN, /* answer to PXI_DO_TAKE: token, taken, count of those that still wait. Fewer than
                     asked for counts as SURPLUS 0: the next one that becomes takeable is told by
                     SURPLUS again */
    PXI_EV_ACTIVE,   /* job, count threads executing, runs: how many PXI_DO_RUN threads have taken
                      up so far, wanted: threads more it could use now; flag: nothing waits any more */
    PXI_EV_FINISHED, /* a run (run id) ended: result, run_ns, size, blob; where it surely crashed its
                        process itself, the digest of its input, and the task in it that did so */
    PXI_EV_BRANCH_CLOSED, /* branch: its subtasks away are no longer wanted, or it is joined */
    PXI_EV_PROGRESS,      /* run, progress: subtasks done below it */
    PXI_EV_JOB_CANCEL,    /* job: cancel the root here and all below */
    PXI_EV_FLUSH,         /* nothing more is at hand: results that were gathered go out */
    PXI_EV_DURATION, /* module, task, run_ns: sample of a subtask that ran in place (history), with
                        size_bytes (of its input), result_bytes, declared; flag: it had subtasks of its own.
                        n_items: it was a chunk of so many indices, in C, on a slot */

    /* Devices of this peer. */
    PXI_EV_DEVICES,      /* devices, n_devices: all there are, anew: found, quarantined, back */
    PXI_EV_DEVICE_WRONG, /* peer, device, module, task: what it computed differs from what C does */
} pxi_event_kind;

/* One device of this peer. Its index in pxi_attempt is its place here, from 1. */
typedef struct pxi_device_look {
    bool usable;        /* not in quarantine, not gone */
    uint32_t slots;     /* chunks that it takes at once: one computes, the next is on its way */
    uint32_t processor; /* as in pxi_rank_choice: 0 = the one that the peer's slots are on */
    uint32_t class;     /* pxi_device_class */
    uint64_t memory_bytes;
} pxi_device_look;

/* One subtask handed over by an executor. */
typedef struct pxi_taken {
    uint64_t subtask; /* chosen by the driver, unique for this incarnation; kept over GIVE_BACK */
    uint64_t branch;  /* unique for this incarnation; lives until PXI_EV_BRANCH_CLOSED */
    uint64_t point;  /* of the branch: its number adapts with those of the same one; 0 = it stays */
    uint32_t number; /* branch number that was set; 0 is never handed over */
    uint32_t most;   /* that it may become; less than number = number */
    uint32_t n_subtasks; /* added to the branch so far */
    uint32_t n_done;     /* of these with an outcome */
    uint32_t attempts;   /* as in the PXI_DO_GIVE_BACK that returned it; 0 at first */
    uint32_t crashes;
    uint64_t
        expect_ns; /* of a chunk: until its result, as whoever cut it estimates; 0 = not known */
    pxi_cost_declared declared; /* what its task says of this input */
    uint64_t limit_ns;          /* and how long it may run; 0 = any time */
    /* job, module, task, size, blob filled; key.subtask = subtask. shared, and a shared_blob of its
       own, where its branch has a shared input */
    pxi_attempt attempt;
} pxi_taken;

typedef struct pxi_event {
    pxi_event_kind kind;
    uint64_t now_ns;
    const pxi_message *message;
    pxi_address address;
    uint64_t peer;
    bool flag;
    pxi_job_id job;
    uint64_t module;
    uint32_t task;
    uint64_t token;
    const pxi_taken *taken;
    uint32_t n_taken;
    uint32_t count, wanted;
    uint64_t runs;
    uint64_t run;
    uint64_t branch;
    uint64_t progress;
    uint64_t digest;
    pxi_attempt attempt;
    pxi_result result;
    uint64_t run_ns;
    uint32_t size_bytes, result_bytes;
    pxi_cost_declared declared;
    uint64_t blob;
    const pxi_device_look *devices;
    uint32_t n_devices, device;
    uint64_t n_items;
    /* FINISHED of a run on a device. failed: the device did not do it (result LOST): the chunk goes back, with
       `blob`, which tells why. banned: it never will do this task, so do not try again here. first: something
       was compiled in it, its time says nothing. */
    bool device_failed, device_banned, first;
} pxi_event;

#endif
