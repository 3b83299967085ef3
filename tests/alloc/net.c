/* The transport with each of its own allocations failing in turn (libzmq's are not ours to fail):
 * it is not made, or a message is dropped and said to be, and nothing is kept. */
#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>

#include <peerexec/peer.h>

#include "failing.h"
#include "key.h"
#include "net/transport.h"

static void received (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames)
{
    int *n_received = context;
    for (uint32_t i = 0; i < n_frames; i++)
        pxi_bytes_release (frames[i]);
    (*n_received)++;
}

static char key_path[32];
static const char *key; /* NULL = none */

static px_err open_one (const char *listen, int *n_received, pxi_transport **transport)
{
    char why[PX_WHY_SIZE];
    pxi_transport_config config = {.listen = listen,
                                   .message_size_max = 1000,
                                   .tcp_only = TCP_ONLY,
                                   .key = key,
                                   .events = {.received = received},
                                   .context = n_received};
    return pxi_zmq_new (&config, transport, why);
}

static void pump (pxi_transport *a, pxi_transport *b)
{
    struct pollfd fds[2] = {{pxi_zmq_fd (a), POLLIN, 0}, {pxi_zmq_fd (b), POLLIN, 0}};
    pxi_zmq_flush (a);
    pxi_zmq_flush (b);
    poll (fds, 2, 100);
    pxi_zmq_step (a, 16);
    pxi_zmq_step (b, 16);
}

/* Sends until one arrives: at most one message may be lost to the failure. */
static void exchange (pxi_transport *a, pxi_transport *b, const int *n_received)
{
    pxi_address address;
    cr_assert_eq (pxi_address_parse (pxi_zmq_endpoint (b), &address, NULL), PX_OK);
    for (int tries = 0; *n_received == 0 && tries < 50; tries++) {
        pxi_bytes *frame = pxi_bytes_new (100);
        if (frame) {
            px_err err = pxi_zmq_send (a, &address, 0, &frame, 1);
            cr_assert (err == PX_OK || err == PX_ENOMEM || err == PX_EAGAIN);
        }
        pump (a, b);
    }
    cr_assert_gt (*n_received, 0);
}

Test (net, a_failing_allocation_costs_one_message_or_one_call)
{
    bool met = true;
    key = KEYED ? test_key (key_path) : NULL;
    for (size_t n = 1; met; n++) {
        pxi_transport *a = NULL, *b = NULL;
        int n_a = 0, n_b = 0;
        failing_set (n);
        px_err err = open_one ("", &n_a, &a);
        if (err == PX_OK)
            err = open_one ("tcp://127.0.0.1:*", &n_b, &b);
        if (err == PX_OK)
            exchange (a, b, &n_b);
        pxi_zmq_free (&a);
        pxi_zmq_free (&b);
        met = failing_was_met ();
        long n_blocks = failing_n_blocks ();
        failing_set (0);
        cr_assert (err == PX_OK || (met && err == PX_ENOMEM), "allocation %zu: %d", n, err);
        cr_assert_eq (n_blocks, 0, "allocation %zu: %ld blocks kept", n, n_blocks);
    }
}
