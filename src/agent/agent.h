/* The agent of one peer: a thread that owns its sockets, drives the core, and carries out what it
 * decides. What the api needs of it; everything here may be called from any thread but where it
 * says so. */
#ifndef PXI_AGENT_AGENT_H
#define PXI_AGENT_AGENT_H

#include <peerexec/peer.h>

#include "agent/root.h"
#include "base/log.h"
#include "module/registry.h"

typedef struct pxi_agent pxi_agent;

/* Checked by the api, defaults filled in. Strings are copied. */
typedef struct pxi_agent_config {
    const char *name;   /* never NULL */
    const char *listen; /* never NULL; "" = do not listen */
    const char *executor;
    const char *busy_file;
    const char *key;     /* file of the cluster's key; NULL = none */
    const char *devices; /* "all", or a list; NULL = none */
    const char *device_helper;
    uint32_t slots;
    px_log_fn *log;
    void *log_context;
    px_log_level log_level;
    uint64_t detect_ns;
    size_t stack_size, input_size_max, result_size_max;
    double load_max;
    uint64_t seed;
    int32_t branch_number;
    bool branch_number_rises; /* nobody has set it */
    bool speculation, tcp_only;
} pxi_agent_config;

/* Listens and starts the thread. Takes the registry on PX_OK. PX_EADDRESS, PX_EINUSE, PX_ESYSTEM,
 * PX_ENOMEM, PX_EINVAL, PX_ECONFIG; `why` as for pxi_fail (). */
px_err pxi_agent_new (const pxi_agent_config *config, pxi_registry **registry_p,
                      pxi_agent **agent_p, char *why);
/* Cancels the jobs of this peer, drains until the deadline, hands back the rest, ends every
 * executor and the thread. Blocks: a task in this process that does not look whether it is
 * cancelled is waited for, since nothing can end it. */
void pxi_agent_close (pxi_agent **agent_p, uint64_t deadline_ns);

const char *pxi_agent_name (const pxi_agent *agent);
const char *pxi_agent_address (const pxi_agent *agent);
const pxi_registry *pxi_agent_registry (const pxi_agent *agent);
int32_t pxi_agent_branch_number (const pxi_agent *agent);
bool pxi_agent_branch_number_rises (const pxi_agent *agent);
size_t pxi_agent_input_size_max (const pxi_agent *agent);

/* Ask the peer at this address; it is asked again until it answers. */
void pxi_agent_join (pxi_agent *agent, const pxi_address *address);
/* Wait until one of `n` addresses has answered. PX_OK; PX_EDUPLICATE; PX_ESELF, PX_EVERSION when
 * all were refused; PX_ENOPEER. `why` speaks of `texts`. */
px_err pxi_agent_wait_joined (pxi_agent *agent, const char *const *texts, uint32_t n,
                              uint64_t timeout_ns, char *why);
/* Wait until n_peers are known and answer. PX_ETIMEOUT. */
px_err pxi_agent_wait_peers (pxi_agent *agent, uint32_t n_peers, uint64_t deadline_ns);

void pxi_agent_stats (pxi_agent *agent, px_stats *stats);
size_t pxi_agent_others (pxi_agent *agent, px_peer_other *others, size_t n_max);
pxi_log_sink *pxi_agent_log (pxi_agent *agent); /* the caller's */

/* Takes a reference of its own on PX_OK. PX_ESTATE closing, PX_EFULL too many jobs, PX_ENOMEM. */
px_err pxi_agent_submit (pxi_agent *agent, pxi_root *root);
/* Its outcome is PX_ECANCELLED at once, wherever its parts still run. Also after the peer closed.
 */
void pxi_agent_cancel (pxi_root *root);

#endif
