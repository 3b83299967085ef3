#include "queens/kernel.h"

#include <stdlib.h>

void queens_start (const queens_options *options, queens_board *board)
{
    *board = (queens_board){.n = (uint32_t)options->n, .rows = (uint32_t)options->rows};
}

uint32_t queens_free (const queens_board *board)
{
    uint32_t all = (1u << board->n) - 1;
    return all & ~(board->columns | board->left | board->right);
}

void queens_place (const queens_board *board, uint32_t place, queens_board *next)
{
    *next = *board;
    next->row = board->row + 1;
    next->columns = board->columns | place;
    next->left = (board->left | place) << 1;
    next->right = (board->right | place) >> 1;
}

static uint64_t solutions (uint32_t all, uint32_t columns, uint32_t left, uint32_t right)
{
    uint64_t n = 0;
    if (columns == all)
        return 1;
    for (uint32_t open = all & ~(columns | left | right); open; open &= open - 1) {
        uint32_t place = open & -open;
        n += solutions (all, columns | place, (left | place) << 1, (right | place) >> 1);
    }
    return n;
}

uint64_t queens_count (const queens_board *board)
{
    return solutions ((1u << board->n) - 1, board->columns, board->left, board->right);
}

uint64_t queens_published (uint64_t n)
{
    static const uint64_t known[QUEENS_SIZE_MAX] = {
        0,   1,    0,     0,     2,      10,      4,        40,       92,        352,
        724, 2680, 14200, 73712, 365596, 2279184, 14772512, 95815104, 666090624, 4968057848};
    return n < QUEENS_SIZE_MAX ? known[n] : 0;
}

void queens_print (const queens_options *options, uint64_t n, example_answer *answer)
{
    uint64_t published = queens_published (options->n);
    example_print (answer, "board %llu\nsolutions %llu\n", (unsigned long long)options->n,
                   (unsigned long long)n);
    if (options->n < QUEENS_SIZE_MAX)
        example_print (answer, "published %llu (%s)\n", (unsigned long long)published,
                       published == n ? "equal" : "DIFFERENT");
}

static int serial (const void *options, example_answer *answer, char *why)
{
    (void)why;
    queens_board board;
    queens_start (options, &board);
    queens_print (options, queens_count (&board), answer);
    return 0;
}

/* Three rows of a board of 14 make about 1,000 tasks of about 100 us. */
static const queens_options DEFAULTS = {.n = 12, .rows = 3};

static const example_option OPTIONS[] = {
    {"--size", EXAMPLE_UNSIGNED, offsetof (queens_options, n), 1, QUEENS_SIZE_MAX, NULL,
     "rows and columns of the board"},
    {"--rows", EXAMPLE_UNSIGNED, offsetof (queens_options, rows), 0, QUEENS_SIZE_MAX, NULL,
     "rows that are placed by tasks of their own"},
};

const example_program example = {
    .name = "queens",
    .root = "queens.count",
    .purpose = "Count the ways to place N queens that do not attack each other.",
    .options = OPTIONS,
    .n_options = sizeof OPTIONS / sizeof OPTIONS[0],
    .defaults = &DEFAULTS,
    .options_size = sizeof (queens_options),
    .serial = serial,
};
