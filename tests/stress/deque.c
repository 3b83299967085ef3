/* One owner that pushes and pops, three thieves, of which some wait to be given and some help
 * themselves: every item comes out exactly once, whoever gets it, while the array grows under the
 * thieves and the deque runs empty again and again. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "exec/deque.h"

enum { N_THIEVES = 3, N_ITEMS = 600000, BURST_MAX = 2000, FLUTTER_MAX = 3 };

typedef struct shared {
    pxi_deque deque;
    atomic_bool ended;
    atomic_uint taken[N_ITEMS]; /* how often each item came out */
    atomic_uint n_stolen;
    unsigned
        payload[N_ITEMS]; /* plain: written by the owner before the push, read by who takes it */
} shared;

static shared all;

static void take (const unsigned *item)
{
    size_t index = (size_t)(item - all.payload);
    if (*item != index + 1)
        atomic_fetch_add (&all.taken[index], 100);
    atomic_fetch_add_explicit (&all.taken[index], 1, memory_order_relaxed);
}

static void *steal_until_the_end (void *argument)
{
    for (unsigned tries = 0;; tries++) {
        bool ended = atomic_load (&all.ended), lost = false;
        bool force = ended || tries % 4 == *(const unsigned *)argument;
        unsigned *item = pxi_deque_steal (&all.deque, force, &lost);
        if (item) {
            take (item);
            atomic_fetch_add_explicit (&all.n_stolen, 1, memory_order_relaxed);
        } else if (ended && !lost) {
            return NULL;
        }
    }
}

/* However few processors there are, thieves get their turn: there is something, and they help themselves. */
static void be_stolen_from (void)
{
    unsigned before = atomic_load (&all.n_stolen);
    while (atomic_load (&all.n_stolen) == before && pxi_deque_size (&all.deque) > 0)
        sched_yield ();
}

static bool push_some (unsigned *next, unsigned n_max, pxi_prng *prng)
{
    for (uint64_t n = pxi_prng_between (prng, 1, n_max); n && *next < N_ITEMS; n--, ++*next) {
        all.payload[*next] = *next + 1;
        if (!pxi_deque_push (&all.deque, &all.payload[*next]))
            return false;
        if (pxi_deque_has_note (&all.deque, PXI_DEQUE_ASKED))
            pxi_deque_offer (&all.deque);
    }
    return true;
}

static void pop_some (uint64_t n)
{
    while (n--) {
        unsigned *item = pxi_deque_pop (&all.deque);
        if (!item)
            return;
        take (item);
    }
}

/* First in bursts, so that it grows; then a few at a time, so that owner and thieves are always at the same
 * ones. Sometimes more is popped than there is. */
static int push_and_pop (void)
{
    pxi_prng prng;
    unsigned n_bursts = 0, next = 0;
    pxi_prng_init (&prng, 1);
    while (next < N_ITEMS) {
        unsigned n_max = next < N_ITEMS / 2 ? BURST_MAX : FLUTTER_MAX;
        if (!push_some (&next, n_max, &prng))
            return 1;
        if (n_max == BURST_MAX && ++n_bursts % 8 == 0)
            be_stolen_from ();
        pop_some (pxi_prng_between (&prng, 0, n_max + 1));
    }
    return 0;
}

/* `all_public`: as where the system has no barrier to offer. */
static int storm (bool all_public)
{
    pthread_t thieves[N_THIEVES];
    unsigned numbers[N_THIEVES] = {0, 1, 4}; /* the last one never before the end */
    if (!pxi_deque_init (&all.deque, all_public))
        return 1;
    atomic_store (&all.ended, false);
    atomic_store (&all.n_stolen, 0);
    for (unsigned i = 0; i < N_ITEMS; i++)
        atomic_store (&all.taken[i], 0);
    for (int i = 0; i < N_THIEVES; i++)
        if (pthread_create (&thieves[i], NULL, steal_until_the_end, &numbers[i]) != 0)
            return 1;
    int status = push_and_pop ();
    atomic_store (&all.ended, true);
    for (int i = 0; i < N_THIEVES; i++)
        pthread_join (thieves[i], NULL);
    unsigned n_wrong = 0;
    for (unsigned i = 0; i < N_ITEMS; i++)
        n_wrong += atomic_load (&all.taken[i]) != 1;
    bool is_empty = pxi_deque_pop (&all.deque) == NULL;
    pxi_deque_fini (&all.deque);
    printf ("%d items, %u stolen, %u not exactly once\n", N_ITEMS, atomic_load (&all.n_stolen),
            n_wrong);
    return status || n_wrong || !is_empty || atomic_load (&all.n_stolen) == 0 ? 1 : 0;
}

int main (void)
{
    return storm (true) || storm (!pxi_barrier_register ());
}
