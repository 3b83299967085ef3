/* A program outside the tree: opens a peer, runs a small task tree, compares with a loop.
 * Also the C++ one: app.cpp includes it. */
#include <peerexec/peerexec.h>

#include <stdio.h>
#include <string.h>

static px_err square (px_task *task, const void *input, size_t input_size)
{
    uint64_t x;
    if (input_size != sizeof x)
        return px_task_fail (task, "want 8 bytes, got %zu", input_size);
    memcpy (&x, input, sizeof x);
    x *= x;
    return px_task_return (task, &x, sizeof x);
}

static px_err sum_of_squares (px_task *task, const void *input, size_t input_size)
{
    px_branch branch;
    px_outcome outcome;
    uint64_t n, i, x, sum = 0;
    px_err err = px_branch_open (task, "app.squares", NULL, &branch);
    if (err != PX_OK || input_size != sizeof n)
        return px_task_fail (task, "cannot begin");
    memcpy (&n, input, sizeof n);
    for (i = 0; i < n && err == PX_OK; i++)
        err = px_branch_add (branch, square, &i, sizeof i);
    if (err == PX_OK)
        err = px_branch_join (branch);
    for (i = 0; i < n && err == PX_OK; i++) {
        err = px_branch_result (branch, i, &outcome);
        if (err == PX_OK) {
            memcpy (&x, outcome.bytes, sizeof x);
            sum += x;
        }
    }
    px_branch_close (branch);
    return err != PX_OK ? err : px_task_return (task, &sum, sizeof sum);
}

PX_MODULE ("app", "1.0")
PX_TASK (square)
PX_TASK (sum_of_squares)

static int run (px_peer *peer)
{
    px_job *job;
    px_outcome outcome;
    uint64_t n = 1000, sum = 0;
    px_err err = px_job_submit (peer, "app.sum_of_squares", &n, sizeof n, NULL, &job);
    if (err != PX_OK) {
        fprintf (stderr, "submit: %s\n", px_err_text (err));
        return 1;
    }
    err = px_job_wait (job, px_deadline_ns (UINT64_C (30000000000)), &outcome);
    if (err == PX_OK && outcome.code == PX_OK && outcome.bytes_size == sizeof sum)
        memcpy (&sum, outcome.bytes, sizeof sum);
    else
        fprintf (stderr, "wait: %s, outcome: %s\n", px_err_text (err), px_err_text (outcome.code));
    px_job_free (&job);
    return sum == UINT64_C (332833500) ? 0 : 1; /* n (n-1) (2n-1) / 6 */
}

int main (void)
{
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    px_peer *peer;
    char why[PX_WHY_SIZE];
    int status;
    options.module = &px_module_v1;
    if (px_peer_open (&options, &peer, why) != PX_OK) {
        fprintf (stderr, "open: %s\n", why);
        return 1;
    }
    status = run (peer);
    px_peer_close (&peer, 0);
    return status;
}
