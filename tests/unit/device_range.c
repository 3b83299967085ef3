/* How chunks look as bytes, and when results are the same. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include <peerexec/peer.h>

#include "device/range.h"

static void add (void *total, const void *part, size_t size)
{
    (void)total, (void)part, (void)size;
}

static px_err run (px_task *task, const px_chunk *chunk)
{
    return PX_OK;
}

static const px_arg args[] = {
    PX_IN (double),      PX_SHARED (float), PX_OUT_FLOAT (1e-3),
    PX_VALUE (char[24]), PX_BEGIN,          PX_REDUCED_DOUBLE (add, 0),
};
static const px_range_def def = {sizeof def, "f",  NULL, run, args, 6,
                                 NULL,       NULL, NULL, 10,  NULL, 0};

static const uint64_t shared_sizes[6] = {0, 40, 0, 0, 0, 0};

Test (range, inputs_come_back_as_they_were_made)
{
    pxi_range_view common, input, again;
    char bytes[2000] = {0}, why[PX_WHY_SIZE];
    cr_assert (pxi_range_common_layout (&def, shared_sizes, &common));
    cr_assert (pxi_range_input_layout (&def, 7, 107, &input));
    cr_assert_eq (input.sizes[0], 800);
    cr_assert_eq (input.sizes[1] + input.sizes[2] + input.sizes[3], 0);
    cr_assert_eq (common.sizes[1], 40);
    cr_assert_eq (common.sizes[3], 24);
    cr_assert_eq (common.offsets[3] % 16, 0);
    pxi_range_common_head (&def, &common, bytes);
    cr_assert (pxi_range_common_parse (&def, bytes, common.size, &again, why), "%s", why);
    cr_assert_eq (memcmp (again.offsets, common.offsets, 6 * sizeof *common.offsets), 0);
    pxi_range_input_head (&input, bytes);
    cr_assert (pxi_range_input_parse (&def, bytes, input.size, &again, why), "%s", why);
    cr_assert_eq (again.begin, 7);
    cr_assert_eq (again.end, 107);
    cr_assert_eq (memcmp (again.offsets, input.offsets, 6 * sizeof *input.offsets), 0);
}

static bool parse (bool common, const void *bytes, size_t size)
{
    pxi_range_view view;
    char why[PX_WHY_SIZE];
    return common ? pxi_range_common_parse (&def, bytes, size, &view, why)
                  : pxi_range_input_parse (&def, bytes, size, &view, why);
}

/* Every size but the right one, and every word of the head changed, is refused. */
static void expect_only_this (bool common, const char *bytes, size_t size, uint32_t n_words)
{
    static const uint64_t odd[] = {1, 3, UINT64_MAX, UINT64_MAX / 2, 16};
    for (size_t other = 0; other < 2000; other++)
        cr_assert_eq (parse (common, bytes, other), other == size);
    for (uint32_t word = 0; word < n_words; word++) {
        for (uint32_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            char spoilt[2000];
            uint64_t value;
            memcpy (spoilt, bytes, sizeof spoilt);
            memcpy (&value, spoilt + 8 * word, sizeof value);
            value += odd[i];
            memcpy (spoilt + 8 * word, &value, sizeof value);
            cr_assert_not (parse (common, spoilt, size), "word %u", word);
        }
    }
}

Test (range, other_inputs_are_refused)
{
    pxi_range_view view;
    char bytes[2000] = {0};
    pxi_range_common_layout (&def, shared_sizes, &view);
    pxi_range_common_head (&def, &view, bytes);
    expect_only_this (true, bytes, view.size, 6);
    memset (bytes, 0, sizeof bytes);
    pxi_range_input_layout (&def, 7, 107, &view);
    pxi_range_input_head (&view, bytes);
    expect_only_this (false, bytes, view.size, 2);
    cr_assert_not (parse (true, NULL, 0));
}

Test (range, results_have_one_partial_or_one_per_item)
{
    static char result[4000];
    pxi_range_view view, again;
    for (uint64_t n_partials = 1; n_partials <= pxi_range_items (&def, 101); n_partials += 10) {
        cr_assert (pxi_range_result_layout (&def, 0, 101, n_partials, &view));
        cr_assert_eq (view.sizes[2], 404);
        cr_assert_eq (view.sizes[5], 8 * n_partials);
        pxi_range_result_head (&view, result);
        for (size_t size = 0; size < 1000; size++)
            cr_assert_eq (pxi_range_result_parse (&def, 0, 101, result, size, &again),
                          size == view.size);
    }
    cr_assert_eq (pxi_range_items (&def, 101), 11);
    cr_assert_eq (pxi_range_items (&def, 100), 10);
    cr_assert_eq (pxi_range_items (&def, UINT64_MAX), UINT64_MAX / 10 + 1);
    memset (result, 0, sizeof result);
    cr_assert_not (pxi_range_result_parse (&def, 0, 0, result, 16, &again));
}

Test (range, sizes_over_all_bounds_are_refused)
{
    pxi_range_view view;
    uint64_t sizes[6] = {0, UINT64_MAX - 3, 0, 0, 0, 0};
    cr_assert_not (pxi_range_input_layout (&def, 0, UINT64_MAX, &view));
    cr_assert_not (pxi_range_input_layout (&def, 0, UINT64_MAX / 8 + 2, &view));
    cr_assert_not (pxi_range_input_layout (&def, 8, 7, &view));
    cr_assert_not (pxi_range_common_layout (&def, sizes, &view));
    cr_assert_not (pxi_range_result_layout (&def, 0, 1, UINT64_MAX / 4, &view));
}

Test (range, definitions_that_are_not_valid_say_why)
{
    char why[PX_WHY_SIZE];
    cr_assert (pxi_range_def_is_valid (&def, why));
    static const px_arg bad[] = {
        {0, 4, 1, PX_NUMBER_BYTES, 0, 0, NULL},
        {99, 4, 1, PX_NUMBER_BYTES, 0, 0, NULL},
        {PX_ARG_IN, 0, 1, PX_NUMBER_BYTES, 0, 0, NULL},
        {PX_ARG_IN, 4, 0, PX_NUMBER_BYTES, 0, 0, NULL},
        {PX_ARG_VALUE, 65, 1, PX_NUMBER_BYTES, 0, 0, NULL},
        {PX_ARG_REDUCED, 4, 1, PX_NUMBER_FLOAT, 0, 0, NULL},
        {PX_ARG_OUT, 6, 1, PX_NUMBER_FLOAT, 0, 0, NULL},
        {PX_ARG_OUT, 4, 1, PX_NUMBER_FLOAT, -1, 0, NULL},
        {PX_ARG_OUT, 4, 1, PX_NUMBER_FLOAT, 0, NAN, NULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        px_range_def other = def;
        other.args = &bad[i];
        other.n_args = 1;
        why[0] = '\0';
        cr_assert_not (pxi_range_def_is_valid (&other, why), "%zu", i);
        cr_assert_not_null (strstr (why, "argument 1 of the range task f"), "%s", why);
    }
    px_range_def without = def;
    without.run = NULL;
    cr_assert_not (pxi_range_def_is_valid (&without, NULL));
    without = def;
    without.items_elements = 0;
    cr_assert_not (pxi_range_def_is_valid (&without, NULL));
    cr_assert_not (pxi_range_def_is_valid (NULL, NULL));
}

Test (range, results_are_the_same_within_their_tolerance)
{
    static const px_arg floats = {PX_ARG_OUT, 4, 1, PX_NUMBER_FLOAT, 0.5, 0.01, NULL};
    static const struct {
        float a, c;
        bool same;
    } cases[] = {
        {1, 1, true},
        {1.5f, 1, true},
        {1.52f, 1, false},
        {-101.4f, -100, true},
        {-101.6f, -100, false},
        {NAN, NAN, true},
        {NAN, 1, false},
        {1, NAN, false},
        {INFINITY, INFINITY, true},
        {INFINITY, -INFINITY, false},
        {INFINITY, 1e38f, false},
        {0, -0.0f, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert_eq (pxi_range_compare (&floats, &cases[i].a, &cases[i].c, 4) == UINT64_MAX,
                      cases[i].same, "%g and %g", cases[i].a, cases[i].c);
    double a[5] = {1, 2, 3, 4, 5}, b[5] = {1, 2, 3, 4.1, 5};
    static const px_arg pairs = {PX_ARG_OUT, 16, 1, PX_NUMBER_DOUBLE, 0, 1e-9, NULL};
    cr_assert_eq (pxi_range_compare (&pairs, a, b, 32), 1);
    cr_assert_eq (pxi_range_compare (&pairs, a, b, 16), UINT64_MAX);
    static const px_arg bytes = {PX_ARG_OUT, 8, 1, PX_NUMBER_BYTES, 9, 9, NULL};
    cr_assert_eq (pxi_range_compare (&bytes, a, b, 40), 3);
}
