/* eval.c -- the evaluator's driver: one node, a graph, a module.
 *
 * eval_graph frees as it goes. Every node allocates in an arena of its own, held by an Owner that counts the results still to be used;
 * a result that shares an operand's data (reshape) keeps the operand's Owner alive below its own. Constants are borrowed; a
 * splat is written out only for the node that reads it.
 */
#include "eval_ops.h"
#include "kernel_args.h"
#include "scratch.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static EvalFn *const eval_table[OP_count] = {
#define EW(name, arity, types, result, formula) [OP_##name] = eval_elementwise,
#define OP(name, min_in, max_in, nout, flags) [OP_##name] = eval_##name,
#include "ops.def"
};

bool eval_fail(EvalEnv *e, const Node *n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(e->m->arena, fmt, ap);
    va_end(ap);
    return diag_error(e->m->diag, n->loc, "%s: %s", op_name(n->op), what);
}

Tensor *eval_container(Arena *a)
{
    return tensor_new(a, DT_u8, 1, (int64_t[]){ CONTAINER_BYTES });
}

Tensor *eval_result(EvalEnv *e, const Node *n, int i)
{
    const Type *t = &n->out[i].type;
    if (t->kind != TY_TENSOR)
        return eval_container(e->arena);
    int64_t dim[MAX_RANK], bytes = dtype_bytes(t->dtype);
    for (int k = 0; k < t->rank; k++) {
        dim[k] = dim_eval(t->dim[k], e->syms);
        if (dim[k] < 0 || __builtin_mul_overflow(bytes, dim[k] ? dim[k] : 1, &bytes) || bytes > INT64_MAX / 4) {
            eval_fail(e, n, "the result would have size %lld along axis %d", (long long)dim[k], k);
            return NULL;
        }
    }
    return tensor_new(e->arena, t->dtype, t->rank, dim);
}

/* Data borrowed from a model file may lie anywhere; the loops want elements at multiples of their size. */
static const Tensor *aligned(Arena *a, const Tensor *t)
{
    if (!t || !t->count || (uintptr_t)t->data % (uintptr_t)dtype_bytes(t->dtype) == 0)
        return t;
    Tensor *copy = tensor_new(a, t->dtype, t->rank, t->dim);
    memcpy(eval_data(copy), t->data, tensor_bytes(t));
    return copy;
}

/* Inference lets two symbolic sizes broadcast; at run time each must be 1 or the size of the result. */
static bool operands_broadcast(EvalEnv *e, const Node *n, const Tensor *const *in)
{
    const Type *t = &n->out[0].type;
    for (int i = 0; i < n->nin; i++)
        for (int k = 0; k < in[i]->rank; k++) {
            int64_t size = dim_eval(t->dim[t->rank - in[i]->rank + k], e->syms);
            if (in[i]->dim[k] != 1 && in[i]->dim[k] != size)
                return eval_fail(e, n, "axis %d of operand %d has size %lld, which does not broadcast to %lld", k, i, (long long)in[i]->dim[k],
                                 (long long)size);
        }
    return true;
}

/* Views and regions may return an operand's own data, so theirs is passed on as it is. */
bool eval_node(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    EvalEnv own = { e->arena, e->m, e->syms, arena_new() };
    const Tensor **operand = ARENA_ARRAY(own.scratch, const Tensor *, n->nin + 1);
    bool as_it_is = op_table[n->op].flags & (OPF_VIEW | OPF_REGION);
    for (int i = 0; i < n->nin; i++)
        operand[i] = as_it_is ? in[i] : aligned(own.scratch, in[i]);
    bool ok = !(op_table[n->op].flags & OPF_EW) || operands_broadcast(&own, n, operand);
    ok = ok && eval_table[n->op](&own, n, operand, out);
    arena_free(own.scratch);
    return ok;
}

/* ---- KERNEL ops ---- */

static const char *const status_text[] = {
#define KERROR(name, number, sentence) [K_##name] = sentence,
#include "errors.def"
#undef KERROR
};

/* Buffers for data-sized results are made for the largest size; the symbol has that value until the kernel has run. */
static bool assume_bounds(EvalEnv *e, const Node *n)
{
    DimVec def = node_defined_symbols(n);
    for (int i = 0; i < def.n; i++) {
        Dim bound = dim_upper(e->m->dims, def.v[i]);
        if (!bound)
            return eval_fail(e, n, "the size %s has no upper bound", dim_print(e->m->dims, e->scratch, def.v[i]));
        e->syms[def.v[i]->k] = dim_eval(bound, e->syms);
    }
    return true;
}

static void set_defined(EvalEnv *e, const Node *n, const KTensor *out)
{
    DimVec def = node_defined_symbols(n);
    for (int i = 0; i < def.n; i++)
        for (int o = 0; o < n->nout; o++)
            for (int k = 0; k < out[o].rank; k++)
                if (n->out[o].type.dim[k] == def.v[i])
                    e->syms[def.v[i]->k] = out[o].dim[k];
}

static int64_t *attr_values(EvalEnv *e, const Node *n)
{
    DimVec w = kernel_attr_words(e->m, e->scratch, n);
    int64_t *v = ARENA_ARRAY(e->scratch, int64_t, w.n + 1);
    for (int i = 0; i < w.n; i++)
        v[i] = dim_eval(w.v[i], e->syms);
    return v;
}

static KTensor kernel_tensor(EvalEnv *e, const Value *v, const Tensor *t)
{
    if (!t)
        return (KTensor){ .data = NULL };
    if (v->type.kind != TY_TENSOR)
        return (KTensor){ .data = eval_data(t) };
    int64_t *dim = arena_copy(e->arena, t->dim, sizeof *dim * (size_t)t->rank);
    return (KTensor){ eval_data(t), dtype_table[t->dtype].onnx, t->rank, dim };
}

/* What kernels keep lives as long as the module: a value may outlast the node that made it. */
static void *keep_in_arena(void *ctx, uint64_t bytes)
{
    return arena_alloc(ctx, (size_t)bytes);
}

bool eval_kernel(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    if (!assume_bounds(e, n))
        return false;
    KTensor *kin = ARENA_ARRAY(e->scratch, KTensor, n->nin + 1), *kout = ARENA_ARRAY(e->scratch, KTensor, n->nout + 1);
    Tensor **made = ARENA_ARRAY(e->scratch, Tensor *, n->nout + 1);
    for (int i = 0; i < n->nin; i++)
        kin[i] = kernel_tensor(e, n->in[i].val, in[i]);
    for (int i = 0; i < n->nout; i++) {
        if (!(made[i] = eval_result(e, n, i)))
            return false;
        kout[i] = kernel_tensor(e, &n->out[i], made[i]);
    }
    KMemory memory = { keep_in_arena, e->m->arena, NULL };
    KCall call = { .in = kin, .out = kout, .attr = attr_values(e, n), .nin = n->nin, .nout = n->nout, .decode_image = e->m->decode_image, .memory = &memory };
    call.scratch = arena_alloc(e->scratch, (size_t)dim_eval(node_scratch_bytes(e->m, n), e->syms) + 64);
    int32_t status = kernel_function(n->op)(&call);
    if (status != K_OK)
        return eval_fail(e, n, "%s", status_text[status]);
    for (int i = 0; i < n->nout; i++) {
        if (n->out[i].type.kind == TY_TENSOR) {
            made[i]->dim = kout[i].dim;
            made[i]->count = k_count(&kout[i]);
        }
        out[i] = made[i];
    }
    set_defined(e, n, kout);
    return true;
}

#define KOP(name, min_in, max_in, nout, flags) \
    bool eval_##name(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out) { return eval_kernel(e, n, in, out); }
#include "ops.def"

/* ---- conversions, graph ops ---- */

bool eval_cast(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    return eval_elementwise(e, n, in, out);
}

bool eval_bitcast(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    return eval_elementwise(e, n, in, out);
}

bool eval_input(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    (void)in, (void)out;
    return eval_fail(e, n, "the value of a graph input is not known here");
}

bool eval_constant(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    (void)e, (void)in;
    out[0] = NODE_ATTR(n, constant)->value;
    return true;
}

bool eval_return(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    (void)e, (void)n, (void)in, (void)out;
    return true;
}

bool eval_if(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    const Attr_if *a = NODE_ATTR(n, if);
    return eval_graph(e, tensor_get_i64(in[0], 0) ? a->then_graph : a->else_graph, n->nin - 1, in + 1, out);
}

bool eval_fused(EvalEnv *e, const Node *n, const Tensor *const *in, const Tensor **out)
{
    return eval_graph(e, NODE_ATTR(n, fused)->body, n->nin, in, out);
}

/* ---- a graph ---- */

typedef struct Owner {
    Arena *arena;
    int refs;
    struct Owner *below;            /* owns data that this one's results point into */
} Owner;

typedef struct Slot {
    const Tensor *t;
    Owner *owner;                   /* NULL: inputs and constants, nothing to free */
    int uses_left;
} Slot;

typedef struct Run {
    EvalEnv *env;
    Slot *slot;                     /* by value id - first_id */
    uint32_t first_id;
} Run;

static void owner_release(Owner *o)
{
    while (o && !--o->refs) {
        Owner *below = o->below;
        arena_free(o->arena);
        free(o);
        o = below;
    }
}

static Owner *owner_new(void)
{
    Owner *o = calloc(1, sizeof *o);
    if (!o)
        abort();
    *o = (Owner){ arena_new(), 1, NULL };
    return o;
}

static Slot *slot_of(Run *r, const Value *v)
{
    return &r->slot[v->id - r->first_id];
}

static bool run_slots(Run *r, const Graph *g)
{
    uint32_t lo = UINT32_MAX, hi = 0;
    FOR_EACH_NODE(n, g)
        for (int i = 0; i < n->nout; i++) {
            lo = n->out[i].id < lo ? n->out[i].id : lo;
            hi = n->out[i].id > hi ? n->out[i].id : hi;
        }
    r->first_id = lo;
    r->slot = calloc(lo <= hi ? (size_t)(hi - lo) + 1 : 1, sizeof *r->slot);
    if (!r->slot)
        abort();
    FOR_EACH_NODE(n, g)
        for (int i = 0; i < n->nout; i++)
            slot_of(r, &n->out[i])->uses_left = value_use_count(&n->out[i]);
    return true;
}

static void slot_drop(Slot *s)
{
    if (s->owner)
        owner_release(s->owner);
    s->owner = NULL;
    s->t = NULL;
}

/* A result that lies in the data of operand k must keep that data. */
static void keep_operand(const Tensor *result, const Tensor *operand, Owner *of_operand, Owner *self)
{
    if (of_operand && operand && operand->data == result->data && !self->below && of_operand != self) {
        of_operand->refs++;
        self->below = of_operand;
    }
}

static bool run_node(Run *r, const Node *n)
{
    Owner *self = owner_new(), *dense = owner_new();
    const Tensor **in = ARENA_ARRAY(self->arena, const Tensor *, n->nin + 1), **out = ARENA_ARRAY(self->arena, const Tensor *, n->nout + 1);
    Owner **of = ARENA_ARRAY(self->arena, Owner *, n->nin + 1);
    for (int i = 0; i < n->nin; i++) {
        Slot *s = n->in[i].val ? slot_of(r, n->in[i].val) : NULL;
        in[i] = s ? tensor_dense(dense->arena, s->t) : NULL;
        of[i] = s ? (s->t->splat ? dense : s->owner) : NULL;
    }
    EvalEnv env = { .arena = self->arena, .m = r->env->m, .syms = r->env->syms };
    bool ok = eval_node(&env, n, in, out);
    for (int i = 0; ok && i < n->nout; i++) {
        Slot *s = slot_of(r, &n->out[i]);
        s->t = out[i];
        s->owner = self;
        self->refs++;
        for (int k = 0; k < n->nin; k++)
            keep_operand(out[i], in[k], of[k], self);
        if (!s->uses_left)
            slot_drop(s);
    }
    for (int i = 0; i < n->nin; i++)
        if (n->in[i].val && !--slot_of(r, n->in[i].val)->uses_left)
            slot_drop(slot_of(r, n->in[i].val));
    owner_release(dense);
    owner_release(self);
    return ok;
}

static bool run_input(Run *r, const Node *n, int nin, const Tensor *const *in)
{
    int64_t i = NODE_ATTR(n, input)->index;
    if (i < 0 || i >= nin || !in[i])
        return eval_fail(r->env, n, "input %lld is missing", (long long)i);
    *slot_of(r, node_out(n)) = (Slot){ in[i], NULL, slot_of(r, node_out(n))->uses_left };
    return true;
}

/* Results outlive the run: those in memory of the run are copied. */
static void run_return(Run *r, const Node *n, const Tensor **out)
{
    for (int i = 0; i < n->nin; i++) {
        Slot *s = slot_of(r, n->in[i].val);
        if (!s->owner) {
            out[i] = tensor_dense(r->env->arena, s->t);
            continue;
        }
        Tensor *t = tensor_new(r->env->arena, s->t->dtype, s->t->rank, s->t->dim);
        if (t->count)
            memcpy(eval_data(t), s->t->data, tensor_bytes(t));
        out[i] = t;
    }
}

static bool run_one(Run *r, const Node *n, int nin, const Tensor *const *in, const Tensor **out)
{
    if (n->op == OP_input)
        return run_input(r, n, nin, in);
    if (n->op == OP_return) {
        run_return(r, n, out);
        return true;
    }
    if (n->op == OP_constant) {
        slot_of(r, node_out(n))->t = NODE_ATTR(n, constant)->value;
        return true;
    }
    return run_node(r, n);
}

bool eval_graph(EvalEnv *e, const Graph *g, int nin, const Tensor *const *in, const Tensor **out)
{
    Run r = { .env = e };
    bool ok = run_slots(&r, g);
    FOR_EACH_NODE(n, g)
        if (!(ok = run_one(&r, n, nin, in, out)))
            break;
    FOR_EACH_NODE(n, g)
        for (int i = 0; i < n->nout; i++)
            slot_drop(slot_of(&r, &n->out[i]));
    free(r.slot);
    return ok;
}

/* ---- a module: symbols from the shapes of its inputs ---- */

static const char *input_name(const Value *v, int i, Arena *a)
{
    return v->name ? v->name : arena_printf(a, "#%d", i);
}

static const char *shape_text(Arena *a, const Tensor *t)
{
    const char *s = arena_printf(a, "%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        s = arena_printf(a, "%s%s%lld", s, i ? "," : "", (long long)t->dim[i]);
    return arena_printf(a, "%s]", s);
}

static bool wrong_shape(Module *m, Arena *a, const Value *v, int i, const Tensor *t)
{
    return diag_error(m->diag, v->def->loc, "input '%s' is %s, the model takes %s", input_name(v, i, a), shape_text(a, t),
                      type_print(m, a, &v->type));
}

/* A plain symbol takes the size of the first axis it names; every later mention must agree with it. */
static bool bind_symbols(Module *m, Arena *a, const Value *v, int i, const Tensor *t, int64_t *syms, bool *set)
{
    if (v->type.kind != TY_TENSOR)
        return t->count == CONTAINER_BYTES || wrong_shape(m, a, v, i, t);
    if (t->dtype != v->type.dtype || t->rank != v->type.rank)
        return wrong_shape(m, a, v, i, t);
    for (int k = 0; k < t->rank; k++) {
        Dim d = v->type.dim[k];
        if (d->op != DIM_SYM || set[d->k])
            continue;
        syms[d->k] = t->dim[k];
        set[d->k] = true;
    }
    return true;
}

static bool check_sizes(Module *m, Arena *a, const Value *v, int i, const Tensor *t, const int64_t *syms)
{
    for (int k = 0; v->type.kind == TY_TENSOR && k < t->rank; k++)
        if (dim_eval(v->type.dim[k], syms) != t->dim[k])
            return wrong_shape(m, a, v, i, t);
    return true;
}

bool eval_module(Module *m, Arena *a, int nin, const Tensor *const *in, const Tensor **out)
{
    int want = graph_inputs(m->graph, NULL, 0);
    if (want != nin)
        return diag_error(m->diag, (Loc){ .file = m->file }, "the model has %d inputs, %d are given", want, nin);
    Value **v = ARENA_ARRAY(a, Value *, want + 1);
    graph_inputs(m->graph, v, want);
    int64_t *syms = ARENA_ARRAY(a, int64_t, dim_symbol_count(m->dims) + 1);
    bool *set = ARENA_ARRAY(a, bool, dim_symbol_count(m->dims) + 1);
    bool ok = true;
    for (int i = 0; i < nin; i++)
        ok &= bind_symbols(m, a, v[i], i, in[i], syms, set);
    for (int i = 0; ok && i < nin; i++)
        ok &= check_sizes(m, a, v[i], i, in[i], syms);
    return ok && eval_graph(&(EvalEnv){ .arena = a, .m = m, .syms = syms }, m->graph, nin, in, out);
}
