/* What a client knows. Each request that waits for an answer stands in `expected`, in the order of
 * sending: the oldest has its time limit, counted from when it became the oldest, since the helper
 * takes them in this order and the others wait for it. */
#ifndef PXI_DEVICE_STATE_H
#define PXI_DEVICE_STATE_H

#include <peerexec/peer.h>

#include "base/digest.h"
#include "device/client.h"

/* Programs, shared inputs and chunks, each once. */
enum {
    PXI_DEVICE_EXPECTED_MAX = PXI_DEVICE_PROGRAMS_MAX + PXI_DEVICE_BUFFERS_MAX + PXI_DEVICE_SLOTS
};

typedef struct pxi_device_expected {
    uint32_t kind; /* of the request */
    uint64_t id;
    uint64_t limit_ns;
} pxi_device_expected;

typedef struct pxi_device_code {
    uint64_t id; /* 0 = free */
    pxi_digest digest;
    char *words[3]; /* options, kernel, file */
    uint32_t line;
    size_t source_size;
    pxi_device_memory source;
    uint64_t helper;     /* which of them has it; 0 = none */
    bool failed, cached; /* its build */
    uint64_t used;       /* by the count of uses: the least is forgotten first */
} pxi_device_code;

typedef struct pxi_device_kept {
    uint64_t id; /* 0 = free */
    pxi_device_memory memory;
    uint64_t helper;
    px_err err; /* why the device did not take it */
    char text[256];
} pxi_device_kept;

typedef enum pxi_device_slot_state {
    PXI_DEVICE_SLOT_FREE,
    PXI_DEVICE_SLOT_FILLING, /* the caller writes inputs */
    PXI_DEVICE_SLOT_WAITING, /* for a helper */
    PXI_DEVICE_SLOT_SENT,
    PXI_DEVICE_SLOT_ENDED, /* its completion waits to be given */
    PXI_DEVICE_SLOT_READ,  /* the caller reads outputs */
} pxi_device_slot_state;

typedef struct pxi_device_place {
    pxi_device_slot_state state;
    pxi_device_memory memory;
    uint64_t helper; /* which has its memory */
    uint64_t id;     /* of the chunk: also the order of running */
    pxi_device_run_spec run;
    pxi_device_completion completion;
    uint64_t ended; /* order of completions */
    char text[PXI_DEVICE_TEXT_SIZE];
} pxi_device_place;

struct pxi_device_client {
    pxi_device_client_config config;
    char *path, *cache;
    int epoll_fd;
    pxi_device_process process;
    pxi_device_state state;
    pxi_device_info info;
    uint64_t helper; /* counts helpers: what an earlier one had, this one has not */
    uint64_t starting_until_ns;
    uint64_t quarantined_until_ns, quarantine_ns;
    uint32_t failures;  /* in a row */
    uint64_t timed_out; /* id of what took too long, in the helper that is ending; 0 = nothing */
    bool was_ready, reason_is_told; /* of this helper */
    bool convicted;                 /* it computes what is wrong, as reason says */
    char reason[PX_WHY_SIZE];
    uint64_t ids, uses, ends;
    uint32_t n_expected;
    uint64_t oldest_since_ns;
    pxi_device_expected expected[PXI_DEVICE_EXPECTED_MAX];
    pxi_device_code codes[PXI_DEVICE_PROGRAMS_MAX];
    pxi_device_kept kept[PXI_DEVICE_BUFFERS_MAX];
    pxi_device_place places[PXI_DEVICE_SLOTS];
};

/* NULL where there is none (id 0: a free one). */
pxi_device_code *pxi_device_code_find (pxi_device_client *client, uint64_t id);
pxi_device_kept *pxi_device_kept_find (pxi_device_client *client, uint64_t id);

/* Whether a shared input is an argument of a chunk. */
bool pxi_device_uses (const pxi_device_place *place, uint64_t kept);

/* A request to the helper there is; false: it takes no more, and is of no use. */
bool pxi_device_request (pxi_device_client *client, const pxi_device_message *message, int memory);
/* Ends a chunk: its completion is given by pxi_device_next (). */
void pxi_device_end (pxi_device_client *client, pxi_device_place *place, px_err err,
                     const char *text);

void pxi_device_resources_free (pxi_device_client *client);

#endif
