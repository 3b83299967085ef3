/* A build without OpenCL has no device to measure alone. */
#include <stdio.h>

#include "bench/plain.h"

bool plain_measure (uint32_t device, const plain_sizes_t *sizes, device_figures_t *figures)
{
    (void)device, (void)sizes, (void)figures;
    fputs ("peer-bench devices: built without OpenCL\n", stderr);
    return false;
}
