/* A key file is a certificate as CZMQ writes it (ZPL): a section `curve` with both halves of a key
 * pair for CURVE. All peers of a cluster have the same pair, so each is known to each by it.
 *
 *     curve
 *         public-key = "..."
 *         secret-key = "..."
 *
 * It is read here, not by CZMQ, which the library cannot use: it keeps globals and takes the
 * process's signals. Thread: any. */
#include "net/key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zmq.h>

#include "base/assert.h"
#include "base/digest.h"
#include "base/error.h"

enum { FILE_SIZE_MAX = 16384, TEXT_LENGTH = PXI_KEY_TEXT_SIZE - 1 };

/* ---- reading ---------------------------------------------------------------------------------- */

/* The value of `name` in the section `curve`: 40 characters of Z85. */
static bool find_value (const char *text, const char *name, char value[PXI_KEY_TEXT_SIZE])
{
    bool inside = false;
    for (const char *line = text; *line; line += strcspn (line, "\n"), line += *line == '\n') {
        size_t indent = strspn (line, " \t"), length = strlen (name);
        const char *at = line + indent;
        if (*at == '\n' || *at == '\r' || *at == '#' || !*at)
            continue;
        if (!indent)
            inside = strncmp (at, "curve", 5) == 0 && strchr (" \t\r\n", at[5]);
        if (!indent || !inside || strncmp (at, name, length) != 0)
            continue;
        at += length + strspn (at + length, " \t");
        if (*at != '=')
            continue;
        at += 1 + strspn (at + 1, " \t");
        at += *at == '"' || *at == '\'';
        if (strcspn (at, "\"' \t\r\n") != TEXT_LENGTH)
            return false;
        memcpy (value, at, TEXT_LENGTH);
        value[TEXT_LENGTH] = '\0';
        return true;
    }
    return false;
}

static px_err cannot (const char *path, const char *what, char *why)
{
    return pxi_fail (PX_ESYSTEM, why, "key file %s: %s: %s", path, what, strerror (errno));
}

static px_err wrong (const char *path, const char *what, char *why)
{
    return pxi_fail (PX_ECONFIG, why,
                     "key file %s: %s; 'peerd --new-key FILE' makes one, which every peer of the "
                     "cluster gets a copy of",
                     path, what);
}

static px_err read_text (const char *path, char text[FILE_SIZE_MAX], bool *exposed, char *why)
{
    struct stat status;
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not be waited for */
    if (fd < 0)
        return cannot (path, "cannot be read", why);
    px_err err = PX_OK;
    ssize_t size = 0;
    if (fstat (fd, &status) != 0 || !S_ISREG (status.st_mode))
        err = wrong (path, "not a file", why);
    else if ((size = read (fd, text, FILE_SIZE_MAX - 1)) < 0)
        err = cannot (path, "cannot be read", why);
    close (fd);
    if (err == PX_OK) {
        text[size] = '\0';
        *exposed = (status.st_mode & (S_IRWXG | S_IRWXO)) != 0;
    }
    return err;
}

static px_err parse (const char *path, const char *text, pxi_cluster_key *key, char *why)
{
    char derived[PXI_KEY_TEXT_SIZE];
    uint8_t secret[PXI_KEY_SIZE];
    if (!find_value (text, "public-key", key->public_text) ||
        !zmq_z85_decode (key->public_bytes, key->public_text))
        return wrong (path, "not a CURVE certificate", why);
    if (!find_value (text, "secret-key", key->secret_text) ||
        !zmq_z85_decode (secret, key->secret_text))
        return wrong (path,
                      "lacks the secret half of the key: that of a public certificate is not "
                      "enough",
                      why);
    bool fits = zmq_curve_public (derived, key->secret_text) == 0 &&
                strcmp (derived, key->public_text) == 0;
    explicit_bzero (secret, sizeof secret);
    return fits ? PX_OK : wrong (path, "its two halves do not belong to one key", why);
}

static px_err need_curve (char *why)
{
    if (zmq_has ("curve"))
        return PX_OK;
    return pxi_fail (PX_ESYSTEM, why,
                     "keys need a libzmq that is built with CURVE (libsodium); this one is not");
}

px_err pxi_key_read (const char *path, pxi_cluster_key *key, char *why)
{
    char text[FILE_SIZE_MAX];
    pxi_cluster_key found = {.exposed = false};
    px_err err = need_curve (why);
    if (err == PX_OK)
        err = read_text (path, text, &found.exposed, why);
    if (err == PX_OK)
        err = parse (path, text, &found, why);
    if (err == PX_OK)
        *key = found;
    explicit_bzero (text, sizeof text);
    pxi_key_wipe (&found);
    return err;
}

/* ---- making ----------------------------------------------------------------------------------- */

static bool write_text (int fd, const char *public_text, const char *secret_text)
{
    int n =
        dprintf (fd,
                 "#   The key of a peerexec cluster (a ZeroMQ CURVE certificate, secret half\n"
                 "#   included): who has this file is in. Every peer of the cluster has a copy.\n"
                 "\ncurve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n",
                 public_text, secret_text);
    return n > 0 && fsync (fd) == 0;
}

px_err pxi_key_make (const char *path, char *why)
{
    char public_text[PXI_KEY_TEXT_SIZE], secret_text[PXI_KEY_TEXT_SIZE];
    px_err err = need_curve (why);
    if (err != PX_OK)
        return err;
    int fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0 && errno == EEXIST)
        return pxi_fail (PX_ESYSTEM, why,
                         "key file %s: is there already, and is not overwritten: peers that use it "
                         "would be cut off",
                         path);
    if (fd < 0)
        return cannot (path, "cannot be made", why);
    bool made = zmq_curve_keypair (public_text, secret_text) == 0 &&
                write_text (fd, public_text, secret_text);
    explicit_bzero (secret_text, sizeof secret_text);
    if (!made) {
        err = cannot (path, "cannot be written", why);
        unlink (path);
    }
    close (fd);
    return err;
}

void pxi_key_wipe (pxi_cluster_key *key)
{
    explicit_bzero (key, sizeof *key);
}

/* ---- use -------------------------------------------------------------------------------------- */

void pxi_key_tag (const pxi_cluster_key *key, char text[17])
{
    pxi_digest digest;
    pxi_digest_bytes (key->public_bytes, sizeof key->public_bytes, &digest);
    snprintf (text, 17, "%016llx", (unsigned long long)pxi_digest_key (&digest));
}

static void set_text (void *socket, int option, const char text[PXI_KEY_TEXT_SIZE])
{
    PXI_ASSERT (zmq_setsockopt (socket, option, text, PXI_KEY_TEXT_SIZE) == 0);
}

void pxi_key_serve (const pxi_cluster_key *key, void *socket)
{
    static const int on = 1;
    PXI_ASSERT (zmq_setsockopt (socket, ZMQ_CURVE_SERVER, &on, sizeof on) == 0);
    set_text (socket, ZMQ_CURVE_SECRETKEY, key->secret_text);
}

void pxi_key_connect (const pxi_cluster_key *key, void *socket)
{
    set_text (socket, ZMQ_CURVE_SERVERKEY, key->public_text);
    set_text (socket, ZMQ_CURVE_PUBLICKEY, key->public_text);
    set_text (socket, ZMQ_CURVE_SECRETKEY, key->secret_text);
}
