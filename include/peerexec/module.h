/* Modules: a set of tasks with a name, a version and a digest.
 *
 * A module is compiled into an application or is a shared object that a peer loads. Either way one line
 * names it and one line registers each task:
 *
 *     PX_MODULE ("pricing", "1.2")
 *     PX_TASK (price_one)
 *
 * The digest is SHA-256 of the file that holds the module (the program or the shared object), so two
 * peers that disagree about a task's code never exchange it. */
#ifndef PEEREXEC_MODULE_H
#define PEEREXEC_MODULE_H

#include <peerexec/task.h>

#ifdef __cplusplus
extern "C" {
#endif

struct px_range_def;
struct px_cost_def;

typedef struct px_task_def {
    const char *name;
    px_task_fn *function;
} px_task_def;

typedef struct px_module_def {
    uint32_t abi; /* PX_MODULE_ABI: first, and never moved, so that any version can read it */
    uint32_t size;
    const char *name;
    const char *version;
    const px_task_def *const *tasks_begin;
    const px_task_def *const *tasks_end;
    const struct px_range_def *const *ranges_begin; /* of those tasks, see device.h */
    const struct px_range_def *const *ranges_end;
    const struct px_cost_def *const *costs_begin; /* of those tasks, see cost.h */
    const struct px_cost_def *const *costs_end;
} px_module_def;

/* The linker gathers the tasks of one program or shared object between these two, and what there is to
 * know of the data-parallel ones, and of what they cost, between the other two. */
extern const px_task_def *const __start_px_task_defs[]
    __attribute__ ((visibility ("hidden"), weak));
extern const px_task_def *const __stop_px_task_defs[]
    __attribute__ ((visibility ("hidden"), weak));
extern const struct px_range_def *const __start_px_range_defs[]
    __attribute__ ((visibility ("hidden"), weak));
extern const struct px_range_def *const __stop_px_range_defs[]
    __attribute__ ((visibility ("hidden"), weak));

extern const struct px_cost_def *const __start_px_cost_defs[]
    __attribute__ ((visibility ("hidden"), weak));
extern const struct px_cost_def *const __stop_px_cost_defs[]
    __attribute__ ((visibility ("hidden"), weak));

#ifdef __cplusplus
#define PX_EXTERN_C extern "C"
#else
#define PX_EXTERN_C extern
#endif

/* Visible whatever the module is compiled with: the attribute is here because C++ does not take it on
 * the definition of a constant. */
PX_EXTERN_C __attribute__ ((visibility ("default"))) const px_module_def px_module_v1;

/** The program's or shared object's own module: once in each, beside the tasks. */
#define PX_MODULE(module_name, module_version)                                                     \
    const px_module_def px_module_v1 = {                                                           \
        PX_MODULE_ABI,       sizeof (px_module_def), module_name, module_version,                  \
        __start_px_task_defs, __stop_px_task_defs, __start_px_range_defs, __stop_px_range_defs,   \
        __start_px_cost_defs, __stop_px_cost_defs};

/** Register the function of the same name as a task. */
#define PX_TASK(function_name)                                                                     \
    static const px_task_def px_task_def_##function_name = {#function_name, function_name};        \
    __attribute__ ((used, section ("px_task_defs"))) static const px_task_def *const \
        px_task_entry_##function_name = &px_task_def_##function_name;

#ifdef __cplusplus
}
#endif
#endif
