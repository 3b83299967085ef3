/* Where px_exec, the program that runs task code, is: beside the running program (in a build tree),
 * or in libexec of the same installation. */
#ifndef TOOLS_COMMON_EXECUTOR_H
#define TOOLS_COMMON_EXECUTOR_H

#include <limits.h>
#include <stdbool.h>

/* False: in neither place; `path` holds the first one looked at. */
bool executor_find (char path[PATH_MAX]);
/* The same for px_device, the program that devices are served by. */
bool device_helper_find (char path[PATH_MAX]);
/* A module of ours: beside the running program, among the examples of the same build, or in libexec. */
bool module_find (const char *name, char path[PATH_MAX]);
/* A program of ours that lies in the running program's directory. */
bool sibling_find (const char *name, char path[PATH_MAX]);

#endif
