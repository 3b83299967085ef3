/* Stories: two to five virtual peers, scripted faults, and what they must say about it, line by line.
 *
 *     stories DIRECTORY [NAME]      writes TAP; with a name, that story's text
 *
 * DIRECTORY has one file per story. PX_TRACE_UPDATE=1 writes them anew: read what changed, line by line,
 * before it is believed. A line is "milliseconds  who  fact -> action". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/world.h"

enum { PEERS_MAX = 5, FAULTS_MAX = 4, TEXT_MAX = 1 << 20 };
#define START_NS PXI_SECOND /* the peers know each other by then; what was before is not told */

typedef struct told {
    char *text;
    size_t size;
    uint64_t from_ns;
} told_t;

struct story {
    const char *name;
    const char *what;
    uint32_t slots[PEERS_MAX]; /* as many peers as are not 0 */
    pxi_world_job jobs[2];     /* as many as have a tree */
    pxi_fault faults[FAULTS_MAX];
    bool speculation, volunteers, may_end, twice; /* twice: every message comes twice */
    uint64_t last_ns; /* told until the jobs are over, and this much longer */
};

#define TREE(n, time, size, ...)                                                                   \
    {                                                                                              \
        .depth_max = 1, .fan_min = n, .fan_max = n, .leaf = {PXI_LAW_CONSTANT, time}, .seed = 1,   \
        .size_min = size, .size_max = size, __VA_ARGS__                                            \
    }
#define LOOP(n, time) TREE (n, time, 64, .n_numbers = 0)
#define LARGE(n, time) TREE (n, time, 100000, .n_numbers = 0)
#define SHARED(n, time)                                                                            \
    TREE (n, time, 64, .n_numbers = 0, .shared_ppm = 1000000, .shared_kinds = 1,                   \
          .shared_size_max = 1000000)
#define NUMBERED(n, time, number) TREE (n, time, 64, .n_numbers = 1, .numbers = {number})
#define AT(ms) (START_NS + (ms)*PXI_MS)
#define UNDER_WAY (PXI_MS / 4) /* what was sent then has not arrived yet */

static const struct story stories[] = {
    {.name = "free",
     .what = "A probe carries the oldest subtask; the peer is free and runs it at once.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (2, 100 * PXI_MS)}}},
    {.name = "large",
     .what = "An input that fits no probe: first the question, then the dispatch under a lease.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LARGE (3, 100 * PXI_MS)}}},
    {.name = "shared",
     .what = "An input that all subtasks of the branch have: the worker asks for it once.",
     .slots = {1, 2},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = SHARED (6, 100 * PXI_MS)}}},
    {.name = "shared-lost",
     .what =
         "What was asked for is lost on its way: it is asked for again, and the subtask begins.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = SHARED (2, 100 * PXI_MS)}},
     .faults = {{.kind = PXI_FAULT_ISOLATE,
                 .at_ns = AT (0) + 3 * UNDER_WAY,
                 .peer = 0,
                 .way = 1,
                 .duration_ns = 50 * PXI_MS}}},
    {.name = "shared-gone",
     .what = "The job is cancelled while the worker asks: it is not here any more, nothing begins.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = SHARED (2, 100 * PXI_MS)}},
     .faults = {{.kind = PXI_FAULT_CANCEL, .at_ns = AT (0) + 3 * UNDER_WAY, .peer = 0}},
     .may_end = true,
     .last_ns = PXI_SECOND / 2},
    {.name = "short",
     .what = "Tasks shorter than a round trip, once that is known, go several in one message.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (60, PXI_MS / 4)}}},
    {.name = "busy",
     .what = "The peer is busy and keeps a reservation; when its slot comes free it offers it.",
     .slots = {1, 1},
     .jobs = {{.peer = 1, .at_ns = AT (0), .tree = NUMBERED (1, 200 * PXI_MS, 0)},
              {.peer = 0, .at_ns = AT (50), .tree = LOOP (4, 100 * PXI_MS)}}},
    {.name = "killed",
     .what = "The worker crashes and stays away: after the limit its attempt is redone elsewhere.",
     .slots = {1, 1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (3, 500 * PXI_MS)}},
     .faults = {{.kind = PXI_FAULT_CRASH, .at_ns = AT (200), .peer = 1}}},
    {.name = "frozen",
     .what = "The worker stands still past the limit; its late result is dropped when it resumes.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (2, 500 * PXI_MS)}},
     .faults =
         {{.kind = PXI_FAULT_PAUSE, .at_ns = AT (200), .peer = 1, .duration_ns = 4 * PXI_SECOND}},
     .last_ns = 3 * PXI_SECOND},
    {.name = "silent",
     .what =
         "Nothing is left to do but wait for a worker that stands still: it is asked out of turn,\n"
         "# and when it answers nothing its subtask is done here as well.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (2, 500 * PXI_MS)}},
     .faults =
         {{.kind = PXI_FAULT_PAUSE, .at_ns = AT (200), .peer = 1, .duration_ns = 4 * PXI_SECOND}},
     .speculation = true,
     .last_ns = 3 * PXI_SECOND},
    {.name = "hiccup",
     .what = "The worker stands still for less than the limit: nothing is lost, nothing redone.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (2, 500 * PXI_MS)}},
     .faults =
         {{.kind = PXI_FAULT_PAUSE, .at_ns = AT (200), .peer = 1, .duration_ns = PXI_SECOND}}},
    {.name = "cancelled",
     .what = "The job is cancelled: what is away is cancelled there as well.",
     .slots = {1, 1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (8, 500 * PXI_MS)}},
     .faults = {{.kind = PXI_FAULT_CANCEL, .at_ns = AT (700), .peer = 0}},
     .may_end = true,
     .last_ns = PXI_SECOND},
    {.name = "crashes",
     .what = "A task takes its executor with it twice: it is tried at another peer each time.",
     .slots = {1, 1, 1},
     .jobs = {{.peer = 0,
               .at_ns = AT (0),
               .tree = LOOP (3, 100 * PXI_MS),
               .crash_times = 2,
               .crash_pick = 1}}},
    {.name = "crashes-always",
     .what = "A task that takes every executor with it: after three times that is its outcome.",
     .slots = {1, 1, 1},
     .jobs = {{.peer = 0,
               .at_ns = AT (0),
               .tree = LOOP (3, 100 * PXI_MS),
               .crash_times = UINT32_MAX,
               .crash_pick = 1}},
     .may_end = true},
    {.name = "crashes-together",
     .what =
         "The same deep in a tree: each crash takes those along who count the others, and what\n"
         "# they had is asked for anew. The peers remember: without that it went on for ever.",
     .slots = {1, 1, 1},
     .jobs = {{.peer = 0,
               .at_ns = AT (0),
               .tree = {.depth_max = 4,
                        .fan_min = 2,
                        .fan_max = 2,
                        .leaf = {PXI_LAW_CONSTANT, 100 * PXI_MS},
                        .seed = 1,
                        .size_min = 64,
                        .size_max = 64},
               .crash_times = UINT32_MAX,
               .crash_pick = 4}},
     .may_end = true},
    {.name = "drained",
     .what = "A peer leaves and hands everything back at once: it is taken up elsewhere.",
     .slots = {1, 1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (4, 300 * PXI_MS)}},
     .faults = {{.kind = PXI_FAULT_DRAIN, .at_ns = AT (100), .peer = 1, .way = 1}}},
    {.name = "leaving",
     .what = "A peer leaves and finishes what it has; it gets nothing new.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (5, 300 * PXI_MS)}},
     .faults = {{.kind = PXI_FAULT_DRAIN, .at_ns = AT (100), .peer = 1}}},
    {.name = "restarted",
     .what = "A worker crashes and is back before the limit: its new incarnation says so at once.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (2, 800 * PXI_MS)}},
     .faults =
         {{.kind = PXI_FAULT_CRASH, .at_ns = AT (200), .peer = 1, .duration_ns = 300 * PXI_MS}}},
    {.name = "orphaned",
     .what = "The master crashes for ever: its worker abandons the attempt within the limit.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (2, 60 * PXI_SECOND)}},
     .faults = {{.kind = PXI_FAULT_CRASH, .at_ns = AT (200), .peer = 0}},
     .may_end = true,
     .last_ns = 3 * PXI_SECOND},
    {.name = "volunteer",
     .what = "A peer that has just finished offers itself, and gets the oldest subtask that waits.",
     .slots = {1, 1},
     .jobs = {{.peer = 1, .at_ns = AT (0), .tree = NUMBERED (1, 100 * PXI_MS, 0)},
              {.peer = 0, .at_ns = AT (20), .tree = LOOP (4, 100 * PXI_MS)}},
     .volunteers = true},
    {.name = "number-1",
     .what = "Branch number 1: two peers are free, and only one works for the branch at a time.",
     .slots = {1, 1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = NUMBERED (4, 100 * PXI_MS, 1)}}},
    {.name = "number-0",
     .what = "Branch number 0: not a word leaves the peer.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = NUMBERED (4, 100 * PXI_MS, 0)}},
     .speculation = true},
    {.name = "saturated",
     .what = "Everybody is busy and one peer is slow: nothing is done twice before a slot is free.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (10, 100 * PXI_MS)},
              {.peer = 1, .at_ns = AT (0), .tree = NUMBERED (20, 100 * PXI_MS, 0)}},
     .faults = {{.kind = PXI_FAULT_SLOW,
                 .at_ns = AT (10),
                 .peer = 1,
                 .factor = 3,
                 .duration_ns = 10 * PXI_SECOND}},
     .speculation = true},
    {.name = "straggler",
     .what = "A slow peer holds the last subtask: it is done again where a slot is free, and wins "
             "there.",
     .slots = {1, 1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (9, 100 * PXI_MS)}},
     .faults = {{.kind = PXI_FAULT_SLOW,
                 .at_ns = AT (150),
                 .peer = 1,
                 .factor = 20,
                 .duration_ns = 20 * PXI_SECOND}},
     .speculation = true,
     .last_ns = PXI_SECOND / 2},
    {.name = "result-lost",
     .what = "The result is lost on its way: the next handshake has it sent again.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (2, 300 * PXI_MS)}},
     .faults = {{.kind = PXI_FAULT_ISOLATE,
                 .at_ns = AT (290),
                 .peer = 1,
                 .way = 1,
                 .duration_ns = 50 * PXI_MS}}},
    {.name = "owner",
     .what = "The owner of a host says \"not now\": it is busy until he says otherwise.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (100), .tree = LOOP (30, 100 * PXI_MS)}},
     .faults =
         {{.kind = PXI_FAULT_HOST_BUSY, .at_ns = AT (50), .peer = 1, .duration_ns = PXI_SECOND}}},
    {.name = "killed-asked",
     .what = "The worker crashes before the probe is there: no answer, so it is placed elsewhere.",
     .slots = {1, 1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (3, 300 * PXI_MS)}},
     .faults = {{.kind = PXI_FAULT_CRASH, .at_ns = AT (0) + UNDER_WAY, .peer = 1}}},
    {.name = "killed-answered",
     .what = "The worker crashes right after it sent the result: that counts, nothing is redone.",
     .slots = {1, 1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (3, 300 * PXI_MS)}},
     .faults = {{.kind = PXI_FAULT_CRASH, .at_ns = AT (300) + 3 * UNDER_WAY, .peer = 1}}},
    {.name = "orphaned-asked",
     .what = "The master crashes before its probe is there: the worker takes it, then abandons it.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (2, 60 * PXI_SECOND)}},
     .faults = {{.kind = PXI_FAULT_CRASH, .at_ns = AT (0) + UNDER_WAY, .peer = 0}},
     .may_end = true,
     .last_ns = 3 * PXI_SECOND},
    {.name = "orphaned-answered",
     .what = "The master crashes while the result is on its way: the worker is free at once.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (2, 300 * PXI_MS)}},
     .faults = {{.kind = PXI_FAULT_CRASH, .at_ns = AT (300) + 3 * UNDER_WAY, .peer = 0}},
     .may_end = true},
    {.name = "both-killed",
     .what = "Master and worker crash at once: the other worker abandons what it had of them.",
     .slots = {1, 1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (3, 60 * PXI_SECOND)}},
     .faults = {{.kind = PXI_FAULT_CRASH, .at_ns = AT (200), .peer = 0},
                {.kind = PXI_FAULT_CRASH, .at_ns = AT (200), .peer = 1}},
     .may_end = true,
     .last_ns = 3 * PXI_SECOND},
    {.name = "twice",
     .what = "Every message comes twice: every subtask runs once and is delivered once.",
     .slots = {1, 1},
     .jobs = {{.peer = 0, .at_ns = AT (0), .tree = LOOP (4, 100 * PXI_MS)}},
     .twice = true},
};

enum { N_STORIES = sizeof stories / sizeof stories[0] };

static void tell (void *context, uint64_t now_ns, const char *who, const char *line)
{
    told_t *told = context;
    if (now_ns < told->from_ns || told->size + 600 > TEXT_MAX)
        return;
    told->size +=
        (size_t)snprintf (told->text + told->size, TEXT_MAX - told->size, "%6llu  %-5s  %s\n",
                          (unsigned long long)((now_ns - told->from_ns) / PXI_MS), who, line);
}

static void describe (const struct story *story, pxi_world_config *config, pxi_world_peer *peers)
{
    *config = pxi_world_config_default ();
    for (config->n_peers = 0; config->n_peers < PEERS_MAX && story->slots[config->n_peers];)
        config->n_peers++;
    for (uint32_t i = 0; i < config->n_peers; i++)
        peers[i] = (pxi_world_peer){.slots = story->slots[i], .speed_permille = 1000};
    while (config->n_jobs < 2 && story->jobs[config->n_jobs].tree.fan_max)
        config->n_jobs++;
    while (config->n_faults < FAULTS_MAX && story->faults[config->n_faults].at_ns)
        config->n_faults++;
    config->peers = peers;
    config->jobs = story->jobs;
    config->faults = story->faults;
    config->core.speculation = story->speculation;
    config->core.volunteers = story->volunteers;
    config->network.duplicate_ppm = story->twice ? 1000000 : 0;
}

/* NULL: fine; else what went wrong. */
static const char *play (const struct story *story, told_t *told)
{
    static char why[PXI_WORLD_WHY_SIZE];
    pxi_world_peer peers[PEERS_MAX];
    pxi_world_config config;
    pxi_world_report report;
    describe (story, &config, peers);
    told->from_ns = START_NS;
    told->size = (size_t)snprintf (told->text, TEXT_MAX, "# %s\n", story->what);
    config.sink = tell;
    config.sink_context = told;
    pxi_world *world = pxi_world_new (&config);
    pxi_world_run_jobs (world, START_NS + 60 * PXI_SECOND);
    pxi_world_read (world, &report);
    if (story->last_ns)
        pxi_world_run_until (world, report.now_ns + story->last_ns);
    told->from_ns = UINT64_MAX; /* told enough */
    pxi_world_settle (world);
    pxi_world_read (world, &report);
    bool over = pxi_world_jobs_over (world) && (story->may_end || !report.n_jobs_ended);
    pxi_world_free (&world);
    if (report.verdict != PXI_VERDICT_FINE) {
        memcpy (why, report.why, sizeof why);
        return why;
    }
    return over ? NULL : "the job did not finish";
}

static size_t read_file (const char *path, char *text)
{
    FILE *file = fopen (path, "r");
    if (!file)
        return 0;
    size_t size = fread (text, 1, TEXT_MAX - 1, file);
    fclose (file);
    text[size] = 0;
    return size;
}

static bool write_file (const char *path, const told_t *told)
{
    FILE *file = fopen (path, "w");
    bool fine = file && fwrite (told->text, 1, told->size, file) == told->size;
    if (file && fclose (file))
        fine = false;
    return fine;
}

static void print_difference (const char *expected, const char *told)
{
    uint32_t line = 1;
    const char *start = told, *expected_start = expected;
    for (; *told && *told == *expected; told++, expected++) {
        if (*told != '\n')
            continue;
        line++;
        start = told + 1;
        expected_start = expected + 1;
    }
    printf ("# line %u: expected \"%.*s\"\n", line, (int)strcspn (expected_start, "\n"),
            expected_start);
    printf ("# line %u: got      \"%.*s\"\n", line, (int)strcspn (start, "\n"), start);
}

static bool test_story (const struct story *story, const char *directory, told_t *told,
                        char *expected)
{
    char path[1024];
    snprintf (path, sizeof path, "%s/%s.txt", directory, story->name);
    const char *why = play (story, told);
    if (why) {
        printf ("# %s\n", why);
        return false;
    }
    if (getenv ("PX_TRACE_UPDATE"))
        return write_file (path, told);
    size_t size = read_file (path, expected);
    if (size == told->size && !memcmp (expected, told->text, size))
        return true;
    print_difference (size ? expected : "", told->text);
    return false;
}

int main (int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf (stderr, "usage: stories DIRECTORY [NAME]\n");
        return 2;
    }
    told_t told = {.text = malloc (TEXT_MAX)};
    char *expected = calloc (1, TEXT_MAX);
    if (!told.text || !expected)
        return 2;
    bool fine = true;
    if (argc == 2)
        printf ("1..%d\n", N_STORIES);
    for (uint32_t i = 0; i < N_STORIES; i++) {
        if (argc == 3 && strcmp (argv[2], stories[i].name) != 0)
            continue;
        if (argc == 3) {
            const char *why = play (&stories[i], &told);
            printf ("%s%s\n", told.text, why ? why : "");
            continue;
        }
        bool passed = test_story (&stories[i], argv[1], &told, expected);
        printf ("%sok %u - %s: %s\n", passed ? "" : "not ", i + 1, stories[i].name,
                stories[i].what);
        fine = fine && passed;
    }
    free (told.text);
    free (expected);
    return fine ? 0 : 1;
}
