/* A packet is as long as its text. What a packet says is checked for its form here, for its meaning by
 * who acts on it: the peer believes nothing of a helper, in whose process kernels may have written
 * anywhere. */
#include "device/message.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEAD_SIZE = offsetof (pxi_device_message, text) };

void pxi_device_message_init (pxi_device_message *message, pxi_device_kind kind, uint64_t id)
{
    memset (message, 0, HEAD_SIZE);
    message->version = PXI_DEVICE_VERSION;
    message->kind = kind;
    message->id = id;
}

void pxi_device_message_add (pxi_device_message *message, const char *text)
{
    size_t room = PXI_DEVICE_TEXT_SIZE - message->text_size, size = strlen (text) + 1;
    if (!room)
        return;
    size = size < room ? size : room;
    memcpy (message->text + message->text_size, text, size);
    message->text_size += (uint32_t)size;
    message->text[message->text_size - 1] = '\0';
}

/* ---- packets ----------------------------------------------------------------------------------
 */

typedef union control {
    char bytes[CMSG_SPACE (sizeof (int))];
    struct cmsghdr aligned;
} control;

static void attach (struct msghdr *header, control *room, int fd)
{
    memset (room, 0, sizeof *room);
    header->msg_control = room->bytes;
    header->msg_controllen = sizeof room->bytes;
    struct cmsghdr *item = CMSG_FIRSTHDR (header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN (sizeof fd);
    memcpy (CMSG_DATA (item), &fd, sizeof fd);
}

bool pxi_device_send (int fd, const pxi_device_message *message, int memory)
{
    struct iovec part = {(void *)message, HEAD_SIZE + message->text_size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    control room;
    if (memory >= 0)
        attach (&header, &room, memory);
    ssize_t sent;
    do {
        sent = sendmsg (fd, &header, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)part.iov_len;
}

static int attached (struct msghdr *header)
{
    int fd = -1;
    struct cmsghdr *item = CMSG_FIRSTHDR (header);
    if (item && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS &&
        item->cmsg_len == CMSG_LEN (sizeof fd))
        memcpy (&fd, CMSG_DATA (item), sizeof fd);
    return fd;
}

static bool is_valid (const pxi_device_message *message, size_t size, int flags)
{
    return size >= HEAD_SIZE && !(flags & MSG_TRUNC) && message->version == PXI_DEVICE_VERSION &&
           message->text_size == size - HEAD_SIZE && message->n_args <= PXI_DEVICE_ARGS_MAX &&
           (message->text_size == 0 || message->text[message->text_size - 1] == '\0');
}

pxi_device_receipt pxi_device_receive (int fd, pxi_device_message *message, int *memory)
{
    /* cppcheck-suppress ctuuninitvar; it is filled here */
    struct iovec part = {message, sizeof *message};
    control room;
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = room.bytes,
                            .msg_controllen = sizeof room.bytes};
    ssize_t size;
    do {
        size = recvmsg (fd, &header, MSG_CMSG_CLOEXEC);
    } while (size < 0 && errno == EINTR);
    *memory = -1;
    if (size < 0 && errno == EAGAIN)
        return PXI_DEVICE_NOTHING;
    if (size <= 0)
        return PXI_DEVICE_CLOSED;
    *memory = attached (&header);
    if (is_valid (message, (size_t)size, header.msg_flags)) {
        if (message->text_size == 0)
            message->text[0] = '\0';
        return PXI_DEVICE_RECEIVED;
    }
    if (*memory >= 0)
        close (*memory);
    *memory = -1;
    return PXI_DEVICE_NONSENSE;
}

/* ---- shared memory ----------------------------------------------------------------------------
 */

static px_err map (pxi_device_memory *memory, int fd, size_t size)
{
    void *data = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        int error = errno;
        close (fd);
        errno = error;
        return PX_ESYSTEM;
    }
    *memory = (pxi_device_memory){fd, data, size};
    return PX_OK;
}

px_err pxi_device_memory_new (pxi_device_memory *memory, size_t size)
{
    size = size ? size : PXI_DEVICE_ALIGNMENT;
    int fd = memfd_create ("px_device", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return PX_ESYSTEM;
    if (ftruncate (fd, (off_t)size) != 0 ||
        fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        int error = errno;
        close (fd);
        errno = error;
        return PX_ESYSTEM;
    }
    return map (memory, fd, size);
}

/* Without the seal, whoever made it could cut it, and who reads it would die of SIGBUS. */
px_err pxi_device_memory_map (pxi_device_memory *memory, int fd, size_t size)
{
    struct stat file;
    int seals = fcntl (fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat (fd, &file) != 0 || size == 0 ||
        (uint64_t)file.st_size < size) {
        if (fd >= 0)
            close (fd);
        return PX_EMALFORMED;
    }
    return map (memory, fd, size);
}

void pxi_device_memory_free (pxi_device_memory *memory)
{
    if (memory->data)
        munmap (memory->data, memory->size);
    if (memory->data && memory->fd >= 0)
        close (memory->fd);
    *memory = (pxi_device_memory){-1, NULL, 0};
}
