/* Schedulers that send a task to a peer and leave it there: the central queue, random, sampling, and
 * asking one peer after the other. A queue at a peer is first in, first out. */
#include <stdlib.h>

#include "sim/rivals/state.h"

/* ---- central: one queue that knows every slot ------------------------------------------------- */

static void central_serve (pxi_rivals *rivals)
{
    while (rivals->queue.n && rivals->idle.n) {
        pxi_rival_entry task = pxi_rival_shift (&rivals->queue);
        uint32_t peer = pxi_rival_pop (&rivals->idle).job;
        pxi_rival_send (rivals, PXI_RIVAL_TASK, peer, task.job, task.index, 0);
    }
}

static void central_begin (pxi_rivals *rivals)
{
    const pxi_stream_config *cluster = &rivals->stream->config;
    for (uint32_t i = 0; i < cluster->n_peers * cluster->slots; i++)
        pxi_rival_push (rivals, &rivals->idle, (pxi_rival_entry){.job = i % cluster->n_peers});
}

static void central_arrived (pxi_rivals *rivals, uint32_t job)
{
    for (uint32_t task = 0; task < rivals->stream->config.n_tasks; task++)
        pxi_rival_push (rivals, &rivals->queue, (pxi_rival_entry){job, task});
    central_serve (rivals);
}

static void central_heard (pxi_rivals *rivals, const pxi_rival_message *message)
{
    if (message->word == PXI_RIVAL_TASK) {
        pxi_rival_start (rivals, message->peer, message->job, message->index);
        return;
    }
    pxi_rival_push (rivals, &rivals->idle, (pxi_rival_entry){.job = message->peer});
    central_serve (rivals);
}

static void central_freed (pxi_rivals *rivals, uint32_t peer)
{
    pxi_rival_send_with (rivals, PXI_RIVAL_FREED, peer, 0, 0); /* with the task's result */
}

const pxi_rival_policy pxi_rival_central = {
    .arrived = central_arrived,
    .heard = central_heard,
    .freed = central_freed,
    .begin = central_begin,
};

/* ---- queues at the peers ---------------------------------------------------------------------- */

static void queue_freed (pxi_rivals *rivals, uint32_t index)
{
    pxi_rival_peer *peer = &rivals->peers[index];
    if (!peer->queue.n)
        return;
    pxi_rival_entry task = pxi_rival_shift (&peer->queue);
    pxi_rival_start (rivals, index, task.job, task.index);
}

static void queue_task (pxi_rivals *rivals, const pxi_rival_message *message)
{
    pxi_rival_peer *peer = &rivals->peers[message->peer];
    if (peer->n_free)
        pxi_rival_start (rivals, message->peer, message->job, message->index);
    else
        pxi_rival_push (rivals, &peer->queue, (pxi_rival_entry){message->job, message->index});
}

static void random_arrived (pxi_rivals *rivals, uint32_t job)
{
    pxi_rival_draw_begin (rivals);
    for (uint32_t task = 0; task < rivals->stream->config.n_tasks; task++)
        pxi_rival_send (rivals, PXI_RIVAL_TASK, pxi_rival_draw (rivals), job, task, 0);
}

const pxi_rival_policy pxi_rival_random = {
    .arrived = random_arrived,
    .heard = queue_task,
    .freed = queue_freed,
};

/* ---- sampling: of each pair, or of all, the shortest ------------------------------------------ */

static bool by_pairs (const pxi_rivals *rivals)
{
    return rivals->config->kind == PXI_RIVAL_PAIRS;
}

static void sampling_arrived (pxi_rivals *rivals, uint32_t index)
{
    pxi_rival_job *job = &rivals->jobs[index];
    job->n_probes =
        by_pairs (rivals) ? 2 * rivals->stream->config.n_tasks : pxi_rival_n_probes (rivals);
    job->probed = calloc (job->n_probes, sizeof *job->probed);
    job->loads = calloc (job->n_probes, sizeof *job->loads);
    if (!job->probed || !job->loads) {
        rivals->out_of_memory = true;
        return;
    }
    pxi_rival_draw_begin (rivals);
    for (uint32_t i = 0; i < job->n_probes; i++) {
        job->probed[i] = pxi_rival_draw (rivals);
        pxi_rival_send (rivals, PXI_RIVAL_PROBE, job->probed[i], index, i, 0);
    }
    rivals->report.n_probes += job->n_probes;
}

/* Longer than any queue, so that free slots count below an empty queue without signs. */
#define NO_QUEUE UINT32_C (0x40000000)

static uint32_t load_of (const pxi_rival_peer *peer)
{
    return peer->n_free ? NO_QUEUE - peer->n_free : NO_QUEUE + peer->queue.n;
}

static void place (pxi_rivals *rivals, uint32_t index, uint32_t task, uint32_t probe)
{
    pxi_rival_send (rivals, PXI_RIVAL_TASK, rivals->jobs[index].probed[probe], index, task, 0);
}

static void place_pairs (pxi_rivals *rivals, uint32_t index)
{
    const uint32_t *loads = rivals->jobs[index].loads;
    for (uint32_t task = 0; task < rivals->stream->config.n_tasks; task++)
        place (rivals, index, task, 2 * task + (loads[2 * task + 1] < loads[2 * task]));
}

struct ranked {
    uint32_t load, probe;
};

static int by_load (const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->load != b->load)
        return a->load < b->load ? -1 : 1;
    return a->probe < b->probe ? -1 : a->probe > b->probe;
}

static void place_batch (pxi_rivals *rivals, uint32_t index)
{
    const pxi_rival_job *job = &rivals->jobs[index];
    struct ranked *ranked = malloc (job->n_probes * sizeof *ranked);
    if (!ranked) {
        rivals->out_of_memory = true;
        return;
    }
    for (uint32_t i = 0; i < job->n_probes; i++)
        ranked[i] = (struct ranked){job->loads[i], i};
    qsort (ranked, job->n_probes, sizeof *ranked, by_load);
    for (uint32_t task = 0; task < rivals->stream->config.n_tasks; task++)
        place (rivals, index, task, ranked[task].probe);
    free (ranked);
}

static void sampling_heard (pxi_rivals *rivals, const pxi_rival_message *message)
{
    if (message->word == PXI_RIVAL_TASK) {
        queue_task (rivals, message);
        return;
    }
    if (message->word == PXI_RIVAL_PROBE) {
        pxi_rival_send (rivals, PXI_RIVAL_LOAD, message->peer, message->job, message->index,
                        load_of (&rivals->peers[message->peer]));
        return;
    }
    pxi_rival_job *job = &rivals->jobs[message->job];
    job->loads[message->index] = message->value;
    if (++job->n_answers < job->n_probes)
        return;
    if (by_pairs (rivals))
        place_pairs (rivals, message->job);
    else
        place_batch (rivals, message->job);
}

const pxi_rival_policy pxi_rival_sampling = {
    .arrived = sampling_arrived,
    .heard = sampling_heard,
    .freed = queue_freed,
};

/* ---- asking: one peer after the other, until one has a free slot ------------------------------ */

static void ask (pxi_rivals *rivals, uint32_t job, uint32_t task)
{
    rivals->report.n_probes++;
    pxi_rival_send (rivals, PXI_RIVAL_TASK, pxi_rival_any_peer (rivals), job, task, 0);
}

static void ask_arrived (pxi_rivals *rivals, uint32_t job)
{
    for (uint32_t task = 0; task < rivals->stream->config.n_tasks; task++)
        ask (rivals, job, task);
}

static void ask_heard (pxi_rivals *rivals, const pxi_rival_message *message)
{
    if (message->word == PXI_RIVAL_FULL) {
        ask (rivals, message->job, message->index);
        return;
    }
    if (rivals->peers[message->peer].n_free) {
        pxi_rival_start (rivals, message->peer, message->job, message->index);
        return;
    }
    rivals->report.n_refused++;
    pxi_rival_send (rivals, PXI_RIVAL_FULL, message->peer, message->job, message->index, 0);
}

static void ask_freed (pxi_rivals *rivals, uint32_t peer)
{
    (void)rivals;
    (void)peer;
}

const pxi_rival_policy pxi_rival_ask = {
    .arrived = ask_arrived,
    .heard = ask_heard,
    .freed = ask_freed,
};
