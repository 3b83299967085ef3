/* What relates peers, looked for at an interval.
 *
 *   abandoned   nothing runs on for a master that gave it up, past a bound of its own unpaused time
 *   nowhere     no master goes on believing that a worker has what it has not, past a bound
 *   idle        when all is calm: no peer has nothing to do while a peer that knows it has subtasks to give
 *   views       when all has been calm: whoever is up knows the others again, directly or by hearsay
 *
 * A bound counts the time that a peer does not stand still; what a slow network still has under way comes
 * on top. */
#include <stdlib.h>
#include <string.h>

#include "sim/state.h"

enum { LOOKS_MAX = 4096, SEEN_MAX = 1 << 20 };
enum { VIEW_MIN = 6 };
enum { NOWHERE_DETECTS = 6 };   /* one exchange in two is lost: two that succeed, with 1 - 10^-9 */
#define SLACK_NS (200 * PXI_MS) /* two sweeps */
#define IDLE_NS (5 * PXI_SECOND)

void pxi_sweep_init (pxi_sim_peer *peer)
{
    pxi_map_init (&peer->unwanted, SEEN_MAX, 1);
    pxi_map_init (&peer->nowhere, SEEN_MAX, 1);
    pxi_map_init (&peer->idle_there, SEEN_MAX, 1);
    peer->idle = peer->waits = false;
}

void pxi_sweep_forget (pxi_sim_peer *peer)
{
    pxi_map_fini (&peer->unwanted);
    pxi_map_fini (&peer->nowhere);
    pxi_map_fini (&peer->idle_there);
    pxi_sweep_init (peer);
}

static uint64_t attempt_hash (uint64_t master, uint64_t worker, pxi_key key)
{
    return pxi_mix64 (master ^
                      pxi_mix64 (worker ^ pxi_mix64 (key.subtask ^ pxi_mix64 (key.attempt))));
}

/* Since when this is so, by the peer's own time, as it is noted in `still`, which replaces `seen`. Who stood
 * still gives the others the whole limit again. */
static uint64_t since_ns (const pxi_sim_peer *peer, const pxi_map *seen, pxi_map *still,
                          uint64_t key)
{
    uint64_t since = pxi_sim_peer_own_ns (peer);
    pxi_map_get (seen, key, &since);
    pxi_map_put (still, key, since);
    return since > peer->resumed_own_ns ? since : peer->resumed_own_ns;
}

static void replace (pxi_map *seen, const pxi_map *still)
{
    pxi_map_fini (seen);
    *seen = *still;
}

/* ---- abandoned -------------------------------------------------------------------------------- */

static void note_wanted (pxi_world *world, const pxi_sim_peer *peer)
{
    pxi_away_look *looks = world->away_looks;
    uint32_t n = pxi_core_away (peer->core, looks, LOOKS_MAX);
    for (uint32_t i = 0; i < n && i < LOOKS_MAX; i++)
        pxi_map_put (&world->wanted, attempt_hash (peer->id, looks[i].peer, looks[i].key), 1);
}

/* Who says old handshakes again keeps what it has given up alive by itself. */
static bool is_liar (const pxi_world *world, uint64_t id)
{
    return id - 1 < world->config.n_peers && world->config.peers[id - 1].liar != PXI_LIAR_NONE;
}

/* The limit of silence, at most one interval late, and what was under way. */
static uint64_t abandon_within_ns (const pxi_world *world)
{
    uint64_t detect_ns = world->config.core.detect_ns;
    return detect_ns + detect_ns / 6 + world->slowest_ns + SLACK_NS;
}

static void check_unwanted (pxi_world *world, pxi_sim_peer *peer, const pxi_run_look *look,
                            pxi_map *still)
{
    uint64_t gone_ns =
        pxi_sim_peer_own_ns (peer) - since_ns (peer, &peer->unwanted, still, look->run);
    if (gone_ns > abandon_within_ns (world))
        pxi_check_broken (world, peer,
                          "abandoned: s%llu.%u runs on for w%llu, which gave it up %llu ms ago",
                          (unsigned long long)look->key.subtask, look->key.attempt,
                          (unsigned long long)look->master, (unsigned long long)(gone_ns / PXI_MS));
}

/* Notes what it has for others, and looks at what nobody wants. */
static void sweep_runs (pxi_world *world, pxi_sim_peer *peer)
{
    pxi_run_look *looks = world->run_looks;
    pxi_map still;
    pxi_map_init (&still, SEEN_MAX, 1);
    uint32_t n = pxi_core_runs (peer->core, looks, LOOKS_MAX);
    for (uint32_t i = 0; i < n && i < LOOKS_MAX; i++) {
        uint64_t hash = attempt_hash (looks[i].master, peer->id, looks[i].key);
        pxi_map_put (&world->held, hash, 1);
        bool wanted = !looks[i].master || is_liar (world, looks[i].master) ||
                      pxi_map_get (&world->wanted, hash, NULL);
        pxi_sim_executor *executor = pxi_sim_peer_executor (peer, looks[i].job);
        if (!wanted && executor && pxi_virtual_runs (executor->virtual, looks[i].run))
            check_unwanted (world, peer, &looks[i], &still);
    }
    if (n <= LOOKS_MAX)
        pxi_custody_sweep (peer, looks, n);
    replace (&peer->unwanted, &still);
}

/* ---- nowhere ---------------------------------------------------------------------------------- */

static uint64_t find_out_within_ns (const pxi_world *world)
{
    return NOWHERE_DETECTS * world->config.core.detect_ns + 2 * world->slowest_ns + SLACK_NS;
}

static void check_nowhere (pxi_world *world, pxi_sim_peer *peer)
{
    pxi_away_look *looks = world->away_looks;
    pxi_map still;
    pxi_map_init (&still, SEEN_MAX, 1);
    uint32_t n = pxi_core_away (peer->core, looks, LOOKS_MAX);
    for (uint32_t i = 0; i < n && i < LOOKS_MAX; i++) {
        uint64_t hash = attempt_hash (peer->id, looks[i].peer, looks[i].key);
        if (looks[i].peer == peer->id || pxi_map_get (&world->held, hash, NULL))
            continue;
        uint64_t gone_ns =
            pxi_sim_peer_own_ns (peer) - since_ns (peer, &peer->nowhere, &still, hash);
        if (gone_ns > find_out_within_ns (world))
            pxi_check_broken (
                world, peer,
                "nowhere: w%llu has not had s%llu.%u for %llu ms, and is trusted with it",
                (unsigned long long)looks[i].peer, (unsigned long long)looks[i].key.subtask,
                looks[i].key.attempt, (unsigned long long)(gone_ns / PXI_MS));
    }
    replace (&peer->nowhere, &still);
}

/* ---- idle ------------------------------------------------------------------------------------- */

static bool full (const pxi_sim_peer *peer)
{
    pxi_core_sizes sizes = {0};
    if (peer->core)
        pxi_core_sizes_read (peer->core, &sizes);
    return sizes.attempts + sizes.runs >= peer->world->config.core.attempts_max;
}

static void see_work (pxi_sim_peer *peer)
{
    uint32_t n_takeable = 0;
    PXI_LIST_EACH (link, &peer->executors)
    {
        pxi_virtual_look look;
        pxi_virtual_read (PXI_LIST_ENTRY (link, pxi_sim_executor, in_peer)->virtual, &look);
        n_takeable += look.takeable;
    }
    bool able = peer->up && !peer->leaving && !peer->world->config.peers[peer->index].no_module;
    peer->idle = able && pxi_list_is_empty (&peer->executors) && peer->n_runs == peer->n_runs_seen;
    peer->waits = peer->up && !peer->leaving && n_takeable &&
                  !full (peer); /* else its own limit keeps them */
    peer->n_runs_seen = peer->n_runs;
}

/* Since when each that it knows to be there has been idle while its own subtasks wait. */
static void check_idle (pxi_world *world, pxi_sim_peer *owner, uint64_t bound_ns)
{
    pxi_peer_look *looks = world->peer_looks;
    pxi_map still;
    pxi_map_init (&still, SEEN_MAX, 1);
    uint32_t n = pxi_core_peers (owner->core, pxi_sim_peer_now_ns (owner), looks, PXI_VIEW_MAX);
    for (uint32_t i = 0; i < n && i < PXI_VIEW_MAX && owner->waits; i++) {
        uint64_t id = looks[i].record.id;
        if (looks[i].unresponsive || id - 1 >= world->config.n_peers || !world->peers[id - 1].idle)
            continue;
        uint64_t idle_ns =
            pxi_sim_peer_own_ns (owner) - since_ns (owner, &owner->idle_there, &still, id);
        if (idle_ns > bound_ns)
            pxi_check_broken (world, owner,
                              "idle: w%llu has had nothing to do for %llu ms, while subtasks wait",
                              (unsigned long long)id, (unsigned long long)(idle_ns / PXI_MS));
    }
    replace (&owner->idle_there, &still);
}

/* Where views are small samples, who is in reach changes all the time; and without volunteers it is chance alone
 * that finds the last idle one. */
static bool must_find_idle (const pxi_world *world)
{
    const pxi_core_config *core = &world->config.core;
    return world->calm && core->volunteers && core->view_max + 1 >= world->config.n_peers;
}

static void sweep_idle (pxi_world *world)
{
    uint64_t bound_ns = IDLE_NS + 4 * world->slowest_ns + 4 * world->config.notice_ns;
    for (uint32_t i = 0; i < world->config.n_peers; i++)
        see_work (&world->peers[i]);
    for (uint32_t i = 0; i < world->config.n_peers && must_find_idle (world); i++) {
        if (world->peers[i].up)
            check_idle (world, &world->peers[i], bound_ns);
    }
}

/* ---- all of it -------------------------------------------------------------------------------- */

static void empty (pxi_map *map)
{
    pxi_map_fini (map);
    pxi_map_init (map, 1 << 24, 1);
}

void pxi_sweep_all (pxi_world *world)
{
    for (uint32_t i = 0; i < world->config.n_peers; i++) {
        if (world->peers[i].up)
            note_wanted (world, &world->peers[i]);
    }
    for (uint32_t i = 0; i < world->config.n_peers; i++) {
        if (world->peers[i].up)
            sweep_runs (world, &world->peers[i]);
    }
    for (uint32_t i = 0; i < world->config.n_peers; i++) {
        if (world->peers[i].up)
            check_nowhere (world, &world->peers[i]);
    }
    sweep_idle (world);
    empty (&world->wanted);
    empty (&world->held);
}

/* ---- views ------------------------------------------------------------------------------------ */

static bool counts (const pxi_sim_peer *peer)
{
    return peer->up && !peer->leaving;
}

/* Marks whom this one knows, or who knows it. True: there was a new one. */
static bool spread (pxi_world *world, uint8_t *reached, uint32_t from)
{
    pxi_peer_look *looks = world->peer_looks;
    pxi_sim_peer *peer = &world->peers[from];
    bool new = false;
    uint32_t n = pxi_core_peers (peer->core, pxi_sim_peer_now_ns (peer), looks, PXI_VIEW_MAX);
    for (uint32_t i = 0; i < n && i < PXI_VIEW_MAX; i++) {
        uint64_t other = looks[i].record.id - 1;
        if (looks[i].unresponsive || other >= world->config.n_peers ||
            !counts (&world->peers[other]) || reached[from] == reached[other])
            continue;
        reached[from] = reached[other] = 1;
        new = true;
    }
    return new;
}

/* A graph of very small random samples falls apart by itself; so does one of which most peers have gone,
 * whose samples are as small then. */
static bool may_fall_apart (const pxi_world *world)
{
    uint64_t n_left = 0, n = world->config.n_peers, sample = world->config.core.view_max;
    for (uint32_t i = 0; i < n; i++)
        n_left += counts (&world->peers[i]);
    return sample < n && sample * n_left < VIEW_MIN * n;
}

void pxi_sweep_views (pxi_world *world)
{
    if (may_fall_apart (world))
        return;
    uint8_t *reached = calloc (world->config.n_peers, 1);
    PXI_ASSERT (reached);
    uint32_t first = 0;
    while (first < world->config.n_peers && !counts (&world->peers[first]))
        first++;
    if (first < world->config.n_peers)
        reached[first] = 1;
    for (bool new = true; new;) {
        new = false;
        for (uint32_t i = 0; i < world->config.n_peers; i++)
            new |= counts (&world->peers[i]) && spread (world, reached, i);
    }
    for (uint32_t i = first; i < world->config.n_peers; i++) {
        if (counts (&world->peers[i]) && !reached[i])
            pxi_check_broken (world, &world->peers[i], "views: it and w%u have lost each other",
                              first + 1);
    }
    free (reached);
}
