/* UTS as tasks. The size of a subtree is not known before it is grown, so no cut-off by depth or
 * size is right for every tree. A task walks `chunk` nodes by itself; what is left on its stack
 * then goes to the subtasks of a branch, at most `pieces` of them, dealt like cards so that each
 * gets shallow (large) and deep (small) subtrees. A subtree that ends early never becomes a task.
 * `--chunk 1` is the other extreme: no cut-off at all, a task for every node that has children, as the
 * benchmark's authors give it to runtimes that claim to be cheap. Those are spawned and synced.
 *
 * Counts are folded as they come: a branch needs no memory for its results.
 * Structures travel as they are: only peers with the same module digest, so the same layout, run
 * them. */
#include "uts/kernel.h"

#include <peerexec/peerexec.h>
#include <stdlib.h>
#include <string.h>

PX_MODULE ("uts", "1.0")

/* A task's input: the tree, and nodes that have been counted but not expanded. */
typedef struct uts_work {
    uts_tree tree;
    uint64_t chunk, pieces;
    uint64_t n_nodes;
    uts_node nodes[];
} uts_work;

static size_t work_size (uint64_t n_nodes)
{
    return sizeof (uts_work) + n_nodes * sizeof (uts_node);
}

static px_err fold (void *total, uint64_t index, const px_outcome *outcome)
{
    if (outcome->code != PX_OK || outcome->bytes_size != sizeof (uts_count))
        return PX_EFAILED;
    uts_count_add (total, outcome->bytes);
    return PX_OK;
}

static px_err open_children (px_task *task, uts_count *total, px_branch *branch)
{
    px_branch_options options = PX_BRANCH_OPTIONS_INIT;
    options.react = fold;
    options.react_context = total;
    return px_branch_open (task, "uts.children", &options, branch);
}

/* Join, close, return the count. */
static px_err close_children (px_task *task, px_branch branch, px_err err, const uts_count *total)
{
    if (err == PX_OK)
        err = px_branch_join (branch);
    px_branch_close (branch);
    return err != PX_OK ? err : px_task_return (task, total, sizeof *total);
}

static px_err count (px_task *task, const void *input, size_t input_size);

/* Deal the stack out to subtasks: piece i gets nodes i, i + pieces, ... */
static px_err deal (px_branch branch, const uts_work *like, const uts_stack *stack)
{
    size_t n_pieces = stack->n < like->pieces ? stack->n : (size_t)like->pieces;
    size_t n_nodes_max = (stack->n + n_pieces - 1) / n_pieces;
    uts_work *work = malloc (work_size (n_nodes_max));
    if (work == NULL)
        return PX_ENOMEM;
    px_err err = PX_OK;
    *work = *like;
    for (size_t piece = 0; piece < n_pieces && err == PX_OK; piece++) {
        work->n_nodes = 0;
        for (size_t i = piece; i < stack->n; i += n_pieces)
            work->nodes[work->n_nodes++] = stack->nodes[i];
        err = px_branch_add (branch, count, work, work_size (work->n_nodes));
    }
    free (work);
    return err;
}

static px_err hand_out (px_task *task, const uts_work *like, const uts_stack *stack,
                        uts_count *total)
{
    px_branch branch;
    px_err err = open_children (task, total, &branch);
    if (err != PX_OK)
        return err;
    return close_children (task, branch, deal (branch, like, stack), total);
}

static px_err count (px_task *task, const void *input, size_t input_size)
{
    const uts_work *work = input;
    if (input_size < sizeof *work || input_size != work_size (work->n_nodes))
        return px_task_fail (task, "%zu bytes are no nodes of a tree", input_size);
    uts_stack stack = {0};
    uts_count total = {0};
    int failed = 0;
    for (uint64_t i = 0; i < work->n_nodes && !failed; i++)
        failed = uts_push (&stack, &work->nodes[i]);
    failed = failed || uts_walk (&work->tree, &stack, work->chunk, &total) < 0;
    px_err err = PX_ENOMEM;
    if (!failed && stack.n == 0)
        err = px_task_return (task, &total, sizeof total);
    else if (!failed)
        err = hand_out (task, work, &stack, &total);
    free (stack.nodes);
    return err;
}
PX_TASK (count)

/* ---- a task per node ---------------------------------------------------------------------------
 */

/* A node whose children are to be made: by one task, unless there are too many. */
typedef struct uts_litter {
    uts_node parent;
    uts_tree tree;
} uts_litter;
enum { LITTER_MAX = 16 };

PX_TYPED_TASK (litter, uts_litter, uts_count)

static px_err sync_all (px_task *task, px_subtask *subtasks, uint32_t n, uts_count *count)
{
    px_err err = PX_OK;
    while (n > 0 && err == PX_OK) {
        uts_count part;
        err = px_sync (task, &subtasks[--n], &part);
        if (err == PX_OK)
            uts_count_add (count, &part);
    }
    return err;
}

/* Few nodes but a binomial root have so many. */
static px_err halve (px_task *task, const uts_litter *work, uts_count *count)
{
    uts_litter less = *work, rest = *work;
    px_subtask subtask;
    less.parent.n_children -= (work->parent.n_children - work->parent.first) / 2;
    rest.parent.first = less.parent.n_children;
    px_err err = px_spawn (task, &litter_task, &rest, &subtask);
    if (err == PX_OK)
        err = litter (task, &less, count);
    return err != PX_OK ? err : sync_all (task, &subtask, 1, count);
}

/* Its room is not needed any more while they run: what stays on the stack for each level of a deep tree is
 * a third of this. */
__attribute__ ((noinline)) static px_err spawn_all (px_task *task, const uts_litter *work,
                                                    px_subtask *subtasks, uint32_t *n,
                                                    uts_count *count)
{
    uts_node inner[LITTER_MAX];
    uts_litter child = {.tree = work->tree};
    uint32_t n_inner = uts_expand (&work->tree, &work->parent, inner, count);
    px_err err = PX_OK;
    for (*n = 0; *n < n_inner && err == PX_OK; *n += err == PX_OK) {
        child.parent = inner[*n];
        err = px_spawn (task, &litter_task, &child, &subtasks[*n]);
    }
    return err;
}

static px_err litter (px_task *task, const uts_litter *work, uts_count *count)
{
    px_subtask subtasks[LITTER_MAX];
    uint32_t n;
    *count = (uts_count){0};
    if (work->parent.n_children - work->parent.first > LITTER_MAX)
        return halve (task, work, count);
    px_err err = spawn_all (task, work, subtasks, &n, count);
    return err != PX_OK ? err : sync_all (task, subtasks, n, count);
}

/* ---- the root ----------------------------------------------------------------------------------
 */

static px_err grow_by_node (px_task *task, const uts_options *options, uts_count *total)
{
    uts_litter work = {.tree = uts_tree_of (options)};
    uts_count below;
    uts_root (&work.tree, &work.parent);
    uts_count_node (&work.parent, total);
    px_err err = litter (task, &work, &below);
    if (err == PX_OK)
        uts_count_add (total, &below);
    return err;
}

/* The tree's first task is a subtask; its count becomes *total. */
static px_err grow_by_chunk (px_task *task, const uts_options *options, uts_count *total)
{
    _Alignas(uts_work) unsigned char bytes[sizeof (uts_work) + sizeof (uts_node)];
    uts_work *work = (uts_work *)bytes;
    *work = (uts_work){
        .tree = uts_tree_of (options), .chunk = options->chunk, .pieces = options->pieces};
    uts_root (&work->tree, work->nodes);
    work->n_nodes = work->nodes->n_children > 0;
    px_branch branch;
    px_err err = open_children (task, total, &branch);
    if (err != PX_OK)
        return err;
    uts_count_node (work->nodes, total);
    err = px_branch_add (branch, count, work, work_size (work->n_nodes));
    if (err == PX_OK)
        err = px_branch_join (branch);
    px_branch_close (branch);
    return err;
}

/* The root task: options as text in, the answer as text out. */
static px_err tree (px_task *task, const void *input, size_t input_size)
{
    uts_options options;
    char why[EXAMPLE_WHY_SIZE];
    if (example_parse (&example, input, input_size, &options, why) < 0)
        return px_task_fail (task, "%s", why);
    uts_count total = {0};
    px_err err = options.chunk > 1 ? grow_by_chunk (task, &options, &total)
                                   : grow_by_node (task, &options, &total);
    if (err != PX_OK)
        return err;
    example_answer answer = {0};
    uts_print (&total, &answer);
    err = px_task_return (task, answer.bytes, answer.size);
    example_answer_fini (&answer);
    return err;
}
PX_TASK (tree)
