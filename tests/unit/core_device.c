/* Devices, as one core sees them: its own, and those that others offer. */
#include "core/rank.h"
#include "core_rig.h"

enum { TASK = 3 };

static const pxi_device_look gpu = {
    .usable = true, .slots = 3, .processor = 1, .class = 1, .memory_bytes = 1 << 30};

static void tell_devices (struct rig *rig, const pxi_device_look *devices, uint32_t n)
{
    step (rig, (pxi_event){.kind = PXI_EV_DEVICES, .devices = devices, .n_devices = n});
}

static void tell_range (struct rig *rig, uint64_t n_items)
{
    step (rig, (pxi_event){.kind = PXI_EV_SURPLUS,
                           .job = {ME, 1},
                           .count = n_items > 0,
                           .task = TASK,
                           .n_items = n_items});
}

/* A root of ours is here, and its pool has used up the slots. */
static void submit (struct rig *rig)
{
    submit_with_surplus (rig, 0);
    active (rig, ME, 1, 1, 0, 1);
}

static const pxi_action *take_for (const struct rig *rig, uint32_t device)
{
    for (uint32_t i = 0; i < rig->last.n; i++) {
        const pxi_action *action = &rig->last.items[i];
        if (action->kind == PXI_DO_TAKE && action->device == device)
            return action;
    }
    return NULL;
}

static uint32_t n_takes_for (const struct rig *rig, uint32_t device)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < rig->last.n; i++)
        n += rig->last.items[i].kind == PXI_DO_TAKE && rig->last.items[i].device == device;
    return n;
}

static void hand_chunk (struct rig *rig, uint64_t token, uint64_t subtask, uint64_t n_items)
{
    pxi_taken taken = {.subtask = subtask,
                       .branch = 900,
                       .number = 60,
                       .attempt = {.key = {subtask, 0},
                                   .job = {ME, 1},
                                   .module = MODULE,
                                   .task = TASK,
                                   .size_bytes = 8,
                                   .blob = subtask,
                                   .n_items = n_items}};
    step (rig, (pxi_event){.kind = PXI_EV_TAKEN,
                           .job = {ME, 1},
                           .token = token,
                           .taken = &taken,
                           .n_taken = n_items > 0});
}

/* Devices ask, and nothing is cut for them. */
static void none_for_devices (struct rig *rig)
{
    uint64_t tokens[16];
    uint32_t n = 0;
    for (uint32_t i = 0; i < rig->last.n && n < 16; i++) {
        if (rig->last.items[i].kind == PXI_DO_TAKE && rig->last.items[i].device)
            tokens[n++] = rig->last.items[i].token;
    }
    while (n)
        step (rig, (pxi_event){.kind = PXI_EV_TAKEN, .job = {ME, 1}, .token = tokens[--n]});
}

static void done_on_device (struct rig *rig, uint64_t run, uint64_t run_ns)
{
    step (rig, (pxi_event){.kind = PXI_EV_FINISHED,
                           .run = run,
                           .result = PXI_RESULT_OK,
                           .run_ns = run_ns,
                           .blob = 60});
}

static void slot_did (struct rig *rig, uint64_t n_items, uint64_t run_ns)
{
    step (rig, (pxi_event){.kind = PXI_EV_DURATION,
                           .job = {ME, 1},
                           .task = TASK,
                           .n_items = n_items,
                           .run_ns = run_ns});
}

static pxi_core_sizes sizes_of (const struct rig *rig)
{
    pxi_core_sizes sizes;
    pxi_core_sizes_read (rig->core, &sizes);
    cr_assert_eq (sizes.device_slots_held,
                  sizes.device_slots_leased + sizes.device_slots_taking + sizes.device_runs);
    return sizes;
}

/* A trial chunk has run on device 1 and one in a slot: the device takes item_ns for an index, a slot 1,000 ns. */
static void know_both (struct rig *rig, uint64_t item_ns)
{
    for (uint64_t n = 1000; n <= 1000000; n *= 10)
        slot_did (rig, n, n * 1000);
    tell_range (rig, UINT64_C (10000000));
    hand_chunk (rig, take_for (rig, 1)->token, 40, 1000000);
    done_on_device (rig, did (rig, PXI_DO_RUN)->run, 1000000 * item_ns);
    none_for_devices (rig);
    tell_range (rig, 0);
}

/* ---- this peer's ------------------------------------------------------------------------------ */

Test (device, takes_a_chunk_while_all_slots_are_busy)
{
    struct rig rig = rig_new (1);
    tell_devices (&rig, &gpu, 1);
    submit (&rig);
    tell_range (&rig, 100000);
    cr_assert_eq (did (&rig, PXI_DO_RANGE)->count, PXI_RANK_YES, "nothing is known of anybody");
    const pxi_action *take = take_for (&rig, 1);
    cr_assert (take && take->peer == ME && take->task == TASK && !take->item_cost);
    cr_assert_eq (take->memory_bytes, 1 << 30);
    cr_assert_eq (sizes_of (&rig).device_slots_taking, 1);
    hand_chunk (&rig, take->token, 40, 50);
    const pxi_action *run = did (&rig, PXI_DO_RUN);
    cr_assert (run && run->attempt.device == 1 && run->attempt.n_items == 50);
    cr_assert_eq (sizes_of (&rig).device_runs, 1);
    cr_assert_eq (sizes_of (&rig).slots_used, 1, "no slot is used by it");
    done_on_device (&rig, run->run, 1000);
    const pxi_action *complete = did (&rig, PXI_DO_COMPLETE);
    cr_assert (complete && complete->device == 1 && complete->peer == ME);
    rig_free (&rig);
}

Test (device, a_trial_is_alone_and_what_it_says_is_told)
{
    struct rig rig = rig_new (1);
    tell_devices (&rig, &gpu, 1);
    submit (&rig);
    tell_range (&rig, 100000);
    cr_assert_eq (n_takes_for (&rig, 1), 1);
    hand_chunk (&rig, take_for (&rig, 1)->token, 40, 5000);
    uint64_t run = did (&rig, PXI_DO_RUN)->run;
    cr_assert_eq (n_takes_for (&rig, 1), 0);
    tell_range (&rig, 90000);
    cr_assert_eq (n_takes_for (&rig, 1), 0, "its trial is not over");
    done_on_device (&rig, run, 5000 * 10);
    cr_assert_eq (n_takes_for (&rig, 1), 2, "one is computed, the next is on its way");
    cr_assert_eq (take_for (&rig, 1)->item_cost >> PXI_COST_SHIFT, 10);
    rig_free (&rig);
}

Test (device, a_first_chunk_that_was_compiled_says_nothing)
{
    struct rig rig = rig_new (1);
    tell_devices (&rig, &gpu, 1);
    submit (&rig);
    tell_range (&rig, 100000);
    hand_chunk (&rig, take_for (&rig, 1)->token, 40, 50);
    step (&rig, (pxi_event){.kind = PXI_EV_FINISHED,
                            .run = did (&rig, PXI_DO_RUN)->run,
                            .result = PXI_RESULT_OK,
                            .run_ns = PXI_SECOND,
                            .first = true,
                            .blob = 60});
    cr_assert (did (&rig, PXI_DO_COMPLETE)->first);
    cr_assert_eq (n_takes_for (&rig, 1), 1, "it is on trial still");
    rig_free (&rig);
}

Test (device, what_copies_more_than_it_computes_stays_with_the_slots)
{
    struct rig rig = rig_new (1);
    tell_devices (&rig, &gpu, 1);
    submit (&rig);
    know_both (&rig, 10000);
    tell_range (&rig, 5000000);
    cr_assert_null (take_for (&rig, 1));
    rig_free (&rig);
}

/* On the processor that the slots are on only the better one works; the pool is told when that changes. */
Test (device, of_the_slots_own_processor_has_it_to_itself_where_it_is_better)
{
    struct rig rig = rig_new (4);
    pxi_device_look same = gpu;
    same.processor = 0;
    tell_devices (&rig, &same, 1);
    submit (&rig);
    know_both (&rig, 100);
    tell_range (&rig, 5000000);
    cr_assert (!did (&rig, PXI_DO_RANGE) || did (&rig, PXI_DO_RANGE)->count == PXI_RANK_NO);
    cr_assert_neq (n_takes_for (&rig, 1), 0);
    none_for_devices (&rig);
    tell_range (&rig, 4000000);
    cr_assert_null (did (&rig, PXI_DO_RANGE), "told once");
    same.usable = false;
    tell_devices (&rig, &same, 1);
    cr_assert_eq (did (&rig, PXI_DO_RANGE)->count, PXI_RANK_YES);
    rig_free (&rig);
}

/* It took nearly twice as long as four slots take, on the processor that it shared with all of them. Alone it may
 * be as fast, and has a turn; what the slots did meanwhile says nothing of them. */
Test (device, of_the_slots_own_processor_is_known_for_what_it_does_alone)
{
    struct rig rig = rig_new (4);
    pxi_device_look same = gpu;
    same.processor = 0;
    tell_devices (&rig, &same, 1);
    submit (&rig);
    active (&rig, ME, 1, 4, 0, 1);
    for (uint64_t n = 1000; n <= 1000000; n *= 10)
        slot_did (&rig, n, n * 1000);
    tell_range (&rig, UINT64_C (10000000));
    hand_chunk (&rig, take_for (&rig, 1)->token, 40, 1000000);
    uint64_t run = did (&rig, PXI_DO_RUN)->run;
    for (uint64_t n = 1000; n <= 1000000; n *= 10)
        slot_did (&rig, n, n * 2000);
    done_on_device (&rig, run, 1000000 * 480);
    cr_assert_neq (n_takes_for (&rig, 1), 0, "240 against 250 ns");
    none_for_devices (&rig);
    active (&rig, ME, 1, 0, 0, 1);
    tell_range (&rig, UINT64_C (10000000));
    hand_chunk (&rig, take_for (&rig, 1)->token, 41, 1000000);
    done_on_device (&rig, did (&rig, PXI_DO_RUN)->run, 1000000 * 480);
    none_for_devices (&rig);
    tell_range (&rig, UINT64_C (9000000));
    cr_assert_null (take_for (&rig, 1), "that was its own time: slots are better");
    rig_free (&rig);
}

/* Its kernel is compiled. The chunk that says how fast it is begins when the slots have nothing any more, or have
 * kept it waiting for 20 ms; until it has ended they take nothing new. */
static void compile_beside_slots (struct rig *rig)
{
    pxi_device_look same = gpu;
    same.processor = 0;
    tell_devices (rig, &same, 1);
    submit (rig);
    active (rig, ME, 1, 4, 0, 1);
    slot_did (rig, 1000, 1000000);
    tell_range (rig, 100000);
    hand_chunk (rig, take_for (rig, 1)->token, 40, 50);
    cr_assert_null (did (rig, PXI_DO_RANGE), "slots do not wait for the compiler");
    step (rig, (pxi_event){.kind = PXI_EV_FINISHED,
                           .run = did (rig, PXI_DO_RUN)->run,
                           .result = PXI_RESULT_OK,
                           .run_ns = PXI_SECOND,
                           .first = true,
                           .blob = 60});
    cr_assert_eq (did (rig, PXI_DO_RANGE)->count, PXI_RANK_NO);
    cr_assert_null (take_for (rig, 1), "slots have something still");
}

Test (device, of_the_slots_own_processor_is_tried_when_they_rest)
{
    struct rig rig = rig_new (4);
    compile_beside_slots (&rig);
    active (&rig, ME, 1, 1, 0, 1);
    cr_assert_null (take_for (&rig, 1));
    active (&rig, ME, 1, 0, 0, 1);
    cr_assert_eq (n_takes_for (&rig, 1), 1);
    hand_chunk (&rig, take_for (&rig, 1)->token, 41, 50);
    cr_assert_null (did (&rig, PXI_DO_RANGE));
    done_on_device (&rig, did (&rig, PXI_DO_RUN)->run, 50 * 10000);
    cr_assert_eq (did (&rig, PXI_DO_RANGE)->count, PXI_RANK_YES, "it is not for it: slots go on");
    rig_free (&rig);
}

Test (device, of_the_slots_own_processor_is_tried_beside_them_where_they_take_long)
{
    struct rig rig = rig_new (4);
    compile_beside_slots (&rig);
    advance (&rig, 19 * PXI_MS);
    cr_assert_null (take_for (&rig, 1));
    advance (&rig, PXI_MS);
    cr_assert_eq (n_takes_for (&rig, 1), 1);
    cr_assert_null (did (&rig, PXI_DO_RANGE), "they rest as long as it is tried");
    rig_free (&rig);
}

Test (device, without_any_slots_are_told_to_take_part)
{
    struct rig rig = rig_new (1);
    submit (&rig);
    tell_range (&rig, 100000);
    cr_assert_eq (did (&rig, PXI_DO_RANGE)->count, PXI_RANK_YES);
    cr_assert_eq (did (&rig, PXI_DO_RANGE)->task, TASK);
    rig_free (&rig);
}

static uint64_t run_a_trial (struct rig *rig)
{
    tell_range (rig, 100000);
    hand_chunk (rig, take_for (rig, 1)->token, 40, 50);
    return did (rig, PXI_DO_RUN)->run;
}

static void fail_on_device (struct rig *rig, uint64_t run, bool banned)
{
    step (rig, (pxi_event){.kind = PXI_EV_FINISHED,
                           .run = run,
                           .result = PXI_RESULT_LOST,
                           .device_failed = true,
                           .device_banned = banned,
                           .blob = 61,
                           .size_bytes = 9});
}

Test (device, what_fails_on_it_goes_back_with_the_reason_and_it_is_not_tried_at_once)
{
    struct rig rig = rig_new (1);
    tell_devices (&rig, &gpu, 1);
    submit (&rig);
    fail_on_device (&rig, run_a_trial (&rig), false);
    const pxi_action *back = did (&rig, PXI_DO_GIVE_BACK);
    cr_assert (back && back->blob == 61 && back->device == 1 && back->peer == ME);
    cr_assert_null (did (&rig, PXI_DO_COMPLETE));
    cr_assert_null (take_for (&rig, 1));
    cr_assert_eq (sizes_of (&rig).device_slots_held, 0);
    tell_range (&rig, 100000);
    cr_assert_null (take_for (&rig, 1));
    uint64_t before = rig.token;
    advance (&rig, PXI_SECOND);
    cr_assert_neq (rig.token, before, "after a while it is tried again");
    rig_free (&rig);
}

Test (device, what_it_will_never_do_is_not_tried_there_again)
{
    struct rig rig = rig_new (1);
    tell_devices (&rig, &gpu, 1);
    submit (&rig);
    fail_on_device (&rig, run_a_trial (&rig), true);
    uint64_t before = rig.token;
    for (int i = 0; i < 100; i++) {
        advance (&rig, PXI_SECOND);
        tell_range (&rig, 100000);
    }
    cr_assert_eq (rig.token, before);
    rig_free (&rig);
}

Test (device, that_is_wrong_is_quarantined)
{
    struct rig rig = rig_new (1);
    tell_devices (&rig, &gpu, 1);
    submit (&rig);
    tell_range (&rig, 100000);
    none_for_devices (&rig);
    step (&rig, (pxi_event){.kind = PXI_EV_DEVICE_WRONG, .peer = ME, .device = 1});
    cr_assert_eq (did (&rig, PXI_DO_QUARANTINE)->device, 1);
    tell_range (&rig, 100000);
    cr_assert_null (take_for (&rig, 1));
    step (&rig, (pxi_event){.kind = PXI_EV_DEVICE_WRONG, .peer = ME, .device = 1});
    cr_assert_null (did (&rig, PXI_DO_QUARANTINE), "told once");
    step (&rig, (pxi_event){.kind = PXI_EV_DEVICE_WRONG, .peer = ME, .device = 9});
    tell_range (&rig, 0);
    none_for_devices (&rig);
    tell_devices (&rig, &gpu, 1);
    tell_range (&rig, 100000);
    cr_assert_not_null (take_for (&rig, 1), "it is back");
    rig_free (&rig);
}

Test (device, a_stopped_run_holds_its_slot_until_it_has_ended)
{
    struct rig rig = rig_new (1);
    tell_devices (&rig, &gpu, 1);
    submit (&rig);
    uint64_t run = run_a_trial (&rig);
    step (&rig, (pxi_event){.kind = PXI_EV_BRANCH_CLOSED, .branch = 900});
    cr_assert_eq (did (&rig, PXI_DO_STOP)->run, run);
    cr_assert_eq (sizes_of (&rig).device_runs, 1);
    tell_range (&rig, 0);
    done_on_device (&rig, run, 1000);
    cr_assert_eq (sizes_of (&rig).device_slots_held, 0);
    rig_free (&rig);
}

/* ---- serving ---------------------------------------------------------------------------------- */

static pxi_message ask_for_device (uint64_t id, uint64_t probe)
{
    pxi_message message = probe_from (id, probe, NULL, 1);
    message.reserve = false;
    message.for_device = true;
    message.task = TASK;
    message.n_items = 100000;
    message.n_slots = 2;
    return message;
}

static void dispatch_chunk (struct rig *rig, uint64_t lease, uint64_t subtask, uint32_t device)
{
    pxi_attempt attempt = attempt_of (subtask, 1);
    attempt.task = TASK;
    attempt.device = device;
    attempt.n_items = 50;
    pxi_message dispatch = from (11, PXI_DISPATCH);
    dispatch.lease = lease;
    dispatch.attempts = &attempt;
    dispatch.n_attempts = 1;
    hear (rig, dispatch);
}

/* All slots of the peer are used: its device is free all the same. */
Test (device, is_leased_while_the_slots_are_busy)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    tell_devices (&rig, &gpu, 1);
    submit (&rig);
    hear (&rig, ask_for_device (11, 7));
    const pxi_message *offer = sent (&rig, PXI_OFFER);
    cr_assert (offer && offer->device == 1 && offer->lease && offer->n_slots == 1);
    cr_assert (offer->device_class == 1 && offer->memory_bytes == 1 << 30 && !offer->item_cost);
    cr_assert_eq (sizes_of (&rig).device_slots_leased, 1);
    cr_assert_eq (sizes_of (&rig).slots_leased, 0);
    dispatch_chunk (&rig, offer->lease, 30, 1);
    const pxi_action *run = did (&rig, PXI_DO_RUN);
    cr_assert (run && run->attempt.device == 1);
    cr_assert_eq (sizes_of (&rig).device_slots_leased, 0);
    done_on_device (&rig, run->run, 500000);
    flush (&rig);
    cr_assert_eq (sent (&rig, PXI_RESULT)->results[0].device, 1);
    hear (&rig, ask_for_device (11, 8));
    cr_assert_neq (sent (&rig, PXI_OFFER)->item_cost, 0, "its speed is known now");
    cr_assert_eq (sent (&rig, PXI_OFFER)->n_slots, 2);
    rig_free (&rig);
}

Test (device, that_has_no_slot_free_is_busy)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    meet (&rig, 12);
    tell_devices (&rig, &gpu, 1);
    hear (&rig, ask_for_device (11, 7));
    hear (&rig, ask_for_device (12, 8));
    cr_assert_not_null (sent (&rig, PXI_BUSY), "one trial at a time");
    cr_assert_not (sent (&rig, PXI_BUSY)->reserve);
    cr_assert_gt (sent (&rig, PXI_BUSY)->duration_ns, 0);
    rig_free (&rig);
}

Test (device, a_lease_of_it_lapses)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    tell_devices (&rig, &gpu, 1);
    hear (&rig, ask_for_device (11, 7));
    uint64_t lease = sent (&rig, PXI_OFFER)->lease;
    advance (&rig, 2 * PXI_SECOND);
    cr_assert_eq (sizes_of (&rig).device_slots_held, 0);
    dispatch_chunk (&rig, lease, 30, 1);
    cr_assert_null (did (&rig, PXI_DO_RUN));
    cr_assert_eq (sent (&rig, PXI_RESULT)->results[0].result, PXI_RESULT_RETURNED);
    rig_free (&rig);
}

Test (device, nothing_starts_on_another_than_the_leased_one)
{
    const pxi_device_look two[] = {gpu, gpu};
    for (uint32_t device = 0; device <= 3; device++) {
        struct rig rig = rig_new (1);
        meet (&rig, 11);
        tell_devices (&rig, two, 2);
        hear (&rig, ask_for_device (11, 7));
        dispatch_chunk (&rig, sent (&rig, PXI_OFFER)->lease, 30, device);
        cr_assert_eq (did (&rig, PXI_DO_RUN) != NULL, device == 1, "%u", device);
        rig_free (&rig);
    }
}

Test (device, who_has_none_cannot)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    hear (&rig, ask_for_device (11, 7));
    cr_assert_eq (sent (&rig, PXI_CANNOT)->err, PX_ENOBODY);
    rig_free (&rig);
}

Test (device, a_run_that_fails_for_a_master_is_returned_with_the_reason)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    tell_devices (&rig, &gpu, 1);
    hear (&rig, ask_for_device (11, 7));
    dispatch_chunk (&rig, sent (&rig, PXI_OFFER)->lease, 30, 1);
    fail_on_device (&rig, did (&rig, PXI_DO_RUN)->run, true);
    flush (&rig);
    const pxi_returned *returned = &sent (&rig, PXI_RESULT)->results[0];
    cr_assert (returned->result == PXI_RESULT_RETURNED && returned->device == 1);
    cr_assert_eq (returned->blob, 61);
    hear (&rig, ask_for_device (11, 8));
    cr_assert_gt (sent (&rig, PXI_CANNOT)->duration_ns, 10 * PXI_SECOND);
    rig_free (&rig);
}

Test (device, a_master_that_is_lost_frees_it)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    tell_devices (&rig, &gpu, 1);
    hear (&rig, ask_for_device (11, 7));
    dispatch_chunk (&rig, sent (&rig, PXI_OFFER)->lease, 30, 1);
    uint64_t run = did (&rig, PXI_DO_RUN)->run;
    advance (&rig, 5 * PXI_SECOND);
    pxi_run_look look;
    cr_assert_eq (pxi_core_runs (rig.core, &look, 1), 1);
    cr_assert_eq (look.master, 0, "abandoned");
    done_on_device (&rig, run, 1000);
    cr_assert_eq (sizes_of (&rig).device_slots_held, 0);
    rig_free (&rig);
}

Test (device, a_master_that_finds_it_wrong_has_it_quarantined)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    tell_devices (&rig, &gpu, 1);
    pxi_message decline = from (11, PXI_DECLINE);
    decline.device = 1;
    hear (&rig, decline);
    const pxi_action *quarantine = did (&rig, PXI_DO_QUARANTINE);
    cr_assert (quarantine && quarantine->device == 1 && quarantine->peer == 11);
    hear (&rig, ask_for_device (11, 7));
    cr_assert_not_null (sent (&rig, PXI_CANNOT));
    rig_free (&rig);
}

/* ---- asking ----------------------------------------------------------------------------------- */

static void meet_with_devices (struct rig *rig, uint64_t id)
{
    pxi_peer_record record = record_of (id);
    record.flags = PXI_PEER_DEVICES;
    pxi_message hello = from (id, PXI_HELLO);
    hello.records = &record;
    hello.n_records = 1;
    hear (rig, hello);
}

/* The probe for a device that the last step sent; NULL = none. */
static const pxi_message *asked (const struct rig *rig)
{
    for (uint32_t i = 0; i < rig->last.n; i++) {
        const pxi_action *action = &rig->last.items[i];
        if (action->kind == PXI_DO_SEND && action->message.kind == PXI_PROBE &&
            action->message.for_device)
            return &action->message;
    }
    return NULL;
}

static void begin_asking (struct rig *rig)
{
    meet_with_devices (rig, 11);
    submit (rig);
    tell_range (rig, 100000);
    cr_assert_not_null (asked (rig));
}

static pxi_message answer_of (uint64_t id, pxi_message_kind kind, uint64_t probe)
{
    pxi_message answer = from (id, kind);
    answer.probe = probe;
    answer.job = (pxi_job_id){ME, 1};
    return answer;
}

static uint64_t offer_device (struct rig *rig, uint64_t probe)
{
    pxi_message offer = answer_of (11, PXI_OFFER, probe);
    offer.lease = 70;
    offer.n_slots = 2;
    offer.duration_ns = 50 * PXI_MS;
    offer.device = 2;
    offer.memory_bytes = 1000;
    offer.fixed_ns = 5;
    offer.item_cost = 6;
    hear (rig, offer);
    const pxi_action *take = take_for (rig, 2);
    cr_assert (take && take->peer == 11 && take->count == 2 && take->task == TASK);
    cr_assert (take->memory_bytes == 1000 && take->fixed_ns == 5 && take->item_cost == 6);
    return take->token;
}

Test (device, of_another_is_asked_for_and_gets_a_chunk_that_is_cut_for_it)
{
    struct rig rig = rig_new (1);
    begin_asking (&rig);
    const pxi_message *probe = asked (&rig);
    cr_assert (probe->to == 11 && probe->task == TASK && probe->n_items == 100000);
    cr_assert_not (probe->has_inline);
    hand_chunk (&rig, offer_device (&rig, probe->probe), 40, 5000);
    const pxi_message *dispatch = sent (&rig, PXI_DISPATCH);
    cr_assert (dispatch && dispatch->lease == 70 && dispatch->attempts[0].device == 2);
    cr_assert_eq (dispatch->attempts[0].n_items, 5000);
    hear (&rig, answer_of (11, PXI_BUSY, asked (&rig)->probe));
    tell_range (&rig, 90000);
    cr_assert_null (asked (&rig), "it is busy with what it has of us");
    pxi_returned returned = {
        .key = {40, 1}, .blob = 60, .run_ns = 1000, .device = 2, .first = true};
    hear (&rig, result_from (11, &returned));
    const pxi_action *complete = did (&rig, PXI_DO_COMPLETE);
    cr_assert (complete && complete->peer == 11 && complete->device == 2 && complete->first);
    cr_assert_not_null (asked (&rig), "at once, for the next one");
    rig_free (&rig);
}

Test (device, who_cannot_is_not_asked_for_a_while)
{
    struct rig rig = rig_new (1);
    begin_asking (&rig);
    pxi_message cannot = answer_of (11, PXI_CANNOT, asked (&rig)->probe);
    cannot.err = PX_ENOBODY;
    cannot.duration_ns = 100 * PXI_MS;
    hear (&rig, cannot);
    tell_range (&rig, 99000);
    cr_assert_null (asked (&rig));
    advance (&rig, 100 * PXI_MS - 1);
    tell_range (&rig, 98000);
    cr_assert_null (asked (&rig));
    rig.now_ns++;
    step (&rig, (pxi_event){.kind = PXI_EV_TICK});
    cr_assert_not_null (asked (&rig));
    rig_free (&rig);
}

Test (device, that_failed_a_chunk_is_not_asked_at_once_and_its_peer_is_not_paused)
{
    struct rig rig = rig_new (1);
    begin_asking (&rig);
    uint64_t probe = asked (&rig)->probe;
    nothing_left (&rig);
    hand_chunk (&rig, offer_device (&rig, probe), 40, 5000);
    pxi_returned returned = {
        .key = {40, 1}, .result = PXI_RESULT_RETURNED, .blob = 60, .device = 2};
    hear (&rig, result_from (11, &returned));
    const pxi_action *back = did (&rig, PXI_DO_GIVE_BACK);
    cr_assert (back && back->blob == 60 && back->device == 2 && back->peer == 11);
    cr_assert_null (asked (&rig));
    cr_assert_not_null (take_for (&rig, 0), "its slots are asked for all the same");
    rig_free (&rig);
}

Test (device, of_another_that_is_wrong_is_told_so_and_given_nothing)
{
    struct rig rig = rig_new (1);
    begin_asking (&rig);
    uint64_t probe = asked (&rig)->probe;
    step (&rig, (pxi_event){.kind = PXI_EV_DEVICE_WRONG, .peer = 11, .device = 2});
    cr_assert (sent (&rig, PXI_DECLINE) && sent (&rig, PXI_DECLINE)->device == 2);
    pxi_message offer = answer_of (11, PXI_OFFER, probe);
    offer.lease = 70;
    offer.n_slots = 1;
    offer.device = 2;
    hear (&rig, offer);
    cr_assert_null (take_for (&rig, 2));
    cr_assert (sent (&rig, PXI_DECLINE)->lease == 70 && sent (&rig, PXI_DECLINE)->device == 2);
    rig_free (&rig);
}

Test (device, where_nothing_is_left_to_cut_its_lease_is_given_back)
{
    struct rig rig = rig_new (1);
    begin_asking (&rig);
    hand_chunk (&rig, offer_device (&rig, asked (&rig)->probe), 40, 0);
    cr_assert_eq (sent (&rig, PXI_DECLINE)->lease, 70);
    cr_assert_null (asked (&rig), "until a chunk has ended");
    slot_did (&rig, 100, 1000);
    cr_assert_not_null (asked (&rig));
    rig_free (&rig);
}

static bool is_redone_in_a_slot (struct rig *rig)
{
    for (int i = 0; i < 100; i++) {
        rig->now_ns += 20 * PXI_MS;
        step (rig, (pxi_event){.kind = PXI_EV_TICK});
        if (did (rig, PXI_DO_RUN) && !did (rig, PXI_DO_RUN)->attempt.device)
            return true;
    }
    return false;
}

/* A chunk of a device that is late by its own measure is done again in a slot. */
Test (device, a_late_chunk_is_done_again_in_a_slot)
{
    struct rig rig = rig_new (2);
    tell_devices (&rig, &gpu, 1);
    submit (&rig);
    for (uint64_t n = 1000; n <= 1000000; n *= 10)
        slot_did (&rig, n, n * 1000);
    tell_range (&rig, 10000000);
    hand_chunk (&rig, take_for (&rig, 1)->token, 39, 500000);
    done_on_device (&rig, did (&rig, PXI_DO_RUN)->run, 500 * PXI_MS);
    hand_chunk (&rig, take_for (&rig, 1)->token, 40, 50);
    uint64_t run = did (&rig, PXI_DO_RUN)->run;
    tell_range (&rig, 0);
    active (&rig, ME, 1, 0, 0, 1);
    cr_assert (is_redone_in_a_slot (&rig));
    finish (&rig, did (&rig, PXI_DO_RUN)->run, 62);
    cr_assert_eq (did (&rig, PXI_DO_COMPLETE)->device, 0);
    cr_assert_eq (did (&rig, PXI_DO_STOP)->run, run);
    rig_free (&rig);
}

/* What compiles, or never ends, is waited for no longer than what a slot needs for it, many times over. */
Test (device, a_first_chunk_that_takes_long_is_done_again_in_a_slot)
{
    struct rig rig = rig_new (2);
    tell_devices (&rig, &gpu, 1);
    submit (&rig);
    slot_did (&rig, 1000, PXI_MS);
    slot_did (&rig, 100000, 100 * PXI_MS);
    tell_range (&rig, 10000000);
    hand_chunk (&rig, take_for (&rig, 1)->token, 40, 5000);
    cr_assert_eq (did (&rig, PXI_DO_RUN)->attempt.device, 1);
    tell_range (&rig, 0);
    active (&rig, ME, 1, 0, 0, 1);
    cr_assert (is_redone_in_a_slot (&rig));
    rig_free (&rig);
}
