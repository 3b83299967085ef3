#include "nbody/kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SOFT                                                                                       \
    0.01f /* square of the distance below which bodies hardly attract each other any more */

/* On [-1, 1). */
static double draw (uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-52 - 1;
}

static void place (nbody_body *body, uint64_t *state, float mass)
{
    double x, y, z;
    do {
        x = draw (state);
        y = draw (state);
        z = draw (state);
    } while (x * x + y * y + z * z > 1);
    *body = (nbody_body){(float)x, (float)y, (float)z, mass};
}

int nbody_open (const nbody_options *options, nbody_system *system)
{
    uint64_t state = options->seed, n = options->bodies;
    *system = (nbody_system){.n = n,
                             .bodies = calloc (n, sizeof *system->bodies),
                             .velocities = calloc (n, sizeof *system->velocities),
                             .pulls = calloc (n, sizeof *system->pulls)};
    if (!system->bodies || !system->velocities || !system->pulls) {
        nbody_close (system);
        return -1;
    }
    draw (&state);
    for (uint64_t i = 0; i < n; i++)
        place (&system->bodies[i], &state, 1 / (float)n);
    return 0;
}

void nbody_close (nbody_system *system)
{
    free (system->bodies);
    free (system->velocities);
    free (system->pulls);
    *system = (nbody_system){0};
}

/* The sums are taken in float, as on a device: a double would take twice as long there, and more. */
static nbody_pull pull_of (const nbody_body *bodies, uint64_t n, const nbody_body *body)
{
    nbody_pull sum = {0};
    for (uint64_t i = 0; i < n; i++) {
        float x = bodies[i].x - body->x, y = bodies[i].y - body->y, z = bodies[i].z - body->z;
        float inverse = 1 / sqrtf (x * x + y * y + z * z + SOFT);
        float each = bodies[i].mass * inverse, pull = each * inverse * inverse;
        sum.x += pull * x;
        sum.y += pull * y;
        sum.z += pull * z;
        sum.potential -= each;
    }
    return sum;
}

void nbody_attract (const nbody_body *bodies, uint64_t n, uint64_t begin, uint64_t n_pulled,
                    nbody_pull *pulls)
{
    for (uint64_t i = 0; i < n_pulled; i++)
        pulls[i] = pull_of (bodies, n, &bodies[begin + i]);
}

void nbody_kick (nbody_system *system, double time)
{
    for (uint64_t i = 0; i < system->n; i++) {
        system->velocities[i].x += (float)time * system->pulls[i].x;
        system->velocities[i].y += (float)time * system->pulls[i].y;
        system->velocities[i].z += (float)time * system->pulls[i].z;
    }
}

void nbody_move (nbody_system *system, double time)
{
    for (uint64_t i = 0; i < system->n; i++) {
        system->bodies[i].x += (float)time * system->velocities[i].x;
        system->bodies[i].y += (float)time * system->velocities[i].y;
        system->bodies[i].z += (float)time * system->velocities[i].z;
    }
}

double nbody_energy (const nbody_system *system)
{
    double energy = 0;
    for (uint64_t i = 0; i < system->n; i++) {
        const nbody_body *v = &system->velocities[i];
        double kinetic = (double)v->x * v->x + (double)v->y * v->y + (double)v->z * v->z;
        energy += (kinetic + system->pulls[i].potential) * system->bodies[i].mass / 2;
    }
    return energy;
}

/* Mean distance from the origin. */
static double radius (const nbody_system *system)
{
    double sum = 0;
    for (uint64_t i = 0; i < system->n; i++) {
        const nbody_body *b = &system->bodies[i];
        sum += sqrt ((double)b->x * b->x + (double)b->y * b->y + (double)b->z * b->z);
    }
    return sum / (double)system->n;
}

void nbody_print (const nbody_options *options, const nbody_system *system, double energy_before,
                  example_answer *answer)
{
    const nbody_body *first = system->bodies;
    example_print (answer,
                   "bodies %llu\nsteps %llu\nenergy before %.6f\nenergy %.6f\nradius %.6f\n",
                   (unsigned long long)options->bodies, (unsigned long long)options->steps,
                   energy_before, nbody_energy (system), radius (system));
    example_print (answer, "first body %.5f %.5f %.5f\n", (double)first->x, (double)first->y,
                   (double)first->z);
}

int nbody_run (const nbody_options *options, nbody_system *system, nbody_attract_fn *attract,
               void *context, example_answer *answer)
{
    int failed = attract (context, system);
    double before = nbody_energy (system);
    for (uint64_t step = 0; step < options->steps && !failed; step++) {
        nbody_kick (system, options->time / 2);
        nbody_move (system, options->time);
        failed = attract (context, system);
        nbody_kick (system, options->time / 2);
    }
    if (!failed)
        nbody_print (options, system, before, answer);
    return failed;
}

static int attract_all (void *context, nbody_system *system)
{
    (void)context;
    nbody_attract (system->bodies, system->n, 0, system->n, system->pulls);
    return 0;
}

static int serial (const void *options, example_answer *answer, char *why)
{
    nbody_system system;
    if (nbody_open (options, &system) < 0) {
        snprintf (why, EXAMPLE_WHY_SIZE, "out of memory");
        return -1;
    }
    nbody_run (options, &system, attract_all, NULL, answer);
    nbody_close (&system);
    return 0;
}

/* A device's roots and quotients may differ in their last bits, and each step builds on the one before. */
static int same (const example_answer *answer, const example_answer *serial_answer)
{
    return example_same_numbers (answer, serial_answer, 1e-3);
}

static const nbody_options DEFAULTS = {.bodies = 4000, .steps = 4, .seed = 1, .time = 0.01};

#define FIELD(name) offsetof (nbody_options, name)
static const example_option OPTIONS[] = {
    {"--bodies", EXAMPLE_UNSIGNED, FIELD (bodies), 2, 1000000, NULL, "that attract each other"},
    {"--steps", EXAMPLE_UNSIGNED, FIELD (steps), 0, 100000, NULL, "of time"},
    {"--time", EXAMPLE_REAL, FIELD (time), 1e-9, 1, NULL, "of a step"},
    {"--seed", EXAMPLE_UNSIGNED, FIELD (seed), 0, 9e18, NULL, "of their places"},
};

const example_program example = {
    .name = "nbody",
    .root = "nbody.bodies",
    .purpose = "Let bodies fall towards each other; every subtask reads all of them.",
    .options = OPTIONS,
    .n_options = sizeof OPTIONS / sizeof OPTIONS[0],
    .defaults = &DEFAULTS,
    .options_size = sizeof (nbody_options),
    .serial = serial,
    .same = same,
};
