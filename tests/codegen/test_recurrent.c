/* test_recurrent.c -- compiled recurrent layers against the evaluator: every cell, sizes that fill no vector, weights known or given, sequences that end
 * early, symbolic sizes. And the same bits however the work is shared among threads.
 */
#include "compiled.h"

typedef struct Layer {
    const char *cell;
    DType type;
    int steps, batch, directions, hidden;
    bool symbolic;                  /* steps and batch */
    bool given;                     /* R is an input, not a constant */
    bool lengths, states, extra;    /* the optional operands */
    bool linear_before_reset, input_forget, reverse;
    double clip;
    const char *activation[3];      /* instead of the usual ones */
} Layer;

static const Layer layers[] = {
    { .cell = "lstm", .type = DT_f32, .steps = 5, .batch = 1, .directions = 1, .hidden = 48 },
    { .cell = "lstm", .type = DT_f32, .steps = 4, .batch = 3, .directions = 2, .hidden = 19, .lengths = true, .states = true, .extra = true },
    { .cell = "lstm", .type = DT_f32, .steps = 3, .batch = 9, .directions = 1, .hidden = 33, .symbolic = true, .input_forget = true, .clip = 0.5 },
    { .cell = "lstm", .type = DT_f64, .steps = 3, .batch = 2, .directions = 1, .hidden = 20, .given = true, .reverse = true, .extra = true },
    { .cell = "lstm", .type = DT_f16, .steps = 3, .batch = 1, .directions = 1, .hidden = 40, .states = true },
    { .cell = "lstm", .type = DT_f32, .steps = 0, .batch = 2, .directions = 1, .hidden = 17, .symbolic = true, .states = true },
    { .cell = "lstm", .type = DT_f32, .steps = 3, .batch = 1, .directions = 1, .hidden = 400, .states = true },
    { .cell = "gru", .type = DT_f32, .steps = 6, .batch = 1, .directions = 1, .hidden = 40, .states = true },
    { .cell = "gru", .type = DT_f32, .steps = 4, .batch = 5, .directions = 2, .hidden = 21, .lengths = true, .symbolic = true },
    { .cell = "gru", .type = DT_f32, .steps = 4, .batch = 2, .directions = 2, .hidden = 64, .linear_before_reset = true, .extra = true },
    { .cell = "gru", .type = DT_f32, .steps = 2, .batch = 7, .directions = 1, .hidden = 5, .given = true, .linear_before_reset = true },
    { .cell = "gru", .type = DT_f32, .steps = 3, .batch = 1, .directions = 1, .hidden = 520, .reverse = true },
    { .cell = "rnn", .type = DT_f32, .steps = 7, .batch = 1, .directions = 1, .hidden = 150, .activation = { "Affine" }, .clip = 2 },
    { .cell = "rnn", .type = DT_f32, .steps = 3, .batch = 16, .directions = 2, .hidden = 16, .lengths = true, .symbolic = true, .activation = { "LeakyRelu" } },
};

static const double usual_alpha = 0.25, usual_beta = 0.125;

static Attr_recurrent attributes(Fix *f, const Layer *l)
{
    static const char *const usual[] = { "Sigmoid", "Tanh", "Tanh" };
    int n = !strcmp(l->cell, "lstm") ? 3 : !strcmp(l->cell, "gru") ? 2 : 1;
    const char **name = ARENA_ARRAY(f->a, const char *, n);
    double *alpha = ARENA_ARRAY(f->a, double, n), *beta = ARENA_ARRAY(f->a, double, n);
    for (int i = 0; i < n; i++) {
        name[i] = l->activation[i] ? l->activation[i] : usual[i + (n == 1)];
        alpha[i] = usual_alpha, beta[i] = usual_beta;
    }
    return (Attr_recurrent){ .cell = l->cell, .activations = { n, name }, .alpha = { n, alpha }, .beta = { n, beta }, .clip = l->clip,
                             .reverse = l->reverse, .linear_before_reset = l->linear_before_reset, .input_forget = l->input_forget };
}

typedef struct Operands {
    Fix *f;
    int n;
    Value *v[6];
    const Tensor *given[6];
    int ngiven;
    uint32_t seed;
} Operands;

/* Random numbers in [-scale, scale), as an input whose type is `dims` or as a constant. */
static void add_operand(Operands *o, DType t, const char *dims, const char *sizes, bool input, double scale)
{
    IntVec d = fix_ints(o->f, sizes);
    Tensor *x = tensor_new(o->f->a, t, d.n, d.v);
    for (int64_t i = 0; i < x->count; i++) {
        o->seed = o->seed * 1664525u + 1013904223u;
        tensor_set_f64(x, i, ((double)(o->seed >> 8) / (1 << 23) - 1) * scale);
    }
    o->v[o->n++] = input ? fix_input(o->f, t, dims) : mk_tensor(&o->f->b, x);
    if (input)
        o->given[o->ngiven++] = x;
}

static void add_lengths(Operands *o, const Layer *l, const char *dims)
{
    Tensor *x = tensor_new(o->f->a, DT_i64, 1, (int64_t[]){ l->batch });
    for (int i = 0; i < l->batch; i++)
        tensor_set_f64(x, i, (2 * i + 1) % (l->steps + 1));
    o->v[o->n++] = fix_input(o->f, DT_i64, dims);
    o->given[o->ngiven++] = x;
}

static Operands make_operands(Fix *f, const Layer *l)
{
    Operands o = { .f = f, .seed = 7 };
    int gates = !strcmp(l->cell, "lstm") ? 4 : !strcmp(l->cell, "gru") ? 3 : 1, wide = gates * l->hidden;
    const char *steps = l->symbolic ? "T" : arena_printf(f->a, "%d", l->steps), *batch = l->symbolic ? "N" : arena_printf(f->a, "%d", l->batch);
    const char *rec = arena_printf(f->a, "%d,%d,%d", l->directions, l->hidden, wide);
    const char *state = arena_printf(f->a, "%d,%s,%d", l->directions, batch, l->hidden), *sizes = arena_printf(f->a, "%d,%d,%d", l->directions, l->batch, l->hidden);
    add_operand(&o, l->type, arena_printf(f->a, "%s,%s,%d", steps, batch, l->directions * wide), arena_printf(f->a, "%d,%d,%d", l->steps, l->batch, l->directions * wide), true, 1);
    add_operand(&o, l->type, rec, rec, l->given, 2.0 / sqrt(l->hidden));
    if (l->lengths)
        add_lengths(&o, l, batch);
    else
        o.v[o.n++] = NULL;
    for (int i = 0; i < 2; i++)
        if (l->states && (i == 0 || gates == 4))
            add_operand(&o, l->type, state, sizes, true, 1);
        else
            o.v[o.n++] = NULL;
    if (l->extra) {
        const char *bias = arena_printf(f->a, "%d,%d", l->directions, l->hidden * (gates == 4 ? 3 : 1));
        add_operand(&o, l->type, bias, bias, false, 0.5);
    }
    return o;
}

static int regions_of_checked(Fix *f, const Layer *l)
{
    Operands o = make_operands(f, l);
    Attr_recurrent a = attributes(f, l);
    int nout = 2 + !strcmp(l->cell, "lstm");
    Node *n = build_node(&f->b, OP_recurrent, (Inputs){ o.n, o.v }, &a, nout);
    if (!n)
        fail_msg("%s", f->d.all);
    Value *result[3] = { &n->out[0], &n->out[1], nout > 2 ? &n->out[2] : NULL };
    compiled_return(f, (Inputs){ nout, result });
    const Compiled how = { .what = arena_printf(f->a, "%s of %d units", l->cell, l->hidden), .tolerance = l->type == DT_f16 ? 2e-3 : l->type == DT_f64 ? 1e-13 : 2e-6 };
    return compiled_check(f, &how, o.ngiven, o.given);
}

static void check_layer(Fix *f, size_t i, const char *cpu)
{
    int regions = regions_of_checked(f, &layers[i]);
    (void)cpu;
    if (layers[i].hidden > 500 && layers[i].batch == 1)     /* wide enough that threads share each of its beats: states, then two stages a step */
        assert_int_equal(regions, 1 + 2 * layers[i].steps);
}

static void compiled_is_evaluated(void **state) { (void)state; COMPILED_EACH(compiled_here, layers, check_layer); }

static void what_is_refused(void **state)
{
    Fix *f = *state;
    Layer l = layers[0];
    Operands o = make_operands(f, &l);
    Attr_recurrent a = attributes(f, &l);
    a.cell = "janus";
    expect_error(f, build_node(&f->b, OP_recurrent, (Inputs){ 2, o.v }, &a, 3), "there is no cell 'janus'");
    a.cell = "gru";
    expect_error(f, build_node(&f->b, OP_recurrent, (Inputs){ 2, o.v }, &a, 2), "2 activations with as many alpha and beta");
    a = attributes(f, &l);
    expect_error(f, build_node(&f->b, OP_recurrent, (Inputs){ 2, o.v }, &a, 2), "2 results, a cell 'lstm' has 3");
    a.activations.v = (const char *const[]){ "Sigmoid", "Tanh", "Tamh" };
    expect_error(f, build_node(&f->b, OP_recurrent, (Inputs){ 2, o.v }, &a, 3), "there is no activation 'Tamh'");
    a = attributes(f, &l);
    expect_error(f, build_node(&f->b, OP_recurrent, IN(o.v[0], fix_input(f, DT_f32, "1,48,48")), &a, 3), "[directions, hidden, 4 * hidden] is needed");
    expect_error(f, build_node(&f->b, OP_recurrent, IN(o.v[0], o.v[1], fix_input(f, DT_i64, "2")), &a, 3), "operand 2 is i64[2], i64[1] is needed");
    expect_error(f, build_node(&f->b, OP_recurrent, IN(o.v[0], o.v[1], NULL, fix_input(f, DT_f64, "1,1,48")), &a, 3), "operand 3 is f64[1,1,48]");
}

/* By hand: h' = 2 * (x + h), from h = 1; the backward direction begins at the end, and at its own end where a sequence is shorter. */
static void a_small_sequence(void **state)
{
    Fix *f = *state;
    const char *const affine[] = { "Affine" };
    const double two[] = { 2 }, none[] = { 0 };
    Attr_recurrent a = { .cell = "rnn", .activations = { 1, affine }, .alpha = { 1, two }, .beta = { 1, none } };
    Value *wx = fix_constant(f, DT_f32, "3,1,2", NUMBERS(1, 10, 2, 20, 3, 30)), *r = fix_constant(f, DT_f32, "2,1,1", NUMBERS(1, 1));
    Value *lengths = fix_constant(f, DT_i64, "1", NUMBERS(2)), *h0 = fix_constant(f, DT_f32, "2,1,1", NUMBERS(1, 1));
    Node *n = build_node(&f->b, OP_recurrent, IN(wx, r, NULL, h0), &a, 2), *cut = build_node(&f->b, OP_recurrent, IN(wx, r, lengths, h0), &a, 2);
    expect_result(f, &n->out[0], DT_f32, "3,2,1,1", NUMBERS(4, 348, 12, 164, 30, 62));
    expect_result(f, &n->out[1], DT_f32, "2,1,1", NUMBERS(30, 348));
    expect_result(f, &cut->out[0], DT_f32, "3,2,1,1", NUMBERS(4, 104, 12, 42, 0, 0));
    expect_result(f, &cut->out[1], DT_f32, "2,1,1", NUMBERS(12, 104));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(compiled_is_evaluated), FIX_TEST(what_is_refused), FIX_TEST(a_small_sequence) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
