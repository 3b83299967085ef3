/* Stacks of tasks and switching between them. A stack is mmap'd with a guard page below it;
 * switching saves what the ABI says a call preserves, nothing else. */
#ifndef PXI_EXEC_STACK_H
#define PXI_EXEC_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pxi_stack {
    struct pxi_stack *next; /* in a cache */
    char *low;              /* first usable byte */
    size_t size;            /* usable bytes */
    unsigned valgrind_id;
} pxi_stack;

/* NULL when out of memory. The structure lies at the upper end of its own stack. */
pxi_stack *pxi_stack_new (size_t size);
void pxi_stack_free (pxi_stack *stack);

typedef struct pxi_context {
    void *sp;
    /* what sanitizers want to know */
    void *fake;
    const void *low;
    size_t size;
    void *tsan;
} pxi_context;

typedef void pxi_entry_fn (void *argument);

/* A context that will run `entry (argument)` on `stack`; entry must never return. */
void pxi_context_make (pxi_context *context, pxi_stack *stack, pxi_entry_fn *entry, void *argument);
/* The calling thread's own context: fill before it is switched from. */
void pxi_context_thread (pxi_context *context);
/* Save here, go on there. `ending`: never comes back to `from`. */
void pxi_context_switch (pxi_context *from, pxi_context *to, bool ending);
/* First call on a new stack. */
void pxi_context_entered (void);
void pxi_context_fini (pxi_context *context);

#endif
