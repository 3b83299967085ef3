#include "common/executor.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The running program's directory, with what to add to it. */
static bool beside (const char *relative, int mode, char path[PATH_MAX])
{
    char self[PATH_MAX];
    ssize_t length = readlink ("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0)
        return false;
    self[length] = 0;
    char *slash = strrchr (self, '/');
    if (slash)
        *slash = 0;
    if (snprintf (path, PATH_MAX, "%s/%s", self, relative) >= PATH_MAX)
        return false;
    return access (path, mode) == 0;
}

/* The first one that is there; if none is, `path` holds the first one looked at. */
static bool first_of (const char *const *relative, int mode, char path[PATH_MAX])
{
    for (uint32_t i = 0; relative[i]; i++) {
        if (beside (relative[i], mode, path))
            return true;
    }
    beside (relative[0], mode, path);
    return false;
}

bool executor_find (char path[PATH_MAX])
{
    return first_of ((const char *const[]){"px_exec", "../libexec/peerexec/px_exec", NULL}, X_OK,
                     path);
}

bool device_helper_find (char path[PATH_MAX])
{
    return first_of ((const char *const[]){"px_device", "../libexec/peerexec/px_device", NULL},
                     X_OK, path);
}

bool module_find (const char *name, char path[PATH_MAX])
{
    char example[NAME_MAX], installed[NAME_MAX];
    snprintf (example, sizeof example, "../examples/%s", name);
    snprintf (installed, sizeof installed, "../libexec/peerexec/%s", name);
    return first_of ((const char *const[]){name, example, installed, NULL}, R_OK, path);
}

bool sibling_find (const char *name, char path[PATH_MAX])
{
    return beside (name, X_OK, path);
}
