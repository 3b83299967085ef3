/* Addresses as text, and outboxes. */
#include <criterion/criterion.h>
#include <string.h>

#include <peerexec/peer.h>

#include "leak.h"
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
