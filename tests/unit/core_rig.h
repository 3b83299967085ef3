/* The core, one peer at a time: the test plays the network and the executor. */
#ifndef TESTS_UNIT_CORE_RIG_H
#define TESTS_UNIT_CORE_RIG_H

#include <criterion/criterion.h>
#include <peerexec/peer.h>
#include <string.h>

#include "core/core.h"
#include "leak.h"

enum { MODULE = 77, OTHER_MODULE = 78, ME = 1, THEM = 1000 };

struct rig {
    pxi_core *core;
    uint64_t now_ns;
    pxi_actions last;
    uint64_t token; /* of the last PXI_DO_TAKE, */
    uint32_t count; /* and how many it asked for */
};

static inline struct rig rig_new (uint32_t slots)
{
    pxi_core_config config = pxi_core_config_default ();
    config.self.id = ME;
    config.self.incarnation = 5;
    config.self.slots = (uint16_t)slots;
    config.self.n_modules = 1;
    config.self.modules[0] = MODULE;
    config.self.address = (pxi_address){.kind = 4, .port = 1};
    config.seed = 1;
    struct rig rig = {.core = pxi_core_new (&config)};
    cr_assert_not_null (rig.core);
    return rig;
}

static inline void rig_free (struct rig *rig)
{
    pxi_core_free (&rig->core);
    TEST_NO_LEAKS ();
}

static inline void step (struct rig *rig, pxi_event event)
{
    event.now_ns = rig->now_ns;
    pxi_core_step (rig->core, &event, &rig->last);
    for (uint32_t i = 0; i < rig->last.n; i++) {
        if (rig->last.items[i].kind != PXI_DO_TAKE)
            continue;
        rig->token = rig->last.items[i].token;
        rig->count = rig->last.items[i].count;
    }
}

static inline void advance (struct rig *rig, uint64_t duration_ns)
{
    uint64_t until_ns = rig->now_ns + duration_ns;
    while (pxi_core_wake_ns (rig->core) <= until_ns) {
        rig->now_ns = pxi_core_wake_ns (rig->core);
        step (rig, (pxi_event){.kind = PXI_EV_TICK});
    }
    rig->now_ns = until_ns;
}

/* The first action of the last step of this kind; NULL = none. */
static inline const pxi_action *did (const struct rig *rig, pxi_action_kind kind)
{
    for (uint32_t i = 0; i < rig->last.n; i++) {
        if (rig->last.items[i].kind == kind)
            return &rig->last.items[i];
    }
    return NULL;
}

static inline const pxi_message *sent (const struct rig *rig, pxi_message_kind kind)
{
    for (uint32_t i = 0; i < rig->last.n; i++) {
        const pxi_action *action = &rig->last.items[i];
        if (action->kind == PXI_DO_SEND && action->message.kind == kind)
            return &action->message;
    }
    return NULL;
}

static inline pxi_peer_record record_of (uint64_t id)
{
    pxi_peer_record record = {.id = id, .incarnation = 9, .slots = 1, .n_modules = 1};
    record.address = (pxi_address){.kind = 4, .port = (uint16_t)id};
    record.modules[0] = MODULE;
    record.name[0] = 'w';
    record.name[1] = (char)('0' + id % 10);
    return record;
}

static inline pxi_message from (uint64_t id, pxi_message_kind kind)
{
    return (pxi_message){
        .kind = kind, .from = id, .from_incarnation = 9, .to = ME, .to_incarnation = 5};
}

static inline pxi_message result_from (uint64_t id, const pxi_returned *returned)
{
    pxi_message message = from (id, PXI_RESULT);
    message.results = returned;
    message.n_results = 1;
    return message;
}

static inline void flush (struct rig *rig)
{
    cr_assert (pxi_core_gathers (rig->core));
    step (rig, (pxi_event){.kind = PXI_EV_FLUSH});
    cr_assert_not (pxi_core_gathers (rig->core));
}

static inline void hear (struct rig *rig, pxi_message message)
{
    step (rig, (pxi_event){.kind = PXI_EV_MESSAGE, .message = &message});
}

static inline void meet (struct rig *rig, uint64_t id)
{
    pxi_peer_record record = record_of (id);
    pxi_message hello = from (id, PXI_HELLO);
    hello.records = &record;
    hello.n_records = 1;
    hear (rig, hello);
    cr_assert_not_null (sent (rig, PXI_WELCOME));
}

static inline pxi_attempt attempt_of (uint64_t subtask, uint64_t job)
{
    return (pxi_attempt){.key = {subtask, 1},
                         .job = {THEM, job},
                         .module = MODULE,
                         .size_bytes = 8,
                         .blob = subtask};
}

static inline pxi_message probe_from (uint64_t id, uint64_t probe, const pxi_attempt *inlined,
                                      uint64_t job)
{
    pxi_message message = from (id, PXI_PROBE);
    message.probe = probe;
    message.job = (pxi_job_id){THEM, job};
    message.module = MODULE;
    message.n_slots = 1;
    message.reserve = true;
    message.has_inline = inlined != NULL;
    message.attempts = inlined;
    message.n_attempts = inlined != NULL;
    return message;
}

static inline void active (struct rig *rig, uint64_t origin, uint64_t job, uint32_t count,
                           uint32_t wanted, uint64_t runs)
{
    step (rig, (pxi_event){.kind = PXI_EV_ACTIVE,
                           .job = {origin, job},
                           .count = count,
                           .wanted = wanted,
                           .runs = runs});
}

/* A root of ours is running, with subtasks waiting. */
static inline void submit_with_surplus (struct rig *rig, uint32_t surplus)
{
    step (rig,
          (pxi_event){.kind = PXI_EV_SUBMIT,
                      .attempt = {.key = {0, 1}, .job = {ME, 1}, .module = MODULE, .blob = 500}});
    cr_assert_not_null (did (rig, PXI_DO_RUN));
    active (rig, ME, 1, 1, 0, 1);
    step (rig, (pxi_event){.kind = PXI_EV_SURPLUS, .job = {ME, 1}, .count = surplus});
}

static inline void hand_over (struct rig *rig, uint64_t token, uint64_t subtask, uint32_t number,
                              uint32_t size)
{
    pxi_taken taken = {.subtask = subtask,
                       .branch = 900,
                       .number = number,
                       .attempt = {.key = {subtask, 0},
                                   .job = {ME, 1},
                                   .module = MODULE,
                                   .size_bytes = size,
                                   .blob = subtask}};
    step (rig,
          (pxi_event){
              .kind = PXI_EV_TAKEN, .job = {ME, 1}, .token = token, .taken = &taken, .n_taken = 1});
}

/* Whatever the last step wanted to take is not there. */
static inline void nothing_left (struct rig *rig)
{
    const pxi_action *take = did (rig, PXI_DO_TAKE);
    if (take)
        step (rig, (pxi_event){.kind = PXI_EV_TAKEN, .job = {ME, 1}, .token = take->token});
}

static inline void finish (struct rig *rig, uint64_t run, uint64_t blob)
{
    step (rig,
          (pxi_event){.kind = PXI_EV_FINISHED, .run = run, .result = PXI_RESULT_OK, .blob = blob});
}

#endif
