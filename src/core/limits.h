/* Every maximum of the protocol, with its reason. Relations between them are asserted at the end.
 */
#ifndef PXI_CORE_LIMITS_H
#define PXI_CORE_LIMITS_H

#include <assert.h>
#include <stdint.h>

#define PXI_MS UINT64_C (1000000)        /* ns */
#define PXI_SECOND UINT64_C (1000000000) /* ns */

enum {
    PXI_NAME_SIZE = 32,       /* of a peer's name with its NUL: fits a host name's first label */
    PXI_PEER_MODULES_MAX = 8, /* digests in a peer record; more are found out by CANNOT */
    PXI_RECORDS_MAX = 16,     /* peer records in one message: about 2 KiB, two Ethernet frames */
    PXI_KEYS_MAX =
        1024, /* attempts listed in one handshake or cancel: jobs_max x slots seen in practice */
    PXI_DISPATCH_MAX = 32,      /* attempts in one dispatch: what one lease may hold */
    PXI_BATCH_MAX = 16,         /* attempts in one probe: short ones share a round trip */
    PXI_RESULTS_MAX = 32,       /* results in one message */
    PXI_INLINE_SIZE_MAX = 1200, /* input bytes that ride in a probe: one datagram (SCIENCE.md 3) */
    PXI_SLOTS_MAX = 1024,       /* of one peer */
    PXI_VIEW_MAX = 1024,        /* full membership to here; sampled beyond (SCIENCE.md 2.6) */
    PXI_JOBS_MAX = 256,         /* known to one peer at once */
    PXI_ATTEMPTS_MAX = 65536,   /* of one peer, given and taken together */
    PXI_LEASES_MAX = 1024,      /* one per slot */
    PXI_RESERVATIONS_MAX = 64,  /* ring of one peer (SCIENCE.md 3) */
    PXI_RESERVE_MAX = 192,      /* that one job holds elsewhere: 3 for each of 64 subtasks */
    PXI_PROBES_MAX = 256, /* under way for one job: a loop of that many is placed in a round trip */
    PXI_ROOT_RUNS_MAX = 10, /* of a root whose executor dies of another's crash, time after time */
    PXI_CRASHES_MAX = 3,    /* attempts of a subtask that may crash: the first and two more */
    PXI_COSTS_MAX = 64,     /* tasks whose cost is remembered: the one not met for longest goes */
    PXI_CRASHERS_MAX = 64,  /* remembered by one peer: more at once are as good as unknown */
    PXI_NUMBER_MAX = 65535, /* branch number */
    PXI_NUMBER_RISEN_MAX =
        1024,                 /* that one which nobody has set may rise to: as many as are known */
    PXI_FETCHES_MAX = 4,      /* of one peer for a shared input: three may be lost */
    PXI_DEVICES_MAX = 16,     /* of one peer: hosts with more are rare, and may run two peers */
    PXI_DEVICE_SLOTS_MAX = 8, /* of one: computed, copied, filled; more would only wait */
    PXI_SHARED_KEPT_MAX = 64, /* shared inputs that nobody needs now, however small they are */
};
/* Shared inputs that nobody needs now: one of the largest by default. The latest is kept whatever its size, or a
 * worker of one slot would fetch it for each subtask. */
#define PXI_SHARED_KEPT_BYTES (UINT64_C (64) << 20)
/* And so long: the branch's next subtask may come from a master that was busy with others for a while. */
#define PXI_SHARED_KEPT_NS (10 * PXI_SECOND)
#define PXI_SHARED_SIZE_MAX (UINT64_C (64) << 20) /* of one, by default: as of any input */

static_assert (PXI_LEASES_MAX >= PXI_SLOTS_MAX, "every slot can be leased");
static_assert (PXI_RECORDS_MAX <= PXI_VIEW_MAX, "a sample fits the view");

#endif
