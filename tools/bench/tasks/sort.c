/* Sorting by samples: the root deals the values out to parts by where they belong, the parts are sorted anywhere,
 * and what comes back stands in order one after the other. Every value travels to its part and back. */
#include <peerexec/peerexec.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bench/tasks.h"
#include "bench/tasks/values.h"

enum { SAMPLES = 64 }; /* for each part: so no part is much larger than another */

static px_err sort_part (px_task *task, const void *input, size_t input_size)
{
    void *values = NULL;
    px_err err = px_task_result (task, input_size, &values);
    if (err != PX_OK)
        return err;
    memcpy (values, input, input_size);
    values_sort (values, input_size / sizeof (uint64_t));
    return PX_OK;
}
PX_TASK (sort_part)

typedef struct dealt {
    const sort_input *plan;
    uint64_t *values, *parts; /* as they came; part after part, and at last in order */
    uint64_t *splitters;      /* the least of each part but the first */
    uint64_t *begins;         /* of each part, and the end of the last */
} dealt_t;

static bool choose_splitters (dealt_t *dealt)
{
    uint64_t n = dealt->plan->parts * SAMPLES;
    uint64_t *samples = malloc (n * sizeof *samples);
    if (!samples)
        return false;
    for (uint64_t i = 0; i < n; i++)
        samples[i] = dealt->values[i * dealt->plan->n / n];
    values_sort (samples, n);
    for (uint64_t i = 1; i < dealt->plan->parts; i++)
        dealt->splitters[i - 1] = samples[i * SAMPLES];
    free (samples);
    return true;
}

static uint64_t part_of (const dealt_t *dealt, uint64_t value)
{
    uint64_t low = 0, high = dealt->plan->parts - 1; /* splitters at or below it */
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (value < dealt->splitters[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool deal (dealt_t *dealt)
{
    uint64_t n_parts = dealt->plan->parts;
    uint64_t *next = calloc (n_parts + 1, sizeof *next);
    if (!next || !choose_splitters (dealt)) {
        free (next);
        return false;
    }
    for (uint64_t i = 0; i < dealt->plan->n; i++)
        next[part_of (dealt, dealt->values[i]) + 1]++;
    for (uint64_t i = 0; i < n_parts; i++)
        next[i + 1] += next[i];
    memcpy (dealt->begins, next, (n_parts + 1) * sizeof *next);
    for (uint64_t i = 0; i < dealt->plan->n; i++)
        dealt->parts[next[part_of (dealt, dealt->values[i])]++] = dealt->values[i];
    free (next);
    return true;
}

static px_err put_back (void *context, uint64_t index, const px_outcome *outcome)
{
    dealt_t *dealt = context;
    uint64_t begin = dealt->begins[index], n = dealt->begins[index + 1] - begin;
    if (outcome->code != PX_OK || outcome->bytes_size != n * sizeof (uint64_t))
        return PX_EFAILED;
    memcpy (&dealt->parts[begin], outcome->bytes, outcome->bytes_size);
    return PX_OK;
}

static px_err sort_parts (px_task *task, dealt_t *dealt)
{
    px_branch branch;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.react = put_back;
    options.react_context = dealt;
    px_err err = px_branch_open (task, "bench.sort", &options, &branch);
    if (err != PX_OK)
        return err;
    for (uint64_t i = 0; i < dealt->plan->parts && err == PX_OK; i++)
        err = px_branch_add (branch, sort_part, &dealt->parts[dealt->begins[i]],
                             (dealt->begins[i + 1] - dealt->begins[i]) * sizeof (uint64_t));
    if (err == PX_OK)
        err = px_branch_join (branch);
    px_branch_close (branch);
    return err;
}

static px_err sort_all (px_task *task, dealt_t *dealt, sort_output *output)
{
    const sort_input *plan = dealt->plan;
    values_fill (dealt->values, plan->n);
    uint64_t began_ns = px_now_ns ();
    px_err err = deal (dealt) ? sort_parts (task, dealt) : PX_ENOMEM;
    output->duration_ns = px_now_ns () - began_ns;
    output->hash = values_hash (dealt->parts, plan->n);
    return err;
}

static px_err sort (px_task *task, const void *input, size_t input_size)
{
    const sort_input *plan = input;
    sort_output output = {0};
    dealt_t dealt = {.plan = plan,
                     .values = malloc (plan->n * sizeof (uint64_t)),
                     .parts = malloc (plan->n * sizeof (uint64_t)),
                     .splitters = malloc (plan->parts * sizeof (uint64_t)),
                     .begins = malloc ((plan->parts + 1) * sizeof (uint64_t))};
    bool there = dealt.values && dealt.parts && dealt.splitters && dealt.begins;
    px_err err = there ? sort_all (task, &dealt, &output) : PX_ENOMEM;
    free (dealt.values);
    free (dealt.parts);
    free (dealt.splitters);
    free (dealt.begins);
    return err != PX_OK ? err : px_task_return (task, &output, sizeof output);
}
PX_TASK (sort)
