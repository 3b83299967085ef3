/* Virtual time: alarms in the order of (time, order of setting). An alarm lies in what it wakes; whoever
 * takes it out knows by its kind what that is. */
#ifndef PXI_SIM_ALARM_H
#define PXI_SIM_ALARM_H

#include "base/heap.h"
#include "base/list.h"

typedef enum pxi_alarm_kind {
    PXI_ALARM_WAKE,    /* a core's next deadline; in a peer */
    PXI_ALARM_RESUME,  /* a pause ends; in a peer */
    PXI_ALARM_NOTICE,  /* an executor's notice arrives at its agent; in a peer */
    PXI_ALARM_BURST,   /* a thread reaches the next boundary of its task; in a burst */
    PXI_ALARM_CHUNK,   /* a device has done a chunk; in a chunk */
    PXI_ALARM_MESSAGE, /* in a parcel */
    PXI_ALARM_FAULT,   /* the next of the script; in the world */
    PXI_ALARM_ENDING,  /* what a fault began is over; in an ending */
    PXI_ALARM_SUBMIT,  /* in a job */
    PXI_ALARM_SWEEP,   /* the checker's sample; in the world */
} pxi_alarm_kind;

typedef enum pxi_alarm_place {
    PXI_ALARM_OFF,
    PXI_ALARM_DUE,  /* of the present slice of time, set before it began */
    PXI_ALARM_NEAR, /* of the present slice, set in it */
    PXI_ALARM_SOON, /* of the next slices */
    PXI_ALARM_FAR,
} pxi_alarm_place;

typedef struct pxi_alarm { /* zeroed once when its owner is made */
    pxi_heap_node node;    /* NEAR, FAR; its deadline and sequence always */
    pxi_list in_slice;     /* SOON */
    pxi_alarm_kind kind;
    pxi_alarm_place place;
    uint32_t at; /* DUE: in the array */
    void *owner;
} pxi_alarm;

enum { PXI_ALARM_SLICES = 8192 };

typedef struct pxi_time {
    uint64_t now_ns, sequence;
    uint64_t near_ns; /* end of the present slice */
    pxi_alarm **due;  /* in order; NULL where one was cleared */
    uint32_t due_at, n_due, due_capacity;
    pxi_heap near, far;
    uint32_t n_soon;
    pxi_list *slices; /* PXI_ALARM_SLICES of them, from near_ns on, round and round */
    uint64_t used[PXI_ALARM_SLICES / 64]; /* slices that are not empty, a bit each */
} pxi_time;

/* False: out of memory. */
bool pxi_time_init (pxi_time *time);
void pxi_time_fini (pxi_time *time);

/* Anew where it is set already. Not before now. */
void pxi_alarm_set (pxi_time *time, pxi_alarm *alarm, pxi_alarm_kind kind, void *owner,
                    uint64_t at_ns);
void pxi_alarm_clear (pxi_time *time, pxi_alarm *alarm);
/* The earliest, if it is due by then; still set. NULL = none. */
pxi_alarm *pxi_alarm_first (pxi_time *time, uint64_t until_ns);

/* One that probably comes `ahead` after the first, so that its memory can be fetched; NULL = unknown. */
static inline pxi_alarm *pxi_alarm_ahead (const pxi_time *time, uint32_t ahead)
{
    return time->n_due - time->due_at > ahead ? time->due[time->due_at + ahead] : NULL;
}

static inline bool pxi_alarm_is_set (const pxi_alarm *alarm)
{
    return alarm->place != PXI_ALARM_OFF;
}

static inline uint64_t pxi_alarm_at_ns (const pxi_alarm *alarm)
{
    return alarm->node.deadline;
}

#endif
