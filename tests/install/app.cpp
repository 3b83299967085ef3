// The same program as C++: the headers and macros have to do in both languages.
#include "app.c"
