#include "common/executor.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The running program's directory, with what to add to it. */
static bool beside (const char *relative, char path[PATH_MAX])
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
    return access (path, X_OK) == 0;
}

bool executor_find (char path[PATH_MAX])
{
    char first[PATH_MAX];
    if (beside ("px_exec", path))
        return true;
    memcpy (first, path, sizeof first);
    if (beside ("../libexec/peerexec/px_exec", path))
        return true;
    memcpy (path, first, sizeof first);
    return false;
}

bool sibling_find (const char *name, char path[PATH_MAX])
{
    return beside (name, path);
}
