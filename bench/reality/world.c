/* The prediction: a world of src/sim with this plan's peers, tree and fault, up for a second before the job
 * comes. */
#include <errno.h>
#include <string.h>

#include "reality/reality.h"
#include "sim/world.h"

enum { KNOWN_TIMES = 16, WORLD_ENDS_S = 3600 };

static void trace_line (void *context, uint64_t now_ns, const char *who, const char *line)
{
    reality_trace_line (context, now_ns, who, line);
}

static bool play (const pxi_world_config *config, reality_outcome *outcome, char *why)
{
    static pxi_world_report report;
    pxi_world *world = pxi_world_new (config);
    if (!world) {
        snprintf (why, REALITY_WHY_SIZE, "out of memory");
        return false;
    }
    bool fine = pxi_world_run_jobs (world, WORLD_ENDS_S * PXI_SECOND);
    fine = fine && pxi_world_jobs_over (world);
    pxi_world_read (world, &report);
    pxi_world_free (&world);
    /* The world has compared the root's hash with the serial one. */
    if (!fine || report.n_jobs_done != 1) {
        snprintf (why, REALITY_WHY_SIZE, "the virtual job did not end well: %.400s", report.why);
        return false;
    }
    outcome->makespan_ns = report.makespan_ns;
    outcome->stats = report.stats;
    return true;
}

bool reality_predict (const reality_plan *plan, uint64_t world_seed, reality_outcome *outcome,
                      char why[REALITY_WHY_SIZE])
{
    pxi_world_peer peers[REALITY_PEERS_MAX];
    for (uint32_t i = 0; i < plan->n_peers; i++)
        peers[i] = (pxi_world_peer){.slots = plan->slots, .speed_permille = 1000};
    const pxi_world_job job = {.peer = REALITY_ROOT, .at_ns = PXI_SECOND, .tree = plan->tree};
    pxi_fault fault = plan->fault;
    fault.at_ns += job.at_ns;
    pxi_world_config config = pxi_world_config_default ();
    config.seed = world_seed;
    config.n_peers = plan->n_peers;
    config.peers = peers;
    config.n_jobs = 1;
    config.jobs = &job;
    config.n_faults = plan->faulty;
    config.faults = &fault;
    config.known = KNOWN_TIMES * plan->n_peers; /* drawn: so everybody knows everybody */
    config.network.min_ns = plan->way_ns;
    config.notice_ns = plan->notice_ns;
    config.core.detect_ns = plan->detect_ns;
    config.core.isolated = false; /* as where tasks are compiled into the peer's program */
    FILE *trace = plan->trace ? fopen (plan->trace, "w") : NULL;
    if (plan->trace && !trace) {
        snprintf (why, REALITY_WHY_SIZE, "%s: %s", plan->trace, strerror (errno));
        return false;
    }
    config.sink = trace ? trace_line : NULL;
    config.sink_context = trace;
    *outcome = (reality_outcome){.hash = plan->serial.hash, .rtt_ns = 2 * plan->way_ns};
    bool fine = play (&config, outcome, why);
    if (trace)
        fclose (trace);
    return fine;
}
