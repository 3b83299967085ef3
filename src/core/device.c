/* Devices: chunks of ranges for those of this peer, and for those of others.
 *
 * Each peer knows its own devices only: what runs on them, and from the times of what ran (rank.c) which of
 * its devices, or its slots, a task is for. For a range that is open here it chooses among its own, tells
 * the executor whether slots take part, and has a chunk cut for each device with a slot free. Peers that say
 * they have devices are asked by probe; they choose in the same way and offer a lease on one, or say busy, or
 * cannot, and are left alone for as long as they say. So nobody has a list of who has what, and a task that
 * copies more than it computes is refused by those who have found that out.
 *
 * A chunk that failed on a device, or that it had no room for, goes back, and is cut anew for whoever comes.
 * The device is not asked for a while, or never again for this task. One that computes what C does not
 * (exec compares) is quarantined by its own peer.
 *
 * A device has slots of its own, whether the peer is busy or not. Invariant: what is held of a device is held by
 * a lease, by a take for this peer's own job, or by a run; never more than it has slots, as they were when it
 * was held. */
#include <string.h>

#include "core/state.h"

enum {
    ASKED_MAX =
        16,    /* questions for devices under way for one job: a cluster with more is well served */
    AHEAD = 2, /* chunks of one range at a device: one is computed, the next is there */
    FAILED_DOUBLINGS = 6,
    NOT_BETTER_TIMES = 16, /* what a slot would take */
};
#define CANNOT_MIN_NS PXI_MS
#define FAILED_NS (100 * PXI_MS)
#define NOT_BETTER_NS                                                                              \
    (2 * PXI_SECOND) /* what a peer found not to be for its devices: hosts change */
#define BANNED_NS (60 * PXI_SECOND)
#define BUSY_MIN_NS PXI_MS
#define BUSY_MAX_NS (500 * PXI_MS)
#define QUEUE_MAX_NS (60 * PXI_SECOND)
#define LOST_NS (100 * PXI_MS)
#define TRIED_NS                                                                                   \
    (20 * PXI_MS) /* that slots rest for a trial, over what is expected of it, up to as much */

uint64_t pxi_device_key (uint64_t module, uint32_t task)
{
    return pxi_mix64 (module ^ pxi_mix64 (task + UINT64_C (1))) | 1;
}

/* ---- this peer's ------------------------------------------------------------------------------
 */

static pxi_device *find (const pxi_core *core, uint32_t device)
{
    bool known = core->devices && device >= 1 && device <= core->devices->n;
    return known ? &core->devices->all[device - 1] : NULL;
}

static uint32_t n_free (const pxi_device *device)
{
    if (PXI_MUTANT (DEVICE_OVERBOOKED))
        return PXI_DEVICE_SLOTS_MAX - device->n_held;
    bool has = device->look.usable && device->look.slots > device->n_held;
    return has ? device->look.slots - device->n_held : 0;
}

bool pxi_device_hold (pxi_core *core, uint32_t index, uint64_t key)
{
    pxi_device *device = find (core, index);
    if (!device || !n_free (device))
        return false;
    PXI_ASSERT (device->n_held < PXI_DEVICE_SLOTS_MAX);
    device->held[device->n_held++] = key;
    device->held_ns = core->now_ns;
    return true;
}

void pxi_device_release (pxi_core *core, uint32_t index, uint64_t key)
{
    pxi_device *device = find (core, index);
    PXI_ASSERT (device);
    uint32_t at = 0;
    while (at < device->n_held && device->held[at] != key)
        at++;
    PXI_ASSERT (at < device->n_held);
    device->held[at] = device->held[--device->n_held];
    core->seek_pending = true;
}

static uint32_t n_held_for (const pxi_device *device, uint64_t key)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < device->n_held; i++)
        n += device->held[i] == key;
    return n;
}

static void choose_all (pxi_core *core)
{
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        PXI_LIST_ENTRY (link, pxi_job, in_core)->range.choose = true;
    }
    core->seek_pending = true;
}

static void set_flag (pxi_core *core)
{
    bool any = false;
    for (uint32_t i = 0; core->devices && i < core->devices->n; i++)
        any |= core->devices->all[i].look.usable;
    core->self.flags &= (uint16_t)~PXI_PEER_DEVICES;
    core->self.flags |= any ? PXI_PEER_DEVICES : 0;
}

void pxi_device_all (pxi_core *core, const pxi_event *event)
{
    uint32_t n = event->n_devices < PXI_DEVICES_MAX ? event->n_devices : PXI_DEVICES_MAX;
    if (!core->devices && n)
        core->devices = pxi_core_alloc (core, sizeof *core->devices);
    pxi_devices *devices = core->devices;
    if (!devices)
        return;
    for (uint32_t i = 0; i < devices->n; i++)
        devices->all[i].look.usable = false;
    for (uint32_t i = 0; i < n; i++) {
        pxi_device_look *look = &devices->all[i].look;
        *look = event->devices[i];
        if (look->slots > PXI_DEVICE_SLOTS_MAX)
            look->slots = PXI_DEVICE_SLOTS_MAX;
    }
    devices->n = n > devices->n ? n : devices->n;
    set_flag (core);
    SAY (core, "%u devices here", n);
    choose_all (core);
}

static bool is_banned (const pxi_core *core, uint64_t key, uint32_t device)
{
    const pxi_devices *devices = core->devices;
    uint32_t n_max = sizeof devices->bans / sizeof *devices->bans;
    for (uint32_t i = 0; i < devices->n_bans && i < n_max; i++) {
        if (devices->bans[i].key == key && devices->bans[i].device == device)
            return true;
    }
    return false;
}

static void ban (pxi_core *core, uint64_t key, uint32_t device)
{
    pxi_devices *devices = core->devices;
    uint32_t n_max = sizeof devices->bans / sizeof *devices->bans;
    uint32_t at = devices->n_bans++ % n_max;
    devices->bans[at].key = key;
    devices->bans[at].device = device;
}

/* Slots first, then devices: 1 + n answers in `use`. */
static void choose (pxi_core *core, uint64_t key, uint64_t n_items, uint8_t *use)
{
    pxi_rank_choice choices[1 + PXI_DEVICES_MAX];
    uint32_t n = 1;
    memset (use, PXI_RANK_NO, 1 + PXI_DEVICES_MAX);
    use[0] = PXI_RANK_YES;
    choices[0] = (pxi_rank_choice){.count = core->self.slots};
    for (uint32_t i = 0; core->devices && i < core->devices->n; i++) {
        const pxi_device *device = &core->devices->all[i];
        if (device->look.usable && core->now_ns >= device->failed_until_ns &&
            !is_banned (core, key, i + 1))
            choices[n++] =
                (pxi_rank_choice){.device = i + 1, .count = 1, .processor = device->look.processor};
    }
    if (n == 1)
        return;
    pxi_rank_choose (&core->devices->rank, key, n_items, choices, n);
    for (uint32_t i = 0; i < n; i++)
        use[choices[i].device] = (uint8_t)choices[i].use;
}

/* How many slots of it may be taken now for this task. One trial at a time: what it says is waited for. */
static uint32_t n_useful (const pxi_device *device, uint64_t key, uint8_t use)
{
    uint32_t held = n_held_for (device, key), most = use == PXI_RANK_TRIAL ? 1 : AHEAD;
    uint32_t n = use == PXI_RANK_NO || held >= most ? 0 : most - held;
    return n < n_free (device) ? n : n_free (device);
}

/* What is known of its speed may be told; of a trial nothing is. */
static void tell_speed (const pxi_core *core, uint64_t key, uint32_t device, uint8_t use,
                        uint64_t *fixed_ns, uint64_t *item_cost)
{
    const pxi_speed *speed = pxi_rank_speed (&core->devices->rank, key, device);
    if (use != PXI_RANK_YES || !speed || !speed->item_cost)
        return;
    *fixed_ns = speed->fixed_ns;
    *item_cost = speed->item_cost;
}

/* A device of the slots' own processor has something. */
static bool is_disturbed (const pxi_core *core)
{
    bool any = false;
    for (uint32_t i = 0; core->devices && i < core->devices->n; i++)
        any |= core->devices->all[i].n_held && !core->devices->all[i].look.processor;
    return any;
}

static uint64_t run_key (const pxi_run *run)
{
    return pxi_device_key (run->spec.module, run->spec.task);
}

/* What it has, each as long as its like took: of what nothing is known nothing is told. */
static uint64_t queue_ns (const pxi_core *core, uint32_t index)
{
    uint64_t sum_ns = 0, first_ns = core->now_ns, ended_ns = find (core, index)->ended_ns;
    PXI_LIST_EACH (link, &core->all_runs)
    {
        const pxi_run *run = PXI_LIST_ENTRY (link, pxi_run, in_core);
        if (run->spec.device != index)
            continue;
        uint64_t ns = pxi_rank_ns (&core->devices->rank, run_key (run), index, run->spec.n_items);
        sum_ns += ns == UINT64_MAX ? 0 : ns < QUEUE_MAX_NS ? ns : QUEUE_MAX_NS;
        first_ns = run->started_ns < first_ns ? run->started_ns : first_ns;
    }
    uint64_t passed_ns = core->now_ns - (first_ns > ended_ns ? first_ns : ended_ns);
    return sum_ns > passed_ns ? sum_ns - passed_ns : 0;
}

/* It is known to do this better than all slots together do. */
static bool is_better (const pxi_core *core, const pxi_run *run)
{
    const pxi_rank *rank = &core->devices->rank;
    uint64_t key = run_key (run), n = run->spec.n_items;
    uint64_t slots_ns = pxi_rank_ns (rank, key, 0, n / core->self.slots + 1);
    return pxi_rank_ns (rank, key, run->spec.device, n) < slots_ns;
}

bool pxi_device_is_in_the_way (const pxi_core *core, pxi_job_id job)
{
    if (!is_disturbed (core))
        return false;
    PXI_LIST_EACH (link, &core->all_runs)
    {
        const pxi_run *run = PXI_LIST_ENTRY (link, pxi_run, in_core);
        const pxi_device *device = find (core, run->spec.device);
        if (device && device->look.processor == 0 && pxi_same_job (run->job->id, job) &&
            is_better (core, run))
            return true;
    }
    return false;
}

/* ---- what waits -------------------------------------------------------------------------------
 */

void pxi_device_surplus (pxi_core *core, pxi_job *job, uint32_t task, uint64_t n_items)
{
    bool other = job->range.task != task;
    job->range.task = task;
    job->range.n_items = n_items;
    if (!n_items)
        return;
    job->range.choose = true;
    job->range.told &= !other && job->range.told_use != PXI_RANK_TRIAL;
    pxi_device_moved (core, job);
}

void pxi_device_moved (pxi_core *core, pxi_job *job)
{
    job->range.moves++;
    job->range.vain = 0;
    core->seek_pending |= job->range.n_items > 0;
}

/* Slots that execute something, of whichever job. */
static uint32_t n_active (const pxi_core *core)
{
    uint32_t n = 0;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        n += PXI_LIST_ENTRY (link, pxi_job, in_core)->active;
    }
    return n < core->self.slots ? n : core->self.slots;
}

/* Slots and a device of one processor each take from the other. The time of either is taken for what it would be
 * alone: if that was too good, it is chosen, has the processor to itself, and is found out. What was done beside
 * the other is learned all the same, or a trial would never end. */
static uint64_t alone_ns (const pxi_core *core, uint64_t run_ns)
{
    uint64_t slots = core->self.slots;
    return run_ns / (slots + n_active (core)) * slots;
}

/* What its slots did for whomever. */
void pxi_device_slot_did (pxi_core *core, pxi_job *job, uint32_t task, uint64_t n_items,
                          uint64_t run_ns)
{
    PXI_ASSERT (n_items > 0);
    pxi_straggler_chunk (job, n_items, run_ns);
    job->work_ns += run_ns;
    if (core->devices) {
        uint64_t key = pxi_device_key (job->module, task);
        job->range.choose |= !pxi_rank_speed (&core->devices->rank, key, 0);
        pxi_rank_learn (&core->devices->rank, key, 0, n_items,
                        is_disturbed (core) ? alone_ns (core, run_ns) : run_ns);
    }
    pxi_device_moved (core, job);
}

static void wake_at (pxi_core *core, uint64_t at_ns)
{
    if (!pxi_timer_is_set (&core->device_timer) || core->device_timer.node.deadline > at_ns)
        pxi_timer_set (core, &core->device_timer, PXI_TIMER_DEVICE, core, at_ns);
}

/* An attempt of ours that runs here counts twice: as what is away, and as what is here. */
static bool has_room (const pxi_core *core)
{
    return core->n_attempts + core->n_runs + 2 <= core->config.attempts_max;
}

/* How many of its slots may be taken for the range. */
static uint32_t can_take (const pxi_core *core, const pxi_job *job, uint64_t key, uint32_t index)
{
    bool vain = job->range.vain & 1u << index;
    if (vain || core->host_busy || !has_room (core))
        return 0;
    return n_useful (find (core, index), key, job->range.use[index]);
}

/* A trial on the slots' own processor says something only while they rest. But they do not wait for a kernel to
 * be compiled, nor for a trial that takes much longer than it should. */
static bool is_tried_alone (pxi_core *core, const pxi_job *job, uint64_t key, uint32_t index)
{
    const pxi_device *device = find (core, index);
    const pxi_speed *speed = pxi_rank_speed (&core->devices->rank, key, index);
    if (device->look.processor || !speed)
        return false;
    if (!n_held_for (device, key))
        return can_take (core, job, key, index) != 0;
    bool expected = speed->item_cost && device->busy_until_ns > device->held_ns;
    uint64_t takes_ns = expected ? device->busy_until_ns - device->held_ns : 0;
    uint64_t until_ns = device->held_ns + TRIED_NS + (takes_ns < TRIED_NS ? takes_ns : TRIED_NS);
    if (core->now_ns >= until_ns)
        return false;
    wake_at (core, until_ns);
    return true;
}

static pxi_rank_use slots_use (pxi_core *core, const pxi_job *job, uint64_t key)
{
    for (uint32_t i = 1; core->devices && i <= core->devices->n; i++) {
        if (job->range.use[i] == PXI_RANK_TRIAL && is_tried_alone (core, job, key, i))
            return PXI_RANK_NO;
    }
    return (pxi_rank_use)job->range.use[0];
}

static void tell_slots (pxi_core *core, pxi_job *job, pxi_rank_use use)
{
    if (job->range.told && job->range.told_use == use)
        return;
    job->range.told = true;
    job->range.told_use = use;
    job->range.told_ns = core->now_ns;
    pxi_action *action = pxi_core_act (core, PXI_DO_RANGE);
    action->job = job->id;
    action->task = job->range.task;
    action->count = use;
    SAY (core, "range of t%u -> slots %s", job->range.task,
         use == PXI_RANK_NO      ? "leave it to devices"
         : use == PXI_RANK_TRIAL ? "try it"
                                 : "take part");
}

/* What slots have when they are told to rest is waited for, for a while, before the trial begins. */
static bool waits_for_slots (pxi_core *core, const pxi_job *job, uint64_t key, uint32_t index)
{
    uint64_t until_ns = job->range.told_ns + TRIED_NS;
    if (job->range.use[index] != PXI_RANK_TRIAL || job->range.told_use != PXI_RANK_NO ||
        !is_tried_alone (core, job, key, index) || !n_active (core) || core->now_ns >= until_ns)
        return false;
    wake_at (core, until_ns);
    return true;
}

static bool take_for (pxi_core *core, pxi_job *job, uint64_t key, uint32_t index)
{
    pxi_action *action;
    const pxi_take what = {.n_slots = 1, .device = index, .device_key = key};
    if (!pxi_device_hold (core, index, key))
        return false;
    if (!pxi_place_take (core, job, &what, &action)) {
        pxi_device_release (core, index, key);
        return false;
    }
    action->task = job->range.task;
    action->memory_bytes = find (core, index)->look.memory_bytes;
    action->queue_ns = queue_ns (core, index);
    tell_speed (core, key, index, job->range.use[index], &action->fixed_ns, &action->item_cost);
    return true;
}

static void take_all (pxi_core *core, pxi_job *job, uint64_t key, uint32_t index)
{
    bool more = !waits_for_slots (core, job, key, index);
    while (more && can_take (core, job, key, index))
        more = take_for (core, job, key, index);
}

static void use_own (pxi_core *core, pxi_job *job)
{
    uint64_t key = pxi_device_key (job->module, job->range.task);
    if (job->range.choose)
        choose (core, key, job->range.n_items, job->range.use);
    job->range.choose = false;
    tell_slots (core, job, slots_use (core, job, key));
    for (uint32_t i = 1; core->devices && i <= core->devices->n; i++)
        take_all (core, job, key, i);
}

/* ---- elsewhere --------------------------------------------------------------------------------
 */

static pxi_device_peer *known_of (pxi_core *core, pxi_peer *peer)
{
    if (!peer->devices)
        peer->devices = pxi_core_alloc (core, sizeof *peer->devices);
    return peer->devices;
}

void pxi_device_free_peer (pxi_core *core, pxi_peer *peer)
{
    pxi_core_release (core, peer->devices, sizeof *peer->devices);
    peer->devices = NULL;
}

void pxi_device_timer (pxi_core *core)
{
    choose_all (core);
}

/* The one that lapses first makes room. */
static void refuse_until (pxi_core *core, pxi_peer *peer, uint64_t key, uint64_t until_ns)
{
    pxi_device_peer *known = known_of (core, peer);
    if (!known)
        return;
    uint32_t n_max = sizeof known->refused / sizeof *known->refused, at = 0;
    while (at < known->n_refused && known->refused[at].key != key)
        at++;
    for (uint32_t i = 0; at == n_max && i < n_max; i++)
        at = i && known->refused[i].until_ns >= known->refused[at % n_max].until_ns ? at : i;
    known->n_refused += at == known->n_refused;
    known->refused[at].key = key;
    known->refused[at].until_ns = until_ns;
    wake_at (core, until_ns);
}

static bool is_refused (const pxi_core *core, const pxi_device_peer *known, uint64_t key)
{
    for (uint32_t i = 0; i < known->n_refused; i++) {
        if (known->refused[i].key == key)
            return core->now_ns < known->refused[i].until_ns;
    }
    return false;
}

static bool may_ask (const pxi_core *core, const pxi_job *job, const pxi_peer *peer, uint64_t key)
{
    const pxi_device_peer *known = peer->devices;
    if (!(peer->record.flags & PXI_PEER_DEVICES) || peer->unresponsive || peer->leaving ||
        !pxi_view_fits (core, peer, job->module))
        return false;
    bool vain =
        known && known->vain_moves == job->range.moves && pxi_same_job (known->vain_job, job->id);
    bool full = known && known->room && known->n_chunks >= known->room;
    return !known || (!known->n_questions && !vain && !full && !is_refused (core, known, key));
}

static void ask (pxi_core *core, pxi_job *job, pxi_peer *peer, uint64_t key)
{
    pxi_device_peer *known = known_of (core, peer);
    pxi_probe *probe = known ? pxi_place_question (core, job, peer) : NULL;
    if (!probe)
        return;
    probe->device_key = key;
    known->n_questions++;
    job->range.n_asked++;
    pxi_message *message = pxi_core_send (core, peer, PXI_PROBE);
    message->probe = probe->id;
    message->job = job->id;
    message->module = job->module;
    message->n_slots = AHEAD;
    message->for_device = true;
    message->task = job->range.task;
    message->n_items = job->range.n_items;
    SAY (core, "range of t%u -> probe p%llu for a device to %s", job->range.task,
         (unsigned long long)probe->id, pxi_core_name (peer));
}

static void ask_others (pxi_core *core, pxi_job *job)
{
    uint64_t key = pxi_device_key (job->module, job->range.task);
    uint32_t n_can = 0;
    for (uint32_t i = 0; i < core->n_view; i++)
        n_can += may_ask (core, job, core->view[i], key);
    if (!n_can)
        return;
    uint32_t from = (uint32_t)pxi_prng_below (&core->prng, core->n_view);
    for (uint32_t i = 0; i < core->n_view && job->range.n_asked < ASKED_MAX; i++) {
        pxi_peer *peer = core->view[(from + i) % core->n_view];
        if (pxi_branch_room (core) && may_ask (core, job, peer, key))
            ask (core, job, peer, key);
    }
}

void pxi_device_seek (pxi_core *core, pxi_job *job)
{
    if (core->now_ns < job->short_until_ns)
        return;
    use_own (core, job);
    ask_others (core, job);
}

void pxi_device_count_there (pxi_peer *peer, int32_t change)
{
    PXI_ASSERT (change > 0 || peer->devices->n_chunks > 0);
    peer->devices->n_chunks += (uint32_t)change;
}

void pxi_device_refused_there (pxi_core *core, pxi_peer *peer, const pxi_attempt *spec)
{
    refuse_until (core, peer, pxi_device_key (spec->module, spec->task), core->now_ns + FAILED_NS);
}

/* ---- answers of others ------------------------------------------------------------------------
 */

static bool is_wrong (const pxi_peer *peer, uint32_t device)
{
    return peer->devices && peer->devices->wrong >> device & 1;
}

static void tell_wrong (pxi_core *core, const pxi_peer *peer, uint32_t device, uint64_t lease)
{
    pxi_message *message = pxi_core_send (core, peer, PXI_DECLINE);
    message->device = device;
    message->lease = lease;
    SAY (core, "device %u of %s computes what C does not -> told, not asked again", device,
         pxi_core_name (peer));
}

static void use_lease (pxi_core *core, pxi_job *job, pxi_peer *from, const pxi_message *offer)
{
    pxi_action *action;
    if (is_wrong (from, offer->device)) {
        tell_wrong (core, from, offer->device, offer->lease);
        return;
    }
    uint64_t trip_ns = pxi_view_trip_ns (from);
    const pxi_take what = {
        .lease = offer->lease,
        .peer = from,
        .n_slots = offer->n_slots < PXI_DISPATCH_MAX ? offer->n_slots : PXI_DISPATCH_MAX,
        .device = offer->device,
        .until_ns = core->now_ns + offer->duration_ns -
                    (offer->duration_ns > trip_ns ? trip_ns : offer->duration_ns),
    };
    bool wanted = job && job->range.n_items && !from->leaving && core->n_takes < PXI_LEASES_MAX;
    pxi_device_peer *known = wanted ? known_of (core, from) : NULL;
    if (!known || !pxi_place_take (core, job, &what, &action)) {
        pxi_place_decline (core, from, offer->job, offer->lease, 0);
        return;
    }
    known->n_questions++;
    if (known->n_chunks + offer->n_slots > known->room)
        known->room = 0;
    action->task = job->range.task;
    action->fixed_ns = offer->fixed_ns;
    action->item_cost = offer->item_cost;
    action->queue_ns = offer->queue_ns;
    action->memory_bytes = offer->memory_bytes;
}

/* message NULL: there is no answer. An offer that answers nothing comes too late. */
void pxi_device_answered (pxi_core *core, pxi_peer *from, pxi_probe *probe,
                          const pxi_message *message)
{
    if (!probe || !probe->device_key) {
        if (message && message->lease)
            pxi_place_decline (core, from, message->job, message->lease, 0);
        return;
    }
    uint64_t key = probe->device_key;
    pxi_job *job = pxi_worker_find_job (core, probe->job);
    if (job)
        job->range.n_asked -= job->range.n_asked > 0;
    from->devices->n_questions--;
    pxi_place_question_free (core, probe);
    core->seek_pending = true;
    if (message && message->kind == PXI_OFFER && message->device) {
        use_lease (core, job, from, message);
        return;
    }
    uint64_t pause_ns = message ? message->duration_ns : LOST_NS;
    bool ours = message && message->kind == PXI_BUSY && from->devices->n_chunks;
    if (ours) /* with what it has of us: the end of one of these says more than any time */
        from->devices->room = from->devices->n_chunks;
    else
        refuse_until (core, from, key,
                      core->now_ns + (pause_ns > CANNOT_MIN_NS ? pause_ns : CANNOT_MIN_NS));
    if (message && message->lease) /* of slots: it does not know what was asked for */
        pxi_place_decline (core, from, message->job, message->lease, 0);
    SAY (core, "%s has no device for this now -> not asked again soon", pxi_core_name (from));
}

/* ---- what was cut for a device ----------------------------------------------------------------
 */

static bool run_here (pxi_core *core, pxi_job *job, pxi_subtask *subtask, uint32_t device)
{
    pxi_attempt_state *attempt = pxi_branch_attempt (core, subtask, NULL, false);
    if (!attempt)
        return false;
    pxi_attempt spec = subtask->spec;
    spec.device = attempt->device = device;
    pxi_run *run = pxi_worker_run (core, job, NULL, &spec);
    if (!run) {
        pxi_branch_attempt_free (core, attempt);
        return false;
    }
    run->redo = attempt;
    attempt->local = run->id;
    subtask->state = SUBTASK_AWAY;
    SAY (core, "s%llu.%u -> device %u here", (unsigned long long)subtask->id, attempt->number,
         device);
    return true;
}

static void taken_here (pxi_core *core, pxi_job *job, const pxi_take *take, const pxi_event *event)
{
    bool vain = true;
    for (uint32_t i = 0; i < event->n_taken; i++) {
        pxi_subtask *subtask = pxi_branch_subtask (core, job, &event->taken[i]);
        bool fits = subtask && i == 0 && subtask->spec.n_items;
        vain &= !(fits && run_here (core, job, subtask, take->device));
        if (subtask && pxi_list_is_empty (&subtask->attempts))
            pxi_branch_give_back (core, subtask);
    }
    if (vain)
        job->range.vain |= 1u << take->device;
}

static bool send_there (pxi_core *core, pxi_subtask *subtask, const pxi_take *take,
                        pxi_attempt *spec)
{
    bool fits =
        pxi_place_still_there (take) && subtask->spec.n_items && !pxi_branch_full (subtask->branch);
    pxi_attempt_state *attempt =
        fits ? pxi_branch_attempt (core, subtask, take->peer, false) : NULL;
    if (!attempt) {
        pxi_branch_give_back (core, subtask);
        return false;
    }
    attempt->device = take->device;
    pxi_device_count_there (take->peer, 1);
    attempt->late = core->now_ns >= take->until_ns;
    subtask->state = SUBTASK_AWAY;
    *spec = subtask->spec;
    spec->device = take->device;
    SAY (core, "device %u of %s free -> s%llu.%u sent", take->device, pxi_core_name (take->peer),
         (unsigned long long)subtask->id, attempt->number);
    return true;
}

static void taken_there (pxi_core *core, pxi_job *job, const pxi_take *take, const pxi_event *event)
{
    pxi_attempt *specs = pxi_core_scratch (core, PXI_DISPATCH_MAX * sizeof *specs);
    uint32_t n = 0;
    for (uint32_t i = 0; i < event->n_taken; i++) {
        pxi_subtask *subtask = pxi_branch_subtask (core, job, &event->taken[i]);
        if (subtask && specs && n < take->n_slots)
            n += send_there (core, subtask, take, &specs[n]);
        else if (subtask)
            pxi_branch_give_back (core, subtask);
    }
    if (!n) {
        take->peer->devices->vain_job = job->id;
        take->peer->devices->vain_moves = job->range.moves;
        if (pxi_place_still_there (take))
            pxi_place_decline (core, take->peer, job->id, take->lease, 0);
        return;
    }
    pxi_message *message = pxi_core_send (core, take->peer, PXI_DISPATCH);
    message->lease = take->lease;
    message->attempts = specs;
    message->n_attempts = n;
}

/* What is told of the range is as old as its last SURPLUS; what was cut since is known here. */
static void count_off (pxi_job *job, const pxi_event *event)
{
    for (uint32_t i = 0; i < event->n_taken; i++) {
        uint64_t n = event->taken[i].attempt.n_items;
        job->range.n_items -= n < job->range.n_items ? n : job->range.n_items;
    }
}

void pxi_device_taken (pxi_core *core, pxi_job *job, const pxi_take *take, const pxi_event *event)
{
    if (take->peer)
        take->peer->devices->n_questions--;
    else
        pxi_device_release (core, take->device, take->device_key);
    core->seek_pending = true;
    if (!job)
        return;
    count_off (job, event);
    if (take->peer)
        taken_there (core, job, take, event);
    else
        taken_here (core, job, take, event);
}

/* ---- runs on this peer's ----------------------------------------------------------------------
 */

void pxi_device_begins (pxi_core *core, const pxi_run *run)
{
    pxi_device *device = find (core, run->spec.device);
    uint64_t ns =
        pxi_rank_ns (&core->devices->rank, run_key (run), run->spec.device, run->spec.n_items);
    uint64_t from_ns = device->busy_until_ns > core->now_ns ? device->busy_until_ns : core->now_ns;
    device->busy_until_ns = from_ns + (ns < BUSY_MAX_NS ? ns : BUSY_MAX_NS);
}

static void failed (pxi_core *core, const pxi_run *run, const pxi_event *event)
{
    pxi_device *device = find (core, run->spec.device);
    uint32_t doublings =
        device->n_failed < FAILED_DOUBLINGS ? device->n_failed++ : FAILED_DOUBLINGS;
    if (event->device_banned) {
        ban (core, run_key (run), run->spec.device);
        device->n_failed = 0;
    } else {
        device->failed_until_ns = core->now_ns + (FAILED_NS << doublings);
        wake_at (core, device->failed_until_ns);
    }
    SAY (core, "s%llu.%u failed on device %u -> %s", (unsigned long long)run->spec.key.subtask,
         run->spec.key.attempt, run->spec.device,
         event->device_banned ? "never again for this task" : "not tried for a while");
}

/* Whatever it says of the chunk; where it goes is the caller's. */
void pxi_device_finished (pxi_core *core, const pxi_run *run, const pxi_event *event)
{
    pxi_device *device = find (core, run->spec.device);
    if (!device)
        return;
    run->job->range.choose = true;
    device->ended_ns = core->now_ns;
    if (event->device_failed) {
        failed (core, run, event);
        return;
    }
    if (run->stopped)
        return;
    if (device->n_held == 1)
        device->busy_until_ns = core->now_ns;
    if (event->result != PXI_RESULT_OK)
        return;
    device->n_failed = 0;
    if (event->first)
        pxi_rank_ready (&core->devices->rank, run_key (run), run->spec.device);
    else
        pxi_rank_learn (&core->devices->rank, run_key (run), run->spec.device, run->spec.n_items,
                        device->look.processor ? event->run_ns : alone_ns (core, event->run_ns));
}

/* ---- a device computes what C does not ----------------------------------------------------------
 */

static void quarantine (pxi_core *core, uint32_t index, uint64_t told_by)
{
    pxi_device *device = find (core, index);
    if (!device || !device->look.usable)
        return;
    device->look.usable = false;
    set_flag (core);
    pxi_action *action = pxi_core_act (core, PXI_DO_QUARANTINE);
    action->device = index;
    action->peer = told_by;
    SAY (core, "device %u here computes what C does not -> quarantined", index);
    choose_all (core);
}

void pxi_device_wrong (pxi_core *core, const pxi_event *event)
{
    pxi_peer *peer = pxi_view_find (core, event->peer);
    if (event->peer == core->self.id) {
        quarantine (core, event->device, core->self.id);
    } else if (peer && event->device >= 1 && event->device <= PXI_DEVICES_MAX &&
               known_of (core, peer)) {
        peer->devices->wrong |= UINT64_C (1) << event->device;
        tell_wrong (core, peer, event->device, 0);
    }
}

void pxi_device_declined (pxi_core *core, const pxi_peer *from, uint32_t device)
{
    quarantine (core, device, from->record.id);
}

/* ---- serving ----------------------------------------------------------------------------------
 */

static void offer (pxi_core *core, pxi_peer *from, const pxi_message *probe, uint32_t index,
                   uint8_t use, uint64_t key)
{
    const pxi_device *device = find (core, index);
    uint32_t n = n_useful (device, key, use), n_slots = 0;
    n = n < probe->n_slots ? n : probe->n_slots;
    while (n_slots < n && pxi_device_hold (core, index, key))
        n_slots++;
    pxi_lease *lease = n_slots ? pxi_lease_give_device (core, from, index, key, n_slots) : NULL;
    if (!lease) {
        while (n_slots--)
            pxi_device_release (core, index, key);
        pxi_worker_busy (core, from, probe, false, BUSY_MAX_NS);
        return;
    }
    pxi_worker_flush (core);
    pxi_message *message = pxi_core_send (core, from, PXI_OFFER);
    message->probe = probe->probe;
    message->job = probe->job;
    message->lease = lease->id;
    message->n_slots = n_slots;
    message->duration_ns = pxi_lease_ttl_ns (core, from);
    message->device = index;
    message->device_class = device->look.class;
    message->memory_bytes = device->look.memory_bytes;
    message->queue_ns = queue_ns (core, index);
    tell_speed (core, key, index, use, &message->fixed_ns, &message->item_cost);
    SAY (core, "probe from %s for a device -> device %u, %u slots leased", pxi_core_name (from),
         index, n_slots);
}

/* Until one of its slots may be free. */
static uint64_t busy_for_ns (const pxi_core *core, const pxi_device *device)
{
    uint64_t left_ns =
        device->busy_until_ns > core->now_ns ? device->busy_until_ns - core->now_ns : 0;
    uint64_t ns = left_ns / (device->n_held ? device->n_held : 1);
    return ns < BUSY_MIN_NS ? BUSY_MIN_NS : ns < BUSY_MAX_NS ? ns : BUSY_MAX_NS;
}

/* What it is not for now: of little that says nothing of much, which may come soon. */
static uint64_t not_better_ns (const pxi_core *core, uint64_t key, uint64_t n_items)
{
    uint64_t slots_ns = pxi_rank_ns (&core->devices->rank, key, 0, n_items);
    return slots_ns < NOT_BETTER_NS / NOT_BETTER_TIMES ? slots_ns * NOT_BETTER_TIMES
                                                       : NOT_BETTER_NS;
}

/* The first with room of those that the task is for; where all are busy, until one may be free. */
static void answer (pxi_core *core, pxi_peer *from, const pxi_message *probe)
{
    uint64_t key = pxi_device_key (probe->module, probe->task), busy_ns = UINT64_MAX;
    uint8_t use[1 + PXI_DEVICES_MAX];
    choose (core, key, probe->n_items, use);
    for (uint32_t i = 1; i <= core->devices->n; i++) {
        const pxi_device *device = find (core, i);
        if (use[i] == PXI_RANK_NO)
            continue;
        if (n_useful (device, key, use[i])) {
            offer (core, from, probe, i, use[i], key);
            return;
        }
        uint64_t ns = busy_for_ns (core, device);
        busy_ns = ns < busy_ns ? ns : busy_ns;
    }
    if (busy_ns != UINT64_MAX) {
        pxi_worker_busy (core, from, probe, false, busy_ns);
        return;
    }
    bool any = false, banned = true;
    for (uint32_t i = 1; i <= core->devices->n; i++) {
        any |= find (core, i)->look.usable;
        banned &= !find (core, i)->look.usable || is_banned (core, key, i);
    }
    pxi_worker_cannot (core, from, probe, PX_ENOBODY,
                       any && banned ? BANNED_NS : not_better_ns (core, key, probe->n_items));
}

void pxi_device_asked (pxi_core *core, pxi_peer *from, const pxi_message *probe)
{
    if (!core->devices || !probe->n_items)
        pxi_worker_cannot (core, from, probe, PX_ENOBODY, BANNED_NS);
    else if (core->host_busy)
        pxi_worker_busy (core, from, probe, false, BUSY_MAX_NS);
    else
        answer (core, from, probe);
}
