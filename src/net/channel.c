/* A read of the socket fills the buffer, or, when what is wanted is larger, goes where it is wanted. */
#include "net/channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_SIZE = 65536, PIECES_MAX = 64 };

/* A run of bytes that waits to be written. */
typedef struct unsent_piece {
    pxi_list in_channel;
    pxi_bytes *bytes;
    size_t sent;
} unsent_piece;

px_err pxi_channel_init (pxi_channel *channel, int fd)
{
    memset (channel, 0, sizeof *channel);
    channel->buffer = malloc (BUFFER_SIZE);
    if (!channel->buffer)
        return PX_ENOMEM;
    channel->fd = fd;
    pxi_list_init (&channel->unsent);
    return PX_OK;
}

static void piece_free (unsent_piece *piece)
{
    pxi_list_remove (&piece->in_channel);
    pxi_bytes_release (piece->bytes);
    free (piece);
}

void pxi_channel_fini (pxi_channel *channel)
{
    for (pxi_list *link; (link = pxi_list_first (&channel->unsent));)
        piece_free (PXI_LIST_ENTRY (link, unsent_piece, in_channel));
    free (channel->buffer);
    channel->buffer = NULL;
    close (channel->fd);
    channel->fd = -1;
}

/* ---- sending ----------------------------------------------------------------------------------
 */

bool pxi_channel_add (pxi_channel *channel, pxi_bytes *bytes)
{
    unsent_piece *piece = bytes ? malloc (sizeof *piece) : NULL;
    if (!piece) {
        pxi_bytes_release (bytes);
        return false;
    }
    piece->bytes = bytes;
    piece->sent = 0;
    pxi_list_add_last (&channel->unsent, &piece->in_channel);
    channel->unsent_size += pxi_bytes_size (bytes);
    return true;
}

static int gather (pxi_channel *channel, struct iovec *pieces)
{
    int n = 0;
    PXI_LIST_EACH (link, &channel->unsent)
    {
        unsent_piece *piece = PXI_LIST_ENTRY (link, struct unsent_piece, in_channel);
        pieces[n].iov_base = (uint8_t *)pxi_bytes_data (piece->bytes) + piece->sent;
        pieces[n].iov_len = pxi_bytes_size (piece->bytes) - piece->sent;
        if (++n == PIECES_MAX)
            break;
    }
    return n;
}

static void written (pxi_channel *channel, size_t size)
{
    channel->unsent_size -= size;
    while (size) {
        unsent_piece *first =
            PXI_LIST_ENTRY (pxi_list_first (&channel->unsent), unsent_piece, in_channel);
        size_t left = pxi_bytes_size (first->bytes) - first->sent;
        if (size < left) {
            first->sent += size;
            return;
        }
        size -= left;
        piece_free (first);
    }
}

pxi_channel_state pxi_channel_flush (pxi_channel *channel)
{
    while (!pxi_list_is_empty (&channel->unsent)) {
        struct iovec pieces[PIECES_MAX];
        struct msghdr message = {.msg_iov = pieces};
        message.msg_iovlen = (size_t)gather (channel, pieces);
        ssize_t size = sendmsg (channel->fd, &message, MSG_NOSIGNAL);
        if (size >= 0)
            written (channel, (size_t)size);
        else if (errno == EAGAIN)
            return PXI_CHANNEL_WAIT;
        else if (errno != EINTR)
            return PXI_CHANNEL_CLOSED;
    }
    return PXI_CHANNEL_DONE;
}

/* ---- receiving --------------------------------------------------------------------------------
 */

static pxi_channel_state receive_into (pxi_channel *channel, void *to, size_t size, size_t *got)
{
    for (;;) {
        ssize_t received = recv (channel->fd, to, size, MSG_DONTWAIT);
        if (received > 0) {
            *got = (size_t)received;
            channel->drained = *got < size;
            return PXI_CHANNEL_DONE;
        }
        if (received == 0 || (errno != EAGAIN && errno != EINTR))
            return PXI_CHANNEL_CLOSED;
        if (errno == EAGAIN)
            return PXI_CHANNEL_WAIT;
    }
}

pxi_channel_state pxi_channel_fill (pxi_channel *channel, void *to, size_t size, size_t *got)
{
    while (*got < size) {
        uint8_t *at = (uint8_t *)to + *got;
        size_t wanted = size - *got, held = channel->buffer_end - channel->buffer_begin, more = 0;
        pxi_channel_state state = PXI_CHANNEL_DONE;
        if (held) {
            more = held < wanted ? held : wanted;
            memcpy (at, channel->buffer + channel->buffer_begin, more);
            channel->buffer_begin += more;
        } else if (wanted >= BUFFER_SIZE) {
            state = receive_into (channel, at, wanted, &more);
        } else {
            channel->buffer_begin = channel->buffer_end = 0;
            state = receive_into (channel, channel->buffer, BUFFER_SIZE, &channel->buffer_end);
        }
        if (state != PXI_CHANNEL_DONE)
            return state;
        *got += more;
    }
    return PXI_CHANNEL_DONE;
}
