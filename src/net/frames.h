/* Messages as ZeroMQ multiparts: the only place that touches zmq_msg_t. */
#ifndef PXI_NET_FRAMES_H
#define PXI_NET_FRAMES_H

#include <stdbool.h>

#include "net/transport.h"

/* A ROUTER's name for one connection: it makes them of a zero byte and a number that rises with
 * each connection, unless the other side chooses one. Peers never do. */
enum { PXI_IDENTITY_SIZE = 5 };

typedef struct pxi_identity {
    uint8_t bytes[PXI_IDENTITY_SIZE];
    bool ask_source; /* before a receive: which descriptor did it come by? */
    int source;      /* -1 = not known */
} pxi_identity;

/* 0, or an errno: EAGAIN (not connected, or full) and EHOSTUNREACH (identity gone) leave the caller
 * with his references; nothing or all of the message is sent. On 0 too the references stay the
 * caller's: zmq has its own. identity NULL = not a ROUTER. */
int pxi_frames_send (void *socket, const pxi_identity *identity, pxi_bytes *const *frames,
                     uint32_t n_frames);

/* One message. 0, or EAGAIN (none), EPROTO (not a peer's: dropped whole), ENOMEM (dropped whole).
 * `frames` has room for PXI_FRAMES_MAX; references are the caller's. identity NULL = not a ROUTER.
 */
int pxi_frames_receive (void *socket, pxi_identity *identity, pxi_bytes **frames,
                        uint32_t *n_frames);

#endif
