/* Peers join for a while before the first job comes: what is measured is work, not arriving at a cluster.
 * Messages of that time are not counted. */
#include "sim/flat.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/limits.h"

#define JOINING_NS PXI_SECOND
#define STEP_NS (100 * PXI_MS)
#define PATIENCE_NS (60 * PXI_SECOND) /* after the last measured job's arrival: then it is stuck */
enum { INPUT_BYTES = 64 };

typedef struct flat {
    const pxi_flat_config *config;
    pxi_world_peer *peers;
    pxi_world_job *jobs;
    uint64_t *times_ns;
    pxi_world *world;
} flat_t;

static void fini (flat_t *flat)
{
    pxi_world_free (&flat->world);
    free (flat->peers);
    free (flat->jobs);
    free (flat->times_ns);
}

static void set_job (flat_t *flat, uint32_t index)
{
    const pxi_stream *stream = flat->config->stream;
    uint32_t n_tasks = stream->config.n_tasks;
    uint64_t *times_ns = flat->times_ns + (size_t)index * n_tasks;
    for (uint32_t task = 0; task < n_tasks; task++)
        times_ns[task] = pxi_stream_run_ns (stream, index, task);
    flat->jobs[index] = (pxi_world_job){.peer = pxi_stream_home (stream, index),
                                        .at_ns = JOINING_NS + stream->at_ns[index],
                                        .tree = {.kind = PXI_TREE_LIST,
                                                 .seed = pxi_mix64 (flat->config->seed + index),
                                                 .fan_min = n_tasks,
                                                 .fan_max = n_tasks,
                                                 .times_ns = times_ns,
                                                 .size_min = INPUT_BYTES,
                                                 .size_max = INPUT_BYTES}};
}

static bool init (flat_t *flat, const pxi_flat_config *config)
{
    const pxi_stream_config *cluster = &config->stream->config;
    *flat = (flat_t){.config = config};
    flat->peers = calloc (cluster->n_peers, sizeof *flat->peers);
    flat->jobs = calloc (cluster->n_jobs, sizeof *flat->jobs);
    flat->times_ns = calloc ((size_t)cluster->n_jobs * cluster->n_tasks, sizeof *flat->times_ns);
    if (!flat->peers || !flat->jobs || !flat->times_ns)
        return false;
    for (uint32_t i = 0; i < cluster->n_peers; i++)
        flat->peers[i] = (pxi_world_peer){.slots = cluster->slots, .speed_permille = 1000};
    for (uint32_t i = 0; i < cluster->n_jobs; i++)
        set_job (flat, i);
    pxi_world_config world = pxi_world_config_default ();
    world.seed = config->seed;
    world.n_peers = cluster->n_peers;
    world.peers = flat->peers;
    world.n_jobs = cluster->n_jobs;
    world.jobs = flat->jobs;
    world.network.min_ns = config->hop_ns;
    world.core = config->core;
    world.core.view_max = config->view;
    world.known = config->view < cluster->n_peers ? config->view : cluster->n_peers;
    world.sweep_ns = PXI_SECOND;
    world.unchecked = !config->checked;
    world.sink = config->sink;
    world.sink_context = config->sink_context;
    flat->world = pxi_world_new (&world);
    return flat->world != NULL;
}

static bool is_measured (const flat_t *flat, uint32_t job)
{
    const pxi_flat_config *config = flat->config;
    return job < config->n_measured && config->stream->at_ns[job] >= config->from_ns;
}

/* On with it until every measured job is over. */
static bool run (flat_t *flat)
{
    uint32_t next = 0, n = flat->config->n_measured;
    uint64_t now_ns = JOINING_NS;
    uint64_t last_ns = n ? flat->jobs[n - 1].at_ns + PATIENCE_NS : 0;
    while (next < n && now_ns < last_ns) {
        now_ns += STEP_NS;
        if (!pxi_world_run_until (flat->world, now_ns))
            return false;
        while (next < n && (!is_measured (flat, next) || pxi_world_job_ns (flat->world, next)))
            next++;
    }
    return true;
}

static void measure (const flat_t *flat, uint64_t *delays_ns, pxi_flat_report *report)
{
    const pxi_stream *stream = flat->config->stream;
    report->n_tasks = report->world.n_tasks_run;
    for (uint32_t i = 0; i < stream->config.n_jobs; i++) {
        uint64_t job_ns = pxi_world_job_ns (flat->world, i);
        delays_ns[i] = PXI_FLAT_UNMEASURED;
        report->n_tasks -= flat->jobs[i].at_ns <= report->world.now_ns; /* its loop is one more */
        if (!is_measured (flat, i))
            continue;
        report->n_jobs += job_ns != 0;
        report->n_stuck += !job_ns;
        if (job_ns)
            delays_ns[i] = job_ns - pxi_stream_longest_ns (stream, i);
    }
}

bool pxi_flat_run (const pxi_flat_config *config, uint64_t *delays_ns, pxi_flat_report *report)
{
    flat_t flat;
    *report = (pxi_flat_report){0};
    bool fine = init (&flat, config);
    if (fine) {
        pxi_world_report before;
        fine = pxi_world_run_until (flat.world, JOINING_NS);
        pxi_world_read (flat.world, &before);
        fine = fine && run (&flat);
        pxi_world_read (flat.world, &report->world);
        report->n_work = pxi_world_n_work (&report->world) - pxi_world_n_work (&before);
        report->n_members = pxi_world_n_members (&report->world) - pxi_world_n_members (&before);
        measure (&flat, delays_ns, report);
    }
    fini (&flat);
    return fine;
}
