/* Addresses as text: "tcp://1.2.3.4:5", "tcp://[::1]:5", "host:5".
 *
 * Policy: an address is numeric from here on. Names are resolved once, IPv4 first when both are
 * there, because that is what "127.0.0.1:*" listeners have; a name that moves is joined anew. */
#include "net/transport.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/peer.h>

#include "net/endpoint.h"

static px_err refuse (char *why, const char *text, const char *reason)
{
    if (why)
        snprintf (why, PX_WHY_SIZE, "%.300s: %s", text, reason);
    return PX_EADDRESS;
}

px_err pxi_endpoint_split (const char *text, pxi_endpoint *endpoint, char *why)
{
    const char *at = strncmp (text, "tcp://", 6) == 0 ? text + 6 : text;
    if (strstr (at, "://"))
        return refuse (why, text, "only tcp:// addresses are known");
    const char *colon = strrchr (at, ':');
    if (!colon)
        return refuse (why, text, "no port: write host:port");
    size_t size = (size_t)(colon - at);
    endpoint->bracketed = size >= 2 && at[0] == '[' && colon[-1] == ']';
    if (endpoint->bracketed) {
        at++;
        size -= 2;
    } else if (memchr (at, ':', size)) {
        return refuse (why, text, "an IPv6 address stands in brackets: [::1]:5555");
    }
    if (size == 0)
        return refuse (why, text, "no host: write host:port");
    if (size >= sizeof endpoint->host || strlen (colon + 1) >= sizeof endpoint->port)
        return refuse (why, text, "too long for an address");
    memcpy (endpoint->host, at, size);
    endpoint->host[size] = 0;
    strcpy (endpoint->port, colon + 1);
    return PX_OK;
}

bool pxi_endpoint_port (const char *text, uint16_t *port)
{
    size_t n_digits = strspn (text, "0123456789");
    unsigned long value = strtoul (text, NULL, 10);
    if (n_digits == 0 || n_digits > 5 || text[n_digits] != 0 || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

static void from_sockaddr (const struct sockaddr *from, pxi_address *address)
{
    if (from->sa_family == AF_INET) {
        address->kind = 4;
        memcpy (address->ip, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
    } else {
        address->kind = 6;
        memcpy (address->ip, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
    }
}

px_err pxi_endpoint_resolve (const pxi_endpoint *endpoint, pxi_address *address, char *why)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (endpoint->bracketed) {
        hints.ai_family = AF_INET6;
        hints.ai_flags = AI_NUMERICHOST;
    }
    int rc = getaddrinfo (endpoint->host, NULL, &hints, &found);
    if (rc != 0)
        return refuse (why, endpoint->host, gai_strerror (rc));
    const struct addrinfo *best = NULL;
    for (const struct addrinfo *at = found; at; at = at->ai_next)
        if (at->ai_family == AF_INET || (at->ai_family == AF_INET6 && !best)) {
            best = at;
            if (at->ai_family == AF_INET)
                break;
        }
    if (best)
        from_sockaddr (best->ai_addr, address);
    freeaddrinfo (found);
    return best ? PX_OK : refuse (why, endpoint->host, "has neither an IPv4 nor an IPv6 address");
}

px_err pxi_address_parse (const char *text, pxi_address *address, char *why)
{
    pxi_endpoint endpoint;
    pxi_address found = {0};
    px_err err = pxi_endpoint_split (text, &endpoint, why);
    if (err != PX_OK)
        return err;
    if (!pxi_endpoint_port (endpoint.port, &found.port) || found.port == 0)
        return refuse (why, text, "the port is not a number from 1 to 65535");
    err = pxi_endpoint_resolve (&endpoint, &found, why);
    if (err == PX_OK)
        *address = found;
    return err;
}

void pxi_address_print (const pxi_address *address, char text[64])
{
    char ip[INET6_ADDRSTRLEN] = "";
    if (address->kind == 4) {
        inet_ntop (AF_INET, address->ip, ip, sizeof ip);
        snprintf (text, 64, "tcp://%s:%u", ip, address->port);
    } else if (address->kind == 6) {
        inet_ntop (AF_INET6, address->ip, ip, sizeof ip);
        snprintf (text, 64, "tcp://[%s]:%u", ip, address->port);
    } else {
        snprintf (text, 64, "no address");
    }
}

/* One to one for IPv4. Two IPv6 addresses may meet: whoever uses it compares the addresses. */
uint64_t pxi_address_key (const pxi_address *address)
{
    uint64_t high = 0, low = 0;
    memcpy (&high, address->ip, 8);
    memcpy (&low, address->ip + 8, 8);
    if (address->kind == 4)
        return (high << 16 | high >> 48) ^ ((uint64_t)address->port << 48);
    high = (high ^ UINT64_C (0x9e3779b97f4a7c15)) * UINT64_C (0xbf58476d1ce4e5b9);
    low = (low ^ high >> 29) * UINT64_C (0x94d049bb133111eb);
    return low ^ low >> 31 ^ ((uint64_t)address->port << 13);
}
