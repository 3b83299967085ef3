/* Worlds by seed: one test each.
 *
 *     seeds A..B            the worlds that these seeds draw
 *     seeds --twice A..B    each twice: the traces must be the same, byte for byte
 *     seeds --wire A..B     every message goes through the codec of the wire
 *     seeds --pinned FILE   seeds that once failed: a number per line, # and why
 *     seeds --hashes FILE   each line a seed and the hash of its trace, whatever compiler made this. A change
 *                           of what the core decides changes them: PX_TRACE_UPDATE=1 writes them anew
 *
 * A failure is printed with its reason and the one command that replays it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/carrier.h"
#include "sim/swarm.h"

typedef struct memory {
    char *text;
    size_t size, room;
} memory_t;

static void keep (void *context, uint64_t now_ns, const char *who, const char *line)
{
    memory_t *memory = context;
    size_t wanted = memory->size + strlen (who) + strlen (line) + 32;
    if (wanted > memory->room) {
        memory->room = 2 * wanted;
        memory->text = realloc (memory->text, memory->room);
        if (!memory->text)
            abort ();
    }
    memory->size +=
        (size_t)sprintf (memory->text + memory->size, "%" PRIu64 " %s %s\n", now_ns, who, line);
}

static pxi_world_report report; /* of the last world */

static bool play (uint64_t seed, memory_t *memory, bool wire)
{
    pxi_swarm swarm;
    carrier_t carrier = {0};
    pxi_swarm_draw (&swarm, seed);
    if (memory) {
        memory->size = 0;
        swarm.config.sink = keep;
        swarm.config.sink_context = memory;
        swarm.config.network_lines = true;
    }
    if (wire || swarm.config.damage_ppm) {
        swarm.config.carry = carrier_carry;
        swarm.config.carry_context = &carrier;
    }
    pxi_world *world = pxi_world_new (&swarm.config);
    if (!world)
        return false;
    pxi_world_play (world, NULL, &report);
    if (report.verdict != PXI_VERDICT_FINE) {
        for (char *line = strtok (report.why, "\n"); line; line = strtok (NULL, "\n"))
            printf ("# %s\n", line);
        printf ("# replay: peer-sim --swarm --seed %" PRIu64 " --shrink --trace -\n", seed);
    }
    pxi_world_free (&world);
    pxi_swarm_fini (&swarm);
    carrier_fini (&carrier);
    return report.verdict == PXI_VERDICT_FINE;
}

static bool play_twice (uint64_t seed)
{
    memory_t first = {0}, second = {0};
    bool fine = play (seed, &first, false) && play (seed, &second, false);
    bool same = first.size == second.size && !memcmp (first.text, second.text, first.size);
    if (fine && !same)
        printf ("# seed %" PRIu64 ": two traces, %zu and %zu bytes\n", seed, first.size,
                second.size);
    free (first.text);
    free (second.text);
    return fine && same;
}

static uint32_t n_tests;

static bool test (uint64_t seed, const char *how, const char *why)
{
    bool twice = !strcmp (how, "--twice"), wire = !strcmp (how, "--wire");
    bool fine = twice ? play_twice (seed) : play (seed, NULL, wire);
    printf ("%sok %u - seed %" PRIu64 "%s%s\n", fine ? "" : "not ", ++n_tests, seed,
            *why ? ": " : "", why);
    fflush (stdout);
    return fine;
}

static bool test_range (const char *how, const char *range)
{
    char *end;
    bool fine = true;
    uint64_t from = strtoull (range, &end, 10), to = from;
    if (!strncmp (end, "..", 2))
        to = strtoull (end + 2, &end, 10);
    if (*end || to < from) {
        fprintf (stderr, "seeds: \"%s\" is not A..B\n", range);
        exit (2);
    }
    printf ("1..%" PRIu64 "\n", to - from + 1);
    for (uint64_t seed = from; seed <= to; seed++)
        fine &= test (seed, how, "");
    return fine;
}

static bool test_pinned (const char *path)
{
    char line[512];
    bool fine = true;
    FILE *file = fopen (path, "r");
    if (!file) {
        perror (path);
        exit (2);
    }
    while (fgets (line, sizeof line, file)) {
        char *why;
        uint64_t seed = strtoull (line, &why, 10);
        if (why == line)
            continue; /* a remark */
        why += strspn (why, " #");
        why[strcspn (why, "\n")] = 0;
        fine &= test (seed, "", why);
    }
    fclose (file);
    printf ("1..%u\n", n_tests);
    return fine;
}

static uint64_t hash_of (uint64_t seed)
{
    memory_t trace = {0};
    play (seed, &trace, false);
    free (trace.text);
    return report.trace_hash;
}

enum { HASHES_MAX = 64 };

/* With `update` every hash is as it should be, and is written. */
static bool test_hashes (const char *path, bool update)
{
    uint64_t seeds[HASHES_MAX], hashes[HASHES_MAX], wanted;
    uint32_t n = 0, n_wrong = 0;
    FILE *file = fopen (path, "r");
    if (!file) {
        perror (path);
        exit (2);
    }
    while (n < HASHES_MAX && fscanf (file, "%" SCNu64 " %" SCNx64, &seeds[n], &wanted) == 2) {
        hashes[n] = hash_of (seeds[n]);
        bool same = update || hashes[n] == wanted;
        n_wrong += !same;
        printf ("%sok %u - seed %" PRIu64 ": trace %016" PRIx64 "\n", same ? "" : "not ", n + 1,
                seeds[n], hashes[n]);
        n++;
    }
    fclose (file);
    printf ("1..%u\n", n);
    if (n_wrong)
        printf (
            "# if the core was meant to decide otherwise: PX_TRACE_UPDATE=1 seeds --hashes %s\n",
            path);
    file = update ? fopen (path, "w") : NULL;
    for (uint32_t i = 0; file && i < n; i++)
        fprintf (file, "%" PRIu64 " %016" PRIx64 "\n", seeds[i], hashes[i]);
    return n && !n_wrong && (!file || !fclose (file));
}

int main (int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf (stderr,
                 "usage: seeds [--twice | --wire] A..B, or seeds [--pinned | --hashes] FILE\n");
        return 2;
    }
    const char *how = argc == 3 ? argv[1] : "";
    bool fine = false;
    if (!strcmp (how, "--pinned"))
        fine = test_pinned (argv[2]);
    else if (!strcmp (how, "--hashes"))
        fine = test_hashes (argv[2], getenv ("PX_TRACE_UPDATE") != NULL);
    else
        fine = test_range (how, argv[argc - 1]);
    return fine ? 0 : 1;
}
