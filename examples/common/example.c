/* The command lines and answers of the examples. Plain C: the serial twins use it too. */
#include "common/example.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Index of `word` in a list such as "pgm|png", or -1. */
static int choice_find (const char *choices, const char *word)
{
    size_t word_length = strlen (word);
    for (int index = 0;; index++) {
        size_t length = strcspn (choices, "|");
        if (length == word_length && memcmp (choices, word, length) == 0)
            return index;
        if (choices[length] == '\0')
            return -1;
        choices += length + 1;
    }
}

static int value_choice (const example_option *option, const char *word, uint64_t *value, char *why)
{
    int index = choice_find (option->choices, word);
    if (index < 0) {
        snprintf (why, EXAMPLE_WHY_SIZE, "option %s wants one of %s, not '%s'", option->name,
                  option->choices, word);
        return -1;
    }
    *value = (uint64_t)index;
    return 0;
}

static int value_number (const example_option *option, const char *word, double *real,
                         uint64_t *number, char *why)
{
    char *end = NULL;
    errno = 0;
    if (option->kind == EXAMPLE_UNSIGNED) {
        *number = strtoull (word, &end, 10);
        *real = (double)*number;
    } else {
        *real = strtod (word, &end);
    }
    /* strtoull takes "-1" and " 1" and strtod "nan": none of them is meant. */
    int starts = word[0] >= '0' && word[0] <= '9';
    if (option->kind == EXAMPLE_REAL)
        starts = starts || word[0] == '-' || word[0] == '.';
    if (!starts || *end != '\0' || errno || !isfinite (*real)) {
        snprintf (why, EXAMPLE_WHY_SIZE, "option %s wants a number, not '%s'", option->name, word);
        return -1;
    }
    if (*real < option->minimum || *real > option->maximum) {
        snprintf (why, EXAMPLE_WHY_SIZE, "option %s is %s, must be between %.15g and %.15g",
                  option->name, word, option->minimum, option->maximum);
        return -1;
    }
    return 0;
}

static int option_set (const example_option *option, const char *word, void *options, char *why)
{
    char *field = (char *)options + option->offset;
    uint64_t number = 0;
    double real = 0;
    int failed = option->kind == EXAMPLE_CHOICE ? value_choice (option, word, &number, why)
                                                : value_number (option, word, &real, &number, why);
    if (failed)
        return -1;
    if (option->kind == EXAMPLE_REAL)
        memcpy (field, &real, sizeof real);
    else
        memcpy (field, &number, sizeof number);
    return 0;
}

static const example_option *option_find (const example_program *program, const char *word,
                                          size_t length)
{
    for (size_t i = 0; i < program->n_options; i++) {
        const char *name = program->options[i].name;
        if (strlen (name) == length && memcmp (name, word, length) == 0)
            return &program->options[i];
    }
    return NULL;
}

/* One option and its value: "--size 10", "--size=10", "-t 1". */
static int option_parse (const example_program *program, char *word, char **rest, void *options,
                         char *why)
{
    char *equals = strncmp (word, "--", 2) == 0 ? strchr (word, '=') : NULL;
    size_t length = equals ? (size_t)(equals - word) : strlen (word);
    const example_option *option = option_find (program, word, length);
    if (option == NULL) {
        snprintf (why, EXAMPLE_WHY_SIZE, "unknown %s '%.*s'",
                  word[0] == '-' ? "option" : "argument", (int)length, word);
        return -1;
    }
    char *value = equals ? equals + 1 : strtok_r (NULL, " \t\n", rest);
    if (value == NULL || *value == '\0') {
        snprintf (why, EXAMPLE_WHY_SIZE, "option %s needs a value", option->name);
        return -1;
    }
    return option_set (option, value, options, why);
}

int example_parse (const example_program *program, const char *text, size_t text_size,
                   void *options, char why[EXAMPLE_WHY_SIZE])
{
    char line[EXAMPLE_ARGUMENTS_MAX];
    memcpy (options, program->defaults, program->options_size);
    if (text_size >= sizeof line) {
        snprintf (why, EXAMPLE_WHY_SIZE, "the arguments are longer than %zu bytes",
                  sizeof line - 1);
        return -1;
    }
    if (text_size)
        memcpy (line, text, text_size);
    line[text_size] = '\0';
    if (strlen (line) != text_size) {
        snprintf (why, EXAMPLE_WHY_SIZE, "the arguments hold a zero byte");
        return -1;
    }
    char *rest = NULL;
    for (char *word = strtok_r (line, " \t\n", &rest); word;
         word = strtok_r (NULL, " \t\n", &rest)) {
        if (option_parse (program, word, &rest, options, why) < 0)
            return -1;
    }
    return program->validate ? program->validate (options, why) : 0;
}

static void help_default (const example_option *option, const void *defaults)
{
    const char *field = (const char *)defaults + option->offset;
    uint64_t number;
    double real;
    memcpy (&number, field, sizeof number);
    memcpy (&real, field, sizeof real);
    if (option->kind == EXAMPLE_REAL)
        printf (" (%.10g)\n", real);
    else if (option->kind == EXAMPLE_UNSIGNED)
        printf (" (%llu)\n", (unsigned long long)number);
    else {
        const char *word = option->choices;
        while (number-- > 0)
            word += strcspn (word, "|") + 1;
        printf (" (%.*s)\n", (int)strcspn (word, "|"), word);
    }
}

void example_help (const example_program *program, const char *called, const char *more)
{
    printf ("usage: %s [options]\n%s\n\n", called, program->purpose);
    for (size_t i = 0; i < program->n_options; i++) {
        const example_option *option = &program->options[i];
        char left[64];
        snprintf (left, sizeof left, "%s %s", option->name,
                  option->kind == EXAMPLE_CHOICE ? option->choices : "N");
        printf ("  %-20s %s", left, option->help);
        help_default (option, program->defaults);
    }
    printf ("%s", more);
}

void example_append (example_answer *answer, const void *bytes, size_t size)
{
    if (answer->size + size > answer->room) {
        size_t room = (answer->size + size) * 2;
        unsigned char *grown = realloc (answer->bytes, room);
        if (grown == NULL) {
            fprintf (stderr, "out of memory\n");
            abort ();
        }
        answer->bytes = grown;
        answer->room = room;
    }
    if (size)
        memcpy (answer->bytes + answer->size, bytes, size);
    answer->size += size;
}

void example_print (example_answer *answer, const char *format, ...)
{
    char text[1024];
    va_list list;
    va_start (list, format);
    int length = vsnprintf (text, sizeof text, format, list);
    va_end (list);
    if (length >= (int)sizeof text)
        length = (int)sizeof text - 1;
    if (length > 0)
        example_append (answer, text, (size_t)length);
}

void example_answer_fini (example_answer *answer)
{
    free (answer->bytes);
    *answer = (example_answer){0};
}

/* The next word of a text that is not ended by a zero byte, cut to the room. 0 = there is none. */
static size_t next_word (const example_answer *text, size_t *at, char *word, size_t room)
{
    size_t length = 0;
    while (*at < text->size && strchr (" \n", text->bytes[*at]))
        ++*at;
    while (*at < text->size && !strchr (" \n", text->bytes[*at]) && length + 1 < room)
        word[length++] = (char)text->bytes[(*at)++];
    word[length] = '\0';
    return length;
}

static int same_word (const char *word, const char *other, double relative)
{
    char *end, *other_end;
    double a = strtod (word, &end), b = strtod (other, &other_end);
    if (*end || *other_end)
        return strcmp (word, other) == 0;
    return fabs (a - b) <= relative * (fabs (a) > fabs (b) ? fabs (a) : fabs (b));
}

int example_same_numbers (const example_answer *answer, const example_answer *serial,
                          double relative)
{
    char word[128], other[128];
    size_t at = 0, other_at = 0, length, other_length;
    do {
        length = next_word (answer, &at, word, sizeof word);
        other_length = next_word (serial, &other_at, other, sizeof other);
        if (!length != !other_length || (length && !same_word (word, other, relative)))
            return 0;
    } while (length);
    return 1;
}

int example_write (const example_answer *answer, const char *path)
{
    FILE *file = path ? fopen (path, "wb") : stdout;
    if (file == NULL) {
        fprintf (stderr, "cannot write %s: %s\n", path, strerror (errno));
        return -1;
    }
    int failed = answer->size && fwrite (answer->bytes, 1, answer->size, file) != answer->size;
    failed |= fflush (file) != 0;
    if (path)
        failed |= fclose (file) != 0;
    if (failed)
        fprintf (stderr, "cannot write %s: %s\n", path ? path : "the answer", strerror (errno));
    return failed ? -1 : 0;
}
