/* Pi as tasks: a parallel for over the points, folded as the counts come. */
#include "pi/kernel.h"

#include <peerexec/peerexec.h>

PX_MODULE ("pi", "1.0")

static px_err throw_points (px_task *task, const void *input, size_t input_size)
{
    const px_range *range = input;
    size_t seed_size;
    const uint64_t *seed = px_task_shared (task, &seed_size);
    if (input_size != sizeof *range || seed_size != sizeof *seed)
        return px_task_fail (task, "%zu bytes are no range of points", input_size);
    uint64_t inside = pi_inside (*seed, range->begin, range->end);
    return px_task_return (task, &inside, sizeof inside);
}
PX_TASK (throw_points)

static px_err fold (void *total, uint64_t index, const px_outcome *outcome)
{
    if (outcome->code != PX_OK || outcome->bytes_size != sizeof (uint64_t))
        return PX_EFAILED;
    *(uint64_t *)total += *(const uint64_t *)outcome->bytes;
    return PX_OK;
}

/* The root task: options as text in, the answer as text out. */
static px_err estimate (px_task *task, const void *input, size_t input_size)
{
    pi_options options;
    char why[EXAMPLE_WHY_SIZE];
    if (example_parse (&example, input, input_size, &options, why) < 0)
        return px_task_fail (task, "%s", why);
    uint64_t inside = 0;
    px_err err = px_for (task, "pi.points", 0, options.samples, options.grain, throw_points,
                         &options.seed, sizeof options.seed, fold, &inside);
    if (err != PX_OK)
        return err;
    example_answer answer = {0};
    pi_print (&options, inside, &answer);
    err = px_task_return (task, answer.bytes, answer.size);
    example_answer_fini (&answer);
    return err;
}
PX_TASK (estimate)
