/* A library leaves its host as it was: whatever a program had set before it opened a peer is still
 * so while the peer is open, and nothing of the peer is left when it is closed. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <peerexec/peerexec.h>

enum { SIGNALS = 65, TEXT_SIZE = 65536 };

/* ---- what a program can have set ---------------------------------------------------------------
 */

typedef struct settings {
    struct sigaction actions[SIGNALS];
    sigset_t mask;
    char environment[TEXT_SIZE], directory[4096], locale[256];
    mode_t file_mask;
    struct rlimit limits[RLIM_NLIMITS];
    int priority;
} settings;

extern char **environ;

static void add_text (char *text, const char *more)
{
    size_t used = strlen (text);
    cr_assert (used + strlen (more) + 2 < TEXT_SIZE, "the text is too long for this test");
    sprintf (text + used, "%s\n", more);
}

static settings *settings_read (void)
{
    settings *now = calloc (1, sizeof *now);
    for (int number = 1; number < SIGNALS; number++)
        sigaction (number, NULL, &now->actions[number]);
    sigprocmask (SIG_SETMASK, NULL, &now->mask);
    for (char **variable = environ; *variable; variable++)
        add_text (now->environment, *variable);
    cr_assert_not_null (getcwd (now->directory, sizeof now->directory));
    snprintf (now->locale, sizeof now->locale, "%s", setlocale (LC_ALL, NULL));
    now->file_mask = umask (022);
    umask (now->file_mask);
    for (int i = 0; i < RLIM_NLIMITS; i++)
        getrlimit (i, &now->limits[i]);
    now->priority = getpriority (PRIO_PROCESS, 0);
    return now;
}

static void settings_compare (const settings *before, const char *when)
{
    settings *now = settings_read ();
    for (int number = 1; number < SIGNALS; number++) {
        const struct sigaction *a = &before->actions[number], *b = &now->actions[number];
        cr_expect (a->sa_handler == b->sa_handler && a->sa_flags == b->sa_flags,
                   "%s: the action of signal %d has changed", when, number);
        cr_expect_eq (sigismember (&before->mask, number), sigismember (&now->mask, number),
                      "%s: the mask of signal %d has changed", when, number);
    }
    cr_expect_str_eq (before->environment, now->environment, "%s", when);
    cr_expect_str_eq (before->directory, now->directory, "%s", when);
    cr_expect_str_eq (before->locale, now->locale, "%s", when);
    cr_expect_eq (before->file_mask, now->file_mask, "%s", when);
    cr_expect_eq (memcmp (before->limits, now->limits, sizeof now->limits), 0, "%s", when);
    cr_expect_eq (before->priority, now->priority, "%s", when);
    free (now);
}

/* ---- what a program can have open --------------------------------------------------------------
 */

/* The entries of a directory of /proc, and what links there lead to. */
static char *list (const char *path)
{
    char *text = calloc (1, TEXT_SIZE), entry[600], target[300];
    DIR *directory = opendir (path);
    cr_assert_not_null (directory);
    char own[16];
    snprintf (own, sizeof own, "%d", dirfd (directory));
    for (struct dirent *file = readdir (directory); file; file = readdir (directory)) {
        if (strcmp (file->d_name, own) == 0)
            continue;
        ssize_t size = readlinkat (dirfd (directory), file->d_name, target, sizeof target - 1);
        target[size > 0 ? size : 0] = '\0';
        snprintf (entry, sizeof entry, "%s %s", file->d_name, target);
        add_text (text, entry);
    }
    closedir (directory);
    return text;
}

static void list_compare (const char *path, const char *before)
{
    char *now = list (path);
    cr_expect_str_eq (before, now, "%s is not as it was", path);
    free (now);
}

/* ---- the peers
 * ----------------------------------------------------------------------------------- */

static px_err leaf (px_task *task, const void *input, size_t input_size)
{
    return px_task_return (task, input, input_size);
}

static px_err root (px_task *task, const void *input, size_t input_size)
{
    px_branch branch;
    px_err err = px_branch_open (task, "host.leaves", NULL, &branch);
    for (int i = 0; i < 100 && err == PX_OK; i++)
        err = px_branch_add (branch, leaf, &i, sizeof i);
    if (err == PX_OK)
        err = px_branch_join (branch);
    px_branch_close (branch);
    return err;
}

PX_MODULE ("host", "1.0")
PX_TASK (leaf)
PX_TASK (root)

static px_peer *open_peer (const char *name, const char *join)
{
    const char *joins[] = {join, NULL};
    px_peer_options options = PX_PEER_OPTIONS_INIT;
    px_peer *peer = NULL;
    char why[PX_WHY_SIZE] = "";
    options.name = name;
    options.join = join ? joins : NULL;
    options.module = &px_module_v1;
    options.slots = 2;
    px_err err = px_peer_open (&options, &peer, why);
    cr_assert_eq (err, PX_OK, "%s: %s", px_err_name (err), why);
    return peer;
}

static void run_job (px_peer *peer)
{
    px_job *job = NULL;
    px_outcome outcome;
    cr_assert_eq (px_job_submit (peer, "host.root", NULL, 0, NULL, &job), PX_OK);
    cr_assert_eq (px_job_wait (job, px_deadline_ns (UINT64_C (20000000000)), &outcome), PX_OK);
    cr_assert_eq (outcome.code, PX_OK, "%s", px_err_name (outcome.code));
    px_job_free (&job);
}

static void ignore_signal (int number)
{
}

Test (host_state, peers_come_and_go_and_the_host_is_as_it_was, .timeout = 60)
{
    struct sigaction own = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
    sigaction (SIGTERM, &own, NULL);
    sigaction (SIGUSR1, &own, NULL);
    settings *before = settings_read ();
    char *files = list ("/proc/self/fd"), *threads = list ("/proc/self/task");
    for (int round = 0; round < 3; round++) {
        px_peer *first = open_peer ("first", NULL);
        px_peer *second = open_peer ("second", px_peer_address (first));
        run_job (second);
        settings_compare (before, "while peers are open");
        px_peer_close (&first, 0);
        px_peer_close (&second, px_deadline_ns (UINT64_C (5000000000)));
        cr_assert_null (first);
        cr_assert_null (second);
        settings_compare (before, "after peers were closed");
        list_compare ("/proc/self/fd", files);
        list_compare ("/proc/self/task", threads);
        cr_expect (waitpid (-1, NULL, WNOHANG) == -1 && errno == ECHILD, "a child is left");
    }
    free (threads);
    free (files);
    free (before);
}
