/* The version of the protocol, and how an envelope of any version is told from garbage. */
#ifndef PXI_WIRE_VERSION_H
#define PXI_WIRE_VERSION_H

enum {
    PXI_WIRE_VERSION = 1,        /* this one; no other is understood */
    PXI_WIRE_MAGIC = 0x50580000, /* high half of the first field */
    PXI_WIRE_HEADER_SIZE = 5,    /* tag of field 1 and its four bytes, little endian */
    PXI_WIRE_HEADER_TAG = 0x0d,  /* field 1, 32 bits */
};

#endif
