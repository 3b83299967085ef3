/* Jobs: checks what the application gives, and hands it to the agent. */
#include <stdlib.h>
#include <string.h>

#include <peerexec/job.h>

#include "agent/spec.h"
#include "api/peer.h"
#include "store/profile.h"

struct px_job {
    pxi_root *root;
};

static px_err copy_options (const px_job_options *given, px_job_options *options)
{
    *options = (px_job_options)PX_JOB_OPTIONS_INIT;
    if (!given)
        return PX_OK;
    if (given->size < offsetof (px_job_options, n_numbers) || given->size > 4096)
        return PX_EINVAL;
    memcpy (options, given, given->size < sizeof *options ? given->size : sizeof *options);
    options->size = sizeof *options;
    return options->n_numbers && !options->numbers ? PX_EINVAL : PX_OK;
}

/* ---- profiles --------------------------------------------------------------------------------- */

static void say (void *context, px_log_level level, const char *text)
{
    pxi_log (context, level, "profile", "%s", text);
}

static void make_fingerprint (pxi_agent *agent, pxi_fingerprint *fingerprint)
{
    px_stats stats;
    px_peer_other *others = malloc (PXI_VIEW_MAX * sizeof *others);
    size_t n = others ? pxi_agent_others (agent, others, PXI_VIEW_MAX) : 0;
    pxi_agent_stats (agent, &stats);
    pxi_fingerprint_make ((uint32_t)stats.slots, others, n < PXI_VIEW_MAX ? n : PXI_VIEW_MAX,
                          fingerprint);
    free (others);
}

static bool has_number (const px_job_options *options, const char *point)
{
    for (size_t i = 0; i < options->n_numbers; i++) {
        if (options->numbers[i].point && !strcmp (options->numbers[i].point, point))
            return true;
    }
    return false;
}

/* What the call says comes first. `numbers` has room for both. */
static void add_numbers (px_job_options *options, const pxi_profile *profile,
                         px_point_number *numbers)
{
    size_t n = options->n_numbers;
    if (n)
        memcpy (numbers, options->numbers, n * sizeof *numbers);
    for (uint32_t i = 0; i < profile->n_points && n < PXI_SPEC_POINTS_MAX; i++) {
        const pxi_profile_point *point = &profile->points[i];
        if (!has_number (options, point->name))
            numbers[n++] = (px_point_number){point->name, (int32_t)point->number};
    }
    options->numbers = numbers;
    options->n_numbers = n;
}

/* `profile` and `numbers` are what the options point into from then on. */
static px_err apply_profile (pxi_agent *agent, const pxi_module *module, const char *task,
                             px_job_options *options, pxi_profile *profile,
                             px_point_number *numbers)
{
    char digest[PXI_DIGEST_HEX_SIZE], why[PX_WHY_SIZE] = "";
    bool found;
    if (options->n_numbers > PXI_SPEC_POINTS_MAX)
        return PX_EFULL;
    pxi_digest_hex (&module->digest, digest);
    pxi_profile_wanted wanted = {.module = module->name, .task = task, .digest = digest};
    make_fingerprint (agent, &wanted.cluster);
    px_err err = pxi_profile_find (options->profile, &wanted, say, pxi_agent_log (agent), profile,
                                   &found, why);
    if (err != PX_OK)
        pxi_log (pxi_agent_log (agent), PX_LOG_ERROR, "profile", "%s", why);
    else if (found)
        add_numbers (options, profile, numbers);
    return err;
}

/* ---- submitting ------------------------------------------------------------------------------- */

static px_err fill_root (pxi_root *root, pxi_agent *agent, const void *input, size_t input_size,
                         px_job_options *options)
{
    pxi_profile profile;
    px_point_number numbers[PXI_SPEC_POINTS_MAX];
    if (options->profile) {
        px_err err =
            apply_profile (agent, root->module, root->full_name, options, &profile, numbers);
        if (err != PX_OK)
            return err;
    }
    root->timeout_ns = options->timeout_ns;
    root->input = pxi_bytes_copy (input, input_size);
    if (!root->input)
        return PX_ENOMEM;
    return pxi_spec_encode (options, pxi_agent_branch_number (agent),
                            pxi_agent_branch_number_rises (agent), &root->spec, NULL);
}

static px_err submit (pxi_agent *agent, pxi_root *root, const void *input, size_t input_size,
                      px_job_options *options, px_job **job_p)
{
    px_job *job = malloc (sizeof *job);
    if (!job)
        return PX_ENOMEM;
    px_err err = fill_root (root, agent, input, input_size, options);
    if (err == PX_OK)
        err = pxi_agent_submit (agent, root);
    if (err != PX_OK) {
        free (job);
        return err;
    }
    job->root = pxi_root_acquire (root);
    *job_p = job;
    return PX_OK;
}

px_err px_job_submit (px_peer *peer, const char *task, const void *input, size_t input_size,
                      const px_job_options *given, px_job **job_p)
{
    const pxi_module *module;
    uint32_t index;
    px_job_options options;
    if (!peer || !task || !job_p || (input_size && !input))
        return PX_EINVAL;
    px_err err = copy_options (given, &options);
    if (err == PX_OK)
        err = pxi_registry_task (pxi_agent_registry (peer->agent), task, &module, &index, NULL);
    if (err == PX_OK && input_size > pxi_agent_input_size_max (peer->agent))
        err = PX_ETOOBIG;
    if (err != PX_OK)
        return err;
    pxi_root *root = pxi_root_new (module, index, options.trace != 0);
    if (!root)
        return PX_ENOMEM;
    err = submit (peer->agent, root, input, input_size, &options, job_p);
    pxi_root_release (root);
    return err;
}

px_err px_job_wait (px_job *job, uint64_t deadline_ns, px_outcome *outcome)
{
    return pxi_root_wait (job->root, deadline_ns, outcome);
}

void px_job_cancel (px_job *job)
{
    pxi_agent_cancel (job->root);
}

px_err px_job_progress_read (px_job *job, px_job_progress *progress)
{
    size_t size = progress ? progress->size : 0;
    if (size < sizeof progress->size || size > 4096)
        return PX_EINVAL;
    px_job_progress now;
    pthread_mutex_lock (&job->root->lock);
    now = job->root->progress;
    pthread_mutex_unlock (&job->root->lock);
    now.size = size < sizeof now ? size : sizeof now;
    memcpy (progress, &now, now.size);
    return PX_OK;
}

size_t px_job_shares (px_job *job, px_job_share *shares, size_t n_max)
{
    return pxi_root_shares (job->root, shares, n_max);
}

size_t px_job_points (px_job *job, px_job_point *points, size_t n_max)
{
    return pxi_root_points (job->root, points, n_max);
}

px_err px_job_trace (px_job *job, const char *path)
{
    return path ? pxi_root_trace_write (job->root, path) : PX_EINVAL;
}

void px_job_free (px_job **job_p)
{
    px_job *job = job_p ? *job_p : NULL;
    if (!job)
        return;
    *job_p = NULL;
    pxi_agent_cancel (job->root);
    pxi_root_trace_end (job->root);
    pxi_root_release (job->root);
    free (job);
}
