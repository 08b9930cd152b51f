/* import_random.c -- operators that draw numbers, and Dropout, which draws while training.
 *
 * What is drawn depends on the seed alone: a run is repeatable, and draws the same as the one before.
 */
#include <string.h>

#include "import_parts.h"
#include "kernel_args.h"

/* A node without a seed has its name. */
static int64_t own_seed(const Importer *c, const char *stream)
{
    return k_word(c->b.loc.node ? c->b.loc.node : "") ^ k_word(stream);
}

static int64_t seed_of(const Importer *c, const char *stream)
{
    double given = attr_f(c, "seed", 0);
    int64_t bits;
    memcpy(&bits, &given, sizeof bits);
    return has_attr(c, "seed") ? bits ^ k_word(stream) : own_seed(c, stream);
}

/* Uniform in [0, 1) of type t; draws of one node differ by the stream's name. The type's own rounding may give 1. */
static Value *uniform(Importer *c, DType t, int rank, const Dim *dim, const char *stream)
{
    Attr_random a = { .shape = dims_copy(c->m, rank, dim), .seed = seed_of(c, stream), .kind = "counter" };
    return mk_cast_to(&c->b, mk_random(&c->b, IN_NONE, a), t);
}

static Value *uniform_between(Importer *c, DType t, int rank, const Dim *dim)
{
    Builder *b = &c->b;
    double low = attr_f(c, "low", 0), high = attr_f(c, "high", 1);
    Value *u = uniform(c, DT_f64, rank, dim, "uniform");
    return mk_cast_to(b, mk_shifted(b, mk_scaled(b, u, high - low), low), t);
}

/* Box and Muller 1958: sqrt(-2 ln u) cos(2 pi v) is normal. */
static Value *normal(Importer *c, DType t, int rank, const Dim *dim)
{
    Builder *b = &c->b;
    DType wide = wide_float(t);
    Value *u = uniform(c, DT_f64, rank, dim, "radius"), *v = uniform(c, wide, rank, dim, "angle");
    Value *radius = mk_sqrt(b, mk_scaled(b, mk_log1p(b, mk_neg(b, u)), -2));
    Value *z = mk_mul(b, mk_cast_to(b, radius, wide), mk_cos(b, mk_scaled(b, v, 6.28318530717958647692)));
    return mk_cast_to(b, mk_shifted(b, mk_scaled(b, z, attr_f(c, "scale", 1)), attr_f(c, "mean", 0)), t);
}

typedef Value *DrawFn(Importer *c, DType t, int rank, const Dim *dim);

static bool draw(Importer *c, DType t, int rank, const Dim *dim, DrawFn *fn)
{
    if (!dtype_is_float(t))
        return import_fail(c, "random numbers of type %s: floats are needed", dtype_name(t));
    OUT(c, fn(c, t, rank, dim));
}

static bool draw_shape(Importer *c, DrawFn *fn)
{
    IntVec shape = attr_ints(c, "shape");
    Dim dim[MAX_RANK];
    if (shape.n > MAX_RANK)
        return import_fail(c, "a shape of %d axes", shape.n);
    for (int i = 0; i < shape.n; i++)
        dim[i] = dim_const(c->m->dims, shape.v[i]);
    return draw(c, attr_dtype(c, "dtype", DT_f32), shape.n, dim, fn);
}

static bool draw_like(Importer *c, DrawFn *fn)
{
    const Value *x = in(c, 0);
    return x && draw(c, attr_dtype(c, "dtype", x->type.dtype), value_rank(x), x->type.dim, fn);
}

bool import_random_uniform(Importer *c) { return draw_shape(c, uniform_between); }
bool import_random_uniform_like(Importer *c) { return draw_like(c, uniform_between); }
bool import_random_normal(Importer *c) { return draw_shape(c, normal); }
bool import_random_normal_like(Importer *c) { return draw_like(c, normal); }

/* 1 with the probability that the input says. */
bool import_bernoulli(Importer *c)
{
    Value *p = in(c, 0);
    if (!p)
        return false;
    Value *u = uniform(c, DT_f64, value_rank(p), p->type.dim, "uniform");
    OUT(c, mk_cast_to(&c->b, mk_lt(&c->b, u, mk_cast_to(&c->b, p, DT_f64)), attr_dtype(c, "dtype", p->type.dtype)));
}

/* Class indices by their unnormalised log probabilities x [batch, classes]: how many running sums a draw has passed. */
bool import_multinomial(Importer *c)
{
    Builder *b = &c->b;
    const int64_t axis = 1, last = 2;
    Value *x = mk_cast_to(b, in(c, 0), DT_f64);
    int64_t samples = attr_i(c, "sample_size", 1);
    if (!x)
        return false;
    if (value_rank(x) != 2 || samples < 1)
        return import_fail(c, "probabilities of rank %d and %lld samples: rank 2 and 1 or more are needed", value_rank(x), (long long)samples);
    Value *weight = mk_exp(b, mk_sub(b, x, mk_reduce_axes(b, "max", x, 1, &axis)));
    Value *sums = mk_cumulate(b, IN(weight), (Attr_cumulate){ .kind = "sum", .axis = 1 }), *total = mk_reduce_axes(b, "max", sums, 1, &axis);
    Value *u = uniform(c, DT_f64, 2, (Dim[]){ value_dim(x, 0), dim_const(c->m->dims, samples) }, "uniform");
    Value *passed = mk_le(b, mk_insert_axes(b, sums, 1, 1), mk_insert_axes(b, mk_mul(b, u, total), 2, 1));
    Value *count = mk_reduce_axes(b, "sum", mk_cast_to(b, passed, DT_i64), 1, &last);
    OUT(c, mk_cast_to(b, mk_drop_axes(b, count, 1, &last), attr_dtype(c, "dtype", DT_i32)));
}

/* ---- Dropout ---- */

/* Which elements stay, with the given ratio of losses: the draws of NumPy's RandomState(seed).uniform. */
static Value *dropout_mask(Importer *c, Value *x, Value *ratio)
{
    Attr_random a = { .shape = dims_copy(c->m, value_rank(x), x->type.dim), .seed = own_seed(c, "mask"), .kind = "counter" };
    if (has_attr(c, "seed"))
        a = (Attr_random){ .shape = a.shape, .seed = attr_i(c, "seed", 0), .kind = "mt19937" };
    return mk_le(&c->b, mk_cast_to(&c->b, ratio, DT_f64), mk_random(&c->b, IN_NONE, a));
}

/* What stays is scaled by 1 / (1 - ratio). The flag may be a matter of data. */
static bool dropout_training(Importer *c, Value *x, Value *training)
{
    Builder *b = &c->b;
    Value *ratio = in(c, 1) ? in(c, 1) : mk_scalar(b, x->type.dtype, c->opset < 12 ? attr_f(c, "ratio", 0.5) : 0.5);
    ratio = mk_reshape_to(b, ratio, 0, NULL);
    training = mk_reshape_to(b, training, 0, NULL);
    Value *mask = mk_or(b, dropout_mask(c, x, ratio), mk_not(b, training));
    Value *kept = mk_cast_to(b, mk_sub(b, mk_k(b, ratio, 1), ratio), x->type.dtype);
    Value *y = mk_where(b, mask, mk_div(b, x, kept), mk_k(b, x, 0));
    if (!set_out(c, 0, mk_where(b, training, y, x)))
        return false;
    return !out_wanted(c, 1) || set_out(c, 1, mk_cast_to(b, mask, c->opset < 10 ? x->type.dtype : DT_bool));
}

/* In inference the input passes through and the mask is all true (in old versions: of the input's type). */
bool import_dropout(Importer *c)
{
    Value *x = in(c, 0), *flag = in(c, 2);
    double training = c->opset < 7 && has_attr(c, "is_test") && !attr_i(c, "is_test", 0);
    if (!x)
        return false;
    if (flag && !value_scalar_f64(flag, &training))
        return dropout_training(c, x, flag);
    if (training != 0)
        return dropout_training(c, x, mk_scalar(&c->b, DT_bool, 1));
    if (!set_out(c, 0, x))
        return false;
    return !out_wanted(c, 1) || set_out(c, 1, mk_full(&c->b, c->opset < 10 ? x->type.dtype : DT_bool, value_rank(x), x->type.dim, 1));
}
