/* Which profile fits the cluster and the program at hand. A number that was right for three peers is right for four,
 * and for other code of the same program: it is used, and it is said that tuning again would be better. For a cluster
 * of another size or another kind of link it says nothing. */
#include "store/profile.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum { FAR_TIMES = 4 };     /* in speed: what pays on the one may not on the other */
enum { FEW_PERCENT = 142 }; /* a change of size below a factor of the square root of two is none */

/* ---- files ------------------------------------------------------------------------------------ */

static px_err fail_system (const char *path, char *why)
{
    return pxi_fail (PX_ESYSTEM, why, "%s: %s", path, strerror (errno));
}

px_err pxi_profile_read (const char *path, pxi_profile *profile, char why[PX_WHY_SIZE])
{
    char reason[PX_WHY_SIZE] = "";
    FILE *file = fopen (path, "re");
    char *text = file ? malloc (PXI_PROFILE_SIZE_MAX + 1) : NULL;
    if (!file)
        return fail_system (path, why);
    size_t size = text ? fread (text, 1, PXI_PROFILE_SIZE_MAX + 1, file) : 0;
    px_err err = !text ? PX_ENOMEM : ferror (file) ? fail_system (path, why) : PX_OK;
    fclose (file);
    if (err == PX_OK && size > PXI_PROFILE_SIZE_MAX)
        err = pxi_fail (PX_ECONFIG, why, "%s: larger than %d bytes: not a profile", path,
                        PXI_PROFILE_SIZE_MAX);
    else if (err == PX_OK && (err = pxi_profile_parse (text, size, profile, reason)) != PX_OK)
        pxi_fail (err, why, "%s: %s", path, reason);
    free (text);
    return err;
}

static bool write_text (const char *path, const char *text, size_t size)
{
    FILE *file = fopen (path, "we");
    bool written = file && fwrite (text, 1, size, file) == size && fflush (file) == 0 &&
                   fsync (fileno (file)) == 0;
    if (file)
        written = fclose (file) == 0 && written;
    return written;
}

px_err pxi_profile_write (const char *path, const pxi_profile *profile, char why[PX_WHY_SIZE])
{
    char beside[PXI_PROFILE_PATH_MAX];
    char *text = malloc (PXI_PROFILE_SIZE_MAX);
    size_t size = text ? pxi_profile_print (profile, text, PXI_PROFILE_SIZE_MAX) : 0;
    if (!text)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    px_err err = PX_OK;
    if (snprintf (beside, sizeof beside, "%s.new", path) >= (int)sizeof beside ||
        size >= PXI_PROFILE_SIZE_MAX)
        err = pxi_fail (PX_EINVAL, why, "%s: too long", path);
    else if (!write_text (beside, text, size) || rename (beside, path) != 0) {
        err = fail_system (path, why);
        unlink (beside);
    }
    free (text);
    return err;
}

/* ---- fingerprints ----------------------------------------------------------------------------- */

static int smaller_first (const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

static pxi_link link_of_rtt (uint64_t rtt_ns)
{
    static const uint64_t limits_ns[] = {2000000, 20000000};
    uint32_t link = PXI_LINK_LAN;
    while (link < PXI_LINK_WAN && rtt_ns >= limits_ns[link - PXI_LINK_LAN])
        link++;
    return (pxi_link)link;
}

/* A round trip is no sign of the same host: while that is busy it takes milliseconds. */
static pxi_link link_of (const px_peer_other *others, size_t n_others)
{
    uint64_t *rtts_ns = malloc ((n_others + 1) * sizeof *rtts_ns);
    size_t n = 0, n_near = 0;
    for (size_t i = 0; rtts_ns && i < n_others; i++) {
        n_near += others[i].same_host != 0;
        if (others[i].rtt_ns && !others[i].same_host)
            rtts_ns[n++] = others[i].rtt_ns;
    }
    if (n > 1)
        qsort (rtts_ns, n, sizeof *rtts_ns, smaller_first);
    pxi_link link = link_of_rtt (n ? rtts_ns[n / 2] : 0);
    free (rtts_ns);
    return !n_others ? PXI_LINK_NONE : 2 * n_near > n_others ? PXI_LINK_HOST : link;
}

/* Speeds are measured, so those within a factor of two are one class. */
static bool speeds_are_near (uint64_t a, uint64_t b)
{
    return !a || !b || (a <= 2 * b && b <= 2 * a);
}

static bool is_of_class (const pxi_profile_class *class, const pxi_profile_class *peer)
{
    return class->slots == peer->slots && class->link == peer->link &&
           !strcmp (class->device, peer->device) &&
           speeds_are_near (class->speed_percent, peer->speed_percent);
}

static void count_peer (pxi_fingerprint *fingerprint, const pxi_profile_class *peer)
{
    uint32_t n = fingerprint->n_classes, at = 0, before = 0;
    while (at < n && !is_of_class (&fingerprint->classes[at], peer))
        at++;
    pxi_profile_class *class = &fingerprint->classes[at];
    if (at < n || n == PXI_PROFILE_CLASSES_MAX) { /* what is one too many goes to the smallest */
        class -= at == PXI_PROFILE_CLASSES_MAX;
        uint64_t sum = (uint64_t) class->speed_percent * class->peers + peer->speed_percent;
        if (class->speed_percent && peer->speed_percent)
            class->speed_percent = (uint32_t)(sum / (class->peers + 1));
        else
            class->speed_percent += peer->speed_percent;
        class->peers++;
        return;
    }
    while (before < n && fingerprint->classes[before].slots >= peer->slots)
        before++;
    class = &fingerprint->classes[before];
    memmove (class + 1, class, (n - before) * sizeof *class);
    *class = *peer;
    fingerprint->n_classes++;
}

void pxi_fingerprint_make (uint32_t slots_here, const px_peer_other *others, size_t n_others,
                           pxi_fingerprint *fingerprint)
{
    *fingerprint = (pxi_fingerprint){.slots_here = slots_here, .link = link_of (others, n_others)};
    for (size_t i = 0; i < n_others; i++) {
        pxi_profile_class peer = {.peers = 1,
                                  .slots = others[i].slots,
                                  .link = others[i].same_host ? PXI_LINK_HOST
                                                              : link_of_rtt (others[i].rtt_ns),
                                  .speed_percent = others[i].speed_percent};
        strcpy (peer.device, others[i].devices ? "opencl" : "cpu");
        if (others[i].slots && !others[i].unresponsive)
            count_peer (fingerprint, &peer);
    }
}

static const char *const link_texts[PXI_LINKS] = {"alone", "on one host", "in a local network",
                                                  "in one region", "far away"};

void pxi_fingerprint_text (const pxi_fingerprint *fingerprint, char *text, size_t size)
{
    int at = snprintf (text, size, "%" PRIu32 " slots here", fingerprint->slots_here);
    for (uint32_t i = 0; i < fingerprint->n_classes && at > 0 && (size_t)at < size; i++) {
        const pxi_profile_class *class = &fingerprint->classes[i];
        at += snprintf (text + at, size - (size_t)at,
                        ", %" PRIu32 " peer%s of %" PRIu32 " slot%s%s", class->peers,
                        class->peers == 1 ? "" : "s", class->slots, class->slots == 1 ? "" : "s",
                        strcmp (class->device, "cpu") ? " and devices" : "");
        if (at > 0 && (size_t)at < size && !speeds_are_near (class->speed_percent, 100))
            at += snprintf (text + at, size - (size_t)at, " at %" PRIu32 " %% of the speed here",
                            class->speed_percent);
    }
    if (at > 0 && (size_t)at < size)
        snprintf (text + at, size - (size_t)at, ", %s", link_texts[fingerprint->link]);
}

/* However they differ in speed and link: those are measured. */
static uint64_t peers_like (const pxi_fingerprint *fingerprint, const pxi_profile_class *like)
{
    uint64_t peers = 0;
    for (uint32_t i = 0; i < fingerprint->n_classes; i++) {
        const pxi_profile_class *class = &fingerprint->classes[i];
        bool alike = class->slots == like->slots && !strcmp (class->device, like->device);
        peers += alike ? class->peers : 0;
    }
    return peers;
}

static uint64_t slots_of (const pxi_fingerprint *fingerprint)
{
    uint64_t slots = 0;
    for (uint32_t i = 0; i < fingerprint->n_classes; i++)
        slots += (uint64_t)fingerprint->classes[i].peers * fingerprint->classes[i].slots;
    return slots;
}

/* Of a slot, on an average over those of which it is known; 0 = of none. */
static uint64_t speed_of (const pxi_fingerprint *fingerprint)
{
    uint64_t sum = 0, slots = 0;
    for (uint32_t i = 0; i < fingerprint->n_classes; i++) {
        const pxi_profile_class *class = &fingerprint->classes[i];
        uint64_t n = (uint64_t) class->peers * class->slots;
        sum += n * class->speed_percent;
        slots += class->speed_percent ? n : 0;
    }
    return slots ? sum / slots : 0;
}

bool pxi_fingerprint_same (const pxi_fingerprint *a, const pxi_fingerprint *b)
{
    bool same = a->slots_here == b->slots_here && a->link == b->link &&
                slots_of (a) == slots_of (b) && speeds_are_near (speed_of (a), speed_of (b));
    for (uint32_t i = 0; same && i < a->n_classes; i++)
        same = peers_like (a, &a->classes[i]) == peers_like (b, &a->classes[i]);
    return same;
}

/* Round trips vary, so the next class is near; what is on this host is not. */
static bool links_are_near (pxi_link a, pxi_link b)
{
    bool far = a > PXI_LINK_HOST && b > PXI_LINK_HOST;
    return a == b || (far && (a + 1 == b || b + 1 == a));
}

static bool is_near (const pxi_fingerprint *a, const pxi_fingerprint *b)
{
    uint64_t left = slots_of (a), right = slots_of (b);
    uint64_t less = left < right ? left : right, more = left < right ? right : left;
    uint64_t slow = speed_of (a), fast = speed_of (b);
    return links_are_near (a->link, b->link) && more * 100 <= less * FEW_PERCENT &&
           (!slow || !fast || (slow <= FAR_TIMES * fast && fast <= FAR_TIMES * slow));
}

/* ---- fitting ---------------------------------------------------------------------------------- */

pxi_profile_fit pxi_profile_fits (const pxi_profile *profile, const pxi_profile_wanted *wanted,
                                  char *why)
{
    char then[PX_WHY_SIZE / 3], now[PX_WHY_SIZE / 3];
    if (strcmp (profile->module, wanted->module) || strcmp (profile->task, wanted->task)) {
        pxi_fail (PX_OK, why, "is of %s", profile->task);
        return PXI_PROFILE_OTHER_PROGRAM;
    }
    pxi_fingerprint_text (&profile->cluster, then, sizeof then);
    pxi_fingerprint_text (&wanted->cluster, now, sizeof now);
    if (!is_near (&profile->cluster, &wanted->cluster)) {
        pxi_fail (PX_OK, why, "ignored: it is of another cluster (%s; this one: %s)", then, now);
        return PXI_PROFILE_OTHER_CLUSTER;
    }
    bool same_code = !strcmp (profile->digest, wanted->digest);
    bool same_cluster = pxi_fingerprint_same (&profile->cluster, &wanted->cluster);
    if (!same_cluster)
        pxi_fail (PX_OK, why, "the cluster has changed since it was tuned%s (%s; now: %s)",
                  same_code ? "" : ", and so has the code", then, now);
    else if (!same_code)
        pxi_fail (PX_OK, why, "the code of module %s has changed since it was tuned",
                  profile->module);
    return same_code && same_cluster ? PXI_PROFILE_FITS : PXI_PROFILE_CHANGED;
}

typedef struct profile_search {
    const pxi_profile_wanted *wanted;
    pxi_profile_say_fn *say;
    void *context;
    pxi_profile *best;
    pxi_profile_fit fit; /* of the best; PXI_PROFILE_OTHER_CLUSTER: none so far */
    char *path, *reason; /* of the best; what has changed */
} profile_search;

static void say (const profile_search *search, px_log_level level, const char *path,
                 const char *reason)
{
    char text[PXI_PROFILE_PATH_MAX + PX_WHY_SIZE];
    snprintf (text, sizeof text, "%s: %s", path, reason);
    if (search->say)
        search->say (search->context, level, text);
}

/* Of two that fit as well the one of the later date. */
static bool is_preferred (const profile_search *search, const pxi_profile *profile,
                          pxi_profile_fit fit)
{
    return fit > search->fit ||
           (fit == search->fit && strcmp (profile->date, search->best->date) > 0);
}

static px_err try_file (profile_search *search, const char *path, char *why)
{
    char reason[PX_WHY_SIZE] = "";
    pxi_profile *profile = malloc (sizeof *profile);
    if (!profile)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    px_err err = pxi_profile_read (path, profile, why);
    pxi_profile_fit fit = err == PX_OK ? pxi_profile_fits (profile, search->wanted, reason)
                                       : PXI_PROFILE_OTHER_PROGRAM;
    if (fit == PXI_PROFILE_OTHER_CLUSTER)
        say (search, PX_LOG_NOTICE, path, reason);
    else if (fit > PXI_PROFILE_OTHER_CLUSTER && is_preferred (search, profile, fit)) {
        *search->best = *profile;
        search->fit = fit;
        snprintf (search->path, PXI_PROFILE_PATH_MAX, "%s", path);
        snprintf (search->reason, PX_WHY_SIZE, "%s", reason);
    }
    free (profile);
    return err;
}

static int is_profile (const struct dirent *entry)
{
    const char *dot = strrchr (entry->d_name, '.');
    return dot && dot != entry->d_name && !strcmp (dot, ".zpl");
}

/* In the order of their names. */
static px_err try_directory (profile_search *search, const char *path, char *why)
{
    struct dirent **entries;
    char file[PXI_PROFILE_PATH_MAX];
    int n = scandir (path, &entries, is_profile, alphasort);
    if (n < 0)
        return errno == ENOENT ? PX_OK : fail_system (path, why);
    px_err err = n > PXI_PROFILES_MAX
                     ? pxi_fail (PX_EFULL, why, "%s: more than %d profiles", path, PXI_PROFILES_MAX)
                     : PX_OK;
    for (int i = 0; i < n; i++) {
        if (err == PX_OK &&
            snprintf (file, sizeof file, "%s/%s", path, entries[i]->d_name) < (int)sizeof file)
            err = try_file (search, file, why);
        free (entries[i]);
    }
    free (entries);
    return err;
}

px_err pxi_profile_find (const char *path, const pxi_profile_wanted *wanted,
                         pxi_profile_say_fn *say_fn, void *context, pxi_profile *profile,
                         bool *found, char why[PX_WHY_SIZE])
{
    struct stat status;
    char best[PXI_PROFILE_PATH_MAX] = "", reason[PX_WHY_SIZE] = "";
    profile_search search = {wanted, say_fn, context, profile, PXI_PROFILE_OTHER_CLUSTER,
                             best,   reason};
    *profile = (pxi_profile){0};
    bool is_file = stat (path, &status) == 0 && S_ISREG (status.st_mode);
    px_err err = is_file ? try_file (&search, path, why) : try_directory (&search, path, why);
    *found = err == PX_OK && search.fit > PXI_PROFILE_OTHER_CLUSTER;
    if (*found && search.fit == PXI_PROFILE_CHANGED)
        say (&search, PX_LOG_WARNING, best, reason);
    else if (*found)
        say (&search, PX_LOG_INFO, best, "in force");
    return err;
}
