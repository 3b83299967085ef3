/* The version of the protocol, and how an envelope of any version is told from garbage.
 *
 * Who gets an envelope of another version answers with a refusal, which every version reads. It is one
 * frame, laid out once and for all: the header with PXI_WIRE_REFUSAL for a version, then the version
 * that the refuser speaks and the one that it was sent, 16 bits each, little endian. Bytes behind that
 * are left unread. A refusal is never answered. */
#ifndef PXI_WIRE_VERSION_H
#define PXI_WIRE_VERSION_H

enum {
    PXI_WIRE_VERSION = 1,        /* this one; no other is understood */
    PXI_WIRE_MAGIC = 0x50580000, /* high half of the first field */
    PXI_WIRE_HEADER_SIZE = 5,    /* tag of field 1 and its four bytes, little endian */
    PXI_WIRE_HEADER_TAG = 0x0d,  /* field 1, 32 bits */
    PXI_WIRE_REFUSAL = 0xffff,   /* no version of the protocol */
    PXI_WIRE_REFUSAL_SIZE = 9,
};

#endif
