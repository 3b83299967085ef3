/* The end of a process that has found itself to be wrong: one line on standard error, then abort
 * (). Runs on whatever thread and small stack found it, perhaps with locks held and a broken heap:
 * so plain write () and a text on the stack, no stdio, no allocation. */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void pxi_assert_fail (const char *expression, const char *file, int line, const char *function)
{
    char text[512];
    int length =
        snprintf (text, sizeof text, "peerexec: %s:%d: %s: '%s' does not hold: this is a bug\n",
                  file, line, function, expression);
    if (length > 0) {
        size_t size = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
        if (write (STDERR_FILENO, text, size) < 0)
            abort ();
    }
    abort ();
}
