/* fuzz_ops.c -- one node made from the input's bytes: any op, operand types (symbolic sizes among them) and attributes. It is refused with a
 * sentence, or infers the same types again and evaluates: to tensors of those types, or to a sentence.
 *
 * Built and replayed as fuzz_text.c says.
 */
#include <stdlib.h>
#include <string.h>

#include "eval.h"
#include "fuzz.h"

typedef struct Bytes { const uint8_t *at; size_t left; } Bytes;

enum { MAX_OPERANDS = 6, SYMBOLS = 2, MAX_ELEMENTS = 1 << 14 };
static const int64_t symbol_value[SYMBOLS] = { 3, 2 };

static int take(Bytes *b, int below)
{
    if (!b->left)
        return 0;
    b->left--;
    return *b->at++ % below;
}

static void must(bool ok, const char *what, const Node *n, const char *detail)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n%s\n", n ? op_name(n->op) : "node", what, detail);
    abort();
}

/* ---- random parts ---- */

static Dim take_dim(Bytes *b, Module *m, bool may_be_negative)
{
    int k = take(b, 12);
    if (k < SYMBOLS)
        return dim_symbol(m->dims, k ? "M" : "N");
    if (k == 2)
        return dim_addk(m->dims, dim_mulk(m->dims, dim_symbol(m->dims, "N"), 2), -1);
    return dim_const(m->dims, k - (may_be_negative ? 7 : 3) + (k == 11 && take(b, 8) == 0 ? 60 : 0));
}

static DType take_dtype(Bytes *b)
{
    static const DType common[] = { DT_f32, DT_i64, DT_i32, DT_bool, DT_f16, DT_f64, DT_u8 };
    return take(b, 8) ? common[take(b, 2)] : take(b, 4) ? common[take(b, 7)] : (DType)(1 + take(b, DT_count - 1));
}

/* Mostly the rank, dtype and sizes of the first operand: ops whose operands have nothing in common are refused early. */
static Value *take_operand(Bytes *b, Module *m, int index, const Type *first)
{
    Dim dim[6];
    int alike = first ? take(b, 8) : 0, rank = alike ? first->rank : take(b, 6);
    for (int i = 0; i < rank; i++)
        dim[i] = alike && take(b, 3) ? first->dim[i] : take_dim(b, m, false);
    Node *n = node_new(m->graph, NULL, OP_input, 0, NULL, &(Attr_input){ .index = index }, -1, (Loc){ 0 });
    n->out[0].type = type_tensor(m, alike > 3 ? first->dtype : take_dtype(b), rank, dim);
    return node_out(n);
}

/* What attributes of that name may say, and one word that none does. */
static const char *take_word(Bytes *b, const char *attr)
{
    static const struct { const char *attr, *word[8]; } words[] = {
        { "kind", { "max", "sum", "min", "prod", "avg" } }, { "mode", { "constant", "edge", "reflect", "wrap", "nearest", "linear", "cubic", "avg" } },
        { "coord", { "half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize", "pytorch_half_pixel", "half_pixel_symmetric" } },
        { "nearest", { "floor", "ceil", "round_prefer_floor", "round_prefer_ceil" } }, { "reduction", { "none", "add", "mul", "max", "min" } },
        { "padding", { "zeros", "border", "reflection" } }, { "aggregate", { "sum", "avg", "min", "max" } },
    };
    int k = take(b, 8);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i].attr, attr) && words[i].word[k])
            return words[i].word[k];
    return k == 7 ? "unheard-of" : "max";
}

static bool is_window(const char *attr)
{
    static const char *const window[] = { "strides", "dilations", "kernel", "output_padding" };
    for (int i = 0; i < 4; i++)
        if (!strcmp(attr, window[i]))
            return true;
    return false;
}

/* A length that fits an operand of that rank, or any other. */
static int take_length(Bytes *b, const char *attr, int rank)
{
    int spatial = rank > 2 ? rank - 2 : 0;
    if (!take(b, 8))
        return take(b, 8);
    if (!strcmp(attr, "pads"))
        return 2 * spatial;
    if (is_window(attr))
        return spatial;
    return !strcmp(attr, "roi") ? 2 * rank : !strcmp(attr, "k") ? 1 : !strcmp(attr, "axes") ? take(b, rank + 1) : rank;
}

static void fill_vector(Bytes *b, Module *m, const AttrInfo *info, int rank, void *field)
{
    int n = take_length(b, info->name, rank), turn = take(b, 4);
    int64_t *ints = ARENA_ARRAY(m->arena, int64_t, n + 1);
    double *floats = ARENA_ARRAY(m->arena, double, n + 1);
    Dim *dims = ARENA_ARRAY(m->arena, Dim, n + 1);
    for (int i = 0; i < n; i++) {
        ints[i] = turn < 2 && !is_window(info->name) ? (i + turn) % n : take(b, 10) ? 1 + take(b, 2 + turn) : -take(b, 3);
        floats[i] = (take(b, 16) - 2) / 4.0;
        dims[i] = take(b, 2) ? dim_const(m->dims, take(b, 3)) : take_dim(b, m, true);
    }
    if (info->kind == AK_ints)
        *(IntVec *)field = (IntVec){ n, ints };
    else if (info->kind == AK_floats)
        *(FloatVec *)field = (FloatVec){ n, floats };
    else if (info->kind == AK_dims)
        *(DimVec *)field = (DimVec){ n, dims };
}

/* Symbols that the op itself defines. */
static void fill_defined(Module *m, void *field)
{
    Dim *d = ARENA_NEW(m->arena, Dim);
    *d = dim_fresh(m->dims, "count", dim_const(m->dims, MAX_ELEMENTS));
    *(DimVec *)field = (DimVec){ 1, d };
}

static void fill_attr(Bytes *b, Module *m, OpCode op, const AttrInfo *info, int rank, void *field)
{
    switch (info->kind) {
    case AK_i64: *(int64_t *)field = take(b, 8) ? take(b, 3) : take(b, 8) - 2; break;
    case AK_f64: *(double *)field = (take(b, 16) - 8) / 4.0; break;
    case AK_bool: *(bool *)field = take(b, 2); break;
    case AK_str: *(const char **)field = take_word(b, info->name); break;
    case AK_dtype: *(DType *)field = take_dtype(b); break;
    case AK_dims:
        if (op_table[op].flags & OPF_SIZES) {
            fill_defined(m, field);
            break;
        }
        /* fall through */
    case AK_ints: case AK_floats: fill_vector(b, m, info, rank, field); break;
    case AK_strs: case AK_tensor: case AK_graph: break;
    }
}

/* ---- evaluation ---- */

static bool small(const Module *m, const Type *t, const int64_t *syms)
{
    int64_t n = 1;
    (void)m;
    for (int i = 0; i < t->rank; i++) {
        n *= dim_eval(t->dim[i], syms);
        if (n > MAX_ELEMENTS || n < 0)
            return false;
    }
    return true;
}

static const Tensor *fill_tensor(Bytes *b, Module *m, const Type *t, const int64_t *syms)
{
    int64_t dim[MAX_RANK];
    for (int i = 0; i < t->rank; i++)
        dim[i] = dim_eval(t->dim[i], syms);
    Tensor *r = tensor_new(m->arena, t->dtype, t->rank, dim);
    for (int64_t i = 0; i < r->count; i++)
        tensor_set_f64(r, i, take(b, 9) - 4 + (dtype_is_float(t->dtype) ? 0.5 : 0));
    return r;
}

/* What is in a container is the kernels' own business. */
static void check_result(const Node *n, int i, const Tensor *t, const int64_t *syms)
{
    const Type *want = &n->out[i].type;
    if (want->kind != TY_TENSOR)
        return;
    must(t->dtype == want->dtype && t->rank == want->rank, "another type than inferred came out", n, "");
    for (int k = 0; k < t->rank; k++)
        must(t->dim[k] == dim_eval(want->dim[k], syms), "another shape than inferred came out", n, "");
}

static void evaluate(Bytes *b, Module *m, const Node *n)
{
    int64_t *syms = ARENA_ARRAY(m->arena, int64_t, dim_symbol_count(m->dims) + 1);
    const Tensor *in[MAX_OPERANDS] = { NULL }, *out[8] = { NULL };
    syms[dim_symbol(m->dims, "N")->k] = symbol_value[0];
    syms[dim_symbol(m->dims, "M")->k] = symbol_value[1];
    for (int i = 0; i < n->nin; i++) {
        const Type *t = n->in[i].val ? &n->in[i].val->type : NULL;
        if (t && (t->dtype == DT_str || dtype_table[t->dtype].cls == CLS_OTHER || !small(m, t, syms)))
            return;
        in[i] = t ? fill_tensor(b, m, t, syms) : NULL;
    }
    for (int i = 0; i < n->nout; i++)
        if (!small(m, &n->out[i].type, syms) && !(op_table[n->op].flags & OPF_SIZES))
            return;
    if (!eval_node(&(EvalEnv){ .arena = m->arena, .m = m, .syms = syms }, n, in, out)) {
        must(m->diag->errors > 0, "evaluation failed without a sentence", n, "");
        return;
    }
    for (int i = 0; i < n->nout; i++)
        check_result(n, i, out[i], syms);
}

/* ---- one node ---- */

static bool is_plain(OpCode op)
{
    return op != OP_none && op != OP_input && op != OP_return && op != OP_constant && !(op_table[op].flags & OPF_REGION);
}

static void check_inference(Module *m, Node *n)
{
    Type before[8];
    for (int i = 0; i < n->nout; i++)
        before[i] = n->out[i].type;
    must(infer_node(m, n), "the second inference failed", n, m->diag->all);
    for (int i = 0; i < n->nout; i++)
        must(type_equal(&before[i], &n->out[i].type), "the second inference differs", n, "");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Bytes b = { data, size };
    Arena *a = arena_new();
    Diag d;
    diag_init(&d, a, NULL);
    Module *m = module_new(a, &d, "fuzz", "fuzz");
    OpCode op = (OpCode)take(&b, OP_count);
    Value *in[MAX_OPERANDS];
    int least = op_table[op].min_in, nin = op_table[op].max_in == least ? least : least + take(&b, MAX_OPERANDS + 1 - least);
    if (!is_plain(op) || least > MAX_OPERANDS) {
        arena_free(a);
        return 0;
    }
    for (int i = 0; i < nin; i++)
        in[i] = i && take(&b, 8) == 0 ? in[i - 1] : i >= least && take(&b, 3) == 0 ? NULL : take_operand(&b, m, i, i && in[0] ? &in[0]->type : NULL);
    void *attrs = arena_alloc(a, op_table[op].attr_bytes);
    for (int i = 0; i < op_table[op].nattr; i++)
        fill_attr(&b, m, op, &op_table[op].attr[i], nin && in[0] ? in[0]->type.rank : 2, (char *)attrs + op_table[op].attr[i].offset);
    Node *n = node_new(m->graph, NULL, op, nin, in, attrs, -1, (Loc){ 0 });
    must(n || d.errors, "refused without a sentence", NULL, op_name(op));
    if (n) {
        check_inference(m, n);
        evaluate(&b, m, n);
    }
    arena_free(a);
    return 0;
}
