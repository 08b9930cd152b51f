/* import_math.c -- elementwise ONNX operators: arithmetic, comparison, logic, bits, activations.
 *
 * Each function is the operator's definition over core ops. Operands broadcast the NumPy way; before opset 7 the second operand was placed by the
 * attributes `broadcast` and `axis`, which `second` turns into a reshape. Constants take the dtype of the operand they meet.
 */
#include <math.h>
#include <string.h>

#include "import_parts.h"

/* ---- one core op each ---- */

/* Operand 1, reshaped so that NumPy broadcasting places it where opsets below 7 say: from `axis` on, else at the end. */
static Value *second(Importer *c)
{
    Value *x = in(c, 0), *y = in(c, 1);
    if (!x || !y || c->opset >= 7 || !attr_i(c, "broadcast", 0) || !has_attr(c, "axis"))
        return y;
    int64_t axis = attr_i(c, "axis", 0);
    if (axis < 0)
        axis += value_rank(x);
    int64_t after = value_rank(x) - axis - value_rank(y);
    return after > 0 ? mk_insert_axes(&c->b, y, value_rank(y), (int)after) : y;
}

static bool import_elementwise(Importer *c, OpCode op)
{
    Value *v[] = { in(c, 0), second(c), in(c, 2) };
    OUT(c, build_op(&c->b, op, (Inputs){ op_table[op].min_in, v }, NULL));
}

#define EW(name, arity, types, result, formula) bool import_ew_##name(Importer *c) { return import_elementwise(c, OP_##name); }
#include "ops.def"

bool import_greater(Importer *c)
{
    OUT(c, mk_lt(&c->b, second(c), in(c, 0)));
}

bool import_greater_or_equal(Importer *c)
{
    OUT(c, mk_le(&c->b, second(c), in(c, 0)));
}

bool import_mod(Importer *c)
{
    Value *x = in(c, 0), *y = in(c, 1);
    if (attr_i(c, "fmod", 0))
        OUT(c, mk_fmod(&c->b, x, y));
    if (x && dtype_is_float(x->type.dtype))
        return import_fail(c, "floating-point operands need fmod=1");
    OUT(c, mk_mod(&c->b, x, y));
}

bool import_bit_shift(Importer *c)
{
    const char *direction = attr_s(c, "direction", "");
    if (!strcmp(direction, "LEFT"))
        OUT(c, mk_shl(&c->b, in(c, 0), in(c, 1)));
    if (!strcmp(direction, "RIGHT"))
        OUT(c, mk_shr(&c->b, in(c, 0), in(c, 1)));
    return import_fail(c, "direction must be LEFT or RIGHT, not '%s'", direction);
}

/* The result has the base's type. An integer base under a fractional exponent is raised in f64, as NumPy does. */
bool import_pow(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *y = second(c);
    if (!x || !y)
        return false;
    DType t = x->type.dtype;
    if (!dtype_is_float(t) && dtype_is_float(y->type.dtype))
        OUT(c, mk_cast_to(b, mk_pow(b, mk_cast_to(b, x, DT_f64), mk_cast_to(b, y, DT_f64)), t));
    OUT(c, mk_pow(b, x, mk_cast_to(b, y, t)));
}

bool import_reciprocal(Importer *c)
{
    OUT(c, mk_div(&c->b, mk_k(&c->b, in(c, 0), 1), in(c, 0)));
}

/* ---- any number of operands ---- */

typedef Value *Combine(Builder *b, Value *x, Value *y);

static Value *combine_all(Importer *c, Combine *f)
{
    Value *v = in(c, 0);
    for (int i = 1; i < in_count(c); i++)
        v = f(&c->b, v, in(c, i));
    return v;
}

bool import_max(Importer *c)
{
    OUT(c, combine_all(c, mk_max));
}

bool import_min(Importer *c)
{
    OUT(c, combine_all(c, mk_min));
}

bool import_sum(Importer *c)
{
    OUT(c, combine_all(c, mk_add));
}

bool import_mean(Importer *c)
{
    Value *sum = combine_all(c, mk_add);
    OUT(c, mk_div(&c->b, sum, mk_k(&c->b, sum, in_count(c))));
}

/* ---- limits ---- */

/* A limit of Clip: a scalar operand, or one element that must not add an axis to a scalar x. */
static Value *limit(Importer *c, int i)
{
    Value *v = in(c, i);
    return v && value_rank(v) == 1 && dim_is(value_dim(v, 0), 1) ? mk_reshape_to(&c->b, v, 0, NULL) : v;
}

bool import_clip(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *lo = NULL, *hi = NULL;
    if (c->opset >= 11) {
        lo = limit(c, 1);
        hi = limit(c, 2);
    } else {
        if (has_attr(c, "min"))
            lo = mk_k(b, x, attr_f(c, "min", 0));
        if (has_attr(c, "max"))
            hi = mk_k(b, x, attr_f(c, "max", 0));
    }
    if (lo)
        x = mk_max(b, x, lo);
    if (hi)
        x = mk_min(b, x, hi);
    OUT(c, x);
}

bool import_isinf(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    bool negative = attr_i(c, "detect_negative", 1), positive = attr_i(c, "detect_positive", 1);
    if (negative && positive)
        OUT(c, mk_isinf(b, x));
    if (negative || positive)
        OUT(c, mk_eq(b, x, mk_k(b, x, negative ? -(double)INFINITY : (double)INFINITY)));
    OUT(c, x ? mk_full(b, DT_bool, value_rank(x), x->type.dim, 0) : NULL);
}

/* ---- activations. Default parameters are ONNX's. ---- */

static Value *positive(Builder *b, Value *x)
{
    return mk_lt(b, mk_k(b, x, 0), x);
}

static Value *negative(Builder *b, Value *x)
{
    return mk_lt(b, x, mk_k(b, x, 0));
}

bool import_leaky_relu(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    OUT(c, mk_where(b, negative(b, x), mk_scaled(b, x, attr_f(c, "alpha", (double)0.01f)), x));
}

/* Before opset 7 a slope of rank 1 belongs to axis 1, the channels. */
bool import_prelu(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0), *slope = in(c, 1);
    if (x && slope && c->opset < 7 && value_rank(slope) == 1 && !dim_is(value_dim(slope, 0), 1) && value_rank(x) > 2)
        slope = mk_align_channel(b, slope, value_rank(x), 1);
    OUT(c, mk_where(b, negative(b, x), mk_mul(b, x, slope), x));
}

bool import_elu(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    OUT(c, mk_where(b, negative(b, x), mk_scaled(b, mk_expm1(b, x), attr_f(c, "alpha", 1)), x));
}

bool import_celu(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    double alpha = attr_f(c, "alpha", 1);
    Value *low = mk_scaled(b, mk_expm1(b, mk_div(b, x, mk_k(b, x, alpha))), alpha);
    OUT(c, mk_add(b, mk_relu(b, x), mk_min(b, mk_k(b, x, 0), low)));
}

bool import_selu(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    double alpha = attr_f(c, "alpha", c->opset < 6 ? 1.6732 : 1.67326319217681884765625);
    double gamma = attr_f(c, "gamma", c->opset < 6 ? 1.0507 : 1.05070102214813232421875);
    OUT(c, mk_scaled(b, mk_where(b, positive(b, x), x, mk_scaled(b, mk_expm1(b, x), alpha)), gamma));
}

static Value *hard_sigmoid(Builder *b, Value *x, double alpha, double beta)
{
    return mk_clip(b, mk_shifted(b, mk_scaled(b, x, alpha), beta), 0, 1);
}

bool import_hard_sigmoid(Importer *c)
{
    OUT(c, hard_sigmoid(&c->b, in(c, 0), attr_f(c, "alpha", (double)0.2f), attr_f(c, "beta", 0.5)));
}

bool import_hard_swish(Importer *c)
{
    Value *x = in(c, 0);
    OUT(c, mk_mul(&c->b, x, hard_sigmoid(&c->b, x, 1.0 / 6, 0.5)));
}

bool import_mish(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    OUT(c, mk_mul(b, x, mk_tanh(b, mk_softplus(b, x))));
}

/* x * Phi(x), Phi by erf. */
Value *mk_gelu(Builder *b, Value *x)
{
    Value *erf = mk_erf(b, mk_scaled(b, x, 0.70710678118654752440));
    return mk_mul(b, mk_scaled(b, x, 0.5), mk_add(b, mk_k(b, x, 1), erf));
}

/* The tanh approximation, Hendrycks and Gimpel 2016. */
Value *mk_gelu_tanh(Builder *b, Value *x)
{
    Value *cube = mk_mul(b, x, mk_mul(b, x, x));
    Value *t = mk_scaled(b, mk_add(b, x, mk_scaled(b, cube, 0.044715)), 0.79788456080286535588);
    return mk_mul(b, mk_scaled(b, x, 0.5), mk_add(b, mk_k(b, x, 1), mk_tanh(b, t)));
}

bool import_gelu(Importer *c)
{
    const char *approximate = attr_s(c, "approximate", "none");
    if (!strcmp(approximate, "tanh"))
        OUT(c, mk_gelu_tanh(&c->b, in(c, 0)));
    if (strcmp(approximate, "none"))
        return import_fail(c, "approximate must be none or tanh, not '%s'", approximate);
    OUT(c, mk_gelu(&c->b, in(c, 0)));
}

/* com.microsoft: x + bias first, where there is one. */
bool import_fast_gelu(Importer *c)
{
    Value *x = in(c, 0);
    OUT(c, mk_gelu_tanh(&c->b, in(c, 1) ? mk_add(&c->b, x, in(c, 1)) : x));
}

bool import_bias_gelu(Importer *c)
{
    OUT(c, mk_gelu(&c->b, mk_add(&c->b, in(c, 0), in(c, 1))));
}

static Value *swish(Builder *b, Value *x, double alpha)
{
    return mk_mul(b, x, mk_sigmoid(b, mk_scaled(b, x, alpha)));
}

bool import_swish(Importer *c)
{
    OUT(c, swish(&c->b, in(c, 0), attr_f(c, "alpha", 1)));
}

bool import_quick_gelu(Importer *c)
{
    OUT(c, swish(&c->b, in(c, 0), attr_f(c, "alpha", (double)1.702f)));
}

bool import_softsign(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    OUT(c, mk_div(b, x, mk_add(b, mk_k(b, x, 1), mk_abs(b, x))));
}

bool import_thresholded_relu(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    OUT(c, mk_where(b, mk_lt(b, mk_k(b, x, attr_f(c, "alpha", 1)), x), x, mk_k(b, x, 0)));
}

/* Integers meet truncated parameters, as a Cast of the attribute gives them. */
bool import_shrink(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    double lambda = attr_f(c, "lambd", 0.5), shift = attr_f(c, "bias", 0);
    if (x && dtype_is_int(x->type.dtype)) {
        lambda = trunc(lambda);
        shift = trunc(shift);
    }
    Value *above = mk_where(b, mk_lt(b, mk_k(b, x, lambda), x), mk_sub(b, x, mk_k(b, x, shift)), mk_k(b, x, 0));
    OUT(c, mk_where(b, mk_lt(b, x, mk_k(b, x, -lambda)), mk_add(b, x, mk_k(b, x, shift)), above));
}

bool import_swiglu(Importer *c)
{
    OUT(c, mk_mul(&c->b, swish(&c->b, in(c, 0), attr_f(c, "alpha", 1)), in(c, 1)));
}
