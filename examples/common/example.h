/* What the examples share: one table of options per example, one serial answer, and the two
 * programs that are made of them. An example is three files: its kernel (plain C, no peerexec), its
 * tasks, and nothing else; common/app.c makes the application of it and common/seq.c the serial
 * twin.
 *
 * Every example has one root task which takes its command line as text, so that the same words work
 * in uts -t 1 -a 3            uts-seq -t 1 -a 3            peer-run uts.so uts.tree "-t 1 -a 3" */
#ifndef PX_EXAMPLES_COMMON_EXAMPLE_H
#define PX_EXAMPLES_COMMON_EXAMPLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EXAMPLE_WHY_SIZE 256
#define EXAMPLE_ARGUMENTS_MAX 4096 /* bytes of a command line, far over any sensible one */

enum {
    EXAMPLE_EXIT_OK = 0,
    EXAMPLE_EXIT_FAILED = 1,   /* the job failed, or a file could not be written */
    EXAMPLE_EXIT_OPTIONS = 2,  /* the command line is wrong */
    EXAMPLE_EXIT_DIFFERENT = 3 /* --check: not the serial answer */
};

typedef enum example_kind {
    EXAMPLE_UNSIGNED, /* uint64_t */
    EXAMPLE_REAL,     /* double */
    EXAMPLE_CHOICE    /* uint64_t: index into a list of words */
} example_kind;

/* One option: where its value goes, and what it may be. */
typedef struct example_option {
    const char *name; /* "-t" or "--size" */
    example_kind kind;
    size_t offset; /* in the example's options */
    double minimum, maximum;
    const char *choices; /* EXAMPLE_CHOICE: "pgm|png" */
    const char *help;
} example_option;

typedef struct example_answer {
    unsigned char *bytes; /* malloc */
    size_t size;
    size_t room;
} example_answer;

/* An example; each kernel defines the one `example` of its program. */
typedef struct example_program {
    const char *name;
    const char *root;    /* full name of the root task */
    const char *purpose; /* one or two lines for --help */
    const example_option *options;
    size_t n_options;
    const void *defaults;
    size_t options_size;
    /* What the table cannot say; NULL = nothing. Writes a sentence into `why` and returns -1. */
    int (*validate) (const void *options, char why[EXAMPLE_WHY_SIZE]);
    /* The serial answer. Returns 0, or -1 with a sentence in `why`. */
    int (*serial) (const void *options, example_answer *answer, char why[EXAMPLE_WHY_SIZE]);
    /* Is the answer right? NULL = the same bytes. */
    int (*same) (const example_answer *answer, const example_answer *serial);
} example_program;

/* Visible in the module too: peer-bench runs its serial code beside its tasks. */
extern __attribute__ ((visibility ("default"))) const example_program example;

/* Read the text of a command line into `options`, which receives the defaults first.
 * Returns 0, or -1 with a sentence in `why`: every unknown word, missing or wrong value is an
 * error. */
int example_parse (const example_program *program, const char *text, size_t text_size,
                   void *options, char why[EXAMPLE_WHY_SIZE]);

/* Print the help text of the program `called`, with the lines of `more` about its other options. */
void example_help (const example_program *program, const char *called, const char *more);

/* Append to an answer; a failed allocation ends the program, as a serial twin may. */
void example_append (example_answer *answer, const void *bytes, size_t size);
void example_print (example_answer *answer, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
void example_answer_fini (example_answer *answer);
/* Whether two texts have the same words, where numbers may differ by so much of the larger one: for the
 * `same` of those whose sums may be rounded in several ways. */
int example_same_numbers (const example_answer *answer, const example_answer *serial,
                          double relative);

/* Write an answer to a file, or to stdout when `path` is NULL. Returns 0 or -1, having said why. */
int example_write (const example_answer *answer, const char *path);

#ifdef __cplusplus
}
#endif
#endif
