/* Writes a traced job as Chrome trace events: a process per peer; in it a lane per run that is under
 * way at once, and below them a lane per attempt that is away; an arrow from the sending to the run.
 *
 * Hosts' clocks have nothing in common, so a peer's readings are placed by what must hold: a run
 * begins after it was sent and, where its result came, ends before that was received. All pairs of
 * a peer with masters that are placed already bound its clock from both sides; the middle of what
 * is left is taken (as NTP does with one exchange, here with the narrowest of many: Cristian 1989).
 * From the root's peer outwards. So an arrow never points backwards, and what is wrong is at most
 * half the shortest time on the way there and back. */
#include "agent/timeline.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum {
    PEERS_MAX = 4096,
    LANES_MAX = 1024,    /* of one kind at one peer; more at once are left out */
    SENT_LANES = 100000, /* their numbers begin here: Perfetto sorts by number */
};

typedef struct timeline_lanes {
    int64_t *end_ns; /* of the last one in each */
    uint32_t n;
} timeline_lanes;

typedef struct timeline_peer {
    uint64_t id;
    const char *name;
    bool placed;
    int64_t offset_ns;       /* to be added to its readings */
    int64_t low_ns, high_ns; /* bounds of that so far; INT64_MIN, INT64_MAX: none */
    timeline_lanes runs, sent;
} timeline_peer;

/* One side of an attempt, placed. */
typedef struct timeline_side {
    const pxi_traced *record; /* NULL: not known */
    int64_t begin_ns, end_ns;
    uint32_t lane; /* 0: not drawn */
} timeline_side;

typedef struct timeline_attempt {
    timeline_side run, sent;
} timeline_attempt;

typedef struct timeline_writer {
    const pxi_timeline *timeline;
    FILE *file;
    timeline_peer *peers; /* index + 1 is the process number */
    uint32_t n_peers;
    pxi_map by_id;
    timeline_attempt *attempts;
    uint32_t n_attempts;
    timeline_attempt **order;
    uint64_t n_left_out, n_one_sided;
} timeline_writer;

/* ---- peers ------------------------------------------------------------------------------------
 */

static timeline_peer *find_peer (const timeline_writer *writer, uint64_t id)
{
    uint64_t at;
    return pxi_map_get (&writer->by_id, id, &at) ? &writer->peers[at] : NULL;
}

static timeline_peer *ensure_peer (timeline_writer *writer, uint64_t id)
{
    timeline_peer *peer = find_peer (writer, id);
    if (peer || writer->n_peers == PEERS_MAX || !pxi_map_put (&writer->by_id, id, writer->n_peers))
        return peer;
    peer = &writer->peers[writer->n_peers++];
    *peer = (timeline_peer){.id = id, .name = "?", .low_ns = INT64_MIN, .high_ns = INT64_MAX};
    return peer;
}

static void collect_peers (timeline_writer *writer)
{
    timeline_peer *root = ensure_peer (writer, writer->timeline->origin);
    if (root) {
        root->name = writer->timeline->origin_name;
        root->placed = true;
    }
    for (uint32_t i = 0; i < writer->timeline->n_records; i++) {
        const pxi_traced *record = &writer->timeline->records[i];
        ensure_peer (writer, record->master);
        timeline_peer *worker = ensure_peer (writer, record->worker);
        if (worker && record->worker_name[0] && (!record->sent || worker->name[0] == '?'))
            worker->name = record->worker_name;
    }
}

/* ---- pairs ------------------------------------------------------------------------------------
 */

static int compare (uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_attempt (const void *a, const void *b)
{
    const pxi_traced *left = *(const pxi_traced *const *)a, *right = *(const pxi_traced *const *)b;
    int order = compare (left->master, right->master);
    if (!order)
        order = compare (left->key.subtask, right->key.subtask);
    if (!order)
        order = compare (left->key.attempt, right->key.attempt);
    return order ? order : compare (left->worker, right->worker);
}

static void pair_up (timeline_writer *writer, const pxi_traced **records)
{
    uint32_t n = writer->timeline->n_records;
    for (uint32_t i = 0; i < n; i++)
        records[i] = &writer->timeline->records[i];
    if (n > 1)
        qsort (records, n, sizeof *records, by_attempt);
    for (uint32_t i = 0; i < n; i++) {
        timeline_attempt *last =
            writer->n_attempts ? &writer->attempts[writer->n_attempts - 1] : NULL;
        bool again = i > 0 && by_attempt (&records[i - 1], &records[i]) == 0;
        timeline_side *other = last && records[i]->sent ? &last->sent : last ? &last->run : NULL;
        if (!again || other->record) {
            last = &writer->attempts[writer->n_attempts++];
            *last = (timeline_attempt){0};
        }
        (records[i]->sent ? &last->sent : &last->run)->record = records[i];
    }
}

/* ---- clocks -----------------------------------------------------------------------------------
 */

static void bound (const timeline_attempt *one, const timeline_peer *master, timeline_peer *worker)
{
    const pxi_traced *sent = one->sent.record, *run = one->run.record;
    int64_t low_ns = (int64_t)sent->begin_ns + master->offset_ns - (int64_t)run->begin_ns;
    int64_t high_ns = (int64_t)sent->end_ns + master->offset_ns - (int64_t)run->end_ns;
    if (low_ns > worker->low_ns)
        worker->low_ns = low_ns;
    if (sent->end != PXI_TRACED_CANCELLED && sent->end != PXI_RESULT_LOST &&
        high_ns < worker->high_ns)
        worker->high_ns = high_ns;
}

/* Whose bounds were found in this round: only in the next are others placed by it. */
static bool settle (timeline_writer *writer)
{
    bool any = false;
    for (uint32_t i = 0; i < writer->n_peers; i++) {
        timeline_peer *peer = &writer->peers[i];
        if (peer->placed || peer->low_ns == INT64_MIN)
            continue;
        peer->placed = any = true;
        peer->offset_ns = peer->high_ns == INT64_MAX
                              ? peer->low_ns
                              : peer->low_ns + (peer->high_ns - peer->low_ns) / 2;
    }
    return any;
}

static void place_peers (timeline_writer *writer)
{
    do {
        for (uint32_t i = 0; i < writer->n_attempts; i++) {
            const timeline_attempt *one = &writer->attempts[i];
            if (!one->sent.record || !one->run.record)
                continue;
            const timeline_peer *master = find_peer (writer, one->run.record->master);
            timeline_peer *worker = find_peer (writer, one->run.record->worker);
            if (master && worker && master->placed && !worker->placed)
                bound (one, master, worker);
        }
    } while (settle (writer));
}

static void place_side (const timeline_writer *writer, timeline_side *side, uint64_t peer_id)
{
    const timeline_peer *peer = side->record ? find_peer (writer, peer_id) : NULL;
    if (!peer || !peer->placed) {
        side->record = NULL;
        return;
    }
    int64_t shift_ns = peer->offset_ns - (int64_t)writer->timeline->began_ns;
    side->begin_ns = (int64_t)side->record->begin_ns + shift_ns;
    side->end_ns = (int64_t)side->record->end_ns + shift_ns;
}

/* Clocks drift, and a host may sleep: what bounds could not agree on, the master's side decides. */
static void place_attempt (timeline_writer *writer, timeline_attempt *one)
{
    const pxi_traced *any = one->run.record ? one->run.record : one->sent.record;
    uint32_t n = (one->run.record != NULL) + (one->sent.record != NULL);
    writer->n_one_sided += n == 1 && any->master != any->worker && pxi_traced_ran (any);
    place_side (writer, &one->sent, any->master);
    place_side (writer, &one->run, any->worker);
    writer->n_left_out += n - (one->run.record != NULL) - (one->sent.record != NULL);
    if (!one->run.record || !one->sent.record)
        return;
    if (one->run.begin_ns < one->sent.begin_ns)
        one->run.begin_ns = one->sent.begin_ns;
    bool answered =
        one->sent.record->end != PXI_TRACED_CANCELLED && one->sent.record->end != PXI_RESULT_LOST;
    if (answered && one->run.end_ns > one->sent.end_ns)
        one->run.end_ns = one->sent.end_ns;
    if (one->run.end_ns < one->run.begin_ns)
        one->run.end_ns = one->run.begin_ns;
}

/* ---- lanes ------------------------------------------------------------------------------------
 */

static uint32_t take_lane (timeline_lanes *lanes, const timeline_side *side)
{
    uint32_t at = 0;
    while (at < lanes->n && lanes->end_ns[at] > side->begin_ns)
        at++;
    if (at == LANES_MAX)
        return 0;
    if (!lanes->end_ns && !(lanes->end_ns = malloc (LANES_MAX * sizeof *lanes->end_ns)))
        return 0;
    lanes->n += at == lanes->n;
    lanes->end_ns[at] = side->end_ns;
    return at + 1;
}

static int by_run (const void *a, const void *b)
{
    const timeline_side *left = &(*(timeline_attempt *const *)a)->run,
                        *right = &(*(timeline_attempt *const *)b)->run;
    return left->begin_ns < right->begin_ns ? -1 : left->begin_ns > right->begin_ns;
}

static int by_sent (const void *a, const void *b)
{
    const timeline_side *left = &(*(timeline_attempt *const *)a)->sent,
                        *right = &(*(timeline_attempt *const *)b)->sent;
    return left->begin_ns < right->begin_ns ? -1 : left->begin_ns > right->begin_ns;
}

static void give_lanes (timeline_writer *writer, bool sent)
{
    if (writer->n_attempts > 1)
        qsort (writer->order, writer->n_attempts, sizeof *writer->order, sent ? by_sent : by_run);
    for (uint32_t i = 0; i < writer->n_attempts; i++) {
        timeline_side *side = sent ? &writer->order[i]->sent : &writer->order[i]->run;
        if (!side->record)
            continue;
        timeline_peer *peer =
            find_peer (writer, sent ? side->record->master : side->record->worker);
        side->lane = take_lane (sent ? &peer->sent : &peer->runs, side);
        writer->n_left_out += !side->lane;
    }
}

/* ---- text -------------------------------------------------------------------------------------
 */

/* Names are checked to be printable: only quotes and backslashes must be kept out of JSON. */
static void write_text (FILE *file, const char *text)
{
    for (; *text; text++)
        fputc (*text == '"' || *text == '\\' || (unsigned char)*text < ' ' ? '_' : *text, file);
}

static void write_us (FILE *file, const char *name, int64_t ns)
{
    uint64_t size = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    fprintf (file, ",\"%s\":%s%" PRIu64 ".%03u", name, ns < 0 ? "-" : "", size / 1000,
             (unsigned)(size % 1000));
}

static uint32_t process_of (const timeline_writer *writer, uint64_t id)
{
    const timeline_peer *peer = find_peer (writer, id);
    return peer ? (uint32_t)(peer - writer->peers) + 1 : 0;
}

/* Every event but the last line ends with a comma. */
static void begin_event (const timeline_writer *writer, char phase, uint32_t process, uint32_t lane,
                         int64_t at_ns)
{
    fprintf (writer->file, "{\"ph\":\"%c\",\"pid\":%u,\"tid\":%u", phase, process, lane);
    write_us (writer->file, "ts", at_ns);
}

static const char *task_name (const timeline_writer *writer, const pxi_traced *record)
{
    const pxi_timeline *timeline = writer->timeline;
    return record->task < timeline->n_task_names ? timeline->task_names[record->task] : "?";
}

static const char *end_text (const pxi_traced *record)
{
    static const char *const texts[] = {"ok",       "failed", "crashed",  "lost",
                                        "returned", "cannot", "cancelled"};
    return record->end < sizeof texts / sizeof *texts ? texts[record->end] : "?";
}

static void write_slice (const timeline_writer *writer, const timeline_side *side, uint32_t process,
                         uint32_t lane)
{
    const pxi_traced *record = side->record;
    FILE *file = writer->file;
    begin_event (writer, 'X', process, lane, side->begin_ns);
    write_us (file, "dur", side->end_ns - side->begin_ns);
    fprintf (file, ",\"cat\":\"%s\",\"name\":\"", record->sent ? "sent" : "run");
    write_text (file, writer->timeline->module_name);
    fputc ('.', file);
    write_text (file, task_name (writer, record));
    fprintf (file, "\",\"args\":{\"subtask\":\"%" PRIu64 "\",\"attempt\":%u,\"end\":\"%s\"",
             record->key.subtask, record->key.attempt, end_text (record));
    const timeline_peer *other = find_peer (writer, record->sent ? record->worker : record->master);
    if (other) {
        fprintf (file, ",\"%s\":\"", record->sent ? "to" : "from");
        write_text (file, other->name);
        fputc ('"', file);
    }
    fputs ("}},\n", file);
}

static void write_marker (const timeline_writer *writer, const char *text, uint32_t process,
                          uint32_t lane, int64_t at_ns)
{
    begin_event (writer, 'i', process, lane, at_ns);
    fprintf (writer->file, ",\"s\":\"t\",\"cat\":\"mark\",\"name\":\"%s\"},\n", text);
}

static void write_arrow (const timeline_writer *writer, char phase, size_t id, uint32_t process,
                         uint32_t lane, int64_t at_ns)
{
    begin_event (writer, phase, process, lane, at_ns);
    fprintf (writer->file, ",\"id\":%zu,\"cat\":\"sent\",\"name\":\"sent\"%s},\n", id,
             phase == 'f' ? ",\"bp\":\"e\"" : "");
}

static bool is_given_up (const pxi_traced *sent)
{
    return sent && (sent->end == PXI_TRACED_CANCELLED || sent->end == PXI_RESULT_LOST);
}

/* Numbers are used up by peers that said busy, too: what counts is a former one that was. */
static bool is_redone (const timeline_writer *writer, const timeline_attempt *one)
{
    if (one == writer->attempts)
        return false;
    const timeline_side *sides[2] = {&one[-1].run, &one[-1].sent};
    const pxi_traced *former = sides[!sides[0]->record]->record, *record = one->run.record;
    return former && former->master == record->master && former->key.subtask == record->key.subtask;
}

static void write_run (const timeline_writer *writer, const timeline_attempt *one)
{
    const timeline_side *run = &one->run;
    const pxi_traced *record = run->record;
    uint32_t process = process_of (writer, record->worker);
    write_slice (writer, run, process, run->lane);
    if (is_redone (writer, one))
        write_marker (writer, "redone", process, run->lane, run->begin_ns);
    if (record->end == PXI_TRACED_CANCELLED)
        write_marker (writer, "cancelled", process, run->lane, run->end_ns);
    else if (is_given_up (one->sent.record))
        write_marker (writer, "late", process, run->lane, run->end_ns);
}

static void write_attempt (const timeline_writer *writer, const timeline_attempt *one)
{
    const timeline_side *run = &one->run, *sent = &one->sent;
    size_t id = (size_t)(one - writer->attempts) + 1;
    uint32_t lane = SENT_LANES + sent->lane;
    if (run->lane)
        write_run (writer, one);
    if (!sent->lane)
        return;
    uint32_t process = process_of (writer, sent->record->master);
    write_slice (writer, sent, process, lane);
    if (sent->record->end == PXI_RESULT_LOST)
        write_marker (writer, "lost", process, lane, sent->end_ns);
    if (!run->lane)
        return;
    write_arrow (writer, 's', id, process, lane, sent->begin_ns);
    write_arrow (writer, 'f', id, process_of (writer, run->record->worker), run->lane,
                 run->begin_ns);
}

static void write_lane_names (const timeline_writer *writer, uint32_t process,
                              const timeline_lanes *lanes, const char *name, uint32_t first)
{
    for (uint32_t i = 1; i <= lanes->n; i++)
        fprintf (writer->file,
                 "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":%u,\"tid\":%u,\"args\":{\"name\":"
                 "\"%s %u\"}},\n",
                 process, first + i, name, i);
}

static void write_peer (const timeline_writer *writer, const timeline_peer *peer)
{
    uint32_t process = (uint32_t)(peer - writer->peers) + 1;
    fprintf (writer->file,
             "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%u,\"args\":{\"name\":\"", process);
    write_text (writer->file, peer->name);
    fputs ("\"}},\n", writer->file);
    write_lane_names (writer, process, &peer->runs, "runs", 0);
    write_lane_names (writer, process, &peer->sent, "sent", SENT_LANES);
}

/* Those who read JSON find the sums in otherData, those who look at pictures beside the root. */
static void write_all (const timeline_writer *writer)
{
    FILE *file = writer->file;
    fputs ("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n", file);
    for (uint32_t i = 0; i < writer->n_peers; i++)
        write_peer (writer, &writer->peers[i]);
    for (uint32_t i = 0; i < writer->n_attempts; i++)
        write_attempt (writer, &writer->attempts[i]);
    fprintf (file,
             "{\"ph\":\"i\",\"s\":\"g\",\"pid\":1,\"tid\":0,\"ts\":0,\"cat\":\"mark\",\"name\":"
             "\"%" PRIu64 " records left out, %" PRIu64 " attempts known from one side\"}\n],\n"
             "\"otherData\":{\"left_out\":%" PRIu64 ",\"one_sided\":%" PRIu64 "}}\n",
             writer->n_left_out, writer->n_one_sided, writer->n_left_out, writer->n_one_sided);
}

/* ---- the whole --------------------------------------------------------------------------------
 */

static px_err draw (timeline_writer *writer)
{
    uint32_t n = writer->timeline->n_records;
    const pxi_traced **records = malloc ((n + 1) * sizeof *records);
    writer->peers = malloc (PEERS_MAX * sizeof *writer->peers);
    writer->attempts = malloc ((n + 1) * sizeof *writer->attempts);
    writer->order = malloc ((n + 1) * sizeof *writer->order);
    bool room = records && writer->peers && writer->attempts && writer->order;
    if (room) {
        collect_peers (writer);
        pair_up (writer, records);
        place_peers (writer);
        for (uint32_t i = 0; i < writer->n_attempts; i++) {
            writer->order[i] = &writer->attempts[i];
            place_attempt (writer, &writer->attempts[i]);
        }
        give_lanes (writer, false);
        give_lanes (writer, true);
        write_all (writer);
    }
    free (records);
    return !room ? PX_ENOMEM : ferror (writer->file) ? PX_ESYSTEM : PX_OK;
}

px_err pxi_timeline_write (const pxi_timeline *timeline, FILE *file)
{
    timeline_writer writer = {
        .timeline = timeline, .file = file, .n_left_out = timeline->n_left_out};
    pxi_map_init (&writer.by_id, PEERS_MAX, timeline->origin);
    px_err err = draw (&writer);
    for (uint32_t i = 0; writer.peers && i < writer.n_peers; i++) {
        free (writer.peers[i].runs.end_ns);
        free (writer.peers[i].sent.end_ns);
    }
    pxi_map_fini (&writer.by_id);
    free (writer.peers);
    free (writer.attempts);
    free (writer.order);
    return err;
}
