/* Pieces of all that is kept are left out, large ones first; when no piece of a size can be spared, smaller
 * ones are tried. Deterministic tests only: a result is never asked for again. */
#include "sim/shrink.h"

#include <stdlib.h>

#include "base/assert.h"

static uint32_t n_kept (const uint8_t *keep, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        kept += keep[i] != 0;
    return kept;
}

/* The kept ones with the numbers [from, to) among the kept. */
static void leave_out (uint8_t *keep, uint32_t n, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0, number = 0; i < n; i++) {
        if (!keep[i])
            continue;
        keep[i] = number < from || number >= to;
        number++;
    }
}

uint32_t pxi_shrink (uint8_t *keep, uint32_t n, uint32_t runs_max, pxi_shrink_test *fails,
                     void *context)
{
    uint8_t *tried = malloc (n ? n : 1);
    PXI_ASSERT (tried);
    uint32_t n_runs = 0;
    for (uint32_t piece = n_kept (keep, n); piece; piece = piece == 1 ? 0 : (piece + 1) / 2) {
        bool spared = true;
        while (spared && n_runs < runs_max) { /* again at this size: one may depend on another */
            spared = false;
            for (uint32_t from = 0; from < n_kept (keep, n) && n_runs < runs_max;) {
                for (uint32_t i = 0; i < n; i++)
                    tried[i] = keep[i];
                leave_out (tried, n, from, from + piece);
                n_runs++;
                if (!fails (context, tried)) {
                    from += piece;
                    continue;
                }
                spared = true;
                for (uint32_t i = 0; i < n; i++)
                    keep[i] = tried[i];
            }
        }
    }
    free (tried);
    return n_runs;
}
