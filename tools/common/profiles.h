/* Where peer-tune leaves profiles of branch numbers, and peer-run looks for them. */
#ifndef TOOLS_COMMON_PROFILES_H
#define TOOLS_COMMON_PROFILES_H

#include <limits.h>
#include <stdbool.h>

/* $XDG_DATA_HOME/peerexec/profiles, or below ~/.local/share. False: neither is known. */
bool profiles_directory (char path[PATH_MAX]);
/* With all that leads to it. False: errno says why. */
bool profiles_make (const char *directory);

#endif
