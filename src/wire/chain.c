/* Chains of failures and accounts of shares, to bytes and back.
 *
 * Policy: encoding never fails for what it is given: too many are cut and counted, too long texts
 * are cut between characters, what is not UTF-8 becomes '?'. Decoding trusts nothing: limits first,
 * then copies of everything, so what comes out is valid text in one block of memory that depends on
 * nothing else. */
#include "wire/chain.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wire/arena.h"
#include "wire/codec.h"
#include "wire/peerexec.pb-c.h"
#include "wire/text.h"

enum {
    TASK_MAX = 2 * PX_NAME_SIZE_MAX + 1, /* "module.task" */
    FILE_MAX = 255,                      /* NAME_MAX of Linux; a path keeps its beginning */
    FAILURE_SIZE_MAX =
        TASK_MAX + PX_NAME_SIZE_MAX + FILE_MAX + PXI_TEXT_MAX + 64, /* 64: numbers, tags */
    SHARE_SIZE_MAX = PX_NAME_SIZE_MAX + 64,
    POINT_SIZE_MAX = PX_POINT_SIZE_MAX + 64,
    /* A full chain unpacks to less than twice its size. A hostile one of empty failures would
     * unpack to sixty times its size: it ends here, at four. */
    UNPACK_MAX = 4 * PXI_CHAIN_SIZE_MAX,
};
static_assert (PXI_FAILURES_MAX * FAILURE_SIZE_MAX + PXI_SHARES_MAX * SHARE_SIZE_MAX +
                       PXI_POINTS_MAX * POINT_SIZE_MAX + 64 <=
                   PXI_CHAIN_SIZE_MAX,
               "whatever is encoded can be decoded");

/* ---- encode ---------------------------------------------------------------------------------- */

/* A field of cleaned text: absent when empty. False = out of memory. */
static bool set_text (pxi_arena *arena, const char *text, size_t size_max, protobuf_c_boolean *has,
                      ProtobufCBinaryData *field)
{
    size_t size = text ? strlen (text) : 0;
    if (size == 0)
        return true;
    char *clean = pxi_arena_alloc (arena, (size < size_max ? size : size_max) + 1);
    if (!clean)
        return false;
    field->len = pxi_text_clean (clean, size_max, text, size);
    field->data = (uint8_t *)clean;
    *has = true;
    return true;
}

static bool set_failure (pxi_arena *arena, const px_failure *failure, Pxi__Wire__Failure *out)
{
    pxi__wire__failure__init (out);
    out->has_code = true;
    out->code = (uint32_t)failure->code;
    out->has_level = true;
    out->level = failure->level < PXI_LEVEL_MAX ? failure->level : PXI_LEVEL_MAX;
    out->has_attempt = failure->attempt != 0;
    out->attempt = failure->attempt;
    out->has_line = failure->line != 0;
    out->line = failure->line;
    out->has_index = failure->index != 0;
    out->index = failure->index;
    return set_text (arena, failure->task, TASK_MAX, &out->has_task, &out->task) &&
           set_text (arena, failure->peer, PX_NAME_SIZE_MAX, &out->has_peer, &out->peer) &&
           set_text (arena, failure->file, FILE_MAX, &out->has_file, &out->file) &&
           set_text (arena, failure->message, PXI_TEXT_MAX, &out->has_message, &out->message);
}

static bool set_failures (pxi_arena *arena, const pxi_chain *chain, Pxi__Wire__Chain *out)
{
    size_t n = chain->n_failures < PXI_FAILURES_MAX ? chain->n_failures : PXI_FAILURES_MAX;
    uint64_t dropped = chain->n_failures_dropped + (chain->n_failures - n);
    out->has_n_failures_dropped = dropped != 0;
    out->n_failures_dropped = dropped;
    if (n == 0)
        return true;
    Pxi__Wire__Failure *failures = pxi_arena_alloc (arena, n * sizeof *failures);
    out->failures = pxi_arena_alloc (arena, n * sizeof *out->failures);
    if (!failures || !out->failures)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!set_failure (arena, &chain->failures[i], &failures[i]))
            return false;
        out->failures[i] = &failures[i];
    }
    out->n_failures = n;
    return true;
}

static bool set_share (pxi_arena *arena, const px_job_share *share, Pxi__Wire__Share *out)
{
    pxi__wire__share__init (out);
    out->has_peer_id = true;
    out->peer_id = share->peer_id;
    out->has_subtasks = true;
    out->subtasks = share->subtasks;
    out->has_work_ns = true;
    out->work_ns = share->work_ns;
    return set_text (arena, share->peer_name, PX_NAME_SIZE_MAX, &out->has_peer_name,
                     &out->peer_name);
}

static bool set_shares (pxi_arena *arena, const pxi_chain *chain, Pxi__Wire__Chain *out)
{
    if (chain->n_shares == 0)
        return true;
    px_job_share *merged = pxi_arena_alloc (arena, PXI_SHARES_MAX * sizeof *merged);
    Pxi__Wire__Share *shares = pxi_arena_alloc (arena, PXI_SHARES_MAX * sizeof *shares);
    out->shares = pxi_arena_alloc (arena, PXI_SHARES_MAX * sizeof *out->shares);
    if (!merged || !shares || !out->shares)
        return false;
    size_t n = 0;
    pxi_shares_add (merged, &n, chain->shares, chain->n_shares);
    for (size_t i = 0; i < n; i++) {
        if (!set_share (arena, &merged[i], &shares[i]))
            return false;
        out->shares[i] = &shares[i];
    }
    out->n_shares = n;
    return true;
}

static bool set_point (pxi_arena *arena, const px_job_point *point, Pxi__Wire__Point *out)
{
    pxi__wire__point__init (out);
    out->has_number = true;
    out->number = (uint32_t)point->number;
    out->has_fixed = point->fixed != 0;
    out->fixed = point->fixed != 0;
    out->has_branches = true;
    out->branches = point->branches;
    out->has_offered = true;
    out->offered = point->offered;
    out->has_elsewhere = true;
    out->elsewhere = point->elsewhere;
    out->has_least = out->has_most = out->has_last = point->last != 0;
    out->least = (uint32_t)point->least;
    out->most = (uint32_t)point->most;
    out->last = (uint32_t)point->last;
    out->has_tunable = out->tunable = point->tunable != 0;
    return set_text (arena, point->point, PX_POINT_SIZE_MAX, &out->has_name, &out->name);
}

static bool set_points (pxi_arena *arena, const pxi_chain *chain, Pxi__Wire__Chain *out)
{
    size_t n = chain->n_points < PXI_POINTS_MAX ? chain->n_points : PXI_POINTS_MAX;
    if (n == 0)
        return true;
    Pxi__Wire__Point *points = pxi_arena_alloc (arena, n * sizeof *points);
    out->points = pxi_arena_alloc (arena, n * sizeof *out->points);
    if (!points || !out->points)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!set_point (arena, &chain->points[i], &points[i]))
            return false;
        out->points[i] = &points[i];
    }
    out->n_points = n;
    return true;
}

pxi_bytes *pxi_chain_encode (const pxi_chain *chain)
{
    pxi_arena arena;
    Pxi__Wire__Chain out = PXI__WIRE__CHAIN__INIT;
    pxi_bytes *bytes = NULL;
    pxi_arena_init (&arena, UNPACK_MAX);
    if (set_failures (&arena, chain, &out) && set_shares (&arena, chain, &out) &&
        set_points (&arena, chain, &out)) {
        bytes = pxi_bytes_new (pxi__wire__chain__get_packed_size (&out));
        if (bytes)
            pxi__wire__chain__pack (&out, pxi_bytes_data (bytes));
    }
    pxi_arena_fini (&arena);
    return bytes;
}

/* ---- decode ---------------------------------------------------------------------------------- */

static bool is_failure_sound (const Pxi__Wire__Failure *in)
{
    return pxi_codec_err_known (in->code) && in->level <= PXI_LEVEL_MAX &&
           in->task.len <= TASK_MAX && in->peer.len <= PX_NAME_SIZE_MAX &&
           in->file.len <= FILE_MAX && in->message.len <= PXI_TEXT_MAX;
}

static bool is_point_sound (const Pxi__Wire__Point *in)
{
    return in->name.len <= PX_POINT_SIZE_MAX && in->number <= INT32_MAX && in->least <= INT32_MAX &&
           in->most <= INT32_MAX && in->last <= INT32_MAX;
}

static bool is_sound (const Pxi__Wire__Chain *in)
{
    if (in->n_failures > PXI_FAILURES_MAX || in->n_shares > PXI_SHARES_MAX ||
        in->n_points > PXI_POINTS_MAX)
        return false;
    for (size_t i = 0; i < in->n_failures; i++)
        if (!is_failure_sound (in->failures[i]))
            return false;
    for (size_t i = 0; i < in->n_shares; i++)
        if (in->shares[i]->peer_name.len > PX_NAME_SIZE_MAX)
            return false;
    for (size_t i = 0; i < in->n_points; i++)
        if (!is_point_sound (in->points[i]))
            return false;
    return true;
}

/* Room for the texts of a sound chain, each with its NUL. */
static size_t texts_size (const Pxi__Wire__Chain *in)
{
    size_t size = 0;
    for (size_t i = 0; i < in->n_failures; i++) {
        const Pxi__Wire__Failure *failure = in->failures[i];
        size +=
            failure->task.len + failure->peer.len + failure->file.len + failure->message.len + 4;
    }
    return size;
}

static const char *take_text (char **next, const ProtobufCBinaryData *field)
{
    char *text = *next;
    *next += pxi_text_clean (text, field->len, field->data, field->len) + 1;
    return text;
}

static void take_failure (const Pxi__Wire__Failure *in, px_failure *failure, char **next)
{
    *failure = (px_failure){
        .code = (px_err)in->code,
        .level = in->level,
        .attempt = in->attempt,
        .line = in->line,
        .index = in->index,
    };
    failure->task = take_text (next, &in->task);
    failure->peer = take_text (next, &in->peer);
    failure->file = take_text (next, &in->file);
    failure->message = take_text (next, &in->message);
}

static void take_share (const Pxi__Wire__Share *in, px_job_share *share)
{
    share->peer_id = in->peer_id;
    share->subtasks = in->subtasks;
    share->work_ns = in->work_ns;
    pxi_text_clean (share->peer_name, PX_NAME_SIZE_MAX, in->peer_name.data, in->peer_name.len);
}

static void take_point (const Pxi__Wire__Point *in, px_job_point *point)
{
    point->number = (int32_t)in->number;
    point->fixed = in->fixed != 0;
    point->branches = in->branches;
    point->offered = in->offered;
    point->elsewhere = in->elsewhere;
    point->least = (int32_t)in->least;
    point->most = (int32_t)in->most;
    point->last = (int32_t)in->last;
    point->tunable = in->tunable != 0;
    pxi_text_clean (point->point, PX_POINT_SIZE_MAX, in->name.data, in->name.len);
}

static px_err take (const Pxi__Wire__Chain *in, pxi_chain *chain)
{
    size_t failures_size = in->n_failures * sizeof (px_failure);
    size_t shares_size = in->n_shares * sizeof (px_job_share);
    size_t points_size = in->n_points * sizeof (px_job_point);
    size_t size = failures_size + shares_size + points_size + texts_size (in);
    chain->n_failures_dropped = in->n_failures_dropped;
    if (size == 0)
        return PX_OK;
    char *memory = malloc (size);
    if (!memory)
        return PX_ENOMEM;
    char *texts = memory + failures_size + shares_size + points_size;
    chain->memory = memory;
    chain->failures = (px_failure *)(void *)memory;
    chain->shares = (px_job_share *)(void *)(memory + failures_size);
    chain->points = (px_job_point *)(void *)(memory + failures_size + shares_size);
    for (; chain->n_failures < in->n_failures; chain->n_failures++)
        take_failure (in->failures[chain->n_failures], &chain->failures[chain->n_failures], &texts);
    for (; chain->n_shares < in->n_shares; chain->n_shares++)
        take_share (in->shares[chain->n_shares], &chain->shares[chain->n_shares]);
    for (; chain->n_points < in->n_points; chain->n_points++)
        take_point (in->points[chain->n_points], &chain->points[chain->n_points]);
    PXI_ASSERT (texts <= memory + size);
    return PX_OK;
}

px_err pxi_chain_decode (const pxi_bytes *bytes, pxi_chain *chain)
{
    *chain = (pxi_chain){0};
    size_t size = pxi_bytes_size (bytes);
    if (size == 0)
        return PX_OK;
    if (size > PXI_CHAIN_SIZE_MAX)
        return PX_EMALFORMED;
    pxi_arena arena;
    pxi_arena_init (&arena, UNPACK_MAX);
    Pxi__Wire__Chain *in =
        pxi__wire__chain__unpack (&arena.allocator, size, pxi_bytes_data (bytes));
    px_err err = arena.out_of_memory     ? PX_ENOMEM
                 : !in || !is_sound (in) ? PX_EMALFORMED
                                         : take (in, chain);
    pxi_arena_fini (&arena);
    return err;
}

void pxi_chain_fini (pxi_chain *chain)
{
    free (chain->memory);
    *chain = (pxi_chain){0};
}

/* ---- accounts -------------------------------------------------------------------------------- */

static px_job_share *find_share (px_job_share *shares, size_t n_shares, uint64_t peer_id)
{
    for (size_t i = 0; i < n_shares; i++)
        if (shares[i].peer_id == peer_id)
            return &shares[i];
    return NULL;
}

void pxi_shares_add (px_job_share *shares, size_t *n_shares, const px_job_share *more,
                     size_t n_more)
{
    PXI_ASSERT (*n_shares <= PXI_SHARES_MAX);
    for (size_t i = 0; i < n_more; i++) {
        px_job_share *share = find_share (shares, *n_shares, more[i].peer_id);
        if (!share && *n_shares < PXI_SHARES_MAX) {
            shares[(*n_shares)++] = more[i];
            continue;
        }
        if (!share) /* full: the sum stays right, the last one speaks for the rest */
            share = &shares[PXI_SHARES_MAX - 1];
        share->subtasks += more[i].subtasks;
        share->work_ns += more[i].work_ns;
    }
}

static px_job_point *find_point (px_job_point *points, size_t n_points, const char *name)
{
    for (size_t i = 0; i < n_points; i++)
        if (!strcmp (points[i].point, name))
            return &points[i];
    return NULL;
}

/* 0: it was the branch number all the time. */
static void add_in_force (px_job_point *point, const px_job_point *more)
{
    if (!more->last)
        return;
    point->least = point->last && point->least < more->least ? point->least : more->least;
    point->most = point->most > more->most ? point->most : more->most;
    point->last = more->last;
}

void pxi_points_add (px_job_point *points, size_t *n_points, const px_job_point *more,
                     size_t n_more)
{
    PXI_ASSERT (*n_points <= PXI_POINTS_MAX);
    for (size_t i = 0; i < n_more; i++) {
        px_job_point *point = find_point (points, *n_points, more[i].point);
        if (!point && *n_points < PXI_POINTS_MAX)
            points[(*n_points)++] = more[i];
        if (!point)
            continue;
        point->number = point->number > more[i].number ? point->number : more[i].number;
        point->fixed = point->fixed || more[i].fixed;
        point->branches += more[i].branches;
        point->offered += more[i].offered;
        point->elsewhere += more[i].elsewhere;
        add_in_force (point, &more[i]);
    }
}
