/* What the tools that run a task are given on their command line: MODULE.so TASK [ARG|-]. */
#ifndef TOOLS_COMMON_PROGRAM_H
#define TOOLS_COMMON_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

enum { PROGRAM_NAME_SIZE = 256 };

struct input {
    char *bytes;
    size_t size;
};

/* `argument` NULL: nothing; "-": standard input. False: errno says why. */
bool program_input (const char *argument, struct input *input);
/* "module.task"; a TASK without a dot is the module's own. False: the module does not say its name. */
bool program_task (const char *module, const char *task, char name[PROGRAM_NAME_SIZE]);

#endif
