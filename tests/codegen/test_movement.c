/* test_movement.c -- kernels that move data, against the evaluator: each case with sizes fixed and with sizes of the run, sizes that vectors divide and
 * sizes that they do not, so that every way of writing columns, every cut and every tail is taken.
 */
#include "compiled.h"

typedef struct Case {
    const char *dims;               /* of the input; letters are sizes of the run */
    int rank;
    int64_t size[5];
    Value *(*build)(Fix *f, Value *x);
} Case;

static DimVec D(Fix *f, const char *text) { return fix_dims(f, text); }
static IntVec I(Fix *f, const char *text) { return fix_ints(f, text); }

static Value *pad(Fix *f, Value *x, const char *before, const char *after)
{
    return mk_pad(&f->b, IN(x, mk_scalar(&f->b, DT_f32, 0.5)), (Attr_pad){ D(f, before), D(f, after), "constant", 0 });
}

static Value *transpose(Fix *f, Value *x, const char *perm) { return mk_transpose(&f->b, IN(x), (Attr_transpose){ .perm = I(f, perm) }); }
static Value *reshape(Fix *f, Value *x, const char *shape) { return mk_reshape(&f->b, IN(x), (Attr_reshape){ .shape = D(f, shape) }); }
static Value *columns_last(Fix *f, Value *x) { return transpose(f, x, "0,2,3,1"); }
static Value *channels_first(Fix *f, Value *x) { return transpose(f, x, "0,3,1,2"); }
static Value *rotate(Fix *f, Value *x) { return transpose(f, x, "2,1,0"); }
static Value *matrix(Fix *f, Value *x) { return transpose(f, x, "1,0"); }
static Value *into_padded(Fix *f, Value *x) { return pad(f, columns_last(f, x), "0,1,2,0", "0,3,1,0"); }
static Value *out_of_padded(Fix *f, Value *x) { return channels_first(f, pad(f, x, "0,1,1,0", "0,1,1,0")); }
static Value *cropped(Fix *f, Value *x) { return pad(f, x, "0,-1,2", "0,3,-2"); }
static Value *padded_columns(Fix *f, Value *x) { return pad(f, x, "0,0,3", "1,0,5"); }

/* The halves of the channels interleaved, as ShuffleNet does; the first half comes from a slice. */
static Value *shuffle(Fix *f, Value *x)
{
    Dim half = dim_const(f->b.m->dims, 29);
    Value *low = mk_slice_axis(&f->b, x, 3, dim_const(f->b.m->dims, 0), half), *high = mk_slice_axis(&f->b, x, 3, half, half);
    Value *both = mk_concat(&f->b, IN(high, low), (Attr_concat){ .axis = 3 });
    return transpose(f, reshape(f, both, "2,5,7,2,29"), "0,1,2,4,3");
}

static Value *groups(Fix *f, Value *x, int64_t n)
{
    DimTable *dims = f->b.m->dims;
    Dim shape[] = { x->type.dim[0], dim_const(dims, n), dim_div(dims, x->type.dim[1], dim_const(dims, n)) };
    return transpose(f, mk_reshape_to(&f->b, x, 3, shape), "0,2,1");
}

static Value *groups_of_three(Fix *f, Value *x) { return groups(f, x, 3); }
static Value *groups_of_four(Fix *f, Value *x) { return groups(f, x, 4); }
static Value *groups_of_nine(Fix *f, Value *x) { return groups(f, x, 9); }
static Value *groups_of_sixteen(Fix *f, Value *x) { return groups(f, x, 16); }

static Value *parts(Fix *f, Value *x)
{
    DimTable *dims = f->b.m->dims;
    int last = x->type.rank - 1;
    Value *few = mk_slice_axis(&f->b, x, last, dim_const(dims, 2), dim_const(dims, 5)), *one = mk_slice_axis(&f->b, x, last, dim_const(dims, 0), dim_const(dims, 1));
    return mk_concat(&f->b, IN(few, one, x), (Attr_concat){ .axis = last });
}

/* As detectors collect their boxes: parts along the last axis of several levels, one behind the other. */
static Value *levels(Fix *f, Value *x)
{
    Value *all = parts(f, x);
    DimTable *dims = f->b.m->dims;
    const Type *t = &all->type;
    Dim shape[] = { t->dim[0], dim_mul(dims, t->dim[1], t->dim[2]), t->dim[3] };
    Value *flat = mk_reshape_to(&f->b, all, 3, shape), *top = mk_slice_axis(&f->b, flat, 1, dim_const(dims, 0), dim_const(dims, 3));
    return mk_concat(&f->b, IN(flat, top, flat), (Attr_concat){ .axis = 1 });
}

static Value *parts_of_padded(Fix *f, Value *x)
{
    Value *wide = pad(f, x, "0,3", "0,2");
    return mk_concat(&f->b, IN(wide, x, wide), (Attr_concat){ .axis = 1 });
}

/* Every second pixel, as detectors begin. */
static Value *focus(Fix *f, Value *x)
{
    Value *odd = mk_slice(&f->b, IN(x), (Attr_slice){ D(f, "0,0,1,1"), D(f, "1,3,10,23"), I(f, "1,1,2,2"), 0 });
    Value *even = mk_slice(&f->b, IN(x), (Attr_slice){ D(f, "0,0,0,0"), D(f, "1,3,10,23"), I(f, "1,1,2,2"), 0 });
    return columns_last(f, mk_concat(&f->b, IN(odd, even), (Attr_concat){ .axis = 1 }));
}

static Value *every_third(Fix *f, Value *x) { return mk_slice(&f->b, IN(x), (Attr_slice){ D(f, "0,1"), D(f, "3,33"), I(f, "1,3"), 0 }); }
static Value *every_fifth(Fix *f, Value *x) { return mk_slice(&f->b, IN(x), (Attr_slice){ D(f, "0,1"), D(f, "3,20"), I(f, "1,5"), 0 }); }
static Value *backwards(Fix *f, Value *x) { return mk_slice(&f->b, IN(x), (Attr_slice){ D(f, "0,99"), D(f, "3,100"), I(f, "1,-1"), 0 }); }

/* Channels into pixels, both ways to order them. */
static Value *pixels(Fix *f, Value *x) { return transpose(f, reshape(f, x, "1,6,20,3,3,2"), "0,1,3,2,4,5"); }
static Value *pixels_of_one(Fix *f, Value *x) { return transpose(f, reshape(f, x, "1,6,20,2,3,3"), "0,3,1,4,2,5"); }

static Value *computed(Fix *f, Value *x)
{
    Value *scale = mk_tensor(&f->b, compiled_random(f->a, 1, (int64_t[]){ 23 }, 5));
    return mk_relu(&f->b, mk_mul(&f->b, mk_add(&f->b, x, mk_scalar(&f->b, DT_f32, 0.25)), scale));
}

static Value *computed_parts(Fix *f, Value *x)
{
    return mk_concat(&f->b, IN(computed(f, x), x), (Attr_concat){ .axis = 2 });
}

static Value *as_halves(Fix *f, Value *x)
{
    Value *small = mk_cast_to(&f->b, x, DT_f16);
    return mk_cast_to(&f->b, columns_last(f, small), DT_f32);
}

static const Case cases[] = {
    { "1,3,18,50", 4, { 1, 3, 18, 50 }, columns_last }, { "N,3,H,W", 4, { 2, 3, 18, 50 }, columns_last }, { "N,3,H,W", 4, { 2, 3, 5, 7 }, columns_last },
    { "1,4,9,16", 4, { 1, 4, 9, 16 }, columns_last }, { "1,20,3,37", 4, { 1, 20, 3, 37 }, columns_last }, { "N,C,H,W", 4, { 1, 20, 3, 37 }, columns_last },
    { "N,C,H,W", 4, { 1, 11, 3, 37 }, columns_last }, { "1,11,3,37", 4, { 1, 11, 3, 37 }, columns_last }, { "1,32,4,64", 4, { 1, 32, 4, 64 }, columns_last },
    { "2,6,19,3", 4, { 2, 6, 19, 3 }, channels_first }, { "N,H,W,3", 4, { 2, 6, 19, 3 }, channels_first }, { "N,H,W,4", 4, { 1, 6, 64, 4 }, channels_first },
    { "1,6,19,24", 4, { 1, 6, 19, 24 }, channels_first }, { "N,H,W,C", 4, { 1, 6, 19, 24 }, channels_first }, { "N,H,W,C", 4, { 2, 3, 4, 5 }, channels_first },
    { "1,9,7,40", 4, { 1, 9, 7, 40 }, channels_first }, { "33,70", 2, { 33, 70 }, matrix }, { "N,M", 2, { 130, 90 }, matrix }, { "17,3,40", 3, { 17, 3, 40 }, rotate },
    { "1,3,12,50", 4, { 1, 3, 12, 50 }, into_padded }, { "N,3,H,W", 4, { 2, 3, 12, 50 }, into_padded }, { "N,3,H,W", 4, { 2, 3, 12, 5 }, into_padded },
    { "1,12,12,50", 4, { 1, 12, 12, 50 }, into_padded }, { "1,5,20,24", 4, { 1, 5, 20, 24 }, out_of_padded }, { "1,H,W,24", 4, { 1, 5, 20, 24 }, out_of_padded },
    { "4,6,40", 3, { 4, 6, 40 }, cropped }, { "N,H,W", 3, { 4, 6, 40 }, cropped }, { "N,H,W", 3, { 4, 6, 9 }, cropped },
    { "9,3,33", 3, { 9, 3, 33 }, padded_columns }, { "N,3,W", 3, { 9, 3, 20 }, padded_columns },
    { "2,5,7,58", 4, { 2, 5, 7, 58 }, shuffle },
    { "N,99", 2, { 5, 99 }, groups_of_three }, { "5,63", 2, { 5, 63 }, groups_of_three }, { "5,68", 2, { 5, 68 }, groups_of_four },
    { "5,171", 2, { 5, 171 }, groups_of_nine }, { "5,272", 2, { 5, 272 }, groups_of_sixteen }, { "N,272", 2, { 12, 272 }, groups_of_sixteen },
    { "20,33", 2, { 20, 33 }, parts }, { "N,C", 2, { 20, 33 }, parts }, { "2,6,7,30", 4, { 2, 6, 7, 30 }, levels }, { "1,H,W,30", 4, { 1, 6, 7, 30 }, levels },
    { "7,25", 2, { 7, 25 }, parts_of_padded }, { "N,C", 2, { 7, 25 }, parts_of_padded },
    { "1,3,20,46", 4, { 1, 3, 20, 46 }, focus }, { "3,100", 2, { 3, 100 }, every_third }, { "3,100", 2, { 3, 100 }, every_fifth }, { "3,100", 2, { 3, 100 }, backwards },
    { "1,6,20,18", 4, { 1, 6, 20, 18 }, pixels }, { "1,6,20,18", 4, { 1, 6, 20, 18 }, pixels_of_one },
    { "2,9,23", 3, { 2, 9, 23 }, computed }, { "N,9,23", 3, { 30, 9, 23 }, computed }, { "2,9,23", 3, { 2, 9, 23 }, computed_parts },
    { "1,3,18,50", 4, { 1, 3, 18, 50 }, as_halves },
};

static void check_case(Fix *f, size_t i, const char *cpu)
{
    const Case *c = &cases[i];
    const Compiled how = { .what = arena_printf(f->a, "case %d, %s", (int)i, c->dims), .cpu = cpu, .pipeline = "fuse,plan", .props = GP_LAID_OUT };
    compiled_check_value(f, &how, compiled_random(f->a, c->rank, c->size, 1 + (uint32_t)i), c->build(f, fix_input(f, DT_f32, c->dims)));
}

static void with_and_without_masks(void **state) { (void)state; COMPILED_EACH(compiled_without_masks, cases, check_case); }

static const struct { const char *coord, *nearest; } rounding[] = {
    { "asymmetric", "floor" }, { "half_pixel", "round_prefer_floor" }, { "half_pixel", "round_prefer_ceil" },
};

/* The rules turn it into movement; the evaluator's reference is the operator itself. */
static void check_repeated(Fix *f, size_t i, const char *cpu)
{
    const double scales[] = { 1, 2, 3, 1 };
    Attr_resize a = { .shape = fix_dims(f, "N,10,18,20"), .scales = { 4, scales }, .mode = "nearest", .coord = rounding[i].coord, .nearest = rounding[i].nearest,
                      .channels_last = true };
    Value *x = fix_input(f, DT_f32, "N,5,6,20"), *y = mk_resize(&f->b, IN(x), a);
    y = mk_concat(&f->b, IN(y, y), (Attr_concat){ .axis = 3 });
    const Compiled how = { .what = a.nearest, .cpu = cpu, .pipeline = "rules,dce,fuse,plan", .props = GP_LAID_OUT };
    compiled_check_value(f, &how, compiled_random(f->a, 4, (int64_t[]){ 2, 5, 6, 20 }, 9), y);
}

static void repeated_elements(void **state) { (void)state; COMPILED_EACH(compiled_here, rounding, check_repeated); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(with_and_without_masks), cmocka_unit_test(repeated_elements) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
