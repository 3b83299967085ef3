/* A thief who helps himself while the owner pops: what the owner does is put where it is seen last, into
 * the barrier between the thief's claim and the thief's look (the linker wraps it). */
#include <criterion/criterion.h>

#include "exec/deque.h"

static pxi_deque *popped_meanwhile;
static int64_t n_left;

void __real_pxi_barrier_heavy (void);
void __wrap_pxi_barrier_heavy (void);

/* The owner had looked at the split before the claim, so it popped without asking. */
void __wrap_pxi_barrier_heavy (void)
{
    __real_pxi_barrier_heavy ();
    if (popped_meanwhile)
        atomic_store (&popped_meanwhile->bottom, n_left);
    popped_meanwhile = NULL;
}

Test (deque, a_thief_gives_back_what_the_owner_has_popped_meanwhile)
{
    enum { N = 10 };
    char items[N];
    for (n_left = 0; n_left <= N; n_left++) {
        pxi_deque deque;
        bool lost;
        cr_assert (pxi_deque_init (&deque, false));
        for (int i = 0; i < N; i++)
            cr_assert (pxi_deque_push (&deque, &items[i]));
        cr_assert_null (pxi_deque_steal (&deque, false, &lost), "all is the owner's: it only asks");
        cr_assert (pxi_deque_has_note (&deque, PXI_DEQUE_ASKED));
        popped_meanwhile = &deque;
        for (int64_t i = 0; i < n_left; i++)
            cr_assert_eq (pxi_deque_steal (&deque, true, &lost), &items[i], "the oldest first");
        cr_assert_null (pxi_deque_steal (&deque, true, &lost), "%d were popped", N - (int)n_left);
        popped_meanwhile = NULL;
        cr_assert_null (pxi_deque_pop (&deque));
        pxi_deque_fini (&deque);
    }
}

Test (deque, what_is_offered_comes_back_half_by_half_or_is_stolen)
{
    enum { N = 100 };
    char items[N];
    pxi_deque deque;
    bool lost;
    cr_assert (pxi_deque_init (&deque, false));
    for (int i = 0; i < N; i++)
        cr_assert (pxi_deque_push (&deque, &items[i]));
    pxi_deque_offer (&deque);
    int oldest = 0, newest = N;
    while (oldest < newest) {
        cr_assert_eq (pxi_deque_pop (&deque), &items[--newest]);
        void *stolen = pxi_deque_steal (&deque, false, &lost);
        if (stolen)
            cr_assert_eq (stolen, &items[oldest++]);
    }
    cr_assert_gt (oldest, 0);
    cr_assert_null (pxi_deque_pop (&deque));
    pxi_deque_fini (&deque);
}

/* The array's end is come upon with little left, half of it, and all. */
Test (deque, at_the_end_of_the_array_what_is_left_stays_in_order)
{
    enum { N = 5000 };
    static char items[N];
    for (int keep = 1; keep < 600; keep += 37) {
        pxi_deque deque;
        bool lost;
        int pushed = 0, oldest = 0;
        cr_assert (pxi_deque_init (&deque, false));
        while (pushed < N) {
            cr_assert (pxi_deque_push (&deque, &items[pushed++]));
            if (pushed - oldest > keep)
                cr_assert_eq (pxi_deque_steal (&deque, true, &lost), &items[oldest++]);
            cr_assert_eq (pxi_deque_size (&deque), pushed - oldest);
        }
        while (oldest < pushed)
            cr_assert_eq (pxi_deque_pop (&deque), &items[--pushed]);
        cr_assert_null (pxi_deque_pop (&deque));
        pxi_deque_fini (&deque);
    }
}
