/* A loop whose subtasks all read the same bytes: shared by the branch, or in the input of each. */
#include <peerexec/peerexec.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/tasks.h"
#include "bench/tasks/values.h"

enum { WINDOW = 16 }; /* subtasks at once: that many inputs are held where each has the bytes */

/* Holds its slot asleep, as work would. */
static void rest (uint64_t duration_ns)
{
    struct timespec left = {(time_t)(duration_ns / 1000000000), (long)(duration_ns % 1000000000)};
    while (nanosleep (&left, &left) != 0)
        continue;
}

static px_err answer (px_task *task, const shared_input *what, const uint64_t *values)
{
    uint64_t hash = values_hash (values, what->size / sizeof *values);
    rest (what->duration_ns);
    return px_task_return (task, &hash, sizeof hash);
}

static px_err reads_shared (px_task *task, const void *input, size_t input_size)
{
    return answer (task, input, px_task_shared (task, NULL));
}
PX_TASK (reads_shared)

static px_err reads_input (px_task *task, const void *input, size_t input_size)
{
    const shared_input *what = input;
    return answer (task, what, (const uint64_t *)(what + 1));
}
PX_TASK (reads_input)

typedef struct tally {
    uint64_t hash, n;
} tally;

static px_err count (void *context, uint64_t index, const px_outcome *outcome)
{
    tally *so_far = context;
    uint64_t hash = 0;
    if (outcome->code == PX_OK && outcome->bytes_size == sizeof hash)
        memcpy (&hash, outcome->bytes, sizeof hash);
    so_far->n += hash == so_far->hash;
    return PX_OK;
}

/* `bytes`: the question, and behind it the values. */
static px_err loop (px_task *task, const shared_input *bytes, tally *so_far)
{
    const shared_input what = *bytes;
    px_branch branch;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.react = count;
    options.react_context = so_far;
    options.subtasks_max = WINDOW;
    options.shared = what.in_each ? NULL : bytes + 1;
    options.shared_size = what.in_each ? 0 : what.size;
    px_err err = px_branch_open (task, "bench.shared", &options, &branch);
    if (err != PX_OK)
        return err;
    size_t size = sizeof what + (what.in_each ? what.size : 0);
    for (uint64_t i = 0; i < what.n && err == PX_OK; i++)
        err = px_branch_add (branch, what.in_each ? reads_input : reads_shared, bytes, size);
    if (err == PX_OK)
        err = px_branch_join (branch);
    px_branch_close (branch);
    return err;
}

/* Result: how many had the right answer. */
static px_err shared (px_task *task, const void *input, size_t input_size)
{
    const shared_input *what = input;
    shared_input *bytes = malloc (sizeof *bytes + what->size);
    if (!bytes)
        return PX_ENOMEM;
    uint64_t *values = (uint64_t *)(bytes + 1), n = what->size / sizeof *values;
    *bytes = *what;
    values_fill (values, n);
    tally so_far = {.hash = values_hash (values, n)};
    px_err err = loop (task, bytes, &so_far);
    free (bytes);
    return err != PX_OK ? err : px_task_return (task, &so_far.n, sizeof so_far.n);
}
PX_TASK (shared)
