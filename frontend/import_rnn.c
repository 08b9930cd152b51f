/* import_rnn.c -- RNN, GRU and LSTM: one matmul for the products of the whole sequence with W, then the op `recurrent`.
 *
 * Inside, everything is [seq, batch, ...]. Both directions are one op, unless their activations differ.
 *
 *   gates of W, R, bias   RNN: i   GRU: z r h   LSTM: i o f c
 */
#include <string.h>

#include "import_parts.h"
#include "recurrent.h"

enum { DIRECTIONS = 2 };

typedef struct Rnn {
    const CellInfo *cell;
    const char *const *default_act;
    Attr_recurrent attr[DIRECTIONS];
    bool by_batch;
    int64_t hidden;
    int directions;
    Value *x, *lengths;             /* x: [seq, batch, input]; lengths: i64[batch], or NULL */
} Rnn;

/* ---- attributes ---- */

/* The activations of direction d; parameters are handed out in order to those that take one. */
static bool activations_of(Importer *c, Rnn *r, int d)
{
    StrVec names = attr_strs(c, "activations");
    FloatVec alpha = attr_floats(c, "activation_alpha"), beta = attr_floats(c, "activation_beta");
    int n = r->cell->activations, a = 0, t = 0;
    const char **name = ARENA_ARRAY(c->m->arena, const char *, n);
    double *value = ARENA_ARRAY(c->m->arena, double, 2 * n);
    if (names.n && names.n != n * r->directions)
        return import_fail(c, "%d activations are given, %d are needed", names.n, n * r->directions);
    for (int i = 0; i < n * (d + 1); i++) {
        const char *given = names.n ? names.v[i] : r->default_act[i % n];
        const ActivationInfo *info = activation_find(given);
        if (!info)
            return import_fail(c, "there is no activation '%s'", given);
        name[i % n] = info->name;
        value[i % n] = info->nparam >= 1 && a < alpha.n ? alpha.v[a++] : info->alpha;
        value[n + i % n] = info->nparam >= 2 && t < beta.n ? beta.v[t++] : info->beta;
    }
    r->attr[d].activations = (StrVec){ n, name };
    r->attr[d].alpha = (FloatVec){ n, value };
    r->attr[d].beta = (FloatVec){ n, value + n };
    return true;
}

static bool same_activations(const Attr_recurrent *a, const Attr_recurrent *b)
{
    bool same = true;
    for (int i = 0; i < a->activations.n; i++)      /* names are those of the table */
        same &= a->activations.v[i] == b->activations.v[i] && a->alpha.v[i] == b->alpha.v[i] && a->beta.v[i] == b->beta.v[i];
    return same;
}

static bool rnn_attributes(Importer *c, Rnn *r)
{
    const char *s = attr_s(c, "direction", "forward");
    bool both = !strcmp(s, "bidirectional"), reverse = !strcmp(s, "reverse");
    if (!both && !reverse && strcmp(s, "forward"))
        return import_fail(c, "direction is '%s'", s);
    r->directions = both ? 2 : 1;
    for (int d = 0; d < r->directions; d++) {
        r->attr[d] = (Attr_recurrent){ .cell = r->cell->name, .clip = attr_f(c, "clip", 0), .reverse = reverse || d == 1,
                                       .linear_before_reset = r->cell->gates == 3 && attr_i(c, "linear_before_reset", 0),
                                       .input_forget = r->cell->has_c && attr_i(c, "input_forget", 0) };
        if (!activations_of(c, r, d))
            return false;
    }
    return true;
}

/* ---- operands ---- */

static bool rnn_operands(Importer *c, Rnn *r)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *w = in(c, 1), *rec = in(c, 2), *lengths = in(c, 4);
    if (!x || !w || !rec)
        return false;
    if (value_rank(x) != 3 || value_rank(w) != 3 || value_rank(rec) != 3)
        return import_fail(c, "the operands X, W and R must have rank 3");
    r->by_batch = attr_i(c, "layout", 0);
    r->x = r->by_batch ? mk_swap_axes(b, x, 0, 1) : x;
    int gates = r->cell->gates;
    if (!dim_is_const(value_dim(rec, 2)) || !dim_is(value_dim(rec, 1), gates * value_dim(rec, 2)->k) || !dim_is(value_dim(rec, 0), r->directions))
        return import_fail(c, "R is %s, which is not [%d, %d * hidden, hidden]", type_print(c->m, c->m->arena, &rec->type), r->directions, gates);
    r->hidden = value_dim(rec, 2)->k;
    if (!dim_is(value_dim(w, 0), r->directions) || !dim_is(value_dim(w, 1), gates * r->hidden))
        return import_fail(c, "W is %s, which does not go with %lld hidden units", type_print(c->m, c->m->arena, &w->type), (long long)r->hidden);
    r->lengths = lengths ? mk_cast_to(b, lengths, DT_i64) : NULL;
    return true;
}

/* Directions first .. first+n-1 of a value that has them as axis 0. */
static Value *span(Builder *b, const Rnn *r, Value *x, int first, int n)
{
    return !x || n == r->directions ? x : mk_range_slice(b, x, 0, first, n);
}

/* What is added ahead of the steps, [directions, gates * hidden]: both biases, but for the gate whose recurrent bias is apart (its second bias goes to *apart). */
static Value *bias_of(Builder *b, const Rnn *r, Value *bias, Value **apart)
{
    int64_t h = r->hidden, wide = r->cell->gates * h;
    int gate = cell_separate_gate(&r->attr[0]);
    if (gate < 0)
        return mk_add(b, mk_range_slice(b, bias, 1, 0, wide), mk_range_slice(b, bias, 1, wide, wide));
    *apart = mk_range_slice(b, bias, 1, wide + gate * h, h);
    Value *both = mk_add(b, mk_range_slice(b, bias, 1, 0, gate * h), mk_range_slice(b, bias, 1, wide, gate * h));
    return mk_concat2(b, both, mk_range_slice(b, bias, 1, gate * h, h), 1);
}

/* x * W + bias of every step: [seq, batch, n * gates * hidden] for n directions. */
static Value *input_products(Importer *c, const Rnn *r, int first, int n, Value **apart)
{
    Builder *b = &c->b;
    Value *x = r->x, *bias = span(b, r, in(c, 3), first, n);
    Dim wide = dim_const(b->m->dims, n * r->cell->gates * r->hidden);
    Dim flat[2] = { dim_product(b, x, 0, 2), value_dim(x, 2) }, full[3] = { value_dim(x, 0), value_dim(x, 1), wide };
    Value *w = mk_swap_axes(b, mk_reshape_to(b, span(b, r, in(c, 1), first, n), 2, (Dim[]){ wide, value_dim(in(c, 1), 2) }), 0, 1);
    Value *wx = mk_matmul(b, IN(mk_reshape_to(b, x, 2, flat), w), (Attr_matmul){ 0 });
    if (bias)
        wx = mk_add(b, wx, mk_reshape_to(b, bias_of(b, r, bias, apart), 1, &wide));
    return mk_reshape_to(b, wx, 3, full);
}

static Value *initial_state(Importer *c, const Rnn *r, int i, int first, int n)
{
    Value *x = in(c, i);
    return span(&c->b, r, x && r->by_batch ? mk_swap_axes(&c->b, x, 0, 1) : x, first, n);
}

/* ---- the op ---- */

/* n directions from `first` on, as one op. */
static Node *recurrent_node(Importer *c, const Rnn *r, int first, int n)
{
    Builder *b = &c->b;
    bool has_c = r->cell->has_c;
    Value *extra = has_c ? span(b, r, in(c, 7), first, n) : NULL;
    Value *wx = input_products(c, r, first, n, &extra), *rec = mk_swap_last(b, span(b, r, in(c, 2), first, n));
    Value *h0 = initial_state(c, r, 5, first, n), *c0 = has_c ? initial_state(c, r, 6, first, n) : NULL;
    return build_node(b, OP_recurrent, IN(wx, rec, r->lengths, h0, c0, extra), &r->attr[n == 1 ? first : 0], 2 + has_c);
}

/* Result i of all directions; they are axis 1 of Y, axis 0 of the states. */
static Value *joined(Builder *b, const Rnn *r, Node *const *part, int i)
{
    Value *first = &part[0]->out[i];
    Value *all = part[1] ? mk_concat2(b, first, &part[1]->out[i], i == 0) : first;
    if (!r->by_batch)
        return all;
    return i ? mk_swap_axes(b, all, 0, 1) : mk_transpose_perm(b, all, (int64_t[]){ 2, 0, 1, 3 });
}

static bool import_recurrent(Importer *c, const char *cell, const char *const *default_act)
{
    Rnn r = { .cell = cell_find(cell), .default_act = default_act };
    Node *part[DIRECTIONS] = { NULL };
    if (!rnn_attributes(c, &r) || !rnn_operands(c, &r))
        return false;
    bool apart = r.directions == 2 && !same_activations(&r.attr[0], &r.attr[1]);
    for (int d = 0; d < (apart ? 2 : 1); d++)
        if (!(part[d] = recurrent_node(c, &r, d, apart ? 1 : r.directions)))
            return false;
    for (int i = 0; i < part[0]->nout; i++)
        if (out_wanted(c, i) && !set_out(c, i, joined(&c->b, &r, part, i)))
            return false;
    return true;
}

bool import_rnn(Importer *c)
{
    return import_recurrent(c, "rnn", (const char *const[]){ "Tanh" });
}

bool import_gru(Importer *c)
{
    return import_recurrent(c, "gru", (const char *const[]){ "Sigmoid", "Tanh" });
}

bool import_lstm(Importer *c)
{
    return import_recurrent(c, "lstm", (const char *const[]){ "Sigmoid", "Tanh", "Tanh" });
}
