/* Which devices this peer has, and what becomes of them. They are looked for when the peer opens: by a
 * process, since drivers crash while they look, and beside everything else where all of them are wanted;
 * who wants particular ones waits for the answer, since a name that there is not is an error of his.
 *
 * A device that was found is told to the core at once. Its helper starts with the first chunk: most peers
 * never get one, and an open device takes memory and seconds of some drivers. */
#include "agent/devices.h"

#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

#define SEARCH_NS (60 * PXI_SECOND) /* drivers of GPUs take seconds, on a busy host many */

/* ---- which ones -------------------------------------------------------------------------------
 */

static bool is_all (const char *list)
{
    return strcmp (list, "all") == 0;
}

/* An index, or a part of the name. */
static bool is_named (const pxi_device_info *info, const char *item)
{
    if (item[strspn (item, "0123456789")] != '\0')
        return strcasestr (info->name, item) != NULL;
    char index[16];
    snprintf (index, sizeof index, "%u", info->index);
    return strcmp (index, item) == 0;
}

static px_err no_such (const pxi_device_finder *finder, const char *item, char *why)
{
    char all[320] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < finder->n_devices && at < sizeof all; i++)
        at += (size_t)snprintf (all + at, sizeof all - at, "%s%u (%s)", i ? ", " : "",
                                finder->devices[i].index, finder->devices[i].name);
    if (finder->n_devices)
        return pxi_fail (PX_EINVAL, why, "no device '%.64s': this host has %s", item, all);
    return pxi_fail (PX_EINVAL, why, "no device '%.64s': %.400s", item, finder->reason);
}

/* chosen[i]: the list wants finder->devices[i]. */
static px_err choose (const pxi_device_finder *finder, const char *list, bool *chosen, char *why)
{
    char *copy = strdup (list), *rest = copy, *item;
    if (!copy)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    px_err err = PX_OK;
    while (err == PX_OK && (item = strsep (&rest, ","))) {
        bool found = false;
        for (uint32_t i = 0; *item && i < finder->n_devices; i++) {
            bool named = is_named (&finder->devices[i], item);
            chosen[i] |= named;
            found |= named;
        }
        if (!found)
            err = no_such (finder, item, why);
    }
    free (copy);
    return err;
}

/* ---- adding -----------------------------------------------------------------------------------
 */

static pxi_device_program_config helper_config (const pxi_agent *agent)
{
    return (pxi_device_program_config){.program = agent->config.device_helper,
                                       .threads = agent->config.slots};
}

static void device_free (pxi_agent_device *device)
{
    pxi_device_client_free (&device->client);
    free (device);
}

static bool add_device (pxi_agent *agent, const pxi_device_info *info)
{
    pxi_devices *devices = agent->devices;
    pxi_agent_device *device = calloc (1, sizeof *device);
    if (!device)
        return false;
    pxi_device_client_config config = pxi_device_client_config_default ();
    config.program = helper_config (agent);
    config.device = info->index;
    device->info = *info;
    device->number = devices->n + 1;
    device->watch = (pxi_watch){.kind = PXI_WATCH_DEVICE, .device = device};
    device->client = pxi_device_client_new (&config);
    pxi_list_init (&device->waiting);
    pxi_list_init (&device->running);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &device->watch};
    if (!device->client ||
        epoll_ctl (agent->epoll_fd, EPOLL_CTL_ADD, pxi_device_fd (device->client), &event) != 0) {
        device_free (device);
        return false;
    }
    devices->all[devices->n++] = device;
    pxi_log (&agent->log, PX_LOG_INFO, "device", "device %u: %s (%s)", info->index, info->name,
             info->platform);
    return true;
}

static px_err add_all (pxi_agent *agent, const char *list, char *why)
{
    const pxi_device_finder *finder = &agent->devices->finder;
    bool chosen[PXI_HOST_DEVICES_MAX] = {false};
    px_err err = is_all (list) ? PX_OK : choose (finder, list, chosen, why);
    for (uint32_t i = 0; err == PX_OK && i < finder->n_devices; i++) {
        if ((chosen[i] || is_all (list)) && !add_device (agent, &finder->devices[i]))
            err = pxi_fail (PX_ENOMEM, why, "no memory or descriptors for devices");
    }
    return err;
}

/* ---- finding ----------------------------------------------------------------------------------
 */

static void say_none (pxi_agent *agent, const char *reason)
{
    snprintf (agent->devices->why, sizeof agent->devices->why, "%s", reason);
    pxi_log (&agent->log, PX_LOG_NOTICE, "device", "no devices, everything runs in C: %s", reason);
}

static void finder_start (pxi_agent *agent)
{
    pxi_device_program_config config = helper_config (agent);
    pxi_device_finder_start (&agent->devices->finder, &config, pxi_clock_ns (), SEARCH_NS);
}

static void begin_search (pxi_agent *agent)
{
    pxi_devices *devices = agent->devices;
    finder_start (agent);
    devices->search = PXI_SEARCH_UNDER_WAY;
    devices->finder_watch = (pxi_watch){.kind = PXI_WATCH_DEVICE};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &devices->finder_watch};
    if (!devices->finder.done)
        epoll_ctl (agent->epoll_fd, EPOLL_CTL_ADD, devices->finder.process.fd, &event);
}

/* Of all there are. */
static void end_search (pxi_agent *agent)
{
    pxi_devices *devices = agent->devices;
    char why[PX_WHY_SIZE] = "";
    devices->search = PXI_SEARCH_DONE;
    add_all (agent, "all", why);
    if (!devices->n)
        say_none (agent, why[0] ? why : devices->finder.reason);
}

static px_err find_listed (pxi_agent *agent, char *why)
{
    pxi_device_finder *finder = &agent->devices->finder;
    finder_start (agent);
    while (!finder->done) {
        struct pollfd fd = {.fd = finder->process.fd, .events = POLLIN};
        poll (&fd, 1, 1000);
        pxi_device_finder_step (finder, pxi_clock_ns ());
    }
    return add_all (agent, agent->config.devices, why);
}

px_err pxi_devices_open (pxi_agent *agent, char *why)
{
    if (!agent->config.devices)
        return PX_OK;
    pxi_devices *devices = calloc (1, sizeof *devices);
    if (!devices)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    agent->devices = devices;
    if (!is_all (agent->config.devices))
        return find_listed (agent, why);
    devices->search = PXI_SEARCH_WANTED;
    return PX_OK;
}

/* ---- what the core knows ----------------------------------------------------------------------
 */

/* What is there at once fits, when no part of it is more than an object may have. */
static uint64_t memory_of (const pxi_agent_device *device)
{
    const pxi_device_info *now = pxi_device_client_info (device->client);
    const pxi_device_info *info = now->memory_size ? now : &device->info;
    uint64_t parts = info->alloc_size_max ? 2 * info->alloc_size_max : UINT64_MAX;
    return info->memory_size < parts ? info->memory_size : parts;
}

static pxi_device_look look_of (const pxi_agent_device *device)
{
    return (pxi_device_look){
        .usable = device->told_usable,
        .slots = PXI_DEVICE_CHUNKS,
        .processor = device->info.class == PXI_DEVICE_CPU ? 0 : device->number,
        .class = device->info.class,
        .memory_bytes = memory_of (device),
    };
}

static bool tell_core (pxi_agent *agent)
{
    pxi_devices *devices = agent->devices;
    pxi_device_look looks[PXI_HOST_DEVICES_MAX];
    bool changed = false;
    for (uint32_t i = 0; i < devices->n; i++) {
        pxi_agent_device *device = devices->all[i];
        bool usable = pxi_device_is_usable (device);
        if (usable != device->told_usable && (device->awake || !usable))
            pxi_log (&agent->log, usable ? PX_LOG_NOTICE : PX_LOG_WARNING, "device", "%s: %s",
                     device->info.name, usable ? "is back" : pxi_device_reason (device->client));
        changed |= usable != device->told_usable;
        device->told_usable = usable;
        looks[i] = look_of (device);
    }
    if (!changed)
        return false;
    pxi_event event = {.kind = PXI_EV_DEVICES, .devices = looks, .n_devices = devices->n};
    pxi_agent_step (agent, &event);
    return true;
}

pxi_agent_device *pxi_devices_find (const pxi_agent *agent, uint32_t number)
{
    const pxi_devices *devices = agent->devices;
    return devices && !agent->ending && number - 1 < devices->n ? devices->all[number - 1] : NULL;
}

void pxi_devices_quarantine (pxi_agent *agent, const pxi_action *action)
{
    char why[PX_WHY_SIZE];
    pxi_agent_device *device = pxi_devices_find (agent, action->device);
    if (!device)
        return;
    snprintf (why, sizeof why, "it computed what C does not, as peer %s has found",
              action->peer == agent->id ? agent->name : pxi_mail_name (agent, action->peer));
    pxi_device_convict (device->client, why, pxi_clock_ns ());
    device->look = true;
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

void pxi_devices_event (const pxi_watch *watch)
{
    if (watch->device)
        watch->device->look = true;
}

/* A time before now is as good as now. */
static uint64_t wake_of (const pxi_agent_device *device)
{
    if (device->look)
        return 0;
    uint64_t client_ns = device->awake ? pxi_device_wake_ns (device->client) : UINT64_MAX;
    uint64_t shared_ns = pxi_device_runs_wake_ns (device);
    return client_ns < shared_ns ? client_ns : shared_ns;
}

uint64_t pxi_devices_wake_ns (const pxi_agent *agent)
{
    const pxi_devices *devices = agent->devices;
    if (!devices || agent->ending)
        return UINT64_MAX;
    uint64_t first_ns = devices->search == PXI_SEARCH_WANTED      ? 0
                        : devices->search == PXI_SEARCH_UNDER_WAY ? devices->finder.deadline_ns
                                                                  : UINT64_MAX;
    for (uint32_t i = 0; i < devices->n; i++) {
        uint64_t wake_ns = wake_of (devices->all[i]);
        first_ns = wake_ns < first_ns ? wake_ns : first_ns;
    }
    return first_ns;
}

static void step (pxi_agent *agent, pxi_agent_device *device, uint64_t now_ns)
{
    if (!device->look && wake_of (device) > now_ns)
        return;
    device->look = false;
    if (device->awake)
        pxi_device_step (device->client, now_ns);
    if (pxi_device_runs_pass (agent, device, now_ns))
        agent->activity++;
}

static void search (pxi_agent *agent, uint64_t now_ns)
{
    pxi_device_finder *finder = &agent->devices->finder;
    if (agent->devices->search == PXI_SEARCH_WANTED)
        begin_search (agent);
    pxi_device_finder_step (finder, now_ns);
    if (finder->done)
        end_search (agent);
}

void pxi_devices_pass (pxi_agent *agent)
{
    pxi_devices *devices = agent->devices;
    if (!devices || agent->ending)
        return; /* what a device still has is nobody's */
    uint64_t now_ns = pxi_clock_ns ();
    if (devices->search != PXI_SEARCH_DONE)
        search (agent, now_ns);
    for (uint32_t i = 0; i < devices->n; i++)
        step (agent, devices->all[i], now_ns);
    if (tell_core (agent))
        agent->activity++;
}

/* ---- the end ----------------------------------------------------------------------------------
 */

void pxi_devices_close (pxi_agent *agent)
{
    pxi_devices *devices = agent->devices;
    if (!devices)
        return;
    for (uint32_t i = 0; i < devices->n; i++)
        pxi_device_runs_end (agent, devices->all[i]);
}

void pxi_devices_free (pxi_agent *agent)
{
    pxi_devices *devices = agent->devices;
    if (!devices)
        return;
    pxi_device_finder_end (&devices->finder);
    for (uint32_t i = 0; i < devices->n; i++)
        device_free (devices->all[i]);
    free (devices);
    agent->devices = NULL;
}
