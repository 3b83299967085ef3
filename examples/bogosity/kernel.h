/* A tree of sleeps: computes nothing, slowly, and tells who did it. */
#ifndef PX_EXAMPLES_BOGOSITY_KERNEL_H
#define PX_EXAMPLES_BOGOSITY_KERNEL_H

#include "common/example.h"

#define BOGOSITY_TASKS_MAX 1000000
#define BOGOSITY_NAME_SIZE 32

enum { BOGOSITY_HOLD, BOGOSITY_YIELD };

typedef struct bogosity_options {
    uint64_t width; /* subtasks of a task */
    uint64_t depth; /* levels below the root */
    uint64_t sleep_ms;
    uint64_t how; /* hold the slot while asleep, or yield it to other tasks */
} bogosity_options;

/* One task of the tree; records stand in pre-order. */
typedef struct bogosity_record {
    uint32_t level;
    char peer[BOGOSITY_NAME_SIZE];
} bogosity_record;

/* Tasks of a tree of that many levels below its root. */
uint64_t bogosity_tasks (const bogosity_options *options, uint64_t depth);

/* Sleep in place: the thread, and so the slot, sleeps too. */
void bogosity_hold (uint64_t sleep_ms);

void bogosity_record_set (bogosity_record *record, uint64_t level, const char *peer);
void bogosity_print (const bogosity_options *options, const bogosity_record *records,
                     size_t n_records, example_answer *answer);

#endif
