/* How soon a dead worker is found, and how often a living one is taken for dead, by the limit of silence
 * that is set.
 *
 * One master has a subtask at every other peer; none of them ends. For a while all live, and each relation
 * that the master or a worker ends for silence is a false alarm, also where a peer stood still for longer
 * than the limit; then some workers are killed, each at a time of its own. What the cores say is heard
 * through the trace. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/limits.h"
#include "figure.h"

#define DEFAULT_S 2.5 /* pxi_core_config_default () */
#define LONG_NS (24 * 3600 * PXI_SECOND)
#define PLACED_NS (3 * PXI_SECOND) /* every subtask is somewhere by then */
#define WATCHED_NS (300 * PXI_SECOND)
#define LOOK_NS (10 * PXI_MS)
#define SPIKE_NS (2 * PXI_SECOND)
#define PAUSE_NS (2 * PXI_SECOND)
enum {
    PEERS = 64,
    KILLED_PERCENT = 25,
    SPIKE_PPM = 20000,
    PAUSES = 10 /* of each peer, on average */
};

static const struct {
    const char *name;
    uint32_t loss_ppm, spike_ppm, pauses;
} kinds[] = {{"calm", 0, 0, 0},
             {"5 % lost", 50000, 0, 0},
             {"20 % lost", 200000, 0, 0},
             {"2 % late by up to 2 s", 0, SPIKE_PPM, 0},
             {"pauses of up to 2 s", 0, 0, PAUSES}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

typedef struct ear {
    uint64_t *killed_ns; /* per peer; 0 = it lives */
    uint64_t from_ns, found_ns;
    uint32_t n_peers, n_alarms, n_found;
} ear_t;

static void hear (void *context, uint64_t now_ns, const char *who, const char *line)
{
    ear_t *ear = context;
    uint32_t peer, n_lost, n_abandoned;
    if (sscanf (line, "w%u silent past the limit -> %u attempts there lost, %u for it abandoned",
                &peer, &n_lost, &n_abandoned) != 3 ||
        !peer || peer > ear->n_peers || now_ns < ear->from_ns)
        return;
    uint64_t *killed_ns = &ear->killed_ns[peer - 1];
    if (!*killed_ns) {
        ear->n_alarms++;
    } else if (who[1] == '1' && !who[2] && n_lost) { /* the master's word */
        ear->found_ns += now_ns - *killed_ns;
        ear->n_found++;
    }
}

/* Once every subtask is somewhere. */
static pxi_fault *draw_pauses (cluster_t *cluster, uint32_t per_peer)
{
    pxi_fault_rates rates = {.until_ns = WATCHED_NS, .pause_max_ns = PAUSE_NS};
    rates.n[PXI_FAULT_PAUSE] = per_peer * cluster->config.n_peers;
    pxi_fault *faults = pxi_faults_draw (&rates, cluster->config.n_peers, 0, NULL,
                                         cluster->config.seed, &cluster->config.n_faults);
    for (uint32_t i = 0; i < cluster->config.n_faults; i++)
        faults[i].at_ns += PLACED_NS;
    return faults;
}

/* One after the other, somewhere between two handshakes each. */
static void kill_some (cluster_t *cluster, ear_t *ear, uint64_t *now_ns)
{
    uint32_t n_peers = ear->n_peers, n = n_peers * KILLED_PERCENT / 100 + 1;
    uint32_t *picked = calloc (n_peers, sizeof *picked);
    pxi_prng prng;
    if (!picked)
        out_of_memory ();
    pxi_prng_init (&prng, pxi_mix64 (cluster->config.seed));
    pick_peers (n_peers, n < n_peers ? n : n_peers - 1, cluster->config.seed, picked);
    for (uint32_t i = 0; i < n && i + 1 < n_peers; i++) {
        *now_ns += pxi_prng_below (&prng, cluster->config.core.detect_ns);
        cluster_until (cluster, *now_ns);
        pxi_fault kill = {.kind = PXI_FAULT_CRASH, .peer = picked[i]};
        ear->killed_ns[picked[i]] = *now_ns;
        pxi_world_fault (cluster->world, &kill);
    }
    free (picked);
}

static void watch (cluster_t *cluster, ear_t *ear)
{
    uint64_t now_ns = PLACED_NS + WATCHED_NS;
    cluster_until (cluster, now_ns);
    kill_some (cluster, ear, &now_ns);
    cluster_until (cluster, now_ns + 4 * cluster->config.core.detect_ns + SPIKE_NS);
}

static void run_point (const figure_t *figure, uint32_t line, uint32_t point, uint64_t seed,
                       double *values)
{
    ear_t ear = {.n_peers = figure->n_peers, .from_ns = PLACED_NS};
    cluster_t cluster;
    cluster_init (&cluster, figure->settings, ear.n_peers, 1, seed);
    cluster_loop (&cluster, 0, ear.n_peers, PXI_STREAM_CONSTANT, LONG_NS);
    ear.killed_ns = calloc (ear.n_peers, sizeof *ear.killed_ns);
    if (!ear.killed_ns)
        out_of_memory ();
    pxi_world_config *config = &cluster.config;
    config->network.loss_ppm = kinds[line].loss_ppm;
    config->network.spike_ppm = kinds[line].spike_ppm;
    config->network.spike_ns = SPIKE_NS;
    config->look_ns = LOOK_NS; /* who abandons it has its slot again */
    config->core.detect_ns = (uint64_t)(figure->points[point] * (double)PXI_SECOND);
    pxi_fault *pauses = draw_pauses (&cluster, kinds[line].pauses);
    config->faults = pauses;
    config->sink = hear;
    config->sink_context = &ear;
    cluster_start (&cluster);
    watch (&cluster, &ear);
    double relation_hours = (double)(ear.n_peers - 1) * WATCHED_NS / (3600.0 * PXI_SECOND);
    values[0] = ear.n_alarms / relation_hours;
    values[1] = ear.n_found ? (double)ear.found_ns / 1e9 / ear.n_found : NAN;
    values[2] = ear.n_found;
    cluster_fini (&cluster);
    free (pauses);
    free (ear.killed_ns);
}

/* Where the default stands among what was found; NAN: it is not among the points. */
static double default_found_s (const figure_t *figure)
{
    for (uint32_t i = 0; i < figure->n_points; i++) {
        if (figure->points[i] == DEFAULT_S)
            return figure_cell (figure, 0, i, 1)->mean;
    }
    return NAN;
}

int command_detection (const settings_t *settings)
{
    mark_t chosen = {.text = "default"};
    figure_t figure = {.settings = settings,
                       .command = "detection",
                       .title = "A dead peer is found, and a living one is taken for dead",
                       .x = "seconds until a killed peer is found",
                       .y = "false alarms per relation and hour (0 is not drawn)",
                       .log_x = true,
                       .log_y = true,
                       .x_is_second = true,
                       .n_lines = N_KINDS,
                       .values = {"false_alarms_per_hour", "found_after_s", "found"},
                       .n_values = 3,
                       .n_seeds = 4,
                       .n_peers = peers_of (settings, PEERS),
                       .marks = &chosen,
                       .run_point = run_point};
    for (uint32_t i = 0; i < N_KINDS; i++)
        figure.lines[i] = kinds[i].name;
    figure_points (&figure, "--points", settings->points, "0.25,0.5,1,2.5,5,10", 0.05, 60);
    figure_run (&figure);
    chosen.x = default_found_s (&figure);
    figure.n_marks = isfinite (chosen.x);
    return figure_end (&figure, NULL);
}
