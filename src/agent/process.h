/* An executor in a process of its own, as the agent sees it: a program (px_exec) that has loaded
 * one module and hosts the pool of one job at a time. When a task takes it down, that is an error
 * of the attempt, and nothing else of this peer is touched. All calls are the loop thread's; none
 * blocks. */
#ifndef PXI_AGENT_PROCESS_H
#define PXI_AGENT_PROCESS_H

#include <sys/types.h>

#include <peerexec/executor.h>

#include "agent/pipe.h"
#include "exec/port.h"
#include "module/load.h"

typedef enum pxi_process_state {
    PXI_PROCESS_IDLE,   /* no job: may be opened for one of its module */
    PXI_PROCESS_OPEN,   /* hosts a job */
    PXI_PROCESS_ENDING, /* its pipe is broken or it was told to go: wait for its death */
} pxi_process_state;

typedef struct pxi_process {
    pxi_executor executor; /* the job's, while open */
    const pxi_module *module;
    pid_t pid;
    int pidfd;
    pxi_process_state state;
    bool unflushed;       /* commands wait for pxi_process_flush () */
    bool writable_wanted; /* the pipe is full: poll it for writing too */
    bool killed;          /* by us: its death says nothing about its tasks */
    pxi_pipe pipe;
    px_executor_page *page;
    struct {
        uint64_t id, used;         /* id 0 = none */
    } shared[PXI_PIPE_SHARED_MAX]; /* what it keeps */
    uint64_t n_shared_used;
    pxi_notify_fn *notify; /* of the job */
    void *notify_context;
    bool ready;        /* it has loaded the module */
    char refused[160]; /* why it could not; "" = it could, or has not said */
    px_err refused_err;
} pxi_process;

/* Start `program` for a module that lies in a shared object. PX_ESYSTEM, PX_ENOMEM; `why` as for
 * pxi_fail (). */
px_err pxi_process_start (const char *program, const pxi_module *module, uint64_t part_size_max,
                          pxi_process **process_p, char *why);
/* Open an idle process for a job. Its commands may be submitted at once. The executor's destroy
 * makes the process idle again, after PXI_NOTE_CLOSED; after PXI_NOTE_DIED it only lets go of it.
 */
px_err pxi_process_open (pxi_process *process, const pxi_executor_config *config, pxi_bytes *spec);

int pxi_process_fd (const pxi_process *process);
/* Its socket is readable or writable: notices go up, commands go down. At most `budget` notices;
 * true = there may be more. */
bool pxi_process_step (pxi_process *process, uint32_t budget);
/* Writes what was submitted since the last time: so commands that come together go together. */
void pxi_process_flush (pxi_process *process);
/* Ends an idle process the gentle way, a busy one with its next read. */
void pxi_process_end (pxi_process *process);
void pxi_process_kill (pxi_process *process);
/* Its pidfd is readable: it has died and is waited for here. Reads its last notices first, then, if
 * it was open, PXI_NOTE_DIED goes up. False: it has not died. */
bool pxi_process_reap (pxi_process *process);
/* After it was reaped, only. */
void pxi_process_free (pxi_process **process_p);

#endif
