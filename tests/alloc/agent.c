/* Opening a peer, and the agent's parts, with each of their allocations failing in turn: an error is
 * returned, or it goes on without, and nothing is kept. (While a peer runs, the bytes that the
 * core's contract needs are either there or the process ends: src/core/core.c.) */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>

#include <peerexec/peerexec.h>

#include "agent/blob.h"
#include "agent/pipe.h"
#include "agent/root.h"
#include "agent/spec.h"
#include "failing.h"
#include "leak.h"

PX_MODULE ("small", "1")

static px_err nothing (px_task *task, const void *input, size_t input_size)
{
    (void)task, (void)input, (void)input_size;
    return PX_OK;
}
PX_TASK (nothing)

/* Blocks that the wrapped functions gave out before. What the C library allocates (realpath) and we
 * free lowers the count; AddressSanitizer's build sees those too. */
static long before;

Test (peers, open_or_say_that_memory_is_out, .timeout = 60)
{
    bool met = true;
    before = failing_n_blocks ();
    for (size_t n = 1; met; n++) {
        px_peer *peer = NULL;
        char why[PX_WHY_SIZE] = "";
        px_peer_options options = PX_PEER_OPTIONS_INIT;
        options.module = &px_module_v1;
        options.name = "small";
        options.busy_file = "/nowhere";
        failing_set (n);
        px_err err = px_peer_open (&options, &peer, why);
        met = failing_was_met ();
        failing_set (0);
        cr_assert_eq (err == PX_OK, peer != NULL);
        cr_assert (err == PX_OK || err == PX_ENOMEM || err == PX_ESYSTEM, "allocation %zu: %s", n,
                   px_err_name (err));
        cr_assert (err == PX_OK || why[0], "allocation %zu: no word why", n);
        px_peer_close (&peer, 0);
        cr_assert_leq (failing_n_blocks (), before, "allocation %zu: something is left", n);
    }
    TEST_NO_LEAKS ();
}

static void make_job_parts (void)
{
    px_job_options options = PX_JOB_OPTIONS_INIT;
    px_point_number number = {"point", 3};
    pxi_bytes *spec = NULL;
    pxi_blobs blobs;
    options.numbers = &number;
    options.n_numbers = 1;
    if (pxi_spec_encode (&options, 1, false, &spec, NULL) != PX_OK)
        return;
    pxi_blobs_init (&blobs);
    uint64_t handle = pxi_blobs_put (&blobs, (pxi_blob){spec, NULL, PX_OK});
    cr_assert (handle == 0 || pxi_blobs_get (&blobs, handle).first == spec);
    pxi_blobs_fini (&blobs);
}

static void make_root (void)
{
    const char *names[] = {"one", "two"};
    const pxi_module module = {.name = "module", .n_tasks = 2, .task_names = names};
    pxi_root *root = pxi_root_new (&module, 1, true);
    if (!root)
        return;
    px_outcome result;
    for (int i = 0; i < 300; i++)
        pxi_root_trace_add (root, &(pxi_traced){.begin_ns = 5, .end_ns = 6, .task = 1});
    pxi_outcome outcome = {.code = PX_ELOST};
    pxi_root_finish (root, &outcome, "peer", "gone");
    cr_assert_eq (pxi_root_wait (root, 0, &result), PX_OK);
    cr_assert_eq (result.code, PX_ELOST);
    cr_assert_str_eq (result.failures[0].message, "gone");
    pxi_root_release (root);
}

static void pass_frame (pxi_pipe *from, pxi_pipe *to)
{
    pxi_frame frame = {.header = {.kind = PXI_FRAME_NOTICE, .n_parts = 1, .meta_size = 3}};
    pxi_bytes *part = pxi_bytes_copy ("part", 4);
    if (!part)
        return;
    frame.parts[0] = part;
    frame.meta = strdup ("me");
    if (!pxi_pipe_send (from, &frame))
        return;
    cr_assert_eq (pxi_pipe_flush (from), PXI_CHANNEL_DONE);
    if (pxi_pipe_receive (to, &frame) == PXI_CHANNEL_DONE)
        cr_assert_eq (memcmp (pxi_bytes_data (frame.parts[0]), "part", 4), 0);
    pxi_frame_fini (&frame);
}

static void use_pipes (void)
{
    int fds[2];
    pxi_pipe from, to;
    cr_assert_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    px_err err = pxi_pipe_init (&from, fds[0], 100);
    if (err != PX_OK)
        return; /* the descriptors go with the test's process */
    err = pxi_pipe_init (&to, fds[1], 100);
    if (err == PX_OK) {
        pass_frame (&from, &to);
        pxi_pipe_fini (&to);
    }
    pxi_pipe_fini (&from);
}

Test (agent, parts_survive_each_failing_allocation, .timeout = 60)
{
    static void (*const scenarios[]) (void) = {make_job_parts, make_root, use_pipes};
    before = failing_n_blocks ();
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        bool met = true;
        for (size_t n = 1; met; n++) {
            failing_set (n);
            scenarios[i]();
            met = failing_was_met ();
            failing_set (0);
            cr_assert_leq (failing_n_blocks (), before, "scenario %zu, allocation %zu", i, n);
        }
    }
    TEST_NO_LEAKS ();
}
