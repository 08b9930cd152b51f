/* import_loop.c -- Loop, and the way from an iteration to the op `loop`.
 *
 * A state whose size changes gets a symbol for it (ops.def). Which sizes change is found by trying: the body is imported with the states' types as
 * they begin; where an iteration makes something else of a size, that axis becomes a symbol, and the body is imported again.
 */
#include "import_loop.h"

#include <string.h>

typedef struct Attempt {
    const LoopJob *job;
    Importer *c;
    int first_symbol;               /* symbols from here on have their meaning inside the loop only */
    Type *type;                     /* of the states in an iteration */
    Attr_loop attr;
    Captures captures;
    Graph *body;
    bool endless;                   /* the body always says to go on */
    bool *unwrap;                   /* per state: an optional in the loop only */
} Attempt;

/* ---- symbols ---- */

static Dim new_size(Attempt *a, int64_t at)
{
    Module *m = a->c->m;
    Attr_loop *l = &a->attr;
    Dim *size = ARENA_ARRAY(m->arena, Dim, l->sizes.n + 1);
    int64_t *place = ARENA_ARRAY(m->arena, int64_t, l->at.n + 1);
    for (int i = 0; i < l->sizes.n; i++)
        size[i] = l->sizes.v[i], place[i] = l->at.v[i];
    size[l->sizes.n] = dim_fresh(m->dims, "u", NULL);
    place[l->at.n] = at;
    l->sizes = (DimVec){ l->sizes.n + 1, size };
    l->at = (IntVec){ l->at.n + 1, place };
    return size[l->sizes.n - 1];
}

static void free_axis(Attempt *a, int state, int axis)
{
    Type *t = &a->type[state];
    Dim dim[MAX_RANK];
    memcpy(dim, t->dim, sizeof *dim * (size_t)t->rank);
    dim[axis] = new_size(a, 16 * state + axis);
    *t = type_tensor(a->c->m, t->dtype, t->rank, dim);
}

static bool is_free(const Attempt *a, int state, int axis)
{
    for (int i = 0; i < a->attr.at.n; i++)
        if (a->attr.at.v[i] == 16 * state + axis)
            return true;
    return false;
}

static int free_all(Attempt *a)
{
    int n = 0;
    for (int i = 0; i < a->job->nstate; i++)
        for (int k = 0; k < a->type[i].rank; k++)
            if (!is_free(a, i, k))
                free_axis(a, i, k), n++;
    return n;
}

typedef struct Inner { const Attempt *a; bool found; } Inner;

static void see_symbol(void *ctx, int sym)
{
    Inner *in = ctx;
    in->found |= sym >= in->a->first_symbol && dim_symbol_at(in->a->c->m->dims, sym)->from_data;
}

static bool is_inner(const Attempt *a, Dim d)
{
    Inner in = { a, false };
    dim_symbols_used(d, see_symbol, &in);
    return in.found;
}

/* ---- an attempt ---- */

static bool always(const Value *v)
{
    const Tensor *t = value_constant(v);
    return t && t->dtype == DT_bool && t->count == 1 && tensor_get_i64(t, 0);
}

static Value *one_bool(Builder *b, Value *v)
{
    return v ? mk_reshape_to(b, v, 0, NULL) : NULL;
}

/* A sequence under the type that the state has. What an optional state becomes may come without the optional around it. */
static Value *as_state(Attempt *a, int i, Value *v)
{
    Builder *b = &a->c->b;
    Type both, *want = &a->type[i];
    if (!v || want->kind == TY_TENSOR)
        return v;
    if (want->kind == TY_OPTIONAL && v->type.kind != TY_OPTIONAL) {
        a->unwrap[i] = v->type.kind == TY_SEQUENCE;
        v = mk_seq_make(b, IN(v), (Attr_seq_make){ .kind = TY_OPTIONAL });
    }
    bool narrower = v && !type_equal(&v->type, want) && type_of_items(b->m, &v->type, want, &both) && type_equal(&both, want);
    return narrower ? mk_as_type(b, v, want) : v;
}

static Graph *import_body(Attempt *a)
{
    const LoopJob *job = a->job;
    Importer *c = a->c;
    int nres = 1 + job->nstate + job->nslice;
    Type *own = ARENA_ARRAY(c->m->arena, Type, 1 + job->nstate);
    Value **state = ARENA_ARRAY(c->m->arena, Value *, job->nstate + 1), **out = ARENA_ARRAY(c->m->arena, Value *, nres);
    own[0] = type_tensor(c->m, DT_i64, 0, NULL);
    memcpy(own + 1, a->type, sizeof *own * (size_t)job->nstate);
    a->captures = (Captures){ 0 };
    Region *r = import_region_open(c, own, 1 + job->nstate, &a->captures);
    for (int i = 0; i < job->nstate; i++)
        state[i] = import_region_input(r, 1 + i);
    bool ok = job->iterate(job, r, import_region_input(r, 0), state, out);
    if (ok && !out[0])
        out[0] = mk_scalar(&c->b, DT_bool, 1);
    for (int i = 0; ok && i < job->nstate; i++)
        out[1 + i] = as_state(a, i, out[1 + i]);
    out[0] = ok ? one_bool(&c->b, out[0]) : NULL;
    a->endless = ok && out[0] && always(out[0]);
    Graph *body = import_region_close(c, r, ok ? nres : 0, out);
    return ok ? body : NULL;
}

static bool try_body(void *ctx)
{
    Attempt *a = ctx;
    return (a->body = import_body(a)) != NULL;
}

/* Axes that an iteration changes become free; how many. -1: a state changes its rank or element type. */
static int free_what_changes(Attempt *a)
{
    int n = 0;
    const Node *ret = graph_return(a->body);
    for (int i = 0; i < a->job->nstate; i++) {
        const Type *t = &ret->in[1 + i].val->type;
        if (t->kind != TY_TENSOR && type_equal(t, &a->type[i]))
            continue;
        Type both;
        if (t->kind != TY_TENSOR && type_of_items(a->c->m, t, &a->type[i], &both)) {
            a->type[i] = both, n++;
            continue;
        }
        if (t->kind != a->type[i].kind || t->dtype != a->type[i].dtype || t->rank != a->type[i].rank)
            return -1;
        for (int k = 0; k < t->rank; k++)
            if (t->dim[k] != a->type[i].dim[k] && !is_free(a, i, k))
                free_axis(a, i, k), n++;
    }
    return n;
}

/* Imports the body until its states are what it makes of them. What is wrong with it is said in the last attempt only. */
static bool find_types(Attempt *a)
{
    int changed;
    do {
        if (!import_quietly(a->c, try_body, a)) {
            if (free_all(a) && import_quietly(a->c, try_body, a))
                return free_what_changes(a) == 0;
            return import_body(a) && import_fail(a->c, "the states do not fit the body");
        }
        changed = free_what_changes(a);
    } while (changed > 0);
    return changed == 0 || import_unsupported(a->c, "a state whose rank or element type an iteration changes");
}

/* ---- the node ---- */

static void name_slices(Attempt *a)
{
    const Node *ret = graph_return(a->body);
    for (int i = 0; i < a->job->nslice; i++) {
        int result = a->job->nstate + i;
        const Type *t = &ret->in[1 + result].val->type;
        for (int k = 0; k < t->rank; k++)
            if (is_inner(a, t->dim[k]))
                new_size(a, 16 * result + 1 + k);
    }
}

static Node *build(Attempt *a)
{
    const LoopJob *job = a->job;
    Importer *c = a->c;
    int n = 2 + job->nstate + a->captures.n;
    Value **operand = ARENA_ARRAY(c->m->arena, Value *, n);
    Type *own = ARENA_ARRAY(c->m->arena, Type, 1 + job->nstate);
    operand[0] = job->go, operand[1] = job->most;
    own[0] = type_tensor(c->m, DT_i64, 0, NULL);
    for (int i = 0; i < job->nstate; i++)
        operand[2 + i] = as_state(a, i, job->state[i]), own[1 + i] = a->type[i];
    for (int i = 0; i < a->captures.n; i++)
        operand[2 + job->nstate + i] = a->captures.outer[i];
    import_region_finish(c, a->body, own, 1 + job->nstate, &a->captures);
    name_slices(a);
    if (job->nslice && (!a->endless || !always(job->go) || !job->most->known))
        new_size(a, -1);
    a->attr.body = a->body;
    a->attr.states = job->nstate;
    return build_node(&c->b, OP_loop, (Inputs){ n, operand }, &a->attr, job->nstate + job->nslice);
}

bool import_loop_build(const LoopJob *job, Value **out)
{
    Importer *c = job->c;
    Attempt a = { .job = job, .c = c, .first_symbol = dim_symbol_count(c->m->dims), .type = ARENA_ARRAY(c->m->arena, Type, job->nstate + 1) };
    a.unwrap = ARENA_ARRAY(c->m->arena, bool, job->nstate + 1);
    for (int i = 0; i < job->nstate; i++) {
        if (!job->state[i])
            return false;
        a.type[i] = job->state[i]->type;
    }
    Node *n = job->go && job->most && find_types(&a) ? build(&a) : NULL;
    for (int i = 0; n && i < n->nout; i++)
        out[i] = i < job->nstate && a.unwrap[i] ? mk_seq_get(&c->b, IN(&n->out[i]), (Attr_seq_get){ 0 }) : &n->out[i];
    return n != NULL;
}

Dim import_loop_index(Builder *b, Value *number)
{
    Dim i = dim_fresh(b->m->dims, "i", NULL);
    return build_node(b, OP_bind, IN(number), &(Attr_bind){ .syms = dims_copy(b->m, 1, &i) }, 0) ? i : NULL;
}

/* ---- Loop ---- */

/* The body takes (number, condition, states...) and returns (condition, states..., slices...). When it runs the condition is true. */
static bool iterate_loop(const LoopJob *job, Region *r, Value *number, Value *const *state, Value **out)
{
    Importer *c = job->c;
    (void)r;
    Value **given = ARENA_ARRAY(c->m->arena, Value *, 2 + job->nstate);
    given[0] = number;
    given[1] = mk_scalar(&c->b, DT_bool, 1);
    for (int i = 0; i < job->nstate; i++)
        given[2 + i] = state[i];
    return import_region_apply(c, "body", 2 + job->nstate, given, 1 + job->nstate + job->nslice, out);
}

static Value *most_of(Importer *c)
{
    Builder *b = &c->b;
    if (in(c, 0))
        return mk_cast_to(b, mk_reshape_to(b, in(c, 0), 0, NULL), DT_i64);
    Tensor *t = tensor_new(c->m->arena, DT_i64, 0, NULL);
    *(int64_t *)(uintptr_t)t->data = INT64_MAX;
    return mk_tensor(b, t);
}

/* A condition that can be computed now is a constant from here on. */
static Value *go_of(Importer *c)
{
    const Tensor *known = in_constant(c, 1);
    if (!in(c, 1))
        return mk_scalar(&c->b, DT_bool, 1);
    return known && known->count == 1 ? mk_scalar(&c->b, DT_bool, tensor_get_i64(known, 0) != 0) : one_bool(&c->b, in(c, 1));
}

bool import_loop(Importer *c)
{
    int nstate = in_count(c) > 2 ? in_count(c) - 2 : 0, nslice = region_results(c, "body") - 1 - nstate;
    if (nslice < 0 || out_count(c) > nstate + nslice)
        return import_fail(c, "the body returns %d values; %d states and a condition are needed", region_results(c, "body"), nstate);
    Value **out = ARENA_ARRAY(c->m->arena, Value *, nstate + nslice + 1);
    LoopJob job = { .c = c, .go = go_of(c), .most = most_of(c), .nstate = nstate, .nslice = nslice, .state = c->input + 2, .iterate = iterate_loop };
    return import_loop_build(&job, out) && set_outs(c, out_count(c), out);
}
