/* The tree of sleeps as tasks. `--how hold` sleeps with the slot held, as work would, so that a
 * tree of more tasks than slots spreads even over a single processor; `--how yield` uses
 * px_task_sleep (), which lets other tasks have the slot, so that one peer sleeps the whole tree at
 * once.
 *
 * The result names the peers that ran it: the one thing a result should not depend on, and the only
 * purpose of this program. */
#include "bogosity/kernel.h"

#include <peerexec/peerexec.h>
#include <stdlib.h>
#include <string.h>

PX_MODULE ("bogosity", "1.0")

typedef struct nap_input {
    bogosity_options options;
    uint64_t level;
} nap_input;

static px_err nap (px_task *task, const void *input, size_t input_size);

/* Append the children's records, in order. */
static px_err collect (px_branch branch, uint64_t n, bogosity_record *records, size_t n_records)
{
    for (uint64_t i = 0; i < n; i++) {
        px_outcome outcome;
        px_err err = px_branch_result (branch, i, &outcome);
        if (err != PX_OK)
            return err;
        size_t n_more = outcome.bytes_size / sizeof *records;
        if (n_more > n_records)
            return PX_ETOOBIG;
        memcpy (records, outcome.bytes, n_more * sizeof *records);
        records += n_more;
        n_records -= n_more;
    }
    return PX_OK;
}

static px_err nap_children (px_task *task, const nap_input *work, bogosity_record *records,
                            size_t n_records)
{
    nap_input child = {.options = work->options, .level = work->level + 1};
    px_branch branch;
    px_err err = px_branch_open (task, "bogosity.children", NULL, &branch);
    if (err != PX_OK)
        return err;
    for (uint64_t i = 0; i < work->options.width && err == PX_OK; i++)
        err = px_branch_add (branch, nap, &child, sizeof child);
    if (err == PX_OK)
        err = px_branch_join (branch);
    if (err == PX_OK)
        err = collect (branch, work->options.width, records, n_records);
    px_branch_close (branch);
    return err;
}

static px_err nap_here (px_task *task, const nap_input *work, bogosity_record *records,
                        size_t n_records)
{
    px_err err = PX_OK;
    if (work->options.how == BOGOSITY_HOLD)
        bogosity_hold (work->options.sleep_ms);
    else
        err = px_task_sleep (task, work->options.sleep_ms * 1000000);
    bogosity_record_set (records, work->level, px_task_peer_name (task));
    if (err == PX_OK && work->level < work->options.depth)
        err = nap_children (task, work, records + 1, n_records - 1);
    return err;
}

static px_err nap (px_task *task, const void *input, size_t input_size)
{
    const nap_input *work = input;
    if (input_size != sizeof *work)
        return px_task_fail (task, "%zu bytes are no nap", input_size);
    size_t n = bogosity_tasks (&work->options, work->options.depth - work->level);
    void *records = NULL;
    px_err err = px_task_result (task, n * sizeof (bogosity_record), &records);
    return err != PX_OK ? err : nap_here (task, work, records, n);
}
PX_TASK (nap)

/* The root task: options as text in, the answer as text out. */
static px_err tree (px_task *task, const void *input, size_t input_size)
{
    nap_input work = {.level = 0};
    char why[EXAMPLE_WHY_SIZE];
    if (example_parse (&example, input, input_size, &work.options, why) < 0)
        return px_task_fail (task, "%s", why);
    size_t n = bogosity_tasks (&work.options, work.options.depth);
    bogosity_record *records = calloc (n, sizeof *records);
    px_err err = records ? nap_here (task, &work, records, n) : PX_ENOMEM;
    if (err == PX_OK) {
        example_answer answer = {0};
        bogosity_print (&work.options, records, n, &answer);
        err = px_task_return (task, answer.bytes, answer.size);
        example_answer_fini (&answer);
    }
    free (records);
    return err;
}
PX_TASK (tree)
