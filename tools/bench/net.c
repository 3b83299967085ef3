#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peerexec/peer.h>

#include "base/clock.h"
#include "bench/raw.h"
#include "net/transport.h"

#define SIZE_MAX_BYTES (UINT64_C (256) << 20)

struct end {
    pxi_transport *transport;
    uint64_t n_answers;
};

static _Noreturn void lost (const char *what)
{
    fprintf (stderr, "peer-bench: through src/net: %s\n", what);
    exit (1);
}

static void answer (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames)
{
    struct end *end = context;
    pxi_zmq_send (end->transport, NULL, link, frames, n_frames);
}

static void count (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames)
{
    struct end *end = context;
    for (uint32_t i = 0; i < n_frames; i++)
        pxi_bytes_release (frames[i]);
    end->n_answers++;
}

static void end_open (struct end *end, const char *listen,
                      void (*received) (void *, pxi_link, pxi_bytes **, uint32_t))
{
    char why[PX_WHY_SIZE] = "";
    pxi_transport_config config = {.listen = listen,
                                   .message_size_max = SIZE_MAX_BYTES,
                                   .events = {.received = received},
                                   .context = end};
    if (pxi_zmq_new (&config, &end->transport, why) == PX_OK)
        return;
    lost (why);
}

static void end_wait (struct end *end)
{
    struct pollfd fd = {.fd = pxi_zmq_fd (end->transport), .events = POLLIN};
    pxi_zmq_flush (end->transport);
    poll (&fd, 1, -1);
    while (pxi_zmq_step (end->transport, 64))
        continue;
}

void net_echo (const raw_key_t *none, int out)
{
    struct end end = {0};
    char endpoint[RAW_ENDPOINT_SIZE] = "";
    end_open (&end, "tcp://127.0.0.1:*", answer);
    snprintf (endpoint, sizeof endpoint, "%s", pxi_zmq_endpoint (end.transport));
    if (write (out, endpoint, sizeof endpoint) != sizeof endpoint)
        _exit (1);
    for (;;)
        end_wait (&end);
}

static void call (struct end *end, const pxi_address *to, size_t size)
{
    pxi_bytes *frame = pxi_bytes_new (size);
    uint64_t before = end->n_answers;
    if (!frame)
        lost ("out of memory");
    memset (pxi_bytes_data (frame), 0, size);
    if (pxi_zmq_send (end->transport, to, 0, &frame, 1) != PX_OK)
        lost ("a message was not sent");
    while (end->n_answers == before)
        end_wait (end);
}

void net_calls (const raw_server_t *server, size_t size, uint64_t n, uint64_t *durations)
{
    struct end end = {0};
    pxi_address to;
    end_open (&end, "", count);
    if (pxi_address_parse (server->endpoint, &to, NULL) != PX_OK)
        lost ("no address");
    call (&end, &to, size); /* connects */
    for (uint64_t i = 0; i < n; i++) {
        uint64_t begin_ns = pxi_clock_ns ();
        call (&end, &to, size);
        durations[i] = pxi_clock_ns () - begin_ns;
    }
    pxi_zmq_free (&end.transport);
}
