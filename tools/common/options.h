/* One table of options for a tool: parsing (getopt_long), strict checking, --help and --version. */
#ifndef TOOLS_COMMON_OPTIONS_H
#define TOOLS_COMMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LIST_MAX = 64 }; /* values of one repeatable option */

/* NULL-ended, as the library wants its lists. Values point into argv, or are strings of config.h.
 */
typedef struct list_option {
    const char *items[LIST_MAX + 1];
    uint32_t n;
} list_option;

typedef enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_NUMBER, /* uint64_t, between low and high */
    OPTION_REAL,   /* double, between low and high */
    OPTION_TEXT,   /* const char * */
    OPTION_LIST,   /* list_option: may be given several times */
} option_kind;

typedef struct option_entry {
    const char *name; /* without the dashes */
    option_kind kind;
    size_t offset;        /* in the settings structure */
    const char *argument; /* as help shows it; NULL for flags */
    const char *text;     /* what it does, one or several lines separated by \n */
    double low, high;     /* of numbers; both included */
} option_entry;

/* Of every tool that talks to peers. */
#define KEY_ENTRY(offset)                                                                          \
    {                                                                                              \
        "key", OPTION_TEXT, offset, "FILE",                                                        \
            "the cluster's key file ('peerd --new-key FILE' makes one):\nonly who has it can "     \
            "take "                                                                                \
            "part, and TCP is encrypted",                                                          \
            0, 0                                                                                   \
    }

/* Of every tool that opens peers. */
#define DEVICES_ENTRY(offset, fallback)                                                            \
    {                                                                                              \
        "devices", OPTION_TEXT, offset, "LIST",                                                    \
            "OpenCL devices for data-parallel tasks: all, none, or some,\nby indices and parts "   \
            "of "                                                                                  \
            "names, as 0,geforce; default " fallback,                                              \
            0, 0                                                                                   \
    }

typedef struct option_table {
    const char *program, *usage, *purpose; /* usage without the program's name */
    const option_entry *entries;           /* --help and --version are always there */
    size_t n_entries;
    const char *epilogue; /* of --help: exit codes, examples; may be NULL */
} option_table;

typedef enum options_end {
    OPTIONS_RUN,   /* go on */
    OPTIONS_SHOWN, /* --help or --version was printed: exit 0 */
    OPTIONS_WRONG, /* said on standard error: exit 2 */
} options_end;

/* Fill `settings`; *first = index of the first argument that is no option (options end there when
 * `stop_at_first`; otherwise they may come anywhere). */
options_end options_parse (const option_table *table, int argc, char **argv, bool stop_at_first,
                           void *settings, int *first);
/* One value, as from a configuration file. False: `why` (size bytes) says what is wrong. */
bool options_set (const option_entry *entry, void *settings, const char *value, char *why,
                  size_t size);
const option_entry *options_find (const option_table *table, const char *name);

#endif
