/* Finding peers on a LAN: each says its address by UDP broadcast (CZMQ's zbeacon), once a second, on the
 * interface that it is reached by. A LAN only: loopback has no broadcast, and no router forwards it. */
#ifndef TOOLS_COMMON_BEACON_H
#define TOOLS_COMMON_BEACON_H

#include <stdbool.h>

#include <peerexec/peer.h>

struct beacon;

/* True when others can make something of this address: false for loopback. */
bool beacon_can_say (const char *address);
/* NULL: said on standard error; the peer goes on without. Stop it before the peer is closed. */
struct beacon *beacon_start (px_peer *peer, int port);
/* NULL is fine. */
void beacon_stop (struct beacon **beacon_p);

#endif
