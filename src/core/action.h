/* What the core asks of its driver. Actions are carried out in order, before the next step. */
#ifndef PXI_CORE_ACTION_H
#define PXI_CORE_ACTION_H

#include "core/message.h"

typedef enum pxi_action_kind {
    PXI_DO_SEND,  /* message to message.to at address (kind 0: by the link it came from). Payloads:
                    attempts[].blob, results[].blob, blob of a SHARED. Each stays with the driver until
                    PXI_DO_FORGET: a lost message is sent again */
    PXI_DO_RUN,   /* start attempt as run `run` in the executor of its job (module, task, blob, and
                    shared_blob where its branch has a shared input: see pxi_taken), in a slot or, with
                    attempt.device, on that device of this peer.
                    Answered by PXI_EV_FINISHED exactly once. `root`: outcome is the job's. `flag`: do
                    not: it has crashed here too often, and is answered as one more crash; `culprit`
                    is the task that did it */
    PXI_DO_STOP,  /* run is no longer wanted: cancel it and all below. PXI_EV_FINISHED still
                    follows (any result), soon */
    PXI_DO_TAKE,  /* job, token, count: hand over up to count of the oldest takeable subtasks, none
                    of a capped branch. Answered by PXI_EV_TAKEN exactly once. peer: who takes; device:
                    for that device of his, only chunks of ranges (of task), cut for it; fixed_ns and
                    item_cost: what is told of its speed; queue_ns: until it has done what it has;
                    memory_bytes: what fits it, 0 = not known */
    PXI_DO_RANGE, /* job, task, count: a pxi_rank_use, of the slots here: whether they take chunks of
                     ranges of this task */
    PXI_DO_QUARANTINE, /* device of this peer: it computes what C does not, as `peer` says */
    PXI_DO_GIVE_BACK,  /* subtask (attempts, crashes): back to the takeable ones of its job, oldest
                          end. blob (the driver's: no FORGET follows), device, peer: why that device of
                          his did not do it */
    PXI_DO_CAP,      /* branch, flag: on = at its branch number, hand over no more of it; count: the
                          number in force */
    PXI_DO_COMPLETE, /* subtask (or, with `root`, the job itself) has its outcome: result, blob,
                         size,  attempts made. The blob is the driver's: no FORGET follows. blob 0:
                         err says  what happened, peer where */
    PXI_DO_SLOTS,    /* job may execute up to count threads at once; over it, yield at the next task
                     boundary */
    PXI_DO_CLOSE_JOB, /* job has nothing left here: its executor may go */
    PXI_DO_FORGET,    /* blob: no longer needed (an input whose subtask is done, a late result) */
    PXI_DO_JOINED,    /* address answered; count = peers known now */
    PXI_DO_REFUSED,   /* err: PX_ESELF, PX_EDUPLICATE, PX_EVERSION; address: of the join, or of the
                         refuser */
    PXI_DO_VIEW,      /* count: peers known and responsive now (it changed) */
    PXI_DO_DRAINED,   /* nothing is left that others need: the process may end */
} pxi_action_kind;

typedef struct pxi_action {
    pxi_action_kind kind;
    pxi_address address;
    pxi_job_id job;
    uint64_t token;
    uint64_t run;
    uint64_t subtask;
    uint64_t branch;
    uint64_t blob;
    uint64_t peer;   /* COMPLETE: where the result that was taken came from, */
    uint64_t run_ns; /* and how long it took there */
    uint32_t count;
    uint32_t attempts, crashes;
    uint32_t culprit;
    uint32_t task, device; /* COMPLETE: the device that did it, 0 = a slot */
    bool first;            /* COMPLETE: something was compiled in it, its time says nothing */
    uint64_t fixed_ns, item_cost, queue_ns, memory_bytes;
    uint32_t size_bytes;
    uint32_t err; /* px_err */
    pxi_result result;
    bool flag, root;
    pxi_attempt attempt;
    pxi_message message;
} pxi_action;

/* The core's list of one step. Read items[0..n); valid until the next step. */
typedef struct pxi_actions {
    const pxi_action *items;
    uint32_t n;
} pxi_actions;

#endif
