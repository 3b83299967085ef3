/* One decoder decides for both: what is valid passes pxi_text_clean () unchanged. */
#include "wire/text.h"

#include <stdint.h>
#include <string.h>

/* Bytes of the character at `at`, 0 when it is not one. The ranges are RFC 3629's table 4. */
static size_t character_size (const uint8_t *at, size_t size)
{
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    size_t need = first >= 0xc2 && first <= 0xdf   ? 2
                  : first >= 0xe0 && first <= 0xef ? 3
                  : first >= 0xf0 && first <= 0xf4 ? 4
                                                   : 0;
    if (need == 0 || need > size)
        return 0;
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return need;
}

/* C0, DEL and C1: escape sequences start with these. */
static bool is_control (const uint8_t *at, size_t size)
{
    return at[0] < 0x20 || at[0] == 0x7f || (size == 2 && at[0] == 0xc2 && at[1] < 0xa0);
}

bool pxi_text_valid (const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        size_t step = character_size (at, size);
        if (step == 0 || is_control (at, step))
            return false;
        at += step;
        size -= step;
    }
    return true;
}

size_t pxi_text_clean (char *text, size_t size_max, const void *data, size_t size)
{
    const uint8_t *at = data;
    size_t written = 0;
    while (size > 0) {
        size_t step = character_size (at, size);
        bool keep = step > 0 && (!is_control (at, step) || at[0] == '\n' || at[0] == '\t');
        if (written + (keep ? step : 1) > size_max)
            break;
        if (keep)
            memcpy (text + written, at, step);
        else
            text[written] = '?';
        written += keep ? step : 1;
        step = step > 0 ? step : 1;
        at += step;
        size -= step;
    }
    text[written] = 0;
    return written;
}
