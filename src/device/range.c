/* Sizes are computed in 64 bits and checked: a range and its elements are whatever a program says, or a
 * message. */
#include "device/range.h"

#include <math.h>
#include <string.h>

#include "base/error.h"

enum { ALIGNMENT = 16 };
#define PART_SIZE_MAX (UINT64_C (1) << 40)

bool pxi_range_arg_is_common (const px_arg *arg)
{
    return arg->kind == PX_ARG_SHARED || arg->kind == PX_ARG_VALUE;
}

static bool arg_is_in (const px_arg *arg)
{
    return arg->kind == PX_ARG_IN;
}

bool pxi_range_arg_is_out (const px_arg *arg)
{
    return arg->kind == PX_ARG_OUT || arg->kind == PX_ARG_REDUCED;
}

uint64_t pxi_range_items (const px_range_def *def, uint64_t n)
{
    return n / def->items_elements + (n % def->items_elements != 0);
}

/* ---- layouts ----------------------------------------------------------------------------------
 */

/* 0 where an argument has no part; UINT64_MAX: too large. */
static uint64_t part_size (const px_arg *arg, uint64_t n, uint64_t n_partials, uint64_t shared_size)
{
    uint64_t count = 1, each = arg->element_size;
    switch (arg->kind) {
    case PX_ARG_SHARED:
        return shared_size <= PART_SIZE_MAX ? shared_size : UINT64_MAX;
    case PX_ARG_IN:
    case PX_ARG_OUT:
        each *= arg->elements;
        count = n;
        break;
    case PX_ARG_REDUCED:
        count = n_partials;
        break;
    default:
        break;
    }
    return count <= PART_SIZE_MAX / each ? count * each : UINT64_MAX;
}

static bool place (const px_range_def *def, bool (*is_part) (const px_arg *arg), uint64_t head,
                   const uint64_t *shared_sizes, pxi_range_view *view)
{
    view->size = head;
    for (uint32_t i = 0; i < def->n_args; i++) {
        const px_arg *arg = &def->args[i];
        view->offsets[i] = view->sizes[i] = 0;
        if (!is_part (arg))
            continue;
        uint64_t size = part_size (arg, view->end - view->begin, view->n_partials,
                                   arg->kind == PX_ARG_SHARED ? shared_sizes[i] : 0);
        if (size == UINT64_MAX)
            return false;
        view->offsets[i] = (view->size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        view->sizes[i] = size;
        view->size = view->offsets[i] + size;
    }
    return true;
}

bool pxi_range_common_layout (const px_range_def *def, const uint64_t *shared_sizes,
                              pxi_range_view *view)
{
    *view = (pxi_range_view){0};
    return place (def, pxi_range_arg_is_common, def->n_args * sizeof (uint64_t), shared_sizes,
                  view);
}

bool pxi_range_input_layout (const px_range_def *def, uint64_t begin, uint64_t end,
                             pxi_range_view *view)
{
    *view = (pxi_range_view){.begin = begin, .end = end};
    return begin <= end && place (def, arg_is_in, 2 * sizeof (uint64_t), NULL, view);
}

bool pxi_range_result_layout (const px_range_def *def, uint64_t begin, uint64_t end,
                              uint64_t n_partials, pxi_range_view *view)
{
    *view = (pxi_range_view){.begin = begin, .end = end, .n_partials = n_partials};
    return begin <= end && place (def, pxi_range_arg_is_out, 2 * sizeof (uint64_t), NULL, view);
}

void pxi_range_common_head (const px_range_def *def, const pxi_range_view *view, void *common)
{
    memcpy (common, view->sizes, def->n_args * sizeof *view->sizes);
}

void pxi_range_input_head (const pxi_range_view *view, void *input)
{
    const uint64_t head[2] = {view->begin, view->end};
    memcpy (input, head, sizeof head);
}

void pxi_range_result_head (const pxi_range_view *view, void *result)
{
    const uint64_t head[2] = {view->n_partials, 0};
    memcpy (result, head, sizeof head);
}

/* ---- what came --------------------------------------------------------------------------------
 */

static bool sizes_are_right (const px_range_def *def, const uint64_t *sizes,
                             const pxi_range_view *view)
{
    for (uint32_t i = 0; i < def->n_args; i++) {
        if (sizes[i] != view->sizes[i] ||
            (def->args[i].kind == PX_ARG_SHARED && sizes[i] % def->args[i].element_size))
            return false;
    }
    return true;
}

bool pxi_range_common_parse (const px_range_def *def, const void *common, size_t size,
                             pxi_range_view *view, char *why)
{
    uint64_t head[PX_ARGS_MAX];
    size_t head_size = def->n_args * sizeof *head;
    if (size >= head_size) {
        memcpy (head, common, head_size);
        if (pxi_range_common_layout (def, head, view) && view->size == size &&
            sizes_are_right (def, head, view))
            return true;
    }
    pxi_fail (PX_EINVAL, why, "%zu bytes are not what chunks of the range task %s share", size,
              def->name);
    return false;
}

bool pxi_range_input_parse (const px_range_def *def, const void *input, size_t size,
                            pxi_range_view *view, char *why)
{
    uint64_t head[2];
    if (size >= sizeof head) {
        memcpy (head, input, sizeof head);
        if (pxi_range_input_layout (def, head[0], head[1], view) && view->size == size)
            return true;
    }
    pxi_fail (PX_EINVAL, why, "%zu bytes are no chunk of the range task %s", size, def->name);
    return false;
}

bool pxi_range_result_parse (const px_range_def *def, uint64_t begin, uint64_t end,
                             const void *result, size_t size, pxi_range_view *view)
{
    uint64_t head[2];
    if (size < sizeof head)
        return false;
    memcpy (head, result, sizeof head);
    return head[0] >= 1 && pxi_range_result_layout (def, begin, end, head[0], view) &&
           view->size == size;
}

/* ---- comparing --------------------------------------------------------------------------------
 */

static double number_at (px_number number, const void *bytes, uint64_t index)
{
    float narrow;
    double wide;
    if (number == PX_NUMBER_FLOAT) {
        memcpy (&narrow, (const char *)bytes + index * sizeof narrow, sizeof narrow);
        return (double)narrow;
    }
    memcpy (&wide, (const char *)bytes + index * sizeof wide, sizeof wide);
    return wide;
}

static bool is_same (const px_arg *arg, double other, double c)
{
    if (isnan (other) || isnan (c))
        return isnan (other) && isnan (c);
    if (isinf (other) || isinf (c))
        return other == c;
    return fabs (other - c) <= arg->absolute + arg->relative * fabs (c);
}

uint64_t pxi_range_compare (const px_arg *arg, const void *other, const void *c, uint64_t size)
{
    if (arg->number == PX_NUMBER_BYTES) {
        for (uint64_t i = 0; i < size; i++) {
            if (((const char *)other)[i] != ((const char *)c)[i])
                return i / arg->element_size;
        }
        return UINT64_MAX;
    }
    uint64_t each = arg->number == PX_NUMBER_FLOAT ? sizeof (float) : sizeof (double);
    for (uint64_t i = 0; i < size / each; i++) {
        if (!is_same (arg, number_at (arg->number, other, i), number_at (arg->number, c, i)))
            return i * each / arg->element_size;
    }
    return UINT64_MAX;
}
