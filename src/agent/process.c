/* Starting: base/child.c. The child dies with this thread (PR_SET_PDEATHSIG, set by itself) or, at
 * the latest, when it finds the socket closed.
 *
 * What comes from it is checked: it runs task code. What does not parse ends it. */
#include "agent/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/child.h"
#include "base/error.h"

/* ---- starting ---------------------------------------------------------------------------------
 */

static int make_page (px_executor_page **page)
{
    int fd = pxi_child_fd (memfd_create ("px_exec", MFD_CLOEXEC));
    if (fd < 0)
        return -1;
    void *memory = MAP_FAILED;
    if (ftruncate (fd, sizeof **page) == 0)
        memory = mmap (NULL, sizeof **page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        close (fd);
        return -1;
    }
    *page = memory;
    return fd;
}

static int spawn (pid_t *pid, const char *program, const pxi_module *module, int pipe_fd,
                  int page_fd)
{
    char key[17];
    snprintf (key, sizeof key, "%016" PRIx64, module->key);
    const char *arguments[] = {program, "--module", module->path, "--key", key, NULL};
    const int fds[] = {pipe_fd, page_fd};
    static_assert (PX_EXECUTOR_FD_PIPE == 3 && PX_EXECUTOR_FD_PAGE == 4, "in the order of fds");
    return pxi_child_spawn (pid, arguments, fds, 2);
}

static void close_if_open (int fd)
{
    if (fd >= 0)
        close (fd);
}

/* Ours of the pair does not block; the child's does: it may wait for us, never we for it. */
static bool make_sockets (int sockets[2])
{
    if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        return false;
    sockets[1] = pxi_child_fd (sockets[1]);
    return sockets[1] >= 0 && fcntl (sockets[0], F_SETFL, O_NONBLOCK) == 0;
}

static px_err launch (pxi_process *process, const char *program, uint64_t part_size_max)
{
    int sockets[2] = {-1, -1};
    int page_fd = make_page (&process->page);
    int result = page_fd >= 0 && make_sockets (sockets) ? 0 : errno;
    px_err err = result ? PX_ESYSTEM : pxi_pipe_init (&process->pipe, sockets[0], part_size_max);
    if (err == PX_OK) {
        sockets[0] = -1; /* the pipe's */
        result = spawn (&process->pid, program, process->module, sockets[1], page_fd);
        err = result ? PX_ESYSTEM : PX_OK;
    }
    if (err == PX_OK) {
        process->pidfd = pidfd_open (process->pid, 0);
        if (process->pidfd < 0) { /* cannot be watched: undo */
            result = errno;
            err = PX_ESYSTEM;
            kill (process->pid, SIGKILL);
            waitpid (process->pid, NULL, 0);
        }
    }
    close_if_open (page_fd);
    close_if_open (sockets[0]);
    close_if_open (sockets[1]);
    errno = result;
    return err;
}

px_err pxi_process_start (const char *program, const pxi_module *module, uint64_t part_size_max,
                          pxi_process **process_p, char *why)
{
    pxi_process *process = calloc (1, sizeof *process);
    if (!process)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    process->module = module;
    process->pidfd = process->pipe.channel.fd = -1;
    px_err err = launch (process, program, part_size_max);
    if (err != PX_OK) {
        pxi_fail (err, why, "cannot start the executor %s: %s", program, strerror (errno));
        pxi_process_free (&process);
        return err;
    }
    *process_p = process;
    return PX_OK;
}

void pxi_process_free (pxi_process **process_p)
{
    pxi_process *process = *process_p;
    if (!process)
        return;
    *process_p = NULL;
    close_if_open (process->pidfd);
    if (process->pipe.channel.buffer)
        pxi_pipe_fini (&process->pipe);
    if (process->page)
        munmap (process->page, sizeof *process->page);
    free (process);
}

int pxi_process_fd (const pxi_process *process)
{
    return process->pipe.channel.fd;
}

/* ---- ending -----------------------------------------------------------------------------------
 */

void pxi_process_kill (pxi_process *process)
{
    process->killed = true;
    process->state = process->state == PXI_PROCESS_OPEN ? PXI_PROCESS_OPEN : PXI_PROCESS_ENDING;
    kill (process->pid, SIGKILL);
}

/* It reads the end of the stream, and ends. */
void pxi_process_end (pxi_process *process)
{
    process->killed = true;
    process->state = process->state == PXI_PROCESS_OPEN ? PXI_PROCESS_OPEN : PXI_PROCESS_ENDING;
    shutdown (process->pipe.channel.fd, SHUT_WR);
}

void pxi_process_flush (pxi_process *process)
{
    if (!process->unflushed)
        return;
    pxi_channel_state state = pxi_pipe_flush (&process->pipe);
    process->unflushed = process->writable_wanted = state == PXI_CHANNEL_WAIT;
    /* PXI_CHANNEL_CLOSED: it is dying; its pidfd will say so. */
}

/* ---- commands ---------------------------------------------------------------------------------
 */

static void send_frame (pxi_process *process, pxi_frame *frame)
{
    if (!pxi_pipe_send (&process->pipe, frame)) {
        kill (process->pid, SIGKILL); /* out of memory: a lost command cannot be made good */
        return;
    }
    process->unflushed = true;
}

/* The place of what it has, or that of the least recently used for what it is given now. */
static uint32_t shared_place (pxi_process *process, uint64_t id, bool *is_new)
{
    uint32_t place = 0, oldest = 0;
    while (place < PXI_PIPE_SHARED_MAX && process->shared[place].id != id) {
        if (process->shared[place].used < process->shared[oldest].used)
            oldest = place;
        place++;
    }
    *is_new = place == PXI_PIPE_SHARED_MAX;
    place = *is_new ? oldest : place;
    process->shared[place].id = id;
    process->shared[place].used = ++process->n_shared_used;
    return place;
}

/* The bytes pass once, while the process keeps them. */
static void add_shared (pxi_process *process, const pxi_command *command, pxi_frame *frame)
{
    bool is_new;
    if (!command->shared)
        return;
    frame->header.shared = 1 + shared_place (process, command->shared_id, &is_new);
    if (is_new)
        frame->parts[3] = command->shared;
    else
        pxi_bytes_release (command->shared);
}

static void submit (pxi_executor *executor, pxi_command *command)
{
    pxi_process *process = (pxi_process *)executor;
    pxi_frame frame = {.header = {.kind = PXI_FRAME_COMMAND,
                                  .sub = (uint32_t)command->kind,
                                  .run = command->run,
                                  .token = command->token,
                                  .subtask = command->subtask,
                                  .branch = command->branch,
                                  .task = command->task,
                                  .count = command->count,
                                  .attempts = command->attempts,
                                  .crashes = command->crashes,
                                  .attempt = command->attempt,
                                  .flag = command->flag,
                                  .code = command->outcome.code,
                                  .peer = command->peer,
                                  .device = command->device,
                                  .run_ns = command->run_ns,
                                  .fixed_ns = command->fixed_ns,
                                  .item_cost = command->item_cost,
                                  .queue_ns = command->queue_ns,
                                  .memory_bytes = command->memory_bytes,
                                  .n_parts = 4}};
    memcpy (frame.header.peer_name, command->peer_name, sizeof command->peer_name);
    frame.parts[0] = command->input;
    frame.parts[1] = command->outcome.value;
    frame.parts[2] = command->outcome.chain;
    add_shared (process, command, &frame);
    send_frame (process, &frame);
}

static void destroy (pxi_executor **executor_p)
{
    pxi_process *process = (pxi_process *)*executor_p;
    *executor_p = NULL;
    process->notify = NULL;
    if (process->state == PXI_PROCESS_OPEN)
        process->state = process->killed ? PXI_PROCESS_ENDING : PXI_PROCESS_IDLE;
}

static const pxi_executor_ops process_ops = {submit, destroy};

px_err pxi_process_open (pxi_process *process, const pxi_executor_config *config, pxi_bytes *spec)
{
    PXI_ASSERT (process->state == PXI_PROCESS_IDLE);
    pxi_open *open = calloc (1, sizeof *open);
    if (!open)
        return PX_ENOMEM;
    open->peer_id = config->peer_id;
    open->id_base = config->id_base;
    open->stack_size = config->stack_size;
    open->input_size_max = config->input_size_max;
    open->result_size_max = config->result_size_max;
    open->branch_number = config->branch_number;
    open->slots = config->slots;
    open->devices = config->devices;
    snprintf (open->peer_name, sizeof open->peer_name, "%s", config->peer_name);
    process->executor.ops = &process_ops;
    process->notify = config->notify;
    process->notify_context = config->notify_context;
    process->state = PXI_PROCESS_OPEN;
    memset (process->shared, 0, sizeof process->shared);
    pxi_frame frame = {.header = {.kind = PXI_FRAME_OPEN, .meta_size = sizeof *open, .n_parts = 1}};
    frame.meta = open;
    frame.parts[0] = pxi_bytes_acquire (spec);
    send_frame (process, &frame);
    return PX_OK;
}

/* ---- notices ----------------------------------------------------------------------------------
 */

static bool taken_is_valid (const pxi_frame *frame)
{
    const pxi_frame_header *header = &frame->header;
    if (header->n_taken > PXI_DISPATCH_MAX || header->n_parts != 2 * header->n_taken ||
        header->meta_size != header->n_taken * sizeof (pxi_taken))
        return false;
    for (uint32_t i = 0; i < header->n_taken; i++) {
        if (!frame->parts[i])
            return false;
    }
    return true;
}

static bool notice_is_valid (const pxi_process *process, const pxi_frame *frame)
{
    const pxi_frame_header *header = &frame->header;
    if (header->sub > PXI_NOTE_CLOSED || header->result > PXI_RESULT_CANNOT || !process->notify)
        return false;
    if (header->sub == PXI_NOTE_TAKEN)
        return taken_is_valid (frame);
    return header->meta_size == 0 && header->n_taken == 0 &&
           (header->sub == PXI_NOTE_FINISHED ? header->n_parts == 2 : header->n_parts == 0);
}

/* Inputs leave the frame for an array of their own, and so do shared inputs. */
static bool move_taken (pxi_frame *frame, pxi_notice *notice)
{
    if (!frame->header.n_taken)
        return true;
    notice->inputs = calloc (frame->header.n_taken, sizeof (pxi_bytes *));
    notice->shared = calloc (frame->header.n_taken, sizeof (pxi_bytes *));
    if (!notice->inputs || !notice->shared) {
        free (notice->inputs);
        free (notice->shared);
        return false;
    }
    notice->taken = frame->meta;
    frame->meta = NULL;
    for (uint32_t i = 0; i < frame->header.n_taken; i++) {
        notice->inputs[i] = frame->parts[i];
        notice->shared[i] = frame->parts[frame->header.n_taken + i];
        notice->taken[i].attempt.blob = i;
        frame->parts[i] = frame->parts[frame->header.n_taken + i] = NULL;
    }
    return true;
}

static bool pass_notice (pxi_process *process, pxi_frame *frame)
{
    const pxi_frame_header *header = &frame->header;
    if (!notice_is_valid (process, frame))
        return false;
    pxi_notice notice = {.kind = (pxi_notice_kind)header->sub,
                         .run = header->run,
                         .token = header->token,
                         .branch = header->branch,
                         .runs = header->runs,
                         .run_ns = header->run_ns,
                         .done = header->done,
                         .known = header->known,
                         .n_items = header->n_items,
                         .peer = header->peer,
                         .device = header->device,
                         .task = header->task,
                         .count = header->count,
                         .wanted = header->wanted,
                         .n_taken = header->n_taken,
                         .result = (pxi_result)header->result};
    if (!move_taken (frame, &notice))
        return false;
    if (notice.kind == PXI_NOTE_FINISHED) {
        notice.outcome.code = header->code;
        notice.outcome.value = frame->parts[0];
        notice.outcome.chain = frame->parts[1];
        frame->parts[0] = frame->parts[1] = NULL;
    }
    process->notify (process->notify_context, &notice);
    return true;
}

static bool pass (pxi_process *process, pxi_frame *frame)
{
    switch (frame->header.kind) {
    case PXI_FRAME_READY:
        process->ready = true;
        return true;
    case PXI_FRAME_REFUSED:
        process->refused_err = PX_ENOMODULE;
        snprintf (process->refused, sizeof process->refused, "%.*s", (int)frame->header.meta_size,
                  frame->meta ? (const char *)frame->meta : "");
        return true;
    case PXI_FRAME_NOTICE:
        return pass_notice (process, frame);
    default:
        return false;
    }
}

static pxi_channel_state receive (pxi_process *process, uint32_t budget)
{
    pxi_channel_state state = PXI_CHANNEL_DONE;
    while (budget-- && state == PXI_CHANNEL_DONE) {
        pxi_frame frame = {0};
        state = pxi_pipe_receive (&process->pipe, &frame);
        if (state == PXI_CHANNEL_DONE && !pass (process, &frame))
            state = PXI_CHANNEL_CLOSED;
        pxi_frame_fini (&frame);
    }
    return state;
}

bool pxi_process_step (pxi_process *process, uint32_t budget)
{
    if (process->writable_wanted)
        pxi_process_flush (process);
    pxi_channel_state state = receive (process, budget);
    if (state == PXI_CHANNEL_CLOSED) /* dying, or out of its mind: either way its death is next */
        kill (process->pid, SIGKILL);
    return state == PXI_CHANNEL_DONE;
}

/* ---- death ------------------------------------------------------------------------------------
 */

static void describe_death (const pxi_process *process, const siginfo_t *info, pxi_notice *notice)
{
    bool signalled = info->si_code != CLD_EXITED;
    char how[48], where[80] = "";
    snprintf (how, sizeof how, signalled ? "signal %d" : "exit code %d", info->si_status);
    notice->count = (uint32_t)info->si_status;
    const px_executor_page *page = process->page;
    if (page->known && page->task < process->module->n_tasks) {
        notice->run = page->run;
        notice->task = page->task;
        snprintf (where, sizeof where, " in task %s.%s", process->module->name,
                  process->module->task_names[page->task]);
    }
    snprintf (notice->text, sizeof notice->text, "%s%s of module %s", how,
              where[0] ? where : " in a task", process->module->name);
}

bool pxi_process_reap (pxi_process *process)
{
    siginfo_t info = {0};
    if (waitid (P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
        return false;
    while (receive (process, UINT32_MAX) == PXI_CHANNEL_DONE)
        continue;
    if (!process->ready && !process->refused[0] && !process->killed) {
        process->refused_err = PX_ESYSTEM;
        snprintf (process->refused, sizeof process->refused,
                  "the executor ended by %s %d before it was ready",
                  info.si_code == CLD_EXITED ? "exit code" : "signal", info.si_status);
    }
    bool was_open = process->state == PXI_PROCESS_OPEN;
    process->state = PXI_PROCESS_ENDING;
    if (was_open && process->notify) {
        pxi_notice notice = {.kind = PXI_NOTE_DIED};
        describe_death (process, &info, &notice);
        process->notify (process->notify_context, &notice);
    }
    return true;
}
