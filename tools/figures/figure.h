/* A figure of virtual clusters: lines over points, each the mean of several seeds. figure_run () runs and
 * prints it, figure_end () writes and draws what the settings ask for. */
#ifndef TOOLS_FIGURES_FIGURE_H
#define TOOLS_FIGURES_FIGURE_H

#include "figures.h"

enum { LINES_MAX = 8, POINTS_MAX = 256, VALUES_MAX = 6 };

typedef struct figure figure_t;

struct figure {
    const settings_t *settings;
    const char *command, *title;
    const char *x, *y,
        *y2; /* y: of the first value; y2: of the second one, NULL = it is not drawn */
    bool log_x, log_y, x_is_second; /* the second value is where a point stands, not `points` */
    uint32_t n_drawn;               /* values that are drawn, without y2; 0 = the first */
    const mark_t *marks;
    uint32_t n_marks;
    figure_t *below; /* in the same files; NULL = none */
    const char *lines[LINES_MAX], *values[VALUES_MAX];
    double points[POINTS_MAX];
    uint32_t n_lines, n_values, n_points, n_seeds;
    uint32_t n_peers; /* of a figure with one size of cluster */
    /* One of them: n_values of one point, or of all points, one after the other. */
    void (*run_point) (const figure_t *figure, uint32_t line, uint32_t point, uint64_t seed,
                       double *values);
    void (*run_line) (const figure_t *figure, uint32_t line, uint64_t seed, double *values);
    series_t *cells; /* filled in: lines x points x values */
};

/* What the points are: --points, or else `usual`. */
void figure_points (figure_t *figure, const char *option, const char *given, const char *usual,
                    double low, double high);
void figure_run (figure_t *figure);
const series_t *figure_cell (const figure_t *figure, uint32_t line, uint32_t point, uint32_t value);
/* Takes `more`, what the JSON has besides, NULL = nothing. Returns the program's exit code. */
int figure_end (figure_t *figure, json_t *more);
/* Of the peers but the first: `n` at random, in picked[0..n). */
void pick_peers (uint32_t n_peers, uint32_t n, uint64_t seed, uint32_t *picked);

/* ---- cluster.c: a virtual cluster of equal peers --------------------------------------------- */

#include "sim/world.h"

typedef struct cluster { /* fill in between init and start what is not usual */
    pxi_world_config config;
    pxi_world_peer *peers;
    pxi_world_job *jobs;
    pxi_world *world;
} cluster_t;

#define CLUSTER_JOINED_NS PXI_SECOND /* jobs begin then */

void cluster_init (cluster_t *cluster, const settings_t *settings, uint32_t n_peers,
                   uint32_t n_jobs, uint64_t seed);
void cluster_slots (cluster_t *cluster, uint32_t n_slots); /* of each peer; usually 1 */
void cluster_start (cluster_t *cluster);
void cluster_fini (cluster_t *cluster);
void cluster_until (cluster_t *cluster, uint64_t ns);
/* Until every job is done, which must be so. */
void cluster_finish (cluster_t *cluster, pxi_world_report *report);
/* The time that the work takes at least: shared by all slots, or its longest chain. */
double cluster_ideal_ns (const pxi_world_report *report);
/* Work that is cut at random in two until pieces are leaves. */
pxi_tree cluster_split (uint64_t work_ns, uint64_t leaf_ns);
/* A loop of tasks whose times a law draws from the cluster's seed; the cluster keeps them. */
void cluster_loop (cluster_t *cluster, uint32_t job, uint32_t n_tasks, pxi_stream_law law,
                   uint64_t mean_ns);

#endif
