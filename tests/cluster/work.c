/* The module of the cluster tests: tasks that do, in small, what tasks may do to a peer. Compiled
 * into the tests and built as a shared object. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <peerexec/peerexec.h>

#include "work.h"

PX_MODULE ("work", "1")

static void burn (uint64_t duration_ns)
{
    uint64_t until_ns = px_now_ns () + duration_ns;
    while (px_now_ns () < until_ns)
        continue;
}

static px_err echo (px_task *task, const void *input, size_t input_size)
{
    return px_task_return (task, input, input_size);
}
PX_TASK (echo)

/* Counts the nodes of a tree, burning a little at each. */
static px_err tree (px_task *task, const void *input, size_t input_size)
{
    work_tree node;
    if (input_size != sizeof node)
        return px_task_fail (task, "want %zu bytes, got %zu", sizeof node, input_size);
    memcpy (&node, input, sizeof node);
    uint64_t count = 1;
    burn (node.burn_ns);
    if (node.depth) {
        px_branch branch;
        px_outcome outcome;
        work_tree child = {node.depth - 1, node.fan, node.burn_ns};
        px_err err = px_branch_open (task, "work.tree", NULL, &branch);
        for (uint32_t i = 0; i < node.fan && err == PX_OK; i++)
            err = px_branch_add (branch, tree, &child, sizeof child);
        if (err == PX_OK)
            err = px_branch_join (branch);
        for (uint32_t i = 0; i < node.fan && err == PX_OK; i++) {
            uint64_t below;
            err = px_branch_result (branch, i, &outcome);
            if (err == PX_OK)
                memcpy (&below, outcome.bytes, sizeof below), count += below;
        }
        if (err != PX_OK)
            return err;
        px_branch_close (branch);
    }
    return px_task_return (task, &count, sizeof count);
}
PX_TASK (tree)

static px_err fail (px_task *task, const void *input, size_t input_size)
{
    return px_task_fail (task, "as it was asked: %.*s", (int)input_size, (const char *)input);
}
PX_TASK (fail)

static px_err segv (px_task *task, const void *input, size_t input_size)
{
    (void)task, (void)input, (void)input_size;
    static volatile uintptr_t nowhere = 4096;
    *(volatile int *)nowhere = 1;
    return PX_OK;
}
PX_TASK (segv)

/* Burns at its leaves; what its subtasks say is what it says. */
static px_err trapped (px_task *task, const void *input, size_t input_size)
{
    work_trap what;
    px_branch branch;
    px_outcome outcome;
    if (input_size != sizeof what)
        return px_task_fail (task, "want %zu bytes, got %zu", sizeof what, input_size);
    memcpy (&what, input, sizeof what);
    if (what.node == what.trap)
        return segv (task, NULL, 0);
    if (!what.tree.depth) {
        burn (what.tree.burn_ns);
        return px_task_return (task, &what.node, sizeof what.node);
    }
    uint32_t fan = what.tree.fan;
    px_err err = px_branch_open (task, "work.trapped", NULL, &branch);
    what.tree.depth--;
    what.node *= fan;
    for (uint32_t i = 0; i < fan && err == PX_OK; i++) {
        what.node++;
        err = px_branch_add (branch, trapped, &what, sizeof what);
    }
    if (err == PX_OK)
        err = px_branch_join (branch);
    for (uint32_t i = 0; i < fan && err == PX_OK; i++)
        err = px_branch_result (branch, i, &outcome);
    if (err != PX_OK)
        return err;
    px_branch_close (branch);
    return px_task_return (task, &what.node, sizeof what.node);
}
PX_TASK (trapped)

static px_err die (px_task *task, const void *input, size_t input_size)
{
    (void)task, (void)input, (void)input_size;
    abort ();
}
PX_TASK (die)

static px_err leave (px_task *task, const void *input, size_t input_size)
{
    (void)task, (void)input, (void)input_size;
    exit (3);
}
PX_TASK (leave)

static int dig (volatile char *above, int depth)
{
    volatile char room[4096];
    room[0] = (char)(above[0] + 1);
    return depth ? dig (room, depth - 1) + room[0] : room[0];
}

static px_err overflow (px_task *task, const void *input, size_t input_size)
{
    (void)input, (void)input_size;
    volatile char top[1] = {0};
    int depth = dig (top, 1 << 20);
    return px_task_return (task, &depth, sizeof depth);
}
PX_TASK (overflow)

/* As many bytes as asked for, each its index. */
static px_err bytes (px_task *task, const void *input, size_t input_size)
{
    uint64_t size;
    void *room;
    if (input_size < sizeof size)
        return px_task_fail (task, "no size");
    memcpy (&size, input, sizeof size);
    px_err err = px_task_result (task, size, &room);
    for (uint64_t i = 0; i < size && err == PX_OK; i++)
        ((uint8_t *)room)[i] = (uint8_t)i;
    return err;
}
PX_TASK (bytes)

/* Waits until it is no longer wanted, and hears it. */
static px_err wait (px_task *task, const void *input, size_t input_size)
{
    (void)input, (void)input_size;
    return px_task_sleep (task, PX_FOREVER / 4);
}
PX_TASK (wait)

/* Works until it is no longer wanted. */
static px_err hold (px_task *task, const void *input, size_t input_size)
{
    (void)input, (void)input_size;
    while (!px_task_cancelled (task))
        burn (100000);
    return PX_ECANCELLED;
}
PX_TASK (hold)

/* The same, and not for long. What else it says of itself is nonsense. */
static px_err late (px_task *task, const void *input, size_t input_size)
{
    return hold (task, input, input_size);
}
PX_TASK (late)

static double tenth (const void *input, size_t input_size)
{
    (void)input, (void)input_size;
    return 0.1;
}

static double minus (const void *input, size_t input_size)
{
    (void)input, (void)input_size;
    return -1e300;
}

static double no_number (const void *input, size_t input_size)
{
    (void)input, (void)input_size;
    return 0.0 / (input_size == SIZE_MAX ? 1 : 0.0);
}
PX_COST (late, minus, no_number, tenth)

/* Never stops, whatever is asked. */
static px_err deaf (px_task *task, const void *input, size_t input_size)
{
    (void)task, (void)input, (void)input_size;
    while (px_now_ns ())
        continue;
    return PX_OK;
}
PX_TASK (deaf)

/* Keeps a slot for a while, or until it is no longer wanted. */
static px_err linger (px_task *task, const void *input, size_t input_size)
{
    uint64_t until_ns, one = 1;
    if (input_size != sizeof until_ns)
        return px_task_fail (task, "want %zu bytes, got %zu", sizeof until_ns, input_size);
    memcpy (&until_ns, input, sizeof until_ns);
    until_ns += px_now_ns ();
    while (px_now_ns () < until_ns && !px_task_cancelled (task))
        nanosleep (&(struct timespec){.tv_nsec = 1000000}, NULL);
    return px_task_return (task, &one, sizeof one);
}
PX_TASK (linger)

/* "COUNT MS": so many of them, so long each. */
static px_err lingers (px_task *task, const void *input, size_t input_size)
{
    enum { LINGERS_MAX = 64 };
    uint64_t duration_ns[LINGERS_MAX], ones[LINGERS_MAX];
    char text[64];
    unsigned n = 0, ms = 0, sum = 0;
    snprintf (text, sizeof text, "%.*s", (int)input_size, (const char *)input);
    if (sscanf (text, "%u %u", &n, &ms) != 2 || n > LINGERS_MAX)
        return px_task_fail (task, "want COUNT (up to %d) and MS, got '%s'", LINGERS_MAX, text);
    for (unsigned i = 0; i < n; i++)
        duration_ns[i] = ms * UINT64_C (1000000);
    px_err err = px_map (task, "work.items", linger, duration_ns, sizeof *duration_ns, n, ones,
                         sizeof *ones);
    if (err != PX_OK)
        return err;
    for (unsigned i = 0; i < n; i++)
        sum += (unsigned)ones[i];
    int size = snprintf (text, sizeof text, "lingered %u", sum);
    return px_task_return (task, text, (size_t)size);
}
PX_TASK (lingers)

/* Says where it ran, after a while. */
static px_err nap (px_task *task, const void *input, size_t input_size)
{
    uint64_t id = px_task_peer_id (task), duration_ns = 0;
    memcpy (&duration_ns, input, input_size < sizeof duration_ns ? input_size : sizeof duration_ns);
    burn (duration_ns);
    return px_task_return (task, &id, sizeof id);
}
PX_TASK (nap)

static px_err sum_sizes (void *context, uint64_t index, const px_outcome *outcome)
{
    (void)index;
    uint64_t *sum = context;
    *sum += outcome->code == PX_OK ? outcome->bytes_size : 0;
    return PX_OK;
}

/* `count` subtasks of a kind with the same input; the sum of their results' sizes. */
static px_err many (px_task *task, const void *input, size_t input_size)
{
    static px_task_fn *const kinds[] = {
        [WORK_ECHO] = echo,         [WORK_FAIL] = fail,   [WORK_SEGV] = segv, [WORK_DIE] = die,
        [WORK_OVERFLOW] = overflow, [WORK_BYTES] = bytes, [WORK_WAIT] = wait, [WORK_DEAF] = deaf,
        [WORK_NAP] = nap,           [WORK_LEAVE] = leave, [WORK_HOLD] = hold, [WORK_LATE] = late};
    work_many what;
    uint64_t sum = 0;
    px_branch branch;
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.react = sum_sizes;
    options.react_context = &sum;
    options.subtasks_max = 64;
    if (input_size < sizeof what)
        return px_task_fail (task, "want %zu bytes, got %zu", sizeof what, input_size);
    memcpy (&what, input, sizeof what);
    options.number = what.number;
    px_err err = px_branch_open (task, "work.many", &options, &branch);
    for (uint32_t i = 0; i < what.count && err == PX_OK; i++)
        err = px_branch_add (branch, kinds[what.kind], (const char *)input + sizeof what,
                             input_size - sizeof what);
    if (err == PX_OK)
        err = px_branch_join (branch);
    if (err != PX_OK)
        return err;
    px_branch_close (branch);
    return px_task_return (task, &sum, sizeof sum);
}
PX_TASK (many)

/* What a chunk is given: the parameters, and then the bytes. */
static uint64_t sum_of (const work_sums *what)
{
    const unsigned char *bytes = (const unsigned char *)(what + 1);
    uint64_t sum = 0;
    for (uint64_t i = 0; i < what->size; i++)
        sum += bytes[i];
    return sum;
}

static px_err add_up (void *context, uint64_t index, const px_outcome *outcome)
{
    (void)index;
    uint64_t one = 0;
    if (outcome->code == PX_OK)
        memcpy (&one, outcome->bytes, sizeof one);
    *(uint64_t *)context += one;
    return PX_OK;
}

static px_err sum_chunk (px_task *task, const void *input, size_t input_size)
{
    px_range range;
    size_t size;
    const work_sums *what = px_task_shared (task, &size);
    if (input_size != sizeof range || size < sizeof *what || size != sizeof *what + what->size ||
        (uintptr_t)what % 16)
        return px_task_fail (task, "%zu shared bytes at %p", size, (const void *)what);
    memcpy (&range, input, sizeof range);
    uint64_t sum = 0;
    for (uint64_t i = range.begin; i < range.end; i++)
        sum += (i + 1) * sum_of (what);
    burn (what->burn_ns);
    return px_task_return (task, &sum, sizeof sum);
}
PX_TASK (sum_chunk)

/* Hands on what it has been given. */
static px_err sum_pair (px_task *task, const void *input, size_t input_size)
{
    size_t size;
    const void *shared = px_task_shared (task, &size);
    uint64_t sum = 0;
    px_err err = px_for (task, "work.pair", 0, 2, 1, sum_chunk, shared, size, add_up, &sum);
    return err != PX_OK ? err : px_task_return (task, &sum, sizeof sum);
}
PX_TASK (sum_pair)

static px_err sums (px_task *task, const void *input, size_t input_size)
{
    work_sums what;
    if (input_size != sizeof what)
        return px_task_fail (task, "want %zu bytes, got %zu", sizeof what, input_size);
    memcpy (&what, input, sizeof what);
    work_sums *shared = malloc (sizeof *shared + what.size);
    if (!shared)
        return PX_ENOMEM;
    *shared = what;
    for (uint64_t i = 0; i < what.size; i++)
        ((unsigned char *)(shared + 1))[i] = work_shared_byte (i);
    uint64_t sum = 0;
    px_err err = px_for (task, "work.sums", 0, what.chunks, 1, what.levels ? sum_pair : sum_chunk,
                         shared, sizeof *shared + what.size, add_up, &sum);
    free (shared);
    return err != PX_OK ? err : px_task_return (task, &sum, sizeof sum);
}
PX_TASK (sums)

typedef struct work_load {
    uint64_t duration_ns, result_size;
} work_load;

/* Keeps a slot, not a processor, for so long, and brings so many bytes back. A peer of the name slow... takes four
 * times as long. */
static px_err load (px_task *task, const void *input, size_t input_size)
{
    work_load what;
    void *room;
    if (input_size < sizeof what)
        return px_task_fail (task, "want %zu bytes, got %zu", sizeof what, input_size);
    memcpy (&what, input, sizeof what);
    if (!strncmp (px_task_peer_name (task), "slow", 4))
        what.duration_ns *= 4;
    nanosleep (&(struct timespec){.tv_sec = (time_t)(what.duration_ns / 1000000000),
                                  .tv_nsec = (long)(what.duration_ns % 1000000000)},
               NULL);
    px_err err = px_task_result (task, what.result_size, &room);
    if (err == PX_OK)
        memset (room, 1, what.result_size);
    return err;
}
PX_TASK (load)

/* Until all have their outcome, the slot held: they can only be done elsewhere. */
static px_err hold_until_done (px_task *task, px_branch branch, uint64_t n)
{
    px_outcome outcome;
    px_err err = PX_OK;
    for (uint64_t i = 0; i < n && (err == PX_OK || err == PX_EAGAIN);) {
        err = px_branch_result (branch, i, &outcome);
        i += err == PX_OK;
        if (px_task_cancelled (task))
            return PX_ECANCELLED;
        if (err == PX_EAGAIN)
            nanosleep (&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return err;
}

/* "COUNT US IN OUT HELD": so many, that keep a slot for so long, with inputs and results of so many bytes. HELD 1: none
 * of them here. Says how many came, and how long they took in ns. */
static px_err loads (px_task *task, const void *input, size_t input_size)
{
    char text[64] = "";
    unsigned long n, us, in, out, held;
    memcpy (text, input, input_size < sizeof text ? input_size : sizeof text - 1);
    if (sscanf (text, "%lu %lu %lu %lu %lu", &n, &us, &in, &out, &held) != 5)
        return px_task_fail (task, "want COUNT US IN OUT HELD, got '%s'", text);
    work_load what = {us * UINT64_C (1000), out};
    size_t size = in > sizeof what ? in : sizeof what;
    char *bytes = calloc (1, size);
    px_branch branch;
    uint64_t began_ns = px_now_ns (), right = 0;
    px_err err = bytes ? px_branch_open (task, "work.loads", NULL, &branch) : PX_ENOMEM;
    if (err != PX_OK) {
        free (bytes);
        return err;
    }
    memcpy (bytes, &what, sizeof what);
    for (unsigned long i = 0; i < n && err == PX_OK; i++)
        err = px_branch_add (branch, load, bytes, size);
    free (bytes);
    if (err == PX_OK && held)
        err = hold_until_done (task, branch, n);
    if (err == PX_OK)
        err = px_branch_join (branch);
    for (unsigned long i = 0; i < n && err == PX_OK; i++) {
        px_outcome outcome;
        err = px_branch_result (branch, i, &outcome);
        right += err == PX_OK && outcome.code == PX_OK && outcome.bytes_size == out;
    }
    px_branch_close (branch);
    if (err != PX_OK)
        return err;
    int length = snprintf (text, sizeof text, "loads %llu %llu", (unsigned long long)right,
                           (unsigned long long)(px_now_ns () - began_ns));
    return px_task_return (task, text, (size_t)length);
}
PX_TASK (loads)
