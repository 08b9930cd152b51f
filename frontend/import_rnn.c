/* import_rnn.c -- RNN, GRU and LSTM, unrolled over a sequence of constant length.
 *
 * Inside, everything is [seq, batch, ...], one direction at a time. The products of the whole sequence with W are one matmul ahead of the steps;
 * a step slices its rows from it, adds the product of the state with R and applies the cell. Where sequence_lens is given, a step beyond a
 * sequence's end keeps the state and gives zeros; in the reverse direction the steps run from the last position down, so that the state
 * first moves at a sequence's own last element.
 *
 *   gates of W, R, bias   RNN: i   GRU: z r h   LSTM: i o f c
 */
#include <string.h>
#include <strings.h>

#include "import_parts.h"

enum { MAX_STEPS = 4096, MAX_ACTIVATIONS = 3 };

/* ---- activations ---- */

typedef Value *ActivationFn(Builder *b, Value *x, double alpha, double beta);

static Value *act_relu(Builder *b, Value *x, double alpha, double beta) { (void)alpha, (void)beta; return mk_relu(b, x); }
static Value *act_tanh(Builder *b, Value *x, double alpha, double beta) { (void)alpha, (void)beta; return mk_tanh(b, x); }
static Value *act_sigmoid(Builder *b, Value *x, double alpha, double beta) { (void)alpha, (void)beta; return mk_sigmoid(b, x); }
static Value *act_softplus(Builder *b, Value *x, double alpha, double beta) { (void)alpha, (void)beta; return mk_softplus(b, x); }
static Value *act_affine(Builder *b, Value *x, double alpha, double beta) { return mk_shifted(b, mk_scaled(b, x, alpha), beta); }
static Value *act_scaled_tanh(Builder *b, Value *x, double alpha, double beta) { return mk_scaled(b, mk_tanh(b, mk_scaled(b, x, beta)), alpha); }
static Value *act_hard_sigmoid(Builder *b, Value *x, double alpha, double beta) { return mk_clip(b, act_affine(b, x, alpha, beta), 0, 1); }

static Value *act_leaky_relu(Builder *b, Value *x, double alpha, double beta)
{
    (void)beta;
    return mk_where(b, mk_lt(b, x, mk_k(b, x, 0)), mk_scaled(b, x, alpha), x);
}

static Value *act_thresholded_relu(Builder *b, Value *x, double alpha, double beta)
{
    (void)beta;
    return mk_where(b, mk_lt(b, mk_k(b, x, alpha), x), x, mk_k(b, x, 0));
}

static Value *act_elu(Builder *b, Value *x, double alpha, double beta)
{
    (void)beta;
    return mk_where(b, mk_lt(b, x, mk_k(b, x, 0)), mk_scaled(b, mk_expm1(b, x), alpha), x);
}

static Value *act_softsign(Builder *b, Value *x, double alpha, double beta)
{
    (void)alpha, (void)beta;
    return mk_div(b, x, mk_shifted(b, mk_abs(b, x), 1));
}

static const struct ActivationRow {
    const char *name;
    ActivationFn *fn;
    int nparam;                     /* how many of activation_alpha and activation_beta it takes */
    double alpha, beta;             /* otherwise */
} activations[] = {
    { "Relu", act_relu, 0, 0, 0 }, { "Tanh", act_tanh, 0, 0, 0 }, { "Sigmoid", act_sigmoid, 0, 0, 0 }, { "Softplus", act_softplus, 0, 0, 0 },
    { "Softsign", act_softsign, 0, 0, 0 }, { "LeakyRelu", act_leaky_relu, 1, 0.01, 0 }, { "ThresholdedRelu", act_thresholded_relu, 1, 1, 0 },
    { "Elu", act_elu, 1, 1, 0 }, { "Affine", act_affine, 2, 1, 0 }, { "ScaledTanh", act_scaled_tanh, 2, 1, 1 },
    { "HardSigmoid", act_hard_sigmoid, 2, 0.2, 0.5 },
};

typedef struct Activation { ActivationFn *fn; double alpha, beta; } Activation;

static Value *activate(Builder *b, const Activation *f, Value *x)
{
    return f->fn(b, x, f->alpha, f->beta);
}

/* ---- one operator ---- */

typedef struct State { Value *h, *c; } State;
typedef struct Rnn Rnn;
/* One step: wx is the step's [batch, gates * hidden] of x * W + bias, or of x * W alone where the cell adds the bias itself. */
typedef State StepFn(Builder *b, const Rnn *r, Value *wx, State s);

struct Rnn {
    int gates, nact;                /* nact: activations per direction */
    bool has_cell;                  /* LSTM */
    const char *const *default_act;
    StepFn *step;
    /* attributes */
    double clip;                    /* 0: none */
    bool linear_before_reset, input_forget, by_batch;
    int64_t hidden, steps;
    int directions;
    Dim batch;
    DType type;
    Value *x, *lengths;             /* x: [seq, batch, input]; lengths: [batch, 1], or NULL */
    /* of the direction at hand */
    bool reverse;
    Activation act[MAX_ACTIVATIONS];
    Value *w, *rec;                 /* transposed: [input, gates*hidden] and [hidden, gates*hidden] */
    Value *bias_w, *bias_r;         /* [gates*hidden] or NULL; bias_r: only where the cell needs it apart */
    Value *peep[3];                 /* [hidden] of the gates i o f, or NULL */
};

static Value *clipped(Builder *b, const Rnn *r, Value *x)
{
    return r->clip > 0 ? mk_clip(b, x, -r->clip, r->clip) : x;
}

/* Gate number `i` of [.., gates*hidden]. */
static Value *gate(Builder *b, const Rnn *r, Value *x, int i)
{
    return x ? mk_range_slice(b, x, value_rank(x) - 1, i * r->hidden, r->hidden) : NULL;
}

static Value *recur(Builder *b, Value *h, Value *rec)
{
    return mk_matmul(b, IN(h, rec), (Attr_matmul){ 0 });
}

static Value *added(Builder *b, Value *x, Value *maybe)
{
    return maybe ? mk_add(b, x, maybe) : x;
}

/* h = f(x W + h R + bias) */
static State rnn_step(Builder *b, const Rnn *r, Value *wx, State s)
{
    Value *pre = mk_add(b, wx, recur(b, s.h, r->rec));
    return (State){ activate(b, &r->act[0], clipped(b, r, pre)), NULL };
}

/* z, r = f(x W + h R + bias); n = g(x W + (r*h) R + bias), or g(x W + r * (h R + bias)) with linear_before_reset; h = (1-z) n + z h */
static State gru_step(Builder *b, const Rnn *r, Value *wx, State s)
{
    Value *zr_rec = mk_range_slice(b, r->rec, 1, 0, 2 * r->hidden), *n_rec = gate(b, r, r->rec, 2);
    Value *zr = mk_add(b, mk_range_slice(b, wx, 1, 0, 2 * r->hidden), recur(b, s.h, zr_rec));
    if (r->bias_r)
        zr = mk_add(b, zr, mk_range_slice(b, r->bias_r, 0, 0, 2 * r->hidden));
    zr = clipped(b, r, zr);
    Value *z = activate(b, &r->act[0], gate(b, r, zr, 0)), *reset = activate(b, &r->act[0], gate(b, r, zr, 1));
    Value *n_bias = r->bias_r ? gate(b, r, r->bias_r, 2) : NULL;
    Value *n = r->linear_before_reset ? mk_mul(b, reset, added(b, recur(b, s.h, n_rec), n_bias))
                                      : added(b, recur(b, mk_mul(b, reset, s.h), n_rec), n_bias);
    n = activate(b, &r->act[1], clipped(b, r, mk_add(b, gate(b, r, wx, 2), n)));
    Value *one = mk_k(b, n, 1);
    return (State){ mk_add(b, mk_mul(b, mk_sub(b, one, z), n), mk_mul(b, z, s.h)), NULL };
}

static Value *peeped(Builder *b, const Rnn *r, Value *x, int i, Value *c)
{
    return r->peep[i] ? mk_add(b, x, mk_mul(b, r->peep[i], c)) : x;
}

/* i, f = f(.. + P c); c = f*c + i*g(..); o = f(.. + P c); h = o * h(c) */
static State lstm_step(Builder *b, const Rnn *r, Value *wx, State s)
{
    Value *all = mk_add(b, wx, recur(b, s.h, r->rec));
    Value *i = activate(b, &r->act[0], clipped(b, r, peeped(b, r, gate(b, r, all, 0), 0, s.c)));
    Value *f = r->input_forget ? mk_sub(b, mk_k(b, i, 1), i)
                               : activate(b, &r->act[0], clipped(b, r, peeped(b, r, gate(b, r, all, 2), 2, s.c)));
    Value *g = activate(b, &r->act[1], clipped(b, r, gate(b, r, all, 3)));
    Value *c = mk_add(b, mk_mul(b, f, s.c), mk_mul(b, i, g));
    Value *o = activate(b, &r->act[0], clipped(b, r, peeped(b, r, gate(b, r, all, 1), 1, c)));
    return (State){ mk_mul(b, o, activate(b, &r->act[2], c)), c };
}

/* ---- attributes and operands ---- */

static bool activation_find(Importer *c, const char *name, const struct ActivationRow **out)
{
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (!strcasecmp(name, activations[i].name)) {
            *out = &activations[i];
            return true;
        }
    return import_fail(c, "there is no activation '%s'", name);
}

/* The activations of direction d; parameters are handed out in order to those that take one. */
static bool activations_of(Importer *c, Rnn *r, int d)
{
    StrVec names = attr_strs(c, "activations");
    FloatVec alpha = attr_floats(c, "activation_alpha"), beta = attr_floats(c, "activation_beta");
    int a = 0, t = 0;
    if (names.n && names.n != r->nact * r->directions)
        return import_fail(c, "%d activations are given, %d are needed", names.n, r->nact * r->directions);
    for (int i = 0; i < r->nact * (d + 1); i++) {
        const struct ActivationRow *row = NULL;
        if (!activation_find(c, names.n ? names.v[i] : r->default_act[i % r->nact], &row))
            return false;
        Activation f = { row->fn, row->alpha, row->beta };
        if (row->nparam >= 1 && a < alpha.n)
            f.alpha = alpha.v[a++];
        if (row->nparam >= 2 && t < beta.n)
            f.beta = beta.v[t++];
        r->act[i % r->nact] = f;
    }
    return true;
}

static bool directions_of(Importer *c, Rnn *r)
{
    const char *s = attr_s(c, "direction", "forward");
    r->directions = strcmp(s, "bidirectional") ? 1 : 2;
    r->reverse = !strcmp(s, "reverse");
    return r->directions == 2 || r->reverse || !strcmp(s, "forward") || import_fail(c, "direction is '%s'", s);
}

static bool rnn_operands(Importer *c, Rnn *r)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *rec = in(c, 2), *lengths = in(c, 4);
    if (!x || !in(c, 1) || !rec)
        return false;
    if (value_rank(x) != 3 || value_rank(in(c, 1)) != 3 || value_rank(rec) != 3)
        return import_fail(c, "the operands X, W and R must have rank 3");
    r->by_batch = attr_i(c, "layout", 0);
    r->x = r->by_batch ? mk_swap_axes(b, x, 0, 1) : x;
    r->batch = value_dim(r->x, 1);
    r->type = x->type.dtype;
    if (!dim_is_const(value_dim(r->x, 0)) || value_dim(r->x, 0)->k > MAX_STEPS)
        return import_unsupported(c, "a sequence whose length is not constant (set it with --dim) or is above %d", MAX_STEPS);
    r->steps = value_dim(r->x, 0)->k;
    if (!dim_is_const(value_dim(rec, 2)) || !dim_is(value_dim(rec, 1), r->gates * value_dim(rec, 2)->k))
        return import_fail(c, "R is %s, which is not [directions, %d * hidden, hidden]", type_print(c->m, c->m->arena, &rec->type), r->gates);
    r->hidden = value_dim(rec, 2)->k;
    r->lengths = lengths ? mk_insert_axes(b, mk_cast_to(b, lengths, DT_i64), 1, 1) : NULL;
    r->clip = attr_f(c, "clip", 0);
    r->linear_before_reset = attr_i(c, "linear_before_reset", 0);
    r->input_forget = attr_i(c, "input_forget", 0);
    return directions_of(c, r) && (r->steps > 0 || import_unsupported(c, "an empty sequence"));
}

/* Operand i of direction d. */
static Value *of_direction(Importer *c, int i, int d)
{
    return in(c, i) ? mk_index(&c->b, in(c, i), 0, dim_const(c->m->dims, d)) : NULL;
}

static bool direction_weights(Importer *c, Rnn *r, int d)
{
    Builder *b = &c->b;
    int64_t width = r->gates * r->hidden;
    Value *bias = of_direction(c, 3, d), *peep = r->has_cell ? of_direction(c, 7, d) : NULL;
    r->w = mk_swap_last(b, of_direction(c, 1, d));
    r->rec = mk_swap_last(b, of_direction(c, 2, d));
    r->bias_w = bias ? mk_range_slice(b, bias, 0, 0, width) : NULL;
    r->bias_r = bias ? mk_range_slice(b, bias, 0, width, width) : NULL;
    for (int i = 0; i < 3; i++)
        r->peep[i] = peep ? gate(b, r, peep, i) : NULL;
    if (bias && !(r->gates == 3 && r->linear_before_reset)) {   /* both biases in one addition, ahead of the steps */
        r->bias_w = mk_add(b, r->bias_w, r->bias_r);
        r->bias_r = NULL;
    }
    return r->w && r->rec;
}

static Value *initial_state(Importer *c, const Rnn *r, int i, int d)
{
    Dim dim[2] = { r->batch, dim_const(c->m->dims, r->hidden) };
    if (!in(c, i))
        return mk_full(&c->b, r->type, 2, dim, 0);
    Value *all = r->by_batch ? mk_swap_axes(&c->b, in(c, i), 0, 1) : in(c, i);
    return mk_index(&c->b, all, 0, dim_const(c->m->dims, d));
}

/* ---- the steps ---- */

/* Past a sequence's end the state stays and the output is zero. */
static State masked(Builder *b, const Rnn *r, int64_t t, State old, State new, Value **y)
{
    if (!r->lengths)
        return new;
    Value *live = mk_lt(b, mk_k(b, r->lengths, (double)t), r->lengths);
    *y = mk_where(b, live, new.h, mk_k(b, new.h, 0));
    return (State){ mk_where(b, live, new.h, old.h), new.c ? mk_where(b, live, new.c, old.c) : NULL };
}

/* x * W + bias of every step: [seq, batch, gates * hidden]. */
static Value *input_products(Builder *b, const Rnn *r)
{
    Dim flat[2] = { dim_product(b, r->x, 0, 2), value_dim(r->x, 2) };
    Dim full[3] = { value_dim(r->x, 0), r->batch, dim_const(b->m->dims, r->gates * r->hidden) };
    Value *wx = mk_matmul(b, IN(mk_reshape_to(b, r->x, 2, flat), r->w), (Attr_matmul){ 0 });
    return mk_reshape_to(b, added(b, wx, r->bias_w), 3, full);
}

/* Runs one direction; ys[t] is [1, batch, hidden] at position t. */
static State run_direction(Importer *c, const Rnn *r, State s, Value **ys)
{
    Builder *b = &c->b;
    Value *wx = input_products(b, r);
    for (int64_t i = 0; i < r->steps && s.h && wx; i++) {
        int64_t t = r->reverse ? r->steps - 1 - i : i;
        State next = r->step(b, r, mk_index(b, wx, 0, dim_const(c->m->dims, t)), s);
        ys[t] = next.h;
        s = masked(b, r, t, s, next, &ys[t]);
        ys[t] = mk_insert_axes(b, ys[t], 0, 1);
    }
    return s;
}

/* [directions, ...] from one part per direction. */
static Value *stacked(Builder *b, const Rnn *r, Value *const *part)
{
    Value *first = mk_insert_axes(b, part[0], 0, 1);
    return r->directions == 1 ? first : mk_concat2(b, first, mk_insert_axes(b, part[1], 0, 1), 0);
}

/* Y [seq, directions, batch, hidden] and the last states [directions, batch, hidden]; batch goes first with layout 1. */
static bool set_results(Importer *c, const Rnn *r, Value *const *y, Value *const *h, Value *const *cell)
{
    Builder *b = &c->b;
    Value *all = out_wanted(c, 0) ? mk_swap_axes(b, stacked(b, r, y), 0, 1) : NULL;
    if (all && r->by_batch)
        all = mk_transpose_perm(b, all, (int64_t[]){ 2, 0, 1, 3 });
    if (out_wanted(c, 0) && !set_out(c, 0, all))
        return false;
    for (int i = 1; i < 2 + r->has_cell; i++) {
        Value *last = out_wanted(c, i) ? stacked(b, r, i == 1 ? h : cell) : NULL;
        if (out_wanted(c, i) && !set_out(c, i, last && r->by_batch ? mk_swap_axes(b, last, 0, 1) : last))
            return false;
    }
    return true;
}

static bool import_recurrent(Importer *c, Rnn *r)
{
    Builder *b = &c->b;
    Value *y[2] = { NULL }, *h[2] = { NULL }, *cell[2] = { NULL };
    if (!rnn_operands(c, r))
        return false;
    for (int d = 0; d < r->directions; d++) {
        r->reverse |= d == 1;
        if (!activations_of(c, r, d) || !direction_weights(c, r, d))
            return false;
        Value **ys = ARENA_ARRAY(c->m->arena, Value *, r->steps);
        State s = run_direction(c, r, (State){ initial_state(c, r, 5, d), r->has_cell ? initial_state(c, r, 6, d) : NULL }, ys);
        if (!s.h)
            return false;
        h[d] = s.h;
        cell[d] = s.c;
        if (out_wanted(c, 0))
            y[d] = mk_concat(b, (Inputs){ (int)r->steps, ys }, (Attr_concat){ .axis = 0 });
    }
    return set_results(c, r, y, h, cell);
}

bool import_rnn(Importer *c)
{
    static const char *const act[] = { "Tanh" };
    return import_recurrent(c, &(Rnn){ .gates = 1, .nact = 1, .default_act = act, .step = rnn_step });
}

bool import_gru(Importer *c)
{
    static const char *const act[] = { "Sigmoid", "Tanh" };
    return import_recurrent(c, &(Rnn){ .gates = 3, .nact = 2, .default_act = act, .step = gru_step });
}

bool import_lstm(Importer *c)
{
    static const char *const act[] = { "Sigmoid", "Tanh", "Tanh" };
    return import_recurrent(c, &(Rnn){ .gates = 4, .nact = 3, .has_cell = true, .default_act = act, .step = lstm_step });
}
