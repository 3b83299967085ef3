#include "common/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"

enum { TEXT_SIZE = 256 };

pxi_tree tree_default (void)
{
    return (pxi_tree){
        .kind = PXI_TREE_SPLIT,
        .depth_max = 5,
        .fan_min = 2,
        .fan_max = 2,
        .rounds_max = 1,
        .leaf = {PXI_LAW_EXPONENTIAL, 10 * PXI_MS},
        .work_ns = 8 * PXI_SECOND,
        .leaf_ns = 10 * PXI_MS,
        .size_min = 64,
        .size_max = 64,
    };
}

static bool fail (char *why, const char *text, const char *wanted)
{
    snprintf (why, TREE_WHY_SIZE, "\"%.60s\" is not %s", text, wanted);
    return false;
}

bool tree_number (const char *text, char **end, uint64_t *value)
{
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *value = strtoull (text, end, 10);
    return errno == 0;
}

static bool read_count (const char *text, uint64_t low, uint64_t high, uint32_t *count, char *why)
{
    char *end, wanted[64];
    uint64_t value;
    snprintf (wanted, sizeof wanted, "a number from %llu to %llu", (unsigned long long)low,
              (unsigned long long)high);
    if (!tree_number (text, &end, &value) || *end || value < low || value > high)
        return fail (why, text, wanted);
    *count = (uint32_t)value;
    return true;
}

static bool read_duration (const char *text, uint64_t *ns, char *why)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"s", PXI_SECOND}, {"ms", PXI_MS}, {"us", 1000}, {"ns", 1}};
    char *end;
    uint64_t value;
    if (!tree_number (text, &end, &value))
        return fail (why, text, "a duration such as 10ms");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (!strcmp (end, units[i].unit) && value <= UINT64_MAX / 1000000 / units[i].ns) {
            *ns = value * units[i].ns;
            return true;
        }
    }
    return fail (why, text, "a duration such as 10ms");
}

static bool read_law (const char *text, pxi_law_kind *law, char *why)
{
    static const char *const names[] = {"constant", "uniform", "exponential", "pareto",
                                        "lognormal"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!strcmp (text, names[i])) {
            *law = (pxi_law_kind)i;
            return true;
        }
    }
    return fail (why, text, "a law: constant, uniform, exponential or pareto");
}

static bool set_key (pxi_tree *tree, const char *key, const char *value, char *why)
{
    bool set = false;
    if (!strcmp (key, "work")) {
        set = read_duration (value, &tree->work_ns, why);
    } else if (!strcmp (key, "leaf")) {
        set = read_duration (value, &tree->leaf_ns, why);
        tree->leaf.mean_ns = tree->leaf_ns;
    } else if (!strcmp (key, "inner")) {
        set = read_duration (value, &tree->inner.mean_ns, why);
    } else if (!strcmp (key, "parts")) {
        set = read_count (value, 2, 1000000, &tree->fan_max, why);
    } else if (!strcmp (key, "depth")) {
        set = read_count (value, 1, 100000, &tree->depth_max, why);
    } else if (!strcmp (key, "fan") || !strcmp (key, "n")) {
        set = read_count (value, 1, 1000000, &tree->fan_max, why);
        tree->fan_min = tree->fan_max;
    } else if (!strcmp (key, "law")) {
        set = read_law (value, &tree->leaf.kind, why);
        tree->inner.kind = tree->leaf.kind;
    } else {
        fail (why, key, "a key of a tree: see --help");
    }
    return set;
}

static bool set_kind (pxi_tree *tree, const char *kind, char *why)
{
    if (!strcmp (kind, "split"))
        tree->kind = PXI_TREE_SPLIT;
    else if (!strcmp (kind, "random") || !strcmp (kind, "flat"))
        tree->kind = PXI_TREE_RANDOM;
    else
        return fail (why, kind, "split, random or flat");
    if (!strcmp (kind, "flat"))
        tree->depth_max = 1;
    return true;
}

bool tree_parse (const char *text, pxi_tree *tree, char why[TREE_WHY_SIZE])
{
    char copy[TEXT_SIZE];
    if (strlen (text) >= sizeof copy)
        return fail (why, text, "short enough");
    strcpy (copy, text);
    char *keys = strchr (copy, ':');
    if (keys)
        *keys++ = 0;
    bool fine = set_kind (tree, copy, why);
    for (char *rest = keys, *key; fine && rest && (key = strsep (&rest, ","));) {
        char *value = strchr (key, '=');
        if (!value)
            return fail (why, key, "KEY=VALUE");
        *value++ = 0;
        fine = set_key (tree, key, value, why);
    }
    return fine;
}
