/* SHA-256 by nettle. Files are read, not mapped: a file that is cut short while mapped is SIGBUS.
 */
#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <nettle/sha2.h>

_Static_assert(PXI_DIGEST_SIZE == SHA256_DIGEST_SIZE, "one size of digest");

enum { CHUNK_SIZE = 16384 };

static ssize_t read_chunk (int fd, uint8_t *chunk)
{
    ssize_t size;
    do
        size = read (fd, chunk, CHUNK_SIZE);
    while (size < 0 && errno == EINTR);
    return size;
}

px_err pxi_digest_file (const char *path, pxi_digest *digest)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return PX_ESYSTEM;
    struct sha256_ctx context;
    sha256_init (&context);
    uint8_t chunk[CHUNK_SIZE];
    ssize_t size;
    while ((size = read_chunk (fd, chunk)) > 0)
        sha256_update (&context, (size_t)size, chunk);
    int read_errno = errno;
    close (fd);
    if (size < 0) {
        errno = read_errno;
        return PX_ESYSTEM;
    }
    sha256_digest (&context, PXI_DIGEST_SIZE, digest->bytes);
    return PX_OK;
}

void pxi_digest_bytes (const void *bytes, size_t size, pxi_digest *digest)
{
    struct sha256_ctx context;
    sha256_init (&context);
    sha256_update (&context, size, bytes);
    sha256_digest (&context, PXI_DIGEST_SIZE, digest->bytes);
}

void pxi_digest_hex (const pxi_digest *digest, char text[PXI_DIGEST_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < PXI_DIGEST_SIZE; i++) {
        text[2 * i] = digits[digest->bytes[i] >> 4];
        text[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    text[PXI_DIGEST_HEX_SIZE - 1] = '\0';
}

uint64_t pxi_digest_key (const pxi_digest *digest)
{
    uint64_t key = 0;
    for (int i = 0; i < 8; i++)
        key = key << 8 | digest->bytes[i];
    return key;
}
