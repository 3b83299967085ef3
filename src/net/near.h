/* Links to peers of this host, beside TCP: stream sockets that the loop itself reads and writes, so
 * that a message wakes its receiver and nobody else. For the transport (zmq.c), which keeps TCP for
 * whoever cannot be reached by one. One thread. */
#ifndef PXI_NET_NEAR_H
#define PXI_NET_NEAR_H

#include "net/key.h"
#include "net/transport.h"

typedef struct pxi_near pxi_near;

#define PXI_LINK_NEAR (UINT64_C (1) << 62) /* set in the number of every such link */

typedef struct pxi_near_config {
    const char *endpoint;       /* as TCP is bound, "tcp://127.0.0.1:4123"; "" = do not listen */
    const pxi_cluster_key *key; /* of the cluster; NULL = none. Only for pxi_near_new () */
    uint64_t message_size_max;  /* bytes of one frame */
    uint32_t links_max;         /* opened from here; the longest unused is closed first */
    /* From pxi_near_step () only. A whole message, whose references the receiver takes. */
    void (*received) (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames);
    /* A link was closed: the far end has gone, or sent what is no message; or another took its place.
     * kind 0 = the far end had opened it. Also from pxi_near_open (): no place to send from. */
    void (*gone) (void *context, const pxi_address *address, pxi_link link, bool nonsense);
    /* From pxi_near_expire (): something waited too long for a peer that does not read. */
    void (*dropped) (void *context, const pxi_address *address, pxi_link link);
    void *context;
} pxi_near_config;

/* The address is one of this host's. Asks the kernel. */
bool pxi_near_is_this_host (const pxi_address *address);
/* PX_ENOMEM, PX_ESYSTEM. That nobody can listen (the name is taken) is no error: TCP is there. */
px_err pxi_near_new (const pxi_near_config *config, pxi_near **near_p);
void pxi_near_free (pxi_near **near_p);

/* Polls readable when pxi_near_step () has something to do. */
int pxi_near_fd (const pxi_near *near);

/* The link to this address; 0 = none. pxi_near_open () tries to make one: 0 = nobody of this user
 * listens there on this host, or too many links. */
pxi_link pxi_near_find (const pxi_near *near, const pxi_address *address);
pxi_link pxi_near_open (pxi_near *near, const pxi_address *address);
bool pxi_near_address (const pxi_near *near, pxi_link link, pxi_address *address);

/* Queued until pxi_near_flush (). PX_ENOPEER = the link is gone: the references are still the
 * caller's. Else they are taken; PX_EAGAIN = too much waits for a peer that does not read: dropped;
 * PX_ENOMEM. */
px_err pxi_near_send (pxi_near *near, pxi_link link, pxi_bytes **frames, uint32_t n_frames);
void pxi_near_flush (pxi_near *near);
/* True: messages wait for peers that do not read; pxi_near_expire () now and then. */
bool pxi_near_waits (const pxi_near *near);
void pxi_near_expire (pxi_near *near, uint64_t now_ns);

/* At most `budget` messages. True = more is there. */
bool pxi_near_step (pxi_near *near, uint32_t budget);

#endif
