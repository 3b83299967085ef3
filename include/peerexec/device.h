/* Data-parallel tasks: one task with an implementation in C and one in OpenCL C 1.2, for ranges.
 *
 *     static px_err saxpy_c (px_task *task, const px_chunk *chunk)
 *     {
 *         const float *x = chunk->args[0], *a = chunk->args[2];
 *         float *y = chunk->args[1];
 *         for (uint64_t i = 0; i < chunk->n; i++) y[i] = *a * x[i];
 *         return PX_OK;
 *     }
 *     static const px_arg saxpy_args[] = {PX_IN (float), PX_OUT_FLOAT (1e-6), PX_VALUE (float)};
 *     static const char saxpy_cl[] =
 *         "kernel void saxpy (global const float *x, global float *y, float a)\n"
 *         "{ size_t i = get_global_id (0); y[i] = a * x[i]; }\n";
 *     PX_RANGE_TASK (saxpy, saxpy_c, saxpy_args, saxpy_cl, "saxpy", 1)
 *
 *     px_bind binds[] = {PX_BIND_IN (x, n * 4), PX_BIND_OUT (y, n * 4), PX_BIND_IN (&a, 4)};
 *     err = px_range_branch (task, "saxpy.all", PX_RANGE (saxpy), 0, n, binds, 3, NULL);
 *
 * The range is cut into chunks, each a subtask like any other, when somebody wants one and for who it is: a slot
 * here, in C and where the bytes lie; a slot elsewhere; a device. What devices compute is compared with C now and
 * then, and done again where it differs by more than is tolerated. What a chunk gets and gives is described
 * by its arguments, in the order in which the kernel has them; indices count from the chunk's begin, in C
 * and in the kernel alike. A kernel is launched over exactly its work items and needs no test of its index. */
#ifndef PEEREXEC_DEVICE_H
#define PEEREXEC_DEVICE_H

#include <peerexec/branch.h>
#include <peerexec/module.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PX_ARGS_MAX 16 /* of one task */
#define PX_VALUE_SIZE_MAX 64

typedef enum px_arg_kind {
    PX_ARG_SHARED = 1, /* the same for all chunks, whole: sent once per peer, kept on the device */
    PX_ARG_IN,         /* a slice: the elements of the chunk's indices */
    PX_ARG_OUT,        /* a slice that the chunk writes, all of it */
    PX_ARG_REDUCED, /* in C one element, for the whole chunk; in the kernel one per work item. All are
                          folded into the total by `reduce`, in the order of their indices */
    PX_ARG_VALUE,   /* a scalar: by value in the kernel, a pointer to it in C */
    PX_ARG_BEGIN,   /* ulong: the chunk's first index; nothing is bound to it */
    PX_ARG_COUNT,   /* ulong: how many indices the chunk has; nothing is bound to it */
} px_arg_kind;

typedef enum px_number {
    PX_NUMBER_BYTES, /* equal, to the bit */
    PX_NUMBER_FLOAT,
    PX_NUMBER_DOUBLE,
} px_number;

/* Outputs of two implementations are the same where |a - b| <= absolute + relative * |b|, b being C's;
 * two infinities of one sign, and any two that are no numbers, are the same. */
typedef struct px_arg {
    px_arg_kind kind;
    uint32_t element_size; /* bytes */
    uint32_t elements;     /* IN, OUT: for each index */
    px_number number;      /* OUT, REDUCED */
    double absolute, relative;
    px_reduce_fn *reduce; /* REDUCED */
} px_arg;

#define PX_SHARED(type)                                                                            \
    {                                                                                              \
        PX_ARG_SHARED, sizeof (type), 1, PX_NUMBER_BYTES, 0, 0, NULL                               \
    }
#define PX_IN(type)                                                                                \
    {                                                                                              \
        PX_ARG_IN, sizeof (type), 1, PX_NUMBER_BYTES, 0, 0, NULL                                   \
    }
#define PX_OUT(type)                                                                               \
    {                                                                                              \
        PX_ARG_OUT, sizeof (type), 1, PX_NUMBER_BYTES, 0, 0, NULL                                  \
    }
#define PX_OUT_FLOAT(relative)                                                                     \
    {                                                                                              \
        PX_ARG_OUT, 4, 1, PX_NUMBER_FLOAT, 1e-30, relative, NULL                                   \
    }
#define PX_OUT_DOUBLE(relative)                                                                    \
    {                                                                                              \
        PX_ARG_OUT, 8, 1, PX_NUMBER_DOUBLE, 1e-300, relative, NULL                                 \
    }
#define PX_REDUCED_FLOAT(fold, relative)                                                           \
    {                                                                                              \
        PX_ARG_REDUCED, 4, 1, PX_NUMBER_FLOAT, 1e-30, relative, fold                               \
    }
#define PX_REDUCED_DOUBLE(fold, relative)                                                          \
    {                                                                                              \
        PX_ARG_REDUCED, 8, 1, PX_NUMBER_DOUBLE, 1e-300, relative, fold                             \
    }
#define PX_VALUE(type)                                                                             \
    {                                                                                              \
        PX_ARG_VALUE, sizeof (type), 1, PX_NUMBER_BYTES, 0, 0, NULL                                \
    }
#define PX_BEGIN                                                                                   \
    {                                                                                              \
        PX_ARG_BEGIN, 8, 1, PX_NUMBER_BYTES, 0, 0, NULL                                            \
    }
#define PX_COUNT                                                                                   \
    {                                                                                              \
        PX_ARG_COUNT, 8, 1, PX_NUMBER_BYTES, 0, 0, NULL                                            \
    }

/* What a C implementation gets. Pointers are aligned to 16. An output's bytes are undefined before. It may be
 * given any part of the range that is whole work items but for the end, more than once, and also in the task
 * that opened the branch, to compare. */
typedef struct px_chunk {
    uint64_t begin, end, n; /* n = end - begin */
    void *const *args;      /* SHARED, IN, VALUE, BEGIN, COUNT: not to be written */
    const uint64_t *sizes;  /* bytes of each */
} px_chunk;

typedef px_err px_chunk_fn (px_task *task, const px_chunk *chunk);

typedef struct px_range_def {
    uint32_t size; /* of this struct */
    const char *name;
    px_task_fn *function;
    px_chunk_fn *run; /* in C */
    const px_arg *args;
    uint32_t n_args;
    const char *source; /* OpenCL C 1.2; NULL = the task is in C only */
    const char *kernel, *options;
    uint32_t
        items_elements; /* indices of one work item; the last item of a chunk may have fewer, so a
                                kernel with more than one wants PX_COUNT */
    const char *file;   /* for the messages of the compiler */
    uint32_t line;      /* of the source's first line */
} px_range_def;

#define PX_RANGE(task_name) (&px_range_def_##task_name)

/** Register a data-parallel task. `indices` = those of one work item.
 *  Messages of the compiler count lines from the source's first; see PX_RANGE_TASK_AT. */
#define PX_RANGE_TASK(task_name, c, arg_list, cl_source, cl_kernel, indices)                       \
    PX_RANGE_TASK_AT (task_name, c, arg_list, cl_source, cl_kernel, "", indices,                   \
                      #task_name " (OpenCL C)", 1)

#define PX_RANGE_TASK_AT(task_name, c, arg_list, cl_source, cl_kernel, cl_options, indices,        \
                         source_file, source_line)                                                 \
    static px_err task_name (px_task *task, const void *input, size_t input_size);                 \
    static const px_range_def px_range_def_##task_name = {sizeof (px_range_def),                   \
                                                          #task_name,                              \
                                                          task_name,                               \
                                                          c,                                       \
                                                          arg_list,                                \
                                                          sizeof (arg_list) / sizeof *(arg_list),  \
                                                          cl_source,                               \
                                                          cl_kernel,                               \
                                                          cl_options,                              \
                                                          indices,                                 \
                                                          source_file,                             \
                                                          source_line};                            \
    static px_err task_name (px_task *task, const void *input, size_t input_size)                  \
    {                                                                                              \
        return px_range_run (task, &px_range_def_##task_name, input, input_size);                  \
    }                                                                                              \
    PX_TASK (task_name)                                                                            \
    __attribute__ ((                                                                               \
        used,                                                                                      \
        section ("px_range_defs"))) static const px_range_def *const px_range_entry_##task_name =  \
        &px_range_def_##task_name;

/** Run one chunk in C: what a task that PX_RANGE_TASK registers does.
 *  Errors:    PX_EFAILED the input is no chunk of this task; those of the implementation; PX_ENOMEM
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_range_run (px_task *task, const px_range_def *def, const void *input,
                            size_t input_size);

/* What is bound to an argument: `in` for SHARED, IN and VALUE, `out` for OUT and REDUCED, neither for
 * BEGIN and COUNT. */
typedef struct px_bind {
    const void *in;
    void *out;
    size_t size; /* bytes */
} px_bind;

#define PX_BIND_IN(data, data_size)                                                                \
    {                                                                                              \
        data, NULL, data_size                                                                      \
    }
#define PX_BIND_OUT(data, data_size)                                                               \
    {                                                                                              \
        NULL, data, data_size                                                                      \
    }
#define PX_BIND_NONE                                                                               \
    {                                                                                              \
        NULL, NULL, 0                                                                              \
    }

typedef struct px_range_options {
    size_t size;    /* of this struct: PX_RANGE_OPTIONS_INIT sets it */
    int32_t number; /* branch number, as in px_branch_options */
    uint64_t least; /* indices of a chunk, but for the last; 0 = chosen */
} px_range_options;

#define PX_RANGE_OPTIONS_INIT                                                                      \
    {                                                                                              \
        sizeof (px_range_options), PX_NUMBER_DEFAULT, 0                                            \
    }

/** Run a data-parallel task over [begin, end), and wait for all of it: outputs are written where they are
 *  bound, a reduced one is folded into what is there. Output bytes are undefined when it fails.
 *  Where chunks begin depends on who was fast, so the last bits of a sum of floating-point numbers may differ from
 *  run to run. An input may be the same memory as an output.
 *  Units:     IN and OUT: (end - begin) x elements x element_size bytes; SHARED: any number of elements
 *  Ownership: what is bound is the caller's and is read until the call returns
 *  Errors:    PX_EINVAL a bind does not fit its argument, or the def is not valid; as px_branch_join ()
 *  Threads:   the task's own
 *  Since:     0.1 */
PX_API px_err px_range_branch (px_task *task, const char *point, const px_range_def *def,
                               uint64_t begin, uint64_t end, const px_bind *binds, uint32_t n_binds,
                               const px_range_options *options);

#ifdef __cplusplus
}
#endif
#endif
