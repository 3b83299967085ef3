/* How a chunk of a data-parallel task looks as bytes, going and coming, and when two results of it are the
 * same. Any thread.
 *
 *     common: the size of each argument's part     | parts of SHARED and VALUE: the branch's shared bytes
 *     input:  begin, end                           | parts of IN
 *     result: number of partials, 0                | parts of OUT and REDUCED
 *
 * Heads are u64 each, parts are in the order of the arguments, each at a multiple of 16. A reduced part
 * has as many elements as there are partials: one where C has computed the chunk, one per work item where a
 * device has; whoever opened the branch folds them. */
#ifndef PXI_DEVICE_RANGE_H
#define PXI_DEVICE_RANGE_H

#include <stdbool.h>

#include <peerexec/device.h>

#include "module/range.h"

/* Where parts lie. Parts that there are not have size 0. */
typedef struct pxi_range_view {
    uint64_t begin, end, n_partials;
    uint64_t offsets[PX_ARGS_MAX], sizes[PX_ARGS_MAX];
    uint64_t size; /* in all */
} pxi_range_view;

/* An argument that is a part of what is common; of results. */
bool pxi_range_arg_is_common (const px_arg *arg);
bool pxi_range_arg_is_out (const px_arg *arg);

/* False: it is too large. shared_sizes by argument, read for SHARED only. */
bool pxi_range_common_layout (const px_range_def *def, const uint64_t *shared_sizes,
                              pxi_range_view *view);
void pxi_range_common_head (const px_range_def *def, const pxi_range_view *view, void *common);
bool pxi_range_input_layout (const px_range_def *def, uint64_t begin, uint64_t end,
                             pxi_range_view *view);
void pxi_range_input_head (const pxi_range_view *view, void *input);
bool pxi_range_result_layout (const px_range_def *def, uint64_t begin, uint64_t end,
                              uint64_t n_partials, pxi_range_view *view);
void pxi_range_result_head (const pxi_range_view *view, void *result);

/* What another peer sent. False: it is none of this task, for a reason that `why` tells (or NULL). */
bool pxi_range_common_parse (const px_range_def *def, const void *common, size_t size,
                             pxi_range_view *view, char *why);
bool pxi_range_input_parse (const px_range_def *def, const void *input, size_t size,
                            pxi_range_view *view, char *why);
bool pxi_range_result_parse (const px_range_def *def, uint64_t begin, uint64_t end,
                             const void *result, size_t size, pxi_range_view *view);

/* Work items of n indices. */
uint64_t pxi_range_items (const px_range_def *def, uint64_t n);

/* The first element of an output in which `other` differs from what C computed; UINT64_MAX = none does. */
uint64_t pxi_range_compare (const px_arg *arg, const void *other, const void *c, uint64_t size);

#endif
