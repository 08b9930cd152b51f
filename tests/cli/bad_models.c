/* bad_models.c -- writes the models that bad_input.sh needs into the current folder: one good one, and others each wrong in one way; and those of map.sh. */
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

/* ---- maps of ai.onnx.ml ---- */

static Msg *tensor_type(int dtype)
{
    Msg *type = msg_new(), *tensor = msg_new();
    put_int(tensor, 1, dtype);
    put_msg(type, 1, tensor);
    return type;
}

static Msg *map_info(const char *name, int key, int value)
{
    Msg *info = msg_new(), *type = msg_new(), *map = msg_new();
    put_int(map, 1, key);
    put_msg(map, 2, tensor_type(value));
    put_msg(type, 5, map);
    put_text(info, 1, name);
    put_msg(info, 2, type);
    return info;
}

static Msg *attr_texts(Msg *node, const char *name, int n, const char *const *v)
{
    Msg *a = msg_new();
    put_text(a, 1, name);
    for (int i = 0; i < n; i++)
        put_text(a, 9, v[i]);
    put_int(a, 20, 8);
    put_msg(node, 5, a);
    return node;
}

/* One node of ai.onnx.ml; x is an input of this type, or f32[N,3]. */
static Msg *model_ml(Msg *node, Msg *x)
{
    Msg *g = msg_new(), *y = msg_new(), *m;
    put_text(node, 7, "ai.onnx.ml");
    put_msg(g, 1, node);
    put_text(g, 2, "graph");
    put_msg(g, 11, x ? x : value_info("x", ONNX_FLOAT, "N,3"));
    put_text(y, 1, "y");
    put_msg(g, 12, y);
    m = model_of(g);
    put_msg(m, 8, opset("ai.onnx.ml", 3));
    return m;
}

static void write_maps(void)
{
    static const char *const names[] = { "cat", "a \"dog\"", "emu" };
    Msg *sparse = attr_text(attr_text(node_of("CastMap", "x", "y"), "map_form", "SPARSE"), "cast_to", "TO_STRING");
    attr_int(sparse, "max_map", 4);
    write_model("zip.onnx", model_ml(attr_texts(node_of("ZipMap", "x", "y"), "classlabels_strings", 3, names), NULL));
    write_model("dict.onnx", model_ml(attr_texts(node_of("DictVectorizer", "x", "y"), "string_vocabulary", 3, names), map_info("x", 8, ONNX_FLOAT)));
    write_model("cast_dense.onnx", model_ml(node_of("CastMap", "x", "y"), map_info("x", ONNX_INT64, 8)));
    write_model("cast_sparse.onnx", model_ml(sparse, map_info("x", ONNX_INT64, ONNX_FLOAT)));
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
    write_maps();
    return 0;
}
