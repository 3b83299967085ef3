/* Data-parallel branches, on the public calls alone. Chunks begin large and shrink (guided self-scheduling),
 * by a fixed number of takers: who will take them, and how fast each is, is found out as they go. Each is a
 * subtask like any other, so what is slow or lost is redone as everywhere.
 *
 * Partials of a chunk are folded as it comes, in the order of their items, chunks at the end, in theirs: a
 * sum is the same in each run that is cut alike. */
#include <stdlib.h>
#include <string.h>

#include <peerexec/peer.h>

#include "device/range.h"

enum {
    TAKERS = 32,      /* a chunk is a half of what one of so many would have of the rest */
    CHUNKS_MAX = 512, /* by size: as many small ones at most, so the shrinking ends */
    WINDOW = 256,     /* chunks started or waiting at once: their inputs are copies */
};

typedef struct range_run {
    const px_range_def *def;
    const px_bind *binds;
    px_task *task;
    uint64_t begin, end, least;
    uint64_t n_chunks;
    uint64_t *ends; /* of each chunk; its begin is the end of the one before */
    char *folded;   /* of each chunk, its reduced outputs one behind the other */
    size_t folded_size;
} range_run;

/* ---- one chunk, in C --------------------------------------------------------------------------
 */

typedef struct chunk_parts {
    pxi_range_view common, in, out;
    const void *common_bytes, *in_bytes;
    void *out_bytes;
} chunk_parts;

/* Inputs are read only by promise of the implementation, as any task's are. */
static void point_to (const px_range_def *def, chunk_parts *parts, void **args, uint64_t *sizes)
{
    for (uint32_t i = 0; i < def->n_args; i++) {
        const px_arg *arg = &def->args[i];
        bool common = pxi_range_arg_is_common (arg), out = pxi_range_arg_is_out (arg);
        const pxi_range_view *view = common ? &parts->common : out ? &parts->out : &parts->in;
        const void *bytes = common ? parts->common_bytes : out ? parts->out_bytes : parts->in_bytes;
        args[i] = (char *)(uintptr_t)bytes + view->offsets[i];
        sizes[i] = view->sizes[i];
    }
}

static px_err take_parts (px_task *task, const px_range_def *def, const void *input,
                          size_t input_size, chunk_parts *parts)
{
    char why[PX_WHY_SIZE];
    size_t common_size;
    parts->in_bytes = input;
    parts->common_bytes = px_task_shared (task, &common_size);
    if (!pxi_range_def_is_valid (def, why) ||
        !pxi_range_common_parse (def, parts->common_bytes, common_size, &parts->common, why) ||
        !pxi_range_input_parse (def, input, input_size, &parts->in, why))
        return px_task_fail_at (task, "", 0, "%s", why);
    if (!pxi_range_result_layout (def, parts->in.begin, parts->in.end, 1, &parts->out))
        return px_task_fail_at (task, "", 0, "the outputs of range task %s are too large",
                                def->name);
    px_err err = px_task_result (task, parts->out.size, &parts->out_bytes);
    if (err == PX_OK)
        pxi_range_result_head (&parts->out, parts->out_bytes);
    return err;
}

px_err px_range_run (px_task *task, const px_range_def *def, const void *input, size_t input_size)
{
    chunk_parts parts;
    void *args[PX_ARGS_MAX];
    uint64_t sizes[PX_ARGS_MAX];
    px_err err = take_parts (task, def, input, input_size, &parts);
    if (err != PX_OK)
        return err;
    point_to (def, &parts, args, sizes);
    px_chunk chunk = {parts.in.begin, parts.in.end, parts.in.end - parts.in.begin, args, sizes};
    for (uint32_t i = 0; i < def->n_args; i++) {
        if (def->args[i].kind == PX_ARG_BEGIN || def->args[i].kind == PX_ARG_COUNT) {
            args[i] = def->args[i].kind == PX_ARG_BEGIN ? &chunk.begin : &chunk.n;
            sizes[i] = sizeof (uint64_t);
        }
    }
    return def->run (task, &chunk);
}

/* ---- what comes back --------------------------------------------------------------------------
 */

static void fold (const px_arg *arg, void *total, const char *partials, uint64_t n)
{
    memcpy (total, partials, arg->element_size);
    for (uint64_t i = 1; i < n; i++)
        arg->reduce (total, partials + i * arg->element_size, arg->element_size);
}

static px_err take_result (void *context, uint64_t index, const px_outcome *outcome)
{
    range_run *run = context;
    const px_range_def *def = run->def;
    pxi_range_view view;
    uint64_t begin = index ? run->ends[index - 1] : run->begin, end = run->ends[index];
    if (outcome->code != PX_OK)
        return PX_OK; /* the join tells it, with its chain */
    if (!pxi_range_result_parse (def, begin, end, outcome->bytes, outcome->bytes_size, &view))
        return px_task_fail_at (run->task, "", 0, "%zu bytes are no result of range task %s",
                                outcome->bytes_size, def->name);
    char *folded = run->folded + index * run->folded_size;
    for (uint32_t i = 0; i < def->n_args; i++) {
        const px_arg *arg = &def->args[i];
        const char *part = (const char *)outcome->bytes + view.offsets[i];
        if (arg->kind == PX_ARG_OUT)
            memcpy ((char *)run->binds[i].out +
                        (begin - run->begin) * arg->elements * arg->element_size,
                    part, view.sizes[i]);
        if (arg->kind == PX_ARG_REDUCED) {
            fold (arg, folded, part, view.n_partials);
            folded += arg->element_size;
        }
    }
    return PX_OK;
}

static void fold_chunks (range_run *run)
{
    for (uint64_t chunk = 0; chunk < run->n_chunks; chunk++) {
        const char *folded = run->folded + chunk * run->folded_size;
        for (uint32_t i = 0; i < run->def->n_args; i++) {
            const px_arg *arg = &run->def->args[i];
            if (arg->kind != PX_ARG_REDUCED)
                continue;
            arg->reduce (run->binds[i].out, folded, arg->element_size);
            folded += arg->element_size;
        }
    }
}

/* ---- what goes --------------------------------------------------------------------------------
 */

/* Zeroed: what is between the parts is sent, too. */
static px_err make_common (const range_run *run, void **common, size_t *size)
{
    const px_range_def *def = run->def;
    uint64_t sizes[PX_ARGS_MAX];
    pxi_range_view view;
    for (uint32_t i = 0; i < def->n_args; i++)
        sizes[i] = run->binds[i].size;
    if (!pxi_range_common_layout (def, sizes, &view))
        return PX_ETOOBIG;
    *common = calloc (1, view.size);
    *size = view.size;
    if (!*common)
        return PX_ENOMEM;
    pxi_range_common_head (def, &view, *common);
    for (uint32_t i = 0; i < def->n_args; i++) {
        if (view.sizes[i])
            memcpy ((char *)*common + view.offsets[i], run->binds[i].in, view.sizes[i]);
    }
    return PX_OK;
}

static px_err add_chunk (range_run *run, px_branch branch, uint64_t begin, uint64_t end)
{
    const px_range_def *def = run->def;
    pxi_range_view view;
    if (!pxi_range_input_layout (def, begin, end, &view))
        return PX_ETOOBIG;
    char *input = calloc (1, view.size);
    if (!input)
        return PX_ENOMEM;
    pxi_range_input_head (&view, input);
    for (uint32_t i = 0; i < def->n_args; i++) {
        const px_arg *arg = &def->args[i];
        if (view.sizes[i])
            memcpy (input + view.offsets[i],
                    (const char *)run->binds[i].in +
                        (begin - run->begin) * arg->elements * arg->element_size,
                    view.sizes[i]);
    }
    px_err err = px_branch_add (branch, def->function, input, view.size);
    free (input);
    return err;
}

/* In whole work items. */
static uint64_t chunk_size (const range_run *run, uint64_t left)
{
    uint64_t each = run->def->items_elements, n = left / (2 * TAKERS);
    n = n > run->least ? n : run->least;
    n = n > UINT64_MAX - each ? n : (n + each - 1) / each * each;
    return n < left ? n : left;
}

static px_err add_chunks (range_run *run, px_branch branch)
{
    px_err err = PX_OK;
    for (uint64_t at = run->begin; at < run->end && err == PX_OK;) {
        uint64_t n = chunk_size (run, run->end - at);
        run->ends[run->n_chunks++] = at + n;
        err = add_chunk (run, branch, at, at + n);
        at += n;
    }
    return err;
}

static uint64_t count_chunks (const range_run *run)
{
    uint64_t n = 0;
    for (uint64_t left = run->end - run->begin; left; n++)
        left -= chunk_size (run, left);
    return n;
}

/* ---- the branch -------------------------------------------------------------------------------
 */

static bool bind_is_right (const px_arg *arg, const px_bind *bind, uint64_t n)
{
    uint64_t each = arg->element_size;
    switch (arg->kind) {
    case PX_ARG_SHARED:
        return (bind->in || !bind->size) && bind->size % each == 0;
    case PX_ARG_VALUE:
        return bind->in && bind->size == each;
    case PX_ARG_REDUCED:
        return bind->out && bind->size == each;
    case PX_ARG_IN:
    case PX_ARG_OUT:
        each *= arg->elements;
        return (!n || (arg->kind == PX_ARG_IN ? bind->in != NULL : bind->out != NULL)) &&
               bind->size % each == 0 && bind->size / each == n;
    default:
        return true;
    }
}

static px_err check (px_task *task, const px_range_def *def, uint64_t n, const px_bind *binds,
                     uint32_t n_binds)
{
    char why[PX_WHY_SIZE];
    if (!pxi_range_def_is_valid (def, why)) {
        px_task_fail_at (task, "", 0, "%s", why);
        return PX_EINVAL;
    }
    if (n_binds != def->n_args || !binds) {
        px_task_fail_at (task, "", 0, "range task %s has %u arguments, %u are bound", def->name,
                         def->n_args, n_binds);
        return PX_EINVAL;
    }
    for (uint32_t i = 0; i < n_binds; i++) {
        if (bind_is_right (&def->args[i], &binds[i], n))
            continue;
        px_task_fail_at (task, "", 0,
                         "argument %u of range task %s: %zu bytes do not fit %llu indices", i + 1,
                         def->name, binds[i].size, (unsigned long long)n);
        return PX_EINVAL;
    }
    return PX_OK;
}

static px_err make_room (range_run *run)
{
    for (uint32_t i = 0; i < run->def->n_args; i++) {
        if (run->def->args[i].kind == PX_ARG_REDUCED)
            run->folded_size += run->def->args[i].element_size;
    }
    uint64_t n = count_chunks (run);
    run->ends = calloc (n + 1, sizeof *run->ends);
    run->folded = calloc (n + 1, run->folded_size + 1);
    return run->ends && run->folded ? PX_OK : PX_ENOMEM;
}

static px_err run_all (range_run *run, const char *point, int32_t number, const void *common,
                       size_t common_size)
{
    px_branch branch;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.shared = common;
    options.shared_size = common_size;
    options.number = number;
    options.react = take_result;
    options.react_context = run;
    options.subtasks_max = WINDOW;
    px_err err = px_branch_open (run->task, point, &options, &branch);
    if (err != PX_OK)
        return err;
    err = add_chunks (run, branch);
    px_err joined = px_branch_join (branch);
    px_branch_close (branch);
    err = err != PX_OK ? err : joined;
    if (err == PX_OK)
        fold_chunks (run);
    return err;
}

px_err px_range_branch (px_task *task, const char *point, const px_range_def *def, uint64_t begin,
                        uint64_t end, const px_bind *binds, uint32_t n_binds,
                        const px_range_options *options)
{
    if (begin > end || (options && options->size < sizeof *options))
        return PX_EINVAL;
    px_err err = check (task, def, end - begin, binds, n_binds);
    if (err != PX_OK)
        return err;
    range_run run = {.def = def, .binds = binds, .task = task, .begin = begin, .end = end};
    uint64_t least = (end - begin) / CHUNKS_MAX;
    run.least = options && options->least ? options->least : least ? least : 1;
    void *common = NULL;
    size_t common_size = 0;
    err = make_room (&run);
    if (err == PX_OK)
        err = make_common (&run, &common, &common_size);
    if (err == PX_OK)
        err = run_all (&run, point, options ? options->number : PX_NUMBER_DEFAULT, common,
                       common_size);
    free (common);
    free (run.ends);
    free (run.folded);
    return err;
}
