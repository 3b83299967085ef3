/* Formats a line on the caller's stack and hands it over under the sink's lock. Any thread, but not
 * a task's: the text needs more than a kilobyte of stack, and a task must not wait for a slow sink.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

void pxi_log_init (pxi_log_sink *sink, px_log_fn *fn, void *context, px_log_level level)
{
    sink->fn = fn;
    sink->context = context;
    sink->level = level;
    int result = pthread_mutex_init (&sink->lock, NULL);
    PXI_ASSERT (result == 0);
}

void pxi_log_fini (pxi_log_sink *sink)
{
    int result = pthread_mutex_destroy (&sink->lock);
    PXI_ASSERT (result == 0);
}

bool pxi_log_wants (const pxi_log_sink *sink, px_log_level level)
{
    return sink && sink->fn && level <= sink->level;
}

void pxi_log (pxi_log_sink *sink, px_log_level level, const char *scope, const char *format, ...)
{
    if (!pxi_log_wants (sink, level))
        return;
    char text[PXI_LOG_TEXT_MAX];
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    pthread_mutex_lock (&sink->lock);
    sink->fn (sink->context, level, scope, text);
    pthread_mutex_unlock (&sink->lock);
}
