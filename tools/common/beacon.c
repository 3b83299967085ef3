#include "common/beacon.h"

#include <czmq.h>
#include <pthread.h>

#define MAGIC "PEEREXEC1 " /* then the address */
enum { POLL_MS = 500 };

struct beacon {
    px_peer *peer;
    zactor_t *actor;
    pthread_t thread;
    int stop; /* atomic */
};

static void heard (const struct beacon *beacon, const char *text)
{
    if (strncmp (text, MAGIC, strlen (MAGIC)) != 0)
        return;
    const char *address = text + strlen (MAGIC);
    if (strcmp (address, px_peer_address (beacon->peer)) != 0)
        px_peer_join (beacon->peer, address);
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

static bool configure (struct beacon *beacon, int port)
{
    char text[256];
    beacon->actor = zactor_new (zbeacon, NULL);
    if (!beacon->actor)
        return false;
    zsock_set_rcvtimeo (beacon->actor, POLL_MS);
    zsock_send (beacon->actor, "si", "CONFIGURE", port);
    char *host = zstr_recv (beacon->actor);
    bool usable = host && *host;
    zstr_free (&host);
    if (!usable)
        return false;
    snprintf (text, sizeof text, MAGIC "%s", px_peer_address (beacon->peer));
    zsock_send (beacon->actor, "sbi", "PUBLISH", text, strlen (text) + 1, 1000);
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
    fprintf (stderr, "peerd: --beacon: no interface to broadcast on: join by address instead\n");
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
