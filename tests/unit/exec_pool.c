/* The pool, with the test as its agent: commands go in, notices are waited for. */
#include <criterion/criterion.h>
#include <peerexec/branch.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "exec_rig.h"
#include "wire/chain.h"

/* ---- tasks ------------------------------------------------------------------------------------ */

static px_err double_it (px_task *task, const void *input, size_t input_size)
{
    uint64_t doubled = 2 * number_in (input);
    return px_task_return (task, &doubled, sizeof doubled);
}

/* n levels of one subtask each; returns n. */
static px_err chain (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = number_in (input), below = n - 1;
    px_branch branch;
    px_outcome outcome;
    if (n == 0)
        return px_task_return (task, &n, sizeof n);
    px_err err = px_branch_open (task, "test.chain", NULL, &branch);
    if (err == PX_OK)
        err = px_branch_add (branch, chain, &below, sizeof below);
    if (err == PX_OK)
        err = px_branch_join (branch);
    if (err == PX_OK)
        err = px_branch_result (branch, 0, &outcome);
    if (err != PX_OK)
        return err;
    n = number_in (outcome.bytes) + 1;
    return px_task_return (task, &n, sizeof n);
}

/* The root holds its slot, and so its subtasks, until the test lets go. */
static _Atomic bool let_go = true;

/* Adds n subtasks, joins, returns the sum of the results if they come in order. */
static px_err loop (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = number_in (input), sum = 0;
    px_branch branch;
    px_outcome outcome;
    px_branch_open (task, "test.loop", NULL, &branch);
    for (uint64_t i = 0; i < n; i++)
        px_branch_add (branch, double_it, &i, sizeof i);
    while (!atomic_load (&let_go))
        sched_yield ();
    px_err err = px_branch_join (branch);
    for (uint64_t i = 0; err == PX_OK && i < n; i++) {
        err = px_branch_result (branch, i, &outcome);
        if (err == PX_OK && number_in (outcome.bytes) != 2 * i)
            return px_task_fail (task, "result %llu is out of order", (unsigned long long)i);
        sum += err == PX_OK ? number_in (outcome.bytes) : 0;
    }
    px_branch_close (branch);
    if (px_branch_join (branch) != PX_ESTALE)
        return px_task_fail (task, "a closed branch is stale");
    return err != PX_OK ? err : px_task_return (task, &sum, sizeof sum);
}

static px_err local_loop (px_task *task, const void *input, size_t input_size)
{
    px_branch branch;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.number = 0;
    px_branch_open (task, "test.local", &options, &branch);
    for (uint64_t i = 0; i < 100; i++)
        px_branch_add (branch, double_it, &i, sizeof i);
    while (!atomic_load (&let_go))
        sched_yield ();
    return px_branch_join (branch);
}

/* Every subtask sees the bytes that its branch was opened with, at one place. */
static px_err reads_shared (px_task *task, const void *input, size_t input_size)
{
    size_t size;
    const char *shared = px_task_shared (task, &size);
    if (size != 3000 || (uintptr_t)shared % 16 || shared[0] != 7 || shared[2999] != 7)
        return px_task_fail (task, "%zu shared bytes", size);
    uint64_t place = (uintptr_t)shared;
    return px_task_return (task, &place, sizeof place);
}

static px_err same_place (void *context, uint64_t index, const px_outcome *outcome)
{
    uint64_t *place = context, one = outcome->code == PX_OK ? number_in (outcome->bytes) : 1;
    if (!*place)
        *place = one;
    return *place == one ? PX_OK : PX_EFAILED;
}

static px_err hands_on (px_task *task, const void *input, size_t input_size)
{
    size_t size;
    const void *shared = px_task_shared (task, &size);
    uint64_t place = 0;
    px_err err = px_for (task, "test.on", 0, 3, 1, reads_shared, shared, size, same_place, &place);
    if (err == PX_OK && place != (uintptr_t)shared)
        return px_task_fail (task, "it was copied");
    return err != PX_OK ? err : px_task_return (task, &place, sizeof place);
}

/* The input says how many subtasks, which wait for the test to let go. */
static px_err shares (px_task *task, const void *input, size_t input_size)
{
    char bytes[3000];
    uint64_t n = number_in (input), place = 0;
    px_branch branch;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    memset (bytes, 7, sizeof bytes);
    options.react = same_place;
    options.react_context = &place;
    options.shared = bytes;
    options.shared_size = (2 << 20);
    if (px_task_shared (task, NULL) ||
        px_branch_open (task, "test.large", &options, &branch) != PX_ETOOBIG)
        return px_task_fail (task, "a root has none, and 2 MiB are too many here");
    options.shared_size = sizeof bytes;
    px_err err = px_branch_open (task, "test.shares", &options, &branch);
    memset (bytes, 8, sizeof bytes);
    for (uint64_t i = 0; err == PX_OK && i < n; i++)
        err = px_branch_add (branch, i ? reads_shared : hands_on, NULL, 0);
    while (!atomic_load (&let_go))
        sched_yield ();
    err = err == PX_OK ? px_branch_join (branch) : err;
    return err != PX_OK ? err : px_branch_close (branch);
}

struct fold {
    uint64_t n, sum;
    bool busy, nested;
};

static px_err fold_one (void *context, uint64_t index, const px_outcome *outcome)
{
    struct fold *fold = context;
    fold->nested |= fold->busy;
    fold->busy = true;
    fold->n++;
    fold->sum += number_in (outcome->bytes);
    fold->busy = false;
    return PX_OK;
}

static px_err folds (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = number_in (input);
    struct fold fold = {0};
    px_branch branch;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.react = fold_one;
    options.react_context = &fold;
    px_branch_open (task, "test.fold", &options, &branch);
    for (uint64_t i = 0; i < n; i++)
        px_branch_add (branch, double_it, &i, sizeof i);
    px_err err = px_branch_join (branch);
    if (err != PX_OK || fold.nested || fold.n != n)
        return px_task_fail (task, "%llu of %llu reactions", (unsigned long long)fold.n,
                             (unsigned long long)n);
    return px_task_return (task, &fold.sum, sizeof fold.sum);
}

/* Takes outcomes as they come; each index once. */
static px_err nexts (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = number_in (input), sum = 0, seen = 0, index;
    px_branch branch;
    px_outcome outcome;
    px_branch_open (task, "test.next", NULL, &branch);
    for (uint64_t i = 0; i < n; i++)
        px_branch_add (branch, double_it, &i, sizeof i);
    px_err err;
    while ((err = px_branch_next (branch, &index, &outcome)) == PX_OK) {
        if (number_in (outcome.bytes) != 2 * index)
            return px_task_fail (task, "another's result");
        sum += number_in (outcome.bytes);
        seen++;
    }
    if (err != PX_EEND || seen != n)
        return px_task_fail (task, "%llu seen", (unsigned long long)seen);
    return px_task_return (task, &sum, sizeof sum);
}

static px_err bad (px_task *task, const void *input, size_t input_size)
{
    return px_task_fail (task, "bad %d", 7);
}

static px_err fails (px_task *task, const void *input, size_t input_size)
{
    px_branch branch;
    px_branch_open (task, "test.fails", NULL, &branch);
    for (int i = 0; i < 3; i++)
        px_branch_add (branch, i == 1 ? double_it : bad, "12345678", 8);
    return px_branch_join (branch);
}

static px_err sleeps (px_task *task, const void *input, size_t input_size)
{
    return px_task_sleep (task, UINT64_C (3600000000000));
}

static px_err nap (px_task *task, const void *input, size_t input_size)
{
    return px_task_sleep (task, 20000000);
}

static px_err naps (px_task *task, const void *input, size_t input_size)
{
    px_branch branch;
    px_branch_open (task, "test.naps", NULL, &branch);
    for (int i = 0; i < 50; i++)
        px_branch_add (branch, nap, NULL, 0);
    return px_branch_join (branch);
}

static px_err stray (px_task *task, const void *input, size_t input_size)
{
    return PX_OK;
}

static px_err misuse (px_task *task, const void *input, size_t input_size)
{
    px_branch branch, none = {0};
    px_outcome outcome;
    px_branch_open (task, "test.misuse", NULL, &branch);
    bool right = px_branch_add (branch, stray, NULL, 0) == PX_ENOTASK;
    right = right && px_branch_add (branch, bad, NULL, 8) == PX_EINVAL;
    right = right && px_branch_result (branch, 0, &outcome) == PX_EINVAL;
    right = right && px_branch_next (branch, NULL, &outcome) == PX_EEND;
    right = right && px_branch_join (none) == PX_ESTALE && px_branch_join (branch) == PX_OK;
    right = right && px_branch_add (branch, nap, NULL, 0) == PX_OK; /* left open: cancelled */
    return right ? PX_OK : px_task_fail (task, "a misuse was not told");
}

static const char *const NAMES[] = {"double_it", "chain",  "loop",         "local_loop", "folds",
                                    "nexts",     "bad",    "fails",        "sleeps",     "nap",
                                    "naps",      "misuse", "reads_shared", "hands_on",   "shares"};
static px_task_fn *const FUNCTIONS[] = {double_it, chain,  loop,         local_loop, folds,
                                        nexts,     bad,    fails,        sleeps,     nap,
                                        naps,      misuse, reads_shared, hands_on,   shares};
enum {
    DOUBLE_IT,
    CHAIN,
    LOOP,
    LOCAL_LOOP,
    FOLDS,
    NEXTS,
    BAD,
    FAILS,
    SLEEPS,
    NAP,
    NAPS,
    MISUSE,
    READS_SHARED,
    HANDS_ON,
    SHARES,
    N
};

static struct rig_tasks rig_tasks (void)
{
    return (struct rig_tasks){NAMES, FUNCTIONS, N};
}

/* ---- what it must do -------------------------------------------------------------------------- */

Test (exec, a_chain_of_10000_nested_branches_ends_on_one_slot)
{
    static const size_t stacks[] = {65536, 262144};
    for (size_t i = 0; i < 2; i++) {
        struct rig *rig = rig_new (1, stacks[i]);
        cr_assert_eq (run (rig, CHAIN, 10000), 10000);
        rig_free (rig);
    }
}

Test (exec, every_way_to_take_results_gives_each_once)
{
    for (uint32_t slots = 1; slots <= 3; slots++) {
        struct rig *rig = rig_new (slots, 65536);
        cr_assert_eq (run (rig, LOOP, 1000), 999000);
        cr_assert_eq (run (rig, NEXTS, 1000), 999000);
        cr_assert_eq (run (rig, FOLDS, 100000), UINT64_C (9999900000));
        cr_assert_eq (run (rig, MISUSE, 0), 0);
        cr_assert_eq (run (rig, SHARES, 1000), 0);
        rig_free (rig);
    }
}

Test (exec, a_failure_comes_with_all_its_causes_and_their_lines)
{
    struct rig *rig = rig_new (2, 65536);
    start (rig, FAILS, 0);
    pxi_notice notice = wait_notice (rig, PXI_NOTE_FINISHED);
    pxi_chain chain;
    cr_assert_eq (notice.result, PXI_RESULT_FAILED);
    cr_assert_eq (pxi_chain_decode (notice.outcome.chain, &chain), PX_OK);
    cr_assert_eq (chain.n_failures, 3);
    cr_assert_str_eq (chain.failures[0].task, "test.fails");
    for (size_t i = 1; i < 3; i++) {
        cr_assert_eq (chain.failures[i].level, 1);
        cr_assert_str_eq (chain.failures[i].message, "bad 7");
        cr_assert_gt (chain.failures[i].line, 0);
    }
    cr_assert_eq (chain.failures[1].index + chain.failures[2].index, 2);
    pxi_chain_fini (&chain);
    release (&notice);
    rig_free (rig);
}

Test (exec, sleepers_hold_no_slot)
{
    struct rig *rig = rig_new (1, 65536);
    uint64_t began_ns = pxi_clock_ns ();
    run (rig, NAPS, 0);
    cr_assert_lt (pxi_clock_ns () - began_ns, UINT64_C (1000000000), "50 naps of 20 ms, one slot");
    rig_free (rig);
}

Test (exec, a_stopped_run_ends_and_is_lost_not_failed)
{
    struct rig *rig = rig_new (1, 65536);
    start (rig, SLEEPS, 0);
    submit (rig, (pxi_command){.kind = PXI_CMD_STOP, .run = rig->runs});
    pxi_notice notice = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (notice.result, PXI_RESULT_LOST);
    release (&notice);
    rig_free (rig);
}

Test (exec, closing_ends_what_runs)
{
    struct rig *rig = rig_new (2, 65536);
    start (rig, SLEEPS, 0);
    submit (rig, (pxi_command){.kind = PXI_CMD_CLOSE});
    pxi_notice notice = wait_notice (rig, PXI_NOTE_FINISHED);
    release (&notice);
    notice = wait_notice (rig, PXI_NOTE_CLOSED);
    rig->pool->ops->destroy (&rig->pool);
    free (rig);
    TEST_NO_LEAKS ();
}

static void finishes_well (struct rig *rig)
{
    pxi_notice finished = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (finished.outcome.code, PX_OK);
    release (&finished);
}

/* While the root holds the only slot nobody else takes its subtasks. */
static pxi_notice take_from (struct rig *rig, uint32_t root, uint64_t n, uint32_t count)
{
    atomic_store (&let_go, false);
    start (rig, root, n);
    pxi_notice surplus = wait_notice (rig, PXI_NOTE_SURPLUS);
    release (&surplus);
    submit (rig, (pxi_command){.kind = PXI_CMD_TAKE, .token = 5, .count = count});
    pxi_notice taken = wait_notice (rig, PXI_NOTE_TAKEN);
    atomic_store (&let_go, true);
    return taken;
}

static pxi_notice take_from_loop (struct rig *rig, uint32_t count)
{
    return take_from (rig, LOOP, 3000, count);
}

static void give_back (struct rig *rig, const pxi_notice *taken)
{
    for (uint32_t i = 0; i < taken->n_taken; i++)
        submit (rig, (pxi_command){.kind = PXI_CMD_GIVE_BACK,
                                   .subtask = taken->taken[i].subtask,
                                   .attempts = 1});
}

Test (exec, shared_bytes_are_handed_over_once_for_their_branch)
{
    struct rig *rig = rig_new (1, 65536);
    pxi_notice taken = take_from (rig, SHARES, 50, 4);
    cr_assert_geq (taken.n_taken, 1);
    cr_assert_eq (pxi_bytes_size (taken.shared[0]), 3000);
    for (uint32_t i = 0; i < taken.n_taken; i++) {
        cr_assert_eq (taken.taken[i].attempt.shared.size_bytes, 3000);
        cr_assert (!i || !taken.shared[i], "the receiver has them");
    }
    give_back (rig, &taken);
    release (&taken);
    finishes_well (rig);
    rig_free (rig);
}

Test (exec, a_run_from_elsewhere_sees_the_shared_bytes_that_came)
{
    struct rig *rig = rig_new (2, 65536);
    pxi_bytes *shared = pxi_bytes_new (3000);
    memset (pxi_bytes_data (shared), 7, 3000);
    submit (rig, (pxi_command){.kind = PXI_CMD_RUN,
                               .run = ++rig->runs,
                               .task = HANDS_ON,
                               .attempt = 1,
                               .shared = pxi_bytes_acquire (shared)});
    pxi_notice finished = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (finished.outcome.code, PX_OK);
    cr_assert_eq (number_in (pxi_bytes_data (finished.outcome.value)),
                  (uintptr_t)pxi_bytes_data (shared), "and not a copy of them");
    release (&finished);
    pxi_bytes_release (shared);
    rig_free (rig);
}

Test (exec, what_is_taken_comes_back_or_is_completed_once)
{
    struct rig *rig = rig_new (1, 65536);
    pxi_notice taken = take_from_loop (rig, 4);
    cr_assert_eq (taken.token, 5);
    cr_assert_geq (taken.n_taken, 1);
    uint64_t oldest = number_in (pxi_bytes_data (taken.inputs[0]));
    cr_assert_eq (oldest, 0, "the oldest first");
    for (uint32_t i = 0; i < taken.n_taken; i++) {
        uint64_t doubled = 2 * number_in (pxi_bytes_data (taken.inputs[i]));
        pxi_command command = {.kind = i % 2 ? PXI_CMD_GIVE_BACK : PXI_CMD_COMPLETE,
                               .subtask = taken.taken[i].subtask,
                               .attempts = 1};
        if (i % 2 == 0)
            command.outcome.value = pxi_bytes_copy (&doubled, sizeof doubled);
        submit (rig, command);
        /* The second outcome of the same subtask is dropped, whatever it says. */
        submit (rig, (pxi_command){.kind = PXI_CMD_COMPLETE,
                                   .subtask = taken.taken[0].subtask,
                                   .outcome = {.code = PX_EFAILED}});
    }
    pxi_notice finished = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (finished.outcome.code, PX_OK);
    cr_assert_eq (number_in (pxi_bytes_data (finished.outcome.value)), UINT64_C (8997000));
    release (&taken);
    release (&finished);
    rig_free (rig);
}

/* The job of the first may be forgotten when the second begins. */
Test (exec, a_run_after_the_last_says_again_that_subtasks_wait)
{
    struct rig *rig = rig_new (1, 65536);
    for (int i = 0; i < 3; i++) {
        atomic_store (&let_go, false);
        start (rig, LOOP, 3000);
        pxi_notice surplus = wait_notice (rig, PXI_NOTE_SURPLUS);
        cr_assert_geq (surplus.count, 1);
        release (&surplus);
        atomic_store (&let_go, true);
        finishes_well (rig);
    }
    rig_free (rig);
}

/* Who waits for a subtask that is away does it again only where nothing else is said to wait. */
Test (exec, a_pool_that_has_nothing_left_to_do_says_so)
{
    struct rig *rig = rig_new (1, 65536);
    pxi_notice taken = take_from_loop (rig, 1);
    cr_assert_eq (taken.n_taken, 1);
    pxi_notice active;
    do
        active = wait_notice (rig, PXI_NOTE_ACTIVE);
    while (active.count);
    cr_assert_eq (active.done, 1);
    give_back (rig, &taken);
    release (&taken);
    finishes_well (rig);
    rig_free (rig);
}

Test (exec, a_branch_of_number_0_is_never_handed_over)
{
    struct rig *rig = rig_new (1, 65536);
    atomic_store (&let_go, false);
    start (rig, LOCAL_LOOP, 0);
    pxi_notice surplus = wait_notice (rig, PXI_NOTE_SURPLUS);
    release (&surplus);
    for (uint64_t token = 1; token <= 3; token++) {
        submit (rig, (pxi_command){.kind = PXI_CMD_TAKE, .token = token, .count = 32});
        pxi_notice taken = wait_notice (rig, PXI_NOTE_TAKEN);
        cr_assert_eq (taken.n_taken, 0);
        release (&taken);
    }
    atomic_store (&let_go, true);
    finishes_well (rig);
    rig_free (rig);
}

Test (exec, nothing_executes_without_a_slot)
{
    struct rig *rig = rig_new (0, 65536);
    start (rig, LOOP, 10);
    pxi_notice active = wait_notice (rig, PXI_NOTE_ACTIVE);
    cr_assert_eq (active.count, 0);
    cr_assert_gt (active.wanted, 0, "it says that it could use one");
    submit (rig, (pxi_command){.kind = PXI_CMD_SLOTS, .count = 1});
    finishes_well (rig);
    rig_free (rig);
}
