/* base/bytes: counts, alignment, foreign data. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "leak.h"

Test (bytes, data_is_aligned_and_of_the_size_asked_for)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 4096, 1000003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pxi_bytes *bytes = pxi_bytes_new (sizes[i]);
        cr_assert_not_null (bytes);
        cr_assert_eq (pxi_bytes_size (bytes), sizes[i]);
        cr_assert_eq ((uintptr_t)pxi_bytes_data (bytes) % 16, 0);
        memset (pxi_bytes_data (bytes), 0x5a, sizes[i]);
        pxi_bytes_release (bytes);
    }
    TEST_NO_LEAKS ();
}

Test (bytes, a_copy_does_not_follow_its_original)
{
    char text[] = "as it was";
    pxi_bytes *bytes = pxi_bytes_copy (text, sizeof text);
    text[0] = 'X';
    cr_assert_str_eq (pxi_bytes_data (bytes), "as it was");
    pxi_bytes_release (bytes);
    pxi_bytes *empty = pxi_bytes_copy (NULL, 0);
    cr_assert_not_null (empty);
    pxi_bytes_release (empty);
    TEST_NO_LEAKS ();
}

Test (bytes, an_impossible_size_is_refused)
{
    cr_assert_null (pxi_bytes_new (SIZE_MAX));
    cr_assert_null (pxi_bytes_new (SIZE_MAX - 16));
}

static void count_free (void *owner)
{
    ++*(int *)owner;
}

Test (bytes, foreign_data_is_freed_once_with_the_last_reference)
{
    int n_freed = 0;
    char data[8] = "foreign";
    pxi_bytes *bytes = pxi_bytes_wrap (data, sizeof data, count_free, &n_freed);
    cr_assert_eq (pxi_bytes_data (bytes), data);
    cr_assert_eq (pxi_bytes_acquire (bytes), bytes);
    pxi_bytes_release (bytes);
    cr_assert_eq (n_freed, 0);
    pxi_bytes_release (bytes);
    cr_assert_eq (n_freed, 1);
    TEST_NO_LEAKS ();
}

Test (bytes, nothing_is_fine_everywhere)
{
    cr_assert_null (pxi_bytes_acquire (NULL));
    cr_assert_null (pxi_bytes_data (NULL));
    cr_assert_eq (pxi_bytes_size (NULL), 0);
    pxi_bytes_release (NULL);
}
