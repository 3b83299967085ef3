/* Sparrow's late binding: a job leaves reservations at random peers; a peer that comes to one while a slot
 * is free keeps the slot and asks the job for a task; the job gives what it has left, or nothing. So a
 * slot stands idle for a round trip per reservation. With cancelling, the job tells the peers that have
 * not asked yet, once its last task is given away. */
#include <stdlib.h>

#include "sim/rivals/state.h"

static void late_arrived (pxi_rivals *rivals, uint32_t index)
{
    pxi_rival_job *job = &rivals->jobs[index];
    job->n_probes = pxi_rival_n_probes (rivals);
    job->probed = calloc (job->n_probes, sizeof *job->probed);
    if (!job->probed) {
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

static void late_serve (pxi_rivals *rivals, uint32_t index)
{
    pxi_rival_peer *peer = &rivals->peers[index];
    while (peer->n_free && peer->queue.n) {
        pxi_rival_entry reservation = pxi_rival_shift (&peer->queue);
        peer->n_free--;
        peer->n_held++;
        pxi_rival_send (rivals, PXI_RIVAL_GET, index, reservation.job, reservation.index, 0);
    }
}

static void cancel_others (pxi_rivals *rivals, uint32_t index)
{
    const pxi_rival_job *job = &rivals->jobs[index];
    for (uint32_t i = 0; i < job->n_probes; i++) {
        if (job->probed[i] != PXI_RIVAL_ANSWERED)
            pxi_rival_send (rivals, PXI_RIVAL_CANCELLED, job->probed[i], index, i, 0);
    }
}

/* At the job. */
static void late_asked (pxi_rivals *rivals, const pxi_rival_message *get)
{
    pxi_rival_job *job = &rivals->jobs[get->job];
    uint32_t n_tasks = rivals->stream->config.n_tasks;
    if (job->n_handed == n_tasks) {
        pxi_rival_send (rivals, PXI_RIVAL_NONE, get->peer, get->job, 0, 0);
        return;
    }
    job->probed[get->index] = PXI_RIVAL_ANSWERED;
    pxi_rival_send (rivals, PXI_RIVAL_TASK, get->peer, get->job, job->n_handed++, 0);
    if (job->n_handed == n_tasks && rivals->config->kind == PXI_RIVAL_CANCEL)
        cancel_others (rivals, get->job);
}

static void late_heard (pxi_rivals *rivals, const pxi_rival_message *message)
{
    pxi_rival_peer *peer = &rivals->peers[message->peer];
    switch (message->word) {
    case PXI_RIVAL_PROBE:
        pxi_rival_push (rivals, &peer->queue, (pxi_rival_entry){message->job, message->index});
        late_serve (rivals, message->peer);
        break;
    case PXI_RIVAL_GET:
        late_asked (rivals, message);
        break;
    case PXI_RIVAL_TASK:
        peer->n_held--;
        peer->n_free++;
        pxi_rival_start (rivals, message->peer, message->job, message->index);
        break;
    case PXI_RIVAL_NONE:
        peer->n_held--;
        peer->n_free++;
        late_serve (rivals, message->peer);
        break;
    default:
        pxi_rival_remove (&peer->queue, (pxi_rival_entry){message->job, message->index});
        break;
    }
}

const pxi_rival_policy pxi_rival_late = {
    .arrived = late_arrived,
    .heard = late_heard,
    .freed = late_serve,
};
