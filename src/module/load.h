/* A module in this process: where its tasks are, and the digest that says which code they are.
 * Made from a shared object or from the px_module_def of the program itself; never changes after
 * that, so any thread may read it. */
#ifndef PXI_MODULE_LOAD_H
#define PXI_MODULE_LOAD_H

#include <peerexec/cost.h>
#include <peerexec/device.h>
#include <peerexec/peer.h>

#include "base/digest.h"
#include "base/map.h"

enum { PXI_TASKS_MAX = 4096 }; /* of one module: far over what people write, bounds the tables */

typedef struct pxi_module {
    const char *name, *version; /* in the module's own image */
    char *path;                 /* absolute; of the program itself when compiled in */
    pxi_digest digest;          /* of that file */
    uint64_t key;               /* pxi_digest_key () of it: what messages carry */
    void *image;                /* of dlopen (); NULL when compiled in */
    /* Tasks in the order of their names: the order in the file is the compiler's whim. The index is
     * what messages carry, beside the digest. The arrays are as pxi_executor_config wants them. */
    uint32_t n_tasks;
    const char **task_names;
    const void **task_functions;
    const px_range_def **range_of; /* of each task; NULL = it is not data-parallel */
    const px_cost_def **cost_of;   /* of each task; NULL = it declares nothing */
    pxi_map by_function;           /* address -> index */
} pxi_module;

/* Load a shared object. `why` as for pxi_fail ().
 * PX_ENOMODULE no such file, not a shared object, or no module in it; PX_EABI; PX_ENOTASK none in
 * it; PX_EDUPLICATE; PX_EINVAL a name; PX_ETOOBIG; PX_ESYSTEM; PX_ENOMEM. */
px_err pxi_module_load (const char *path, pxi_module **module_p, char *why);
/* The module of the program, or of a shared object that is loaded already. Errors as above. */
px_err pxi_module_compiled_in (const px_module_def *def, pxi_module **module_p, char *why);
/* Unloads: none of its tasks may be running. */
void pxi_module_free (pxi_module **module_p);

/* Index of a task; -1 where the module has no such task. */
int32_t pxi_module_task (const pxi_module *module, const char *name);
int32_t pxi_module_task_at (const pxi_module *module, const void *function);

/* Names of modules and tasks: letters, digits, '_' and '-', up to PX_NAME_SIZE_MAX of them. */
bool pxi_name_is_valid (const char *name);

#endif
