/* Where a transport listens, and what people are told about it. */
#ifndef PXI_NET_LISTEN_H
#define PXI_NET_LISTEN_H

#include <stdbool.h>

#include "net/transport.h"

enum { PXI_ENDPOINT_SIZE = 320 };

/* Bind a ROUTER that has its options. `endpoint` gets the address as bound, with the real port;
 * `open` is true when others than this host can reach it. PX_EADDRESS, PX_EINUSE, PX_ESYSTEM with
 * `why`. */
px_err pxi_listen_bind (void *router, const char *listen, char endpoint[PXI_ENDPOINT_SIZE],
                        bool *open, char *why);

#endif
