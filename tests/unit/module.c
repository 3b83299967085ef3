/* module/load and module/registry: a good module, and one file per mistake. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "leak.h"
#include "module/registry.h"

#define FILE_OF(name) TEST_MODULES "/" name ".so"

static px_err compiled_task (px_task *task, const void *input, size_t input_size)
{
    return PX_OK;
}

PX_MODULE ("inside", "0.9")
PX_TASK (compiled_task)

Test (module, a_good_one_is_loaded_with_its_tasks_in_the_order_of_their_names)
{
    static const char *const names[] = {"alpha", "beta", "gamma_2"};
    pxi_module *module = NULL;
    char why[PX_WHY_SIZE] = "";
    cr_assert_eq (pxi_module_load (FILE_OF ("good"), &module, why), PX_OK, "%s", why);
    cr_assert_str_eq (module->name, "good");
    cr_assert_str_eq (module->version, "1.0");
    cr_assert_eq (module->path[0], '/');
    cr_assert_eq (module->n_tasks, 3);
    for (int32_t i = 0; i < 3; i++) {
        cr_assert_str_eq (module->task_names[i], names[i]);
        cr_assert_eq (pxi_module_task (module, names[i]), i);
        cr_assert_eq (pxi_module_task_at (module, module->task_functions[i]), i);
    }
    cr_assert_eq (pxi_module_task (module, "delta"), -1);
    cr_assert_eq (pxi_module_task (module, ""), -1);
    cr_assert_eq (pxi_module_task_at (module, module), -1);
    px_task_fn *beta = (px_task_fn *)(uintptr_t)module->task_functions[1];
    cr_assert_eq (beta (NULL, NULL, 0), PX_EINVAL);
    pxi_digest digest;
    cr_assert_eq (pxi_digest_file (FILE_OF ("good"), &digest), PX_OK);
    cr_assert_arr_eq (module->digest.bytes, digest.bytes, PXI_DIGEST_SIZE);
    cr_assert_eq (module->key, pxi_digest_key (&digest));
    pxi_module_free (&module);
    cr_assert_null (module);
    TEST_NO_LEAKS ();
}

Test (module, the_programs_own_has_the_digest_of_the_program)
{
    pxi_module *module = NULL;
    char why[PX_WHY_SIZE] = "";
    cr_assert_eq (pxi_module_compiled_in (&px_module_v1, &module, why), PX_OK, "%s", why);
    cr_assert_str_eq (module->name, "inside");
    cr_assert_eq (pxi_module_task (module, "compiled_task"), 0);
    cr_assert_eq (pxi_module_task_at (module, (const void *)(uintptr_t)compiled_task), 0);
    pxi_digest digest;
    cr_assert_eq (pxi_digest_file ("/proc/self/exe", &digest), PX_OK);
    cr_assert_arr_eq (module->digest.bytes, digest.bytes, PXI_DIGEST_SIZE);
    cr_assert_eq (module->path[0], '/');
    pxi_module_free (&module);
    TEST_NO_LEAKS ();
}

Test (module, each_mistake_has_its_own_error_and_sentence)
{
    static const struct {
        const char *path;
        px_err err;
        const char *part; /* of the sentence */
    } rows[] = {
        {FILE_OF ("nothing_here"), PX_ENOMODULE, "No such file"},
        {"", PX_ENOMODULE, "No such file"},
        {TEST_MODULES, PX_ENOMODULE, "is not a shared object"},
        {TEST_SOURCE, PX_ENOMODULE, "is not a shared object"},
        {"/dev/null", PX_ENOMODULE, "is not a shared object"},
        {FILE_OF ("not_a_module"), PX_ENOMODULE,
         "is not a peerexec module: build it with PX_MODULE (...)"},
        {FILE_OF ("missing_symbol"), PX_ENOMODULE, "nobody_has_this"},
        {FILE_OF ("other_abi"), PX_EABI, "for interface 2 of peerexec, this is interface 1"},
        {FILE_OF ("old_table"), PX_EABI, "build it again"},
        {FILE_OF ("no_tasks"), PX_ENOTASK, "module 'empty' has no tasks"},
        {FILE_OF ("duplicate_tasks"), PX_EDUPLICATE, "registers the task 'one' twice"},
        {FILE_OF ("bad_name"), PX_EINVAL, "the module name 'bad.name' is not valid"},
        {FILE_OF ("no_name"), PX_EINVAL, "a module has no name"},
        {FILE_OF ("no_version"), PX_EINVAL, "version"},
        {FILE_OF ("long_task"), PX_EINVAL, "a_name_of_thirty_two_letters_abc"},
        {FILE_OF ("no_function"), PX_EINVAL, "the task 'two' has no function"},
        {FILE_OF ("null_task"), PX_EINVAL, "a task has no name"},
        {FILE_OF ("range_no_run"), PX_EINVAL, "needs an implementation in C"},
        {FILE_OF ("range_null"), PX_EINVAL, "needs an implementation in C"},
        {FILE_OF ("range_argument"), PX_EINVAL,
         "argument 2 of the range task one is a value of more than 64 bytes"},
        {FILE_OF ("range_stranger"), PX_EINVAL, "the range task 'three' is no task of module"},
        {FILE_OF ("range_twice"), PX_EDUPLICATE, "registers the range task 'one' twice"},
        {FILE_OF ("cost_stranger"), PX_EINVAL, "what costs 'three' is no task of module"},
        {FILE_OF ("cost_twice"), PX_EDUPLICATE, "tells twice what 'two' costs"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pxi_module *module = NULL;
        char why[PX_WHY_SIZE] = "";
        px_err err = pxi_module_load (rows[i].path, &module, why);
        cr_expect_eq (err, rows[i].err, "%s: %s %s", rows[i].path, px_err_name (err), why);
        cr_expect (strstr (why, rows[i].part) != NULL, "%s: %s", rows[i].path, why);
        cr_expect (!*rows[i].path || strstr (why, rows[i].path) != NULL, "%s is not named: %s",
                   rows[i].path, why);
        cr_expect_null (module);
        cr_expect_eq (pxi_module_load (rows[i].path, &module, NULL), rows[i].err);
    }
    TEST_NO_LEAKS ();
}

Test (module, data_parallel_tasks_are_known_by_their_tasks)
{
    static const struct {
        const char *path, *range; /* which of its tasks is one */
    } rows[] = {{FILE_OF ("range_good"), "one"},
                {FILE_OF ("good"), NULL},
                {FILE_OF ("old_without_ranges"), NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pxi_module *module = NULL;
        char why[PX_WHY_SIZE] = "";
        cr_assert_eq (pxi_module_load (rows[i].path, &module, why), PX_OK, "%s", why);
        for (uint32_t task = 0; task < module->n_tasks; task++) {
            const px_range_def *range = module->range_of[task];
            bool is_one = rows[i].range && !strcmp (rows[i].range, module->task_names[task]);
            cr_expect_eq (range != NULL, is_one, "%s: %s", rows[i].path, module->task_names[task]);
            if (range)
                cr_expect_str_eq (range->name, module->task_names[task]);
        }
        pxi_module_free (&module);
    }
    TEST_NO_LEAKS ();
}

Test (module, what_tasks_cost_is_known_by_their_tasks)
{
    static const struct {
        const char *path, *task; /* which of its tasks says so */
    } rows[] = {{FILE_OF ("cost_good"), "two"},
                {FILE_OF ("good"), NULL},
                {FILE_OF ("old_without_costs"), NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pxi_module *module = NULL;
        char why[PX_WHY_SIZE] = "";
        cr_assert_eq (pxi_module_load (rows[i].path, &module, why), PX_OK, "%s", why);
        for (uint32_t task = 0; task < module->n_tasks; task++) {
            bool is_one = rows[i].task && !strcmp (rows[i].task, module->task_names[task]);
            cr_expect_eq (module->cost_of[task] != NULL, is_one, "%s: %s", rows[i].path,
                          module->task_names[task]);
        }
        pxi_module_free (&module);
    }
    TEST_NO_LEAKS ();
}

Test (module, a_relative_path_is_made_absolute)
{
    cr_assert_eq (chdir (TEST_MODULES), 0);
    pxi_module *module = NULL;
    cr_assert_eq (pxi_module_load ("good.so", &module, NULL), PX_OK);
    cr_assert_eq (module->path[0], '/');
    pxi_module_free (&module);
}

Test (module, no_module_given_is_an_error)
{
    pxi_module *module = NULL;
    char why[PX_WHY_SIZE] = "";
    px_module_def on_the_stack = {0};
    cr_assert_eq (pxi_module_compiled_in (NULL, &module, why), PX_EINVAL);
    cr_assert_eq (pxi_module_compiled_in (&on_the_stack, &module, why), PX_ENOMODULE);
    cr_assert_null (module);
}

Test (module, names_have_a_stated_form)
{
    static const struct {
        const char *name;
        bool is_valid;
    } rows[] = {
        {"a", true},         {"uts", true},
        {"A-1_b", true},     {"thirty_one_letters_fit_in_a_name", false},
        {"", false},         {"thirty_one_letters_fit_a_name_x", true},
        {"a.b", false},      {"a b", false},
        {"\xc3\xa4", false}, {NULL, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq (pxi_name_is_valid (rows[i].name), rows[i].is_valid, "%s", rows[i].name);
}

static pxi_registry *two_modules (void)
{
    pxi_registry *registry = pxi_registry_new ();
    pxi_module *module = NULL;
    cr_assert_eq (pxi_module_compiled_in (&px_module_v1, &module, NULL), PX_OK);
    cr_assert_eq (pxi_registry_add (registry, &module, NULL), PX_OK);
    cr_assert_null (module);
    cr_assert_eq (pxi_module_load (FILE_OF ("good"), &module, NULL), PX_OK);
    cr_assert_eq (pxi_registry_add (registry, &module, NULL), PX_OK);
    return registry;
}

Test (registry, finds_modules_by_name_and_by_key)
{
    pxi_registry *registry = two_modules ();
    cr_assert_eq (pxi_registry_size (registry), 2);
    const pxi_module *inside = pxi_registry_find (registry, "inside");
    const pxi_module *good = pxi_registry_find (registry, "good");
    cr_assert_eq (pxi_registry_at (registry, 0), inside);
    cr_assert_eq (pxi_registry_at (registry, 1), good);
    cr_assert_eq (pxi_registry_find_key (registry, inside->key), inside);
    cr_assert_eq (pxi_registry_find_key (registry, good->key), good);
    cr_assert_null (pxi_registry_find_key (registry, good->key + 1));
    cr_assert_null (pxi_registry_find (registry, "goo"));
    pxi_registry_free (&registry);
    cr_assert_null (registry);
    TEST_NO_LEAKS ();
}

Test (registry, a_name_or_digest_that_is_taken_is_refused)
{
    static const char *const files[] = {FILE_OF ("good"), FILE_OF ("twin")};
    pxi_registry *registry = two_modules ();
    for (int i = 0; i < 2; i++) {
        pxi_module *module = NULL;
        char why[PX_WHY_SIZE] = "";
        cr_assert_eq (pxi_module_load (files[i], &module, NULL), PX_OK);
        cr_assert_eq (pxi_registry_add (registry, &module, why), PX_EDUPLICATE);
        cr_assert_not_null (module, "it stays the caller's");
        cr_assert (strstr (why, "two modules are named 'good'") != NULL, "%s", why);
        pxi_module_free (&module);
    }
    cr_assert_eq (pxi_registry_size (registry), 2);
    pxi_registry_free (&registry);
    TEST_NO_LEAKS ();
}

Test (registry, full_names_lead_to_tasks)
{
    static const struct {
        const char *name;
        px_err err;
        uint32_t task;
        const char *part;
    } rows[] = {
        {"good.beta", PX_OK, 1, ""},
        {"good.alpha", PX_OK, 0, ""},
        {"inside.compiled_task", PX_OK, 0, ""},
        {"good", PX_EINVAL, 9, "MODULE.TASK"},
        {"", PX_EINVAL, 9, "MODULE.TASK"},
        {".beta", PX_EINVAL, 9, "MODULE.TASK"},
        {"good.", PX_EINVAL, 9, "MODULE.TASK"},
        {"goo.beta", PX_ENOMODULE, 9, "there are: inside, good"},
        {"goods.beta", PX_ENOMODULE, 9, "no module 'goods'"},
        {"good.bet", PX_ENOTASK, 9, "there are: alpha, beta, gamma_2"},
        {"inside.x", PX_ENOTASK, 9, "there is: compiled_task"},
        {"good.beta.x", PX_ENOTASK, 9, "no task 'beta.x'"},
    };
    pxi_registry *registry = two_modules ();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const pxi_module *module = NULL;
        uint32_t task = 9;
        char why[PX_WHY_SIZE] = "";
        px_err err = pxi_registry_task (registry, rows[i].name, &module, &task, why);
        cr_expect_eq (err, rows[i].err, "%s: %s", rows[i].name, px_err_name (err));
        cr_expect_eq (task, rows[i].task, "%s", rows[i].name);
        cr_expect_eq (module != NULL, err == PX_OK);
        cr_expect (strstr (why, rows[i].part) != NULL, "%s: %s", rows[i].name, why);
    }
    pxi_registry_free (&registry);
    registry = pxi_registry_new ();
    char why[PX_WHY_SIZE] = "";
    const pxi_module *module;
    uint32_t task;
    cr_assert_eq (pxi_registry_task (registry, "a.b", &module, &task, why), PX_ENOMODULE);
    cr_assert (strstr (why, "none") != NULL, "%s", why);
    pxi_registry_free (&registry);
    pxi_registry_free (&registry);
    TEST_NO_LEAKS ();
}
