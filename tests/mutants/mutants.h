/* The core with one protection taken away at a time: each must turn a world red within its number of seeds.
 *
 * Included ahead of every source of the core when it is compiled for this test. In src/core such a place
 * reads PXI_MUTANT (NAME), which is a constant 0 everywhere else. */
#ifndef PX_TESTS_MUTANTS_H
#define PX_TESTS_MUTANTS_H

/*  NAME (DEVICE...: of the worlds with devices), seeds within which it must be seen, what is taken away */
#define PX_MUTANTS(X)                                                                              \
    X (FORMER_SENDER, 900, "messages of a former self are dropped")                                \
    X (FORMER_RECEIVER, 100, "messages for a former self are dropped")                             \
    X (RESTART_IGNORED, 100, "a restart ends what was shared with the former self")                \
    X (LEASE_LAPSED, 100, "under a lapsed lease only what is free starts")                         \
    X (LEASE_FOREVER, 100, "a lease lapses")                                                       \
    X (RESERVATION_FOREVER, 100, "a reservation lapses")                                           \
    X (DISPATCH_TWICE, 100, "a dispatch that comes twice starts nothing twice")                    \
    X (PROBE_TWICE, 100, "a probe that comes twice starts nothing twice")                          \
    X (RESULT_TWICE, 100, "the first result ends the other attempts")                              \
    X (RESULT_OF_FORMER_ATTEMPT, 300, "a result counts for its own attempt only")                  \
    X (RESULT_OF_WRONG_PEER, 600, "a result counts from the peer that has the attempt only")       \
    X (NUMBER_IGNORED, 100, "the branch number caps the workers of a branch")                      \
    X (BUDGET_IGNORED, 100, "speculation stays within its budget")                                 \
    X (BATCH_UNCOUNTED, 100, "each subtask of a batch counts as a worker of its branch")           \
    X (BATCH_BY_ITS_FIRST, 300, "what comes in a batch starts or goes back, each of it")           \
    X (CRASHES_FOREVER, 300, "what crashed PXI_CRASHES_MAX times is not tried again")              \
    X (CRASHERS_FORGOTTEN, 600, "what crashed a peer PXI_CRASHES_MAX times is not started there")  \
    X (CANCEL_NOT_SENT, 100, "what is no longer wanted is cancelled")                              \
    X (STOP_NOT_TOLD, 100, "a run that is stopped is told to the executor")                        \
    X (NEVER_ABANDONS, 100, "a worker abandons a silent master's attempts")                        \
    X (UNLISTED_RUNS_ON, 900, "what a handshake does not list is abandoned")                       \
    X (MISSING_IGNORED, 100, "what a worker's answer does not list is lost")                       \
    X (SHARED_NOT_AWAITED, 100, "a run waits for its shared input")                                \
    X (FETCH_ONCE, 100, "a shared input that has not come is asked for again")                     \
    X (FETCH_FOR_EACH, 100, "a shared input is asked for once, whoever waits for it")              \
    X (DEVICE_LEASE_KEPT, 100, "a lease of a device ends with its slots")                          \
    X (DEVICE_OVERBOOKED, 100, "a device has no more chunks than slots")

typedef enum px_mutant {
    PX_MUTANT_NONE,
#define PX_MUTANT_ENUM(name, seeds, what) PX_MUTANT_##name,
    PX_MUTANTS (PX_MUTANT_ENUM)
#undef PX_MUTANT_ENUM
} px_mutant;

extern px_mutant px_mutant_on;

#undef PXI_MUTANT
#define PXI_MUTANT(name) (px_mutant_on == PX_MUTANT_##name)

#endif
