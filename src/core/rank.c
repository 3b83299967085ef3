/* The times of a size are believed before what follows from others: caches and page sizes bend the line.
 * What is forgotten first is what was used longest ago.
 *
 * On one processor (the slots of a peer, and an OpenCL device that is the same CPU) the fastest has it to
 * itself, as each would only take from the other; between processors whoever is not far behind takes part
 * and the plan gives each its share. */
#include "core/rank.h"

#include <string.h>

#include "base/assert.h"

enum {
    TRIAL_ITEMS = 64,  /* fewer are done before a trial says anything */
    TRIAL_GROWTH = 16, /* as the plan's: the next trial is so much larger, */
    TRIAL_PART = 8,    /* and takes no larger part of the range's time, */
    ALONE_PART = 16,   /* nor this one where the slots rest for it, */
    TRIAL_LAST = 32,   /* until one was so large a part of the range */
};

void pxi_rank_init (pxi_rank *rank)
{
    memset (rank, 0, sizeof *rank);
}

static pxi_rank_entry *find (pxi_rank *rank, uint64_t task, uint64_t device)
{
    for (uint32_t i = 0; i < PXI_RANKS_MAX; i++) {
        pxi_rank_entry *entry = &rank->entries[i];
        if (entry->task == task && entry->device == device)
            return entry;
    }
    return NULL;
}

static const pxi_rank_entry *look_up (const pxi_rank *rank, uint64_t task, uint64_t device)
{
    return find ((pxi_rank *)rank, task, device);
}

static pxi_rank_entry *find_or_make (pxi_rank *rank, uint64_t task, uint64_t device)
{
    pxi_rank_entry *entry = find (rank, task, device), *oldest = &rank->entries[0];
    for (uint32_t i = 0; i < PXI_RANKS_MAX && !entry; i++) {
        if (rank->entries[i].used < oldest->used)
            oldest = &rank->entries[i];
    }
    if (!entry) {
        entry = oldest;
        *entry = (pxi_rank_entry){.task = task, .device = device};
    }
    entry->used = ++rank->uses;
    return entry;
}

static uint32_t size_of (uint64_t n)
{
    uint32_t size = 63 - (uint32_t)__builtin_clzll (n);
    return size < PXI_RANK_SIZES ? size : PXI_RANK_SIZES - 1;
}

void pxi_rank_ready (pxi_rank *rank, uint64_t task, uint64_t device)
{
    PXI_ASSERT (task != 0);
    find_or_make (rank, task, device);
}

void pxi_rank_learn (pxi_rank *rank, uint64_t task, uint64_t device, uint64_t n, uint64_t took_ns)
{
    PXI_ASSERT (task != 0);
    PXI_ASSERT (n != 0);
    pxi_rank_entry *entry = find_or_make (rank, task, device);
    pxi_speed_learn (&entry->speed, n, took_ns);
    uint64_t *known = &entry->item_costs[size_of (n)], cost = pxi_speed_cost (n, took_ns);
    *known = *known ? pxi_mean (*known, cost) : cost;
    entry->n_passed_over = 0;
}

static uint64_t expected_ns (const pxi_rank_entry *entry, uint64_t n)
{
    uint64_t cost = n ? entry->item_costs[size_of (n)] : 0;
    pxi_speed of_size = {.item_cost = cost};
    return cost ? pxi_speed_ns (&of_size, n) : pxi_speed_ns (&entry->speed, n);
}

uint64_t pxi_rank_ns (const pxi_rank *rank, uint64_t task, uint64_t device, uint64_t n)
{
    const pxi_rank_entry *entry = look_up (rank, task, device);
    return entry ? expected_ns (entry, n) : UINT64_MAX;
}

const pxi_speed *pxi_rank_speed (const pxi_rank *rank, uint64_t task, uint64_t device)
{
    const pxi_rank_entry *entry = look_up (rank, task, device);
    return entry ? &entry->speed : NULL;
}

/* ---- choosing ---------------------------------------------------------------------------------
 */

/* Several slots do a part each. */
static uint64_t choice_ns (const pxi_rank *rank, uint64_t task, uint64_t n,
                           const pxi_rank_choice *choice)
{
    uint32_t count = choice->count ? choice->count : 1;
    return pxi_rank_ns (rank, task, choice->device, n / count + (n % count != 0));
}

/* The fastest of a processor, or of all; n_choices = none is known. */
static uint32_t fastest (const pxi_rank *rank, uint64_t task, uint64_t n,
                         const pxi_rank_choice *choices, uint32_t n_choices,
                         const pxi_rank_choice *of)
{
    uint32_t best = n_choices;
    uint64_t best_ns = UINT64_MAX;
    for (uint32_t i = 0; i < n_choices; i++) {
        uint64_t ns = of && choices[i].processor != of->processor
                          ? UINT64_MAX
                          : choice_ns (rank, task, n, &choices[i]);
        if (ns < best_ns) {
            best = i;
            best_ns = ns;
        }
    }
    return best;
}

/* What was measured was mostly the fixed part of it, perhaps: one that is larger tells them apart, if it is not
 * too dear. */
static bool is_too_small (const pxi_rank_entry *entry, uint64_t n, uint64_t best_ns,
                          const pxi_rank_choice *choice)
{
    uint64_t most_n = entry->speed.most_n;
    uint64_t part = choice->device && !choice->processor ? ALONE_PART : TRIAL_PART;
    return most_n < n / TRIAL_LAST &&
           pxi_speed_ns (&entry->speed, TRIAL_GROWTH * most_n) < best_ns / part;
}

static bool wants_trial (pxi_rank *rank, uint64_t task, uint64_t n, uint64_t best_ns,
                         const pxi_rank_choice *choice)
{
    pxi_rank_entry *entry = find (rank, task, choice->device);
    if (n < TRIAL_ITEMS)
        return false;
    return !entry || !entry->speed.item_cost || entry->n_passed_over >= PXI_RANK_RETRY ||
           is_too_small (entry, n, best_ns, choice);
}

static void pass_over (pxi_rank *rank, uint64_t task, uint64_t device)
{
    pxi_rank_entry *entry = find (rank, task, device);
    if (entry)
        entry->n_passed_over++;
}

void pxi_rank_choose (pxi_rank *rank, uint64_t task, uint64_t n, pxi_rank_choice *choices,
                      uint32_t n_choices)
{
    PXI_ASSERT (n_choices > 0);
    uint32_t best = fastest (rank, task, n, choices, n_choices, NULL);
    uint64_t best_ns = best < n_choices ? choice_ns (rank, task, n, &choices[best]) : UINT64_MAX;
    for (uint32_t i = 0; i < n_choices; i++) {
        uint32_t first = fastest (rank, task, n, choices, n_choices, &choices[i]);
        uint64_t least = choices[i].device ? PXI_RANK_LEAST : PXI_RANK_LEAST_SLOTS;
        uint64_t most_ns = best_ns > UINT64_MAX / least ? UINT64_MAX : best_ns * least;
        bool is_known = choice_ns (rank, task, n, &choices[i]) != UINT64_MAX;
        if (is_known && first == i && choice_ns (rank, task, n, &choices[i]) <= most_ns)
            choices[i].use = PXI_RANK_YES;
        else if (wants_trial (rank, task, n, best_ns, &choices[i]))
            choices[i].use = PXI_RANK_TRIAL;
        else
            choices[i].use = PXI_RANK_NO;
        if (choices[i].use == PXI_RANK_NO)
            pass_over (rank, task, choices[i].device);
    }
    if (best == n_choices) /* nothing is known, and too little to try the others on */
        choices[0].use = PXI_RANK_YES;
}
