/* The device helper: what px_device is made of. It has one device open and computes chunks on it for
 * the peer that started it; it lists the devices of the host where it is asked to. It may crash, and may
 * be killed at any time: all that it keeps is in files that are whole or not there. */
#ifndef PXI_DEVICE_HELPER_HELPER_H
#define PXI_DEVICE_HELPER_HELPER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct pxi_helper_config {
    int fd;              /* to the peer */
    uint32_t device;     /* index, as listed */
    const char *cache;   /* a directory that can be written */
    uint64_t memory_max; /* of the device that may be used at once; 0 = what it has */
} pxi_helper_config;

/* Puts the process's environment in order, before OpenCL is loaded, and finds a directory for compiled
 * kernels: `given`, or NULL = that of the user. threads: of a device that is the CPU, NULL = all. False: no
 * directory can be written. */
bool pxi_helper_prepare (const char *given, const char *threads, char cache[PATH_MAX]);

/* Tells the devices of this host, or why there is none. An exit code. */
int pxi_helper_list (const pxi_helper_config *config);
/* Serves until the peer closes its end. An exit code. */
int pxi_helper_serve (const pxi_helper_config *config);

#endif
