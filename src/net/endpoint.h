/* The text of an endpoint taken apart, for addresses to connect to and addresses to listen at. */
#ifndef PXI_NET_ENDPOINT_H
#define PXI_NET_ENDPOINT_H

#include "net/transport.h"

typedef struct pxi_endpoint {
    char host[256]; /* without brackets: 253 is the longest name in the DNS */
    char port[8];   /* as written: a number, or "*" */
    bool bracketed; /* an IPv6 address */
} pxi_endpoint;

/* PX_EADDRESS with `why`. */
px_err pxi_endpoint_split (const char *text, pxi_endpoint *endpoint, char *why);
/* False when it is not a number from 0 to 65535. */
bool pxi_endpoint_port (const char *text, uint16_t *port);
/* Fills kind and ip. May ask the resolver, which may block. PX_EADDRESS. */
px_err pxi_endpoint_resolve (const pxi_endpoint *endpoint, pxi_address *address, char *why);
/* For maps. Two addresses may have one. */
uint64_t pxi_address_key (const pxi_address *address);

#endif
