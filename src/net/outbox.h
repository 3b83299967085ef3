/* Messages that wait for a link to be writable: in order, bounded in number, bytes and time. */
#ifndef PXI_NET_OUTBOX_H
#define PXI_NET_OUTBOX_H

#include <stdbool.h>

#include "base/list.h"
#include "net/transport.h"

enum {
    PXI_OUTBOX_MESSAGES_MAX = 256,   /* what one peer sends another within a round of handshakes */
    PXI_OUTBOX_BYTES_MAX = 16 << 20, /* a single larger message is taken when it is alone */
};
#define PXI_OUTBOX_WAIT_NS                                                                         \
    (3 * PXI_SECOND) /* above the core's detection time: later, nobody wants it */

typedef struct pxi_held {
    pxi_list in_outbox;
    uint64_t deadline_ns, size_bytes;
    uint32_t n_frames;
    pxi_bytes *frames[];
} pxi_held;

typedef struct pxi_outbox {
    pxi_list messages; /* oldest first */
    uint32_t n_messages;
    uint64_t size_bytes;
} pxi_outbox;

void pxi_outbox_init (pxi_outbox *outbox);
void pxi_outbox_fini (pxi_outbox *outbox);
/* False when full or out of memory; the references are the outbox's only when true. */
bool pxi_outbox_add (pxi_outbox *outbox, pxi_bytes *const *frames, uint32_t n_frames,
                     uint64_t now_ns);
/* The oldest; NULL when empty. */
pxi_held *pxi_outbox_first (const pxi_outbox *outbox);
/* Drop the oldest, with its references. */
void pxi_outbox_pop (pxi_outbox *outbox);
/* Drop what has waited too long: returns how many. */
uint32_t pxi_outbox_expire (pxi_outbox *outbox, uint64_t now_ns);

#endif
