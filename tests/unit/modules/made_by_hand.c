/* Tables that the macros cannot make: one fault each, chosen by FAULT. */
#include <peerexec/module.h>

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

const px_module_def px_module_v1 = {FAULT == OTHER_ABI ? PX_MODULE_ABI + 1 : PX_MODULE_ABI,
                                    FAULT == OLD_TABLE ? 16 : sizeof (px_module_def),
#if FAULT == BAD_NAME
                                    "bad.name",
#elif FAULT == NO_NAME
                                     NULL,
#else
                                     "byhand",
#endif
                                    FAULT == NO_VERSION ? NULL : "1.0",
                                    table,
                                    table + 2};
