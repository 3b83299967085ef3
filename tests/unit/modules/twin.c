/* Another file with the name of the module in good.c. */
#include <peerexec/module.h>

static px_err other (px_task *task, const void *input, size_t input_size)
{
    return PX_OK;
}

PX_MODULE ("good", "2.0")
PX_TASK (other)
