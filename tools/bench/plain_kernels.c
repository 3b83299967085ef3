/* The kernels that devices are measured with, and what they must compute. */
#include "bench/plain.h"

const char plain_source[] = "kernel void iterate (global const float *c, global float *out)\n"
                            "{\n"
                            "    size_t i = get_global_id (0);\n"
                            "    float x = 0;\n"
                            "    for (int n = 0; n < 2000; n++)\n"
                            "        x = x * x + c[i];\n"
                            "    out[i] = x;\n"
                            "}\n"
                            "kernel void blend (global const float *x, global const float *y,\n"
                            "                   global float *z, float a)\n"
                            "{\n"
                            "    size_t i = get_global_id (0);\n"
                            "    z[i] = a * x[i] + y[i];\n"
                            "}\n"
                            "kernel void touch (global const float *in, global float *out)\n"
                            "{\n"
                            "    out[get_global_id (0)] = 1;\n"
                            "}\n";

float plain_step (float c)
{
    float x = 0;
    for (int n = 0; n < PLAIN_STEPS; n++)
        x = x * x + c;
    return x;
}

float plain_blend (float x, float y)
{
    return 2 * x + y;
}
