/* A tree of src/sim/workload as a word of the command line: what peer-sim runs, and what real peers walk
 * beside it. */
#ifndef TOOLS_COMMON_TREE_H
#define TOOLS_COMMON_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/workload.h"

enum { TREE_WHY_SIZE = 160 };

#define TREE_HELP                                                                                  \
    "                        split:work=T,leaf=T,parts=N      divisible work, cut at random\n"     \
    "                        random:depth=N,fan=N,leaf=T,inner=T,law=LAW\n"                        \
    "                        flat:n=N,leaf=T,law=LAW          one loop\n"                          \
    "                        T: 5s, 10ms, 50us; LAW: constant, uniform, exponential, pareto,\n"    \
    "                        lognormal\n"

/* What keys that are not given are. */
pxi_tree tree_default (void);
/* Changes what `text` names. False: `why` says what is wrong. */
bool tree_parse (const char *text, pxi_tree *tree, char why[TREE_WHY_SIZE]);
/* Digits only; *end = what follows them. */
bool tree_number (const char *text, char **end, uint64_t *value);

#endif
