/* Asymmetric barriers: the side that runs all the time pays nothing but order of its own compiler, the
 * side that comes seldom passes a barrier in all threads of the process (membarrier). Together they are
 * a full fence on both sides. */
#ifndef PXI_EXEC_BARRIER_H
#define PXI_EXEC_BARRIER_H

#include <stdatomic.h>
#include <stdbool.h>

/* ThreadSanitizer does not model fences: there the accesses around a barrier are strong themselves. */
#if defined(__SANITIZE_THREAD__)
#define PXI_WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PXI_WITH_TSAN 1
#endif
#endif
#ifdef PXI_WITH_TSAN
#define PXI_BARRIER_ORDER memory_order_seq_cst
#else
#define PXI_BARRIER_ORDER memory_order_relaxed
#endif

/* Once per process, any number of times. False: the system refuses, and the heavy side is a barrier for
 * the calling thread only: nothing may rely on the light one. */
bool pxi_barrier_register (void);
void pxi_barrier_heavy (void);

static inline void pxi_barrier_light (void)
{
    atomic_signal_fence (memory_order_seq_cst);
}

#endif
