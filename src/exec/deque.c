/* The deque of Chase and Lev, with the orders of Le et al.; deque.h says who may call what. An
 * array is doubled by its owner only, and thieves go on reading the one they saw. */
#include "exec/deque.h"

#include <stdlib.h>

enum { FIRST_SIZE = 256 };

/* ThreadSanitizer does not model fences: there, stronger accesses stand in for them. */
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifdef WITH_TSAN
#define RELAXED memory_order_seq_cst
#define FENCE(order) ((void)0)
#else
#define RELAXED memory_order_relaxed
#define FENCE(order) atomic_thread_fence (order)
#endif

static pxi_deque_array *array_new (int64_t size, pxi_deque_array *former)
{
    pxi_deque_array *array = malloc (sizeof *array + (size_t)size * sizeof array->items[0]);
    if (!array)
        return NULL;
    array->former = former;
    array->mask = size - 1;
    for (int64_t i = 0; i < size; i++)
        atomic_init (&array->items[i], NULL);
    return array;
}

bool pxi_deque_init (pxi_deque *deque)
{
    pxi_deque_array *array = array_new (FIRST_SIZE, NULL);
    atomic_init (&deque->top, 0);
    atomic_init (&deque->bottom, 0);
    atomic_init (&deque->array, array);
    return array != NULL;
}

void pxi_deque_fini (pxi_deque *deque)
{
    pxi_deque_array *array = atomic_load (&deque->array);
    while (array) {
        pxi_deque_array *former = array->former;
        free (array);
        array = former;
    }
    atomic_store (&deque->array, NULL);
}

static pxi_deque_array *grow (pxi_deque *deque, pxi_deque_array *array, int64_t top, int64_t bottom)
{
    pxi_deque_array *larger = array_new (2 * (array->mask + 1), array);
    if (!larger)
        return NULL;
    for (int64_t i = top; i < bottom; i++)
        atomic_store_explicit (
            &larger->items[i & larger->mask],
            atomic_load_explicit (&array->items[i & array->mask], memory_order_relaxed),
            memory_order_relaxed);
    atomic_store_explicit (&deque->array, larger, memory_order_release);
    return larger;
}

bool pxi_deque_push (pxi_deque *deque, void *item)
{
    int64_t bottom = atomic_load_explicit (&deque->bottom, memory_order_relaxed);
    int64_t top = atomic_load_explicit (&deque->top, memory_order_acquire);
    pxi_deque_array *array = atomic_load_explicit (&deque->array, memory_order_relaxed);
    if (bottom - top > array->mask && !(array = grow (deque, array, top, bottom)))
        return false;
    atomic_store_explicit (&array->items[bottom & array->mask], item, memory_order_relaxed);
    /* Release on the store itself: the item's contents are seen by whoever sees the new bottom. */
    atomic_store_explicit (&deque->bottom, bottom + 1, memory_order_release);
    return true;
}

void *pxi_deque_pop (pxi_deque *deque)
{
    int64_t bottom = atomic_load_explicit (&deque->bottom, memory_order_relaxed) - 1;
    pxi_deque_array *array = atomic_load_explicit (&deque->array, memory_order_relaxed);
    atomic_store_explicit (&deque->bottom, bottom, RELAXED);
    FENCE (memory_order_seq_cst);
    int64_t top = atomic_load_explicit (&deque->top, RELAXED);
    if (top > bottom) {
        atomic_store_explicit (&deque->bottom, bottom + 1, memory_order_relaxed);
        return NULL;
    }
    void *item = atomic_load_explicit (&array->items[bottom & array->mask], memory_order_relaxed);
    if (top < bottom)
        return item;
    /* The last one: a thief may be after it. `top` is fresh each time: no retry is needed. */
    if (!atomic_compare_exchange_strong_explicit (&deque->top, &top, top + 1, memory_order_seq_cst,
                                                  memory_order_relaxed))
        item = NULL;
    atomic_store_explicit (&deque->bottom, bottom + 1, memory_order_relaxed);
    return item;
}

void *pxi_deque_steal (pxi_deque *deque, bool *lost)
{
    int64_t top = atomic_load_explicit (&deque->top, memory_order_acquire);
    FENCE (memory_order_seq_cst);
    int64_t bottom = atomic_load_explicit (&deque->bottom, memory_order_acquire);
    *lost = false;
    if (top >= bottom)
        return NULL;
    pxi_deque_array *array = atomic_load_explicit (&deque->array, memory_order_acquire);
    void *item = atomic_load_explicit (&array->items[top & array->mask], memory_order_relaxed);
    if (!atomic_compare_exchange_strong_explicit (&deque->top, &top, top + 1, memory_order_seq_cst,
                                                  memory_order_relaxed)) {
        *lost = true;
        return NULL;
    }
    return item;
}
