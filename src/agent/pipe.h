/* Commands and notices between the agent and an executor process, over a stream socket. Both ends
 * are of one build on one host (checked by version and size of the header), so a frame is its
 * structs as they lie in memory; still, the agent's end believes nothing: the far end runs task
 * code, which may have written over anything.
 *
 *     header | meta (meta_size bytes) | n_parts sizes, u64, UINT64_MAX = no part | parts
 *
 * One thread at each end. */
#ifndef PXI_AGENT_PIPE_H
#define PXI_AGENT_PIPE_H

#include <stdbool.h>

#include <peerexec/error.h>

#include "base/bytes.h"
#include "core/limits.h"
#include "net/channel.h"

enum {
    PXI_PIPE_VERSION = 1,
    PXI_PIPE_PARTS_MAX = 2 * PXI_DISPATCH_MAX,
    PXI_PIPE_META_MAX = 65536,
    PXI_PIPE_SHARED_MAX = 4, /* shared inputs that a process keeps for runs to come */
};

typedef enum pxi_frame_kind {
    PXI_FRAME_READY = 1, /* first from the process: its module is loaded */
    PXI_FRAME_REFUSED,   /* instead: meta = why, for people */
    PXI_FRAME_OPEN,      /* to the process: meta = pxi_open; part 0 = the job's specification */
    PXI_FRAME_COMMAND,   /* sub = pxi_command_kind */
    PXI_FRAME_NOTICE,    /* sub = pxi_notice_kind */
} pxi_frame_kind;

typedef struct pxi_frame_header {
    uint32_t version, header_size;
    uint32_t kind, sub;
    uint32_t meta_size, n_parts;
    uint32_t task, count, wanted, attempts, crashes, attempt, flag, result, code, n_taken;
    uint32_t shared; /* RUN: place of its shared input among those kept, from 1; 0 = it has none */
    uint32_t device;
    uint64_t run, token, subtask, branch, runs, run_ns, done, known, peer;
    uint64_t n_items, fixed_ns, item_cost, queue_ns, memory_bytes;
    char peer_name[PXI_NAME_SIZE];
} pxi_frame_header;

typedef struct pxi_frame {
    pxi_frame_header header; /* version and header_size are filled by send */
    void *meta;              /* malloc ()ed */
    pxi_bytes *parts[PXI_PIPE_PARTS_MAX];
} pxi_frame;

/* Releases what the frame holds. */
void pxi_frame_fini (pxi_frame *frame);

/* What the process has to know of peer and job, beside the specification. */
typedef struct pxi_open {
    uint64_t peer_id, id_base, stack_size, input_size_max, result_size_max;
    int32_t branch_number;
    uint32_t slots;
    uint32_t devices; /* it has some, or looks for them */
    char peer_name[PXI_NAME_SIZE];
} pxi_open;

typedef struct pxi_pipe {
    pxi_channel channel;
    uint64_t part_size_max;
    /* The frame that is being read. */
    pxi_frame frame;
    uint64_t sizes[PXI_PIPE_PARTS_MAX];
    bool broken;          /* what came did not parse: nothing more is read */
    uint32_t stage, part; /* stage: header, meta, sizes, parts */
    size_t got;           /* bytes of the stage, or of the part */
} pxi_pipe;

/* Takes fd when it succeeds. PX_ENOMEM. */
px_err pxi_pipe_init (pxi_pipe *pipe, int fd, uint64_t part_size_max);
/* Closes fd. */
void pxi_pipe_fini (pxi_pipe *pipe);

/* Queues a frame, taking meta and parts in every case. False: out of memory, the pipe has lost a
 * frame and is of no use any more. */
bool pxi_pipe_send (pxi_pipe *pipe, pxi_frame *frame);
/* Writes what is queued; waits for the socket only where fd is in blocking mode. */
pxi_channel_state pxi_pipe_flush (pxi_pipe *pipe);
/* The next frame, whose meta and parts are the caller's; closed also when what comes is nonsense.
 * Never blocks. */
pxi_channel_state pxi_pipe_receive (pxi_pipe *pipe, pxi_frame *frame);

#endif
