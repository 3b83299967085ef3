/* Ends a test that has left memory behind, where the build can tell (AddressSanitizer). Criterion
 * passes a test whose process reports a leak only when it exits, so the check is inside the test.
 */
#ifndef TESTS_LEAK_H
#define TESTS_LEAK_H

#if defined(__SANITIZE_ADDRESS__)
#define TESTS_HAVE_LEAK_CHECK 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TESTS_HAVE_LEAK_CHECK 1
#endif
#endif

#ifdef TESTS_HAVE_LEAK_CHECK
#include <sanitizer/lsan_interface.h>
#define TEST_NO_LEAKS() cr_assert (__lsan_do_recoverable_leak_check () == 0, "memory leaked")
#else
#define TEST_NO_LEAKS() ((void)0)
#endif

#endif
