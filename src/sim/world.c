/* The loop: the earliest alarm, what it wakes, and so on. Also the jobs, and the script of faults.
 *
 * Nothing here costs by the number of peers but the sweep of the checker and the end. */
#include "sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/state.h"

enum { HELD_MAX = 1 << 28 };
enum {
    CORES_AHEAD = 2,
    PEERS_AHEAD = 4,
    LINE_SIZE = 64
}; /* of what is fetched for turns to come */
#define SWEEP_NS (100 * PXI_MS)
#define NODES_MAX 1000000
#define SUBMIT_AGAIN_NS (100 * PXI_MS)

/* A liveness bound: a few times what the work and its hand-overs need, and a few times what finding out and
 * backing off need. To be made smaller, never larger. */
enum { PATIENCE_WORK = 2, PATIENCE_WAITS = 8 };
enum { BEGUN_ANEW_MAX = 13 };
enum { RECONNECT_SHUFFLES = 50 };
#define BACKOFF_CAP_NS (250 * PXI_MS)
#define RESERVED_NS (2000 * PXI_MS)
#define VOLUNTEERS_NS(world) (64 * (hop_ns (world) + 20 * PXI_MS)) /* an idle peer's last tries */

pxi_world_config pxi_world_config_default (void)
{
#define PEER                                                                                       \
    {                                                                                              \
        .slots = 2, .speed_permille = 1000                                                         \
    }
    static const pxi_world_peer peers[4] = {PEER, PEER, PEER, PEER};
#undef PEER
    pxi_world_config config = {
        .seed = 1,
        .n_peers = 4,
        .peers = peers,
        .core = pxi_core_config_default (),
        .nodes_max = NODES_MAX,
        .sweep_ns = SWEEP_NS,
    };
    config.core.isolated = true;
    config.network.min_ns = PXI_MS / 2;
    return config;
}

/* ---- trace ------------------------------------------------------------------------------------ */

bool pxi_world_hears (const pxi_world *world)
{
    return world->config.sink != NULL;
}

static void add_to_hash (uint64_t *hash, const char *text)
{
    for (; *text; text++)
        *hash = (*hash ^ (uint8_t)*text) * UINT64_C (0x100000001b3); /* FNV-1a */
}

void pxi_world_say (pxi_world *world, const char *who, const char *format, ...)
{
    if (!world->config.sink)
        return;
    char line[512];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (line, sizeof line, format, arguments);
    va_end (arguments);
    world->trace_hash ^= world->time.now_ns;
    add_to_hash (&world->trace_hash, who);
    add_to_hash (&world->trace_hash, line);
    world->config.sink (world->config.sink_context, world->time.now_ns, who, line);
}

/* ---- jobs ------------------------------------------------------------------------------------- */

pxi_sim_job *pxi_world_job_find (pxi_world *world, pxi_job_id id)
{
    uint64_t index = id.number & 0xffffffff;
    return index < world->config.n_jobs ? &world->jobs[index] : NULL;
}

void pxi_world_job_over (pxi_world *world, pxi_sim_job *job, pxi_sim_job_state state)
{
    if (job->state == PXI_JOB_DONE || job->state == PXI_JOB_ENDED)
        return;
    world->peers[job->config->peer].n_roots -= job->state == PXI_JOB_RUNS;
    job->state = state;
    job->done_ns = world->time.now_ns;
    world->n_jobs_over++;
    pxi_world_say (world, "job", "j%u %s", job->index + 1,
                   state == PXI_JOB_DONE ? "done" : "ended");
}

bool pxi_world_jobs_over (const pxi_world *world)
{
    return world->n_jobs_over == world->config.n_jobs;
}

uint64_t pxi_world_job_ns (const pxi_world *world, uint32_t index)
{
    PXI_ASSERT (index < world->config.n_jobs);
    const pxi_sim_job *job = &world->jobs[index];
    return job->done_ns ? job->done_ns - job->config->at_ns : 0;
}

static void submit (pxi_world *world, pxi_sim_job *job)
{
    pxi_sim_peer *peer = &world->peers[job->config->peer];
    if (!peer->up || peer->leaving) {
        pxi_world_job_over (world, job, PXI_JOB_ENDED);
        return;
    }
    if (peer->paused_until_ns) { /* its application stands still as well */
        pxi_alarm_set (&world->time, &job->alarm, PXI_ALARM_SUBMIT, job,
                       world->time.now_ns + SUBMIT_AGAIN_NS);
        return;
    }
    job->state = PXI_JOB_RUNS;
    peer->n_roots++;
    job->id = (pxi_job_id){peer->id, (uint64_t)1 << 32 | job->index};
    pxi_payload input = {.node = pxi_workload_root (&job->config->tree), .size_bytes = 64};
    pxi_payload *copy = malloc (sizeof *copy);
    PXI_ASSERT (copy);
    *copy = input;
    bool put = pxi_map_put_pointer (&peer->blobs, ++peer->next_blob, copy);
    PXI_ASSERT (put);
    pxi_world_say (world, "job", "j%u submitted at %s", job->index + 1, peer->name);
    pxi_event event = {.kind = PXI_EV_SUBMIT,
                       .job = job->id,
                       .module = PXI_SIM_MODULE,
                       .attempt = {.job = job->id,
                                   .module = PXI_SIM_MODULE,
                                   .size_bytes = input.size_bytes,
                                   .blob = peer->next_blob}};
    pxi_sim_peer_event (peer, &event);
}

static void cancel (pxi_world *world, uint32_t index)
{
    pxi_sim_job *job = &world->jobs[index];
    pxi_sim_peer *peer = &world->peers[job->config->peer];
    if (job->state != PXI_JOB_RUNS || peer->paused_until_ns)
        return;
    job->cancelled = true;
    pxi_event event = {.kind = PXI_EV_JOB_CANCEL, .job = job->id};
    pxi_sim_peer_event (peer, &event);
}

const pxi_core *pxi_world_core (const pxi_world *world, uint32_t peer)
{
    PXI_ASSERT (peer < world->config.n_peers);
    return world->peers[peer].up ? world->peers[peer].core : NULL;
}

/* ---- faults ----------------------------------------------------------------------------------- */

/* What a fault ends with is a fault of its own, not in the script: start again, heal, ... */
struct ending {
    pxi_alarm alarm;
    pxi_world *world;
    pxi_fault fault;
    uint64_t number;
};

static void ending_set (pxi_world *world, const pxi_fault *fault, uint64_t number)
{
    struct ending *ending = malloc (sizeof *ending);
    PXI_ASSERT (ending);
    *ending = (struct ending){.world = world, .fault = *fault, .number = number};
    pxi_alarm_set (&world->time, &ending->alarm, PXI_ALARM_ENDING, ending,
                   world->time.now_ns + fault->duration_ns);
}

static void cut_off (pxi_world *world, const pxi_fault *fault, uint64_t seed)
{
    uint8_t *side = calloc (1, world->config.n_peers);
    PXI_ASSERT (side);
    pxi_prng prng;
    pxi_prng_init (&prng, pxi_mix64 (seed + fault->peer));
    for (uint32_t i = 0; i < world->config.n_peers; i++)
        side[i] =
            fault->kind == PXI_FAULT_ISOLATE ? i == fault->peer : pxi_prng_chance (&prng, 500000);
    uint32_t number = pxi_network_cut (&world->network, side, fault->way != 2, fault->way != 1);
    free (side);
    if (number < PXI_PARTITIONS_MAX)
        ending_set (world, fault, number);
}

static void crash (pxi_world *world, pxi_sim_peer *peer, const pxi_fault *fault)
{
    if (!peer->up)
        return;
    world->n_crashes++;
    pxi_sim_peer_stop (peer);
    if (fault->duration_ns)
        ending_set (world, fault, 0);
}

static void leave (pxi_world *world, pxi_sim_peer *peer, const pxi_fault *fault)
{
    if (!peer->up || peer->leaving || peer->paused_until_ns)
        return;
    peer->leaving = true;
    pxi_event drain = {.kind = PXI_EV_DRAIN, .flag = fault->way == 1};
    if (fault->duration_ns)
        ending_set (world, fault, 0);
    pxi_sim_peer_event (peer, &drain);
}

static void host_busy (pxi_sim_peer *peer, bool busy)
{
    pxi_event event = {.kind = PXI_EV_HOST_BUSY, .flag = busy};
    if (peer->up && !peer->paused_until_ns)
        pxi_sim_peer_event (peer, &event);
}

static void mass_join (pxi_world *world)
{
    for (uint32_t i = 0; i < world->config.n_peers; i++) {
        if (world->config.peers[i].absent && !world->peers[i].incarnation)
            pxi_sim_peer_start (&world->peers[i]);
    }
}

static void begin (pxi_world *world, pxi_sim_peer *peer, const pxi_fault *fault)
{
    uint64_t until_ns = world->time.now_ns + fault->duration_ns;
    switch (fault->kind) {
    case PXI_FAULT_CRASH:
        crash (world, peer, fault);
        break;
    case PXI_FAULT_PAUSE:
        pxi_sim_peer_pause (peer, until_ns);
        break;
    case PXI_FAULT_PARTITION:
    case PXI_FAULT_ISOLATE:
        cut_off (world, fault, world->config.seed);
        break;
    case PXI_FAULT_SLOW:
        peer->speed_permille = world->config.peers[peer->index].speed_permille / fault->factor + 1;
        ending_set (world, fault, 0);
        break;
    case PXI_FAULT_DIE:
        if (peer->up && !peer->paused_until_ns)
            pxi_sim_peer_die (peer);
        break;
    case PXI_FAULT_DRAIN:
        leave (world, peer, fault);
        break;
    case PXI_FAULT_HOST_BUSY:
        host_busy (peer, true);
        ending_set (world, fault, 0);
        break;
    case PXI_FAULT_CANCEL:
        cancel (world, fault->peer);
        break;
    case PXI_FAULT_SPIKE:
        pxi_network_spike (&world->network, fault->factor, until_ns);
        break;
    case PXI_FAULT_START:
        if (!peer->up)
            pxi_sim_peer_start (peer);
        break;
    case PXI_FAULT_SLOW_LINK:
        pxi_network_slow (&world->network, peer->index, fault->way != 2, fault->way != 1,
                          fault->factor);
        ending_set (world, fault, 0);
        break;
    case PXI_FAULT_MASS_JOIN:
        mass_join (world);
        break;
    case PXI_FAULT_KINDS:
        break;
    }
}

void pxi_world_fault (pxi_world *world, const pxi_fault *fault)
{
    bool of_job = fault->kind == PXI_FAULT_CANCEL;
    PXI_ASSERT (fault->peer < (of_job ? world->config.n_jobs : world->config.n_peers));
    pxi_sim_peer *peer = of_job ? NULL : &world->peers[fault->peer];
    pxi_world_say (world, "fault", "%s %s%u for %llu ms", pxi_fault_name (fault->kind),
                   of_job ? "j" : "w", fault->peer + 1,
                   (unsigned long long)(fault->duration_ns / PXI_MS));
    begin (world, peer, fault);
}

static void end (struct ending *ending)
{
    pxi_world *world = ending->world;
    pxi_sim_peer *peer = &world->peers[ending->fault.peer];
    switch (ending->fault.kind) {
    case PXI_FAULT_CRASH:
    case PXI_FAULT_DRAIN:
        if (!peer->up && !world->calm)
            pxi_sim_peer_start (peer);
        break;
    case PXI_FAULT_PARTITION:
    case PXI_FAULT_ISOLATE:
        if (!world->calm)
            pxi_network_heal (&world->network, (uint32_t)ending->number);
        break;
    case PXI_FAULT_SLOW:
        peer->speed_permille = world->config.peers[peer->index].speed_permille;
        break;
    case PXI_FAULT_SLOW_LINK:
        pxi_network_slow (&world->network, peer->index, true, true, 1);
        break;
    default:
        host_busy (peer, false);
        break;
    }
    pxi_world_say (world, "fault", "%s %s over", pxi_fault_name (ending->fault.kind), peer->name);
    free (ending);
}

static void next_fault (pxi_world *world)
{
    if (world->next_fault < world->config.n_faults && !world->calm)
        pxi_alarm_set (&world->time, &world->fault_alarm, PXI_ALARM_FAULT, world,
                       world->config.faults[world->next_fault].at_ns);
}

/* A core of peers is healthy from here on: all that is up but those that are left behind for good, and the
 * roots' among it. Who is down stays down, who leaves leaves, liars tell the truth. A pause is not cut short:
 * play () waits for the last one. */
void pxi_world_calm (pxi_world *world)
{
    if (world->calm)
        return;
    pxi_world_say (world, "fault", "all is calm from here on");
    world->calm = true;
    world->calm_since_ns = world->time.now_ns;
    pxi_network_calm (&world->network);
    pxi_alarm_clear (&world->time, &world->fault_alarm);
    for (uint32_t i = 0; i < world->config.n_peers && world->verdict == PXI_VERDICT_FINE; i++) {
        pxi_sim_peer *peer = &world->peers[i];
        peer->speed_permille = world->config.peers[i].speed_permille;
        if (peer->up && world->config.peers[i].left_behind)
            pxi_sim_peer_stop (peer);
        else if (peer->up)
            host_busy (peer, false);
    }
}

/* ---- the loop --------------------------------------------------------------------------------- */

static void sweep (pxi_world *world)
{
    pxi_sweep_all (world);
    pxi_alarm_set (&world->time, &world->sweep_alarm, PXI_ALARM_SWEEP, world,
                   world->time.now_ns + world->config.sweep_ns);
}

static void fire (pxi_world *world, pxi_alarm *alarm)
{
    switch (alarm->kind) {
    case PXI_ALARM_WAKE:
        pxi_sim_peer_tick (alarm->owner);
        break;
    case PXI_ALARM_RESUME:
        pxi_sim_peer_resume (alarm->owner);
        break;
    case PXI_ALARM_NOTICE:
        pxi_sim_peer_notices_due (alarm->owner);
        break;
    case PXI_ALARM_BURST: {
        pxi_burst *burst = alarm->owner;
        pxi_sim_peer_burst (((pxi_sim_executor *)pxi_virtual_context (burst->executor))->peer,
                            burst);
        break;
    }
    case PXI_ALARM_CHUNK:
        pxi_sim_device_chunk_ends (alarm->owner);
        break;
    case PXI_ALARM_MESSAGE: {
        pxi_parcel *parcel = alarm->owner;
        pxi_sim_peer_deliver (&world->peers[parcel->to], parcel);
        break;
    }
    case PXI_ALARM_FAULT:
        pxi_world_fault (world, &world->config.faults[world->next_fault++]);
        next_fault (world);
        break;
    case PXI_ALARM_ENDING:
        end (alarm->owner);
        break;
    case PXI_ALARM_SUBMIT:
        submit (world, alarm->owner);
        break;
    case PXI_ALARM_SWEEP:
        sweep (world);
        break;
    }
}

static pxi_sim_peer *peer_of (const pxi_world *world, const pxi_alarm *alarm)
{
    switch (alarm->kind) {
    case PXI_ALARM_WAKE:
    case PXI_ALARM_RESUME:
    case PXI_ALARM_NOTICE:
        return alarm->owner;
    case PXI_ALARM_MESSAGE:
        return &world->peers[((const pxi_parcel *)alarm->owner)->to];
    default:
        return NULL;
    }
}

/* Of many peers each comes out of the memory, not out of a cache: who has his turn soon is fetched while
 * others have theirs, first the peer, then what it points to. */
static void fetch_ahead (const pxi_world *world)
{
    const pxi_alarm *later = pxi_alarm_ahead (&world->time, PEERS_AHEAD);
    const pxi_alarm *soon = pxi_alarm_ahead (&world->time, CORES_AHEAD);
    const char *peer = later ? (const char *)peer_of (world, later) : NULL;
    for (size_t at = 0; peer && at < offsetof (pxi_sim_peer, leases); at += LINE_SIZE)
        __builtin_prefetch (peer + at);
    const pxi_sim_peer *next = soon ? peer_of (world, soon) : NULL;
    if (next && next->core)
        pxi_core_fetch (next->core);
}

static bool run_one (pxi_world *world, uint64_t until_ns)
{
    pxi_alarm *first = pxi_alarm_first (&world->time, until_ns);
    if (!first)
        return false;
    pxi_alarm_clear (&world->time, first);
    fetch_ahead (world);
    world->time.now_ns = pxi_alarm_at_ns (first);
    fire (world, first);
    return true;
}

bool pxi_world_run_until (pxi_world *world, uint64_t ns)
{
    while (world->verdict == PXI_VERDICT_FINE && run_one (world, ns)) {
    }
    if (world->verdict == PXI_VERDICT_FINE && world->time.now_ns < ns)
        world->time.now_ns = ns;
    return world->verdict == PXI_VERDICT_FINE;
}

bool pxi_world_run_jobs (pxi_world *world, uint64_t until_ns)
{
    while (world->verdict == PXI_VERDICT_FINE && !pxi_world_jobs_over (world) &&
           run_one (world, until_ns)) {
    }
    return world->verdict == PXI_VERDICT_FINE;
}

/* ---- the whole story -------------------------------------------------------------------------- */

/* A burst that began while its peer was slow: the longest one can be. */
static uint64_t longest_burst_ns (const pxi_world *world)
{
    uint64_t longest_ns = 0, slowest = 1000, factor = 1;
    for (uint32_t i = 0; i < world->config.n_jobs; i++) {
        uint64_t job_ns = pxi_workload_longest_ns (&world->config.jobs[i].tree);
        longest_ns = job_ns > longest_ns ? job_ns : longest_ns;
    }
    for (uint32_t i = 0; i < world->config.n_peers; i++) {
        const pxi_world_peer *config = &world->config.peers[i];
        slowest = config->speed_permille < slowest ? config->speed_permille : slowest;
    }
    for (uint32_t i = 0; i < world->config.n_faults; i++) {
        const pxi_fault *fault = &world->config.faults[i];
        factor = fault->kind == PXI_FAULT_SLOW && fault->factor > factor ? fault->factor : factor;
    }
    return longest_ns * 1000 / slowest * factor;
}

static uint64_t speed_permille (const pxi_world_peer *peer)
{
    return (uint64_t)peer->slots * peer->speed_permille;
}

/* What can work for a job: whoever is up and has the module, or where a branch number may keep the work at
 * home, the root's peer alone. */
static uint64_t speed_for (const pxi_world *world, const pxi_sim_job *job)
{
    const pxi_tree *tree = &job->config->tree;
    uint64_t sum = 0;
    uint32_t known = world->config.core.view_max; /* perhaps nobody among them who can */
    for (uint32_t i = 0; i < tree->n_numbers; i++) {
        if (tree->numbers[i] < world->config.n_peers || known + 1 < world->config.n_peers)
            return speed_permille (&world->config.peers[job->config->peer]);
    }
    for (uint32_t i = 0; i < world->config.n_peers; i++) {
        const pxi_world_peer *peer = &world->config.peers[i];
        if (world->peers[i].up && !world->peers[i].leaving && !peer->no_module)
            sum += speed_permille (peer);
    }
    return sum;
}

/* What a hand-over may cost a task, however short it is. */
static uint64_t hop_ns (const pxi_world *world)
{
    const pxi_network_config *network = &world->config.network;
    uint64_t carried_ns = 0;
    for (uint32_t i = 0; i < world->config.n_jobs && network->bytes_per_s; i++)
        carried_ns += world->config.jobs[i].tree.size_max * PXI_SECOND / network->bytes_per_s;
    return 2 * (network->min_ns + network->extra.mean_ns + world->config.notice_ns + carried_ns);
}

/* A task that crashes takes a root that runs beside it along, which begins anew each time; where it crashes
 * whatever happens, a stated number of times. */
static uint64_t work_patience (const pxi_world *world)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < world->config.n_jobs; i++) {
        uint32_t crashes = world->config.jobs[i].crash_times;
        crashes = crashes < PXI_CRASHES_MAX ? crashes : BEGUN_ANEW_MAX;
        most = crashes > most ? crashes : most;
    }
    return (most + 1) * PATIENCE_WORK;
}

uint64_t pxi_world_patience_ns (const pxi_world *world)
{
    uint64_t parallel_ns = 0, slowest = 1000, chain_ns = 0;
    for (uint32_t i = 0; i < world->config.n_jobs; i++) {
        const pxi_sim_job *job = &world->jobs[i];
        if (job->state == PXI_JOB_DONE || job->state == PXI_JOB_ENDED)
            continue;
        uint64_t speed = speed_for (world, job);
        uint64_t all_ns = job->serial.all_ns + job->serial.n_all * hop_ns (world);
        uint64_t longest_ns = job->serial.critical_ns + job->serial.depth * hop_ns (world);
        parallel_ns += speed ? all_ns / speed * 1000 : 0;
        chain_ns = longest_ns > chain_ns ? longest_ns : chain_ns;
    }
    for (uint32_t i = 0; i < world->config.n_peers; i++) {
        const pxi_world_peer *config = &world->config.peers[i];
        slowest = config->speed_permille < slowest ? config->speed_permille : slowest;
    }
    return work_patience (world) * (parallel_ns + chain_ns * 1000 / slowest) +
           longest_burst_ns (world) +
           PATIENCE_WAITS * (world->config.core.detect_ns + BACKOFF_CAP_NS + RESERVED_NS);
}

/* What lapses by itself: reservations, leases, results kept for sending again, relations; after the last
 * message that a slow network still had. */
/* Of what came for a job, where one has such. */
static uint64_t shared_kept_ns (const pxi_world *world)
{
    for (uint32_t i = 0; i < world->config.n_jobs; i++) {
        if (world->config.jobs[i].tree.shared_ppm)
            return PXI_SHARED_KEPT_NS;
    }
    return 0;
}

bool pxi_world_settle (pxi_world *world)
{
    uint64_t shuffled_ns = world->calm_since_ns + RECONNECT_SHUFFLES * world->config.core.gossip_ns;
    uint64_t lapse_ns = 3 * world->config.core.detect_ns + 2 * RESERVED_NS + PXI_SECOND +
                        VOLUNTEERS_NS (world) + longest_burst_ns (world) + shared_kept_ns (world);
    uint64_t from_ns =
        world->last_arrival_ns > world->time.now_ns ? world->last_arrival_ns : world->time.now_ns;
    from_ns += lapse_ns;
    if (world->calm && !world->config.unchecked && shuffled_ns > from_ns)
        from_ns = shuffled_ns;
    if (pxi_world_run_until (world, from_ns) && !world->config.unchecked)
        pxi_check_quiet (world);
    if (world->calm && !world->config.unchecked)
        pxi_sweep_views (world);
    return world->verdict == PXI_VERDICT_FINE;
}

static void tell_progress (const pxi_world *world)
{
    pxi_world_progress progress = {.now_ns = world->time.now_ns,
                                   .n_events = world->n_events,
                                   .n_jobs_over = world->n_jobs_over};
    world->config.progress (world->config.progress_context, &progress);
}

static bool run_jobs_until (pxi_world *world, uint64_t until_ns, const volatile int *stop)
{
    while (world->verdict == PXI_VERDICT_FINE && !pxi_world_jobs_over (world)) {
        for (uint32_t i = 0; i < 4096 && !pxi_world_jobs_over (world); i++) {
            if (world->verdict != PXI_VERDICT_FINE || !run_one (world, until_ns))
                return world->verdict == PXI_VERDICT_FINE;
        }
        if (stop && *stop)
            return false;
        if (world->config.progress)
            tell_progress (world);
    }
    return world->verdict == PXI_VERDICT_FINE;
}

static uint64_t last_resume_ns (const pxi_world *world)
{
    uint64_t last_ns = world->time.now_ns;
    for (uint32_t i = 0; i < world->config.n_peers; i++) {
        const pxi_sim_peer *peer = &world->peers[i];
        last_ns = peer->paused_until_ns > last_ns ? peer->paused_until_ns : last_ns;
    }
    return last_ns;
}

void pxi_world_play (pxi_world *world, const volatile int *stop, pxi_world_report *report)
{
    bool fine = run_jobs_until (world, world->config.calm_ns, stop);
    if (fine && !pxi_world_jobs_over (world))
        fine = pxi_world_run_until (world, world->config.calm_ns);
    pxi_alarm_clear (&world->time, &world->fault_alarm); /* nothing more goes wrong */
    fine = fine && pxi_world_run_until (world, last_resume_ns (world));
    if (fine) {
        pxi_world_calm (world);
        world->patience_ns = pxi_world_patience_ns (world);
        fine = run_jobs_until (world, world->time.now_ns + world->patience_ns, stop);
        world->calm_took_ns = world->time.now_ns - world->calm_since_ns;
    }
    if (fine && !pxi_world_jobs_over (world))
        pxi_check_stuck (world);
    else if (fine && !world->config.unchecked) /* nobody would look at what is left */
        pxi_world_settle (world);
    pxi_world_read (world, report);
}

/* ---- reading ---------------------------------------------------------------------------------- */

static void read_peer (const pxi_sim_peer *peer, pxi_world_report *report)
{
    px_stats stats = {0};
    const pxi_world_peer *config = &peer->world->config.peers[peer->index];
    report->slots_speed_permille += (uint64_t)config->slots * config->speed_permille;
    if (peer->up) {
        pxi_core_sizes sizes;
        pxi_core_sizes_read (peer->core, &sizes);
        report->memory_bytes += sizes.memory_bytes;
        pxi_core_stats (peer->core, &stats);
    }
#define ADD(name, text) report->stats.name += stats.name + peer->former.name;
    PX_STATS (ADD)
#undef ADD
}

void pxi_world_read (const pxi_world *world, pxi_world_report *report)
{
    *report = (pxi_world_report){
        .verdict = world->verdict,
        .trace_hash = world->trace_hash,
        .now_ns = world->time.now_ns,
        .n_tasks_run = world->n_tasks_run,
        .done_ns = world->done_ns,
        .vain_ns = world->vain_ns,
        .n_crashes = world->n_crashes,
        .n_events = world->n_events,
        .n_lost = world->network.n_lost + world->network.n_cut + world->network.n_full,
        .n_damaged = world->n_damaged,
        .calm_took_ns = world->calm_took_ns,
        .patience_ns = world->patience_ns,
        .corrupted = world->corrupted,
        .n_duplicated = world->network.n_duplicated,
    };
    memcpy (report->why, world->why, sizeof report->why);
    memcpy (report->n_messages, world->n_messages, sizeof report->n_messages);
    uint64_t from_ns = UINT64_MAX, to_ns = 0;
    for (uint32_t i = 0; i < world->config.n_jobs; i++) {
        const pxi_sim_job *job = &world->jobs[i];
        report->n_tasks += job->serial.n_nodes;
        report->work_ns += job->serial.work_ns;
        report->critical_ns = job->serial.critical_ns > report->critical_ns
                                  ? job->serial.critical_ns
                                  : report->critical_ns;
        report->n_jobs_done += job->state == PXI_JOB_DONE;
        if (i < PXI_WORLD_JOBS_TOLD)
            report->jobs_ns[i] = pxi_world_job_ns (world, i);
        report->n_jobs_ended += job->state == PXI_JOB_ENDED;
        from_ns = job->config->at_ns < from_ns ? job->config->at_ns : from_ns;
        to_ns = job->done_ns > to_ns ? job->done_ns : to_ns;
    }
    report->makespan_ns = to_ns > from_ns ? to_ns - from_ns : 0;
    for (uint32_t i = 0; i < world->config.n_peers; i++)
        read_peer (&world->peers[i], report);
}

static uint64_t n_of_kinds (const pxi_world_report *report, uint32_t first, uint32_t last)
{
    uint64_t n = 0;
    for (uint32_t kind = first; kind <= last; kind++)
        n += report->n_messages[kind];
    return n;
}

uint64_t pxi_world_n_work (const pxi_world_report *report)
{
    return n_of_kinds (report, PXI_REFUSED + 1, PXI_MESSAGE_LAST);
}

uint64_t pxi_world_n_handshakes (const pxi_world_report *report)
{
    return n_of_kinds (report, PXI_HANDSHAKE, PXI_HANDSHAKE_ACK);
}

uint64_t pxi_world_n_members (const pxi_world_report *report)
{
    return n_of_kinds (report, PXI_HELLO, PXI_REFUSED);
}

/* ---- life ------------------------------------------------------------------------------------- */

static bool make_jobs (pxi_world *world)
{
    const pxi_world_config *config = &world->config;
    for (uint32_t i = 0; i < config->n_jobs; i++) {
        pxi_sim_job *job = &world->jobs[i];
        job->index = i;
        job->config = &config->jobs[i];
        job->crashes_left = job->config->crash_times;
        if (!pxi_workload_serial (&job->config->tree, config->nodes_max, job->config->crash_pick,
                                  &job->serial))
            return false;
        pxi_alarm_set (&world->time, &job->alarm, PXI_ALARM_SUBMIT, job, job->config->at_ns);
    }
    return true;
}

pxi_world *pxi_world_new (const pxi_world_config *config)
{
    pxi_world *world = calloc (1, sizeof *world);
    if (!world)
        return NULL;
    world->config = *config;
    if (!world->config.sweep_ns)
        world->config.sweep_ns = SWEEP_NS;
    world->trace_hash = UINT64_C (0xcbf29ce484222325);
    if (!pxi_time_init (&world->time)) {
        free (world);
        return NULL;
    }
    pxi_network_init (&world->network, &config->network, config->n_peers,
                      pxi_mix64 (config->seed + 1));
    pxi_prng_init (&world->prng, pxi_mix64 (config->seed + 2));
    pxi_prng_init (&world->damage_prng, pxi_mix64 (config->seed + 3));
    pxi_map_init (&world->wanted, HELD_MAX, 1);
    pxi_map_init (&world->held, HELD_MAX, 1);
    pxi_map_init (&world->done, HELD_MAX, 1);
    world->peers = calloc (config->n_peers, sizeof *world->peers);
    world->jobs = calloc (config->n_jobs ? config->n_jobs : 1, sizeof *world->jobs);
    for (uint32_t i = 0; world->peers && i < config->n_peers; i++)
        pxi_sim_peer_init (world, &world->peers[i], i);
    if (!world->peers || !world->jobs || !pxi_check_init (world) || !make_jobs (world)) {
        pxi_world_free (&world);
        return NULL;
    }
    for (uint32_t i = 0; i < config->n_peers; i++) {
        if (!config->peers[i].absent)
            pxi_sim_peer_start (&world->peers[i]);
    }
    next_fault (world);
    if (!config->unchecked)
        sweep (world);
    return world;
}

static void drop_alarms (pxi_world *world)
{
    for (pxi_alarm *alarm; (alarm = pxi_alarm_first (&world->time, UINT64_MAX));) {
        pxi_alarm_clear (&world->time, alarm);
        if (alarm->kind == PXI_ALARM_MESSAGE || alarm->kind == PXI_ALARM_ENDING)
            free (alarm->owner);
    }
}

void pxi_world_free (pxi_world **world_p)
{
    pxi_world *world = *world_p;
    if (!world)
        return;
    *world_p = NULL;
    world->config.sink = NULL;
    for (uint32_t i = 0; world->peers && i < world->config.n_peers; i++) {
        pxi_sim_peer_stop (&world->peers[i]);
        pxi_liar_forget (&world->peers[i]);
        pxi_map_fini (&world->peers[i].blobs);
        pxi_map_fini (&world->peers[i].came);
        pxi_map_fini (&world->peers[i].crashed);
        pxi_map_fini (&world->peers[i].unwanted);
        pxi_map_fini (&world->peers[i].nowhere);
        pxi_map_fini (&world->peers[i].idle_there);
    }
    drop_alarms (world);
    pxi_time_fini (&world->time);
    pxi_network_fini (&world->network);
    pxi_map_fini (&world->wanted);
    pxi_map_fini (&world->held);
    pxi_map_fini (&world->done);
    pxi_check_fini (world);
    free (world->peers);
    free (world->jobs);
    free (world);
}
