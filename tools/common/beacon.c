/* An address is joined when it is first heard, and again when it was not heard for a while (its peer was
 * away, or the link): so a healed link joins at once, and peers that know each other say nothing more.
 *
 * Invariant: what others broadcast is believed only as far as it is an address; the table of those heard is
 * bounded, the one not heard for longest makes room. Thread: its own, and CZMQ's actor's. */
#include "common/beacon.h"

#include <czmq.h>
#include <pthread.h>

#define MAGIC "PEEREXEC1 " /* then the address */
enum {
    EVERY_MS = 1000,
    POLL_MS = 500,
    CONFIGURE_MS = 10000, /* a busy host is no missing interface */
    AWAY_MS = 5 * EVERY_MS,
    HEARD_MAX = 256,
    ADDRESS_SIZE = 80,
};

struct heard {
    char address[ADDRESS_SIZE];
    int64_t at_ms;
};

struct beacon {
    px_peer *peer;
    zactor_t *actor;
    pthread_t thread;
    int stop; /* atomic */
    struct heard heard[HEARD_MAX];
    int n_heard;
};

/* ---- addresses --------------------------------------------------------------------------------
 */

/* "tcp://10.0.0.5:7000" -> "10.0.0.5" */
static bool host_of (const char *address, char host[ADDRESS_SIZE])
{
    const char *scheme = strstr (address, "://");
    const char *begin = scheme ? scheme + 3 : address, *end = strrchr (begin, ':');
    if (!end || end - begin >= ADDRESS_SIZE)
        return false;
    snprintf (host, ADDRESS_SIZE, "%.*s", (int)(end - begin), begin);
    return true;
}

bool beacon_can_say (const char *address)
{
    char host[ADDRESS_SIZE];
    return host_of (address, host) && strncmp (host, "127.", 4) != 0 && strcmp (host, "[::1]") != 0;
}

/* CZMQ would take the first interface that can broadcast, whatever network that is. */
static bool pick_interface (const char *address)
{
    char host[ADDRESS_SIZE];
    bool found = false;
    ziflist_t *interfaces = host_of (address, host) ? ziflist_new () : NULL;
    if (!interfaces)
        return false;
    for (const char *name = ziflist_first (interfaces); name && !found;
         name = ziflist_next (interfaces)) {
        found = streq (ziflist_address (interfaces), host);
        if (found)
            zsys_set_interface (name);
    }
    ziflist_destroy (&interfaces);
    return found;
}

/* ---- hearing ----------------------------------------------------------------------------------
 */

static struct heard *oldest (struct beacon *beacon)
{
    struct heard *found = &beacon->heard[0];
    for (int i = 1; i < beacon->n_heard; i++) {
        if (beacon->heard[i].at_ms < found->at_ms)
            found = &beacon->heard[i];
    }
    return found;
}

/* True when it was not there just before. */
static bool is_new (struct beacon *beacon, const char *address, int64_t now_ms)
{
    struct heard *at = NULL;
    for (int i = 0; i < beacon->n_heard && !at; i++) {
        if (streq (beacon->heard[i].address, address))
            at = &beacon->heard[i];
    }
    bool new = !at || now_ms - at->at_ms > AWAY_MS;
    if (!at)
        at = beacon->n_heard < HEARD_MAX ? &beacon->heard[beacon->n_heard++] : oldest (beacon);
    snprintf (at->address, sizeof at->address, "%s", address);
    at->at_ms = now_ms;
    return new;
}

static void heard (struct beacon *beacon, const char *text)
{
    if (strncmp (text, MAGIC, strlen (MAGIC)) != 0)
        return;
    const char *address = text + strlen (MAGIC);
    if (strlen (address) < ADDRESS_SIZE && beacon_can_say (address) &&
        !streq (address, px_peer_address (beacon->peer)) &&
        is_new (beacon, address, zclock_mono ()))
        px_peer_join (beacon->peer, address); /* what is no address is refused there */
}

static void *listen_to_others (void *argument)
{
    struct beacon *beacon = argument;
    while (!__atomic_load_n (&beacon->stop, __ATOMIC_ACQUIRE)) {
        char *from = zstr_recv (beacon->actor);
        char *text = from ? zstr_recv (beacon->actor) : NULL;
        if (text)
            heard (beacon, text);
        zstr_free (&from);
        zstr_free (&text);
    }
    return NULL;
}

/* ---- start and stop ---------------------------------------------------------------------------
 */

static bool configure (struct beacon *beacon, int port)
{
    char text[sizeof MAGIC + ADDRESS_SIZE];
    const char *address = px_peer_address (beacon->peer);
    if (strlen (address) >= ADDRESS_SIZE || !pick_interface (address))
        return false;
    beacon->actor = zactor_new (zbeacon, NULL);
    if (!beacon->actor)
        return false;
    zsock_set_rcvtimeo (beacon->actor, CONFIGURE_MS);
    zsock_send (beacon->actor, "si", "CONFIGURE", port);
    char *host = zstr_recv (beacon->actor);
    bool usable = host && *host;
    zstr_free (&host);
    if (!usable)
        return false;
    zsock_set_rcvtimeo (beacon->actor, POLL_MS);
    snprintf (text, sizeof text, MAGIC "%s", address);
    zsock_send (beacon->actor, "sbi", "PUBLISH", text, strlen (text) + 1, EVERY_MS);
    zsock_send (beacon->actor, "sb", "SUBSCRIBE", MAGIC, strlen (MAGIC));
    return true;
}

struct beacon *beacon_start (px_peer *peer, int port)
{
    struct beacon *beacon = calloc (1, sizeof *beacon);
    if (!beacon)
        return NULL;
    beacon->peer = peer;
    if (configure (beacon, port) &&
        pthread_create (&beacon->thread, NULL, listen_to_others, beacon) == 0)
        return beacon;
    fprintf (stderr,
             "peerd: --beacon %d: no interface with %s can broadcast there (IPv4 only; is the port "
             "in use?): goes on without, join by address instead\n",
             port, px_peer_address (peer));
    zactor_destroy (&beacon->actor);
    free (beacon);
    return NULL;
}

void beacon_stop (struct beacon **beacon_p)
{
    struct beacon *beacon = *beacon_p;
    if (!beacon)
        return;
    *beacon_p = NULL;
    __atomic_store_n (&beacon->stop, 1, __ATOMIC_RELEASE);
    pthread_join (beacon->thread, NULL);
    zactor_destroy (&beacon->actor);
    free (beacon);
}
