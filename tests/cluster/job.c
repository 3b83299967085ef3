/* A job from an application process of its own, for tests: everything that came out as lines "key value".
 *
 *     job [OPTION]... SLOTS ADDRESS[,ADDRESS]...|- PEERS MODULE TASK TEXT [POINT=NUMBER]...
 *     --name NAME    --listen ADDRESS    --speculation 0|1    --detect-ms MS
 *     --log 1 (every line, on standard error)
 *
 * Waits until PEERS others are known, prints "started" and, at the end, the outcome and the counters. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <peerexec/peerexec.h>

enum { SHARES_MAX = 64, NUMBERS_MAX = 8, JOINS_MAX = 16 };
#define SECOND UINT64_C (1000000000)

static int fail (const char *what, const char *why)
{
    printf ("error %s: %s\n", what, why);
    return 1;
}

static void print_outcome (const px_outcome *outcome)
{
    char text[8192];
    printf ("code %s\n", px_err_name (outcome->code));
    if (outcome->code == PX_OK)
        printf ("%.*s\n", (int)outcome->bytes_size, (const char *)outcome->bytes);
    else if (px_outcome_print (outcome, text, sizeof text))
        printf ("%s\n", text);
}

static void print_figures (px_peer *peer, px_job *job)
{
    px_job_share shares[SHARES_MAX];
    px_stats stats = {.size = sizeof stats};
    size_t n = px_job_shares (job, shares, SHARES_MAX);
    for (size_t i = 0; i < n && i < SHARES_MAX; i++)
        printf ("share.%s %" PRIu64 "\n", shares[i].peer_name, shares[i].work_ns);
    if (px_peer_stats (peer, &stats) != PX_OK)
        return;
#define PRINT(name, text) printf ("stat." #name " %" PRIu64 "\n", stats.name);
    PX_STATS (PRINT)
}

static size_t read_numbers (char **words, int n, px_point_number *numbers)
{
    size_t n_numbers = 0;
    for (int i = 0; i < n && i < NUMBERS_MAX; i++) {
        char *equals = strchr (words[i], '=');
        if (!equals)
            continue;
        *equals = 0;
        numbers[n_numbers++] = (px_point_number){words[i], (int32_t)atoi (equals + 1)};
    }
    return n_numbers;
}

static int run (px_peer *peer, char **argv, const px_job_options *options)
{
    px_job *job;
    px_outcome outcome;
    uint64_t began_ns = px_now_ns ();
    px_err err = px_job_submit (peer, argv[5], argv[6], strlen (argv[6]), options, &job);
    if (err != PX_OK)
        return fail ("submit", px_err_text (err));
    printf ("started\n");
    fflush (stdout);
    px_job_wait (job, PX_FOREVER, &outcome);
    printf ("wall %" PRIu64 "\n", px_now_ns () - began_ns);
    print_outcome (&outcome);
    print_figures (peer, job);
    int code = outcome.code == PX_OK ? 0 : 1;
    px_job_free (&job);
    return code;
}

static void log_line (void *context, px_log_level level, const char *scope, const char *text)
{
    (void)context, (void)level;
    struct timespec now;
    struct tm calendar;
    clock_gettime (CLOCK_REALTIME, &now);
    localtime_r (&now.tv_sec, &calendar);
    fprintf (stderr, "%02d:%02d:%02d.%03ld job %s: %s\n", calendar.tm_hour, calendar.tm_min,
             calendar.tm_sec, now.tv_nsec / 1000000, scope, text);
}

/* How many words they were. */
static int read_options (int argc, char **argv, px_peer_options *options)
{
    int n = 0;
    for (; n + 2 < argc && !strncmp (argv[n + 1], "--", 2); n += 2) {
        if (!strcmp (argv[n + 1], "--name"))
            options->name = argv[n + 2];
        else if (!strcmp (argv[n + 1], "--listen"))
            options->listen = argv[n + 2];
        else if (!strcmp (argv[n + 1], "--speculation"))
            options->speculation = atoi (argv[n + 2]) != 0;
        else if (!strcmp (argv[n + 1], "--detect-ms"))
            options->detect_ns = strtoull (argv[n + 2], NULL, 10) * 1000000;
        else if (!strcmp (argv[n + 1], "--log"))
            options->log = log_line, options->log_level = PX_LOG_DEBUG;
    }
    return n;
}

static void split (char *text, const char *items[JOINS_MAX + 1])
{
    int n = 0;
    for (char *rest, *item = strtok_r (text, ",", &rest); item && n < JOINS_MAX;
         item = strtok_r (NULL, ",", &rest))
        items[n++] = item;
    items[n] = NULL;
}

int main (int argc, char **argv)
{
    char why[PX_WHY_SIZE] = "";
    px_point_number numbers[NUMBERS_MAX];
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    int n_options = read_options (argc, argv, &options);
    argc -= n_options, argv += n_options;
    if (argc < 7)
        return fail ("usage", "see the head of job.c");
    const char *join[JOINS_MAX + 1], *modules[] = {argv[4], NULL};
    bool joins = strcmp (argv[2], "-") != 0;
    split (argv[2], join);
    options.slots = (uint32_t)atoi (argv[1]);
    options.join = joins ? join : NULL;
    options.modules = modules;
    px_peer *peer;
    px_err err = px_peer_open (&options, &peer, why);
    if (err != PX_OK)
        return fail ("open", why);
    px_job_options job_options = PX_JOB_OPTIONS_INIT;
    job_options.n_numbers = read_numbers (argv + 7, argc - 7, numbers);
    job_options.numbers = numbers;
    int code = 1;
    if (px_peer_wait (peer, (uint32_t)atoi (argv[3]), px_deadline_ns (10 * SECOND)) == PX_OK)
        code = run (peer, argv, &job_options);
    else
        fail ("wait", "the peers did not come");
    px_peer_close (&peer, 0);
    return code;
}
