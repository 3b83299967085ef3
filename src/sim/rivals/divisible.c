/* A processor waits for exactly one thing at a time: the end of its work, its question to arrive, or the
 * answer. So one alarm each, and nothing else moves.
 *
 * Invariant: work done + work at processors + work in answers == all work. */
#include "sim/rivals/divisible.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/heap.h"
#include "base/prng.h"

typedef enum waiting { FOR_END, FOR_ARRIVAL, FOR_ANSWER } waiting_t;

struct processor {
    pxi_heap_node node;
    waiting_t waiting;
    uint32_t victim;
    uint64_t from_ns, given_ns; /* of its present work; in the answer */
};

struct run {
    const pxi_divisible_config *config;
    pxi_divisible_report *report;
    pxi_prng prng;
    pxi_heap heap;
    struct processor *processors;
    uint64_t now_ns, sequence;
};

static void wait_for (struct run *run, struct processor *one, waiting_t what, uint64_t at_ns)
{
    one->waiting = what;
    bool added = pxi_heap_add (&run->heap, &one->node, at_ns, ++run->sequence);
    PXI_ASSERT (added);
}

static void ask (struct run *run, struct processor *thief)
{
    uint32_t n = run->config->n_processors, self = (uint32_t)(thief - run->processors);
    thief->victim = (self + 1 + (uint32_t)pxi_prng_below (&run->prng, n - 1)) % n;
    run->report->n_asked++;
    wait_for (run, thief, FOR_ARRIVAL, run->now_ns + run->config->hop_ns);
}

/* Half of what the victim has left, which ends that much sooner. */
static uint64_t take_half (struct run *run, struct processor *victim)
{
    if (victim->waiting != FOR_END || !pxi_heap_holds (&victim->node))
        return 0;
    uint64_t half_ns = (victim->node.deadline - run->now_ns) / 2;
    if (half_ns)
        pxi_heap_move (&run->heap, &victim->node, victim->node.deadline - half_ns, ++run->sequence);
    return half_ns;
}

static void fire (struct run *run, struct processor *one)
{
    switch (one->waiting) {
    case FOR_END:
        run->report->done_ns += run->now_ns - one->from_ns;
        ask (run, one);
        break;
    case FOR_ARRIVAL:
        one->given_ns = take_half (run, &run->processors[one->victim]);
        run->report->n_stolen += one->given_ns > 0;
        wait_for (run, one, FOR_ANSWER, run->now_ns + run->config->hop_ns);
        break;
    case FOR_ANSWER:
        one->from_ns = run->now_ns;
        if (one->given_ns)
            wait_for (run, one, FOR_END, run->now_ns + one->given_ns);
        else
            ask (run, one);
        break;
    }
}

bool pxi_divisible_run (const pxi_divisible_config *config, pxi_divisible_report *report)
{
    PXI_ASSERT (config->n_processors > 1);
    PXI_ASSERT (config->hop_ns > 0);
    struct run run = {.config = config, .report = report};
    *report = (pxi_divisible_report){0};
    run.processors = calloc (config->n_processors, sizeof *run.processors);
    if (!run.processors)
        return false;
    pxi_prng_init (&run.prng, config->seed);
    pxi_heap_init (&run.heap, config->n_processors);
    wait_for (&run, &run.processors[0], FOR_END, config->work_ns);
    for (uint32_t i = 1; i < config->n_processors; i++)
        ask (&run, &run.processors[i]);
    while (report->done_ns < config->work_ns) {
        pxi_heap_node *first = pxi_heap_first (&run.heap);
        pxi_heap_remove (&run.heap, first);
        run.now_ns = first->deadline;
        fire (&run, (struct processor *)first);
    }
    report->makespan_ns = run.now_ns;
    pxi_heap_fini (&run.heap);
    free (run.processors);
    return true;
}
