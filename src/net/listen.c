/* Policy: the host may be a number, a name that resolves to an address of this host, the name of a
 * network interface, or "*" (all of IPv4). The port may be "*" or 0: the kernel chooses. Every
 * refusal says what to write instead. */
#include "net/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <peerexec/peer.h>
#include <zmq.h>

#include "net/endpoint.h"

static px_err refuse (char *why, px_err err, const char *listen, const char *reason)
{
    if (why)
        snprintf (why, PX_WHY_SIZE, "%.200s: %.300s", listen, reason);
    return err;
}

static bool is_number (const char *host)
{
    struct in_addr ip;
    return inet_pton (AF_INET, host, &ip) == 1;
}

/* The host in the form that zmq_bind () takes. */
static px_err numeric_host (const pxi_endpoint *endpoint, char host[64], bool *six, char *why)
{
    pxi_address address = {0};
    if (!endpoint->bracketed && strlen (endpoint->host) < IF_NAMESIZE &&
        (strcmp (endpoint->host, "*") == 0 || is_number (endpoint->host) ||
         if_nametoindex (endpoint->host) != 0)) {
        snprintf (host, 64, "%s", endpoint->host);
        return PX_OK;
    }
    px_err err = pxi_endpoint_resolve (endpoint, &address, why);
    if (err != PX_OK)
        return err;
    char ip[INET6_ADDRSTRLEN];
    *six = address.kind == 6;
    inet_ntop (*six ? AF_INET6 : AF_INET, address.ip, ip, sizeof ip);
    snprintf (host, 64, *six ? "[%s]" : "%s", ip);
    return PX_OK;
}

static px_err bind_error (int err, const char *listen, const pxi_endpoint *endpoint, char *why)
{
    char reason[300];
    switch (err) {
    case EADDRINUSE:
        snprintf (reason, sizeof reason,
                  "the port is in use by another process: choose another or tcp://%s%.200s%s:*",
                  endpoint->bracketed ? "[" : "", endpoint->host, endpoint->bracketed ? "]" : "");
        return refuse (why, PX_EINUSE, listen, reason);
    case EADDRNOTAVAIL:
    case ENODEV:
        return refuse (why, PX_EADDRESS, listen, "not an address of this host");
    case EACCES:
        return refuse (why, PX_ESYSTEM, listen, "not allowed: ports below 1024 need privileges");
    default:
        return refuse (why, PX_ESYSTEM, listen, zmq_strerror (err));
    }
}

static bool is_open (const char *endpoint)
{
    pxi_address address;
    return pxi_address_parse (endpoint, &address, NULL) != PX_OK ||
           !pxi_address_is_loopback (&address);
}

px_err pxi_listen_bind (void *router, const char *listen, char endpoint[PXI_ENDPOINT_SIZE],
                        bool *open, char *why)
{
    pxi_endpoint parts;
    char host[64], target[PXI_ENDPOINT_SIZE];
    uint16_t port = 0;
    int six = false;
    px_err err = pxi_endpoint_split (listen, &parts, why);
    if (err != PX_OK)
        return err;
    if (strcmp (parts.port, "*") != 0 && !pxi_endpoint_port (parts.port, &port))
        return refuse (why, PX_EADDRESS, listen, "the port is neither a number up to 65535 nor *");
    bool is_six = false;
    err = numeric_host (&parts, host, &is_six, why);
    if (err != PX_OK)
        return err;
    six = is_six;
    snprintf (target, sizeof target, port == 0 ? "tcp://%s:*" : "tcp://%s:%u", host, port);
    if (zmq_setsockopt (router, ZMQ_IPV6, &six, sizeof six) != 0 || zmq_bind (router, target) != 0)
        return bind_error (errno, listen, &parts, why);
    size_t size = PXI_ENDPOINT_SIZE;
    if (zmq_getsockopt (router, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0)
        return refuse (why, PX_ESYSTEM, listen, zmq_strerror (errno));
    *open = is_open (endpoint);
    return PX_OK;
}
