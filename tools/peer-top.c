/* peer-top: what every peer in reach does now. Asks the given peers, and every peer that they name. */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/status.h"
#include "common/options.h"

enum { EXIT_DONE = 0, EXIT_NOBODY = 1, EXIT_USAGE = 2 };
#define ASK_NS UINT64_C (1000000000)

struct settings {
    list_option join;
    const char *key;
    bool once, json, only;
};

#define AT(member) offsetof (struct settings, member)
static const option_entry ENTRIES[] = {
    {"join", OPTION_LIST, AT (join), "ADDRESS", "a peer to ask first; may be given several times",
     0, 0},
    KEY_ENTRY (AT (key)),
    {"once", OPTION_FLAG, AT (once), NULL, "print once and end; otherwise once a second", 0, 0},
    {"only", OPTION_FLAG, AT (only), NULL, "ask none but these; otherwise also those they name", 0,
     0},
    {"json", OPTION_FLAG, AT (json), NULL, "print the peers' answers as one JSON array", 0, 0},
};

static const option_table TABLE = {
    .program = "peer-top",
    .usage = "--join ADDRESS [OPTION]...",
    .purpose = "What every peer in reach does now: slots, jobs, attempts, marks, counters.",
    .entries = ENTRIES,
    .n_entries = sizeof ENTRIES / sizeof *ENTRIES,
    .epilogue =
        "Marks: U unresponsive, L leaving, as the first peer that answered sees it; B its host\n"
        "says not now. The second table: what a peer expected of each task that it met and what "
        "it\n"
        "took, on average, and the median of real over expected time. Exit codes: 0 printed; 1 "
        "nobody answered; 2 wrong options.\n",
};

static void collect (void *context, const char *address, const char *json)
{
    (void)address;
    json_t *status = json_loads (json, 0, NULL);
    if (status)
        json_array_append_new (context, status);
}

static json_int_t number (const json_t *object, const char *name)
{
    return json_integer_value (json_object_get (object, name));
}

static const char *text (const json_t *object, const char *name)
{
    const char *value = json_string_value (json_object_get (object, name));
    return value ? value : "";
}

static bool is_set (const json_t *object, const char *name)
{
    return json_is_true (json_object_get (object, name));
}

static void print_peer (const json_t *peer)
{
    const json_t *stats = json_object_get (peer, "stats");
    char marks[4] = "";
    snprintf (marks, sizeof marks, "%s%s", is_set (peer, "host_busy") ? "B" : "",
              is_set (peer, "draining") ? "L" : "");
    printf ("%-16s %-26s %3" JSON_INTEGER_FORMAT "/%-3" JSON_INTEGER_FORMAT
            " %5zu %5zu %5zu %9" JSON_INTEGER_FORMAT " %9" JSON_INTEGER_FORMAT
            " %7" JSON_INTEGER_FORMAT " %-3s %s\n",
            text (peer, "name"), text (peer, "address"), number (peer, "slots_used"),
            number (peer, "slots"), json_array_size (json_object_get (peer, "jobs")),
            json_array_size (json_object_get (peer, "runs")),
            json_array_size (json_object_get (peer, "away")), number (stats, "subtasks_run"),
            number (stats, "subtasks_sent"), number (stats, "attempts_redone"), marks,
            text (peer, "why"));
}

/* Peers that others know and that do not answer. */
static void print_silent (const json_t *answers)
{
    const json_t *peer;
    size_t i;
    json_array_foreach (json_object_get (json_array_get (answers, 0), "peers"), i, peer)
    {
        if (is_set (peer, "unresponsive"))
            printf ("%-16s %-26s unresponsive, heard %" JSON_INTEGER_FORMAT " ms ago\n",
                    text (peer, "name"), text (peer, "address"), number (peer, "heard_ms_ago"));
    }
}

/* What each peer expects of the tasks that it has met, and how right it was. */
static void print_costs (const json_t *peer)
{
    const json_t *cost;
    size_t i;
    json_array_foreach (json_object_get (peer, "costs"), i, cost)
    {
        json_int_t n = number (cost, "n");
        if (n > 0)
            printf ("%-16s %-26s %9" JSON_INTEGER_FORMAT " %11.3f %11.3f %11" JSON_INTEGER_FORMAT
                    " %7.2f\n",
                    text (peer, "name"), text (cost, "task"), n,
                    (double)number (cost, "expected_us") / (double)n / 1e3,
                    (double)number (cost, "real_us") / (double)n / 1e3,
                    number (cost, "real_bytes") / n,
                    (double)number (cost, "quality_permille") / 1e3);
    }
}

static void print_device (const json_t *peer, const json_t *device)
{
    const json_t *task;
    size_t i;
    bool fine =
        !strcmp (text (device, "state"), "ready") || !strcmp (text (device, "state"), "off");
    printf ("%-16s %-34s %-11s %-11s %4" JSON_INTEGER_FORMAT " %5" JSON_INTEGER_FORMAT " %s\n",
            text (peer, "name"), text (device, "name"), text (device, "class"),
            text (device, "state"), number (device, "running"), number (device, "waiting"),
            fine ? "" : text (device, "reason"));
    json_array_foreach (json_object_get (device, "tasks"), i, task)
    {
        const char *why = text (task, "why");
        printf ("%-16s   %-32s %" JSON_INTEGER_FORMAT " chunks, %.4g items/s%s%.*s\n", "",
                text (task, "task"), number (task, "chunks"),
                json_real_value (json_object_get (task, "items_per_s")), *why ? "; " : "",
                (int)strcspn (why, "\n"), why);
    }
}

/* Who has some, and who would have liked to. */
static void print_devices (const json_t *answers)
{
    const json_t *peer, *device;
    size_t i, k;
    bool headed = false;
    json_array_foreach (answers, i, peer)
    {
        const json_t *devices = json_object_get (peer, "devices");
        const char *why = text (peer, "devices_why");
        if (!headed && (json_array_size (devices) || *why))
            printf ("\n%-16s %-34s %-11s %-11s %4s %5s %s\n", "PEER", "DEVICE", "CLASS", "STATE",
                    "RUNS", "QUEUE", "WHY");
        headed = headed || json_array_size (devices) || *why;
        json_array_foreach (devices, k, device)
        {
            print_device (peer, device);
        }
        if (*why)
            printf ("%-16s %-34s %-11s %-11s %4s %5s %s\n", text (peer, "name"), "none", "", "", "",
                    "", why);
    }
}

static void print_table (const json_t *answers)
{
    const json_t *peer;
    size_t i;
    printf ("%-16s %-26s %7s %5s %5s %5s %9s %9s %7s %-3s %s\n", "PEER", "ADDRESS", "SLOTS", "JOBS",
            "RUNS", "AWAY", "RUN", "SENT", "REDONE", "", "WHY");
    json_array_foreach (answers, i, peer)
    {
        print_peer (peer);
    }
    print_silent (answers);
    print_devices (answers);
    printf ("\n%-16s %-26s %9s %11s %11s %11s %7s\n", "PEER", "TASK", "TIMES", "EXPECTED ms",
            "REAL ms", "RESULT B", "RATIO");
    json_array_foreach (answers, i, peer)
    {
        print_costs (peer);
    }
    fflush (stdout);
}

static int look (const struct settings *settings)
{
    char why[PX_WHY_SIZE] = "";
    json_t *answers = json_array ();
    const pxi_status_question question = {.addresses = settings->join.items,
                                          .n_addresses = settings->join.n,
                                          .reach = !settings->only,
                                          .key = settings->key,
                                          .timeout_ns = ASK_NS,
                                          .answer = collect,
                                          .context = answers};
    px_err err = pxi_status_collect (&question, NULL, NULL, why);
    if (err != PX_OK)
        fprintf (stderr, "peer-top: %s\n", *why ? why : px_err_text (err));
    else if (settings->json)
        json_dumpf (answers, stdout, JSON_INDENT (2));
    else
        print_table (answers);
    if (err == PX_OK && settings->json)
        printf ("\n");
    json_decref (answers);
    bool usage = err == PX_EADDRESS || err == PX_ECONFIG;
    return err == PX_OK ? EXIT_DONE : usage ? EXIT_USAGE : EXIT_NOBODY;
}

int main (int argc, char **argv)
{
    static struct settings settings;
    int first;
    options_end end = options_parse (&TABLE, argc, argv, false, &settings, &first);
    if (end != OPTIONS_RUN)
        return end == OPTIONS_SHOWN ? EXIT_DONE : EXIT_USAGE;
    if (first < argc || !settings.join.n) {
        fprintf (stderr, "peer-top: %s\n",
                 first < argc ? "unexpected argument; see 'peer-top --help'"
                              : "--join ADDRESS: name a peer to ask; peerd prints its address");
        return EXIT_USAGE;
    }
    if (settings.once)
        return look (&settings);
    for (;;) {
        if (isatty (STDOUT_FILENO) && !settings.json)
            printf ("\033[H\033[J");
        int code = look (&settings);
        if (code != EXIT_DONE)
            return code;
        poll (NULL, 0, 1000); /* the rate of the display */
    }
}
