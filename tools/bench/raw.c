#include "bench/raw.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerexec/peer.h>
#include <zmq.h>

/* ---- the other end ---------------------------------------------------------------------------- */

bool raw_key_make (raw_key_t *key)
{
    int fd = memfd_create ("key", MFD_CLOEXEC);
    bool made = fd >= 0 && fchmod (fd, S_IRUSR | S_IWUSR) == 0 &&
                zmq_curve_keypair (key->public_text, key->secret_text) == 0 &&
                dprintf (fd, "curve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n",
                         key->public_text, key->secret_text) > 0;
    snprintf (key->path, sizeof key->path, "/proc/%ld/fd/%d", (long)getpid (), fd);
    if (!made)
        fprintf (stderr, "peer-bench: no key can be made: %s\n", zmq_strerror (zmq_errno ()));
    return made;
}

static void set_key (void *socket, const raw_key_t *key, bool server)
{
    static const int on = 1;
    enum { SIZE = sizeof key->public_text };
    if (!key)
        return;
    if (server)
        zmq_setsockopt (socket, ZMQ_CURVE_SERVER, &on, sizeof on);
    else
        zmq_setsockopt (socket, ZMQ_CURVE_SERVERKEY, key->public_text, SIZE);
    zmq_setsockopt (socket, ZMQ_CURVE_PUBLICKEY, key->public_text, SIZE);
    zmq_setsockopt (socket, ZMQ_CURVE_SECRETKEY, key->secret_text, SIZE);
}

static void serve (const raw_key_t *key, int out, bool empty_only)
{
    void *socket = zmq_socket (zmq_ctx_new (), ZMQ_ROUTER);
    set_key (socket, key, true);
    char endpoint[RAW_ENDPOINT_SIZE] = "";
    size_t size = sizeof endpoint;
    if (zmq_bind (socket, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt (socket, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0 ||
        write (out, endpoint, sizeof endpoint) != sizeof endpoint)
        _exit (1);
    for (;;) {
        zmq_msg_t identity, body;
        zmq_msg_init (&identity);
        zmq_msg_init (&body);
        if (zmq_msg_recv (&identity, socket, 0) < 0 || zmq_msg_recv (&body, socket, 0) < 0)
            _exit (1);
        if (!empty_only || zmq_msg_size (&body) == 0) {
            zmq_msg_send (&identity, socket, ZMQ_SNDMORE);
            zmq_msg_send (&body, socket, 0);
        }
        zmq_msg_close (&identity);
        zmq_msg_close (&body);
    }
}

void raw_echo (const raw_key_t *key, int out)
{
    serve (key, out, false);
}

void raw_sink (const raw_key_t *key, int out)
{
    serve (key, out, true);
}

bool raw_server_start (raw_server_t *server, void (*serve_it) (const raw_key_t *key, int out))
{
    int ends[2];
    bool started = pipe (ends) == 0;
    pid_t parent = getpid ();
    server->pid = started ? fork () : -1;
    if (server->pid == 0) {
        prctl (PR_SET_PDEATHSIG, SIGKILL);
        if (getppid () == parent)
            serve_it (server->key, ends[1]);
        _exit (1);
    }
    if (started)
        close (ends[1]);
    started =
        server->pid > 0 && read (ends[0], server->endpoint, RAW_ENDPOINT_SIZE) == RAW_ENDPOINT_SIZE;
    if (server->pid > 0 || !started)
        close (ends[0]);
    if (!started)
        fprintf (stderr, "peer-bench: the other end for libzmq alone could not be started\n");
    return started;
}

void raw_server_stop (raw_server_t *server)
{
    if (server->pid > 0) {
        kill (server->pid, SIGKILL);
        waitpid (server->pid, NULL, 0);
    }
    server->pid = 0;
}

/* ---- this end --------------------------------------------------------------------------------- */

enum { PATIENCE_MS = 60000 };

bool raw_open (raw_client_t *client, const raw_server_t *server, size_t size_max)
{
    client->context = zmq_ctx_new ();
    client->socket = zmq_socket (client->context, ZMQ_DEALER);
    client->bytes = calloc (1, size_max + 1);
    if (!client->socket || !client->bytes)
        return false;
    int patience_ms = PATIENCE_MS;
    set_key (client->socket, server->key, false);
    zmq_setsockopt (client->socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
    zmq_setsockopt (client->socket, ZMQ_SNDTIMEO, &patience_ms, sizeof patience_ms);
    return zmq_connect (client->socket, server->endpoint) == 0;
}

void raw_close (raw_client_t *client)
{
    int none = 0;
    free (client->bytes);
    if (client->socket) {
        zmq_setsockopt (client->socket, ZMQ_LINGER, &none, sizeof none);
        zmq_close (client->socket);
    }
    if (client->context)
        zmq_ctx_term (client->context);
    *client = (raw_client_t){0};
}

static _Noreturn void lost (void)
{
    fprintf (stderr, "peer-bench: libzmq's other end does not answer: %s\n",
             zmq_strerror (zmq_errno ()));
    exit (1);
}

static void send_one (raw_client_t *client, size_t size)
{
    if (zmq_send (client->socket, client->bytes, size, 0) < 0)
        lost ();
}

static void receive_one (raw_client_t *client)
{
    zmq_msg_t body;
    zmq_msg_init (&body);
    if (zmq_msg_recv (&body, client->socket, 0) < 0)
        lost ();
    zmq_msg_close (&body);
}

void raw_calls (raw_client_t *client, size_t size, uint64_t n, uint64_t *durations)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t begin_ns = px_now_ns ();
        send_one (client, size);
        receive_one (client);
        durations[i] = px_now_ns () - begin_ns;
    }
}

static double per_second (uint64_t n, uint64_t begin_ns)
{
    return (double)n * 1e9 / (double)(px_now_ns () - begin_ns);
}

double raw_many (raw_client_t *client, size_t size, uint64_t n, uint64_t window)
{
    uint64_t begin_ns = px_now_ns ();
    for (uint64_t sent = 0, received = 0; received < n; received++) {
        while (sent < n && sent - received < window) {
            send_one (client, size);
            sent++;
        }
        receive_one (client);
    }
    return per_second (n, begin_ns);
}

/* Windows below what a socket keeps: nothing is dropped, and hardly anything waits. */
double raw_one_way (raw_client_t *client, size_t size, uint64_t n)
{
    enum { WINDOW = 1000 };
    uint64_t begin_ns = px_now_ns ();
    for (uint64_t i = 0; i < n; i++) {
        send_one (client, size);
        if (i % WINDOW == WINDOW - 1 || i == n - 1) {
            send_one (client, 0);
            receive_one (client);
        }
    }
    return per_second (n, begin_ns);
}
