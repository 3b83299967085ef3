/* What is taken from the host: time and chance. Never used by the core, which is handed both. */
#ifndef PXI_BASE_CLOCK_H
#define PXI_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Monotonic nanoseconds; the clock of all deadlines. Stands still for nobody, jumps for nobody. */
uint64_t pxi_clock_ns (void);
/* Nanoseconds since 1970: for incarnations and for what people read; it may jump. */
uint64_t pxi_clock_unix_ns (void);
/* 64 random bits of the system; not 0. */
uint64_t pxi_system_seed (void);

/* Of these clocks, or of a duration, as system calls want it. */
static inline struct timespec pxi_clock_timespec (uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / UINT64_C (1000000000)),
                             .tv_nsec = (long)(ns % UINT64_C (1000000000))};
}

#endif
