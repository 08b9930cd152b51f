/* export_emit.c -- the words of an ONNX file: names, nodes, attributes, tensors, types. See export.h.
 *
 * Everything is a protobuf-c message in the export's arena. A tensor's bytes stay where the module has them: a message only points there, so that
 * the weights are in memory once, however large the file. What the file stores otherwise than memory does (elements of less than a byte, splats) is
 * written out first.
 */
#include <stdarg.h>
#include <string.h>

#include "export.h"

enum { SPLAT_INLINE = 64 };         /* elements: a larger splat is a ConstantOfShape */

/* ---- lists and names ---- */

void list_add(Exporter *e, PtrList *l, void *p)
{
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 8;
        void **grown = ARENA_ARRAY(e->arena, void *, l->room);
        if (l->n)
            memcpy(grown, l->v, sizeof *grown * (size_t)l->n);
        l->v = grown;
    }
    l->v[l->n++] = p;
}

/* The table keeps the last number tried for each wish. */
static const char *new_name(Exporter *e, NameTable *t, const char *wish)
{
    uintptr_t k = (uintptr_t)names_get(t, wish);
    const char *name = wish;
    while (k && names_get(t, name = arena_printf(e->arena, "%s_%zu", wish, (size_t)++k)))
        ;
    names_put(e->arena, t, wish, (void *)(k ? k : 1));
    if (k)
        names_put(e->arena, t, name, (void *)(uintptr_t)1);
    return name;
}

const char *export_name(Exporter *e, const char *wish)
{
    return new_name(e, &e->taken, wish);
}

bool export_gap(Exporter *e, const Node *n, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *what = arena_vprintf(e->arena, fmt, ap);
    va_end(ap);
    Loc loc = n->loc;
    loc.file = loc.file ? loc.file : e->m->file;
    e->ok = false;
    return diag_error(e->m->diag, loc, "%s cannot be written as ONNX: %s", op_name(n->op), what);
}

void export_need_opset(Exporter *e, int opset)
{
    if (e->opset < opset)
        e->opset = opset;
}

/* ---- nodes ---- */

Onnx__NodeProto *export_node(Exporter *e, const char *op, int n, const Term *in)
{
    Onnx__NodeProto *p = ARENA_NEW(e->arena, Onnx__NodeProto);
    const char *from = e->at && e->at->loc.node && e->at->loc.node[0] ? e->at->loc.node : op;
    onnx__node_proto__init(p);
    while (n && !in[n - 1])
        n--;
    p->op_type = arena_str(e->arena, op);
    p->name = arena_str(e->arena, new_name(e, &e->node_taken, from));
    p->n_input = (size_t)n;
    p->input = ARENA_ARRAY(e->arena, char *, n + 1);
    for (int i = 0; i < n; i++)
        p->input[i] = arena_str(e->arena, in[i] ? in[i] : "");
    list_add(e, &e->scope->node, p);
    return p;
}

void export_domain(Exporter *e, Onnx__NodeProto *p, const char *domain)
{
    p->domain = arena_str(e->arena, domain);
    e->uses_ml |= !strcmp(domain, "ai.onnx.ml");
    e->uses_ms |= !strcmp(domain, "com.microsoft");
}

static void add_output(Exporter *e, Onnx__NodeProto *p, const char *name)
{
    char **all = ARENA_ARRAY(e->arena, char *, p->n_output + 1);
    if (p->n_output)
        memcpy(all, p->output, sizeof *all * p->n_output);
    all[p->n_output++] = arena_str(e->arena, name);
    p->output = all;
}

Term export_result(Exporter *e, Onnx__NodeProto *p)
{
    Term t = export_name(e, arena_printf(e->arena, "%s_out", p->name));
    add_output(e, p, t);
    return t;
}

void export_skip(Exporter *e, Onnx__NodeProto *p)
{
    add_output(e, p, "");
}

bool export_give(Exporter *e, Onnx__NodeProto *p, Value *v)
{
    const char *wish = (const char *)ptrmap_get(&e->wish, v, 0);
    Term t = wish ? wish : export_name(e, v->name && v->name[0] ? v->name : arena_printf(e->arena, "%s_out", p->name));
    add_output(e, p, t);
    export_bind(e, v, t);
    return true;
}

/* ---- attributes ---- */

static Onnx__AttributeProto *add_attr(Exporter *e, Onnx__NodeProto *p, const char *name, Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *a = ARENA_NEW(e->arena, Onnx__AttributeProto), **all = ARENA_ARRAY(e->arena, Onnx__AttributeProto *, p->n_attribute + 1);
    onnx__attribute_proto__init(a);
    a->name = arena_str(e->arena, name);
    a->type = type;
    if (p->n_attribute)
        memcpy(all, p->attribute, sizeof *all * p->n_attribute);
    all[p->n_attribute++] = a;
    p->attribute = all;
    return a;
}

static ProtobufCBinaryData bytes_of(Exporter *e, const char *s)
{
    return (ProtobufCBinaryData){ strlen(s), (uint8_t *)arena_str(e->arena, s) };
}

void export_attr_i(Exporter *e, Onnx__NodeProto *p, const char *name, int64_t v)
{
    add_attr(e, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT)->i = v;
}

void export_attr_f(Exporter *e, Onnx__NodeProto *p, const char *name, double v)
{
    add_attr(e, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT)->f = (float)v;
}

void export_attr_s(Exporter *e, Onnx__NodeProto *p, const char *name, const char *v)
{
    add_attr(e, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING)->s = bytes_of(e, v);
}

void export_attr_ints(Exporter *e, Onnx__NodeProto *p, const char *name, IntVec v)
{
    Onnx__AttributeProto *a = add_attr(e, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    a->n_ints = (size_t)v.n;
    a->ints = v.n ? arena_copy(e->arena, v.v, sizeof *a->ints * (size_t)v.n) : NULL;
}

void export_attr_floats(Exporter *e, Onnx__NodeProto *p, const char *name, FloatVec v)
{
    Onnx__AttributeProto *a = add_attr(e, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
    a->n_floats = (size_t)v.n;
    a->floats = ARENA_ARRAY(e->arena, float, v.n + 1);
    for (int i = 0; i < v.n; i++)
        a->floats[i] = (float)v.v[i];
}

void export_attr_strs(Exporter *e, Onnx__NodeProto *p, const char *name, StrVec v)
{
    Onnx__AttributeProto *a = add_attr(e, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS);
    a->n_strings = (size_t)v.n;
    a->strings = ARENA_ARRAY(e->arena, ProtobufCBinaryData, v.n + 1);
    for (int i = 0; i < v.n; i++)
        a->strings[i] = bytes_of(e, v.v[i]);
}

void export_attr_tensor(Exporter *e, Onnx__NodeProto *p, const char *name, const Tensor *t)
{
    add_attr(e, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR)->t = export_tensor_proto(e, "", t);
}

void export_attr_graph(Exporter *e, Onnx__NodeProto *p, const char *name, Onnx__GraphProto *g)
{
    add_attr(e, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH)->g = g;
}

void export_attr_type(Exporter *e, Onnx__NodeProto *p, const char *name, const Type *t)
{
    add_attr(e, p, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TYPE_PROTO)->tp = export_type_proto(e, t);
}

/* ---- tensors ---- */

/* The least operator set and file version that know the element type. */
void export_need_type(Exporter *e, DType t)
{
    if (t == DT_f4e2m1)
        export_need_opset(e, 23);
    if (t == DT_f8e8m0)
        export_need_opset(e, 24);
    if (t == DT_u2 || t == DT_i2)
        export_need_opset(e, 25);
}

/* Elements of 2 or 4 bits, the first in the low bits of the first byte. */
static ProtobufCBinaryData packed_elements(Exporter *e, const Tensor *t, int bits)
{
    int per = 8 / bits;
    size_t n = (size_t)((t->count + per - 1) / per);
    uint8_t *out = ARENA_ARRAY(e->arena, uint8_t, n + 1);
    const uint8_t *in = t->data;
    for (int64_t i = 0; i < t->count; i++)
        out[i / per] |= (uint8_t)((in[i] & ((1 << bits) - 1)) << (i % per * bits));
    return (ProtobufCBinaryData){ n, out };
}

static void add_strings(Exporter *e, Onnx__TensorProto *p, const Tensor *t)
{
    const StrElement *s = t->data;
    p->n_string_data = (size_t)t->count;
    p->string_data = ARENA_ARRAY(e->arena, ProtobufCBinaryData, t->count + 1);
    for (int64_t i = 0; i < t->count; i++)
        p->string_data[i] = (ProtobufCBinaryData){ (size_t)s[i].bytes, (uint8_t *)(uintptr_t)s[i].data };
}

Onnx__TensorProto *export_tensor_proto(Exporter *e, const char *name, const Tensor *t)
{
    Onnx__TensorProto *p = ARENA_NEW(e->arena, Onnx__TensorProto);
    int bits = dtype_table[t->dtype].bits;
    onnx__tensor_proto__init(p);
    t = tensor_dense(e->arena, t);
    export_need_type(e, t->dtype);
    p->name = arena_str(e->arena, name);
    p->data_type = dtype_table[t->dtype].onnx;
    p->n_dims = (size_t)t->rank;
    p->dims = t->rank ? arena_copy(e->arena, t->dim, sizeof *p->dims * (size_t)t->rank) : NULL;
    if (t->dtype == DT_str)
        add_strings(e, p, t);
    else if (bits < 8)
        p->raw_data = packed_elements(e, t, bits);
    else
        p->raw_data = (ProtobufCBinaryData){ tensor_bytes(t), (uint8_t *)(uintptr_t)t->data };
    return p;
}

/* A splat of many elements: made when the model is loaded, in the outermost graph, where every subgraph sees it. */
static Term splat_node(Exporter *e, const char *name, const Tensor *t)
{
    Scope *here = e->scope;
    e->scope = e->root;
    Tensor *one = tensor_splat(e->arena, t->dtype, 1, (int64_t[]){ 1 }, t->data);
    Onnx__NodeProto *p = EMIT(e, "ConstantOfShape", export_ints(e, t->rank, t->dim));
    export_attr_tensor(e, p, "value", one);
    Term y = export_name(e, name);
    add_output(e, p, y);
    e->scope = here;
    return y;
}

Term export_tensor(Exporter *e, const char *name, const Tensor *t)
{
    if (t->splat && t->count > SPLAT_INLINE && dtype_table[t->dtype].bits >= 8 && t->dtype != DT_str)
        return splat_node(e, name, t);
    Onnx__TensorProto *p = export_tensor_proto(e, export_name(e, name), t);
    list_add(e, &e->initializer, p);
    return p->name;
}

/* A small constant that the writer itself needs: one for equal contents. */
static Term pooled(Exporter *e, const char *key, const Tensor *t)
{
    Term known = names_get(&e->pool, key);
    if (known)
        return known;
    Term made = export_tensor(e, key, t);
    names_put(e->arena, &e->pool, key, (void *)(uintptr_t)made);
    return made;
}

Term export_scalar(Exporter *e, DType t, double x)
{
    Tensor *k = tensor_new(e->arena, t, 0, NULL);
    tensor_set_f64(k, 0, x);
    return pooled(e, arena_printf(e->arena, "k_%s_%.17g", dtype_name(t), x), k);
}

Term export_ints(Exporter *e, int n, const int64_t *v)
{
    const char *key = "k";
    Tensor *k = tensor_new(e->arena, DT_i64, 1, (int64_t[]){ n });
    if (n)
        memcpy((void *)(uintptr_t)k->data, v, sizeof *v * (size_t)n);
    for (int i = 0; i < n; i++)
        key = arena_printf(e->arena, "%s_%lld", key, (long long)v[i]);
    return pooled(e, n ? key : "k_none", k);
}

Term export_as(Exporter *e, Term x, DType to)
{
    Onnx__NodeProto *p = EMIT(e, "Cast", x);
    export_attr_i(e, p, "to", dtype_table[to].onnx);
    export_need_type(e, to);
    return export_result(e, p);
}

Term export_reshape_term(Exporter *e, Term x, int n, const int64_t *dim)
{
    return TERM(e, "Reshape", x, export_ints(e, n, dim));
}

/* ---- types ---- */

static Onnx__TensorShapeProto *shape_proto(Exporter *e, const Type *t)
{
    Onnx__TensorShapeProto *s = ARENA_NEW(e->arena, Onnx__TensorShapeProto);
    onnx__tensor_shape_proto__init(s);
    s->n_dim = (size_t)t->rank;
    s->dim = ARENA_ARRAY(e->arena, Onnx__TensorShapeProto__Dimension *, t->rank + 1);
    for (int i = 0; i < t->rank; i++) {
        Onnx__TensorShapeProto__Dimension *d = s->dim[i] = ARENA_NEW(e->arena, Onnx__TensorShapeProto__Dimension);
        onnx__tensor_shape_proto__dimension__init(d);
        if (dim_is_const(t->dim[i]) && t->dim[i]->k >= 0) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d->dim_value = t->dim[i]->k;
        } else if (!dim_is_const(t->dim[i])) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d->dim_param = arena_str(e->arena, dim_print(e->m->dims, e->arena, t->dim[i]));
        }
    }
    return s;
}

static Onnx__TypeProto *tensor_type_proto(Exporter *e, const Type *t)
{
    Onnx__TypeProto *p = ARENA_NEW(e->arena, Onnx__TypeProto);
    Onnx__TypeProto__Tensor *x = ARENA_NEW(e->arena, Onnx__TypeProto__Tensor);
    onnx__type_proto__init(p);
    onnx__type_proto__tensor__init(x);
    export_need_type(e, t->dtype);
    x->elem_type = dtype_table[t->dtype].onnx;
    x->shape = t->rank >= 0 ? shape_proto(e, t) : NULL;
    p->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    p->tensor_type = x;
    return p;
}

Onnx__TypeProto *export_type_proto(Exporter *e, const Type *t)
{
    if (t->kind == TY_TENSOR)
        return tensor_type_proto(e, t);
    Onnx__TypeProto *p = ARENA_NEW(e->arena, Onnx__TypeProto);
    onnx__type_proto__init(p);
    if (t->kind == TY_OPTIONAL) {
        p->value_case = ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE;
        p->optional_type = ARENA_NEW(e->arena, Onnx__TypeProto__Optional);
        onnx__type_proto__optional__init(p->optional_type);
        p->optional_type->elem_type = export_type_proto(e, t->elem);
    } else {
        p->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
        p->sequence_type = ARENA_NEW(e->arena, Onnx__TypeProto__Sequence);
        onnx__type_proto__sequence__init(p->sequence_type);
        p->sequence_type->elem_type = export_type_proto(e, t->elem);
    }
    return p;
}
