/* The module of peer-bench: the tasks that it measures with. */
#include <peerexec/peerexec.h>

PX_MODULE ("bench", PX_VERSION_TEXT)
