/* One run, and whether it is to be believed: a peer that joins, leaves, restarts or falls silent meanwhile makes its
 * time one of another cluster. Who was there is compared before and after. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tune.h"

#define SETTLE_NS SECOND      /* nobody comes for so long: all are there */
#define SETTLE_MAX 64         /* but a cluster where somebody always comes is taken as it is */
#define DRAIN_NS (5 * SECOND) /* for what was cancelled elsewhere to end */
#define STEP_NS (SECOND / 20)

/* ---- who is there ----------------------------------------------------------------------------- */

static int by_id (const void *a, const void *b)
{
    const px_peer_other *left = a, *right = b;
    return left->id < right->id ? -1 : left->id > right->id;
}

static size_t look (const bed_t *bed, px_peer_other *others)
{
    size_t n = px_peer_others (bed->peer, others, OTHERS_MAX);
    n = n < OTHERS_MAX ? n : OTHERS_MAX;
    qsort (others, n, sizeof *others, by_id);
    return n;
}

/* True, and what: they are not those of before. */
static bool have_changed (const bed_t *bed, const px_peer_other *now, size_t n_now,
                          char why[WHY_SPOILED_SIZE])
{
    size_t i = 0, j = 0;
    while (i < bed->n_before || j < n_now) {
        const px_peer_other *was = i < bed->n_before ? &bed->before[i] : NULL;
        const px_peer_other *is = j < n_now ? &now[j] : NULL;
        if (!was || (is && is->id < was->id))
            return snprintf (why, WHY_SPOILED_SIZE, "peer %s joined", is->name) > 0;
        if (!is || was->id < is->id)
            return snprintf (why, WHY_SPOILED_SIZE, "peer %s left", was->name) > 0;
        if (was->incarnation != is->incarnation)
            return snprintf (why, WHY_SPOILED_SIZE, "peer %s has restarted", is->name) > 0;
        if (!was->unresponsive && is->unresponsive)
            return snprintf (why, WHY_SPOILED_SIZE, "peer %s is silent or leaves", is->name) > 0;
        if (was->unresponsive && !is->unresponsive)
            return snprintf (why, WHY_SPOILED_SIZE, "peer %s is back", is->name) > 0;
        i++;
        j++;
    }
    return false;
}

void bed_look (bed_t *bed)
{
    bed->n_before = look (bed, bed->before);
}

void bed_settle (bed_t *bed)
{
    static px_peer_other now[OTHERS_MAX];
    char why[WHY_SPOILED_SIZE];
    bed_look (bed);
    for (int i = 0; i < SETTLE_MAX && !atomic_load (&bed->watch->stopped); i++) {
        px_peer_wait (bed->peer, (uint32_t)bed->n_before + 1, px_deadline_ns (SETTLE_NS));
        size_t n = look (bed, now);
        bool changed = have_changed (bed, now, n, why);
        memcpy (bed->before, now, n * sizeof *now);
        bed->n_before = n;
        if (!changed)
            break;
    }
}

uint32_t bed_workers (const bed_t *bed)
{
    uint64_t workers = 0;
    for (size_t i = 0; i < bed->n_before; i++)
        workers += bed->before[i].unresponsive ? 0 : bed->before[i].slots;
    return workers < PXI_TUNE_VALUE_MAX ? (uint32_t)workers : PXI_TUNE_VALUE_MAX;
}

uint64_t bed_rtt_ns (const bed_t *bed)
{
    uint64_t sum_ns = 0, n = 0;
    for (size_t i = 0; i < bed->n_before; i++) {
        sum_ns += bed->before[i].rtt_ns;
        n += bed->before[i].rtt_ns != 0;
    }
    return n ? sum_ns / n : 0;
}

/* ---- a run ------------------------------------------------------------------------------------ */

/* What was cancelled elsewhere would slow down the next one. */
static void drain (const bed_t *bed)
{
    uint64_t deadline_ns = px_deadline_ns (DRAIN_NS);
    px_stats stats = {.size = sizeof stats};
    while (px_peer_stats (bed->peer, &stats) == PX_OK &&
           (stats.attempts_away || stats.slots_used) && px_now_ns () < deadline_ns)
        poll (NULL, 0, 10); /* nobody tells when a peer's counters are zero */
}

static px_outcome wait_for (px_job *job, double cut_s, bool *cut)
{
    px_outcome outcome;
    uint64_t deadline_ns =
        cut_s > 0 ? px_deadline_ns ((uint64_t)(cut_s * (double)SECOND)) : PX_FOREVER;
    *cut = px_job_wait (job, deadline_ns, &outcome) != PX_OK;
    if (*cut)
        px_job_cancel (job);
    px_job_wait (job, PX_FOREVER, &outcome);
    return outcome;
}

static void judge (bed_t *bed, const px_stats *was, const px_stats *is, trial_t *trial)
{
    static px_peer_other now[OTHERS_MAX];
    size_t n = look (bed, now);
    trial->spoiled = have_changed (bed, now, n, trial->why);
    if (!trial->spoiled && is->attempts_lost > was->attempts_lost) {
        trial->spoiled = true;
        snprintf (trial->why, sizeof trial->why, "a peer was lost");
    }
    if (!trial->spoiled && trial->code != PX_OK && !trial->cut) {
        trial->spoiled = true;
        snprintf (trial->why, sizeof trial->why, "the run failed: %s", px_err_text (trial->code));
    }
}

static void print_chain (const px_outcome *outcome)
{
    char text[65536];
    px_outcome_print (outcome, text, sizeof text);
    fprintf (stderr, "peer-tune: the task failed\n%s", text);
}

static void measure (trial_t *trial, const px_stats *was, const px_stats *is)
{
    uint64_t extra_ns = is->extra_ns - was->extra_ns;
    trial->work_ns = is->work_ns - was->work_ns;
    trial->extra_share = trial->work_ns ? (double)extra_ns / (double)trial->work_ns : 0;
    trial->messages = is->messages_work - was->messages_work;
}

void bed_run (bed_t *bed, const px_point_number *numbers, size_t n_numbers, double cut_s,
              bool chain, trial_t *trial)
{
    px_job_options options = PX_JOB_OPTIONS_INIT;
    px_stats was = {.size = sizeof was}, is = {.size = sizeof is};
    px_job *job = NULL;
    *trial = (trial_t){0};
    options.numbers = numbers;
    options.n_numbers = n_numbers;
    options.fixed_numbers = 1; /* what is measured is the number */
    px_peer_stats (bed->peer, &was);
    uint64_t began_ns = px_now_ns ();
    trial->code =
        px_job_submit (bed->peer, bed->task, bed->input.bytes, bed->input.size, &options, &job);
    if (trial->code == PX_OK) {
        watch_job (bed->watch, job);
        px_outcome outcome = wait_for (job, cut_s, &trial->cut);
        trial->makespan_s = (double)(px_now_ns () - began_ns) / (double)SECOND;
        watch_job (bed->watch, NULL);
        trial->code = outcome.code;
        trial->n_points =
            px_job_points (job, trial->points, sizeof trial->points / sizeof *trial->points);
        trial->stopped = atomic_load (&bed->watch->stopped);
        if (chain && outcome.code != PX_OK && !trial->stopped && !trial->cut)
            print_chain (&outcome);
    }
    px_job_free (&job);
    drain (bed);
    px_peer_stats (bed->peer, &is);
    measure (trial, &was, &is);
    judge (bed, &was, &is, trial);
}
