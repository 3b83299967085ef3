/* Shared inputs: what all subtasks of a branch are given travels once to each peer, by its content.
 *
 * An attempt names the shared input of its branch; a worker that has not got it asks the attempt's master, once
 * for all that wait. Runs that wait have their slot and are in their master's handshakes, but the driver does not
 * know them yet. The answer may be lost: after patience the next master of those that wait is asked, and after
 * PXI_FETCHES_MAX questions in vain, or when a master says that it has it no more, what waits is lost for its
 * master, who may do it elsewhere. Whose bytes they are does not matter: the driver hands over none whose digest
 * is another (core/event.h). What came, or was on its way, is kept a while after the last run that needed it,
 * since a job is gone from a worker between two of its subtasks: PXI_SHARED_KEPT_BYTES of it, least recently used
 * out. What is our own branch's goes with its last subtask that is away: its executor has it.
 *
 * Invariants: one entry per content; n_users counts the subtasks and runs that name it; an entry without users is
 * in `kept`, or asked for; what waits is without a blob. */
#include "core/state.h"

/* A link that is slower than this is asked twice. */
#define BYTES_PER_MS (UINT64_C (16) << 10)

/* Of all of a name: one that was damaged on its way, or made up, is not to be in the way of another. */
static uint64_t key_of (const pxi_shared_name *name)
{
    uint64_t rest = pxi_mix64 (name->digest[1] ^ pxi_mix64 (name->size_bytes));
    return pxi_mix64 (name->digest[0] ^ rest);
}

static pxi_shared *find (const pxi_core *core, const pxi_shared_name *name)
{
    pxi_shared *shared = pxi_map_pointer (&core->shared, key_of (name));
    return shared && pxi_same_shared (&shared->name, name) ? shared : NULL;
}

static pxi_shared *shared_new (pxi_core *core, const pxi_shared_name *name)
{
    /* Two of one key are not known at once: nobody makes them by chance. */
    bool taken = pxi_map_get (&core->shared, key_of (name), NULL);
    pxi_shared *shared = taken ? NULL : pxi_core_alloc (core, sizeof *shared);
    if (!shared || !pxi_map_put_pointer (&core->shared, key_of (name), shared)) {
        pxi_core_release (core, shared, sizeof *shared);
        return NULL;
    }
    shared->name = *name;
    pxi_list_init (&shared->waiting);
    pxi_list_init (&shared->in_kept);
    pxi_list_add_last (&core->all_shared, &shared->in_core);
    core->n_shared++;
    return shared;
}

static void keep_no_more (pxi_core *core, pxi_shared *shared)
{
    if (!pxi_list_holds (&shared->in_kept))
        return;
    pxi_list_remove (&shared->in_kept);
    core->n_kept--;
    core->kept_bytes -= shared->name.size_bytes;
}

static void shared_free (pxi_core *core, pxi_shared *shared)
{
    PXI_ASSERT (shared->n_users == 0);
    PXI_ASSERT (pxi_list_is_empty (&shared->waiting));
    keep_no_more (core, shared);
    pxi_timer_clear (core, &shared->timer);
    pxi_map_remove (&core->shared, key_of (&shared->name), NULL);
    pxi_list_remove (&shared->in_core);
    core->n_shared--;
    pxi_core_forget (core, shared->blob);
    pxi_core_release (core, shared, sizeof *shared);
}

/* ---- kept --------------------------------------------------------------------------------------
 */

static pxi_shared *oldest_kept (pxi_core *core)
{
    pxi_list *first = pxi_list_first (&core->kept);
    return first ? PXI_LIST_ENTRY (first, pxi_shared, in_kept) : NULL;
}

static void lapse (pxi_core *core)
{
    pxi_shared *oldest = oldest_kept (core);
    for (; oldest && oldest->until_ns <= core->now_ns; oldest = oldest_kept (core))
        shared_free (core, oldest);
    if (oldest)
        pxi_timer_set (core, &core->kept_timer, PXI_TIMER_KEPT, core, oldest->until_ns);
}

static void keep (pxi_core *core, pxi_shared *shared)
{
    shared->until_ns = core->now_ns + PXI_SHARED_KEPT_NS;
    pxi_list_add_last (&core->kept, &shared->in_kept);
    core->n_kept++;
    core->kept_bytes += shared->name.size_bytes;
    while (core->n_kept > PXI_SHARED_KEPT_MAX ||
           (core->n_kept > 1 && core->kept_bytes > PXI_SHARED_KEPT_BYTES))
        shared_free (core, oldest_kept (core));
    if (!pxi_timer_is_set (&core->kept_timer))
        lapse (core);
}

/* Nobody needs it now. What has been asked for is waited for, so that it is not asked for again meanwhile. */
static void unused (pxi_core *core, pxi_shared *shared)
{
    if (shared->blob && shared->came)
        keep (core, shared);
    else if (shared->blob || !shared->asked)
        shared_free (core, shared);
}

void pxi_shared_leave (pxi_core *core, pxi_shared *shared)
{
    PXI_ASSERT (shared->n_users > 0);
    if (--shared->n_users == 0)
        unused (core, shared);
}

static void use (pxi_core *core, pxi_shared *shared)
{
    shared->n_users++;
    keep_no_more (core, shared);
}

/* ---- asking for it -----------------------------------------------------------------------------
 */

/* Longer each time only for the bytes, whose speed nobody knows: slots stand idle for it. */
static uint64_t patience_ns (const pxi_core *core, const pxi_shared *shared, const pxi_peer *peer)
{
    uint64_t trip_ns = 2 * pxi_view_patience_ns (core, peer);
    trip_ns = trip_ns < core->config.detect_ns ? trip_ns : core->config.detect_ns;
    return trip_ns + shared->name.size_bytes / BYTES_PER_MS * PXI_MS * shared->n_asked;
}

static pxi_run *first_waiting (const pxi_shared *shared)
{
    return PXI_LIST_ENTRY (shared->waiting.next, pxi_run, in_shared);
}

/* Who has not just been asked in vain, if there is one. */
static pxi_peer *whom_to_ask (const pxi_shared *shared)
{
    PXI_LIST_EACH (link, &shared->waiting)
    {
        pxi_peer *master = PXI_LIST_ENTRY (link, pxi_run, in_shared)->master;
        if (master->record.id != shared->asked)
            return master;
    }
    return first_waiting (shared)->master;
}

static void ask (pxi_core *core, pxi_shared *shared)
{
    pxi_peer *peer = whom_to_ask (shared);
    shared->asked = peer->record.id;
    shared->n_asked++;
    pxi_message *message = pxi_core_send (core, peer, PXI_FETCH);
    message->shared = shared->name;
    pxi_timer_set (core, &shared->timer, PXI_TIMER_FETCH, shared,
                   core->now_ns + patience_ns (core, shared, peer));
    SAY (core, "shared input of %u bytes %s -> %s asked for it", shared->name.size_bytes,
         shared->n_asked > 1 ? "has not come" : "not here", pxi_core_name (peer));
}

static void wait_for (pxi_core *core, pxi_shared *shared, pxi_run *run)
{
    run->waits = true;
    core->n_waiting++;
    run->job->n_waiting++;
    pxi_list_add_last (&shared->waiting, &run->in_shared);
    if (!shared->asked || PXI_MUTANT (FETCH_FOR_EACH))
        ask (core, shared);
}

bool pxi_shared_need (pxi_core *core, pxi_run *run)
{
    const pxi_shared_name *name = &run->spec.shared;
    if (!name->size_bytes)
        return true;
    pxi_shared *shared = find (core, name);
    shared = shared ? shared : shared_new (core, name);
    if (!shared)
        return false;
    use (core, shared);
    run->shared = shared;
    if (!shared->blob && !PXI_MUTANT (SHARED_NOT_AWAITED))
        wait_for (core, shared, run);
    return true;
}

bool pxi_shared_fits (const pxi_core *core, const pxi_message *message)
{
    for (uint32_t i = 0; i < message->n_attempts; i++) {
        if (message->attempts[i].shared.size_bytes > core->config.shared_size_max)
            return false;
    }
    return true;
}

/* ---- it is here --------------------------------------------------------------------------------
 */

static void begin_waiting (pxi_core *core, pxi_shared *shared)
{
    for (pxi_list *link; (link = pxi_list_first (&shared->waiting));) {
        pxi_run *run = PXI_LIST_ENTRY (link, pxi_run, in_shared);
        pxi_list_remove (link);
        run->waits = false;
        core->n_waiting--;
        run->job->n_waiting--;
        core->share_pending = true;
        pxi_worker_begin (core, run);
    }
}

static void settle (pxi_core *core, pxi_shared *shared, uint64_t blob, bool came)
{
    shared->blob = blob;
    shared->came = came;
    shared->asked = shared->n_asked = 0;
    pxi_timer_clear (core, &shared->timer);
    begin_waiting (core, shared);
}

pxi_shared *pxi_shared_own (pxi_core *core, const pxi_attempt *spec)
{
    pxi_shared *shared = find (core, &spec->shared);
    shared = shared ? shared : shared_new (core, &spec->shared);
    if (!shared)
        return NULL;
    use (core, shared);
    if (shared->blob)
        pxi_core_forget (core, spec->shared_blob);
    else
        settle (core, shared, spec->shared_blob, shared->asked);
    return shared;
}

/* ---- it does not come --------------------------------------------------------------------------
 */

/* NULL: of any master. The entry goes with the last that used it: it has been asked in vain. */
static void give_up (pxi_core *core, pxi_shared *shared, const pxi_peer *master)
{
    shared->n_users++;
    PXI_LIST_EACH_SAFE (link, &shared->waiting)
    {
        pxi_run *run = PXI_LIST_ENTRY (link, pxi_run, in_shared);
        if (!master || run->master == master)
            pxi_worker_lose (core, run);
    }
    shared->n_users--;
}

/* Who was asked will not: begin again with another who has given us work that needs it. */
static void ask_others (pxi_core *core, pxi_shared *shared)
{
    pxi_timer_clear (core, &shared->timer);
    shared->n_asked = 0;
    if (!pxi_list_is_empty (&shared->waiting)) {
        ask (core, shared);
        return;
    }
    shared->asked = 0;
    if (!shared->n_users)
        unused (core, shared);
}

static void fetch_lost (pxi_core *core, pxi_shared *shared)
{
    bool again = shared->n_asked < PXI_FETCHES_MAX && !pxi_list_is_empty (&shared->waiting);
    if (again) {
        ask (core, shared);
        return;
    }
    give_up (core, shared, NULL);
    ask_others (core, shared);
}

void pxi_shared_timer (pxi_core *core, pxi_timer *timer)
{
    if (timer->kind == PXI_TIMER_KEPT)
        lapse (core);
    else if (!PXI_MUTANT (FETCH_ONCE))
        fetch_lost (core, timer->owner);
}

/* Its runs are gone; others may wait for what it was asked for. */
void pxi_shared_forget_peer (pxi_core *core, const pxi_peer *peer)
{
    PXI_LIST_EACH_SAFE (link, &core->all_shared)
    {
        pxi_shared *shared = PXI_LIST_ENTRY (link, pxi_shared, in_core);
        if (shared->asked == peer->record.id)
            ask_others (core, shared);
    }
}

/* ---- messages ----------------------------------------------------------------------------------
 */

/* What waited there for its shared input is not late for that. */
static void excuse (pxi_core *core, const pxi_peer *worker, const pxi_shared *shared)
{
    PXI_LIST_EACH (link, &worker->away)
    {
        pxi_attempt_state *attempt = PXI_LIST_ENTRY (link, pxi_attempt_state, at_peer);
        if (attempt->subtask->shared != shared || attempt->fetched)
            continue;
        attempt->fetched = true;
        attempt->sent_ns = core->now_ns;
    }
}

static void on_fetch (pxi_core *core, const pxi_peer *worker, const pxi_message *fetch)
{
    const pxi_shared *shared = find (core, &fetch->shared);
    pxi_message *message = pxi_core_send (core, worker, PXI_SHARED);
    message->shared = fetch->shared;
    message->accepted = shared && shared->blob;
    SAY (core, "%s asks for a shared input of %u bytes -> %s", pxi_core_name (worker),
         fetch->shared.size_bytes, message->accepted ? "sent" : "not here any more");
    if (!message->accepted)
        return;
    message->blob = shared->blob;
    core->stats.shared_sent++;
    excuse (core, worker, shared);
}

static bool is_awaited (const pxi_shared *shared)
{
    return shared && !shared->blob && shared->asked;
}

bool pxi_core_awaits (const pxi_core *core, const pxi_shared_name *name)
{
    return is_awaited (find (core, name));
}

static void on_shared (pxi_core *core, pxi_peer *from, const pxi_message *message)
{
    pxi_shared *shared = find (core, &message->shared);
    bool wanted = is_awaited (shared);
    if (wanted && message->accepted && message->blob) {
        core->stats.shared_received++;
        SAY (core, "shared input of %u bytes from %s -> what waits for it begins",
             shared->name.size_bytes, pxi_core_name (from));
        settle (core, shared, message->blob, true);
        if (!shared->n_users)
            unused (core, shared);
        return;
    }
    pxi_core_forget (core, message->blob);
    if (wanted && !message->accepted && shared->asked == from->record.id) {
        give_up (core, shared, from);
        ask_others (core, shared);
    }
}

void pxi_shared_message (pxi_core *core, pxi_peer *from, const pxi_message *message)
{
    if (message->kind == PXI_FETCH)
        on_fetch (core, from, message);
    else
        on_shared (core, from, message);
}
