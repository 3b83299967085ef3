/* The virtual executor. A thread is a number: `executing` of them are in a burst, at most `allowed`.
 * What a thread does next follows a pool's order: the subtasks of the branch it is in, newest first; a
 * task that can go on; its own other subtasks, newest first; a run that has not started; and, for a
 * thread that was idle, the oldest subtask, as a thief takes it.
 *
 * Branches with waiting subtasks stand in two lists in the order of their opening: `open` for threads,
 * `takeable` for the agent (not capped, branch number not 0). So taking and stealing cost nothing per
 * subtask that is not taken.
 *
 * Invariants: a subtask is in exactly one state; n_away == size of the map `away`; a branch is freed
 * only when every subtask has its outcome or it was cancelled. One thread, the world's. */
#include "sim/virtual.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "core/cut.h"
#include "core/rank.h"

enum {
    AWAY_MAX = 1 << 20,
    DURATIONS_EVERY_MS = 10, /* at most 100 samples a second, as the port says */
    PROGRESS_EVERY_MS = 100,
    RESULT_BYTES = 16,
};

typedef struct vbranch vbranch;

typedef enum vstate { WAITING, STARTED, AWAY, DONE } vstate;

typedef struct vsubtask {
    pxi_list in_waiting, in_away;
    vbranch *branch;
    struct frame *frame;
    uint64_t id, hash;
    vstate state;
    pxi_result result;
    uint32_t index, attempts, crashes; /* index: of a chunk, in what was cut */
    pxi_list in_chunks;                /* of a range: in memory of its own */
} vsubtask;

/* A data-parallel branch. */
typedef struct vrange {
    pxi_list in_ranges, chunks; /* chunks: that have no outcome */
    vbranch *owner;
    pxi_cut cut;
    uint64_t sum;     /* of the hashes of what is done */
    bool in_vain;     /* somebody was refused since a chunk ended last */
    uint32_t n_local; /* chunks in slots here */
} vrange;

struct vbranch {
    pxi_list in_open, in_takeable;
    pxi_list waiting; /* oldest first */
    struct frame *owner;
    uint64_t id;
    uint32_t number, n_subtasks, n_done, n_waiting;
    bool capped, handed_over;
    vrange *range; /* NULL: its subtasks are these */
    vsubtask subtasks[];
};

typedef struct vrun {
    pxi_list in_runs, in_new;
    uint64_t id, blob, started_ns;
    struct frame *root;
    bool stopped, finished;
    uint32_t n_executing; /* frames in a burst: the run is freed after the last */
    uint64_t done, told_done, told_ns;
    pxi_node node;
} vrun;

typedef enum phase { BEFORE, BETWEEN, AFTER } phase;

struct frame { /* a started task */
    pxi_burst burst;
    pxi_list in_ready, in_executing;
    vrun *run;
    vsubtask *subtask; /* NULL: the root of its run, or cancelled */
    vbranch *branch;   /* open one */
    pxi_node node;
    pxi_shape shape;
    phase phase;
    uint32_t round;
    bool executing, cancelled;
    uint64_t hash, started_ns;
};

struct pxi_virtual {
    pxi_virtual_config config;
    const pxi_virtual_port *port;
    pxi_list runs, new_runs, ready, executing;
    pxi_list over; /* finished runs, some with a cancelled task that still executes */
    pxi_list open, takeable, ranges;
    uint32_t use;      /* pxi_rank_use of slots for ranges */
    pxi_map away;      /* subtask id -> vsubtask */
    pxi_map branches;  /* id -> vbranch, of which something was handed over */
    pxi_map cancelled; /* ids whose branch closed while they were away, until the core knows */
    pxi_list all_away;
    uint32_t n_runs, n_executing, allowed, n_waiting, n_takeable, n_branches;
    uint32_t told_executing, told_wanted;
    uint32_t n_new; /* runs that no thread has taken up yet */
    uint64_t runs_received, told_runs, tasks_done, told_duration_ns;
    bool told_surplus, told_nests;
    bool silent;   /* being freed */
    vbranch *hint; /* where the thread that is looking for work comes from */
};

/* ---- notices ---------------------------------------------------------------------------------- */

/* A thread has it, or nobody ever will. */
static void take_up (pxi_virtual *executor, vrun *run)
{
    executor->n_new -= pxi_list_holds (&run->in_new);
    pxi_list_remove (&run->in_new);
}

static uint64_t runs_taken_up (const pxi_virtual *executor)
{
    return executor->runs_received - executor->n_new;
}

static void notice (pxi_virtual *executor, pxi_event event)
{
    if (executor->silent)
        return;
    event.job = executor->config.job;
    executor->port->notice (executor->port->context, &event);
}

static uint64_t now_ns (const pxi_virtual *executor)
{
    return executor->port->now_ns (executor->port->context);
}

static vbranch *branch_of (const pxi_list *in_ranges)
{
    vrange *range = PXI_LIST_ENTRY (in_ranges, vrange, in_ranges);
    return range->owner;
}

/* The oldest with something to cut; NULL = none. */
static vbranch *oldest_range (const pxi_virtual *executor)
{
    PXI_LIST_EACH (link, &executor->ranges)
    {
        vbranch *branch = branch_of (link);
        if (pxi_cut_left (&branch->range->cut))
            return branch;
    }
    return NULL;
}

static uint32_t n_wanted (const pxi_virtual *executor)
{
    uint64_t n = executor->n_waiting;
    const vbranch *range = oldest_range (executor);
    n += range && executor->use == PXI_RANK_YES ? pxi_cut_left (&range->range->cut) : 0;
    PXI_LIST_EACH (link, &executor->ready)
    {
        if (++n >= executor->config.slots)
            break;
    }
    PXI_LIST_EACH (link, &executor->new_runs)
    {
        if (++n >= executor->config.slots)
            break;
    }
    uint32_t room = executor->config.slots > executor->n_executing
                        ? executor->config.slots - executor->n_executing
                        : 0;
    return n < room ? (uint32_t)n : room;
}

static void tell_active (pxi_virtual *executor)
{
    uint32_t wanted = n_wanted (executor);
    if (executor->told_executing == executor->n_executing && executor->told_wanted == wanted &&
        executor->told_runs == runs_taken_up (executor))
        return;
    executor->told_executing = executor->n_executing;
    executor->told_wanted = wanted;
    executor->told_runs = runs_taken_up (executor);
    notice (executor, (pxi_event){.kind = PXI_EV_ACTIVE,
                                  .count = executor->n_executing,
                                  .wanted = wanted,
                                  .runs = executor->told_runs});
}

/* Chunks that peers may come for: as many as there may be takers. */
static uint32_t n_chunks_takeable (const vbranch *branch)
{
    if (!branch || !branch->number || branch->capped || branch->range->in_vain)
        return 0;
    uint64_t left = pxi_cut_left (&branch->range->cut);
    return left < PXI_TAKERS_MAX ? (uint32_t)left : PXI_TAKERS_MAX;
}

/* A range is told again after each chunk that ends once somebody was refused. */
static void tell_surplus (pxi_virtual *executor)
{
    bool in_vain = executor->n_executing < executor->allowed;
    const vbranch *range = oldest_range (executor);
    uint32_t n_takeable = executor->n_takeable + n_chunks_takeable (range);
    uint64_t n_items = range ? pxi_cut_left (&range->range->cut) : 0;
    bool for_device = n_items && !range->range->in_vain;
    if ((n_takeable || for_device) && !executor->told_surplus) {
        executor->told_surplus = true;
        notice (executor,
                (pxi_event){.kind = PXI_EV_SURPLUS, .count = n_takeable, .n_items = n_items});
    } else if (!n_takeable && !n_items && executor->told_surplus && in_vain) {
        executor->told_surplus = false;
        notice (executor, (pxi_event){.kind = PXI_EV_SURPLUS, .count = 0});
    }
}

static void tell_progress (pxi_virtual *executor, vrun *run)
{
    if (now_ns (executor) - run->told_ns < PROGRESS_EVERY_MS * PXI_MS || run->finished)
        return;
    run->told_ns = now_ns (executor);
    run->told_done = run->done;
    notice (executor, (pxi_event){.kind = PXI_EV_PROGRESS, .run = run->id, .progress = run->done});
}

static uint32_t result_size (const pxi_virtual *executor)
{
    uint32_t size = executor->config.tree->result_size;
    return size ? size : RESULT_BYTES;
}

static void tell_duration (pxi_virtual *executor, const struct frame *frame)
{
    if (now_ns (executor) - executor->told_duration_ns < DURATIONS_EVERY_MS * PXI_MS)
        return;
    executor->told_duration_ns = now_ns (executor);
    notice (executor, (pxi_event){.kind = PXI_EV_DURATION,
                                  .module = executor->config.module,
                                  .n_items = frame->node.n_items,
                                  .size_bytes = frame->shape.size_bytes,
                                  .result_bytes = result_size (executor),
                                  .flag = frame->shape.n_rounds > 0,
                                  .run_ns = now_ns (executor) - frame->started_ns});
}

static void tell_nests (pxi_virtual *executor)
{
    if (executor->told_nests)
        return;
    executor->told_nests = true;
    notice (executor,
            (pxi_event){.kind = PXI_EV_DURATION, .module = executor->config.module, .flag = true});
}

/* ---- runs ------------------------------------------------------------------------------------- */

static void free_runs_over (pxi_virtual *executor)
{
    PXI_LIST_EACH_SAFE (link, &executor->over)
    {
        vrun *run = PXI_LIST_ENTRY (link, vrun, in_runs);
        if (run->n_executing)
            continue;
        pxi_list_remove (&run->in_runs);
        free (run);
    }
}

uint64_t pxi_virtual_digest (const pxi_node *node)
{
    return pxi_mix64 (node->state) | 1;
}

static void run_finished (pxi_virtual *executor, vrun *run, pxi_result result,
                          const pxi_payload *payload)
{
    PXI_ASSERT (!run->finished);
    run->finished = true;
    run->root = NULL;
    pxi_list_remove (&run->in_runs);
    take_up (executor, run);
    pxi_list_add_last (&executor->over, &run->in_runs);
    executor->n_runs--;
    uint64_t blob = payload ? executor->port->blob_new (executor->port->context, payload) : 0;
    uint64_t run_ns = run->started_ns ? now_ns (executor) - run->started_ns : 0;
    notice (
        executor,
        (pxi_event){.kind = PXI_EV_FINISHED,
                    .run = run->id,
                    .result = result,
                    .run_ns = run_ns,
                    .blob = blob,
                    .digest = result == PXI_RESULT_CRASHED ? pxi_virtual_digest (&run->node) : 0,
                    .size_bytes = payload ? payload->size_bytes : 0});
}

static void run_stopped (pxi_virtual *executor, vrun *run)
{
    pxi_payload nothing = {.cancelled = true, .result = PXI_RESULT_FAILED, .size_bytes = 8};
    run_finished (executor, run, PXI_RESULT_FAILED, &nothing);
}

static vrun *run_find (const pxi_virtual *executor, uint64_t id)
{
    PXI_LIST_EACH (link, &executor->runs)
    {
        vrun *run = PXI_LIST_ENTRY (link, vrun, in_runs);
        if (run->id == id)
            return run;
    }
    return NULL;
}

/* ---- branches --------------------------------------------------------------------------------- */

/* Into the list of its kind, by age: nearly always at one of the ends. */
static void insert_by_age (pxi_list *list, pxi_list *link, const vbranch *branch, bool takeable)
{
    pxi_list *at = list->previous;
    while (at != list) {
        const vbranch *other = takeable ? PXI_LIST_ENTRY (at, vbranch, in_takeable)
                                        : PXI_LIST_ENTRY (at, vbranch, in_open);
        if (other->id < branch->id)
            break;
        at = at->previous;
    }
    pxi_list_add_after (at, link);
}

static bool is_takeable (const vbranch *branch)
{
    return branch->n_waiting && branch->number && !branch->capped;
}

static void relist (pxi_virtual *executor, vbranch *branch)
{
    if (branch->n_waiting && !pxi_list_holds (&branch->in_open))
        insert_by_age (&executor->open, &branch->in_open, branch, false);
    else if (!branch->n_waiting)
        pxi_list_remove (&branch->in_open);
    if (is_takeable (branch) && !pxi_list_holds (&branch->in_takeable))
        insert_by_age (&executor->takeable, &branch->in_takeable, branch, true);
    else if (!is_takeable (branch))
        pxi_list_remove (&branch->in_takeable);
}

static void count_waiting (pxi_virtual *executor, vbranch *branch, int32_t change)
{
    if (is_takeable (branch))
        executor->n_takeable -= branch->n_waiting;
    branch->n_waiting = (uint32_t)((int32_t)branch->n_waiting + change);
    executor->n_waiting = (uint32_t)((int32_t)executor->n_waiting + change);
    if (is_takeable (branch))
        executor->n_takeable += branch->n_waiting;
    relist (executor, branch);
}

static void branch_open (pxi_virtual *executor, struct frame *frame)
{
    uint32_t n = frame->shape.n_children;
    vbranch *branch = calloc (1, sizeof *branch + n * sizeof branch->subtasks[0]);
    PXI_ASSERT (branch);
    branch->id = (*executor->config.next_id)++;
    branch->owner = frame;
    branch->number = frame->shape.number;
    branch->n_subtasks = n;
    pxi_list_init (&branch->in_open);
    pxi_list_init (&branch->in_takeable);
    pxi_list_init (&branch->waiting);
    for (uint32_t i = 0; i < n; i++) {
        vsubtask *subtask = &branch->subtasks[i];
        subtask->branch = branch;
        subtask->index = i;
        subtask->id = (*executor->config.next_id)++;
        pxi_list_init (&subtask->in_away);
        pxi_list_add_last (&branch->waiting, &subtask->in_waiting);
    }
    frame->branch = branch;
    if (frame->subtask)
        tell_nests (executor);
    executor->n_branches++;
    count_waiting (executor, branch, (int32_t)n);
    executor->hint = branch;
}

static void range_free (vrange *range)
{
    if (!range)
        return;
    PXI_ASSERT (pxi_list_is_empty (&range->chunks));
    pxi_list_remove (&range->in_ranges);
    pxi_cut_fini (&range->cut);
    free (range);
}

static void range_open (pxi_virtual *executor, struct frame *frame)
{
    vbranch *branch = calloc (1, sizeof *branch);
    vrange *range = calloc (1, sizeof *range);
    PXI_ASSERT (branch && range);
    branch->id = (*executor->config.next_id)++;
    branch->owner = frame;
    branch->number = frame->shape.number;
    branch->range = range;
    pxi_list_init (&branch->in_open);
    pxi_list_init (&branch->in_takeable);
    pxi_list_init (&branch->waiting);
    pxi_list_init (&range->chunks);
    range->owner = branch;
    pxi_cut_init (&range->cut, 0, executor->config.tree->n_items, 1);
    pxi_list_init (&range->in_ranges);
    pxi_list_add_last (&executor->ranges, &range->in_ranges);
    frame->branch = branch;
    executor->n_branches++;
    executor->use = executor->config.devices ? PXI_RANK_NO : PXI_RANK_YES;
}

static void chunk_free (vsubtask *chunk)
{
    pxi_list_remove (&chunk->in_chunks);
    free (chunk);
}

static void branch_free (pxi_virtual *executor, vbranch *branch)
{
    PXI_ASSERT (!branch->n_waiting);
    range_free (branch->range);
    if (executor->hint == branch)
        executor->hint = NULL;
    branch->owner->branch = NULL;
    executor->n_branches--;
    if (branch->handed_over)
        pxi_map_remove (&executor->branches, branch->id, NULL);
    if (branch->handed_over)
        notice (executor, (pxi_event){.kind = PXI_EV_BRANCH_CLOSED, .branch = branch->id});
    free (branch);
}

static void away_remove (pxi_virtual *executor, vsubtask *subtask)
{
    pxi_map_remove (&executor->away, subtask->id, NULL);
    pxi_list_remove (&subtask->in_away);
}

/* ---- frames ----------------------------------------------------------------------------------- */

static void frame_free (struct frame *frame)
{
    PXI_ASSERT (!frame->executing);
    PXI_ASSERT (!frame->branch);
    pxi_list_remove (&frame->in_ready);
    if (frame->run->root == frame)
        frame->run->root = NULL;
    free (frame);
}

static void frame_cancel (pxi_virtual *executor, struct frame *frame);

/* Cancels what has no outcome. The frames of started subtasks forget the branch: an executing one goes
 * on to its next boundary, as a task of a real pool does. */
static void subtask_cancel (pxi_virtual *executor, vsubtask *subtask)
{
    if (subtask->state == STARTED) {
        frame_cancel (executor, subtask->frame);
    } else if (subtask->state == AWAY) {
        away_remove (executor, subtask);
        pxi_map_put (&executor->cancelled, subtask->id, 1);
    }
}

static void branch_cancel (pxi_virtual *executor, vbranch *branch)
{
    count_waiting (executor, branch, -(int32_t)branch->n_waiting);
    for (uint32_t i = 0; i < branch->n_subtasks; i++)
        subtask_cancel (executor, &branch->subtasks[i]);
    for (pxi_list *link; branch->range && (link = pxi_list_first (&branch->range->chunks));) {
        vsubtask *chunk = PXI_LIST_ENTRY (link, vsubtask, in_chunks);
        subtask_cancel (executor, chunk);
        chunk_free (chunk);
    }
    branch_free (executor, branch);
}

static void frame_cancel (pxi_virtual *executor, struct frame *frame)
{
    frame->cancelled = true;
    frame->subtask = NULL;
    if (frame->branch)
        branch_cancel (executor, frame->branch);
    frame->burst.cancelled = true;
    if (frame->executing)
        executor->port->burst_cancel (executor->port->context, &frame->burst);
    else
        frame_free (frame);
}

static struct frame *frame_new (vrun *run, vsubtask *subtask, const pxi_node *node,
                                const pxi_tree *tree, uint64_t started_ns)
{
    struct frame *frame = calloc (1, sizeof *frame);
    PXI_ASSERT (frame);
    frame->run = run;
    frame->subtask = subtask;
    frame->node = *node;
    frame->hash = pxi_workload_begin (node);
    frame->started_ns = started_ns;
    pxi_list_init (&frame->in_ready);
    pxi_list_init (&frame->in_executing);
    pxi_workload_shape (tree, node, &frame->shape);
    return frame;
}

static void deliver (pxi_virtual *executor, vsubtask *subtask, uint64_t hash, pxi_result result);
static void chunk_done (pxi_virtual *executor, vsubtask *chunk, uint64_t hash, const pxi_who *who,
                        bool measured);

static void task_finished (pxi_virtual *executor, struct frame *frame)
{
    vrun *run = frame->run;
    vsubtask *subtask = frame->subtask;
    pxi_result result = frame->shape.fails ? PXI_RESULT_FAILED : PXI_RESULT_OK;
    uint64_t hash = frame->hash;
    executor->tasks_done++;
    if (subtask) {
        tell_duration (executor, frame);
        subtask->frame = NULL;
        frame_free (frame);
        if (subtask->branch->range) {
            subtask->branch->range->n_local--;
            chunk_done (executor, subtask, hash, &(pxi_who){executor->config.peer, 0}, true);
            return;
        }
        executor->hint = subtask->branch;
        deliver (executor, subtask, hash, result);
        return;
    }
    frame_free (frame);
    pxi_payload payload = {.hash = hash, .result = result, .size_bytes = result_size (executor)};
    run_finished (executor, run, result, &payload);
}

/* All that it waited for is there. */
static void branch_joined (pxi_virtual *executor, vbranch *branch)
{
    struct frame *owner = branch->owner;
    uint32_t n = owner->shape.first_only ? 1 : branch->n_subtasks;
    if (branch->range) {
        owner->hash += branch->range->sum;
        n = 0;
    }
    for (uint32_t i = 0; i < n; i++)
        owner->hash =
            pxi_workload_fold (owner->hash, branch->subtasks[i].hash, branch->subtasks[i].result);
    if (branch->n_done < branch->n_subtasks)
        branch_cancel (executor, branch);
    else
        branch_free (executor, branch);
    owner->round++;
    owner->phase = owner->round < owner->shape.n_rounds ? BETWEEN : AFTER;
    pxi_list_add_last (&executor->ready, &owner->in_ready);
}

static void deliver (pxi_virtual *executor, vsubtask *subtask, uint64_t hash, pxi_result result)
{
    vbranch *branch = subtask->branch;
    PXI_ASSERT (subtask->state != DONE);
    subtask->state = DONE;
    subtask->hash = hash;
    subtask->result = result;
    branch->n_done++;
    vrun *run = branch->owner->run;
    run->done++;
    tell_progress (executor, run);
    bool enough = branch->owner->shape.first_only && subtask->index == 0;
    if (enough || branch->n_done == branch->n_subtasks)
        branch_joined (executor, branch);
}

/* Among all subtasks of its owner. */
static uint32_t index_of (const vsubtask *subtask)
{
    const struct frame *owner = subtask->branch->owner;
    return owner->round * owner->shape.n_children + subtask->index;
}

static pxi_node node_of (const pxi_virtual *executor, const vsubtask *subtask)
{
    const struct frame *owner = subtask->branch->owner;
    if (subtask->branch->range) {
        const pxi_cut_chunk *cut = &subtask->branch->range->cut.chunks[subtask->index];
        return pxi_workload_chunk (&owner->node, executor->config.tree, cut->begin, cut->end);
    }
    return pxi_workload_child (executor->config.tree, &owner->node, &owner->shape,
                               index_of (subtask));
}

/* A chunk has ended: who was refused may ask again. */
static void range_moved (pxi_virtual *executor, vrange *range)
{
    if (range->in_vain || executor->use == PXI_RANK_TRIAL)
        executor->told_surplus = false;
    range->in_vain = false;
}

/* What a wrong device has done is taken back. */
static void take_back (pxi_virtual *executor, vbranch *branch, const pxi_who *who)
{
    vrange *range = branch->range;
    for (uint32_t i = 0; i < range->cut.n_chunks; i++) {
        const pxi_cut_chunk *cut = &range->cut.chunks[i];
        bool his = cut->who.peer == who->peer && cut->who.device == who->device;
        pxi_node node =
            pxi_workload_chunk (&branch->owner->node, executor->config.tree, cut->begin, cut->end);
        if (his && cut->state == PXI_CUT_DONE)
            range->sum -= pxi_workload_begin (&node);
    }
    pxi_cut_wrong (&range->cut, who, now_ns (executor));
    notice (executor, (pxi_event){.kind = PXI_EV_DEVICE_WRONG,
                                  .module = executor->config.module,
                                  .peer = who->peer,
                                  .device = who->device});
}

/* Each is looked at, as a few items of some are in a real executor. */
static void chunk_done (pxi_virtual *executor, vsubtask *chunk, uint64_t hash, const pxi_who *who,
                        bool measured)
{
    vbranch *branch = chunk->branch;
    vrange *range = branch->range;
    pxi_node node = node_of (executor, chunk);
    if (hash != pxi_workload_begin (&node) && who->device)
        take_back (executor, branch, who);
    if (pxi_cut_done (&range->cut, chunk->index, who, now_ns (executor), measured))
        range->sum += hash;
    chunk_free (chunk);
    range_moved (executor, range);
    branch->owner->run->done++;
    tell_progress (executor, branch->owner->run);
    if (pxi_cut_is_done (&range->cut))
        branch_joined (executor, branch);
}

/* NULL: nothing for this one now. */
static vsubtask *chunk_for (pxi_virtual *executor, vbranch *branch, const pxi_who_look *look)
{
    uint32_t index;
    vrange *range = branch->range;
    if (!pxi_cut_next (&range->cut, look, now_ns (executor), &index)) {
        range->in_vain = true;
        return NULL;
    }
    vsubtask *chunk = calloc (1, sizeof *chunk);
    PXI_ASSERT (chunk);
    chunk->branch = branch;
    chunk->index = index;
    chunk->id = (*executor->config.next_id)++;
    pxi_list_init (&chunk->in_away);
    pxi_list_init (&chunk->in_waiting);
    pxi_list_add_last (&range->chunks, &chunk->in_chunks);
    return chunk;
}

static vsubtask *chunk_for_slot (pxi_virtual *executor)
{
    const pxi_who_look look = {.who = {executor->config.peer, 0}};
    PXI_LIST_EACH (link, &executor->ranges)
    {
        vbranch *branch = branch_of (link);
        bool may = executor->use == PXI_RANK_YES ||
                   (executor->use == PXI_RANK_TRIAL && !branch->range->n_local);
        vsubtask *chunk = may ? chunk_for (executor, branch, &look) : NULL;
        if (chunk) {
            branch->range->n_local++;
            return chunk;
        }
    }
    return NULL;
}

static void phase_end (pxi_virtual *executor, struct frame *frame)
{
    if (frame->cancelled) {
        frame_free (frame);
        return;
    }
    bool branches = frame->phase == BETWEEN || (frame->phase == BEFORE && frame->shape.n_rounds);
    if (branches && executor->config.tree->kind == PXI_TREE_RANGE)
        range_open (executor, frame);
    else if (branches)
        branch_open (executor, frame);
    else
        task_finished (executor, frame);
}

/* ---- threads ---------------------------------------------------------------------------------- */

static vsubtask *pop (pxi_virtual *executor, vbranch *branch, bool newest)
{
    pxi_list *link = newest ? pxi_list_last (&branch->waiting) : pxi_list_first (&branch->waiting);
    pxi_list_remove (link);
    count_waiting (executor, branch, -1);
    return PXI_LIST_ENTRY (link, vsubtask, in_waiting);
}

static struct frame *start_subtask (pxi_virtual *executor, vsubtask *subtask)
{
    struct frame *owner = subtask->branch->owner;
    pxi_node node = node_of (executor, subtask);
    subtask->state = STARTED;
    subtask->frame =
        frame_new (owner->run, subtask, &node, executor->config.tree, now_ns (executor));
    return subtask->frame;
}

static struct frame *start_run (pxi_virtual *executor)
{
    vrun *run = PXI_LIST_ENTRY (pxi_list_first (&executor->new_runs), vrun, in_new);
    take_up (executor, run);
    run->started_ns = now_ns (executor);
    run->root = frame_new (run, NULL, &run->node, executor->config.tree, run->started_ns);
    return run->root;
}

/* What the next thread does; NULL = nothing. `continuing`: it has just left a task. */
static struct frame *pick (pxi_virtual *executor, bool continuing)
{
    vbranch *hint = continuing ? executor->hint : NULL;
    executor->hint = NULL;
    if (hint && hint->n_waiting)
        return start_subtask (executor, pop (executor, hint, true));
    pxi_list *ready = pxi_list_first (&executor->ready);
    if (ready) {
        pxi_list_remove (ready);
        return PXI_LIST_ENTRY (ready, struct frame, in_ready);
    }
    pxi_list *newest = continuing ? pxi_list_last (&executor->open) : NULL;
    if (newest)
        return start_subtask (executor,
                              pop (executor, PXI_LIST_ENTRY (newest, vbranch, in_open), true));
    if (pxi_list_first (&executor->new_runs))
        return start_run (executor);
    pxi_list *oldest = pxi_list_first (&executor->open);
    if (oldest)
        return start_subtask (executor,
                              pop (executor, PXI_LIST_ENTRY (oldest, vbranch, in_open), false));
    vsubtask *chunk = chunk_for_slot (executor);
    return chunk ? start_subtask (executor, chunk) : NULL;
}

static void execute (pxi_virtual *executor, struct frame *frame)
{
    void *context = executor->port->context;
    if (frame->phase == BEFORE && executor->port->crashes (context, executor, frame->node.state)) {
        /* Not executing and in no list: die () finds it through its run or branch. */
        pxi_virtual_die (executor, frame->run->id);
        return;
    }
    uint64_t length_ns = frame->phase == BEFORE  ? frame->shape.before_ns
                         : frame->phase == AFTER ? frame->shape.after_ns
                                                 : 0;
    if (!length_ns) {
        phase_end (executor, frame);
        return;
    }
    frame->executing = true;
    frame->run->n_executing++;
    executor->n_executing++;
    pxi_list_add_last (&executor->executing, &frame->in_executing);
    frame->burst.executor = executor;
    frame->burst.length_ns = length_ns;
    frame->burst.work = pxi_mix64 (frame->node.state + frame->node.begin + (frame->phase == AFTER));
    executor->port->burst (context, &frame->burst);
}

/* After anything happened: threads look for work, then the agent is told. */
static void settle (pxi_virtual *executor, bool continuing)
{
    while (executor->n_executing < executor->allowed) {
        struct frame *next = pick (executor, continuing);
        if (!next)
            break;
        uint32_t n_before = executor->n_executing;
        execute (executor, next);
        /* A task of no time leaves its thread where it is, in the middle of work; after another it is
           the next thread that looks. */
        continuing = executor->n_executing <= n_before;
    }
    executor->hint = NULL;
    free_runs_over (executor);
    tell_surplus (executor);
    tell_active (executor);
}

static void burst_over (pxi_virtual *executor, struct frame *frame)
{
    frame->executing = false;
    pxi_list_remove (&frame->in_executing);
    executor->n_executing--;
    frame->run->n_executing--;
}

void pxi_virtual_burst_end (pxi_virtual *executor, pxi_burst *burst)
{
    struct frame *frame = PXI_LIST_ENTRY (burst, struct frame, burst);
    vrun *run = frame->run;
    burst_over (executor, frame);
    phase_end (executor, frame);
    if (run->stopped && !run->finished && !run->n_executing)
        run_stopped (executor, run);
    settle (executor, true);
}

/* ---- commands --------------------------------------------------------------------------------- */

/* A task of a branch with a shared input begins with it, and with no other. */
static bool has_shared (const pxi_virtual *executor, const pxi_node *node, uint64_t blob)
{
    const pxi_payload *shared = executor->port->blob (executor->port->context, blob);
    if (!node->shared.size_bytes)
        return blob == 0;
    return shared && pxi_same_shared (&shared->shared, &node->shared);
}

void pxi_virtual_run (pxi_virtual *executor, uint64_t id, uint64_t blob, uint64_t shared_blob)
{
    const pxi_payload *input = executor->port->blob (executor->port->context, blob);
    if (!input || run_find (executor, id)) {
        executor->port->broken (executor->port->context, "run %llu: %s", (unsigned long long)id,
                                input ? "started twice" : "its input is not here");
        return;
    }
    if (!has_shared (executor, &input->node, shared_blob))
        executor->port->broken (executor->port->context, "run %llu begins without its shared input",
                                (unsigned long long)id);
    vrun *run = calloc (1, sizeof *run);
    PXI_ASSERT (run);
    run->id = id;
    run->node = input->node;
    pxi_list_add_last (&executor->runs, &run->in_runs);
    pxi_list_add_last (&executor->new_runs, &run->in_new);
    executor->n_runs++;
    executor->runs_received++;
    executor->n_new++;
    settle (executor, false);
}

void pxi_virtual_refuse (pxi_virtual *executor, uint64_t id)
{
    executor->runs_received++;
    settle (executor, false);
    notice (executor,
            (pxi_event){.kind = PXI_EV_FINISHED, .run = id, .result = PXI_RESULT_CRASHED});
}

void pxi_virtual_stop (pxi_virtual *executor, uint64_t id)
{
    vrun *run = run_find (executor, id);
    if (!run || run->stopped) {
        if (run)
            executor->port->broken (executor->port->context, "run %llu stopped twice",
                                    (unsigned long long)id);
        return; /* finished, and the core has not heard of it yet */
    }
    run->stopped = true;
    if (run->root)
        frame_cancel (executor, run->root);
    if (!run->n_executing)
        run_stopped (executor, run);
    settle (executor, false);
}

static pxi_cost_declared declared_of (const pxi_tree *tree, uint32_t index)
{
    return tree->n_declared ? tree->declared[index % tree->n_declared] : (pxi_cost_declared){0};
}

static void hand_over (pxi_virtual *executor, vsubtask *subtask, pxi_taken *taken)
{
    vbranch *branch = subtask->branch;
    pxi_payload input = {.node = node_of (executor, subtask)};
    pxi_shape shape;
    pxi_workload_shape (executor->config.tree, &input.node, &shape);
    input.size_bytes = shape.size_bytes;
    subtask->state = AWAY;
    branch->handed_over = true;
    pxi_list_add_last (&executor->all_away, &subtask->in_away);
    bool put = pxi_map_put_pointer (&executor->away, subtask->id, subtask) &&
               pxi_map_put_pointer (&executor->branches, branch->id, branch);
    PXI_ASSERT (put);
    *taken = (pxi_taken){
        .subtask = subtask->id,
        .branch = branch->id,
        .point = input.node.depth,
        .number = branch->number,
        .most = executor->config.tree->number_most,
        .n_subtasks = branch->n_subtasks,
        .n_done = branch->n_done,
        .attempts = subtask->attempts,
        .crashes = subtask->crashes,
        .declared = declared_of (executor->config.tree, index_of (subtask)),
        .attempt = {.key = {.subtask = subtask->id},
                    .job = executor->config.job,
                    .module = executor->config.module,
                    .size_bytes = shape.size_bytes,
                    .digest = pxi_virtual_digest (&input.node),
                    .blob = executor->port->blob_new (executor->port->context, &input),
                    .shared = input.node.shared,
                    .n_items = input.node.n_items},
    };
    if (branch->range)
        taken->expect_ns = branch->range->cut.chunks[subtask->index].expect_ns;
    if (!input.node.shared.size_bytes)
        return;
    pxi_payload shared = {.shared = input.node.shared, .size_bytes = input.node.shared.size_bytes};
    taken->attempt.shared_blob = executor->port->blob_new (executor->port->context, &shared);
}

/* Chunks for a device, or for slots elsewhere: how many there are. A device of this peer is under no number. */
static uint32_t take_chunks (pxi_virtual *executor, const pxi_action *take, pxi_taken *taken,
                             uint32_t n_most)
{
    const pxi_who_look look = {
        .who = {take->peer, take->device},
        .speed = {.fixed_ns = take->fixed_ns, .item_cost = take->item_cost},
        .queue_ns = take->queue_ns,
    };
    vbranch *branch = oldest_range (executor);
    bool own = take->peer == executor->config.peer;
    if (!branch || (!own && (!branch->number || branch->capped)))
        return 0;
    uint32_t n = 0;
    for (vsubtask *chunk; n < n_most && (chunk = chunk_for (executor, branch, &look)); n++)
        hand_over (executor, chunk, &taken[n]);
    return n;
}

void pxi_virtual_take (pxi_virtual *executor, const pxi_action *take)
{
    uint32_t count = take->count, waiting = take->device ? 0 : executor->n_takeable;
    uint32_t n = count < waiting ? count : waiting;
    pxi_taken *taken = calloc (count ? count : 1, sizeof *taken);
    PXI_ASSERT (taken);
    for (uint32_t i = 0; i < n; i++) {
        vbranch *branch =
            PXI_LIST_ENTRY (pxi_list_first (&executor->takeable), vbranch, in_takeable);
        hand_over (executor, pop (executor, branch, false), &taken[i]);
    }
    n += take_chunks (executor, take, taken + n, count - n);
    if (n < count && !take->device)
        executor->told_surplus = false;
    notice (executor, (pxi_event){.kind = PXI_EV_TAKEN,
                                  .token = take->token,
                                  .taken = taken,
                                  .n_taken = n,
                                  .count = executor->n_takeable +
                                           n_chunks_takeable (oldest_range (executor))});
    settle (executor, false);
}

/* NULL: the branch was closed meanwhile (fine), or it never was away (told). */
static vsubtask *away_find (pxi_virtual *executor, uint64_t id, const char *what)
{
    vsubtask *subtask = pxi_map_pointer (&executor->away, id);
    if (subtask)
        return subtask;
    if (!pxi_map_remove (&executor->cancelled, id, NULL))
        executor->port->broken (executor->port->context, "%s for subtask s%llu, which is not away",
                                what, (unsigned long long)id);
    return NULL;
}

void pxi_virtual_give_back (pxi_virtual *executor, uint64_t id, uint32_t attempts, uint32_t crashes)
{
    vsubtask *subtask = away_find (executor, id, "given back");
    if (!subtask)
        return;
    away_remove (executor, subtask);
    if (subtask->branch->range) {
        pxi_cut_back (&subtask->branch->range->cut, subtask->index, now_ns (executor));
        range_moved (executor, subtask->branch->range);
        chunk_free (subtask);
        settle (executor, false);
        return;
    }
    subtask->state = WAITING;
    subtask->attempts = attempts;
    subtask->crashes = crashes;
    pxi_list_add_first (&subtask->branch->waiting, &subtask->in_waiting);
    count_waiting (executor, subtask->branch, 1);
    settle (executor, false);
}

void pxi_virtual_cap (pxi_virtual *executor, uint64_t id, bool on)
{
    vbranch *branch = pxi_map_pointer (&executor->branches, id);
    if (!branch)
        return; /* closed, and the core has not heard of it yet */
    if (is_takeable (branch))
        executor->n_takeable -= branch->n_waiting;
    branch->capped = on;
    if (is_takeable (branch))
        executor->n_takeable += branch->n_waiting;
    relist (executor, branch);
    settle (executor, false);
}

void pxi_virtual_range (pxi_virtual *executor, uint32_t use)
{
    executor->use = use;
    settle (executor, false);
}

void pxi_virtual_complete (pxi_virtual *executor, const pxi_action *complete,
                           const pxi_payload *payload)
{
    uint64_t id = complete->subtask;
    vsubtask *subtask = away_find (executor, id, "outcome");
    if (!subtask)
        return;
    if (payload && payload->cancelled)
        executor->port->broken (executor->port->context,
                                "subtask s%llu gets what a stopped attempt left",
                                (unsigned long long)id);
    away_remove (executor, subtask);
    uint64_t hash = payload ? payload->hash : 0;
    const pxi_who who = {complete->peer, complete->device};
    if (subtask->branch->range)
        chunk_done (executor, subtask, hash, &who, !complete->first);
    else
        deliver (executor, subtask, hash, complete->result);
    settle (executor, false);
}

void pxi_virtual_slots (pxi_virtual *executor, uint32_t count)
{
    if (count > executor->config.slots)
        executor->port->broken (executor->port->context, "%u slots allowed of %u", count,
                                executor->config.slots);
    executor->allowed = count;
    settle (executor, false);
}

/* ---- life ------------------------------------------------------------------------------------- */

pxi_virtual *pxi_virtual_new (const pxi_virtual_config *config)
{
    pxi_virtual *executor = calloc (1, sizeof *executor);
    if (!executor)
        return NULL;
    executor->config = *config;
    executor->port = config->port;
    pxi_list *lists[] = {&executor->runs,      &executor->new_runs, &executor->ready,
                         &executor->executing, &executor->over,     &executor->open,
                         &executor->takeable,  &executor->all_away, &executor->ranges};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        pxi_list_init (lists[i]);
    pxi_map_init (&executor->away, AWAY_MAX, 1);
    pxi_map_init (&executor->branches, AWAY_MAX, 1);
    pxi_map_init (&executor->cancelled, AWAY_MAX, 1);
    return executor;
}

static void drop_bursts (pxi_virtual *executor)
{
    for (pxi_list *link; (link = pxi_list_first (&executor->executing));) {
        struct frame *frame = PXI_LIST_ENTRY (link, struct frame, in_executing);
        executor->port->burst_drop (executor->port->context, &frame->burst);
        burst_over (executor, frame);
        if (frame->cancelled)
            frame_free (frame);
    }
}

static void drop_runs (pxi_virtual *executor, uint64_t culprit)
{
    for (pxi_list *link; (link = pxi_list_first (&executor->runs));) {
        vrun *run = PXI_LIST_ENTRY (link, vrun, in_runs);
        if (run->root)
            frame_cancel (executor, run->root);
        bool did_it = run->id == culprit;
        run_finished (executor, run, did_it ? PXI_RESULT_CRASHED : PXI_RESULT_LOST, NULL);
    }
    free_runs_over (executor);
}

/* Its threads are gone before anything else is told: what the core gives out next, it may give out. */
void pxi_virtual_die (pxi_virtual *executor, uint64_t culprit)
{
    drop_bursts (executor);
    if (executor->told_surplus)
        notice (executor, (pxi_event){.kind = PXI_EV_SURPLUS, .count = 0});
    executor->told_surplus = false;
    executor->told_executing = executor->told_wanted = 0;
    executor->told_runs = executor->runs_received;
    notice (executor, (pxi_event){.kind = PXI_EV_ACTIVE, .runs = executor->runs_received});
    drop_runs (executor, culprit);
    PXI_ASSERT (!executor->n_branches);
    executor->hint = NULL;
}

void pxi_virtual_free (pxi_virtual **executor_p)
{
    pxi_virtual *executor = *executor_p;
    if (!executor)
        return;
    *executor_p = NULL;
    executor->silent = true;
    drop_bursts (executor);
    drop_runs (executor, 0);
    pxi_map_fini (&executor->away);
    pxi_map_fini (&executor->branches);
    pxi_map_fini (&executor->cancelled);
    free (executor);
}

void pxi_virtual_heard (pxi_virtual *executor)
{
    if (!pxi_map_size (&executor->cancelled))
        return;
    pxi_map_fini (&executor->cancelled);
    pxi_map_init (&executor->cancelled, AWAY_MAX, 1);
}

/* ---- for checkers ----------------------------------------------------------------------------- */

void *pxi_virtual_context (const pxi_virtual *executor)
{
    return executor->port->context;
}

void pxi_virtual_read (const pxi_virtual *executor, pxi_virtual_look *look)
{
    *look = (pxi_virtual_look){
        .executing = executor->n_executing,
        .allowed = executor->allowed,
        .runs = executor->n_runs,
        .away = pxi_map_size (&executor->away),
        .waiting = executor->n_waiting,
        .takeable = executor->n_takeable,
        .branches = executor->n_branches,
        .tasks_done = executor->tasks_done,
    };
}

bool pxi_virtual_runs (const pxi_virtual *executor, uint64_t id)
{
    const vrun *run = run_find (executor, id);
    return run && !run->stopped;
}

bool pxi_virtual_number (const pxi_virtual *executor, uint64_t id, uint32_t *number)
{
    const vbranch *branch = pxi_map_pointer (&executor->branches, id);
    uint32_t most = executor->config.tree->number_most;
    if (branch)
        *number = branch->number > most ? branch->number : most;
    return branch != NULL;
}

void pxi_virtual_each_away (const pxi_virtual *executor, uint32_t max,
                            void (*each) (void *context, uint64_t subtask, uint64_t branch),
                            void *context)
{
    uint32_t n = 0;
    PXI_LIST_EACH (link, &executor->all_away)
    {
        const vsubtask *subtask = PXI_LIST_ENTRY (link, vsubtask, in_away);
        if (n++ == max)
            break;
        each (context, subtask->id, subtask->branch->id);
    }
}
