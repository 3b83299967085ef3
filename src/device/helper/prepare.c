/* What drivers want of their surroundings: PoCL crashes where its cache cannot be written, aborts where PATH
 * has no linker, and finds nothing without a home. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/helper/helper.h"

static bool make_directory (const char *path)
{
    char part[PATH_MAX];
    if (snprintf (part, sizeof part, "%s", path) >= (int)sizeof part || !part[0])
        return false;
    for (char *at = part + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        mkdir (part, 0777);
        *at = '/';
    }
    mkdir (part, 0700);
    struct stat info;
    return stat (part, &info) == 0 && S_ISDIR (info.st_mode) && info.st_uid == geteuid () &&
           access (part, R_OK | W_OK | X_OK) == 0;
}

static bool try_directory (char path[PATH_MAX], const char *base, const char *rest)
{
    return base && base[0] == '/' && snprintf (path, PATH_MAX, "%s%s", base, rest) < PATH_MAX &&
           make_directory (path);
}

static bool choose_cache (char path[PATH_MAX], const char *given)
{
    char own[64];
    snprintf (own, sizeof own, "/peerexec-opencl-%u", (unsigned)geteuid ());
    if (given)
        return try_directory (path, given, "");
    return try_directory (path, getenv ("XDG_CACHE_HOME"), "/peerexec/opencl") ||
           try_directory (path, getenv ("HOME"), "/.cache/peerexec/opencl") ||
           try_directory (path, getenv ("TMPDIR"), own) || try_directory (path, "/tmp", own);
}

bool pxi_helper_prepare (const char *given, const char *threads, char cache[PATH_MAX])
{
    char pocl[PATH_MAX];
    if (!choose_cache (cache, given) || !try_directory (pocl, cache, "/pocl"))
        return false;
    setenv ("POCL_CACHE_DIR", pocl, 1);
    setenv ("HOME", cache, 0);
    const char *path = getenv ("PATH");
    if (!path || !path[0])
        setenv ("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
    if (threads) {
        setenv ("POCL_MAX_PTHREAD_COUNT", threads, 1); /* 3.1 and before */
        setenv ("POCL_CPU_MAX_CU_COUNT", threads, 1);
    }
    return true;
}
