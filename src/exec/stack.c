/* Stacks and context switches. x86-64: System V ABI 3.2.1 (rbx rbp r12-r15, mxcsr, x87 control
 * word); AArch64: AAPCS64 6.1 (x19-x30, d8-d15). Elsewhere the build stops: a port is twenty lines
 * here. */
#include "exec/stack.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef VALGRIND_STACK_REGISTER
#define VALGRIND_STACK_REGISTER(low, high) 0
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

void pxi_switch (void **from_sp, void *to_sp);
void pxi_start (void);

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl pxi_switch\n"
        ".hidden pxi_switch\n"
        ".type pxi_switch,@function\n"
        "pxi_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  subq $8, %rsp\n  stmxcsr (%rsp)\n  fnstcw 4(%rsp)\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  ldmxcsr (%rsp)\n  fldcw 4(%rsp)\n  addq $8, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size pxi_switch,.-pxi_switch\n"
        ".globl pxi_start\n"
        ".hidden pxi_start\n"
        ".type pxi_start,@function\n"
        "pxi_start:\n" /* r12: entry, r13: argument; the frame ends here for debuggers */
        "  .cfi_startproc\n  .cfi_undefined rip\n"
        "  movq %r13, %rdi\n  xorl %ebp, %ebp\n  call *%r12\n  ud2\n"
        "  .cfi_endproc\n"
        ".size pxi_start,.-pxi_start\n");

static void *first_frame (char *top, pxi_entry_fn *entry, void *argument)
{
    uint64_t *sp = (uint64_t *)((uintptr_t)top & ~(uintptr_t)15);
    *--sp = 0;
    *--sp = 0; /* two: the call in pxi_start finds the stack aligned to 16 */
    *--sp = (uint64_t)(uintptr_t)pxi_start;
    *--sp = 0;                             /* rbp */
    *--sp = 0;                             /* rbx */
    *--sp = (uint64_t)(uintptr_t)entry;    /* r12 */
    *--sp = (uint64_t)(uintptr_t)argument; /* r13 */
    *--sp = 0;                             /* r14 */
    *--sp = 0;                             /* r15 */
    *--sp = 0;
    uint32_t *words = (uint32_t *)sp;
    __asm__ volatile("stmxcsr %0" : "=m"(words[0]));
    uint16_t control;
    __asm__ volatile("fnstcw %0" : "=m"(control));
    words[1] = control;
    return sp;
}
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl pxi_switch\n.hidden pxi_switch\n.type pxi_switch,%function\n"
        "pxi_switch:\n"
        "  sub sp, sp, #160\n"
        "  stp x19, x20, [sp, #0]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
        "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
        "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n"
        "  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
        "  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
        "  ldp x19, x20, [sp, #0]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
        "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
        "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n"
        "  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
        "  add sp, sp, #160\n  ret\n"
        ".globl pxi_start\n.hidden pxi_start\n.type pxi_start,%function\n"
        "pxi_start:\n  mov x0, x20\n  mov x29, xzr\n  blr x19\n  brk #0\n");

static void *first_frame (char *top, pxi_entry_fn *entry, void *argument)
{
    uint64_t *sp = (uint64_t *)((uintptr_t)top & ~(uintptr_t)15) - 20;
    memset (sp, 0, 160);
    sp[0] = (uint64_t)(uintptr_t)entry;
    sp[1] = (uint64_t)(uintptr_t)argument;
    sp[11] = (uint64_t)(uintptr_t)pxi_start;
    return sp;
}
#else
#error "exec/stack.c: no context switch for this processor yet"
#endif

static size_t page_size (void)
{
    return (size_t)sysconf (_SC_PAGESIZE);
}

pxi_stack *pxi_stack_new (size_t size)
{
    size_t page = page_size ();
    size = (size + page - 1) / page * page;
    char *map = mmap (NULL, size + page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    if (mprotect (map, page, PROT_NONE) < 0) {
        munmap (map, size + page);
        return NULL;
    }
    pxi_stack *stack = (pxi_stack *)(map + page + size - sizeof (pxi_stack));
    stack->next = NULL;
    stack->low = map + page;
    stack->size = size - sizeof (pxi_stack);
    stack->valgrind_id = VALGRIND_STACK_REGISTER (stack->low, stack->low + stack->size);
    return stack;
}

void pxi_stack_free (pxi_stack *stack)
{
    size_t page = page_size ();
    VALGRIND_STACK_DEREGISTER (stack->valgrind_id);
    munmap (stack->low - page, stack->size + sizeof (pxi_stack) + page);
}

void pxi_context_make (pxi_context *context, pxi_stack *stack, pxi_entry_fn *entry, void *argument)
{
    memset (context, 0, sizeof *context);
    context->sp = first_frame (stack->low + stack->size, entry, argument);
    context->low = stack->low;
    context->size = stack->size;
#ifdef WITH_ASAN
    /* A reused stack carries the poison of frames that never returned. */
    extern void __asan_unpoison_memory_region (void const volatile *, size_t);
    __asan_unpoison_memory_region (stack->low, stack->size);
#endif
#ifdef WITH_TSAN
    context->tsan = __tsan_create_fiber (0);
#endif
}

void pxi_context_thread (pxi_context *context)
{
    memset (context, 0, sizeof *context);
#ifdef WITH_TSAN
    context->tsan = __tsan_get_current_fiber ();
#endif
}

#ifdef WITH_ASAN
/* Where the last switch on this thread came from: its bounds are learned on arrival. */
static _Thread_local pxi_context *came_from;
#endif

static void arrived (void *fake)
{
#ifdef WITH_ASAN
    const void *low;
    size_t size;
    __sanitizer_finish_switch_fiber (fake, &low, &size);
    if (came_from && !came_from->low) {
        came_from->low = low;
        came_from->size = size;
    }
#else
    (void)fake;
#endif
}

/* Never inlined: the thread may be another one after the switch, and so are its thread locals. */
__attribute__ ((noinline)) void pxi_context_switch (pxi_context *from, pxi_context *to, bool ending)
{
    (void)ending;
#ifdef WITH_ASAN
    came_from = ending ? NULL : from;
    __sanitizer_start_switch_fiber (ending ? NULL : &from->fake, to->low, to->size);
#endif
#ifdef WITH_TSAN
    __tsan_switch_to_fiber (to->tsan, 0);
#endif
    pxi_switch (&from->sp, to->sp);
    arrived (from->fake);
}

__attribute__ ((noinline)) void pxi_context_entered (void)
{
    arrived (NULL);
}

void pxi_context_fini (pxi_context *context)
{
#ifdef WITH_TSAN
    if (context->tsan)
        __tsan_destroy_fiber (context->tsan);
#endif
    context->tsan = NULL;
}
