/* With a key, libzmq asks about everybody who has proved to have a key pair, and knows this
 * cluster's public half, by ZAP (rfc.zeromq.org/spec/27): only those who have the secret half as
 * well are let in. One with another key does not get that far.
 *
 * The monitor tells the rest. libzmq 4.3.4 reports every failure but those of ZMTP 1 and 2, directly
 * before the disconnection (there is one I/O thread). What it says of a handshake that is done names
 * no descriptor: of whom a message came is known by its descriptor, the others are counted. */
#include "net/door.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <zmq.h>

#include "base/clock.h"

enum {
    VISITORS_MAX = 1 << 20, /* descriptors end before */
    EVENTS = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
             ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
             ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
};

typedef struct visitor {
    pxi_list in_all;
    bool known; /* has sent a message */
    char from[64];
} visitor;

/* ---- libzmq's own messages -------------------------------------------------------------------- */

enum { PARTS_MAX = 9, PART_SIZE_MAX = 255 };

/* Short ones, read without memory of our own: whom there is none for must not keep others out. */
struct parts {
    uint8_t bytes[PARTS_MAX][PART_SIZE_MAX];
    size_t sizes[PARTS_MAX];
    int n; /* more than PARTS_MAX were dropped */
};

/* False: there is none. */
static bool receive (void *socket, struct parts *parts)
{
    int more = 1;
    for (parts->n = 0; more; parts->n++) {
        uint8_t dropped[PART_SIZE_MAX];
        bool fits = parts->n < PARTS_MAX;
        size_t option_size = sizeof more;
        int size =
            zmq_recv (socket, fits ? parts->bytes[parts->n] : dropped, PART_SIZE_MAX, ZMQ_DONTWAIT);
        if (size < 0 || zmq_getsockopt (socket, ZMQ_RCVMORE, &more, &option_size) != 0)
            return false;
        if (fits)
            parts->sizes[parts->n] = size < PART_SIZE_MAX ? (size_t)size : PART_SIZE_MAX;
    }
    return true;
}

/* ---- visitors --------------------------------------------------------------------------------- */

static void print_address (const struct sockaddr_storage *at, char text[64])
{
    const struct sockaddr_in *four = (const void *)at;
    const struct sockaddr_in6 *six = (const void *)at;
    char ip[INET6_ADDRSTRLEN] = "somebody";
    uint16_t port = 0;
    if (at->ss_family == AF_INET && inet_ntop (AF_INET, &four->sin_addr, ip, sizeof ip))
        port = ntohs (four->sin_port);
    else if (at->ss_family == AF_INET6 && inet_ntop (AF_INET6, &six->sin6_addr, ip, sizeof ip))
        port = ntohs (six->sin6_port);
    snprintf (text, 64, port ? "%s port %u" : "%s", ip, port);
}

static void forget (pxi_door *door, uint32_t fd)
{
    visitor *gone = pxi_map_remove_pointer (&door->visitors, fd);
    if (!gone)
        return;
    door->n_unknown -= !gone->known;
    pxi_list_remove (&gone->in_all);
    free (gone);
}

/* The connection may be gone already, even be another's: a line for people, no more. */
static void remember (pxi_door *door, uint32_t fd)
{
    struct sockaddr_storage at = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof at;
    forget (door, fd);
    visitor *come = malloc (sizeof *come);
    if (!come || getpeername ((int)fd, (struct sockaddr *)&at, &size) != 0 ||
        !pxi_map_put_pointer (&door->visitors, fd, come)) {
        free (come);
        return;
    }
    come->known = false;
    door->n_unknown++;
    print_address (&at, come->from);
    pxi_list_add_last (&door->all_visitors, &come->in_all);
}

void pxi_door_heard (pxi_door *door, int fd)
{
    visitor *found = pxi_map_pointer (&door->visitors, (uint64_t)fd);
    if (!found || found->known)
        return;
    found->known = true;
    door->n_unknown--;
    door->n_silent--;
}

/* ---- refusals --------------------------------------------------------------------------------- */

static const char *words_of (pxi_refusal why, bool with_key)
{
    switch (why) {
    case PXI_REFUSED_KEYLESS:
        return with_key ? "has no key, refused: it needs the key file of this cluster, --key FILE"
                        : "has a key and this peer has none: it needs the same, --key FILE";
    case PXI_REFUSED_KEY:
        return "has another key, refused: it needs the key file of this cluster, --key FILE";
    default:
        return with_key ? "connected and did not shake hands as peers of this cluster do: not a "
                          "peer, one without the key, or one that went away"
                        : "connected and did not shake hands as peers do: not a peer, one with a "
                          "key (this peer has none), or one that went away";
    }
}

static void refuse (pxi_door *door, pxi_refusal why, const char *from)
{
    char text[320];
    snprintf (text, sizeof text, "%s %s", from, words_of (why, door->key != NULL));
    door->refused (door->context, why, text);
}

static pxi_refusal refusal_of (uint32_t failure, bool with_key)
{
    if (failure == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
        return PXI_REFUSED_KEYLESS;
    return failure == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC && with_key ? PXI_REFUSED_KEY
                                                                        : PXI_REFUSED_STRANGER;
}

/* Whoever goes without having shaken hands. */
static void note_gone (pxi_door *door, uint32_t fd)
{
    const visitor *gone = pxi_map_pointer (&door->visitors, fd);
    const char *from = gone ? gone->from : "somebody";
    if (door->failing)
        refuse (door, refusal_of (door->failure, door->key != NULL), from);
    else if (gone && gone->known)
        ;
    else if (door->n_turned_away > 0)
        door->n_turned_away--;
    else if (door->n_silent > 0)
        door->n_silent--;
    else
        refuse (door, PXI_REFUSED_STRANGER, from);
    door->failing = false;
    forget (door, fd);
}

/* ---- the monitor ------------------------------------------------------------------------------ */

static void note (pxi_door *door, uint16_t event, uint32_t value)
{
    switch (event) {
    case ZMQ_EVENT_ACCEPTED:
        remember (door, value);
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        door->n_silent++;
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        door->n_turned_away++;
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        door->failing = true;
        door->failure = event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ? value : 0;
        break;
    default:
        note_gone (door, value);
    }
}

static void read_monitor (pxi_door *door)
{
    struct parts parts;
    while (receive (door->monitor, &parts)) {
        uint16_t event = 0;
        uint32_t value = 0;
        if (parts.sizes[0] != sizeof event + sizeof value)
            continue;
        memcpy (&event, parts.bytes[0], sizeof event);
        memcpy (&value, parts.bytes[0] + sizeof event, sizeof value);
        note (door, event, value);
    }
}

/* ---- admission -------------------------------------------------------------------------------- */

/* A request, as the ROUTER gets it. */
enum {
    FROM,
    EMPTY,
    VERSION,
    REQUEST,
    DOMAIN,
    ADDRESS,
    IDENTITY,
    MECHANISM,
    CREDENTIALS,
    REQUEST_PARTS
};
_Static_assert((int)REQUEST_PARTS <= (int)PARTS_MAX, "a request is read whole");

static bool is_admitted (const pxi_door *door, const struct parts *request)
{
    return request->n == REQUEST_PARTS && request->sizes[CREDENTIALS] == PXI_KEY_SIZE &&
           memcmp (request->bytes[CREDENTIALS], door->key->public_bytes, PXI_KEY_SIZE) == 0;
}

static void answer (pxi_door *door, const struct parts *request, bool admitted)
{
    const struct {
        const void *bytes;
        size_t size;
    } reply[] = {{request->bytes[FROM], request->sizes[FROM]},
                 {"", 0},
                 {"1.0", 3},
                 {request->bytes[REQUEST], request->sizes[REQUEST]},
                 {admitted ? "200" : "400", 3},
                 {"", 0},
                 {"", 0},
                 {"", 0}};
    enum { N = sizeof reply / sizeof *reply };
    for (int i = 0; i < N; i++) {
        if (zmq_send (door->judge, reply[i].bytes, reply[i].size,
                      ZMQ_DONTWAIT | (i + 1 < N ? ZMQ_SNDMORE : 0)) < 0)
            return; /* it has gone */
    }
}

static void tell_refused (pxi_door *door, const struct parts *request)
{
    char key[PXI_KEY_TEXT_SIZE] = "?", text[320];
    if (request->sizes[CREDENTIALS] == PXI_KEY_SIZE)
        zmq_z85_encode (key, request->bytes[CREDENTIALS], PXI_KEY_SIZE);
    snprintf (text, sizeof text,
              "%.*s has the key %s, which is not this cluster's, refused: it needs the key file of "
              "this cluster, --key FILE",
              (int)request->sizes[ADDRESS], (const char *)request->bytes[ADDRESS], key);
    door->refused (door->context, PXI_REFUSED_KEY, text);
}

static void judge (pxi_door *door)
{
    struct parts request;
    while (receive (door->judge, &request)) {
        if (request.n <= CREDENTIALS)
            continue; /* not libzmq's; nobody else reaches this socket */
        bool admitted = is_admitted (door, &request);
        answer (door, &request, admitted);
        if (!admitted)
            tell_refused (door, &request);
    }
}

void pxi_door_step (pxi_door *door)
{
    if (door->judge)
        judge (door);
    read_monitor (door);
}

/* ---- making and ending ------------------------------------------------------------------------ */

static bool open_judge (pxi_door *door, void *zmq_context, void *router)
{
    pxi_key_serve (door->key, router);
    door->judge = zmq_socket (zmq_context, ZMQ_ROUTER);
    return door->judge && zmq_bind (door->judge, "inproc://zeromq.zap.01") == 0;
}

bool pxi_door_open (pxi_door *door, void *zmq_context, void *router)
{
    static const char endpoint[] = "inproc://router-monitor";
    pxi_map_init (&door->visitors, VISITORS_MAX, pxi_system_seed ());
    pxi_list_init (&door->all_visitors);
    if (zmq_socket_monitor (router, endpoint, EVENTS) != 0)
        return false;
    door->monitor = zmq_socket (zmq_context, ZMQ_PAIR);
    return door->monitor && zmq_connect (door->monitor, endpoint) == 0 &&
           (!door->key || open_judge (door, zmq_context, router));
}

void pxi_door_close (pxi_door *door)
{
    if (!door->all_visitors.next)
        return;
    for (pxi_list *first; (first = pxi_list_first (&door->all_visitors));) {
        visitor *left = PXI_LIST_ENTRY (first, visitor, in_all);
        pxi_list_remove (&left->in_all);
        free (left);
    }
    pxi_map_fini (&door->visitors);
    if (door->monitor)
        zmq_close (door->monitor);
    if (door->judge)
        zmq_close (door->judge);
}
