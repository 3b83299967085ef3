/* What is spawned and synced, in a pool with the test as its agent. */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "exec_rig.h"
#include "wire/chain.h"

/* ---- tasks ------------------------------------------------------------------------------------ */

typedef struct large {
    uint64_t words[40];
} large;

PX_TYPED_TASK (twice, uint64_t, uint64_t)
PX_TYPED_TASK (fib, uint64_t, uint64_t)
PX_TYPED_TASK (chain, uint64_t, uint64_t)
PX_TYPED_TASK (wide, uint64_t, uint64_t)
PX_TYPED_TASK (mirror, large, large)
PX_TYPED_TASK (mirrors, uint64_t, uint64_t)
PX_TYPED_TASK (bad, uint64_t, uint64_t)
PX_TYPED_TASK (worse, uint64_t, uint64_t)
PX_TYPED_TASK (worst, uint64_t, uint64_t)
PX_TYPED_TASK (recovers, uint64_t, uint64_t)
PX_TYPED_TASK (misuse, uint64_t, uint64_t)
PX_TYPED_TASK (sync_of, uint64_t, uint64_t)
PX_TYPED_TASK (until_cancelled, uint64_t, uint64_t)
PX_TYPED_TASK (leaves_behind, uint64_t, uint64_t)
PX_TYPED_TASK (mixed, uint64_t, uint64_t)
PX_TYPED_TASK (sleeps, uint64_t, uint64_t)

static px_err twice (px_task *task, const uint64_t *n, uint64_t *result)
{
    *result = 2 * *n;
    return PX_OK;
}

static px_err fib (px_task *task, const uint64_t *n, uint64_t *result)
{
    uint64_t less = *n - 1, rest = *n - 2, more;
    px_subtask subtask;
    *result = *n;
    if (*n < 2)
        return PX_OK;
    px_err err = px_spawn (task, &fib_task, &less, &subtask);
    if (err == PX_OK)
        err = fib (task, &rest, result);
    if (err == PX_OK)
        err = px_sync (task, &subtask, &more);
    *result += err == PX_OK ? more : 0;
    return err;
}

/* n levels of one subtask each. */
static px_err chain (px_task *task, const uint64_t *n, uint64_t *result)
{
    uint64_t below = *n - 1;
    px_subtask subtask;
    *result = 0;
    if (*n == 0)
        return PX_OK;
    px_err err = px_spawn (task, &chain_task, &below, &subtask);
    if (err == PX_OK)
        err = px_sync (task, &subtask, result);
    *result += 1;
    return err;
}

/* The task holds its slot, and so what it spawned, until the test lets go. */
static _Atomic bool let_go = true;

static void hold (const px_task *task)
{
    while (!atomic_load (&let_go) && !px_task_cancelled (task))
        sched_yield ();
}

/* n at once, synced newest first: the sum of their results, if each is its own. */
static px_err wide (px_task *task, const uint64_t *n, uint64_t *result)
{
    px_subtask *subtasks = calloc (*n, sizeof *subtasks);
    px_err err = PX_OK;
    *result = 0;
    for (uint64_t i = 0; i < *n && err == PX_OK; i++)
        err = px_spawn (task, &twice_task, &i, &subtasks[i]);
    hold (task);
    for (uint64_t i = *n; i-- > 0 && err == PX_OK;) {
        uint64_t doubled;
        err = px_sync (task, &subtasks[i], &doubled);
        if (err == PX_OK && doubled != 2 * i)
            err = px_task_fail (task, "subtask %llu gave another's result", (unsigned long long)i);
        *result += err == PX_OK ? doubled : 0;
    }
    free (subtasks);
    return err;
}

static px_err mirror (px_task *task, const large *input, large *result)
{
    for (size_t i = 0; i < 40; i++)
        result->words[i] = input->words[39 - i];
    return PX_OK;
}

/* Inputs and results that are not inline. */
static px_err mirrors (px_task *task, const uint64_t *n, uint64_t *result)
{
    px_subtask subtasks[20];
    large value;
    *result = 0;
    for (uint64_t i = 0; i < 20; i++) {
        for (uint64_t j = 0; j < 40; j++)
            value.words[j] = i * 100 + j;
        px_err err = px_spawn (task, &mirror_task, &value, &subtasks[i]);
        if (err != PX_OK)
            return err;
    }
    hold (task);
    for (uint64_t i = 20; i-- > 0;) {
        px_err err = px_sync (task, &subtasks[i], &value);
        if (err != PX_OK)
            return err;
        for (uint64_t j = 0; j < 40; j++)
            *result += value.words[j] == i * 100 + 39 - j;
    }
    return PX_OK;
}

static px_err bad (px_task *task, const uint64_t *n, uint64_t *result)
{
    return px_task_fail (task, "bad %llu", (unsigned long long)*n);
}

/* Three subtasks, the oldest and the newest of which fail; the first error is what it returns. */
static px_err worse (px_task *task, const uint64_t *n, uint64_t *result)
{
    px_subtask subtasks[3];
    px_err first = PX_OK;
    for (uint64_t i = 0; i < 3; i++)
        px_spawn (task, i == 1 ? &twice_task : &bad_task, &i, &subtasks[i]);
    for (int i = 3; i-- > 0;) {
        px_err err = px_sync (task, &subtasks[i], result);
        first = first != PX_OK ? first : err;
    }
    return first;
}

static px_err worst (px_task *task, const uint64_t *n, uint64_t *result)
{
    px_subtask subtask;
    px_spawn (task, &worse_task, n, &subtask);
    return px_sync (task, &subtask, result);
}

/* A failure that is dealt with leaves no trace. */
static px_err recovers (px_task *task, const uint64_t *n, uint64_t *result)
{
    px_subtask subtask;
    px_spawn (task, &worst_task, n, &subtask);
    if (px_sync (task, &subtask, result) != PX_EFAILED)
        return px_task_fail (task, "it should have failed");
    px_spawn (task, &twice_task, n, &subtask);
    return px_sync (task, &subtask, result);
}

/* Syncs the handle at this address: an old one, which looks like that of this very task. */
static px_err sync_of (px_task *task, const uint64_t *address, uint64_t *result)
{
    px_subtask copy = *(const px_subtask *)(uintptr_t)*address;
    *result = px_sync (task, &copy, result);
    return PX_OK;
}

static px_err misuse (px_task *task, const uint64_t *n, uint64_t *result)
{
    static const px_typed_task huge = {NULL, NULL, "huge", (1 << 20) + 1, 8};
    px_subtask older = {NULL}, newer = {NULL}, copy = {NULL};
    uint64_t doubled = 0, address = (uint64_t)(uintptr_t)&copy;
    bool right = px_sync (task, &older, &doubled) == PX_ESTALE;
    right = right && px_spawn (task, &twice_task, n, &older) == PX_OK;
    copy = older;
    right = right && px_sync (task, &older, &doubled) == PX_OK;
    right = right && px_spawn (task, &sync_of_task, &address, &older) == PX_OK;
    right = right && px_sync (task, &older, &doubled) == PX_OK && doubled == PX_ESTALE;
    right = right && px_spawn (task, &twice_task, n, &older) == PX_OK;
    right = right && px_spawn (task, &twice_task, n, &newer) == PX_OK;
    copy = newer;
    right = right && px_sync (task, &older, &doubled) == PX_ESTATE;
    right = right && px_sync (task, &newer, &doubled) == PX_OK && doubled == 2 * *n;
    right = right && px_sync (task, &newer, &doubled) == PX_ESTALE;
    right = right && px_sync (task, &copy, &doubled) == PX_ESTALE;
    right = right && px_sync (task, &older, &doubled) == PX_OK && doubled == 2 * *n;
    right = right && px_spawn (task, &huge, task, &older) == PX_ETOOBIG;
    *result = doubled;
    return right ? PX_OK : px_task_fail (task, "a misuse was not told");
}

static _Atomic uint32_t n_cancelled;

static px_err until_cancelled (px_task *task, const uint64_t *n, uint64_t *result)
{
    while (!px_task_cancelled (task))
        sched_yield ();
    atomic_fetch_add (&n_cancelled, 1);
    return PX_OK;
}

/* Returns while what it spawned waits, or runs at others until it is cancelled. */
static px_err leaves_behind (px_task *task, const uint64_t *n, uint64_t *result)
{
    px_subtask subtask;
    px_err err = PX_OK;
    *result = *n;
    for (uint64_t i = 0; i < *n && err == PX_OK; i++)
        err = px_spawn (task, i % 2 ? &twice_task : &until_cancelled_task, &i, &subtask);
    hold (task);
    return err;
}

static px_err whole_twice (px_task *task, const void *input, size_t input_size)
{
    return px_whole_twice (task, input, input_size);
}

/* Spawned subtasks below, among and above those of a branch. */
static px_err mixed (px_task *task, const uint64_t *n, uint64_t *result)
{
    px_subtask older, newer;
    px_branch branch;
    px_outcome outcome;
    uint64_t doubled;
    *result = 0;
    px_err err = px_spawn (task, &fib_task, n, &older);
    if (err == PX_OK)
        err = px_branch_open (task, "spawn.mixed", NULL, &branch);
    for (uint64_t i = 0; i < 10 && err == PX_OK; i++)
        err = px_branch_add (branch, whole_twice, &i, sizeof i);
    if (err == PX_OK)
        err = px_spawn (task, &twice_task, n, &newer);
    if (err == PX_OK)
        err = px_branch_join (branch);
    for (uint64_t i = 0; i < 10 && err == PX_OK; i++) {
        err = px_branch_result (branch, i, &outcome);
        *result += err == PX_OK ? number_in (outcome.bytes) : 0;
    }
    if (err == PX_OK && (err = px_sync (task, &newer, &doubled)) == PX_OK)
        *result += doubled;
    if (err == PX_OK && (err = px_sync (task, &older, &doubled)) == PX_OK)
        *result += doubled;
    return err;
}

/* It sleeps with a subtask spawned: it may go on in another thread. */
static px_err sleeps (px_task *task, const uint64_t *n, uint64_t *result)
{
    px_subtask subtask;
    uint64_t less = *n - 1;
    *result = 1;
    if (*n == 0)
        return PX_OK;
    px_err err = px_spawn (task, &sleeps_task, &less, &subtask);
    if (err == PX_OK)
        err = px_task_sleep (task, 1000000);
    if (err == PX_OK)
        err = px_sync (task, &subtask, result);
    *result += 1;
    return err;
}

static const char *const NAMES[] = {
    "sync_of",  "twice",         "fib",   "chain",  "wide",       "mirror",
    "worse",    "mirrors",       "bad",   "worst",  "misuse",     "until_cancelled",
    "recovers", "leaves_behind", "mixed", "sleeps", "whole_twice"};
static px_task_fn *const FUNCTIONS[] = {
    px_whole_sync_of,  px_whole_twice,         px_whole_fib,    px_whole_chain,
    px_whole_wide,     px_whole_mirror,        px_whole_worse,  px_whole_mirrors,
    px_whole_bad,      px_whole_worst,         px_whole_misuse, px_whole_until_cancelled,
    px_whole_recovers, px_whole_leaves_behind, px_whole_mixed,  px_whole_sleeps,
    whole_twice};
enum {
    SYNC_OF,
    TWICE,
    FIB,
    CHAIN,
    WIDE,
    MIRROR,
    WORSE,
    MIRRORS,
    BAD,
    WORST,
    MISUSE,
    UNTIL_CANCELLED,
    RECOVERS,
    LEAVES_BEHIND,
    MIXED,
    SLEEPS,
    WHOLE_TWICE,
    N
};

static struct rig_tasks rig_tasks (void)
{
    return (struct rig_tasks){NAMES, FUNCTIONS, N};
}

/* ---- what it must do -------------------------------------------------------------------------- */

Test (spawn, every_subtask_gives_its_own_result_on_any_number_of_slots)
{
    for (uint32_t slots = 1; slots <= 4; slots++) {
        struct rig *rig = rig_new (slots, 65536);
        cr_assert_eq (run (rig, FIB, 18), 2584);
        cr_assert_eq (run (rig, WIDE, 3000), UINT64_C (8997000));
        cr_assert_eq (run (rig, MIRRORS, 0), 800);
        cr_assert_eq (run (rig, MIXED, 15), 90 + 30 + 610);
        cr_assert_eq (run (rig, MISUSE, 21), 42);
        cr_assert_eq (run (rig, RECOVERS, 21), 42);
        cr_assert_eq (run (rig, SLEEPS, 20), 21);
        rig_free (rig);
    }
}

Test (spawn, a_chain_of_10000_ends_on_one_slot)
{
    static const size_t stacks[] = {65536, 262144};
    for (size_t i = 0; i < 2; i++) {
        struct rig *rig = rig_new (1, stacks[i]);
        cr_assert_eq (run (rig, CHAIN, 10000), 10000);
        rig_free (rig);
    }
}

static void check_failure (const px_failure *failure, const char *task, uint32_t level,
                           uint64_t index, const char *message)
{
    cr_assert_str_eq (failure->task, task);
    cr_assert_str_eq (failure->message, message);
    cr_assert_eq (failure->level, level, "%s: level %u", task, failure->level);
    cr_assert_eq (failure->index, index, "%s: index %llu", task,
                  (unsigned long long)failure->index);
}

Test (spawn, a_failure_comes_with_all_its_causes_and_their_lines)
{
    for (uint32_t slots = 1; slots <= 3; slots++) {
        struct rig *rig = rig_new (slots, 65536);
        start (rig, WORST, 0);
        pxi_notice notice = wait_notice (rig, PXI_NOTE_FINISHED);
        pxi_chain chain;
        cr_assert_eq (notice.result, PXI_RESULT_FAILED);
        cr_assert_eq (pxi_chain_decode (notice.outcome.chain, &chain), PX_OK);
        cr_assert_eq (chain.n_failures, 4);
        check_failure (&chain.failures[0], "test.worst", 0, 0, "a subtask failed");
        check_failure (&chain.failures[1], "test.worse", 1, 0, "a subtask failed");
        check_failure (&chain.failures[2], "test.bad", 2, 2, "bad 2");
        check_failure (&chain.failures[3], "test.bad", 2, 0, "bad 0");
        cr_assert_gt (chain.failures[3].line, 0);
        pxi_chain_fini (&chain);
        release (&notice);
        rig_free (rig);
    }
}

Test (spawn, what_is_not_synced_is_cancelled_when_its_task_ends)
{
    for (uint32_t slots = 1; slots <= 3; slots++) {
        struct rig *rig = rig_new (slots, 65536);
        for (uint64_t n = 1; n <= 50; n += 7)
            cr_assert_eq (run (rig, LEAVES_BEHIND, n), n);
        cr_assert_eq (run (rig, FIB, 10), 55, "and the next run is not");
        rig_free (rig);
    }
}

Test (spawn, a_stopped_run_ends_with_what_it_spawned)
{
    struct rig *rig = rig_new (2, 65536);
    atomic_store (&let_go, false);
    start (rig, LEAVES_BEHIND, 9);
    submit (rig, (pxi_command){.kind = PXI_CMD_STOP, .run = rig->runs});
    pxi_notice notice = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (notice.result, PXI_RESULT_LOST);
    release (&notice);
    rig_free (rig);
}

/* With one slot, which the root holds, nobody else takes its subtasks. */
static struct rig *rig_with_surplus (uint32_t task, uint64_t number, const char *stays)
{
    struct rig *rig = rig_new_with (1, 65536, stays);
    atomic_store (&let_go, false);
    start (rig, task, number);
    pxi_notice surplus = wait_notice (rig, PXI_NOTE_SURPLUS);
    release (&surplus);
    return rig;
}

static pxi_notice take (struct rig *rig, uint64_t token, uint32_t count)
{
    submit (rig, (pxi_command){.kind = PXI_CMD_TAKE, .token = token, .count = count});
    pxi_notice taken = wait_notice (rig, PXI_NOTE_TAKEN);
    cr_assert_eq (taken.token, token);
    return taken;
}

/* Until as many as asked for are there: the root is still spawning. */
static pxi_notice take_all (struct rig *rig, uint32_t count)
{
    pxi_notice taken = {0};
    for (uint64_t token = 1; taken.n_taken < count; token++) {
        pxi_notice more = take (rig, token, count - taken.n_taken);
        taken.taken = realloc (taken.taken, (taken.n_taken + more.n_taken) * sizeof *taken.taken);
        taken.inputs =
            realloc (taken.inputs, (taken.n_taken + more.n_taken) * sizeof (pxi_bytes *));
        for (uint32_t i = 0; i < more.n_taken; i++) {
            taken.inputs[taken.n_taken] = pxi_bytes_acquire (more.inputs[i]);
            taken.taken[taken.n_taken++] = more.taken[i];
        }
        release (&more);
    }
    return taken;
}

static void complete (struct rig *rig, const pxi_taken *taken, const void *bytes, size_t size)
{
    submit (rig, (pxi_command){.kind = PXI_CMD_COMPLETE,
                               .subtask = taken->subtask,
                               .attempts = 1,
                               .outcome.value = pxi_bytes_copy (bytes, size)});
}

Test (spawn, what_is_taken_comes_back_or_is_completed_once)
{
    struct rig *rig = rig_with_surplus (WIDE, 3000, NULL);
    pxi_notice taken = take_all (rig, 40);
    for (uint32_t i = 0; i < 40; i++) {
        uint64_t n = number_in (pxi_bytes_data (taken.inputs[i])), doubled = 2 * n;
        cr_assert_eq (n, i, "the oldest first");
        cr_assert_eq (taken.taken[i].attempt.task, TWICE);
        cr_assert_eq (taken.taken[i].branch, taken.taken[0].branch, "one branch of its task");
        if (i % 2)
            submit (rig, (pxi_command){.kind = PXI_CMD_GIVE_BACK,
                                       .subtask = taken.taken[i].subtask,
                                       .attempts = 1});
        else
            complete (rig, &taken.taken[i], &doubled, sizeof doubled);
        complete (rig, &taken.taken[0], &doubled, sizeof doubled); /* dropped, but for the first */
    }
    atomic_store (&let_go, true);
    pxi_notice closed = wait_notice (rig, PXI_NOTE_BRANCH_CLOSED);
    cr_assert_eq (closed.branch, taken.taken[0].branch);
    pxi_notice finished = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (finished.outcome.code, PX_OK);
    cr_assert_eq (number_in (pxi_bytes_data (finished.outcome.value)), UINT64_C (8997000));
    release (&taken);
    release (&finished);
    rig_free (rig);
}

Test (spawn, large_values_come_back_whole)
{
    struct rig *rig = rig_with_surplus (MIRRORS, 0, NULL);
    pxi_notice taken = take_all (rig, 20);
    for (uint32_t i = 0; i < 20; i++) {
        const large *input = pxi_bytes_data (taken.inputs[i]);
        large mirrored;
        cr_assert_eq (pxi_bytes_size (taken.inputs[i]), sizeof mirrored);
        for (size_t j = 0; j < 40; j++)
            mirrored.words[j] = input->words[39 - j];
        complete (rig, &taken.taken[i], &mirrored, sizeof mirrored);
    }
    atomic_store (&let_go, true);
    pxi_notice finished = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (finished.outcome.code, PX_OK);
    cr_assert_eq (number_in (pxi_bytes_data (finished.outcome.value)), 800);
    release (&taken);
    release (&finished);
    rig_free (rig);
}

Test (spawn, a_result_of_another_size_is_a_failure)
{
    struct rig *rig = rig_with_surplus (WIDE, 10, NULL);
    pxi_notice taken = take_all (rig, 10);
    uint64_t numbers[2] = {0};
    for (uint32_t i = 0; i < 10; i++)
        complete (rig, &taken.taken[i], numbers, i == 4 ? sizeof numbers : sizeof numbers[0]);
    atomic_store (&let_go, true);
    pxi_notice finished = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (finished.outcome.code, PX_EFAILED);
    release (&taken);
    release (&finished);
    rig_free (rig);
}

Test (spawn, what_is_away_and_not_wanted_is_withdrawn)
{
    struct rig *rig = rig_with_surplus (LEAVES_BEHIND, 5, NULL);
    pxi_notice taken = take_all (rig, 3);
    atomic_store (&let_go, true);
    pxi_notice closed = wait_notice (rig, PXI_NOTE_BRANCH_CLOSED);
    cr_assert_eq (closed.branch, taken.taken[0].branch);
    pxi_notice finished = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (finished.outcome.code, PX_OK);
    complete (rig, &taken.taken[0], "too late", 8);
    release (&taken);
    release (&finished);
    rig_free (rig);
}

Test (spawn, a_branch_point_of_number_0_and_a_cap_keep_it_here)
{
    struct rig *rig = rig_with_surplus (WIDE, 100, "test.twice");
    for (uint64_t token = 1; token <= 3; token++) {
        pxi_notice taken = take (rig, token, 32);
        cr_assert_eq (taken.n_taken, 0);
        release (&taken);
    }
    atomic_store (&let_go, true);
    pxi_notice finished = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (finished.outcome.code, PX_OK);
    release (&finished);
    rig_free (rig);

    rig = rig_with_surplus (WIDE, 100, "test.other");
    pxi_notice first = take_all (rig, 1);
    pxi_command cap = {.kind = PXI_CMD_CAP, .branch = first.taken[0].branch, .flag = true};
    submit (rig, cap);
    pxi_notice none = take (rig, 99, 5);
    cr_assert_eq (none.n_taken, 0);
    cap.flag = false;
    cap.count = 16; /* as it was */
    submit (rig, cap);
    pxi_notice more = take_all (rig, 5);
    const uint32_t in_force[] = {9, 40, 30};
    for (size_t i = 0; i < 3; i++) {
        cap.count = in_force[i];
        submit (rig, cap);
    }
    for (uint32_t i = 0; i < 5; i++)
        submit (rig, (pxi_command){.kind = PXI_CMD_GIVE_BACK, .subtask = more.taken[i].subtask});
    submit (rig, (pxi_command){.kind = PXI_CMD_GIVE_BACK, .subtask = first.taken[0].subtask});
    atomic_store (&let_go, true);
    finished = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (finished.outcome.code, PX_OK);
    cr_assert_eq (number_in (pxi_bytes_data (finished.outcome.value)), 9900);
    pxi_chain chain;
    cr_assert_eq (pxi_chain_decode (finished.outcome.chain, &chain), PX_OK);
    cr_assert_eq (chain.n_points, 1);
    cr_expect (chain.points[0].number == 16 && chain.points[0].least == 9);
    cr_expect (chain.points[0].most == 40 && chain.points[0].last == 30);
    pxi_chain_fini (&chain);
    release (&first);
    release (&none);
    release (&more);
    release (&finished);
    rig_free (rig);
}
