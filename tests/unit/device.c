/* What the peer makes of a device helper: the helper here is a fake that does as it is told, and time
 * moves only where the test moves it. Nothing of OpenCL is needed. */
#include "device.h"
#include "leak.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static const pxi_device_program_spec kernel = {.source = "kernel void f () {}", .kernel = "f"};

static struct device_rig fake (const char *role)
{
    return device_rig_new (TEST_FAKE_DEVICE, role, 0);
}

static uint32_t begin (struct device_rig *rig, uint64_t kept)
{
    uint64_t program;
    uint32_t slot;
    void *data;
    cr_assert_eq (pxi_device_program (rig->client, &kernel, &program), PX_OK);
    cr_assert_eq (pxi_device_slot (rig->client, 8, &slot, &data), PX_OK);
    memcpy (data, "12345678", 8);
    pxi_device_run_spec run = {.program = program,
                               .n_items = 1,
                               .limit_ns = 5 * SECOND,
                               .context = 77,
                               .n_args = kept ? 2 : 1,
                               .args = {{.kind = PXI_DEVICE_ARG_OUT, .size = 8},
                                        {.kind = PXI_DEVICE_ARG_KEPT, .kept = kept}}};
    cr_assert_eq (pxi_device_run (rig->client, slot, &run, rig->now_ns), PX_OK);
    return slot;
}

static void expect_end (struct device_rig *rig, px_err err, const char *text)
{
    pxi_device_completion completion = device_rig_wait (rig);
    cr_assert_eq (completion.err, err, "%s: %s", px_err_name (completion.err), completion.text);
    cr_assert_not_null (strstr (completion.text, text), "'%s'", completion.text);
    cr_assert_eq (completion.context, 77);
    pxi_device_slot_release (rig->client, completion.slot);
}

static void finish (struct device_rig *rig)
{
    pid_t pid = pxi_device_pid (rig->client);
    pxi_device_client_free (&rig->client);
    cr_assert (pid == 0 || kill (pid, 0) != 0, "the helper is still there");
    TEST_NO_LEAKS ();
}

Test (device, chunks_go_in_and_come_out)
{
    struct device_rig rig = fake ("");
    uint64_t kept;
    cr_assert_eq (pxi_device_keep (rig.client, "shared", 6, &kept), PX_OK);
    for (int i = 0; i < 100; i++) {
        begin (&rig, kept);
        if (i % 3 == 2) {
            cr_assert_eq (pxi_device_drop (rig.client, kept), PX_ESTATE);
            for (int n = 0; n < 3; n++)
                expect_end (&rig, PX_OK, "");
        }
    }
    expect_end (&rig, PX_OK, "");
    cr_assert_eq (pxi_device_drop (rig.client, kept), PX_OK);
    cr_assert_eq (pxi_device_drop (rig.client, kept), PX_ESTALE);
    cr_assert_eq (pxi_device_client_info (rig.client)->memory_size, 1000);
    finish (&rig);
}

Test (device, slots_are_as_many_as_stated)
{
    struct device_rig rig = fake ("");
    uint32_t slot;
    void *data;
    for (int i = 0; i < PXI_DEVICE_SLOTS; i++)
        cr_assert_eq (pxi_device_slot (rig.client, 8, &slot, &data), PX_OK);
    cr_assert_eq (pxi_device_slot (rig.client, 8, &slot, &data), PX_EFULL);
    pxi_device_slot_release (rig.client, slot);
    cr_assert_eq (pxi_device_slot (rig.client, 80000, &slot, &data), PX_OK);
    memset (data, 1, 80000);
    finish (&rig);
}

Test (device, what_does_not_fit_a_slot_is_refused)
{
    struct device_rig rig = fake ("");
    uint64_t program;
    uint32_t slot;
    void *data;
    cr_assert_eq (pxi_device_program (rig.client, &kernel, &program), PX_OK);
    cr_assert_eq (pxi_device_slot (rig.client, 8192, &slot, &data), PX_OK);
    const pxi_device_arg bad[] = {
        {.kind = PXI_DEVICE_ARG_IN, .size = 8193},
        {.kind = PXI_DEVICE_ARG_OUT, .offset = 4096, .size = 4097},
        {.kind = PXI_DEVICE_ARG_OUT, .offset = UINT64_MAX - 4095, .size = 4096},
        {.kind = PXI_DEVICE_ARG_IN, .offset = 1, .size = 1},
        {.kind = PXI_DEVICE_ARG_KEPT, .kept = 99},
        {.kind = PXI_DEVICE_ARG_VALUE, .value_size = PXI_DEVICE_VALUE_SIZE + 1},
        {.kind = 17},
    };
    pxi_device_run_spec run = {.program = program, .n_items = 1, .n_args = 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        run.args[0] = bad[i];
        cr_assert_eq (pxi_device_run (rig.client, slot, &run, rig.now_ns), PX_EINVAL, "%zu", i);
    }
    run.n_args = 0;
    run.program++;
    cr_assert_eq (pxi_device_run (rig.client, slot, &run, rig.now_ns), PX_EINVAL);
    finish (&rig);
}

Test (device, the_program_used_least_lately_makes_room)
{
    struct device_rig rig = fake ("");
    begin (&rig, 0);
    expect_end (&rig, PX_OK, "");
    uint64_t first, again, other;
    cr_assert_eq (pxi_device_program (rig.client, &kernel, &first), PX_OK);
    for (uint32_t i = 1; i < PXI_DEVICE_PROGRAMS_MAX; i++) {
        pxi_device_program_spec spec = kernel;
        spec.line = i;
        cr_assert_eq (pxi_device_program (rig.client, &spec, &other), PX_OK);
    }
    cr_assert_eq (pxi_device_program (rig.client, &kernel, &again), PX_OK);
    cr_assert_eq (again, first);
    pxi_device_program_spec spec = kernel;
    spec.options = "-DX";
    cr_assert_eq (pxi_device_program (rig.client, &spec, &other), PX_OK);
    cr_assert_eq (pxi_device_program (rig.client, &kernel, &again), PX_OK);
    cr_assert_neq (again, first);
    begin (&rig, 0);
    expect_end (&rig, PX_OK, "");
    finish (&rig);
}

Test (device, a_kernel_that_does_not_compile_says_so)
{
    struct device_rig rig = fake ("no build");
    begin (&rig, 0);
    pxi_device_completion completion = device_rig_wait (&rig);
    cr_assert_eq (completion.err, PX_EFAILED);
    cr_assert (completion.program_failed);
    cr_assert_str_eq (completion.text, "log");
    finish (&rig);
}

Test (device, a_shared_input_that_does_not_fit_says_so)
{
    struct device_rig rig = fake ("no room");
    uint64_t kept;
    cr_assert_eq (pxi_device_keep (rig.client, "shared", 6, &kept), PX_OK);
    begin (&rig, kept);
    expect_end (&rig, PX_ETOOBIG, "full");
    finish (&rig);
}

/* ---- failures ----------------------------------------------------------------------------------- */

static void expect_quarantine (struct device_rig *rig, const char *why)
{
    device_rig_until (rig, PXI_DEVICE_QUARANTINED);
    cr_assert_not_null (strstr (pxi_device_reason (rig->client), "3 failures in a row"), "%s",
                        pxi_device_reason (rig->client));
    cr_assert_not_null (strstr (pxi_device_reason (rig->client), why), "%s",
                        pxi_device_reason (rig->client));
    uint32_t slot;
    void *data;
    cr_assert_eq (pxi_device_slot (rig->client, 8, &slot, &data), PX_ESTATE);
    cr_assert_eq (pxi_device_wake_ns (rig->client), rig->now_ns + 60 * SECOND);
}

Test (device, three_deaths_in_a_row_are_a_quarantine)
{
    struct device_rig rig = fake ("dies");
    for (int i = 0; i < 3; i++) {
        cr_assert_neq (pxi_device_client_state (rig.client), PXI_DEVICE_QUARANTINED);
        begin (&rig, 0);
        expect_end (&rig, PX_ECRASH, "signal 9, in or beside kernel f");
    }
    expect_quarantine (&rig, "signal 9");
    /* After it there is one trial, and the next one is longer. */
    rig.now_ns += 60 * SECOND;
    pxi_device_step (rig.client, rig.now_ns);
    cr_assert_eq (pxi_device_client_state (rig.client), PXI_DEVICE_STARTING);
    begin (&rig, 0);
    expect_end (&rig, PX_ECRASH, "signal 9");
    cr_assert_eq (pxi_device_client_state (rig.client), PXI_DEVICE_QUARANTINED);
    cr_assert_eq (pxi_device_wake_ns (rig.client), rig.now_ns + 120 * SECOND);
    finish (&rig);
}

Test (device, a_chunk_that_succeeds_ends_the_row)
{
    struct device_rig rig = fake ("");
    for (int i = 0; i < 6; i++) {
        begin (&rig, 0);
        expect_end (&rig, PX_OK, "");
        cr_assert_eq (kill (pxi_device_pid (rig.client), SIGKILL), 0);
        device_rig_until (&rig, PXI_DEVICE_STARTING);
        device_rig_until (&rig, PXI_DEVICE_READY);
    }
    finish (&rig);
}

Test (device, a_helper_that_dies_at_once_is_a_quarantine)
{
    struct device_rig rig = fake ("dies at start");
    expect_quarantine (&rig, "exit code 1 before it was ready");
    finish (&rig);
}

Test (device, nonsense_is_a_quarantine)
{
    struct device_rig rig = fake ("nonsense");
    expect_quarantine (&rig, "nonsense");
    finish (&rig);
}

Test (device, the_end_of_a_chunk_that_is_not_there_is_nonsense)
{
    struct device_rig rig = fake ("another's chunk");
    begin (&rig, 0);
    expect_end (&rig, PX_ECRASH, "nonsense");
    finish (&rig);
}

Test (device, a_chunk_has_a_time_limit_and_others_do_not_pay_for_it)
{
    struct device_rig rig = fake ("silent in a chunk");
    device_rig_until (&rig, PXI_DEVICE_READY);
    begin (&rig, 0);
    uint32_t second = begin (&rig, 0);
    while (pxi_device_wake_ns (rig.client) != rig.now_ns + 5 * SECOND)
        device_rig_turn (&rig); /* the program is built */
    rig.now_ns += 5 * SECOND - 1;
    pxi_device_step (rig.client, rig.now_ns);
    cr_assert_eq (pxi_device_client_state (rig.client), PXI_DEVICE_READY);
    rig.now_ns += 1;
    pxi_device_step (rig.client, rig.now_ns);
    expect_end (&rig, PX_ETIMEOUT, "a chunk took longer than 5000 ms");
    pxi_device_completion completion = device_rig_wait (&rig);
    cr_assert_eq (completion.err, PX_ELOST);
    cr_assert_eq (completion.slot, second);
    finish (&rig);
}

Test (device, a_build_has_a_time_limit)
{
    struct device_rig rig = fake ("silent in a build");
    device_rig_until (&rig, PXI_DEVICE_READY);
    begin (&rig, 0);
    cr_assert_eq (pxi_device_wake_ns (rig.client), rig.now_ns + 120 * SECOND);
    rig.now_ns += 120 * SECOND;
    pxi_device_step (rig.client, rig.now_ns);
    expect_end (&rig, PX_ETIMEOUT, "the build of a kernel took longer than 120000 ms");
    finish (&rig);
}

Test (device, a_start_has_a_time_limit)
{
    struct device_rig rig = fake ("silent");
    for (int i = 0; i < 3; i++) {
        cr_assert_eq (pxi_device_client_state (rig.client), PXI_DEVICE_STARTING);
        rig.now_ns = pxi_device_wake_ns (rig.client);
        pxi_device_step (rig.client, rig.now_ns);
        while (pxi_device_client_state (rig.client) == PXI_DEVICE_ENDING)
            device_rig_turn (&rig);
    }
    expect_quarantine (&rig, "not ready within 60000 ms");
    finish (&rig);
}

Test (device, a_device_that_broke_is_opened_anew)
{
    struct device_rig rig = fake ("fails and ends");
    pid_t pid = pxi_device_pid (rig.client);
    begin (&rig, 0);
    expect_end (&rig, PX_EFAILED, "the device is broken");
    while (pxi_device_pid (rig.client) == pid)
        device_rig_turn (&rig);
    device_rig_until (&rig, PXI_DEVICE_READY);
    finish (&rig);
}

Test (device, what_waits_hears_why_there_is_no_device)
{
    struct device_rig rig = fake ("refuses");
    begin (&rig, 0);
    expect_end (&rig, PX_ENOMODULE, "no such device");
    cr_assert_eq (pxi_device_client_state (rig.client), PXI_DEVICE_ABSENT);
    uint32_t slot;
    void *data;
    cr_assert_eq (pxi_device_slot (rig.client, 8, &slot, &data), PX_ENOMODULE);
    finish (&rig);
    rig = device_rig_new ("/nonexistent/px_device", NULL, 0);
    cr_assert_eq (pxi_device_client_state (rig.client), PXI_DEVICE_ABSENT);
    cr_assert_not_null (strstr (pxi_device_reason (rig.client), "/nonexistent/px_device"));
    finish (&rig);
}

Test (device, a_search_has_a_time_limit)
{
    pxi_device_program_config config = {.program = TEST_FAKE_DEVICE, .cache = "silent"};
    pxi_device_finder finder;
    pxi_device_finder_start (&finder, &config, SECOND, SECOND);
    pxi_device_finder_step (&finder, 2 * SECOND - 1);
    cr_assert_not (finder.done);
    pxi_device_finder_step (&finder, 2 * SECOND);
    cr_assert (finder.done);
    cr_assert_eq (finder.n_devices, 0);
    cr_assert_str_eq (finder.reason, "the search for devices took too long");
}

/* ---- packets and memory ------------------------------------------------------------------------- */

Test (device_message, what_is_no_packet_is_refused)
{
    pxi_device_message message, got;
    pxi_device_message_init (&message, PXI_DEVICE_MSG_RAN, 5);
    pxi_device_message_add (&message, "text");
    size_t size = offsetof (pxi_device_message, text) + message.text_size;
    for (size_t cut = 0; cut <= size; cut++) {
        int sockets[2], memory;
        cr_assert_eq (socketpair (AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
        cr_assert_eq (write (sockets[0], &message, cut), (ssize_t)cut);
        close (sockets[0]);
        cr_assert_eq (pxi_device_receive (sockets[1], &got, &memory),
                      cut == size ? PXI_DEVICE_RECEIVED
                      : cut       ? PXI_DEVICE_NONSENSE
                                  : PXI_DEVICE_CLOSED,
                      "cut at %zu", cut);
        close (sockets[1]);
    }
    cr_assert_str_eq (got.text, "text");
}

Test (device_message, texts_are_cut_and_end)
{
    static char text[2 * PXI_DEVICE_TEXT_SIZE];
    memset (text, 'x', sizeof text - 1);
    pxi_device_message message;
    pxi_device_message_init (&message, PXI_DEVICE_MSG_BUILT, 1);
    pxi_device_message_add (&message, text);
    pxi_device_message_add (&message, "more");
    cr_assert_eq (message.text_size, PXI_DEVICE_TEXT_SIZE);
    cr_assert_eq (strlen (message.text), PXI_DEVICE_TEXT_SIZE - 1);
}

Test (device_message, memory_that_could_be_cut_is_refused)
{
    pxi_device_memory memory;
    int fd = memfd_create ("cut", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cr_assert_eq (ftruncate (fd, 8192), 0);
    cr_assert_eq (pxi_device_memory_map (&memory, dup (fd), 8192), PX_EMALFORMED);
    cr_assert_eq (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    cr_assert_eq (pxi_device_memory_map (&memory, dup (fd), 8193), PX_EMALFORMED);
    cr_assert_eq (pxi_device_memory_map (&memory, -1, 1), PX_EMALFORMED);
    cr_assert_eq (pxi_device_memory_map (&memory, fd, 8192), PX_OK);
    pxi_device_memory_free (&memory);
}
