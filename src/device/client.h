/* A device, as its peer sees it: chunks go in, completions come out, and behind it a helper process is
 * started, fed, timed, ended and started again. A state machine without a clock: the time is handed in,
 * and it says when it wants to be called next. One thread; nothing blocks, but for the death of a helper
 * that was killed.
 *
 *     program = pxi_device_program (client, &spec)          built at the first run, once per helper
 *     kept    = pxi_device_keep (client, bytes)             a shared input: goes over once
 *     pxi_device_slot (client, size, &slot, &data)          write the chunk's inputs at data
 *     pxi_device_run (client, slot, &run, now)
 *     poll pxi_device_fd () until pxi_device_wake_ns (), then pxi_device_step (client, now)
 *     while (pxi_device_next (client, &completion))         read the outputs at data
 *         pxi_device_slot_release (client, completion.slot)
 *
 * A helper that dies or takes too long is an error of the chunks in it, and is replaced. Three in a row
 * put the device into quarantine for a while that doubles, and so does a wrong result
 * (pxi_device_convict ()); a chunk that succeeds ends the row. */
#ifndef PXI_DEVICE_CLIENT_H
#define PXI_DEVICE_CLIENT_H

#include <peerexec/peer.h>

#include "device/message.h"
#include "device/process.h"

enum { PXI_DEVICE_FAILURES_MAX = 3 };

typedef struct pxi_device_client pxi_device_client;

typedef struct pxi_device_client_config {
    pxi_device_program_config program; /* strings are copied */
    uint32_t device;                   /* index, as found */
    uint64_t start_ns;                 /* to open a device: drivers of GPUs take seconds */
    uint64_t build_ns;      /* to compile a kernel, or wait while another peer of this host does */
    uint64_t quarantine_ns; /* the first time; twice as long after each further one */
} pxi_device_client_config;

pxi_device_client_config pxi_device_client_config_default (void);

typedef enum pxi_device_state {
    PXI_DEVICE_OFF,         /* no helper: the next step starts one */
    PXI_DEVICE_STARTING,    /* it opens the device */
    PXI_DEVICE_READY,       /* it takes chunks */
    PXI_DEVICE_ENDING,      /* killed: its death is awaited */
    PXI_DEVICE_QUARANTINED, /* for a while no helper: see reason */
    PXI_DEVICE_ABSENT,      /* for good: no such device, or no helper program; see reason */
} pxi_device_state;

/* Copied, also what it points to. */
typedef struct pxi_device_program_spec {
    const char *source;
    const char *kernel;
    const char *options; /* of the compiler; NULL = none */
    const char *file; /* where the source stands, for the compiler's messages; NULL = not known */
    uint32_t line;
} pxi_device_program_spec;

typedef struct pxi_device_run_spec {
    uint64_t program;
    uint64_t n_items;  /* work items, not 0 */
    uint64_t limit_ns; /* from when it is the oldest that the helper has */
    uint64_t context;  /* the caller's */
    uint32_t n_args;
    pxi_device_arg args[PXI_DEVICE_ARGS_MAX];
} pxi_device_run_spec;

/* err is PX_OK; PX_EFAILED the kernel does not compile (program_failed: it never will here) or failed;
 * PX_ETOOBIG it does not fit the device; PX_ECRASH it was in a helper that died; PX_ETIMEOUT it took too
 * long; PX_ELOST the helper was ended because of another chunk; PX_ESTATE the device is in quarantine;
 * PX_ENOMODULE absent. */
typedef struct pxi_device_completion {
    uint32_t slot;
    uint64_t context;
    px_err err;
    bool program_failed;
    bool cached; /* the kernel came from the cache: nobody compiled it for this helper */
    bool first;  /* something was compiled: the times say nothing of the next chunk */
    /* In the helper: copies and kernel, from when no chunk was before it any more; the kernel alone, 0 = the
       device does not tell. */
    uint64_t total_ns, kernel_ns;
    const char *text; /* why, or the compiler's log; until the slot is released */
} pxi_device_completion;

/* NULL when out of memory or descriptors. No helper is started before the first step. */
pxi_device_client *pxi_device_client_new (const pxi_device_client_config *config);
/* Ends the helper. Slots and completions are gone. */
void pxi_device_client_free (pxi_device_client **client_p);

int pxi_device_fd (const pxi_device_client *client); /* the same for all its life */
/* When to step though nothing is readable; UINT64_MAX = never. */
uint64_t pxi_device_wake_ns (const pxi_device_client *client);
void pxi_device_step (pxi_device_client *client, uint64_t now_ns);
/* False: none. Each is given once. */
bool pxi_device_next (pxi_device_client *client, pxi_device_completion *completion);

/* What it computes is wrong, as `why` says: into quarantine at once; what is in it ends with PX_ESTATE. */
void pxi_device_convict (pxi_device_client *client, const char *why, uint64_t now_ns);

pxi_device_state pxi_device_client_state (const pxi_device_client *client);
const char *
pxi_device_reason (const pxi_device_client *client); /* of the last failure; "" = none */
/* The device, once it was READY; all 0 before. */
const pxi_device_info *pxi_device_client_info (const pxi_device_client *client);
/* 0 = none: for tests, and for people. */
pid_t pxi_device_pid (const pxi_device_client *client);

/* PX_EINVAL no source or kernel, or names that are too long; PX_EFULL all are in use; PX_ENOMEM;
 * PX_ESYSTEM. The same specification is the same program. */
px_err pxi_device_program (pxi_device_client *client, const pxi_device_program_spec *spec,
                           uint64_t *program);
/* Copies the bytes into shared memory. PX_EFULL; PX_ESYSTEM. */
px_err pxi_device_keep (pxi_device_client *client, const void *data, size_t size, uint64_t *kept);
/* PX_ESTATE: a chunk uses it; PX_ESTALE. */
px_err pxi_device_drop (pxi_device_client *client, uint64_t kept);

/* A free slot of at least `size` bytes, the caller's until it is run or released. PX_EFULL none is
 * free: wait for a completion; PX_ESYSTEM; and why the device takes none: PX_ESTATE, PX_ENOMODULE. */
px_err pxi_device_slot (pxi_device_client *client, size_t size, uint32_t *slot, void **data);
void pxi_device_slot_release (pxi_device_client *client, uint32_t slot);
/* PX_EINVAL what it names is not there or does not fit the slot: nothing has changed. Otherwise one
 * completion will come. */
px_err pxi_device_run (pxi_device_client *client, uint32_t slot, const pxi_device_run_spec *run,
                       uint64_t now_ns);

/* ---- finding devices ---------------------------------------------------------------------------- */

typedef struct pxi_device_finder {
    pxi_device_process process;
    uint64_t deadline_ns;
    bool done;
    uint32_t n_devices;
    pxi_device_info devices[PXI_HOST_DEVICES_MAX];
    char reason[PX_WHY_SIZE]; /* why there is none */
} pxi_device_finder;

/* Done at once where no helper can be started. */
void pxi_device_finder_start (pxi_device_finder *finder, const pxi_device_program_config *config,
                              uint64_t now_ns, uint64_t limit_ns);
/* When finder->process.fd is readable, or at deadline_ns. Sets done. */
void pxi_device_finder_step (pxi_device_finder *finder, uint64_t now_ns);
void pxi_device_finder_end (pxi_device_finder *finder);

#endif
