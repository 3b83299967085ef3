/* Finds and checks what PX_MODULE and PX_TASK left in a file. What a file says is an author's
 * input: everything is validated and refused with a sentence that says what to do, nothing is
 * asserted.
 *
 * The checks run in the order in which a mistake is likely: file, kind of file, module, its ABI
 * (before any other field is believed), tables, names. The digest comes last: it reads the whole
 * file. */
#include "module/load.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "module/range.h"

/* As built before there were any. */
#define SIZE_WITHOUT_RANGES offsetof (px_module_def, ranges_begin)
#define SIZE_WITHOUT_COSTS offsetof (px_module_def, costs_begin)

bool pxi_name_is_valid (const char *name)
{
    if (!name || !*name)
        return false;
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    size_t size = strspn (name, allowed);
    return size <= PX_NAME_SIZE_MAX && name[size] == '\0';
}

static px_err check_name (const char *kind, const char *name, const char *path, char *why)
{
    if (!name || !*name)
        return pxi_fail (PX_EINVAL, why, "%s: a %s has no name", path, kind);
    if (!pxi_name_is_valid (name))
        return pxi_fail (
            PX_EINVAL, why,
            "%s: the %s name '%.64s' is not valid: letters, digits, '_' and '-', at most %d", path,
            kind, name, PX_NAME_SIZE_MAX);
    return PX_OK;
}

static px_err check_def (const px_module_def *def, const char *path, char *why)
{
    if (def->abi != PX_MODULE_ABI)
        return pxi_fail (
            PX_EABI, why,
            "%s is a module for interface %u of peerexec, this is interface %u: build it again",
            path, (unsigned)def->abi, (unsigned)PX_MODULE_ABI);
    if (def->size < SIZE_WITHOUT_RANGES)
        return pxi_fail (PX_EABI, why,
                         "%s: its module table has %u bytes, %zu are needed: build it again", path,
                         (unsigned)def->size, SIZE_WITHOUT_RANGES);
    px_err err = check_name ("module", def->name, path, why);
    if (err != PX_OK)
        return err;
    if (!def->version || strlen (def->version) > PX_NAME_SIZE_MAX)
        return pxi_fail (PX_EINVAL, why,
                         "%s: the version of module '%s' has more than %d bytes, or is missing",
                         path, def->name, PX_NAME_SIZE_MAX);
    if (!def->tasks_begin || def->tasks_begin == def->tasks_end)
        return pxi_fail (PX_ENOTASK, why,
                         "%s: module '%s' has no tasks: register them with PX_TASK (...)", path,
                         def->name);
    if (def->tasks_end < def->tasks_begin || def->tasks_end - def->tasks_begin > PXI_TASKS_MAX)
        return pxi_fail (PX_ETOOBIG, why, "%s: module '%s' has more than %d tasks", path, def->name,
                         PXI_TASKS_MAX);
    return PX_OK;
}

static int compare_names (const void *a, const void *b)
{
    const px_task_def *const *tasks[] = {a, b};
    return strcmp ((*tasks[0])->name, (*tasks[1])->name);
}

/* Functions are compared as addresses: ISO C has no cast from a function to an object pointer. */
static const void *address_of (px_task_fn *function)
{
    return (const void *)(uintptr_t)function;
}

static px_err check_tasks (const px_module_def *def, const char *path, char *why)
{
    for (const px_task_def *const *task = def->tasks_begin; task < def->tasks_end; task++) {
        px_err err = check_name ("task", *task ? (*task)->name : NULL, path, why);
        if (err != PX_OK)
            return err;
        if (!(*task)->function)
            return pxi_fail (PX_EINVAL, why, "%s: the task '%s' has no function", path,
                             (*task)->name);
    }
    return PX_OK;
}

static px_err add_task (pxi_module *module, const px_task_def *task, char *why)
{
    uint32_t index = module->n_tasks;
    if (index > 0 && strcmp (module->task_names[index - 1], task->name) == 0)
        return pxi_fail (PX_EDUPLICATE, why, "%s: module '%s' registers the task '%s' twice",
                         module->path, module->name, task->name);
    module->task_names[index] = task->name;
    module->task_functions[index] = address_of (task->function);
    module->n_tasks++;
    uint64_t address = (uint64_t)(uintptr_t)module->task_functions[index];
    /* A function under two names: the first is what people see in errors. */
    if (!pxi_map_get (&module->by_function, address, NULL) &&
        !pxi_map_put (&module->by_function, address, index))
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    return PX_OK;
}

static px_err add_tasks (pxi_module *module, const px_module_def *def, char *why)
{
    size_t n_tasks = (size_t)(def->tasks_end - def->tasks_begin);
    module->task_names = calloc (n_tasks, sizeof *module->task_names);
    module->task_functions = calloc (n_tasks, sizeof *module->task_functions);
    module->range_of = calloc (n_tasks, sizeof *module->range_of);
    module->cost_of = calloc (n_tasks, sizeof *module->cost_of);
    const px_task_def **sorted = calloc (n_tasks, sizeof *sorted);
    px_err err = PX_OK;
    if (!module->task_names || !module->task_functions || !module->range_of || !module->cost_of ||
        !sorted)
        err = pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    else {
        memcpy (sorted, def->tasks_begin, n_tasks * sizeof *sorted);
        qsort (sorted, n_tasks, sizeof *sorted, compare_names);
        for (size_t i = 0; i < n_tasks && err == PX_OK; i++)
            err = add_task (module, sorted[i], why);
    }
    free (sorted);
    return err;
}

static px_err add_range (pxi_module *module, const px_range_def *range, char *why)
{
    char fault[PX_WHY_SIZE];
    if (!pxi_range_def_is_valid (range, fault))
        return pxi_fail (PX_EINVAL, why, "%.200s: %.300s", module->path, fault);
    int32_t task = range->name ? pxi_module_task (module, range->name) : -1;
    if (task < 0 || module->task_functions[task] != address_of (range->function))
        return pxi_fail (PX_EINVAL, why,
                         "%s: the range task '%.64s' is no task of module '%s': register it with "
                         "PX_RANGE_TASK (...)",
                         module->path, range->name ? range->name : "", module->name);
    if (module->range_of[task])
        return pxi_fail (PX_EDUPLICATE, why, "%s: module '%s' registers the range task '%s' twice",
                         module->path, module->name, range->name);
    module->range_of[task] = range;
    return PX_OK;
}

static px_err add_ranges (pxi_module *module, const px_module_def *def, char *why)
{
    bool has_some = def->size >= SIZE_WITHOUT_COSTS && def->ranges_begin;
    px_err err = PX_OK;
    for (size_t i = 0; has_some && err == PX_OK && def->ranges_begin + i < def->ranges_end; i++)
        err = add_range (module, def->ranges_begin[i], why);
    return err;
}

static px_err add_cost (pxi_module *module, const px_cost_def *cost, char *why)
{
    const char *name = cost && cost->name ? cost->name : "";
    int32_t task = pxi_module_task (module, name);
    if (!cost || cost->size < sizeof *cost || task < 0 ||
        module->task_functions[task] != address_of (cost->function))
        return pxi_fail (PX_EINVAL, why,
                         "%s: what costs '%.64s' is no task of module '%s': give PX_COST (...) the "
                         "name of one",
                         module->path, name, module->name);
    if (module->range_of[task])
        return pxi_fail (
            PX_EINVAL, why,
            "%s: '%s' is data-parallel: its chunks are measured, leave PX_COST (...) out",
            module->path, name);
    if (module->cost_of[task])
        return pxi_fail (PX_EDUPLICATE, why, "%s: module '%s' tells twice what '%s' costs",
                         module->path, module->name, name);
    module->cost_of[task] = cost;
    return PX_OK;
}

static px_err add_costs (pxi_module *module, const px_module_def *def, char *why)
{
    bool has_some = def->size >= sizeof *def && def->costs_begin;
    px_err err = PX_OK;
    for (size_t i = 0; has_some && err == PX_OK && def->costs_begin + i < def->costs_end; i++)
        err = add_cost (module, def->costs_begin[i], why);
    return err;
}

/* `file` is what is read for the digest; `path` is what it is called. Takes path, and image unless
 * it fails. */
static px_err make (const px_module_def *def, char *path, const char *file, void *image,
                    pxi_module **module_p, char *why)
{
    pxi_module *module = calloc (1, sizeof *module);
    if (!module) {
        free (path);
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    }
    module->path = path;
    pxi_map_init (&module->by_function, PXI_TASKS_MAX, 0);
    px_err err = check_def (def, path, why);
    if (err == PX_OK)
        err = check_tasks (def, path, why);
    if (err == PX_OK) {
        module->name = def->name;
        module->version = def->version;
        err = add_tasks (module, def, why);
    }
    if (err == PX_OK)
        err = add_ranges (module, def, why);
    if (err == PX_OK)
        err = add_costs (module, def, why);
    if (err == PX_OK) {
        err = pxi_digest_file (file, &module->digest);
        if (err != PX_OK)
            pxi_fail (err, why, "cannot read %s: %s", path, strerror (errno));
    }
    if (err != PX_OK) {
        pxi_module_free (&module);
        return err;
    }
    module->key = pxi_digest_key (&module->digest);
    module->image = image;
    *module_p = module;
    return PX_OK;
}

/* dlopen () says "invalid ELF header" of a text file, and its words differ between C libraries. */
static px_err check_shared_object (const char *path, char *why)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return pxi_fail (PX_ENOMODULE, why, "cannot open the module %s: %s", path,
                         strerror (errno));
    ElfW (Ehdr) header;
    ssize_t size = read (fd, &header, sizeof header);
    close (fd);
    if (size != (ssize_t)sizeof header || memcmp (header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_type != ET_DYN)
        return pxi_fail (PX_ENOMODULE, why, "%s is not a shared object", path);
    return PX_OK;
}

/* dlsym () also looks into what the object depends on: a def of another file is not this module's.
 */
static const px_module_def *find_def (void *image)
{
    const px_module_def *def = dlsym (image, "px_module_v1");
    struct link_map *own = NULL, *holder = NULL;
    Dl_info info;
    if (!def || dlinfo (image, RTLD_DI_LINKMAP, &own) != 0 ||
        !dladdr1 (def, &info, (void **)&holder, RTLD_DL_LINKMAP))
        return NULL;
    return own == holder ? def : NULL;
}

static px_err load_image (const char *path, void **image_p, const px_module_def **def_p, char *why)
{
    px_err err = check_shared_object (path, why);
    if (err != PX_OK)
        return err;
    /* Local: two modules may have functions of one name. Now: a missing symbol is told here and not
     * when a task first needs it. */
    void *image = dlopen (path, RTLD_NOW | RTLD_LOCAL);
    if (!image) {
        const char *text = dlerror ();
        return pxi_fail (PX_ENOMODULE, why, "cannot load the module: %s", text ? text : path);
    }
    *def_p = find_def (image);
    if (!*def_p) {
        dlclose (image);
        return pxi_fail (PX_ENOMODULE, why,
                         "%s is not a peerexec module: build it with PX_MODULE (...)", path);
    }
    *image_p = image;
    return PX_OK;
}

px_err pxi_module_load (const char *path, pxi_module **module_p, char *why)
{
    /* Absolute: dlopen () searches for a bare name, and executors are started elsewhere. */
    char *absolute = realpath (path, NULL);
    if (!absolute)
        return pxi_fail (errno == ENOMEM ? PX_ENOMEM : PX_ENOMODULE, why,
                         "cannot open the module %s: %s", path, strerror (errno));
    void *image = NULL;
    const px_module_def *def = NULL;
    px_err err = load_image (absolute, &image, &def, why);
    if (err != PX_OK) {
        free (absolute);
        return err;
    }
    err = make (def, absolute, absolute, image, module_p, why);
    if (err != PX_OK)
        dlclose (image);
    return err;
}

px_err pxi_module_compiled_in (const px_module_def *def, pxi_module **module_p, char *why)
{
    if (!def)
        return pxi_fail (PX_EINVAL, why, "no module given");
    Dl_info info;
    struct link_map *holder = NULL;
    if (!dladdr1 (def, &info, (void **)&holder, RTLD_DL_LINKMAP) || !holder)
        return pxi_fail (
            PX_ENOMODULE, why,
            "the module lies in no file of this process: define it with PX_MODULE (...)");
    /* The main program's entry has no name, and argv[0] need not be its file. */
    const char *file = holder->l_name[0] ? holder->l_name : "/proc/self/exe";
    char *path = realpath (file, NULL);
    if (!path)
        path = strdup (file); /* replaced while it runs: the old file can still be read */
    if (!path)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    return make (def, path, file, NULL, module_p, why);
}

void pxi_module_free (pxi_module **module_p)
{
    pxi_module *module = *module_p;
    if (!module)
        return;
    *module_p = NULL;
    void *image = module->image;
    pxi_map_fini (&module->by_function);
    free (module->range_of);
    free (module->cost_of);
    free (module->task_functions);
    free (module->task_names);
    free (module->path);
    free (module);
    if (image)
        dlclose (image);
}

int32_t pxi_module_task (const pxi_module *module, const char *name)
{
    uint32_t begin = 0, end = module->n_tasks;
    while (begin < end) {
        uint32_t middle = begin + (end - begin) / 2;
        int order = strcmp (name, module->task_names[middle]);
        if (order == 0)
            return (int32_t)middle;
        if (order < 0)
            end = middle;
        else
            begin = middle + 1;
    }
    return -1;
}

int32_t pxi_module_task_at (const pxi_module *module, const void *function)
{
    uint64_t index;
    if (!pxi_map_get (&module->by_function, (uint64_t)(uintptr_t)function, &index))
        return -1;
    return (int32_t)index;
}
