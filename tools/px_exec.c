/* px_exec: the process in which a peer runs the tasks of a module that it has loaded. Started by
 * peers, never by hand.
 *
 * The library runs the tasks; here is what only a program may do. Crashes: each thread that runs
 * tasks has an alternate signal stack, since a task that eats its stack leaves none to handle its
 * own signal on. The handler notes the current run and task in a page that the peer shares, and
 * lets the signal take the process. An exit () in a task is told in the same way. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <peerexec/executor.h>

enum { SIGNAL_STACK_SIZE = 65536 };

/* A signal handler has no context of its own. Set once, before any thread. */
static px_executor_page *page;

static void note_culprit (void)
{
    uint64_t run;
    uint32_t task;
    if (!px_executor_current (&run, &task) ||
        __atomic_exchange_n (&page->claimed, 1, __ATOMIC_SEQ_CST))
        return;
    page->run = run;
    page->task = task;
    page->known = 1;
}

/* SA_RESETHAND has put the default back: raising again ends the process with the same signal. One that another
 * process has sent is nobody's fault in here. */
static void on_crash (int signal, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code > 0 || info->si_pid == getpid ())
        note_culprit ();
    raise (signal);
}

static int catch_crashes (void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    struct sigaction action = {.sa_sigaction = on_crash};
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        if (sigaction (signals[i], &action, NULL) != 0)
            return 0;
    }
    return atexit (note_culprit) == 0;
}

static void thread_begin (void)
{
    stack_t stack = {.ss_size = SIGNAL_STACK_SIZE};
    stack.ss_sp =
        mmap (NULL, SIGNAL_STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp != MAP_FAILED)
        sigaltstack (&stack, NULL);
}

static void thread_end (void)
{
    stack_t none = {.ss_flags = SS_DISABLE}, stack = {0};
    if (sigaltstack (&none, &stack) == 0 && stack.ss_sp)
        munmap (stack.ss_sp, stack.ss_size);
}

static int set_up (void)
{
    /* The peer ends its executors; should it be killed, they go with it. */
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    struct rlimit no_core = {0, 0};
    setrlimit (RLIMIT_CORE, &no_core);
    page = mmap (NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, PX_EXECUTOR_FD_PAGE, 0);
    close (PX_EXECUTOR_FD_PAGE);
    return page != MAP_FAILED && catch_crashes ();
}

int main (int argc, char **argv)
{
    if (argc != 5 || strcmp (argv[1], "--module") != 0 || strcmp (argv[3], "--key") != 0) {
        fputs ("px_exec runs tasks for a peer, which starts it: see peerd --help\n", stderr);
        return 2;
    }
    px_err err = set_up () ? px_executor_serve (argv[2], strtoull (argv[4], NULL, 16), thread_begin,
                                                thread_end)
                           : PX_ESYSTEM;
    if (err != PX_OK)
        fprintf (stderr, "px_exec: %s\n", px_err_text (err));
    fflush (NULL);
    /* Tasks may be running: nothing is torn down under them. */
    _exit (err == PX_OK ? 0 : 1);
}
