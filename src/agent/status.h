/* What a peer does now, as JSON, for people and tools (peer-top). Both ends: the agent makes the
 * body of its answer here; a tool asks any addresses and gets the answers of all peers in reach.
 * The question is no part of the protocol: it never reaches the core. */
#ifndef PXI_AGENT_STATUS_H
#define PXI_AGENT_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include <peerexec/peer.h>

enum {
    PXI_STATUS_SIZE_MAX = 4 << 20, /* bytes of one answer: 1,024 peers and 4,096 runs fit */
    PXI_STATUS_PEERS_MAX = 1024,   /* asked in one collection */
};

/* Called once for each peer that answers, in the order of the answers, on the caller's thread.
 * `json` (NUL-terminated, UTF-8, one object) lives for the call. Its members:
 *   name, id, incarnation, address, version, host_busy, draining (booleans), slots, slots_used
 *   stats      {each name of PX_STATS: number}
 *   sizes      {runs, subtasks, attempts, branches, leases, reservations, probes, jobs, takes}
 *   modules    [{name, digest}]
 *   devices    [{device (its number here), index (as px_device lists it), name, platform, class ("cpu", "gpu",
 *                "accelerator"), memory_bytes, state ("off": no helper yet, "starting", "ready", "ending",
 *                "quarantined", "absent"), pid (of its helper), running, waiting (chunks), reason (of its last
 *                failure), tasks [{task, chunks, items, items_per_s, failures (in a row), why (the last)}]}]
 *   devices_why  why there is none, though some are wanted
 *   peers      [{name, id, address, slots, rtt_us, bytes_per_s, slowness_permille (run times there,
 *                of those here; 0 = not known), heard_ms_ago, unresponsive, leaving, master,
 *                worker}]
 *   jobs       [{origin, number, module, task, name, mine, age_ms, slots, active, executor_pid (0 =
 *                in this process), runs, surplus}]
 *   runs       [{run, task, job_origin, job_number, master (0 = own), attempt, age_ms}]
 *   away       [{subtask, attempt, peer, job_origin, job_number, age_ms}]
 *   costs      [{task, n, expected_us, real_us, expected_bytes, real_bytes (sums over n),
 *                quality_permille (median of real over expected run time), samples, low_us, usual_us,
 *                high_us (of the next one of the size met last, here)}]
 *   links      number
 *   why        one sentence: why what waits does not move
 * Ids are decimal strings: they do not fit a JSON number. */
typedef void pxi_status_fn (void *context, const char *address, const char *json);

typedef struct pxi_status_question {
    const char *const *addresses; /* "tcp://127.0.0.1:5555" */
    uint32_t n_addresses;
    bool reach;      /* also every peer that is named in an answer and has an address, each once */
    const char *key; /* file of the cluster's key; NULL = none */
    uint64_t timeout_ns;
    pxi_status_fn *answer;
    void *context;
} pxi_status_question;

/* Blocks until all have answered, at most timeout_ns. *n_answers and *n_asked may be NULL. Opens and
 * closes a link of its own: any thread, no px_peer needed.
 * PX_EADDRESS, PX_ENOPEER (nobody answered: `why` names the addresses), PX_EVERSION, PX_ECONFIG (the key),
 * PX_ESYSTEM, PX_ENOMEM. `why` (PX_WHY_SIZE bytes) may be NULL. */
px_err pxi_status_collect (const pxi_status_question *question, uint32_t *n_answers,
                           uint32_t *n_asked, char *why);

/* One address, no reach: *json is the caller's to free (). Errors as above. */
px_err pxi_status_ask (const char *address, const char *key, uint64_t timeout_ns, char **json,
                       char *why);

/* What to look at when a peer does not answer one that has this key. */
const char *pxi_status_advice (const char *key);

#endif
