/* Envelopes: core messages to bytes and back.
 *
 * Policy: one table says which fields a kind carries and which of them it needs; both directions
 * follow it, so a field that a kind does not use never travels and is zero when decoded. What
 * arrives is hostile: its size is checked before it is touched, its version before it is unpacked,
 * unpacking happens in a capped arena, and then every count and every range is checked against
 * core/limits.h. Refusals name the field. Nothing that a peer sends reaches an assertion; what the
 * own core hands over does. */
#include "wire/codec.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/peer.h>

#include "base/assert.h"
#include "wire/arena.h"
#include "wire/peerexec.pb-c.h"
#include "wire/text.h"

/* A lease, a pause before the next try: nothing that one peer may ask of another lasts longer. */
#define DURATION_MAX_NS (3600 * PXI_SECOND)

enum {
    /* Largest forms on the wire, tags and lengths included. */
    PLAIN_SIZE_MAX = 320, /* every single field of an envelope at once */
    RECORD_SIZE_MAX = 64 + 8 * PXI_PEER_MODULES_MAX + PXI_NAME_SIZE,
    ATTEMPT_SIZE_MAX = 120,
    KEY_SIZE_MAX = 8 + 5, /* fixed64, varint of 32 bits */
    REPORT_SIZE_MAX = KEY_SIZE_MAX + 10 + 10,
    DEVICE_CLASS_MAX = 2, /* as device/message.h counts them */
    /* Keys and reports unpack to less than their size on the wire and the rest of a valid message
     * is a few KiB, so twice the envelope is ample; what would unpack to more (an empty submessage
     * grows from 2 bytes to over 100) is refused half-way, not after it has taken the memory. */
    UNPACK_MAX = 2 * PXI_ENVELOPE_SIZE_MAX,
};
static_assert (PLAIN_SIZE_MAX + PXI_KEYS_MAX * REPORT_SIZE_MAX <= PXI_ENVELOPE_SIZE_MAX,
               "a full handshake fits an envelope");
static_assert (PLAIN_SIZE_MAX + PXI_DISPATCH_MAX * ATTEMPT_SIZE_MAX <= PXI_ENVELOPE_SIZE_MAX,
               "a full dispatch fits an envelope");
static_assert (PLAIN_SIZE_MAX + PXI_RECORDS_MAX * RECORD_SIZE_MAX <= PXI_ENVELOPE_SIZE_MAX,
               "a full sample of the view fits an envelope");
static_assert (PXI_KEYS_MAX * (8 + 4 + 8 + 8) + 16384 <= UNPACK_MAX, "a full handshake unpacks");

/* ---- which fields a kind carries ---------------------------------------------------------------
 */

enum {
    F_TO = 1 << 0, /* the receiver's id may not be 0: it is always carried */
    F_PROBE = 1 << 1,
    F_LEASE = 1 << 2,
    F_JOB = 1 << 3,
    F_MODULE = 1 << 4,
    F_SLOTS = 1 << 5,
    F_DURATION = 1 << 6,
    F_ERR = 1 << 7,
    F_RESERVE = 1 << 8,
    F_INLINE = 1 << 9, /* has_inline, and then attempts, up to PXI_BATCH_MAX */
    F_ACCEPTED = 1 << 10,
    F_RESULTS = 1 << 11,
    F_SEQUENCE = 1 << 13,
    F_RECORDS = 1 << 14,
    F_ATTEMPTS = 1 << 15,
    F_KEYS = 1 << 16,
    F_REPORTS = 1 << 17,
    F_SHARED = 1 << 18,
    F_ASKS_DEVICE = 1 << 19, /* for_device, task, n_items */
    F_DEVICE = 1 << 20,
    F_LOOKS = 1 << 21, /* of a device: class, memory, speed */
};

typedef struct form {
    uint32_t uses;
    uint32_t needs; /* of these, not 0 (ids, counts) */
} form;

static const form forms[] = {
    [PXI_HELLO] = {F_RECORDS | F_SEQUENCE, F_RECORDS},
    [PXI_WELCOME] = {F_RECORDS | F_SEQUENCE, F_TO | F_RECORDS},
    [PXI_GOSSIP] = {F_RECORDS, F_TO | F_RECORDS},
    [PXI_GOSSIP_REPLY] = {F_RECORDS, F_TO | F_RECORDS},
    [PXI_LEAVE] = {0, F_TO},
    [PXI_REFUSED] = {F_ERR, F_TO | F_ERR},
    [PXI_PROBE] = {F_PROBE | F_JOB | F_MODULE | F_SLOTS | F_DURATION | F_RESERVE | F_INLINE |
                       F_ASKS_DEVICE,
                   F_TO | F_PROBE | F_JOB | F_SLOTS},
    [PXI_OFFER] = {F_PROBE | F_LEASE | F_SLOTS | F_DURATION | F_ACCEPTED | F_JOB | F_DEVICE |
                       F_LOOKS,
                   F_TO},
    [PXI_BUSY] = {F_PROBE | F_RESERVE | F_DURATION, F_TO | F_PROBE},
    [PXI_CANNOT] = {F_PROBE | F_ERR | F_DURATION, F_TO | F_PROBE | F_ERR},
    [PXI_DISPATCH] = {F_LEASE | F_ATTEMPTS, F_TO | F_LEASE | F_ATTEMPTS},
    [PXI_DECLINE] = {F_LEASE | F_PROBE | F_JOB | F_DEVICE, F_TO},
    [PXI_RESULT] = {F_RESULTS | F_SLOTS, F_TO | F_RESULTS},
    [PXI_CANCEL] = {F_KEYS, F_TO | F_KEYS},
    [PXI_HANDSHAKE] = {F_KEYS | F_SEQUENCE, F_TO},
    [PXI_HANDSHAKE_ACK] = {F_REPORTS | F_SEQUENCE, F_TO},
    [PXI_FETCH] = {F_SHARED, F_TO | F_SHARED},
    [PXI_SHARED] = {F_SHARED | F_ACCEPTED, F_TO | F_SHARED},
};
#define N_FORMS (sizeof forms / sizeof forms[0])

static uint32_t payloads_of (const pxi_message *message)
{
    switch (message->kind) {
    case PXI_PROBE:
    case PXI_DISPATCH:
        return 2 * message->n_attempts; /* specification, input */
    case PXI_RESULT:
        return 2 * message->n_results; /* value, chain */
    case PXI_SHARED:
        return message->accepted;
    default:
        return 0;
    }
}

/* ---- encode ---------------------------------------------------------------------------------- */

#define SET(out, field, value)                                                                     \
    do {                                                                                           \
        (out)->field = (value);                                                                    \
        (out)->has_##field = (out)->field != 0;                                                    \
    } while (0)

#define SET_SHARED(out, name)                                                                      \
    do {                                                                                           \
        SET (out, shared_high, (name)->digest[0]);                                                 \
        SET (out, shared_low, (name)->digest[1]);                                                  \
        SET (out, shared_size, (name)->size_bytes);                                                \
    } while (0)

static void set_plain (const pxi_message *message, uint32_t uses, Pxi__Wire__Envelope *out)
{
    if (uses & F_PROBE)
        SET (out, probe, message->probe);
    if (uses & F_LEASE)
        SET (out, lease, message->lease);
    if (uses & F_JOB) {
        SET (out, job_origin, message->job.origin);
        SET (out, job_number, message->job.number);
    }
    if (uses & F_MODULE)
        SET (out, module, message->module);
    if (uses & F_SLOTS)
        SET (out, n_slots, message->n_slots);
    if (uses & F_DURATION)
        SET (out, duration_ns,
             message->duration_ns < DURATION_MAX_NS ? message->duration_ns : DURATION_MAX_NS);
    if (uses & F_ERR)
        SET (out, err, message->err);
    if (uses & F_RESERVE)
        SET (out, reserve, message->reserve);
    if (uses & F_INLINE)
        SET (out, has_inline, message->has_inline);
    if (uses & F_ACCEPTED)
        SET (out, accepted, message->accepted);
    if (uses & F_SEQUENCE)
        SET (out, sequence, message->sequence);
    if (uses & F_SHARED)
        SET_SHARED (out, &message->shared);
    if (uses & F_DEVICE)
        SET (out, device, message->device);
}

static void set_device (const pxi_message *message, uint32_t uses, Pxi__Wire__Envelope *out)
{
    if ((uses & F_ASKS_DEVICE) && message->for_device) {
        SET (out, for_device, true);
        SET (out, task, message->task);
        SET (out, n_items, message->n_items);
    }
    if ((uses & F_LOOKS) && message->device) {
        SET (out, device_class, message->device_class);
        SET (out, memory_bytes, message->memory_bytes);
        SET (out, fixed_ns,
             message->fixed_ns < DURATION_MAX_NS ? message->fixed_ns : DURATION_MAX_NS);
        SET (out, item_cost, message->item_cost);
        SET (out, queue_ns,
             message->queue_ns < DURATION_MAX_NS ? message->queue_ns : DURATION_MAX_NS);
    }
}

static void set_record (const pxi_peer_record *record, Pxi__Wire__PeerRecord *out)
{
    PXI_ASSERT (record->n_modules <= PXI_PEER_MODULES_MAX);
    pxi__wire__peer_record__init (out);
    SET (out, id, record->id);
    SET (out, incarnation, record->incarnation);
    out->ip.len = record->address.kind == 4 ? 4 : record->address.kind == 6 ? 16 : 0;
    out->ip.data = (uint8_t *)record->address.ip;
    out->has_ip = out->ip.len != 0;
    if (out->has_ip)
        SET (out, port, record->address.port);
    SET (out, slots, record->slots);
    SET (out, flags, record->flags);
    out->n_modules = record->n_modules;
    out->modules = (uint64_t *)record->modules;
    out->name.len = strnlen (record->name, PXI_NAME_SIZE - 1);
    out->name.data = (uint8_t *)record->name;
    out->has_name = out->name.len != 0;
}

static bool set_records (pxi_arena *arena, const pxi_message *message, Pxi__Wire__Envelope *out)
{
    PXI_ASSERT (message->n_records <= PXI_RECORDS_MAX);
    size_t n = message->n_records;
    Pxi__Wire__PeerRecord *records = pxi_arena_alloc (arena, n * sizeof *records);
    out->records = pxi_arena_alloc (arena, n * sizeof *out->records);
    if (!records || !out->records)
        return false;
    for (size_t i = 0; i < n; i++) {
        set_record (&message->records[i], &records[i]);
        out->records[i] = &records[i];
    }
    out->n_records = n;
    return true;
}

static void set_attempt (const pxi_attempt *attempt, Pxi__Wire__Attempt *out)
{
    pxi__wire__attempt__init (out);
    SET (out, subtask, attempt->key.subtask);
    SET (out, attempt, attempt->key.attempt);
    SET (out, job_origin, attempt->job.origin);
    SET (out, job_number, attempt->job.number);
    SET (out, module, attempt->module);
    SET (out, task, attempt->task);
    SET (out, size_bytes, attempt->size_bytes);
    if (attempt->shared.size_bytes)
        SET_SHARED (out, &attempt->shared);
    SET (out, n_items, attempt->n_items);
    SET (out, device, attempt->device);
}

static bool set_attempts (pxi_arena *arena, const pxi_message *message, Pxi__Wire__Envelope *out)
{
    PXI_ASSERT (message->n_attempts <= PXI_DISPATCH_MAX);
    size_t n = message->n_attempts;
    Pxi__Wire__Attempt *attempts = pxi_arena_alloc (arena, n * sizeof *attempts);
    out->attempts = pxi_arena_alloc (arena, n * sizeof *out->attempts);
    if (!attempts || !out->attempts)
        return false;
    for (size_t i = 0; i < n; i++) {
        set_attempt (&message->attempts[i], &attempts[i]);
        out->attempts[i] = &attempts[i];
    }
    out->n_attempts = n;
    return true;
}

static bool key_columns (pxi_arena *arena, size_t n, Pxi__Wire__Envelope *out)
{
    out->key_subtasks = pxi_arena_alloc (arena, n * sizeof *out->key_subtasks);
    out->key_attempts = pxi_arena_alloc (arena, n * sizeof *out->key_attempts);
    return out->key_subtasks && out->key_attempts;
}

static void add_key (pxi_key key, Pxi__Wire__Envelope *out)
{
    out->key_subtasks[out->n_key_subtasks++] = key.subtask;
    out->key_attempts[out->n_key_attempts++] = key.attempt;
}

static bool set_keys (pxi_arena *arena, const pxi_message *message, Pxi__Wire__Envelope *out)
{
    PXI_ASSERT (message->n_keys <= PXI_KEYS_MAX);
    if (!key_columns (arena, message->n_keys, out))
        return false;
    for (size_t i = 0; i < message->n_keys; i++)
        add_key (message->keys[i], out);
    return true;
}

static bool set_reports (pxi_arena *arena, const pxi_message *message, Pxi__Wire__Envelope *out)
{
    PXI_ASSERT (message->n_reports <= PXI_KEYS_MAX);
    size_t n = message->n_reports;
    out->report_run_ns = pxi_arena_alloc (arena, n * sizeof *out->report_run_ns);
    out->report_progress = pxi_arena_alloc (arena, n * sizeof *out->report_progress);
    if (!key_columns (arena, n, out) || !out->report_run_ns || !out->report_progress)
        return false;
    for (size_t i = 0; i < n; i++) {
        add_key (message->reports[i].key, out);
        out->report_run_ns[i] = message->reports[i].run_ns;
        out->report_progress[i] = message->reports[i].progress;
    }
    out->n_report_run_ns = n;
    out->n_report_progress = n;
    return true;
}

/* Most results are of slots, and have nothing to say here. */
static bool set_result_devices (pxi_arena *arena, const pxi_message *message,
                                Pxi__Wire__Envelope *out)
{
    bool any = false;
    for (size_t i = 0; i < message->n_results; i++)
        any |= message->results[i].device != 0;
    if (!any)
        return true;
    size_t n = message->n_results;
    out->result_devices = pxi_arena_alloc (arena, n * sizeof *out->result_devices);
    out->result_first = pxi_arena_alloc (arena, n * sizeof *out->result_first);
    if (!out->result_devices || !out->result_first)
        return false;
    for (size_t i = 0; i < n; i++) {
        out->result_devices[i] = message->results[i].device;
        out->result_first[i] = message->results[i].first;
    }
    out->n_result_devices = out->n_result_first = n;
    return true;
}

static bool set_results (pxi_arena *arena, const pxi_message *message, Pxi__Wire__Envelope *out)
{
    PXI_ASSERT (message->n_results <= PXI_RESULTS_MAX);
    size_t n = message->n_results;
    out->results = pxi_arena_alloc (arena, n * sizeof *out->results);
    out->result_run_ns = pxi_arena_alloc (arena, n * sizeof *out->result_run_ns);
    out->result_sizes = pxi_arena_alloc (arena, n * sizeof *out->result_sizes);
    if (!key_columns (arena, n, out) || !out->results || !out->result_run_ns || !out->result_sizes)
        return false;
    for (size_t i = 0; i < n; i++) {
        add_key (message->results[i].key, out);
        out->results[i] = (uint32_t)message->results[i].result;
        out->result_run_ns[i] = message->results[i].run_ns;
        out->result_sizes[i] = message->results[i].size_bytes;
    }
    out->n_results = out->n_result_run_ns = out->n_result_sizes = n;
    return set_result_devices (arena, message, out);
}

static bool set_arrays (pxi_arena *arena, const pxi_message *message, uint32_t uses,
                        Pxi__Wire__Envelope *out)
{
    bool inlined = (uses & F_INLINE) && message->has_inline;
    return (!(uses & F_RECORDS) || set_records (arena, message, out)) &&
           (!((uses & F_ATTEMPTS) || inlined) || set_attempts (arena, message, out)) &&
           (!(uses & F_KEYS) || set_keys (arena, message, out)) &&
           (!(uses & F_REPORTS) || set_reports (arena, message, out)) &&
           (!(uses & F_RESULTS) || set_results (arena, message, out));
}

static pxi_bytes *pack (const Pxi__Wire__Envelope *out)
{
    size_t size = pxi__wire__envelope__get_packed_size (out);
    PXI_ASSERT (size <= PXI_ENVELOPE_SIZE_MAX);
    pxi_bytes *bytes = pxi_bytes_new (size);
    if (bytes)
        pxi__wire__envelope__pack (out, pxi_bytes_data (bytes));
    return bytes;
}

pxi_bytes *pxi_codec_encode (const pxi_message *message)
{
    PXI_ASSERT (message->kind >= 1);
    PXI_ASSERT (message->kind < N_FORMS);
    uint32_t uses = forms[message->kind].uses;
    pxi_arena arena;
    Pxi__Wire__Envelope out = PXI__WIRE__ENVELOPE__INIT;
    out.version = PXI_WIRE_MAGIC | PXI_WIRE_VERSION;
    out.kind = (uint32_t)message->kind;
    SET (&out, from, message->from);
    SET (&out, from_incarnation, message->from_incarnation);
    SET (&out, to, message->to);
    SET (&out, to_incarnation, message->to_incarnation);
    set_plain (message, uses, &out);
    set_device (message, uses, &out);
    pxi_arena_init (&arena, UNPACK_MAX);
    pxi_bytes *bytes = set_arrays (&arena, message, uses, &out) ? pack (&out) : NULL;
    pxi_arena_fini (&arena);
    return bytes;
}

/* ---- decode: sizes, version, unpacking ---------------------------------------------------------
 */

static px_err __attribute__ ((format (printf, 3, 4)))
refuse (char *why, px_err err, const char *format, ...)
{
    if (why) {
        va_list arguments;
        va_start (arguments, format);
        vsnprintf (why, PX_WHY_SIZE, format, arguments);
        va_end (arguments);
    }
    return err;
}

/* False: does not begin with the five bytes that envelopes of all versions begin with. */
static bool read_version (const uint8_t *data, size_t size, uint16_t *version)
{
    static const uint8_t magic[] = {(PXI_WIRE_MAGIC >> 16) & 0xff, PXI_WIRE_MAGIC >> 24};
    if (size < PXI_WIRE_HEADER_SIZE || data[0] != PXI_WIRE_HEADER_TAG ||
        memcmp (data + 3, magic, sizeof magic) != 0)
        return false;
    *version = (uint16_t)(data[1] | data[2] << 8);
    return true;
}

static px_err check_header (const uint8_t *data, size_t size, char *why)
{
    uint16_t version;
    if (size > PXI_ENVELOPE_SIZE_MAX)
        return refuse (why, PX_ETOOBIG, "an envelope of %zu bytes: the limit is %d", size,
                       PXI_ENVELOPE_SIZE_MAX);
    if (size < PXI_WIRE_HEADER_SIZE)
        return refuse (why, PX_EMALFORMED, "an envelope of %zu bytes is cut short", size);
    if (!read_version (data, size, &version))
        return refuse (why, PX_EMALFORMED, "does not begin as an envelope of peerexec does");
    if (version == PXI_WIRE_REFUSAL)
        return refuse (why, PX_EMALFORMED, "is a refusal of what this peer has not sent");
    if (version != PXI_WIRE_VERSION)
        return refuse (why, PX_EVERSION,
                       "speaks version %u of the protocol, this peer speaks version %d", version,
                       PXI_WIRE_VERSION);
    return PX_OK;
}

static px_err unpack (pxi_arena *arena, const uint8_t *data, size_t size, Pxi__Wire__Envelope **in,
                      char *why)
{
    *in = pxi__wire__envelope__unpack (&arena->allocator, size, data);
    if (arena->out_of_memory)
        return refuse (why, PX_ENOMEM, "out of memory");
    if (arena->over_cap)
        return refuse (why, PX_EMALFORMED, "unpacks to more than %d bytes", UNPACK_MAX);
    if (!*in)
        return refuse (why, PX_EMALFORMED, "is not a protobuf message of the schema");
    /* A later copy of field 1 replaces the first one. */
    if ((*in)->version != (PXI_WIRE_MAGIC | PXI_WIRE_VERSION))
        return refuse (why, PX_EMALFORMED, "states its version twice");
    return PX_OK;
}

/* ---- decode: plain fields ----------------------------------------------------------------------
 */

bool pxi_codec_err_known (uint32_t err)
{
    switch (err) {
#define CASE(name, value, text) case value:
        PX_ERRORS (CASE)
#undef CASE
        return true;
    default:
        return false;
    }
}

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return refuse (why, PX_EMALFORMED, __VA_ARGS__);                                       \
    } while (0)

static void take_plain (const Pxi__Wire__Envelope *in, uint32_t uses, pxi_message *message)
{
    message->from = in->from;
    message->from_incarnation = in->from_incarnation;
    message->to = in->to;
    message->to_incarnation = in->to_incarnation;
    message->probe = uses & F_PROBE ? in->probe : 0;
    message->lease = uses & F_LEASE ? in->lease : 0;
    if (uses & F_JOB)
        message->job = (pxi_job_id){in->job_origin, in->job_number};
    message->module = uses & F_MODULE ? in->module : 0;
    message->n_slots = uses & F_SLOTS ? in->n_slots : 0;
    message->duration_ns = uses & F_DURATION ? in->duration_ns : 0;
    message->err = uses & F_ERR ? in->err : 0;
    message->reserve = (uses & F_RESERVE) && in->reserve;
    message->has_inline = (uses & F_INLINE) && in->has_inline;
    message->accepted = (uses & F_ACCEPTED) && in->accepted;
    message->sequence = uses & F_SEQUENCE ? in->sequence : 0;
    if (uses & F_SHARED)
        message->shared = (pxi_shared_name){{in->shared_high, in->shared_low}, in->shared_size};
    message->device = uses & F_DEVICE ? in->device : 0;
    message->for_device = (uses & F_ASKS_DEVICE) && in->for_device;
    message->task = uses & F_ASKS_DEVICE ? in->task : 0;
    message->n_items = uses & F_ASKS_DEVICE ? in->n_items : 0;
    message->device_class = uses & F_LOOKS ? in->device_class : 0;
    message->memory_bytes = uses & F_LOOKS ? in->memory_bytes : 0;
    message->fixed_ns = uses & F_LOOKS ? in->fixed_ns : 0;
    message->item_cost = uses & F_LOOKS ? in->item_cost : 0;
    message->queue_ns = uses & F_LOOKS ? in->queue_ns : 0;
}

static px_err check_plain (const pxi_message *message, uint32_t needs, char *why)
{
    CHECK (message->from != 0, "the sender's id is 0");
    CHECK (message->from_incarnation != 0, "the sender's incarnation is 0");
    CHECK (!(needs & F_TO) || message->to != 0, "the receiver's id is 0");
    CHECK (!(needs & F_PROBE) || message->probe != 0, "probe is 0");
    CHECK (!(needs & F_LEASE) || message->lease != 0, "lease is 0");
    CHECK (!(needs & F_JOB) || message->job.origin != 0, "job origin is 0");
    CHECK (!(needs & F_SLOTS) || message->n_slots != 0, "n_slots is 0");
    CHECK (!(needs & F_ERR) || message->err != 0, "err is 0");
    CHECK (!(needs & F_SHARED) || message->shared.size_bytes != 0, "a shared input of 0 bytes");
    CHECK (message->n_slots <= PXI_SLOTS_MAX, "n_slots is %u, over %d", message->n_slots,
           PXI_SLOTS_MAX);
    CHECK (message->duration_ns <= DURATION_MAX_NS, "duration_ns is over an hour");
    CHECK (pxi_codec_err_known (message->err), "err %u is not known", message->err);
    CHECK (message->device <= PXI_DEVICES_MAX, "device is %u, over %d", message->device,
           PXI_DEVICES_MAX);
    CHECK (message->device_class <= DEVICE_CLASS_MAX, "device class %u is not known",
           message->device_class);
    CHECK (message->fixed_ns <= DURATION_MAX_NS, "fixed_ns is over an hour");
    CHECK (message->queue_ns <= DURATION_MAX_NS, "queue_ns is over an hour");
    return PX_OK;
}

static px_err check_device_probe (const pxi_message *message, char *why)
{
    CHECK (message->for_device || (message->task == 0 && message->n_items == 0),
           "a probe for slots names a task");
    CHECK (!message->for_device || message->n_items != 0, "a probe for a device and 0 items");
    CHECK (!message->for_device || (!message->has_inline && !message->reserve),
           "a probe for a device carries attempts, or asks for a reservation");
    return PX_OK;
}

static px_err check_device_offer (const pxi_message *message, char *why)
{
    if (!message->device) {
        CHECK (message->device_class == 0 && message->memory_bytes == 0 && message->fixed_ns == 0 &&
                   message->item_cost == 0 && message->queue_ns == 0,
               "an offer of slots tells of a device");
        return PX_OK;
    }
    CHECK (message->probe != 0 && message->lease != 0 && !message->accepted,
           "an offer of a device that answers no probe, or without a lease");
    CHECK (message->n_slots <= PXI_DEVICE_SLOTS_MAX, "an offer of %u slots of a device, over %d",
           message->n_slots, PXI_DEVICE_SLOTS_MAX);
    CHECK (message->item_cost != 0 || message->fixed_ns == 0, "half a speed");
    return PX_OK;
}

/* What the table cannot say. */
static px_err check_kind (const pxi_message *message, char *why)
{
    px_err err = message->kind == PXI_PROBE   ? check_device_probe (message, why)
                 : message->kind == PXI_OFFER ? check_device_offer (message, why)
                                              : PX_OK;
    if (err != PX_OK)
        return err;
    if (message->kind == PXI_OFFER)
        CHECK ((message->lease != 0) == (message->n_slots != 0),
               "an offer of %u slots with%s lease", message->n_slots,
               message->lease ? " a" : "out");
    if (message->kind == PXI_DECLINE)
        CHECK (message->lease != 0 || message->probe != 0 || message->device != 0,
               "declines nothing");
    if (message->kind == PXI_PROBE)
        CHECK (message->has_inline == (message->n_attempts > 0) &&
                   message->n_attempts <= PXI_BATCH_MAX,
               "a probe with has_inline %d carries %u attempts, of at most %d", message->has_inline,
               message->n_attempts, PXI_BATCH_MAX);
    for (uint32_t i = 0; message->kind == PXI_PROBE && i < message->n_attempts; i++)
        CHECK (message->attempts[i].device == 0, "an attempt for a device rides in a probe");
    return PX_OK;
}

/* ---- decode: arrays ----------------------------------------------------------------------------
 */

static px_err take_address (const Pxi__Wire__PeerRecord *in, pxi_address *address, char *why)
{
    CHECK (in->ip.len == 0 || in->ip.len == 4 || in->ip.len == 16,
           "an address of %zu bytes is neither IPv4 nor IPv6", in->ip.len);
    if (in->ip.len == 0)
        return PX_OK;
    CHECK (in->port >= 1 && in->port <= UINT16_MAX, "port %u is out of range", in->port);
    address->kind = in->ip.len == 4 ? 4 : 6;
    address->port = (uint16_t)in->port;
    memcpy (address->ip, in->ip.data, in->ip.len);
    return PX_OK;
}

static px_err take_record (const Pxi__Wire__PeerRecord *in, pxi_peer_record *record, char *why)
{
    CHECK (in->id != 0, "a peer record with id 0");
    CHECK (in->incarnation != 0, "a peer record with incarnation 0");
    CHECK (in->slots <= PXI_SLOTS_MAX, "a peer record with %u slots, over %d", in->slots,
           PXI_SLOTS_MAX);
    CHECK (in->flags <= UINT16_MAX, "a peer record with flags 0x%x", in->flags);
    CHECK (in->n_modules <= PXI_PEER_MODULES_MAX, "a peer record with %zu modules, over %d",
           in->n_modules, PXI_PEER_MODULES_MAX);
    CHECK (in->name.len < PXI_NAME_SIZE, "a name of %zu bytes, over %d", in->name.len,
           PXI_NAME_SIZE - 1);
    CHECK (pxi_text_valid (in->name.data, in->name.len), "a name that is not printable UTF-8");
    record->id = in->id;
    record->incarnation = in->incarnation;
    record->slots = (uint16_t)in->slots;
    record->flags = (uint16_t)in->flags;
    record->n_modules = (uint32_t)in->n_modules;
    for (size_t i = 0; i < in->n_modules; i++)
        record->modules[i] = in->modules[i];
    for (size_t i = 0; i < in->name.len; i++)
        record->name[i] = (char)in->name.data[i];
    return take_address (in, &record->address, why);
}

/* Zeroed room for n elements, the one block of a decoded message. NULL for n = 0 too. */
static px_err make_array (pxi_decoded *decoded, size_t n, size_t element_size, char *why)
{
    if (n == 0)
        return PX_OK;
    decoded->memory = calloc (n, element_size);
    return decoded->memory ? PX_OK : refuse (why, PX_ENOMEM, "out of memory");
}

static px_err take_records (const Pxi__Wire__Envelope *in, pxi_decoded *decoded, char *why)
{
    pxi_message *message = &decoded->message;
    CHECK (in->n_records >= 1 && in->n_records <= PXI_RECORDS_MAX, "%zu peer records, not 1 to %d",
           in->n_records, PXI_RECORDS_MAX);
    px_err err = make_array (decoded, in->n_records, sizeof (pxi_peer_record), why);
    pxi_peer_record *records = decoded->memory;
    for (size_t i = 0; i < in->n_records && err == PX_OK; i++)
        err = take_record (in->records[i], &records[i], why);
    if (err != PX_OK)
        return err;
    CHECK (records[0].id == message->from && records[0].incarnation == message->from_incarnation,
           "the first peer record is not the sender's");
    message->n_records = (uint32_t)in->n_records;
    message->records = records;
    return PX_OK;
}

static px_err take_attempt (const Pxi__Wire__Attempt *in, pxi_attempt *attempt, char *why)
{
    CHECK (in->subtask != 0, "an attempt with subtask 0");
    CHECK (in->attempt != 0, "an attempt with number 0: attempts count from 1");
    CHECK (in->job_origin != 0, "an attempt with job origin 0");
    attempt->key = (pxi_key){in->subtask, in->attempt};
    attempt->job = (pxi_job_id){in->job_origin, in->job_number};
    attempt->module = in->module;
    attempt->task = in->task;
    attempt->size_bytes = in->size_bytes;
    CHECK (in->shared_size != 0 || (in->shared_high == 0 && in->shared_low == 0),
           "an attempt with a shared input of 0 bytes");
    attempt->shared = (pxi_shared_name){{in->shared_high, in->shared_low}, in->shared_size};
    CHECK (in->device <= PXI_DEVICES_MAX, "an attempt on device %u, over %d", in->device,
           PXI_DEVICES_MAX);
    CHECK (in->device == 0 || in->n_items != 0, "an attempt of 0 items on a device");
    attempt->n_items = in->n_items;
    attempt->device = in->device;
    return PX_OK;
}

static px_err take_attempts (const Pxi__Wire__Envelope *in, uint32_t needs, pxi_decoded *decoded,
                             char *why)
{
    CHECK (in->n_attempts <= PXI_DISPATCH_MAX, "%zu attempts, over %d", in->n_attempts,
           PXI_DISPATCH_MAX);
    CHECK (!(needs & F_ATTEMPTS) || in->n_attempts > 0, "no attempts");
    px_err err = make_array (decoded, in->n_attempts, sizeof (pxi_attempt), why);
    pxi_attempt *attempts = decoded->memory;
    for (size_t i = 0; i < in->n_attempts && err == PX_OK; i++)
        err = take_attempt (in->attempts[i], &attempts[i], why);
    decoded->message.n_attempts = (uint32_t)in->n_attempts;
    decoded->message.attempts = attempts;
    return err;
}

static px_err check_columns (const Pxi__Wire__Envelope *in, char *why)
{
    CHECK (in->n_key_subtasks <= PXI_KEYS_MAX, "%zu keys, over %d", in->n_key_subtasks,
           PXI_KEYS_MAX);
    CHECK (in->n_key_attempts == in->n_key_subtasks, "%zu subtasks with %zu attempts",
           in->n_key_subtasks, in->n_key_attempts);
    for (size_t i = 0; i < in->n_key_subtasks; i++) {
        CHECK (in->key_subtasks[i] != 0, "a key with subtask 0");
        CHECK (in->key_attempts[i] != 0, "a key with attempt 0: attempts count from 1");
    }
    return PX_OK;
}

static px_err take_keys (const Pxi__Wire__Envelope *in, uint32_t needs, pxi_decoded *decoded,
                         char *why)
{
    CHECK (!(needs & F_KEYS) || in->n_key_subtasks > 0, "no keys");
    px_err err = check_columns (in, why);
    if (err == PX_OK)
        err = make_array (decoded, in->n_key_subtasks, sizeof (pxi_key), why);
    if (err != PX_OK)
        return err;
    pxi_key *keys = decoded->memory;
    for (size_t i = 0; i < in->n_key_subtasks; i++)
        keys[i] = (pxi_key){in->key_subtasks[i], in->key_attempts[i]};
    decoded->message.n_keys = (uint32_t)in->n_key_subtasks;
    decoded->message.keys = keys;
    return PX_OK;
}

static px_err take_reports (const Pxi__Wire__Envelope *in, pxi_decoded *decoded, char *why)
{
    size_t n = in->n_key_subtasks;
    px_err err = check_columns (in, why);
    if (err != PX_OK)
        return err;
    CHECK (in->n_report_run_ns == n && in->n_report_progress == n,
           "%zu keys with %zu times and %zu counts", n, in->n_report_run_ns, in->n_report_progress);
    err = make_array (decoded, n, sizeof (pxi_report), why);
    if (err != PX_OK)
        return err;
    pxi_report *reports = decoded->memory;
    for (size_t i = 0; i < n; i++)
        reports[i] = (pxi_report){{in->key_subtasks[i], in->key_attempts[i]},
                                  in->report_run_ns[i],
                                  in->report_progress[i]};
    decoded->message.n_reports = (uint32_t)n;
    decoded->message.reports = reports;
    return PX_OK;
}

static px_err take_result_devices (const Pxi__Wire__Envelope *in, pxi_returned *results, char *why)
{
    size_t n = in->n_result_devices;
    CHECK (n == 0 || n == in->n_results, "%zu results of %zu devices", in->n_results, n);
    CHECK (n == in->n_result_first, "%zu devices with %zu marks", n, in->n_result_first);
    for (size_t i = 0; i < n; i++) {
        CHECK (in->result_devices[i] <= PXI_DEVICES_MAX, "a result of device %u, over %d",
               in->result_devices[i], PXI_DEVICES_MAX);
        results[i].device = in->result_devices[i];
        results[i].first = in->result_first[i];
    }
    return PX_OK;
}

static px_err take_results (const Pxi__Wire__Envelope *in, pxi_decoded *decoded, char *why)
{
    size_t n = in->n_key_subtasks;
    px_err err = check_columns (in, why);
    if (err != PX_OK)
        return err;
    CHECK (n >= 1 && n <= PXI_RESULTS_MAX, "%zu results, not 1 to %d", n, PXI_RESULTS_MAX);
    CHECK (in->n_results == n && in->n_result_run_ns == n && in->n_result_sizes == n,
           "%zu keys with %zu results, %zu times and %zu sizes", n, in->n_results,
           in->n_result_run_ns, in->n_result_sizes);
    err = make_array (decoded, n, sizeof (pxi_returned), why);
    pxi_returned *results = decoded->memory;
    for (size_t i = 0; i < n && err == PX_OK; i++) {
        CHECK (in->results[i] <= PXI_RESULT_CANNOT, "result %u is not known", in->results[i]);
        results[i] = (pxi_returned){.key = {in->key_subtasks[i], in->key_attempts[i]},
                                    .result = (pxi_result)in->results[i],
                                    .size_bytes = in->result_sizes[i],
                                    .run_ns = in->result_run_ns[i]};
    }
    err = err == PX_OK ? take_result_devices (in, results, why) : err;
    decoded->message.n_results = (uint32_t)n;
    decoded->message.results = results;
    return err;
}

/* No kind has two arrays: one block of memory is enough. */
static px_err take_arrays (const Pxi__Wire__Envelope *in, const form *kind, pxi_decoded *decoded,
                           char *why)
{
    if (kind->uses & F_RECORDS)
        return take_records (in, decoded, why);
    if (kind->uses & (F_ATTEMPTS | F_INLINE))
        return take_attempts (in, kind->needs, decoded, why);
    if (kind->uses & F_KEYS)
        return take_keys (in, kind->needs, decoded, why);
    if (kind->uses & F_REPORTS)
        return take_reports (in, decoded, why);
    if (kind->uses & F_RESULTS)
        return take_results (in, decoded, why);
    return PX_OK;
}

/* ---- decode ---------------------------------------------------------------------------------- */

static px_err take (const Pxi__Wire__Envelope *in, uint32_t n_payloads, pxi_decoded *decoded,
                    char *why)
{
    pxi_message *message = &decoded->message;
    CHECK (in->kind >= 1 && in->kind < N_FORMS, "kind %u is not known", in->kind);
    const form *kind = &forms[in->kind];
    message->kind = (pxi_message_kind)in->kind;
    take_plain (in, kind->uses, message);
    px_err err = check_plain (message, kind->needs, why);
    if (err == PX_OK)
        err = take_arrays (in, kind, decoded, why);
    if (err == PX_OK)
        err = check_kind (message, why);
    if (err != PX_OK)
        return err;
    CHECK (n_payloads == payloads_of (message), "%u payload frames where %u belong", n_payloads,
           payloads_of (message));
    return PX_OK;
}

px_err pxi_codec_decode (const void *data, size_t size, uint32_t n_payloads, pxi_decoded *decoded,
                         char *why)
{
    *decoded = (pxi_decoded){0};
    px_err err = check_header (data, size, why);
    if (err != PX_OK)
        return err;
    pxi_arena arena;
    Pxi__Wire__Envelope *in = NULL;
    pxi_arena_init (&arena, UNPACK_MAX);
    err = unpack (&arena, data, size, &in, why);
    if (err == PX_OK)
        err = take (in, n_payloads, decoded, why);
    pxi_arena_fini (&arena);
    if (err != PX_OK)
        pxi_codec_fini (decoded);
    return err;
}

void pxi_codec_fini (pxi_decoded *decoded)
{
    free (decoded->memory);
    *decoded = (pxi_decoded){0};
}

/* ---- refusals of other versions ----------------------------------------------------------------
 */

pxi_bytes *pxi_codec_encode_refusal (const void *data, size_t size)
{
    uint16_t version = 0;
    bool told = read_version (data, size, &version);
    PXI_ASSERT (told);
    const uint8_t out[PXI_WIRE_REFUSAL_SIZE] = {
        PXI_WIRE_HEADER_TAG,           PXI_WIRE_REFUSAL & 0xff, PXI_WIRE_REFUSAL >> 8,
        (PXI_WIRE_MAGIC >> 16) & 0xff, PXI_WIRE_MAGIC >> 24,    PXI_WIRE_VERSION & 0xff,
        PXI_WIRE_VERSION >> 8,         (uint8_t)version,        (uint8_t)(version >> 8),
    };
    return pxi_bytes_copy (out, sizeof out);
}

bool pxi_codec_peek_refusal (const void *data, size_t size, uint16_t *version)
{
    const uint8_t *at = data;
    uint16_t header;
    if (size < PXI_WIRE_REFUSAL_SIZE || !read_version (at, size, &header) ||
        header != PXI_WIRE_REFUSAL || (at[7] | at[8] << 8) != PXI_WIRE_VERSION)
        return false;
    *version = (uint16_t)(at[5] | at[6] << 8);
    return *version != PXI_WIRE_VERSION && *version != PXI_WIRE_REFUSAL;
}

/* ---- questions beside the protocol -------------------------------------------------------------
 */

pxi_bytes *pxi_codec_encode_status (uint32_t kind, uint64_t from, uint64_t sequence)
{
    PXI_ASSERT (kind >= PXI_STATUS_ASK);
    PXI_ASSERT (kind <= PXI_TRACE);
    Pxi__Wire__Envelope out = PXI__WIRE__ENVELOPE__INIT;
    out.version = PXI_WIRE_MAGIC | PXI_WIRE_VERSION;
    out.kind = kind;
    SET (&out, from, from);
    SET (&out, sequence, sequence);
    return pack (&out);
}

/* Kind is field 2 and so lies behind the header, one byte for kinds below 128: most messages are
 * told apart here without unpacking them. */
static bool looks_like_status (const uint8_t *data, size_t size)
{
    enum { KIND_TAG = 0x10 };
    return size >= PXI_WIRE_HEADER_SIZE + 2 && data[PXI_WIRE_HEADER_SIZE] == KIND_TAG &&
           data[PXI_WIRE_HEADER_SIZE + 1] >= PXI_STATUS_ASK;
}

px_err pxi_codec_peek_status (const void *data, size_t size, pxi_status_message *status)
{
    px_err err = check_header (data, size, NULL);
    if (err != PX_OK)
        return err;
    if (!looks_like_status (data, size))
        return PX_EAGAIN;
    pxi_arena arena;
    Pxi__Wire__Envelope *in = NULL;
    pxi_arena_init (&arena, UNPACK_MAX);
    err = unpack (&arena, data, size, &in, NULL);
    if (err == PX_OK && (in->kind < PXI_STATUS_ASK || in->kind > PXI_TRACE))
        err = PX_EMALFORMED;
    if (err == PX_OK)
        *status = (pxi_status_message){in->kind, in->from, in->sequence};
    pxi_arena_fini (&arena);
    return err;
}
