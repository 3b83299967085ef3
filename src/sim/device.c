/* Devices of virtual peers: chunks go onto them one after the other, and compute one at a time.
 *
 * A chunk's time is its device's fixed cost, its way there, and its items; its way overlaps with what is being
 * computed before it. A device that stands still with its peer goes on later, as the peer's threads do. */
#include <stdlib.h>

#include "sim/state.h"

struct pxi_sim_chunk {
    pxi_list in_peer;
    pxi_alarm alarm;
    pxi_sim_peer *peer;
    pxi_job_id job;
    pxi_node node;
    uint64_t run, run_ns, frozen_ns;
    uint32_t device;
    bool fails, stopped, first;
};

static const pxi_world_device *config_of (const pxi_sim_peer *peer, uint32_t device)
{
    return &peer->world->config.peers[peer->index].devices[device - 1];
}

void pxi_sim_device_tell (pxi_sim_peer *peer)
{
    const pxi_world_peer *config = &peer->world->config.peers[peer->index];
    pxi_device_look looks[PXI_WORLD_DEVICES_MAX];
    for (uint32_t i = 0; i < config->n_devices; i++)
        looks[i] = (pxi_device_look){.usable = !(peer->quarantined >> (i + 1) & 1),
                                     .slots = config->devices[i].slots,
                                     .processor = config->devices[i].processor};
    if (config->n_devices)
        pxi_sim_peer_event (
            peer,
            &(pxi_event){.kind = PXI_EV_DEVICES, .devices = looks, .n_devices = config->n_devices});
}

uint32_t pxi_sim_device_n_runs (const pxi_sim_peer *peer)
{
    uint32_t n = 0;
    PXI_LIST_EACH (link, &peer->chunks)
    {
        n++;
    }
    return n;
}

void pxi_sim_device_run (pxi_sim_peer *peer, const pxi_action *action, const pxi_node *node)
{
    const pxi_world_device *config = config_of (peer, action->attempt.device);
    struct pxi_sim_chunk *chunk = calloc (1, sizeof *chunk);
    PXI_ASSERT (chunk);
    uint64_t now_ns = peer->world->time.now_ns;
    uint64_t *free_ns = &peer->device_free_ns[action->attempt.device - 1];
    uint64_t way_ns = node->n_items * config->way_ps / 1000;
    uint64_t compute_ns = node->n_items * config->item_ps / 1000;
    bool calm = peer->world->calm;
    *chunk = (struct pxi_sim_chunk){
        .peer = peer,
        .job = action->job,
        .node = *node,
        .run = action->run,
        .run_ns = config->fixed_ns + way_ns + compute_ns,
        .frozen_ns = peer->frozen_ns,
        .device = action->attempt.device,
        .first = !(peer->warm >> action->attempt.device & 1),
        .fails = !calm && pxi_prng_chance (&peer->world->prng, config->fails_ppm),
    };
    peer->warm |= UINT64_C (1) << chunk->device;
    uint64_t there_ns = now_ns + config->fixed_ns + way_ns;
    uint64_t from_ns = *free_ns > there_ns ? *free_ns : there_ns;
    *free_ns = from_ns + compute_ns + (chunk->first ? config->compile_ns : 0);
    pxi_list_add_last (&peer->chunks, &chunk->in_peer);
    pxi_alarm_set (&peer->world->time, &chunk->alarm, PXI_ALARM_CHUNK, chunk, *free_ns);
}

static void chunk_free (struct pxi_sim_chunk *chunk)
{
    pxi_alarm_clear (&chunk->peer->world->time, &chunk->alarm);
    pxi_list_remove (&chunk->in_peer);
    free (chunk);
}

void pxi_sim_device_chunk_ends (struct pxi_sim_chunk *chunk)
{
    pxi_sim_peer *peer = chunk->peer;
    if (chunk->frozen_ns != peer->frozen_ns) { /* it stood still meanwhile */
        uint64_t late_ns = peer->frozen_ns - chunk->frozen_ns;
        chunk->frozen_ns = peer->frozen_ns;
        pxi_alarm_set (&peer->world->time, &chunk->alarm, PXI_ALARM_CHUNK, chunk,
                       pxi_alarm_at_ns (&chunk->alarm) + late_ns);
        return;
    }
    bool wrong = config_of (peer, chunk->device)->wrong;
    pxi_payload payload = {.hash = pxi_workload_begin (&chunk->node) + wrong,
                           .size_bytes = 8,
                           .cancelled = chunk->stopped};
    pxi_event event = {.kind = PXI_EV_FINISHED,
                       .job = chunk->job,
                       .run = chunk->run,
                       .result = chunk->fails     ? PXI_RESULT_LOST
                                 : chunk->stopped ? PXI_RESULT_FAILED
                                                  : PXI_RESULT_OK,
                       .run_ns = chunk->run_ns,
                       .first = chunk->first,
                       .device_failed = chunk->fails,
                       .device_banned = chunk->fails && config_of (peer, chunk->device)->bans,
                       .size_bytes = 8};
    event.blob = pxi_sim_peer_blob (peer, &payload);
    chunk_free (chunk);
    pxi_sim_peer_tell (peer, &event);
    pxi_sim_peer_notices_due (peer);
}

/* What computes goes on to its end, as a kernel does; nobody waits for it. */
bool pxi_sim_device_stop (pxi_sim_peer *peer, uint64_t run)
{
    PXI_LIST_EACH (link, &peer->chunks)
    {
        struct pxi_sim_chunk *chunk = PXI_LIST_ENTRY (link, struct pxi_sim_chunk, in_peer);
        if (chunk->run != run)
            continue;
        chunk->stopped = true;
        return true;
    }
    return false;
}

void pxi_sim_device_forget (pxi_sim_peer *peer)
{
    for (pxi_list *link; (link = pxi_list_first (&peer->chunks));)
        chunk_free (PXI_LIST_ENTRY (link, struct pxi_sim_chunk, in_peer));
    peer->warm = peer->quarantined = 0;
    for (uint32_t i = 0; i < PXI_WORLD_DEVICES_MAX; i++)
        peer->device_free_ns[i] = 0;
}
