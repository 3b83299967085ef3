/* Starting is base/child.c's. A helper ends by itself when it reads the end of the socket; it is killed
 * all the same, as it may be inside a kernel that never ends. */
#include "device/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerexec/peer.h>

#include "base/child.h"
#include "base/error.h"

enum { ARGUMENTS_MAX = 12 };

static int spawn (pid_t *pid, const pxi_device_program_config *config, int32_t device, int fd)
{
    char index[16], threads[16], memory[24];
    snprintf (index, sizeof index, "%" PRId32, device);
    snprintf (threads, sizeof threads, "%" PRIu32, config->threads);
    snprintf (memory, sizeof memory, "%" PRIu64, config->memory_max);
    const char *arguments[ARGUMENTS_MAX] = {config->program};
    uint32_t n = 1;
    arguments[n++] = device == PXI_DEVICE_LIST ? "--list" : "--device";
    if (device != PXI_DEVICE_LIST)
        arguments[n++] = index;
    arguments[n++] = "--threads";
    arguments[n++] = threads;
    arguments[n++] = "--memory";
    arguments[n++] = memory;
    if (config->cache) {
        arguments[n++] = "--cache";
        arguments[n++] = config->cache;
    }
    return pxi_child_spawn (pid, arguments, &fd, 1);
}

/* A process that cannot be watched is undone. */
static int start (pxi_device_process *process, const pxi_device_program_config *config,
                  int32_t device)
{
    int sockets[2];
    if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0)
        return errno;
    sockets[1] = pxi_child_fd (sockets[1]);
    int result = sockets[1] < 0 || fcntl (sockets[0], F_SETFL, O_NONBLOCK) != 0 ? errno : 0;
    if (!result)
        result = spawn (&process->pid, config, device, sockets[1]);
    if (sockets[1] >= 0)
        close (sockets[1]);
    if (!result && (process->pidfd = pidfd_open (process->pid, 0)) < 0) {
        result = errno;
        kill (process->pid, SIGKILL);
        waitpid (process->pid, NULL, 0);
    }
    if (result)
        close (sockets[0]);
    else
        process->fd = sockets[0];
    return result;
}

px_err pxi_device_process_start (pxi_device_process *process,
                                 const pxi_device_program_config *config, int32_t device, char *why)
{
    *process = (pxi_device_process){0, -1, -1};
    int result = start (process, config, device);
    if (!result)
        return PX_OK;
    *process = (pxi_device_process){0, -1, -1};
    return pxi_fail (PX_ESYSTEM, why, "cannot start the device helper %s: %s", config->program,
                     strerror (result));
}

void pxi_device_process_kill (pxi_device_process *process)
{
    if (process->pid)
        kill (process->pid, SIGKILL);
}

bool pxi_device_process_died (const pxi_device_process *process)
{
    struct pollfd fd = {.fd = process->pidfd, .events = POLLIN};
    return poll (&fd, 1, 0) > 0;
}

static void forget (pxi_device_process *process)
{
    close (process->fd);
    close (process->pidfd);
    *process = (pxi_device_process){0, -1, -1};
}

bool pxi_device_process_reap (pxi_device_process *process, char *how, size_t size, int *code)
{
    siginfo_t info = {0};
    if (!process->pid || waitid (P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG) != 0 ||
        info.si_pid == 0)
        return false;
    bool exited = info.si_code == CLD_EXITED;
    *code = exited ? info.si_status : -1;
    snprintf (how, size, "%s %d", exited ? "exit code" : "signal", info.si_status);
    forget (process);
    return true;
}

void pxi_device_process_end (pxi_device_process *process)
{
    if (!process->pid)
        return;
    kill (process->pid, SIGKILL);
    while (waitpid (process->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    forget (process);
}
