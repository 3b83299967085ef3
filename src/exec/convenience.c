/* Parallel for, map, map-reduce: all of them a branch with a reaction. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/branch.h>

enum { CHUNKS = 64, RANGE_WINDOW = 1024 };

static px_err accept_any (void *context, uint64_t index, const px_outcome *outcome)
{
    (void)context;
    (void)index;
    (void)outcome;
    return PX_OK;
}

static px_err add_chunks (px_branch branch, uint64_t begin, uint64_t end, uint64_t grain,
                          px_task_fn *function)
{
    px_err err = PX_OK;
    for (uint64_t at = begin; err == PX_OK && at < end;) {
        uint64_t n = end - at < grain ? end - at : grain;
        const px_range chunk = {at, at + n};
        err = px_branch_add (branch, function, &chunk, sizeof chunk);
        at += n;
    }
    return err;
}

/* A name that is too long for "POINT.grain" is not varied. */
static uint64_t grain_of (px_task *task, const char *point, uint64_t n)
{
    char name[64 + sizeof ".grain"];
    uint64_t standard = n / CHUNKS + (n % CHUNKS != 0);
    int size = point ? snprintf (name, sizeof name, "%s.grain", point) : 0;
    bool fits = size > 0 && size < (int)sizeof name;
    return n && fits ? px_tunable (task, name, standard) : standard;
}

px_err px_for (px_task *task, const char *point, uint64_t begin, uint64_t end, uint64_t grain,
               px_task_fn *function, const void *shared, size_t shared_size,
               px_reaction_fn *reaction, void *reaction_context)
{
    if (begin > end)
        return PX_EINVAL;
    if (!grain)
        grain = grain_of (task, point, end - begin);
    grain = grain ? grain : 1;
    px_branch branch;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.react = reaction ? reaction : accept_any;
    options.react_context = reaction_context;
    options.subtasks_max = RANGE_WINDOW;
    options.shared = shared;
    options.shared_size = shared_size;
    px_err err = px_branch_open (task, point, &options, &branch);
    if (err != PX_OK)
        return err;
    err = add_chunks (branch, begin, end, grain, function);
    px_err joined = px_branch_join (branch);
    px_branch_close (branch);
    return err != PX_OK ? err : joined;
}

typedef struct map_results {
    px_task *task;
    char *results;
    size_t result_size;
} map_results;

static px_err store_result (void *context, uint64_t index, const px_outcome *outcome)
{
    map_results *map = context;
    if (outcome->code != PX_OK)
        return PX_OK; /* the join tells it, with its chain */
    if (outcome->bytes_size != map->result_size) {
        px_task_fail_at (map->task, "", 0, "result %llu has %zu bytes, not %zu",
                         (unsigned long long)index, outcome->bytes_size, map->result_size);
        return PX_EFAILED;
    }
    memcpy (map->results + index * map->result_size, outcome->bytes, map->result_size);
    return PX_OK;
}

static px_err map_over (px_task *task, const char *point, px_task_fn *function, const void *items,
                        size_t item_size, size_t n_items, px_reaction_fn *reaction, void *context)
{
    px_branch branch;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.react = reaction;
    options.react_context = context;
    if (n_items && (!items || !item_size))
        return PX_EINVAL;
    px_err err = px_branch_open (task, point, &options, &branch);
    if (err != PX_OK)
        return err;
    for (size_t i = 0; err == PX_OK && i < n_items; i++)
        err = px_branch_add (branch, function, (const char *)items + i * item_size, item_size);
    px_err joined = px_branch_join (branch);
    px_branch_close (branch);
    return err != PX_OK ? err : joined;
}

px_err px_map (px_task *task, const char *point, px_task_fn *function, const void *items,
               size_t item_size, size_t n_items, void *results, size_t result_size)
{
    if (n_items && !results)
        return PX_EINVAL;
    map_results map = {task, results, result_size};
    return map_over (task, point, function, items, item_size, n_items, store_result, &map);
}

/* Ordered folding keeps what came too early until its turn. */
typedef struct folding {
    px_reduce_fn *reduce;
    void *total;
    bool ordered;
    uint64_t next;
    size_t n;
    struct early {
        void *bytes;
        size_t size;
        bool here;
    } * early;
} folding;

static void fold_early (folding *fold)
{
    while (fold->next < fold->n && fold->early[fold->next].here) {
        struct early *early = &fold->early[fold->next++];
        fold->reduce (fold->total, early->bytes, early->size);
        free (early->bytes);
        early->bytes = NULL;
    }
}

static px_err fold_result (void *context, uint64_t index, const px_outcome *outcome)
{
    folding *fold = context;
    if (outcome->code != PX_OK)
        return PX_OK;
    if (!fold->ordered || index == fold->next) {
        fold->reduce (fold->total, outcome->bytes, outcome->bytes_size);
        fold->next++;
        if (fold->ordered)
            fold_early (fold);
        return PX_OK;
    }
    struct early *early = &fold->early[index];
    early->bytes = malloc (outcome->bytes_size ? outcome->bytes_size : 1);
    if (!early->bytes)
        return PX_ENOMEM;
    memcpy (early->bytes, outcome->bytes, outcome->bytes_size);
    early->size = outcome->bytes_size;
    early->here = true;
    return PX_OK;
}

px_err px_map_reduce (px_task *task, const char *point, px_task_fn *function, const void *items,
                      size_t item_size, size_t n_items, px_reduce_fn *reduce, void *total,
                      int ordered)
{
    if (!reduce)
        return PX_EINVAL;
    folding fold = {.reduce = reduce, .total = total, .ordered = ordered != 0, .n = n_items};
    if (ordered && n_items && !(fold.early = calloc (n_items, sizeof *fold.early)))
        return PX_ENOMEM;
    px_err err = map_over (task, point, function, items, item_size, n_items, fold_result, &fold);
    for (size_t i = 0; fold.early && i < n_items; i++)
        free (fold.early[i].bytes);
    free (fold.early);
    return err;
}
