/* A job as its application sees it: shared by the application's threads and the loop, which brings
 * its outcome. Counted: it outlives the peer if the application keeps its handle. */
#ifndef PXI_AGENT_ROOT_H
#define PXI_AGENT_ROOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <peerexec/job.h>

#include "base/list.h"
#include "core/message.h"
#include "exec/port.h"
#include "module/load.h"
#include "wire/chain.h"
#include "wire/trace.h"

enum {
    PXI_TRACE_MAX = 65536, /* records kept of one traced job (6 MiB); the rest is counted */
    PXI_FULL_NAME_SIZE = 2 * (PX_NAME_SIZE_MAX + 1),
};

struct pxi_agent;

typedef struct pxi_root {
    atomic_uint references;
    /* Fixed before it is submitted. */
    pxi_job_id id;
    const pxi_module *module; /* the peer's: gone when it is closed */
    char module_name[PXI_NAME_SIZE], task_name[PXI_NAME_SIZE];
    uint32_t task;
    pxi_bytes *input, *spec;
    uint64_t timeout_ns, started_ns;
    bool trace;
    char **task_names; /* for the trace: a copy; NULL without */
    uint32_t n_task_names;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under lock. */
    struct pxi_agent *agent; /* NULL: the peer is closed */
    bool done;
    px_outcome outcome;
    pxi_bytes *value;
    pxi_chain chain;
    px_failure own_failure; /* where there is no chain */
    char message[PX_WHY_SIZE], full_name[PXI_FULL_NAME_SIZE], peer_name[PXI_NAME_SIZE];
    px_job_progress progress;
    pxi_traced *traced;
    uint32_t n_traced, traced_capacity;
    uint64_t n_left_out;
    uint32_t n_sent, n_ran; /* the root and its attempts elsewhere; those whose run is recorded */
    bool trace_written;     /* just now: not to be touched */
    bool trace_over;        /* nobody will ask for it any more */
} pxi_root;

/* One reference, the caller's. NULL: out of memory. */
pxi_root *pxi_root_new (const pxi_module *module, uint32_t task, bool trace);
pxi_root *pxi_root_acquire (pxi_root *root);
/* NULL is fine. */
void pxi_root_release (pxi_root *root);

/* The outcome, once: later ones are dropped. Takes the outcome's references. `message` says what
 * happened where there is no chain; it may be NULL for PX_OK. */
void pxi_root_finish (pxi_root *root, pxi_outcome *outcome, const char *peer_name,
                      const char *message);
bool pxi_root_is_done (pxi_root *root);
/* PX_ETIMEOUT, or PX_OK and *outcome is filled. deadline_ns: 0 = poll. */
px_err pxi_root_wait (pxi_root *root, uint64_t deadline_ns, px_outcome *outcome);
size_t pxi_root_shares (pxi_root *root, px_job_share *shares, size_t n_max);
size_t pxi_root_points (pxi_root *root, px_job_point *points, size_t n_max);
void pxi_root_trace_begin (pxi_root *root, const char *peer_name);
/* Any thread, also when it is done. */
void pxi_root_trace_add (pxi_root *root, const pxi_traced *record);
void pxi_root_trace_left_out (pxi_root *root, uint64_t n);
/* Waits a moment for what was cancelled last. PX_ESTATE not traced; PX_ESYSTEM; PX_ENOMEM. */
px_err pxi_root_trace_write (pxi_root *root, const char *path);
/* Nobody will ask for it: its memory is freed, and what still comes is dropped. */
void pxi_root_trace_end (pxi_root *root);

#endif
