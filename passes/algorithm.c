/* algorithm.c -- how each convolution is computed: directly, or by Winograd's method with which tile and in which blocks; and whether a product of two
 * computed matrices copies the second into panels first.
 *
 *   %1 = conv(%0, %w) {pads=[1,1,1,1], channels_last=true}  ->  %1 = conv(%0, %w) {pads=[1,1,1,1], channels_last=true, winograd=[4,28,4,16]}
 *
 * The cheapest by a cost model in cycles, of a run on one core and a run on two:
 *   multiply   products per vector and cycle, at the share of the peak that register tiles reach
 *   transform  cycles per 16 channels of a tile, measured, for each F(m, 3)
 *   weights    bytes that come from memory each run, again for each block where they do not stay in the last-level cache
 * Reading weights overlaps with arithmetic, not fully. The constants were measured on a server CPU (docs/performance.md); what they decide is the
 * same on others as long as memory and arithmetic stand in a similar proportion.
 *
 * Needs: typed, laid out. Keeps: everything. Before explicit_pad: a convolution by Winograd's method needs no pad node.
 */
#include "build.h"
#include "choice.h"
#include "low_bit_product.h"
#include "pass_util.h"
#include "winograd.h"

enum {
    SLOTS = 16,                         /* threads that may run it at the same time; scratch that is not used is not resident */
    SHARES = 4,                         /* pieces of work that a layer should have */
    LEAST_TILES = 14, MOST_TILES = 64, LEAST_CHANNELS = 4,
    L2_BYTES = 400 << 10, LLC_BYTES = 16 << 20,       /* of these a run may count on */
};

static const double MEMORY = 8, LLC = 20, PREFETCHED = 80, SPILL = 10;     /* bytes per cycle: from memory, from the last-level cache, there if asked
                                                                           for ahead; written to it and read again */
static const double OVERLAP = 0.55;                 /* share of the shorter of two that hides behind the longer */
static const double TILE_EFFICIENCY = 0.92;         /* of register tiles, relative to the peak */

/* Cycles to transform 16 channels of one tile, into it or out of it, with 16 lanes per instruction. */
static double transform_cycles(int m)
{
    return m == 2 ? 35 : m == 4 ? 110 : 300;
}

typedef struct Layer {
    double vectors;                     /* instructions per 16 lanes */
    int64_t cin, panels, pixels, down, across, images;
} Layer;

typedef struct Way { WinogradPlan plan; double cycles; } Way;        /* plan.m = 0: directly */
typedef struct Ways { int n; Way way[CHOICE_MAX]; } Ways;            /* the cheapest first */

static double overlapped(double a, double b)
{
    return a > b ? a + (1 - OVERLAP) * b : b + (1 - OVERLAP) * a;
}

/* What it takes on one thread and on two, which share the memory but not the arithmetic: where both ways are equally fast on one, the one that
 * reads less is better. */
static double one_and_two_threads(double arithmetic, double memory)
{
    return overlapped(arithmetic, memory) + overlapped(arithmetic / 2, memory);
}

/* Cycles for rows x cin times cin x panels: one multiply-add per pipe and cycle, and at least the stores of the sums. */
static double product_cycles(const Layer *l, double rows)
{
    return rows * (double)l->panels * l->vectors * ((double)l->cin / (2 * TILE_EFFICIENCY) + 1);
}

static double weight_bytes(const Layer *l, int positions)
{
    return 64.0 * positions * (double)(l->panels * l->cin);
}

static double direct_cycles(const Layer *l)
{
    Layer nine = *l;
    nine.cin *= 9;
    return one_and_two_threads(product_cycles(&nine, (double)l->pixels), weight_bytes(l, 9) / MEMORY);
}

static double transformed_bytes(const Layer *l, const WinogradPlan *p)
{
    return (double)((p->m + 2) * (p->m + 2) * p->tiles * winograd_row(l->cin)) * sizeof(float);
}

static double winograd_cycles(const Layer *l, const WinogradPlan *p, int64_t total)
{
    int positions = (p->m + 2) * (p->m + 2);
    int64_t blocks = (total + p->tiles - 1) / p->tiles;
    double rows = (double)(blocks * p->tiles), bytes = weight_bytes(l, positions), scratch = (double)winograd_slot_bytes(p, l->cin);
    double again = (double)(blocks - 1) * bytes / (bytes > LLC_BYTES ? MEMORY : PREFETCHED), spilled = 0;
    if (scratch > L2_BYTES) {           /* the transformed input is read again for each further item of a block */
        again += (double)blocks * (double)(l->panels / p->panels - 1) * transformed_bytes(l, p) / LLC;
        spilled = (double)blocks * (scratch - L2_BYTES) / SPILL;
    }
    double transforms = rows * (double)(l->cin / 16 + (l->cin % 16 != 0) + l->panels) * transform_cycles(p->m) * l->vectors;
    return one_and_two_threads(product_cycles(l, rows * positions), bytes / MEMORY + again) + 1.5 * (transforms + spilled);
}

/* The most panels per item of which the products stay in the cache, and that leave enough items to share: two threads that work on one block
 * transform its input twice, which is little. */
static int64_t panels_per_item(const Layer *l, WinogradPlan p, int64_t blocks)
{
    enum { LEAST = 2, FEW = 8 };
    int64_t best = l->panels;
    for (p.panels = l->panels; p.panels >= LEAST; p.panels--) {
        if (l->panels % p.panels)
            continue;
        best = p.panels;
        bool fits = p.panels <= FEW || winograd_slot_bytes(&p, l->cin) <= L2_BYTES;
        if (fits && blocks * (l->panels / p.panels) >= SHARES)
            break;
    }
    return best;
}

static int64_t tile_count(const Layer *l, int m)
{
    return l->images * ((l->down + m - 1) / m) * ((l->across + m - 1) / m);
}

/* The cheapest block of F(m, 3) with `least` to `most` tiles; cycles < 0: there is none. */
static Way best_block(const Layer *l, int m, int64_t least, int64_t most)
{
    int64_t total = tile_count(l, m);
    Way best = { .cycles = -1 };
    for (int64_t blocks = (total + most - 1) / most; blocks <= total && (total + blocks - 1) / blocks >= (total < least ? total : least); blocks++) {
        WinogradPlan p = { .m = m, .tiles = (total + blocks - 1) / blocks, .slots = SLOTS };
        p.panels = panels_per_item(l, p, blocks);
        double cycles = winograd_cycles(l, &p, total);
        if (best.cycles < 0 || cycles < best.cycles)
            best = (Way){ p, cycles };
        blocks += blocks / 8;                       /* sizes close to each other are alike */
    }
    return best;
}

static void add_way(Ways *w, Way way)
{
    if (way.cycles < 0 || w->n == CHOICE_MAX)
        return;
    int i = w->n++;
    for (; i > 0 && w->way[i - 1].cycles > way.cycles; i--)
        w->way[i] = w->way[i - 1];
    w->way[i] = way;
}

/* F(m, 3) in the block that the model prefers and, where measuring decides, in clearly smaller and larger ones. */
static void consider(const Layer *l, int m, bool measured, Ways *w)
{
    Way best = best_block(l, m, LEAST_TILES, MOST_TILES);
    add_way(w, best);
    int64_t smaller = best.plan.tiles * 2 / 3, larger = (best.plan.tiles * 3 + 1) / 2;
    if (measured && best.cycles >= 0 && smaller >= LEAST_TILES)
        add_way(w, best_block(l, m, LEAST_TILES, smaller));
    if (measured && best.cycles >= 0 && larger <= 2 * MOST_TILES && larger < tile_count(l, m))
        add_way(w, best_block(l, m, larger, 2 * MOST_TILES));
}

/* A size that only the run knows is taken as this; images are taken one at a time. */
static int64_t likely(Module *m, Dim d)
{
    enum { LIKELY = 64 };
    if (dim_is_const(d))
        return d->k;
    Arena *tmp = arena_new();
    int n = dim_symbol_count(m->dims);
    int64_t *s = ARENA_ARRAY(tmp, int64_t, n + 1), size;
    for (int i = 0; i < n; i++)
        s[i] = LIKELY;
    size = dim_eval(d, s);
    arena_free(tmp);
    return size < 1 ? 1 : size;
}

static Layer layer_of(Module *m, const Node *n)
{
    const Type *w = &node_in(n, 1)->type, *y = &node_out(n)->type;
    int64_t vector = m->vector_bytes > 0 ? m->vector_bytes : 16, lane_bytes = WINOGRAD_LANES * (int64_t)sizeof(float);
    Layer l = { .vectors = (double)lane_bytes / (double)vector, .cin = w->dim[1]->k, .panels = (w->dim[0]->k + WINOGRAD_LANES - 1) / WINOGRAD_LANES };
    l.images = dim_is_const(y->dim[0]) ? y->dim[0]->k : 1;
    l.down = likely(m, y->dim[1]);
    l.across = likely(m, y->dim[2]);
    l.pixels = l.images * l.down * l.across;
    return l;
}

static WinogradPlan cheapest(Module *m, const Node *n)
{
    Layer l = layer_of(m, n);
    Ways w = { .n = 1, .way = { { .cycles = direct_cycles(&l) } } };
    for (int size = 2; size <= WINOGRAD_MAX_TILE && l.cin >= LEAST_CHANNELS && l.pixels; size += 2)
        consider(&l, size, m->choices != NULL, &w);
    if (!m->choices)
        return w.way[0].plan;
    const char *text[CHOICE_MAX];
    for (int i = 0; i < w.n; i++) {
        const WinogradPlan *p = &w.way[i].plan;
        text[i] = p->m ? arena_printf(m->arena, "winograd %d %lld %lld", p->m, (long long)p->tiles, (long long)p->panels) : "direct";
    }
    return w.way[choice_make(m->choices, choice_key(m, m->arena, "algorithm", n), w.n, text)].plan;
}

static bool choose(Module *m, Node *n)
{
    if (!winograd_applies(n) || !value_constant(node_in(n, 1)) || NODE_ATTR(n, conv)->winograd.n)
        return true;
    WinogradPlan plan = cheapest(m, n);
    if (!plan.m || !rewrite_allowed(m, "winograd", n))
        return true;
    Attr_conv a = *NODE_ATTR(n, conv);
    a.winograd = ints_copy(m, 4, (int64_t[]){ plan.m, plan.tiles, plan.panels, plan.slots });
    Builder b = { m, n->graph, n, n->loc };
    Value *r = mk_conv(&b, IN(n->in[0].val, n->in[1].val, node_in(n, 2)), a);
    if (!r)
        return false;
    value_replace(node_out(n), r);
    node_erase(n);
    return true;
}

/* ---- matrix products ---- */

/* A panel is one line of every row of b, read once per tile of rows. It stays in the first-level cache, unless the rows lie so far apart that their lines
 * fall into few of its sets. With vectors as wide as a line, tiles are so large that a tile's lines come in time from the second level. */
static bool packing_pays(const Module *m, const Node *n)
{
    enum { SETS = 64, WAYS = 8, LINE = 64, LEAST_ROWS = 64 };
    const Type *a = &node_in(n, 0)->type, *b = &node_in(n, 1)->type;
    Dim rows = a->dim[a->rank - 2], inner = b->dim[b->rank - 2], cols = b->dim[b->rank - 1];
    bool fixed = dim_is_const(rows) && dim_is_const(inner) && dim_is_const(cols);
    if (!fixed || value_constant(node_in(n, 1)) || low_bit_weights(n) || !dtype_is_float(b->dtype) || m->vector_bytes >= LINE)
        return false;
    int64_t bytes = cols->k * dtype_bytes(b->dtype), sets = SETS;
    for (int64_t apart = bytes / LINE; sets > 1 && apart % 2 == 0; apart /= 2)
        sets /= 2;
    return bytes && bytes % LINE == 0 && rows->k >= LEAST_ROWS && sets < SETS && inner->k > sets * WAYS;
}

static bool choose_packing(Module *m, Node *n)
{
    if (NODE_ATTR(n, matmul)->pack || !packing_pays(m, n) || !rewrite_allowed(m, "pack", n))
        return true;
    Builder b = { m, n->graph, n, n->loc };
    Value *r = mk_matmul(&b, IN(n->in[0].val, n->in[1].val), (Attr_matmul){ .pack = true, .wide = NODE_ATTR(n, matmul)->wide });
    if (!r)
        return false;
    value_replace(node_out(n), r);
    node_erase(n);
    return true;
}

static bool choose_for(Module *m, Node *n)
{
    return n->op == OP_conv ? choose(m, n) : n->op == OP_matmul ? choose_packing(m, n) : true;
}

bool pass_algorithm(Module *m)
{
    return module_each_node(m, choose_for);
}
