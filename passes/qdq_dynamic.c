/* qdq_dynamic.c -- dynamic quantisation: a layer's operand is rounded to a grid of 256 numbers over its own range, found while running; the product is of
 * integers, and its sums become f32 again at once.
 *
 *     scale = (max(x, 0) - min(x, 0)) / 255        zero = round(-min(x, 0) / scale)        q = round(x / scale) + zero
 *     y = conv(q - zero, w) : i32                  result = y * (scale * scale of the column) + bias
 *
 * It is what DynamicQuantizeLinear, ConvInteger and MatMulInteger of ONNX mean. Layers that read one value share its grid.
 */
#include "pass_util.h"
#include "qdq.h"

typedef struct Grid {
    Value *x, *scale, *centred;     /* centred: q - zero, i32 */
} Grid;

static Value *whole(Builder *b, const char *kind, Value *x)
{
    int64_t axes[MAX_RANK];
    for (int i = 0; i < x->type.rank; i++)
        axes[i] = i;
    return mk_reshape_ints(b, mk_reduce_axes(b, kind, x, x->type.rank, axes), 0, NULL);
}

static Value *rounded(Builder *b, Value *ratio, Value *zero)
{
    Value *r = mk_round(b, ratio);
    return mk_cast_to(b, mk_clip(b, zero ? mk_add(b, r, mk_cast_to(b, zero, DT_f32)) : r, 0, 255), DT_u8);
}

static bool make_grid(Module *m, Node *before, Value *x, Grid *g)
{
    Builder b = { m, m->graph, before, before->loc };
    Value *none = mk_scalar(&b, DT_f32, 0), *most = mk_max(&b, none, whole(&b, "max", x)), *least = mk_min(&b, none, whole(&b, "min", x));
    Value *step = mk_div(&b, mk_sub(&b, most, least), mk_scalar(&b, DT_f32, 255));
    Value *scale = mk_where(&b, mk_eq(&b, step, none), mk_scalar(&b, DT_f32, 1), step);
    Value *zero = rounded(&b, mk_neg(&b, mk_div(&b, least, scale)), NULL), *q = rounded(&b, mk_div(&b, x, scale), zero);
    *g = (Grid){ x, scale, mk_sub(&b, mk_cast_to(&b, q, DT_i32), mk_cast_to(&b, zero, DT_i32)) };
    return g->centred != NULL;
}

/* [columns] where the result has its columns. */
static Value *along_columns(Builder *b, const QdqLayer *l, Value *v)
{
    int64_t dim[MAX_RANK];
    int rank = l->axis == 0 ? node_out(l->n)->type.rank - 1 : 1;
    if (!v || v->type.rank == 0)
        return v;
    for (int i = 0; i < rank; i++)
        dim[i] = i ? 1 : value_constant(v)->count;
    return mk_reshape_ints(b, v, rank, dim);
}

static bool replace_layer(Module *m, const QdqLayer *l, const Grid *g)
{
    Node *n = l->n;
    Builder b = { m, m->graph, n, n->loc };
    Value *w = mk_cast_to(&b, mk_tensor(&b, l->q), DT_i32), *in[2] = { g->centred, w };
    Value *sum = build_op(&b, n->op, (Inputs){ 2, in }, n->attrs);
    Value *scale = mk_tensor(&b, l->scale);
    Value *factor = mk_mul(&b, along_columns(&b, l, l->scale->count > 1 ? scale : mk_scalar(&b, DT_f32, tensor_get_f64(l->scale, 0))), g->scale);
    Value *y = mk_mul(&b, mk_cast_to(&b, sum, DT_f32), factor), *bias = node_in(n, 2);
    if (bias)
        y = mk_add(&b, y, along_columns(&b, l, bias));
    if (l->shift)
        y = mk_add(&b, y, along_columns(&b, l, mk_tensor(&b, l->shift)));
    if (!y)
        return false;
    y->name = node_out(n)->name;
    value_replace(node_out(n), y);
    node_erase_dead(n);
    return true;
}

bool qdq_insert_dynamic(Module *m, const QdqPlan *p)
{
    Grid *grid = ARENA_ARRAY(m->arena, Grid, p->nlayers + 1);
    int n = 0;
    for (int i = 0; i < p->nlayers; i++) {
        const QdqLayer *l = &p->layer[i];
        int k = 0;
        if (l->keep)
            continue;
        while (k < n && grid[k].x != l->n->in[0].val)
            k++;
        if (k == n && !make_grid(m, l->n, l->n->in[0].val, &grid[n++]))
            return false;
        if (!replace_layer(m, l, &grid[k]))
            return false;
    }
    graph_renumber(m->graph);
    return true;
}
