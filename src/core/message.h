/* What peers say to each other, as the core sees it: ids, sizes, digests; never payload bytes.
 * The codec (wire/codec) turns these into protobuf and back and checks every limit.
 * Times are durations (remaining), never clock readings. Arrays belong to whoever made the message
 * and live until the step that they are handed to, or came from, is over. */
#ifndef PXI_CORE_MESSAGE_H
#define PXI_CORE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/limits.h"

typedef struct pxi_address {
    uint8_t kind; /* 0 = none, 4 = TCP over IPv4, 6 = TCP over IPv6 */
    uint8_t reserved;
    uint16_t port;  /* host order */
    uint8_t ip[16]; /* network order; IPv4 in the first four */
} pxi_address;

static inline bool pxi_address_same (const pxi_address *a, const pxi_address *b)
{
    size_t size = a->kind == 4 ? 4 : a->kind == 6 ? 16 : 0;
    return a->kind == b->kind &&
           (size == 0 || (a->port == b->port && memcmp (a->ip, b->ip, size) == 0));
}

/* Every address of its host. */
static inline bool pxi_address_is_wildcard (const pxi_address *address)
{
    static const uint8_t zero[16];
    return memcmp (address->ip, zero, address->kind == 6 ? 16 : 4) == 0;
}

static inline bool pxi_address_is_loopback (const pxi_address *address)
{
    static const uint8_t six[16] = {[15] = 1};
    return address->kind == 4 ? address->ip[0] == 127
                              : address->kind == 6 && memcmp (address->ip, six, sizeof six) == 0;
}

/* Flags of a peer. DEVICES: it has some that may be asked for. */
enum {
    PXI_PEER_LEAVING = 1,
    PXI_PEER_SURPLUS = 2,
    PXI_PEER_MORE_MODULES = 4,
    PXI_PEER_DEVICES = 8,
};

typedef struct pxi_peer_record {
    uint64_t id;          /* of the name when one was given, random otherwise; never 0 */
    uint64_t incarnation; /* rises at each start of the same id */
    pxi_address address;  /* kind 0: cannot be reached first, only answered */
    uint16_t slots;
    uint16_t flags;
    uint32_t n_modules;
    uint64_t modules[PXI_PEER_MODULES_MAX]; /* first 8 bytes of each digest, big endian */
    char name[PXI_NAME_SIZE];
} pxi_peer_record;

typedef struct pxi_job_id {
    uint64_t origin; /* id of the peer where the root runs */
    uint64_t number; /* unique there: incarnation and count mixed */
} pxi_job_id;

static inline bool pxi_same_job (pxi_job_id a, pxi_job_id b)
{
    return a.origin == b.origin && a.number == b.number;
}

/* What all subtasks of a branch are given, by its content: the first 16 bytes of its digest, big endian, and its
 * size. */
typedef struct pxi_shared_name {
    uint64_t digest[2];
    uint32_t size_bytes; /* 0 = none */
} pxi_shared_name;

static inline bool pxi_same_shared (const pxi_shared_name *a, const pxi_shared_name *b)
{
    return a->digest[0] == b->digest[0] && a->digest[1] == b->digest[1] &&
           a->size_bytes == b->size_bytes;
}

/* One attempt of one subtask. `subtask` is unique at its master (peer and incarnation). */
typedef struct pxi_key {
    uint64_t subtask;
    uint32_t attempt; /* from 1 */
} pxi_key;

typedef struct pxi_attempt {
    pxi_key key;
    pxi_job_id job;
    uint64_t module;     /* as in pxi_peer_record */
    uint32_t task;       /* index in the module */
    uint32_t size_bytes; /* of the payload that goes with it */
    uint64_t
        blob; /* local handle of that payload; not on the wire. At a receiver: the received one */
    pxi_shared_name shared; /* its branch's; does not go with it */
    uint64_t shared_blob;   /* local handle of that; not on the wire. 0 = not here */
    uint64_t digest;  /* of the payload, by the driver: see pxi_core_remembers (). 0 = not known */
    uint64_t n_items; /* a chunk of a range: how many indices it has. 0 = no chunk */
    uint32_t device;  /* where it runs at its worker: 0 = a slot, in C; from 1: that device */
} pxi_attempt;

/* What became of an attempt, as its worker says. Values are on the wire. */
typedef enum pxi_result {
    PXI_RESULT_OK = 0,
    PXI_RESULT_FAILED = 1,   /* the task returned an error: a result like any other */
    PXI_RESULT_CRASHED = 2,  /* it took its process with it */
    PXI_RESULT_LOST = 3,     /* lost without its own fault (its process died of another attempt) */
    PXI_RESULT_RETURNED = 4, /* not started: handed back */
    PXI_RESULT_CANNOT = 5,   /* module or task missing there */
} pxi_result;

/* What came of one attempt, worker to master. */
typedef struct pxi_returned {
    pxi_key key;
    pxi_result result;
    uint32_t size_bytes;
    uint64_t run_ns;
    uint64_t blob;   /* local handle of the payload; not on the wire */
    uint32_t device; /* that it was done on, or that failed it; 0 = a slot */
    bool first;      /* something was compiled in it: its time says nothing of the next */
} pxi_returned;

typedef struct pxi_report { /* of one attempt in hand, worker to master */
    pxi_key key;
    uint64_t run_ns;   /* since it started there */
    uint64_t progress; /* subtasks done below it */
} pxi_report;

#define PXI_MESSAGES(X)                                                                            \
    X (HELLO, 1)   /* to an address: here I am; answered by WELCOME or REFUSED */                  \
    X (WELCOME, 2) /* own record first, then a sample of the view */                               \
    X (GOSSIP, 3)  /* own record first, then a sample; answered by GOSSIP_REPLY */                 \
    X (GOSSIP_REPLY, 4)                                                                            \
    X (LEAVE, 5)      /* to view and relations: no new work; goes away when it has finished */     \
    X (REFUSED, 6)    /* you cannot be here: err says why */                                       \
    X (PROBE, 7)      /* busy or free? May carry one attempt inline */                             \
    X (OFFER, 8)      /* free: a lease for n_slots. To a probe, to a reservation, or unasked */    \
    X (BUSY, 9)       /* to a probe; flag reserved says that a reservation was kept */             \
    X (CANNOT, 10)    /* to a probe: module missing, or leaving */                                 \
    X (DISPATCH, 11)  /* attempts under a lease */                                                 \
    X (DECLINE, 12)   /* gives back a lease (lease != 0) or a reservation (probe != 0) */          \
    X (RESULT, 13)    /* of attempts */                                                            \
    X (CANCEL, 14)    /* attempts no longer wanted */                                              \
    X (HANDSHAKE, 15) /* master: what I believe you have of mine */                                \
    X (HANDSHAKE_ACK, 16) /* worker: what I have of yours */                                       \
    X (FETCH, 17)         /* worker: a shared input that attempts of yours need */                 \
    X (SHARED, 18)        /* to a FETCH: it, or that it is not here any more */

typedef enum pxi_message_kind {
#define PXI_MESSAGES_ENUM(name, value) PXI_##name = value,
    PXI_MESSAGES (PXI_MESSAGES_ENUM)
#undef PXI_MESSAGES_ENUM
} pxi_message_kind;

#define PXI_MESSAGE_LAST PXI_SHARED

/* Which fields each kind uses:
 *   HELLO, WELCOME        records (own first), sequence: a WELCOME repeats that of the HELLO that it answers
 *   GOSSIP, GOSSIP_REPLY  records (own first)
 *   LEAVE                 -
 *   REFUSED               err
 *   PROBE                 probe, job, module, n_slots (wanted), reserve, has_inline and then attempts,
 *                         duration_ns (what each of them takes, about; 0 = not known)
 *                         for a device instead: for_device, task, n_items (that wait to be cut), and neither
 *                         reserve nor attempts
 *   OFFER                 probe (0 = unasked), lease (0 when n_slots = 0), n_slots, duration_ns (lease),
 *                         accepted (the attempts that rode along were taken), job;
 *                         of a device: device, speed (told, where known), queue_ns, device_class,
 *                         memory_bytes
 *   BUSY                  probe, reserve (a reservation was kept), duration_ns (retry after)
 *   CANNOT                probe, err, duration_ns (do not ask sooner)
 *   DISPATCH              lease, attempts
 *   DECLINE               lease, probe, job; or device: of the receiver, computes what C does not
 *   RESULT                results, n_slots (free there now; a hint)
 *   CANCEL, HANDSHAKE     keys; HANDSHAKE also sequence
 *   HANDSHAKE_ACK         reports, sequence
 *   FETCH                 shared
 *   SHARED                shared, accepted (its bytes come with it: blob)
 */
typedef struct pxi_message {
    pxi_message_kind kind;
    uint64_t from, from_incarnation; /* sender */
    uint64_t to, to_incarnation;     /* 0 = whoever is at the address (HELLO) */

    uint64_t probe;
    uint64_t lease;
    pxi_job_id job;
    uint64_t module;
    uint64_t duration_ns;
    uint64_t sequence;
    uint32_t n_slots;
    uint32_t err; /* px_err */
    bool reserve, has_inline, accepted, for_device;
    uint32_t task, device, device_class;
    uint64_t n_items, memory_bytes;
    uint64_t fixed_ns, item_cost; /* as in pxi_speed; item_cost 0 = not known */
    uint64_t queue_ns;            /* until it has done what it has, as estimated */

    uint64_t blob; /* local handle of the shared input */
    pxi_shared_name shared;

    uint32_t n_records, n_attempts, n_keys, n_reports, n_results;
    const pxi_peer_record *records;
    const pxi_attempt *attempts;
    const pxi_key *keys;
    const pxi_report *reports;
    const pxi_returned *results;
} pxi_message;

const char *pxi_message_name (pxi_message_kind kind);

#endif
