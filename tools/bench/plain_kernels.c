/* The kernels that devices are measured with, and what they must compute. */
#include <math.h>

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

float plain_blend (float a, float x, float y)
{
    return a * x + y;
}

void plain_fill (float *x, float *y, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        x[i] = -(float)(i % 64) / 128;
        y[i] = (float)(i % 1000);
    }
}

static bool is_right (plain_kind kind, const float *x, const float *y, const float *z, uint64_t i)
{
    float right = kind == PLAIN_ITERATE ? plain_step (x[i]) : plain_blend (PLAIN_A, x[i], y[i]);
    return fabsf (z[i] - right) <= 1e-4f;
}

bool plain_is_right (plain_kind kind, const float *x, const float *y, const float *z, uint64_t n)
{
    uint64_t step = n / (kind == PLAIN_ITERATE ? 16 : 1000) + 1;
    for (uint64_t i = 0; i < n; i++) {
        if (isnan (z[i]) || (i % step == 0 && !is_right (kind, x, y, z, i)))
            return false;
    }
    return true;
}
