/* The wave as tasks: a part is added when those that it waits for have come. The root keeps what stands at the
 * edge of what is done: for each column of parts a piece of row, for each row of parts a piece of column. */
#include <peerexec/peerexec.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bench/tasks.h"
#include "bench/tasks/wave.h"

/* A part's input: what it is, then `above`, then `left`. Its result: the two. */
static size_t edges_size (const wave_part *part)
{
    return (part->width + 1 + part->height) * sizeof (uint64_t);
}

static px_err wave_task (px_task *task, const void *input, size_t input_size)
{
    const wave_part *part = input;
    void *edges = NULL;
    if (input_size < sizeof *part || input_size != sizeof *part + edges_size (part))
        return px_task_fail (task, "%zu bytes are no part of a wave", input_size);
    px_err err = px_task_result (task, edges_size (part), &edges);
    if (err != PX_OK)
        return err;
    memcpy (edges, part + 1, edges_size (part));
    wave_step (part, edges, (uint64_t *)edges + part->width + 1);
    return PX_OK;
}
PX_TASK (wave_task)

typedef struct square {
    const square_input *plan;
    px_branch branch;
    uint64_t stride;        /* values of one piece */
    uint64_t *above, *left; /* pieces */
    uint64_t *added;        /* parts in the order of adding */
    unsigned char *waits;   /* of each part: for how many */
    uint64_t n_added;
    char *input;
} square_t;

static bool square_init (square_t *square, const square_input *plan)
{
    uint64_t n = plan->parts;
    *square = (square_t){.plan = plan, .stride = plan->size / n + 2};
    square->above = calloc (n * square->stride, sizeof (uint64_t));
    square->left = calloc (n * square->stride, sizeof (uint64_t));
    square->added = calloc (n * n, sizeof (uint64_t));
    square->waits = calloc (n, n);
    square->input = malloc (sizeof (wave_part) + 2 * square->stride * sizeof (uint64_t));
    if (!square->above || !square->left || !square->added || !square->waits || !square->input)
        return false;
    for (uint64_t i = 0; i < n * n; i++)
        square->waits[i] = (i >= n) + (i % n > 0);
    return true;
}

static void square_fini (square_t *square)
{
    free (square->above);
    free (square->left);
    free (square->added);
    free (square->waits);
    free (square->input);
}

static wave_part part_at (const square_t *square, uint64_t at)
{
    uint64_t n = square->plan->parts, size = square->plan->size, i = at / n, j = at % n;
    wave_part part = {.row = i * size / n, .column = j * size / n};
    part.height = (i + 1) * size / n - part.row;
    part.width = (j + 1) * size / n - part.column;
    return part;
}

static px_err add_part (square_t *square, uint64_t at)
{
    uint64_t n = square->plan->parts;
    wave_part part = part_at (square, at);
    size_t above_size = (part.width + 1) * sizeof (uint64_t);
    char *to = square->input;
    memcpy (to, &part, sizeof part);
    memcpy (to + sizeof part, &square->above[at % n * square->stride], above_size);
    memcpy (to + sizeof part + above_size, &square->left[at / n * square->stride],
            part.height * sizeof (uint64_t));
    square->added[square->n_added++] = at;
    return px_branch_add (square->branch, wave_task, to, sizeof part + edges_size (&part));
}

static px_err take_part (square_t *square, uint64_t at, const px_outcome *outcome)
{
    uint64_t n = square->plan->parts;
    wave_part part = part_at (square, at);
    size_t above_size = (part.width + 1) * sizeof (uint64_t);
    if (outcome->code != PX_OK || outcome->bytes_size != edges_size (&part))
        return PX_EFAILED;
    memcpy (&square->above[at % n * square->stride], outcome->bytes, above_size);
    memcpy (&square->left[at / n * square->stride], (const char *)outcome->bytes + above_size,
            part.height * sizeof (uint64_t));
    px_err err = PX_OK;
    if (at + n < n * n && --square->waits[at + n] == 0)
        err = add_part (square, at + n);
    if (err == PX_OK && at % n + 1 < n && --square->waits[at + 1] == 0)
        err = add_part (square, at + 1);
    return err;
}

static px_err all_parts (square_t *square)
{
    uint64_t index;
    px_outcome outcome;
    px_err err = add_part (square, 0);
    while (err == PX_OK) {
        err = px_branch_next (square->branch, &index, &outcome);
        if (err == PX_OK)
            err = take_part (square, square->added[index], &outcome);
    }
    return err == PX_EEND ? PX_OK : err;
}

/* The last row and the last column, whole. */
static uint64_t edge_hash (const square_t *square)
{
    uint64_t n = square->plan->parts, hash = 0;
    for (uint64_t i = 0; i < n; i++) {
        wave_part part = part_at (square, i * n + i);
        hash = wave_hash (hash, &square->above[i * square->stride + 1],
                          &square->left[i * square->stride], part.width);
    }
    return hash;
}

/* Result: the hash of its last row and column. */
static px_err wave (px_task *task, const void *input, size_t input_size)
{
    square_t square;
    px_err err = square_init (&square, input) ? PX_OK : PX_ENOMEM;
    if (err == PX_OK)
        err = px_branch_open (task, "bench.wave", NULL, &square.branch);
    if (err == PX_OK) {
        err = all_parts (&square);
        px_branch_close (square.branch);
    }
    uint64_t hash = err == PX_OK ? edge_hash (&square) : 0;
    square_fini (&square);
    return err != PX_OK ? err : px_task_return (task, &hash, sizeof hash);
}
PX_TASK (wave)
