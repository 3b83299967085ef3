/* The engine: time, queues, slots, and what a job has had. Policies decide, in files of their own.
 *
 * Three sources of events, each in order already or kept so: arrivals (an array), messages (a ring: all
 * take one hop), ends of tasks and alarms (a heap whose nodes lie in slots and peers). Equal times go by
 * the order of their making, arrivals first.
 *
 * Invariants: n_free + n_held + running == slots at every peer; a task starts once. */
#include <stdlib.h>

#include "sim/rivals/state.h"

static const pxi_rival_policy *const policies[PXI_RIVAL_KINDS] = {
    [PXI_RIVAL_CENTRAL] = &pxi_rival_central,  [PXI_RIVAL_RANDOM] = &pxi_rival_random,
    [PXI_RIVAL_PAIRS] = &pxi_rival_sampling,   [PXI_RIVAL_BATCH] = &pxi_rival_sampling,
    [PXI_RIVAL_LATE] = &pxi_rival_late,        [PXI_RIVAL_CANCEL] = &pxi_rival_late,
    [PXI_RIVAL_ASK] = &pxi_rival_ask,          [PXI_RIVAL_STEAL_ONE] = &pxi_rival_steal,
    [PXI_RIVAL_STEAL_HALF] = &pxi_rival_steal,
};

/* ---- queues ----------------------------------------------------------------------------------- */

static pxi_rival_entry *at (const pxi_rival_queue *queue, uint32_t index)
{
    return &queue->entries[(queue->first + index) & (queue->capacity - 1)];
}

static bool grow (pxi_rival_queue *queue)
{
    uint32_t capacity = queue->capacity ? 2 * queue->capacity : 8;
    pxi_rival_entry *entries = malloc (capacity * sizeof *entries);
    if (!entries)
        return false;
    for (uint32_t i = 0; i < queue->n; i++)
        entries[i] = *at (queue, i);
    free (queue->entries);
    *queue = (pxi_rival_queue){.entries = entries, .n = queue->n, .capacity = capacity};
    return true;
}

void pxi_rival_push (pxi_rivals *rivals, pxi_rival_queue *queue, pxi_rival_entry entry)
{
    if (queue->n == queue->capacity && !grow (queue)) {
        rivals->out_of_memory = true;
        return;
    }
    *at (queue, queue->n++) = entry;
}

pxi_rival_entry pxi_rival_shift (pxi_rival_queue *queue)
{
    PXI_ASSERT (queue->n > 0);
    pxi_rival_entry entry = *at (queue, 0);
    queue->first = (queue->first + 1) & (queue->capacity - 1);
    queue->n--;
    return entry;
}

pxi_rival_entry pxi_rival_pop (pxi_rival_queue *queue)
{
    PXI_ASSERT (queue->n > 0);
    return *at (queue, --queue->n);
}

bool pxi_rival_remove (pxi_rival_queue *queue, pxi_rival_entry entry)
{
    uint32_t i = 0;
    while (i < queue->n && (at (queue, i)->job != entry.job || at (queue, i)->index != entry.index))
        i++;
    if (i == queue->n)
        return false;
    for (; i + 1 < queue->n; i++)
        *at (queue, i) = *at (queue, i + 1);
    queue->n--;
    return true;
}

/* ---- messages --------------------------------------------------------------------------------- */

static bool grow_lane (pxi_rivals *rivals)
{
    uint32_t capacity = rivals->lane_capacity ? 2 * rivals->lane_capacity : 1024;
    pxi_rival_message *lane = malloc (capacity * sizeof *lane);
    if (!lane)
        return false;
    for (uint32_t i = 0; i < rivals->lane_n; i++)
        lane[i] = rivals->lane[(rivals->lane_first + i) & (rivals->lane_capacity - 1)];
    free (rivals->lane);
    rivals->lane = lane;
    rivals->lane_first = 0;
    rivals->lane_capacity = capacity;
    return true;
}

static void post (pxi_rivals *rivals, pxi_rival_message message)
{
    if (rivals->lane_n == rivals->lane_capacity && !grow_lane (rivals)) {
        rivals->out_of_memory = true;
        return;
    }
    message.at_ns = rivals->now_ns + rivals->config->hop_ns;
    message.sequence = ++rivals->sequence;
    uint32_t place = (rivals->lane_first + rivals->lane_n++) & (rivals->lane_capacity - 1);
    rivals->lane[place] = message;
}

void pxi_rival_send (pxi_rivals *rivals, pxi_rival_word word, uint32_t peer, uint32_t job,
                     uint32_t index, uint32_t value)
{
    rivals->report.n_messages++;
    post (rivals, (pxi_rival_message){
                      .word = word, .peer = peer, .job = job, .index = index, .value = value});
}

void pxi_rival_send_with (pxi_rivals *rivals, pxi_rival_word word, uint32_t peer, uint32_t job,
                          uint32_t index)
{
    post (rivals, (pxi_rival_message){.word = word, .peer = peer, .job = job, .index = index});
}

/* ---- peers ------------------------------------------------------------------------------------ */

void pxi_rival_alarm_set (pxi_rivals *rivals, pxi_rival_alarm *alarm, uint64_t at_ns)
{
    bool added = pxi_heap_add (&rivals->heap, &alarm->node, at_ns, ++rivals->sequence);
    PXI_ASSERT (added);
}

void pxi_rival_draw_begin (pxi_rivals *rivals)
{
    rivals->order_used = 0;
}

/* A step of Fisher and Yates' shuffle. More than there are peers: everybody again. */
uint32_t pxi_rival_draw (pxi_rivals *rivals)
{
    uint32_t n = rivals->stream->config.n_peers;
    if (rivals->order_used == n)
        rivals->order_used = 0;
    uint32_t here = rivals->order_used++;
    uint32_t there = here + (uint32_t)pxi_prng_below (&rivals->prng, n - here);
    uint32_t drawn = rivals->order[there];
    rivals->order[there] = rivals->order[here];
    rivals->order[here] = drawn;
    return drawn;
}

uint32_t pxi_rival_any_peer (pxi_rivals *rivals)
{
    return (uint32_t)pxi_prng_below (&rivals->prng, rivals->stream->config.n_peers);
}

uint32_t pxi_rival_n_probes (const pxi_rivals *rivals)
{
    double n = rivals->config->ratio * rivals->stream->config.n_tasks;
    uint32_t whole = (uint32_t)n;
    whole += whole < n;
    return whole > rivals->stream->config.n_tasks ? whole : rivals->stream->config.n_tasks;
}

static pxi_rival_alarm *unused_slot (const pxi_rivals *rivals, uint32_t peer)
{
    uint32_t n = rivals->stream->config.slots;
    pxi_rival_alarm *slot = &rivals->slots[(size_t)peer * n];
    for (uint32_t i = 0; i < n; i++) {
        if (!pxi_heap_holds (&slot[i].node))
            return &slot[i];
    }
    PXI_ASSERT (!"a task without a slot");
    return NULL;
}

static bool is_measured (const pxi_rivals *rivals, uint32_t job)
{
    bool wanted = rivals->config->placed_max || job < rivals->config->n_measured;
    return wanted && rivals->stream->at_ns[job] >= rivals->config->from_ns;
}

static void job_placed (pxi_rivals *rivals, uint32_t index)
{
    pxi_rival_job *job = &rivals->jobs[index];
    rivals->n_placed += rivals->config->placed_max || is_measured (rivals, index);
    free (job->probed);
    free (job->loads);
    job->probed = job->loads = NULL;
}

void pxi_rival_start (pxi_rivals *rivals, uint32_t peer, uint32_t index, uint32_t task)
{
    pxi_rival_job *job = &rivals->jobs[index];
    PXI_ASSERT (rivals->peers[peer].n_free > 0);
    PXI_ASSERT (job->n_started < rivals->stream->config.n_tasks);
    rivals->peers[peer].n_free--;
    uint64_t run_ns = pxi_stream_run_ns (rivals->stream, index, task);
    uint64_t end_ns = rivals->now_ns + run_ns;
    pxi_rival_alarm_set (rivals, unused_slot (rivals, peer), end_ns);
    rivals->report.n_started++;
    rivals->report.used_ns += run_ns;
    rivals->report.n_under++;
    if (rivals->config->started)
        rivals->config->started (rivals->config->context, rivals->now_ns, peer, index, task);
    bool at_home =
        rivals->policy == &pxi_rival_steal && pxi_stream_home (rivals->stream, index) == peer;
    rivals->report.n_messages += !at_home; /* its result */
    if (rivals->config->results_hop && !at_home)
        end_ns += rivals->config->hop_ns;
    job->end_ns = end_ns > job->end_ns ? end_ns : job->end_ns;
    if (++job->n_started == rivals->stream->config.n_tasks)
        job_placed (rivals, index);
}

/* ---- the loop --------------------------------------------------------------------------------- */

static void alarm_fired (pxi_rivals *rivals, pxi_heap_node *node)
{
    pxi_rival_alarm *alarm = (pxi_rival_alarm *)node;
    rivals->now_ns = node->deadline;
    pxi_heap_remove (&rivals->heap, node);
    if (alarm->kind == PXI_RIVAL_AGAIN) {
        rivals->policy->again (rivals, alarm->peer);
        return;
    }
    rivals->report.n_under--;
    rivals->peers[alarm->peer].n_free++;
    rivals->policy->freed (rivals, alarm->peer);
}

static void message_came (pxi_rivals *rivals)
{
    pxi_rival_message message = rivals->lane[rivals->lane_first];
    rivals->lane_first = (rivals->lane_first + 1) & (rivals->lane_capacity - 1);
    rivals->lane_n--;
    rivals->now_ns = message.at_ns;
    rivals->policy->heard (rivals, &message);
}

/* False: nothing is left to happen. */
static bool run_one (pxi_rivals *rivals)
{
    const pxi_rival_message *message = rivals->lane_n ? &rivals->lane[rivals->lane_first] : NULL;
    pxi_heap_node *node = pxi_heap_first (&rivals->heap);
    uint64_t alarm_ns = pxi_heap_deadline (&rivals->heap);
    uint64_t message_ns = message ? message->at_ns : UINT64_MAX;
    bool message_first =
        message &&
        (message_ns < alarm_ns || (message_ns == alarm_ns && message->sequence < node->sequence));
    uint64_t soonest_ns = message_first ? message_ns : alarm_ns;
    uint32_t job = rivals->next_job;
    bool more = job < rivals->stream->config.n_jobs;
    rivals->report.n_events++;
    if (more && rivals->stream->at_ns[job] <= soonest_ns) {
        rivals->now_ns = rivals->stream->at_ns[job];
        rivals->next_job++;
        rivals->policy->arrived (rivals, job);
    } else if (message_first) {
        message_came (rivals);
    } else if (node) {
        alarm_fired (rivals, node);
    }
    return more || message || node;
}

/* ---- life ------------------------------------------------------------------------------------- */

static bool init (pxi_rivals *rivals, const pxi_rival_config *config)
{
    const pxi_stream_config *cluster = &config->stream->config;
    uint32_t n_slots = cluster->n_peers * cluster->slots;
    *rivals =
        (pxi_rivals){.config = config, .policy = policies[config->kind], .stream = config->stream};
    pxi_prng_init (&rivals->prng, config->seed);
    pxi_heap_init (&rivals->heap, n_slots + cluster->n_peers);
    rivals->jobs = calloc (cluster->n_jobs ? cluster->n_jobs : 1, sizeof *rivals->jobs);
    rivals->peers = calloc (cluster->n_peers, sizeof *rivals->peers);
    rivals->slots = calloc (n_slots, sizeof *rivals->slots);
    rivals->order = calloc (cluster->n_peers, sizeof *rivals->order);
    if (!rivals->jobs || !rivals->peers || !rivals->slots || !rivals->order)
        return false;
    for (uint32_t i = 0; i < n_slots; i++)
        rivals->slots[i].peer = i / cluster->slots;
    for (uint32_t i = 0; i < cluster->n_peers; i++) {
        rivals->order[i] = i;
        rivals->peers[i].n_free = cluster->slots;
        rivals->peers[i].again = (pxi_rival_alarm){.peer = i, .kind = PXI_RIVAL_AGAIN};
    }
    for (uint32_t i = 0; i < cluster->n_jobs && !config->placed_max; i++)
        rivals->n_wanted += is_measured (rivals, i);
    if (config->placed_max)
        rivals->n_wanted =
            config->placed_max < cluster->n_jobs ? config->placed_max : cluster->n_jobs;
    return true;
}

static void fini (pxi_rivals *rivals)
{
    for (uint32_t i = 0; rivals->jobs && i < rivals->stream->config.n_jobs; i++) {
        free (rivals->jobs[i].probed);
        free (rivals->jobs[i].loads);
    }
    for (uint32_t i = 0; rivals->peers && i < rivals->stream->config.n_peers; i++)
        free (rivals->peers[i].queue.entries);
    pxi_heap_fini (&rivals->heap);
    free (rivals->jobs);
    free (rivals->peers);
    free (rivals->slots);
    free (rivals->order);
    free (rivals->lane);
    free (rivals->queue.entries);
    free (rivals->idle.entries);
}

static void measure (pxi_rivals *rivals, uint64_t *delays_ns)
{
    const pxi_stream *stream = rivals->stream;
    double work_ns = 0;
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < stream->config.n_jobs; i++) {
        const pxi_rival_job *job = &rivals->jobs[i];
        delays_ns[i] = PXI_RIVAL_UNMEASURED;
        if (!is_measured (rivals, i) || job->n_started < stream->config.n_tasks)
            continue;
        delays_ns[i] = job->end_ns - stream->at_ns[i] - pxi_stream_longest_ns (stream, i);
        rivals->report.n_jobs++;
        last_ns = stream->at_ns[i];
        for (uint32_t task = 0; task < stream->config.n_tasks; task++)
            work_ns += (double)pxi_stream_run_ns (stream, i, task);
    }
    double slots = (double)stream->config.n_peers * stream->config.slots;
    if (last_ns > rivals->config->from_ns)
        rivals->report.load = work_ns / (double)(last_ns - rivals->config->from_ns) / slots;
    rivals->report.now_ns = rivals->now_ns;
    rivals->report.n_queued = rivals->queue.n;
    for (uint32_t i = 0; i < stream->config.n_peers; i++) {
        rivals->report.n_queued += rivals->peers[i].queue.n;
        rivals->report.n_held += rivals->peers[i].n_held;
    }
}

bool pxi_rival_run (const pxi_rival_config *config, uint64_t *delays_ns, pxi_rival_report *report)
{
    PXI_ASSERT (config->kind < PXI_RIVAL_KINDS);
    pxi_rivals rivals;
    bool fine = init (&rivals, config);
    if (fine && rivals.policy->begin)
        rivals.policy->begin (&rivals);
    while (fine && rivals.n_placed < rivals.n_wanted && run_one (&rivals))
        fine = !rivals.out_of_memory;
    if (fine) {
        measure (&rivals, delays_ns);
        *report = rivals.report;
    }
    fini (&rivals);
    return fine;
}
