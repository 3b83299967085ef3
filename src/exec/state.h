/* What a pool holds, and what its files call in each other.
 *
 * A task runs on a fiber (a stack with a context). The newest subtask of a branch, or the one that was
 * spawned last, is popped by its joiner and called on the same stack; any other start gets a fiber of
 * its own. A task that waits parks its fiber and its thread goes on with other work: latency-hiding
 * work stealing (Muller, Acar, SPAA 2016), with one deque per thread: what a parked fiber left in it
 * stays there for anyone to steal.
 *
 * Owner-only: everything of a branch but `done`, `cancelled`, `capped` and, under pool->lock, `id`,
 * `exported`. Whoever ends a subtask away from its branch's task pushes it on branch->done (a spawned
 * one: marks item->done) and touches the owner no more: the change that clears WAITING wakes it.
 *
 * Cancelling: a flag at a branch, a spawned item or a run, and then one count of the run, run->cancels.
 * A task that sees the count as it was when it last looked is not cancelled; otherwise it asks its
 * ancestors, as far as the first that has looked since. Ancestors wait for it, so they are there. While
 * some run's count is not 0, the pool's alerts say so: px_sync () looks only there.
 *
 * Ranges: a branch of px_range_branch () has nothing in a deque. Its chunks are cut when somebody wants one, by
 * whoever that is, with pool->lock; all of a pxi_range that changes is under it. n_added is counted by those who cut
 * (range->n_cut) and made the owner's when nobody cuts any more. So its owner waits for that count, and may be woken
 * by an item that is none (range->poke).
 *
 * The pool's alerts are repeated in the notes of every thread's deque, where the thread looks.
 *
 * What is spawned on a fiber ends in the order of a stack, so its items are a row of the fiber's own: a task
 * takes the one at its `top`, and syncs the one before. The row always has one more than is in use, and
 * the links in it never change while it is; an item in use is that of task `owner`.
 *
 * An item in a thread's cache, or free in a row, is clean: `done` and all behind `inline_input` is as pxi_item_new ()
 * promises, so that taking one costs only what is set. A thread that goes to sleep frees what it has too
 * many of. */
#ifndef PXI_EXEC_STATE_H
#define PXI_EXEC_STATE_H

#include <peerexec/branch.h>
#include <peerexec/device.h>
#include <peerexec/spawn.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "core/cut.h"
#include "exec/deque.h"
#include "exec/port.h"
#include "exec/stack.h"
#include "wire/chain.h"

enum {
    PXI_TUNABLES_MAX = 16,   /* names that are told of; others are not varied */
    ITEM_INPUT_INLINE = 128, /* bytes of input and of result that need no allocation of their own */
    ITEM_RESULT_INLINE = 64,
    ITEMS_CACHED = 4096,      /* per thread */
    FIBERS_CACHED = 64,       /* per pool: stacks above are given back */
    BRANCH_ITEMS_KEPT = 4096, /* of a closed branch's index */
    EXPORTED_MAX = 1 << 20,
    SLEEPERS_MAX = 1 << 20,
};
/* What a word that a task waits for may hold: nothing yet, the owner waits, or what came. */
#define WAITING ((uintptr_t)1)
#define SPAWNED_DONE ((uintptr_t)2)
/* item->busy: its task has looked whether it is cancelled, its branches and trouble are set, it has opened one. */
enum { BUSY_LOOKED = 1, BUSY_SET = 2, BUSY_BRANCHED = 4 };

/* pool->alerts, and so beside PXI_DEQUE_ASKED in each thread's notes: why a push should look up (a thread
 * could be woken, the agent believes in no surplus), and why a join should (more threads execute than may,
 * a run has something cancelled). */
enum {
    ALERT_WAKEABLE = 2,
    ALERT_SURPLUS = 4,
    ALERT_OVER = 8,
    ALERT_CANCELLED = 16,
    ALERTS_OF_PUSH = ALERT_WAKEABLE | ALERT_SURPLUS,
    ALERTS_OF_JOIN = ALERT_OVER | ALERT_CANCELLED
};

typedef struct pxi_failures {
    px_failure *items;
    size_t n, room, n_dropped;
} pxi_failures;

typedef struct pxi_fiber pxi_fiber;
typedef struct pxi_pool pxi_pool;
typedef struct pxi_open_branch pxi_open_branch;
typedef struct pxi_thread pxi_thread;
typedef struct pxi_range pxi_range;

typedef struct pxi_pool_run {
    uint64_t id;
    uint32_t attempt;
    pxi_bytes *shared; /* of the branch that it is a subtask of, elsewhere; NULL = none */
    pxi_list in_pool;
    pxi_list away; /* branches of which something was handed over; under pool->lock */
    _Atomic bool stopped;
    _Atomic uint64_t cancels; /* how often something of this run was cancelled */
    /* counters: kept off the line of what every task reads */
    _Atomic uint64_t n_known __attribute__ ((aligned (64)));
    _Atomic uint64_t n_done, n_remote, slot_ns, told_ns;
    px_job_share *shares; /* of remote work; under pool->lock */
    size_t n_shares;
    px_job_point *points; /* that handed something over, remote ones too; under pool->lock */
    size_t n_points;
    pxi_failures notes; /* what did not go as it should, though nothing failed; under pool->lock */
} pxi_pool_run;

/* One subtask, or the root of a run (owner NULL). */
typedef struct pxi_item {
    struct pxi_item *next;
    struct pxi_item *before, *after; /* of a spawned one: in its fiber's row */
    const px_typed_task *typed;      /* NULL: not spawned */
    px_task *owner;
    _Atomic uintptr_t done; /* of a spawned one: 0, WAITING, SPAWNED_DONE */
    uint64_t busy;          /* what its task did that its end has to see to: BUSY_... */
    const void *input;      /* of a spawned one: only where it is not inline */
    uint8_t inline_input[ITEM_INPUT_INLINE] __attribute__ ((aligned (16)));
    _Atomic uint64_t checked;         /* run->cancels when its task was last found not cancelled */
    _Atomic (pxi_open_branch *) away; /* of what its task spawned, once one of it was handed over */
    uint64_t index;
    pxi_pool_run *run;       /* of a root; others: their owner's */
    pxi_open_branch *branch; /* of a spawned one: once handed over, under pool->lock */
    px_task_fn *function;
    uint32_t task;
    uint32_t attempts, crashes; /* away, so far */
    px_err code;
    size_t input_size;
    pxi_bytes *input_bytes; /* NULL: inline */
    uint64_t subtask;       /* id once handed over; 0 = never */
    pxi_list in_exported;
    _Atomic bool cancelled; /* a spawned one that nobody waits for */
    bool finished, given;
    bool back; /* a chunk that was not done: its range has it again */
    size_t result_size;
    pxi_bytes *result; /* NULL: inline, or none */
    pxi_failures failures;
    uint8_t inline_result[ITEM_RESULT_INLINE] __attribute__ ((aligned (16)));
} pxi_item;

/* What a task knows of its failure; few tasks have one. */
typedef struct pxi_trouble {
    pxi_failures causes;
    char *message; /* of px_task_fail */
    const char *file;
    int line;
    uint64_t limit_ns, until_ns; /* it has a time limit, and when that is over; 0 = none */
} pxi_trouble;

struct px_task {
    pxi_fiber *fiber;
    pxi_item *item;
    pxi_item *top;             /* of its fiber's row: the first that is free */
    pxi_open_branch *branches; /* these two: once item->busy says that they are set */
    pxi_trouble *trouble;
};

/* Never freed while the pool lives, so that a stale handle reads a generation, not garbage. */
struct pxi_open_branch {
    uint16_t generation;
    bool closed, in_reaction;
    struct pxi_open_branch *next; /* of its task; or in a cache */
    struct pxi_open_branch *all;  /* of the pool */
    px_task *task;
    const char *point; /* NULL: of what is spawned, its task's full name */
    int32_t number;
    bool fixed; /* the number, by the call */
    bool rises; /* nobody has set it */
    px_reaction_fn *react;
    void *react_context;
    uint32_t subtasks_max;
    pxi_bytes *shared; /* NULL = none */
    bool shared_told;  /* to who takes subtasks of it; under pool->lock */
    px_err err;        /* of a reaction */
    uint64_t n_added, n_done, n_failed;
    px_task_fn *function; /* the last one added, and its index */
    uint32_t function_index;
    pxi_item **items; /* by index; unused with a reaction */
    size_t items_room;
    pxi_item *ready_first, *ready_last; /* outcomes not yet given by px_branch_next () */
    pxi_item *given;                    /* the one that the caller looks at now */
    pxi_range *range;                   /* NULL: what it has was added */
    _Atomic uintptr_t done;
    _Atomic bool cancelled, capped;
    int32_t in_force;    /* of `number`, as last told; 0 = as it is; under pool->lock */
    _Atomic uint64_t id; /* once something was handed over; written under pool->lock */
    pxi_list exported, in_away;
};

/* The range of a branch, while px_range_branch () is in it: chunks.c cuts it, range.c knows its bytes. */
struct pxi_range {
    const px_range_def *def;
    pxi_open_branch *branch;
    uint32_t task;
    px_task_fn *here; /* runs a chunk in place; its input: the chunk's two ends */
    /* The input of a chunk that leaves, NULL: out of memory. Any thread, without the lock. */
    pxi_bytes *(*input) (const pxi_range *range, uint64_t begin, uint64_t end);
    uint64_t common_bytes, input_bytes; /* shared ones, and of the inputs of one index */
    uint64_t result_bytes;              /* of the results of one index */
    uint64_t reduced_bytes;             /* of one of each that is reduced */
    uint64_t most_here; /* indices that a chunk in a slot may always have, however long it takes */
    uint64_t part;      /* and of which it has no more, however short they seem */
    /* With the lock. */
    pxi_list in_pool;
    pxi_cut cut;
    uint64_t n_cut;   /* chunks */
    uint32_t n_woken; /* threads, for its chunks */
    bool closed;      /* nothing is cut any more */
    bool refused;     /* a device that asked; it is told when there is something */
    bool poked;       /* `poke` is on its way */
    pxi_item poke;
};

struct pxi_fiber {
    pxi_context context;
    pxi_stack *stack;
    pxi_fiber *next;
    pxi_pool *pool;
    pxi_thread *thread; /* that runs it: look again after every wait */
    pxi_pool_run *run;
    const char *low;   /* a plain call needs its frame above this */
    size_t inline_max; /* bytes of input that are in an item and within the limit */
    uint32_t usual;    /* size of input that px_spawn () takes at once, if within the limit */
    pxi_item *item;
    px_task *task; /* innermost on this stack */
    pxi_item *row; /* the first of those for what is spawned here */
    uint32_t n_row;
    pxi_heap_node sleep;
    uint32_t n_left; /* how often it has left its thread */
};

typedef enum pxi_after { AFTER_NOTHING, AFTER_WAIT, AFTER_YIELD, AFTER_SLEEP, AFTER_END } pxi_after;

struct pxi_thread {
    pxi_item *items; /* for new ones; trimmed when the thread sleeps */
    uint64_t n_known,
        n_done; /* of current's run, not yet added to it, but for spawned ones in place */
    uint32_t n_until_look; /* subtasks in place, until the clock is looked at */
    uint32_t counted_from; /* n_until_look, when it was last accounted for */
    uint32_t look_every;
    uint32_t n_until_timed, timed_every; /* subtasks, until one is timed */
    pxi_deque deque __attribute__ ((aligned (64)));
    pxi_pool *pool;
    pthread_t thread;
    uint32_t number;
    pxi_context context;
    pxi_fiber *current;
    pxi_after after; /* what the fiber that was left wants */
    _Atomic uintptr_t *after_word;
    uint64_t after_ns;
    uint64_t began_ns; /* current was resumed, or last accounted for */
    pxi_open_branch *branches;
    pxi_fiber *fiber; /* kept for the next start */
    uint64_t chance;
    uint64_t refused_at; /* pool->range_events when no range had a chunk for it */
};

struct pxi_pool {
    pxi_executor base;
    pxi_executor_config config;
    _Atomic uint64_t tunables[PXI_TUNABLES_MAX]; /* those that were told already, by their names */
    char *strings;                               /* copies that config points into */
    pxi_thread *threads;
    _Atomic uint32_t n_threads;
    _Atomic uint32_t n_ready, n_side, n_queued;
    bool expects; /* another run follows at once; with the lock */
    bool fences;  /* membarrier is refused here */
    _Atomic uint32_t alerts;
    _Atomic uint64_t next_sleep_ns, told_duration_ns;
    bool declares;                 /* some of its tasks say what they cost */
    _Atomic bool *nests;           /* by task: it was told that it has subtasks of its own */
    _Atomic uint64_t range_events; /* what may make a chunk for who was refused. 0 = none yet */
    _Atomic (pxi_open_branch *) all_branches;
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
    pxi_map exported, away; /* items and branches, by id */
    uint64_t next_id;
    pxi_open_branch *free_branches; /* for what was spawned and handed over */
    pxi_list ranges;                /* oldest first */
    uint8_t *range_uses;            /* by task: a pxi_rank_use */
    uint64_t told_chunk_ns;
};

/* pool.c */
pxi_thread *pxi_thread_self (void);
pxi_item *pxi_item_make (void);                             /* clean; NULL = out of memory */
void pxi_item_free (pxi_thread *thread, pxi_item *item);    /* thread NULL: not one of the pool's */
void pxi_item_clean (pxi_item *item);                       /* of a row: it stays there */
bool pxi_fiber_lengthen (pxi_fiber *fiber, pxi_item *last); /* its row. False: out of memory */
void pxi_pool_alerted (pxi_pool *pool, pxi_thread *thread); /* after a push: offer, wake, tell */
void pxi_pool_yield (px_task *task);
void pxi_pool_wait (px_task *task, _Atomic uintptr_t *word);
void pxi_pool_sleep (px_task *task, uint64_t until_ns);
void pxi_pool_look (pxi_fiber *fiber); /* at the clock: account, tell progress */
/* What one took that was timed, if none was told of lately. */
void pxi_pool_tell_duration (pxi_pool *pool, const pxi_item *item, uint64_t began_ns,
                             uint64_t ended_ns, bool nests);
/* Its task has opened a branch: it and its like are as large as what is below them. */
void pxi_pool_tell_nests (pxi_pool *pool, const pxi_item *item);
int64_t pxi_pool_task_index (const pxi_pool *pool, px_task_fn *function);
uint32_t pxi_pool_task_of (const pxi_pool *pool, const pxi_item *item);
/* *rises (may be NULL): nobody has set it. */
int32_t pxi_pool_number (const pxi_pool *pool, const char *point, bool *rises);
void pxi_pool_complete (pxi_item *item);                          /* away from its owner */
void pxi_pool_withdraw (pxi_pool *pool, pxi_open_branch *branch); /* what was handed over */
void pxi_pool_close_away (px_task *task);                         /* of what was spawned */
pxi_open_branch *pxi_pool_branch (pxi_pool *pool, pxi_thread *thread);
void pxi_pool_branch_free (pxi_thread *thread, pxi_open_branch *branch);
void pxi_pool_notify (pxi_pool *pool, pxi_notice *notice);
void pxi_pool_cancelled (pxi_pool *pool, pxi_pool_run *run); /* after the flag of what was */
/* With the lock. */
void pxi_pool_wake (pxi_pool *pool); /* there is work: another thread, or say that one is wanted */
void pxi_pool_tell_surplus (pxi_pool *pool);
void pxi_pool_tell_ranges (pxi_pool *pool); /* the same, whether or not it was told */
void pxi_pool_tell_none (pxi_pool *pool);   /* if nothing waits any more */
uintptr_t pxi_pool_push_done (_Atomic uintptr_t *done, pxi_item *item);
void pxi_pool_make_ready (pxi_pool *pool, pxi_fiber *fiber);

/* A clean one; what is before `inline_input` is not set. */
static inline pxi_item *pxi_item_new (pxi_thread *thread)
{
    pxi_item *item = thread ? thread->items : NULL;
    if (__builtin_expect (!item, 0))
        return pxi_item_make ();
    thread->items = item->next;
    return item;
}

/* After a push: somebody asked this thread, or could be woken, or wants to be told. */
static inline bool pxi_thread_is_alert (const pxi_thread *thread)
{
    pxi_barrier_light (); /* the push is before it: who sets an alert passes the heavy one */
    return pxi_deque_has_note (&thread->deque, PXI_DEQUE_ASKED | ALERTS_OF_PUSH);
}

static inline void pxi_pool_pushed (pxi_pool *pool, pxi_thread *thread)
{
    if (__builtin_expect (pxi_thread_is_alert (thread), 0))
        pxi_pool_alerted (pool, thread);
}

/* More threads execute than may: this one should give its slot up. */
static inline bool pxi_pool_over (const pxi_pool *pool)
{
    return atomic_load_explicit (&pool->alerts, memory_order_relaxed) & ALERT_OVER;
}

static inline pxi_pool_run *pxi_item_run (const pxi_item *item)
{
    return item->owner ? item->owner->fiber->run : item->run;
}

static inline const void *pxi_item_input (const pxi_item *item)
{
    return item->typed && item->typed->input_size <= ITEM_INPUT_INLINE ? item->inline_input
                                                                       : item->input;
}

/* After a spawned subtask in place: it is counted thereby. A fiber may run for long without leaving: it
 * has to tell how far it is. */
static inline bool pxi_thread_should_look (pxi_thread *thread)
{
    return __builtin_expect (--thread->n_until_look == 0, 0);
}

/* Room on this stack for a plain call, from `here` on: half of it is every task's to use. */
static inline bool pxi_fiber_has_room (const pxi_fiber *fiber, const void *here)
{
    return (const char *)here > fiber->low;
}

/* task.c */
void pxi_task_execute (pxi_fiber *fiber, pxi_item *item);
void pxi_task_end (px_task *task, px_err code);
void pxi_task_keep_causes (px_task *task, const pxi_item *item);
/* What it says of its input; 0 = nothing. */
pxi_cost_declared pxi_task_declared (const pxi_pool *pool, const pxi_item *item);
uint64_t pxi_task_limit_ns (const pxi_pool *pool, const pxi_item *item);
bool pxi_task_ask_ancestors (const px_task *task);
bool pxi_item_set_input (pxi_item *item, const void *input, size_t size);
pxi_bytes *pxi_task_shared_bytes (const px_task *task); /* not acquired; NULL = none */
px_err pxi_failures_add (pxi_failures *list, const px_failure *failure, uint32_t level);
void pxi_failures_append (pxi_failures *list, const pxi_failures *more, uint32_t levels);
void pxi_failures_fini (pxi_failures *list);

/* Something of the run was cancelled since the task last looked. */
static inline bool pxi_task_looks_cancelled (const px_task *task)
{
    return atomic_load_explicit (&task->fiber->run->cancels, memory_order_relaxed) !=
           atomic_load_explicit (&task->item->checked, memory_order_relaxed);
}

static inline bool pxi_task_is_cancelled (const px_task *task)
{
    return __builtin_expect (pxi_task_looks_cancelled (task), 0) && pxi_task_ask_ancestors (task);
}

/* branch.c */
void pxi_branch_finish (px_task *task, pxi_open_branch *branch); /* cancel, wait, free */

pxi_open_branch *pxi_branch_look_up (px_branch handle); /* NULL: closed */
void pxi_branch_drain (pxi_open_branch *branch);        /* settle what others have ended */
void pxi_branch_settle (pxi_open_branch *branch, pxi_item *item);
/* As its join and close: until all of the range is done. */
px_err pxi_branch_run_range (pxi_open_branch *branch, pxi_range *range);

/* chunks.c */
void pxi_range_begin (pxi_pool *pool, pxi_range *range); /* from now on it is cut */
void pxi_range_end (pxi_pool *pool, pxi_range *range);   /* when none of its chunks is under way */
/* A chunk for this thread, of one range or (NULL) of any. NULL: none now. `stuck`: nobody else will change that. */
pxi_item *pxi_chunk_here (pxi_thread *thread, pxi_range *only, bool *stuck);
void pxi_chunk_ended_here (pxi_pool *pool, pxi_item *item); /* before pxi_pool_complete () */
void pxi_chunk_read (pxi_pool *pool, const pxi_range *range, uint64_t index, pxi_cut_chunk *chunk);
/* What this device did is not believed, and to be done again. */
void pxi_range_wrong (pxi_pool *pool, pxi_range *range, const pxi_who *who, const px_failure *note);
/* For a TAKE: in two steps, as inputs are copied without the lock. */
pxi_item *pxi_chunks_take (pxi_pool *pool, const pxi_command *take, uint32_t count);
void pxi_chunks_fill (pxi_item *chunks);
/* With the lock. */
void pxi_chunk_ended (pxi_pool *pool, pxi_item *item, const pxi_who *who);
void pxi_chunk_back (pxi_pool *pool, pxi_item *item);
bool pxi_chunk_may_leave (const pxi_pool *pool, const pxi_item *item, const pxi_command *take);
uint32_t pxi_chunks_waiting (const pxi_pool *pool); /* that could be cut now, about */
bool pxi_chunks_for_slots (const pxi_pool *pool);   /* of them, whether slots may have some */
void pxi_chunks_tell (const pxi_pool *pool, pxi_notice *surplus);
void pxi_ranges_poke (pxi_pool *pool, const pxi_pool_run *run); /* something of it was cancelled */
void pxi_range_use (pxi_pool *pool, uint32_t task, uint32_t use);
void pxi_run_note (pxi_pool_run *run, const px_failure *note); /* once */

static inline bool pxi_item_is_chunk (const pxi_item *item)
{
    return !item->typed && item->branch && item->branch->range;
}

/* range.c, on its owner's stack, with the lock not held: what came of a chunk */
px_err pxi_range_take (pxi_range *range, const pxi_item *item);

/* Before a branch or trouble of the task is looked at, or set. */
static inline void pxi_task_make_busy (px_task *task)
{
    pxi_item *item = task->item;
    if (item->busy & BUSY_SET)
        return;
    item->busy |= BUSY_SET;
    task->branches = NULL;
    task->trouble = NULL;
}

/* The newest that the task has spawned and not synced; NULL = none. */
static inline pxi_item *pxi_task_spawned (const px_task *task)
{
    pxi_item *newest = task->top->before;
    return newest && newest->owner == task ? newest : NULL;
}

/* What the same task spawned before it, and has not synced. */
static inline pxi_item *pxi_item_older (const pxi_item *item)
{
    return item->before && item->before->owner == item->owner ? item->before : NULL;
}

/* spawn.c */
void pxi_spawn_finish (px_task *task); /* cancel what was not synced, and wait for it */

#endif
