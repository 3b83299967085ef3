/* Bodies that attract each other (softened gravity, leapfrog): each step computes, for every body, what all
 * others do to it. All read the same positions and each needs n of them, so there is much more to compute
 * than to send. No peerexec here. */
#ifndef PX_EXAMPLES_NBODY_KERNEL_H
#define PX_EXAMPLES_NBODY_KERNEL_H

#include "common/example.h"

typedef struct nbody_options {
    uint64_t bodies, steps, seed;
    double time; /* of a step */
} nbody_options;

typedef struct nbody_body {
    float x, y, z, mass;
} nbody_body;

typedef struct nbody_pull {
    float x, y, z; /* acceleration */
    float potential;
} nbody_pull;

typedef struct nbody_system {
    uint64_t n;
    nbody_body *bodies;
    nbody_body *velocities; /* their mass is not used */
    nbody_pull *pulls;
} nbody_system;

/* Bodies at rest within a sphere. Returns 0, or -1: out of memory. */
int nbody_open (const nbody_options *options, nbody_system *system);
void nbody_close (nbody_system *system);

/* What all n bodies do to those of numbers begin ... begin + n_pulled - 1. */
void nbody_attract (const nbody_body *bodies, uint64_t n, uint64_t begin, uint64_t n_pulled,
                    nbody_pull *pulls);
/* A step is a kick of half a step's time, a move, the pulls at the new places, and another kick. */
void nbody_kick (nbody_system *system, double time);
void nbody_move (nbody_system *system, double time);

/* Energy stays what it was but for the errors of the method; it says more than any one place. */
double nbody_energy (const nbody_system *system);
void nbody_print (const nbody_options *options, const nbody_system *system, double energy_before,
                  example_answer *answer);

/* The whole run; `attract` computes system->pulls. Returns 0, or what `attract` has returned. */
typedef int nbody_attract_fn (void *context, nbody_system *system);
int nbody_run (const nbody_options *options, nbody_system *system, nbody_attract_fn *attract,
               void *context, example_answer *answer);

#endif
