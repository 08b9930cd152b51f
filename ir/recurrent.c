/* recurrent.c -- see recurrent.h. Activations first, then the cells. */
#include "recurrent.h"

#include <string.h>
#include <strings.h>

/* ---- activations ---- */

static FRef constant(FRec *r, FRef x, double k) { return frec_const(r, frec_type(r, x), k); }
static FRef scaled(FRec *r, FRef x, double k) { return k == 1 ? x : f_mul(r, x, constant(r, x, k)); }

static FRef act_relu(FRec *r, FRef x, double alpha, double beta) { (void)alpha, (void)beta; return f_max(r, x, constant(r, x, 0)); }
static FRef act_tanh(FRec *r, FRef x, double alpha, double beta) { (void)alpha, (void)beta; return f_tanh(r, x); }
static FRef act_sigmoid(FRec *r, FRef x, double alpha, double beta) { (void)alpha, (void)beta; return f_sigmoid(r, x); }
static FRef act_softplus(FRec *r, FRef x, double alpha, double beta) { (void)alpha, (void)beta; return f_softplus(r, x); }
static FRef act_affine(FRec *r, FRef x, double alpha, double beta) { return f_add(r, scaled(r, x, alpha), constant(r, x, beta)); }
static FRef act_scaled_tanh(FRec *r, FRef x, double alpha, double beta) { return scaled(r, f_tanh(r, scaled(r, x, beta)), alpha); }

static FRef act_hard_sigmoid(FRec *r, FRef x, double alpha, double beta)
{
    return f_min(r, f_max(r, act_affine(r, x, alpha, beta), constant(r, x, 0)), constant(r, x, 1));
}

static FRef act_leaky_relu(FRec *r, FRef x, double alpha, double beta)
{
    (void)beta;
    return f_select(r, f_lt(r, x, constant(r, x, 0)), scaled(r, x, alpha), x);
}

static FRef act_thresholded_relu(FRec *r, FRef x, double alpha, double beta)
{
    (void)beta;
    return f_select(r, f_lt(r, constant(r, x, alpha), x), x, constant(r, x, 0));
}

static FRef act_elu(FRec *r, FRef x, double alpha, double beta)
{
    (void)beta;
    return f_select(r, f_lt(r, x, constant(r, x, 0)), scaled(r, f_expm1(r, x), alpha), x);
}

static FRef act_softsign(FRec *r, FRef x, double alpha, double beta)
{
    (void)alpha, (void)beta;
    return f_div(r, x, f_add(r, f_abs(r, x), constant(r, x, 1)));
}

static const ActivationInfo activations[] = {
    { "Relu", 0, 0, 0, act_relu }, { "Tanh", 0, 0, 0, act_tanh }, { "Sigmoid", 0, 0, 0, act_sigmoid }, { "Softplus", 0, 0, 0, act_softplus },
    { "Softsign", 0, 0, 0, act_softsign }, { "LeakyRelu", 1, 0.01, 0, act_leaky_relu }, { "ThresholdedRelu", 1, 1, 0, act_thresholded_relu },
    { "Elu", 1, 1, 0, act_elu }, { "Affine", 2, 1, 0, act_affine }, { "ScaledTanh", 2, 1, 1, act_scaled_tanh },
    { "HardSigmoid", 2, 0.2, 0.5, act_hard_sigmoid },
};

const ActivationInfo *activation_find(const char *name)
{
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
        if (!strcasecmp(name, activations[i].name))
            return &activations[i];
    return NULL;
}

/* ---- cells ---- */

static const CellInfo cells[] = { { "rnn", 1, 1, false }, { "gru", 3, 2, false }, { "lstm", 4, 3, true } };

const CellInfo *cell_find(const char *name)
{
    for (size_t i = 0; name && i < sizeof cells / sizeof *cells; i++)
        if (!strcmp(name, cells[i].name))
            return &cells[i];
    return NULL;
}

static bool is_gru(const Attr_recurrent *a) { return !strcmp(a->cell, "gru"); }
static bool is_lstm(const Attr_recurrent *a) { return !strcmp(a->cell, "lstm"); }
static bool has_reset_stage(const Attr_recurrent *a) { return is_gru(a) && !a->linear_before_reset; }

int cell_stages(const Attr_recurrent *a, CellStage *stage)
{
    bool two = has_reset_stage(a);
    stage[0] = (CellStage){ 0, two ? 2 : cell_find(a->cell)->gates, false };
    stage[1] = (CellStage){ 2, 1, true };
    return two ? 2 : 1;
}

int cell_separate_gate(const Attr_recurrent *a)
{
    return is_gru(a) && a->linear_before_reset ? 2 : -1;
}

int cell_states(const Attr_recurrent *a)
{
    return is_lstm(a) ? 3 : has_reset_stage(a) ? 4 : 2;
}

int cell_values(const Attr_recurrent *a, int stage, CellValue *value)
{
    int n = 0;
    if (has_reset_stage(a) && stage == 0) {
        value[n++] = CELL_UPDATE;
        value[n++] = CELL_RESET;
        return n;
    }
    if (is_lstm(a))
        value[n++] = CELL_NEXT_C;
    value[n++] = CELL_NEXT_H;
    return n;
}

/* ---- their formulas ---- */

typedef struct Cell {
    FRec *r;
    const Attr_recurrent *a;
    bool peepholes;
    DType type;
} Cell;

static FRef arg(const Cell *c, int k)
{
    return frec_arg(c->r, k, c->type);
}

/* Activation number i of the clipped x. */
static FRef activate(const Cell *c, int i, FRef x)
{
    if (c->a->clip > 0)
        x = f_min(c->r, f_max(c->r, x, constant(c->r, x, -c->a->clip)), constant(c->r, x, c->a->clip));
    return activation_find(c->a->activations.v[i])->formula(c->r, x, c->a->alpha.v[i], c->a->beta.v[i]);
}

/* One of the gates i o f of an LSTM, which may look at the second state. */
static FRef peeping_gate(const Cell *c, int gate, int state)
{
    FRef x = arg(c, CELL_PRE + gate);
    if (c->peepholes)
        x = f_add(c->r, x, f_mul(c->r, arg(c, CELL_PEEP + gate), arg(c, state)));
    return activate(c, 0, x);
}

static FRef one_minus(const Cell *c, FRef x)
{
    return f_sub(c->r, constant(c->r, x, 1), x);
}

static FRef lstm_next_c(const Cell *c)
{
    FRef i = peeping_gate(c, 0, CELL_C), f = c->a->input_forget ? one_minus(c, i) : peeping_gate(c, 2, CELL_C);
    FRef kept = f_mul(c->r, f, arg(c, CELL_C)), added = f_mul(c->r, i, activate(c, 1, arg(c, CELL_PRE + 3)));
    return f_add(c->r, kept, added);
}

static FRef lstm_next_h(const Cell *c)
{
    FRef out = arg(c, CELL_NEW_C);                  /* h(c'): not clipped */
    out = activation_find(c->a->activations.v[2])->formula(c->r, out, c->a->alpha.v[2], c->a->beta.v[2]);
    return f_mul(c->r, peeping_gate(c, 1, CELL_NEW_C), out);
}

static FRef gru_next_h(const Cell *c)
{
    FRef n = arg(c, CELL_PRE + 2), z = arg(c, CELL_Z);
    if (c->a->linear_before_reset) {
        z = activate(c, 0, arg(c, CELL_PRE));
        n = f_add(c->r, n, f_mul(c->r, activate(c, 0, arg(c, CELL_PRE + 1)), arg(c, CELL_REC)));
    }
    FRef fresh = f_mul(c->r, one_minus(c, z), activate(c, 1, n)), kept = f_mul(c->r, z, arg(c, CELL_H));
    return f_add(c->r, fresh, kept);
}

Formula cell_formula(Arena *arena, const Attr_recurrent *a, bool peepholes, DType compute, CellValue what)
{
    Cell c = { frec_new(arena), a, peepholes, compute };
    switch (what) {
    case CELL_NEXT_C: return frec_finish(c.r, lstm_next_c(&c));
    case CELL_UPDATE: return frec_finish(c.r, activate(&c, 0, arg(&c, CELL_PRE)));
    case CELL_RESET: return frec_finish(c.r, f_mul(c.r, activate(&c, 0, arg(&c, CELL_PRE + 1)), arg(&c, CELL_H)));
    default: return frec_finish(c.r, is_lstm(a) ? lstm_next_h(&c) : is_gru(a) ? gru_next_h(&c) : activate(&c, 0, arg(&c, CELL_PRE)));
    }
}
