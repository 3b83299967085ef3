/* OpenCL 1.2 as it is found at run time: the loader (libOpenCL.so.1) is opened, never linked, so that
 * px_device starts on a host that has none and says so. Any thread, once loaded. */
#ifndef PXI_DEVICE_HELPER_OPENCL_H
#define PXI_DEVICE_HELPER_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "device/message.h"

#define PXI_OPENCL_FUNCTIONS(X)                                                                    \
    X (BuildProgram)                                                                               \
    X (CreateBuffer)                                                                               \
    X (CreateCommandQueue)                                                                         \
    X (CreateContext)                                                                              \
    X (CreateKernel)                                                                               \
    X (CreateProgramWithBinary)                                                                    \
    X (CreateProgramWithSource)                                                                    \
    X (EnqueueMapBuffer)                                                                           \
    X (EnqueueMarkerWithWaitList)                                                                  \
    X (EnqueueNDRangeKernel)                                                                       \
    X (EnqueueReadBuffer)                                                                          \
    X (EnqueueUnmapMemObject)                                                                      \
    X (EnqueueWriteBuffer)                                                                         \
    X (Finish)                                                                                     \
    X (Flush)                                                                                      \
    X (GetDeviceIDs)                                                                               \
    X (GetDeviceInfo)                                                                              \
    X (GetEventProfilingInfo)                                                                      \
    X (GetKernelWorkGroupInfo)                                                                     \
    X (GetPlatformIDs)                                                                             \
    X (GetPlatformInfo)                                                                            \
    X (GetProgramBuildInfo)                                                                        \
    X (GetProgramInfo)                                                                             \
    X (ReleaseCommandQueue)                                                                        \
    X (ReleaseContext)                                                                             \
    X (ReleaseEvent)                                                                               \
    X (ReleaseKernel)                                                                              \
    X (ReleaseMemObject)                                                                           \
    X (ReleaseProgram)                                                                             \
    X (SetEventCallback)                                                                           \
    X (SetKernelArg)

typedef struct pxi_opencl {
#define PXI_OPENCL_MEMBER(name) __typeof__ (&cl##name) name;
    PXI_OPENCL_FUNCTIONS (PXI_OPENCL_MEMBER)
#undef PXI_OPENCL_MEMBER
    void *loader;
    uint32_t n_devices;
    cl_device_id devices[PXI_HOST_DEVICES_MAX];
    pxi_device_info info[PXI_HOST_DEVICES_MAX];
} pxi_opencl;

/* Opens the loader and finds the devices. False where there is none: `why` (PX_WHY_SIZE) says what is
 * missing. The loader stays open in either case: vendors' threads do not survive its closing. */
bool pxi_opencl_find (pxi_opencl *cl, char *why);

/* What a device calls itself and its driver: part of the name of a cached binary. */
void pxi_opencl_version (const pxi_opencl *cl, cl_device_id device, char *text, size_t size);
/* In words, for those that users meet; the number otherwise. */
const char *pxi_opencl_text (cl_int code, char *room, size_t size);

#endif
