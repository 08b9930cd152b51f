/* test_import.c -- importing models: names, order, dims, initialisers, local functions, If, and every way a model can be wrong.
 *
 * Each model is built in memory by onnx_writer.h. What operators compute is tested by the official backend tests (tests/onnx); here the evaluator
 * runs a model only where the point is which value went where.
 */
#include "onnx_writer.h"

#include <stdio.h>

#include "eval.h"
#include "frontend.h"

typedef struct Import {
    Arena *a;
    Diag d;
    Module *m;
    const char *errors;
} Import;

static Import import_with(Msg *model, const ImportOptions *opt)
{
    Import r = { .a = arena_new() };
    diag_init(&r.d, r.a, NULL);
    void *bytes = arena_copy(r.a, model->b, model->n);
    r.m = onnx_import_memory(r.a, &r.d, "dir/test-model.onnx", bytes, model->n, opt);
    r.errors = r.d.all;
    free(model);
    if (r.m)
        assert_true(graph_verify(r.m->graph));
    return r;
}

static Import import(Msg *model)
{
    return import_with(model, NULL);
}

static void done(Import r)
{
    arena_free(r.a);
}

static void assert_says(Import r, const char *part)
{
    if (!r.errors || !strstr(r.errors, part))
        fail_msg("\"%s\" is not in: %s", part, r.errors ? r.errors : "(nothing)");
    assert_null(r.m);
    done(r);
}

static void assert_imported(Import r)
{
    if (!r.m)
        fail_msg("%s", r.errors);
}

/* A graph x f32[N,2] -> y with these nodes. */
static Msg *graph_xy(int n, Msg **nodes)
{
    Msg *g = msg_new();
    for (int i = 0; i < n; i++)
        put_msg(g, 1, nodes[i]);
    put_text(g, 2, "g");
    put_msg(g, 11, value_info("x", ONNX_FLOAT, "N,2"));
    put_msg(g, 12, value_info("y", ONNX_FLOAT, "N,2"));
    return g;
}
#define GRAPH(...) graph_xy((int)(sizeof((Msg *[]){ __VA_ARGS__ }) / sizeof(Msg *)), (Msg *[]){ __VA_ARGS__ })

/* y[0] for x = [[v, v]] */
static double run_on(Import r, double v)
{
    const Tensor *out[4];
    assert_imported(r);
    Tensor *x = tensor_new(r.a, DT_f32, 2, (int64_t[]){ 1, 2 });
    tensor_set_f64(x, 0, v);
    tensor_set_f64(x, 1, v);
    const Tensor *in[1] = { x };
    if (!eval_module(r.m, r.a, 1, in, out))
        fail_msg("%s", r.d.all);
    return tensor_get_f64(tensor_dense(r.a, out[0]), 0);
}

/* ---- what is right ---- */

static void keeps_names(void **state)
{
    (void)state;
    Import r = import(model_of(GRAPH(node_named("Neg", "first", "x", "t"), node_of("Abs", "t", "y"))));
    assert_imported(r);
    const Node *ret = graph_return(r.m->graph);
    assert_string_equal(NODE_ATTR(ret, return)->names.v[0], "y");
    assert_string_equal(ret->in[0].val->name, "y");
    assert_string_equal(ret->in[0].val->def->loc.node, "Abs #1");
    const Value *t = ret->in[0].val->def->in[0].val;
    assert_string_equal(t->name, "t");
    assert_string_equal(t->def->loc.node, "first");
    assert_string_equal(t->def->loc.file, "dir/test-model.onnx");
    assert_string_equal(r.m->name, "test_model");
    done(r);
}

static void sorts_nodes(void **state)
{
    (void)state;
    Import r = import(model_of(GRAPH(node_of("Abs", "b", "y"), node_of("Neg", "a", "b"), node_of("Exp", "x", "a"))));
    assert_float_equal(run_on(r, 0), 1, 0);
    done(r);
}

static const char *input_type(Import r, int i)
{
    Value *v[8];
    graph_inputs(r.m->graph, v, 8);
    return type_print(r.m, r.a, &v[i]->type);
}

static Msg *graph_dims(const char *x, const char *z)
{
    Msg *g = msg_new();
    put_msg(g, 1, node_of("Neg", "x", "y"));
    put_msg(g, 11, value_info("x", ONNX_FLOAT, x));
    put_msg(g, 11, value_info("z", ONNX_FLOAT, z));
    put_msg(g, 12, value_info("y", ONNX_FLOAT, x));
    return g;
}

static void names_dims(void **state)
{
    (void)state;
    Import r = import(model_of(graph_dims("N,?,3", "N,None,0")));
    assert_imported(r);
    assert_string_equal(input_type(r, 0), "f32[N,x_1,3]");
    assert_string_equal(input_type(r, 1), "f32[N,z_1,z_2]");
    done(r);
    r = import(model_of(graph_dims("seq-len", "seq.len")));     /* two names that look alike as identifiers stay two */
    assert_imported(r);
    assert_string_equal(input_type(r, 0), "f32[seq_len]");
    assert_string_equal(input_type(r, 1), "f32[seq_len_2]");
    done(r);
}

static void fixes_dims(void **state)
{
    (void)state;
    ImportOptions opt = { .nfixed = 2, .fixed_name = (const char *[]){ "N", "x_1" }, .fixed_value = (int64_t[]){ 4, 5 } };
    Import r = import_with(model_of(graph_dims("N,?", "N")), &opt);
    assert_imported(r);
    assert_string_equal(input_type(r, 0), "f32[4,5]");
    assert_string_equal(input_type(r, 1), "f32[4]");
    done(r);
    opt.fixed_name = (const char *[]){ "N", "batch" };
    assert_says(import_with(model_of(graph_dims("N,?", "N")), &opt), "no input has a dimension named 'batch' (there are: N, x_1)");
}

static Msg *graph_with_weight(bool listed)
{
    Msg *g = GRAPH(node_of("Add", "x w", "y"));
    put_msg(g, 5, tensor_floats("w", 2, (float[]){ 10, 20 }));
    if (listed)
        put_msg(g, 11, value_info("w", ONNX_FLOAT, "2"));
    return g;
}

static void initialisers_are_constants(void **state)
{
    (void)state;
    Import r = import(model_of(graph_with_weight(true)));
    assert_float_equal(run_on(r, 1), 11, 0);
    assert_int_equal(graph_inputs(r.m->graph, NULL, 0), 1);
    done(r);
    ImportOptions opt = { .noverridable = 1, .overridable = (const char *[]){ "w" } };
    r = import_with(model_of(graph_with_weight(true)), &opt);
    assert_imported(r);
    assert_int_equal(graph_inputs(r.m->graph, NULL, 0), 2);
    done(r);
    assert_says(import_with(model_of(graph_with_weight(false)), &opt), "'w' cannot be overridden");
}

static void densifies_sparse(void **state)
{
    (void)state;
    Msg *g = GRAPH(node_of("Add", "x w", "y")), *sparse = msg_new();
    put_msg(sparse, 1, tensor_floats("w", 1, (float[]){ 7 }));
    put_msg(sparse, 2, tensor_ints("", 1, (int64_t[]){ 0 }));
    put_int(sparse, 3, 2);
    put_msg(g, 15, sparse);
    Import r = import(model_of(g));
    assert_float_equal(run_on(r, 1), 8, 0);
    done(r);
}

/* Operands computed from constants count as constants: axes = [0] + [1] for Unsqueeze. */
static void folds_operands(void **state)
{
    (void)state;
    Msg *g = GRAPH(node_of("Add", "p q", "axes"), node_of("Unsqueeze", "x axes", "u"), node_of("ReduceSum", "u axes", "y"));
    put_msg(g, 5, tensor_ints("p", 1, (int64_t[]){ 0 }));
    put_msg(g, 5, tensor_ints("q", 1, (int64_t[]){ 1 }));
    Import r = import(model_of(g));
    assert_imported(r);
    assert_float_equal(run_on(r, 3), 3, 0);
    done(r);
}

/* ---- local functions ---- */

/* scaled(a; k = otherwise) = a * k   where k comes through an attribute */
static Msg *function_scaled(const char *otherwise)
{
    Msg *f = msg_new(), *constant = node_of("Constant", "", "k");
    attr_reference(constant, "value_float", "k", 1);
    put_text(f, 1, "scaled");
    put_text(f, 4, "a");
    put_text(f, 5, "b");
    put_msg(f, 7, constant);
    put_msg(f, 7, node_of("Mul", "a k", "b"));
    put_msg(f, 9, opset("", 17));
    put_text(f, 10, "local");
    if (otherwise) {
        Msg *a = msg_new();
        float v = strtof(otherwise, NULL);
        put_text(a, 1, "k");
        msg_varint(a, 2 << 3 | 5);
        msg_raw(a, &v, 4);
        put_int(a, 20, 1);
        put_msg(f, 11, a);
    } else {
        put_text(f, 6, "k");
    }
    return f;
}

static Msg *call(const char *fn, const char *inputs, const char *outputs)
{
    Msg *node = node_named(fn, "", inputs, outputs);
    put_text(node, 7, "local");
    return node;
}

static Msg *model_with(Msg *graph, Msg *f)
{
    Msg *m = model_of(graph);
    put_msg(m, 8, opset("local", 1));
    put_msg(m, 25, f);
    return m;
}

static void inlines_functions(void **state)
{
    (void)state;
    Msg *c = call("scaled", "x", "t");
    attr_float(c, "k", 3);
    Import r = import(model_with(GRAPH(c, call("scaled", "t", "y")), function_scaled("5")));    /* one attribute given, one by default */
    assert_float_equal(run_on(r, 2), 30, 0);
    done(r);
}

static void nests_functions(void **state)
{
    (void)state;
    Msg *twice = msg_new(), *inner = call("scaled", "a", "t");
    attr_reference(inner, "k", "factor", 1);
    put_text(twice, 1, "twice");
    put_text(twice, 4, "a");
    put_text(twice, 4, "unused");
    put_text(twice, 5, "b");
    put_text(twice, 6, "factor");
    put_msg(twice, 7, inner);
    put_msg(twice, 7, node_of("Add", "t t", "b"));
    put_msg(twice, 9, opset("", 17));
    put_text(twice, 10, "local");
    Msg *c = call("twice", "x", "y");
    attr_float(c, "factor", 4);
    Msg *m = model_with(GRAPH(c), function_scaled(NULL));
    put_msg(m, 25, twice);
    Import r = import(m);
    assert_float_equal(run_on(r, 1), 8, 0);
    done(r);
}

static void refuses_recursion(void **state)
{
    (void)state;
    Msg *f = msg_new();
    put_text(f, 1, "again");
    put_text(f, 4, "a");
    put_text(f, 5, "b");
    put_msg(f, 7, call("again", "a", "b"));
    put_text(f, 10, "local");
    assert_says(import(model_with(GRAPH(call("again", "x", "y")), f)), "more than 64 deep");
}

/* f0 calls f1 twice, f1 calls f2 twice...: 2^40 nodes */
static void refuses_explosion(void **state)
{
    (void)state;
    Msg *m = model_of(GRAPH(call("f0", "x", "y")));
    put_msg(m, 8, opset("local", 1));
    for (int i = 0; i < 40; i++) {
        char name[16], next[16];
        snprintf(name, sizeof name, "f%d", i);
        snprintf(next, sizeof next, "f%d", i + 1);
        Msg *f = msg_new();
        put_text(f, 1, name);
        put_text(f, 4, "a");
        put_text(f, 5, "b");
        put_msg(f, 7, i == 39 ? node_of("Neg", "a", "t") : call(next, "a", "t"));
        put_msg(f, 7, i == 39 ? node_of("Neg", "t", "b") : call(next, "t", "b"));
        put_text(f, 10, "local");
        put_msg(m, 25, f);
    }
    assert_says(import(m), "when its functions are inlined");
}

/* ---- If ---- */

static Msg *branch(const char *op, const char *captured)
{
    Msg *g = msg_new();
    put_msg(g, 1, node_of(op, captured, "r"));
    put_text(g, 2, op);
    put_msg(g, 12, value_info("r", ONNX_FLOAT, "N,2"));
    return g;
}

static Msg *if_node(const char *condition, Msg *yes, Msg *no)
{
    Msg *node = node_of("If", condition, "y");
    attr_graph(node, "then_branch", yes);
    attr_graph(node, "else_branch", no);
    return node;
}

/* sum(x) > w ? x + t : |t| with t = -x: the branches capture different outer values, and a constant is not captured at all. */
static void captures_outer_values(void **state)
{
    (void)state;
    Msg *g = GRAPH(node_of("Neg", "x", "t"), node_of("ReduceSum", "x", "s"), node_of("Greater", "s w", "c"),
                   if_node("c", branch("Add", "x w"), branch("Abs", "t")));
    put_msg(g, 5, tensor_raw("w", ONNX_FLOAT, 2, (int64_t[]){ 1, 1 }, (float[]){ 3 }, 4));
    Import r = import(model_of(g));
    assert_imported(r);
    assert_float_equal(run_on(r, 2), 5, 0);
    assert_float_equal(run_on(r, 1), 1, 0);
    const Node *node = graph_return(r.m->graph)->in[0].val->def;
    assert_int_equal(node->op, OP_if);
    assert_int_equal(node->nin, 3);                 /* condition, x, t */
    done(r);
}

static void captures_through_two_levels(void **state)
{
    (void)state;
    Msg *outer = msg_new();
    put_msg(outer, 1, if_node("c", branch("Neg", "x"), branch("Exp", "x")));
    put_msg(outer, 12, value_info("y", ONNX_FLOAT, "N,2"));
    Msg *g = GRAPH(node_of("ReduceSum", "x", "s"), node_of("Greater", "s s", "c"), if_node("c", branch("Abs", "x"), outer));
    Import r = import(model_of(g));
    assert_float_equal(run_on(r, 0), 1, 0);
    done(r);
}

static void known_condition_leaves_one_branch(void **state)
{
    (void)state;
    Msg *g = GRAPH(if_node("c", branch("Neg", "x"), branch("Exp", "x")));
    put_msg(g, 5, tensor_raw("c", ONNX_BOOL, 0, NULL, "\1", 1));
    Import r = import(model_of(g));
    assert_float_equal(run_on(r, 2), -2, 0);
    FOR_EACH_NODE(n, r.m->graph)
        assert_int_not_equal(n->op, OP_if);
    done(r);
}

/* ---- what is wrong ---- */

static void refuses_broken_graphs(void **state)
{
    (void)state;
    assert_says(import(model_of(GRAPH(node_named("Neg", "n", "nowhere", "y")))), "node 'n': Neg: input 'nowhere' is produced by no node");
    assert_says(import(model_of(GRAPH(node_of("Neg", "x", "t")))), "output 'y' is produced by no node");
    assert_says(import(model_of(GRAPH(node_named("Neg", "p", "b", "a"), node_named("Neg", "q", "a", "b"), node_of("Neg", "b", "y")))), "cycle");
    assert_says(import(model_of(GRAPH(node_of("Neg", "x", "y"), node_named("Abs", "second", "x", "y")))), "node 'second': tensor 'y' is defined a second time");
    assert_says(import(model_of(GRAPH(node_of("Neg", "x", "x"), node_of("Neg", "x", "y")))), "tensor 'x' is defined a second time");
    assert_says(import(model_of(GRAPH(node_of("Neg", "", "y")))), "an input that the operator needs is missing");
}

static void lists_all_gaps(void **state)
{
    (void)state;
    Msg *foreign = node_named("Frob", "f", "t", "y");
    put_text(foreign, 7, "my.domain");
    Msg *m = model_of(GRAPH(node_named("Quux", "a", "x", "s"), node_named("Quux", "b", "s", "t"), foreign));
    Import r = import(m);
    assert_non_null(strstr(r.errors, "operator Quux of 'ai.onnx' is not supported (nodes 'a', 'b')"));
    assert_non_null(strstr(r.errors, "operator set 'my.domain'"));
    assert_null(r.m);
    done(r);
}

static Msg *branch_with(Msg *node, const char *result)
{
    Msg *g = msg_new();
    put_msg(g, 1, node);
    put_msg(g, 12, value_info(result, ONNX_FLOAT, "N,2"));
    return g;
}

static Msg *in_domain(Msg *node, const char *domain)
{
    put_text(node, 7, domain);
    return node;
}

static Msg *distance(const char *name, const char *x, const char *y, const char *metric)
{
    return attr_text(in_domain(node_named("CDist", name, x, y), "com.microsoft"), "metric", metric);
}

/* Operators, attributes and types; one behind the other, in both branches of an If, behind what is declared and what is not. */
static void names_everything_unsupported_at_once(void **state)
{
    (void)state;
    static const char *const all[] = {
        "operator Quux of 'ai.onnx' is not supported (nodes 'first', 'inside', 'sixth')", "operator Zork of 'my.domain' is not supported (node 'third')",
        "node 'second': CDist: metric 'hamming'", "node 'fourth': CDist: metric 'cosine'", "node 'then': CDist: metric 'jaccard'",
        "node 'else': CDist: metric 'dice'", "input 's' has no shape", "node 'fifth': neg: operand 0 is bool",
    };
    Msg *m = msg_new(), *other = branch_with(distance("else", "e e", "y", "dice"), "y");
    put_msg(other, 1, node_named("Quux", "inside", "x", "e"));
    Msg *g = GRAPH(node_named("Quux", "first", "x", "a"), distance("second", "a a", "b", "hamming"), in_domain(node_named("Zork", "third", "b", "d"), "my.domain"),
                   distance("fourth", "d x", "f", "cosine"), node_of("ReduceSum", "f", "t"), node_of("Greater", "t t", "c"),
                   if_node("c", branch_with(distance("then", "x x", "y", "jaccard"), "y"), other), node_named("Neg", "fifth", "b2", "z"), node_named("Quux", "sixth", "s", "b2"));
    put_msg(g, 13, value_info("b2", ONNX_BOOL, "N,2"));
    Msg *shapeless = msg_new(), *type = msg_new(), *tensor = msg_new();
    put_int(tensor, 1, ONNX_FLOAT);
    put_msg(type, 1, tensor);
    put_text(shapeless, 1, "s");
    put_msg(shapeless, 2, type);
    put_msg(g, 11, shapeless);
    put_int(m, 1, 8);
    put_msg(m, 7, g);
    put_msg(m, 8, opset("", 17));
    put_msg(m, 8, opset("my.domain", 1));
    put_msg(m, 8, opset("com.microsoft", 1));
    Import r = import(m);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!r.errors || !strstr(r.errors, all[i]))
            fail_msg("not said: %s\nsaid:\n%s", all[i], r.errors);
    assert_null(r.m);
    done(r);
}

static void one_problem_does_not_hide_another(void **state)
{
    (void)state;
    Msg *transpose = node_named("Transpose", "t", "x", "a"), *flatten = node_named("Flatten", "f", "x", "b");
    attr_int(transpose, "perm", 0);                 /* an int where ints are due */
    attr_int(flatten, "axis", 9);
    Import r = import(model_of(GRAPH(transpose, flatten, node_of("Add", "a b", "y"))));
    assert_non_null(strstr(r.errors, "node 't'"));
    assert_non_null(strstr(r.errors, "node 'f'"));
    assert_null(strstr(r.errors, "Add"));
    assert_null(r.m);
    done(r);
}

static void checks_versions(void **state)
{
    (void)state;
    Msg *m = msg_new();
    put_int(m, 1, 99);
    put_msg(m, 7, GRAPH(node_of("Neg", "x", "y")));
    put_msg(m, 8, opset("", 17));
    assert_says(import(m), "IR version 99");
    m = msg_new();
    put_int(m, 1, 8);
    put_msg(m, 7, GRAPH(node_of("Neg", "x", "y")));
    put_msg(m, 8, opset("", 1000));
    assert_says(import(m), "version 1000 of the operator set");
    m = msg_new();
    put_int(m, 1, 8);
    put_msg(m, 7, GRAPH(node_named("Upsample", "u", "x", "y")));
    put_msg(m, 8, opset("", 17));
    assert_says(import(m), "Upsample does not exist in version 17");
    m = msg_new();
    put_int(m, 1, 8);
    put_msg(m, 8, opset("", 17));
    assert_says(import(m), "there is no graph in it");
}

/* ---- what is no ONNX file at all ---- */

static Msg *bytes(const void *p, size_t n)
{
    Msg *m = msg_new();
    msg_raw(m, p, n);
    return m;
}

static void refuses_other_files(void **state)
{
    (void)state;
    assert_says(import(bytes("", 0)), "the file is empty");
    assert_says(import(bytes("\x89PNG\r\n\x1a\n", 8)), "is not a valid ONNX file");
    assert_says(import(bytes("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11)), "longer than the message around it");
    assert_says(import(bytes("\x38\x01", 2)), "a number where a message is expected");
}

static void refuses_every_truncation(void **state)
{
    (void)state;
    Msg *whole = model_of(graph_with_weight(true));
    size_t refused = 0;
    for (size_t n = 0; n < whole->n; n++) {
        Import r = import(bytes(whole->b, n));
        if (!r.m)
            assert_true(r.d.errors > 0);
        refused += !r.m;
        done(r);
    }
    assert_true(refused > whole->n * 9 / 10);
    free(whole);
}

/* A type within a type within a type...: TypeProto.sequence_type = 4, Sequence.elem_type = 1 */
static void refuses_deep_nesting(void **state)
{
    (void)state;
    Msg *type = msg_new();
    for (int i = 0; i < 60; i++) {
        Msg *sequence = msg_new(), *outer = msg_new();
        put_msg(sequence, 1, type);
        put_msg(outer, 4, sequence);
        type = outer;
    }
    Msg *info = msg_new(), *g = msg_new();
    put_text(info, 1, "x");
    put_msg(info, 2, type);
    put_msg(g, 11, info);
    assert_says(import(model_of(g)), "nested more than 100 deep");
}

static void refuses_absurd_sizes(void **state)
{
    (void)state;
    Msg *g = GRAPH(node_of("Neg", "x", "y"), node_of("Add", "w w", "z"));
    put_msg(g, 5, tensor_raw("w", ONNX_FLOAT, 2, (int64_t[]){ INT64_MAX, INT64_MAX }, "", 0));
    assert_says(import(model_of(g)), "tensor 'w' has impossibly large dimensions");
    g = GRAPH(node_of("Neg", "x", "y"), node_of("ConstantOfShape", "w", "z"));
    put_msg(g, 5, tensor_ints("w", 2, (int64_t[]){ INT64_C(1) << 40, INT64_C(1) << 40 }));
    assert_says(import(model_of(g)), "the shape is impossible");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_names),
        cmocka_unit_test(sorts_nodes),
        cmocka_unit_test(names_dims),
        cmocka_unit_test(fixes_dims),
        cmocka_unit_test(initialisers_are_constants),
        cmocka_unit_test(densifies_sparse),
        cmocka_unit_test(folds_operands),
        cmocka_unit_test(inlines_functions),
        cmocka_unit_test(nests_functions),
        cmocka_unit_test(refuses_recursion),
        cmocka_unit_test(refuses_explosion),
        cmocka_unit_test(captures_outer_values),
        cmocka_unit_test(captures_through_two_levels),
        cmocka_unit_test(known_condition_leaves_one_branch),
        cmocka_unit_test(refuses_broken_graphs),
        cmocka_unit_test(lists_all_gaps),
        cmocka_unit_test(names_everything_unsupported_at_once),
        cmocka_unit_test(one_problem_does_not_hide_another),
        cmocka_unit_test(checks_versions),
        cmocka_unit_test(refuses_other_files),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(refuses_deep_nesting),
        cmocka_unit_test(refuses_absurd_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
