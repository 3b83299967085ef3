/* Virtual time: one heap of alarms, ordered by (time, order of setting). An alarm lies in what it wakes;
 * whoever takes it out knows by its kind what that is. */
#ifndef PXI_SIM_ALARM_H
#define PXI_SIM_ALARM_H

#include "base/assert.h"
#include "base/heap.h"

typedef enum pxi_alarm_kind {
    PXI_ALARM_WAKE,    /* a core's next deadline; in a peer */
    PXI_ALARM_RESUME,  /* a pause ends; in a peer */
    PXI_ALARM_NOTICE,  /* an executor's notice arrives at its agent; in a peer */
    PXI_ALARM_BURST,   /* a thread reaches the next boundary of its task; in a burst */
    PXI_ALARM_MESSAGE, /* in a parcel */
    PXI_ALARM_FAULT,   /* the next of the script; in the world */
    PXI_ALARM_ENDING,  /* what a fault began is over; in an ending */
    PXI_ALARM_SUBMIT,  /* in a job */
    PXI_ALARM_SWEEP,   /* the checker's sample; in the world */
} pxi_alarm_kind;

typedef struct pxi_alarm {
    pxi_heap_node node;
    pxi_alarm_kind kind;
    void *owner;
} pxi_alarm;

typedef struct pxi_time {
    pxi_heap heap;
    uint64_t now_ns, sequence;
} pxi_time;

static inline void pxi_alarm_clear (pxi_time *time, pxi_alarm *alarm)
{
    pxi_heap_remove (&time->heap, &alarm->node);
}

static inline void pxi_alarm_set (pxi_time *time, pxi_alarm *alarm, pxi_alarm_kind kind,
                                  void *owner, uint64_t at_ns)
{
    pxi_alarm_clear (time, alarm);
    alarm->kind = kind;
    alarm->owner = owner;
    uint64_t due_ns = at_ns > time->now_ns ? at_ns : time->now_ns;
    bool added = pxi_heap_add (&time->heap, &alarm->node, due_ns, ++time->sequence);
    PXI_ASSERT (added);
}

#endif
