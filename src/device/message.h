/* What a peer and a device helper say to each other: packets over a socket pair (SOCK_SEQPACKET, so a
 * packet is whole or not there), with descriptors of shared memory beside them. Bulk data never goes
 * through the socket: it lies in memory that both have mapped. Both ends are of one build on one host.
 *
 *     peer                                  helper
 *                                        <- DEVICE ... LISTED      (started to list)
 *                                        <- READY | REFUSED        (started for one device)
 *     BUILD + source                     -> BUILT                  log, from the cache or not
 *     KEEP + bytes                       -> KEPT                   a shared input, until DROP
 *     RUN (+ the slot's memory, if new)  -> RAN                    in any order
 *
 * Each request that has an answer gets exactly one, with its id. The helper takes requests in order: a
 * RUN may follow its BUILD at once, and fails with it. */
#ifndef PXI_DEVICE_MESSAGE_H
#define PXI_DEVICE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <peerexec/error.h>

enum {
    PXI_DEVICE_VERSION = 1,
    PXI_DEVICE_FD = 3,            /* the helper's end of the socket */
    PXI_DEVICE_EXIT_FAILED = 3,   /* exit code of a helper that has told which chunk it ends for */
    PXI_DEVICE_NAME_SIZE = 64,    /* of a device or platform, cut */
    PXI_DEVICE_TEXT_SIZE = 16384, /* a compiler's log, cut; names and options of a BUILD */
    PXI_DEVICE_ARGS_MAX =
        16, /* of a kernel: OpenCL promises room for 8 constant ones, people use fewer */
    PXI_DEVICE_VALUE_SIZE = 64, /* of a scalar: float16 is the largest */
    PXI_DEVICE_SLOTS = 3, /* of a device: one computes, one is copied, one is filled by the peer */
    PXI_HOST_DEVICES_MAX = 16, /* of a host */
    PXI_DEVICE_PROGRAMS_MAX =
        64, /* built and kept at once: kernels of the jobs that a peer works for */
    PXI_DEVICE_BUFFERS_MAX = 64, /* shared inputs kept at once */
    PXI_DEVICE_ALIGNMENT = 4096, /* of each part of a slot: what any device maps without a copy */
};

typedef enum pxi_device_class {
    PXI_DEVICE_CPU,
    PXI_DEVICE_GPU,
    PXI_DEVICE_ACCELERATOR,
} pxi_device_class;

typedef struct pxi_device_info {
    uint32_t index; /* among all devices of the host, in the order of the loader */
    uint32_t class; /* pxi_device_class */
    uint32_t compute_units;
    uint32_t has_fp64, unified; /* unified: its memory is the host's, nothing is copied */
    uint64_t memory_size, alloc_size_max;
    char name[PXI_DEVICE_NAME_SIZE], platform[PXI_DEVICE_NAME_SIZE];
} pxi_device_info;

typedef enum pxi_device_arg_kind {
    PXI_DEVICE_ARG_IN,    /* a part of the slot that the kernel reads */
    PXI_DEVICE_ARG_OUT,   /* a part of the slot that it writes */
    PXI_DEVICE_ARG_KEPT,  /* a shared input, by its id */
    PXI_DEVICE_ARG_VALUE, /* a scalar, by value */
} pxi_device_arg_kind;

typedef struct pxi_device_arg {
    uint32_t kind; /* pxi_device_arg_kind */
    uint32_t value_size;
    uint64_t offset, size; /* in the slot */
    uint64_t kept;
    uint8_t value[PXI_DEVICE_VALUE_SIZE];
} pxi_device_arg;

typedef enum pxi_device_kind {
    PXI_DEVICE_MSG_DEVICE = 1, /* info */
    PXI_DEVICE_MSG_LISTED,     /* no more; text = why there is none */
    PXI_DEVICE_MSG_READY,      /* info */
    PXI_DEVICE_MSG_REFUSED,    /* err, text */
    PXI_DEVICE_MSG_BUILD, /* id, memory = source; line; text = options, kernel, file, each with a NUL */
    PXI_DEVICE_MSG_BUILT,  /* id, err, cached, text = log */
    PXI_DEVICE_MSG_FORGET, /* id of a program; no answer */
    PXI_DEVICE_MSG_KEEP,   /* id, memory, size */
    PXI_DEVICE_MSG_KEPT,   /* id, err, text */
    PXI_DEVICE_MSG_DROP,   /* id; no answer */
    PXI_DEVICE_MSG_RUN,    /* id, program, slot, n_items, args; memory where the slot's is new */
    PXI_DEVICE_MSG_RAN,    /* id, err, text, first, total_ns, kernel_ns */
} pxi_device_kind;

typedef struct pxi_device_message {
    uint32_t version, kind;
    uint64_t id;
    uint32_t err; /* px_err */
    uint32_t line, cached, first, slot, n_args;
    uint64_t program, size, n_items;
    uint64_t total_ns, kernel_ns; /* with copies; the kernel alone, 0 = the device does not tell */
    pxi_device_info info;
    pxi_device_arg args[PXI_DEVICE_ARGS_MAX];
    uint32_t text_size; /* with its NULs */
    char text[PXI_DEVICE_TEXT_SIZE];
} pxi_device_message;

typedef enum pxi_device_receipt {
    PXI_DEVICE_RECEIVED,
    PXI_DEVICE_NOTHING, /* now */
    PXI_DEVICE_CLOSED,  /* the far end is gone */
    PXI_DEVICE_NONSENSE,
} pxi_device_receipt;

/* Everything 0 but version and kind. */
void pxi_device_message_init (pxi_device_message *message, pxi_device_kind kind, uint64_t id);
/* Adds a string and its NUL to the text; one that does not fit is cut. */
void pxi_device_message_add (pxi_device_message *message, const char *text);
/* memory = -1: none goes along. False: the far end is gone, or takes no more. */
bool pxi_device_send (int fd, const pxi_device_message *message, int memory);
/* A descriptor that came along is the caller's; -1 = none did. Waits only where fd is in blocking
 * mode. Strings of the text have their NULs. */
pxi_device_receipt pxi_device_receive (int fd, pxi_device_message *message, int *memory);

/* Shared memory of a fixed size, which the far end can map but not shrink. */
typedef struct pxi_device_memory {
    int fd; /* -1 = none */
    void *data;
    size_t size;
} pxi_device_memory;

/* PX_ESYSTEM: errno says why. Size 0 is made 1 page. */
px_err pxi_device_memory_new (pxi_device_memory *memory, size_t size);
/* Takes fd in every case. PX_EMALFORMED: it has fewer bytes, or may lose some; PX_ESYSTEM. */
px_err pxi_device_memory_map (pxi_device_memory *memory, int fd, size_t size);
void pxi_device_memory_free (pxi_device_memory *memory);

#endif
