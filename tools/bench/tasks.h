/* Inputs of the module's tasks that are more than a number; the tool and the module are one build. */
#ifndef TOOLS_BENCH_TASKS_H
#define TOOLS_BENCH_TASKS_H

#include <stdint.h>

/* bench.calls: result: as many durations, in nanoseconds. bench.many: result: the nanoseconds of all. */
typedef struct calls_input {
    uint64_t n, size; /* size: bytes of each input, and of each result */
} calls_input;

/* bench.nap: no result. On one peer, from a time on, `factor` times as long (0 = nowhere). */
typedef struct nap_input {
    uint64_t duration_ns, slow_from_ns, factor;
    char slow_peer[32];
} nap_input;

typedef struct naps_input {
    uint64_t n;
    nap_input nap;
} naps_input;

typedef struct waiters_input {
    uint64_t n, duration_ns;
} waiters_input;

/* bench.wave: a square of so many points, in so many parts, each way. */
typedef struct square_input {
    uint64_t size, parts;
} square_input;

/* bench.sort: so many values, in about so many parts. */
typedef struct sort_input {
    uint64_t n, parts;
} sort_input;

typedef struct sort_output {
    uint64_t duration_ns, hash; /* from values being there to their being in order */
} sort_output;

/* bench.shared: so many subtasks, which all read so many bytes. Result: how many read them right. */
typedef struct shared_input {
    uint64_t n, size, duration_ns;
    uint64_t in_each; /* the bytes are in each input */
} shared_input;

/* bench.range: of a plain_kind. slow_c: for devices only; at_home: at one peer only. */
typedef struct range_input {
    uint64_t kind, n, slow_c, at_home;
} range_input;

typedef struct range_output {
    uint64_t duration_ns, right; /* from the inputs being there to the results being there */
} range_output;

enum { GROWTH_SUBTASKS = 1000000 }; /* of one run of bench.waiting and bench.open_branches */

#endif
