/* A work-stealing deque of pointers in two parts: from `top` to `split` it is anyone's, under the lock;
 * from `split` to `bottom` it is its owner's, who pushes and pops there without a lock, a fence or a
 * word that others write. The split of Lace (van Dijk, van de Pol, Euro-Par 2014 workshops), the lock
 * and the retreat of Cilk's THE (Frigo, Leiserson, Randall, PLDI 1998).
 *
 * Thieves who find nothing public ask, and the owner moves the split at its next push. An owner that
 * does not push (it runs something long) is not waited for: a thief moves the split itself, passes a
 * barrier in all threads (barrier.h), and retreats where the owner has popped meanwhile. So nothing
 * that waits is ever hidden.
 *
 * Where the system has no such barrier, the owner makes public all that it pushes.
 *
 * The owner's pop announces `bottom` before it looks at `split`; who moves the split up does so before
 * it looks at `bottom`. Places are used in order; at the array's end what is left moves to its begin,
 * or to a larger one, under the lock, where alone thieves read it.
 *
 * `notes` are what the owner is to look at: of the deque, that a thief asked; the others are its
 * thread's. They stand beside the split, since the owner looks at both. What thieves write whenever they
 * try stands apart. */
#ifndef PXI_EXEC_DEQUE_H
#define PXI_EXEC_DEQUE_H

#include <pthread.h>
#include <stdint.h>

#include "exec/barrier.h"

#define PXI_DEQUE_ASKED UINT32_C (1)

typedef struct pxi_deque {
    _Atomic int64_t bottom; /* written by the owner only, as `size` and `array` */
    int64_t size;           /* places of the array */
    void **array;
    _Atomic uint32_t notes __attribute__ ((aligned (64)));
    bool all_public; /* no barrier to be had: PXI_DEQUE_ASKED stays on */
    _Atomic int64_t split;
    _Atomic int64_t top __attribute__ ((aligned (64)));
    pthread_mutex_t lock;
} pxi_deque;

/* False: out of memory. `all_public`: pxi_barrier_register () was refused. */
bool pxi_deque_init (pxi_deque *deque, bool all_public);
void pxi_deque_fini (pxi_deque *deque);

/* Slow parts of what is inline below. */
bool pxi_deque_make_room (pxi_deque *deque);
/* After pxi_deque_pop_at () was false. False: others have it, or soon will. */
bool pxi_deque_take_back (pxi_deque *deque, int64_t bottom);

/* Owner: answer a thief who asked. */
void pxi_deque_offer (pxi_deque *deque);
/* Owner: the newest; NULL = empty. */
void *pxi_deque_pop (pxi_deque *deque);
/* Anyone: the oldest. NULL = nothing found; then `lost` says that another was at it: try again.
 * Where all is the owner's: ask for some, or, with `force`, take it. */
void *pxi_deque_steal (pxi_deque *deque, bool force, bool *lost);

/* Owner: a push needs pxi_deque_make_room () first. */
static inline bool pxi_deque_is_full (const pxi_deque *deque)
{
    return atomic_load_explicit (&deque->bottom, memory_order_relaxed) == deque->size;
}

/* Owner, when it is not full. */
static inline void pxi_deque_push_unchecked (pxi_deque *deque, void *item)
{
    int64_t bottom = atomic_load_explicit (&deque->bottom, memory_order_relaxed);
    deque->array[bottom] = item;
    atomic_store_explicit (&deque->bottom, bottom + 1, memory_order_release);
}

/* Owner. False: out of memory, nothing pushed. */
static inline bool pxi_deque_push (pxi_deque *deque, void *item)
{
    if (__builtin_expect (pxi_deque_is_full (deque), 0) && !pxi_deque_make_room (deque))
        return false;
    pxi_deque_push_unchecked (deque, item);
    return true;
}

/* Owner: index of the newest, if there is one. A place that was stolen may still name its item; the one
 * below the first names none. */
static inline int64_t pxi_deque_newest (const pxi_deque *deque)
{
    return atomic_load_explicit (&deque->bottom, memory_order_relaxed) - 1;
}

/* Owner: pop the newest, at `bottom`. False: it was public, pxi_deque_take_back () has to end it. */
static inline bool pxi_deque_pop_at (pxi_deque *deque, int64_t bottom)
{
    atomic_store_explicit (&deque->bottom, bottom, PXI_BARRIER_ORDER);
    pxi_barrier_light ();
    return bottom >= atomic_load_explicit (&deque->split, PXI_BARRIER_ORDER);
}

/* Owner: pop if the newest is `item` and nobody has taken it. */
static inline bool pxi_deque_pop_item (pxi_deque *deque, const void *item)
{
    int64_t bottom = pxi_deque_newest (deque);
    return deque->array[bottom] == item &&
           (pxi_deque_pop_at (deque, bottom) || pxi_deque_take_back (deque, bottom));
}

/* A guess, for anyone. */
static inline int64_t pxi_deque_size (const pxi_deque *deque)
{
    int64_t size = atomic_load_explicit (&deque->bottom, memory_order_acquire);
    size -= atomic_load_explicit (&deque->top, memory_order_relaxed);
    return size > 0 ? size : 0;
}

/* Owner, after a push. */
static inline bool pxi_deque_has_note (const pxi_deque *deque, uint32_t which)
{
    return atomic_load_explicit (&deque->notes, memory_order_relaxed) & which;
}

/* Anyone. */
static inline void pxi_deque_note (pxi_deque *deque, uint32_t which, bool on)
{
    if (on)
        atomic_fetch_or (&deque->notes, which);
    else
        atomic_fetch_and (&deque->notes, ~which);
}

#endif
