/* Threads that acquire, read and release the same buffers: each is freed exactly once, by whoever
 * is last, with all reads before it. ThreadSanitizer judges the order; the counts judge the rest.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/log.h"

enum { N_THREADS = 4, N_BUFFERS = 2000, SIZE = 64 };

typedef struct shared {
    pxi_bytes *buffers[N_BUFFERS]; /* one reference per thread */
    pxi_log_sink log;
    unsigned n_lines; /* plain: the sink's lock has to guard it */
} shared;

static atomic_uint n_freed, n_wrong;

static void free_block (void *block)
{
    memset (block, 0, SIZE); /* a write: no read of another thread may come after it */
    free (block);
    atomic_fetch_add (&n_freed, 1);
}

static void count_line (void *context, px_log_level level, const char *scope, const char *text)
{
    ++*(unsigned *)context;
}

static void *use_all (void *argument)
{
    shared *all = argument;
    for (unsigned i = 0; i < N_BUFFERS; i++) {
        pxi_bytes *bytes = pxi_bytes_acquire (all->buffers[i]);
        const char *data = pxi_bytes_data (bytes);
        if (data[0] != 'x' || data[SIZE - 1] != 'x')
            atomic_fetch_add (&n_wrong, 1);
        pxi_bytes_release (bytes);
        pxi_bytes_release (bytes); /* this thread's own */
        if (i % 100 == 0)
            pxi_log (&all->log, PX_LOG_INFO, "stress", "%u", i);
    }
    return NULL;
}

int main (void)
{
    static shared all;
    pthread_t threads[N_THREADS];
    pxi_log_init (&all.log, count_line, &all.n_lines, PX_LOG_INFO);
    for (int i = 0; i < N_BUFFERS; i++) {
        char *block = malloc (SIZE);
        memset (block, 'x', SIZE);
        all.buffers[i] = pxi_bytes_wrap (block, SIZE, free_block, block);
        for (int j = 1; j < N_THREADS; j++)
            pxi_bytes_acquire (all.buffers[i]);
    }
    for (int i = 0; i < N_THREADS; i++)
        if (pthread_create (&threads[i], NULL, use_all, &all) != 0)
            return 1;
    for (int i = 0; i < N_THREADS; i++)
        pthread_join (threads[i], NULL);
    pxi_log_fini (&all.log);
    unsigned freed = atomic_load (&n_freed), wrong = atomic_load (&n_wrong);
    printf ("%u of %d freed, %u wrong, %u lines\n", freed, N_BUFFERS, wrong, all.n_lines);
    return freed == N_BUFFERS && wrong == 0 && all.n_lines == N_THREADS * N_BUFFERS / 100 ? 0 : 1;
}
