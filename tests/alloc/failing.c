/* The wrapped allocation functions. Any thread. */
#include "failing.h"

#include <stdatomic.h>
#include <stdlib.h>

void *__real_malloc (size_t size);
void *__real_calloc (size_t n, size_t size);
void *__real_realloc (void *block, size_t size);
void __real_free (void *block);
void *__wrap_malloc (size_t size);
void *__wrap_calloc (size_t n, size_t size);
void *__wrap_realloc (void *block, size_t size);
void __wrap_free (void *block);

static atomic_size_t n_until, n_met;
static atomic_long n_blocks;

void failing_set (size_t n)
{
    atomic_store (&n_met, 0);
    atomic_store (&n_until, n);
}

bool failing_was_met (void)
{
    return atomic_load (&n_met) > 0;
}

long failing_n_blocks (void)
{
    return atomic_load (&n_blocks);
}

static bool fails (void)
{
    size_t n = atomic_load (&n_until);
    while (n > 0 && !atomic_compare_exchange_weak (&n_until, &n, n - 1))
        ;
    if (n != 1)
        return false;
    atomic_fetch_add (&n_met, 1);
    return true;
}

static void *counted (void *block)
{
    if (block)
        atomic_fetch_add (&n_blocks, 1);
    return block;
}

void *__wrap_malloc (size_t size)
{
    return fails () ? NULL : counted (__real_malloc (size));
}

void *__wrap_calloc (size_t n, size_t size)
{
    return fails () ? NULL : counted (__real_calloc (n, size));
}

void *__wrap_realloc (void *block, size_t size)
{
    if (fails ())
        return NULL;
    void *moved = __real_realloc (block, size);
    return block ? moved : counted (moved);
}

void __wrap_free (void *block)
{
    if (block)
        atomic_fetch_sub (&n_blocks, 1);
    __real_free (block);
}
