/* What a task costs, and whether sending it away pays: learned from what was measured, as a span that few or
 * unlike samples make wide. Pure: the time is handed in, nothing is drawn by chance, nothing allocated.
 *
 * Of a task (pxi_cost_task) run time and size of the result are kept by classes of the input's size, and what the
 * task declares is scaled by what was measured of it; which of the two is believed is the one that was wrong by
 * less. Of a peer (pxi_cost_link) the bandwidth, and how many times as long tasks take there as here.
 * Whatever is declared or measured is cut to bounds in which nothing overflows. */
#ifndef PXI_CORE_COST_H
#define PXI_CORE_COST_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PXI_COST_SIZES = 16,  /* classes of input sizes: 0, then powers of 4 */
    PXI_COST_RATIOS = 16, /* outcomes that the quality of estimates is told from */
    PXI_COST_ONE = 1024,  /* of ratios */
    PXI_COST_KNOWN = 3,   /* samples from which on an estimate may keep a subtask home */
};

/* Of a quantity: how often, its moving mean, and the mean of its distance to that. */
typedef struct pxi_cost_stat {
    uint32_t n;
    uint64_t mean, deviation;
} pxi_cost_stat;

/* What is expected: n samples behind it, 0 = nothing is known, and all the rest is 0. */
typedef struct pxi_cost_span {
    uint32_t n;
    uint64_t low, mean, high;
} pxi_cost_span;

/* What a task says of one of its inputs; 0 = nothing. */
typedef struct pxi_cost_declared {
    uint64_t work;         /* ns on an average host, or any unit in proportion to it */
    uint64_t result_bytes; /* plus one: a result of no bytes can be declared */
} pxi_cost_declared;

typedef struct pxi_cost_task {
    uint64_t module, used;
    uint32_t task;
    bool ran_here;
    bool nests; /* one of them had subtasks of its own: its time says nothing of the next */
    struct {
        pxi_cost_stat run, result;
    } sizes[PXI_COST_SIZES];
    pxi_cost_stat scale;                   /* run time over declared work, of PXI_COST_ONE */
    uint32_t results_wrong, results_right; /* declared */
    uint64_t size_bytes;                   /* of the last that was learned of */
    /* Prediction against outcome. */
    uint64_t n_told, expected_ns, real_ns, expected_bytes, real_bytes;
    uint64_t n_ratios;
    uint32_t ratios[PXI_COST_RATIOS]; /* real over expected, of PXI_COST_ONE */
} pxi_cost_task;

/* Here, or where nothing has run here: elsewhere, as long as it would have taken here. */
void pxi_cost_learn (pxi_cost_task *task, uint64_t size_bytes, pxi_cost_declared declared,
                     uint64_t run_ns, uint64_t result_bytes);
pxi_cost_span pxi_cost_run (const pxi_cost_task *task, uint64_t size_bytes,
                            pxi_cost_declared declared);
uint64_t pxi_cost_result_bytes (const pxi_cost_task *task, uint64_t size_bytes,
                                pxi_cost_declared declared);
/* What was expected, and what came of it. */
void pxi_cost_tell (pxi_cost_task *task, uint64_t expected_ns, uint64_t real_ns,
                    uint64_t expected_bytes, uint64_t real_bytes);
/* Median of real over expected, of PXI_COST_ONE; 0 = nothing was expected yet. */
uint32_t pxi_cost_quality (const pxi_cost_task *task);

typedef struct pxi_cost_link {
    uint64_t bytes_per_s; /* 0 = not known */
    uint64_t measured_ns;
    uint64_t free_ns;    /* when what was sent so far will have gone */
    pxi_cost_stat speed; /* run time there over that here, of PXI_COST_ONE */
} pxi_cost_link;

void pxi_cost_link_forget (pxi_cost_link *link);
/* So many bytes took at most so long. `alone`: nothing else was on the way. */
void pxi_cost_link_moved (pxi_cost_link *link, uint64_t now_ns, uint64_t bytes, uint64_t took_ns,
                          bool alone);
void pxi_cost_link_ran (pxi_cost_link *link, uint64_t expected_here_ns, uint64_t run_ns);
/* 0 = not known. What was measured long ago counts for more than it was: it is asked anew some time. */
uint64_t pxi_cost_link_rate (const pxi_cost_link *link, uint64_t now_ns);
/* How long so many bytes are on their way, by what is known or feared of the link. */
uint64_t pxi_cost_move_ns (const pxi_cost_link *link, uint64_t now_ns, uint64_t bytes);
/* How long something takes there that takes so long here. */
uint64_t pxi_cost_there_ns (const pxi_cost_link *link, uint64_t here_ns);
uint64_t pxi_cost_here_ns (const pxi_cost_link *link, uint64_t there_ns);
/* The samples of its speed agree: where times of a task vary widely they say little of the peer. */
bool pxi_cost_speed_sure (const pxi_cost_link *link);
/* Bytes are sent now: what comes later waits for them. */
void pxi_cost_link_send (pxi_cost_link *link, uint64_t now_ns, uint64_t bytes);

/* May this one leave? */
typedef struct pxi_cost_question {
    uint64_t now_ns, trip_ns;
    uint64_t in_bytes, out_bytes;
    pxi_cost_span run; /* here */
    uint64_t
        waited_ns; /* where nothing is known of run: tasks of the job have run here for so long at least */
    bool nests;
    uint64_t seen_ns; /* since one was seen to end here; UINT64_MAX = none was since they wait */
    uint32_t n_waiting, n_slots;          /* here, with this one */
    uint32_t n_away, slots_there;         /* of ours there already */
    uint64_t out_for_ns, out_bytes_moved; /* the oldest of them: since when, and what it moves */
} pxi_cost_question;

typedef struct pxi_cost_answer {
    bool leaves;
    bool is_try; /* one at a time: it is sent to learn how wide the link is, */
    uint64_t
        try_ns; /* unless its like still runs here in so long; UINT64_MAX = it is known not to */
    uint64_t here_ns, there_ns; /* when its result is expected, from now; UINT64_MAX = not known */
    uint64_t moves_ns;          /* of there_ns: until it is there, and back */
} pxi_cost_answer;

pxi_cost_answer pxi_cost_ask (const pxi_cost_link *link, const pxi_cost_question *question);

#endif
