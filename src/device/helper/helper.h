/* The device helper: what px_device is made of. It has one device open and computes chunks on it for
 * the peer that started it; it lists the devices of the host where it is asked to. It may crash, and may
 * be killed at any time: all that it keeps is in files that are whole or not there. */
#ifndef PXI_DEVICE_HELPER_HELPER_H
#define PXI_DEVICE_HELPER_HELPER_H

#include <stdint.h>

typedef struct pxi_helper_config {
    int fd;              /* to the peer */
    uint32_t device;     /* index, as listed */
    const char *cache;   /* a directory that can be written */
    uint64_t memory_max; /* of the device that may be used at once; 0 = what it has */
} pxi_helper_config;

/* Tells the devices of this host, or why there is none. An exit code. */
int pxi_helper_list (const pxi_helper_config *config);
/* Serves until the peer closes its end. An exit code. */
int pxi_helper_serve (const pxi_helper_config *config);

#endif
