/* Which devices of a peer a data-parallel task is for, learned from its chunks: by task, device and size.
 * Nothing is declared: a task that copies more than it computes is found out by its times, which have the
 * copies in them. */
#ifndef PXI_CORE_RANK_H
#define PXI_CORE_RANK_H

#include "core/chunk.h"

enum {
    PXI_RANKS_MAX = 256, /* pairs of task and device that a peer remembers */
    PXI_RANK_SIZES = 48, /* doublings of the number of items */
    PXI_RANK_LEAST =
        4, /* a device that is slower than the best by more disturbs more than it helps: it
                            uses the memory and the bus that the others wait for */
    PXI_RANK_LEAST_SLOTS =
        20,              /* the same of the slots: they need no copies, and 5 % is worth having */
    PXI_RANK_RETRY = 64, /* choices after which what was found worse is tried again: hosts change */
};

typedef struct pxi_rank_entry {
    uint64_t task, device; /* task 0 = free */
    uint64_t used;
    pxi_speed speed;
    uint64_t item_costs
        [PXI_RANK_SIZES];   /* of chunks of this size, their fixed part included; 0 = none yet */
    uint32_t n_passed_over; /* choices since it was last measured */
} pxi_rank_entry;

typedef struct pxi_rank {
    uint64_t uses;
    pxi_rank_entry entries[PXI_RANKS_MAX];
} pxi_rank;

void pxi_rank_init (pxi_rank *rank);
/* What is needed there to do it is there (its kernel is compiled): the next chunk's time says something. */
void pxi_rank_ready (pxi_rank *rank, uint64_t task, uint64_t device);
/* A chunk of n items took so long on this device (0 = a slot, in C). task is a digest, not 0. */
void pxi_rank_learn (pxi_rank *rank, uint64_t task, uint64_t device, uint64_t n, uint64_t took_ns);
/* Expected; UINT64_MAX = nothing is known. */
uint64_t pxi_rank_ns (const pxi_rank *rank, uint64_t task, uint64_t device, uint64_t n);
/* What a plan begins with; NULL = it was never there. item_cost 0 = it is ready, and was not measured yet. */
const pxi_speed *pxi_rank_speed (const pxi_rank *rank, uint64_t task, uint64_t device);

typedef enum pxi_rank_use {
    PXI_RANK_NO,
    PXI_RANK_TRIAL, /* one chunk of it, alone on its processor, then choose again */
    PXI_RANK_YES,
} pxi_rank_use;

typedef struct pxi_rank_choice {
    uint64_t device;
    uint32_t count;     /* of slots that do it; 1 for a device */
    uint32_t processor; /* those of one number are the same hardware: one of them at a time */
    pxi_rank_use use;   /* the answer */
} pxi_rank_choice;

/* For a range of n items. There is always one that is used. Ties go to the first. */
void pxi_rank_choose (pxi_rank *rank, uint64_t task, uint64_t n, pxi_rank_choice *choices,
                      uint32_t n_choices);

#endif
