/* What is taken from the host: time and chance. Never used by the core, which is handed both. */
#ifndef PXI_BASE_CLOCK_H
#define PXI_BASE_CLOCK_H

#include <stdint.h>

/* Monotonic nanoseconds; the clock of all deadlines. Stands still for nobody, jumps for nobody. */
uint64_t pxi_clock_ns (void);
/* Nanoseconds since 1970: for incarnations and for what people read; it may jump. */
uint64_t pxi_clock_unix_ns (void);
/* 64 random bits of the system; not 0. */
uint64_t pxi_system_seed (void);

#endif
