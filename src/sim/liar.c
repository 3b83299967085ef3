/* Liars: peers that do not keep to the protocol, until all is calm. Inside is a core as any other; what it
 * says is changed on its way out. Others must keep every promise all the same; only a root's answer may be
 * wrong, and only when a liar was given some of the work and falsified its result. */
#include <stdlib.h>

#include "sim/state.h"

enum { GUESSES_MAX = 32 };
#define OFTEN_PPM 250000

static void post (pxi_sim_peer *from, const pxi_sim_peer *to, const pxi_message *message)
{
    pxi_mail_post (from->world, pxi_mail_wrap (from, to, message));
}

/* Busy, but it says that the subtask runs, and promises more. */
static void always_free (pxi_sim_peer *from, const pxi_sim_peer *to, const pxi_message *message)
{
    pxi_message offer = *message;
    if (message->kind == PXI_BUSY) {
        offer.kind = PXI_OFFER;
        offer.reserve = false;
        offer.accepted = true;
        offer.lease = pxi_prng_next (&from->prng) | UINT64_C (1) << 40;
        offer.n_slots = 4;
        offer.duration_ns = PXI_SECOND;
    }
    post (from, to, &offer);
}

static void never_answer (pxi_sim_peer *from, const pxi_sim_peer *to, const pxi_message *message)
{
    if (message->kind != PXI_RESULT)
        post (from, to, message);
}

static void falsify (pxi_sim_peer *from, const pxi_sim_peer *to, const pxi_message *message)
{
    pxi_parcel *parcel = pxi_mail_wrap (from, to, message);
    if (parcel && message->kind == PXI_RESULT && parcel->results[0].blob) {
        parcel->payloads[0].hash ^= 1;
        from->world->falsified = true;
    }
    if (parcel && message->kind == PXI_SHARED && parcel->n_payloads)
        parcel->payloads[0].shared.digest[1] ^= 1;
    pxi_mail_post (from->world, parcel);
}

/* What it has said before, word for word. */
static void replay (pxi_sim_peer *from, const pxi_sim_peer *to, const pxi_message *message)
{
    pxi_parcel *parcel = pxi_mail_wrap (from, to, message);
    if (!parcel)
        return;
    uint32_t at = (uint32_t)pxi_prng_below (&from->prng, SIM_KEPT_MAX);
    if (from->kept[at] && pxi_prng_chance (&from->prng, OFTEN_PPM))
        pxi_mail_post (from->world, pxi_mail_copy (from->kept[at]));
    free (from->kept[at]);
    from->kept[at] = pxi_mail_copy (parcel);
    pxi_mail_post (from->world, parcel);
}

/* An attempt that its victim has given to somebody, most likely somebody else; or a guess: ids are counted up. */
static pxi_key guess (pxi_sim_peer *from, const pxi_sim_peer *victim)
{
    pxi_away_look looks[GUESSES_MAX];
    uint32_t n = pxi_core_away (victim->core, looks, GUESSES_MAX);
    n = n < GUESSES_MAX ? n : GUESSES_MAX;
    if (n && pxi_prng_below (&from->prng, 2) == 0)
        return looks[pxi_prng_below (&from->prng, n)].key;
    return (pxi_key){pxi_prng_between (&from->prng, 1, victim->next_id),
                     (uint32_t)pxi_prng_between (&from->prng, 1, 3)};
}

static void forge (pxi_sim_peer *from, const pxi_sim_peer *to, const pxi_message *message)
{
    pxi_world *world = from->world;
    post (from, to, message);
    const pxi_sim_peer *victim = &world->peers[pxi_prng_below (&from->prng, world->config.n_peers)];
    if (victim == from || !victim->up || !pxi_prng_chance (&from->prng, OFTEN_PPM))
        return;
    const pxi_returned returned = {.key = guess (from, victim), .result = PXI_RESULT_OK};
    pxi_message result = {
        .kind = PXI_RESULT,
        .from = from->id,
        .from_incarnation = from->incarnation,
        .to = victim->id,
        .to_incarnation = victim->incarnation,
        .results = &returned,
        .n_results = 1,
    };
    post (from, victim, &result);
}

void pxi_liar_send (pxi_sim_peer *from, pxi_sim_peer *to, const pxi_message *message)
{
    switch (from->world->config.peers[from->index].liar) {
    case PXI_LIAR_FREE:
        always_free (from, to, message);
        break;
    case PXI_LIAR_MUTE:
        never_answer (from, to, message);
        break;
    case PXI_LIAR_WRONG:
        falsify (from, to, message);
        break;
    case PXI_LIAR_REPLAY:
        replay (from, to, message);
        break;
    case PXI_LIAR_FORGE:
        forge (from, to, message);
        break;
    case PXI_LIAR_NONE:
    case PXI_LIARS:
        post (from, to, message);
        break;
    }
}

void pxi_liar_forget (pxi_sim_peer *peer)
{
    for (uint32_t i = 0; i < SIM_KEPT_MAX; i++) {
        free (peer->kept[i]);
        peer->kept[i] = NULL;
    }
}
