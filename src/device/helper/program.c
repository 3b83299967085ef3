/* Programs: from the cache where it has them, else from their source. A binary that the driver does
 * not take any more is as good as none. While one process builds a program, others that want the same
 * wait for its result: compilers of kernels are neither quick nor happy to be many. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/helper/cache.h"
#include "device/helper/state.h"

typedef struct build_words {
    const char *options, *kernel, *file;
} build_words;

static const char *word_after (const pxi_device_message *request, const char *word)
{
    const char *end = request->text + request->text_size;
    const char *next = word + strlen (word) + 1;
    return next < end ? next : "";
}

static build_words words_of (const pxi_device_message *request)
{
    build_words words = {request->text_size ? request->text : "", "", ""};
    if (request->text_size) {
        words.kernel = word_after (request, words.options);
        words.file = words.kernel[0] ? word_after (request, words.kernel) : "";
    }
    return words;
}

/* The compiler counts lines as the file that holds the source does. */
static pxi_bytes *make_text (const pxi_device_message *request, const build_words *words,
                             const pxi_device_memory *source)
{
    char head[512] = "";
    int n = words->file[0]
                ? snprintf (head, sizeof head, "#line %u \"%.400s\"\n", request->line, words->file)
                : 0;
    pxi_bytes *text = pxi_bytes_new ((size_t)n + request->size);
    if (text) {
        memcpy (pxi_bytes_data (text), head, (size_t)n);
        memcpy ((char *)pxi_bytes_data (text) + n, source->data, request->size);
    }
    return text;
}

/* The text holds options, version and source, so each change of any is another name. */
static void name_of (const pxi_helper *helper, const char *options, const pxi_bytes *text,
                     pxi_digest *digest)
{
    pxi_digest parts[3];
    pxi_digest_bytes (helper->version, strlen (helper->version), &parts[0]);
    pxi_digest_bytes (options, strlen (options), &parts[1]);
    pxi_digest_bytes (pxi_bytes_data (text), pxi_bytes_size (text), &parts[2]);
    pxi_digest_bytes (parts, sizeof parts, digest);
}

/* ---- building ---------------------------------------------------------------------------------
 */

static bool from_binary (pxi_helper *helper, pxi_helper_program *program, const char *options)
{
    pxi_bytes *binary = pxi_cache_load (helper->config->cache, &program->digest);
    if (!binary)
        return false;
    const unsigned char *data = pxi_bytes_data (binary);
    size_t size = pxi_bytes_size (binary);
    cl_int status = CL_SUCCESS, code = CL_SUCCESS;
    program->program = helper->cl->CreateProgramWithBinary (helper->context, 1, &helper->device,
                                                            &size, &data, &status, &code);
    if (code == CL_SUCCESS && status == CL_SUCCESS)
        code = helper->cl->BuildProgram (program->program, 1, &helper->device, options, NULL, NULL);
    pxi_bytes_release (binary);
    if (program->program && (code != CL_SUCCESS || status != CL_SUCCESS)) {
        helper->cl->ReleaseProgram (program->program);
        program->program = NULL;
    }
    return program->program != NULL;
}

static void store_binary (pxi_helper *helper, const pxi_helper_program *program)
{
    size_t size = 0;
    if (helper->cl->GetProgramInfo (program->program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size,
                                    NULL) != CL_SUCCESS ||
        size == 0)
        return;
    unsigned char *data = malloc (size);
    if (data && helper->cl->GetProgramInfo (program->program, CL_PROGRAM_BINARIES, sizeof data,
                                            &data, NULL) == CL_SUCCESS)
        pxi_cache_store (helper->config->cache, &program->digest, data, size);
    free (data);
}

static void keep_log (pxi_helper *helper, pxi_helper_program *program)
{
    size_t size = 0;
    helper->cl->GetProgramBuildInfo (program->program, helper->device, CL_PROGRAM_BUILD_LOG, 0,
                                     NULL, &size);
    program->log = calloc (1, size + 1);
    if (program->log)
        helper->cl->GetProgramBuildInfo (program->program, helper->device, CL_PROGRAM_BUILD_LOG,
                                         size, program->log, NULL);
}

static void from_source (pxi_helper *helper, pxi_helper_program *program, const pxi_bytes *text,
                         const char *options)
{
    const char *data = pxi_bytes_data (text);
    size_t size = pxi_bytes_size (text);
    cl_int code;
    program->program =
        helper->cl->CreateProgramWithSource (helper->context, 1, &data, &size, &code);
    if (code == CL_SUCCESS)
        code = helper->cl->BuildProgram (program->program, 1, &helper->device, options, NULL, NULL);
    if (program->program)
        keep_log (helper, program);
    if (code == CL_SUCCESS)
        store_binary (helper, program);
    else
        program->err = PX_EFAILED;
}

static void take_kernel (pxi_helper *helper, pxi_helper_program *program, const char *name)
{
    cl_int code;
    program->kernel = helper->cl->CreateKernel (program->program, name, &code);
    size_t size = 0;
    if (code == CL_SUCCESS)
        code = helper->cl->GetKernelWorkGroupInfo (
            program->kernel, helper->device, CL_KERNEL_WORK_GROUP_SIZE, sizeof size, &size, NULL);
    program->local_size = size < PXI_HELPER_LOCAL_SIZE ? size : PXI_HELPER_LOCAL_SIZE;
    if (code == CL_SUCCESS)
        return;
    char room[32], text[256];
    snprintf (text, sizeof text, "kernel %.64s: %s", name,
              pxi_opencl_text (code, room, sizeof room));
    free (program->log);
    program->log = strdup (text);
    program->err = PX_EFAILED;
}

static bool build (pxi_helper *helper, pxi_helper_program *program, const pxi_bytes *text,
                   const build_words *words)
{
    char options[1024];
    snprintf (options, sizeof options, "-cl-std=CL1.2 %.1000s", words->options);
    name_of (helper, options, text, &program->digest);
    int lock = pxi_cache_lock (helper->config->cache, &program->digest);
    bool cached = from_binary (helper, program, options);
    if (!cached)
        from_source (helper, program, text, options);
    pxi_cache_unlock (lock);
    if (program->err == PX_OK)
        take_kernel (helper, program, words->kernel);
    return cached;
}

static void answer_build (const pxi_helper_program *program, pxi_device_message *answer)
{
    answer->err = program->err;
    if (program->log && program->log[0])
        pxi_device_message_add (answer, program->log);
    else if (program->err != PX_OK)
        pxi_device_message_add (answer,
                                "the kernel does not compile; the compiler gives no reason");
}

void pxi_helper_build (pxi_helper *helper, const pxi_device_message *request,
                       const pxi_device_memory *source, pxi_device_message *answer)
{
    pxi_helper_program *program = pxi_helper_program_find (helper, 0);
    build_words words = words_of (request);
    if (!program || !request->id || !words.kernel[0] || request->size > source->size) {
        pxi_helper_refuse (answer, program ? PX_EMALFORMED : PX_EFULL, "program %llu is refused",
                           (unsigned long long)request->id);
        return;
    }
    pxi_bytes *text = make_text (request, &words, source);
    if (!text) {
        pxi_helper_refuse (answer, PX_ENOMEM, "%s", px_err_text (PX_ENOMEM));
        return;
    }
    memset (program, 0, sizeof *program);
    program->id = request->id;
    answer->cached = build (helper, program, text, &words);
    pxi_bytes_release (text);
    answer_build (program, answer);
}

/* ---- keeping ----------------------------------------------------------------------------------
 */

pxi_helper_program *pxi_helper_program_find (pxi_helper *helper, uint64_t id)
{
    for (uint32_t i = 0; i < PXI_DEVICE_PROGRAMS_MAX; i++) {
        if (helper->programs[i].id == id)
            return &helper->programs[i];
    }
    return NULL;
}

void pxi_helper_forget (pxi_helper *helper, uint64_t id)
{
    pxi_helper_program *program = id ? pxi_helper_program_find (helper, id) : NULL;
    if (!program)
        return;
    if (program->kernel)
        helper->cl->ReleaseKernel (program->kernel);
    if (program->program)
        helper->cl->ReleaseProgram (program->program);
    free (program->log);
    memset (program, 0, sizeof *program);
}
