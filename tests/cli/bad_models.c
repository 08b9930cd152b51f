/* bad_models.c -- writes the models that bad_input.sh needs into the current folder: one good one, and others each wrong in one way. */
#include <stdio.h>

#include "onnx_writer.h"

static void write_file(const char *name, const void *data, size_t bytes)
{
    FILE *f = fopen(name, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f)) {
        perror(name);
        exit(1);
    }
}

static void write_model(const char *name, Msg *model)
{
    write_file(name, model->b, model->n);
    free(model);
}

/* The graph y = f(x) over f32[N,3]. */
static Msg *graph_xy(int n, Msg **nodes)
{
    Msg *g = msg_new();
    for (int i = 0; i < n; i++)
        put_msg(g, 1, nodes[i]);
    put_text(g, 2, "graph");
    put_msg(g, 11, value_info("x", ONNX_FLOAT, "N,3"));
    put_msg(g, 12, value_info("y", ONNX_FLOAT, "N,3"));
    return g;
}
#define GRAPH(...) graph_xy((int)(sizeof((Msg *[]){ __VA_ARGS__ }) / sizeof(Msg *)), (Msg *[]){ __VA_ARGS__ })

/* y = x + w, w without data: it may be given as an initialiser of three floats. */
static Msg *graph_weight(Msg *weight)
{
    Msg *g = GRAPH(node_of("Add", "x w", "y"));
    put_msg(g, 5, weight);
    return g;
}

static Msg *weight_elsewhere(const char *location)
{
    Msg *t = msg_new(), *entry = msg_new();
    put_int(t, 1, 3);
    put_int(t, 2, ONNX_FLOAT);
    put_text(t, 8, "w");
    put_text(entry, 1, "location");
    put_text(entry, 2, location);
    put_msg(t, 13, entry);
    put_int(t, 14, 1);
    return t;
}

static Msg *model_of_opset(int64_t version)
{
    Msg *m = msg_new();
    put_int(m, 1, 8);
    put_msg(m, 7, GRAPH(node_of("Neg", "x", "y")));
    put_msg(m, 8, opset("", version));
    return m;
}

/* Sizes that only the data gives, so that they are wrong at run time only: y = x[i], i an input. */
static Msg *graph_gather(void)
{
    Msg *g = msg_new();
    put_msg(g, 1, node_of("Gather", "x i", "y"));
    put_text(g, 2, "gather");
    put_msg(g, 11, value_info("x", ONNX_FLOAT, "4,3"));
    put_msg(g, 11, value_info("i", ONNX_INT64, "2"));
    put_msg(g, 12, value_info("y", ONNX_FLOAT, "2,3"));
    return g;
}

int main(void)
{
    static const float three[] = { 1, 2, 3 };
    Msg *good = model_of(graph_weight(tensor_floats("w", 3, three)));
    write_file("empty.onnx", "", 0);
    write_file("text.onnx", "this is no protobuf\n", 20);
    write_file("truncated.onnx", good->b, good->n - 9);
    write_model("good.onnx", good);
    write_model("short_weight.onnx", model_of(graph_weight(tensor_raw("w", ONNX_FLOAT, 1, (int64_t[]){ 3 }, three, 8))));
    write_model("old.onnx", model_of_opset(0));
    write_model("future.onnx", model_of_opset(1000));
    write_model("gaps.onnx", model_of(GRAPH(node_named("Frobnicate", "first", "x", "a"), node_named("Neg", "fine", "a", "b"),
                                            node_named("Quux", "second", "b", "c"), node_named("Frobnicate", "third", "c", "y"))));
    write_model("cycle.onnx", model_of(GRAPH(node_named("Neg", "p", "b", "a"), node_named("Neg", "q", "a", "b"), node_of("Neg", "b", "y"))));
    write_model("dangling.onnx", model_of(GRAPH(node_named("Neg", "n", "nowhere", "y"))));
    write_model("missing_data.onnx", model_of(graph_weight(weight_elsewhere("not-there.bin"))));
    write_model("escaping_data.onnx", model_of(graph_weight(weight_elsewhere("../outside.bin"))));
    write_model("absolute_data.onnx", model_of(graph_weight(weight_elsewhere("/etc/passwd"))));
    write_model("shapes.onnx", model_of(GRAPH(node_named("MatMul", "mm", "x x", "y"))));
    write_model("gather.onnx", model_of(graph_gather()));
    return 0;
}
