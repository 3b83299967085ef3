/* The text of profiles: one table says which keys there are, where each goes and what it may be; it is read by it
 * and written by it, so the two cannot differ. */
#include "store/profile.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/print.h"

enum { VERSION = 1, INDENT = 4, LINE_SIZE_MAX = 1023, N_KEYS_MAX = 32 };

typedef enum section_kind {
    SECTION_TOP,
    SECTION_CLUSTER,
    SECTION_CLASS,
    SECTION_POINT,
    SECTION_GRAIN,
    SECTION_GAIN,
    N_SECTIONS
} section_kind;

typedef enum value_kind {
    VALUE_VERSION,
    VALUE_TEXT,
    VALUE_DIGEST,
    VALUE_NUMBER,
    VALUE_REAL,
    VALUE_LINK
} value_kind;

typedef struct key_entry {
    section_kind section;
    const char *name;
    value_kind kind;
    size_t offset, size; /* in the section's structure; size: of text, with its NUL */
    double low, high;    /* of numbers */
    const char *comment; /* for the one who edits it */
} key_entry;

#define PROFILE(member) offsetof (pxi_profile, member)
#define TEXT_OF(type, member)                                                                      \
    VALUE_TEXT, offsetof (type, member), sizeof (((type *)0)->member), 0, 0
static const key_entry KEYS[] = {
    {SECTION_TOP, "profile", VALUE_VERSION, 0, 0, VERSION, VERSION, "format of this file"},
    {SECTION_TOP, "date", TEXT_OF (pxi_profile, date), NULL},
    {SECTION_TOP, "module", TEXT_OF (pxi_profile, module), NULL},
    {SECTION_TOP, "digest", VALUE_DIGEST, PROFILE (digest), 65, 0, 0,
     "of the module's file: other code, other numbers"},
    {SECTION_TOP, "task", TEXT_OF (pxi_profile, task), NULL},
    {SECTION_TOP, "argument", TEXT_OF (pxi_profile, argument), NULL},
    {SECTION_TOP, "runs", VALUE_NUMBER, PROFILE (runs), 0, 0, 1e6, "that it took to find out"},
    {SECTION_CLUSTER, "slots-here", VALUE_NUMBER, offsetof (pxi_fingerprint, slots_here), 0, 1,
     65535, "of the peer that submits"},
    {SECTION_CLUSTER, "link", VALUE_LINK, offsetof (pxi_fingerprint, link), 0, 0, 0,
     "to the other peers: none, host, lan, metro or wan"},
    {SECTION_CLASS, "peers", VALUE_NUMBER, offsetof (pxi_profile_class, peers), 0, 1, 1e6,
     "other peers"},
    {SECTION_CLASS, "slots", VALUE_NUMBER, offsetof (pxi_profile_class, slots), 0, 1, 65535,
     "of each"},
    {SECTION_CLASS, "device", TEXT_OF (pxi_profile_class, device),
     "cpu, or opencl beside the slots"},
    {SECTION_CLASS, "link", VALUE_LINK, offsetof (pxi_profile_class, link), 0, 0, 0, NULL},
    {SECTION_CLASS, "speed", VALUE_NUMBER, offsetof (pxi_profile_class, speed_percent), 0, 0, 1e6,
     "of a slot, in % of one here; 0 = not known"},
    {SECTION_POINT, "name", TEXT_OF (pxi_profile_point, name), NULL},
    {SECTION_POINT, "number", VALUE_NUMBER, offsetof (pxi_profile_point, number), 0, 0, 65535,
     "most remote workers of one branch; 0 = never leave the peer"},
    {SECTION_POINT, "default", VALUE_NUMBER, offsetof (pxi_profile_point, standard), 0, 0, 65535,
     "without this profile"},
    {SECTION_GRAIN, "name", TEXT_OF (pxi_profile_point, name), NULL},
    {SECTION_GRAIN, "number", VALUE_NUMBER, offsetof (pxi_profile_point, number), 0, 1,
     PX_TUNABLE_MAX, "what the program is told when it asks for it"},
    {SECTION_GRAIN, "default", VALUE_NUMBER, offsetof (pxi_profile_point, standard), 0, 1,
     PX_TUNABLE_MAX, "without this profile"},
    {SECTION_GAIN, "makespan-s", VALUE_REAL, PROFILE (makespan_s), 0, 0, 1e9, "with these numbers"},
    {SECTION_GAIN, "percent", VALUE_REAL, PROFILE (gain), 0, -1e6, 100,
     "of the default's makespan saved"},
    {SECTION_GAIN, "low", VALUE_REAL, PROFILE (gain_low), 0, -1e6, 100, "95 % interval"},
    {SECTION_GAIN, "high", VALUE_REAL, PROFILE (gain_high), 0, -1e6, 100, NULL},
};
enum { N_KEYS = sizeof KEYS / sizeof *KEYS };
_Static_assert((int)N_KEYS <= (int)N_KEYS_MAX, "a bit each");

static const char *const section_names[N_SECTIONS] = {"",      "cluster", "class",
                                                      "point", "grain",   "gain"};
static const char *const link_names[PXI_LINKS] = {"none", "host", "lan", "metro", "wan"};

static bool is_many (section_kind section)
{
    return section == SECTION_CLASS || section == SECTION_POINT || section == SECTION_GRAIN;
}

/* ---- reading ---------------------------------------------------------------------------------- */

typedef struct profile_reader {
    pxi_profile *profile;
    char *why;
    unsigned line, section_line;
    section_kind section;
    void *base; /* of the section's structure */
    uint32_t seen;
    bool seen_sections[N_SECTIONS];
} profile_reader;

static px_err fail_at (const profile_reader *reader, unsigned line, const char *what,
                       const char *why)
{
    return pxi_fail (PX_ECONFIG, reader->why, "line %u: %s: %s", line, what, why);
}

static char *trim (char *text)
{
    while (isspace ((unsigned char)*text))
        text++;
    size_t length = strlen (text);
    while (length && isspace ((unsigned char)text[length - 1]))
        text[--length] = 0;
    return text;
}

/* Quoted, or up to a comment. NULL: a quote without its end, or something after it. */
static char *take_value (char *text)
{
    text = trim (text);
    if (*text != '"' && *text != '\'') {
        text[strcspn (text, "#")] = 0;
        return trim (text);
    }
    char *end = strchr (text + 1, *text);
    if (!end)
        return NULL;
    *end = 0;
    char *rest = trim (end + 1);
    return *rest && *rest != '#' ? NULL : text + 1;
}

static px_err set_number (profile_reader *reader, const key_entry *key, const char *value)
{
    char *end, reason[96];
    errno = 0;
    double number = strtod (value, &end);
    bool whole = key->kind == VALUE_REAL || (isdigit ((unsigned char)*value) &&
                                             strspn (value, "0123456789") == strlen (value));
    if (end == value || *end || errno || !isfinite (number) || !whole || number < key->low ||
        number > key->high) {
        snprintf (reason, sizeof reason, "want a %snumber from %.0f to %.0f",
                  key->kind == VALUE_REAL ? "" : "whole ", key->low, key->high);
        return fail_at (reader, reader->line, key->name, reason);
    }
    if (key->kind == VALUE_REAL)
        *(double *)(void *)((char *)reader->base + key->offset) = number;
    else if (key->kind == VALUE_NUMBER)
        *(uint32_t *)(void *)((char *)reader->base + key->offset) = (uint32_t)number;
    return PX_OK;
}

static px_err set_link (profile_reader *reader, const key_entry *key, const char *value)
{
    for (int i = 0; i < PXI_LINKS; i++) {
        if (!strcmp (value, link_names[i])) {
            *(pxi_link *)(void *)((char *)reader->base + key->offset) = (pxi_link)i;
            return PX_OK;
        }
    }
    return fail_at (reader, reader->line, key->name, "want none, host, lan, metro or wan");
}

static px_err set_text (profile_reader *reader, const key_entry *key, const char *value)
{
    size_t length = strlen (value);
    bool is_digest = key->kind == VALUE_DIGEST;
    if (is_digest && (length != key->size - 1 || strspn (value, "0123456789abcdef") != length))
        return fail_at (reader, reader->line, key->name, "want 64 hexadecimal digits");
    if (length >= key->size)
        return fail_at (reader, reader->line, key->name, "is too long");
    if (!length && strcmp (key->name, "argument"))
        return fail_at (reader, reader->line, key->name, "is empty");
    memcpy ((char *)reader->base + key->offset, value, length + 1);
    return PX_OK;
}

static px_err set_key (profile_reader *reader, const char *name, const char *value)
{
    uint32_t at = 0;
    while (at < N_KEYS && (KEYS[at].section != reader->section || strcmp (KEYS[at].name, name)))
        at++;
    if (at == N_KEYS)
        return fail_at (reader, reader->line, name, "no such key here");
    if (reader->seen & 1u << at)
        return fail_at (reader, reader->line, name, "given twice");
    reader->seen |= 1u << at;
    switch (KEYS[at].kind) {
    case VALUE_TEXT:
    case VALUE_DIGEST:
        return set_text (reader, &KEYS[at], value);
    case VALUE_LINK:
        return set_link (reader, &KEYS[at], value);
    case VALUE_VERSION:
    case VALUE_NUMBER:
    case VALUE_REAL:
        break;
    }
    return set_number (reader, &KEYS[at], value);
}

static px_err end_section (profile_reader *reader)
{
    for (uint32_t i = 0; i < N_KEYS; i++) {
        if (KEYS[i].section != reader->section || reader->seen & 1u << i)
            continue;
        char what[64];
        snprintf (what, sizeof what, "%s",
                  reader->section ? section_names[reader->section] : "the file");
        return pxi_fail (PX_ECONFIG, reader->why, "line %u: %s: '%s' is missing",
                         reader->section_line, what, KEYS[i].name);
    }
    return PX_OK;
}

static void *room_for (profile_reader *reader, section_kind section)
{
    pxi_profile *profile = reader->profile;
    switch (section) {
    case SECTION_CLUSTER:
        return &profile->cluster;
    case SECTION_CLASS:
        return profile->cluster.n_classes < PXI_PROFILE_CLASSES_MAX
                   ? &profile->cluster.classes[profile->cluster.n_classes++]
                   : NULL;
    case SECTION_POINT:
    case SECTION_GRAIN:
        if (profile->n_points == PXI_PROFILE_POINTS_MAX)
            return NULL;
        profile->points[profile->n_points].grain = section == SECTION_GRAIN;
        return &profile->points[profile->n_points++];
    case SECTION_TOP:
    case SECTION_GAIN:
    case N_SECTIONS:
        break;
    }
    return profile;
}

static px_err begin_section (profile_reader *reader, const char *name)
{
    px_err err = end_section (reader);
    int section = SECTION_CLUSTER;
    while (section < N_SECTIONS && strcmp (name, section_names[section]))
        section++;
    if (err != PX_OK)
        return err;
    if (section == N_SECTIONS)
        return fail_at (reader, reader->line, name,
                        "want key = value, or cluster, class, point, grain or gain");
    if (!is_many ((section_kind)section) && reader->seen_sections[section])
        return fail_at (reader, reader->line, name, "given twice");
    reader->seen_sections[section] = true;
    reader->section = (section_kind)section;
    reader->section_line = reader->line;
    reader->seen = 0;
    reader->base = room_for (reader, reader->section);
    return reader->base ? PX_OK : fail_at (reader, reader->line, name, "too many of them");
}

static px_err take_line (profile_reader *reader, char *line)
{
    size_t indent = strspn (line, " ");
    char *text = trim (line);
    if (!*text || *text == '#')
        return PX_OK;
    char *equals = strchr (text, '=');
    char *hash = strchr (text, '#');
    if (!equals || (hash && hash < equals)) {
        text[strcspn (text, "#")] = 0;
        return indent ? fail_at (reader, reader->line, trim (text), "want key = value")
                      : begin_section (reader, trim (text));
    }
    *equals = 0;
    char *name = trim (text), *value = take_value (equals + 1);
    if (indent != (reader->section ? INDENT : 0))
        return fail_at (reader, reader->line, name,
                        reader->section ? "keys of a section are indented by 4 spaces"
                                        : "is indented, and in no section");
    return value ? set_key (reader, name, value)
                 : fail_at (reader, reader->line, name, "a quote has no end");
}

static px_err check_whole (profile_reader *reader)
{
    const pxi_profile *profile = reader->profile;
    px_err err = end_section (reader);
    for (int i = SECTION_CLUSTER; err == PX_OK && i < N_SECTIONS; i++) {
        if (!reader->seen_sections[i] && !is_many ((section_kind)i))
            err = fail_at (reader, reader->line, section_names[i], "is missing");
    }
    for (uint32_t i = 0; err == PX_OK && i < profile->n_points; i++) {
        for (uint32_t j = 0; err == PX_OK && j < i; j++) {
            if (!strcmp (profile->points[i].name, profile->points[j].name))
                err = fail_at (reader, reader->line, profile->points[i].name,
                               "this branch point is given twice");
        }
    }
    return err;
}

px_err pxi_profile_parse (const char *text, size_t size, pxi_profile *profile,
                          char why[PX_WHY_SIZE])
{
    profile_reader reader = {.profile = profile, .why = why, .section_line = 1, .base = profile};
    char line[LINE_SIZE_MAX + 1];
    const char *end = text + size;
    *profile = (pxi_profile){0};
    for (const char *at = text; at < end;) {
        const char *newline = memchr (at, '\n', (size_t)(end - at));
        size_t length = (size_t)((newline ? newline : end) - at);
        reader.line++;
        if (length > LINE_SIZE_MAX || memchr (at, 0, length))
            return fail_at (&reader, reader.line, "line", "longer than 1023 bytes, or not text");
        memcpy (line, at, length);
        line[length] = 0;
        px_err err = take_line (&reader, line);
        if (err != PX_OK)
            return err;
        at += length + 1;
    }
    return check_whole (&reader);
}

/* ---- writing ---------------------------------------------------------------------------------- */

/* A text that could not be read back as it is loses what stands in the way: it is for people. */
static void put_text (pxi_printer *to, const char *text)
{
    char clean[PXI_PROFILE_TEXT_MAX + 1];
    size_t n = 0;
    for (; *text && n < PXI_PROFILE_TEXT_MAX; text++)
        clean[n++] =
            (char)((unsigned char)*text < ' ' || *text == 127 || *text == '"' ? '?' : *text);
    clean[n] = 0;
    pxi_print (to, "\"%s\"", clean);
}

static void put_value (pxi_printer *to, const key_entry *key, const char *base)
{
    const void *at = base + key->offset;
    switch (key->kind) {
    case VALUE_TEXT:
    case VALUE_DIGEST:
        put_text (to, at);
        break;
    case VALUE_LINK:
        pxi_print (to, "%s", link_names[*(const pxi_link *)at]);
        break;
    case VALUE_REAL:
        pxi_print (to, "%.6g", *(const double *)at);
        break;
    case VALUE_NUMBER:
        pxi_print (to, "%" PRIu32, *(const uint32_t *)at);
        break;
    case VALUE_VERSION:
        pxi_print (to, "%d", VERSION);
        break;
    }
}

static void put_section (pxi_printer *to, section_kind section, const void *base)
{
    if (section)
        pxi_print (to, "%s\n", section_names[section]);
    for (uint32_t i = 0; i < N_KEYS; i++) {
        if (KEYS[i].section != section)
            continue;
        pxi_print (to, "%*s%s = ", section ? INDENT : 0, "", KEYS[i].name);
        put_value (to, &KEYS[i], base);
        pxi_print (to, "%s%s\n", KEYS[i].comment ? "  # " : "",
                   KEYS[i].comment ? KEYS[i].comment : "");
    }
}

size_t pxi_profile_print (const pxi_profile *profile, char *text, size_t size)
{
    pxi_printer to = {text, size, 0};
    put_section (&to, SECTION_TOP, profile);
    put_section (&to, SECTION_CLUSTER, &profile->cluster);
    for (uint32_t i = 0; i < profile->cluster.n_classes; i++)
        put_section (&to, SECTION_CLASS, &profile->cluster.classes[i]);
    for (uint32_t i = 0; i < profile->n_points; i++)
        put_section (&to, profile->points[i].grain ? SECTION_GRAIN : SECTION_POINT,
                     &profile->points[i]);
    put_section (&to, SECTION_GAIN, profile);
    return to.needed;
}
