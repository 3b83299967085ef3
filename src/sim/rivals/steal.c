/* Work stealing: a job waits in the deque of the peer it came to, which runs the newest task first. A peer
 * with a free slot and an empty deque asks a random one for its oldest task, or for half of its tasks;
 * after an answer in vain it waits for a random time (full jitter, doubling up to a cap). One question of
 * a peer is under way at a time. */
#include "sim/rivals/state.h"

#define WAIT_MAX_NS UINT64_C (256000000)

static uint32_t any_other (pxi_rivals *rivals, uint32_t index)
{
    uint32_t n = rivals->stream->config.n_peers;
    return (index + 1 + (uint32_t)pxi_prng_below (&rivals->prng, n - 1)) % n;
}

static void steal_serve (pxi_rivals *rivals, uint32_t index)
{
    pxi_rival_peer *peer = &rivals->peers[index];
    while (peer->n_free && peer->queue.n) {
        pxi_rival_entry task = pxi_rival_pop (&peer->queue);
        peer->n_tries = 0;
        pxi_rival_start (rivals, index, task.job, task.index);
    }
    bool alone = rivals->stream->config.n_peers == 1;
    if (!peer->n_free || alone || peer->asking || pxi_heap_holds (&peer->again.node))
        return;
    peer->asking = true;
    rivals->report.n_probes++;
    pxi_rival_send (rivals, PXI_RIVAL_STEAL, any_other (rivals, index), 0, 0, index);
}

static void steal_begin (pxi_rivals *rivals)
{
    for (uint32_t i = 0; i < rivals->stream->config.n_peers; i++)
        steal_serve (rivals, i);
}

static void steal_arrived (pxi_rivals *rivals, uint32_t job)
{
    uint32_t home = pxi_stream_home (rivals->stream, job);
    for (uint32_t task = 0; task < rivals->stream->config.n_tasks; task++)
        pxi_rival_push (rivals, &rivals->peers[home].queue, (pxi_rival_entry){job, task});
    steal_serve (rivals, home);
}

/* At the victim. */
static void steal_asked (pxi_rivals *rivals, const pxi_rival_message *message)
{
    pxi_rival_queue *queue = &rivals->peers[message->peer].queue;
    if (!queue->n) {
        pxi_rival_send (rivals, PXI_RIVAL_NONE, message->value, 0, 0, 0);
        rivals->report.n_refused++;
        return;
    }
    uint32_t n = rivals->config->kind == PXI_RIVAL_STEAL_HALF ? (queue->n + 1) / 2 : 1;
    while (--n) {
        pxi_rival_entry task = pxi_rival_shift (queue);
        pxi_rival_send_with (rivals, PXI_RIVAL_STOLEN, message->value, task.job, task.index);
    }
    pxi_rival_entry last = pxi_rival_shift (queue);
    pxi_rival_send (rivals, PXI_RIVAL_TASK, message->value, last.job, last.index, 0);
}

static void steal_in_vain (pxi_rivals *rivals, uint32_t index)
{
    pxi_rival_peer *peer = &rivals->peers[index];
    uint64_t most_ns = 2 * rivals->config->hop_ns;
    for (uint32_t i = 0; i < peer->n_tries && most_ns < WAIT_MAX_NS; i++)
        most_ns *= 2;
    peer->n_tries++;
    most_ns = most_ns < WAIT_MAX_NS ? most_ns : WAIT_MAX_NS;
    most_ns /= peer->n_free ? peer->n_free : 1; /* each slot would ask on its own */
    uint64_t wait_ns = 1 + pxi_prng_below (&rivals->prng, most_ns + 1);
    if (peer->n_free)
        pxi_rival_alarm_set (rivals, &peer->again, rivals->now_ns + wait_ns);
}

static void steal_heard (pxi_rivals *rivals, const pxi_rival_message *message)
{
    pxi_rival_peer *peer = &rivals->peers[message->peer];
    if (message->word == PXI_RIVAL_STEAL) {
        steal_asked (rivals, message);
        return;
    }
    if (message->word == PXI_RIVAL_NONE) {
        peer->asking = false;
        steal_in_vain (rivals, message->peer);
        return;
    }
    pxi_rival_push (rivals, &peer->queue, (pxi_rival_entry){message->job, message->index});
    if (message->word == PXI_RIVAL_TASK) {
        peer->asking = false;
        steal_serve (rivals, message->peer);
    }
}

const pxi_rival_policy pxi_rival_steal = {
    .arrived = steal_arrived,
    .heard = steal_heard,
    .freed = steal_serve,
    .again = steal_serve,
    .begin = steal_begin,
};
