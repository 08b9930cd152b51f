/* gen_conv_any.c -- convolution and transposed convolution of any kind, one result element at a time: any number of spatial axes, pads, groups,
 * either layout, weights known only at run time. Plain loops; the fast paths are in gen_conv.c.
 */
#include "gen.h"

typedef struct AnyConv {
    Group *g;
    bool transposed, last;          /* last: channels last */
    int naxes, x, w, bias;
    const Type *xt, *wt, *yt;
    int64_t groups, cin, cout;      /* channels per group */
    int64_t stride[MAX_RANK], dilation[MAX_RANK], pad[MAX_RANK], kernel[MAX_RANK];
    DType type;
} AnyConv;

static void read_window(AnyConv *c, IntVec strides, IntVec dilations, IntVec pads)
{
    for (int i = 0; i < c->naxes; i++) {
        c->stride[i] = strides.n ? strides.v[i] : 1;
        c->dilation[i] = dilations.n ? dilations.v[i] : 1;
        c->pad[i] = pads.n ? pads.v[i] : 0;
    }
}

/* x[n, channel, pos...] */
static LLVMValueRef input_element(const AnyConv *c, LLVMValueRef n, LLVMValueRef channel, const LLVMValueRef *pos)
{
    LLVMValueRef index[MAX_RANK];
    index[0] = n;
    index[c->last ? c->naxes + 1 : 1] = channel;
    for (int i = 0; i < c->naxes; i++)
        index[(c->last ? 1 : 2) + i] = pos[i];
    return contract_operand(c->g, operand_load(c->g, c->x, linear_offset(c->g, c->xt->rank, c->xt->dim, index), 1, NULL), c->xt->dtype, 1);
}

static LLVMValueRef weight_element(const AnyConv *c, LLVMValueRef first, LLVMValueRef second, const LLVMValueRef *tap)
{
    LLVMValueRef index[MAX_RANK];
    index[0] = first;
    index[1] = second;
    for (int i = 0; i < c->naxes; i++)
        index[2 + i] = tap[i];
    return contract_operand(c->g, operand_load(c->g, c->w, linear_offset(c->g, c->wt->rank, c->wt->dim, index), 1, NULL), c->wt->dtype, 1);
}

static LLVMValueRef multiply_add(const AnyConv *c, LLVMValueRef a, LLVMValueRef b, LLVMValueRef acc)
{
    Codegen *cg = c->g->cg;
    return dtype_is_float(c->type) ? cg_fma(cg, a, b, acc) : LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, a, b, ""), acc, "");
}

/* acc += sum over the group's input channels at one tap whose position lies inside the input. */
static void add_channels(const AnyConv *c, LLVMValueRef n, LLVMValueRef group, LLVMValueRef m, const LLVMValueRef *pos, const LLVMValueRef *tap, LLVMValueRef acc)
{
    Codegen *cg = c->g->cg;
    Loop l = loop_begin(cg, cg_i64(cg, 0), cg_i64(cg, c->cin), 1, "c");
    LLVMValueRef channel = LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, group, cg_i64(cg, c->cin), ""), l.index, "");
    LLVMValueRef x = input_element(c, n, channel, pos), w;
    if (c->transposed)
        w = weight_element(c, channel, m, tap);
    else
        w = weight_element(c, LLVMBuildAdd(cg->b, LLVMBuildMul(cg->b, group, cg_i64(cg, c->cout), ""), m, ""), l.index, tap);
    cg_set(cg, acc, multiply_add(c, x, w, cg_get(cg, acc)));
    loop_end(cg, &l);
}

/* Input position of axis i for result position `out` and this tap, and whether there is one. */
static LLVMValueRef position(const AnyConv *c, int i, LLVMValueRef out, LLVMValueRef tap, LLVMValueRef *inside)
{
    Codegen *cg = c->g->cg;
    LLVMValueRef reach = LLVMBuildMul(cg->b, tap, cg_i64(cg, c->dilation[i]), ""), pad = cg_i64(cg, c->pad[i]), pos, ok;
    LLVMValueRef size = group_dim(c->g, c->xt->dim[(c->last ? 1 : 2) + i]);
    if (c->transposed) {            /* out = pos * stride - pad + tap * dilation */
        LLVMValueRef scaled = LLVMBuildSub(cg->b, LLVMBuildAdd(cg->b, out, pad, ""), reach, ""), stride = cg_i64(cg, c->stride[i]);
        pos = LLVMBuildSDiv(cg->b, scaled, stride, "");
        ok = LLVMBuildICmp(cg->b, LLVMIntEQ, LLVMBuildSRem(cg->b, scaled, stride, ""), cg_i64(cg, 0), "");
        ok = LLVMBuildAnd(cg->b, ok, LLVMBuildICmp(cg->b, LLVMIntSGE, scaled, cg_i64(cg, 0), ""), "");
    } else {
        pos = LLVMBuildAdd(cg->b, LLVMBuildSub(cg->b, LLVMBuildMul(cg->b, out, cg_i64(cg, c->stride[i]), ""), pad, ""), reach, "");
        ok = LLVMConstInt(cg->i1, 1, false);
    }
    *inside = LLVMBuildAnd(cg->b, ok, LLVMBuildICmp(cg->b, LLVMIntULT, pos, size, ""), "");
    return pos;
}

static void over_taps(const AnyConv *c, int i, LLVMValueRef n, LLVMValueRef group, LLVMValueRef m, const LLVMValueRef *out, LLVMValueRef *pos, LLVMValueRef *tap, LLVMValueRef acc)
{
    Codegen *cg = c->g->cg;
    LLVMValueRef inside;
    if (i == c->naxes) {
        add_channels(c, n, group, m, pos, tap, acc);
        return;
    }
    LLVMValueRef taps = c->kernel[i] ? cg_i64(cg, c->kernel[i]) : group_dim(c->g, c->wt->dim[2 + i]);
    Loop l = loop_begin(cg, cg_i64(cg, 0), taps, 1, "tap");
    tap[i] = l.index;
    pos[i] = position(c, i, out[i], l.index, &inside);
    Branch b = branch_begin(cg, inside);
    over_taps(c, i + 1, n, group, m, out, pos, tap, acc);
    branch_else(cg, &b);
    branch_end(cg, &b);
    loop_end(cg, &l);
}

static LLVMValueRef start_value(const AnyConv *c, LLVMValueRef channel)
{
    Codegen *cg = c->g->cg;
    if (c->bias >= 0)
        return operand_load(c->g, c->bias, channel, 1, NULL);
    return LLVMConstNull(cg_compute_type(cg, c->type, 1));
}

static bool emit(AnyConv *c, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    Group *g = c->g;
    Codegen *cg = g->cg;
    LLVMValueRef index[MAX_RANK], pos[MAX_RANK], tap[MAX_RANK], cout = cg_i64(cg, c->cout);
    int rank = c->yt->rank, channel_dim = c->last ? rank - 1 : 1;
    work->units = type_count_dim(cg->m, c->yt);
    work->cost = dim_const(cg->m->dims, c->cin * 9);
    Loop l = loop_begin(cg, begin, end, 1, "element");
    split_index(g, l.index, rank, c->yt->dim, index);
    LLVMValueRef channel = index[channel_dim];
    LLVMValueRef group = LLVMBuildUDiv(cg->b, channel, cout, ""), m = LLVMBuildURem(cg->b, channel, cout, "");
    LLVMValueRef acc = cg_variable(cg, start_value(c, channel));
    over_taps(c, 0, index[0], group, m, index + (c->last ? 1 : 2), pos, tap, acc);
    Index at = index_new(g, rank);
    for (int d = 0; d < rank; d++)
        at.v[d] = index[d];
    group_store(g, group_epilogue(g, cg_get(cg, acc), &at, 1), l.index, 1, NULL);
    loop_end(cg, &l);
    return true;
}

static bool any_conv(AnyConv *c, Group *g, bool transposed, bool last, int64_t groups)
{
    const Node *n = g->anchor;
    *c = (AnyConv){ .g = g, .transposed = transposed, .last = last, .groups = groups, .x = group_operand(g, node_in(n, 0)),
                    .w = group_operand(g, node_in(n, 1)), .bias = node_in(n, 2) ? group_operand(g, node_in(n, 2)) : -1 };
    c->xt = &node_in(n, 0)->type, c->wt = &node_in(n, 1)->type, c->yt = &node_out(n)->type;
    c->naxes = c->xt->rank - 2;
    c->type = contract_type(g);
    Dim cin = transposed ? c->xt->dim[last ? c->xt->rank - 1 : 1] : c->wt->dim[1], cout = transposed ? c->wt->dim[1] : c->wt->dim[0];
    if (!dim_is_const(cin) || !dim_is_const(cout))
        return diag_error(g->cg->m->diag, n->loc, "%s: a number of channels that only the run knows is not supported", op_name(n->op));
    c->cin = transposed ? cin->k / groups : cin->k;
    c->cout = transposed ? cout->k : cout->k / groups;
    for (int i = 0; i < c->naxes; i++)
        c->kernel[i] = dim_is_const(c->wt->dim[2 + i]) ? c->wt->dim[2 + i]->k : 0;
    return true;
}

bool gen_conv_any(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    const Attr_conv *a = NODE_ATTR(g->anchor, conv);
    AnyConv c;
    if (!any_conv(&c, g, false, a->channels_last, a->group))
        return false;
    read_window(&c, a->strides, a->dilations, a->pads);
    return emit(&c, begin, end, work);
}

bool gen_conv_transpose(Group *g, LLVMValueRef begin, LLVMValueRef end, Work *work)
{
    const Attr_conv_transpose *a = NODE_ATTR(g->anchor, conv_transpose);
    AnyConv c;
    if (!any_conv(&c, g, true, a->channels_last, a->group))
        return false;
    read_window(&c, a->strides, a->dilations, a->pads);
    return emit(&c, begin, end, work);
}
