/* Lines for people, to the sink of whoever opened the peer. The library itself prints nothing. */
#ifndef PXI_BASE_LOG_H
#define PXI_BASE_LOG_H

#include <pthread.h>
#include <stdbool.h>

#include <peerexec/peer.h>

enum { PXI_LOG_TEXT_MAX = 1024 }; /* longer lines are cut */

typedef struct pxi_log_sink {
    px_log_fn *fn; /* NULL = silent */
    void *context;
    px_log_level level;   /* lines above it are dropped before they are formatted */
    pthread_mutex_t lock; /* one line at a time, as px_log_fn promises */
} pxi_log_sink;

void pxi_log_init (pxi_log_sink *sink, px_log_fn *fn, void *context, px_log_level level);
void pxi_log_fini (pxi_log_sink *sink);

/* NULL sink = silent. For lines whose arguments cost something to make. */
bool pxi_log_wants (const pxi_log_sink *sink, px_log_level level);
/* `scope` is the module that speaks, e.g. "view". No newline at the end. NULL sink = silent. */
void pxi_log (pxi_log_sink *sink, px_log_level level, const char *scope, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

#endif
