/* On what was measured: a figure without it says nothing. */
#include <peerexec/version.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench.h"
#include "build.h"

typedef struct machine {
    struct utsname name;
    char processor[128];
    long n_processors, memory_mib;
    double load; /* of the last minute: others' work shows here, and our own */
} machine_t;

static void read_processor (char *model, size_t size)
{
    char line[256];
    FILE *file = fopen ("/proc/cpuinfo", "r");
    snprintf (model, size, "unknown");
    while (file && fgets (line, sizeof line, file)) {
        const char *colon = strchr (line, ':');
        if (strncmp (line, "model name", 10) != 0 || !colon)
            continue;
        snprintf (model, size, "%.*s", (int)strcspn (colon + 2, "\n"), colon + 2);
        break;
    }
    if (file)
        fclose (file);
}

static machine_t look (void)
{
    machine_t machine = {.n_processors = sysconf (_SC_NPROCESSORS_ONLN)};
    uname (&machine.name);
    read_processor (machine.processor, sizeof machine.processor);
    machine.memory_mib = sysconf (_SC_PHYS_PAGES) / 1024 * (sysconf (_SC_PAGESIZE) / 1024);
    if (getloadavg (&machine.load, 1) != 1)
        machine.load = 0;
    return machine;
}

json_t *machine_json (void)
{
    machine_t machine = look ();
    return json_pack ("{s:s, s:s, s:I, s:I, s:s, s:f, s:s, s:s, s:s, s:s}", "host",
                      machine.name.nodename, "processor", machine.processor, "processors",
                      (json_int_t)machine.n_processors, "memory_mib",
                      (json_int_t)machine.memory_mib, "kernel", machine.name.release,
                      "load_average", machine.load, "version", PX_VERSION_TEXT, "commit",
                      BUILD_COMMIT, "compiler", BUILD_COMPILER, "build", BUILD_TYPE);
}

void machine_print (FILE *to)
{
    machine_t machine = look ();
    fprintf (to,
             "peerexec %s, commit %s, %s, %s build\n%s, %ld processors, %ld MiB, Linux %s, load "
             "average %.2f\n",
             PX_VERSION_TEXT, BUILD_COMMIT, BUILD_COMPILER, BUILD_TYPE, machine.processor,
             machine.n_processors, machine.memory_mib, machine.name.release, machine.load);
}
