/* How good the views are: who is known by how many, beside a uniform sample, from a start at which everybody
 * knew the same one peer; and what they hold of the dead after half of the cluster was killed at once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/limits.h"
#include "figure.h"

#define MIXED_NS (120 * PXI_SECOND)
enum { PEERS = 1000, VIEW = 64, BINS = 40 };

static const struct {
    const char *name;
    uint32_t seconds; /* 0: a uniform sample, by theory */
} lines[] = {{"after 10 s", 10}, {"after 2 minutes", 120}, {"uniform sample", 0}};
enum { N_LINES = sizeof lines / sizeof *lines };

static uint32_t view_of (const settings_t *settings)
{
    return settings->view ? (uint32_t)settings->view : VIEW;
}

static void start (cluster_t *cluster, const figure_t *figure, uint32_t view_max, uint64_t seed)
{
    cluster_init (cluster, figure->settings, figure->n_peers, 0, seed);
    cluster->config.core.view_max = view_max;
    cluster->config.known = 0;
    cluster->config.join_first = true;
    cluster_start (cluster);
}

typedef struct views { /* all of them at one time; 0 entries of who is down */
    uint32_t n_peers, view_max;
    pxi_peer_look *looks; /* n_peers x view_max */
    uint32_t *n_looks;
} views_t;

static void views_read (views_t *views, const cluster_t *cluster)
{
    *views = (views_t){cluster->config.n_peers, cluster->config.core.view_max, NULL, NULL};
    views->looks = calloc ((size_t)views->n_peers * views->view_max, sizeof *views->looks);
    views->n_looks = calloc (views->n_peers, sizeof *views->n_looks);
    if (!views->looks || !views->n_looks)
        out_of_memory ();
    for (uint32_t i = 0; i < views->n_peers; i++) {
        const pxi_core *core = pxi_world_core (cluster->world, i);
        if (core)
            views->n_looks[i] = pxi_core_peers (core, 0, &views->looks[(size_t)i * views->view_max],
                                                views->view_max);
    }
}

static void views_fini (views_t *views)
{
    free (views->looks);
    free (views->n_looks);
}

static void each_link (const views_t *views, void *context,
                       void (*each) (void *context, uint32_t from, const pxi_peer_look *to))
{
    for (uint32_t i = 0; i < views->n_peers; i++) {
        for (uint32_t k = 0; k < views->n_looks[i]; k++)
            each (context, i, &views->looks[(size_t)i * views->view_max + k]);
    }
}

/* ---- in-degree -------------------------------------------------------------------------------- */

static void count_known (void *context, uint32_t from, const pxi_peer_look *to)
{
    (void)from;
    uint32_t *degrees = context;
    degrees[to->record.id - 1]++;
}

static double bin_width (const figure_t *figure)
{
    return figure->points[1] - figure->points[0];
}

/* Binomial: each of the others knows it with the same chance. */
static void by_theory (const figure_t *figure, double *values)
{
    uint32_t n = figure->n_peers - 1;
    double share = fmin (1, (double)view_of (figure->settings) / n);
    for (uint32_t degree = 0; degree <= n; degree++) {
        double place = floor (degree / bin_width (figure));
        double choices = lgamma (n + 1.0) - lgamma (degree + 1.0) - lgamma (n - degree + 1.0);
        double chance = exp (choices + degree * log (share) + (n - degree) * log1p (-share));
        if (place < figure->n_points)
            values[(uint32_t)place * figure->n_values] += 100 * chance;
    }
}

static void in_degrees (const figure_t *figure, uint32_t line, uint64_t seed, double *values)
{
    for (uint32_t i = 0; i < figure->n_points; i++)
        values[i * figure->n_values] = 0;
    if (!lines[line].seconds) {
        by_theory (figure, values);
        return;
    }
    cluster_t cluster;
    views_t views;
    start (&cluster, figure, view_of (figure->settings), seed);
    cluster_until (&cluster, lines[line].seconds * PXI_SECOND);
    views_read (&views, &cluster);
    uint32_t *degrees = calloc (views.n_peers, sizeof *degrees);
    if (!degrees)
        out_of_memory ();
    each_link (&views, degrees, count_known);
    for (uint32_t i = 0; i < views.n_peers; i++) {
        double place = floor (degrees[i] / bin_width (figure));
        place = fmin (place, figure->n_points - 1); /* the last one: and more */
        values[(uint32_t)place * figure->n_values] += 100.0 / views.n_peers;
    }
    free (degrees);
    views_fini (&views);
    cluster_fini (&cluster);
}

/* ---- dead links ------------------------------------------------------------------------------- */

/* Half the view that is asked for, all of it, and twice as much. */
enum { N_SIZES = 3 };

static uint32_t dead_view (const settings_t *settings, uint32_t line)
{
    uint32_t wanted = (view_of (settings) << line) / 2;
    return wanted < PXI_VIEW_MAX ? wanted : PXI_VIEW_MAX;
}

typedef struct census {
    const cluster_t *cluster;
    uint32_t *leaders; /* per peer, of the part that it is in; survivors only */
    uint64_t n, n_dead, n_asked, n_asked_dead; /* asked: whom it does not know to be silent */
} census_t;

static uint32_t leader_of (census_t *census, uint32_t peer)
{
    while (census->leaders[peer] != peer)
        peer = census->leaders[peer] = census->leaders[census->leaders[peer]];
    return peer;
}

static void count_link (void *context, uint32_t from, const pxi_peer_look *to)
{
    census_t *census = context;
    uint32_t there = (uint32_t)to->record.id - 1;
    bool dead = !pxi_world_core (census->cluster->world, there);
    census->n++;
    census->n_dead += dead;
    census->n_asked += !to->unresponsive;
    census->n_asked_dead += dead && !to->unresponsive;
    if (!dead)
        census->leaders[leader_of (census, from)] = leader_of (census, there);
}

/* In % of the survivors: who is in no way connected with most of the others. */
static double apart_percent (census_t *census, uint32_t n_peers)
{
    uint32_t *sizes = calloc (n_peers, sizeof *sizes), largest = 0, n_up = 0;
    if (!sizes)
        out_of_memory ();
    for (uint32_t i = 0; i < n_peers; i++) {
        if (!pxi_world_core (census->cluster->world, i))
            continue;
        uint32_t size = ++sizes[leader_of (census, i)];
        largest = size > largest ? size : largest;
        n_up++;
    }
    free (sizes);
    return 100.0 * (n_up - largest) / n_up;
}

static void take_census (const cluster_t *cluster, double *values)
{
    views_t views;
    census_t census = {.cluster = cluster};
    views_read (&views, cluster);
    census.leaders = calloc (views.n_peers, sizeof *census.leaders);
    if (!census.leaders)
        out_of_memory ();
    for (uint32_t i = 0; i < views.n_peers; i++)
        census.leaders[i] = i;
    each_link (&views, &census, count_link);
    values[0] = census.n ? 100.0 * (double)census.n_dead / (double)census.n : NAN;
    values[1] = census.n_asked ? 100.0 * (double)census.n_asked_dead / (double)census.n_asked : NAN;
    values[2] = apart_percent (&census, views.n_peers);
    free (census.leaders);
    views_fini (&views);
}

static void kill_half (cluster_t *cluster)
{
    uint32_t n_peers = cluster->config.n_peers;
    uint32_t *picked = calloc (n_peers, sizeof *picked);
    if (!picked)
        out_of_memory ();
    pick_peers (n_peers, n_peers / 2, cluster->config.seed, picked);
    for (uint32_t i = 0; i < n_peers / 2; i++) {
        pxi_fault kill = {.kind = PXI_FAULT_CRASH, .peer = picked[i]};
        pxi_world_fault (cluster->world, &kill);
    }
    free (picked);
}

static void dead_links (const figure_t *figure, uint32_t line, uint64_t seed, double *values)
{
    cluster_t cluster;
    start (&cluster, figure, dead_view (figure->settings, line), seed);
    cluster_until (&cluster, MIXED_NS);
    kill_half (&cluster);
    for (uint32_t i = 0; i < figure->n_points; i++) {
        cluster_until (&cluster, MIXED_NS + (uint64_t)(figure->points[i] * (double)PXI_SECOND));
        take_census (&cluster, &values[i * figure->n_values]);
    }
    cluster_fini (&cluster);
}

int command_views (const settings_t *settings)
{
    char sizes[N_SIZES][32];
    figure_t dead = {.settings = settings,
                     .command = "views",
                     .title = "Half of the cluster killed at once: what is known of the dead",
                     .x = "seconds after",
                     .y = "% of the links in views",
                     .n_lines = N_SIZES,
                     .values = {"dead_percent", "dead_of_asked_percent", "survivors_apart_percent"},
                     .n_values = 3,
                     .n_seeds = 3,
                     .n_peers = peers_of (settings, PEERS),
                     .run_line = dead_links};
    figure_t degrees = {.settings = settings,
                        .command = "views",
                        .title = "Who is known by how many others",
                        .x = "known by so many",
                        .y = "% of the peers",
                        .n_lines = N_LINES,
                        .values = {"peers_percent"},
                        .n_values = 1,
                        .n_points = BINS,
                        .n_seeds = 3,
                        .n_peers = peers_of (settings, PEERS),
                        .run_line = in_degrees,
                        .below = &dead};
    double width = fmax (1, round (3.0 * view_of (settings) / BINS));
    for (uint32_t i = 0; i < BINS; i++)
        degrees.points[i] = i * width;
    for (uint32_t i = 0; i < N_LINES; i++)
        degrees.lines[i] = lines[i].name;
    for (uint32_t i = 0; i < N_SIZES; i++) {
        snprintf (sizes[i], sizeof sizes[i], "views of %u", dead_view (settings, i));
        dead.lines[i] = sizes[i];
    }
    figure_points (&dead, "--points", settings->points,
                   "0,1,2,5,10,15,20,25,30,35,40,50,60,80,100,120", 0, 3600);
    figure_run (&degrees);
    figure_run (&dead);
    return figure_end (&degrees, NULL);
}
