/* Text that grows past its room without being written there: so its size is known in one pass. */
#ifndef PXI_BASE_PRINT_H
#define PXI_BASE_PRINT_H

#include <stddef.h>

#include <peerexec/error.h>

typedef struct pxi_printer {
    char *text; /* ends with a NUL where size > 0 and something was printed */
    size_t size, needed;
} pxi_printer;

void pxi_print (pxi_printer *to, const char *format, ...) PX_PRINTF (2, 3);

#endif
