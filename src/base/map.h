/* A map from uint64 keys to uint64 values or pointers. Grows up to a stated maximum; any key is
 * fine, 0 included. There is no iteration on purpose: its order would depend on the hash, and
 * decisions must not. Keep a list beside the map where all entries must be walked. One thread. */
#ifndef PXI_BASE_MAP_H
#define PXI_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pxi_map {
    struct pxi_map_slot *slots;
    uint8_t *used;    /* one per slot; behind the slots, in the same allocation */
    uint32_t n_slots; /* 0 or a power of two */
    uint32_t n_entries, n_max;
    uint64_t seed;
} pxi_map;

/* Allocates nothing: the first pxi_map_put () does. n_max in [1, 2^30]. The seed keeps strangers
 * who choose keys from choosing collisions. */
void pxi_map_init (pxi_map *map, uint32_t n_max, uint64_t seed);
void pxi_map_fini (pxi_map *map);

/* Put or replace. False when n_max other entries are inside, or out of memory: nothing has changed.
 */
bool pxi_map_put (pxi_map *map, uint64_t key, uint64_t value);
bool pxi_map_put_pointer (pxi_map *map, uint64_t key, void *pointer);
/* `value` may be NULL and is untouched where there is no such key. */
bool pxi_map_get (const pxi_map *map, uint64_t key, uint64_t *value);
/* NULL where there is no such key. */
void *pxi_map_pointer (const pxi_map *map, uint64_t key);
/* Several keys are about to be looked up: their memory may be fetched at once. */
void pxi_map_prefetch (const pxi_map *map, uint64_t key);
/* As pxi_map_get (), and the entry is gone. Never fails for lack of memory. */
bool pxi_map_remove (pxi_map *map, uint64_t key, uint64_t *value);
void *pxi_map_remove_pointer (pxi_map *map, uint64_t key);

static inline uint32_t pxi_map_size (const pxi_map *map)
{
    return map->n_entries;
}

#endif
