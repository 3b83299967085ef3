/* What a task may say of its inputs: how much work one is, how many bytes come of it, and how long it may take.
 *
 *     static double pixels (const void *input, size_t size) { return ((const rows *)input)->n * WIDTH; }
 *     static double bytes (const void *input, size_t size) { return 3 * pixels (input, size); }
 *     PX_TASK (draw)
 *     PX_COST (draw, pixels, bytes, NULL)
 *
 * All of it may be left out: a peer learns what tasks take from those that have ended, by the size of their
 * input. It helps where inputs of one size differ, and where the first ones are to be placed well. A declaration that
 * turns out wrong is not believed. */
#ifndef PEEREXEC_COST_H
#define PEEREXEC_COST_H

#include <peerexec/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A pure function of a task's input, and short: it is called before a subtask leaves, on any thread. What is
 *  not a number, zero or negative says nothing. */
typedef double px_cost_fn (const void *input, size_t input_size);

struct px_cost_def {
    size_t size; /* of this struct: the macro sets it */
    const char *name;
    px_task_fn *function;
    px_cost_fn *work;         /* seconds on an average host, or any unit in proportion; NULL = not told */
    px_cost_fn *result_bytes; /* NULL = not told */
    px_cost_fn *limit_s;      /* seconds after which it is given up; NULL = none */
};

typedef struct px_cost_def px_cost_def;

/** Say what the task of this name costs, beside its PX_TASK. Each of the functions may be NULL.
 *  A subtask that runs longer than limit_s ends with PX_ETIMEOUT: px_task_cancelled () becomes true, and where
 *  it runs at another peer it is given up from here, whatever it does. A limit is no estimate: leave room. */
#define PX_COST(task_name, work_fn, result_bytes_fn, limit_s_fn)                                   \
    static const px_cost_def px_cost_def_##task_name = {                                           \
        sizeof (px_cost_def), #task_name, task_name, work_fn, result_bytes_fn, limit_s_fn};        \
    __attribute__ ((used, section ("px_cost_defs"))) static const px_cost_def *const \
        px_cost_entry_##task_name = &px_cost_def_##task_name;

#ifdef __cplusplus
}
#endif
#endif
