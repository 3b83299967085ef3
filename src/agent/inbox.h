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

#include <peerexec/error.h>

typedef struct pxi_letter {
    struct pxi_letter *next;
} pxi_letter;

typedef struct pxi_inbox {
    _Atomic (pxi_letter *) newest;
    atomic_bool asleep; /* the loop waits, or is about to: whoever clears this writes to fd */
    int fd;             /* an eventfd: readable once somebody has woken the loop */
} pxi_inbox;

/* PX_ESYSTEM: errno says why. */
px_err pxi_inbox_init (pxi_inbox *inbox);
/* Letters still inside are the caller's: take them first. */
void pxi_inbox_fini (pxi_inbox *inbox);

/* Any thread. The letter lies first in what the sender allocated, and is the loop's then. */
void pxi_inbox_post (pxi_inbox *inbox, pxi_letter *letter);

/* The loop's: everything posted so far, oldest first; NULL = nothing. */
pxi_letter *pxi_inbox_take (pxi_inbox *inbox);
bool pxi_inbox_is_empty (pxi_inbox *inbox);
/* The loop's, before it waits on fd. False: something has come, do not wait. */
bool pxi_inbox_sleep (pxi_inbox *inbox);
/* The loop's, after it has waited. */
void pxi_inbox_awake (pxi_inbox *inbox);

#endif
