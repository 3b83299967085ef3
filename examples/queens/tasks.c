/* N queens as tasks: one subtask per free place of a row, for the first rows. */
#include "queens/kernel.h"

#include <peerexec/peerexec.h>

PX_MODULE ("queens", "1.0")

PX_TYPED_TASK (place, queens_board, uint64_t)

static px_err place (px_task *task, const queens_board *board, uint64_t *total)
{
    px_subtask subtasks[QUEENS_SIZE_MAX];
    uint32_t n = 0;
    px_err err = PX_OK;
    *total = 0;
    if (board->row >= board->rows || board->row == board->n) {
        *total = queens_count (board);
        return PX_OK;
    }
    for (uint32_t open = queens_free (board); open && err == PX_OK; open &= open - 1) {
        queens_board next;
        queens_place (board, open & -open, &next);
        err = px_spawn (task, &place_task, &next, &subtasks[n]);
        n += err == PX_OK;
    }
    while (n > 0 && err == PX_OK) {
        uint64_t part;
        err = px_sync (task, &subtasks[--n], &part);
        *total += err == PX_OK ? part : 0;
    }
    return err;
}

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
    px_err err = place (task, &board, &total);
    if (err != PX_OK)
        return err;
    example_answer answer = {0};
    queens_print (&options, total, &answer);
    err = px_task_return (task, answer.bytes, answer.size);
    example_answer_fini (&answer);
    return err;
}
PX_TASK (count)
