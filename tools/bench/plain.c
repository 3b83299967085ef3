/* OpenCL as its manuals use it: buffers of the device, blocking copies, one launch over the whole range. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/peer.h>

#include "bench/plain.h"
#include "device/helper/helper.h"
#include "device/helper/opencl.h"

enum { LAUNCHES = 100, LOCAL_SIZE = 256 };

typedef struct plain {
    pxi_opencl cl;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_device_id device;
    cl_mem buffers[3];
    float *x, *y, *z;
    uint64_t n; /* there is room for */
    bool failed;
} plain_t;

static void check (plain_t *plain, cl_int code, const char *what)
{
    char room[32];
    if (code != CL_SUCCESS && !plain->failed)
        fprintf (stderr, "peer-bench devices: %s: %s\n", what,
                 pxi_opencl_text (code, room, sizeof room));
    plain->failed = plain->failed || code != CL_SUCCESS;
}

static double now_s (void)
{
    return (double)px_now_ns () * 1e-9;
}

static bool open_device (plain_t *plain, uint32_t device)
{
    char why[PX_WHY_SIZE] = "no such device";
    if (!pxi_opencl_find (&plain->cl, why) || device >= plain->cl.n_devices) {
        fprintf (stderr, "peer-bench devices: %s\n", why);
        return false;
    }
    const char *source = plain_source;
    cl_int code;
    plain->device = plain->cl.devices[device];
    plain->context = plain->cl.CreateContext (NULL, 1, &plain->device, NULL, NULL, &code);
    check (plain, code, "context");
    plain->queue = plain->cl.CreateCommandQueue (plain->context, plain->device, 0, &code);
    check (plain, code, "queue");
    plain->program = plain->cl.CreateProgramWithSource (plain->context, 1, &source, NULL, &code);
    check (plain, code, "program");
    check (plain,
           plain->cl.BuildProgram (plain->program, 1, &plain->device, "-cl-std=CL1.2", NULL, NULL),
           "build");
    for (int i = 0; i < 3; i++) {
        plain->buffers[i] = plain->cl.CreateBuffer (plain->context, CL_MEM_READ_WRITE,
                                                    plain->n * sizeof (float), NULL, &code);
        check (plain, code, "buffer");
    }
    return !plain->failed;
}

static cl_kernel kernel_of (plain_t *plain, const char *name, cl_uint n_buffers)
{
    cl_int code;
    cl_kernel kernel = plain->cl.CreateKernel (plain->program, name, &code);
    check (plain, code, name);
    for (cl_uint i = 0; i < n_buffers && !plain->failed; i++)
        check (plain,
               plain->cl.SetKernelArg (kernel, i, sizeof plain->buffers[i], &plain->buffers[i]),
               name);
    return kernel;
}

static void launch (plain_t *plain, cl_kernel kernel, size_t n)
{
    size_t local = n % LOCAL_SIZE ? 1 : LOCAL_SIZE;
    if (!plain->failed)
        check (plain,
               plain->cl.EnqueueNDRangeKernel (plain->queue, kernel, 1, NULL, &n, &local, 0, NULL,
                                               NULL),
               "launch");
}

static void to_device (plain_t *plain, int buffer, const float *data, uint64_t n)
{
    if (!plain->failed)
        check (plain,
               plain->cl.EnqueueWriteBuffer (plain->queue, plain->buffers[buffer], CL_TRUE, 0,
                                             n * sizeof *data, data, 0, NULL, NULL),
               "write");
}

static void from_device (plain_t *plain, int buffer, float *data, uint64_t n)
{
    if (!plain->failed)
        check (plain,
               plain->cl.EnqueueReadBuffer (plain->queue, plain->buffers[buffer], CL_TRUE, 0,
                                            n * sizeof *data, data, 0, NULL, NULL),
               "read");
}

static void measure_launch (plain_t *plain, device_figures_t *figures)
{
    cl_kernel touch = kernel_of (plain, "touch", 2);
    double began_s = 0;
    for (int i = -1; i < LAUNCHES; i++) { /* the first compiles */
        if (i == 0)
            began_s = now_s ();
        launch (plain, touch, 1);
        from_device (plain, 1, plain->z, 1);
    }
    figures->launch_us = (now_s () - began_s) / LAUNCHES * 1e6;
    plain->cl.ReleaseKernel (touch);
}

static void measure_copies (plain_t *plain, uint64_t n, device_figures_t *figures)
{
    double gigabytes = (double)n * sizeof (float) * 1e-9;
    to_device (plain, 0, plain->x, n);
    double began_s = now_s ();
    to_device (plain, 0, plain->x, n);
    double to_s = now_s () - began_s;
    from_device (plain, 0, plain->z, n);
    began_s = now_s ();
    from_device (plain, 0, plain->z, n);
    figures->to_gbs = gigabytes / to_s;
    figures->from_gbs = gigabytes / (now_s () - began_s);
}

static void judge (plain_t *plain, plain_kind kind, uint64_t n)
{
    plain->failed = plain->failed || !plain_is_right (kind, plain->x, plain->y, plain->z, n);
}

/* Twice: the first time warms up. */
static double measure_step (plain_t *plain, uint64_t n)
{
    cl_kernel step = kernel_of (plain, "iterate", 2);
    double took_s = 0;
    for (int i = 0; i < 2; i++) {
        double began_s = now_s ();
        to_device (plain, 0, plain->x, n);
        launch (plain, step, n);
        from_device (plain, 1, plain->z, n);
        took_s = now_s () - began_s;
    }
    judge (plain, PLAIN_ITERATE, n);
    plain->cl.ReleaseKernel (step);
    return (double)n / took_s;
}

static double measure_blend (plain_t *plain, uint64_t n)
{
    const float a = PLAIN_A;
    cl_kernel blend = kernel_of (plain, "blend", 3);
    check (plain, plain->cl.SetKernelArg (blend, 3, sizeof a, &a), "blend");
    double took_s = 0;
    for (int i = 0; i < 2; i++) {
        double began_s = now_s ();
        to_device (plain, 0, plain->x, n);
        to_device (plain, 1, plain->y, n);
        launch (plain, blend, n);
        from_device (plain, 2, plain->z, n);
        took_s = now_s () - began_s;
    }
    judge (plain, PLAIN_BLEND, n);
    plain->cl.ReleaseKernel (blend);
    return (double)n / took_s;
}

bool plain_measure (uint32_t device, const plain_sizes_t *sizes, device_figures_t *figures)
{
    uint64_t n = sizes->n_blend > sizes->n_iterate ? sizes->n_blend : sizes->n_iterate;
    plain_t plain = {.n = n};
    char cache[PATH_MAX];
    if (!pxi_helper_prepare (NULL, NULL, cache)) {
        fputs ("peer-bench devices: no directory for kernels can be written\n", stderr);
        return false;
    }
    plain.x = calloc (n, sizeof *plain.x);
    plain.y = calloc (n, sizeof *plain.y);
    plain.z = calloc (n, sizeof *plain.z);
    if (!plain.x || !plain.y || !plain.z || !open_device (&plain, device))
        return false;
    plain_fill (plain.x, plain.y, n);
    measure_launch (&plain, figures);
    measure_copies (&plain, sizes->n_blend, figures);
    figures->compute = measure_step (&plain, sizes->n_iterate);
    figures->memory = measure_blend (&plain, sizes->n_blend);
    if (plain.failed)
        fprintf (stderr, "peer-bench devices: device %u failed, or computed something else\n",
                 device);
    return !plain.failed; /* the process ends: drivers are not taken apart */
}
