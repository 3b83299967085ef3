/* The deque's parts that take its lock; deque.h has the protocol. */
#include "exec/deque.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 256 };

/* The places before the first and after the last are there, and name no item: the owner may look at them. */
static bool set_array (pxi_deque *deque, int64_t size)
{
    void **block = malloc ((size_t)(size + 2) * sizeof *block);
    if (!block)
        return false;
    block[0] = block[size + 1] = deque;
    deque->array = block + 1;
    deque->size = size;
    /* cppcheck-suppress memleak ; the array lies in it */
    return true;
}

bool pxi_deque_init (pxi_deque *deque, bool all_public)
{
    memset (deque, 0, sizeof *deque);
    if (!set_array (deque, FIRST_SIZE))
        return false;
    deque->all_public = all_public;
    pxi_deque_note (deque, PXI_DEQUE_ASKED, all_public);
    pthread_mutex_init (&deque->lock, NULL);
    return true;
}

void pxi_deque_fini (pxi_deque *deque)
{
    if (!deque->array)
        return;
    free (deque->array - 1);
    deque->array = NULL;
    pthread_mutex_destroy (&deque->lock);
}

static int64_t top_of (const pxi_deque *deque)
{
    return atomic_load_explicit (&deque->top, memory_order_relaxed);
}

static int64_t split_of (const pxi_deque *deque)
{
    return atomic_load_explicit (&deque->split, memory_order_relaxed);
}

static void set_split (pxi_deque *deque, int64_t split)
{
    atomic_store_explicit (&deque->split, split, PXI_BARRIER_ORDER);
}

/* What is left goes to the begin: of this array, if that leaves half of it free; else of a larger one.
 * Who looks without the lock never sees nothing where there is something: `bottom` falls last. */
bool pxi_deque_make_room (pxi_deque *deque)
{
    pthread_mutex_lock (&deque->lock);
    int64_t bottom = atomic_load_explicit (&deque->bottom, memory_order_relaxed);
    int64_t top = top_of (deque), left = bottom - top, split = split_of (deque);
    void **from = deque->array;
    bool room = left <= deque->size / 2 || set_array (deque, 2 * deque->size);
    if (room) {
        memmove (deque->array, from + top, (size_t)left * sizeof *from);
        if (deque->array != from)
            free (from - 1);
        atomic_store_explicit (&deque->top, 0, memory_order_relaxed);
        set_split (deque, split - top);
        atomic_store_explicit (&deque->bottom, left, memory_order_release);
    }
    pthread_mutex_unlock (&deque->lock);
    return room;
}

/* The owner has announced that it pops the item at `bottom`, and this may be public. If nobody has it
 * yet it is the owner's, and with it the newer half of what is public. */
bool pxi_deque_take_back (pxi_deque *deque, int64_t bottom)
{
    pthread_mutex_lock (&deque->lock);
    int64_t top = top_of (deque);
    bool here = bottom >= top;
    if (!here)
        atomic_store_explicit (&deque->bottom, bottom + 1, memory_order_relaxed);
    else if (bottom < split_of (deque)) /* or a thief was just retreating */
        set_split (deque, deque->all_public ? bottom : top + (bottom - top) / 2);
    pthread_mutex_unlock (&deque->lock);
    return here;
}

void *pxi_deque_pop (pxi_deque *deque)
{
    int64_t bottom = atomic_load_explicit (&deque->bottom, memory_order_relaxed) - 1;
    if (bottom < top_of (deque))
        return NULL; /* thieves only move it up */
    void *item = deque->array[bottom];
    return pxi_deque_pop_at (deque, bottom) || pxi_deque_take_back (deque, bottom) ? item : NULL;
}

void pxi_deque_offer (pxi_deque *deque)
{
    pthread_mutex_lock (&deque->lock);
    int64_t split = split_of (deque);
    int64_t bottom = atomic_load_explicit (&deque->bottom, memory_order_relaxed);
    if (deque->all_public)
        set_split (deque, bottom);
    else if (bottom > split)
        set_split (deque, split + (bottom - split + 1) / 2);
    pxi_deque_note (deque, PXI_DEQUE_ASKED, deque->all_public);
    pthread_mutex_unlock (&deque->lock);
}

/* Make half of the owner's part public without the owner, with the lock: claim it, be sure that the
 * owner has seen that, and give back what it had popped before. */
static void pull (pxi_deque *deque)
{
    int64_t split = split_of (deque);
    int64_t bottom = atomic_load_explicit (&deque->bottom, memory_order_acquire);
    if (bottom <= split)
        return;
    int64_t wanted = split + (bottom - split + 1) / 2;
    set_split (deque, wanted);
    pxi_barrier_heavy ();
    bottom = atomic_load_explicit (&deque->bottom, PXI_BARRIER_ORDER == memory_order_relaxed
                                                       ? memory_order_acquire
                                                       : PXI_BARRIER_ORDER);
    if (bottom < wanted)
        set_split (deque, bottom > split ? bottom : split);
}

void *pxi_deque_steal (pxi_deque *deque, bool force, bool *lost)
{
    void *item = NULL;
    *lost = false;
    if (pxi_deque_size (deque) == 0)
        return NULL;
    if (pthread_mutex_trylock (&deque->lock) != 0) {
        *lost = true;
        return NULL;
    }
    int64_t top = top_of (deque);
    if (top == split_of (deque) && force && !deque->all_public)
        pull (deque);
    if (top < split_of (deque)) {
        item = deque->array[top];
        atomic_store_explicit (&deque->top, top + 1, memory_order_relaxed);
    } else if (!pxi_deque_has_note (deque, PXI_DEQUE_ASKED)) {
        pxi_deque_note (deque, PXI_DEQUE_ASKED, true);
    }
    pthread_mutex_unlock (&deque->lock);
    return item;
}
