/* Asking peers what they do: a transport of its own, a question to each address, and, as answers
 * name further peers, to those too. Ends when all have answered or the time is over. A question may
 * be lost while a link is being made, so it is repeated a few times; each answers at most once. */
#include "agent/status.h"

#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/prng.h"
#include "net/transport.h"
#include "wire/codec.h"

enum { REPEATS = 4 };

typedef struct status_target {
    pxi_address address;
    bool answered;
} status_target;

typedef struct status_collection {
    pxi_transport *transport;
    status_target *targets; /* PXI_STATUS_PEERS_MAX; the sequence of a question is first + index */
    uint32_t n_targets, n_answers;
    uint64_t from, first;
    bool reach;
    uint16_t version; /* that one who refused ours speaks; 0 = nobody did */
    pxi_status_fn *answer;
    void *context;
} status_collection;

static void ask (status_collection *collection, uint32_t index)
{
    static const uint8_t none;
    pxi_bytes *frames[2] = {
        pxi_codec_encode_status (PXI_STATUS_ASK, collection->from, collection->first + index),
        pxi_bytes_copy (&none, 0)};
    if (frames[0] && frames[1]) {
        pxi_zmq_send (collection->transport, &collection->targets[index].address, 0, frames, 2);
        return;
    }
    pxi_bytes_release (frames[0]);
    pxi_bytes_release (frames[1]);
}

static void add_target (status_collection *collection, const pxi_address *address)
{
    for (uint32_t i = 0; i < collection->n_targets; i++) {
        if (pxi_address_same (&collection->targets[i].address, address))
            return;
    }
    if (collection->n_targets == PXI_STATUS_PEERS_MAX)
        return;
    collection->targets[collection->n_targets++] = (status_target){*address, false};
    ask (collection, collection->n_targets - 1);
}

static void add_named (status_collection *collection, const json_t *answer)
{
    size_t index;
    const json_t *peer;
    json_array_foreach (json_object_get (answer, "peers"), index, peer)
    {
        const char *text = json_string_value (json_object_get (peer, "address"));
        pxi_address address;
        if (text && text[0] && pxi_address_parse (text, &address, NULL) == PX_OK)
            add_target (collection, &address);
    }
}

static void take_answer (status_collection *collection, uint32_t index, const pxi_bytes *body)
{
    size_t size = pxi_bytes_size (body);
    if (size > PXI_STATUS_SIZE_MAX || collection->targets[index].answered)
        return;
    json_t *answer = json_loadb (pxi_bytes_data (body), size, 0, NULL);
    char *text = json_is_object (answer) ? json_dumps (answer, JSON_COMPACT) : NULL;
    if (text) {
        char address[64];
        collection->targets[index].answered = true;
        collection->n_answers++;
        pxi_address_print (&collection->targets[index].address, address);
        collection->answer (collection->context, address, text);
        if (collection->reach)
            add_named (collection, answer);
    }
    free (text);
    json_decref (answer);
}

static void received (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames)
{
    (void)link;
    status_collection *collection = context;
    pxi_status_message status;
    px_err err =
        pxi_codec_peek_status (pxi_bytes_data (frames[0]), pxi_bytes_size (frames[0]), &status);
    pxi_codec_peek_refusal (pxi_bytes_data (frames[0]), pxi_bytes_size (frames[0]),
                            &collection->version);
    if (err == PX_OK && status.kind == PXI_STATUS && n_frames == 2 &&
        status.sequence - collection->first < collection->n_targets)
        take_answer (collection, (uint32_t)(status.sequence - collection->first), frames[1]);
    for (uint32_t i = 0; i < n_frames; i++)
        pxi_bytes_release (frames[i]);
}

static void unreachable (void *context, const pxi_address *address, pxi_link link)
{
    (void)context, (void)address, (void)link; /* who does not answer is not counted */
}

static void notice (void *context, int level, const char *text)
{
    (void)context, (void)level, (void)text;
}

static void wait_until (status_collection *collection, uint64_t deadline_ns)
{
    for (;;) {
        while (pxi_zmq_step (collection->transport, 64))
            continue;
        uint64_t now_ns = pxi_clock_ns ();
        if (collection->n_answers == collection->n_targets || now_ns >= deadline_ns)
            return;
        struct pollfd polled = {.fd = pxi_zmq_fd (collection->transport), .events = POLLIN};
        uint64_t wait_ms = (deadline_ns - now_ns) / PXI_MS + 1;
        poll (&polled, 1, (int)(wait_ms < 50 ? wait_ms : 50));
    }
}

static void collect (status_collection *collection, uint64_t timeout_ns)
{
    uint64_t begin_ns = pxi_clock_ns ();
    for (uint32_t turn = 1; turn <= REPEATS; turn++) {
        wait_until (collection, begin_ns + timeout_ns / REPEATS * turn);
        if (collection->n_answers == collection->n_targets)
            return;
        for (uint32_t i = 0; turn < REPEATS && i < collection->n_targets; i++) {
            if (!collection->targets[i].answered)
                ask (collection, i);
        }
    }
}

static px_err open_collection (status_collection *collection, const char *key, char *why)
{
    const pxi_transport_config config = {.listen = "",
                                         .message_size_max = PXI_STATUS_SIZE_MAX,
                                         .key = key,
                                         .events = {received, unreachable, notice},
                                         .context = collection};
    collection->from = pxi_system_seed ();
    collection->first = pxi_mix64 (collection->from);
    collection->targets = calloc (PXI_STATUS_PEERS_MAX, sizeof *collection->targets);
    if (!collection->targets)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    return pxi_zmq_new (&config, &collection->transport, why);
}

const char *pxi_status_advice (const char *key)
{
    return key ? "check that a peer runs there with the same key file: its log says whom it refused"
               : "check that a peer runs there, without a key: one with a key needs --key here, "
                 "too";
}

static px_err explain (const status_collection *collection, const pxi_status_question *question,
                       char *why)
{
    const char *first = question->n_addresses ? question->addresses[0] : "no address";
    if (collection->n_answers)
        return PX_OK;
    if (collection->version)
        return pxi_fail (PX_EVERSION, why,
                         "%s: speaks version %u of the protocol, this program speaks version %d",
                         first, collection->version, PXI_WIRE_VERSION);
    return pxi_fail (PX_ENOPEER, why, "%s: no answer in %.3g s: not a peer, or not admitted; %s",
                     first, (double)question->timeout_ns / 1e9, pxi_status_advice (question->key));
}

px_err pxi_status_collect (const pxi_status_question *question, uint32_t *n_answers,
                           uint32_t *n_asked, char *why)
{
    status_collection collection = {
        .reach = question->reach, .answer = question->answer, .context = question->context};
    px_err err = open_collection (&collection, question->key, why);
    for (uint32_t i = 0; i < question->n_addresses && err == PX_OK; i++) {
        pxi_address address;
        err = pxi_address_parse (question->addresses[i], &address, why);
        if (err == PX_OK)
            add_target (&collection, &address);
    }
    if (err == PX_OK) {
        collect (&collection, question->timeout_ns);
        err = explain (&collection, question, why);
    }
    if (n_answers)
        *n_answers = collection.n_answers;
    if (n_asked)
        *n_asked = collection.n_targets;
    pxi_zmq_free (&collection.transport);
    free (collection.targets);
    return err;
}

static void keep (void *context, const char *address, const char *json)
{
    (void)address;
    char **kept = context;
    if (!*kept)
        *kept = strdup (json);
}

px_err pxi_status_ask (const char *address, const char *key, uint64_t timeout_ns, char **json,
                       char *why)
{
    char *kept = NULL;
    const pxi_status_question question = {.addresses = &address,
                                          .n_addresses = 1,
                                          .key = key,
                                          .timeout_ns = timeout_ns,
                                          .answer = keep,
                                          .context = &kept};
    px_err err = pxi_status_collect (&question, NULL, NULL, why);
    if (err == PX_OK && !kept)
        err = pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    if (err == PX_OK)
        *json = kept;
    return err;
}
