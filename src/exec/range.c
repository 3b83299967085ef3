/* The range of a data-parallel branch: what its chunks are as bytes, and what comes of their results. Who does a
 * chunk, and how large it is, is chunks.c's.
 *
 * A chunk in a slot of this pool is done in place: the implementation reads what was bound, and writes where its
 * results belong. Slices that do not begin at a multiple of 16 are copied, and all of an input that shares memory
 * with an output, before anything is written. What goes elsewhere is copied when it is cut, by whoever cuts it.
 *
 * Results are taken on the owner's stack. Of what devices did, the first chunk of each and one of SAMPLE_EVERY are
 * done again in part, in C: where they differ, all that this device did is done again by others.
 *
 * A reduced output has one element for each chunk, which are folded when all are done, in the order of their indices:
 * so a device that turns out wrong has left nothing in a total. Where chunks begin and end depends on who was
 * fast, and with it the last bits of a sum; its order does not. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/peer.h>

#include "base/clock.h"
#include "base/prng.h"
#include "device/range.h"
#include "exec/state.h"

enum {
    ALIGNMENT = 16,
    LINE = 64,          /* chunks share none, where the range is long enough */
    GRANULES_MIN = 64,  /* for that, and to be cut */
    CHUNKS_HERE = 4096, /* in slots, about: each is remembered */
    PARTS_HERE = 64,    /* at least, of what takes long enough */
    SAMPLE_EVERY = 64,
    SAMPLED_MAX = 64, /* devices whose chunks are counted; of others each is looked at */
};
#define SAMPLE_NS UINT64_C (1000000) /* of computing in C, about */

typedef struct range_sampled {
    pxi_who who;
    uint64_t n;
} range_sampled;

typedef struct range_run {
    pxi_range range; /* first: what chunks.c has of it */
    const px_range_def *def;
    px_bind binds[PX_ARGS_MAX]; /* `in` of a copy where it shares memory with an output */
    void *copies[PX_ARGS_MAX];
    px_task *task;
    uint64_t begin, end;
    const void *common;
    pxi_range_view common_view;
    uint64_t folded_size;                /* of one of each reduced output, aligned */
    uint64_t folded_places[PX_ARGS_MAX]; /* in it */
    char *folded;                        /* of each chunk, by its index */
    uint64_t n_folded;
    range_sampled sampled[SAMPLED_MAX];
    uint32_t n_sampled;
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

/* ---- a part of the range, in C, where it lies ---------------------------------------------------
 */

typedef struct run_parts {
    void *args[PX_ARGS_MAX];
    uint64_t sizes[PX_ARGS_MAX];
    void *copies[PX_ARGS_MAX]; /* of slices that are not aligned */
} run_parts;

static char *slice (const range_run *run, uint32_t arg, uint64_t begin)
{
    const px_arg *def = &run->def->args[arg];
    const px_bind *bind = &run->binds[arg];
    const char *bytes = def->kind == PX_ARG_IN ? bind->in : bind->out;
    return (char *)(uintptr_t)bytes + (begin - run->begin) * def->elements * def->element_size;
}

static bool is_aligned (const void *bytes)
{
    return (uintptr_t)bytes % ALIGNMENT == 0;
}

static bool point_to_slice (const range_run *run, uint32_t arg, uint64_t begin, run_parts *parts)
{
    char *bytes = slice (run, arg, begin);
    parts->args[arg] = bytes;
    if (is_aligned (bytes))
        return true;
    parts->args[arg] = parts->copies[arg] = malloc (parts->sizes[arg] + 1);
    if (parts->copies[arg] && run->def->args[arg].kind == PX_ARG_IN)
        memcpy (parts->copies[arg], bytes, parts->sizes[arg]);
    return parts->copies[arg] != NULL;
}

static void parts_fini (run_parts *parts)
{
    for (uint32_t i = 0; i < PX_ARGS_MAX; i++)
        free (parts->copies[i]);
}

/* Outputs go to `out`, laid out as the view says; without one they go where they belong, and what is
 * reduced to `folded`. */
static bool point_to_parts (const range_run *run, px_chunk *chunk, const pxi_range_view *view,
                            char *out, char *folded, run_parts *parts)
{
    *parts = (run_parts){0};
    for (uint32_t i = 0; i < run->def->n_args; i++) {
        const px_arg *arg = &run->def->args[i];
        parts->sizes[i] = arg->element_size;
        if (arg->kind == PX_ARG_BEGIN || arg->kind == PX_ARG_COUNT) {
            parts->args[i] = arg->kind == PX_ARG_BEGIN ? &chunk->begin : &chunk->n;
        } else if (pxi_range_arg_is_common (arg)) {
            parts->args[i] = (char *)(uintptr_t)run->common + run->common_view.offsets[i];
            parts->sizes[i] = run->common_view.sizes[i];
        } else if (view && pxi_range_arg_is_out (arg)) {
            parts->args[i] = out + view->offsets[i];
            parts->sizes[i] = view->sizes[i];
        } else if (arg->kind == PX_ARG_REDUCED) {
            parts->args[i] = folded + run->folded_places[i];
        } else {
            parts->sizes[i] = chunk->n * arg->elements * arg->element_size;
            if (!point_to_slice (run, i, chunk->begin, parts))
                return false;
        }
    }
    return true;
}

static px_err run_part (const range_run *run, px_task *task, uint64_t begin, uint64_t end,
                        const pxi_range_view *view, char *out, char *folded)
{
    run_parts parts;
    px_chunk chunk = {begin, end, end - begin, parts.args, parts.sizes};
    px_err err = PX_ENOMEM;
    if (point_to_parts (run, &chunk, view, out, folded, &parts))
        err = run->def->run (task, &chunk);
    for (uint32_t i = 0; i < run->def->n_args && err == PX_OK; i++) {
        if (parts.copies[i] && run->def->args[i].kind == PX_ARG_OUT)
            memcpy (slice (run, i, begin), parts.copies[i], parts.sizes[i]);
    }
    parts_fini (&parts);
    return err;
}

/* The task of a chunk in place: its result is what is reduced. */
static px_err run_here (px_task *task, const void *input, size_t input_size)
{
    const range_run *run = (const range_run *)task->item->branch->range;
    uint64_t ends[2];
    void *folded;
    memcpy (ends, input, sizeof ends);
    px_err err = px_task_result (task, run->folded_size, &folded);
    return err == PX_OK ? run_part (run, task, ends[0], ends[1], NULL, NULL, folded) : err;
}

/* ---- results are folded -----------------------------------------------------------------------
 */

static void fold (const px_arg *arg, void *total, const char *partials, uint64_t n)
{
    memcpy (total, partials, arg->element_size);
    for (uint64_t i = 1; i < n; i++)
        arg->reduce (total, partials + i * arg->element_size, arg->element_size);
}

static char *folded_of (range_run *run, uint64_t chunk)
{
    if (chunk >= run->n_folded) {
        uint64_t n = 2 * chunk + 64;
        char *folded = realloc (run->folded, n * run->folded_size);
        if (!folded)
            return NULL;
        run->folded = folded;
        run->n_folded = n;
    }
    return run->folded + chunk * run->folded_size;
}

static int by_begin (const void *a, const void *b)
{
    const pxi_cut_chunk *left = *(const pxi_cut_chunk *const *)a,
                        *right = *(const pxi_cut_chunk *const *)b;
    return left->begin < right->begin ? -1 : left->begin > right->begin;
}

static void fold_chunk (const range_run *run, uint64_t chunk)
{
    for (uint32_t i = 0; i < run->def->n_args; i++) {
        const px_arg *arg = &run->def->args[i];
        if (arg->kind == PX_ARG_REDUCED)
            arg->reduce (run->binds[i].out,
                         run->folded + chunk * run->folded_size + run->folded_places[i],
                         arg->element_size);
    }
}

/* When all is done: nobody else is in the cut. */
static px_err fold_chunks (const range_run *run)
{
    const pxi_cut *cut = &run->range.cut;
    if (!run->folded_size || !cut->n_chunks)
        return PX_OK;
    const pxi_cut_chunk **done = malloc (cut->n_chunks * sizeof *done);
    if (!done)
        return PX_ENOMEM;
    uint32_t n = 0;
    for (uint32_t i = 0; i < cut->n_chunks; i++) {
        if (cut->chunks[i].state == PXI_CUT_DONE)
            done[n++] = &cut->chunks[i];
    }
    qsort (done, n, sizeof *done, by_begin);
    for (uint32_t i = 0; i < n; i++)
        fold_chunk (run, (uint64_t)(done[i] - cut->chunks));
    free (done);
    return PX_OK;
}

/* ---- what devices did, compared with C ----------------------------------------------------------
 */

typedef struct range_result {
    uint64_t begin, end;
    pxi_who who;
    const char *bytes;
    pxi_range_view view;
} range_result;

/* The n work items from `first` on. True: the argument is the same. */
static bool is_same (const range_run *run, const range_result *result, uint32_t i, uint64_t first,
                     uint64_t n, const char *c, uint64_t c_size, uint64_t *element)
{
    const px_arg *arg = &run->def->args[i];
    const char *theirs = result->bytes + result->view.offsets[i];
    void *total = NULL;
    if (arg->kind == PX_ARG_REDUCED) {
        total = malloc (arg->element_size);
        if (!total)
            return true;
        fold (arg, total, theirs + first * arg->element_size, n);
        theirs = total;
    } else {
        theirs += first * run->def->items_elements * arg->elements * arg->element_size;
    }
    *element = pxi_range_compare (arg, theirs, c, c_size);
    free (total);
    return *element == UINT64_MAX;
}

/* Where C cannot do it, there is nothing to compare with. */
static bool are_same (range_run *run, const range_result *result, uint64_t first, uint64_t n,
                      char why[PX_WHY_SIZE])
{
    uint64_t each = run->def->items_elements, element;
    uint64_t begin = result->begin + first * each, end = begin + n * each;
    pxi_range_view view;
    end = end < result->end ? end : result->end;
    if (!pxi_range_result_layout (run->def, begin, end, 1, &view))
        return true;
    char *c = malloc (view.size);
    bool same = true;
    bool computed = c && run_part (run, run->task, begin, end, &view, c, NULL) == PX_OK;
    for (uint32_t i = 0; i < run->def->n_args && computed && same; i++) {
        if (!pxi_range_arg_is_out (&run->def->args[i]))
            continue;
        same = is_same (run, result, i, first, n, c + view.offsets[i], view.sizes[i], &element);
        if (!same)
            snprintf (
                why, PX_WHY_SIZE,
                "device %u computes argument %u of range task %s otherwise than C, at element "
                "%" PRIu64 " of [%" PRIu64 ", %" PRIu64 ")",
                result->who.device, i + 1, run->def->name, element, begin, end);
    }
    free (c);
    return same;
}

/* The first of each device, and one of many. */
static bool is_sampled (range_run *run, const pxi_who *who)
{
    uint32_t i = 0;
    while (i < run->n_sampled &&
           (run->sampled[i].who.peer != who->peer || run->sampled[i].who.device != who->device))
        i++;
    if (i == SAMPLED_MAX)
        return true;
    if (i == run->n_sampled)
        run->sampled[run->n_sampled++] = (range_sampled){.who = *who};
    return run->sampled[i].n++ % SAMPLE_EVERY == 0;
}

/* One work item, which tells how many more there is time for. */
static bool is_believed (range_run *run, const range_result *result, char why[PX_WHY_SIZE])
{
    uint64_t n_items = pxi_range_items (run->def, result->end - result->begin);
    uint64_t began_ns = pxi_clock_ns (), chance = pxi_mix64 (result->begin);
    if (!are_same (run, result, chance % n_items, 1, why))
        return false;
    uint64_t took_ns = pxi_clock_ns () - began_ns;
    uint64_t more = took_ns < SAMPLE_NS ? SAMPLE_NS / (took_ns + 1) : 0;
    more = more < n_items ? more : n_items;
    return !more || are_same (run, result, pxi_mix64 (chance) % (n_items - more + 1), more, why);
}

/* Who has done something for a run is in its account. */
static void name_of (pxi_pool *pool, const pxi_pool_run *run, uint64_t peer, char *name,
                     size_t size)
{
    snprintf (name, size, "%s", peer == pool->config.peer_id ? pool->config.peer_name : "?");
    pthread_mutex_lock (&pool->lock);
    for (size_t i = 0; i < run->n_shares; i++) {
        if (run->shares[i].peer_id == peer)
            snprintf (name, size, "%s", run->shares[i].peer_name);
    }
    pthread_mutex_unlock (&pool->lock);
}

static void tell_wrong (range_run *run, const pxi_who *who, const char *why)
{
    pxi_pool *pool = run->task->fiber->pool;
    char name[PXI_NAME_SIZE];
    name_of (pool, run->task->fiber->run, who->peer, name, sizeof name);
    px_failure note = {.code = PX_EFAILED,
                       .attempt = 1,
                       .task = run->def->name,
                       .peer = name,
                       .file = "",
                       .message = why};
    pxi_range_wrong (pool, &run->range, who, &note);
}

/* ---- what comes back --------------------------------------------------------------------------
 */

/* A device has partials for each work item, C one for all. */
static bool parse (const range_run *run, const pxi_item *item, range_result *result)
{
    uint64_t n_items = pxi_range_items (run->def, result->end - result->begin);
    result->bytes = item->result ? pxi_bytes_data (item->result) : item->inline_result;
    return pxi_range_result_parse (run->def, result->begin, result->end, result->bytes,
                                   item->result_size, &result->view) &&
           (!result->who.device || result->view.n_partials == n_items);
}

static void take_parts_of (range_run *run, const range_result *result, char *folded)
{
    for (uint32_t i = 0; i < run->def->n_args; i++) {
        const px_arg *arg = &run->def->args[i];
        const char *part = result->bytes + result->view.offsets[i];
        if (arg->kind == PX_ARG_OUT)
            memcpy (slice (run, i, result->begin), part, result->view.sizes[i]);
        if (arg->kind == PX_ARG_REDUCED)
            fold (arg, folded + run->folded_places[i], part, result->view.n_partials);
    }
}

/* Where this stack has no room for the implementation, another result is looked at. */
static bool to_compare (range_run *run, const pxi_who *who)
{
    return who->device && pxi_fiber_has_room (run->task->fiber, __builtin_frame_address (0)) &&
           is_sampled (run, who);
}

static px_err take_result (range_run *run, const pxi_item *item, range_result *result, char *folded)
{
    char why[PX_WHY_SIZE];
    bool parsed = parse (run, item, result);
    if (!result->who.device && !parsed)
        return px_task_fail_at (run->task, "", 0, "%zu bytes are no result of range task %s",
                                item->result_size, run->def->name);
    if (!parsed)
        snprintf (why, sizeof why, "device %u gives %zu bytes that are no result of range task %s",
                  result->who.device, item->result_size, run->def->name);
    if (!parsed || (to_compare (run, &result->who) && !is_believed (run, result, why)))
        tell_wrong (run, &result->who, why);
    else
        take_parts_of (run, result, folded);
    return PX_OK;
}

px_err pxi_range_take (pxi_range *range, const pxi_item *item)
{
    range_run *run = (range_run *)range;
    pxi_cut_chunk chunk;
    if (item->code != PX_OK || item->back)
        return PX_OK; /* the join tells it, with its chain; or another does it */
    pxi_chunk_read (run->task->fiber->pool, range, item->index, &chunk);
    if (chunk.state != PXI_CUT_DONE)
        return PX_OK; /* by a device that is not believed any more */
    char *folded = run->folded_size ? folded_of (run, item->index) : NULL;
    if (run->folded_size && !folded)
        return PX_ENOMEM;
    if (!item->input_bytes) { /* done in place */
        if (folded)
            memcpy (folded, item->result ? pxi_bytes_data (item->result) : item->inline_result,
                    run->folded_size);
        return PX_OK;
    }
    range_result result = {.begin = chunk.begin, .end = chunk.end, .who = chunk.who};
    return take_result (run, item, &result, folded);
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

/* Between its parts zeros go, too. */
static pxi_bytes *make_input (const pxi_range *range, uint64_t begin, uint64_t end)
{
    const range_run *run = (const range_run *)range;
    pxi_range_view view;
    if (!pxi_range_input_layout (run->def, begin, end, &view))
        return NULL;
    pxi_bytes *bytes = pxi_bytes_new (view.size);
    if (!bytes)
        return NULL;
    char *input = pxi_bytes_data (bytes);
    uint64_t filled = 2 * sizeof (uint64_t);
    pxi_range_input_head (&view, input);
    for (uint32_t i = 0; i < run->def->n_args; i++) {
        if (!view.sizes[i])
            continue;
        memset (input + filled, 0, view.offsets[i] - filled);
        memcpy (input + view.offsets[i], slice (run, i, begin), view.sizes[i]);
        filled = view.offsets[i] + view.sizes[i];
    }
    return bytes;
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

static bool overlap (const px_bind *in, const px_bind *out)
{
    uintptr_t a = (uintptr_t)in->in, b = (uintptr_t)out->out;
    return in->size && a < b + out->size && b < a + in->size;
}

/* An input that is written to is read before: chunks may be done in any order, and twice. */
static px_err copy_overlapping (range_run *run)
{
    for (uint32_t i = 0; i < run->def->n_args; i++) {
        bool shares = false;
        for (uint32_t k = 0; k < run->def->n_args && run->def->args[i].kind == PX_ARG_IN; k++)
            shares |= pxi_range_arg_is_out (&run->def->args[k]) &&
                      overlap (&run->binds[i], &run->binds[k]);
        if (!shares)
            continue;
        run->copies[i] = malloc (run->binds[i].size);
        if (!run->copies[i])
            return PX_ENOMEM;
        memcpy (run->copies[i], run->binds[i].in, run->binds[i].size);
        run->binds[i].in = run->copies[i];
    }
    return PX_OK;
}

static bool is_whole (const range_run *run, uint64_t n, uint64_t size)
{
    for (uint32_t i = 0; i < run->def->n_args; i++) {
        const px_arg *arg = &run->def->args[i];
        bool sliced = arg->kind == PX_ARG_IN || arg->kind == PX_ARG_OUT;
        if (sliced && n * arg->elements * arg->element_size % size)
            return false;
    }
    return true;
}

/* Whole work items; aligned slices, and lines of their own, where there are enough for that. */
static uint64_t granule_for (const range_run *run, uint64_t least)
{
    uint64_t n = run->end - run->begin, each = run->def->items_elements, granule = each;
    if (least > each)
        granule = least > UINT64_MAX - each ? least : (least + each - 1) / each * each;
    while (!is_whole (run, granule, LINE) && granule <= n / (2 * GRANULES_MIN))
        granule *= 2;
    return granule;
}

static void measure_bytes (range_run *run)
{
    pxi_range *range = &run->range;
    for (uint32_t i = 0; i < run->def->n_args; i++) {
        const px_arg *arg = &run->def->args[i];
        uint64_t each = (uint64_t)arg->elements * arg->element_size;
        if (arg->kind == PX_ARG_IN)
            range->input_bytes += each;
        else if (arg->kind == PX_ARG_OUT)
            range->result_bytes += each;
        if (arg->kind != PX_ARG_REDUCED)
            continue;
        range->reduced_bytes += arg->element_size;
        run->folded_places[i] = run->folded_size;
        run->folded_size += (arg->element_size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
}

/* The branch has the only copy of what is common. */
static px_err open_branch (range_run *run, const char *point, int32_t number)
{
    px_branch branch;
    void *common;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.number = number;
    px_err err = make_common (run, &common, &options.shared_size);
    if (err != PX_OK)
        return err;
    options.shared = common;
    err = px_branch_open (run->task, point, &options, &branch);
    free (common);
    if (err != PX_OK)
        return err;
    run->range.branch = pxi_branch_look_up (branch);
    run->range.common_bytes = options.shared_size;
    run->common = pxi_bytes_data (run->range.branch->shared);
    bool parsed = pxi_range_common_parse (run->def, run->common, options.shared_size,
                                          &run->common_view, NULL);
    PXI_ASSERT (parsed);
    return PX_OK;
}

static px_err prepare (range_run *run, const px_bind *binds, uint64_t least)
{
    pxi_range *range = &run->range;
    const px_range_def *def = run->def;
    uint64_t n = run->end - run->begin;
    int64_t task = pxi_pool_task_index (run->task->fiber->pool, def->function);
    if (task < 0)
        return PX_ENOTASK;
    range->def = def;
    range->task = (uint32_t)task;
    range->here = run_here;
    range->input = make_input;
    range->most_here = n / CHUNKS_HERE;
    range->part = n / PARTS_HERE;
    pxi_list_init (&range->in_pool);
    memcpy (run->binds, binds, def->n_args * sizeof *binds);
    measure_bytes (run);
    pxi_cut_init (&range->cut, run->begin, run->end, granule_for (run, least));
    return copy_overlapping (run);
}

static void range_free (range_run *run)
{
    pxi_cut_fini (&run->range.cut);
    for (uint32_t i = 0; i < PX_ARGS_MAX; i++)
        free (run->copies[i]);
    free (run->folded);
    free (run);
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
    range_run *run = calloc (1, sizeof *run);
    if (!run)
        return PX_ENOMEM;
    run->def = def;
    run->task = task;
    run->begin = begin;
    run->end = end;
    err = prepare (run, binds, options ? options->least : 0);
    if (err == PX_OK)
        err = open_branch (run, point, options ? options->number : PX_NUMBER_DEFAULT);
    if (err == PX_OK)
        err = pxi_branch_run_range (run->range.branch, &run->range);
    if (err == PX_OK)
        err = fold_chunks (run);
    range_free (run);
    return err;
}
