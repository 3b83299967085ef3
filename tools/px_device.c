/* Device helper: has one OpenCL device open and computes chunks on it for the peer that starts it.
 *
 *     px_device --list | --device N  [--cache DIR] [--threads N] [--memory BYTES]
 *
 * A driver of OpenCL may crash, hang, or print: here it takes nobody along. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "device/helper/helper.h"
#include "device/message.h"

typedef struct px_device_settings {
    bool list;
    pxi_helper_config config;
    const char *threads;
} px_device_settings;

static bool read_number (const char *text, uint64_t max, uint64_t *number)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull (text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value > max)
        return false;
    *number = value;
    return true;
}

static bool read_option (px_device_settings *settings, const char *name, const char *value)
{
    uint64_t number = 0;
    if (!value)
        return false;
    if (strcmp (name, "--cache") == 0) {
        settings->config.cache = value;
        return true;
    }
    if (strcmp (name, "--device") == 0 && read_number (value, INT32_MAX, &number)) {
        settings->config.device = (uint32_t)number;
        return true;
    }
    if (strcmp (name, "--threads") == 0 && read_number (value, 65536, &number)) {
        settings->threads = number ? value : NULL;
        return true;
    }
    return strcmp (name, "--memory") == 0 &&
           read_number (value, UINT64_MAX, &settings->config.memory_max);
}

static bool read_arguments (int argc, char **argv, px_device_settings *settings)
{
    bool device = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp (argv[i], "--list") == 0) {
            settings->list = true;
            continue;
        }
        device = device || strcmp (argv[i], "--device") == 0;
        if (!read_option (settings, argv[i], i + 1 < argc ? argv[i + 1] : NULL))
            return false;
        i++;
    }
    return settings->list != device;
}

static int refuse (const px_device_settings *settings, const char *why)
{
    pxi_device_message message;
    pxi_device_message_init (&message,
                             settings->list ? PXI_DEVICE_MSG_LISTED : PXI_DEVICE_MSG_REFUSED, 0);
    message.err = PX_ESYSTEM;
    pxi_device_message_add (&message, why);
    return pxi_device_send (settings->config.fd, &message, -1) ? 0 : 1;
}

int main (int argc, char **argv)
{
    px_device_settings settings = {.config.fd = PXI_DEVICE_FD};
    if (!read_arguments (argc, argv, &settings)) {
        fputs ("px_device serves a peer, which starts it: see peerd --help\n", stderr);
        return 2;
    }
    /* The peer ends its helpers; should it be killed, they go with it. */
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    struct rlimit no_core = {0, 0};
    setrlimit (RLIMIT_CORE, &no_core);
    char cache[PATH_MAX];
    if (!pxi_helper_prepare (settings.config.cache, settings.threads, cache))
        return refuse (&settings, "no directory for kernels can be written: give one (--cache)");
    settings.config.cache = cache;
    int code =
        settings.list ? pxi_helper_list (&settings.config) : pxi_helper_serve (&settings.config);
    /* Threads of drivers may be at work: nothing is torn down under them. */
    fflush (NULL);
    _exit (code);
}
