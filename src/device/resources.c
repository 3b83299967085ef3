/* What outlives a helper: programs, shared inputs, slots. Each is in shared memory that the next helper
 * maps as this one did, so nothing is copied again when one is replaced. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "device/state.h"

static bool is_under_way (const pxi_device_place *place)
{
    return place->state == PXI_DEVICE_SLOT_WAITING || place->state == PXI_DEVICE_SLOT_SENT;
}

/* ---- programs ---------------------------------------------------------------------------------
 */

pxi_device_code *pxi_device_code_find (pxi_device_client *client, uint64_t id)
{
    for (uint32_t i = 0; i < PXI_DEVICE_PROGRAMS_MAX; i++) {
        if (client->codes[i].id == id)
            return &client->codes[i];
    }
    return NULL;
}

static const char *word (const char *text)
{
    return text ? text : "";
}

static void digest_of (const pxi_device_program_spec *spec, pxi_digest *digest)
{
    const char *texts[] = {spec->source, spec->kernel, word (spec->options), word (spec->file)};
    pxi_digest parts[5];
    for (uint32_t i = 0; i < 4; i++)
        pxi_digest_bytes (texts[i], strlen (texts[i]), &parts[i]);
    pxi_digest_bytes (&spec->line, sizeof spec->line, &parts[4]);
    pxi_digest_bytes (parts, sizeof parts, digest);
}

static bool spec_is_valid (const pxi_device_program_spec *spec)
{
    enum { WORD_MAX = 1000 };
    return spec->source && spec->source[0] && spec->kernel && spec->kernel[0] &&
           strlen (spec->kernel) <= WORD_MAX && strlen (word (spec->options)) <= WORD_MAX &&
           strlen (word (spec->file)) <= WORD_MAX;
}

static bool code_is_used (const pxi_device_client *client, uint64_t id)
{
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++) {
        if (is_under_way (&client->places[i]) && client->places[i].run.program == id)
            return true;
    }
    return false;
}

static void code_free (pxi_device_code *code)
{
    for (uint32_t i = 0; i < 3; i++)
        free (code->words[i]);
    pxi_device_memory_free (&code->source);
    *code = (pxi_device_code){.source.fd = -1};
}

static void code_forget (pxi_device_client *client, pxi_device_code *code)
{
    pxi_device_message message;
    pxi_device_message_init (&message, PXI_DEVICE_MSG_FORGET, code->id);
    if (code->helper == client->helper && client->state == PXI_DEVICE_READY)
        pxi_device_request (client, &message, -1);
    code_free (code);
}

/* The one that was not used for longest makes room. */
static pxi_device_code *code_room (pxi_device_client *client)
{
    pxi_device_code *oldest = NULL;
    for (uint32_t i = 0; i < PXI_DEVICE_PROGRAMS_MAX; i++) {
        pxi_device_code *code = &client->codes[i];
        if (!code->id)
            return code;
        if (!code_is_used (client, code->id) && (!oldest || code->used < oldest->used))
            oldest = code;
    }
    if (oldest)
        code_forget (client, oldest);
    return oldest;
}

static px_err code_fill (pxi_device_code *code, const pxi_device_program_spec *spec)
{
    const char *words[] = {word (spec->options), spec->kernel, word (spec->file)};
    size_t size = strlen (spec->source);
    px_err err = pxi_device_memory_new (&code->source, size);
    for (uint32_t i = 0; i < 3 && err == PX_OK; i++)
        err = (code->words[i] = strdup (words[i])) ? PX_OK : PX_ENOMEM;
    if (err != PX_OK) {
        code_free (code);
        return err;
    }
    memcpy (code->source.data, spec->source, size);
    code->source_size = size;
    code->line = spec->line;
    return PX_OK;
}

px_err pxi_device_program (pxi_device_client *client, const pxi_device_program_spec *spec,
                           uint64_t *program)
{
    if (!spec_is_valid (spec))
        return PX_EINVAL;
    pxi_digest digest;
    digest_of (spec, &digest);
    for (uint32_t i = 0; i < PXI_DEVICE_PROGRAMS_MAX; i++) {
        pxi_device_code *code = &client->codes[i];
        if (code->id && memcmp (&code->digest, &digest, sizeof digest) == 0) {
            *program = code->id;
            return PX_OK;
        }
    }
    pxi_device_code *code = code_room (client);
    if (!code)
        return PX_EFULL;
    px_err err = code_fill (code, spec);
    if (err != PX_OK)
        return err;
    code->digest = digest;
    code->used = ++client->uses;
    *program = code->id = ++client->ids;
    return PX_OK;
}

/* ---- shared inputs ----------------------------------------------------------------------------
 */

pxi_device_kept *pxi_device_kept_find (pxi_device_client *client, uint64_t id)
{
    for (uint32_t i = 0; i < PXI_DEVICE_BUFFERS_MAX; i++) {
        if (client->kept[i].id == id)
            return &client->kept[i];
    }
    return NULL;
}

px_err pxi_device_keep (pxi_device_client *client, const void *data, size_t size, uint64_t *kept_id)
{
    pxi_device_kept *kept = pxi_device_kept_find (client, 0);
    if (!kept)
        return PX_EFULL;
    px_err err = pxi_device_memory_new (&kept->memory, size);
    if (err != PX_OK)
        return err;
    if (size)
        memcpy (kept->memory.data, data, size);
    kept->helper = 0;
    kept->err = PX_OK;
    *kept_id = kept->id = ++client->ids;
    return PX_OK;
}

bool pxi_device_uses (const pxi_device_place *place, uint64_t kept)
{
    for (uint32_t i = 0; i < place->run.n_args; i++) {
        if (place->run.args[i].kind == PXI_DEVICE_ARG_KEPT && place->run.args[i].kept == kept)
            return true;
    }
    return false;
}

static bool kept_is_used (const pxi_device_client *client, uint64_t id)
{
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++) {
        if (is_under_way (&client->places[i]) && pxi_device_uses (&client->places[i], id))
            return true;
    }
    return false;
}

px_err pxi_device_drop (pxi_device_client *client, uint64_t kept_id)
{
    pxi_device_kept *kept = kept_id ? pxi_device_kept_find (client, kept_id) : NULL;
    if (!kept)
        return PX_ESTALE;
    if (kept_is_used (client, kept_id))
        return PX_ESTATE;
    pxi_device_message message;
    pxi_device_message_init (&message, PXI_DEVICE_MSG_DROP, kept_id);
    if (kept->helper == client->helper && client->state == PXI_DEVICE_READY)
        pxi_device_request (client, &message, -1);
    pxi_device_memory_free (&kept->memory);
    *kept = (pxi_device_kept){.memory.fd = -1};
    return PX_OK;
}

/* ---- slots ------------------------------------------------------------------------------------
 */

/* A slot that grows doubles, so that chunks of growing sizes do not each bring new pages. */
static px_err make_room (pxi_device_place *place, size_t size)
{
    if (place->memory.data && place->memory.size >= size)
        return PX_OK;
    size_t twice = 2 * place->memory.size;
    pxi_device_memory memory;
    px_err err = pxi_device_memory_new (&memory, size > twice ? size : twice);
    if (err != PX_OK)
        return err;
    pxi_device_memory_free (&place->memory);
    place->memory = memory;
    place->helper = 0;
    return PX_OK;
}

px_err pxi_device_slot (pxi_device_client *client, size_t size, uint32_t *slot, void **data)
{
    if (client->state == PXI_DEVICE_QUARANTINED)
        return PX_ESTATE;
    if (client->state == PXI_DEVICE_ABSENT)
        return PX_ENOMODULE;
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++) {
        pxi_device_place *place = &client->places[i];
        if (place->state != PXI_DEVICE_SLOT_FREE)
            continue;
        px_err err = make_room (place, size);
        if (err != PX_OK)
            return err;
        place->state = PXI_DEVICE_SLOT_FILLING;
        *slot = i;
        *data = place->memory.data;
        return PX_OK;
    }
    return PX_EFULL;
}

void pxi_device_slot_release (pxi_device_client *client, uint32_t slot)
{
    PXI_ASSERT (slot < PXI_DEVICE_SLOTS);
    pxi_device_place *place = &client->places[slot];
    PXI_ASSERT (place->state == PXI_DEVICE_SLOT_FILLING || place->state == PXI_DEVICE_SLOT_READ);
    place->state = PXI_DEVICE_SLOT_FREE;
}

void pxi_device_resources_free (pxi_device_client *client)
{
    for (uint32_t i = 0; i < PXI_DEVICE_PROGRAMS_MAX; i++)
        code_free (&client->codes[i]);
    for (uint32_t i = 0; i < PXI_DEVICE_BUFFERS_MAX; i++)
        pxi_device_memory_free (&client->kept[i].memory);
    for (uint32_t i = 0; i < PXI_DEVICE_SLOTS; i++)
        pxi_device_memory_free (&client->places[i].memory);
}
