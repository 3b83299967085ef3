/* Cluster keys for tests: in memory only, so that no run leaves a secret behind. */
#ifndef TESTS_KEY_H
#define TESTS_KEY_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zmq.h>

/* A key file of that text; the path is good while this process, or a child of it, lives. */
static inline const char *test_file (char path[32], const char *text)
{
    int fd = memfd_create ("key", 0);
    cr_assert_geq (fd, 0);
    cr_assert_eq (fchmod (fd, 0600), 0);
    cr_assert_geq (dprintf (fd, "%s", text), 0);
    snprintf (path, 32, "/proc/self/fd/%d", fd);
    return path;
}

/* Any two are different. */
static inline const char *test_key (char path[32])
{
    char public_text[41], secret_text[41], text[200];
    cr_assert_eq (zmq_curve_keypair (public_text, secret_text), 0);
    snprintf (text, sizeof text, "curve\n    public-key = \"%s\"\n    secret-key = \"%s\"\n",
              public_text, secret_text);
    return test_file (path, text);
}

#endif
