/* Opening a peer: everything that can be wrong with the options is found here, before anything is
 * started, and said in a sentence. The rest is the agent's. */
#include "api/peer.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "exec/barrier.h"
#include "net/key.h"
#include "net/transport.h"

enum {
    STACK_SIZE = 256 << 10,
    STACK_SIZE_MIN = 16 << 10, /* less does not hold printf () */
    SIZE_MAX_DEFAULT = 64 << 20,
    JOINS_MAX = 64, /* of one call: as many as the core asks at once */
    BRANCH_NUMBER = 64,
};
#define STACK_SIZE_MAX ((size_t)1 << 30)
#define PAYLOAD_SIZE_MAX ((size_t)1 << 30) /* what one frame may hold, with room in 32 bits */
#define DETECT_NS (2500 * PXI_MS)
#define DETECT_MIN_NS (30 * PXI_MS) /* six handshakes, of some ms each */
#define DETECT_MAX_NS (600 * PXI_SECOND)
#define JOIN_TIMEOUT_NS (3 * PXI_SECOND)

/* ---- checks -----------------------------------------------------------------------------------
 */

static px_err check_name (const char *name, char *why)
{
    size_t size = strlen (name);
    bool valid = size >= 1 && size <= PX_NAME_SIZE_MAX;
    for (size_t i = 0; i < size && valid; i++)
        valid = isascii (name[i]) && (isalnum ((unsigned char)name[i]) || strchr ("-_.", name[i]));
    if (valid)
        return PX_OK;
    return pxi_fail (PX_EINVAL, why,
                     "the name '%.64s' is not 1 to %d letters, digits, '-', '_' and '.'", name,
                     PX_NAME_SIZE_MAX);
}

static px_err check_number (const char *what, uint64_t value, uint64_t min, uint64_t max, char *why)
{
    if (value >= min && value <= max)
        return PX_OK;
    return pxi_fail (PX_EINVAL, why, "%s is %llu, not in %llu..%llu", what,
                     (unsigned long long)value, (unsigned long long)min, (unsigned long long)max);
}

static px_err check_program (const char *what, const char *path, char *why)
{
    if (!path || access (path, X_OK) == 0)
        return PX_OK;
    return pxi_fail (PX_EINVAL, why, "the %s %s cannot be started: %s", what, path,
                     strerror (errno));
}

/* Where all devices are wanted a missing program is one more reason for having none. */
static px_err check_devices (const pxi_agent_config *config, char *why)
{
    if (!config->devices)
        return PX_OK;
    if (!config->device_helper)
        return pxi_fail (PX_EINVAL, why,
                         "devices are wanted, but device_helper does not say where px_device is");
    return strcmp (config->devices, "all") == 0
               ? PX_OK
               : check_program ("device helper", config->device_helper, why);
}

static px_err check_config (const pxi_agent_config *config, char *why)
{
    px_err err = check_name (config->name, why);
    if (err == PX_OK)
        err = check_number ("slots", config->slots, 1, PXI_SLOTS_MAX, why);
    if (err == PX_OK)
        err = check_number ("detect_ns", config->detect_ns, DETECT_MIN_NS, DETECT_MAX_NS, why);
    if (err == PX_OK)
        err = check_number ("stack_size", config->stack_size, STACK_SIZE_MIN, STACK_SIZE_MAX, why);
    if (err == PX_OK)
        err = check_number ("input_size_max", config->input_size_max, 1, PAYLOAD_SIZE_MAX, why);
    if (err == PX_OK)
        err = check_number ("result_size_max", config->result_size_max, 1, PAYLOAD_SIZE_MAX, why);
    if (err == PX_OK)
        err = check_number ("log_level", (uint64_t)config->log_level, 0, PX_LOG_DEBUG, why);
    if (err == PX_OK && (config->branch_number < 0 || config->branch_number > PXI_NUMBER_MAX))
        err = pxi_fail (PX_EINVAL, why, "branch_number is %d, not in 0..%d", config->branch_number,
                        PXI_NUMBER_MAX);
    if (err == PX_OK && !(config->load_max >= 0 && isfinite (config->load_max)))
        err = pxi_fail (PX_EINVAL, why, "load_max is %g, not a load average", config->load_max);
    if (err == PX_OK)
        err = check_program ("executor", config->executor, why);
    if (err == PX_OK)
        err = check_devices (config, why);
    return err;
}

/* ---- defaults ---------------------------------------------------------------------------------
 */

/* An application built against an older header has a shorter struct. */
static px_err copy_options (const px_peer_options *given, px_peer_options *options, char *why)
{
    *options = (px_peer_options)PX_PEER_OPTIONS_INIT;
    if (!given)
        return PX_OK;
    if (given->size < offsetof (px_peer_options, slots) || given->size > 4096)
        return pxi_fail (PX_EINVAL, why,
                         "the options have size %zu: begin with PX_PEER_OPTIONS_INIT", given->size);
    memcpy (options, given, given->size < sizeof *options ? given->size : sizeof *options);
    options->size = sizeof *options;
    return PX_OK;
}

static uint32_t processors (void)
{
    cpu_set_t set;
    int n = sched_getaffinity (0, sizeof set, &set) == 0 ? CPU_COUNT (&set) : 1;
    return n > 0 && n <= PXI_SLOTS_MAX ? (uint32_t)n : 1;
}

/* Host and process say who it is to people; the rest keeps several peers of a process apart. */
static void make_name (char *name, size_t name_size)
{
    char host[256] = "";
    if (gethostname (host, sizeof host - 1) != 0 || !isalnum ((unsigned char)host[0]))
        strcpy (host, "peer");
    for (char *at = host; *at; at++) {
        if (!isalnum ((unsigned char)*at) && *at != '-')
            *at = '\0'; /* the first label only */
        if (!*at)
            break;
    }
    snprintf (name, name_size, "%.14s-%ld-%04x", host, (long)getpid (),
              (unsigned)(pxi_system_seed () & 0xffff));
}

static uint64_t or_default (uint64_t value, uint64_t fallback)
{
    return value ? value : fallback;
}

static const char *wanted_devices (const px_peer_options *options)
{
    bool none = !options->devices || strcmp (options->devices, "none") == 0;
    return none ? NULL : options->devices;
}

static pxi_agent_config make_config (const px_peer_options *options, const char *name)
{
    return (pxi_agent_config){
        .name = name,
        .listen = options->listen ? options->listen : "tcp://127.0.0.1:*",
        .executor = options->executor,
        .busy_file = options->busy_file,
        .key = options->key,
        .devices = wanted_devices (options),
        .device_helper = options->device_helper,
        .slots = options->slots ? options->slots : processors (),
        .log = options->log,
        .log_context = options->log_context,
        .log_level = options->log_level,
        .detect_ns = or_default (options->detect_ns, DETECT_NS),
        .stack_size = or_default (options->stack_size, STACK_SIZE),
        .input_size_max = or_default (options->input_size_max, SIZE_MAX_DEFAULT),
        .result_size_max = or_default (options->result_size_max, SIZE_MAX_DEFAULT),
        .load_max = options->load_max,
        .seed = or_default (options->seed, pxi_system_seed ()),
        .branch_number =
            options->branch_number == PX_NUMBER_DEFAULT ? BRANCH_NUMBER : options->branch_number,
        .branch_number_rises = options->branch_number == PX_NUMBER_DEFAULT,
        .speculation = options->speculation != 0,
        .tcp_only = options->tcp_only != 0,
    };
}

/* ---- modules ----------------------------------------------------------------------------------
 */

static px_err add_module (pxi_registry *registry, px_err err, pxi_module *module, char *why)
{
    if (err == PX_OK)
        err = pxi_registry_add (registry, &module, why);
    pxi_module_free (&module);
    return err;
}

static px_err load_modules (const px_peer_options *options, pxi_registry **registry_p, char *why)
{
    pxi_registry *registry = pxi_registry_new ();
    px_err err = registry ? PX_OK : pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    if (err == PX_OK && options->module) {
        pxi_module *module = NULL;
        err = pxi_module_compiled_in (options->module, &module, why);
        err = add_module (registry, err, module, why);
    }
    for (size_t i = 0; err == PX_OK && options->modules && options->modules[i]; i++) {
        pxi_module *module = NULL;
        err = pxi_module_load (options->modules[i], &module, why);
        err = add_module (registry, err, module, why);
    }
    if (err != PX_OK)
        pxi_registry_free (&registry);
    *registry_p = registry;
    return err;
}

/* ---- joining ----------------------------------------------------------------------------------
 */

static px_err parse_joins (const char *const *texts, pxi_address *addresses, uint32_t *n, char *why)
{
    *n = 0;
    for (; texts && texts[*n]; ++*n) {
        if (*n == JOINS_MAX)
            return pxi_fail (PX_EINVAL, why, "more than %d addresses to join", JOINS_MAX);
        px_err err = pxi_address_parse (texts[*n], &addresses[*n], why);
        if (err != PX_OK)
            return err;
    }
    return PX_OK;
}

static px_err join_all (pxi_agent *agent, const px_peer_options *options,
                        const pxi_address *addresses, uint32_t n, char *why)
{
    for (uint32_t i = 0; i < n; i++)
        pxi_agent_join (agent, &addresses[i]);
    if (!n)
        return PX_OK;
    return pxi_agent_wait_joined (agent, options->join, n,
                                  or_default (options->join_timeout_ns, JOIN_TIMEOUT_NS), why);
}

/* ---- public -----------------------------------------------------------------------------------
 */

static px_err open_agent (const px_peer_options *options, pxi_agent **agent, char *why)
{
    char name[PX_NAME_SIZE_MAX + 1];
    pxi_address addresses[JOINS_MAX];
    uint32_t n_joins;
    pxi_registry *registry = NULL;
    make_name (name, sizeof name);
    const pxi_agent_config config = make_config (options, options->name ? options->name : name);
    px_err err = check_config (&config, why);
    if (err == PX_OK)
        err = parse_joins (options->join, addresses, &n_joins, why);
    if (err == PX_OK)
        err = load_modules (options, &registry, why);
    if (err != PX_OK)
        return err;
    err = pxi_agent_new (&config, &registry, agent, why);
    pxi_registry_free (&registry);
    if (err != PX_OK)
        return err;
    err = join_all (*agent, options, addresses, n_joins, why);
    if (err != PX_OK)
        pxi_agent_close (agent, 0);
    return err;
}

px_err px_key_make (const char *path, char why[PX_WHY_SIZE])
{
    return path ? pxi_key_make (path, why) : pxi_fail (PX_EINVAL, why, "no path given");
}

px_err px_peer_open (const px_peer_options *given, px_peer **peer_p, char why[PX_WHY_SIZE])
{
    px_peer_options options;
    if (why)
        why[0] = '\0';
    if (!peer_p)
        return pxi_fail (PX_EINVAL, why, "no place for the peer given");
    px_err err = copy_options (given, &options, why);
    if (err != PX_OK)
        return err;
    px_peer *peer = calloc (1, sizeof *peer);
    if (!peer)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    /* For the pools to come: at once while the program has one thread, 6 to 14 ms (a grace period of the
     * kernel) in the middle of the first job otherwise. */
    if (!options.executor)
        pxi_barrier_register ();
    err = open_agent (&options, &peer->agent, why);
    if (err != PX_OK) {
        free (peer);
        return why && why[0] ? err : pxi_fail (err, why, "%s", px_err_text (err));
    }
    *peer_p = peer;
    return PX_OK;
}

void px_peer_close (px_peer **peer_p, uint64_t deadline_ns)
{
    px_peer *peer = peer_p ? *peer_p : NULL;
    if (!peer)
        return;
    *peer_p = NULL;
    pxi_agent_close (&peer->agent, deadline_ns);
    free (peer);
}

const char *px_peer_address (const px_peer *peer)
{
    return pxi_agent_address (peer->agent);
}

const char *px_peer_name (const px_peer *peer)
{
    return pxi_agent_name (peer->agent);
}

px_err px_peer_wait (px_peer *peer, uint32_t n_peers, uint64_t deadline_ns)
{
    return pxi_agent_wait_peers (peer->agent, n_peers, deadline_ns);
}

px_err px_peer_join (px_peer *peer, const char *address)
{
    pxi_address parsed;
    px_err err = address ? pxi_address_parse (address, &parsed, NULL) : PX_EADDRESS;
    if (err == PX_OK)
        pxi_agent_join (peer->agent, &parsed);
    return err;
}

px_err px_peer_stats (px_peer *peer, px_stats *stats)
{
    px_stats all = {0};
    size_t size = stats ? stats->size : 0;
    if (size < sizeof stats->size || size > 4096)
        return PX_EINVAL;
    pxi_agent_stats (peer->agent, &all);
    all.size = size < sizeof all ? size : sizeof all;
    memcpy (stats, &all, all.size);
    return PX_OK;
}

size_t px_peer_others (px_peer *peer, px_peer_other *others, size_t n_max)
{
    return pxi_agent_others (peer->agent, others, n_max);
}
