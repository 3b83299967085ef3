/* The body of an answer to a status question: everything that a person who looks at a cluster wants
 * to know of one peer. Its members are described in agent/status.h. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/devices.h"
#include "agent/state.h"
#include "agent/status.h"
#include "base/clock.h"

enum { RUNS_MAX = 4096, AWAY_MAX = 4096 };

static json_t *id_text (uint64_t id)
{
    char text[24];
    snprintf (text, sizeof text, "%" PRIu64, id);
    return json_string (text);
}

static json_t *number (uint64_t value)
{
    return json_integer ((json_int_t)value);
}

static json_t *age_ms (uint64_t now_ns, uint64_t then_ns)
{
    return number (now_ns > then_ns ? (now_ns - then_ns) / PXI_MS : 0);
}

static json_t *make_stats (pxi_agent *agent)
{
    px_stats stats;
    pxi_agent_read_stats (agent, &stats);
    json_t *object = json_object ();
#define MEMBER(name, text) json_object_set_new (object, #name, number (stats.name));
    PX_STATS (MEMBER)
#undef MEMBER
    return object;
}

static json_t *make_sizes (const pxi_agent *agent)
{
    pxi_core_sizes sizes;
    pxi_core_sizes_read (agent->core, &sizes);
    json_t *object = json_object ();
#define MEMBER(name) json_object_set_new (object, #name, number (sizes.name))
    MEMBER (runs);
    MEMBER (subtasks);
    MEMBER (attempts);
    MEMBER (branches);
    MEMBER (leases);
    MEMBER (reservations);
    MEMBER (probes);
    MEMBER (jobs);
    MEMBER (takes);
    MEMBER (slots_used);
    MEMBER (slots_leased);
    MEMBER (timers);
    MEMBER (memory_bytes);
#undef MEMBER
    json_object_set_new (object, "blobs", number (pxi_blobs_count (&agent->blobs)));
    json_object_set_new (object, "executions", number (pxi_map_size (&agent->executions)));
    return object;
}

static json_t *make_peer (const pxi_peer_look *look)
{
    char address[64] = "";
    if (look->record.address.kind)
        pxi_address_print (&look->record.address, address);
    uint64_t heard_ms =
        look->heard_ns_ago == UINT64_MAX ? UINT64_MAX / PXI_MS : look->heard_ns_ago / PXI_MS;
    json_t *object = json_object ();
    json_object_set_new (object, "name", json_string (look->record.name));
    json_object_set_new (object, "id", id_text (look->record.id));
    json_object_set_new (object, "address", json_string (address));
    json_object_set_new (object, "slots", number (look->record.slots));
    json_object_set_new (object, "rtt_us", number (look->rtt_ns / 1000));
    json_object_set_new (object, "bytes_per_s", number (look->bytes_per_s));
    json_object_set_new (object, "slowness_permille", number (look->slowness_permille));
    json_object_set_new (object, "heard_ms_ago", number (heard_ms));
    json_object_set_new (object, "unresponsive", json_boolean (look->unresponsive));
    json_object_set_new (object, "leaving", json_boolean (look->leaving));
    json_object_set_new (object, "master", json_boolean (look->master));
    json_object_set_new (object, "worker", json_boolean (look->worker));
    return object;
}

static json_t *make_peers (const pxi_agent *agent)
{
    json_t *array = json_array ();
    pxi_peer_look *looks = malloc (PXI_VIEW_MAX * sizeof *looks);
    uint32_t n = looks ? pxi_core_peers (agent->core, pxi_clock_ns (), looks, PXI_VIEW_MAX) : 0;
    for (uint32_t i = 0; i < n && i < PXI_VIEW_MAX; i++) {
        if (!looks[i].left)
            json_array_append_new (array, make_peer (&looks[i]));
    }
    free (looks);
    return array;
}

static void set_job_id (json_t *object, const char *origin, const char *job_number, pxi_job_id id)
{
    json_object_set_new (object, origin, id_text (id.origin));
    json_object_set_new (object, job_number, id_text (id.number));
}

static uint64_t count_runs (const pxi_execution *execution)
{
    uint64_t n = 0;
    if (!execution)
        return 0;
    PXI_LIST_EACH (link, &execution->runs)
    {
        n++;
    }
    return n;
}

static json_t *make_job (const pxi_agent *agent, const pxi_agent_job *job)
{
    const pxi_execution *execution = job->execution;
    bool apart = execution && execution->worker;
    json_t *object = json_object ();
    set_job_id (object, "origin", "number", job->id);
    json_object_set_new (object, "module", json_string (job->module ? job->module->name : ""));
    json_object_set_new (object, "task", json_string (job->root ? job->root->full_name : ""));
    json_object_set_new (object, "mine", json_boolean (job->id.origin == agent->id));
    json_object_set_new (object, "age_ms", age_ms (pxi_clock_ns (), job->opened_ns));
    json_object_set_new (object, "slots", number (job->slots));
    json_object_set_new (object, "active", number (job->active));
    json_object_set_new (object, "surplus", number (job->surplus));
    json_object_set_new (object, "runs", number (count_runs (execution)));
    json_object_set_new (object, "executor_pid",
                         number (apart ? (uint64_t)execution->worker->process->pid : 0));
    return object;
}

static json_t *make_jobs (const pxi_agent *agent)
{
    json_t *array = json_array ();
    PXI_LIST_EACH (link, &agent->all_jobs)
    {
        json_array_append_new (array,
                               make_job (agent, PXI_LIST_ENTRY (link, pxi_agent_job, in_agent)));
    }
    return array;
}

static json_t *make_run (pxi_agent *agent, const pxi_run_look *look)
{
    const pxi_agent_run *run = pxi_map_pointer (&agent->runs, look->run);
    char task[PXI_FULL_NAME_SIZE] = "?";
    if (run)
        snprintf (task, sizeof task, "%s.%s", run->module->name,
                  run->module->task_names[run->attempt.task]);
    json_t *object = json_object ();
    json_object_set_new (object, "run", id_text (look->run));
    json_object_set_new (object, "task", json_string (task));
    set_job_id (object, "job_origin", "job_number", look->job);
    json_object_set_new (object, "master", id_text (look->master));
    json_object_set_new (object, "master_name",
                         json_string (look->master ? pxi_mail_name (agent, look->master) : ""));
    json_object_set_new (object, "attempt", number (look->key.attempt));
    json_object_set_new (object, "age_ms", age_ms (pxi_clock_ns (), look->started_ns));
    return object;
}

static json_t *make_runs (pxi_agent *agent)
{
    json_t *array = json_array ();
    pxi_run_look *looks = malloc (RUNS_MAX * sizeof *looks);
    uint32_t n = looks ? pxi_core_runs (agent->core, looks, RUNS_MAX) : 0;
    for (uint32_t i = 0; i < n && i < RUNS_MAX; i++)
        json_array_append_new (array, make_run (agent, &looks[i]));
    free (looks);
    return array;
}

static json_t *make_away (pxi_agent *agent)
{
    json_t *array = json_array ();
    pxi_away_look *looks = malloc (AWAY_MAX * sizeof *looks);
    uint32_t n = looks ? pxi_core_away (agent->core, looks, AWAY_MAX) : 0;
    for (uint32_t i = 0; i < n && i < AWAY_MAX; i++) {
        json_t *object = json_object ();
        json_object_set_new (object, "subtask", id_text (looks[i].key.subtask));
        json_object_set_new (object, "attempt", number (looks[i].key.attempt));
        json_object_set_new (object, "peer", id_text (looks[i].peer));
        json_object_set_new (object, "peer_name",
                             json_string (pxi_mail_name (agent, looks[i].peer)));
        set_job_id (object, "job_origin", "job_number", looks[i].job);
        json_object_set_new (object, "age_ms", age_ms (pxi_clock_ns (), looks[i].sent_ns));
        json_array_append_new (array, object);
    }
    free (looks);
    return array;
}

static json_t *make_cost (const pxi_agent *agent, const pxi_cost_look *look)
{
    const pxi_module *module = pxi_registry_find_key (agent->registry, look->module);
    char task[PXI_FULL_NAME_SIZE] = "?";
    if (module && look->task < module->n_tasks)
        snprintf (task, sizeof task, "%s.%s", module->name, module->task_names[look->task]);
    json_t *object = json_object ();
    json_object_set_new (object, "task", json_string (task));
    json_object_set_new (object, "n", number (look->n));
    json_object_set_new (object, "expected_us", number (look->expected_ns / 1000));
    json_object_set_new (object, "real_us", number (look->real_ns / 1000));
    json_object_set_new (object, "expected_bytes", number (look->expected_bytes));
    json_object_set_new (object, "real_bytes", number (look->real_bytes));
    json_object_set_new (object, "quality_permille", number (look->quality_permille));
    json_object_set_new (object, "samples", number (look->n_known));
    json_object_set_new (object, "low_us", number (look->low_ns / 1000));
    json_object_set_new (object, "usual_us", number (look->usual_ns / 1000));
    json_object_set_new (object, "high_us", number (look->high_ns / 1000));
    return object;
}

static json_t *make_costs (const pxi_agent *agent)
{
    json_t *array = json_array ();
    pxi_cost_look looks[PXI_COSTS_MAX];
    uint32_t n = pxi_core_costs (agent->core, looks, PXI_COSTS_MAX);
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new (array, make_cost (agent, &looks[i]));
    return array;
}

static json_t *make_modules (const pxi_agent *agent)
{
    json_t *array = json_array ();
    for (uint32_t i = 0; i < pxi_registry_size (agent->registry); i++) {
        const pxi_module *module = pxi_registry_at (agent->registry, i);
        char digest[PXI_DIGEST_HEX_SIZE];
        pxi_digest_hex (&module->digest, digest);
        json_array_append_new (array,
                               json_pack ("{s:s, s:s}", "name", module->name, "digest", digest));
    }
    return array;
}

static json_t *make_device_tasks (const pxi_agent_device *device)
{
    json_t *array = json_array ();
    for (uint32_t i = 0; i < PXI_DEVICE_TASKS_MAX; i++) {
        const pxi_device_task *task = &device->tasks[i];
        if (!task->module)
            continue;
        char name[PXI_FULL_NAME_SIZE];
        snprintf (name, sizeof name, "%s.%s", task->module->name,
                  task->module->task_names[task->task]);
        double rate = task->chunk_ns ? (double)task->chunk_items * 1e9 / (double)task->chunk_ns : 0;
        json_t *object = json_object ();
        json_object_set_new (object, "task", json_string (name));
        json_object_set_new (object, "chunks", number (task->n_chunks));
        json_object_set_new (object, "items", number (task->n_items));
        json_object_set_new (object, "items_per_s", json_real (rate));
        json_object_set_new (object, "failures", number (task->n_failures));
        json_object_set_new (object, "why", json_string (task->n_failures ? task->why : ""));
        json_array_append_new (array, object);
    }
    return array;
}

static const char *device_state (const pxi_agent_device *device)
{
    static const char *const names[] = {"off",    "starting",    "ready",
                                        "ending", "quarantined", "absent"};
    return names[pxi_device_client_state (device->client)];
}

static json_t *make_device (const pxi_agent_device *device)
{
    static const char *const classes[] = {"cpu", "gpu", "accelerator"};
    const pxi_device_info *info = &device->info;
    json_t *object = json_object ();
    json_object_set_new (object, "device", number (device->number));
    json_object_set_new (object, "index", number (info->index));
    json_object_set_new (object, "name", json_string (info->name));
    json_object_set_new (object, "platform", json_string (info->platform));
    json_object_set_new (
        object, "class",
        json_string (info->class <= PXI_DEVICE_ACCELERATOR ? classes[info->class] : "?"));
    json_object_set_new (object, "memory_bytes", number (info->memory_size));
    json_object_set_new (object, "state", json_string (device_state (device)));
    json_object_set_new (object, "pid", number ((uint64_t)pxi_device_pid (device->client)));
    json_object_set_new (object, "running", number (device->n_running));
    json_object_set_new (object, "waiting", number (device->n_waiting));
    json_object_set_new (object, "reason", json_string (pxi_device_reason (device->client)));
    json_object_set_new (object, "tasks", make_device_tasks (device));
    return object;
}

static json_t *make_devices (const pxi_agent *agent)
{
    json_t *array = json_array ();
    for (uint32_t i = 0; agent->devices && i < agent->devices->n; i++)
        json_array_append_new (array, make_device (agent->devices->all[i]));
    return array;
}

static json_t *make (pxi_agent *agent)
{
    char why[PX_WHY_SIZE] = "";
    pxi_transport_stats transport;
    px_stats stats;
    pxi_core_why (agent->core, pxi_clock_ns (), why, sizeof why);
    pxi_zmq_stats (agent->transport, &transport);
    pxi_agent_read_stats (agent, &stats);
    json_t *object = json_object ();
    json_object_set_new (object, "name", json_string (agent->name));
    json_object_set_new (object, "id", id_text (agent->id));
    json_object_set_new (object, "incarnation", id_text (agent->incarnation));
    json_object_set_new (object, "address", json_string (agent->endpoint));
    json_object_set_new (object, "version", json_string (PX_VERSION_TEXT));
    json_object_set_new (object, "age_ms", age_ms (pxi_clock_ns (), agent->started_ns));
    json_object_set_new (object, "host_busy", json_boolean (agent->host_busy));
    json_object_set_new (object, "draining", json_boolean (agent->draining));
    json_object_set_new (object, "slots", number (stats.slots));
    json_object_set_new (object, "slots_used", number (stats.slots_used));
    json_object_set_new (object, "stats", make_stats (agent));
    json_object_set_new (object, "sizes", make_sizes (agent));
    json_object_set_new (object, "modules", make_modules (agent));
    json_object_set_new (object, "devices", make_devices (agent));
    json_object_set_new (object, "devices_why",
                         json_string (agent->devices ? agent->devices->why : ""));
    json_object_set_new (object, "peers", make_peers (agent));
    json_object_set_new (object, "jobs", make_jobs (agent));
    json_object_set_new (object, "runs", make_runs (agent));
    json_object_set_new (object, "away", make_away (agent));
    json_object_set_new (object, "costs", make_costs (agent));
    json_object_set_new (object, "links", number (transport.links));
    json_object_set_new (object, "why", json_string (why));
    return object;
}

/* jansson's calls take NULL for what could not be made, so memory is checked at the end. */
pxi_bytes *pxi_report_make (pxi_agent *agent)
{
    json_t *object = make (agent);
    char *text = json_dumps (object, JSON_COMPACT);
    json_decref (object);
    size_t size = text ? strlen (text) : 0;
    pxi_bytes *bytes = text && size <= PXI_STATUS_SIZE_MAX ? pxi_bytes_copy (text, size) : NULL;
    free (text);
    return bytes;
}
