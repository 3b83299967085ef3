/* A module that needs what nobody has. */
#include <peerexec/module.h>

px_err nobody_has_this (void);

static px_err needy (px_task *task, const void *input, size_t input_size)
{
    return nobody_has_this ();
}

PX_MODULE ("needy", "1.0")
PX_TASK (needy)
