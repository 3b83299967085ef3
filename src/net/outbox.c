/* Policy: what waited too long goes first (the oldest), what does not fit is refused (the newest):
 * the order of what is sent never changes. */
#include "net/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void pxi_outbox_init (pxi_outbox *outbox)
{
    pxi_list_init (&outbox->messages);
    outbox->n_messages = 0;
    outbox->size_bytes = 0;
}

void pxi_outbox_fini (pxi_outbox *outbox)
{
    while (outbox->n_messages > 0)
        pxi_outbox_pop (outbox);
}

bool pxi_outbox_add (pxi_outbox *outbox, pxi_bytes *const *frames, uint32_t n_frames,
                     uint64_t now_ns)
{
    uint64_t size_bytes = pxi_bytes_size_all (frames, n_frames);
    if (outbox->n_messages >= PXI_OUTBOX_MESSAGES_MAX)
        return false;
    if (outbox->n_messages > 0 && outbox->size_bytes + size_bytes > PXI_OUTBOX_BYTES_MAX)
        return false;
    pxi_held *held = malloc (sizeof *held + n_frames * sizeof (pxi_bytes *));
    if (!held)
        return false;
    held->deadline_ns = now_ns + PXI_OUTBOX_WAIT_NS;
    held->size_bytes = size_bytes;
    held->n_frames = n_frames;
    memcpy (held->frames, frames, n_frames * sizeof (pxi_bytes *));
    pxi_list_add_last (&outbox->messages, &held->in_outbox);
    outbox->n_messages++;
    outbox->size_bytes += size_bytes;
    return true;
}

pxi_held *pxi_outbox_first (const pxi_outbox *outbox)
{
    pxi_list *first = pxi_list_first (&outbox->messages);
    return first ? PXI_LIST_ENTRY (first, pxi_held, in_outbox) : NULL;
}

void pxi_outbox_pop (pxi_outbox *outbox)
{
    pxi_held *held = pxi_outbox_first (outbox);
    PXI_ASSERT (held != NULL);
    PXI_ASSERT (outbox->size_bytes >= held->size_bytes);
    pxi_list_remove (&held->in_outbox);
    outbox->n_messages--;
    outbox->size_bytes -= held->size_bytes;
    pxi_bytes_release_all (held->frames, held->n_frames);
    free (held);
}

uint32_t pxi_outbox_expire (pxi_outbox *outbox, uint64_t now_ns)
{
    uint32_t n = 0;
    for (pxi_held *held; (held = pxi_outbox_first (outbox)) && held->deadline_ns <= now_ns; n++)
        pxi_outbox_pop (outbox);
    return n;
}
