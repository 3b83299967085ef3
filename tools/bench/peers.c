#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/status.h"
#include "bench.h"
#include "common/executor.h"

#define JOIN_NS (10 * SECOND)
#define ASK_NS (5 * SECOND)
#define TOGETHER_NS (30 * SECOND)
enum { SHARES_MAX = 1024 };

bool peers_find (const char *name, char path[PATH_MAX])
{
    if (module_find (name, path))
        return true;
    fprintf (stderr, "peer-bench: %s: not there: is the installation complete?\n", path);
    return false;
}

static bool find_modules (peers_t *peers, const char *module)
{
    if (!peers_find ("bench.so", peers->paths[0]) ||
        (module && !peers_find (module, peers->paths[1])))
        return false;
    for (uint32_t i = 0; i < MODULES_MAX; i++)
        peers->modules[i] = *peers->paths[i] ? peers->paths[i] : NULL;
    return true;
}

bool peers_start_others (peers_t *peers, const peers_plan_t *plan)
{
    if (!find_modules (peers, plan->module))
        return false;
    const struct local_plan others = {.n = plan->n_others,
                                      .modules = peers->modules,
                                      .key = plan->key,
                                      .tcp_only = plan->key != NULL,
                                      .devices = plan->devices,
                                      .in_process = !peers->bench->settings.executors};
    return !plan->n_others || local_start (&peers->local, &others);
}

static bool open_own (peers_t *peers, const peers_plan_t *plan)
{
    const settings_t *settings = &peers->bench->settings;
    const char *first[] = {peers->local.peers[0].address, NULL};
    char executor[PATH_MAX], device_helper[PATH_MAX], why[PX_WHY_SIZE] = "";
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    if (plan->join)
        options.join = settings->join.items;
    else if (plan->n_others)
        options.join = first;
    else
        options.listen = ""; /* alone */
    options.key = plan->key ? plan->key : settings->key;
    options.tcp_only = plan->key != NULL;
    options.slots = (uint32_t)(plan->slots ? plan->slots : settings->slots);
    options.modules = peers->modules;
    options.speculation = !plan->redo_only_lost;
    if (settings->executors && !executor_find (executor))
        return complain (peers->bench, executor, "not there: is the installation complete?");
    options.executor = settings->executors ? executor : NULL;
    device_helper_find (device_helper);
    options.devices = plan->devices ? plan->devices : settings->devices;
    options.device_helper = device_helper;
    px_err err = px_peer_open (&options, &peers->peer, why);
    if (err == PX_OK)
        return true;
    if (plan->join && (err == PX_ENOPEER || err == PX_EVERSION)) {
        fprintf (stderr, "peer-bench: %s\n", why);
        exit (EXIT_NOBODY); /* nothing was started: they are there already */
    }
    return complain (peers->bench, "peer", *why ? why : px_err_text (err));
}

bool peers_open (const bench_t *bench, const peers_plan_t *plan, peers_t *peers)
{
    *peers = (peers_t){.bench = bench};
    if (!peers_start_others (peers, plan) || !open_own (peers, plan))
        return false;
    uint32_t n = plan->join ? 1 : plan->n_others;
    if (px_peer_wait (peers->peer, n, px_deadline_ns (JOIN_NS)) == PX_OK)
        return !plan->join || modules_are_there (peers);
    return complain (bench, "peers", "they do not find each other");
}

void peers_close (peers_t *peers)
{
    px_peer_close (&peers->peer, 0);
    local_end (&peers->local);
}

/* ---- all know all ----------------------------------------------------------------------------- */

static uint32_t n_known (const char *address)
{
    char *text = NULL;
    if (pxi_status_ask (address, NULL, ASK_NS, &text, NULL) != PX_OK)
        return 0;
    json_t *status = json_loads (text, 0, NULL);
    uint32_t n = (uint32_t)json_array_size (json_object_get (status, "peers"));
    json_decref (status);
    free (text);
    return n;
}

bool peers_know (const bench_t *bench, const struct local_cluster *cluster)
{
    uint64_t deadline_ns = px_deadline_ns (TOGETHER_NS);
    for (uint32_t i = 0; i < cluster->n; i++) {
        while (n_known (cluster->peers[i].address) + 1 < cluster->n) {
            if (px_now_ns () >= deadline_ns)
                return complain (bench, "peers", "they do not find each other");
        }
    }
    return true;
}

/* ---- jobs ------------------------------------------------------------------------------------- */

static double cpu_s (void)
{
    struct timespec now;
    clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

px_job *submit (peers_t *peers, const char *task, const void *input, size_t size)
{
    px_job *job = NULL;
    px_job_options options = PX_JOB_OPTIONS_INIT;
    options.timeout_ns = (uint64_t)(peers->bench->settings.timeout_s * (double)SECOND);
    px_err err = px_job_submit (peers->peer, task, input, size, &options, &job);
    if (err != PX_OK)
        complain (peers->bench, task, px_err_text (err));
    return job;
}

static uint64_t elsewhere (const peers_t *peers, px_job *job)
{
    static px_job_share shares[SHARES_MAX];
    const char *own = px_peer_name (peers->peer);
    size_t n = px_job_shares (job, shares, SHARES_MAX);
    uint64_t n_subtasks = 0;
    for (size_t i = 0; i < n && i < SHARES_MAX; i++)
        n_subtasks += strcmp (shares[i].peer_name, own) != 0 ? shares[i].subtasks : 0;
    return n_subtasks;
}

static void tell_failure (const peers_t *peers, const px_outcome *outcome)
{
    char text[4096] = "";
    px_outcome_print (outcome, text, sizeof text);
    complain (peers->bench, px_err_text (outcome->code), text);
    if (outcome->code == PX_ETIMEOUT && peers->bench->settings.join.n)
        fprintf (stderr, "  can the cluster's peers run it? They need --module with what "
                         "'peer-bench --modules' prints here\n");
}

bool finish (peers_t *peers, px_job **job, result_t *result)
{
    px_outcome outcome;
    bool fine = px_job_wait (*job, PX_FOREVER, &outcome) == PX_OK && outcome.code == PX_OK;
    *result = (result_t){.size = outcome.bytes_size};
    if (fine) {
        result->bytes = malloc (outcome.bytes_size + 1);
        if (!result->bytes)
            out_of_memory ();
        memcpy (result->bytes, outcome.bytes, outcome.bytes_size);
        result->n_elsewhere = elsewhere (peers, *job);
    } else {
        tell_failure (peers, &outcome);
    }
    px_job_free (job);
    return fine;
}

bool run_root (peers_t *peers, const char *task, const void *input, size_t size, result_t *result)
{
    px_outcome outcome;
    uint64_t began_ns = px_now_ns ();
    double began_cpu_s = cpu_s ();
    px_job *job = submit (peers, task, input, size);
    if (!job)
        return false;
    px_job_wait (job, PX_FOREVER, &outcome);
    double s = (double)(px_now_ns () - began_ns) * 1e-9, used_s = cpu_s () - began_cpu_s;
    if (!finish (peers, &job, result))
        return false;
    result->s = s;
    result->cpu_s = used_s;
    return true;
}

bool run_fixed (peers_t *peers, const char *task, const void *input, size_t size, void *output,
                size_t output_size, result_t *result)
{
    if (!run_root (peers, task, input, size, result))
        return false;
    bool fits = result->size == output_size;
    if (fits)
        memcpy (output, result->bytes, output_size);
    else
        complain (peers->bench, task, "its result has another size: other peers' module differs");
    result_fini (result);
    return fits;
}

void result_fini (result_t *result)
{
    free (result->bytes);
    result->bytes = NULL;
}
