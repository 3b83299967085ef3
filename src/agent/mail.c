/* Messages of peers: what arrives is checked whole before the core hears of it; what the core sends
 * is joined with its payloads. Also who has been heard of, for names and for the way back.
 *
 * Received payloads become blobs before the step; the core forgets those that it does not keep. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/spec.h"
#include "agent/state.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "wire/codec.h"

#define REFUSED_LINE_NS PXI_SECOND /* one line for all that was refused meanwhile */

/* ---- who has been heard of --------------------------------------------------------------------
 */

pxi_seen *pxi_mail_seen (pxi_agent *agent, uint64_t id)
{
    return pxi_map_pointer (&agent->seen, id);
}

const char *pxi_mail_name (pxi_agent *agent, uint64_t id)
{
    if (id == agent->id)
        return agent->name;
    const pxi_seen *seen = pxi_mail_seen (agent, id);
    return seen && seen->name[0] ? seen->name : "?";
}

static void seen_free (pxi_agent *agent, pxi_seen *seen)
{
    pxi_list_remove (&seen->in_agent);
    pxi_map_remove (&agent->seen, seen->id, NULL);
    free (seen);
}

/* Full: the oldest goes. Its link is found again with its next message. */
static pxi_seen *seen_ensure (pxi_agent *agent, uint64_t id)
{
    pxi_seen *seen = pxi_mail_seen (agent, id);
    if (seen)
        return seen;
    if (pxi_map_size (&agent->seen) == PXI_SEEN_MAX)
        seen_free (agent, PXI_LIST_ENTRY (pxi_list_first (&agent->all_seen), pxi_seen, in_agent));
    seen = calloc (1, sizeof *seen);
    if (!seen || !pxi_map_put_pointer (&agent->seen, id, seen)) {
        free (seen);
        return NULL;
    }
    seen->id = id;
    pxi_list_init (&seen->in_agent);
    pxi_list_add_last (&agent->all_seen, &seen->in_agent);
    return seen;
}

static void note_sender (pxi_agent *agent, const pxi_message *message, pxi_link link)
{
    pxi_seen *seen = seen_ensure (agent, message->from);
    if (!seen)
        return;
    seen->link = link;
    seen->incarnation = message->from_incarnation;
    if (message->n_records)
        memcpy (seen->name, message->records[0].name, sizeof seen->name);
}

void pxi_mail_fini (pxi_agent *agent)
{
    for (pxi_list *link; (link = pxi_list_first (&agent->all_seen));)
        seen_free (agent, PXI_LIST_ENTRY (link, pxi_seen, in_agent));
}

/* Peers that came to answer, or ceased to. */
static void log_changes (pxi_agent *agent, const pxi_peer_look *looks, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const pxi_peer_record *record = &looks[i].record;
        pxi_seen *seen = seen_ensure (agent, record->id);
        bool answers = !looks[i].unresponsive;
        if (!seen || seen->answers == answers)
            continue;
        seen->answers = answers;
        memcpy (seen->name, record->name, sizeof seen->name);
        char address[64] = "no address";
        if (record->address.kind)
            pxi_address_print (&record->address, address);
        pxi_log (&agent->log, answers ? PX_LOG_INFO : PX_LOG_NOTICE, "view",
                 answers         ? "peer %s at %s is here"
                 : looks[i].left ? "peer %s at %s has left"
                                 : "peer %s at %s has gone silent",
                 record->name, address);
    }
}

void pxi_mail_view_changed (pxi_agent *agent, uint32_t n_peers)
{
    pthread_mutex_lock (&agent->lock);
    agent->n_peers = n_peers;
    pthread_cond_broadcast (&agent->changed);
    pthread_mutex_unlock (&agent->lock);
    if (!pxi_log_wants (&agent->log, PX_LOG_NOTICE))
        return;
    pxi_peer_look *looks = malloc (PXI_VIEW_MAX * sizeof *looks);
    if (!looks)
        return;
    uint32_t n = pxi_core_peers (agent->core, pxi_clock_ns (), looks, PXI_VIEW_MAX);
    log_changes (agent, looks, n < PXI_VIEW_MAX ? n : PXI_VIEW_MAX);
    free (looks);
}

static void trace_line (void *context, uint64_t now_ns, const char *line)
{
    (void)now_ns;
    pxi_agent *agent = context;
    pxi_log (&agent->log, PX_LOG_DEBUG, "core", "%s", line);
}

void pxi_mail_trace (pxi_agent *agent)
{
    if (pxi_log_wants (&agent->log, PX_LOG_DEBUG))
        pxi_core_trace (agent->core, trace_line, agent);
}

/* ---- where others reach us --------------------------------------------------------------------
 */

/* Bound to every interface: others are told the address of the first that is not loopback. */
static void pick_interface (pxi_address *address)
{
    struct ifaddrs *all = NULL;
    memset (address->ip, 0, sizeof address->ip);
    address->kind = 4;
    memcpy (address->ip, (uint8_t[]){127, 0, 0, 1}, 4);
    if (getifaddrs (&all) != 0)
        return;
    for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
        if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET ||
            (one->ifa_flags & IFF_LOOPBACK) || !(one->ifa_flags & IFF_UP))
            continue;
        const struct sockaddr_in *ip = (const struct sockaddr_in *)(const void *)one->ifa_addr;
        memcpy (address->ip, &ip->sin_addr, 4);
        break;
    }
    freeifaddrs (all);
}

px_err pxi_mail_own_address (pxi_agent *agent, pxi_address *address, char *why)
{
    const char *endpoint = pxi_zmq_endpoint (agent->transport);
    if (!endpoint[0])
        return PX_OK;
    px_err err = pxi_address_parse (endpoint, address, why);
    if (err != PX_OK)
        return err;
    if (pxi_address_is_wildcard (address))
        pick_interface (address);
    pxi_address_print (address, agent->endpoint);
    return PX_OK;
}

/* ---- receiving --------------------------------------------------------------------------------
 */

static void refuse (pxi_agent *agent, const char *why)
{
    agent->n_refused++;
    uint64_t now_ns = pxi_clock_ns ();
    if (now_ns - agent->refused_told_ns < REFUSED_LINE_NS && agent->refused_told_ns)
        return;
    pxi_log (&agent->log, PX_LOG_WARNING, "wire", "message refused: %s (%" PRIu64 " in all)", why,
             agent->n_refused);
    agent->refused_told_ns = now_ns;
}

/* Payloads of attempts must be what the envelope says: a specification that parses, an input of the
 * stated size. */
static bool attempts_are_valid (const pxi_agent *agent, const pxi_message *message,
                                pxi_bytes *const *payloads, pxi_spec *spec)
{
    for (uint32_t i = 0; i < message->n_attempts; i++) {
        const pxi_bytes *head = payloads[2 * i], *input = payloads[2 * i + 1];
        bool as_before = i && pxi_bytes_size (head) == 0;
        if ((!as_before && !pxi_spec_decode (pxi_bytes_data (head), pxi_bytes_size (head), spec)) ||
            pxi_bytes_size (input) != message->attempts[i].size_bytes ||
            pxi_bytes_size (input) > agent->config.input_size_max)
            return false;
    }
    return true;
}

static bool results_are_valid (const pxi_agent *agent, const pxi_message *message,
                               pxi_bytes *const *payloads)
{
    for (uint32_t i = 0; i < message->n_results; i++) {
        uint64_t size = pxi_bytes_size (payloads[2 * i]);
        if (size != message->results[i].size_bytes || size > agent->config.result_size_max ||
            pxi_bytes_size (payloads[2 * i + 1]) > PXI_CHAIN_SIZE_MAX)
            return false;
    }
    return true;
}

/* Whoever sent it: its digest says what it is. */
static bool shared_is_valid (const pxi_agent *agent, const pxi_message *message,
                             const pxi_bytes *bytes)
{
    if (pxi_bytes_size (bytes) != message->shared.size_bytes ||
        pxi_bytes_size (bytes) > agent->config.input_size_max)
        return false;
    pxi_shared_name name = pxi_blob_shared_name (bytes);
    return pxi_same_shared (&name, &message->shared);
}

/* What the core does not wait for is not looked at: it is dropped as if it had been lost. */
static bool is_idle_gift (const pxi_agent *agent, const pxi_message *message)
{
    return message->kind == PXI_SHARED && message->accepted &&
           !pxi_core_awaits (agent->core, &message->shared);
}

static bool payloads_are_valid (const pxi_agent *agent, const pxi_message *message,
                                pxi_bytes *const *payloads)
{
    if (message->kind == PXI_RESULT)
        return results_are_valid (agent, message, payloads);
    if (message->kind == PXI_SHARED && message->accepted)
        return shared_is_valid (agent, message, payloads[0]);
    if (!message->n_attempts)
        return true;
    pxi_spec *spec = malloc (sizeof *spec);
    bool valid = spec && attempts_are_valid (agent, message, payloads, spec);
    free (spec);
    return valid;
}

/* The pair of frames becomes a blob, which takes them. */
static uint64_t make_blob (pxi_agent *agent, pxi_bytes **pair, uint32_t code)
{
    pxi_blob blob = {pair[0], pair[1], code};
    pair[0] = pair[1] = NULL;
    return pxi_blobs_put (&agent->blobs, blob);
}

/* False: out of memory; the message counts as lost, and blobs made so far go. */
static bool take_inputs (pxi_agent *agent, const pxi_message *message, pxi_bytes **payloads)
{
    /* The array lies in the memory of the decoded message, which is ours. */
    pxi_attempt *attempts = (pxi_attempt *)message->attempts;
    for (uint32_t i = 0; i < message->n_attempts; i++) {
        if (i && pxi_bytes_size (payloads[2 * i]) == 0) {
            pxi_bytes_release (payloads[2 * i]);
            payloads[2 * i] =
                pxi_bytes_acquire (pxi_blobs_get (&agent->blobs, attempts[i - 1].blob).first);
        }
        attempts[i].digest = pxi_agent_digest (agent, attempts[i].job, payloads[2 * i + 1]);
        attempts[i].blob = make_blob (agent, payloads + 2 * i, PX_OK);
        if (attempts[i].blob)
            continue;
        while (i--)
            pxi_blobs_forget (&agent->blobs, attempts[i].blob);
        return false;
    }
    return true;
}

/* The same of values and chains. */
static bool take_results (pxi_agent *agent, const pxi_message *message, pxi_bytes **payloads)
{
    pxi_returned *results = (pxi_returned *)message->results;
    for (uint32_t i = 0; i < message->n_results; i++) {
        uint32_t code = pxi_apply_code (results[i].result, payloads[2 * i + 1]);
        results[i].blob = make_blob (agent, payloads + 2 * i, code);
        if (results[i].blob)
            continue;
        while (i--)
            pxi_blobs_forget (&agent->blobs, results[i].blob);
        return false;
    }
    return true;
}

static bool take_shared (pxi_agent *agent, pxi_message *message, pxi_bytes **payloads)
{
    if (message->kind != PXI_SHARED || !message->accepted)
        return true;
    pxi_bytes *bytes = pxi_blob_aligned (payloads[0]);
    message->blob = bytes ? pxi_blobs_put (&agent->blobs, (pxi_blob){.second = bytes}) : 0;
    return message->blob != 0;
}

static void deliver (pxi_agent *agent, pxi_link link, pxi_message *message, pxi_bytes **payloads)
{
    if (is_idle_gift (agent, message))
        return;
    if (!payloads_are_valid (agent, message, payloads)) {
        refuse (agent, "its payload is not what its envelope says");
        return;
    }
    note_sender (agent, message, link);
    if (!take_inputs (agent, message, payloads) || !take_results (agent, message, payloads) ||
        !take_shared (agent, message, payloads))
        return;
    pxi_tracing_hears (agent, message);
    pxi_event event = {.kind = PXI_EV_MESSAGE, .message = message};
    pxi_agent_step (agent, &event);
}

static void answer_status (pxi_agent *agent, pxi_link link, uint64_t sequence)
{
    pxi_bytes *frames[2] = {pxi_codec_encode_status (PXI_STATUS, agent->id, sequence),
                            pxi_report_make (agent)};
    if (frames[0] && frames[1]) {
        pxi_zmq_send (agent->transport, &(pxi_address){0}, link, frames, 2);
        return;
    }
    pxi_bytes_release (frames[0]);
    pxi_bytes_release (frames[1]);
}

/* Who refuses us is told to who waits for a join, not to the core: there is nobody to talk to. */
static bool take_refusal (pxi_agent *agent, pxi_link link, const pxi_bytes *envelope)
{
    uint16_t version;
    pxi_address address;
    if (!pxi_codec_peek_refusal (pxi_bytes_data (envelope), pxi_bytes_size (envelope), &version))
        return false;
    if (!pxi_zmq_link_address (agent->transport, link, &address))
        return true;
    pthread_mutex_lock (&agent->lock);
    for (uint32_t i = 0; i < agent->n_joins; i++) {
        if (pxi_address_same (&agent->joins[i].address, &address))
            agent->joins[i].version = version;
    }
    pthread_cond_broadcast (&agent->changed);
    pthread_mutex_unlock (&agent->lock);
    return true;
}

/* So that the other side learns why it hears nothing else. */
static void answer_version (pxi_agent *agent, pxi_link link, const pxi_bytes *envelope)
{
    pxi_bytes *frame =
        pxi_codec_encode_refusal (pxi_bytes_data (envelope), pxi_bytes_size (envelope));
    if (frame)
        pxi_zmq_send (agent->transport, &(pxi_address){0}, link, &frame, 1);
}

/* True: it was no message of the protocol, and is dealt with. */
static bool take_status (pxi_agent *agent, pxi_link link, pxi_bytes *const *frames,
                         uint32_t n_frames)
{
    const pxi_bytes *envelope = frames[0];
    pxi_status_message status;
    px_err err =
        pxi_codec_peek_status (pxi_bytes_data (envelope), pxi_bytes_size (envelope), &status);
    if (err != PX_OK)
        return false;
    if (status.kind == PXI_STATUS_ASK)
        answer_status (agent, link, status.sequence);
    if (status.kind == PXI_TRACE && (n_frames != 2 || !pxi_tracing_receives (agent, frames[1])))
        refuse (agent, "records of a trace that are none");
    return true;
}

void pxi_mail_received (void *context, pxi_link link, pxi_bytes **frames, uint32_t n_frames)
{
    pxi_agent *agent = context;
    agent->activity++;
    char why[PX_WHY_SIZE];
    pxi_decoded decoded;
    if (!take_refusal (agent, link, frames[0]) && !take_status (agent, link, frames, n_frames)) {
        px_err err = pxi_codec_decode (pxi_bytes_data (frames[0]), pxi_bytes_size (frames[0]),
                                       n_frames - 1, &decoded, why);
        if (err == PX_OK) {
            deliver (agent, link, &decoded.message, frames + 1);
            pxi_codec_fini (&decoded);
        } else {
            refuse (agent, why);
            if (err == PX_EVERSION)
                answer_version (agent, link, frames[0]);
        }
    }
    pxi_bytes_release_all (frames, n_frames);
}

/* May be told while actions are carried out. Which peer it was does not matter to the core's
 * present rule (only silence counts), so none is looked up. */
void pxi_mail_unreachable (void *context, const pxi_address *address, pxi_link link)
{
    (void)link;
    pxi_agent *agent = context;
    char text[64] = "a peer that came by itself";
    if (address && address->kind)
        pxi_address_print (address, text);
    pxi_log (&agent->log, PX_LOG_DEBUG, "net", "%s cannot be reached now", text);
}

void pxi_mail_notice (void *context, int level, const char *text)
{
    pxi_agent *agent = context;
    pxi_log (&agent->log, (px_log_level)level, "net", "%s", text);
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static pxi_bytes *frame_of (const pxi_agent *agent, pxi_bytes *bytes)
{
    return pxi_bytes_acquire (bytes ? bytes : agent->empty);
}

/* Its specification only where it is not that of the attempt before. */
static uint32_t add_input (pxi_agent *agent, const pxi_message *message, uint32_t i,
                           pxi_bytes **frames)
{
    pxi_blob blob = pxi_blobs_get (&agent->blobs, message->attempts[i].blob);
    bool as_before =
        i && pxi_blobs_get (&agent->blobs, message->attempts[i - 1].blob).first == blob.first;
    frames[0] = frame_of (agent, as_before ? NULL : blob.first);
    frames[1] = frame_of (agent, blob.second);
    return 2;
}

static uint32_t add_pair (pxi_agent *agent, uint64_t handle, pxi_bytes **frames)
{
    pxi_blob blob = pxi_blobs_get (&agent->blobs, handle);
    frames[0] = frame_of (agent, blob.first);
    frames[1] = frame_of (agent, blob.second);
    return 2;
}

void pxi_mail_send (pxi_agent *agent, const pxi_action *action)
{
    const pxi_message *message = &action->message;
    pxi_tracing_sends (agent, action);
    pxi_bytes *frames[PXI_FRAMES_MAX];
    frames[0] = pxi_codec_encode (message);
    if (!frames[0])
        return; /* out of memory: as good as lost on the way */
    uint32_t n = 1;
    PXI_ASSERT (1 + 2 * (message->n_attempts + message->n_results) <= PXI_FRAMES_MAX);
    for (uint32_t i = 0; i < message->n_attempts; i++)
        n += add_input (agent, message, i, frames + n);
    for (uint32_t i = 0; i < message->n_results; i++)
        n += add_pair (agent, message->results[i].blob, frames + n);
    if (message->kind == PXI_SHARED && message->accepted)
        frames[n++] = frame_of (agent, pxi_blobs_get (&agent->blobs, message->blob).second);
    /* Two processes may claim one id for a while: a link leads to the one that it came from. */
    const pxi_seen *seen = pxi_mail_seen (agent, message->to);
    bool same = seen && seen->incarnation == message->to_incarnation;
    pxi_zmq_send (agent->transport, &action->address, same ? seen->link : 0, frames, n);
}
