/* A module as it should be: three tasks. */
#include <peerexec/module.h>

static px_err alpha (px_task *task, const void *input, size_t input_size)
{
    return PX_OK;
}
static px_err beta (px_task *task, const void *input, size_t input_size)
{
    return PX_EINVAL;
}
static px_err gamma_2 (px_task *task, const void *input, size_t input_size)
{
    return PX_EFULL;
}

PX_MODULE ("good", "1.0")
PX_TASK (beta)
PX_TASK (gamma_2)
PX_TASK (alpha)
