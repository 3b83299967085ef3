/* Makes one allocation fail: the n-th that code linked into this program asks for. A scenario is
 * run with n = 1, 2, ... until it no longer meets a failure; each time it must end well or with
 * PX_ENOMEM, and give back all it had.
 *
 * Link with failing_link_args: malloc (), calloc () and realloc () of our objects are wrapped,
 * those of the C library and of other libraries are not. */
#ifndef TESTS_ALLOC_FAILING_H
#define TESTS_ALLOC_FAILING_H

#include <stdbool.h>
#include <stddef.h>

/* From now on the n-th allocation fails (1 = the next), once; 0 = none. Also sets the counts to 0.
 */
void failing_set (size_t n);
/* True when the failure was met since then. */
bool failing_was_met (void);
/* Blocks that were given out by the wrapped functions and are not freed yet. */
long failing_n_blocks (void);

#endif
