/* A peer has few modules and looks them up by key for every subtask from elsewhere, by name only
 * where a person gave it: a map for the one, a walk over at most PXI_MODULES_MAX names for the
 * other. */
#include "module/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"

struct pxi_registry {
    pxi_module *modules[PXI_MODULES_MAX];
    uint32_t n_modules;
    pxi_map by_key; /* digest key -> pxi_module */
};

pxi_registry *pxi_registry_new (void)
{
    pxi_registry *registry = calloc (1, sizeof *registry);
    if (registry)
        pxi_map_init (&registry->by_key, PXI_MODULES_MAX, 0);
    return registry;
}

void pxi_registry_free (pxi_registry **registry_p)
{
    pxi_registry *registry = *registry_p;
    if (!registry)
        return;
    *registry_p = NULL;
    while (registry->n_modules)
        pxi_module_free (&registry->modules[--registry->n_modules]);
    pxi_map_fini (&registry->by_key);
    free (registry);
}

px_err pxi_registry_add (pxi_registry *registry, pxi_module **module_p, char *why)
{
    pxi_module *module = *module_p;
    const pxi_module *other = pxi_registry_find (registry, module->name);
    if (other)
        return pxi_fail (PX_EDUPLICATE, why, "two modules are named '%s': %s and %s", module->name,
                         other->path, module->path);
    other = pxi_registry_find_key (registry, module->key);
    if (other)
        return pxi_fail (PX_EDUPLICATE, why, "the modules '%s' and '%s' have the same digest: %s",
                         other->name, module->name, module->path);
    if (registry->n_modules == PXI_MODULES_MAX)
        return pxi_fail (PX_EFULL, why, "more than %d modules", PXI_MODULES_MAX);
    if (!pxi_map_put_pointer (&registry->by_key, module->key, module))
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    registry->modules[registry->n_modules++] = module;
    *module_p = NULL;
    return PX_OK;
}

uint32_t pxi_registry_size (const pxi_registry *registry)
{
    return registry->n_modules;
}

const pxi_module *pxi_registry_at (const pxi_registry *registry, uint32_t index)
{
    PXI_ASSERT (index < registry->n_modules);
    return registry->modules[index];
}

static const pxi_module *find (const pxi_registry *registry, const char *name, size_t name_size)
{
    for (uint32_t i = 0; i < registry->n_modules; i++) {
        const pxi_module *module = registry->modules[i];
        if (strlen (module->name) == name_size && memcmp (module->name, name, name_size) == 0)
            return module;
    }
    return NULL;
}

const pxi_module *pxi_registry_find (const pxi_registry *registry, const char *name)
{
    return find (registry, name, strlen (name));
}

const pxi_module *pxi_registry_find_key (const pxi_registry *registry, uint64_t key)
{
    return pxi_map_pointer (&registry->by_key, key);
}

/* "a, b, c" for people: as many as fit, then "...". */
static void list_names (char *text, size_t text_size, const char *const *names, uint32_t n_names)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < n_names; i++) {
        size_t needed = strlen (names[i]) + 2;
        bool fits = used + needed + sizeof ", ..." <= text_size;
        used += (size_t)snprintf (text + used, text_size - used, "%s%s", used ? ", " : "",
                                  fits ? names[i] : "...");
        if (!fits)
            return;
    }
}

static px_err no_module (const pxi_registry *registry, const char *name, size_t name_size,
                         char *why)
{
    const char *names[PXI_MODULES_MAX];
    for (uint32_t i = 0; i < registry->n_modules; i++)
        names[i] = registry->modules[i]->name;
    char known[256];
    list_names (known, sizeof known, names, registry->n_modules);
    return pxi_fail (PX_ENOMODULE, why, "no module '%.*s' here (there %s: %s)",
                     name_size > 64 ? 64 : (int)name_size, name,
                     registry->n_modules == 1 ? "is" : "are", known[0] ? known : "none");
}

static px_err no_task (const pxi_module *module, const char *name, char *why)
{
    char known[256];
    list_names (known, sizeof known, module->task_names, module->n_tasks);
    return pxi_fail (PX_ENOTASK, why, "no task '%.64s' in module '%s' (there %s: %s)", name,
                     module->name, module->n_tasks == 1 ? "is" : "are", known);
}

px_err pxi_registry_task (const pxi_registry *registry, const char *full_name,
                          const pxi_module **module_p, uint32_t *task, char *why)
{
    const char *dot = strchr (full_name, '.');
    if (!dot || dot == full_name || !dot[1])
        return pxi_fail (PX_EINVAL, why, "'%.64s' is not of the form MODULE.TASK", full_name);
    const pxi_module *module = find (registry, full_name, (size_t)(dot - full_name));
    if (!module)
        return no_module (registry, full_name, (size_t)(dot - full_name), why);
    int32_t index = pxi_module_task (module, dot + 1);
    if (index < 0)
        return no_task (module, dot + 1, why);
    *module_p = module;
    *task = (uint32_t)index;
    return PX_OK;
}
