/* The loop: one thread that owns the sockets, the core and everything of the agent's.
 *
 * A pass reads the inbox, the transport and the executor processes; only a pass that found nothing
 * lets the clock speak (a peer that was paused reads its mail before it judges others by the time),
 * and only after that the thread sleeps. Where traffic was dense a moment ago it looks a few times
 * more before it sleeps: a wake-up costs more than the wait.
 *
 * Calls of other threads come through the inbox as well, so nothing in here needs a lock but the
 * few words that such threads wait for. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/state.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"

enum {
    EVENTS_MAX = 64,      /* of one epoll_wait, */
    MESSAGES_MAX = 128,   /* of one pass: so that each part of it has its turn */
    ALARMS_MAX = 1 << 18, /* one per run at most, and a few */
};
#define SPIN_NS (20 * PXI_MS / 1000)  /* about what a wake-up of a sleeping thread costs */
#define DENSE_NS (50 * PXI_MS / 1000) /* between two arrivals: then the next is near */
#define TICK_LATE_NS (20 * PXI_MS)    /* a tick may wait this long for mail to be read */

/* ---- events for the core ----------------------------------------------------------------------
 */

static void step_once (pxi_agent *agent, pxi_event *event)
{
    pxi_actions actions;
    event->now_ns = pxi_clock_ns ();
    pxi_core_step (agent->core, event, &actions);
    pxi_apply_all (agent, &actions);
}

void pxi_agent_step (pxi_agent *agent, pxi_event *event)
{
    PXI_ASSERT (!agent->stepping);
    agent->stepping = true;
    step_once (agent, event);
    for (pxi_list *link; (link = pxi_list_first (&agent->later));) {
        pxi_later *later = PXI_LIST_ENTRY (link, pxi_later, in_agent);
        pxi_list_remove (link);
        step_once (agent, &later->event);
        free (later);
    }
    agent->stepping = false;
}

void pxi_agent_later (pxi_agent *agent, const pxi_event *event)
{
    pxi_later *later = malloc (sizeof *later);
    /* The core is owed this event, and nothing else can give it: as in the core, the few bytes that
     * the contract needs are there or the process cannot go on. */
    PXI_ASSERT (later != NULL);
    later->event = *event;
    pxi_list_init (&later->in_agent);
    pxi_list_add_last (&agent->later, &later->in_agent);
}

/* ---- alarms -----------------------------------------------------------------------------------
 */

void pxi_agent_alarm (pxi_agent *agent, pxi_alarm *alarm, pxi_alarm_kind kind, void *owner,
                      uint64_t at_ns)
{
    alarm->kind = kind;
    alarm->owner = owner;
    pxi_heap_remove (&agent->alarms, &alarm->node);
    bool added = pxi_heap_add (&agent->alarms, &alarm->node, at_ns, ++agent->alarm_sequence);
    /* Without memory it does not ring: a deadline is missed, nothing breaks. */
    (void)added;
}

void pxi_agent_alarm_off (pxi_agent *agent, pxi_alarm *alarm)
{
    pxi_heap_remove (&agent->alarms, &alarm->node);
}

static void ring (pxi_agent *agent, pxi_alarm *alarm)
{
    switch (alarm->kind) {
    case PXI_ALARM_HOST:
        pxi_host_look (agent);
        break;
    case PXI_ALARM_PROGRESS:
        pxi_jobs_tell_progress (agent);
        break;
    case PXI_ALARM_TIMEOUT:
    case PXI_ALARM_STOP:
        pxi_jobs_alarm (agent, alarm);
        break;
    case PXI_ALARM_WARM:
        pxi_workers_alarm (agent, alarm->owner);
        break;
    }
}

static void ring_due (pxi_agent *agent, uint64_t now_ns)
{
    while (pxi_heap_deadline (&agent->alarms) <= now_ns) {
        pxi_heap_node *node = pxi_heap_first (&agent->alarms);
        pxi_heap_remove (&agent->alarms, node);
        ring (agent, PXI_LIST_ENTRY (node, pxi_alarm, node));
        agent->activity++;
    }
}

/* ---- letters ----------------------------------------------------------------------------------
 */

static pxi_mail *mail_new (void)
{
    pxi_mail *mail = malloc (sizeof *mail);
    if (mail)
        memset (mail, 0, offsetof (pxi_mail, notice));
    return mail;
}

/* A notice must not be lost and who brings it cannot fail: without memory it waits for some. */
void pxi_agent_notify (void *context, pxi_notice *notice)
{
    const pxi_execution *execution = context;
    pxi_mail *mail;
    while (!(mail = mail_new ()))
        sched_yield ();
    mail->execution = execution->number;
    mail->notice = *notice;
    pxi_inbox_post (&execution->agent->inbox, &mail->letter);
}

bool pxi_agent_post (pxi_agent *agent, pxi_call_fn *call, void *argument)
{
    pxi_mail *mail = mail_new ();
    if (!mail)
        return false;
    mail->call = call;
    mail->argument = argument;
    pxi_inbox_post (&agent->inbox, &mail->letter);
    return true;
}

void pxi_agent_call (pxi_agent *agent, pxi_call_fn *call, void *argument)
{
    /* The log sink may ask for the counters from the loop's own thread. */
    if (pthread_equal (pthread_self (), agent->thread)) {
        call (agent, argument);
        return;
    }
    bool done = false;
    pxi_mail mail = {.call = call, .argument = argument, .done = &done};
    pxi_inbox_post (&agent->inbox, &mail.letter);
    pthread_mutex_lock (&agent->lock);
    while (!done)
        pthread_cond_wait (&agent->changed, &agent->lock);
    pthread_mutex_unlock (&agent->lock);
}

/* The mail of one who waits lies on his stack: it is gone as soon as he hears that it is done. */
static void answer (pxi_agent *agent, pxi_mail *mail)
{
    bool *done = mail->done;
    mail->call (agent, mail->argument);
    if (!done) {
        free (mail);
        return;
    }
    pthread_mutex_lock (&agent->lock);
    *done = true;
    pthread_cond_broadcast (&agent->changed);
    pthread_mutex_unlock (&agent->lock);
}

static void read_inbox (pxi_agent *agent)
{
    pxi_letter *next, *letter = pxi_inbox_take (&agent->inbox);
    for (; letter; letter = next) {
        pxi_mail *mail = (pxi_mail *)letter;
        next = letter->next;
        if (mail->call) {
            answer (agent, mail);
        } else {
            pxi_notices_take (agent, mail->execution, &mail->notice);
            free (mail);
        }
        agent->activity++;
    }
}

/* ---- waiting ----------------------------------------------------------------------------------
 */

static void handle_events (pxi_agent *agent, struct epoll_event *events, int n_events)
{
    for (int i = 0; i < n_events; i++) {
        const pxi_watch *watch = events[i].data.ptr;
        if (!watch->worker)
            continue; /* every pass looks into inbox and transport anyway */
        agent->activity++;
        pxi_workers_event (agent, watch);
    }
}

static void poll_for (pxi_agent *agent, uint64_t wait_ns)
{
    struct epoll_event events[EVENTS_MAX];
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / PXI_SECOND),
                               .tv_nsec = (long)(wait_ns % PXI_SECOND)};
    int n = epoll_pwait2 (agent->epoll_fd, events, EVENTS_MAX, &timeout, NULL);
    if (n < 0 && errno == ENOSYS) /* Linux before 5.11 */
        n = epoll_wait (agent->epoll_fd, events, EVENTS_MAX,
                        (int)((wait_ns + PXI_MS - 1) / PXI_MS));
    handle_events (agent, events, n);
}

static uint64_t next_ns (const pxi_agent *agent)
{
    uint64_t core_ns = pxi_core_wake_ns (agent->core);
    uint64_t alarm_ns = pxi_heap_deadline (&agent->alarms);
    return core_ns < alarm_ns ? core_ns : alarm_ns;
}

static void wait_for_more (pxi_agent *agent)
{
    uint64_t now_ns = pxi_clock_ns (), until_ns = next_ns (agent);
    if (until_ns <= now_ns || !pxi_inbox_sleep (&agent->inbox))
        return;
    uint64_t wait_ns = until_ns - now_ns < PXI_SECOND ? until_ns - now_ns : PXI_SECOND;
    poll_for (agent, wait_ns);
    pxi_inbox_awake (&agent->inbox);
}

/* ---- passes -----------------------------------------------------------------------------------
 */

static void tick_if_due (pxi_agent *agent, bool quiet)
{
    uint64_t now_ns = pxi_clock_ns (), due_ns = next_ns (agent);
    if (due_ns > now_ns || (!quiet && now_ns - due_ns < TICK_LATE_NS))
        return;
    ring_due (agent, now_ns);
    if (pxi_core_wake_ns (agent->core) <= now_ns) {
        pxi_event tick = {.kind = PXI_EV_TICK};
        pxi_agent_step (agent, &tick);
        agent->activity++;
    }
}

/* True: nothing came in, nothing was due. */
static bool pass (pxi_agent *agent)
{
    uint64_t before = agent->activity;
    read_inbox (agent);
    if (!pxi_list_is_empty (&agent->all_workers))
        poll_for (agent, 0);
    bool more = pxi_workers_pass (agent);
    more |= pxi_zmq_step (agent->transport, MESSAGES_MAX);
    tick_if_due (agent, agent->activity == before && !more);
    return agent->activity == before && !more;
}

static void note_activity (pxi_agent *agent)
{
    agent->before_ns = agent->active_ns;
    agent->active_ns = pxi_clock_ns ();
}

static bool worth_spinning (const pxi_agent *agent)
{
    return agent->active_ns - agent->before_ns < DENSE_NS &&
           pxi_clock_ns () - agent->active_ns < SPIN_NS;
}

static void *run_loop (void *argument)
{
    pxi_agent *agent = argument;
    while (!agent->stop) {
        if (!pass (agent)) {
            note_activity (agent);
            continue;
        }
        if (worth_spinning (agent))
            continue;
        wait_for_more (agent);
    }
    return NULL;
}

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
    /* All three, so that none is the caller's when one of them fails. */
    bool copied = copy_text (&agent->config.listen);
    copied &= copy_text (&agent->config.executor);
    copied &= copy_text (&agent->config.busy_file);
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
    pxi_map_init (&agent->traced_tasks, 2 * PXI_ATTEMPTS_MAX, seed);
    pxi_map_init (&agent->seen, PXI_SEEN_MAX, seed);
    pxi_blobs_init (&agent->blobs, seed);
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
    int result = pthread_create (&agent->thread, NULL, run_loop, agent);
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
    pxi_letter *next, *letter = agent->inbox.fd >= 0 ? pxi_inbox_take (&agent->inbox) : NULL;
    for (; letter; letter = next) {
        next = letter->next;
        if (!((pxi_mail *)letter)->call)
            pxi_notices_release (&((pxi_mail *)letter)->notice);
        free (letter);
    }
    pxi_jobs_fini (agent);
    pxi_mail_fini (agent);
    pxi_core_free (&agent->core);
    pxi_zmq_free (&agent->transport);
    pxi_blobs_fini (&agent->blobs);
    pxi_bytes_release (agent->empty);
    if (agent->inbox.fd >= 0)
        pxi_inbox_fini (&agent->inbox);
    if (agent->epoll_fd >= 0)
        close (agent->epoll_fd);
    pxi_map *maps[] = {&agent->jobs,     &agent->executions,   &agent->runs,
                       &agent->branches, &agent->traced_tasks, &agent->seen};
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
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / PXI_SECOND),
                             .tv_nsec = (long)(deadline_ns % PXI_SECOND)};
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

size_t pxi_agent_input_size_max (const pxi_agent *agent)
{
    return agent->config.input_size_max;
}

static void join (pxi_agent *agent, void *argument)
{
    pxi_event event = {.kind = PXI_EV_JOIN, .address = *(const pxi_address *)argument};
    pxi_agent_step (agent, &event);
}

void pxi_agent_join (pxi_agent *agent, const pxi_address *address)
{
    pxi_address copy = *address;
    pxi_agent_call (agent, join, &copy);
}

/* PX_EAGAIN: nothing is decided yet. */
static px_err joined (const pxi_agent *agent, uint32_t n)
{
    if (agent->n_joined)
        return PX_OK;
    if (agent->duplicate)
        return PX_EDUPLICATE;
    if (agent->n_self + agent->n_version < n)
        return PX_EAGAIN;
    return agent->n_self ? PX_ESELF : PX_EVERSION;
}

static px_err explain (const pxi_agent *agent, px_err err, const char *const *texts, uint32_t n,
                       uint64_t timeout_ns, char *why)
{
    const char *others = n > 1 ? " (nor at the other addresses)" : "";
    switch (err) {
    case PX_ESELF:
        return pxi_fail (err, why, "%s: this is the peer's own address: join it to another one",
                         texts[0]);
    case PX_EDUPLICATE:
        return pxi_fail (err, why, "the cluster has a peer named '%s' already: choose another name",
                         agent->name);
    case PX_EVERSION:
        return pxi_fail (err, why, "%s: speaks another version of the protocol", texts[0]);
    case PX_EAGAIN:
        return pxi_fail (PX_ENOPEER, why, "%s: no answer in %.3g s%s: not a peer, or not admitted",
                         texts[0], (double)timeout_ns / 1e9, others);
    default:
        return err;
    }
}

px_err pxi_agent_wait_joined (pxi_agent *agent, const char *const *texts, uint32_t n,
                              uint64_t timeout_ns, char *why)
{
    uint64_t deadline_ns = px_deadline_ns (timeout_ns);
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / PXI_SECOND),
                             .tv_nsec = (long)(deadline_ns % PXI_SECOND)};
    int result = 0;
    px_err err;
    pthread_mutex_lock (&agent->lock);
    while ((err = joined (agent, n)) == PX_EAGAIN && result != ETIMEDOUT)
        result = pthread_cond_timedwait (&agent->changed, &agent->lock, &until);
    pthread_mutex_unlock (&agent->lock);
    return explain (agent, err, texts, n, timeout_ns, why);
}

px_err pxi_agent_wait_peers (pxi_agent *agent, uint32_t n_peers, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / PXI_SECOND),
                             .tv_nsec = (long)(deadline_ns % PXI_SECOND)};
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
