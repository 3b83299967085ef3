/* A storm over one pool: trees of tasks that spawn, open branches and ranges, sleep, cancel and leave things
 * behind, while an agent takes subtasks and chunks, for slots and devices, completes some, twice or wrong, gives
 * others back, late or at once, caps branches, stops runs, says who may have chunks and moves the number of slots
 * up and down. Every run that was not stopped must give
 * the serial answer. How much is done is counted, not timed. Under ThreadSanitizer this is the test of
 * everything in exec. */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/device.h>
#include <peerexec/spawn.h>

#include "base/prng.h"
#include "core/rank.h"
#include "device/range.h"
#include "exec/port.h"

enum { RUNS = 300, AT_ONCE = 3, SLOTS = 4, DEPTH = 9, HELD_MAX = 24, TAKE_MAX = 8 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf (stderr, "%s:%d: not: %s\n", __FILE__, __LINE__, #condition);                  \
            exit (1);                                                                              \
        }                                                                                          \
    } while (0)

/* ---- the trees -------------------------------------------------------------------------------- */

/* A node is a number: its depth in the low byte, what makes it different above. */
static uint64_t mix (uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t child_of (uint64_t node, uint64_t i)
{
    return (mix (node + (i << 56)) & ~UINT64_C (255)) | ((node & 255) - 1);
}

static uint64_t n_children (uint64_t node)
{
    return node & 255 ? 1 + mix (node) % 4 : 0;
}

static uint64_t serial (uint64_t node)
{
    uint64_t sum = mix (node) >> 8;
    for (uint64_t i = 0; i < n_children (node); i++)
        sum += serial (child_of (node, i));
    return sum;
}

PX_TYPED_TASK (grow, uint64_t, uint64_t)
PX_TYPED_TASK (waste, uint64_t, uint64_t)

/* What a node does besides spawning, by chance. */
enum { RANGES = 3, BRANCHES, REACTS, SQUANDERS, SLEEPS };

/* Not wanted by anybody: ends when it hears of that, or soon. */
static px_err waste (px_task *task, const uint64_t *node, uint64_t *sum)
{
    for (int i = 0; i < 50 && !px_task_cancelled (task); i++)
        sched_yield ();
    *sum = 0;
    return *node % 3 ? PX_OK : px_task_fail (task, "nobody wants to know");
}

static uint64_t kind_of (uint64_t node)
{
    return mix (node ^ 1) % 8;
}

/* All children; the last one in place, unless it would leave subtasks behind above ours. */
static px_err by_spawning (px_task *task, uint64_t node, uint64_t *sum)
{
    px_subtask subtasks[4];
    uint64_t n = n_children (node), last = n ? child_of (node, n - 1) : 0, n_spawned = n, part;
    px_err err = PX_OK;
    if (n && kind_of (last) != SQUANDERS)
        n_spawned--;
    for (uint64_t i = 0; i < n_spawned && err == PX_OK; i++) {
        uint64_t child = child_of (node, i);
        err = px_spawn (task, &grow_task, &child, &subtasks[i]);
    }
    if (err == PX_OK && n_spawned < n) {
        err = grow (task, &last, &part);
        *sum += err == PX_OK ? part : 0;
    }
    while (n_spawned-- > 0 && err == PX_OK) {
        err = px_sync (task, &subtasks[n_spawned], &part);
        *sum += err == PX_OK ? part : 0;
    }
    return err;
}

static px_err add_one (void *context, uint64_t index, const px_outcome *outcome)
{
    if (outcome->code == PX_OK)
        *(uint64_t *)context += *(const uint64_t *)outcome->bytes;
    return outcome->code;
}

static px_err by_branch (px_task *task, uint64_t node, bool reacts, uint64_t *sum)
{
    px_branch branch;
    px_outcome outcome;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    uint64_t n = n_children (node);
    options.react = reacts ? add_one : NULL;
    options.react_context = sum;
    px_err err = px_branch_open (task, "storm.branch", &options, &branch);
    if (err != PX_OK)
        return err;
    for (uint64_t i = 0; i < n && err == PX_OK; i++) {
        uint64_t child = child_of (node, i);
        err = px_branch_add (branch, px_whole_grow, &child, sizeof child);
    }
    if (err == PX_OK)
        err = px_branch_join (branch);
    for (uint64_t i = 0; i < n && err == PX_OK && !reacts; i++) {
        err = px_branch_result (branch, i, &outcome);
        *sum += err == PX_OK ? *(const uint64_t *)outcome.bytes : 0;
    }
    px_branch_close (branch);
    return err;
}

/* ---- ranges: of a row of numbers the mixtures, and their sum ------------------------------------ */

enum { CELLS_MAX = 120, CELLS_ITEM = 3 };

static void add_up (void *total, const void *part, size_t size)
{
    uint64_t sum, more;
    CHECK (size == sizeof sum);
    memcpy (&sum, total, size);
    memcpy (&more, part, size);
    sum += more;
    memcpy (total, &sum, size);
}

static px_err cells_c (px_task *task, const px_chunk *chunk)
{
    const uint64_t *x = chunk->args[0];
    uint64_t *y = chunk->args[1], *sum = chunk->args[2];
    *sum = 0;
    for (uint64_t i = 0; i < chunk->n; i++)
        *sum += y[i] = mix (x[i]);
    if (x[0] % 16 == 0)
        sched_yield ();
    return PX_OK;
}
static const px_arg cells_args[] = {
    PX_IN (uint64_t),
    PX_OUT (uint64_t),
    {PX_ARG_REDUCED, sizeof (uint64_t), 1, PX_NUMBER_BYTES, 0, 0, add_up},
};
PX_RANGE_TASK (cells, cells_c, cells_args, "kernel void cells (...) {}", "cells", CELLS_ITEM)

static px_err by_range (px_task *task, uint64_t node)
{
    uint64_t x[CELLS_MAX], y[CELLS_MAX], n = mix (node ^ 2) % CELLS_MAX, sum = 7, right = 7;
    for (uint64_t i = 0; i < n; i++)
        x[i] = node + i;
    px_bind binds[] = {PX_BIND_IN (x, n * sizeof *x), PX_BIND_OUT (y, n * sizeof *y),
                       PX_BIND_OUT (&sum, sizeof sum)};
    px_err err =
        px_range_branch (task, "storm.cells", PX_RANGE (cells), node, node + n, binds, 3, NULL);
    if (err != PX_OK)
        return err;
    for (uint64_t i = 0; i < n; i++) {
        CHECK (y[i] == mix (x[i]));
        right += y[i];
    }
    CHECK (sum == right);
    return PX_OK;
}

/* As another peer's slot, or a device, which has a sum for each work item; or as one that is out of order. */
static pxi_bytes *do_cells (const pxi_bytes *input, bool is_device, uint64_t wrong)
{
    const px_range_def *def = PX_RANGE (cells);
    pxi_range_view in, out;
    CHECK (pxi_range_input_parse (def, pxi_bytes_data (input), pxi_bytes_size (input), &in, NULL));
    uint64_t n = in.end - in.begin, each = is_device ? CELLS_ITEM : n;
    CHECK (pxi_range_result_layout (def, in.begin, in.end, is_device ? pxi_range_items (def, n) : 1,
                                    &out));
    pxi_bytes *result = pxi_bytes_new (out.size);
    char *bytes = pxi_bytes_data (result);
    const char *x_bytes = (const char *)pxi_bytes_data (input) + in.offsets[0];
    const uint64_t *x = (const uint64_t *)(const void *)x_bytes;
    uint64_t *y = (uint64_t *)(void *)(bytes + out.offsets[1]);
    uint64_t *sums = (uint64_t *)(void *)(bytes + out.offsets[2]);
    pxi_range_result_head (&out, bytes);
    memset (sums, 0, out.n_partials * sizeof *sums);
    for (uint64_t i = 0; i < n; i++)
        sums[i / each] += y[i] = mix (x[i]) + wrong;
    return result;
}

/* A branch that is given up, open or closed, and a subtask that is not synced. */
static void squander (px_task *task, uint64_t node)
{
    px_branch branch;
    px_subtask never_synced;
    px_spawn (task, &waste_task, &node, &never_synced);
    if (px_branch_open (task, "storm.waste", NULL, &branch) != PX_OK)
        return;
    for (uint64_t i = 0; i < 3; i++)
        px_branch_add (branch, px_whole_waste, &i, sizeof i);
    if (node & 256)
        px_branch_cancel (branch);
    if (node & 512)
        px_branch_close (branch);
}

static px_err grow (px_task *task, const uint64_t *node, uint64_t *sum)
{
    uint64_t kind = kind_of (*node);
    *sum = mix (*node) >> 8;
    if (kind == SLEEPS && px_task_sleep (task, 1000) != PX_OK)
        return PX_ECANCELLED;
    if (kind == SQUANDERS)
        squander (task, *node);
    if (kind == RANGES && by_range (task, *node) != PX_OK)
        return PX_ECANCELLED;
    if (kind == BRANCHES || kind == REACTS)
        return by_branch (task, *node, kind == REACTS, sum);
    return by_spawning (task, *node, sum);
}

/* ---- the agent -------------------------------------------------------------------------------- */

enum { GROW, WASTE, CELLS, HERE = 9 };

typedef struct taker {
    uint64_t peer;
    uint32_t device;
} taker;

/* A slot of nobody in particular, three devices of two peers, and one that computes nonsense. */
enum { TAKERS = 5, NONSENSE = 4 };
static const taker takers[TAKERS] = {{0, 0}, {HERE, 1}, {HERE, 2}, {20, 1}, {HERE, NONSENSE}};

typedef struct held {
    uint64_t subtask, branch, node;
    uint32_t task;
    taker by;
    pxi_bytes *input; /* of a chunk */
} held;

typedef struct noted {
    struct noted *next;
    pxi_notice notice;
} noted;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t came;
    noted *first, *last;
    /* all below: the agent's alone */
    pxi_executor *pool;
    pxi_prng chance;
    held held[HELD_MAX];
    uint32_t n_held;
    taker taker; /* of the TAKE that is under way */
    uint32_t use;
    uint64_t n_chunks, n_wrong;
    uint64_t capped, token, n_runs, n_running, n_stopped, n_right, n_completed, n_given_back;
    uint64_t nodes[RUNS + 1];
    bool stopped[RUNS + 1], taking;
} agent = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};

static void notified (void *context, pxi_notice *notice)
{
    noted *one = malloc (sizeof *one);
    CHECK (one);
    *one = (noted){NULL, *notice};
    pthread_mutex_lock (&agent.lock);
    if (agent.last)
        agent.last->next = one;
    else
        agent.first = one;
    agent.last = one;
    pthread_cond_signal (&agent.came);
    pthread_mutex_unlock (&agent.lock);
}

static void submit (pxi_command command)
{
    agent.pool->ops->submit (agent.pool, &command);
}

static bool one_in (uint64_t n)
{
    return pxi_prng_between (&agent.chance, 1, n) == 1;
}

static void complete (const held *one)
{
    uint64_t sum = one->task == GROW ? serial (one->node) : 0;
    pxi_command command = {.kind = PXI_CMD_COMPLETE, .subtask = one->subtask, .attempts = 1};
    command.peer = one->by.peer;
    command.device = one->by.device;
    if (one->input)
        command.outcome.value =
            do_cells (one->input, one->by.device != 0, one->by.device == NONSENSE);
    else
        command.outcome.value = pxi_bytes_copy (&sum, sizeof sum);
    submit (command);
    agent.n_chunks += one->input != NULL;
    agent.n_completed++;
    if (one_in (4)) /* again: to be dropped */
        submit ((pxi_command){
            .kind = PXI_CMD_COMPLETE, .subtask = one->subtask, .outcome = {.code = PX_EFAILED}});
}

static void let_go_one (void)
{
    uint64_t i = pxi_prng_between (&agent.chance, 0, agent.n_held - 1);
    held one = agent.held[i];
    agent.held[i] = agent.held[--agent.n_held];
    bool completes = one_in (2);
    if (completes)
        complete (&one);
    pxi_bytes_release (one.input);
    if (completes)
        return;
    submit ((pxi_command){.kind = PXI_CMD_GIVE_BACK, .subtask = one.subtask, .attempts = 1});
    agent.n_given_back++;
}

static void take_some (void)
{
    agent.taking = true;
    agent.taker = takers[one_in (2) ? 0 : pxi_prng_between (&agent.chance, 1, TAKERS - 1)];
    submit ((pxi_command){.kind = PXI_CMD_TAKE,
                          .token = ++agent.token,
                          .peer = agent.taker.peer,
                          .device = agent.taker.device,
                          .task = CELLS,
                          .count = (uint32_t)pxi_prng_between (&agent.chance, 1, TAKE_MAX)});
}

static void say_who (uint32_t use)
{
    agent.use = use;
    submit ((pxi_command){.kind = PXI_CMD_RANGE, .task = CELLS, .count = use});
}

static void taken (const pxi_notice *notice)
{
    agent.taking = false;
    CHECK (notice->token == agent.token);
    for (uint32_t i = 0; i < notice->n_taken; i++) {
        const pxi_taken *one = &notice->taken[i];
        held now = {.subtask = one->subtask, .branch = one->branch, .task = one->attempt.task};
        now.by = agent.taker;
        if (one->attempt.n_items) {
            now.input = pxi_bytes_acquire (notice->inputs[i]);
        } else {
            CHECK (pxi_bytes_size (notice->inputs[i]) == sizeof now.node);
            memcpy (&now.node, pxi_bytes_data (notice->inputs[i]), sizeof now.node);
        }
        CHECK ((now.task == CELLS) == (now.input != NULL) && (now.input || !now.by.device));
        pxi_bytes_release (notice->inputs[i]);
        pxi_bytes_release (notice->shared[i]);
        while (agent.n_held == HELD_MAX)
            let_go_one ();
        agent.held[agent.n_held++] = now;
    }
    if (notice->n_taken && one_in (2))
        take_some ();
}

static void cap_some (void)
{
    if (agent.capped)
        submit ((pxi_command){.kind = PXI_CMD_CAP, .branch = agent.capped});
    agent.capped = agent.n_held ? agent.held[0].branch : 0;
    if (agent.capped)
        submit ((pxi_command){.kind = PXI_CMD_CAP, .branch = agent.capped, .flag = true});
}

static void start_run (void)
{
    uint64_t run = ++agent.n_runs;
    uint64_t node = (mix (run) & ~UINT64_C (255)) | DEPTH;
    agent.nodes[run] = node;
    agent.n_running++;
    submit ((pxi_command){.kind = PXI_CMD_RUN,
                          .run = run,
                          .attempt = 1,
                          .task = GROW,
                          .input = pxi_bytes_copy (&node, sizeof node)});
}

static void stop_one (void)
{
    uint64_t run = agent.n_runs - pxi_prng_between (&agent.chance, 0, AT_ONCE);
    if (run - 1 >= agent.n_runs || run % 3 || agent.stopped[run])
        return; /* two of three are let be */
    agent.stopped[run] = true;
    submit ((pxi_command){.kind = PXI_CMD_STOP, .run = run});
}

static void finished (const pxi_notice *notice)
{
    agent.n_running--;
    if (notice->result == PXI_RESULT_OK) {
        uint64_t sum;
        CHECK (pxi_bytes_size (notice->outcome.value) == sizeof sum);
        memcpy (&sum, pxi_bytes_data (notice->outcome.value), sizeof sum);
        CHECK (sum == serial (agent.nodes[notice->run]));
        agent.n_right++;
    } else {
        CHECK (notice->result == PXI_RESULT_LOST && agent.stopped[notice->run]);
        agent.n_stopped++;
    }
    pxi_bytes_release (notice->outcome.value);
    pxi_bytes_release (notice->outcome.chain);
}

/* The next notice. Meanwhile nothing is withheld: what the pool waits for may be held here. */
static pxi_notice next_notice (void)
{
    pthread_mutex_lock (&agent.lock);
    while (!agent.first) {
        if (agent.n_held || agent.use != PXI_RANK_YES) {
            pthread_mutex_unlock (&agent.lock);
            if (agent.n_held)
                let_go_one ();
            else
                say_who (PXI_RANK_YES);
            pthread_mutex_lock (&agent.lock);
        } else {
            pthread_cond_wait (&agent.came, &agent.lock);
        }
    }
    noted *one = agent.first;
    agent.first = one->next;
    if (!agent.first)
        agent.last = NULL;
    pthread_mutex_unlock (&agent.lock);
    pxi_notice notice = one->notice;
    free (one);
    return notice;
}

static void meddle (void)
{
    if (one_in (3))
        submit ((pxi_command){.kind = PXI_CMD_SLOTS,
                              .count = (uint32_t)pxi_prng_between (&agent.chance, 1, SLOTS)});
    if (one_in (5))
        cap_some ();
    if (one_in (4))
        say_who ((uint32_t)pxi_prng_between (&agent.chance, PXI_RANK_NO, PXI_RANK_YES));
    if (one_in (20))
        stop_one ();
    if (agent.n_held && one_in (2))
        let_go_one ();
    if (!agent.taking && one_in (2))
        take_some ();
}

/* Until the pool has closed. */
static void be_agent (void)
{
    bool closing = false;
    for (;;) {
        while (agent.n_runs < RUNS && agent.n_running < AT_ONCE)
            start_run ();
        if (!agent.n_running && !closing) {
            closing = true;
            submit ((pxi_command){.kind = PXI_CMD_CLOSE});
        }
        pxi_notice notice = next_notice ();
        if (notice.kind == PXI_NOTE_CLOSED)
            return;
        if (notice.kind == PXI_NOTE_TAKEN)
            taken (&notice);
        if (notice.kind == PXI_NOTE_FINISHED)
            finished (&notice);
        if (notice.kind == PXI_NOTE_DEVICE_WRONG) {
            CHECK (notice.peer == HERE && notice.device == NONSENSE && notice.task == CELLS);
            agent.n_wrong++;
        }
        if (notice.kind == PXI_NOTE_SURPLUS && !agent.taking && !closing)
            take_some ();
        free (notice.taken);
        free (notice.inputs);
        free (notice.shared);
        if (!closing)
            meddle ();
    }
}

int main (void)
{
    static const char *const names[] = {"grow", "waste", "cells"};
    const void *functions[] = {(const void *)(uintptr_t)px_whole_grow,
                               (const void *)(uintptr_t)px_whole_waste,
                               (const void *)(uintptr_t)cells};
    const pxi_executor_config config = {.peer_name = "here",
                                        .peer_id = HERE,
                                        .module_name = "storm",
                                        .task_names = names,
                                        .task_functions = functions,
                                        .n_tasks = 3,
                                        .slots = SLOTS,
                                        .stack_size = 65536,
                                        .input_size_max = 1 << 16,
                                        .result_size_max = 1 << 16,
                                        .branch_number = 16,
                                        .devices = true,
                                        .notify = notified};
    pxi_prng_init (&agent.chance, 7);
    CHECK (pxi_pool_new (&config, &agent.pool) == (int)PX_OK);
    submit ((pxi_command){.kind = PXI_CMD_SLOTS, .count = SLOTS});
    be_agent ();
    agent.pool->ops->destroy (&agent.pool);
    printf ("%llu runs right, %llu stopped; %llu subtasks completed from outside, %llu of them "
            "chunks, %llu given back; "
            "%llu times a device was wrong\n",
            (unsigned long long)agent.n_right, (unsigned long long)agent.n_stopped,
            (unsigned long long)agent.n_completed, (unsigned long long)agent.n_chunks,
            (unsigned long long)agent.n_given_back, (unsigned long long)agent.n_wrong);
    return agent.n_right + agent.n_stopped == RUNS && agent.n_right >= RUNS / 2 &&
                   agent.n_completed && agent.n_given_back && agent.n_chunks && agent.n_wrong
               ? 0
               : 1;
}
