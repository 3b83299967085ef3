/* The agent's parts that stand alone: inbox, payloads by handle, a job's specification, frames. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/blob.h"
#include "agent/inbox.h"
#include "agent/pipe.h"
#include "agent/root.h"
#include "agent/spec.h"
#include "agent/state.h"
#include "agent/timeline.h"
#include "base/clock.h"
#include "leak.h"

/* ---- inbox ------------------------------------------------------------------------------------
 */

typedef struct numbered {
    pxi_letter letter;
    uint32_t sender, number;
} numbered;

Test (inbox, gives_letters_in_the_order_of_posting)
{
    pxi_inbox inbox;
    numbered letters[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    cr_assert_eq (pxi_inbox_init (&inbox), PX_OK);
    cr_assert_null (pxi_inbox_take (&inbox));
    for (int i = 0; i < 3; i++)
        pxi_inbox_post (&inbox, &letters[i].letter, false);
    pxi_letter *letter = pxi_inbox_take (&inbox);
    for (uint32_t i = 0; i < 3; i++, letter = letter->next)
        cr_assert_eq (((numbered *)letter)->number, i);
    cr_assert_null (letter);
    cr_assert (pxi_inbox_is_empty (&inbox));
    pxi_inbox_fini (&inbox);
}

enum { SENDERS = 4, LETTERS = 20000 };

typedef struct sending {
    pxi_inbox *inbox;
    numbered *letters;
    uint32_t sender;
} sending;

static void *post_all (void *argument)
{
    sending *work = argument;
    for (uint32_t i = 0; i < LETTERS; i++) {
        work->letters[i] = (numbered){.sender = work->sender, .number = i};
        pxi_inbox_post (work->inbox, &work->letters[i].letter, false);
    }
    return NULL;
}

/* The receiver sleeps on the descriptor: a lost wake-up would hang it. */
Test (inbox, wakes_a_sleeper_for_every_letter_of_many_senders, .timeout = 20)
{
    pxi_inbox inbox;
    pthread_t threads[SENDERS];
    sending work[SENDERS];
    uint32_t next[SENDERS] = {0}, received = 0;
    cr_assert_eq (pxi_inbox_init (&inbox), PX_OK);
    for (uint32_t i = 0; i < SENDERS; i++) {
        work[i] = (sending){&inbox, calloc (LETTERS, sizeof (numbered)), i};
        pthread_create (&threads[i], NULL, post_all, &work[i]);
    }
    while (received < SENDERS * LETTERS) {
        if (pxi_inbox_sleep (&inbox)) {
            fd_set set;
            FD_ZERO (&set);
            FD_SET (inbox.fd, &set);
            cr_assert_eq (select (inbox.fd + 1, &set, NULL, NULL, NULL), 1);
            pxi_inbox_awake (&inbox);
        }
        for (pxi_letter *letter = pxi_inbox_take (&inbox); letter; letter = letter->next) {
            numbered *one = (numbered *)letter;
            cr_assert_eq (one->number, next[one->sender]++, "out of order");
            received++;
        }
    }
    for (uint32_t i = 0; i < SENDERS; i++) {
        pthread_join (threads[i], NULL);
        free (work[i].letters);
    }
    pxi_inbox_fini (&inbox);
    TEST_NO_LEAKS ();
}

/* ---- payloads ---------------------------------------------------------------------------------
 */

Test (blob, gives_back_each_reference_once)
{
    pxi_blobs blobs;
    pxi_blobs_init (&blobs);
    pxi_bytes *shared = pxi_bytes_copy ("spec", 4);
    uint64_t first = pxi_blobs_put (
        &blobs, (pxi_blob){pxi_bytes_acquire (shared), pxi_bytes_copy ("a", 1), PX_OK});
    uint64_t second = pxi_blobs_put (&blobs, (pxi_blob){shared, NULL, PX_EFAILED});
    cr_assert_neq (first, 0);
    cr_assert_neq (second, first);
    cr_assert_eq (pxi_blobs_get (&blobs, second).code, (uint32_t)PX_EFAILED);
    cr_assert_null (pxi_blobs_get (&blobs, 77).first);
    pxi_blob taken = pxi_blobs_take (&blobs, first);
    cr_assert_eq (pxi_bytes_size (taken.second), 1);
    cr_assert_null (pxi_blobs_take (&blobs, first).first, "taken twice");
    pxi_bytes_release (taken.first);
    pxi_bytes_release (taken.second);
    pxi_blobs_forget (&blobs, first);
    cr_assert_eq (pxi_blobs_count (&blobs), 1);
    pxi_blobs_fini (&blobs); /* releases what is left */
    TEST_NO_LEAKS ();
}

/* ---- executors that rest ----------------------------------------------------------------------
 */

typedef struct fake_executor {
    pxi_executor executor;
    uint32_t n_closed, slots;
} fake_executor;

static void fake_submit (pxi_executor *executor, pxi_command *command)
{
    fake_executor *fake = (fake_executor *)executor;
    fake->n_closed += command->kind == PXI_CMD_CLOSE;
    if (command->kind == PXI_CMD_SLOTS)
        fake->slots = command->count;
}

static void fake_destroy (pxi_executor **executor)
{
    free (*executor);
    *executor = NULL;
}

static const pxi_executor_ops fake_ops = {fake_submit, fake_destroy};

static pxi_agent *resting_agent (void)
{
    pxi_agent *agent = calloc (1, sizeof *agent);
    agent->id = 1;
    agent->config.slots = 3;
    pxi_heap_init (&agent->alarms, 100);
    pxi_map_init (&agent->executions, 100, 1);
    pxi_list_init (&agent->all_executions);
    return agent;
}

static void resting_agent_free (pxi_agent *agent)
{
    for (pxi_list *link; (link = pxi_list_first (&agent->all_executions));)
        pxi_execution_free (PXI_LIST_ENTRY (link, pxi_execution, in_agent));
    cr_assert_eq (agent->n_resting, 0);
    cr_assert_eq (pxi_heap_deadline (&agent->alarms), UINT64_MAX);
    pxi_heap_fini (&agent->alarms);
    pxi_map_fini (&agent->executions);
    free (agent);
    TEST_NO_LEAKS ();
}

static pxi_execution *executes (pxi_agent *agent, pxi_agent_job *job)
{
    pxi_execution *execution = calloc (1, sizeof *execution);
    fake_executor *fake = calloc (1, sizeof *fake);
    fake->executor.ops = &fake_ops;
    *execution = (pxi_execution){.agent = agent,
                                 .number = ++agent->last_execution,
                                 .job_id = job->id,
                                 .job = job,
                                 .module = job->module,
                                 .executor = &fake->executor};
    pxi_list_init (&execution->runs);
    pxi_list_init (&execution->takes);
    pxi_list_init (&execution->branches);
    pxi_list_init (&execution->in_agent);
    pxi_list_add_last (&agent->all_executions, &execution->in_agent);
    cr_assert (pxi_map_put_pointer (&agent->executions, execution->number, execution));
    job->execution = execution;
    return execution;
}

static bool is_closing (const pxi_execution *execution)
{
    const fake_executor *fake = (const fake_executor *)execution->executor;
    cr_assert_leq (fake->n_closed, 1);
    return fake->n_closed == 1;
}

static uint32_t slots_of (const pxi_execution *execution)
{
    return ((const fake_executor *)execution->executor)->slots;
}

static const pxi_module some_module, other_module;

static pxi_agent_job job_of (uint64_t origin, uint64_t number)
{
    return (pxi_agent_job){.id = {origin, number}, .module = &some_module};
}

Test (rest, is_over_when_the_job_comes_back)
{
    pxi_agent *agent = resting_agent ();
    pxi_agent_job job = job_of (2, 1), again = job_of (2, 1);
    pxi_execution *execution = executes (agent, &job);
    execution->n_runs = 5; /* of the job's time before */
    uint64_t before_ns = pxi_clock_ns ();
    pxi_execution_rest (execution);
    cr_assert_null (job.execution);
    cr_assert_eq (agent->n_resting, 1);
    uint64_t until_ns = pxi_heap_deadline (&agent->alarms);
    cr_assert_geq (until_ns - before_ns, 50 * PXI_MS);
    cr_assert_leq (until_ns, pxi_clock_ns () + 50 * PXI_MS);
    again.n_runs_begun = 1;
    cr_assert_eq (pxi_execution_resume (agent, &again), execution);
    cr_assert_eq (again.execution, execution);
    cr_assert_eq (slots_of (execution), 3, "what it may use is told anew");
    cr_assert_eq (execution->runs_before + 6, 1, "its sixth run is the job's first");
    cr_assert_eq (agent->n_resting, 0);
    cr_assert_eq (pxi_heap_deadline (&agent->alarms), UINT64_MAX);
    cr_assert_not (is_closing (execution));
    cr_assert_null (pxi_execution_resume (agent, &again), "only once");
    resting_agent_free (agent);
}

Test (rest, is_not_over_for_another_job_or_module)
{
    pxi_agent *agent = resting_agent ();
    pxi_agent_job job = job_of (2, 1), other = job_of (2, 2), of_other = job_of (3, 1);
    pxi_agent_job same_id = job_of (2, 1);
    same_id.module = &other_module;
    pxi_execution_rest (executes (agent, &job));
    cr_assert_null (pxi_execution_resume (agent, &other));
    cr_assert_null (pxi_execution_resume (agent, &of_other));
    cr_assert_null (pxi_execution_resume (agent, &same_id));
    cr_assert_eq (agent->n_resting, 1);
    resting_agent_free (agent);
}

Test (rest, is_not_for_roots_nor_for_who_goes_nor_for_what_still_ends)
{
    pxi_agent *agent = resting_agent ();
    pxi_agent_job job = job_of (1, 1);
    pxi_execution *root = executes (agent, &job);
    pxi_execution_rest (root);
    cr_assert (is_closing (root), "a root's job does not come back");
    job = job_of (2, 1);
    for (int i = 0; i < 3; i++) {
        pxi_agent_run run;
        pxi_list_init (&run.in_execution);
        pxi_execution *execution = executes (agent, &job);
        agent->draining = i == 0;
        agent->ending = i == 1;
        if (i == 2)
            pxi_list_add_last (&execution->runs, &run.in_execution);
        pxi_execution_rest (execution);
        cr_assert (is_closing (execution), "%d", i);
        cr_assert_null (job.execution);
        pxi_list_remove (&run.in_execution);
    }
    cr_assert_eq (agent->n_resting, 0);
    resting_agent_free (agent);
}

Test (rest, is_for_four_at_most)
{
    pxi_agent *agent = resting_agent ();
    pxi_agent_job jobs[5];
    for (uint64_t i = 0; i < 5; i++) {
        jobs[i] = job_of (2, i);
        pxi_execution *execution = executes (agent, &jobs[i]);
        pxi_execution_rest (execution);
        cr_assert_eq (is_closing (execution), i == 4);
    }
    cr_assert_eq (agent->n_resting, 4);
    resting_agent_free (agent);
}

Test (rest, ends_when_everything_is_closed)
{
    pxi_agent *agent = resting_agent ();
    pxi_agent_job job = job_of (2, 1), at_work = job_of (2, 2);
    pxi_execution *resting = executes (agent, &job), *working = executes (agent, &at_work);
    pxi_execution_rest (resting);
    pxi_jobs_close_all (agent);
    cr_assert (is_closing (resting));
    cr_assert (is_closing (working));
    cr_assert_eq (agent->n_resting, 0);
    cr_assert_null (pxi_execution_resume (agent, &job), "what is closing does not come back");
    pxi_jobs_close_all (agent); /* nor is it closed twice */
    cr_assert (is_closing (resting));
    resting_agent_free (agent);
}

Test (rest, is_not_over_for_whose_process_has_died)
{
    pxi_agent *agent = resting_agent ();
    pxi_agent_job job = job_of (2, 1);
    pxi_execution *execution = executes (agent, &job);
    pxi_worker worker = {.execution = execution};
    execution->worker = &worker;
    pxi_execution_rest (execution);
    worker.dead = true;
    cr_assert_null (pxi_execution_resume (agent, &job));
    cr_assert_eq (agent->n_resting, 1);
    pxi_execution_free (execution); /* its death is told */
    cr_assert_eq (agent->n_resting, 0);
    cr_assert_null (worker.execution);
    resting_agent_free (agent);
}

/* ---- specification ----------------------------------------------------------------------------
 */

static pxi_bytes *encoded (const px_point_number *numbers, size_t n, int trace, int32_t otherwise)
{
    px_job_options options = PX_JOB_OPTIONS_INIT;
    pxi_bytes *bytes = NULL;
    options.numbers = numbers;
    options.n_numbers = n;
    options.trace = trace;
    options.fixed_numbers = !trace;
    cr_assert_eq (pxi_spec_encode (&options, otherwise, otherwise == 16, &bytes, NULL), PX_OK);
    return bytes;
}

Test (spec, comes_back_as_it_was)
{
    const px_point_number numbers[] = {{"uts.children", 3}, {"a", 0}, {"b.c", PX_NUMBER_DEFAULT}};
    pxi_spec spec;
    pxi_bytes *bytes = encoded (numbers, 3, 1, 16);
    cr_assert (pxi_spec_decode (pxi_bytes_data (bytes), pxi_bytes_size (bytes), &spec));
    cr_assert (spec.trace && spec.default_rises && !spec.fixed_numbers);
    cr_assert_eq (spec.branch_number, 16);
    cr_assert_eq (spec.n_points, 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_str_eq (spec.points[i], numbers[i].point);
        cr_assert_eq (spec.numbers[i], numbers[i].number);
    }
    pxi_bytes_release (bytes);
    TEST_NO_LEAKS ();
}

Test (spec, refuses_what_an_application_got_wrong)
{
    char long_name[100] = {0};
    memset (long_name, 'x', sizeof long_name - 1);
    const struct {
        px_point_number number;
        size_t n;
        px_err err;
    } cases[] = {
        {{"", 1}, 1, PX_EINVAL},
        {{NULL, 1}, 1, PX_EINVAL},
        {{long_name, 1}, 1, PX_EINVAL},
        {{"p", -2}, 1, PX_EINVAL},
        {{"p", PX_TUNABLE_MAX + 1}, 1, PX_EINVAL},
        {{"p", PX_TUNABLE_MAX}, 1, PX_OK},
        {{"p", 1}, PXI_SPEC_POINTS_MAX + 1, PX_EFULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        px_point_number many[PXI_SPEC_POINTS_MAX + 1];
        for (size_t k = 0; k < cases[i].n; k++)
            many[k] = cases[i].number;
        px_job_options options = PX_JOB_OPTIONS_INIT;
        options.numbers = many;
        options.n_numbers = cases[i].n;
        pxi_bytes *bytes = NULL;
        char why[PX_WHY_SIZE] = "";
        cr_assert_eq (pxi_spec_encode (&options, 1, false, &bytes, why), cases[i].err, "case %zu",
                      i);
        cr_assert_eq (bytes != NULL, cases[i].err == PX_OK, "case %zu", i);
        cr_assert (cases[i].err == PX_OK || why[0], "case %zu says nothing", i);
        pxi_bytes_release (bytes);
    }
    TEST_NO_LEAKS ();
}

/* Every cut, every longer form, and every byte turned over: refused, or still a specification. */
Test (spec, survives_strangers_bytes)
{
    const px_point_number numbers[] = {{"uts.children", 3}, {"second", 5}};
    pxi_spec spec;
    pxi_bytes *bytes = encoded (numbers, 2, 0, 16);
    size_t size = pxi_bytes_size (bytes);
    uint8_t *copy = calloc (1, size + 1);
    for (size_t cut = 0; cut <= size + 1; cut++) {
        memcpy (copy, pxi_bytes_data (bytes), size);
        cr_assert_eq (pxi_spec_decode (copy, cut, &spec), cut == size, "cut at %zu", cut);
    }
    for (size_t at = 0; at < size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            copy[at] ^= (uint8_t)(1u << bit);
            if (pxi_spec_decode (copy, size, &spec))
                cr_assert_leq (spec.n_points, PXI_SPEC_POINTS_MAX);
            copy[at] ^= (uint8_t)(1u << bit);
        }
    }
    free (copy);
    pxi_bytes_release (bytes);
    TEST_NO_LEAKS ();
}

/* ---- frames -----------------------------------------------------------------------------------
 */

static void open_pipes (pxi_pipe pipes[2], uint64_t part_size_max)
{
    int fds[2];
    cr_assert_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    for (int i = 0; i < 2; i++)
        cr_assert_eq (pxi_pipe_init (&pipes[i], fds[i], part_size_max), PX_OK);
}

static pxi_frame make_frame (uint64_t run, size_t first, size_t second)
{
    pxi_frame frame = {.header = {.kind = PXI_FRAME_NOTICE, .run = run, .n_parts = 3}};
    frame.header.meta_size = 5;
    frame.meta = strdup ("meta");
    frame.parts[0] = pxi_bytes_new (first);
    memset (pxi_bytes_data (frame.parts[0]), (int)run, first);
    frame.parts[2] = pxi_bytes_new (second);
    memset (pxi_bytes_data (frame.parts[2]), (int)run + 1, second);
    return frame;
}

static void check_frame (const pxi_frame *frame, uint64_t run, size_t first, size_t second)
{
    cr_assert_eq (frame->header.run, run);
    cr_assert_str_eq (frame->meta, "meta");
    cr_assert_eq (pxi_bytes_size (frame->parts[0]), first);
    cr_assert_null (frame->parts[1], "a missing part is not an empty one");
    cr_assert_not_null (frame->parts[2]);
    cr_assert_eq (pxi_bytes_size (frame->parts[2]), second);
    const uint8_t *bytes = pxi_bytes_data (frame->parts[0]);
    for (size_t i = 0; i < first; i++)
        cr_assert_eq (bytes[i], (uint8_t)run);
}

Test (pipe, carries_small_and_large_frames_through_a_full_socket)
{
    const size_t sizes[][2] = {{0, 0}, {1, 0}, {10, 100000}, {3 << 20, 7}, {65535, 65536}};
    enum { N = sizeof sizes / sizeof *sizes };
    pxi_pipe pipes[2];
    open_pipes (pipes, 4 << 20);
    for (uint64_t i = 0; i < N; i++) {
        pxi_frame frame = make_frame (i, sizes[i][0], sizes[i][1]);
        cr_assert (pxi_pipe_send (&pipes[0], &frame));
    }
    for (uint64_t i = 0; i < N;) {
        pxi_frame frame = {0};
        cr_assert_neq (pxi_pipe_flush (&pipes[0]), PXI_CHANNEL_CLOSED);
        pxi_channel_state state = pxi_pipe_receive (&pipes[1], &frame);
        cr_assert_neq (state, PXI_CHANNEL_CLOSED);
        if (state == PXI_CHANNEL_DONE) {
            check_frame (&frame, i, sizes[i][0], sizes[i][1]);
            i++;
        }
        pxi_frame_fini (&frame);
    }
    cr_assert_eq (pxi_pipe_flush (&pipes[0]), PXI_CHANNEL_DONE);
    cr_assert_eq (pipes[0].channel.unsent_size, 0);
    pxi_pipe_fini (&pipes[0]);
    pxi_frame none = {0};
    cr_assert_eq (pxi_pipe_receive (&pipes[1], &none), PXI_CHANNEL_CLOSED, "the far end is gone");
    pxi_pipe_fini (&pipes[1]);
    TEST_NO_LEAKS ();
}

Test (pipe, is_closed_by_what_does_not_parse)
{
    const pxi_frame_header good = {
        .version = PXI_PIPE_VERSION, .header_size = sizeof good, .n_parts = 1};
    pxi_frame_header cases[4] = {good, good, good, good};
    cases[0].version++;
    cases[1].header_size--;
    cases[2].meta_size = PXI_PIPE_META_MAX + 1;
    cases[3].n_parts = PXI_PIPE_PARTS_MAX + 1;
    for (int i = 0; i < 5; i++) {
        pxi_pipe pipes[2];
        pxi_frame frame = {0};
        uint64_t part_size = 1001;
        open_pipes (pipes, 1000);
        const pxi_frame_header *header = i < 4 ? &cases[i] : &good;
        cr_assert_eq (write (pipes[0].channel.fd, header, sizeof *header), (ssize_t)sizeof *header);
        cr_assert_eq (write (pipes[0].channel.fd, &part_size, 8), 8); /* case 4: over the limit */
        for (int again = 0; again < 2; again++)
            cr_assert_eq (pxi_pipe_receive (&pipes[1], &frame), PXI_CHANNEL_CLOSED, "case %d", i);
        pxi_pipe_fini (&pipes[0]);
        pxi_pipe_fini (&pipes[1]);
    }
    TEST_NO_LEAKS ();
}

/* ---- traces -----------------------------------------------------------------------------------
 */

enum { ROOT = 11, W1 = 21, W2 = 31 };
static const char *const trace_tasks[] = {"one", "two"};

static json_t *draw (const pxi_traced *records, uint32_t n, uint64_t began_ns)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream (&text, &size);
    const pxi_timeline timeline = {.origin = ROOT,
                                   .origin_name = "root",
                                   .began_ns = began_ns,
                                   .module_name = "module",
                                   .task_names = trace_tasks,
                                   .n_task_names = 2,
                                   .records = records,
                                   .n_records = n};
    cr_assert_eq (pxi_timeline_write (&timeline, file), PX_OK);
    fclose (file);
    json_error_t error;
    json_t *drawn = json_loads (text, 0, &error);
    cr_assert_not_null (drawn, "%s in line %d: %s", error.text, error.line, text);
    free (text);
    return drawn;
}

static double real (const json_t *event, const char *name)
{
    return json_number_value (json_object_get (event, name));
}

/* The only event of this phase and, if given, category or name. */
static json_t *event_of (const json_t *drawn, const char *phase, const char *name, uint64_t subtask)
{
    json_t *event, *found = NULL;
    size_t i;
    char text[24];
    snprintf (text, sizeof text, "%llu", (unsigned long long)subtask);
    json_array_foreach (json_object_get (drawn, "traceEvents"), i, event)
    {
        const char *cat = json_string_value (json_object_get (event, "cat"));
        const char *its = json_string_value (json_object_get (event, "name"));
        const char *of =
            json_string_value (json_object_get (json_object_get (event, "args"), "subtask"));
        if (strcmp (json_string_value (json_object_get (event, "ph")), phase) != 0 ||
            (strcmp (cat ? cat : "", name) != 0 && strcmp (its, name) != 0) ||
            (subtask && (!of || strcmp (of, text) != 0)))
            continue;
        cr_assert_null (found, "two of %s %s", phase, name);
        found = event;
    }
    return found;
}

/* Two hosts' clocks that have nothing in common with the root's: each is placed by its master's, within
 * half of the shortest way there and back (100 us here). */
Test (trace, places_clocks_of_other_hosts, .timeout = 20)
{
    enum { US = 1000 };
    const uint64_t at1 = UINT64_C (77) << 40, at2 = 5000 * US, at = UINT64_C (9) << 30;
    const pxi_traced records[] = {
        {W1, W2, {7, 1}, at2, at2 + 800 * US, 0, PXI_RESULT_OK, false, "w2"},
        {ROOT, W1, {1, 1}, at + 1000 * US, at + 9000 * US, 0, PXI_RESULT_OK, true, "w1"},
        {ROOT, W1, {1, 1}, at1 + 3000 * US, at1 + 8000 * US, 0, PXI_RESULT_OK, false, "w1"},
        {ROOT, W1, {2, 1}, at + 2000 * US, at + 7100 * US, 1, PXI_RESULT_OK, true, "w1"},
        {ROOT, W1, {2, 1}, at1 + 2050 * US, at1 + 7050 * US, 1, PXI_RESULT_OK, false, "w1"},
        {W1, W2, {7, 1}, at1 + 4000 * US, at1 + 4900 * US, 0, PXI_RESULT_OK, true, "w2"},
    };
    json_t *drawn = draw (records, 6, at);
    cr_assert_float_eq (real (event_of (drawn, "X", "run", 2), "ts"), 2050, 50.1);
    cr_assert_float_eq (real (event_of (drawn, "X", "run", 1), "ts"), 3000, 50.1);
    cr_assert_float_eq (real (event_of (drawn, "X", "run", 7), "ts"), 4050, 100.1);
    cr_assert_float_eq (real (event_of (drawn, "X", "sent", 7), "ts"), 4000, 50.1);
    json_t *sums = json_object_get (drawn, "otherData");
    cr_assert_eq (json_integer_value (json_object_get (sums, "one_sided")), 0);
    cr_assert_eq (json_integer_value (json_object_get (sums, "left_out")), 0);
    json_decref (drawn);
    TEST_NO_LEAKS ();
}

Test (trace, marks_what_was_redone_cancelled_late_and_lost, .timeout = 20)
{
    const pxi_traced records[] = {
        {ROOT, W1, {1, 1}, 100, 500, 0, PXI_RESULT_LOST, true, "?"}, /* heard of from one side */
        {ROOT, W2, {1, 3}, 600, 900, 0, PXI_RESULT_OK, true, "w2"},
        {ROOT, W2, {1, 3}, 650, 850, 0, PXI_RESULT_OK, false, "w2"},
        {ROOT, W2, {4, 1}, 600, 900, 0, PXI_TRACED_CANCELLED, true, "w2"},
        {ROOT, W2, {4, 1}, 650, 950, 0, PXI_RESULT_OK, false, "w2"},
        {ROOT, W2, {5, 2}, 600, 1000, 0, PXI_TRACED_CANCELLED, true, "w2"},
        {ROOT, W2, {5, 2}, 650, 990, 0, PXI_TRACED_CANCELLED, false, "w2"},
        {W1, 99, {6, 1}, 100, 200, 0, PXI_RESULT_OK, false, "w9"}, /* nothing places its clock */
    };
    json_t *drawn = draw (records, 8, 0);
    json_t *late = event_of (drawn, "i", "late", 0);
    json_t *other = event_of (drawn, "X", "run", 5),
           *cancelled = event_of (drawn, "i", "cancelled", 0);
    json_t *redone = event_of (drawn, "i", "redone", 0), *lost = event_of (drawn, "i", "lost", 0);
    cr_assert (late && cancelled && redone && lost && other);
    cr_assert_eq (real (redone, "ts"), real (event_of (drawn, "X", "run", 1), "ts"));
    cr_assert_float_eq (real (lost, "ts"), 0.5, 1e-9);
    json_t *first = event_of (drawn, "X", "run", 4);
    cr_assert_neq (real (first, "tid"), real (other, "tid"), "both at once, in two lanes");
    cr_assert_eq (real (first, "pid"), real (other, "pid"));
    json_t *sums = json_object_get (drawn, "otherData");
    cr_assert_eq (json_integer_value (json_object_get (sums, "one_sided")), 2);
    cr_assert_eq (json_integer_value (json_object_get (sums, "left_out")), 1);
    json_decref (drawn);
    TEST_NO_LEAKS ();
}

Test (trace, has_a_bound_and_counts_what_is_over_it, .timeout = 20)
{
    char path[] = "/tmp/peerexec-trace-XXXXXX";
    close (mkstemp (path));
    const char *names[] = {"one", "two"};
    const pxi_module module = {.name = "module", .n_tasks = 2, .task_names = names};
    pxi_root *root = pxi_root_new (&module, 1, true);
    root->id.origin = ROOT;
    for (uint64_t i = 0; i < PXI_TRACE_MAX + 10; i++)
        pxi_root_trace_add (root, &(pxi_traced){.master = ROOT,
                                                .worker = ROOT,
                                                .key = {i, 1},
                                                .begin_ns = root->started_ns + 10 * i,
                                                .end_ns = root->started_ns + 10 * i + 5});
    pxi_root_trace_left_out (root, 7);
    cr_assert_leq (root->traced_capacity * sizeof *root->traced, 6 << 20, "as is documented");
    cr_assert_eq (pxi_root_trace_write (root, path), PX_OK);
    json_t *drawn = json_load_file (path, 0, NULL);
    json_t *sums = json_object_get (drawn, "otherData");
    cr_assert_eq (json_integer_value (json_object_get (sums, "left_out")), 17);
    cr_assert_gt (json_array_size (json_object_get (drawn, "traceEvents")), PXI_TRACE_MAX);
    json_decref (drawn);
    pxi_root_trace_end (root);
    cr_assert_null (root->traced);
    pxi_root_release (root);
    unlink (path);
    TEST_NO_LEAKS ();
}

/* ---- roots ------------------------------------------------------------------------------------ */

Test (root, that_succeeds_tells_what_was_done_in_another_way)
{
    const char *names[] = {"one"};
    const pxi_module module = {.name = "module", .n_tasks = 1, .task_names = names};
    px_failure note = {.code = PX_EFAILED,
                       .attempt = 1,
                       .task = "module.one",
                       .peer = "a",
                       .file = "one.cl",
                       .line = 3,
                       .message = "no such type"};
    pxi_outcome done = {PX_OK, pxi_bytes_copy ("yes", 3), NULL};
    done.chain = pxi_chain_encode (&(pxi_chain){.failures = &note, .n_failures = 1});
    pxi_root *root = pxi_root_new (&module, 0, false);
    pxi_root_finish (root, &done, "a", NULL);
    px_outcome outcome;
    cr_assert_eq (pxi_root_wait (root, 0, &outcome), PX_OK);
    cr_assert_eq (outcome.code, PX_OK);
    cr_assert_eq (outcome.bytes_size, 3);
    cr_assert_eq (outcome.n_failures, 1);
    cr_assert_str_eq (outcome.failures[0].message, "no such type");
    pxi_root_release (root);
    TEST_NO_LEAKS ();
}
