/* The ranges are chosen so that a world takes a fraction of a second: some thousand tasks, a few virtual
 * seconds of work per slot, and limits small enough to be met. */
#include "sim/swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define NODES_MAX 10000
#define CLOCK_PPM_MAX 500
#define WORK_MAX_NS                                                                                \
    (300 * PXI_SECOND) /* of one job: what a tree may hold before it is made smaller */
#define TASK_MAX_NS (4 * PXI_SECOND) /* mean of a leaf */

static uint64_t between (pxi_prng *prng, uint64_t low, uint64_t high)
{
    return pxi_prng_between (prng, low, high);
}

static bool one_in (pxi_prng *prng, uint32_t n)
{
    return pxi_prng_below (prng, n) == 0;
}

/* 10^0 to 10^decades, evenly in the exponent, without a logarithm. */
static uint64_t magnitude (pxi_prng *prng, uint32_t decades)
{
    uint64_t value = between (prng, 1, 9);
    for (uint64_t n = between (prng, 0, decades); n > 0; n--)
        value *= 10;
    return value;
}

static void draw_peers (pxi_swarm *swarm, pxi_prng *prng)
{
    pxi_world_config *config = &swarm->config;
    config->n_peers = (uint32_t)(one_in (prng, 20) ? 1 : between (prng, 2, PXI_SWARM_PEERS_MAX));
    bool uneven = one_in (prng, 3), some_cannot = one_in (prng, 6), late = one_in (prng, 4);
    uint64_t slots = between (prng, 1, 8);
    for (uint32_t i = 0; i < config->n_peers; i++) {
        swarm->peers[i] = (pxi_world_peer){
            .slots = (uint32_t)(uneven ? between (prng, 1, 8) : slots),
            .speed_permille = (uint32_t)(uneven ? between (prng, 100, 2000) : 1000),
            .no_module = some_cannot && i > 0 && one_in (prng, 3),
            .absent = late && i > 0 && one_in (prng, 3),
        };
    }
    config->peers = swarm->peers;
}

static void draw_numbers (pxi_tree *tree, pxi_prng *prng)
{
    static const uint32_t numbers[] = {0, 1, 2, 3, 16, PXI_NUMBER_MAX};
    tree->n_numbers = (uint32_t)between (prng, 1, PXI_TREE_NUMBERS_MAX);
    for (uint32_t i = 0; i < tree->n_numbers; i++)
        tree->numbers[i] = numbers[pxi_prng_below (prng, sizeof numbers / sizeof *numbers)];
    if (one_in (prng, 2))
        tree->numbers[0] = PXI_NUMBER_MAX;
}

static void draw_tree (pxi_tree *tree, pxi_prng *prng)
{
    *tree = (pxi_tree){
        .kind = one_in (prng, 4) ? PXI_TREE_SPLIT : PXI_TREE_RANDOM,
        .seed = pxi_prng_next (prng),
        .depth_max = (uint32_t)between (prng, 1, 9),
        .fan_min = (uint32_t)between (prng, 1, 2),
        .fan_max = (uint32_t)between (prng, 2, 8),
        .leaf_ppm = (uint32_t)between (prng, 0, 300000),
        .rounds_max = (uint32_t)between (prng, 1, 3),
        .leaf = {(pxi_law_kind)pxi_prng_below (prng, 4), PXI_MS / 10 * magnitude (prng, 2)},
        .inner = {(pxi_law_kind)pxi_prng_below (prng, 4), PXI_MS / 100 * magnitude (prng, 2)},
        .size_min = 16,
        .size_max = one_in (prng, 4) ? 100000 : 256,
    };
    if (one_in (prng, 3))
        tree->inner.mean_ns = 0;
    if (one_in (prng, 4))
        tree->first_ppm = (uint32_t)between (prng, 10000, 300000);
    if (one_in (prng, 4))
        tree->fail_ppm = (uint32_t)between (prng, 10000, 300000);
    if (one_in (prng, 10)) { /* one flat loop */
        tree->depth_max = 1;
        tree->fan_min = tree->fan_max = (uint32_t)between (prng, 10, 2000);
        tree->rounds_max = 1;
    } else if (one_in (prng, 10)) { /* a chain */
        tree->depth_max = (uint32_t)between (prng, 10, 300);
        tree->fan_min = tree->fan_max = 1;
        tree->leaf_ppm = 0;
        tree->rounds_max = 1;
    }
    tree->work_ns = PXI_SECOND / 10 * between (prng, 1, 1000);
    tree->leaf_ns = tree->work_ns / between (prng, 10, 2000);
    draw_numbers (tree, prng);
}

/* Smaller until it fits: depth first, then the loop, then times. */
static void make_fit (pxi_tree *tree, pxi_serial *serial)
{
    while (!pxi_workload_serial (tree, NODES_MAX, 0, serial)) {
        if (tree->kind == PXI_TREE_SPLIT)
            tree->leaf_ns *= 2;
        else if (tree->depth_max > 1)
            tree->depth_max--;
        else
            tree->fan_max = tree->fan_min = tree->fan_max / 2 + 1;
    }
    while (serial->all_ns > WORK_MAX_NS && tree->kind == PXI_TREE_RANDOM) {
        tree->leaf.mean_ns = tree->leaf.mean_ns / 2 + 1;
        tree->inner.mean_ns /= 2;
        pxi_workload_serial (tree, NODES_MAX, 0, serial);
    }
}

/* Long enough to be under way when something happens. */
static void make_last (pxi_tree *tree, uint64_t work_ns, pxi_serial *serial)
{
    while (serial->work_ns < work_ns && tree->leaf.mean_ns < TASK_MAX_NS &&
           tree->kind == PXI_TREE_RANDOM) {
        tree->leaf.mean_ns *= 2;
        tree->inner.mean_ns *= 2;
        pxi_workload_serial (tree, NODES_MAX, 0, serial);
    }
}

static void draw_jobs (pxi_swarm *swarm, pxi_prng *prng, pxi_prng *more, bool crashing)
{
    pxi_world_config *config = &swarm->config;
    uint64_t n_slots = 0;
    for (uint32_t i = 0; i < config->n_peers; i++)
        n_slots += config->peers[i].slots;
    config->n_jobs = (uint32_t)(one_in (prng, 2) ? 1 : between (prng, 1, PXI_SWARM_JOBS_MAX));
    for (uint32_t i = 0; i < config->n_jobs; i++) {
        pxi_world_job *job = &swarm->jobs[i];
        pxi_serial serial;
        uint32_t peer = (uint32_t)pxi_prng_below (prng, config->n_peers);
        bool fit = !swarm->peers[peer].no_module && !swarm->peers[peer].absent;
        *job = (pxi_world_job){.peer = fit ? peer : 0, .at_ns = PXI_MS * between (prng, 0, 3000)};
        draw_tree (&job->tree, prng);
        make_fit (&job->tree, &serial);
        if (!one_in (prng, 4))
            make_last (&job->tree, n_slots * PXI_MS * between (prng, 100, 3000), &serial);
        swarm->work_ns += serial.work_ns / n_slots;
        if (crashing) {
            job->crash_times = (uint32_t)between (prng, 1, 2);
            if (one_in (more, 3))
                job->crash_times = UINT32_MAX;
            job->crash_pick = pxi_prng_below (prng, serial.n_nodes);
        }
    }
    config->jobs = swarm->jobs;
}

/* In some worlds a task of each job crashes whatever happens. */
static void draw_crashers (pxi_swarm *swarm, uint64_t seed)
{
    pxi_prng prng;
    pxi_prng_init (&prng, pxi_mix64 (seed ^ UINT64_C (0x6372617368)));
    bool crashing = one_in (&prng, 10);
    for (uint32_t i = 0; crashing && i < swarm->config.n_jobs; i++) {
        pxi_world_job *job = &swarm->jobs[i];
        pxi_serial serial;
        pxi_workload_serial (&job->tree, NODES_MAX, 0, &serial);
        job->crash_times = UINT32_MAX;
        job->crash_pick = pxi_prng_below (&prng, serial.n_nodes);
    }
}

/* Few and equal in all jobs, so that one peer has the same from several masters. */
static void draw_shared (pxi_swarm *swarm, uint64_t seed)
{
    pxi_prng prng;
    pxi_prng_init (&prng, pxi_mix64 (seed ^ UINT64_C (0x736861726564)));
    if (!one_in (&prng, 3))
        return;
    uint32_t kinds = (uint32_t)between (&prng, 1, 4);
    uint32_t size_max = one_in (&prng, 4) ? 100000 : 2000;
    for (uint32_t i = 0; i < swarm->config.n_jobs; i++) {
        pxi_tree *tree = &swarm->jobs[i].tree;
        tree->shared_ppm = (uint32_t)(one_in (&prng, 2) ? 1000000 : between (&prng, 1, 1000000));
        tree->shared_kinds = kinds;
        tree->shared_size_max = size_max;
    }
}

static void draw_network (pxi_network_config *network, pxi_prng *prng, bool faults)
{
    network->min_ns = 1000 * magnitude (prng, 4);
    network->extra.kind = (pxi_law_kind)pxi_prng_below (prng, 3);
    network->extra.mean_ns = one_in (prng, 3) ? 0 : 1000 * magnitude (prng, 4);
    if (!faults)
        return;
    if (one_in (prng, 2))
        network->loss_ppm = (uint32_t)between (prng, 1, 300000);
    if (one_in (prng, 2))
        network->duplicate_ppm = (uint32_t)between (prng, 1, 500000);
    if (one_in (prng, 2))
        network->reorder_ppm = (uint32_t)between (prng, 1, 1000000);
    if (one_in (prng, 3)) {
        network->spike_ppm = (uint32_t)between (prng, 1, 100000);
        network->spike_ns = PXI_MS * magnitude (prng, 3);
    }
}

static void draw_core (pxi_core_config *core, pxi_prng *prng)
{
    core->isolated = true;
    if (one_in (prng, 3))
        core->detect_ns = PXI_MS * between (prng, 300, 5000);
    if (one_in (prng, 4))
        core->quantum_ns = PXI_MS * between (prng, 1, 500);
    if (one_in (prng, 4))
        core->gossip_ns = PXI_MS * between (prng, 100, 3000);
    if (one_in (prng, 6))
        core->view_max = (uint32_t)between (prng, 1, 8);
    if (one_in (prng, 6))
        core->attempts_max = (uint32_t)between (prng, 4, 64);
    if (one_in (prng, 4))
        core->redo_percent = (uint32_t)between (prng, 0, 50);
    core->speculation = !one_in (prng, 4);
    core->inlining = !one_in (prng, 5);
    core->reservations = !one_in (prng, 5);
    core->volunteers = !one_in (prng, 5);
    /* Without either nothing slows who is refused: a trip of a microsecond, a question each. */
    core->backoff = !one_in (prng, 10) || !core->reservations;
}

static void count_of (pxi_fault_rates *rates, pxi_prng *prng, pxi_fault_kind kind,
                      uint32_t chance_in, uint32_t max)
{
    if (one_in (prng, chance_in))
        rates->n[kind] = (uint32_t)between (prng, 1, max);
}

/* Peer 0 is whom the others join. */
static bool is_root (const pxi_swarm *swarm, uint32_t peer)
{
    bool root = peer == 0;
    for (uint32_t i = 0; i < swarm->config.n_jobs; i++)
        root = root || swarm->jobs[i].peer == peer;
    return root;
}

static void draw_faults (pxi_swarm *swarm, pxi_prng *prng, pxi_prng *more)
{
    pxi_world_config *config = &swarm->config;
    uint8_t spared[PXI_SWARM_PEERS_MAX] = {0};
    bool roots_too = one_in (prng, 4);
    for (uint32_t i = 0; i < config->n_jobs && !roots_too; i++)
        spared[config->jobs[i].peer] = 1;
    spared[0] = 1; /* somebody to join */
    pxi_fault_rates rates = {
        .until_ns = config->calm_ns,
        .pause_max_ns = one_in (prng, 4) ? 60 * PXI_SECOND : 8 * PXI_SECOND,
        .down_min_ns = 10 * PXI_MS,
        .down_max_ns = 10 * PXI_SECOND,
    };
    count_of (&rates, prng, PXI_FAULT_CRASH, 2, 6);
    count_of (&rates, prng, PXI_FAULT_PAUSE, 2, 6);
    count_of (&rates, prng, PXI_FAULT_PARTITION, 3, 4);
    count_of (&rates, prng, PXI_FAULT_ISOLATE, 3, 4);
    count_of (&rates, prng, PXI_FAULT_SLOW, 3, 4);
    count_of (&rates, prng, PXI_FAULT_DIE, 4, 4);
    count_of (&rates, prng, PXI_FAULT_DRAIN, 4, 3);
    count_of (&rates, prng, PXI_FAULT_HOST_BUSY, 5, 4);
    count_of (&rates, prng, PXI_FAULT_CANCEL, 6, 2);
    count_of (&rates, prng, PXI_FAULT_SPIKE, 4, 3);
    count_of (&rates, prng, PXI_FAULT_START, 1, 12);
    count_of (&rates, more, PXI_FAULT_SLOW_LINK, 4, 4);
    count_of (&rates, more, PXI_FAULT_MASS_JOIN, 3, 1);
    if (one_in (more, 8)) { /* churn */
        rates.n[PXI_FAULT_CRASH] = (uint32_t)between (more, 10, 40);
        rates.down_min_ns = PXI_MS;
        rates.down_max_ns = one_in (more, 2) ? PXI_SECOND : 50 * PXI_MS;
    }
    swarm->faults = pxi_faults_draw (&rates, config->n_peers, config->n_jobs, spared,
                                     pxi_prng_next (prng), &config->n_faults);
    config->faults = swarm->faults;
}

static uint64_t largest_input (const pxi_swarm *swarm)
{
    uint64_t largest_bytes = 1;
    for (uint32_t i = 0; i < swarm->config.n_jobs; i++) {
        const pxi_tree *tree = &swarm->jobs[i].tree;
        uint32_t size_bytes =
            tree->size_max > tree->shared_size_max ? tree->size_max : tree->shared_size_max;
        largest_bytes = size_bytes > largest_bytes ? size_bytes : largest_bytes;
    }
    return largest_bytes;
}

static void draw_links (pxi_swarm *swarm, pxi_prng *more)
{
    pxi_network_config *network = &swarm->config.network;
    if (one_in (more, 4)) {
        /* What one dispatch holds has to pass within the time of detection: behind it the handshakes wait. */
        network->bytes_per_s = largest_input (swarm) * between (more, 300, 30000);
        network->queue_bytes = one_in (more, 3) ? 0 : 1000 * magnitude (more, 3);
    }
    if (one_in (more, 4))
        swarm->config.damage_ppm = (uint32_t)(10 * magnitude (more, 3));
    if (one_in (more, 4))
        swarm->config.held_max = (uint32_t)magnitude (more, 2);
}

/* Peers that are not what they should be: clocks, liars, and who will be gone for good. */
static void draw_odd_peers (pxi_swarm *swarm, pxi_prng *more)
{
    bool skewed = one_in (more, 3), lying = one_in (more, 8), left = one_in (more, 4);
    bool mass = one_in (more, 12);
    for (uint32_t i = 0; i < swarm->config.n_peers; i++) {
        pxi_world_peer *peer = &swarm->peers[i];
        if (skewed)
            peer->clock_ppm = (int32_t)between (more, 0, 2 * CLOCK_PPM_MAX) - CLOCK_PPM_MAX;
        if (lying && i > 0 && one_in (more, 3))
            peer->liar = (pxi_liar)between (more, 1, PXI_LIARS - 1);
        if (left && !is_root (swarm, i) && one_in (more, 3))
            peer->left_behind = true;
        if (mass && !is_root (swarm, i))
            peer->absent = true;
    }
}

static void draw_device (pxi_world_device *device, pxi_prng *prng)
{
    uint64_t item_ps = between (prng, 1000, 1000000);
    *device = (pxi_world_device){
        .slots = (uint32_t)between (prng, 1, 3),
        .processor = (uint32_t)pxi_prng_below (prng, 2),
        .fixed_ns = between (prng, 1000, 1000000),
        .compile_ns = one_in (prng, 2) ? 0 : PXI_MS * between (prng, 1, 1000),
        .item_ps = item_ps,
        .way_ps = item_ps * between (prng, 0, 300) / 100,
        .wrong = one_in (prng, 6),
        .bans = one_in (prng, 2),
    };
    if (one_in (prng, 4))
        device->fails_ppm = (uint32_t)between (prng, 10000, 1000000);
}

/* The faults and the limits of a world, on ranges and devices. */
static void draw_ranges (pxi_swarm *swarm, uint64_t seed)
{
    pxi_prng prng;
    uint64_t n_slots = 0;
    pxi_prng_init (&prng, pxi_mix64 (seed ^ UINT64_C (0x72616e6765)));
    for (uint32_t i = 0; i < swarm->config.n_peers; i++) {
        pxi_world_peer *peer = &swarm->peers[i];
        n_slots += peer->slots;
        peer->liar = PXI_LIAR_NONE;
        peer->n_devices = (uint32_t)between (&prng, 0, PXI_WORLD_DEVICES_MAX);
        for (uint32_t d = 0; d < peer->n_devices; d++)
            draw_device (&peer->devices[d], &prng);
    }
    for (uint32_t i = 0; i < swarm->config.n_jobs; i++) {
        pxi_tree *tree = &swarm->jobs[i].tree;
        tree->kind = PXI_TREE_RANGE;
        tree->fail_ppm = tree->first_ppm = tree->shared_ppm = 0;
        tree->item_ns = between (&prng, 1000, 100000);
        tree->n_items = between (&prng, 1, n_slots * 2 * PXI_SECOND / tree->item_ns);
    }
}

static void draw (pxi_swarm *swarm, uint64_t seed)
{
    pxi_prng prng, more; /* what was thought of later is drawn apart: it changes nothing else */
    pxi_prng_init (&more, pxi_mix64 (seed ^ UINT64_C (0x6d6f7265)));
    *swarm = (pxi_swarm){.config = pxi_world_config_default ()};
    pxi_prng_init (&prng, pxi_mix64 (seed ^ UINT64_C (0x737761726d)));
    swarm->config.seed = seed;
    swarm->config.join_first = true;
    bool faults = !one_in (&prng, 8), crashing = one_in (&prng, 6);
    draw_peers (swarm, &prng);
    draw_jobs (swarm, &prng, &more, crashing);
    draw_crashers (swarm, seed);
    draw_shared (swarm, seed);
    draw_network (&swarm->config.network, &prng, faults);
    draw_core (&swarm->config.core, &prng);
    swarm->config.calm_ns = PXI_SECOND + swarm->work_ns * between (&prng, 5, 30) / 10;
    if (one_in (&prng, 3))
        swarm->config.notice_ns = 1000 * magnitude (&prng, 4);
    if (!faults) {
        swarm->config.calm_ns = 0; /* the bound counts from the start */
        return;
    }
    draw_links (swarm, &more);
    draw_odd_peers (swarm, &more);
    draw_faults (swarm, &prng, &more);
}

void pxi_swarm_draw (pxi_swarm *swarm, uint64_t seed)
{
    draw (swarm, seed);
    if (seed >= PXI_SWARM_DEVICES_FROM)
        draw_ranges (swarm, seed);
}

void pxi_swarm_fini (pxi_swarm *swarm)
{
    free (swarm->faults);
    *swarm = (pxi_swarm){0};
}

/* ---- leaving out ------------------------------------------------------------------------------ */

static const char *part_name (uint32_t part)
{
    static const char *const names[] = {
#define NAME(name, text) [PXI_SWARM_##name] = text,
        PXI_SWARM_PARTS (NAME)
#undef NAME
    };
    return names[part];
}

uint32_t pxi_swarm_n_units (const pxi_swarm *swarm)
{
    return swarm->config.n_faults + PXI_SWARM_N_PARTS;
}

static void leave_out_of_peers (pxi_swarm *swarm, pxi_swarm_part part)
{
    for (uint32_t i = 0; i < PXI_SWARM_PEERS_MAX; i++) {
        pxi_world_peer *peer = &swarm->peers[i];
        if (part == PXI_SWARM_CLOCKS)
            peer->clock_ppm = 0;
        else if (part == PXI_SWARM_LIARS)
            peer->liar = PXI_LIAR_NONE;
        else
            peer->left_behind = false;
    }
}

static void leave_out (pxi_swarm *swarm, pxi_swarm_part part)
{
    pxi_world_config *config = &swarm->config;
    switch (part) {
    case PXI_SWARM_LOSS:
        config->network.loss_ppm = 0;
        break;
    case PXI_SWARM_DUPLICATES:
        config->network.duplicate_ppm = 0;
        break;
    case PXI_SWARM_REORDER:
        config->network.reorder_ppm = 0;
        break;
    case PXI_SWARM_SPIKES:
        config->network.spike_ppm = 0;
        break;
    case PXI_SWARM_DAMAGE:
        config->damage_ppm = 0;
        break;
    case PXI_SWARM_QUEUES:
        config->network.bytes_per_s = 0;
        config->held_max = 0;
        break;
    case PXI_SWARM_CLOCKS:
    case PXI_SWARM_LIARS:
    case PXI_SWARM_LEFT_BEHIND:
        leave_out_of_peers (swarm, part);
        break;
    case PXI_SWARM_NOTICES:
        config->notice_ns = 0;
        break;
    case PXI_SWARM_CRASHING_TASKS:
        for (uint32_t i = 0; i < PXI_SWARM_JOBS_MAX; i++)
            swarm->jobs[i].crash_times = 0;
        break;
    case PXI_SWARM_SHARED:
        for (uint32_t i = 0; i < PXI_SWARM_JOBS_MAX; i++)
            swarm->jobs[i].tree.shared_ppm = 0;
        break;
    case PXI_SWARM_DEVICES:
        for (uint32_t i = 0; i < PXI_SWARM_PEERS_MAX; i++)
            swarm->peers[i].n_devices = 0;
        break;
    case PXI_SWARM_N_PARTS:
        break;
    }
}

void pxi_swarm_keep (pxi_swarm *swarm, const uint8_t *keep)
{
    uint32_t n = 0, n_faults = swarm->config.n_faults;
    for (uint32_t i = 0; i < n_faults; i++) {
        if (keep[i])
            swarm->faults[n++] = swarm->faults[i];
    }
    swarm->config.n_faults = n;
    for (uint32_t part = 0; part < PXI_SWARM_N_PARTS; part++) {
        if (!keep[n_faults + part])
            leave_out (swarm, (pxi_swarm_part)part);
    }
}

/* Number of the unit that the first `size` characters name; UINT32_MAX = none. */
static uint32_t unit_of (const pxi_swarm *swarm, const char *text, size_t size)
{
    char *end;
    unsigned long fault = *text >= '0' && *text <= '9' ? strtoul (text, &end, 10) : 0;
    if (fault && end == text + size && fault <= swarm->config.n_faults)
        return (uint32_t)fault - 1;
    for (uint32_t part = 0; part < PXI_SWARM_N_PARTS; part++) {
        if (strlen (part_name (part)) == size && !strncmp (text, part_name (part), size))
            return swarm->config.n_faults + part;
    }
    return UINT32_MAX;
}

bool pxi_swarm_keep_parse (const pxi_swarm *swarm, const char *text, uint8_t *keep,
                           const char **wrong_at)
{
    memset (keep, 0, pxi_swarm_n_units (swarm));
    if (!strcmp (text, "none"))
        return true;
    for (const char *at = text;; at += strcspn (at, ",") + 1) {
        size_t size = strcspn (at, ",");
        uint32_t unit = unit_of (swarm, at, size);
        if (unit == UINT32_MAX) {
            *wrong_at = at;
            return false;
        }
        keep[unit] = 1;
        if (!at[size])
            return true;
    }
}

void pxi_swarm_keep_print (const pxi_swarm *swarm, const uint8_t *keep, char *text,
                           size_t text_size)
{
    size_t at = 0;
    snprintf (text, text_size, "none");
    for (uint32_t i = 0; i < pxi_swarm_n_units (swarm) && at < text_size; i++) {
        if (!keep[i])
            continue;
        const char *comma = at ? "," : "";
        if (i < swarm->config.n_faults)
            at += (size_t)snprintf (text + at, text_size - at, "%s%u", comma, i + 1);
        else
            at += (size_t)snprintf (text + at, text_size - at, "%s%s", comma,
                                    part_name (i - swarm->config.n_faults));
    }
}

void pxi_swarm_print (const pxi_swarm *swarm, char *text, size_t text_size)
{
    const pxi_world_config *config = &swarm->config;
    uint32_t n_liars = 0;
    for (uint32_t i = 0; i < config->n_peers; i++)
        n_liars += swarm->peers[i].liar != PXI_LIAR_NONE;
    snprintf (text, text_size,
              "%u peers (%u liars), %u jobs, %u faults until %.1f s, loss %u ppm, twice %u ppm, "
              "reorder %u "
              "ppm, damage %u ppm, detect %llu ms, notices %llu us late",
              config->n_peers, n_liars, config->n_jobs, config->n_faults,
              (double)config->calm_ns / (double)PXI_SECOND, config->network.loss_ppm,
              config->network.duplicate_ppm, config->network.reorder_ppm, config->damage_ppm,
              (unsigned long long)(config->core.detect_ns / PXI_MS),
              (unsigned long long)(config->notice_ns / 1000));
}
