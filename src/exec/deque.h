/* A work-stealing deque of pointers: the owner pushes and pops at the bottom, anyone steals the
 * oldest at the top. Chase and Lev (SPAA 2005) with the C11 orders of Le, Pop, Cohen, Zappella
 * Nardelli (PPoPP 2013). Arrays that were outgrown live until the deque ends: a thief may still
 * read them. */
#ifndef PXI_EXEC_DEQUE_H
#define PXI_EXEC_DEQUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct pxi_deque_array {
    struct pxi_deque_array *former;
    int64_t mask;
    _Atomic (void *) items[];
} pxi_deque_array;

typedef struct pxi_deque {
    _Atomic int64_t top __attribute__ ((aligned (64)));
    _Atomic int64_t bottom __attribute__ ((aligned (64)));
    _Atomic (pxi_deque_array *) array;
} pxi_deque;

/* False: out of memory. */
bool pxi_deque_init (pxi_deque *deque);
void pxi_deque_fini (pxi_deque *deque);
/* Owner. False: out of memory, nothing pushed. */
bool pxi_deque_push (pxi_deque *deque, void *item);
/* Owner: the newest; NULL = empty. */
void *pxi_deque_pop (pxi_deque *deque);
/* Anyone: the oldest. NULL = empty; `lost` says that another thief was faster: try again. */
void *pxi_deque_steal (pxi_deque *deque, bool *lost);
/* A guess, for anyone. */
static inline int64_t pxi_deque_size (const pxi_deque *deque)
{
    int64_t size = atomic_load_explicit (&deque->bottom, memory_order_relaxed) -
                   atomic_load_explicit (&deque->top, memory_order_relaxed);
    return size > 0 ? size : 0;
}

#endif
