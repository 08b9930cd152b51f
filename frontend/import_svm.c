/* import_svm.c -- ai.onnx.ml: support vector machines. */
#include <string.h>

#include "import_ml.h"

/* K(x, v) for every row of x [N, F] and support vector [S, F]: [N, S]. kernel_params: gamma, coef0, degree. */
static Value *svm_kernel(Importer *c, Value *x, Value *support)
{
    Builder *b = &c->b;
    const char *kind = attr_s(c, "kernel_type", "LINEAR");
    FloatVec p = attr_floats(c, "kernel_params");
    double gamma = p.n > 0 ? p.v[0] : 0, shift = p.n > 1 ? p.v[1] : 0, degree = p.n > 2 ? p.v[2] : 0;
    const int64_t axis = 1;
    Value *dot = mk_matmul(b, IN(x, mk_swap_last(b, support)), (Attr_matmul){ 0 });
    if (!strcmp(kind, "LINEAR"))
        return dot;
    if (!strcmp(kind, "RBF")) {
        Value *xx = mk_reduce_axes(b, "sum", mk_mul(b, x, x), 1, &axis), *vv = mk_reduce_axes(b, "sum", mk_mul(b, support, support), 1, &axis);
        Value *distance = mk_sub(b, mk_add(b, xx, mk_swap_last(b, vv)), mk_scaled(b, dot, 2));
        return mk_exp(b, mk_scaled(b, distance, -gamma));
    }
    Value *affine = mk_shifted(b, mk_scaled(b, dot, gamma), shift);
    if (!strcmp(kind, "POLY"))
        return mk_pow(b, affine, mk_k(b, affine, degree));
    if (!strcmp(kind, "SIGMOID"))
        return mk_tanh(b, affine);
    import_fail(c, "kernel_type is '%s'", kind);
    return NULL;
}

bool import_svm_regressor(Importer *c)
{
    Builder *b = &c->b;
    FloatVec support = attr_floats(c, "support_vectors"), coefficients = attr_floats(c, "coefficients"), rho = attr_floats(c, "rho");
    int64_t n = attr_i(c, "n_supports", 0);
    Value *x = mk_cast_to(b, ml_rows(b, in(c, 0)), DT_f32), *k, *weights;
    if (!x)
        return false;
    if (n > 0 && (support.n % n || coefficients.n != n))
        return import_fail(c, "%d support vector elements and %d coefficients do not make %lld vectors", support.n, coefficients.n, (long long)n);
    if (n > 0)
        k = svm_kernel(c, x, mk_reshape_ints(b, mk_floats(b, DT_f32, support), 2, (int64_t[]){ n, support.n / n }));
    else
        k = x;                                              /* a linear model: the coefficients belong to the features */
    weights = mk_reshape_ints(b, mk_floats(b, DT_f32, coefficients), 2, (int64_t[]){ coefficients.n, 1 });
    Value *y = mk_matmul(b, IN(k, weights), (Attr_matmul){ 0 });
    y = mk_shifted(b, y, rho.n ? rho.v[0] : 0);
    if (attr_i(c, "one_class", 0))
        OUT(c, mk_where(b, mk_lt(b, mk_k(b, y, 0), y), mk_k(b, y, 1), mk_k(b, y, -1)));
    OUT(c, ml_post_transform(c, y));
}

/* ---- SVMClassifier: one machine for every pair of classes i < j, in the order (0,1), (0,2) .. (1,2) .. ---- */

typedef struct Svm {
    int classes, pairs, vectors;
    IntVec per_class;
    FloatVec support, coefficients, rho, prob_a, prob_b;
} Svm;

static bool svm_read(Importer *c, Svm *s, int classes)
{
    *s = (Svm){ .classes = classes, .pairs = classes * (classes - 1) / 2, .per_class = attr_ints(c, "vectors_per_class"),
                .support = attr_floats(c, "support_vectors"), .coefficients = attr_floats(c, "coefficients"), .rho = attr_floats(c, "rho"),
                .prob_a = attr_floats(c, "prob_a"), .prob_b = attr_floats(c, "prob_b") };
    int64_t vectors = 0;
    for (int i = 0; i < s->per_class.n; i++) {
        if (s->per_class.v[i] < 0 || s->per_class.v[i] > s->support.n)
            return import_fail(c, "class %d has %lld support vectors", i, (long long)s->per_class.v[i]);
        vectors += s->per_class.v[i];
    }
    s->vectors = (int)vectors;
    bool fits = classes > 0 && s->coefficients.n && s->rho.n && s->prob_a.n == s->prob_b.n;
    if (vectors)
        fits = fits && vectors <= s->support.n && s->support.n % vectors == 0 && s->per_class.n == classes && s->rho.n >= s->pairs &&
               s->coefficients.n >= (classes - 1) * vectors && (!s->prob_a.n || s->prob_a.n >= s->pairs);
    else
        fits = fits && s->coefficients.n % classes == 0;
    return fits || import_fail(c, "the support vectors, coefficients, rho and probabilities do not fit %d classes", classes);
}

static Value *matrix(Builder *b, int64_t rows, int64_t cols, const double *v)
{
    return mk_reshape_ints(b, mk_floats(b, DT_f32, (FloatVec){ (int)(rows * cols), (double *)(uintptr_t)v }), 2, (int64_t[]){ rows, cols });
}

static Value *product(Builder *b, Value *x, Value *y)
{
    return mk_matmul(b, IN(x, y), (Attr_matmul){ 0 });
}

/* [vectors, pairs]: what each support vector counts for in each pair. The file has a row of coefficients per opponent, itself left out. */
static Value *pair_weights(Importer *c, const Svm *s)
{
    double *w = ARENA_ARRAY(c->m->arena, double, (int64_t)s->vectors * s->pairs + 1);
    int at = 0;
    for (int k = 0; k < s->classes; k++)
        for (int64_t v = 0; v < s->per_class.v[k]; v++, at++)
            for (int i = 0, pair = 0; i < s->classes; i++)
                for (int j = i + 1; j < s->classes; j++, pair++)
                    if (k == i || k == j)
                        w[at * s->pairs + pair] = s->coefficients.v[(k == i ? j - 1 : i) * s->vectors + at];
    return matrix(&c->b, s->vectors, s->pairs, w);
}

/* i64[N]: the class that wins most of its pairs; wins: bool[N, pairs], the first of the two won. */
static Value *most_wins(Importer *c, const Svm *s, Value *wins)
{
    Builder *b = &c->b;
    int64_t cells = (int64_t)s->pairs * s->classes, axis = 1;
    double *first = ARENA_ARRAY(c->m->arena, double, cells + 1), *second = ARENA_ARRAY(c->m->arena, double, cells + 1);
    for (int i = 0, pair = 0; i < s->classes; i++)
        for (int j = i + 1; j < s->classes; j++, pair++)
            first[pair * s->classes + i] = second[pair * s->classes + j] = 1;
    Value *won = mk_cast_to(b, wins, DT_f32), *lost = mk_cast_to(b, mk_not(b, wins), DT_f32);
    Value *votes = mk_add(b, product(b, won, matrix(b, s->pairs, s->classes, first)), product(b, lost, matrix(b, s->pairs, s->classes, second)));
    return mk_drop_axes(b, mk_arg_reduce(b, IN(votes), (Attr_arg_reduce){ .kind = "max", .axis = 1 }), 1, &axis);
}

/* [N, classes] from the scores of the pairs: Platt's sigmoid (2000) for each pair, then all pairs coupled. */
static Value *probabilities(Importer *c, const Svm *s, Value *scores)
{
    Builder *b = &c->b;
    int k = s->classes;
    int64_t *at = ARENA_ARRAY(c->m->arena, int64_t, k * k + 1);
    for (int i = 0, pair = 0; i < k; i++)
        for (int j = i + 1; j < k; j++, pair++) {
            at[i * k + j] = pair;
            at[j * k + i] = s->pairs + pair;
        }
    Value *a = mk_floats(b, DT_f32, (FloatVec){ s->pairs, s->prob_a.v }), *shift = mk_floats(b, DT_f32, (FloatVec){ s->pairs, s->prob_b.v });
    Value *p = mk_sigmoid(b, mk_neg(b, mk_add(b, mk_mul(b, scores, a), shift)));
    p = mk_clip(b, p, (double)1e-7f, 1 - 1e-7);
    Value *both = mk_concat2(b, p, mk_sub(b, mk_k(b, p, 1), p), 1);
    Value *square = mk_gather(b, IN(both, mk_ints(b, k * k, at)), (Attr_gather){ .axis = 1 });
    if (!square)
        return NULL;
    Dim size = dim_const(c->m->dims, k);
    return mk_couple_pairs(b, IN(mk_reshape_to(b, square, 3, (Dim[]){ value_dim(square, 0), size, size })), (Attr_couple_pairs){ 0 });
}

/* Two classes without probabilities: the one score s becomes -s and s, or with a transform 1 - s and s. */
static Value *two_scores(Importer *c, Value *s)
{
    Builder *b = &c->b;
    bool plain = !strcmp(attr_s(c, "post_transform", "NONE"), "NONE");
    return mk_concat2(b, plain ? mk_neg(b, s) : mk_sub(b, mk_k(b, s, 1), s), s, 1);
}

/* Without support vectors the coefficients are those of a linear model. Of two classes the second one wins where the greatest score is above 0, or
 * 0.5 if no coefficient is negative: so ONNX Runtime has it. */
static bool linear_svm(Importer *c, const Svm *s, Value *x, const MlLabels *labels)
{
    Builder *b = &c->b;
    const int64_t axis = 1;
    bool positive = true;
    for (int i = 0; i < s->coefficients.n; i++)
        positive &= s->coefficients.v[i] >= 0;
    Value *scores = product(b, x, mk_swap_last(b, matrix(b, s->classes, s->coefficients.n / s->classes, s->coefficients.v)));
    scores = mk_shifted(b, scores, s->rho.v[0]);
    Value *best = mk_drop_axes(b, mk_arg_reduce(b, IN(scores), (Attr_arg_reduce){ .kind = "max", .axis = 1 }), 1, &axis);
    if (s->classes == 2 && !s->prob_a.n) {
        Value *top = mk_drop_axes(b, mk_reduce_axes(b, "max", scores, 1, &axis), 1, &axis);
        Value *sure = positive ? mk_le(b, mk_k(b, top, 0.5), top) : mk_lt(b, mk_k(b, top, 0), top);
        best = mk_where(b, sure, mk_scalar(b, DT_i64, 1), best);
    }
    return ml_set_labels(c, 0, best, labels) && set_out(c, 1, ml_post_transform(c, scores));
}

bool import_svm_classifier(Importer *c)
{
    Builder *b = &c->b;
    Svm s;
    MlLabels labels = ml_labels(c, "classlabels_ints");
    Value *x = mk_cast_to(b, ml_rows(b, in(c, 0)), DT_f32);
    if (!x || !svm_read(c, &s, labels.count))
        return false;
    if (!s.vectors)
        return linear_svm(c, &s, x, &labels);
    Value *kernel = svm_kernel(c, x, matrix(b, s.vectors, s.support.n / s.vectors, s.support.v));
    Value *scores = mk_add(b, product(b, kernel, pair_weights(c, &s)), mk_floats(b, DT_f32, (FloatVec){ s.pairs, s.rho.v }));
    Value *best = most_wins(c, &s, mk_lt(b, mk_k(b, scores, 0), scores));
    if (s.classes == 2 && !s.prob_a.n)
        scores = two_scores(c, scores);
    else
        scores = ml_post_transform(c, s.prob_a.n ? probabilities(c, &s, scores) : scores);
    return ml_set_labels(c, 0, best, &labels) && set_out(c, 1, scores);
}
