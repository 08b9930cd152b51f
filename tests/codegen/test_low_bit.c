/* test_low_bit.c -- products with weights of few bits: every number of bits, ways to scale and sizes that do not divide, read packed, give what the evaluator
 * says; and the weights are really read packed.
 */
#include "compiled.h"

typedef struct Layer {
    const char *name;
    int64_t rows, k, n;             /* matmul [rows, k] x [k, n]; rows 0: a convolution of n filters */
    int64_t size, taps, stride, group;      /* of a convolution: size x size pixels, taps x taps filters, k channels per group */
    DType q;
    int64_t block;                  /* 0: one per column */
    int zero;                       /* 0: none, 1: one for all, 2: an integer for each block, 3: a number for each block */
    bool levels, odd_scales;        /* odd: not exact in f16 */
} Layer;

static const Layer layer[] = {
    { "one row, i4", 1, 96, 80, .q = DT_i4, .block = 32 },
    { "one row, i4, odd sizes", 1, 75, 37, .q = DT_i4, .block = 32 },
    { "one row, one panel", 1, 40, 16, .q = DT_u4, .block = 16, .zero = 2 },
    { "three rows, u4, zero points", 3, 100, 50, .q = DT_u4, .block = 32, .zero = 2, .odd_scales = true },
    { "rows, i4", 29, 64, 70, .q = DT_i4, .block = 64 },
    { "rows, u4, one zero point", 20, 48, 33, .q = DT_u4, .block = 32, .zero = 1 },
    { "rows, u4, numbers taken away", 20, 48, 33, .q = DT_u4, .block = 16, .zero = 3, .odd_scales = true },
    { "one row, levels", 1, 64, 48, .q = DT_u4, .block = 32, .levels = true },
    { "rows, levels", 17, 70, 48, .q = DT_u4, .block = 64, .levels = true },
    { "one row, levels of bytes", 1, 33, 20, .q = DT_u8, .block = 32, .levels = true },
    { "one row, i2", 1, 70, 32, .q = DT_i2, .block = 32 },
    { "rows, u2, levels", 9, 33, 32, .q = DT_u2, .block = 16, .levels = true },
    { "one row, i8 per column", 1, 77, 40, .q = DT_i8 },
    { "rows, u8, zero points", 9, 77, 40, .q = DT_u8, .block = 32, .zero = 2 },
    { "blocks of 5", 2, 33, 17, .q = DT_i4, .block = 5, .odd_scales = true },
    { "k in blocks", 40, 1100, 50, .q = DT_i4, .block = 32 },
    { "k in blocks, rows in chunks", 300, 530, 20, .q = DT_i4, .block = 32 },
    { "k in blocks, i8 per column", 21, 1030, 33, .q = DT_i8 },
    { "k in blocks, odd scales", 15, 1040, 18, .q = DT_u4, .block = 65, .zero = 2 },
    { "filters in blocks of taps", 0, 230, 18, 5, 3, 1, 1, DT_i4, .block = 32 },
    { "filters in parts of taps", 0, 530, 17, 4, 3, 1, 1, DT_i2, .block = 32 },
    { "pointwise", 0, 64, 48, 7, 1, 1, 1, DT_i4, .block = 32 },
    { "3x3, zero points", 0, 40, 33, 8, 3, 1, 1, DT_u4, .block = 32, .zero = 2 },
    { "3x3, stride 2, i8 per filter", 0, 24, 20, 9, 3, 2, 1, DT_i8, .block = 0 },
    { "groups", 0, 8, 24, 6, 3, 1, 3, DT_i4, .block = 4 },
    { "5x5, levels", 0, 6, 16, 9, 5, 1, 1, DT_u4, .block = 32, .levels = true },
};

static Tensor *codes(Fix *f, const Layer *l, int rank, const int64_t *dim)
{
    Tensor *t = tensor_new(f->a, l->q, rank, dim);
    uint32_t seed = 99;
    for (int64_t i = 0; i < t->count; i++) {
        seed = seed * 1664525u + 1013904223u;
        tensor_set_f64(t, i, seed >> 20);           /* the low bits of that */
    }
    return t;
}

/* kind: 's' scales, 'z' zero points, 'n' numbers. */
static Tensor *factors(Fix *f, const Layer *l, char kind, DType type, int rank, const int64_t *dim)
{
    Tensor *t = tensor_new(f->a, type, rank, dim);
    uint32_t seed = 5;
    for (int64_t i = 0; i < t->count; i++) {
        seed = seed * 1664525u + 1013904223u;
        double x = 1 + (seed >> 24) / 256.0 / 2;
        tensor_set_f64(t, i, kind == 's' ? (l->odd_scales ? x * 0.0137 : x / 16) : kind == 'z' ? seed >> 29 : 3 + x / 3);
    }
    return t;
}

static FloatVec levels(Fix *f, const Layer *l)
{
    int n = l->levels ? 1 << dtype_table[l->q].bits : 0;
    double *v = ARENA_ARRAY(f->a, double, n + 1);
    for (int i = 0; i < n; i++)
        v[i] = (double)(float)(sin(i + 0.5) * 3);
    return (FloatVec){ n, v };
}

static Value *weights(Fix *f, const Layer *l)
{
    int64_t q[] = { l->n, l->k, l->taps, l->taps }, s[] = { l->n, 1, 1, 1 }, matrix[] = { l->k, l->n }, of_matrix[] = { 1, l->n };
    int rank = l->rows ? 2 : 4, sum = l->rows ? 0 : 1;
    int64_t *dim = l->rows ? matrix : q, *blocks = l->rows ? of_matrix : s;
    if (l->block) {
        blocks[sum] = (l->k + l->block - 1) / l->block;
        for (int i = 2; i < rank; i++)
            blocks[i] = dim[i];
    }
    Value *in[3] = { mk_tensor(&f->b, codes(f, l, rank, dim)), mk_tensor(&f->b, factors(f, l, 's', DT_f32, rank, blocks)), NULL };
    if (l->zero == 1)
        in[2] = mk_tensor(&f->b, tensor_splat(f->a, DT_u4, rank, blocks, &(uint8_t){ 7 }));
    else if (l->zero)
        in[2] = mk_tensor(&f->b, factors(f, l, l->zero == 2 ? 'z' : 'n', l->zero == 2 ? l->q : DT_f32, rank, blocks));
    return mk_dequantize_blocks(&f->b, (Inputs){ l->zero ? 3 : 2, in }, (Attr_dequantize_blocks){ .axis = sum, .block = l->block, .levels = levels(f, l) });
}

static void read_packed(const Module *m)
{
    bool inside = false;
    FOR_EACH_NODE(n, m->graph) {
        assert_int_not_equal(n->op, OP_dequantize_blocks);
        if (n->op == OP_fused)
            FOR_EACH_NODE(k, NODE_ATTR(n, fused)->body)
                inside |= k->op == OP_dequantize_blocks;
    }
    assert_true(inside);
}

static Value *product(Fix *f, const Layer *l, Value *x)
{
    Value *w = weights(f, l);
    if (l->rows)
        return mk_relu(&f->b, mk_matmul(&f->b, IN(x, w), (Attr_matmul){ 0 }));
    int64_t stride[] = { l->stride, l->stride }, pad[] = { l->taps / 2, l->taps / 2, l->taps / 2, l->taps / 2 }, one[] = { 1, 1 };
    Module *m = f->b.m;
    return mk_conv(&f->b, IN(x, w), (Attr_conv){ .strides = ints_copy(m, 2, stride), .pads = ints_copy(m, 4, pad), .dilations = ints_copy(m, 2, one),
                                                 .group = l->group });
}

static void check(Fix *f, const Layer *l, const char *cpu, bool symbolic)
{
    const int64_t rows[] = { l->rows, l->k }, image[] = { 2, l->k * l->group, l->size, l->size };
    const Tensor *x = l->rows ? compiled_random(f->a, 2, rows, 1) : compiled_random(f->a, 4, image, 1);
    const char *one_row = symbolic ? arena_printf(f->a, "N,%d", (int)l->k) : arena_printf(f->a, "%d,%d", (int)l->rows, (int)l->k);
    const char *dims = l->rows ? one_row : arena_printf(f->a, "2,%d,%d,%d", (int)image[1], (int)l->size, (int)l->size);
    Value *y = product(f, l, fix_input(f, DT_f32, dims));
    compiled_check_value(f, &(Compiled){ .what = l->name, .cpu = cpu, .tolerance = 3e-6, .inspect = read_packed }, x, y);
}

static void check_fixed(Fix *f, size_t i, const char *cpu) { check(f, &layer[i], cpu, false); }
static void check_symbolic(Fix *f, size_t i, const char *cpu) { check(f, &layer[i], cpu, layer[i].rows > 0); }

static void every_kind(void **state)
{
    (void)state;
    COMPILED_EACH(compiled_everywhere, layer, check_fixed);
}

static void rows_of_the_run(void **state)
{
    (void)state;
    COMPILED_EACH(compiled_here, layer, check_symbolic);
}

/* Codes of few bits without padding, half a byte each, and f16 scales: the file is hardly larger than that. */
static void file_is_small(void **state)
{
    Fix *f = *state;
    enum { K = 512, N = 512 };
    const Layer l = { "large", 1, K, N, .q = DT_i4, .block = 32 };
    char so[] = BINARY_DIR "/low-bit-XXXXXX";
    compiled_return(f, IN(product(f, &l, fix_input(f, DT_f32, "1,512"))));
    f->b.m->graph->props |= GP_TYPED;
    assert_true(passes_run(f->b.m, &(PassOptions){ .level = 2, .fuel = -1, .verify = true }));
    close(mkstemp(so));
    assert_true(compile_module(f->b.m, &(CompileOptions){ .output = so, .kind = OUT_SO, .opt_level = 2 }));
    FILE *file = fopen(so, "rb");
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    long bytes = ftell(file);
    fclose(file);
    unlink(so);
    assert_in_range(bytes, K * N / 2, K * N / 2 + K / 32 * N * 2 + 20000);
}

/* Where a product cannot read them packed, they are numbers when the model is compiled. */
static void others_become_numbers(void **state)
{
    Fix *f = *state;
    double code[96] = { 1, 2, 3 };
    Value *scale = fix_constant(f, DT_f32, "8,3", code), *q = fix_constant(f, DT_i4, "8,12", code);
    Value *w = mk_dequantize_blocks(&f->b, IN(q, scale), (Attr_dequantize_blocks){ .axis = 1, .block = 4 });       /* along the columns */
    compiled_return(f, IN(mk_matmul(&f->b, IN(fix_input(f, DT_f32, "2,8"), w), (Attr_matmul){ 0 })));
    f->b.m->graph->props |= GP_TYPED;
    assert_true(passes_run(f->b.m, &(PassOptions){ .level = 2, .fuel = -1, .verify = true }));
    FOR_EACH_NODE(n, f->b.m->graph)
        assert_true(n->op == OP_input || n->op == OP_constant || n->op == OP_matmul || n->op == OP_return);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind), cmocka_unit_test(rows_of_the_run), cmocka_unit_test_setup_teardown(file_is_small, fix_setup, fix_teardown),
        cmocka_unit_test_setup_teardown(others_become_numbers, fix_setup, fix_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
