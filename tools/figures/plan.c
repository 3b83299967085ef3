#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/limits.h"
#include "figures.h"

#define MEAN_NS (100 * PXI_MS)
#define LOAD_MAX 0.995
enum { VIEW = 512 };

void out_of_memory (void)
{
    fputs ("peer-figures: out of memory\n", stderr);
    exit (EXIT_SHORT);
}

static _Noreturn void wrong (const char *option, const char *value, const char *wanted)
{
    fprintf (stderr, "peer-figures: %s: \"%s\" is not %s\n", option, value, wanted);
    exit (EXIT_USAGE);
}

static void set_load (plan_t *plan, const char *text)
{
    char *end;
    double load = strtod (text, &end);
    if (*end || end == text || !(load > 0) || load > LOAD_MAX)
        wrong ("--loads", text, "a load over 0 and up to 0.995");
    if (plan->n_loads == LOADS_MAX)
        wrong ("--loads", text, "one of the first 32");
    plan->loads[plan->n_loads++] = load;
}

static void set_policy (plan_t *plan, const char *name)
{
    const policy_t *policy = policy_find (name);
    if (!policy)
        wrong ("--policies", name, "a policy: see --help");
    if (plan->n_policies == POLICIES_MAX)
        wrong ("--policies", name, "one of the first 32");
    plan->policies[plan->n_policies++] = policy;
}

static void each_word (plan_t *plan, const char *text, void (*set) (plan_t *plan, const char *word))
{
    char *copy = strdup (text);
    if (!copy)
        out_of_memory ();
    for (char *rest = copy, *word; (word = strsep (&rest, ","));)
        set (plan, word);
    free (copy);
}

static void open_trace (plan_t *plan, const char *path)
{
    plan->trace = fopen (path, "w");
    if (plan->trace)
        return;
    fprintf (stderr, "peer-figures: %s: %s\n", path, strerror (errno));
    exit (EXIT_SHORT);
}

static uint32_t or_default (uint64_t value, uint32_t usual)
{
    return value ? (uint32_t)value : usual;
}

void plan_make (plan_t *plan, const settings_t *settings, const char *command,
                const defaults_t *defaults)
{
    *plan = (plan_t){.settings = settings, .command = command};
    each_word (plan, settings->loads ? settings->loads : defaults->loads, set_load);
    each_word (plan, settings->policies ? settings->policies : defaults->policies, set_policy);
    plan->stream.n_tasks = or_default (settings->tasks, defaults->tasks);
    plan->stream.n_peers = or_default (settings->peers, defaults->peers);
    plan->stream.slots = or_default (settings->slots, defaults->slots);
    plan->stream.mean_ns = MEAN_NS;
    plan->stream.law = PXI_STREAM_JOBS;
    if (settings->law && !pxi_stream_law_by_name (settings->law, &plan->stream.law))
        wrong ("--law", settings->law, "a law: see --help");
    plan->n_jobs = or_default (settings->jobs, defaults->jobs);
    plan->n_seeds = or_default (settings->seeds, defaults->seeds);
    plan->first_seed = settings->seed ? settings->seed : 1;
    plan->hop_ns = settings->rtt_us * 500;
    plan->view = or_default (settings->view, VIEW);
    if (settings->trace)
        open_trace (plan, settings->trace);
}

json_t *plan_json (const plan_t *plan)
{
    return json_pack (
        "{s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:s, s:f, s:f}", "figure", plan->command, "peers",
        (int)plan->stream.n_peers, "slots", (int)plan->stream.slots, "tasks_per_job",
        (int)plan->stream.n_tasks, "jobs", (int)plan->n_jobs, "seeds", (int)plan->n_seeds,
        "first_seed", (json_int_t)plan->first_seed, "law", pxi_stream_law_name (plan->stream.law),
        "mean_ms", (double)plan->stream.mean_ns / 1e6, "round_trip_ms", (double)plan->hop_ns / 5e5);
}

void progress (const plan_t *plan, const char *format, ...)
{
    if (plan->settings->quiet || !isatty (STDERR_FILENO))
        return;
    va_list arguments;
    va_start (arguments, format);
    fputs ("\r\033[K", stderr);
    vfprintf (stderr, format, arguments);
    va_end (arguments);
}
