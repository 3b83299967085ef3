/* Small pieces are gathered into few system calls in both directions; large parts are read straight
 * into their buffers and written from where they lie. */
#include "agent/pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

enum { BUFFER_SIZE = 65536, PIECES_MAX = 64 };
enum { STAGE_HEADER, STAGE_META, STAGE_SIZES, STAGE_PARTS };

/* A run of bytes that waits to be written. */
typedef struct unsent_piece {
    pxi_list in_pipe;
    pxi_bytes *bytes;
    size_t sent;
} unsent_piece;

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
    pipe->buffer = malloc (BUFFER_SIZE);
    if (!pipe->buffer)
        return PX_ENOMEM;
    pipe->fd = fd;
    pipe->part_size_max = part_size_max;
    pxi_list_init (&pipe->unsent);
    return PX_OK;
}

static void piece_free (unsent_piece *piece)
{
    pxi_list_remove (&piece->in_pipe);
    pxi_bytes_release (piece->bytes);
    free (piece);
}

void pxi_pipe_fini (pxi_pipe *pipe)
{
    for (pxi_list *link; (link = pxi_list_first (&pipe->unsent));)
        piece_free (PXI_LIST_ENTRY (link, unsent_piece, in_pipe));
    pxi_frame_fini (&pipe->frame);
    free (pipe->buffer);
    pipe->buffer = NULL;
    close (pipe->fd);
    pipe->fd = -1;
}

/* ---- sending ----------------------------------------------------------------------------------
 */

/* Takes the reference in every case. */
static bool add_piece (pxi_pipe *pipe, pxi_bytes *bytes)
{
    unsent_piece *piece = bytes ? malloc (sizeof *piece) : NULL;
    if (!piece) {
        pxi_bytes_release (bytes);
        return false;
    }
    piece->bytes = bytes;
    piece->sent = 0;
    pxi_list_add_last (&pipe->unsent, &piece->in_pipe);
    pipe->unsent_size += pxi_bytes_size (bytes);
    return true;
}

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
    bool queued = add_piece (pipe, make_head (frame));
    for (uint32_t i = 0; i < frame->header.n_parts && queued; i++) {
        if (pxi_bytes_size (frame->parts[i]) == 0)
            continue;
        queued = add_piece (pipe, frame->parts[i]);
        frame->parts[i] = NULL;
    }
    pxi_frame_fini (frame);
    return queued;
}

static int gather (pxi_pipe *pipe, struct iovec *pieces)
{
    int n = 0;
    PXI_LIST_EACH (link, &pipe->unsent)
    {
        unsent_piece *piece = PXI_LIST_ENTRY (link, struct unsent_piece, in_pipe);
        pieces[n].iov_base = (uint8_t *)pxi_bytes_data (piece->bytes) + piece->sent;
        pieces[n].iov_len = pxi_bytes_size (piece->bytes) - piece->sent;
        if (++n == PIECES_MAX)
            break;
    }
    return n;
}

static void written (pxi_pipe *pipe, size_t size)
{
    pipe->unsent_size -= size;
    while (size) {
        unsent_piece *first =
            PXI_LIST_ENTRY (pxi_list_first (&pipe->unsent), unsent_piece, in_pipe);
        size_t left = pxi_bytes_size (first->bytes) - first->sent;
        if (size < left) {
            first->sent += size;
            return;
        }
        size -= left;
        piece_free (first);
    }
}

pxi_pipe_state pxi_pipe_flush (pxi_pipe *pipe)
{
    while (!pxi_list_is_empty (&pipe->unsent)) {
        struct iovec pieces[PIECES_MAX];
        struct msghdr message = {.msg_iov = pieces};
        message.msg_iovlen = (size_t)gather (pipe, pieces);
        ssize_t size = sendmsg (pipe->fd, &message, MSG_NOSIGNAL);
        if (size >= 0)
            written (pipe, (size_t)size);
        else if (errno == EAGAIN)
            return PXI_PIPE_WAIT;
        else if (errno != EINTR)
            return PXI_PIPE_CLOSED;
    }
    return PXI_PIPE_DONE;
}

/* ---- receiving --------------------------------------------------------------------------------
 */

static pxi_pipe_state receive_into (pxi_pipe *pipe, void *to, size_t size, size_t *got)
{
    for (;;) {
        ssize_t received = recv (pipe->fd, to, size, MSG_DONTWAIT);
        if (received > 0) {
            *got = (size_t)received;
            return PXI_PIPE_DONE;
        }
        if (received == 0 || (errno != EAGAIN && errno != EINTR))
            return PXI_PIPE_CLOSED;
        if (errno == EAGAIN)
            return PXI_PIPE_WAIT;
    }
}

/* Bring pipe->got to `size` bytes at `to`. */
static pxi_pipe_state fill (pxi_pipe *pipe, void *to, size_t size)
{
    while (pipe->got < size) {
        uint8_t *at = (uint8_t *)to + pipe->got;
        size_t wanted = size - pipe->got, held = pipe->buffer_end - pipe->buffer_begin, got = 0;
        pxi_pipe_state state = PXI_PIPE_DONE;
        if (held) {
            got = held < wanted ? held : wanted;
            memcpy (at, pipe->buffer + pipe->buffer_begin, got);
            pipe->buffer_begin += got;
        } else if (wanted >= BUFFER_SIZE) {
            state = receive_into (pipe, at, wanted, &got);
        } else {
            pipe->buffer_begin = pipe->buffer_end = 0;
            state = receive_into (pipe, pipe->buffer, BUFFER_SIZE, &pipe->buffer_end);
        }
        if (state != PXI_PIPE_DONE)
            return state;
        pipe->got += got;
    }
    return PXI_PIPE_DONE;
}

static bool header_is_valid (const pxi_frame_header *header)
{
    return header->version == PXI_PIPE_VERSION && header->header_size == sizeof *header &&
           header->meta_size <= PXI_PIPE_META_MAX && header->n_parts <= PXI_PIPE_PARTS_MAX;
}

static pxi_pipe_state header_done (pxi_pipe *pipe)
{
    pxi_frame *frame = &pipe->frame;
    if (!header_is_valid (&frame->header))
        return PXI_PIPE_CLOSED;
    frame->meta = frame->header.meta_size ? malloc (frame->header.meta_size) : NULL;
    return frame->meta || !frame->header.meta_size ? PXI_PIPE_DONE : PXI_PIPE_CLOSED;
}

static pxi_pipe_state sizes_done (pxi_pipe *pipe)
{
    for (uint32_t i = 0; i < pipe->frame.header.n_parts; i++) {
        if (pipe->sizes[i] == UINT64_MAX)
            continue;
        if (pipe->sizes[i] > pipe->part_size_max)
            return PXI_PIPE_CLOSED;
        pipe->frame.parts[i] = pxi_bytes_new (pipe->sizes[i]);
        if (!pipe->frame.parts[i])
            return PXI_PIPE_CLOSED;
    }
    return PXI_PIPE_DONE;
}

static pxi_pipe_state read_stage (pxi_pipe *pipe)
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
static bool next_stage (pxi_pipe *pipe, pxi_pipe_state *state)
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

pxi_pipe_state pxi_pipe_receive (pxi_pipe *pipe, pxi_frame *frame)
{
    while (!pipe->broken) {
        pxi_pipe_state state = read_stage (pipe);
        if (state != PXI_PIPE_DONE)
            return state;
        bool whole = next_stage (pipe, &state);
        pipe->broken = state != PXI_PIPE_DONE;
        if (!whole || pipe->broken)
            continue;
        *frame = pipe->frame;
        memset (&pipe->frame, 0, sizeof pipe->frame);
        return PXI_PIPE_DONE;
    }
    return PXI_PIPE_CLOSED;
}
