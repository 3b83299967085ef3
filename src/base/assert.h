/* Assertions that stay on in release builds. For what cannot be unless this library is wrong; what
 * a peer or a user sends is validated, never asserted. One condition each. */
#ifndef PXI_BASE_ASSERT_H
#define PXI_BASE_ASSERT_H

#define PXI_ASSERT(expression)                                                                     \
    ((expression) ? (void)0 : pxi_assert_fail (#expression, __FILE__, __LINE__, __func__))

/* Writes what failed to standard error and aborts. Takes no lock and no memory. */
_Noreturn void pxi_assert_fail (const char *expression, const char *file, int line,
                                const char *function);

#endif
