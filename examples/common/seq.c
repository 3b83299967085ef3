/* The serial twin of an example: the same command line, the same kernel, the same answer, no
 * peerexec. */
#include "common/example.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char MORE[] = "  --output FILE        write the answer there (stdout)\n"
                           "  --help               this text\n"
                           "exit code: 0 done, 1 failed, 2 wrong options\n";

static int answer_serial (const char *text, const char *path, void *options)
{
    char why[EXAMPLE_WHY_SIZE] = "";
    if (example_parse (&example, text, strlen (text), options, why) < 0) {
        fprintf (stderr, "%s-seq: %s (see --help)\n", example.name, why);
        return EXAMPLE_EXIT_OPTIONS;
    }
    example_answer answer = {0};
    struct timespec begin, end;
    clock_gettime (CLOCK_MONOTONIC, &begin);
    int failed = example.serial (options, &answer, why);
    clock_gettime (CLOCK_MONOTONIC, &end);
    if (failed)
        fprintf (stderr, "%s-seq: %s\n", example.name, why);
    else {
        double seconds = (double)(end.tv_sec - begin.tv_sec);
        seconds += (double)(end.tv_nsec - begin.tv_nsec) * 1e-9;
        failed = example_write (&answer, path);
        fprintf (stderr, "%s-seq: %.3f s\n", example.name, seconds);
    }
    example_answer_fini (&answer);
    return failed ? EXAMPLE_EXIT_FAILED : EXAMPLE_EXIT_OK;
}

int main (int argc, char **argv)
{
    char text[EXAMPLE_ARGUMENTS_MAX] = "";
    size_t length = 0;
    const char *path = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp (argv[i], "--help") == 0) {
            char called[64];
            snprintf (called, sizeof called, "%s-seq", example.name);
            example_help (&example, called, MORE);
            return EXAMPLE_EXIT_OK;
        }
        if (strcmp (argv[i], "--output") == 0 && i + 1 < argc) {
            path = argv[++i];
            continue;
        }
        int n = snprintf (text + length, sizeof text - length, "%s ", argv[i]);
        if (n < 0 || (size_t)n >= sizeof text - length) {
            fprintf (stderr, "%s-seq: the arguments are too long\n", example.name);
            return EXAMPLE_EXIT_OPTIONS;
        }
        length += (size_t)n;
    }
    void *options = malloc (example.options_size);
    int code = options ? answer_serial (text, path, options) : EXAMPLE_EXIT_FAILED;
    free (options);
    return code;
}
