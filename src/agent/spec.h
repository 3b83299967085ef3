/* A job's specification: what an executor anywhere has to know of the job beside task and input. It
 * travels in a frame of its own before each input, and is passed on unread by peers between.
 *
 * Layout, little-endian, no padding:
 *     u8 version = 1 | u8 flags | u16 n_points | i32 default branch number
 *         flags: 1 = trace, 2 = numbers stay, 4 = the default rises
 *     n_points times: i32 branch number | u8 length > 0 | the point's name, without NUL */
#ifndef PXI_AGENT_SPEC_H
#define PXI_AGENT_SPEC_H

#include <stdbool.h>

#include <peerexec/job.h>

#include "base/bytes.h"

enum {
    PXI_SPEC_POINTS_MAX = 64, /* branch points with a number of their own */
    PXI_POINT_SIZE_MAX = PX_POINT_SIZE_MAX,
    PXI_SPEC_SIZE_MAX = 8 + PXI_SPEC_POINTS_MAX * (5 + PXI_POINT_SIZE_MAX),
};

typedef struct pxi_spec {
    bool trace, fixed_numbers, default_rises;
    int32_t branch_number; /* PX_NUMBER_DEFAULT = the executing peer's own default */
    uint32_t n_points;
    const char *points[PXI_SPEC_POINTS_MAX]; /* in text */
    int32_t numbers[PXI_SPEC_POINTS_MAX];
    char text[PXI_SPEC_POINTS_MAX * (PXI_POINT_SIZE_MAX + 1)];
} pxi_spec;

/* PX_EINVAL: a point's name or number, PX_EFULL: too many of them, PX_ENOMEM. `why` as for
 * pxi_fail (). */
px_err pxi_spec_encode (const px_job_options *options, int32_t branch_number, bool default_rises,
                        pxi_bytes **bytes, char *why);
/* Strict: every byte must be accounted for. False: malformed. */
bool pxi_spec_decode (const void *data, size_t size, pxi_spec *spec);
/* Of one that was decoded already. */
bool pxi_spec_is_traced (const pxi_bytes *bytes);

#endif
