/* Four programs whose best branch numbers differ: a wide flat loop, a deep tree, a loop in a loop, and a loop
 * over so many bytes that it should stay at home. Their argument is numbers; what they compute is a hash of what
 * they visited. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/peerexec.h>

PX_MODULE ("shapes", "1.0")

enum { NUMBERS_MAX = 3, TEXT_MAX_SIZE = 128 };

typedef struct work {
    uint64_t seed, steps, depth, width;
} work;

static uint64_t burn (uint64_t seed, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++)
        seed = (seed ^ (seed >> 31)) * UINT64_C (0x9e3779b97f4a7c15) + i;
    return seed;
}

/* Numbers of the argument; those that are not given keep what they are. */
static px_err take_numbers (px_task *task, const void *input, size_t size, const char *names,
                            uint64_t *numbers)
{
    char text[TEXT_MAX_SIZE], *at = text, *end;
    if (size >= sizeof text)
        return px_task_fail (task, "an argument of %zu bytes: want %s", size, names);
    memcpy (text, input, size);
    text[size] = 0;
    for (int i = 0; i < NUMBERS_MAX && *at; i++, at = end) {
        numbers[i] = strtoull (at, &end, 10);
        if (end == at || (*end && *end != ' ') || numbers[i] > 100000000)
            return px_task_fail (task, "\"%s\": want %s", text, names);
    }
    return *at ? px_task_fail (task, "\"%s\": want %s", text, names) : PX_OK;
}

static void add (void *total, const void *result, size_t result_size)
{
    *(uint64_t *)total += *(const uint64_t *)result;
}

static px_err print (px_task *task, uint64_t total)
{
    char text[32];
    int size = snprintf (text, sizeof text, "%016" PRIx64 "\n", total);
    return px_task_return (task, text, (size_t)size);
}

static px_err leaf (px_task *task, const void *input, size_t input_size)
{
    const work *given = input;
    uint64_t hash = burn (given->seed, given->steps);
    return px_task_return (task, &hash, sizeof hash);
}
PX_TASK (leaf)

static px_err loop (px_task *task, const char *point, px_task_fn *function, const work *each,
                    uint64_t n, uint64_t *total)
{
    work *items = calloc (n ? n : 1, sizeof *items);
    if (!items)
        return PX_ENOMEM;
    for (uint64_t i = 0; i < n; i++) {
        items[i] = *each;
        items[i].seed = burn (each->seed + i, 1);
    }
    px_err err = px_map_reduce (task, point, function, items, sizeof *items, n, add, total, 0);
    free (items);
    return err;
}

static px_err wide (px_task *task, const void *input, size_t input_size)
{
    uint64_t numbers[NUMBERS_MAX] = {256, 1000000}, total = 0;
    px_err err = take_numbers (task, input, input_size, "SUBTASKS STEPS", numbers);
    if (err == PX_OK)
        err = loop (task, "shapes.wide", leaf, &(work){.steps = numbers[1]}, numbers[0], &total);
    return err == PX_OK ? print (task, total) : err;
}
PX_TASK (wide)

static px_err node (px_task *task, const void *input, size_t input_size)
{
    const work *given = input;
    uint64_t total = burn (given->seed, given->steps);
    const work below = {total, given->steps, given->depth - 1, given->width};
    px_err err = given->depth ? loop (task, "shapes.deep", node, &below, 2, &total) : PX_OK;
    return err == PX_OK ? px_task_return (task, &total, sizeof total) : err;
}
PX_TASK (node)

static px_err deep (px_task *task, const void *input, size_t input_size)
{
    uint64_t numbers[NUMBERS_MAX] = {9, 300000}, total = 0;
    px_err err = take_numbers (task, input, input_size, "DEPTH STEPS", numbers);
    if (err == PX_OK)
        err = loop (task, "shapes.deep", node, &(work){.steps = numbers[1], .depth = numbers[0]}, 2,
                    &total);
    return err == PX_OK ? print (task, total) : err;
}
PX_TASK (deep)

static px_err row (px_task *task, const void *input, size_t input_size)
{
    const work *given = input;
    uint64_t total = 0;
    const work each = {given->seed, given->steps, 0, 0};
    px_err err = loop (task, "shapes.inner", leaf, &each, given->width, &total);
    return err == PX_OK ? px_task_return (task, &total, sizeof total) : err;
}
PX_TASK (row)

static px_err nested (px_task *task, const void *input, size_t input_size)
{
    uint64_t numbers[NUMBERS_MAX] = {6, 40, 1000000}, total = 0;
    px_err err = take_numbers (task, input, input_size, "ROWS COLUMNS STEPS", numbers);
    const work each = {.steps = numbers[2], .width = numbers[1]};
    if (err == PX_OK)
        err = loop (task, "shapes.outer", row, &each, numbers[0], &total);
    return err == PX_OK ? print (task, total) : err;
}
PX_TASK (nested)

/* Reads its bytes once: less work than sending them. */
static px_err read_bytes (px_task *task, const void *input, size_t input_size)
{
    const uint8_t *bytes = input;
    uint64_t sum = 0;
    for (size_t i = 0; i < input_size; i += 8)
        sum += bytes[i];
    return px_task_return (task, &sum, sizeof sum);
}
PX_TASK (read_bytes)

static px_err add_sum (void *total, uint64_t index, const px_outcome *outcome)
{
    if (outcome->code == PX_OK)
        add (total, outcome->bytes, outcome->bytes_size);
    return PX_OK;
}

static px_err heavy (px_task *task, const void *input, size_t input_size)
{
    uint64_t numbers[NUMBERS_MAX] = {64, 4000000}, total = 0;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    px_branch branch;
    px_err err = take_numbers (task, input, input_size, "SUBTASKS BYTES", numbers);
    if (err != PX_OK)
        return err;
    options.react = add_sum;
    options.react_context = &total;
    options.subtasks_max = 8; /* their inputs wait in memory */
    uint8_t *bytes = malloc (numbers[1] + 1);
    err = bytes ? px_branch_open (task, "shapes.heavy", &options, &branch) : PX_ENOMEM;
    if (err != PX_OK) {
        free (bytes);
        return err;
    }
    for (uint64_t i = 0; err == PX_OK && i < numbers[0]; i++) {
        memset (bytes, (int)i, numbers[1]);
        err = px_branch_add (branch, read_bytes, bytes, numbers[1]);
    }
    if (err == PX_OK)
        err = px_branch_join (branch);
    px_branch_close (branch);
    free (bytes);
    return err == PX_OK ? print (task, total) : err;
}
PX_TASK (heavy)
