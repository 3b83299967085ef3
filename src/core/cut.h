/* A range while it is cut: a plan (core/chunk.h) for takers that come and go, and every chunk there has been.
 *
 * Who asks is known by its peer and device. A device is one taker, with two chunks at most; the slots of a
 * peer are as many takers as have a chunk at once, alike but each for itself. Takers are added when they ask
 * first. Where there are as many as can be, one that has nothing makes room.
 *
 * Nobody is waited for who has no chunk: he may not come back. So where no chunk is under way whoever asks
 * gets one, and who is refused will be told of an end.
 *
 * A pure state machine but for the memory of its chunks; whoever has it sees to it that one thread at a time
 * is in it. */
#ifndef PXI_CORE_CUT_H
#define PXI_CORE_CUT_H

#include "core/chunk.h"

typedef struct pxi_who {
    uint64_t peer;
    uint32_t device; /* 0 = a slot, in C */
} pxi_who;

/* What is known of one that takes. */
typedef struct pxi_who_look {
    pxi_who who;
    pxi_speed
        speed; /* as told; item_cost 0 = not known. What is measured here is believed before */
    uint64_t queue_ns; /* until it has done what it has, of others as well */
    uint64_t most;     /* indices of which a chunk fits its memory; 0 = any number */
} pxi_who_look;

typedef enum pxi_cut_state {
    PXI_CUT_AWAY, /* somebody has it */
    PXI_CUT_DONE,
    PXI_CUT_BACK, /* it did not get done, or what was done is not believed: others have it, or will */
} pxi_cut_state;

typedef struct pxi_cut_chunk {
    uint64_t begin, end;
    pxi_who who;        /* DONE: did it; else: took it */
    uint64_t expect_ns; /* from when it was taken to its end, as estimated; 0 = nothing was known */
    pxi_cut_state state;
    bool waits;         /* BACK: the plan has no room for it yet */
    uint32_t id, taker; /* in the plan */
} pxi_cut_chunk;

typedef struct pxi_cut {
    pxi_plan plan;
    struct {
        pxi_who who;
        uint32_t n_away; /* chunks */
        bool wrong;      /* gets none any more */
    } takers[PXI_TAKERS_MAX];
    uint32_t n_chunks, n_waiting, capacity;
    pxi_cut_chunk *chunks; /* in the order in which they were taken */
} pxi_cut;

/* granule 0 = 1. */
void pxi_cut_init (pxi_cut *cut, uint64_t begin, uint64_t end, uint64_t granule);
void pxi_cut_fini (pxi_cut *cut);

/* Its next chunk, as index in `chunks`. False: none now (or no memory); ask again when a chunk has ended. */
bool pxi_cut_next (pxi_cut *cut, const pxi_who_look *look, uint64_t now_ns, uint32_t *chunk);
/* Somebody has its result (not always who took it: what is late is done again by others). False: it is not
 * believed, or was not wanted any more: the result is dropped. `measured`: its time says something. */
bool pxi_cut_done (pxi_cut *cut, uint32_t chunk, const pxi_who *who, uint64_t now_ns,
                   bool measured);
/* It was not done. */
void pxi_cut_back (pxi_cut *cut, uint32_t chunk, uint64_t now_ns);
/* It computes what others do not: it gets nothing any more, and what it did is to be done again. How many chunks
 * these are. */
uint32_t pxi_cut_wrong (pxi_cut *cut, const pxi_who *who, uint64_t now_ns);

/* Indices that nobody has. */
uint64_t pxi_cut_left (const pxi_cut *cut);
/* All have their results. */
bool pxi_cut_is_done (const pxi_cut *cut);

#endif
