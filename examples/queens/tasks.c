/* N queens as tasks: one subtask per free place of a row, for the first rows. */
#include "queens/kernel.h"

#include <peerexec/peerexec.h>

PX_MODULE ("queens", "1.0")

static px_err fold (void *total, uint64_t index, const px_outcome *outcome)
{
    if (outcome->code != PX_OK || outcome->bytes_size != sizeof (uint64_t))
        return PX_EFAILED;
    *(uint64_t *)total += *(const uint64_t *)outcome->bytes;
    return PX_OK;
}

static px_err place (px_task *task, const void *input, size_t input_size);

static px_err place_all (px_task *task, const queens_board *board, uint64_t *total)
{
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.react = fold;
    options.react_context = total;
    px_branch branch;
    px_err err = px_branch_open (task, "queens.row", &options, &branch);
    if (err != PX_OK)
        return err;
    for (uint32_t open = queens_free (board); open && err == PX_OK; open &= open - 1) {
        queens_board next;
        queens_place (board, open & -open, &next);
        err = px_branch_add (branch, place, &next, sizeof next);
    }
    if (err == PX_OK)
        err = px_branch_join (branch);
    px_branch_close (branch);
    return err;
}

static px_err place (px_task *task, const void *input, size_t input_size)
{
    const queens_board *board = input;
    uint64_t total = 0;
    if (input_size != sizeof *board)
        return px_task_fail (task, "%zu bytes are no board", input_size);
    if (board->row >= board->rows || board->row == board->n) {
        total = queens_count (board);
        return px_task_return (task, &total, sizeof total);
    }
    px_err err = place_all (task, board, &total);
    return err != PX_OK ? err : px_task_return (task, &total, sizeof total);
}
PX_TASK (place)

/* The root task: options as text in, the answer as text out. */
static px_err count (px_task *task, const void *input, size_t input_size)
{
    queens_options options;
    char why[EXAMPLE_WHY_SIZE];
    if (example_parse (&example, input, input_size, &options, why) < 0)
        return px_task_fail (task, "%s", why);
    queens_board board;
    uint64_t total = 0;
    queens_start (&options, &board);
    px_err err = PX_OK;
    if (options.rows > 0)
        err = place_all (task, &board, &total);
    else
        total = queens_count (&board);
    if (err != PX_OK)
        return err;
    example_answer answer = {0};
    queens_print (&options, total, &answer);
    err = px_task_return (task, answer.bytes, answer.size);
    example_answer_fini (&answer);
    return err;
}
PX_TASK (count)
