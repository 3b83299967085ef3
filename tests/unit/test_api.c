/* The api's own parts: chains of failures as text; and what peers say of themselves when asked. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/peerexec.h>

#include "agent/blob.h"
#include "agent/status.h"
#include "net/transport.h"
#include "wire/codec.h"
#include "leak.h"

#define SECOND UINT64_C (1000000000)

/* ---- outcomes --------------------------------------------------------------------------------- */

static const px_failure failures[] = {
    {PX_EFAILED, 0, 1, 88, 0, "pricing.portfolio", "a", "pricing.c", "1 of 1000 failed"},
    {PX_EFAILED, 1, 2, 31, 17, "pricing.price", "b", "pricing.c", "negative volatility"},
    {PX_ECRASH, 1, 3, 0, 18, "pricing.price", "c", "", "signal 11 in task pricing.price"},
    {PX_ELOST, 2, 0, 0, 5, "pricing.path", "c", "", ""},
};

static const char expected[] =
    "pricing.portfolio on a: 1 of 1000 failed [pricing.c:88]\n"
    "  pricing.price #17 on b (attempt 2): negative volatility [pricing.c:31]\n"
    "  pricing.price #18 on c (attempt 3): signal 11 in task pricing.price (PX_ECRASH)\n"
    "    pricing.path #5 on c: the peer was lost (PX_ELOST)\n"
    "and 7 more failures\n";

Test (outcome, is_printed_as_indented_lines)
{
    const px_outcome outcome = {
        .code = PX_EFAILED, .failures = failures, .n_failures = 4, .n_failures_dropped = 7};
    char text[1000];
    cr_assert_eq (px_outcome_print (&outcome, text, sizeof text), strlen (expected));
    cr_assert_str_eq (text, expected);
    const px_outcome fine = {.code = PX_OK};
    cr_assert_eq (px_outcome_print (&fine, text, sizeof text), strlen ("no error\n"));
    cr_assert_str_eq (text, "no error\n");
    const px_outcome otherwise = {.code = PX_OK, .failures = failures, .n_failures = 1};
    px_outcome_print (&otherwise, text, sizeof text);
    cr_assert_str_eq (text, "pricing.portfolio on a: 1 of 1000 failed [pricing.c:88]\n");
}

Test (outcome, is_cut_where_there_is_no_room)
{
    const px_outcome outcome = {
        .code = PX_EFAILED, .failures = failures, .n_failures = 4, .n_failures_dropped = 7};
    for (size_t size = 0; size < sizeof expected + 2; size++) {
        char text[sizeof expected + 2];
        memset (text, '#', sizeof text);
        cr_assert_eq (px_outcome_print (&outcome, text, size), strlen (expected));
        if (size) {
            size_t length = size - 1 < strlen (expected) ? size - 1 : strlen (expected);
            cr_assert_eq (strlen (text), length, "room %zu", size);
            cr_assert_eq (memcmp (text, expected, length), 0, "room %zu", size);
        }
        for (size_t i = size; i < sizeof text; i++)
            cr_assert_eq (text[i], '#', "room %zu: wrote behind it", size);
    }
}

Test (outcome, indents_the_deepest_chain_within_reason)
{
    px_failure deep = failures[0];
    deep.level = 65535;
    const px_outcome outcome = {.code = PX_EFAILED, .failures = &deep, .n_failures = 1};
    cr_assert_lt (px_outcome_print (&outcome, NULL, 0), 200);
}

/* ---- strangers -------------------------------------------------------------------------------- */

static void ignore_message (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames)
{
    (void)context, (void)link;
    for (uint32_t i = 0; i < n_frames; i++)
        pxi_bytes_release (frames[i]);
}

static void ignore_unreachable (void *context, const pxi_address *address, pxi_link link)
{
    (void)context, (void)address, (void)link;
}

static void ignore_notice (void *context, int level, const char *text)
{
    (void)context, (void)level, (void)text;
}

/* A dispatch whose envelope is in order, with what is said to be specification and input. */
static uint32_t make_dispatch (pxi_bytes **frames, const char *spec, size_t spec_size,
                               uint32_t size_said, size_t size)
{
    const pxi_attempt attempt = {
        .key = {7, 1}, .job = {9, 1}, .module = 5, .size_bytes = size_said};
    const pxi_message message = {.kind = PXI_DISPATCH,
                                 .from = 9,
                                 .from_incarnation = 1,
                                 .to = 3,
                                 .to_incarnation = 4,
                                 .lease = 1,
                                 .n_attempts = 1,
                                 .attempts = &attempt};
    frames[0] = pxi_codec_encode (&message);
    frames[1] = pxi_bytes_copy (spec, spec_size);
    frames[2] = pxi_bytes_new (size);
    memset (pxi_bytes_data (frames[2]), 0, size);
    return 3;
}

static uint32_t make_nonsense (int number, pxi_bytes **frames)
{
    static const char spec[8] = {1, 0, 0, 0, 16, 0, 0, 0}, bad_spec[8] = {1, 0, 1, 0, 16, 0, 0, 0};
    static const char other_version[] = {0x0d, 99, 0, 0x58, 0x50, 0x10, 1};
    switch (number) {
    case 0:
        frames[0] = pxi_bytes_copy ("GET / HTTP/1.1", 14);
        return 1;
    case 1:
        frames[0] = pxi_bytes_copy (other_version, sizeof other_version);
        return 1;
    case 2:
        return make_dispatch (frames, bad_spec, sizeof bad_spec, 4, 4);
    case 3:
        return make_dispatch (frames, spec, sizeof spec, 4, 5);
    case 4:
        return make_dispatch (frames, spec, sizeof spec, 4, 4) - 1; /* a frame is missing */
    default:
        return make_dispatch (frames, spec, sizeof spec, 2000, 2000);
    }
}

static void count_refusals (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames)
{
    static const uint8_t refusal[] = {0x0d, 0xff, 0xff, 0x58, 0x50, 1, 0, 99, 0};
    int *n = context;
    *n += n_frames == 1 && pxi_bytes_size (frames[0]) == sizeof refusal &&
          !memcmp (pxi_bytes_data (frames[0]), refusal, sizeof refusal);
    ignore_message (NULL, link, frames, n_frames);
}

/* Each costs a counter and nothing else; the last is in order but for its size, over the limit. Only
 * the one of another version is answered. */
Test (strangers, cost_a_counter, .timeout = 30)
{
    px_peer *peer = NULL;
    char why[PX_WHY_SIZE];
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    int n_refusals = 0;
    options.input_size_max = 1000;
    cr_assert_eq (px_peer_open (&options, &peer, why), PX_OK, "%s", why);
    const pxi_transport_config config = {
        .listen = "",
        .message_size_max = 4096,
        .events = {count_refusals, ignore_unreachable, ignore_notice},
        .context = &n_refusals};
    pxi_transport *transport = NULL;
    pxi_address address;
    cr_assert_eq (pxi_zmq_new (&config, &transport, why), PX_OK);
    cr_assert_eq (pxi_address_parse (px_peer_address (peer), &address, why), PX_OK);
    for (int number = 0; number < 6; number++) {
        pxi_bytes *frames[3] = {NULL};
        uint32_t n = make_nonsense (number, frames);
        cr_assert_eq (pxi_zmq_send (transport, &address, 0, frames, n), PX_OK);
        if (n < 3)
            pxi_bytes_release (frames[2]);
        px_stats stats = {.size = sizeof stats};
        uint64_t deadline_ns = px_deadline_ns (10 * SECOND);
        while (stats.messages_refused < (uint64_t)number + 1) {
            while (pxi_zmq_step (transport, 16))
                continue;
            cr_assert_eq (px_peer_stats (peer, &stats), PX_OK);
            cr_assert_lt (px_now_ns (), deadline_ns, "message %d was not refused", number);
        }
        cr_assert_eq (stats.messages_refused, (uint64_t)number + 1);
    }
    cr_assert_eq (n_refusals, 1);
    pxi_zmq_free (&transport);
    px_peer_close (&peer, 0);
    TEST_NO_LEAKS ();
}

/* ---- shared inputs ----------------------------------------------------------------------------- */

PX_MODULE ("api", "1")

/* Result: the shared bytes, as they are. */
static px_err tell_shared (px_task *task, const void *input, size_t input_size)
{
    size_t size;
    const void *shared = px_task_shared (task, &size);
    return px_task_return (task, shared, size);
}
PX_TASK (tell_shared)

/* A master that speaks the protocol by hand: what its worker said, by kind. */
typedef struct master {
    pxi_transport *transport;
    pxi_address address;
    pxi_peer_record worker;
    pxi_message heard[PXI_MESSAGE_LAST + 1]; /* the last of each kind, without its arrays */
    uint32_t n_heard[PXI_MESSAGE_LAST + 1];
    pxi_result outcome; /* the first of the last RESULT */
    uint8_t result[8];
} master;

static void hear_worker (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames)
{
    master *self = context;
    pxi_decoded decoded;
    cr_assert_eq (pxi_codec_decode (pxi_bytes_data (frames[0]), pxi_bytes_size (frames[0]),
                                    n_frames - 1, &decoded, NULL),
                  PX_OK);
    pxi_message_kind kind = decoded.message.kind;
    if (kind == PXI_WELCOME)
        self->worker = decoded.message.records[0];
    if (kind == PXI_RESULT && pxi_bytes_size (frames[1]) == sizeof self->result)
        memcpy (self->result, pxi_bytes_data (frames[1]), sizeof self->result);
    self->heard[kind] = decoded.message;
    if (kind == PXI_RESULT)
        self->outcome = decoded.message.results[0].result;
    self->n_heard[kind]++;
    pxi_codec_fini (&decoded);
    ignore_message (NULL, link, frames, n_frames);
}

static void wait_for (master *self, pxi_message_kind kind, uint32_t n)
{
    uint64_t deadline_ns = px_deadline_ns (10 * SECOND);
    while (self->n_heard[kind] < n) {
        while (pxi_zmq_step (self->transport, 16))
            continue;
        cr_assert_lt (px_now_ns (), deadline_ns, "no %s", pxi_message_name (kind));
    }
}

/* Takes the payloads. */
static void say (master *self, pxi_message message, pxi_bytes *first, pxi_bytes *second)
{
    pxi_bytes *frames[3] = {NULL, first, second};
    message.from = 9;
    message.from_incarnation = 1;
    message.to = self->worker.id;
    message.to_incarnation = self->worker.incarnation;
    frames[0] = pxi_codec_encode (&message);
    uint32_t n = 1 + (first != NULL) + (second != NULL);
    cr_assert_eq (pxi_zmq_send (self->transport, &self->address, 0, frames, n), PX_OK);
}

static void begin_master (master *self, px_peer *peer)
{
    const pxi_transport_config config = {.listen = "",
                                         .message_size_max = 4096,
                                         .events = {hear_worker, ignore_unreachable, ignore_notice},
                                         .context = self};
    const pxi_peer_record own = {.id = 9, .incarnation = 1};
    memset (self, 0, sizeof *self);
    cr_assert_eq (pxi_zmq_new (&config, &self->transport, NULL), PX_OK);
    cr_assert_eq (pxi_address_parse (px_peer_address (peer), &self->address, NULL), PX_OK);
    say (self, (pxi_message){.kind = PXI_HELLO, .n_records = 1, .records = &own}, NULL, NULL);
    wait_for (self, PXI_WELCOME, 1);
}

static void probe (master *self, uint64_t number, pxi_shared_name shared)
{
    static const char spec[8] = {1, 0, 0, 0, 16, 0, 0, 0};
    const pxi_attempt attempt = {.key = {number, 1},
                                 .job = {9, 1},
                                 .module = self->worker.modules[0],
                                 .size_bytes = 4,
                                 .shared = shared};
    say (self,
         (pxi_message){.kind = PXI_PROBE,
                       .probe = number,
                       .job = {9, 1},
                       .module = attempt.module,
                       .n_slots = 1,
                       .has_inline = true,
                       .n_attempts = 1,
                       .attempts = &attempt},
         pxi_bytes_copy (spec, sizeof spec), pxi_bytes_copy ("none", 4));
}

static void answer (master *self, pxi_shared_name shared, const char *bytes, size_t size)
{
    say (self, (pxi_message){.kind = PXI_SHARED, .shared = shared, .accepted = true},
         pxi_bytes_copy (bytes, size), NULL);
}

static void expect_refused (px_peer *peer, master *self, uint64_t n)
{
    px_stats stats = {.size = sizeof stats};
    uint64_t deadline_ns = px_deadline_ns (10 * SECOND);
    while (stats.messages_refused < n) {
        while (pxi_zmq_step (self->transport, 16))
            continue;
        cr_assert_eq (px_peer_stats (peer, &stats), PX_OK);
        cr_assert_lt (px_now_ns (), deadline_ns);
    }
    cr_assert_eq (stats.messages_refused, n);
    cr_assert_eq (stats.shared_received, 0);
}

/* What is not what was asked for is refused, and counted; the subtask begins with the right bytes only. */
Test (strangers, do_not_pass_other_bytes_for_a_shared_input, .timeout = 60)
{
    px_peer *peer = NULL;
    master self;
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    options.module = &px_module_v1;
    options.input_size_max = 1000;
    options.slots = 1;
    options.detect_ns = 60 * SECOND; /* so that it does not ask again meanwhile */
    cr_assert_eq (px_peer_open (&options, &peer, NULL), PX_OK);
    begin_master (&self, peer);
    pxi_bytes *right = pxi_bytes_copy ("as asked", 8);
    pxi_shared_name name = pxi_blob_shared_name (right), other = name, large = name;
    pxi_bytes_release (right);
    other.digest[0] ^= 1;
    large.size_bytes = 1001;

    say (&self, (pxi_message){.kind = PXI_FETCH, .shared = name}, NULL, NULL);
    wait_for (&self, PXI_SHARED, 1);
    cr_assert_not (self.heard[PXI_SHARED].accepted, "it is not here");
    probe (&self, 1, large);
    wait_for (&self, PXI_CANNOT, 1);
    cr_assert_eq (self.heard[PXI_CANNOT].err, PX_ETOOBIG);

    probe (&self, 2, name);
    wait_for (&self, PXI_FETCH, 1);
    cr_assert (pxi_same_shared (&self.heard[PXI_FETCH].shared, &name));
    answer (&self, other, "as asked", 8); /* nobody waits for that: it is not even looked at */
    answer (&self, name, "as gives", 8);
    expect_refused (peer, &self, 1);
    answer (&self, name, "as asked?", 9);
    expect_refused (peer, &self, 2);
    answer (&self, name, "as asked", 8);
    wait_for (&self, PXI_RESULT, 1);
    cr_assert_eq (self.outcome, PXI_RESULT_OK);
    cr_assert_eq (memcmp (self.result, "as asked", 8), 0);
    cr_assert_eq (self.n_heard[PXI_FETCH], 1);
    pxi_zmq_free (&self.transport);
    px_peer_close (&peer, 0);
    TEST_NO_LEAKS ();
}

/* ---- versions --------------------------------------------------------------------------------- */

/* A peer of version 2 as far as can be: it answers everything with a refusal. */
typedef struct newer {
    pxi_transport *transport;
    pthread_t thread;
    atomic_bool over;
} newer;

static void refuse_all (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames)
{
    static const uint8_t refusal[] = {0x0d, 0xff, 0xff, 0x58, 0x50, 2, 0, 1, 0};
    newer *peer = context;
    pxi_bytes *answer = pxi_bytes_copy (refusal, sizeof refusal);
    ignore_message (NULL, link, frames, n_frames);
    pxi_zmq_send (peer->transport, NULL, link, &answer, 1);
}

static void *serve_newer (void *argument)
{
    newer *peer = argument;
    struct pollfd polled = {.fd = pxi_zmq_fd (peer->transport), .events = POLLIN};
    while (!atomic_load (&peer->over)) {
        while (pxi_zmq_step (peer->transport, 16))
            continue;
        poll (&polled, 1, 20);
    }
    return NULL;
}

static void begin_newer (newer *peer)
{
    const pxi_transport_config config = {.listen = "tcp://127.0.0.1:*",
                                         .message_size_max = 4096,
                                         .events = {refuse_all, ignore_unreachable, ignore_notice},
                                         .context = peer};
    cr_assert_eq (pxi_zmq_new (&config, &peer->transport, NULL), PX_OK);
    atomic_init (&peer->over, false);
    cr_assert_eq (pthread_create (&peer->thread, NULL, serve_newer, peer), 0);
}

static void end_newer (newer *peer)
{
    atomic_store (&peer->over, true);
    pthread_join (peer->thread, NULL);
    pxi_zmq_free (&peer->transport);
}

Test (versions, that_differ_are_told_to_who_joins_and_to_who_asks, .timeout = 30)
{
    newer other;
    px_peer *peer = NULL, *good = NULL;
    char why[PX_WHY_SIZE], begin[200], *json = NULL;
    begin_newer (&other);
    const char *address = pxi_zmq_endpoint (other.transport);
    snprintf (begin, sizeof begin,
              "%s: speaks version 2 of the protocol, this peer speaks version 1: ", address);
    const char *join[] = {address, NULL, NULL};
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    options.join = join;
    options.join_timeout_ns = 20 * SECOND; /* it need not be waited for */
    cr_assert_eq (px_peer_open (&options, &peer, why), PX_EVERSION, "%s", why);
    cr_assert_eq (strncmp (why, begin, strlen (begin)), 0, "%s", why);
    cr_assert_eq (pxi_status_ask (address, NULL, SECOND, &json, why), PX_EVERSION);
    cr_assert_not_null (strstr (why, "speaks version 2"), "%s", why);
    options.join = NULL;
    cr_assert_eq (px_peer_open (&options, &good, why), PX_OK);
    join[1] = px_peer_address (good);
    options.join = join;
    cr_assert_eq (px_peer_open (&options, &peer, why), PX_OK, "one that answers is enough: %s",
                  why);
    px_peer_close (&peer, 0);
    px_peer_close (&good, 0);
    end_newer (&other);
    TEST_NO_LEAKS ();
}

/* ---- status ----------------------------------------------------------------------------------- */

typedef struct heard {
    char names[8][32];
    int n, n_peers;
} heard;

static void hear (void *context, const char *address, const char *json)
{
    heard *all = context;
    json_t *answer = json_loads (json, 0, NULL);
    cr_assert_not_null (answer);
    cr_assert_str_eq (json_string_value (json_object_get (answer, "address")), address);
    cr_assert_str_eq (json_string_value (json_object_get (answer, "version")), PX_VERSION_TEXT);
    cr_assert (json_is_integer (json_object_get (json_object_get (answer, "stats"), "slots")));
    cr_assert (json_is_array (json_object_get (answer, "runs")));
    cr_assert (json_string_length (json_object_get (answer, "why")) > 0);
    snprintf (all->names[all->n++], sizeof all->names[0], "%s",
              json_string_value (json_object_get (answer, "name")));
    all->n_peers += (int)json_array_size (json_object_get (answer, "peers"));
    json_decref (answer);
}

Test (status, is_told_by_every_peer_in_reach, .timeout = 30)
{
    px_peer *peers[3];
    static const char *const names[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++) {
        char why[PX_WHY_SIZE];
        px_peer_options options = PX_PEER_OPTIONS_INIT;
        const char *join[] = {i ? px_peer_address (peers[0]) : NULL, NULL};
        options.name = names[i];
        options.join = i ? join : NULL;
        cr_assert_eq (px_peer_open (&options, &peers[i], why), PX_OK, "%s", why);
    }
    for (int i = 0; i < 3; i++)
        cr_assert_eq (px_peer_wait (peers[i], 2, px_deadline_ns (10 * SECOND)), PX_OK);
    char why[PX_WHY_SIZE];
    const char *address = px_peer_address (peers[1]);
    uint32_t n_answers = 0, n_asked = 0;
    heard all = {0};
    const pxi_status_question question = {.addresses = &address,
                                          .n_addresses = 1,
                                          .reach = true,
                                          .timeout_ns = 10 * SECOND,
                                          .answer = hear,
                                          .context = &all};
    px_err err = pxi_status_collect (&question, &n_answers, &n_asked, why);
    cr_assert_eq (err, PX_OK, "%s", why);
    cr_assert_eq (n_answers, 3);
    cr_assert_eq (n_asked, 3);
    cr_assert_eq (all.n, 3);
    cr_assert_eq (all.n_peers, 6);
    cr_assert_str_eq (all.names[0], "two", "who was asked answers first");
    char *json = NULL;
    cr_assert_eq (pxi_status_ask (address, NULL, 10 * SECOND, &json, why), PX_OK, "%s", why);
    cr_assert_not_null (strstr (json, "\"name\":\"two\""));
    free (json);
    for (int i = 3; i-- > 0;)
        px_peer_close (&peers[i], px_deadline_ns (SECOND));
    TEST_NO_LEAKS ();
}

Test (status, says_who_does_not_answer)
{
    char why[PX_WHY_SIZE], *json = NULL;
    cr_assert_eq (pxi_status_ask ("tcp://127.0.0.1:1", NULL, SECOND / 5, &json, why), PX_ENOPEER);
    cr_assert_str_eq (
        why,
        "tcp://127.0.0.1:1: no answer in 0.2 s: not a peer, or not admitted; check that a peer "
        "runs there, without a key: one with a key needs --key here, too");
    cr_assert_eq (pxi_status_ask ("nonsense", NULL, SECOND / 5, &json, why), PX_EADDRESS);
    cr_assert_null (json);
    TEST_NO_LEAKS ();
}
