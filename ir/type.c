/* type.c -- element types, tensor types and vectors of dims, see ir.h. */
#include "infer.h"

#include <string.h>

#define CLS_(c) CLS_##c
const DTypeInfo dtype_table[DT_count] = {
    [DT_none] = { "none", 0, 0, 0, CLS_OTHER, "" },
#define DTYPE(name, onnx, bits, store, cls, npy) [DT_##name] = { #name, onnx, bits, store, CLS_(cls), npy },
#include "dtypes.def"
#undef DTYPE
};

DType dtype_from_onnx(int onnx)
{
    for (int i = 1; i < DT_count; i++)
        if (dtype_table[i].onnx == onnx)
            return (DType)i;
    return DT_none;
}

DType dtype_from_name(const char *name, size_t len)
{
    for (int i = 1; i < DT_count; i++)
        if (strlen(dtype_table[i].name) == len && !memcmp(dtype_table[i].name, name, len))
            return (DType)i;
    return DT_none;
}

DimVec dims_copy(Module *m, int n, const Dim *v)
{
    return (DimVec){ n, n ? arena_copy(m->arena, v, sizeof(Dim) * (size_t)n) : NULL };
}

DimVec dims_of_ints(Module *m, int n, const int64_t *v)
{
    Dim *d = n ? ARENA_ARRAY(m->arena, Dim, n) : NULL;
    for (int i = 0; i < n; i++)
        d[i] = dim_const(m->dims, v[i]);
    return (DimVec){ n, d };
}

IntVec ints_copy(Module *m, int n, const int64_t *v)
{
    return (IntVec){ n, n ? arena_copy(m->arena, v, sizeof(int64_t) * (size_t)n) : NULL };
}

Type type_tensor(Module *m, DType t, int rank, const Dim *dim)
{
    return (Type){ .kind = TY_TENSOR, .dtype = t, .rank = rank, .dim = dims_copy(m, rank > 0 ? rank : 0, dim).v };
}

Type type_of_ints(Module *m, DType t, int rank, const int64_t *dim)
{
    return (Type){ .kind = TY_TENSOR, .dtype = t, .rank = rank, .dim = dims_of_ints(m, rank, dim).v };
}

bool type_equal(const Type *a, const Type *b)
{
    if (a->kind != b->kind || a->dtype != b->dtype)
        return false;
    if (a->kind != TY_TENSOR)
        return (!a->elem && !b->elem) || (a->elem && b->elem && type_equal(a->elem, b->elem));
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

bool type_is_static(const Type *t)
{
    if (t->kind != TY_TENSOR || t->rank < 0)
        return false;
    for (int i = 0; i < t->rank; i++)
        if (!dim_is_const(t->dim[i]))
            return false;
    return true;
}

int64_t type_count(const Type *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i]->k;
    return n;
}

Dim type_count_dim(Module *m, const Type *t)
{
    Dim n = dim_const(m->dims, 1);
    for (int i = 0; i < t->rank; i++)
        n = dim_mul(m->dims, n, t->dim[i]);
    return n;
}

Dim type_bytes_dim(Module *m, const Type *t)
{
    if (t->kind != TY_TENSOR)
        return dim_const(m->dims, CONTAINER_BYTES);
    return dim_mulk(m->dims, type_count_dim(m, t), dtype_bytes(t->dtype));
}

/* A size that is a number is kept, any other may be another one for the next item. */
static Type item_type(Module *m, const Type *t)
{
    Dim dim[MAX_RANK];
    if (t->kind != TY_TENSOR || t->rank < 0)
        return *t;
    for (int i = 0; i < t->rank; i++)
        dim[i] = dim_is_const(t->dim[i]) ? t->dim[i] : dim_const(m->dims, -1);
    return type_tensor(m, t->dtype, t->rank, dim);
}

bool type_of_items(Module *m, const Type *a, const Type *b, Type *out)
{
    bool nothing = a->kind == TY_TENSOR && a->rank == -2;
    if (nothing || (b->kind == TY_TENSOR && b->rank == -2)) {
        *out = item_type(m, nothing ? b : a);
        return a->kind != b->kind || a->dtype == b->dtype;
    }
    if (a->kind != b->kind || a->dtype != b->dtype)
        return false;
    if (a->kind != TY_TENSOR) {
        Type *item = ARENA_NEW(m->arena, Type);
        bool ok = type_of_items(m, a->elem, b->elem, item);
        *out = (Type){ .kind = a->kind, .dtype = a->dtype, .elem = item };
        return ok;
    }
    Type x = item_type(m, a), y = item_type(m, b);
    Dim dim[MAX_RANK];
    if (x.rank != y.rank || x.rank < 0) {
        *out = (Type){ .kind = TY_TENSOR, .dtype = x.dtype, .rank = x.rank == y.rank ? x.rank : -1 };
        return true;
    }
    for (int i = 0; i < x.rank; i++)
        dim[i] = x.dim[i] == y.dim[i] ? x.dim[i] : dim_const(m->dims, -1);
    *out = type_tensor(m, x.dtype, x.rank, dim);
    return true;
}

Type type_of_container(Module *m, TypeKind kind, const Type *item)
{
    Type t = item_type(m, item);
    return (Type){ .kind = kind, .elem = arena_copy(m->arena, &t, sizeof t) };
}

const char *const type_kind_name[] = { [TY_TENSOR] = "tensor", [TY_SEQUENCE] = "seq", [TY_OPTIONAL] = "optional", [TY_MAP] = "map" };

const char *type_print(Module *m, Arena *a, const Type *t)
{
    if (t->kind == TY_MAP)
        return arena_printf(a, "map<%s,%s>", dtype_name(t->dtype), t->elem ? type_print(m, a, t->elem) : "none");
    if (t->kind != TY_TENSOR)
        return arena_printf(a, "%s<%s>", type_kind_name[t->kind], t->elem ? type_print(m, a, t->elem) : "none");
    if (t->rank < 0)
        return arena_printf(a, "%s[%s]", dtype_name(t->dtype), t->rank == -1 ? "?" : "none");
    const char *s = arena_printf(a, "%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        s = arena_printf(a, "%s%s%s", s, i ? "," : "", dim_print(m->dims, a, t->dim[i]));
    return arena_printf(a, "%s]", s);
}

/* Size of one broadcast axis over all operands; NULL if two constants disagree. */
static Dim broadcast_axis(Module *m, const Type *const *types, int ntypes, int from_end)
{
    Dim d = dim_const(m->dims, 1);
    for (int i = 0; i < ntypes; i++) {
        if (from_end >= types[i]->rank)
            continue;
        Dim x = types[i]->dim[types[i]->rank - 1 - from_end];
        if (dim_is_const(d) && dim_is_const(x) && d != x && !dim_is(d, 1) && !dim_is(x, 1))
            return NULL;
        d = dim_bcast(m->dims, d, x);
    }
    return d;
}

/* Every operand's size is 1 or the result's. */
static bool broadcasts_to(Module *m, const Type *const *types, int ntypes, int from_end, Dim to)
{
    for (int i = 0; to && i < ntypes; i++)
        if (from_end < types[i]->rank && !infer_one_or(m, types[i]->dim[types[i]->rank - 1 - from_end], to))
            return false;
    return to != NULL;
}

int dims_broadcast(Module *m, Loc loc, const Type *const *types, int ntypes, Dim *out)
{
    int rank = 0;
    for (int i = 0; i < ntypes; i++)
        rank = types[i]->rank > rank ? types[i]->rank : rank;
    for (int k = 0; k < rank; k++)
        if (!broadcasts_to(m, types, ntypes, k, out[rank - 1 - k] = broadcast_axis(m, types, ntypes, k))) {
            const char *s = "";
            for (int i = 0; i < ntypes; i++)
                s = arena_printf(m->arena, "%s%s%s", s, i ? " and " : "", type_print(m, m->arena, types[i]));
            diag_error(m->diag, loc, "shapes %s do not broadcast", s);
            return -1;
        }
    return rank;
}
