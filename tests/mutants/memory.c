/* Worlds by seed in which the allocations of every core fail at random until all is calm: nothing that was
 * promised may break, and afterwards the jobs must end.
 *
 *     memory A..B         writes TAP */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"
#undef calloc
#undef malloc
#include "common/carrier.h"
#include "sim/swarm.h"

enum { LARGE = 2000 }; /* a core itself: who cannot make it does not start */

static pxi_prng prng;
static uint32_t fail_ppm, n_failed;
static bool spare_next;

static bool fails (bool spared)
{
    if (spared || !fail_ppm || !pxi_prng_chance (&prng, fail_ppm))
        return false;
    n_failed++;
    return true;
}

void *memory_calloc (size_t n, size_t size)
{
    bool spared = spare_next || n * size >= LARGE;
    spare_next = n * size >= LARGE; /* its view comes next */
    return fails (spared) ? NULL : calloc (n, size);
}

void *memory_malloc (size_t size)
{
    return fails (false) ? NULL : malloc (size);
}

static bool play (uint64_t seed)
{
    static pxi_world_report report;
    pxi_swarm swarm;
    carrier_t carrier = {0};
    pxi_swarm_draw (&swarm, seed);
    swarm.config.short_of_memory = true;
    swarm.config.carry = swarm.config.damage_ppm ? carrier_carry : NULL;
    swarm.config.carry_context = &carrier;
    pxi_prng_init (&prng, seed);
    pxi_world *world = pxi_world_new (&swarm.config);
    if (!world)
        abort ();
    fail_ppm = (uint32_t)pxi_prng_between (&prng, 100, 100000);
    pxi_world_run_jobs (world, swarm.config.calm_ns);
    fail_ppm = 0;
    pxi_world_play (world, NULL, &report);
    pxi_world_free (&world);
    pxi_swarm_fini (&swarm);
    carrier_fini (&carrier);
    if (report.verdict == PXI_VERDICT_FINE)
        return true;
    for (char *line = strtok (report.why, "\n"); line; line = strtok (NULL, "\n"))
        printf ("# %s\n", line);
    return false;
}

int main (int argc, char **argv)
{
    uint64_t from, to;
    uint32_t n_tests = 0, n_bad = 0, n_all_failed = 0;
    if (argc != 2 || sscanf (argv[1], "%" SCNu64 "..%" SCNu64, &from, &to) != 2 || to < from) {
        fprintf (stderr, "usage: memory A..B\n");
        return 2;
    }
    printf ("1..%" PRIu64 "\n", to - from + 2);
    for (uint64_t seed = from; seed <= to; seed++) {
        n_failed = 0;
        bool fine = play (seed);
        n_bad += !fine;
        n_all_failed += n_failed;
        printf ("%sok %u - seed %" PRIu64 ", %u allocations failed\n", fine ? "" : "not ",
                ++n_tests, seed, n_failed);
    }
    printf ("%sok %u - allocations failed\n", n_all_failed ? "" : "not ", n_tests + 1);
    return n_bad || !n_all_failed;
}
