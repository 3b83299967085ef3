/* Bytes over a stream socket between processes of one host: small pieces are gathered into few system
 * calls in both directions, large ones are read straight into their buffers and written from where
 * they lie. One thread. */
#ifndef PXI_NET_CHANNEL_H
#define PXI_NET_CHANNEL_H

#include <stdbool.h>

#include <peerexec/error.h>

#include "base/bytes.h"
#include "base/list.h"

typedef enum pxi_channel_state {
    PXI_CHANNEL_DONE,   /* all that was asked for was read, or written */
    PXI_CHANNEL_WAIT,   /* the socket has no more now; takes no more now */
    PXI_CHANNEL_CLOSED, /* the far end is gone */
} pxi_channel_state;

typedef struct pxi_channel {
    int fd;
    pxi_list unsent; /* pieces */
    uint64_t unsent_size;
    uint8_t *buffer;
    size_t buffer_begin, buffer_end;
    bool drained; /* the last read got less than it had room for: another would find nothing */
} pxi_channel;

/* Takes fd when it succeeds. PX_ENOMEM. */
px_err pxi_channel_init (pxi_channel *channel, int fd);
/* Closes fd. */
void pxi_channel_fini (pxi_channel *channel);

/* Queues a piece, taking the reference in every case. False: out of memory (or bytes is NULL); the
 * channel has lost a piece and is of no use any more. */
bool pxi_channel_add (pxi_channel *channel, pxi_bytes *bytes);
/* Writes what is queued; waits for the socket only where fd is in blocking mode. */
pxi_channel_state pxi_channel_flush (pxi_channel *channel);

/* Brings *got to `size` bytes at `to`. Never blocks. */
pxi_channel_state pxi_channel_fill (pxi_channel *channel, void *to, size_t size, size_t *got);

#endif
