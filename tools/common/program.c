#include "common/program.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peerexec/module.h>

enum { INPUT_STEP = 65536 };

static bool read_all (struct input *input)
{
    size_t room = 0;
    for (;;) {
        if (room - input->size < INPUT_STEP) {
            room = 2 * room + INPUT_STEP;
            char *grown = realloc (input->bytes, room);
            if (!grown)
                return false;
            input->bytes = grown;
        }
        ssize_t n = read (STDIN_FILENO, input->bytes + input->size, room - input->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        input->size += (size_t)n;
    }
}

bool program_input (const char *argument, struct input *input)
{
    *input = (struct input){0};
    if (argument && !strcmp (argument, "-"))
        return read_all (input);
    input->bytes = strdup (argument ? argument : "");
    input->size = input->bytes ? strlen (input->bytes) : 0;
    return input->bytes != NULL;
}

bool program_task (const char *module, const char *task, char name[PROGRAM_NAME_SIZE])
{
    if (strchr (task, '.')) {
        snprintf (name, PROGRAM_NAME_SIZE, "%s", task);
        return true;
    }
    void *handle = dlopen (module, RTLD_LAZY | RTLD_LOCAL);
    const px_module_def *def = handle ? dlsym (handle, "px_module_v1") : NULL;
    bool known = def && def->abi == PX_MODULE_ABI;
    if (known)
        snprintf (name, PROGRAM_NAME_SIZE, "%s.%s", def->name, task);
    if (handle)
        dlclose (handle);
    return known;
}
