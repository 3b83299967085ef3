/* The core, one peer at a time: the test plays the network and the executor. */
#include "core_rig.h"

/* ---- serving ----------------------------------------------------------------------------------
 */

Test (core, a_free_peer_starts_what_rides_in_the_probe)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    pxi_attempt inlined = attempt_of (3, 1);
    hear (&rig, probe_from (11, 7, &inlined, 1));
    cr_assert_not_null (did (&rig, PXI_DO_RUN));
    cr_assert (sent (&rig, PXI_OFFER)->accepted);
    cr_assert_eq (sent (&rig, PXI_OFFER)->lease, 0);
    cr_assert_eq (did (&rig, PXI_DO_SLOTS)->count, 1);
    rig_free (&rig);
}

Test (core, a_busy_peer_keeps_a_reservation_and_offers_when_a_slot_is_free)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    meet (&rig, 12);
    pxi_attempt first = attempt_of (3, 1), second = attempt_of (4, 2);
    hear (&rig, probe_from (11, 7, &first, 1));
    uint64_t run = did (&rig, PXI_DO_RUN)->run;
    active (&rig, THEM, 1, 1, 0, 1);
    hear (&rig, probe_from (12, 8, &second, 1));
    cr_assert (sent (&rig, PXI_BUSY)->reserve);
    cr_assert_eq (did (&rig, PXI_DO_FORGET)->blob, 4, "the payload is dropped");

    active (&rig, THEM, 1, 0, 0, 1);
    step (&rig,
          (pxi_event){.kind = PXI_EV_FINISHED, .run = run, .result = PXI_RESULT_OK, .blob = 60});
    flush (&rig);
    cr_assert_eq (sent (&rig, PXI_RESULT)->to, 11);
    pxi_core_sizes sizes;
    pxi_core_sizes_read (rig.core, &sizes);
    cr_assert_eq (sizes.leases, 1, "the reservation became a lease");
    cr_assert_eq (sizes.reservations, 0);
    rig_free (&rig);
}

/* A run of subtask `subtask` for peer `id`. */
static uint64_t run_for (struct rig *rig, uint64_t id, uint64_t subtask)
{
    pxi_attempt attempt = attempt_of (subtask, 1);
    hear (rig, probe_from (id, subtask, &attempt, 1));
    return did (rig, PXI_DO_RUN)->run;
}

Test (core, results_that_come_together_go_in_one_message)
{
    struct rig rig = rig_new (3);
    meet (&rig, 11);
    uint64_t first = run_for (&rig, 11, 3), second = run_for (&rig, 11, 4);
    finish (&rig, first, 60);
    cr_assert_null (sent (&rig, PXI_RESULT));
    finish (&rig, second, 61);
    flush (&rig);
    const pxi_message *message = sent (&rig, PXI_RESULT);
    cr_assert_eq (message->n_results, 2);
    cr_assert (message->results[0].key.subtask == 3 && message->results[0].blob == 60);
    cr_assert (message->results[1].key.subtask == 4 && message->results[1].blob == 61);
    rig_free (&rig);
}

Test (core, results_for_another_master_go_in_another_message)
{
    struct rig rig = rig_new (3);
    meet (&rig, 11);
    meet (&rig, 12);
    uint64_t first = run_for (&rig, 11, 3), second = run_for (&rig, 12, 4);
    finish (&rig, first, 60);
    finish (&rig, second, 61);
    cr_assert_eq (sent (&rig, PXI_RESULT)->to, 11);
    flush (&rig);
    cr_assert_eq (sent (&rig, PXI_RESULT)->to, 12);
    rig_free (&rig);
}

/* Else he would be told that the attempt is not here, and its result with it. */
Test (core, a_handshake_finds_results_sent)
{
    struct rig rig = rig_new (3);
    meet (&rig, 11);
    uint64_t run = run_for (&rig, 11, 3);
    finish (&rig, run, 60);
    const pxi_key key = {3, 1};
    pxi_message handshake = from (11, PXI_HANDSHAKE);
    handshake.keys = &key;
    handshake.n_keys = 1;
    hear (&rig, handshake);
    cr_assert_eq (sent (&rig, PXI_RESULT)->results[0].key.subtask, 3);
    cr_assert_eq (sent (&rig, PXI_HANDSHAKE_ACK)->n_reports, 1);
    rig_free (&rig);
}

Test (core, a_large_result_does_not_wait)
{
    struct rig rig = rig_new (3);
    meet (&rig, 11);
    uint64_t run = run_for (&rig, 11, 3);
    step (&rig, (pxi_event){.kind = PXI_EV_FINISHED,
                            .run = run,
                            .result = PXI_RESULT_OK,
                            .blob = 60,
                            .size_bytes = 1000000});
    cr_assert_eq (sent (&rig, PXI_RESULT)->results[0].size_bytes, 1000000);
    cr_assert_not (pxi_core_gathers (rig.core));
    rig_free (&rig);
}

static uint64_t leased_to (struct rig *rig, uint64_t master, uint64_t probe)
{
    hear (rig, probe_from (master, probe, NULL, 1));
    cr_assert_neq (sent (rig, PXI_OFFER)->lease, 0);
    return sent (rig, PXI_OFFER)->lease;
}

static void dispatch_under (struct rig *rig, uint64_t lease)
{
    pxi_attempt late = attempt_of (3, 1);
    pxi_message dispatch = from (11, PXI_DISPATCH);
    dispatch.lease = lease;
    dispatch.attempts = &late;
    dispatch.n_attempts = 1;
    hear (rig, dispatch);
}

/* Its bytes took longer than a lease is kept: sent again they would take as long. */
Test (core, what_comes_under_a_lapsed_lease_has_a_slot_that_is_free)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    uint64_t lease = leased_to (&rig, 11, 7);
    advance (&rig, 2 * PXI_SECOND);
    dispatch_under (&rig, lease);
    cr_assert_not_null (did (&rig, PXI_DO_RUN));
    cr_assert_null (sent (&rig, PXI_RESULT));
    rig_free (&rig);
}

/* Which of a master's dispatches comes first is all the same to who holds a slot for it. */
Test (core, what_comes_under_a_lapsed_lease_has_a_slot_that_is_leased_to_its_master)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    uint64_t lease = leased_to (&rig, 11, 7);
    advance (&rig, 2 * PXI_SECOND);
    leased_to (&rig, 11, 8);
    dispatch_under (&rig, lease);
    cr_assert_not_null (did (&rig, PXI_DO_RUN));
    pxi_core_sizes sizes;
    pxi_core_sizes_read (rig.core, &sizes);
    cr_assert_eq (sizes.leases, 0);
    rig_free (&rig);
}

Test (core, nothing_starts_under_a_lapsed_lease_in_slots_of_another)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    meet (&rig, 12);
    uint64_t lease = leased_to (&rig, 11, 7);
    advance (&rig, 2 * PXI_SECOND);
    leased_to (&rig, 12, 8);
    dispatch_under (&rig, lease);
    cr_assert_null (did (&rig, PXI_DO_RUN));
    cr_assert_eq (sent (&rig, PXI_RESULT)->results[0].result, PXI_RESULT_RETURNED);
    pxi_core_sizes sizes;
    pxi_core_sizes_read (rig.core, &sizes);
    cr_assert_eq (sizes.runs, 0);
    rig_free (&rig);
}

Test (core, a_peer_without_the_module_cannot)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    pxi_message probe = probe_from (11, 7, NULL, 1);
    probe.module = OTHER_MODULE;
    hear (&rig, probe);
    cr_assert_eq (sent (&rig, PXI_CANNOT)->err, PX_ENOMODULE);
    rig_free (&rig);
}

Test (core, a_silent_master_is_given_up_and_the_slot_is_free_again)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    pxi_attempt inlined = attempt_of (3, 1);
    hear (&rig, probe_from (11, 7, &inlined, 1));
    uint64_t run = did (&rig, PXI_DO_RUN)->run;
    active (&rig, THEM, 1, 1, 0, 1);
    bool stopped = false;
    uint64_t began_ns = rig.now_ns;
    while (!stopped && rig.now_ns - began_ns < 5 * PXI_SECOND) {
        rig.now_ns = pxi_core_wake_ns (rig.core);
        step (&rig, (pxi_event){.kind = PXI_EV_TICK});
        const pxi_action *stop = did (&rig, PXI_DO_STOP);
        stopped = stop && stop->run == run;
    }
    cr_assert (stopped);
    cr_assert_leq (rig.now_ns - began_ns, 2500 * PXI_MS, "within detect_ns");
    step (&rig, (pxi_event){.kind = PXI_EV_FINISHED, .run = run, .result = PXI_RESULT_FAILED});
    cr_assert_null (sent (&rig, PXI_RESULT), "nobody waits for it");
    cr_assert_not_null (did (&rig, PXI_DO_CLOSE_JOB));
    rig_free (&rig);
}

/* Threads stop and start as the last step said. */
static void obey_slots (struct rig *rig, bool runs[2])
{
    const pxi_action *slots = did (rig, PXI_DO_SLOTS);
    if (!slots)
        return;
    uint64_t job = slots->job.number;
    runs[job - 1] = slots->count > 0;
    active (rig, THEM, job, runs[job - 1], !runs[job - 1], 1);
}

static void handshake (struct rig *rig, uint64_t master, uint64_t subtask)
{
    pxi_key key = {subtask, 1};
    pxi_message message = from (master, PXI_HANDSHAKE);
    message.keys = &key;
    message.n_keys = 1;
    message.sequence = rig->now_ns + 1;
    hear (rig, message);
    cr_assert_eq (sent (rig, PXI_HANDSHAKE_ACK)->n_reports, 1);
}

Test (core, two_jobs_on_one_slot_take_turns)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    meet (&rig, 12);
    pxi_attempt first = attempt_of (3, 1), second = attempt_of (4, 2);
    hear (&rig, probe_from (11, 7, &first, 1));
    active (&rig, THEM, 1, 1, 0, 1);
    hear (&rig, probe_from (12, 8, NULL, 2));
    cr_assert (sent (&rig, PXI_BUSY)->reserve);
    advance (&rig, 60 * PXI_MS);
    active (&rig, THEM, 1, 0, 1, 1); /* the first job yields at a task boundary */
    const pxi_message *offer = sent (&rig, PXI_OFFER);
    cr_assert_not_null (offer, "the second job gets its turn");
    pxi_message dispatch = from (12, PXI_DISPATCH);
    dispatch.lease = offer->lease;
    dispatch.attempts = &second;
    dispatch.n_attempts = 1;
    hear (&rig, dispatch);
    cr_assert_not_null (did (&rig, PXI_DO_RUN));
    active (&rig, THEM, 2, 1, 0, 1);
    bool runs[2] = {false, true};
    uint32_t had[2] = {0, 0}, changes = 0;
    for (uint32_t tick = 0; tick < 400; tick++) {
        bool before = runs[0];
        for (uint32_t change = 0; change < 2; change++)
            obey_slots (&rig, runs);
        cr_assert (runs[0] != runs[1], "the one slot is one job's");
        had[0] += runs[0];
        had[1] += runs[1];
        changes += runs[0] != before;
        meet (&rig, 11); /* the masters are alive, and still masters */
        meet (&rig, 12);
        handshake (&rig, 11, 3);
        handshake (&rig, 12, 4);
        advance (&rig, 5 * PXI_MS);
    }
    cr_assert_geq (had[0], 180, "%u and %u", had[0], had[1]);
    cr_assert_geq (had[1], 180, "%u and %u", had[0], had[1]);
    cr_assert_geq (changes, 20, "a turn is about a quantum");
    cr_assert_leq (changes, 60, "and not shorter: %u", changes);
    rig_free (&rig);
}

/* Who asks for the first time is in no view yet. */
Test (core, a_reservation_of_a_stranger_is_kept_and_its_job_has_its_turn)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    pxi_attempt first = attempt_of (3, 1);
    hear (&rig, probe_from (11, 7, &first, 1));
    active (&rig, THEM, 1, 1, 0, 1);
    advance (&rig, 1000 * PXI_MS);
    hear (&rig, probe_from (12, 8, NULL, 2));
    cr_assert (sent (&rig, PXI_BUSY)->reserve);
    cr_assert_null (did (&rig, PXI_DO_SLOTS), "who holds the slot keeps it half a quantum more");
    advance (&rig, 60 * PXI_MS);
    const pxi_action *slots = did (&rig, PXI_DO_SLOTS);
    cr_assert (slots && slots->count == 0, "then it yields");
    active (&rig, THEM, 1, 0, 1, 1);
    const pxi_message *offer = sent (&rig, PXI_OFFER);
    cr_assert (offer && offer->probe == 8);
    rig_free (&rig);
}

/* Else both would wait: the run for a slot, the new job for the run. */
Test (core, a_run_that_has_come_goes_before_a_reservation)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    pxi_attempt first = attempt_of (3, 1), more = attempt_of (4, 1);
    hear (&rig, probe_from (11, 7, &first, 1));
    active (&rig, THEM, 1, 1, 0, 1);
    advance (&rig, 1000 * PXI_MS);
    active (&rig, THEM, 1, 0, 0, 1); /* it waits for subtasks */
    hear (&rig, probe_from (11, 8, &more, 1));
    cr_assert (sent (&rig, PXI_OFFER)->accepted);
    hear (&rig, probe_from (12, 9, NULL, 2));
    cr_assert (sent (&rig, PXI_BUSY)->reserve);
    cr_assert_null (sent (&rig, PXI_OFFER), "the slot is promised");
    const pxi_action *slots = did (&rig, PXI_DO_SLOTS);
    cr_assert (!slots || slots->count > 0, "to the run");
    active (&rig, THEM, 1, 1, 0, 2);
    advance (&rig, 60 * PXI_MS);
    slots = did (&rig, PXI_DO_SLOTS);
    cr_assert (slots && slots->count == 0);
    active (&rig, THEM, 1, 0, 1, 2);
    const pxi_message *offer = sent (&rig, PXI_OFFER);
    cr_assert (offer && offer->probe == 9);
    rig_free (&rig);
}

/* Two runs of one job, of which the second waits behind the first; somebody else's job has a
 * reservation. The first ends after the duration: is the slot offered to the other? */
static bool offered_behind_a_waiting_run (uint64_t duration_ns)
{
    struct rig rig = rig_new (1);
    pxi_attempt both[2] = {attempt_of (3, 1), attempt_of (4, 1)};
    pxi_message probe = probe_from (11, 7, both, 1);
    probe.n_attempts = 2;
    meet (&rig, 11);
    meet (&rig, 12);
    hear (&rig, probe);
    uint64_t run = did (&rig, PXI_DO_RUN)->run;
    active (&rig, THEM, 1, 1, 0, 1);
    hear (&rig, probe_from (12, 8, NULL, 2));
    cr_assert (sent (&rig, PXI_BUSY)->reserve);
    advance (&rig, duration_ns);
    step (&rig, (pxi_event){.kind = PXI_EV_FINISHED, .run = run, .result = PXI_RESULT_OK});
    active (&rig, THEM, 1, 0, 0, 1);
    const pxi_message *offer = sent (&rig, PXI_OFFER);
    bool offered = offer && offer->to == 12 && offer->n_slots == 1;
    rig_free (&rig);
    return offered;
}

Test (core, a_slot_goes_to_who_is_due_although_a_run_waits_behind_others_of_its_job)
{
    cr_assert (offered_behind_a_waiting_run (200 * PXI_MS));
    cr_assert_not (offered_behind_a_waiting_run (PXI_MS), "it has just come");
}

Test (core, a_host_that_says_not_now_is_busy_without_reservation)
{
    struct rig rig = rig_new (2);
    meet (&rig, 11);
    step (&rig, (pxi_event){.kind = PXI_EV_HOST_BUSY, .flag = true});
    hear (&rig, probe_from (11, 7, NULL, 1));
    cr_assert (!sent (&rig, PXI_BUSY)->reserve);
    step (&rig, (pxi_event){.kind = PXI_EV_HOST_BUSY, .flag = false});
    hear (&rig, probe_from (11, 8, NULL, 1));
    cr_assert_not_null (sent (&rig, PXI_OFFER));
    rig_free (&rig);
}

/* ---- asking -----------------------------------------------------------------------------------
 */

Test (core, a_small_subtask_rides_in_the_probe_and_its_result_is_delivered_once)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    submit_with_surplus (&rig, 1);
    const pxi_action *take = did (&rig, PXI_DO_TAKE);
    cr_assert_not_null (take);
    hand_over (&rig, take->token, 70, 4, 100);
    const pxi_message *probe = sent (&rig, PXI_PROBE);
    cr_assert (probe->has_inline);
    pxi_message offer = from (11, PXI_OFFER);
    offer.probe = probe->probe;
    offer.accepted = true;
    hear (&rig, offer);
    const pxi_returned returned = {.key = {70, 1}, .blob = 71};
    pxi_message result = result_from (11, &returned);
    hear (&rig, result);
    cr_assert_eq (did (&rig, PXI_DO_COMPLETE)->subtask, 70);
    hear (&rig, result);
    cr_assert_null (did (&rig, PXI_DO_COMPLETE), "the second time it is late");
    cr_assert_eq (did (&rig, PXI_DO_FORGET)->blob, 71);
    rig_free (&rig);
}

Test (core, a_large_input_waits_for_a_lease)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    submit_with_surplus (&rig, 1);
    hand_over (&rig, did (&rig, PXI_DO_TAKE)->token, 70, 4, 100000);
    cr_assert_not_null (did (&rig, PXI_DO_GIVE_BACK));
    const pxi_message *probe = sent (&rig, PXI_PROBE);
    cr_assert (!probe->has_inline);
    pxi_message offer = from (11, PXI_OFFER);
    offer.probe = probe->probe;
    offer.lease = 33;
    offer.n_slots = 1;
    offer.duration_ns = PXI_SECOND;
    hear (&rig, offer);
    hand_over (&rig, did (&rig, PXI_DO_TAKE)->token, 70, 4, 100000);
    cr_assert_eq (sent (&rig, PXI_DISPATCH)->lease, 33);
    rig_free (&rig);
}

Test (core, a_busy_answer_frees_the_subtask_at_once)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    submit_with_surplus (&rig, 1);
    hand_over (&rig, did (&rig, PXI_DO_TAKE)->token, 70, 4, 100);
    pxi_message busy = from (11, PXI_BUSY);
    busy.probe = sent (&rig, PXI_PROBE)->probe;
    busy.reserve = true;
    hear (&rig, busy);
    cr_assert_eq (did (&rig, PXI_DO_GIVE_BACK)->subtask, 70);
    pxi_core_sizes sizes;
    pxi_core_sizes_read (rig.core, &sizes);
    cr_assert_eq (sizes.subtasks, 0);
    cr_assert_eq (sizes.attempts, 0);
    rig_free (&rig);
}

Test (core, the_branch_number_is_never_exceeded)
{
    struct rig rig = rig_new (1);
    for (uint64_t id = 11; id <= 16; id++)
        meet (&rig, id);
    submit_with_surplus (&rig, 100);
    uint64_t tokens[8];
    uint32_t n_tokens = 0;
    for (uint32_t i = 0; i < rig.last.n; i++) {
        if (rig.last.items[i].kind == PXI_DO_TAKE)
            tokens[n_tokens++] = rig.last.items[i].token;
    }
    cr_assert_gt (n_tokens, 2, "more is asked for than the branch may have");
    bool capped = false;
    uint32_t n_back = 0;
    for (uint32_t i = 0; i < n_tokens; i++) {
        hand_over (&rig, tokens[i], 70 + i, 2, 100);
        capped |= did (&rig, PXI_DO_CAP) && did (&rig, PXI_DO_CAP)->flag;
        n_back += did (&rig, PXI_DO_GIVE_BACK) != NULL;
    }
    cr_assert_eq (n_back, n_tokens - 2);
    pxi_away_look looks[16];
    cr_assert (capped);
    cr_assert_eq (pxi_core_away (rig.core, looks, 16), 2);
    rig_free (&rig);
}

Test (core, a_worker_that_falls_silent_loses_its_attempts)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    submit_with_surplus (&rig, 1);
    hand_over (&rig, did (&rig, PXI_DO_TAKE)->token, 70, 4, 100);
    pxi_message offer = from (11, PXI_OFFER);
    offer.probe = sent (&rig, PXI_PROBE)->probe;
    offer.accepted = true;
    hear (&rig, offer);
    uint64_t heard_ns = rig.now_ns;
    while (!did (&rig, PXI_DO_GIVE_BACK) && rig.now_ns < heard_ns + 10 * PXI_SECOND) {
        rig.now_ns = pxi_core_wake_ns (rig.core);
        step (&rig, (pxi_event){.kind = PXI_EV_TICK});
    }
    cr_assert_eq (did (&rig, PXI_DO_GIVE_BACK)->subtask, 70);
    cr_assert_leq (rig.now_ns - heard_ns, 2500 * PXI_MS);
    pxi_peer_look look;
    cr_assert_eq (pxi_core_peers (rig.core, rig.now_ns, &look, 1), 1);
    cr_assert (look.unresponsive);
    rig_free (&rig);
}

/* Neither known nor unresponsive: nobody waits for one that said that it goes. */
Test (core, a_peer_that_left_is_of_no_account_when_it_is_silent)
{
    struct rig rig = rig_new (1);
    px_stats stats;
    pxi_peer_look look = {.left = false};
    meet (&rig, 11);
    hear (&rig, from (11, PXI_LEAVE));
    pxi_core_stats (rig.core, &stats);
    cr_assert_eq (stats.peers_known, 1);
    cr_assert_eq (stats.peers_unresponsive, 0, "leaving is not silent");
    uint64_t until_ns = rig.now_ns + 60 * PXI_SECOND;
    while (!look.left && rig.now_ns < until_ns) {
        rig.now_ns = pxi_core_wake_ns (rig.core);
        step (&rig, (pxi_event){.kind = PXI_EV_TICK});
        cr_assert_eq (pxi_core_peers (rig.core, rig.now_ns, &look, 1), 1);
        cr_assert_eq (look.leaving, true);
    }
    cr_assert (look.unresponsive);
    pxi_core_stats (rig.core, &stats);
    cr_assert_eq (stats.peers_known, 0);
    cr_assert_eq (stats.peers_unresponsive, 0);
    rig_free (&rig);
}

Test (core, a_subtask_that_crashes_thrice_has_that_for_its_outcome)
{
    struct rig rig = rig_new (1);
    for (uint64_t id = 11; id <= 16; id++)
        meet (&rig, id);
    submit_with_surplus (&rig, 1);
    hand_over (&rig, did (&rig, PXI_DO_TAKE)->token, 70, 4, 100);
    pxi_message asked = *sent (&rig, PXI_PROBE);
    pxi_attempt rides = asked.attempts[0];
    nothing_left (&rig);
    uint64_t tried[3];
    for (uint32_t crash = 0; crash < 3; crash++) {
        if (crash) {
            cr_assert_not_null (sent (&rig, PXI_PROBE), "attempt %u is sent", crash + 1);
            asked = *sent (&rig, PXI_PROBE);
            rides = asked.attempts[0];
        }
        tried[crash] = asked.to;
        pxi_message offer = from (asked.to, PXI_OFFER);
        offer.probe = asked.probe;
        offer.accepted = true;
        const pxi_returned returned = {
            .key = rides.key, .result = PXI_RESULT_CRASHED, .blob = 80 + crash};
        pxi_message result = result_from (asked.to, &returned);
        hear (&rig, offer);
        hear (&rig, result);
        cr_assert_null (did (&rig, PXI_DO_GIVE_BACK), "never run where it could take us with it");
    }
    const pxi_action *complete = did (&rig, PXI_DO_COMPLETE);
    cr_assert_eq (complete->result, PXI_RESULT_CRASHED);
    cr_assert_eq (complete->blob, 82);
    cr_assert_neq (tried[0], tried[1]);
    cr_assert_neq (tried[1], tried[2]);
    rig_free (&rig);
}

/* ---- who crashed here -------------------------------------------------------------------------
 */

enum { CULPRIT = 6 };

/* The attempt comes from `master`: it is started, or said to have crashed too often. */
static pxi_action begun (struct rig *rig, uint64_t master, const pxi_attempt *spec)
{
    hear (rig, probe_from (master, spec->key.subtask, spec, spec->job.number));
    const pxi_action *run = did (rig, PXI_DO_RUN);
    cr_assert_not_null (run, "s%llu", (unsigned long long)spec->key.subtask);
    return *run;
}

static void run_ended (struct rig *rig, const pxi_action *run, pxi_result result, uint64_t digest)
{
    active (rig, run->job.origin, run->job.number, 0, 0, 1);
    step (rig, (pxi_event){.kind = PXI_EV_FINISHED,
                           .run = run->run,
                           .result = result,
                           .digest = digest,
                           .task = digest ? CULPRIT : 0});
}

static pxi_attempt attempt_with (uint64_t subtask, uint64_t digest)
{
    pxi_attempt spec = attempt_of (subtask, 1);
    spec.digest = digest;
    return spec;
}

/* As new subtasks of several masters, each of whom has not seen one crash. */
static void crash_thrice (struct rig *rig, uint64_t first, uint64_t digest, bool named)
{
    for (uint64_t i = 0; i < PXI_CRASHES_MAX; i++) {
        pxi_attempt spec = attempt_with (first + i, digest);
        pxi_action run = begun (rig, 11 + i, &spec);
        cr_assert (!run.flag, "crash %llu", (unsigned long long)i);
        run_ended (rig, &run, PXI_RESULT_CRASHED, named ? digest : 0);
    }
}

static struct rig rig_with_masters (void)
{
    struct rig rig = rig_new (1);
    for (uint64_t id = 11; id < 11 + PXI_CRASHES_MAX; id++)
        meet (&rig, id);
    return rig;
}

static bool is_started (struct rig *rig, const pxi_attempt *spec)
{
    pxi_action run = begun (rig, 11, spec);
    run_ended (rig, &run, PXI_RESULT_OK, 0);
    return !run.flag;
}

Test (core, what_crashed_a_peer_thrice_is_not_started_there_again)
{
    struct rig rig = rig_with_masters ();
    cr_assert_not (pxi_core_remembers (rig.core, (pxi_job_id){THEM, 1}));
    crash_thrice (&rig, 100, 0xabc, true);
    cr_assert (pxi_core_remembers (rig.core, (pxi_job_id){THEM, 1}));
    cr_assert_not (pxi_core_remembers (rig.core, (pxi_job_id){THEM, 2}));
    pxi_attempt again = attempt_with (110, 0xabc);
    pxi_action run = begun (&rig, 12, &again);
    cr_assert (run.flag);
    cr_assert_eq (run.culprit, CULPRIT);
    cr_assert (sent (&rig, PXI_OFFER)->accepted, "its master hears of it as of any other");
    run_ended (&rig, &run, PXI_RESULT_CRASHED, 0);
    step (&rig, (pxi_event){.kind = PXI_EV_FLUSH});
    const pxi_message *result = sent (&rig, PXI_RESULT);
    cr_assert_eq (result->to, 12);
    cr_assert_eq (result->results[0].key.subtask, 110);
    cr_assert_eq (result->results[0].result, PXI_RESULT_CRASHED);
    rig_free (&rig);
}

Test (core, what_is_not_what_crashed_is_started)
{
    struct rig rig = rig_with_masters ();
    crash_thrice (&rig, 100, 0xabc, true);
    pxi_attempt others[] = {attempt_with (110, 0xabd), attempt_with (111, 0xabc),
                            attempt_with (112, 0xabc), attempt_with (113, 0)};
    others[1].task = 1;
    others[2].job.number = 2;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        cr_assert (is_started (&rig, &others[i]), "%zu", i);
    rig_free (&rig);
}

Test (core, crashes_that_nobody_was_named_for_are_not_remembered)
{
    struct rig rig = rig_with_masters ();
    crash_thrice (&rig, 100, 0xabc, false);
    pxi_attempt again = attempt_with (110, 0xabc);
    cr_assert (is_started (&rig, &again));
    rig_free (&rig);
}

Test (core, of_those_that_crashed_the_latest_are_remembered)
{
    struct rig rig = rig_with_masters ();
    for (uint64_t i = 0; i <= PXI_CRASHERS_MAX; i++)
        crash_thrice (&rig, 1000 + 10 * i, 1 + i, true);
    for (uint64_t i = 0; i <= PXI_CRASHERS_MAX; i++) {
        pxi_attempt again = attempt_with (5000 + i, 1 + i);
        cr_assert_eq (is_started (&rig, &again), i == 0, "%llu", (unsigned long long)i);
    }
    rig_free (&rig);
}

/* Its runs have a limit of their own. */
Test (core, a_root_that_crashed_is_started_again_here)
{
    struct rig rig = rig_new (1);
    pxi_attempt root = {.key = {0, 1}, .job = {ME, 1}, .module = MODULE, .digest = 0xabc};
    step (&rig, (pxi_event){.kind = PXI_EV_SUBMIT, .attempt = root});
    for (uint32_t i = 0; i < PXI_CRASHES_MAX; i++) {
        const pxi_action run = *did (&rig, PXI_DO_RUN);
        cr_assert (run.root && !run.flag);
        step (&rig, (pxi_event){.kind = PXI_EV_FINISHED,
                                .run = run.run,
                                .result = PXI_RESULT_CRASHED,
                                .digest = root.digest});
    }
    const pxi_action *complete = did (&rig, PXI_DO_COMPLETE);
    cr_assert_eq (complete->result, PXI_RESULT_CRASHED);
    cr_assert_eq (complete->err, PX_ECRASH);
    rig_free (&rig);
}

/* ---- batches ----------------------------------------------------------------------------------
 */

enum { TRIP_US = 1000 };

typedef struct batch {
    pxi_message probe;
    pxi_attempt riding[PXI_BATCH_MAX];
} batch;

static bool asked (const struct rig *rig, batch *asked)
{
    const pxi_message *probe = sent (rig, PXI_PROBE);
    if (!probe)
        return false;
    cr_assert_leq (probe->n_attempts, PXI_BATCH_MAX);
    asked->probe = *probe;
    memcpy (asked->riding, probe->attempts, probe->n_attempts * sizeof *asked->riding);
    return true;
}

/* Whatever was asked for, as subtasks first, first + 1, ... */
static void hand_over_all (struct rig *rig, uint64_t first, uint32_t n, uint32_t number,
                           uint32_t left)
{
    pxi_taken taken[PXI_DISPATCH_MAX];
    cr_assert_leq (n, rig->count);
    for (uint32_t i = 0; i < n; i++)
        taken[i] = (pxi_taken){.subtask = first + i,
                               .branch = 900,
                               .number = number,
                               .attempt = {.key = {first + i, 0},
                                           .job = {ME, 1},
                                           .module = MODULE,
                                           .size_bytes = 8,
                                           .blob = first + i}};
    step (rig, (pxi_event){.kind = PXI_EV_TAKEN,
                           .job = {ME, 1},
                           .token = rig->token,
                           .taken = taken,
                           .n_taken = n,
                           .count = left});
}

static void accepted (struct rig *rig, const batch *which)
{
    pxi_message offer = from (which->probe.to, PXI_OFFER);
    offer.probe = which->probe.probe;
    offer.accepted = true;
    hear (rig, offer);
}

static void ended (struct rig *rig, const batch *which, uint32_t i, uint64_t run_ns)
{
    const pxi_returned returned = {.key = which->riding[i].key, .run_ns = run_ns};
    pxi_message result = result_from (which->probe.to, &returned);
    hear (rig, result);
}

/* A loop of which some subtasks have ended, a round trip away; the run times are given in turn. Another one or more are
 * asked for. */
static void learn (struct rig *rig, const uint64_t run_ns[2])
{
    batch one;
    meet (rig, 11);
    submit_with_surplus (rig, 200);
    for (uint32_t i = 0; i < 8; i++) {
        hand_over_all (rig, 70 + i, 1, 64, 200);
        cr_assert (asked (rig, &one));
        rig->now_ns += TRIP_US * (PXI_MS / 1000);
        accepted (rig, &one);
        ended (rig, &one, 0, run_ns[i % 2]);
        step (rig, (pxi_event){.kind = PXI_EV_SURPLUS, .job = {ME, 1}, .count = 200});
    }
}

static uint32_t n_away (const struct rig *rig)
{
    pxi_away_look looks[64];
    return pxi_core_away (rig->core, looks, 64);
}

/* What a worker says of an attempt that has run for so long. */
static void say_it_runs (struct rig *rig, const batch *which, uint64_t run_ns)
{
    while (!sent (rig, PXI_HANDSHAKE)) {
        rig->now_ns = pxi_core_wake_ns (rig->core);
        step (rig, (pxi_event){.kind = PXI_EV_TICK});
    }
    const pxi_report report = {.key = which->riding[0].key, .run_ns = run_ns};
    pxi_message ack = from (which->probe.to, PXI_HANDSHAKE_ACK);
    ack.sequence = sent (rig, PXI_HANDSHAKE)->sequence;
    ack.reports = &report;
    ack.n_reports = 1;
    hear (rig, ack);
}

Test (core, a_subtask_is_given_up_long_after_its_limit)
{
    struct rig rig = rig_new (1);
    batch one;
    meet (&rig, 11);
    submit_with_surplus (&rig, 1);
    pxi_taken taken = {
        .subtask = 70,
        .branch = 900,
        .number = 64,
        .limit_ns = PXI_SECOND,
        .attempt = {.key = {70, 0}, .job = {ME, 1}, .module = MODULE, .size_bytes = 8}};
    step (&rig, (pxi_event){.kind = PXI_EV_TAKEN,
                            .job = {ME, 1},
                            .token = rig.token,
                            .taken = &taken,
                            .n_taken = 1});
    cr_assert (asked (&rig, &one));
    accepted (&rig, &one);
    say_it_runs (&rig, &one, 3 * PXI_SECOND / 2);
    cr_assert_null (did (&rig, PXI_DO_COMPLETE), "its worker will end it");
    say_it_runs (&rig, &one, 10 * PXI_SECOND);
    cr_assert_not_null (did (&rig, PXI_DO_COMPLETE));
    cr_assert_eq (did (&rig, PXI_DO_COMPLETE)->err, PX_ETIMEOUT);
    cr_assert_not_null (sent (&rig, PXI_CANCEL));
    cr_assert_eq (n_away (&rig), 0);
    rig_free (&rig);
}

static const uint64_t SHORT_NS[2] = {PXI_MS / 10, PXI_MS / 10};

Test (core, short_subtasks_of_a_loop_go_together_and_are_accepted_as_a_whole)
{
    struct rig rig = rig_new (1);
    batch all;
    learn (&rig, SHORT_NS);
    cr_assert_eq (rig.count, PXI_BATCH_MAX);
    hand_over_all (&rig, 100, PXI_BATCH_MAX, 64, 100);
    cr_assert (asked (&rig, &all));
    cr_assert_eq (all.probe.n_attempts, PXI_BATCH_MAX);
    accepted (&rig, &all);
    cr_assert_eq (n_away (&rig), PXI_BATCH_MAX);
    for (uint32_t i = PXI_BATCH_MAX; i-- > 0;) { /* whatever comes first */
        ended (&rig, &all, i, PXI_MS / 10);
        cr_assert_eq (did (&rig, PXI_DO_COMPLETE)->subtask, 100 + i);
    }
    rig_free (&rig);
}

Test (core, what_takes_about_a_trip_goes_by_few)
{
    struct rig rig = rig_new (1);
    learn (&rig, (const uint64_t[2]){18 * PXI_MS / 10, 18 * PXI_MS / 10});
    cr_assert_eq (rig.count, 3, "%u", rig.count); /* one, and two in four trips of 1 ms */
    rig_free (&rig);
}

Test (core, subtasks_whose_times_vary_widely_go_one_by_one)
{
    struct rig rig = rig_new (1);
    learn (&rig, (const uint64_t[2]){PXI_MS / 10, 5 * PXI_MS});
    cr_assert_eq (rig.count, 1);
    rig_free (&rig);
}

Test (core, subtasks_of_a_tree_go_one_by_one)
{
    struct rig rig = rig_new (1);
    batch one;
    learn (&rig, SHORT_NS);
    hand_over_all (&rig, 100, 1, 64, 200);
    cr_assert (asked (&rig, &one));
    accepted (&rig, &one);
    pxi_report report = {one.riding[0].key, PXI_MS, 3}; /* subtasks below it */
    pxi_message ack = from (11, PXI_HANDSHAKE_ACK);
    ack.sequence = 1;
    ack.reports = &report;
    ack.n_reports = 1;
    while (!sent (&rig, PXI_HANDSHAKE)) {
        rig.now_ns = pxi_core_wake_ns (rig.core);
        step (&rig, (pxi_event){.kind = PXI_EV_TICK});
    }
    ack.sequence = sent (&rig, PXI_HANDSHAKE)->sequence;
    hear (&rig, ack);
    ended (&rig, &one, 0, PXI_MS / 10);
    step (&rig, (pxi_event){.kind = PXI_EV_SURPLUS, .job = {ME, 1}, .count = 200});
    cr_assert_eq (rig.count, 1);
    rig_free (&rig);
}

Test (core, the_next_batch_is_under_way_while_one_is_done)
{
    struct rig rig = rig_new (1);
    batch first, second;
    learn (&rig, SHORT_NS);
    hand_over_all (&rig, 100, PXI_BATCH_MAX, 64, 200);
    cr_assert (asked (&rig, &first));
    cr_assert_eq (first.probe.duration_ns, PXI_MS / 10);
    accepted (&rig, &first);
    cr_assert_eq (did (&rig, PXI_DO_TAKE)->count, PXI_BATCH_MAX);
    hand_over_all (&rig, 200, PXI_BATCH_MAX, 64, 200);
    cr_assert (asked (&rig, &second));
    cr_assert_eq (second.probe.to, first.probe.to);
    cr_assert_not (second.probe.reserve, "it has a batch to do");
    cr_assert_eq (n_away (&rig), 2 * PXI_BATCH_MAX);
    rig_free (&rig);
}

Test (core, a_batch_that_came_too_early_says_nothing_of_others)
{
    struct rig rig = rig_new (1);
    batch first, second;
    learn (&rig, SHORT_NS);
    hand_over_all (&rig, 100, PXI_BATCH_MAX, 64, 200);
    cr_assert (asked (&rig, &first));
    accepted (&rig, &first);
    hand_over_all (&rig, 200, PXI_BATCH_MAX, 64, 200);
    cr_assert (asked (&rig, &second));
    pxi_message busy = from (11, PXI_BUSY);
    busy.probe = second.probe.probe;
    hear (&rig, busy);
    cr_assert_eq (n_away (&rig), PXI_BATCH_MAX, "the first stays");
    cr_assert_not_null (did (&rig, PXI_DO_TAKE), "somebody may be free");
    rig_free (&rig);
}

/* Free, and then not: it would be sent the same again at once, for ever. */
Test (core, who_hands_back_what_it_was_free_for_is_left_alone_a_while)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    submit_with_surplus (&rig, 5);
    pxi_message offer = from (11, PXI_OFFER);
    offer.job = (pxi_job_id){ME, 1};
    offer.lease = 7;
    offer.n_slots = 1;
    offer.duration_ns = PXI_SECOND;
    for (uint64_t pause_ns = PXI_MS; pause_ns <= 4 * PXI_MS; pause_ns *= 2) {
        rig.now_ns += pause_ns;
        step (&rig, (pxi_event){.kind = PXI_EV_TICK});
        if (!rig.token)
            hear (&rig, offer);
        hand_over (&rig, rig.token, 70, 4, 100);
        const pxi_returned returned = {.key = {70, 1}, .result = PXI_RESULT_RETURNED};
        rig.token = 0;
        hear (&rig, result_from (11, &returned));
        cr_assert_null (sent (&rig, PXI_PROBE));
        hear (&rig, offer);
        cr_assert_not_null (sent (&rig, PXI_DECLINE));
    }
    rig_free (&rig);
}

/* It would come back short, and the executor look for the rest in vain. */
Test (core, no_more_is_asked_for_than_the_branch_may_send)
{
    struct rig rig = rig_new (1);
    batch first;
    learn (&rig, SHORT_NS);
    hand_over_all (&rig, 100, PXI_BATCH_MAX, PXI_BATCH_MAX + 3, 200);
    cr_assert (asked (&rig, &first));
    accepted (&rig, &first);
    cr_assert_eq (did (&rig, PXI_DO_TAKE)->count, 3);
    rig_free (&rig);
}

Test (core, a_batch_that_is_refused_goes_back_in_order)
{
    struct rig rig = rig_new (1);
    batch all;
    learn (&rig, SHORT_NS);
    hand_over_all (&rig, 100, PXI_BATCH_MAX, 64, 100);
    cr_assert (asked (&rig, &all));
    pxi_message busy = from (11, PXI_BUSY);
    busy.probe = all.probe.probe;
    hear (&rig, busy);
    uint64_t next = 100;
    for (uint32_t i = 0; i < rig.last.n; i++) {
        if (rig.last.items[i].kind == PXI_DO_GIVE_BACK)
            cr_assert_eq (rig.last.items[i].subtask, next++);
    }
    cr_assert_eq (next, 100 + PXI_BATCH_MAX);
    cr_assert_eq (n_away (&rig), 0);
    hear (&rig, busy);
    cr_assert_null (did (&rig, PXI_DO_GIVE_BACK), "the second time there is nothing");
    rig_free (&rig);
}

Test (core, a_batch_whose_answer_is_lost_is_cancelled_whole)
{
    struct rig rig = rig_new (1);
    batch all;
    learn (&rig, SHORT_NS);
    hand_over_all (&rig, 100, PXI_BATCH_MAX, 64, 100);
    cr_assert (asked (&rig, &all));
    uint64_t until_ns = rig.now_ns + 10 * PXI_SECOND;
    while (!sent (&rig, PXI_CANCEL) && rig.now_ns < until_ns) {
        rig.now_ns = pxi_core_wake_ns (rig.core);
        step (&rig, (pxi_event){.kind = PXI_EV_TICK});
    }
    const pxi_message *cancel = sent (&rig, PXI_CANCEL);
    cr_assert_not_null (cancel);
    cr_assert_eq (cancel->n_keys, PXI_BATCH_MAX);
    for (uint32_t i = 0; i < cancel->n_keys; i++) {
        cr_assert_eq (cancel->keys[i].subtask, 100 + i);
        cr_assert_eq (cancel->keys[i].attempt, all.riding[i].key.attempt);
    }
    cr_assert_eq (n_away (&rig), 0);
    accepted (&rig, &all); /* after all: too late */
    cr_assert_eq (n_away (&rig), 0);
    rig_free (&rig);
}

Test (core, a_batch_stays_within_the_branch_number)
{
    struct rig rig = rig_new (1);
    batch all;
    learn (&rig, SHORT_NS);
    hand_over_all (&rig, 100, PXI_BATCH_MAX, 5, 100);
    cr_assert (asked (&rig, &all));
    cr_assert_eq (all.probe.n_attempts, 5);
    cr_assert_eq (n_away (&rig), 5);
    cr_assert (did (&rig, PXI_DO_CAP)->flag);
    uint32_t n_back = 0;
    for (uint32_t i = 0; i < rig.last.n; i++)
        n_back += rig.last.items[i].kind == PXI_DO_GIVE_BACK;
    cr_assert_eq (n_back, PXI_BATCH_MAX - 5);
    rig_free (&rig);
}

/* What is in a lease goes together too, and never more than one message holds. */
Test (core, a_lease_takes_a_batch_for_each_slot)
{
    struct rig rig = rig_new (1);
    learn (&rig, SHORT_NS);
    pxi_message offer = from (11, PXI_OFFER);
    offer.lease = 33;
    offer.n_slots = 1000;
    offer.duration_ns = PXI_SECOND;
    offer.job = (pxi_job_id){ME, 1};
    hear (&rig, offer);
    cr_assert_eq (rig.count, PXI_DISPATCH_MAX);
    hand_over_all (&rig, 100, PXI_DISPATCH_MAX, 64, 100);
    const pxi_message *dispatch = sent (&rig, PXI_DISPATCH);
    cr_assert_eq (dispatch->lease, 33);
    cr_assert_eq (dispatch->n_attempts, PXI_DISPATCH_MAX);
    rig_free (&rig);
}

/* ---- out of turn ------------------------------------------------------------------------------
 */

/* One subtask is away, nothing else waits, and a slot is free here. */
static void one_away (struct rig *rig)
{
    batch one;
    meet (rig, 11);
    submit_with_surplus (rig, 1);
    hand_over_all (rig, 70, 1, 4, 0);
    cr_assert (asked (rig, &one));
    accepted (rig, &one);
    nothing_left (rig);
}

/* When a run began here; 0 = not within the duration. `answers`: the worker does, but never ends. */
static uint64_t redone_at_ns (struct rig *rig, uint64_t duration_ns, bool answers)
{
    uint64_t until_ns = rig->now_ns + duration_ns;
    while (rig->now_ns < until_ns) {
        rig->now_ns = pxi_core_wake_ns (rig->core);
        step (rig, (pxi_event){.kind = PXI_EV_TICK});
        if (did (rig, PXI_DO_RUN))
            return rig->now_ns;
        pxi_report report = {{70, 1}, PXI_SECOND, 0};
        pxi_message ack = from (11, PXI_HANDSHAKE_ACK);
        if (!sent (rig, PXI_HANDSHAKE) || !answers)
            continue;
        ack.sequence = sent (rig, PXI_HANDSHAKE)->sequence;
        ack.reports = &report;
        ack.n_reports = 1;
        hear (rig, ack);
    }
    return 0;
}

Test (core, what_a_silent_worker_has_is_done_here_long_before_it_is_taken_for_dead)
{
    struct rig rig = rig_new (2);
    pxi_peer_look look;
    one_away (&rig);
    uint64_t began_ns = rig.now_ns, redone_ns = redone_at_ns (&rig, 5 * PXI_SECOND, false);
    cr_assert_neq (redone_ns, 0);
    cr_assert_geq (redone_ns - began_ns, 300 * PXI_MS, "four questions were not answered");
    cr_assert_leq (redone_ns - began_ns, 600 * PXI_MS);
    cr_assert_eq (did (&rig, PXI_DO_RUN)->attempt.key.subtask, 70);
    uint64_t run = did (&rig, PXI_DO_RUN)->run;
    cr_assert_eq (pxi_core_peers (rig.core, rig.now_ns, &look, 1), 1);
    cr_assert_not (look.unresponsive, "a suspicion is no verdict");
    step (&rig,
          (pxi_event){.kind = PXI_EV_FINISHED, .run = run, .result = PXI_RESULT_OK, .blob = 90});
    cr_assert_eq (did (&rig, PXI_DO_COMPLETE)->blob, 90);
    cr_assert_eq (sent (&rig, PXI_CANCEL)->keys[0].subtask, 70);
    const pxi_returned returned = {.key = {70, 1}, .blob = 91};
    pxi_message result = result_from (11, &returned);
    hear (&rig, result);
    cr_assert_null (did (&rig, PXI_DO_COMPLETE), "the first worker's comes too late");
    cr_assert_eq (did (&rig, PXI_DO_FORGET)->blob, 91);
    rig_free (&rig);
}

Test (core, the_first_worker_may_still_be_first)
{
    struct rig rig = rig_new (2);
    one_away (&rig);
    cr_assert_neq (redone_at_ns (&rig, 5 * PXI_SECOND, false), 0);
    uint64_t run = did (&rig, PXI_DO_RUN)->run;
    const pxi_returned returned = {.key = {70, 1}, .blob = 91};
    pxi_message result = result_from (11, &returned);
    hear (&rig, result);
    cr_assert_eq (did (&rig, PXI_DO_COMPLETE)->blob, 91);
    cr_assert_eq (did (&rig, PXI_DO_STOP)->run, run);
    step (&rig,
          (pxi_event){.kind = PXI_EV_FINISHED, .run = run, .result = PXI_RESULT_OK, .blob = 90});
    cr_assert_null (did (&rig, PXI_DO_COMPLETE));
    rig_free (&rig);
}

Test (core, what_a_worker_has_that_answers_is_not_redone)
{
    struct rig rig = rig_new (2);
    one_away (&rig);
    cr_assert_eq (redone_at_ns (&rig, 5 * PXI_SECOND, true), 0);
    rig_free (&rig);
}

/* Who still has something to do asks nobody out of turn. */
Test (core, a_master_that_is_busy_waits_for_the_detection_time)
{
    struct rig rig = rig_new (1);
    one_away (&rig);
    cr_assert_eq (redone_at_ns (&rig, PXI_SECOND, false), 0);
    rig_free (&rig);
}

/* ---- batches, served ---- */

static pxi_message probe_of (const pxi_attempt *riding, uint32_t n)
{
    pxi_message probe = probe_from (11, 7, riding, 1);
    probe.n_attempts = n;
    return probe;
}

static uint32_t n_did (const struct rig *rig, pxi_action_kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < rig->last.n; i++)
        n += rig->last.items[i].kind == kind;
    return n;
}

static uint32_t n_runs (const struct rig *rig)
{
    pxi_core_sizes sizes;
    pxi_core_sizes_read (rig->core, &sizes);
    return sizes.runs;
}

Test (core, a_batch_is_started_whole_once)
{
    struct rig rig = rig_new (1);
    pxi_attempt riding[3] = {attempt_of (3, 1), attempt_of (4, 1), attempt_of (5, 1)};
    meet (&rig, 11);
    hear (&rig, probe_of (riding, 3));
    cr_assert (sent (&rig, PXI_OFFER)->accepted);
    cr_assert_eq (n_did (&rig, PXI_DO_RUN), 3);
    uint64_t first = did (&rig, PXI_DO_RUN)->run;
    hear (&rig, probe_of (riding, 3));
    cr_assert_eq (rig.last.n, n_did (&rig, PXI_DO_FORGET), "nothing but dropping");
    cr_assert_eq (n_did (&rig, PXI_DO_FORGET), 3);
    active (&rig, THEM, 1, 1, 0, 1);
    step (&rig, (pxi_event){.kind = PXI_EV_FINISHED, .run = first, .result = PXI_RESULT_OK});
    hear (&rig, probe_of (riding, 3));
    cr_assert_eq (n_did (&rig, PXI_DO_RUN), 0, "its first has ended");
    cr_assert_eq (n_runs (&rig), 2);
    rig_free (&rig);
}

Test (core, what_a_batch_holds_twice_starts_once)
{
    struct rig rig = rig_new (1);
    pxi_attempt riding[3] = {attempt_of (3, 1), attempt_of (3, 1), attempt_of (4, 1)};
    meet (&rig, 11);
    hear (&rig, probe_of (riding, 3));
    cr_assert_eq (n_did (&rig, PXI_DO_RUN), 2);
    cr_assert_eq (did (&rig, PXI_DO_FORGET)->blob, 3);
    rig_free (&rig);
}

Test (core, what_a_batch_has_no_room_for_goes_back)
{
    pxi_core_config config = pxi_core_config_default ();
    config.self = record_of (ME);
    config.self.incarnation = 5;
    config.attempts_max = 2;
    struct rig rig = {.core = pxi_core_new (&config)};
    pxi_attempt riding[3] = {attempt_of (3, 1), attempt_of (4, 1), attempt_of (5, 1)};
    meet (&rig, 11);
    hear (&rig, probe_of (riding, 3));
    cr_assert (sent (&rig, PXI_OFFER)->accepted);
    cr_assert_eq (n_did (&rig, PXI_DO_RUN), 2);
    cr_assert_eq (sent (&rig, PXI_RESULT)->results[0].result, PXI_RESULT_RETURNED);
    cr_assert_eq (sent (&rig, PXI_RESULT)->results[0].key.subtask, 5);
    cr_assert_eq (did (&rig, PXI_DO_FORGET)->blob, 5);
    rig_free (&rig);
}

/* Of this length each, beside what is there. */
static bool takes_early (struct rig *rig, uint64_t master, uint64_t job, uint64_t first,
                         uint64_t duration_ns)
{
    pxi_attempt two[2] = {attempt_of (first, job), attempt_of (first + 1, job)};
    pxi_message probe = probe_from (master, first, two, job);
    probe.n_attempts = 2;
    probe.duration_ns = duration_ns;
    hear (rig, probe);
    const pxi_message *offer = sent (rig, PXI_OFFER);
    cr_assert (offer || sent (rig, PXI_BUSY));
    return offer && offer->accepted && !offer->lease;
}

/* A peer of one slot, which an attempt of job 1 of peer 11 has. */
static struct rig rig_at_work (void)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    meet (&rig, 12);
    run_for (&rig, 11, 3);
    active (&rig, THEM, 1, 1, 0, 1);
    return rig;
}

Test (core, what_begins_within_a_millisecond_may_come_before_its_slot_is_free)
{
    struct rig rig = rig_at_work ();
    cr_assert (takes_early (&rig, 11, 1, 20, PXI_MS / 10));
    cr_assert_eq (did (&rig, PXI_DO_RUN)->attempt.key.subtask, 20);
    rig_free (&rig);
}

Test (core, what_would_wait_longer_or_is_not_known_finds_its_slot_busy)
{
    struct rig rig = rig_at_work ();
    cr_assert_not (takes_early (&rig, 11, 1, 20, 0));
    cr_assert_not (takes_early (&rig, 11, 1, 30, 2 * PXI_MS));
    advance (&rig, 2 * PXI_MS); /* what is there takes longer than its master thinks */
    cr_assert_not (takes_early (&rig, 11, 1, 40, PXI_MS / 10));
    rig_free (&rig);
}

Test (core, nothing_comes_early_where_another_job_wants_the_slot)
{
    struct rig rig = rig_at_work ();
    cr_assert_not (takes_early (&rig, 12, 2, 20, PXI_MS / 10), "a job that is not here");
    cr_assert (sent (&rig, PXI_BUSY)->reserve);
    cr_assert_not (takes_early (&rig, 11, 1, 30, PXI_MS / 10), "another waits for the slot");
    rig_free (&rig);
}

Test (core, a_busy_peer_drops_the_whole_batch)
{
    struct rig rig = rig_new (1);
    pxi_attempt riding[3] = {attempt_of (3, 1), attempt_of (4, 1), attempt_of (5, 1)};
    submit_with_surplus (&rig, 0);
    meet (&rig, 11);
    hear (&rig, probe_of (riding, 3));
    cr_assert_not_null (sent (&rig, PXI_BUSY));
    cr_assert_eq (n_did (&rig, PXI_DO_FORGET), 3);
    cr_assert_eq (n_runs (&rig), 1);
    rig_free (&rig);
}

Test (core, a_cancelled_batch_stops_whole)
{
    struct rig rig = rig_new (1);
    pxi_attempt riding[3] = {attempt_of (3, 1), attempt_of (4, 1), attempt_of (5, 1)};
    pxi_key keys[3] = {riding[0].key, riding[1].key, riding[2].key};
    meet (&rig, 11);
    hear (&rig, probe_of (riding, 3));
    pxi_message cancel = from (11, PXI_CANCEL);
    cancel.keys = keys;
    cancel.n_keys = 3;
    hear (&rig, cancel);
    cr_assert_eq (n_did (&rig, PXI_DO_STOP), 3);
    rig_free (&rig);
}

/* A lease is for slots; what comes beyond a batch for each goes back, from whomever. */
Test (core, under_a_lease_start_as_many_as_may_wait_for_its_slots)
{
    struct rig rig = rig_new (1);
    pxi_attempt all[PXI_DISPATCH_MAX];
    meet (&rig, 11);
    hear (&rig, probe_from (11, 7, NULL, 1));
    pxi_message dispatch = from (11, PXI_DISPATCH);
    dispatch.lease = sent (&rig, PXI_OFFER)->lease;
    for (uint32_t i = 0; i < PXI_DISPATCH_MAX; i++)
        all[i] = attempt_of (3 + i, 1);
    dispatch.attempts = all;
    dispatch.n_attempts = PXI_DISPATCH_MAX;
    hear (&rig, dispatch);
    cr_assert_eq (n_did (&rig, PXI_DO_RUN), PXI_BATCH_MAX);
    cr_assert_eq (n_did (&rig, PXI_DO_FORGET), PXI_DISPATCH_MAX - PXI_BATCH_MAX);
    hear (&rig, dispatch); /* again: nothing starts, those that went back go back again */
    cr_assert_eq (n_did (&rig, PXI_DO_RUN), 0);
    cr_assert_eq (n_runs (&rig), PXI_BATCH_MAX);
    rig_free (&rig);
}

/* ---- identity ---------------------------------------------------------------------------------
 */

Test (core, a_message_for_a_former_self_is_dropped_and_answered_with_who_is_here)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    pxi_attempt inlined = attempt_of (3, 1);
    pxi_message probe = probe_from (11, 7, &inlined, 1);
    probe.to_incarnation = 4;
    hear (&rig, probe);
    cr_assert_null (did (&rig, PXI_DO_RUN));
    cr_assert_not_null (sent (&rig, PXI_WELCOME));
    rig_free (&rig);
}

Test (core, a_restarted_worker_is_not_taken_for_its_former_self)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    submit_with_surplus (&rig, 1);
    hand_over (&rig, did (&rig, PXI_DO_TAKE)->token, 70, 4, 100);
    pxi_peer_record record = record_of (11);
    record.incarnation = 10;
    pxi_message hello = from (11, PXI_HELLO);
    hello.from_incarnation = 10;
    hello.records = &record;
    hello.n_records = 1;
    hear (&rig, hello);
    cr_assert_eq (did (&rig, PXI_DO_GIVE_BACK)->subtask, 70);
    const pxi_returned returned = {.key = {70, 1}}; /* of the former incarnation */
    pxi_message result = result_from (11, &returned);
    hear (&rig, result);
    cr_assert_null (did (&rig, PXI_DO_COMPLETE));
    rig_free (&rig);
}

Test (core, joining_oneself_is_told)
{
    struct rig rig = rig_new (1);
    step (&rig, (pxi_event){.kind = PXI_EV_JOIN, .address = {.kind = 4, .port = 1}});
    pxi_message hello = *sent (&rig, PXI_HELLO);
    hear (&rig, hello);
    cr_assert_eq (did (&rig, PXI_DO_REFUSED)->err, PX_ESELF);
    rig_free (&rig);
}

Test (core, a_second_peer_of_our_name_is_refused)
{
    struct rig rig = rig_new (1);
    pxi_peer_record record = record_of (ME);
    pxi_message hello = from (ME, PXI_HELLO);
    hello.records = &record;
    hello.n_records = 1;
    hear (&rig, hello);
    cr_assert_eq (sent (&rig, PXI_REFUSED)->err, PX_EDUPLICATE);
    rig_free (&rig);
}

Test (core, four_idle_peers_exchange_nothing_but_views)
{
    struct rig rig = rig_new (2);
    for (uint64_t id = 11; id <= 13; id++)
        meet (&rig, id);
    uint32_t n_sent = 0;
    while (rig.now_ns < 60 * PXI_SECOND) {
        rig.now_ns = pxi_core_wake_ns (rig.core);
        step (&rig, (pxi_event){.kind = PXI_EV_TICK});
        for (uint32_t i = 0; i < rig.last.n; i++) {
            const pxi_action *action = &rig.last.items[i];
            if (action->kind != PXI_DO_SEND)
                continue;
            cr_assert_eq (action->message.kind, PXI_GOSSIP, "got %s",
                          pxi_message_name (action->message.kind));
            n_sent++;
            pxi_peer_record record = record_of (action->message.to);
            pxi_message reply = from (record.id, PXI_GOSSIP_REPLY);
            reply.records = &record;
            reply.n_records = 1;
            hear (&rig, reply);
            break;
        }
    }
    cr_assert (n_sent > 45 && n_sent < 75, "%u", n_sent);
    rig_free (&rig);
}

Test (core, leaving_says_so_and_ends_when_nothing_is_left)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    pxi_attempt inlined = attempt_of (3, 1);
    hear (&rig, probe_from (11, 7, &inlined, 1));
    uint64_t run = did (&rig, PXI_DO_RUN)->run;
    step (&rig, (pxi_event){.kind = PXI_EV_DRAIN});
    cr_assert_not_null (sent (&rig, PXI_LEAVE));
    cr_assert_null (did (&rig, PXI_DO_DRAINED));
    hear (&rig, probe_from (11, 8, NULL, 1));
    cr_assert_not_null (sent (&rig, PXI_CANNOT));
    step (&rig,
          (pxi_event){.kind = PXI_EV_FINISHED, .run = run, .result = PXI_RESULT_OK, .blob = 60});
    cr_assert_null (did (&rig, PXI_DO_DRAINED), "its result is still here");
    flush (&rig);
    cr_assert_not_null (sent (&rig, PXI_RESULT));
    cr_assert_not_null (did (&rig, PXI_DO_DRAINED));
    rig_free (&rig);
}

/* ---- joining, leases, room -------------------------------------------------------------------- */

static bool says_hello_to (const struct rig *rig, uint16_t port)
{
    for (uint32_t i = 0; i < rig->last.n; i++) {
        const pxi_action *action = &rig->last.items[i];
        if (action->kind == PXI_DO_SEND && action->message.kind == PXI_HELLO &&
            action->address.port == port)
            return true;
    }
    return false;
}

/* The `number`th address that was joined. */
static void welcome (struct rig *rig, uint64_t id, uint64_t number)
{
    pxi_peer_record record = record_of (id);
    pxi_message message = from (id, PXI_WELCOME);
    message.sequence = number;
    message.records = &record;
    message.n_records = 1;
    hear (rig, message);
}

Test (core, a_welcome_that_comes_twice_ends_no_other_join)
{
    struct rig rig = rig_new (1);
    for (uint16_t port = 11; port <= 12; port++)
        step (&rig, (pxi_event){.kind = PXI_EV_JOIN, .address = record_of (port).address});
    welcome (&rig, 12, 2);
    cr_assert_eq (did (&rig, PXI_DO_JOINED)->address.port, 12);
    welcome (&rig, 12, 2);
    cr_assert_null (did (&rig, PXI_DO_JOINED));
    bool asked_again = false;
    while (rig.now_ns < PXI_SECOND && !asked_again) {
        rig.now_ns = pxi_core_wake_ns (rig.core);
        step (&rig, (pxi_event){.kind = PXI_EV_TICK});
        asked_again = says_hello_to (&rig, 11);
    }
    cr_assert (asked_again);
    welcome (&rig, 11, 1);
    cr_assert_eq (did (&rig, PXI_DO_JOINED)->address.port, 11);
    rig_free (&rig);
}

Test (core, a_welcome_of_somebody_else_is_no_answer)
{
    struct rig rig = rig_new (1);
    step (&rig, (pxi_event){.kind = PXI_EV_JOIN, .address = record_of (11).address});
    cr_assert_eq (sent (&rig, PXI_HELLO)->sequence, 1);
    welcome (&rig, 12, 0);
    cr_assert_null (did (&rig, PXI_DO_JOINED));
    welcome (&rig, 13, 1); /* by another address than its own */
    cr_assert_eq (did (&rig, PXI_DO_JOINED)->address.port, 11);
    rig_free (&rig);
}

Test (core, who_is_greeted_is_told_which_hello_is_answered)
{
    struct rig rig = rig_new (1);
    pxi_peer_record record = record_of (11);
    pxi_message hello = from (11, PXI_HELLO);
    hello.records = &record;
    hello.n_records = 1;
    hello.sequence = 77;
    hear (&rig, hello);
    cr_assert_eq (sent (&rig, PXI_WELCOME)->sequence, 77);
    rig_free (&rig);
}

Test (core, in_a_small_cluster_who_is_heard_of_is_asked_at_once_and_once)
{
    struct rig rig = rig_new (1);
    rig.now_ns = PXI_MS;
    pxi_peer_record records[4];
    for (uint32_t i = 0; i < 4; i++)
        records[i] = record_of (11 + i);
    pxi_message hello = from (11, PXI_HELLO);
    hello.records = records;
    hello.n_records = 4;
    hear (&rig, hello);
    uint32_t asked[4] = {0};
    while (pxi_core_wake_ns (rig.core) < PXI_SECOND / 4) {
        rig.now_ns = pxi_core_wake_ns (rig.core);
        step (&rig, (pxi_event){.kind = PXI_EV_TICK});
        const pxi_message *gossip = sent (&rig, PXI_GOSSIP);
        if (gossip)
            asked[gossip->to - 11]++;
    }
    for (uint32_t i = 1; i < 4; i++)
        cr_assert_eq (asked[i], 1, "peer %u: %u times", 11 + i, asked[i]);
    rig_free (&rig);
}

/* A full view never runs out of strangers. */
Test (core, in_a_large_cluster_peers_meet_at_their_turns)
{
    pxi_core_config config = pxi_core_config_default ();
    config.self = record_of (ME);
    config.self.incarnation = 5;
    config.view_max = 3;
    struct rig rig = {.core = pxi_core_new (&config), .now_ns = PXI_MS};
    uint32_t n_asked = 0;
    for (uint64_t id = 20; id < 60; id += 4) {
        pxi_peer_record records[4];
        for (uint32_t i = 0; i < 4; i++)
            records[i] = record_of (id + i);
        pxi_message hello = from (id, PXI_HELLO);
        hello.records = records;
        hello.n_records = 4;
        hear (&rig, hello);
        while (pxi_core_wake_ns (rig.core) < (id - 16) * 100 * PXI_MS) {
            rig.now_ns = pxi_core_wake_ns (rig.core);
            step (&rig, (pxi_event){.kind = PXI_EV_TICK});
            n_asked += sent (&rig, PXI_GOSSIP) != NULL;
        }
    }
    cr_assert (n_asked >= 2 && n_asked <= 8, "%u in 4 s", n_asked);
    rig_free (&rig);
}

Test (core, a_host_that_is_down_is_greeted_ever_less)
{
    struct rig rig = rig_new (1);
    step (&rig, (pxi_event){.kind = PXI_EV_JOIN, .address = record_of (11).address});
    uint32_t n_early = 0, n_late = 0;
    while (rig.now_ns < 60 * PXI_SECOND) {
        rig.now_ns = pxi_core_wake_ns (rig.core);
        step (&rig, (pxi_event){.kind = PXI_EV_TICK});
        *(rig.now_ns <= 3 * PXI_SECOND ? &n_early : &n_late) += says_hello_to (&rig, 11);
    }
    cr_assert_eq (n_early, 12); /* every 250 ms while an application may wait */
    cr_assert (n_late > 10 && n_late < 30, "%u", n_late);
    welcome (&rig, 11, 1);
    cr_assert_not_null (did (&rig, PXI_DO_JOINED));
    rig_free (&rig);
}

static pxi_address address_of (uint8_t network, uint8_t host, uint16_t port)
{
    return (pxi_address){.kind = 4, .port = port, .ip = {network, 0, 0, host}};
}

/* Who comes from `address` is welcomed with the records that are returned. */
static pxi_message welcome_for (struct rig *rig, uint64_t id, pxi_address address)
{
    pxi_peer_record record = record_of (id);
    pxi_message hello = from (id, PXI_HELLO);
    record.address = address;
    hello.records = &record;
    hello.n_records = 1;
    hear (rig, hello);
    cr_assert_not_null (sent (rig, PXI_WELCOME));
    return *sent (rig, PXI_WELCOME);
}

Test (core, a_loopback_address_is_told_on_this_host_only)
{
    pxi_core_config config = pxi_core_config_default ();
    config.self = record_of (ME);
    config.self.incarnation = 5;
    config.self.address = address_of (127, 1, 1);
    struct rig rig = {.core = pxi_core_new (&config), .now_ns = PXI_MS};
    pxi_message near = welcome_for (&rig, 11, address_of (127, 1, 11));
    cr_assert_eq (near.records[0].address.kind, 4);
    pxi_message other = welcome_for (&rig, 12, address_of (127, 1, 12));
    cr_assert_eq (other.n_records, 2);
    pxi_message far = welcome_for (&rig, 13, address_of (10, 5, 13));
    cr_assert_eq (far.n_records, 1, "two that are on this host are none of a far one's business");
    cr_assert_eq (far.records[0].address.kind, 0);
    rig_free (&rig);
}

/* The lease of what a probe without a subtask is answered with; it is let lapse, or declined. */
static uint64_t lease_of_probe (struct rig *rig, uint64_t probe, bool answered)
{
    hear (rig, probe_from (11, probe, NULL, 1));
    const pxi_message *offer = sent (rig, PXI_OFFER);
    cr_assert_not_null (offer);
    uint64_t lasts_ns = offer->duration_ns;
    pxi_message decline = from (11, PXI_DECLINE);
    decline.lease = offer->lease;
    decline.job = (pxi_job_id){THEM, 1};
    if (answered)
        hear (rig, decline);
    else
        advance (rig, lasts_ns);
    return lasts_ns;
}

Test (core, a_lease_that_lapses_is_longer_the_next_time)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    uint64_t first_ns = lease_of_probe (&rig, 1, false);
    cr_assert_eq (lease_of_probe (&rig, 2, false), 2 * first_ns);
    cr_assert_eq (lease_of_probe (&rig, 3, true), 4 * first_ns);
    cr_assert_eq (lease_of_probe (&rig, 4, true), 2 * first_ns); /* it was enough */
    cr_assert_eq (lease_of_probe (&rig, 5, true), first_ns);
    for (uint64_t probe = 6; probe < 12; probe++)
        cr_assert_leq (lease_of_probe (&rig, probe, false), PXI_SECOND);
    rig_free (&rig);
}

Test (core, a_job_whose_first_run_finds_no_room_is_closed)
{
    pxi_core_config config = pxi_core_config_default ();
    config.self = record_of (ME);
    config.self.incarnation = 5;
    config.self.slots = 2;
    config.attempts_max = 1;
    struct rig rig = {.core = pxi_core_new (&config)};
    pxi_core_sizes sizes;
    submit_with_surplus (&rig, 0); /* that is the one attempt */
    meet (&rig, 11);
    pxi_attempt inlined = attempt_of (3, 1);
    hear (&rig, probe_from (11, 7, &inlined, 1));
    cr_assert_null (did (&rig, PXI_DO_RUN));
    pxi_core_sizes_read (rig.core, &sizes);
    cr_assert_eq (sizes.jobs, 1);
    rig_free (&rig);
}

/* ---- shared inputs ----------------------------------------------------------------------------
 */

static pxi_attempt sharing (uint64_t subtask, uint64_t job)
{
    pxi_attempt attempt = attempt_of (subtask, job);
    attempt.shared = (pxi_shared_name){{5, 6}, 1000};
    return attempt;
}

static void shared_comes (struct rig *rig, uint64_t from_id, uint64_t blob)
{
    pxi_message message = from (from_id, PXI_SHARED);
    message.shared = (pxi_shared_name){{5, 6}, 1000};
    message.accepted = blob != 0;
    message.blob = blob;
    hear (rig, message);
}

/* Its run, which begins with those bytes. */
static uint64_t began_with (const struct rig *rig, uint64_t subtask, uint64_t shared_blob)
{
    for (uint32_t i = 0; i < rig->last.n; i++) {
        const pxi_action *action = &rig->last.items[i];
        if (action->kind != PXI_DO_RUN || action->attempt.key.subtask != subtask)
            continue;
        cr_assert_eq (action->attempt.shared_blob, shared_blob);
        return action->run;
    }
    cr_assert_fail ("s%llu has not begun", (unsigned long long)subtask);
    return 0;
}

static bool forgot (const struct rig *rig, uint64_t blob)
{
    for (uint32_t i = 0; i < rig->last.n; i++) {
        if (rig->last.items[i].kind == PXI_DO_FORGET && rig->last.items[i].blob == blob)
            return true;
    }
    return false;
}

static void finish_plain (struct rig *rig, uint64_t run)
{
    step (rig, (pxi_event){.kind = PXI_EV_FINISHED, .run = run, .result = PXI_RESULT_OK});
    cr_assert (pxi_core_gathers (rig->core));
}

static void probed (struct rig *rig, uint64_t master, pxi_attempt attempt)
{
    hear (rig, probe_from (master, attempt.key.subtask, &attempt, attempt.job.number));
    cr_assert (sent (rig, PXI_OFFER)->accepted);
}

Test (core, a_shared_input_is_asked_for_once_whoever_waits_and_kept_a_while)
{
    struct rig rig = rig_new (2);
    meet (&rig, 11);
    probed (&rig, 11, sharing (3, 1));
    cr_assert_eq (sent (&rig, PXI_FETCH)->to, 11);
    cr_assert_null (did (&rig, PXI_DO_RUN), "it is not here");
    probed (&rig, 11, sharing (4, 1));
    cr_assert_null (sent (&rig, PXI_FETCH), "it is asked for already");
    pxi_core_sizes sizes;
    pxi_core_sizes_read (rig.core, &sizes);
    cr_assert_eq (sizes.runs_waiting, 2);
    shared_comes (&rig, 11, 70);
    uint64_t first = began_with (&rig, 3, 70), second = began_with (&rig, 4, 70);
    shared_comes (&rig, 11, 71);
    cr_assert (forgot (&rig, 71), "it comes twice");
    finish_plain (&rig, first);
    finish_plain (&rig, second);
    cr_assert_not (forgot (&rig, 70));

    probed (&rig, 11, sharing (5, 1));
    finish_plain (&rig, began_with (&rig, 5, 70));
    uint64_t ended_ns = rig.now_ns;
    while (!forgot (&rig, 70)) {
        cr_assert_lt (rig.now_ns, ended_ns + PXI_SHARED_KEPT_NS, "it lapses");
        advance (&rig, pxi_core_wake_ns (rig.core) - rig.now_ns);
    }
    cr_assert_eq (rig.now_ns, ended_ns + PXI_SHARED_KEPT_NS);
    pxi_core_sizes_read (rig.core, &sizes);
    cr_assert_eq (sizes.shared, 0);
    rig_free (&rig);
}

Test (core, a_shared_input_that_nobody_gives_is_given_up)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    probed (&rig, 11, sharing (3, 1));
    uint32_t n_asked = 1;
    bool lost = false;
    for (uint32_t i = 0; i < 100 && !lost; i++) {
        handshake (&rig, 11, 3);
        rig.now_ns += 100 * PXI_MS;
        step (&rig, (pxi_event){.kind = PXI_EV_TICK});
        n_asked += sent (&rig, PXI_FETCH) != NULL;
        const pxi_message *result = sent (&rig, PXI_RESULT);
        lost = result && result->results[0].result == PXI_RESULT_LOST;
    }
    cr_assert (lost);
    cr_assert_eq (n_asked, PXI_FETCHES_MAX);
    pxi_core_sizes sizes;
    pxi_core_sizes_read (rig.core, &sizes);
    cr_assert_eq (sizes.runs + sizes.shared, 0);
    rig_free (&rig);
}

Test (core, a_shared_input_is_asked_of_another_master_where_the_first_has_it_no_more)
{
    struct rig rig = rig_new (2);
    meet (&rig, 11);
    meet (&rig, 12);
    probed (&rig, 11, sharing (3, 1));
    probed (&rig, 12, sharing (4, 2));
    shared_comes (&rig, 11, 0);
    cr_assert_eq (sent (&rig, PXI_RESULT)->to, 11);
    cr_assert_eq (sent (&rig, PXI_RESULT)->results[0].result, PXI_RESULT_LOST);
    cr_assert_eq (sent (&rig, PXI_FETCH)->to, 12);
    shared_comes (&rig, 12, 70);
    began_with (&rig, 4, 70);
    rig_free (&rig);
}

Test (core, what_is_cancelled_while_it_waits_never_begins_and_is_not_asked_for_again)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    probed (&rig, 11, sharing (3, 1));
    pxi_key key = {3, 1};
    pxi_message cancel = from (11, PXI_CANCEL);
    cancel.keys = &key;
    cancel.n_keys = 1;
    hear (&rig, cancel);
    cr_assert_null (did (&rig, PXI_DO_STOP), "no executor has it");
    cr_assert (forgot (&rig, 3));
    probed (&rig, 11, sharing (4, 1));
    cr_assert_null (sent (&rig, PXI_FETCH), "it is on its way");
    shared_comes (&rig, 11, 70);
    began_with (&rig, 4, 70);
    rig_free (&rig);
}

Test (core, a_shared_input_over_the_limit_cannot_come)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    pxi_attempt large = sharing (3, 1);
    large.shared.size_bytes = PXI_SHARED_SIZE_MAX + 1;
    hear (&rig, probe_from (11, 7, &large, 1));
    cr_assert_eq (sent (&rig, PXI_CANNOT)->err, PX_ETOOBIG);
    cr_assert_null (sent (&rig, PXI_FETCH));
    rig_free (&rig);
}

Test (core, a_shared_input_is_sent_while_something_away_may_need_it)
{
    struct rig rig = rig_new (1);
    meet (&rig, 11);
    submit_with_surplus (&rig, 1);
    pxi_taken taken = {.subtask = 3,
                       .branch = 900,
                       .number = 4,
                       .attempt = {.key = {3, 0},
                                   .job = {ME, 1},
                                   .module = MODULE,
                                   .size_bytes = 8,
                                   .blob = 3,
                                   .shared = {{5, 6}, 1000},
                                   .shared_blob = 600}};
    step (&rig, (pxi_event){.kind = PXI_EV_TAKEN,
                            .job = {ME, 1},
                            .token = rig.token,
                            .taken = &taken,
                            .n_taken = 1});
    cr_assert_eq (sent (&rig, PXI_PROBE)->attempts[0].shared.size_bytes, 1000);
    pxi_message fetch = from (11, PXI_FETCH);
    fetch.shared = taken.attempt.shared;
    hear (&rig, fetch);
    cr_assert (sent (&rig, PXI_SHARED)->accepted);
    cr_assert_eq (sent (&rig, PXI_SHARED)->blob, 600);
    const pxi_returned returned = {.key = {3, 1}, .blob = 61};
    hear (&rig, result_from (11, &returned));
    cr_assert (forgot (&rig, 600));
    hear (&rig, fetch);
    cr_assert_not (sent (&rig, PXI_SHARED)->accepted, "its branch has nothing away any more");
    rig_free (&rig);
}
