/* What a pool holds, and what its files call in each other.
 *
 * A task runs on a fiber (a stack with a context). The newest subtask of a branch is popped by its
 * joiner and called on the same stack; any other start gets a fiber of its own. A task that waits
 * parks its fiber and its thread goes on with other work: latency-hiding work stealing (Muller,
 * Acar, SPAA 2016), with one deque per thread: what a parked fiber left in it stays there for
 * anyone to steal.
 *
 * Owner-only: everything of a branch but `done`, `cancelled`, `capped` and, under pool->lock,
 * `exported`. Whoever ends a subtask away from its branch's task pushes it on branch->done and
 * touches the branch no more: the push that clears WAITING wakes the owner. */
#ifndef PXI_EXEC_STATE_H
#define PXI_EXEC_STATE_H

#include <peerexec/branch.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "exec/deque.h"
#include "exec/port.h"
#include "exec/stack.h"
#include "wire/chain.h"

enum {
    ITEM_INPUT_INLINE = 64, /* bytes of input and of result that need no allocation of their own */
    ITEM_RESULT_INLINE = 64,
    ITEMS_CACHED = 4096, /* per thread */
    FIBERS_CACHED = 64,  /* per pool: stacks above are given back */
    ANCESTORS_ASKED = 8, /* how far up a cancelled branch is looked for */
    EXPORTED_MAX = 1 << 20,
    SLEEPERS_MAX = 1 << 20,
};
#define WAITING ((uintptr_t)1)

typedef struct pxi_failures {
    px_failure *items;
    size_t n, room, n_dropped;
} pxi_failures;

typedef struct pxi_fiber pxi_fiber;
typedef struct pxi_pool pxi_pool;
typedef struct pxi_open_branch pxi_open_branch;

typedef struct pxi_pool_run {
    uint64_t id;
    uint32_t attempt;
    pxi_list in_pool;
    _Atomic bool stopped;
    _Atomic uint64_t n_known, n_done, n_remote, slot_ns, told_ns;
    px_job_share *shares; /* of remote work; under pool->lock */
    size_t n_shares;
} pxi_pool_run;

/* One subtask, or the root of a run (branch NULL). */
typedef struct pxi_item {
    struct pxi_item *next;
    pxi_open_branch *branch;
    pxi_pool_run *run;
    px_task_fn *function;
    uint32_t task;
    uint32_t attempts, crashes; /* away, so far */
    uint64_t index;
    const void *input;
    size_t input_size;
    pxi_bytes *input_bytes; /* NULL: inline */
    uint64_t subtask;       /* id once handed over; 0 = never */
    pxi_list in_exported;
    bool finished, given;
    px_err code;
    size_t result_size;
    pxi_bytes *result; /* NULL: inline, or none */
    pxi_failures failures;
    uint8_t inline_input[ITEM_INPUT_INLINE] __attribute__ ((aligned (16)));
    uint8_t inline_result[ITEM_RESULT_INLINE] __attribute__ ((aligned (16)));
} pxi_item;

struct px_task {
    pxi_pool *pool;
    pxi_fiber *fiber;
    pxi_item *item;
    struct px_task *below; /* on the same stack */
    pxi_open_branch *branches;
    pxi_failures causes;
    char *message; /* of px_task_fail */
    const char *file;
    int line;
};

/* Never freed while the pool lives, so that a stale handle reads a generation, not garbage. */
struct pxi_open_branch {
    uint16_t generation;
    bool closed, in_reaction, notified;
    struct pxi_open_branch *next; /* of its task; or in a cache */
    struct pxi_open_branch *all;  /* of the pool */
    px_task *task;
    const char *point;
    int32_t number;
    px_reaction_fn *react;
    void *react_context;
    uint32_t subtasks_max;
    px_err err; /* of a reaction */
    uint64_t n_added, n_done, n_failed;
    pxi_item **items; /* by index; NULL with a reaction */
    size_t items_room;
    pxi_item *ready_first, *ready_last; /* outcomes not yet given by px_branch_next () */
    pxi_item *given;                    /* the one that the caller looks at now */
    _Atomic uintptr_t done;
    _Atomic bool cancelled, capped;
    uint64_t id; /* once something was handed over; under pool->lock */
    pxi_list exported;
};

struct pxi_fiber {
    pxi_context context;
    pxi_stack *stack;
    pxi_fiber *next;
    pxi_pool *pool;
    pxi_item *item;
    px_task *task; /* innermost on this stack */
    pxi_heap_node sleep;
    bool woken;
};

typedef enum pxi_after { AFTER_NOTHING, AFTER_WAIT, AFTER_YIELD, AFTER_SLEEP, AFTER_END } pxi_after;

typedef struct pxi_thread {
    pxi_pool *pool;
    pthread_t thread;
    uint32_t number;
    pxi_deque deque;
    pxi_context context;
    pxi_fiber *current;
    pxi_after after; /* what the fiber that was left wants */
    pxi_open_branch *after_branch;
    uint64_t after_ns;
    pxi_item *items;
    uint32_t n_items;
    uint64_t chance;
    uint64_t n_known, n_done; /* of current's run, not yet added to it */
} pxi_thread;

struct pxi_pool {
    pxi_executor base;
    pxi_executor_config config;
    char *strings; /* copies that config points into */
    pxi_thread *threads;
    _Atomic uint32_t n_threads;
    _Atomic uint32_t n_ready, n_side, n_queued;
    _Atomic bool wakeable;     /* a push should look at wake () */
    _Atomic bool tell_surplus; /* the agent believes that there is none */
    _Atomic int32_t excess;    /* threads over the allowance */
    _Atomic uint64_t next_sleep_ns;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t wake;
    uint32_t active, allowed, n_sleeping, n_waking, n_starting;
    uint64_t n_started; /* runs taken up */
    uint32_t told_active, told_wanted;
    uint64_t told_started;
    uint32_t wanted;
    bool close_asked, closing, closed_told;
    pxi_fiber *ready_first, *ready_last, *fibers;
    uint32_t n_fibers;
    pxi_item *side_first, *side_last;     /* given back, or in the way of a TAKE */
    pxi_item *queued_first, *queued_last; /* runs not taken up */
    pxi_list runs;
    pxi_heap sleepers;
    uint64_t sleep_sequence;
    pxi_map exported;
    uint64_t next_id;
    pxi_open_branch *all_branches, *free_branches;
};

/* pool.c */
pxi_thread *pxi_thread_self (void);
pxi_item *pxi_item_new (pxi_pool *pool);
void pxi_item_free (pxi_item *item);
void pxi_pool_pushed (pxi_pool *pool); /* after a push: wake, tell */
bool pxi_pool_over (pxi_pool *pool);
void pxi_pool_yield (px_task *task);
void pxi_pool_wait (px_task *task, pxi_open_branch *branch);
void pxi_pool_sleep (px_task *task, uint64_t until_ns);
bool pxi_pool_room (const px_task *task); /* on this stack for a plain call */
int64_t pxi_pool_task_index (const pxi_pool *pool, px_task_fn *function);
void pxi_pool_complete (pxi_item *item);                          /* away from its branch's task */
void pxi_pool_withdraw (pxi_pool *pool, pxi_open_branch *branch); /* what was handed over */
pxi_open_branch *pxi_pool_branch (pxi_pool *pool);
void pxi_pool_branch_free (pxi_pool *pool, pxi_open_branch *branch);
void pxi_pool_notify (pxi_pool *pool, pxi_notice *notice);

/* task.c */
void pxi_task_execute (pxi_pool *pool, pxi_fiber *fiber, pxi_item *item);
bool pxi_task_is_cancelled (const px_task *task);
px_err pxi_failures_add (pxi_failures *list, const px_failure *failure, uint32_t level);
void pxi_failures_append (pxi_failures *list, const pxi_failures *more, uint32_t levels);
void pxi_failures_fini (pxi_failures *list);
void pxi_failures_move (pxi_failures *to, pxi_failures *from);

/* branch.c */
px_err pxi_branch_finish (px_task *task, pxi_open_branch *branch); /* cancel, wait, free */

#endif
