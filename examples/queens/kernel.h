/* N queens: in how many ways can N queens stand on an N x N board without attacking each other?
 * Counted row by row with three bit masks (columns and both diagonals in use). No peerexec here. */
#ifndef PX_EXAMPLES_QUEENS_KERNEL_H
#define PX_EXAMPLES_QUEENS_KERNEL_H

#include "common/example.h"

#define QUEENS_SIZE_MAX 20

typedef struct queens_options {
    uint64_t n;    /* rows and columns */
    uint64_t rows; /* rows that are placed by tasks; the rest of a board is one task's loop */
} queens_options;

/* A board with queens in its first `row` rows. */
typedef struct queens_board {
    uint32_t n, row, rows;
    uint32_t columns, left, right;
} queens_board;

void queens_start (const queens_options *options, queens_board *board);

/* Free places of the board's next row, as bits. */
uint32_t queens_free (const queens_board *board);

/* The board with one more queen, on the place of that single bit. */
void queens_place (const queens_board *board, uint32_t place, queens_board *next);

/* Solutions that extend the board. */
uint64_t queens_count (const queens_board *board);

/* The published number of solutions (OEIS A000170), n from 1 to QUEENS_SIZE_MAX - 1; 0 = not known
 * here (n = 2 and 3 have none, so 0 is right for them as well). */
uint64_t queens_published (uint64_t n);

void queens_print (const queens_options *options, uint64_t solutions, example_answer *answer);

#endif
