/* SHA-256: what tells one module's code from another's. */
#ifndef PXI_BASE_DIGEST_H
#define PXI_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include <peerexec/error.h>

enum { PXI_DIGEST_SIZE = 32, PXI_DIGEST_HEX_SIZE = 2 * PXI_DIGEST_SIZE + 1 };

typedef struct pxi_digest {
    uint8_t bytes[PXI_DIGEST_SIZE];
} pxi_digest;

/* Of a whole file. PX_ESYSTEM: errno says why. */
px_err pxi_digest_file (const char *path, pxi_digest *digest);
void pxi_digest_bytes (const void *bytes, size_t size, pxi_digest *digest);
/* In lower case, with a NUL. */
void pxi_digest_hex (const pxi_digest *digest, char text[PXI_DIGEST_HEX_SIZE]);
/* The first 8 bytes, big endian: what peer records and messages carry. */
uint64_t pxi_digest_key (const pxi_digest *digest);

#endif
