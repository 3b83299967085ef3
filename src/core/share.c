/* Slots among jobs: what is busy, who gets what comes free.
 *
 * Slots are what a peer has to give. A job that is here may use `allowed` of them: its executor's
 * threads take and leave slots below that without asking, so local work costs no message. used =
 * threads that execute plus runs that were handed down and not yet taken up; free = slots - used -
 * leased.
 *
 * Sharing: every job here and every reservation of a job that is not (or wants more) is a claimant;
 * slots are dealt one at a time until demands are met (max-min fairness), and where the last ones do
 * not divide, to who has had the least slot time here. Who holds such a slot keeps it until it is
 * half a quantum ahead of the next; who is new, or wanted nothing, begins where the least served one
 * is: with a credit, a stream of new jobs would starve it (as the virtual run time of Linux' CFS, and
 * start-time fair queueing, Goyal and others, SIGCOMM 1996). An executor over its allowance yields
 * at the next task boundary. What is left over is lent to the jobs that are here, so that they can
 * grow without asking.
 *
 * Invariants: no more slots are allowed or leased than there are, but for one of each root;
 * had_floor_ns never falls. */
#include "core/state.h"

enum {
    CLAIMANTS_MAX = PXI_JOBS_MAX + PXI_RESERVATIONS_MAX,
    CHARGE_QUANTA = 4,  /* longest time charged at once: a peer that was paused served nobody */
    VAIN_LOOKS = 2,     /* half quanta between the turns of two jobs */
    AHEAD_MAX = 64,     /* attempts of a job here, with those that come before their slot is free */
    LOOK_DOUBLINGS = 3, /* CHARGE_QUANTA from look to look: so nothing goes uncharged */
};
#define FULL_OVER_NS PXI_SECOND
#define AHEAD_NS PXI_MS /* what comes before its slot is free waits no longer */

/* ---- slot time ---------------------------------------------------------------------------------
 */

/* Slot time up to now, before anything of it changes. */
static void charge (pxi_core *core)
{
    uint64_t passed_ns = core->now_ns - core->charged_ns;
    uint64_t most_ns = CHARGE_QUANTA * core->config.quantum_ns;
    passed_ns = passed_ns < most_ns ? passed_ns : most_ns;
    core->charged_ns = core->now_ns;
    if (!passed_ns)
        return;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        pxi_job *job = PXI_LIST_ENTRY (link, pxi_job, in_core);
        job->had_ns += job->active * passed_ns;
    }
}

/* One entry per job: what it had before is in had_ns already. */
void pxi_share_keep (pxi_core *core, const pxi_job *job)
{
    charge (core);
    uint32_t at = core->n_former % FORMER_MAX;
    for (uint32_t i = 0; i < FORMER_MAX; i++) {
        if (pxi_same_job (job->id, core->former[i].id))
            at = i;
    }
    core->n_former += at == core->n_former % FORMER_MAX;
    core->former[at] = (pxi_former){job->id, job->had_ns, job->nests};
}

/* ---- busy or free ------------------------------------------------------------------------------
 */

static uint32_t busy_of (const pxi_job *job)
{
    uint64_t not_taken_up = job->runs_sent - job->runs_echoed;
    return job->active + (uint32_t)(not_taken_up < job->n_runs ? not_taken_up : job->n_runs);
}

static uint32_t slots_used (const pxi_core *core)
{
    uint32_t used = 0;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        used += busy_of (PXI_LIST_ENTRY (link, pxi_job, in_core));
    }
    return used;
}

/* Slots for which there is no room for an attempt are not free: what came would only go back, and come again. */
static uint32_t with_room (const pxi_core *core, uint32_t n_slots)
{
    uint64_t held = (uint64_t)core->n_attempts + core->n_runs + core->slots_leased;
    uint64_t room = held < core->config.attempts_max ? core->config.attempts_max - held : 0;
    return n_slots < room ? n_slots : (uint32_t)room;
}

uint32_t pxi_share_free (const pxi_core *core)
{
    uint32_t taken = slots_used (core) + core->slots_leased;
    return taken < core->self.slots ? with_room (core, core->self.slots - taken) : 0;
}

/* Short attempts of a job that is here come while others of it are being done, so that its slots are not idle
 * for a round trip after each batch. Where anybody else wants them, they are busy; and where nothing of the
 * job has come or ended for a while, its attempts are not as short as its master thinks. */
bool pxi_share_ahead (pxi_core *core, const pxi_message *probe)
{
    const pxi_job *job = pxi_worker_find_job (core, probe->job);
    if (!job || !probe->has_inline || !probe->duration_ns || core->n_ring ||
        job->n_runs >= AHEAD_MAX)
        return false;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        const pxi_job *other = PXI_LIST_ENTRY (link, pxi_job, in_core);
        if (other != job && busy_of (other) + other->wanted > 0)
            return false;
    }
    uint64_t moved_ns = job->run_ns > job->ended_ns ? job->run_ns : job->ended_ns;
    return core->now_ns - moved_ns < AHEAD_NS &&
           job->n_runs * probe->duration_ns < AHEAD_NS * core->self.slots;
}

uint32_t pxi_share_free_soon (const pxi_core *core, const pxi_job *job)
{
    bool others_wait = busy_of (job) > job->active; /* runs that came with it */
    if (core->n_ring || core->draining || core->host_busy || job->surplus || others_wait)
        return 0;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        if (PXI_LIST_ENTRY (link, pxi_job, in_core)->wanted)
            return 0;
    }
    return pxi_share_free (core) + (job->active > 0);
}

uint32_t pxi_share_unheld (const pxi_core *core)
{
    uint32_t held = core->slots_leased;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        held += PXI_LIST_ENTRY (link, pxi_job, in_core)->active;
    }
    return held < core->self.slots ? core->self.slots - held : 0;
}

/* ---- slot time of who comes and goes ---- */

/* Time that a job did not want is not owed to it. */
static void raise_floor (pxi_core *core)
{
    uint64_t least_ns = UINT64_MAX;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        const pxi_job *job = PXI_LIST_ENTRY (link, pxi_job, in_core);
        bool wants = busy_of (job) + job->wanted + job->claims > 0;
        if (wants && job->had_ns < least_ns)
            least_ns = job->had_ns;
    }
    if (least_ns != UINT64_MAX && least_ns > core->had_floor_ns)
        core->had_floor_ns = least_ns;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        pxi_job *job = PXI_LIST_ENTRY (link, pxi_job, in_core);
        if (job->had_ns < core->had_floor_ns)
            job->had_ns = core->had_floor_ns;
    }
}

static const pxi_former *former_of (const pxi_core *core, pxi_job_id id)
{
    for (uint32_t i = 0; i < FORMER_MAX; i++) {
        if (pxi_same_job (core->former[i].id, id))
            return &core->former[i];
    }
    return NULL;
}

/* Slot time that a job which is not here has had: what was kept of it, or a newcomer's. */
uint64_t pxi_share_had_before_ns (pxi_core *core, pxi_job_id id)
{
    charge (core);
    raise_floor (core);
    const pxi_former *former = former_of (core, id);
    return former && former->had_ns > core->had_floor_ns ? former->had_ns : core->had_floor_ns;
}

void pxi_share_remember (pxi_core *core, pxi_job *job)
{
    const pxi_former *former = former_of (core, job->id);
    job->had_ns = pxi_share_had_before_ns (core, job->id);
    job->nests = job->heard_of = former && former->nests;
}

/* How much of the time all slots are others': a sample of how it is elsewhere. Time with a job of our
 * own is none. */
static void note_full (pxi_core *core)
{
    uint64_t passed_ns = core->now_ns - core->full_ns;
    int64_t now = core->was_full ? PXI_SHARE_ONE : 0;
    core->full_ns = core->now_ns;
    if (!core->had_root)
        core->full_share += (int32_t)((now - core->full_share) * (int64_t)passed_ns /
                                      (int64_t)(passed_ns + FULL_OVER_NS));
    core->was_full = !pxi_share_free (core);
    core->had_root = false;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        core->had_root |= PXI_LIST_ENTRY (link, pxi_job, in_core)->root != 0;
    }
}

/* One who wants slots: a job that is here, or the job of a reservation. */
typedef struct claimant {
    pxi_job *job; /* NULL: not here */
    pxi_job_id id;
    uint32_t demand, claims, fill;
    uint64_t had_ns;
} claimant;

/* A subtask that rides in a question may come back at once: the slot it would then have is not lent
 * meanwhile. Else peers with one subtask each lend each other their slots in turn, for ever. */
static uint32_t demand_of (const pxi_job *job)
{
    return busy_of (job) + job->wanted + job->n_riding;
}

static uint32_t claimants (pxi_core *core, claimant *all)
{
    uint32_t n = 0;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        pxi_job *job = PXI_LIST_ENTRY (link, pxi_job, in_core);
        if (n < PXI_JOBS_MAX)
            all[n++] = (claimant){job, job->id, demand_of (job), job->claims, 0, job->had_ns};
    }
    uint32_t n_here = n;
    for (uint32_t i = 0; i < core->n_ring; i++) {
        pxi_job_id id = core->ring[i].job;
        if (pxi_worker_find_job (core, id))
            continue; /* counted in its claims */
        uint32_t at = n_here;
        while (at < n && !pxi_same_job (all[at].id, id))
            at++;
        if (at == n)
            all[n++] = (claimant){NULL, id, 0, 0, 0, core->ring[i].had_ns};
        all[at].claims++;
    }
    return n;
}

/* Least served first; who has a slot beyond the even share holds on to it for a while. */
static uint64_t rank_ns (const pxi_core *core, const claimant *one, uint32_t n)
{
    bool holds = one->job && one->job->active > core->self.slots / n;
    uint64_t hold_ns = core->config.quantum_ns / 2;
    return one->had_ns + (holds ? 0 : hold_ns);
}

static void sort (const pxi_core *core, claimant *all, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        claimant one = all[i];
        uint32_t at = i;
        for (; at && rank_ns (core, &one, n) < rank_ns (core, &all[at - 1], n); at--)
            all[at] = all[at - 1];
        all[at] = one;
    }
}

/* Slots for runs that have just come and that no thread has taken up. Not for long: a run that waits
 * behind others of its job, because the job has had its share, keeps nobody else from theirs. */
static uint32_t promised (const pxi_core *core, const pxi_job *job)
{
    bool just_come = job && core->now_ns - job->run_ns < core->config.quantum_ns;
    return just_come ? busy_of (job) - job->active : 0;
}

/* Deal `n_slots` in order, after those that are promised. True when not all demands could be met. */
static bool deal (const pxi_core *core, claimant *all, uint32_t n, uint32_t *n_slots)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t first = promised (core, all[i].job);
        all[i].fill = first < *n_slots ? first : *n_slots;
        *n_slots -= all[i].fill;
    }
    bool dealt = true;
    while (dealt && *n_slots) {
        dealt = false;
        for (uint32_t i = 0; i < n && *n_slots; i++) {
            claimant *one = &all[i];
            if (one->fill >= one->demand + one->claims)
                continue;
            one->fill++;
            --*n_slots;
            dealt = true;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (all[i].fill < all[i].demand + all[i].claims)
            return true;
    }
    return false;
}

static bool granted (const claimant *all, uint32_t n, pxi_job_id id)
{
    for (uint32_t i = 0; i < n; i++) {
        if (pxi_same_job (all[i].id, id))
            return all[i].fill > all[i].demand;
    }
    return false;
}

/* Slots that nobody holds or has been promised. Runs that have waited longer count as taken to those who only ask;
 * who is due has them while they wait. */
static uint32_t free_for_due (const pxi_core *core)
{
    uint32_t held = core->slots_leased;
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        const pxi_job *job = PXI_LIST_ENTRY (link, pxi_job, in_core);
        held += job->active + promised (core, job);
    }
    return held < core->self.slots ? core->self.slots - held : 0;
}

/* Of the free ones those that jobs which are here have been dealt for themselves: they are not lent. */
static uint32_t dealt_here (const pxi_core *core, const claimant *all, uint32_t n)
{
    uint32_t n_slots = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t own = all[i].fill < all[i].demand ? all[i].fill : all[i].demand;
        uint32_t has = all[i].job ? all[i].job->active + promised (core, all[i].job) : 0;
        n_slots += own > has ? own - has : 0;
    }
    return n_slots;
}

/* A slot came free and somebody waits for it: the oldest reservation whose job is due. */
static bool serve_reservation (pxi_core *core, const claimant *all, uint32_t n)
{
    uint32_t n_slots = with_room (core, free_for_due (core));
    uint32_t n_kept = dealt_here (core, all, n);
    if (!n_slots || core->draining || core->host_busy)
        return false;
    for (uint32_t i = 0; i < core->n_ring; i++) {
        if (!granted (all, n, core->ring[i].job))
            continue;
        pxi_reservation due = core->ring[i];
        pxi_peer *master = pxi_view_find (core, due.peer);
        bool there = !master->unresponsive && !pxi_lease_in_vain (master);
        uint32_t n_lent = core->n_ring > 1 || n_slots <= n_kept ? 1 : n_slots - n_kept;
        pxi_lease *lease = there ? pxi_lease_give (core, master, n_lent) : NULL;
        pxi_lease_unreserve (core, i);
        if (!lease)
            return !there; /* look again without it */
        SAY (core, "slot free -> offered to %s, who reserved", pxi_core_name (master));
        pxi_lease_offer (core, lease, due.probe, due.job);
        return true;
    }
    return false;
}

/* Of one whose runs have all waited so far the driver knows nothing. */
static void allow (pxi_core *core, pxi_job *job, uint32_t allowed)
{
    if (job->allowed == allowed || job->n_waiting == job->runs_sent)
        return;
    job->allowed = allowed;
    pxi_action *action = pxi_core_act (core, PXI_DO_SLOTS);
    action->job = job->id;
    action->count = allowed;
}

/* The root of an own job has not begun, or all that waits for a thread are tasks that have begun and
 * whose subtasks are done: one goes on beside what runs here. Else the one who submits would wait for
 * a task of a stranger before anything of his job could leave, and again before its end. Others make
 * room at their next boundary. */
static bool root_waits (const pxi_job *job)
{
    bool begins = job->runs_echoed < job->runs_sent, goes_on = job->wanted && !job->surplus;
    return job->root && !job->active && (begins || goes_on);
}

static void allow_all (pxi_core *core, claimant *all, uint32_t n, uint32_t n_left)
{
    /* A job whose share fell keeps its threads until their next task boundary: what it still holds
     * cannot be given to another yet. Its ACTIVE event brings the rest. */
    uint32_t unheld = pxi_share_unheld (core);
    for (uint32_t i = 0; i < n; i++) {
        if (!all[i].job)
            continue;
        uint32_t own = all[i].fill < all[i].demand ? all[i].fill : all[i].demand;
        uint32_t lent = (n_left + core->n_jobs - 1) / core->n_jobs;
        lent = lent < n_left ? lent : n_left;
        n_left -= lent;
        uint32_t target = own + lent, active = all[i].job->active;
        if (target > active) {
            uint32_t more = target - active < unheld ? target - active : unheld;
            unheld -= more;
            target = active + more;
        }
        allow (core, all[i].job, target || !root_waits (all[i].job) ? target : 1);
    }
}

/* Time alone changes who is due, but not often: while it changes nothing it is looked at ever less. */
static void look_again (pxi_core *core, bool in_vain)
{
    core->n_vain_looks = in_vain ? core->n_vain_looks + 1 : 0;
    uint32_t beyond = core->n_vain_looks > VAIN_LOOKS ? core->n_vain_looks - VAIN_LOOKS : 0;
    beyond = beyond < LOOK_DOUBLINGS ? beyond : LOOK_DOUBLINGS;
    uint64_t at_ns = core->now_ns + (core->config.quantum_ns / 2 << beyond);
    if (!pxi_timer_is_set (&core->quantum) || core->quantum.node.deadline > at_ns)
        pxi_timer_set (core, &core->quantum, PXI_TIMER_QUANTUM, core, at_ns);
}

void pxi_share (pxi_core *core)
{
    claimant all[CLAIMANTS_MAX];
    uint32_t n, n_left, n_actions = core->n_actions;
    bool contended, timed = core->quantum_due;
    core->share_pending = core->quantum_due = false;
    charge (core);
    raise_floor (core);
    pxi_lease_lapse (core);
    do {
        n = claimants (core, all);
        sort (core, all, n);
        n_left = core->self.slots - core->slots_leased;
        contended = n && deal (core, all, n, &n_left);
    } while (serve_reservation (core, all, n));
    if (core->n_jobs)
        allow_all (core, all, n, n_left);
    note_full (core);
    pxi_worker_volunteer_soon (core, 0); /* also when a job or a lease has just gone */
    if (contended && n > 1)
        look_again (core, timed && core->n_actions == n_actions);
}

void pxi_share_active (pxi_core *core, const pxi_event *event)
{
    pxi_job *job = pxi_worker_find_job (core, event->job);
    if (!job)
        return;
    charge (core);
    job->active = event->count;
    job->wanted = event->wanted < core->self.slots ? event->wanted : core->self.slots;
    job->dry |= event->flag;
    if (event->runs > job->runs_echoed && event->runs <= job->runs_sent)
        job->runs_echoed = event->runs;
    core->share_pending = true;
    core->seek_pending |= core->devices && !job->active; /* a trial of a device may wait for it */
    if (pxi_share_free (core))
        pxi_worker_volunteer_soon (core, 0);
}
