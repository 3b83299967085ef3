/* What a peer sends about who is there and who is still alive, against the number of peers: nobody's share may
 * grow with the cluster. */
#include <math.h>
#include <stdio.h>

#include "core/limits.h"
#include "figure.h"

#define FROM_NS (5 * PXI_SECOND)
#define TO_NS (15 * PXI_SECOND)
#define WORK_NS (20 * PXI_SECOND) /* per peer: more than can be done until then */
#define LEAF_NS (200 * PXI_MS)
#define FLAT 1.25 /* largest over smallest */
enum { IDLE, AT_WORK, N_LINES };

static void run_point (const figure_t *figure, uint32_t line, uint32_t point, uint64_t seed,
                       double *values)
{
    uint32_t n_peers = (uint32_t)figure->points[point];
    cluster_t cluster;
    pxi_world_report from, to;
    cluster_init (&cluster, figure->settings, n_peers, line == AT_WORK, seed);
    if (line == AT_WORK)
        cluster.jobs[0].tree = cluster_split (n_peers * WORK_NS, LEAF_NS);
    cluster_start (&cluster);
    cluster_until (&cluster, FROM_NS);
    pxi_world_read (cluster.world, &from);
    cluster_until (&cluster, TO_NS);
    pxi_world_read (cluster.world, &to);
    double peer_seconds = n_peers * (double)(TO_NS - FROM_NS) / 1e9;
    uint64_t members = pxi_world_n_members (&to) - pxi_world_n_members (&from);
    uint64_t handshakes = pxi_world_n_handshakes (&to) - pxi_world_n_handshakes (&from);
    uint64_t work = pxi_world_n_work (&to) - pxi_world_n_work (&from);
    values[0] = (double)(members + handshakes) / peer_seconds;
    values[1] = (double)members / peer_seconds;
    values[2] = (double)handshakes / peer_seconds;
    values[3] = (double)(work - handshakes) / peer_seconds;
    cluster_fini (&cluster);
}

static double spread (const figure_t *figure, uint32_t line)
{
    double low = INFINITY, high = 0;
    for (uint32_t i = 0; i < figure->n_points; i++) {
        low = fmin (low, figure_cell (figure, line, i, 0)->mean);
        high = fmax (high, figure_cell (figure, line, i, 0)->mean);
    }
    return high / low;
}

int command_control (const settings_t *settings)
{
    figure_t figure = {.settings = settings,
                       .command = "control",
                       .title = "Messages about who is there and alive",
                       .x = "peers",
                       .y = "messages per peer and second",
                       .log_x = true,
                       .lines = {"idle", "at work"},
                       .n_lines = N_LINES,
                       .values = {"control", "membership", "handshakes", "work"},
                       .n_values = 4,
                       .n_seeds = 2,
                       .run_point = run_point};
    figure_points (&figure, "--peers", settings->peers, "16,64,256,1024,4096", 2, 1e6);
    figure_run (&figure);
    double idle = spread (&figure, IDLE), at_work = spread (&figure, AT_WORK);
    bool flat = idle <= FLAT && at_work <= FLAT;
    printf ("largest over smallest: idle %.2f, at work %.2f: %s\n", idle, at_work,
            flat ? "flat" : "NOT FLAT");
    int end = figure_end (&figure, json_pack ("{s:f, s:f, s:b}", "idle_spread", idle,
                                              "at_work_spread", at_work, "flat", flat));
    return flat ? end : EXIT_SHORT;
}
