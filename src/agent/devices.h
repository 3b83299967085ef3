/* The devices of a peer: a client for each that was chosen, and what runs on it. Shared by devices.c, which
 * keeps them, device_runs.c, which runs chunks on them, and report.c. All of it is the loop's, but for the opening. */
#ifndef PXI_AGENT_DEVICES_H
#define PXI_AGENT_DEVICES_H

#include "agent/state.h"
#include "device/client.h"

enum {
    PXI_DEVICE_CHUNKS =
        2, /* that a device takes at once: one computes, the next is on its way; the third slot is read */
    PXI_DEVICE_TASKS_MAX = 32, /* whose rates and failures a device remembers */
};

/* What a device has done of a task. */
typedef struct pxi_device_task {
    const pxi_module *module; /* NULL = free */
    uint32_t task;
    uint64_t used; /* by the device's count of uses: the least is forgotten first */
    uint64_t n_chunks, n_items;
    uint64_t chunk_items, chunk_ns; /* averaged over the last ones: its rate. 0 = not known */
    uint32_t n_failures;            /* in a row; several of one death count once */
    uint64_t failed_at;             /* the pass of the last one */
    char why[PX_WHY_SIZE];          /* of the last one */
} pxi_device_task;

/* A part of a branch's shared input that is on the device: the place of some bytes in what is named. */
typedef struct pxi_device_shared {
    uint64_t kept; /* 0 = free */
    pxi_shared_name name;
    uint64_t offset, size;
    uint64_t used_ns;
} pxi_device_shared;

typedef struct pxi_agent_device {
    uint32_t number;       /* from 1: its name in the core */
    pxi_device_info info;  /* as found */
    pxi_watch watch;       /* its device is this */
    bool awake;            /* something was run on it: before that it has no helper */
    bool look;             /* something happened: the next pass looks at it */
    bool told_usable;      /* to the core */
    uint64_t uses, passes; /* counts */
    uint64_t ended_ns;     /* of the last chunk, with its results */
    pxi_device_client *client;
    pxi_list waiting, running; /* pxi_agent_run: for a slot; in one */
    uint32_t n_waiting, n_running;
    pxi_device_task tasks[PXI_DEVICE_TASKS_MAX];
    pxi_device_shared shared[PXI_DEVICE_BUFFERS_MAX];
} pxi_agent_device;

typedef enum pxi_devices_search {
    PXI_SEARCH_DONE,
    PXI_SEARCH_WANTED, /* the loop begins it: a helper ends with the thread that has started it */
    PXI_SEARCH_UNDER_WAY,
} pxi_devices_search;

typedef struct pxi_devices {
    pxi_devices_search search;
    pxi_device_finder finder;
    pxi_watch finder_watch;
    uint32_t n;
    pxi_agent_device *all[PXI_HOST_DEVICES_MAX];
    char why[PX_WHY_SIZE]; /* there is none; "" = there are some, or nobody knows yet */
} pxi_devices;

static inline bool pxi_device_is_usable (const pxi_agent_device *device)
{
    pxi_device_state state = pxi_device_client_state (device->client);
    return state != PXI_DEVICE_QUARANTINED && state != PXI_DEVICE_ABSENT;
}

/* ---- device_runs.c ---------------------------------------------------------------------------------
 */

/* What has ended is told to the core, what waits is begun where there is room. True: something was done. */
bool pxi_device_runs_pass (pxi_agent *agent, pxi_agent_device *device, uint64_t now_ns);
/* Nothing more runs on it: the core is told so of all that should have. Its client is about to go. */
void pxi_device_runs_end (pxi_agent *agent, pxi_agent_device *device);
/* When a part that nobody uses any more goes; UINT64_MAX = none does. */
uint64_t pxi_device_runs_wake_ns (const pxi_agent_device *device);

#endif
