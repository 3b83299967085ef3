/* Inputs of the tasks in work.c. */
#ifndef TESTS_CLUSTER_WORK_H
#define TESTS_CLUSTER_WORK_H

#include <stdint.h>

typedef struct work_tree {
    uint32_t depth, fan;
    uint64_t burn_ns;
} work_tree;

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
};

typedef struct work_many {
    uint32_t kind, count;
    int32_t number; /* branch number */
    uint32_t reserved;
} work_many; /* followed by the input of each */

#endif
