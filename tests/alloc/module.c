/* Loading modules with each allocation failing in turn. */
#include <criterion/criterion.h>
#include <string.h>

#include "failing.h"
#include "leak.h"
#include "module/registry.h"

static px_err compiled_task (px_task *task, const void *input, size_t input_size)
{
    return PX_OK;
}

PX_MODULE ("inside", "0.9")
PX_TASK (compiled_task)

/* What a peer does with its modules while it opens. */
static px_err fill (pxi_registry *registry, char *why)
{
    pxi_module *module = NULL;
    px_err err = pxi_module_compiled_in (&px_module_v1, &module, why);
    if (err == PX_OK)
        err = pxi_registry_add (registry, &module, why);
    if (err == PX_OK)
        err = pxi_module_load (TEST_MODULES "/good.so", &module, why);
    if (err == PX_OK)
        err = pxi_registry_add (registry, &module, why);
    pxi_module_free (&module);
    return err;
}

Test (module, each_failing_allocation_is_told_and_leaves_nothing)
{
    size_t n = 1;
    long n_lost = 0;
    for (bool met = true; met; n++) {
        char why[PX_WHY_SIZE] = "";
        long n_before = failing_n_blocks ();
        failing_set (n);
        pxi_registry *registry = pxi_registry_new ();
        px_err err = registry ? fill (registry, why) : PX_ENOMEM;
        met = failing_was_met ();
        failing_set (0);
        cr_assert_eq (err, met ? PX_ENOMEM : PX_OK, "allocation %zu: %s", n, px_err_name (err));
        cr_assert (!met || !registry || strstr (why, "memory") != NULL, "%s", why);
        if (!met)
            cr_assert_not_null (pxi_registry_find (registry, "good"));
        pxi_registry_free (&registry);
        /* Paths come from the C library, uncounted, and are freed by us: the same number each time.
         */
        n_lost = failing_n_blocks () - n_before;
        cr_assert_leq (n_lost, 0, "allocation %zu: %ld blocks are lost", n, n_lost);
    }
    cr_assert_gt (n, 10, "it looked at %zu allocations", n);
    TEST_NO_LEAKS ();
}
