/* Validated on both sides: an application's mistake is told to it, a stranger's bytes are refused
 * before anything of the message is used. */
#include "agent/spec.h"

#include <string.h>

#include "base/error.h"
#include "core/limits.h"

enum { VERSION = 1, FLAG_TRACE = 1, FLAG_FIXED = 2, FLAG_RISES = 4, FLAGS = 7, HEADER_SIZE = 8 };

static bool number_is_valid (int32_t number)
{
    return number >= PX_NUMBER_DEFAULT && number <= PX_TUNABLE_MAX;
}

static px_err check (const px_job_options *options, char *why)
{
    if (options->n_numbers > PXI_SPEC_POINTS_MAX)
        return pxi_fail (PX_EFULL, why, "%zu branch numbers: at most %d fit a job",
                         options->n_numbers, PXI_SPEC_POINTS_MAX);
    for (size_t i = 0; i < options->n_numbers; i++) {
        const px_point_number *number = &options->numbers[i];
        size_t size = number->point ? strlen (number->point) : 0;
        if (size == 0 || size > PXI_POINT_SIZE_MAX)
            return pxi_fail (PX_EINVAL, why,
                             "the name of a branch point has 1 to %d bytes, not %zu",
                             PXI_POINT_SIZE_MAX, size);
        if (!number_is_valid (number->number))
            return pxi_fail (PX_EINVAL, why, "number %d of '%s' is not in 0..%d", number->number,
                             number->point, PX_TUNABLE_MAX);
    }
    return PX_OK;
}

static uint8_t *put_i32 (uint8_t *at, int32_t value)
{
    uint32_t bits = (uint32_t)value;
    for (int i = 0; i < 4; i++)
        *at++ = (uint8_t)(bits >> 8 * i);
    return at;
}

static uint8_t *put_point (uint8_t *at, const px_point_number *number)
{
    size_t size = strlen (number->point);
    at = put_i32 (at, number->number);
    *at++ = (uint8_t)size;
    memcpy (at, number->point, size);
    return at + size;
}

px_err pxi_spec_encode (const px_job_options *options, int32_t branch_number, bool default_rises,
                        pxi_bytes **bytes, char *why)
{
    px_err err = check (options, why);
    if (err != PX_OK)
        return err;
    size_t size = HEADER_SIZE;
    for (size_t i = 0; i < options->n_numbers; i++)
        size += 5 + strlen (options->numbers[i].point);
    pxi_bytes *made = pxi_bytes_new (size);
    if (!made)
        return pxi_fail (PX_ENOMEM, why, "%s", px_err_text (PX_ENOMEM));
    uint8_t *at = pxi_bytes_data (made);
    *at++ = VERSION;
    *at++ = (uint8_t)((options->trace ? FLAG_TRACE : 0) |
                      (options->fixed_numbers ? FLAG_FIXED : 0) | (default_rises ? FLAG_RISES : 0));
    *at++ = (uint8_t)options->n_numbers;
    *at++ = (uint8_t)(options->n_numbers >> 8);
    at = put_i32 (at, branch_number);
    for (size_t i = 0; i < options->n_numbers; i++)
        at = put_point (at, &options->numbers[i]);
    *bytes = made;
    return PX_OK;
}

/* What is left of the input while it is read. */
typedef struct spec_reader {
    const uint8_t *at;
    size_t left;
} spec_reader;

static bool get (spec_reader *reader, void *to, size_t size)
{
    if (reader->left < size)
        return false;
    memcpy (to, reader->at, size);
    reader->at += size;
    reader->left -= size;
    return true;
}

static bool get_number (spec_reader *reader, int32_t *number)
{
    uint8_t bytes[4];
    if (!get (reader, bytes, sizeof bytes))
        return false;
    *number = (int32_t)((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
                        (uint32_t)bytes[3] << 24);
    return number_is_valid (*number);
}

static bool get_point (spec_reader *reader, int32_t *number, char *name)
{
    uint8_t size;
    if (!get_number (reader, number) || !get (reader, &size, 1) || size == 0 ||
        size > PXI_POINT_SIZE_MAX || !get (reader, name, size))
        return false;
    name[size] = '\0';
    return memchr (name, '\0', size) == NULL;
}

bool pxi_spec_decode (const void *data, size_t size, pxi_spec *spec)
{
    spec_reader reader = {data, size};
    uint8_t header[4];
    if (!get (&reader, header, sizeof header) || header[0] != VERSION || header[1] > FLAGS)
        return false;
    spec->trace = (header[1] & FLAG_TRACE) != 0;
    spec->fixed_numbers = (header[1] & FLAG_FIXED) != 0;
    spec->default_rises = (header[1] & FLAG_RISES) != 0;
    spec->n_points = (uint32_t)header[2] | (uint32_t)header[3] << 8;
    if (spec->n_points > PXI_SPEC_POINTS_MAX || !get_number (&reader, &spec->branch_number))
        return false;
    for (uint32_t i = 0; i < spec->n_points; i++) {
        char *name = spec->text + i * (PXI_POINT_SIZE_MAX + 1);
        if (!get_point (&reader, &spec->numbers[i], name))
            return false;
        spec->points[i] = name;
    }
    return reader.left == 0;
}

bool pxi_spec_is_traced (const pxi_bytes *bytes)
{
    const uint8_t *header = pxi_bytes_data (bytes);
    return pxi_bytes_size (bytes) >= HEADER_SIZE && (header[1] & FLAG_TRACE) != 0;
}
