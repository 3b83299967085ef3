/* A target with a planted fault, which the fuzzer has to find: if it does not, the other targets'
 * silence says nothing. The fault needs coverage feedback (four bytes, one after the other) and a
 * sanitizer (one byte written behind a block; nothing else would notice). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static size_t claimed_size (const uint8_t *data, size_t size)
{
    return size > 4 && data[0] == 'p' && data[1] == 'x' && data[2] == 1 ? data[3] : 0;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    size_t claimed = claimed_size (data, size);
    if (claimed == 0 || claimed > 16)
        return 0;
    volatile uint8_t *block = malloc (16);
    if (!block)
        return 0;
    block[claimed] = data[4]; /* 16 is one too many */
    free ((void *)block);
    return 0;
}
