#include <peerexec/peerexec.h>
#include <stdio.h>

PX_MODULE ("self", "1.0")

static px_err primes (px_task *task, const void *input, size_t input_size)
{
    const px_range *range = input;
    uint64_t n = 0;
    for (uint64_t i = range->begin; i < range->end; i++) {
        uint64_t d = 2;
        while (d * d <= i && i % d != 0)
            d++;
        n += d * d > i;
    }
    return px_task_return (task, &n, sizeof n);
}
PX_TASK (primes)

static px_err add (void *total, uint64_t index, const px_outcome *outcome)
{
    *(uint64_t *)total += outcome->code == PX_OK ? *(const uint64_t *)outcome->bytes : 0;
    return PX_OK;
}

static px_err count (px_task *task, const void *input, size_t input_size)
{
    uint64_t n = 0;
    px_err err = px_for (task, "self.primes", 2, 4000000, 0, primes, NULL, 0, add, &n);
    return err != PX_OK ? err : px_task_return (task, &n, sizeof n);
}
PX_TASK (count)

static int run (px_peer *peer, int argc, char **argv)
{
    px_job *job;
    px_outcome outcome;
    if (px_job_submit (peer, "self.count", NULL, 0, NULL, &job) != PX_OK ||
        px_job_wait (job, PX_FOREVER, &outcome) != PX_OK || outcome.code != PX_OK)
        return 1;
    printf ("%llu primes\n", (unsigned long long)*(const uint64_t *)outcome.bytes);
    px_job_free (&job);
    return 0;
}

int main (int argc, char **argv)
{
    return px_main (argc, argv, &px_module_v1, run);
}
