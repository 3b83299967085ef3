/* A device helper that does what its --cache says instead: for tests of what the peer makes of it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/message.h"

static const char *role = "";

static bool plays (const char *name)
{
    return strcmp (role, name) == 0;
}

static void answer (pxi_device_kind kind, uint64_t id, px_err err, const char *text)
{
    pxi_device_message message;
    pxi_device_message_init (&message, kind, id);
    message.err = err;
    message.info.memory_size = 1000;
    pxi_device_message_add (&message, text);
    if (!pxi_device_send (PXI_DEVICE_FD, &message, -1))
        exit (0);
}

/* A chunk's outputs stay as they are, so the peer reads back what it has written. */
static void on_run (const pxi_device_message *request)
{
    if (plays ("dies"))
        raise (SIGKILL);
    if (plays ("silent in a chunk"))
        return;
    if (plays ("another's chunk"))
        answer (PXI_DEVICE_MSG_RAN, request->id + 1, PX_OK, "");
    else if (plays ("fails and ends")) {
        answer (PXI_DEVICE_MSG_RAN, request->id, PX_EFAILED, "the device is broken");
        exit (PXI_DEVICE_EXIT_FAILED);
    } else
        answer (PXI_DEVICE_MSG_RAN, request->id, PX_OK, "");
}

static void serve (const pxi_device_message *request)
{
    switch (request->kind) {
    case PXI_DEVICE_MSG_BUILD:
        while (plays ("silent in a build"))
            pause (); /* and takes nothing more */
        answer (PXI_DEVICE_MSG_BUILT, request->id, plays ("no build") ? PX_EFAILED : PX_OK, "log");
        break;
    case PXI_DEVICE_MSG_KEEP:
        answer (PXI_DEVICE_MSG_KEPT, request->id, plays ("no room") ? PX_ETOOBIG : PX_OK, "full");
        break;
    case PXI_DEVICE_MSG_RUN:
        if (plays ("no build") || plays ("no room"))
            answer (PXI_DEVICE_MSG_RAN, request->id, PX_EFAILED, "log");
        else
            on_run (request);
        break;
    default:
        break;
    }
}

int main (int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i++)
        role = strcmp (argv[i], "--cache") == 0 ? argv[i + 1] : role;
    if (plays ("dies at start"))
        return 1;
    if (plays ("nonsense") && write (PXI_DEVICE_FD, "what?", 5) != 5)
        return 1;
    if (plays ("refuses"))
        answer (PXI_DEVICE_MSG_REFUSED, 0, PX_ENOMODULE, "no such device");
    else if (!plays ("silent"))
        answer (PXI_DEVICE_MSG_READY, 0, PX_OK, "");
    for (;;) {
        pxi_device_message request;
        int memory;
        if (pxi_device_receive (PXI_DEVICE_FD, &request, &memory) != PXI_DEVICE_RECEIVED)
            return 0;
        if (memory >= 0)
            close (memory);
        serve (&request);
    }
}
