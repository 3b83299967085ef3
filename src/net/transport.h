/* A transport carries envelopes between peers. It knows addresses and links, not the protocol.
 * One thread (the agent's loop) makes all calls. Nothing blocks, but what says so. Events come from
 * pxi_zmq_step () (a notice about listening from pxi_zmq_new ()); their receivers may send. */
#ifndef PXI_NET_TRANSPORT_H
#define PXI_NET_TRANSPORT_H

#include <peerexec/error.h>

#include "base/bytes.h"
#include "core/message.h"

enum { PXI_FRAMES_MAX = 72 }; /* envelope + 2 per attempt or result of one message */

typedef struct pxi_transport pxi_transport;

/* Where a message came from: good for answering until the link goes. 0 = none. */
typedef uint64_t pxi_link;

typedef struct pxi_transport_events {
    /* A whole message: frame 0 is the envelope. The receiver takes the references. */
    void (*received) (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames);
    /* The connection of `link` to `address` went, or something that waited for it was dropped. A hint. */
    void (*unreachable) (void *context, const pxi_address *address, pxi_link link);
    /* A line for people, e.g. a peer that breaks off while shaking hands (another protocol, version). */
    void (*notice) (void *context, int level, const char *text);
} pxi_transport_events;

typedef struct pxi_transport_config {
    const char *listen;        /* "tcp://127.0.0.1:*"; "" = do not listen */
    uint64_t message_size_max; /* bytes of one frame */
    bool tcp_only;             /* also to peers of this host */
    const char *key;    /* file of the cluster's key, read by pxi_zmq_new () only; NULL = none: then
                        nothing is encrypted, and who has a key is not talked to */
    uint32_t links_max; /* outgoing links kept; the longest unused is closed first. 0 = 512 */
    pxi_transport_events events;
    void *context;
} pxi_transport_config;

typedef struct pxi_transport_stats {
    uint64_t messages_sent, messages_received, bytes_sent, bytes_received, refused, links;
} pxi_transport_stats;

/* PX_EADDRESS, PX_EINUSE, PX_ESYSTEM, PX_ECONFIG (the key); `why` (PX_WHY_SIZE bytes) says it in a sentence. */
px_err pxi_zmq_new (const pxi_transport_config *config, pxi_transport **transport, char *why);
/* Drops what waits. May block for 200 ms, so that what was sent last leaves. NULL inside is fine. */
void pxi_zmq_free (pxi_transport **transport_p);

/* As bound, with the real port; "" when not listening. */
const char *pxi_zmq_endpoint (const pxi_transport *transport);

/* Send to an address (kind != 0), by a link of its own or the one the peer came by; or, with kind 0 or
 * address NULL, back along `link`. Takes the frames' references in every case. On error it was dropped:
 * PX_EAGAIN (no route, or everything full), PX_ETOOBIG (a frame over message_size_max, or too many),
 * PX_ENOMEM. PX_OK = on its way, or waiting for the link for a bounded time. */
px_err pxi_zmq_send (pxi_transport *transport, const pxi_address *address, pxi_link link,
                     pxi_bytes **frames, uint32_t n_frames);

/* Whatever was sent since the last step or flush leaves: call it before sleeping. */
void pxi_zmq_flush (pxi_transport *transport);

/* Where a link of ours leads. False: not known, or the other side opened it. */
bool pxi_zmq_link_address (const pxi_transport *transport, pxi_link link, pxi_address *address);

/* A file descriptor that polls readable when pxi_zmq_step () has something to do. */
int pxi_zmq_fd (const pxi_transport *transport);
/* Receive and flush: at most `budget` messages, so that the loop stays live. True = more is waiting:
 * call again before sleeping. */
bool pxi_zmq_step (pxi_transport *transport, uint32_t budget);

void pxi_zmq_stats (const pxi_transport *transport, pxi_transport_stats *stats);

/* "tcp://1.2.3.4:5", "tcp://[::1]:5", "host:5" (asks the resolver, which may block) <-> address.
 * PX_EADDRESS. Any thread. */
px_err pxi_address_parse (const char *text, pxi_address *address, char *why);
void pxi_address_print (const pxi_address *address, char text[64]);

#endif
