/* Addresses as text, outboxes, key files. */
#include <criterion/criterion.h>
#include <czmq.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <peerexec/peer.h>

#include "key.h"
#include "leak.h"
#include "net/key.h"
#include "net/outbox.h"
#include "net/transport.h"

Test (net, addresses_are_read_and_written)
{
    static const struct {
        const char *text, *printed; /* NULL = refused, and `word` says why */
        const char *word;
    } table[] = {
        {"tcp://1.2.3.4:5", "tcp://1.2.3.4:5", NULL},
        {"1.2.3.4:65535", "tcp://1.2.3.4:65535", NULL},
        {"tcp://[::1]:5555", "tcp://[::1]:5555", NULL},
        {"[2001:db8::7]:1", "tcp://[2001:db8::7]:1", NULL},
        {"localhost:80", "tcp://127.0.0.1:80", NULL},
        {"", NULL, "no port"},
        {"host", NULL, "no port"},
        {"tcp://1.2.3.4", NULL, "no port"},
        {"1.2.3.4:", NULL, "1 to 65535"},
        {"1.2.3.4:0", NULL, "1 to 65535"},
        {"1.2.3.4:65536", NULL, "1 to 65535"},
        {"1.2.3.4:99999999999", NULL, "too long"},
        {"1.2.3.4:+5", NULL, "1 to 65535"},
        {"1.2.3.4:5x", NULL, "1 to 65535"},
        {"1.2.3.4:*", NULL, "1 to 65535"},
        {":5", NULL, "no host"},
        {"[]:5", NULL, "no host"},
        {"::1:5", NULL, "brackets"},
        {"[1.2.3.4]:5", NULL, "1.2.3.4"},
        {"udp://1.2.3.4:5", NULL, "only tcp://"},
        {"no such host:5", NULL, "no such host"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        pxi_address address = {.kind = 99};
        char why[PX_WHY_SIZE] = "", text[64];
        px_err err = pxi_address_parse (table[i].text, &address, why);
        if (table[i].printed) {
            cr_expect_eq (err, PX_OK, "%s: %s", table[i].text, why);
            pxi_address_print (&address, text);
            cr_expect_str_eq (text, table[i].printed);
        } else {
            cr_expect_eq (err, PX_EADDRESS, "%s", table[i].text);
            cr_expect_eq (address.kind, 99, "untouched on error");
            cr_expect (strstr (why, table[i].word), "'%s': %s", table[i].text, why);
        }
    }
    TEST_NO_LEAKS ();
}

Test (net, addresses_are_the_same_by_kind_ip_and_port)
{
    pxi_address a, b;
    cr_assert_eq (pxi_address_parse ("1.2.3.4:5", &a, NULL), PX_OK);
    b = a;
    cr_expect (pxi_address_same (&a, &b));
    b.ip[9] = 1; /* not of an IPv4 address */
    cr_expect (pxi_address_same (&a, &b));
    b.port = 6;
    cr_expect_not (pxi_address_same (&a, &b));
    b = a;
    b.ip[3] = 5;
    cr_expect_not (pxi_address_same (&a, &b));
    b = a;
    b.kind = 6;
    cr_expect_not (pxi_address_same (&a, &b));
    TEST_NO_LEAKS ();
}

static bool add (pxi_outbox *outbox, size_t size, uint64_t now_ns)
{
    pxi_bytes *frames[2] = {pxi_bytes_new (0), pxi_bytes_new (size)};
    bool added = pxi_outbox_add (outbox, frames, 2, now_ns);
    for (int i = 0; i < 2 && !added; i++)
        pxi_bytes_release (frames[i]);
    return added;
}

Test (net, an_outbox_is_bounded_in_number_bytes_and_time)
{
    pxi_outbox outbox;
    pxi_outbox_init (&outbox);
    cr_expect_null (pxi_outbox_first (&outbox));
    for (uint32_t i = 0; i < PXI_OUTBOX_MESSAGES_MAX; i++)
        cr_assert (add (&outbox, 1, i));
    cr_expect_not (add (&outbox, 1, 0));
    cr_expect_eq (pxi_outbox_expire (&outbox, PXI_OUTBOX_WAIT_NS - 1), 0);
    cr_expect_eq (pxi_outbox_expire (&outbox, PXI_OUTBOX_WAIT_NS + 9), 10);
    cr_expect_eq (outbox.n_messages, PXI_OUTBOX_MESSAGES_MAX - 10);
    cr_expect_eq (outbox.size_bytes, PXI_OUTBOX_MESSAGES_MAX - 10);
    cr_expect_not (add (&outbox, PXI_OUTBOX_BYTES_MAX, 0));
    pxi_outbox_fini (&outbox);
    cr_expect (add (&outbox, PXI_OUTBOX_BYTES_MAX + 1, 0), "a large one alone is taken");
    cr_expect_not (add (&outbox, 1, 0));
    pxi_outbox_fini (&outbox);
    cr_expect_eq (outbox.size_bytes, 0);
    TEST_NO_LEAKS ();
}

/* ---- key files -------------------------------------------------------------------------------- */

static bool has_curve = true;

int __wrap_zmq_has (const char *capability);
int __wrap_zmq_has (const char *capability)
{
    return has_curve && strcmp (capability, "curve") == 0;
}

static char directory[] = "/tmp/peerexec-key-XXXXXX", path[sizeof directory + 8];

static void make_directory (void)
{
    zsys_handler_set (NULL);
    cr_assert_not_null (mkdtemp (directory));
    snprintf (path, sizeof path, "%s/key", directory);
}

static void remove_directory (void)
{
    unlink (path);
    cr_expect_eq (rmdir (directory), 0);
}

TestSuite (key, .init = make_directory, .fini = remove_directory);

Test (key, a_new_one_is_its_owners_and_is_not_overwritten)
{
    char why[PX_WHY_SIZE] = "";
    pxi_cluster_key key, again;
    struct stat status;
    umask (0);
    cr_assert_eq (pxi_key_make (path, why), PX_OK, "%s", why);
    cr_assert_eq (stat (path, &status), 0);
    cr_expect_eq (status.st_mode & 07777, 0600);
    cr_assert_eq (pxi_key_read (path, &key, why), PX_OK, "%s", why);
    cr_expect_not (key.exposed);
    cr_expect_eq (pxi_key_make (path, why), PX_ESYSTEM);
    cr_expect (strstr (why, "is there already"), "%s", why);
    cr_assert_eq (pxi_key_read (path, &again, why), PX_OK);
    cr_expect_str_eq (key.secret_text, again.secret_text);
    cr_assert_eq (chmod (path, 0644), 0);
    cr_assert_eq (pxi_key_read (path, &again, why), PX_OK);
    cr_expect (again.exposed);
    cr_expect_eq (pxi_key_make ("/nowhere/key", why), PX_ESYSTEM);
    cr_expect (strstr (why, "/nowhere/key: cannot be made: No such file"), "%s", why);
    TEST_NO_LEAKS ();
}

Test (key, czmq_reads_ours_and_we_read_czmqs)
{
    char why[PX_WHY_SIZE] = "";
    pxi_cluster_key key;
    cr_assert_eq (pxi_key_make (path, why), PX_OK);
    cr_assert_eq (pxi_key_read (path, &key, why), PX_OK);
    zcert_t *cert = zcert_load (path);
    cr_assert_not_null (cert);
    cr_expect_str_eq (zcert_public_txt (cert), key.public_text);
    cr_expect_str_eq (zcert_secret_txt (cert), key.secret_text);
    zcert_destroy (&cert);
    cert = zcert_new ();
    zcert_set_meta (cert, "name", "%s", "curve of another");
    cr_assert_eq (zcert_save_secret (cert, path), 0);
    cr_assert_eq (pxi_key_read (path, &key, why), PX_OK, "%s", why);
    cr_expect_str_eq (zcert_public_txt (cert), key.public_text);
    cr_expect_str_eq (zcert_secret_txt (cert), key.secret_text);
    cr_assert_eq (zcert_save_public (cert, path), 0);
    cr_expect_eq (pxi_key_read (path, &key, why), PX_ECONFIG);
    cr_expect (strstr (why, "lacks the secret half"), "%s", why);
    zcert_destroy (&cert);
}

#define PUBLIC "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define SECRET "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs" /* of the example in zmq_curve (7) */

Test (key, a_bad_file_is_refused_and_what_is_wrong_is_said)
{
    static const struct {
        const char *text, *word; /* NULL = it is good */
    } table[] = {
        {"curve\n    public-key = \"" PUBLIC "\"\n    secret-key = \"" SECRET "\"\n", NULL},
        {"# a\r\n\r\nmetadata\r\n  x = 1\r\ncurve\r\n\tsecret-key='" SECRET
         "'\r\n\tpublic-key = " PUBLIC,
         NULL},
        {"", "not a CURVE certificate"},
        {"\n\n\n", "not a CURVE certificate"},
        {"curve", "not a CURVE certificate"},
        {"curve\n    public-key", "not a CURVE certificate"},
        {"curve\n    public-key = \"", "not a CURVE certificate"},
        {"curves\n    public-key = \"" PUBLIC "\"\n    secret-key = \"" SECRET "\"\n",
         "not a CURVE certificate"},
        {"public-key = \"" PUBLIC "\"\nsecret-key = \"" SECRET "\"\n", "not a CURVE certificate"},
        {"curve\n    public-key = \"short\"\n    secret-key = \"" SECRET "\"\n",
         "not a CURVE certificate"},
        {"curve\n    public-key = \"" PUBLIC "x\"\n    secret-key = \"" SECRET "\"\n",
         "not a CURVE certificate"},
        {"curve\n    public-key = \"" PUBLIC "\"\n", "lacks the secret half"},
        {"curve\n    public-key = \"" PUBLIC "\"\nother\n    secret-key = \"" SECRET "\"\n",
         "lacks the secret half"},
        {"curve\n    public-key = \"" SECRET "\"\n    secret-key = \"" SECRET "\"\n",
         "do not belong to one key"},
        {"\x7f\x45\x4c\x46\x01", "not a CURVE certificate"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char why[PX_WHY_SIZE] = "", file[32];
        pxi_cluster_key key = {.exposed = true};
        px_err err = pxi_key_read (test_file (file, table[i].text), &key, why);
        if (!table[i].word) {
            cr_expect_eq (err, PX_OK, "line %zu: %s", i, why);
            cr_expect_str_eq (key.secret_text, SECRET);
            continue;
        }
        cr_expect_eq (err, PX_ECONFIG, "line %zu", i);
        cr_expect (strstr (why, table[i].word) && strstr (why, file), "line %zu: %s", i, why);
        cr_expect (key.exposed && !key.secret_text[0], "untouched on error");
    }
    TEST_NO_LEAKS ();
}

Test (key, one_that_cannot_be_read_or_used_is_said)
{
    char why[PX_WHY_SIZE] = "", file[32];
    pxi_cluster_key key;
    cr_expect_eq (pxi_key_read (path, &key, why), PX_ESYSTEM);
    cr_expect (strstr (why, "cannot be read: No such file"), "%s", why);
    cr_expect_eq (pxi_key_read (directory, &key, why), PX_ECONFIG);
    cr_expect (strstr (why, "not a file"), "%s", why);
    cr_assert_eq (pxi_key_make (path, why), PX_OK);
    cr_assert_eq (chmod (path, 0), 0);
    if (geteuid () != 0) { /* root reads everything */
        cr_expect_eq (pxi_key_read (path, &key, why), PX_ESYSTEM);
        cr_expect (strstr (why, "Permission denied"), "%s", why);
    }
    has_curve = false;
    cr_expect_eq (pxi_key_read (test_key (file), &key, why), PX_ESYSTEM);
    cr_expect (strstr (why, "libzmq that is built with CURVE"), "%s", why);
    cr_expect_eq (pxi_key_make (path, why), PX_ESYSTEM);
    cr_expect (strstr (why, "libzmq that is built with CURVE"), "%s", why);
    TEST_NO_LEAKS ();
}
