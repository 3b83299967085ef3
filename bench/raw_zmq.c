/* The floor under a remote call: a round trip of libzmq alone, DEALER to ROUTER over loopback TCP,
 * between two processes; and messages one way. With --transport the same through src/net, which
 * shows what the transport adds.
 *
 *     raw_zmq [--size BYTES] [--calls N] [--transport] [--json]
 *
 * One call at a time, after 100 that are not counted; percentiles over single calls. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zmq.h>

#include "base/clock.h"
#include "net/transport.h"

enum { CALLS_MAX = 1000000, WARM = 100, WINDOW = 1000, SIZE_MAX_BYTES = 256 << 20 };

struct options {
    size_t size;
    long n_calls;
    bool transport, json;
};

struct figures {
    double p50_us, p90_us, p99_us, one_way_per_s;
};

static void die (const char *what)
{
    fprintf (stderr, "raw_zmq: %s\n", what);
    exit (1);
}

static int by_value (const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* One-byte messages are not answered: they are the one-way ones; an empty one ends a window of
 * them. */
static bool is_answered (size_t size)
{
    return size != 1;
}

/* ---- libzmq alone ------------------------------------------------------------------------------
 */

static void raw_serve (int out)
{
    void *socket = zmq_socket (zmq_ctx_new (), ZMQ_ROUTER);
    char endpoint[128] = "";
    size_t endpoint_size = sizeof endpoint;
    if (zmq_bind (socket, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt (socket, ZMQ_LAST_ENDPOINT, endpoint, &endpoint_size) != 0 ||
        write (out, endpoint, sizeof endpoint) != sizeof endpoint)
        _exit (1);
    for (;;) {
        zmq_msg_t identity, body;
        zmq_msg_init (&identity);
        zmq_msg_init (&body);
        if (zmq_msg_recv (&identity, socket, 0) < 0 || zmq_msg_recv (&body, socket, 0) < 0)
            _exit (1);
        if (is_answered (zmq_msg_size (&body))) {
            zmq_msg_send (&identity, socket, ZMQ_SNDMORE);
            zmq_msg_send (&body, socket, 0);
        }
        zmq_msg_close (&identity);
        zmq_msg_close (&body);
    }
}

static void raw_call (void *socket, const void *data, size_t size)
{
    zmq_msg_t body;
    zmq_msg_init (&body);
    if (zmq_send (socket, data, size, 0) < 0 || zmq_msg_recv (&body, socket, 0) < 0)
        die ("libzmq failed");
    zmq_msg_close (&body);
}

static void raw_measure (const char *endpoint, const struct options *options, uint64_t *durations,
                         double *one_way_per_s)
{
    void *context = zmq_ctx_new (), *socket = zmq_socket (context, ZMQ_DEALER);
    char *data = calloc (1, options->size + 1);
    if (!data || zmq_connect (socket, endpoint) != 0)
        die ("cannot connect");
    for (long i = -WARM; i < options->n_calls; i++) {
        uint64_t begin_ns = pxi_clock_ns ();
        raw_call (socket, data, options->size);
        if (i >= 0)
            durations[i] = pxi_clock_ns () - begin_ns;
    }
    uint64_t begin_ns = pxi_clock_ns ();
    for (long i = 0; i < options->n_calls * 10; i++) {
        zmq_send (socket, data, 1, 0);
        if (i % WINDOW == WINDOW - 1)
            raw_call (socket, data, 0);
    }
    *one_way_per_s = (double)options->n_calls * 10e9 / (double)(pxi_clock_ns () - begin_ns);
    free (data);
    zmq_close (socket);
    zmq_ctx_term (context);
}

/* ---- through the transport ---------------------------------------------------------------------
 */

struct end {
    pxi_transport *transport;
    uint64_t n_answers;
};

static void echo (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames)
{
    struct end *end = context;
    if (is_answered (pxi_bytes_size (frames[0])))
        pxi_zmq_send (end->transport, NULL, link, frames, n_frames);
    else
        pxi_bytes_release (frames[0]);
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
    char why[512] = "";
    pxi_transport_config config = {.listen = listen,
                                   .message_size_max = SIZE_MAX_BYTES,
                                   .events = {.received = received},
                                   .context = end};
    if (pxi_zmq_new (&config, &end->transport, why) != PX_OK)
        die (why);
}

static void end_wait (struct end *end)
{
    struct pollfd fd = {.fd = pxi_zmq_fd (end->transport), .events = POLLIN};
    poll (&fd, 1, -1);
    while (pxi_zmq_step (end->transport, 64))
        continue;
}

static void transport_serve (int out)
{
    struct end end = {0};
    char endpoint[128] = "";
    end_open (&end, "tcp://127.0.0.1:*", echo);
    snprintf (endpoint, sizeof endpoint, "%s", pxi_zmq_endpoint (end.transport));
    if (write (out, endpoint, sizeof endpoint) != sizeof endpoint)
        _exit (1);
    for (;;)
        end_wait (&end);
}

static void transport_call (struct end *end, const pxi_address *to, size_t size)
{
    pxi_bytes *frame = pxi_bytes_new (size);
    uint64_t before = end->n_answers;
    memset (pxi_bytes_data (frame), 0, size);
    if (pxi_zmq_send (end->transport, to, 0, &frame, 1) != PX_OK)
        die ("not sent");
    while (end->n_answers == before)
        end_wait (end);
}

static void transport_measure (const char *endpoint, const struct options *options,
                               uint64_t *durations, double *one_way_per_s)
{
    struct end end = {0};
    pxi_address to;
    end_open (&end, "", count);
    if (pxi_address_parse (endpoint, &to, NULL) != PX_OK)
        die ("no address");
    for (long i = -WARM; i < options->n_calls; i++) {
        uint64_t begin_ns = pxi_clock_ns ();
        transport_call (&end, &to, options->size);
        if (i >= 0)
            durations[i] = pxi_clock_ns () - begin_ns;
    }
    enum { QUEUE = 200 }; /* below what waits at most in an outbox */
    uint64_t begin_ns = pxi_clock_ns ();
    for (long i = 0; i < options->n_calls * 10; i++) {
        pxi_bytes *frame = pxi_bytes_copy ("x", 1);
        if (pxi_zmq_send (end.transport, &to, 0, &frame, 1) != PX_OK)
            die ("not sent");
        if (i % QUEUE == QUEUE - 1)
            transport_call (&end, &to, 0);
    }
    *one_way_per_s = (double)options->n_calls * 10e9 / (double)(pxi_clock_ns () - begin_ns);
    pxi_zmq_free (&end.transport);
}

/* ---- main ------------------------------------------------------------------------------------ */

static pid_t start_server (const struct options *options, char endpoint[128])
{
    int ends[2];
    if (pipe (ends) != 0)
        die ("no pipe");
    pid_t pid = fork ();
    if (pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        if (options->transport)
            transport_serve (ends[1]);
        raw_serve (ends[1]);
    }
    close (ends[1]);
    if (pid < 0 || read (ends[0], endpoint, 128) != 128)
        die ("no server");
    close (ends[0]);
    return pid;
}

static struct figures measure (const struct options *options)
{
    char endpoint[128];
    struct figures figures;
    uint64_t *durations = calloc ((size_t)options->n_calls, sizeof *durations);
    pid_t server = start_server (options, endpoint);
    if (!durations)
        die ("out of memory");
    if (options->transport)
        transport_measure (endpoint, options, durations, &figures.one_way_per_s);
    else
        raw_measure (endpoint, options, durations, &figures.one_way_per_s);
    kill (server, SIGKILL);
    waitpid (server, NULL, 0);
    qsort (durations, (size_t)options->n_calls, sizeof *durations, by_value);
    figures.p50_us = (double)durations[options->n_calls / 2] * 1e-3;
    figures.p90_us = (double)durations[options->n_calls * 90 / 100] * 1e-3;
    figures.p99_us = (double)durations[options->n_calls * 99 / 100] * 1e-3;
    free (durations);
    return figures;
}

static long number (const char *text, long max)
{
    char *end = NULL;
    long value = text ? strtol (text, &end, 10) : 0;
    if (!text || *end != 0 || value < 1 || value > max)
        die ("a number is missing or out of range");
    return value;
}

static struct options read_options (char **argv)
{
    struct options options = {.size = 64, .n_calls = 10000};
    for (int i = 1; argv[i]; i++) {
        if (strcmp (argv[i], "--size") == 0)
            options.size = (size_t)number (argv[++i], SIZE_MAX_BYTES);
        else if (strcmp (argv[i], "--calls") == 0)
            options.n_calls = number (argv[++i], CALLS_MAX);
        else if (strcmp (argv[i], "--transport") == 0)
            options.transport = true;
        else if (strcmp (argv[i], "--json") == 0)
            options.json = true;
        else
            die ("usage: raw_zmq [--size BYTES] [--calls N] [--transport] [--json]");
    }
    if (options.size == 1)
        die ("one byte is what one-way messages have: choose another size");
    return options;
}

int main (int argc, char **argv)
{
    struct options options = read_options (argv);
    struct figures figures = measure (&options);
    printf (options.json
                ? "{\"through\": \"%s\", \"size_bytes\": %zu, \"calls\": %ld, \"p50_us\": %.1f, "
                  "\"p90_us\": %.1f, \"p99_us\": %.1f, \"one_way_per_s\": %.0f}\n"
                : "%s, %zu bytes, %ld calls: p50 %.1f us, p90 %.1f us, p99 %.1f us; one way %.0f "
                  "messages/s\n",
            options.transport ? "src/net" : "libzmq", options.size, options.n_calls, figures.p50_us,
            figures.p90_us, figures.p99_us, figures.one_way_per_s);
    return 0;
}
