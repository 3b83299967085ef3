/* zconfig accepts typos, duplicates and garbage, and knows no lines: it parses, the rest is here.
 * The line of the n-th occurrence of a key is looked for in the file itself. */
#include "common/config.h"

#include <ctype.h>
#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_SIZE = 1024 };

static bool say (const char *program, const char *path, unsigned line, const char *what,
                 const char *why)
{
    fprintf (stderr, "%s: %s:%u: %s: %s\n", program, path, line, what, why);
    return false;
}

static bool cannot_open (const char *program, const char *path)
{
    fprintf (stderr, "%s: %s: %s\n", program, path, strerror (errno));
    return false;
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

/* Lines that are no "key = value", comment or blank: zconfig would make something of them. */
static bool lines_are_plain (const char *program, const char *path)
{
    FILE *file = fopen (path, "r");
    if (!file)
        return cannot_open (program, path);
    char line[LINE_MAX_SIZE];
    bool plain = true;
    for (unsigned n = 1; plain && fgets (line, sizeof line, file); n++) {
        if (!strchr (line, '\n') && !feof (file))
            plain = say (program, path, n, "line", "longer than 1023 bytes");
        bool indented = isspace ((unsigned char)line[0]);
        char *text = trim (line);
        if (!*text || *text == '#')
            continue;
        if (plain && indented)
            plain = say (program, path, n, text, "indented: there are no sections here");
        if (plain && !strchr (text, '='))
            plain = say (program, path, n, text, "want: key = value");
    }
    fclose (file);
    return plain;
}

/* 0 = not found (cannot be: zconfig has read it). */
static unsigned line_of (const char *path, const char *key, unsigned occurrence)
{
    FILE *file = fopen (path, "r");
    char line[LINE_MAX_SIZE];
    unsigned found = 0;
    size_t length = strlen (key);
    for (unsigned n = 1; file && !found && fgets (line, sizeof line, file); n++) {
        char *text = trim (line);
        bool same = !strncmp (text, key, length) &&
                    (isspace ((unsigned char)text[length]) || text[length] == '=');
        if (same && occurrence-- == 1)
            found = n;
    }
    if (file)
        fclose (file);
    return found;
}

static unsigned occurrence_of (zconfig_t *root, const zconfig_t *item)
{
    unsigned n = 0;
    for (zconfig_t *at = zconfig_child (root); at; at = zconfig_next (at)) {
        n += !strcmp (zconfig_name (at), zconfig_name ((zconfig_t *)item));
        if (at == item)
            break;
    }
    return n;
}

static bool set_item (const option_table *table, const char *path, zconfig_t *root, zconfig_t *item,
                      void *settings)
{
    const char *key = zconfig_name (item);
    unsigned occurrence = occurrence_of (root, item);
    unsigned line = line_of (path, key, occurrence);
    const option_entry *entry = options_find (table, key);
    if (!entry || !strcmp (key, "config") || !strcmp (key, "new-key"))
        return say (table->program, path, line, key, "no such key");
    if (occurrence > 1 && entry->kind != OPTION_LIST)
        return say (table->program, path, line, key, "given twice");
    const char *text = zconfig_value (item);
    char *value = strdup (text ? text : ""); /* lives as long as the program, like argv */
    char why[160];
    if (!value || !*value)
        return say (table->program, path, line, key, "has no value");
    if (!options_set (entry, settings, value, why, sizeof why))
        return say (table->program, path, line, key, why);
    return true;
}

bool config_read (const option_table *table, const char *path, void *settings)
{
    if (!lines_are_plain (table->program, path))
        return false;
    zconfig_t *root = zconfig_load (path);
    if (!root) {
        fprintf (stderr, "%s: %s: not a configuration file (ZPL)\n", table->program, path);
        return false;
    }
    bool good = true;
    for (zconfig_t *item = zconfig_child (root); good && item; item = zconfig_next (item))
        good = set_item (table, path, root, item, settings);
    zconfig_destroy (&root);
    return good;
}

/* host:port or tcp://host:port; the library resolves it and says the rest. */
static bool looks_like_address (const char *text)
{
    if (!strncmp (text, "tcp://", 6))
        text += 6;
    const char *colon = strrchr (text, ':');
    if (!colon || colon == text || strpbrk (text, " \t"))
        return false;
    char *end;
    unsigned long port = strtoul (colon + 1, &end, 10);
    return isdigit ((unsigned char)colon[1]) && !*end && port >= 1 && port <= 65535;
}

bool hosts_read (const option_table *table, const char *path, list_option *list)
{
    FILE *file = fopen (path, "r");
    if (!file)
        return cannot_open (table->program, path);
    char line[LINE_MAX_SIZE];
    bool good = true;
    for (unsigned n = 1; good && fgets (line, sizeof line, file); n++) {
        line[strcspn (line, "#")] = 0;
        char *text = trim (line);
        if (!*text)
            continue;
        if (!looks_like_address (text))
            good = say (table->program, path, n, text, "want an address: host:port");
        else if (list->n == LIST_MAX)
            good = say (table->program, path, n, text,
                        "more than 64 addresses to join: any few will do");
        else
            list->items[list->n++] = strdup (text);
    }
    list->items[list->n] = NULL;
    fclose (file);
    return good;
}
