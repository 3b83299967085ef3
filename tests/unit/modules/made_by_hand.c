/* Tables that the macros cannot make: one fault each, chosen by FAULT. */
#include <stddef.h>

#include <peerexec/cost.h>
#include <peerexec/device.h>

extern const px_module_def px_module_v1;

#define OTHER_ABI 1
#define OLD_TABLE 2
#define DUPLICATE_TASKS 3
#define BAD_NAME 4
#define LONG_TASK 5
#define NO_FUNCTION 6
#define NO_VERSION 7
#define NULL_TASK 8
#define NO_NAME 9
#define RANGE_NO_RUN 10
#define RANGE_STRANGER 11
#define RANGE_TWICE 12
#define RANGE_NULL 13
#define RANGE_ARGUMENT 14
#define OLD_WITHOUT_RANGES 15 /* no faults: as modules were before, */
#define RANGE_GOOD 16         /* and with a data-parallel task */
#define COST_STRANGER 17
#define COST_TWICE 18
#define COST_GOOD 19
#define OLD_WITHOUT_COSTS 20

static px_err task_1 (px_task *task, const void *input, size_t input_size)
{
    return PX_OK;
}

static const px_task_def one = {"one", task_1};
#if FAULT == DUPLICATE_TASKS
static const px_task_def two = {"one", task_1};
#elif FAULT == LONG_TASK
static const px_task_def two = {"a_name_of_thirty_two_letters_abc", task_1};
#elif FAULT == NO_FUNCTION
static const px_task_def two = {"two", NULL};
#else
static const px_task_def two = {"two", task_1};
#endif

#if FAULT == NULL_TASK
static const px_task_def *const table[] = {&one, NULL};
const px_task_def *unused_task = &two;
#else
static const px_task_def *const table[] = {&one, &two};
#endif

static px_err run_1 (px_task *task, const px_chunk *chunk)
{
    return PX_OK;
}

static const px_arg args[] = {PX_IN (char), PX_OUT (float)};
static const px_arg no_value[] = {PX_IN (char), {PX_ARG_VALUE, 65, 1, PX_NUMBER_BYTES, 0, 0, NULL}};
static const px_range_def range = {.size = sizeof range,
                                   .name = FAULT == RANGE_STRANGER ? "three" : "one",
                                   .function = task_1,
                                   .run = FAULT == RANGE_NO_RUN ? NULL : run_1,
                                   .args = FAULT == RANGE_ARGUMENT ? no_value : args,
                                   .n_args = 2,
                                   .items_elements = 1};
static const px_range_def *const ranges[] = {FAULT == RANGE_NULL ? NULL : &range, &range};

static double half (const void *input, size_t size)
{
    return 0.5;
}

static const px_cost_def cost = {
    sizeof cost, FAULT == COST_STRANGER ? "three" : "two", task_1, half, NULL, half};
static const px_cost_def *const costs[] = {&cost, &cost};

#define SIZE                                                                                       \
    (FAULT == OLD_TABLE            ? 16                                                            \
     : FAULT == OLD_WITHOUT_RANGES ? offsetof (px_module_def, ranges_begin)                        \
     : FAULT == OLD_WITHOUT_COSTS  ? offsetof (px_module_def, costs_begin)                         \
                                   : sizeof (px_module_def))

const px_module_def px_module_v1 = {FAULT == OTHER_ABI ? PX_MODULE_ABI + 1 : PX_MODULE_ABI,
                                    SIZE,
#if FAULT == BAD_NAME
                                    "bad.name",
#elif FAULT == NO_NAME
                                    NULL,
#else
                                    "byhand",
#endif
                                    FAULT == NO_VERSION ? NULL : "1.0",
                                    table,
                                    table + 2,
                                    ranges,
                                    ranges + (FAULT == RANGE_TWICE ? 2 : 1),
                                    costs,
                                    costs + (FAULT == COST_TWICE      ? 2
                                             : FAULT >= COST_STRANGER ? 1
                                                                      : 0)};
