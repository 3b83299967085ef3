/* Words of the command line, and words to the one who waits. What makes no sense ends the program with a
 * message and WORDS_EXIT_USAGE. */
#ifndef TOOLS_COMMON_WORDS_H
#define TOOLS_COMMON_WORDS_H

#include <stdbool.h>
#include <stdint.h>

enum { WORDS_EXIT_FAILED = 1, WORDS_EXIT_USAGE = 2 };

_Noreturn void out_of_memory (void);
_Noreturn void wrong (const char *option, const char *value, const char *wanted);
/* Calls `each` with every word of a list such as "a,b". */
void each_word (void *context, const char *text, void (*each) (void *context, const char *));
/* Words of a list such as "0.5,0.9"; `wanted` says what each must be. Returns how many. */
uint32_t numbers_of (const char *option, const char *text, const char *wanted, double low,
                     double high, double *numbers, uint32_t max);
/* On a terminal, unless `quiet`: instead of what was said before. Nothing = what was said goes. */
void progress (bool quiet, const char *format, ...) __attribute__ ((format (printf, 2, 3)));

#endif
