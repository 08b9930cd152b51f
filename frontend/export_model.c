/* export_model.c -- a module as an ONNX file: which nodes are written, graphs and subgraphs, the model around them, the file.
 *
 * The graph may be as imported or simplified (fold, cse, dce, rules), not laid out or fused. One walk backwards marks what is wanted and finds patterns
 * that ONNX has one operator for (export_match.c); one walk forwards writes it (export_ops.def). Sizes that are symbols become arithmetic on shapes
 * (export_sizes.c). Checks that inference asked for are not written: whoever reads the file asks for them again.
 *
 * Names of inputs, outputs, tensors and nodes stay. Weights are written from where they lie. What cannot be written is said for all nodes in one run.
 */
#include <string.h>

#include "export.h"
#include "frontend.h"
#include "outfile.h"

enum {
    OPSET = 21,                     /* the least that is written; some element types need more */
    OPSET_ML = 3,
    ALIGN = 4096,                   /* of tensors in a side file, so that they can be mapped */
    SMALL = 1024                    /* bytes: a tensor that stays in the model */
};

/* ---- ops ---- */

static const char *const ew_name[OP_count] = {
#define EXPORT_EW(op, onnx) [OP_##op] = onnx,
#include "export_ops.def"
};

static ExportFn *const export_fn[OP_count] = {
#define EXPORT(op) [OP_##op] = export_##op,
#include "export_ops.def"
};

/* ---- terms ---- */

void export_bind(Exporter *e, Value *v, Term t)
{
    *ptrmap_at(&e->scope->term, v) = (uintptr_t)t;
}

/* A constant is written where it is first used, but belongs to the outermost graph. */
static Term constant_term(Exporter *e, Value *v)
{
    const char *name = v->name && v->name[0] ? v->name : "constant";
    Term t = export_tensor(e, name, NODE_ATTR(v->def, constant)->value);
    *ptrmap_at(&e->root->term, v) = (uintptr_t)t;
    return t;
}

Term export_term(Exporter *e, Value *v)
{
    uintptr_t t = 0;
    for (Scope *s = e->scope; s && !t; s = s->outer)
        t = ptrmap_get(&s->term, v, 0);
    return t ? (Term)t : v->def->op == OP_constant ? constant_term(e, v) : "";
}

Term export_in(Exporter *e, const Node *n, int i)
{
    return node_in(n, i) ? export_term(e, node_in(n, i)) : NULL;
}

/* ---- what is wanted ---- */

static void want(Exporter *e, Value *v)
{
    if (v)
        *ptrmap_at(&e->live, v) = 1;
}

typedef struct WantSizes { Exporter *e; const Graph *g; } WantSizes;

static void want_symbol(void *ctx, int sym)
{
    const WantSizes *w = ctx;
    Dim d = dim_symbol(w->e->m->dims, dim_symbol_at(w->e->m->dims, sym)->name);
    const SizeSource *s = export_source(w->e, w->g, d);
    want(w->e, s ? s->v : NULL);
}

static void want_dims(WantSizes *w, int n, const Dim *d)
{
    for (int i = 0; i < n; i++)
        dim_symbols_used(d[i], want_symbol, w);
}

static void want_type(WantSizes *w, const Value *v)
{
    if (v && v->type.kind == TY_TENSOR && v->type.rank > 0)
        want_dims(w, v->type.rank, v->type.dim);
}

/* Sizes that an export function may ask for: those in the attributes, and the shapes of operands and results. */
static void want_sizes(Exporter *e, const Node *n)
{
    WantSizes w = { e, n->graph };
    const OpInfo *op = &op_table[n->op];
    for (int i = 0; i < op->nattr; i++)
        if (op->attr[i].kind == AK_dims && n->op != OP_loop) {
            const DimVec *d = (const DimVec *)((const char *)n->attrs + op->attr[i].offset);
            want_dims(&w, d->n, d->v);
        }
    for (int i = 0; i < n->nin; i++)
        want_type(&w, node_in(n, i));
    for (int i = 0; i < n->nout; i++)
        want_type(&w, &n->out[i]);
}

static bool is_live(const Exporter *e, const Node *n)
{
    for (int i = 0; i < n->nout; i++)
        if (ptrmap_get(&e->live, &n->out[i], 0))
            return true;
    return n->op == OP_return;
}

static void mark_graph(Exporter *e, const Graph *g);

static void mark_node(Exporter *e, Node *n)
{
    const Match *k = export_find(e, n);
    *ptrmap_at(&e->match, n) = (uintptr_t)k;
    for (size_t i = 0; k && i < sizeof k->in / sizeof *k->in; i++)
        want(e, k->in[i]);
    for (int i = 0; !k && i < n->nin; i++)
        want(e, node_in(n, i));
    want_sizes(e, n);
    if (n->op == OP_if) {
        mark_graph(e, NODE_ATTR(n, if)->then_graph);
        mark_graph(e, NODE_ATTR(n, if)->else_graph);
    } else if (n->op == OP_loop)
        mark_graph(e, NODE_ATTR(n, loop)->body);
}

static void mark_graph(Exporter *e, const Graph *g)
{
    for (Node *n = g->last; n; n = n->prev)
        if (is_live(e, n))
            mark_node(e, n);
}

/* ---- writing nodes ---- */

static bool write_ew(Exporter *e, const Node *n)
{
    Term in[3] = { NULL };
    for (int i = 0; i < n->nin; i++)
        in[i] = export_in(e, n, i);
    return export_give(e, export_node(e, ew_name[n->op], n->nin, in), node_out(n));
}

/* A node that cannot be written still gives its results names, so that the nodes behind it are looked at too. */
static void write_node(Exporter *e, Node *n)
{
    const Match *k = (const Match *)ptrmap_get(&e->match, n, 0);
    e->at = n;
    if (k)
        e->ok &= k->write(e, n, k);
    else if (ew_name[n->op])
        e->ok &= write_ew(e, n);
    else if (export_fn[n->op])
        e->ok &= export_fn[n->op](e, n);
    else
        export_gap(e, n, "no ONNX operator is known that does this");
}

/* The i-th result of a graph under this name: an Identity where the value is called otherwise, or is not made in this graph. */
static Term result_term(Exporter *e, Value *v, const char *name)
{
    Term t = export_term(e, v);
    bool made = v->def->op != OP_input && v->def->op != OP_constant && (Term)ptrmap_get(&e->scope->term, v, 0) == t;
    if (made && name && !strcmp(t, name))
        return t;
    Onnx__NodeProto *p = EMIT(e, "Identity", t);
    if (!name)
        return export_result(e, p);
    p->output = ARENA_ARRAY(e->arena, char *, 1);
    p->output[0] = arena_str(e->arena, name);
    p->n_output = 1;
    return name;
}

static Onnx__ValueInfoProto *value_info(Exporter *e, const char *name, const Type *t)
{
    Onnx__ValueInfoProto *p = ARENA_NEW(e->arena, Onnx__ValueInfoProto);
    onnx__value_info_proto__init(p);
    p->name = arena_str(e->arena, name);
    p->type = export_type_proto(e, t);
    return p;
}

void export_declare(Exporter *e, Term t, DType type, int64_t rank)
{
    Dim dim[MAX_RANK];
    for (int i = 0; i < rank; i++)
        dim[i] = dim_const(e->m->dims, -1);
    Type open = type_tensor(e->m, type, (int)rank, dim);
    list_add(e, &e->scope->declared, value_info(e, t, &open));
}

static Onnx__GraphProto *graph_proto(Exporter *e, const char *name, PtrList in, PtrList out)
{
    Onnx__GraphProto *p = ARENA_NEW(e->arena, Onnx__GraphProto);
    onnx__graph_proto__init(p);
    p->name = arena_str(e->arena, name);
    p->n_node = (size_t)e->scope->node.n, p->node = (Onnx__NodeProto **)e->scope->node.v;
    p->n_input = (size_t)in.n, p->input = (Onnx__ValueInfoProto **)in.v;
    p->n_output = (size_t)out.n, p->output = (Onnx__ValueInfoProto **)out.v;
    p->n_value_info = (size_t)e->scope->declared.n, p->value_info = (Onnx__ValueInfoProto **)e->scope->declared.v;
    return p;
}

static void write_nodes(Exporter *e, const Graph *g)
{
    FOR_EACH_NODE(n, g)
        if (n->op != OP_return && n->op != OP_input && n->op != OP_constant && is_live(e, n))
            write_node(e, n);
}

static PtrList write_results(Exporter *e, const Graph *g)
{
    const Node *ret = graph_return(g);
    const StrVec *names = &NODE_ATTR(ret, return)->names;
    PtrList out = { 0 };
    e->at = ret;
    for (int i = 0; i < ret->nin; i++) {
        Value *v = node_in(ret, i);
        Term t = result_term(e, v, g->parent || i >= names->n ? NULL : names->v[i]);
        list_add(e, &out, value_info(e, t, &v->type));
    }
    return out;
}

static Scope scope_of(Exporter *e, const Graph *g)
{
    return (Scope){ .outer = e->scope, .g = g, .term = ptrmap_new(e->arena), .size = ptrmap_new(e->arena) };
}

Onnx__GraphProto *export_region(Exporter *e, const Node *owner, Graph *g, int own, int operand)
{
    Scope s = scope_of(e, g);
    PtrList in = { 0 };
    const char *name = owner->loc.node && owner->loc.node[0] ? owner->loc.node : op_name(owner->op);
    e->scope = &s;
    FOR_EACH_NODE(n, g) {
        Value *v = n->op == OP_input ? node_out(n) : NULL;
        int index = v ? (int)NODE_ATTR(n, input)->index : 0;
        if (v && index >= own)
            export_bind(e, v, export_term(e, node_in(owner, operand + index - own)));
    }
    for (int i = 0; i < own; i++) {
        Value *v = NULL;
        FOR_EACH_NODE(n, g)
            v = n->op == OP_input && NODE_ATTR(n, input)->index == i ? node_out(n) : v;
        export_bind(e, v, export_name(e, v->name && v->name[0] ? v->name : "state"));
        list_add(e, &in, value_info(e, export_term(e, v), &v->type));
        Type flag = { .kind = TY_TENSOR, .dtype = DT_bool };
        if (i == 0 && owner->op == OP_loop)
            list_add(e, &in, value_info(e, export_name(e, "going"), &flag));
    }
    write_nodes(e, g);
    PtrList out = write_results(e, g);
    Onnx__GraphProto *p = graph_proto(e, name, in, out);
    e->scope = s.outer;
    e->at = owner;
    return p;
}

/* ---- the model ---- */

/* Inputs and outputs have their names before anything else wants them. */
static PtrList write_inputs(Exporter *e, const Graph *g)
{
    PtrList in = { 0 };
    int n = graph_inputs(g, NULL, 0);
    Value **v = ARENA_ARRAY(e->arena, Value *, n + 1);
    graph_inputs(g, v, n);
    for (int i = 0; i < n; i++) {
        Term t = export_name(e, v[i]->name ? v[i]->name : "input");
        export_bind(e, v[i], t);
        list_add(e, &in, value_info(e, t, &v[i]->type));
    }
    return in;
}

static void reserve_outputs(Exporter *e, const Graph *g)
{
    const Node *ret = graph_return(g);
    const StrVec *names = &NODE_ATTR(ret, return)->names;
    for (int i = 0; i < ret->nin && i < names->n; i++) {
        Value *v = node_in(ret, i);
        const char *name = export_name(e, names->v[i]);
        if (!strcmp(name, names->v[i]) && v->def->op != OP_input && v->def->op != OP_constant && !ptrmap_get(&e->wish, v, 0))
            *ptrmap_at(&e->wish, v) = (uintptr_t)names->v[i];
    }
}

static Onnx__GraphProto *write_graph(Exporter *e)
{
    const Graph *g = e->m->graph;
    Scope s = scope_of(e, g);
    e->scope = e->root = &s;
    PtrList in = write_inputs(e, g);
    reserve_outputs(e, g);
    mark_graph(e, g);
    write_nodes(e, g);
    PtrList out = write_results(e, g);
    Onnx__GraphProto *p = graph_proto(e, "main", in, out);
    p->n_initializer = (size_t)e->initializer.n;
    p->initializer = (Onnx__TensorProto **)e->initializer.v;
    return p;
}

static void import_opset(Exporter *e, Onnx__ModelProto *p, const char *domain, int version)
{
    Onnx__OperatorSetIdProto *s = ARENA_NEW(e->arena, Onnx__OperatorSetIdProto);
    onnx__operator_set_id_proto__init(s);
    s->domain = arena_str(e->arena, domain);
    s->version = version;
    p->opset_import[p->n_opset_import++] = s;
}

static Onnx__ModelProto *write_model(Exporter *e)
{
    Onnx__ModelProto *p = ARENA_NEW(e->arena, Onnx__ModelProto);
    onnx__model_proto__init(p);
    p->graph = write_graph(e);
    p->ir_version = e->opset > 24 ? 12 : e->opset > 21 ? 11 : 10;
    p->producer_name = arena_str(e->arena, "ingot");
    p->producer_version = arena_str(e->arena, INGOT_VERSION);
    p->opset_import = ARENA_ARRAY(e->arena, Onnx__OperatorSetIdProto *, 3);
    import_opset(e, p, "", e->opset);
    if (e->uses_ml)
        import_opset(e, p, "ai.onnx.ml", OPSET_ML);
    if (e->uses_ms)
        import_opset(e, p, "com.microsoft", 1);
    return p;
}

/* ---- the side file: the bytes of tensors that one protobuf message cannot hold ---- */

static int64_t weight_bytes(const Onnx__GraphProto *g)
{
    int64_t n = 0;
    for (size_t i = 0; i < g->n_initializer; i++)
        n += (int64_t)g->initializer[i]->raw_data.len;
    return n;
}

static Onnx__StringStringEntryProto *entry(Exporter *e, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *p = ARENA_NEW(e->arena, Onnx__StringStringEntryProto);
    onnx__string_string_entry_proto__init(p);
    p->key = arena_str(e->arena, key);
    p->value = arena_str(e->arena, value);
    return p;
}

static void move_outside(Exporter *e, Onnx__TensorProto *t, const char *file, uint64_t offset)
{
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    t->n_external_data = 3;
    t->external_data = ARENA_ARRAY(e->arena, Onnx__StringStringEntryProto *, 3);
    t->external_data[0] = entry(e, "location", file);
    t->external_data[1] = entry(e, "offset", arena_printf(e->arena, "%llu", (unsigned long long)offset));
    t->external_data[2] = entry(e, "length", arena_printf(e->arena, "%zu", t->raw_data.len));
    t->raw_data = (ProtobufCBinaryData){ 0, NULL };
}

static bool write_side_file(Exporter *e, Onnx__GraphProto *g, const char *path)
{
    static const char zero[ALIGN];
    const char *side = arena_printf(e->arena, "%s.data", path), *slash = strrchr(side, '/');
    uint64_t at = 0;
    OutFile f;
    if (!outfile_open(&f, e->m->diag, side))
        return false;
    for (size_t i = 0; i < g->n_initializer; i++) {
        Onnx__TensorProto *t = g->initializer[i];
        size_t gap = (size_t)(-at % ALIGN), n = t->raw_data.len;
        if (n < SMALL)
            continue;
        fwrite(zero, 1, gap, f.f);
        fwrite(t->raw_data.data, 1, n, f.f);
        at += gap + n;
        move_outside(e, t, slash ? slash + 1 : side, at - n);
    }
    return outfile_commit(&f);
}

/* ---- the file ---- */

typedef struct FileBuffer {
    ProtobufCBuffer base;
    FILE *f;
} FileBuffer;

static void append(ProtobufCBuffer *b, size_t n, const uint8_t *data)
{
    fwrite(data, 1, n, ((FileBuffer *)(void *)b)->f);
}

static bool write_file(Exporter *e, const Onnx__ModelProto *p, const char *path)
{
    OutFile f;
    if (!outfile_open(&f, e->m->diag, path))
        return false;
    FileBuffer b = { { append }, f.f };
    onnx__model_proto__pack_to_buffer(p, &b.base);
    return outfile_commit(&f);
}

static bool export_module(Exporter *e, const char *path, int64_t inline_bytes)
{
    Onnx__ModelProto *p = write_model(e);
    if (!e->ok)
        return false;
    return (weight_bytes(p->graph) <= inline_bytes || write_side_file(e, p->graph, path)) && write_file(e, p, path);
}

bool onnx_export_split(Module *m, const char *path, int64_t inline_bytes)
{
    Arena *a = arena_new();
    Exporter e = { .m = m, .arena = a, .opset = OPSET, .ok = true };
    e.live = ptrmap_new(a), e.wish = ptrmap_new(a), e.sources = ptrmap_new(a), e.match = ptrmap_new(a);
    unsigned wrong = m->graph->props & (GP_LAID_OUT | GP_FUSED | GP_PLANNED);
    bool ok = wrong ? diag_error(m->diag, (Loc){ .file = m->file }, "a graph that is laid out for this machine cannot be written as ONNX; stop before the pass layout")
                    : export_module(&e, path, inline_bytes);
    arena_free(a);
    return ok;
}

bool onnx_export(Module *m, const char *path)
{
    return onnx_export_split(m, path, ONNX_INLINE_BYTES);
}
