/* The key of a cluster: one file that all its peers share. Who has it is in. */
#ifndef PXI_NET_KEY_H
#define PXI_NET_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include <peerexec/error.h>

enum {
    PXI_KEY_SIZE = 32,
    PXI_KEY_TEXT_SIZE = 41,      /* Z85, with the NUL */
    PXI_KEY_FRAME_OVERHEAD = 33, /* of an encrypted frame: its name, a nonce, flags, the box's */
};

typedef struct pxi_cluster_key {
    char public_text[PXI_KEY_TEXT_SIZE], secret_text[PXI_KEY_TEXT_SIZE];
    uint8_t public_bytes[PXI_KEY_SIZE];
    bool exposed; /* others than the file's owner could read it */
} pxi_cluster_key;

/* PX_ESYSTEM (not there, not readable, libzmq without CURVE), PX_ECONFIG (no certificate, half of
 * one, halves of two): `why` says what and what to do. `key` is untouched on error. */
px_err pxi_key_read (const char *path, pxi_cluster_key *key, char *why);
/* Writes a new one: mode 0600. PX_ESYSTEM, where the file is there already as well. */
px_err pxi_key_make (const char *path, char *why);
void pxi_key_wipe (pxi_cluster_key *key);

/* For the name of a listener of this host: peers with different keys never meet there. */
void pxi_key_tag (const pxi_cluster_key *key, char text[17]);

/* The options of a ZeroMQ socket: one that is bound, one that connects. */
void pxi_key_serve (const pxi_cluster_key *key, void *socket);
void pxi_key_connect (const pxi_cluster_key *key, void *socket);

#endif
