#include "common/profiles.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool profiles_directory (char path[PATH_MAX])
{
    const char *data = getenv ("XDG_DATA_HOME"), *home = getenv ("HOME");
    if (data && *data == '/') /* a relative one is to be ignored, says the XDG specification */
        return snprintf (path, PATH_MAX, "%s/peerexec/profiles", data) < PATH_MAX;
    return home && *home &&
           snprintf (path, PATH_MAX, "%s/.local/share/peerexec/profiles", home) < PATH_MAX;
}

bool profiles_make (const char *directory)
{
    char path[PATH_MAX];
    if (snprintf (path, sizeof path, "%s", directory) >= PATH_MAX)
        return errno = ENAMETOOLONG, false;
    for (char *slash = path + 1; (slash = strchr (slash, '/')); *slash++ = '/') {
        *slash = 0;
        if (mkdir (path, 0755) != 0 && errno != EEXIST)
            return false;
    }
    return mkdir (path, 0755) == 0 || errno == EEXIST;
}
