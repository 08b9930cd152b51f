/* cmd_inspect.c -- ingot inspect: what a compiled model says about itself, or what an .onnx contains. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "driver.h"

typedef struct Census {
    int nodes, op[OP_count];
    int64_t parameters, weights_bytes;
} Census;

static void count_graph(Census *c, const Graph *g)
{
    FOR_EACH_NODE(n, g) {
        const Tensor *t = n->op == OP_constant ? NODE_ATTR(n, constant)->value : NULL;
        if (t) {
            c->parameters += t->count;
            c->weights_bytes += (int64_t)tensor_bytes(t);
            continue;
        }
        if (n->op == OP_input || n->op == OP_return)
            continue;
        c->nodes++;
        c->op[n->op]++;
        const OpInfo *info = &op_table[n->op];
        for (int i = 0; i < info->nattr; i++)
            if (info->attr[i].kind == AK_graph)
                count_graph(c, *(Graph *const *)(const void *)((const char *)n->attrs + info->attr[i].offset));
    }
}

static void print_json(const Module *m, const ingot_model *ports, const Census *c)
{
    printf("{\"name\": \"%s\", \"nodes\": %d, \"parameters\": %" PRId64 ", \"weights_bytes\": %" PRId64, m->name, c->nodes, c->parameters, c->weights_bytes);
    printf(", \"ops\": {");
    const char *comma = "";
    for (int op = 1; op < OP_count; op++)
        if (c->op[op]) {
            printf("%s\"%s\": %d", comma, op_name((OpCode)op), c->op[op]);
            comma = ", ";
        }
    printf("}, ");
    tool_inspect_ports(ports, true);
    printf("}\n");
}

static void print_plain(const Module *m, const ingot_model *ports, const Census *c)
{
    printf("model     %s\n", m->name);
    tool_inspect_ports(ports, false);
    printf("constants %" PRId64 " elements, %" PRId64 " bytes\nnodes     %d\n", c->parameters, c->weights_bytes, c->nodes);
    for (int op = 1; op < OP_count; op++)
        if (c->op[op])
            printf("  %-20s %d\n", op_name((OpCode)op), c->op[op]);
}

static int inspect_source(const char *path, const BuildOptions *b, bool json)
{
    Arena *a = arena_new();
    Diag d;
    Census c = { 0 };
    diag_init(&d, a, stderr);
    Module *m = pipeline_import(a, &d, path, b);
    if (m) {
        count_graph(&c, m->graph);
        (json ? print_json : print_plain)(m, describe_module(m), &c);
    }
    arena_free(a);
    return !m;
}

int cmd_inspect(int argc, char **argv)
{
    const Command c = { "ingot", "inspect", "MODEL(.onnx|.so)", "Print inputs, outputs and contents of a model.", 1, 1 };
    BuildOptions b = BUILD_DEFAULT;
    bool json = false;
    Operands model;
    const Option table[] = { { "json", 0, OPT_FLAG, NULL, "print one line of JSON", &json }, IMPORT_OPTIONS(b), OPTIONS_END };
    int status = options_parse(&c, table, argc, argv, &model);
    if (status >= 0)
        return status;
    return tool_is_compiled(model.v[0]) ? tool_inspect_file(model.v[0], json) : inspect_source(model.v[0], &b, json);
}
