/* The answer is a first line that is always the same, then who ran what, which never needs to be.
 */
#include "bogosity/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINES_MAX 200 /* of the tree that are printed */

uint64_t bogosity_tasks (const bogosity_options *options, uint64_t depth)
{
    uint64_t n = 1;
    for (uint64_t level = 0; level < depth && n <= BOGOSITY_TASKS_MAX; level++)
        n = n * options->width + 1;
    return n;
}

void bogosity_hold (uint64_t sleep_ms)
{
    struct timespec left = {.tv_sec = (time_t)(sleep_ms / 1000),
                            .tv_nsec = (long)(sleep_ms % 1000) * 1000000};
    while (nanosleep (&left, &left) < 0 && errno == EINTR)
        continue;
}

void bogosity_record_set (bogosity_record *record, uint64_t level, const char *peer)
{
    memset (record, 0, sizeof *record);
    record->level = (uint32_t)level;
    snprintf (record->peer, sizeof record->peer, "%s", peer);
}

static int by_name (const void *a, const void *b)
{
    return strcmp (((const bogosity_record *)a)->peer, ((const bogosity_record *)b)->peer);
}

static void print_histogram (const bogosity_record *records, size_t n, example_answer *answer)
{
    bogosity_record *sorted = malloc (n * sizeof *sorted);
    if (sorted == NULL)
        abort ();
    memcpy (sorted, records, n * sizeof *sorted);
    qsort (sorted, n, sizeof *sorted, by_name);
    for (size_t begin = 0, end; begin < n; begin = end) {
        for (end = begin; end < n && by_name (&sorted[begin], &sorted[end]) == 0;)
            end++;
        size_t length = (end - begin) * 40 / n + 1;
        example_print (answer, "%-24s %7zu %.*s\n", sorted[begin].peer, end - begin, (int)length,
                       "*****************************************");
    }
    free (sorted);
}

void bogosity_print (const bogosity_options *options, const bogosity_record *records,
                     size_t n_records, example_answer *answer)
{
    example_print (answer, "%zu tasks slept %llu ms each\n", n_records,
                   (unsigned long long)options->sleep_ms);
    for (size_t i = 0; i < n_records && i < LINES_MAX; i++)
        example_print (answer, "%*s%s\n", (int)records[i].level * 2, "", records[i].peer);
    if (n_records > LINES_MAX)
        example_print (answer, "... %zu more\n", n_records - LINES_MAX);
    print_histogram (records, n_records, answer);
}

static void sleep_tree (const bogosity_options *options, uint64_t level, bogosity_record **next)
{
    bogosity_hold (options->sleep_ms);
    bogosity_record_set ((*next)++, level, "this program");
    for (uint64_t i = 0; level < options->depth && i < options->width; i++)
        sleep_tree (options, level + 1, next);
}

static int serial (const void *options, example_answer *answer, char *why)
{
    const bogosity_options *tree = options;
    size_t n = bogosity_tasks (tree, tree->depth);
    bogosity_record *records = calloc (n, sizeof *records);
    if (records == NULL) {
        snprintf (why, EXAMPLE_WHY_SIZE, "out of memory");
        return -1;
    }
    bogosity_record *next = records;
    sleep_tree (tree, 0, &next);
    bogosity_print (tree, records, n, answer);
    free (records);
    return 0;
}

static size_t first_line (const example_answer *answer)
{
    const unsigned char *end = answer->size ? memchr (answer->bytes, '\n', answer->size) : NULL;
    return end ? (size_t)(end - answer->bytes) : answer->size;
}

/* Who ran a task is no part of the answer. */
static int same (const example_answer *answer, const example_answer *serial_answer)
{
    size_t length = first_line (answer);
    return length == first_line (serial_answer) &&
           (length == 0 || memcmp (answer->bytes, serial_answer->bytes, length) == 0);
}

static int validate (const void *options, char *why)
{
    const bogosity_options *tree = options;
    if (bogosity_tasks (tree, tree->depth) <= BOGOSITY_TASKS_MAX)
        return 0;
    snprintf (why, EXAMPLE_WHY_SIZE, "such a tree has more than %d tasks", BOGOSITY_TASKS_MAX);
    return -1;
}

static const bogosity_options DEFAULTS = {.width = 3, .depth = 3, .sleep_ms = 50, .how = 0};

#define FIELD(name) offsetof (bogosity_options, name)
static const example_option OPTIONS[] = {
    {"--width", EXAMPLE_UNSIGNED, FIELD (width), 1, 100000, NULL, "subtasks of a task"},
    {"--depth", EXAMPLE_UNSIGNED, FIELD (depth), 0, 1000, NULL, "levels below the root"},
    {"--sleep", EXAMPLE_UNSIGNED, FIELD (sleep_ms), 0, 60000, NULL, "milliseconds of each task"},
    {"--how", EXAMPLE_CHOICE, FIELD (how), 0, 0, "hold|yield",
     "keep the slot while asleep, or let other tasks have it"},
};

const example_program example = {
    .name = "bogosity",
    .root = "bogosity.tree",
    .purpose = "Grow a tree of tasks that only sleep, and tell which peers ran them.",
    .options = OPTIONS,
    .n_options = sizeof OPTIONS / sizeof OPTIONS[0],
    .defaults = &DEFAULTS,
    .options_size = sizeof (bogosity_options),
    .validate = validate,
    .serial = serial,
    .same = same,
};
