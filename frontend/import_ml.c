/* import_ml.c -- ai.onnx.ml: linear models and preparation of features. Trees are in import_forest.c, support vectors in import_svm.c. */
#include "import_ml.h"
#include "import_string.h"

#include <math.h>
#include <string.h>

/* ---- shared ---- */

MlLabels ml_labels(Importer *c, const char *int_attr)
{
    IntVec ints = attr_ints(c, int_attr);
    StrVec texts = attr_strs(c, "classlabels_strings");
    return ints.n ? (MlLabels){ .count = ints.n, .ints = ints.v } : (MlLabels){ .count = texts.n, .texts = texts };
}

static bool is_counting(const MlLabels *l)
{
    for (int i = 0; i < l->count; i++)
        if (l->ints[i] != i)
            return false;
    return true;
}

bool ml_set_labels(Importer *c, int out, Value *index, const MlLabels *labels)
{
    if (!out_wanted(c, out))
        return true;
    if (labels->ints && is_counting(labels))
        return set_out(c, out, index);
    Value *list = labels->ints ? mk_ints(&c->b, labels->count, labels->ints) : mk_texts(&c->b, labels->count, labels->texts.v);
    return set_out(c, out, mk_gather(&c->b, IN(list, index), (Attr_gather){ .axis = 0 }));
}

Value *ml_rows(Builder *b, Value *x)
{
    return x && value_rank(x) == 1 ? mk_insert_axes(b, x, 0, 1) : x;
}

/* The inverse of the normal distribution by Winitzki's approximation of erf^-1 (2008), a = 0.147. */
static Value *probit(Builder *b, Value *p)
{
    Value *x = mk_shifted(b, mk_scaled(b, p, 2), -1);
    Value *l = mk_log(b, mk_sub(b, mk_k(b, x, 1), mk_mul(b, x, x)));
    Value *v = mk_shifted(b, mk_scaled(b, l, 0.5), 2 / (3.14159265358979323846 * 0.147));
    Value *root = mk_sqrt(b, mk_sub(b, mk_mul(b, v, v), mk_scaled(b, l, 1 / 0.147)));
    return mk_scaled(b, mk_mul(b, mk_sign(b, x), mk_sqrt(b, mk_sub(b, root, v))), 1.41421356237309504880);
}

/* Softmax over the scores that are not zero; zeros stay. */
static Value *softmax_zero(Builder *b, Value *x)
{
    const int64_t axis = 1;
    Value *zero = mk_k(b, x, 0), *e = mk_exp(b, mk_sub(b, x, mk_reduce_axes(b, "max", x, 1, &axis)));
    Value *kept = mk_where(b, mk_eq(b, x, zero), zero, e), *sum = mk_reduce_axes(b, "sum", kept, 1, &axis);
    return mk_div(b, kept, mk_where(b, mk_eq(b, sum, zero), mk_k(b, x, 1), sum));
}

Value *ml_transformed(Importer *c, Value *scores, const char *post_transform)
{
    Builder *b = &c->b;
    if (!strcmp(post_transform, "NONE"))
        return scores;
    if (!strcmp(post_transform, "LOGISTIC"))
        return mk_sigmoid(b, scores);
    if (!strcmp(post_transform, "SOFTMAX"))
        return mk_softmax(b, IN(scores), (Attr_softmax){ .axis = 1 });
    if (!strcmp(post_transform, "SOFTMAX_ZERO"))
        return softmax_zero(b, scores);
    if (!strcmp(post_transform, "PROBIT"))
        return probit(b, scores);
    import_fail(c, "post_transform is '%s'", post_transform);
    return NULL;
}

Value *ml_post_transform(Importer *c, Value *scores)
{
    return ml_transformed(c, scores, attr_s(c, "post_transform", "NONE"));
}

/* ---- linear models ---- */

/* x W' + intercepts, with `rows` rows of coefficients. */
static Value *linear_scores(Importer *c, int64_t rows)
{
    Builder *b = &c->b;
    FloatVec w = attr_floats(c, "coefficients"), intercepts = attr_floats(c, "intercepts");
    Value *x = mk_cast_to(b, ml_rows(b, in(c, 0)), DT_f32);
    if (!x)
        return NULL;
    if (rows < 1 || !w.n || w.n % rows || (intercepts.n && intercepts.n != rows)) {
        import_fail(c, "%d coefficients and %d intercepts do not make %lld rows", w.n, intercepts.n, (long long)rows);
        return NULL;
    }
    Value *table = mk_swap_last(b, mk_reshape_ints(b, mk_floats(b, DT_f32, w), 2, (int64_t[]){ rows, w.n / rows }));
    Value *y = mk_matmul(b, IN(x, table), (Attr_matmul){ 0 });
    return intercepts.n ? mk_add(b, y, mk_floats(b, DT_f32, intercepts)) : y;
}

bool import_linear_regressor(Importer *c)
{
    OUT(c, ml_post_transform(c, linear_scores(c, attr_i(c, "targets", 1))));
}

/* With two labels and one row of coefficients the second label wins where the score is positive. */
bool import_linear_classifier(Importer *c)
{
    Builder *b = &c->b;
    MlLabels labels = ml_labels(c, "classlabels_ints");
    FloatVec intercepts = attr_floats(c, "intercepts");
    int64_t rows = intercepts.n ? intercepts.n : labels.count;
    Value *scores = linear_scores(c, rows);
    if (!scores)
        return false;
    if (rows != labels.count && !(rows == 1 && labels.count == 2))
        return import_fail(c, "%lld rows of coefficients do not fit %d labels", (long long)rows, labels.count);
    if (rows == 1 && labels.count == 2) {
        Value *positive = mk_drop_axes(b, mk_lt(b, mk_k(b, scores, 0), scores), 1, (int64_t[]){ 1 });
        bool logistic = !strcmp(attr_s(c, "post_transform", "NONE"), "LOGISTIC");
        Value *s = logistic ? mk_sigmoid(b, scores) : scores;
        return ml_set_labels(c, 0, mk_cast_to(b, positive, DT_i64), &labels) && set_out(c, 1, mk_concat2(b, mk_sub(b, mk_k(b, s, 1), s), s, 1));
    }
    Value *best = mk_arg_reduce(b, IN(scores), (Attr_arg_reduce){ .kind = "max", .axis = 1 });
    return ml_set_labels(c, 0, mk_drop_axes(b, best, 1, (int64_t[]){ 1 }), &labels) && set_out(c, 1, ml_post_transform(c, scores));
}

/* ---- preparation of features ---- */

bool import_scaler(Importer *c)
{
    Builder *b = &c->b;
    FloatVec offset = attr_floats(c, "offset"), scale = attr_floats(c, "scale");
    Value *x = mk_cast_to(b, in(c, 0), DT_f32);
    if (offset.n)
        x = mk_sub(b, x, mk_floats(b, DT_f32, offset));
    if (scale.n)
        x = mk_mul(b, x, mk_floats(b, DT_f32, scale));
    OUT(c, x);
}

bool import_binarizer(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    OUT(c, x ? mk_cast_to(b, mk_lt(b, mk_k(b, x, attr_f(c, "threshold", 0)), x), x->type.dtype) : NULL);
}

/* Rows over their largest element, sum of magnitudes, or length; where that is zero they stay. */
bool import_normalizer(Importer *c)
{
    Builder *b = &c->b;
    const char *norm = attr_s(c, "norm", "MAX");
    Value *x = mk_cast_to(b, in(c, 0), DT_f32), *size;
    if (!x)
        return false;
    if (!value_rank(x))
        return import_fail(c, "a scalar has no rows");
    int64_t axis = value_rank(x) - 1;
    if (!strcmp(norm, "MAX"))
        size = mk_reduce_axes(b, "max", x, 1, &axis);
    else if (!strcmp(norm, "L1") || !strcmp(norm, "L2"))
        size = mk_lp_norm(b, x, 1, &axis, norm[1] - '0');
    else
        return import_fail(c, "norm must be MAX, L1 or L2, not '%s'", norm);
    OUT(c, mk_div(b, x, mk_where(b, mk_eq(b, size, mk_k(b, x, 0)), mk_k(b, x, 1), size)));
}

/* Elements equal to the replaced value (NaN equals NaN here) become the imputed one, of which there is one or one per feature. */
bool import_imputer(Importer *c)
{
    Builder *b = &c->b;
    Value *x = in(c, 0);
    if (!x)
        return false;
    bool real = dtype_is_float(x->type.dtype);
    IntVec ints = attr_ints(c, "imputed_value_int64s");
    double replaced = real ? attr_f(c, "replaced_value_float", 0) : (double)attr_i(c, "replaced_value_int64", 0);
    Value *imputed = real ? mk_floats(b, x->type.dtype, attr_floats(c, "imputed_value_floats"))
                          : mk_cast_to(b, mk_ints(b, ints.n, ints.v), x->type.dtype);
    Value *missing = isnan(replaced) ? mk_isnan(b, x) : mk_eq(b, x, mk_k(b, x, replaced));
    OUT(c, mk_where(b, missing, imputed, x));
}

bool import_array_feature_extractor(Importer *c)
{
    Builder *b = &c->b;
    Value *x = ml_rows(b, in(c, 0)), *at = in(c, 1);
    if (!x || !at)
        return false;
    Dim n = type_count_dim(c->m, &at->type);
    OUT(c, mk_gather(b, IN(x, mk_reshape_to(b, at, 1, &n)), (Attr_gather){ .axis = value_rank(x) - 1 }));
}

bool import_feature_vectorizer(Importer *c)
{
    Builder *b = &c->b;
    int n = in_count(c);
    Value **part = ARENA_ARRAY(c->m->arena, Value *, n + 1);
    for (int i = 0; i < n; i++) {
        part[i] = mk_cast_to(b, ml_rows(b, in(c, i)), DT_f32);
        if (part[i] && value_rank(part[i]) > 2)
            part[i] = mk_reshape_to(b, part[i], 2, (Dim[]){ value_dim(part[i], 0), dim_product(b, part[i], 1, value_rank(part[i])) });
    }
    OUT(c, mk_concat(b, (Inputs){ n, part }, (Attr_concat){ .axis = 1 }));
}

bool import_one_hot_encoder(Importer *c)
{
    Builder *b = &c->b;
    IntVec cats = attr_ints(c, "cats_int64s");
    Value *x = in(c, 0);
    if (!x)
        return false;
    StrVec texts = attr_strs(c, "cats_strings");
    if (!attr_i(c, "zeros", 1))
        return import_unsupported(c, "a category that must be present");
    if (x->type.dtype == DT_str) {
        Value *place = mk_insert_axes(b, mk_find(b, x, mk_texts(b, texts.n, texts.v)), value_rank(x), 1);
        OUT(c, mk_cast_to(b, mk_eq(b, place, mk_iota_n(b, DT_i64, dim_const(c->m->dims, texts.n))), DT_f32));
    }
    Value *each = mk_insert_axes(b, mk_cast_to(b, x, DT_i64), value_rank(x), 1);
    OUT(c, mk_cast_to(b, mk_eq(b, each, mk_ints(b, cats.n, cats.v)), DT_f32));
}

/* ---- LabelEncoder, CategoryMapper ---- */

/* Attribute `<stem>_strings`, `_int64s`, `_floats` or `_tensor` as a constant of rank 1; NULL if there is none. */
static Value *label_list(Importer *c, const char *stem)
{
    Builder *b = &c->b;
    Arena *a = c->m->arena;
    const Tensor *t = attr_tensor(c, arena_printf(a, "%s_tensor", stem));
    StrVec texts = attr_strs(c, arena_printf(a, "%s_strings", stem));
    IntVec ints = attr_ints(c, arena_printf(a, "%s_int64s", stem));
    FloatVec floats = attr_floats(c, arena_printf(a, "%s_floats", stem));
    if (t)
        return mk_reshape_ints(b, mk_tensor(b, t), 1, &t->count);
    return texts.n ? mk_texts(b, texts.n, texts.v) : ints.n ? mk_ints(b, ints.n, ints.v) : floats.n ? mk_floats(b, DT_f32, floats) : NULL;
}

static Value *default_label(Importer *c, DType t)
{
    const Tensor *given = attr_tensor(c, "default_tensor");
    if (given && given->count == 1)
        return mk_reshape_ints(&c->b, mk_tensor(&c->b, given), 0, NULL);
    if (t == DT_str)
        return mk_text(&c->b, attr_s(c, "default_string", "_Unused"));
    return mk_scalar(&c->b, t, dtype_is_float(t) ? attr_f(c, "default_float", -0.0) : (double)attr_i(c, "default_int64", -1));
}

/* Number of the first key that is equal, or -1. There is a key at least. */
static Value *find_number(Builder *b, Value *x, Value *keys)
{
    int64_t axis = value_rank(x);
    Value *each = mk_insert_axes(b, x, (int)axis, 1), *same = mk_eq(b, each, mk_cast_to(b, keys, x->type.dtype));
    if (dtype_is_float(x->type.dtype))
        same = mk_or(b, same, mk_and(b, mk_isnan(b, each), mk_isnan(b, keys)));
    Value *hit = mk_cast_to(b, same, DT_i32);
    Value *at = mk_drop_axes(b, mk_arg_reduce(b, IN(hit), (Attr_arg_reduce){ .kind = "max", .axis = axis }), 1, &axis);
    Value *any = mk_cast_to(b, mk_drop_axes(b, mk_reduce_axes(b, "max", hit, 1, &axis), 1, &axis), DT_bool);
    return at ? mk_where(b, any, at, mk_scalar(b, DT_i64, -1)) : NULL;
}

/* values[number of the key]; what is no key is -1, which is the last of the list: the default stands there. */
static Value *mk_labels(Builder *b, Value *x, Value *keys, Value *values, Value *otherwise)
{
    if (!x || !keys || !values || !otherwise)
        return NULL;
    Value *at = x->type.dtype == DT_str ? mk_find(b, x, keys) : find_number(b, x, keys);
    return mk_gather(b, IN(mk_concat2(b, values, mk_insert_axes(b, otherwise, 0, 1), 0), at), (Attr_gather){ .axis = 0 });
}

bool import_label_encoder(Importer *c)
{
    Value *x = in(c, 0), *keys = label_list(c, "keys"), *values = label_list(c, "values");
    if (!x)
        return false;
    if (!keys || !values || (keys->type.dtype == DT_str) != (x->type.dtype == DT_str))
        return import_fail(c, "there are no keys of the input's type, or no values");
    OUT(c, mk_labels(&c->b, x, keys, values, default_label(c, values->type.dtype)));
}

/* Version 1: a string is its place in the list, a number its string. */
bool import_label_encoder_1(Importer *c)
{
    Builder *b = &c->b;
    StrVec classes = attr_strs(c, "classes_strings");
    Value *texts = mk_texts(b, classes.n, classes.v), *numbers = mk_iota_n(b, DT_i64, dim_const(c->m->dims, classes.n)), *x = in(c, 0);
    if (!x || !classes.n)
        return x && import_fail(c, "there are no classes");
    bool text = x->type.dtype == DT_str;
    OUT(c, text ? mk_labels(b, x, texts, numbers, default_label(c, DT_i64)) : mk_labels(b, x, numbers, texts, default_label(c, DT_str)));
}

bool import_category_mapper(Importer *c)
{
    Builder *b = &c->b;
    StrVec strings = attr_strs(c, "cats_strings");
    IntVec ints = attr_ints(c, "cats_int64s");
    Value *texts = mk_texts(b, strings.n, strings.v), *numbers = mk_ints(b, ints.n, ints.v), *x = in(c, 0);
    if (!x || !ints.n || ints.n != strings.n)
        return x && import_fail(c, "there are %d strings for %d numbers", strings.n, ints.n);
    bool text = x->type.dtype == DT_str;
    OUT(c, text ? mk_labels(b, x, texts, numbers, default_label(c, DT_i64)) : mk_labels(b, x, numbers, texts, default_label(c, DT_str)));
}

/* ---- maps ---- */

static Value *ml_converted(Builder *b, Value *x, DType to)
{
    if (x->type.dtype == DT_str && to != DT_str)
        return mk_str_parse(b, IN(x), (Attr_str_parse){ .to = to });
    return x->type.dtype != DT_str && to == DT_str ? mk_str_format(b, IN(x), (Attr_str_format){ 0 }) : x->type.dtype == to ? x : mk_cast_to(b, x, to);
}

/* A row of scores becomes a map from class to score. */
bool import_zip_map(Importer *c)
{
    Builder *b = &c->b;
    Value *x = ml_rows(b, in(c, 0));
    MlLabels labels = ml_labels(c, "classlabels_int64s");
    if (!x)
        return false;
    if (!labels.count)
        return import_fail(c, "there are no class labels");
    Value *keys = labels.ints ? mk_ints(b, labels.count, labels.ints) : mk_texts(b, labels.count, labels.texts.v);
    OUT(c, mk_map_zip(b, IN(keys, x), (Attr_map_zip){ 0 }));
}

typedef struct MapParts { Value *keys, *values; } MapParts;

static bool take_apart(Importer *c, Value *map, MapParts *out)
{
    Builder *b = &c->b;
    if (!map)
        return false;
    if (map->type.kind != TY_MAP)
        return import_fail(c, "the input is not a map");
    Dim n = dim_fresh(c->m->dims, "u", NULL);
    DimVec size = dims_copy(c->m, 1, &n);
    Value *said = mk_map_size(b, IN(map), (Attr_map_size){ 0 });
    if (!said || !build_node(b, OP_bind, IN(said), &(Attr_bind){ .syms = size }, 0))
        return false;
    out->keys = mk_map_keys(b, IN(map), (Attr_map_keys){ .size = size });
    out->values = mk_map_values(b, IN(map), (Attr_map_values){ .size = size });
    return out->keys && out->values;
}

/* What the map has for each of these keys, else `otherwise`. One more key, which is in no list, is found by nothing: a map may be empty. */
static Value *looked_up(Builder *b, const MapParts *map, Value *wanted, Value *otherwise)
{
    if (!wanted || map->keys->type.dtype == DT_str)
        return mk_labels(b, wanted, map->keys, map->values, otherwise);
    Value *none = mk_reshape_ints(b, mk_scalar(b, DT_i64, -1), 1, (int64_t[]){ 1 });
    Value *keys = mk_concat2(b, map->keys, none, 0), *values = mk_concat2(b, map->values, mk_insert_axes(b, otherwise, 0, 1), 0);
    return mk_labels(b, wanted, keys, values, otherwise);
}

bool import_dict_vectorizer(Importer *c)
{
    Builder *b = &c->b;
    IntVec ints = attr_ints(c, "int64_vocabulary");
    StrVec texts = attr_strs(c, "string_vocabulary");
    MapParts map;
    if (!take_apart(c, in(c, 0), &map))
        return false;
    bool text = map.keys->type.dtype == DT_str;
    if (!(text ? texts.n : ints.n))
        return import_fail(c, "there is no vocabulary for keys of %s", dtype_name(map.keys->type.dtype));
    DType t = map.values->type.dtype;
    Value *none = t == DT_str ? mk_text(b, "") : mk_scalar(b, t, 0), *wanted = text ? mk_texts(b, texts.n, texts.v) : mk_ints(b, ints.n, ints.v);
    OUT(c, mk_insert_axes(b, looked_up(b, &map, wanted, none), 0, 1));
}

/* DENSE: the values in the order of their keys. SPARSE: max_map places, of which the keys are the numbers. */
bool import_cast_map(Importer *c)
{
    Builder *b = &c->b;
    const char *to = attr_s(c, "cast_to", "TO_FLOAT"), *form = attr_s(c, "map_form", "DENSE");
    DType t = !strcmp(to, "TO_INT64") ? DT_i64 : !strcmp(to, "TO_STRING") ? DT_str : DT_f32;
    int64_t most = attr_i(c, "max_map", 1);
    MapParts map;
    if (!take_apart(c, in(c, 0), &map))
        return false;
    if (map.keys->type.dtype != DT_i64)
        return import_fail(c, "keys of i64 are needed");
    if (!strcmp(form, "SPARSE") && (most < 1 || most > INT32_MAX))
        return import_fail(c, "max_map is %lld", (long long)most);
    map.values = ml_converted(b, map.values, t);
    Value *none = t == DT_str ? mk_text(b, "") : mk_scalar(b, t, 0);
    if (!strcmp(form, "SPARSE"))
        OUT(c, mk_insert_axes(b, looked_up(b, &map, mk_iota_n(b, DT_i64, dim_const(c->m->dims, most)), none), 0, 1));
    DimVec all = { 1, map.keys->type.dim };
    Node *sorted = build_node(b, OP_topk, IN(map.keys), &(Attr_topk){ .k = all, .axis = 0, .largest = false, .sorted = true }, 2);
    OUT(c, sorted ? mk_insert_axes(b, mk_gather(b, IN(map.values, &sorted->out[1]), (Attr_gather){ .axis = 0 }), 0, 1) : NULL);
}
