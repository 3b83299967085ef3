/* What a device promises, on each OpenCL device of this host (PoCL makes one of its CPU). Without one
 * the tests that need it are skipped, and say why there is none. */
#include "device.h"
#include "leak.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char source[] =
    "kernel void blend (global const float *x, global const float *y, global float *z,\n"
    "                   float a, global const float *table)\n"
    "{\n"
    "    size_t i = get_global_id (0);\n"
    "    z[i] = a * x[i] + y[i] * table[i % 64];\n"
    "}\n"
    "kernel void sums (global const float *x, global float *partial)\n"
    "{\n"
    "    size_t i = get_global_id (0);\n"
    "    float sum = 0;\n"
    "    for (uint n = 0; n < 100; n++)\n"
    "        sum += x[100 * i + n];\n"
    "    partial[i] = sum;\n"
    "}\n"
    "kernel void wait (volatile global const int *flag, global int *out, ulong shift)\n"
    "{\n"
    "    while (flag[0])\n"
    "        ;\n"
    "    out[get_global_id (0) + shift] = 7;\n"
    "}\n";

static const char broken[] = "kernel void broken (global float *z)\n"
                             "{\n"
                             "    z[0] = undeclared;\n"
                             "}\n";

static const pxi_device_program_spec blend = {.source = source, .kernel = "blend"};
static const pxi_device_program_spec sums = {.source = source, .kernel = "sums"};
static const pxi_device_program_spec waits = {.source = source, .kernel = "wait"};

/* ---- devices ------------------------------------------------------------------------------------ */

static pxi_device_finder find (void)
{
    pxi_device_program_config config = {.program = TEST_DEVICE, .cache = TEST_CACHE};
    pxi_device_finder finder;
    pxi_device_finder_start (&finder, &config, 0, SECOND);
    while (!finder.done) {
        struct pollfd fd = {.fd = finder.process.fd, .events = POLLIN};
        cr_assert_eq (poll (&fd, 1, 120000), 1);
        pxi_device_finder_step (&finder, 0);
    }
    return finder;
}

static void need_device (void)
{
    pxi_device_finder finder = find ();
    if (!finder.n_devices)
        cr_skip ("%s", finder.reason);
}

static struct device_rig rig_new (const char *cache, uint64_t memory_max)
{
    return device_rig_new (TEST_DEVICE, cache, memory_max);
}

static void finish (struct device_rig *rig)
{
    pid_t pid = pxi_device_pid (rig->client);
    pxi_device_client_free (&rig->client);
    cr_assert (pid == 0 || kill (pid, 0) != 0, "the helper is still there");
    TEST_NO_LEAKS ();
}

/* A cache of the test's own, which nobody has written to. */
static char *cold_cache (void)
{
    static char path[sizeof TEST_CACHE + 16];
    mkdir (TEST_CACHE, 0700);
    snprintf (path, sizeof path, "%s/cold-XXXXXX", TEST_CACHE);
    cr_assert_not_null (mkdtemp (path));
    return path;
}

static void remove_tree (const char *path)
{
    char command[512];
    snprintf (command, sizeof command, "rm -rf '%s'", path);
    cr_assert_eq (system (command), 0);
}

/* ---- chunks ------------------------------------------------------------------------------------- */

enum { TABLE = 64 };

struct chunk {
    uint32_t slot, n;
    float *x, *y, *z;
};

static uint64_t up (uint64_t size)
{
    return (size + PXI_DEVICE_ALIGNMENT - 1) / PXI_DEVICE_ALIGNMENT * PXI_DEVICE_ALIGNMENT;
}

static float value_at (uint32_t i)
{
    return (float)(i % 1000) / 8 - 50;
}

static uint64_t keep_table (struct device_rig *rig)
{
    float table[TABLE];
    uint64_t kept;
    for (uint32_t i = 0; i < TABLE; i++)
        table[i] = (float)i;
    cr_assert_eq (pxi_device_keep (rig->client, table, sizeof table, &kept), PX_OK);
    return kept;
}

static struct chunk begin_blend (struct device_rig *rig, uint64_t table, uint32_t n)
{
    uint64_t program, size = n * sizeof (float), step = up (size);
    struct chunk chunk = {.n = n};
    void *data;
    cr_assert_eq (pxi_device_program (rig->client, &blend, &program), PX_OK);
    cr_assert_eq (pxi_device_slot (rig->client, 3 * step, &chunk.slot, &data), PX_OK);
    chunk.x = data;
    chunk.y = (float *)((char *)data + step);
    chunk.z = (float *)((char *)data + 2 * step);
    for (uint32_t i = 0; i < n; i++) {
        chunk.x[i] = value_at (i);
        chunk.y[i] = value_at (i + 13);
        chunk.z[i] = NAN;
    }
    pxi_device_run_spec run = {
        .program = program,
        .n_items = n,
        .limit_ns = 60 * SECOND,
        .n_args = 5,
        .args = {{.kind = PXI_DEVICE_ARG_IN, .size = size},
                 {.kind = PXI_DEVICE_ARG_IN, .offset = step, .size = size},
                 {.kind = PXI_DEVICE_ARG_OUT, .offset = 2 * step, .size = size},
                 {.kind = PXI_DEVICE_ARG_VALUE, .value_size = sizeof (float)},
                 {.kind = PXI_DEVICE_ARG_KEPT, .kept = table}}};
    float a = 2.5f;
    memcpy (run.args[3].value, &a, sizeof a);
    cr_assert_eq (pxi_device_run (rig->client, chunk.slot, &run, rig->now_ns), PX_OK);
    return chunk;
}

static void check_blend (const struct chunk *chunk)
{
    for (uint32_t i = 0; i < chunk->n; i++) {
        float right = 2.5f * value_at (i) + value_at (i + 13) * (float)(i % TABLE);
        cr_assert (fabsf (chunk->z[i] - right) <= 1e-5f * fabsf (right) + 1e-5f,
                   "%u of %u: %g, not %g", i, chunk->n, chunk->z[i], right);
    }
}

static pxi_device_completion end_well (struct device_rig *rig)
{
    pxi_device_completion completion = device_rig_wait (rig);
    cr_assert_eq (completion.err, PX_OK, "%s", completion.text);
    return completion;
}

static void one_blend (struct device_rig *rig, uint32_t n)
{
    uint64_t table = keep_table (rig);
    struct chunk chunk = begin_blend (rig, table, n);
    end_well (rig);
    check_blend (&chunk);
    pxi_device_slot_release (rig->client, chunk.slot);
    cr_assert_eq (pxi_device_drop (rig->client, table), PX_OK);
}

Test (device, is_described)
{
    need_device ();
    pxi_device_finder finder = find ();
    struct device_rig rig = rig_new (TEST_CACHE, 0);
    device_rig_until (&rig, PXI_DEVICE_READY);
    const pxi_device_info *info = pxi_device_client_info (rig.client);
    cr_assert_str_eq (info->name, finder.devices[0].name);
    cr_assert_neq (info->name[0], '\0');
    cr_assert_neq (info->platform[0], '\0');
    cr_assert_gt (info->memory_size, 0);
    cr_assert_gt (info->compute_units, 0);
    finish (&rig);
}

/* Sizes around that of a work group, too. */
Test (device, results_are_those_of_the_same_in_c)
{
    need_device ();
    struct device_rig rig = rig_new (TEST_CACHE, 0);
    static const uint32_t sizes[] = {1, 2, 255, 256, 257, 1000, 65536, 100003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        one_blend (&rig, sizes[i]);
    finish (&rig);
}

Test (device, chunks_in_all_slots_do_not_mix)
{
    need_device ();
    struct device_rig rig = rig_new (TEST_CACHE, 0);
    uint64_t table = keep_table (&rig);
    struct chunk chunks[PXI_DEVICE_SLOTS];
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++) {
        struct chunk chunk = begin_blend (&rig, table, 1000 * (i + 1));
        chunks[chunk.slot] = chunk;
    }
    for (uint32_t i = 0; i < 40; i++) {
        pxi_device_completion completion = end_well (&rig);
        check_blend (&chunks[completion.slot]);
        pxi_device_slot_release (rig.client, completion.slot);
        if (i < 40 - PXI_DEVICE_SLOTS) {
            struct chunk chunk = begin_blend (&rig, table, 500 + 97 * i);
            chunks[chunk.slot] = chunk;
        }
    }
    finish (&rig);
}

Test (device, partial_results_are_one_per_item)
{
    need_device ();
    enum { ITEMS = 300 };
    struct device_rig rig = rig_new (TEST_CACHE, 0);
    uint64_t program, in_size = 100 * ITEMS * sizeof (float);
    uint32_t slot;
    void *data;
    cr_assert_eq (pxi_device_program (rig.client, &sums, &program), PX_OK);
    cr_assert_eq (pxi_device_slot (rig.client, up (in_size) + 4096, &slot, &data), PX_OK);
    for (uint32_t i = 0; i < 100 * ITEMS; i++)
        ((float *)data)[i] = (float)(i % 7);
    pxi_device_run_spec run = {
        .program = program,
        .n_items = ITEMS,
        .limit_ns = 60 * SECOND,
        .n_args = 2,
        .args = {{.kind = PXI_DEVICE_ARG_IN, .size = in_size},
                 {.kind = PXI_DEVICE_ARG_OUT, .offset = up (in_size), .size = ITEMS * 4}}};
    cr_assert_eq (pxi_device_run (rig.client, slot, &run, rig.now_ns), PX_OK);
    end_well (&rig);
    for (uint32_t i = 0; i < ITEMS; i++) {
        float right = 0;
        for (uint32_t n = 0; n < 100; n++)
            right += (float)((100 * i + n) % 7);
        cr_assert_eq (((float *)((char *)data + up (in_size)))[i], right);
    }
    finish (&rig);
}

/* ---- kernels that go wrong ---------------------------------------------------------------------- */

Test (device, a_kernel_that_does_not_compile_tells_file_and_line)
{
    need_device ();
    struct device_rig rig = rig_new (TEST_CACHE, 0);
    pxi_device_program_spec spec = {
        .source = broken, .kernel = "broken", .file = "tasks/broken.c", .line = 41};
    uint64_t program;
    uint32_t slot;
    void *data;
    cr_assert_eq (pxi_device_program (rig.client, &spec, &program), PX_OK);
    cr_assert_eq (pxi_device_slot (rig.client, 4, &slot, &data), PX_OK);
    pxi_device_run_spec run = {.program = program,
                               .n_items = 1,
                               .limit_ns = SECOND,
                               .n_args = 1,
                               .args = {{.kind = PXI_DEVICE_ARG_OUT, .size = 4}}};
    cr_assert_eq (pxi_device_run (rig.client, slot, &run, rig.now_ns), PX_OK);
    pxi_device_completion completion = device_rig_wait (&rig);
    cr_assert_eq (completion.err, PX_EFAILED);
    cr_assert (completion.program_failed);
    cr_assert_not_null (strstr (completion.text, "undeclared"), "%s", completion.text);
    cr_assert_not_null (strstr (completion.text, "tasks/broken.c:43"), "%s", completion.text);
    pxi_device_slot_release (rig.client, slot);
    one_blend (&rig, 100);
    finish (&rig);
}

static void expect_failed_build (const char *kernel, uint32_t n_args, const char *text)
{
    struct device_rig rig = rig_new (TEST_CACHE, 0);
    pxi_device_program_spec spec = {.source = source, .kernel = kernel};
    uint64_t program;
    uint32_t slot;
    void *data;
    cr_assert_eq (pxi_device_program (rig.client, &spec, &program), PX_OK);
    cr_assert_eq (pxi_device_slot (rig.client, 400, &slot, &data), PX_OK);
    pxi_device_run_spec run = {.program = program, .n_items = 1, .limit_ns = SECOND};
    run.n_args = n_args;
    for (uint32_t i = 0; i < n_args; i++)
        run.args[i] = (pxi_device_arg){.kind = PXI_DEVICE_ARG_IN, .size = 400};
    cr_assert_eq (pxi_device_run (rig.client, slot, &run, rig.now_ns), PX_OK);
    pxi_device_completion completion = device_rig_wait (&rig);
    cr_assert_eq (completion.err, PX_EFAILED);
    cr_assert_not_null (strstr (completion.text, text), "%s", completion.text);
    finish (&rig);
}

Test (device, a_kernel_that_is_not_there_or_has_other_arguments_says_so)
{
    need_device ();
    expect_failed_build ("nowhere", 1, "kernel nowhere: no kernel of this name in the source");
    expect_failed_build ("sums", 1, "more arguments than were given");
    expect_failed_build ("sums", 3, "fewer arguments than were given");
}

/* A kernel that waits for a flag which nobody clears, or writes `shift` items behind its output. */
static uint32_t begin_wait (struct device_rig *rig, int flag, uint64_t shift)
{
    uint64_t program;
    uint32_t slot;
    void *data;
    cr_assert_eq (pxi_device_program (rig->client, &waits, &program), PX_OK);
    cr_assert_eq (pxi_device_slot (rig->client, 8192, &slot, &data), PX_OK);
    memcpy (data, &flag, sizeof flag);
    pxi_device_run_spec run = {
        .program = program,
        .n_items = 1,
        .limit_ns = 60 * SECOND,
        .n_args = 3,
        .args = {{.kind = PXI_DEVICE_ARG_IN, .size = 4},
                 {.kind = PXI_DEVICE_ARG_OUT, .offset = 4096, .size = 4},
                 {.kind = PXI_DEVICE_ARG_VALUE, .value_size = sizeof shift}}};
    memcpy (run.args[2].value, &shift, sizeof shift);
    cr_assert_eq (pxi_device_run (rig->client, slot, &run, rig->now_ns), PX_OK);
    return slot;
}

static void end_wait (struct device_rig *rig, px_err err)
{
    pxi_device_completion completion = device_rig_wait (rig);
    cr_assert_eq (completion.err, err, "%s: %s", px_err_name (completion.err), completion.text);
    pxi_device_slot_release (rig->client, completion.slot);
}

static void warm_up_wait (struct device_rig *rig)
{
    begin_wait (rig, 0, 0);
    end_wait (rig, PX_OK);
}

Test (device, a_helper_killed_in_mid_chunk_is_an_error_of_the_chunk)
{
    need_device ();
    struct device_rig rig = rig_new (TEST_CACHE, 0);
    warm_up_wait (&rig);
    pid_t pid = pxi_device_pid (rig.client);
    begin_wait (&rig, 1, 0);
    cr_assert_eq (kill (pid, SIGKILL), 0);
    end_wait (&rig, PX_ECRASH);
    one_blend (&rig, 1000);
    cr_assert_neq (pxi_device_pid (rig.client), pid);
    finish (&rig);
}

Test (device, a_kernel_that_never_ends_is_ended)
{
    need_device ();
    struct device_rig rig = rig_new (TEST_CACHE, 0);
    warm_up_wait (&rig);
    begin_wait (&rig, 1, 0);
    rig.now_ns = pxi_device_wake_ns (rig.client);
    pxi_device_step (rig.client, rig.now_ns);
    end_wait (&rig, PX_ETIMEOUT);
    one_blend (&rig, 1000);
    finish (&rig);
}

/* Far out of bounds: what a driver does is its own business (of the CPU's it dies), but it is an error,
 * and the device is there for the next. */
Test (device, a_kernel_that_writes_out_of_bounds_is_an_error)
{
    need_device ();
    struct device_rig rig = rig_new (TEST_CACHE, 0);
    warm_up_wait (&rig);
    begin_wait (&rig, 0, UINT64_C (1) << 42);
    pxi_device_completion completion = device_rig_wait (&rig);
    cr_assert (completion.err == PX_ECRASH || completion.err == PX_EFAILED, "%s",
               px_err_name (completion.err));
    pxi_device_slot_release (rig.client, completion.slot);
    one_blend (&rig, 1000);
    finish (&rig);
}

Test (device, what_is_too_large_for_it_is_refused_and_the_rest_goes_on)
{
    need_device ();
    enum { MEMORY = 1 << 20 };
    struct device_rig rig = rig_new (TEST_CACHE, MEMORY);
    uint64_t table = keep_table (&rig);
    begin_blend (&rig, table, MEMORY / 8);
    pxi_device_completion completion = device_rig_wait (&rig);
    cr_assert_eq (completion.err, PX_ETOOBIG, "%s", completion.text);
    cr_assert_not_null (strstr (completion.text, "1048576"), "%s", completion.text);
    pxi_device_slot_release (rig.client, completion.slot);
    static char large[MEMORY + 1];
    uint64_t kept;
    cr_assert_eq (pxi_device_keep (rig.client, large, sizeof large, &kept), PX_OK);
    begin_blend (&rig, kept, 100);
    completion = device_rig_wait (&rig);
    cr_assert_eq (completion.err, PX_ETOOBIG, "%s", completion.text);
    pxi_device_slot_release (rig.client, completion.slot);
    one_blend (&rig, 1000);
    finish (&rig);
}

/* ---- the cache ---------------------------------------------------------------------------------- */

Test (device, six_helpers_with_a_cold_cache_compile_once, .timeout = 240)
{
    need_device ();
    enum { HELPERS = 6 };
    char *cache = cold_cache ();
    struct device_rig rigs[HELPERS];
    struct chunk chunks[HELPERS];
    uint32_t n_cached = 0;
    for (int i = 0; i < HELPERS; i++) {
        rigs[i] = rig_new (cache, 0);
        chunks[i] = begin_blend (&rigs[i], keep_table (&rigs[i]), 1000);
    }
    for (uint32_t left = HELPERS; left;) {
        struct pollfd fds[HELPERS];
        pxi_device_completion completion;
        for (int i = 0; i < HELPERS; i++)
            fds[i] = (struct pollfd){.fd = pxi_device_fd (rigs[i].client), .events = POLLIN};
        cr_assert_gt (poll (fds, HELPERS, 120000), 0);
        for (int i = 0; i < HELPERS; i++) {
            pxi_device_step (rigs[i].client, rigs[i].now_ns);
            if (!pxi_device_next (rigs[i].client, &completion))
                continue;
            cr_assert_eq (completion.err, PX_OK, "%s", completion.text);
            check_blend (&chunks[i]);
            n_cached += completion.cached;
            left--;
        }
    }
    cr_assert_eq (n_cached, HELPERS - 1);
    for (int i = 0; i < HELPERS; i++)
        finish (&rigs[i]);
    remove_tree (cache);
}

/* How a first chunk came: from the cache or not. */
static bool was_cached (const char *cache)
{
    struct device_rig rig = rig_new (cache, 0);
    begin_blend (&rig, keep_table (&rig), 100);
    bool cached = end_well (&rig).cached;
    finish (&rig);
    return cached;
}

/* Half of it is lost, as after a power cut; `damage` = another byte in its middle. */
static void spoil (const char *cache, bool damage)
{
    DIR *directory = opendir (cache);
    cr_assert_not_null (directory);
    uint32_t n = 0;
    for (struct dirent *entry; (entry = readdir (directory));) {
        char path[512];
        struct stat info;
        size_t length = strlen (entry->d_name);
        if (length < 4 || strcmp (entry->d_name + length - 4, ".bin") != 0)
            continue;
        snprintf (path, sizeof path, "%s/%s", cache, entry->d_name);
        cr_assert_eq (stat (path, &info), 0);
        int fd = open (path, O_WRONLY);
        if (damage)
            cr_assert_eq (pwrite (fd, "\xff\x00\xff", 3, info.st_size / 2), 3);
        else
            cr_assert_eq (ftruncate (fd, info.st_size / 2), 0);
        close (fd);
        n++;
    }
    closedir (directory);
    cr_assert_eq (n, 1);
}

Test (device, a_damaged_binary_is_built_again)
{
    need_device ();
    char *cache = cold_cache ();
    cr_assert_not (was_cached (cache));
    cr_assert (was_cached (cache));
    spoil (cache, false);
    cr_assert_not (was_cached (cache));
    spoil (cache, true);
    cr_assert_not (was_cached (cache));
    cr_assert (was_cached (cache));
    remove_tree (cache);
}

/* ---- without devices ---------------------------------------------------------------------------- */

static void expect_absent (const char *cache, const char *why)
{
    struct device_rig rig = rig_new (cache, 0);
    device_rig_until (&rig, PXI_DEVICE_ABSENT);
    cr_assert_not_null (strstr (pxi_device_reason (rig.client), why), "%s",
                        pxi_device_reason (rig.client));
    finish (&rig);
}

Test (device, without_a_vendor_there_is_none_and_a_reason)
{
    setenv ("OCL_ICD_VENDORS", "/nonexistent", 1);
    pxi_device_finder finder = find ();
    cr_assert_eq (finder.n_devices, 0);
    if (!strstr (finder.reason, "built without OpenCL"))
        cr_assert_not_null (strstr (finder.reason, "OpenCL"), "%s", finder.reason);
    expect_absent (TEST_CACHE, finder.reason);
}

Test (device, without_a_loader_there_is_none_and_a_reason)
{
    char *directory = cold_cache (), path[512];
    snprintf (path, sizeof path, "%s/libOpenCL.so.1", directory);
    close (open (path, O_WRONLY | O_CREAT, 0600));
    setenv ("LD_LIBRARY_PATH", directory, 1);
    pxi_device_finder finder = find ();
    cr_assert_eq (finder.n_devices, 0);
    if (!strstr (finder.reason, "built without OpenCL"))
        cr_assert_not_null (strstr (finder.reason, "no OpenCL loader"), "%s", finder.reason);
    expect_absent (TEST_CACHE, finder.reason);
    remove_tree (directory);
}

Test (device, a_cache_that_cannot_be_written_is_told)
{
    expect_absent ("/proc/self/nowhere", "no directory for kernels can be written");
}

Test (device, that_is_not_there_is_told)
{
    need_device ();
    pxi_device_client_config config = pxi_device_client_config_default ();
    config.program = (pxi_device_program_config){.program = TEST_DEVICE, .cache = TEST_CACHE};
    config.device = 1000;
    struct device_rig rig = {pxi_device_client_new (&config), 0};
    pxi_device_step (rig.client, 0);
    device_rig_until (&rig, PXI_DEVICE_ABSENT);
    cr_assert_not_null (strstr (pxi_device_reason (rig.client), "there is no OpenCL device 1000"));
    finish (&rig);
}
