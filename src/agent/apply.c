/* Carries out what the core decides, in its order. Nothing in here decides. */
#include <stdio.h>

#include "agent/state.h"
#include "wire/chain.h"

uint32_t pxi_apply_code (pxi_result result, const pxi_bytes *bytes)
{
    if (result == PXI_RESULT_OK)
        return PX_OK;
    pxi_chain chain;
    uint32_t code = result == PXI_RESULT_CRASHED  ? PX_ECRASH
                    : result == PXI_RESULT_LOST   ? PX_ELOST
                    : result == PXI_RESULT_CANNOT ? PX_ENOMODULE
                                                  : PX_EFAILED;
    if (pxi_bytes_size (bytes) == 0 || pxi_chain_decode (bytes, &chain) != PX_OK)
        return code;
    if (chain.n_failures && chain.failures[0].code != PX_OK)
        code = chain.failures[0].code;
    pxi_chain_fini (&chain);
    return code;
}

static void tell (pxi_agent *agent, bool *flag)
{
    pthread_mutex_lock (&agent->lock);
    *flag = true;
    pthread_cond_broadcast (&agent->changed);
    pthread_mutex_unlock (&agent->lock);
}

static void joined (pxi_agent *agent, const pxi_action *action)
{
    char address[64];
    pxi_address_print (&action->address, address);
    pxi_log (&agent->log, PX_LOG_INFO, "view", "joined by way of %s", address);
    pthread_mutex_lock (&agent->lock);
    agent->n_joined++;
    pthread_cond_broadcast (&agent->changed);
    pthread_mutex_unlock (&agent->lock);
}

static void refused (pxi_agent *agent, const pxi_action *action)
{
    char address[64] = "a peer";
    if (action->address.kind)
        pxi_address_print (&action->address, address);
    pxi_log (&agent->log, PX_LOG_WARNING, "view", "%s: %s", address,
             px_err_text ((px_err)action->err));
    pthread_mutex_lock (&agent->lock);
    agent->n_self += action->err == PX_ESELF;
    agent->duplicate |= action->err == PX_EDUPLICATE;
    pthread_cond_broadcast (&agent->changed);
    pthread_mutex_unlock (&agent->lock);
}

static void apply (pxi_agent *agent, const pxi_action *action)
{
    switch (action->kind) {
    case PXI_DO_SEND:
        pxi_mail_send (agent, action);
        break;
    case PXI_DO_RUN:
        pxi_jobs_run (agent, action);
        break;
    case PXI_DO_STOP:
        pxi_jobs_stop (agent, action);
        break;
    case PXI_DO_TAKE:
        pxi_jobs_take (agent, action);
        break;
    case PXI_DO_GIVE_BACK:
        pxi_jobs_give_back (agent, action);
        break;
    case PXI_DO_CAP:
        pxi_jobs_cap (agent, action);
        break;
    case PXI_DO_COMPLETE:
        pxi_jobs_complete (agent, action);
        break;
    case PXI_DO_SLOTS:
        pxi_jobs_slots (agent, action);
        break;
    case PXI_DO_CLOSE_JOB:
        pxi_jobs_close (agent, action);
        break;
    case PXI_DO_FORGET:
        pxi_blobs_forget (&agent->blobs, action->blob);
        break;
    case PXI_DO_JOINED:
        joined (agent, action);
        break;
    case PXI_DO_REFUSED:
        refused (agent, action);
        break;
    case PXI_DO_VIEW:
        pxi_mail_view_changed (agent, action->count);
        break;
    case PXI_DO_DRAINED:
        tell (agent, &agent->drained);
        break;
    case PXI_DO_RANGE:
        pxi_jobs_range (agent, action);
        break;
    case PXI_DO_QUARANTINE:
        pxi_devices_quarantine (agent, action);
        break;
    }
}

void pxi_apply_all (pxi_agent *agent, const pxi_actions *actions)
{
    for (uint32_t i = 0; i < actions->n; i++) {
        agent->runs_follow = i + 1 < actions->n && actions->items[i + 1].kind == PXI_DO_RUN;
        apply (agent, &actions->items[i]);
    }
}
