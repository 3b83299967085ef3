/* The loop's inbox: notices of executors and calls of application threads come in here, from any
 * thread, in the order of posting. Posting takes no lock and, while the loop is awake, makes no
 * system call: so a pool may post with its own locks held.
 *
 * Bound: the inbox itself refuses nothing; each sender has a bounded number of letters under way. A
 * pool answers each command once and coalesces the rest, the core bounds the commands, and the api
 * charges each call before it posts it. */
#ifndef PXI_AGENT_INBOX_H
#define PXI_AGENT_INBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <peerexec/error.h>

#define PXI_INBOX_LATER_NS UINT64_C (100000)

typedef struct pxi_letter {
    struct pxi_letter *next;
} pxi_letter;

typedef struct pxi_inbox {
    _Atomic (pxi_letter *) newest;
    atomic_bool urgent; /* some of it is not for later */
    uint64_t later_ns;  /* the loop's: when it first saw what is for later; 0 = nothing */
    atomic_bool asleep; /* the loop waits, or is about to: whoever clears this writes to fd */
    int fd;             /* an eventfd: readable once somebody has woken the loop */
} pxi_inbox;

/* PX_ESYSTEM: errno says why. */
px_err pxi_inbox_init (pxi_inbox *inbox);
/* Letters still inside are the caller's: take them first. */
void pxi_inbox_fini (pxi_inbox *inbox);

/* Any thread. The letter lies first in what the sender allocated, and is the loop's then. `later`: others
 * will follow soon, so it is taken with the next that is not for later, or when PXI_INBOX_LATER_NS have
 * passed: what comes fast is read at once. */
void pxi_inbox_post (pxi_inbox *inbox, pxi_letter *letter, bool later);

/* The loop's: everything posted so far, oldest first; NULL = nothing, or all of it for later. */
pxi_letter *pxi_inbox_take (pxi_inbox *inbox);
/* The same, whether it is for later or not. */
pxi_letter *pxi_inbox_take_all (pxi_inbox *inbox);
bool pxi_inbox_is_empty (const pxi_inbox *inbox);
/* The loop's, before it waits on fd. False: something has come, do not wait. */
bool pxi_inbox_sleep (pxi_inbox *inbox);
/* The loop's, between the two: how long it may wait at most for what is here already. */
uint64_t pxi_inbox_patience_ns (const pxi_inbox *inbox);
/* The loop's, after it has waited. */
void pxi_inbox_awake (pxi_inbox *inbox);

#endif
