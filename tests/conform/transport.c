/* What a transport owes to the agent, whatever it is made of. Everything waits for events, with a
 * deadline against hanging; nothing sleeps. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerexec/peer.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/prng.h"
#include "key.h"
#include "leak.h"
#include "net/key.h"
#include "net/transport.h"

/* KEYED: all the same, encrypted. */
static char key_path[32];
static const char *key; /* of the nodes that are opened next; NULL = none */

static void begin (void)
{
    if (KEYED)
        key = test_key (key_path);
}

TestSuite (transport, .init = begin);

enum { NODES_MAX = 16, MESSAGE_SIZE_MAX = 16 << 20 };

struct node {
    pxi_transport *transport;
    pxi_address address;
    bool echo; /* answers each message along its link */
    uint64_t n_received, n_unreachable, n_out_of_order;
    uint64_t next[NODES_MAX]; /* per sender: numbered messages come in order */
    pxi_link link;            /* of the last message */
    pxi_address unreachable;  /* the last one */
    pxi_bytes *last;          /* last frame of the last message */
    uint32_t n_frames;
    char notice[600];
};

/* ---- callbacks ------------------------------------------------------------------------------- */

struct number {
    uint32_t sender;
    uint64_t count;
};

static void check_order (struct node *node, const pxi_bytes *first)
{
    struct number number;
    if (pxi_bytes_size (first) != sizeof number)
        return;
    memcpy (&number, pxi_bytes_data (first), sizeof number);
    if (number.sender >= NODES_MAX || node->next[number.sender]++ != number.count)
        node->n_out_of_order++;
}

static void received (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames)
{
    struct node *node = context;
    node->n_received++;
    node->link = link;
    node->n_frames = n_frames;
    check_order (node, frames[0]);
    pxi_bytes_release (node->last);
    node->last = pxi_bytes_acquire (frames[n_frames - 1]);
    if (node->echo) {
        pxi_zmq_send (node->transport, NULL, link, frames, n_frames);
        return;
    }
    for (uint32_t i = 0; i < n_frames; i++)
        pxi_bytes_release (frames[i]);
}

static void unreachable (void *context, const pxi_address *address, pxi_link link)
{
    struct node *node = context;
    node->n_unreachable++;
    node->unreachable = *address;
}

static void notice (void *context, int level, const char *text)
{
    struct node *node = context;
    snprintf (node->notice, sizeof node->notice, "%s", text);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static px_err node_open (struct node *node, const char *listen, uint32_t links_max,
                         uint64_t size_max)
{
    pxi_transport_config config = {.listen = listen,
                                   .message_size_max = size_max,
                                   .tcp_only = TCP_ONLY,
                                   .key = key,
                                   .links_max = links_max,
                                   .events = {received, unreachable, notice},
                                   .context = node};
    char why[PX_WHY_SIZE] = "";
    memset (node, 0, sizeof *node);
    px_err err = pxi_zmq_new (&config, &node->transport, why);
    if (err == PX_OK && listen[0])
        cr_assert_eq (pxi_address_parse (pxi_zmq_endpoint (node->transport), &node->address, why),
                      PX_OK);
    return err;
}

static void node_start (struct node *node, const char *listen)
{
    cr_assert_eq (node_open (node, listen, 0, MESSAGE_SIZE_MAX), PX_OK);
}

static void node_close (struct node *node)
{
    pxi_zmq_free (&node->transport);
    pxi_bytes_release (node->last);
    node->last = NULL;
}

static px_err node_send (struct node *node, const pxi_address *address, pxi_link link,
                         const void *data, size_t size)
{
    pxi_bytes *frame = pxi_bytes_copy (data, size);
    return pxi_zmq_send (node->transport, address, link, &frame, 1);
}

static uint64_t links_of (const struct node *node)
{
    pxi_transport_stats stats;
    pxi_zmq_stats (node->transport, &stats);
    return stats.links;
}

static uint64_t refused_by (const struct node *node)
{
    pxi_transport_stats stats;
    pxi_zmq_stats (node->transport, &stats);
    return stats.refused;
}

/* Wait for a descriptor to be readable, then step those that are. False = nothing happened. */
static bool pump (struct node **nodes, size_t n_nodes, int timeout_ms)
{
    struct pollfd fds[NODES_MAX];
    for (size_t i = 0; i < n_nodes; i++)
        pxi_zmq_flush (nodes[i]->transport);
    for (size_t i = 0; i < n_nodes; i++)
        fds[i] = (struct pollfd){.fd = pxi_zmq_fd (nodes[i]->transport), .events = POLLIN};
    if (poll (fds, n_nodes, timeout_ms) <= 0)
        return false;
    for (size_t i = 0; i < n_nodes; i++)
        if (fds[i].revents)
            pxi_zmq_step (nodes[i]->transport, 64);
    return true;
}

#define DEADLINE_S 10
#define PUMP_UNTIL(condition, ...)                                                                 \
    do {                                                                                           \
        struct node *pumped[] = {__VA_ARGS__};                                                     \
        uint64_t until_ns = pxi_clock_ns () + DEADLINE_S * PXI_SECOND;                             \
        while (!(condition) && pxi_clock_ns () < until_ns)                                         \
            pump (pumped, sizeof pumped / sizeof pumped[0], 100);                                  \
        cr_assert (condition, "not within %d s: %s", DEADLINE_S, #condition);                      \
    } while (0)

/* ---- exchange -------------------------------------------------------------------------------- */

Test (transport, echoes_both_ways)
{
    struct node a, b;
    node_start (&a, "tcp://127.0.0.1:*");
    node_start (&b, "tcp://127.0.0.1:*");
    a.echo = true;
    cr_assert_eq (node_send (&b, &a.address, 0, "one", 3), PX_OK);
    PUMP_UNTIL (b.n_received == 1, &a, &b);
    cr_expect (pxi_bytes_size (b.last) == 3 && memcmp (pxi_bytes_data (b.last), "one", 3) == 0);
    cr_expect_eq (links_of (&b), 1);
    cr_expect_eq (links_of (&a), 0, "an answer needs no link of its own");
    a.echo = false;
    b.echo = true;
    cr_assert_eq (node_send (&a, &b.address, 0, "two", 3), PX_OK);
    PUMP_UNTIL (a.n_received == 2, &a, &b);
    cr_expect (pxi_bytes_size (a.last) == 3 && memcmp (pxi_bytes_data (a.last), "two", 3) == 0);
    node_close (&a);
    node_close (&b);
    TEST_NO_LEAKS ();
}

Test (transport, one_that_does_not_listen_is_answered)
{
    struct node server, client;
    node_start (&server, "tcp://127.0.0.1:*");
    node_start (&client, "");
    cr_expect_str_eq (pxi_zmq_endpoint (client.transport), "");
    cr_assert_eq (node_send (&client, &server.address, 0, "hello", 5), PX_OK);
    PUMP_UNTIL (server.n_received == 1, &server, &client);
    pxi_address nowhere = {0};
    cr_assert_eq (node_send (&server, &nowhere, server.link, "answer", 6), PX_OK);
    PUMP_UNTIL (client.n_received == 1, &server, &client);
    cr_assert_eq (node_send (&client, NULL, client.link, "again", 5), PX_OK);
    PUMP_UNTIL (server.n_received == 2, &server, &client);
    node_close (&client);
    PUMP_UNTIL (node_send (&server, NULL, server.link, "late", 4) == PX_EAGAIN, &server);
    node_close (&server);
    TEST_NO_LEAKS ();
}

Test (transport, ipv6_and_names_work_where_the_host_has_them)
{
    struct node a, b;
    if (node_open (&a, "tcp://[::1]:*", 0, MESSAGE_SIZE_MAX) == PX_OK) {
        cr_expect_eq (a.address.kind, 6);
        node_start (&b, "");
        cr_assert_eq (node_send (&b, &a.address, 0, "six", 3), PX_OK);
        PUMP_UNTIL (a.n_received == 1, &a, &b);
        node_close (&b);
        node_close (&a);
    }
    node_start (&a, "localhost:0");
    cr_expect_eq (a.address.kind, 4);
    cr_expect_str_eq (a.notice, "");
    node_close (&a);
    TEST_NO_LEAKS ();
}

Test (transport, large_frames_arrive_whole_and_aligned)
{
    enum { SIZE = 8 << 20, ROUNDS = 4 };
    struct node a, b;
    node_start (&a, "tcp://127.0.0.1:*");
    node_start (&b, "");
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        pxi_bytes *frames[3] = {pxi_bytes_copy ("envelope", 8), pxi_bytes_new (0),
                                pxi_bytes_new (SIZE)};
        uint8_t *data = pxi_bytes_data (frames[2]);
        for (size_t i = 0; i < SIZE; i++)
            data[i] = (uint8_t)(i * 2654435761u >> 13 ^ round);
        pxi_bytes *kept = pxi_bytes_acquire (frames[2]);
        cr_assert_eq (pxi_zmq_send (b.transport, &a.address, 0, frames, 3), PX_OK);
        PUMP_UNTIL (a.n_received == round, &a, &b);
        cr_expect_eq (a.n_frames, 3);
        cr_assert_eq (pxi_bytes_size (a.last), SIZE);
        cr_expect_eq ((uintptr_t)pxi_bytes_data (a.last) % 16, 0);
        cr_expect (memcmp (pxi_bytes_data (a.last), data, SIZE) == 0);
        pxi_bytes_release (kept);
    }
    node_close (&b);
    node_close (&a);
    TEST_NO_LEAKS ();
}

/* However they travel: what is added to a frame on the way counts for nothing. */
Test (transport, a_frame_of_the_limit_arrives)
{
    enum { LIMIT = 1 << 20 };
    struct node a, b;
    static char data[LIMIT];
    cr_assert_eq (node_open (&a, "tcp://127.0.0.1:*", 0, LIMIT), PX_OK);
    cr_assert_eq (node_open (&b, "", 0, LIMIT), PX_OK);
    a.echo = true;
    cr_assert_eq (node_send (&b, &a.address, 0, data, LIMIT), PX_OK);
    PUMP_UNTIL (b.n_received == 1, &a, &b);
    cr_expect_eq (pxi_bytes_size (b.last), LIMIT);
    node_close (&a);
    node_close (&b);
    TEST_NO_LEAKS ();
}

/* Each sender's messages come once and in order, however little is read at a time. */
Test (transport, many_small_messages_of_several_senders_come_once_and_in_order)
{
    enum { SENDERS = 4, EACH = 3000 };
    struct node all[SENDERS + 1];
    uint64_t sent[SENDERS] = {0};
    struct node *a = &all[SENDERS];
    node_start (a, "tcp://127.0.0.1:*");
    for (int i = 0; i < SENDERS; i++)
        node_start (&all[i], "");
    uint64_t until_ns = pxi_clock_ns () + DEADLINE_S * PXI_SECOND;
    while (a->n_received < SENDERS * EACH && pxi_clock_ns () < until_ns) {
        for (uint32_t i = 0; i < SENDERS; i++) {
            /* At most this far ahead, so that no queue is ever full. */
            while (sent[i] < EACH && sent[i] < a->next[i] + 100) {
                struct number number = {i, sent[i]++};
                cr_assert_eq (node_send (&all[i], &a->address, 0, &number, sizeof number), PX_OK);
            }
            pxi_zmq_step (all[i].transport, 1);
        }
        struct node *one[] = {a};
        pump (one, 1, 10);
    }
    cr_expect_eq (a->n_received, SENDERS * EACH);
    cr_expect_eq (a->n_out_of_order, 0);
    for (int i = 0; i <= SENDERS; i++)
        node_close (&all[i]);
    TEST_NO_LEAKS ();
}

/* The descriptors alone must wake a loop that sleeps: zmq's are edge-triggered, and sends swallow
 * edges. */
Test (transport, no_wake_up_is_lost)
{
    enum { ROUNDS = 20000, AHEAD = 20 };
    struct node a, b;
    struct node *both[] = {&a, &b};
    node_start (&a, "tcp://127.0.0.1:*");
    node_start (&b, "tcp://127.0.0.1:*");
    b.echo = true;
    uint64_t sent = 0;
    while (a.n_received < ROUNDS) {
        while (sent < ROUNDS && sent < a.n_received + AHEAD) {
            cr_assert_eq (node_send (&a, &b.address, 0, "x", 1), PX_OK);
            sent++;
        }
        cr_assert (pump (both, 2, 5000), "asleep with %llu of %llu answered",
                   (unsigned long long)a.n_received, (unsigned long long)sent);
    }
    node_close (&a);
    node_close (&b);
    TEST_NO_LEAKS ();
}

/* The same for a sender whose queue is full when it goes to sleep. */
Test (transport, what_waits_for_a_full_queue_leaves_when_there_is_room)
{
    enum { ROUNDS = 4000, BURST = 250 };
    struct node a, b;
    struct node *both[] = {&a, &b};
    node_start (&a, "");
    node_start (&b, "tcp://127.0.0.1:*");
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < BURST; i++)
            cr_assert_eq (node_send (&a, &b.address, 0, "x", 1), PX_OK);
        while (b.n_received < round * BURST)
            cr_assert (pump (both, 2, 1000), "asleep in round %llu", (unsigned long long)round);
    }
    cr_expect_eq (a.n_unreachable, 0);
    node_close (&a);
    node_close (&b);
    TEST_NO_LEAKS ();
}

Test (transport, an_idle_one_is_not_woken)
{
    struct node a, b;
    struct node *both[] = {&a, &b};
    node_start (&a, "tcp://127.0.0.1:*");
    node_start (&b, "");
    cr_assert_eq (node_send (&b, &a.address, 0, "x", 1), PX_OK);
    PUMP_UNTIL (a.n_received == 1, &a, &b);
    int n = 0;
    while (pump (both, 2, 300)) /* quiet for 300 ms, which is a tick and more */
        cr_assert_lt (++n, 50, "woken again and again");
    cr_expect_not (pxi_zmq_step (a.transport, 64));
    node_close (&a);
    node_close (&b);
    TEST_NO_LEAKS ();
}

/* ---- peers that come, go, freeze ----------------------------------------------------------------
 */

static pxi_address free_port (void)
{
    struct node node;
    node_start (&node, "tcp://127.0.0.1:*");
    pxi_address address = node.address;
    node_close (&node);
    return address;
}

Test (transport, what_is_sent_before_the_peer_listens_arrives)
{
    struct node a, b;
    char endpoint[64];
    pxi_address address = free_port ();
    pxi_address_print (&address, endpoint);
    node_start (&a, "");
    cr_assert_eq (node_send (&a, &address, 0, "early", 5), PX_OK);
    struct node *one[] = {&a};
    pump (one, 1, 0);
    node_start (&b, endpoint);
    PUMP_UNTIL (b.n_received == 1, &a, &b);
    cr_expect_eq (a.n_unreachable, 0);
    node_close (&a);
    node_close (&b);
    TEST_NO_LEAKS ();
}

Test (transport, a_peer_that_is_not_there_is_reported_and_not_called_again)
{
    struct node a;
    pxi_address address = free_port ();
    node_start (&a, "");
    for (int i = 0; i < 10; i++)
        cr_assert_eq (node_send (&a, &address, 0, "anybody?", 8), PX_OK);
    PUMP_UNTIL (a.n_unreachable >= 1, &a);
    cr_expect (pxi_address_same (&a.unreachable, &address));
    PUMP_UNTIL (links_of (&a) == 0, &a);
    cr_expect (strstr (a.notice, "not a peer, or not there"), "%s", a.notice);
    node_close (&a);
    TEST_NO_LEAKS ();
}

Test (transport, what_waits_is_bounded)
{
    struct node a;
    px_err err = PX_OK;
    pxi_address address = free_port ();
    node_start (&a, "");
    int n = 0;
    while (n < 10000 && err == PX_OK) {
        err = node_send (&a, &address, 0, "x", 1);
        n++;
    }
    cr_expect_eq (err, PX_EAGAIN);
    cr_expect_lt (n, 1000);
    node_close (&a);
    TEST_NO_LEAKS ();
}

/* What was sent to the former self is delivered to it, or its link is reported; what is sent
 * afterwards reaches the new one. */
Test (transport, a_peer_that_restarts_at_the_same_port_is_reached_again)
{
    struct node a, b;
    char endpoint[64];
    node_start (&a, "");
    node_start (&b, "tcp://127.0.0.1:*");
    pxi_address address = b.address;
    pxi_address_print (&address, endpoint);
    for (uint64_t life = 1; life <= 3; life++) {
        uint64_t before = a.n_unreachable;
        cr_assert_eq (node_send (&a, &address, 0, "x", 1), PX_OK);
        PUMP_UNTIL (b.n_received == 1, &a, &b);
        node_close (&b);
        PUMP_UNTIL (a.n_unreachable == before + 1, &a);
        cr_expect_eq (links_of (&a), 0);
        node_start (&b, endpoint);
    }
    node_close (&a);
    node_close (&b);
    TEST_NO_LEAKS ();
}

struct child {
    pid_t pid;
    pxi_address address;
};

static void child_main (int out)
{
    struct node node;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (node_open (&node, "tcp://127.0.0.1:*", 0, MESSAGE_SIZE_MAX) != PX_OK)
        _exit (1);
    node.echo = true;
    if (write (out, &node.address, sizeof node.address) != sizeof node.address)
        _exit (1);
    struct pollfd fd = {.fd = pxi_zmq_fd (node.transport), .events = POLLIN};
    while (poll (&fd, 1, -1) >= 0)
        pxi_zmq_step (node.transport, 64);
    _exit (1);
}

static struct child child_start (void)
{
    int ends[2];
    struct child child = {0};
    cr_assert_eq (pipe (ends), 0);
    child.pid = fork ();
    cr_assert_geq (child.pid, 0);
    if (child.pid == 0)
        child_main (ends[1]);
    cr_assert_eq (read (ends[0], &child.address, sizeof child.address),
                  (ssize_t)sizeof child.address);
    close (ends[0]);
    close (ends[1]);
    return child;
}

static void child_end (struct child *child)
{
    kill (child->pid, SIGKILL);
    cr_assert_eq (waitpid (child->pid, NULL, 0), child->pid);
}

Test (transport, a_frozen_peer_blocks_nobody_and_is_reported)
{
    struct node a;
    struct child child = child_start ();
    node_start (&a, "");
    cr_assert_eq (node_send (&a, &child.address, 0, "x", 1), PX_OK);
    PUMP_UNTIL (a.n_received == 1, &a);
    kill (child.pid, SIGSTOP);
    static char block[1 << 16];
    px_err err = PX_OK;
    uint64_t longest_ns = 0;
    for (int i = 0; i < 5000 && err == PX_OK; i++) {
        uint64_t begin_ns = pxi_clock_ns ();
        err = node_send (&a, &child.address, 0, block, sizeof block);
        uint64_t took_ns = pxi_clock_ns () - begin_ns;
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
    }
    cr_expect_eq (err, PX_EAGAIN, "the queues have an end");
    cr_expect_lt (longest_ns, 500 * PXI_MS);
    PUMP_UNTIL (a.n_unreachable >= 1, &a);
    cr_expect (pxi_address_same (&a.unreachable, &child.address));
    kill (child.pid, SIGCONT);
    PUMP_UNTIL (a.n_received >= 2, &a);
    uint64_t before = a.n_received;
    uint64_t until_ns = pxi_clock_ns () + DEADLINE_S * PXI_SECOND;
    struct node *one[] = {&a};
    while (a.n_received == before && pxi_clock_ns () < until_ns) {
        node_send (&a, &child.address, 0, "back?", 5);
        pump (one, 1, 50);
    }
    cr_expect_gt (a.n_received, before);
    node_close (&a);
    child_end (&child);
    TEST_NO_LEAKS ();
}

Test (transport, a_killed_peer_is_reported_at_once)
{
    struct node a;
    struct child child = child_start ();
    node_start (&a, "");
    cr_assert_eq (node_send (&a, &child.address, 0, "x", 1), PX_OK);
    PUMP_UNTIL (a.n_received == 1, &a);
    uint64_t begin_ns = pxi_clock_ns ();
    child_end (&child);
    PUMP_UNTIL (a.n_unreachable == 1, &a);
    cr_expect_lt (pxi_clock_ns () - begin_ns, PXI_SECOND);
    node_close (&a);
    TEST_NO_LEAKS ();
}

/* A join address where something else answers. */
Test (transport, a_server_that_is_no_peer_is_reported)
{
    struct node a;
    pxi_address address = {.kind = 4, .ip = {127, 0, 0, 1}};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
    socklen_t at_size = sizeof at;
    int server = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_eq (bind (server, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq (listen (server, 5), 0);
    cr_assert_eq (getsockname (server, (struct sockaddr *)&at, &at_size), 0);
    address.port = ntohs (at.sin_port);
    node_start (&a, "");
    cr_assert_eq (node_send (&a, &address, 0, "peer?", 5), PX_OK);
    struct node *one[] = {&a};
    uint64_t until_ns = pxi_clock_ns () + DEADLINE_S * PXI_SECOND;
    while (a.n_unreachable == 0 && pxi_clock_ns () < until_ns) {
        int client = accept (server, NULL, NULL);
        if (client >= 0) {
            cr_expect_gt (send (client, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL), 0);
            close (client);
        }
        pump (one, 1, 20);
    }
    cr_expect_geq (a.n_unreachable, 1);
    cr_expect_eq (a.n_received, 0);
    close (server);
    node_close (&a);
    TEST_NO_LEAKS ();
}

/* What a peer states of itself may be wrong (behind a gateway): the way it came by still leads
 * back. */
Test (transport, a_wrong_address_does_not_keep_an_answer_from_its_link)
{
    struct node server, client;
    pxi_address wrong = free_port ();
    node_start (&server, "tcp://127.0.0.1:*");
    node_start (&client, "");
    cr_assert_eq (node_send (&server, &wrong, 0, "into the void", 13), PX_OK);
    cr_assert_eq (node_send (&client, &server.address, 0, "question", 8), PX_OK);
    PUMP_UNTIL (server.n_received == 1, &server, &client);
    cr_assert_eq (node_send (&server, &wrong, server.link, "answer", 6), PX_OK);
    PUMP_UNTIL (client.n_received == 1, &server, &client);
    node_close (&client);
    node_close (&server);
    TEST_NO_LEAKS ();
}

/* No descriptors left: a send is refused, nothing is lost of what there is, and later it goes
 * again. */
Test (transport, without_descriptors_a_new_link_is_refused_and_old_ones_work)
{
    struct node a, b, c;
    int taken[2000], n = 0;
    node_start (&a, "tcp://127.0.0.1:*");
    node_start (&b, "");
    node_start (&c, "tcp://127.0.0.1:*");
    a.echo = true;
    cr_assert_eq (node_send (&b, &a.address, 0, "x", 1), PX_OK);
    PUMP_UNTIL (b.n_received == 1, &a, &b);
    struct rlimit limit = {.rlim_cur = 256, .rlim_max = 256};
    cr_assert_eq (setrlimit (RLIMIT_NOFILE, &limit), 0);
    while (n < 2000 && (taken[n] = dup (0)) >= 0)
        n++;
    cr_expect_eq (node_send (&b, &c.address, 0, "x", 1), PX_EAGAIN);
    cr_assert_eq (node_send (&b, &a.address, 0, "x", 1), PX_OK);
    PUMP_UNTIL (b.n_received == 2, &a, &b);
    while (n > 0)
        close (taken[--n]);
    cr_assert_eq (node_send (&b, &c.address, 0, "x", 1), PX_OK);
    PUMP_UNTIL (c.n_received == 1, &b, &c);
    node_close (&a);
    node_close (&b);
    node_close (&c);
    TEST_NO_LEAKS ();
}

/* ---- strangers ------------------------------------------------------------------------------- */

static int tcp_connect (const pxi_address *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons (address->port)};
    memcpy (&to.sin_addr, address->ip, 4);
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq (connect (fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

Test (transport, garbage_on_the_port_is_refused_and_harms_nobody)
{
    static char page[65536];
    static const char *const openings[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x02\x00\x01", "SSH-2.0-OpenSSH_9.2\r\n",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        /* ZMTP 1 and 2: an anonymous DEALER */
        "\x01\x02", "\xff\x01\x01\x01\x01\x01\x01\x01\x01\x7f\x01\x05"};
    struct node a, b;
    node_start (&a, "tcp://127.0.0.1:*");
    node_start (&b, "");
    memset (page, 'x', sizeof page);
    for (size_t i = 0; i < sizeof openings / sizeof openings[0]; i++) {
        uint64_t before = a.n_received;
        int fd = tcp_connect (&a.address);
        cr_assert_gt (send (fd, openings[i], strlen (openings[i]), MSG_NOSIGNAL), 0);
        for (int j = 0; j < 10 && send (fd, page, sizeof page, MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
             j++)
            continue;
        cr_assert_eq (node_send (&b, &a.address, 0, "peer", 4), PX_OK);
        PUMP_UNTIL (a.n_received == before + 1, &a, &b);
        cr_expect (memcmp (pxi_bytes_data (a.last), "peer", 4) == 0);
        close (fd);
    }
    PUMP_UNTIL (refused_by (&a) >= 1, &a, &b);
    cr_expect (strstr (a.notice, "not a peer"), "%s", a.notice);
    node_close (&a);
    node_close (&b);
    TEST_NO_LEAKS ();
}

/* Who shook hands and goes in order is nobody that has to be told of. */
Test (transport, a_peer_that_goes_is_no_stranger)
{
    enum { COME = 5 };
    struct node a, b;
    node_start (&a, "tcp://127.0.0.1:*");
    for (uint64_t i = 1; i <= COME; i++) {
        node_start (&b, "");
        cr_assert_eq (node_send (&b, &a.address, 0, "x", 1), PX_OK);
        PUMP_UNTIL (a.n_received == i, &a, &b);
        node_close (&b);
    }
    node_start (&b, "");
    cr_assert_eq (node_send (&b, &a.address, 0, "stays", 5), PX_OK);
    PUMP_UNTIL (a.n_received == COME + 1, &a, &b);
    int fd = tcp_connect (&a.address); /* who says nothing has to go after 3 s */
    PUMP_UNTIL (refused_by (&a) == 1, &a);
    cr_expect (strstr (a.notice, "127.0.0.1 port"), "%s", a.notice);
    close (fd);
    node_close (&b);
    struct node *one[] = {&a};
    while (pump (one, 1, 300)) /* all has been said */
        continue;
    cr_expect_eq (refused_by (&a), 1);
    node_close (&a);
    TEST_NO_LEAKS ();
}

static void raw_send (void *socket, size_t size, bool more)
{
    zmq_msg_t frame;
    cr_assert_eq (zmq_msg_init_size (&frame, size), 0);
    memset (zmq_msg_data (&frame), 0, size);
    cr_assert_geq (zmq_msg_send (&frame, socket, more ? ZMQ_SNDMORE : 0), 0);
}

static void set_key (void *socket)
{
    pxi_cluster_key own;
    if (!key)
        return;
    cr_assert_eq (pxi_key_read (key, &own, NULL), PX_OK);
    pxi_key_connect (&own, socket);
}

/* They speak ZeroMQ, but not as peers do. */
Test (transport, messages_that_no_peer_sends_are_refused_whole)
{
    struct node a;
    cr_assert_eq (node_open (&a, "tcp://127.0.0.1:*", 0, 1 << 20), PX_OK);
    void *context = zmq_ctx_new ();
    void *plain = zmq_socket (context, ZMQ_DEALER);
    void *named = zmq_socket (context, ZMQ_DEALER);
    int linger = 0;
    zmq_setsockopt (plain, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt (named, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt (named, ZMQ_ROUTING_ID, "peer7", 5);
    set_key (plain);
    set_key (named);
    zmq_connect (plain, pxi_zmq_endpoint (a.transport));
    zmq_connect (named, pxi_zmq_endpoint (a.transport));
    for (int i = 0; i < PXI_FRAMES_MAX + 50; i++)
        raw_send (plain, 10, i + 1 < PXI_FRAMES_MAX + 50);
    PUMP_UNTIL (refused_by (&a) == 1, &a);
    raw_send (named, 10, false);
    PUMP_UNTIL (refused_by (&a) == 2, &a);
    cr_expect_eq (a.n_received, 0);
    for (int i = 0; i < PXI_FRAMES_MAX; i++)
        raw_send (plain, 10, i + 1 < PXI_FRAMES_MAX);
    PUMP_UNTIL (a.n_received == 1, &a);
    cr_expect_eq (a.n_frames, PXI_FRAMES_MAX);
    raw_send (plain, (1 << 20) + 1, false); /* its connection is closed */
    struct node *one[] = {&a};
    for (int i = 0; a.n_received == 1 && i < 100; i++) {
        raw_send (plain, 20, false); /* and one of these comes by the next one */
        pump (one, 1, 100);
    }
    cr_expect_eq (pxi_bytes_size (a.last), 20);
    zmq_close (plain);
    zmq_close (named);
    zmq_ctx_term (context);
    node_close (&a);
    TEST_NO_LEAKS ();
}

Test (transport, what_is_over_the_limit_is_not_sent)
{
    struct node a;
    cr_assert_eq (node_open (&a, "", 0, 1000), PX_OK);
    pxi_address address = free_port ();
    char data[1001] = "";
    cr_expect_eq (node_send (&a, &address, 0, data, 1001), PX_ETOOBIG);
    cr_expect_eq (node_send (&a, &address, 0, data, 1000), PX_OK);
    pxi_bytes *frames[PXI_FRAMES_MAX + 1];
    for (int i = 0; i <= PXI_FRAMES_MAX; i++)
        frames[i] = pxi_bytes_new (1);
    cr_expect_eq (pxi_zmq_send (a.transport, &address, 0, frames, PXI_FRAMES_MAX + 1), PX_ETOOBIG);
    cr_expect_eq (node_send (&a, NULL, 0, data, 1), PX_EAGAIN);
    cr_expect_eq (node_send (&a, NULL, 4711, data, 1), PX_EAGAIN);
    node_close (&a);
    TEST_NO_LEAKS ();
}

/* ---- links of this host -------------------------------------------------------------------------
 */

#if !TCP_ONLY

enum { NEAR_VERSION = 1 };

/* As src/net/near.c names its listener. */
static void near_connect (int fd, const char *host, uint16_t port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int n = snprintf (name.sun_path + 1, sizeof name.sun_path - 1, "peerexec-%d/%s:%u",
                      NEAR_VERSION, host, port);
    socklen_t size = (socklen_t)(offsetof (struct sockaddr_un, sun_path) + 1 + (size_t)n);
    cr_assert_eq (connect (fd, (struct sockaddr *)&name, size), 0, "%s", strerror (errno));
}

static int near_stranger (const struct node *node)
{
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert_geq (fd, 0);
    near_connect (fd, "127.0.0.1", node->address.port);
    return fd;
}

static bool is_closed (int fd)
{
    char byte;
    ssize_t n = recv (fd, &byte, 1, MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
}

static bool came_near (const struct node *node)
{
    return node->link >> 62 == 1;
}

/* version, n_frames, sizes, bytes: `frame_size` is what is announced for each frame. */
static size_t near_message (uint8_t *at, uint32_t version, uint32_t n_frames, uint64_t frame_size,
                            size_t n_bytes)
{
    uint8_t *begin = at;
    memcpy (at, &version, sizeof version);
    memcpy (at + 4, &n_frames, sizeof n_frames);
    at += 8;
    for (uint32_t i = 0; i < n_frames && i < PXI_FRAMES_MAX; i++, at += sizeof frame_size)
        memcpy (at, &frame_size, sizeof frame_size);
    memset (at, 'n', n_bytes);
    return (size_t)(at - begin) + n_bytes;
}

Test (transport, nonsense_on_a_link_of_this_host_closes_that_link_only)
{
    enum { SIZE_MAX_HERE = 1000 };
    static const struct {
        uint32_t version, n_frames;
        uint64_t frame_size;
    } table[] = {{NEAR_VERSION + 1, 1, 4},
                 {0, 1, 4},
                 {NEAR_VERSION, 0, 4},
                 {NEAR_VERSION, PXI_FRAMES_MAX + 1, 4},
                 {NEAR_VERSION, UINT32_MAX, 4},
                 {NEAR_VERSION, 1, SIZE_MAX_HERE + 1},
                 {NEAR_VERSION, 2, UINT64_MAX},
                 {NEAR_VERSION, PXI_FRAMES_MAX, INT64_MAX},
                 {NEAR_VERSION, 1, UINT64_MAX - 7}};
    struct node a, b;
    cr_assert_eq (node_open (&a, "tcp://127.0.0.1:*", 0, SIZE_MAX_HERE), PX_OK);
    node_start (&b, "");
    for (uint64_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint8_t bytes[2048];
        int fd = near_stranger (&a);
        size_t size =
            near_message (bytes, table[i].version, table[i].n_frames, table[i].frame_size, 4);
        cr_assert_eq (send (fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
        PUMP_UNTIL (is_closed (fd), &a);
        close (fd);
        cr_expect_eq (refused_by (&a), i + 1, "line %d", (int)i);
        cr_assert_eq (node_send (&b, &a.address, 0, "peer", 4), PX_OK);
        PUMP_UNTIL (a.n_received == i + 1, &a, &b);
        cr_expect (came_near (&a));
    }
    cr_expect (strstr (a.notice, "not a peer"), "%s", a.notice);
    node_close (&a);
    node_close (&b);
    TEST_NO_LEAKS ();
}

Test (transport, a_message_of_this_host_may_come_in_pieces_or_not_to_its_end)
{
    struct node a;
    uint8_t bytes[2048];
    node_start (&a, "tcp://127.0.0.1:*");
    size_t size = near_message (bytes, NEAR_VERSION, 3, 5, 15);
    int fd = near_stranger (&a);
    struct node *one[] = {&a};
    for (size_t i = 0; i < size; i++) {
        cr_assert_eq (a.n_received, 0);
        cr_assert_eq (send (fd, bytes + i, 1, MSG_NOSIGNAL), 1);
        pump (one, 1, 100);
    }
    PUMP_UNTIL (a.n_received == 1, &a);
    cr_expect_eq (a.n_frames, 3);
    cr_expect (pxi_bytes_size (a.last) == 5 && memcmp (pxi_bytes_data (a.last), "nnnnn", 5) == 0);
    close (fd);
    for (size_t cut = 0; cut < size; cut++) { /* who goes in the middle is nobody's fault */
        fd = near_stranger (&a);
        cr_assert_eq (send (fd, bytes, cut, MSG_NOSIGNAL), (ssize_t)cut);
        pump (one, 1, 100);
        close (fd);
        pump (one, 1, 100);
    }
    cr_expect_eq (a.n_received, 1);
    cr_expect_eq (refused_by (&a), 0);
    node_close (&a);
    TEST_NO_LEAKS ();
}

/* By seed: streams of messages, cut and changed anywhere. What is announced is small, so that most of them stay in
 * step for a while. */
Test (transport, whatever_comes_on_a_link_of_this_host_harms_nobody, .timeout = 60)
{
    enum { STREAMS = 2000, STREAM_SIZE_MAX = 8192 };
    static uint8_t bytes[STREAM_SIZE_MAX + 2048];
    struct node a, b;
    struct node *one[] = {&a};
    pxi_prng prng;
    pxi_prng_init (&prng, 7);
    cr_assert_eq (node_open (&a, "tcp://127.0.0.1:*", 0, 256), PX_OK);
    node_start (&b, "");
    for (uint32_t stream = 0; stream < STREAMS; stream++) {
        size_t size = 0;
        while (size < pxi_prng_below (&prng, STREAM_SIZE_MAX)) {
            uint32_t n_frames = (uint32_t)pxi_prng_between (&prng, 1, 5);
            uint64_t frame_size = pxi_prng_below (&prng, 100);
            size += near_message (bytes + size, NEAR_VERSION, n_frames, frame_size,
                                  n_frames * frame_size);
        }
        for (uint64_t n = pxi_prng_below (&prng, 4); n && size; n--)
            bytes[pxi_prng_below (&prng, size)] ^= (uint8_t)(1 + pxi_prng_below (&prng, 255));
        int fd = near_stranger (&a);
        for (size_t at = 0; at < size;) {
            size_t most = 1 + pxi_prng_below (&prng, size), left = size - at;
            ssize_t n = send (fd, bytes + at, most < left ? most : left, MSG_NOSIGNAL);
            if (n < 0)
                break;
            at += (size_t)n;
            pump (one, 1, 0);
        }
        close (fd);
        pump (one, 1, 0);
    }
    cr_expect_gt (a.n_received, STREAMS);
    cr_expect_gt (refused_by (&a), STREAMS / 10);
    uint64_t before = a.n_received;
    cr_assert_eq (node_send (&b, &a.address, 0, "peer", 4), PX_OK);
    PUMP_UNTIL (a.n_received > before && pxi_bytes_size (a.last) == 4 &&
                    memcmp (pxi_bytes_data (a.last), "peer", 4) == 0,
                &a, &b);
    node_close (&a);
    node_close (&b);
    TEST_NO_LEAKS ();
}

Test (transport, who_listens_everywhere_is_near_under_every_address_of_the_host)
{
    struct node a, b;
    node_start (&a, "tcp://0.0.0.0:*");
    for (uint8_t host = 1; host <= 3; host++) {
        pxi_address address = {.kind = 4, .port = a.address.port, .ip = {127, 0, 0, host}};
        node_start (&b, "");
        cr_assert_eq (node_send (&b, &address, 0, "x", 1), PX_OK);
        PUMP_UNTIL (a.n_received == host, &a, &b);
        cr_expect (came_near (&a));
        node_close (&b);
    }
    /* An address of a documentation network is no host's, so the name for all of this host's does not hold. */
    pxi_address elsewhere = {.kind = 4, .port = a.address.port, .ip = {192, 0, 2, 1}};
    struct node *both[] = {&a, &b};
    node_start (&b, "");
    cr_assert_eq (node_send (&b, &elsewhere, 0, "x", 1), PX_OK);
    for (int i = 0; i < 10; i++)
        pump (both, 2, 0);
    cr_expect_eq (a.n_received, 3);
    node_close (&b);
    node_close (&a);
    TEST_NO_LEAKS ();
}

Test (transport, one_port_at_two_addresses_of_this_host_is_two_peers)
{
    struct node a, b, client;
    char endpoint[64];
    node_start (&a, "tcp://127.0.0.1:*");
    snprintf (endpoint, sizeof endpoint, "tcp://127.0.0.2:%u", a.address.port);
    node_start (&b, endpoint);
    node_start (&client, "");
    cr_assert_eq (node_send (&client, &a.address, 0, "a", 1), PX_OK);
    cr_assert_eq (node_send (&client, &b.address, 0, "bb", 2), PX_OK);
    PUMP_UNTIL (a.n_received == 1 && b.n_received == 1, &a, &b, &client);
    cr_expect (came_near (&a) && came_near (&b));
    cr_expect_eq (pxi_bytes_size (a.last), 1);
    cr_expect_eq (pxi_bytes_size (b.last), 2);
    node_close (&a);
    node_close (&b);
    node_close (&client);
    TEST_NO_LEAKS ();
}

/* The listener must not keep the loop awake meanwhile. */
Test (transport, without_descriptors_who_comes_on_this_host_is_turned_away)
{
    struct node a;
    int taken[300], n = 0;
    node_start (&a, "tcp://127.0.0.1:*");
    int early = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit limit, low;
    cr_assert_eq (getrlimit (RLIMIT_NOFILE, &limit), 0);
    low = (struct rlimit){256, limit.rlim_max};
    cr_assert_eq (setrlimit (RLIMIT_NOFILE, &low), 0);
    while (n < 300 && (taken[n] = dup (0)) >= 0)
        n++;
    near_connect (early, "127.0.0.1", a.address.port);
    PUMP_UNTIL (is_closed (early), &a);
    struct pollfd fd = {.fd = pxi_zmq_fd (a.transport), .events = POLLIN};
    for (int i = 0; i < 3; i++)
        pxi_zmq_step (a.transport, 64);
    cr_expect_eq (poll (&fd, 1, 0), 0, "nothing is left to do");
    while (n > 0)
        close (taken[--n]);
    close (early);
    uint8_t bytes[64];
    size_t size = near_message (bytes, NEAR_VERSION, 1, 4, 4);
    int late = near_stranger (&a);
    cr_assert_eq (send (late, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
    PUMP_UNTIL (a.n_received == 1, &a);
    close (late);
    node_close (&a);
    TEST_NO_LEAKS ();
}

#endif

/* ---- keys ---------------------------------------------------------------------------------------
 */

/* Both sides are told why. */
static void expect_apart (const char *of_server, const char *of_client, const char *server_told,
                          const char *client_told)
{
    struct node server, client;
    key = of_server;
    node_start (&server, "tcp://127.0.0.1:*");
    key = of_client;
    node_start (&client, "");
    cr_assert_eq (node_send (&client, &server.address, 0, "let me in", 9), PX_OK);
    PUMP_UNTIL (client.n_unreachable >= 1 && links_of (&client) == 0 && server.notice[0], &server,
                &client);
    cr_expect_eq (server.n_received, 0);
    cr_expect_geq (refused_by (&server), 1);
    cr_expect (strstr (server.notice, server_told), "%s", server.notice);
    cr_expect (strstr (client.notice, client_told), "%s", client.notice);
    node_close (&client);
    node_close (&server);
}

Test (transport, peers_of_different_keys_do_not_talk_and_say_so)
{
    char one[32], two[32];
    test_key (one);
    test_key (two);
    expect_apart (one, two, "has another key, refused", "without this cluster's key");
    expect_apart (one, NULL, "key", "of a cluster with a key");
    expect_apart (NULL, one, "key", "without this cluster's key");
    TEST_NO_LEAKS ();
}

/* Who listens is reached by those of his key, whatever else is tried beside. */
Test (transport, peers_of_one_key_meet_beside_strangers)
{
    char one[32], two[32];
    const char *keys[] = {NULL, test_key (two), test_key (one)};
    struct node server, clients[3];
    key = one;
    node_start (&server, "tcp://127.0.0.1:*");
    for (int i = 0; i < 3; i++) {
        key = keys[i];
        node_start (&clients[i], "");
        cr_assert_eq (node_send (&clients[i], &server.address, 0, "xx", (size_t)i), PX_OK);
    }
    PUMP_UNTIL (clients[0].n_unreachable && clients[1].n_unreachable && server.n_received >= 1,
                &server, &clients[0], &clients[1], &clients[2]);
    cr_expect_eq (server.n_received, 1);
    cr_expect_eq (pxi_bytes_size (server.last), 2);
    cr_expect_eq (server.link >> 62, TCP_ONLY ? 2 : 1);
    for (int i = 0; i < 3; i++)
        node_close (&clients[i]);
    node_close (&server);
    TEST_NO_LEAKS ();
}

/* The public half is no secret: with it alone, and a pair of one's own, nobody gets in. */
Test (transport, who_knows_the_public_half_only_is_refused_by_name)
{
    char path[32], public_text[41], secret_text[41];
    pxi_cluster_key known;
    struct node server;
    key = test_key (path);
    node_start (&server, "tcp://127.0.0.1:*");
    cr_assert_eq (pxi_key_read (path, &known, NULL), PX_OK);
    cr_assert_eq (zmq_curve_keypair (public_text, secret_text), 0);
    void *context = zmq_ctx_new (), *socket = zmq_socket (context, ZMQ_DEALER);
    zmq_setsockopt (socket, ZMQ_CURVE_SERVERKEY, known.public_text, 41);
    zmq_setsockopt (socket, ZMQ_CURVE_PUBLICKEY, public_text, 41);
    zmq_setsockopt (socket, ZMQ_CURVE_SECRETKEY, secret_text, 41);
    int linger = 0;
    zmq_setsockopt (socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_connect (socket, pxi_zmq_endpoint (server.transport));
    raw_send (socket, 10, false);
    PUMP_UNTIL (refused_by (&server) >= 1, &server);
    cr_expect (strstr (server.notice, public_text), "%s", server.notice);
    cr_expect (strstr (server.notice, "127.0.0.1"), "%s", server.notice);
    zmq_close (socket);
    zmq_ctx_term (context);
    struct node peer;
    node_start (&peer, "");
    cr_assert_eq (node_send (&peer, &server.address, 0, "peer", 4), PX_OK);
    PUMP_UNTIL (server.n_received == 1, &server, &peer);
    cr_expect_eq (pxi_bytes_size (server.last), 4);
    node_close (&peer);
    node_close (&server);
    key = NULL;
    TEST_NO_LEAKS ();
}

/* By seed: a greeting, then commands of handshakes, right and changed anywhere. Connections are closed
 * in the middle, and so is who listens. */
Test (transport, whatever_comes_in_a_handshake_harms_nobody, .timeout = 60)
{
    enum { STREAMS = 300, EACH = 60, HELLO_SIZE = 200 };
    static const uint8_t greeting[64] = {0xff, 0, 0, 0,   0,   0,   0,   0,  1,
                                         0x7f, 3, 1, 'C', 'U', 'R', 'V', 'E'};
    char path[32];
    uint8_t bytes[sizeof greeting + 4 * (HELLO_SIZE + 2)];
    struct node a, b;
    struct node *one[] = {&a};
    pxi_prng prng;
    pxi_prng_init (&prng, 11);
    key = test_key (path);
    for (uint32_t stream = 0; stream < STREAMS; stream++) {
        if (stream % EACH == 0)
            node_start (&a, "tcp://127.0.0.1:*");
        size_t size = sizeof greeting;
        memcpy (bytes, greeting, size);
        for (uint64_t n = pxi_prng_below (&prng, 4); n; n--) {
            static const char *const names[] = {"\x05HELLO\x01", "\x08INITIATE", "\x05READY",
                                                "\x07MESSAGE"};
            bytes[size++] = 4; /* a command */
            bytes[size++] = HELLO_SIZE;
            for (int i = 0; i < HELLO_SIZE; i++)
                bytes[size + (size_t)i] = (uint8_t)pxi_prng_below (&prng, 256);
            const char *name = names[pxi_prng_below (&prng, 4)];
            memcpy (bytes + size, name, strlen (name));
            size += HELLO_SIZE;
        }
        for (uint64_t n = pxi_prng_below (&prng, 3); n; n--)
            bytes[pxi_prng_below (&prng, size)] ^= (uint8_t)(1 + pxi_prng_below (&prng, 255));
        int fd = tcp_connect (&a.address);
        send (fd, bytes, 1 + pxi_prng_below (&prng, size), MSG_NOSIGNAL | MSG_DONTWAIT);
        pump (one, 1, 2);
        close (fd);
        if (stream % EACH != EACH - 1)
            continue;
        cr_expect_eq (a.n_received, 0);
        node_start (&b, "");
        cr_assert_eq (node_send (&b, &a.address, 0, "peer", 4), PX_OK);
        PUMP_UNTIL (a.n_received == 1, &a, &b);
        cr_expect_gt (refused_by (&a), EACH / 2);
        node_close (&b);
        node_close (&a);
    }
    key = NULL;
    TEST_NO_LEAKS ();
}

/* ---- bounds and ends ----------------------------------------------------------------------------
 */

Test (transport, the_longest_unused_link_is_closed_first)
{
    enum { PEERS = 8, LINKS = 4 };
    struct node a, peers[PEERS];
    cr_assert_eq (node_open (&a, "", LINKS, MESSAGE_SIZE_MAX), PX_OK);
    for (int i = 0; i < PEERS; i++) {
        node_start (&peers[i], "tcp://127.0.0.1:*");
        peers[i].echo = true;
    }
    pxi_link first = 0;
    for (uint64_t i = 0; i < PEERS; i++) {
        uint64_t before = a.n_received;
        cr_assert_eq (node_send (&a, &peers[i].address, 0, "x", 1), PX_OK);
        PUMP_UNTIL (a.n_received == before + 1, &a, &peers[i]);
        first = i == 0 ? a.link : first;
        cr_expect_eq (links_of (&a), i < LINKS ? i + 1 : LINKS);
        /* The first is used all the time, so it stays. */
        cr_assert_eq (node_send (&a, &peers[0].address, 0, "x", 1), PX_OK);
        PUMP_UNTIL (a.n_received == before + 2, &a, &peers[0]);
        cr_expect_eq (a.link, first);
    }
    cr_assert_eq (node_send (&a, &peers[1].address, 0, "x", 1), PX_OK);
    PUMP_UNTIL (peers[1].n_received == 2, &a, &peers[1]);
    node_close (&a);
    for (int i = 0; i < PEERS; i++)
        node_close (&peers[i]);
    TEST_NO_LEAKS ();
}

static int count_descriptors (void)
{
    int n = 0;
    DIR *dir = opendir ("/proc/self/fd");
    while (readdir (dir))
        n++;
    closedir (dir);
    return n;
}

Test (transport, nothing_is_left_open)
{
    int before = count_descriptors ();
    for (int i = 0; i < 5; i++) {
        struct node a, b;
        node_start (&a, "tcp://127.0.0.1:*");
        node_start (&b, "tcp://127.0.0.1:*");
        pxi_address nobody = free_port ();
        node_send (&b, &nobody, 0, "waits", 5);
        node_send (&b, &a.address, 0, "x", 1);
        PUMP_UNTIL (a.n_received == 1, &a, &b);
        node_close (&a);
        node_close (&b);
    }
    cr_expect_eq (count_descriptors (), before);
    TEST_NO_LEAKS ();
}

Test (transport, what_was_sent_last_is_drained)
{
    struct node a, b;
    node_start (&a, "tcp://127.0.0.1:*");
    node_start (&b, "");
    cr_assert_eq (node_send (&b, &a.address, 0, "x", 1), PX_OK);
    PUMP_UNTIL (a.n_received == 1, &a, &b);
    cr_assert_eq (node_send (&b, &a.address, 0, "bye", 3), PX_OK);
    node_close (&b);
    PUMP_UNTIL (a.n_received == 2, &a);
    node_close (&a);
    TEST_NO_LEAKS ();
}

/* ---- where to listen ----------------------------------------------------------------------------
 */

Test (transport, listening_says_what_is_wrong)
{
    struct node a;
    node_start (&a, "tcp://127.0.0.1:*");
    const char *taken = pxi_zmq_endpoint (a.transport);
    const struct {
        const char *listen;
        px_err err;
        const char *word;
    } table[] = {
        {taken, PX_EINUSE,
         "the port is in use by another process: choose another or tcp://127.0.0.1:*"},
        {"tcp://nosuchif0:5555", PX_EADDRESS, "nosuchif0"},
        {"tcp://192.0.2.1:5555", PX_EADDRESS, "not an address of this host"},
        {"tcp://127.0.0.1", PX_EADDRESS, "no port"},
        {"tcp://127.0.0.1:70000", PX_EADDRESS, "65535"},
        {"tcp://127.0.0.1:http", PX_EADDRESS, "65535"},
        {"ipc:///tmp/x", PX_EADDRESS, "only tcp://"},
        {"tcp://::1:5555", PX_EADDRESS, "brackets"},
        {"tcp://:5555", PX_EADDRESS, "no host"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        pxi_transport *transport = NULL;
        char why[PX_WHY_SIZE] = "";
        pxi_transport_config config = {.listen = table[i].listen, .message_size_max = 1000};
        cr_expect_eq (pxi_zmq_new (&config, &transport, why), table[i].err, "%s", table[i].listen);
        cr_expect (strstr (why, table[i].word), "%s: '%s'", table[i].listen, why);
        cr_expect_null (transport);
    }
    node_close (&a);
    TEST_NO_LEAKS ();
}

Test (transport, listening_to_the_network_is_said_to_be_open)
{
    struct node a;
    node_start (&a, "tcp://*:*");
    if (KEYED)
        cr_expect_str_eq (a.notice, "");
    else
        cr_expect (strstr (a.notice, "nothing is encrypted: give all peers a key (--key FILE)"),
                   "%s", a.notice);
    node_close (&a);
    TEST_NO_LEAKS ();
}
