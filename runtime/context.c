/* context.c -- running a model: check the inputs, find the sizes, provide workspace and output memory, call the model's run function.
 *
 * A run in the steady state (same shapes as before) allocates nothing and asks the model for no sizes. The context owns
 *   - the workspace and, per port, a buffer: outputs that the caller gives no memory for, dense copies of strided inputs and outputs;
 *   - blocks: what the model allocated during the run because only the data decides the size; freed by the next run.
 */
#include <stdlib.h>
#include <string.h>

#include "rt.h"

typedef struct Buffer {
    void *data;
    uint64_t bytes;
} Buffer;

/* In front of every block that a model allocates; 64 bytes keep what follows aligned. */
typedef struct Block {
    _Alignas(64) struct Block *next, **prev;
} Block;

struct ingot_context {
    const ingot_model *model;
    ingot_parallel_for parallel_for;
    void *pool;
    ingot_pool *own_pool;
    ingot_image_decoder decode_image;
    void *(*allocate)(void *alloc_ctx, uint64_t bytes);
    void (*release)(void *alloc_ctx, void *p);
    void *alloc_ctx;
    bool sized;                     /* syms, out_dim and workspace_bytes hold */
    int64_t *syms, *next_syms;      /* n_symbols each */
    int64_t *out_dim;               /* dims of all outputs, one after the other; -1: only the data decides */
    uint64_t workspace_bytes;
    Buffer workspace;
    Buffer *in_buffer, *out_buffer; /* per port */
    ingot_tensor *in, *out;         /* what the model sees */
    bool *ours;                     /* per output, in this run: the context provides the memory */
    void **lent;                    /* per output: our memory that the last run handed out, or NULL */
    Block *blocks;
};

/* ---- memory ---- */

static void *default_allocate(void *alloc_ctx, uint64_t bytes)
{
    (void)alloc_ctx;
    void *p;
    return bytes <= SIZE_MAX - 64 && !posix_memalign(&p, 64, bytes ? (size_t)bytes : 64) ? p : NULL;
}

static void default_release(void *alloc_ctx, void *p)
{
    (void)alloc_ctx;
    free(p);
}

/* Make the buffer hold at least so many bytes; its contents are lost when it grows. */
static bool buffer_reserve(ingot_context *c, Buffer *b, uint64_t bytes)
{
    if (b->data && b->bytes >= bytes)
        return true;
    if (b->data)
        c->release(c->alloc_ctx, b->data);
    b->data = c->allocate(c->alloc_ctx, bytes);
    b->bytes = b->data ? bytes : 0;
    return b->data != NULL;
}

static void *block_allocate(void *context, uint64_t bytes)
{
    ingot_context *c = context;
    Block *b = bytes <= UINT64_MAX - sizeof *b ? c->allocate(c->alloc_ctx, bytes + sizeof *b) : NULL;
    if (!b)
        return NULL;
    *b = (Block){ .next = c->blocks, .prev = &c->blocks };
    if (b->next)
        b->next->prev = &b->next;
    c->blocks = b;
    return b + 1;
}

static void block_release(void *context, void *p)
{
    ingot_context *c = context;
    if (!p)
        return;
    Block *b = (Block *)p - 1;
    *b->prev = b->next;
    if (b->next)
        b->next->prev = b->prev;
    c->release(c->alloc_ctx, b);
}

static void blocks_free(ingot_context *c)
{
    while (c->blocks)
        block_release(c, c->blocks + 1);
}

/* ---- life ---- */

static int total_rank(const ingot_model *m)
{
    int n = 0;
    for (int i = 0; i < m->n_outputs; i++)
        n += m->output[i].rank;
    return n;
}

/* n objects at *at, which moves on; a first pass with *at == 0 measures. */
static void *carve(char *base, size_t *at, size_t size, int n)
{
    void *p = base ? base + *at : NULL;
    *at += (size * (size_t)n + 15) / 16 * 16;
    return p;
}

/* The context and its arrays are one block of memory. Returns its size. */
static size_t lay_out(char *base, const ingot_model *m, ingot_context *c)
{
    size_t at = 0;
    carve(base, &at, sizeof *c, 1);
    c->syms = carve(base, &at, sizeof *c->syms, m->n_symbols);
    c->next_syms = carve(base, &at, sizeof *c->next_syms, m->n_symbols);
    c->out_dim = carve(base, &at, sizeof *c->out_dim, total_rank(m));
    c->in_buffer = carve(base, &at, sizeof *c->in_buffer, m->n_inputs);
    c->out_buffer = carve(base, &at, sizeof *c->out_buffer, m->n_outputs);
    c->in = carve(base, &at, sizeof *c->in, m->n_inputs);
    c->out = carve(base, &at, sizeof *c->out, m->n_outputs);
    c->ours = carve(base, &at, sizeof *c->ours, m->n_outputs);
    c->lent = carve(base, &at, sizeof *c->lent, m->n_outputs);
    return at;
}

int ingot_context_new(const ingot_model *m, ingot_context **ctx, ingot_error *err)
{
    ingot_context plan = { .model = m, .allocate = default_allocate, .release = default_release };
    *ctx = NULL;
    if (!m || m->magic != INGOT_ABI_MAGIC || m->abi_version != INGOT_ABI_VERSION)
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "not a model of interface version %u", INGOT_ABI_VERSION);
    char *memory = calloc(1, lay_out(NULL, m, &plan));
    if (!memory)
        return ingot_fail(err, INGOT_ERR_MEMORY, "%s: out of memory", m->name);
    lay_out(memory, m, &plan);
    *ctx = memcpy(memory, &plan, sizeof plan);
    return ingot_fine(err);
}

void ingot_context_free(ingot_context *c)
{
    if (!c)
        return;
    blocks_free(c);
    if (c->workspace.data)
        c->release(c->alloc_ctx, c->workspace.data);
    for (int i = 0; i < c->model->n_inputs; i++)
        if (c->in_buffer[i].data)
            c->release(c->alloc_ctx, c->in_buffer[i].data);
    for (int i = 0; i < c->model->n_outputs; i++)
        if (c->out_buffer[i].data)
            c->release(c->alloc_ctx, c->out_buffer[i].data);
    ingot_pool_free(c->own_pool);
    free(c);
}

int ingot_set_threads(ingot_context *c, int threads, ingot_error *err)
{
    ingot_pool *pool = threads > 1 ? ingot_pool_new(threads) : NULL;
    if (threads > 1 && !pool)
        return ingot_fail(err, INGOT_ERR_MEMORY, "%s: out of memory for %d threads", c->model->name, threads);
    ingot_set_parallel_for(c, pool ? ingot_pool_run : NULL, pool);
    c->own_pool = pool;
    return ingot_fine(err);
}

void ingot_set_parallel_for(ingot_context *c, ingot_parallel_for run, void *pool)
{
    ingot_pool_free(c->own_pool);
    c->own_pool = NULL;
    c->parallel_for = run;
    c->pool = pool;
}

void ingot_set_image_decoder(ingot_context *c, ingot_image_decoder decode)
{
    c->decode_image = decode;
}

void ingot_set_allocator(ingot_context *c, void *(*allocate)(void *, uint64_t), void (*release)(void *, void *), void *alloc_ctx)
{
    c->allocate = allocate;
    c->release = release;
    c->alloc_ctx = alloc_ctx;
}

/* ---- inputs and sizes ---- */

/* Compare one input with its port; its symbolic dims go to syms, where the first mention of a symbol decides (-1: none yet). */
static int bind_input(const ingot_context *c, const ingot_port *p, const ingot_tensor *t, int64_t *syms, ingot_error *err)
{
    char got[160];
    if (p->dtype >= INGOT_SEQUENCE && t->dtype == p->dtype && t->rank == 1 && t->dim[0] >= 0 && !t->stride && (t->data || !t->dim[0]))
        return INGOT_OK;
    if (t->dtype != p->dtype)
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "input '%s' has type %s, the model expects %s", p->name, ingot_dtype_name(t->dtype),
                          ingot_dtype_name(p->dtype));
    if (p->dtype >= INGOT_SEQUENCE)
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "input '%s' is %s; it must have rank 1, as many tensors as its size says, and no strides", p->name,
                          p->dim_text[0]);
    if (t->rank != p->rank)
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "input '%s' has %d dimensions, the model expects %d", p->name, (int)t->rank, (int)p->rank);
    for (int i = 0; i < p->rank; i++) {
        int64_t want = p->dim[i], *sym = want < 0 ? &syms[-1 - want] : NULL;
        if (sym && *sym < 0)
            *sym = t->dim[i];
        want = sym ? *sym : want;
        if (t->dim[i] == want && want >= 0)
            continue;
        ingot_dims_text(t->rank, t->dim, got, sizeof got);
        if (sym)
            return ingot_fail(err, INGOT_ERR_ARGUMENT, "input '%s' has shape %s, but dimension %d (%s) is %lld elsewhere", p->name, got, i,
                              c->model->symbol[-1 - p->dim[i]], (long long)want);
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "input '%s' has shape %s, but dimension %d must be %lld", p->name, got, i, (long long)want);
    }
    return INGOT_OK;
}

/* Sizes that follow from the symbols; skipped when those are as before. */
static int find_sizes(ingot_context *c, ingot_error *err)
{
    const ingot_model *m = c->model;
    size_t bytes = sizeof *c->syms * (size_t)m->n_symbols;
    if (c->sized && (!bytes || !memcmp(c->syms, c->next_syms, bytes)))
        return INGOT_OK;
    if (bytes)
        memcpy(c->syms, c->next_syms, bytes);
    m->output_dims(c->syms, c->out_dim);
    c->workspace_bytes = m->workspace_size(c->syms);
    c->sized = c->workspace_bytes <= INT64_MAX;
    return c->sized ? INGOT_OK : ingot_fail(err, INGOT_ERR_ARGUMENT, "%s: inputs of these shapes need more memory than there is", m->name);
}

static int bind_inputs(ingot_context *c, const ingot_tensor *in, ingot_error *err)
{
    const ingot_model *m = c->model;
    for (int i = 0; i < m->n_symbols; i++)
        c->next_syms[i] = -1;
    for (int i = 0; i < m->n_inputs; i++) {
        int status = bind_input(c, &m->input[i], &in[i], c->next_syms, err);
        if (status)
            return status;
    }
    return find_sizes(c, err);
}

/* Whether an input lies in an output of the last run, whose memory this run is about to reuse. */
static bool is_lent(const ingot_context *c, const void *data)
{
    for (int i = 0; i < c->model->n_outputs; i++)
        if (data && c->lent[i] == data)
            return true;
    return false;
}

/* The dense input that the model reads: the caller's memory, or a copy if it has strides or is an earlier output. */
static int take_input(ingot_context *c, int i, const ingot_tensor *t, ingot_error *err)
{
    const char *name = c->model->input[i].name;
    int64_t count = ingot_count(t), size = (int64_t)ingot_dtype_bytes(t->dtype);
    c->in[i] = *t;
    c->in[i].stride = NULL;
    if (t->dtype >= INGOT_SEQUENCE)
        return is_lent(c, t->data) ? ingot_fail(err, INGOT_ERR_ARGUMENT, "input '%s' is an output of the last run, which this run would free", name) : INGOT_OK;
    if (count < 0 || count > INT64_MAX / size)
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "input '%s' has more elements than memory holds", name);
    if (count && !t->data)
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "input '%s' has no data", name);
    if (ingot_is_contiguous(t) && !is_lent(c, t->data))
        return INGOT_OK;
    if (!buffer_reserve(c, &c->in_buffer[i], (uint64_t)(count * size)))
        return ingot_fail(err, INGOT_ERR_MEMORY, "input '%s': out of memory", name);
    c->in[i].data = c->in_buffer[i].data;
    ingot_gather(t, c->in[i].data);
    return INGOT_OK;
}

/* ---- outputs ---- */

static bool is_decided(int rank, const int64_t *dim)
{
    for (int i = 0; i < rank; i++)
        if (dim[i] < 0)
            return false;
    return true;
}

static int check_output(const ingot_port *p, const ingot_tensor *t, const int64_t *dim, bool decided, ingot_error *err)
{
    char got[160], want[160];
    if (t->dtype != p->dtype)
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "output '%s' has type %s, its buffer was given as %s", p->name, ingot_dtype_name(p->dtype),
                          ingot_dtype_name(t->dtype));
    if (!decided && (t->stride || ingot_count(t) < 0))
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "output '%s': only the data decides its shape, so its buffer must be contiguous", p->name);
    if (!decided)
        return INGOT_OK;
    if (t->rank == p->rank && (!p->rank || !memcmp(t->dim, dim, sizeof *dim * (size_t)p->rank)))
        return INGOT_OK;
    ingot_dims_text(p->rank, dim, want, sizeof want);
    ingot_dims_text(t->rank < 0 || t->rank > INGOT_MAX_RANK ? 0 : t->rank, t->dim, got, sizeof got);
    return ingot_fail(err, INGOT_ERR_ARGUMENT, "output '%s' has shape %s, its buffer was given as %s", p->name, want, got);
}

/* Where the model writes output i: the caller's buffer, ours, or NULL (it asks for memory when it knows the size). */
static int offer_output(ingot_context *c, int i, const int64_t *dim, const ingot_tensor *t, ingot_error *err)
{
    const ingot_port *p = &c->model->output[i];
    bool exported = p->dtype >= INGOT_SEQUENCE || p->dtype == INGOT_str;     /* the model makes it, with all that it points to */
    bool decided = !exported && is_decided(p->rank, dim), ours = c->ours[i];
    if (exported && !ours)
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "output '%s' cannot be written to a buffer: its memory is the context's", p->name);
    int status = ours ? INGOT_OK : check_output(p, t, dim, decided, err);
    c->out[i] = (ingot_tensor){ .dtype = p->dtype, .rank = p->rank };
    if (p->rank)
        memcpy(c->out[i].dim, dim, sizeof *dim * (size_t)p->rank);
    if (status || !decided)
        return status;
    if (!ours && ingot_is_contiguous(t)) {
        c->out[i].data = t->data;
        return INGOT_OK;
    }
    int64_t count = ingot_count(&c->out[i]), size = (int64_t)ingot_dtype_bytes(p->dtype);
    if (count < 0 || count > INT64_MAX / size || !buffer_reserve(c, &c->out_buffer[i], (uint64_t)(count * size)))
        return ingot_fail(err, INGOT_ERR_MEMORY, "output '%s': out of memory", p->name);
    c->out[i].data = c->out_buffer[i].data;
    return INGOT_OK;
}

/* Hand output i over: its shape, and its elements where they are not in place yet. */
static int deliver_output(ingot_context *c, int i, ingot_tensor *t, ingot_error *err)
{
    const ingot_tensor *from = &c->out[i];
    c->lent[i] = NULL;
    if (c->ours[i]) {
        *t = *from;
        c->lent[i] = from->data;
        return INGOT_OK;
    }
    int64_t room = ingot_count(t), count = ingot_count(from);
    if (count > room)
        return ingot_fail(err, INGOT_ERR_ARGUMENT, "output '%s' has %lld elements, its buffer has room for %lld", c->model->output[i].name,
                          (long long)count, (long long)room);
    t->rank = from->rank;
    memcpy(t->dim, from->dim, sizeof t->dim);
    if (from->data != t->data && count)
        ingot_scatter(t, from->data);
    return INGOT_OK;
}

int ingot_output_shapes(ingot_context *c, const ingot_tensor *in, ingot_tensor *out, ingot_error *err)
{
    int status = bind_inputs(c, in, err);
    if (status)
        return status;
    const int64_t *dim = c->out_dim;
    for (int i = 0; i < c->model->n_outputs; i++) {
        const ingot_port *p = &c->model->output[i];
        out[i].dtype = p->dtype;
        out[i].rank = p->rank;
        for (int k = 0; k < p->rank; k++)
            out[i].dim[k] = *dim++;
    }
    return ingot_fine(err);
}

uint64_t ingot_workspace_bytes(const ingot_context *c)
{
    return c->workspace_bytes;
}

/* ---- run ---- */

static int call_model(ingot_context *c, ingot_error *err)
{
    const ingot_model *m = c->model;
    char text[sizeof err->text] = "";
    if (c->workspace_bytes && !buffer_reserve(c, &c->workspace, c->workspace_bytes))
        return ingot_fail(err, INGOT_ERR_MEMORY, "%s: out of memory (%llu bytes of workspace)", m->name, (unsigned long long)c->workspace_bytes);
    ingot_call call = {
        .input = c->in, .output = c->out, .workspace = c->workspace.data, .workspace_bytes = c->workspace.bytes, .parallel_for = c->parallel_for,
        .pool = c->pool, .allocate = block_allocate, .release = block_release, .alloc_ctx = c, .error = text, .error_bytes = sizeof text,
        .decode_image = c->decode_image,
    };
    int status = m->run(&call);
    return status ? ingot_fail(err, status, "%s", text[0] ? text : "the model failed without a message") : INGOT_OK;
}

/* After a failed run nobody holds our memory. */
static void withdraw_outputs(ingot_context *c, ingot_tensor *out)
{
    for (int i = 0; i < c->model->n_outputs; i++) {
        c->lent[i] = NULL;
        if (c->ours[i])
            out[i].data = NULL;
    }
}

int ingot_run(ingot_context *c, const ingot_tensor *in, ingot_tensor *out, ingot_error *err)
{
    const ingot_model *m = c->model;
    int status = bind_inputs(c, in, err);
    for (int i = 0; !status && i < m->n_inputs; i++)
        status = take_input(c, i, &in[i], err);
    if (status)
        return status;
    for (int i = 0; i < m->n_outputs; i++)
        c->ours[i] = !out[i].data || out[i].data == c->lent[i];
    const int64_t *dim = c->out_dim;
    for (int i = 0; !status && i < m->n_outputs; dim += m->output[i++].rank)
        status = offer_output(c, i, dim, &out[i], err);
    blocks_free(c);
    if (!status)
        status = call_model(c, err);
    for (int i = 0; !status && i < m->n_outputs; i++)
        status = deliver_output(c, i, &out[i], err);
    if (status)
        withdraw_outputs(c, out);
    return status ? status : ingot_fine(err);
}
