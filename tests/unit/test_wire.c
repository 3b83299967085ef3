/* The codec, chains, and text: what goes in comes out, and what must not come in does not. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include <peerexec/peer.h>

#include "fuzz/wire_samples.h"
#include "leak.h"
#include "wire/arena.h"
#include "wire/codec.h"
#include "wire/peerexec.pb-c.h"
#include "wire/text.h"
#include "wire/trace.h"

/* ---- codec ----------------------------------------------------------------------------------- */

static px_err decode (const pxi_bytes *bytes, uint32_t n_payloads, pxi_decoded *decoded, char *why)
{
    return pxi_codec_decode (pxi_bytes_data (bytes), pxi_bytes_size (bytes), n_payloads, decoded,
                             why);
}

Test (wire, every_kind_comes_out_as_it_went_in)
{
    bool seen[PXI_MESSAGE_LAST + 1] = {false};
    for (uint32_t i = 0; i < wire_sample_count (); i++) {
        pxi_message message;
        pxi_decoded decoded;
        uint32_t n_payloads;
        char why[PX_WHY_SIZE] = "";
        wire_sample (i, &message, &n_payloads);
        seen[message.kind] = true;
        pxi_bytes *bytes = pxi_codec_encode (&message);
        cr_assert_not_null (bytes);
        cr_assert_leq (pxi_bytes_size (bytes), PXI_ENVELOPE_SIZE_MAX);
        cr_assert_eq (decode (bytes, n_payloads, &decoded, why), PX_OK, "sample %u: %s", i, why);
        cr_expect (wire_message_same (&message, &decoded.message), "sample %u", i);
        cr_expect_null (wire_message_fault (&decoded.message));
        pxi_codec_fini (&decoded);
        cr_expect_eq (decode (bytes, n_payloads + 1, &decoded, why), PX_EMALFORMED);
        cr_expect (strstr (why, "payload"), "sample %u: %s", i, why);
        pxi_bytes_release (bytes);
    }
    for (int kind = PXI_HELLO; kind <= PXI_MESSAGE_LAST; kind++)
        cr_expect (seen[kind], "no sample of kind %d", kind);
    TEST_NO_LEAKS ();
}

Test (wire, fields_that_a_kind_does_not_use_do_not_travel)
{
    pxi_message message, back;
    uint32_t n_payloads;
    pxi_decoded decoded;
    for (uint32_t i = 0; i < wire_sample_count (); i++) {
        wire_sample (i, &message, &n_payloads);
        back = message;
        uint64_t probe = message.probe, sequence = message.sequence;
        message.probe = probe ? probe : 99;
        message.sequence = sequence ? sequence : 99;
        pxi_bytes *bytes = pxi_codec_encode (&message);
        cr_assert_eq (decode (bytes, n_payloads, &decoded, NULL), PX_OK);
        cr_expect (wire_message_same (&back, &decoded.message), "sample %u", i);
        pxi_codec_fini (&decoded);
        pxi_bytes_release (bytes);
    }
    TEST_NO_LEAKS ();
}

/* One wrong field each, and a word of what the refusal says. */
typedef struct wrong {
    const char *word;
    pxi_message_kind kind;
    void (*spoil) (Pxi__Wire__Envelope *envelope);
} wrong;

#define SPOIL(name, statement)                                                                     \
    static void name (Pxi__Wire__Envelope *in)                                                     \
    {                                                                                              \
        statement;                                                                                 \
    }
SPOIL (no_from, in->has_from = false)
SPOIL (no_incarnation, in->from_incarnation = 0)
SPOIL (no_to, in->has_to = false)
SPOIL (kind_0, in->kind = 0)
SPOIL (kind_19, in->kind = PXI_MESSAGE_LAST + 1)
SPOIL (kind_big, in->kind = UINT32_MAX)
SPOIL (no_probe, in->probe = 0)
SPOIL (no_job, in->job_origin = 0)
SPOIL (no_slots, in->n_slots = 0)
SPOIL (many_slots, in->n_slots = PXI_SLOTS_MAX + 1)
SPOIL (no_lease, in->lease = 0)
SPOIL (long_duration, in->duration_ns = 3600 * PXI_SECOND + 1)
SPOIL (err_0, in->err = 0)
SPOIL (err_27, in->err = PX_ECONFIG + 1)
SPOIL (result_6, in->results[0] = 6)
SPOIL (no_results, in->n_key_subtasks = in->n_key_attempts = in->n_results = 0)
SPOIL (results_uneven, in->n_results--)
SPOIL (result_times_uneven, in->n_result_run_ns--)
SPOIL (result_sizes_uneven, in->n_result_sizes--)
SPOIL (no_records, in->n_records = 0)
SPOIL (record_id, in->records[0]->id = 0)
SPOIL (record_other, in->records[0]->id = 12)
SPOIL (record_incarnation, in->records[0]->incarnation = 0)
SPOIL (record_slots, in->records[0]->has_slots = true; in->records[0]->slots = PXI_SLOTS_MAX + 1)
SPOIL (record_flags, in->records[0]->has_flags = true; in->records[0]->flags = 65536)
SPOIL (record_ip, in->records[0]->ip.len = 3)
SPOIL (record_port_0, in->records[0]->port = 0)
SPOIL (record_port, in->records[0]->port = 65536)
SPOIL (record_modules, static uint64_t modules[9]; in->records[0]->n_modules = 9;
       in->records[0]->modules = modules)
SPOIL (name_long, in->records[0]->has_name = true; in->records[0]->name.len = 32;
       in->records[0]->name.data = (uint8_t *)"12345678901234567890123456789012")
SPOIL (name_nul, in->records[0]->has_name = true; in->records[0]->name.len = 3;
       in->records[0]->name.data = (uint8_t *)"a\0b")
SPOIL (name_escape, in->records[0]->has_name = true; in->records[0]->name.len = 4;
       in->records[0]->name.data = (uint8_t *)"\033[2J")
SPOIL (name_latin, in->records[0]->has_name = true; in->records[0]->name.len = 2;
       in->records[0]->name.data = (uint8_t *)"\xe4z")
SPOIL (inline_missing, in->n_attempts = 0)
SPOIL (inline_unsaid, in->has_inline = false)
SPOIL (no_attempts, in->n_attempts = 0)
SPOIL (attempt_subtask, in->attempts[0]->subtask = 0)
SPOIL (attempt_number, in->attempts[0]->attempt = 0)
SPOIL (attempt_job, in->attempts[0]->job_origin = 0)
SPOIL (no_keys, in->n_key_subtasks = 0; in->n_key_attempts = 0)
SPOIL (keys_uneven, in->n_key_attempts--)
SPOIL (key_0, in->key_subtasks[0] = 0)
SPOIL (key_attempt_0, in->key_attempts[0] = 0)
SPOIL (reports_uneven, in->n_report_progress--)
SPOIL (nothing_declined, in->lease = 0; in->probe = 0; in->device = 0)
SPOIL (shared_0, in->shared_size = 0)
SPOIL (shared_gone, in->accepted = false)
SPOIL (attempt_shared, in->attempts[1]->shared_size = 0)
SPOIL (device_17, in->has_device = true; in->device = PXI_DEVICES_MAX + 1)
SPOIL (class_3, in->device_class = 3)
SPOIL (long_fixed, in->fixed_ns = 3600 * PXI_SECOND + 1)
SPOIL (half_speed, in->item_cost = 0)
SPOIL (device_slots, in->n_slots = PXI_DEVICE_SLOTS_MAX + 1)
SPOIL (device_accepted, in->has_accepted = true; in->accepted = true)
SPOIL (slots_of_class, in->has_device_class = true; in->device_class = 1)
SPOIL (no_items, in->n_items = 0)
SPOIL (task_for_slots, in->has_task = true; in->task = 1)
SPOIL (device_reserve, in->has_reserve = true; in->reserve = true)
SPOIL (attempt_device, in->attempts[0]->has_device = true; in->attempts[0]->device = 17)
SPOIL (attempt_no_items, in->attempts[0]->has_device = true; in->attempts[0]->device = 1;
       in->attempts[0]->has_n_items = false)
SPOIL (inline_device, in->attempts[0]->has_device = true; in->attempts[0]->device = 1;
       in->attempts[0]->has_n_items = true; in->attempts[0]->n_items = 1)
SPOIL (result_device_17, in->result_devices[0] = PXI_DEVICES_MAX + 1)
SPOIL (result_devices_uneven, in->n_result_devices--)
SPOIL (result_marks_uneven, in->n_result_first--)

static const wrong wrongs[] = {
    {"sender's id", PXI_LEAVE, no_from},
    {"incarnation", PXI_LEAVE, no_incarnation},
    {"receiver", PXI_LEAVE, no_to},
    {"kind 0", PXI_LEAVE, kind_0},
    {"kind 19", PXI_LEAVE, kind_19},
    {"kind 4294967295", PXI_LEAVE, kind_big},
    {"probe", PXI_BUSY, no_probe},
    {"job", PXI_PROBE, no_job},
    {"n_slots", PXI_PROBE, no_slots},
    {"1025", PXI_PROBE, many_slots},
    {"lease", PXI_OFFER, no_lease},
    {"lease", PXI_DISPATCH, no_lease},
    {"hour", PXI_BUSY, long_duration},
    {"err", PXI_REFUSED, err_0},
    {"err 27", PXI_CANNOT, err_27},
    {"result 6", PXI_RESULT, result_6},
    {"subtask 0", PXI_RESULT, key_0},
    {"attempt 0", PXI_RESULT, key_attempt_0},
    {"0 results", PXI_RESULT, no_results},
    {"results", PXI_RESULT, results_uneven},
    {"times", PXI_RESULT, result_times_uneven},
    {"sizes", PXI_RESULT, result_sizes_uneven},
    {"records", PXI_HELLO, no_records},
    {"id 0", PXI_HELLO, record_id},
    {"sender's", PXI_HELLO, record_other},
    {"incarnation 0", PXI_HELLO, record_incarnation},
    {"slots", PXI_GOSSIP, record_slots},
    {"flags", PXI_GOSSIP, record_flags},
    {"IPv4", PXI_HELLO, record_ip},
    {"port 0", PXI_HELLO, record_port_0},
    {"port 65536", PXI_HELLO, record_port},
    {"9 modules", PXI_HELLO, record_modules},
    {"32 bytes", PXI_HELLO, name_long},
    {"printable", PXI_HELLO, name_nul},
    {"printable", PXI_HELLO, name_escape},
    {"printable", PXI_HELLO, name_latin},
    {"inline", PXI_PROBE, inline_missing},
    {"inline", PXI_PROBE, inline_unsaid},
    {"no attempts", PXI_DISPATCH, no_attempts},
    {"subtask 0", PXI_DISPATCH, attempt_subtask},
    {"number 0", PXI_DISPATCH, attempt_number},
    {"origin", PXI_DISPATCH, attempt_job},
    {"no keys", PXI_CANCEL, no_keys},
    {"subtasks with", PXI_HANDSHAKE, keys_uneven},
    {"subtask 0", PXI_CANCEL, key_0},
    {"attempt 0", PXI_CANCEL, key_attempt_0},
    {"keys with", PXI_HANDSHAKE_ACK, reports_uneven},
    {"nothing", PXI_DECLINE, nothing_declined},
    {"0 bytes", PXI_FETCH, shared_0},
    {"0 bytes", PXI_SHARED, shared_0},
    {"1 payload frames where 0", PXI_SHARED, shared_gone},
    {"an attempt with a shared input of 0 bytes", PXI_DISPATCH, attempt_shared},
    {"tells of a device", PXI_OFFER, slots_of_class},
    {"names a task", PXI_PROBE, task_for_slots},
    {"device 17", PXI_DISPATCH, attempt_device},
    {"0 items on a device", PXI_DISPATCH, attempt_no_items},
    {"rides in a probe", PXI_PROBE, inline_device},
    {"device 17", PXI_RESULT, result_device_17},
    {"32 results of 31 devices", PXI_RESULT, result_devices_uneven},
    {"31 marks", PXI_RESULT, result_marks_uneven},
};

static const wrong wrongs_of_devices[] = {
    {"device is 17", PXI_OFFER, device_17},
    {"device is 17", PXI_DECLINE, device_17},
    {"class 3", PXI_OFFER, class_3},
    {"fixed_ns", PXI_OFFER, long_fixed},
    {"half a speed", PXI_OFFER, half_speed},
    {"9 slots of a device", PXI_OFFER, device_slots},
    {"answers no probe", PXI_OFFER, device_accepted},
    {"answers no probe", PXI_OFFER, no_probe},
    {"0 items", PXI_PROBE, no_items},
    {"reservation", PXI_PROBE, device_reserve},
};

/* The last sample of the kind is the fullest; the first may be of a device. */
static pxi_bytes *encode_of (pxi_message_kind kind, bool first, uint32_t *n_payloads)
{
    pxi_message message;
    for (uint32_t i = 0; i < wire_sample_count (); i++) {
        wire_sample (first ? i : wire_sample_count () - 1 - i, &message, n_payloads);
        if (message.kind == kind)
            return pxi_codec_encode (&message);
    }
    return NULL;
}

static void expect_refused (const wrong *all, size_t n, bool of_devices)
{
    for (size_t i = 0; i < n; i++) {
        static uint8_t again[2 * PXI_ENVELOPE_SIZE_MAX];
        uint32_t n_payloads;
        pxi_decoded decoded;
        char why[PX_WHY_SIZE] = "";
        pxi_bytes *bytes = encode_of (all[i].kind, of_devices, &n_payloads);
        Pxi__Wire__Envelope *envelope =
            pxi__wire__envelope__unpack (NULL, pxi_bytes_size (bytes), pxi_bytes_data (bytes));
        cr_assert_not_null (envelope);
        Pxi__Wire__Envelope spoiled = *envelope;
        Pxi__Wire__PeerRecord record;
        Pxi__Wire__PeerRecord *records[PXI_RECORDS_MAX];
        if (envelope->n_records > 0) { /* what is put in its place must not be freed with it */
            record = *envelope->records[0];
            memcpy (records, envelope->records, envelope->n_records * sizeof *records);
            records[0] = &record;
            spoiled.records = records;
        }
        all[i].spoil (&spoiled);
        size_t size = pxi__wire__envelope__pack (&spoiled, again);
        px_err err = pxi_codec_decode (again, size, n_payloads, &decoded, why);
        cr_expect_eq (err, PX_EMALFORMED, "%zu (%s): accepted", i, all[i].word);
        cr_expect (strstr (why, all[i].word), "%zu: '%s' does not say '%s'", i, why, all[i].word);
        cr_expect_null (decoded.memory);
        pxi__wire__envelope__free_unpacked (envelope, NULL);
        pxi_bytes_release (bytes);
    }
}

Test (wire, each_wrong_field_is_refused_by_its_name)
{
    expect_refused (wrongs, sizeof wrongs / sizeof *wrongs, false);
    expect_refused (wrongs_of_devices, sizeof wrongs_of_devices / sizeof *wrongs_of_devices, true);
    TEST_NO_LEAKS ();
}

Test (wire, counts_over_their_limits_are_refused)
{
    static uint64_t subtasks[PXI_KEYS_MAX + 1];
    static uint32_t attempts[PXI_KEYS_MAX + 1];
    static uint8_t packed[2 * PXI_ENVELOPE_SIZE_MAX];
    pxi_decoded decoded;
    char why[PX_WHY_SIZE];
    for (size_t i = 0; i <= PXI_KEYS_MAX; i++)
        subtasks[i] = attempts[i] = 1;
    Pxi__Wire__Envelope out = PXI__WIRE__ENVELOPE__INIT;
    out.version = PXI_WIRE_MAGIC | PXI_WIRE_VERSION;
    out.kind = PXI_CANCEL;
    out.has_from = out.has_from_incarnation = out.has_to = true;
    out.from = out.from_incarnation = out.to = 1;
    out.key_subtasks = subtasks;
    out.key_attempts = attempts;
    out.n_key_subtasks = out.n_key_attempts = PXI_KEYS_MAX + 1;
    size_t size = pxi__wire__envelope__pack (&out, packed);
    cr_expect_eq (pxi_codec_decode (packed, size, 0, &decoded, why), PX_EMALFORMED);
    cr_expect (strstr (why, "1025 keys"), "%s", why);

    Pxi__Wire__Attempt attempt = PXI__WIRE__ATTEMPT__INIT;
    Pxi__Wire__Attempt *list[PXI_DISPATCH_MAX + 1];
    for (size_t i = 0; i <= PXI_DISPATCH_MAX; i++)
        list[i] = &attempt;
    out.n_key_subtasks = out.n_key_attempts = 0;
    out.kind = PXI_DISPATCH;
    out.has_lease = true;
    out.lease = 1;
    out.attempts = list;
    out.n_attempts = PXI_DISPATCH_MAX + 1;
    size = pxi__wire__envelope__pack (&out, packed);
    cr_expect_eq (pxi_codec_decode (packed, size, 33, &decoded, why), PX_EMALFORMED);
    cr_expect (strstr (why, "33 attempts"), "%s", why);
    TEST_NO_LEAKS ();
}

Test (wire, another_version_is_told_from_garbage)
{
    pxi_decoded decoded;
    char why[PX_WHY_SIZE];
    uint32_t n_payloads;
    pxi_bytes *bytes = encode_of (PXI_LEAVE, false, &n_payloads);
    uint8_t *data = pxi_bytes_data (bytes);
    static const uint8_t begin[] = {0x0d, 0x01, 0x00, 0x58, 0x50};
    cr_assert_arr_eq (data, begin, sizeof begin);
    data[1] = 7;
    cr_expect_eq (decode (bytes, 0, &decoded, why), PX_EVERSION);
    cr_expect (strstr (why, "version 7") && strstr (why, "version 1"), "%s", why);
    cr_expect_eq (pxi_codec_decode (data, sizeof begin, 0, &decoded, why), PX_EVERSION);
    data[3] = 'Y';
    cr_expect_eq (decode (bytes, 0, &decoded, why), PX_EMALFORMED);
    cr_expect_eq (pxi_codec_decode ("GET / HTTP/1.1\r\n", 16, 0, &decoded, why), PX_EMALFORMED);
    cr_expect_eq (pxi_codec_decode (NULL, 0, 0, &decoded, NULL), PX_EMALFORMED);
    pxi_bytes_release (bytes);
    TEST_NO_LEAKS ();
}

/* Laid out for all time: these bytes may never change. */
Test (wire, a_refusal_can_be_read_by_every_version)
{
    static const uint8_t newer[] = {0x0d, 0x02, 0x01, 0x58, 0x50, 0xff, 0x00},
                         expected[] = {0x0d, 0xff, 0xff, 0x58, 0x50, 0x01, 0x00, 0x02, 0x01},
                         theirs[] = {0x0d, 0xff, 0xff, 0x58, 0x50, 0x02, 0x01, 0x01, 0x00, 0x77};
    uint16_t version = 0;
    pxi_decoded decoded;
    pxi_bytes *bytes = pxi_codec_encode_refusal (newer, sizeof newer);
    cr_assert_eq (pxi_bytes_size (bytes), sizeof expected);
    cr_expect_arr_eq ((const uint8_t *)pxi_bytes_data (bytes), expected, sizeof expected);
    cr_expect_not (pxi_codec_peek_refusal (expected, sizeof expected, &version), "not of ours");
    cr_expect_eq (pxi_codec_decode (expected, sizeof expected, 0, &decoded, NULL), PX_EMALFORMED,
                  "a refusal is never refused as a version");
    cr_expect (pxi_codec_peek_refusal (theirs, sizeof theirs, &version), "more may follow");
    cr_expect_eq (version, 0x102);
    for (size_t size = 0; size < PXI_WIRE_REFUSAL_SIZE; size++)
        cr_expect_not (pxi_codec_peek_refusal (theirs, size, &version), "cut to %zu", size);
    cr_expect_not (pxi_codec_peek_refusal (newer, sizeof newer, &version));
    pxi_bytes_release (bytes);
    TEST_NO_LEAKS ();
}

Test (wire, a_version_stated_twice_is_refused)
{
    uint32_t n_payloads;
    pxi_decoded decoded;
    char why[PX_WHY_SIZE];
    pxi_bytes *bytes = encode_of (PXI_LEAVE, false, &n_payloads);
    uint8_t data[256];
    size_t size = pxi_bytes_size (bytes);
    memcpy (data, pxi_bytes_data (bytes), size);
    memcpy (data + size, "\x0d\x02\x00\x58\x50", 5);
    cr_expect_eq (pxi_codec_decode (data, size + 5, 0, &decoded, why), PX_EMALFORMED);
    cr_expect (strstr (why, "version"), "%s", why);
    pxi_bytes_release (bytes);
    TEST_NO_LEAKS ();
}

Test (wire, an_oversized_envelope_is_refused_before_it_is_read)
{
    static uint8_t data[PXI_ENVELOPE_SIZE_MAX + 1];
    pxi_decoded decoded;
    char why[PX_WHY_SIZE];
    cr_expect_eq (pxi_codec_decode (data, sizeof data, 0, &decoded, why), PX_ETOOBIG);
    cr_expect (strstr (why, "65537"), "%s", why);
    TEST_NO_LEAKS ();
}

/* Empty submessages are two bytes on the wire and over a hundred in memory. */
Test (wire, what_would_unpack_to_more_than_the_cap_is_refused)
{
    static uint8_t data[PXI_ENVELOPE_SIZE_MAX];
    pxi_decoded decoded;
    char why[PX_WHY_SIZE];
    static const uint8_t begin[] = {0x0d, 0x01, 0x00, 0x58, 0x50, 0x10, 0x01};
    memcpy (data, begin, sizeof begin);
    size_t size = sizeof begin;
    for (; size + 3 <= sizeof data; size += 3)
        memcpy (data + size, "\xc2\x01\x00", 3); /* field 24, no bytes */
    cr_expect_eq (pxi_codec_decode (data, size, 0, &decoded, why), PX_EMALFORMED);
    cr_expect (strstr (why, "unpacks to more"), "%s", why);
    TEST_NO_LEAKS ();
}

Test (wire, a_status_question_is_told_from_the_protocol)
{
    pxi_status_message status = {0};
    pxi_decoded decoded;
    uint32_t n_payloads;
    pxi_bytes *ask = pxi_codec_encode_status (PXI_STATUS_ASK, 5, 6);
    cr_assert_eq (pxi_codec_peek_status (pxi_bytes_data (ask), pxi_bytes_size (ask), &status),
                  PX_OK);
    cr_expect (status.kind == PXI_STATUS_ASK && status.from == 5 && status.sequence == 6);
    cr_expect_eq (decode (ask, 0, &decoded, NULL), PX_EMALFORMED);
    ((uint8_t *)pxi_bytes_data (ask))[6] = PXI_TRACE + 1;
    cr_expect_eq (pxi_codec_peek_status (pxi_bytes_data (ask), pxi_bytes_size (ask), &status),
                  PX_EMALFORMED);
    ((uint8_t *)pxi_bytes_data (ask))[1] = 2;
    cr_expect_eq (pxi_codec_peek_status (pxi_bytes_data (ask), pxi_bytes_size (ask), &status),
                  PX_EVERSION);
    pxi_bytes *leave = encode_of (PXI_LEAVE, false, &n_payloads);
    cr_expect_eq (pxi_codec_peek_status (pxi_bytes_data (leave), pxi_bytes_size (leave), &status),
                  PX_EAGAIN);
    pxi_bytes_release (ask);
    pxi_bytes_release (leave);
    TEST_NO_LEAKS ();
}

/* protobuf-c has no limit of recursion: no message may reach itself. */
static void check_depth (const ProtobufCMessageDescriptor *descriptor, int depth)
{
    cr_assert_lt (depth, 4, "%s is nested too deep, or in itself", descriptor->name);
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        cr_expect_neq (field->type, PROTOBUF_C_TYPE_STRING, "%s.%s is a string: use bytes",
                       descriptor->name, field->name);
        bool number =
            field->type != PROTOBUF_C_TYPE_MESSAGE && field->type != PROTOBUF_C_TYPE_BYTES;
        if (field->label == PROTOBUF_C_LABEL_REPEATED && number)
            cr_expect (field->flags & PROTOBUF_C_FIELD_FLAG_PACKED, "%s.%s is not packed",
                       descriptor->name, field->name);
        if (field->type == PROTOBUF_C_TYPE_MESSAGE)
            check_depth (field->descriptor, depth + 1);
    }
}

Test (wire, the_schema_is_flat_packed_and_without_strings)
{
    check_depth (&pxi__wire__envelope__descriptor, 0);
    check_depth (&pxi__wire__chain__descriptor, 0);
    TEST_NO_LEAKS ();
}

Test (wire, the_arena_stops_at_its_cap)
{
    pxi_arena arena;
    pxi_arena_init (&arena, 100000);
    for (size_t used = 0; used + 48 <= 100000; used += 48) {
        char *memory = pxi_arena_alloc (&arena, 40);
        cr_assert_not_null (memory);
        cr_assert_eq ((uintptr_t)memory % 16, 0);
        memset (memory, 1, 40);
    }
    cr_expect_null (pxi_arena_alloc (&arena, 64));
    cr_expect (arena.over_cap && !arena.out_of_memory);
    cr_expect_null (pxi_arena_alloc (&arena, SIZE_MAX));
    pxi_arena_fini (&arena);
    TEST_NO_LEAKS ();
}

/* ---- chains ---------------------------------------------------------------------------------- */

Test (chain, comes_out_as_it_went_in_as_copies)
{
    pxi_chain chain, back;
    wire_chain_sample (&chain);
    pxi_bytes *bytes = pxi_chain_encode (&chain);
    cr_assert_eq (pxi_chain_decode (bytes, &back), PX_OK);
    memset (pxi_bytes_data (bytes), 0xff, pxi_bytes_size (bytes));
    cr_expect (wire_chain_same (&chain, &back));
    pxi_chain_fini (&back);
    cr_expect_eq (pxi_chain_decode (bytes, &back), PX_EMALFORMED);
    pxi_bytes_release (bytes);
    TEST_NO_LEAKS ();
}

Test (chain, nothing_is_an_empty_chain)
{
    pxi_chain chain = {0}, back;
    cr_expect_eq (pxi_chain_decode (NULL, &back), PX_OK);
    cr_expect (back.n_failures == 0 && back.n_shares == 0 && !back.memory);
    pxi_bytes *bytes = pxi_chain_encode (&chain);
    cr_expect_eq (pxi_chain_decode (bytes, &back), PX_OK);
    pxi_chain_fini (&back);
    pxi_bytes_release (bytes);
    TEST_NO_LEAKS ();
}

Test (chain, over_the_limits_is_cut_and_counted)
{
    static px_failure failures[PXI_FAILURES_MAX + 36];
    static px_job_share shares[PXI_SHARES_MAX + 10];
    static char text[3 * PXI_TEXT_MAX];
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy (text + i, "\xc3\xa4", 2);
    text[0] = 'x'; /* so that no character ends at the limit */
    text[1] = 'y';
    memmove (text + 1, text + 2, sizeof text - 2);
    for (size_t i = 0; i < PXI_FAILURES_MAX + 36; i++)
        failures[i] = (px_failure){.code = PX_EFAILED,
                                   .level = UINT32_MAX,
                                   .message = text,
                                   .task = text,
                                   .peer = text,
                                   .file = text};
    for (size_t i = 0; i < PXI_SHARES_MAX + 10; i++)
        shares[i] = (px_job_share){.peer_id = i + 1, .subtasks = 1, .work_ns = 10};
    pxi_chain chain = {.failures = failures,
                       .n_failures = PXI_FAILURES_MAX + 36,
                       .n_failures_dropped = 4,
                       .shares = shares,
                       .n_shares = PXI_SHARES_MAX + 10};
    pxi_chain back;
    pxi_bytes *bytes = pxi_chain_encode (&chain);
    cr_assert_leq (pxi_bytes_size (bytes), PXI_CHAIN_SIZE_MAX);
    cr_assert_eq (pxi_chain_decode (bytes, &back), PX_OK);
    cr_expect_eq (back.n_failures, PXI_FAILURES_MAX);
    cr_expect_eq (back.n_failures_dropped, 40);
    cr_expect_eq (back.n_shares, PXI_SHARES_MAX);
    cr_expect_eq (back.shares[PXI_SHARES_MAX - 1].subtasks, 11);
    size_t size = strlen (back.failures[0].message);
    cr_expect_eq (size, PXI_TEXT_MAX - 1, "%zu: cut between characters", size);
    cr_expect (pxi_text_valid (back.failures[0].message, size));
    cr_expect_null (wire_chain_fault (&back));
    pxi_chain_fini (&back);
    pxi_bytes_release (bytes);
    TEST_NO_LEAKS ();
}

Test (chain, hostile_text_becomes_harmless)
{
    px_failure failure = {
        .code = PX_EFAILED, .message = "bad \033[31m \xff\xfe end\n", .task = NULL};
    pxi_chain chain = {.failures = &failure, .n_failures = 1}, back;
    pxi_bytes *bytes = pxi_chain_encode (&chain);
    cr_assert_eq (pxi_chain_decode (bytes, &back), PX_OK);
    cr_expect_str_eq (back.failures[0].message, "bad ?[31m ?? end\n");
    cr_expect_str_eq (back.failures[0].task, "");
    pxi_chain_fini (&back);
    pxi_bytes_release (bytes);
    TEST_NO_LEAKS ();
}

Test (chain, shares_of_one_peer_are_summed)
{
    px_job_share shares[PXI_SHARES_MAX];
    px_job_share more[] = {{1, "a", 1, 10}, {2, "b", 2, 20}, {1, "a", 3, 30}};
    size_t n = 0;
    pxi_shares_add (shares, &n, more, 3);
    pxi_shares_add (shares, &n, more, 1);
    cr_assert_eq (n, 2);
    cr_expect (shares[0].peer_id == 1 && shares[0].subtasks == 5 && shares[0].work_ns == 50);
    cr_expect (shares[1].peer_id == 2 && shares[1].subtasks == 2);
    TEST_NO_LEAKS ();
}

Test (chain, branch_points_of_one_name_are_summed_and_others_left_out)
{
    px_job_point points[PXI_POINTS_MAX];
    px_job_point more[] = {{"m.a", 4, 0, 1, 2, 3, 0, 0, 0, 0},
                           {"m.b", 8, 1, 1, 1, 1, 0, 0, 0, 0},
                           {"m.a", 64, 0, 1, 2, 3, 0, 0, 0, 0}};
    size_t n = 0;
    pxi_points_add (points, &n, more, 3);
    cr_assert_eq (n, 2);
    cr_expect (points[0].number == 64 && !points[0].fixed && points[0].offered == 4);
    cr_expect (points[1].number == 8 && points[1].fixed && points[1].elsewhere == 1);
    cr_expect_eq (points[0].last, 0);
    const px_job_point moved[] = {{"m.a", 64, 0, 0, 0, 0, 8, 30, 30, 0},
                                  {"m.a", 64, 0, 0, 0, 0, 20, 70, 20, 0},
                                  {"m.a", 64, 0, 1, 2, 3, 0, 0, 0, 0}};
    pxi_points_add (points, &n, moved, 3);
    cr_expect (points[0].least == 8 && points[0].most == 70 && points[0].last == 20);
    for (int i = 0; i < PXI_POINTS_MAX; i++) {
        snprintf (more[0].point, sizeof more[0].point, "m.%d", i);
        pxi_points_add (points, &n, more, 1);
    }
    cr_assert_eq (n, PXI_POINTS_MAX);
    TEST_NO_LEAKS ();
}

/* ---- text ------------------------------------------------------------------------------------ */

Test (text, valid_is_utf8_without_control_characters)
{
    static const struct {
        const char *text;
        bool valid;
    } table[] = {
        {"", true},
        {"plain", true},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82", true},
        {"\x7f", false},
        {"a\nb", false},
        {"\xc2\x80", false},         /* C1 */
        {"\xc0\xaf", false},         /* not the shortest form */
        {"\xe0\x80\xaf", false},     /* the same */
        {"\xf0\x80\x80\xaf", false}, /* the same */
        {"\xed\xa0\x80", false},     /* surrogate */
        {"\xf4\x90\x80\x80", false}, /* over U+10FFFF */
        {"\xf5\x80\x80\x80", false},
        {"\xe2\x82", false}, /* cut */
        {"\x80", false},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xed\x9f\xbf", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char clean[64];
        size_t size = strlen (table[i].text);
        cr_expect_eq (pxi_text_valid (table[i].text, size), table[i].valid, "row %zu", i);
        pxi_text_clean (clean, sizeof clean - 1, table[i].text, size);
        if (table[i].valid)
            cr_expect_str_eq (clean, table[i].text);
    }
    cr_expect_not (pxi_text_valid ("a\0b", 3));
    TEST_NO_LEAKS ();
}

/* ---- traces ----------------------------------------------------------------------------------- */

static pxi_trace_batch *full_batch (void)
{
    pxi_trace_batch *batch = calloc (1, sizeof *batch);
    *batch = (pxi_trace_batch){.job = {1, 2}, .n_left_out = 3, .n = PXI_TRACE_BATCH_MAX};
    for (uint32_t i = 0; i < batch->n; i++) {
        batch->records[i] = (pxi_traced){.master = UINT64_MAX,
                                         .worker = UINT64_MAX - i,
                                         .key = {UINT64_MAX - 2 * i, UINT32_MAX},
                                         .begin_ns = (UINT64_C (1) << 62) - 1 - i,
                                         .end_ns = (UINT64_C (1) << 63) - 2 - 2 * i,
                                         .task = UINT32_MAX - i,
                                         .end = (uint8_t)(i % (PXI_TRACED_END_MAX + 1)),
                                         .sent = i % 2};
        memset (batch->records[i].worker_name, 'n', PXI_NAME_SIZE - 1);
    }
    return batch;
}

Test (trace, a_full_batch_comes_back_as_it_was)
{
    pxi_trace_batch *batch = full_batch (), *again = calloc (1, sizeof *again);
    pxi_bytes *bytes = pxi_trace_encode (batch);
    cr_assert_leq (pxi_bytes_size (bytes), PXI_TRACE_SIZE_MAX);
    cr_assert_eq (pxi_trace_decode (pxi_bytes_data (bytes), pxi_bytes_size (bytes), again), PX_OK);
    cr_assert_eq (again->job.origin, 1);
    cr_assert_eq (again->job.number, 2);
    cr_assert_eq (again->n_left_out, 3);
    cr_assert_eq (again->n, batch->n);
    for (uint32_t i = 0; i < batch->n; i++) {
        const pxi_traced *a = &batch->records[i], *b = &again->records[i];
        cr_expect (a->master == b->master && a->worker == b->worker &&
                       a->key.subtask == b->key.subtask && a->key.attempt == b->key.attempt &&
                       a->begin_ns == b->begin_ns && a->end_ns == b->end_ns && a->task == b->task &&
                       a->end == b->end && a->sent == b->sent &&
                       !strcmp (a->worker_name, b->worker_name),
                   "record %u", i);
    }
    pxi_bytes_release (bytes);
    free (batch);
    free (again);
    TEST_NO_LEAKS ();
}

Test (trace, what_is_out_of_range_is_refused)
{
    pxi_trace_batch *batch = full_batch (), *again = calloc (1, sizeof *again);
    static uint8_t large[PXI_TRACE_SIZE_MAX + 1];
    cr_expect_eq (pxi_trace_decode (large, sizeof large, again), PX_ETOOBIG);
    cr_expect_eq (pxi_trace_decode ("\x22\x00", 2, again), PX_EMALFORMED, "nobody's record");
    for (int i = 0; i < 4; i++) {
        batch->n = 1;
        batch->records[0] = (pxi_traced){.master = 1, .worker = 1, .end_ns = 1};
        if (i == 1)
            batch->records[0].end = PXI_TRACED_END_MAX + 1;
        if (i == 2)
            batch->records[0].end_ns = UINT64_MAX;
        if (i == 3)
            batch->n_left_out = UINT64_MAX;
        pxi_bytes *bytes = pxi_trace_encode (batch);
        cr_expect_eq (pxi_trace_decode (pxi_bytes_data (bytes), pxi_bytes_size (bytes), again),
                      i ? PX_EMALFORMED : PX_OK, "case %d", i);
        pxi_bytes_release (bytes);
    }
    free (batch);
    free (again);
    TEST_NO_LEAKS ();
}
