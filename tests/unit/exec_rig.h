/* A pool with the test as its agent: commands go in, notices are waited for. The tasks are those of the
 * test that includes this. */
#ifndef TESTS_UNIT_EXEC_RIG_H
#define TESTS_UNIT_EXEC_RIG_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <peerexec/spawn.h>

#include "exec/port.h"
#include "leak.h"

enum { NOTICES_MAX = 4096, DEADLINE_S = 30 };

struct rig_tasks {
    const char *const *names;
    px_task_fn *const *functions;
    uint32_t n;
};

/* The including test's. */
static struct rig_tasks rig_tasks (void);

static uint64_t number_in (const void *input)
{
    uint64_t number;
    memcpy (&number, input, sizeof number);
    return number;
}

struct rig {
    pxi_executor *pool;
    pthread_mutex_t lock;
    pthread_cond_t came;
    pxi_notice notices[NOTICES_MAX];
    uint32_t n, read;
    uint64_t runs;
};

static void notified (void *context, pxi_notice *notice)
{
    struct rig *rig = context;
    pthread_mutex_lock (&rig->lock);
    cr_assert_lt (rig->n, NOTICES_MAX);
    rig->notices[rig->n++] = *notice;
    pthread_cond_signal (&rig->came);
    pthread_mutex_unlock (&rig->lock);
}

/* Of the pools made from here on. */
static bool rig_has_devices;

/* Branch points named in the test have no number of their own but for `stays`, NULL = none: 0. */
static struct rig *rig_new_with (uint32_t slots, size_t stack_size, const char *stays)
{
    struct rig *rig = calloc (1, sizeof *rig);
    pthread_mutex_init (&rig->lock, NULL);
    pthread_cond_init (&rig->came, NULL);
    static const int32_t none = 0;
    struct rig_tasks tasks = rig_tasks ();
    const void *functions[64];
    cr_assert_leq (tasks.n, 64);
    for (uint32_t i = 0; i < tasks.n; i++)
        functions[i] = (const void *)(uintptr_t)tasks.functions[i];
    pxi_executor_config config = {.peer_name = "here",
                                  .peer_id = 9,
                                  .module_name = "test",
                                  .task_names = tasks.names,
                                  .task_functions = functions,
                                  .n_tasks = tasks.n,
                                  .id_base = 1000,
                                  .slots = slots ? slots : 1,
                                  .stack_size = stack_size,
                                  .input_size_max = 1 << 20,
                                  .result_size_max = 1 << 20,
                                  .branch_number = 16,
                                  .points = &stays,
                                  .numbers = &none,
                                  .n_points = stays ? 1 : 0,
                                  .devices = rig_has_devices,
                                  .notify = notified,
                                  .notify_context = rig};
    cr_assert_eq (pxi_pool_new (&config, &rig->pool), PX_OK);
    pxi_command command = {.kind = PXI_CMD_SLOTS, .count = slots};
    rig->pool->ops->submit (rig->pool, &command);
    return rig;
}

static struct rig *rig_new (uint32_t slots, size_t stack_size)
{
    return rig_new_with (slots, stack_size, NULL);
}

static void release (pxi_notice *notice)
{
    for (uint32_t i = 0; i < notice->n_taken; i++) {
        pxi_bytes_release (notice->inputs[i]);
        pxi_bytes_release (notice->shared ? notice->shared[i] : NULL);
    }
    free (notice->taken);
    free (notice->inputs);
    free (notice->shared);
    pxi_bytes_release (notice->outcome.value);
    pxi_bytes_release (notice->outcome.chain);
}

/* The next notice of this kind; others before it are dropped. */
static pxi_notice wait_notice (struct rig *rig, pxi_notice_kind kind)
{
    struct timespec until;
    clock_gettime (CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    for (;;) {
        pthread_mutex_lock (&rig->lock);
        int late = 0;
        while (rig->read == rig->n && !late)
            late = pthread_cond_timedwait (&rig->came, &rig->lock, &until);
        cr_assert (!late, "no notice of kind %d came", kind);
        pxi_notice notice = rig->notices[rig->read++];
        if (rig->read == rig->n)
            rig->read = rig->n = 0;
        pthread_mutex_unlock (&rig->lock);
        if (notice.kind == kind)
            return notice;
        cr_assert_neq (notice.kind, PXI_NOTE_FINISHED, "it finished instead");
        release (&notice);
    }
}

static void submit (struct rig *rig, pxi_command command)
{
    rig->pool->ops->submit (rig->pool, &command);
}

static void start (struct rig *rig, uint32_t task, uint64_t number)
{
    submit (rig, (pxi_command){.kind = PXI_CMD_RUN,
                               .run = ++rig->runs,
                               .attempt = 1,
                               .task = task,
                               .input = pxi_bytes_copy (&number, sizeof number)});
}

static uint64_t run (struct rig *rig, uint32_t task, uint64_t number)
{
    start (rig, task, number);
    pxi_notice notice = wait_notice (rig, PXI_NOTE_FINISHED);
    cr_assert_eq (notice.run, rig->runs);
    cr_assert_eq (notice.outcome.code, PX_OK, "task %s: %s", rig_tasks ().names[task],
                  px_err_name (notice.outcome.code));
    uint64_t result = notice.outcome.value ? number_in (pxi_bytes_data (notice.outcome.value)) : 0;
    release (&notice);
    return result;
}

static void rig_free (struct rig *rig)
{
    submit (rig, (pxi_command){.kind = PXI_CMD_CLOSE});
    pxi_notice notice = wait_notice (rig, PXI_NOTE_CLOSED);
    release (&notice);
    rig->pool->ops->destroy (&rig->pool);
    free (rig);
    TEST_NO_LEAKS ();
}

#endif
