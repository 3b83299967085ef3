#include "fuzz.h"

size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    enum { ONE_IN = 64 };
    if (size <= 1 || seed % ONE_IN == 0) {
        size_t fresh = fuzz_sample (seed / ONE_IN, data, size_max);
        if (fresh > 0)
            return fresh;
    }
    return LLVMFuzzerMutate (data, size, size_max);
}
