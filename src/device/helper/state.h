/* What one helper has: a device, its queues, programs, shared inputs, and slots that chunks run in. One
 * thread, but for the driver's, which only writes to the pipe `done`. */
#ifndef PXI_DEVICE_HELPER_STATE_H
#define PXI_DEVICE_HELPER_STATE_H

#include "base/digest.h"
#include "device/helper/helper.h"
#include "device/helper/opencl.h"

enum {
    PXI_HELPER_QUEUES = 2, /* while one computes, the other copies */
    PXI_HELPER_LOCAL_SIZE =
        256, /* items of a work group where device and kernel allow it: a new size is
                                    compiled anew by PoCL, so there are two: this and 1 for what is left */
};

typedef struct pxi_helper_program {
    uint64_t id; /* 0 = free */
    pxi_digest digest;
    cl_program program;
    cl_kernel kernel;
    size_t local_size;
    px_err err; /* of its build */
    char *log;
    bool launched[2]; /* with local_size; with 1 */
} pxi_helper_program;

typedef struct pxi_helper_buffer {
    uint64_t id; /* 0 = free */
    pxi_device_memory memory;
    cl_mem mem;
} pxi_helper_buffer;

typedef struct pxi_helper_part {
    cl_mem mem; /* stays between chunks where the device has memory of its own */
    size_t capacity;
    void *mapped; /* for reading, where it has not */
} pxi_helper_part;

typedef struct pxi_helper pxi_helper;

typedef struct pxi_helper_slot {
    pxi_helper *helper;
    pxi_device_memory memory;
    bool busy;
    uint64_t id;
    uint64_t began_ns;
    bool first; /* a size of work group was compiled: its times say nothing */
    cl_command_queue queue;
    cl_event kernels[2];
    uint32_t n_kernels;
    uint32_t n_args;
    pxi_helper_part parts[PXI_DEVICE_ARGS_MAX];
} pxi_helper_slot;

struct pxi_helper {
    const pxi_helper_config *config;
    pxi_opencl *cl;
    cl_device_id device;
    pxi_device_info info;
    uint64_t memory_used; /* by shared inputs */
    cl_context context;
    cl_command_queue queues[PXI_HELPER_QUEUES];
    int done[2]; /* a pipe: slots whose chunk has ended */
    char version[1024];
    pxi_helper_program programs[PXI_DEVICE_PROGRAMS_MAX];
    pxi_helper_buffer buffers[PXI_DEVICE_BUFFERS_MAX];
    pxi_helper_slot slots[PXI_DEVICE_SLOTS];
    uint64_t ended_ns; /* of the last chunk */
};

/* What the pipe carries. */
typedef struct pxi_helper_end {
    uint32_t slot;
    int32_t status; /* negative: an OpenCL error */
} pxi_helper_end;

/* Answers BUILD. `source` is the helper's. */
void pxi_helper_build (pxi_helper *helper, const pxi_device_message *request,
                       const pxi_device_memory *source, pxi_device_message *answer);
void pxi_helper_forget (pxi_helper *helper, uint64_t id);
/* NULL where there is none. */
pxi_helper_program *pxi_helper_program_find (pxi_helper *helper, uint64_t id);

/* Answers KEEP. Takes `memory` when it succeeds. */
void pxi_helper_keep (pxi_helper *helper, const pxi_device_message *request,
                      pxi_device_memory *memory, pxi_device_message *answer);
void pxi_helper_drop (pxi_helper *helper, uint64_t id);

/* Starts a chunk in its slot. False: it has ended at once, and `answer` says how. */
bool pxi_helper_run (pxi_helper *helper, const pxi_device_message *request,
                     pxi_device_message *answer);
/* A chunk has ended: what RAN says of it. */
void pxi_helper_ran (pxi_helper *helper, pxi_helper_slot *slot, int32_t status,
                     pxi_device_message *answer);

/* An answer's error and a sentence, which joins what the text has. */
void pxi_helper_refuse (pxi_device_message *answer, px_err err, const char *format, ...)
    PX_PRINTF (3, 4);

#endif
