/* Names and texts of px_err, from the one table in peerexec/error.h. */
#include <peerexec/error.h>

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
