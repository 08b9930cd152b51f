/* print.c -- the textual IR, written. docs/ir.md has the grammar; parse.c reads it back: parse(print(m)) equals m at every stage.
 *
 *   module "mnist"
 *   symbol N
 *
 *   graph typed {
 *     %0 = input() : f32[N,784] "x"
 *     %1 = constant() {value=f32[784,10] @blob:0,31360} : f32[784,10]
 *     %2 = matmul(%0, %1) : f32[N,10] @arena+0 "y" from "MatMul_3"
 *     return(%2) {names=["y"]}
 *   }
 *
 * A line is: results, op, operands, attributes that are not zero, then for each result its type, where it lives once memory is planned, and the
 * model's tensor name; last the model's node name. Nothing here knows an op by name: attributes are walked through op_table.
 *
 * Numbers come back bit for bit: floats with the fewest digits that do, NaN, infinities and small floats as hexadecimal bits.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attrs.h"
#include "strbuf.h"
#include "text.h"

typedef struct Printer {
    Module *m;
    Arena *arena;
    StrBuf out;
    BlobSink *blob;             /* NULL: large constants are left out */
    int depth;
    bool brief;                 /* nested graphs are left out */
} Printer;

static void print_graph(Printer *p, const Graph *g);

static void print_indent(Printer *p)
{
    strbuf_printf(&p->out, "%*s", 2 * p->depth, "");
}

static void print_dim(Printer *p, Dim d)
{
    strbuf_add(&p->out, dim_print(p->m->dims, p->arena, d));
}

/* ---- numbers ---- */

static void print_bits(Printer *p, const void *data, int bytes)
{
    strbuf_add(&p->out, "0x");
    for (int i = bytes - 1; i >= 0; i--)
        strbuf_printf(&p->out, "%02x", ((const unsigned char *)data)[i]);
}

static void print_f64(Printer *p, double x)
{
    char s[40];
    if (!isfinite(x)) {
        print_bits(p, &x, sizeof x);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, x);
        if (strtod(s, NULL) == x)
            break;
    }
    strbuf_add(&p->out, s);
}

static void print_f32(Printer *p, float x)
{
    char s[40];
    if (!isfinite(x)) {
        print_bits(p, &x, sizeof x);
        return;
    }
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, (double)x);
        if (strtof(s, NULL) == x)
            break;
    }
    strbuf_add(&p->out, s);
}

/* ---- tensors ---- */

static void print_element(Printer *p, DType t, const void *at)
{
    uint64_t bits = 0;
    float f;
    double d;
    int bytes = dtype_bytes(t), shift = 64 - 8 * bytes;
    if (t == DT_str) {
        const StrElement *s = at;
        strbuf_add_quoted_n(&p->out, s->data, (size_t)s->bytes);
        return;
    }
    memcpy(&bits, at, bytes < 8 ? (size_t)bytes : 8);
    switch (dtype_table[t].cls) {
    case CLS_FLOAT:
        if (t == DT_f32)
            memcpy(&f, at, sizeof f), print_f32(p, f);
        else
            memcpy(&d, at, sizeof d), print_f64(p, d);
        return;
    case CLS_INT: strbuf_printf(&p->out, "%" PRId64, (int64_t)(bits << shift) >> shift); return;
    case CLS_UINT: strbuf_printf(&p->out, "%" PRIu64, bits); return;
    case CLS_BOOL:
        if (bits <= 1) {
            strbuf_add(&p->out, bits ? "true" : "false");
            return;
        }
        break;
    default: break;
    }
    print_bits(p, at, bytes);
}

static void print_elements(Printer *p, const Tensor *t)
{
    strbuf_add(&p->out, t->splat ? "splat(" : "[");
    for (int64_t i = 0; i < (t->splat ? 1 : t->count); i++) {
        strbuf_add(&p->out, i ? ", " : "");
        print_element(p, t->dtype, (const char *)t->data + i * dtype_bytes(t->dtype));
    }
    strbuf_add(&p->out, t->splat ? ")" : "]");
}

static void print_tensor(Printer *p, const Tensor *t)
{
    strbuf_printf(&p->out, "%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        strbuf_printf(&p->out, "%s%" PRId64, i ? "," : "", t->dim[i]);
    strbuf_add(&p->out, "] ");
    if (t->splat || t->count <= TEXT_INLINE_ELEMENTS || t->dtype == DT_str)     /* the elements of a string tensor are pointers, a blob would not do */
        print_elements(p, t);
    else if (p->blob)
        strbuf_printf(&p->out, "@blob:%" PRIu64 ",%zu", p->blob->append(p->blob->ctx, t->data, tensor_bytes(t)), tensor_bytes(t));
    else
        strbuf_add(&p->out, "elided");
}

/* ---- attributes ---- */

/* One element of a list attribute. */
static void print_item(Printer *p, AttrKind k, const void *field, int i)
{
    switch (k) {
    case AK_ints: strbuf_printf(&p->out, "%" PRId64, ((const IntVec *)field)->v[i]); break;
    case AK_floats: print_f64(p, ((const FloatVec *)field)->v[i]); break;
    case AK_strs: strbuf_add_quoted(&p->out, ((const StrVec *)field)->v[i]); break;
    default: print_dim(p, ((const DimVec *)field)->v[i]); break;
    }
}

static void print_list(Printer *p, AttrKind k, const void *field)
{
    int n = *(const int *)field;                        /* every vector begins with its length */
    strbuf_add(&p->out, "[");
    for (int i = 0; i < n; i++) {
        strbuf_add(&p->out, i ? "," : "");
        print_item(p, k, field, i);
    }
    strbuf_add(&p->out, "]");
}

static void print_attr(Printer *p, AttrKind k, const void *field)
{
    switch (k) {
    case AK_i64: strbuf_printf(&p->out, "%" PRId64, *(const int64_t *)field); break;
    case AK_f64: print_f64(p, *(const double *)field); break;
    case AK_bool: strbuf_add(&p->out, *(const bool *)field ? "true" : "false"); break;
    case AK_str: strbuf_add_quoted(&p->out, *(const char *const *)field); break;
    case AK_dtype: strbuf_add(&p->out, dtype_name(*(const DType *)field)); break;
    case AK_ints: case AK_floats: case AK_strs: case AK_dims: print_list(p, k, field); break;
    case AK_tensor: print_tensor(p, *(const Tensor *const *)field); break;
    case AK_graph:
        if (p->brief)
            strbuf_add(&p->out, "graph");
        else
            print_graph(p, *(Graph *const *)field);
        break;
    }
}

static void print_attrs(Printer *p, const Node *n, const char *before, const char *after)
{
    bool any = false;
    FOR_EACH_ATTR(f, n->op) {
        const void *field = attr_at(f, n->attrs);
        if (attr_is_default(f->kind, field))
            continue;
        strbuf_printf(&p->out, "%s%s=", any ? ", " : before, f->name);
        print_attr(p, f->kind, field);
        any = true;
    }
    strbuf_add(&p->out, any ? after : "");
}

/* ---- nodes ---- */

static void print_storage(Printer *p, const Storage *s)
{
    if (s->kind == ST_NONE)
        return;
    strbuf_printf(&p->out, " @%s", text_storage_name[s->kind]);
    if (s->kind == ST_ARENA) {
        strbuf_add(&p->out, "+");
        print_dim(p, s->offset);
    } else if (s->kind == ST_ALIAS)
        strbuf_printf(&p->out, !s->of ? "(_)" : s->index ? "(%%%u+%d)" : "(%%%u)", s->of ? s->of->id : 0, s->index);
    else if (s->kind == ST_INPUT || s->kind == ST_OUTPUT || s->kind == ST_HEAP)
        strbuf_printf(&p->out, "+%d", s->index);
}

static void print_result(Printer *p, const Value *v)
{
    strbuf_add(&p->out, type_print(p->m, p->arena, &v->type));
    print_storage(p, &v->storage);
    if (v->name) {
        strbuf_add(&p->out, " ");
        strbuf_add_quoted(&p->out, v->name);
    }
}

static void print_node(Printer *p, const Node *n)
{
    for (int i = 0; i < n->nout; i++)
        strbuf_printf(&p->out, "%s%%%u", i ? ", " : "", n->out[i].id);
    strbuf_printf(&p->out, "%s%s(", n->nout ? " = " : "", op_name(n->op));
    for (int i = 0; i < n->nin; i++)
        strbuf_printf(&p->out, n->in[i].val ? "%s%%%u" : "%s_", i ? ", " : "", n->in[i].val ? n->in[i].val->id : 0);
    strbuf_add(&p->out, ")");
    print_attrs(p, n, " {", "}");
    for (int i = 0; i < n->nout; i++) {
        strbuf_add(&p->out, i ? ", " : " : ");
        print_result(p, &n->out[i]);
    }
    if (n->loc.node && n->loc.node[0]) {
        strbuf_add(&p->out, " from ");
        strbuf_add_quoted(&p->out, n->loc.node);
    }
}

static void print_graph(Printer *p, const Graph *g)
{
    strbuf_add(&p->out, "graph ");
    for (int i = 0; text_prop_name[i]; i++)
        if (g->props & 1u << i)
            strbuf_printf(&p->out, "%s ", text_prop_name[i]);
    strbuf_add(&p->out, "{\n");
    p->depth++;
    FOR_EACH_NODE(n, g) {
        print_indent(p);
        print_node(p, n);
        strbuf_add(&p->out, "\n");
    }
    p->depth--;
    print_indent(p);
    strbuf_add(&p->out, "}");
}

/* ---- the header: symbols that the graph mentions, in the order of the table, so that bounds mention earlier ones ---- */

typedef struct Mentioned {
    const DimTable *dims;
    bool *seen;
} Mentioned;

static void see_symbol(void *ctx, int sym)
{
    Mentioned *s = ctx;
    const DimSymbol *info = dim_symbol_at(s->dims, sym);
    if (s->seen[sym])
        return;
    s->seen[sym] = true;
    if (info->bound)
        dim_symbols_used(info->bound, see_symbol, s);
}

static void see_type(Mentioned *s, const Type *t)
{
    for (int i = 0; t->kind == TY_TENSOR && i < t->rank; i++)
        dim_symbols_used(t->dim[i], see_symbol, s);
    if (t->elem)
        see_type(s, t->elem);
}

static void see_graph(Mentioned *s, const Graph *g)
{
    FOR_EACH_NODE(n, g) {
        for (int i = 0; i < n->nout; i++) {
            see_type(s, &n->out[i].type);
            if (n->out[i].storage.kind == ST_ARENA)
                dim_symbols_used(n->out[i].storage.offset, see_symbol, s);
        }
        FOR_EACH_ATTR(f, n->op) {
            const DimVec *dims = attr_at(f, n->attrs);
            Graph *nested = f->kind == AK_graph ? *(Graph **)attr_at(f, n->attrs) : NULL;
            for (int i = 0; f->kind == AK_dims && i < dims->n; i++)
                dim_symbols_used(dims->v[i], see_symbol, s);
            if (nested)
                see_graph(s, nested);
        }
    }
}

static void print_symbols(Printer *p)
{
    int n = dim_symbol_count(p->m->dims);
    Mentioned s = { p->m->dims, ARENA_ARRAY(p->arena, bool, n + 1) };
    see_graph(&s, p->m->graph);
    if (p->m->arena_bytes)
        dim_symbols_used(p->m->arena_bytes, see_symbol, &s);
    for (int i = 0; i < n; i++) {
        const DimSymbol *sym = dim_symbol_at(p->m->dims, i);
        if (!s.seen[i])
            continue;
        strbuf_printf(&p->out, "symbol %s%s%s", sym->name, sym->from_data ? " data" : "", sym->any_sign ? " signed" : "");
        if (sym->bound) {
            strbuf_add(&p->out, " bound ");
            print_dim(p, sym->bound);
        }
        strbuf_add(&p->out, "\n");
    }
}

static void print_header(Printer *p)
{
    strbuf_add(&p->out, "module ");
    strbuf_add_quoted(&p->out, p->m->name);
    strbuf_add(&p->out, "\n");
    if (p->m->producer) {
        strbuf_add(&p->out, "producer ");
        strbuf_add_quoted(&p->out, p->m->producer);
        strbuf_add(&p->out, "\n");
    }
    if (p->m->fast_math)
        strbuf_add(&p->out, "fast_math\n");
    print_symbols(p);
    if (p->m->arena_bytes) {
        strbuf_add(&p->out, "arena ");
        print_dim(p, p->m->arena_bytes);
        strbuf_add(&p->out, "\n");
    }
    if (p->m->nheap)
        strbuf_printf(&p->out, "heap %d\n", p->m->nheap);
    strbuf_add(&p->out, "\n");
}

const char *module_print(Module *m, Arena *a, BlobSink *blob)
{
    Printer p = { .m = m, .arena = a, .out = strbuf_new(a), .blob = blob };
    print_header(&p);
    print_graph(&p, m->graph);
    strbuf_add(&p.out, "\n");
    return p.out.text;
}

static Printer brief_printer(Arena *a, const Node *n)
{
    return (Printer){ .m = n->graph->module, .arena = a, .out = strbuf_new(a), .brief = true };
}

const char *node_print(Arena *a, const Node *n)
{
    Printer p = brief_printer(a, n);
    print_node(&p, n);
    return p.out.text;
}

const char *node_print_attrs(Arena *a, const Node *n)
{
    Printer p = brief_printer(a, n);
    print_attrs(&p, n, "", "");
    return p.out.text;
}
