/* Inputs of the tasks in work.c. */
#ifndef TESTS_CLUSTER_WORK_H
#define TESTS_CLUSTER_WORK_H

#include <stdint.h>

typedef struct work_tree {
    uint32_t depth, fan;
    uint64_t burn_ns;
} work_tree;

/* A tree that crashes at one of its nodes: the children of node n are fan n + 1, fan n + 2, ... */
typedef struct work_trap {
    work_tree tree;
    uint64_t node, trap;
} work_trap;

enum {
    WORK_ECHO,
    WORK_FAIL,
    WORK_SEGV,
    WORK_DIE,
    WORK_OVERFLOW,
    WORK_BYTES,
    WORK_WAIT,
    WORK_DEAF,
    WORK_NAP,
    WORK_LEAVE,
    WORK_HOLD,
    WORK_LATE,
};

typedef struct work_many {
    uint32_t kind, count;
    int32_t number; /* branch number */
    uint32_t reserved;
} work_many; /* followed by the input of each */

/* A loop whose chunks all read `size` shared bytes; with `levels` each opens such a loop of 2 itself. */
typedef struct work_sums {
    uint64_t chunks, size, levels, burn_ns;
} work_sums;

/* Byte `i` of them. */
static inline unsigned char work_shared_byte (uint64_t i)
{
    return (unsigned char)(i * 31 + (i >> 8));
}

#endif
