#include "pi/kernel.h"

/* SplitMix64's output function (Steele, Lea and Flood, OOPSLA 2014), at an index instead of in
 * turn. */
static uint64_t mix (uint64_t seed, uint64_t index)
{
    uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t pi_inside (uint64_t seed, uint64_t begin, uint64_t end)
{
    uint64_t n = 0;
    for (uint64_t i = begin; i < end; i++) {
        uint64_t random = mix (seed, i);
        uint64_t x = random >> 33, y = random & 0x7fffffff; /* 31 bits each */
        n += x * x + y * y < (uint64_t)1 << 62;
    }
    return n;
}

void pi_print (const pi_options *options, uint64_t inside, example_answer *answer)
{
    example_print (answer, "samples %llu\ninside %llu\npi %.9f\n",
                   (unsigned long long)options->samples, (unsigned long long)inside,
                   4.0 * (double)inside / (double)options->samples);
}

static int serial (const void *options, example_answer *answer, char *why)
{
    (void)why;
    const pi_options *throw = options;
    pi_print (throw, pi_inside (throw->seed, 0, throw->samples), answer);
    return 0;
}

static const pi_options DEFAULTS = {.samples = 100000000, .seed = 1, .grain = 0};

static const example_option OPTIONS[] = {
    {"--samples", EXAMPLE_UNSIGNED, offsetof (pi_options, samples), 1, 1e15, NULL, "points"},
    {"--seed", EXAMPLE_UNSIGNED, offsetof (pi_options, seed), 0, 9e18, NULL, "of the points"},
    {"--grain", EXAMPLE_UNSIGNED, offsetof (pi_options, grain), 0, 1e15, NULL,
     "points of one subtask; 0 = about 64 subtasks"},
};

const example_program example = {
    .name = "pi",
    .root = "pi.estimate",
    .purpose = "Estimate pi with random points.",
    .options = OPTIONS,
    .n_options = sizeof OPTIONS / sizeof OPTIONS[0],
    .defaults = &DEFAULTS,
    .options_size = sizeof (pi_options),
    .serial = serial,
};
