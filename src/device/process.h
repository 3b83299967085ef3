/* The process of a device helper, as its peer sees it. One thread; nothing here blocks but the end of
 * a process that was killed. */
#ifndef PXI_DEVICE_PROCESS_H
#define PXI_DEVICE_PROCESS_H

#include "device/message.h"

typedef struct pxi_device_program_config {
    const char *program; /* path of px_device */
    const char *cache;   /* directory of binaries; NULL = px_device's own choice */
    uint32_t threads;    /* of a device that is the CPU; 0 = all */
    uint64_t memory_max; /* of the device; 0 = all it has */
} pxi_device_program_config;

typedef struct pxi_device_process {
    pid_t pid;     /* 0 = none */
    int fd, pidfd; /* of the socket, not blocking; readable when it has died */
} pxi_device_process;

enum { PXI_DEVICE_LIST = -1 }; /* in place of a device: list them and end */

/* PX_ESYSTEM: `why` (PX_WHY_SIZE) says what. */
px_err pxi_device_process_start (pxi_device_process *process,
                                 const pxi_device_program_config *config, int32_t device,
                                 char *why);
void pxi_device_process_kill (pxi_device_process *process);
/* Nothing more comes from it than what can be read now. */
bool pxi_device_process_died (const pxi_device_process *process);
/* True: it has died and is gone; `how` says of what, and *code is its exit code, -1 for a signal. */
bool pxi_device_process_reap (pxi_device_process *process, char *how, size_t size, int *code);
/* Ends it if it is there, and waits for its death. */
void pxi_device_process_end (pxi_device_process *process);

#endif
