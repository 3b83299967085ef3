/* A module that forgot PX_TASK. */
#include <peerexec/module.h>

PX_MODULE ("empty", "1.0")
