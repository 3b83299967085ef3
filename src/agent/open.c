/* An agent's beginning and end, and what the api asks of it from other threads.
 *
 * Opening does all that can fail before the thread starts. Closing goes down in steps, each a call to
 * the loop: leave and finish (until the deadline), hand back the rest, end every executor, end the
 * loop. What a thread waits for is told under the agent's lock. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/state.h"
#include "agent/status.h"
#include "base/assert.h"
#include "base/clock.h"
#include "net/near.h"
#include "base/error.h"
#include "wire/version.h"

enum { ALARMS_MAX = 1 << 18 /* one per run at most, and a few */ };

/* ---- opening ----------------------------------------------------------------------------------
 */

static bool copy_text (const char **text)
{
    if (!*text)
        return true;
    *text = strdup (*text);
    return *text != NULL;
}

static bool copy_config (pxi_agent *agent, const pxi_agent_config *config)
{
    agent->config = *config;
    agent->config.name = agent->name;
    /* All of them, so that none is the caller's when one of them fails. */
    bool copied = copy_text (&agent->config.listen);
    copied &= copy_text (&agent->config.executor);
    copied &= copy_text (&agent->config.busy_file);
    copied &= copy_text (&agent->config.key);
    copied &= copy_text (&agent->config.devices);
    copied &= copy_text (&agent->config.device_helper);
    size_t size = strlen (config->name);
    PXI_ASSERT (size < sizeof agent->name);
    memcpy (agent->name, config->name, size + 1);
    return copied;
}

static void init_state (pxi_agent *agent)
{
    uint64_t seed = agent->config.seed;
    pxi_heap_init (&agent->alarms, ALARMS_MAX);
    pxi_map_init (&agent->jobs, 2 * PXI_JOBS_MAX, seed);
    pxi_map_init (&agent->executions, 1 << 16, seed);
    pxi_map_init (&agent->runs, 2 * PXI_ATTEMPTS_MAX, seed);
    pxi_map_init (&agent->branches, 2 * PXI_ATTEMPTS_MAX, seed);
    pxi_tracing_init (agent);
    pxi_map_init (&agent->seen, PXI_SEEN_MAX, seed);
    pxi_blobs_init (&agent->blobs);
    pxi_list *lists[] = {&agent->all_jobs, &agent->all_executions, &agent->all_workers,
                         &agent->all_seen, &agent->graves,         &agent->later};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        pxi_list_init (lists[i]);
    agent->inbox.fd = agent->epoll_fd = -1;
    agent->inbox_watch.kind = PXI_WATCH_INBOX;
    agent->transport_watch.kind = PXI_WATCH_TRANSPORT;
    pthread_condattr_t attributes;
    pthread_condattr_init (&attributes);
    pthread_condattr_setclock (&attributes, CLOCK_MONOTONIC);
    pthread_cond_init (&agent->changed, &attributes);
    pthread_condattr_destroy (&attributes);
    pthread_mutex_init (&agent->lock, NULL);
}

static px_err open_transport (pxi_agent *agent, char *why)
{
    const pxi_agent_config *config = &agent->config;
    size_t frame_max = config->input_size_max > config->result_size_max ? config->input_size_max
                                                                        : config->result_size_max;
    const pxi_transport_config transport = {
        .listen = config->listen,
        .key = config->key,
        .tcp_only = config->tcp_only,
        .message_size_max = frame_max > PXI_CHAIN_SIZE_MAX ? frame_max : PXI_CHAIN_SIZE_MAX,
        .events = {pxi_mail_received, pxi_mail_unreachable, pxi_mail_notice},
        .context = agent,
    };
    return pxi_zmq_new (&transport, &agent->transport, why);
}

static void fill_modules (pxi_agent *agent, pxi_peer_record *self)
{
    uint32_t n = pxi_registry_size (agent->registry);
    for (uint32_t i = 0; i < n && i < PXI_PEER_MODULES_MAX; i++)
        self->modules[self->n_modules++] = pxi_registry_at (agent->registry, i)->key;
    if (n > PXI_PEER_MODULES_MAX)
        self->flags |= PXI_PEER_MORE_MODULES;
}

/* A subtask that crashed elsewhere may be tried here where no task can take this process with it.
 */
static bool is_isolated (const pxi_agent *agent)
{
    for (uint32_t i = 0; i < pxi_registry_size (agent->registry); i++) {
        if (!pxi_registry_at (agent->registry, i)->image)
            return false;
    }
    return agent->config.executor != NULL;
}

static px_err open_core (pxi_agent *agent, const pxi_address *address, char *why)
{
    pxi_core_config config = pxi_core_config_default ();
    config.self.id = agent->id;
    config.self.incarnation = agent->incarnation;
    config.self.address = *address;
    config.self.slots = (uint16_t)agent->config.slots;
    memcpy (config.self.name, agent->name, sizeof config.self.name);
    fill_modules (agent, &config.self);
    config.seed = agent->config.seed;
    config.now_ns = pxi_clock_ns ();
    config.detect_ns = agent->config.detect_ns;
    config.speculation = agent->config.speculation;
    config.shared_size_max = agent->config.input_size_max;
    config.isolated = is_isolated (agent);
    agent->core = pxi_core_new (&config);
    if (!agent->core)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    return PX_OK;
}

static bool watch (pxi_agent *agent, int fd, pxi_watch *watch)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
    return epoll_ctl (agent->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static px_err open_epoll (pxi_agent *agent, char *why)
{
    agent->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
    if (agent->epoll_fd < 0 || pxi_inbox_init (&agent->inbox) != PX_OK ||
        !watch (agent, agent->inbox.fd, &agent->inbox_watch) ||
        !watch (agent, pxi_zmq_fd (agent->transport), &agent->transport_watch))
        return pxi_fail (PX_ESYSTEM, why, "cannot watch the sockets: %s", strerror (errno));
    return PX_OK;
}

static uint64_t id_of_name (const char *name)
{
    pxi_digest digest;
    pxi_digest_bytes (name, strlen (name), &digest);
    uint64_t id = pxi_digest_key (&digest);
    return id ? id : 1;
}

/* Signals of the process are for the host program's threads: the loop, and the pools' threads that
 * it starts, take only those that they cause themselves. */
static int start_thread (pxi_agent *agent)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t others, before;
    sigfillset (&others);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset (&others, own[i]);
    pthread_sigmask (SIG_BLOCK, &others, &before);
    int result = pthread_create (&agent->thread, NULL, pxi_agent_loop, agent);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    return result;
}

static px_err set_up (pxi_agent *agent, char *why)
{
    pxi_address address = {0};
    px_err err = open_transport (agent, why);
    if (err == PX_OK)
        err = pxi_mail_own_address (agent, &address, why);
    if (err == PX_OK)
        err = open_core (agent, &address, why);
    if (err == PX_OK)
        err = open_epoll (agent, why);
    if (err == PX_OK)
        err = pxi_devices_open (agent, why);
    if (err != PX_OK)
        return err;
    pxi_mail_trace (agent);
    pxi_host_begin (agent);
    int result = start_thread (agent);
    if (result)
        return pxi_fail (PX_ESYSTEM, why, "cannot start a thread: %s", strerror (result));
    return PX_OK;
}

static void agent_free (pxi_agent *agent)
{
    pxi_letter *next, *letter = agent->inbox.fd >= 0 ? pxi_inbox_take_all (&agent->inbox) : NULL;
    for (; letter; letter = next) {
        next = letter->next;
        if (!((pxi_mail *)letter)->call)
            pxi_notices_release (&((pxi_mail *)letter)->notice);
        free (letter);
    }
    pxi_devices_free (agent);
    pxi_jobs_fini (agent);
    pxi_tracing_fini (agent);
    pxi_mail_fini (agent);
    pxi_core_free (&agent->core);
    pxi_zmq_free (&agent->transport);
    pxi_blobs_fini (&agent->blobs);
    pxi_bytes_release (agent->empty);
    if (agent->inbox.fd >= 0)
        pxi_inbox_fini (&agent->inbox);
    if (agent->epoll_fd >= 0)
        close (agent->epoll_fd);
    pxi_map *maps[] = {&agent->jobs, &agent->executions, &agent->runs, &agent->branches,
                       &agent->seen};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        pxi_map_fini (maps[i]);
    pxi_heap_fini (&agent->alarms);
    pxi_registry_free (&agent->registry);
    pthread_cond_destroy (&agent->changed);
    pthread_mutex_destroy (&agent->lock);
    pxi_log_fini (&agent->log);
    free ((char *)agent->config.listen);
    free ((char *)agent->config.executor);
    free ((char *)agent->config.busy_file);
    free ((char *)agent->config.key);
    free ((char *)agent->config.devices);
    free ((char *)agent->config.device_helper);
    free (agent);
}

px_err pxi_agent_new (const pxi_agent_config *config, pxi_registry **registry_p,
                      pxi_agent **agent_p, char *why)
{
    pxi_agent *agent = calloc (1, sizeof *agent);
    if (!agent)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    bool copied = copy_config (agent, config);
    init_state (agent);
    pxi_log_init (&agent->log, config->log, config->log_context, config->log_level);
    agent->id = id_of_name (agent->name);
    agent->incarnation = pxi_clock_unix_ns ();
    agent->started_ns = pxi_clock_ns ();
    agent->empty = pxi_bytes_new (0);
    agent->registry = *registry_p;
    px_err err = copied && agent->empty ? set_up (agent, why)
                                        : pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    if (err != PX_OK) {
        agent->registry = NULL; /* still the caller's */
        agent_free (agent);
        return err;
    }
    *registry_p = NULL;
    *agent_p = agent;
    return PX_OK;
}

/* ---- closing ----------------------------------------------------------------------------------
 */

static void drain (pxi_agent *agent, void *argument)
{
    const bool *at_once = argument;
    pxi_event event = {.kind = PXI_EV_DRAIN, .flag = *at_once};
    pxi_jobs_cancel_all (agent);
    agent->draining = true;
    pxi_agent_step (agent, &event);
}

static void close_executions (pxi_agent *agent, void *argument)
{
    (void)argument;
    pxi_jobs_close_all (agent);
    pxi_devices_close (agent);
    pxi_workers_end_all (agent);
}

static void stop (pxi_agent *agent, void *argument)
{
    (void)argument;
    agent->stop = true;
}

/* True: *flag was set before the deadline. */
static bool wait_for (pxi_agent *agent, const bool *flag, uint64_t deadline_ns)
{
    struct timespec until = pxi_clock_timespec (deadline_ns);
    int result = 0;
    pthread_mutex_lock (&agent->lock);
    while (!*flag && result != ETIMEDOUT) {
        if (deadline_ns == PX_FOREVER)
            pthread_cond_wait (&agent->changed, &agent->lock);
        else
            result = pthread_cond_timedwait (&agent->changed, &agent->lock, &until);
    }
    bool set = *flag;
    pthread_mutex_unlock (&agent->lock);
    return set;
}

void pxi_agent_close (pxi_agent **agent_p, uint64_t deadline_ns)
{
    pxi_agent *agent = *agent_p;
    if (!agent)
        return;
    *agent_p = NULL;
    pthread_mutex_lock (&agent->lock);
    agent->closing = true;
    pthread_mutex_unlock (&agent->lock);
    bool at_once = deadline_ns <= pxi_clock_ns ();
    pxi_agent_call (agent, drain, &at_once);
    if (!at_once && !wait_for (agent, &agent->drained, deadline_ns)) {
        at_once = true;
        pxi_agent_call (agent, drain, &at_once);
    }
    pxi_agent_call (agent, close_executions, NULL);
    wait_for (agent, &agent->emptied, PX_FOREVER);
    pxi_agent_call (agent, stop, NULL);
    pthread_join (agent->thread, NULL);
    agent_free (agent);
}

/* ---- what the api asks ------------------------------------------------------------------------
 */

const char *pxi_agent_name (const pxi_agent *agent)
{
    return agent->name;
}

const char *pxi_agent_address (const pxi_agent *agent)
{
    return agent->endpoint;
}

const pxi_registry *pxi_agent_registry (const pxi_agent *agent)
{
    return agent->registry;
}

int32_t pxi_agent_branch_number (const pxi_agent *agent)
{
    return agent->config.branch_number;
}

bool pxi_agent_branch_number_rises (const pxi_agent *agent)
{
    return agent->config.branch_number_rises;
}

size_t pxi_agent_input_size_max (const pxi_agent *agent)
{
    return agent->config.input_size_max;
}

static void warn_near (pxi_agent *agent, const pxi_address *far)
{
    char text[64];
    pxi_address own = {0};
    if (!agent->endpoint[0] || pxi_address_is_loopback (far) ||
        pxi_address_parse (agent->endpoint, &own, NULL) != PX_OK || !pxi_address_is_loopback (&own))
        return;
    pxi_address_print (far, text);
    pxi_log (&agent->log, PX_LOG_WARNING, "net",
             "joins %s but listens on %s, which other hosts cannot reach: it uses their peers, and "
             "they will not use it; listen on an address of this host that they reach",
             text, agent->endpoint);
}

static void join (pxi_agent *agent, void *argument)
{
    pxi_event event = {.kind = PXI_EV_JOIN, .address = *(const pxi_address *)argument};
    warn_near (agent, &event.address);
    pthread_mutex_lock (&agent->lock);
    if (agent->n_joins < PXI_JOINS_MAX)
        agent->joins[agent->n_joins++] = (pxi_join){event.address, 0};
    pthread_mutex_unlock (&agent->lock);
    pxi_agent_step (agent, &event);
}

void pxi_agent_join (pxi_agent *agent, const pxi_address *address)
{
    pxi_address copy = *address;
    pxi_agent_call (agent, join, &copy);
}

/* Of the addresses to join, those that speak another version: the first in *at. */
static uint32_t count_versions (const pxi_agent *agent, uint32_t *at)
{
    uint32_t n = 0;
    for (uint32_t i = agent->n_joins; i--;) {
        if (!agent->joins[i].version)
            continue;
        *at = i;
        n++;
    }
    return n;
}

/* PX_EAGAIN: nothing is decided yet. */
static px_err joined (const pxi_agent *agent, uint32_t n)
{
    uint32_t at = 0, n_version = count_versions (agent, &at);
    if (agent->n_joined)
        return PX_OK;
    if (agent->duplicate)
        return PX_EDUPLICATE;
    if (agent->n_self + n_version < n)
        return PX_EAGAIN;
    return agent->n_self ? PX_ESELF : PX_EVERSION;
}

/* The addresses were joined in the order of their texts, before any other. */
static px_err explain_version (const pxi_agent *agent, const char *const *texts, char *why)
{
    uint32_t at = 0;
    count_versions (agent, &at);
    return pxi_fail (PX_EVERSION, why,
                     "%s: speaks version %u of the protocol, this peer speaks version %d: every "
                     "peer of a cluster needs the same release",
                     texts[at], agent->joins[at].version, PXI_WIRE_VERSION);
}

static px_err explain (const pxi_agent *agent, px_err err, const char *const *texts, uint32_t n,
                       uint64_t timeout_ns, char *why)
{
    const char *others = n > 1 ? " (nor at the other addresses)" : "";
    uint32_t at = 0;
    switch (err) {
    case PX_ESELF:
        return pxi_fail (err, why, "%s: this is the peer's own address: join it to another one",
                         texts[0]);
    case PX_EDUPLICATE:
        return pxi_fail (err, why, "the cluster has a peer named '%s' already: choose another name",
                         agent->name);
    case PX_EVERSION:
        return explain_version (agent, texts, why);
    case PX_EAGAIN:
        if (count_versions (agent, &at))
            return explain_version (agent, texts, why);
        return pxi_fail (PX_ENOPEER, why,
                         "%s: no answer in %.3g s%s: not a peer, or not admitted; %s", texts[0],
                         (double)timeout_ns / 1e9, others, pxi_status_advice (agent->config.key));
    default:
        return err;
    }
}

px_err pxi_agent_wait_joined (pxi_agent *agent, const char *const *texts, uint32_t n,
                              uint64_t timeout_ns, char *why)
{
    uint64_t deadline_ns = px_deadline_ns (timeout_ns);
    struct timespec until = pxi_clock_timespec (deadline_ns);
    int result = 0;
    px_err err;
    pthread_mutex_lock (&agent->lock);
    while ((err = joined (agent, n)) == PX_EAGAIN && result != ETIMEDOUT)
        result = pthread_cond_timedwait (&agent->changed, &agent->lock, &until);
    err = explain (agent, err, texts, n, timeout_ns, why);
    pthread_mutex_unlock (&agent->lock);
    return err;
}

px_err pxi_agent_wait_peers (pxi_agent *agent, uint32_t n_peers, uint64_t deadline_ns)
{
    struct timespec until = pxi_clock_timespec (deadline_ns);
    int result = 0;
    pthread_mutex_lock (&agent->lock);
    while (agent->n_peers < n_peers && result != ETIMEDOUT && deadline_ns) {
        if (deadline_ns == PX_FOREVER)
            pthread_cond_wait (&agent->changed, &agent->lock);
        else
            result = pthread_cond_timedwait (&agent->changed, &agent->lock, &until);
    }
    bool enough = agent->n_peers >= n_peers;
    pthread_mutex_unlock (&agent->lock);
    return enough ? PX_OK : PX_ETIMEOUT;
}

void pxi_agent_read_stats (pxi_agent *agent, void *argument)
{
    px_stats *stats = argument;
    pxi_transport_stats transport;
    pxi_core_stats (agent->core, stats);
    pxi_zmq_stats (agent->transport, &transport);
    stats->subtasks_run = agent->subtasks_run;
    stats->messages_sent = transport.messages_sent;
    stats->messages_received = transport.messages_received;
    stats->messages_refused += agent->n_refused + transport.refused;
    stats->bytes_sent = transport.bytes_sent;
    stats->bytes_received = transport.bytes_received;
}

void pxi_agent_stats (pxi_agent *agent, px_stats *stats)
{
    pxi_agent_call (agent, pxi_agent_read_stats, stats);
}

struct others_question {
    pxi_peer_look *looks; /* PXI_VIEW_MAX */
    uint32_t n;
};

static void read_others (pxi_agent *agent, void *argument)
{
    struct others_question *question = argument;
    uint32_t n = pxi_core_peers (agent->core, pxi_clock_ns (), question->looks, PXI_VIEW_MAX);
    question->n = n < PXI_VIEW_MAX ? n : PXI_VIEW_MAX;
}

/* Not in the loop: it asks the kernel for this host's addresses. */
static px_peer_other other_of (const pxi_peer_look *look)
{
    const pxi_address *address = &look->record.address;
    px_peer_other other = {.id = look->record.id,
                           .incarnation = look->record.incarnation,
                           .slots = look->record.slots,
                           .unresponsive = look->unresponsive || look->leaving,
                           .same_host = address->kind && pxi_near_is_this_host (address),
                           .rtt_ns = look->rtt_ns,
                           .devices = (look->record.flags & PXI_PEER_DEVICES) != 0};
    if (look->slowness_sure && look->slowness_permille)
        other.speed_percent = (uint32_t)(100000 / look->slowness_permille);
    memcpy (other.name, look->record.name, sizeof other.name);
    return other;
}

size_t pxi_agent_others (pxi_agent *agent, px_peer_other *others, size_t n_max)
{
    struct others_question question = {malloc (PXI_VIEW_MAX * sizeof *question.looks), 0};
    size_t n = 0;
    if (question.looks)
        pxi_agent_call (agent, read_others, &question);
    for (uint32_t i = 0; i < question.n; i++) {
        if (question.looks[i].left)
            continue;
        if (n < n_max)
            others[n] = other_of (&question.looks[i]);
        n++;
    }
    free (question.looks);
    return n;
}

pxi_log_sink *pxi_agent_log (pxi_agent *agent)
{
    return &agent->log;
}

static void submit (pxi_agent *agent, void *argument)
{
    pxi_jobs_submit (agent, argument);
}

/* Posted under the lock: what comes before the closing comes before its letters, too. */
px_err pxi_agent_submit (pxi_agent *agent, pxi_root *root)
{
    pthread_mutex_lock (&agent->lock);
    px_err err = agent->closing                           ? PX_ESTATE
                 : agent->n_submitted >= PXI_JOBS_MAX / 2 ? PX_EFULL
                                                          : PX_OK;
    if (err == PX_OK) {
        root->id = (pxi_job_id){agent->id, agent->incarnation + ++agent->last_job};
        root->agent = agent;
        if (!pxi_agent_post (agent, submit, pxi_root_acquire (root))) {
            root->agent = NULL;
            pxi_root_release (root);
            err = PX_ENOMEM;
        }
    }
    agent->n_submitted += err == PX_OK;
    pthread_mutex_unlock (&agent->lock);
    return err;
}

static void cancel (pxi_agent *agent, void *argument)
{
    pxi_root *root = argument;
    pxi_jobs_cancel (agent, root, PX_ECANCELLED, "cancelled by its submitter");
    pxi_root_release (root);
}

void pxi_agent_cancel (pxi_root *root)
{
    /* Under the lock the agent cannot go: it lets go of its roots before it ends. */
    pthread_mutex_lock (&root->lock);
    if (root->agent && !root->done &&
        !pxi_agent_post (root->agent, cancel, pxi_root_acquire (root)))
        pxi_root_release (root); /* without memory it runs on */
    pthread_mutex_unlock (&root->lock);
}
