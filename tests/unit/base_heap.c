/* base/heap against a model: a plain array searched from end to end. */
#include <criterion/criterion.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/prng.h"
#include "leak.h"

enum { N_NODES = 300 };

static pxi_heap_node *model_first (pxi_heap_node *nodes)
{
    pxi_heap_node *first = NULL;
    for (int i = 0; i < N_NODES; i++) {
        pxi_heap_node *node = &nodes[i];
        if (!pxi_heap_holds (node))
            continue;
        if (!first || node->deadline < first->deadline ||
            (node->deadline == first->deadline && node->sequence < first->sequence))
            first = node;
    }
    return first;
}

Test (heap, first_is_always_what_a_search_finds)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        pxi_heap heap;
        pxi_prng prng;
        pxi_heap_node nodes[N_NODES] = {{0}};
        pxi_heap_init (&heap, N_NODES);
        pxi_prng_init (&prng, seed);
        for (uint64_t sequence = 0; sequence < 4000; sequence++) {
            pxi_heap_node *node = &nodes[pxi_prng_below (&prng, N_NODES)];
            uint64_t deadline = pxi_prng_below (&prng, 50); /* few: ties are the rule */
            if (!pxi_heap_holds (node))
                cr_assert (pxi_heap_add (&heap, node, deadline, sequence));
            else if (pxi_prng_chance (&prng, 500000))
                pxi_heap_move (&heap, node, deadline, sequence);
            else
                pxi_heap_remove (&heap, node);
            pxi_heap_node *first = model_first (nodes);
            cr_assert_eq (pxi_heap_first (&heap), first);
            cr_assert_eq (pxi_heap_deadline (&heap), first ? first->deadline : UINT64_MAX);
        }
        pxi_heap_fini (&heap);
    }
    TEST_NO_LEAKS ();
}

Test (heap, equal_deadlines_come_out_in_the_order_of_their_sequence)
{
    pxi_heap heap;
    pxi_heap_node nodes[100] = {{0}};
    pxi_heap_init (&heap, 100);
    for (uint32_t i = 0; i < 100; i++) /* 37 and 100 share no factor: every sequence once */
        cr_assert (pxi_heap_add (&heap, &nodes[i], 7, i * 37 % 100));
    for (uint64_t i = 0; i < 100; i++) {
        pxi_heap_node *node = pxi_heap_first (&heap);
        cr_assert_eq (node->sequence, i);
        pxi_heap_remove (&heap, node);
    }
    cr_assert_null (pxi_heap_first (&heap));
    pxi_heap_fini (&heap);
}

Test (heap, over_its_maximum_it_refuses_and_stays_as_it_was)
{
    pxi_heap heap;
    pxi_heap_node nodes[18] = {{0}};
    pxi_heap_init (&heap, 17);
    for (uint32_t i = 0; i < 17; i++)
        cr_assert (pxi_heap_add (&heap, &nodes[i], i, i));
    cr_assert_not (pxi_heap_add (&heap, &nodes[17], 0, 0));
    cr_assert_not (pxi_heap_holds (&nodes[17]));
    pxi_heap_remove (&heap, &nodes[17]); /* in no heap: nothing happens */
    cr_assert_eq (heap.n_nodes, 17);
    pxi_heap_remove (&heap, &nodes[3]);
    cr_assert (pxi_heap_add (&heap, &nodes[17], 0, 99));
    cr_assert_eq (pxi_heap_first (&heap), &nodes[0]);
    pxi_heap_fini (&heap);
    TEST_NO_LEAKS ();
}

Test (heap, the_latest_deadline_there_is_can_be_held)
{
    pxi_heap heap;
    pxi_heap_node node = {0};
    pxi_heap_init (&heap, 1);
    cr_assert (pxi_heap_add (&heap, &node, UINT64_MAX, UINT64_MAX));
    cr_assert_eq (pxi_heap_first (&heap), &node);
    pxi_heap_fini (&heap);
}
