/* Chains of failures as text: one line each, causes indented below what they caused. */

#include <peerexec/job.h>

#include "base/error.h"
#include "base/print.h"

enum { INDENT_LEVELS_MAX = 40 }; /* deeper lines start where these do */

static void print_failure (pxi_printer *to, const px_failure *failure)
{
    uint32_t indent = failure->level < INDENT_LEVELS_MAX ? failure->level : INDENT_LEVELS_MAX;
    pxi_print (to, "%*s%s", (int)(2 * indent), "", failure->task);
    if (failure->level)
        pxi_print (to, " #%llu", (unsigned long long)failure->index);
    pxi_print (to, " on %s", failure->peer);
    if (failure->attempt > 1)
        pxi_print (to, " (attempt %u)", failure->attempt);
    pxi_print (to, ": %s", failure->message[0] ? failure->message : px_err_text (failure->code));
    if (failure->file[0])
        pxi_print (to, " [%s:%u]", failure->file, failure->line);
    if (failure->code != PX_EFAILED)
        pxi_print (to, " (%s)", px_err_name (failure->code));
    pxi_print (to, "\n");
}

size_t px_outcome_print (const px_outcome *outcome, char *text, size_t text_size)
{
    pxi_printer to = {text, text_size, 0};
    if (text_size)
        text[0] = '\0';
    if (outcome->code == PX_OK && !outcome->n_failures)
        pxi_print (&to, "no error\n");
    for (size_t i = 0; i < outcome->n_failures; i++)
        print_failure (&to, &outcome->failures[i]);
    if (outcome->n_failures_dropped)
        pxi_print (&to, "and %zu more failures\n", outcome->n_failures_dropped);
    return to.needed;
}
