/* A device's client and its clock, for tests: real events, and a time that only the test moves. */
#ifndef TESTS_DEVICE_H
#define TESTS_DEVICE_H

#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "device/client.h"

#define SECOND UINT64_C (1000000000)

struct device_rig {
    pxi_device_client *client;
    uint64_t now_ns;
};

/* cache of the fake helper: its role. */
static inline struct device_rig device_rig_new (const char *program, const char *cache,
                                                uint64_t memory_max)
{
    pxi_device_client_config config = pxi_device_client_config_default ();
    config.program.program = program;
    config.program.cache = cache;
    config.program.threads = 2;
    config.program.memory_max = memory_max;
    struct device_rig rig = {pxi_device_client_new (&config), SECOND};
    cr_assert_not_null (rig.client);
    pxi_device_step (rig.client, rig.now_ns);
    return rig;
}

/* Waits for something to happen in the helper, and steps; no time passes. */
static inline void device_rig_turn (struct device_rig *rig)
{
    struct pollfd fd = {.fd = pxi_device_fd (rig->client), .events = POLLIN};
    cr_assert_eq (poll (&fd, 1, 120000), 1, "nothing comes from the helper");
    pxi_device_step (rig->client, rig->now_ns);
}

static inline void device_rig_until (struct device_rig *rig, pxi_device_state state)
{
    while (pxi_device_client_state (rig->client) != state)
        device_rig_turn (rig);
}

static inline pxi_device_completion device_rig_wait (struct device_rig *rig)
{
    pxi_device_completion completion;
    while (!pxi_device_next (rig->client, &completion))
        device_rig_turn (rig);
    return completion;
}

#endif
