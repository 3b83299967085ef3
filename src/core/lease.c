/* Leases and reservations: what a worker promises.
 *
 * A lease holds slots for one master and lapses by itself; no message is needed to end it. A
 * reservation is what a probe leaves at a busy peer: when a slot comes free it becomes an offer, as
 * if the peer had just answered "free" (the first finding of SCIENCE.md: without it, delay
 * collapses near saturation).
 *
 * Invariants: slots_leased is the sum over leases; the ring is in order of arrival, one entry per
 * job of a master, which is kept known by it; job->claims counts its entries. */
#include <string.h>

#include "core/state.h"

enum { LAPSED_MAX = 5 }; /* LEASE_MIN_NS << 5 is over LEASE_MAX_NS */
#define LEASE_MIN_NS                                                                               \
    (50 * PXI_MS) /* a host that is short of CPU answers late; waste is bounded by it */
#define LEASE_MAX_NS (1000 * PXI_MS)
#define RESERVATION_NS (2000 * PXI_MS)

/* Time enough for one answer of this master: as TCP's retransmission time-out, which doubles as well where
 * it was not: the round trip may not be known yet. */
uint64_t pxi_lease_ttl_ns (const pxi_core *core, const pxi_peer *master)
{
    (void)core;
    uint64_t ttl_ns = pxi_view_trip_ns (master) + 2 * PXI_MS;
    ttl_ns = ttl_ns < LEASE_MIN_NS ? LEASE_MIN_NS : ttl_ns;
    ttl_ns <<= master->n_lapsed;
    return ttl_ns < LEASE_MAX_NS ? ttl_ns : LEASE_MAX_NS;
}

static pxi_lease *lease_new (pxi_core *core, pxi_peer *master, uint32_t n_slots)
{
    PXI_ASSERT (n_slots > 0);
    pxi_lease *lease =
        core->n_leases < PXI_LEASES_MAX ? pxi_core_alloc (core, sizeof *lease) : NULL;
    if (!lease)
        return NULL;
    lease->id = pxi_core_new_id (core);
    lease->master = master;
    lease->n_slots = n_slots;
    lease->given_ns = core->now_ns;
    if (!pxi_map_put_pointer (&core->leases_by_id, lease->id, lease)) {
        pxi_core_release (core, lease, sizeof *lease);
        return NULL;
    }
    pxi_list_add_last (&core->leases, &lease->in_core);
    core->n_leases++;
    master->n_leases++;
    if (!PXI_MUTANT (LEASE_FOREVER))
        pxi_timer_set (core, &lease->timer, PXI_TIMER_LEASE, lease,
                       core->now_ns + pxi_lease_ttl_ns (core, master));
    return lease;
}

pxi_lease *pxi_lease_give (pxi_core *core, pxi_peer *master, uint32_t n_slots)
{
    PXI_ASSERT (n_slots <= pxi_share_unheld (core));
    pxi_lease *lease = lease_new (core, master, n_slots);
    if (lease)
        core->slots_leased += n_slots;
    return lease;
}

pxi_lease *pxi_lease_give_device (pxi_core *core, pxi_peer *master, uint32_t device, uint64_t key,
                                  uint32_t n_slots)
{
    pxi_lease *lease = lease_new (core, master, n_slots);
    if (!lease)
        return NULL;
    lease->device = device;
    lease->device_key = key;
    return lease;
}

/* Offer the lease's slots to its master. */
void pxi_lease_offer (pxi_core *core, const pxi_lease *lease, uint64_t probe, pxi_job_id job)
{
    pxi_worker_flush (core); /* what made the slot free comes first */
    pxi_message *message = pxi_core_send (core, lease->master, PXI_OFFER);
    message->probe = probe;
    message->job = job;
    message->lease = lease->id;
    message->n_slots = lease->n_slots;
    message->duration_ns = pxi_lease_ttl_ns (core, lease->master);
}

pxi_lease *pxi_lease_find (pxi_core *core, const pxi_peer *master, uint64_t id)
{
    pxi_lease *lease = pxi_map_pointer (&core->leases_by_id, id);
    bool theirs = lease && lease->master == master;
    if (theirs)
        lease->master->n_lapsed -= lease->master->n_lapsed > 0;
    /* The timer may be due and not yet run: a lapsed lease is none. */
    return theirs && (lease->timer.node.deadline > core->now_ns || PXI_MUTANT (LEASE_FOREVER))
               ? lease
               : NULL;
}

pxi_lease *pxi_lease_other (const pxi_core *core, const pxi_peer *master)
{
    PXI_LIST_EACH (link, &core->leases)
    {
        pxi_lease *lease = PXI_LIST_ENTRY (link, pxi_lease, in_core);
        if (lease->master == master && !lease->device && lease->timer.node.deadline > core->now_ns)
            return lease;
    }
    return NULL;
}

void pxi_lease_end (pxi_core *core, pxi_lease *lease)
{
    bool of_device = lease->device && !PXI_MUTANT (DEVICE_LEASE_KEPT);
    for (uint32_t i = 0; of_device && i < lease->n_slots; i++)
        pxi_device_release (core, lease->device, lease->device_key);
    uint32_t n_slots = lease->device ? 0 : lease->n_slots;
    PXI_ASSERT (core->slots_leased >= n_slots);
    core->slots_leased -= n_slots;
    core->n_leases--;
    pxi_timer_clear (core, &lease->timer);
    pxi_list_remove (&lease->in_core);
    pxi_map_remove (&core->leases_by_id, lease->id, NULL);
    pxi_peer *master = lease->master;
    master->n_leases--;
    pxi_core_release (core, lease, sizeof *lease);
    pxi_view_unref (core, master);
}

void pxi_lease_unanswered (pxi_core *core, pxi_lease *lease)
{
    lease->master->n_lapsed += lease->master->n_lapsed < LAPSED_MAX;
    lease->master->lapsed_ns = lease->given_ns;
    pxi_lease_end (core, lease);
}

bool pxi_lease_in_vain (const pxi_peer *master)
{
    return (master->n_lapsed && master->heard_ns <= master->lapsed_ns) ||
           pxi_handshake_silent (master);
}

/* ---- reservations -----------------------------------------------------------------------------
 */

static void claim (pxi_core *core, pxi_job_id id, int32_t change)
{
    pxi_job *job = pxi_worker_find_job (core, id);
    if (job)
        job->claims = (uint32_t)((int32_t)job->claims + change);
}

void pxi_lease_unreserve (pxi_core *core, uint32_t at)
{
    PXI_ASSERT (at < core->n_ring);
    pxi_peer *master = pxi_view_find (core, core->ring[at].peer);
    claim (core, core->ring[at].job, -1);
    core->n_ring--;
    memmove (&core->ring[at], &core->ring[at + 1], (core->n_ring - at) * sizeof core->ring[0]);
    PXI_ASSERT (master && master->n_reservations);
    master->n_reservations--;
    pxi_view_unref (core, master);
}

void pxi_lease_lapse (pxi_core *core)
{
    uint64_t next_ns = 0;
    for (uint32_t i = core->n_ring; i-- > 0;) {
        uint64_t until_ns = core->ring[i].until_ns;
        if (until_ns <= core->now_ns)
            pxi_lease_unreserve (core, i);
        else if (!next_ns || until_ns < next_ns)
            next_ns = until_ns;
    }
    if (next_ns)
        pxi_timer_set (core, &core->reservation_timer, PXI_TIMER_RESERVATION, core, next_ns);
    else
        pxi_timer_clear (core, &core->reservation_timer);
}

/* False: the ring is full. A second probe of the same job of the same master renews its place. */
bool pxi_lease_reserve (pxi_core *core, pxi_peer *master, const pxi_message *probe)
{
    pxi_lease_lapse (core);
    for (uint32_t i = 0; i < core->n_ring; i++) {
        pxi_reservation *held = &core->ring[i];
        if (held->peer == master->record.id && pxi_same_job (held->job, probe->job)) {
            held->probe = probe->probe;
            held->until_ns = core->now_ns + RESERVATION_NS;
            return true;
        }
    }
    if (core->n_ring == PXI_RESERVATIONS_MAX || !core->config.reservations)
        return false;
    core->ring[core->n_ring++] = (pxi_reservation){
        .peer = master->record.id,
        .probe = probe->probe,
        .module = probe->module,
        .until_ns = PXI_MUTANT (RESERVATION_FOREVER) ? UINT64_MAX : core->now_ns + RESERVATION_NS,
        .had_ns = pxi_share_had_before_ns (core, probe->job),
        .job = probe->job,
    };
    master->n_reservations++; /* it may be in no view of ours: without this it would be forgotten */
    claim (core, probe->job, 1);
    core->stats.reservations_made++;
    pxi_lease_lapse (core);
    return true;
}
