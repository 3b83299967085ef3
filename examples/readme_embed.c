#include <peerexec/peerexec.h>
#include <stdio.h>

PX_MODULE ("embed", "1.0")

static px_err square (px_task *task, const void *input, size_t input_size)
{
    double x = *(const double *)input;
    return px_task_return (task, &(double){x * x}, sizeof x);
}
PX_TASK (square)

static px_err squares (px_task *task, const void *input, size_t input_size)
{
    double results[3];
    px_err err = px_map (task, "embed.items", square, input, 8, 3, results, 8);
    return err != PX_OK ? err : px_task_return (task, results, sizeof results);
}
PX_TASK (squares)

int main (void)
{
    const double items[3] = {2, 3, 4}, *results;
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    options.module = &px_module_v1;
    px_peer *peer;
    px_job *job;
    px_outcome outcome;
    if (px_peer_open (&options, &peer, NULL) != PX_OK ||
        px_job_submit (peer, "embed.squares", items, sizeof items, NULL, &job) != PX_OK ||
        px_job_wait (job, PX_FOREVER, &outcome) != PX_OK || outcome.code != PX_OK)
        return 1;
    results = outcome.bytes;
    printf ("%g %g %g\n", results[0], results[1], results[2]);
    px_job_free (&job);
    px_peer_close (&peer, 0);
}
