/* A stack that is taken as a whole and turned over: many producers push with one compare-and-swap
 * (Treiber, 1986; no pop, so no ABA), the one consumer swaps it for an empty one.
 *
 * The wake-up is Dekker's: a producer pushes, then looks whether the loop sleeps; the loop says
 * that it sleeps, then looks whether something was pushed. All four are sequentially consistent, so
 * at least one of them sees the other. Of what is for later only the first wakes the loop, which then
 * knows how long it may sleep. */
#include "agent/inbox.h"

#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"

px_err pxi_inbox_init (pxi_inbox *inbox)
{
    atomic_init (&inbox->newest, NULL);
    atomic_init (&inbox->urgent, false);
    atomic_init (&inbox->asleep, false);
    inbox->later_ns = 0;
    inbox->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    return inbox->fd >= 0 ? PX_OK : PX_ESYSTEM;
}

void pxi_inbox_fini (pxi_inbox *inbox)
{
    PXI_ASSERT (pxi_inbox_is_empty (inbox));
    if (inbox->fd >= 0)
        close (inbox->fd);
    inbox->fd = -1;
}

static void wake (const pxi_inbox *inbox)
{
    uint64_t one = 1;
    /* Fails only when the counter is full, and then the loop is woken anyway. */
    ssize_t written = write (inbox->fd, &one, sizeof one);
    (void)written;
}

/* True: it was empty. From here on the letter may be gone. */
static bool push (pxi_inbox *inbox, pxi_letter *letter)
{
    pxi_letter *next = atomic_load_explicit (&inbox->newest, memory_order_relaxed);
    do {
        letter->next = next;
    } while (!atomic_compare_exchange_weak (&inbox->newest, &next, letter));
    return next == NULL;
}

static void wake_if_asleep (pxi_inbox *inbox)
{
    if (atomic_load (&inbox->asleep) && atomic_exchange (&inbox->asleep, false))
        wake (inbox);
}

void pxi_inbox_post (pxi_inbox *inbox, pxi_letter *letter, bool later)
{
    bool first = push (inbox, letter);
    if (!later)
        atomic_store (&inbox->urgent, true);
    if (!later || first)
        wake_if_asleep (inbox);
}

uint64_t pxi_inbox_patience_ns (const pxi_inbox *inbox)
{
    if (atomic_load (&inbox->newest) == NULL)
        return UINT64_MAX;
    uint64_t waits_ns = inbox->later_ns ? pxi_clock_ns () - inbox->later_ns : 0;
    return waits_ns < PXI_INBOX_LATER_NS ? PXI_INBOX_LATER_NS - waits_ns : 0;
}

/* Has what is here come to its time? */
static bool due (pxi_inbox *inbox)
{
    if (pxi_inbox_is_empty (inbox))
        return false;
    if (atomic_load_explicit (&inbox->urgent, memory_order_relaxed) &&
        atomic_exchange (&inbox->urgent, false))
        return true;
    uint64_t now_ns = pxi_clock_ns ();
    if (!inbox->later_ns)
        inbox->later_ns = now_ns;
    return now_ns - inbox->later_ns >= PXI_INBOX_LATER_NS;
}

pxi_letter *pxi_inbox_take (pxi_inbox *inbox)
{
    return due (inbox) ? pxi_inbox_take_all (inbox) : NULL;
}

pxi_letter *pxi_inbox_take_all (pxi_inbox *inbox)
{
    inbox->later_ns = 0;
    pxi_letter *newest = atomic_exchange (&inbox->newest, NULL);
    pxi_letter *oldest = NULL;
    while (newest) {
        pxi_letter *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

bool pxi_inbox_is_empty (const pxi_inbox *inbox)
{
    return atomic_load_explicit (&inbox->newest, memory_order_acquire) == NULL;
}

bool pxi_inbox_sleep (pxi_inbox *inbox)
{
    atomic_store (&inbox->asleep, true);
    if (!atomic_load (&inbox->urgent))
        return true;
    pxi_inbox_awake (inbox);
    return false;
}

void pxi_inbox_awake (pxi_inbox *inbox)
{
    if (atomic_exchange (&inbox->asleep, false))
        return;
    /* Somebody has cleared it, and has written or is about to: an unread count only wakes the loop
     * once more. */
    uint64_t count;
    ssize_t got = read (inbox->fd, &count, sizeof count);
    (void)got;
}
