/* Time and chance of the host. Any thread. */
#include "base/clock.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <peerexec/peer.h>

#include "base/assert.h"
#include "base/prng.h"

static uint64_t read_clock (clockid_t clock)
{
    struct timespec time;
    int result = clock_gettime (clock, &time);
    PXI_ASSERT (result == 0);
    return (uint64_t)time.tv_sec * UINT64_C (1000000000) + (uint64_t)time.tv_nsec;
}

uint64_t pxi_clock_ns (void)
{
    return read_clock (CLOCK_MONOTONIC);
}

uint64_t pxi_clock_unix_ns (void)
{
    return read_clock (CLOCK_REALTIME);
}

uint64_t pxi_system_seed (void)
{
    uint64_t seed = 0;
    if (getrandom (&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        /* A sandbox without the call: not secret, but different in each process and at each time.
         */
        seed = pxi_mix64 (pxi_clock_unix_ns () ^ pxi_mix64 ((uint64_t)getpid ()) ^ pxi_clock_ns ());
    }
    return seed ? seed : 1;
}

uint64_t px_now_ns (void)
{
    return pxi_clock_ns ();
}

uint64_t px_deadline_ns (uint64_t duration_ns)
{
    uint64_t now = pxi_clock_ns ();
    return duration_ns < PX_FOREVER - now ? now + duration_ns : PX_FOREVER;
}
