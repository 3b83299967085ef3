/* Which devices a host has: asked of a helper, which may crash in a driver like any other. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "device/client.h"

void pxi_device_finder_start (pxi_device_finder *finder, const pxi_device_program_config *config,
                              uint64_t now_ns, uint64_t limit_ns)
{
    memset (finder, 0, sizeof *finder);
    finder->deadline_ns = limit_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + limit_ns;
    finder->done = pxi_device_process_start (&finder->process, config, PXI_DEVICE_LIST,
                                             finder->reason) != PX_OK;
}

void pxi_device_finder_end (pxi_device_finder *finder)
{
    pxi_device_process_end (&finder->process);
    finder->done = true;
}

static void take (pxi_device_finder *finder, const pxi_device_message *message)
{
    if (message->kind == PXI_DEVICE_MSG_DEVICE && finder->n_devices < PXI_HOST_DEVICES_MAX) {
        pxi_device_info *info = &finder->devices[finder->n_devices++];
        *info = message->info;
        info->name[PXI_DEVICE_NAME_SIZE - 1] = info->platform[PXI_DEVICE_NAME_SIZE - 1] = '\0';
    } else if (message->kind == PXI_DEVICE_MSG_LISTED) {
        snprintf (finder->reason, sizeof finder->reason, "%.500s", message->text);
        pxi_device_finder_end (finder);
    }
}

void pxi_device_finder_step (pxi_device_finder *finder, uint64_t now_ns)
{
    pxi_device_message message;
    pxi_device_receipt receipt = PXI_DEVICE_NOTHING;
    int memory = -1;
    while (!finder->done && (receipt = pxi_device_receive (finder->process.fd, &message,
                                                           &memory)) == PXI_DEVICE_RECEIVED) {
        if (memory >= 0)
            close (memory);
        take (finder, &message);
    }
    if (finder->done || (receipt == PXI_DEVICE_NOTHING && now_ns < finder->deadline_ns))
        return;
    snprintf (finder->reason, sizeof finder->reason,
              receipt == PXI_DEVICE_NOTHING ? "the search for devices took too long"
                                            : "the device helper died while it looked for devices");
    finder->n_devices = 0;
    pxi_device_finder_end (finder);
}
