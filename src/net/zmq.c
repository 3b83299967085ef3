/* The transport over ZeroMQ.
 *
 * One ROUTER, bound, for everything that comes in; one DEALER per peer that this one speaks to
 * first, so that a peer which restarts at the same address is never taken for its former self by a
 * socket. Answers go back along the connection that the question came by. A link is either the
 * number that the ROUTER gives to a connection (with INBOUND set), so that inbound links need no
 * memory here, or the count of DEALERs opened so far: neither is used twice.
 *
 * What cannot be handed to zmq at once (a link not yet connected, a peer that does not read) waits
 * in the link's outbox, bounded; zmq itself holds only HWM messages per connection, because what it
 * holds is lost without a word when the connection goes. A link whose connection goes is closed and
 * reported.
 *
 * A peer of this host is reached without ZeroMQ and its thread where that works (near.c): it is
 * tried when a link is to be opened, and a message that came that way is answered that way.
 *
 * Waking up. A socket's ZMQ_FD is edge-triggered in effect: any call on the socket may swallow the
 * edge. So a socket is `ready` from its edge on until a receive has said EAGAIN, which leaves the
 * descriptor armed, and after each send its events are looked at. All descriptors lie in one epoll
 * set, with an eventfd that is readable while something is ready or has to be reported, and a timer
 * that runs while a message waits. A step costs what is ready, not what is open.
 *
 * Callbacks are made from pxi_zmq_step () only, and may send. Thread: the agent's loop makes all
 * calls. */
#include "net/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <peerexec/peer.h>
#include <zmq.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "net/door.h"
#include "net/endpoint.h"
#include "net/frames.h"
#include "net/listen.h"
#include "net/near.h"
#include "net/outbox.h"

enum {
    LINKS_MAX_DEFAULT = 512,
    LINK_DESCRIPTORS = 2,   /* a DEALER's signaler and its connection */
    SPARE_DESCRIPTORS = 64, /* this transport's own, and some for the program */
    DEALER_HWM = 64,   /* lost without a word with the connection: no more than keeps it busy */
    ROUTER_HWM = 1024, /* answers of one quantum to one master; there is no outbox behind it */
    HEARTBEAT_IVL_MS =
        5000, /* finds half-open connections; the core's handshakes find dead peers */
    HEARTBEAT_TIMEOUT_MS = 15000,
    HANDSHAKE_IVL_MS = 3000, /* strangers who connect and say nothing are gone after this */
    RECONNECT_IVL_MS =
        50, /* then doubled up to the maximum; a link is closed when its outbox expires */
    RECONNECT_IVL_MAX_MS = 1000,
    DRAIN_MS = 200,   /* that closing waits for what was sent last */
    TICK_MS = 250,    /* between looks at outboxes that wait */
    REPORTS_MAX = 64, /* unreachable links told in one step; more are a hint the less */
    EVENTS_MAX = 64,
};
#define NOTICE_PAUSE_NS (10 * PXI_SECOND) /* between notices about strangers of one kind */
#define INBOUND (UINT64_C (1) << 63)

/* What an event of the epoll set is about; outgoing links count from FIRST_LINK. */
enum { ID_ROUTER = 1, ID_KICK, ID_TIMER, ID_DOOR, ID_NEAR, FIRST_LINK = 16 };

struct source { /* a socket that is read */
    pxi_list in_ready;
    void *socket;
    uint64_t id;
};

struct link {
    struct source source;
    pxi_list in_recent, in_waiting;
    pxi_address address;
    uint64_t key;   /* of the address in by_address */
    bool writable;  /* as seen last */
    bool connected; /* was writable once */
    pxi_outbox outbox;
};

struct report {
    pxi_address address;
    pxi_link link;
};

/* Of one kind of strangers, so that a log stays readable. */
struct quiet {
    uint64_t until_ns, n_suppressed;
};

struct pxi_transport {
    pxi_transport_config config;
    char endpoint[PXI_ENDPOINT_SIZE];
    pxi_cluster_key own_key;
    const pxi_cluster_key *key; /* own_key; NULL = none */
    void *context;
    struct source router;
    pxi_door door;
    pxi_near *near; /* NULL: TCP only */
    bool near_ready;
    int epoll, kick, timer;
    bool kicked, ticking;
    pxi_map by_id, by_address;
    pxi_list ready, recent,
        waiting; /* sources; links, longest unused first; links with an outbox */
    uint64_t next_id;
    struct report reports[REPORTS_MAX];
    uint32_t n_reports;
    struct quiet quiet[PXI_REFUSALS];
    pxi_transport_stats stats;
};

/* ---- waking up ------------------------------------------------------------------------------- */

static void set_kick (pxi_transport *transport, bool on)
{
    uint64_t count = 1;
    if (on == transport->kicked)
        return;
    transport->kicked = on;
    ssize_t n = on ? write (transport->kick, &count, sizeof count)
                   : read (transport->kick, &count, sizeof count);
    PXI_ASSERT (n == sizeof count);
}

static void mark_ready (pxi_transport *transport, struct source *source)
{
    if (!pxi_list_holds (&source->in_ready))
        pxi_list_add_last (&transport->ready, &source->in_ready);
}

static void set_ticking (pxi_transport *transport, bool on)
{
    if (on == transport->ticking)
        return;
    struct itimerspec spec = {0};
    if (on)
        spec.it_value.tv_nsec = spec.it_interval.tv_nsec = TICK_MS * (long)PXI_MS;
    transport->ticking = on;
    PXI_ASSERT (timerfd_settime (transport->timer, 0, &spec, NULL) == 0);
}

static bool watch (pxi_transport *transport, int fd, uint64_t id)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = id};
    return epoll_ctl (transport->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static int socket_fd (void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    return zmq_getsockopt (socket, ZMQ_FD, &fd, &size) == 0 ? fd : -1;
}

static int socket_events (void *socket)
{
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt (socket, ZMQ_EVENTS, &events, &size) == 0 ? events : 0;
}

/* The report is made at the end of a step: the caller of a send is no place for callbacks. */
static void report (pxi_transport *transport, const pxi_address *address, pxi_link link)
{
    if (transport->n_reports < REPORTS_MAX)
        transport->reports[transport->n_reports++] = (struct report){*address, link};
    set_kick (transport, true);
}

static void report_unreachable (pxi_transport *transport, const struct link *link)
{
    report (transport, &link->address, link->source.id);
}

/* ---- links ----------------------------------------------------------------------------------- */

static void set_int (void *socket, int option, int value)
{
    PXI_ASSERT (zmq_setsockopt (socket, option, &value, sizeof value) == 0);
}

/* With a domain, and nobody who answers for it, libzmq lets in whom it would let in anyway, but for
 * those who speak ZMTP 1 and 2. No peer does, and bytes that look like it, in a connection whose
 * socket is being closed, end the process: an assertion in zmtp_engine.cpp (4.3.4). */
static void refuse_old_versions (void *socket)
{
    static const char domain[] = "peerexec";
    PXI_ASSERT (zmq_setsockopt (socket, ZMQ_ZAP_DOMAIN, domain, sizeof domain - 1) == 0);
}

static void set_options (const pxi_transport *transport, void *socket, int hwm)
{
    refuse_old_versions (socket);
    int64_t size_max = (int64_t)transport->config.message_size_max;
    if (transport->key)
        size_max += PXI_KEY_FRAME_OVERHEAD;
    PXI_ASSERT (zmq_setsockopt (socket, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max) == 0);
    set_int (socket, ZMQ_SNDHWM, hwm);
    set_int (socket, ZMQ_RCVHWM, hwm);
    set_int (socket, ZMQ_LINGER, DRAIN_MS);
    set_int (socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_IVL_MS);
    set_int (socket, ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS);
    set_int (socket, ZMQ_HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS);
    set_int (socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_IVL_MS);
    set_int (socket, ZMQ_RECONNECT_IVL, RECONNECT_IVL_MS);
    set_int (socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_IVL_MAX_MS);
}

static void link_close (pxi_transport *transport, struct link *link)
{
    void *registered = pxi_map_pointer (&transport->by_address, link->key);
    if (registered == link)
        pxi_map_remove (&transport->by_address, link->key, NULL);
    pxi_map_remove (&transport->by_id, link->source.id, NULL);
    pxi_list_remove (&link->in_recent);
    pxi_list_remove (&link->in_waiting);
    pxi_list_remove (&link->source.in_ready);
    pxi_outbox_fini (&link->outbox);
    if (link->source.socket) {
        epoll_ctl (transport->epoll, EPOLL_CTL_DEL, socket_fd (link->source.socket), NULL);
        zmq_close (link->source.socket);
        transport->stats.links--;
    }
    free (link);
}

static void link_evict (pxi_transport *transport, struct link *link)
{
    if (link->outbox.n_messages > 0)
        report_unreachable (transport, link);
    link_close (transport, link);
}

static bool link_connect (pxi_transport *transport, struct link *link)
{
    char endpoint[64];
    void *socket = zmq_socket (transport->context, ZMQ_DEALER);
    if (!socket)
        return false;
    set_options (transport, socket, DEALER_HWM);
    set_int (socket, ZMQ_IMMEDIATE, 1); /* nothing is queued for a peer that is not there */
    set_int (socket, ZMQ_IPV6, link->address.kind == 6);
    if (transport->key)
        pxi_key_connect (transport->key, socket);
    pxi_address_print (&link->address, endpoint);
    if (!watch (transport, socket_fd (socket), link->source.id) ||
        zmq_connect (socket, endpoint) != 0) {
        zmq_close (socket);
        return false;
    }
    link->source.socket = socket;
    transport->stats.links++;
    return true;
}

static void make_room (pxi_transport *transport, uint64_t key)
{
    struct link *same = pxi_map_pointer (&transport->by_address, key);
    if (same)
        link_evict (transport, same);
    pxi_list *longest_unused = pxi_list_first (&transport->recent);
    if (longest_unused && pxi_map_size (&transport->by_id) >= transport->config.links_max)
        link_evict (transport, PXI_LIST_ENTRY (longest_unused, struct link, in_recent));
}

static struct link *link_open (pxi_transport *transport, const pxi_address *address)
{
    uint64_t key = pxi_address_key (address);
    make_room (transport, key);
    struct link *link = calloc (1, sizeof *link);
    if (!link)
        return NULL;
    link->source.id = transport->next_id++;
    link->address = *address;
    link->key = key;
    pxi_list_init (&link->source.in_ready);
    pxi_list_init (&link->in_recent);
    pxi_list_init (&link->in_waiting);
    pxi_outbox_init (&link->outbox);
    if (!pxi_map_put_pointer (&transport->by_id, link->source.id, link) ||
        !pxi_map_put_pointer (&transport->by_address, key, link) ||
        !link_connect (transport, link)) {
        link_close (transport, link);
        return NULL;
    }
    pxi_list_add_last (&transport->recent, &link->in_recent);
    return link;
}

static struct link *link_find (const pxi_transport *transport, const pxi_address *address)
{
    struct link *link = pxi_map_pointer (&transport->by_address, pxi_address_key (address));
    return link && pxi_address_same (&link->address, address) ? link : NULL;
}

/* ---- send ------------------------------------------------------------------------------------ */

/* The send, and the look at the events, may swallow the edge of something that came in, or of the
 * room that a full queue has got meanwhile: then it is for the next step to go on. */
static int send_now (pxi_transport *transport, struct source *source, const pxi_identity *identity,
                     pxi_bytes *const *frames, uint32_t n_frames, int *events)
{
    int err = pxi_frames_send (source->socket, identity, frames, n_frames);
    *events = socket_events (source->socket);
    if ((*events & ZMQ_POLLIN) || (err == EAGAIN && (*events & ZMQ_POLLOUT))) {
        mark_ready (transport, source);
        set_kick (transport, true);
    }
    if (err == 0) {
        transport->stats.messages_sent++;
        transport->stats.bytes_sent += pxi_bytes_size_all (frames, n_frames);
    }
    return err;
}

static int link_send_now (pxi_transport *transport, struct link *link, pxi_bytes *const *frames,
                          uint32_t n_frames)
{
    int events = 0;
    int err = send_now (transport, &link->source, NULL, frames, n_frames, &events);
    link->writable = (events & ZMQ_POLLOUT) != 0;
    link->connected = link->connected || err == 0;
    return err;
}

static px_err link_send (pxi_transport *transport, struct link *link, pxi_bytes **frames,
                         uint32_t n_frames)
{
    pxi_list_remove (&link->in_recent);
    pxi_list_add_last (&transport->recent, &link->in_recent);
    int err =
        link->outbox.n_messages > 0 ? EAGAIN : link_send_now (transport, link, frames, n_frames);
    if (err == EAGAIN && pxi_outbox_add (&link->outbox, frames, n_frames, pxi_clock_ns ())) {
        if (!pxi_list_holds (&link->in_waiting))
            pxi_list_add_last (&transport->waiting, &link->in_waiting);
        set_ticking (transport, true);
        return PX_OK;
    }
    pxi_bytes_release_all (frames, n_frames);
    return err == 0 ? PX_OK : err == ENOMEM ? PX_ENOMEM : PX_EAGAIN;
}

/* PX_ENOPEER = the connection is gone; the references are then still the caller's. */
static px_err answer (pxi_transport *transport, pxi_link to, pxi_bytes **frames, uint32_t n_frames)
{
    int events = 0;
    pxi_identity identity = {
        .bytes = {0, (uint8_t)(to >> 24), (uint8_t)(to >> 16), (uint8_t)(to >> 8), (uint8_t)to}};
    int err = EHOSTUNREACH;
    if (transport->router.socket)
        err = send_now (transport, &transport->router, &identity, frames, n_frames, &events);
    if (err == EHOSTUNREACH)
        return PX_ENOPEER;
    pxi_bytes_release_all (frames, n_frames);
    return err == 0 ? PX_OK : err == ENOMEM ? PX_ENOMEM : PX_EAGAIN;
}

static bool is_too_big (const pxi_transport *transport, pxi_bytes *const *frames, uint32_t n_frames)
{
    for (uint32_t i = 0; i < n_frames; i++)
        if (pxi_bytes_size (frames[i]) > transport->config.message_size_max)
            return true;
    return n_frames > PXI_FRAMES_MAX;
}

/* As answer (): PX_ENOPEER leaves the references with the caller. */
static px_err send_near (pxi_transport *transport, pxi_link to, pxi_bytes **frames,
                         uint32_t n_frames)
{
    uint64_t size = pxi_bytes_size_all (frames, n_frames);
    px_err err = to ? pxi_near_send (transport->near, to, frames, n_frames) : PX_ENOPEER;
    if (err == PX_OK) {
        transport->stats.messages_sent++;
        transport->stats.bytes_sent += size;
    }
    return err;
}

/* By a link that there is: to the address, or the one that the peer came by. */
static px_err send_near_known (pxi_transport *transport, const pxi_address *address, pxi_link to,
                               pxi_bytes **frames, uint32_t n_frames)
{
    pxi_link link = address ? pxi_near_find (transport->near, address) : 0;
    px_err err = send_near (transport, link, frames, n_frames);
    if (err == PX_ENOPEER && (to & PXI_LINK_NEAR) && !(to & INBOUND))
        err = send_near (transport, to, frames, n_frames);
    return err;
}

static px_err send_near_opened (pxi_transport *transport, const pxi_address *address,
                                pxi_bytes **frames, uint32_t n_frames)
{
    pxi_link link = pxi_near_open (transport->near, address);
    transport->stats.links += link != 0;
    return send_near (transport, link, frames, n_frames);
}

/* The connection that the peer came by serves as long as there is no better: a peer may state an
 * address that does not lead to it. */
static bool by_answer (const struct link *link, pxi_link to)
{
    return (to & INBOUND) && !(link && link->connected);
}

px_err pxi_zmq_send (pxi_transport *transport, const pxi_address *address, pxi_link to,
                     pxi_bytes **frames, uint32_t n_frames)
{
    PXI_ASSERT (n_frames >= 1);
    bool addressed = address && address->kind != 0;
    struct link *link = addressed         ? link_find (transport, address)
                        : !(to & INBOUND) ? pxi_map_pointer (&transport->by_id, to)
                                          : NULL;
    if (is_too_big (transport, frames, n_frames)) {
        pxi_bytes_release_all (frames, n_frames);
        return PX_ETOOBIG;
    }
    px_err err = PX_ENOPEER;
    if (transport->near)
        err = send_near_known (transport, addressed ? address : NULL, to, frames, n_frames);
    if (err == PX_ENOPEER && by_answer (link, to))
        err = answer (transport, to, frames, n_frames);
    if (err == PX_ENOPEER && transport->near && !link && addressed)
        err = send_near_opened (transport, address, frames, n_frames);
    if (err != PX_ENOPEER)
        return err;
    if (!link && addressed)
        link = link_open (transport, address);
    if (link)
        return link_send (transport, link, frames, n_frames);
    pxi_bytes_release_all (frames, n_frames);
    return PX_EAGAIN;
}

bool pxi_zmq_link_address (const pxi_transport *transport, pxi_link to, pxi_address *address)
{
    if (transport->near && pxi_near_address (transport->near, to, address))
        return true;
    const struct link *link = to & INBOUND ? NULL : pxi_map_pointer (&transport->by_id, to);
    if (link)
        *address = link->address;
    return link != NULL;
}

/* ---- step: notices -----------------------------------------------------------------------------
 */

static void notify (pxi_transport *transport, int level, const char *text)
{
    if (transport->config.events.notice)
        transport->config.events.notice (transport->config.context, level, text);
}

/* Strangers may come often: one line for many of a kind. */
static void refused (void *context, pxi_refusal why, const char *what)
{
    pxi_transport *transport = context;
    struct quiet *quiet = &transport->quiet[why];
    char text[512];
    uint64_t now_ns = pxi_clock_ns ();
    transport->stats.refused++;
    if (now_ns < quiet->until_ns) {
        quiet->n_suppressed++;
        return;
    }
    int n = snprintf (text, sizeof text, "%s: %s", transport->endpoint, what);
    if (quiet->n_suppressed > 0 && n > 0 && (size_t)n < sizeof text)
        snprintf (text + n, sizeof text - (size_t)n, " (and %llu more like it)",
                  (unsigned long long)quiet->n_suppressed);
    *quiet = (struct quiet){now_ns + NOTICE_PAUSE_NS, 0};
    notify (transport, PX_LOG_WARNING, text);
}

static void refuse_nonsense (pxi_transport *transport)
{
    refused (transport, PXI_REFUSED_NONSENSE, "a message that no peer sends: not a peer");
}

static void notify_gone (pxi_transport *transport, const struct link *link)
{
    char endpoint[64], text[256];
    pxi_address_print (&link->address, endpoint);
    snprintf (text, sizeof text, "%s: no connection: not a peer, or not there, or %s", endpoint,
              transport->key ? "without this cluster's key: its log says whom it refuses"
                             : "of a cluster with a key, and this peer has none");
    notify (transport, PX_LOG_NOTICE, text);
}

/* ---- step: outboxes ----------------------------------------------------------------------------
 */

static void flush (pxi_transport *transport, struct link *link)
{
    for (pxi_held *held; (held = pxi_outbox_first (&link->outbox));) {
        int err = link_send_now (transport, link, held->frames, held->n_frames);
        if (err == EAGAIN)
            return;
        pxi_outbox_pop (&link->outbox);
    }
    pxi_list_remove (&link->in_waiting);
}

/* A link that never was connected is closed with its last message: a peer that is not there is not
 * called again and again. One that is connected and slow stays. */
static void expire (pxi_transport *transport, uint64_t now_ns)
{
    PXI_LIST_EACH_SAFE (at, &transport->waiting)
    {
        struct link *link = PXI_LIST_ENTRY (at, struct link, in_waiting);
        if (pxi_outbox_expire (&link->outbox, now_ns) == 0)
            continue;
        report_unreachable (transport, link);
        if (link->outbox.n_messages > 0)
            continue;
        pxi_list_remove (&link->in_waiting);
        if (!link->connected) {
            notify_gone (transport, link);
            link_close (transport, link);
        }
    }
}

static bool near_waits (const pxi_transport *transport)
{
    return transport->near && pxi_near_waits (transport->near);
}

static void expire_all (pxi_transport *transport, uint64_t now_ns)
{
    expire (transport, now_ns);
    if (near_waits (transport))
        pxi_near_expire (transport->near, now_ns);
}

static void tick (pxi_transport *transport)
{
    uint64_t count;
    if (read (transport->timer, &count, sizeof count) == sizeof count)
        expire_all (transport, pxi_clock_ns ());
    if (pxi_list_is_empty (&transport->waiting) && !near_waits (transport))
        set_ticking (transport, false);
}

/* ---- step: receive -----------------------------------------------------------------------------
 */

/* Nothing more to read. Sends keep `writable` up to date, so a link that is found not writable here
 * without a send has lost its connection. */
static void settle (pxi_transport *transport, struct source *source)
{
    pxi_list_remove (&source->in_ready);
    if (source == &transport->router)
        return;
    struct link *link = PXI_LIST_ENTRY (source, struct link, source);
    int events = socket_events (source->socket);
    bool was_writable = link->writable;
    link->writable = (events & ZMQ_POLLOUT) != 0;
    link->connected = link->connected || link->writable;
    if (events & ZMQ_POLLIN) {
        mark_ready (transport, source);
    } else if (was_writable && !link->writable) {
        report_unreachable (transport, link);
        link_close (transport, link);
    } else if (link->writable && link->outbox.n_messages > 0) {
        mark_ready (transport, source); /* became writable since the flush */
    }
}

static void deliver (pxi_transport *transport, pxi_link from, pxi_bytes **frames, uint32_t n_frames)
{
    transport->stats.messages_received++;
    transport->stats.bytes_received += pxi_bytes_size_all (frames, n_frames);
    transport->config.events.received (transport->config.context, from, frames, n_frames);
}

static pxi_link inbound_link (const pxi_identity *identity)
{
    const uint8_t *at = identity->bytes;
    return INBOUND | (uint64_t)at[1] << 24 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 8 | at[4];
}

/* One message of one source, which then goes behind the others: no sender keeps the rest waiting.
 * Nothing of the source is touched after the callback, which may close it. */
static void serve (pxi_transport *transport, struct source *source)
{
    pxi_bytes *frames[PXI_FRAMES_MAX];
    uint32_t n_frames = 0;
    pxi_identity identity = {.ask_source = transport->door.n_unknown > 0};
    bool inbound = source == &transport->router;
    if (!inbound)
        flush (transport, PXI_LIST_ENTRY (source, struct link, source));
    int err = pxi_frames_receive (source->socket, inbound ? &identity : NULL, frames, &n_frames);
    if (err == EAGAIN) {
        settle (transport, source);
        return;
    }
    pxi_list_remove (&source->in_ready);
    pxi_list_add_last (&transport->ready, &source->in_ready);
    if (err == 0 && inbound && identity.source >= 0)
        pxi_door_heard (&transport->door, identity.source);
    if (err == 0) {
        deliver (transport, inbound ? inbound_link (&identity) : source->id, frames, n_frames);
        return;
    }
    if (err == EPROTO)
        refuse_nonsense (transport);
    else
        transport->stats.refused++;
}

/* ---- step: links on this host ------------------------------------------------------------------
 */

static void near_received (void *context, pxi_link from, pxi_bytes **frames, uint32_t n_frames)
{
    deliver (context, from, frames, n_frames);
}

static void near_gone (void *context, const pxi_address *address, pxi_link link, bool nonsense)
{
    pxi_transport *transport = context;
    transport->stats.links -= address->kind != 0;
    if (nonsense)
        refuse_nonsense (transport);
    report (transport, address, link);
}

static void near_dropped (void *context, const pxi_address *address, pxi_link link)
{
    report (context, address, link);
}

static px_err system_error (char *why, const char *what)
{
    if (why)
        snprintf (why, PX_WHY_SIZE, "%s: %s", what, zmq_strerror (errno));
    return PX_ESYSTEM;
}

static px_err open_near (pxi_transport *transport, char *why)
{
    const pxi_near_config config = {.endpoint = transport->endpoint,
                                    .key = transport->key,
                                    .message_size_max = transport->config.message_size_max,
                                    .links_max = transport->config.links_max,
                                    .received = near_received,
                                    .gone = near_gone,
                                    .dropped = near_dropped,
                                    .context = transport};
    px_err err = pxi_near_new (&config, &transport->near);
    if (err == PX_OK && !watch (transport, pxi_near_fd (transport->near), ID_NEAR))
        err = PX_ESYSTEM;
    return err == PX_ESYSTEM ? system_error (why, "descriptors") : err;
}

/* ---- step ------------------------------------------------------------------------------------ */

static void gather (pxi_transport *transport)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait (transport->epoll, events, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++) {
        uint64_t id = events[i].data.u64;
        struct link *link = id >= FIRST_LINK ? pxi_map_pointer (&transport->by_id, id) : NULL;
        if (link)
            mark_ready (transport, &link->source);
        else if (id == ID_ROUTER)
            mark_ready (transport, &transport->router);
        else if (id == ID_TIMER)
            tick (transport);
        else if (id == ID_DOOR)
            pxi_door_step (&transport->door);
        else if (id == ID_NEAR)
            transport->near_ready = true;
    }
}

static void tell_reports (pxi_transport *transport)
{
    struct report reports[REPORTS_MAX];
    uint32_t n = transport->n_reports;
    memcpy (reports, transport->reports, n * sizeof *reports);
    transport->n_reports = 0;
    for (uint32_t i = 0; i < n && transport->config.events.unreachable; i++)
        transport->config.events.unreachable (transport->config.context, &reports[i].address,
                                              reports[i].link);
}

bool pxi_zmq_step (pxi_transport *transport, uint32_t budget)
{
    uint32_t messages = budget;
    gather (transport);
    for (pxi_list *first; budget > 0 && (first = pxi_list_first (&transport->ready)); budget--)
        serve (transport, PXI_LIST_ENTRY (first, struct source, in_ready));
    if (transport->near_ready)
        transport->near_ready = pxi_near_step (transport->near, messages);
    pxi_zmq_flush (transport);
    tell_reports (transport);
    bool more =
        !pxi_list_is_empty (&transport->ready) || transport->n_reports > 0 || transport->near_ready;
    set_kick (transport, more);
    return more;
}

void pxi_zmq_flush (pxi_transport *transport)
{
    if (!transport->near)
        return;
    pxi_near_flush (transport->near);
    if (pxi_near_waits (transport->near))
        set_ticking (transport, true);
}

/* ---- making and ending -------------------------------------------------------------------------
 */

/* Half of the descriptors at most: the other half is for those who connect, and the program. */
static uint32_t links_max (uint32_t wanted)
{
    struct rlimit limit;
    uint64_t most = wanted ? wanted : LINKS_MAX_DEFAULT;
    if (getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        uint64_t free = limit.rlim_cur > SPARE_DESCRIPTORS ? limit.rlim_cur - SPARE_DESCRIPTORS : 0;
        if (most > free / 2 / LINK_DESCRIPTORS)
            most = free / 2 / LINK_DESCRIPTORS;
    }
    return most > 0 ? (uint32_t)most : 1;
}

static px_err make_descriptors (pxi_transport *transport, char *why)
{
    transport->epoll = epoll_create1 (EPOLL_CLOEXEC);
    transport->kick = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    transport->timer = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (transport->epoll < 0 || transport->kick < 0 || transport->timer < 0 ||
        !watch (transport, transport->kick, ID_KICK) ||
        !watch (transport, transport->timer, ID_TIMER))
        return system_error (why, "descriptors");
    return PX_OK;
}

static px_err make_context (pxi_transport *transport, char *why)
{
    transport->context = zmq_ctx_new ();
    if (!transport->context)
        return system_error (why, "ZeroMQ");
    zmq_ctx_set (transport->context, ZMQ_BLOCKY, 0);
    /* Twice: closed sockets count until their drain is over. */
    zmq_ctx_set (transport->context, ZMQ_MAX_SOCKETS, (int)(2 * transport->config.links_max + 16));
    return PX_OK;
}

static bool make_door (pxi_transport *transport)
{
    pxi_door *door = &transport->door;
    door->refused = refused;
    door->context = transport;
    door->key = transport->key;
    if (!pxi_door_open (door, transport->context, transport->router.socket) ||
        !watch (transport, socket_fd (door->monitor), ID_DOOR) ||
        (door->judge && !watch (transport, socket_fd (door->judge), ID_DOOR)))
        return false;
    pxi_door_step (door); /* only who has found nothing to read is woken */
    return true;
}

static px_err read_key (pxi_transport *transport, const char *path, char *why)
{
    px_err err = pxi_key_read (path, &transport->own_key, why);
    if (err != PX_OK)
        return err;
    transport->key = &transport->own_key;
    if (!transport->key->exposed)
        return PX_OK;
    char text[PX_WHY_SIZE];
    snprintf (text, sizeof text,
              "key file %.200s: others than its owner can read it, and join the cluster with it: "
              "chmod 600",
              path);
    notify (transport, PX_LOG_WARNING, text);
    return PX_OK;
}

static void warn_open (pxi_transport *transport)
{
    char text[PXI_ENDPOINT_SIZE + 200];
    snprintf (text, sizeof text,
              "%s: whoever reaches this address can run the tasks of its modules here, and nothing "
              "is encrypted: give all peers a key (--key FILE), or trust everybody on that network",
              transport->endpoint);
    notify (transport, PX_LOG_WARNING, text);
}

static px_err make_router (pxi_transport *transport, const char *listen, char *why)
{
    bool open = false;
    transport->router.socket = zmq_socket (transport->context, ZMQ_ROUTER);
    if (!transport->router.socket)
        return system_error (why, "ZeroMQ");
    set_options (transport, transport->router.socket, ROUTER_HWM);
    set_int (transport->router.socket, ZMQ_ROUTER_MANDATORY, 1);
    if (!make_door (transport) ||
        !watch (transport, socket_fd (transport->router.socket), ID_ROUTER))
        return system_error (why, "ZeroMQ");
    px_err err =
        pxi_listen_bind (transport->router.socket, listen, transport->endpoint, &open, why);
    if (err == PX_OK && open && !transport->key)
        warn_open (transport);
    return err;
}

px_err pxi_zmq_new (const pxi_transport_config *config, pxi_transport **transport_p, char *why)
{
    pxi_transport *transport = calloc (1, sizeof *transport);
    if (!transport)
        return PX_ENOMEM;
    transport->config = *config;
    transport->config.listen = transport->config.key = NULL; /* the caller's */
    transport->config.links_max = links_max (config->links_max);
    transport->epoll = transport->kick = transport->timer = -1;
    transport->router.id = ID_ROUTER;
    transport->next_id = FIRST_LINK;
    uint64_t seed = pxi_system_seed ();
    pxi_map_init (&transport->by_id, transport->config.links_max, seed);
    pxi_map_init (&transport->by_address, transport->config.links_max, seed);
    pxi_list_init (&transport->ready);
    pxi_list_init (&transport->recent);
    pxi_list_init (&transport->waiting);
    pxi_list_init (&transport->router.in_ready);
    px_err err = config->key ? read_key (transport, config->key, why) : PX_OK;
    if (err == PX_OK)
        err = make_descriptors (transport, why);
    if (err == PX_OK)
        err = make_context (transport, why);
    if (err == PX_OK && config->listen && config->listen[0])
        err = make_router (transport, config->listen, why);
    if (err == PX_OK && !config->tcp_only)
        err = open_near (transport, why);
    if (err == PX_OK)
        *transport_p = transport;
    else
        pxi_zmq_free (&transport);
    return err;
}

static void close_socket (void *socket)
{
    if (socket)
        zmq_close (socket);
}

static void close_descriptor (int fd)
{
    if (fd >= 0)
        close (fd);
}

void pxi_zmq_free (pxi_transport **transport_p)
{
    pxi_transport *transport = *transport_p;
    *transport_p = NULL;
    if (!transport)
        return;
    pxi_near_free (&transport->near);
    for (pxi_list *first; (first = pxi_list_first (&transport->recent));)
        link_close (transport, PXI_LIST_ENTRY (first, struct link, in_recent));
    if (transport->router.socket)
        zmq_socket_monitor (transport->router.socket, NULL, 0);
    close_socket (transport->router.socket);
    pxi_door_close (&transport->door);
    while (transport->context && zmq_ctx_term (transport->context) != 0 && errno == EINTR)
        continue;
    close_descriptor (transport->epoll);
    close_descriptor (transport->kick);
    close_descriptor (transport->timer);
    pxi_map_fini (&transport->by_id);
    pxi_map_fini (&transport->by_address);
    pxi_key_wipe (&transport->own_key);
    free (transport);
}

const char *pxi_zmq_endpoint (const pxi_transport *transport)
{
    return transport->endpoint;
}

int pxi_zmq_fd (const pxi_transport *transport)
{
    return transport->epoll;
}

void pxi_zmq_stats (const pxi_transport *transport, pxi_transport_stats *stats)
{
    *stats = transport->stats;
}
