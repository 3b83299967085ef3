/* Chunks on the devices of a peer, as the core would have them: a real agent whose core is told nothing of
 * the runs that the test injects, and what the agent says of them. On the OpenCL device of this host (PoCL makes
 * one of its CPU); without one the tests that need it are skipped, and say why there is none. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/devices.h"
#include "agent/state.h"
#include "base/clock.h"
#include "device/range.h"
#include "leak.h"
#include "wire/chain.h"

TestSuite (devices, .timeout = 120);

enum { RUNS_MAX = 32, TABLE = 16, PER_INDEX = 2 };
#define FIRST_RUN (UINT64_C (1) << 60) /* no core counts so far */

/* ---- tasks ------------------------------------------------------------------------------------
 */

static void add (void *total, const void *part, size_t size)
{
    double sum, more;
    memcpy (&sum, total, size);
    memcpy (&more, part, size);
    sum += more;
    memcpy (total, &sum, size);
}

static px_err in_c (px_task *task, const px_chunk *chunk)
{
    return px_task_fail (task, "nothing is run in C here");
}

static const px_arg blend_args[] = {
    {PX_ARG_IN, sizeof (int), PER_INDEX, PX_NUMBER_BYTES, 0, 0, NULL},
    PX_OUT (int),
    PX_SHARED (int),
    PX_VALUE (int),
    PX_BEGIN,
    PX_COUNT,
    PX_REDUCED_DOUBLE (add, 0),
};
static const char blend_cl[] =
    "kernel void blend (global const int *x, global int *y, global const int *table, int a,\n"
    "                   ulong begin, ulong count, global double *sum)\n"
    "{\n"
    "    ulong item = get_global_id (0);\n"
    "    double s = 0;\n"
    "    for (ulong i = 3 * item; i < 3 * item + 3 && i < count; i++) {\n"
    "        y[i] = a * (x[2 * i] + x[2 * i + 1]) + table[(begin + i) % 16];\n"
    "        s += y[i];\n"
    "    }\n"
    "    sum[item] = s;\n"
    "}\n";
PX_RANGE_TASK (blend, in_c, blend_args, blend_cl, "blend", 3)

static const px_arg copy_args[] = {PX_IN (int), PX_OUT (int)};
static const char broken_cl[] = "kernel void broken (global const int *x, global int *y)\n"
                                "{\n"
                                "    y[0] = undeclared;\n"
                                "}\n";
PX_RANGE_TASK_AT (broken, in_c, copy_args, broken_cl, "broken", "", 1, "kernels.cl", 40)

static const char endless_cl[] =
    "kernel void endless (global const volatile int *x, global int *y)\n"
    "{ while (x[0]) ; y[get_global_id (0)] = 5; }\n";
PX_RANGE_TASK (endless, in_c, copy_args, endless_cl, "endless", 1)

PX_RANGE_TASK (only_c, in_c, copy_args, NULL, NULL, 1)

PX_MODULE ("rig", "1")

/* ---- the rig ----------------------------------------------------------------------------------
 */

typedef struct rig_end {
    bool done, device_failed, device_banned, first;
    pxi_result result;
    uint64_t run_ns;
    uint32_t device;
    pxi_bytes *value, *chain;
} rig_end;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pxi_agent *agent;
    const pxi_module *module;
    uint64_t n_runs, n_looks; /* PXI_EV_DEVICES so far */
    uint32_t n_devices, n_usable;
    rig_end ends[RUNS_MAX];
} rig = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void __real_pxi_core_step (pxi_core *core, const pxi_event *event, pxi_actions *actions);
void __wrap_pxi_core_step (pxi_core *core, const pxi_event *event, pxi_actions *actions);

static void take_end (const pxi_event *event)
{
    rig_end *end = &rig.ends[event->run - FIRST_RUN];
    pxi_blob blob = pxi_blobs_take (&rig.agent->blobs, event->blob);
    cr_assert_not (end->done, "a run ends once");
    *end = (rig_end){true,          event->device_failed, event->device_banned,
                     event->first,  event->result,        event->run_ns,
                     event->device, blob.first,           blob.second};
}

/* The loop's thread. */
void __wrap_pxi_core_step (pxi_core *core, const pxi_event *event, pxi_actions *actions)
{
    bool is_own = event->kind == PXI_EV_FINISHED && event->run >= FIRST_RUN;
    pthread_mutex_lock (&rig.lock);
    if (is_own)
        take_end (event);
    if (event->kind == PXI_EV_DEVICES) {
        rig.n_looks++;
        rig.n_devices = event->n_devices;
        rig.n_usable = 0;
        for (uint32_t i = 0; i < event->n_devices; i++)
            rig.n_usable += event->devices[i].usable;
    }
    pthread_cond_broadcast (&rig.changed);
    pthread_mutex_unlock (&rig.lock);
    pxi_event none = {.kind = PXI_EV_FLUSH, .now_ns = event->now_ns};
    __real_pxi_core_step (core, is_own || event->kind == PXI_EV_DEVICES ? &none : event, actions);
}

static void rig_open (const char *devices, const char *helper)
{
    char why[PX_WHY_SIZE];
    pxi_registry *registry = pxi_registry_new ();
    pxi_module *module = NULL;
    cr_assert_eq (pxi_module_compiled_in (&px_module_v1, &module, why), PX_OK, "%s", why);
    rig.module = module;
    cr_assert_eq (pxi_registry_add (registry, &module, why), PX_OK, "%s", why);
    const pxi_agent_config config = {.name = "rig",
                                     .listen = "",
                                     .slots = 2,
                                     .detect_ns = PXI_SECOND,
                                     .stack_size = 1 << 18,
                                     .input_size_max = 1 << 26,
                                     .result_size_max = 1 << 20,
                                     .seed = 1,
                                     .devices = devices,
                                     .device_helper = helper};
    cr_assert_eq (pxi_agent_new (&config, &registry, &rig.agent, why), PX_OK, "%s", why);
}

static void rig_close (void)
{
    pxi_agent *agent = rig.agent; /* runs end while it closes */
    pxi_agent_close (&agent, 0);
    for (uint64_t i = 0; i < rig.n_runs; i++) {
        cr_assert (rig.ends[i].done, "run %llu has not ended", (unsigned long long)i);
        pxi_bytes_release (rig.ends[i].value);
        pxi_bytes_release (rig.ends[i].chain);
    }
    TEST_NO_LEAKS ();
}

static void look_why (pxi_agent *agent, void *argument)
{
    const char **why = argument;
    *why = agent->devices->why[0] ? agent->devices->why : NULL;
}

/* Until the device is there; skips where there is none. */
static void rig_with_device (void)
{
    const char *why = NULL;
    rig_open ("all", TEST_DEVICE);
    for (bool there = false; !there;) {
        pxi_agent_call (rig.agent, look_why, &why);
        if (why)
            cr_skip ("%s", why);
        pthread_mutex_lock (&rig.lock);
        there = rig.n_usable > 0;
        pthread_mutex_unlock (&rig.lock);
        if (!there)
            usleep (1000);
    }
}

#define RIG_UNTIL(condition)                                                                       \
    do {                                                                                           \
        pthread_mutex_lock (&rig.lock);                                                            \
        while (!(condition))                                                                       \
            pthread_cond_wait (&rig.changed, &rig.lock);                                           \
        pthread_mutex_unlock (&rig.lock);                                                          \
    } while (0)

/* ---- chunks -----------------------------------------------------------------------------------
 */

typedef struct injected {
    const char *task;
    const void *input, *common;
    size_t input_size, common_size;
    uint64_t run;
} injected;

static void apply (pxi_agent *agent, const pxi_action *action)
{
    pxi_action copy = *action;
    const pxi_actions actions = {.items = &copy, .n = 1};
    pxi_apply_all (agent, &actions);
}

static void inject (pxi_agent *agent, void *argument)
{
    const injected *chunk = argument;
    pxi_bytes *input = pxi_bytes_copy (chunk->input, chunk->input_size);
    pxi_bytes *common = pxi_bytes_copy (chunk->common, chunk->common_size);
    pxi_action run = {.kind = PXI_DO_RUN, .run = chunk->run, .job = {agent->id, 1}};
    run.attempt = (pxi_attempt){.key = {1, 1},
                                .job = run.job,
                                .module = rig.module->key,
                                .task = (uint32_t)pxi_module_task (rig.module, chunk->task),
                                .device = 1,
                                .shared = pxi_blob_shared_name (common)};
    run.attempt.blob = pxi_blobs_put (&agent->blobs, (pxi_blob){.second = input});
    run.attempt.shared_blob = pxi_blobs_put (&agent->blobs, (pxi_blob){.second = common});
    apply (agent, &run);
}

static uint64_t rig_run (injected *chunk)
{
    uint64_t at = rig.n_runs++;
    cr_assert_lt (at, RUNS_MAX);
    chunk->run = FIRST_RUN + at;
    pxi_agent_call (rig.agent, inject, chunk);
    return at;
}

static void stop (pxi_agent *agent, void *argument)
{
    const uint64_t *at = argument;
    apply (agent, &(pxi_action){.kind = PXI_DO_STOP, .run = FIRST_RUN + *at});
}

static const rig_end *rig_wait (uint64_t at)
{
    RIG_UNTIL (rig.ends[at].done);
    return &rig.ends[at];
}

/* Inputs of a chunk of blend, which its caller frees. */
static injected blend_chunk (uint64_t begin, uint64_t end, int a, uint64_t table_size)
{
    const px_range_def *def = PX_RANGE (blend);
    pxi_range_view in, common;
    uint64_t sizes[PX_ARGS_MAX] = {[2] = table_size};
    cr_assert (pxi_range_input_layout (def, begin, end, &in));
    cr_assert (pxi_range_common_layout (def, sizes, &common));
    char *input = calloc (1, in.size), *shared = calloc (1, common.size);
    pxi_range_input_head (&in, input);
    pxi_range_common_head (def, &common, shared);
    for (uint64_t i = 0; i < PER_INDEX * (end - begin); i++)
        ((int *)(void *)(input + in.offsets[0]))[i] = (int)(begin * PER_INDEX + i) % 1000;
    for (uint64_t i = 0; i < table_size / sizeof (int); i++)
        ((int *)(void *)(shared + common.offsets[2]))[i] = (int)(7 * i);
    memcpy (shared + common.offsets[3], &a, sizeof a);
    return (injected){"blend", input, shared, in.size, common.size, 0};
}

static uint64_t run_blend (uint64_t begin, uint64_t end, int a)
{
    injected chunk = blend_chunk (begin, end, a, TABLE * sizeof (int));
    uint64_t at = rig_run (&chunk);
    free ((void *)(uintptr_t)chunk.input);
    free ((void *)(uintptr_t)chunk.common);
    return at;
}

static void expect_blend (const rig_end *end, uint64_t begin, uint64_t end_index, int a)
{
    const px_range_def *def = PX_RANGE (blend);
    pxi_range_view view;
    cr_assert_eq (end->result, PXI_RESULT_OK);
    cr_assert_eq (end->device, 1);
    cr_assert_gt (end->run_ns, 0);
    const char *result = pxi_bytes_data (end->value);
    cr_assert (
        pxi_range_result_parse (def, begin, end_index, result, pxi_bytes_size (end->value), &view));
    cr_assert_eq (view.n_partials, pxi_range_items (def, end_index - begin));
    double sum = 0, right = 0;
    for (uint64_t i = 0; i < end_index - begin; i++) {
        int x = (int)((begin + i) * PER_INDEX % 1000 + ((begin + i) * PER_INDEX + 1) % 1000);
        int y = a * x + (int)(7 * ((begin + i) % TABLE));
        cr_assert_eq (((const int *)(const void *)(result + view.offsets[1]))[i], y, "%llu",
                      (unsigned long long)i);
        right += y;
    }
    for (uint64_t i = 0; i < view.n_partials; i++)
        sum += ((const double *)(const void *)(result + view.offsets[6]))[i];
    cr_assert_eq (sum, right);
}

static injected ints (const char *task, const int *values, uint64_t n, void *room)
{
    const uint64_t head[2] = {0, n};
    memcpy (room, head, sizeof head);
    memcpy ((char *)room + sizeof head, values, n * sizeof *values);
    static const uint64_t nothing[2];
    return (injected){task, room, nothing, sizeof head + n * sizeof *values, sizeof nothing, 0};
}

static void expect_failure (const rig_end *end, bool banned, px_err code, const char *text)
{
    pxi_chain chain;
    cr_assert_eq (end->result, PXI_RESULT_LOST);
    cr_assert (end->device_failed);
    cr_assert_eq (pxi_chain_decode (end->chain, &chain), PX_OK);
    cr_assert_eq (chain.n_failures, 1);
    cr_assert_eq (chain.failures[0].code, code, "%s", chain.failures[0].message);
    cr_assert_not_null (strstr (chain.failures[0].message, text), "%s", chain.failures[0].message);
    cr_assert_eq (end->device_banned, banned, "%s", chain.failures[0].message);
    pxi_chain_fini (&chain);
}

/* ---- what is right ----------------------------------------------------------------------------
 */

Test (devices, compute_what_a_chunk_says)
{
    static const uint64_t sizes[] = {1, 2, 3, 4, 64, 1000, 20000};
    rig_with_device ();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        expect_blend (rig_wait (run_blend (5 * i, 5 * i + sizes[i], 3)), 5 * i, 5 * i + sizes[i],
                      3);
    rig_close ();
}

static void count_shared (pxi_agent *agent, void *argument)
{
    uint32_t *n = argument;
    *n = 0;
    for (uint32_t i = 0; i < PXI_DEVICE_BUFFERS_MAX; i++)
        *n += agent->devices->all[0]->shared[i].kept != 0;
}

static void make_old (pxi_agent *agent, void *argument)
{
    (void)argument;
    agent->devices->all[0]->shared[0].used_ns = 1;
}

Test (devices, take_more_chunks_than_they_have_slots)
{
    uint64_t runs[12];
    uint32_t n_shared;
    rig_with_device ();
    for (uint64_t i = 0; i < 12; i++)
        runs[i] = run_blend (100 * i, 100 * i + 90 + i, (int)i % 2);
    for (uint64_t i = 0; i < 12; i++)
        expect_blend (rig_wait (runs[i]), 100 * i, 100 * i + 90 + i, (int)i % 2);
    pxi_agent_call (rig.agent, count_shared, &n_shared);
    cr_assert_eq (n_shared, 2, "one of each content");
    pxi_agent_call (rig.agent, make_old, NULL);
    do {
        pxi_agent_call (rig.agent, count_shared, &n_shared);
    } while (n_shared == 2);
    cr_assert_eq (n_shared, 1, "what nobody uses goes");
    rig_close ();
}

Test (devices, get_empty_shared_inputs_as_null)
{
    rig_with_device ();
    injected chunk = blend_chunk (0, 0, 1, 0);
    expect_failure (rig_wait (rig_run (&chunk)), false, PX_EFAILED, "the chunk is empty");
    free ((void *)(uintptr_t)chunk.input);
    free ((void *)(uintptr_t)chunk.common);
    rig_close ();
}

/* ---- what goes wrong --------------------------------------------------------------------------
 */

Test (devices, say_where_a_kernel_does_not_compile)
{
    char room[64];
    pxi_chain chain;
    rig_with_device ();
    injected chunk = ints ("broken", (const int[]){1, 2}, 2, room);
    const rig_end *end = rig_wait (rig_run (&chunk));
    expect_failure (end, true, PX_EFAILED, "undeclared");
    cr_assert_eq (pxi_chain_decode (end->chain, &chain), PX_OK);
    cr_assert_str_eq (chain.failures[0].task, "rig.broken");
    cr_assert_str_eq (chain.failures[0].peer, "rig");
    cr_assert_str_eq (chain.failures[0].file, "kernels.cl");
    cr_assert_eq (chain.failures[0].line, 42);
    pxi_chain_fini (&chain);
    rig_close ();
}

Test (devices, refuse_what_is_no_chunk)
{
    char room[64];
    rig_with_device ();
    injected chunk = ints ("endless", (const int[]){0, 0}, 2, room);
    chunk.input_size--;
    expect_failure (rig_wait (rig_run (&chunk)), false, PX_EFAILED, "are no chunk");
    chunk.input_size = 3;
    expect_failure (rig_wait (rig_run (&chunk)), false, PX_EFAILED, "are no chunk");
    chunk = ints ("endless", (const int[]){0, 0}, 2, room);
    chunk.common_size = 8;
    expect_failure (rig_wait (rig_run (&chunk)), false, PX_EFAILED, "range task endless share");
    chunk = ints ("only_c", (const int[]){0, 0}, 2, room);
    expect_failure (rig_wait (rig_run (&chunk)), true, PX_ENOTASK, "in C only");
    injected large = blend_chunk (0, 200000, 1, TABLE * sizeof (int));
    expect_failure (rig_wait (rig_run (&large)), false, PX_ETOOBIG, "66667 work items");
    free ((void *)(uintptr_t)large.input);
    free ((void *)(uintptr_t)large.common);
    rig_close ();
}

static void read_pid (pxi_agent *agent, void *argument)
{
    pid_t *pid = argument;
    const pxi_agent_device *device = agent->devices->all[0];
    bool computes =
        device->n_running && pxi_device_client_state (device->client) == PXI_DEVICE_READY;
    *pid = computes ? pxi_device_pid (device->client) : 0; /* it was sent all that runs */
}

static void kill_helper (void)
{
    pid_t pid = 0;
    while (!pid)
        pxi_agent_call (rig.agent, read_pid, &pid);
    kill (pid, SIGKILL);
}

Test (devices, whose_helper_is_killed_are_opened_anew)
{
    char room[64];
    rig_with_device ();
    injected chunk = ints ("endless", (const int[]){1, 2}, 2, room);
    uint64_t first = rig_run (&chunk), second = rig_run (&chunk);
    kill_helper ();
    expect_failure (rig_wait (first), false, PX_ECRASH, "signal 9");
    rig_wait (second);
    expect_blend (rig_wait (run_blend (0, 10, 1)), 0, 10, 1);
    rig_close ();
}

Test (devices, that_fail_a_task_three_times_are_not_for_it)
{
    char room[64];
    rig_with_device ();
    injected chunk = ints ("endless", (const int[]){1, 2}, 2, room);
    for (int i = 0; i < 3; i++) {
        uint64_t at = rig_run (&chunk);
        kill_helper ();
        expect_failure (rig_wait (at), i == 2, PX_ECRASH, "signal 9");
    }
    RIG_UNTIL (rig.n_usable < rig.n_devices);
    expect_failure (rig_wait (run_blend (0, 10, 1)), false, PX_ESTATE, "after 3 failures in a row");
    rig_close ();
}

Test (devices, forget_what_is_stopped)
{
    char room[64];
    rig_with_device ();
    injected chunk = ints ("endless", (const int[]){1, 2}, 2, room);
    uint64_t runs[3] = {rig_run (&chunk), rig_run (&chunk), rig_run (&chunk)};
    pxi_agent_call (rig.agent, stop, &runs[2]); /* it waits for a slot */
    pxi_agent_call (rig.agent, stop, &runs[0]);
    kill_helper ();
    for (int i = 0; i < 3; i++)
        cr_assert_eq (rig_wait (runs[i])->result, PXI_RESULT_LOST);
    rig_close ();
}

static void convict (pxi_agent *agent, void *argument)
{
    (void)argument;
    apply (agent, &(pxi_action){.kind = PXI_DO_QUARANTINE, .device = 1, .peer = agent->id});
    apply (agent, &(pxi_action){.kind = PXI_DO_QUARANTINE, .device = 99, .peer = agent->id});
}

Test (devices, that_compute_what_is_wrong_are_quarantined)
{
    char room[64];
    rig_with_device ();
    injected chunk = ints ("endless", (const int[]){1, 2}, 2, room);
    uint64_t first = rig_run (&chunk);
    pxi_agent_call (rig.agent, convict, NULL);
    expect_failure (rig_wait (first), false, PX_ESTATE, "it computed what C does not, as peer rig");
    RIG_UNTIL (rig.n_usable < rig.n_devices);
    expect_failure (rig_wait (run_blend (0, 9, 1)), false, PX_ESTATE, "quarantined for 60 s: it");
    rig_close ();
}

Test (devices, close_with_chunks_on_them)
{
    char room[64];
    rig_with_device ();
    injected chunk = ints ("endless", (const int[]){1, 2}, 2, room);
    for (int i = 0; i < 4; i++)
        rig_run (&chunk);
    rig_close ();
}

Test (devices, close_while_chunks_end)
{
    rig_with_device ();
    rig_wait (run_blend (0, 100, 1));
    for (uint64_t i = 0; i < 20; i++)
        run_blend (0, 1000 * i + 1, 1);
    rig_close ();
}

/* ---- which ones there are ---------------------------------------------------------------------
 */

static px_err open_with (const char *devices, const char *helper, char *why)
{
    pxi_registry *registry = pxi_registry_new ();
    const pxi_agent_config config = {.name = "rig",
                                     .listen = "",
                                     .slots = 1,
                                     .detect_ns = PXI_SECOND,
                                     .stack_size = 1 << 18,
                                     .seed = 1,
                                     .devices = devices,
                                     .device_helper = helper};
    pxi_agent *agent = NULL;
    px_err err = pxi_agent_new (&config, &registry, &agent, why);
    pxi_agent_close (&agent, 0);
    pxi_registry_free (&registry);
    return err;
}

Test (devices, of_a_list_must_be_there)
{
    static const char *const lists[] = {"nonesuch", "99", "", "0,", "0,nonesuch"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char why[PX_WHY_SIZE] = "";
        cr_assert_eq (open_with (lists[i], TEST_DEVICE, why), PX_EINVAL, "%s", lists[i]);
        cr_assert_not_null (strstr (why, "no device '"), "%s", why);
        cr_assert_eq (open_with (lists[i], "/nonexistent/px_device", why), PX_EINVAL);
        cr_assert_not_null (strstr (why, "/nonexistent/px_device"), "%s", why);
    }
    TEST_NO_LEAKS ();
}

Test (devices, may_be_looked_for_while_the_peer_is_closed)
{
    for (int i = 0; i < 10; i++) {
        char why[PX_WHY_SIZE] = "";
        cr_assert_eq (open_with (i % 2 ? "all" : NULL, TEST_DEVICE, why), PX_OK, "%s", why);
    }
    TEST_NO_LEAKS ();
}

Test (devices, there_are_none_for_a_reason)
{
    static const char *const helpers[] = {"/nonexistent/px_device", "/bin/true"};
    static const char *const reasons[] = {"cannot start the device helper",
                                          "the device helper died while it looked for devices"};
    for (size_t i = 0; i < 2; i++) {
        const char *why = NULL;
        rig_open ("all", helpers[i]);
        while (!why)
            pxi_agent_call (rig.agent, look_why, &why);
        cr_assert_not_null (strstr (why, reasons[i]), "%s", why);
        rig_close ();
    }
}
