/* The small files of base: list, log, clock, digest, error, assert. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <peerexec/peer.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/list.h"
#include "base/log.h"
#include "leak.h"

/* ---- list ------------------------------------------------------------------------------------ */

typedef struct item {
    int value;
    pxi_list link;
} item;

static int list_number (const pxi_list *list)
{
    int number = 0;
    PXI_LIST_EACH (link, list)
    number = number * 10 + PXI_LIST_ENTRY (link, item, link)->value;
    return number;
}

Test (list, keeps_the_order_of_adding_at_either_end)
{
    pxi_list list;
    item items[4];
    pxi_list_init (&list);
    cr_assert (pxi_list_is_empty (&list));
    cr_assert_null (pxi_list_first (&list));
    cr_assert_null (pxi_list_last (&list));
    for (int i = 0; i < 4; i++) {
        items[i].value = i + 1;
        pxi_list_init (&items[i].link);
        cr_assert_not (pxi_list_holds (&items[i].link));
    }
    pxi_list_add_last (&list, &items[1].link);
    pxi_list_add_last (&list, &items[2].link);
    pxi_list_add_first (&list, &items[0].link);
    pxi_list_add_after (&items[1].link, &items[3].link);
    cr_assert_eq (list_number (&list), 1243);
    cr_assert_eq (pxi_list_first (&list), &items[0].link);
    cr_assert_eq (pxi_list_last (&list), &items[2].link);
}

Test (list, links_may_go_while_it_is_walked_and_twice)
{
    pxi_list list;
    item items[6];
    pxi_list_init (&list);
    for (int i = 0; i < 6; i++) {
        items[i].value = i + 1;
        pxi_list_add_last (&list, &items[i].link);
    }
    PXI_LIST_EACH_SAFE (link, &list)
    if (PXI_LIST_ENTRY (link, item, link)->value % 2)
        pxi_list_remove (link);
    cr_assert_eq (list_number (&list), 246);
    pxi_list_remove (&items[0].link);
    cr_assert_eq (list_number (&list), 246);
    cr_assert_not (pxi_list_holds (&items[0].link));
}

/* ---- log ------------------------------------------------------------------------------------- */

static void keep_line (void *context, px_log_level level, const char *scope, const char *text)
{
    snprintf (context, 2 * PXI_LOG_TEXT_MAX, "%d %s: %s", (int)level, scope, text);
}

Test (log, hands_over_lines_up_to_its_level)
{
    char line[2 * PXI_LOG_TEXT_MAX] = "";
    pxi_log_sink sink;
    pxi_log_init (&sink, keep_line, line, PX_LOG_NOTICE);
    pxi_log (&sink, PX_LOG_INFO, "view", "too quiet");
    cr_assert_str_eq (line, "");
    cr_assert_not (pxi_log_wants (&sink, PX_LOG_INFO));
    pxi_log (&sink, PX_LOG_NOTICE, "view", "peer %s is %d", "w3", 7);
    cr_assert_str_eq (line, "2 view: peer w3 is 7");
    pxi_log_fini (&sink);
}

Test (log, cuts_a_line_that_is_too_long)
{
    char line[2 * PXI_LOG_TEXT_MAX] = "";
    pxi_log_sink sink;
    pxi_log_init (&sink, keep_line, line, PX_LOG_DEBUG);
    pxi_log (&sink, PX_LOG_ERROR, "s", "%*s", 5000, "x");
    cr_assert_eq (strlen (line), strlen ("0 s: ") + PXI_LOG_TEXT_MAX - 1);
    pxi_log_fini (&sink);
}

Test (log, silence_is_fine)
{
    pxi_log_sink sink;
    pxi_log_init (&sink, NULL, NULL, PX_LOG_DEBUG);
    pxi_log (&sink, PX_LOG_ERROR, "s", "nobody reads this");
    pxi_log (NULL, PX_LOG_ERROR, "s", "nor this");
    cr_assert_not (pxi_log_wants (NULL, PX_LOG_ERROR));
    pxi_log_fini (&sink);
}

/* ---- clock ----------------------------------------------------------------------------------- */

Test (clock, deadlines_saturate_at_forever)
{
    uint64_t before = px_now_ns (), deadline = px_deadline_ns (1000000000), after = px_now_ns ();
    cr_assert (before <= after);
    cr_assert (deadline >= before + 1000000000 && deadline <= after + 1000000000);
    cr_assert_eq (px_deadline_ns (PX_FOREVER), PX_FOREVER);
    cr_assert_eq (px_deadline_ns (PX_FOREVER - 1), PX_FOREVER);
}

Test (clock, the_system_gives_different_seeds)
{
    uint64_t a = pxi_system_seed (), b = pxi_system_seed ();
    cr_assert (a != 0 && b != 0 && a != b);
    cr_assert (pxi_clock_unix_ns () > UINT64_C (1500000000) * 1000000000);
}

/* ---- digest ---------------------------------------------------------------------------------- */

Test (digest, follows_the_published_vectors)
{
    static const struct {
        const char *text, *hex;
        uint64_t key;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         UINT64_C (0xe3b0c44298fc1c14)},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
         UINT64_C (0xba7816bf8f01cfea)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pxi_digest digest;
        char hex[PXI_DIGEST_HEX_SIZE];
        pxi_digest_bytes (rows[i].text, strlen (rows[i].text), &digest);
        pxi_digest_hex (&digest, hex);
        cr_assert_str_eq (hex, rows[i].hex);
        cr_assert_eq (pxi_digest_key (&digest), rows[i].key);
    }
}

Test (digest, of_a_file_is_that_of_its_bytes)
{
    enum { SIZE = 100003 }; /* several chunks and a rest */
    char path[] = "digest-XXXXXX", *bytes = malloc (SIZE);
    pxi_digest of_bytes, of_file;
    for (int i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 31);
    int fd = mkstemp (path);
    cr_assert (fd >= 0);
    cr_assert_eq (write (fd, bytes, SIZE), SIZE);
    close (fd);
    pxi_digest_bytes (bytes, SIZE, &of_bytes);
    px_err err = pxi_digest_file (path, &of_file);
    unlink (path);
    free (bytes);
    cr_assert_eq (err, PX_OK);
    cr_assert_arr_eq (of_file.bytes, of_bytes.bytes, PXI_DIGEST_SIZE);
    TEST_NO_LEAKS ();
}

Test (digest, a_file_that_cannot_be_read_is_an_error)
{
    pxi_digest digest;
    cr_assert_eq (pxi_digest_file ("/nonexistent/file", &digest), PX_ESYSTEM);
    cr_assert_eq (errno, ENOENT);
    cr_assert_eq (pxi_digest_file ("/", &digest), PX_ESYSTEM);
    cr_assert_eq (errno, EISDIR);
}

/* ---- error ----------------------------------------------------------------------------------- */

Test (error, every_code_has_its_name_and_a_text_of_its_own)
{
    static const struct {
        px_err err;
        int value;
        const char *name, *text;
    } rows[] = {
#define ROW(name, value, text) {name, value, #name, text},
        PX_ERRORS (ROW)
#undef ROW
    };
    size_t n_rows = sizeof rows / sizeof *rows;
    for (size_t i = 0; i < n_rows; i++) {
        cr_assert_eq ((int)rows[i].err, (int)i, "values are dense and never renumbered");
        cr_assert_str_eq (px_err_name (rows[i].err), rows[i].name);
        cr_assert_str_eq (px_err_text (rows[i].err), rows[i].text);
        for (size_t j = 0; j < i; j++)
            cr_assert_str_neq (rows[i].text, rows[j].text);
    }
    cr_assert_str_eq (px_err_name ((px_err)9999), "PX_E?");
    cr_assert_not_null (px_err_text ((px_err)9999));
}

Test (error, a_reason_is_cut_where_it_does_not_fit_and_may_be_left_out)
{
    char why[PX_WHY_SIZE];
    cr_assert_eq (pxi_fail (PX_EINVAL, why, "port %d", 70000), PX_EINVAL);
    cr_assert_str_eq (why, "port 70000");
    cr_assert_eq (pxi_fail (PX_EFULL, why, "%*s", 3000, "x"), PX_EFULL);
    cr_assert_eq (strlen (why), PX_WHY_SIZE - 1);
    cr_assert_eq (pxi_fail (PX_EFULL, NULL, "nobody reads this"), PX_EFULL);
}

/* ---- assert ---------------------------------------------------------------------------------- */

Test (assert, what_does_not_hold_ends_the_process, .signal = SIGABRT)
{
    int two = 2;
    PXI_ASSERT (two == 2);
    close (STDERR_FILENO); /* the line itself is not wanted among the results */
    PXI_ASSERT (two == 3);
}
