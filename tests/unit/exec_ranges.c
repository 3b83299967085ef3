/* Ranges in a pool, whose agent is the test: it takes chunks for devices and for other peers, and does them, or
 * says that they did not, or does them wrong. */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/device.h>

#include "core/rank.h"
#include "device/range.h"
#include "exec_rig.h"
#include "wire/chain.h"

enum { ITEM = 4, HERE = 9, DEVICE = 1 }; /* indices of a work item; this peer's id */

/* ---- the task: squares, and their sum, folded in order ----------------------------------------- */

/* A part of the range: one behind the other, or it is not right. */
typedef struct part {
    uint64_t first, last, right, sum;
} part;

static void join_parts (void *total, const void *more, size_t size)
{
    part all, next;
    cr_assert_eq (size, sizeof all);
    memcpy (&all, total, sizeof all);
    memcpy (&next, more, sizeof next);
    all.right &= all.last == next.first;
    all.last = next.last;
    all.sum += next.sum;
    memcpy (total, &all, sizeof all);
}

static void squares_of (const uint32_t *x, uint64_t *y, uint32_t more, uint64_t begin, uint64_t n,
                        part *whole)
{
    *whole = (part){begin, begin + n, 1, 0};
    for (uint64_t i = 0; i < n; i++) {
        y[i] = (uint64_t)x[i] * x[i] + more;
        whole->sum += y[i];
    }
}

static _Atomic uint64_t n_in_c; /* indices */

static px_err squares_c (px_task *task, const px_chunk *chunk)
{
    const uint32_t *more = chunk->args[1];
    for (uint32_t i = 0; i < 4; i++) {
        if ((uintptr_t)chunk->args[i] % 16)
            return px_task_fail (task, "argument %u is not aligned", i);
    }
    if (chunk->sizes[0] != chunk->n * 4 || chunk->sizes[2] != chunk->n * 8)
        return px_task_fail (task, "slices of a wrong size");
    atomic_fetch_add (&n_in_c, chunk->n);
    squares_of (chunk->args[0], chunk->args[2], *more, chunk->begin, chunk->n, chunk->args[3]);
    return PX_OK;
}
static const px_arg squares_args[] = {
    PX_IN (uint32_t),
    PX_SHARED (uint32_t),
    PX_OUT (uint64_t),
    {PX_ARG_REDUCED, sizeof (part), 1, PX_NUMBER_BYTES, 0, 0, join_parts},
};
PX_RANGE_TASK (squares, squares_c, squares_args, "kernel void squares (...) {}", "squares", ITEM)

static const px_range_def squares_in_c = {sizeof (px_range_def),
                                          "squares",
                                          squares,
                                          squares_c,
                                          squares_args,
                                          4,
                                          NULL,
                                          NULL,
                                          "",
                                          ITEM,
                                          "",
                                          1};

/* How many are wrong. `offset` bytes before what is bound. */
static px_err squares_over (px_task *task, const px_range_def *def, uint64_t n, size_t offset,
                            uint64_t *n_wrong)
{
    char *x_bytes = malloc (n * 4 + 32), *y_bytes = malloc (n * 8 + 32);
    uint32_t *x = (uint32_t *)(void *)(x_bytes + offset), more = 5;
    uint64_t *y = (uint64_t *)(void *)(y_bytes + offset), begin = 100, sum = 0;
    part total = {begin, begin, 1, 0};
    for (uint64_t i = 0; i < n; i++)
        x[i] = (uint32_t)i * 3;
    px_bind binds[] = {PX_BIND_IN (x, n * 4), PX_BIND_IN (&more, 4), PX_BIND_OUT (y, n * 8),
                       PX_BIND_OUT (&total, sizeof total)};
    px_err err = px_range_branch (task, "test.squares", def, begin, begin + n, binds, 4, NULL);
    *n_wrong = 0;
    for (uint64_t i = 0; i < n && err == PX_OK; i++) {
        *n_wrong += y[i] != (uint64_t)x[i] * x[i] + 5;
        sum += (uint64_t)x[i] * x[i] + 5;
    }
    *n_wrong += !total.right + (total.last != begin + n) + (total.sum != sum);
    free (x_bytes);
    free (y_bytes);
    return err;
}

static px_err all_squares (px_task *task, const void *input, size_t input_size)
{
    uint64_t n_wrong;
    px_err err = squares_over (task, PX_RANGE (squares), number_in (input), 0, &n_wrong);
    return err != PX_OK ? err : px_task_return (task, &n_wrong, sizeof n_wrong);
}

static px_err askew (px_task *task, const void *input, size_t input_size)
{
    uint64_t n_wrong;
    px_err err = squares_over (task, &squares_in_c, number_in (input), 8, &n_wrong);
    return err != PX_OK ? err : px_task_return (task, &n_wrong, sizeof n_wrong);
}

/* ---- an input that is written to --------------------------------------------------------------- */

static px_err twice_c (px_task *task, const px_chunk *chunk)
{
    const uint64_t *x = chunk->args[0];
    uint64_t *y = chunk->args[1];
    for (uint64_t i = 0; i < chunk->n; i++)
        y[i] = x[i] + x[i / 2]; /* of which y may be the same memory */
    return PX_OK;
}
static const px_arg twice_args[] = {PX_IN (uint64_t), PX_OUT (uint64_t)};
PX_RANGE_TASK (twice, twice_c, twice_args, NULL, NULL, 1)

static px_err in_place (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = number_in (input), n_wrong = 0, *x = malloc (n * 8 + 8);
    for (uint64_t i = 0; i < n; i++)
        x[i] = 7;
    px_bind binds[] = {PX_BIND_IN (x, n * 8), PX_BIND_OUT (x, n * 8)};
    px_err err = px_range_branch (task, "test.twice", PX_RANGE (twice), 0, n, binds, 2, NULL);
    for (uint64_t i = 0; i < n; i++)
        n_wrong += x[i] != 14;
    free (x);
    return err != PX_OK ? err : px_task_return (task, &n_wrong, sizeof n_wrong);
}

/* ---- work items that take long ------------------------------------------------------------------- */

static px_err lasts_c (px_task *task, const px_chunk *chunk)
{
    px_err err = px_task_sleep (task, chunk->n * UINT64_C (25000000));
    memset (chunk->args[0], 1, chunk->n);
    return err;
}
static const px_arg lasts_args[] = {PX_OUT (char)};
PX_RANGE_TASK (lasts, lasts_c, lasts_args, NULL, NULL, 3)

static px_err all_last (px_task *task, const void *input, size_t input_size)
{
    char out[12] = {0};
    px_bind binds[] = {PX_BIND_OUT (out, sizeof out)};
    return px_range_branch (task, "test.lasts", PX_RANGE (lasts), 0, sizeof out, binds, 1, NULL);
}

/* ---- one that fails, and a branch that ends early ------------------------------------------------ */

static px_err fails_c (px_task *task, const px_chunk *chunk)
{
    return chunk->begin <= 50 && 50 < chunk->end ? px_task_fail (task, "not 50") : PX_OK;
}
static const px_arg fails_args[] = {PX_OUT (char)};
PX_RANGE_TASK (fails, fails_c, fails_args, NULL, NULL, 1)

static px_err some_fail (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = number_in (input);
    char *out = malloc (n);
    px_bind binds[] = {PX_BIND_OUT (out, n)};
    px_err err = px_range_branch (task, "test.fails", PX_RANGE (fails), 0, n, binds, 1, NULL);
    free (out);
    return err;
}

/* A subtask with a range of its own is cancelled by the task above. */
static px_err cancels (px_task *task, const void *input, size_t input_size)
{
    px_branch branch;
    px_err err = px_branch_open (task, "test.above", NULL, &branch);
    if (err == PX_OK)
        err = px_branch_add (branch, all_squares, input, input_size);
    if (err == PX_OK)
        err = px_task_sleep (task, UINT64_C (20000000)); /* gives its slot to the subtask */
    px_branch_cancel (branch);
    err = px_branch_join (branch);
    return err == PX_ECANCELLED ? px_task_return (task, NULL, 0) : PX_EFAILED;
}

enum {
    SQUARES,
    ALL_SQUARES,
    ASKEW,
    TWICE,
    IN_PLACE,
    FAILS,
    SOME_FAIL,
    CANCELS,
    LASTS,
    ALL_LAST,
    N_TASKS
};
static const char *const names[] = {"squares", "all_squares", "askew",   "twice", "in_place",
                                    "fails",   "some_fail",   "cancels", "lasts", "all_last"};
static px_task_fn *const functions[] = {squares, all_squares, askew,   twice, in_place,
                                        fails,   some_fail,   cancels, lasts, all_last};

static struct rig_tasks rig_tasks (void)
{
    return (struct rig_tasks){names, functions, N_TASKS};
}

/* ---- who takes and does chunks ------------------------------------------------------------------ */

static pxi_notice take_for (struct rig *rig, uint64_t peer, uint32_t device, uint32_t count)
{
    static uint64_t token;
    submit (rig, (pxi_command){.kind = PXI_CMD_TAKE,
                               .token = ++token,
                               .count = count,
                               .peer = peer,
                               .device = device,
                               .task = SQUARES});
    pxi_notice notice = wait_notice (rig, PXI_NOTE_TAKEN);
    cr_assert_eq (notice.token, token);
    for (uint32_t i = 0; i < notice.n_taken; i++) {
        cr_assert_eq (notice.taken[i].attempt.task, SQUARES);
        cr_assert_gt (notice.taken[i].attempt.n_items, 0);
    }
    return notice;
}

typedef enum result_fault { RIGHT, WRONG_OUTPUT, WRONG_SUM, MALFORMED } result_fault;

/* As a device would, one partial for each work item; a slot has one. */
static pxi_bytes *do_chunk (const pxi_bytes *input, bool is_device, result_fault fault)
{
    const px_range_def *def = PX_RANGE (squares);
    pxi_range_view in, out;
    cr_assert (
        pxi_range_input_parse (def, pxi_bytes_data (input), pxi_bytes_size (input), &in, NULL));
    uint64_t n = in.end - in.begin, n_partials = is_device ? pxi_range_items (def, n) : 1;
    uint64_t each = is_device ? ITEM : n;
    cr_assert (pxi_range_result_layout (def, in.begin, in.end, n_partials, &out));
    pxi_bytes *result = pxi_bytes_new (out.size);
    char *bytes = pxi_bytes_data (result);
    const char *x = (const char *)pxi_bytes_data (input) + in.offsets[0];
    pxi_range_result_head (&out, bytes);
    for (uint64_t i = 0; i < n_partials; i++) {
        uint64_t at = i * each, count = n - at < each ? n - at : each;
        part *partial = (part *)(void *)(bytes + out.offsets[3]) + i;
        uint64_t *y = (uint64_t *)(void *)(bytes + out.offsets[2]) + at;
        squares_of ((const uint32_t *)(const void *)x + at, y, 5, in.begin + at, count, partial);
        *y += fault == WRONG_OUTPUT;
        partial->sum += fault == WRONG_SUM;
    }
    if (fault == MALFORMED) {
        pxi_bytes_release (result);
        result = pxi_bytes_copy ("what", 4);
    }
    return result;
}

static void complete_taken (struct rig *rig, pxi_notice *notice, uint64_t peer, uint32_t device,
                            result_fault fault)
{
    for (uint32_t i = 0; i < notice->n_taken; i++) {
        pxi_bytes *value = do_chunk (notice->inputs[i], device != 0, fault);
        submit (rig, (pxi_command){.kind = PXI_CMD_COMPLETE,
                                   .subtask = notice->taken[i].subtask,
                                   .peer = peer,
                                   .device = device,
                                   .outcome = {PX_OK, value, NULL}});
    }
    release (notice);
}

/* Until there is nothing more to have for it. */
static uint64_t do_all (struct rig *rig, uint64_t peer, uint32_t device)
{
    uint64_t n_items = 0;
    for (uint32_t n_taken = 1; n_taken;) {
        pxi_notice notice = take_for (rig, peer, device, 1);
        n_taken = notice.n_taken;
        n_items += n_taken ? notice.taken[0].attempt.n_items : 0;
        complete_taken (rig, &notice, peer, device, RIGHT);
    }
    return n_items;
}

static pxi_notice wait_range (struct rig *rig)
{
    for (;;) {
        pxi_notice notice = wait_notice (rig, PXI_NOTE_SURPLUS);
        if (notice.n_items)
            return notice;
    }
}

static void use (struct rig *rig, pxi_rank_use use)
{
    submit (rig, (pxi_command){.kind = PXI_CMD_RANGE, .task = SQUARES, .count = use});
}

static void expect_right (struct rig *rig)
{
    pxi_notice notice = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (notice.outcome.code, PX_OK);
    cr_assert_eq (number_in (pxi_bytes_data (notice.outcome.value)), 0);
    release (&notice);
}

static struct rig *with_devices (uint32_t slots)
{
    rig_has_devices = true;
    atomic_store (&n_in_c, 0);
    return rig_new (slots, 65536);
}

/* It has begun, and waits for devices. */
static struct rig *with_range (uint32_t slots, uint64_t n)
{
    struct rig *rig = with_devices (slots);
    start (rig, ALL_SQUARES, n);
    wait_range (rig);
    return rig;
}

/* ---- in slots ------------------------------------------------------------------------------------ */

Test (exec_ranges, of_all_sizes_are_done_in_slots)
{
    static const uint64_t sizes[] = {0, 1, 2, 3, 4, 5, 63, 64, 65, 255, 256, 1000, 4097, 100003};
    for (uint32_t slots = 1; slots <= 3; slots++) {
        struct rig *rig = rig_new (slots, 65536);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            cr_assert_eq (run (rig, ALL_SQUARES, sizes[i]), 0);
            cr_assert_eq (run (rig, ASKEW, sizes[i]), 0);
            cr_assert_eq (run (rig, IN_PLACE, sizes[i]), 0);
        }
        rig_free (rig);
    }
}

Test (exec_ranges, whose_work_items_take_long_are_done_one_at_a_time)
{
    struct rig *rig = rig_new (2, 65536);
    cr_assert_eq (run (rig, ALL_LAST, 0), 0);
    rig_free (rig);
}

Test (exec_ranges, that_fail_tell_why)
{
    struct rig *rig = rig_new (2, 65536);
    start (rig, SOME_FAIL, 100000);
    pxi_notice notice = wait_notice (rig, PXI_NOTE_FINISHED);
    pxi_chain chain;
    cr_assert_eq (notice.outcome.code, PX_EFAILED);
    cr_assert_eq (pxi_chain_decode (notice.outcome.chain, &chain), PX_OK);
    cr_assert_eq (chain.n_failures, 2);
    cr_assert_str_eq (chain.failures[1].task, "test.fails");
    cr_assert_str_eq (chain.failures[1].message, "not 50");
    pxi_chain_fini (&chain);
    release (&notice);
    rig_free (rig);
}

/* ---- on devices ---------------------------------------------------------------------------------- */

Test (exec_ranges, are_left_to_devices_until_slots_may_have_some)
{
    struct rig *rig = with_devices (1);
    start (rig, ALL_SQUARES, 100000);
    pxi_notice notice = wait_range (rig);
    cr_assert_eq (notice.task, SQUARES);
    cr_assert_eq (notice.n_items, 100000);
    cr_assert_gt (notice.count, 0);
    cr_assert_eq (do_all (rig, HERE, DEVICE), 100000);
    expect_right (rig);
    cr_assert_lt (atomic_load (&n_in_c), 100000); /* what was compared */
    rig_free (rig);
}

Test (exec_ranges, of_another_task_are_not_for_a_device)
{
    struct rig *rig = with_range (1, 1000);
    submit (rig, (pxi_command){.kind = PXI_CMD_TAKE,
                               .token = 77,
                               .count = 1,
                               .peer = HERE,
                               .device = DEVICE,
                               .task = TWICE});
    pxi_notice notice = wait_notice (rig, PXI_NOTE_TAKEN);
    cr_assert_eq (notice.n_taken, 0);
    release (&notice);
    use (rig, PXI_RANK_YES);
    expect_right (rig);
    rig_free (rig);
}

Test (exec_ranges, are_tried_in_one_slot_and_told)
{
    struct rig *rig = with_range (2, 100000);
    use (rig, PXI_RANK_TRIAL);
    pxi_notice notice = wait_notice (rig, PXI_NOTE_DURATION);
    cr_assert_eq (notice.task, SQUARES);
    uint64_t tried = notice.n_items;
    cr_assert (tried > 0 && tried < 10000, "%llu items", (unsigned long long)tried);
    notice = wait_range (rig);
    cr_assert_eq (notice.n_items, 100000 - tried);
    cr_assert_eq (atomic_load (&n_in_c), tried);
    use (rig, PXI_RANK_YES);
    expect_right (rig);
    cr_assert_eq (atomic_load (&n_in_c), 100000);
    rig_free (rig);
}

Test (exec_ranges, go_to_slots_of_other_peers_and_to_two_devices_at_once)
{
    struct rig *rig = with_range (1, 300000);
    uint64_t n = 0;
    while (n < 300000) {
        uint64_t before = n;
        for (uint32_t who = 0; who < 3; who++) {
            uint64_t peer = who == 0 ? HERE : 20 + who;
            uint32_t device = who == 2 ? 0 : DEVICE;
            pxi_notice notice = take_for (rig, peer, device, device ? 1 : 3);
            for (uint32_t i = 0; i < notice.n_taken; i++)
                n += notice.taken[i].attempt.n_items;
            complete_taken (rig, &notice, peer, device, RIGHT);
        }
        cr_assert_gt (n, before, "who asks gets some while nobody has any");
    }
    expect_right (rig);
    rig_free (rig);
}

/* ---- that did not go well ------------------------------------------------------------------------ */

static pxi_bytes *chain_saying (const char *message)
{
    px_failure failure = {.code = PX_EFAILED,
                          .attempt = 1,
                          .task = "test.squares",
                          .peer = "here",
                          .file = "squares.cl",
                          .line = 3,
                          .message = message};
    return pxi_chain_encode (&(pxi_chain){.failures = &failure, .n_failures = 1});
}

static void give_back (struct rig *rig, const pxi_notice *notice, const char *message)
{
    submit (rig, (pxi_command){.kind = PXI_CMD_GIVE_BACK,
                               .subtask = notice->taken[0].subtask,
                               .outcome = {PX_OK, NULL, chain_saying (message)}});
}

Test (exec_ranges, whose_chunks_come_back_tell_why_though_the_job_succeeds)
{
    struct rig *rig = with_range (2, 100000);
    for (int i = 0; i < 3; i++) {
        pxi_notice notice = take_for (rig, HERE, DEVICE, 1);
        cr_assert_eq (notice.n_taken, 1);
        give_back (rig, &notice, i < 2 ? "error: no such type" : "too large");
        release (&notice);
        notice = wait_range (rig);
        cr_assert_eq (notice.n_items, 100000);
    }
    use (rig, PXI_RANK_YES);
    pxi_notice notice = wait_notice (rig, PXI_NOTE_FINISHED);
    pxi_chain chain;
    cr_assert_eq (notice.outcome.code, PX_OK);
    cr_assert_eq (number_in (pxi_bytes_data (notice.outcome.value)), 0);
    cr_assert_eq (pxi_chain_decode (notice.outcome.chain, &chain), PX_OK);
    cr_assert_eq (chain.n_failures, 2);
    cr_assert_str_eq (chain.failures[0].message, "error: no such type");
    cr_assert_str_eq (chain.failures[1].message, "too large");
    cr_assert_eq (chain.failures[0].line, 3);
    pxi_chain_fini (&chain);
    release (&notice);
    rig_free (rig);
}

static void expect_redone (result_fault fault)
{
    struct rig *rig = with_range (1, 100000);
    pxi_notice notice = take_for (rig, HERE, DEVICE, 1);
    cr_assert_eq (notice.n_taken, 1);
    complete_taken (rig, &notice, HERE, DEVICE, fault);
    notice = wait_notice (rig, PXI_NOTE_DEVICE_WRONG);
    cr_assert_eq (notice.peer, HERE);
    cr_assert_eq (notice.device, DEVICE);
    cr_assert_eq (notice.task, SQUARES);
    notice = take_for (rig, HERE, DEVICE, 1);
    cr_assert_eq (notice.n_taken, 0);
    release (&notice);
    uint64_t n_items = do_all (rig, HERE, DEVICE + 1);
    cr_assert_eq (n_items, 100000, "%llu", (unsigned long long)n_items);
    expect_right (rig);
    rig_free (rig);
}

Test (exec_ranges, of_a_device_that_computes_otherwise_are_done_again)
{
    expect_redone (WRONG_OUTPUT);
    expect_redone (WRONG_SUM);
    expect_redone (MALFORMED);
}

/* Later than its first chunk: all that it did is done again, also what is on its way. */
Test (exec_ranges, of_a_device_that_becomes_wrong_are_all_done_again)
{
    struct rig *rig = with_range (1, 1000000);
    uint64_t n_right = 0;
    for (int i = 0; i < 3; i++) {
        pxi_notice notice = take_for (rig, 30, 2, 1);
        cr_assert_eq (notice.n_taken, 1);
        n_right += notice.taken[0].attempt.n_items;
        complete_taken (rig, &notice, 30, 2, RIGHT);
    }
    pxi_notice one = take_for (rig, 30, 2, 1), two = take_for (rig, 30, 2, 1);
    cr_assert_eq (one.n_taken, 1);
    cr_assert_eq (two.n_taken, 1);
    complete_taken (rig, &one, 30, 2, MALFORMED);
    pxi_notice notice = wait_notice (rig, PXI_NOTE_DEVICE_WRONG);
    cr_assert_eq (notice.peer, 30);
    cr_assert_gt (n_right, 0);
    complete_taken (rig, &two, 30, 2, RIGHT);
    cr_assert_eq (do_all (rig, HERE, DEVICE), 1000000);
    expect_right (rig);
    rig_free (rig);
}

Test (exec_ranges, that_do_not_fit_a_device_are_done_in_slots)
{
    struct rig *rig = with_range (1, 5000);
    submit (rig, (pxi_command){.kind = PXI_CMD_TAKE,
                               .token = 5000,
                               .count = 1,
                               .peer = HERE,
                               .device = DEVICE,
                               .task = SQUARES,
                               .memory_bytes = 100});
    expect_right (rig);
    rig_free (rig);
}

/* ---- ends ---------------------------------------------------------------------------------------- */

static void expect_lost (struct rig *rig)
{
    pxi_notice notice = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (notice.result, PXI_RESULT_LOST);
    release (&notice);
}

Test (exec_ranges, that_nobody_takes_end_when_they_are_stopped)
{
    struct rig *rig = with_range (1, 100000);
    submit (rig, (pxi_command){.kind = PXI_CMD_STOP, .run = rig->runs});
    expect_lost (rig);
    rig_free (rig);
}

Test (exec_ranges, that_nobody_takes_end_when_a_task_above_is_cancelled)
{
    struct rig *rig = with_devices (2);
    run (rig, CANCELS, 100000);
    rig_free (rig);
}

Test (exec_ranges, of_which_some_is_away_end_when_their_pool_closes)
{
    struct rig *rig = with_range (1, 100000);
    pxi_notice taken = take_for (rig, HERE, DEVICE, 1);
    cr_assert_eq (taken.n_taken, 1);
    submit (rig, (pxi_command){.kind = PXI_CMD_CLOSE});
    pxi_notice notice = wait_notice (rig, PXI_NOTE_BRANCH_CLOSED);
    cr_assert_eq (notice.branch, taken.taken[0].branch);
    expect_lost (rig);
    notice = wait_notice (rig, PXI_NOTE_CLOSED);
    release (&notice);
    complete_taken (rig, &taken, HERE, DEVICE, RIGHT); /* too late */
    rig->pool->ops->destroy (&rig->pool);
    free (rig);
    TEST_NO_LEAKS ();
}
