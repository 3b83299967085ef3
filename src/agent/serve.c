/* The library's part of an executor process: loads one module, hosts a pool for one job after the
 * other, and passes commands down and notices up. What makes it a program (signals, limits, exit)
 * is in tools/px_exec.c.
 *
 * Threads: the main thread reads commands and writes notices (it may wait for the agent to read,
 * the agent never waits for it); the pool's threads run tasks and post notices to the inbox. */
#include <peerexec/executor.h>

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/inbox.h"
#include "agent/pipe.h"
#include "agent/spec.h"
#include "base/assert.h"
#include "base/clock.h"
#include "exec/port.h"
#include "module/load.h"

typedef struct exec_letter {
    pxi_letter letter;
    pxi_notice notice;
} exec_letter;

typedef struct exec_server {
    pxi_pipe pipe;
    pxi_inbox inbox;
    pxi_module *module;
    pxi_executor *pool;                     /* NULL: no job */
    pxi_bytes *shared[PXI_PIPE_SHARED_MAX]; /* of runs so far, for those to come */
    void (*thread_begin) (void);
    void (*thread_end) (void);
} exec_server;

int px_executor_current (uint64_t *run, uint32_t *task)
{
    return pxi_pool_current (run, task);
}

static void thread_begin (void *context)
{
    const exec_server *server = context;
    if (server->thread_begin)
        server->thread_begin ();
}

static void thread_end (void *context)
{
    const exec_server *server = context;
    if (server->thread_end)
        server->thread_end ();
}

/* ---- notices ----------------------------------------------------------------------------------
 */

/* A notice must not be lost and a pool's thread cannot fail: without memory it waits for some. */
static void notify (void *context, pxi_notice *notice)
{
    exec_server *server = context;
    exec_letter *posted;
    while (!(posted = malloc (sizeof *posted)))
        sched_yield ();
    posted->notice = *notice;
    pxi_inbox_post (&server->inbox, &posted->letter, notice->more);
}

static bool send_notice (exec_server *server, pxi_notice *notice)
{
    pxi_frame frame = {.header = {.kind = PXI_FRAME_NOTICE,
                                  .sub = (uint32_t)notice->kind,
                                  .run = notice->run,
                                  .token = notice->token,
                                  .branch = notice->branch,
                                  .runs = notice->runs,
                                  .run_ns = notice->run_ns,
                                  .done = notice->done,
                                  .known = notice->known,
                                  .n_items = notice->n_items,
                                  .peer = notice->peer,
                                  .device = notice->device,
                                  .task = notice->task,
                                  .count = notice->count,
                                  .wanted = notice->wanted,
                                  .n_taken = notice->n_taken,
                                  .result = (uint32_t)notice->result,
                                  .code = notice->outcome.code}};
    if (notice->kind == PXI_NOTE_TAKEN) {
        PXI_ASSERT (notice->n_taken <= PXI_DISPATCH_MAX);
        frame.header.meta_size = (uint32_t)(notice->n_taken * sizeof *notice->taken);
        frame.header.n_parts = 2 * notice->n_taken;
        frame.meta = notice->taken;
        for (uint32_t i = 0; i < notice->n_taken; i++) {
            frame.parts[i] = notice->inputs[notice->taken[i].attempt.blob];
            frame.parts[notice->n_taken + i] = notice->shared[i];
        }
    } else if (notice->kind == PXI_NOTE_FINISHED) {
        frame.header.n_parts = 2;
        frame.parts[0] = notice->outcome.value;
        frame.parts[1] = notice->outcome.chain;
    }
    free (notice->inputs);
    free (notice->shared);
    return pxi_pipe_send (&server->pipe, &frame);
}

static void forget_shared (exec_server *server)
{
    pxi_bytes_release_all (server->shared, PXI_PIPE_SHARED_MAX);
    memset (server->shared, 0, sizeof server->shared);
}

static bool send_letters (exec_server *server)
{
    pxi_letter *next, *first = pxi_inbox_take (&server->inbox);
    bool sent = true;
    for (; first; first = next) {
        exec_letter *posted = (exec_letter *)first;
        next = first->next;
        bool closed = posted->notice.kind == PXI_NOTE_CLOSED;
        sent = send_notice (server, &posted->notice) && sent;
        free (posted);
        if (closed) {
            server->pool->ops->destroy (&server->pool);
            forget_shared (server);
        }
    }
    return sent && pxi_pipe_flush (&server->pipe) == PXI_CHANNEL_DONE;
}

/* ---- commands ---------------------------------------------------------------------------------
 */

static bool open_pool (exec_server *server, const pxi_frame *frame)
{
    const pxi_open *open = frame->meta;
    pxi_spec spec;
    if (server->pool || frame->header.meta_size != sizeof *open ||
        !pxi_spec_decode (pxi_bytes_data (frame->parts[0]), pxi_bytes_size (frame->parts[0]),
                          &spec))
        return false;
    const pxi_executor_config config = {
        .peer_name = open->peer_name,
        .peer_id = open->peer_id,
        .module_name = server->module->name,
        .task_names = server->module->task_names,
        .task_functions = server->module->task_functions,
        .costs = server->module->cost_of,
        .n_tasks = server->module->n_tasks,
        .id_base = open->id_base,
        .slots = open->slots,
        .stack_size = open->stack_size,
        .input_size_max = open->input_size_max,
        .result_size_max = open->result_size_max,
        .branch_number = open->branch_number,
        .points = spec.points,
        .numbers = spec.numbers,
        .n_points = spec.n_points,
        .fixed_numbers = spec.fixed_numbers,
        .default_rises = spec.default_rises,
        .trace = spec.trace,
        .devices = open->devices != 0,
        .notify = notify,
        .notify_context = server,
        .thread_begin = thread_begin,
        .thread_end = thread_end,
        .thread_context = server,
    };
    return pxi_pool_new (&config, &server->pool) == (int)PX_OK;
}

/* Of a run that has one: it comes with it, or is kept. False: neither. */
static bool keep_shared (exec_server *server, pxi_frame *frame)
{
    uint32_t place = frame->header.shared;
    if (!place)
        return true;
    if (place > PXI_PIPE_SHARED_MAX)
        return false;
    pxi_bytes **kept = &server->shared[place - 1];
    if (frame->parts[3]) {
        pxi_bytes_release (*kept);
        *kept = frame->parts[3];
        frame->parts[3] = NULL;
    }
    return *kept != NULL;
}

static bool submit (exec_server *server, pxi_frame *frame)
{
    const pxi_frame_header *header = &frame->header;
    if (!server->pool || header->sub > PXI_CMD_CLOSE || header->n_parts != 4 ||
        !keep_shared (server, frame))
        return false;
    pxi_command command = {
        .kind = (pxi_command_kind)header->sub,
        .run = header->run,
        .token = header->token,
        .subtask = header->subtask,
        .branch = header->branch,
        .task = header->task,
        .count = header->count,
        .attempts = header->attempts,
        .crashes = header->crashes,
        .attempt = header->attempt,
        .flag = header->flag != 0,
        .input = frame->parts[0],
        .shared = header->shared ? pxi_bytes_acquire (server->shared[header->shared - 1]) : NULL,
        .outcome = {header->code, frame->parts[1], frame->parts[2]},
        .peer = header->peer,
        .run_ns = header->run_ns,
        .device = header->device,
        .fixed_ns = header->fixed_ns,
        .item_cost = header->item_cost,
        .queue_ns = header->queue_ns,
        .memory_bytes = header->memory_bytes};
    memcpy (command.peer_name, header->peer_name, sizeof command.peer_name);
    memset (frame->parts, 0, sizeof frame->parts);
    server->pool->ops->submit (server->pool, &command);
    return true;
}

static bool obey (exec_server *server, pxi_frame *frame)
{
    if (frame->header.kind == PXI_FRAME_OPEN)
        return open_pool (server, frame);
    return frame->header.kind == PXI_FRAME_COMMAND && submit (server, frame);
}

/* False: the agent is gone. */
static bool receive_commands (exec_server *server)
{
    for (;;) {
        pxi_frame frame = {0};
        pxi_channel_state state = pxi_pipe_receive (&server->pipe, &frame);
        bool obeyed = state == PXI_CHANNEL_DONE && obey (server, &frame);
        pxi_frame_fini (&frame);
        if (state == PXI_CHANNEL_WAIT)
            return true;
        if (!obeyed)
            return false;
    }
}

static void wait_for (struct pollfd *polled, nfds_t n, uint64_t wait_ns)
{
    struct timespec timeout = pxi_clock_timespec (wait_ns);
    ppoll (polled, n, wait_ns == UINT64_MAX ? NULL : &timeout, NULL);
}

static void serve (exec_server *server)
{
    for (;;) {
        struct pollfd polled[] = {{.fd = server->pipe.channel.fd, .events = POLLIN},
                                  {.fd = server->inbox.fd, .events = POLLIN}};
        if (pxi_inbox_sleep (&server->inbox)) {
            wait_for (polled, 2, pxi_inbox_patience_ns (&server->inbox));
            pxi_inbox_awake (&server->inbox);
        }
        if (!receive_commands (server) || !send_letters (server))
            return;
    }
}

/* ---- start ------------------------------------------------------------------------------------
 */

static bool greet (exec_server *server, pxi_frame_kind kind, const char *text)
{
    pxi_frame frame = {.header = {.kind = kind, .meta_size = (uint32_t)strlen (text)}};
    frame.meta = frame.header.meta_size ? strdup (text) : NULL;
    return pxi_pipe_send (&server->pipe, &frame) &&
           pxi_pipe_flush (&server->pipe) == PXI_CHANNEL_DONE;
}

static bool load (exec_server *server, const char *path, uint64_t key)
{
    char why[PX_WHY_SIZE];
    if (pxi_module_load (path, &server->module, why) != PX_OK)
        return greet (server, PXI_FRAME_REFUSED, why) && false;
    if (server->module->key != key)
        return greet (server, PXI_FRAME_REFUSED,
                      "the module's file has changed since its peer was started") &&
               false;
    return greet (server, PXI_FRAME_READY, "");
}

px_err px_executor_serve (const char *path, uint64_t key, void (*begin) (void), void (*end) (void))
{
    exec_server *server = calloc (1, sizeof *server);
    if (!server)
        return PX_ENOMEM;
    server->thread_begin = begin;
    server->thread_end = end;
    px_err err = pxi_inbox_init (&server->inbox);
    if (err == PX_OK)
        err = pxi_pipe_init (&server->pipe, PX_EXECUTOR_FD_PIPE, UINT64_MAX);
    if (err != PX_OK) {
        free (server);
        return err;
    }
    if (load (server, path, key))
        serve (server);
    /* Not freed: tasks may be running, and the process is about to end. */
    return PX_OK;
}
