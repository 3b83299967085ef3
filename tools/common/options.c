#include "common/options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <peerexec/version.h>

enum { ENTRIES_MAX = 48, FIRST_VALUE = 256, HELP = 200, VERSION };

static void *place (const option_entry *entry, void *settings)
{
    return (char *)settings + entry->offset;
}

static bool set_number (const option_entry *entry, void *settings, const char *value, char *why,
                        size_t size)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull (value, &end, 10);
    if (errno || *value < '0' || *value > '9' || *end || (double)number < entry->low ||
        (double)number > entry->high) {
        snprintf (why, size, "'%s' is not a whole number from %.0f to %.0f", value, entry->low,
                  entry->high);
        return false;
    }
    *(uint64_t *)place (entry, settings) = number;
    return true;
}

static bool set_real (const option_entry *entry, void *settings, const char *value, char *why,
                      size_t size)
{
    char *end;
    errno = 0;
    double number = strtod (value, &end);
    if (errno || end == value || *end || !isfinite (number) || number < entry->low ||
        number > entry->high) {
        snprintf (why, size, "'%s' is not a number from %g to %g", value, entry->low, entry->high);
        return false;
    }
    *(double *)place (entry, settings) = number;
    return true;
}

static bool add_to_list (const option_entry *entry, void *settings, const char *value, char *why,
                         size_t size)
{
    list_option *list = place (entry, settings);
    if (list->n == LIST_MAX) {
        snprintf (why, size, "given more than %d times", LIST_MAX);
        return false;
    }
    list->items[list->n++] = value;
    list->items[list->n] = NULL;
    return true;
}

static bool set_flag (const option_entry *entry, void *settings, const char *value, char *why,
                      size_t size)
{
    bool on = !value || !strcmp (value, "1") || !strcmp (value, "true");
    if (!on && strcmp (value, "0") && strcmp (value, "false")) {
        snprintf (why, size, "'%s' is not true or false", value);
        return false;
    }
    *(bool *)place (entry, settings) = on;
    return true;
}

bool options_set (const option_entry *entry, void *settings, const char *value, char *why,
                  size_t size)
{
    switch (entry->kind) {
    case OPTION_FLAG:
        return set_flag (entry, settings, value, why, size);
    case OPTION_NUMBER:
        return set_number (entry, settings, value, why, size);
    case OPTION_REAL:
        return set_real (entry, settings, value, why, size);
    case OPTION_LIST:
        return add_to_list (entry, settings, value, why, size);
    case OPTION_TEXT:
        break;
    }
    *(const char **)place (entry, settings) = value;
    return true;
}

const option_entry *options_find (const option_table *table, const char *name)
{
    for (size_t i = 0; i < table->n_entries; i++) {
        if (!strcmp (table->entries[i].name, name))
            return &table->entries[i];
    }
    return NULL;
}

/* ---- help -------------------------------------------------------------------------------------
 */

static void print_text (const char *text)
{
    for (const char *line = text; *line;) {
        size_t length = strcspn (line, "\n");
        printf ("%*s%.*s\n", line == text ? 0 : 30, "", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static void print_entry (const char *name, const char *argument, const char *text)
{
    char left[64];
    snprintf (left, sizeof left, "--%s%s%s", name, argument ? " " : "", argument ? argument : "");
    if (strlen (left) > 26)
        printf ("  %s\n%30s", left, "");
    else
        printf ("  %-26s  ", left);
    print_text (text);
}

static void print_help (const option_table *table)
{
    printf ("Usage: %s %s\n%s\n\n", table->program, table->usage, table->purpose);
    for (size_t i = 0; i < table->n_entries; i++)
        print_entry (table->entries[i].name, table->entries[i].argument, table->entries[i].text);
    print_entry ("version", NULL, "print the version");
    print_entry ("help", NULL, "print this");
    if (table->epilogue)
        printf ("\n%s", table->epilogue);
}

/* ---- parsing ----------------------------------------------------------------------------------
 */

static void fill_long_options (const option_table *table, struct option *options)
{
    size_t n = 0;
    for (; n < table->n_entries; n++)
        options[n] =
            (struct option){table->entries[n].name,
                            table->entries[n].kind == OPTION_FLAG ? no_argument : required_argument,
                            NULL, FIRST_VALUE + (int)n};
    options[n++] = (struct option){"help", no_argument, NULL, HELP};
    options[n++] = (struct option){"version", no_argument, NULL, VERSION};
    options[n] = (struct option){0};
}

static options_end wrong (const option_table *table, const char *what, const char *why)
{
    fprintf (stderr, "%s: %s: %s\n%s: see '%s --help'\n", table->program, what, why, table->program,
             table->program);
    return OPTIONS_WRONG;
}

static options_end unknown (const option_table *table, char **argv, int found)
{
    const char *what = optind > 1 ? argv[optind - 1] : "?";
    return wrong (table, what, found == ':' ? "a value must follow" : "no such option");
}

options_end options_parse (const option_table *table, int argc, char **argv, bool stop_at_first,
                           void *settings, int *first)
{
    struct option options[ENTRIES_MAX + 3];
    char why[160];
    int found;
    fill_long_options (table, options);
    opterr = 0;
    optind = 1;
    while ((found = getopt_long (argc, argv, stop_at_first ? "+:" : ":", options, NULL)) != -1) {
        if (found == HELP) {
            print_help (table);
            return OPTIONS_SHOWN;
        }
        if (found == VERSION) {
            printf ("%s %s\n", table->program, PX_VERSION_TEXT);
            return OPTIONS_SHOWN;
        }
        if (found < FIRST_VALUE)
            return unknown (table, argv, found);
        const option_entry *entry = &table->entries[found - FIRST_VALUE];
        if (!options_set (entry, settings, optarg, why, sizeof why)) {
            char what[64];
            snprintf (what, sizeof what, "--%s", entry->name);
            return wrong (table, what, why);
        }
    }
    *first = optind;
    return OPTIONS_RUN;
}
