/* peer-tune: what its parts share. */
#ifndef TOOLS_TUNE_TUNE_H
#define TOOLS_TUNE_TUNE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <peerexec/peerexec.h>

#include "common/options.h"
#include "common/program.h"
#include "common/watch.h"
#include "store/profile.h"
#include "tune/search.h"

enum { OTHERS_MAX = 1024, RUNS_MAX = 1024, WHY_SPOILED_SIZE = 256 };
#define SECOND UINT64_C (1000000000)

typedef struct settings {
    list_option join;
    uint64_t local, slots, seed;
    double extra_percent;
    const char *name, *profile, *budget, *objective, *json, *plot, *key;
    bool quiet, grain;
} settings_t;

/* The program to be run, and the peer that submits it. */
typedef struct bed {
    px_peer *peer;
    const char *module, *argument;
    char task[PROGRAM_NAME_SIZE];
    struct input input;
    watch_t *watch;
    px_peer_other before[OTHERS_MAX];
    size_t n_before;
} bed_t;

/* One run of it. */
typedef struct trial {
    double makespan_s, extra_share;
    uint64_t messages, work_ns;
    bool cut, stopped;
    bool spoiled;
    char why[WHY_SPOILED_SIZE]; /* spoiled: what happened */
    px_err code;
    px_job_point points[PX_POINT_SIZE_MAX + 1];
    size_t n_points;
} trial_t;

/* Who is there now, from here on. */
void bed_look (bed_t *bed);
/* Waits until nobody joins or leaves for a moment. */
void bed_settle (bed_t *bed);
/* Sum of the other peers' slots, and their median round trip. */
uint32_t bed_workers (const bed_t *bed);
uint64_t bed_rtt_ns (const bed_t *bed);
/* `cut_s` 0: as long as it takes. What the task failed with is printed when `chain`. */
void bed_run (bed_t *bed, const px_point_number *numbers, size_t n_numbers, double cut_s,
              bool chain, trial_t *trial);

/* All that was tried, for the report. */
typedef struct tried {
    pxi_tune_setting setting;
    double makespan_s, extra_share;
    uint64_t messages;
    bool cut;
} tried_t;

typedef struct story {
    const settings_t *settings;
    const bed_t *bed;
    uint32_t n_points;
    px_job_point points[PXI_TUNE_POINTS_MAX];
    pxi_tune_config config;
    pxi_tune *tune;
    tried_t tried[RUNS_MAX];
    uint32_t n_tried, n_spoiled;
    pxi_profile profile;
    char profile_path[PATH_MAX];
    bool interrupted, written;
} story_t;

/* Mean of what was measured of a setting. */
typedef struct measured {
    uint32_t n;
    double extra_percent, messages;
} measured_t;
measured_t story_measured (const story_t *story, const pxi_tune_setting *setting);

void report_print (const story_t *story);
bool report_json (const story_t *story, const char *path);
bool report_plot (const story_t *story, const char *directory);

#endif
