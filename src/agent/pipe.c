/* Frames are gathered and cut by net/channel.c; here is only what they look like. */
#include "agent/pipe.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { STAGE_HEADER, STAGE_META, STAGE_SIZES, STAGE_PARTS };

void pxi_frame_fini (pxi_frame *frame)
{
    free (frame->meta);
    frame->meta = NULL;
    for (uint32_t i = 0; i < PXI_PIPE_PARTS_MAX; i++) {
        pxi_bytes_release (frame->parts[i]);
        frame->parts[i] = NULL;
    }
}

px_err pxi_pipe_init (pxi_pipe *pipe, int fd, uint64_t part_size_max)
{
    memset (pipe, 0, sizeof *pipe);
    pipe->part_size_max = part_size_max;
    return pxi_channel_init (&pipe->channel, fd);
}

void pxi_pipe_fini (pxi_pipe *pipe)
{
    pxi_frame_fini (&pipe->frame);
    pxi_channel_fini (&pipe->channel);
}

/* ---- sending ----------------------------------------------------------------------------------
 */

static pxi_bytes *make_head (const pxi_frame *frame)
{
    const pxi_frame_header *header = &frame->header;
    size_t size = sizeof *header + header->meta_size + header->n_parts * sizeof (uint64_t);
    pxi_bytes *head = pxi_bytes_new (size);
    if (!head)
        return NULL;
    uint8_t *at = pxi_bytes_data (head);
    memcpy (at, header, sizeof *header);
    at += sizeof *header;
    if (header->meta_size)
        memcpy (at, frame->meta, header->meta_size);
    at += header->meta_size;
    for (uint32_t i = 0; i < header->n_parts; i++, at += sizeof (uint64_t)) {
        uint64_t part = frame->parts[i] ? pxi_bytes_size (frame->parts[i]) : UINT64_MAX;
        memcpy (at, &part, sizeof part);
    }
    return head;
}

bool pxi_pipe_send (pxi_pipe *pipe, pxi_frame *frame)
{
    PXI_ASSERT (frame->header.n_parts <= PXI_PIPE_PARTS_MAX);
    PXI_ASSERT (frame->header.meta_size <= PXI_PIPE_META_MAX);
    frame->header.version = PXI_PIPE_VERSION;
    frame->header.header_size = sizeof frame->header;
    bool queued = pxi_channel_add (&pipe->channel, make_head (frame));
    for (uint32_t i = 0; i < frame->header.n_parts && queued; i++) {
        if (pxi_bytes_size (frame->parts[i]) == 0)
            continue;
        queued = pxi_channel_add (&pipe->channel, frame->parts[i]);
        frame->parts[i] = NULL;
    }
    pxi_frame_fini (frame);
    return queued;
}

pxi_channel_state pxi_pipe_flush (pxi_pipe *pipe)
{
    return pxi_channel_flush (&pipe->channel);
}

/* ---- receiving --------------------------------------------------------------------------------
 */

static pxi_channel_state fill (pxi_pipe *pipe, void *to, size_t size)
{
    return pxi_channel_fill (&pipe->channel, to, size, &pipe->got);
}

static bool header_is_valid (const pxi_frame_header *header)
{
    return header->version == PXI_PIPE_VERSION && header->header_size == sizeof *header &&
           header->meta_size <= PXI_PIPE_META_MAX && header->n_parts <= PXI_PIPE_PARTS_MAX;
}

static pxi_channel_state header_done (pxi_pipe *pipe)
{
    pxi_frame *frame = &pipe->frame;
    if (!header_is_valid (&frame->header))
        return PXI_CHANNEL_CLOSED;
    frame->meta = frame->header.meta_size ? malloc (frame->header.meta_size) : NULL;
    return frame->meta || !frame->header.meta_size ? PXI_CHANNEL_DONE : PXI_CHANNEL_CLOSED;
}

static pxi_channel_state sizes_done (pxi_pipe *pipe)
{
    for (uint32_t i = 0; i < pipe->frame.header.n_parts; i++) {
        if (pipe->sizes[i] == UINT64_MAX)
            continue;
        if (pipe->sizes[i] > pipe->part_size_max)
            return PXI_CHANNEL_CLOSED;
        pipe->frame.parts[i] = pxi_bytes_new (pipe->sizes[i]);
        if (!pipe->frame.parts[i])
            return PXI_CHANNEL_CLOSED;
    }
    return PXI_CHANNEL_DONE;
}

static pxi_channel_state read_stage (pxi_pipe *pipe)
{
    pxi_frame *frame = &pipe->frame;
    const pxi_bytes *part;
    switch (pipe->stage) {
    case STAGE_HEADER:
        return fill (pipe, &frame->header, sizeof frame->header);
    case STAGE_META:
        return fill (pipe, frame->meta, frame->header.meta_size);
    case STAGE_SIZES:
        return fill (pipe, pipe->sizes, frame->header.n_parts * sizeof pipe->sizes[0]);
    default:
        part = frame->parts[pipe->part];
        return fill (pipe, pxi_bytes_data (part), pxi_bytes_size (part));
    }
}

/* True: the frame is whole. */
static bool next_stage (pxi_pipe *pipe, pxi_channel_state *state)
{
    pipe->got = 0;
    if (pipe->stage == STAGE_HEADER)
        *state = header_done (pipe);
    else if (pipe->stage == STAGE_SIZES)
        *state = sizes_done (pipe);
    if (pipe->stage == STAGE_PARTS)
        pipe->part++;
    else
        pipe->stage++;
    if (pipe->stage < STAGE_PARTS || pipe->part < pipe->frame.header.n_parts)
        return false;
    pipe->stage = STAGE_HEADER;
    pipe->part = 0;
    return true;
}

pxi_channel_state pxi_pipe_receive (pxi_pipe *pipe, pxi_frame *frame)
{
    while (!pipe->broken) {
        pxi_channel_state state = read_stage (pipe);
        if (state != PXI_CHANNEL_DONE)
            return state;
        bool whole = next_stage (pipe, &state);
        pipe->broken = state != PXI_CHANNEL_DONE;
        if (!whole || pipe->broken)
            continue;
        *frame = pipe->frame;
        memset (&pipe->frame, 0, sizeof pipe->frame);
        return PXI_CHANNEL_DONE;
    }
    return PXI_CHANNEL_CLOSED;
}
