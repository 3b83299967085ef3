/* How the range of a data-parallel branch is cut: who takes the next chunk, and how large it is.
 *
 * A taker is a slot or a device. Of each the time of a chunk is estimated as fixed + items x cost, both
 * measured, transfer included. With these it is known when all would end together; a taker gets half of
 * what it could do until then, so chunks begin large and shrink, and what the estimates are wrong by is
 * made good by later chunks. What would be less than MIN_FIXED times its fixed cost is not halved any more.
 * No chunk takes longer than the range has been open: who else will come is not known at its begin.
 * A taker that would end later with one item than the others without it gets none.
 *
 * (Guided self-scheduling: Polychronopoulos and Kuck, 1987; weighted by speed, as in weighted factoring:
 * Flynn Hummel, Schmidt, Uma and Wein, 1996.)
 *
 * A pure state machine: the time is handed in, nothing is allocated, nothing is drawn by chance. */
#ifndef PXI_CORE_CHUNK_H
#define PXI_CORE_CHUNK_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PXI_TAKERS_MAX = 64, /* of one branch: branch number and slots seen in practice */
    PXI_CHUNKS_MAX = 2 * PXI_TAKERS_MAX + 2, /* under way: one computes, one is on its way */
    PXI_COST_SHIFT = 16, /* a cost of 1 is 2^-16 ns: a device does 6e13 items a second */
};

/* What is known of a taker, or learned of a task on a device. */
typedef struct pxi_speed {
    uint64_t fixed_ns;          /* of each chunk */
    uint64_t item_cost;         /* in 2^-16 ns; 0 = nothing is known */
    uint64_t least_n, least_ns; /* the smallest chunk measured: what the fixed part is told from */
    uint64_t most_n;            /* the largest */
} pxi_speed;

/* Of two, without overflow. */
static inline uint64_t pxi_mean (uint64_t a, uint64_t b)
{
    return a / 2 + b / 2 + (a & b & 1);
}

/* n items took `took_ns`. */
void pxi_speed_learn (pxi_speed *speed, uint64_t n, uint64_t took_ns);
/* What an item cost where n took so long: at least 1. */
uint64_t pxi_speed_cost (uint64_t n, uint64_t took_ns);
/* UINT64_MAX where nothing is known. */
uint64_t pxi_speed_ns (const pxi_speed *speed, uint64_t n);

typedef struct pxi_chunk {
    uint64_t begin, end;
    uint32_t id;
    bool again; /* another taker has it as well: the first result is the result */
} pxi_chunk;

typedef struct pxi_taker {
    bool here;
    bool rests;    /* has nothing, and has not asked since: nobody leaves a chunk to it */
    uint32_t kind; /* those of one kind are alike, so the first that is measured speaks for all */
    uint64_t busy_until_ns; /* with what it has, as estimated */
    uint64_t done_ns;       /* its last chunk, */
    uint64_t took_ns;       /* and for how long it had it */
    uint64_t most;          /* items of one chunk that fit it; 0 = any number */
    uint64_t queue_ns;      /* with what others have there, as told when it asked last */
    pxi_speed told;         /* its own peer's measure, without the way there; item_cost 0 = none */
    pxi_speed speed;
} pxi_taker;

typedef struct pxi_chunk_given {
    bool here;
    uint32_t taker;
    uint32_t twin; /* id of the other attempt, PXI_CHUNKS_MAX = none */
    uint64_t begin, end;
    uint64_t given_ns, until_ns; /* as estimated; UINT64_MAX = nothing is known */
    uint64_t begin_ns;           /* as told: when others there were to have ended, */
    uint64_t told_ns;            /* and what it takes then; 0 = nothing was told */
} pxi_chunk_given;

typedef struct pxi_plan {
    uint64_t next, end; /* what nobody has taken yet */
    uint64_t granule;   /* chunks are multiples of it, but for the last */
    uint64_t n_undone;  /* items without a result */
    bool begun;
    uint64_t begun_ns; /* somebody has asked first */
    uint32_t n_takers, n_returned;
    pxi_taker takers[PXI_TAKERS_MAX];
    pxi_chunk_given given[PXI_CHUNKS_MAX];
    struct {
        uint64_t begin, end;
    } returned[2 * PXI_CHUNKS_MAX]; /* of takers that failed or left */
} pxi_plan;

/* granule 0 = 1. */
void pxi_plan_init (pxi_plan *plan, uint64_t begin, uint64_t end, uint64_t granule);
/* speed NULL = nothing is known. Its index; PXI_TAKERS_MAX = there are as many as can be. */
uint32_t pxi_plan_add (pxi_plan *plan, uint32_t kind, const pxi_speed *speed, uint64_t now_ns);
/* A taker is gone: what it had goes back. */
void pxi_plan_remove (pxi_plan *plan, uint32_t taker);
/* It gets nothing any more; what it has stays with it. */
void pxi_plan_leave (pxi_plan *plan, uint32_t taker);
/* It has nothing, and may ask for more or not. For a while it counts for when all would end. */
void pxi_plan_rests (pxi_plan *plan, uint32_t taker);
/* Another in the place of one that has nothing. */
void pxi_plan_replace (pxi_plan *plan, uint32_t taker, uint32_t kind, const pxi_speed *speed,
                       uint64_t now_ns);

/* The taker's next chunk. False: none now; ask again after the next event of the plan. A taker may ask
 * while it has one chunk under way, so that the next is there when it needs it. */
bool pxi_plan_next (pxi_plan *plan, uint32_t taker, uint64_t now_ns, pxi_chunk *chunk);
/* A chunk has its result, or has failed and goes back. False: another attempt's result was there before,
 * this one is dropped. `measured`: its time says something (no kernel was compiled in it). */
bool pxi_plan_done (pxi_plan *plan, uint32_t id, uint64_t now_ns, bool succeeded, bool measured);

/* Items that were done are not. False: there is no room, try again after the next chunk was given. */
bool pxi_plan_return (pxi_plan *plan, uint64_t begin, uint64_t end);

/* Items that nobody has. */
uint64_t pxi_plan_left (const pxi_plan *plan);

static inline bool pxi_plan_is_done (const pxi_plan *plan)
{
    return plan->n_undone == 0;
}

#endif
