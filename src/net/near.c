/* A listener of the Unix domain under an abstract name, which is made of the TCP address: it goes
 * with its process and belongs to the network namespace, as the TCP port does. Whoever wants to
 * reach an address tries that name first; it connects at once or not at all. Both ends take only
 * their own user: others could have taken the name, and have TCP. The name says whose cluster it is
 * as well, by the key, so that peers of two clusters never meet; nothing is encrypted here.
 *
 *     u32 version | u32 n_frames | u64 size of each | frames
 *
 * What is sent is queued and leaves with the flush at the end of the loop's pass, so that many
 * messages to one peer are one system call. Where the socket takes no more, further messages wait in
 * an outbox, bounded in number, bytes and time. Nothing is closed inside a send, but a link that is
 * the longest unused where a new one needs its place: what is found broken is closed by the next
 * step. */
#include "net/near.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "net/channel.h"
#include "net/endpoint.h"
#include "net/outbox.h"

enum {
    VERSION = 1, /* also in the name: other versions never meet */
    BACKLOG = 64,
    EVENTS_MAX = 64,
    COPIED_MAX = 4096,    /* a smaller message is copied into one piece */
    FLUSH_AT = 256 << 10, /* bytes queued for a link: no reason to wait for more */
    NAME_SIZE = 100,
    LINKS_MAX = 1 << 16, /* descriptors end before */
};
enum { STAGE_HEADER, STAGE_SIZES, STAGE_FRAMES };
#define LISTENER 0 /* in an event: not a link */

typedef struct near_header {
    uint32_t version, n_frames;
} near_header;

typedef struct near_link {
    pxi_list in_near, in_ready, in_dirty, in_waiting;
    uint64_t id, key;    /* key: of the address in by_address */
    pxi_address address; /* kind 0: the other side opened it */
    pxi_channel channel;
    pxi_outbox outbox; /* while the channel takes no more */
    bool broken, blocked;
    /* The message that is being read. */
    uint32_t stage, at;
    size_t got; /* bytes of the stage, or of the frame */
    near_header header;
    uint64_t sizes[PXI_FRAMES_MAX];
    pxi_bytes *frames[PXI_FRAMES_MAX];
} near_link;

struct pxi_near {
    pxi_near_config config;
    int epoll, listener;
    int spare; /* a descriptor to turn somebody away with */
    uint64_t next_id;
    pxi_map by_id, by_address;
    pxi_list links; /* longest unused first */
    pxi_list ready, dirty, waiting;
    uint32_t n_opened; /* links that this side has opened */
    char tag[18];      /* in the names of this cluster: of its key, after a dash; "" = none */
};

/* ---- names ------------------------------------------------------------------------------------
 */

static socklen_t name_of (const pxi_near *near, struct sockaddr_un *name, const char *host,
                          uint16_t port)
{
    memset (name, 0, sizeof *name);
    name->sun_family = AF_UNIX;
    int n = snprintf (name->sun_path + 1, NAME_SIZE, "peerexec-%d%s/%s:%u", VERSION, near->tag,
                      host, port);
    return (socklen_t)(offsetof (struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static void print_ip (const pxi_address *address, char text[INET6_ADDRSTRLEN])
{
    inet_ntop (address->kind == 6 ? AF_INET6 : AF_INET, address->ip, text, INET6_ADDRSTRLEN);
}

static bool is_ip (const struct sockaddr *of, const pxi_address *address)
{
    if (address->kind == 4 && of->sa_family == AF_INET)
        return memcmp (&((const struct sockaddr_in *)(const void *)of)->sin_addr, address->ip, 4) ==
               0;
    return address->kind == 6 && of->sa_family == AF_INET6 &&
           memcmp (&((const struct sockaddr_in6 *)(const void *)of)->sin6_addr, address->ip, 16) ==
               0;
}

/* Who listens at every address has one name for all, which must not be taken for another host's. That an
 * address can be bound shows nothing: hosts which take over others' addresses let all be bound. */
bool pxi_near_is_this_host (const pxi_address *address)
{
    struct ifaddrs *all = NULL;
    if (pxi_address_is_wildcard (address) || pxi_address_is_loopback (address))
        return true;
    if (getifaddrs (&all) != 0)
        return false;
    const struct ifaddrs *one = all;
    while (one && !(one->ifa_addr && is_ip (one->ifa_addr, address)))
        one = one->ifa_next;
    bool found = one != NULL;
    freeifaddrs (all);
    return found;
}

static bool is_own_user (int fd)
{
    struct ucred far;
    socklen_t size = sizeof far;
    return getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &far, &size) == 0 && far.uid == geteuid ();
}

static int connect_to (const pxi_near *near, const char *host, uint16_t port)
{
    struct sockaddr_un name;
    socklen_t size = name_of (near, &name, host, port);
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect (fd, (struct sockaddr *)&name, size) == 0 && is_own_user (fd))
        return fd;
    if (fd >= 0)
        close (fd);
    return -1;
}

static int connect_address (const pxi_near *near, const pxi_address *address)
{
    char host[INET6_ADDRSTRLEN];
    print_ip (address, host);
    int fd = connect_to (near, host, address->port);
    if (fd < 0 && pxi_near_is_this_host (address))
        fd = connect_to (near, "*", address->port);
    return fd;
}

/* ---- links ------------------------------------------------------------------------------------
 */

static bool watch (const pxi_near *near, int operation, int fd, uint32_t events, uint64_t id)
{
    struct epoll_event event = {.events = events, .data.u64 = id};
    return epoll_ctl (near->epoll, operation, fd, &event) == 0;
}

static void mark_ready (pxi_near *near, near_link *link)
{
    if (!pxi_list_holds (&link->in_ready))
        pxi_list_add_last (&near->ready, &link->in_ready);
}

static void link_free (pxi_near *near, near_link *link)
{
    if (link->address.kind && pxi_map_pointer (&near->by_address, link->key) == link)
        pxi_map_remove (&near->by_address, link->key, NULL);
    pxi_map_remove (&near->by_id, link->id, NULL);
    pxi_list_remove (&link->in_near);
    pxi_list_remove (&link->in_ready);
    pxi_list_remove (&link->in_dirty);
    pxi_list_remove (&link->in_waiting);
    near->n_opened -= link->address.kind != 0;
    pxi_outbox_fini (&link->outbox);
    pxi_bytes_release_all (link->frames, PXI_FRAMES_MAX);
    pxi_channel_fini (&link->channel);
    free (link);
}

/* Takes fd in every case. */
static near_link *link_new (pxi_near *near, int fd, const pxi_address *address)
{
    near_link *link = calloc (1, sizeof *link);
    if (!link || pxi_channel_init (&link->channel, fd) != PX_OK) {
        close (fd);
        free (link);
        return NULL;
    }
    link->id = PXI_LINK_NEAR | ++near->next_id;
    link->address = *address;
    link->key = pxi_address_key (address);
    pxi_list_init (&link->in_ready);
    pxi_list_init (&link->in_dirty);
    pxi_list_init (&link->in_waiting);
    pxi_outbox_init (&link->outbox);
    near->n_opened += address->kind != 0;
    pxi_list_add_last (&near->links, &link->in_near);
    if (!pxi_map_put_pointer (&near->by_id, link->id, link) ||
        (address->kind && !pxi_map_put_pointer (&near->by_address, link->key, link)) ||
        !watch (near, EPOLL_CTL_ADD, fd, EPOLLIN, link->id)) {
        link_free (near, link);
        return NULL;
    }
    return link;
}

static void close_link (pxi_near *near, near_link *link, bool nonsense)
{
    pxi_address address = link->address;
    pxi_link id = link->id;
    link_free (near, link);
    near->config.gone (near->config.context, &address, id, nonsense);
}

pxi_link pxi_near_find (const pxi_near *near, const pxi_address *address)
{
    const near_link *link = pxi_map_pointer (&near->by_address, pxi_address_key (address));
    return link && !link->broken && pxi_address_same (&link->address, address) ? link->id : 0;
}

static void evict (pxi_near *near)
{
    PXI_LIST_EACH (at, &near->links)
    {
        near_link *link = PXI_LIST_ENTRY (at, near_link, in_near);
        if (link->address.kind) {
            close_link (near, link, false);
            return;
        }
    }
}

pxi_link pxi_near_open (pxi_near *near, const pxi_address *address)
{
    if (pxi_map_pointer (&near->by_address, pxi_address_key (address)))
        return 0; /* broken and not closed yet, or another with the same key: TCP, for now */
    int fd = connect_address (near, address);
    if (fd >= 0 && near->n_opened >= near->config.links_max)
        evict (near);
    const near_link *link = fd >= 0 ? link_new (near, fd, address) : NULL;
    return link ? link->id : 0;
}

bool pxi_near_address (const pxi_near *near, pxi_link link, pxi_address *address)
{
    const near_link *found = pxi_map_pointer (&near->by_id, link);
    if (!found || !found->address.kind)
        return false;
    *address = found->address;
    return true;
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static pxi_bytes *make_head (pxi_bytes *const *frames, uint32_t n_frames, bool with_frames,
                             uint64_t size)
{
    near_header header = {VERSION, n_frames};
    size_t head_size = sizeof header + n_frames * sizeof (uint64_t);
    pxi_bytes *head = pxi_bytes_new (head_size + (with_frames ? size : 0));
    if (!head)
        return NULL;
    uint8_t *at = pxi_bytes_data (head);
    memcpy (at, &header, sizeof header);
    at += sizeof header;
    for (uint32_t i = 0; i < n_frames; i++, at += sizeof (uint64_t)) {
        uint64_t frame_size = pxi_bytes_size (frames[i]);
        memcpy (at, &frame_size, sizeof frame_size);
    }
    for (uint32_t i = 0; i < n_frames && with_frames; at += pxi_bytes_size (frames[i++])) {
        if (pxi_bytes_size (frames[i]))
            memcpy (at, pxi_bytes_data (frames[i]), pxi_bytes_size (frames[i]));
    }
    return head;
}

static bool queue (near_link *link, pxi_bytes **frames, uint32_t n_frames, uint64_t size)
{
    bool copied = size <= COPIED_MAX;
    bool queued = pxi_channel_add (&link->channel, make_head (frames, n_frames, copied, size));
    for (uint32_t i = 0; i < n_frames; i++) {
        if (copied || !queued || !pxi_bytes_size (frames[i]))
            pxi_bytes_release (frames[i]);
        else
            queued = pxi_channel_add (&link->channel, frames[i]);
    }
    return queued;
}

/* The queue's next message goes to the channel. */
static bool queue_waiting (near_link *link)
{
    pxi_held *held = pxi_outbox_first (&link->outbox);
    for (uint32_t i = 0; i < held->n_frames; i++)
        pxi_bytes_acquire (held->frames[i]);
    bool queued = queue (link, held->frames, held->n_frames, held->size_bytes);
    /* The channel has its own references now, or has released them. */
    pxi_outbox_pop (&link->outbox);
    return queued;
}

static pxi_channel_state write_all (near_link *link)
{
    pxi_channel_state state = PXI_CHANNEL_DONE;
    while (!link->broken && (state = pxi_channel_flush (&link->channel)) == PXI_CHANNEL_DONE &&
           link->outbox.n_messages)
        link->broken = !queue_waiting (link);
    return link->broken ? PXI_CHANNEL_CLOSED : state;
}

static void flush (pxi_near *near, near_link *link)
{
    pxi_channel_state state = write_all (link);
    pxi_list_remove (&link->in_dirty);
    if (!link->outbox.n_messages)
        pxi_list_remove (&link->in_waiting);
    bool blocked = state == PXI_CHANNEL_WAIT;
    if (blocked != link->blocked)
        watch (near, EPOLL_CTL_MOD, link->channel.fd, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN,
               link->id);
    link->blocked = blocked;
    if (state != PXI_CHANNEL_CLOSED)
        return;
    link->broken = true;
    shutdown (link->channel.fd, SHUT_RDWR); /* it polls readable from now on, and is closed there */
}

static px_err send_later (pxi_near *near, near_link *link, pxi_bytes **frames, uint32_t n_frames)
{
    if (!pxi_outbox_add (&link->outbox, frames, n_frames, pxi_clock_ns ())) {
        pxi_bytes_release_all (frames, n_frames);
        return PX_EAGAIN;
    }
    if (!pxi_list_holds (&link->in_waiting))
        pxi_list_add_last (&near->waiting, &link->in_waiting);
    return PX_OK;
}

px_err pxi_near_send (pxi_near *near, pxi_link to, pxi_bytes **frames, uint32_t n_frames)
{
    near_link *link = pxi_map_pointer (&near->by_id, to);
    if (!link || link->broken)
        return PX_ENOPEER;
    uint64_t size = pxi_bytes_size_all (frames, n_frames);
    pxi_list_remove (&link->in_near);
    pxi_list_add_last (&near->links, &link->in_near);
    if (link->blocked)
        return send_later (near, link, frames, n_frames);
    if (!pxi_list_holds (&link->in_dirty))
        pxi_list_add_last (&near->dirty, &link->in_dirty);
    link->broken = !queue (link, frames, n_frames, size); /* part of a message may be in there */
    if (link->channel.unsent_size >= FLUSH_AT)
        flush (near, link);
    return link->broken ? PX_ENOMEM : PX_OK;
}

void pxi_near_flush (pxi_near *near)
{
    for (pxi_list *at; (at = pxi_list_first (&near->dirty));)
        flush (near, PXI_LIST_ENTRY (at, near_link, in_dirty));
}

bool pxi_near_waits (const pxi_near *near)
{
    return !pxi_list_is_empty (&near->waiting);
}

void pxi_near_expire (pxi_near *near, uint64_t now_ns)
{
    PXI_LIST_EACH_SAFE (at, &near->waiting)
    {
        near_link *link = PXI_LIST_ENTRY (at, near_link, in_waiting);
        if (pxi_outbox_expire (&link->outbox, now_ns) == 0)
            continue;
        if (!link->outbox.n_messages)
            pxi_list_remove (at);
        near->config.dropped (near->config.context, &link->address, link->id);
    }
}

/* ---- receiving --------------------------------------------------------------------------------
 */

static bool header_is_valid (const near_header *header)
{
    return header->version == VERSION && header->n_frames >= 1 &&
           header->n_frames <= PXI_FRAMES_MAX;
}

/* The frame to be read next gets its room; what is announced and never comes costs one of them. */
static bool make_room (const pxi_near *near, near_link *link)
{
    uint64_t size = link->sizes[link->at];
    if (size > near->config.message_size_max)
        return false;
    link->frames[link->at] = pxi_bytes_new (size);
    return link->frames[link->at] != NULL;
}

static pxi_channel_state read_stage (near_link *link)
{
    switch (link->stage) {
    case STAGE_HEADER:
        return pxi_channel_fill (&link->channel, &link->header, sizeof link->header, &link->got);
    case STAGE_SIZES:
        return pxi_channel_fill (&link->channel, link->sizes,
                                 link->header.n_frames * sizeof link->sizes[0], &link->got);
    default:
        return pxi_channel_fill (&link->channel, pxi_bytes_data (link->frames[link->at]),
                                 link->sizes[link->at], &link->got);
    }
}

/* False: nonsense. */
static bool next_stage (const pxi_near *near, near_link *link)
{
    link->got = 0;
    switch (link->stage) {
    case STAGE_HEADER:
        link->stage = STAGE_SIZES;
        return header_is_valid (&link->header);
    case STAGE_SIZES:
        link->stage = STAGE_FRAMES;
        link->at = 0;
        return make_room (near, link);
    default:
        link->at++;
        return link->at == link->header.n_frames || make_room (near, link);
    }
}

static bool is_whole (const near_link *link)
{
    return link->stage == STAGE_FRAMES && link->at == link->header.n_frames;
}

static void deliver (pxi_near *near, near_link *link)
{
    pxi_bytes *frames[PXI_FRAMES_MAX];
    uint32_t n_frames = link->header.n_frames;
    memcpy (frames, link->frames, n_frames * sizeof *frames);
    memset (link->frames, 0, n_frames * sizeof *frames);
    link->stage = STAGE_HEADER;
    near->config.received (near->config.context, link->id, frames, n_frames);
}

/* One message of one link, which then goes behind the others. */
static void serve (pxi_near *near, near_link *link)
{
    pxi_channel_state state = PXI_CHANNEL_DONE;
    bool sense = true;
    while (state == PXI_CHANNEL_DONE && sense && !is_whole (link)) {
        state = read_stage (link);
        sense = state != PXI_CHANNEL_DONE || next_stage (near, link);
    }
    pxi_list_remove (&link->in_ready);
    if (!sense || state == PXI_CHANNEL_CLOSED) {
        close_link (near, link, !sense);
    } else if (is_whole (link)) {
        const pxi_channel *channel = &link->channel;
        if (channel->buffer_begin < channel->buffer_end || !channel->drained)
            mark_ready (near, link);
        deliver (near, link);
    }
}

static int accept_one (const pxi_near *near)
{
    return accept4 (near->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void close_descriptor (int fd)
{
    if (fd >= 0)
        close (fd);
}

static void set_spare (pxi_near *near)
{
    if (near->spare < 0)
        near->spare = fcntl (near->epoll, F_DUPFD_CLOEXEC, 0);
}

/* There are no descriptors left: whoever waits to be accepted is turned away by means of the spare one, since the
 * listener would wake the loop as long as they wait. */
static void turn_away (pxi_near *near)
{
    close_descriptor (near->spare);
    near->spare = -1;
    close_descriptor (accept_one (near));
    set_spare (near);
}

/* Who still waits after these is for the next step. */
static void accept_some (pxi_near *near)
{
    for (uint32_t i = 0; i < BACKLOG; i++) {
        int fd = accept_one (near);
        if (fd >= 0 && is_own_user (fd))
            link_new (near, fd, &(pxi_address){0});
        else if (fd >= 0)
            close (fd);
        else if (errno == EMFILE || errno == ENFILE)
            turn_away (near);
        else
            return;
    }
}

static void gather (pxi_near *near)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait (near->epoll, events, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++) {
        near_link *link = pxi_map_pointer (&near->by_id, events[i].data.u64);
        if (events[i].data.u64 == LISTENER)
            accept_some (near);
        if (link && (events[i].events & EPOLLOUT))
            flush (near, link);
        if (link && (events[i].events & ~(uint32_t)EPOLLOUT))
            mark_ready (near, link);
    }
}

bool pxi_near_step (pxi_near *near, uint32_t budget)
{
    gather (near);
    for (pxi_list *at; budget > 0 && (at = pxi_list_first (&near->ready)); budget--)
        serve (near, PXI_LIST_ENTRY (at, near_link, in_ready));
    return !pxi_list_is_empty (&near->ready);
}

/* ---- making and ending ------------------------------------------------------------------------
 */

static void listen_at (pxi_near *near, const pxi_address *address)
{
    char host[INET6_ADDRSTRLEN] = "*";
    struct sockaddr_un name;
    if (!pxi_address_is_wildcard (address))
        print_ip (address, host);
    socklen_t size = name_of (near, &name, host, address->port);
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (bind (fd, (struct sockaddr *)&name, size) == 0 && listen (fd, BACKLOG) == 0 &&
        watch (near, EPOLL_CTL_ADD, fd, EPOLLIN, LISTENER))
        near->listener = fd;
    else
        close (fd);
}

px_err pxi_near_new (const pxi_near_config *config, pxi_near **near_p)
{
    pxi_near *near = calloc (1, sizeof *near);
    if (!near)
        return PX_ENOMEM;
    near->config = *config;
    near->listener = near->spare = -1;
    near->epoll = epoll_create1 (EPOLL_CLOEXEC);
    if (near->epoll < 0) {
        free (near);
        return PX_ESYSTEM;
    }
    uint64_t seed = pxi_system_seed ();
    pxi_map_init (&near->by_id, LINKS_MAX, seed);
    pxi_map_init (&near->by_address, LINKS_MAX, seed);
    pxi_list_init (&near->links);
    pxi_list_init (&near->ready);
    pxi_list_init (&near->dirty);
    pxi_list_init (&near->waiting);
    if (config->key) {
        near->tag[0] = '-';
        pxi_key_tag (config->key, near->tag + 1);
    }
    pxi_address address;
    if (config->endpoint[0] && pxi_address_parse (config->endpoint, &address, NULL) == PX_OK)
        listen_at (near, &address);
    set_spare (near);
    near->config.endpoint = NULL; /* the caller's */
    near->config.key = NULL;
    *near_p = near;
    return PX_OK;
}

void pxi_near_free (pxi_near **near_p)
{
    pxi_near *near = *near_p;
    *near_p = NULL;
    if (!near)
        return;
    pxi_near_flush (near);
    for (pxi_list *at; (at = pxi_list_first (&near->links));)
        link_free (near, PXI_LIST_ENTRY (at, near_link, in_near));
    close_descriptor (near->listener);
    close_descriptor (near->spare);
    close (near->epoll);
    pxi_map_fini (&near->by_id);
    pxi_map_fini (&near->by_address);
    free (near);
}

int pxi_near_fd (const pxi_near *near)
{
    return near->epoll;
}
