/* A traced job's records as Chrome trace events. */
#ifndef PXI_AGENT_TIMELINE_H
#define PXI_AGENT_TIMELINE_H

#include <stdio.h>

#include <peerexec/error.h>

#include "wire/trace.h"

typedef struct pxi_timeline {
    uint64_t origin; /* the root's peer: times of the file are those of its clock, */
    const char *origin_name;
    uint64_t began_ns; /* from here on */
    const char *module_name;
    const char *const *task_names;
    uint32_t n_task_names;
    const pxi_traced *records; /* in any order */
    uint32_t n_records;
    uint64_t n_left_out;
} pxi_timeline;

/* PX_ENOMEM, PX_ESYSTEM (the file). */
px_err pxi_timeline_write (const pxi_timeline *timeline, FILE *file);

#endif
