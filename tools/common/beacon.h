/* Finding peers on a LAN: each says its address by UDP broadcast (CZMQ's zbeacon), once a second.
 * Does not see loopback; takes the first matching interface. */
#ifndef TOOLS_COMMON_BEACON_H
#define TOOLS_COMMON_BEACON_H

#include <peerexec/peer.h>

struct beacon;

/* NULL: said on standard error; the peer goes on without. Stop it before the peer is closed. */
struct beacon *beacon_start (px_peer *peer, int port);
/* NULL is fine. */
void beacon_stop (struct beacon **beacon_p);

#endif
