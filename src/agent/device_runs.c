/* A chunk of a data-parallel task on a device of this peer: its parts are laid into a slot of the device's
 * memory, what all chunks of its branch share is kept there, and what the kernel has written becomes a
 * result as C would have made it, but for partials, of which there is one per work item.
 *
 * What a device does not do is no failure of the task: it goes back with a chain that says why, and is done
 * in C, which has the last word also on what is malformed. What waits is begun, and what has ended told, in
 * the loop's passes only: the core can be told nothing from within its own actions.
 *
 * A kernel that is under way cannot be interrupted: a run that is stopped ends when it does, or at its time
 * limit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/devices.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "device/range.h"
#include "wire/chain.h"

#define LIMIT_NS (10 * PXI_SECOND)  /* of a chunk of whose task little is known */
#define SHARED_NS (10 * PXI_SECOND) /* as long as workers keep shared inputs */
enum { LIMIT_FACTOR = 20, RATE_PARTS = 4 };

/* ---- what a device knows of tasks -------------------------------------------------------------
 */

static pxi_device_task *task_of (pxi_agent_device *device, const pxi_agent_run *run)
{
    pxi_device_task *oldest = &device->tasks[0];
    for (uint32_t i = 0; i < PXI_DEVICE_TASKS_MAX; i++) {
        pxi_device_task *task = &device->tasks[i];
        if (task->module == run->module && task->task == run->attempt.task) {
            task->used = ++device->uses;
            return task;
        }
        if (task->used < oldest->used)
            oldest = task;
    }
    *oldest =
        (pxi_device_task){.module = run->module, .task = run->attempt.task, .used = ++device->uses};
    return oldest;
}

static void learn (pxi_device_task *task, uint64_t n, uint64_t took_ns)
{
    task->chunk_items = task->chunk_items - task->chunk_items / RATE_PARTS + n;
    task->chunk_ns = task->chunk_ns - task->chunk_ns / RATE_PARTS + took_ns;
}

static uint64_t limit_ns (const pxi_device_task *task, uint64_t n)
{
    double each = task->chunk_items ? (double)task->chunk_ns / (double)task->chunk_items : 0;
    double most = LIMIT_FACTOR * each * (double)n;
    return most > (double)LIMIT_NS ? (uint64_t)most : LIMIT_NS;
}

/* As often as a device is given up after is too often for a task, too: it would take the device from others
 * again and again. True: never again. */
static bool has_failed_too_often (pxi_agent_device *device, pxi_device_task *task)
{
    if (!task->n_failures || task->failed_at != device->passes)
        task->n_failures++;
    task->failed_at = device->passes;
    return task->n_failures >= PXI_DEVICE_FAILURES_MAX;
}

/* ---- ends -------------------------------------------------------------------------------------
 */

static void finish (pxi_agent *agent, pxi_agent_run *run, pxi_result result, uint64_t run_ns,
                    pxi_outcome *outcome)
{
    run->device->look = true; /* there is room for another */
    pxi_notices_finish_run (agent, run, result, run_ns, outcome);
}

/* "FILE:LINE:..." somewhere in a line; false: it is not. */
static bool parse_place (const char *at, const char *end, char *file, size_t size, uint32_t *line)
{
    for (const char *colon = at; (colon = memchr (colon, ':', (size_t)(end - colon)));) {
        char *after;
        unsigned long number = strtoul (++colon, &after, 10);
        if (after == colon || *after != ':' || number > UINT32_MAX)
            continue;
        snprintf (file, size, "%.*s", (int)(colon - 1 - at), at);
        *line = (uint32_t)number;
        return true;
    }
    return false;
}

/* Of the first error in a compiler's log: some say where before the word, some after it. */
static void place_of (const char *log, char *file, size_t size, uint32_t *line)
{
    static const char word[] = "error: ";
    const char *error = strstr (log, word);
    if (!error)
        return;
    const char *begin = error, *after = error + sizeof word - 1;
    while (begin > log && begin[-1] != '\n')
        begin--;
    if (!parse_place (begin, error, file, size, line))
        parse_place (after, after + strcspn (after, "\n"), file, size, line);
}

/* Without the ends of lines that compilers leave behind. */
static int length_of (const char *text)
{
    size_t length = strnlen (text, PXI_TEXT_MAX);
    while (length && strchr (" \n:", text[length - 1]))
        length--;
    return (int)length;
}

static pxi_bytes *chain_of (pxi_agent *agent, const pxi_agent_run *run, px_err code,
                            const char *text)
{
    char task[PXI_FULL_NAME_SIZE], file[PX_WHY_SIZE] = "", message[PXI_TEXT_MAX];
    px_failure failure = {.code = code,
                          .attempt = run->attempt.key.attempt,
                          .task = task,
                          .peer = agent->name,
                          .file = file,
                          .message = message};
    snprintf (task, sizeof task, "%s.%s", run->module->name,
              run->module->task_names[run->attempt.task]);
    place_of (text, file, sizeof file, &failure.line);
    snprintf (message, sizeof message, "not on device %s: %.*s", run->device->info.name,
              length_of (text), text);
    return pxi_chain_encode (&(pxi_chain){.failures = &failure, .n_failures = 1});
}

/* The device has not done it. PX_ECANCELLED: and is not to blame. */
static void give_up (pxi_agent *agent, pxi_agent_run *run, px_err code, bool banned,
                     const char *text)
{
    pxi_outcome outcome = {.code = code, .chain = chain_of (agent, run, code, text)};
    run->device_failed = code != PX_ECANCELLED;
    run->device_banned = banned;
    pxi_log (&agent->log, run->device_failed ? PX_LOG_WARNING : PX_LOG_DEBUG, "device",
             "%s.%s on %s: %.*s", run->module->name, run->module->task_names[run->attempt.task],
             run->device->info.name, length_of (text), text);
    finish (agent, run, PXI_RESULT_LOST, 0, &outcome);
}

/* ---- shared inputs ----------------------------------------------------------------------------
 */

static bool drop_shared (pxi_agent_device *device, pxi_device_shared *shared)
{
    if (pxi_device_drop (device->client, shared->kept) == PX_ESTATE)
        return false; /* a chunk uses it */
    *shared = (pxi_device_shared){0};
    return true;
}

static uint64_t shared_bytes (const pxi_agent_device *device)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < PXI_DEVICE_BUFFERS_MAX; i++)
        sum += device->shared[i].kept ? device->shared[i].size : 0;
    return sum;
}

/* Of those that nobody uses the one of longest ago; those of this chunk (used now) stay. */
static bool drop_oldest (pxi_agent_device *device, uint64_t now_ns)
{
    pxi_device_shared *oldest = NULL;
    for (uint32_t i = 0; i < PXI_DEVICE_BUFFERS_MAX; i++) {
        pxi_device_shared *shared = &device->shared[i];
        if (shared->kept && shared->used_ns < now_ns &&
            (!oldest || shared->used_ns < oldest->used_ns))
            oldest = shared;
    }
    return oldest && drop_shared (device, oldest);
}

static void drop_unused (pxi_agent_device *device, uint64_t now_ns)
{
    for (uint32_t i = 0; i < PXI_DEVICE_BUFFERS_MAX; i++) {
        pxi_device_shared *shared = &device->shared[i];
        if (shared->kept && now_ns - shared->used_ns >= SHARED_NS && !drop_shared (device, shared))
            shared->used_ns = now_ns;
    }
}

uint64_t pxi_device_runs_wake_ns (const pxi_agent_device *device)
{
    uint64_t first_ns = UINT64_MAX;
    for (uint32_t i = 0; i < PXI_DEVICE_BUFFERS_MAX; i++) {
        const pxi_device_shared *shared = &device->shared[i];
        if (shared->kept && shared->used_ns + SHARED_NS < first_ns)
            first_ns = shared->used_ns + SHARED_NS;
    }
    return first_ns;
}

static pxi_device_shared *find_shared (pxi_agent_device *device, const pxi_shared_name *name,
                                       uint64_t offset, uint64_t size)
{
    for (uint32_t i = 0; i < PXI_DEVICE_BUFFERS_MAX; i++) {
        pxi_device_shared *shared = &device->shared[i];
        if (shared->kept && shared->offset == offset && shared->size == size &&
            memcmp (&shared->name, name, sizeof *name) == 0)
            return shared;
    }
    return NULL;
}

static pxi_device_shared *free_shared (pxi_agent_device *device)
{
    for (uint32_t i = 0; i < PXI_DEVICE_BUFFERS_MAX; i++) {
        if (!device->shared[i].kept)
            return &device->shared[i];
    }
    return NULL;
}

/* Half of the device's memory is for what is shared, and more for one that is larger. */
static pxi_device_shared *make_room (pxi_agent_device *device, uint64_t size, uint64_t now_ns)
{
    uint64_t most = device->info.memory_size / 2;
    uint64_t others = size < most ? most - size : 0;
    pxi_device_shared *place;
    while ((!(place = free_shared (device)) || shared_bytes (device) > others) &&
           drop_oldest (device, now_ns))
        continue;
    return place;
}

/* A part of what is shared, on the device already or from now on. */
static px_err keep (pxi_agent_device *device, const pxi_shared_name *name, const char *common,
                    uint64_t offset, uint64_t size, uint64_t now_ns, uint64_t *kept)
{
    pxi_device_shared *shared = find_shared (device, name, offset, size);
    if (!shared) {
        shared = make_room (device, size, now_ns);
        px_err err =
            shared ? pxi_device_keep (device->client, common + offset, size, kept) : PX_EFULL;
        if (err != PX_OK)
            return err;
        *shared = (pxi_device_shared){*kept, *name, offset, size, now_ns};
    }
    shared->used_ns = now_ns;
    *kept = shared->kept;
    return PX_OK;
}

/* ---- beginning --------------------------------------------------------------------------------
 */

/* What a chunk consists of, and where its parts lie in a slot: each at a multiple of what any device maps
 * without a copy. */
typedef struct device_chunk {
    const px_range_def *def;
    pxi_range_view common, in, out;
    const char *common_bytes, *in_bytes;
    uint64_t n_items; /* work items */
    uint64_t offsets[PX_ARGS_MAX], size;
} device_chunk;

static bool part_of (const device_chunk *chunk, uint32_t arg, uint64_t *size)
{
    const px_arg *def = &chunk->def->args[arg];
    bool out = pxi_range_arg_is_out (def);
    *size = out ? chunk->out.sizes[arg] : chunk->in.sizes[arg];
    return out || def->kind == PX_ARG_IN;
}

static void place_parts (device_chunk *chunk)
{
    uint64_t size;
    for (uint32_t i = 0; i < chunk->def->n_args; i++) {
        if (!part_of (chunk, i, &size))
            continue;
        chunk->offsets[i] = chunk->size;
        chunk->size +=
            (size + PXI_DEVICE_ALIGNMENT - 1) / PXI_DEVICE_ALIGNMENT * PXI_DEVICE_ALIGNMENT;
    }
}

/* Everything about it is another's: his peer's or his program's. */
static px_err parse (const pxi_agent *agent, const pxi_agent_run *run, device_chunk *chunk,
                     char *why)
{
    const pxi_bytes *input = pxi_blobs_get (&agent->blobs, run->attempt.blob).second;
    const pxi_bytes *common = pxi_blobs_get (&agent->blobs, run->attempt.shared_blob).second;
    memset (chunk, 0, sizeof *chunk);
    chunk->def = run->module->range_of[run->attempt.task];
    chunk->in_bytes = pxi_bytes_data (input);
    chunk->common_bytes = pxi_bytes_data (common);
    if (!chunk->def || !chunk->def->source)
        return pxi_fail (PX_ENOTASK, why, "the task is in C only");
    if (!pxi_range_common_parse (chunk->def, chunk->common_bytes, pxi_bytes_size (common),
                                 &chunk->common, why) ||
        !pxi_range_input_parse (chunk->def, chunk->in_bytes, pxi_bytes_size (input), &chunk->in,
                                why))
        return PX_EFAILED;
    chunk->n_items = pxi_range_items (chunk->def, chunk->in.end - chunk->in.begin);
    if (!chunk->n_items)
        return pxi_fail (PX_EFAILED, why, "the chunk is empty");
    if (!pxi_range_result_layout (chunk->def, chunk->in.begin, chunk->in.end, chunk->n_items,
                                  &chunk->out) ||
        chunk->out.size > agent->config.result_size_max)
        return pxi_fail (PX_ETOOBIG, why, "its results, one for each of %llu work items, %s",
                         (unsigned long long)chunk->n_items, "are larger than a message may be");
    place_parts (chunk);
    return PX_OK;
}

static void add_value (pxi_device_arg *arg, const void *value, uint32_t size)
{
    *arg = (pxi_device_arg){.kind = PXI_DEVICE_ARG_VALUE, .value_size = size};
    memcpy (arg->value, value, size);
}

static px_err add_shared (pxi_agent_device *device, const pxi_agent_run *run,
                          const device_chunk *chunk, uint32_t index, uint64_t now_ns,
                          pxi_device_arg *arg)
{
    uint64_t size = chunk->common.sizes[index];
    *arg = (pxi_device_arg){.kind = PXI_DEVICE_ARG_IN}; /* of nothing: a null pointer */
    if (!size)
        return PX_OK;
    arg->kind = PXI_DEVICE_ARG_KEPT;
    return keep (device, &run->attempt.shared, chunk->common_bytes, chunk->common.offsets[index],
                 size, now_ns, &arg->kept);
}

static px_err add_arg (pxi_agent_device *device, const pxi_agent_run *run,
                       const device_chunk *chunk, uint32_t index, uint64_t now_ns,
                       pxi_device_arg *arg)
{
    const px_arg *def = &chunk->def->args[index];
    const uint64_t n = chunk->in.end - chunk->in.begin;
    switch (def->kind) {
    case PX_ARG_SHARED:
        return add_shared (device, run, chunk, index, now_ns, arg);
    case PX_ARG_VALUE:
        add_value (arg, chunk->common_bytes + chunk->common.offsets[index], def->element_size);
        return PX_OK;
    case PX_ARG_BEGIN:
        add_value (arg, &chunk->in.begin, sizeof chunk->in.begin);
        return PX_OK;
    case PX_ARG_COUNT:
        add_value (arg, &n, sizeof n);
        return PX_OK;
    default:
        *arg = (pxi_device_arg){.kind =
                                    def->kind == PX_ARG_IN ? PXI_DEVICE_ARG_IN : PXI_DEVICE_ARG_OUT,
                                .offset = chunk->offsets[index]};
        part_of (chunk, index, &arg->size);
        return PX_OK;
    }
}

static void fill (const device_chunk *chunk, char *slot)
{
    for (uint32_t i = 0; i < chunk->def->n_args; i++) {
        if (chunk->in.sizes[i])
            memcpy (slot + chunk->offsets[i], chunk->in_bytes + chunk->in.offsets[i],
                    chunk->in.sizes[i]);
    }
}

static px_err make_spec (pxi_agent_device *device, const pxi_agent_run *run,
                         const device_chunk *chunk, uint64_t now_ns, pxi_device_run_spec *spec)
{
    const px_range_def *def = chunk->def;
    const pxi_device_program_spec program = {.source = def->source,
                                             .kernel = def->kernel,
                                             .options = def->options,
                                             .file = def->file,
                                             .line = def->line};
    *spec = (pxi_device_run_spec){
        .n_items = chunk->n_items,
        .limit_ns = limit_ns (task_of (device, run), chunk->in.end - chunk->in.begin),
        .context = run->id,
        .n_args = def->n_args};
    px_err err = pxi_device_program (device->client, &program, &spec->program);
    for (uint32_t i = 0; i < def->n_args && err == PX_OK; i++)
        err = add_arg (device, run, chunk, i, now_ns, &spec->args[i]);
    return err;
}

/* `why` says what is not as it should be. */
static px_err begin (const pxi_agent *agent, pxi_agent_device *device, pxi_agent_run *run,
                     uint64_t now_ns, char *why)
{
    device_chunk chunk;
    pxi_device_run_spec spec;
    uint32_t slot;
    px_err err = parse (agent, run, &chunk, why);
    if (err != PX_OK)
        return err;
    err = pxi_device_slot (device->client, chunk.size, &slot, &run->slot_data);
    if (err != PX_OK)
        return pxi_fail (err, why, "%s",
                         pxi_device_is_usable (device) ? px_err_text (err)
                                                       : pxi_device_reason (device->client));
    err = make_spec (device, run, &chunk, now_ns, &spec);
    if (err == PX_OK) {
        fill (&chunk, run->slot_data);
        err = pxi_device_run (device->client, slot, &spec, now_ns);
    }
    if (err == PX_OK)
        return PX_OK;
    pxi_device_slot_release (device->client, slot);
    return pxi_fail (err, why, "it cannot be begun: %s", px_err_text (err));
}

static void begin_first (pxi_agent *agent, pxi_agent_device *device, uint64_t now_ns)
{
    char why[PX_WHY_SIZE];
    pxi_agent_run *run =
        PXI_LIST_ENTRY (pxi_list_first (&device->waiting), pxi_agent_run, in_execution);
    px_err err = run->stopped ? PX_ECANCELLED : begin (agent, device, run, now_ns, why);
    device->n_waiting--;
    if (err == PX_OK) {
        run->begun_ns = now_ns;
        device->n_running++;
        pxi_list_remove (&run->in_execution);
        pxi_list_add_last (&device->running, &run->in_execution);
    } else {
        give_up (agent, run, err, err == PX_ENOTASK, run->stopped ? "no longer wanted" : why);
    }
}

bool pxi_device_runs_begin (pxi_agent *agent, const pxi_module *module, const pxi_action *action)
{
    pxi_agent_device *device = pxi_devices_find (agent, action->attempt.device);
    pxi_agent_run *run = device ? pxi_jobs_run_new (agent, module, action) : NULL;
    if (!run)
        return false;
    run->device = device;
    pxi_list_add_last (&device->waiting, &run->in_execution);
    device->n_waiting++;
    device->awake = device->look = true;
    return true;
}

void pxi_device_runs_stop (pxi_agent_run *run)
{
    run->device->look = true;
}

/* ---- what comes -------------------------------------------------------------------------------
 */

/* NULL: out of memory. What is between the parts is sent, too. */
static pxi_bytes *take_result (const device_chunk *chunk, const char *slot)
{
    pxi_bytes *result = pxi_bytes_new (chunk->out.size);
    if (!result)
        return NULL;
    char *to = pxi_bytes_data (result);
    uint64_t at = 2 * sizeof (uint64_t);
    pxi_range_result_head (&chunk->out, to);
    for (uint32_t i = 0; i < chunk->def->n_args; i++) {
        if (!pxi_range_arg_is_out (&chunk->def->args[i]))
            continue;
        memset (to + at, 0, chunk->out.offsets[i] - at);
        at = chunk->out.offsets[i] + chunk->out.sizes[i];
        memcpy (to + chunk->out.offsets[i], slot + chunk->offsets[i], chunk->out.sizes[i]);
    }
    return result;
}

/* With the copies of its bytes here: they are what a chunk costs beside one in C, which works where the bytes
 * lie. While another was under way, that time is the other's. */
static uint64_t took_ns (pxi_agent_device *device, const pxi_agent_run *run)
{
    uint64_t now_ns = pxi_clock_ns ();
    uint64_t from_ns = run->begun_ns > device->ended_ns ? run->begun_ns : device->ended_ns;
    device->ended_ns = now_ns;
    return now_ns - from_ns;
}

static void succeed (pxi_agent *agent, pxi_agent_device *device, pxi_agent_run *run,
                     const pxi_device_completion *completion)
{
    char why[PX_WHY_SIZE];
    device_chunk chunk;
    pxi_device_task *task = task_of (device, run);
    px_err err = parse (agent, run, &chunk, why);
    pxi_outcome outcome = {.code = PX_OK};
    if (err == PX_OK && !run->stopped)
        outcome.value = take_result (&chunk, run->slot_data);
    if (!outcome.value) {
        give_up (agent, run, run->stopped ? PX_ECANCELLED : PX_ENOMEM, false,
                 run->stopped ? "no longer wanted" : px_err_text (PX_ENOMEM));
        return;
    }
    uint64_t n = chunk.in.end - chunk.in.begin, ns = took_ns (device, run);
    task->n_failures = 0;
    task->n_chunks++;
    task->n_items += n;
    if (!completion->first)
        learn (task, n, ns);
    run->first = completion->first;
    agent->subtasks_run++;
    finish (agent, run, PXI_RESULT_OK, ns, &outcome);
}

/* A helper that was ended because of another's chunk, and what never began, say nothing of the task. */
static void fail (pxi_agent *agent, pxi_agent_device *device, pxi_agent_run *run,
                  const pxi_device_completion *completion)
{
    px_err err = completion->err;
    bool of_task = err != PX_ELOST && err != PX_ESTATE && err != PX_ENOMODULE, banned = false;
    if (of_task) {
        pxi_device_task *task = task_of (device, run);
        snprintf (task->why, sizeof task->why, "%.*s", length_of (completion->text),
                  completion->text);
        banned = has_failed_too_often (device, task) || completion->program_failed;
    }
    give_up (agent, run, err, banned, completion->text);
}

static void complete (pxi_agent *agent, pxi_agent_device *device,
                      const pxi_device_completion *completion)
{
    pxi_agent_run *run = pxi_map_pointer (&agent->runs, completion->context);
    PXI_ASSERT (run != NULL && run->device == device);
    device->n_running--;
    if (completion->err == PX_OK)
        succeed (agent, device, run, completion);
    else
        fail (agent, device, run, completion);
    pxi_device_slot_release (device->client, completion->slot);
}

bool pxi_device_runs_pass (pxi_agent *agent, pxi_agent_device *device, uint64_t now_ns)
{
    pxi_device_completion completion;
    bool done = false;
    device->passes++;
    while (pxi_device_next (device->client, &completion)) {
        complete (agent, device, &completion);
        done = true;
    }
    while (device->n_running < PXI_DEVICE_CHUNKS && !pxi_list_is_empty (&device->waiting)) {
        begin_first (agent, device, now_ns);
        done = true;
    }
    drop_unused (device, now_ns);
    return done;
}

static void end_all (pxi_agent *agent, pxi_list *runs)
{
    for (pxi_list *link; (link = pxi_list_first (runs));)
        give_up (agent, PXI_LIST_ENTRY (link, pxi_agent_run, in_execution), PX_ECANCELLED, false,
                 "the peer was closed");
}

void pxi_device_runs_end (pxi_agent *agent, pxi_agent_device *device)
{
    end_all (agent, &device->waiting);
    end_all (agent, &device->running);
    device->n_waiting = device->n_running = 0;
}
