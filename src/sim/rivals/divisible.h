/* Work stealing on divisible work: W units on one of p processors, each idle one asks a random other for half
 * of what it has left. Known to take W/p plus a few times hop * log2 (W / (2 hop)): Gast, Khatiri, Trystram,
 * Wagner, "A new analysis of work stealing with latency" (2018). One thread. */
#ifndef PXI_SIM_RIVALS_DIVISIBLE_H
#define PXI_SIM_RIVALS_DIVISIBLE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct pxi_divisible_config {
    uint64_t seed, work_ns, hop_ns;
    uint32_t n_processors; /* at least 2 */
} pxi_divisible_config;

typedef struct pxi_divisible_report {
    uint64_t makespan_ns, done_ns; /* done: by all of them; equals the work */
    uint64_t n_asked, n_stolen;
} pxi_divisible_report;

/* False: out of memory. */
bool pxi_divisible_run (const pxi_divisible_config *config, pxi_divisible_report *report);

#endif
