/* What a remote call is measured against: libzmq alone, DEALER to ROUTER over loopback TCP between two
 * processes; and, for what our own transport adds to it, the same through src/net. */
#ifndef TOOLS_BENCH_RAW_H
#define TOOLS_BENCH_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { RAW_ENDPOINT_SIZE = 128 };

/* For CURVE: of one run. The file is in memory: none is left behind. */
typedef struct raw_key {
    char public_text[41], secret_text[41], path[48]; /* path: for peers, while this process lives */
} raw_key_t;

/* A process at the other end. */
typedef struct raw_server {
    const raw_key_t *key; /* set by the caller; NULL = no CURVE */
    pid_t pid;            /* 0 = none */
    char endpoint[RAW_ENDPOINT_SIZE];
} raw_server_t;

typedef struct raw_client {
    void *context, *socket;
    char *bytes;
} raw_client_t;

/* Once. False: said on standard error. */
bool raw_key_make (raw_key_t *key);
/* Forks: before this process has threads. `serve` writes its endpoint, of RAW_ENDPOINT_SIZE bytes, to `out`
 * and never returns. False: said on standard error. */
bool raw_server_start (raw_server_t *server, void (*serve) (const raw_key_t *key, int out));
void raw_server_stop (raw_server_t *server);
void raw_echo (const raw_key_t *key, int out); /* answers every message with its body */
void raw_sink (const raw_key_t *key, int out); /* answers only empty ones */

/* For messages of up to size_max bytes. */
bool raw_open (raw_client_t *client, const raw_server_t *server, size_t size_max);
void raw_close (raw_client_t *client);
/* One at a time, n of them, timed one by one. */
void raw_calls (raw_client_t *client, size_t size, uint64_t n, uint64_t *durations);
/* To an echo, `window` under way. Both return messages per second. */
double raw_many (raw_client_t *client, size_t size, uint64_t n, uint64_t window);
/* To a sink, until the last one has arrived. */
double raw_one_way (raw_client_t *client, size_t size, uint64_t n);

/* ---- net.c: the same through src/net ---------------------------------------------------------- */

void net_echo (const raw_key_t *none, int out);
void net_calls (const raw_server_t *server, size_t size, uint64_t n, uint64_t *durations);

#endif
