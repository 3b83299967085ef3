#include "common/words.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void out_of_memory (void)
{
    fprintf (stderr, "%s: out of memory\n", program_invocation_short_name);
    exit (WORDS_EXIT_FAILED);
}

void wrong (const char *option, const char *value, const char *wanted)
{
    fprintf (stderr, "%s: %s: \"%s\" is not %s\n", program_invocation_short_name, option, value,
             wanted);
    exit (WORDS_EXIT_USAGE);
}

void each_word (void *context, const char *text, void (*each) (void *context, const char *))
{
    char *copy = strdup (text);
    if (!copy)
        out_of_memory ();
    for (char *rest = copy, *word; (word = strsep (&rest, ","));)
        each (context, word);
    free (copy);
}

struct numbers {
    const char *option, *wanted;
    double low, high, *values;
    uint32_t n, max;
};

static void add_number (void *context, const char *text)
{
    struct numbers *numbers = context;
    char *end;
    double value = strtod (text, &end);
    if (*end || end == text || !(value >= numbers->low) || value > numbers->high)
        wrong (numbers->option, text, numbers->wanted);
    if (numbers->n == numbers->max)
        wrong (numbers->option, text,
               numbers->max > 1 ? "one of the first few that it takes" : numbers->wanted);
    numbers->values[numbers->n++] = value;
}

uint32_t numbers_of (const char *option, const char *text, const char *wanted, double low,
                     double high, double *values, uint32_t max)
{
    struct numbers numbers = {option, wanted, low, high, values, 0, max};
    each_word (&numbers, text, add_number);
    return numbers.n;
}

void progress (bool quiet, const char *format, ...)
{
    if (quiet || !isatty (STDERR_FILENO))
        return;
    va_list arguments;
    va_start (arguments, format);
    fputs ("\r\033[K", stderr);
    vfprintf (stderr, format, arguments);
    va_end (arguments);
}
