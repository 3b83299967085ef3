/* The port between an agent and one executor. An executor runs the tasks of one job (one module) on
 * a pool of threads: in the agent's process (exec/pool) or in a process of its own (agent/executor,
 * which speaks the same commands and notices over a socket to a pool there).
 *
 * Commands go down from the agent's loop thread, never block, and may arrive at any time. Notices
 * come up from any thread through `notify`. Only what has to cross is here: spawning, joining,
 * stealing and waiting inside a job are the pool's own and involve no agent. */
#ifndef PXI_EXEC_PORT_H
#define PXI_EXEC_PORT_H

#include <peerexec/cost.h>

#include "base/bytes.h"
#include "core/event.h"

/* A task's outcome as it travels: value (code PX_OK) and, encoded by wire/chain, the failures and
 * the account of who did what below it. Either may be NULL: with PX_OK and no chain, nothing was done
 * but the task itself, where it ran. References belong to the holder. */
typedef struct pxi_outcome {
    uint32_t code; /* px_err */
    pxi_bytes *value;
    pxi_bytes *chain;
} pxi_outcome;

typedef enum pxi_command_kind {
    PXI_CMD_RUN,  /* run, task, input, shared: start; PXI_NOTE_FINISHED exactly once for it.
                          flag: another RUN follows at once */
    PXI_CMD_STOP, /* run: cancel it and everything below it here */
    PXI_CMD_TAKE, /* token, count: PXI_NOTE_TAKEN exactly once for it, n may be 0. peer, device,
                          fixed_ns, item_cost, queue_ns, memory_bytes, task: who takes, as in PXI_DO_TAKE */
    PXI_CMD_GIVE_BACK, /* subtask, attempts, crashes: takeable again (by its branch's joiner, by any
                          thread of the pool, or by a later TAKE), oldest end. A chunk goes back to its
                          range and is cut anew. outcome.chain: why, to be told with its run's outcome */
    PXI_CMD_RANGE, /* task, count: as PXI_DO_RANGE. Where config.devices, slots take no chunks of a
                          range that devices could do before it has come. After a trial: NO, until the
                          next one */
    PXI_CMD_CAP, /* branch, flag: TAKE skips it while on. count: its number in force; 0 = not told */
    PXI_CMD_COMPLETE, /* subtask, outcome: for its branch. Unknown subtasks (branch closed) are
                          dropped */
    PXI_CMD_SLOTS,    /* count: threads that may execute tasks at once; 0 = none */
    PXI_CMD_CLOSE,    /* last command: stop everything, then PXI_NOTE_CLOSED */
} pxi_command_kind;

/* Moved to the executor on submit: references in input, shared and outcome are the executor's then. */
typedef struct pxi_command {
    pxi_command_kind kind;
    uint64_t run, token, subtask, branch;
    uint32_t task, count, attempts, crashes;
    uint32_t attempt; /* RUN: number of the attempt, for error chains */
    bool flag;
    pxi_bytes *input;
    pxi_bytes *shared;  /* RUN: NULL = its branch has none */
    uint64_t shared_id; /* of these bytes, while they are known: so that they pass once */
    pxi_outcome outcome;
    /* COMPLETE: where, and for how long: the account of an outcome without a chain. */
    uint64_t peer, run_ns;
    uint32_t device; /* TAKE: that it is for; COMPLETE: that did it. 0 = a slot */
    uint64_t fixed_ns, item_cost, queue_ns, memory_bytes;
    char peer_name[PXI_NAME_SIZE];
} pxi_command;

typedef enum pxi_notice_kind {
    PXI_NOTE_SURPLUS, /* count subtasks wait in the deques. Sent when it becomes non-zero, not for
                          every change; ACTIVE tells that none is left. Chunks that
                          could be cut now count. task, n_items: as in PXI_EV_SURPLUS. Where a range is
                          for devices it is sent whenever one begins or ends, a chunk comes back, the
                          trial of a slot is over, or a device that was refused could have some now */
    PXI_NOTE_TAKEN,   /* token, n_taken, taken + inputs (taken[i].attempt.blob = index in inputs),
                          shared[i] of the first of each branch that has a shared input, where
                          attempt.shared.size_bytes says so: its receiver makes the name,
                          count of those that still wait, about.
                          Fewer than asked for counts as SURPLUS 0 told, but not for a device */
    PXI_NOTE_ACTIVE,  /* count threads execute now, wanted more could, runs taken up so far.
                          Sent when count or wanted changed, coalesced. done: 1 = it counts as
                          SURPLUS 0 told */
    PXI_NOTE_FINISHED, /* run, result, run_ns, outcome; more: other runs wait for its thread, or come at
                          once, so that this may be read with theirs */
    PXI_NOTE_BRANCH_CLOSED, /* branch, of which something was handed over: joined, cancelled or
                               closed */
    PXI_NOTE_PROGRESS,      /* run, done, known: subtasks below it; at most every 100 ms */
    PXI_NOTE_DURATION, /* task, run_ns: a sample, at most 100 a second, with token and branch: what it
                          declared, done and known: bytes of
                          its input and result; count: 1 = it has subtasks of its own, also told
                          when the first of its task opens a branch. n_items: of a chunk */
    PXI_NOTE_DEVICE_WRONG, /* peer, device, task: a chunk that it did differs from C's */
    PXI_NOTE_CLOSED,       /* nothing follows */
    PXI_NOTE_DIED, /* only of processes: signal or exit code in `count`; `run` = the culprit's
                      (0 = unknown), by its task `task`, text = what people read, e.g. "signal 11
                      in task uts.count of module uts". No FINISHED follows for its runs */
} pxi_notice_kind;

/* Moved to the receiver: it releases inputs, shared, outcome, and frees their arrays and `taken`. */
typedef struct pxi_notice {
    pxi_notice_kind kind;
    uint64_t run, token, branch, runs, run_ns, done, known, n_items, peer;
    uint32_t task, count, wanted, n_taken, device;
    pxi_result result;
    bool more;
    pxi_taken *taken; /* job and module of each attempt are filled by the receiver */
    pxi_bytes **inputs, **shared;
    pxi_outcome outcome;
    char text[160];
} pxi_notice;

/* May be called from any thread, also with the pool's locks held: must only enqueue and wake. */
typedef void pxi_notify_fn (void *context, pxi_notice *notice);

typedef struct pxi_executor pxi_executor;

typedef struct pxi_executor_ops {
    /* Takes what the command references. Never blocks, never fails: what cannot be done ends in a
     * notice (FINISHED with PX_ENOMEM, ...). */
    void (*submit) (pxi_executor *executor, pxi_command *command);
    /* After PXI_NOTE_CLOSED or PXI_NOTE_DIED only. */
    void (*destroy) (pxi_executor **executor_p);
} pxi_executor_ops;

struct pxi_executor { /* first member of every implementation */
    const pxi_executor_ops *ops;
};

/* What an executor has to know of its peer and job. Strings and arrays are copied. */
typedef struct pxi_executor_config {
    const char *peer_name;
    uint64_t peer_id;
    const char *module_name;
    const char *const *task_names;
    const void *const
        *task_functions; /* px_task_fn *; NULL where a process loads the module itself */
    const px_cost_def *const *costs; /* what each declares, NULL = nothing; may be NULL */
    uint32_t n_tasks;
    uint64_t id_base; /* subtask and branch ids handed out are id_base + 1, + 2, ... */
    uint32_t slots;   /* threads at most; PXI_CMD_SLOTS says how many may execute */
    size_t stack_size, input_size_max, result_size_max;
    int32_t branch_number;     /* default */
    const char *const *points; /* branch points with a number of their own */
    const int32_t *numbers;
    uint32_t n_points;
    bool fixed_numbers; /* they do not adapt */
    bool default_rises; /* nobody has set branch_number: where it is too small it may rise */
    bool trace;
    bool devices; /* this peer has some, or looks for them */
    pxi_notify_fn *notify;
    void *notify_context;
    /* Called on each thread of the pool before its first task and after its last; may be NULL. The
       executor process gives each thread its alternate signal stack there: a stack overflow can be
       told only from another stack. */
    void (*thread_begin) (void *context);
    void (*thread_end) (void *context);
    void *thread_context;
} pxi_executor_config;

/* The in-process executor. */
int pxi_pool_new (const pxi_executor_config *config, pxi_executor **executor); /* px_err */

/* What the calling thread executes now: the run that it belongs to and the index of its task.
 * False: no task. Async-signal-safe: the executor process's crash handler says with it who did it.
 */
bool pxi_pool_current (uint64_t *run, uint32_t *task);

#endif
