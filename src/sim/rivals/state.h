/* What one run holds, and what the files of a policy call in the engine. */
#ifndef PXI_SIM_RIVALS_STATE_H
#define PXI_SIM_RIVALS_STATE_H

#include "base/assert.h"
#include "base/heap.h"
#include "base/prng.h"
#include "sim/rivals/rivals.h"

typedef struct pxi_rival_entry { /* of a queue: a task, or a reservation */
    uint32_t job, index;
} pxi_rival_entry;

typedef struct pxi_rival_queue { /* a ring; first in first out unless said otherwise */
    pxi_rival_entry *entries;
    uint32_t first, n, capacity; /* capacity: 0 or a power of two */
} pxi_rival_queue;

typedef enum pxi_rival_alarm_kind { PXI_RIVAL_END, PXI_RIVAL_AGAIN } pxi_rival_alarm_kind;

typedef struct pxi_rival_alarm { /* of a slot (a task ends) or of a peer (ask again) */
    pxi_heap_node node;
    uint32_t peer;
    pxi_rival_alarm_kind kind;
} pxi_rival_alarm;

typedef struct pxi_rival_peer {
    pxi_rival_queue queue;
    uint32_t n_free, n_held; /* held: for a task that was asked for */
    pxi_rival_alarm again;
    uint32_t n_tries; /* in vain, since it had work */
    bool asking;
} pxi_rival_peer;

typedef struct pxi_rival_job {
    uint32_t n_handed, n_started, n_answers; /* handed: out of the job's own order of tasks */
    uint32_t n_probes;
    uint32_t *probed; /* peers; PXI_RIVAL_ANSWERED; owned */
    uint32_t *loads;  /* their answers; owned */
    uint64_t end_ns;
} pxi_rival_job;

#define PXI_RIVAL_ANSWERED UINT32_MAX

typedef enum pxi_rival_word {
    PXI_RIVAL_TASK,
    PXI_RIVAL_PROBE,
    PXI_RIVAL_LOAD, /* the answer */
    PXI_RIVAL_GET,  /* a slot is free for you */
    PXI_RIVAL_NONE, /* there is nothing left to do */
    PXI_RIVAL_CANCELLED,
    PXI_RIVAL_FREED,
    PXI_RIVAL_FULL,
    PXI_RIVAL_STEAL,
    PXI_RIVAL_STOLEN, /* one of a reply's tasks that is not its last */
} pxi_rival_word;

typedef struct pxi_rival_message {
    uint64_t at_ns, sequence;
    pxi_rival_word word;
    uint32_t peer; /* that it comes to or from */
    uint32_t job, index, value;
} pxi_rival_message;

typedef struct pxi_rivals pxi_rivals;

typedef struct pxi_rival_policy {
    void (*arrived) (pxi_rivals *rivals, uint32_t job);
    void (*heard) (pxi_rivals *rivals, const pxi_rival_message *message);
    void (*freed) (pxi_rivals *rivals, uint32_t peer); /* a task ended there */
    void (*again) (pxi_rivals *rivals, uint32_t peer); /* its alarm fired; NULL: sets none */
    void (*begin) (pxi_rivals *rivals);                /* NULL: nothing */
} pxi_rival_policy;

struct pxi_rivals {
    const pxi_rival_config *config;
    const pxi_rival_policy *policy;
    const pxi_stream *stream;
    pxi_rival_report report;
    pxi_prng prng;
    uint64_t now_ns, sequence;
    pxi_heap heap;
    /* Every message takes the same time, so they arrive in the order of sending: no heap. */
    pxi_rival_message *lane;
    uint32_t lane_first, lane_n, lane_capacity;
    uint32_t next_job, n_placed, n_wanted;
    pxi_rival_job *jobs;
    pxi_rival_peer *peers;
    pxi_rival_alarm *slots;
    uint32_t *order; /* a permutation of the peers, for drawing without replacement */
    uint32_t order_used;
    pxi_rival_queue queue, idle; /* CENTRAL: tasks; slots, by their peers */
    bool out_of_memory;
};

extern const pxi_rival_policy pxi_rival_central, pxi_rival_random, pxi_rival_sampling,
    pxi_rival_late, pxi_rival_ask, pxi_rival_steal;

void pxi_rival_push (pxi_rivals *rivals, pxi_rival_queue *queue, pxi_rival_entry entry);
pxi_rival_entry pxi_rival_shift (pxi_rival_queue *queue); /* the oldest */
pxi_rival_entry pxi_rival_pop (pxi_rival_queue *queue);   /* the newest */
/* Take one out of the middle; false: not in it. */
bool pxi_rival_remove (pxi_rival_queue *queue, pxi_rival_entry entry);

/* One more message; arrives in one hop. */
void pxi_rival_send (pxi_rivals *rivals, pxi_rival_word word, uint32_t peer, uint32_t job,
                     uint32_t index, uint32_t value);
/* The same, but part of the message that follows. */
void pxi_rival_send_with (pxi_rivals *rivals, pxi_rival_word word, uint32_t peer, uint32_t job,
                          uint32_t index);
void pxi_rival_alarm_set (pxi_rivals *rivals, pxi_rival_alarm *alarm, uint64_t at_ns);
/* In a free slot of the peer. */
void pxi_rival_start (pxi_rivals *rivals, uint32_t peer, uint32_t job, uint32_t task);
/* The next peer of a draw without replacement, begun by pxi_rival_draw_begin (). */
void pxi_rival_draw_begin (pxi_rivals *rivals);
uint32_t pxi_rival_draw (pxi_rivals *rivals);
uint32_t pxi_rival_any_peer (pxi_rivals *rivals);
/* As many as the ratio says. */
uint32_t pxi_rival_n_probes (const pxi_rivals *rivals);

#endif
