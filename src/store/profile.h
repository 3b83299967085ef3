/* Profiles: what a program's branch numbers came out as on a cluster, as text that people read and edit.
 *
 * A file is ZPL, the format of CZMQ's zconfig (rfc.zeromq.org/spec/4): "key = value" lines, sections indented by four
 * spaces. It is read by code of its own because zconfig takes typos, duplicates and garbage, knows no lines, and
 * brings CZMQ's signal handlers into the program that embeds the library. Whatever is not understood is an error with
 * its line. No globals; any thread. */
#ifndef PXI_STORE_PROFILE_H
#define PXI_STORE_PROFILE_H

#include <stdbool.h>

#include <peerexec/job.h>

#include "base/digest.h"

enum {
    PXI_PROFILE_POINTS_MAX = 64,
    PXI_PROFILE_CLASSES_MAX = 16,
    PXI_PROFILE_TEXT_MAX = 255, /* bytes of one value */
    PXI_PROFILE_SIZE_MAX = 65536,
    PXI_PROFILES_MAX = 4096, /* files of a directory that are looked at */
    PXI_PROFILE_PATH_MAX = 4096,
};

/* How far most peers are: on this host by their addresses, others by the median round trip. */
typedef enum pxi_link {
    PXI_LINK_NONE, /* no other peer */
    PXI_LINK_HOST,
    PXI_LINK_LAN,   /* below 2 ms */
    PXI_LINK_METRO, /* below 20 ms */
    PXI_LINK_WAN,
    PXI_LINKS
} pxi_link;

/* Peers of one kind: other than the one that submits. */
typedef struct pxi_profile_class {
    uint32_t peers, slots;
    char device[PX_NAME_SIZE_MAX + 1]; /* "cpu", "opencl": beside its slots */
    pxi_link link;
    uint32_t speed_percent; /* of their slots, on an average: 100 = as those here; 0 = not known */
} pxi_profile_class;

/* By which a cluster is known again. */
typedef struct pxi_fingerprint {
    uint32_t slots_here; /* of the submitting peer */
    pxi_link link;
    uint32_t n_classes;
    pxi_profile_class classes[PXI_PROFILE_CLASSES_MAX]; /* most slots first */
} pxi_fingerprint;

typedef struct pxi_profile_point {
    char name[PX_POINT_SIZE_MAX + 1];
    uint32_t number, standard; /* standard: in force without the profile */
    bool grain;                /* no branch point, but a number that the program asks for */
} pxi_profile_point;

typedef struct pxi_profile {
    char date[PXI_PROFILE_TEXT_MAX + 1]; /* ISO 8601, UTC */
    char module[PX_NAME_SIZE_MAX + 1];
    char task[2 * (PX_NAME_SIZE_MAX + 1)];
    char argument[PXI_PROFILE_TEXT_MAX + 1];
    char digest[2 * PXI_DIGEST_SIZE + 1]; /* of the module's file, in hexadecimal */
    pxi_fingerprint cluster;
    uint32_t n_points;
    pxi_profile_point points[PXI_PROFILE_POINTS_MAX];
    double makespan_s;                /* measured with these numbers */
    double gain, gain_low, gain_high; /* per cent of the standard's makespan saved; 95 % interval */
    uint32_t runs;
} pxi_profile;

/* PX_ECONFIG: `why` says line and reason. */
px_err pxi_profile_parse (const char *text, size_t size, pxi_profile *profile,
                          char why[PX_WHY_SIZE]);
/* As much as fits is written; returns what is needed without the NUL. */
size_t pxi_profile_print (const pxi_profile *profile, char *text, size_t size);
/* PX_ECONFIG, PX_ESYSTEM: `why` says file, line and reason. */
px_err pxi_profile_read (const char *path, pxi_profile *profile, char why[PX_WHY_SIZE]);
/* In one step: a reader sees the old one or the new one. PX_ESYSTEM. */
px_err pxi_profile_write (const char *path, const pxi_profile *profile, char why[PX_WHY_SIZE]);

void pxi_fingerprint_make (uint32_t slots_here, const px_peer_other *others, size_t n_others,
                           pxi_fingerprint *fingerprint);
/* For people: "2 slots here, 3 peers of 1 slot, links within a host". */
void pxi_fingerprint_text (const pxi_fingerprint *fingerprint, char *text, size_t size);
bool pxi_fingerprint_same (const pxi_fingerprint *a, const pxi_fingerprint *b);

/* What the program and the cluster at hand are. */
typedef struct pxi_profile_wanted {
    const char *module, *task; /* task: full name */
    const char *digest;
    pxi_fingerprint cluster;
} pxi_profile_wanted;

typedef enum pxi_profile_fit {
    PXI_PROFILE_OTHER_PROGRAM, /* not worth a word */
    PXI_PROFILE_OTHER_CLUSTER, /* ignored, with a notice */
    PXI_PROFILE_CHANGED,       /* used, with a warning: code or cluster have changed a little */
    PXI_PROFILE_FITS,
} pxi_profile_fit;

/* `why` (PX_WHY_SIZE) says what is different. */
pxi_profile_fit pxi_profile_fits (const pxi_profile *profile, const pxi_profile_wanted *wanted,
                                  char *why);

/* Of `path`, a profile or a directory of profiles ("*.zpl"), the one that fits best; *found false: none does.
 * Says to the caller what is ignored (PX_LOG_NOTICE) or has changed (PX_LOG_WARNING).
 * PX_ECONFIG one of them is not a profile, PX_ESYSTEM; `why` says which, where and what. A directory that does not
 * exist is an empty one. */
typedef void pxi_profile_say_fn (void *context, px_log_level level, const char *text);
px_err pxi_profile_find (const char *path, const pxi_profile_wanted *wanted,
                         pxi_profile_say_fn *say, void *context, pxi_profile *profile, bool *found,
                         char why[PX_WHY_SIZE]);

#endif
