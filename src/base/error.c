/* Names and texts of px_err, from the one table in peerexec/error.h. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

#include <peerexec/peer.h>

const char *px_err_text (px_err err)
{
    switch (err) {
#define TEXT_CASE(name, value, text)                                                               \
    case name:                                                                                     \
        return text;
        PX_ERRORS (TEXT_CASE)
#undef TEXT_CASE
    }
    return "an error of another version of peerexec";
}

const char *px_err_name (px_err err)
{
    switch (err) {
#define NAME_CASE(name, value, text)                                                               \
    case name:                                                                                     \
        return #name;
        PX_ERRORS (NAME_CASE)
#undef NAME_CASE
    }
    return "PX_E?";
}

px_err pxi_fail (px_err err, char *why, const char *format, ...)
{
    if (why) {
        va_list arguments;
        va_start (arguments, format);
        vsnprintf (why, PX_WHY_SIZE, format, arguments);
        va_end (arguments);
    }
    return err;
}
