/* posix_spawn, which in glibc is vfork-like, so a peer of any size starts one at once and no lock of
 * another thread is copied into the child. Descriptors: all of ours are close-on-exec; whatever else
 * the host program left open is closed by number. The process group keeps Ctrl-C in a terminal from
 * the child, which its peer ends. */
#include "base/child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

extern char **environ;

enum { FD_FIRST = 3, FD_SAFE = 10 };

int pxi_child_fd (int fd)
{
    if (fd < 0 || fd >= FD_SAFE)
        return fd;
    int moved = fcntl (fd, F_DUPFD_CLOEXEC, FD_SAFE);
    close (fd);
    return moved;
}

static int set_files (posix_spawn_file_actions_t *files, const int *fds, uint32_t n_fds)
{
    int result = posix_spawn_file_actions_addopen (files, 0, "/dev/null", O_RDONLY, 0);
    for (uint32_t i = 0; i < n_fds && !result; i++)
        result = posix_spawn_file_actions_adddup2 (files, fds[i], FD_FIRST + (int)i);
    if (!result)
        result = posix_spawn_file_actions_addclosefrom_np (files, FD_FIRST + (int)n_fds);
    return result;
}

int pxi_child_spawn (pid_t *pid, const char *const *arguments, const int *fds, uint32_t n_fds)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    sigemptyset (&none);
    sigfillset (&all);
    posix_spawn_file_actions_init (&files);
    posix_spawnattr_init (&attributes);
    int result = set_files (&files, fds, n_fds);
    posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                               POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask (&attributes, &none);
    posix_spawnattr_setsigdefault (&attributes, &all);
    if (!result)
        result =
            posix_spawn (pid, arguments[0], &files, &attributes, (char *const *)arguments, environ);
    posix_spawn_file_actions_destroy (&files);
    posix_spawnattr_destroy (&attributes);
    return result;
}
