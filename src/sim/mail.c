/* Messages on their way: wrapped with their payloads into one piece, through the codec where a test or a
 * tool brings it, then lost, doubled, refused or late as the network says. */
#include <stdlib.h>
#include <string.h>

#include "sim/state.h"

static pxi_sim_peer *peer_at (pxi_world *world, const pxi_action *send)
{
    const pxi_address *address = &send->address;
    uint64_t index = send->message.to - 1; /* by the link it came from */
    if (address->kind)
        index = (uint64_t)address->ip[1] << 16 | (uint64_t)address->ip[2] << 8 | address->ip[3];
    return index < world->config.n_peers ? &world->peers[index] : NULL;
}

/* ---- parcels ---------------------------------------------------------------------------------- */

static size_t padded (size_t size)
{
    return (size + 15) & ~(size_t)15;
}

static void *place (char **at, const void *array, size_t size)
{
    void *placed = *at;
    if (size)
        memcpy (placed, array, size);
    *at += padded (size);
    return placed;
}

static pxi_payload payload_of (pxi_sim_peer *from, uint64_t blob, const char *what)
{
    const pxi_payload *payload = pxi_map_pointer (&from->blobs, blob);
    if (!payload) {
        pxi_check_broken (from->world, from, "%s sent without its payload", what);
        return (pxi_payload){0};
    }
    return *payload;
}

static uint32_t n_payloads_of (const pxi_message *message)
{
    return message->kind == PXI_SHARED ? message->blob != 0
                                       : message->n_attempts + message->n_results;
}

static uint64_t blob_of (const pxi_message *message, uint32_t i)
{
    return message->n_attempts  ? message->attempts[i].blob
           : message->n_results ? message->results[i].blob
                                : message->blob;
}

/* Payloads are found by the blobs of `sent`, which is the same message before its way. One that was damaged
 * may have more attempts or results than came with it: theirs are empty. */
static pxi_parcel *parcel_new (pxi_sim_peer *from, uint32_t to, const pxi_message *message,
                               const pxi_message *sent)
{
    uint32_t n_sent = n_payloads_of (sent);
    uint32_t n_arrived = n_payloads_of (message),
             n_payloads = n_arrived > n_sent ? n_arrived : n_sent;
    size_t records = message->n_records * sizeof *message->records;
    size_t attempts = message->n_attempts * sizeof *message->attempts;
    size_t keys = message->n_keys * sizeof *message->keys;
    size_t reports = message->n_reports * sizeof *message->reports;
    size_t results = message->n_results * sizeof *message->results;
    size_t size = padded (sizeof (pxi_parcel)) + padded (records) + padded (attempts) +
                  padded (keys) + padded (reports) + padded (results) +
                  n_payloads * sizeof (pxi_payload);
    pxi_parcel *parcel = malloc (size);
    PXI_ASSERT (parcel);
    *parcel = (pxi_parcel){.from = from->index, .to = to, .message = *message, .size = size};
    char *at = (char *)parcel + padded (sizeof *parcel);
    parcel->message.records = place (&at, message->records, records);
    parcel->attempts = place (&at, message->attempts, attempts);
    parcel->message.attempts = parcel->attempts;
    parcel->message.keys = place (&at, message->keys, keys);
    parcel->message.reports = place (&at, message->reports, reports);
    parcel->results = place (&at, message->results, results);
    parcel->message.results = parcel->results;
    parcel->payloads = (pxi_payload *)at;
    parcel->n_payloads = n_payloads;
    parcel->message.blob = 0;
    for (uint32_t i = 0; i < n_payloads; i++) {
        uint64_t blob = i < n_sent ? blob_of (sent, i) : 0;
        parcel->payloads[i] = (pxi_payload){0};
        if (blob)
            parcel->payloads[i] = payload_of (from, blob, pxi_message_name (sent->kind));
        if (i < message->n_results)
            parcel->results[i].blob = blob != 0;
    }
    return parcel;
}

static void *moved (const pxi_parcel *parcel, pxi_parcel *copy, const void *array)
{
    return (char *)copy + ((const char *)array - (const char *)parcel);
}

pxi_parcel *pxi_mail_copy (const pxi_parcel *parcel)
{
    pxi_parcel *copy = malloc (parcel->size);
    PXI_ASSERT (copy);
    memcpy (copy, parcel, parcel->size);
    copy->alarm = (pxi_alarm){.kind = PXI_ALARM_MESSAGE};
    copy->attempts = moved (parcel, copy, parcel->attempts);
    copy->payloads = moved (parcel, copy, parcel->payloads);
    copy->message.attempts = copy->attempts;
    copy->message.records = moved (parcel, copy, parcel->message.records);
    copy->message.keys = moved (parcel, copy, parcel->message.keys);
    copy->message.reports = moved (parcel, copy, parcel->message.reports);
    copy->results = moved (parcel, copy, parcel->results);
    copy->message.results = copy->results;
    return copy;
}

/* About what it takes on a wire. */
static uint64_t size_of (const pxi_parcel *parcel)
{
    const pxi_message *message = &parcel->message;
    uint64_t size_bytes = 64 + 100 * message->n_records + 60 * message->n_attempts +
                          16 * message->n_keys + 24 * message->n_reports + 24 * message->n_results;
    for (uint32_t i = 0; i < parcel->n_payloads; i++)
        size_bytes += parcel->payloads[i].size_bytes;
    return size_bytes;
}

/* ---- the way ---------------------------------------------------------------------------------- */

/* NULL: it did not survive. That is the codec's fault, unless it was damaged. */
static const pxi_message *carried (pxi_world *world, pxi_sim_peer *from, const pxi_message *message)
{
    const pxi_world_config *config = &world->config;
    if (!config->carry)
        return message;
    uint64_t damage = 0;
    if (!world->calm && pxi_prng_chance (&world->damage_prng, config->damage_ppm))
        damage = pxi_prng_next (&world->damage_prng) | 1;
    const pxi_message *arrived =
        config->carry (config->carry_context, message, n_payloads_of (message), damage);
    world->n_damaged += damage != 0;
    /* A sample of the view without a record: there was no memory for one. */
    if (!arrived && !damage && !config->short_of_memory)
        pxi_check_broken (world, from, "%s does not survive its way",
                          pxi_message_name (message->kind));
    if (arrived && damage && !world->corrupted) {
        world->corrupted = true;
        pxi_world_say (world, "net", "a damaged %s is taken for a whole one",
                       pxi_message_name (message->kind));
    }
    return arrived;
}

pxi_parcel *pxi_mail_wrap (pxi_sim_peer *from, const pxi_sim_peer *to, const pxi_message *message)
{
    const pxi_message *arrived = carried (from->world, from, message);
    return arrived ? parcel_new (from, to->index, arrived, message) : NULL;
}

static void post_copy (pxi_world *world, pxi_parcel *parcel, uint64_t at_ns)
{
    pxi_alarm_set (&world->time, &parcel->alarm, PXI_ALARM_MESSAGE, parcel, at_ns);
    uint64_t took_ns = at_ns - world->time.now_ns;
    world->slowest_ns = took_ns > world->slowest_ns ? took_ns : world->slowest_ns;
    if (!world->calm && at_ns > world->last_arrival_ns)
        world->last_arrival_ns = at_ns;
}

void pxi_mail_post (pxi_world *world, pxi_parcel *parcel)
{
    static const char *const fates[] = {"", " (lost)", " (cut)", " (queue full)"};
    if (!parcel)
        return;
    pxi_sim_peer *from = &world->peers[parcel->from];
    pxi_route route = pxi_network_route (&world->network, parcel->from, parcel->to,
                                         world->time.now_ns, size_of (parcel));
    if (world->config.network_lines)
        pxi_world_say (world, "net", "%s %s -> %s%s%s", pxi_message_name (parcel->message.kind),
                       from->name, world->peers[parcel->to].name, fates[route.kind],
                       route.n > 1 ? " (twice)" : "");
    if (route.kind == PXI_ROUTE_FULL)
        pxi_sim_peer_unreachable (from, &world->peers[parcel->to]);
    if (route.n > 1)
        post_copy (world, pxi_mail_copy (parcel), route.at_ns[1]);
    if (route.n)
        post_copy (world, parcel, route.at_ns[0]);
    else
        free (parcel);
}

void pxi_world_send (pxi_world *world, pxi_sim_peer *from, const pxi_action *action)
{
    const pxi_message *message = &action->message;
    pxi_sim_peer *to = peer_at (world, action);
    world->n_messages[message->kind]++;
    if (!to)
        pxi_check_broken (world, from, "%s to nobody", pxi_message_name (message->kind));
    else if (world->config.peers[from->index].liar && !world->calm)
        pxi_liar_send (from, to, message);
    else
        pxi_mail_post (world, pxi_mail_wrap (from, to, message));
}
