/* base/map against a model: a table indexed by key. */
#include <criterion/criterion.h>
#include <stdint.h>

#include "base/map.h"
#include "base/prng.h"
#include "leak.h"

enum { N_KEYS = 512 };

/* Spread and dense keys, both ends of the range among them. */
static uint64_t key_of (uint64_t i)
{
    return i == 0 ? UINT64_MAX : i % 2 ? i / 2 : pxi_mix64 (i);
}

Test (map, holds_what_a_table_would_hold)
{
    for (uint64_t seed = 0; seed < 8; seed++) {
        pxi_map map;
        pxi_prng prng;
        uint64_t values[N_KEYS] = {0}; /* 0 = not in the map */
        uint32_t n_entries = 0;
        pxi_map_init (&map, N_KEYS, seed);
        pxi_prng_init (&prng, seed);
        for (uint64_t step = 1; step < 20000; step++) {
            uint64_t i = pxi_prng_below (&prng, N_KEYS), value = 77;
            if (pxi_prng_chance (&prng, 500000)) {
                cr_assert (pxi_map_put (&map, key_of (i), step));
                n_entries += values[i] == 0;
                values[i] = step;
            } else {
                cr_assert_eq (pxi_map_remove (&map, key_of (i), &value), values[i] != 0);
                cr_assert_eq (value, values[i] ? values[i] : 77);
                n_entries -= values[i] != 0;
                values[i] = 0;
            }
            cr_assert_eq (pxi_map_size (&map), n_entries);
            uint64_t j = pxi_prng_below (&prng, N_KEYS);
            value = 78;
            cr_assert_eq (pxi_map_get (&map, key_of (j), &value), values[j] != 0);
            cr_assert_eq (value, values[j] ? values[j] : 78);
        }
        for (uint64_t i = 0; i < N_KEYS; i++)
            cr_assert_eq (pxi_map_get (&map, key_of (i), NULL), values[i] != 0);
        pxi_map_fini (&map);
    }
    TEST_NO_LEAKS ();
}

Test (map, over_its_maximum_it_refuses_new_keys_only)
{
    pxi_map map;
    pxi_map_init (&map, 13, 1);
    for (uint64_t key = 0; key < 13; key++)
        cr_assert (pxi_map_put (&map, key, key));
    cr_assert_not (pxi_map_put (&map, 13, 13));
    cr_assert (pxi_map_put (&map, 12, 100));
    cr_assert (pxi_map_remove (&map, 5, NULL));
    cr_assert (pxi_map_put (&map, 13, 13));
    cr_assert_eq (pxi_map_size (&map), 13);
    pxi_map_fini (&map);
    TEST_NO_LEAKS ();
}

Test (map, an_empty_one_answers_too)
{
    pxi_map map;
    int thing;
    pxi_map_init (&map, 4, 0);
    cr_assert_not (pxi_map_get (&map, 0, NULL));
    cr_assert_not (pxi_map_remove (&map, 0, NULL));
    cr_assert_null (pxi_map_pointer (&map, 0));
    cr_assert (pxi_map_put_pointer (&map, 0, &thing));
    cr_assert_eq (pxi_map_pointer (&map, 0), &thing);
    cr_assert_eq (pxi_map_remove_pointer (&map, 0), &thing);
    cr_assert_null (pxi_map_remove_pointer (&map, 0));
    pxi_map_fini (&map);
    TEST_NO_LEAKS ();
}
