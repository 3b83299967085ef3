/* The helper's loop: requests from the peer, ends of chunks from the driver. What a kernel did to the
 * device may outlast it (after an access out of bounds some drivers answer nothing any more), so a
 * helper in which a kernel failed tells it and ends; the peer starts another. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peerexec/peer.h>

#include "device/helper/state.h"

static bool send_only (int fd, pxi_device_message *message)
{
    return pxi_device_send (fd, message, -1);
}

int pxi_helper_list (const pxi_helper_config *config)
{
    pxi_opencl cl;
    pxi_device_message message;
    char why[PX_WHY_SIZE] = "";
    bool sent = true;
    bool found = pxi_opencl_find (&cl, why);
    for (uint32_t i = 0; i < cl.n_devices && sent; i++) {
        pxi_device_message_init (&message, PXI_DEVICE_MSG_DEVICE, 0);
        message.info = cl.info[i];
        sent = send_only (config->fd, &message);
    }
    pxi_device_message_init (&message, PXI_DEVICE_MSG_LISTED, 0);
    message.err = found ? PX_OK : PX_ENOMODULE;
    pxi_device_message_add (&message, why);
    return sent && send_only (config->fd, &message) ? 0 : 1;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static bool open_device (pxi_helper *helper, char *why)
{
    const pxi_helper_config *config = helper->config;
    if (!pxi_opencl_find (helper->cl, why))
        return false;
    if (config->device >= helper->cl->n_devices) {
        snprintf (why, PX_WHY_SIZE, "there is no OpenCL device %u: this host has %u",
                  config->device, helper->cl->n_devices);
        return false;
    }
    helper->device = helper->cl->devices[config->device];
    helper->info = helper->cl->info[config->device];
    if (config->memory_max && config->memory_max < helper->info.memory_size)
        helper->info.memory_size = config->memory_max;
    if (helper->info.alloc_size_max > helper->info.memory_size)
        helper->info.alloc_size_max = helper->info.memory_size;
    pxi_opencl_version (helper->cl, helper->device, helper->version, sizeof helper->version);
    cl_int code;
    helper->context = helper->cl->CreateContext (NULL, 1, &helper->device, NULL, NULL, &code);
    for (uint32_t i = 0; i < PXI_HELPER_QUEUES && code == CL_SUCCESS; i++)
        helper->queues[i] = helper->cl->CreateCommandQueue (helper->context, helper->device,
                                                            CL_QUEUE_PROFILING_ENABLE, &code);
    if (code == CL_SUCCESS && pipe (helper->done) == 0)
        return true;
    char room[32];
    snprintf (why, PX_WHY_SIZE, "cannot open the OpenCL device %s: %s", helper->info.name,
              pxi_opencl_text (code, room, sizeof room));
    return false;
}

static bool greet (pxi_helper *helper, bool opened, const char *why)
{
    pxi_device_message message;
    pxi_device_message_init (&message, opened ? PXI_DEVICE_MSG_READY : PXI_DEVICE_MSG_REFUSED, 0);
    message.info = helper->info;
    if (!opened)
        pxi_helper_refuse (&message, PX_ENOMODULE, "%s", why);
    return send_only (helper->config->fd, &message) && opened;
}

/* ---- requests ---------------------------------------------------------------------------------
 */

/* Memory that comes with a RUN is the slot's from now on. */
static bool take_slot_memory (pxi_helper *helper, const pxi_device_message *request,
                              pxi_device_memory *memory)
{
    if (request->kind != PXI_DEVICE_MSG_RUN || !memory->data)
        return true;
    if (request->slot >= PXI_DEVICE_SLOTS || helper->slots[request->slot].busy)
        return false;
    if (helper->slots[request->slot].memory.data)
        helper->cl->Finish (helper->slots[request->slot].queue); /* it may still be let go of */
    pxi_device_memory_free (&helper->slots[request->slot].memory);
    helper->slots[request->slot].memory = *memory;
    *memory = (pxi_device_memory){-1, NULL, 0};
    return true;
}

/* True: `answer` is to be sent. */
static bool serve_request (pxi_helper *helper, const pxi_device_message *request,
                           pxi_device_memory *memory, pxi_device_message *answer)
{
    switch (request->kind) {
    case PXI_DEVICE_MSG_BUILD:
        pxi_device_message_init (answer, PXI_DEVICE_MSG_BUILT, request->id);
        pxi_helper_build (helper, request, memory, answer);
        return true;
    case PXI_DEVICE_MSG_FORGET:
        pxi_helper_forget (helper, request->id);
        return false;
    case PXI_DEVICE_MSG_KEEP:
        pxi_device_message_init (answer, PXI_DEVICE_MSG_KEPT, request->id);
        pxi_helper_keep (helper, request, memory, answer);
        return true;
    case PXI_DEVICE_MSG_DROP:
        pxi_helper_drop (helper, request->id);
        return false;
    default:
        pxi_device_message_init (answer, PXI_DEVICE_MSG_RAN, request->id);
        return !pxi_helper_run (helper, request, answer);
    }
}

/* False: the peer is gone, or says what no peer of this build says. */
static bool on_packet (pxi_helper *helper)
{
    pxi_device_message request, answer;
    pxi_device_memory memory = {-1, NULL, 0};
    int fd;
    if (pxi_device_receive (helper->config->fd, &request, &fd) != PXI_DEVICE_RECEIVED)
        return false;
    if (request.kind < PXI_DEVICE_MSG_BUILD || request.kind > PXI_DEVICE_MSG_RUN ||
        (fd >= 0 && pxi_device_memory_map (&memory, fd, request.size) != PX_OK))
        return false;
    bool good = take_slot_memory (helper, &request, &memory);
    if (good && serve_request (helper, &request, &memory, &answer))
        good = send_only (helper->config->fd, &answer);
    pxi_device_memory_free (&memory);
    return good;
}

/* ---- ends -------------------------------------------------------------------------------------
 */

/* 0 = go on; else the code to exit with. */
static int on_end (pxi_helper *helper)
{
    pxi_helper_end end;
    if (read (helper->done[0], &end, sizeof end) != sizeof end || end.slot >= PXI_DEVICE_SLOTS)
        return 1;
    pxi_helper_slot *slot = &helper->slots[end.slot];
    pxi_device_message answer;
    pxi_device_message_init (&answer, PXI_DEVICE_MSG_RAN, slot->id);
    pxi_helper_ran (helper, slot, end.status, &answer);
    if (!send_only (helper->config->fd, &answer))
        return 1;
    return end.status < 0 ? PXI_DEVICE_EXIT_FAILED : 0;
}

/* A device that uses the host's memory has nothing to copy while it computes, and where it is the host's
 * processor (PoCL) the end of a chunk is told by the threads that compute the next: it would be told with that
 * one's. So there the next one stays in the socket until this one has ended. */
static bool is_full (const pxi_helper *helper)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++)
        n += helper->slots[i].busy;
    return helper->info.unified && n > 0;
}

static int loop (pxi_helper *helper)
{
    for (;;) {
        short events =
            is_full (helper) ? 0 : POLLIN; /* that the peer is gone is told all the same */
        struct pollfd fds[] = {{.fd = helper->config->fd, .events = events},
                               {.fd = helper->done[0], .events = POLLIN}};
        if (poll (fds, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return 1;
        }
        int code = fds[1].revents ? on_end (helper) : 0;
        if (code)
            return code;
        if (fds[0].revents && !on_packet (helper))
            return 0;
    }
}

int pxi_helper_serve (const pxi_helper_config *config)
{
    pxi_helper *helper = calloc (1, sizeof *helper);
    pxi_opencl *cl = calloc (1, sizeof *cl);
    if (!helper || !cl)
        return 1;
    helper->config = config;
    helper->cl = cl;
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++) {
        helper->slots[i].helper = helper;
        helper->slots[i].memory.fd = -1;
    }
    char why[PX_WHY_SIZE] = "";
    bool opened = open_device (helper, why);
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++)
        helper->slots[i].queue = helper->queues[i % PXI_HELPER_QUEUES];
    /* The process ends with it: nothing is torn down under a driver whose threads still run. */
    return greet (helper, opened, why) ? loop (helper) : 0;
}
