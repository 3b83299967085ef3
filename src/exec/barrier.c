/* membarrier (2), the expedited one of this process. */
#include "exec/barrier.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

bool pxi_barrier_register (void)
{
    return syscall (SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void pxi_barrier_heavy (void)
{
    int refused = (int)syscall (SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
#ifndef PXI_WITH_TSAN
    if (refused)
        atomic_thread_fence (memory_order_seq_cst);
#else
    (void)refused;
#endif
}
