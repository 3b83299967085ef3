/* DIGEST.bin: magic, size, digest of the payload, payload. DIGEST.lock: empty, locked by flock ().
 * DIGEST.WORD: empty, a mark. */
#include "device/helper/cache.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BINARY_SIZE_MAX = 1 << 28 };

typedef struct entry_head {
    char magic[8];
    uint64_t size;
    pxi_digest digest;
} entry_head;

static const char magic[8] = "pxclbin1";

static bool path_of (char path[PATH_MAX], const char *directory, const pxi_digest *digest,
                     const char *suffix)
{
    char hex[PXI_DIGEST_HEX_SIZE];
    pxi_digest_hex (digest, hex);
    return snprintf (path, PATH_MAX, "%s/%s.%s", directory, hex, suffix) < PATH_MAX;
}

static bool read_all (int fd, void *to, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t more = read (fd, (char *)to + got, size - got);
        if (more <= 0)
            return false;
        got += (size_t)more;
    }
    return true;
}

static bool write_all (int fd, const void *from, size_t size)
{
    for (size_t put = 0; put < size;) {
        ssize_t more = write (fd, (const char *)from + put, size - put);
        if (more <= 0)
            return false;
        put += (size_t)more;
    }
    return true;
}

static pxi_bytes *read_entry (int fd)
{
    entry_head head;
    struct stat file;
    if (!read_all (fd, &head, sizeof head) || memcmp (head.magic, magic, sizeof magic) != 0 ||
        head.size > BINARY_SIZE_MAX || fstat (fd, &file) != 0 ||
        (uint64_t)file.st_size != sizeof head + head.size)
        return NULL;
    pxi_bytes *bytes = pxi_bytes_new (head.size);
    pxi_digest digest;
    if (bytes && read_all (fd, pxi_bytes_data (bytes), head.size)) {
        pxi_digest_bytes (pxi_bytes_data (bytes), head.size, &digest);
        if (memcmp (&digest, &head.digest, sizeof digest) == 0)
            return bytes;
    }
    pxi_bytes_release (bytes);
    return NULL;
}

pxi_bytes *pxi_cache_load (const char *directory, const pxi_digest *digest)
{
    char path[PATH_MAX];
    int fd = path_of (path, directory, digest, "bin") ? open (path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return NULL;
    pxi_bytes *bytes = read_entry (fd);
    close (fd);
    return bytes;
}

void pxi_cache_store (const char *directory, const pxi_digest *digest, const void *data,
                      size_t size)
{
    char path[PATH_MAX], beside[PATH_MAX], suffix[32];
    snprintf (suffix, sizeof suffix, "%d.new", (int)getpid ());
    if (!path_of (path, directory, digest, "bin") || !path_of (beside, directory, digest, suffix))
        return;
    int fd = open (beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    entry_head head = {.size = size};
    memcpy (head.magic, magic, sizeof magic);
    pxi_digest_bytes (data, size, &head.digest);
    bool written = write_all (fd, &head, sizeof head) && write_all (fd, data, size);
    if (close (fd) != 0 || !written || rename (beside, path) != 0)
        unlink (beside);
}

int pxi_cache_lock (const char *directory, const pxi_digest *digest)
{
    char path[PATH_MAX];
    int fd = path_of (path, directory, digest, "lock")
                 ? open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)
                 : -1;
    if (fd >= 0 && flock (fd, LOCK_EX) != 0) {
        close (fd);
        fd = -1;
    }
    return fd;
}

void pxi_cache_unlock (int lock)
{
    if (lock >= 0)
        close (lock);
}

bool pxi_cache_is_marked (const char *directory, const pxi_digest *digest, const char *what)
{
    char path[PATH_MAX];
    return path_of (path, directory, digest, what) && access (path, F_OK) == 0;
}

void pxi_cache_mark (const char *directory, const pxi_digest *digest, const char *what)
{
    char path[PATH_MAX];
    int fd = path_of (path, directory, digest, what)
                 ? open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)
                 : -1;
    if (fd >= 0)
        close (fd);
}
