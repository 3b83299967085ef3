/* Open addressing with linear probing, at most 3/4 full. Removal shifts the following entries back
 * (Knuth, TAOCP 6.4, algorithm R), so there are no tombstones and lookups do not slow with age.
 * Invariant: from an entry's home slot to its own there is no free slot. */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/prng.h"

enum { SLOTS_MIN = 16, ENTRIES_MAX = 1 << 30 };

struct pxi_map_slot {
    uint64_t key;
    uint64_t value;
};

static uint32_t home_of (const pxi_map *map, uint64_t key)
{
    return (uint32_t)pxi_mix64 (key ^ map->seed) & (map->n_slots - 1);
}

/* The key's slot, or the free one where it would go. */
static uint32_t find (const pxi_map *map, uint64_t key)
{
    PXI_ASSERT (map->n_entries < map->n_slots);
    uint32_t at = home_of (map, key);
    while (map->used[at] && map->slots[at].key != key)
        at = (at + 1) & (map->n_slots - 1);
    return at;
}

static bool rebuild (pxi_map *map, uint32_t n_slots)
{
    /* The largest, 2^31 slots of 17 bytes, fits size_t on 64 bits. */
    struct pxi_map_slot *slots = calloc (n_slots, sizeof *slots + 1);
    if (!slots)
        return false;
    pxi_map old = *map;
    map->slots = slots;
    map->used = (uint8_t *)(slots + n_slots);
    map->n_slots = n_slots;
    map->n_entries = 0;
    for (uint32_t i = 0; i < old.n_slots; i++) {
        if (!old.used[i])
            continue;
        uint32_t at = find (map, old.slots[i].key);
        map->slots[at] = old.slots[i];
        map->used[at] = 1;
        map->n_entries++;
    }
    PXI_ASSERT (map->n_entries == old.n_entries);
    free (old.slots);
    return true;
}

void pxi_map_init (pxi_map *map, uint32_t n_max, uint64_t seed)
{
    PXI_ASSERT (n_max > 0);
    PXI_ASSERT (n_max <= ENTRIES_MAX);
    *map = (pxi_map){.n_max = n_max, .seed = pxi_mix64 (seed)};
}

void pxi_map_fini (pxi_map *map)
{
    free (map->slots);
    map->slots = NULL;
    map->used = NULL;
    map->n_slots = map->n_entries = 0;
}

bool pxi_map_put (pxi_map *map, uint64_t key, uint64_t value)
{
    if (map->n_slots) {
        uint32_t at = find (map, key);
        if (map->used[at]) {
            map->slots[at].value = value;
            return true;
        }
    }
    if (map->n_entries == map->n_max)
        return false;
    if ((uint64_t)(map->n_entries + 1) * 4 > (uint64_t)map->n_slots * 3 &&
        !rebuild (map, map->n_slots ? map->n_slots * 2 : SLOTS_MIN))
        return false;
    uint32_t at = find (map, key);
    map->slots[at] = (struct pxi_map_slot){key, value};
    map->used[at] = 1;
    map->n_entries++;
    return true;
}

bool pxi_map_put_pointer (pxi_map *map, uint64_t key, void *pointer)
{
    PXI_ASSERT (pointer != NULL);
    return pxi_map_put (map, key, (uint64_t)(uintptr_t)pointer);
}

bool pxi_map_get (const pxi_map *map, uint64_t key, uint64_t *value)
{
    if (map->n_entries == 0)
        return false;
    uint32_t at = find (map, key);
    if (!map->used[at])
        return false;
    if (value)
        *value = map->slots[at].value;
    return true;
}

void *pxi_map_pointer (const pxi_map *map, uint64_t key)
{
    uint64_t value = 0;
    return pxi_map_get (map, key, &value) ? (void *)(uintptr_t)value : NULL;
}

void pxi_map_prefetch (const pxi_map *map, uint64_t key)
{
    if (map->n_entries == 0)
        return;
    uint32_t at = home_of (map, key);
    __builtin_prefetch (&map->used[at]);
    __builtin_prefetch (&map->slots[at]);
}

/* Close the gap at `gap`: move back each following entry whose home is not between the gap and it.
 */
static void close_gap (pxi_map *map, uint32_t gap)
{
    uint32_t mask = map->n_slots - 1;
    for (uint32_t at = (gap + 1) & mask; map->used[at]; at = (at + 1) & mask) {
        uint32_t home = home_of (map, map->slots[at].key);
        if (((at - home) & mask) < ((at - gap) & mask))
            continue;
        map->slots[gap] = map->slots[at];
        gap = at;
    }
    map->used[gap] = 0;
}

bool pxi_map_remove (pxi_map *map, uint64_t key, uint64_t *value)
{
    if (map->n_entries == 0)
        return false;
    uint32_t at = find (map, key);
    if (!map->used[at])
        return false;
    if (value)
        *value = map->slots[at].value;
    close_gap (map, at);
    map->n_entries--;
    return true;
}

void *pxi_map_remove_pointer (pxi_map *map, uint64_t key)
{
    uint64_t value = 0;
    return pxi_map_remove (map, key, &value) ? (void *)(uintptr_t)value : NULL;
}
