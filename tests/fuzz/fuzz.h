/* What the fuzz targets of the wire share. Seeds are not files: fuzz.c mixes freshly encoded
 * samples into the mutations, so they follow the schema by themselves. */
#ifndef PXT_FUZZ_H
#define PXT_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_ASSERT(condition, text)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf (stderr, "%s:%d: %s\n", __FILE__, __LINE__, (text));                           \
            abort ();                                                                              \
        }                                                                                          \
    } while (0)

/* libFuzzer's names. */
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate (uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t size_max, unsigned seed);

/* A valid input made of sample `seed` modulo their count; 0 = it does not fit. */
size_t fuzz_sample (uint32_t seed, uint8_t *data, size_t size_max);

#endif
