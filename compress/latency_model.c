/* latency_model.c -- see latency_model.h.
 *
 * A copy of the graph goes through all passes; each kernel takes as long as its arithmetic or its memory traffic, whichever is longer, and a part of the other:
 *   arithmetic   multiply-adds in whole vectors: channels of a result are computed in panels of 16, however few are used, which is why narrow layers are
 *                not cheap; a convolution by Winograd's method multiplies less and transforms its tiles
 *   traffic      weights once; they come from memory where all of the network's do not fit into a cache, everything else from a cache
 * The constants are those of a server core, as in passes/algorithm.c: what they say about two networks holds elsewhere as far as memory and arithmetic stand in
 * a similar proportion.
 */
#include "latency_model.h"

#include <math.h>

#include "observe.h"
#include "pass.h"
#include "pass_util.h"
#include "winograd.h"
#include "work.h"

enum { PANEL = 16, LLC_BYTES = 16 << 20 };
static const double PIPES = 2, EFFICIENCY = 0.92;               /* vector instructions per cycle, the share of it that register tiles reach */
static const double MEMORY = 8, CACHE = 20;                     /* bytes per cycle */
static const double OVERLAP = 0.55, LAUNCH = 200;               /* share of the shorter that hides behind the longer; cycles to begin a kernel */

typedef struct Model {
    Module *m;
    int64_t *ones;                  /* every symbol's value */
    double lanes;                   /* f32 elements of a vector */
    double weights_per_cycle;       /* bytes */
} Model;

static double number(const Model *c, Dim d) { return (double)dim_eval(d, c->ones); }

/* Channels that are computed per channel that is wanted. */
static double padding(double channels) { return ceil(channels / PANEL) * PANEL / channels; }

/* Cycles to transform 16 channels of one tile with 16 lanes per instruction (passes/algorithm.c). */
static double transform_cycles(int tile) { return tile == 2 ? 35 : tile == 4 ? 110 : 300; }

static double convolution_cycles(const Model *c, const Node *n, double products)
{
    const Attr_conv *a = NODE_ATTR(n, conv);
    const Type *w = &node_in(n, 1)->type, *y = &node_out(n)->type;
    double out = number(c, w->dim[0]), in = number(c, w->dim[1]), wide = products * padding(out);
    WinogradPlan p = winograd_plan(a);
    if (!p.m)
        return wide / (c->lanes * PIPES * EFFICIENCY);
    double side = p.m + 2, tiles = number(c, type_count_dim(c->m, y)) / out / (p.m * p.m);
    double transforms = tiles * (ceil(in / PANEL) + ceil(out / PANEL)) * transform_cycles(p.m) * PANEL / c->lanes;
    return wide * side * side / (9.0 * p.m * p.m) / (c->lanes * PIPES * EFFICIENCY) + transforms;
}

static double arithmetic_cycles(const Model *c, const Node *n)
{
    double sum = 0, flops;
    if (n->op == OP_fused) {
        FOR_EACH_NODE(inner, NODE_ATTR(n, fused)->body)
            sum += arithmetic_cycles(c, inner);
        return sum;
    }
    flops = number(c, node_work(c->m, n).flops);
    if (n->op == OP_conv)
        return convolution_cycles(c, n, flops / 2);
    if (n->op == OP_matmul || n->op == OP_conv_transpose) {
        const Type *y = &node_out(n)->type;
        double channels = number(c, n->op == OP_matmul ? y->dim[y->rank - 1] : node_in(n, 1)->type.dim[1]);
        return flops / 2 * padding(channels) / (c->lanes * PIPES * EFFICIENCY);
    }
    return flops / (c->lanes * PIPES);
}

static bool is_free(const Node *n)
{
    return n->op == OP_input || n->op == OP_constant || n->op == OP_return || n->op == OP_check || (n->nout && n->out[0].storage.kind == ST_ALIAS);
}

static double kernel_cycles(const Model *c, const Node *n)
{
    NodeWork w = node_work(c->m, n);
    double a = arithmetic_cycles(c, n), b = number(c, w.weight_bytes) / c->weights_per_cycle + number(c, w.data_bytes) / CACHE;
    return fmax(a, b) + (1 - OVERLAP) * fmin(a, b) + LAUNCH;
}

static double graph_cycles(Model *c)
{
    double weights = 0, sum = 0;
    FOR_EACH_NODE(n, c->m->graph)
        if (n->op == OP_constant && value_constant(node_out(n)))
            weights += (double)tensor_bytes(value_constant(node_out(n)));
    c->weights_per_cycle = weights > LLC_BYTES ? MEMORY : CACHE;
    FOR_EACH_NODE(n, c->m->graph)
        sum += is_free(n) ? 0 : kernel_cycles(c, n);
    return sum;
}

double latency_model_cycles(Module *m, Graph *g)
{
    Arena *a = arena_new();
    Module own = *m;
    PassOptions passes = PASS_OPTIONS_DEFAULT;
    double cycles = INFINITY;
    own.graph = g;
    Module *copy = module_copy(a, &own, NULL, 0);
    if (passes_run(copy, &passes)) {
        int n = dim_symbol_count(copy->dims);
        Model c = { .m = copy, .ones = ARENA_ARRAY(a, int64_t, n + 1), .lanes = m->vector_bytes > 4 ? m->vector_bytes / 4 : 1 };
        for (int i = 0; i < n; i++)
            c.ones[i] = 1;
        cycles = graph_cycles(&c);
    }
    arena_free(a);
    return cycles;
}
