/* The outcome is set once and then only read; everything that changes is under the lock. */
#include "agent/root.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/timeline.h"
#include "base/assert.h"
#include "base/clock.h"

#define LATE_NS (2 * PXI_SECOND) /* for the last records of a trace to come */

/* ---- life -------------------------------------------------------------------------------------
 */

static bool copy_task_names (pxi_root *root, const pxi_module *module)
{
    root->task_names = calloc (module->n_tasks, sizeof *root->task_names);
    if (!root->task_names)
        return false;
    root->n_task_names = module->n_tasks;
    for (uint32_t i = 0; i < module->n_tasks; i++) {
        if (!(root->task_names[i] = strdup (module->task_names[i])))
            return false;
    }
    return true;
}

static void init_lock (pxi_root *root)
{
    pthread_condattr_t attributes;
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&root->changed, &attributes);
    pthread_condattr_destroy (&attributes);
    pthread_mutex_init (&root->lock, NULL);
}

pxi_root *pxi_root_new (const pxi_module *module, uint32_t task, bool trace)
{
    pxi_root *root = calloc (1, sizeof *root);
    if (!root)
        return NULL;
    atomic_init (&root->references, 1);
    init_lock (root);
    root->module = module;
    root->task = task;
    root->trace = trace;
    root->started_ns = pxi_clock_ns ();
    root->n_sent = 1; /* the root itself */
    snprintf (root->module_name, sizeof root->module_name, "%s", module->name);
    snprintf (root->task_name, sizeof root->task_name, "%s", module->task_names[task]);
    snprintf (root->full_name, sizeof root->full_name, "%s.%s", root->module_name, root->task_name);
    if (trace && !copy_task_names (root, module)) {
        pxi_root_release (root);
        return NULL;
    }
    return root;
}

pxi_root *pxi_root_acquire (pxi_root *root)
{
    atomic_fetch_add (&root->references, 1);
    return root;
}

void pxi_root_release (pxi_root *root)
{
    if (!root || atomic_fetch_sub (&root->references, 1) > 1)
        return;
    pxi_bytes_release (root->input);
    pxi_bytes_release (root->spec);
    pxi_bytes_release (root->value);
    pxi_chain_fini (&root->chain);
    for (uint32_t i = 0; i < root->n_task_names; i++)
        free (root->task_names[i]);
    free (root->task_names);
    free (root->traced);
    pthread_cond_destroy (&root->changed);
    pthread_mutex_destroy (&root->lock);
    free (root);
}

/* ---- outcome ----------------------------------------------------------------------------------
 */

/* Every failed outcome has at least one failure to show; those of one that did not fail are notes. */
static void fill_failures (pxi_root *root, const char *peer_name, const char *message)
{
    px_outcome *outcome = &root->outcome;
    outcome->failures = root->chain.failures;
    outcome->n_failures = root->chain.n_failures;
    outcome->n_failures_dropped = root->chain.n_failures_dropped;
    if (outcome->code == PX_OK || root->chain.n_failures)
        return;
    snprintf (root->message, sizeof root->message, "%s",
              message ? message : px_err_text (outcome->code));
    if (!root->peer_name[0])
        snprintf (root->peer_name, sizeof root->peer_name, "%s", peer_name);
    root->own_failure = (px_failure){.code = outcome->code,
                                     .attempt = 1,
                                     .task = root->full_name,
                                     .peer = root->peer_name,
                                     .file = "",
                                     .message = root->message};
    outcome->failures = &root->own_failure;
    outcome->n_failures = 1;
}

/* The account is exact where progress was told now and then. */
static void count_last (pxi_root *root)
{
    uint64_t subtasks = 0;
    for (size_t i = 0; i < root->chain.n_shares; i++)
        subtasks += root->chain.shares[i].subtasks;
    px_job_progress *progress = &root->progress;
    progress->subtasks_done =
        subtasks > progress->subtasks_done ? subtasks : progress->subtasks_done;
    if (progress->subtasks_known < progress->subtasks_done)
        progress->subtasks_known = progress->subtasks_done;
    progress->attempts_away = progress->peers_working = 0;
}

void pxi_root_finish (pxi_root *root, pxi_outcome *outcome, const char *peer_name,
                      const char *message)
{
    pthread_mutex_lock (&root->lock);
    if (!root->done) {
        root->outcome.code = (px_err)outcome->code;
        /* A chain that cannot be read costs the account, not the value. */
        if (pxi_chain_decode (outcome->chain, &root->chain) != PX_OK)
            root->chain = (pxi_chain){0};
        if (outcome->code == PX_OK) {
            root->value = pxi_bytes_acquire (outcome->value);
            root->outcome.bytes = pxi_bytes_data (root->value);
            root->outcome.bytes_size = pxi_bytes_size (root->value);
        }
        fill_failures (root, peer_name, message);
        count_last (root);
        root->done = true;
        pthread_cond_broadcast (&root->changed);
    }
    pthread_mutex_unlock (&root->lock);
    pxi_bytes_release (outcome->value);
    pxi_bytes_release (outcome->chain);
}

bool pxi_root_is_done (pxi_root *root)
{
    pthread_mutex_lock (&root->lock);
    bool done = root->done;
    pthread_mutex_unlock (&root->lock);
    return done;
}

px_err pxi_root_wait (pxi_root *root, uint64_t deadline_ns, px_outcome *outcome)
{
    struct timespec until = pxi_clock_timespec (deadline_ns);
    int result = 0;
    pthread_mutex_lock (&root->lock);
    while (!root->done && deadline_ns && result != ETIMEDOUT) {
        if (deadline_ns == PX_FOREVER)
            pthread_cond_wait (&root->changed, &root->lock);
        else
            result = pthread_cond_timedwait (&root->changed, &root->lock, &until);
    }
    bool done = root->done;
    if (done)
        *outcome = root->outcome;
    pthread_mutex_unlock (&root->lock);
    return done ? PX_OK : PX_ETIMEOUT;
}

static int most_work_first (const void *a, const void *b)
{
    const px_job_share *left = a, *right = b;
    if (left->work_ns != right->work_ns)
        return left->work_ns < right->work_ns ? 1 : -1;
    return left->peer_id < right->peer_id ? -1 : left->peer_id > right->peer_id;
}

/* Part of the account, in order: up to n_max of n. */
static void copy_sorted (void *to, size_t n_max, void *from, size_t n, size_t size,
                         int (*compare) (const void *, const void *))
{
    if (n > 1)
        qsort (from, n, size, compare);
    if (n && n_max)
        memcpy (to, from, (n < n_max ? n : n_max) * size);
}

size_t pxi_root_shares (pxi_root *root, px_job_share *shares, size_t n_max)
{
    pthread_mutex_lock (&root->lock);
    size_t n = root->done ? root->chain.n_shares : 0;
    copy_sorted (shares, n_max, root->chain.shares, n, sizeof *shares, most_work_first);
    pthread_mutex_unlock (&root->lock);
    return n;
}

static int most_offered_first (const void *a, const void *b)
{
    const px_job_point *left = a, *right = b;
    if (left->offered != right->offered)
        return left->offered < right->offered ? 1 : -1;
    return strcmp (left->point, right->point);
}

/* What is told of the number in force is told of where it has changed. */
static void complete_in_force (px_job_point *point)
{
    if (!point->last)
        point->least = point->last = point->number;
    if (point->most < point->number)
        point->most = point->number;
    if (point->least > point->number)
        point->least = point->number;
}

size_t pxi_root_points (pxi_root *root, px_job_point *points, size_t n_max)
{
    pthread_mutex_lock (&root->lock);
    size_t n = root->done ? root->chain.n_points : 0;
    copy_sorted (points, n_max, root->chain.points, n, sizeof *points, most_offered_first);
    pthread_mutex_unlock (&root->lock);
    for (size_t i = 0; i < n && i < n_max; i++)
        complete_in_force (&points[i]);
    return n;
}

/* ---- trace ------------------------------------------------------------------------------------
 */

static bool make_room (pxi_root *root)
{
    if (root->n_traced < root->traced_capacity)
        return true;
    if (root->n_traced == PXI_TRACE_MAX)
        return false;
    uint32_t capacity = root->traced_capacity ? 2 * root->traced_capacity : 256;
    pxi_traced *larger = realloc (root->traced, capacity * sizeof *larger);
    if (!larger)
        return false;
    root->traced = larger;
    root->traced_capacity = capacity;
    return true;
}

void pxi_root_trace_begin (pxi_root *root, const char *peer_name)
{
    pthread_mutex_lock (&root->lock);
    snprintf (root->peer_name, sizeof root->peer_name, "%s", peer_name);
    pthread_mutex_unlock (&root->lock);
}

static void count_side (pxi_root *root, const pxi_traced *record)
{
    bool own = record->key.subtask == 0; /* the root's run, which nobody sent */
    if (!own && (record->master != root->id.origin || record->worker == root->id.origin))
        return;
    if (!record->sent)
        root->n_ran++;
    else if (record->end != PXI_RESULT_LOST && pxi_traced_ran (record))
        root->n_sent++;
}

void pxi_root_trace_add (pxi_root *root, const pxi_traced *record)
{
    pthread_mutex_lock (&root->lock);
    count_side (root, record);
    if (!root->trace_over && !root->trace_written && make_room (root))
        root->traced[root->n_traced++] = *record;
    else
        root->n_left_out++;
    pthread_cond_broadcast (&root->changed);
    pthread_mutex_unlock (&root->lock);
}

void pxi_root_trace_left_out (pxi_root *root, uint64_t n)
{
    pthread_mutex_lock (&root->lock);
    root->n_left_out += n;
    pthread_mutex_unlock (&root->lock);
}

void pxi_root_trace_end (pxi_root *root)
{
    pthread_mutex_lock (&root->lock);
    root->trace_over = true;
    free (root->traced);
    root->traced = NULL;
    root->n_traced = root->traced_capacity = 0;
    pthread_mutex_unlock (&root->lock);
}

/* Workers that were told to stop say what they did when they have stopped. */
static void await_workers (pxi_root *root)
{
    uint64_t until_ns = px_deadline_ns (LATE_NS);
    struct timespec until = pxi_clock_timespec (until_ns);
    int result = 0;
    while (root->done && root->n_ran < root->n_sent && result != ETIMEDOUT)
        result = pthread_cond_timedwait (&root->changed, &root->lock, &until);
}

/* What is written without the lock, which the loop needs: a file may be slow. */
static pxi_timeline begin_writing (pxi_root *root)
{
    pthread_mutex_lock (&root->lock);
    await_workers (root);
    while (root->trace_written)
        pthread_cond_wait (&root->changed, &root->lock);
    root->trace_written = true;
    const pxi_timeline timeline = {
        .origin = root->id.origin,
        .origin_name = root->peer_name,
        .began_ns = root->started_ns,
        .module_name = root->module_name,
        .task_names = (const char *const *)root->task_names,
        .n_task_names = root->n_task_names,
        .records = root->traced,
        .n_records = root->n_traced,
        .n_left_out = root->n_left_out,
    };
    pthread_mutex_unlock (&root->lock);
    return timeline;
}

px_err pxi_root_trace_write (pxi_root *root, const char *path)
{
    if (!root->trace)
        return PX_ESTATE;
    FILE *file = fopen (path, "we");
    if (!file)
        return PX_ESYSTEM;
    const pxi_timeline timeline = begin_writing (root);
    px_err err = pxi_timeline_write (&timeline, file);
    pthread_mutex_lock (&root->lock);
    root->trace_written = false;
    pthread_cond_broadcast (&root->changed);
    pthread_mutex_unlock (&root->lock);
    return fclose (file) == 0 || err != PX_OK ? err : PX_ESYSTEM;
}
