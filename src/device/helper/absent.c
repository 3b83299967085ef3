/* The helper of a build without OpenCL: says so. */
#include "device/helper/helper.h"
#include "device/message.h"

static const char why[] = "built without OpenCL (-Dopencl=disabled, or no CL/cl.h)";

static int answer (int fd, pxi_device_kind kind)
{
    pxi_device_message message;
    pxi_device_message_init (&message, kind, 0);
    message.err = PX_ENOMODULE;
    pxi_device_message_add (&message, why);
    return pxi_device_send (fd, &message, -1) ? 0 : 1;
}

int pxi_helper_list (const pxi_helper_config *config)
{
    return answer (config->fd, PXI_DEVICE_MSG_LISTED);
}

int pxi_helper_serve (const pxi_helper_config *config)
{
    return answer (config->fd, PXI_DEVICE_MSG_REFUSED);
}
