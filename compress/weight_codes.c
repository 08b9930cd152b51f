/* weight_codes.c -- see weight_codes.h. First the grids of the kinds, then weights as rows, then the rows of a whole module.
 *
 * Scales are rounded to what is stored before any code is chosen. Several scales are tried for each group, from the one that just reaches the largest number
 * to one that cuts a quarter off; the one with the least squared error is taken (nf4 and the q formats that define their scale have one candidate).
 */
#include "weight_codes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "minifloat.h"
#include "pass_util.h"

typedef enum GridRule { SYMMETRIC, ASYMMETRIC, LEVELS, SIGNED_MAX, MINIMUM, FLOAT8 } GridRule;

struct WeightKind {
    const char *name;
    int bits;                       /* of codes; int3 uses 8 of 16 */
    int lowest, highest;            /* codes as numbers: base = lowest + code, for the linear kinds */
    int64_t group;
    GridRule rule;
    DType type;                     /* of the codes in the IR */
    const double *level;            /* LEVELS: base of each code */
    bool shared;                    /* scales are codes themselves */
};

/* The 16 quantiles of the standard normal distribution between -1 and 1 with 0 among them, as QLoRA defines NF4. */
static const double nf4[16] = {
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0,
    0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
};

static const WeightKind kinds[] = {
    { "int8", 8, -128, 127, 0, SYMMETRIC, DT_i8, NULL, false },
    { "int4", 4, -8, 7, 32, SYMMETRIC, DT_i4, NULL, false },
    { "int3", 4, -4, 3, 32, SYMMETRIC, DT_i4, NULL, false },
    { "int2", 2, -2, 1, 32, SYMMETRIC, DT_i2, NULL, false },
    { "uint4", 4, 0, 15, 32, ASYMMETRIC, DT_u4, NULL, false },
    { "uint8", 8, 0, 255, 32, ASYMMETRIC, DT_u8, NULL, false },
    { "nf4", 4, 0, 15, 64, LEVELS, DT_u4, nf4, true },
    { "q4_0", 4, 0, 15, 32, SIGNED_MAX, DT_u4, NULL, false },
    { "q4_1", 4, 0, 15, 32, MINIMUM, DT_u4, NULL, false },
    { "q8_0", 8, -127, 127, 32, SYMMETRIC, DT_i8, NULL, false },
    { "q4_k", 4, 0, 15, 32, MINIMUM, DT_u4, NULL, true },
    { "float8", 8, 0, 255, 0, FLOAT8, DT_u8, NULL, false },
};
enum { KINDS = sizeof kinds / sizeof *kinds, Q4_K_GROUPS = 8, NF4_GROUPS = 256 };

const WeightKind *weight_kind(const char *name)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i].name, name))
            return &kinds[i];
    return NULL;
}

int64_t weight_group(const WeightKind *k, const WeightsOptions *o)
{
    char *end;
    if (!o->group)
        return k->group;
    long long n = strtoll(o->group, &end, 10);
    return *end || end == o->group || n < 0 || n > 1 << 20 ? -1 : n;
}

bool weight_kind_shares(const WeightKind *k)
{
    return k->shared;
}

const char *weight_codes_misuse(const WeightsOptions *o)
{
    const WeightKind *k = o->kind ? weight_kind(o->kind) : NULL;
    if (!o->kind)
        return o->group ? "--group needs --weights" : NULL;
    if (!k)
        return "--weights needs one of int8 int4 int3 int2 uint4 uint8 nf4 q4_0 q4_1 q8_0 q4_k float8";
    return weight_group(k, o) < 0 ? "--group needs a number, 0 for one group per output channel" : NULL;
}

/* ---- one group ---- */

static double to_f16(double x)
{
    double y = (double)minifloat_to_f32(DT_f16, minifloat_from_f64(DT_f16, x, true));
    return fabs(y) <= 65504 ? y : 65504 * (x < 0 ? -1 : 1);
}

/* The number in front of the scale. */
static double base_of(const WeightKind *k, int code)
{
    if (k->level)
        return k->level[code];
    if (k->rule == FLOAT8)
        return (double)minifloat_to_f32(DT_f8e4m3, (uint32_t)code);
    return k->lowest + code;
}

float grid_value(const Grid *g, int code)
{
    return (float)(base_of(g->kind, code) * g->scale + g->shift);
}

static int nearest_level(const WeightKind *k, double x)
{
    int best = 0;
    for (int i = 1; i <= k->highest - k->lowest; i++)
        if (fabs(base_of(k, i) - x) < fabs(base_of(k, best) - x))
            best = i;
    return best;
}

int grid_round(const Grid *g, float x)
{
    const WeightKind *k = g->kind;
    double y = g->scale ? ((double)x - g->shift) / g->scale : 0;
    if (k->level)
        return nearest_level(k, y);
    if (k->rule == FLOAT8)
        return (int)minifloat_from_f64(DT_f8e4m3, y, true);
    return (int)(fmin(fmax(rint(y), k->lowest), k->highest) - k->lowest);
}

typedef struct Group { const float *x; int64_t n, stride; } Group;

static double squared_error(const Grid *g, const Group *x)
{
    double sum = 0;
    for (int64_t i = 0; i < x->n; i++) {
        double d = (double)grid_value(g, grid_round(g, x->x[i * x->stride])) - (double)x->x[i * x->stride];
        sum += d * d;
    }
    return sum;
}

typedef struct Range { double lo, hi, most; } Range;      /* most: of largest magnitude, with its sign */

static Range range_of(const Group *x)
{
    Range r = { 0, 0, 0 };
    for (int64_t i = 0; i < x->n; i++) {
        double v = (double)x->x[i * x->stride];
        r.lo = fmin(r.lo, v);
        r.hi = fmax(r.hi, v);
        r.most = fabs(v) > fabs(r.most) ? v : r.most;
    }
    return r;
}

static bool stored_as_f32(const WeightKind *k)
{
    return k->group == 0;
}

static double stored(const WeightKind *k, double scale)
{
    return stored_as_f32(k) ? (double)(float)scale : to_f16(scale);
}

/* A shift is kept as a zero point in units of the scale. */
static double stored_shift(double scale, double shift)
{
    return scale ? -to_f16(-shift / scale) * scale : 0;
}

typedef struct Best { Grid grid; double error; } Best;

static void consider(Best *b, const WeightKind *k, const Group *x, double scale, double shift)
{
    Grid g = { k, stored(k, scale), shift };
    if (!g.scale)
        return;
    double e = squared_error(&g, x);
    if (b->error < 0 || e < b->error)
        *b = (Best){ g, e };
}

enum { CUTS = 10 };                 /* candidates per end of the range, each 2.5 % shorter */

static void try_symmetric(Best *b, const WeightKind *k, const Group *x, Range r)
{
    for (int i = 0; i <= CUTS; i++) {
        double most = r.most * (1 - 0.025 * i);
        consider(b, k, x, fabs(most) / k->highest, 0);
        if (k->bits < 8)            /* the number of largest magnitude at the end that reaches further */
            consider(b, k, x, most / k->lowest, 0);
    }
}

/* The zero point is a code. */
static void try_asymmetric(Best *b, const WeightKind *k, const Group *x, Range r)
{
    for (int i = 0; i <= CUTS; i++) {
        double scale = stored(k, (r.hi - r.lo) * (1 - 0.025 * i) / k->highest);
        double zero = scale ? fmin(fmax(rint(-r.lo * (1 - 0.025 * i) / scale), 0), k->highest) : 0;
        consider(b, k, x, scale, -zero * scale);
    }
}

/* Scale and shift that fit the numbers best with the codes they have now. */
static void refit(const Grid *g, const Group *x, double *scale, double *shift)
{
    double q = 0, qq = 0, y = 0, qy = 0, n = (double)x->n;
    for (int64_t i = 0; i < x->n; i++) {
        double c = base_of(g->kind, grid_round(g, x->x[i * x->stride])), v = (double)x->x[i * x->stride];
        q += c, qq += c * c, y += v, qy += c * v;
    }
    double det = n * qq - q * q;
    *scale = det > 0 ? (n * qy - q * y) / det : g->scale;
    *shift = det > 0 ? (y - *scale * q) / n : g->shift;
}

/* The shift is a number of its own, at most 0: the grid has 0 or lies below it. */
static void try_minimum(Best *b, const WeightKind *k, const Group *x, Range r)
{
    for (int i = 0; i <= CUTS; i++) {
        double cut = 1 - 0.025 * i, scale, shift;
        Grid g = { k, (r.hi - r.lo) * cut / k->highest, r.lo * cut };
        consider(b, k, x, g.scale, stored_shift(stored(k, g.scale), g.shift));
        refit(&g, x, &scale, &shift);
        if (scale > 0 && shift <= 0)
            consider(b, k, x, scale, stored_shift(stored(k, scale), shift));
    }
}

Grid grid_fit(const WeightKind *k, const float *x, int64_t n, int64_t stride)
{
    const Group group = { x, n, stride };
    Range r = range_of(&group);
    Best best = { { k, 0, 0 }, -1 };
    switch (k->rule) {
    case SYMMETRIC: try_symmetric(&best, k, &group, r); break;
    case ASYMMETRIC: try_asymmetric(&best, k, &group, r); break;
    case MINIMUM: try_minimum(&best, k, &group, r); break;
    case LEVELS: consider(&best, k, &group, fabs(r.most), 0); break;
    case SIGNED_MAX: consider(&best, k, &group, r.most / -8, -8 * to_f16(r.most / -8)); break;
    case FLOAT8: consider(&best, k, &group, fabs(r.most) / 448, 0); break;
    }
    return best.error < 0 ? (Grid){ k, 1, k->rule == SIGNED_MAX ? -8 : 0 } : best.grid;        /* nothing but zeros */
}

/* ---- scales as codes ---- */

/* The next number of so many significant bits, not below x. Products with codes of the other bits of f16's 11 are exact then. */
static double few_digits(double x, int bits)
{
    int e;
    double m = frexp(x, &e);
    return ldexp(ceil(ldexp(m, bits)), e - bits);
}

/* n scales (or shifts), `stride` doubles apart, become multiples of one unit, at most `most` times. */
static void share(double *v, int64_t n, int64_t stride, int most, int digits)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(v[i * stride]));
    double unit = few_digits(largest / most, digits);
    for (int64_t i = 0; i < n && unit > 0x1p-24; i++)
        v[i * stride] = fmax(rint(fabs(v[i * stride]) / unit), 1) * unit * (v[i * stride] < 0 ? -1 : 1);
}

/* Double quantisation: before codes are chosen. */
static void share_scales(WeightRows *r)
{
    const WeightKind *k = r->kind;
    int64_t n = r->rows * r->pieces * r->groups, each = k->rule == LEVELS ? NF4_GROUPS : Q4_K_GROUPS, stride = (int64_t)(sizeof(Grid) / sizeof(double));
    for (int64_t i = 0; k->shared && i < n; i += each) {
        int64_t count = n - i < each ? n - i : each;
        share(&r->grid[i].scale, count, stride, k->rule == LEVELS ? 255 : 63, k->rule == LEVELS ? 3 : 5);
        if (k->rule == MINIMUM)
            share(&r->grid[i].shift, count, stride, 63, 5);
    }
    for (int64_t i = 0; k->shared && k->rule == MINIMUM && i < n; i++)
        r->grid[i].shift = stored_shift(r->grid[i].scale, r->grid[i].shift);
}

/* ---- weights as rows ---- */

enum { FEW_CHANNELS = 16, FEW_WEIGHTS = 256, FEW_NUMBERS = 4096 };

static int operand_of(const Node *n)
{
    return n->op == OP_gather ? 0 : 1;
}

/* A matrix has its rows along its second axis, filters and tables along the first. */
static bool rows_first(const WeightRows *r)
{
    return r->product->op != OP_matmul;
}

/* Rows of a constant table that nobody reads but by their number. */
static bool is_table_lookup(const Node *n)
{
    const Value *v = n->op == OP_gather ? node_in(n, 0) : NULL;
    const Tensor *t = v ? value_constant(v) : NULL;
    if (!t || t->dtype != DT_f32 || t->splat || t->rank != 2 || t->count < FEW_NUMBERS || t->dim[1] < FEW_CHANNELS || NODE_ATTR(n, gather)->axis != 0)
        return false;
    FOR_EACH_USE(u, v)
        if (u->user->op != OP_gather || u != &u->user->in[0])
            return false;
    return !value_constant(node_in(n, 1));
}

static bool is_weight_product(const Node *n)
{
    if (is_table_lookup(n))
        return true;
    if ((n->op != OP_matmul && n->op != OP_conv) || n->nin < 2)
        return false;
    const Value *v = node_in(n, 1);
    const Tensor *w = v ? value_constant(v) : NULL;
    if (!w || w->dtype != DT_f32 || w->splat || w->count < FEW_WEIGHTS || node_in(n, 0)->type.dtype != DT_f32)
        return false;
    return n->op == OP_matmul ? w->rank == 2 : (w->rank == 3 || w->rank == 4) && w->dim[1] > 1;
}

/* Place of element (row, tap, k) in the tensor. */
static int64_t place_of(const WeightRows *r, int64_t row, int64_t tap, int64_t k)
{
    return rows_first(r) ? (row * r->k + k) * r->taps + tap : k * r->rows + row;
}

WeightRows weight_codes_read(Arena *a, Node *product, const WeightKind *kind, int64_t group)
{
    WeightRows r = { .product = product, .kind = kind };
    if (!is_weight_product(product))
        return r;
    const Tensor *t = value_constant(node_in(product, operand_of(product)));
    bool table = product->op == OP_gather;
    r.rows = t->dim[!rows_first(&r)];
    r.k = t->dim[rows_first(&r)];
    r.taps = t->count / (r.rows * r.k);
    r.few = group && product->op == OP_conv && r.k < FEW_CHANNELS;
    if (table || r.few) {           /* the first layer's: groups of a few weights would be mostly scales */
        r.kind = weight_kind("int8");
        group = 0;
    }
    r.pieces = group ? r.taps : 1;
    r.length = group ? r.k : r.k * r.taps;
    r.group = group && group < r.length ? group : r.length;
    r.groups = (r.length + r.group - 1) / r.group;
    r.w = ARENA_ARRAY(a, float, t->count);
    r.code = ARENA_ARRAY(a, uint8_t, t->count);
    r.grid = ARENA_ARRAY(a, Grid, r.rows * r.pieces * r.groups);
    for (int64_t row = 0; row < r.rows; row++)
        for (int64_t tap = 0; tap < r.taps; tap++)
            for (int64_t k = 0; k < r.k; k++)
                r.w[(row * r.taps + tap) * r.k + k] = (float)tensor_get_f64(t, place_of(&r, row, tap, k));
    return r;
}

/* ---- rounding ---- */

/* Group g of all groups: its first element, and how many it has. */
static int64_t group_start(const WeightRows *r, int64_t g, int64_t *n)
{
    int64_t piece = g / r->groups, within = g % r->groups * r->group;
    *n = r->length - within < r->group ? r->length - within : r->group;
    return piece * r->length + within;
}

static int64_t group_count(const WeightRows *r)
{
    return r->rows * r->pieces * r->groups;
}

void weight_codes_fit(WeightRows *r)
{
    for (int64_t g = 0, n; g < group_count(r); g++) {
        const float *x = r->w + group_start(r, g, &n);
        r->grid[g] = grid_fit(r->kind, x, n, 1);
    }
    share_scales(r);
}

void weight_codes_round(WeightRows *r)
{
    for (int64_t g = 0, n; g < group_count(r); g++) {
        int64_t at = group_start(r, g, &n);
        for (int64_t i = at; i < at + n; i++)
            r->code[i] = (uint8_t)grid_round(&r->grid[g], r->w[i]);
    }
}

/* ---- into the graph ---- */

/* Sizes of what has one number per group. */
static int factor_dims(const WeightRows *r, int64_t *dim)
{
    const Tensor *w = value_constant(node_in(r->product, operand_of(r->product)));
    for (int d = 2; d < w->rank; d++)
        dim[d] = r->pieces > 1 ? w->dim[d] : 1;
    dim[!rows_first(r)] = r->rows;
    dim[rows_first(r)] = r->groups;
    return w->rank;
}

/* Of a group's grid: the scale, or the zero point in units of it. */
static double factor_of(const Grid *g, bool zero)
{
    return zero ? -g->shift / g->scale : g->scale;
}

static Tensor *factors(Module *m, const WeightRows *r, DType type, bool zero)
{
    int64_t dim[MAX_RANK];
    int rank = factor_dims(r, dim);
    Tensor *t = tensor_new(m->arena, type, rank, dim);
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t piece = 0; piece < r->pieces; piece++)
            for (int64_t g = 0; g < r->groups; g++) {
                int64_t to = rows_first(r) ? (row * r->groups + g) * r->pieces + piece : g * r->rows + row;
                tensor_set_f64(t, to, factor_of(&r->grid[(row * r->pieces + piece) * r->groups + g], zero));
            }
    return t;
}

static Tensor *codes(Module *m, const WeightRows *r)
{
    const Tensor *w = value_constant(node_in(r->product, operand_of(r->product)));
    const WeightKind *k = r->kind;
    int lowest = k->level || k->rule == FLOAT8 ? 0 : k->lowest;
    Tensor *t = tensor_new(m->arena, k->type, w->rank, w->dim);
    for (int64_t row = 0; row < r->rows; row++)
        for (int64_t tap = 0; tap < r->taps; tap++)
            for (int64_t i = 0; i < r->k; i++)
                tensor_set_f64(t, place_of(r, row, tap, i), lowest + r->code[(row * r->taps + tap) * r->k + i]);
    return t;
}

/* Of kinds whose codes are not numbers. The two codes of f8e4m3 that are NaN are never used. */
static FloatVec levels_of(Module *m, const WeightKind *k)
{
    if (!k->level && k->rule != FLOAT8)
        return (FloatVec){ 0, NULL };
    double *v = ARENA_ARRAY(m->arena, double, 1 << k->bits);
    for (int i = 0; i < 1 << k->bits; i++)
        v[i] = isnan(base_of(k, i)) ? 0 : base_of(k, i);
    return (FloatVec){ 1 << k->bits, v };
}

bool weight_codes_write(Module *m, const WeightRows *r)
{
    Node *n = r->product;
    const WeightKind *k = r->kind;
    Builder b = { m, n->graph, n, n->loc };
    bool integer_zero = k->rule == ASYMMETRIC || k->rule == SIGNED_MAX, zero = integer_zero || k->rule == MINIMUM;
    Value *in[] = { mk_tensor(&b, codes(m, r)), mk_tensor(&b, factors(m, r, DT_f32, false)), zero ? mk_tensor(&b, factors(m, r, integer_zero ? k->type : DT_f32, true)) : NULL };
    bool blocks = r->pieces > 1 || r->groups > 1;
    Attr_dequantize_blocks a = { .axis = rows_first(r), .block = blocks ? r->group : 0, .levels = levels_of(m, k) };
    Value *old = node_in(n, operand_of(n)), *w = in[1] ? mk_dequantize_blocks(&b, (Inputs){ zero ? 3 : 2, in }, a) : NULL;
    if (!w)
        return false;
    w->name = old->name;
    node_set_input(n, operand_of(n), w);
    return true;
}

double weight_codes_bits(const WeightRows *r)
{
    const WeightKind *k = r->kind;
    double scale = stored_as_f32(k) ? 32 : k->rule == LEVELS ? 8 + 32.0 / NF4_GROUPS : k->shared ? 6 + 16.0 / Q4_K_GROUPS : 16;
    double zero = k->rule == ASYMMETRIC ? k->bits : k->rule == MINIMUM ? scale : 0;
    double code = k->type == DT_i4 || k->type == DT_u4 ? 4 : k->type == DT_i2 ? 2 : 8;
    return code * (double)(r->rows * r->taps * r->k) + (scale + zero) * (double)group_count(r);
}

/* ---- what is told ---- */

static const char *name_of(const Node *n)
{
    return n->loc.node ? n->loc.node : op_name(n->op);
}

static ReportLayer *add_line(Report *report, Module *m, const Node *n, int64_t parameters)
{
    ReportLayer *l = report_add_layer(report);
    *l = (ReportLayer){ .name = arena_str(report->arena, name_of(n)), .kind = op_name(n->op), .macs = report_node_macs(m, n), .parameters = parameters,
                        .bytes_before = 4 * parameters, .bytes_after = 4 * parameters, .sqnr = NAN, .sensitivity = NAN };
    return l;
}

static const char *describe(Arena *a, const WeightRows *r, const char *how)
{
    const char *text = r->pieces * r->groups == 1 ? arena_printf(a, "%s per %s", r->kind->name, r->product->op == OP_gather ? "row" : "channel") :
                       arena_printf(a, "%s, groups of %lld", r->kind->name, (long long)r->group);
    if (r->few)
        text = arena_printf(a, "%s: only %lld input channels", text, (long long)r->k);
    return how ? arena_printf(a, "%s, %s", text, how) : text;
}

void weight_tally_add(WeightTally *t, Module *m, const WeightRows *r, const char *how, double sqnr)
{
    double elements = (double)(r->rows * r->taps * r->k), bits = weight_codes_bits(r), signal = 0, noise = 0;
    for (int64_t g = 0, n; g < group_count(r); g++) {
        int64_t at = group_start(r, g, &n);
        for (int64_t i = at; i < at + n; i++) {
            double w = (double)r->w[i], d = w - (double)grid_value(&r->grid[g], r->code[i]);
            signal += w * w;
            noise += d * d;
        }
    }
    t->layers++;
    t->elements += elements, t->bits += bits, t->signal += signal, t->noise += noise;
    if (t->report) {
        ReportLayer *l = add_line(t->report, m, r->product, (int64_t)elements);
        l->bytes_after = (int64_t)ceil(bits / 8);
        l->sqnr = isnan(sqnr) ? 10 * log10(signal / noise) : sqnr;
        l->decision = describe(t->report->arena, r, how);
    }
}

void weight_tally_keep(WeightTally *t, Module *m, const Node *n, const TextList *keep)
{
    const Tensor *w = n->nin > 1 && (n->op == OP_matmul || n->op == OP_conv || n->op == OP_conv_transpose) && node_in(n, 1) ? value_constant(node_in(n, 1)) : NULL;
    if (!t->report || !w || w->dtype != DT_f32)
        return;
    add_line(t->report, m, n, w->count)->decision = weight_codes_is_kept(n, keep) ? "f32: --keep" : w->count < FEW_WEIGHTS ? "f32: few weights" :
        n->op == OP_conv && w->rank > 1 && w->dim[1] == 1 ? "f32: filters of one channel" : "f32: no kernel reads weights of this form packed";
}

bool weight_tally_finish(const WeightTally *t, Module *m, const WeightKind *k)
{
    if (!t->layers)
        return diag_error(m->diag, (Loc){ .file = m->file }, "there are no weights to store as %s: no product has constant f32 weights", k->name);
    if (t->report)
        report_note(t->report, "%d layers, %.0f weights as %s: %.2f bits each, %.1f dB above the rounding error", t->layers, t->elements, k->name,
                    t->bits / t->elements, 10 * log10(t->signal / fmax(t->noise, 1e-300)));
    return true;
}

/* ---- a module ---- */

static bool is_there(Graph *g, const char *name)
{
    FOR_EACH_NODE(n, g) {
        Graph *body[MAX_BODIES];
        for (int i = node_bodies(n, body); i-- > 0;)
            if (is_there(body[i], name))
                return true;
        if ((n->op == OP_matmul || n->op == OP_conv || n->op == OP_gather) && n->loc.node && !strcmp(n->loc.node, name))
            return true;
    }
    return false;
}

bool weight_codes_check_names(Module *m, const TextList *keep)
{
    for (int i = 0; i < keep->n; i++)
        if (!is_there(m->graph, keep->v[i]))
            return diag_error(m->diag, (Loc){ .file = m->file }, "--keep %s: there is no layer of that name", keep->v[i]);
    return true;
}

bool weight_codes_is_kept(const Node *n, const TextList *keep)
{
    for (int i = 0; i < keep->n; i++)
        if (n->loc.node && !strcmp(n->loc.node, keep->v[i]))
            return true;
    return false;
}

static bool round_node(Module *m, Node *n, const WeightKind *k, int64_t group, const TextList *keep, bool tables, WeightTally *t)
{
    if ((n->op == OP_gather) != tables)
        return true;
    Arena *a = arena_new();
    WeightRows r = weight_codes_is_kept(n, keep) ? (WeightRows){ .w = NULL } : weight_codes_read(a, n, k, group);
    bool ok = true;
    if (r.w) {
        weight_codes_fit(&r);
        weight_codes_round(&r);
        weight_tally_add(t, m, &r, NULL, NAN);
        ok = weight_codes_write(m, &r);
    } else {
        weight_tally_keep(t, m, n, keep);
    }
    arena_free(a);
    return ok;
}

/* Products, or tables. */
static bool round_graph(Module *m, Graph *g, const WeightKind *k, int64_t group, const TextList *keep, bool tables, WeightTally *t)
{
    FOR_EACH_NODE(n, g) {
        Graph *body[MAX_BODIES];
        for (int i = node_bodies(n, body); i-- > 0;)
            if (!round_graph(m, body[i], k, group, keep, tables, t))
                return false;
        if (!round_node(m, n, k, group, keep, tables, t))
            return false;
    }
    return true;
}

bool weight_codes_tables(Module *m, const TextList *keep, Report *report)
{
    WeightTally t = { .report = report };
    if (!round_graph(m, m->graph, weight_kind("int8"), 0, keep, true, &t))
        return false;
    if (t.layers && report)
        report_note(report, "%d %s, %.0f numbers as int8: %.2f bits each, %.1f dB above the rounding error", t.layers, t.layers == 1 ? "table" : "tables",
                    t.elements, t.bits / t.elements, 10 * log10(t.signal / fmax(t.noise, 1e-300)));
    return true;
}

bool weight_codes_quantize(Module *m, const WeightsOptions *o, const TextList *keep, Report *report)
{
    const WeightKind *k = weight_kind(o->kind);
    WeightTally t = { .report = report };
    return weight_codes_check_names(m, keep) && round_graph(m, m->graph, k, weight_group(k, o), keep, false, &t) && weight_tally_finish(&t, m, k) &&
           weight_codes_tables(m, keep, report);
}
