/* The application of an example: parses its command line, submits the root task to its own peer,
 * waits, writes the answer. px_main () makes the same program a peer of itself (see --help).
 *
 * The command line travels to the root task as text; it is checked here first, so that a wrong
 * option is told before anything starts. */
#include "common/example.h"

#include <peerexec/peerexec.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARES_MAX 64
#define NUMBERS_MAX 16

static const char MORE[] =
    "  --check              compare with the serial answer\n"
    "  --output FILE        write the answer there (stdout)\n"
    "  --branch-number P=N  at most N other peers at once for one branch of branch point P\n"
    "  --shares             tell on stderr where the subtasks ran\n"
    "  --timeout SECONDS    give up after this\n"
    "  --px-local N         start N more peers of this program for the run\n"
    "  --px-join ADDRESS    join a cluster; --px-listen, --px-slots, --px-name, --px-key as well\n"
    "  --px-serve           be a peer of this program until SIGTERM\n"
    "  --help               this text\n"
    "exit code: 0 done, 1 failed, 2 wrong options, 3 not the serial answer\n";

typedef struct app {
    char text[EXAMPLE_ARGUMENTS_MAX];
    size_t text_length;
    const char *path;
    int check;
    int shares;
    uint64_t timeout_ns;
    px_point_number numbers[NUMBERS_MAX];
    size_t n_numbers;
} app;

static int wrong (const char *what, const char *word)
{
    fprintf (stderr, "%s: %s%s (see --help)\n", example.name, what, word);
    return -1;
}

static int read_number (app *a, char *word)
{
    char *equals = strchr (word, '=');
    char *end = NULL;
    long number = equals ? strtol (equals + 1, &end, 10) : -1;
    if (equals == NULL || equals == word || end == equals + 1 || *end || number < 0 ||
        number > 65535)
        return wrong ("--branch-number wants POINT=N, not ", word);
    if (a->n_numbers == NUMBERS_MAX)
        return wrong ("too many --branch-number", "");
    *equals = '\0';
    a->numbers[a->n_numbers++] = (px_point_number){.point = word, .number = (int32_t)number};
    return 0;
}

static int read_timeout (app *a, const char *word)
{
    char *end = NULL;
    double seconds = strtod (word, &end);
    if (end == word || *end || !(seconds > 0) || seconds > 1e9)
        return wrong ("--timeout wants seconds, not ", word);
    a->timeout_ns = (uint64_t)(seconds * 1e9);
    return 0;
}

static int read_valued (app *a, const char *name, char *value)
{
    if (value == NULL)
        return wrong (name, " needs a value");
    if (strcmp (name, "--output") == 0) {
        a->path = value;
        return 0;
    }
    return strcmp (name, "--timeout") == 0 ? read_timeout (a, value) : read_number (a, value);
}

static int keep_word (app *a, const char *word)
{
    size_t room = sizeof a->text - a->text_length;
    int n = snprintf (a->text + a->text_length, room, "%s ", word);
    if (n < 0 || (size_t)n >= room)
        return wrong ("the arguments are too long", "");
    a->text_length += (size_t)n;
    return 0;
}

static int read_words (app *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int failed = 0;
        if (strcmp (argv[i], "--check") == 0)
            a->check = 1;
        else if (strcmp (argv[i], "--shares") == 0)
            a->shares = 1;
        else if (strcmp (argv[i], "--output") == 0 || strcmp (argv[i], "--timeout") == 0 ||
                 strcmp (argv[i], "--branch-number") == 0) {
            failed = read_valued (a, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
            i++;
        } else
            failed = keep_word (a, argv[i]);
        if (failed)
            return -1;
    }
    return 0;
}

static void print_shares (px_job *job)
{
    px_job_share shares[SHARES_MAX];
    size_t n = px_job_shares (job, shares, SHARES_MAX);
    for (size_t i = 0; i < n && i < SHARES_MAX; i++)
        fprintf (stderr, "%s: %s ran %llu subtasks in %.3f s\n", example.name, shares[i].peer_name,
                 (unsigned long long)shares[i].subtasks, (double)shares[i].work_ns * 1e-9);
}

static void print_failure (const px_outcome *outcome)
{
    char text[8192];
    px_outcome_print (outcome, text, sizeof text);
    fprintf (stderr, "%s: the job failed: %s\n%s", example.name, px_err_text (outcome->code), text);
}

/* Compare with the serial answer: 0 the same, otherwise the exit code. */
static int compare (const example_answer *answer, const void *options)
{
    char why[EXAMPLE_WHY_SIZE] = "";
    example_answer serial = {0};
    if (example.serial (options, &serial, why) < 0) {
        fprintf (stderr, "%s: --check: the serial program fails: %s\n", example.name, why);
        return EXAMPLE_EXIT_DIFFERENT;
    }
    int same = example.same ? example.same (answer, &serial)
                            : answer->size == serial.size &&
                                  memcmp (answer->bytes, serial.bytes, serial.size) == 0;
    fprintf (stderr, "%s: --check: %s the serial answer\n", example.name,
             same ? "equal to" : "DIFFERENT from");
    example_answer_fini (&serial);
    return same ? EXAMPLE_EXIT_OK : EXAMPLE_EXIT_DIFFERENT;
}

static int finish (const app *a, px_job *job, uint64_t begin_ns, const void *options)
{
    px_outcome outcome = {0};
    px_err err = px_job_wait (job, PX_FOREVER, &outcome);
    if (err != PX_OK) {
        fprintf (stderr, "%s: %s\n", example.name, px_err_text (err));
        return EXAMPLE_EXIT_FAILED;
    }
    double seconds = (double)(px_now_ns () - begin_ns) * 1e-9;
    if (outcome.code != PX_OK) {
        print_failure (&outcome);
        return EXAMPLE_EXIT_FAILED;
    }
    example_answer answer = {0};
    example_append (&answer, outcome.bytes, outcome.bytes_size);
    int code = example_write (&answer, a->path) < 0 ? EXAMPLE_EXIT_FAILED : EXAMPLE_EXIT_OK;
    fprintf (stderr, "%s: %.3f s\n", example.name, seconds);
    if (a->shares)
        print_shares (job);
    if (code == EXAMPLE_EXIT_OK && a->check)
        code = compare (&answer, options);
    example_answer_fini (&answer);
    return code;
}

static int submit (const app *a, px_peer *peer, const void *options)
{
    px_job_options job_options = PX_JOB_OPTIONS_INIT;
    job_options.numbers = a->numbers;
    job_options.n_numbers = a->n_numbers;
    job_options.timeout_ns = a->timeout_ns;
    px_job *job = NULL;
    uint64_t begin_ns = px_now_ns ();
    px_err err = px_job_submit (peer, example.root, a->text, a->text_length, &job_options, &job);
    if (err != PX_OK) {
        fprintf (stderr, "%s: cannot submit %s: %s\n", example.name, example.root,
                 px_err_text (err));
        return EXAMPLE_EXIT_FAILED;
    }
    int code = finish (a, job, begin_ns, options);
    px_job_free (&job);
    return code;
}

static int run (px_peer *peer, int argc, char **argv)
{
    app a = {0};
    char why[EXAMPLE_WHY_SIZE] = "";
    void *options = malloc (example.options_size);
    int code = EXAMPLE_EXIT_OPTIONS;
    if (options == NULL)
        code = EXAMPLE_EXIT_FAILED;
    else if (read_words (&a, argc, argv) < 0)
        code = EXAMPLE_EXIT_OPTIONS;
    else if (example_parse (&example, a.text, a.text_length, options, why) < 0)
        wrong (why, "");
    else
        code = submit (&a, peer, options);
    free (options);
    return code;
}

int main (int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp (argv[i], "--help") == 0) {
            example_help (&example, example.name, MORE);
            return EXAMPLE_EXIT_OK;
        }
    }
    return px_main (argc, argv, &px_module_v1, run);
}
