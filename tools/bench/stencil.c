/* stencil and sort: a loop whose parts wait for one another, and one with large data. */
#include <stdlib.h>

#include "bench/compare.h"
#include "bench/tasks.h"
#include "bench/tasks/values.h"
#include "bench/tasks/wave.h"

enum { WAVE_SIZE = 16384, WAVE_PARTS = 16, SORT_SIZE = 4 << 20, SORT_PARTS = 16 };
enum { PART_VALUES_MAX = 4 << 20 }; /* half of what one input may have, as parts differ */

typedef struct sized_run {
    compare_t compare;
    uint64_t size, parts, hash; /* hash: the serial answer */
} sized_run_t;

static bool is_same (sized_run_t *run, uint64_t hash)
{
    return hash == run->hash || complain (run->compare.bench, "answer", "it is not the serial one");
}

static uint64_t *values_of (uint64_t n)
{
    uint64_t *values = calloc (n, sizeof *values);
    if (!values)
        out_of_memory ();
    return values;
}

static int run_sized (bench_t *bench, sized_run_t *run, uint64_t size, uint64_t parts)
{
    const settings_t *settings = &bench->settings;
    run->compare.bench = bench;
    run->size = settings->size ? settings->size : size;
    run->parts = settings->parts ? settings->parts : parts;
    return compare_run (&run->compare);
}

/* ---- stencil ---------------------------------------------------------------------------------- */

static bool wave_serial (compare_t *compare, double *s)
{
    sized_run_t *run = (sized_run_t *)compare;
    const wave_part whole = {.height = run->size, .width = run->size};
    uint64_t *above = values_of (run->size + 1), *left = values_of (run->size);
    uint64_t began_ns = px_now_ns ();
    wave_step (&whole, above, left);
    *s = (double)(px_now_ns () - began_ns) * 1e-9;
    run->hash = wave_hash (0, above + 1, left, run->size);
    free (above);
    free (left);
    return true;
}

static bool wave_parallel (compare_t *compare, peers_t *peers, const char *words, double *s)
{
    sized_run_t *run = (sized_run_t *)compare;
    const square_input input = {run->size, run->parts};
    uint64_t hash;
    result_t result;
    (void)words;
    if (!run_fixed (peers, "bench.wave", &input, sizeof input, &hash, sizeof hash, &result))
        return false;
    *s = result.s;
    return is_same (run, hash);
}

static int stencil_main (bench_t *bench)
{
    static sized_run_t run = {.compare = {.title = "An autoregressive wave over a square",
                                          .serial = wave_serial,
                                          .parallel = wave_parallel}};
    uint64_t size = bench->settings.size ? bench->settings.size : WAVE_SIZE;
    if (bench->settings.parts > size)
        return complain (bench, "--parts", "there are not so many points"), EXIT_USAGE;
    return run_sized (bench, &run, size, size < WAVE_PARTS ? size : WAVE_PARTS);
}

static const option_entry stencil_entries[] = {
    ENTRY ("size", OPTION_NUMBER, size, "N", "points of a row and of a column (16384)", 1, 65536),
    ENTRY ("parts", OPTION_NUMBER, parts, "N", "that rows and columns are divided into (16)", 1,
           1024),
};

const command_t command_stencil = {
    .name = "stencil",
    .purpose = "an autoregressive wave: parts that wait for their neighbours",
    .figures = COMPARE_FIGURES
    "Each point of a square follows from three neighbours; a part is added to the branch when\n"
    "the parts above and beside it have come.\n",
    .entries = stencil_entries,
    .n_entries = sizeof stencil_entries / sizeof *stencil_entries,
    .repeats = 5,
    .local = 3,
    .run = stencil_main,
};

/* ---- sort ------------------------------------------------------------------------------------- */

static bool sort_serial (compare_t *compare, double *s)
{
    sized_run_t *run = (sized_run_t *)compare;
    uint64_t *values = values_of (run->size);
    values_fill (values, run->size);
    uint64_t began_ns = px_now_ns ();
    values_sort (values, run->size);
    *s = (double)(px_now_ns () - began_ns) * 1e-9;
    run->hash = values_hash (values, run->size);
    free (values);
    return true;
}

static bool sort_parallel (compare_t *compare, peers_t *peers, const char *words, double *s)
{
    sized_run_t *run = (sized_run_t *)compare;
    const sort_input input = {run->size, run->parts};
    sort_output output;
    result_t result;
    (void)words;
    if (!run_fixed (peers, "bench.sort", &input, sizeof input, &output, sizeof output, &result))
        return false;
    *s = (double)output.duration_ns * 1e-9;
    return is_same (run, output.hash);
}

static int sort_main (bench_t *bench)
{
    static sized_run_t run = {.compare = {.title = "Sorting 64-bit values, dealt out by samples",
                                          .serial = sort_serial,
                                          .parallel = sort_parallel}};
    const settings_t *settings = &bench->settings;
    uint64_t size = settings->size ? settings->size : SORT_SIZE;
    uint64_t parts = settings->parts ? settings->parts : SORT_PARTS;
    if (size / parts > PART_VALUES_MAX)
        return complain (bench, "--parts",
                         "more are needed for so many values: an input has at "
                         "most 64 MiB"),
               EXIT_USAGE;
    return run_sized (bench, &run, SORT_SIZE, SORT_PARTS);
}

static const option_entry sort_entries[] = {
    ENTRY ("size", OPTION_NUMBER, size, "N", "values of 8 bytes (4194304)", 1, 1 << 28),
    ENTRY ("parts", OPTION_NUMBER, parts, "N", "that they are dealt out to (16)", 1, 65536),
};

const command_t command_sort = {
    .name = "sort",
    .purpose = "sorting by samples: every value travels to its part and back",
    .figures =
        COMPARE_FIGURES "Serial is qsort () over all values; here over each part. Times are from\n"
                        "the values being there to their being in order, at their root.\n",
    .entries = sort_entries,
    .n_entries = sizeof sort_entries / sizeof *sort_entries,
    .repeats = 5,
    .local = 3,
    .run = sort_main,
};
