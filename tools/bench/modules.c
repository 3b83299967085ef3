/* Whether the peers of a cluster have the modules that a run needs. Asked before the first job: a peer that
 * lacks one says so to nobody, it only never takes a task. */
#include <stdlib.h>
#include <string.h>

#include "agent/status.h"
#include "bench.h"

#define ASK_NS (2 * SECOND)

static void collect (void *context, const char *address, const char *text)
{
    json_t *status = json_loads (text, 0, NULL);
    (void)address;
    if (status)
        json_array_append_new (context, status);
}

static const char *member (const json_t *object, const char *name)
{
    const char *text = json_string_value (json_object_get (object, name));
    return text ? text : "";
}

static json_t *module_named (const json_t *status, const char *name)
{
    size_t i;
    json_t *module;
    json_array_foreach (json_object_get (status, "modules"), i, module)
    {
        if (!strcmp (member (module, "name"), name))
            return module;
    }
    return NULL;
}

/* How many peers have it; of those that have not, *without is one. */
static uint32_t count (const json_t *all, const char *own_name, const json_t *module,
                       const json_t **without)
{
    size_t i;
    const json_t *status;
    uint32_t n = 0;
    json_array_foreach (all, i, status)
    {
        const json_t *found = module_named (status, member (module, "name"));
        bool same = found && !strcmp (member (found, "digest"), member (module, "digest"));
        if (!strcmp (member (status, "name"), own_name))
            continue;
        n += same;
        if (!same)
            *without = status;
    }
    return n;
}

static bool has_module (const peers_t *peers, const json_t *all, const json_t *module)
{
    const char *name = member (module, "name"), *own_name = px_peer_name (peers->peer);
    const json_t *without = NULL;
    uint32_t n = count (all, own_name, module, &without);
    if (!without)
        return true;
    fprintf (
        stderr,
        "peer-bench %s: module %s: %s at %s has %s; %u of the cluster's peers can run its tasks. "
        "Start peers with --module and what 'peer-bench --modules' prints here: the same files "
        "on every host\n",
        peers->bench->command->name, name, member (without, "name"), member (without, "address"),
        module_named (without, name) ? "another build of it" : "none", n);
    return n > 0;
}

bool modules_are_there (const peers_t *peers)
{
    static bool known; /* every peer of a run has the same */
    const list_option *join = &peers->bench->settings.join;
    const char *addresses[LIST_MAX + 1], *own_name = px_peer_name (peers->peer);
    size_t i, k;
    json_t *module, *status;
    bool fine = true;
    if (known)
        return true;
    json_t *all = json_array ();
    memcpy (addresses, join->items, join->n * sizeof *addresses);
    addresses[join->n] = px_peer_address (peers->peer);
    const pxi_status_question question = {.addresses = addresses,
                                          .n_addresses = join->n + 1,
                                          .reach = true,
                                          .key = peers->bench->settings.key,
                                          .timeout_ns = ASK_NS,
                                          .answer = collect,
                                          .context = all};
    pxi_status_collect (&question, NULL, NULL, NULL); /* who does not answer is not complained of */
    json_array_foreach (all, i, status)
    {
        if (strcmp (member (status, "name"), own_name) != 0)
            continue;
        json_array_foreach (json_object_get (status, "modules"), k, module)
        {
            fine = has_module (peers, all, module) && fine;
        }
    }
    json_decref (all);
    known = fine;
    return fine;
}
