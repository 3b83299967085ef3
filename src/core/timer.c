/* Timers of one core: a heap ordered by (deadline, order of setting), so that equal deadlines fire
 * in the order in which they were set, on every machine. */
#include "core/state.h"

void pxi_timer_clear (pxi_core *core, pxi_timer *timer)
{
    if (pxi_timer_is_set (timer))
        pxi_heap_remove (&core->timers, &timer->node);
}

bool pxi_timer_is_set (const pxi_timer *timer)
{
    return pxi_heap_holds (&timer->node);
}

void pxi_timer_set (pxi_core *core, pxi_timer *timer, pxi_timer_kind kind, void *owner,
                    uint64_t at_ns)
{
    PXI_ASSERT (owner);
    pxi_timer_clear (core, timer);
    timer->kind = kind;
    timer->owner = owner;
    bool added = pxi_heap_add (&core->timers, &timer->node, at_ns, ++core->timer_sequence);
    PXI_ASSERT (added);
}

pxi_timer *pxi_timer_due (pxi_core *core)
{
    pxi_heap_node *first = pxi_heap_first (&core->timers);
    if (!first || first->deadline > core->now_ns)
        return NULL;
    pxi_heap_remove (&core->timers, first);
    return PXI_LIST_ENTRY (first, pxi_timer, node);
}
