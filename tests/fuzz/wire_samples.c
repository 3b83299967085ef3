#include "wire_samples.h"

#include <string.h>

#include <peerexec/peer.h>

static pxi_peer_record records[PXI_RECORDS_MAX];
static pxi_attempt attempts[PXI_DISPATCH_MAX];
static pxi_key keys[PXI_KEYS_MAX];
static pxi_report reports[PXI_KEYS_MAX];
static pxi_returned results[PXI_RESULTS_MAX];

static void fill_records (void)
{
    for (uint32_t i = 0; i < PXI_RECORDS_MAX; i++) {
        pxi_peer_record *record = &records[i];
        *record = (pxi_peer_record){.id = i == 0 ? 11 : UINT64_MAX - i, .incarnation = 22};
        record->address.kind = (uint8_t[]){4, 6, 0}[i % 3];
        record->address.port = record->address.kind ? 65535 : 0;
        for (uint8_t j = 0; j < (record->address.kind == 4   ? 4
                                 : record->address.kind == 6 ? 16
                                                             : 0);
             j++)
            record->address.ip[j] = (uint8_t)(200 + j);
        record->slots = i % 2 ? PXI_SLOTS_MAX : 0;
        record->flags = (uint16_t)(i & 15);
        record->n_modules = i % (PXI_PEER_MODULES_MAX + 1);
        for (uint32_t j = 0; j < record->n_modules; j++)
            record->modules[j] = UINT64_MAX / (j + 1);
        strcpy (record->name, i % 2 ? "w\xc3\xb6rker-with-a-name-of-31-byte" : "");
    }
}

static void fill_arrays (void)
{
    fill_records ();
    for (uint32_t i = 0; i < PXI_DISPATCH_MAX; i++)
        attempts[i] = (pxi_attempt){
            .key = {UINT64_MAX - i, i % 2 ? UINT32_MAX : 1},
            .job = {UINT64_MAX, i},
            .module = UINT64_MAX,
            .task = i % 2 ? UINT32_MAX : 0,
            .size_bytes = i % 2 ? UINT32_MAX : 0,
            .shared = {{i % 2 ? UINT64_MAX : 0, i % 2 ? UINT64_MAX - i : 0},
                       i % 2 ? UINT32_MAX - i : 0},
            .n_items = i % 3 ? UINT64_MAX - i : 0,
        };
    for (uint32_t i = 0; i < PXI_KEYS_MAX; i++) {
        keys[i] = (pxi_key){UINT64_MAX - i, UINT32_MAX - i};
        reports[i] = (pxi_report){keys[i], UINT64_MAX - i, UINT64_MAX - i};
    }
    for (uint32_t i = 0; i < PXI_RESULTS_MAX; i++)
        results[i] = (pxi_returned){.key = keys[i],
                                    .result = (pxi_result)(i % (PXI_RESULT_CANNOT + 1)),
                                    .size_bytes = i % 2 ? UINT32_MAX : 0,
                                    .run_ns = UINT64_MAX - i,
                                    .device = i > 1 ? i % (PXI_DEVICES_MAX + 1) : 0,
                                    .first = i > 1 && i % 2};
}

enum { OF_DEVICES = 4 };

static const struct {
    pxi_message_kind kind;
    uint32_t n; /* elements of its array; 0 where it has none */
    uint32_t n_payloads;
} samples[] = {
    {PXI_PROBE, 0, 0}, /* these, of a device */
    {PXI_OFFER, 0, 0},
    {PXI_DISPATCH, PXI_DISPATCH_MAX, 2 * PXI_DISPATCH_MAX},
    {PXI_DECLINE, 0, 0},
    {PXI_HELLO, 1, 0},
    {PXI_WELCOME, PXI_RECORDS_MAX, 0},
    {PXI_GOSSIP, 2, 0},
    {PXI_GOSSIP_REPLY, PXI_RECORDS_MAX, 0},
    {PXI_LEAVE, 0, 0},
    {PXI_REFUSED, 0, 0},
    {PXI_PROBE, 0, 0},
    {PXI_PROBE, 1, 2},
    {PXI_PROBE, PXI_BATCH_MAX, 2 * PXI_BATCH_MAX},
    {PXI_OFFER, 0, 0},
    {PXI_BUSY, 0, 0},
    {PXI_CANNOT, 0, 0},
    {PXI_DISPATCH, 1, 2},
    {PXI_DISPATCH, PXI_DISPATCH_MAX, 2 * PXI_DISPATCH_MAX},
    {PXI_DECLINE, 0, 0},
    {PXI_RESULT, 1, 2},
    {PXI_RESULT, PXI_RESULTS_MAX, 2 * PXI_RESULTS_MAX},
    {PXI_CANCEL, 1, 0},
    {PXI_HANDSHAKE, 0, 0},
    {PXI_HANDSHAKE, PXI_KEYS_MAX, 0},
    {PXI_HANDSHAKE_ACK, 3, 0},
    {PXI_HANDSHAKE_ACK, PXI_KEYS_MAX, 0},
    {PXI_FETCH, 0, 0},
    {PXI_SHARED, 0, 1},
};

uint32_t wire_sample_count (void)
{
    return sizeof samples / sizeof samples[0];
}

static void add_array (pxi_message *message, uint32_t n)
{
    switch (message->kind) {
    case PXI_HELLO:
    case PXI_WELCOME:
    case PXI_GOSSIP:
    case PXI_GOSSIP_REPLY:
        message->n_records = n;
        message->records = records;
        break;
    case PXI_PROBE:
    case PXI_DISPATCH:
        message->n_attempts = n;
        message->attempts = n ? attempts : NULL;
        message->has_inline = message->kind == PXI_PROBE && n > 0;
        break;
    case PXI_CANCEL:
    case PXI_HANDSHAKE:
        message->n_keys = n;
        message->keys = n ? keys : NULL;
        break;
    case PXI_HANDSHAKE_ACK:
        message->n_reports = n;
        message->reports = n ? reports : NULL;
        break;
    case PXI_RESULT:
        message->n_results = n;
        message->results = results;
        break;
    default:
        break;
    }
}

static void add_plain (pxi_message *message)
{
    pxi_message_kind kind = message->kind;
    if (kind == PXI_PROBE || kind == PXI_OFFER || kind == PXI_BUSY || kind == PXI_CANNOT ||
        kind == PXI_DECLINE)
        message->probe = 0x1122334455667788;
    if (kind == PXI_OFFER || kind == PXI_DISPATCH || kind == PXI_DECLINE)
        message->lease = UINT64_MAX;
    if (kind == PXI_PROBE || kind == PXI_OFFER || kind == PXI_DECLINE)
        message->job = (pxi_job_id){UINT64_MAX, UINT64_MAX};
    if (kind == PXI_PROBE)
        message->module = 77;
    if (kind == PXI_PROBE || kind == PXI_OFFER)
        message->n_slots = PXI_SLOTS_MAX;
    if (kind == PXI_OFFER || kind == PXI_BUSY || kind == PXI_CANNOT || kind == PXI_PROBE)
        message->duration_ns = 3600 * PXI_SECOND;
    if (kind == PXI_REFUSED || kind == PXI_CANNOT)
        message->err = PX_ENOMODULE;
    message->reserve = kind == PXI_PROBE || kind == PXI_BUSY;
    message->accepted = kind == PXI_OFFER || kind == PXI_SHARED;
    if (kind == PXI_FETCH || kind == PXI_SHARED)
        message->shared = (pxi_shared_name){{UINT64_MAX, 1}, UINT32_MAX};
    if (kind == PXI_HANDSHAKE || kind == PXI_HANDSHAKE_ACK || kind == PXI_HELLO ||
        kind == PXI_WELCOME)
        message->sequence = UINT64_MAX;
}

static void make_for_device (pxi_message *message)
{
    message->reserve = message->accepted = false;
    message->device =
        message->kind == PXI_OFFER || message->kind == PXI_DECLINE ? PXI_DEVICES_MAX : 0;
    message->for_device = message->kind == PXI_PROBE;
    message->task = message->for_device ? UINT32_MAX : 0;
    message->n_items = message->for_device ? UINT64_MAX : 0;
    if (message->kind == PXI_OFFER) {
        message->n_slots = PXI_DEVICE_SLOTS_MAX;
        message->device_class = 2;
        message->memory_bytes = message->item_cost = UINT64_MAX;
        message->fixed_ns = message->queue_ns = 3600 * PXI_SECOND;
    }
    for (uint32_t i = 0; i < message->n_attempts; i++) {
        attempts[i].device = 1 + i % PXI_DEVICES_MAX;
        attempts[i].n_items = UINT64_MAX - i;
    }
}

void wire_sample (uint32_t index, pxi_message *message, uint32_t *n_payloads)
{
    fill_arrays ();
    *message = (pxi_message){.kind = samples[index].kind};
    message->from = 11;
    message->from_incarnation = 22;
    message->to = message->kind == PXI_HELLO ? 0 : 33;
    message->to_incarnation = message->kind == PXI_HELLO ? 0 : 44;
    add_plain (message);
    add_array (message, samples[index].n);
    if (index < OF_DEVICES)
        make_for_device (message);
    *n_payloads = samples[index].n_payloads;
}

/* ---- judge ----------------------------------------------------------------------------------- */

static const char *record_fault (const pxi_peer_record *record)
{
    if (record->id == 0 || record->incarnation == 0)
        return "record id or incarnation";
    if (record->address.kind != 0 && record->address.kind != 4 && record->address.kind != 6)
        return "address kind";
    if ((record->address.kind == 0) != (record->address.port == 0))
        return "port";
    if (record->slots > PXI_SLOTS_MAX)
        return "record slots";
    if (record->n_modules > PXI_PEER_MODULES_MAX)
        return "n_modules";
    if (!memchr (record->name, 0, sizeof record->name))
        return "name without an end";
    for (const char *at = record->name; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return "control character in a name";
    return NULL;
}

static const char *arrays_fault (const pxi_message *message)
{
    if (message->n_records > PXI_RECORDS_MAX || message->n_attempts > PXI_DISPATCH_MAX ||
        message->n_keys > PXI_KEYS_MAX || message->n_reports > PXI_KEYS_MAX ||
        message->n_results > PXI_RESULTS_MAX)
        return "a count";
    for (uint32_t i = 0; i < message->n_records; i++)
        if (record_fault (&message->records[i]))
            return record_fault (&message->records[i]);
    for (uint32_t i = 0; i < message->n_attempts; i++)
        if (message->attempts[i].key.subtask == 0 || message->attempts[i].key.attempt == 0 ||
            message->attempts[i].job.origin == 0 || message->attempts[i].blob != 0 ||
            message->attempts[i].shared_blob != 0 ||
            message->attempts[i].device > PXI_DEVICES_MAX ||
            (message->attempts[i].device && !message->attempts[i].n_items))
            return "an attempt";
    for (uint32_t i = 0; i < message->n_keys; i++)
        if (message->keys[i].subtask == 0 || message->keys[i].attempt == 0)
            return "a key";
    for (uint32_t i = 0; i < message->n_reports; i++)
        if (message->reports[i].key.subtask == 0 || message->reports[i].key.attempt == 0)
            return "a report";
    for (uint32_t i = 0; i < message->n_results; i++)
        if (message->results[i].key.subtask == 0 || message->results[i].key.attempt == 0 ||
            message->results[i].result > PXI_RESULT_CANNOT || message->results[i].blob != 0 ||
            message->results[i].device > PXI_DEVICES_MAX)
            return "a result";
    return NULL;
}

static const char *device_fault (const pxi_message *message)
{
    if (message->device > PXI_DEVICES_MAX || message->fixed_ns > 3600 * PXI_SECOND)
        return "a device";
    if (message->for_device && (message->kind != PXI_PROBE || message->has_inline ||
                                message->reserve || !message->n_items))
        return "a probe for a device";
    if (message->kind == PXI_OFFER && message->device &&
        (!message->lease || message->n_slots > PXI_DEVICE_SLOTS_MAX || message->accepted))
        return "an offer of a device";
    for (uint32_t i = 0; message->kind == PXI_PROBE && i < message->n_attempts; i++)
        if (message->attempts[i].device)
            return "a chunk of a device in a probe";
    return NULL;
}

const char *wire_message_fault (const pxi_message *message)
{
    if (message->kind < PXI_HELLO || message->kind > PXI_MESSAGE_LAST)
        return "kind";
    if (message->from == 0 || message->from_incarnation == 0)
        return "sender";
    if (message->to == 0 && message->kind != PXI_HELLO)
        return "receiver";
    if (message->n_slots > PXI_SLOTS_MAX)
        return "n_slots";
    if (message->duration_ns > 3600 * PXI_SECOND)
        return "duration_ns";
    if (message->err > PX_ECONFIG)
        return "err";
    if (message->kind == PXI_RESULT && message->n_results == 0)
        return "no results";
    if (message->kind == PXI_PROBE &&
        ((message->n_attempts > 0) != message->has_inline || message->n_attempts > PXI_BATCH_MAX))
        return "inline attempts";
    if (message->kind == PXI_DISPATCH && (message->n_attempts == 0 || message->lease == 0))
        return "dispatch";
    if (message->kind >= PXI_FETCH && message->shared.size_bytes == 0)
        return "no shared input";
    if (message->kind <= PXI_GOSSIP_REPLY && message->n_records == 0)
        return "no records";
    return device_fault (message) ? device_fault (message) : arrays_fault (message);
}

static bool records_same (const pxi_peer_record *a, const pxi_peer_record *b)
{
    return a->id == b->id && a->incarnation == b->incarnation &&
           memcmp (&a->address, &b->address, sizeof a->address) == 0 && a->slots == b->slots &&
           a->flags == b->flags && a->n_modules == b->n_modules &&
           memcmp (a->modules, b->modules, sizeof a->modules) == 0 &&
           strcmp (a->name, b->name) == 0;
}

static bool keys_same (pxi_key a, pxi_key b)
{
    return a.subtask == b.subtask && a.attempt == b.attempt;
}

static bool attempts_same (const pxi_attempt *a, const pxi_attempt *b)
{
    return keys_same (a->key, b->key) && a->job.origin == b->job.origin &&
           a->job.number == b->job.number && a->module == b->module && a->task == b->task &&
           a->size_bytes == b->size_bytes && pxi_same_shared (&a->shared, &b->shared) &&
           a->n_items == b->n_items && a->device == b->device;
}

static bool arrays_same (const pxi_message *a, const pxi_message *b)
{
    if (a->n_records != b->n_records || a->n_attempts != b->n_attempts || a->n_keys != b->n_keys ||
        a->n_reports != b->n_reports || a->n_results != b->n_results)
        return false;
    bool same = true;
    for (uint32_t i = 0; i < a->n_records; i++)
        same = same && records_same (&a->records[i], &b->records[i]);
    for (uint32_t i = 0; i < a->n_attempts; i++)
        same = same && attempts_same (&a->attempts[i], &b->attempts[i]);
    for (uint32_t i = 0; i < a->n_keys; i++)
        same = same && keys_same (a->keys[i], b->keys[i]);
    for (uint32_t i = 0; i < a->n_reports; i++)
        same = same && keys_same (a->reports[i].key, b->reports[i].key) &&
               a->reports[i].run_ns == b->reports[i].run_ns &&
               a->reports[i].progress == b->reports[i].progress;
    for (uint32_t i = 0; i < a->n_results; i++)
        same = same && keys_same (a->results[i].key, b->results[i].key) &&
               a->results[i].result == b->results[i].result &&
               a->results[i].size_bytes == b->results[i].size_bytes &&
               a->results[i].run_ns == b->results[i].run_ns &&
               a->results[i].device == b->results[i].device &&
               a->results[i].first == b->results[i].first;
    return same;
}

bool wire_message_same (const pxi_message *a, const pxi_message *b)
{
    return a->kind == b->kind && a->from == b->from && a->from_incarnation == b->from_incarnation &&
           a->to == b->to && a->to_incarnation == b->to_incarnation && a->probe == b->probe &&
           a->lease == b->lease && a->job.origin == b->job.origin &&
           a->job.number == b->job.number && a->module == b->module &&
           a->duration_ns == b->duration_ns && a->sequence == b->sequence &&
           a->n_slots == b->n_slots && a->err == b->err && a->reserve == b->reserve &&
           a->has_inline == b->has_inline && a->accepted == b->accepted &&
           a->for_device == b->for_device && a->task == b->task && a->device == b->device &&
           a->device_class == b->device_class && a->n_items == b->n_items &&
           a->memory_bytes == b->memory_bytes && a->fixed_ns == b->fixed_ns &&
           a->item_cost == b->item_cost && a->queue_ns == b->queue_ns &&
           pxi_same_shared (&a->shared, &b->shared) && arrays_same (a, b);
}

/* ---- chains ---------------------------------------------------------------------------------- */

void wire_chain_sample (pxi_chain *chain)
{
    static px_failure failures[] = {
        {PX_EFAILED, 0, 1, 42, 7, "price.portfolio", "w1", "price.c",
         "one of 3 instruments failed"},
        {PX_EFAILED, 1, 2, 17, 1, "price.one", "w\xc3\xb6rker", "",
         "negative volatility\n\tof bond 7"},
        {PX_ECRASH, 1, 0, 0, UINT64_MAX, "price.one", "", "", ""},
    };
    static px_job_share shares[] = {{1, "w1", 10, 1000}, {2, "", UINT64_MAX, 0}};
    static px_job_point points[] = {{"m.loop", 64, 0, 1, 9, 8, 0, 0, 0, 0},
                                    {"m.inner", 65535, 1, UINT64_MAX, 0, 1, 2, 65536, 3, 1}};
    *chain = (pxi_chain){.failures = failures,
                         .n_failures = 3,
                         .n_failures_dropped = 5,
                         .shares = shares,
                         .n_shares = 2,
                         .points = points,
                         .n_points = 2};
}

static bool text_is_bad (const char *text, size_t size_max)
{
    return !text || strlen (text) > size_max;
}

const char *wire_chain_fault (const pxi_chain *chain)
{
    if (chain->n_failures > PXI_FAILURES_MAX || chain->n_shares > PXI_SHARES_MAX ||
        chain->n_points > PXI_POINTS_MAX)
        return "a count";
    for (size_t i = 0; i < chain->n_failures; i++) {
        const px_failure *failure = &chain->failures[i];
        if ((uint32_t)failure->code > PX_ECONFIG || failure->level > PXI_LEVEL_MAX)
            return "code or level";
        if (text_is_bad (failure->task, 63) || text_is_bad (failure->peer, PX_NAME_SIZE_MAX) ||
            text_is_bad (failure->file, 255) || text_is_bad (failure->message, PXI_TEXT_MAX))
            return "a text";
    }
    for (size_t i = 0; i < chain->n_shares; i++)
        if (!memchr (chain->shares[i].peer_name, 0, sizeof chain->shares[i].peer_name))
            return "a name without an end";
    for (size_t i = 0; i < chain->n_points; i++)
        if (!memchr (chain->points[i].point, 0, sizeof chain->points[i].point) ||
            chain->points[i].number < 0)
            return "a branch point";
    return NULL;
}

static bool failures_same (const px_failure *a, const px_failure *b)
{
    return a->code == b->code && a->level == b->level && a->attempt == b->attempt &&
           a->line == b->line && a->index == b->index && strcmp (a->task, b->task) == 0 &&
           strcmp (a->peer, b->peer) == 0 && strcmp (a->file, b->file) == 0 &&
           strcmp (a->message, b->message) == 0;
}

static bool points_same (const px_job_point *a, const px_job_point *b)
{
    return strcmp (a->point, b->point) == 0 && a->number == b->number && a->fixed == b->fixed &&
           a->branches == b->branches && a->offered == b->offered && a->elsewhere == b->elsewhere &&
           a->least == b->least && a->most == b->most && a->last == b->last &&
           a->tunable == b->tunable;
}

bool wire_chain_same (const pxi_chain *a, const pxi_chain *b)
{
    bool same = a->n_failures == b->n_failures && a->n_shares == b->n_shares &&
                a->n_points == b->n_points && a->n_failures_dropped == b->n_failures_dropped;
    for (size_t i = 0; same && i < a->n_failures; i++)
        same = failures_same (&a->failures[i], &b->failures[i]);
    for (size_t i = 0; same && i < a->n_shares; i++)
        same = a->shares[i].peer_id == b->shares[i].peer_id &&
               strcmp (a->shares[i].peer_name, b->shares[i].peer_name) == 0 &&
               a->shares[i].subtasks == b->shares[i].subtasks &&
               a->shares[i].work_ns == b->shares[i].work_ns;
    for (size_t i = 0; same && i < a->n_points; i++)
        same = points_same (&a->points[i], &b->points[i]);
    return same;
}

void wire_trace_sample (pxi_trace_batch *batch)
{
    *batch = (pxi_trace_batch){.job = {7, 8}, .n_left_out = 9, .n = 2 * (PXI_TRACED_END_MAX + 1)};
    for (uint32_t i = 0; i < batch->n; i++)
        batch->records[i] = (pxi_traced){.master = 11,
                                         .worker = 12 + i,
                                         .key = {UINT64_C (1) << 40 | i, 1 + i},
                                         .begin_ns = 1000 * i,
                                         .end_ns = 1000 * i + 700,
                                         .task = i,
                                         .end = (uint8_t)(i / 2),
                                         .sent = i % 2,
                                         .worker_name = "worker"};
}

const char *wire_trace_fault (const pxi_trace_batch *batch)
{
    if (batch->n > PXI_TRACE_BATCH_MAX)
        return "a count";
    for (uint32_t i = 0; i < batch->n; i++) {
        const pxi_traced *record = &batch->records[i];
        if (!record->master || !record->worker || record->end > PXI_TRACED_END_MAX)
            return "peers, or the end";
        if (record->end_ns < record->begin_ns || record->end_ns > INT64_MAX)
            return "a time";
        if (!memchr (record->worker_name, 0, sizeof record->worker_name))
            return "a name without an end";
    }
    return NULL;
}
