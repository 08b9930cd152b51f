/* import_sequence.c -- sequences and optionals.
 *
 * A sequence that is built and taken apart in the same graph dissolves: seq_make remembers its items, so that taking one, counting or joining them needs
 * no sequence. What enters from outside, or goes around a loop, stays one. An item's sizes become symbols when it is taken out, as far as the type of
 * the sequence leaves them open.
 */
#include "import_loop.h"

#include <string.h>

static bool is_container(const Value *v) { return v->type.kind != TY_TENSOR; }

static bool sequence(Importer *c, int i)
{
    return in(c, i) && (in(c, i)->type.kind == TY_SEQUENCE || import_fail(c, "input %d is not a sequence", i));
}

/* The node that lists the items, if it is in sight. */
static const Node *made_of(const Value *v)
{
    while (v->def->op == OP_seq_as)
        v = node_in(v->def, 0);
    return v->def->op == OP_seq_make ? v->def : NULL;
}

static Value *make(Importer *c, TypeKind kind, int n, Value *const *item, DType elem)
{
    return mk_seq_make(&c->b, (Inputs){ n, item }, (Attr_seq_make){ .kind = kind, .elem = n ? DT_none : elem });
}

/* Position as a number, wrapped and within 0 .. n; -1: not known. */
static int64_t known_position(Importer *c, int i, int64_t n, int64_t otherwise)
{
    const Tensor *t = in_constant(c, i);
    if (!in(c, i))
        return otherwise;
    if (!t || t->count != 1)
        return -1;
    int64_t at = tensor_get_i64(t, 0);
    at = at < 0 ? at + n : at;
    return at >= 0 && at <= n ? at : -1;
}

/* ---- building ---- */

bool import_sequence_construct(Importer *c)
{
    OUT(c, make(c, TY_SEQUENCE, in_count(c), c->input, DT_f32));
}

bool import_sequence_empty(Importer *c)
{
    OUT(c, make(c, TY_SEQUENCE, 0, NULL, attr_dtype(c, "dtype", DT_f32)));
}

/* Items of a list with one more at `at`, or one less. */
static Value *edited(Importer *c, const Node *list, int64_t at, Value *extra)
{
    int n = 0;
    Value **item = ARENA_ARRAY(c->m->arena, Value *, list->nin + 1);
    for (int i = 0; i <= list->nin; i++) {
        if (extra && i == at)
            item[n++] = extra;
        if (i < list->nin && (extra || i != at))
            item[n++] = node_in(list, i);
    }
    return make(c, TY_SEQUENCE, n, item, node_out(list)->type.elem->dtype);
}

bool import_sequence_insert(Importer *c)
{
    if (!sequence(c, 0) || !in(c, 1))
        return false;
    const Node *list = made_of(in(c, 0));
    int64_t at = list ? known_position(c, 2, list->nin, list->nin) : -1;
    if (at >= 0)
        OUT(c, edited(c, list, at, in(c, 1)));
    OUT(c, mk_seq_insert(&c->b, IN(in(c, 0), in(c, 1), in(c, 2)), (Attr_seq_insert){ 0 }));
}

bool import_sequence_erase(Importer *c)
{
    if (!sequence(c, 0))
        return false;
    const Node *list = made_of(in(c, 0));
    int64_t at = list ? known_position(c, 1, list->nin, list->nin - 1) : -1;
    if (at >= 0 && at < list->nin)
        OUT(c, edited(c, list, at, NULL));
    OUT(c, mk_seq_erase(&c->b, IN(in(c, 0), in(c, 1)), (Attr_seq_erase){ 0 }));
}

/* ---- taking apart ---- */

/* Sizes: those the type says, and for the others symbols that are read from `shape`. */
static bool sizes_of(Importer *c, Value *shape, const Type *item, int rank, DimVec *out)
{
    Dim *d = ARENA_ARRAY(c->m->arena, Dim, rank + 1), *sym = ARENA_ARRAY(c->m->arena, Dim, rank + 1);
    bool open = false;
    for (int i = 0; i < rank; i++) {
        bool said = item && item->rank == rank && item->dim[i]->k >= 0;
        sym[i] = dim_fresh(c->m->dims, "u", NULL);
        d[i] = said ? item->dim[i] : sym[i];
        open |= !said;
    }
    *out = (DimVec){ rank, d };
    return !open || (shape && build_node(&c->b, OP_bind, IN(shape), &(Attr_bind){ .syms = { rank, sym } }, 0));
}

/* Where the sequence leaves the rank open, what the model declares for the result decides; at run time an item of another rank is refused. */
static bool rank_of_result(Importer *c, const Type *item, int more_axes, int *rank)
{
    Type declared;
    *rank = item->rank + more_axes;
    if (item->kind == TY_TENSOR && item->rank >= 0)
        return true;
    bool known = item->kind == TY_TENSOR && out_declared(c, 0, &declared) && declared.kind == TY_TENSOR && declared.rank >= more_axes;
    *rank = known ? declared.rank : 0;
    return known || import_unsupported(c, "an item whose rank neither the sequence nor the model's declaration of the result says");
}

static Value *item_at(Importer *c, Value *s, Value *position)
{
    const Type *item = s->type.elem;
    DimVec shape;
    int rank;
    if (item->kind != TY_TENSOR)
        return mk_seq_get(&c->b, IN(s), (Attr_seq_get){ 0 });
    if (!rank_of_result(c, item, 0, &rank))
        return NULL;
    Value *said = mk_seq_shape(&c->b, IN(s, position), (Attr_seq_shape){ .rank = rank });
    return sizes_of(c, said, item, rank, &shape) ? mk_seq_at(&c->b, IN(s, position), (Attr_seq_at){ .shape = shape }) : NULL;
}

bool import_sequence_at(Importer *c)
{
    if (!sequence(c, 0) || !in(c, 1))
        return false;
    const Node *list = made_of(in(c, 0));
    int64_t at = list ? known_position(c, 1, list->nin, -1) : -1;
    if (at >= 0 && at < list->nin)
        OUT(c, node_in(list, (int)at));
    OUT(c, item_at(c, in(c, 0), in(c, 1)));
}

static Value *length_of(Importer *c, Value *s)
{
    const Node *list = made_of(s);
    return list ? mk_dim_scalar(&c->b, dim_const(c->m->dims, list->nin), DT_i64) : mk_seq_length(&c->b, IN(s), (Attr_seq_length){ 0 });
}

bool import_sequence_length(Importer *c)
{
    if (!sequence(c, 0))
        return false;
    OUT(c, length_of(c, in(c, 0)));
}

static Value *joined_items(Importer *c, const Node *list, int64_t axis, bool stack)
{
    Value **item = ARENA_ARRAY(c->m->arena, Value *, list->nin);
    for (int i = 0; i < list->nin; i++)
        item[i] = stack ? mk_insert_axes(&c->b, node_in(list, i), (int)axis, 1) : node_in(list, i);
    return mk_concat(&c->b, (Inputs){ list->nin, item }, (Attr_concat){ .axis = axis });
}

bool import_concat_from_sequence(Importer *c)
{
    bool stack = attr_i(c, "new_axis", 0), ok = true;
    if (!sequence(c, 0))
        return false;
    const Type *item = in(c, 0)->type.elem;
    int rank;
    if (!rank_of_result(c, item, stack, &rank))
        return false;
    int64_t axis = import_axis(c, attr_i(c, "axis", 0), rank, &ok);
    const Node *list = made_of(in(c, 0));
    if (!ok)
        return false;
    if (list && list->nin)
        OUT(c, joined_items(c, list, axis, stack));
    Value *said = mk_seq_concat_shape(&c->b, IN(in(c, 0)), (Attr_seq_concat_shape){ .axis = axis, .new_axis = stack, .rank = rank });
    Dim dim[MAX_RANK];
    for (int i = 0; i < rank; i++)
        dim[i] = i == axis || item->rank < 0 ? dim_const(c->m->dims, -1) : item->dim[i - (stack && i > axis)];
    Type joined = type_tensor(c->m, item->dtype, rank, dim);
    DimVec shape;
    OUT(c, sizes_of(c, said, &joined, rank, &shape) ? mk_seq_concat(&c->b, IN(in(c, 0)), (Attr_seq_concat){ .axis = axis, .new_axis = stack, .shape = shape }) : NULL);
}

/* ---- splitting ---- */

/* Pieces of known sizes are slices. */
static Value *slices(Importer *c, Value *x, int axis, int64_t n, const int64_t *size, bool drop)
{
    Value **piece = ARENA_ARRAY(c->m->arena, Value *, n + 1);
    for (int64_t i = 0, at = 0; i < n; at += size[i++]) {
        piece[i] = mk_range_slice(&c->b, x, axis, at, size[i]);
        piece[i] = drop ? mk_drop_axes(&c->b, piece[i], 1, (int64_t[]){ axis }) : piece[i];
    }
    return make(c, TY_SEQUENCE, (int)n, piece, x->type.dtype);
}

/* Sizes of the pieces where all is known and they are few; false otherwise. */
static bool known_pieces(Importer *c, Dim length, int64_t *n, const int64_t **size)
{
    enum { MAX_PIECES = 64 };
    const Tensor *split = in_constant(c, 1);
    if (!dim_is_const(length) || (in(c, 1) && !split))
        return false;
    int64_t *s = ARENA_ARRAY(c->m->arena, int64_t, MAX_PIECES), total = 0;
    int64_t chunk = !in(c, 1) ? 1 : split->rank ? 0 : tensor_get_i64(split, 0);
    for (*n = 0; chunk ? total < length->k : *n < split->count; total += s[(*n)++]) {
        if (*n == MAX_PIECES || chunk < 0)
            return false;
        s[*n] = !chunk ? tensor_get_i64(split, *n) : chunk < length->k - total ? chunk : length->k - total;
        if (s[*n] < 0)
            return false;
    }
    *size = s;
    return total == length->k;
}

bool import_split_to_sequence(Importer *c)
{
    bool ok = in(c, 0) != NULL, keep = attr_i(c, "keepdims", 1);
    int64_t axis = ok ? import_axis(c, attr_i(c, "axis", 0), value_rank(in(c, 0)), &ok) : 0, n;
    const int64_t *size;
    if (!ok)
        return false;
    if (known_pieces(c, value_dim(in(c, 0), (int)axis), &n, &size))
        OUT(c, slices(c, in(c, 0), (int)axis, n, size, !in(c, 1) && !keep));
    OUT(c, mk_seq_split(&c->b, IN(in(c, 0), in(c, 1)), (Attr_seq_split){ .axis = axis, .keep = keep }));
}

/* ---- SequenceMap ---- */

typedef struct Mapped { Value *const *input; int n; } Mapped;

/* Item `number` of every sequence goes through the body; its results are appended to the states. */
static bool iterate_map(const LoopJob *job, Region *r, Value *number, Value *const *state, Value **out)
{
    Importer *c = job->c;
    const Mapped *m = job->ctx;
    Value **given = ARENA_ARRAY(c->m->arena, Value *, m->n + 1);
    for (int i = 0; i < m->n; i++) {
        given[i] = import_region_capture(c, r, m->input[i]);
        if (given[i] && is_container(given[i]))
            given[i] = item_at(c, given[i], number);
        if (!given[i])
            return false;
    }
    out[0] = NULL;
    if (!import_region_apply(c, "body", m->n, given, job->nstate, out + 1))
        return false;
    for (int i = 0; i < job->nstate; i++)
        out[1 + i] = mk_seq_insert(&c->b, IN(state[i], out[1 + i]), (Attr_seq_insert){ 0 });
    return true;
}

/* The element types of the results are found by importing the body once, for a graph that is thrown away. */
typedef struct Probe { Importer *c; const Mapped *m; int n; DType *type; } Probe;

static bool probe_types(void *ctx)
{
    Probe *p = ctx;
    Importer *c = p->c;
    Captures captures = { 0 };
    Value **out = ARENA_ARRAY(c->m->arena, Value *, p->n + 2), **given = ARENA_ARRAY(c->m->arena, Value *, p->m->n + 1);
    Region *r = import_region_open(c, NULL, 0, &captures);
    bool ok = true;
    for (int i = 0; ok && i < p->m->n; i++) {
        given[i] = import_region_capture(c, r, p->m->input[i]);
        if (is_container(given[i]))
            given[i] = item_at(c, given[i], mk_dim_scalar(&c->b, dim_const(c->m->dims, 0), DT_i64));
        ok = given[i] != NULL;
    }
    ok = ok && import_region_apply(c, "body", p->m->n, given, p->n, out);
    for (int i = 0; ok && i < p->n; i++)
        p->type[i] = out[i] ? out[i]->type.dtype : DT_none;
    import_region_close(c, r, 0, NULL);
    return ok;
}

bool import_sequence_map(Importer *c)
{
    int n = region_results(c, "body");
    Mapped m = { c->input, in_count(c) };
    if (!sequence(c, 0) || n < out_count(c))
        return false;
    Value **state = ARENA_ARRAY(c->m->arena, Value *, n + 1), **out = ARENA_ARRAY(c->m->arena, Value *, n + 1);
    Probe p = { c, &m, n, ARENA_ARRAY(c->m->arena, DType, n + 1) };
    if (!import_quietly(c, probe_types, &p))
        return probe_types(&p) && import_fail(c, "the body does not fit the inputs");
    for (int i = 0; i < n; i++)
        state[i] = make(c, TY_SEQUENCE, 0, NULL, p.type[i]);
    LoopJob job = { .c = c, .go = mk_scalar(&c->b, DT_bool, 1), .most = length_of(c, in(c, 0)), .nstate = n, .state = state, .iterate = iterate_map, .ctx = &m };
    return import_loop_build(&job, out) && set_outs(c, out_count(c), out);
}

/* ---- optionals ---- */

static Value *empty_optional(Importer *c, const Type *type)
{
    const Type *item = type->kind == TY_TENSOR ? type : type->elem;
    Value *none = make(c, TY_OPTIONAL, 0, NULL, item->dtype);
    Type like = type_of_container(c->m, TY_OPTIONAL, type);
    return type->kind == TY_TENSOR ? none : mk_as_type(&c->b, none, &like);
}

bool import_optional(Importer *c)
{
    Type type;
    if (in(c, 0))
        OUT(c, make(c, TY_OPTIONAL, 1, c->input, DT_none));
    if (!attr_type(c, "type", &type))
        return import_fail(c, "there is neither an input nor a type");
    OUT(c, empty_optional(c, &type));
}

/* Before opset 18 the input is an optional; since then it may be what the optional would hold. */
bool import_optional_get_element(Importer *c)
{
    Value *x = in(c, 0);
    if (!x || x->type.kind != TY_OPTIONAL)
        OUT(c, x);
    const Node *list = made_of(x);
    if (list && list->nin)
        OUT(c, node_in(list, 0));
    OUT(c, item_at(c, x, mk_dim_scalar(&c->b, dim_const(c->m->dims, 0), DT_i64)));
}

bool import_optional_has_element(Importer *c)
{
    Value *x = in(c, 0);
    if (!x || x->type.kind != TY_OPTIONAL)
        OUT(c, mk_scalar(&c->b, DT_bool, x != NULL));
    Value *n = length_of(c, x);
    OUT(c, n ? mk_ne(&c->b, n, mk_scalar(&c->b, DT_i64, 0)) : NULL);
}
