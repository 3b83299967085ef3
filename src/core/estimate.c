/* What is expected of a subtask that waits here, and what came of it: the core's side of core/cost.h.
 *
 * Costs are kept by module and task, over jobs; of a link and the speed of its peer with the peer. What was
 * measured here says how long a task runs here; what was measured elsewhere then says how fast they are.
 * A task that nothing of has run here is known by what others took.
 *
 * A task that has had subtasks of its own (pxi_cost_task.nests) is sent as if nothing was known of its run time:
 * it is as large as they are, and the oldest, which leaves first, is the largest. */
#include "core/state.h"

enum { BULK = 16384 /* bytes from which on a transfer is told from a round trip */ };

static pxi_cost_task *find (const pxi_core *core, uint64_t module, uint32_t task)
{
    for (uint32_t i = 0; i < core->n_costs; i++) {
        if (core->costs[i]->task == task && core->costs[i]->module == module)
            return core->costs[i];
    }
    return NULL;
}

/* Room for one more: a new one, or that of the one that was not met for longest. */
static pxi_cost_task *room (pxi_core *core)
{
    if (!core->costs)
        core->costs = pxi_core_alloc (core, PXI_COSTS_MAX * sizeof (pxi_cost_task *));
    if (!core->costs)
        return NULL;
    if (core->n_costs < PXI_COSTS_MAX) {
        pxi_cost_task *made = pxi_core_alloc (core, sizeof *made);
        if (made)
            core->costs[core->n_costs++] = made;
        return made;
    }
    pxi_cost_task *oldest = core->costs[0];
    for (uint32_t i = 1; i < core->n_costs; i++)
        oldest = core->costs[i]->used < oldest->used ? core->costs[i] : oldest;
    return oldest;
}

/* NULL: out of memory, nothing is learned. */
static pxi_cost_task *find_or_make (pxi_core *core, uint64_t module, uint32_t task)
{
    pxi_cost_task *cost = find (core, module, task);
    if (!cost && (cost = room (core)))
        *cost = (pxi_cost_task){.module = module, .task = task};
    if (cost)
        cost->used = ++core->cost_uses;
    return cost;
}

void pxi_estimate_forget (pxi_core *core)
{
    for (uint32_t i = 0; i < core->n_costs; i++)
        pxi_core_release (core, core->costs[i], sizeof *core->costs[i]);
    pxi_core_release (core, core->costs, PXI_COSTS_MAX * sizeof (pxi_cost_task *));
    core->costs = NULL;
    core->n_costs = 0;
}

static void learn_here (pxi_core *core, uint64_t module, const pxi_estimate_key *key,
                        uint64_t run_ns, uint64_t result_bytes)
{
    pxi_cost_task *cost = find_or_make (core, module, key->task);
    if (!cost)
        return;
    pxi_cost_span expected = pxi_cost_run (cost, key->size_bytes, key->declared);
    if (expected.n)
        pxi_cost_tell (cost, expected.mean, run_ns,
                       pxi_cost_result_bytes (cost, key->size_bytes, key->declared), result_bytes);
    pxi_cost_learn (cost, key->size_bytes, key->declared, run_ns, result_bytes);
    cost->ran_here = true;
}

void pxi_estimate_ran (pxi_core *core, const pxi_event *event)
{
    pxi_estimate_key key = {.task = event->task, .size_bytes = event->size_bytes};
    if (event->flag) {
        pxi_cost_task *cost = find_or_make (core, event->module, event->task);
        if (cost)
            cost->nests = true;
        return;
    }
    learn_here (core, event->module, &key, event->run_ns, event->result_bytes);
}

static pxi_estimate_key key_of (const pxi_subtask *subtask)
{
    return (pxi_estimate_key){.known = true,
                              .task = subtask->spec.task,
                              .size_bytes = subtask->spec.size_bytes,
                              .declared = subtask->declared};
}

/* Of the attempts there the one sent first that moves many bytes. */
static void oldest_there (const pxi_core *core, const pxi_peer *peer, pxi_cost_question *question)
{
    const pxi_list *first = pxi_list_first (&peer->away);
    if (!first)
        return;
    const pxi_attempt_state *oldest = PXI_LIST_ENTRY (first, pxi_attempt_state, at_peer);
    question->out_for_ns = core->now_ns - oldest->sent_ns;
    question->out_bytes_moved = oldest->subtask->spec.size_bytes + oldest->expected_bytes;
}

static uint32_t slots_here (const pxi_core *core, const pxi_job *job)
{
    return job->allowed && job->allowed < core->self.slots ? job->allowed : core->self.slots;
}

/* `n_waiting` here, with this one. */
static pxi_cost_answer ask (const pxi_core *core, const pxi_job *job, const pxi_peer *peer,
                            const pxi_estimate_key *key, uint32_t n_waiting)
{
    const pxi_cost_task *cost = find (core, job->module, key->task);
    pxi_cost_question question = {
        .now_ns = core->now_ns,
        .trip_ns = peer->rtt_ns,
        .in_bytes = key->size_bytes,
        .nests = job->nests || (cost && cost->nests),
        .waited_ns = job->waits_ns ? core->now_ns - job->waits_ns : 0,
        .n_waiting = n_waiting,
        .n_slots = slots_here (core, job),
        .n_away = peer->n_away,
        .slots_there = peer->record.slots,
    };
    if (cost) {
        question.run = pxi_cost_run (cost, key->size_bytes, key->declared);
        question.out_bytes = pxi_cost_result_bytes (cost, key->size_bytes, key->declared);
    }
    oldest_there (core, peer, &question);
    return pxi_cost_ask (&peer->link, &question);
}

void pxi_estimate_sent (pxi_core *core, pxi_attempt_state *attempt)
{
    pxi_subtask *subtask = attempt->subtask;
    pxi_peer *peer = attempt->peer;
    pxi_estimate_key key = key_of (subtask);
    const pxi_cost_task *cost = find (core, subtask->spec.module, key.task);
    subtask->job->usual = key;
    attempt->alone = peer->n_away == 0;
    if (cost && !cost->nests && !subtask->job->nests) {
        pxi_cost_span run = pxi_cost_run (cost, key.size_bytes, key.declared);
        pxi_cost_answer answer = ask (core, subtask->job, peer, &key, 1);
        attempt->expected_ns = run.n ? pxi_cost_there_ns (&peer->link, run.mean) : 0;
        attempt->expected_bytes = pxi_cost_result_bytes (cost, key.size_bytes, key.declared);
        if (run.n) {
            attempt->back_ns = core->now_ns + answer.there_ns;
            attempt->due_ns = core->now_ns + answer.there_high_ns;
        }
    }
    pxi_cost_link_send (&peer->link, core->now_ns, key.size_bytes);
}

static void learn_there (pxi_core *core, const pxi_attempt_state *attempt, uint64_t run_ns,
                         uint64_t result_bytes)
{
    pxi_peer *peer = attempt->peer;
    pxi_estimate_key key = key_of (attempt->subtask);
    uint64_t bytes = key.size_bytes + result_bytes, took_ns = core->now_ns - attempt->sent_ns;
    uint64_t other_ns = run_ns + peer->rtt_ns;
    if (bytes >= BULK)
        pxi_cost_link_moved (&peer->link, core->now_ns, bytes,
                             took_ns > other_ns ? took_ns - other_ns : 0, attempt->alone);
    pxi_cost_task *cost = find_or_make (core, attempt->subtask->spec.module, key.task);
    if (!cost || cost->nests)
        return;
    if (attempt->expected_ns)
        pxi_cost_tell (cost, attempt->expected_ns, run_ns, attempt->expected_bytes, result_bytes);
    if (cost->ran_here && attempt->expected_ns)
        pxi_cost_link_ran (&peer->link, pxi_cost_run (cost, key.size_bytes, key.declared).mean,
                           run_ns);
    if (!cost->ran_here)
        pxi_cost_learn (cost, key.size_bytes, key.declared, pxi_cost_here_ns (&peer->link, run_ns),
                        result_bytes);
}

void pxi_estimate_result (pxi_core *core, const pxi_attempt_state *attempt, uint64_t run_ns,
                          uint64_t result_bytes)
{
    const pxi_subtask *subtask = attempt->subtask;
    if (subtask->job->nests)
        return;
    pxi_estimate_key key = key_of (subtask);
    if (attempt->peer)
        learn_there (core, attempt, run_ns, result_bytes);
    else
        learn_here (core, subtask->spec.module, &key, run_ns, result_bytes);
}

uint32_t pxi_core_costs (const pxi_core *core, pxi_cost_look *looks, uint32_t max)
{
    uint32_t n = core->n_costs < max ? core->n_costs : max;
    for (uint32_t i = 0; i < n; i++) {
        const pxi_cost_task *cost = core->costs[i];
        pxi_cost_span run = pxi_cost_run (cost, cost->size_bytes, (pxi_cost_declared){0});
        looks[i] = (pxi_cost_look){
            .module = cost->module,
            .task = cost->task,
            .n = cost->n_told,
            .expected_ns = cost->expected_ns,
            .real_ns = cost->real_ns,
            .expected_bytes = cost->expected_bytes,
            .real_bytes = cost->real_bytes,
            .quality_permille = (uint64_t)pxi_cost_quality (cost) * 1000 / PXI_COST_ONE,
            .n_known = run.n,
            .low_ns = run.low,
            .usual_ns = run.mean,
            .high_ns = run.high,
        };
    }
    return n;
}
