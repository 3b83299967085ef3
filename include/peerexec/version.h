/* Version of the library and of the interface between peers and modules. */
#ifndef PEEREXEC_VERSION_H
#define PEEREXEC_VERSION_H

#define PX_VERSION_MAJOR 0
#define PX_VERSION_MINOR 1
#define PX_VERSION_PATCH 0
#define PX_VERSION_TEXT "0.1.0"

/* The binary interface between a module and the library. A module of another number is refused. */
#define PX_MODULE_ABI 1

#if defined(__GNUC__)
#define PX_API __attribute__ ((visibility ("default")))
#define PX_PRINTF(format_at, first_at) __attribute__ ((format (printf, format_at, first_at)))
#else
#define PX_API
#define PX_PRINTF(format_at, first_at)
#endif

#endif
