/* OFF -> STARTING -> READY -> (ENDING) -> OFF again, or QUARANTINED, or ABSENT. A helper is killed in two
 * cases: what it has is over its time limit, or what it says is nonsense; either way its death comes
 * through its pidfd, and all that was in it is settled there and only there. */
#include "device/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/assert.h"
#include "device/state.h"

#define SECOND UINT64_C (1000000000)

pxi_device_client_config pxi_device_client_config_default (void)
{
    return (pxi_device_client_config){
        .start_ns = 60 * SECOND, .build_ns = 120 * SECOND, .quarantine_ns = 60 * SECOND};
}

/* ---- making -----------------------------------------------------------------------------------
 */

pxi_device_client *pxi_device_client_new (const pxi_device_client_config *config)
{
    pxi_device_client *client = calloc (1, sizeof *client);
    if (!client)
        return NULL;
    client->config = *config;
    client->quarantine_ns = config->quarantine_ns;
    client->process = (pxi_device_process){0, -1, -1};
    client->path = strdup (config->program.program);
    client->cache = config->program.cache ? strdup (config->program.cache) : NULL;
    client->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
    client->config.program.program = client->path;
    client->config.program.cache = client->cache;
    if (!client->path || client->epoll_fd < 0 || (config->program.cache && !client->cache))
        pxi_device_client_free (&client);
    return client;
}

void pxi_device_client_free (pxi_device_client **client_p)
{
    pxi_device_client *client = *client_p;
    *client_p = NULL;
    if (!client)
        return;
    pxi_device_process_end (&client->process);
    pxi_device_resources_free (client);
    if (client->epoll_fd >= 0)
        close (client->epoll_fd);
    free (client->path);
    free (client->cache);
    free (client);
}

int pxi_device_fd (const pxi_device_client *client)
{
    return client->epoll_fd;
}

pxi_device_state pxi_device_client_state (const pxi_device_client *client)
{
    return client->state;
}

const char *pxi_device_reason (const pxi_device_client *client)
{
    return client->reason;
}

const pxi_device_info *pxi_device_client_info (const pxi_device_client *client)
{
    return &client->info;
}

pid_t pxi_device_pid (const pxi_device_client *client)
{
    return client->process.pid;
}

/* ---- completions ------------------------------------------------------------------------------
 */

void pxi_device_end (pxi_device_client *client, pxi_device_place *place, px_err err,
                     const char *text)
{
    PXI_ASSERT (place->state == PXI_DEVICE_SLOT_WAITING || place->state == PXI_DEVICE_SLOT_SENT);
    place->state = PXI_DEVICE_SLOT_ENDED;
    place->ended = ++client->ends;
    place->completion = (pxi_device_completion){.slot = (uint32_t)(place - client->places),
                                                .context = place->run.context,
                                                .err = err,
                                                .text = place->text};
    snprintf (place->text, sizeof place->text, "%s", text);
}

bool pxi_device_next (pxi_device_client *client, pxi_device_completion *completion)
{
    pxi_device_place *first = NULL;
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++) {
        pxi_device_place *place = &client->places[i];
        if (place->state == PXI_DEVICE_SLOT_ENDED && (!first || place->ended < first->ended))
            first = place;
    }
    if (!first)
        return false;
    first->state = PXI_DEVICE_SLOT_READ;
    *completion = first->completion;
    return true;
}

static void end_all (pxi_device_client *client, pxi_device_slot_state state, px_err err,
                     const char *text)
{
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++) {
        if (client->places[i].state == state)
            pxi_device_end (client, &client->places[i], err, text);
    }
}

/* ---- what is expected -------------------------------------------------------------------------
 */

static void expect (pxi_device_client *client, pxi_device_kind kind, uint64_t id, uint64_t limit_ns,
                    uint64_t now_ns)
{
    PXI_ASSERT (client->n_expected < PXI_DEVICE_EXPECTED_MAX);
    if (client->n_expected == 0)
        client->oldest_since_ns = now_ns;
    client->expected[client->n_expected++] = (pxi_device_expected){kind, id, limit_ns};
}

static bool answered (pxi_device_client *client, pxi_device_kind kind, uint64_t id, uint64_t now_ns)
{
    for (uint32_t i = 0; i < client->n_expected; i++) {
        if (client->expected[i].kind != kind || client->expected[i].id != id)
            continue;
        client->n_expected--;
        memmove (&client->expected[i], &client->expected[i + 1],
                 (client->n_expected - i) * sizeof *client->expected);
        if (i == 0)
            client->oldest_since_ns = now_ns;
        return true;
    }
    return false;
}

/* UINT64_MAX = never: sums do not wrap, a caller may hand in any limit. */
static uint64_t later (uint64_t from_ns, uint64_t by_ns)
{
    return by_ns > UINT64_MAX - from_ns ? UINT64_MAX : from_ns + by_ns;
}

static uint64_t oldest_until_ns (const pxi_device_client *client)
{
    return client->n_expected ? later (client->oldest_since_ns, client->expected[0].limit_ns)
                              : UINT64_MAX;
}

uint64_t pxi_device_wake_ns (const pxi_device_client *client)
{
    switch (client->state) {
    case PXI_DEVICE_OFF:
        return 0;
    case PXI_DEVICE_STARTING:
        return client->starting_until_ns;
    case PXI_DEVICE_READY:
        return oldest_until_ns (client);
    case PXI_DEVICE_QUARANTINED:
        return client->quarantined_until_ns;
    default:
        return UINT64_MAX;
    }
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static void kill_helper (pxi_device_client *client)
{
    pxi_device_process_kill (&client->process);
    client->state = PXI_DEVICE_ENDING;
}

bool pxi_device_request (pxi_device_client *client, const pxi_device_message *message, int memory)
{
    if (pxi_device_send (client->process.fd, message, memory))
        return true;
    kill_helper (client); /* dead already, or it does not read */
    return false;
}

static bool send_program (pxi_device_client *client, pxi_device_code *code, uint64_t now_ns)
{
    code->used = ++client->uses;
    if (code->helper == client->helper)
        return true;
    pxi_device_message message;
    pxi_device_message_init (&message, PXI_DEVICE_MSG_BUILD, code->id);
    message.size = code->source_size;
    message.line = code->line;
    for (uint32_t i = 0; i < 3; i++)
        pxi_device_message_add (&message, code->words[i]);
    if (!pxi_device_request (client, &message, code->source.fd))
        return false;
    code->helper = client->helper;
    code->failed = false;
    expect (client, PXI_DEVICE_MSG_BUILD, code->id, client->config.build_ns, now_ns);
    return true;
}

static bool send_kept (pxi_device_client *client, const pxi_device_run_spec *run, uint64_t now_ns)
{
    for (uint32_t i = 0; i < run->n_args; i++) {
        if (run->args[i].kind != PXI_DEVICE_ARG_KEPT)
            continue;
        pxi_device_kept *kept = pxi_device_kept_find (client, run->args[i].kept);
        PXI_ASSERT (kept != NULL);
        if (kept->helper == client->helper)
            continue;
        pxi_device_message message;
        pxi_device_message_init (&message, PXI_DEVICE_MSG_KEEP, kept->id);
        message.size = kept->memory.size;
        if (!pxi_device_request (client, &message, kept->memory.fd))
            return false;
        kept->helper = client->helper;
        kept->err = PX_OK;
        expect (client, PXI_DEVICE_MSG_KEEP, kept->id, run->limit_ns, now_ns);
    }
    return true;
}

/* The memory's size is told only where it goes along. */
static bool send_run (pxi_device_client *client, pxi_device_place *place, uint64_t now_ns)
{
    const pxi_device_run_spec *run = &place->run;
    bool memory_is_new = place->helper != client->helper;
    pxi_device_message message;
    pxi_device_message_init (&message, PXI_DEVICE_MSG_RUN, place->id);
    message.program = run->program;
    message.slot = (uint32_t)(place - client->places);
    message.size = memory_is_new ? place->memory.size : 0;
    message.n_items = run->n_items;
    message.n_args = run->n_args;
    memcpy (message.args, run->args, run->n_args * sizeof *run->args);
    if (!pxi_device_request (client, &message, memory_is_new ? place->memory.fd : -1))
        return false;
    place->helper = client->helper;
    place->state = PXI_DEVICE_SLOT_SENT;
    expect (client, PXI_DEVICE_MSG_RUN, place->id, run->limit_ns, now_ns);
    return true;
}

static pxi_device_place *oldest_waiting (pxi_device_client *client)
{
    pxi_device_place *oldest = NULL;
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++) {
        pxi_device_place *place = &client->places[i];
        if (place->state == PXI_DEVICE_SLOT_WAITING && (!oldest || place->id < oldest->id))
            oldest = place;
    }
    return oldest;
}

static void send_waiting (pxi_device_client *client, uint64_t now_ns)
{
    pxi_device_place *place;
    while (client->state == PXI_DEVICE_READY && (place = oldest_waiting (client))) {
        pxi_device_code *code = pxi_device_code_find (client, place->run.program);
        PXI_ASSERT (code != NULL);
        if (!send_program (client, code, now_ns) || !send_kept (client, &place->run, now_ns) ||
            !send_run (client, place, now_ns))
            return;
    }
}

/* ---- running ----------------------------------------------------------------------------------
 */

static bool arg_is_valid (pxi_device_client *client, const pxi_device_place *place,
                          const pxi_device_arg *arg)
{
    switch (arg->kind) {
    case PXI_DEVICE_ARG_IN:
    case PXI_DEVICE_ARG_OUT:
        return arg->offset % PXI_DEVICE_ALIGNMENT == 0 && arg->offset <= place->memory.size &&
               arg->size <= place->memory.size - arg->offset;
    case PXI_DEVICE_ARG_KEPT:
        return arg->kept && pxi_device_kept_find (client, arg->kept);
    case PXI_DEVICE_ARG_VALUE:
        return arg->value_size > 0 && arg->value_size <= PXI_DEVICE_VALUE_SIZE;
    default:
        return false;
    }
}

px_err pxi_device_run (pxi_device_client *client, uint32_t slot, const pxi_device_run_spec *run,
                       uint64_t now_ns)
{
    PXI_ASSERT (slot < PXI_DEVICE_SLOTS);
    pxi_device_place *place = &client->places[slot];
    PXI_ASSERT (place->state == PXI_DEVICE_SLOT_FILLING);
    if (run->n_args > PXI_DEVICE_ARGS_MAX || !run->n_items || !run->program ||
        !pxi_device_code_find (client, run->program))
        return PX_EINVAL;
    for (uint32_t i = 0; i < run->n_args; i++) {
        if (!arg_is_valid (client, place, &run->args[i]))
            return PX_EINVAL;
    }
    place->run = *run;
    place->id = ++client->ids;
    place->state = PXI_DEVICE_SLOT_WAITING;
    if (client->state == PXI_DEVICE_ABSENT || client->state == PXI_DEVICE_QUARANTINED)
        pxi_device_end (client, place,
                        client->state == PXI_DEVICE_ABSENT ? PX_ENOMODULE : PX_ESTATE,
                        client->reason);
    else
        send_waiting (client, now_ns);
    return PX_OK;
}

/* ---- answers ----------------------------------------------------------------------------------
 */

static bool on_ready (pxi_device_client *client, pxi_device_message *message)
{
    if (client->state != PXI_DEVICE_STARTING)
        return client->state == PXI_DEVICE_ENDING;
    client->info = message->info;
    client->info.name[PXI_DEVICE_NAME_SIZE - 1] = '\0';
    client->info.platform[PXI_DEVICE_NAME_SIZE - 1] = '\0';
    client->state = PXI_DEVICE_READY;
    client->was_ready = true;
    return true;
}

static bool on_refused (pxi_device_client *client, const pxi_device_message *message)
{
    if (client->state != PXI_DEVICE_STARTING)
        return false;
    snprintf (client->reason, sizeof client->reason, "%.*s", PX_WHY_SIZE - 1, message->text);
    client->state = PXI_DEVICE_ABSENT;
    end_all (client, PXI_DEVICE_SLOT_WAITING, PX_ENOMODULE, client->reason);
    return true;
}

static bool on_built (pxi_device_client *client, const pxi_device_message *message, uint64_t now_ns)
{
    if (!answered (client, PXI_DEVICE_MSG_BUILD, message->id, now_ns))
        return false;
    pxi_device_code *code = pxi_device_code_find (client, message->id);
    if (code) {
        code->failed = message->err != PX_OK;
        code->cached = message->cached;
    }
    return true;
}

static bool on_kept (pxi_device_client *client, const pxi_device_message *message, uint64_t now_ns)
{
    if (!answered (client, PXI_DEVICE_MSG_KEEP, message->id, now_ns))
        return false;
    pxi_device_kept *kept = pxi_device_kept_find (client, message->id);
    if (kept && message->err != PX_OK) {
        kept->err = message->err;
        snprintf (kept->text, sizeof kept->text, "%.*s", (int)sizeof kept->text - 1, message->text);
    }
    return true;
}

/* Of a chunk that could not begin the cause may be a shared input that did not fit. */
static const pxi_device_kept *kept_that_failed (pxi_device_client *client,
                                                const pxi_device_run_spec *run)
{
    for (uint32_t i = 0; i < run->n_args; i++) {
        const pxi_device_kept *kept = run->args[i].kind == PXI_DEVICE_ARG_KEPT
                                          ? pxi_device_kept_find (client, run->args[i].kept)
                                          : NULL;
        if (kept && kept->err != PX_OK)
            return kept;
    }
    return NULL;
}

static void end_ran (pxi_device_client *client, pxi_device_place *place,
                     const pxi_device_message *message)
{
    const pxi_device_kept *cause =
        message->err != PX_OK ? kept_that_failed (client, &place->run) : NULL;
    pxi_device_end (client, place, cause ? cause->err : (px_err)message->err,
                    cause ? cause->text : message->text);
    const pxi_device_code *code = pxi_device_code_find (client, place->run.program);
    place->completion.program_failed = code && code->failed;
    place->completion.cached = code && code->cached;
    place->completion.first = message->first;
    place->completion.total_ns = message->total_ns;
    place->completion.kernel_ns = message->kernel_ns;
    if (message->err == PX_OK) {
        client->failures = 0;
        client->quarantine_ns = client->config.quarantine_ns;
    }
}

static bool on_ran (pxi_device_client *client, const pxi_device_message *message, uint64_t now_ns)
{
    if (!answered (client, PXI_DEVICE_MSG_RUN, message->id, now_ns))
        return false;
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++) {
        pxi_device_place *place = &client->places[i];
        if (place->state == PXI_DEVICE_SLOT_SENT && place->id == message->id) {
            end_ran (client, place, message);
            return true;
        }
    }
    return false;
}

/* False: no helper of this build says such a thing now. */
static bool on_message (pxi_device_client *client, pxi_device_message *message, uint64_t now_ns)
{
    switch (message->kind) {
    case PXI_DEVICE_MSG_READY:
        return on_ready (client, message);
    case PXI_DEVICE_MSG_REFUSED:
        return on_refused (client, message);
    case PXI_DEVICE_MSG_BUILT:
        return on_built (client, message, now_ns);
    case PXI_DEVICE_MSG_KEPT:
        return on_kept (client, message, now_ns);
    case PXI_DEVICE_MSG_RAN:
        return on_ran (client, message, now_ns);
    default:
        return false;
    }
}

static void receive (pxi_device_client *client, uint64_t now_ns)
{
    pxi_device_message message;
    pxi_device_receipt receipt = PXI_DEVICE_RECEIVED;
    while (receipt == PXI_DEVICE_RECEIVED) {
        int memory = -1;
        receipt = pxi_device_receive (client->process.fd, &message, &memory);
        if (memory >= 0)
            close (memory);
        if (receipt == PXI_DEVICE_RECEIVED &&
            (memory >= 0 || !on_message (client, &message, now_ns)))
            receipt = PXI_DEVICE_NONSENSE;
    }
    if (receipt == PXI_DEVICE_NONSENSE) {
        snprintf (client->reason, sizeof client->reason, "the device helper said nonsense");
        client->reason_is_told = true;
    }
    /* After the end of the socket its death is next. */
    if (receipt != PXI_DEVICE_NOTHING && client->state != PXI_DEVICE_ABSENT)
        kill_helper (client);
}

/* ---- lives and deaths -------------------------------------------------------------------------
 */

static bool watch (pxi_device_client *client, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl (client->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void start (pxi_device_client *client, uint64_t now_ns)
{
    if (pxi_device_process_start (&client->process, &client->config.program,
                                  (int32_t)client->config.device, client->reason) != PX_OK) {
        client->state = PXI_DEVICE_ABSENT;
        end_all (client, PXI_DEVICE_SLOT_WAITING, PX_ENOMODULE, client->reason);
        return;
    }
    client->helper++;
    client->n_expected = 0;
    client->timed_out = 0;
    client->was_ready = client->reason_is_told = false;
    client->state = PXI_DEVICE_STARTING;
    client->starting_until_ns = later (now_ns, client->config.start_ns);
    if (!watch (client, client->process.fd) || !watch (client, client->process.pidfd))
        kill_helper (client);
}

/* The chunk over its limit, or those that wait for the program or shared input that is. */
static bool took_too_long (const pxi_device_client *client, const pxi_device_place *place)
{
    uint64_t id = client->timed_out;
    return id && (place->id == id || place->run.program == id || pxi_device_uses (place, id));
}

static void settle (pxi_device_client *client, int code)
{
    char text[PX_WHY_SIZE];
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++) {
        pxi_device_place *place = &client->places[i];
        if (place->state != PXI_DEVICE_SLOT_SENT)
            continue;
        bool innocent = client->timed_out || code == PXI_DEVICE_EXIT_FAILED;
        if (client->convicted)
            pxi_device_end (client, place, PX_ESTATE, client->reason);
        else if (took_too_long (client, place))
            pxi_device_end (client, place, PX_ETIMEOUT, client->reason);
        else if (innocent)
            pxi_device_end (client, place, PX_ELOST,
                            "the device helper was ended because of another chunk");
        else {
            const pxi_device_code *kernel = pxi_device_code_find (client, place->run.program);
            snprintf (text, sizeof text, "%.350s, in or beside kernel %.100s", client->reason,
                      kernel ? kernel->words[1] : "");
            pxi_device_end (client, place, PX_ECRASH, text);
        }
    }
}

static void quarantine (pxi_device_client *client, uint64_t now_ns)
{
    char why[PX_WHY_SIZE];
    snprintf (why, sizeof why, "%s", client->reason);
    unsigned long long seconds = client->quarantine_ns / SECOND;
    if (client->convicted)
        snprintf (client->reason, sizeof client->reason, "quarantined for %llu s: %.400s", seconds,
                  why);
    else
        snprintf (client->reason, sizeof client->reason,
                  "quarantined for %llu s after %u failures in a row, the last: %.400s", seconds,
                  client->failures, why);
    client->convicted = false;
    client->state = PXI_DEVICE_QUARANTINED;
    client->quarantined_until_ns = later (now_ns, client->quarantine_ns);
    client->quarantine_ns = later (client->quarantine_ns, client->quarantine_ns);
    end_all (client, PXI_DEVICE_SLOT_WAITING, PX_ESTATE, client->reason);
}

static void on_death (pxi_device_client *client, const char *how, int code, uint64_t now_ns)
{
    if (client->state == PXI_DEVICE_ABSENT)
        return; /* it had said why */
    if (!client->timed_out && !client->reason_is_told)
        snprintf (client->reason, sizeof client->reason, "the device helper died of %s%s", how,
                  client->was_ready ? "" : " before it was ready");
    settle (client, code);
    client->n_expected = 0;
    client->timed_out = 0;
    client->failures++;
    client->state = PXI_DEVICE_OFF;
    if (client->convicted || client->failures >= PXI_DEVICE_FAILURES_MAX)
        quarantine (client, now_ns);
}

/* Where there is a helper, all that was in it is settled at its death, as ever. */
void pxi_device_convict (pxi_device_client *client, const char *why, uint64_t now_ns)
{
    if (client->state == PXI_DEVICE_ABSENT || client->state == PXI_DEVICE_QUARANTINED)
        return;
    snprintf (client->reason, sizeof client->reason, "%.*s", PX_WHY_SIZE - 1, why);
    client->convicted = client->reason_is_told = true;
    if (client->process.pid)
        kill_helper (client);
    else
        quarantine (client, now_ns);
}

static void check_limits (pxi_device_client *client, uint64_t now_ns)
{
    if (client->state == PXI_DEVICE_STARTING && now_ns >= client->starting_until_ns) {
        client->timed_out = UINT64_MAX; /* no chunk has this id */
        snprintf (client->reason, sizeof client->reason,
                  "the device helper was not ready within %llu ms",
                  (unsigned long long)(client->config.start_ns / 1000000));
        kill_helper (client);
    } else if (client->state == PXI_DEVICE_READY && now_ns >= oldest_until_ns (client)) {
        const pxi_device_expected *oldest = &client->expected[0];
        client->timed_out = oldest->id;
        snprintf (client->reason, sizeof client->reason, "%s took longer than %llu ms",
                  oldest->kind == PXI_DEVICE_MSG_BUILD  ? "the build of a kernel"
                  : oldest->kind == PXI_DEVICE_MSG_KEEP ? "a shared input"
                                                        : "a chunk",
                  (unsigned long long)(oldest->limit_ns / 1000000));
        kill_helper (client);
    }
}

void pxi_device_step (pxi_device_client *client, uint64_t now_ns)
{
    char how[32];
    int code;
    if (client->process.pid) {
        bool died = pxi_device_process_died (&client->process); /* then all it said can be read */
        receive (client, now_ns);
        check_limits (client, now_ns);
        if (died && pxi_device_process_reap (&client->process, how, sizeof how, &code))
            on_death (client, how, code, now_ns);
    }
    if (client->state == PXI_DEVICE_QUARANTINED && now_ns >= client->quarantined_until_ns)
        client->state = PXI_DEVICE_OFF;
    if (client->state == PXI_DEVICE_OFF)
        start (client, now_ns);
    send_waiting (client, now_ns);
}
