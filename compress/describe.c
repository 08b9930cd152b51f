/* describe.c -- a module's inputs, outputs and symbols as an ingot_model, so that the runtime's tools (input files, printing) serve both worlds. */
#include "describe.h"

#include <stdlib.h>
#include <string.h>

#include "eval.h"
#include "frontend.h"

_Static_assert((int)MAX_RANK == (int)INGOT_MAX_RANK, "the IR and the model interface allow the same ranks");

/* Number of an input symbol among the input symbols, in the order of the table; n counts them. */
static int symbol_number(const DimTable *t, int index)
{
    int n = 0;
    for (int i = 0; i < index; i++)
        n += !dim_symbol_at(t, i)->from_data;
    return n;
}

/* What is neither a size nor a plain symbol (an output's 2*N+1) gets a number that means only "see the text". */
static int64_t port_dim(const DimTable *t, Dim d)
{
    if (dim_is_const(d))
        return d->k;
    if (d->op == DIM_SYM && !dim_symbol_at(t, (int)d->k)->from_data)
        return -1 - symbol_number(t, (int)d->k);
    return -1 - symbol_number(t, dim_symbol_count(t));
}

int32_t container_code(TypeKind kind)
{
    return kind == TY_SEQUENCE ? INGOT_SEQUENCE : kind == TY_OPTIONAL ? INGOT_OPTIONAL : INGOT_MAP;
}

static ingot_port describe_container(Module *m, const Type *type, const char *name)
{
    int64_t *dim = ARENA_NEW(m->arena, int64_t);
    const char **text = ARENA_NEW(m->arena, const char *);
    *text = type_print(m, m->arena, type);
    return (ingot_port){ .name = name ? name : "", .dtype = container_code(type->kind), .rank = 1, .dim = dim, .dim_text = text };
}

static ingot_port describe_port(Module *m, const Type *type, const char *name)
{
    if (type->kind != TY_TENSOR)
        return describe_container(m, type, name);
    ingot_port p = { .name = name ? name : "", .dtype = dtype_table[type->dtype].onnx, .rank = type->rank };
    int64_t *dim = ARENA_ARRAY(m->arena, int64_t, p.rank + 1);
    const char **text = ARENA_ARRAY(m->arena, const char *, p.rank + 1);
    for (int i = 0; i < p.rank; i++) {
        dim[i] = port_dim(m->dims, type->dim[i]);
        text[i] = dim_print(m->dims, m->arena, type->dim[i]);
    }
    p.dim = dim;
    p.dim_text = text;
    return p;
}

static void describe_inputs(Module *m, ingot_model *out)
{
    int n = graph_inputs(m->graph, NULL, 0);
    Value **v = ARENA_ARRAY(m->arena, Value *, n + 1);
    ingot_port *ports = ARENA_ARRAY(m->arena, ingot_port, n + 1);
    graph_inputs(m->graph, v, n);
    for (int i = 0; i < n; i++)
        ports[i] = describe_port(m, &v[i]->type, v[i]->name);
    out->n_inputs = n;
    out->input = ports;
}

static void describe_outputs(Module *m, ingot_model *out)
{
    const Node *ret = graph_return(m->graph);
    const StrVec names = NODE_ATTR(ret, return)->names;
    ingot_port *ports = ARENA_ARRAY(m->arena, ingot_port, ret->nin + 1);
    for (int i = 0; i < ret->nin; i++)
        ports[i] = describe_port(m, &node_in(ret, i)->type, i < names.n ? names.v[i] : node_in(ret, i)->name);
    out->n_outputs = ret->nin;
    out->output = ports;
}

const ingot_model *describe_module(Module *m)
{
    ingot_model *out = ARENA_NEW(m->arena, ingot_model);
    int n = dim_symbol_count(m->dims);
    const char **symbols = ARENA_ARRAY(m->arena, const char *, n + 1);
    for (int i = 0; i < n; i++)
        if (!dim_symbol_at(m->dims, i)->from_data)
            symbols[out->n_symbols++] = dim_symbol_at(m->dims, i)->name;
    out->magic = INGOT_ABI_MAGIC;
    out->abi_version = INGOT_ABI_VERSION;
    out->name = m->name;
    out->producer = m->producer ? m->producer : "";
    out->target = out->cpu_features = "";
    out->symbol = symbols;
    describe_inputs(m, out);
    describe_outputs(m, out);
    return out;
}

const Tensor *tensor_of_runtime(Arena *a, const ingot_tensor *t)
{
    if (t->dtype >= INGOT_SEQUENCE) {
        Tensor *c = eval_container(a);
        memcpy((void *)(uintptr_t)c->data, t, sizeof *t);
        return c;
    }
    Tensor *x = ARENA_NEW(a, Tensor);
    x->dtype = dtype_from_onnx(t->dtype);
    x->rank = t->rank;
    x->dim = arena_copy(a, t->dim, sizeof t->dim);
    x->count = ingot_count(t);
    x->data = t->data;
    return x;
}

ingot_tensor tensor_to_runtime(Arena *a, const Tensor *t)
{
    t = tensor_dense(a, t);
    ingot_tensor x = { .data = (void *)(uintptr_t)t->data, .dtype = dtype_table[t->dtype].onnx, .rank = t->rank };
    if (t->rank)
        memcpy(x.dim, t->dim, sizeof *t->dim * (size_t)t->rank);
    return x;
}

int describe_read_pb(const char *path, const ingot_port *p, ingot_tensor *t, ingot_error *err)
{
    enum { SEVERITY = sizeof "error: " - 1 };
    Arena *a = arena_new();
    Diag d;
    (void)p;
    diag_init(&d, a, NULL);
    const Tensor *x = onnx_read_tensor(a, &d, path);
    if (x) {
        *t = tensor_to_runtime(a, x);
        size_t bytes = (size_t)x->count * (size_t)dtype_bytes(x->dtype);
        void *copy = malloc(bytes + 1);
        t->data = copy ? memcpy(copy, t->data, bytes) : NULL;
    }
    int status = x && t->data ? INGOT_OK : INGOT_ERR_FILE;
    if (status)
        snprintf(err->text, sizeof err->text, "%.*s", d.first ? (int)strcspn(d.first, "\n") - SEVERITY : 13, d.first ? d.first + SEVERITY : "out of memory");
    arena_free(a);
    return status;
}
