/* Chains of failures as text: one line each, causes indented below what they caused. */
#include <stdarg.h>
#include <stdio.h>

#include <peerexec/job.h>

#include "base/error.h"

enum { INDENT_LEVELS_MAX = 40 }; /* deeper lines start where these do */

/* Text that grows past its room without being written there. */
typedef struct text_printer {
    char *text;
    size_t text_size, needed;
} text_printer;

static void PX_PRINTF (2, 3) print (text_printer *to, const char *format, ...)
{
    size_t left = to->needed < to->text_size ? to->text_size - to->needed : 0;
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (left ? to->text + to->needed : NULL, left, format, arguments);
    va_end (arguments);
    to->needed += size > 0 ? (size_t)size : 0;
}

static void print_failure (text_printer *to, const px_failure *failure)
{
    uint32_t indent = failure->level < INDENT_LEVELS_MAX ? failure->level : INDENT_LEVELS_MAX;
    print (to, "%*s%s", (int)(2 * indent), "", failure->task);
    if (failure->level)
        print (to, " #%llu", (unsigned long long)failure->index);
    print (to, " on %s", failure->peer);
    if (failure->attempt > 1)
        print (to, " (attempt %u)", failure->attempt);
    print (to, ": %s", failure->message[0] ? failure->message : px_err_text (failure->code));
    if (failure->file[0])
        print (to, " [%s:%u]", failure->file, failure->line);
    if (failure->code != PX_EFAILED)
        print (to, " (%s)", px_err_name (failure->code));
    print (to, "\n");
}

size_t px_outcome_print (const px_outcome *outcome, char *text, size_t text_size)
{
    text_printer to = {text, text_size, 0};
    if (text_size)
        text[0] = '\0';
    if (outcome->code == PX_OK)
        print (&to, "no error\n");
    for (size_t i = 0; i < outcome->n_failures; i++)
        print_failure (&to, &outcome->failures[i]);
    if (outcome->n_failures_dropped)
        print (&to, "and %zu more failures\n", outcome->n_failures_dropped);
    return to.needed;
}
