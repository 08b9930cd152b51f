/* kernel_args.c -- see kernel_args.h. The table is the KOP rows of ops.def. */
#include "kernel_args.h"

#include <string.h>

#define KOP(name, min_in, max_in, nout, flags) KFunction k_##name;
#include "ops.def"

static KFunction *const kernel_table[OP_count] = {
#define KOP(name, min_in, max_in, nout, flags) [OP_##name] = k_##name,
#include "ops.def"
};

KFunction *kernel_function(OpCode op)
{
    return kernel_table[op];
}

DimVec node_defined_symbols(const Node *n)
{
    const OpInfo *op = &op_table[n->op];
    for (int i = 0; (op->flags & OPF_SIZES) && i < op->nattr; i++)
        if (op->attr[i].kind == AK_dims)
            return *(const DimVec *)((const char *)n->attrs + op->attr[i].offset);
    return (DimVec){ 0, NULL };
}

/* ---- attribute words ---- */

static int64_t f64_bits(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static int word_count(const AttrInfo *info, const void *field)
{
    switch (info->kind) {
    case AK_ints: return 1 + ((const IntVec *)field)->n;
    case AK_floats: return 1 + ((const FloatVec *)field)->n;
    case AK_dims: return 1 + ((const DimVec *)field)->n;
    default: return 1;
    }
}

static int put_words(Module *m, const AttrInfo *info, const void *field, Dim *w)
{
    int n = 0;
    switch (info->kind) {
    case AK_i64: w[n++] = dim_const(m->dims, *(const int64_t *)field); break;
    case AK_f64: w[n++] = dim_const(m->dims, f64_bits(*(const double *)field)); break;
    case AK_bool: w[n++] = dim_const(m->dims, *(const bool *)field); break;
    case AK_dtype: w[n++] = dim_const(m->dims, dtype_table[*(const DType *)field].onnx); break;
    case AK_str: w[n++] = dim_const(m->dims, k_word(*(const char *const *)field ? *(const char *const *)field : "")); break;
    case AK_ints: {
        const IntVec *v = field;
        w[n++] = dim_const(m->dims, v->n);
        for (int i = 0; i < v->n; i++)
            w[n++] = dim_const(m->dims, v->v[i]);
        break;
    }
    case AK_floats: {
        const FloatVec *v = field;
        w[n++] = dim_const(m->dims, v->n);
        for (int i = 0; i < v->n; i++)
            w[n++] = dim_const(m->dims, f64_bits(v->v[i]));
        break;
    }
    case AK_dims: {
        const DimVec *v = field;
        w[n++] = dim_const(m->dims, v->n);
        for (int i = 0; i < v->n; i++)
            w[n++] = v->v[i];
        break;
    }
    case AK_strs: case AK_tensor: case AK_graph:        /* no KERNEL op has these; a word keeps the others in step */
        w[n++] = dim_const(m->dims, 0);
        break;
    }
    return n;
}

DimVec kernel_attr_words(Module *m, Arena *a, const Node *n)
{
    const OpInfo *op = &op_table[n->op];
    int room = 0, used = 0;
    for (int i = 0; i < op->nattr; i++)
        room += word_count(&op->attr[i], (const char *)n->attrs + op->attr[i].offset);
    Dim *w = ARENA_ARRAY(a, Dim, room + 1);
    for (int i = 0; i < op->nattr; i++)
        used += put_words(m, &op->attr[i], (const char *)n->attrs + op->attr[i].offset, w + used);
    return (DimVec){ used, w };
}
