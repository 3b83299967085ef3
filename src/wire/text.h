/* Text that came from elsewhere: it ends up on terminals and in logs, so it holds no control
 * characters and is UTF-8 (RFC 3629: shortest form, no surrogates). */
#ifndef PXI_WIRE_TEXT_H
#define PXI_WIRE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* UTF-8 without control characters; newline and tab neither. */
bool pxi_text_valid (const void *data, size_t size);

/* Copy at most size_max bytes, cut between characters; what is not valid becomes '?' (newline and
 * tab stay). `text` has room for size_max + 1; ends with a NUL. Returns the bytes written without
 * it. */
size_t pxi_text_clean (char *text, size_t size_max, const void *data, size_t size);

#endif
