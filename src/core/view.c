/* The view: which peers this one knows, and what it thinks of them.
 *
 * Up to view_max peers all are known (SCIENCE.md 2.6); beyond that the view is a random sample,
 * kept random by exchanging random samples (Cyclon: Voulgaris, Gavidia, van Steen 2005: what was
 * sent is what is replaced). One exchange per interval and peer, whatever the size of the cluster.
 * Who does not answer becomes unresponsive, later evicted; hearsay does not bring an evicted one
 * back, its own word or a newer incarnation does; now and then it is asked for it.
 *
 * Invariants: in_view of who is in the view; a peer is freed only when it is in no view and in no relation.
 */
#include <stdio.h>
#include <string.h>

#include "core/state.h"

enum {
    MISSED_UNRESPONSIVE = 2, /* gossip rounds */
    ASK_GONE_EVERY = 8,      /* gossip rounds: what a dead peer costs */
    PICK_DRAWS = 8,          /* random draws before the walk: finds a fit one with 1 - q^8 */
    /* A sample of the view has a bound to its cost, and so has what a full view takes of one message:
     * who is new is worth less than who was measured. */
    SAMPLE_DRAWS = 2 * PXI_RECORDS_MAX,
    NEWCOMERS_MAX = 4,
    HELD_UP_PART = 4,    /* of its slots: so many late attempts, and nothing more is sent there */
    INTRODUCED_MAX = 64, /* peers in the view: more of them meet in time */
};
#define INTRODUCE_NS (20 * PXI_MS)
#define TOLD_FOR_NS (20 * PXI_SECOND) /* since it was heard: later it may be dead */
#define JOIN_RETRY_NS (250 * PXI_MS)
/* Rounds at this pace, as long as somebody may wait for the answer; then ever fewer: a host that is
 * down stays so. */
enum { JOIN_ROUNDS = 16, JOIN_DOUBLINGS = 4 };
#define DEAD_AFTER_NS (30 * PXI_SECOND)  /* unresponsive this long: out of the view */
#define GONE_FOR_NS (60 * PXI_SECOND)    /* evicted: hearsay is not believed this long */
#define FORGOTTEN_NS (3600 * PXI_SECOND) /* evicted: asked now and then this long */
#define REFUSAL_COUNTS_NS                                                                          \
    (5 * PXI_SECOND) /* a name clash after this is the other side's problem  \
                                            */
#define RTT_FIRST_NS (1 * PXI_MS)

/* ---- entries ----------------------------------------------------------------------------------
 */

pxi_peer *pxi_view_find (pxi_core *core, uint64_t id)
{
    return pxi_map_pointer (&core->peers, id);
}

static pxi_peer *peer_new (pxi_core *core, uint64_t id, uint64_t incarnation)
{
    pxi_peer *peer = pxi_core_alloc (core, sizeof *peer);
    if (!peer)
        return NULL;
    peer->record.id = id;
    peer->record.incarnation = incarnation;
    pxi_list_init (&peer->away);
    pxi_list_init (&peer->runs);
    if (!pxi_map_put_pointer (&core->peers, id, peer)) {
        pxi_core_release (core, peer, sizeof *peer);
        return NULL;
    }
    pxi_list_add_last (&core->all_peers, &peer->in_core);
    return peer;
}

bool pxi_view_responsive (const pxi_peer *peer)
{
    return peer->in_view && !peer->unresponsive && !peer->leaving;
}

static void set_marks (pxi_core *core, pxi_peer *peer, bool unresponsive, bool leaving)
{
    core->n_responsive -= pxi_view_responsive (peer);
    peer->unresponsive = unresponsive;
    peer->leaving = leaving;
    core->n_responsive += pxi_view_responsive (peer);
}

static void set_gone (pxi_core *core, pxi_peer *peer, bool gone)
{
    core->n_gone += gone;
    core->n_gone -= peer->gone;
    peer->gone = gone;
}

static void view_add (pxi_core *core, pxi_peer *peer)
{
    PXI_ASSERT (core->n_view < core->config.view_max);
    PXI_ASSERT (!peer->in_view);
    peer->in_view = true;
    peer->viewed_ns = core->now_ns;
    core->view[core->n_view++] = peer;
    core->n_responsive += pxi_view_responsive (peer);
    set_gone (core, peer, false);
    SAY (core, "%s known -> in the view", pxi_core_name (peer));
}

static void view_remove (pxi_core *core, uint32_t at)
{
    pxi_peer *peer = core->view[at];
    PXI_ASSERT (peer->in_view);
    core->n_responsive -= pxi_view_responsive (peer);
    core->view[at] = core->view[--core->n_view];
    peer->in_view = false;
}

static bool has_relations (const pxi_peer *peer)
{
    return peer->pins || peer->n_away || peer->n_runs || peer->n_probes || peer->n_leases ||
           peer->n_reservations || (peer->devices && peer->devices->n_questions);
}

static bool is_remembered (const pxi_core *core, const pxi_peer *gone)
{
    return core->now_ns - gone->lost_ns < (gone->leaving ? GONE_FOR_NS : FORGOTTEN_NS);
}

void pxi_view_unref (pxi_core *core, pxi_peer *peer)
{
    if (peer->in_view || has_relations (peer))
        return;
    if (peer->gone && is_remembered (core, peer))
        return;
    set_gone (core, peer, false);
    pxi_timer_clear (core, &peer->timer);
    pxi_list_remove (&peer->in_core);
    pxi_map_remove (&core->peers, peer->record.id, NULL);
    pxi_device_free_peer (core, peer);
    pxi_core_release (core, peer, sizeof *peer);
}

/* A loopback address leads whoever hears it to himself: told to none that is on another host. */
static bool may_tell (const pxi_address *address, const pxi_address *receiver)
{
    return !pxi_address_is_loopback (address) || !receiver->kind ||
           pxi_address_is_loopback (receiver);
}

/* ---- restart, silence, return -----------------------------------------------------------------
 */

/* A higher incarnation: the former self is dead, and with it all that it had of ours or we of its.
 */
static void peer_restarted (pxi_core *core, pxi_peer *peer, uint64_t incarnation)
{
    SAY (core, "%s restarted -> former self forgotten", pxi_core_name (peer));
    peer->record.incarnation = incarnation;
    if (!PXI_MUTANT (RESTART_IGNORED))
        pxi_handshake_lost (core, peer, "restarted");
    set_marks (core, peer, false, false);
    peer->missed = 0;
    peer->rtt_ns = peer->rtt_var_ns = peer->busy_until_ns = peer->cannot_until_ns = 0;
    peer->returned_until_ns = peer->n_returned = 0;
    peer->beaten = false;
    pxi_cost_link_forget (&peer->link);
    if (peer->devices)
        peer->devices->wrong = peer->devices->n_refused = peer->devices->room = 0;
}

void pxi_view_unresponsive (pxi_core *core, pxi_peer *peer)
{
    if (peer->unresponsive)
        return;
    SAY (core, "%s silent -> unresponsive", pxi_core_name (peer));
    set_marks (core, peer, true, peer->leaving);
    peer->lost_ns = core->now_ns;
    pxi_place_forget_peer (core, peer);
}

void pxi_view_heard (pxi_core *core, pxi_peer *peer)
{
    peer->heard_ns = core->now_ns;
    peer->missed = 0;
    if (!peer->unresponsive)
        return;
    /* What was known of its link and load is old: ask anew before it is ranked (rule 5). */
    SAY (core, "%s answers again -> responsive", pxi_core_name (peer));
    peer->rtt_ns = peer->rtt_var_ns = peer->busy_until_ns = 0;
    pxi_cost_link_forget (&peer->link);
    set_marks (core, peer, false, peer->leaving);
}

/* RFC 6298, with 1/8 and 1/4. */
void pxi_view_rtt (pxi_core *core, pxi_peer *peer, uint64_t sample_ns)
{
    if (!peer->rtt_ns) {
        peer->rtt_ns = sample_ns ? sample_ns : 1;
        peer->rtt_var_ns = sample_ns / 2;
        return;
    }
    uint64_t error = sample_ns > peer->rtt_ns ? sample_ns - peer->rtt_ns : peer->rtt_ns - sample_ns;
    peer->rtt_var_ns += error / 4;
    peer->rtt_var_ns -= peer->rtt_var_ns / 4;
    peer->rtt_ns += sample_ns / 8;
    peer->rtt_ns -= peer->rtt_ns / 8;
    peer->rtt_ns += !peer->rtt_ns;
}

/* How long an answer may take before it counts as lost. Generous: a peer whose host is overloaded
 * is late by tens of ms, and a probe given up in vain is a subtask that runs twice. */
uint64_t pxi_view_patience_ns (const pxi_core *core, const pxi_peer *peer)
{
    uint64_t usual_ns = pxi_view_trip_ns (peer);
    uint64_t floor_ns = core->config.detect_ns / 10;
    uint64_t patience_ns = peer->rtt_ns ? 2 * usual_ns : floor_ns * 2;
    if (patience_ns < floor_ns)
        patience_ns = floor_ns;
    return patience_ns < core->config.detect_ns ? patience_ns : core->config.detect_ns;
}

/* ---- records ----------------------------------------------------------------------------------
 */

static void forget_silent (pxi_core *core, pxi_peer *peer)
{
    SAY (core, "%s silent too long -> out of the view", pxi_core_name (peer));
    uint32_t at = 0;
    while (core->view[at] != peer)
        at++;
    view_remove (core, at);
    set_gone (core, peer, true);
    peer->lost_ns = core->now_ns;
    pxi_view_unref (core, peer);
}

static bool is_full (const pxi_core *core)
{
    return core->n_view == core->config.view_max;
}

static uint64_t heard_of_ns (const pxi_core *core, uint32_t at)
{
    const pxi_peer *peer = core->view[at];
    return peer->heard_ns > peer->viewed_ns ? peer->heard_ns : peer->viewed_ns;
}

/* A full view takes a newcomer in place of one that nothing is shared with: of a few at random one
 * that is silent, else the one that was heard, or heard of, longest ago, so that the dead go first
 * (as in Cyclon: Voulgaris and others, 2005) and the rest stays a sample. Those that may live give
 * way to `n_new` newcomers of one message only: counted down. */
static bool view_make_room (pxi_core *core, uint32_t *n_new)
{
    uint32_t other = UINT32_MAX;
    if (!is_full (core))
        return true;
    for (uint32_t draw = 0; draw < PICK_DRAWS; draw++) {
        uint32_t at = (uint32_t)pxi_prng_below (&core->prng, core->n_view);
        if (has_relations (core->view[at]))
            continue;
        if (core->view[at]->unresponsive) {
            forget_silent (core, core->view[at]);
            return true;
        }
        if (other == UINT32_MAX || heard_of_ns (core, at) < heard_of_ns (core, other))
            other = at;
    }
    if (other == UINT32_MAX || !*n_new)
        return false;
    pxi_peer *victim = core->view[other];
    --*n_new;
    view_remove (core, other);
    pxi_view_unref (core, victim);
    return true;
}

/* Another process has our name: it must go when it is new, see join. */
static void record_of_self (pxi_core *core, const pxi_peer_record *record)
{
    if (record->incarnation == core->self.incarnation)
        return;
    if (record->incarnation < core->self.incarnation || !record->address.kind)
        return;
    SAY (core, "another peer has our name -> refused");
    pxi_peer other = {.record = *record};
    pxi_core_send (core, &other, PXI_REFUSED)->err = PX_EDUPLICATE;
}

static void record_update (pxi_peer *peer, const pxi_peer_record *record)
{
    peer->record = *record;
    peer->record.name[PXI_NAME_SIZE - 1] = 0;
    peer->record.flags &= (uint16_t)~PXI_PEER_LEAVING;
}

/* None is taken now but in the place of silent ones. */
static bool is_closed (const pxi_core *core, uint32_t n_new)
{
    return is_full (core) && !n_new && core->n_responsive == core->n_view;
}

/* A full view is that of a large cluster, however small it is. */
static bool is_small (const pxi_core *core)
{
    return core->n_view <= INTRODUCED_MAX && !is_full (core);
}

/* In a small cluster all know each other: who is heard of is asked soon, and not when his turn comes. */
static void introduce_soon (pxi_core *core)
{
    uint64_t at_ns = core->now_ns + 1 + pxi_prng_below (&core->prng, INTRODUCE_NS);
    if (core->gossip.node.deadline > at_ns)
        pxi_timer_set (core, &core->gossip, PXI_TIMER_GOSSIP, core, at_ns);
}

static void enter_view (pxi_core *core, pxi_peer *peer, uint32_t *n_new)
{
    bool wanted = !peer->in_view && peer->record.address.kind && !peer->leaving;
    if (wanted && !is_closed (core, *n_new) && view_make_room (core, n_new))
        view_add (core, peer);
    if (peer->in_view && !peer->heard_ns && is_small (core))
        introduce_soon (core);
}

/* `own`: from the peer itself, not hearsay. */
static void merge_record (pxi_core *core, const pxi_peer_record *record, bool own, uint32_t *n_new)
{
    if (record->id == core->self.id) {
        record_of_self (core, record);
        return;
    }
    pxi_peer *peer = pxi_view_find (core, record->id);
    if (peer && record->incarnation < peer->record.incarnation)
        return;
    bool newer = peer && record->incarnation > peer->record.incarnation;
    if (peer && peer->in_view && peer->record.address.kind && !own && !newer)
        return; /* nothing new */
    if (!own && (record->flags & PXI_PEER_LEAVING))
        return;
    bool sure = peer && peer->gone && core->now_ns - peer->lost_ns < GONE_FOR_NS;
    if (sure && !own && !newer)
        return;
    if (!peer &&
        (is_closed (core, *n_new) || !(peer = peer_new (core, record->id, record->incarnation))))
        return;
    peer->pins++;
    if (newer)
        peer_restarted (core, peer, record->incarnation);
    if (own || newer || !peer->record.address.kind)
        record_update (peer, record);
    set_marks (core, peer, peer->unresponsive,
               own ? (record->flags & PXI_PEER_LEAVING) != 0 : peer->leaving);
    enter_view (core, peer, n_new);
    if (own && (record->flags & PXI_PEER_SURPLUS) && core->config.volunteers) {
        core->volunteer_to = record->id;
        pxi_worker_volunteer_soon (core, 1);
    }
    peer->pins--;
    pxi_view_unref (core, peer);
}

static void merge (pxi_core *core, const pxi_message *message)
{
    uint32_t n_new = NEWCOMERS_MAX;
    for (uint32_t i = 0; i < message->n_records; i++)
        pxi_map_prefetch (&core->peers, message->records[i].id);
    for (uint32_t i = 0; i < message->n_records; i++)
        __builtin_prefetch (pxi_view_find (core, message->records[i].id));
    for (uint32_t i = 0; i < message->n_records; i++)
        merge_record (core, &message->records[i], i == 0 && message->records[0].id == message->from,
                      &n_new);
}

static bool anything_surplus (const pxi_core *core)
{
    PXI_LIST_EACH (link, &core->all_jobs)
    {
        if (PXI_LIST_ENTRY (link, pxi_job, in_core)->surplus)
            return true;
    }
    return false;
}

static pxi_peer_record own_record (const pxi_core *core)
{
    pxi_peer_record record = core->self;
    if (core->draining)
        record.flags |= PXI_PEER_LEAVING;
    if (anything_surplus (core))
        record.flags |= PXI_PEER_SURPLUS;
    return record;
}

/* Partial Fisher-Yates on the view; what is drawn is fetched meanwhile. */
static uint32_t draw_sample (pxi_core *core)
{
    uint32_t n = core->n_view < SAMPLE_DRAWS ? core->n_view : SAMPLE_DRAWS;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i + (uint32_t)pxi_prng_below (&core->prng, core->n_view - i);
        pxi_peer *drawn = core->view[at];
        core->view[at] = core->view[i];
        core->view[i] = drawn;
        __builtin_prefetch (drawn);
        __builtin_prefetch (&drawn->record.modules);
    }
    return n;
}

/* Own record first, then a random sample without the receiver, of those that were heard themselves. */
static void fill_records (pxi_core *core, pxi_message *message, const pxi_peer *receiver)
{
    const pxi_address *to = &receiver->record.address;
    pxi_peer_record *records = pxi_core_scratch (core, PXI_RECORDS_MAX * sizeof *records);
    if (!records)
        return;
    records[0] = own_record (core);
    if (!may_tell (&records[0].address, to))
        records[0].address = (pxi_address){0};
    uint32_t n = 1, n_drawn = draw_sample (core);
    for (uint32_t i = 0; i < n_drawn && n < PXI_RECORDS_MAX; i++) {
        const pxi_peer *drawn = core->view[i];
        if (drawn->record.id != receiver->record.id && pxi_view_responsive (drawn) &&
            drawn->heard_ns && core->now_ns - drawn->heard_ns < TOLD_FOR_NS &&
            may_tell (&drawn->record.address, to))
            records[n++] = drawn->record;
    }
    message->records = records;
    message->n_records = n;
}

/* ---- joining ----------------------------------------------------------------------------------
 */

static void say_hello (pxi_core *core, const pxi_pending_join *join)
{
    pxi_peer nobody = {.record.address = join->address};
    pxi_message *hello = pxi_core_send (core, &nobody, PXI_HELLO);
    hello->sequence = join->sequence;
    fill_records (core, hello, &nobody);
}

static void join_tick (pxi_core *core)
{
    for (uint32_t i = 0; i < core->n_joins; i++)
        say_hello (core, &core->joins[i]);
    if (!core->n_joins)
        return;
    core->join_rounds += core->join_rounds < JOIN_ROUNDS + JOIN_DOUBLINGS;
    uint32_t n_doublings = core->join_rounds > JOIN_ROUNDS ? core->join_rounds - JOIN_ROUNDS : 0;
    uint64_t wait_ns = JOIN_RETRY_NS << n_doublings;
    pxi_timer_set (core, &core->join, PXI_TIMER_JOIN, core, core->now_ns + wait_ns);
}

void pxi_view_join (pxi_core *core, const pxi_address *address)
{
    for (uint32_t i = 0; i < core->n_joins; i++) {
        if (pxi_address_same (&core->joins[i].address, address))
            return;
    }
    if (core->n_joins == JOINS_MAX)
        return;
    core->joins[core->n_joins] = (pxi_pending_join){*address, ++core->join_sequence};
    say_hello (core, &core->joins[core->n_joins++]);
    core->join_rounds = 0;
    pxi_timer_set (core, &core->join, PXI_TIMER_JOIN, core, core->now_ns + JOIN_RETRY_NS);
}

/* The answer says which HELLO it answers: who was joined may be known by another address (0.0.0.0, a name,
 * a relay), and others welcome us as well. False: none of those that wait. */
static bool join_done (pxi_core *core, uint64_t sequence, pxi_address *joined)
{
    uint32_t at = 0;
    while (at < core->n_joins && core->joins[at].sequence != sequence)
        at++;
    if (at == core->n_joins)
        return false;
    *joined = core->joins[at].address;
    core->joins[at] = core->joins[--core->n_joins];
    if (!core->n_joins)
        pxi_timer_clear (core, &core->join);
    return true;
}

static void on_welcome (pxi_core *core, const pxi_peer *from, const pxi_message *message)
{
    pxi_address address;
    merge (core, message);
    if (!join_done (core, message->sequence, &address))
        return;
    pxi_action *joined = pxi_core_act (core, PXI_DO_JOINED);
    joined->address = address;
    joined->peer = from->record.id;
    joined->count = core->n_responsive;
    SAY (core, "%s welcomes us -> joined", pxi_core_name (from));
}

static void on_refused (pxi_core *core, const pxi_message *message)
{
    if (core->now_ns - core->started_ns > REFUSAL_COUNTS_NS)
        return;
    SAY (core, "refused -> told to the user");
    pxi_core_act (core, PXI_DO_REFUSED)->err = message->err;
}

/* The name of a newcomer is taken by a peer that may be alive: let that one speak for itself. When
 * it stays silent the newcomer's next HELLO is welcome. True = wait. */
static bool name_is_taken (pxi_core *core, const pxi_message *hello)
{
    const pxi_peer_record *record = &hello->records[0];
    pxi_peer *holder = pxi_view_find (core, record->id);
    if (!holder || record->incarnation <= holder->record.incarnation)
        return false;
    bool addressed = record->address.kind != 0;
    if ((addressed && pxi_address_same (&holder->record.address, &record->address)) ||
        holder->leaving)
        return false;
    uint64_t silent_ns = core->now_ns - holder->heard_ns;
    if (!holder->in_view || !holder->heard_ns || silent_ns > core->config.detect_ns)
        return false;
    SAY (core, "a second %s -> the first is asked", pxi_core_name (holder));
    pxi_message *gossip = pxi_core_send (core, holder, PXI_GOSSIP);
    pxi_peer_record *records = pxi_core_scratch (core, 2 * sizeof *records);
    if (records) {
        records[0] = own_record (core);
        records[1] = *record;
        gossip->records = records;
        gossip->n_records = 2;
    }
    return true;
}

/* ---- senders ----------------------------------------------------------------------------------
 */

/* A message for a former self: its sender should know that it is gone. */
static void answer_stale (pxi_core *core, const pxi_message *message)
{
    if (message->kind == PXI_WELCOME)
        return;
    pxi_peer *known = pxi_view_find (core, message->from);
    pxi_peer unknown = {.record = {.id = message->from, .incarnation = message->from_incarnation}};
    const pxi_peer *to = known ? known : &unknown;
    fill_records (core, pxi_core_send (core, to, PXI_WELCOME), to);
}

static bool for_us (pxi_core *core, const pxi_message *message)
{
    if (message->to == 0)
        return message->kind == PXI_HELLO;
    if (message->to == core->self.id &&
        (message->to_incarnation == core->self.incarnation || PXI_MUTANT (FORMER_RECEIVER)))
        return true;
    core->stats.messages_stale++;
    SAY (core, "%s for a former self -> dropped", pxi_message_name (message->kind));
    answer_stale (core, message);
    return false;
}

static void met_self (pxi_core *core, const pxi_message *message)
{
    if (message->kind != PXI_HELLO)
        return;
    if (message->from_incarnation != core->self.incarnation) {
        if (message->n_records)
            record_of_self (core, &message->records[0]);
        return;
    }
    SAY (core, "joined ourselves -> refused");
    pxi_action *refused = pxi_core_act (core, PXI_DO_REFUSED);
    refused->err = PX_ESELF;
    join_done (core, message->sequence, &refused->address);
}

pxi_peer *pxi_view_sender (pxi_core *core, const pxi_message *message)
{
    core->stats.messages_received++;
    if (message->from == core->self.id && message->kind != PXI_REFUSED) {
        met_self (core, message);
        return NULL;
    }
    if (!for_us (core, message))
        return NULL;
    if (message->kind == PXI_REFUSED) {
        on_refused (core, message);
        return NULL;
    }
    if (message->kind == PXI_HELLO && message->n_records && name_is_taken (core, message))
        return NULL;
    pxi_peer *peer = pxi_view_find (core, message->from);
    if (!peer)
        return peer_new (core, message->from, message->from_incarnation);
    if (message->from_incarnation < peer->record.incarnation && !PXI_MUTANT (FORMER_SENDER)) {
        core->stats.messages_stale++;
        SAY (core, "%s from a former %s -> dropped", pxi_message_name (message->kind),
             pxi_core_name (peer));
        return NULL;
    }
    if (message->from_incarnation > peer->record.incarnation) {
        memset (&peer->record.address, 0, sizeof peer->record.address);
        peer_restarted (core, peer, message->from_incarnation);
    }
    return peer;
}

static void welcome (pxi_core *core, const pxi_peer *from, const pxi_message *hello)
{
    pxi_message *message = pxi_core_send (core, from, PXI_WELCOME);
    message->sequence = hello->sequence;
    fill_records (core, message, from);
}

void pxi_view_message (pxi_core *core, pxi_peer *from, const pxi_message *message)
{
    switch (message->kind) {
    case PXI_HELLO:
        merge (core, message);
        welcome (core, from, message);
        break;
    case PXI_WELCOME:
        on_welcome (core, from, message);
        break;
    case PXI_GOSSIP:
        merge (core, message);
        fill_records (core, pxi_core_send (core, from, PXI_GOSSIP_REPLY), from);
        break;
    case PXI_GOSSIP_REPLY:
        merge (core, message);
        if (from->asked_ns)
            pxi_view_rtt (core, from, core->now_ns - from->asked_ns);
        break;
    case PXI_LEAVE:
        SAY (core, "%s leaves -> no new work for it", pxi_core_name (from));
        set_marks (core, from, from->unresponsive, true);
        pxi_place_forget_peer (core, from);
        break;
    default:
        break;
    }
}

/* ---- gossip -----------------------------------------------------------------------------------
 */

/* Of three random ones the one not asked for longest: random enough, and nobody is forgotten. */
static pxi_peer *gossip_partner (pxi_core *core)
{
    pxi_peer *partner = NULL;
    for (uint32_t draw = 0; draw < 3; draw++) {
        pxi_peer *drawn = core->view[pxi_prng_below (&core->prng, core->n_view)];
        if (!partner || drawn->asked_ns < partner->asked_ns)
            partner = drawn;
    }
    return partner;
}

/* After a long partition both sides have evicted each other: somebody has to ask first. */
static pxi_peer *gone_partner (pxi_core *core)
{
    pxi_peer *partner = NULL;
    uint32_t n = 0;
    if (!core->n_gone)
        return NULL;
    PXI_LIST_EACH_SAFE (link, &core->all_peers)
    {
        pxi_peer *peer = PXI_LIST_ENTRY (link, pxi_peer, in_core);
        if (!peer->gone)
            continue;
        if (!is_remembered (core, peer))
            pxi_view_unref (core, peer);
        else if (!peer->leaving && pxi_prng_below (&core->prng, ++n) == 0)
            partner = peer;
    }
    return partner;
}

static bool gave_up (pxi_core *core, pxi_peer *partner)
{
    bool answered = partner->heard_ns >= partner->asked_ns || !partner->asked_ns;
    bool paused = partner->asked_ns < core->resumed_ns;
    if (answered || paused)
        return false;
    if (++partner->missed >= MISSED_UNRESPONSIVE)
        pxi_view_unresponsive (core, partner);
    uint64_t dead_after_ns = partner->leaving ? 2 * core->config.gossip_ns : DEAD_AFTER_NS;
    return partner->unresponsive && core->now_ns - partner->lost_ns > dead_after_ns &&
           !has_relations (partner);
}

/* One of a small cluster that we have only heard of. */
static pxi_peer *stranger_of (const pxi_core *core)
{
    for (uint32_t i = 0; i < core->n_view && is_small (core); i++) {
        if (!core->view[i]->heard_ns && !core->view[i]->asked_ns)
            return core->view[i];
    }
    return NULL;
}

static void gossip (pxi_core *core)
{
    pxi_peer *stranger = stranger_of (core);
    uint64_t interval_ns = stranger ? INTRODUCE_NS : core->config.gossip_ns;
    uint64_t next_ns = interval_ns * 3 / 4 + pxi_prng_below (&core->prng, interval_ns / 2);
    pxi_timer_set (core, &core->gossip, PXI_TIMER_GOSSIP, core, core->now_ns + next_ns);
    pxi_peer *gone = ++core->n_gossips % ASK_GONE_EVERY ? NULL : gone_partner (core);
    if (!core->n_view && !gone)
        return;
    pxi_peer *partner = gone ? gone : stranger ? stranger : gossip_partner (core);
    if (!gone && gave_up (core, partner)) {
        forget_silent (core, partner);
        return;
    }
    partner->asked_ns = core->now_ns;
    fill_records (core, pxi_core_send (core, partner, PXI_GOSSIP), partner);
}

void pxi_view_timer (pxi_core *core, pxi_timer_kind kind)
{
    if (kind == PXI_TIMER_GOSSIP)
        gossip (core);
    else
        join_tick (core);
}

void pxi_view_init (pxi_core *core)
{
    uint64_t first_ns = pxi_prng_below (&core->prng, core->config.gossip_ns);
    pxi_timer_set (core, &core->gossip, PXI_TIMER_GOSSIP, core, core->now_ns + first_ns);
}

void pxi_view_leave (pxi_core *core)
{
    if (core->draining)
        return;
    core->draining = true;
    SAY (core, "leaving -> says so to all it knows");
    for (uint32_t i = 0; i < core->n_view; i++)
        pxi_core_send (core, core->view[i], PXI_LEAVE);
    while (core->n_ring)
        pxi_lease_unreserve (core, 0);
}

/* ---- picking ----------------------------------------------------------------------------------
 */

bool pxi_view_fits (const pxi_core *core, const pxi_peer *peer, uint64_t module)
{
    if (core->now_ns < peer->returned_until_ns ||
        (peer->cannot_module == module && core->now_ns < peer->cannot_until_ns))
        return false;
    for (uint32_t i = 0; i < peer->record.n_modules; i++) {
        if (peer->record.modules[i] == module)
            return true;
    }
    /* Of one that only its own message told of (no record: no slots) nothing is known yet; it says
       CANNOT where it cannot. */
    return (peer->record.flags & PXI_PEER_MORE_MODULES) != 0 || !peer->record.slots;
}

static bool reserved_at (const pxi_job *job, const pxi_peer *peer)
{
    for (uint32_t i = 0; i < job->n_reserved; i++) {
        if (job->reserved[i].peer == peer->record.id)
            return true;
    }
    return false;
}

/* A slot of a peer that is late with one thing may be as good as ever where it has many. */
bool pxi_view_held_up (const pxi_peer *peer)
{
    return peer->n_overtaken && HELD_UP_PART * peer->n_overtaken >= peer->record.slots;
}

/* One question at a time per peer: a second one would wait behind the first. */
static bool eligible (const pxi_core *core, const pxi_peer *peer, const pxi_job *job,
                      uint64_t avoid)
{
    if (!pxi_view_responsive (peer) || peer->record.id == avoid)
        return false;
    if (!job)
        return peer->n_leases == 0 && !pxi_lease_in_vain (peer);
    return !peer->n_probes && !pxi_view_held_up (peer) && !reserved_at (job, peer) &&
           pxi_view_fits (core, peer, job->module);
}

bool pxi_view_full_of_ours (const pxi_peer *peer)
{
    return peer->record.slots && peer->n_away >= peer->record.slots;
}

static pxi_peer *walk (const pxi_core *core, const pxi_job *job, uint64_t avoid, uint32_t from,
                       bool full)
{
    for (uint32_t i = 0; i < core->n_view; i++) {
        pxi_peer *walked = core->view[(from + i) % core->n_view];
        if (pxi_view_full_of_ours (walked) <= full && eligible (core, walked, job, avoid))
            return walked;
    }
    return NULL;
}

/* Uniform among the fit ones (rule 1): random draws first, where a peer that just said busy is passed over once; then
 * a walk from a random place, so that the last free peer is found too. Those that are full of what we sent come
 * last. */
pxi_peer *pxi_view_pick (pxi_core *core, const pxi_job *job, uint64_t avoid)
{
    if (!core->n_responsive)
        return NULL;
    for (uint32_t draw = 0; draw < PICK_DRAWS; draw++) {
        pxi_peer *drawn = core->view[pxi_prng_below (&core->prng, core->n_view)];
        bool passed_over = draw < PICK_DRAWS / 2 && core->now_ns < drawn->busy_until_ns;
        if (!passed_over && !pxi_view_full_of_ours (drawn) && eligible (core, drawn, job, avoid))
            return drawn;
    }
    uint32_t from = (uint32_t)pxi_prng_below (&core->prng, core->n_view);
    pxi_peer *found = walk (core, job, avoid, from, false);
    return found ? found : walk (core, job, avoid, from, true);
}
