/* A range branch for each step: the bodies are its shared input, sent once to each peer and kept on a
 * device while the branch lives; each index gives what all of them do to one. */
#include "nbody/kernel.h"

#include <peerexec/peerexec.h>

PX_MODULE ("nbody", "1.0")

static px_err attract_c (px_task *task, const px_chunk *chunk)
{
    (void)task;
    nbody_attract (chunk->args[0], chunk->sizes[0] / sizeof (nbody_body), chunk->begin, chunk->n,
                   chunk->args[1]);
    return PX_OK;
}

/* Pulls are sums of thousands of numbers of both signs: what is left of them is compared by its size. */
static const px_arg attract_args[] = {
    PX_SHARED (nbody_body),
    {PX_ARG_OUT, sizeof (float), sizeof (nbody_pull) / sizeof (float), PX_NUMBER_FLOAT, 1e-4, 1e-4,
     NULL},
    PX_VALUE (uint64_t),
    PX_BEGIN,
};

enum { ATTRACT_LINE = __LINE__ + 2 }; /* of the source: compilers of devices name it */
static const char attract_cl[] =
    "kernel void attract (global const float4 *bodies, global float4 *pulls, ulong n,\n"
    "                     ulong begin)\n"
    "{\n"
    "    float4 body = bodies[begin + get_global_id (0)];\n"
    "    float3 sum = 0;\n"
    "    float potential = 0;\n"
    "    for (ulong i = 0; i < n; i++) {\n"
    "        float4 other = bodies[i];\n"
    "        float3 way = other.xyz - body.xyz;\n"
    "        float inverse = 1 / sqrt (dot (way, way) + 0.01f);\n"
    "        float each = other.w * inverse;\n"
    "        sum += each * inverse * inverse * way;\n"
    "        potential -= each;\n"
    "    }\n"
    "    pulls[get_global_id (0)] = (float4)(sum, potential);\n"
    "}\n";
PX_RANGE_TASK_AT (attract, attract_c, attract_args, attract_cl, "attract", "", 1, __FILE__,
                  ATTRACT_LINE)

static int attract_all (void *context, nbody_system *system)
{
    uint64_t n = system->n;
    px_bind binds[] = {PX_BIND_IN (system->bodies, n * sizeof *system->bodies),
                       PX_BIND_OUT (system->pulls, n * sizeof *system->pulls),
                       PX_BIND_IN (&n, sizeof n), PX_BIND_NONE};
    return px_range_branch (context, "nbody.attract", PX_RANGE (attract), 0, n, binds,
                            sizeof binds / sizeof *binds, NULL);
}

/* The root task: options as text in, the answer as text out. */
static px_err system_run (px_task *task, const nbody_options *options, nbody_system *system)
{
    example_answer answer = {0};
    px_err err = nbody_run (options, system, attract_all, task, &answer);
    if (err == PX_OK)
        err = px_task_return (task, answer.bytes, answer.size);
    example_answer_fini (&answer);
    return err;
}

static px_err bodies (px_task *task, const void *input, size_t input_size)
{
    nbody_options options;
    nbody_system system;
    char why[EXAMPLE_WHY_SIZE];
    if (example_parse (&example, input, input_size, &options, why) < 0)
        return px_task_fail (task, "%s", why);
    if (nbody_open (&options, &system) < 0)
        return PX_ENOMEM;
    px_err err = system_run (task, &options, &system);
    nbody_close (&system);
    return err;
}
PX_TASK (bodies)
