/* A chunk: its parts onto the device, the kernel over exactly its items, its outputs back; then the
 * driver's thread says that it has ended. Where the device uses the host's memory, parts are the shared
 * memory itself, made objects for each chunk, so that the driver sees what the peer has written;
 * elsewhere they are copied to buffers that stay, by the queue of the slot, while the other queue
 * computes.
 *
 * The items that are no whole work group are launched by themselves, one a group: a kernel needs no
 * test of its index, and there are two sizes that are ever compiled. The first launch with either is
 * made alone, over all processes that use the cache: it compiles. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "device/helper/cache.h"
#include "device/helper/state.h"

void pxi_helper_refuse (pxi_device_message *answer, px_err err, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    answer->err = err;
    pxi_device_message_add (answer, text);
}

static void refuse_code (pxi_device_message *answer, cl_int code, const char *where)
{
    char room[32];
    bool too_small = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_INVALID_BUFFER_SIZE;
    pxi_helper_refuse (answer, too_small ? PX_ETOOBIG : PX_EFAILED, "%s: %s", where,
                       pxi_opencl_text (code, room, sizeof room));
}

/* ---- shared inputs ----------------------------------------------------------------------------
 */

static pxi_helper_buffer *buffer_find (pxi_helper *helper, uint64_t id)
{
    for (uint32_t i = 0; i < PXI_DEVICE_BUFFERS_MAX; i++) {
        if (helper->buffers[i].id == id)
            return &helper->buffers[i];
    }
    return NULL;
}

static bool fits (const pxi_helper *helper, uint64_t size, uint64_t largest,
                  pxi_device_message *answer)
{
    uint64_t memory = helper->info.memory_size, used = helper->memory_used;
    if (size <= memory && used <= memory - size && largest <= helper->info.alloc_size_max)
        return true;
    pxi_helper_refuse (answer, PX_ETOOBIG,
                       "%llu bytes, the largest part %llu, do not fit the device: it has %llu, of "
                       "which %llu are taken, and takes %llu at once",
                       (unsigned long long)size, (unsigned long long)largest,
                       (unsigned long long)memory, (unsigned long long)used,
                       (unsigned long long)helper->info.alloc_size_max);
    return false;
}

void pxi_helper_keep (pxi_helper *helper, const pxi_device_message *request,
                      pxi_device_memory *memory, pxi_device_message *answer)
{
    pxi_helper_buffer *buffer = buffer_find (helper, 0);
    if (!buffer || !request->id) {
        pxi_helper_refuse (answer, PX_EFULL, "%s", px_err_text (PX_EFULL));
        return;
    }
    if (!fits (helper, memory->size, memory->size, answer))
        return;
    cl_mem_flags flags =
        CL_MEM_READ_ONLY | (helper->info.unified ? CL_MEM_USE_HOST_PTR : CL_MEM_COPY_HOST_PTR);
    cl_int code;
    cl_mem mem =
        helper->cl->CreateBuffer (helper->context, flags, memory->size, memory->data, &code);
    if (code != CL_SUCCESS) {
        refuse_code (answer, code, "shared input");
        return;
    }
    *buffer = (pxi_helper_buffer){request->id, *memory, mem};
    *memory = (pxi_device_memory){-1, NULL, 0};
    helper->memory_used += buffer->memory.size;
}

/* The peer drops what no chunk of its uses; should one still do, it ends first. */
void pxi_helper_drop (pxi_helper *helper, uint64_t id)
{
    pxi_helper_buffer *buffer = id ? buffer_find (helper, id) : NULL;
    if (!buffer)
        return;
    for (uint32_t i = 0; i < PXI_HELPER_QUEUES; i++)
        helper->cl->Finish (helper->queues[i]);
    helper->cl->ReleaseMemObject (buffer->mem);
    helper->memory_used -= buffer->memory.size;
    pxi_device_memory_free (&buffer->memory);
    *buffer = (pxi_helper_buffer){0};
}

/* ---- parts of a chunk -------------------------------------------------------------------------
 */

static bool is_part (const pxi_device_arg *arg)
{
    return arg->kind == PXI_DEVICE_ARG_IN || arg->kind == PXI_DEVICE_ARG_OUT;
}

static bool arg_is_valid (const pxi_device_arg *arg, const pxi_helper_slot *slot)
{
    if (is_part (arg))
        return arg->offset <= slot->memory.size && arg->size <= slot->memory.size - arg->offset;
    return arg->kind == PXI_DEVICE_ARG_KEPT ||
           (arg->kind == PXI_DEVICE_ARG_VALUE && arg->value_size > 0 &&
            arg->value_size <= PXI_DEVICE_VALUE_SIZE);
}

static bool parts_fit (pxi_helper *helper, const pxi_device_message *request,
                       const pxi_helper_slot *slot, pxi_device_message *answer)
{
    uint64_t size = 0, largest = 0;
    for (uint32_t i = 0; i < request->n_args; i++) {
        const pxi_device_arg *arg = &request->args[i];
        if (!arg_is_valid (arg, slot)) {
            pxi_helper_refuse (answer, PX_EMALFORMED, "argument %u is malformed", i + 1);
            return false;
        }
        uint64_t more = is_part (arg) ? arg->size : 0;
        size += more;
        largest = more > largest ? more : largest;
    }
    return fits (helper, size, largest, answer);
}

static cl_int make_part (pxi_helper *helper, pxi_helper_slot *slot, const pxi_device_arg *arg,
                         pxi_helper_part *part)
{
    cl_int code = CL_SUCCESS;
    cl_mem_flags flags = arg->kind == PXI_DEVICE_ARG_IN ? CL_MEM_READ_ONLY : CL_MEM_READ_WRITE;
    char *at = (char *)slot->memory.data + arg->offset;
    if (helper->info.unified) {
        part->mem = helper->cl->CreateBuffer (helper->context, flags | CL_MEM_USE_HOST_PTR,
                                              arg->size, at, &code);
        return code;
    }
    if (part->capacity < arg->size) {
        if (part->mem)
            helper->cl->ReleaseMemObject (part->mem);
        part->capacity = 0;
        part->mem =
            helper->cl->CreateBuffer (helper->context, CL_MEM_READ_WRITE, arg->size, NULL, &code);
        if (code != CL_SUCCESS) {
            part->mem = NULL;
            return code;
        }
        part->capacity = arg->size;
    }
    if (arg->kind == PXI_DEVICE_ARG_IN)
        code = helper->cl->EnqueueWriteBuffer (slot->queue, part->mem, CL_FALSE, 0, arg->size, at,
                                               0, NULL, NULL);
    return code;
}

/* An empty part is no object: the kernel gets a null pointer. */
static cl_int set_arg (pxi_helper *helper, pxi_helper_slot *slot, const pxi_device_arg *arg,
                       pxi_helper_part *part, cl_kernel kernel, uint32_t index)
{
    if (arg->kind == PXI_DEVICE_ARG_VALUE)
        return helper->cl->SetKernelArg (kernel, index, arg->value_size, arg->value);
    cl_mem none = NULL, *mem = &none;
    if (arg->kind == PXI_DEVICE_ARG_KEPT) {
        pxi_helper_buffer *buffer = arg->kept ? buffer_find (helper, arg->kept) : NULL;
        if (!buffer)
            return CL_INVALID_MEM_OBJECT;
        mem = &buffer->mem;
    } else if (arg->size) {
        cl_int code = make_part (helper, slot, arg, part);
        if (code != CL_SUCCESS)
            return code;
        mem = &part->mem;
    }
    return helper->cl->SetKernelArg (kernel, index, sizeof *mem, mem);
}

static cl_int fetch_outputs (pxi_helper *helper, pxi_helper_slot *slot,
                             const pxi_device_message *request)
{
    cl_int code = CL_SUCCESS;
    for (uint32_t i = 0; i < request->n_args && code == CL_SUCCESS; i++) {
        const pxi_device_arg *arg = &request->args[i];
        pxi_helper_part *part = &slot->parts[i];
        if (arg->kind != PXI_DEVICE_ARG_OUT || !arg->size)
            continue;
        if (helper->info.unified)
            part->mapped = helper->cl->EnqueueMapBuffer (
                slot->queue, part->mem, CL_FALSE, CL_MAP_READ, 0, arg->size, 0, NULL, NULL, &code);
        else
            code = helper->cl->EnqueueReadBuffer (slot->queue, part->mem, CL_FALSE, 0, arg->size,
                                                  (char *)slot->memory.data + arg->offset, 0, NULL,
                                                  NULL);
    }
    return code;
}

/* ---- launching --------------------------------------------------------------------------------
 */

static cl_int launch (pxi_helper *helper, pxi_helper_slot *slot, pxi_helper_program *program,
                      size_t begin, size_t n, size_t local_size)
{
    if (!n)
        return CL_SUCCESS;
    cl_int code =
        helper->cl->EnqueueNDRangeKernel (slot->queue, program->kernel, 1, &begin, &n, &local_size,
                                          0, NULL, &slot->kernels[slot->n_kernels]);
    slot->n_kernels += code == CL_SUCCESS;
    return code;
}

/* As launch (), but where nobody has launched this size before, alone and to its end. */
static cl_int launch_warm (pxi_helper *helper, pxi_helper_slot *slot, pxi_helper_program *program,
                           size_t begin, size_t n, bool single)
{
    size_t local_size = single ? 1 : program->local_size;
    if (!n || program->launched[single])
        return launch (helper, slot, program, begin, n, local_size);
    const char *cache = helper->config->cache;
    char mark[32];
    snprintf (mark, sizeof mark, "%zu", local_size);
    int lock = pxi_cache_lock (cache, &program->digest);
    cl_int code = launch (helper, slot, program, begin, n, local_size);
    if (!pxi_cache_is_marked (cache, &program->digest, mark) && code == CL_SUCCESS) {
        code = helper->cl->Finish (slot->queue);
        if (code == CL_SUCCESS)
            pxi_cache_mark (cache, &program->digest, mark);
    }
    pxi_cache_unlock (lock);
    program->launched[single] = code == CL_SUCCESS;
    slot->first = true;
    return code;
}

static cl_int launch_all (pxi_helper *helper, pxi_helper_slot *slot, pxi_helper_program *program,
                          uint64_t n_items)
{
    size_t whole = n_items - n_items % program->local_size;
    if (program->local_size == 1)
        whole = 0;
    cl_int code = launch_warm (helper, slot, program, 0, whole, false);
    if (code == CL_SUCCESS)
        code = launch_warm (helper, slot, program, whole, n_items - whole, true);
    return code;
}

/* The driver's thread. A pipe holds more ends than there are slots. */
static void CL_CALLBACK on_end (cl_event event, cl_int status, void *context)
{
    pxi_helper_slot *slot = context;
    pxi_helper_end end = {(uint32_t)(slot - slot->helper->slots), status};
    ssize_t written;
    do {
        written = write (slot->helper->done[1], &end, sizeof end);
    } while (written < 0 && errno == EINTR);
}

static cl_int watch_end (pxi_helper *helper, pxi_helper_slot *slot)
{
    cl_event last;
    cl_int code = helper->cl->EnqueueMarkerWithWaitList (slot->queue, 0, NULL, &last);
    if (code != CL_SUCCESS)
        return code;
    code = helper->cl->SetEventCallback (last, CL_COMPLETE, on_end, slot);
    helper->cl->ReleaseEvent (last);
    if (code == CL_SUCCESS)
        code = helper->cl->Flush (slot->queue);
    return code;
}

static cl_int enqueue (pxi_helper *helper, pxi_helper_slot *slot, pxi_helper_program *program,
                       const pxi_device_message *request)
{
    cl_int code = CL_SUCCESS;
    for (uint32_t i = 0; i < request->n_args && code == CL_SUCCESS; i++)
        code = set_arg (helper, slot, &request->args[i], &slot->parts[i], program->kernel, i);
    if (code == CL_SUCCESS)
        code = launch_all (helper, slot, program, request->n_items);
    if (code == CL_SUCCESS)
        code = fetch_outputs (helper, slot, request);
    return code == CL_SUCCESS ? watch_end (helper, slot) : code;
}

/* ---- ends -------------------------------------------------------------------------------------
 */

static uint64_t kernel_ns (pxi_helper *helper, cl_event event)
{
    cl_ulong began = 0, ended = 0;
    if (helper->cl->GetEventProfilingInfo (event, CL_PROFILING_COMMAND_START, sizeof began, &began,
                                           NULL) != CL_SUCCESS ||
        helper->cl->GetEventProfilingInfo (event, CL_PROFILING_COMMAND_END, sizeof ended, &ended,
                                           NULL) != CL_SUCCESS)
        return 0;
    return ended > began ? ended - began : 0;
}

static void slot_clear (pxi_helper *helper, pxi_helper_slot *slot)
{
    for (uint32_t i = 0; i < slot->n_kernels; i++)
        helper->cl->ReleaseEvent (slot->kernels[i]);
    for (uint32_t i = 0; i < slot->n_args; i++) {
        pxi_helper_part *part = &slot->parts[i];
        if (part->mapped)
            helper->cl->EnqueueUnmapMemObject (slot->queue, part->mem, part->mapped, 0, NULL, NULL);
        part->mapped = NULL;
        if (part->mem && helper->info.unified) {
            helper->cl->ReleaseMemObject (part->mem);
            part->mem = NULL;
        }
    }
    slot->n_kernels = slot->n_args = 0;
    slot->busy = false;
}

void pxi_helper_ran (pxi_helper *helper, pxi_helper_slot *slot, int32_t status,
                     pxi_device_message *answer)
{
    for (uint32_t i = 0; i < slot->n_kernels; i++)
        answer->kernel_ns += kernel_ns (helper, slot->kernels[i]);
    answer->first = slot->first;
    answer->slot = (uint32_t)(slot - helper->slots);
    slot_clear (helper, slot);
    uint64_t now_ns = pxi_clock_ns ();
    /* While another chunk computed, this one waited: that time is the other's. */
    answer->total_ns =
        now_ns - (slot->began_ns > helper->ended_ns ? slot->began_ns : helper->ended_ns);
    helper->ended_ns = now_ns;
    if (status < 0)
        refuse_code (answer, status, "the kernel failed");
}

static bool may_run (pxi_helper *helper, const pxi_device_message *request,
                     const pxi_helper_program *program, pxi_device_message *answer)
{
    if (!program || request->slot >= PXI_DEVICE_SLOTS || helper->slots[request->slot].busy ||
        !helper->slots[request->slot].memory.data || request->n_items == 0 ||
        request->n_items > SIZE_MAX / 2) {
        pxi_helper_refuse (answer, PX_EMALFORMED, "chunk %llu is malformed",
                           (unsigned long long)request->id);
        return false;
    }
    if (program->err != PX_OK) {
        answer->err = program->err; /* the whole log, not a sentence of it */
        pxi_device_message_add (answer,
                                program->log ? program->log : "the kernel does not compile");
        return false;
    }
    return parts_fit (helper, request, &helper->slots[request->slot], answer);
}

bool pxi_helper_run (pxi_helper *helper, const pxi_device_message *request,
                     pxi_device_message *answer)
{
    pxi_helper_program *program =
        request->program ? pxi_helper_program_find (helper, request->program) : NULL;
    answer->slot = request->slot;
    if (!may_run (helper, request, program, answer))
        return false;
    pxi_helper_slot *slot = &helper->slots[request->slot];
    slot->busy = true;
    slot->id = request->id;
    slot->first = false;
    slot->began_ns = pxi_clock_ns ();
    slot->n_args = request->n_args;
    cl_int code = enqueue (helper, slot, program, request);
    if (code == CL_SUCCESS)
        return true;
    helper->cl->Finish (slot->queue); /* what was enqueued before it uses the parts */
    slot_clear (helper, slot);
    refuse_code (answer, code, "the chunk cannot be started");
    return false;
}
