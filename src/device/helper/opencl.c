/* Finding devices. That a loader has no vendor, or a vendor no device, is an answer, not an error. */
#include "device/helper/opencl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

enum { PLATFORMS_MAX = 8 };
#define PLATFORM_NOT_FOUND (-1001) /* cl_khr_icd: the loader has no vendor */

static bool load (pxi_opencl *cl, char *why)
{
    cl->loader = dlopen ("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!cl->loader) {
        pxi_fail (PX_ENOMODULE, why, "no OpenCL loader: %s (package ocl-icd-libopencl1)",
                  dlerror ());
        return false;
    }
    const char *missing = NULL;
#define LOAD(name)                                                                                 \
    *(void **)&cl->name = dlsym (cl->loader, "cl" #name);                                          \
    missing = cl->name ? missing : "cl" #name;
    PXI_OPENCL_FUNCTIONS (LOAD)
#undef LOAD
    if (missing)
        pxi_fail (PX_ENOMODULE, why, "the OpenCL loader has no %s: 1.2 is needed", missing);
    return !missing;
}

static uint32_t class_of (cl_device_type type)
{
    return type & CL_DEVICE_TYPE_GPU           ? PXI_DEVICE_GPU
           : type & CL_DEVICE_TYPE_ACCELERATOR ? PXI_DEVICE_ACCELERATOR
                                               : PXI_DEVICE_CPU;
}

static void describe (const pxi_opencl *cl, cl_platform_id platform, cl_device_id device,
                      pxi_device_info *info)
{
    cl_device_type type = 0;
    cl_ulong memory = 0, alloc = 0;
    cl_uint units = 0;
    cl_bool unified = CL_FALSE;
    cl_device_fp_config doubles = 0;
    cl->GetDeviceInfo (device, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    cl->GetDeviceInfo (device, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof memory, &memory, NULL);
    cl->GetDeviceInfo (device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof alloc, &alloc, NULL);
    cl->GetDeviceInfo (device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    cl->GetDeviceInfo (device, CL_DEVICE_HOST_UNIFIED_MEMORY, sizeof unified, &unified, NULL);
    cl->GetDeviceInfo (device, CL_DEVICE_DOUBLE_FP_CONFIG, sizeof doubles, &doubles, NULL);
    *info = (pxi_device_info){.class = class_of (type),
                              .compute_units = units,
                              .has_fp64 = doubles != 0,
                              .unified = unified || class_of (type) == PXI_DEVICE_CPU,
                              .memory_size = memory,
                              .alloc_size_max = alloc};
    char text[256] = "";
    cl->GetDeviceInfo (device, CL_DEVICE_NAME, sizeof text, text, NULL);
    snprintf (info->name, sizeof info->name, "%.63s", text);
    cl->GetPlatformInfo (platform, CL_PLATFORM_NAME, sizeof text, text, NULL);
    snprintf (info->platform, sizeof info->platform, "%.63s", text);
}

static void find_of (pxi_opencl *cl, cl_platform_id platform)
{
    cl_uint room = PXI_HOST_DEVICES_MAX - cl->n_devices, n = 0;
    cl_device_id *devices = cl->devices + cl->n_devices;
    if (!room || cl->GetDeviceIDs (platform, CL_DEVICE_TYPE_ALL, room, devices, &n) != CL_SUCCESS)
        return;
    for (cl_uint i = 0; i < n && i < room; i++, cl->n_devices++) {
        describe (cl, platform, devices[i], &cl->info[cl->n_devices]);
        cl->info[cl->n_devices].index = cl->n_devices;
    }
}

bool pxi_opencl_find (pxi_opencl *cl, char *why)
{
    memset (cl, 0, sizeof *cl);
    if (!load (cl, why))
        return false;
    cl_platform_id platforms[PLATFORMS_MAX];
    cl_uint n = 0;
    cl_int code = cl->GetPlatformIDs (PLATFORMS_MAX, platforms, &n);
    if (code == PLATFORM_NOT_FOUND || (code == CL_SUCCESS && n == 0)) {
        pxi_fail (PX_ENOMODULE, why,
                  "no OpenCL vendor in /etc/OpenCL/vendors (for the CPU: package pocl-opencl-icd)");
        return false;
    }
    char room[32];
    if (code != CL_SUCCESS) {
        pxi_fail (PX_ESYSTEM, why, "OpenCL cannot tell its vendors: %s",
                  pxi_opencl_text (code, room, sizeof room));
        return false;
    }
    for (cl_uint i = 0; i < n && i < PLATFORMS_MAX; i++)
        find_of (cl, platforms[i]);
    if (!cl->n_devices)
        pxi_fail (PX_ENOMODULE, why, "OpenCL has %u vendor%s, but no device", n, n == 1 ? "" : "s");
    return cl->n_devices > 0;
}

void pxi_opencl_version (const pxi_opencl *cl, cl_device_id device, char *text, size_t size)
{
    static const cl_device_info wanted[] = {CL_DEVICE_VENDOR, CL_DEVICE_NAME, CL_DEVICE_VERSION,
                                            CL_DRIVER_VERSION};
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted && used < size; i++) {
        char word[256] = "";
        cl->GetDeviceInfo (device, wanted[i], sizeof word, word, NULL);
        int n = snprintf (text + used, size - used, "%s\n", word);
        used += n > 0 ? (size_t)n : 0;
    }
}

const char *pxi_opencl_text (cl_int code, char *room, size_t size)
{
    switch (code) {
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
        return "the device has no memory left";
    case CL_OUT_OF_RESOURCES:
        return "out of resources (a kernel that reads or writes out of bounds, or too large)";
    case CL_OUT_OF_HOST_MEMORY:
        return "out of host memory";
    case CL_INVALID_KERNEL_NAME:
        return "no kernel of this name in the source";
    case CL_INVALID_KERNEL_ARGS:
        return "the kernel has more arguments than were given";
    case CL_INVALID_ARG_INDEX:
        return "the kernel has fewer arguments than were given";
    case CL_INVALID_ARG_SIZE:
        return "an argument has another size than the kernel's";
    default:
        snprintf (room, size, "OpenCL error %d", (int)code);
        return room;
    }
}
