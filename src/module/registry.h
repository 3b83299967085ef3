/* The modules of one peer. Filled while the peer opens, by one thread; only read from then on, by
 * any. */
#ifndef PXI_MODULE_REGISTRY_H
#define PXI_MODULE_REGISTRY_H

#include "module/load.h"

enum { PXI_MODULES_MAX = 64 }; /* of one peer */

typedef struct pxi_registry pxi_registry;

/* NULL when out of memory. */
pxi_registry *pxi_registry_new (void);
/* Frees the modules too: none of their tasks may be running. */
void pxi_registry_free (pxi_registry **registry_p);

/* Takes the module on PX_OK, and nulls it. PX_EDUPLICATE a name or digest that is there already;
 * PX_EFULL; PX_ENOMEM. `why` as for pxi_fail (). */
px_err pxi_registry_add (pxi_registry *registry, pxi_module **module_p, char *why);

uint32_t pxi_registry_size (const pxi_registry *registry);
/* In the order of adding. */
const pxi_module *pxi_registry_at (const pxi_registry *registry, uint32_t index);
/* NULL where there is none. */
const pxi_module *pxi_registry_find (const pxi_registry *registry, const char *name);
const pxi_module *pxi_registry_find_key (const pxi_registry *registry, uint64_t key);

/* Find "module.task". PX_EINVAL not of this form, PX_ENOMODULE, PX_ENOTASK: `why` lists what there
 * is. */
px_err pxi_registry_task (const pxi_registry *registry, const char *full_name,
                          const pxi_module **module_p, uint32_t *task, char *why);

#endif
