/* Does the suite notice? One test per mutant of mutants.h: the worlds of seeds 1, 2, ... are played with it
 * until one is red, at most as many as its line allows. A mutant that survives says that a check is
 * missing. Each runs in a process of its own, since a mutant may also fail an assertion of the core.
 *
 *     mutants               all of them, and the core as it is, which must stay green
 *     mutants NAME [SEED]   one, with why each seed was red; or of one seed only
 *
 * Writes TAP. */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/carrier.h"
#include "mutants.h"
#include "sim/swarm.h"

enum { GREEN_SEEDS = 40, HANGS_AFTER_S = 60 };
enum { EXIT_GREEN = 0, EXIT_RED = 1 };

px_mutant px_mutant_on;

typedef struct mutant {
    const char *name, *what;
    uint64_t seeds;
} mutant_t;

static const mutant_t mutants[] = {{"NONE", "the core as it is", GREEN_SEEDS},
#define LINE(name, seeds, what) {#name, what, seeds},
                                   PX_MUTANTS (LINE)
#undef LINE
};
enum { N_MUTANTS = sizeof mutants / sizeof *mutants };

/* True: it was noticed. */
static bool play (uint64_t seed)
{
    static pxi_world_report report;
    pxi_swarm swarm;
    carrier_t carrier = {0};
    pxi_swarm_draw (&swarm, seed);
    swarm.config.carry = swarm.config.damage_ppm ? carrier_carry : NULL;
    swarm.config.carry_context = &carrier;
    pxi_world *world = pxi_world_new (&swarm.config);
    if (!world)
        abort ();
    pxi_world_play (world, NULL, &report);
    pxi_world_free (&world);
    carrier_fini (&carrier);
    pxi_swarm_fini (&swarm);
    if (report.verdict == PXI_VERDICT_FINE)
        return false;
    report.why[strcspn (report.why, "\n")] = 0;
    printf ("# seed %" PRIu64 ": %s\n", seed, report.why);
    return true;
}

/* In the child. */
static int hunt (px_mutant mutant, uint64_t from, uint64_t to)
{
    px_mutant_on = mutant;
    alarm (HANGS_AFTER_S); /* ended by SIGALRM, which is no red */
    for (uint64_t seed = from; seed <= to; seed++) {
        if (play (seed))
            return EXIT_RED;
    }
    return EXIT_GREEN;
}

static bool is_red (int status)
{
    if (WIFSIGNALED (status))
        printf ("# ended by signal %d\n", WTERMSIG (status));
    return (WIFSIGNALED (status) && WTERMSIG (status) == SIGABRT) ||
           (WIFEXITED (status) && WEXITSTATUS (status) == EXIT_RED);
}

static bool is_green (int status)
{
    return WIFEXITED (status) && WEXITSTATUS (status) == EXIT_GREEN;
}

static int child_of (px_mutant mutant, uint64_t from, uint64_t to)
{
    int status = -1;
    fflush (stdout);
    pid_t child = fork ();
    if (child == 0) {
        int code = hunt (mutant, from, to);
        fflush (stdout);
        _exit (code);
    }
    if (child < 0 || waitpid (child, &status, 0) != child)
        abort ();
    return status;
}

static uint64_t first_of (px_mutant mutant)
{
    bool of_devices = !strncmp (mutants[mutant].name, "DEVICE_", 7);
    return of_devices ? PXI_SWARM_DEVICES_FROM + 1 : 1;
}

static bool test (px_mutant mutant)
{
    const mutant_t *line = &mutants[mutant];
    uint64_t before = first_of (mutant) - 1;
    int status = child_of (mutant, before + 1, before + line->seeds);
    bool fine = mutant == PX_MUTANT_NONE ? is_green (status) : is_red (status);
    printf ("%sok %d - %s: without \"%s\", %s within %" PRIu64 " seeds\n", fine ? "" : "not ",
            mutant + 1, line->name, line->what, mutant ? "red" : "green", line->seeds);
    return fine;
}

static int find (const char *name)
{
    for (int i = 0; i < N_MUTANTS; i++) {
        if (!strcmp (mutants[i].name, name))
            return i;
    }
    fprintf (stderr, "mutants: no \"%s\" in mutants.h\n", name);
    exit (2);
}

static int explore (const char *name, const char *only)
{
    px_mutant mutant = (px_mutant)find (name);
    uint64_t from = only ? strtoull (only, NULL, 10) : first_of (mutant);
    uint64_t to = only ? from : from + mutants[mutant].seeds - 1;
    uint32_t n_red = 0;
    for (uint64_t seed = from; seed <= to; seed++)
        n_red += is_red (child_of (mutant, seed, seed));
    printf ("# %u of %" PRIu64 " seeds red\n", n_red, to - from + 1);
    return 0;
}

int main (int argc, char **argv)
{
    bool fine = true;
    if (argc > 1)
        return explore (argv[1], argc > 2 ? argv[2] : NULL);
    printf ("1..%d\n", N_MUTANTS);
    for (int mutant = 0; mutant < N_MUTANTS; mutant++)
        fine &= test ((px_mutant)mutant);
    return fine ? 0 : 1;
}
