/* vsnprintf () says how much it would have written: that is counted, whether there was room or not. */
#include "base/print.h"

#include <stdarg.h>
#include <stdio.h>

void pxi_print (pxi_printer *to, const char *format, ...)
{
    size_t left = to->needed < to->size ? to->size - to->needed : 0;
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (left ? to->text + to->needed : NULL, left, format, arguments);
    va_end (arguments);
    to->needed += size > 0 ? (size_t)size : 0;
}
