/* The loop: one thread that owns the sockets, the core and everything of the agent's.
 *
 * A pass reads the inbox, the transport and the executor processes; only a pass that found nothing
 * lets the clock speak (a peer that was paused reads its mail before it judges others by the time),
 * and only after that the thread sleeps. Before it does so it yields once: who else is ready has the
 * processor, and what comes of that is seen without a wake-up. Looking on for 5 or 20 us where traffic
 * was dense took the processor from those that it waited for. (A remote call on two processors: 47 us;
 * sleeping at once 67; looking on 88 and 128.)
 *
 * Calls of other threads come through the inbox as well, so nothing in here needs a lock but the
 * few words that such threads wait for. */
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "agent/state.h"
#include "base/assert.h"
#include "base/clock.h"

enum {
    EVENTS_MAX = 64,    /* of one epoll_wait, */
    MESSAGES_MAX = 128, /* of one pass: so that each part of it has its turn */
};
#define TICK_LATE_NS (20 * PXI_MS) /* a tick may wait this long for mail to be read */

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
    case PXI_ALARM_REST:
        pxi_execution_close (alarm->owner);
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
    pxi_inbox_post (&execution->agent->inbox, &mail->letter, notice->more);
}

bool pxi_agent_post (pxi_agent *agent, pxi_call_fn *call, void *argument)
{
    pxi_mail *mail = mail_new ();
    if (!mail)
        return false;
    mail->call = call;
    mail->argument = argument;
    pxi_inbox_post (&agent->inbox, &mail->letter, false);
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
    pxi_inbox_post (&agent->inbox, &mail.letter, false);
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
        if (watch->kind == PXI_WATCH_DEVICE)
            pxi_devices_event (watch);
        if (!watch->worker)
            continue; /* every pass looks into inbox and transport anyway */
        agent->activity++;
        pxi_workers_event (agent, watch);
    }
}

static void poll_for (pxi_agent *agent, uint64_t wait_ns)
{
    struct epoll_event events[EVENTS_MAX];
    struct timespec timeout = pxi_clock_timespec (wait_ns);
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
    uint64_t device_ns = pxi_devices_wake_ns (agent);
    uint64_t own_ns = device_ns < alarm_ns ? device_ns : alarm_ns;
    return core_ns < own_ns ? core_ns : own_ns;
}

static void wait_for_more (pxi_agent *agent)
{
    uint64_t now_ns = pxi_clock_ns (), until_ns = next_ns (agent);
    if (until_ns <= now_ns || !pxi_inbox_sleep (&agent->inbox))
        return;
    uint64_t wait_ns = until_ns - now_ns < PXI_SECOND ? until_ns - now_ns : PXI_SECOND;
    uint64_t patience_ns = pxi_inbox_patience_ns (&agent->inbox);
    poll_for (agent, wait_ns < patience_ns ? wait_ns : patience_ns);
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
    if (!pxi_list_is_empty (&agent->all_workers) || agent->devices)
        poll_for (agent, 0);
    bool more = pxi_workers_pass (agent);
    more |= pxi_zmq_step (agent->transport, MESSAGES_MAX);
    pxi_devices_pass (agent);
    tick_if_due (agent, agent->activity == before && !more);
    if (pxi_core_gathers (agent->core))
        pxi_agent_step (agent, &(pxi_event){.kind = PXI_EV_FLUSH});
    pxi_workers_flush (agent);
    pxi_zmq_flush (agent->transport);
    return agent->activity == before && !more;
}

void *pxi_agent_loop (void *argument)
{
    pxi_agent *agent = argument;
    bool yielded = false;
    while (!agent->stop) {
        bool quiet = pass (agent);
        if (quiet && yielded)
            wait_for_more (agent);
        else if (quiet)
            sched_yield ();
        yielded = quiet && !yielded;
    }
    return NULL;
}
