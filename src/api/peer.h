/* What a px_peer is, for the files of the api. */
#ifndef PXI_API_PEER_H
#define PXI_API_PEER_H

#include "agent/agent.h"

struct px_peer {
    pxi_agent *agent;
};

#endif
