/* Policy: what is sent is referenced, not copied, from the size on where that is cheaper. What is
 * received is copied once. Wrapping received frames was tried and rejected: libzmq 4.3.4 places the
 * data of a large frame 40 bytes into its block, so it is never aligned to 16, which tasks are
 * promised; and small frames share an 8 KiB block that a reference would keep alive. Measured
 * (through src/net alone): a round trip of 1 MiB, which has two such copies, 323 to 361 us instead of 298.
 */
#include "net/frames.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <zmq.h>

#include "base/assert.h"

/* A reference costs an allocation and two atomic operations, which is what copying about this much
 * costs. */
enum { COPY_SIZE_MAX = 2048 };
static_assert (1 + 2 * PXI_DISPATCH_MAX <= PXI_FRAMES_MAX, "a full dispatch is one message");

/* ---- send ------------------------------------------------------------------------------------ */

/* Called by a thread of libzmq when the frame has left. */
static void release_frame (void *data, void *hint)
{
    (void)data;
    pxi_bytes_release (hint);
}

static int make_frame (zmq_msg_t *frame, pxi_bytes *bytes)
{
    size_t size = pxi_bytes_size (bytes);
    if (size > COPY_SIZE_MAX) {
        if (zmq_msg_init_data (frame, pxi_bytes_data (bytes), size, release_frame, bytes) != 0)
            return ENOMEM;
        pxi_bytes_acquire (bytes);
        return 0;
    }
    if (zmq_msg_init_size (frame, size) != 0)
        return ENOMEM;
    if (size > 0)
        memcpy (zmq_msg_data (frame), pxi_bytes_data (bytes), size);
    return 0;
}

static int make_frames (zmq_msg_t *out, pxi_bytes *const *frames, uint32_t n_frames)
{
    for (uint32_t i = 0; i < n_frames; i++) {
        int err = make_frame (&out[i], frames[i]);
        while (err != 0 && i > 0)
            zmq_msg_close (&out[--i]);
        if (err != 0)
            return err;
    }
    return 0;
}

/* When the connection goes in mid message, zmq forgets the frames so far and swallows the others up
 * to the last: they have to be sent all the same, or the next message is swallowed instead. */
static int send_frames (void *socket, zmq_msg_t *out, uint32_t n_frames, bool begun)
{
    int err = 0;
    for (uint32_t i = 0; i < n_frames; i++) {
        bool refused = err != 0 && !begun;
        int more = i + 1 < n_frames ? ZMQ_SNDMORE : 0;
        if (!refused && zmq_msg_send (&out[i], socket, ZMQ_DONTWAIT | more) >= 0) {
            begun = true;
            continue;
        }
        if (err == 0)
            err = errno;
        zmq_msg_close (&out[i]);
    }
    return err;
}

int pxi_frames_send (void *socket, const pxi_identity *identity, pxi_bytes *const *frames,
                     uint32_t n_frames)
{
    PXI_ASSERT (n_frames >= 1);
    PXI_ASSERT (n_frames <= PXI_FRAMES_MAX);
    zmq_msg_t
        out[PXI_FRAMES_MAX]; /* made before the first goes: half a message cannot be taken back */
    int err = make_frames (out, frames, n_frames);
    if (err != 0)
        return err;
    if (identity &&
        zmq_send (socket, identity->bytes, PXI_IDENTITY_SIZE, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        err = errno;
        for (uint32_t i = 0; i < n_frames; i++)
            zmq_msg_close (&out[i]);
        return err;
    }
    return send_frames (socket, out, n_frames, identity != NULL);
}

/* ---- receive --------------------------------------------------------------------------------- */

/* The rest of a multipart, so that the next receive begins a message. */
static void skip_rest (void *socket, bool more)
{
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init (&frame);
        more = zmq_msg_recv (&frame, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more (&frame);
        zmq_msg_close (&frame);
    }
}

/* NULL with *err = 0 when there is none. */
static pxi_bytes *receive_frame (void *socket, bool *more, int *err)
{
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    pxi_bytes *bytes = NULL;
    if (zmq_msg_recv (&frame, socket, ZMQ_DONTWAIT) < 0) {
        *err = errno;
    } else {
        *more = zmq_msg_more (&frame);
        bytes = pxi_bytes_copy (zmq_msg_data (&frame), zmq_msg_size (&frame));
        *err = bytes ? 0 : ENOMEM;
    }
    zmq_msg_close (&frame);
    return bytes;
}

/* EPROTO for a name that the other side chose. */
static int receive_identity (void *socket, pxi_identity *identity, bool *more)
{
    zmq_msg_t frame;
    zmq_msg_init (&frame);
    int err = 0;
    if (zmq_msg_recv (&frame, socket, ZMQ_DONTWAIT) < 0) {
        err = errno;
    } else {
        const uint8_t *bytes = zmq_msg_data (&frame);
        *more = zmq_msg_more (&frame);
        identity->source = identity->ask_source ? zmq_msg_get (&frame, ZMQ_SRCFD) : -1;
        if (zmq_msg_size (&frame) == PXI_IDENTITY_SIZE && bytes[0] == 0)
            memcpy (identity->bytes, bytes, PXI_IDENTITY_SIZE);
        else
            err = EPROTO;
    }
    zmq_msg_close (&frame);
    return err;
}

int pxi_frames_receive (void *socket, pxi_identity *identity, pxi_bytes **frames,
                        uint32_t *n_frames)
{
    bool more = true;
    int err = identity ? receive_identity (socket, identity, &more) : 0;
    uint32_t n = 0;
    if (err == EAGAIN)
        return err;
    for (; err == 0 && more && n < PXI_FRAMES_MAX; n++) {
        frames[n] = receive_frame (socket, &more, &err);
        if (!frames[n])
            break;
    }
    if (err == EAGAIN && n == 0 && !identity)
        return err;
    if (err == 0 && (more || n == 0))
        err = EPROTO; /* too many frames, or none */
    if (err == 0) {
        *n_frames = n;
        return 0;
    }
    skip_rest (socket, more);
    while (n > 0)
        pxi_bytes_release (frames[--n]);
    return err;
}
