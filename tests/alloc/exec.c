/* A range in a pool, done by slots and by a device that the test plays, with each allocation failing in turn: it is
 * done all the same and right, or says that memory is out; and nothing is kept. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include <peerexec/device.h>

#include "core/rank.h"
#include "device/range.h"
#include "exec/port.h"
#include "failing.h"
#include "leak.h"

enum { CELLS = 3000, NOTICES = 256, HERE = 9, DEVICE = 1 };
enum { ONE_MORE, ALL_MORE };

static void add_up (void *total, const void *part, size_t size)
{
    uint64_t sum, more;
    memcpy (&sum, total, size);
    memcpy (&more, part, size);
    sum += more;
    memcpy (total, &sum, size);
}

static void more_of (const uint64_t *x, uint64_t *y, uint64_t n, uint64_t *sum)
{
    *sum = 0;
    for (uint64_t i = 0; i < n; i++)
        *sum += y[i] = x[i] + 1;
}

static px_err one_more_c (px_task *task, const px_chunk *chunk)
{
    (void)task;
    more_of (chunk->args[0], chunk->args[1], chunk->n, chunk->args[2]);
    return PX_OK;
}
static const px_arg one_more_args[] = {
    PX_IN (uint64_t),
    PX_OUT (uint64_t),
    {PX_ARG_REDUCED, sizeof (uint64_t), 1, PX_NUMBER_BYTES, 0, 0, add_up},
};
PX_RANGE_TASK (one_more, one_more_c, one_more_args, "kernel void one_more (...) {}", "one_more", 1)

static size_t failing_nth;
static bool was_met;

/* In place, so that all of the input is copied. Result: how many are wrong. */
static px_err all_more (px_task *task, const void *input, size_t input_size)
{
    static uint64_t x[CELLS];
    uint64_t sum = 0, n_wrong = 0;
    (void)input, (void)input_size;
    px_bind binds[] = {PX_BIND_IN (x, sizeof x), PX_BIND_OUT (x, sizeof x),
                       PX_BIND_OUT (&sum, sizeof sum)};
    for (uint64_t i = 0; i < CELLS; i++)
        x[i] = i;
    failing_set (failing_nth);
    px_err err = px_range_branch (task, "test.more", PX_RANGE (one_more), 0, CELLS, binds, 3, NULL);
    was_met = failing_was_met ();
    failing_set (0);
    for (uint64_t i = 0; i < CELLS; i++)
        n_wrong += x[i] != i + 1;
    n_wrong += sum != (uint64_t)CELLS * (CELLS + 1) / 2;
    return err != PX_OK ? err : px_task_return (task, &n_wrong, sizeof n_wrong);
}

/* ---- the agent -------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t came;
    pxi_notice notices[NOTICES];
    uint32_t n, read;
    pxi_executor *pool;
} agent = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};

static void notified (void *context, pxi_notice *notice)
{
    (void)context;
    pthread_mutex_lock (&agent.lock);
    agent.notices[agent.n++ % NOTICES] = *notice;
    cr_assert_leq (agent.n - agent.read, NOTICES);
    pthread_cond_signal (&agent.came);
    pthread_mutex_unlock (&agent.lock);
}

static pxi_notice next_notice (void)
{
    pthread_mutex_lock (&agent.lock);
    while (agent.read == agent.n)
        pthread_cond_wait (&agent.came, &agent.lock);
    pxi_notice notice = agent.notices[agent.read++ % NOTICES];
    pthread_mutex_unlock (&agent.lock);
    return notice;
}

static void submit (pxi_command command)
{
    agent.pool->ops->submit (agent.pool, &command);
}

/* NULL: out of memory. */
static pxi_bytes *do_chunk (const pxi_bytes *input)
{
    const px_range_def *def = PX_RANGE (one_more);
    pxi_range_view in, out;
    cr_assert (
        pxi_range_input_parse (def, pxi_bytes_data (input), pxi_bytes_size (input), &in, NULL));
    uint64_t n = in.end - in.begin;
    cr_assert (pxi_range_result_layout (def, in.begin, in.end, n, &out));
    pxi_bytes *result = pxi_bytes_new (out.size);
    if (!result)
        return NULL;
    char *bytes = pxi_bytes_data (result);
    const char *x = (const char *)pxi_bytes_data (input) + in.offsets[0];
    pxi_range_result_head (&out, bytes);
    for (uint64_t i = 0; i < n; i++)
        more_of ((const uint64_t *)(const void *)x + i,
                 (uint64_t *)(void *)(bytes + out.offsets[1]) + i, 1,
                 (uint64_t *)(void *)(bytes + out.offsets[2]) + i);
    return result;
}

static void take_one (void)
{
    submit ((pxi_command){.kind = PXI_CMD_TAKE,
                          .token = 1,
                          .count = 1,
                          .peer = HERE,
                          .device = DEVICE,
                          .task = ONE_MORE});
}

/* As long as there is something for the device; the rest is for slots. */
static void taken (const pxi_notice *notice)
{
    for (uint32_t i = 0; i < notice->n_taken; i++) {
        pxi_bytes *value = do_chunk (notice->inputs[i]);
        submit ((pxi_command){.kind = value ? PXI_CMD_COMPLETE : PXI_CMD_GIVE_BACK,
                              .subtask = notice->taken[i].subtask,
                              .peer = HERE,
                              .device = DEVICE,
                              .outcome = {PX_OK, value, NULL}});
    }
    if (notice->n_taken)
        take_one ();
    else
        submit ((pxi_command){.kind = PXI_CMD_RANGE, .task = ONE_MORE, .count = PXI_RANK_YES});
}

static void release (pxi_notice *notice)
{
    for (uint32_t i = 0; i < notice->n_taken; i++) {
        pxi_bytes_release (notice->inputs[i]);
        pxi_bytes_release (notice->shared[i]);
    }
    free (notice->taken);
    free (notice->inputs);
    free (notice->shared);
    pxi_bytes_release (notice->outcome.value);
    pxi_bytes_release (notice->outcome.chain);
}

static void expect_end (const pxi_notice *finished)
{
    px_err code = (px_err)finished->outcome.code;
    cr_assert (code == PX_OK || (was_met && (code == PX_ENOMEM || code == PX_EFAILED)),
               "allocation %zu: %s", failing_nth, px_err_name (code));
    if (code != PX_OK)
        return;
    uint64_t n_wrong;
    cr_assert_eq (pxi_bytes_size (finished->outcome.value), sizeof n_wrong);
    memcpy (&n_wrong, pxi_bytes_data (finished->outcome.value), sizeof n_wrong);
    cr_assert_eq (n_wrong, 0, "allocation %zu", failing_nth);
}

static void run_one (bool by_device)
{
    bool asked = false;
    submit ((pxi_command){
        .kind = PXI_CMD_RANGE, .task = ONE_MORE, .count = by_device ? PXI_RANK_NO : PXI_RANK_YES});
    submit ((pxi_command){.kind = PXI_CMD_RUN, .run = 1, .attempt = 1, .task = ALL_MORE});
    for (;;) {
        pxi_notice notice = next_notice ();
        if (notice.kind == PXI_NOTE_SURPLUS && notice.n_items && by_device && !asked) {
            asked = true;
            take_one ();
        }
        if (notice.kind == PXI_NOTE_TAKEN)
            taken (&notice);
        if (notice.kind == PXI_NOTE_FINISHED)
            expect_end (&notice);
        release (&notice);
        if (notice.kind == PXI_NOTE_FINISHED)
            return;
    }
}

static void open_pool (void)
{
    static const char *const names[] = {"one_more", "all_more"};
    const void *functions[] = {(const void *)(uintptr_t)one_more,
                               (const void *)(uintptr_t)all_more};
    const pxi_executor_config config = {.peer_name = "here",
                                        .peer_id = HERE,
                                        .module_name = "test",
                                        .task_names = names,
                                        .task_functions = functions,
                                        .n_tasks = 2,
                                        .slots = 1,
                                        .stack_size = 65536,
                                        .input_size_max = 1 << 20,
                                        .result_size_max = 1 << 20,
                                        .branch_number = 16,
                                        .devices = true,
                                        .notify = notified};
    cr_assert_eq (pxi_pool_new (&config, &agent.pool), PX_OK);
    submit ((pxi_command){.kind = PXI_CMD_SLOTS, .count = 1});
}

static void close_pool (void)
{
    submit ((pxi_command){.kind = PXI_CMD_CLOSE});
    for (;;) {
        pxi_notice notice = next_notice ();
        release (&notice);
        if (notice.kind == PXI_NOTE_CLOSED)
            break;
    }
    agent.pool->ops->destroy (&agent.pool);
}

static void until_none_fails (bool by_device)
{
    long before = failing_n_blocks ();
    was_met = true;
    for (failing_nth = 1; was_met; failing_nth++) {
        open_pool ();
        run_one (by_device);
        close_pool ();
        cr_assert_leq (failing_n_blocks (), before, "allocation %zu: something is left",
                       failing_nth);
    }
    cr_assert_gt (failing_nth, 8);
    TEST_NO_LEAKS ();
}

Test (ranges, in_slots_survive_each_failing_allocation, .timeout = 60)
{
    until_none_fails (false);
}

Test (ranges, on_a_device_survive_each_failing_allocation, .timeout = 60)
{
    until_none_fails (true);
}
