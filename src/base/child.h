/* Programs that a peer starts beside itself: executors, device helpers. */
#ifndef PXI_BASE_CHILD_H
#define PXI_BASE_CHILD_H

#include <stdint.h>
#include <sys/types.h>

/* A descriptor in place of this one with a number above those that a child's own are moved to, so that
 * moving one never closes another. -1 stays -1; on failure fd is closed. */
int pxi_child_fd (int fd);

/* Start arguments[0] in a process group of its own: standard input is /dev/null, fds[i] becomes
 * descriptor 3 + i, all above those are closed, no signal is blocked or handled. Returns 0 or an errno.
 */
int pxi_child_spawn (pid_t *pid, const char *const *arguments, const int *fds, uint32_t n_fds);

#endif
