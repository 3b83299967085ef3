/* The containers of base with each allocation failing in turn: a refusal leaves them as they were.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/bytes.h"
#include "base/heap.h"
#include "base/map.h"
#include "failing.h"

enum { N = 200 };

Test (base, a_map_that_cannot_grow_keeps_what_it_has)
{
    bool met = true;
    for (size_t n = 1; met; n++) {
        pxi_map map;
        pxi_map_init (&map, N, 1);
        failing_set (n);
        uint64_t n_refused = 0;
        for (uint64_t key = 0; key < N; key++) {
            if (pxi_map_put (&map, key, key + 1))
                continue;
            n_refused++;
            cr_assert (pxi_map_put (&map, key, key + 1), "the failure was for once");
        }
        met = failing_was_met ();
        failing_set (0);
        cr_assert_eq (n_refused, met);
        for (uint64_t key = 0, value; key < N; key++)
            cr_assert (pxi_map_get (&map, key, &value) && value == key + 1);
        pxi_map_fini (&map);
        cr_assert_eq (failing_n_blocks (), 0);
    }
}

Test (base, a_heap_needs_no_memory_at_all)
{
    pxi_heap heap;
    pxi_heap_node nodes[N] = {{0}};
    pxi_heap_init (&heap, N);
    failing_set (1);
    for (uint32_t i = 0; i < N; i++)
        cr_assert (pxi_heap_add (&heap, &nodes[i], N - i, i));
    for (uint32_t i = 0; i < N; i += 2)
        pxi_heap_move (&heap, &nodes[i], i, i);
    pxi_heap_fini (&heap);
    cr_assert_not (failing_was_met ());
    failing_set (0);
}

static void never (void *owner)
{
    cr_assert_fail ("what was not wrapped must not be freed");
}

Test (base, bytes_that_cannot_be_made_are_null_and_take_nothing)
{
    char data[4];
    failing_set (1);
    cr_assert_null (pxi_bytes_new (8));
    failing_set (1);
    cr_assert_null (pxi_bytes_copy (data, 4));
    failing_set (1);
    cr_assert_null (pxi_bytes_wrap (data, 4, never, data));
    cr_assert (failing_was_met ());
}
