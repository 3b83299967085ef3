/* What is expected of a subtask that waits here, and what came of it: the core's side of core/cost.h.
 *
 * Costs are kept by module and task, over jobs; of a link and the speed of its peer with the peer. What was
 * measured here says how long a task runs here; what was measured elsewhere then says how fast they are.
 * A task that nothing of has run here is known by what others took.
 *
 * A task that has had subtasks of its own (pxi_cost_task.nests) is sent as if nothing was known of its run time:
 * it is as large as they are, and the oldest, which leaves first, is the largest. */
#include "core/state.h"

enum {
    BULK = 16384, /* bytes from which on a transfer is told from a round trip */
    STAY_PART = 4,
    MESSAGE_PART = 8, /* of the time after which who is not heard is given up */
};
#define STAY_MIN_NS PXI_MS
#define STAY_MAX_NS (100 * PXI_MS)
#define NOISE_NS PXI_MS /* of the times of tasks and messages, in a real host */

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
    pxi_estimate_key key = {
        .task = event->task, .size_bytes = event->size_bytes, .declared = event->declared};
    if (event->n_items)
        return;
    if (event->flag) {
        pxi_cost_task *cost = find_or_make (core, event->module, event->task);
        if (cost)
            cost->nests = true;
        return;
    }
    pxi_job *job = pxi_worker_find_job (core, event->job);
    if (job)
        job->ran_ns = core->now_ns;
    learn_here (core, event->module, &key, event->run_ns, event->result_bytes);
}

pxi_estimate_key pxi_estimate_key_of (const pxi_subtask *subtask)
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
    uint32_t slots = job->allowed < core->self.slots ? job->allowed : core->self.slots;
    return slots ? slots : 1;
}

/* How long it takes here: by the job's own ones, else by all of its task. */
static pxi_cost_span run_of (pxi_job *job, const pxi_cost_task *cost, const pxi_estimate_key *key)
{
    pxi_cost_span own = pxi_straggler_close (job, key->task);
    return own.n ? own : pxi_cost_run (cost, key->size_bytes, key->declared);
}

/* `n_waiting` here, with this one. */
static pxi_cost_answer ask (const pxi_core *core, pxi_job *job, const pxi_peer *peer,
                            const pxi_estimate_key *key, uint32_t n_waiting)
{
    const pxi_cost_task *cost = find (core, job->module, key->task);
    pxi_cost_question question = {
        .now_ns = core->now_ns,
        .trip_ns = peer->rtt_ns,
        .in_bytes = key->size_bytes,
        .nests = job->nests || (cost && cost->nests),
        .waited_ns = job->waits_ns ? core->now_ns - job->waits_ns : 0,
        .seen_ns = job->ran_ns > job->waits_ns ? core->now_ns - job->ran_ns : UINT64_MAX,
        .n_waiting = n_waiting,
        .n_slots = slots_here (core, job),
        .n_away = peer->n_away,
        .slots_there = peer->record.slots,
    };
    if (cost) {
        question.run = run_of (job, cost, key);
        question.out_bytes = pxi_cost_result_bytes (cost, key->size_bytes, key->declared);
    }
    oldest_there (core, peer, &question);
    return pxi_cost_ask (&peer->link, &question);
}

uint32_t pxi_estimate_leaves (const pxi_core *core, pxi_job *job, const pxi_peer *peer,
                              const pxi_subtask *subtask, uint32_t n_waiting)
{
    pxi_estimate_key key = subtask ? pxi_estimate_key_of (subtask) : job->usual;
    if (!key.known || (subtask && subtask->spec.n_items))
        return UINT32_MAX;
    pxi_cost_answer answer = ask (core, job, peer, &key, n_waiting ? n_waiting : 1);
    return !answer.leaves ? 0 : answer.is_try ? 1 : UINT32_MAX;
}

uint32_t pxi_estimate_batch (const pxi_core *core, const pxi_job *job, const pxi_peer *peer,
                             uint64_t run_ns, uint64_t fit_ns)
{
    uint64_t there_ns = run_ns ? pxi_cost_there_ns (&peer->link, run_ns) : 1;
    uint64_t move_ns = 1 + pxi_cost_move_ns (&peer->link, core->now_ns, job->usual.size_bytes);
    uint64_t each_ns = there_ns > move_ns ? there_ns : move_ns;
    uint64_t fit = fit_ns / each_ns, most = core->config.detect_ns / MESSAGE_PART / move_ns;
    fit = fit < most ? fit : most;
    return fit < UINT32_MAX ? (uint32_t)fit : UINT32_MAX;
}

/* As long as it would have taken, in part: until then little changes. */
void pxi_estimate_stay (pxi_core *core, pxi_job *job, const pxi_peer *peer)
{
    pxi_cost_answer answer = ask (core, job, peer, &job->usual, 1);
    uint64_t pause_ns = answer.is_try ? answer.try_ns : answer.there_ns / STAY_PART;
    pause_ns = pause_ns < STAY_MIN_NS ? STAY_MIN_NS : pause_ns;
    pause_ns = pause_ns < STAY_MAX_NS ? pause_ns : STAY_MAX_NS;
    if (core->now_ns >= job->home_until_ns)
        SAY (core, "subtasks are done sooner here -> stay for now");
    job->home_until_ns = core->now_ns + pause_ns;
}

/* What is expected back so late that two runs here would come before is done again at once; what should have
 * been back, with all that is not known of it, as soon as it is late by one. */
uint64_t pxi_estimate_redo_ns (const pxi_core *core, const pxi_attempt_state *attempt)
{
    const pxi_subtask *subtask = attempt->subtask;
    const pxi_peer *peer = attempt->peer;
    pxi_estimate_key key = pxi_estimate_key_of (subtask);
    const pxi_cost_task *cost = find (core, subtask->spec.module, key.task);
    if (!cost || cost->nests || subtask->job->nests || !peer || subtask->spec.n_items)
        return UINT64_MAX;
    pxi_cost_span run = run_of (subtask->job, cost, &key);
    if (run.n < PXI_COST_KNOWN)
        return UINT64_MAX;
    uint64_t turns = 1 + attempt->n_before / (peer->record.slots ? peer->record.slots : 1);
    uint64_t back_ns = attempt->moves_ns + turns * pxi_cost_there_ns (&peer->link, run.mean);
    uint64_t due_ns = 2 * attempt->moves_ns + turns * pxi_cost_there_ns (&peer->link, run.high);
    if (attempt->sent_ns + back_ns > core->now_ns + 2 * run.high)
        return core->now_ns;
    return attempt->sent_ns + due_ns + run.mean + NOISE_NS;
}

void pxi_estimate_sent (pxi_core *core, pxi_attempt_state *attempt)
{
    pxi_subtask *subtask = attempt->subtask;
    pxi_peer *peer = attempt->peer;
    pxi_estimate_key key = pxi_estimate_key_of (subtask);
    const pxi_cost_task *cost = find (core, subtask->spec.module, key.task);
    subtask->job->usual = key;
    attempt->n_before = peer->n_away;
    attempt->moves_ns = ask (core, subtask->job, peer, &key, 1).moves_ns;
    if (cost && !cost->nests && !subtask->job->nests) {
        pxi_cost_span run = run_of (subtask->job, cost, &key);
        attempt->expected_ns = run.n ? pxi_cost_there_ns (&peer->link, run.mean) : 0;
        attempt->expected_bytes = pxi_cost_result_bytes (cost, key.size_bytes, key.declared);
    }
    pxi_cost_link_send (&peer->link, core->now_ns, key.size_bytes);
}

static void learn_there (pxi_core *core, const pxi_attempt_state *attempt, uint64_t run_ns,
                         uint64_t result_bytes)
{
    pxi_peer *peer = attempt->peer;
    pxi_estimate_key key = pxi_estimate_key_of (attempt->subtask);
    uint64_t bytes = key.size_bytes + result_bytes, took_ns = core->now_ns - attempt->sent_ns;
    uint64_t other_ns = run_ns + peer->rtt_ns;
    if (bytes >= BULK)
        pxi_cost_link_moved (&peer->link, core->now_ns, bytes,
                             took_ns > other_ns ? took_ns - other_ns : 0, attempt->n_before == 0);
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
    if (subtask->job->nests || subtask->spec.n_items)
        return;
    pxi_estimate_key key = pxi_estimate_key_of (subtask);
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
