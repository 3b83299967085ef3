/* A heap of all alarms of 100,000 peers is a walk through memory at every one that is set. So only those of
 * the present slice of time are in a heap; those of the next slices stand in a list each, in no order, where
 * setting and clearing is O(1), and the few beyond in a heap of their own. (A calendar queue: Brown, 1988,
 * with slices of fixed length, since what most alarms wait for is a round trip or a handshake.)
 *
 * Invariants: NEAR is before near_ns; SOON in the PXI_ALARM_SLICES slices from there; FAR not before their
 * end. near_ns is the beginning of a slice. The order does not depend on any of this. */
#include "sim/alarm.h"

#include <stdlib.h>

#include "base/assert.h"

enum { ALARMS_MAX = 1 << 30 };
#define SLICE_NS (UINT64_C (1) << 18) /* about a quarter of a millisecond: half a usual way */

bool pxi_time_init (pxi_time *time)
{
    *time = (pxi_time){.near_ns = SLICE_NS};
    pxi_heap_init (&time->near, ALARMS_MAX);
    pxi_heap_init (&time->far, ALARMS_MAX);
    time->slices = malloc (PXI_ALARM_SLICES * sizeof *time->slices);
    for (uint32_t i = 0; time->slices && i < PXI_ALARM_SLICES; i++)
        pxi_list_init (&time->slices[i]);
    return time->slices != NULL;
}

void pxi_time_fini (pxi_time *time)
{
    pxi_heap_fini (&time->near);
    pxi_heap_fini (&time->far);
    free (time->slices);
    time->slices = NULL;
}

static pxi_list *slice_of (const pxi_time *time, uint64_t at_ns)
{
    return &time->slices[at_ns / SLICE_NS % PXI_ALARM_SLICES];
}

static uint64_t far_ns (const pxi_time *time)
{
    return time->near_ns + PXI_ALARM_SLICES * SLICE_NS;
}

static void place (pxi_time *time, pxi_alarm *alarm, uint64_t at_ns, uint64_t sequence)
{
    if (at_ns >= time->near_ns && at_ns < far_ns (time)) {
        alarm->node = (pxi_heap_node){.deadline = at_ns, .sequence = sequence};
        alarm->place = PXI_ALARM_SOON;
        pxi_list_add_last (slice_of (time, at_ns), &alarm->in_slice);
        time->n_soon++;
        return;
    }
    alarm->place = at_ns < time->near_ns ? PXI_ALARM_NEAR : PXI_ALARM_FAR;
    pxi_heap *heap = at_ns < time->near_ns ? &time->near : &time->far;
    bool added = pxi_heap_add (heap, &alarm->node, at_ns, sequence);
    PXI_ASSERT (added);
}

void pxi_alarm_clear (pxi_time *time, pxi_alarm *alarm)
{
    if (alarm->place == PXI_ALARM_SOON) {
        pxi_list_remove (&alarm->in_slice);
        time->n_soon--;
    } else if (alarm->place != PXI_ALARM_OFF) {
        pxi_heap_remove (alarm->place == PXI_ALARM_NEAR ? &time->near : &time->far, &alarm->node);
    }
    alarm->place = PXI_ALARM_OFF;
}

void pxi_alarm_set (pxi_time *time, pxi_alarm *alarm, pxi_alarm_kind kind, void *owner,
                    uint64_t at_ns)
{
    pxi_alarm_clear (time, alarm);
    alarm->kind = kind;
    alarm->owner = owner;
    place (time, alarm, at_ns > time->now_ns ? at_ns : time->now_ns, ++time->sequence);
}

static void place_again (pxi_time *time, pxi_alarm *alarm)
{
    uint64_t at_ns = alarm->node.deadline, sequence = alarm->node.sequence;
    pxi_alarm_clear (time, alarm);
    place (time, alarm, at_ns, sequence);
}

/* The beginning of the next slice; where nothing is set for those, of the first one with an alarm. */
static uint64_t next_ns (const pxi_time *time)
{
    uint64_t first_ns = pxi_heap_deadline (&time->far);
    return time->n_soon ? time->near_ns : first_ns / SLICE_NS * SLICE_NS;
}

static void advance (pxi_time *time, uint64_t begin_ns)
{
    pxi_list *slice = slice_of (time, begin_ns);
    time->near_ns = begin_ns + SLICE_NS;
    for (pxi_list *link; (link = pxi_list_first (slice));)
        place_again (time, PXI_LIST_ENTRY (link, pxi_alarm, in_slice));
    for (pxi_heap_node *far; (far = pxi_heap_first (&time->far)) && far->deadline < far_ns (time);)
        place_again (time, PXI_LIST_ENTRY (far, pxi_alarm, node));
}

pxi_alarm *pxi_alarm_first (pxi_time *time, uint64_t until_ns)
{
    while (!pxi_heap_first (&time->near) && (time->n_soon || pxi_heap_first (&time->far)) &&
           next_ns (time) <= until_ns)
        advance (time, next_ns (time));
    pxi_heap_node *first = pxi_heap_first (&time->near);
    return first && first->deadline <= until_ns ? PXI_LIST_ENTRY (first, pxi_alarm, node) : NULL;
}
