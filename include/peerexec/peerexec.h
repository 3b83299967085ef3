/* peerexec: a decentralised executor for task trees. This header brings all of them. */
#ifndef PEEREXEC_H
#define PEEREXEC_H

#include <peerexec/branch.h>
#include <peerexec/cost.h>
#include <peerexec/device.h>
#include <peerexec/error.h>
#include <peerexec/job.h>
#include <peerexec/module.h>
#include <peerexec/peer.h>
#include <peerexec/spawn.h>
#include <peerexec/task.h>
#include <peerexec/version.h>

#endif
