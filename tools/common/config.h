/* Configuration files (ZPL, by CZMQ's zconfig) against the same table as the command line,
 * strictly: an unknown key, a duplicate or a bad value is an error with file and line. */
#ifndef TOOLS_COMMON_CONFIG_H
#define TOOLS_COMMON_CONFIG_H

#include "common/options.h"

/* Sets what the file says. Strings stay valid until the program ends. False: said on standard
 * error. */
bool config_read (const option_table *table, const char *path, void *settings);

/* One address per line, '#' begins a comment. Adds to `list`. False: said on standard error. */
bool hosts_read (const option_table *table, const char *path, list_option *list);

#endif
