/* What a range task says of itself is an author's, and told to him where his module is loaded: nothing of it
 * is asserted. */
#include "module/range.h"

#include <peerexec/peer.h>

#include "base/error.h"

enum { ELEMENT_SIZE_MAX = 1 << 16, ELEMENTS_MAX = 1 << 20 };

static const char *arg_fault (const px_arg *arg)
{
    static const uint32_t number_sizes[] = {0, 4, 8};
    if (arg->kind < PX_ARG_SHARED || arg->kind > PX_ARG_COUNT)
        return "has no such kind";
    if (arg->element_size == 0 || arg->element_size > ELEMENT_SIZE_MAX)
        return "has an element size of 0 or over 65536";
    if (arg->elements == 0 || arg->elements > ELEMENTS_MAX)
        return "has 0 or over 1048576 elements for an index";
    if (arg->kind == PX_ARG_VALUE && arg->element_size > PX_VALUE_SIZE_MAX)
        return "is a value of more than 64 bytes";
    if (arg->kind == PX_ARG_REDUCED && !arg->reduce)
        return "is reduced, but by nothing";
    if ((uint32_t)arg->number > PX_NUMBER_DOUBLE ||
        (arg->number && arg->element_size % number_sizes[arg->number]))
        return "has elements that are no such numbers";
    if (!(arg->absolute >= 0) || !(arg->relative >= 0))
        return "has a tolerance below 0";
    return NULL;
}

bool pxi_range_def_is_valid (const px_range_def *def, char *why)
{
    if (!def || def->size < sizeof *def || !def->name || !def->run || !def->args ||
        def->n_args == 0 || def->n_args > PX_ARGS_MAX || def->items_elements == 0 ||
        (def->source && !def->kernel)) {
        pxi_fail (
            PX_EINVAL, why,
            "a range task needs an implementation in C, 1 to %d arguments, at least one index "
            "per work item, and the name of its kernel",
            PX_ARGS_MAX);
        return false;
    }
    for (uint32_t i = 0; i < def->n_args; i++) {
        const char *fault = arg_fault (&def->args[i]);
        if (fault) {
            pxi_fail (PX_EINVAL, why, "argument %u of the range task %s %s", i + 1, def->name,
                      fault);
            return false;
        }
    }
    return true;
}
