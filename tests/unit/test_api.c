/* The api's own parts: chains of failures as text; and what peers say of themselves when asked. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include <peerexec/peerexec.h>

#include "agent/status.h"
#include "leak.h"

#define SECOND UINT64_C (1000000000)

/* ---- outcomes --------------------------------------------------------------------------------- */

static const px_failure failures[] = {
    {PX_EFAILED, 0, 1, 88, 0, "pricing.portfolio", "a", "pricing.c", "1 of 1000 failed"},
    {PX_EFAILED, 1, 2, 31, 17, "pricing.price", "b", "pricing.c", "negative volatility"},
    {PX_ECRASH, 1, 3, 0, 18, "pricing.price", "c", "", "signal 11 in task pricing.price"},
    {PX_ELOST, 2, 0, 0, 5, "pricing.path", "c", "", ""},
};

static const char expected[] =
    "pricing.portfolio on a: 1 of 1000 failed [pricing.c:88]\n"
    "  pricing.price #17 on b (attempt 2): negative volatility [pricing.c:31]\n"
    "  pricing.price #18 on c (attempt 3): signal 11 in task pricing.price (PX_ECRASH)\n"
    "    pricing.path #5 on c: the peer was lost (PX_ELOST)\n"
    "and 7 more failures\n";

Test (outcome, is_printed_as_indented_lines)
{
    const px_outcome outcome = {
        .code = PX_EFAILED, .failures = failures, .n_failures = 4, .n_failures_dropped = 7};
    char text[1000];
    cr_assert_eq (px_outcome_print (&outcome, text, sizeof text), strlen (expected));
    cr_assert_str_eq (text, expected);
    const px_outcome fine = {.code = PX_OK};
    cr_assert_eq (px_outcome_print (&fine, text, sizeof text), strlen ("no error\n"));
    cr_assert_str_eq (text, "no error\n");
}

Test (outcome, is_cut_where_there_is_no_room)
{
    const px_outcome outcome = {
        .code = PX_EFAILED, .failures = failures, .n_failures = 4, .n_failures_dropped = 7};
    for (size_t size = 0; size < sizeof expected + 2; size++) {
        char text[sizeof expected + 2];
        memset (text, '#', sizeof text);
        cr_assert_eq (px_outcome_print (&outcome, text, size), strlen (expected));
        if (size) {
            size_t length = size - 1 < strlen (expected) ? size - 1 : strlen (expected);
            cr_assert_eq (strlen (text), length, "room %zu", size);
            cr_assert_eq (memcmp (text, expected, length), 0, "room %zu", size);
        }
        for (size_t i = size; i < sizeof text; i++)
            cr_assert_eq (text[i], '#', "room %zu: wrote behind it", size);
    }
}

Test (outcome, indents_the_deepest_chain_within_reason)
{
    px_failure deep = failures[0];
    deep.level = 65535;
    const px_outcome outcome = {.code = PX_EFAILED, .failures = &deep, .n_failures = 1};
    cr_assert_lt (px_outcome_print (&outcome, NULL, 0), 200);
}

/* ---- status ----------------------------------------------------------------------------------- */

typedef struct heard {
    char names[8][32];
    int n, n_peers;
} heard;

static void hear (void *context, const char *address, const char *json)
{
    heard *all = context;
    json_t *answer = json_loads (json, 0, NULL);
    cr_assert_not_null (answer);
    cr_assert_str_eq (json_string_value (json_object_get (answer, "address")), address);
    cr_assert_str_eq (json_string_value (json_object_get (answer, "version")), PX_VERSION_TEXT);
    cr_assert (json_is_integer (json_object_get (json_object_get (answer, "stats"), "slots")));
    cr_assert (json_is_array (json_object_get (answer, "runs")));
    cr_assert (json_string_length (json_object_get (answer, "why")) > 0);
    snprintf (all->names[all->n++], sizeof all->names[0], "%s",
              json_string_value (json_object_get (answer, "name")));
    all->n_peers += (int)json_array_size (json_object_get (answer, "peers"));
    json_decref (answer);
}

Test (status, is_told_by_every_peer_in_reach, .timeout = 30)
{
    px_peer *peers[3];
    static const char *const names[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++) {
        char why[PX_WHY_SIZE];
        px_peer_options options = PX_PEER_OPTIONS_INIT;
        const char *join[] = {i ? px_peer_address (peers[0]) : NULL, NULL};
        options.name = names[i];
        options.join = i ? join : NULL;
        cr_assert_eq (px_peer_open (&options, &peers[i], why), PX_OK, "%s", why);
    }
    for (int i = 0; i < 3; i++)
        cr_assert_eq (px_peer_wait (peers[i], 2, px_deadline_ns (10 * SECOND)), PX_OK);
    char why[PX_WHY_SIZE];
    const char *address = px_peer_address (peers[1]);
    uint32_t n_answers = 0, n_asked = 0;
    heard all = {0};
    px_err err = pxi_status_collect (&address, 1, true, 10 * SECOND, hear, &all, &n_answers,
                                     &n_asked, why);
    cr_assert_eq (err, PX_OK, "%s", why);
    cr_assert_eq (n_answers, 3);
    cr_assert_eq (n_asked, 3);
    cr_assert_eq (all.n, 3);
    cr_assert_eq (all.n_peers, 6);
    cr_assert_str_eq (all.names[0], "two", "who was asked answers first");
    char *json = NULL;
    cr_assert_eq (pxi_status_ask (address, 10 * SECOND, &json, why), PX_OK, "%s", why);
    cr_assert_not_null (strstr (json, "\"name\":\"two\""));
    free (json);
    for (int i = 3; i-- > 0;)
        px_peer_close (&peers[i], px_deadline_ns (SECOND));
    TEST_NO_LEAKS ();
}

Test (status, says_who_does_not_answer)
{
    char why[PX_WHY_SIZE], *json = NULL;
    cr_assert_eq (pxi_status_ask ("tcp://127.0.0.1:1", SECOND / 5, &json, why), PX_ENOPEER);
    cr_assert_str_eq (why, "tcp://127.0.0.1:1: no answer in 0.2 s: not a peer, or not admitted");
    cr_assert_eq (pxi_status_ask ("nonsense", SECOND / 5, &json, why), PX_EADDRESS);
    cr_assert_null (json);
    TEST_NO_LEAKS ();
}
