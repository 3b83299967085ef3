/* A heap of all alarms of 100,000 peers is a walk through memory at every one that is set. So those of the
 * next slices of time stand in a list each, in no order, where setting and clearing is O(1), and the few
 * beyond in a heap. When a slice begins its alarms are sorted into an array, so that who comes next is known
 * ahead; what is set within the slice itself goes into a small heap beside it. (A calendar queue: Brown,
 * 1988, with slices of fixed length, since what most alarms wait for is a round trip or a handshake.)
 *
 * Invariants: DUE and NEAR are before near_ns; SOON in the PXI_ALARM_SLICES slices from there; FAR not before
 * their end. near_ns is the beginning of a slice. The order does not depend on any of this. */
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
    free (time->due);
    time->slices = NULL;
    time->due = NULL;
}

static uint32_t slice_at (uint64_t at_ns)
{
    return (uint32_t)(at_ns / SLICE_NS % PXI_ALARM_SLICES);
}

static pxi_list *slice_of (const pxi_time *time, uint64_t at_ns)
{
    return &time->slices[slice_at (at_ns)];
}

/* One bit per slice, so that a world where little happens is not a walk over empty ones. */
static void mark (pxi_time *time, uint64_t at_ns, bool used)
{
    uint64_t bit = UINT64_C (1) << slice_at (at_ns) % 64;
    uint64_t *word = &time->used[slice_at (at_ns) / 64];
    *word = used ? *word | bit : *word & ~bit;
}

/* Slices from near_ns to the first one with an alarm; there is one. */
static uint64_t to_next_used (const pxi_time *time)
{
    uint32_t from = slice_at (time->near_ns), word = from / 64;
    uint64_t bits = time->used[word] & (UINT64_MAX << from % 64);
    while (!bits) {
        word = (word + 1) % (PXI_ALARM_SLICES / 64);
        bits = time->used[word];
    }
    uint32_t found = word * 64 + (uint32_t)__builtin_ctzll (bits);
    return (found - from) % PXI_ALARM_SLICES;
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
        mark (time, at_ns, true);
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
        if (pxi_list_is_empty (slice_of (time, alarm->node.deadline)))
            mark (time, alarm->node.deadline, false);
        time->n_soon--;
    } else if (alarm->place == PXI_ALARM_DUE) {
        time->due[alarm->at] = NULL;
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

static bool is_before (const pxi_heap_node *a, const pxi_heap_node *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->sequence < b->sequence;
}

static int by_time (const void *a, const void *b)
{
    const pxi_alarm *const *x = a, *const *y = b;
    return is_before (&(*x)->node, &(*y)->node) ? -1 : 1;
}

static void add_due (pxi_time *time, pxi_alarm *alarm)
{
    if (time->n_due == time->due_capacity) {
        time->due_capacity = time->due_capacity ? 2 * time->due_capacity : 64;
        time->due = realloc (time->due, time->due_capacity * sizeof *time->due);
        PXI_ASSERT (time->due);
    }
    alarm->place = PXI_ALARM_DUE;
    time->due[time->n_due++] = alarm;
}

/* The beginning of the next slice with an alarm. */
static uint64_t next_ns (const pxi_time *time)
{
    uint64_t first_ns = pxi_heap_deadline (&time->far);
    return time->n_soon ? time->near_ns + to_next_used (time) * SLICE_NS
                        : first_ns / SLICE_NS * SLICE_NS;
}

/* Nothing of the slice before is left. */
static void advance (pxi_time *time, uint64_t begin_ns)
{
    pxi_list *slice = slice_of (time, begin_ns);
    time->near_ns = begin_ns + SLICE_NS;
    time->due_at = time->n_due = 0;
    for (pxi_list *link; (link = pxi_list_first (slice));) {
        pxi_alarm *alarm = PXI_LIST_ENTRY (link, pxi_alarm, in_slice);
        pxi_alarm_clear (time, alarm);
        add_due (time, alarm);
    }
    if (time->n_due)
        qsort (time->due, time->n_due, sizeof *time->due, by_time);
    for (uint32_t i = 0; i < time->n_due; i++)
        time->due[i]->at = i;
    for (pxi_heap_node *far; (far = pxi_heap_first (&time->far)) && far->deadline < far_ns (time);)
        place_again (time, PXI_LIST_ENTRY (far, pxi_alarm, node));
}

static pxi_alarm *first_near (pxi_time *time)
{
    pxi_heap_node *near = pxi_heap_first (&time->near);
    while (time->due_at < time->n_due && !time->due[time->due_at])
        time->due_at++;
    pxi_alarm *due = time->due_at < time->n_due ? time->due[time->due_at] : NULL;
    if (near && (!due || is_before (near, &due->node)))
        return PXI_LIST_ENTRY (near, pxi_alarm, node);
    return due;
}

pxi_alarm *pxi_alarm_first (pxi_time *time, uint64_t until_ns)
{
    pxi_alarm *first;
    while (!(first = first_near (time)) && (time->n_soon || pxi_heap_first (&time->far)) &&
           next_ns (time) <= until_ns)
        advance (time, next_ns (time));
    return first && first->node.deadline <= until_ns ? first : NULL;
}
