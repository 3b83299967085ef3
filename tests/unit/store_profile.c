/* store: profiles as text, and which of them fits. */
#include <criterion/criterion.h>
#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "leak.h"
#include "store/profile.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const pxi_profile sample = {
    .date = "2026-11-21T13:00:00Z",
    .module = "uts",
    .task = "uts.tree",
    .argument = "-t 1 -a 3",
    .digest = DIGEST,
    .cluster = {2,
                PXI_LINK_LAN,
                2,
                {{3, 4, "cpu", PXI_LINK_LAN, 90}, {1, 2, "cpu", PXI_LINK_LAN, 0}}},
    .n_points = 3,
    .points = {{"uts.children", 12, 64, false},
               {"uts.roots", 0, 64, false},
               {"uts.leaves.grain", 70000, 4096, true}},
    .makespan_s = 1.25,
    .gain = 12.5,
    .gain_low = 8,
    .gain_high = 16,
    .runs = 11,
};

static const pxi_profile_wanted wanted = {
    .module = "uts",
    .task = "uts.tree",
    .digest = DIGEST,
    .cluster = {
        2, PXI_LINK_LAN, 2, {{3, 4, "cpu", PXI_LINK_LAN, 90}, {1, 2, "cpu", PXI_LINK_LAN, 0}}}};

static char *text_of (const pxi_profile *profile)
{
    size_t size = pxi_profile_print (profile, NULL, 0) + 1;
    char *text = malloc (size);
    pxi_profile_print (profile, text, size);
    return text;
}

Test (profile, comes_back_as_it_was_written)
{
    char why[PX_WHY_SIZE] = "";
    pxi_profile back;
    char *text = text_of (&sample);
    cr_assert_eq (pxi_profile_parse (text, strlen (text), &back, why), PX_OK, "%s", why);
    char *again = text_of (&back);
    cr_assert_str_eq (text, again);
    cr_assert (pxi_fingerprint_same (&back.cluster, &sample.cluster));
    cr_assert_eq (back.points[0].number, 12);
    cr_assert_str_eq (back.points[1].name, "uts.roots");
    cr_assert (back.points[2].grain && !back.points[1].grain && back.points[2].number == 70000);
    cr_assert_eq (back.gain_low, 8);
    free (text);
    free (again);
    TEST_NO_LEAKS ();
}

/* What other programs read in it is the same. */
Test (profile, is_what_zconfig_reads)
{
    char *text = text_of (&sample);
    zconfig_t *root = zconfig_str_load (text);
    cr_assert_not_null (root);
    cr_assert_str_eq (zconfig_get (root, "module", ""), "uts");
    cr_assert_str_eq (zconfig_get (root, "argument", ""), "-t 1 -a 3");
    cr_assert_str_eq (zconfig_get (root, "cluster/link", ""), "lan");
    cr_assert_str_eq (zconfig_get (root, "point/name", ""), "uts.children");
    cr_assert_str_eq (zconfig_get (root, "point/number", ""), "12");
    cr_assert_str_eq (zconfig_get (root, "gain/percent", ""), "12.5");
    zconfig_destroy (&root);
    free (text);
}

/* `old` becomes `new`: the error must name this line and this word. */
static const struct {
    const char *old, *new, *where;
} corruptions[] = {
    {"profile = 1", "profile = 2", "line 1: profile"},
    {"date = ", "daet = ", "line 2: daet: no such key"},
    {"module = \"uts\"", "module = \"uts", "line 3: module: a quote has no end"},
    {"digest = \"0", "digest = \"x", "line 4: digest: want 64"},
    {"task = \"uts.tree\"\n", "task = \"\"\n", "line 5: task: is empty"},
    {"task = \"uts.tree\"\n", "", "line 1: the file: 'task' is missing"},
    {"runs = 11", "runs = 11\nruns = 12", "line 8: runs: given twice"},
    {"cluster\n", "clutser\n", "line 8: clutser: want key = value, or cluster"},
    {"    link = lan", "    link = near", "line 10: link: want none"},
    {"    link = lan", "  link = lan", "line 10: link: keys of a section"},
    {"    link = lan", "link = lan", "line 10: link: keys of a section"},
    {"    slots-here = 2", "    slots-here = -2", "line 9: slots-here: want a whole number from 1"},
    {"    slots-here = 2", "    slots-here = 2 peers", "line 9: slots-here: want a whole number"},
    {"    number = 12", "    number = 70000",
     "line 25: number: want a whole number from 0 to 65535"},
    {"    number = 12  #", "    #", "line 23: point: 'number' is missing"},
    {"uts.roots", "uts.children", "uts.children: this branch point is given twice"},
    {"number = 70000", "number = 0", "number: want a whole number from 1"},
    {"uts.leaves.grain", "uts.roots", "uts.roots: this branch point is given twice"},
    {"grain\n    name", "grian\n    name",
     "grian: want key = value, or cluster, class, point, grain"},
    {"percent = 12.5", "percent = nan", "percent: want a number"},
    {"gain\n", "gain\n    what\n", "what: want key = value"},
};

Test (profile, says_line_and_reason_of_what_is_wrong)
{
    for (size_t i = 0; i < sizeof corruptions / sizeof *corruptions; i++) {
        char why[PX_WHY_SIZE] = "", changed[8192];
        pxi_profile back;
        char *text = text_of (&sample), *at = strstr (text, corruptions[i].old);
        cr_assert_not_null (at, "%s", corruptions[i].old);
        snprintf (changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, corruptions[i].new,
                  at + strlen (corruptions[i].old));
        cr_assert_eq (pxi_profile_parse (changed, strlen (changed), &back, why), PX_ECONFIG, "%s",
                      corruptions[i].new);
        cr_assert_not_null (strstr (why, corruptions[i].where), "%s: %s", corruptions[i].where,
                            why);
        free (text);
    }
}

/* Whatever bytes a file has, reading it ends. */
Test (profile, survives_any_cut_and_any_byte)
{
    char *text = text_of (&sample), why[PX_WHY_SIZE];
    size_t size = strlen (text);
    pxi_profile back;
    for (size_t i = 0; i < size; i++) {
        cr_assert_neq (pxi_profile_parse (text, i, &back, why), PX_ENOMEM);
        char kept = text[i];
        for (int byte = 0; byte < 256; byte += 5) {
            text[i] = (char)byte;
            pxi_profile_parse (text, size, &back, why);
        }
        text[i] = kept;
    }
    cr_assert_eq (pxi_profile_parse ("", 0, &back, why), PX_ECONFIG);
    free (text);
    TEST_NO_LEAKS ();
}

Test (profile, fits_the_same_cluster_and_with_a_warning_one_like_it)
{
    char why[PX_WHY_SIZE];
    pxi_profile_wanted other = wanted;
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_FITS);
    other.cluster.classes[0].peers = 4;
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_CHANGED);
    cr_assert_not_null (strstr (why, "the cluster has changed"), "%s", why);
    other.cluster.classes[0].peers = 30;
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_OTHER_CLUSTER);
    cr_assert_not_null (strstr (why, "30 peers of 4 slots, 1 peer of 2 slots"), "%s", why);
    other = wanted;
    other.cluster.link = PXI_LINK_WAN;
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_OTHER_CLUSTER);
    other.cluster.link = PXI_LINK_HOST;
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_OTHER_CLUSTER);
    other.cluster.link = PXI_LINK_METRO;
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_CHANGED);
    other = wanted;
    other.digest = "f";
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_CHANGED);
    cr_assert_not_null (strstr (why, "code of module uts has changed"), "%s", why);
    other.task = "uts.other";
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_OTHER_PROGRAM);
}

Test (profile, fingerprint_counts_peers_by_slots)
{
    px_peer_other others[] = {{.slots = 1, .rtt_ns = 30000000, .same_host = 1},
                              {.slots = 4, .rtt_ns = 3000000},
                              {.slots = 1, .rtt_ns = 60000, .same_host = 1},
                              {.slots = 8, .unresponsive = 1},
                              {.slots = 0, .same_host = 1}};
    pxi_fingerprint fingerprint;
    pxi_fingerprint_make (2, others, 5, &fingerprint);
    cr_assert_eq (fingerprint.n_classes, 2);
    cr_assert (fingerprint.classes[0].slots == 4 && fingerprint.classes[0].peers == 1);
    cr_assert (fingerprint.classes[1].slots == 1 && fingerprint.classes[1].peers == 2);
    cr_assert_eq (fingerprint.classes[1].link, PXI_LINK_HOST);
    cr_assert_eq (fingerprint.classes[0].link, PXI_LINK_METRO);
    cr_assert_eq (fingerprint.link, PXI_LINK_HOST, "however long a round trip takes there");
    others[0].same_host = others[2].same_host = 0;
    pxi_fingerprint_make (2, others, 5, &fingerprint);
    cr_assert_eq (fingerprint.link, PXI_LINK_METRO, "the median of three");
    pxi_fingerprint_make (2, NULL, 0, &fingerprint);
    cr_assert_eq (fingerprint.link, PXI_LINK_NONE);
    TEST_NO_LEAKS ();
}

Test (profile, fingerprint_tells_speeds_and_devices_apart)
{
    px_peer_other others[] = {{.slots = 2, .speed_percent = 100},
                              {.slots = 2, .speed_percent = 140},
                              {.slots = 2},
                              {.slots = 2, .speed_percent = 25},
                              {.slots = 2, .speed_percent = 120, .devices = 1}};
    pxi_fingerprint fingerprint;
    char text[PX_WHY_SIZE];
    pxi_fingerprint_make (1, others, 5, &fingerprint);
    pxi_fingerprint_text (&fingerprint, text, sizeof text);
    cr_assert_str_eq (text, "1 slots here, 3 peers of 2 slots, 1 peer of 2 slots at 25 % of the "
                            "speed here, 1 peer of 2 slots and devices, in a local network");
    cr_assert_eq (fingerprint.classes[0].speed_percent, 120);
    others[1].speed_percent = 70; /* noise */
    pxi_fingerprint later;
    pxi_fingerprint_make (1, others, 5, &later);
    cr_assert (pxi_fingerprint_same (&fingerprint, &later));
    for (int i = 0; i < 5; i++)
        others[i].speed_percent = 0; /* of a peer that has just come nobody knows it */
    pxi_fingerprint_make (1, others, 5, &later);
    cr_assert (pxi_fingerprint_same (&fingerprint, &later));
    others[0].devices = 1;
    pxi_fingerprint_make (1, others, 5, &later);
    cr_assert_not (pxi_fingerprint_same (&fingerprint, &later));
    for (size_t n = 0; n < 3; n++) { /* more kinds than are kept apart: none is lost */
        px_peer_other many[20];
        uint32_t peers = 0;
        for (uint32_t i = 0; i < 20; i++)
            many[i] = (px_peer_other){.slots = n == 0 ? 20 - i : n == 1 ? 1 + i : 1 + i * 7 % 20};
        pxi_fingerprint_make (1, many, 20, &later);
        for (uint32_t i = 0; i < later.n_classes; i++)
            peers += later.classes[i].peers;
        cr_assert_eq (peers, 20);
    }
    TEST_NO_LEAKS ();
}

Test (profile, is_of_another_cluster_where_speed_is_another)
{
    char why[PX_WHY_SIZE];
    pxi_profile_wanted other = wanted;
    other.cluster.classes[0].speed_percent = 150;
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_FITS);
    other.cluster.classes[0].speed_percent = 270;
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_CHANGED);
    other.cluster.classes[0].speed_percent = 400;
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_OTHER_CLUSTER);
    cr_assert_not_null (strstr (why, "at 400 % of the speed here"), "%s", why);
    other.cluster.classes[0].speed_percent = 0;
    cr_assert_eq (pxi_profile_fits (&sample, &other, why), PXI_PROFILE_FITS);
}

/* ---- directories ------------------------------------------------------------------------------ */

static char said[4][PX_WHY_SIZE];
static px_log_level said_level[4];
static int n_said;

static void note (void *context, px_log_level level, const char *text)
{
    said_level[n_said] = level;
    snprintf (said[n_said++ % 4], PX_WHY_SIZE, "%s", text);
}

static void write_at (const char *directory, const char *name, const pxi_profile *profile)
{
    char path[256], why[PX_WHY_SIZE];
    snprintf (path, sizeof path, "%s/%s", directory, name);
    cr_assert_eq (pxi_profile_write (path, profile, why), PX_OK, "%s", why);
}

Test (profile, of_a_directory_the_best_is_taken_and_the_others_are_named)
{
    char directory[] = "/tmp/px-profile-XXXXXX", path[64], why[PX_WHY_SIZE] = "";
    pxi_profile found_profile, other = sample;
    bool found;
    cr_assert_not_null (mkdtemp (directory));
    snprintf (path, sizeof path, "%s/none", directory);
    cr_assert_eq (pxi_profile_find (path, &wanted, note, NULL, &found_profile, &found, why), PX_OK);
    cr_assert (!found && n_said == 0);
    other.points[0].number = 7;
    strcpy (other.date, "2026-11-22");
    other.cluster.classes[0].peers = 4;
    write_at (directory, "a.zpl", &other);
    other.cluster.link = PXI_LINK_WAN;
    write_at (directory, "b.zpl", &other);
    write_at (directory, "c.zpl", &sample);
    cr_assert_eq (pxi_profile_find (directory, &wanted, note, NULL, &found_profile, &found, why),
                  PX_OK, "%s", why);
    cr_assert (found && found_profile.points[0].number == 12);
    cr_assert_eq (n_said, 2);
    cr_assert (said_level[0] == PX_LOG_NOTICE &&
               strstr (said[0], "b.zpl: ignored: it is of another cluster"));
    cr_assert (said_level[1] == PX_LOG_INFO && strstr (said[1], "c.zpl: in force"));

    snprintf (path, sizeof path, "%s/d.zpl", directory);
    FILE *file = fopen (path, "w");
    fputs ("profile = 1\nnonsense\n", file);
    fclose (file);
    cr_assert_eq (pxi_profile_find (directory, &wanted, note, NULL, &found_profile, &found, why),
                  PX_ECONFIG);
    cr_assert_not_null (strstr (why, "d.zpl: line 1:"), "%s", why);
    for (char c = 'a'; c <= 'd'; c++) {
        snprintf (path, sizeof path, "%s/%c.zpl", directory, c);
        unlink (path);
    }
    cr_assert_eq (rmdir (directory), 0, "nothing is left beside the profiles");
    TEST_NO_LEAKS ();
}
