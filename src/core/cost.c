/* Moving means with their mean deviation, as for round trips (RFC 6298), and comparisons of sums.
 *
 * The benefit of the doubt is the peer's: what is done here is taken at the long end of its span, what is done
 * there at the short one. So nothing that is not known keeps a subtask home, but for many bytes over a link that
 * nobody has measured: those go one at a time. */
#include "core/cost.h"

#include <string.h>

#include "core/limits.h"

enum {
    MEMORY = 8, /* samples that a mean is of, about */
    SPEED_MEMORY = 16,
    HIGH_DEVIATIONS = 3, /* above the mean: nearly all */
    LOW_DEVIATIONS = 2,
    WIDE = 2,          /* times the mean, over the number of samples */
    BYTES_MIN = 16384, /* fewer say nothing of bandwidth: they go in a round trip */
    WRONG_RATIO = 128, /* of a declaration that nothing was measured of */
    SPEED_KNOWN = 4,
    SPEED_SURE = 8,
    SPEED_MOST = 64, /* times slower, or faster */
};
#define TIME_MAX (UINT64_C (1) << 50) /* 13 days */
#define BYTES_MAX (UINT64_C (1) << 40)
#define RATE_MAX UINT64_C (100000000000)
#define AGE_NS (10 * PXI_SECOND)
#define AGES_MAX 10
#define SEEN_NS (20 * PXI_MS)            /* an executor tells of two in that time */
#define RATE_GUESS UINT64_C (100000000)  /* of a link that nobody has measured, hoped */
#define RATE_CAREFUL UINT64_C (10000000) /* and feared */
#define LEAST_NS (PXI_MS / 100) /* a transfer below is not told from a round trip's noise */

static uint64_t at_most (uint64_t n, uint64_t most)
{
    return n < most ? n : most;
}

static uint64_t at_least (uint64_t n, uint64_t least)
{
    return n > least ? n : least;
}

static uint64_t distance (uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* Up to TIME_MAX. */
static uint64_t times (uint64_t ns, uint64_t n)
{
    return n && ns > TIME_MAX / n ? TIME_MAX : ns * n;
}

static void stat_add (pxi_cost_stat *stat, uint64_t value, uint32_t memory)
{
    if (!stat->n) {
        *stat = (pxi_cost_stat){.n = 1, .mean = value};
        return;
    }
    stat->n += stat->n < UINT32_MAX;
    uint64_t weight = at_most (stat->n, memory), error = distance (value, stat->mean);
    stat->deviation += error / weight;
    stat->deviation -= stat->deviation / weight;
    stat->mean = value > stat->mean ? stat->mean + error / weight : stat->mean - error / weight;
}

/* Of two that tell the same the one whose deviation is the smaller part of its mean. */
static bool is_better (const pxi_cost_stat *a, const pxi_cost_stat *b)
{
    return (double)a->deviation * (double)b->mean < (double)b->deviation * (double)a->mean;
}

static pxi_cost_span span_of (const pxi_cost_stat *stat)
{
    uint64_t wide = WIDE * stat->mean / stat->n, under = LOW_DEVIATIONS * stat->deviation;
    uint64_t low = stat->mean > under ? stat->mean - under : 0;
    return (pxi_cost_span){
        .n = stat->n,
        .low = low * stat->n / ((uint64_t)stat->n + WIDE),
        .mean = stat->mean,
        .high = at_most (stat->mean + HIGH_DEVIATIONS * stat->deviation + wide, TIME_MAX)};
}

/* ---- tasks ------------------------------------------------------------------------------------
 */

static uint32_t class_of (uint64_t size_bytes)
{
    uint32_t class = size_bytes ? 1 + (63 - (uint32_t)__builtin_clzll (size_bytes)) / 2 : 0;
    return class < PXI_COST_SIZES ? class : PXI_COST_SIZES - 1;
}

/* Of the class that is nearest, the smaller of two. PXI_COST_SIZES = none. */
static uint32_t nearest_class (const pxi_cost_task *task, uint32_t class)
{
    for (uint32_t away = 0; away < PXI_COST_SIZES; away++) {
        if (class >= away && task->sizes[class - away].run.n)
            return class - away;
        if (class + away < PXI_COST_SIZES && task->sizes[class + away].run.n)
            return class + away;
    }
    return PXI_COST_SIZES;
}

static uint64_t cut_work (uint64_t work)
{
    return at_most (work, TIME_MAX);
}

static void learn_result (pxi_cost_task *task, uint64_t declared, uint64_t result_bytes)
{
    if (!declared)
        return;
    uint64_t error = distance (declared - 1, result_bytes);
    bool right = error <= at_least (result_bytes / 2, BYTES_MIN / 4);
    task->results_right += right;
    task->results_wrong += !right;
}

void pxi_cost_learn (pxi_cost_task *task, uint64_t size_bytes, pxi_cost_declared declared,
                     uint64_t run_ns, uint64_t result_bytes)
{
    uint32_t class = class_of (size_bytes);
    task->size_bytes = size_bytes;
    run_ns = at_least (at_most (run_ns, TIME_MAX), 1);
    stat_add (&task->sizes[class].run, run_ns, MEMORY);
    stat_add (&task->sizes[class].result, at_most (result_bytes, BYTES_MAX), MEMORY);
    learn_result (task, declared.result_bytes, result_bytes);
    if (!declared.work)
        return;
    double scale = (double)run_ns * PXI_COST_ONE / (double)cut_work (declared.work);
    uint64_t cut = scale < 1 ? 1 : scale > (double)TIME_MAX ? TIME_MAX : (uint64_t)scale;
    stat_add (&task->scale, cut, MEMORY);
}

static uint64_t scaled (uint64_t work, uint64_t scale)
{
    double ns = (double)work * (double)scale / PXI_COST_ONE;
    return ns > (double)TIME_MAX ? TIME_MAX : (uint64_t)ns;
}

static pxi_cost_span span_scaled (const pxi_cost_task *task, uint64_t work)
{
    pxi_cost_span span = span_of (&task->scale);
    return (pxi_cost_span){.n = span.n,
                           .low = scaled (work, span.low),
                           .mean = at_least (scaled (work, span.mean), 1),
                           .high = scaled (work, span.high)};
}

/* Another class: as long as there, or longer, or shorter, by as much as the input is. */
static pxi_cost_span span_beside (const pxi_cost_stat *stat, uint32_t from, uint32_t to)
{
    pxi_cost_span span = span_of (stat);
    uint32_t shift = 2 * (uint32_t)distance (from, to);
    span.n = 1;
    span.low = to < from ? span.low >> shift : span.low;
    span.high = to > from && span.high < TIME_MAX >> shift ? span.high << shift
                : to > from                                ? TIME_MAX
                                                           : span.high;
    return span;
}

pxi_cost_span pxi_cost_run (const pxi_cost_task *task, uint64_t size_bytes,
                            pxi_cost_declared declared)
{
    uint64_t work = cut_work (declared.work);
    uint32_t class = class_of (size_bytes), known = nearest_class (task, class);
    if (work && known == PXI_COST_SIZES)
        return (pxi_cost_span){.low = work / WRONG_RATIO, .mean = work, .high = work * WRONG_RATIO};
    if (known == PXI_COST_SIZES)
        return (pxi_cost_span){0};
    const pxi_cost_stat *stat = &task->sizes[known].run;
    bool is_scaled = work && task->scale.n >= PXI_COST_KNOWN;
    if (is_scaled && (known != class || is_better (&task->scale, stat)))
        return span_scaled (task, work);
    return known == class ? span_of (stat) : span_beside (stat, known, class);
}

uint64_t pxi_cost_result_bytes (const pxi_cost_task *task, uint64_t size_bytes,
                                pxi_cost_declared declared)
{
    uint32_t known = nearest_class (task, class_of (size_bytes));
    bool is_right = task->results_right > 4 * (uint64_t)task->results_wrong;
    if (declared.result_bytes && (is_right || known == PXI_COST_SIZES))
        return at_most (declared.result_bytes - 1, BYTES_MAX);
    return known == PXI_COST_SIZES ? 0 : task->sizes[known].result.mean;
}

void pxi_cost_tell (pxi_cost_task *task, uint64_t expected_ns, uint64_t real_ns,
                    uint64_t expected_bytes, uint64_t real_bytes)
{
    expected_ns = at_least (at_most (expected_ns, TIME_MAX), 1);
    real_ns = at_least (at_most (real_ns, TIME_MAX), 1);
    task->n_told++;
    task->expected_ns += expected_ns;
    task->real_ns += real_ns;
    task->expected_bytes += at_most (expected_bytes, BYTES_MAX);
    task->real_bytes += at_most (real_bytes, BYTES_MAX);
    double ratio = (double)real_ns * PXI_COST_ONE / (double)expected_ns;
    task->ratios[task->n_ratios++ % PXI_COST_RATIOS] =
        ratio > UINT32_MAX ? UINT32_MAX : (uint32_t)ratio;
}

uint32_t pxi_cost_quality (const pxi_cost_task *task)
{
    uint32_t sorted[PXI_COST_RATIOS] = {0};
    uint32_t n = (uint32_t)at_most (task->n_ratios, PXI_COST_RATIOS);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i;
        for (; at > 0 && sorted[at - 1] > task->ratios[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = task->ratios[i];
    }
    return sorted[n / 2];
}

/* ---- peers ------------------------------------------------------------------------------------
 */

void pxi_cost_link_forget (pxi_cost_link *link)
{
    memset (link, 0, sizeof *link);
}

static uint64_t rate_of (uint64_t bytes, uint64_t took_ns)
{
    double rate = (double)bytes * (double)PXI_SECOND / (double)at_least (took_ns, LEAST_NS);
    return rate > (double)RATE_MAX ? RATE_MAX : at_least ((uint64_t)rate, 1);
}

static uint64_t move_ns (uint64_t bytes, uint64_t rate)
{
    double ns = (double)bytes * (double)PXI_SECOND / (double)rate;
    return ns > (double)TIME_MAX ? TIME_MAX : (uint64_t)ns;
}

void pxi_cost_link_moved (pxi_cost_link *link, uint64_t now_ns, uint64_t bytes, uint64_t took_ns,
                          bool alone)
{
    if (bytes < BYTES_MIN)
        return;
    uint64_t rate = rate_of (bytes, took_ns);
    if (!link->bytes_per_s)
        link->bytes_per_s = rate;
    else if (rate > link->bytes_per_s)
        link->bytes_per_s += (rate - link->bytes_per_s) / 2;
    else if (alone)
        link->bytes_per_s -= (link->bytes_per_s - rate) / 2;
    link->measured_ns = now_ns;
}

void pxi_cost_link_ran (pxi_cost_link *link, uint64_t expected_here_ns, uint64_t run_ns)
{
    uint64_t most = (uint64_t)SPEED_MOST * PXI_COST_ONE;
    double ratio =
        (double)at_most (run_ns, TIME_MAX) * PXI_COST_ONE / (double)at_least (expected_here_ns, 1);
    uint64_t cut = ratio > (double)most ? most : (uint64_t)ratio;
    stat_add (&link->speed, at_least (cut, PXI_COST_ONE / SPEED_MOST), SPEED_MEMORY);
}

uint64_t pxi_cost_link_rate (const pxi_cost_link *link, uint64_t now_ns)
{
    uint64_t age_ns = now_ns > link->measured_ns ? now_ns - link->measured_ns : 0;
    uint64_t ages = at_most (age_ns / AGE_NS, AGES_MAX);
    return at_most (link->bytes_per_s << ages, RATE_MAX);
}

uint64_t pxi_cost_move_ns (const pxi_cost_link *link, uint64_t now_ns, uint64_t bytes)
{
    uint64_t rate = pxi_cost_link_rate (link, now_ns);
    return move_ns (at_most (bytes, BYTES_MAX), rate ? rate : RATE_CAREFUL);
}

static uint64_t slowness (const pxi_cost_link *link)
{
    return link->speed.n < SPEED_KNOWN ? PXI_COST_ONE : at_least (link->speed.mean, 1);
}

bool pxi_cost_speed_sure (const pxi_cost_link *link)
{
    uint64_t least = PXI_COST_ONE * 4 / SPEED_MOST, most = (uint64_t)PXI_COST_ONE * SPEED_MOST / 4;
    return link->speed.n >= SPEED_SURE && 2 * link->speed.deviation <= link->speed.mean &&
           link->speed.mean >= least && link->speed.mean <= most;
}

uint64_t pxi_cost_there_ns (const pxi_cost_link *link, uint64_t here_ns)
{
    return scaled (at_most (here_ns, TIME_MAX), slowness (link));
}

uint64_t pxi_cost_here_ns (const pxi_cost_link *link, uint64_t there_ns)
{
    return at_most (there_ns, TIME_MAX) * PXI_COST_ONE / slowness (link);
}

void pxi_cost_link_send (pxi_cost_link *link, uint64_t now_ns, uint64_t bytes)
{
    uint64_t rate = pxi_cost_link_rate (link, now_ns);
    uint64_t from_ns = at_least (link->free_ns, now_ns);
    uint64_t takes_ns = rate ? move_ns (at_most (bytes, BYTES_MAX), rate) : 0;
    link->free_ns = from_ns + at_most (takes_ns, UINT64_MAX - from_ns);
}

/* ---- the question -----------------------------------------------------------------------------
 */

/* What is out for longer than it should be tells that the link is slower than was thought: so many bytes
 * did not make it in that time. */
static uint64_t rate_now (const pxi_cost_link *link, const pxi_cost_question *question)
{
    uint64_t known = pxi_cost_link_rate (link, question->now_ns);
    uint64_t rate = known ? known : RATE_GUESS;
    if (question->out_bytes_moved < BYTES_MIN)
        return rate;
    uint64_t run_ns =
        pxi_cost_there_ns (link, question->run.mean) + at_most (question->trip_ns, TIME_MAX);
    uint64_t moving_ns = question->out_for_ns > run_ns ? question->out_for_ns - run_ns : 0;
    return moving_ns > LEAST_NS ? at_most (rate, rate_of (question->out_bytes_moved, moving_ns))
                                : rate;
}

static uint64_t bytes_of (const pxi_cost_question *question)
{
    return at_most (question->in_bytes, BYTES_MAX) + at_most (question->out_bytes, BYTES_MAX);
}

/* Nobody knows how wide its link is, and it may take longer to move than it is known to run. */
static void set_try (const pxi_cost_link *link, const pxi_cost_question *question,
                     pxi_cost_answer *answer)
{
    bool known = question->run.n > 0;
    uint64_t run_ns = known ? question->run.low : question->waited_ns;
    uint64_t feared_ns = move_ns (bytes_of (question), RATE_CAREFUL);
    answer->is_try = bytes_of (question) >= BYTES_MIN &&
                     !pxi_cost_link_rate (link, question->now_ns) && feared_ns > run_ns;
    answer->try_ns = !answer->is_try ? 0 : known ? UINT64_MAX : feared_ns - run_ns;
}

/* Run there, behind what of ours is there already. */
static uint64_t runs_ns (const pxi_cost_link *link, const pxi_cost_question *question,
                         uint64_t here_ns)
{
    uint64_t run_ns = pxi_cost_there_ns (link, here_ns);
    return run_ns + times (run_ns, question->n_away / at_least (question->slots_there, 1));
}

/* The way there behind what was sent before, and back behind the results of that. */
static uint64_t moves_ns (const pxi_cost_link *link, const pxi_cost_question *question)
{
    uint64_t waits_ns = link->free_ns > question->now_ns ? link->free_ns - question->now_ns : 0;
    uint64_t rate = rate_now (link, question);
    uint64_t before_bytes = times (at_most (question->out_bytes, BYTES_MAX), question->n_away);
    return at_most (waits_ns, TIME_MAX) + move_ns (before_bytes, rate) +
           move_ns (bytes_of (question), rate) + at_most (question->trip_ns, TIME_MAX);
}

/* Slots here do them in turn, as far as can be seen: none is held by something else. */
static bool gets_on (const pxi_cost_question *question)
{
    return question->seen_ns <= SEEN_NS + 2 * question->run.high;
}

pxi_cost_answer pxi_cost_ask (const pxi_cost_link *link, const pxi_cost_question *question)
{
    const pxi_cost_span *run = &question->run;
    uint64_t moving_ns = moves_ns (link, question);
    pxi_cost_answer answer = {
        .here_ns = UINT64_MAX,
        .there_ns = moving_ns + runs_ns (link, question, run->mean),
        .moves_ns = moving_ns,
    };
    set_try (link, question, &answer);
    answer.leaves = !answer.is_try || !question->n_away;
    if (run->n < PXI_COST_KNOWN || question->nests || !gets_on (question))
        return answer;
    answer.here_ns =
        times (run->high, question->n_waiting) / at_least (question->n_slots, 1) + run->high;
    answer.leaves &= moving_ns + runs_ns (link, question, run->low) < answer.here_ns;
    return answer;
}
