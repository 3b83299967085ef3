/* Who comes to a ROUTER: whom its key admits, and who is turned away, why, and from where. For the
 * transport (zmq.c). One thread. */
#ifndef PXI_NET_DOOR_H
#define PXI_NET_DOOR_H

#include "base/list.h"
#include "base/map.h"
#include "net/key.h"

typedef enum pxi_refusal {
    PXI_REFUSED_STRANGER, /* no peer, or one that went while shaking hands */
    PXI_REFUSED_KEYLESS,  /* one of the two has a key, the other has none */
    PXI_REFUSED_KEY,      /* has another key */
    PXI_REFUSED_NONSENSE, /* shook hands, then sent what no peer sends */
    PXI_REFUSALS,
} pxi_refusal;

typedef struct pxi_door {
    /* From pxi_door_step () only. `text` ends without a full stop; `who` is an address, or "somebody". */
    void (*refused) (void *context, pxi_refusal why, const char *text);
    void *context;
    const pxi_cluster_key *key; /* NULL = none */
    void *monitor, *judge;      /* sockets to be watched; judge is NULL without a key */
    pxi_map visitors;           /* by descriptor */
    pxi_list all_visitors;
    uint32_t n_unknown;     /* visitors of whom no message has come */
    int64_t n_silent;       /* of those, about, have shaken hands */
    uint64_t n_turned_away; /* not admitted, which was said then, and not gone yet */
    bool failing;           /* the next that goes failed in its handshake, */
    uint32_t failure;       /* in this way: of ZMQ_PROTOCOL_ERROR_, 0 = not said */
} pxi_door;

/* Before the router is bound; key, refused and context are set. False: errno. */
bool pxi_door_open (pxi_door *door, void *zmq_context, void *router);
/* Harmless for a door of zeros. After the router is closed. */
void pxi_door_close (pxi_door *door);
/* Reads all there is. */
void pxi_door_step (pxi_door *door);
/* While n_unknown is not 0: a message came by this descriptor. */
void pxi_door_heard (pxi_door *door, int fd);

#endif
